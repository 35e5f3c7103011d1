"""Words described by targets: counted document by document, and only where the rules say so."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from samples import generated_reviews, small_classifier, small_pretrainer

from skfnet import FNetRegressor, TextTokenizer, supervised
from skfnet.bigrams import most_frequent_bigrams
from skfnet.target_encoding import draw_folds, target_encodings
from skfnet.windows import Windows


def by_hand(windows, targets, weights, bigrams, keep, numbers):
    """Give the descriptions out of the documents for which `keep` says so."""
    folds, tokens = windows.tokens.folds, windows.tokens
    counted = folds < 5
    mean = (weights[counted] @ targets[counted] + 0.5) / (weights[counted].sum() + 1)
    sizes = {"words": tokens.vocab_size, "bigrams": len(bigrams)}
    sizes["subwords"] = tokens.spellings.shape[1]
    n = {name: np.zeros((size, 1)) for name, size in sizes.items()}
    total = {name: np.zeros((size, targets.shape[1])) for name, size in sizes.items()}
    place = {number: i for i, number in enumerate(bigrams.tolist())}
    for i, document in enumerate(windows.document):
        if not (counted[document] and keep(folds[document])):
            continue
        weight = weights[document] / (windows.document == document).sum()
        batch = windows.batch(np.array([i]))
        ids = batch["input_ids"][0].tolist()
        pairs = {a * tokens.vocab_size + b for a, b in pairwise(ids)}
        present = {
            "words": set(ids),
            "bigrams": {place[number] for number in pairs if number in place},
            "subwords": set(batch["subwords"].tolist()),
        }
        for name, rows in present.items():
            n[name][list(rows)] += weight
            total[name][list(rows)] += weight * targets[document]
    if numbers:
        return {name: total[name] / (n[name] + 2) for name in sizes}
    return {name: np.log((total[name] / mean + 2) / (n[name] + 2)).clip(-4, 4) for name in sizes}


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("long_documents", ["truncate", "mean"])
def test_tables_are_what_counting_gives(long_documents, numbers):
    texts, topics = generated_reviews(90, seed=3)
    random = np.random.default_rng(0)
    weights = random.random(90) * 2
    targets = np.eye(3)[np.unique(topics, return_inverse=True)[1]]
    if numbers:
        targets = random.normal(size=(90, 2))
    tokens = TextTokenizer(vocab_size=300).fit_transform(texts)
    tokens = tokens.in_folds(draw_folds(90, np.arange(10, 90), seed=0))
    windows = Windows(tokens, 12, long_documents)
    bigrams = most_frequent_bigrams(windows, 100, fewest=2)
    found = target_encodings(windows, targets, weights, bigrams=bigrams, size=8, numbers=numbers)
    for fold in range(6):
        expected = by_hand(windows, targets, weights, bigrams, lambda f: f != fold, numbers)  # noqa: B023
        assert set(found) == set(expected)
        for name, table in expected.items():
            assert found[name].dtype == np.float32 and np.abs(table).max() > 0.1
            np.testing.assert_allclose(found[name][fold], table, atol=1e-4)


def test_folds_are_of_like_size_and_by_chance():
    train = np.setdiff1d(np.arange(103), [7, 50])
    folds = draw_folds(103, train, seed=0)
    assert folds[[7, 50]].tolist() == [5, 5]
    assert sorted(np.bincount(folds)) == [2, 20, 20, 20, 20, 21]
    assert (folds != draw_folds(103, train, seed=1)).any()


def test_more_outputs_than_numbers_are_seen_along_the_axes_of_most_difference():
    random = np.random.default_rng(0)
    classes = random.integers(12, size=600)
    texts = [f"w{c} x{random.integers(30)} y{c // 3}" for c in classes]
    tokens = TextTokenizer(vocab_size=400).fit_transform(texts)
    tokens = tokens.in_folds(draw_folds(600, np.arange(600), seed=0))
    windows = Windows(tokens, 12, "truncate")
    bigrams = most_frequent_bigrams(windows, 100, fewest=2)
    arguments = windows, np.eye(12)[classes], np.ones(600)
    every, few = (target_encodings(*arguments, bigrams=bigrams, size=n) for n in (12, 11))
    for name in every:
        assert few[name].shape == (*every[name].shape[:2], 11)
        # A turn that keeps nearly all of the distances between descriptions.
        lengths = [np.linalg.norm(tables[name][-1]) for tables in (every, few)]
        assert 0.9 * lengths[0] < lengths[1] <= lengths[0] * 1.0001


def encoded(estimator):
    return [bool(encoder.config.target_encoding) for encoder in estimator.encoders_]


def test_every_other_encoder_is_told_the_targets():
    texts, topics = generated_reviews(250)
    for n_encoders, expected in {1: [False], 3: [False, True, False]}.items():
        clf = small_classifier(n_encoders=n_encoders, max_epochs=1).fit(texts, topics)
        assert encoded(clf) == expected
    vectors = clf.encoders_[1].embeddings
    assert vectors.words is None and vectors.bigrams is None and vectors.subwords is None
    assert all(len(getattr(vectors.encoding, name)) == 1 for name in ("words", "subwords"))


def test_where_there_is_too_little_to_count_or_others_know_words_none_is():
    texts, topics = generated_reviews(260)
    two = dict(n_encoders=2, max_epochs=1)
    pretrainer = small_pretrainer(max_epochs=0)
    for clf in (
        small_classifier(**two).fit(texts[:249], topics[:249]),
        small_classifier(**two, target_encoding=False).fit(texts, topics),
        small_classifier(**two, architecture="paper").fit(texts, topics),
        small_classifier(**two).fit([(text, text) for text in texts], topics),
        small_classifier(**two).partial_fit(texts, topics, classes=sorted(set(topics))),
        small_classifier(n_encoders=2, pretrained=pretrainer, depth=2).fit(texts, topics),
    ):
        assert encoded(clf) == [False, False]


def test_documents_are_told_what_others_say(monkeypatch):
    """Of labels that say nothing, those left out for calibration cannot be known."""
    random = np.random.default_rng(0)
    texts = [f"w{random.integers(150)} x{random.integers(150)}" for _ in range(900)]
    labels = random.integers(2, size=900)
    seen = []

    def spy(outputs, absent, kinds, targets, *others):
        seen.append((outputs[:, 1].argmax(axis=1) == targets)[absent[:, 1]].mean())
        return np.ones(2)

    monkeypatch.setattr(supervised, "temperatures", spy)
    clf = small_classifier(n_encoders=2, width=8).fit(texts, labels)
    assert len(seen) == 1 and 0.3 < seen[0] < 0.7
    assert clf.score(texts, labels) > 0.65  # their own labels are counted now


def test_documents_held_out_by_early_stopping_are_not_counted():
    texts, topics = generated_reviews(300)
    y = np.eye(3, dtype=int)[np.unique(topics, return_inverse=True)[1]]
    clf = small_classifier(n_encoders=2, max_epochs=1, early_stopping=True)
    _, valid = clf.fit(texts, y)._split(y, seed=0)
    changed = y.copy()
    changed[valid] = 1 - y[valid]
    tables = [
        clf.fit(texts, targets).encoders_[1].embeddings.encoding.words.numpy()
        for targets in (y, changed, 1 - y)
    ]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0] != tables[2]).any()


def test_what_is_stored_answers_the_same():
    texts, topics = generated_reviews(260)
    clf = small_classifier(n_encoders=4, max_epochs=1).fit(texts, topics)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))
    assert encoded(again) == [False, True, False, True]


def test_warm_start_counts_anew_and_streams_do_not():
    texts, topics = generated_reviews(300)
    topics = np.array(topics)
    clf = small_classifier(n_encoders=2, max_epochs=1, warm_start=True).fit(texts, topics)
    first = clf.encoders_[1].embeddings.encoding
    words, pairs = first.words.clone(), first.known_bigrams
    clf.partial_fit(texts[:100], topics[:100])
    clf.fit(texts[:249], topics[:249])  # too few to count in
    assert first.words.equal(words)
    clf.fit(texts, np.roll(topics, 1))
    assert not first.words.equal(words) and len(first.words) == 1
    np.testing.assert_array_equal(first.known_bigrams, pairs)
    clf.predict(texts)


def test_tokens_of_the_user_stay_as_they_are():
    texts, topics = generated_reviews(260)
    tokens = TextTokenizer().fit_transform(texts)
    clf = small_classifier(n_encoders=2, max_epochs=1).fit(tokens, topics)
    assert encoded(clf) == [False, True] and tokens.folds is None


def test_a_corpus_without_two_equal_pairs():
    rows = [[4 + i, 300 + i] for i in range(280)]
    clf = small_classifier(n_encoders=2, max_epochs=1, tokenizer="precomputed")
    clf.fit(rows, np.arange(280) % 2)
    assert clf.encoders_[1].config.bigram_buckets == 0 < clf.encoder_.config.bigram_buckets
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(rows), clf.predict_proba(rows))


def test_what_is_counted_is_not_learned_by_heart():
    """Noisy numbers, and words of six documents each: who learns them, learns the noise."""
    random = np.random.default_rng(0)
    n, n_places = 1200, 4
    words = np.stack([random.permutation(n) // 6 for _ in range(n_places)], axis=1)
    y = random.normal(size=(n_places, n // 6))[np.arange(n_places), words].sum(axis=1)
    y += random.normal(scale=2, size=n)
    texts = [" ".join(f"{'abcd'[k]}{w}" for k, w in enumerate(row)) for row in words]
    scores = []
    for target_encoding in (False, True):
        reg = FNetRegressor(target_encoding=target_encoding, n_encoders=2, depth=0, width=16)
        reg.set_params(device="cpu", random_state=0).fit(texts[:800], y[:800])
        scores.append(reg.score(texts[800:], y[800:]))
    assert scores[1] > scores[0] + 0.05, scores


def test_several_labels_are_told_one_by_one():
    texts, topics = generated_reviews(300)
    y = np.eye(3, dtype=int)[np.unique(topics, return_inverse=True)[1]]
    y[:, 2] |= y[:, 0]
    clf = small_classifier(n_encoders=2).fit(texts[:270], y[:270])
    assert encoded(clf) == [False, True]
    assert clf.score(texts[270:], y[270:]) > 0.8
