"""What a grid search over depth and width costs beyond the fits it is made of.

GridSearchCV over depth {1, 2, 4} x width {64, 128, 256}, 3 folds, 2 epochs, on 8,000 rows of
ag_news, with Pipeline([tokens, clf], memory=...), so that each fold is tokenized once. The largest
models stand first in the grid: jobs take the candidates in its order, and a long fit that begins
last would leave the other job idle. Compared:

- the search, one job on all threads;
- the sum of its parts: each candidate fitted and scored once a fold, on ready tokens;
- the search, one job held to one thread;
- the search with n_jobs=2.

Each runs in a process of its own. Under n_jobs=2 nothing is said of threads, as a user would say
nothing. How often a vocabulary was learned, and how many documents were tokenized, is counted where
there is one process.

Writes search.{md,csv} under benchmarks/results. A row that the CSV holds is not measured again,
whatever has changed in the code: use --again.

For instance:
  python benchmarks/search.py
  python benchmarks/search.py --rows 900
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from common import (
    THREAD_VARIABLES,
    Rows,
    add_data_folder,
    in_own_process,
    load,
    make_parser,
    notes,
    start,
    table,
    write_report,
)

GRID = {"depth": [4, 2, 1], "width": [256, 128, 64]}
FOLDS, EPOCHS = 3, 2
WAYS = {
    "two jobs": "GridSearchCV, n_jobs=2",
    "search": "GridSearchCV, n_jobs=1",
    "one thread": "GridSearchCV, n_jobs=1, one thread",
    "parts": "its fits and scores alone, on ready tokens",
}


def measure(way: str, folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    for name in THREAD_VARIABLES:  # read when the libraries are loaded
        if way == "two jobs":
            os.environ.pop(name, None)
        elif way == "one thread":
            os.environ[name] = "1"
    import torch
    from joblib.externals.loky import get_reusable_executor
    from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
    from sklearn.pipeline import Pipeline

    from skfnet import FNetClassifier, TextTokenizer

    if way != "two jobs":
        torch.set_num_threads(1 if way == "one thread" else settings["threads"])
    counts = count_calls(TextTokenizer)
    texts, labels, _, _ = load(folder, "ag_news", "validation", limit=settings["rows"])
    folds = StratifiedKFold(FOLDS)
    clf = FNetClassifier(n_encoders=1, max_epochs=EPOCHS, random_state=0, device="cpu")
    clf.fit(texts[:200], labels[:200])  # libraries are loaded
    counts.update(vocabularies=0, documents=0)
    if way == "parts":
        seconds = 0.0
        for train, test in folds.split(texts, labels):
            tokenizer = TextTokenizer().fit([texts[i] for i in train])
            inside, outside = (tokenizer.transform([texts[i] for i in r]) for r in (train, test))
            for parameters in ParameterGrid(GRID):
                begin = time.perf_counter()
                clf.set_params(**parameters).fit(inside, [labels[i] for i in train])
                clf.score(outside, [labels[i] for i in test])
                seconds += time.perf_counter() - begin
        return {"seconds": seconds}
    with tempfile.TemporaryDirectory() as cache:
        search = GridSearchCV(
            Pipeline([("tokens", TextTokenizer()), ("clf", clf)], memory=cache),
            {f"clf__{name}": values for name, values in GRID.items()},
            cv=folds,
            refit=False,
            n_jobs=2 if way == "two jobs" else 1,
        )
        begin = time.perf_counter()
        search.fit(texts, labels)
        seconds = time.perf_counter() - begin
    get_reusable_executor().shutdown()  # else idle workers keep this process for five minutes
    return {"seconds": seconds, **(counts if way != "two jobs" else {})}


def count_calls(tokenizer: type) -> dict[str, int]:
    """Let a class count the vocabularies it learns and the documents it turns into tokens."""
    counts = {"vocabularies": 0, "documents": 0}
    train, encode = tokenizer._train, tokenizer.encode

    def counted_train(self: Any, documents: list[str]) -> Any:
        counts["vocabularies"] += 1
        return train(self, documents)

    def counted_encode(self: Any, documents: list[str], *args: Any) -> Any:
        counts["documents"] += len(documents)
        return encode(self, documents, *args)

    tokenizer._train, tokenizer.encode = counted_train, counted_encode
    return counts


def main() -> None:
    parser = make_parser(__doc__)
    add_data_folder(parser)
    parser.add_argument("--rows", type=int, default=8000, metavar="N")
    args = start(parser)
    rows = Rows(args.results / "search.csv", again=args.again)
    settings = {"rows": args.rows, "threads": args.threads}
    found = {
        way: rows.get({"way": way, **settings}, in_own_process, measure, way, args.data, settings)
        for way in WAYS
    }
    seconds = {way: row["seconds"] for way, row in found.items()}
    lines = [[WAYS[way], f"{s:.0f}"] for way, s in seconds.items()]
    ratios = [
        [f"{WAYS[a]}, by {WAYS[b]}", f"{seconds[a] / seconds[b]:.2f}", bar]
        for a, b, bar in (
            ("search", "parts", "at most 1.1"),
            ("one thread", "two jobs", "at least 1.6"),
            ("search", "two jobs", "at least 1"),
        )
    ]
    n_fits = FOLDS * len(GRID["depth"]) * len(GRID["width"])
    write_report(
        args.results / "search.md",
        "Grid search",
        rows.machine,
        f"{args.rows:,} rows of ag_news, {FOLDS} folds, {EPOCHS} epochs, {n_fits} fits, "
        f"{args.threads} threads. The search learned {found['search']['vocabularies']} "
        f"vocabularies and tokenized {found['search']['documents']:,} documents: those of each "
        "training part once, those held out once a candidate.",
        table(["", "seconds"], lines),
        table(["ratio of seconds", "", "bar"], ratios),
        notes(["ag_news"]),
    )


if __name__ == "__main__":
    main()
