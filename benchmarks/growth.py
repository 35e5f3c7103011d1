"""How time and memory grow with the length of documents and with the size of a corpus.

For each mixer an FNetClassifier of default size is fitted for one epoch, and predicts. Against
length: documents of so many random tokens each, 65,536 tokens in all, 16,384 in a batch. Against
the corpus: texts of 30 random words of a Zipf distribution, tokenization included. Each fit runs in
a process of its own; its peak memory is that of the process, libraries included. The exponent is
the slope of a straight line through the logarithms: of seconds a document against its length (from
1,024 tokens on), of seconds against the number of documents (from 10,000 on).

Writes growth.{md,csv,png} under benchmarks/results. A row that the CSV holds is not measured
again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/growth.py
  python benchmarks/growth.py --mixers fourier --longest 1024 --largest 3000
"""

from __future__ import annotations

import time
from typing import Any

from common import Rows, figure, in_own_process, make_parser, names_of, start, table, write_report

MIXERS = ("fourier", "fourier_frames", "spectral", "attention")
LENGTHS = tuple(2**k for k in range(7, 15))
CORPORA = (1000, 3000, 10_000, 30_000, 100_000)
TOKENS, TOKENS_A_BATCH = 65_536, 16_384
WORDS_A_TEXT, VOCABULARY = 30, 20_000
# Below these, what a fit or a document costs whatever its size would bend the line.
STRAIGHT_FROM = {"length": 1024, "documents": 10_000}


def corpus(kind: str, size: int) -> tuple[Any, list[int], dict[str, Any]]:
    """Give documents, labels, and the classifier's parameters."""
    import numpy as np

    from skfnet.batches import SpecialTokens, TokenArray

    random = np.random.default_rng(0)
    if kind == "documents":
        ranks = np.minimum(random.zipf(1.3, size=(size, WORDS_A_TEXT)), VOCABULARY)
        texts = [" ".join(f"w{rank}" for rank in row) for row in ranks]
        return texts, [i % 2 for i in range(size)], {}
    n = TOKENS // size
    ids = random.integers(5, VOCABULARY, size=(n, size))
    tokens = TokenArray.from_rows(ids.tolist(), VOCABULARY, SpecialTokens(0, (), ()))
    parameters = {"max_length": size, "batch_size": max(TOKENS_A_BATCH // size, 1)}
    return tokens, [i % 2 for i in range(n)], parameters


def measure(kind: str, mixer: str, size: int, threads: int) -> dict[str, float]:
    import resource

    import torch

    from skfnet import FNetClassifier

    torch.set_num_threads(threads)
    few, labels, parameters = corpus(kind, 64)
    FNetClassifier(max_epochs=1, width=16, **parameters).fit(few, labels)  # loads libraries
    documents, labels, parameters = corpus(kind, size)
    clf = FNetClassifier(
        mixer=mixer, n_encoders=1, max_epochs=1, random_state=0, device="cpu", **parameters
    )
    begin = time.perf_counter()
    clf.fit(documents, labels)
    fitted = time.perf_counter()
    clf.predict(documents)
    return {
        "n_documents": len(labels),
        "fit_seconds": fitted - begin,
        "predict_seconds": time.perf_counter() - fitted,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--mixers", type=names_of(MIXERS), default=list(MIXERS), metavar="NAMES")
    add("--longest", type=int, default=LENGTHS[-1], metavar="N")
    add("--largest", type=int, default=CORPORA[-1], metavar="N")
    args = start(parser)
    rows = Rows(args.results / "growth.csv", again=args.again)
    sizes = {
        "length": [n for n in LENGTHS if n <= args.longest],
        "documents": [n for n in CORPORA if n <= args.largest],
    }
    found = {
        (kind, mixer): [
            rows.get(
                {"kind": kind, "mixer": mixer, "size": size, "threads": args.threads},
                in_own_process,
                *(measure, kind, mixer, size, args.threads),
            )
            for size in sizes[kind]
        ]
        for kind in sizes
        for mixer in args.mixers
    }
    report(args, rows.machine, found)


def each(row: dict[str, Any], key: str) -> float:
    """Seconds a document where the length varies, seconds in all where the corpus does."""
    return row[key] / row["n_documents"] if row["kind"] == "length" else row[key]


def exponent(found: list[dict[str, Any]], key: str) -> float:
    import numpy as np

    used = [row for row in found if row["size"] >= STRAIGHT_FROM[row["kind"]]]
    if len(used) < 2:
        return float("nan")
    logs = np.log([[row["size"], each(row, key)] for row in used])
    return float(np.polyfit(*logs.T, 1)[0])


def report(args: Any, machine: str, found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    parts = []
    for kind, text in (("length", "tokens a document"), ("documents", "documents")):
        per = ", ms a document" if kind == "length" else ", s"
        for key, name in (
            ("fit_seconds", f"Training (one epoch){per}"),
            ("predict_seconds", f"Prediction{per}"),
            ("peak_mb", "Peak memory of the process, MB"),
        ):
            sizes = [row["size"] for row in found[kind, args.mixers[0]]]
            header = ["mixer", *(f"{n:,}" for n in sizes)]
            if key != "peak_mb":
                header.append("exponent")
            lines = []
            for mixer in args.mixers:
                own = found[kind, mixer]
                if key == "peak_mb":
                    lines.append([mixer, *(f"{row[key]:,.0f}" for row in own)])
                    continue
                scale = 1000 if kind == "length" else 1
                cells = [f"{scale * each(row, key):,.3g}" for row in own]
                lines.append([mixer, *cells, f"{exponent(own, key):.2f}"])
            parts += [f"{name}, by {text}:", table(header, lines)]
    write_report(
        args.results / "growth.md",
        "Growth with length and corpus",
        machine,
        f"FNetClassifier of default size, {args.threads} threads.",
        *parts,
    )
    made, axes = figure(3, 6)
    made.clf()
    axes = made.subplots(2, 3)
    for line, kind in zip(axes, ("length", "documents"), strict=True):
        names = ("fit_seconds", "predict_seconds", "peak_mb")
        titles = ("training", "prediction", "peak memory, MB")
        for ax, key, title in zip(line, names, titles, strict=True):
            for mixer in args.mixers:
                own = found[kind, mixer]
                y = [row[key] if key == "peak_mb" else each(row, key) for row in own]
                ax.plot([row["size"] for row in own], y, marker="o", ms=3, label=mixer)
            unit = "" if key == "peak_mb" else ", s a document" if kind == "length" else ", s"
            ax.set(xscale="log", yscale="log", title=title + unit, xlabel=kind)
            ax.grid(alpha=0.3)
    axes[0, 0].legend()
    made.savefig(args.results / "growth.png", dpi=150)


if __name__ == "__main__":
    main()
