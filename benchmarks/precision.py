"""What bfloat16 arithmetic does to the probabilities of FNetClassifier.

A default FNetClassifier is fitted in the precision asked for, on 85 % of a training file, and
gives the probabilities of the other 15 %: in float32 and in bfloat16, all at once, and for the
first documents each alone. Shown are largest differences between probabilities: bfloat16 from
float32, and alone from in company in either. `--device` takes what `FNetClassifier` does.

Writes precision.{md,csv} under benchmarks/results. A row that the CSV holds is not measured
again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/precision.py --sets trec6
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import (
    Rows,
    add_data_options,
    in_own_process,
    load,
    make_parser,
    names_of,
    start,
    table,
    write_report,
)

SETS = ("trec6", "r8")  # short and long documents
N_ALONE = 200  # documents that are predicted one by one too
PRECISIONS = ("float32", "bfloat16")


def measure(folder: Path, name: str, device: str, trained_in: str, limit: int) -> dict[str, Any]:
    import numpy as np

    from skfnet import FNetClassifier

    texts, labels, others, expected = load(folder, name, "validation", limit=limit)
    clf = FNetClassifier(random_state=0, device=device, precision=trained_in).fit(texts, labels)
    together, alone = {}, {}
    for precision in PRECISIONS:
        clf.set_params(precision=precision)
        together[precision] = clf.predict_proba(others)
        alone[precision] = np.vstack([clf.predict_proba([text]) for text in others[:N_ALONE]])
    best = {k: clf.classes_[p.argmax(axis=1)] for k, p in together.items()}
    return {
        "device_type": clf.device_.type,
        "n_documents": len(others),
        "accuracy": float(np.mean(best["float32"] == np.array(expected))),
        "accuracy_bfloat16": float(np.mean(best["bfloat16"] == np.array(expected))),
        "same_class": float(np.mean(best["float32"] == best["bfloat16"])),
        "from_float32": float(np.abs(together["bfloat16"] - together["float32"]).max()),
        **{
            f"company_{k}": float(np.abs(together[k][:N_ALONE] - alone[k]).max())
            for k in PRECISIONS
        },
    }


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    parser.add_argument("--sets", type=names_of(SETS), default=list(SETS), metavar="NAMES")
    parser.add_argument("--device", default="auto")
    args = start(parser)
    rows = Rows(args.results / "precision.csv", again=args.again)
    lines = []
    for name in args.sets:
        for trained_in in PRECISIONS:
            settings = {
                "set": name,
                "device": args.device,
                "trained_in": trained_in,
                "threads": args.threads,
                "limit": args.limit,
            }
            job = (measure, args.data, name, args.device, trained_in, args.limit)
            row = rows.get(settings, in_own_process, *job)
            lines.append(
                [name, row["device_type"], trained_in]
                + [f"{row[k]:.3f}" for k in ("accuracy", "accuracy_bfloat16", "same_class")]
                + [f"{row[k]:.1e}" for k in ("from_float32", *(f"company_{k}" for k in PRECISIONS))]
            )
    header = [
        "set",
        "device",
        "trained in",
        "accuracy, float32",
        "accuracy, bfloat16",
        "same class",
        "bfloat16 from float32",
        "alone from in company, float32",
        "the same, bfloat16",
    ]
    write_report(
        args.results / "precision.md",
        "Precision",
        rows.machine,
        table(header, lines),
        "The last three columns are largest differences between two probabilities.",
    )


if __name__ == "__main__":
    main()
