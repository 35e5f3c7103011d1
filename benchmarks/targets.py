"""Other targets and inputs: pairs of texts, numbers, several labels, unequal classes.

For each task the default FNetClassifier, or FNetRegressor, beside a linear model on TF-IDF
(words and pairs of words, sublinear): LogisticRegression(C=10), Ridge for numbers, one
LogisticRegression a label for several labels. For pairs the linear model gets, scaled alike, the
TF-IDF of each text, and the product and the absolute difference of both. imdb_bytes is the
sentiment of imdb's reviews read byte by byte, the first 1,000 of each, by one encoder; beside it
the linear model reads words, and all of them.

Scored on the dev file where there is one, else on a stratified 15 % of the training file, never on
a test file. Measures: accuracy and F1 (mrpc), accuracy (rte, qnli10k), Pearson and Spearman
correlation (stsb), micro and macro F1 (goemotions), accuracy and macro F1 with
class_weight="balanced" on both sides (hate_offensive), accuracy (imdb_bytes, one seed).

Writes targets.{md,csv} under benchmarks/results. A row that the CSV holds is not measured again,
whatever has changed in the code: use --again.

For instance:
  python benchmarks/targets.py --jobs 2 --threads 1
  python benchmarks/targets.py --tasks stsb --seeds 1
"""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from common import (
    VALIDATION_SHARE,
    Rows,
    add_data_options,
    add_jobs,
    make_parser,
    mean_sd,
    names_of,
    notes,
    start,
    table,
    write_report,
)

# The measures of each task.
TASKS = {
    "mrpc": ("accuracy", "F1"),
    "rte": ("accuracy",),
    "qnli10k": ("accuracy",),
    "stsb": ("Pearson", "Spearman"),
    "goemotions": ("micro F1", "macro F1"),
    "hate_offensive": ("accuracy", "macro F1"),
    "imdb_bytes": ("accuracy",),
}
N_BYTES = 1000
PAIRS = ("mrpc", "rte", "qnli10k", "stsb")
MODELS = {"skfnet": "FNetClassifier, FNetRegressor", "linear": "TF-IDF and a linear model"}


def read(folder: Path, name: str, part: str) -> tuple[list[Any], Any]:
    """Give documents, or pairs of them, and targets of one file."""
    import numpy as np
    from sklearn.preprocessing import MultiLabelBinarizer

    csv.field_size_limit(10**9)
    path = folder / name.removesuffix("_bytes") / f"{part}.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if name in PAIRS:
        documents: list[Any] = [(row["text_a"], row["text_b"]) for row in rows]
    else:
        documents = [row["text"] for row in rows]
    if name == "goemotions":
        sets = [row["labels"].split("|") if row["labels"] else [] for row in rows]
        return documents, MultiLabelBinarizer().fit_transform(sets)
    targets = np.array([row["label"] for row in rows])
    return documents, targets.astype(float) if name == "stsb" else targets


def split(folder: Path, name: str, seed: int, limit: int) -> tuple[list[Any], Any, list[Any], Any]:
    """Give shuffled training documents and targets, then those to score."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    documents, targets = read(folder, name, "train")
    if (folder / name / "dev.csv.gz").is_file():
        others, expected = read(folder, name, "dev")
    else:
        documents, others, targets, expected = train_test_split(
            documents, targets, test_size=VALIDATION_SHARE, stratify=targets, random_state=0
        )
    order = np.random.default_rng(seed).permutation(len(documents))[: limit or None]
    return [documents[i] for i in order], targets[order], others, expected


def ours(name: str, seed: int) -> Any:
    from skfnet import FNetClassifier, FNetRegressor, TextTokenizer

    if name == "stsb":
        return FNetRegressor(random_state=seed, device="cpu")
    if name == "imdb_bytes":
        return FNetClassifier(
            tokenizer=TextTokenizer(model="byte", lowercase=False),
            max_length=N_BYTES,
            long_documents="truncate",
            n_encoders=1,
            random_state=seed,
            device="cpu",
        )
    weight = "balanced" if name == "hate_offensive" else None
    return FNetClassifier(class_weight=weight, random_state=seed, device="cpu")


def linear(name: str, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    weight = "balanced" if name == "hate_offensive" else None
    model: Any = LogisticRegression(C=10, max_iter=1000, class_weight=weight)
    if name == "stsb":
        model = Ridge()
    elif name == "goemotions":
        model = OneVsRestClassifier(model)
    return make_pipeline(features(name), model)


def features(name: str) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return PairFeatures(words) if name in PAIRS else words


class PairFeatures:
    """TF-IDF of both texts of a pair, their product and their absolute difference."""

    def __init__(self, words: Any) -> None:
        self.words = words

    def fit(self, pairs: list[tuple[str, str]], y: Any = None) -> PairFeatures:
        self.words.fit([text for pair in pairs for text in pair])
        return self

    def transform(self, pairs: list[tuple[str, str]]) -> Any:
        from scipy.sparse import hstack

        first, second = (self.words.transform(side) for side in zip(*pairs, strict=True))
        return hstack([first, second, first.multiply(second), abs(first - second)]).tocsr()


def scores(name: str, expected: Any, predicted: Any) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import accuracy_score, f1_score

    measures: dict[str, Callable[[], float]] = {
        "accuracy": lambda: accuracy_score(expected, predicted),
        "F1": lambda: f1_score(expected, predicted, pos_label="paraphrase"),
        "Pearson": lambda: pearsonr(expected, predicted).statistic,
        "Spearman": lambda: spearmanr(expected, predicted).statistic,
        "micro F1": lambda: f1_score(expected, predicted, average="micro", zero_division=0),
        "macro F1": lambda: f1_score(expected, predicted, average="macro", zero_division=0),
    }
    return {measure: float(measures[measure]()) for measure in TASKS[name]}


def measure(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    import torch

    torch.set_num_threads(settings["threads"])
    name, seed = settings["task"], settings["seed"]
    documents, targets, others, expected = split(folder, name, seed, settings["limit"])
    model = {"skfnet": ours, "linear": linear}[settings["model"]](name, seed)
    begin = time.perf_counter()
    model.fit(documents, targets)
    seconds = time.perf_counter() - begin
    return {"fit_seconds": seconds, **scores(name, expected, model.predict(others))}


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    parser.add_argument("--tasks", type=names_of(TASKS), default=list(TASKS), metavar="NAMES")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1")
    add_jobs(parser)
    args = start(parser)
    rows = Rows(args.results / "targets.csv", again=args.again)
    common = {"limit": args.limit, "threads": args.threads, "jobs": args.jobs}
    wanted = [
        {"task": name, "model": model, "seed": seed, **common}
        for seed in range(args.seeds)
        for name in args.tasks
        for model in MODELS
        # A linear model has nothing random; bytes take long.
        if seed == 0 or (model == "skfnet" and name != "imdb_bytes")
    ]
    measured = rows.get_all(wanted, args.jobs, measure, args.data)
    lines = []
    for name in args.tasks:
        found = {
            model: [row for row in measured if (row["task"], row["model"]) == (name, model)]
            for model in MODELS
        }
        seconds = [f"{median(row['fit_seconds'] for row in found[m]):.0f}" for m in MODELS]
        for kind in TASKS[name]:
            cells = [mean_sd([row[kind] for row in found[model]]) for model in MODELS]
            lines.append([name, kind, *cells, *seconds])
    write_report(
        args.results / "targets.md",
        "Other targets and inputs",
        rows.machine,
        f"Mean ± standard deviation over {args.seeds} seed(s); {args.jobs} fit(s) at once with "
        f"{args.threads} thread(s) each.",
        table(
            ["task", "measure", *MODELS.values(), *(f"{model}, fit s" for model in MODELS)], lines
        ),
        notes(args.tasks),
    )


if __name__ == "__main__":
    main()
