"""FNet weights in the layout of Hugging Face transformers, in and out.

The published models, and what ``save_pretrained`` of transformers writes: ``config.json``, the
weights in ``model.safetensors`` (or ``pytorch_model.bin``), and the tokenizer. Names and sizes are
checked before anything is taken from the weights; no file is ever unpickled freely.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .hub import ModelFiles
from .nn import DocumentClassifier, EncoderConfig
from .sentencepiece import read_sentencepiece
from .tokenizer import TextTokenizer

__all__ = [
    "Checkpoint",
    "DocumentHead",
    "PretrainingHeads",
    "read_huggingface",
    "write_huggingface",
]

ONE_LABEL, SEVERAL_LABELS, NUMBERS = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)

# Sizes by our name: theirs, and the value where config.json leaves it out.
_SIZES = {
    "vocab_size": ("vocab_size", 32000),
    "width": ("hidden_size", 768),
    "depth": ("num_hidden_layers", 12),
    "feedforward_width": ("intermediate_size", 3072),
    "max_length": ("max_position_embeddings", 512),
    "n_types": ("type_vocab_size", 4),
    "dropout": ("hidden_dropout_prob", 0.1),
    "layer_norm_eps": ("layer_norm_eps", 1e-12),
}
# Their names of the tanh approximation, and of what else we have.
_ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "relu": "relu",
}
# What their layout has no word for: it is always so.
_ALWAYS = (
    *("mixer", "transform_scale", "mixing_gain", "norm", "positions"),
    *("embedding_norm", "embedding_projection", "bigram_buckets", "subword_buckets"),
    "shared_types",
)
# Layers of a DocumentClassifier, and of one of its blocks, by our name: theirs.
_LAYERS = {
    "encoder.embeddings.words": "fnet.embeddings.word_embeddings",
    "encoder.embeddings.positions": "fnet.embeddings.position_embeddings",
    "encoder.embeddings.types": "fnet.embeddings.token_type_embeddings",
    "encoder.embeddings.norm": "fnet.embeddings.LayerNorm",
    "encoder.embeddings.projection": "fnet.embeddings.projection",
    "pooling.dense": "fnet.pooler.dense",
    "output": "classifier",
}
_LAYERS_OF_A_BLOCK = {
    "mixing_norm": "fourier.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}
_PRETRAINING = {
    "dense_weight": "cls.predictions.transform.dense.weight",
    "dense_bias": "cls.predictions.transform.dense.bias",
    "norm_weight": "cls.predictions.transform.LayerNorm.weight",
    "norm_bias": "cls.predictions.transform.LayerNorm.bias",
    "token_bias": "cls.predictions.bias",
    "order_weight": "cls.seq_relationship.weight",
    "order_bias": "cls.seq_relationship.bias",
}
_DECODER = "cls.predictions.decoder"  # a second name for the word embeddings and `token_bias`
# Tables that follow from the sizes, and heads that are no business of ours.
_IGNORED = re.compile(
    r"fnet\.embeddings\.(position_ids|token_type_ids)"
    r"|fnet\.encoder\.layer\.\d+\.fourier\.self\.dft_mat_\w+"
    r"|(cls|classifier|qa_outputs)\..+"
)


@dataclass(frozen=True, kw_only=True)
class DocumentHead:
    """The output layer of a model that was trained to judge documents.

    Attributes
    ----------
    weight : Tensor of shape (n_outputs, width)
    bias : Tensor of shape (n_outputs,)
    labels : list
        What each output stands for.
    problem : {"single_label_classification", "multi_label_classification", "regression"}
        What the outputs were trained as.
    """

    weight: Tensor
    bias: Tensor
    labels: list[Any]
    problem: str = ONE_LABEL


@dataclass(frozen=True, kw_only=True)
class PretrainingHeads:
    """The two heads of pretraining; the first one's output layer is the word embeddings.

    Attributes
    ----------
    dense_weight : Tensor of shape (width, width)
    dense_bias, norm_weight, norm_bias : Tensor of shape (width,)
        What a hidden state goes through before it is compared with the word embeddings: a dense
        layer, the encoder's activation, a LayerNorm.
    token_bias : Tensor of shape (vocab_size,)
        Added to what the comparison gives.
    order_weight : Tensor of shape (2, width), or None
    order_bias : Tensor of shape (2,), or None
        From the pooled hidden state to "in order" and "swapped"; None where that was no objective.
    """

    dense_weight: Tensor
    dense_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor
    token_bias: Tensor
    order_weight: Tensor | None = None
    order_bias: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model of the published shape, as data.

    Attributes
    ----------
    config : EncoderConfig
        Sizes and choices; its `padding` says how the weights want to be fed.
    tokenizer : TextTokenizer
        Fitted.
    encoder : dict of str to Tensor
        The weights, by the names of :class:`skfnet.nn.Encoder`.
    pooling : dict of str to Tensor, or None
        Those of the dense layer on [CLS], by the names of the pooling "cls".
    head : DocumentHead or None
        The output layer, where the model was trained for documents.
    pretraining : PretrainingHeads or None
        The heads of pretraining, where they are there and share the word embeddings.
    """

    config: EncoderConfig
    tokenizer: TextTokenizer
    encoder: dict[str, Tensor]
    pooling: dict[str, Tensor] | None = None
    head: DocumentHead | None = None
    pretraining: PretrainingHeads | None = None


def read_huggingface(name_or_folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a model in the layout of transformers.

    Parameters
    ----------
    name_or_folder : str or path-like
        A folder, or a name on the hub such as ``"google/fnet-base"``.

    Returns
    -------
    Checkpoint
        Weights in float32 on the CPU. `config.padding` is "max_length", as transformers' users
        pad, unless skfnet wrote the folder for exact lengths.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ConnectionError
        If there is no such folder or file, or the hub does not give it.
    ImportError
        If there is but a SentencePiece model to tokenize with, and sentencepiece is not installed.
    ValueError
        If a file is damaged, the model no FNet, its activation unknown here, or a parameter
        missing, unexpected or of another shape than ``config.json`` says: all are named.

    References
    ----------
    https://huggingface.co/docs/transformers/model_doc/fnet
    """
    files = ModelFiles(name_or_folder)
    settings_file = files.require("config.json")
    settings = _read_json(settings_file)
    config = _read_config(settings, settings_file)
    tokenizer = _read_tokenizer(files, settings, config)
    labels, problem = _labels(settings, settings_file)
    weights_file = files.require("model.safetensors", "pytorch_model.bin")
    weights = _prefixed(_read_weights(weights_file))
    names = _names(config, len(labels))
    _check_nothing_else(weights, names, weights_file)

    def take(part: str) -> dict[str, Tensor]:
        return _take(weights, names[part], weights_file)

    head = None
    if "classifier.weight" in weights and _is_for_documents(settings):
        head = DocumentHead(**take("output"), labels=labels, problem=problem)
    return Checkpoint(
        config=config,
        tokenizer=tokenizer,
        encoder=take("encoder"),
        pooling=take("pooling") if any("pooler" in name for name in weights) else None,
        head=head,
        pretraining=_pretraining(weights, config, weights_file),
    )


def write_huggingface(folder: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a model so that transformers reads it and gives the same numbers.

    With a `head` it is an FNetForSequenceClassification, with `pretraining` heads an
    FNetForPreTraining (FNetForMaskedLM without the second one), with neither an FNetModel.

    Parameters
    ----------
    folder : str or path-like
        Made where it does not exist; files of the same names are written over.
    checkpoint : Checkpoint
        What to write.

    Raises
    ------
    ValueError
        If transformers' FNet cannot be of that shape: the parameters are named.
    """
    config, head = checkpoint.config, checkpoint.head
    check_expressible(config)
    settings = _settings(checkpoint)
    weights = {f"encoder.{name}": tensor for name, tensor in checkpoint.encoder.items()}
    weights |= {f"pooling.{name}": tensor for name, tensor in (checkpoint.pooling or {}).items()}
    if head is not None:
        weights |= {"output.weight": head.weight, "output.bias": head.bias}
    weights = {_their_name(name): tensor for name, tensor in weights.items()}
    if checkpoint.pretraining is not None:
        for name, theirs in _PRETRAINING.items():
            if (tensor := getattr(checkpoint.pretraining, name)) is not None:
                weights[theirs] = tensor
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The format is asked for by transformers; a copy, since no two names may share memory.
    save_file(
        {name: tensor.detach().cpu().float().clone() for name, tensor in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    _write_tokenizer(folder, checkpoint.tokenizer, config)
    _write_json(folder / "config.json", settings)


def check_expressible(config: EncoderConfig) -> None:
    """Refuse what transformers' FNet cannot be.

    Raises
    ------
    ValueError
        With the name of each such parameter.
    """
    published = EncoderConfig.base()
    wrong = [
        f"{name}={getattr(config, name)!r} (there it is {getattr(published, name)!r})"
        for name in _ALWAYS
        if getattr(config, name) != getattr(published, name)
    ]
    if config.attention_layers:
        wrong.append(f"attention_layers={config.attention_layers} (there it is 0)")
    if wrong:
        raise ValueError(
            f"transformers' FNet cannot express {', '.join(wrong)}. Models of its shape are "
            "trained with architecture='paper' and mixer='fourier'; skfnet's own files hold every "
            "model."
        )


# The configuration.


def _read_config(settings: dict[str, Any], path: Path) -> EncoderConfig:
    kind = settings.get("model_type")
    if kind != "fnet":
        raise ValueError(
            f"{path} describes a model of type {kind!r}, not 'fnet': its weights are of another "
            "architecture. Pass an FNet model such as 'google/fnet-base'."
        )
    activation = settings.get("hidden_act", "gelu_new")
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"{path}: hidden_act={activation!r} is not supported; {', '.join(_ACTIVATIONS)} are."
        )
    sizes = {ours: settings.get(theirs, default) for ours, (theirs, default) in _SIZES.items()}
    padding = settings.get("skfnet", {}).get("padding", "max_length")
    try:
        return EncoderConfig.base(**sizes, activation=_ACTIVATIONS[activation], padding=padding)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} describes no FNet model: {error}") from error


def _labels(settings: dict[str, Any], path: Path) -> tuple[list[Any], str]:
    """Give what each output of a classifier stands for, and what it was trained as."""
    named = settings.get("id2label") or {
        i: f"LABEL_{i}" for i in range(settings.get("num_labels") or 2)
    }
    by_number = {int(number): label for number, label in named.items()}
    if sorted(by_number) != list(range(len(by_number))):
        raise ValueError(
            f"{path}: id2label must name the outputs 0 to {len(by_number) - 1}, it names "
            f"{sorted(by_number)}."
        )
    labels = [by_number[i] for i in range(len(by_number))]
    own = settings.get("skfnet", {}).get("labels", labels)  # JSON's keys and values are strings
    problem = settings.get("problem_type") or (NUMBERS if len(labels) == 1 else ONE_LABEL)
    return (own if len(own) == len(labels) else labels), problem


def _is_for_documents(settings: dict[str, Any]) -> bool:
    """Tell a head for documents from one for tokens, whose parameters have the same names."""
    kinds = settings.get("architectures")
    return not kinds or "FNetForSequenceClassification" in kinds


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Give what config.json says of a model."""
    config, head, pretraining = checkpoint.config, checkpoint.head, checkpoint.pretraining
    kind, labels, own = "FNetModel", {}, {"padding": config.padding}
    if head is not None:
        kind = "FNetForSequenceClassification"
        own["labels"] = head.labels
        names = [str(label) for label in head.labels]
        labels = {
            "id2label": {str(i): name for i, name in enumerate(names)},
            "label2id": {name: i for i, name in enumerate(names)},
            "problem_type": head.problem,
        }
    elif pretraining is not None:
        in_order = pretraining.order_weight is not None
        kind = "FNetForPreTraining" if in_order else "FNetForMaskedLM"
    token_to_id = checkpoint.tokenizer.tokenizer_.token_to_id
    sizes = {theirs: getattr(config, ours) for ours, (theirs, _) in _SIZES.items()}
    return {
        "architectures": [kind],
        "model_type": "fnet",
        **sizes,
        "intermediate_size": config.feedforward_size,
        "hidden_act": next(t for t, ours in _ACTIVATIONS.items() if ours == config.activation),
        "pad_token_id": checkpoint.tokenizer.special_tokens_.pad,
        "bos_token_id": token_to_id("<s>"),
        "eos_token_id": token_to_id("</s>"),
        "tie_word_embeddings": True,
        "tpu_short_seq_length": config.max_length,
        **labels,
        "skfnet": own,
    }


# The tokenizer.


def _read_tokenizer(
    files: ModelFiles, settings: dict[str, Any], config: EncoderConfig
) -> TextTokenizer:
    own: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if path := files.find(name):
            own |= _read_json(path)
    path = files.require("tokenizer.json", "spiece.model")
    if path.name == "spiece.model":
        ready = read_sentencepiece(
            path,
            lowercase=own.get("do_lower_case", False),
            keep_accents=own.get("keep_accents", True),
        )
    else:
        try:
            ready = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises no narrower one
            raise ValueError(
                f"{path} is no tokenizer, or only a part of one ({error}). Download it again."
            ) from error
    tokenizer = TextTokenizer.from_tokenizer(ready)
    if tokenizer.n_ids_ > config.vocab_size:
        raise ValueError(
            f"{path} has {tokenizer.n_ids_} token ids, but config.json says vocab_size="
            f"{config.vocab_size}: tokenizer and weights are not of the same model."
        )
    tokenizer.n_ids_ = config.vocab_size  # the table of embeddings may have rows to spare
    pad = own.get("pad_token", {})
    pad = ready.token_to_id(pad["content"] if isinstance(pad, dict) and pad else pad or "<pad>")
    if pad is None:
        pad = settings.get("pad_token_id") or 0
    tokenizer.special_tokens_ = replace(tokenizer.special_tokens_, pad=pad)
    return tokenizer


def _write_tokenizer(folder: Path, tokenizer: TextTokenizer, config: EncoderConfig) -> None:
    ready, special = tokenizer.tokenizer_, tokenizer.special_tokens_
    ready.save(str(folder / "tokenizer.json"))
    first, last = special.prefix[:1], special.suffix[:1]
    ids = {"cls_token": first, "sep_token": last, "pad_token": (special.pad,)}
    if special.unknown is not None:
        ids["unk_token"] = (special.unknown,)
    names = {role: ready.id_to_token(i) for role, found in ids.items() for i in found}
    names |= {
        "mask_token": name for name in ("[MASK]", "<mask>") if ready.token_to_id(name) is not None
    }
    _write_json(folder / "special_tokens_map.json", names)
    steps = json.loads(ready.to_str())["normalizer"] or {}
    steps = {step["type"] for step in steps.get("normalizers", [steps]) if step}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # reads tokenizer.json as it is
        "model_max_length": config.max_length,
        "model_input_names": ["input_ids", "token_type_ids"],
        "do_lower_case": "Lowercase" in steps,  # for who asks for FNetTokenizer all the same
        "keep_accents": "StripAccents" not in steps,
    }
    _write_json(folder / "tokenizer_config.json", settings | names)


# The weights.


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name; a .bin file by PyTorch's reader of tensors alone."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(
                f"{path} is damaged or incomplete ({error}). Download or copy it again."
            ) from error
    # Before 2.10 a file could get past `weights_only` (CVE-2025-32434, CVE-2026-24747).
    if torch.__version__ < (2, 10):
        raise ValueError(
            f"{path} is read safely by PyTorch 2.10 and later, this is {torch.__version__}. "
            "Upgrade it, or store the weights as model.safetensors."
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} is damaged or incomplete, or holds more than tensors, which is not unpickled "
            "here. Download or copy it again, or store the weights as model.safetensors."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise ValueError(f"{path} holds no tensors by name: save the model's state_dict in it.")
    return dict(weights)


def _prefixed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the parameters as a model with a head does; one without leaves out the prefix."""
    if any(name.startswith("fnet.") for name in weights):
        return weights
    heads = ("cls.", "classifier.")
    return {n if n.startswith(heads) else f"fnet.{n}": tensor for n, tensor in weights.items()}


def _names(config: EncoderConfig, n_outputs: int) -> dict[str, dict[str, tuple[str, torch.Size]]]:
    """Give, part by part, our name of each parameter with theirs and its shape."""
    with torch.device("meta"):  # no memory
        model = DocumentClassifier(config, n_outputs, "cls")
    names: dict[str, dict[str, tuple[str, torch.Size]]] = {}
    for name, tensor in model.state_dict().items():
        part, _, rest = name.partition(".")
        names.setdefault(part, {})[rest] = _their_name(name), tensor.shape
    return names


def _their_name(ours: str) -> str:
    layer, kind = ours.rsplit(".", 1)
    if block := re.fullmatch(r"encoder\.blocks\.(\d+)\.(\w+)", layer):
        return f"fnet.encoder.layer.{block[1]}.{_LAYERS_OF_A_BLOCK[block[2]]}.{kind}"
    return f"{_LAYERS[layer]}.{kind}"


def _take(
    weights: dict[str, Tensor], names: dict[str, tuple[str, torch.Size]], path: Path
) -> dict[str, Tensor]:
    """Give the tensors under our names, in float32."""
    missing = [theirs for theirs, _ in names.values() if theirs not in weights]
    if missing:
        raise ValueError(
            f"{path} lacks {_some(missing)}, which config.json calls for. Are both files of the "
            "same model?"
        )
    for theirs, shape in names.values():
        if weights[theirs].shape != shape:
            raise ValueError(
                f"{path}: {theirs} has the shape {tuple(weights[theirs].shape)}, config.json calls "
                f"for {tuple(shape)}. Are both files of the same model?"
            )
    return {ours: weights[theirs].float() for ours, (theirs, _) in names.items()}


def _check_nothing_else(
    weights: dict[str, Tensor], names: dict[str, dict[str, Any]], path: Path
) -> None:
    known = {theirs for part in names.values() for theirs, _ in part.values()}
    unexpected = [n for n in weights if n not in known and not _IGNORED.fullmatch(n)]
    if unexpected:
        raise ValueError(
            f"{path} holds {_some(unexpected)}, of which config.json and the FNet of transformers "
            "know nothing. Are both files of the same model?"
        )


def _pretraining(
    weights: dict[str, Tensor], config: EncoderConfig, path: Path
) -> PretrainingHeads | None:
    if _PRETRAINING["dense_weight"] not in weights:
        return None
    output = weights.get(f"{_DECODER}.weight")
    if output is not None and not torch.equal(
        output, weights[_their_name("encoder.embeddings.words.weight")]
    ):
        return None
    weights = {_PRETRAINING["token_bias"]: weights.get(f"{_DECODER}.bias"), **weights}
    width, size = torch.Size([config.width]), torch.Size([config.vocab_size])
    shapes = {
        "dense_weight": width * 2,
        "token_bias": size,
        "order_weight": torch.Size([2]) + width,
    }
    shapes["order_bias"] = torch.Size([2])
    names = {
        field.name: (_PRETRAINING[field.name], shapes.get(field.name, width))
        for field in fields(PretrainingHeads)
        if not field.name.startswith("order") or _PRETRAINING[field.name] in weights
    }
    return PretrainingHeads(**_take(weights, names, path))


# JSON.


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file ({error}). Download or copy it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object, as it should.")
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
