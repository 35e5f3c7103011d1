"""Starting from a pretrained encoder: where it comes from, and how much of it moves."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from samples import generated_reviews, small_classifier, small_pretrainer
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from skorch.callbacks import Callback
from torch.nn import functional as F

from skfnet import FNetClassifier, FNetPretrainer, FNetRegressor, TextTokenizer
from skfnet.batches import shuffled_by_length
from skfnet.callbacks import Rate
from skfnet.pretrained import find_pretrained

TEXTS, TOPICS = generated_reviews(90)
TOPICS = np.array(TOPICS)
OTHERS, OTHER_TOPICS = generated_reviews(60, seed=1)
UNLABELED, _ = generated_reviews(60, seed=2)
SIZES = dict(depth=2, width=64, max_length=1024)  # the defaults: the pretrained ones hold


@pytest.fixture(scope="module")
def pretrainer():
    return small_pretrainer(max_epochs=4).fit(UNLABELED)


@pytest.fixture(scope="module")
def folder(pretrainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    pretrainer.save(folder)
    return folder


def classifier(pretrained, **changes):
    return small_classifier(**(SIZES | {"pretrained": pretrained} | changes))


class RateLogger(Callback):
    """Notes the rate of the dense layers at each step."""

    def __init__(self, rates):
        self.rates = rates

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.rates.append(net.optimizer_.param_groups[0]["lr"])


def weights_of(module):
    return {name: t.detach().clone() for name, t in module.state_dict().items()}


def changed(before, module):
    return {name for name, t in module.state_dict().items() if not torch.equal(t, before[name])}


# --- where it comes from ----------------------------------------------------------------


def test_a_frozen_pretrainer_and_its_folder_are_the_same_start(pretrainer, folder):
    before = weights_of(pretrainer._model)
    frozen = classifier(FrozenEstimator(pretrainer), n_encoders=2).fit(TEXTS, TOPICS)
    assert frozen.score(OTHERS, OTHER_TOPICS) > 0.9
    assert frozen.encoder_.config.width == 16
    assert frozen.encoder_.config.max_length == 64
    assert frozen.encoder_.config.dropout == 0.2  # its own
    assert frozen.tokenizer_ is pretrainer.tokenizer_
    assert changed(before, pretrainer._model) == set()
    for given in (folder, str(folder)):
        saved = classifier(given, n_encoders=2).fit(TEXTS, TOPICS)
        np.testing.assert_array_equal(saved.predict_proba(OTHERS), frozen.predict_proba(OTHERS))


def test_all_weights_are_those_of_the_pretrained_encoder_and_all_of_them_learn(pretrainer):
    clf = classifier(FrozenEstimator(pretrainer), learning_rate=1e-12, max_epochs=1, n_encoders=2)
    clf.fit(TEXTS, TOPICS)
    np.testing.assert_allclose(
        clf.transform(OTHERS), np.tile(pretrainer.transform(OTHERS), 2), atol=1e-5
    )
    heads = [member.output.weight for member in clf._model.members]
    assert not torch.equal(*heads)
    clf = classifier(FrozenEstimator(pretrainer), max_epochs=2, freeze=None).fit(TEXTS, TOPICS)
    still = weights_of(pretrainer.encoder_).keys() - changed(
        weights_of(pretrainer.encoder_), clf.encoder_
    )
    assert still == set()


def test_pooling_weights_come_along_where_the_pooling_is_the_same():
    pretrainer = small_pretrainer(pooling="cls", max_steps=3).fit(UNLABELED)
    still = dict(learning_rate=1e-12, max_epochs=1)
    same = classifier(FrozenEstimator(pretrainer), pooling="cls", **still).fit(TEXTS, TOPICS)
    np.testing.assert_allclose(same.transform(OTHERS), pretrainer.transform(OTHERS), atol=1e-5)
    other = classifier(FrozenEstimator(pretrainer), pooling="mean", **still).fit(TEXTS, TOPICS)
    assert changed(weights_of(pretrainer.encoder_), other.encoder_) == set() or np.allclose(
        other.encoder_.embeddings.words.weight.detach(),
        pretrainer.encoder_.embeddings.words.weight.detach(),
        atol=1e-8,
    )


@pytest.mark.parametrize(
    ("how", "pooling", "n_encoders"),
    [
        (dict(pooling="max"), "max", 4),
        (dict(architecture="paper", pooling="mean"), "mean", 1),
        (dict(architecture="paper", pooling="cls"), "cls", 1),
    ],
)
def test_auto_is_the_pooling_that_was_pretrained_and_a_lower_rate(how, pooling, n_encoders):
    rates = []
    watch = RateLogger(rates)
    auto = dict(n_encoders="auto", pooling="auto", learning_rate="auto", callbacks=[watch])
    clf = classifier(small_pretrainer(max_steps=2, **how), max_epochs=20, **auto)
    clf.fit(TEXTS, TOPICS)
    assert [member.pooling_name for member in clf._model.members] == [pooling] * n_encoders
    assert max(rates) == pytest.approx(1e-3, rel=0.1)
    clf.set_params(pretrained=None, depth=1, max_epochs=20).fit(TEXTS, TOPICS)
    assert max(rates) == pytest.approx(4e-3, rel=0.1)


@pytest.mark.parametrize(("epochs", "rate"), [(0, 4e-3), (1, 1e-3)])
def test_the_rate_is_lower_for_blocks_that_were_taught(epochs, rate, tmp_path):
    unfitted = small_pretrainer(max_epochs=epochs)
    fitted = clone(unfitted).fit(TEXTS)
    fitted.save(tmp_path)
    for start in (unfitted, FrozenEstimator(fitted), tmp_path):
        rates = []
        clf = classifier(start, learning_rate="auto", max_epochs=20, callbacks=[RateLogger(rates)])
        clf.fit(TEXTS, TOPICS)
        assert max(rates) == pytest.approx(rate, rel=0.1)


def test_an_unfitted_pretrainer_is_cloned_and_fitted_on_the_texts():
    given = small_pretrainer(random_state=3)
    clf = classifier(given).fit(TEXTS, TOPICS)
    assert not hasattr(given, "tokenizer_")
    assert clf.encoder_.config.width == 16
    by_hand = classifier(FrozenEstimator(clone(given).fit(TEXTS))).fit(TEXTS, TOPICS)
    np.testing.assert_array_equal(clf.predict_proba(OTHERS), by_hand.predict_proba(OTHERS))
    more = classifier(given).fit(TEXTS, TOPICS, unlabeled=UNLABELED)
    by_hand = classifier(FrozenEstimator(clone(given).fit([*TEXTS, *UNLABELED])))
    by_hand.fit(TEXTS, TOPICS)
    np.testing.assert_array_equal(more.predict_proba(OTHERS), by_hand.predict_proba(OTHERS))


def test_the_seed_of_the_classifier_is_the_pretrainers_where_it_has_none():
    given = small_pretrainer(random_state=None, device="auto")
    one, other = (classifier(given).fit(TEXTS, TOPICS) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(OTHERS), other.predict_proba(OTHERS))


def test_a_nested_run_without_any_seed_is_gone_on_with(tmp_path):
    """A seed that the classifier drew would be another one at each call, and so another run."""
    given = small_pretrainer(
        random_state=None, max_steps=2, checkpoint=tmp_path, checkpoint_minutes=0, resume=True
    )
    still = dict(random_state=None, learning_rate=1e-12, max_epochs=1)
    one, other = (classifier(given, **still).fit(TEXTS, TOPICS) for _ in range(2))
    for name, weight in weights_of(one.encoder_).items():
        torch.testing.assert_close(other.encoder_.state_dict()[name], weight, msg=name)


def test_cross_validation_sees_training_folds_alone(monkeypatch):
    read = []
    fit = FNetPretrainer.fit

    def recorded(self, X, y=None):
        read.append(list(X))
        return fit(self, X, y)

    monkeypatch.setattr(FNetPretrainer, "fit", recorded)
    folds = list(KFold(3).split(TEXTS))
    clf = classifier(small_pretrainer(max_steps=2), max_epochs=1)
    cross_val_score(clf, TEXTS, TOPICS, cv=folds, params={"unlabeled": UNLABELED})
    assert len(read) == 3
    for texts, (train, _) in zip(read, folds, strict=True):
        assert texts == [TEXTS[i] for i in train] + UNLABELED


def test_a_folder_in_searches_and_clones(folder):
    grid = {"freeze": [None, 1, "all"], "layer_decay": [0.9]}
    search = GridSearchCV(classifier(folder, max_epochs=4), grid, cv=2, error_score="raise")
    search.fit(TEXTS, TOPICS)
    assert search.best_score_ > 0.5
    assert clone(search.best_estimator_).pretrained is not None
    nested = GridSearchCV(
        classifier(small_pretrainer(max_steps=2), max_epochs=1),
        {"pretrained__width": [8, 12]},
        cv=2,
    )
    assert nested.fit(TEXTS, TOPICS).best_estimator_.encoder_.config.width in (8, 12)


def test_a_classifier_from_a_folder_does_not_hold_what_it_started_from(folder, tmp_path):
    clf = classifier(str(folder), max_epochs=1).fit(TEXTS, TOPICS)
    scratch = small_classifier(
        max_epochs=1, depth=2, tokenizer=FrozenEstimator(clf.tokenizer_)
    ).fit(TEXTS, TOPICS)
    size = len(pickle.dumps(clf))
    assert size < len(pickle.dumps(scratch)) + 10_000
    joblib.dump(clf, tmp_path / "clf")
    loaded = joblib.load(tmp_path / "clf")
    np.testing.assert_array_equal(loaded.predict_proba(OTHERS), clf.predict_proba(OTHERS))


def test_a_regressor_and_pairs(pretrainer, folder):
    numbers = np.array([len(text.split()) for text in TEXTS], dtype=float)
    reg = FNetRegressor(pretrained=folder, max_epochs=3, random_state=0, device="cpu")
    assert reg.fit(TEXTS, numbers).predict(OTHERS).shape == (60,)
    assert reg.encoder_.config.width == 16
    seconds = np.random.default_rng(0).permutation(np.arange(45, 90))
    short = [" ".join(text.split()[:20]) for text in TEXTS]
    pairs = [(short[i], short[j]) for i, j in enumerate(seconds)]
    same = [TOPICS[i] == TOPICS[j] for i, j in enumerate(seconds)]
    clf = classifier(FrozenEstimator(pretrainer)).fit(pairs, same)
    assert clf.predict_proba(pairs).shape == (45, 2)
    of_both = classifier(small_pretrainer(max_steps=2), max_epochs=1)
    of_both.fit(pairs, same, unlabeled=UNLABELED)
    assert of_both.predict(pairs).shape == (45,)
    with pytest.raises(ValueError, match="X holds single texts"):
        of_both.predict(TEXTS)


def test_tokens_of_the_same_tokenizer(pretrainer):
    clf = classifier(FrozenEstimator(pretrainer)).fit(TEXTS, TOPICS)
    tokens = pretrainer.tokenizer_.transform(TEXTS)
    by_tokens = classifier(FrozenEstimator(pretrainer)).fit(tokens, TOPICS)
    np.testing.assert_array_equal(by_tokens.predict_proba(OTHERS), clf.predict_proba(OTHERS))
    own = TextTokenizer(vocab_size=300).fit(TEXTS[:20]).transform(TEXTS)
    with pytest.raises(ValueError, match="use the same TextTokenizer"):
        classifier(FrozenEstimator(pretrainer)).fit(own, TOPICS)
    on_tokens = small_pretrainer(max_steps=1).fit(tokens)
    with pytest.raises(ValueError, match="has no tokenizer"):
        classifier(FrozenEstimator(on_tokens)).fit(TEXTS, TOPICS)
    assert classifier(FrozenEstimator(on_tokens)).fit(tokens, TOPICS).tokenizer_ is None


def test_warm_start_and_partial_fit_go_on_without_starting_anew(folder):
    clf = classifier(folder, warm_start=True).fit(TEXTS, TOPICS)
    first = clf.history_[0]["train_loss"]
    assert clf.fit(TEXTS, TOPICS).history_[0]["train_loss"] < first
    stream = classifier(folder)
    for _ in range(8):
        stream.partial_fit(TEXTS, TOPICS, classes=np.unique(TOPICS))
    assert stream.score(OTHERS, OTHER_TOPICS) > 0.9


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_weights_are_read_from_the_mapped_file_and_let_go(folder):
    def mapped():
        return str(folder) in Path("/proc/self/maps").read_text()

    found = find_pretrained(classifier(folder), TEXTS, None, 0)
    assert not [name for name in found.weights if "masked" in name]
    assert mapped()
    del found
    clf = classifier(folder, max_epochs=1).fit(TEXTS, TOPICS)
    assert not mapped()
    assert clf.encoder_.config.width == 16


# --- how much of it moves ---------------------------------------------------------------


@pytest.mark.parametrize("freeze", [0, 1, 2])
@pytest.mark.parametrize("mixer", ["fourier", "fourier_frames", "spectral"])
def test_the_first_blocks_stay_exactly_as_they_are(freeze, mixer):
    pretrainer = small_pretrainer(mixer=mixer, max_steps=3).fit(UNLABELED)
    clf = classifier(FrozenEstimator(pretrainer), freeze=freeze, n_encoders=2, max_epochs=2)
    clf.fit(TEXTS, TOPICS)
    before = weights_of(pretrainer.encoder_)
    fixed = ("embeddings.", *(f"blocks.{i}." for i in range(freeze)))
    for encoder in clf.encoders_:
        assert changed(before, encoder) == {name for name in before if not name.startswith(fixed)}
    clf.set_params(freeze=None, warm_start=True).fit(TEXTS, TOPICS)
    assert changed(before, clf.encoder_) == set(before)


@pytest.mark.parametrize("kind", [FNetClassifier, FNetRegressor])
def test_words_stay_in_every_other_encoder_and_all_else_learns(kind, pretrainer):
    y = TOPICS if kind is FNetClassifier else np.arange(90.0)
    before = weights_of(pretrainer.encoder_)
    types = "embeddings.types.weight"
    others = {name for name in before if name == types or not name.startswith("embeddings.")}
    quick = dict(max_epochs=2, n_encoders=3, random_state=0, device="cpu")
    model = kind(pretrained=FrozenEstimator(pretrainer), learning_rate=1e-2, **quick)
    assert model.freeze == "auto"
    for how in ({}, {"warm_start": True}, {"warm_start": False, "freeze": "half"}):
        model.set_params(**how).fit(TEXTS, y)
        moved = [changed(before, encoder) for encoder in model.encoders_]
        assert moved == [others, set(before), others]
    model.set_params(freeze="words").fit(TEXTS, y)
    assert [changed(before, encoder) for encoder in model.encoders_] == [others] * 3
    model.set_params(freeze="auto", n_encoders=1).fit(TEXTS, y)
    assert changed(before, model.encoder_) == others


def test_all_learns_in_a_stream_and_from_nothing(pretrainer):
    before = weights_of(pretrainer.encoder_)
    clf = classifier(FrozenEstimator(pretrainer))
    clf.partial_fit(TEXTS, TOPICS, classes=np.unique(TOPICS))
    assert changed(before, clf.encoder_) == set(before)
    scratch = classifier(None, max_epochs=1).fit(TEXTS, TOPICS)
    words = weights_of(scratch.encoder_)
    scratch.set_params(warm_start=True, freeze="auto").fit(TEXTS, TOPICS)
    assert changed(words, scratch.encoder_) == set(words)


def test_each_kind_of_encoder_counts_by_its_own_temperature(pretrainer, monkeypatch):
    """Found where half of them keep their words, and one for all elsewhere."""
    texts, topics = generated_reviews(260)
    kinds, answers = [], []

    def spy(outputs, absent, kinds_, *others):
        kinds.append(kinds_.tolist())
        return np.array([answers[-1][kind] for kind in kinds_])

    monkeypatch.setattr("skfnet.supervised.temperatures", spy)

    def outputs(of_first, of_second, **how):
        answers.append((of_first, of_second))
        clf = classifier(FrozenEstimator(pretrainer), n_encoders=3, max_epochs=1, **how)
        return clf.fit(texts, topics).decision_function(OTHERS)

    both, second, weighted = outputs(1, 1), outputs(1e9, 1), outputs(2, 4)
    np.testing.assert_allclose(weighted, (both - second) / 2 + second / 4, atol=1e-5)
    for how in ({"freeze": None}, {"freeze": "words"}, {"freeze": 1}, {"freeze": "all"}):
        outputs(1, 1, **how)
    assert kinds == [[0, 1, 0]] * 3 + [[0, 0, 0]] * 4


def test_what_goes_on_learns_from_outputs_that_no_temperature_divides(pretrainer, monkeypatch):
    texts, topics = generated_reviews(260)
    losses = []
    for found in ([1, 1, 1], [5, 50, 5]):
        monkeypatch.setattr("skfnet.supervised.temperatures", lambda *_, of=found: np.array(of))
        clf = classifier(FrozenEstimator(pretrainer), n_encoders=3, max_epochs=1, dropout=0.0)
        outputs = clf.fit(texts, topics).decision_function(OTHERS)
        clf.set_params(warm_start=True, learning_rate=1e-12)
        for go_on in (clf.fit, clf.partial_fit):
            go_on(texts, topics)
            losses.append(clf.history_[-1]["train_loss"])
            np.testing.assert_allclose(clf.decision_function(OTHERS), outputs, atol=1e-5)
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)


def test_both_kinds_of_four_encoders_are_compared(pretrainer):
    texts, topics = generated_reviews(260)
    clf = classifier(FrozenEstimator(pretrainer), n_encoders=4, max_epochs=1).fit(texts, topics)
    of_kinds = clf._temperatures.tolist()
    assert of_kinds[0] == of_kinds[2] != of_kinds[1] == of_kinds[3]


def test_pairs_are_told_apart_from_words_that_no_step_has_taught():
    """Types begin with nothing, and have to learn which text a word is of."""
    begun = FrozenEstimator(small_pretrainer(max_epochs=0).fit(UNLABELED))
    pairs = list(zip(TEXTS[::2], TEXTS[1::2], strict=True))
    clf = classifier(begun, max_epochs=2).fit(pairs, TOPICS[::2])
    assert len(torch.unique(clf.encoder_.embeddings.types.weight, dim=0)) == 4


def test_freeze_all_keeps_the_encoder_and_trains_the_output_layer(pretrainer):
    clf = classifier(FrozenEstimator(pretrainer), freeze="all", n_encoders=3, learning_rate=0.05)
    clf.fit(TEXTS, TOPICS)
    for encoder in clf.encoders_:
        assert changed(weights_of(pretrainer.encoder_), encoder) == set()
    vectors = pretrainer.transform(OTHERS)
    np.testing.assert_allclose(clf.transform(OTHERS), np.tile(vectors, 3), atol=1e-5)
    logits = [F.linear(torch.tensor(vectors), m.output.weight, m.output.bias) for m in members(clf)]
    expected = torch.softmax(torch.stack(logits).mean(dim=0), dim=1).detach()
    np.testing.assert_allclose(clf.predict_proba(OTHERS), expected, atol=1e-5)
    assert clf.score(OTHERS, OTHER_TOPICS) > 0.6
    assert clf.history_[-1]["train_loss"] < clf.history_[0]["train_loss"]


def members(clf):
    return clf._model.members


def test_freeze_all_is_a_linear_layer_trained_on_the_vectors(pretrainer):
    """The same batches, AdamW, rate and clipping, written out."""
    clf = classifier(
        FrozenEstimator(pretrainer), freeze="all", dropout=0.0, label_smoothing=0.0, max_epochs=5
    )
    untrained = clone(clf).set_params(learning_rate=1e-30, max_epochs=1).fit(TEXTS, TOPICS)
    clf.fit(TEXTS, TOPICS)
    head = torch.nn.Linear(16, 3)
    head.load_state_dict(members(untrained)[0].output.state_dict())
    vectors = torch.tensor(pretrainer.transform(TEXTS))
    targets = torch.tensor(np.unique(TOPICS, return_inverse=True)[1])
    groups = [{"params": [head.weight], "weight_decay": 0.01}, {"params": [head.bias]}]
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    lengths = np.array([len(text.split()) + 2 for text in TEXTS])
    random, rate, step = np.random.default_rng(0), Rate(5 * 6), 0
    for _ in range(5):
        for rows in shuffled_by_length(lengths, 16, random):
            for group in adamw.param_groups:
                group["lr"] = 1e-2 * rate(step)
            adamw.zero_grad()
            F.cross_entropy(head(vectors[rows]), targets[rows]).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            adamw.step()
            step += 1
    trained = members(clf)[0].output
    torch.testing.assert_close(trained.weight, head.weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(trained.bias, head.bias, atol=1e-5, rtol=1e-4)


def test_freeze_all_with_windows_held_out_documents_and_a_stream(pretrainer):
    long = [" ".join(TEXTS[i : i + 4]) for i in range(0, 88)]
    clf = classifier(FrozenEstimator(pretrainer), freeze="all", long_documents="mean", max_epochs=9)
    clf.set_params(early_stopping=True, n_encoders=2).fit(long, TOPICS[:88])
    assert "valid_loss" in clf.history_[0]
    clf.set_params(early_stopping=False)
    clf.partial_fit(long, TOPICS[:88])
    assert changed(weights_of(pretrainer.encoder_), clf.encoder_) == set()
    # After all has moved, each encoder has vectors of its own.
    clf.set_params(freeze=None, warm_start=True, max_epochs=1).fit(long, TOPICS[:88])
    moved = [weights_of(encoder) for encoder in clf.encoders_]
    assert changed(moved[0], clf.encoders_[1])
    clf.set_params(freeze="all").fit(long, TOPICS[:88])
    assert [changed(b, e) for b, e in zip(moved, clf.encoders_, strict=True)] == [set(), set()]


def test_what_is_kept_fixed_may_change_within_a_stream(pretrainer):
    clf = classifier(FrozenEstimator(pretrainer), freeze=None)
    clf.partial_fit(TEXTS, TOPICS, classes=np.unique(TOPICS))
    before = weights_of(clf.encoder_)
    clf.set_params(freeze="all").partial_fit(TEXTS, TOPICS)
    assert changed(before, clf.encoder_) == set()
    clf.set_params(freeze=None).partial_fit(TEXTS, TOPICS)
    assert changed(before, clf.encoder_)


class Rates:
    def __call__(self, net):
        named = {id(w): name for name, w in net.module_.named_parameters()}
        return {
            named[id(w)]: group["lr"]
            for group in net.optimizer_.param_groups
            for w in group["params"]
        }


def test_layer_decay_falls_from_the_output_layer_down(pretrainer):
    clf = classifier(FrozenEstimator(pretrainer), layer_decay=0.5, learning_rate=0.01)
    clf.partial_fit(TEXTS * 4, [*TOPICS] * 4, classes=np.unique(TOPICS))  # past the warm-up
    rates = Rates()(clf._stream[0])
    start = "members.0."
    assert rates[start + "output.weight"] == rates[start + "norm.weight"] == pytest.approx(0.01)
    assert rates[start + "encoder.blocks.1.inner.weight"] == pytest.approx(0.005)
    assert rates[start + "encoder.blocks.1.gain"] == pytest.approx(0.005)
    assert rates[start + "encoder.blocks.0.outer.bias"] == pytest.approx(0.0025)
    assert rates[start + "encoder.embeddings.positions.weight"] == pytest.approx(0.00125)
    assert rates[start + "encoder.embeddings.words.weight"] == pytest.approx(15 * 0.00125)
    assert rates[start + "encoder.embeddings.bigrams.table.weight"] == pytest.approx(40 * 0.00125)
    assert len(rates) == len(list(clf._model.parameters()))
    assert clf.fit(TEXTS, TOPICS).score(OTHERS, OTHER_TOPICS) > 0.6


# --- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth", 3),
        ("width", 24),
        ("max_length", 100),
        ("mixer", "hartley"),
        ("attention_layers", 1),
        ("attention_layout", "bottom"),
        ("feedforward_width", 30),
    ],
)
def test_a_conflicting_parameter_is_named(name, value, pretrainer, folder):
    for given in (FrozenEstimator(pretrainer), folder, small_pretrainer(max_steps=1)):
        clf = classifier(given).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"{name}={value!r}, but the pretrained encoder has"):
            clf.fit(TEXTS, TOPICS)
        assert not hasattr(clf, "classes_")


def test_what_agrees_is_no_conflict(pretrainer):
    agreeing = dict(depth=2, width=16, max_length=64, feedforward_width=32, mixer="spectral")
    clf = classifier(FrozenEstimator(pretrainer), max_epochs=1, **agreeing)
    assert clf.fit(TEXTS, TOPICS).encoder_.config.width == 16
    deep = small_pretrainer(depth=4, attention_layers=3, max_steps=1)
    clf = classifier(deep, attention_layers=3, max_epochs=1).fit(TEXTS, TOPICS)
    assert clf.encoder_.config.depth == 4
    unfitted = small_pretrainer(max_steps=1)
    classifier(unfitted, mixer="spectral", max_epochs=1).fit(TEXTS, TOPICS)
    paper = small_pretrainer(architecture="paper", max_steps=1)
    agreeing = dict(feedforward_width=64, mixer="fourier")
    clf = classifier(paper, max_epochs=1, **agreeing).fit(TEXTS, TOPICS)
    assert clf.encoder_.config.feedforward_size == 64


def test_a_tokenizer_beside_a_pretrained_one_is_refused(pretrainer):
    with pytest.raises(ValueError, match="'tokenizer' parameter is given"):
        classifier(FrozenEstimator(pretrainer), tokenizer=TextTokenizer()).fit(TEXTS, TOPICS)
    own = FrozenEstimator(pretrainer.tokenizer_)
    classifier(FrozenEstimator(pretrainer), tokenizer=own, max_epochs=1).fit(TEXTS, TOPICS)


def test_what_is_no_fitted_pretrainer_is_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="There is no folder .*nowhere"):
        classifier(tmp_path / "nowhere").fit(TEXTS, TOPICS)
    whole = (folder / "pretrainer.safetensors").read_bytes()
    (tmp_path / "pretrainer.safetensors").write_bytes(whole[:-1000])
    clf = classifier(str(tmp_path))
    with pytest.raises(ValueError, match=r"pretrainer.safetensors: is no complete"):
        clf.fit(TEXTS, TOPICS)
    assert not hasattr(clf, "tokenizer_")
    with pytest.raises(ValueError, match="not fitted yet"):
        classifier(FrozenEstimator(FNetPretrainer())).fit(TEXTS, TOPICS)
    with pytest.raises(TypeError, match="FrozenEstimator around TextTokenizer; an FNetPretrainer"):
        classifier(FrozenEstimator(TextTokenizer().fit(TEXTS))).fit(TEXTS, TOPICS)
    with pytest.raises(ValueError, match="'pretrained' parameter"):
        classifier(TextTokenizer()).fit(TEXTS, TOPICS)


def test_missing_or_other_weights_are_named(pretrainer, tmp_path, monkeypatch):
    name = "document.encoder.blocks.0.inner.weight"
    for wrong, match in ((None, "is missing"), (torch.zeros(3, 3), r"has \(3, 3\)")):
        state = dict(pretrainer._model.state_dict())
        del state[name]
        if wrong is not None:
            state[name] = wrong
        with monkeypatch.context() as patch:
            patch.setattr(pretrainer._model, "state_dict", lambda state=state: state)
            pretrainer.save(tmp_path)
        clf = classifier(tmp_path)
        with pytest.raises(ValueError, match=f"encoder.blocks.0.inner.weight.*{match}"):
            clf.fit(TEXTS, TOPICS)
        assert not {"_model", "classes_", "tokenizer_"} & vars(clf).keys()


def test_freeze_and_layer_decay_are_checked(pretrainer, folder):
    for changes in ({"freeze": 1}, {"freeze": "all"}, {"layer_decay": 0.5}):
        with pytest.raises(ValueError, match="is for a pretrained encoder"):
            small_classifier(**changes).fit(TEXTS, TOPICS)
    small_classifier(freeze=None).fit(TEXTS, TOPICS)  # nothing is kept, nothing is missing
    with pytest.raises(ValueError, match="'freeze' parameter .* depth=2.* Got 3"):
        classifier(folder, freeze=3).fit(TEXTS, TOPICS)
    for changes in ({"freeze": -1}, {"freeze": "some"}, {"layer_decay": 0}, {"layer_decay": 1.1}):
        with pytest.raises(ValueError, match="parameter of FNetClassifier must be"):
            classifier(folder, **changes).fit(TEXTS, TOPICS)
    with pytest.raises(ValueError, match="needs pooling='cls' to be pretrained"):
        classifier(folder, freeze="all", pooling="cls").fit(TEXTS, TOPICS)


def test_a_pooling_that_no_objective_trained_is_none(tmp_path):
    untrained = small_pretrainer(pooling="cls", objectives=("masked_tokens",), max_steps=1)
    untrained.fit(UNLABELED).save(tmp_path)
    for given in (FrozenEstimator(untrained), tmp_path):
        with pytest.raises(ValueError, match="needs pooling='cls' to be pretrained"):
            classifier(given, freeze="all", pooling="cls").fit(TEXTS, TOPICS)
        clf = classifier(given, pooling="auto", max_epochs=1).fit(TEXTS, TOPICS)
        assert clf._model.members[0].pooling_name == "mean_max"


def test_freeze_is_checked_where_a_fitted_model_goes_on(folder):
    """Changed after the fit, it meets the same error as before it."""
    numbers = np.arange(90.0)
    reg = FNetRegressor(pretrained=folder, max_epochs=1, random_state=0, device="cpu")
    for model, y in ((classifier(folder, max_epochs=1), TOPICS), (reg, numbers)):
        model.fit(TEXTS, y).set_params(freeze=3, warm_start=True)
        before = weights_of(model._model)
        for go_on in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match="'freeze' parameter .* depth=2.* Got 3"):
                go_on(TEXTS, y)
        assert changed(before, model._model) == set()
        model.set_params(freeze=2).partial_fit(TEXTS, y)
        assert not [name for name in changed(before, model._model) if ".encoder." in name]


def test_unlabeled_texts_need_an_unfitted_pretrainer(folder):
    for given in (None, folder):
        clf = FNetClassifier(pretrained=given)
        with pytest.raises(ValueError, match="unlabeled is for pretrained=FNetPretrainer"):
            clf.fit(TEXTS, TOPICS, unlabeled=UNLABELED)
    clf = classifier(small_pretrainer())
    with pytest.raises(ValueError, match="In unlabeled.*row 1 of X"):
        clf.fit(TEXTS, TOPICS, unlabeled=["rain", None])
    with pytest.raises(ValueError, match="as texts, not as tokens"):
        clf.fit(TextTokenizer().fit_transform(TEXTS), TOPICS, unlabeled=UNLABELED)
