"""Token arrays and the batches cut from them, against plain lists."""

import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from skfnet import TextTokenizer
from skfnet.batches import SpecialTokens, TokenArray, by_length, shuffled_by_length

SPECIAL = SpecialTokens(pad=0, prefix=(1,), suffix=(2,))
ROWS = [[5, 6, 7], [], [8], [9, 9, 9, 9], [5, 6]]
ragged = st.lists(st.lists(st.integers(3, 50), max_size=12), min_size=1, max_size=10)


def tokens_of(rows, special=SPECIAL, vocab_size=51):
    return TokenArray.from_rows(rows, vocab_size, special)


def as_lists(tokens):
    return [row.tolist() for row in tokens]


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(1, 4),
        slice(None, None, -2),
        slice(3, 3),
        [0, 0, 4],
        np.array([4, 1]),
        np.array([], dtype=int),
        np.array([True, False, True, True, False]),
        [True, False, True, True, False],
        -2,
        np.int64(3),
        (np.array([4, 1]), ...),
        ([2], ...),
        (slice(2), ...),
    ],
    ids=str,
)
def test_it_is_indexed_like_an_array_of_rows(key):
    objects = np.empty(len(ROWS), dtype=object)
    objects[:] = ROWS
    expected, got = objects[key], tokens_of(ROWS)[key]
    if isinstance(expected, list):
        assert got.tolist() == expected
    else:
        assert as_lists(got) == expected.tolist()
        assert got.shape == expected.shape
        assert (got.vocab_size, got.special) == (51, SPECIAL)


def test_a_row_beyond_the_last_is_an_error():
    for key in (5, -6, [0, 5], np.array([True, False])):
        with pytest.raises(IndexError):
            tokens_of(ROWS)[key]


@given(ragged, st.data())
def test_any_choice_of_rows(rows, data):
    chosen = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=20))
    tokens = tokens_of(rows)
    part = tokens[chosen] if chosen else tokens[np.array([], dtype=int)]
    assert as_lists(part) == [rows[i] for i in chosen]
    assert part.lengths.tolist() == [len(rows[i]) for i in chosen]
    assert as_lists(tokens) == rows
    assert len(tokens) == len(rows)


def test_scikit_learn_splits_it():
    tokens = tokens_of(ROWS)
    first, second = train_test_split(tokens, test_size=2, random_state=0)
    assert isinstance(first, TokenArray)
    assert sorted(as_lists(first) + as_lists(second)) == sorted(ROWS)
    assert as_lists(_safe_indexing(tokens, [3, 0])) == [ROWS[3], ROWS[0]]


def test_it_pickles_small_and_hashes_by_content():
    tokens = tokens_of([[3, 4, 5] * 1000] * 20)
    pickled = pickle.dumps(tokens)
    assert as_lists(pickle.loads(pickled)) == as_lists(tokens)
    assert len(pickled) < 4 * 60_000 + 1000  # four bytes a token
    assert joblib.hash(tokens) == joblib.hash(pickle.loads(pickled))
    assert joblib.hash(tokens) == joblib.hash(tokens_of([[3, 4, 5] * 1000] * 20))
    assert joblib.hash(tokens) != joblib.hash(tokens[::-1][1:])
    assert "n_documents=20, n_tokens=60000" in repr(tokens)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=200), st.integers(1, 40), st.integers(0, 5)
)
def test_every_row_is_in_one_batch(lengths, batch_size, seed):
    lengths = np.array(lengths)
    for batches in (
        by_length(lengths, batch_size),
        shuffled_by_length(lengths, batch_size, np.random.default_rng(seed)),
    ):
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        assert all(0 < len(batch) <= batch_size for batch in batches)
        assert len(batches) == -(-len(lengths) // batch_size)


def padding(lengths, batches):
    """Give the share of PAD among all places of the batches."""
    places = sum(lengths[batch].max() * len(batch) for batch in batches)
    return 1 - lengths.sum() / places


def test_batches_hold_rows_of_like_length():
    random = np.random.default_rng(0)
    lengths = random.lognormal(3, 0.8, size=5000).astype(int).clip(1, 512)
    in_order = np.split(np.arange(5000), range(50, 5000, 50))
    assert padding(lengths, in_order) > 0.5
    assert padding(lengths, by_length(lengths, 50)) < 0.1
    assert padding(lengths, shuffled_by_length(lengths, 50, random)) < 0.25


def test_shuffling_gives_a_document_new_company_and_batches_no_order():
    lengths = np.repeat(np.arange(1, 101), 40)
    random = np.random.default_rng(0)
    first, second = (shuffled_by_length(lengths, 40, random) for _ in range(2))
    company = [{frozenset(batch.tolist()) for batch in epoch} for epoch in (first, second)]
    assert not company[0] & company[1]
    means = np.array([lengths[batch].mean() for batch in first])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_the_generator_decides_the_batches():
    lengths = np.arange(1, 301)
    same, again, other = (
        shuffled_by_length(lengths, 16, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(same, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(same, other, strict=True))


def test_parts_of_an_array_keep_their_spelling():
    tokens = TextTokenizer().fit_transform(["rain and cold", "soup and bread", "hail"])
    assert tokens[1:].spellings is tokens.spellings
    assert tokens[np.array([True, False, True])].spellings is tokens.spellings
