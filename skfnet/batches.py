"""Ragged token arrays, and batches of rows of like length cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

__all__ = ["SpecialTokens", "TokenArray", "by_length", "joined_ranges", "shuffled_by_length"]

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
    unknown : int or None
        Stands for words outside the vocabulary; None where the vocabulary has no such id.
    mask : int or None
        Stands for words that are hidden in pretraining; likewise.
    """

    pad: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    unknown: int | None = None
    mask: int | None = None

    def around(self, pair: bool) -> int:
        """Give the number of special tokens of a window."""
        return len(self.prefix) + len(self.suffix) * (2 if pair else 1)

    @property
    def nameless(self) -> list[int]:
        """The ids that stand for any word: two of them need not be the same one."""
        return [i for i in (self.unknown, self.mask) if i is not None]


class TokenArray:
    """The token ids of many documents in one flat array, without padding.

    It is what :meth:`skfnet.TextTokenizer.transform` gives and
    :class:`skfnet.FNetClassifier` takes. It can be indexed, sliced and masked like a NumPy
    array of shape (n_documents,), so that scikit-learn splits it; parts keep all spellings.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all documents, one after the other, special tokens left out.
    offsets : ndarray of int64, shape (n_documents + 1,)
        Document i holds ``ids[offsets[i]:offsets[i + 1]]``.
    vocab_size : int
        All ids are below it, but those of words outside the vocabulary.
    special : SpecialTokens
        Ids with a meaning of their own.
    firsts : ndarray of int64, shape (n_documents,), optional
        Where the documents are pairs of texts, the number of tokens of each first text.
    spellings : csr_matrix of shape (n_words, n_buckets), optional
        What :func:`skfnet.subwords.spell` gave for each id there is. Words outside the
        vocabulary have ids of their own, from `vocab_size` on, that mean a row here and nothing
        else.
    folds : ndarray of int64, shape (n_documents,), optional
        The table that describes each document's words in training, see
        :func:`skfnet.target_encoding.draw_folds`.

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
        self,
        ids: np.ndarray,
        offsets: np.ndarray,
        vocab_size: int,
        special: SpecialTokens,
        firsts: np.ndarray | None = None,
        spellings: csr_matrix | None = None,
        folds: np.ndarray | None = None,
    ) -> None:
        self.ids = ids
        self.offsets = offsets
        self.vocab_size = vocab_size
        self.special = special
        self.firsts = firsts
        self.spellings = spellings
        self.folds = folds

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[int]],
        vocab_size: int,
        special: SpecialTokens,
        spellings: csr_matrix | None = None,
    ) -> TokenArray:
        """Join rows of token ids.

        Parameters
        ----------
        rows : sequence of sequences of int
            The ids of each document, special tokens left out.
        vocab_size, special, spellings
            As in the class.

        Returns
        -------
        TokenArray of shape (len(rows),)
        """
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=offsets[-1])
        return cls(ids, offsets, vocab_size, special, spellings=spellings)

    @classmethod
    def from_pairs(
        cls,
        firsts: Sequence[Sequence[int]],
        seconds: Sequence[Sequence[int]],
        vocab_size: int,
        special: SpecialTokens,
        spellings: csr_matrix | None = None,
    ) -> TokenArray:
        """Join the token ids of pairs of texts.

        Parameters
        ----------
        firsts, seconds : sequences of sequences of int
            The ids of each pair's texts, special tokens left out.
        vocab_size, special, spellings
            As in the class.

        Returns
        -------
        TokenArray of shape (len(firsts),)
        """
        rows = [[*first, *second] for first, second in zip(firsts, seconds, strict=True)]
        pairs = cls.from_rows(rows, vocab_size, special, spellings)
        pairs.firsts = np.array([len(first) for first in firsts], dtype=np.int64)
        return pairs

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
        ids = self.ids[joined_ranges(self.offsets[chosen], lengths)]
        firsts, folds = (a if a is None else a[chosen] for a in (self.firsts, self.folds))
        return TokenArray(
            ids, offsets, self.vocab_size, self.special, firsts, self.spellings, folds
        )

    def in_folds(self, folds: np.ndarray) -> TokenArray:
        """Give the same documents with these `folds`."""
        documents = copy(self)
        documents.folds = folds
        return documents

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"TokenArray(n_documents={len(self)}, n_tokens={len(self.ids)}, "
            f"vocab_size={self.vocab_size})"
        )


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


def joined_ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Join ``range(start, start + size)`` for each pair."""
    first = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(starts - first, sizes)
