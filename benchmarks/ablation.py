"""What each ingredient of FNetClassifier's defaults is worth: one left out at a time.

Each model is fitted on 85 % of a training file and scored on the rest (stratified; never on a test
file), in a process of its own. Everything but the ingredient is the default. Seeds 0, 1, ... decide
the order of the training documents and everything random.

Writes ablation.{md,csv,png} under benchmarks/results. A row that the CSV holds is not measured
again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/ablation.py --jobs 2 --threads 1
  python benchmarks/ablation.py --sets trec6 --without mixing,ensemble --seeds 1
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

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

SETS = ("trec6", "mr", "sst2_sent", "banking77", "r8", "sib200_20langs")
# What changes in the estimator's parameters, and what in its EncoderConfig.
WITHOUT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "nothing": ("nothing left out", {}, {}),
    "mixing": ('no mixing: mixer="none"', {"mixer": "none"}, {}),
    "frames": ('mixing of the paper: mixer="fourier"', {"mixer": "fourier"}, {}),
    "bigrams": ("no pairs of words, and no triples", {}, {"bigram_buckets": 0}),
    "subwords": ("no character n-grams", {}, {}),
    "positions": ("no positions", {}, {"positions": "none"}),
    "targets": ("nothing told of the targets of words", {"target_encoding": False}, {}),
    "ensemble": ("one encoder for four", {"n_encoders": 1}, {}),
    "blocks": ("no blocks: depth=0", {"depth": 0}, {}),
    "dropout": ("no dropout, of units, pairs and n-grams", {"dropout": 0.0}, {}),
    "smoothing": ("no label smoothing", {"label_smoothing": 0.0}, {}),
    "decay": ("no weight decay", {"weight_decay": 0.0}, {}),
}


def measure(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    import numpy as np
    import torch
    from sklearn.metrics import log_loss

    from skfnet import FNetClassifier, TextTokenizer
    from skfnet.nn import EncoderConfig

    _, parameters, changes = WITHOUT[settings["without"]]

    class Changed(FNetClassifier):
        def _config(self, *args: Any) -> EncoderConfig:
            return replace(super()._config(*args), **changes)

    class Unspelled(TextTokenizer):
        def _spelled(self) -> None:
            """Leave words outside the vocabulary [UNK]."""

    torch.set_num_threads(settings["threads"])
    if settings["without"] == "subwords":
        parameters = {"tokenizer": Unspelled()}
    texts, labels, others, expected = load(
        folder, settings["set"], "validation", seed=settings["seed"], limit=settings["limit"]
    )
    clf = Changed(random_state=settings["seed"], device="cpu", **parameters)
    begin = time.perf_counter()
    clf.fit(texts, labels)
    seconds = time.perf_counter() - begin
    probabilities = clf.predict_proba(others).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = clf.classes_[probabilities.argmax(axis=1)]
    return {
        "accuracy": float((predicted == np.array(expected)).mean()),
        "log_loss": float(log_loss(expected, probabilities, labels=clf.classes_)),
        "fit_seconds": seconds,
    }


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    add = parser.add_argument
    add("--sets", type=names_of(SETS), default=list(SETS), metavar="NAMES")
    add("--without", type=names_of(WITHOUT), default=list(WITHOUT), metavar="NAMES")
    add("--seeds", type=int, default=2, metavar="N")
    add_jobs(parser)
    args = start(parser)
    rows = Rows(args.results / "ablation.csv", again=args.again)
    common = {"threads": args.threads, "jobs": args.jobs, "limit": args.limit}
    wanted = [
        {"set": name, "without": without, "seed": seed, **common}
        for seed in range(args.seeds)
        for name in args.sets
        for without in dict.fromkeys(["nothing", *args.without])
    ]
    rows.get_all(wanted, args.jobs, measure, args.data)
    report(args, rows, common)


def report(args: Any, rows: Rows, common: dict[str, Any]) -> None:
    def values(name: str, without: str, column: str) -> list[float]:
        found = rows.matching({"set": name, "without": without, **common})
        return [row[column] for row in found if row["seed"] < args.seeds]

    def over_sets(without: str, column: str) -> float:
        return mean(mean(values(name, without, column)) for name in args.sets)

    chosen = list(dict.fromkeys(["nothing", *args.without]))
    difference = {w: over_sets(w, "accuracy") - over_sets("nothing", "accuracy") for w in chosen}
    header = ["left out", *args.sets, "mean", "difference", "log-loss", "seconds to fit"]
    lines = [
        [WITHOUT[w][0], *(mean_sd(values(name, w, "accuracy")) for name in args.sets)]
        + [f"{over_sets(w, 'accuracy'):.3f}", f"{difference[w]:+.3f}"]
        + [f"{over_sets(w, 'log_loss'):.3f}", f"{over_sets(w, 'fit_seconds'):.1f}"]
        for w in chosen
    ]
    write_report(
        args.results / "ablation.md",
        "What each ingredient is worth",
        rows.machine,
        f"Accuracy on held-out documents of the training files, mean ± standard deviation over "
        f"{args.seeds} seed(s); the last four columns are means over the sets. {args.jobs} fit(s) "
        f"at once with {args.threads} thread(s) each.",
        table(header, lines),
        notes(args.sets),
    )
    made, (ax,) = figure(1, 1 + 0.35 * len(chosen))
    shown = chosen[1:]
    ax.barh([WITHOUT[w][0] for w in shown], [100 * difference[w] for w in shown])
    ax.invert_yaxis()
    ax.set(xlabel="mean accuracy, difference in points")
    made.savefig(args.results / "ablation.png", dpi=150)


if __name__ == "__main__":
    main()
