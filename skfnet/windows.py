"""Windows of documents: what an encoder reads of them at once, and is told of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from .batches import TokenArray, joined_ranges

__all__ = ["Layout", "Windows", "in_halves", "room_for_text"]


class Layout(NamedTuple):
    """A batch of windows before what the encoder is told of their tokens.

    Attributes
    ----------
    ids : ndarray of int64, shape (n_windows, longest)
        The tokens, padded. They may be changed in place.
    lengths : ndarray of int64, shape (n_windows,)
        Number of tokens of each window.
    texts : list of ndarray of bool, shape (n_windows, longest)
        Where the window's text stands, special tokens left out; of a pair, each of its two.
    ends : list of ndarray of int64, shape (n_windows,)
        Where each text's part of the window ends, the special token after it included.
    """

    ids: np.ndarray
    lengths: np.ndarray
    texts: list[np.ndarray]
    ends: list[np.ndarray]


class Windows:
    """What the encoder sees of documents: all of a short one, one or several pieces of a long one.

    A pair of texts is one window ``[CLS] first [SEP] second [SEP]``; of a long pair, the longer
    text is cut first.

    Parameters
    ----------
    tokens : TokenArray
        The documents.
    max_length : int
        Longest window, special tokens included.
    long_documents : {"truncate", "mean"}
        Whether a longer document gives its first window or all of them; of a pair there is but
        one.
    padding : {"exact", "max_length"}, default="exact"
        Whether a window is as long as its tokens, or always `max_length`: [PAD] then is a token
        like any other to whatever reads it, as the published weights were trained.
    shared_types : bool, default=True
        Whether a token that the other text of a pair has, too, is of a type of its own.

    Attributes
    ----------
    document : ndarray of int64, shape (n_windows,)
        The document that each window is cut from, in order.
    lengths : ndarray of int64, shape (n_windows,)
        Number of tokens of each window, special ones included.
    """

    def __init__(
        self,
        tokens: TokenArray,
        max_length: int,
        long_documents: str,
        *,
        padding: str = "exact",
        shared_types: bool = True,
    ) -> None:
        self.tokens = tokens
        self._shared_types = shared_types
        room = room_for_text(tokens, max_length)
        if tokens.firsts is None:
            self.document, start, self._sizes = _cut(tokens.lengths, room, long_documents)
            self._starts = tokens.offsets[self.document] + start
        else:
            self.document = np.arange(len(tokens))
            self._sizes, self._second_sizes = _cut_longer(tokens, room)
            self._starts = tokens.offsets[:-1]
            self._second_starts = self._starts + tokens.firsts
        # A document without a token is one [PAD] where nothing wraps it.
        text = self._sizes if tokens.firsts is None else self._sizes + self._second_sizes
        self.lengths = np.maximum(text + max_length - room, 1)
        if padding == "max_length":
            self.lengths = np.full_like(self.lengths, max_length)

    def __len__(self) -> int:
        return len(self.document)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Give a batch's ids, padded, and lengths, by name; of pairs also their type ids.

        Where words have spellings, also those of the batch's different words. Type ids are the
        paper's, 0 in the first text and 1 in the second, 0 again for padding. With `shared_types`
        a token that the other text has, too, as far as both are read, has 2 more: without it an
        encoder would have to learn of each word that it equals itself.

        Parameters
        ----------
        rows : ndarray of int
            Numbers of the windows.

        Returns
        -------
        dict of ndarray of int64
            "input_ids", "type_ids" and "spelled" of shape (len(rows), longest), "lengths" and,
            where the documents have them, "folds" of shape (len(rows),). "spelled" says which of
            the batch's different words each token is; word i has the n-grams
            ``subwords[starts[i]:starts[i + 1]]``.
        """
        batch = self.inputs(self.lay_out(rows))
        if self.tokens.folds is not None:
            batch["folds"] = self.tokens.folds[self.document[rows]]
        return batch

    def lay_out(self, rows: np.ndarray, swapped: np.ndarray | None = None) -> Layout:
        """Give the tokens of some windows side by side.

        Parameters
        ----------
        rows : ndarray of int
            Numbers of the windows.
        swapped : ndarray of bool, shape (len(rows),), optional
            Which pairs have their second text first.

        Returns
        -------
        Layout
        """
        special, lengths = self.tokens.special, self.lengths[rows]
        ids = np.full((len(rows), int(lengths.max())), special.pad, dtype=np.int64)
        texts = [(self._starts[rows], self._sizes[rows])]
        if self.tokens.firsts is not None:
            texts.append((self._second_starts[rows], self._second_sizes[rows]))
        if swapped is not None:
            first, second = texts
            texts = [np.where(swapped, second, first), np.where(swapped, first, second)]
        end, ends, places = _write(ids, np.zeros_like(lengths), special.prefix), [], []
        for starts, sizes in texts:
            places.append(self._write_text(ids, end, starts, sizes))
            end = _write(ids, end + sizes, special.suffix)
            ends.append(end)
        return Layout(ids, lengths, places, ends)

    def inputs(self, layout: Layout) -> dict[str, np.ndarray]:
        """Give a batch as :meth:`batch` does, told of the tokens that stand in `layout` now."""
        ids, special = layout.ids, self.tokens.special
        batch = {"input_ids": ids, "lengths": layout.lengths}
        if len(layout.texts) == 2:
            begin, end = (place[:, None] for place in layout.ends)
            column = np.arange(ids.shape[1])
            types = ((column >= begin) & (column < end)).astype(np.int64)
            if self._shared_types:
                types += 2 * _in_both(ids, layout.texts, special.nameless)
            batch["type_ids"] = types
        if self.tokens.spellings is not None:
            batch |= _spelled(ids, self.tokens.spellings)
            ids[ids >= self.tokens.vocab_size] = special.unknown
        return batch

    def _write_text(
        self, ids: np.ndarray, begin: np.ndarray, starts: np.ndarray, sizes: np.ndarray
    ) -> np.ndarray:
        """Write tokens into each row, from its own place on; say where they stand now."""
        column = np.arange(ids.shape[1])
        inside = (column >= begin[:, None]) & (column < (begin + sizes)[:, None])
        ids[inside] = self.tokens.ids[joined_ranges(starts, sizes)]
        return inside


def room_for_text(tokens: TokenArray, max_length: int) -> int:
    """Give the number of tokens of text in a window, beside the special ones."""
    return max_length - tokens.special.around(tokens.firsts is not None)


def in_halves(tokens: TokenArray, max_length: int, long_documents: str) -> TokenArray:
    """Cut documents into pieces that fit a window, each of them a pair of its two halves.

    Parameters
    ----------
    tokens : TokenArray
        Single documents.
    max_length : int
        Longest window, special tokens included.
    long_documents : {"truncate", "mean"}
        Whether a longer document gives its first piece or all of them.

    Returns
    -------
    TokenArray of shape (n_pieces,)
        Pairs; of an odd number of tokens either half is the longer one, by chance, the same at
        each call: else the longer one would tell whether the halves are swapped.
    """
    room = max_length - tokens.special.around(pair=True)
    document, start, sizes = _cut(tokens.lengths, room, long_documents)
    ids = tokens.ids[joined_ranges(tokens.offsets[document] + start, sizes)]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    firsts = (sizes + np.random.default_rng(0).integers(2, size=len(sizes))) // 2
    return TokenArray(ids, offsets, tokens.vocab_size, tokens.special, firsts, tokens.spellings)


def _write(ids: np.ndarray, begin: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Write the same values into each row, from its own place on; give where they end."""
    for i, value in enumerate(values):
        ids[np.arange(len(ids)), begin + i] = value
    return begin + len(values)


def _cut(
    lengths: np.ndarray, room: int, long_documents: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the document, the first token in it and the number of tokens of each window."""
    count = np.ones_like(lengths)
    if long_documents == "mean":
        count = np.maximum(-(-lengths // room), 1)
    document = np.repeat(np.arange(len(lengths)), count)
    first = np.cumsum(count) - count
    start = (np.arange(len(document)) - first[document]) * room
    return document, start, np.minimum(lengths[document] - start, room)


def _cut_longer(pairs: TokenArray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the numbers of tokens left of each pair's texts when the longer one is cut first.

    Where both are cut and the room is odd, the longer one keeps a token more, as in tokenizers;
    of equally long ones, the second.
    """
    firsts, seconds = pairs.firsts, pairs.lengths - pairs.firsts
    half = np.where(firsts > seconds, room - room // 2, room // 2)
    left_of_first = np.minimum(firsts, np.maximum(half, room - seconds))
    return left_of_first, np.minimum(seconds, room - left_of_first)


def _in_both(ids: np.ndarray, texts: list[np.ndarray], nameless: list[int]) -> np.ndarray:
    """Say of each token of each row whether it stands in both of the row's texts.

    Two words that the vocabulary does not know, or that are hidden, are not taken for the same.
    """
    first, second = texts
    of_row = np.arange(len(ids))[:, None] * (int(ids.max()) + 1) + ids
    in_first, in_second = (np.isin(of_row, of_row[text]) for text in (first, second))
    return (first | second) & in_first & in_second & ~np.isin(ids, nameless)


def _spelled(ids: np.ndarray, spellings: csr_matrix) -> dict[str, np.ndarray]:
    """Give the n-grams of the different words among `ids`, and which of them stands where.

    In the order in which they first stand there, whatever their numbers are: the numbers of new
    words depend on what else was tokenized.
    """
    words, place, which = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(place)
    found = spellings[words[order]]
    return {
        "spelled": np.argsort(order)[which].reshape(ids.shape),
        "subwords": found.indices.astype(np.int64),
        "starts": found.indptr[:-1].astype(np.int64),
    }
