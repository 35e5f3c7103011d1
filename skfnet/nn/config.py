"""Everything that decides an encoder's shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["EncoderConfig"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Shape and flavour of an :class:`~skfnet.nn.Encoder`.

    The defaults are those that train well from scratch on small corpora: pre-norm blocks,
    an orthonormal transform with a learned gain, no LayerNorm on the embeddings (so that a
    rare word keeps a small vector instead of becoming unit-size noise).
    :meth:`base` and :meth:`large` give the paper's own choices.

    `shared_types` and `padding` tell what rows look like that the weights were trained on. They
    are for whoever makes the batches (:class:`skfnet.windows.Windows`); the encoder itself takes
    the rows, types and lengths that it is given.

    Parameters
    ----------
    vocab_size : int
        Number of token ids.
    width : int, default=128
        Size of a token's hidden state.
    depth : int, default=2
        Number of blocks.
    feedforward_width : int, optional
        Inner size of the feed-forward layers; ``2 * width`` when None, in :meth:`base` four times.
    max_length : int, default=512
        Longest row, in tokens; the size of the position table.
    n_types : int, default=4
        Number of token types: in the first or second text of a pair, and whether the other text
        has the token, too.
    shared_types : bool, default=True
        Whether a token that the other text of a pair has, too, is of a type of its own, 2 in place
        of 0 or 3 in place of 1. The paper knows the types 0 and 1 alone.
    padding : {"exact", "max_length"}, default="exact"
        Whether a row is read at its own length, or made `max_length` long by [PAD] tokens that are
        mixed like words, as the published weights were trained.
    mixer : str or callable, default="fourier"
        Name of the token mixer, a key of :data:`skfnet.nn.MIXERS`; or a class or function that is
        called with the configuration and gives a module to be called as ``mixer(x, lengths)``.
    attention_layers : int, default=0
        Number of blocks that have self-attention in place of `mixer`.
    attention_layout : {"top", "bottom", "middle", "mixed"}, default="top"
        Which blocks these are: the last, the first, those in the middle, or spread evenly.
    attention_heads : int, optional
        Number of heads of "attention" and "spectral"; it divides `width`. When None, as many as
        can be of at least 64 units each, at least one.
    transform_scale : {"orthonormal", "none"}, default="orthonormal"
        Whether the transform is divided by ``sqrt(length * width)``. Published weights were
        trained with "none".
    mixing_gain : float or None, default=0.3
        Initial value of a learned factor on the mixer's output, one for each block; None for
        no such factor.
    norm : {"pre", "post"}, default="pre"
        ``x + Mix(x)`` then ``x + FFN(LN(x))``, or the paper's ``LN(x + Mix(x))`` then
        ``LN(x + FFN(x))``.
    embedding_norm : bool, default=False
        LayerNorm on the sum of the embeddings, as in the paper.
    embedding_projection : bool, default=False
        Dense layer after the embeddings, as in the published models.
    positions : {"learned", "none"}, default="learned"
        Position embeddings.
    bigram_buckets : int, default=32768
        Rows of a second table of embeddings, for pairs of neighbouring tokens; what it gives is
        added to the second token. Their vectors have half of `width`, and one dense layer
        widens them. 0 for no such table, as in the paper.
    bigram_rows : {"hashed", "known"}, default="hashed"
        Which of these rows a pair has: the one of its hash, which it may share with others; or
        one of its own, if :meth:`Encoder.know_bigrams` was told of it, and none if not. "known"
        is for the weights of such an encoder: a new one knows no pair. With `target_encoding`
        each has its own, if :meth:`Encoder.take_target_encoding` was told of it.
    bigram_dropout : float, default=0.5
        Share of the pairs left out in training.
    trigram_buckets : int, default=0
        With `target_encoding` and pairs, and only then: rows of a table for triples of neighbouring
        tokens, each that :meth:`Encoder.take_target_encoding` was told of with its own.
    subword_buckets : int, default=0
        Rows of a table for the character n-grams of words, likewise; the encoder then needs to
        be told the words' spelling. 0 for no such table, as in the paper.
    subword_dropout : float, default=0.2
        Share of the n-grams left out in training.
    target_encoding : int, default=0
        How many numbers describe a token, a pair or triple of tokens or a subword by the targets
        of the documents it stands in, in place of learned vectors. They come from
        :meth:`Encoder.take_target_encoding`. 0 for learned vectors.
    activation : {"relu", "gelu"}, default="relu"
        Inside the feed-forward layers; "gelu" is the tanh approximation, as published.
    dropout : float, default=0.1
        After the embeddings and after each feed-forward layer.
    layer_norm_eps : float, default=1e-12
        Added to the variance in every LayerNorm.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> from skfnet.nn import EncoderConfig
    >>> EncoderConfig(vocab_size=8000, width=256).feedforward_size
    512
    """

    vocab_size: int
    width: int = 128
    depth: int = 2
    feedforward_width: int | None = None
    max_length: int = 512
    n_types: int = 4
    shared_types: bool = True
    padding: Literal["exact", "max_length"] = "exact"
    mixer: str | Callable[[EncoderConfig], Any] = "fourier"
    attention_layers: int = 0
    attention_layout: Literal["top", "bottom", "middle", "mixed"] = "top"
    attention_heads: int | None = None
    transform_scale: Literal["orthonormal", "none"] = "orthonormal"
    mixing_gain: float | None = 0.3
    norm: Literal["pre", "post"] = "pre"
    embedding_norm: bool = False
    embedding_projection: bool = False
    positions: Literal["learned", "none"] = "learned"
    bigram_buckets: int = 32768
    bigram_rows: Literal["hashed", "known"] = "hashed"
    bigram_dropout: float = 0.5
    trigram_buckets: int = 0
    subword_buckets: int = 0
    subword_dropout: float = 0.2
    target_encoding: int = 0
    activation: Literal["relu", "gelu"] = "relu"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "max_length", "n_types"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "an int >= 1")
        for name in ("depth", "bigram_buckets", "subword_buckets", "attention_layers"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "an int >= 0")
        _require(self.target_encoding >= 0, "target_encoding", self.target_encoding, "an int >= 0")
        reads_triples = self.target_encoding and self.bigram_buckets
        _require(
            self.trigram_buckets == 0 or bool(reads_triples and self.trigram_buckets > 0),
            "trigram_buckets",
            self.trigram_buckets,
            "0, or an int >= 1 with target_encoding and bigram_buckets",
        )
        _require(
            self.attention_layers <= self.depth,
            "attention_layers",
            self.attention_layers,
            f"at most depth={self.depth}",
        )
        if self.attention_heads is not None:
            _require(
                self.attention_heads >= 1 and self.width % self.attention_heads == 0,
                "attention_heads",
                self.attention_heads,
                f"a divisor of width={self.width}",
            )
        _require(self.feedforward_size >= 1, "feedforward_width", self.feedforward_width, ">= 1")
        for name in ("dropout", "bigram_dropout", "subword_dropout"):
            _require(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "in [0, 1)")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            _require(value in choices, name, value, f"one of {choices}")

    @property
    def feedforward_size(self) -> int:
        """Inner size of the feed-forward layers, the default resolved."""
        return 2 * self.width if self.feedforward_width is None else self.feedforward_width

    @property
    def n_heads(self) -> int:
        """Number of attention heads, the default resolved."""
        if self.attention_heads is not None:
            return self.attention_heads
        most = max(self.width // 64, 1)
        return next(n for n in range(most, 0, -1) if self.width % n == 0)

    @property
    def mixers(self) -> tuple[str | Callable[[EncoderConfig], Any], ...]:
        """The mixer of each block, from the first to the last."""
        k, depth = self.attention_layers, self.depth
        places = {
            "top": range(depth - k, depth),
            "bottom": range(k),
            "middle": range((depth - k) // 2, (depth - k) // 2 + k),
            "mixed": [(i + 1) * depth // k - 1 for i in range(k)],
        }[self.attention_layout]
        return tuple("attention" if i in places else self.mixer for i in range(depth))

    @classmethod
    def base(cls, **changes: Any) -> EncoderConfig:
        """Give FNet-Base, with the choices that the published weights were trained with.

        12 blocks of width 768: 83 million weights with the paper's vocabulary. Post-norm blocks,
        unnormalised transform, LayerNorm and projection after the embeddings, learned
        positions, no gain, no bigrams, no types for shared tokens.

        Parameters
        ----------
        **changes
            Any field of the configuration.

        Returns
        -------
        EncoderConfig

        References
        ----------
        Lee-Thorp et al., "FNet: Mixing Tokens with Fourier Transforms", arXiv 2105.03824,
        section 3 and appendix A.
        """
        # None, as the estimators give it, is the default here, too.
        given = {name: value for name, value in changes.items() if value is not None}
        fields: dict[str, Any] = {
            "vocab_size": 32000,
            "width": 768,
            "depth": 12,
            "feedforward_width": 4 * given.get("width", 768),
            "max_length": 512,
            "n_types": 4,
            "shared_types": False,
            "transform_scale": "none",
            "mixing_gain": None,
            "norm": "post",
            "bigram_buckets": 0,
            "activation": "gelu",
            "embedding_norm": True,
            "embedding_projection": True,
        }
        return cls(**(fields | given))

    @classmethod
    def large(cls, **changes: Any) -> EncoderConfig:
        """Give FNet-Large: 24 blocks of width 1024, 237 million weights.

        Parameters
        ----------
        **changes
            Any field of the configuration.

        Returns
        -------
        EncoderConfig
            With the other choices of :meth:`base`.
        """
        return cls.base(**({"width": 1024, "depth": 24} | changes))

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as a dictionary; ``EncoderConfig(**d)`` reads it back.

        It is JSON-ready unless `mixer` is a callable.
        """
        return asdict(self)


_CHOICES = {
    "padding": ("exact", "max_length"),
    "transform_scale": ("orthonormal", "none"),
    "norm": ("pre", "post"),
    "positions": ("learned", "none"),
    "bigram_rows": ("hashed", "known"),
    "activation": ("gelu", "relu"),
    "attention_layout": ("top", "bottom", "middle", "mixed"),
}


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"EncoderConfig: {name} must be {allowed}, got {value!r}.")
