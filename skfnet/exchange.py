"""Fitted estimators from and to folders in the layout of Hugging Face transformers."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch

from .checkpoints import PublishedModel, check_expressible, read_huggingface, write_huggingface
from .devices import usable_device
from .nn import Ensemble

__all__ = ["read_estimator", "write_estimator", "write_pretraining"]


def read_estimator(cls: type, name_or_folder: str | os.PathLike, parameters: dict[str, Any]) -> Any:
    """Build a fitted estimator; see :meth:`SupervisedEstimator.from_huggingface`."""
    found, name = read_huggingface(name_or_folder), os.fspath(name_or_folder)
    if found.output is None or found.pooling is None:
        raise ValueError(
            f"{name} holds an FNet without a head for documents, so that there is nothing to "
            f"predict with. Train one: {cls.__name__}(pretrained={name!r}).fit(texts, targets)."
        )
    estimator = cls(**{"pretrained": name, "dropout": found.config.dropout, **parameters})
    estimator._check_parameters()
    estimator._check_agrees(found.config, found.tokenizer)
    if estimator._resolved(published=True) != ("cls", 1):
        raise ValueError(
            f"{name} holds one encoder whose first token is pooled: leave out n_encoders and "
            f"pooling, which are {estimator.n_encoders!r} and {estimator.pooling!r}."
        )
    try:
        learned, order = estimator._take_head(found.labels, found.problem)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    device = usable_device(estimator.device)
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        config = replace(found.config, **estimator._chosen())
        model = Ensemble(config, len(order), "cls", n_members=1)
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
        _published=True,
        _model=model.to(device).eval(),
        _stream=None,
    )
    return estimator


def write_estimator(estimator: Any, folder: str | os.PathLike) -> None:
    """Write a fitted estimator; see :meth:`SupervisedEstimator.to_huggingface`."""
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
