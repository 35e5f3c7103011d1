"""Words described by targets: counted document by document, and only where the rules say so."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from samples import generated_reviews, small_classifier, small_pretrainer
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

from skfnet import FNetRegressor, TextTokenizer, supervised
from skfnet.ngrams import most_frequent_ngrams
from skfnet.target_encoding import draw_folds, target_encodings
from skfnet.windows import Windows


def by_hand(windows, targets, weights, ngrams, fold, numbers):
    """Give the descriptions out of all counted documents but those of a fold."""
    tokens = windows.tokens
    counted = (tokens.folds < 5) & (tokens.folds != fold)
    mean = weights[counted] @ targets[counted] / weights[counted].sum()
    sizes = {"words": tokens.vocab_size, "bigrams": len(ngrams[0]), "trigrams": len(ngrams[1])}
    sizes["subwords"] = tokens.spellings.shape[1]
    n = {name: np.zeros((size, 1)) for name, size in sizes.items()}
    total = {name: np.zeros((size, targets.shape[1])) for name, size in sizes.items()}
    pair, triple = ({number: i for i, number in enumerate(of.tolist())} for of in ngrams)
    for i, document in enumerate(windows.document):
        if not counted[document]:
            continue
        weight = weights[document] / (windows.document == document).sum()
        batch = windows.batch(np.array([i]))
        ids = batch["input_ids"][0].tolist()
        pairs = [pair.get(a * tokens.vocab_size + b, -1) for a, b in pairwise(ids)]
        ends = zip(pairs, ids[2:], strict=False)
        triples = {triple.get(p * tokens.vocab_size + c, -1) for p, c in ends}
        present = {
            "words": set(ids),
            "bigrams": set(pairs) - {-1},
            "trigrams": triples - {-1},
            "subwords": set(batch["subwords"].tolist()),
        }
        for name, rows in present.items():
            n[name][list(rows)] += weight
            total[name][list(rows)] += weight * targets[document]
    if numbers:
        return {name: (total[name] - n[name] * mean) / (n[name] + 2) for name in sizes}
    return {name: np.log((total[name] / mean + 2) / (n[name] + 2)).clip(-4, 4) for name in sizes}


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("long_documents", ["truncate", "mean"])
def test_tables_are_what_counting_gives(long_documents, numbers):
    texts, topics = generated_reviews(90, seed=3)
    random = np.random.default_rng(0)
    weights = random.random(90) * 2
    classes = np.unique(topics, return_inverse=True)[1]
    targets = random.normal(3, size=(90, 2)) if numbers else np.eye(3)[classes]
    tokens = TextTokenizer(vocab_size=300).fit_transform(texts)
    tokens = tokens.in_folds(draw_folds(classes, np.arange(10, 90), seed=0))
    windows = Windows(tokens, 12, long_documents)
    ngrams = most_frequent_ngrams(windows, 100, fewest=2, longest=3)
    found, _ = target_encodings(windows, targets, weights, ngrams=ngrams, size=8, numbers=numbers)
    for fold in range(6):
        expected = by_hand(windows, targets, weights, ngrams, fold, numbers)
        assert set(found) == set(expected)
        for name, table in expected.items():
            assert found[name].dtype == np.float32 and np.abs(table).max() > 0.1
            np.testing.assert_allclose(found[name][fold], table, atol=1e-4)


def test_folds_are_of_like_size_and_classes():
    train = np.setdiff1d(np.arange(103), [7, 50])
    classes = np.arange(103) % 4
    folds = draw_folds(classes, train, seed=0)
    assert folds[[7, 50]].tolist() == [5, 5]
    assert sorted(np.bincount(folds)) == [2, 20, 20, 20, 20, 21]
    for c in range(4):
        n = np.bincount(folds[train][classes[train] == c])
        assert n.max() - n.min() <= 1
    assert (folds != draw_folds(classes, train, seed=1)).any()
    numbers = draw_folds(np.zeros((103, 2)), train, seed=0)
    assert sorted(np.bincount(numbers)) == [2, 20, 20, 20, 20, 21]


def twelve_kinds(n_documents, seed=0):
    """Give documents of twelve classes, four of a kind, and the classes."""
    random = np.random.default_rng(seed)
    classes = random.integers(12, size=n_documents)
    return [f"w{c} x{random.integers(30)} y{c // 3}" for c in classes], classes


def test_more_outputs_than_numbers_are_seen_along_the_largest_axes():
    texts, classes = twelve_kinds(600)
    tokens = TextTokenizer(vocab_size=400).fit_transform(texts)
    windows = Windows(tokens.in_folds(draw_folds(classes, np.arange(600), 0)), 12, "truncate")
    arguments = windows, np.eye(12)[classes], np.ones(600)
    ngrams = most_frequent_ngrams(windows, 100, fewest=2, longest=3)
    every, none = target_encodings(*arguments, ngrams=ngrams, size=12)
    few, axes = target_encodings(*arguments, ngrams=ngrams, size=4)
    assert none is None and axes.shape == (12, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-6)
    for name, table in every.items():
        np.testing.assert_allclose(few[name], table @ axes, atol=1e-4)
    # No other axes see more of the words, each as often as it stands there.
    n = np.bincount(tokens.ids, minlength=tokens.vocab_size)[:, None]

    def seen(axes):
        return (n * (every["words"][-1] @ axes) ** 2)[4:].sum()

    others = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 4)))[0]
    assert seen(axes) > 1.1 * max(seen(np.eye(12)[:, :4]), seen(others))
    again, same = target_encodings(*arguments, ngrams=ngrams, size=4, axes=-axes)
    assert np.array_equal(same, -axes) and np.array_equal(again["words"], -few["words"])


def test_what_goes_on_keeps_its_axes():
    texts, classes = twelve_kinds(600)
    clf = small_classifier(n_encoders=2, width=8, max_epochs=8, warm_start=True)
    clf.fit(texts, classes)
    others, expected = twelve_kinds(300, seed=1)
    before = clf._model.members[1].output.weight.clone()
    said = member_outputs(clf, others)[:, 1].argmax(axis=1)
    assert np.mean(said == expected) > 0.8
    clf.set_params(learning_rate=1e-9).fit(*twelve_kinds(600, seed=2))
    torch.testing.assert_close(clf._model.members[1].output.weight, before)
    assert np.mean(member_outputs(clf, others)[:, 1].argmax(axis=1) == expected) > 0.8


def member_outputs(clf, texts):
    """Give the outputs of each encoder, shape (n_documents, n_encoders, n_outputs)."""
    flat = clf._run(lambda **batch: clf._model(**batch).flatten(1), texts)
    return flat.reshape(len(texts), len(clf.encoders_), -1)


def encoded(estimator):
    return [bool(encoder.config.target_encoding) for encoder in estimator.encoders_]


def test_every_other_encoder_is_told_the_targets():
    texts, topics = generated_reviews(250)
    for n_encoders, expected in {1: [False], 3: [False, True, False]}.items():
        clf = small_classifier(n_encoders=n_encoders, max_epochs=1).fit(texts, topics)
        assert encoded(clf) == expected
    vectors = clf.encoders_[1].embeddings
    assert vectors.words is None and vectors.bigrams is None and vectors.subwords is None
    assert vectors.encoding.words.shape == (clf.encoder_.config.vocab_size, 3)


def test_where_there_is_too_little_to_count_or_others_know_words_none_is():
    texts, topics = generated_reviews(260)
    two = dict(n_encoders=2, max_epochs=1)
    pretrainer = small_pretrainer(max_epochs=0)
    for clf in (
        small_classifier(**two).fit(texts[:249], topics[:249]),
        small_classifier(**two, target_encoding=False).fit(texts, topics),
        small_classifier(**two, architecture="paper").fit(texts, topics),
        small_classifier(**two, class_weight="balanced").fit(texts, topics),
        small_classifier(**two).fit(texts, np.eye(3, dtype=int)[np.arange(260) % 3]),
        small_classifier(**two).fit([(text, text) for text in texts], topics),
        small_classifier(**two).partial_fit(texts, topics, classes=sorted(set(topics))),
        small_classifier(n_encoders=2, pretrained=pretrainer, depth=2).fit(texts, topics),
    ):
        assert encoded(clf) == [False, False]


def test_documents_are_told_what_others_say(monkeypatch):
    """Of labels that say nothing, those left out for calibration cannot be known."""
    random = np.random.default_rng(0)
    texts = [f"w{random.integers(150)} x{random.integers(150)}" for _ in range(900)]
    seen = []

    def spy(outputs, absent, kinds, targets, *others):
        seen.append((outputs[:, 1].argmax(axis=1) == targets)[absent[:, 1]].mean())
        return np.ones(2)

    monkeypatch.setattr(supervised, "temperatures", spy)
    for _ in range(4):
        small_classifier(n_encoders=2, width=8).fit(texts, random.integers(2, size=900))
    assert len(seen) == 4 and 0.38 < np.mean(seen) < 0.62


@pytest.mark.parametrize("numbers", [False, True])
def test_a_table_does_not_tell_what_its_fold_has(numbers):
    """Of words that all documents have, nothing is told, whatever documents a table counts."""
    classes = np.random.default_rng(0).integers(50, size=400)
    targets = np.arange(400.0)[:, None] if numbers else np.eye(50)[classes]
    tokens = TextTokenizer(vocab_size=300).fit_transform(["the same words"] * 400)
    tokens = tokens.in_folds(draw_folds(targets, np.arange(400), seed=0))
    windows = Windows(tokens, 12, "truncate")
    ngrams = most_frequent_ngrams(windows, 100, fewest=2, longest=3)
    tables, _ = target_encodings(
        windows, targets, np.ones(400), ngrams=ngrams, size=50, numbers=numbers
    )
    for table in tables.values():
        assert np.abs(table).max() < 1e-3


def test_documents_held_out_by_early_stopping_are_not_counted():
    texts, topics = generated_reviews(300)
    y = np.unique(topics, return_inverse=True)[1].astype(float)
    reg = FNetRegressor(n_encoders=2, depth=0, width=8, max_epochs=1, early_stopping=True)
    reg.set_params(device="cpu", random_state=0).fit(texts, y)
    _, valid = reg._split(y[:, None], seed=0)
    tables = []
    for change in (np.zeros(300), np.isin(np.arange(300), valid), np.ones(300)):
        words = reg.fit(texts, np.where(change, 2 - y, y)).encoders_[1].embeddings.encoding.words
        tables.append(words / words.norm())  # the scale of the numbers is that of all documents
    torch.testing.assert_close(tables[0], tables[1], atol=1e-5, rtol=0)
    assert (tables[0] - tables[2]).abs().max() > 0.1


def test_only_the_most_frequent_of_very_many_pairs_and_triples_are_described(monkeypatch):
    monkeypatch.setattr("skfnet.target_encoding.MOST_NGRAMS", 7)
    clf = small_classifier(n_encoders=2, max_epochs=1).fit(*generated_reviews(260))
    config = clf.encoders_[1].config
    assert (config.bigram_buckets, config.trigram_buckets) == (7, 7)
    pairs, triples = clf.encoders_[1].embeddings.encoding.known
    windows = clf._windows(clf._tokens(clf._documents(generated_reviews(260)[0])))
    expected = most_frequent_ngrams(windows, 7, fewest=2, longest=3)
    assert np.array_equal(pairs, expected[0]) and np.array_equal(triples, expected[1])


def test_what_is_stored_answers_the_same():
    texts, topics = generated_reviews(260)
    clf = small_classifier(n_encoders=4, max_epochs=1).fit(texts, topics)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))
    assert encoded(again) == [False, True, False, True]
    assert again.encoders_[1].config.trigram_buckets > 0


def test_a_fit_that_was_stopped_before_it_counted_can_go_on(monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    texts, topics = generated_reviews(260)
    clf = small_classifier(n_encoders=2, max_epochs=1, warm_start=True)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(supervised, "describe_words", stopped)
        clf.fit(texts, topics)
    assert clf.fit(texts, topics).encoders_[1].embeddings.encoding.words.any()


def test_a_fit_that_fails_leaves_what_can_be_stored():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("enough")

    texts, topics = generated_reviews(260)
    clf = small_classifier(n_encoders=2, callbacks=[Stop()])
    with pytest.raises(RuntimeError, match="enough"):
        clf.fit(texts, topics)
    clf.set_params(callbacks=None)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))


def test_warm_start_counts_anew_and_streams_do_not():
    texts, topics = generated_reviews(300)
    others, theirs = generated_reviews(300, seed=9)
    clf = small_classifier(n_encoders=2, max_epochs=1, warm_start=True).fit(texts, topics)
    encoding = clf.encoders_[1].embeddings.encoding
    words, (pairs, triples) = encoding.words.clone(), encoding.known
    clf.partial_fit(others[:100], theirs[:100])
    clf.fit(others[:249], theirs[:249])  # too few to count in
    assert encoding.words.equal(words)
    clf.fit(others, theirs)
    assert encoding.words.shape == words.shape and not encoding.words.equal(words)
    np.testing.assert_array_equal(encoding.known[0], pairs)
    np.testing.assert_array_equal(encoding.known[1], triples)
    clf.predict(texts)


def test_weights_count():
    texts, topics = generated_reviews(300)
    y = np.unique(topics, return_inverse=True)[1]
    twice = np.where(y == 0, 2, 1)
    rows = np.repeat(np.arange(300), twice)
    tokenizer = FrozenEstimator(TextTokenizer().fit(texts))
    tables = []
    for clf, X, labels, weights in (
        (small_classifier(), texts, topics, twice),
        (small_classifier(), [texts[i] for i in rows], [topics[i] for i in rows], None),
    ):
        clf.set_params(n_encoders=2, max_epochs=1, tokenizer=tokenizer)
        encoding = clf.fit(X, labels, sample_weight=weights).encoders_[1].embeddings.encoding
        tables.append(encoding.words.numpy())
    assert np.unique(topics)[0] == "football"
    # Weights are 1 on average, so that two documents of the average are worth less than there.
    np.testing.assert_allclose(tables[0], tables[1], atol=0.3)
    plain = small_classifier(n_encoders=2, max_epochs=1).fit(texts, topics)
    assert np.abs(plain.encoders_[1].embeddings.encoding.words.numpy() - tables[0]).max() > 0.3


def test_tokens_of_the_user_stay_as_they_are():
    texts, topics = generated_reviews(260)
    tokens = TextTokenizer().fit_transform(texts)
    clf = small_classifier(n_encoders=2, max_epochs=1).fit(tokens, topics)
    assert encoded(clf) == [False, True] and tokens.folds is None


def test_a_corpus_without_two_equal_pairs():
    rows = [[4 + i, 300 + i] for i in range(280)]
    clf = small_classifier(n_encoders=2, max_epochs=1, tokenizer="precomputed")
    clf.fit(rows, np.arange(280) % 2)
    told = clf.encoders_[1].config
    assert told.bigram_buckets == told.trigram_buckets == 0 < clf.encoder_.config.bigram_buckets
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
