"""Ragged token arrays, and batches of rows of like length cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SpecialTokens", "TokenArray", "Windows", "by_length", "shuffled_by_length"]

# Training batches are cut from runs of this many shuffled batches, sorted by length: long enough
# to leave little padding, short enough to keep the company of a document random.
_BATCHES_SORTED_TOGETHER = 32


@dataclass(frozen=True)
class SpecialTokens:
    """The ids that a vocabulary keeps for itself.

    Attributes
    ----------
    pad : int
        Stands beyond a row's end, where nothing reads it.
    prefix, suffix : tuple of int
        What a document is wrapped in: usually [CLS] before and [SEP] after it.
    """

    pad: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


class TokenArray:
    """The token ids of many documents in one flat array, without padding.

    It is what :meth:`skfnet.TextTokenizer.transform` gives and
    :class:`skfnet.FNetClassifier` takes. It can be indexed, sliced and masked like a NumPy
    array of shape (n_documents,), so that scikit-learn splits it, and it pickles small.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all documents, one after the other, special tokens left out.
    offsets : ndarray of int64, shape (n_documents + 1,)
        Document i holds ``ids[offsets[i]:offsets[i + 1]]``.
    vocab_size : int
        All ids are below it.
    special : SpecialTokens
        Ids with a meaning of their own.

    Examples
    --------
    >>> from skfnet import TextTokenizer
    >>> tokens = TextTokenizer().fit_transform(["so it goes", "and so on"])
    >>> tokens.shape
    (2,)
    >>> tokens[1:].shape
    (1,)
    """

    def __init__(
        self, ids: np.ndarray, offsets: np.ndarray, vocab_size: int, special: SpecialTokens
    ) -> None:
        self.ids = ids
        self.offsets = offsets
        self.vocab_size = vocab_size
        self.special = special

    @classmethod
    def from_rows(
        cls, rows: Sequence[Sequence[int]], vocab_size: int, special: SpecialTokens
    ) -> TokenArray:
        """Join rows of token ids.

        Parameters
        ----------
        rows : sequence of sequences of int
            The ids of each document, special tokens left out.
        vocab_size : int
            All ids are below it.
        special : SpecialTokens
            Ids with a meaning of their own.

        Returns
        -------
        TokenArray of shape (len(rows),)
        """
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=offsets[-1])
        return cls(ids, offsets, vocab_size, special)

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each document, special ones left out, shape (n_documents,)."""
        return np.diff(self.offsets)

    @property
    def shape(self) -> tuple[int]:
        """The number of documents, as a NumPy shape: scikit-learn splits what has one."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, key: Any) -> TokenArray | np.ndarray:
        if isinstance(key, tuple):  # scikit-learn asks for X[rows, ...]
            key = key[0]
        chosen = np.arange(len(self))[key]
        if np.ndim(chosen) == 0:
            return self.ids[self.offsets[chosen] : self.offsets[chosen + 1]]
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ids = self.ids[_ranges(self.offsets[chosen], lengths)]
        return TokenArray(ids, offsets, self.vocab_size, self.special)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"TokenArray(n_documents={len(self)}, n_tokens={len(self.ids)}, "
            f"vocab_size={self.vocab_size})"
        )


class Windows:
    """The pieces of documents that the encoder sees: all of a short one, several of a long one.

    Parameters
    ----------
    tokens : TokenArray
        The documents.
    max_length : int
        Longest window, special tokens included.
    long_documents : {"truncate", "mean"}
        Whether a longer document gives its first window or all of them.

    Attributes
    ----------
    document : ndarray of int64, shape (n_windows,)
        The document that each window is cut from, in order.
    lengths : ndarray of int64, shape (n_windows,)
        Number of tokens of each window, special ones included.
    """

    def __init__(self, tokens: TokenArray, max_length: int, long_documents: str) -> None:
        self.tokens = tokens
        room = max_length - len(tokens.special)
        lengths = tokens.lengths
        count = np.ones_like(lengths)
        if long_documents == "mean":
            count = np.maximum(-(-lengths // room), 1)
        self.document = np.repeat(np.arange(len(tokens)), count)
        first = np.cumsum(count) - count
        start = (np.arange(len(self.document)) - first[self.document]) * room
        self._starts = tokens.offsets[self.document] + start
        self._sizes = np.minimum(lengths[self.document] - start, room)
        # A document without a token is one [PAD] where nothing wraps it.
        self.lengths = np.maximum(self._sizes + len(tokens.special), 1)

    def __len__(self) -> int:
        return len(self.document)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give ids, int64 of shape (len(rows), longest), padded, and lengths (len(rows),)."""
        special, sizes = self.tokens.special, self._sizes[rows]
        lengths = self.lengths[rows]
        ids = np.full((len(rows), int(lengths.max())), special.pad, dtype=np.int64)
        begin = len(special.prefix)
        ids[:, :begin] = special.prefix
        column = np.arange(ids.shape[1])
        inside = (column >= begin) & (column < (begin + sizes)[:, None])
        ids[inside] = self.tokens.ids[_ranges(self._starts[rows], sizes)]
        for i, token in enumerate(special.suffix):
            ids[np.arange(len(rows)), begin + sizes + i] = token
        return ids, lengths


def by_length(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut rows, sorted by length, into batches: for prediction, where order is free.

    Returns
    -------
    list of ndarray of int64
        Row numbers of each batch; together every row once.
    """
    order = np.argsort(lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def shuffled_by_length(
    lengths: np.ndarray, batch_size: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Cut rows into random batches of like length: for one epoch of training."""
    order = random.permutation(len(lengths))
    run = batch_size * _BATCHES_SORTED_TOGETHER
    batches = []
    for i in range(0, len(order), run):
        rows = order[i : i + run]
        batches += [rows[batch] for batch in by_length(lengths[rows], batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Join ``range(start, start + size)`` for each pair."""
    first = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(starts - first, sizes)
