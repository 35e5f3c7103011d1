"""The training loop: a skorch net with our batches, schedule and bookkeeping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset

from .batches import by_length, shuffled_by_length
from .callbacks import (
    BatchAccuracy,
    GradientClipping,
    Progress,
    Rate,
    StoppingAfterWarmup,
    StreamWarmup,
)
from .cores import can_share_cores, shared_cores
from .devices import mixed_precision, seeded
from .nets import BaseNet
from .nn.dropout import drawing_from
from .objectives import Objective
from .optimizer import TextAdam
from .windows import Windows

__all__ = [
    "LARGEST_BATCH",
    "LabelledVectors",
    "LabelledWindows",
    "TextNet",
    "batch_size_for",
    "epochs_for",
    "history_rows",
    "make_net",
]

_SMALLEST_BATCH, LARGEST_BATCH = 8, 64
_FEWEST_EPOCHS, _MOST_EPOCHS, _FEWEST_STEPS = 2, 60, 240


def batch_size_for(n_documents: int) -> int:
    """Choose the batch size when the user leaves it to us.

    A sixteenth of the corpus, between 8 and 64 documents: from few documents, small and varied
    steps learn more than a few large ones.
    """
    return min(max(n_documents // 16, _SMALLEST_BATCH), LARGEST_BATCH)


def epochs_for(n_documents: int, batch_size: int, n_classes: int) -> int:
    """Choose the number of epochs when the user leaves it to us.

    ``(28 + n_classes / 2) / sqrt(steps in an epoch)``: the number of steps grows with the square
    root of the corpus, and with the classes, each of which has to be learned. More where that
    makes less than 240 steps; never less than 2 epochs or more than 60. With two classes and
    64 documents a batch, 1,000 documents are seen 15 times, 5,000 four times, 10,000 three
    times, 15,000 and more twice.
    """
    steps = math.ceil(n_documents / batch_size)
    enough = max((28 + n_classes / 2) / math.sqrt(steps), _FEWEST_STEPS / steps)
    return min(max(math.ceil(enough), _FEWEST_EPOCHS), _MOST_EPOCHS)


class LabelledWindows(Dataset):
    """Windows of documents with the targets and weights of their documents.

    Parameters
    ----------
    windows : Windows
        The inputs.
    targets : ndarray of shape (n_documents,) or (n_documents, n_outputs)
        What the loss compares the model's outputs with.
    weights : ndarray of shape (n_documents,) or (n_documents, n_encoders)
        For all encoders, or for each of them. A document cut into k windows gives each of them
        a k-th.
    """

    def __init__(self, windows: Windows, targets: np.ndarray, weights: np.ndarray) -> None:
        self.windows = windows
        document = windows.document
        shares = np.bincount(document)[document, None]
        self.targets = torch.from_numpy(targets[document])
        by_encoder = weights.reshape(len(weights), -1)[document]
        self.weights = torch.from_numpy((by_encoder / shares).astype(np.float32))

    def __len__(self) -> int:
        return len(self.windows)

    def inputs(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Give the model's keyword arguments for some of the windows."""
        return tensors(self.windows, rows)


class LabelledVectors(LabelledWindows):
    """The same where the encoders stay as they are, and their vectors are computed once.

    Parameters
    ----------
    windows, targets, weights
        As in :class:`LabelledWindows`.
    vectors : ndarray of float32, shape (n_windows, n_vectors, width)
        What the encoders give for each window.
    """

    def __init__(
        self, windows: Windows, targets: np.ndarray, weights: np.ndarray, vectors: np.ndarray
    ) -> None:
        super().__init__(windows, targets, weights)
        self.vectors = torch.from_numpy(vectors)

    def inputs(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Give the vectors of some of the windows."""
        return {"vectors": self.vectors[rows]}


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
            yield data.inputs(rows), target


def tensors(windows: Windows, rows: np.ndarray) -> dict[str, Tensor]:
    """Give one batch as the model's keyword arguments."""
    return {name: torch.from_numpy(array) for name, array in windows.batch(rows).items()}


class TextNet(BaseNet):
    """A skorch net that reads :class:`LabelledWindows`.

    Parameters
    ----------
    module : nn.Module
        The model to train, in place.
    seed : int
        Decides the dropout of the next training.
    shuffling : numpy.random.Generator
        Decides the batches.
    objective : Objective
        What to lower.
    label_smoothing : float
        Share of each target spread over all classes.
    rate_of : callable
        See :class:`TextAdam`.
    **kwargs
        What :class:`BaseNet` takes.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        seed: int,
        shuffling: np.random.Generator,
        objective: Objective,
        label_smoothing: float,
        rate_of: Callable[[str], float],
        **kwargs: Any,
    ) -> None:
        self.seed = seed
        self.shuffling = shuffling
        self.objective = objective
        self.label_smoothing = label_smoothing
        self.rate_of = rate_of
        super().__init__(module, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        measures = ["loss"] + ["accuracy"] * (self.objective.accuracy is not None)
        return [
            ("epoch_timer", EpochTimer()),
            ("accuracy", BatchAccuracy()),
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

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> TextNet:
        """Set up the optimizer of the whole model."""
        self.optimizer_ = TextAdam(self.module_, self.lr, self.weight_decay, rate_of=self.rate_of)
        return self

    def get_iterator(self, dataset: LabelledWindows, training: bool = False) -> Batches:
        """Give the batches, shuffled for training."""
        random = self.shuffling if training else None
        return Batches(dataset, self.batch_size, random)

    def fit_loop(self, X: LabelledWindows, y: Any = None, **kwargs: Any) -> TextNet:
        """Train; on a CPU the encoders share out its cores.

        There each draws from a generator of its own, so that it does not matter which comes
        first, and torch's generator stays with others.
        """
        n_members = len(self.module_.members)
        drawing = torch.Generator().manual_seed(self.seed)
        seeds = torch.randint(2**62, (n_members,), generator=drawing).tolist()
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        if can_share_cores(self.module_):
            cores, of_torch = shared_cores(n_members), nullcontext()
        else:
            cores, of_torch = shared_cores(1), seeded(self.seed, torch.device(self.device))
        with of_torch, cores as self.map:
            self.optimizer_.map = self.map
            try:
                return super().fit_loop(X, y, **kwargs)
            finally:
                self.optimizer_.map = map

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        """Take each encoder forward and back, by itself."""
        self._set_training(True)
        inputs, target = to_tensor(batch, self.device)
        members = range(len(self.generators))
        outputs, losses = zip(
            *self.map(lambda k: self._learn(k, inputs, **target), members), strict=True
        )
        return {"loss": torch.stack(losses).sum(), "y_pred": torch.stack(outputs, dim=1)}

    def _learn(
        self, k: int, inputs: dict[str, Tensor], targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give the outputs of the k-th encoder and its share of the loss, and leave gradients.

        Weights are divided by the number of rows, not by the batch's sum of weights: in
        expectation a row of weight 2 then counts as two rows.
        """
        with drawing_from(self.generators[k]), mixed_precision(self.device, self.bfloat16):
            outputs = self.module_.outputs_of(k, **inputs).float()
        losses = self.objective.loss(outputs, targets, self.label_smoothing)
        n_members = len(self.generators)
        loss = (losses * weights.expand(-1, n_members)[:, k]).mean() / n_members
        loss.backward()
        return outputs.detach(), loss.detach()

    def get_loss(
        self, y_pred: Tensor, y_true: dict[str, Tensor], X: Any = None, training: bool = False
    ) -> Tensor:
        """Give the weighted mean of the losses of held-out rows, of what the encoders agree on."""
        target = to_tensor(y_true, y_pred.device)
        losses = self.objective.loss(y_pred.float().mean(dim=1), target["targets"], 0.0)
        return (losses * target["weights"][:, 0]).mean()


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
    rate_of: Callable[[str], float] = lambda name: 1.0,
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
        Called with the keyword arguments of :func:`tensors`; gives the outputs of each encoder,
        shape (batch, n_encoders, n_outputs).
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
    rate_of : callable, optional
        Maps a parameter's name to a factor on its learning rate.
    valid : LabelledWindows, optional
        Held-out documents; training stops when, after the first tenth of the epochs, their loss
        has not fallen for `n_iter_no_change` epochs, and the best weights come back.
    n_iter_no_change : int
        See `valid`.
    seed : int
        Decides batches and dropout.
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
    own: list[Callback] = [GradientClipping()]
    if max_epochs is None:
        own.append(StreamWarmup())
    else:
        rate = Rate(n_batches * max_epochs)
        own.append(LRScheduler(policy=LambdaLR, lr_lambda=rate, step_every="batch"))
    if valid is not None:
        stopping = StoppingAfterWarmup(
            monitor="valid_loss",
            patience=n_iter_no_change,
            threshold=0.0,
            load_best=True,
            sink=_silent,
        )
        own.append(stopping)
    if verbose:
        own.append(Progress())
    net = TextNet(
        model,
        seed=seed,
        shuffling=np.random.default_rng(seed),
        objective=objective,
        label_smoothing=label_smoothing,
        rate_of=rate_of,
        bfloat16=bfloat16,
        weight_decay=weight_decay,
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


def _silent(message: str) -> None:
    """Swallow what a callback would print."""
