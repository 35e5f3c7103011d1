"""What mixing costs: forward and backward passes of encoders with each mixer, beside others'.

Every model is an encoder of the same depth, width and vocabulary, in training mode with the same
dropout, on batches of the same number of tokens, all rows equally long. In each round every model
of a group takes one step (zeroed gradients, forward, backward of the mean square; no optimizer),
in an order that moves on by one from round to round, so that the machine's moods meet all of them;
shown are medians of the rounds' ratios. "none" is the same encoder without mixing. Bigram
embeddings are off: they have nothing to do with mixing.

"transformers FNet" and "transformers BERT" are FNetModel and BertModel (fused attention kernel, no
dropout of attention weights, as here) of the `transformers` library, without pooler. "fourier, as
published" is EncoderConfig.base at the same size, which computes what FNetModel computes.

Writes mixing.{md,csv,png} under benchmarks/results (mixing_cuda with --device cuda). A row that the
CSV holds is not measured again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/mixing.py
  python benchmarks/mixing.py --lengths 128,4096 --rounds 3
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from common import Rows, figure, in_own_process, make_parser, start, table, write_report

LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
VOCABULARY = 8000
GROUPS = {
    "main": ("none", "fourier", "hartley", "published", "FNetModel", "BertModel"),
    "others": (
        *("none", "dct", "hadamard", "wavelet", "fourier_sequence", "fourier_hidden"),
        *("fourier_abs", "fourier_complex", "fractional", "linear", "random", "attention"),
        "spectral",
    ),
}
THEIRS = ("FNetModel", "BertModel")
SHOWN = {
    "published": "fourier, as published",
    "FNetModel": "transformers FNet",
    "BertModel": "transformers BERT",
}


def encoder(name: str, length: int, depth: int, width: int) -> tuple[Any, Callable[..., Any]]:
    """Give a model and a function of it, ids and lengths to hidden states."""
    from skfnet.nn import Encoder, EncoderConfig

    sizes = {"vocab_size": VOCABULARY, "width": width, "depth": depth, "max_length": length}
    if name in THEIRS:
        model = theirs(name, length, depth, width)
        return model, lambda ids, lengths: model(ids).last_hidden_state
    if name == "published":
        model = Encoder(EncoderConfig.base(**sizes))
    else:
        model = Encoder(EncoderConfig(**sizes, mixer=name, bigram_buckets=0))
    return model, model


def theirs(name: str, length: int, depth: int, width: int) -> Any:
    import transformers

    config = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "intermediate_size": 4 * width,
        "max_position_embeddings": length,
    }
    if name == "FNetModel":
        return transformers.FNetModel(transformers.FNetConfig(**config), add_pooling_layer=False)
    config |= {"num_attention_heads": max(width // 64, 1), "attention_probs_dropout_prob": 0.0}
    return transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False)


def measure(settings: dict[str, Any], rounds: int) -> dict[str, float]:
    """Give the seconds of each model's step, one column a model and round."""
    import torch

    torch.manual_seed(0)
    device = torch.device(settings["device"])
    length, n_rows = settings["length"], max(settings["tokens"] // settings["length"], 1)
    ids = torch.randint(VOCABULARY, (n_rows, length), device=device)
    lengths = torch.full((n_rows,), length, device=device)
    bfloat16 = partial(
        torch.autocast, device.type, torch.bfloat16, settings["precision"] == "bfloat16"
    )

    def step(model: Any, function: Callable[..., Any]) -> float:
        begin = time.perf_counter()
        model.zero_grad(set_to_none=True)
        with bfloat16():
            hidden = function(ids, lengths)
        hidden.float().square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    models = {}
    for name in GROUPS[settings["group"]]:
        model, function = encoder(name, length, settings["depth"], settings["width"])
        models[name] = model.to(device).train(), function
        step(*models[name])
    names, found = list(models), {}
    for i in range(rounds if settings["group"] == "main" else max(rounds // 3, 3)):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            found[f"{name}:{i}"] = step(*models[name])
    return found


def seconds(row: dict[str, Any], name: str) -> list[float]:
    return [v for k, v in row.items() if k.startswith(f"{name}:") and v != ""]


def ratio(row: dict[str, Any], name: str, other: str) -> float:
    """Median over the rounds of the one's seconds by the other's."""
    pairs = zip(seconds(row, name), seconds(row, other), strict=True)
    return median(a / b for a, b in pairs)


def main() -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--lengths", type=lambda s: [int(n) for n in s.split(",")], default=LENGTHS, metavar="N,N")
    add("--tokens", type=int, default=8192, metavar="N", help="tokens a batch")
    add("--depth", type=int, default=4)
    add("--width", type=int, default=256)
    add("--rounds", type=int, default=9, metavar="N", help="a third of it for rare mixers")
    add("--device", default="cpu")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    args = start(parser)
    name = "mixing" if args.device == "cpu" else f"mixing_{args.device}_{args.precision}"
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    names = ("tokens", "depth", "width", "device", "threads", "precision")
    found = {}
    for group in GROUPS:
        for length in args.lengths:
            settings = {"group": group, "length": length, **{k: vars(args)[k] for k in names}}
            settings["gpu"] = gpu_name(args.device)
            found[group, length] = rows.get(
                settings, in_own_process, measure, settings, args.rounds
            )
    report(args, name, rows.machine, found)


def gpu_name(device: str) -> str:
    if device == "cpu":
        return ""
    import torch

    return torch.cuda.get_device_name(device)


def report(args: Any, name: str, machine: str, found: dict[tuple[str, int], Any]) -> None:
    lengths = list(args.lengths)
    header = ["model", *(f"{n:,}" for n in lengths)]
    costs = [
        [SHOWN.get(model, model), *(f"{ratio(found[g, n], model, 'none'):.2f}" for n in lengths)]
        for g, models in GROUPS.items()
        for model in models
        if model != "none"
    ]
    ahead = [
        [f"{SHOWN.get(a, a)}, times {SHOWN[b]}"]
        + [f"{ratio(found['main', n], b, a):.2f}" for n in lengths]
        for a in ("fourier", "published")
        for b in THEIRS
    ]
    none = {n: median(seconds(found["main", n], "none")) for n in lengths}
    speed = [
        ["none", *(f"{args.tokens / none[n]:,.0f}" for n in lengths)],
        [
            "fourier",
            *(
                f"{args.tokens / median(seconds(found['main', n], 'fourier')):,.0f}"
                for n in lengths
            ),
        ],
    ]
    write_report(
        args.results / f"{name}.md",
        "What mixing costs",
        machine,
        f"Forward and backward pass of an encoder of depth {args.depth} and width {args.width}, "
        f"{args.tokens:,} tokens a batch, {args.precision}, {args.device}, {args.threads} threads. "
        "Time as a multiple of the same encoder without mixing, by length of the rows:",
        table(header, costs),
        "Training speed, as a multiple of the other library's:",
        table(header, ahead),
        "Tokens a second:",
        table(header, speed),
    )
    made, (left, right) = figure(2, 4)
    for g, models in GROUPS.items():
        for model in models:
            if model in ("none", "published"):
                continue
            values = [ratio(found[g, n], model, "none") for n in lengths]
            main = model in ("fourier", "attention", "spectral", "FNetModel", "BertModel")
            style = {} if main else {"color": "grey", "alpha": 0.4, "lw": 1}
            left.plot(
                lengths,
                values,
                marker=".",
                label=SHOWN.get(model, model) if main else None,
                **style,
            )
    left.plot([], [], color="grey", alpha=0.4, label="other mixers")
    left.set(xscale="log", yscale="log", xlabel="tokens a row", ylabel="time beside no mixing")
    left.legend(fontsize=8)
    for color, other in zip(("C0", "C1"), THEIRS, strict=True):
        for ours, style in (("fourier", "-"), ("published", ":")):
            values = [ratio(found["main", n], other, ours) for n in lengths]
            label = f"{SHOWN.get(ours, ours)}, beside {SHOWN[other]}"
            right.plot(lengths, values, style, color=color, marker="o", ms=4, label=label)
    right.axhline(1, color="grey", lw=1)
    right.set(xscale="log", xlabel="tokens a row", ylabel="times as fast", ylim=(0, None))
    right.legend(fontsize=8)
    made.savefig(args.results / f"{name}.png", dpi=150)


if __name__ == "__main__":
    main()
