"""What our skorch nets share: mixed precision, and an end that leaves a usable model."""

from __future__ import annotations

import warnings
from typing import Any

from skorch import NeuralNet
from torch import Tensor, nn

from .devices import mixed_precision

__all__ = ["BaseNet"]


class BaseNet(NeuralNet):
    """A skorch net whose training may be interrupted, and run in mixed precision.

    Parameters
    ----------
    module : nn.Module
        The model to train, in place.
    weight_decay : float
        See :class:`TextAdam`.
    bfloat16 : bool
        Whether the forward pass runs in mixed precision.
    **kwargs
        What :class:`skorch.NeuralNet` takes.

    Attributes
    ----------
    interrupted : bool
        Whether the last training ended before its time, and not at a callback's wish.
    """

    def __init__(
        self, module: nn.Module, *, weight_decay: float, bfloat16: bool, **kwargs: Any
    ) -> None:
        self.weight_decay = weight_decay
        self.bfloat16 = bfloat16
        self.interrupted = False
        super().__init__(module, criterion=nn.Identity, **kwargs)  # get_loss knows the loss

    def fit_loop(self, X: Any, y: Any = None, **kwargs: Any) -> BaseNet:
        """Train; an interruption ends it with the weights reached so far, and a warning."""
        self.interrupted = False
        try:
            with self.optimizer_.sparse_gradients():
                return super().fit_loop(X, y, **kwargs)
        except _StoppedByCallback:
            return self
        except KeyboardInterrupt:
            self.interrupted = True
            warnings.warn(
                "Training was interrupted: the weights are those reached so far.",
                UserWarning,
                stacklevel=2,
            )
            return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks; they end the training by a KeyboardInterrupt after an epoch."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt:
            if method_name == "on_epoch_end":
                raise _StoppedByCallback from None
            raise

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> Any:
        """Give the model's outputs."""
        with mixed_precision(self.device, self.bfloat16):
            return super().infer(x, **fit_params)


class _StoppedByCallback(KeyboardInterrupt):
    """A callback has seen enough: no interruption from outside."""
