"""Pretraining as a run of steps: each of them is decided by the seed and its number alone.

So a run that was interrupted needs no state of any random generator to go on as if it had not
been: which batch comes next, what is hidden in it and what dropout leaves out follow from where
the run stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.nn import functional as F

from .batches import by_length, shuffled_by_length
from .callbacks import GradientClipping, Progress, Rate, stream_rate
from .devices import mixed_precision, reseed
from .masking import PretrainingRows, no_target
from .nets import BaseNet
from .optimizer import TextAdam

__all__ = ["PretrainingNet", "Run", "make_pretraining_net", "measure", "n_steps_of"]

_USES = ("order", "batch", "held_out", "dropout")  # of random numbers
# The output layer shares the words' weights, so that most of their rows have a gradient.
_TABLES = ("bigrams", "subwords")

Sums = dict[str, list[float]]  # of an objective: losses, right answers, answers


@dataclass
class Run:
    """How far a run has come: with weights and optimizer, all that decides its next step.

    It is plain data, ready for JSON.

    Attributes
    ----------
    seed : int
        Decides all that is random.
    step, epoch, in_epoch : int
        Steps taken, passes ended, and steps taken in the pass that goes on.
    seconds : float
        Time spent on this pass.
    sums : dict of list of float
        Losses and right answers of this pass.
    history : list of dict
        What was measured in each pass that has ended.
    finished : bool
        Whether the run has come to its end.
    """

    seed: int
    step: int = 0
    epoch: int = 0
    in_epoch: int = 0
    seconds: float = 0.0
    sums: Sums = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False

    def random(self, use: str, number: int) -> np.random.Generator:
        """Give the generator for one use: the order of a pass, the content of a batch."""
        return np.random.default_rng([self.seed, _USES.index(use), number])

    def end_pass(self, held_out: Sums) -> dict[str, float]:
        """Write down what this pass has given, and begin the next."""
        row: dict[str, float] = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "seconds": self.seconds,
            **measures_of(self.sums, "train_"),
            **measures_of(held_out, "valid_"),
        }
        self.history.append(row)
        self.epoch, self.in_epoch, self.seconds, self.sums = self.epoch + 1, 0, 0.0, {}
        return row


def measures_of(sums: Sums, prefix: str = "") -> dict[str, float]:
    """Give mean loss and accuracy of each objective, and the sum of the losses."""
    measures = {}
    for name, (loss, right, n) in sums.items():
        measures[f"{prefix}{name}_loss"] = loss / n if n else math.nan
        measures[f"{prefix}{name}_accuracy"] = right / n if n else math.nan
    losses = [value for name, value in measures.items() if name.endswith("_loss")]
    return ({f"{prefix}loss": math.fsum(losses)} if losses else {}) | measures


def loss_of(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], sums: Sums) -> Tensor:
    """Add up the objectives' mean cross-entropies, and add what they are made of to `sums`."""
    means = []
    for name, answers in targets.items():
        logits = outputs[name].float()
        answers = answers.to(logits.device)
        loss = F.cross_entropy(logits, answers, ignore_index=no_target, reduction="sum")
        n = int((answers != no_target).sum())
        right = int((logits.argmax(dim=1) == answers).sum())
        before = sums.get(name, [0.0, 0, 0])
        sums[name] = [a + b for a, b in zip(before, (loss.item(), right, n), strict=True)]
        means.append(loss / max(n, 1))
    return torch.stack(means).sum()


class TrainingBatches:
    """The batches of a pass that the run has not yet seen, shuffled."""

    def __init__(
        self, data: PretrainingRows, batch_size: int, run: Run, n_steps: int | None
    ) -> None:
        self.data, self.batch_size, self.run, self.n_steps = data, batch_size, run, n_steps

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        run = self.run
        order = shuffled_by_length(
            self.data.windows.lengths, self.batch_size, run.random("order", run.epoch)
        )
        for rows in order[run.in_epoch :]:
            if run.step == self.n_steps:
                return
            yield self.data.batch(rows, run.random("batch", run.step))


class HeldOutBatches:
    """Batches by length, with the same tokens hidden at every pass."""

    def __init__(self, data: PretrainingRows, batch_size: int, run: Run) -> None:
        self.data, self.batch_size, self.run = data, batch_size, run

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for number, rows in enumerate(by_length(self.data.windows.lengths, self.batch_size)):
            yield self.data.batch(rows, self.run.random("held_out", number))


def measure(
    model: nn.Module,
    data: PretrainingRows,
    *,
    batch_size: int,
    device: torch.device,
    bfloat16: bool,
) -> dict[str, float]:
    """Measure a model on text: mean loss and accuracy of each objective.

    What is hidden is the same at each call for the same text.
    """
    sums: Sums = {}
    for inputs, targets in HeldOutBatches(data, batch_size, Run(seed=0)):
        # Made outside inference mode, see run_windows.
        inputs = {name: t.to(device) for name, t in inputs.items()}
        with torch.inference_mode(), mixed_precision(device, bfloat16):
            loss_of(model(**inputs), targets, sums)
    return measures_of(sums)


class PretrainingNet(BaseNet):
    """A skorch net that reads :class:`PretrainingRows` and takes its steps from a :class:`Run`.

    Parameters
    ----------
    module : PretrainingModel
        The model to train, in place.
    run : Run
        Where to begin, and what is moved on.
    rate : callable
        Maps the number of a step to a factor on the learning rate.
    n_steps : int or None
        The step to end at.
    **kwargs
        What :class:`BaseNet` takes.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        run: Run,
        rate: Callable[[int], float],
        n_steps: int | None,
        **kwargs: Any,
    ) -> None:
        self.run = run
        self.rate = rate
        self.n_steps = n_steps
        self.held_out: Sums = {}
        super().__init__(module, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("measures", Measures())]

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> PretrainingNet:
        """Set up the optimizer of the whole model."""
        self.optimizer_ = TextAdam(self.module_, self.lr, self.weight_decay, _TABLES)
        return self

    def initialize_history(self) -> PretrainingNet:
        """Begin with what the run has measured so far."""
        super().initialize_history()
        for row in self.run.history:
            self.history.new_epoch()
            for name, value in row.items():
                self.history.record(name, value)
        return self

    def get_iterator(self, dataset: PretrainingRows, training: bool = False) -> Any:
        """Give the batches of one pass."""
        if training:
            return TrainingBatches(dataset, self.batch_size, self.run, self.n_steps)
        return HeldOutBatches(dataset, self.batch_size, self.run)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take a step, decided by its number."""
        number = self.run.step
        self.optimizer_.set_rate(self.lr * self.rate(number))
        seed = int(self.run.random("dropout", number).integers(2**63))
        reseed(seed, torch.device(self.device))
        step = super().train_step(batch, **fit_params)
        self.run.step += 1
        self.run.in_epoch += 1
        return step

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Give the sum of the objectives' mean losses."""
        return loss_of(y_pred, y_true, self.run.sums if training else self.held_out)


class Measures(Callback):
    """Writes down what each pass has given."""

    def on_epoch_begin(self, net: PretrainingNet, **kwargs: Any) -> None:
        self.begun_ = time.monotonic() - net.run.seconds
        net.held_out = {}

    def on_batch_end(self, net: PretrainingNet, training: bool = False, **kwargs: Any) -> None:
        net.run.seconds = time.monotonic() - self.begun_

    def on_epoch_end(self, net: PretrainingNet, **kwargs: Any) -> None:
        for name, value in net.run.end_pass(net.held_out).items():
            net.history.record(name, value)


class PretrainingProgress(Progress):
    """One tqdm bar over all steps, with the losses and accuracies of the pass that goes on."""

    def on_train_begin(self, net: PretrainingNet, X: Any = None, **kwargs: Any) -> None:
        from tqdm.auto import tqdm

        total = net.n_steps
        if total is None:
            total = net.run.step + -(-len(X) // net.batch_size)
        self.bar_ = tqdm(total=total, initial=net.run.step, desc="pretrain", unit="step")

    def on_batch_end(self, net: PretrainingNet, training: bool = False, **kwargs: Any) -> None:
        if training:
            self._show(measures_of(net.run.sums))
            self.bar_.update()

    def on_epoch_end(self, net: PretrainingNet, **kwargs: Any) -> None:
        row = net.run.history[-1]
        self._show({name: row[name] for name in row if name not in ("epoch", "step", "seconds")})

    def _show(self, measures: Mapping[str, float]) -> None:
        shown = {name.replace("_", " "): f"{value:.3f}" for name, value in measures.items()}
        self.bar_.set_postfix(refresh=False, **shown)


def n_steps_of(n_rows: int, batch_size: int, max_epochs: int, max_steps: int | None) -> int:
    """Give the number of steps: so many passes, or as many as are asked for."""
    return max_epochs * -(-n_rows // batch_size) if max_steps is None else max_steps


def make_pretraining_net(
    model: nn.Module,
    run: Run,
    *,
    n_steps: int | None,
    n_passes: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    valid: PretrainingRows | None = None,
    device: torch.device,
    bfloat16: bool,
    callbacks: Sequence[Callback] = (),
    verbose: bool = False,
) -> PretrainingNet:
    """Build the net that trains `model` in place, from where `run` stands.

    Parameters
    ----------
    model : PretrainingModel
        What to train.
    run : Run
        Where to begin.
    n_steps : int or None
        The rate rises over the first tenth of these steps and falls to 0 at the last one, which
        ends the training. None is a stream without an end: the rate rises and stays.
    n_passes : int
        Passes over the data that are left.
    batch_size : int
        Windows in a batch.
    learning_rate : float
        The rate at its peak.
    weight_decay : float
        Decoupled, on the matrices of the dense layers alone.
    valid : PretrainingRows, optional
        Held-out text, measured after each pass.
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
    PretrainingNet
        Initialized.
    """
    own: list[Callback] = [GradientClipping()]
    if verbose:
        own.append(PretrainingProgress())
    net = PretrainingNet(
        model,
        run=run,
        rate=stream_rate if n_steps is None else Rate(n_steps),
        n_steps=n_steps,
        weight_decay=weight_decay,
        bfloat16=bfloat16,
        lr=learning_rate,
        max_epochs=n_passes,
        batch_size=batch_size,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=[*own, *callbacks],
        device=str(device),
        verbose=0,
    )
    return net.initialize()
