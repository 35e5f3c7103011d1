"""GLUE as the paper did it: models that differ in their mixing alone, pretrained and fine-tuned.

Each model of the paper's table (BERT is mixer="attention", FF-only is "none", the hybrid has
attention in the last sixth of its blocks) is pretrained with the same tokenizer, for the same
number of steps, on the unlabelled training texts of --texts, sentences of pairs one by one; then it
is fine-tuned on each task from these weights. The tasks are those whose data is there: CoLA, SST-2,
MRPC, STS-B, RTE and a tenth of QNLI. Scored on the dev files, GLUE's validation sets, never on a
test file: accuracy; mean of accuracy and F1 (MRPC); Spearman correlation (STS-B). As in the paper,
the learning rate of each task is the one of --rates whose mean over the seeds is best on these very
dev files, so that scores are somewhat too high, for all models alike. Some sentences of MRPC's and
STS-B's dev files stand in the other's training file, and so are read in pretraining, unlabelled.

The size is "small" on a CPU: depth 4, width 128 and architecture="default", whose vectors for pairs
of words, and for words that both texts of a pair have, tell even FF-only what stands beside what.
Only the 4,096 most frequent words are hidden there (--maskable-words, 0 is all).
On other devices it is "base", the paper's size and architecture="paper", with texts read at their
own length. --size and the options after it change that. Weights are kept in --work: what is there
is not pretrained again, and an interrupted pretraining goes on. --start fine-tunes other weights (a
folder that FNetPretrainer.save wrote, a folder of transformers or a name on its hub), or "none":
the --models start from nothing, with the same tokenizer. The report shows all models that have been
measured with these settings.

Writes glue.{md,csv,png} under benchmarks/results; other devices have their own, glue_cuda for
instance, and with --limit its number is added to the name. A row that the CSV holds is not measured
again, whatever has changed in the code: use --again, and delete the weights to make them anew.

For instance:
  python benchmarks/glue.py
  python benchmarks/glue.py --models linear,random,hybrid
  python benchmarks/glue.py --start google/fnet-base --tasks rte --rates 1e-5,3e-5 --batch-size 16
  python benchmarks/glue.py --limit 200 --steps 20 --tasks cola,stsb --results elsewhere
  python benchmarks/glue.py --device cuda
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from argparse import Namespace
from itertools import cycle, product
from math import isnan, nan
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from common import (
    ROOT,
    Rows,
    add_data_options,
    figure,
    gpu_name,
    in_own_process,
    make_parser,
    mean_sd,
    names_of,
    notes,
    start,
    table,
    write_report,
)
from targets import read, split

TASKS = {  # in the paper's order
    **{"qnli10k": "QNLI", "sst2": "SST-2", "cola": "CoLA"},
    **{"stsb": "STS-B", "mrpc": "MRPC", "rte": "RTE"},
}
# Not mr: more than half of SST-2's dev sentences are among its texts.
TEXTS = (*TASKS, "ag_news", "imdb", "20ng_stripped", "r8", "goemotions", "sms_spam", "trec6")


class Model(NamedTuple):
    """What the paper has of a model at Base size; NaN where it has nothing, or says FAIL.

    The scores on TASKS, the accuracies of both objectives, and how many times as fast as BERT it
    trains on a GPU, at 512 tokens.
    """

    label: str
    scores: tuple[float, ...]
    masked: float = nan
    order: float = nan
    speed: float = nan


MODELS = {
    "attention": Model("BERT", (91, 93, 73, 89, 83, 69), 0.68, 0.86, 1.0),
    "linear": Model("Linear", (80, 94, 67, 67, 83, 69)),
    "fourier": Model("FNet", (80, 95, 69, 79, 76, 63), 0.58, 0.80, 1.8),
    "random": Model("Random", (61, 76, 67, 4, 73, 57)),
    "none": Model("FF-only", (52, 48, 67, nan, 73, 54)),
    "hybrid": Model("FNet-Hybrid", (88, 94, 76, 86, 79, 60), 0.63, 0.84, 1.5),
}
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "texts": list(TASKS),
        **{"architecture": "default", "depth": 4, "width": 128, "max_length": 128},
        **{"steps": 8000, "pretraining_rate": 1e-3, "batch_size": 64, "maskable_words": 4096},
        **{"epochs": 3, "rates": [1e-3, 3e-3], "seeds": 1},
    },
    "base": {
        "texts": list(TEXTS),
        **{"architecture": "paper", "depth": 12, "width": 768, "max_length": 512},
        **{"steps": 30_000, "pretraining_rate": 1e-4, "batch_size": 64, "maskable_words": 0},
        **{"epochs": 3, "rates": [1e-5, 2e-5, 3e-5, 5e-5], "seeds": 3},
    },
}
# What decides pretrained weights, besides the model; and fine-tuning, besides the weights.
OF_WEIGHTS = [name for name in SIZES["small"] if name not in ("epochs", "rates", "seeds")]
OF_RUNS = ("batch_size", "epochs", "limit", "threads", "device", "gpu")
POOLINGS = {"default": "mean_max", "paper": "cls"}
TOKENS = {"default": "word", "paper": "bpe"}
DROPOUT = 0.1


def corpus(folder: Path, settings: dict[str, Any]) -> list[str]:
    """Give the unlabelled texts, each once; of pairs both."""
    import numpy as np

    texts: list[str] = []
    for name in settings["texts"].split(","):
        documents, _ = read(folder, name, "train")
        order = np.random.default_rng(0).permutation(len(documents))
        for i in order[: settings["limit"] or None]:
            texts += [documents[i]] if isinstance(documents[i], str) else documents[i]
    return list(dict.fromkeys(text for text in texts if text.strip()))


def shape(settings: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Give the parameters of a model that starts from nothing, its tokenizer fitted."""
    from sklearn.frozen import FrozenEstimator

    from skfnet import TextTokenizer

    architecture, hybrid = settings["architecture"], settings["model"] == "hybrid"
    return {
        "tokenizer": FrozenEstimator(TextTokenizer(model=TOKENS[architecture]).fit(texts)),
        "pooling": POOLINGS[architecture],
        "mixer": "fourier" if hybrid else settings["model"],
        "attention_layers": max(1, settings["depth"] // 6) if hybrid else 0,
        **{name: settings[name] for name in ("architecture", "depth", "width", "max_length")},
    }


def training(settings: dict[str, Any]) -> dict[str, Any]:
    """Give the parameters that pretraining and fine-tuning share."""
    return {"dropout": DROPOUT, **{name: settings[name] for name in ("batch_size", "device")}}


def weights(data: Path, work: Path, settings: dict[str, Any]) -> Path:
    """Give the folder with the pretrained weights of a model, made where they are missing."""
    from skfnet import FNetPretrainer

    names = (*OF_WEIGHTS, "limit", "threads", "device", "gpu")
    deciding = json.dumps({name: settings[name] for name in names})
    digest = hashlib.sha256(deciding.encode()).hexdigest()[:8]
    folder = work / f"{settings['model']}-{digest}"
    if (folder / "pretrainer.safetensors").is_file():
        return folder
    print(f"pretraining {settings['model']} in {folder}", flush=True)
    texts = corpus(data, settings)
    pretrainer = FNetPretrainer(
        max_steps=settings["steps"],
        learning_rate=settings["pretraining_rate"],
        maskable_words=settings["maskable_words"] or None,
        initial_words="random",
        random_state=0,
        checkpoint=folder / "checkpoint",
        checkpoint_minutes=1,
        resume=True,
        **shape(settings, texts),
        **training(settings),
    ).fit(texts)
    if pretrainer.n_steps_ < settings["steps"]:  # Ctrl-C ends a fit as if it were complete
        raise KeyboardInterrupt
    pretrainer.save(folder)
    shutil.rmtree(folder / "checkpoint")
    return folder


def set_up(settings: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(settings["threads"])
    warnings.filterwarnings("ignore", message=".*documents are longer")


def pretraining(data: Path, work: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Give what a model found out of held-out texts, and how fast it learned."""
    from skfnet import FNetPretrainer

    set_up(settings)
    history = FNetPretrainer.load(weights(data, work, settings), device="cpu").history_
    seconds = sum(row["seconds"] for row in history)
    return {
        "fit_seconds": seconds,
        "steps_per_second": settings["steps"] / seconds,
        "masked": history[-1]["valid_masked_tokens_accuracy"],
        "order": history[-1]["valid_segment_order_accuracy"],
    }


def fine_tuning(data: Path, work: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Give the score of one model on one task, with one learning rate and seed."""
    from skfnet import FNetClassifier, FNetRegressor

    set_up(settings)
    task, begun_from = settings["task"], settings["start"]
    given: dict[str, Any] = {"pretrained": begun_from, "freeze": None}
    if begun_from == "pretrained":
        folder = weights(data, work, settings)
        given |= {"pretrained": folder, "pooling": POOLINGS[settings["architecture"]]}
    elif begun_from == "none":
        given = shape(settings, corpus(data, settings)) | {"freeze": None}
    documents, targets, others, expected = split(data, task, settings["seed"], settings["limit"])
    model = (FNetRegressor if task == "stsb" else FNetClassifier)(
        n_encoders=1,
        learning_rate=settings["rate"],
        max_epochs=settings["epochs"] or "auto",
        random_state=settings["seed"],
        **training(settings),
        **given,
    )
    begin = time.perf_counter()
    model.fit(documents, targets)
    seconds = time.perf_counter() - begin
    return {"fit_seconds": seconds, "score": score(task, expected, model.predict(others))}


def score(task: str, expected: Any, predicted: Any) -> float:
    """Give the paper's measure of a task; NaN where a regression gives one number for all."""
    from scipy.stats import spearmanr
    from sklearn.metrics import accuracy_score, f1_score

    if task == "stsb":
        return float(spearmanr(expected, predicted).statistic)
    found = [accuracy_score(expected, predicted)]
    if task == "mrpc":
        found.append(f1_score(expected, predicted, pos_label="paraphrase"))
    return float(mean(found))


def main() -> None:
    args = arguments()
    kind = [args.device] if args.device != "cpu" else []
    name = "_".join(["glue", *kind, *([str(args.limit)] if args.limit else [])])
    rows = Rows(args.results / f"{name}.csv", again=args.again)
    models = args.models if args.start in ("pretrained", "none") else [""]
    for model in models:
        settings = settings_of(args, model, args.start)
        if args.start == "pretrained":
            job = {"task": "pretraining", **settings}
            del job["epochs"]
            rows.get(job, in_own_process, pretraining, args.data, args.work, job)
        for task, rate, seed in product(args.tasks, args.rates, range(args.seeds)):
            job = {"task": task, **settings, "rate": rate, "seed": seed}
            rows.get(job, in_own_process, fine_tuning, args.data, args.work, job)
    report(args, name, rows)


def arguments() -> Namespace:
    parser = make_parser(__doc__)
    add_data_options(parser)
    add = parser.add_argument
    add("--work", type=Path, default=ROOT / "build" / "glue", metavar="DIR", help="for weights")
    add("--tasks", type=names_of(TASKS), default=list(TASKS), metavar="NAMES")
    known = ",".join(MODELS)
    default = ["fourier", "attention", "none"]
    add("--models", type=names_of(MODELS), default=default, metavar="NAMES", help=known)
    add("--start", default="pretrained", metavar="FOLDER_OR_NAME", help="other weights, or none")
    add("--device", default="cpu")
    add("--size", choices=SIZES, help="default: small on a CPU, else base; it decides these:")
    add("--texts", type=names_of(TEXTS), metavar="NAMES", help=",".join(TEXTS))
    add("--architecture", choices=POOLINGS)
    for name in ("depth", "width", "max-length", "steps", "batch-size", "maskable-words"):
        add(f"--{name}", type=int, metavar="N")
    add("--pretraining-rate", type=float, metavar="RATE")
    add("--epochs", type=int, metavar="N", help="of fine-tuning; 0 is max_epochs='auto'")
    add("--rates", type=rates, metavar="RATES", help="of fine-tuning, joined by commas")
    add("--seeds", type=int, metavar="N", help="of fine-tuning, 0 to N-1")
    args = start(parser)
    size = args.size or ("small" if args.device == "cpu" else "base")
    for name, value in SIZES[size].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.gpu = gpu_name(args.device)
    return args


def rates(text: str) -> list[float]:
    return [float(rate) for rate in text.split(",")]


def settings_of(args: Namespace, model: str, begun_from: str) -> dict[str, Any]:
    """Give what identifies a model's rows; foreign weights bring their own shape."""
    own = OF_WEIGHTS if model else ()
    settings = {name: vars(args)[name] for name in dict.fromkeys((*own, *OF_RUNS))}
    if model:
        settings["texts"] = ",".join(args.texts)
    return {"model": model, "start": begun_from, **settings}


Scores = dict[str, list[list[float]]]  # of a label: of each task, in percent, over the seeds


def collect(args: Namespace, rows: Rows) -> tuple[Scores, list[list[str]]]:
    """Give the scores of all models measured on these tasks, and the learning rates chosen."""
    keys = dict.fromkeys((row["model"], row["start"]) for row in rows.rows)
    order = [*MODELS, ""]
    scores: Scores = {}
    chosen = []
    for model, begun_from in sorted(keys, key=lambda key: (order.index(key[0]), key[1] == "none")):
        label = MODELS[model].label if model else "/".join(Path(begun_from).parts[-2:])
        label += {"pretrained": "", "none": ", from nothing"}.get(begun_from, ", its own shape")
        settings = settings_of(args, model, begun_from)
        found = [best(rows.matching({"task": t, **settings}), args.seeds) for t in args.tasks]
        if all(found):
            scores[label] = [of_task for _, of_task in found]
            searched = sorted({row["rate"] for row in rows.matching(settings)})
            rates = [rate for rate, _ in found]
            chosen.append([label, *rates, ", ".join(map(str, searched))])
    return scores, chosen


def best(of_task: list[dict[str, Any]], seeds: int) -> tuple[float, list[float]] | None:
    """Give the learning rate with the best mean over the seeds, and its scores."""
    by_rate: dict[float, list[float]] = {}
    for row in of_task:
        if row["seed"] < seeds:
            by_rate.setdefault(row["rate"], []).append(100 * row["score"])
    complete = [pair for pair in by_rate.items() if len(pair[1]) == seeds]
    return max(complete, key=lambda pair: (not isnan(mean(pair[1])), mean(pair[1])), default=None)


def mean_and_share(label: str, scores: Scores) -> tuple[float, float]:
    """Give the mean over the tasks that did not fail, and what percentage of BERT's that is."""
    own, theirs = ([mean(v) for v in scores.get(name, [])] for name in (label, "BERT"))
    there = [i for i, value in enumerate(own) if not isnan(value)]
    if not there:
        return nan, nan
    result = mean(own[i] for i in there)
    return result, 100 * result / mean(theirs[i] for i in there) if theirs else nan


def score_table(tasks: list[str], scores: Scores) -> str:
    body = [
        [label, *("FAIL" if isnan(mean(v)) else mean_sd(v, 1) for v in of_tasks)]
        + [shown(value, 1) for value in mean_and_share(label, scores)]
        for label, of_tasks in scores.items()
    ]
    return table(["model", *(TASKS[task] for task in tasks), "mean", "% of BERT"], body)


def shown(value: float, digits: int) -> str:
    return "" if isnan(value) else f"{value:.{digits}f}"


def pretraining_table(args: Namespace, rows: Rows) -> str:
    found = {}
    for name in MODELS:
        settings = settings_of(args, name, "pretrained")
        del settings["epochs"]
        for row in rows.matching({"task": "pretraining", **settings}):
            minutes = sum(other["fit_seconds"] for other in rows.matching(settings)) / 60
            found[name] = row | {"minutes": minutes}
    speed = found["attention"]["steps_per_second"] if "attention" in found else nan
    body = [
        [MODELS[name].label]
        + [shown(row[key], 3) for key in ("masked", "order")]
        + [shown(row["steps_per_second"], 2), shown(row["steps_per_second"] / speed, 2)]
        + [shown(minutes, 1) for minutes in (row["fit_seconds"] / 60, row["minutes"])]
        + [shown(value, 2) for value in MODELS[name][2:]]
        for name, row in found.items()
    ]
    what = ["hidden words", "order of halves"]
    header = ["model", *what, "steps/s", "times BERT's", "minutes", "with fine-tuning"]
    header += [f"paper: {column}" for column in (*what, "times BERT's")]
    return table(header, body) if body else ""


def report(args: Namespace, name: str, rows: Rows) -> None:
    scores, chosen = collect(args, rows)
    places = [list(TASKS).index(task) for task in args.tasks]
    published = {m.label: [[float(m.scores[i])] for i in places] for m in MODELS.values()}
    write_report(
        args.results / f"{name}.md",
        "GLUE",
        rows.machine,
        f"Depth {args.depth}, width {args.width}, at most {args.max_length} tokens, "
        f'architecture="{args.architecture}", {args.gpu or "CPU"}, {args.threads} threads; '
        f"pretrained for {args.steps:,} steps of {args.batch_size} texts from "
        f"{', '.join(args.texts)}; fine-tuned for {args.epochs or 'auto'} epochs. "
        + (f"At most {args.limit} training documents a set. " if args.limit else "")
        + "On dev files, GLUE's validation sets, times 100: mean of accuracy and F1 (MRPC), "
        "Spearman correlation (STS-B), accuracy (others); ± is the standard deviation over "
        f"{args.seeds} seed(s). As in the paper, the learning rate of each task was chosen by "
        "these very scores. A task that failed is left out of the mean, and of BERT's beside it.",
        score_table(args.tasks, scores),
        "The paper's (arXiv 2105.03824), Base size and all of QNLI. Over all eight tasks of GLUE "
        "its FNet reaches 92 % of BERT, its FNet-Hybrid 97 %.",
        score_table(args.tasks, published),
        "Pretraining: accuracies on held-out texts, whose measuring is part of the time. Of "
        f"{args.maskable_words or 'all'} words, the most frequent ones, some are hidden.",
        pretraining_table(args, rows),
        "The learning rates chosen:",
        table(["model", *(TASKS[task] for task in args.tasks), "searched"], chosen),
        notes(dict.fromkeys([*args.tasks, *args.texts])),
    )
    plot([TASKS[task] for task in args.tasks], scores, published, args.results / f"{name}.png")


def plot(tasks: list[str], scores: Scores, published: Scores, path: Path) -> None:
    made, (left, right) = figure(2, 2 + 0.4 * max(len(tasks), len(scores)))
    for marker, (label, of_tasks) in zip(cycle("os^v*Dxd"), scores.items(), strict=False):
        left.plot([mean(v) for v in of_tasks], tasks, marker, label=label, alpha=0.8)
    left.set(xlabel="score")
    left.invert_yaxis()
    for name, of, marker in (("here", scores, "o"), ("in the paper, Base", published, "D")):
        there = [label for label in scores if label in of]
        shares = [mean_and_share(label, of)[1] for label in there]
        right.plot(shares, there, marker, label=name, alpha=0.8)
    right.set(xlabel="mean over the tasks, % of BERT's")
    right.invert_yaxis()
    right.legend(fontsize=7)
    made.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    made.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
