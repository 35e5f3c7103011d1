"""FNetClassifier together with TF-IDF + LogisticRegression, by scikit-learn's own means.

Compared on held-out documents, each model by itself and three ways to combine them:

- VotingClassifier(voting="soft"): the mean of both models' probabilities;
- StackingClassifier: a LogisticRegression on both models' probabilities, learned across folds;
- a LogisticRegression on the document vectors that FNetClassifier.transform gives, and on them
  beside the TF-IDF features.

Fitted on 85 % of a training file, scored on the rest (stratified; never on a test file).

Writes combining.{md,csv} under benchmarks/results. A row that the CSV holds is not measured again,
whatever has changed in the code: use --again.

For instance:
  python benchmarks/combining.py --jobs 2 --threads 1
  python benchmarks/combining.py --sets trec6 --seeds 1
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import mean
from typing import Any

from accuracy import SETS
from common import (
    Rows,
    add_data_options,
    add_jobs,
    load,
    make_parser,
    mean_sd,
    names_of,
    notes,
    start,
    table,
    write_report,
)

WAYS = {
    "fnet": "FNetClassifier",
    "linear": "TF-IDF + LogisticRegression",
    "voting": "VotingClassifier, soft",
    "stacking": "StackingClassifier",
    "vectors": "LogisticRegression on transform's vectors",
    "union": "LogisticRegression on vectors and TF-IDF",
}


def build(way: str, seed: int) -> Any:
    from sklearn.ensemble import StackingClassifier, VotingClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    from skfnet import FNetClassifier

    fnet = FNetClassifier(random_state=seed, device="cpu")
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    linear = make_pipeline(tfidf, LogisticRegression(C=10, max_iter=1000))
    both = [("fnet", fnet), ("linear", linear)]
    last = LogisticRegression(max_iter=1000)
    return {
        "fnet": fnet,
        "linear": linear,
        "voting": VotingClassifier(both, voting="soft"),
        "stacking": StackingClassifier(both, last, cv=3),
        "vectors": make_pipeline(fnet, last),
        "union": make_pipeline(make_union(fnet, tfidf), last),
    }[way]


def measure(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    import warnings

    import torch

    torch.set_num_threads(settings["threads"])
    warnings.filterwarnings("ignore", message=".*documents are longer")
    texts, labels, others, expected = load(
        folder, settings["set"], "validation", seed=settings["seed"], limit=settings["limit"]
    )
    model = build(settings["way"], settings["seed"])
    begin = time.perf_counter()
    model.fit(texts, labels)
    seconds = time.perf_counter() - begin
    return {"accuracy": float(model.score(others, expected)), "fit_seconds": seconds}


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    add = parser.add_argument
    sets = ["trec6", "mr", "banking77", "sib200_20langs"]
    add("--sets", type=names_of(SETS), default=sets, metavar="NAMES")
    add("--seeds", type=int, default=2, metavar="N")
    add_jobs(parser)
    args = start(parser)
    rows = Rows(args.results / "combining.csv", again=args.again)
    common = {"threads": args.threads, "jobs": args.jobs, "limit": args.limit}
    wanted = [
        {"set": name, "way": way, "seed": seed, **common}
        for seed in range(args.seeds)
        for name in args.sets
        for way in WAYS
    ]
    measured = rows.get_all(wanted, args.jobs, measure, args.data)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in measured:
        found.setdefault((row["set"], row["way"]), []).append(row)
    lines = []
    for way, label in WAYS.items():
        values = [[row["accuracy"] for row in found[name, way]] for name in args.sets]
        seconds = mean(row["fit_seconds"] for name in args.sets for row in found[name, way])
        over_sets = mean(mean(v) for v in values)
        lines.append([label, *map(mean_sd, values), f"{over_sets:.3f}", f"{seconds:.0f}"])
    write_report(
        args.results / "combining.md",
        "Together with a linear model",
        rows.machine,
        f"Accuracy on held-out documents, mean ± standard deviation over {args.seeds} seed(s); "
        f"mean and seconds are means over the sets. {args.jobs} fit(s) at once with {args.threads} "
        "thread(s) each.",
        table(["", *args.sets, "mean", "seconds to fit"], lines),
        notes(args.sets),
    )


if __name__ == "__main__":
    main()
