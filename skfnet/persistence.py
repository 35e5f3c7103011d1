"""A trained model as plain data, and back: in a pickle, or in a file of tensors and JSON text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .devices import seeded
from .nn import EncoderConfig, Ensemble, PretrainingModel
from .tokenizer import TextTokenizer

__all__ = [
    "model_of",
    "pack_model",
    "pack_tokenizer",
    "read_tensors",
    "remove_parts",
    "save_tensors",
    "shape_of",
    "unpack_model",
    "unpack_tokenizer",
    "write_tensors",
]

_VERSION = 1  # of the files' layout


def pack_model(model: Ensemble | PretrainingModel) -> dict[str, Any]:
    """Give a model as plain data: JSON text and NumPy arrays, no device, no code.

    A mixer of the user's own stands beside them: it is stored as a reference to its code.
    """
    shape = shape_of(model)
    own: dict[str, Any] = {}
    for encoder in _encoders_in(shape):
        if not isinstance(encoder["mixer"], str):
            own = {"mixer": encoder.pop("mixer")}
    weights = {name: t.detach().cpu().numpy() for name, t in model.state_dict().items()}
    return {"shape": json.dumps(shape, default=_plain), "weights": weights, **own}


def unpack_model(packed: dict[str, Any]) -> Ensemble | PretrainingModel:
    """Rebuild what :func:`pack_model` gave, on the CPU."""
    shape = json.loads(packed["shape"])
    if "mixer" in packed:
        for encoder in _encoders_in(shape):
            encoder["mixer"] = packed["mixer"]
    return model_of(shape, {name: torch.tensor(a) for name, a in packed["weights"].items()})


def shape_of(model: Ensemble | PretrainingModel) -> dict[str, Any]:
    """Give what a model is built from; JSON-ready, unless the mixer is the user's own."""
    if isinstance(model, PretrainingModel):
        return {
            "encoder": model.encoder.config.to_dict(),
            "pooling": model.document.pooling_name,
            "n_words": model.n_words,
        }
    first = model.members[0]
    return {
        "encoders": [member.encoder.config.to_dict() for member in model.members],
        "n_classes": first.output.out_features,
        "pooling": first.pooling_name,
    }


def model_of(shape: dict[str, Any], weights: dict[str, Tensor]) -> Ensemble | PretrainingModel:
    """Rebuild a model of which :func:`shape_of` gave the shape, on the CPU."""
    parts = {name: part for name, part in shape.items() if not name.startswith("encoder")}
    configs = [EncoderConfig(**encoder) for encoder in _encoders_in(shape)]
    with seeded(0, torch.device("cpu")):  # the initial weights are overwritten
        if "encoders" in shape:
            model = Ensemble(configs, **parts)
        else:
            model = PretrainingModel(*configs, **parts)
    model.load_state_dict(weights)
    return model.eval()


def _encoders_in(shape: dict[str, Any]) -> list[dict[str, Any]]:
    return shape["encoders"] if "encoders" in shape else [shape["encoder"]]


def pack_tokenizer(tokenizer: TextTokenizer | None) -> dict[str, Any] | None:
    """Give a fitted tokenizer as JSON-ready data."""
    if tokenizer is None:
        return None
    return {
        "parameters": tokenizer.get_params(),
        "tokenizer": tokenizer.tokenizer_.to_str(),
        "cuts_are_safe": tokenizer._cuts_are_safe,
        "spelled": tokenizer.spellings_ is not None,
        # A published one may have ids to spare, and padding by another name.
        "n_ids": tokenizer.n_ids_,
        "pad": tokenizer.special_tokens_.pad,
    }


def unpack_tokenizer(packed: dict[str, Any] | None) -> TextTokenizer | None:
    """Rebuild what :func:`pack_tokenizer` gave."""
    if packed is None:
        return None
    tokenizer = TextTokenizer(**packed["parameters"])
    ready = tokenizers.Tokenizer.from_str(packed["tokenizer"])
    tokenizer.adopt(ready, cuts_are_safe=packed["cuts_are_safe"], spelled=packed["spelled"])
    tokenizer.n_ids_ = packed["n_ids"]
    tokenizer.special_tokens_ = replace(tokenizer.special_tokens_, pad=packed["pad"])
    return tokenizer


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], kind: str, state: dict[str, Any]
) -> None:
    """Write tensors and JSON-ready data into one safetensors file.

    Whenever the process is killed, `path` holds what stood there before or all of the new file.

    Parameters
    ----------
    path : Path
        Where to; its folder is made where it is missing.
    tensors : mapping of str to Tensor
        On any device.
    kind : str
        What the file holds; :func:`read_tensors` refuses another kind.
    state : dict
        JSON-ready.

    Raises
    ------
    PermissionError
        If nothing may be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"kind": kind, "version": str(_VERSION), "state": json.dumps(state, default=_plain)}
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    # A folder, since safetensors has temporary files of its own.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.mkdir(exist_ok=True)
    try:
        whole = part / path.name
        save_tensors(plain, whole, metadata)
        with open(whole, "rb+") as file:  # on the disk before it has the name
            os.fsync(file.fileno())
        os.replace(whole, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file with the rights that any new file has.

    By itself safetensors leaves its owner alone any (0.8), and where nothing may be written, its
    error names no file.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata)
    path.chmod(mode)


def remove_parts(path: Path) -> None:
    """Remove what processes have left that were killed while they wrote `path`."""
    for part in path.parent.glob(f"{path.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def read_tensors(
    path: Path, kind: str, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what :func:`write_tensors` wrote.

    Parameters
    ----------
    path : Path
        The file. It is mapped into memory: several processes that read it share one copy.
    kind : str
        What it must hold.
    prefix : str, default=""
        Which tensors are wanted: those whose names begin so.

    Returns
    -------
    state : dict
    tensors : dict of Tensor
        Named without the prefix.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PermissionError
        If it may not be read.
    ValueError
        If it is not complete, or of another kind; the file is named.
    """
    try:
        with open(path, "rb"):  # safetensors calls missing what may not be read
            pass
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise FileNotFoundError(f"{path}: no such file. It should hold {kind}.") from None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: is no complete safetensors file ({error}). Write it again."
        ) from error
    if metadata.get("kind") != kind:
        raise ValueError(f"{path}: does not hold {kind}.")
    if int(metadata["version"]) > _VERSION:
        raise ValueError(f"{path}: was written by a newer skfnet; update it to read this file.")
    return json.loads(metadata["state"]), tensors


def _plain(value: Any) -> Any:
    """Give what JSON has no word for: the numbers that a search over a NumPy array sets."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no plain data.")
