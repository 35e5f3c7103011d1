"""What happens around the steps of training: the rate's schedule, clipping, stopping, progress."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import InvalidParameterError
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import Dataset

__all__ = [
    "BatchAccuracy",
    "GradientClipping",
    "Progress",
    "Rate",
    "StoppingAfterWarmup",
    "StreamWarmup",
    "check_callbacks",
    "stream_rate",
]

_LARGEST_GRADIENT_NORM = 1.0
_WARMUP_SHARE = 0.1
# In a stream nobody knows the end: the rate rises over this many steps and then stays.
_STREAM_WARMUP_STEPS = 20


def check_callbacks(model: Any) -> None:
    """Refuse what skorch cannot call, before anything is trained.

    Raises
    ------
    InvalidParameterError
        If something else than callbacks is in the `callbacks` parameter of `model`.
    """
    for item in model.callbacks or ():
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        known = isinstance(callback, type) and issubclass(callback, Callback)
        if not (known or isinstance(callback, Callback)):
            raise InvalidParameterError(
                f"The 'callbacks' parameter of {type(model).__name__} must be a list of skorch "
                f"callbacks or of (name, callback). Got {item!r} in it."
            )


class BatchAccuracy(Callback):
    """Records each batch's accuracy beside its loss."""

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if net.objective.accuracy is not None:
            correct = net.objective.accuracy(
                kwargs["y_pred"].mean(dim=1).cpu(), batch[1]["targets"]
            )
            net.history.record_batch("train_accuracy" if training else "valid_accuracy", correct)


class GradientClipping(Callback):
    """Scales an encoder's gradient down where the norm of its dense layers' part is too large.

    Each encoder by itself: the loss is the mean of theirs, so the limit is divided, too.
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        dense = {id(weight) for weight in net.optimizer_.dense}
        members = net.module_.members
        self.limit_ = _LARGEST_GRADIENT_NORM / len(members)
        self.weights_ = []
        for member in members:
            split: tuple[list, list] = [], []
            for weight in member.parameters():
                split[id(weight) in dense].append(weight)
            self.weights_.append(split)

    def on_grad_computed(self, net: NeuralNet, **kwargs: Any) -> None:
        for in_tables, dense in self.weights_:
            norm = float(clip_grad_norm_(dense, self.limit_))
            if norm > self.limit_:
                for weight in in_tables:
                    if weight.grad is not None:
                        weight.grad.mul_(self.limit_ / norm)


class StoppingAfterWarmup(EarlyStopping):
    """Early stopping that lets the learning rate rise before it loses patience."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        if net.history[-1, "epoch"] <= _WARMUP_SHARE * net.max_epochs:
            self.misses_ = -1  # a first epoch that stays the best is kept, but none counts
        super().on_epoch_end(net, **kwargs)


class StreamWarmup(Callback):
    """Lets the rate rise once, however many calls of partial_fit the stream comes in.

    A skorch LRScheduler would start anew at each of them.
    """

    def initialize(self) -> StreamWarmup:
        self.steps_ = 0
        return self

    def on_batch_begin(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        net.optimizer_.set_rate(net.lr * stream_rate(self.steps_))
        self.steps_ += 1


class Progress(Callback):
    """One tqdm bar over all epochs: loss, accuracy and the time left."""

    def on_train_begin(self, net: NeuralNet, X: Dataset = None, **kwargs: Any) -> None:
        from tqdm.auto import tqdm

        n_batches = -(-len(X) // net.batch_size)
        self.bar_ = tqdm(total=net.max_epochs * n_batches, desc="fit", unit="batch")

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.bar_.update()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        row = net.history[-1]
        names = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
        shown = {name.replace("_", " "): f"{row[name]:.3f}" for name in names if name in row}
        self.bar_.set_postfix(epoch=f"{row['epoch']}/{net.max_epochs}", refresh=False, **shown)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        self.bar_.close()


class Rate:
    """Factor on the learning rate at each step: up to 1 in the warm-up, then down to 0."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.n_rising = max(1, round(_WARMUP_SHARE * n_steps))

    def __call__(self, step: int) -> float:
        falling = (self.n_steps - step) / (self.n_steps - self.n_rising + 1)
        return max(0.0, min((step + 1) / self.n_rising, falling))


def stream_rate(step: int) -> float:
    """Give the factor at each step of a stream: up to 1, and there it stays."""
    return min(1.0, (step + 1) / _STREAM_WARMUP_STEPS)
