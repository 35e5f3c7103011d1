"""Training throughput of FNetClassifier on ag_news, as a share of what this machine can do.

The peak is the best sustained float32 matrix product of several shapes, measured with the same
threads right before and after each fit; the higher of the two counts. The share is

    6 x dense weights x real tokens / seconds / peak

with the weights of the blocks' linear layers (and the output layer's, once a document). The
embeddings, the transform and [PAD] count as nothing; [CLS] and [SEP], places of a
document both, are real tokens. The seconds are those of
whole optimizer steps in FNetClassifier.fit: cutting the batch, forward, backward, clipping,
optimizer, bookkeeping; tokenizing and the first steps are left out. The seed is the repeat's
number.

A second, profiled fit after each says where the time goes (torch.profiler, which itself slows
small operations down, so its shares are for comparing parts only). An operation counts to the
module that it belongs to, in the backward pass too.

Writes throughput.{md,csv,png} under benchmarks/results. A row that the CSV holds is not
measured again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/throughput.py
  python benchmarks/throughput.py --depth 4 --width 256 --batch-size 128 --max-steps 100
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import (
    Rows,
    add_data_options,
    figure,
    load,
    make_parser,
    notes,
    start,
    table,
    write_report,
)
from skorch.callbacks import Callback
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from skfnet import FNetClassifier, TextTokenizer
from skfnet.batches import TokenArray

MODEL = ("depth", "width", "batch_size")  # parameters of FNetClassifier with an option each
WARM_UP_STEPS = 20
PROFILED_STEPS = 40
PEAK_SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (3072, 512, 2048), (4096, 128, 512))
PEAK_SECONDS = 0.7  # for each shape

# Modules by what they are to the breakdown; an operation belongs to the innermost.
SCOPES = {"Dropout": "dropout", "LayerNorm": "layer norm"}
# Operations by what they are to the breakdown, wherever they stand but in the transform.
OPERATIONS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear"),
    "activation": ("relu", "gelu", "gelu_backward", "threshold_backward", "clamp_min"),
    "embedding gradient": ("embedding_dense_backward",),
    "layer norm": ("native_layer_norm", "native_layer_norm_backward"),
}
GROUPS = (
    *("matrix products", "transform", "activation", "dropout", "layer norm"),
    *("embedding gradient", "optimizer", "batching", "rest"),
)
# What the report shows: heading, column of the CSV file, format.
COLUMNS = {
    "tokens/s": ("tokens_per_second", ",.0f"),
    "documents/s": ("documents_per_second", ",.0f"),
    "documents/step": ("documents_per_step", ".0f"),
    "ms/step": ("milliseconds_per_step", ".1f"),
    "[PAD]": ("padding", ".1%"),
    "Gflop/s": ("gflops", ".1f"),
    "peak Gflop/s": ("peak_gflops", ".1f"),
    "share of peak": ("share", ".2f"),
}


def peak_flops() -> float:
    """Give the best sustained rate of a float32 matrix product, in operations a second."""
    best = 0.0
    for m, k, n in PEAK_SHAPES:
        a, b, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        torch.mm(a, b, out=out)
        count, begin = 0, time.perf_counter()
        while (seconds := time.perf_counter() - begin) < PEAK_SECONDS:
            torch.mm(a, b, out=out)
            count += 1
        best = max(best, 2 * m * k * n * count / seconds)
    return best


class Enough(Exception):
    """Ends a fit when its steps have been timed."""


class Clock(Callback):
    """Takes the time of each step, counts its tokens, documents and places, and ends the fit."""

    def __init__(self, steps: int) -> None:
        self.last = WARM_UP_STEPS + steps
        self.begins: list[float] = []
        self.ends: list[float] = []
        self.sizes: list[tuple[int, int, int]] = []

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        (self.model,) = net.module_.members

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        self.begins.append(time.perf_counter())

    def on_batch_end(self, net: Any, batch: Any = None, **kwargs: Any) -> None:
        inputs = batch[0]
        lengths = inputs["lengths"]
        self.sizes.append((int(lengths.sum()), len(lengths), inputs["input_ids"].numel()))
        self.ends.append(time.perf_counter())
        if len(self.ends) == self.last:
            raise Enough

    def totals(self) -> dict[str, float]:
        """Sum up the steps after the warm-up; a step begins where the one before it ends."""
        first = WARM_UP_STEPS
        if len(self.ends) <= first:
            sys.exit(f"Only {len(self.ends)} steps, {first} of them to warm up: raise --limit.")
        tokens, documents, places = map(sum, zip(*self.sizes[first:], strict=True))
        waits = zip(self.begins[first:], self.ends[first - 1 :], strict=False)
        return {
            "steps": len(self.ends) - first,
            "seconds": self.ends[-1] - self.ends[first - 1],
            "batching": sum(begin - end for begin, end in waits),
            "tokens": tokens,
            "documents": documents,
            "places": places,
        }


def dense_weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def timed_fit(settings: dict[str, Any], tokens: TokenArray, labels: list[str]) -> dict[str, float]:
    before = peak_flops()
    clock = Clock(settings["max_steps"])
    fit(settings, tokens, labels, [clock])
    after = peak_flops()
    totals = clock.totals()
    per_token = dense_weights(clock.model.encoder.blocks)  # the embeddings' do not count
    per_document = dense_weights(clock.model) - dense_weights(clock.model.encoder)
    work = 6 * (per_token * totals["tokens"] + per_document * totals["documents"])
    flops = work / totals["seconds"]
    return {
        "tokens_per_second": totals["tokens"] / totals["seconds"],
        "documents_per_second": totals["documents"] / totals["seconds"],
        "documents_per_step": totals["documents"] / totals["steps"],
        "milliseconds_per_step": 1000 * totals["seconds"] / totals["steps"],
        "padding": 1 - totals["tokens"] / totals["places"],
        "gflops": flops / 1e9,
        "peak_before_gflops": before / 1e9,
        "peak_after_gflops": after / 1e9,
        "peak_gflops": max(before, after) / 1e9,
        "share": flops / max(before, after),
    }


def measure(data: Path, settings: dict[str, Any]) -> dict[str, float]:
    tokens, labels = tokenized(data, settings["limit"])
    return timed_fit(settings, tokens, labels) | breakdown(settings, tokens, labels)


@cache
def tokenized(data: Path, limit: int) -> tuple[TokenArray, list[str]]:
    """Give all training documents with the default vocabulary learned on all of them."""
    texts, labels, _, _ = load(data, "ag_news", "test", limit=limit)
    return TextTokenizer().fit_transform(texts), labels


def fit(
    settings: dict[str, Any], tokens: TokenArray, labels: list[str], callbacks: list[Callback]
) -> None:
    """Train on all documents, which decide defaults, until a Clock ends it."""
    model = FNetClassifier(
        depth=settings["depth"],
        width=settings["width"],
        n_encoders=1,
        batch_size=settings["batch_size"],
        random_state=settings["repeat"],
        device="cpu",
        callbacks=callbacks,
    )
    with suppress(Enough):
        model.fit(tokens, labels)


class Profiler(Callback):
    """Records the operations of the steps after the warm-up."""

    def __init__(self) -> None:
        self.steps = 0
        self.profile = profile(activities=[ProfilerActivity.CPU])

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        # skorch calls forward, backward and clipping from within the optimizer's step: what is
        # not inside train_step_single then is clipping, zeroing and the step itself.
        step = net.train_step_single

        def scoped_step(*args: Any, **kwargs: Any) -> Any:
            with record_function("scope: rest"):
                return step(*args, **kwargs)

        net.train_step_single = scoped_step
        for name, module in net.module_.named_modules():
            scope = "transform" if name.endswith(".mixer") else SCOPES.get(type(module).__name__)
            if scope:
                _scope_module(module, f"scope: {scope}")

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        self.steps += 1
        if self.steps == WARM_UP_STEPS:
            self.profile.start()


def _scope_module(module: nn.Module, name: str) -> None:
    """Let the profiler see where a module's operations begin and end."""
    for method in ("forward", "add_scaled"):  # the second is a mixer's that adds its input itself
        if hasattr(module, method):
            setattr(module, method, record_function(name)(getattr(module, method)))


def breakdown(settings: dict[str, Any], tokens: TokenArray, labels: list[str]) -> dict[str, float]:
    """Give each group's share of the time of the steps."""
    clock, profiler = Clock(PROFILED_STEPS), Profiler()
    fit(settings, tokens, labels, [profiler, clock])
    profiler.profile.stop()
    totals = clock.totals()
    seconds = Counter(batching=totals["batching"])
    events = profiler.profile.events()
    made_by = _makers(events)
    for event in events:
        seconds[_group(event, made_by)] += event.self_cpu_time_total / 1e6
    shares = {g: seconds[g] / totals["seconds"] for g in GROUPS if g != "rest"}
    shares["rest"] = 1 - sum(shares.values())
    return {_column(group): share for group, share in shares.items()}


def _column(group: str) -> str:
    return "part_" + group.replace(" ", "_")


def _makers(events: list[FunctionEvent]) -> dict[int, FunctionEvent]:
    """Give the forward operation behind each sequence number of the autograd graph.

    Operations without a gradient carry the number of the next one that has one, so the last
    operation with a number is the one that made the node.
    """
    forward = [
        event
        for event in events
        if event.sequence_nr >= 0 and not any(map(_is_backward, _lineage(event)))
    ]
    return {e.sequence_nr: e for e in sorted(forward, key=lambda e: e.time_range.start)}


def _is_backward(event: FunctionEvent) -> bool:
    return event.name.startswith("autograd::engine")


def _lineage(event: FunctionEvent | None) -> Iterator[FunctionEvent]:
    """Give an event, what called it, and so on."""
    while event is not None:
        yield event
        event = event.cpu_parent


def _group(event: FunctionEvent, made_by: dict[int, FunctionEvent]) -> str:
    scope = _scope(event, made_by)
    if scope in ("transform", "optimizer"):
        return scope
    for ancestor in _lineage(event):
        operation = ancestor.name.removeprefix("aten::")
        for group, names in OPERATIONS.items():
            if operation in names:
                return group
    return scope


def _scope(event: FunctionEvent, made_by: dict[int, FunctionEvent]) -> str:
    """Give the innermost scope around an event, or around what it is the gradient of."""
    for ancestor in _lineage(event):
        if ancestor.name.startswith("scope: "):
            return ancestor.name.removeprefix("scope: ")
        if ancestor.name.startswith("Optimizer."):  # torch's own name for step and zero_grad
            return "optimizer"
        if _is_backward(ancestor) and ancestor.sequence_nr in made_by:
            return _scope(made_by[ancestor.sequence_nr], {})
    return "rest"


def report(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Give the medians over the repeats of each model, by its label."""
    models: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=itemgetter("depth", "width", "documents_per_step")):
        label = "depth {depth}, width {width}, batch {batch_size}".format(**row)
        models.setdefault(label, []).append(row)
    return {
        label: {
            key: median(row[key] for row in found)
            for key, value in found[0].items()
            if isinstance(value, int | float)
        }
        | {"shares": " ".join(f"{row['share']:.2f}" for row in found)}
        for label, found in models.items()
    }


def speeds(models: dict[str, dict[str, Any]]) -> str:
    lines = (
        [label, *(f"{row[key]:{form}}" for key, form in COLUMNS.values()), row["shares"]]
        for label, row in models.items()
    )
    return table(["model", *COLUMNS, "each repeat"], lines)


def parts(models: dict[str, dict[str, Any]]) -> str:
    lines = ([label, *(f"{row[_column(g)]:.1%}" for g in GROUPS)] for label, row in models.items())
    return table(["model", *GROUPS], lines)


def plot(models: dict[str, dict[str, Any]], path: Path) -> None:
    made, (ax,) = figure(1, 1.5 + 0.5 * len(models))
    made.set_size_inches(9, made.get_figheight() + 0.6)
    left = [0.0] * len(models)
    for i, group in enumerate(GROUPS):
        shares = [row[_column(group)] for row in models.values()]
        color = "lightgrey" if group == "rest" else f"C{i}"
        ax.barh(list(models), shares, left=left, label=group, color=color, height=0.6)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    ax.set(xlabel="share of a training step (profiled)", xlim=(0, 1))
    ax.invert_yaxis()
    made.legend(loc="outside lower center", ncols=5)
    made.savefig(path, dpi=150)


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    add = parser.add_argument
    for name in MODEL:
        option = "--" + name.replace("_", "-")
        add(option, type=int, metavar="N", help="default: FNetClassifier's")
    add("--max-steps", type=int, default=300, metavar="N", help="steps timed")
    add("--repeats", type=int, default=5, metavar="N")
    args = start(parser)
    torch.set_num_threads(args.threads)
    defaults = FNetClassifier().get_params()
    given = {name: getattr(args, name) for name in MODEL}
    model = {name: defaults[name] if value is None else value for name, value in given.items()}
    fixed = {name: getattr(args, name) for name in ("max_steps", "threads", "limit")}

    rows = Rows(args.results / "throughput.csv", again=args.again)
    for repeat in range(args.repeats):
        settings = {**model, **fixed, "repeat": repeat}
        rows.get(settings, measure, args.data, settings)
    models = report(rows.matching(fixed))
    write_report(
        args.results / "throughput.md",
        "Training throughput on ag_news",
        rows.machine,
        f"Medians over repeats. Threads: {args.threads}. The peak is the best sustained float32 "
        "matrix product around each fit; the share counts 6 x dense weights x real tokens.",
        speeds(models),
        "Where the time of a step goes, under the profiler:",
        parts(models),
        notes(["ag_news"]),
    )
    plot(models, args.results / "throughput.png")


if __name__ == "__main__":
    main()
