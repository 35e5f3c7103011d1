"""The most frequent runs of tokens, counted one by one."""

import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from skfnet import FNetClassifier, TextTokenizer
from skfnet.batches import SpecialTokens, TokenArray
from skfnet.ngrams import most_frequent_ngrams
from skfnet.windows import Windows

SPECIAL = SpecialTokens(0, (1,), (2,), unknown=3)


def counted(windows):
    """Count the pairs of what the encoder is given."""
    counts = Counter()
    for i in range(len(windows)):
        ids = windows.batch(np.array([i]))["input_ids"][0].tolist()
        counts.update(pairwise(ids))
    return counts


def random_rows(n, vocab_size, longest, seed=0):
    random = np.random.default_rng(seed)
    # Small ids are frequent.
    return [
        (4 + (vocab_size - 4) * random.random(random.integers(longest)) ** 3).astype(int).tolist()
        for _ in range(n)
    ]


@pytest.mark.parametrize("long_documents", ["truncate", "mean"])
@pytest.mark.parametrize("most", [1, 20, 150])
def test_they_are_those_counted_most_often(most, long_documents):
    tokens = TokenArray.from_rows(random_rows(600, 40, 30), 40, SPECIAL)
    windows = Windows(tokens, 17, long_documents)
    counts = counted(windows)
    (found,) = most_frequent_ngrams(windows, most)
    assert found.dtype == np.int64 and (np.diff(found) > 0).all() and len(found) == most
    taken = {divmod(number, 40) for number in found.tolist()}
    ordered = sorted(counts, key=lambda pair: (-counts[pair], pair))
    assert taken == set(ordered[:most])
    (everything,) = most_frequent_ngrams(windows, len(counts) + 1)
    assert {divmod(number, 40) for number in everything.tolist()} == set(counts)


@pytest.mark.parametrize("most", [12, 10**6])
@pytest.mark.parametrize("long_documents", ["truncate", "mean"])
def test_longer_runs_go_on_from_shorter_ones(most, long_documents):
    tokens = TokenArray.from_rows(random_rows(300, 30, 30), 30, SPECIAL)
    windows = Windows(tokens, 17, long_documents)
    rows = [windows.batch(np.array([i]))["input_ids"][0].tolist() for i in range(len(windows))]
    shorter = [(token,) for token in range(30)]
    found = most_frequent_ngrams(windows, most, fewest=2, longest=4)
    assert len(found) == 3
    for length, numbers in enumerate(found, 2):
        runs = [(*shorter[number // 30], number % 30) for number in numbers.tolist()]
        ends = [row[i : i + length] for row in rows for i in range(len(row) - length + 1)]
        counts = Counter(map(tuple, ends))
        known = set(shorter)
        able = [run for run, n in counts.items() if n > 1 and run[:-1] in known]
        assert len(runs) == min(most, len(able)) and set(runs) <= set(able)
        fewest = min(counts[run] for run in runs)
        assert all(run in runs for run in able if counts[run] > fewest)
        shorter = runs


def test_where_no_run_is_frequent_the_list_ends():
    tokens = TokenArray.from_rows([[4, 5, 6], [4, 5, 7], [8, 5, 6]], 30, SPECIAL)
    windows = Windows(tokens, 17, "truncate")
    assert [len(of) for of in most_frequent_ngrams(windows, 99, fewest=2, longest=9)] == [4, 2]
    assert most_frequent_ngrams(windows, 99, fewest=4, longest=9) == []


def test_of_pairs_of_texts_and_of_words_that_nobody_knows():
    texts = [("a black cat", "the cat sat"), ("the dog", "a dog barked"), ("a", "the cat")] * 3
    tokenizer = TextTokenizer(vocab_size=270).fit(texts)
    tokens = tokenizer.transform([*texts, ("unheard of", "the unseen")])
    assert (tokens.ids >= tokens.vocab_size).any()
    windows = Windows(tokens, 32, "truncate")
    counts = counted(windows)
    (found,) = most_frequent_ngrams(windows, 1000)
    assert {divmod(number, tokens.vocab_size) for number in found.tolist()} == set(counts)


@pytest.fixture(scope="module")
def many():
    """Give documents with more pairs of tokens than there are rows for them."""
    rows = random_rows(700, 2**10 - 1, 250)
    assert len({pair for row in rows for pair in pairwise(row)}) > 2**15
    return [row or [5] for row in rows], np.arange(700) % 2


def quick(**changes):
    sizes = dict(tokenizer="precomputed", depth=0, width=2, n_encoders=2, max_epochs=1)
    changes = {"target_encoding": False} | changes
    return FNetClassifier(**sizes | dict(random_state=0, device="cpu") | changes)


def test_more_pairs_than_hashes_have_a_row_each(many):
    X, y = many
    clf = quick().fit(X, y)
    expected = counted(clf._windows(clf._tokens(clf._documents(X))))
    for encoder in clf.encoders_:
        assert encoder.config.bigram_rows == "known"
        bigrams = encoder.embeddings.bigrams
        n_ids = encoder.config.vocab_size
        assert {divmod(number, n_ids) for number in bigrams.known.numbers.tolist()} == set(expected)
        learned = (bigrams.table.weight != 0).any(dim=1).double().mean()
        assert learned > 0.2  # in one epoch, of which half is left out
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert quick().fit(X[:50], y[:50]).encoder_.config.bigram_rows == "hashed"


def test_only_the_most_frequent_of_very_many_have_a_row(many, monkeypatch):
    X, y = many
    monkeypatch.setattr("skfnet.ngrams.MOST_NGRAMS", 2**15 + 100)
    clf = quick().fit(X, y)
    windows = clf._windows(clf._tokens(clf._documents(X)))
    bigrams = clf.encoder_.embeddings.bigrams
    assert bigrams.table.num_embeddings == clf.encoder_.config.bigram_buckets == 2**15 + 100
    (expected,) = most_frequent_ngrams(windows, 2**15 + 100)
    assert np.array_equal(bigrams.known.numbers.numpy(), expected)


def test_a_stream_has_pairs_to_come_and_hashes_them(many):
    X, y = many
    clf = quick().partial_fit(X, y, classes=[0, 1])
    assert clf.encoder_.config.bigram_rows == "hashed"


def test_what_goes_on_keeps_the_pairs_it_knows(many):
    X, y = many
    clf = quick(warm_start=True).fit(X, y)
    before = clf.encoder_.embeddings.bigrams.known.numbers.clone()
    clf.fit(X[:50], y[:50])
    clf.partial_fit(X[50:90], y[50:90])
    assert torch.equal(clf.encoder_.embeddings.bigrams.known.numbers, before)
