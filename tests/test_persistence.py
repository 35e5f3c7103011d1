"""Saved here, loaded there: the same answers, on whatever device there is."""

import copy
import io
import json
import os
import pickle
import pickletools
import subprocess
import sys

import joblib
import numpy as np
import pytest
import tokenizers
import torch
from samples import Shift, small_classifier
from skops import io as skops_io

from skfnet import FNetClassifier, TextTokenizer
from skfnet.nn import MIXERS, EncoderConfig, Ensemble
from skfnet.persistence import pack_model, unpack_model

IN_A_NEW_PROCESS = """
import sys, pickle, joblib, numpy, torch
torch.set_num_threads(1)
source, texts, answers = sys.argv[1:]
load = joblib.load if source.endswith("joblib") else lambda p: pickle.load(open(p, "rb"))
clf, texts = load(source), joblib.load(texts)
joblib.dump((clf.predict(texts), clf.predict_proba(texts), clf.transform(texts)), answers)
"""


@pytest.mark.parametrize("kind", ["joblib", "pickle"])
def test_a_new_process_gives_identical_answers(kind, fitted, reviews, tmp_path):
    _, _, texts, _ = reviews
    path = tmp_path / f"clf.{kind}"
    if kind == "joblib":
        joblib.dump(fitted, path)
    else:
        path.write_bytes(pickle.dumps(fitted))
    joblib.dump(texts, tmp_path / "texts")
    arguments = [str(path), str(tmp_path / "texts"), str(tmp_path / "answers")]
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, *arguments]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "PYTHONHASHSEED": "7"})
    expected = fitted.predict(texts), fitted.predict_proba(texts), fitted.transform(texts)
    for got, answer in zip(joblib.load(tmp_path / "answers"), expected, strict=True):
        assert np.array_equal(got, answer)


@pytest.mark.parametrize("mixer", [*MIXERS, Shift])
def test_every_mixer_learns_and_survives_saving(mixer, reviews):
    texts, topics, others, expected = reviews
    clf = small_classifier(mixer=mixer, depth=2, attention_layers=1, random_state=3)
    clf.fit(texts, topics)
    assert clf.score(others, expected) > 0.9
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(again.predict_proba(others), clf.predict_proba(others))


def weights_and_tokenizer(clf):
    weights = sum(t.numel() * t.element_size() for t in vars(clf)["_model"].state_dict().values())
    return weights + len(clf.tokenizer_.tokenizer_.to_str().encode())


@pytest.mark.parametrize(
    "parameters",
    [{}, {"early_stopping": True}, {"warm_start": True}, {"tokenizer": TextTokenizer()}],
    ids=str,
)
def test_the_file_is_hardly_larger_than_what_it_must_hold(parameters, reviews, tmp_path):
    texts, topics, _, _ = reviews
    clf = small_classifier(width=64, max_length=256, max_epochs=2, **parameters)
    clf.fit(texts, topics)
    for _ in range(2):
        clf.partial_fit(texts, topics)  # an optimizer that must stay behind
    joblib.dump(clf, tmp_path / "clf.joblib")
    limit = 1.1 * weights_and_tokenizer(clf)
    assert (tmp_path / "clf.joblib").stat().st_size <= limit
    assert len(pickle.dumps(clf)) <= limit


def test_no_code_of_torch_or_skorch_is_in_the_file(fitted, reviews):
    texts, topics, _, _ = reviews
    streamed = copy.deepcopy(fitted).partial_fit(texts, topics)
    for clf in (fitted, streamed, small_classifier(early_stopping=True).fit(texts, topics)):
        strings = [
            argument
            for _, argument, _ in pickletools.genops(pickle.dumps(clf))
            if isinstance(argument, str)
        ]
        assert "skfnet.classifier" in strings
        assert not [text for text in strings if text.startswith(("torch", "skorch"))]


TRUSTED = {
    "skfnet.batches.SpecialTokens",
    "skfnet.classifier.FNetClassifier",
    "skfnet.tokenizer.TextTokenizer",
}


@pytest.mark.parametrize("tokenizer", [None, TextTokenizer(vocab_size=3000)], ids=str)
def test_skops_needs_to_trust_our_own_classes_alone(tokenizer, reviews):
    texts, topics, others, _ = reviews
    clf = small_classifier(tokenizer=tokenizer, early_stopping=True).fit(texts, topics)
    dumped = skops_io.dumps(clf)
    untrusted = skops_io.get_untrusted_types(data=dumped)
    assert set(untrusted) <= TRUSTED
    loaded = skops_io.loads(dumped, trusted=untrusted)
    assert np.array_equal(loaded.predict_proba(others), clf.predict_proba(others))
    assert loaded.get_params().keys() == clf.get_params().keys()


def test_a_model_of_a_gpu_loads_where_there_is_none(fitted, reviews):
    _, _, texts, _ = reviews
    for device in ("cuda", "cuda:1", "mps"):
        if device.split(":")[0] in ("cuda", "mps") and torch.accelerator.is_available():
            pytest.skip("this machine has an accelerator")
        trained_there = copy.deepcopy(fitted)
        trained_there.set_params(device=device)
        trained_there.device_ = torch.device(device)
        loaded = pickle.loads(pickle.dumps(trained_there))
        assert loaded.device == device
        assert loaded.device_ == torch.device("cpu")
        assert np.array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_trained_on_a_gpu_answers_alike_on_the_cpu(reviews):
    texts, topics, others, expected = reviews
    clf = small_classifier(device="cuda", precision="float32").fit(texts, topics)
    assert clf.device_.type == "cuda"
    assert clf.score(others, expected) > 0.95
    alone = np.vstack([clf.predict_proba([text]) for text in others])
    np.testing.assert_allclose(clf.predict_proba(others), alone, atol=1e-5)
    here = pickle.loads(pickle.dumps(clf.set_params(device="cpu")))
    assert here.device_.type == "cpu"
    np.testing.assert_allclose(here.predict_proba(others), alone, atol=1e-4)
    half = small_classifier(device="auto").fit(texts, topics)
    assert half.device_.type == "cuda"
    assert half.score(others, expected) > 0.95
    alone = np.vstack([half.predict_proba([text]) for text in others])
    np.testing.assert_allclose(half.predict_proba(others), alone, atol=0.03)


def test_a_loaded_model_can_go_on_learning(reviews):
    texts, topics, others, expected = reviews
    stream = small_classifier()
    for _ in range(3):
        stream.partial_fit(texts, topics, classes=np.unique(topics))
        stream = pickle.loads(pickle.dumps(stream))
    for _ in range(4):
        stream.partial_fit(texts, topics)
    assert stream.score(others, expected) > 0.9
    first = small_classifier(warm_start=True).fit(texts, topics)
    again = pickle.loads(pickle.dumps(first)).fit(texts, topics)
    assert again.history_[0]["train_loss"] < first.history_[0]["train_loss"] - 0.1
    assert again.score(others, expected) > 0.9


def test_what_was_learned_of_training_comes_along(fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.history_ == fitted.history_
    assert loaded.n_iter_ == fitted.n_iter_
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert loaded.encoder_.config == fitted.encoder_.config
    assert not loaded.encoder_.training


def test_saving_changes_nothing(fitted, reviews):
    _, _, texts, _ = reviews
    before = fitted.predict_proba(texts)
    joblib.dump(fitted, io.BytesIO())
    assert np.array_equal(fitted.predict_proba(texts), before)
    twin = copy.deepcopy(fitted)
    with torch.no_grad():
        for parameter in twin.encoder_.parameters():
            parameter.zero_()
    assert np.array_equal(fitted.predict_proba(texts), before)


def test_an_unfitted_one_is_saved_too():
    clf = FNetClassifier(width=24, tokenizer=TextTokenizer(vocab_size=400))
    loaded = pickle.loads(pickle.dumps(clf))
    assert loaded.get_params()["tokenizer__vocab_size"] == 400
    assert loaded.width == 24


def test_a_ready_tokenizer_comes_along(reviews):
    texts, topics, others, _ = reviews
    ready = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "rain": 1}, unk_token="?"))
    ready.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    clf = small_classifier(tokenizer=ready, max_epochs=1).fit(texts, topics)
    loaded = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(loaded.predict_proba(others), clf.predict_proba(others))


def test_a_model_packs_into_json_and_arrays():
    config = EncoderConfig(vocab_size=20, width=6, depth=2, mixing_gain=0.7, activation="relu")
    model = Ensemble([config] * 2, 3, "cls").eval()
    packed = pack_model(model)
    assert isinstance(json.loads(packed["shape"]), dict)
    assert all(type(array) is np.ndarray for array in packed["weights"].values())
    state = torch.get_rng_state()
    twin = unpack_model(packed)
    assert torch.equal(torch.get_rng_state(), state)
    assert not twin.training
    batch = {"input_ids": torch.randint(20, (4, 9)), "lengths": torch.tensor([9, 1, 4, 9])}
    expected = model(**batch)
    assert torch.equal(twin(**batch), expected)
    packed["weights"]["members.1.output.weight"][:] = 0  # the twin has weights of its own
    assert torch.equal(twin(**batch), expected)
