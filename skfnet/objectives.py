"""What training lowers for each kind of target, and what is shown beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

__all__ = ["NUMBERS", "ONE_CLASS", "SEVERAL_LABELS", "Objective"]


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give each row's cross-entropy with its class number, `smoothing` spread over all classes."""
    return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give each row's mean binary cross-entropy with its labels, 0 or 1 each.

    They are not smoothed: most labels are rare, and all would be pulled towards one half.
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
    return losses.mean(dim=1)


def squared_error(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give each row's mean squared error; there is nothing to smooth."""
    return F.mse_loss(outputs, targets.to(outputs), reduction="none").mean(dim=1)


def class_accuracy(logits: Tensor, targets: Tensor) -> float:
    """Give the share of rows whose largest logit is that of their class."""
    return (logits.argmax(dim=1) == targets).float().mean().item()


def label_accuracy(logits: Tensor, targets: Tensor) -> float:
    """Give the share of labels that are rightly present or absent."""
    return ((logits > 0) == targets.bool()).float().mean().item()


@dataclass(frozen=True)
class Objective:
    """What training lowers, and what is shown beside it.

    Attributes
    ----------
    loss : callable
        Maps outputs, targets and label smoothing to one number a row.
    accuracy : callable or None
        Maps outputs and targets to a share of right answers.
    """

    loss: Callable[[Tensor, Tensor, float], Tensor]
    accuracy: Callable[[Tensor, Tensor], float] | None = None


ONE_CLASS = Objective(cross_entropy, class_accuracy)
SEVERAL_LABELS = Objective(binary_cross_entropy, label_accuracy)
NUMBERS = Objective(squared_error)
