"""What ``config.json`` says: the shape of a model, and what its outputs stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..nn import EncoderConfig

__all__ = [
    "NUMBERS",
    "ONE_LABEL",
    "SEVERAL_LABELS",
    "check_expressible",
    "describe_outputs",
    "describe_shape",
    "is_for_documents",
    "read_outputs",
    "read_shape",
]

# Their names of what a head was trained for.
ONE_LABEL = "single_label_classification"
SEVERAL_LABELS = "multi_label_classification"
NUMBERS = "regression"

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
# Their name of an activation: ours. The first of a kind is the one that is written.
_ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "relu": "relu",
}
# What their layout has no word for: there it is always as published.
_NO_WORD_FOR = (
    *("mixer", "transform_scale", "mixing_gain", "norm", "positions", "shared_types"),
    *("embedding_norm", "embedding_projection", "bigram_buckets", "subword_buckets"),
)
_OURS = "skfnet"  # a section of our own, for what JSON or their layout cannot say


def read_shape(settings: dict[str, Any], path: Path) -> EncoderConfig:
    """Give the shape that config.json describes.

    Parameters
    ----------
    settings : dict
        The content of config.json.
    path : Path
        Where it was read from, for errors.

    Returns
    -------
    EncoderConfig
        With ``padding="max_length"``, unless the section "skfnet" says otherwise.

    Raises
    ------
    ValueError
        If it is no FNet, or one with an activation or a size that there is not.
    """
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
    padding = settings.get(_OURS, {}).get("padding", "max_length")
    try:
        return EncoderConfig.base(**sizes, activation=_ACTIVATIONS[activation], padding=padding)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} describes no FNet model: {error}") from error


def describe_shape(config: EncoderConfig) -> dict[str, Any]:
    """Give what config.json says of a shape.

    Raises
    ------
    ValueError
        As :func:`check_expressible`.
    """
    check_expressible(config)
    sizes = {theirs: getattr(config, ours) for ours, (theirs, _) in _SIZES.items()}
    return {
        "model_type": "fnet",
        **sizes,
        "intermediate_size": config.feedforward_size,
        "hidden_act": next(t for t, ours in _ACTIVATIONS.items() if ours == config.activation),
        "tie_word_embeddings": True,
        "tpu_short_seq_length": config.max_length,
        _OURS: {"padding": config.padding},
    }


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
        for name in _NO_WORD_FOR
        if getattr(config, name) != getattr(published, name)
    ]
    if config.attention_layers:
        wrong.append(f"attention_layers={config.attention_layers} (there it is 0)")
    if wrong:
        raise ValueError(
            f"transformers' FNet cannot express {', '.join(wrong)}. A model of its shape is "
            "trained with architecture='paper' and mixer='fourier'; skfnet's own files hold every "
            "model."
        )


def is_for_documents(settings: dict[str, Any]) -> bool:
    """Tell a head for documents from one for tokens, whose parameters have the same names."""
    kinds = settings.get("architectures")
    return not kinds or "FNetForSequenceClassification" in kinds


def read_outputs(settings: dict[str, Any], path: Path) -> tuple[list[Any], str]:
    """Give what each output of a head stands for, and what it was trained for.

    Parameters
    ----------
    settings, path
        As in :func:`read_shape`.

    Raises
    ------
    ValueError
        If the labels are not numbered from 0, or one has two numbers.
    """
    n_labels = settings.get("num_labels") or 2  # as theirs
    named = settings.get("id2label") or {i: f"LABEL_{i}" for i in range(n_labels)}
    by_number = {int(number): label for number, label in named.items()}
    labels = [by_number.get(i) for i in range(len(by_number))]
    if None in labels or len(set(labels)) < len(labels):
        raise ValueError(
            f"{path}: id2label must give each output from 0 to {len(labels) - 1} a label of its "
            f"own, not {named}."
        )
    own = settings.get(_OURS, {}).get("labels", labels)
    problem = settings.get("problem_type") or (NUMBERS if len(labels) == 1 else ONE_LABEL)
    # Ours hold what JSON's names cannot; others may have renamed the outputs since.
    return (own if [str(label) for label in own] == labels else labels), problem


def describe_outputs(labels: list[Any], problem: str) -> dict[str, Any]:
    """Give what config.json says of labels; for transformers they are strings.

    Raises
    ------
    ValueError
        If one is neither a string nor a number nor a bool.
    """
    other = [label for label in labels if not isinstance(label, str | int | float)]
    if other:
        raise ValueError(
            f"A label in config.json is a string or a number, {other[0]!r} in classes_ is of type "
            f"{type(other[0]).__name__}. Train with such labels."
        )
    names = [str(label) for label in labels]
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
        "problem_type": problem,
        _OURS: {"labels": labels},
    }
