"""End to end on real, ragged text: FNetClassifier beside a plain PyTorch loop over `transformers`.

Both sides get the same documents of imdb as texts, learn the same vocabulary (TextTokenizer's, of
byte-pair pieces), tokenize, cut at the same length and train one epoch with the same optimizer,
AdamW on the dense layers and Adagrad on those rows of the token embeddings that a batch reads: the
same batch size, depth, width, dropout, threads and learning rate. FNetClassifier transforms each
document at its own length. The loop trains FNetForSequenceClassification, written as its users
write it: shuffled batches, each padded to its longest document. "sorted loop" is the same with
batches of documents of like length; "our encoder" is that loop with skfnet's own encoder at FNet's
published choices, which computes what theirs does but for the padding. FNetClassifier's default
model is not the same: ReLU for GELU, one LayerNorm a block for two, no projection after the
embeddings; but hashed bigram embeddings, label smoothing and a schedule.

Each runs in a process of its own; its memory is the process's peak, and by how much that exceeds
what it held once the libraries were loaded; on a GPU, the most memory that torch took there. The
sides take turns; ratios are medians over the repeats. With --precision bfloat16 skfnet's models run
in mixed precision; theirs cannot, its FFT takes no bfloat16, and stays in float32. Accuracy is not
compared here.

Writes training.{md,csv,png} under benchmarks/results; other devices and precisions have their own,
training_cuda_bfloat16 for instance. A row that the CSV holds is not measured again, whatever has
changed in the code: use --again.

For instance:
  python benchmarks/training.py
  python benchmarks/training.py --documents 500 --repeats 1
  python benchmarks/training.py --device cuda --precision bfloat16
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from common import (
    Rows,
    add_data_folder,
    figure,
    gpu_name,
    in_own_process,
    load,
    make_parser,
    start,
    table,
    write_report,
)

SIDES = {
    "skfnet": "FNetClassifier",
    "loop": "loop over transformers FNet",
    "sorted loop": "the same, batches of like length",
    "our encoder": "that loop over skfnet's encoder as published",
}
LEARNING_RATE, WORDS_RATE, DROPOUT = 1e-3, 15, 0.1  # WORDS_RATE times LEARNING_RATE


def measure(side: str, folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    import torch

    torch.set_num_threads(settings["threads"])
    texts, labels, _, _ = load(
        folder, "imdb", "validation", seed=settings["repeat"], limit=settings["documents"]
    )
    train = train_skfnet if side == "skfnet" else train_loop
    warm_up = settings | {"depth": 1, "width": 16}
    train(side, texts[:64], labels[:64], warm_up)  # libraries are loaded, caches are filled
    before = peak_megabytes(settings["device"])
    begin = time.perf_counter()
    train(side, texts, labels, settings)
    if settings["device"] != "cpu":
        torch.accelerator.synchronize()
    seconds = time.perf_counter() - begin
    peak = peak_megabytes(settings["device"])
    return {
        "documents_per_second": len(texts) / seconds,
        "peak_mb": peak,
        "added_mb": peak - before,
    }


def peak_megabytes(device: str) -> float:
    """Give the most memory this process has held, on a GPU the most that torch took there."""
    import resource

    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes, on Linux


def train_skfnet(side: str, texts: list[str], labels: list[str], settings: dict[str, Any]) -> None:
    import warnings

    from skfnet import FNetClassifier, TextTokenizer

    warnings.filterwarnings("ignore", message=".*documents are longer")
    FNetClassifier(
        tokenizer=TextTokenizer(model="bpe"),
        max_epochs=1,
        max_length=settings["max_length"],
        depth=settings["depth"],
        width=settings["width"],
        feedforward_width=4 * settings["width"],  # as theirs has
        mixer="fourier",
        n_encoders=1,
        batch_size=settings["batch_size"],
        learning_rate=LEARNING_RATE,
        dropout=DROPOUT,
        random_state=settings["repeat"],
        device=settings["device"],
        precision=settings["precision"],
    ).fit(texts, labels)


def train_loop(side: str, texts: list[str], labels: list[str], settings: dict[str, Any]) -> None:
    import numpy as np
    import torch

    from skfnet import TextTokenizer

    torch.manual_seed(settings["repeat"])
    device = torch.device(settings["device"])
    bfloat16 = settings["precision"] == "bfloat16" and side == "our encoder"
    tokenizer = TextTokenizer(model="bpe").fit(texts)
    tokens = tokenizer.encode(texts, settings["max_length"])
    classes, targets = np.unique(labels, return_inverse=True)
    make = our_model if side == "our encoder" else their_model
    model, logits, words = make(settings, tokenizer.n_ids_, len(classes))
    model.to(device)
    words.sparse = True
    dense = [weight for weight in model.parameters() if weight is not words.weight]
    optimizers = (
        torch.optim.AdamW(dense, lr=LEARNING_RATE, fused=True),
        torch.optim.Adagrad([words.weight], lr=WORDS_RATE * LEARNING_RATE),
    )
    random = np.random.default_rng(settings["repeat"])
    model.train()
    for rows in batches(side, tokens.lengths, settings["batch_size"], random):
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(tokens[row].astype(np.int64)) for row in rows],
            batch_first=True,
        )
        lengths, expected = (
            torch.from_numpy(a[rows]).to(device) for a in (tokens.lengths, targets)
        )
        with torch.autocast(device.type, torch.bfloat16, bfloat16):
            scores = logits(ids.to(device), lengths)
        loss = torch.nn.functional.cross_entropy(scores.float(), expected)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dense, 1.0)
        for optimizer in optimizers:
            optimizer.step()


def their_model(settings: dict[str, Any], n_ids: int, n_classes: int) -> tuple[Any, Any, Any]:
    """Give the model, a function from a batch to logits, and the table of its tokens."""
    import transformers

    config = transformers.FNetConfig(
        vocab_size=n_ids,
        hidden_size=settings["width"],
        num_hidden_layers=settings["depth"],
        intermediate_size=4 * settings["width"],
        max_position_embeddings=settings["max_length"],
        hidden_dropout_prob=DROPOUT,
        num_labels=n_classes,
        pad_token_id=0,
    )
    model = transformers.FNetForSequenceClassification(config)
    words = model.fnet.embeddings.word_embeddings
    return model, lambda ids, lengths: model(input_ids=ids).logits, words


def our_model(settings: dict[str, Any], n_ids: int, n_classes: int) -> tuple[Any, Any, Any]:
    from skfnet.nn import DocumentClassifier, EncoderConfig

    sizes = {name: settings[name] for name in ("width", "depth", "max_length")}
    config = EncoderConfig.base(vocab_size=n_ids, dropout=DROPOUT, **sizes)
    model = DocumentClassifier(config, n_classes, pooling="cls")
    return model, model, model.encoder.embeddings.words


def batches(side: str, lengths: Any, batch_size: int, random: Any) -> list[Any]:
    """Give the rows of each batch: in random order, or of like length in random order."""
    order = random.permutation(len(lengths))
    if side != "loop":
        order = order[lengths[order].argsort(kind="stable")]
    cut = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    random.shuffle(cut)
    return cut


def main() -> None:
    parser = make_parser(__doc__)
    add_data_folder(parser)
    add = parser.add_argument
    for name, default in (
        *(("documents", 4000), ("max-length", 512), ("depth", 4), ("width", 256)),
        *(("batch-size", 32), ("repeats", 3)),
    ):
        add(f"--{name}", type=int, default=default, metavar="N", help=f"default: {default}")
    add("--device", default="cpu")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    args = start(parser)
    kind = [word for word in (args.device, args.precision) if word not in ("cpu", "float32")]
    name = "_".join(["training", *kind])
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    names = ("documents", "max_length", "depth", "width", "batch_size")
    names = (*names, "threads", "device", "precision")
    gpu = gpu_name(args.device)
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for repeat in range(args.repeats):
        for side in SIDES:
            settings = {"repeat": repeat, "gpu": gpu, **{k: vars(args)[k] for k in names}}
            job = (measure, side, args.data, settings)
            found[side].append(rows.get({"side": side, **settings}, in_own_process, *job))
    report(args, name, rows.machine, found)


def report(args: Any, name: str, machine: str, found: dict[str, list[dict[str, Any]]]) -> None:
    def ahead(side: str) -> float:
        pairs = zip(found["skfnet"], found[side], strict=True)
        return median(a["documents_per_second"] / b["documents_per_second"] for a, b in pairs)

    lines = [
        [
            SIDES[side],
            f"{median(row['documents_per_second'] for row in found[side]):.1f}",
            f"{ahead(side):.2f}",
            *(f"{median(row[k] for row in found[side]):,.0f}" for k in ("peak_mb", "added_mb")),
        ]
        for side in SIDES
    ]
    header = [
        "",
        "documents/s",
        "FNetClassifier is faster by",
        "peak memory, MB",
        "of it for this, MB",
    ]
    write_report(
        args.results / f"{name}.md",
        "Training on ragged text",
        machine,
        f"{args.documents:,} documents of imdb from raw text, one epoch, depth {args.depth}, width "
        f"{args.width}, at most {args.max_length} tokens, batches of {args.batch_size}, "
        f"{gpu_name(args.device) or args.device}, {args.precision}, {args.threads} threads; "
        f"medians of {args.repeats} repeats:",
        table(header, lines),
    )
    made, axes = figure(2, 2.5)
    for ax, key, label in zip(
        axes, ("documents_per_second", "peak_mb"), ("documents/s", "peak memory, MB"), strict=True
    ):
        ax.barh(
            [SIDES[side] for side in SIDES], [median(r[key] for r in found[side]) for side in SIDES]
        )
        ax.invert_yaxis()
        ax.set(xlabel=label)
    axes[1].set(yticks=[])
    made.savefig(args.results / f"{name}.png", dpi=150)


if __name__ == "__main__":
    main()
