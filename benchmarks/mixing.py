"""What mixing costs: forward and backward passes of encoders with each mixer, beside others'.

Every model is an encoder of the same depth, width and vocabulary, in training mode with the same
dropout, on batches of the same number of tokens, all rows equally long. Two models at a time, alone
in a process, take turns at a step (zeroed gradients, forward, backward of the mean square; no
optimizer); shown is the median of the rounds' ratios. "none" is the same encoder without mixing.
Bigram embeddings are off: they have nothing to do with mixing.

With --forward the steps are forward passes alone, without dropout and gradients: prediction.

"transformers FNet" and "transformers BERT" are FNetModel and BertModel (fused attention kernel, no
dropout of attention weights, as here) of the `transformers` library, without pooler. FNetModel
always runs in float32: its FFT takes no bfloat16. "fourier, as published" is EncoderConfig.base at
the same size, which computes what FNetModel computes.

Writes mixing.{md,csv,png} under benchmarks/results; other devices, precisions, passes and sizes
have their own, mixing_cuda_bfloat16_forward for instance. A row that the CSV holds is not measured
again, whatever has changed in the code: use --again. On a GPU one process measures all rows.

For instance:
  python benchmarks/mixing.py
  python benchmarks/mixing.py --lengths 128,4096 --rounds 3
  python benchmarks/mixing.py --device cuda --precision bfloat16 --forward
  python benchmarks/mixing.py --depth 12 --width 768 --mixers fourier,attention
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from common import (
    Rows,
    figure,
    gpu_name,
    in_own_process,
    make_parser,
    names_of,
    start,
    table,
    write_report,
)

LENGTHS = (32, 128, 512, 2048, 4096)
VOCABULARY = 8000
MIXERS = (
    *("fourier", "hartley", "dct", "hadamard", "wavelet", "fourier_sequence", "fourier_hidden"),
    *("fourier_abs", "fourier_complex", "fractional", "linear", "random", "attention", "spectral"),
    "fourier_frames",
)
THEIRS = {"FNetModel": "transformers FNet", "BertModel": "transformers BERT"}
PUBLISHED = "fourier, as published"
PASSES = {"both": "Forward and backward pass", "forward": "Forward pass"}
# Steps of the first by steps of the second.
ALWAYS = ("fourier", "hartley")  # with all rounds
AHEAD = [("FNetModel", "fourier"), ("FNetModel", PUBLISHED), ("BertModel", "fourier")]


def encoder(name: str, length: int, depth: int, width: int) -> tuple[Any, Callable[..., Any]]:
    """Give a model and a function of it, ids and lengths to hidden states."""
    from skfnet.nn import Encoder, EncoderConfig

    sizes = {"vocab_size": VOCABULARY, "width": width, "depth": depth, "max_length": length}
    sizes["feedforward_width"] = 4 * width  # as theirs have
    if name in THEIRS:
        model = theirs(name, length, depth, width)
        return model, lambda ids, lengths: model(ids).last_hidden_state
    if name == PUBLISHED:
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
    """Let two models take turns; give the median ratio, and the median seconds of each."""
    import torch

    torch.manual_seed(0)
    device = torch.device(settings["device"])
    length, n_rows = settings["length"], max(settings["tokens"] // settings["length"], 1)
    ids = torch.randint(VOCABULARY, (n_rows, length), device=device)
    lengths = torch.full((n_rows,), length, device=device)
    bfloat16 = settings["precision"] == "bfloat16"

    training = settings["passes"] == "both"

    def step(model: Any, function: Callable[..., Any], bfloat16: bool) -> float:
        # A new tensor, as a new batch has: what skfnet keeps for a batch is not kept for the next.
        batch_lengths = lengths.clone()
        begin = time.perf_counter()
        model.zero_grad(set_to_none=True)
        with (
            torch.inference_mode(not training),
            torch.autocast(device.type, torch.bfloat16, bfloat16),
        ):
            hidden = function(ids, batch_lengths)
        if training:
            hidden.float().square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    pair = []
    for name in (settings["model"], settings["beside"]):
        model, function = encoder(name, length, settings["depth"], settings["width"])
        pair.append((model.to(device).train(training), function, bfloat16 and name != "FNetModel"))
    seconds = [[step(*side) for side in pair] for _ in range(rounds + 1)][1:]
    ones, others = zip(*seconds, strict=True)
    return {
        "ratio": median(one / other for one, other in seconds),
        "lowest_ratio": min(ones) / min(others),
        "seconds": median(ones),
        "seconds_beside": median(others),
    }


def main() -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--lengths", type=lambda s: [int(n) for n in s.split(",")], default=LENGTHS, metavar="N,N")
    add("--tokens", type=int, default=8192, metavar="N", help="tokens a batch")
    add("--depth", type=int, default=4)
    add("--width", type=int, default=256)
    add("--mixers", type=names_of(MIXERS), default=list(MIXERS), metavar="NAMES")
    add("--rounds", type=int, default=9, metavar="N", help="a third of it for rare mixers")
    add("--device", default="cpu")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--forward", dest="passes", action="store_const", const="forward", default="both")
    args = start(parser)
    plain = {"cpu", "float32", "both"}
    kind = [word for word in (args.device, args.precision, args.passes) if word not in plain]
    if (args.depth, args.width) != (parser.get_default("depth"), parser.get_default("width")):
        kind.append(f"{args.depth}x{args.width}")
    name = "_".join(["mixing", *kind])
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    names = ("tokens", "depth", "width", "device", "threads", "precision", "passes")
    common = {"gpu": gpu_name(args.device), **{k: vars(args)[k] for k in names}}
    # On a CPU nothing may be left of the last pair: memory once used is cheaper to use again.
    alone = in_own_process if args.device == "cpu" else lambda function, *args: function(*args)
    found = {}
    costs = [(mixer, "none") for mixer in args.mixers]
    often = [pair for pair in costs if pair[0] in ALWAYS] + AHEAD
    for model, beside in dict.fromkeys([*often, *costs]):
        rounds = args.rounds if (model, beside) in often else max(args.rounds // 3, 3)
        for length in args.lengths:
            settings = {"model": model, "beside": beside, "length": length, **common}
            found[model, beside, length] = rows.get(settings, alone, measure, settings, rounds)
    report(args, name, rows.machine, found)


def report(args: Any, name: str, machine: str, found: dict[tuple[str, str, int], Any]) -> None:
    lengths = list(args.lengths)
    costs = [(mixer, "none") for mixer in args.mixers]
    header = ["", *(f"{n:,}" for n in lengths)]

    def values(key: str, model: str, beside: str) -> list[float]:
        return [found[model, beside, n][key] for n in lengths]

    def line(title: str, numbers: list[float], form: str = ".2f") -> list[str]:
        return [title, *(format(number, form) for number in numbers)]

    per_token = [found["fourier", "none", n]["seconds"] / args.tokens for n in lengths]
    write_report(
        args.results / f"{name}.md",
        "What mixing costs",
        machine,
        f"{PASSES[args.passes]} of an encoder of depth {args.depth} and width {args.width}, "
        f"{args.tokens:,} tokens a batch, {args.precision}, "
        f"{gpu_name(args.device) or args.device}, {args.threads} threads. "
        "Time as a multiple of the same encoder without mixing, by length of the rows:",
        table(header, [line(m, values("ratio", m, b)) for m, b in costs]),
        "How many times as fast as the other library's encoder of the same size:",
        table(
            header,
            [line(f"{b}, beside {THEIRS[m]}", values("ratio", m, b)) for m, b in AHEAD],
        ),
        "Tokens a second with `fourier`:",
        table(header, [line("", [1 / s for s in per_token], ",.0f")]),
    )
    made, (left, right) = figure(2, 4)
    for mixer, _ in costs:
        main = mixer in ("fourier", "attention", "spectral")
        style = {"label": mixer} if main else {"color": "grey", "alpha": 0.4, "lw": 1}
        left.plot(lengths, values("ratio", mixer, "none"), marker=".", **style)
    left.plot([], [], color="grey", alpha=0.4, label="other mixers")
    left.set(xscale="log", yscale="log", xlabel="tokens a row", ylabel="time beside no mixing")
    ticks = [1, 1.5, 2, 3, 4, 6, 8, 12]
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.set_ylim(0.9, 1.1 * max(max(values("ratio", *pair)) for pair in costs))
    left.legend(fontsize=8)
    for model, beside in AHEAD:
        label = f"{beside}, beside {THEIRS[model]}"
        right.plot(lengths, values("ratio", model, beside), marker="o", ms=4, label=label)
    right.axhline(1, color="grey", lw=1)
    right.set(xscale="log", xlabel="tokens a row", ylabel="times as fast", ylim=(0, None))
    right.legend(fontsize=8)
    for ax in (left, right):
        ax.minorticks_off()
        ax.set_xticks(lengths, [f"{n:,}" for n in lengths])
    made.savefig(args.results / f"{name}.png", dpi=150)


if __name__ == "__main__":
    main()
