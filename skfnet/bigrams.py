"""Pairs of neighbouring tokens: which of them are the most frequent in a corpus."""

from __future__ import annotations

import numpy as np

from .windows import Windows

__all__ = ["most_frequent_bigrams"]

_WINDOWS_AT_ONCE = 256


def most_frequent_bigrams(windows: Windows, most: int) -> np.ndarray:
    """Find the pairs that stand most often in what an encoder reads of documents.

    Parameters
    ----------
    windows : Windows
        What it reads.
    most : int
        How many to give. Of equally frequent ones those of lower ids are taken.

    Returns
    -------
    ndarray of int64, shape (at most `most`,)
        ``first * vocab_size + second`` for each pair, sorted.
    """
    parts = [
        np.unique(_bigrams(windows, rows), return_counts=True)
        for rows in np.array_split(np.arange(len(windows)), -(-len(windows) // _WINDOWS_AT_ONCE))
    ]
    found, times = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    bigrams, which = np.unique(found, return_inverse=True)
    counts = np.bincount(which, times)
    return np.sort(bigrams[np.argsort(-counts, kind="stable")[:most]])


def _bigrams(windows: Windows, rows: np.ndarray) -> np.ndarray:
    """Give the pairs of some windows, special tokens included, as numbers."""
    tokens, layout = windows.tokens, windows.lay_out(rows)
    ids = layout.ids
    if tokens.special.unknown is not None:
        ids[ids >= tokens.vocab_size] = tokens.special.unknown
    inside = np.arange(1, ids.shape[1]) < layout.lengths[:, None]
    return (ids[:, :-1] * tokens.vocab_size + ids[:, 1:])[inside]
