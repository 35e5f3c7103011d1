"""What there is to predict, checked."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skfnet import targets


def test_weights_and_labels_are_checked_together():
    documents, y, weights = targets.check_weights(
        ["a", "b", "c"], targets.check_labels([1, 2, 3]), [1, 0, 2]
    )
    assert (documents, y.tolist(), weights.tolist()) == (["a", "c"], [1, 3], [1, 2])


@pytest.mark.parametrize(
    "y",
    [
        [[0, 1], [1, 1], [0, 0]],
        np.array([[0, 1], [1, 1], [0, 0]], dtype=bool),
        np.array([[0, 1], [1, 1], [0, 0]], dtype=float),
        pd.DataFrame({"joy": [0, 1, 0], "fear": [1, 1, 0]}),
        sp.csr_matrix([[0, 1], [1, 1], [0, 0]]),
        sp.csr_array([[0, 1], [1, 1], [0, 0]]),
    ],
    ids=["list", "bool", "float", "frame", "matrix", "sparse array"],
)
def test_indicators(y):
    assert targets.is_indicator(y)
    matrix = targets.check_indicator(y)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[0, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 1], [1, 2]], "Row 1 of y holds 2 in column 1"),
        ([[0, 1], [np.nan, 1]], "Row 1 of y holds nan in column 0"),
        ([[0, 1], [0, -1]], "Row 1 of y holds -1 in column 1"),
        ([["a", "b"], ["b", "a"]], "Row 0 of y holds 'a' in column 0"),
        ([[0, None], [1, 1]], "Row 0 of y holds None in column 1"),
        ([[0, 1], [1, pd.NA]], "Row 1 of y holds <NA> in column 1"),
    ],
)
def test_other_matrices_are_no_indicators(y, message):
    with pytest.raises(ValueError, match=message):
        targets.check_indicator(y)


@pytest.mark.parametrize("y", [[1, 2], ["a", "b"], [[1], [2]], pd.Series(["a", "b"])])
def test_a_column_is_no_indicator(y):
    assert not targets.is_indicator(y)


@pytest.mark.parametrize(
    ("y", "shape"),
    [
        ([1, 2.5], (2,)),
        (np.array([1, 2], dtype=np.int8), (2,)),
        (pd.Series([1.0, 2.0]), (2,)),
        ([True, False], (2,)),
        ([[1, 2], [3, 4]], (2, 2)),
        (pd.DataFrame({"a": [1, 2], "b": [3.5, 4]}), (2, 2)),
        (np.array([1, 2], dtype=object), (2,)),
    ],
)
def test_numbers(y, shape):
    numbers = targets.check_numbers(y)
    assert numbers.dtype == np.float64
    assert numbers.shape == shape
    np.testing.assert_array_equal(numbers, np.asarray(y, dtype=float))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, None], "y contains NaN: row 1"),
        ([1, np.nan], "y contains NaN: row 1"),
        (pd.Series([1, pd.NA], dtype="Int64"), "y contains NaN: row 1"),
        ([1, -np.inf], "y contains infinity: row 1"),
        ([[1, 2], [3, np.nan]], "y contains NaN: row 1"),
        ([1, "two"], "Row 1 of y holds 'two', which is no number"),
        ([[[1]], [[2]]], r"shape \(2, 1, 1\)"),
    ],
)
def test_what_is_no_number_is_named(y, message):
    with pytest.raises(ValueError, match=message):
        targets.check_numbers(y)
