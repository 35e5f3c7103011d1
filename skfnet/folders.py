"""A fitted pretrainer in a folder: one file of plain data, written all at once."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sklearn.frozen import FrozenEstimator
from torch import Tensor

from .devices import usable_device
from .nn import EncoderConfig
from .persistence import (
    model_of,
    pack_tokenizer,
    read_tensors,
    shape_of,
    unpack_tokenizer,
    write_tensors,
)
from .tokenizer import TextTokenizer

__all__ = [
    "holds_pretrainer",
    "read_encoder",
    "read_pretrainer",
    "trained_pooling",
    "write_pretrainer",
]

_KIND = "a pretrained encoder, as FNetPretrainer.save writes it"
# Parameters that are of a machine or a moment, and those that hold more than data.
_LEFT_OUT = (
    *("tokenizer", "random_state", "device", "callbacks"),
    *("checkpoint", "checkpoint_minutes", "resume"),
)


def holds_pretrainer(folder: str | os.PathLike) -> bool:
    """Tell a pretrainer's folder, also one without its file, from a model of transformers'."""
    if _file(folder).exists():
        return True
    theirs = ("config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json")
    return os.path.isdir(folder) and not any(Path(folder, name).exists() for name in theirs)


def write_pretrainer(pretrainer: Any, folder: str | os.PathLike) -> None:
    """Write a fitted FNetPretrainer; see :meth:`FNetPretrainer.save`."""
    shape = shape_of(pretrainer._model)
    if not isinstance(shape["encoder"]["mixer"], str):
        raise ValueError(
            f"mixer={pretrainer.mixer!r} is code, which a folder of plain data cannot hold. Store "
            "the pretrainer by pickle or joblib, or use a mixer that has a name."
        )
    parameters = {
        name: list(value) if name == "objectives" else value
        for name, value in pretrainer.get_params(deep=False).items()
        if name not in _LEFT_OUT
    }
    state = {
        "shape": shape,
        "tokenizer": pack_tokenizer(pretrainer.tokenizer_),
        "parameters": parameters,
        "precomputed": pretrainer.tokenizer == "precomputed",
        "fitted": {name: getattr(pretrainer, name) for name in ("history_", "n_iter_", "n_steps_")},
    }
    write_tensors(_file(folder), pretrainer._model.state_dict(), _KIND, state)


def read_pretrainer(cls: type, folder: str | os.PathLike, device: str) -> Any:
    """Rebuild a fitted FNetPretrainer; see :meth:`FNetPretrainer.load`."""
    path = _file(folder)
    state, weights = read_tensors(path, _KIND)
    try:
        model = model_of(state["shape"], weights)
    except RuntimeError as error:  # torch's, for weights that are missing or of another shape
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    tokenizer = unpack_tokenizer(state["tokenizer"])
    given = "precomputed" if state["precomputed"] else None
    if tokenizer is not None:
        given = FrozenEstimator(tokenizer)
    pretrainer = cls(**state["parameters"], tokenizer=given, device=device)
    device_ = usable_device(device)
    vars(pretrainer).update(
        **state["fitted"], tokenizer_=tokenizer, device_=device_, _model=model.to(device_)
    )
    return pretrainer


def read_encoder(
    folder: str | os.PathLike,
) -> tuple[TextTokenizer | None, EncoderConfig, str, dict[str, Tensor], int]:
    """Read the encoder of a folder alone, without what it was pretrained by.

    Returns
    -------
    tokenizer : TextTokenizer or None
    config : EncoderConfig
    pooling : str
        As :func:`trained_pooling` gives it.
    weights : dict of Tensor
        Of a :class:`~skfnet.nn.DocumentClassifier`: views of the file, which is mapped into
        memory.
    n_steps : int
        How many steps it has learned for.

    Raises
    ------
    FileNotFoundError, ValueError
        As :meth:`FNetPretrainer.load`.
    """
    state, weights = read_tensors(_file(folder), _KIND, "document.")
    shape = state["shape"]
    config = EncoderConfig(**shape["encoder"])
    pooling = trained_pooling(shape["pooling"], state["parameters"]["objectives"])
    tokenizer, n_steps = unpack_tokenizer(state["tokenizer"]), state["fitted"]["n_steps_"]
    return tokenizer, config, pooling, weights, n_steps


def trained_pooling(pooling: str, objectives: Collection[str]) -> str:
    """Give a pretrainer's pooling, "none" where it has weights that no objective has trained."""
    return "none" if pooling == "cls" and "segment_order" not in objectives else pooling


def _file(folder: str | os.PathLike) -> Path:
    return Path(folder) / "pretrainer.safetensors"
