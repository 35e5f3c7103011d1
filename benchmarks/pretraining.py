r"""What pretraining gives: labels saved, what is to stay, mixers at equal steps, padding, speed.

Five questions, each with a table (--parts):

labels: FNetPretrainer learns from the training texts of imdb and of ag_news, without labels, by
latent semantic analysis alone unless --params say otherwise; then FNetClassifier starts from it
with few labels and with many. Beside it FNetClassifier without pretraining, and TF-IDF +
LogisticRegression as in accuracy.py, on the same labelled documents. Scored on the official test
file, or with --validation on a stratified 15 % of the training file, whose texts the pretrainer
then does not see either. One pretraining a corpus; each seed draws other labelled documents.

freeze: the same with each value of FNetClassifier's `freeze`, on few labels of imdb, ag_news and
banking77, scored on a stratified 15 % of the training file, of whose texts none was pretrained on.

mixers: the paper's trade of accuracy for speed at small size: on ag_news, pretraining of the
published architecture with Fourier mixing, attention and no mixing for equally many steps; and
with the learned filters of spectral mixing, FNetPretrainer's default otherwise.

padding: an encoder of the published architecture that was pretrained, like Google's, on texts
made max_length long by [PAD] tokens, for as many steps; then fine-tuned on 2,000 labelled
documents of ag_news with such padding, and with each text at its own length, and scored on 15 % of
the training file, which were not pretrained on either.

speed: steps of pretraining beside a plain PyTorch loop over transformers' FNetForPreTraining of
the same size, on texts of imdb that are all cut at the same number of tokens, so that no batch is
padded. The loop hides tokens likewise and has the optimizer AdamW. The sides take turns, each in a
process of its own; ratios are medians over the repeats.

What was pretrained is kept under --work: a pretraining that was interrupted goes on, and one that
has ended is taken as it is; delete it where a default of FNetPretrainer has changed. Writes
pretraining.{md,csv,png} under benchmarks/results, or pretraining_validation.* with --validation. A
row that the CSV holds is not measured again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/pretraining.py --work ~/pretrained
  python benchmarks/pretraining.py --work ~/pretrained --parts speed --repeats 1
  python benchmarks/pretraining.py --work ~/pretrained --parts labels --validation --seeds 1
  python benchmarks/pretraining.py --work ~/pretrained --parts labels --sets ag_news --params \
    '{"masked_share": 0.3, "max_epochs": 3, "width": 128, "mixer": "spectral"}'
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import warnings
from argparse import Namespace
from math import isnan, nan
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from common import (
    Rows,
    add_data_folder,
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
from peers import MODELS

PARTS = ("labels", "freeze", "mixers", "padding", "speed")
N_LABELS = {"imdb": (500, 2000, 25000), "ag_news": (100, 1000)}
# What was best on a part of the training files: latent semantic analysis alone.
PRETRAINER = {"max_epochs": 0, "width": 64, "mixer": "fourier_frames"}
STARTS = {
    "pretrained": "FNetClassifier, pretrained",
    "scratch": "FNetClassifier, from scratch",
    "lr": MODELS["lr"].label,
}
FREEZES = {"half": "half", "words": "words", "none": None}
FEW_LABELS = (("imdb", 500), ("ag_news", 100), ("ag_news", 1000), ("banking77", 770))
# The paper's names, or where the mixer is from; the paper's accuracies of hidden tokens and of
# order at Base size.
MIXERS = {
    "fourier": ("FNet", ".58", ".80"),
    "attention": ("BERT", ".68", ".86"),
    "none": ("FF-only", "", ""),
    "spectral": ("arXiv 2502.18394", "", ""),
}
VOCABULARY = 8000
SMALL = {"architecture": "paper", "depth": 4, "width": 256, "max_length": 128}
MIXED = SMALL | {"width": 128, "pooling": "cls", "vocab_size": VOCABULARY}
PADDINGS = ("max_length", "exact")
N_FOR_PADDING = 2000
SIDES = {
    "skfnet": 'FNetPretrainer(architecture="paper")',
    "loop": "loop over transformers' FNetForPreTraining",
}
SHAPES = ((64, 128), (16, 512))  # documents a batch, tokens a document


def pretrain(data: Path, folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Pretrain one encoder and save it; say what it has learned and how long that took."""
    import torch

    from skfnet import FNetPretrainer, TextTokenizer

    torch.set_num_threads(settings["threads"])
    # Half-trained weights are not to be saved: a later run goes on from the checkpoint.
    warnings.filterwarnings("error", message="Training was interrupted")
    texts, _, _, _ = load(data, settings["set"], settings["part"])
    params = json.loads(settings["params"])
    if "vocab_size" in params:
        params["tokenizer"] = TextTokenizer(model="bpe", vocab_size=params.pop("vocab_size"))
    pretrainer = FNetPretrainer(
        **params,
        random_state=0,
        device="cpu",
        checkpoint=folder,
        checkpoint_minutes=2,
        resume=True,
    )
    begin = time.perf_counter()
    pretrainer.fit(texts)
    whole = time.perf_counter() - begin
    pretrainer.save(folder)
    last = pretrainer.history_[-1] if pretrainer.history_ else {}
    # Those of a run that went on are in its history; without a pass, there is the start alone.
    seconds = sum(row["seconds"] for row in pretrainer.history_) or whole
    return {
        "masked_tokens": last.get("valid_masked_tokens_accuracy", nan),
        "segment_order": last.get("valid_segment_order_accuracy", nan),
        "steps": pretrainer.n_steps_,
        "seconds": seconds,
        "steps_per_second": pretrainer.n_steps_ / seconds,
    }


def label(data: Path, folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Learn from some labelled documents, from one of the starts."""
    import torch

    from skfnet import FNetClassifier

    torch.set_num_threads(settings["threads"])
    texts, labels, others, expected = load(
        data, settings["set"], settings["part"], seed=settings["seed"]
    )
    texts, labels = texts[: settings["n_labels"]], labels[: settings["n_labels"]]
    with tempfile.TemporaryDirectory() as cache:
        if settings["start"] == "lr":
            model = MODELS["lr"].build(settings["seed"], settings["threads"], cache, {})
        else:
            model = FNetClassifier(
                pretrained=folder if settings["start"] == "pretrained" else None,
                padding=settings.get("padding", "auto"),
                freeze=FREEZES[settings["freeze"]] if "freeze" in settings else "auto",
                random_state=settings["seed"],
                device="cpu",
            )
        begin = time.perf_counter()
        model.fit(texts, labels)
        seconds = getattr(model, "refit_time_", time.perf_counter() - begin)
        return {"accuracy": float(model.score(others, expected)), "fit_seconds": seconds}


def steps(data: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Measure steps of pretraining, reading of texts and vocabulary left out."""
    import torch

    from skfnet import TextTokenizer

    torch.set_num_threads(settings["threads"])
    texts, _, _, _ = load(data, "imdb", "validation", seed=settings["repeat"])
    tokenizer = TextTokenizer(model="bpe", vocab_size=VOCABULARY).fit(texts[:2000])
    length, n = settings["length"], (settings["steps"] + 1) * settings["batch_size"]
    long = (text for text in texts if len(text) > 8 * length)
    chosen = [text for text in long if len(tokenizer.encode([text], length)[0]) == length][:n]
    run = {"skfnet": run_skfnet, "loop": run_loop}[settings["side"]]
    run(chosen[: 2 * settings["batch_size"]], tokenizer, settings)  # caches are filled
    seconds = run(chosen, tokenizer, settings)
    return {"tokens_per_second": len(chosen) * length / seconds, "documents": len(chosen)}


def run_skfnet(texts: list[str], tokenizer: Any, settings: dict[str, Any]) -> float:
    from sklearn.frozen import FrozenEstimator

    from skfnet import FNetPretrainer

    sizes = SMALL | {"max_length": settings["length"]}
    pretrainer = FNetPretrainer(
        **sizes,
        tokenizer=FrozenEstimator(tokenizer),
        pooling="cls",
        long_documents="truncate",
        batch_size=settings["batch_size"],
        max_epochs=1,
        validation_fraction=0,
        random_state=0,
        device="cpu",
    ).fit(texts)
    return pretrainer.history_[0]["seconds"]


def run_loop(texts: list[str], tokenizer: Any, settings: dict[str, Any]) -> float:
    import numpy as np
    import torch
    import transformers

    torch.manual_seed(0)
    tokens = tokenizer.encode(texts, settings["length"])
    ids = torch.tensor(np.stack([tokens[row] for row in range(len(texts))]), dtype=torch.long)
    config = transformers.FNetConfig(
        vocab_size=tokenizer.n_ids_,
        hidden_size=SMALL["width"],
        num_hidden_layers=SMALL["depth"],
        intermediate_size=4 * SMALL["width"],
        max_position_embeddings=settings["length"],
        pad_token_id=tokenizer.special_tokens_.pad,
    )
    model = transformers.FNetForPreTraining(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    begin = time.perf_counter()
    for batch in ids[torch.randperm(len(ids))].split(settings["batch_size"]):
        chosen, kind = torch.rand(batch.shape) < 0.15, torch.rand(batch.shape)
        hidden = batch.masked_fill(chosen & (kind < 0.8), tokenizer.special_tokens_.mask)
        random = torch.randint(tokenizer.n_ids_, batch.shape)
        hidden = torch.where(chosen & (kind > 0.9), random, hidden)
        types = (torch.arange(settings["length"]) >= settings["length"] // 2).long()
        loss = model(
            hidden,
            token_type_ids=types.expand_as(hidden),
            labels=batch.masked_fill(~chosen, -100),
            next_sentence_label=torch.randint(2, (len(batch),)),
        ).loss
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - begin


Found = dict[str, list[dict[str, Any]]]


def measure_labels(args: Namespace, rows: Rows, part: str) -> tuple[Found, Found]:
    """Give the rows of pretraining, and those of learning from labels."""
    pretrained: Found = {}
    learned: Found = {}
    for name in args.sets:
        first = {"part": part, "threads": args.threads, "set": name}
        params = json.dumps(PRETRAINER | json.loads(args.params), sort_keys=True)
        folder = pretrained_folder(args, f"{name}_{part}", params)
        of = {"measured": "pretraining", "params": params, **first}
        pretrained[name] = [get_pretrained(rows, of, args.data, folder)]
        for seed in range(args.seeds):
            for n_labels in numbers_of_labels(args, name):
                for begin in STARTS:
                    known = params if begin == "pretrained" else ""
                    settings = {"measured": "labels", "params": known, **first}
                    settings |= {"n_labels": n_labels, "start": begin, "seed": seed}
                    row = rows.get(settings, in_own_process, label, args.data, folder, settings)
                    learned.setdefault(f"{name} {n_labels} {begin}", []).append(row)
    return pretrained, learned


def numbers_of_labels(args: Namespace, name: str) -> list[int]:
    return [n for n in N_LABELS[name] if n <= args.most_labels]


def measure_freeze(args: Namespace, rows: Rows) -> Found:
    params = json.dumps(PRETRAINER, sort_keys=True)
    found: Found = {}
    for name, n_labels in FEW_LABELS:
        of = {"part": "validation", "threads": args.threads, "set": name}
        folder = pretrained_folder(args, f"{name}_validation", params)
        get_pretrained(rows, {"measured": "pretraining", "params": params, **of}, args.data, folder)
        for seed in range(args.seeds):
            for freeze in (*FREEZES, ""):
                how = {"start": "pretrained", "freeze": freeze} if freeze else {"start": "scratch"}
                settings = {"measured": "freeze", "params": params, **of, **how}
                settings |= {"n_labels": n_labels, "seed": seed}
                row = rows.get(settings, in_own_process, label, args.data, folder, settings)
                found.setdefault(f"{name} {n_labels} {freeze}", []).append(row)
    return found


def measure_mixers(args: Namespace, rows: Rows) -> Found:
    found: Found = {}
    for mixer in MIXERS:
        params = MIXED | {"mixer": mixer, "max_steps": args.steps}
        text = json.dumps(params, sort_keys=True)
        of = {"measured": "mixers", "params": text, "part": "validation", "set": "ag_news"}
        of["threads"] = args.threads
        folder = pretrained_folder(args, mixer, text)
        found[mixer] = [rows.get(of, in_own_process, pretrain, args.data, folder, of)]
    return found


def measure_padding(args: Namespace, rows: Rows) -> Found:
    params = MIXED | {"mixer": "fourier", "padding": "max_length", "max_steps": args.steps}
    text = json.dumps(params, sort_keys=True)
    of = {"params": text, "part": "validation", "set": "ag_news", "threads": args.threads}
    folder = pretrained_folder(args, "padded", text)
    get_pretrained(rows, {"measured": "pretraining", **of}, args.data, folder)
    found: Found = {}
    for seed in range(args.seeds):
        for padding in PADDINGS:
            settings = {"measured": "padding", **of, "n_labels": N_FOR_PADDING}
            settings |= {"start": "pretrained", "padding": padding, "seed": seed}
            settings["freeze"] = "none"  # the paper's fine-tuning
            row = rows.get(settings, in_own_process, label, args.data, folder, settings)
            found.setdefault(padding, []).append(row)
    return found


def measure_speed(args: Namespace, rows: Rows) -> Found:
    found: Found = {}
    for repeat in range(args.repeats):
        for batch_size, length in SHAPES:
            for side in SIDES:
                settings = {"measured": "speed", "side": side, "batch_size": batch_size}
                settings |= {"length": length, "steps": 30, "repeat": repeat}
                settings["threads"] = args.threads
                row = rows.get(settings, in_own_process, steps, args.data, settings)
                found.setdefault(f"{side} {length}", []).append(row)
    return found


def pretrained_folder(args: Namespace, name: str, params: str) -> Path:
    """Give a folder of these parameters' own."""
    return args.work / f"{name}_{hashlib.sha256(params.encode()).hexdigest()[:8]}"


def get_pretrained(
    rows: Rows, settings: dict[str, Any], data: Path, folder: Path
) -> dict[str, Any]:
    """Give the row of a pretraining, of which the folder must be there, too."""
    row = rows.get(settings, in_own_process, pretrain, data, folder, settings)
    if not (folder / "pretrainer.safetensors").is_file():
        in_own_process(pretrain, data, folder, settings)
    return row


def of_labels(args: Namespace, pretrained: Found, learned: Found) -> list[str]:
    def cells(name: str, n_labels: int) -> list[str]:
        of = {b: learned[f"{name} {n_labels} {b}"] for b in STARTS}
        accuracies = [mean_sd([row["accuracy"] for row in of[b]]) for b in STARTS]
        seconds = [f"{median(row['fit_seconds'] for row in of[b]):.0f}" for b in STARTS]
        return accuracies + seconds

    sizes = [(name, n) for name in args.sets for n in numbers_of_labels(args, name)]
    header = ["set", "labels", *STARTS.values(), *(f"{s}, fit s" for s in STARTS.values())]
    parts = [table(header, [[name, f"{n:,}", *cells(name, n)] for name, n in sizes])]
    header = ["set", "pretraining", "hidden words", "order", "steps", "minutes"]
    lines = [
        [name, row["params"].replace('"', "")]
        + [
            "" if isnan(row[key]) else f"{row[key]:.3f}"
            for key in ("masked_tokens", "segment_order")
        ]
        + [f"{row['steps']:,}", f"{row['seconds'] / 60:.1f}"]
        for name, (row,) in pretrained.items()
    ]
    return [*parts, "Held-out accuracies of the pretraining:", table(header, lines)]


def of_freeze(found: Found) -> str:
    header = ["set", "labels", *(f"freeze={value!r}" for value in FREEZES.values())]
    lines = [
        [name, f"{n_labels:,}"]
        + [
            mean_sd([row["accuracy"] for row in found[f"{name} {n_labels} {freeze}"]])
            for freeze in (*FREEZES, "")
        ]
        for name, n_labels in FEW_LABELS
    ]
    return table([*header, STARTS["scratch"]], lines)


def of_mixers(found: Found) -> str:
    attention = found["attention"][0]
    header = ["mixer", "hidden words", "order", "steps/s", "time beside attention"]
    header += ["hidden words, paper", "order, paper"]
    lines = []
    for mixer, (row,) in found.items():
        name, words, order = MIXERS[mixer]
        time_beside = attention["steps_per_second"] / row["steps_per_second"]
        lines.append(
            [f"{mixer} ({name})", f"{row['masked_tokens']:.3f}", f"{row['segment_order']:.3f}"]
            + [f"{row['steps_per_second']:.2f}", f"{time_beside:.2f}", words, order]
        )
    return table(header, lines)


def of_padding(found: Found) -> str:
    lines = [
        [f'padding="{name}"', mean_sd([row["accuracy"] for row in rows])]
        + [f"{median(row['fit_seconds'] for row in rows):.0f}"]
        for name, rows in found.items()
    ]
    return table(["fine-tuned with", "accuracy", "fit s"], lines)


def of_speed(found: Found) -> str:
    lines = []
    for batch_size, length in SHAPES:
        of = [found[f"{side} {length}"] for side in SIDES]
        rates = [[row["tokens_per_second"] for row in rows] for rows in of]
        ratio = median(a / b for a, b in zip(*rates, strict=True))
        lines.append(
            [f"{batch_size} x {length}", *(f"{median(r):,.0f}" for r in rates), f"{ratio:.2f}"]
        )
    return table(
        ["documents x tokens", *(f"{s}, tokens/s" for s in SIDES.values()), "times as fast"], lines
    )


def plot(args: Namespace, learned: Found, path: Path) -> None:
    made, axes = figure(len(args.sets), 3.2)
    for ax, name in zip(axes, args.sets, strict=True):
        numbers = numbers_of_labels(args, name)
        for begin, text in STARTS.items():
            of = [learned[f"{name} {n} {begin}"] for n in numbers]
            values = [[row["accuracy"] for row in rows] for rows in of]
            spread = [stdev(v) if len(v) > 1 else 0 for v in values]
            means = [mean(v) for v in values]
            ax.errorbar(numbers, means, yerr=spread, marker="o", capsize=3, label=text)
        ax.set(title=name, xlabel="labelled documents", ylabel="accuracy", xscale="log")
        ax.set_xticks(numbers, [f"{n:,}" for n in numbers])
        ax.minorticks_off()
    axes[0].legend(fontsize=7)
    made.savefig(path, dpi=150)


def main() -> None:
    parser = make_parser(__doc__)
    add_data_folder(parser)
    add = parser.add_argument
    add("--work", type=Path, required=True, metavar="DIR", help="what was pretrained")
    add("--parts", type=names_of(PARTS), default=list(PARTS), metavar="NAMES")
    add("--sets", type=names_of(N_LABELS), default=list(N_LABELS), metavar="NAMES")
    add("--params", default="{}", metavar="JSON", help="FNetPretrainer parameters of `labels`")
    add("--seeds", type=int, default=3, metavar="N", help="of fine-tuning: seeds 0 to N-1")
    add("--most-labels", type=int, default=25_000, metavar="N", help="leave out larger numbers")
    add("--steps", type=int, default=2000, metavar="N", help="of `mixers` and `padding`")
    add("--repeats", type=int, default=3, metavar="N", help="of `speed`")
    add("--validation", action="store_true", help="score `labels` on a part of the training file")
    args = start(parser)
    name = "pretraining_validation" if args.validation else "pretraining"
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    scored = "15 % of the training file" if args.validation else "the official test file"
    parts = [f"{args.threads} threads."]
    if "labels" in args.parts:
        found = measure_labels(args, rows, "validation" if args.validation else "test")
        parts += [
            f"Accuracy on {scored}, mean ± standard deviation over {args.seeds} seed(s):",
            *of_labels(args, *found),
        ]
        plot(args, found[1], args.results / f"{name}.png")
    if "freeze" in args.parts:
        parts += [
            f"What stays of what was pretrained, {PRETRAINER}; accuracy on 15 % of the training "
            f"file, mean ± standard deviation over {args.seeds} draw(s):",
            of_freeze(measure_freeze(args, rows)),
        ]
    small = f"depth {MIXED['depth']}, width {MIXED['width']}, {VOCABULARY:,} pieces, "
    small += f"{args.steps:,} steps of pretraining on ag_news"
    if "mixers" in args.parts:
        parts += [
            f"Mixers at equal steps, {small}; accuracies on held-out texts, the paper's of Base "
            "size:",
            of_mixers(measure_mixers(args, rows)),
        ]
    if "padding" in args.parts:
        parts += [
            f"Fine-tuning of an encoder that was pretrained with padding, {small}; "
            f'mixer="fourier", texts made {MIXED["max_length"]} tokens long; {N_FOR_PADDING:,} '
            f"labels, scored on 15 % of the training file, {args.seeds} seed(s):",
            of_padding(measure_padding(args, rows)),
        ]
    if "speed" in args.parts:
        size = f"depth {SMALL['depth']}, width {SMALL['width']}, vocabulary of {VOCABULARY:,}"
        parts += [f"Speed, {size}; medians of {args.repeats} repeat(s):"]
        parts += [of_speed(measure_speed(args, rows))]
    shown = dict.fromkeys([*args.sets, "ag_news"])
    write_report(args.results / f"{name}.md", "Pretraining", rows.machine, *parts, notes(shown))


if __name__ == "__main__":
    main()
