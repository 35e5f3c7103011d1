"""Checkpoints of a pretraining: written every few minutes, and taken up where they stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import tokenizers
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback
from torch import Tensor

from .batches import TokenArray
from .optimizer import TextAdam
from .persistence import pack_tokenizer, read_tensors, unpack_tokenizer, write_tensors
from .pretraining import PretrainingNet, Run
from .tokenizer import TextTokenizer

__all__ = ["Checkpoint", "Checkpoints", "checkpoint_path", "digest_of", "settings_of"]

_KIND = "a checkpoint of an FNetPretrainer"
# They change nothing of the result.
_FREE_TO_CHANGE = {
    *("device", "callbacks", "verbose", "checkpoint", "checkpoint_minutes", "resume"),
}


def checkpoint_path(folder: Any) -> Path:
    """Give the file in a folder of checkpoints: there is but one, replaced at each writing."""
    return Path(folder) / "checkpoint.safetensors"


def settings_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Give the parameters that decide a run, ready to be compared with those of another."""
    settings = {}
    for name, value in parameters.items():
        if name in _FREE_TO_CHANGE or (name == "random_state" and not isinstance(value, Integral)):
            continue
        if name == "objectives":
            value = list(value)
        if name == "tokenizer":
            value = _described(value)
        settings[name] = getattr(value, "__qualname__", repr(value))  # of a mixer's class
    return settings


def _described(tokenizer: Any) -> Any:
    """Give what tells one `tokenizer` parameter from another: its own parameters or vocabulary."""
    if isinstance(tokenizer, FrozenEstimator):
        tokenizer = tokenizer.estimator.tokenizer_
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    return tokenizer.get_params() if isinstance(tokenizer, TextTokenizer) else tokenizer


def digest_of(tokens: TokenArray) -> str:
    """Give a text that differs where the tokens do."""
    digest = hashlib.sha256()
    words = tokens.spellings
    spelled = () if words is None else (words.indices, words.indptr)
    for array in (tokens.ids, tokens.offsets, tokens.firsts, *spelled):
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()


@dataclass
class Checkpoint:
    """All that an interrupted run needs to go on.

    Attributes
    ----------
    run : Run
        Where it stands.
    tokenizer : TextTokenizer or None
        The fitted tokenizer.
    settings : dict of str
        What :func:`settings_of` gave.
    digest : str
        What :func:`digest_of` gave for its texts.
    weights : dict of Tensor
        Of model ("model.") and optimizer ("optimizer.").
    """

    run: Run
    tokenizer: TextTokenizer | None
    settings: dict[str, str]
    digest: str
    weights: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a file.

        Raises
        ------
        FileNotFoundError, ValueError
            See :func:`skfnet.persistence.read_tensors`.
        """
        state, weights = read_tensors(path, _KIND)
        tokenizer = unpack_tokenizer(state["tokenizer"])
        return cls(Run(**state["run"]), tokenizer, state["settings"], state["digest"], weights)

    def write(self, path: Path) -> None:
        """Replace the file by this checkpoint, all at once."""
        state = {
            "run": asdict(self.run),
            "tokenizer": pack_tokenizer(self.tokenizer),
            "settings": self.settings,
            "digest": self.digest,
        }
        write_tensors(path, self.weights, _KIND, state)

    def take(self, net: PretrainingNet) -> Checkpoint:
        """Take the weights of `net`, whose run is this one's."""
        model = {f"model.{name}": t for name, t in net.module_.state_dict().items()}
        self.weights = model | _flat(net.optimizer_)
        return self

    def put_into(self, net: PretrainingNet) -> None:
        """Give model and optimizer of `net` the weights that they had."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
        for name, tensor in self.weights.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        net.module_.load_state_dict(parts["model"])
        state = net.optimizer_.state_dict()
        for name, tensor in parts["optimizer"].items():
            part, number, key = name.split(".")
            # The file's tensors are a view of the file: the optimizer changes its own.
            state["parts"][int(part)]["state"].setdefault(int(number), {})[key] = tensor.clone()
        net.optimizer_.load_state_dict(state)

    def check_same(self, path: Path, settings: dict[str, str], digest: str) -> None:
        """Refuse to go on with other parameters or other texts.

        Raises
        ------
        ValueError
            If they differ; the parameter is named.
        """
        anew = "Delete the file, choose another folder, or use resume=False to start anew."
        for name in settings.keys() & self.settings.keys():
            if settings[name] != self.settings[name]:
                raise ValueError(
                    f"resume=True goes on with {path}, which was written with "
                    f"{name}={self.settings[name]}, not {settings[name]}. {anew}"
                )
        if digest != self.digest:
            raise ValueError(
                f"resume=True goes on with {path}, which was written for other texts than X. {anew}"
            )


class Checkpoints(Callback):
    """Writes a checkpoint every so many minutes, between two steps.

    Parameters
    ----------
    write : callable
        Called with the net.
    minutes : float
        0 is after each step.
    """

    def __init__(self, write: Callable[[PretrainingNet], None], minutes: float) -> None:
        self.write, self.minutes = write, minutes

    def on_train_begin(self, net: PretrainingNet, **kwargs: Any) -> None:
        self.last_ = time.monotonic()

    def on_batch_end(self, net: PretrainingNet, training: bool = False, **kwargs: Any) -> None:
        if training and time.monotonic() - self.last_ >= 60 * self.minutes:
            self.write(net)
            self.last_ = time.monotonic()


def _flat(optimizer: TextAdam) -> dict[str, Tensor]:
    """Name each tensor of an optimizer's state: its part, its parameter's number, its key."""
    return {
        f"optimizer.{part}.{number}.{key}": tensor
        for part, state in enumerate(optimizer.state_dict()["parts"])
        for number, tensors in state["state"].items()
        for key, tensor in tensors.items()
    }
