"""What the benchmarks share: data sets, resumable rows, processes, tables and plots.

Nothing heavy is imported at the top, so that a process which measures a peer holds no torch.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import platform
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from threading import Lock
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the skfnet of this checkout, whatever else is installed

# Sets of which the folder holds a part: a figure on them is never shown without this.
NOTES = {
    "ag_news": "ag_news: 38,125 of the 120,000 official training rows, the complete test set.",
    "sms_spam": "sms_spam has no official split; this one is its folder's.",
    "mr": "mr has no official split; this one is that of Tang et al., 2015.",
    "hate_offensive": "hate_offensive has no official split; its classes are very unequal.",
    "qnli10k": "qnli10k: a tenth of the official training rows of QNLI.",
    "20ng_stripped": "20ng_stripped: headers, quotes and signatures removed.",
}
VALIDATION_SHARE = 0.15
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """Give a parser with the options of every benchmark; `doc` is the script's docstring."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    add("--again", action="store_true", help="measure rows anew that the CSV already holds")
    add("--threads", type=int, default=os.cpu_count(), metavar="N", help="default: all cores")
    return parser


def add_data_folder(parser: argparse.ArgumentParser) -> None:
    """Add where the data sets are."""
    folder = ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=folder, metavar="DIR", help="data sets")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add where the data sets are, and how much of them to use."""
    add_data_folder(parser)
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="at most N documents a part, to try out"
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add how many rows are measured at once; their seconds are those of a shared machine."""
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="rows measured at once; see --threads"
    )


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Give the type of an option that takes some of the known names, joined by commas."""

    def parse(text: str) -> list[str]:
        given = text.split(",")
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return given

    return parse


def start(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; limit the threads of this process and of those it starts."""
    args = parser.parse_args()
    if "data" in args and not args.data.is_dir():
        sys.exit(f"{parser.prog}: no data sets in {args.data}; name their folder with --data.")
    for name in THREAD_VARIABLES:
        os.environ[name] = str(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    args.results.mkdir(parents=True, exist_ok=True)
    return args


def read_part(folder: Path, name: str, part: str) -> tuple[list[str], list[str]]:
    """Give texts and labels of one file."""
    csv.field_size_limit(10**9)
    path = folder / name / f"{part}.csv.gz"
    if not path.is_file():
        sys.exit(f"There is no {name}/{part}.csv.gz among the data sets.")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        pairs = [(row["text"], row["label"]) for row in rows]
    return [text for text, _ in pairs], [label for _, label in pairs]


def load(
    folder: Path, name: str, part: str, *, seed: int = 0, limit: int = 0
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Give training texts and labels, then those to measure on.

    `part` is "test", "dev", or "validation": a stratified share of the training file, the same
    for every seed. The files are sorted by class, so the training documents are shuffled by
    `seed`, as is what `limit` leaves.
    """
    import numpy as np
    from sklearn.model_selection import train_test_split

    texts, labels = read_part(folder, name, "train")
    if part == "validation":
        texts, held_out, labels, held_out_labels = train_test_split(
            texts, labels, test_size=VALIDATION_SHARE, stratify=labels, random_state=0
        )
    else:
        held_out, held_out_labels = read_part(folder, name, part)

    def shuffled(values: list[str]) -> list[str]:
        order = np.random.default_rng(seed).permutation(len(values))
        return [values[i] for i in order[: limit or None]]

    return tuple(shuffled(values) for values in (texts, labels, held_out, held_out_labels))


def in_own_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of a module in a new interpreter, so that nothing is left of the last."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


class Rows:
    """The measured rows of a CSV file; a row is found by its settings, or measured and kept.

    The machine and the versions are settings too: rows from elsewhere stay in the file, and
    are neither found nor shown.
    """

    def __init__(self, path: Path, *, again: bool) -> None:
        self.path, self.again, self.machine = path, again, machine_line()
        self._lock = Lock()
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows = [_parsed(row) for row in csv.DictReader(file)]

    def get(
        self, settings: dict[str, Any], measure: Callable[..., dict[str, Any]], *args: Any
    ) -> dict[str, Any]:
        """Give the row with these settings; where there is none, with what `measure` gives."""
        known = self.matching(settings)
        if known and not self.again:
            return known[0]
        measured = {k: _rounded(v) for k, v in measure(*args).items()}
        row = {**settings, **measured, "machine": self.machine}
        with self._lock:  # several rows may be measured at once
            self.rows = [other for other in self.rows if other not in known] + [row]
            self._write()
        print(" ".join(f"{k}={v}" for k, v in row.items() if k != "machine"), flush=True)
        return row

    def get_all(
        self,
        wanted: Iterable[dict[str, Any]],
        n_jobs: int,
        measure: Callable[[Path, dict[str, Any]], dict[str, Any]],
        data: Path,
    ) -> list[dict[str, Any]]:
        """Give the rows with each of these settings, `n_jobs` measured at once.

        Each by ``measure(data, settings)`` in a process of its own.
        """
        with ThreadPoolExecutor(n_jobs) as pool:
            return list(pool.map(lambda s: self.get(s, in_own_process, measure, data, s), wanted))

    def matching(self, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """Give the rows of this machine with these settings, whatever their others are."""
        wanted = {**settings, "machine": self.machine}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def _write(self) -> None:
        columns = list(dict.fromkeys(column for row in self.rows for column in row))
        unfinished = self.path.with_suffix(".part")  # a break must not cost the rows there are
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        unfinished.replace(self.path)


def _parsed(row: dict[str, str]) -> dict[str, Any]:
    def value(text: str) -> Any:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        return text

    return {k: value(v) for k, v in row.items()}


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def machine_line() -> str:
    """Say what the figures were measured with."""
    source = (ROOT / "skfnet" / "__init__.py").read_text(encoding="utf-8")
    skfnet = re.search(r'__version__ = "(.+)"', source)[1]  # importing it would load torch
    names = {"sklearn": "scikit-learn", "fasttext": "fasttext-numpy2"}
    others = ", ".join(
        f"{name} {_version(names.get(name, name))}"
        for name in ("sklearn", "torch", "tokenizers", "fasttext")
    )
    return (
        f"Python {platform.python_version()}, skfnet {skfnet}, {others}; "
        f"{os.cpu_count()} cores of {_processor()}."
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def gpu_name(device: str) -> str:
    """Give the name of a GPU; nothing for the CPU, whose name every row has."""
    if device == "cpu":
        return ""
    import torch

    return torch.cuda.get_device_name(device)


def mean_sd(values: Sequence[float], digits: int = 3) -> str:
    """Show a mean, and the standard deviation where there is one."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Give a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write_report(path: Path, title: str, machine: str, *parts: str) -> None:
    """Write a Markdown page, and show it."""
    page = "\n\n".join([f"# {title}", *filter(None, parts), f"Measured with {machine}"])
    path.write_text(page + "\n", encoding="utf-8")
    print("\n" + page)


def notes(sets: Iterable[str]) -> str:
    """Say what must be known of these data sets."""
    return " ".join(NOTES[name] for name in sets if name in NOTES)


def figure(n_columns: int, height: float) -> tuple[Any, Any]:
    """Give a figure with `n_columns` axes side by side, drawn without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (4.5 * n_columns + 1, height)
    made, axes = pyplot.subplots(1, n_columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes[0]:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    return made, axes[0]
