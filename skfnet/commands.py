"""What the commands of the command line do."""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["MODEL_OPTIONS", "PROGRAM", "CommandError", "demo", "evaluate", "predict", "train"]

PROGRAM = "python -m skfnet"

# Options handed to FNetClassifier under the same name, where given: its own defaults hold
# otherwise.
MODEL_OPTIONS: dict[str, tuple[type, str]] = {
    "depth": (int, "number of encoder blocks"),
    "width": (int, "size of the hidden states"),
    "n_encoders": (int, "encoders trained side by side"),
    "mixer": (str, "token mixer: fourier_frames, fourier, spectral, attention, none, ..."),
    "max_length": (int, "tokens read of each document"),
    "long_documents": (str, "beyond max-length: truncate, or mean over windows"),
    "dropout": (float, "share of hidden units dropped in training"),
    "class_weight": (str, "balanced: every class weighs the same"),
    "max_epochs": (int, "passes over the training texts"),
    "batch_size": (int, "documents a training step"),
    "learning_rate": (float, "highest learning rate of the schedule"),
    "device": (str, "cpu, cuda, cuda:1, mps, or auto"),
}


class CommandError(Exception):
    """Something the user can put right; the message says what and how."""


def train(args: argparse.Namespace) -> None:
    """Fit a classifier to a table, report on held-out rows, and save it."""
    from .files import read_table

    _check_writable(args.model)
    if not 0 <= args.test_size < 1:
        raise CommandError(f"--test-size must be at least 0 and less than 1, got {args.test_size}.")
    texts, labels = read_table(args.file, text=args.text, label=args.label)
    print(f"{len(texts):,} documents, {len(set(labels)):,} classes: {_most_common(labels)}")
    classifier = _new_classifier(args)
    if args.test_size:
        train_rows, test_rows = _hold_out(labels, args.test_size, args.random_state)
        _fit(classifier, [texts[i] for i in train_rows], [labels[i] for i in train_rows])
        print(f"\nHeld-out report: {len(test_rows):,} documents the model has not seen")
        _report(classifier, [texts[i] for i in test_rows], [labels[i] for i in test_rows])
    if not args.test_size or not args.no_refit:
        if args.test_size:
            print(
                "The model saved is trained anew on all documents (--no-refit saves the one above)."
            )
            classifier = _new_classifier(args)
        _fit(classifier, texts, labels)
    _save(classifier, args.model)
    print(f"Saved {args.model} ({args.model.stat().st_size / 1e6:.1f} MB)")


def predict(args: argparse.Namespace) -> None:
    """Write the predicted label of every document as CSV, in the order of the input."""
    from .files import read_lines, read_table

    if args.output:
        _check_writable(args.output)
    model = _load(args.model)
    if args.file == "-":
        texts = read_lines(sys.stdin.buffer)
    elif args.file.lower().removesuffix(".gz").endswith(".txt"):
        texts = read_lines(args.file)
    else:
        texts = read_table(args.file, text=args.text, label=None)
    rows: list[list[Any]]
    if args.proba:
        if not hasattr(model, "predict_proba"):
            raise CommandError(f"{args.model}: the model has no probabilities; drop --proba.")
        probabilities = model.predict_proba(texts)
        header = ["label", *(f"probability_{label}" for label in model.classes_)]
        rows = [
            [model.classes_[row.argmax()], *(f"{value:.6f}" for value in row)]
            for row in probabilities
        ]
    else:
        header, rows = ["label"], [[label] for label in model.predict(texts)]
    if args.output:
        with _replacing(args.output) as file:
            _write_csv(file, header, rows)
    else:
        _write_csv(sys.stdout, header, rows)


def evaluate(args: argparse.Namespace) -> None:
    """Compare a model's predictions with the labels of a table."""
    from .files import read_table

    model = _load(args.model)
    texts, labels = read_table(args.file, text=args.text, label=args.label)
    known = {str(label) for label in getattr(model, "classes_", labels)}
    if known.isdisjoint(map(str, labels)):
        raise CommandError(
            f"{args.file}: the model knows none of the labels in column {args.label!r} "
            f"({_most_common(labels)}), it predicts {', '.join(sorted(known)[:10])}. Is --label "
            f"the right column, and --model the right file?"
        )
    _report(model, texts, labels)


def demo(args: argparse.Namespace) -> None:
    """Train on the docstrings of the installed packages, beside TF-IDF + LogisticRegression."""
    import textwrap

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from .datasets import load_docstrings

    print("Which package is a docstring from? Collecting docstrings of installed packages ...")
    corpus: Any = load_docstrings()
    print(
        f"{len(corpus.train_texts):,} to train on, {len(corpus.test_texts):,} to test on: "
        f"{', '.join(corpus.target_names)}"
    )
    linear = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10)
    )
    args.max_length = args.max_length or 128  # for speed
    warnings.filterwarnings("ignore", message=".*longer than max_length")
    print(f"FNetClassifier reads the first {args.max_length} tokens.")
    models = {"FNetClassifier": _new_classifier(args), "TF-IDF + LogisticRegression": linear}
    results = []
    for name, model in models.items():
        seconds = _fit(model, corpus.train_texts, corpus.train_labels)
        results.append((name, model.score(corpus.test_texts, corpus.test_labels), seconds))
    classifier = models["FNetClassifier"]
    print("\nFNetClassifier on the held-out docstrings")
    _report(classifier, corpus.test_texts, corpus.test_labels)
    print("Some predictions on unseen docstrings")
    some = slice(0, 6)
    predicted = classifier.predict(corpus.test_texts[some])
    for text, label, guess in zip(
        corpus.test_texts[some], corpus.test_labels[some], predicted, strict=True
    ):
        verdict = "right" if label == guess else f"is {label}"
        print(f"  {guess:<9} ({verdict})  {textwrap.shorten(text, 60, placeholder=' ...')}")
    print(f"\n{'':<28} accuracy  fit seconds")
    for name, accuracy, seconds in results:
        print(f"{name:<28} {accuracy:8.3f}  {seconds:11.1f}")


# --- steps they share ---------------------------------------------------------------------


def _new_classifier(args: argparse.Namespace) -> Any:
    from .classifier import FNetClassifier

    given = {name: getattr(args, name) for name in MODEL_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    return FNetClassifier(random_state=args.random_state, verbose=0 if args.quiet else 1, **given)


def _fit(model: Any, texts: Sequence[str], labels: Sequence[Any]) -> float:
    sys.stdout.flush()  # the progress bar is on the other stream
    start = time.perf_counter()
    with warnings.catch_warnings():
        # An estimator keeps what it has learned so far; no file may be written from that.
        warnings.filterwarnings("error", "Training was interrupted")
        try:
            model.fit(texts, labels)
        except UserWarning:
            raise KeyboardInterrupt from None
    return time.perf_counter() - start


def _hold_out(
    labels: Sequence[Any], test_size: float, random_state: int
) -> tuple[list[int], list[int]]:
    """Choose rows to train on and to test on, each class in the same proportion in both."""
    from sklearn.model_selection import train_test_split

    counts = Counter(labels)
    single = sorted(str(label) for label, count in counts.items() if count == 1)
    if single:
        # Stratifying needs two of a class; to refuse the file for a rare one helps nobody.
        _note(
            f"{len(single)} of {len(counts)} classes have a single document, which is trained on "
            f"and not in the report: {', '.join(single[:10])}{', ...' if len(single) > 10 else ''}"
        )
    rows = [i for i, label in enumerate(labels) if counts[label] > 1]
    try:
        train_rows, test_rows = train_test_split(
            rows,
            test_size=test_size,
            random_state=random_state,
            stratify=[str(labels[i]) for i in rows],
        )
    except ValueError as error:
        raise CommandError(
            f"{len(rows)} documents cannot be split with --test-size {test_size} so that each "
            f"class is on both sides ({error}). Choose another --test-size, or 0 for no report."
        ) from None
    train_rows += [i for i, label in enumerate(labels) if counts[label] == 1]
    return sorted(train_rows), sorted(test_rows)


def _report(model: Any, texts: Sequence[str], labels: Sequence[Any]) -> None:
    from sklearn.metrics import accuracy_score, classification_report

    # As text: a model trained on JSONL may have integer classes, a CSV file has strings.
    truth, predicted = [[str(label) for label in these] for these in (labels, model.predict(texts))]
    print(classification_report(truth, predicted, digits=3, zero_division=0))
    print(f"accuracy {accuracy_score(truth, predicted):.4f}\n")


def _most_common(labels: Sequence[Any]) -> str:
    counts = Counter(labels).most_common()
    more = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    return ", ".join(f"{label} {count:,}" for label, count in counts[:8]) + more


# --- files --------------------------------------------------------------------------------


def _check_writable(path: Path) -> None:
    """Refuse before the work, not after it."""
    if path.is_dir():
        raise CommandError(f"{path}: is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise CommandError(f"{path}: there is no folder {path.parent}; create it first.")
    if not os.access(path.parent, os.W_OK):
        raise CommandError(
            f"{path}: no permission to write in {path.parent}; choose another place."
        )


@contextlib.contextmanager
def _replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` once all of it is written."""
    options: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, mode, **options) as file:
            yield file
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _save(model: Any, path: Path) -> None:
    import joblib

    with _replacing(path, "wb") as file:
        joblib.dump(model, file)


def _load(path: Path) -> Any:
    import joblib
    from sklearn.base import is_classifier

    if not path.is_file():
        raise CommandError(f"{path}: no such model file; `{PROGRAM} train` writes one.")
    try:
        model = joblib.load(path)
    except Exception as error:  # unpickling anything else can raise anything
        raise CommandError(
            f"{path}: is no model written by `{PROGRAM} train`, or one of a version of a package "
            f"that cannot be read here ({type(error).__name__}: {error})."
        ) from None
    if isinstance(model, type) or not hasattr(model, "predict") or not is_classifier(model):
        raise CommandError(
            f"{path}: holds a {type(model).__name__}, no classifier; give a file written by "
            f"`{PROGRAM} train`."
        )
    return model


def _write_csv(file: IO[str], header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def _note(message: str) -> None:
    print(f"skfnet: note: {message}", file=sys.stderr)
