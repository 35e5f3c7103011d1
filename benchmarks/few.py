"""Few documents: accuracy from 5 to 50 documents a class, beside the peers.

The documents are drawn from 85 % of a training file, the same number of each class, anew for each
seed, and scored on the rest (stratified; never on a test file). FNetClassifier has its default
parameters; the peers are those of accuracy.py, with their C, or number of epochs, chosen by
cross-validation on the same few documents.

Writes few.{md,csv,png} under benchmarks/results. A row that the CSV holds is not measured again,
whatever has changed in the code: use --again.

For instance:
  python benchmarks/few.py --jobs 2 --threads 1
  python benchmarks/few.py --sets ag_news --models fnet,lr --seeds 1
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from accuracy import SETS
from common import (
    Rows,
    add_data_folder,
    add_jobs,
    figure,
    load,
    make_parser,
    mean_sd,
    names_of,
    start,
    table,
    write_report,
)
from peers import MODELS

SIZES = (5, 10, 20, 50)
OF_ACCURACY = ("fnet", "lr", "svc", "chars", "fasttext2")
N_SCORED = 2000


def measure(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    texts, labels, others, expected = load(
        folder, settings["set"], "validation", seed=settings["seed"]
    )
    y = np.array(labels)
    rows = np.concatenate(
        [np.flatnonzero(y == name)[: settings["per_class"]] for name in np.unique(y)]
    )
    rows = np.random.default_rng(settings["seed"]).permutation(rows)
    others, expected = others[:N_SCORED], np.array(expected[:N_SCORED])
    with tempfile.TemporaryDirectory() as cache:
        build = MODELS[settings["model"]].build
        model = build(settings["seed"], settings["threads"], cache, {})
        begin = time.perf_counter()
        model.fit([texts[i] for i in rows], y[rows].tolist())
        seconds = getattr(model, "refit_time_", time.perf_counter() - begin)
        return {
            "n_train": len(rows),
            "accuracy": float((np.array(model.predict(others)) == expected).mean()),
            "fit_seconds": seconds,
        }


def main() -> None:
    parser = make_parser(__doc__)
    add_data_folder(parser)
    add = parser.add_argument
    add("--sets", type=names_of(SETS), default=["banking77", "ag_news"], metavar="NAMES")
    add("--models", type=names_of(OF_ACCURACY), default=list(OF_ACCURACY), metavar="NAMES")
    add("--seeds", type=int, default=3, metavar="N")
    add_jobs(parser)
    args = start(parser)
    rows = Rows(args.results / "few.csv", again=args.again)
    common = {"threads": args.threads, "jobs": args.jobs}
    wanted = [
        {"set": name, "per_class": size, "model": model, "seed": seed, **common}
        for seed in range(args.seeds)
        for name in args.sets
        for size in SIZES
        for model in args.models
    ]
    rows.get_all(wanted, args.jobs, measure, args.data)
    report(args, rows, common)


def report(args: Any, rows: Rows, common: dict[str, Any]) -> None:
    def values(name: str, size: int, model: str) -> list[float]:
        of = {"set": name, "per_class": size, "model": model, **common}
        return [row["accuracy"] for row in rows.matching(of) if row["seed"] < args.seeds]

    lines = [
        [name, size, *(mean_sd(values(name, size, model)) for model in args.models)]
        for name in args.sets
        for size in SIZES
    ]
    header = ["set", "documents a class", *(MODELS[model].label for model in args.models)]
    write_report(
        args.results / "few.md",
        "Few documents",
        rows.machine,
        f"Accuracy on {N_SCORED:,} held-out documents, or all there are, mean ± standard deviation "
        f"over {args.seeds} draw(s); {args.jobs} fit(s) at once with {args.threads} thread(s) "
        "each.",
        table(header, lines),
    )
    made, axes = figure(len(args.sets), 3.5)
    for ax, name in zip(axes, args.sets, strict=True):
        for model in args.models:
            ax.plot(
                SIZES,
                [mean(values(name, size, model)) for size in SIZES],
                marker="o",
                label=MODELS[model].label,
            )
        ax.set(title=name, xlabel="documents a class", ylabel="accuracy", xscale="log")
        ax.set_xticks(SIZES, map(str, SIZES))
        ax.minorticks_off()
    axes[0].legend(fontsize=7)
    made.savefig(args.results / "few.png", dpi=150)


if __name__ == "__main__":
    main()
