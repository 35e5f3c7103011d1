"""The tokenizer of a published model: its files, in and out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import tokenizers

from ..tokenizer import TextTokenizer
from .hub import ModelFiles
from .json_files import read_json, write_json
from .sentencepiece import read_sentencepiece

__all__ = ["read_tokenizer", "write_tokenizer"]

_READY, _PIECES = "tokenizer.json", "spiece.model"
_SETTINGS, _ROLES = "tokenizer_config.json", "special_tokens_map.json"


def read_tokenizer(files: ModelFiles, vocab_size: int, pad: int | None) -> TextTokenizer:
    """Read ``tokenizer.json``, or ``spiece.model`` where there is but that.

    Parameters
    ----------
    files : ModelFiles
        Where to look.
    vocab_size : int
        Rows of the table of embeddings; there may be some to spare.
    pad : int or None
        Id of the padding, where the tokenizer's files do not name it.

    Returns
    -------
    TextTokenizer
        Fitted.

    Raises
    ------
    FileNotFoundError, ConnectionError
        If there is neither.
    ImportError
        If there is but ``spiece.model``, and sentencepiece is not installed.
    ValueError
        If a file is damaged, or there are more tokens than embeddings.
    """
    settings: dict[str, Any] = {}
    for name in (_ROLES, _SETTINGS):
        if found := files.find(name):
            settings |= read_json(found)
    path = files.require(_READY, _PIECES)
    if path.name == _PIECES:
        ready = read_sentencepiece(
            path,
            lowercase=settings.get("do_lower_case", False),
            keep_accents=settings.get("keep_accents", True),
        )
    else:
        ready = _from_json(path)
    tokenizer = TextTokenizer.from_tokenizer(ready)
    if tokenizer.n_ids_ > vocab_size:
        raise ValueError(
            f"{path} has {tokenizer.n_ids_} token ids, but config.json says vocab_size="
            f"{vocab_size}. Are both files of the same model?"
        )
    tokenizer.n_ids_ = vocab_size
    named = settings.get("pad_token") or "<pad>"
    known = ready.token_to_id(named["content"] if isinstance(named, dict) else named)
    pad = next((i for i in (known, pad) if i is not None), tokenizer.special_tokens_.pad)
    tokenizer.special_tokens_ = replace(tokenizer.special_tokens_, pad=pad)
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: TextTokenizer, max_length: int) -> None:
    """Write the files from which transformers' AutoTokenizer makes the same tokens."""
    ready = tokenizer.tokenizer_
    ready.save(str(folder / _READY))
    roles = _roles(tokenizer)
    write_json(folder / _ROLES, roles)
    normalizer = json.loads(ready.to_str())["normalizer"] or {}
    steps = {step["type"] for step in normalizer.get("normalizers", [normalizer]) if step}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # takes tokenizer.json as it is
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids"],
        # For who asks for an FNetTokenizerFast all the same, which is built from these.
        "do_lower_case": "Lowercase" in steps,
        "keep_accents": "StripAccents" not in steps,
    }
    write_json(folder / _SETTINGS, settings | roles)


def _from_json(path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError:
        raise
    except Exception as error:  # tokenizers raises no narrower one
        raise ValueError(
            f"{path} is no tokenizer, or only a part of one ({error}). Download or copy it again."
        ) from error


def _roles(tokenizer: TextTokenizer) -> dict[str, str]:
    """Say which token is which, as far as there are such tokens."""
    ready, special = tokenizer.tokenizer_, tokenizer.special_tokens_
    masks = (ready.token_to_id(name) for name in ("[MASK]", "<mask>"))
    ids = {
        "cls_token": special.prefix[0] if special.prefix else None,
        "sep_token": special.suffix[-1] if special.suffix else None,
        "pad_token": special.pad,
        "unk_token": special.unknown,
        "mask_token": next((i for i in masks if i is not None), None),
    }
    return {role: ready.id_to_token(i) for role, i in ids.items() if i is not None}
