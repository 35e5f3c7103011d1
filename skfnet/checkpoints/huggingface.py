"""FNet models in the layout of Hugging Face transformers, in and out.

The published models, and what transformers' ``save_pretrained`` writes: ``config.json``, the
weights in ``model.safetensors`` or ``pytorch_model.bin``, and the tokenizer. Names and shapes are
checked before anything is built from them; no file is ever unpickled freely.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..nn import EncoderConfig
from ..persistence import save_tensors
from ..tokenizer import TextTokenizer
from .configuration import (
    describe_outputs,
    describe_shape,
    is_for_documents,
    read_outputs,
    read_shape,
)
from .hub import ModelFiles
from .json_files import read_json, write_json
from .tokenizer_files import read_tokenizer, write_tokenizer
from .weights import StoredWeights, Weights, named_by_them

__all__ = ["PublishedModel", "read_huggingface", "write_huggingface"]


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A model of the published shape, as data.

    Weights are dictionaries of tensors, as a module's ``state_dict``; None where the model has no
    such part.

    Attributes
    ----------
    config : EncoderConfig
        Sizes and choices; its `padding` says what rows the weights were trained on.
    tokenizer : TextTokenizer
        Fitted.
    encoder : dict of str to Tensor
        Of an :class:`skfnet.nn.Encoder`.
    pooling : dict of str to Tensor, or None
        Of the pooling "cls".
    output : dict of str to Tensor, or None
        Of the linear layer from there to one number a label: the head of a model that was trained
        to judge documents.
    labels : list
        What each output stands for, whether there is an `output` or not.
    problem : {"single_label_classification", "multi_label_classification", "regression"}
        What the outputs were trained for.
    masked : dict of str to Tensor, or None
        Of the :class:`skfnet.nn.pretraining.MaskedTokenHead`.
    order : dict of str to Tensor, or None
        Of the linear layer from the pooled vector to "in order" and "swapped".
    """

    config: EncoderConfig
    tokenizer: TextTokenizer
    encoder: Weights
    pooling: Weights | None = None
    output: Weights | None = None
    labels: list[Any] | None = None
    problem: str = "single_label_classification"
    masked: Weights | None = None
    order: Weights | None = None


def read_huggingface(name_or_folder: str | os.PathLike[str]) -> PublishedModel:
    """Read a model in the layout of transformers.

    Parameters
    ----------
    name_or_folder : str or path-like
        A folder, or a name on the hub such as ``"google/fnet-base"``. The hub's files come through
        ``huggingface_hub``: its cache, its token and ``HF_HUB_OFFLINE`` are respected.

    Returns
    -------
    PublishedModel
        Weights in float32 on the CPU. `config.padding` is "max_length", unless skfnet wrote the
        folder for exact lengths.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ConnectionError
        If there is no such folder or file, or the hub does not give it.
    ImportError
        If the only tokenizer is a SentencePiece model, and sentencepiece is not installed.
    ValueError
        If a file is damaged, the model no FNet, its activation unknown here, or a parameter
        missing, unexpected or of another shape than ``config.json`` says: each is named.

    References
    ----------
    https://huggingface.co/docs/transformers/model_doc/fnet
    """
    files = ModelFiles(name_or_folder)
    path = files.require("config.json")
    settings = read_json(path)
    config = read_shape(settings, path)
    labels, problem = read_outputs(settings, path)
    tokenizer = read_tokenizer(files, config.vocab_size, settings.get("pad_token_id"))
    path = files.require("model.safetensors", "pytorch_model.bin")
    weights = StoredWeights(path, config, len(labels))
    others = {"pooling", "masked", "order"} | ({"output"} if is_for_documents(settings) else set())
    return PublishedModel(
        config=config,
        tokenizer=tokenizer,
        encoder=weights.take("encoder"),
        labels=labels,
        problem=problem,
        **{part: weights.take(part) for part in sorted(others) if part in weights},
    )


def write_huggingface(folder: str | os.PathLike[str], model: PublishedModel) -> None:
    """Write a model so that transformers reads it and gives the same numbers.

    With an `output` layer it is an FNetForSequenceClassification, with the heads of pretraining an
    FNetForPreTraining (with `masked` alone an FNetForMaskedLM, with `order` alone an
    FNetForNextSentencePrediction), with none of them an FNetModel.

    Parameters
    ----------
    folder : str or path-like
        Made where it does not exist; files of the same names are written over.
    model : PublishedModel
        What to write.

    Raises
    ------
    ValueError
        If transformers' FNet cannot be of that shape: the parameters are named.
    """
    settings = _settings(model)  # refuses before anything is written
    parts = ("encoder", "pooling", "output", "masked", "order")
    weights = named_by_them(**{part: getattr(model, part) or {} for part in parts})
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Read first and written last: a folder that is only half written over is refused.
    (folder / "config.json").unlink(missing_ok=True)
    # Without the format transformers refuses the file; no two names may share memory.
    tensors = {name: tensor.detach().cpu().float().clone() for name, tensor in weights.items()}
    save_tensors(tensors, folder / "model.safetensors", {"format": "pt"})
    write_tokenizer(folder, model.tokenizer, model.config.max_length)
    write_json(folder / "config.json", settings)


def _settings(model: PublishedModel) -> dict[str, Any]:
    """Give what config.json says of a model."""
    settings = describe_shape(model.config)
    kind = "FNetModel"
    if model.output is not None:
        kind = "FNetForSequenceClassification"
        outputs = describe_outputs(model.labels, model.problem)
        settings |= outputs | {"skfnet": settings["skfnet"] | outputs["skfnet"]}
    elif model.masked is not None:
        if model.config.activation != "gelu":
            raise ValueError(
                f"In transformers' FNetForPreTraining activation={model.config.activation!r} "
                "would be that of the head for masked tokens, too, which here is 'gelu'."
            )
        kind = "FNetForPreTraining" if model.order is not None else "FNetForMaskedLM"
    elif model.order is not None:
        kind = "FNetForNextSentencePrediction"
    id_of = model.tokenizer.tokenizer_.token_to_id
    tokens = {
        "pad_token_id": model.tokenizer.special_tokens_.pad,
        "bos_token_id": id_of("<s>"),
        "eos_token_id": id_of("</s>"),
    }
    return {"architectures": [kind], **settings, **tokens}
