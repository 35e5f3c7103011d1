"""What the kind of vocabulary does to FNetClassifier: the reasons for TextTokenizer's defaults.

For each kind and data set: the accuracy of a default FNetClassifier on those tokens, tokens a
document, the share of tokens that are [UNK] (text that the model never sees), the size of the
vocabulary and the seconds to learn it. Measured on the dev file, or on a stratified 15 % of the
training file where there is none (trec6); never on a test file. Seeds 0, 1, ... decide the
order of the training documents and everything random in FNetClassifier.

WordPiece is left out: its training gives other ids on every run.

Writes vocabulary.{md,csv,png} under benchmarks/results. A row that the CSV holds is not
measured again, whatever has changed in the code: use --again.

For instance:
  python benchmarks/vocabulary.py
  python benchmarks/vocabulary.py --sets trec6 --kinds default,bpe --seeds 4
"""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from common import (
    Rows,
    add_data_options,
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

PARTS = {"trec6": "validation", "sst2_sent": "dev", "sib200_20langs": "dev"}

# name: (what it is, the TextTokenizer's parameters or the ready model to train)
KINDS: dict[str, tuple[str, dict[str, Any] | str]] = {
    "default": ("TextTokenizer(): words, spelled by n-grams", {}),
    "words-8000": ("the same, vocab_size=8,000", {"vocab_size": 8000}),
    "words-min1": ("the same, min_frequency=1", {"min_frequency": 1}),
    "words-min5": ("the same, min_frequency=5", {"min_frequency": 5}),
    "words-cased": ("the same, lowercase=False", {"lowercase": False}),
    "bpe": ("byte-pair pieces, 30,000", {"model": "bpe"}),
    "bpe-8000": ("byte-pair pieces, 8,000", {"model": "bpe", "vocab_size": 8000}),
    "bytes": ("bytes", {"model": "bpe", "vocab_size": 261}),
    "unigram-8000": ("Unigram pieces, 8,000", "unigram"),
    "words-unk": ("words alone, others are [UNK]", "words"),
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def trained(kind: str, texts: list[str]) -> Any:
    """Give a fitted TextTokenizer of this kind."""
    from skfnet import TextTokenizer

    _, recipe = KINDS[kind]
    if isinstance(recipe, dict):
        return TextTokenizer(**recipe).fit(texts)
    return TextTokenizer.from_tokenizer(ready_tokenizer(recipe, texts))


def ready_tokenizer(model: str, texts: list[str]) -> Any:
    """Train a tokenizer of another make, on lower-cased words as TextTokenizer sees them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    if model == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(
            vocab_size=30_000, min_frequency=2, special_tokens=SPECIAL, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Whitespace(),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        trainer = trainers.UnigramTrainer(
            vocab_size=8000,
            special_tokens=SPECIAL,
            unk_token="[UNK]",
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.train_from_iterator(texts, trainer)
    wrap = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=wrap
    )
    return tokenizer


def measure(data: Path, settings: dict[str, Any], threads: int) -> dict[str, Any]:
    """Learn one vocabulary, and train and score one classifier on its tokens."""
    import numpy as np
    import torch

    from skfnet import FNetClassifier

    torch.set_num_threads(threads)
    name, seed = settings["set"], settings["seed"]
    texts, labels, held_out, truth = load(
        data, name, PARTS[name], seed=seed, limit=settings["limit"]
    )
    begin = time.perf_counter()
    tokenizer = trained(settings["kind"], texts)
    seconds = time.perf_counter() - begin
    tokens = tokenizer.transform(held_out)
    unknown = tokenizer.tokenizer_.token_to_id("[UNK]")
    model = FNetClassifier(random_state=seed).fit(tokenizer.transform(texts), labels)
    return {
        "n_train": len(texts),
        "n_scored": len(held_out),
        "accuracy": float((model.predict(tokens) == np.array(truth)).mean()),
        "tokens_per_document": float(tokens.lengths.mean()),
        "unknown_share": float((tokens.ids == unknown).mean()),
        "vocabulary": tokens.vocab_size,
        "tokenizer_seconds": seconds,
    }


def measure_all(args: Namespace, rows: Rows, fixed: dict[str, Any]) -> None:
    for name in args.sets:
        for kind in args.kinds:
            for seed in range(args.seeds):
                settings = {"set": name, "kind": kind, "seed": seed, **fixed}
                rows.get(settings, in_own_process, measure, args.data, settings, args.threads)


Results = dict[str, list[dict[str, Any]]]


def page_part(name: str, results: Results) -> str:
    """Give the section of one data set."""
    header = ["kind", "accuracy", "tokens a document", "[UNK]", "vocabulary", "seconds to learn"]
    lines = []
    for kind, found in results.items():
        column = {key: [row[key] for row in found] for key in found[0]}
        lines.append(
            [
                KINDS[kind][0],
                mean_sd(column["accuracy"]),
                f"{mean(column['tokens_per_document']):.1f}",
                f"{mean(column['unknown_share']):.1%}",
                f"{median(column['vocabulary']):,.0f}",
                f"{median(column['tokenizer_seconds']):.2f}",
            ]
        )
    one = next(iter(results.values()))[0]
    sizes = f"{one['n_train']:,} documents trained, {one['n_scored']:,} scored ({PARTS[name]})."
    return f"## {name}\n\n{sizes}\n\n{table(header, lines)}"


def plot(results: dict[str, Results], path: Path) -> None:
    made, axes = figure(len(results), 1 + 0.35 * len(KINDS))
    for i, (ax, (name, of_set)) in enumerate(zip(axes, results.items(), strict=True)):
        for kind, found in of_set.items():
            values = [row["accuracy"] for row in found]
            spread = stdev(values) if len(values) > 1 else 0
            place = list(KINDS).index(kind)
            ax.errorbar(mean(values), place, xerr=spread, fmt="o", color="C0")
        ax.set(title=name, xlabel="accuracy", ylim=(len(KINDS) - 0.5, -0.5))
        ax.set_yticks(range(len(KINDS)), list(KINDS) if i == 0 else [])
    made.savefig(path, dpi=150)


def main() -> None:
    parser = make_parser(__doc__)
    add_data_options(parser)
    for option, known in (("--sets", PARTS), ("--kinds", KINDS)):
        parser.add_argument(option, type=names_of(known), default=list(known), help=",".join(known))
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="seeds 0 to N-1")
    args = start(parser)

    rows = Rows(args.results / "vocabulary.csv", again=args.again)
    fixed = {"threads": args.threads, "limit": args.limit}
    measure_all(args, rows, fixed)
    results: dict[str, Results] = {}
    for name in PARTS:
        found = {kind: rows.matching({"set": name, "kind": kind, **fixed}) for kind in KINDS}
        if any(found.values()):
            results[name] = {kind: of_kind for kind, of_kind in found.items() if of_kind}
    write_report(
        args.results / "vocabulary.md",
        "Kinds of vocabulary",
        rows.machine,
        "Accuracy of a default FNetClassifier, mean ± standard deviation over seeds. "
        f"Threads: {args.threads}.",
        *(page_part(name, of_set) for name, of_set in results.items()),
        notes(results),
    )
    plot(results, args.results / "vocabulary.png")


if __name__ == "__main__":
    main()
