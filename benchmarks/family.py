"""Every mixer and hybrid at equal size and budget: the paper's questions, on small real data.

For each model and data set: accuracy, seconds to fit, peak memory of the process and the number of
weights, of an FNetClassifier that differs in `mixer`, `attention_layers` and `attention_layout`
alone. Hybrids are "fourier" with attention in half of their blocks. Scored on a stratified 15 % of
the training file (on generated documents for listops, on a split of scikit-learn's digits), never
on a test file, so that a mixer may be chosen by this table. A document of `digits` is an image as
64 words, a pixel's brightness each; one of `listops` a nested expression
(skfnet.datasets.make_listops).

Writes family.{md,csv,png} under benchmarks/results. Rows are measured set by set and seed by seed;
the report shows what there is. A row that the CSV holds is not measured again, whatever has changed
in the code: use --again.

For instance:
  python benchmarks/family.py --jobs 2 --threads 1
  python benchmarks/family.py --sets trec6,digits --models fourier,attention --seeds 1
  python benchmarks/family.py --sets listops_full --results elsewhere
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import mean, median
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

SETS = ("trec6", "digits", "listops", "sst2_sent", "banking77", "r8")
GENERATED = ("digits", "listops", "listops_full")
MIXERS = (
    *("fourier", "hartley", "none", "attention", "spectral", "linear", "random", "dct", "hadamard"),
    *("wavelet", "fractional", "fourier_sequence", "fourier_hidden", "fourier_abs"),
    *("fourier_complex", "fourier_frames"),
)
LAYOUTS = ("top", "bottom", "middle", "mixed")
MODELS: dict[str, dict[str, Any]] = {
    **{mixer: {"mixer": mixer} for mixer in MIXERS},
    **{f"hybrid:{layout}": {"mixer": "fourier", "attention_layout": layout} for layout in LAYOUTS},
}
N_LISTOPS = 6000
LISTOPS_LENGTHS = {"listops": (20, 100), "listops_full": (500, 2000)}


def documents(
    folder: Path, name: str, settings: dict[str, Any]
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Give training texts and labels, then those to score."""
    seed, limit = settings["seed"], settings["limit"]
    if name not in GENERATED:
        return load(folder, name, "validation", seed=seed, limit=limit)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from skfnet.datasets import make_listops

    if name == "digits":
        images, digits = load_digits(return_X_y=True)
        texts = [" ".join(f"p{pixel:.0f}" for pixel in image) for image in images]
        labels = [str(digit) for digit in digits]
    else:
        low, high = LISTOPS_LENGTHS[name]
        texts, labels = make_listops(N_LISTOPS, min_length=low, max_length=high, random_state=0)
    texts, others, labels, expected = train_test_split(
        texts, labels, test_size=0.15, stratify=labels, random_state=0
    )
    order = slice(limit or None)
    return texts[order], labels[order], others[order], expected[order]


def measure(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    import resource
    import warnings

    import torch

    from skfnet import FNetClassifier, TextTokenizer

    torch.set_num_threads(settings["threads"])
    warnings.filterwarnings("ignore", message=".*documents are longer")
    name = settings["set"]
    texts, labels, others, expected = documents(folder, name, settings)
    choices = dict(MODELS[settings["model"]])
    if "attention_layout" in choices:
        choices["attention_layers"] = settings["depth"] // 2
    FNetClassifier(max_epochs=1, depth=1, width=16).fit(texts[:64], labels[:64])  # loads libraries
    clf = FNetClassifier(
        tokenizer=TextTokenizer(min_frequency=1) if name in GENERATED else None,
        depth=settings["depth"],
        width=settings["width"],
        n_encoders=1,
        max_epochs=settings["epochs"] or "auto",
        max_length=3072 if name == "listops_full" else 512,
        random_state=settings["seed"],
        device="cpu",
        **choices,
    )
    begin = time.perf_counter()
    clf.fit(texts, labels)
    fitted = time.perf_counter()
    return {
        "n_train": len(texts),
        "n_scored": len(others),
        "accuracy": float(clf.score(others, expected)),
        "fit_seconds": fitted - begin,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "weights": sum(w.numel() for w in clf.encoder_.blocks.parameters()),
    }


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    add = parser.add_argument
    add("--sets", type=names_of((*SETS, "listops_full")), default=list(SETS), metavar="NAMES")
    add("--models", type=names_of(MODELS), default=list(MODELS), metavar="NAMES")
    add("--seeds", type=int, default=3, metavar="N")
    add("--depth", type=int, default=4)
    add("--width", type=int, default=64)
    add("--epochs", type=int, default=0, help="0, the default, is max_epochs='auto'")
    add_jobs(parser)
    args = start(parser)
    rows = Rows(args.results / "family.csv", again=args.again)
    names = ("depth", "width", "epochs", "threads", "jobs", "limit")
    common = {k: vars(args)[k] for k in names}
    wanted = [
        {"set": name, "model": model, "seed": seed, **common}
        for seed in range(args.seeds)
        for name in args.sets
        for model in args.models
    ]
    rows.get_all(wanted, args.jobs, measure, args.data)
    report(args, rows, common)


def report(args: Any, rows: Rows, common: dict[str, Any]) -> None:
    def found(model: str, name: str) -> list[dict[str, Any]]:
        of_all_seeds = rows.matching({**common, "model": model, "set": name})
        return [row for row in of_all_seeds if row["seed"] < args.seeds]

    def cell(model: str, name: str) -> str:
        return mean_sd([row["accuracy"] for row in found(model, name)])

    def total(model: str, key: str, names: list[str]) -> float:
        of_seeds = mean if key == "accuracy" else median
        return mean(of_seeds(row[key] for row in found(model, name)) for name in names)

    header = ["model", *args.sets, "mean", "seconds to fit", "peak memory, MB", "weights of blocks"]
    lines = [
        [model, *(cell(model, name) for name in args.sets)]
        + [f"{total(model, 'accuracy', args.sets):.3f}"]
        + [f"{total(model, 'fit_seconds', args.sets):.1f}"]
        + [f"{total(model, 'peak_mb', args.sets):,.0f}"]
        + [f"{found(model, args.sets[0])[0]['weights']:,}"]
        for model in args.models
    ]
    write_report(
        args.results / "family.md",
        "The family of mixers",
        rows.machine,
        f"Accuracy on held-out documents, mean ± standard deviation over {args.seeds} seed(s); "
        f"depth {args.depth}, width {args.width}, {args.jobs} fit(s) at once with {args.threads} "
        "thread(s) each. Mean, seconds and memory are means over the sets; seconds and memory of a "
        "set are medians.",
        table(header, lines),
        notes(args.sets),
    )
    kinds = {
        "texts": [name for name in args.sets if name not in GENERATED],
        "digits and list operations": [name for name in args.sets if name in GENERATED],
    }
    kinds = {kind: names for kind, names in kinds.items() if names}
    made, axes = figure(len(kinds), 5)
    for ax, (kind, names) in zip(axes, kinds.items(), strict=True):
        points = [
            (total(model, "fit_seconds", names), total(model, "accuracy", names), model)
            for model in args.models
        ]
        for i, (x, y, model) in enumerate(sorted(points)):
            attentive = model == "attention" or model.startswith("hybrid")
            ax.plot(x, y, "o", ms=5, color="C1" if attentive else "C0")
            place = {"xytext": (4, 3 if i % 2 else -9), "textcoords": "offset points"}
            ax.annotate(model, (x, y), fontsize=6.5, **place)
        ax.set(
            xlabel="seconds to fit, mean over sets", ylabel="accuracy, mean over sets", title=kind
        )
        ax.margins(x=0.15)
    made.savefig(args.results / "family.png", dpi=150)


if __name__ == "__main__":
    main()
