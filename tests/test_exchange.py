"""Estimators from and to transformers' layout: the same predictions on both sides."""

import json
import pickle

import numpy as np
import pytest
import torch
from published import (
    MAX_LENGTH,
    PAIRS,
    TEXTS,
    assert_close,
    save_model,
    save_tokenizer,
    their_answers,
)
from samples import SCRIPTS, generated_reviews, small_classifier, small_pretrainer
from scipy.special import softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skfnet import FNetClassifier, FNetPretrainer, FNetRegressor, TextTokenizer
from skfnet.checkpoints import read_huggingface

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:.*are longer than")

REVIEWS, TOPICS = generated_reviews(60, longest=20)
OTHERS, _ = generated_reviews(20, seed=1, longest=40)
THREE = {"id2label": {0: "good", 1: "bad", 2: "mixed"}}  # not in the order of classes_


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Give a classifier of transformers', its tokenizer and its folder."""
    folder = tmp_path_factory.mktemp("theirs")
    tokenizer = save_tokenizer(folder)
    return save_model(folder, tokenizer=tokenizer, **THREE), tokenizer, folder


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    """Give the folder of a pretrained model without a head for documents."""
    folder = tmp_path_factory.mktemp("headless")
    save_model(folder, "FNetForPreTraining")
    return folder


def paper(**changes):
    """Give a classifier of the published shape that trains in a moment."""
    sizes = {"architecture": "paper", "n_encoders": "auto", "width": 16, "max_length": 32}
    return small_classifier(**(sizes | {"max_epochs": 2, "learning_rate": 1e-3} | changes))


def answers_of_folder(folder, texts, **padding):
    """Let transformers read a folder, model and tokenizer, and answer."""
    model = transformers.FNetForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return their_answers(model, tokenizer, texts, **padding)


# --- from transformers ------------------------------------------------------------------


@pytest.mark.parametrize("texts", [TEXTS, PAIRS], ids=["texts", "pairs"])
def test_a_classifier_of_transformers_predicts_the_same_here(theirs, texts):
    model, tokenizer, folder = theirs
    expected = their_answers(model, tokenizer, texts)
    clf = FNetClassifier.from_huggingface(folder, device="cpu")
    assert clf.classes_.tolist() == ["bad", "good", "mixed"]
    logits = expected.logits.numpy()[:, [1, 0, 2]]
    assert_close(clf.decision_function(texts), logits)
    assert_close(clf.predict_proba(texts), softmax(logits, axis=1))
    assert clf.predict(texts).tolist() == clf.classes_[logits.argmax(axis=1)].tolist()
    with torch.inference_mode():
        assert_close(clf.transform(texts), model.fnet.pooler(expected.hidden_states[-1]))


def test_padding_keeps_a_document_on_its_own(theirs):
    clf = FNetClassifier.from_huggingface(theirs[2], device="cpu")
    together = clf.decision_function(TEXTS)
    alone = np.concatenate([clf.decision_function([text]) for text in TEXTS])
    assert_close(together, alone)
    assert_close(clf.set_params(batch_size=2).decision_function(TEXTS[::-1]), together[::-1])


def test_exact_lengths_are_transformers_without_padding(theirs):
    model, tokenizer, folder = theirs
    exact = FNetClassifier.from_huggingface(folder, padding="exact", device="cpu")
    assert exact.encoder_.config.padding == "exact"
    texts = [text for text in TEXTS if text]
    for text, logits in zip(texts, exact.decision_function(texts), strict=True):
        expected = their_answers(model, tokenizer, [text], padding=False).logits[0, [1, 0, 2]]
        assert_close(logits, expected)
    padded = FNetClassifier.from_huggingface(folder, device="cpu")
    assert np.abs(padded.decision_function(texts) - exact.decision_function(texts)).max() > 0.01


def test_what_is_read_and_written_predicts_the_same(theirs, tmp_path):
    clf = FNetClassifier.from_huggingface(theirs[2], device="cpu")
    clf.to_huggingface(tmp_path)
    again = FNetClassifier.from_huggingface(tmp_path, device="cpu")
    assert np.array_equal(again.decision_function(TEXTS), clf.decision_function(TEXTS))
    written = answers_of_folder(tmp_path, TEXTS).logits.numpy()
    assert_close(written, clf.decision_function(TEXTS))
    loaded = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(loaded.predict_proba(PAIRS), clf.predict_proba(PAIRS))


def test_training_goes_on_or_begins_again(theirs):
    folder = theirs[2]
    labels = np.array(["good", "bad", "mixed"] * 20)
    clf = FNetClassifier.from_huggingface(
        folder, warm_start=True, max_epochs=1, batch_size=16, random_state=0, device="cpu"
    )
    before = clf.decision_function(OTHERS)
    words = clf.encoder_.embeddings.words.weight.detach().clone()
    clf.fit(REVIEWS, labels)
    assert clf.encoder_.config.padding == "max_length"
    drift = np.abs(clf.decision_function(OTHERS) - before).max()
    assert 0 < drift < 0.5  # at the rate of published weights
    assert not torch.equal(clf.encoder_.embeddings.words.weight, words)
    again = FNetClassifier.from_huggingface(folder, batch_size=16, random_state=0, device="cpu")
    again.partial_fit(REVIEWS, labels)
    assert again.n_iter_ == 1
    with pytest.raises(ValueError, match="not among the classes"):
        again.partial_fit(REVIEWS[:2], ["good", "awful"])
    anew = again.set_params(max_epochs=1).fit(REVIEWS, TOPICS)
    assert set(anew.classes_) == set(TOPICS)
    assert_close(anew.encoder_.embeddings.words.weight.detach(), words, tolerance=0.05)
    assert clone(again).fit(REVIEWS, TOPICS).score(REVIEWS, TOPICS) == anew.score(REVIEWS, TOPICS)


def test_several_labels_and_numbers(tmp_path):
    save_model(tmp_path / "labels", problem_type="multi_label_classification", **THREE)
    clf = FNetClassifier.from_huggingface(tmp_path / "labels", device="cpu")
    assert clf.multilabel_ and clf.classes_.tolist() == [0, 1, 2]
    logits = answers_of_folder(tmp_path / "labels", TEXTS[:2]).logits.numpy()
    assert np.array_equal(clf.predict(TEXTS[:2]), logits > 0)
    save_model(tmp_path / "numbers", num_labels=1)
    reg = FNetRegressor.from_huggingface(tmp_path / "numbers", device="cpu")
    logits = answers_of_folder(tmp_path / "numbers", TEXTS[:2]).logits.numpy()
    assert_close(reg.predict(TEXTS[:2]), logits[:, 0])
    with pytest.raises(ValueError, match="to predict numbers: use FNetRegressor"):
        FNetClassifier.from_huggingface(tmp_path / "numbers")
    with pytest.raises(ValueError, match="to predict labels: use FNetClassifier"):
        FNetRegressor.from_huggingface(tmp_path / "labels")


def test_a_folder_without_a_head_points_to_pretrained(headless):
    with pytest.raises(ValueError, match=r"without a head .*FNetClassifier\(pretrained='"):
        FNetClassifier.from_huggingface(headless)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_encoders": 3}, "leave out n_encoders and pooling"),
        ({"pooling": "mean"}, "leave out n_encoders and pooling"),
        ({"depth": 5}, "depth=5, but the pretrained encoder has depth=2"),
        ({"padding": "longest"}, "'padding' parameter"),
        ({"mixture": 1}, "mixture"),
    ],
)
def test_parameters_that_do_not_fit_are_named(theirs, parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        FNetClassifier.from_huggingface(theirs[2], **parameters)


# --- published weights to start from ----------------------------------------------------


def test_fine_tuning_starts_from_published_weights(headless):
    clf = FNetClassifier(
        pretrained=str(headless),
        learning_rate=1e-12,
        max_epochs=1,
        random_state=0,
        device="cpu",
    ).fit(REVIEWS, TOPICS)
    published = read_huggingface(headless)
    assert len(clf.encoders_) == 1
    assert clf._model.members[0].pooling_name == "cls"
    assert clf.encoder_.config.padding == "max_length"
    for module, weights in (
        (clf.encoder_, published.encoder),
        (clf._model.members[0].pooling, published.pooling),
    ):
        for name, tensor in module.state_dict().items():
            assert_close(tensor, weights[name])
    moved = clone(clf).set_params(learning_rate=1e-3).fit(REVIEWS, TOPICS)
    for name, tensor in moved.encoder_.state_dict().items():
        assert not torch.equal(tensor, published.encoder[name]), name


def test_the_rate_of_published_weights_is_theirs(headless, monkeypatch):
    rates = []
    from skfnet import supervised

    real = supervised.make_net
    monkeypatch.setattr(
        supervised,
        "make_net",
        lambda *args, **kwargs: rates.append(kwargs["learning_rate"]) or real(*args, **kwargs),
    )
    quick = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    FNetClassifier(pretrained=headless, **quick).fit(REVIEWS, TOPICS)
    small_classifier(learning_rate="auto", max_epochs=1).fit(REVIEWS, TOPICS)
    assert rates == [3e-5, 4e-3]


def test_fine_tuning_with_exact_lengths_other_poolings_and_more_encoders(headless):
    clf = FNetClassifier(
        pretrained=headless,
        padding="exact",
        pooling="mean_max",
        n_encoders=2,
        max_epochs=1,
        random_state=0,
        device="cpu",
    ).fit(REVIEWS, TOPICS)
    assert clf.encoder_.config.padding == "exact"
    assert clf.transform(OTHERS).shape == (20, 32)
    together = clf.decision_function(OTHERS)
    assert_close(np.concatenate([clf.decision_function([text]) for text in OTHERS]), together)


def test_a_search_and_a_regressor_from_published_weights(headless):
    quick = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    clf = FNetClassifier(pretrained=headless, freeze="all", **quick)
    search = GridSearchCV(clf, {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(REVIEWS, TOPICS)
    assert search.best_estimator_.encoder_.config.width == 16
    stars = np.arange(60.0)
    reg = FNetRegressor(pretrained=headless, layer_decay=0.9, **quick).fit(REVIEWS, stars)
    assert reg.predict(OTHERS).shape == (20,)


def test_a_model_without_a_pooler_gets_a_new_one(tmp_path):
    tokenizer = save_tokenizer(tmp_path)
    model = transformers.FNetModel(
        transformers.FNetConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, intermediate_size=40
        ),
        add_pooling_layer=False,
    )
    model.save_pretrained(tmp_path)
    clf = FNetClassifier(pretrained=tmp_path, max_epochs=1, device="cpu").fit(REVIEWS, TOPICS)
    assert clf._model.members[0].pooling_name == "cls"
    with pytest.raises(ValueError, match="'freeze' parameter"):
        FNetClassifier(pretrained=tmp_path, freeze="all", device="cpu").fit(REVIEWS, TOPICS)


@pytest.mark.parametrize("name", ["nowhere/at/all", "./nowhere"])
def test_what_is_no_folder_and_no_model_is_refused(name):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        FNetClassifier(pretrained=name).fit(REVIEWS, TOPICS)


# --- to transformers --------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["exact", "max_length"])
def test_a_model_trained_here_predicts_the_same_in_transformers(tmp_path, padding):
    clf = paper(padding=padding).fit(REVIEWS, TOPICS)
    clf.to_huggingface(tmp_path)
    texts = [text for name, text in SCRIPTS.items() if name != "signs"] + OTHERS
    logits = clf.decision_function(texts)
    if padding == "max_length":
        assert_close(answers_of_folder(tmp_path, texts, max_length=32).logits, logits)
    else:
        for text, expected in zip(texts[::5], logits[::5], strict=True):
            alone = answers_of_folder(tmp_path, [text], padding=False, max_length=32).logits[0]
            assert_close(alone, expected)
    again = FNetClassifier.from_huggingface(tmp_path, device="cpu", batch_size=16)
    assert again.encoder_.config.padding == padding
    assert np.array_equal(again.decision_function(texts), logits)
    assert again.classes_.tolist() == clf.classes_.tolist()


def test_pairs_trained_here_predict_the_same_in_transformers(tmp_path):
    pairs = list(zip(REVIEWS, REVIEWS[::-1], strict=True))
    clf = paper(padding="max_length", max_length=90).fit(pairs, TOPICS)
    clf.to_huggingface(tmp_path)
    assert_close(
        answers_of_folder(tmp_path, pairs[:9], max_length=90).logits,
        clf.decision_function(pairs[:9]),
    )


def test_classes_that_are_numbers_come_back_as_numbers(tmp_path):
    clf = paper(max_epochs=1).fit(REVIEWS, [10, 2, 3] * 20)
    clf.to_huggingface(tmp_path)
    again = FNetClassifier.from_huggingface(tmp_path)
    assert again.classes_.dtype.kind == "i"
    assert again.predict(OTHERS).tolist() == clf.predict(OTHERS).tolist()
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"] * 20, dtype="datetime64[D]")
    clf.classes_ = np.unique(days)
    with pytest.raises(ValueError, match="in classes_ is of type date"):
        clf.to_huggingface(tmp_path)


def test_labels_renamed_elsewhere_are_the_new_ones(tmp_path):
    clf = paper().fit(REVIEWS, np.unique(TOPICS, return_inverse=True)[1])
    clf.to_huggingface(tmp_path)
    path = tmp_path / "config.json"
    settings = json.loads(path.read_text())
    settings["id2label"] = {number: f"topic {number}" for number in settings["id2label"]}
    path.write_text(json.dumps(settings))
    again = FNetClassifier.from_huggingface(tmp_path)
    assert again.classes_.tolist() == [f"topic {i}" for i in range(len(clf.classes_))]


def test_several_labels_and_numbers_trained_here(tmp_path):
    indicator = np.eye(3, dtype=int)[np.arange(60) % 3]
    clf = paper(max_epochs=1).fit(REVIEWS, indicator)
    clf.to_huggingface(tmp_path / "labels")
    again = FNetClassifier.from_huggingface(tmp_path / "labels", device="cpu", batch_size=16)
    assert again.multilabel_
    assert np.array_equal(again.predict_proba(OTHERS), clf.predict_proba(OTHERS))
    stars = np.array([[1.0, 100.0], [3.0, 300.0], [2.0, 500.0]] * 20)
    reg = FNetRegressor(
        architecture="paper", width=16, depth=1, max_epochs=1, random_state=0, device="cpu"
    ).fit(REVIEWS, stars)
    reg.to_huggingface(tmp_path / "numbers")
    again = FNetRegressor.from_huggingface(tmp_path / "numbers", device="cpu")
    assert_close(again.predict(OTHERS), reg.predict(OTHERS))
    alone = answers_of_folder(tmp_path / "numbers", OTHERS[:1], padding=False).logits
    assert_close(alone, reg.predict(OTHERS[:1]))


@pytest.mark.parametrize("step", ["save_tensors", "write_tokenizer", "write_json"])
def test_a_folder_that_is_half_written_over_is_refused(theirs, tmp_path, step, monkeypatch):
    """Another model's files beside the new ones are never taken for one model."""
    FNetClassifier.from_huggingface(theirs[2]).to_huggingface(tmp_path)
    clf = paper(max_epochs=1).fit(REVIEWS, TOPICS)

    def killed(*args, **kwargs):
        raise InterruptedError

    monkeypatch.setattr(f"skfnet.checkpoints.huggingface.{step}", killed)
    with pytest.raises(InterruptedError):
        clf.to_huggingface(tmp_path)
    monkeypatch.undo()
    for read in (
        FNetClassifier.from_huggingface,
        lambda folder: FNetClassifier(pretrained=folder).fit(REVIEWS, TOPICS),
    ):
        with pytest.raises(FileNotFoundError, match="holds no config.json"):
            read(tmp_path)
    clf.to_huggingface(tmp_path)
    again = FNetClassifier.from_huggingface(tmp_path, device="cpu", batch_size=16)
    assert np.array_equal(again.decision_function(OTHERS), clf.decision_function(OTHERS))


def test_the_papers_architecture_with_other_mixers_stays_here(tmp_path):
    clf = paper(mixer="attention", max_epochs=1).fit(REVIEWS, TOPICS)
    assert (clf.encoder_.config.norm, clf.encoder_.config.mixer) == ("post", "attention")
    with pytest.raises(ValueError, match="cannot express mixer='attention'"):
        clf.to_huggingface(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_what_transformers_cannot_express_names_the_parameter(tmp_path):
    quick = {"max_epochs": 1}
    with pytest.raises(ValueError, match=r"transform_scale='orthonormal'.*bigram_buckets=32768"):
        small_classifier(**quick).fit(REVIEWS, TOPICS).to_huggingface(tmp_path)
    clf = paper(**quick).fit(REVIEWS, TOPICS)
    with pytest.raises(ValueError, match="long_documents='mean' all of it"):
        clf.set_params(long_documents="mean").to_huggingface(tmp_path)
    with pytest.raises(ValueError, match=r"has 2. Train it with n_encoders=1"):
        paper(n_encoders=2, **quick).fit(REVIEWS, TOPICS).to_huggingface(tmp_path)
    with pytest.raises(ValueError, match="pooling='mean'"):
        paper(pooling="mean", **quick).fit(REVIEWS, TOPICS).to_huggingface(tmp_path)
    tokens = TextTokenizer(model="byte").fit_transform(REVIEWS)
    with pytest.raises(ValueError, match="fitted on tokens and has no tokenizer to write"):
        paper(**quick).fit(tokens, TOPICS).to_huggingface(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_papers_architecture_reads_no_n_grams():
    with pytest.raises(ValueError, match=r"'tokenizer' parameter .*TextTokenizer\(model='bpe'\)"):
        paper(tokenizer=TextTokenizer()).fit(REVIEWS, TOPICS)
    # Words alone: a tokenizer without their spelling.
    words = TextTokenizer().fit(REVIEWS).tokenizer_
    assert paper(tokenizer=words, max_epochs=1).fit(REVIEWS, TOPICS).tokenizer_.n_ids_ > 50


def test_an_unfitted_estimator_is_not_written(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        FNetClassifier().to_huggingface(tmp_path)
    with pytest.raises(NotFittedError):
        FNetPretrainer().to_huggingface(tmp_path)


# --- pretrainers ------------------------------------------------------------------------


def paper_pretrainer(**changes):
    sizes = {"architecture": "paper", "pooling": "cls", "depth": 2, "max_epochs": 1}
    return small_pretrainer(**(sizes | changes))


def test_a_pretrainer_is_the_same_in_transformers(tmp_path):
    pretrainer = paper_pretrainer(padding="max_length").fit(REVIEWS)
    pretrainer.to_huggingface(tmp_path)
    config = pretrainer.encoder_.config
    model = transformers.FNetForPreTraining.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    pairs = list(zip(REVIEWS[:5], REVIEWS[5:10], strict=True))
    padding = {"padding": "max_length", "truncation": True, "max_length": config.max_length}
    inputs = tokenizer(*map(list, zip(*pairs, strict=True)), return_tensors="pt", **padding)
    inputs = {name: inputs[name] for name in ("input_ids", "token_type_ids")}
    n_places = inputs["input_ids"].numel()
    lengths = torch.full((5,), config.max_length)
    with torch.inference_mode():
        expected = model(**inputs)
        ours = pretrainer._model(
            inputs["input_ids"],
            lengths,
            inputs["token_type_ids"],
            masked=torch.arange(n_places),
        )
    assert_close(ours["masked_tokens"], expected.prediction_logits.flatten(0, 1))
    assert_close(ours["segment_order"], expected.seq_relationship_logits)
    vectors = their_answers(model, tokenizer, REVIEWS[:4], max_length=config.max_length)
    with torch.inference_mode():
        pooled = model.fnet.pooler(vectors.hidden_states[-1])
    assert_close(pretrainer.transform(REVIEWS[:4]), pooled)
    words = model.fnet.embeddings.word_embeddings.weight
    assert torch.equal(model.cls.predictions.decoder.weight, words)


def test_a_written_pretrainer_is_a_start_like_its_own_folder(tmp_path):
    pretrainer = paper_pretrainer().fit(REVIEWS)
    pretrainer.to_huggingface(tmp_path / "theirs")
    pretrainer.save(tmp_path / "ours")
    settings = {"pooling": "cls", "n_encoders": 1, "learning_rate": 1e-3, "max_epochs": 1}
    settings |= {"freeze": None}  # "auto" differs: published weights all move
    found = [
        FNetClassifier(pretrained=start, random_state=0, device="cpu", **settings)
        .fit(REVIEWS, TOPICS)
        .predict_proba(OTHERS)
        for start in (tmp_path / "theirs", tmp_path / "ours", FrozenEstimator(pretrainer))
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_of_published_weights_all_learn_however_few_the_documents(tmp_path):
    pretrainer = paper_pretrainer().fit(REVIEWS)
    pretrainer.to_huggingface(tmp_path)
    clf = FNetClassifier(pretrained=tmp_path, max_epochs=1, learning_rate=1e-3, device="cpu")
    words = clf.fit(REVIEWS, TOPICS).encoder_.embeddings.words.weight
    assert not torch.equal(words, pretrainer.encoder_.embeddings.words.weight)


def test_one_objective_is_written_as_what_it_is(tmp_path):
    for objective, kind in (
        ("masked_tokens", "FNetForMaskedLM"),
        ("segment_order", "FNetForNextSentencePrediction"),
    ):
        pretrainer = paper_pretrainer(objectives=[objective]).fit(REVIEWS)
        pretrainer.to_huggingface(tmp_path / kind)
        model = getattr(transformers, kind).from_pretrained(tmp_path / kind)
        assert model.config.architectures == [kind]
    with pytest.raises(ValueError, match="pooling='mean_max'"):
        paper_pretrainer(pooling="mean_max").fit(REVIEWS).to_huggingface(tmp_path)
    with pytest.raises(ValueError, match="the first 100. Train it with maskable_words=None"):
        paper_pretrainer(maskable_words=100).fit(REVIEWS).to_huggingface(tmp_path)


def test_the_paper_on_top_of_another_architecture_is_refused(tmp_path):
    pretrainer = small_pretrainer(max_epochs=1)
    for given in (pretrainer, FrozenEstimator(clone(pretrainer).fit(REVIEWS))):
        with pytest.raises(ValueError, match="architecture='paper', but the pretrained"):
            FNetClassifier(pretrained=given, architecture="paper").fit(REVIEWS, TOPICS)


def test_the_longest_texts_fill_a_window(theirs):
    clf = FNetClassifier.from_huggingface(theirs[2])
    assert clf.encoder_.config.max_length == MAX_LENGTH
    with pytest.warns(UserWarning, match=f"max_length={MAX_LENGTH}"):
        clf.predict(TEXTS)
