"""What pretraining hides of a batch, and what is to be found out: words, the order of halves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .batches import TokenArray
from .windows import Windows, in_halves

__all__ = ["OBJECTIVES", "Masking", "PretrainingRows", "no_target"]

OBJECTIVES = ("masked_tokens", "segment_order")
# Of the chosen tokens so many become [MASK] and so many another word; the others stay, or the
# encoder would learn that a word it sees is never the answer.
_TO_MASK, _TO_ANOTHER = 0.8, 0.1

no_target = -100  # what torch's cross-entropy leaves out


@dataclass(frozen=True)
class Masking:
    """Which tokens are hidden, and behind what.

    Parameters
    ----------
    words : ndarray of int64
        The ids that may be hidden, and from which other words are drawn.
    vocab_size : int
        All ids of the vocabulary are below it; what is not, is never hidden.
    mask : int
        The id of [MASK].
    share : float
        Share of these tokens that is chosen: of each row, rounded down or up at random.

    References
    ----------
    Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for
    Language Understanding", arXiv 1810.04805, section 3.1.
    """

    words: np.ndarray
    vocab_size: int
    mask: int
    share: float

    @classmethod
    def of(cls, tokens: TokenArray, share: float, n_words: int | None = None) -> Masking:
        """Give the masking for a vocabulary: of its first `n_words`, or all, without special ones.

        Raises
        ------
        ValueError
            If the vocabulary has no [MASK].
        """
        special = tokens.special
        if special.mask is None:
            raise ValueError(
                "The objective 'masked_tokens' needs a token [MASK], which this vocabulary has "
                "not. Let a TextTokenizer make the tokens, or use objectives=('segment_order',)."
            )
        set_apart = [special.pad, *special.prefix, *special.suffix, *special.nameless]
        words = np.setdiff1d(np.arange(tokens.vocab_size)[:n_words], set_apart)
        return cls(words, tokens.vocab_size, special.mask, share)

    def can_hide(self, ids: np.ndarray) -> np.ndarray:
        """Say of each token whether it may be hidden: a word that the vocabulary has."""
        hideable = np.zeros(self.vocab_size + 1, dtype=bool)
        hideable[self.words] = True
        return hideable[np.minimum(ids, self.vocab_size)]

    def hide(
        self, ids: np.ndarray, text: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hide some of the tokens of a batch, in place.

        Parameters
        ----------
        ids : ndarray of int64, shape (n_rows, length)
            The tokens.
        text : ndarray of bool, shape (n_rows, length)
            Where text stands, special tokens left out.
        random : numpy.random.Generator
            Decides which, and behind what.

        Returns
        -------
        places : ndarray of int64, shape (n_hidden,)
            Where tokens were chosen, in ``ids.ravel()``.
        hidden : ndarray of int64, shape (n_hidden,)
            What stood there.
        """
        possible = text & self.can_hide(ids)
        count = np.floor(self.share * possible.sum(axis=1) + random.random(len(ids)))
        # The possible ones first, in random order.
        order = np.argsort(random.random(ids.shape) + ~possible, axis=1)
        chosen = np.zeros_like(possible)
        np.put_along_axis(chosen, order, np.arange(ids.shape[1]) < count[:, None], axis=1)
        places = np.flatnonzero(chosen)
        flat = ids.reshape(-1)
        hidden = flat[places]
        drawn, others = random.random(len(places)), random.choice(self.words, len(places))
        flat[places] = np.select(
            [drawn < _TO_MASK, drawn < _TO_MASK + _TO_ANOTHER], [self.mask, others], hidden
        )
        return places, hidden


class PretrainingRows(Dataset):
    """Windows of text with what is to be found out about them.

    Parameters
    ----------
    tokens : TokenArray
        Documents, or pairs of texts.
    max_length : int
        Longest window, special tokens included.
    long_documents : {"truncate", "mean"}
        Whether a longer document gives its first window or all of them.
    masking : Masking or None
        None hides nothing.
    ordered : bool
        Whether the order of two segments is to be found out: of a pair's texts, of a document's
        halves.
    padding, shared_types
        As in :class:`~skfnet.windows.Windows`.

    Attributes
    ----------
    documents : TokenArray
        The documents that have a token.
    windows : Windows
        What is read of them.
    """

    def __init__(
        self,
        tokens: TokenArray,
        max_length: int,
        long_documents: str,
        masking: Masking | None,
        ordered: bool,
        *,
        padding: str = "exact",
        shared_types: bool = True,
    ) -> None:
        self.documents = tokens = tokens[tokens.lengths > 0]
        if ordered and tokens.firsts is None:
            tokens = in_halves(tokens, max_length, long_documents)
        self.windows = Windows(
            tokens, max_length, long_documents, padding=padding, shared_types=shared_types
        )
        self.masking, self.ordered = masking, ordered

    def __len__(self) -> int:
        return len(self.windows)

    def check_enough(self) -> None:
        """Refuse texts from which nothing is to be learned.

        Raises
        ------
        ValueError
            If no word can be hidden, or no text has two segments.
        """
        tokens = self.windows.tokens
        if self.masking is not None and not self.masking.can_hide(tokens.ids).any():
            raise ValueError(
                "X holds no word of the vocabulary, so that none can be hidden and found out: "
                "words enter it that occur at least min_frequency times, and its first "
                "maskable_words may be hidden. Give more text, a TextTokenizer with a lower "
                "min_frequency, or a larger maskable_words."
            )
        if self.ordered and not np.any((tokens.firsts > 0) & (tokens.lengths > tokens.firsts)):
            raise ValueError(
                "No text of X has two tokens, so that there are no segments to be put in order. "
                "Give longer texts, or objectives=('masked_tokens',)."
            )

    def batch(
        self, rows: np.ndarray, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Give the inputs of some windows, and the targets of each objective.

        What the model is told of a token, by its spelling, its pairs or its type, is told of
        what stands in its place after hiding: of a hidden word, nothing.

        Parameters
        ----------
        rows : ndarray of int
            Numbers of the windows.
        random : numpy.random.Generator
            Decides what is hidden and which segments are swapped.

        Returns
        -------
        inputs : dict of Tensor
            What :class:`~skfnet.nn.PretrainingModel` takes.
        targets : dict of Tensor of int64
            "masked_tokens" of shape (n_masked,) and "segment_order" of shape (len(rows),): 1
            for swapped segments, -100 where there are not two of them.
        """
        swapped = random.random(len(rows)) < 0.5 if self.ordered else None
        layout = self.windows.lay_out(rows, swapped)
        targets, extra = {}, {}
        if self.masking is not None:
            text = np.logical_or.reduce(layout.texts)
            extra["masked"], targets["masked_tokens"] = self.masking.hide(layout.ids, text, random)
        if swapped is not None:
            both = np.logical_and.reduce([text.any(axis=1) for text in layout.texts])
            targets["segment_order"] = np.where(both, swapped, no_target)
        return _tensors(self.windows.inputs(layout) | extra), _tensors(targets)


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
