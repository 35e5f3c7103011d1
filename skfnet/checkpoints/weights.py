"""Weights in a file of transformers: their names, their shapes, and reading them safely."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..nn import Encoder, EncoderConfig
from ..nn.heads import ClsPooling
from ..nn.pretraining import MaskedTokenHead

__all__ = ["StoredWeights", "Weights", "named_by_them"]

Weights = dict[str, Tensor]  # of a module, as its state_dict

# Our name of a parameter or a layer, part and all: theirs.
_NAMES = {
    "encoder.embeddings.words": "fnet.embeddings.word_embeddings",
    "encoder.embeddings.positions": "fnet.embeddings.position_embeddings",
    "encoder.embeddings.types": "fnet.embeddings.token_type_embeddings",
    "encoder.embeddings.norm": "fnet.embeddings.LayerNorm",
    "encoder.embeddings.projection": "fnet.embeddings.projection",
    "pooling.dense": "fnet.pooler.dense",
    "output": "classifier",
    "masked.dense": "cls.predictions.transform.dense",
    "masked.norm": "cls.predictions.transform.LayerNorm",
    "masked": "cls.predictions",
    "order": "cls.seq_relationship",
}
_NAMES_IN_A_BLOCK = {
    "mixing_norm": "fourier.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}
_WORDS = "fnet.embeddings.word_embeddings.weight"
# The output layer of the masked tokens: two tensors by other names, where it is tied.
_TIED = {
    "cls.predictions.decoder.weight": _WORDS,
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
_HEADS = ("cls.", "classifier.", "qa_outputs.")
# Tables that follow from the sizes.
_IGNORED = re.compile(
    r"fnet\.embeddings\.(position_ids|token_type_ids)"
    r"|fnet\.encoder\.layer\.\d+\.fourier\.self\.dft_mat_\w+"
)


def named_by_them(**parts: Mapping[str, Tensor]) -> Weights:
    """Join the weights of parts under transformers' names.

    Parameters
    ----------
    **parts : state_dicts
        Of the "encoder", the "pooling" by [CLS], the "output" layer, the head of "masked" tokens
        and the layer that tells the "order".
    """
    return {
        _their_name(part, name): tensor
        for part, weights in parts.items()
        for name, tensor in weights.items()
    }


class StoredWeights:
    """The weights of a file, taken from it part by part once all names are known to be right.

    Parameters
    ----------
    path : Path
        ``model.safetensors``, or a ``.bin`` file of PyTorch's.
    config : EncoderConfig
        The shape that they must have.
    n_outputs : int
        Number of outputs of the output layer, where there is one.

    Raises
    ------
    ValueError
        If the file is damaged, holds anything else than tensors, or a parameter that no FNet of
        that shape has.
    """

    def __init__(self, path: Path, config: EncoderConfig, n_outputs: int) -> None:
        self._path = path
        self._tensors = _tied(_prefixed(_read(path)))
        with torch.device("meta"):  # names and shapes alone, no memory
            modules = {
                "encoder": Encoder(config),
                "pooling": ClsPooling(config.width),
                "output": nn.Linear(config.width, n_outputs),
                "masked": MaskedTokenHead(config),
                "order": nn.Linear(config.width, 2),
            }
        self._wanted = {
            part: {name: (_their_name(part, name), t.shape) for name, t in m.state_dict().items()}
            for part, m in modules.items()
        }
        known = {theirs for part in self._wanted.values() for theirs, _ in part.values()}
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

    def __contains__(self, part: str) -> bool:
        """Tell whether there is any weight of a part."""
        return any(theirs in self._tensors for theirs, _ in self._wanted[part].values())

    def take(self, part: str) -> Weights:
        """Give the weights of a part under our names, in float32.

        Parameters
        ----------
        part : {"encoder", "pooling", "output", "masked", "order"}
            As in :func:`named_by_them`.

        Raises
        ------
        ValueError
            If one is missing, or of another shape: it is named.
        """
        wanted = self._wanted[part].values()
        missing = [theirs for theirs, _ in wanted if theirs not in self._tensors]
        if missing:
            raise ValueError(
                f"{self._path} lacks {_some(missing)}, which config.json calls for. Are both files "
                "of the same model?"
            )
        for theirs, shape in wanted:
            found = self._tensors[theirs].shape
            if found != shape:
                raise ValueError(
                    f"{self._path}: {theirs} has the shape {tuple(found)}, config.json calls for "
                    f"{tuple(shape)}. Are both files of the same model?"
                )
        taken = self._wanted[part].items()
        return {ours: self._tensors[theirs].float() for ours, (theirs, _) in taken}


def _their_name(part: str, ours: str) -> str:
    layer, _, kind = f"{part}.{ours}".rpartition(".")
    if block := re.fullmatch(r"encoder\.blocks\.(\d+)\.(\w+)", layer):
        return f"fnet.encoder.layer.{block[1]}.{_NAMES_IN_A_BLOCK[block[2]]}.{kind}"
    return f"{_NAMES[layer]}.{kind}"


def _prefixed(tensors: Weights) -> Weights:
    """Name the parameters as a model with a head does; one without leaves out the prefix."""
    if any(name.startswith("fnet.") for name in tensors):
        return tensors
    return {n if n.startswith(_HEADS) else f"fnet.{n}": tensor for n, tensor in tensors.items()}


def _tied(tensors: Weights) -> Weights:
    """Give the output layer of masked tokens its tensors' first names; leave out one of its own.

    A file holds either name of a bias, or both.
    """
    weight, bias = _TIED
    if weight in tensors and not torch.equal(tensors[weight], tensors.get(_WORDS, tensors[weight])):
        return {n: t for n, t in tensors.items() if not n.startswith("cls.predictions.")}
    if bias in tensors:
        return {_TIED[bias]: tensors[bias], **tensors}
    return tensors


def _read(path: Path) -> Weights:
    """Read tensors by name; a .bin file by PyTorch's reader of tensors alone."""
    if path.suffix == ".safetensors":
        with open(path, "rb"):  # safetensors calls missing what may not be read
            pass
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


def _some(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
