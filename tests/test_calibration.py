"""Probabilities beside the frequencies they stand for."""

import numpy as np
import pytest
import torch
from samples import generated_reviews, small_classifier
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skfnet import FNetRegressor, supervised
from skfnet.calibration import left_out, temperatures
from skfnet.objectives import ONE_CLASS, SEVERAL_LABELS


def temperature(logits, *others):
    """Give that of a single member."""
    everywhere = np.ones((len(logits), 1), dtype=bool)
    (found,) = temperatures(logits[:, None], everywhere, np.zeros(1, dtype=int), *others)
    return found


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_factor_on_the_logits(factor):
    random = np.random.default_rng(0)
    logits = random.normal(size=(8000, 3)) * 2
    classes = (softmax(logits, axis=1).cumsum(axis=1) < random.random((8000, 1))).sum(axis=1)
    several = (random.random(logits.shape) < expit(logits)).astype(np.float32)
    weights = np.ones(8000)
    found = temperature(factor * logits, classes, weights, ONE_CLASS)
    assert found == pytest.approx(factor, rel=0.05)
    found = temperature(factor * logits, several, weights, SEVERAL_LABELS)
    assert found == pytest.approx(factor, rel=0.05)


def test_few_documents_with_many_labels_are_enough():
    random = np.random.default_rng(2)
    logits = random.normal(size=(60, 90)) * 2 - 3
    labels = (random.random(logits.shape) < expit(logits)).astype(np.float32)
    found = temperature(3 * logits, labels, np.ones(60), SEVERAL_LABELS)
    assert found == pytest.approx(3, rel=0.1)


def test_a_weight_counts_as_so_many_documents():
    random = np.random.default_rng(1)
    logits, classes = random.normal(size=(60, 2)) * 3, random.integers(2, size=60)
    counts = random.integers(1, 5, size=60)
    weighted = temperature(logits, classes, counts.astype(float), ONE_CLASS)
    rows = np.arange(60).repeat(counts)
    repeated = temperature(logits[rows], classes[rows], np.ones(len(rows)), ONE_CLASS)
    assert weighted == pytest.approx(repeated, rel=1e-3)
    assert weighted != pytest.approx(temperature(logits, classes, np.ones(60), ONE_CLASS), rel=1e-3)


@pytest.mark.parametrize("n", [2, 20, 200])
def test_documents_without_an_error_do_not_lead_far(n):
    classes = np.arange(n) % 2
    logits = np.eye(2)[classes] * 3.0
    assert 0.2 < temperature(logits, classes, np.ones(n), ONE_CLASS) < 1


def test_each_half_leaves_out_a_sixteenth_of_its_own():
    one_class = np.zeros(1600, dtype=int)
    absent = left_out(one_class, 4, seed=3)
    assert absent.sum(axis=0).tolist() == [100] * 4
    assert sorted({tuple(row) for row in absent.tolist()}) == [
        (False, False, False, False),
        (False, False, True, True),
        (True, True, False, False),
    ]
    np.testing.assert_array_equal(absent, left_out(one_class, 4, seed=3))
    assert (absent != left_out(one_class, 4, seed=4)).any()
    assert left_out(one_class, 3, seed=0).sum(axis=0).tolist() == [100] * 3
    assert not left_out(one_class[:249], 4, seed=0).any()
    assert not left_out(one_class, 1, seed=0).any()


def test_documents_of_a_rare_class_or_label_are_not_left_out():
    classes = np.repeat([0, 1, 2], [600, 15, 16])
    labels = np.stack([np.ones_like(classes), classes == 1, classes == 2], axis=1).astype(
        np.float32
    )
    for targets in (classes, labels):
        absent = sum(left_out(targets, 4, seed).any(axis=1).astype(int) for seed in range(60))
        assert not absent[classes == 1].any()
        assert absent[classes == 0].any()
        assert absent[classes == 2].any()


def test_the_mean_is_over_those_who_have_not_seen_the_document():
    outputs, absent, classes = said_by_three()
    by_hand = np.array([of[those].mean(axis=0) for of, those in zip(outputs, absent, strict=True)])
    others = classes, np.ones(400), ONE_CLASS
    found = temperatures(outputs, absent, np.zeros(3, dtype=int), *others)
    np.testing.assert_allclose(found, temperature(by_hand, *others), rtol=1e-5)


def said_by_three():
    """Logits of two classes, the first 0; who has not seen the document; and the truth."""
    random = np.random.default_rng(3)
    classes = random.integers(2, size=400)
    outputs = random.normal(size=(400, 3, 2)) + (classes * [[2], [1], [2]]).T[..., None]
    outputs[..., 0] = 0
    absent = random.random((400, 3)) < 0.5
    absent[:, 0] |= ~absent.any(axis=1)
    return outputs, absent, classes


def test_two_kinds_count_as_logistic_regression_would_have_them_count():
    outputs, absent, classes = said_by_three()
    counts, kinds = np.random.default_rng(4).integers(1, 3, size=400), np.array([0, 1, 0])
    # Many documents, as far as the assumption that temperatures are near 1 is concerned.
    found = temperatures(outputs, absent, kinds, classes, counts * 1e4, ONE_CLASS)

    both = absent[:, [0, 2]].any(axis=1) & absent[:, 1]
    first = (outputs[..., 1] * absent)[:, [0, 2]].sum(axis=1)[both]
    first /= absent[:, [0, 2]].sum(axis=1)[both]
    inputs = np.stack([first * 2 / 3, outputs[both, 1, 1] / 3], axis=1)
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8)
    peer.fit(inputs, classes[both], sample_weight=counts[both])
    np.testing.assert_allclose(1 / found, peer.coef_[0][kinds], rtol=1e-3)


def test_kinds_that_no_document_compares_are_one():
    outputs, absent, classes = said_by_three()
    absent[:, 1] = ~absent[:, [0, 2]].any(axis=1)
    others = classes, np.ones(400), ONE_CLASS
    found = [temperatures(outputs, absent, np.array(k), *others) for k in ([0, 1, 0], [0, 0, 0])]
    np.testing.assert_array_equal(*found)


def doubtful_reviews(n_documents, seed):
    """Reviews of which every third has the topic of another."""
    texts, topics = generated_reviews(n_documents, seed=seed)
    random = np.random.default_rng(seed)
    wrong = random.random(n_documents) < 1 / 3
    return texts, np.where(wrong, random.permutation(topics), topics)


def test_an_encoder_learns_nothing_from_what_it_leaves_out():
    texts, topics = generated_reviews(600)
    topics, others = np.array(topics), np.roll(topics, 1)
    parameters = dict(n_encoders=2, max_epochs=2, random_state=0, target_encoding=False)
    before = small_classifier(**parameters).fit(texts, topics)
    changed = 0
    for member in (0, 1):
        absent = left_out(np.zeros(600, dtype=int), 2, seed=0)[:, member]
        after = small_classifier(**parameters).fit(texts, np.where(absent, others, topics))
        same = [
            torch.equal(a, b)
            for a, b in zip(
                before.encoders_[member].parameters(),
                after.encoders_[member].parameters(),
                strict=True,
            )
        ]
        assert all(same)
        other = zip(
            before.encoders_[1 - member].parameters(),
            after.encoders_[1 - member].parameters(),
            strict=True,
        )
        changed += any(not torch.equal(a, b) for a, b in other)
    assert changed == 2


@pytest.fixture
def found(monkeypatch):
    """Give the outputs and temperatures of the fits to come."""
    found = []

    def spy(outputs, absent, *others):
        found.append((outputs.mean(axis=1), temperatures(outputs, absent, *others)))
        return found[-1][1]

    monkeypatch.setattr(supervised, "temperatures", spy)
    return found


@pytest.mark.parametrize("target_encoding", [False, True])
def test_doubtful_labels_give_doubtful_probabilities(target_encoding, monkeypatch):
    texts, topics = doubtful_reviews(900, seed=0)
    others, expected = doubtful_reviews(900, seed=1)

    def fitted():
        clf = small_classifier(n_encoders=4, max_epochs=20, label_smoothing=0.0)
        clf.set_params(target_encoding=target_encoding)
        probabilities = clf.fit(texts, topics).predict_proba(others).astype(float)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return clf, probabilities.max(axis=1).mean(), log_loss(expected, probabilities)

    calibrated, confidence, loss = fitted()
    assert confidence == pytest.approx(calibrated.score(others, expected), abs=0.06)
    monkeypatch.setattr(supervised, "temperatures", lambda *_: np.ones(4))
    as_it_was, _, loss_before = fitted()
    assert loss < loss_before - 0.1
    if not target_encoding:  # of two kinds, the better one counts more
        np.testing.assert_array_equal(calibrated.predict(others), as_it_was.predict(others))


def test_what_early_stopping_holds_out_serves_all_encoders(found):
    texts, topics = doubtful_reviews(400, seed=0)
    clf = small_classifier(early_stopping=True, n_encoders=3, validation_fraction=0.2)
    clf.set_params(target_encoding=False)
    clf.fit(texts, topics)
    ((outputs, factor),) = found
    assert outputs.shape == (80, 3)
    everywhere = clf.decision_function(texts)
    distances = np.abs(outputs[:, None] / factor[0] - everywhere).max(axis=2)
    assert distances.min(axis=1).max() < 1e-4


def test_numbers_few_documents_and_one_encoder_are_left_alone(found):
    texts, topics = generated_reviews(600)
    numbers = np.unique(topics, return_inverse=True)[1]
    FNetRegressor(depth=0, width=8, n_encoders=2, max_epochs=1, device="cpu").fit(texts, numbers)
    small_classifier(n_encoders=2, max_epochs=1).fit(texts[:249], topics[:249])
    small_classifier(max_epochs=1).fit(texts, topics)
    assert found == []


def test_several_labels_are_calibrated_too(found):
    texts, topics = doubtful_reviews(900, seed=2)
    others, expected = doubtful_reviews(900, seed=3)
    names = np.unique(topics)
    y, truth = (np.equal.outer(t, names).astype(int) for t in (topics, expected))
    clf = small_classifier(n_encoders=4, max_epochs=20).fit(texts, y)
    assert found[0][1][0] > 1.2
    assert clf.predict_proba(others).mean() == pytest.approx(truth.mean(), abs=0.05)


def test_what_is_left_out_does_not_lower_the_loss_shown():
    texts, topics = generated_reviews(600)
    clf = small_classifier(n_encoders=2, max_epochs=1, learning_rate=1e-12, label_smoothing=0.0)
    clf.fit(texts, topics)  # has learned nothing: all classes are equally likely
    assert clf.history_[0]["train_loss"] == pytest.approx(np.log(len(set(topics))), rel=0.02)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_goes_on_stays_calibrated(early_stopping):
    texts, topics = doubtful_reviews(520, seed=0)
    others, expected = doubtful_reviews(400, seed=1)
    clf = small_classifier(n_encoders=2, max_epochs=12, label_smoothing=0.0, warm_start=True)
    clf.set_params(target_encoding=False)
    # A tenth would be 52 documents, whose own accuracy is off by .1 now and then.
    clf.set_params(early_stopping=early_stopping, n_iter_no_change=12, validation_fraction=0.3)
    clf.fit(texts, topics)
    for go_on in (clf.fit, clf.partial_fit):
        go_on(texts, topics)
        confidence = clf.predict_proba(others).max(axis=1).mean()
        assert confidence == pytest.approx(clf.score(others, expected), abs=0.1)
