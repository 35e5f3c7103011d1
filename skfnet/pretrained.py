"""What the `pretrained` parameter of the supervised estimators stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .batches import TokenArray
from .checkpoints import PublishedModel, read_huggingface
from .documents import Documents, check_input, in_pairs
from .finetuning import RATE, RATE_OF_PRETRAINED, RATE_OF_PUBLISHED
from .folders import holds_pretrainer, read_encoder, trained_pooling
from .nn import EncoderConfig, Ensemble
from .pretrainer import FNetPretrainer
from .tokenizer import TextTokenizer

__all__ = ["Pretrained", "check_agrees", "check_unlabeled", "find_pretrained"]

# What the pretrained encoder decides, and its tokenizer.
_GIVEN = (
    *("max_length", "depth", "width", "feedforward_width"),
    *("mixer", "attention_layers", "attention_layout"),
)


@dataclass(frozen=True)
class Pretrained:
    """An encoder to start from.

    Attributes
    ----------
    tokenizer : TextTokenizer or None
        The tokenizer it reads by; None where it was pretrained on tokens.
    config : EncoderConfig
        Its shape.
    pooling : str
        How it was pooled; "none" where it was not, or by what was not trained.
    weights : dict of Tensor
        Of a :class:`~skfnet.nn.DocumentClassifier`, whose output layer is not used.
    n_steps : int
        How many steps an :class:`FNetPretrainer` has learned for. After none, the blocks are as
        good as new.
    origin : str
        Where it is from, for messages.
    published : bool
        Whether it came in the layout of transformers.
    """

    tokenizer: TextTokenizer | None
    config: EncoderConfig
    pooling: str
    weights: dict[str, Tensor]
    n_steps: int
    origin: str
    published: bool = False

    @property
    def learning_rate(self) -> float:
        """What ``learning_rate="auto"`` stands for."""
        if self.published:
            return RATE_OF_PUBLISHED
        return RATE_OF_PRETRAINED if self.n_steps else RATE

    @classmethod
    def of_published(cls, model: PublishedModel, origin: str) -> Pretrained:
        """Give what there is to start from in a model in the layout of transformers."""
        weights = {f"encoder.{name}": tensor for name, tensor in model.encoder.items()}
        weights |= {f"pooling.{name}": tensor for name, tensor in (model.pooling or {}).items()}
        pooling = "none" if model.pooling is None else "cls"
        return cls(model.tokenizer, model.config, pooling, weights, 0, origin, published=True)

    def check_reads(self, documents: Documents) -> None:
        """Refuse texts where there is no tokenizer for them.

        Raises
        ------
        ValueError
            If the encoder was pretrained on tokens and the documents are texts.
        """
        if self.tokenizer is None and not isinstance(documents, TokenArray):
            raise ValueError(
                "The pretrained encoder was fitted on tokens and has no tokenizer: pass what the "
                "same TextTokenizer's transform gives, not texts."
            )

    def config_with(self, chosen: dict[str, Any]) -> EncoderConfig:
        """Give the shape, with what the estimator decides of it."""
        return replace(self.config, **chosen)

    def put_into(self, model: Ensemble) -> None:
        """Give each member the pretrained encoder; the output layers stay as they are.

        Where the pooling is the same, its weights and those of the LayerNorm after it, too.

        Raises
        ------
        ValueError
            If weights are missing, or of another shape than the configuration says.
        """
        for member in model.members:
            same = member.pooling_name == self.pooling
            parts = ("encoder.", "pooling.", "norm.") if same else ("encoder.",)
            weights = member.state_dict()
            for name in weights:
                if name.startswith(parts):
                    theirs = self.weights.get(name)
                    if theirs is None or theirs.shape != weights[name].shape:
                        wrong = "is missing" if theirs is None else f"has {tuple(theirs.shape)}"
                        raise ValueError(
                            f"{self.origin}: the weight {name!r} of shape "
                            f"{tuple(weights[name].shape)} {wrong}."
                        )
                    weights[name] = theirs
            member.load_state_dict(weights)


def find_pretrained(model: Any, documents: Documents, unlabeled: Any, seed: int) -> Pretrained:
    """Give the encoder that an estimator's `pretrained` parameter stands for.

    Parameters
    ----------
    model : SupervisedEstimator
        `pretrained` is a FrozenEstimator around a fitted FNetPretrainer; a folder that one was
        saved in; an FNetPretrainer, which is cloned and fitted; or a folder in the layout of
        transformers, or a name on its hub.
    documents : list of str, list of pairs or TokenArray
        What to fit it on, together with `unlabeled`.
    unlabeled : iterable of str or of pairs of str, or None
        As given to `fit`.
    seed : int
        For a pretrainer without a `random_state` of its own.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError, ConnectionError
        If there is no fitted pretrainer where one should be, or its encoder is not the one that
        the parameters ask for.
    """
    given = model.pretrained
    if isinstance(given, FNetPretrainer):
        # Before it takes its time to learn.
        check_agrees(model, vars(given) | {"mixer": given._mixer}, None)
        own = clone(given)
        if own.random_state is None and model.random_state is not None:
            own.random_state = seed
        if own.device == "auto":
            own.device = model.device
        return _of(own.fit(_joined(documents, unlabeled)))
    if isinstance(given, FrozenEstimator):
        if not isinstance(given.estimator, FNetPretrainer):
            raise TypeError(
                "The 'pretrained' parameter holds a FrozenEstimator around "
                f"{type(given.estimator).__name__}; an FNetPretrainer belongs in it."
            )
        check_is_fitted(given.estimator)
        found = _of(given.estimator)
    elif holds_pretrainer(given):
        found = Pretrained(*read_encoder(given), origin=os.fspath(given))
    else:
        found = Pretrained.of_published(read_huggingface(given), os.fspath(given))
    check_agrees(model, found.config.to_dict(), found.tokenizer)
    found.check_reads(documents)
    return found


def check_agrees(model: Any, theirs: Mapping[str, Any], tokenizer: TextTokenizer | None) -> None:
    """Refuse parameters of an estimator that ask for another encoder than it is to start from.

    Raises
    ------
    ValueError
        If one is neither its default nor what the pretrained encoder has; it is named.
    """
    defaults = signature(type(model).__init__).parameters
    # A pretrainer to be fitted says it by the same name, a fitted one by what comes of it.
    architecture = theirs.get(
        "architecture", "paper" if theirs.get("norm") == "post" else "default"
    )
    for name in _GIVEN:
        ours, value = getattr(model, name), theirs[name]
        if name == "feedforward_width" and value is None:
            value = (4 if architecture == "paper" else 2) * theirs["width"]
        if ours not in (defaults[name].default, value):
            raise ValueError(
                f"{name}={ours!r}, but the pretrained encoder has {name}={value!r}, which "
                f"{type(model).__name__} takes over. Leave {name} out, or pretrain with "
                f"{name}={ours!r}."
            )
    if model.architecture == "paper" != architecture:
        raise ValueError(
            f"architecture='paper', but the pretrained encoder has another, which "
            f"{type(model).__name__} takes over. Leave architecture out, or pretrain with "
            "architecture='paper'."
        )
    ours = model.tokenizer
    if isinstance(ours, FrozenEstimator):
        ours = ours.estimator
    without = tokenizer is None and isinstance(ours, str)  # "precomputed"
    if ours is not None and ours is not tokenizer and not without:
        raise ValueError(
            f"The 'tokenizer' parameter is given, but {type(model).__name__} takes over the "
            "tokenizer of the pretrained encoder. Leave tokenizer out, or pretrain with it."
        )


def check_unlabeled(model: Any, unlabeled: Any) -> None:
    """Refuse unlabelled texts that nothing would read.

    Raises
    ------
    ValueError
        If `pretrained` is no unfitted FNetPretrainer.
    """
    if unlabeled is not None and not isinstance(model.pretrained, FNetPretrainer):
        raise ValueError(
            "unlabeled is for pretrained=FNetPretrainer(...), which is fitted on these texts; "
            f"pretrained={model.pretrained!r} reads none. Leave unlabeled out."
        )


def _of(pretrainer: FNetPretrainer) -> Pretrained:
    document = pretrainer._model.document
    return Pretrained(
        pretrainer.tokenizer_,
        document.encoder.config,
        trained_pooling(document.pooling_name, pretrainer.objectives),
        document.state_dict(),
        pretrainer.n_steps_,
        origin=type(pretrainer).__name__,
    )


def _joined(documents: Documents, unlabeled: Any) -> Documents:
    """Give all the texts there are, of one kind."""
    if unlabeled is None:
        return documents
    if isinstance(documents, TokenArray) or isinstance(unlabeled, TokenArray):
        raise ValueError(
            "unlabeled texts are read by the tokenizer that the pretrainer learns: pass X and "
            "unlabeled as texts, not as tokens."
        )
    try:
        others = check_input(unlabeled)
    except (TypeError, ValueError) as error:
        raise ValueError(f"In unlabeled, given as X: {error}") from error
    if in_pairs(documents) != in_pairs(others):  # pairs are two texts each
        documents, others = (
            [text for pair in texts for text in pair] if in_pairs(texts) else texts
            for texts in (documents, others)
        )
    return [*documents, *others]
