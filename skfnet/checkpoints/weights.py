"""Weights in a file of transformers: their names, their shapes, and reading them safely."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..nn import DocumentClassifier, EncoderConfig
from .configuration import ONE_LABEL

__all__ = ["DocumentHead", "PretrainingHeads", "StoredWeights", "their_name"]

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
_OUTPUT_LAYER = "cls.predictions.decoder"  # the word embeddings and `token_bias` by other names
_HEADS = ("cls.", "classifier.", "qa_outputs.")
# Tables that follow from the sizes.
_IGNORED = re.compile(
    r"fnet\.embeddings\.(position_ids|token_type_ids)"
    r"|fnet\.encoder\.layer\.\d+\.fourier\.self\.dft_mat_\w+"
)

_Names = dict[str, tuple[str, tuple[int, ...]]]  # our name: theirs, and the shape


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
        What the outputs were trained for.
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

    def named(self) -> dict[str, Tensor]:
        """Give the tensors there are by transformers' names."""
        tensors = ((theirs, getattr(self, ours)) for ours, theirs in _PRETRAINING.items())
        return {theirs: tensor for theirs, tensor in tensors if tensor is not None}


def their_name(ours: str) -> str:
    """Give transformers' name of a parameter of a DocumentClassifier of the published shape."""
    layer, kind = ours.rsplit(".", 1)
    if block := re.fullmatch(r"encoder\.blocks\.(\d+)\.(\w+)", layer):
        return f"fnet.encoder.layer.{block[1]}.{_LAYERS_OF_A_BLOCK[block[2]]}.{kind}"
    return f"{_LAYERS[layer]}.{kind}"


class StoredWeights:
    """The weights of a file, taken from it part by part once all names are known to be right.

    Parameters
    ----------
    path : Path
        ``model.safetensors``, or a ``.bin`` file of PyTorch's.
    config : EncoderConfig
        The shape that they must have.

    Raises
    ------
    ValueError
        If the file is damaged, holds anything else than tensors, or a parameter that no FNet of
        that shape has.
    """

    def __init__(self, path: Path, config: EncoderConfig) -> None:
        self._path, self._config = path, config
        self._tensors = _prefixed(_read(path))
        with torch.device("meta"):  # names and shapes alone, no memory
            model = DocumentClassifier(config, 1, "cls")
        self._parts: dict[str, _Names] = {"encoder": {}, "pooling": {}, "output": {}}
        for name, tensor in model.state_dict().items():
            part, _, rest = name.partition(".")
            self._parts[part][rest] = their_name(name), tuple(tensor.shape)
        known = {theirs for part in self._parts.values() for theirs, _ in part.values()}
        unexpected = [
            name
            for name in self._tensors
            if not (name in known or name.startswith(_HEADS) or _IGNORED.fullmatch(name))
        ]
        if unexpected:
            raise ValueError(
                f"{path} holds {_some(unexpected)}, which an FNet as config.json describes it does "
                "not have. Are both files of the same model?"
            )

    def encoder(self) -> dict[str, Tensor]:
        """Give the weights of an :class:`skfnet.nn.Encoder`.

        Raises
        ------
        ValueError
            If one is missing or of another shape: it is named. So in what follows.
        """
        return self._take(self._parts["encoder"])

    def pooling(self) -> dict[str, Tensor] | None:
        """Give those of the pooling "cls"; None where the model has no pooler."""
        names = self._parts["pooling"]
        if not any(theirs in self._tensors for theirs, _ in names.values()):
            return None
        return self._take(names)

    def head(self, labels: list[Any], problem: str) -> DocumentHead | None:
        """Give the output layer for so many labels; None where the model has none."""
        if "classifier.weight" not in self._tensors:
            return None
        names = {
            name: (theirs, (len(labels), *shape[1:]))
            for name, (theirs, shape) in self._parts["output"].items()
        }
        return DocumentHead(**self._take(names), labels=labels, problem=problem)

    def pretraining(self) -> PretrainingHeads | None:
        """Give the heads of pretraining; None without them, or if they have an output layer."""
        if _PRETRAINING["dense_weight"] not in self._tensors:
            return None
        words = self._tensors.get(their_name("encoder.embeddings.words.weight"))
        output = self._tensors.get(f"{_OUTPUT_LAYER}.weight")
        if output is not None and words is not None and not torch.equal(output, words):
            return None
        bias = self._tensors.get(f"{_OUTPUT_LAYER}.bias")
        if bias is not None:  # the same tensor, of which a file may hold either name
            self._tensors.setdefault(_PRETRAINING["token_bias"], bias)
        width, n_tokens = self._config.width, self._config.vocab_size
        shapes = {
            "dense_weight": (width, width),
            "token_bias": (n_tokens,),
            "order_weight": (2, width),
            "order_bias": (2,),
        }
        names = {
            field.name: (_PRETRAINING[field.name], shapes.get(field.name, (width,)))
            for field in fields(PretrainingHeads)
        }
        if _PRETRAINING["order_weight"] not in self._tensors:
            del names["order_weight"], names["order_bias"]
        return PretrainingHeads(**self._take(names))

    def _take(self, names: _Names) -> dict[str, Tensor]:
        """Give tensors under our names, in float32."""
        missing = [theirs for theirs, _ in names.values() if theirs not in self._tensors]
        if missing:
            raise ValueError(
                f"{self._path} lacks {_some(missing)}, which config.json calls for. Are both files "
                "of the same model?"
            )
        for theirs, shape in names.values():
            found = tuple(self._tensors[theirs].shape)
            if found != shape:
                raise ValueError(
                    f"{self._path}: {theirs} has the shape {found}, config.json calls for {shape}. "
                    "Are both files of the same model?"
                )
        return {ours: self._tensors[theirs].float() for ours, (theirs, _) in names.items()}


def _read(path: Path) -> dict[str, Tensor]:
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
            f"{path} is read safely by PyTorch 2.10 and later alone; this is {torch.__version__}. "
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


def _prefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the parameters as a model with a head does; one without leaves out the prefix."""
    if any(name.startswith("fnet.") for name in tensors):
        return tensors
    return {n if n.startswith(_HEADS) else f"fnet.{n}": tensor for n, tensor in tensors.items()}


def _some(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
