"""Pairs of neighbouring tokens: which of them are the most frequent in a corpus."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from .batches import by_length
from .windows import Windows

__all__ = ["most_frequent_bigrams"]

_WINDOWS_AT_ONCE = 4096


def most_frequent_bigrams(windows: Windows, most: int, fewest: int = 1) -> np.ndarray:
    """Find the pairs that stand most often in what an encoder reads of documents.

    Parameters
    ----------
    windows : Windows
        What it reads.
    most : int
        How many to give. Of equally frequent ones those of lower ids are taken.
    fewest : int, default=1
        How often a pair has to stand there.

    Returns
    -------
    ndarray of int64, shape (at most `most`,)
        ``first * vocab_size + second`` for each pair, rising.
    """
    n_ids = windows.tokens.vocab_size
    counts = csr_matrix((n_ids, n_ids), dtype=np.int32)
    for rows in by_length(windows.lengths, _WINDOWS_AT_ONCE):
        pairs = _neighbours(windows, rows)
        ones = np.ones(len(pairs[0]), dtype=np.int32)
        counts += csr_matrix((ones, pairs), shape=counts.shape)
    found = counts.tocoo()
    found.data[found.data < fewest] = 0
    found.eliminate_zeros()
    bigrams = found.row.astype(np.int64) * n_ids + found.col
    return np.sort(bigrams[np.argsort(-found.data, kind="stable")[:most]])


def _neighbours(windows: Windows, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give first and second token of each pair in some windows, special tokens included."""
    batch = windows.batch(rows)
    ids = batch["input_ids"]
    inside = np.arange(1, ids.shape[1]) < batch["lengths"][:, None]
    return ids[:, :-1][inside], ids[:, 1:][inside]
