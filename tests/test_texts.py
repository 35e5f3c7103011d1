"""What counts as documents, and what the errors say."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from skfnet.texts import check_documents, is_missing

TEXTS = ["good film", "", "très 好"]


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS, dtype=object)[:, None],
        np.array(TEXTS, dtype=np.dtypes.StringDType()),
        [text.encode() for text in TEXTS],
        [np.str_(text) for text in TEXTS],
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, index=[7, 3, 3]),
        pd.Index(TEXTS),
        pd.DataFrame({"text": TEXTS}),
        pd.DataFrame({("a", "b"): TEXTS}),
        pd.DataFrame({0: TEXTS}, index=["x", "y", "z"]),
        pl.Series(TEXTS),
        pl.DataFrame({"text": TEXTS}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_all_that_holds_texts_gives_a_list_of_plain_str(X):
    documents = check_documents(X)
    assert documents == TEXTS
    assert all(type(document) is str for document in documents)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("good film", ValueError, r"string object received.*\[text\]"),
        (np.str_("good film"), ValueError, "string object received"),
        (b"good film", ValueError, "string object received"),
        (None, ValueError, "NoneType object received"),
        (5, ValueError, "int object received"),
        ({"a": "b"}, ValueError, "dict object received"),
        ({"a", "b"}, ValueError, "set object received"),
        (pl.DataFrame({"a": TEXTS}).lazy(), ValueError, "LazyFrame object received"),
        (sparse.eye_array(3, format="csr"), TypeError, "Sparse data.*texts themselves"),
        ([], ValueError, "0 sample.*no documents"),
        (np.array([]), ValueError, "0 sample.*no documents"),
        (pd.DataFrame({"a": []}), ValueError, "0 sample.*no documents"),
        (["a", None], ValueError, "row 1 of X is missing.*None.*Drop"),
        (["a", "b", float("nan")], ValueError, "row 2 of X is missing.*nan"),
        (["a", pd.NA], ValueError, "row 1 of X is missing.*<NA>"),
        (["a", pd.NaT], ValueError, "row 1 of X is missing.*NaT"),
        (pd.Series(["a", None]), ValueError, "row 1 of X is missing"),
        (pd.Series(["a", None], dtype="string"), ValueError, "row 1 of X is missing"),
        (pl.Series(["a", None]), ValueError, "row 1 of X is missing"),
        (np.array(["a", np.nan], dtype=object), ValueError, "row 1 of X is missing"),
        (["a", 3], ValueError, r"Row 1 of X is no text.*int \(3\)"),
        (np.arange(3.0), ValueError, "Row 0 of X is no text.*float64"),
        (pd.Series([1, 2]), ValueError, "Row 0 of X is no text"),
        (["a", ["b", "c"]], ValueError, "Row 1 of X is no text.*list"),
        ([np.array(["a", "b"])], ValueError, "Row 0 of X is no text.*ndarray"),
        (["a", b"\xff\xfe"], ValueError, "Row 1 of X holds bytes that are not UTF-8.*Decode"),
        (["a", bytearray(b"b")], ValueError, "Row 1 of X is no text.*bytearray"),
        (np.array([["a", "b", "c"]]), ValueError, r"shape \(1, 3\)"),
        ([("a", "b"), ("a",)], ValueError, "Row 1 of X is a tuple of 1"),
        ([("a", "b"), ("a", None)], ValueError, r"row 1 of X \(second text\) is missing"),
        ([("a", "b"), (3, "a")], ValueError, r"Row 1 of X \(first text\) is no text.*int"),
        ([("a", "b"), "a"], ValueError, "Row 1 of X is a single text, row 0 a pair of texts"),
        (["a", ("a", "b")], ValueError, "Row 1 of X is a pair of texts, row 0 a single text"),
        (np.array("a"), ValueError, r"shape \(\)"),
        (
            pd.DataFrame({"id": TEXTS, "title": TEXTS, "body": TEXTS}),
            ValueError,
            r"3 columns \('id', 'title', 'body'\).*X\[name\]",
        ),
        (pl.DataFrame({"a": TEXTS, "b": TEXTS, "c": TEXTS}), ValueError, "3 columns.*'a', 'b'"),
    ],
)
def test_errors_name_the_row_and_what_to_do(X, error, message):
    with pytest.raises(error, match=message):
        check_documents(X)


@pytest.mark.parametrize(
    "X",
    [
        list(zip(TEXTS, TEXTS[::-1], strict=True)),
        (pair for pair in zip(TEXTS, TEXTS[::-1], strict=True)),
        np.array([TEXTS, TEXTS[::-1]]).T,
        np.array([TEXTS, TEXTS[::-1]], dtype=object).T,
        pd.DataFrame({"title": TEXTS, "body": TEXTS[::-1]}),
        pl.DataFrame({"title": TEXTS, "body": TEXTS[::-1]}),
        pd.DataFrame(list(zip(TEXTS, TEXTS[::-1], strict=True)), columns=["text", "text"]),
        [(a.encode(), b) for a, b in zip(TEXTS, TEXTS[::-1], strict=True)],
    ],
    ids=["tuples", "generator", "U-array", "object array", "pandas", "polars", "one name", "bytes"],
)
def test_pairs_of_texts(X):
    documents = check_documents(X)
    assert documents == list(zip(TEXTS, TEXTS[::-1], strict=True))
    assert all(type(text) is str for pair in documents for text in pair)


def test_a_long_row_is_not_printed_whole():
    with pytest.raises(ValueError, match="Row 0") as caught:
        check_documents([["word"] * 10_000])
    assert len(str(caught.value)) < 200


def test_the_name_of_a_column_is_never_a_document():
    frame = pd.DataFrame({"text": [f"document {i}" for i in range(60)]})
    assert check_documents(frame) == frame["text"].tolist()


@given(st.lists(st.text(st.characters()), min_size=1))
def test_what_can_be_encoded_stays_as_it_is(texts):
    assert check_documents(texts) == texts
    assert check_documents([text.encode() for text in texts]) == texts


SURROGATES = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"])


@given(st.lists(st.one_of(st.characters(exclude_categories=["Cs"]), SURROGATES)))
def test_lone_surrogates_alone_are_replaced(characters):
    text = "".join(characters)
    # Two surrogates in a row may be one character cut in half: joined, not replaced.
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    expected = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in joined)
    assert check_documents([text]) == [expected]


@pytest.mark.parametrize("item", [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT")])
def test_missing(item):
    assert is_missing(item)


@pytest.mark.parametrize("item", ["", "nan", "None", 0, False, [], np.array([1, 2]), b"", object()])
def test_not_missing(item):
    assert not is_missing(item)
