"""What `import skfnet` adds to `import torch, sklearn, skorch`.

New interpreters import the three alone, and the three and skfnet, in turn; the first pair is
not counted, it brings the files into memory. The increment is measured twice: as the difference
of the two medians, and inside the interpreter around `import skfnet` alone, which is the steadier
figure. Nothing is random here.

Writes import_time.{md,csv} under benchmarks/results. A row that the CSV holds is not measured
again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/import_time.py --repeats 15
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from common import ROOT, Rows, make_parser, start, table, write_report

BAR = 0.2  # seconds
BASE = "import torch, sklearn, skorch"
TIMED = f"""
import json, time
times = [time.perf_counter()]
{BASE}
times.append(time.perf_counter())
%s
times.append(time.perf_counter())
print(json.dumps(times))
"""


def import_seconds(statement: str) -> tuple[float, float]:
    """Give the seconds of all imports, and of `statement` after the others."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED % statement],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    begin, between, end = json.loads(done.stdout)
    return end - begin, end - between


def measure() -> dict[str, float]:
    base, _ = import_seconds("pass")
    both, alone = import_seconds("import skfnet")
    return {"base_seconds": base, "with_skfnet_seconds": both, "increment_seconds": alone}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=9, metavar="N")
    args = start(parser)
    rows = Rows(args.results / "import_time.csv", again=args.again)
    measure()
    found = [
        rows.get({"repeat": repeat, "threads": args.threads}, measure)
        for repeat in range(args.repeats)
    ]
    names = ("base_seconds", "with_skfnet_seconds", "increment_seconds")
    base, both, alone = (median(row[name] for row in found) for name in names)
    lines = [
        [f"`{BASE}`", f"{base:.2f}"],
        ["the same and `import skfnet`", f"{both:.2f}"],
        ["difference", f"{both - base:.2f}"],
        ["`import skfnet` alone, after the others", f"**{alone:.3f}**"],
    ]
    verdict = "yes" if alone < BAR else "no"
    write_report(
        args.results / "import_time.md",
        "Time to import",
        rows.machine,
        table(["imports", f"seconds, median of {len(found)}"], lines),
        f"Less than {BAR} s more than the three: {verdict}.",
    )


if __name__ == "__main__":
    main()
