"""Raw input to a list of documents, or an error that names the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["check_documents", "is_missing"]


def check_documents(X: Any) -> list[str]:
    """Give the documents in `X` as a list of str.

    Parameters
    ----------
    X : iterable of str or bytes
        A list, tuple, generator, NumPy array, pandas or polars Series. An array of shape
        (n, 1) and a DataFrame with one column stand for their column. Bytes are decoded as
        UTF-8.

    Returns
    -------
    list of str
        As long as `X`. Lone surrogates, which no tokenizer takes, are replaced by U+FFFD.

    Raises
    ------
    ValueError
        If `X` is one string, has several columns, is empty, or has a row that is missing or is
        no text; the message names the row.

    Examples
    --------
    >>> from skfnet.texts import check_documents
    >>> check_documents(("good", b"bad"))
    ['good', 'bad']
    """
    documents = [_document(item, row) for row, item in enumerate(_column(X))]
    if not documents:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: "
            "X holds no documents."
        )
    return documents


def _column(X: Any) -> Iterable[Any]:
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
        return _only_column(X)
    if isinstance(X, np.ndarray):
        return _only_dimension(X)
    return X


def _only_column(frame: Any) -> Iterable[Any]:
    if frame.shape[1] != 1:
        names = ", ".join(repr(name) for name in frame.columns)
        raise ValueError(
            f"A DataFrame with one text column expected, got {frame.shape[1]} columns "
            f"({names}). Pass the column: X[name]."
        )
    return frame[frame.columns[0]]


def _only_dimension(array: np.ndarray) -> Iterable[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"An array of documents of shape (n,) or (n, 1) expected, got shape {array.shape}."
        )
    return array


def _document(item: Any, row: int) -> str:
    if isinstance(item, bytes):
        try:
            return item.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"Row {row} of X holds bytes that are not UTF-8 ({error.reason} at byte "
                f"{error.start}). Decode it with its own encoding first."
            ) from error
    if isinstance(item, str):
        return _without_lone_surrogates(item)
    if is_missing(item):
        raise ValueError(
            f"np.nan is an invalid document, expected byte or unicode string: row {row} of X is "
            f"missing ({item!r}). Drop such rows, or fill them with ''."
        )
    raise ValueError(
        f"Row {row} of X is no text: expected str or bytes, got {type(item).__name__} "
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
