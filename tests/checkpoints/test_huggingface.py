"""Models of transformers read here, models written here read by transformers: the same numbers."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from published import (
    MAX_LENGTH,
    PAIRS,
    TEXTS,
    assert_close,
    is_pairs,
    save_model,
    save_tokenizer,
    spread,
    their_answers,
)
from safetensors.torch import load_file, save_file
from samples import rights

from skfnet import TextTokenizer
from skfnet.checkpoints import PublishedModel, read_huggingface, write_huggingface
from skfnet.nn import DocumentClassifier, EncoderConfig, PretrainingModel
from skfnet.texts import check_documents
from skfnet.training import tensors
from skfnet.windows import Windows

transformers = pytest.importorskip("transformers")

THREE = {"id2label": {0: "good", 1: "bad", 2: "mixed"}}
KINDS = {  # and the heads that are of use here
    "FNetForSequenceClassification": {"output"},
    "FNetForPreTraining": {"masked", "order"},
    "FNetForMaskedLM": {"masked"},
    "FNetForNextSentencePrediction": {"order"},
    "FNetModel": set(),
    "FNetForTokenClassification": set(),
    "FNetForQuestionAnswering": set(),
}


@pytest.fixture
def folder(tmp_path):
    """Give a folder with a small classifier as transformers writes it."""
    save_model(tmp_path, **THREE)
    return tmp_path


def change_settings(folder, **changes):
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: v for name, v in settings.items() if v != "left out"}))


def change_weights(folder, change):
    """Change the dictionary of weights in the file."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def batch_of(checkpoint, texts):
    """Make the rows that the estimators make of texts."""
    config = checkpoint.config
    tokens = checkpoint.tokenizer.encode(check_documents(texts), config.max_length + 1)
    windows = Windows(
        tokens, config.max_length, "truncate", padding=config.padding, shared_types=False
    )
    return tensors(windows, np.arange(len(texts)))


def rebuilt(checkpoint):
    """Build the module of a checkpoint with a head."""
    model = DocumentClassifier(checkpoint.config, len(checkpoint.labels), "cls").eval()
    model.encoder.load_state_dict(checkpoint.encoder)
    model.pooling.load_state_dict(checkpoint.pooling)
    model.output.load_state_dict(checkpoint.output)
    return model


@pytest.mark.parametrize("texts", [TEXTS, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "FNetTokenizerFast"])
def test_hidden_states_and_logits_are_those_of_transformers(tmp_path, kind, texts):
    tokenizer = save_tokenizer(tmp_path, kind)
    model = save_model(tmp_path, tokenizer=tokenizer, **THREE)
    theirs = their_answers(model, tokenizer, texts)
    checkpoint = read_huggingface(tmp_path)
    assert checkpoint.labels == ["good", "bad", "mixed"]
    ours, batch = rebuilt(checkpoint), batch_of(checkpoint, texts)
    with torch.inference_mode():
        hidden, vectors, logits = ours.encoder(**batch), ours.embed(**batch), ours(**batch)
        pooled = model.fnet.pooler(theirs.hidden_states[-1])
    assert_close(hidden, theirs.hidden_states[-1])
    assert_close(vectors, pooled)
    assert_close(logits, theirs.logits)


def test_pairs_and_texts_have_the_ids_and_types_of_transformers(folder):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    checkpoint = read_huggingface(folder)
    for texts in (TEXTS, PAIRS):
        columns = list(map(list, zip(*texts, strict=True))) if is_pairs(texts) else [texts]
        wanted = theirs(*columns, padding="max_length", truncation=True, max_length=MAX_LENGTH)
        batch = batch_of(checkpoint, texts)
        assert batch["input_ids"].tolist() == wanted["input_ids"]
        if is_pairs(texts):
            assert batch["type_ids"].tolist() == wanted["token_type_ids"]
        assert batch["lengths"].tolist() == [MAX_LENGTH] * len(texts)


def test_the_pretraining_heads_are_those_of_transformers(tmp_path):
    tokenizer = save_tokenizer(tmp_path)
    model = save_model(tmp_path, "FNetForPreTraining", tokenizer)
    theirs = their_answers(model, tokenizer, PAIRS)
    checkpoint = read_huggingface(tmp_path)
    assert checkpoint.output is None
    ours = PretrainingModel(checkpoint.config, "cls").eval()
    ours.encoder.load_state_dict(checkpoint.encoder)
    ours.document.pooling.load_state_dict(checkpoint.pooling)
    ours.document.output.load_state_dict(checkpoint.order)
    ours.masked.load_state_dict(checkpoint.masked)
    places = torch.arange(len(PAIRS) * MAX_LENGTH)
    with torch.inference_mode():
        answers = ours(**batch_of(checkpoint, PAIRS), masked=places)
    assert_close(answers["masked_tokens"], theirs.prediction_logits.flatten(0, 1))
    assert_close(answers["segment_order"], theirs.seq_relationship_logits)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_gives_its_encoder(tmp_path, kind):
    model = save_model(tmp_path, kind)
    checkpoint = read_huggingface(tmp_path)
    words = getattr(model, "fnet", model).embeddings.word_embeddings.weight
    torch.testing.assert_close(checkpoint.encoder["embeddings.words.weight"], words)
    found = {part for part in ("output", "masked", "order") if getattr(checkpoint, part)}
    assert found == KINDS[kind]


@pytest.mark.parametrize("kind", list(KINDS)[:5])
def test_what_is_read_and_written_is_the_same_model(tmp_path, kind):
    before, after = tmp_path / "before", tmp_path / "after"
    model = save_model(before, kind)
    write_huggingface(after, read_huggingface(before))
    assert len({path.stat().st_mode for path in after.iterdir()}) == 1  # nobody is kept out of one
    again = getattr(transformers, kind).from_pretrained(after)
    assert again.config.architectures == [kind]
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    tokenizers = [transformers.AutoTokenizer.from_pretrained(path) for path in (before, after)]
    tokens = [tokenizer(TEXTS)["input_ids"] for tokenizer in tokenizers]
    assert tokens[0] == tokens[1]


def test_weights_of_ours_are_the_same_after_a_journey(tmp_path):
    config = EncoderConfig.base(vocab_size=300, width=12, depth=2, max_length=20, padding="exact")
    tokenizer = TextTokenizer(model="byte", vocab_size=300).fit(TEXTS)
    model = spread(DocumentClassifier(config, 2, "cls"))
    checkpoint = PublishedModel(
        config=config,
        tokenizer=tokenizer,
        encoder=model.encoder.state_dict(),
        pooling=model.pooling.state_dict(),
        output=model.output.state_dict(),
        labels=[0, 1],
    )
    write_huggingface(tmp_path, checkpoint)
    again = read_huggingface(tmp_path)
    assert again.labels == [0, 1]
    assert (again.config.padding, again.config.width) == ("exact", 12)
    for part in ("encoder", "pooling", "output"):
        for name, tensor in getattr(checkpoint, part).items():
            assert torch.equal(getattr(again, part)[name], tensor), name
    assert again.tokenizer.special_tokens_ == tokenizer.special_tokens_
    assert again.tokenizer.transform(TEXTS).ids.tolist() == tokenizer.transform(TEXTS).ids.tolist()
    theirs = transformers.FNetForSequenceClassification.from_pretrained(tmp_path)
    assert theirs.config.id2label == {0: "0", 1: "1"}


def test_the_words_head_of_a_relu_model_cannot_be_written(tmp_path):
    save_model(tmp_path, "FNetForPreTraining", hidden_act="relu")
    checkpoint = read_huggingface(tmp_path)
    assert checkpoint.config.activation == "relu"
    with pytest.raises(ValueError, match="activation='relu'"):
        write_huggingface(tmp_path / "other", checkpoint)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("transform_scale", "orthonormal"),
        ("mixer", "hartley"),
        ("attention_layers", 1),
        ("norm", "pre"),
        ("mixing_gain", 0.3),
        ("bigram_buckets", 7),
        ("subword_buckets", 7),
        ("embedding_norm", False),
        ("embedding_projection", False),
        ("positions", "none"),
        ("shared_types", True),
    ],
)
def test_what_transformers_cannot_express_is_named(folder, tmp_path, parameter, value):
    checkpoint = read_huggingface(folder)
    config = EncoderConfig(**(checkpoint.config.to_dict() | {parameter: value}))
    other = PublishedModel(config=config, tokenizer=checkpoint.tokenizer, encoder={})
    with pytest.raises(ValueError, match=f"cannot express {parameter}={value!r}"):
        write_huggingface(tmp_path / "other", other)
    assert not (tmp_path / "other").exists()


def test_a_bin_file_is_read_as_tensors_alone(folder):
    expected = read_huggingface(folder).encoder
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    # As files converted long ago: a table of positions among the weights.
    weights["fnet.embeddings.position_ids"] = torch.arange(MAX_LENGTH)[None]
    torch.save(weights, folder / "pytorch_model.bin")
    again = read_huggingface(folder).encoder
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())
    torch.save({"fnet": torch.nn.Linear(2, 2)}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds more than tensors, which is not unpickled"):
        read_huggingface(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": np.zeros(3)}))
    with pytest.raises(ValueError, match="pytorch_model.bin is damaged"):
        read_huggingface(folder)
    torch.save([torch.zeros(2)], folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds no tensors by name"):
        read_huggingface(folder)


def test_a_bin_file_is_refused_by_a_torch_that_reads_it_unsafely(folder, monkeypatch):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1"))
    with pytest.raises(ValueError, match=r"PyTorch 2\.10 .*this is 2\.9\.1"):
        read_huggingface(folder)


def test_half_precision_becomes_float32(folder):
    change_weights(folder, lambda w: w.update({name: t.half() for name, t in w.items()}))
    checkpoint = read_huggingface(folder)
    assert {t.dtype for t in checkpoint.encoder.values()} == {torch.float32}


def test_labels_have_names_where_config_json_has_none(folder):
    change_settings(folder, id2label="left out", num_labels=3)
    assert read_huggingface(folder).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]


BAD_SETTINGS = {
    "architecture": ({"model_type": "bert"}, "model of type 'bert', not 'fnet'"),
    "no_architecture": ({"model_type": "left out"}, "model of type None, not 'fnet'"),
    "activation": ({"hidden_act": "silu"}, "hidden_act='silu' is not supported; gelu_new"),
    "exact_gelu": ({"hidden_act": "gelu"}, "hidden_act='gelu' is not supported"),
    "no_number": ({"hidden_size": "wide"}, "config.json describes no FNet model"),
    "no_size": ({"hidden_size": 0}, "width must be an int >= 1"),
    "gap": ({"id2label": {"0": "a", "2": "b"}}, "id2label must give each output from 0 to 1"),
    "twice": ({"id2label": {"0": "a", "1": "a"}}, "a label of its own"),
    "n_labels": ({"id2label": {"0": "a", "1": "b"}}, r"classifier.weight has the shape \(3, 16\)"),
    "width": ({"hidden_size": 8}, r"word_embeddings.weight has the shape .*, 16\), .*, 8\)"),
    "deeper": ({"num_hidden_layers": 3}, "lacks fnet.encoder.layer.2.*and 5 more, which config"),
    "less_deep": ({"num_hidden_layers": 1}, "holds fnet.encoder.layer.1.*and 5 more, which an"),
    "vocabulary": ({"vocab_size": 20}, "token ids, but config.json says vocab_size=20"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_a_config_that_does_not_fit_is_refused(folder, case):
    changes, message = BAD_SETTINGS[case]
    change_settings(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_huggingface(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("fnet.pooler.dense.bias"), "lacks fnet.pooler.dense.bias"),
        (lambda w: w.pop("classifier.bias"), "lacks classifier.bias"),
        (lambda w: w.update({"fnet.extra": torch.ones(1)}), "holds fnet.extra, which an FNet"),
        (
            lambda w: w.update({"fnet.pooler.dense.bias": torch.ones(3)}),
            r"fnet.pooler.dense.bias has the shape \(3,\), config.json calls for \(16,\)",
        ),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(folder, change, message):
    change_weights(folder, change)
    with pytest.raises(ValueError, match=message):
        read_huggingface(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_or_missing_file_is_named(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name} is .*again"):
        read_huggingface(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {name}"):
        read_huggingface(folder)


def test_json_that_is_no_object_is_refused(folder):
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="config.json holds no JSON object"):
        read_huggingface(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_file_that_may_not_be_read_is_not_called_missing_or_damaged(name, folder, open_folder):
    for path in folder.iterdir():
        Path(shutil.copy(path, open_folder)).chmod(0o644)
    with rights(open_folder / name, 0), pytest.raises(PermissionError, match=name):
        read_huggingface(open_folder)
    read_huggingface(open_folder)


def test_where_nothing_may_be_written_the_error_says_so(folder, open_folder):
    model = read_huggingface(folder)
    for place in (open_folder, open_folder / "new"):
        with rights(open_folder, 0o555), pytest.raises(PermissionError, match=str(place)):
            write_huggingface(place, model)
    assert list(open_folder.iterdir()) == []
