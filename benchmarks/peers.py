"""FNetClassifier as it is measured, and its peers: what each is built of.

The C of the linear models and the epochs of fastText are chosen by cross-validation when they are
fitted. What a model needs is imported when it is built.
"""

from __future__ import annotations

import ctypes
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

FOLDS = 3  # of the peers' search


def fnet(**params: Any) -> Callable[..., Any]:
    def build(seed: int, threads: int, folder: str, others: dict[str, Any]) -> Any:
        import torch
        import torch._dynamo  # the first optimizer of a process imports it, for a second or two

        from skfnet import FNetClassifier, TextTokenizer

        torch.set_num_threads(threads)
        # TextTokenizer() is what the default None means; so `others` may hold tokenizer__... too.
        clf = FNetClassifier(tokenizer=TextTokenizer(), random_state=seed, **params)
        return clf.set_params(**others)

    return build


def linear(kind: str, strengths: list[float], **vectorizing: Any) -> Callable[..., Any]:
    def build(seed: int, threads: int, folder: str, others: dict[str, Any]) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        model = LogisticRegression(max_iter=1000) if kind == "lr" else LinearSVC()
        vectorizer = TfidfVectorizer(sublinear_tf=True, **vectorizing)
        pipeline = make_pipeline(vectorizer, model, memory=folder)
        grid = {f"{pipeline.steps[1][0]}__C": strengths}
        return GridSearchCV(pipeline, grid, cv=FOLDS)

    return build


def fasttext(epochs: list[int], **params: Any) -> Callable[..., Any]:
    def build(seed: int, threads: int, folder: str, others: dict[str, Any]) -> Any:
        import fasttext  # noqa: F401 -- its absence is said here
        from sklearn.model_selection import GridSearchCV

        peer = FastText(seed=seed, threads=threads, **params)
        return GridSearchCV(peer, {"epochs": epochs}, cv=FOLDS)

    return build


class FastText(ClassifierMixin, BaseEstimator):
    """fastText behind fit and predict, its text file included."""

    def __init__(
        self, seed: int = 0, threads: int = 1, n_words: int = 1, epochs: int = 5, rate: float = 0.5
    ) -> None:
        self.seed, self.threads = seed, threads
        self.n_words, self.epochs, self.rate = n_words, epochs, rate

    def fit(self, X: list[str], y: list[str]) -> FastText:
        import fasttext

        self.classes_, numbers = np.unique(y, return_inverse=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            lines = (f"__label__{i} {self._line(x)}\n" for i, x in zip(numbers, X, strict=True))
            path.write_text("".join(lines), encoding="utf-8")
            with zeroed_memory():
                self.model_ = fasttext.train_supervised(
                    str(path),
                    thread=self.threads,
                    seed=self.seed,
                    wordNgrams=self.n_words,
                    epoch=self.epochs,
                    lr=self.rate,
                    verbose=0,
                )
        return self

    def predict_proba(self, X: list[str]) -> np.ndarray:
        names, found = self.model_.predict([self._line(x) for x in X], k=len(self.classes_))
        probabilities = np.zeros((len(X), len(self.classes_)))
        for row, (labels, values) in enumerate(zip(names, found, strict=True)):
            columns = [int(label.removeprefix("__label__")) for label in labels]
            probabilities[row, columns] = values
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, X: list[str]) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @staticmethod
    def _line(text: str) -> str:
        """Prepare a text as fastText's tutorial does: lower case, signs set apart, one line."""
        return " ".join(re.sub(r"([.!?,'/();:\"])", r" \1 ", text.lower()).split())


@contextmanager
def zeroed_memory() -> Iterator[None]:
    """Let glibc hand out zeroed memory.

    With fewer than 10 threads fastText leaves most of its input matrix as the memory came
    (facebookresearch/fastText#1061): zeros in a fresh process, at worst NaN in a used one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    perturb = -6  # M_PERTURB fills new memory with the complement of a byte; 0 turns it off
    if mallopt is not None:
        mallopt(perturb, 0xFF)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(perturb, 0)


class Model(NamedTuple):
    label: str
    build: Callable[..., Any]


_SVC = [0.1, 0.3, 1, 3]
MODELS = {
    "fnet": Model("FNetClassifier", fnet()),
    "fourier": Model('mixer="fourier"', fnet(mixer="fourier")),
    "attention": Model('mixer="attention"', fnet(mixer="attention")),
    "none": Model('mixer="none"', fnet(mixer="none")),
    "lr": Model("TF-IDF(1,2) + LogisticRegression", linear("lr", [1, 10, 100], ngram_range=(1, 2))),
    "svc": Model("TF-IDF(1,2) + LinearSVC", linear("svc", _SVC, ngram_range=(1, 2))),
    "chars": Model(
        "TF-IDF of characters 2-5 + LinearSVC",
        linear("svc", _SVC, analyzer="char_wb", ngram_range=(2, 5)),
    ),
    "fasttext2": Model("fastText, bigrams", fasttext([10, 25, 50], n_words=2)),
    "fasttext1": Model("fastText, words", fasttext([5, 10, 25], n_words=1)),
}
OURS = ("fnet", "fourier", "attention", "none")
PEERS = [name for name in MODELS if name not in OURS]
