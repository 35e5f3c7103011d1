"""Dropout whose random numbers cost little on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Dropout", "drawing_from"]

_LEVELS = 1 << 16
_generator: ContextVar[torch.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let :class:`Dropout` draw from a generator inside, in this thread; None is torch's own.

    Threads that draw from one generator get numbers by who comes first.
    """
    token = _generator.set(generator)
    try:
        yield
    finally:
        _generator.reset(token)


class Dropout(nn.Module):
    """Dropout that draws 16 random bits an element on a CPU instead of a float.

    On a CPU, drawing the mask of ``torch.nn.Dropout`` takes about as long as the matrix
    products around it in a small model. Four 16-bit numbers cut from one 64-bit draw decide
    four elements; the probability is rounded to the next 1/65,536 and the scale is exact for
    the rounded one. On other devices this is ``torch.nn.functional.dropout``.

    Parameters
    ----------
    probability : float
        Share of elements set to zero in training, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Zero a random share of `x` in training and scale up the rest."""
        threshold = round(self.probability * _LEVELS)
        if not self.training or threshold == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        words.random_(-(2**63), None, generator=_generator.get())
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)  # uniform, -32,768 to 32,767
        kept = (bits >= threshold - _LEVELS // 2).to(x.dtype)
        return x * kept.mul_(_LEVELS / (_LEVELS - threshold))

    def extra_repr(self) -> str:
        """Show the probability in the module's repr."""
        return f"probability={self.probability}"
