"""What there is to predict: checked labels, indicators or numbers, or an error with the row."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from .documents import Documents, take
from .texts import is_missing

__all__ = ["check_indicator", "check_labels", "check_numbers", "check_weights", "is_indicator"]


def is_indicator(y: Any) -> bool:
    """Tell a matrix of several columns, one for each label, from a column of labels."""
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    return len(shape) == 2 and shape[1] > 1


def check_labels(y: Any) -> np.ndarray:
    """Give one label a document, as an array of shape (n_documents,).

    Raises
    ------
    ValueError
        If one is missing or infinite, or they are numbers to be regressed on.
    """
    if isinstance(y, list | tuple):  # NumPy would turn ["a", nan] into the strings "a" and "nan"
        _check_present(y)
    y = column_or_1d(y, warn=True)
    if y.dtype.kind in "OfcmM":
        _check_present(y)
    check_classification_targets(y)
    return y


def check_indicator(y: Any) -> np.ndarray:
    """Give an indicator matrix, dense or sparse, as int64 of shape (n_documents, n_labels).

    Raises
    ------
    ValueError
        If it holds anything else than 0 and 1; the row is named.
    """
    matrix = y.toarray() if sp.issparse(y) else np.asarray(y)
    if matrix.dtype.kind in "biuf":
        right = (matrix == 0) | (matrix == 1)
    else:  # what may hold pandas.NA, which compares to neither
        right = np.vectorize(_is_nought_or_one, otypes=[bool])(matrix)
    wrong = np.argwhere(~right)
    if len(wrong):
        row, column = wrong[0]
        value = matrix[row].tolist()[column]
        raise ValueError(
            f"Row {row} of y holds {value!r} in column {column}: a y of several "
            "columns is an indicator matrix of labels, 0 or 1 each. (FNetRegressor predicts "
            "several numbers.)"
        )
    return matrix.astype(np.int64)


def _is_nought_or_one(value: Any) -> bool:
    return not is_missing(value) and bool(value == 0 or value == 1)


def check_numbers(y: Any) -> np.ndarray:
    """Give targets as float64, of shape (n_documents,) or (n_documents, n_outputs).

    Raises
    ------
    ValueError
        If one is no number, missing or infinite; the row is named.
    """
    if sp.issparse(y):
        raise TypeError("Sparse data was passed for y, but numbers in a dense array are required.")
    numbers = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = column_or_1d(numbers, warn=True)
    if numbers.ndim not in (1, 2):
        raise ValueError(f"y should be a 1d or 2d array, got an array of shape {numbers.shape}.")
    try:
        values = numbers.astype(np.float64)
    except (TypeError, ValueError):
        _check_real(numbers)
        raise
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argwhere(~finite)[0, 0])
        kind = "NaN" if np.isnan(values[row]).any() else "infinity"
        raise ValueError(f"Input y contains {kind}: row {row} holds {values[row]}.")
    return values


def check_weights(
    documents: Documents, y: np.ndarray, sample_weight: Any
) -> tuple[Documents, np.ndarray, np.ndarray]:
    """Check that there is a target and a weight for each document; leave rows of weight 0 out.

    Returns
    -------
    documents : list of str, list of pairs or TokenArray
    y : ndarray of shape (n_documents, ...)
    weights : ndarray of float64, shape (n_documents,)

    Raises
    ------
    ValueError
        If lengths differ, or no weight is above 0.
    """
    check_consistent_length(documents, y)
    weights = _check_sample_weight(
        sample_weight, documents, dtype=np.float64, ensure_non_negative=True
    )
    used = np.flatnonzero(weights)
    if not len(used):  # scikit-learn before 1.8 lets them through
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if len(used) < len(weights):
        documents, y, weights = take(documents, used), y[used], weights[used]
    return documents, y, weights


def _check_present(y: Iterable[Any]) -> None:
    for row, label in enumerate(y):
        if is_missing(label):
            raise ValueError(
                f"Input y contains NaN: row {row} is missing ({label!r}). Drop such rows."
            )
        if isinstance(label, Real) and np.isinf(label):
            raise ValueError(f"Input y contains infinity: row {row} holds {label!r}.")


def _check_real(numbers: np.ndarray) -> None:
    for row, values in enumerate(numbers.tolist()):
        for value in values if isinstance(values, list) else [values]:
            if is_missing(value):
                raise ValueError(f"Input y contains NaN: row {row} is missing ({value!r}).")
            try:
                float(value)
            except (TypeError, ValueError):
                raise ValueError(
                    f"Row {row} of y holds {value!r}, which is no number. (FNetClassifier "
                    "predicts labels.)"
                ) from None
