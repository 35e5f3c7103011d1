"""FNetClassifier: what it promises about fitting, predicting, inputs and parameters."""

import copy
import pickle
import random
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import generated_reviews, read_label_sets, read_rows, small_classifier
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import Callback

from skfnet import FNetClassifier, TextTokenizer
from skfnet.batches import TokenArray
from skfnet.nn import Encoder
from skfnet.windows import Windows

METHODS = ["predict", "predict_proba", "decision_function", "transform"]
cut = pytest.mark.filterwarnings("ignore:.*documents are longer")


def weights_of(clf):
    return {name: t.clone() for name, t in clf.encoder_.state_dict().items()}


def same_bits(one, other, texts):
    """Say whether two classifiers are the same: vocabulary, weights and answers."""
    vocabularies = [clf.tokenizer_.tokenizer_.to_str() for clf in (one, other)]
    first, second = weights_of(one), weights_of(other)
    return (
        vocabularies[0] == vocabularies[1]
        and all(torch.equal(first[name], second[name]) for name in first | second)
        and np.array_equal(one.decision_function(texts), other.decision_function(texts))
    )


# --- learning ---------------------------------------------------------------------------


def test_it_learns_topics_from_words(reviews, fitted):
    _, _, texts, topics = reviews
    assert accuracy_score(topics, fitted.predict(texts)) > 0.95
    assert fitted.score(texts, topics) == accuracy_score(topics, fitted.predict(texts))


def test_it_learns_real_questions(trec):
    train, labels, test, expected = trec
    clf = FNetClassifier(width=64, depth=1, max_epochs=3, random_state=0, device="cpu")
    assert clf.fit(train, labels).score(test, expected) > 0.75


def test_the_defaults_take_enough_steps_on_500_questions():
    texts, labels = read_rows("trec6", "train")
    clf = FNetClassifier(random_state=0, device="cpu").fit(texts[:500], labels[:500])
    assert clf.score(texts[:500], labels[:500]) > 0.99
    assert clf.score(texts[500:1500], labels[500:1500]) > 0.6  # of six classes


def test_it_learns_real_docstrings(docstrings):
    clf = FNetClassifier(n_encoders=1, depth=1, max_length=64, max_epochs=4, random_state=0)
    with pytest.warns(UserWarning, match="longer than max_length=64"):
        clf.fit(docstrings.train_texts[:2000], docstrings.train_labels[:2000])
        score = clf.score(docstrings.test_texts, docstrings.test_labels)
    assert score > 0.4  # of six classes


@pytest.mark.parametrize(
    ("layout", "mixers"), [("top", ("hartley", "attention")), ("bottom", ("attention", "hartley"))]
)
def test_mixer_and_attention_layers_reach_the_encoder(layout, mixers, reviews):
    clf = small_classifier(
        depth=2, mixer="hartley", attention_layers=1, attention_layout=layout, max_epochs=1
    )
    blocks = clf.fit(*reviews[:2]).encoder_.blocks
    assert clf.encoder_.config.mixers == mixers
    names = [type(block.mixer).__name__.removesuffix("Mixer").lower() for block in blocks]
    assert tuple(names) == mixers


@pytest.mark.parametrize(
    ("architecture", "mixer"), [("default", "fourier_frames"), ("paper", "fourier")]
)
def test_the_mixer_goes_with_the_architecture(architecture, mixer, reviews):
    clf = small_classifier(architecture=architecture, depth=1, max_epochs=1).fit(*reviews[:2])
    assert clf.encoder_.config.mixers == (mixer,)
    clf.set_params(mixer="hartley").fit(*reviews[:2])
    assert clf.encoder_.config.mixers == ("hartley",)


def test_word_order_can_be_learned():
    draw = random.Random(0)
    texts, labels = [], []
    for _ in range(300):
        words = [draw.choice(["one", "two", "three", "four"]) for _ in range(draw.randint(0, 3))]
        pair = draw.choice(["cat dog", "dog cat"])
        texts.append(" ".join([*words, pair]))
        labels.append(pair)
    clf = small_classifier(width=32, max_epochs=25, dropout=0.0, learning_rate=5e-3)
    assert clf.fit(texts[:200], labels[:200]).score(texts[200:], labels[200:]) > 0.9


@pytest.mark.parametrize("pooling", ["mean_max", "mean", "max", "cls"])
def test_shapes_and_kinds_of_results(pooling, reviews):
    texts, topics, others, _ = reviews
    clf = small_classifier(pooling=pooling).fit(texts, topics)
    assert clf.predict(others).shape == (60,)
    assert set(clf.predict(others)) <= set(topics)
    assert clf.classes_.tolist() == sorted(set(topics))
    probabilities = clf.predict_proba(others)
    assert probabilities.shape == (60, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities >= 0).all()
    logits = clf.decision_function(others)
    np.testing.assert_allclose(softmax(logits, axis=1), probabilities, rtol=1e-5)
    assert (clf.classes_[logits.argmax(axis=1)] == clf.predict(others)).all()
    vectors = clf.transform(others)
    assert vectors.shape == (60, 16)
    assert vectors.dtype == np.float32
    names = clf.get_feature_names_out()
    assert len(set(names)) == 16
    assert names[3] == "fnetclassifier3"
    assert isinstance(clf.encoder_, Encoder)
    assert clf.device_ == torch.device("cpu")
    assert np.array_equal(clone(clf).fit_transform(texts, topics), clf.transform(texts))


def test_two_classes_have_one_decision(reviews):
    texts, topics, others, _ = reviews
    clf = small_classifier().fit(texts, topics == "kitchen")
    decisions = clf.decision_function(others)
    assert decisions.shape == (60,)
    np.testing.assert_allclose(expit(decisions), clf.predict_proba(others)[:, 1], rtol=1e-5)
    assert ((decisions > 0) == clf.predict(others)).all()


@pytest.mark.parametrize(
    "labels",
    [
        [-3, 5, 17],
        [1, 2, 3],
        np.array([0, 7, 200], dtype=np.uint8),
        [1.0, 2.0, 3.0],
        ["", "b", "ü"],
        np.array(["a", "b", "c"], dtype=object),
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], dtype="datetime64[D]"),
    ],
    ids=str,
)
def test_labels_of_any_kind(labels, reviews, fitted):
    texts, topics, others, _ = reviews
    numbers = np.searchsorted(fitted.classes_, topics)
    labels = np.asarray(labels)
    clf = small_classifier().fit(texts, labels[numbers])
    assert clf.classes_.dtype.kind == labels.dtype.kind
    assert clf.classes_.tolist() == labels.tolist()
    assert np.array_equal(clf.predict_proba(others), fitted.predict_proba(others))
    expected = labels[np.searchsorted(fitted.classes_, fitted.predict(others))]
    assert np.array_equal(clf.predict(others), expected)
    assert clf.predict(others).dtype == clf.classes_.dtype


@pytest.mark.parametrize(
    "y", [[True, False] * 6, np.array([True, False] * 6), pd.Series([True, False] * 6)]
)
def test_boolean_labels_stay_boolean(y):
    clf = small_classifier().fit(["rain", "soup"] * 6, y)
    assert clf.classes_.tolist() == [False, True]
    assert clf.predict(["rain", "soup"]).dtype == bool


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        tuple,
        pd.Series,
        pd.Categorical,
        lambda y: pd.Series(y, dtype="category", index=range(100, 112)),
        lambda y: pd.Series(y, dtype="string"),
        pl.Series,
        lambda y: np.array(y, dtype=object),
        lambda y: pd.DataFrame({"label": y})["label"],
    ],
)
def test_labels_in_any_container(wrap):
    texts, labels = ["rain", "soup"] * 6, ["w", "k"] * 6
    clf = small_classifier().fit(texts, wrap(labels))
    assert clf.classes_.tolist() == ["k", "w"]
    assert clf.score(texts, wrap(labels)) == 1
    expected = small_classifier().fit(texts, labels).predict_proba(texts)
    assert np.array_equal(clf.predict_proba(texts), expected)


# --- one document, one answer -----------------------------------------------------------


@pytest.fixture(
    scope="module", params=["mean_max", "mean", "max", "cls", "untrained", "default size"]
)
def any_model(request, reviews):
    """Give a classifier of each pooling, one whose training moved nothing, one of default size."""
    texts, topics, _, _ = reviews
    if request.param == "untrained":
        clf = small_classifier(depth=2, learning_rate=1e-30, max_epochs=1)
    elif request.param == "default size":
        clf = FNetClassifier(max_epochs=3, random_state=0, device="cpu")
    else:
        clf = small_classifier(depth=2, pooling=request.param, max_epochs=3)
    return copy.deepcopy(clf.fit(texts, topics))


COMPANY = generated_reviews(40, seed=5, longest=75)[0] + ["", "rain", " ", "人" * 30, "a" * 500]


@cut
@settings(max_examples=30)
@given(
    rows=st.lists(st.integers(0, len(COMPANY) - 1), min_size=1, max_size=40),
    batch_size=st.integers(1, 50),
)
def test_an_answer_depends_on_the_document_alone(any_model, rows, batch_size):
    alone = _alone(any_model)
    any_model.set_params(batch_size=batch_size)
    texts = [COMPANY[row] for row in rows]
    for method in ("predict_proba", "transform", "decision_function"):
        together = getattr(any_model, method)(texts)
        np.testing.assert_allclose(together, alone[method][rows], rtol=0, atol=1e-5)


def _alone(clf):
    if not hasattr(clf, "alone"):
        clf.alone = {
            method: np.vstack([getattr(clf, method)([text]) for text in COMPANY])
            for method in ("predict_proba", "transform", "decision_function")
        }
        assert np.ptp(clf.alone["transform"], axis=0).max() > 0.1  # documents do differ
    return clf.alone


@cut
def test_answers_at_every_length_up_to_max_length(reviews):
    texts, topics, _, _ = reviews
    clf = small_classifier(max_length=512, depth=2, max_epochs=2).fit(texts, topics)
    words = " ".join(COMPANY).split()
    lengths = [*range(1, 12), 100, 380, 381, 382, 383, 384, 500, 509, 510, 511, 900]
    texts = [" ".join(words[:n]) for n in lengths]
    for method in ("predict_proba", "transform"):
        alone = np.vstack([getattr(clf, method)([text]) for text in texts])
        together = getattr(clf, method)(texts)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    # 510 tokens fit beside [CLS] and [SEP]: from there on all answers are one.
    np.testing.assert_allclose(together[-3:], together[[-3]].repeat(3, axis=0), atol=1e-5)


@cut
def test_answers_in_bfloat16_differ_by_little(reviews, fitted):
    half = copy.deepcopy(fitted).set_params(precision="bfloat16")
    alone = np.vstack([half.predict_proba([text]) for text in COMPANY])
    assert np.abs(half.predict_proba(COMPANY) - alone).max() < 0.03
    assert np.abs(half.predict_proba(COMPANY) - fitted.predict_proba(COMPANY)).max() < 0.03


def test_training_in_bfloat16_learns_as_well(reviews):
    texts, topics, others, expected = reviews
    clf = small_classifier(precision="bfloat16").fit(texts, topics)
    assert clf.score(others, expected) > 0.95
    assert all(weight.dtype == torch.float32 for weight in weights_of(clf).values())


# --- repeatable -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [{}, {"early_stopping": True}, {"random_state": 3, "pooling": "cls", "depth": 2}],
    ids=str,
)
def test_fit_twice_is_fit_once(parameters, reviews):
    texts, topics, others, _ = reviews
    once = small_classifier(**parameters).fit(texts, topics)
    others_first = generated_reviews(50, seed=9)
    twice = small_classifier(**parameters).fit(*others_first)
    assert not same_bits(once, twice, others)
    twice.fit(texts, topics)
    assert same_bits(once, twice, others)
    assert [row["train_loss"] for row in once.history_] == [
        row["train_loss"] for row in twice.history_
    ]
    twice.partial_fit(texts, topics)
    assert same_bits(once, twice.fit(texts, topics), others)


def test_random_state_decides_everything(reviews):
    texts, topics, others, _ = reviews
    one, same, other = (
        small_classifier(random_state=seed).fit(texts, topics) for seed in (1, 1, 2)
    )
    assert same_bits(one, same, others)
    assert not same_bits(one, other, others)
    drawn, same = (
        small_classifier(random_state=np.random.RandomState(4)).fit(texts, topics) for _ in "ab"
    )
    assert same_bits(drawn, same, others)
    assert not same_bits(drawn, clone(drawn).fit(*reviews[:2]).fit(texts, topics), others)
    free, freer = (small_classifier(random_state=None).fit(texts, topics) for _ in range(2))
    assert not same_bits(free, freer, others)


@pytest.mark.parametrize("random_state", [None, 0, np.random.RandomState(0)], ids=str)
def test_the_global_random_states_are_left_alone(random_state, reviews, tmp_path):
    texts, topics, others, _ = reviews

    def states():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    before = states()
    clf = small_classifier(random_state=random_state, early_stopping=True).fit(texts, topics)
    assert states() == before
    clf.partial_fit(texts, topics)
    assert states() == before
    for method in METHODS:
        getattr(clf, method)(others)
    assert states() == before
    twin = copy.deepcopy(clf)
    assert states() == before
    twin.predict(others)
    assert states() == before


def test_nor_do_they_decide_anything(reviews, fitted):
    texts, topics, others, _ = reviews
    random.seed(1), np.random.seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert same_bits(small_classifier().fit(texts, topics), fitted, others)


def test_predicting_changes_nothing(reviews, fitted):
    texts, topics, others, _ = reviews
    clf = small_classifier().fit(texts, topics)
    before = copy.deepcopy(vars(clf)["_model"].state_dict())
    answers = [getattr(clf, method)(others) for method in METHODS]
    again = [getattr(clf, method)(others) for method in METHODS]
    assert all(np.array_equal(a, b) for a, b in zip(answers, again, strict=True))
    after = vars(clf)["_model"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# --- weights ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contested():
    """Give tokens and labels such that the answer is a matter of weight: same texts, two labels."""
    texts, _ = generated_reviews(15, seed=3, longest=12)
    tokens = TextTokenizer(min_frequency=1).fit_transform(texts * 2)
    labels = np.repeat([0, 1], 15)
    return tokens, labels


def full_batch(**changes):
    """Give a classifier without chance: each epoch is one step over all rows, no dropout."""
    parameters = dict(batch_size=1000, dropout=0.0, max_epochs=30, label_smoothing=0)
    return small_classifier(**(parameters | changes))


def duplicated(rows, counts):
    return np.repeat(np.arange(len(rows)), counts)


def test_weight_two_is_two_copies_where_nothing_is_random(contested):
    tokens, labels = contested
    counts = np.random.default_rng(0).integers(1, 5, size=len(labels))
    weighted = full_batch().fit(tokens, labels, sample_weight=counts).predict_proba(tokens)
    copies = duplicated(labels, counts)
    repeated = full_batch().fit(tokens[copies], labels[copies]).predict_proba(tokens)
    np.testing.assert_allclose(weighted, repeated, atol=1e-4)
    plain = full_batch().fit(tokens, labels).predict_proba(tokens)
    assert np.abs(plain - weighted).max() > 0.1


def test_weight_two_agrees_with_two_copies_in_expectation():
    # All texts are alike, so that the answer is the share of weight of each label.
    texts = generated_reviews(48, seed=8, longest=6)[0]
    texts = [" ".join(sorted(set(["a", "b", "c", "d", "e"]) - {t[0]})) for t in texts]
    labels = np.array([0, 1] * 24)
    counts = np.where(labels == 1, 3, 1)
    copies = duplicated(labels, counts)

    def mean_and_error(rows, weights):
        shares = [
            small_classifier(random_state=seed, batch_size=8, max_epochs=8, label_smoothing=0)
            .fit([texts[row] for row in rows], labels[rows], sample_weight=weights)
            .predict_proba(texts)[:, 1]
            .mean()
            for seed in range(12)
        ]
        return np.mean(shares), np.std(shares) / np.sqrt(len(shares))

    every = np.arange(len(labels))
    weighted, weighted_error = mean_and_error(every, counts)
    repeated, repeated_error = mean_and_error(copies, None)
    plain, plain_error = mean_and_error(every, None)
    error = np.hypot(weighted_error, repeated_error)
    assert error < 0.03
    assert abs(weighted - repeated) < 3 * error + 0.01
    assert abs(repeated - 0.75) < 0.06
    assert abs(plain - 0.5) < 0.06 + 3 * plain_error


def test_balanced_is_as_many_copies_of_each_class(contested):
    tokens, _ = contested
    labels = np.array(["few"] * 6 + ["many"] * 24)
    balanced = full_batch(class_weight="balanced").fit(tokens, labels).predict_proba(tokens)
    copies = duplicated(labels, np.where(labels == "few", 4, 1))
    repeated = full_batch().fit(tokens[copies], labels[copies]).predict_proba(tokens)
    np.testing.assert_allclose(balanced, repeated, atol=1e-4)
    plain = full_batch().fit(tokens, labels).predict_proba(tokens)
    assert np.abs(plain - balanced).max() > 0.1


def test_class_weights_multiply_sample_weights(contested):
    tokens, labels = contested
    weights = np.linspace(1, 2, len(labels))
    both = full_batch(class_weight={0: 1.0, 1: 5.0}).fit(tokens, labels, sample_weight=weights)
    product = full_batch().fit(tokens, labels, sample_weight=weights * np.where(labels, 5, 1))
    np.testing.assert_allclose(both.predict_proba(tokens), product.predict_proba(tokens), atol=1e-6)


@pytest.mark.parametrize("weight", [1, 3.0, 0.5])
def test_equal_weights_are_no_weights(weight, reviews, fitted):
    texts, topics, others, _ = reviews
    clf = small_classifier().fit(texts, topics, sample_weight=np.full(150, weight))
    assert same_bits(clf, fitted, others)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"early_stopping": True}, {"class_weight": "balanced"}, {"max_epochs": "auto"}],
    ids=str,
)
def test_weight_nought_is_no_row(parameters, reviews):
    texts, topics, others, _ = reviews
    # The rows without weight bring words and a label of their own.
    texts = [*texts, *["unheard words altogether"] * 9]
    topics = [*topics, *["nothing"] * 9]
    weights = np.random.default_rng(0).integers(0, 3, size=159)
    weights[150:] = 0
    kept = np.flatnonzero(weights)
    clf = small_classifier(**parameters).fit(texts, topics, sample_weight=weights)
    without = small_classifier(**parameters).fit(
        [texts[row] for row in kept], [topics[row] for row in kept], sample_weight=weights[kept]
    )
    assert same_bits(clf, without, others)
    assert "nothing" not in clf.classes_
    assert clf.tokenizer_.transform(["altogether"]).ids[0] >= clf.tokenizer_.n_ids_


# --- several encoders -------------------------------------------------------------------


def test_the_answer_is_the_mean_of_the_encoders(reviews):
    texts, topics, others, _ = reviews
    clf = small_classifier(n_encoders=3, early_stopping=True).fit(texts, topics)
    assert len(clf.encoders_) == 3
    assert clf.encoders_[0] is clf.encoder_
    tokens = clf.tokenizer_.transform(others)
    batch = Windows(tokens, 64, "truncate").batch(np.arange(len(others)))
    batch = {name: torch.from_numpy(array) for name, array in batch.items()}
    with torch.no_grad():
        each = [member(**batch).numpy() for member in clf._model.members]
        vectors = [member.embed(**batch).numpy() for member in clf._model.members]
    assert not np.allclose(each[0], each[1], atol=1e-2)
    np.testing.assert_allclose(clf.decision_function(others), np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(clf.transform(others), np.hstack(vectors), atol=1e-5)


# --- early stopping, going on -----------------------------------------------------------


class Spy(Callback):
    """Keeps the data sets of the last epoch."""

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train, self.valid = dataset_train, dataset_valid


def test_early_stopping_holds_out_a_stratified_part(reviews):
    texts, topics, _, _ = reviews
    rare = np.where(np.arange(150) % 15 == 0, "rare", topics)
    spy = Spy()
    clf = small_classifier(early_stopping=True, validation_fraction=0.2, callbacks=[spy])
    clf.fit(texts, rare)
    train, valid = (np.bincount(part.targets) for part in (spy.train, spy.valid))
    assert valid.sum() == 30
    assert (train + valid == np.unique(rare, return_counts=True)[1]).all()
    np.testing.assert_allclose(valid, (train + valid) * 0.2, atol=1)
    every = sorted(row.tolist() for row in clf.tokenizer_.transform(texts))
    parts = (part.windows.tokens for part in (spy.train, spy.valid))
    assert sorted(row.tolist() for part in parts for row in part) == every
    small_classifier(callbacks=[spy]).fit(texts, rare)
    assert spy.valid is None
    assert len(spy.train) == 150


# With no right labels the first epoch is the best, in the warm-up; with half of them, a later one.
@pytest.mark.parametrize(("wrong", "max_epochs"), [(1.0, 100), (0.4, 20)])
def test_early_stopping_restores_the_best_weights(wrong, max_epochs, reviews, monkeypatch):
    monkeypatch.setattr("skfnet.supervised.temperatures", lambda *_: np.ones(1))
    texts, topics, _, _ = reviews
    chance = np.random.default_rng(0)
    labels = np.where(chance.random(150) < wrong, chance.permutation(topics), topics)
    spy = Spy()
    clf = small_classifier(
        early_stopping=True,
        validation_fraction=0.3,
        max_epochs=max_epochs,
        n_iter_no_change=4,
        callbacks=[spy],
    ).fit(texts, labels)
    losses = [row["valid_loss"] for row in clf.history_]
    best = int(np.argmin(losses))
    warmup = max_epochs // 10
    assert (best < warmup) == (wrong == 1)
    # Patience counts from the best epoch, or from the end of the warm-up, a tenth of all epochs.
    assert clf.n_iter_ == len(losses)
    assert max(best, warmup - 1) + 5 <= clf.n_iter_ <= max(best, warmup) + 5
    probabilities = clf.predict_proba(spy.valid.windows.tokens)
    targets = spy.valid.targets.numpy()
    loss = -np.log(probabilities[np.arange(len(targets)), targets]).mean()
    assert loss == pytest.approx(losses[best], rel=1e-4)
    assert loss < losses[-1] - 1e-3
    accuracy = (probabilities.argmax(axis=1) == targets).mean()
    assert accuracy == pytest.approx(clf.history_[best]["valid_accuracy"])


def test_without_early_stopping_all_epochs_run(reviews):
    texts, topics, _, _ = reviews
    clf = small_classifier(max_epochs=9).fit(texts, np.random.default_rng(0).permutation(topics))
    assert clf.n_iter_ == 9
    assert "valid_loss" not in clf.history_[0]


def test_the_only_document_of_a_class_is_trained_on(reviews):
    texts, topics, _, _ = reviews
    labels = np.array([*topics[:-1], "single"])
    spy = Spy()
    clf = small_classifier(early_stopping=True, callbacks=[spy]).fit(texts, labels)
    single = clf.classes_.tolist().index("single")
    assert single in spy.train.targets
    assert single not in spy.valid.targets


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_too_few_documents_to_hold_out(fraction):
    SpyTokenizer.fits = 0
    clf = small_classifier(
        early_stopping=True, validation_fraction=fraction, tokenizer=SpyTokenizer()
    )
    with pytest.raises(ValueError, match=f"validation_fraction={fraction}.*each of 2 classes"):
        clf.fit(["rain", "soup"] * 6, [0, 1] * 6)
    assert SpyTokenizer.fits == 0


def test_warm_start_goes_on(reviews):
    texts, topics, others, _ = reviews
    clf = small_classifier(warm_start=True, max_epochs=2).fit(texts, topics)
    assert same_bits(clf, small_classifier(max_epochs=2).fit(texts, topics), others)
    first_loss, tokenizer = clf.history_[-1]["train_loss"], clf.tokenizer_
    clf.fit([*texts, "unheard words altogether"], [*topics, "kitchen"])
    assert clf.tokenizer_ is tokenizer
    assert clf.history_[0]["train_loss"] < first_loss
    weights = weights_of(clf)
    with pytest.raises(ValueError, match="warm_start=True goes on with the classes.*'weather'"):
        clf.fit(["rain", "soup"], ["kitchen", "football"])
    assert all(torch.equal(weights[name], t) for name, t in weights_of(clf).items())
    clf.set_params(warm_start=False).fit(texts, topics)
    assert same_bits(clf, small_classifier(max_epochs=2).fit(texts, topics), others)


# --- streams ----------------------------------------------------------------------------


def test_a_stream_is_learned_part_by_part(reviews):
    texts, topics, others, expected = reviews
    classes = ["weather", "kitchen", "football", "astronomy"]
    one, same = small_classifier(), small_classifier()
    for clf in (one, same):
        for _ in range(6):
            for start in range(0, 150, 50):
                part = slice(start, start + 50)
                assert clf.partial_fit(texts[part], topics[part], classes=classes) is clf
    assert one.classes_.tolist() == sorted(classes)
    assert one.score(others, expected) > 0.9
    assert one.n_iter_ == len(one.history_) == 18
    assert same_bits(one, same, others)


def test_a_part_may_lack_classes_and_have_weights(reviews):
    texts, topics, _, _ = reviews
    clf = small_classifier(class_weight={"weather": 2.0})
    clf.partial_fit(texts, topics, classes=np.unique(topics))
    before = weights_of(clf)
    clf.partial_fit(["soup bread", "rain"], ["kitchen", "weather"], sample_weight=[1, 0])
    after = weights_of(clf)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_stream_follows_a_fit(reviews):
    texts, topics, _, _ = reviews
    clf = small_classifier().fit(texts, topics)
    tokenizer, loss = clf.tokenizer_, clf.history_[0]["train_loss"]
    clf.partial_fit(texts, topics)
    assert clf.tokenizer_ is tokenizer
    assert clf.history_[-1]["train_loss"] < loss


def test_errors_of_a_stream(reviews):
    texts, topics, _, _ = reviews
    clf = small_classifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clf.partial_fit(texts, topics)
    with pytest.raises(ValueError, match="at least 2 classes"):
        clf.partial_fit(texts, topics, classes=["weather"])
    with pytest.raises(ValueError, match="Row 1 of y holds the label 'kitchen'"):
        clf.partial_fit(texts, topics, classes=["weather", "football"])
    assert not hasattr(clf, "tokenizer_")
    # A first call that failed leaves nothing behind.
    clf.partial_fit(texts, topics, classes=np.unique(topics))
    weights = weights_of(clf)
    with pytest.raises(ValueError, match=r"Row 2 of y holds the label 'fishing'.*'kitchen'"):
        clf.partial_fit(texts[:3], ["kitchen", "weather", "fishing"])
    with pytest.raises(ValueError, match="is not the same as on last call"):
        clf.partial_fit(texts, topics, classes=["weather", "fishing"])
    with pytest.raises(ValueError, match=r"Row 0 of y holds the label 3"):
        clf.partial_fit(texts[:2], [3, 4])
    assert all(torch.equal(weights[name], t) for name, t in weights_of(clf).items())


# --- input ------------------------------------------------------------------------------

CONTAINERS = {
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "array": np.array,
    "object array": lambda texts: np.array(texts, dtype=object),
    "column array": lambda texts: np.array(texts)[:, None],
    "bytes": lambda texts: [text.encode() for text in texts],
    "bytes array": lambda texts: np.array([text.encode() for text in texts]),
    "pandas Series": lambda texts: pd.Series(texts, index=range(7, 7 + len(texts))),
    "pandas DataFrame": lambda texts: pd.DataFrame({"text": texts}),
    "polars Series": pl.Series,
    "polars DataFrame": lambda texts: pl.DataFrame({"text": texts}),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_of_texts(container, reviews, fitted):
    texts, topics, others, _ = reviews
    wrap = CONTAINERS[container]
    clf = small_classifier().fit(wrap(texts), topics)
    assert same_bits(clf, fitted, others)
    for method in METHODS:
        expected = getattr(fitted, method)(others)
        assert np.array_equal(getattr(clf, method)(wrap(others)), expected)


BAD_DOCUMENTS = [
    ("a single text", "string object received.*list"),
    (b"a single text", "string object received.*list"),
    (["rain", None], "row 1 of X is missing"),
    (["rain", float("nan")], "row 1 of X is missing"),
    (["rain", pd.NA], "row 1 of X is missing"),
    (pd.Series(["rain", None]), "row 1 of X is missing"),
    (["rain", 5], "Row 1 of X is no text"),
    (np.array([1.5, 2]), "Row 0 of X is no text"),
    (["rain", b"\xe9t\xe9"], "Row 1 of X holds bytes that are not UTF-8"),
    ([["rain"], ["soup"]], "Row 0 of X is no text"),
    (np.array([["a", "b", "c"], ["d", "e", "f"]]), r"shape \(2, 3\)"),
    (pd.DataFrame({name: ["a", "b"] for name in "xyz"}), "3 columns.*X.name."),
    (pl.DataFrame({name: ["a", "b"] for name in "xyz"}), "3 columns.*X.name."),
    ([("a", "b"), ("c", None)], r"row 1 of X \(second text\) is missing"),
    ([("a", "b"), "c"], "Row 1 of X is a single text"),
    ([], "0 sample"),
    (pd.DataFrame({"text": []}), "0 sample"),
    (None, "NoneType"),
    (7, "int object"),
]


class SpyTokenizer(TextTokenizer):
    """Counts how often it is fitted, clones included."""

    fits = 0

    def fit(self, X, y=None):
        type(self).fits += 1
        return super().fit(X, y)

    def fit_transform(self, X, y=None):
        type(self).fits += 1
        return super().fit_transform(X, y)


@pytest.mark.parametrize(("X", "message"), BAD_DOCUMENTS, ids=lambda value: repr(value)[:30])
def test_bad_documents_are_refused_before_any_work(X, message, fitted):
    SpyTokenizer.fits = 0
    clf = small_classifier(tokenizer=SpyTokenizer())
    with pytest.raises(ValueError, match=message):
        clf.fit(X, [0, 1])
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, [0, 1], classes=[0, 1])
    assert SpyTokenizer.fits == 0
    assert not hasattr(clf, "classes_")
    for method in METHODS:
        with pytest.raises(ValueError, match=message):
            getattr(fitted, method)(X)
    with pytest.raises(ValueError, match=message):
        fitted.score(X, ["kitchen", "weather"])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y"),
        ([0, 1, 0], r"inconsistent numbers of samples: \[4, 3\]"),
        ([1, 1, 1, 1], "only one class: 1"),
        (["a", "a", "a", "a"], "only one class: 'a'"),
        (["a", "b", float("nan"), "b"], "NaN: row 2 is missing"),
        (["a", None, "b", "b"], "NaN: row 1 is missing"),
        (["a", "b", "b", pd.NA], "NaN: row 3 is missing"),
        ((True, None, False, True), "NaN: row 1 is missing"),
        ([0, 1, np.nan, 1], "NaN: row 2 is missing"),
        (np.array([0, 1, np.nan, 1]), "NaN: row 2 is missing"),
        (pd.Series(["a", None, "b", "b"]), "NaN: row 1 is missing"),
        (pd.Series([1, None, 2, 2], dtype="Int64"), "NaN: row 1 is missing"),
        (pl.Series(["a", "b", None, "b"]), "NaN: row 2 is missing"),
        ([0, 1, np.inf, 1], "infinity: row 2"),
        ([0.1, 0.2, 0.3, 0.4], "continuous"),
        (np.full((4, 2), 0.5), "Row 0 of y holds 0.5 in column 0"),
        (np.zeros((4, 2, 2)), "dim 3"),
        ("abab", "1d array"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_labels_are_refused_before_any_work(y, message):
    SpyTokenizer.fits = 0
    clf = small_classifier(tokenizer=SpyTokenizer())
    with pytest.raises(ValueError, match=message):
        clf.fit(["rain", "soup", "snow", "salt"], y)
    assert SpyTokenizer.fits == 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1, 1], r"sample_weight.shape == \(3,\), expected \(4,\)"),
        (np.ones((4, 2)), "1D array"),
        ([0, 0, 0, 0], "non-zero"),
        ([1, 1, np.nan, 1], "sample_weight contains NaN"),
        ([1, 1, np.inf, 1], "sample_weight contains infinity"),
        ([1, 1, -1, 1], "Negative values.*sample_weight"),
        ([1, 0, 1, 0], "only one class"),
        (["a", "b", "c", "d"], "could not convert"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_weights_are_refused_before_any_work(weights, message):
    SpyTokenizer.fits = 0
    clf = small_classifier(tokenizer=SpyTokenizer())
    with pytest.raises(ValueError, match=message):
        clf.fit(["rain", "soup", "snow", "salt"], [0, 1, 0, 1], sample_weight=weights)
    assert SpyTokenizer.fits == 0


ODD = {
    "empty": "",
    "spaces": " \t\n\u3000",
    "emoji": "👍🏽👩‍👩‍👧‍👦🇫🇷",
    "right to left": "יולד جميع الناس",
    "chinese": "人人生而自由" * 50,
    "thai": "มนุษย์ทั้งหลายเกิดมามีอิสระ" * 20,
    "lone surrogates": "rain \ud800 and \udfff soup",
    "nul": "rain\x00soup\x00",
    "control": "".join(map(chr, range(32))),
    "one letter": "a",
    "one long word": "a" * 5000,
    "marks": "e" + "\u0301" * 3000,
}


@cut
@pytest.mark.parametrize("name", ODD)
def test_odd_documents_get_a_prediction(name, reviews, fitted):
    texts, topics, _, _ = reviews
    for method in METHODS:
        result = getattr(fitted, method)([ODD[name], "rain"])
        assert len(result) == 2
    probabilities = fitted.predict_proba([ODD[name], "rain"])
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities[1:], fitted.predict_proba(["rain"]), atol=1e-5)
    clf = small_classifier(max_epochs=1).fit([*texts, ODD[name]], [*topics, "odd"])
    assert np.isfinite(clf.predict_proba([ODD[name]])).all()


@cut
def test_a_corpus_of_nothing_but_odd_documents(reviews):
    for texts in (["", " "], ["\x00", ""], ["👍🏽", "人"]):
        clf = small_classifier().fit(texts * 5, [0, 1] * 5)
        assert np.isfinite(clf.predict_proba([*texts, "rain"])).all()


@cut
@pytest.mark.parametrize("unit", ["a", "人", "rain ", "\U0001f389"])
def test_ten_million_characters(unit, reviews, fitted):
    text = unit * (10_000_000 // len(unit))
    probabilities = fitted.predict_proba([text, "rain"])
    expected = fitted.predict_proba([unit * (100_000 // len(unit)), "rain"])
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@cut
@pytest.mark.parametrize("unit", ["a", pytest.param("rain ", marks=pytest.mark.slow)])
def test_ten_million_characters_in_training(unit, reviews):
    texts, topics, others, expected = reviews
    text = unit * (10_000_000 // len(unit))
    clf = small_classifier().fit([text, *texts], ["weather", *topics])
    assert clf.score(others, expected) > 0.9


# --- long documents ---------------------------------------------------------------------


def test_one_warning_counts_the_long_documents(reviews):
    texts, topics, _, _ = reviews
    texts = [text + " rain" * 100 * (row % 3 == 0) for row, text in enumerate(texts)]
    for early_stopping in (False, True):
        clf = small_classifier(early_stopping=early_stopping, max_epochs=2)
        with pytest.warns(UserWarning) as caught:
            clf.fit(texts, topics)
        assert len(caught) == 1
        assert "50 of 150 documents are longer than max_length=64" in str(caught[0].message)
        assert "long_documents='mean'" in str(caught[0].message)
    with pytest.warns(UserWarning, match="2 of 6 documents") as caught:
        clf.predict(texts[:6])
    assert len(caught) == 1
    clf.set_params(long_documents="mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.predict(texts[:6])
        clf.fit(texts, topics)


def test_a_document_that_just_fits_is_not_counted(reviews, fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict(["rain " * 62])
    with pytest.warns(UserWarning, match="1 of 1"):
        fitted.predict(["rain " * 63])


@cut
def test_truncated_is_as_if_the_rest_were_not_there(fitted):
    long, beginning = "rain soup goal " * 50 + "goal " * 5000, "rain soup goal " * 20 + "rain soup"
    assert np.array_equal(fitted.decision_function([long]), fitted.decision_function([beginning]))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_mean_averages_the_logits_of_windows(n_classes, reviews):
    texts, topics, _, _ = reviews
    labels = topics if n_classes == 3 else topics == "kitchen"
    clf = small_classifier(long_documents="mean", max_length=12).fit(texts, labels)
    tokens = clf.tokenizer_.transform(texts)
    for row, ids in enumerate(tokens):
        pieces = [ids[i : i + 10].tolist() for i in range(0, len(ids), 10)]  # [CLS] 10 [SEP]
        windows = TokenArray.from_rows(pieces, tokens.vocab_size, tokens.special, tokens.spellings)
        for method in ("decision_function", "transform"):
            expected = getattr(clf, method)(windows).mean(axis=0)
            got = getattr(clf, method)([texts[row]])[0]
            np.testing.assert_allclose(got, expected, atol=1e-5)
    probabilities = clf.predict_proba(texts)
    logits = clf.decision_function(texts)
    if n_classes == 3:
        np.testing.assert_allclose(softmax(logits, axis=1), probabilities, rtol=1e-5)
    else:
        np.testing.assert_allclose(expit(logits), probabilities[:, 1], rtol=1e-4)


@cut
def test_mean_learns_what_truncate_never_sees():
    texts, topics = generated_reviews(120, seed=4, longest=4)
    late = ["the a of and " * 5 + text for text in texts]
    scores = {
        kind: small_classifier(long_documents=kind, max_length=12, max_epochs=30)
        .fit(late[:90], topics[:90])
        .score(late[90:], topics[90:])
        for kind in ("truncate", "mean")
    }
    assert scores["mean"] > 0.8
    assert scores["truncate"] < 0.6


# --- tokenizers -------------------------------------------------------------------------


def test_a_tokenizer_is_cloned_and_fitted(reviews, fitted):
    texts, topics, others, _ = reviews
    given = TextTokenizer(vocab_size=400)
    clf = small_classifier(tokenizer=given).fit(texts, topics)
    assert clf.tokenizer is given
    assert not hasattr(given, "tokenizer_")
    assert clf.tokenizer_.vocab_size == 400
    assert same_bits(small_classifier(tokenizer=TextTokenizer()).fit(texts, topics), fitted, others)


def test_a_frozen_tokenizer_is_used_as_it_is(reviews, fitted):
    texts, topics, others, _ = reviews
    other = TextTokenizer().fit(texts[:20])
    clf = small_classifier(tokenizer=FrozenEstimator(other)).fit(texts, topics)
    assert clf.tokenizer_ is other
    own = FrozenEstimator(fitted.tokenizer_)
    assert same_bits(small_classifier(tokenizer=own).fit(texts, topics), fitted, others)


def test_a_ready_tokenizer_is_used_as_it_is(reviews):
    texts, topics, others, _ = reviews
    ready = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"?": 0, "rain": 1, "soup": 2, "goal": 3}, unk_token="?")
    )
    ready.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    ready.enable_truncation(1)
    clf = small_classifier(tokenizer=ready, max_epochs=2).fit(texts, topics)
    assert clf.encoder_.config.vocab_size == 4
    assert clf.tokenizer_.transform(["rain goal other"])[0].tolist() == [1, 3, 0]
    assert ready.truncation["max_length"] == 1
    assert np.array_equal(clf.predict_proba(["snow"]), clf.predict_proba(["salt"]))
    assert clone(clf).fit(texts, topics).predict_proba(others).tolist() == (
        clf.predict_proba(others).tolist()
    )


def test_an_unfitted_frozen_tokenizer_is_refused(reviews):
    texts, topics, _, _ = reviews
    with pytest.raises(NotFittedError):
        small_classifier(tokenizer=FrozenEstimator(TextTokenizer())).fit(texts, topics)
    with pytest.raises(TypeError, match="FrozenEstimator around BaseEstimator"):
        small_classifier(tokenizer=FrozenEstimator(BaseEstimator())).fit(texts, topics)


def test_tokens_give_what_texts_give(reviews, fitted):
    texts, topics, others, _ = reviews
    tokenizer = TextTokenizer().fit(texts)
    clf = small_classifier().fit(tokenizer.transform(texts), topics)
    assert clf.tokenizer_ is None
    for method in METHODS:
        expected = getattr(fitted, method)(others)
        assert np.array_equal(getattr(clf, method)(tokenizer.transform(others)), expected)
        assert np.array_equal(getattr(fitted, method)(tokenizer.transform(others)), expected)
    # Also where words are new, and some of them beyond what is read.
    texts = ["winter " * 30 + "sleet hail", "hail sleet", *texts]
    topics = [topics[0], topics[1], *topics]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = small_classifier(max_length=20).fit(texts, topics)
        other = small_classifier(max_length=20).fit(TextTokenizer().fit_transform(texts), topics)
        tokens = one.tokenizer_.transform(others)
        assert np.array_equal(one.predict_proba(others), other.predict_proba(tokens))
    with pytest.raises(ValueError, match="fitted on tokens.*TextTokenizer"):
        clf.predict(others)
    with pytest.raises(ValueError, match="vocabulary"):
        clf.predict(TextTokenizer(vocab_size=261).fit_transform(["rain"]))
    with pytest.raises(ValueError, match="0 sample"):
        clf.predict(tokenizer.transform(others)[:0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(tokenizer.transform(texts), topics[1:])


# --- parameters -------------------------------------------------------------------------

OUT_OF_RANGE = {
    "tokenizer": [("words", "TextTokenizer"), (TextTokenizer, "TextTokenizer"), (3, "None")],
    "max_length": [(0, r"\[1, inf\)"), (1.5, r"\[1, inf\)"), (None, r"\[1, inf\)")],
    "long_documents": [("middle", "'truncate'"), (None, "'mean'")],
    "depth": [(-1, r"\[0, inf\)"), (2.0, r"\[0, inf\)")],
    "width": [(0, r"\[1, inf\)"), ("wide", r"\[1, inf\)")],
    "feedforward_width": [(0, r"\[1, inf\)")],
    "architecture": [("bert", "'paper'"), (None, "'default'")],
    "mixer": [("wavelets", "'fourier'"), (None, "'fourier'")],
    "attention_layers": [(-1, r"\[0, inf\)"), (3, r"\[0, depth=\d\]")],
    "attention_layout": [("under", "'bottom'")],
    "n_encoders": [(0, r"\[1, inf\)"), (1.5, r"\[1, inf\)")],
    "target_encoding": [("yes", "'bool'"), (None, "'bool'")],
    "dropout": [(1.0, r"\[0(\.0)?, 1(\.0)?\)"), (-0.1, r"\[0"), (float("nan"), r"\[0")],
    "pooling": [("sum", "'mean'"), (None, "'auto'")],
    "padding": [("longest", "'max_length'"), (None, "'auto'")],
    "pretrained": [(3, "FNetPretrainer"), (TextTokenizer(), "FrozenEstimator")],
    "freeze": [(-1, r"\[0, inf\)"), ("some", "'all'")],
    "layer_decay": [(0, r"\(0(\.0)?, 1(\.0)?\]"), (1.5, r"\(0")],
    "max_epochs": [(0, r"\[1, inf\)"), ("many", "'auto'"), (2.5, "'auto'"), (None, "'auto'")],
    "batch_size": [(0, r"\[1, inf\)"), (16.0, r"\[1, inf\)")],
    "learning_rate": [(0, r"\(0(\.0)?, inf\)"), (-1.0, r"\(0"), (float("nan"), r"\(0")],
    "weight_decay": [(-0.1, r"\[0(\.0)?, inf\)")],
    "label_smoothing": [(1.0, r"\[0(\.0)?, 1(\.0)?\)"), (-0.1, r"\[0")],
    "class_weight": [
        ("equal", "'balanced'"),
        ([1, 2, 3], "'dict'"),
        ({"kitchen": -1.0}, ">= 0"),
        ({"kitchen": float("nan")}, ">= 0"),
        ({"kitchen": float("inf")}, "finite"),
        ({"kitchen": 0, "weather": 0, "football": 0}, "not all of them 0"),
    ],
    "early_stopping": [("yes", "'bool'"), (None, "'bool'")],
    "validation_fraction": [(0.0, r"\(0(\.0)?, 1(\.0)?\)"), (1.0, r"\(0")],
    "n_iter_no_change": [(0, r"\[1, inf\)")],
    "warm_start": [("yes", "'bool'")],
    "random_state": [(-1, r"\[0, 4294967295\]"), ("seed", "RandomState")],
    "device": [(0, "'str'"), (None, "'str'")],
    "precision": [("float16", "'bfloat16'")],
    "callbacks": [("print", "'list'"), ([3], "skorch callbacks"), ([("name", 3)], "skorch")],
    "verbose": [(-1, r"\[0, inf\)"), ("loud", "'bool'")],
}


def test_every_parameter_has_its_range():
    assert set(OUT_OF_RANGE) == set(FNetClassifier().get_params(deep=False))


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [(name, value, allowed) for name, cases in OUT_OF_RANGE.items() for value, allowed in cases],
)
def test_parameters_out_of_range(parameter, value, allowed, reviews):
    texts, topics, _, _ = reviews
    SpyTokenizer.fits = 0
    clf = small_classifier(**{"tokenizer": SpyTokenizer(), parameter: value})
    for call in (clf.fit, lambda X, y: clf.partial_fit(X, y, classes=np.unique(y))):
        with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter") as caught:
            call(texts, topics)
        message = str(caught.value)
        assert "FNetClassifier" in message
        shown = "3" if parameter == "callbacks" and value != "print" else repr(value)
        assert shown in message
        assert re.search(allowed, message)
    assert SpyTokenizer.fits == 0


def test_values_at_the_edge_of_their_range(reviews):
    texts, topics, others, _ = reviews
    for parameters in (
        dict(depth=0),
        dict(width=1),
        dict(width=17),
        dict(feedforward_width=1),
        dict(dropout=0),
        dict(batch_size=1, max_epochs=1),
        dict(batch_size=10**6),
        dict(weight_decay=0, label_smoothing=0),
        dict(random_state=2**32 - 1),
        dict(max_epochs=np.int64(1)),
        dict(class_weight={"kitchen": 0.0}),
        dict(callbacks=[]),
        dict(callbacks=(("spy", Spy()),)),
        dict(callbacks=[Spy]),
        dict(verbose=False),
        dict(early_stopping=np.bool_(True)),
    ):
        clf = small_classifier(**parameters).fit(texts, topics)
        assert np.isfinite(clf.predict_proba(others)).all(), parameters


def test_a_device_that_is_not_there(reviews):
    texts, topics, _, _ = reviews
    for device in ("abacus", "cuda:99"):
        with pytest.raises(ValueError, match=f"device='{device}' cannot be used here.*'auto'"):
            small_classifier(device=device).fit(texts, topics)


def test_a_window_without_room(reviews):
    texts, topics, _, _ = reviews
    with pytest.raises(ValueError, match="max_length=2 leaves no room.*at least 3"):
        small_classifier(max_length=2).fit(texts, topics)
    stream = small_classifier(max_length=2)
    with pytest.raises(ValueError, match="max_length=2 leaves no room"):
        stream.partial_fit(texts, topics, classes=np.unique(topics))
    stream.set_params(max_length=64).partial_fit(texts, topics, classes=np.unique(topics))


def test_parameters_are_stored_untouched():
    values = {
        "tokenizer": TextTokenizer(),
        "callbacks": [],
        "class_weight": {"a": 1},
        "max_epochs": np.int64(3),
        "width": -7,
    }
    clf = FNetClassifier(**values)
    for name, value in values.items():
        assert getattr(clf, name) is value


def test_parameters_are_keyword_only():
    with pytest.raises(TypeError):
        FNetClassifier(TextTokenizer())


# --- before fit -------------------------------------------------------------------------


def test_before_fit(reviews):
    _, _, texts, topics = reviews
    clf = small_classifier()
    for method in METHODS:
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(clf, method)(texts)
    with pytest.raises(NotFittedError):
        clf.score(texts, topics)
    with pytest.raises(NotFittedError):
        clf.get_feature_names_out()
    assert not hasattr(clf, "encoder_")
    assert not hasattr(clf, "classes_")


def test_a_clone_is_not_fitted(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        twin.predict(["rain"])


def test_fit_transform_reads_a_generator_once(reviews):
    texts, topics, _, _ = reviews
    vectors = small_classifier().fit_transform((text for text in texts), topics)
    expected = small_classifier().fit(texts, topics).transform(texts)
    np.testing.assert_array_equal(vectors, expected)


# --- several labels a document ----------------------------------------------------------


TOPIC_NAMES = ["football", "kitchen", "weather"]


def mixed_reviews(n, seed):
    """Give texts about any number of topics, with an indicator matrix of these."""
    draw = np.random.default_rng(seed)
    texts, topics = np.array(generated_reviews(3 * n, seed=seed))
    y = draw.integers(0, 2, size=(n, 3))

    def about(row):
        parts = [draw.choice(texts[topics == TOPIC_NAMES[i]]) for i in np.flatnonzero(row)]
        return " ".join(parts) or "the a of and it was"

    return [about(row) for row in y], y


def classifier_of_mixed(**changes):
    """Give an unfitted classifier that reads mixed reviews whole."""
    return small_classifier(max_length=256, **changes)


@pytest.fixture(scope="module")
def multilabel():
    texts, y = mixed_reviews(150, 0)
    return classifier_of_mixed(max_epochs=25).fit(texts, y)


def test_several_labels_a_document(multilabel):
    texts, y = mixed_reviews(80, 1)
    predicted = multilabel.predict(texts)
    assert predicted.shape == y.shape
    assert set(np.unique(predicted)) <= {0, 1}
    assert f1_score(y, predicted, average="micro") > 0.9
    assert multilabel.score(texts, y) == accuracy_score(y, predicted)
    probabilities = multilabel.predict_proba(texts)
    assert probabilities.shape == y.shape
    np.testing.assert_array_equal(predicted, probabilities > 0.5)
    logits = multilabel.decision_function(texts)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert multilabel.classes_.tolist() == [0, 1, 2]
    assert multilabel.multilabel_
    twin = pickle.loads(pickle.dumps(multilabel))
    np.testing.assert_array_equal(twin.predict_proba(texts), probabilities)


@pytest.mark.parametrize("container", [sp.csr_matrix, pd.DataFrame, np.ndarray.tolist])
def test_any_indicator_is_the_same_indicator(multilabel, container):
    texts, y = mixed_reviews(150, 0)
    again = classifier_of_mixed(max_epochs=25).fit(texts, container(y))
    np.testing.assert_array_equal(again.predict_proba(texts), multilabel.predict_proba(texts))


def test_several_labels_in_searches():
    texts, y = mixed_reviews(120, 0)
    search = GridSearchCV(
        classifier_of_mixed(max_epochs=10),
        {"width": [8, 16]},
        cv=2,
        scoring=["f1_micro", "roc_auc"],
        refit="f1_micro",
        error_score="raise",
    )
    assert search.fit(texts, y).best_score_ > 0.5
    predicted = cross_val_predict(classifier_of_mixed(), texts, y, cv=2, method="predict_proba")
    assert predicted.shape == y.shape


def test_several_labels_and_early_stopping_and_a_stream():
    texts, y = mixed_reviews(120, 0)
    clf = classifier_of_mixed(early_stopping=True, max_epochs=8).fit(texts, y)
    assert "valid_accuracy" in clf.history_[-1]
    stream = classifier_of_mixed()
    for _ in range(10):
        stream.partial_fit(texts, y)
    assert f1_score(y, stream.predict(texts), average="micro") > 0.8
    with pytest.raises(ValueError, match="y has 2 columns, but that of the first call had 3"):
        stream.partial_fit(texts, y[:, :2])
    with pytest.raises(ValueError, match="one label a document, but .* on an indicator matrix"):
        stream.partial_fit(texts, y[:, 0], classes=[0, 1, 2])


def test_what_is_no_indicator_is_refused():
    texts, y = mixed_reviews(20, 0)
    wrong = y.copy()
    wrong[4, 1] = 2
    with pytest.raises(ValueError, match="Row 4 of y holds 2 in column 1"):
        classifier_of_mixed().fit(texts, wrong)
    with pytest.raises(ValueError, match="class_weight is for one label"):
        classifier_of_mixed(class_weight="balanced").fit(texts, y)


def test_emotions_of_real_messages():
    texts, y = read_label_sets("goemotions", "train")
    clf = FNetClassifier(n_encoders=1, max_epochs=8, random_state=0, device="cpu")
    clf.fit(texts[:6000], y[:6000])
    found = f1_score(y[6000:8000], clf.predict(texts[6000:8000]), average="micro")
    assert found > 0.25, found
