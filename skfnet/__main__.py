"""The command line: ``python -m skfnet train | predict | evaluate | demo``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .commands import MODEL_OPTIONS, PROGRAM, CommandError, demo, evaluate, predict, train

TRUST = (
    "A model file is a Python pickle, which can run any code when it is loaded:\n"
    "load only files you trust."
)


class _Parser(argparse.ArgumentParser):
    """One line for an error, like everywhere else here; examples as they are written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"skfnet: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Classify text with FNet, a Fourier-mixing encoder.",
        epilog=f"Example:\n  {PROGRAM} demo\n  {PROGRAM} train reviews.csv --model reviews.joblib",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_train, _add_predict, _add_evaluate, _add_demo):
        add(commands)
    return parser


def _add_train(commands: Any) -> None:
    command = _command(
        commands,
        train,
        "train on a CSV, TSV or JSONL file and save the model",
        f"Train on FILE (.csv, .tsv, .jsonl, or one of these and .gz), report on held-out rows,\n"
        f"and save a model trained on all rows. Use it with `{PROGRAM} predict`, or\n"
        f"in Python: joblib.load(OUT).predict(texts).",
        "train reviews.csv --text review --label stars --model reviews.joblib",
    )
    command.add_argument("file", metavar="FILE", help="table of texts and labels")
    command.add_argument("--model", type=Path, required=True, metavar="OUT", help="file to write")
    _add_columns(command, "text", "label")
    command.add_argument(
        "--test-size",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the rows held out for the report; 0: no report (default: 0.2)",
    )
    command.add_argument(
        "--no-refit",
        action="store_true",
        help="save the model that was reported on, trained without the held-out rows",
    )
    _add_model_options(command)


def _add_predict(commands: Any) -> None:
    command = _command(
        commands,
        predict,
        "print the predicted label of each document as CSV",
        f"Predict the label of each document in FILE: one CSV row a document, in order.\n\n{TRUST}",
        "predict new.csv --text review --model reviews.joblib --proba --output labels.csv",
        f"echo 'works like a charm' | {PROGRAM} predict - --model reviews.joblib",
    )
    command.add_argument(
        "file",
        metavar="FILE",
        help="table (.csv, .tsv, .jsonl; .gz), .txt with one document a line, or - for lines "
        "from the standard input",
    )
    command.add_argument("--model", type=Path, required=True, help="file written by train")
    _add_columns(command, "text")
    command.add_argument("--output", type=Path, metavar="CSV", help="file to write instead")
    command.add_argument("--proba", action="store_true", help="add each class's probability")


def _add_evaluate(commands: Any) -> None:
    command = _command(
        commands,
        evaluate,
        "report how well a model does on a labelled file",
        f"Print precision, recall and F1 of each class, and the accuracy, on FILE.\n\n{TRUST}",
        "evaluate test.csv --text review --label stars --model reviews.joblib",
    )
    command.add_argument("file", metavar="FILE", help="table of texts and labels")
    command.add_argument("--model", type=Path, required=True, help="file written by train")
    _add_columns(command, "text", "label")


def _add_demo(commands: Any) -> None:
    command = _command(
        commands,
        demo,
        "train on docstrings of installed packages: nothing to download",
        "Learn to tell which installed package a docstring comes from, and compare with\n"
        "TF-IDF + LogisticRegression. Offline; takes less than two minutes on two cores.",
        "demo",
        f"{PROGRAM} demo --depth 4",
    )
    _add_model_options(command)


def _command(
    commands: Any, run: Any, summary: str, description: str, *examples: str
) -> argparse.ArgumentParser:
    lines = [f"{PROGRAM} {examples[0]}", *examples[1:]]
    command = commands.add_parser(
        run.__name__,
        help=summary,
        description=description,
        epilog="\n  ".join(["Example:", *lines]),
    )
    command.set_defaults(run=run)
    return command


def _add_columns(command: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        command.add_argument(
            f"--{name}",
            default=name,
            metavar="COLUMN",
            help=f"column (JSONL: key) of the {name}s (default: {name})",
        )


def _add_model_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("model (default: FNetClassifier's own)")
    for name, (kind, summary) in MODEL_OPTIONS.items():
        metavar = {int: "N", float: "X", str: "NAME"}[kind]
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=summary)
    group.add_argument(
        "--random-state",
        type=int,
        default=0,
        metavar="N",
        help="same number, same model (default: 0)",
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def _one_line_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"skfnet: warning: {' '.join(str(message).split())}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; those of the process if None.

    Returns
    -------
    status : int
        0; 2 after an error, which was told in one line on the standard error; 130 after Ctrl-C;
        1 where nobody reads the output any more.

    Examples
    --------
    >>> from skfnet.__main__ import main
    >>> main(["train", "reviews.csv", "--model", "reviews.joblib"])  # doctest: +SKIP
    """
    parser = _parser()
    try:
        args = parser.parse_args(argv)
        if hasattr(args, "run"):
            with warnings.catch_warnings():
                warnings.showwarning = _one_line_warning
                args.run(args)
        else:
            parser.print_help()
        sys.stdout.flush()
    except SystemExit as done:  # --help, and errors the parser has told
        return int(done.code or 0)
    except BrokenPipeError:  # `... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("skfnet: interrupted", file=sys.stderr)
        return 130
    except (CommandError, ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"skfnet: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
