"""The training loop: a skorch net with our batches, schedule and bookkeeping."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset

from .batches import Windows, by_length, shuffled_by_length
from .devices import mixed_precision

__all__ = [
    "LARGEST_BATCH",
    "NUMBERS",
    "ONE_CLASS",
    "SEVERAL_LABELS",
    "LabelledWindows",
    "Objective",
    "TextNet",
    "batch_size_for",
    "epochs_for",
    "history_rows",
    "make_net",
]

_LARGEST_GRADIENT_NORM = 1.0
_WARMUP_SHARE = 0.1
# In a stream nobody knows the end: the rate rises over this many steps and then stays.
_STREAM_WARMUP_STEPS = 20
# Adam forgets its second moment fast, so that a word seen once is not moved 30 times as far as
# its gradient asks, as it is at 0.999.
_BETAS = (0.9, 0.98)
# Most pairs of words are rare. With a small eps each occurrence would move a pair's vector by
# the whole rate, however little its gradient asks for.
_BIGRAM_EPS = 1e-4
_WITHOUT_DECAY = ("*embeddings*", "*norm*", "*bias", "*gain", "*orders", "*threshold", "*filter")
_SMALLEST_BATCH, LARGEST_BATCH = 8, 64
_EPOCHS_AT_ONE_STEP = 60
_FEWEST_EPOCHS, _MOST_EPOCHS, _FEWEST_STEPS = 3, 100, 400


def batch_size_for(n_documents: int) -> int:
    """Choose the batch size when the user leaves it to us.

    A sixteenth of the corpus, between 8 and 64 documents: from few documents, small and varied
    steps learn more than a few large ones.
    """
    return min(max(n_documents // 16, _SMALLEST_BATCH), LARGEST_BATCH)


def epochs_for(n_documents: int, batch_size: int, n_classes: int) -> int:
    """Choose the number of epochs when the user leaves it to us.

    ``(60 + n_classes) / sqrt(steps in an epoch)``: the number of steps grows with the square
    root of the corpus, and with the classes, each of which has to be learned. More where that
    makes less than 400 steps; never less than 3 epochs or more than 100. With two classes and
    64 documents a batch, 1,000 documents are seen 25 times, 5,000 seven times, 10,000 five
    times, 50,000 and more three times.
    """
    steps = math.ceil(n_documents / batch_size)
    enough = max((_EPOCHS_AT_ONE_STEP + n_classes) / math.sqrt(steps), _FEWEST_STEPS / steps)
    return min(max(math.ceil(enough), _FEWEST_EPOCHS), _MOST_EPOCHS)


def of_classes(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give each row's cross-entropy with its class number, `smoothing` spread over all classes."""
    return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def of_labels(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give each row's mean binary cross-entropy with its labels, 0 or 1 each.

    They are not smoothed: most labels are rare, and all would be pulled towards one half.
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
    return losses.mean(dim=1)


def of_numbers(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Give each row's mean squared error; there is nothing to smooth."""
    return F.mse_loss(outputs, targets.to(outputs), reduction="none").mean(dim=1)


def right_classes(logits: Tensor, targets: Tensor) -> float:
    """Give the share of rows whose largest logit is that of their class."""
    return (logits.argmax(dim=1) == targets).float().mean().item()


def right_labels(logits: Tensor, targets: Tensor) -> float:
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


ONE_CLASS = Objective(of_classes, right_classes)
SEVERAL_LABELS = Objective(of_labels, right_labels)
NUMBERS = Objective(of_numbers)


class LabelledWindows(Dataset):
    """Windows of documents with the targets and weights of their documents.

    Parameters
    ----------
    windows : Windows
        The inputs.
    targets : ndarray of shape (n_documents,) or (n_documents, n_outputs)
        What the loss compares the model's outputs with.
    weights : ndarray of float32, shape (n_documents,)
        A document cut into k windows gives each of them a k-th.
    """

    def __init__(self, windows: Windows, targets: np.ndarray, weights: np.ndarray) -> None:
        self.windows = windows
        document = windows.document
        shares = np.bincount(document)[document]
        self.targets = torch.from_numpy(targets[document])
        self.weights = torch.from_numpy((weights[document] / shares).astype(np.float32))

    def __len__(self) -> int:
        return len(self.windows)


class Batches:
    """The batches of one epoch at each pass, as skorch wants its iterators.

    Parameters
    ----------
    data : LabelledWindows
        What to cut into batches.
    batch_size : int
        Windows in a batch.
    random : numpy.random.Generator or None
        Shuffles anew at each pass; None goes by length alone.
    """

    def __init__(
        self, data: LabelledWindows, batch_size: int, random: np.random.Generator | None
    ) -> None:
        self.data, self.batch_size, self.random = data, batch_size, random

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        data, lengths = self.data, self.data.windows.lengths
        if self.random is None:
            order = by_length(lengths, self.batch_size)
        else:
            order = shuffled_by_length(lengths, self.batch_size, self.random)
        for rows in order:
            target = {"targets": data.targets[rows], "weights": data.weights[rows]}
            yield tensors(data.windows, rows), target


def tensors(windows: Windows, rows: np.ndarray) -> dict[str, Tensor]:
    """Give one batch as the model's keyword arguments."""
    return {name: torch.from_numpy(array) for name, array in windows.batch(rows).items()}


class TextNet(NeuralNet):
    """A skorch net that reads :class:`LabelledWindows`.

    Parameters
    ----------
    module : nn.Module
        The model to train, in place.
    shuffling : numpy.random.Generator
        Decides the batches.
    objective : Objective
        What to lower.
    label_smoothing : float
        Share of each target spread over all classes.
    bfloat16 : bool
        Whether the forward pass runs in mixed precision.
    **kwargs
        What :class:`skorch.NeuralNet` takes.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        shuffling: np.random.Generator,
        objective: Objective,
        label_smoothing: float,
        bfloat16: bool,
        **kwargs: Any,
    ) -> None:
        self.shuffling = shuffling
        self.objective = objective
        self.label_smoothing = label_smoothing
        self.bfloat16 = bfloat16
        super().__init__(module, criterion=nn.Identity, **kwargs)  # get_loss asks the objective

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        measures = ["loss"] + ["accuracy"] * (self.objective.accuracy is not None)
        return [
            ("epoch_timer", EpochTimer()),
            ("accuracy", _BatchAccuracy()),
            *(
                (
                    f"{part}_{measure}",
                    PassthroughScoring(
                        f"{part}_{measure}",
                        lower_is_better=measure == "loss",
                        on_train=part == "train",
                    ),
                )
                for part in ("train", "valid")
                for measure in measures
            ),
        ]

    def fit_loop(self, X: Any, y: Any = None, **kwargs: Any) -> TextNet:
        """Train; an interruption ends it with the weights reached so far, and a warning."""
        try:
            return super().fit_loop(X, y, **kwargs)
        except _StoppedByCallback:
            return self
        except KeyboardInterrupt:
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

    def get_iterator(self, dataset: LabelledWindows, training: bool = False) -> Batches:
        """Give the batches, shuffled for training."""
        random = self.shuffling if training else None
        return Batches(dataset, self.batch_size, random)

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> Tensor:
        """Give the logits in float32."""
        with mixed_precision(self.device, self.bfloat16):
            logits = super().infer(x, **fit_params)
        return logits.float()

    def get_loss(
        self, y_pred: Tensor, y_true: dict[str, Tensor], X: Any = None, training: bool = False
    ) -> Tensor:
        """Give the weighted mean of the rows' losses.

        Weights are divided by the number of rows, not by the batch's sum of weights: in
        expectation a row of weight 2 then counts as two rows.
        """
        targets = y_true["targets"].to(y_pred.device)
        smoothing = self.label_smoothing if training else 0.0
        losses = self.objective.loss(y_pred, targets, smoothing)
        return (losses * y_true["weights"].to(y_pred.device)).mean()


class _StoppedByCallback(KeyboardInterrupt):
    """A callback has seen enough: no interruption from outside."""


class _BatchAccuracy(Callback):
    """Records each batch's accuracy beside its loss."""

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if net.objective.accuracy is not None:
            correct = net.objective.accuracy(kwargs["y_pred"].cpu(), batch[1]["targets"])
            net.history.record_batch("train_accuracy" if training else "valid_accuracy", correct)


class _GradientClipping(Callback):
    """Scales gradients down where their norm is too large, and leaves them untouched elsewhere.

    ``clip_grad_norm_`` multiplies all of them by 1 there, the large tables' included.
    """

    def on_grad_computed(self, net: NeuralNet, named_parameters: Any, **kwargs: Any) -> None:
        parameters = [p for _, p in named_parameters if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters])
        if norm > _LARGEST_GRADIENT_NORM:
            clip_grads_with_norm_(parameters, _LARGEST_GRADIENT_NORM, norm)


class _StoppingAfterWarmup(EarlyStopping):
    """Early stopping that lets the learning rate rise before it loses patience."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        if net.history[-1, "epoch"] <= _WARMUP_SHARE * net.max_epochs:
            self.misses_ = -1  # a first epoch that stays the best is kept, but none counts
        super().on_epoch_end(net, **kwargs)


class _StreamWarmup(Callback):
    """Lets the rate rise once, however many calls of partial_fit the stream comes in.

    A skorch LRScheduler would start anew at each of them.
    """

    def initialize(self) -> _StreamWarmup:
        self.steps_ = 0
        return self

    def on_batch_begin(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        self.steps_ += 1
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * min(1.0, self.steps_ / _STREAM_WARMUP_STEPS)


class _Progress(Callback):
    """One tqdm bar over all epochs: loss, accuracy and the time left."""

    def on_train_begin(self, net: NeuralNet, X: LabelledWindows = None, **kwargs: Any) -> None:
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


def make_net(
    model: nn.Module,
    *,
    n_batches: int,
    max_epochs: int | None,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    objective: Objective,
    label_smoothing: float = 0.0,
    valid: LabelledWindows | None = None,
    n_iter_no_change: int = 0,
    seed: int,
    device: torch.device,
    bfloat16: bool,
    callbacks: Sequence[Callback] = (),
    verbose: bool = False,
) -> TextNet:
    """Build the net that trains `model` in place.

    Parameters
    ----------
    model : nn.Module
        Called with the keyword arguments of :func:`tensors`; gives logits.
    n_batches : int
        Batches in an epoch.
    max_epochs : int or None
        The rate rises over the first tenth of all steps and falls to 0 at the last one. None
        is a stream without an end: the rate rises and stays.
    batch_size : int
        Windows in a batch.
    learning_rate : float
        The rate at its peak.
    weight_decay : float
        Decoupled, on the matrices of the dense layers alone.
    objective : Objective
        What to lower.
    label_smoothing : float, default=0
        Share of each target spread over all classes.
    valid : LabelledWindows, optional
        Held-out documents; training stops when, after the first tenth of the epochs, their loss
        has not fallen for `n_iter_no_change` epochs, and the best weights come back.
    n_iter_no_change : int
        See `valid`.
    seed : int
        Decides the batches.
    device : torch.device
        Where to train.
    bfloat16 : bool
        Mixed precision.
    callbacks : sequence of skorch callbacks
        Added to our own.
    verbose : bool
        Whether to show a progress bar.

    Returns
    -------
    TextNet
        Initialized.
    """
    own: list[Callback] = [_GradientClipping()]
    if max_epochs is None:
        own.append(_StreamWarmup())
    else:
        rate = _Rate(n_batches * max_epochs)
        own.append(LRScheduler(policy=LambdaLR, lr_lambda=rate, step_every="batch"))
    if valid is not None:
        stopping = _StoppingAfterWarmup(
            monitor="valid_loss",
            patience=n_iter_no_change,
            threshold=0.0,
            load_best=True,
            sink=_silent,
        )
        own.append(stopping)
    if verbose:
        own.append(_Progress())
    net = TextNet(
        model,
        shuffling=np.random.default_rng(seed),
        objective=objective,
        label_smoothing=label_smoothing,
        bfloat16=bfloat16,
        optimizer=torch.optim.AdamW,
        optimizer__betas=_BETAS,
        optimizer__weight_decay=weight_decay,
        optimizer__param_groups=[
            ("*bigrams*", {"weight_decay": 0.0, "eps": _BIGRAM_EPS}),
            *((pattern, {"weight_decay": 0.0}) for pattern in _WITHOUT_DECAY),
        ],
        optimizer__fused=device.type in ("cpu", "cuda"),
        lr=learning_rate,
        max_epochs=max_epochs or 1,
        batch_size=batch_size,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=[*own, *callbacks],
        device=str(device),
        verbose=0,
    )
    return net.initialize()


def history_rows(net: NeuralNet) -> list[dict[str, float]]:
    """Give skorch's history as plain data, one dictionary an epoch."""
    measures = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
    return [
        {"epoch": row["epoch"], "seconds": row["dur"]}
        | {name: float(row[name]) for name in measures if name in row}
        for row in net.history
        if "dur" in row  # an epoch that was interrupted has none
    ]


class _Rate:
    """Factor on the learning rate at each step: up to 1 in the warm-up, then down to 0."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.n_rising = max(1, round(_WARMUP_SHARE * n_steps))

    def __call__(self, step: int) -> float:
        falling = (self.n_steps - step) / (self.n_steps - self.n_rising + 1)
        return max(0.0, min((step + 1) / self.n_rising, falling))


def _silent(message: str) -> None:
    """Swallow what a callback would print."""
