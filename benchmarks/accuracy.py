"""Accuracy, probabilities and speed of FNetClassifier with default parameters, beside its peers.

Each model is fitted on the training file of each data set and scored on the official test file, in
a process of its own, all with the same number of threads, one after the other or several at once
(--jobs). Texts and labels come from ../shared/data (--data). FNetClassifier has its default
parameters, the same for every set; --params changes some. Three more columns have another mixer and
are the same otherwise. The peers' C, or number of epochs, is chosen by cross-validation on the
training file.

Seeds 0, 1, ... decide the order of the training documents and everything random. The default
FNetClassifier is fitted with all of them, and so is that with mixer="none"; the others with seed 0
alone. What mixing is worth is shown by the means over those sets of which both have all seeds.

The seconds to fit are from raw texts to the fitted model, tokenizing included, imports and the
search for a peer's C left out; likewise for prediction. The expected calibration error has 15 bins
of equal width of the likeliest label's probability. LinearSVC gives no probabilities.

Writes accuracy.{md,csv,png} under benchmarks/results, or validation.* with --validation; with
--limit its number is added to the name. A row that the CSV holds is not measured again, whatever
has changed in the code: use --again.

For instance:
  python benchmarks/accuracy.py --jobs 2 --threads 1
  python benchmarks/accuracy.py --validation --limit 500
  python benchmarks/accuracy.py --sets trec6,r8 --models fnet --validation
  python benchmarks/accuracy.py --validation --models fnet --params '{"depth": 4}'
"""

from __future__ import annotations

import json
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from common import (
    Rows,
    add_data_options,
    add_jobs,
    figure,
    load,
    make_parser,
    mean_sd,
    names_of,
    notes,
    start,
    table,
    write_report,
)
from peers import MODELS, OURS, PEERS

SETS = (
    *("ag_news", "sst2_sent", "trec6", "mr", "r8", "sms_spam", "banking77", "20ng_stripped"),
    *("hate_offensive", "sib200_20langs", "imdb"),
)

SEEDED = ("fnet", "none")  # fitted with all seeds


def measure(data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit and score one model on one set."""
    texts, labels, held_out, truth = load(
        data, settings["set"], settings["part"], seed=settings["seed"], limit=settings["limit"]
    )
    build, others = MODELS[settings["model"]].build, json.loads(settings["params"])
    with tempfile.TemporaryDirectory() as folder:
        # What it needs is imported here.
        model = build(settings["seed"], settings["threads"], folder, others)
        begin = time.perf_counter()
        model.fit(texts, labels)
        seconds = getattr(model, "refit_time_", time.perf_counter() - begin)
        passes = []
        while sum(passes) < 1:  # the first pass over a small set is mostly warming up
            begin = time.perf_counter()
            predicted = model.predict(held_out)
            passes.append(time.perf_counter() - begin)
    chosen = getattr(model, "best_params_", {})
    return {
        "n_train": len(texts),
        "n_scored": len(held_out),
        "chosen": " ".join(f"{k.split('__')[-1]}={v}" for k, v in chosen.items()),
        "fit_seconds": seconds,
        "documents_per_second": len(held_out) / median(passes),
        **scores(model, held_out, np.array(truth), predicted),
    }


def scores(model: Any, texts: list[str], truth: np.ndarray, predicted: Any) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    found = {
        "accuracy": accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, average="macro"),
    }
    if hasattr(model, "predict_proba"):
        probabilities = np.asarray(model.predict_proba(texts), dtype=np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        found["log_loss"] = log_loss(truth, probabilities, labels=model.classes_)
        right = model.classes_[probabilities.argmax(axis=1)] == truth
        found["ece"] = expected_calibration_error(probabilities.max(axis=1), right)
    return {name: float(value) for name, value in found.items()}


def expected_calibration_error(
    confidence: np.ndarray, right: np.ndarray, n_bins: int = 15
) -> float:
    """Give the mean distance of confidence and accuracy, bin by bin of equal width."""
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    difference = np.bincount(bins, confidence - right, minlength=n_bins)
    return float(np.abs(difference).sum() / len(right))


def measure_all(args: Namespace, rows: Rows, fixed: dict[str, Any]) -> None:
    """Measure what is not yet known: all models with seed 0 first, then those in SEEDED."""
    wanted = [
        {"set": name, "model": model, "seed": seed, **fixed}
        | {"params": args.params if model in OURS else "{}"}
        for seed in range(args.seeds)
        for model in args.models
        for name in args.sets
        if seed == 0 or model in SEEDED
    ]
    rows.get_all(wanted, args.jobs, measure, args.data)


Results = dict[str, dict[str, list[dict[str, Any]]]]


def collect(rows: Rows, fixed: dict[str, Any], args: Namespace) -> Results:
    """Give the rows of each set and model, those of earlier runs included."""
    results: Results = {}
    for name in SETS:
        of_set = {}
        for model in MODELS:
            of = {"set": name, "model": model, "params": args.params if model in OURS else "{}"}
            found = rows.matching({**of, **fixed})
            of_set[model] = [row for row in found if row["seed"] < args.seeds]
        if any(of_set.values()):
            results[name] = of_set
    return results


def values_of(found: list[dict[str, Any]], column: str) -> list[float]:
    return [row[column] for row in found if isinstance(row.get(column), float | int)]


def by_set(results: Results, column: str, models: list[str], *, highest: bool = True) -> str:
    """Give a table of one column: a row a set, and the means of the models that have all sets."""
    header = ["set", *(MODELS[model].label for model in models), "best peer", "difference"]
    lines: list[list[str]] = []
    means: dict[str, list[float]] = {model: [] for model in models}
    for name, of_set in results.items():
        values = {model: values_of(of_set[model], column) for model in models}
        line = [name, *(mean_sd(found) if found else "" for found in values.values())]
        for model, found in values.items():
            means[model] += [mean(found)] if found else []
        peers = {m: mean(found) for m, found in values.items() if m in PEERS and found}
        if values["fnet"] and peers:
            best = (max if highest else min)(peers, key=peers.get)
            line += [MODELS[best].label, f"{mean(values['fnet']) - peers[best]:+.3f}"]
        lines.append(line + [""] * (len(header) - len(line)))
    over = {model: mean(found) for model, found in means.items() if len(found) == len(results)}
    peers = {model: value for model, value in over.items() if model in PEERS}
    if len(results) > 1 and "fnet" in over and peers:
        best = (max if highest else min)(peers, key=peers.get)
        line = [f"mean of {len(results)}"]
        line += [f"{over[model]:.3f}" if model in over else "" for model in models]
        lines.append([*line, MODELS[best].label, f"{over['fnet'] - peers[best]:+.3f}"])
    return table(header, lines)


def by_seed(results: Results, n_seeds: int) -> list[str]:
    """Give the mean accuracy over the sets that have all seeds, if any: a row a mixer.

    Of some mixers there is the first seed alone.
    """
    complete = [
        of_set
        for of_set in results.values()
        if all(len(values_of(of_set[model], "accuracy")) == n_seeds for model in SEEDED)
    ]
    if not complete:
        return []
    lines = []
    for model in OURS:
        found = [row for of_set in complete for row in of_set[model]]
        of_seeds = [[r["accuracy"] for r in found if r["seed"] == k] for k in range(n_seeds)]
        means = [mean(values) for values in of_seeds if len(values) == len(complete)]
        over = [mean(means)] if len(means) == n_seeds else []
        over += [stdev(means)] if over and n_seeds > 1 else []
        line = [MODELS[model].label, str(len(complete)), *(f"{value:.4f}" for value in means)]
        line += [""] * (n_seeds - len(means)) + [f"{value:.4f}" for value in over]
        if means:
            lines.append(line + [""] * (n_seeds + 4 - len(line)))
    header = ["model", "sets", *(f"seed {k}" for k in range(n_seeds)), "mean", "deviation"]
    title = "What mixing is worth: mean accuracy over the sets of which all seeds are measured:"
    return [title, table(header, lines)]


def speeds(results: Results) -> str:
    header = ["set", "documents trained / scored"]
    header += [f"{model.label}: fit s; documents/s" for model in MODELS.values()]
    lines = []
    for name, of_set in results.items():
        sizes = next(found[0] for found in of_set.values() if found)
        line = [name, f"{sizes['n_train']:,} / {sizes['n_scored']:,}"]
        for found in of_set.values():
            seconds = [row["fit_seconds"] for row in found]
            rate = [row["documents_per_second"] for row in found]
            line.append(f"{median(seconds):.2f}; {median(rate):,.0f}" if found else "")
        lines.append(line)
    return table(header, lines)


def plot(results: Results, path: Path) -> None:
    made, (left, right) = figure(2, 1.5 + 0.45 * len(results))
    for model, marker in zip(MODELS, "o*+xsv^Dd", strict=True):
        for ax, column in ((left, "accuracy"), (right, "fit_seconds")):
            found = {
                name: values_of(of_set[model], column)
                for name, of_set in results.items()
                if of_set[model]
            }
            spread = [stdev(v) if len(v) > 1 else 0 for v in found.values()]
            ax.errorbar(
                [mean(v) for v in found.values()],
                list(found),
                xerr=spread,
                fmt=marker,
                label=MODELS[model].label,
                zorder=3 if model == "fnet" else 2,
            )
    left.set_xlabel("accuracy")
    right.set(xlabel="seconds to fit", xscale="log", yticklabels=[])
    for ax in (left, right):
        ax.set_ylim(len(results) - 0.5, -0.5)
    made.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    made.savefig(path, dpi=150)


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    parser.add_argument("--sets", type=names_of(SETS), default=SETS, help=",".join(SETS))
    parser.add_argument(
        "--models", type=names_of(MODELS), default=list(MODELS), help=",".join(MODELS)
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1")
    add_jobs(parser)
    parser.add_argument("--params", default="{}", metavar="JSON", help="FNetClassifier parameters")
    parser.add_argument(
        "--validation",
        action="store_true",
        help="score on a stratified 15 %% of the training file: for choosing parameters",
    )
    args = start(parser)
    try:
        args.params = json.dumps(json.loads(args.params), sort_keys=True)
    except json.JSONDecodeError as error:
        parser.error(f"--params is not JSON: {error}")

    name = "validation" if args.validation else "accuracy"
    name += f"_{args.limit}" if args.limit else ""
    fixed = {
        "part": "validation" if args.validation else "test",
        "threads": args.threads,
        "jobs": args.jobs,
        "limit": args.limit,
    }
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    measure_all(args, rows, fixed)
    results = collect(rows, fixed, args)
    scored = "15 % of the training file" if args.validation else "the official test file"
    likely = [model for model in MODELS if model not in ("svc", "chars")]
    write_report(
        args.results / f"{name}.md",
        f"Accuracy, scored on {scored}",
        rows.machine,
        f"FNetClassifier: mean ± standard deviation over {args.seeds} seed(s), parameters "
        f"{'default' if args.params == '{}' else args.params}. {args.jobs} fit(s) at once with "
        f"{args.threads} thread(s) each. "
        + (f"At most {args.limit} documents to train on and to score. " if args.limit else "")
        + "Accuracy:",
        by_set(results, "accuracy", list(MODELS)),
        *by_seed(results, args.seeds),
        "Macro-averaged F1:",
        by_set(results, "macro_f1", list(MODELS)),
        "Log-loss of the probabilities:",
        by_set(results, "log_loss", likely, highest=False),
        "Expected calibration error, 15 bins:",
        by_set(results, "ece", likely, highest=False),
        "Medians of the seconds to fit, from raw texts, and of the documents predicted a second:",
        speeds(results),
        notes(results),
    )
    plot(results, args.results / f"{name}.png")


if __name__ == "__main__":
    main()
