"""Which way to compute the Fourier mixing: torch's real FFT, or products with tables.

Times the two routes of skfnet.nn.dft on one batch of 8,192 tokens, for equally long rows of many
lengths and for ragged rows (lengths around the one named), by width. Shown is the time of "matmul"
by that of "fft", medians of alternating runs: above 1 the FFT is faster. `choose_route` follows
this table. What does not depend on the layer, the tables and the groups of equal rows, is made once
for a batch: --transforms is how often it is used, 1 being the worst case for tables.

Writes routes.{md,csv} under benchmarks/results; other devices and precisions have their own,
routes_cuda_bfloat16 for instance. A row that the CSV holds is not measured again, whatever has
changed in the code: use --again.

For instance:
  python benchmarks/routes.py
  python benchmarks/routes.py --device cuda --precision bfloat16 --transforms 8
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from common import Rows, gpu_name, make_parser, start, table, write_report

LENGTHS = (16, 32, 64, 127, 128, 256, 509, 512, 1024, 2048)
WIDTHS = (64, 128, 256, 768)
TOKENS = 8192


def measure(settings: dict[str, Any], repeats: int) -> dict[str, float]:
    """Give the median milliseconds of each route."""
    import torch

    from skfnet.nn import dft

    torch.manual_seed(0)
    n, device = settings["length"], torch.device(settings["device"])
    n_rows = max(TOKENS // n, 1)
    lengths = torch.full((n_rows,), n)
    if settings["rows"] == "ragged":  # as in a batch of documents of like length
        lengths = torch.randint(max(n * 9 // 10, 1), n + 1, (n_rows,)).sort().values
    lengths = lengths.to(device)
    dtype = getattr(torch, settings["precision"])
    x = torch.randn(n_rows, n, settings["width"], device=device, dtype=dtype)
    seconds: dict[str, list[float]] = {"fft": [], "matmul": []}
    for _ in range(repeats + 1):
        for route, function in (("fft", dft._by_fft), ("matmul", dft._by_matmul)):
            batch = lengths.clone()  # nothing is known of a new tensor
            begin = time.perf_counter()
            for _ in range(settings["transforms"]):
                function(x, batch, True, "real")
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[route].append(time.perf_counter() - begin)
    return {f"{route}_ms": 1000 * median(times[1:]) for route, times in seconds.items()}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=9, metavar="N")
    parser.add_argument("--transforms", type=int, default=1, metavar="N", help="of one batch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    args = start(parser)
    kind = [word for word in (args.device, args.precision) if word != "cpu"]
    name = "routes" if kind == ["float32"] else "_".join(["routes", *kind])
    gpu = gpu_name(args.device)
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    lines = []
    for kind in ("equal", "ragged"):
        for width in WIDTHS:
            cells = []
            for length in LENGTHS:
                settings = {
                    "rows": kind,
                    "width": width,
                    "length": length,
                    "device": args.device,
                    "gpu": gpu,
                    "precision": args.precision,
                    "threads": args.threads,
                    "transforms": args.transforms,
                }
                row = rows.get(settings, measure, settings, args.repeats)
                cells.append(f"{row['matmul_ms'] / row['fft_ms']:.1f}")
            lines.append([kind, width, *cells])
    write_report(
        args.results / f"{name}.md",
        "FFT or matrix products",
        rows.machine,
        f"Time of the matrix products by that of the FFT, {TOKENS:,} tokens, {args.precision}, "
        f"{gpu or args.device}, {args.threads} threads, {args.transforms} transform(s) of a batch, "
        "by the rows' length:",
        table(["rows", "width", *(f"{n:,}" for n in LENGTHS)], lines),
    )


if __name__ == "__main__":
    main()
