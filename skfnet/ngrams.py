"""Runs of neighbouring tokens: which are frequent in a corpus, so that they have rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

from .batches import by_length
from .nn import Encoder
from .windows import Windows

__all__ = ["MOST_NGRAMS", "find_ngrams", "look_up_bigrams", "most_frequent_ngrams"]

MOST_NGRAMS = 2**19  # of a length have a row
_WINDOWS_AT_ONCE = 4096


def look_up_bigrams(encoders: Sequence[Encoder], windows: Windows) -> None:
    """Let encoders that learn pairs of tokens by hash give each frequent pair a row of its own.

    Where there are hashes for all pairs, they stay.

    Parameters
    ----------
    encoders : sequence of Encoder
        Of the same size.
    windows : Windows
        What they read.
    """
    hashing = [
        encoder
        for encoder in encoders
        if encoder.embeddings.bigrams is not None and encoder.config.bigram_rows == "hashed"
    ]
    if not hashing:
        return
    found = most_frequent_ngrams(windows, MOST_NGRAMS)
    if found and len(found[0]) > hashing[0].config.bigram_buckets:
        for encoder in hashing:
            encoder.know_bigrams(found[0])


def most_frequent_ngrams(
    windows: Windows, most: int, *, fewest: int = 1, longest: int = 2
) -> list[np.ndarray]:
    """Find the runs of tokens that stand most often in what an encoder reads of documents.

    Of longer ones, among those whose beginning is found.

    Parameters
    ----------
    windows : Windows
        What it reads.
    most : int
        How many of a length to give. Of equally frequent ones those of lower numbers are taken.
    fewest : int, default=1
        How often a run has to stand there.
    longest : int, default=2
        Up to how many tokens.

    Returns
    -------
    list of ndarray of int64, shape (at most `most`,)
        Of pairs, then of triples, and so on, as far as there are any: a number for each, rising.
        It is ``first * vocab_size + second`` of a pair; of a longer run it is the place of its
        beginning, all but the last token, in the array before, times `vocab_size`, plus the last
        token.
    """
    found: list[np.ndarray] = []
    while len(found) < longest - 1:
        ngrams = _one_longer(windows, found, most, fewest)
        if not len(ngrams):
            break
        found.append(ngrams)
    return found


def find_ngrams(
    ids: np.ndarray, lengths: np.ndarray, ngrams: Sequence[np.ndarray], n_ids: int
) -> Iterator[np.ndarray]:
    """Find the runs of tokens that end at each token, length by length.

    Parameters
    ----------
    ids : ndarray of int, shape (n_rows, length)
        Tokens.
    lengths : ndarray of int, shape (n_rows,)
        How many there are of each row.
    ngrams : sequence of ndarray
        As :func:`most_frequent_ngrams` gives them.
    n_ids : int
        The size of the vocabulary.

    Yields
    ------
    ndarray of int64, shape (n_rows, length)
        First the tokens themselves, then the place in `ngrams` of the pair that ends here, and so
        on; -1 where there is none, and beyond a row's length.
    """
    inside = np.arange(ids.shape[1]) < lengths[:, None]
    places = tokens = np.where(inside, ids, -1).astype(np.int64)
    yield places
    for known in ngrams:
        numbers = _with_next(places, tokens, n_ids)
        places = np.searchsorted(known, numbers).clip(max=len(known) - 1)
        places[known[places] != numbers] = -1
        yield places


def _one_longer(windows: Windows, shorter: list[np.ndarray], most: int, fewest: int) -> np.ndarray:
    n_ids = windows.tokens.vocab_size
    counts = csr_matrix((len(shorter[-1]) if shorter else n_ids, n_ids), dtype=np.int32)
    for rows in by_length(windows.lengths, _WINDOWS_AT_ONCE):
        batch = windows.batch(rows)
        places = list(find_ngrams(batch["input_ids"], batch["lengths"], shorter, n_ids))
        numbers = _with_next(places[-1], places[0], n_ids)
        numbers = numbers[numbers >= 0]
        ones = np.ones(len(numbers), dtype=np.int32)
        counts += csr_matrix((ones, divmod(numbers, n_ids)), shape=counts.shape)
    ngrams = counts.tocoo()
    ngrams.data[ngrams.data < fewest] = 0
    ngrams.eliminate_zeros()
    numbers = ngrams.row.astype(np.int64) * n_ids + ngrams.col
    return np.sort(numbers[np.argsort(-ngrams.data, kind="stable")[:most]])


def _with_next(places: np.ndarray, tokens: np.ndarray, n_ids: int) -> np.ndarray:
    """Give the number of what ends at the token before, with this token; -1 where nothing does."""
    begins = np.pad(places[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    return np.where((begins < 0) | (tokens < 0), -1, begins * n_ids + tokens)
