"""FNetPretrainer: an encoder that learns from text alone."""

import itertools
import json
import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from published import CORPUS, PUBLISHED, unigram
from samples import Shift, generated_reviews, rights, small_classifier, small_pretrainer
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EarlyStopping

from skfnet import FNetPretrainer, TextTokenizer
from skfnet.checkpoints.hub import ModelFiles
from skfnet.checkpoints.tokenizer_files import read_tokenizer
from skfnet.nn import MIXERS
from skfnet.resuming import Checkpoint, checkpoint_path

TEXTS, TOPICS = generated_reviews(120)
OTHERS, OTHER_TOPICS = generated_reviews(60, seed=1)
# The words beside a hidden one tell which it is, and its own kind in which half it belongs.
REPEATED = [
    " ".join([f"begin{first}"] * n + [f"end{second}"] * n)
    for first in range(6)
    for second in range(6)
    for n in (3, 4, 5)
]


class Stop(Exception):
    """What a kill would be."""


class StopAt(Callback):
    """Ends the process, in effect, after so many steps."""

    def __init__(self, step, error=Stop):
        self.step, self.error = step, error

    def on_batch_end(self, net, training=False, **kwargs):
        if training and net.run.step == self.step:
            raise self.error


class Rate(Callback):
    """Remembers the learning rate at its peak."""

    def on_train_begin(self, net, **kwargs):
        self.rate = net.lr


@pytest.fixture(scope="module")
def fitted():
    return small_pretrainer().fit(TEXTS)


def weights_of(pretrainer):
    return {name: t.numpy().copy() for name, t in pretrainer._model.state_dict().items()}


def assert_same(one, other):
    """Weights, history and answers agree to the last bit."""
    for name, weight in weights_of(other).items():
        np.testing.assert_array_equal(weights_of(one)[name], weight, name)
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in p.history_]
        for p in (one, other)
    ]
    assert rows[0] == rows[1]
    assert (one.n_iter_, one.n_steps_) == (other.n_iter_, other.n_steps_)
    np.testing.assert_array_equal(one.transform(OTHERS), other.transform(OTHERS))


# --- what it learns ---------------------------------------------------------------------


def test_it_finds_out_hidden_words_and_the_order_of_halves():
    pretrainer = small_pretrainer(max_epochs=30, validation_fraction=0.2).fit(REPEATED)
    first, last = pretrainer.history_[0], pretrainer.history_[-1]
    assert last["valid_masked_tokens_accuracy"] > 0.5 > first["valid_masked_tokens_accuracy"]
    assert last["valid_segment_order_accuracy"] > 0.9
    assert last["valid_loss"] < first["valid_loss"]
    assert pretrainer.score(REPEATED) > 0.5


def test_the_history_has_both_objectives(fitted):
    assert [row["epoch"] for row in fitted.history_] == [1, 2]
    assert [row["step"] for row in fitted.history_] == [7, 14]  # 108 texts, 16 in a batch
    assert fitted.n_iter_ == 2
    assert fitted.n_steps_ == 14
    for row in fitted.history_:
        for part in ("train", "valid"):
            objectives = [row[f"{part}_{name}_loss"] for name in fitted.objectives]
            assert row[f"{part}_loss"] == pytest.approx(sum(objectives))
            assert 0 <= row[f"{part}_masked_tokens_accuracy"] <= 1
            assert 0 <= row[f"{part}_segment_order_accuracy"] <= 1
    pd.DataFrame(fitted.history_)
    json.dumps(fitted.history_)


def test_only_the_most_frequent_words_need_be_found_out(tmp_path):
    pretrainer = small_pretrainer(maskable_words=np.int64(12), max_epochs=1).fit(TEXTS)
    share = pretrainer.score(TEXTS)
    pretrainer.save(tmp_path)
    pickled = pickle.loads(pickle.dumps(pretrainer))
    for again in (FNetPretrainer.load(tmp_path, device="cpu"), pickled):
        assert again.score(TEXTS) == share
        again.set_params(maskable_words=None)  # what is fitted keeps to what it was fitted for
        assert again.score(TEXTS) == share
        again.partial_fit(TEXTS)
        assert again._model.n_words == 12
    everything = [
        small_pretrainer(maskable_words=n_words, max_epochs=1).fit(TEXTS).history_[0]["train_loss"]
        for n_words in (None, 10**6, 12)
    ]
    assert everything[0] == everything[1] != everything[2]


@pytest.mark.parametrize(
    ("parameters", "n_words", "rate", "mixer"),
    [
        ({}, 4096, 5e-3, "spectral"),
        ({"tokenizer": TextTokenizer(model="bpe")}, None, 5e-3, "spectral"),
        ({"architecture": "paper"}, None, 1e-3, "fourier"),
        ({"maskable_words": 9, "learning_rate": 0.1, "mixer": "dct"}, 9, 0.1, "dct"),
    ],
)
def test_what_auto_stands_for(parameters, n_words, rate, mixer):
    asked = dict.fromkeys(("maskable_words", "learning_rate", "mixer"), "auto") | parameters
    for method in ("fit", "partial_fit"):
        seen = Rate()
        pretrainer = small_pretrainer(max_steps=1, callbacks=[seen], **asked)
        getattr(pretrainer, method)(TEXTS)
        assert pretrainer._model.n_words == n_words
        assert pretrainer.encoder_.config.mixer == mixer
        assert seen.rate == rate


@pytest.mark.parametrize("objective", ["masked_tokens", "segment_order"])
def test_one_objective_alone(objective):
    pretrainer = small_pretrainer(objectives=[objective], validation_fraction=0, max_epochs=1)
    pretrainer.fit(TEXTS)
    assert set(pretrainer.history_[0]) == {
        *("epoch", "step", "seconds", "train_loss"),
        *(f"train_{objective}_loss", f"train_{objective}_accuracy"),
    }
    assert 0 <= pretrainer.score(OTHERS) <= 1


def test_vectors_of_documents(fitted):
    vectors = fitted.transform(OTHERS)
    assert vectors.shape == (60, 16)
    assert vectors.dtype == np.float32
    alone = np.concatenate([fitted.transform([text]) for text in OTHERS])
    np.testing.assert_allclose(alone, vectors, atol=1e-5)
    assert fitted.get_feature_names_out()[1] == "fnetpretrainer1"
    tokens = fitted.tokenizer_.transform(OTHERS)
    np.testing.assert_array_equal(fitted.transform(tokens), vectors)
    assert fitted.transform([("rain", "cold")]).shape == (1, 16)  # it has read segments


def test_a_long_text_is_read_whole():
    long = [" ".join(TEXTS[i : i + 40]) for i in range(0, 120, 40)] * 4
    pretrainer = small_pretrainer(max_length=32, max_epochs=1, validation_fraction=0).fit(long)
    n_windows = sum(-(-len(text.split()) // 29) for text in long)
    assert pretrainer.n_steps_ == -(-n_windows // 16)
    with pytest.warns(UserWarning, match="12 of 12 documents are longer"):
        cut = small_pretrainer(max_length=32, max_epochs=1, long_documents="truncate")
        assert cut.fit(long).n_steps_ == 1
    assert pretrainer.transform(long).shape == (12, 16)


def test_same_seed_same_weights_and_the_random_state_of_others_is_left_alone(fitted):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = clone(fitted).fit(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(again, fitted)
    other = small_pretrainer(random_state=1).fit(TEXTS)
    assert not np.array_equal(other.transform(OTHERS), fitted.transform(OTHERS))


def test_the_score_is_the_same_at_each_call_and_that_of_words_alone(fitted):
    assert fitted.score(OTHERS) == fitted.score(OTHERS)
    assert 0 < fitted.score(OTHERS) < 1


def test_max_steps_in_place_of_epochs():
    pretrainer = small_pretrainer(max_steps=10).fit(TEXTS)
    assert pretrainer.n_steps_ == 10
    assert [row["step"] for row in pretrainer.history_] == [7, 10]


def test_pairs_of_texts_are_segments():
    pairs = list(zip(TEXTS[:60], TEXTS[60:], strict=True))
    pretrainer = small_pretrainer(max_length=128).fit(pairs)
    assert pretrainer.transform(pairs).shape == (60, 16)
    assert 0 <= pretrainer.score(pairs) <= 1


@pytest.mark.parametrize("mixer", [*MIXERS, Shift])
def test_every_mixer_can_be_pretrained_and_pickled(mixer):
    pretrainer = small_pretrainer(mixer=mixer, attention_layers=1, max_steps=2).fit(TEXTS[:40])
    twin = pickle.loads(pickle.dumps(pretrainer))
    np.testing.assert_array_equal(twin.transform(OTHERS), pretrainer.transform(OTHERS))


@pytest.mark.parametrize("model", ["bpe", "char"])
def test_other_tokenizers(model):
    tokenizer = TextTokenizer(model=model, vocab_size=400)
    pretrainer = small_pretrainer(tokenizer=tokenizer, max_steps=2, max_length=256).fit(TEXTS)
    assert pretrainer.transform(OTHERS).shape == (60, 16)
    tokens = tokenizer.fit_transform(TEXTS)
    ready = small_pretrainer(max_steps=2, max_length=256).fit(tokens)
    assert ready.tokenizer_ is None
    assert_vectors = ready.transform(tokenizer.transform(OTHERS))
    np.testing.assert_array_equal(assert_vectors, pretrainer.transform(OTHERS))


def test_callbacks_see_the_held_out_loss():
    stopping = EarlyStopping(monitor="valid_loss", patience=1, threshold=1e9, sink=lambda m: None)
    pretrainer = small_pretrainer(callbacks=[stopping], max_epochs=9).fit(TEXTS)
    assert pretrainer.n_iter_ < 9


def test_a_progress_bar(capsys):
    small_pretrainer(verbose=1).fit(TEXTS)
    shown = capsys.readouterr().err
    assert "pretrain: 100%" in shown
    assert "14/14" in shown
    assert "valid masked tokens accuracy=0." in shown
    small_pretrainer(verbose=0).fit(TEXTS)
    assert capsys.readouterr() == ("", "")


# --- scikit-learn's tools ---------------------------------------------------------------


def test_in_a_pipeline_labels_are_for_the_step_after_it():
    model = make_pipeline(small_pretrainer(max_epochs=20), LogisticRegression())
    assert model.fit(TEXTS, TOPICS).score(OTHERS, OTHER_TOPICS) > 0.6


def test_searches_and_cross_validation_without_labels():
    search = GridSearchCV(small_pretrainer(max_steps=3), {"width": np.array([8, 12])}, cv=2)
    assert search.fit(TEXTS).best_params_["width"] in (8, 12)
    assert cross_val_score(small_pretrainer(max_steps=3), TEXTS, cv=2).shape == (2,)


# --- streams ----------------------------------------------------------------------------


def test_a_stream_is_read_in_parts(monkeypatch):
    monkeypatch.setattr("skfnet.pretrainer._PART", 40)
    parts = small_pretrainer()
    for i in range(0, 120, 40):
        parts.partial_fit(TEXTS[i : i + 40])
    stream = small_pretrainer().partial_fit(text for text in TEXTS)
    assert_same(stream, parts)
    assert stream.n_iter_ == 3
    assert stream.n_steps_ == 9
    assert "valid_loss" not in stream.history_[0]


def test_a_stream_goes_on_from_a_fitted_or_a_loaded_one(fitted, tmp_path):
    fitted.save(tmp_path)
    before = fitted.history_[-1]["train_masked_tokens_loss"]
    for pretrainer in (
        pickle.loads(pickle.dumps(fitted)),
        FNetPretrainer.load(tmp_path, device="cpu").set_params(random_state=0),
    ):
        for _ in range(5):
            pretrainer.partial_fit(TEXTS)
        assert pretrainer.history_[-1]["train_masked_tokens_loss"] < before
        pretrainer.partial_fit(["zebra", ""])  # nothing to be learned from


def test_an_empty_stream_is_an_error():
    with pytest.raises(ValueError, match="X holds no documents"):
        small_pretrainer().partial_fit(iter([]))


@pytest.mark.parametrize("step", [2, 4])
def test_one_interruption_ends_a_stream_whose_rest_can_be_read_later(step, monkeypatch):
    """3 steps make a part: interrupted in the first, in the second of three."""
    monkeypatch.setattr("skfnet.pretrainer._PART", 40)
    texts = iter(TEXTS)
    pretrainer = small_pretrainer(callbacks=[StopAt(step, KeyboardInterrupt)])
    with pytest.warns(UserWarning, match="interrupted") as warned:
        pretrainer.partial_fit(texts)
    assert len(warned) == 1
    n_parts = -(-step // 3)
    assert (pretrainer.n_steps_, pretrainer.n_iter_) == (step, n_parts - 1)
    rest = list(texts)
    assert rest == TEXTS[40 * n_parts :]  # nothing beyond the part was read
    assert np.isfinite(pretrainer.transform(OTHERS)).all()
    pretrainer.partial_fit(rest)
    assert pretrainer.n_steps_ == step + -(-len(rest) // 16)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_iterator_that_fails_leaves_what_was_learned_before(error, monkeypatch):
    monkeypatch.setattr("skfnet.pretrainer._PART", 40)

    def failing(n):
        yield from TEXTS[:n]
        raise error

    pretrainer = small_pretrainer()
    with pytest.raises(error):
        pretrainer.partial_fit(failing(30))
    with pytest.raises(NotFittedError):
        pretrainer.transform(OTHERS)
    with pytest.raises(error):
        pretrainer.partial_fit(failing(100))
    expected = small_pretrainer().partial_fit(TEXTS[:40]).partial_fit(TEXTS[40:80])
    assert_same(pretrainer, expected)
    assert_same(pretrainer.partial_fit(TEXTS[80:]), expected.partial_fit(TEXTS[80:]))


# --- interrupted and resumed ------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 7, 8, 13])
def test_a_run_that_was_killed_goes_on_to_the_same_result(step, fitted, tmp_path):
    """7 steps make a pass: killed within one, at the end of one, at the end of all."""
    parameters = dict(checkpoint=tmp_path, checkpoint_minutes=0)
    with pytest.raises(Stop):
        small_pretrainer(callbacks=[StopAt(step)], **parameters).fit(TEXTS)
    resumed = small_pretrainer(resume=True, **parameters).fit(TEXTS)
    assert_same(resumed, fitted)


def test_killed_between_two_checkpoints_and_again(fitted, tmp_path, monkeypatch):
    parameters = dict(checkpoint=str(tmp_path / "made" / "here"), checkpoint_minutes=10)
    clock = itertools.count(0, 170)  # seconds; a checkpoint at every fourth step
    timer = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("skfnet.resuming.time", timer)
    for step in (6, 11):
        with pytest.raises(Stop):
            small_pretrainer(resume=True, callbacks=[StopAt(step)], **parameters).fit(TEXTS)
    monkeypatch.undo()
    assert_same(small_pretrainer(resume=True, **parameters).fit(TEXTS), fitted)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(fitted, tmp_path, monkeypatch):
    parameters = dict(checkpoint=tmp_path, checkpoint_minutes=0)
    with pytest.raises(Stop):
        small_pretrainer(callbacks=[StopAt(5)], **parameters).fit(TEXTS)
    good = (tmp_path / "checkpoint.safetensors").read_bytes()

    def cut_off(tensors, path, metadata):
        path.write_bytes(good[: len(good) // 2])
        raise Stop

    monkeypatch.setattr("skfnet.persistence.save_file", cut_off)
    with pytest.raises(Stop):
        small_pretrainer(resume=True, **parameters).fit(TEXTS)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == good
    assert_same(small_pretrainer(resume=True, **parameters).fit(TEXTS), fitted)


def test_a_finished_run_is_taken_as_it_is(fitted, tmp_path):
    small_pretrainer(checkpoint=tmp_path).fit(TEXTS)
    recorder = StopAt(1)
    again = small_pretrainer(checkpoint=tmp_path, resume=True, callbacks=[recorder]).fit(TEXTS)
    assert_same(again, fitted)
    anew = small_pretrainer(checkpoint=tmp_path, resume=False).fit(TEXTS)
    assert_same(anew, fitted)


def test_an_unseeded_run_goes_on_with_its_own_seed(tmp_path):
    parameters = dict(random_state=None, checkpoint=tmp_path, checkpoint_minutes=0)
    with pytest.raises(Stop):
        small_pretrainer(callbacks=[StopAt(4)], **parameters).fit(TEXTS)
    seed = Checkpoint.read(checkpoint_path(tmp_path)).run.seed
    resumed = small_pretrainer(resume=True, **parameters).fit(TEXTS)
    assert_same(resumed, small_pretrainer(random_state=seed).fit(TEXTS))


def test_a_keyboard_interrupt_leaves_a_model_and_the_last_checkpoint(fitted, tmp_path):
    parameters = dict(checkpoint=tmp_path, checkpoint_minutes=0)
    with pytest.warns(UserWarning, match="interrupted"):
        interrupt = StopAt(9, KeyboardInterrupt)
        part = small_pretrainer(callbacks=[interrupt], **parameters).fit(TEXTS)
    assert part.n_steps_ == 9
    assert part.transform(OTHERS).shape == (60, 16)
    assert_same(small_pretrainer(resume=True, **parameters).fit(TEXTS), fitted)


def test_another_run_is_not_gone_on_with(tmp_path):
    small_pretrainer(checkpoint=tmp_path).fit(TEXTS)
    for changes, match in (
        ({"width": 8}, "width=16, not 8"),
        ({"max_epochs": 3}, "max_epochs=2, not 3"),
        ({"random_state": 4}, "random_state=0, not 4"),
        ({"objectives": ["masked_tokens"]}, "objectives="),
        ({"maskable_words": 12}, "maskable_words='auto', not 12"),
        ({"tokenizer": TextTokenizer(min_frequency=1)}, "tokenizer=None, not .*min_frequency"),
    ):
        with pytest.raises(ValueError, match=match):
            small_pretrainer(checkpoint=tmp_path, resume=True, **changes).fit(TEXTS)
    with pytest.raises(ValueError, match="other texts than X"):
        small_pretrainer(checkpoint=tmp_path, resume=True).fit(TEXTS[1:])
    with pytest.raises(ValueError, match="'resume' parameter .* names no folder"):
        small_pretrainer(resume=True).fit(TEXTS)


def test_a_broken_checkpoint_is_named(tmp_path):
    small_pretrainer(checkpoint=tmp_path).fit(TEXTS)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="checkpoint.safetensors: is no complete"):
        small_pretrainer(checkpoint=tmp_path, resume=True).fit(TEXTS)


# --- saved and loaded -------------------------------------------------------------------


def test_a_folder_gives_back_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "new" / "folder")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["pretrainer.safetensors"]
    loaded = FNetPretrainer.load(tmp_path / "new" / "folder", device="cpu")
    assert_same(loaded, fitted)
    assert loaded.history_ == fitted.history_
    assert loaded.score(OTHERS) == fitted.score(OTHERS)
    assert loaded.get_params()["width"] == 16
    assert isinstance(loaded.tokenizer, FrozenEstimator)
    assert_same(clone(loaded).set_params(random_state=0).fit(TEXTS), fitted)
    loaded.save(tmp_path)
    assert_same(FNetPretrainer.load(str(tmp_path), "cpu"), fitted)


def test_one_that_was_fitted_on_tokens_is_saved_too(tmp_path):
    tokens = TextTokenizer().fit_transform(TEXTS)
    pretrainer = small_pretrainer(max_steps=2).fit(tokens)
    pretrainer.save(tmp_path)
    loaded = FNetPretrainer.load(tmp_path, "cpu")
    assert loaded.tokenizer_ is None
    np.testing.assert_array_equal(loaded.transform(tokens), pretrainer.transform(tokens))


@pytest.fixture
def published_tokenizer(tmp_path):
    """Give one that has ids to spare, and padding by a name of its own."""
    folder = tmp_path / "published"
    folder.mkdir()
    names = ["<fill>" if name == "<pad>" else name for name in PUBLISHED]
    unigram(names).save(str(folder / "tokenizer.json"))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<fill>"}))
    tokenizer = read_tokenizer(ModelFiles(folder), vocab_size=120, pad=None)
    assert tokenizer.tokenizer_.get_vocab_size() < tokenizer.n_ids_ == 120
    assert tokenizer.special_tokens_.pad == names.index("<fill>")
    return tokenizer


def test_a_published_tokenizer_is_saved_with_ids_to_spare_and_its_padding(
    published_tokenizer, tmp_path
):
    parameters = dict(
        tokenizer=FrozenEstimator(published_tokenizer),
        padding="max_length",
        validation_fraction=0,
        checkpoint=tmp_path,
        checkpoint_minutes=0,
    )
    whole = small_pretrainer(**parameters).fit(CORPUS)
    whole.save(tmp_path)
    loaded = FNetPretrainer.load(tmp_path, device="cpu")
    assert_same(loaded, whole)
    tokens = loaded.tokenizer_.transform(OTHERS)  # of a vocabulary of the encoder's size
    np.testing.assert_array_equal(loaded.transform(tokens), whole.transform(OTHERS))
    with pytest.raises(Stop):
        small_pretrainer(callbacks=[StopAt(1)], **parameters).fit(CORPUS)
    assert_same(small_pretrainer(resume=True, **parameters).fit(CORPUS), whole)


def test_what_is_no_complete_file_is_named_and_nothing_is_loaded(fitted, tmp_path):
    path = tmp_path / "pretrainer.safetensors"
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="pretrainer.safetensors: no such file"):
            FNetPretrainer.load(folder)
    fitted.save(tmp_path)
    whole = path.read_bytes()
    for n in (0, 5, 8, 200, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match="pretrainer.safetensors: is no complete"):
            FNetPretrainer.load(tmp_path)
    small_pretrainer(max_steps=1, checkpoint=tmp_path / "run").fit(TEXTS)
    shutil.copy(tmp_path / "run" / "checkpoint.safetensors", path)
    with pytest.raises(ValueError, match="does not hold a pretrained encoder"):
        FNetPretrainer.load(tmp_path)


def test_missing_weights_are_named(fitted, tmp_path, monkeypatch):
    state = fitted._model.state_dict()
    del state["masked.dense.weight"]
    monkeypatch.setattr(fitted._model, "state_dict", lambda: state)
    fitted.save(tmp_path)
    with pytest.raises(ValueError, match=r"pretrainer.safetensors: .*masked.dense.weight"):
        FNetPretrainer.load(tmp_path)


def test_writing_is_all_or_nothing(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path)
    good = (tmp_path / "pretrainer.safetensors").read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("skfnet.persistence.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pretrainer.safetensors"]
    assert (tmp_path / "pretrainer.safetensors").read_bytes() == good


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_what_may_not_be_read_is_not_called_missing_or_incomplete(closed, fitted, open_folder):
    fitted.save(open_folder)
    path = open_folder / "pretrainer.safetensors"
    start = small_classifier(pretrained=open_folder, depth=2, width=64, max_length=1024)
    with rights(open_folder if closed == "folder" else path, 0):
        for read in (
            lambda: FNetPretrainer.load(open_folder),
            lambda: start.fit(TEXTS, TOPICS),
        ):
            with pytest.raises(PermissionError, match="pretrainer.safetensors"):
                read()
    assert_same(FNetPretrainer.load(open_folder, "cpu"), fitted)


def test_the_file_has_the_rights_of_any_new_file(fitted, tmp_path):
    fitted.save(tmp_path)
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_where_nothing_may_be_written_the_error_says_so(fitted, open_folder):
    fitted.save(open_folder)
    for folder in (open_folder, open_folder / "new"):
        with rights(open_folder, 0o555), pytest.raises(PermissionError, match=str(folder)):
            fitted.save(folder)
    assert_same(FNetPretrainer.load(open_folder, "cpu"), fitted)


def test_a_mixer_that_is_code_cannot_be_saved_as_data(tmp_path):
    pretrainer = small_pretrainer(mixer=Shift, max_steps=1).fit(TEXTS)
    with pytest.raises(ValueError, match="mixer=.*Shift.* is code"):
        pretrainer.save(tmp_path)


# --- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_labels_are_refused(method, fitted):
    with pytest.raises(ValueError, match="y must be None, got list.*FNetClassifier"):
        getattr(clone(fitted) if method != "score" else fitted, method)(TEXTS, TOPICS)


def test_parameters_are_checked():
    for changes, match in (
        ({"objectives": []}, "'objectives' parameter"),
        ({"objectives": ["masked"]}, r"'objectives' parameter .*masked_tokens.*\['masked'\]"),
        ({"objectives": "masked_tokens"}, "'objectives' parameter"),
        ({"masked_share": 0}, "'masked_share' parameter"),
        ({"masked_share": 1.0}, "'masked_share' parameter"),
        ({"maskable_words": 0}, "'maskable_words' parameter"),
        ({"attention_layers": 3}, "'attention_layers' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"checkpoint_minutes": -1}, "'checkpoint_minutes' parameter"),
    ):
        with pytest.raises(ValueError, match=match):
            small_pretrainer(**changes).fit(TEXTS)
    with pytest.raises(ValueError, match="validation_fraction=0.9 would hold out all of 2"):
        small_pretrainer(validation_fraction=0.9).fit(["rain rain rain", "rain rain"])
    with pytest.raises(ValueError, match="max_length=3 leaves no room .* 3 special"):
        small_pretrainer(max_length=3).fit(TEXTS)
    small_pretrainer(max_length=3, max_steps=1, objectives=["masked_tokens"]).fit(TEXTS)


def test_texts_without_enough_tokens_are_refused():
    with pytest.raises(ValueError, match="no word of the vocabulary"):
        small_pretrainer().fit(["all of", "these words", "stand here", "only once"])
    with pytest.raises(ValueError, match="No text of X has two tokens"):
        small_pretrainer().fit(["rain", "cold"] * 10)
    with pytest.raises(ValueError, match="X holds no documents"):
        small_pretrainer().fit([])
    with pytest.raises(ValueError, match="string object received"):
        small_pretrainer().fit("rain and cold")
    with pytest.raises(ValueError, match=r"needs a token \[MASK\]"):
        small_pretrainer(tokenizer="precomputed").fit([[1, 2, 3]] * 10)
    ids = small_pretrainer(tokenizer="precomputed", objectives=["segment_order"])
    assert ids.fit([[1, 2, 3]] * 10).transform([[1, 2]]).shape == (1, 16)


def test_a_loaded_one_reads_ids_where_the_saved_one_did(tmp_path):
    ids = small_pretrainer(tokenizer="precomputed", objectives=["segment_order"])
    ids.fit([[1, 2, 3]] * 10).save(tmp_path)
    loaded = FNetPretrainer.load(tmp_path, device="cpu")
    assert np.array_equal(loaded.transform([[1, 2]]), ids.transform([[1, 2]]))
