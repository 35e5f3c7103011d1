"""Raw input to a list of documents or of pairs, or an error that names the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["Texts", "are_pairs", "check_documents", "is_missing"]

Texts = list[str] | list[tuple[str, str]]


def check_documents(X: Any) -> Texts:
    """Give the documents in `X` as a list of str, or of pairs of str.

    Parameters
    ----------
    X : iterable of str, bytes, or pairs of them
        A list, tuple, generator, NumPy array, pandas or polars Series. An array of shape
        (n, 1) and a DataFrame with one column stand for their column. An array of shape (n, 2),
        a DataFrame with two columns and an iterable of tuples of two are pairs of texts. Bytes
        are decoded as UTF-8.

    Returns
    -------
    list of str, or list of tuple of two str
        As long as `X`. Lone surrogates, which no tokenizer takes, are replaced by U+FFFD.

    Raises
    ------
    ValueError
        If `X` is one string, has more than two columns, is empty, holds single texts and pairs,
        or has a row that is missing or is no text; the message names the row.

    Examples
    --------
    >>> from skfnet.texts import check_documents
    >>> check_documents(("good", b"bad"))
    ['good', 'bad']
    >>> check_documents([("a question?", "an answer.")])
    [('a question?', 'an answer.')]
    """
    documents = [_document(item, row) for row, item in enumerate(_rows(X))]
    if not documents:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: "
            "X holds no documents."
        )
    pairs = are_pairs(documents)
    for row, document in enumerate(documents):
        if isinstance(document, tuple) != pairs:
            kinds = "single text", "pair of texts"
            raise ValueError(
                f"Row {row} of X is a {kinds[not pairs]}, row 0 a {kinds[pairs]}: all rows must "
                "be of one kind."
            )
    return documents


def are_pairs(documents: Texts) -> bool:
    """Tell checked pairs of texts from checked single texts."""
    return bool(documents) and isinstance(documents[0], tuple)


def _rows(X: Any) -> Iterable[Any]:
    """Give what stands for the documents, never a DataFrame's column names or a dict's keys."""
    if isinstance(X, str | bytes):
        raise ValueError(
            "Iterable over raw text documents expected, string object received. "
            "Put a single document into a list: [text]."
        )
    if sp.issparse(X):
        raise TypeError(
            "Sparse data was passed for X, but raw text documents are required: "
            "pass the texts themselves, not their counts."
        )
    if isinstance(X, Mapping | Set) or not isinstance(X, Iterable):
        raise ValueError(
            f"Iterable over raw text documents expected, {type(X).__name__} object received. "
            "Use a list, an array or a Series of str."
        )
    if hasattr(X, "columns") and hasattr(X, "shape"):
        return _columns(X)
    if isinstance(X, np.ndarray):
        return _rows_of_array(X)
    return X


def _columns(frame: Any) -> Iterable[Any]:
    if frame.shape[1] not in (1, 2):
        names = ", ".join(repr(name) for name in frame.columns)
        raise ValueError(
            "A DataFrame with one text column, or two of pairs of texts, expected, got "
            f"{frame.shape[1]} columns ({names}). Pass the column: X[name], or two: X[[a, b]]."
        )
    return _rows_of_array(frame.to_numpy())  # by place: two columns may have one name


def _rows_of_array(array: np.ndarray) -> Iterable[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 2 and array.shape[1] == 2:
        return (tuple(row) for row in array)
    if array.ndim != 1:
        raise ValueError(
            "An array of documents of shape (n,) or (n, 1), or of pairs of shape (n, 2), expected, "
            f"got shape {array.shape}."
        )
    return array


def _document(item: Any, row: int) -> str | tuple[str, str]:
    if not isinstance(item, tuple):
        return _text(item, f"Row {row} of X")
    if len(item) != 2:
        raise ValueError(
            f"Row {row} of X is a tuple of {len(item)}: a text, or a pair of texts, expected."
        )
    first, second = item
    return _text(first, f"Row {row} of X (first text)"), _text(
        second, f"Row {row} of X (second text)"
    )


def _text(item: Any, where: str) -> str:
    if isinstance(item, bytes):
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{where} holds bytes that are not UTF-8 ({error.reason} at byte {error.start}). "
                "Decode it with its own encoding first."
            ) from error
    if isinstance(item, str):
        return _without_lone_surrogates(item)
    if is_missing(item):
        raise ValueError(
            "np.nan is an invalid document, expected byte or unicode string: "
            f"{where[0].lower()}{where[1:]} is missing ({item!r}). Drop such rows, or fill them "
            "with ''."
        )
    raise ValueError(
        f"{where} is no text: expected str or bytes, got {type(item).__name__} "
        f"({_shortened(item)})."
    )


def _without_lone_surrogates(text: str) -> str:
    """Replace what UTF-8 cannot hold; a pair written as two surrogates becomes its character."""
    if text.isascii():
        return str(text)  # a plain str also where a NumPy one came in
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str(text)


def is_missing(item: Any) -> bool:
    """Tell None, NaN, NaT and pandas' NA from everything else."""
    if item is None or item is np.ma.masked:
        return True
    try:
        return not bool(item == item)  # NaN and NaT do not equal themselves
    except (TypeError, ValueError):  # pandas.NA refuses bool(), and so does an array
        return type(item).__name__ == "NAType"


def _shortened(item: Any, limit: int = 40) -> str:
    shown = repr(item)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
