"""A SentencePiece model, as FNet's authors published it, to a tokenizer of ``tokenizers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

__all__ = ["read_sentencepiece"]

_UNIGRAM = 1  # among TrainerSpec.ModelType
_CONTROL, _USER_DEFINED = 3, 4  # among SentencePiece.Type
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's sign for a space
# What the published models are tokenized with beside what the SentencePiece model says itself.
_CLS, _SEP, _MASK = "[CLS]", "[SEP]", "[MASK]"


def read_sentencepiece(
    path: Path, *, lowercase: bool = False, keep_accents: bool = True
) -> tokenizers.Tokenizer:
    """Read ``spiece.model`` as transformers' FNetTokenizer does.

    Parameters
    ----------
    path : Path
        A SentencePiece model of the kind "unigram".
    lowercase : bool, default=False
        Whether upper and lower case are the same; the published models tell them apart.
    keep_accents : bool, default=True
        Whether accents stay, as in the published models.

    Returns
    -------
    tokenizers.Tokenizer
        It wraps a text in [CLS] and [SEP].

    Raises
    ------
    ImportError
        If the package sentencepiece is not installed, with how to install it.
    ValueError
        If the file is no such model, or one without [CLS] and [SEP].
    """
    proto = _parsed(path)
    if proto.trainer_spec.model_type != _UNIGRAM:
        raise ValueError(
            f"{path} is a SentencePiece model of another kind than unigram, which FNet's are. "
            "Convert it with transformers and save its tokenizer.json beside it."
        )
    pieces = [(piece.piece, _score(piece)) for piece in proto.pieces]
    unknown = proto.trainer_spec.unk_id
    tokenizer = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=False))
    missing = [name for name in (_CLS, _SEP) if tokenizer.token_to_id(name) is None]
    if missing:
        raise ValueError(
            f"{path} has no piece {' and no '.join(missing)}, which texts are wrapped in. Is it "
            "the tokenizer of an FNet model? Save a tokenizer.json beside it."
        )
    tokenizer.normalizer = _normalizer(proto, lowercase, keep_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(_SPACE)]
    )
    tokenizer.decoder = decoders.Metaspace(_SPACE)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_CLS} $A {_SEP}",
        pair=f"{_CLS} $A {_SEP} $B:1 {_SEP}:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in (_CLS, _SEP)],
    )
    special = [p.piece for p in proto.pieces if p.type == _CONTROL]
    special += [pieces[unknown][0]] + [_MASK] * (tokenizer.token_to_id(_MASK) is not None)
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(name, normalized=False) for name in dict.fromkeys(special)]
    )
    tokenizer.add_tokens(
        [
            tokenizers.AddedToken(p.piece, normalized=False)
            for p in proto.pieces
            if p.type == _USER_DEFINED and p.piece not in special
        ]
    )
    return tokenizer


def _parsed(path: Path) -> Any:
    try:
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise ImportError(
            f"{path} is a SentencePiece model, and reading it needs the packages sentencepiece and "
            "protobuf: pip install 'skfnet[sentencepiece]'. A tokenizer.json beside it would need "
            "neither."
        ) from error
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(
            f"{path} is no SentencePiece model, or only a part of one ({error}). Download it again."
        ) from error
    return proto


def _score(piece: Any) -> float:
    """Make pieces such as "9," a last resort: FNet's tokenizer takes the comma off a number."""
    text = piece.piece
    joined = len(text) > 1 and text[-1] == "," and text[-2].isdigit()
    return piece.score - 100 * joined


def _normalizer(proto: Any, lowercase: bool, keep_accents: bool) -> normalizers.Normalizer:
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not keep_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    steps.append(normalizers.Replace(tokenizers.Regex(" {2,}"), " "))
    return normalizers.Sequence(steps)
