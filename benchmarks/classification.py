"""Accuracy and speed of FNetClassifier beside TF-IDF + LogisticRegression and fastText.

Each model is fitted on the training file of each data set and scored on the official test
file, in a process of its own, one after the other, all with the same number of threads. Texts
and labels come from ../shared/data (--data). FNetClassifier has its default parameters;
--params changes some. Seeds 0, 1, ... decide the order of the training documents and
everything random in FNetClassifier and fastText (whose threads still race); LogisticRegression
has nothing random and is fitted once.

The seconds to fit are from raw texts to the fitted model, tokenizing included and imports left
out; likewise for prediction.

Writes classification.{md,csv,png} under benchmarks/results, or validation.* with --validation;
with --limit its number is added to the name. A row that the CSV holds is not measured again,
whatever has changed in the code: use --again.

For instance:
  python benchmarks/classification.py
  python benchmarks/classification.py --validation --limit 500
  python benchmarks/classification.py --sets trec6,r8 --models fnet --validation
  python benchmarks/classification.py --validation --params '{"depth": 4, "dropout": 0.1}'
"""

from __future__ import annotations

import ctypes
import json
import re
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, NamedTuple

from common import (
    Rows,
    add_data_options,
    figure,
    in_own_process,
    load,
    make_parser,
    mean_sd,
    names_of,
    notes,
    start,
    table,
    write_report,
)

SETS = ("sms_spam", "trec6", "banking77", "r8", "ag_news")
MORE_SETS = ("sst2_sent", "mr", "hate_offensive", "sib200_20langs", "20ng_stripped", "imdb")
BAR = 2.0  # points below the better peer


def fnet(seed: int, threads: int, params: dict[str, Any]) -> Any:
    import torch
    import torch._dynamo  # the first optimizer of a process imports it, for a second or two

    from skfnet import FNetClassifier, TextTokenizer

    torch.set_num_threads(threads)
    # TextTokenizer() is what the default None means; so params may hold tokenizer__... too.
    return FNetClassifier(tokenizer=TextTokenizer(), random_state=seed).set_params(**params)


def tfidf(seed: int, threads: int, params: dict[str, Any]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=1000))


class FastText:
    """fastText behind fit and predict, its text file included."""

    def __init__(self, seed: int, threads: int, params: dict[str, Any]) -> None:
        import fasttext

        self.train = partial(
            fasttext.train_supervised, thread=threads, seed=seed, verbose=0, **params
        )

    def fit(self, texts: list[str], labels: list[str]) -> FastText:
        self.names = sorted(set(labels))
        prefix = {name: f"__label__{i}" for i, name in enumerate(self.names)}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            lines = zip(map(prefix.get, labels), map(self.line, texts), strict=True)
            path.write_text("".join(f"{y} {x}\n" for y, x in lines), encoding="utf-8")
            with zeroed_memory():
                self.model = self.train(str(path))
        return self

    def predict(self, texts: list[str]) -> list[str]:
        found, _ = self.model.predict([self.line(text) for text in texts])
        return [self.names[int(best[0].removeprefix("__label__"))] for best in found]

    @staticmethod
    def line(text: str) -> str:
        """Prepare a text as fastText's tutorial does: lower case, signs set apart, one line."""
        return " ".join(re.sub(r"([.!?,'/();:\"])", r" \1 ", text.lower()).split())


@contextmanager
def zeroed_memory() -> Iterator[None]:
    """Let glibc hand out zeroed memory.

    With fewer than 10 threads fastText leaves most of its input matrix as the memory came
    (facebookresearch/fastText#1061): zeros in a fresh process, at worst NaN in a used one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    perturb = -6  # M_PERTURB fills new memory with the complement of a byte; 0 turns it off
    if mallopt is not None:
        mallopt(perturb, 0xFF)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(perturb, 0)


class Model(NamedTuple):
    label: str
    build: Callable[[int, int, dict[str, Any]], Any]
    params: dict[str, Any]
    seeded: bool


MODELS = {
    "fnet": Model("FNetClassifier", fnet, {}, True),
    "tfidf": Model("TF-IDF(1,2) + LogisticRegression", tfidf, {}, False),
    "fasttext2": Model(
        "fastText, bigrams, 25 epochs", FastText, {"wordNgrams": 2, "epoch": 25, "lr": 0.5}, True
    ),
    "fasttext1": Model(
        "fastText, words, 5 epochs", FastText, {"wordNgrams": 1, "epoch": 5, "lr": 0.5}, True
    ),
}
PEERS = [name for name in MODELS if name != "fnet"]


def measure(data: Path, settings: dict[str, Any], threads: int) -> dict[str, Any]:
    """Fit and score one model on one set."""
    import numpy as np

    texts, labels, held_out, truth = load(
        data, settings["set"], settings["part"], seed=settings["seed"], limit=settings["limit"]
    )
    kind = MODELS[settings["model"]]
    params = kind.params | json.loads(settings["params"])
    model = kind.build(settings["seed"], threads, params)  # what it needs is imported here
    begin = time.perf_counter()
    model.fit(texts, labels)
    seconds = time.perf_counter() - begin
    passes = []
    while sum(passes) < 1:  # the first pass over a small set is mostly warming up
        begin = time.perf_counter()
        predicted = model.predict(held_out)
        passes.append(time.perf_counter() - begin)
    return {
        "n_train": len(texts),
        "n_scored": len(held_out),
        "accuracy": float((np.array(predicted) == np.array(truth)).mean()),
        "fit_seconds": seconds,
        "documents_per_second": len(held_out) / median(passes),
    }


def measure_all(args: Namespace, rows: Rows, fixed: dict[str, Any]) -> None:
    for name in args.sets:
        for model in args.models:
            params = args.params if model == "fnet" else "{}"
            for seed in range(args.seeds if MODELS[model].seeded else 1):
                settings = {"set": name, "model": model, "params": params, "seed": seed, **fixed}
                rows.get(settings, in_own_process, measure, args.data, settings, args.threads)


Results = dict[str, dict[str, list[dict[str, Any]]]]


def collect(rows: Rows, fixed: dict[str, Any], params: str) -> Results:
    """Give the rows of each set and model, those of earlier runs included."""
    results: Results = {}
    for name in (*SETS, *MORE_SETS):
        of_set = {
            model: rows.matching(
                {
                    "set": name,
                    "model": model,
                    "params": params if model == "fnet" else "{}",
                    **fixed,
                }
            )
            for model in MODELS
        }
        if any(of_set.values()):
            results[name] = of_set
    return results


def accuracies(results: Results) -> str:
    header = ["set", *(model.label for model in MODELS.values())]
    header += ["better peer", "difference in points", f"within {BAR:g} points"]
    lines = []
    for name, of_set in results.items():
        values = {model: [row["accuracy"] for row in found] for model, found in of_set.items()}
        line = [name, *(mean_sd(values[model]) if values[model] else "" for model in MODELS)]
        peers = {model: mean(values[model]) for model in PEERS if values[model]}
        if values["fnet"] and peers:
            best = max(peers, key=peers.get)
            points = 100 * (mean(values["fnet"]) - peers[best])
            line += [MODELS[best].label, f"{points:+.1f}", "yes" if points >= -BAR else "no"]
        lines.append(line + [""] * (len(header) - len(line)))
    return table(header, lines)


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
    for model, marker in zip(MODELS, "o^sv", strict=True):
        for ax, column in ((left, "accuracy"), (right, "fit_seconds")):
            found = {
                name: [row[column] for row in of_set[model]]
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
    parser.add_argument(
        "--sets",
        type=names_of((*SETS, *MORE_SETS)),
        default=SETS,
        help=f"default: {','.join(SETS)}; also {','.join(MORE_SETS)}",
    )
    parser.add_argument(
        "--models", type=names_of(MODELS), default=list(MODELS), help=",".join(MODELS)
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1")
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

    name = "validation" if args.validation else "classification"
    name += f"_{args.limit}" if args.limit else ""
    fixed = {
        "part": "validation" if args.validation else "test",
        "threads": args.threads,
        "limit": args.limit,
    }
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    measure_all(args, rows, fixed)
    results = collect(rows, fixed, args.params)
    scored = "15 % of the training file" if args.validation else "the official test file"
    write_report(
        args.results / f"{name}.md",
        f"Classification, scored on {scored}",
        rows.machine,
        f"Accuracy, mean ± standard deviation over {args.seeds} seed(s). Threads: {args.threads}. "
        + (f"At most {args.limit} documents to train on and to score. " if args.limit else "")
        + f"FNetClassifier parameters: {'default' if args.params == '{}' else args.params}.",
        accuracies(results),
        "Medians of the seconds to fit, from raw texts, and of the documents predicted a second.",
        speeds(results),
        notes(results),
    )
    plot(results, args.results / f"{name}.png")


if __name__ == "__main__":
    main()
