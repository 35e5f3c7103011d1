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

from safetensors.torch import save_file
from torch import Tensor

from ..nn import EncoderConfig
from ..tokenizer import TextTokenizer
from .configuration import describe_labels, describe_shape, is_for_documents, read_labels, read_shape
from .hub import ModelFiles
from .json_files import read_json, write_json
from .tokenizer_files import read_tokenizer, write_tokenizer
from .weights import DocumentHead, PretrainingHeads, StoredWeights, their_name

__all__ = ["Checkpoint", "read_huggingface", "write_huggingface"]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model of the published shape, as data.

    Attributes
    ----------
    config : EncoderConfig
        Sizes and choices; its `padding` says what rows the weights were trained on.
    tokenizer : TextTokenizer
        Fitted.
    encoder : dict of str to Tensor
        The weights, by the names of :class:`skfnet.nn.Encoder`.
    pooling : dict of str to Tensor, or None
        Those of the pooling "cls", by its names.
    head : DocumentHead or None
        The output layer, where the model was trained to judge documents.
    pretraining : PretrainingHeads or None
        The heads of pretraining.
    """

    config: EncoderConfig
    tokenizer: TextTokenizer
    encoder: dict[str, Tensor]
    pooling: dict[str, Tensor] | None = None
    head: DocumentHead | None = None
    pretraining: PretrainingHeads | None = None


def read_huggingface(name_or_folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a model in the layout of transformers.

    Parameters
    ----------
    name_or_folder : str or path-like
        A folder, or a name on the hub such as ``"google/fnet-base"``. The hub's files come through
        ``huggingface_hub``: its cache, its token and ``HF_HUB_OFFLINE`` are respected.

    Returns
    -------
    Checkpoint
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
    labels, problem = read_labels(settings, path)
    tokenizer = read_tokenizer(files, config.vocab_size, settings.get("pad_token_id"))
    weights = StoredWeights(files.require("model.safetensors", "pytorch_model.bin"), config)
    return Checkpoint(
        config=config,
        tokenizer=tokenizer,
        encoder=weights.encoder(),
        pooling=weights.pooling(),
        head=weights.head(labels, problem) if is_for_documents(settings) else None,
        pretraining=weights.pretraining(),
    )


def write_huggingface(folder: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a model so that transformers reads it and gives the same numbers.

    With a `head` it is an FNetForSequenceClassification, with the heads of `pretraining` an
    FNetForPreTraining (an FNetForMaskedLM without the second), with neither an FNetModel.

    Parameters
    ----------
    folder : str or path-like
        Made where it does not exist; files of the same names are written over.
    checkpoint : Checkpoint
        What to write.

    Raises
    ------
    ValueError
        If transformers' FNet cannot be of that shape: the parameters are named.
    """
    settings = _settings(checkpoint)  # refuses before anything is written
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Without the format transformers refuses the file; no two names may share memory.
    tensors = {name: t.detach().cpu().float().clone() for name, t in _tensors(checkpoint).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(folder, checkpoint.tokenizer, checkpoint.config.max_length)
    write_json(folder / "config.json", settings)


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Give what config.json says of a model."""
    head, pretraining = checkpoint.head, checkpoint.pretraining
    settings = describe_shape(checkpoint.config)
    kind = "FNetModel"
    if head is not None:
        kind = "FNetForSequenceClassification"
        labels = describe_labels(head.labels, head.problem)
        settings |= labels | {"skfnet": settings["skfnet"] | labels["skfnet"]}
    elif pretraining is not None:
        in_order = pretraining.order_weight is not None
        kind = "FNetForPreTraining" if in_order else "FNetForMaskedLM"
    id_of = checkpoint.tokenizer.tokenizer_.token_to_id
    tokens = {
        "pad_token_id": checkpoint.tokenizer.special_tokens_.pad,
        "bos_token_id": id_of("<s>"),
        "eos_token_id": id_of("</s>"),
    }
    return {"architectures": [kind], **settings, **tokens}


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Give a model's weights by transformers' names."""
    ours = {f"encoder.{name}": t for name, t in checkpoint.encoder.items()}
    ours |= {f"pooling.{name}": t for name, t in (checkpoint.pooling or {}).items()}
    if checkpoint.head is not None:
        ours |= {"output.weight": checkpoint.head.weight, "output.bias": checkpoint.head.bias}
    theirs = {their_name(name): tensor for name, tensor in ours.items()}
    if checkpoint.pretraining is not None:
        theirs |= checkpoint.pretraining.named()
    return theirs
