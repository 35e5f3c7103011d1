"""Documents on their way into an estimator: checked, tokenized, counted where they are too long."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tokenizers
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .batches import SpecialTokens, TokenArray
from .nn import EncoderConfig
from .texts import Texts, are_pairs, check_documents, is_missing
from .tokenizer import TextTokenizer
from .windows import room_for_text

__all__ = [
    "Documents",
    "check_input",
    "check_room",
    "fitted_tokenizer",
    "in_pairs",
    "n_buckets",
    "take",
    "to_tokens",
    "vocabulary_size",
]

Documents = Texts | TokenArray


def check_input(X: Any, tokenizer: Any = None, vocab_size: int | None = None) -> Documents:
    """Give checked documents; a TokenArray is taken as it is, unless it is empty.

    Parameters
    ----------
    X : iterable of str, of pairs of str or of sequences of int; or TokenArray
        The documents.
    tokenizer : object
        The estimator's parameter. With "precomputed", rows of X are sequences of token ids.
    vocab_size : int, optional
        Where the estimator is fitted, what ids must be below.

    Raises
    ------
    ValueError
        If X is empty, or a row is missing or of the wrong kind; the message names the row.
    """
    if not isinstance(X, TokenArray):
        if isinstance(tokenizer, str):  # "precomputed"
            return sequences_of_ids(X, vocab_size)
        return check_documents(X)
    if len(X) == 0:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: "
            "X holds no documents."
        )
    return X


def sequences_of_ids(X: Any, vocab_size: int | None = None) -> TokenArray:
    """Give rows of non-negative whole numbers as tokens, all of them below `vocab_size`.

    Without it, the vocabulary ends with the largest number there is.

    Raises
    ------
    ValueError
        If X is empty, or a row is anything else; the message names the row.
    """
    if isinstance(X, str | bytes) or not np.iterable(X):
        raise ValueError(
            "tokenizer='precomputed' expects rows of token ids, "
            f"{type(X).__name__} object received."
        )
    rows = [_ids(row, number) for number, row in enumerate(X)]
    if not rows:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: "
            "X holds no documents."
        )
    largest = [int(row.max(initial=0)) for row in rows]
    if vocab_size is None:
        vocab_size = max(largest) + 1
    for number, value in enumerate(largest):
        if value >= vocab_size:
            raise ValueError(
                f"Row {number} of X holds the token id {value}, but the estimator was fitted with "
                f"ids below {vocab_size}."
            )
    return TokenArray.from_rows(rows, vocab_size, SpecialTokens(0, (), ()))


def _ids(row: Any, number: int) -> np.ndarray:
    wrong = f"Row {number} of X holds no token ids: tokenizer='precomputed' expects a sequence of "
    if isinstance(row, str | bytes) or not np.iterable(row) or is_missing(row):
        raise ValueError(f"{wrong}whole numbers, got {row!r}.")
    ids = np.asarray(row)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(f"{wrong}whole numbers, got {ids.dtype} of shape {ids.shape}.")
    if ids.size and not 0 <= ids.min() <= ids.max() < 2**31 - 1:
        raise ValueError(f"{wrong}numbers >= 0 and < 2**31 - 1, got {ids.min()} to {ids.max()}.")
    return ids.astype(np.int32)


def in_pairs(documents: Documents) -> bool:
    """Tell pairs of texts from single ones."""
    if isinstance(documents, TokenArray):
        return documents.firsts is not None
    return are_pairs(documents)


def take(documents: Documents, rows: np.ndarray) -> Documents:
    """Give some of the documents, in the order of `rows`."""
    if isinstance(documents, TokenArray):
        return documents[rows]
    return [documents[row] for row in rows]


def fitted_tokenizer(parameter: Any, documents: Documents) -> TextTokenizer | None:
    """Give the tokenizer that an estimator's `tokenizer` parameter stands for.

    Parameters
    ----------
    parameter : None, TextTokenizer, FrozenEstimator, tokenizers.Tokenizer or "precomputed"
        None is a default TextTokenizer. An unfitted one is cloned and fitted on the documents;
        one that is frozen, or a ready ``tokenizers.Tokenizer``, is used as it is.
    documents : list of str or TokenArray
        What to fit it on. Where they are tokens already, there is no tokenizer: None.
    """
    if isinstance(documents, TokenArray):
        return None
    if isinstance(parameter, tokenizers.Tokenizer):
        return TextTokenizer.from_tokenizer(parameter)
    if isinstance(parameter, FrozenEstimator):
        frozen = parameter.estimator
        if not isinstance(frozen, TextTokenizer):
            raise TypeError(
                "The 'tokenizer' parameter holds a FrozenEstimator around "
                f"{type(frozen).__name__}; a TextTokenizer belongs in it."
            )
        check_is_fitted(frozen)
        return frozen
    tokenizer = TextTokenizer() if parameter is None else clone(parameter)
    return tokenizer.fit(documents)


def vocabulary_size(documents: Documents, tokenizer: TextTokenizer | None) -> int:
    """Give the number of token ids there can be."""
    if isinstance(documents, TokenArray):
        return documents.vocab_size
    return tokenizer.n_ids_


def n_buckets(documents: Documents, tokenizer: TextTokenizer | None) -> int:
    """Give the number of buckets that words are spelled in, 0 where they are not spelled."""
    given = isinstance(documents, TokenArray)
    spellings = documents.spellings if given else tokenizer.spellings_
    return 0 if spellings is None else spellings.shape[1]


def check_room(
    max_length: int,
    documents: Documents,
    tokenizer: TextTokenizer | None,
    pairs: bool | None = None,
) -> None:
    """Refuse a `max_length` that has no room beside the special tokens.

    Parameters
    ----------
    max_length : int
        The parameter.
    documents : list of str, list of pairs or TokenArray
        What is read.
    tokenizer : TextTokenizer or None
        What it is read by.
    pairs : bool, optional
        Whether it is read as pairs; None is as it comes.

    Raises
    ------
    ValueError
        If it has none.
    """
    given = isinstance(documents, TokenArray)
    special = documents.special if given else tokenizer.special_tokens_
    n_special = special.around(in_pairs(documents) if pairs is None else pairs)
    if max_length <= n_special:
        raise ValueError(
            f"max_length={max_length} leaves no room beside the tokenizer's {n_special} special "
            f"tokens; use at least {n_special + 1}."
        )


def to_tokens(
    documents: Documents,
    tokenizer: TextTokenizer | None,
    config: EncoderConfig,
    long_documents: str,
) -> TokenArray:
    """Tokenize documents as far as they will be read; warn once where text is left out.

    Raises
    ------
    ValueError
        If the tokens come from a vocabulary of another size, or if there is no tokenizer for
        texts.
    """
    tokens, max_length = documents, config.max_length
    if not isinstance(documents, TokenArray):
        # One token more than fits tells which documents are too long.
        cut = long_documents == "truncate" or are_pairs(documents)
        limit = max_length + 1 if cut else None
        if tokenizer is None:
            raise ValueError(
                "This estimator was fitted on tokens and has no tokenizer: pass what the same "
                "TextTokenizer's transform gives, not texts."
            )
        tokens = tokenizer.encode(documents, limit)
    elif tokens.vocab_size != config.vocab_size:
        raise ValueError(
            f"The tokens in X are from a vocabulary of {tokens.vocab_size}, the estimator was "
            f"fitted with one of {config.vocab_size}: use the same TextTokenizer for both."
        )
    elif n_buckets(tokens, None) != config.subword_buckets:
        raise ValueError(
            f"The tokens in X have their n-grams in {n_buckets(tokens, None)} buckets, the "
            f"estimator was fitted with {config.subword_buckets}: use the same TextTokenizer for "
            "both."
        )
    n_long = int((tokens.lengths > room_for_text(tokens, max_length)).sum())
    if n_long and (long_documents == "truncate" or tokens.firsts is not None):
        warnings.warn(
            f"{n_long} of {len(tokens)} documents are longer than "
            f"max_length={max_length} tokens and were cut there. Raise max_length, or read "
            "them whole with long_documents='mean'.",
            UserWarning,
            stacklevel=4,
        )
    return tokens
