"""Fitted estimators from and to folders in the layout of Hugging Face transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .checkpoints import PublishedModel, check_expressible, read_huggingface, write_huggingface
from .devices import seeded, usable_device
from .finetuning import RATE_OF_PUBLISHED
from .nn import Ensemble

__all__ = ["HuggingFaceMixin", "write_pretraining"]


class HuggingFaceMixin:
    """from_huggingface and to_huggingface for estimators with targets.

    An estimator adds `_take_head` and `_give_head`.
    """

    @classmethod
    def from_huggingface(cls, name_or_folder: str | os.PathLike, **parameters: Any) -> Self:
        """Read a model that was trained for documents, in the layout of transformers.

        Parameters
        ----------
        name_or_folder : str or path-like
            A folder that an ``FNetForSequenceClassification`` of transformers, or
            `to_huggingface`, was saved in; or a name on the Hugging Face hub.
        **parameters
            Of the estimator. By default `pretrained` is `name_or_folder`, so that `fit` begins
            with these weights again, and `dropout` as there.

        Returns
        -------
        estimator
            Fitted: ready to predict, or to go on by `partial_fit`, or by `fit` with
            ``warm_start=True``. It reads single texts and pairs.

        Raises
        ------
        FileNotFoundError, ConnectionError
            If there is no such folder or file, or the hub does not give it.
        ValueError
            If the model has no head for documents, or one for something else; or as
            :func:`skfnet.checkpoints.read_huggingface`.
        """
        return _read(cls, name_or_folder, parameters)

    def to_huggingface(self, folder: str | os.PathLike) -> None:
        """Write the fitted model so that transformers gives the same outputs.

        ``FNetForSequenceClassification.from_pretrained(folder)`` and
        ``AutoTokenizer.from_pretrained(folder)`` read it, and so does `from_huggingface`.

        Parameters
        ----------
        folder : str or path-like
            Made where it is missing; files of the same names are written over.

        Raises
        ------
        ValueError
            If transformers' FNet cannot express the model: the parameters are named.
        """
        check_is_fitted(self)
        _write(self, folder)

    # What an estimator adds.

    @staticmethod
    def _take_head(labels: list[Any], problem: str) -> tuple[dict[str, Any], np.ndarray]:
        """Give the fitted attributes that a head of transformers' decides.

        Parameters
        ----------
        labels : list
            What each output stands for.
        problem : str
            What it was trained for, in transformers' words.

        Returns
        -------
        learned : dict
        order : ndarray of int, shape (n_outputs,)
            The outputs in the order of ours.
        """
        raise NotImplementedError

    def _give_head(self, output: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Any], str]:
        """Give the output layer for transformers, with labels and problem as `_take_head` has."""
        raise NotImplementedError


def _read(cls: type, name_or_folder: str | os.PathLike, parameters: dict[str, Any]) -> Any:
    found, name = read_huggingface(name_or_folder), os.fspath(name_or_folder)
    if found.output is None or found.pooling is None:
        raise ValueError(
            f"{name} holds an FNet without a head for documents, so that there is nothing to "
            f"predict with. Train one: {cls.__name__}(pretrained={name!r}).fit(texts, targets)."
        )
    estimator = cls(**{"pretrained": name, "dropout": found.config.dropout, **parameters})
    estimator._check_parameters()
    estimator._check_agrees(found.config, found.tokenizer)
    if estimator.pooling not in ("auto", "cls") or estimator.n_encoders not in ("auto", 1):
        raise ValueError(
            f"{name} holds one encoder whose first token is pooled: leave out n_encoders and "
            f"pooling, which are {estimator.n_encoders!r} and {estimator.pooling!r}."
        )
    try:
        learned, order = estimator._take_head(found.labels, found.problem)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    device = usable_device(estimator.device)
    with seeded(0, torch.device("cpu")):  # the initial weights are overwritten
        config = replace(found.config, **estimator._chosen())
        model = Ensemble([config], len(order), "cls")
    member = model.members[0]
    member.encoder.load_state_dict(found.encoder)
    member.pooling.load_state_dict(found.pooling)
    member.output.load_state_dict({name: t[order] for name, t in found.output.items()})
    vars(estimator).update(
        learned,
        tokenizer_=found.tokenizer,
        device_=device,
        history_=[],
        n_iter_=0,
        _pairs=None,
        _axes=None,
        _temperatures=np.ones(1),
        _auto_rate=RATE_OF_PUBLISHED,
        _auto_freeze=None,
        _model=model.to(device).eval(),
        _stream=None,
    )
    return estimator


def _write(estimator: Any, folder: str | os.PathLike) -> None:
    members = estimator._model.members
    if len(members) > 1:
        raise ValueError(
            f"transformers' FNet is one encoder, this model has {len(members)}. Train it with "
            "n_encoders=1."
        )
    if estimator.long_documents != "truncate":
        raise ValueError(
            f"transformers reads the beginning of a document alone, long_documents="
            f"{estimator.long_documents!r} all of it. Use set_params(long_documents='truncate')."
        )
    member = members[0]
    _check_expressible(estimator, member, pools=True)
    output, labels, problem = estimator._give_head(member.output.state_dict())
    model = PublishedModel(
        config=member.encoder.config,
        tokenizer=estimator.tokenizer_,
        encoder=member.encoder.state_dict(),
        pooling=member.pooling.state_dict(),
        output=output,
        labels=labels,
        problem=problem,
    )
    write_huggingface(folder, model)


def write_pretraining(pretrainer: Any, folder: str | os.PathLike) -> None:
    """Write a fitted pretrainer; see :meth:`FNetPretrainer.to_huggingface`."""
    document, masked = pretrainer._model.document, pretrainer._model.masked
    hides, orders = (name in pretrainer.objectives for name in ("masked_tokens", "segment_order"))
    _check_expressible(pretrainer, document, pools=orders)
    if hides and (pretrainer._model.n_words or np.inf) < document.encoder.config.vocab_size:
        raise ValueError(
            f"transformers' FNet tells all words apart, this model the first "
            f"{pretrainer._model.n_words:,}. Train it with maskable_words=None."
        )
    model = PublishedModel(
        config=document.encoder.config,
        tokenizer=pretrainer.tokenizer_,
        encoder=document.encoder.state_dict(),
        pooling=document.pooling.state_dict() if orders else None,
        masked=masked.state_dict() if hides else None,
        order=document.output.state_dict() if orders else None,
    )
    write_huggingface(folder, model)


def _check_expressible(estimator: Any, document: Any, pools: bool) -> None:
    """Refuse an encoder, a pooling or tokens that transformers' FNet cannot have."""
    check_expressible(document.encoder.config)
    if pools and document.pooling_name != "cls":
        raise ValueError(
            f"transformers' FNet cannot express pooling={document.pooling_name!r}. Train the "
            "model with pooling='cls'."
        )
    if estimator.tokenizer_ is None:
        raise ValueError(
            f"This {type(estimator).__name__} was fitted on tokens and has no tokenizer to write. "
            "Fit it on texts, with the tokenizer in FrozenEstimator as its `tokenizer`."
        )
