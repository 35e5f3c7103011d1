"""Everything that decides an encoder's shape, and the only place of its defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["EncoderConfig"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Shape and flavour of an :class:`~skfnet.nn.Encoder`.

    The defaults are those that train well from scratch on small corpora: pre-norm blocks,
    an orthonormal transform with a learned gain, no LayerNorm on the embeddings (so that a
    rare word keeps a small vector instead of becoming unit-size noise).
    :meth:`published` gives the paper's own choices.

    Parameters
    ----------
    vocab_size : int
        Number of token ids.
    width : int, default=128
        Size of a token's hidden state.
    depth : int, default=2
        Number of blocks.
    feedforward_width : int, optional
        Inner size of the feed-forward layers; ``4 * width`` when None.
    max_length : int, default=512
        Longest row, in tokens; the size of the position table.
    n_types : int, default=2
        Number of segment types (first and second text of a pair).
    mixer : str, default="fourier"
        Name of the token mixer, a key of :data:`skfnet.nn.MIXERS`.
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
        Rows of a second table of embeddings, into which each pair of neighbouring tokens is
        hashed; what it gives is added to the second token. Their vectors have a quarter of
        `width`, and one dense layer widens them. 0 for no such table, as in the paper.
    bigram_dropout : float, default=0.5
        Share of the pairs left out in training.
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
    1024
    """

    vocab_size: int
    width: int = 128
    depth: int = 2
    feedforward_width: int | None = None
    max_length: int = 512
    n_types: int = 2
    mixer: str = "fourier"
    transform_scale: Literal["orthonormal", "none"] = "orthonormal"
    mixing_gain: float | None = 0.3
    norm: Literal["pre", "post"] = "pre"
    embedding_norm: bool = False
    embedding_projection: bool = False
    positions: Literal["learned", "none"] = "learned"
    bigram_buckets: int = 32768
    bigram_dropout: float = 0.5
    activation: Literal["relu", "gelu"] = "relu"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "max_length", "n_types"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "an int >= 1")
        for name in ("depth", "bigram_buckets"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "an int >= 0")
        _require(self.feedforward_size >= 1, "feedforward_width", self.feedforward_width, ">= 1")
        for name in ("dropout", "bigram_dropout"):
            _require(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "in [0, 1)")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            _require(value in choices, name, value, f"one of {choices}")

    @property
    def feedforward_size(self) -> int:
        """Inner size of the feed-forward layers, the default resolved."""
        return 4 * self.width if self.feedforward_width is None else self.feedforward_width

    @classmethod
    def published(cls, **changes: Any) -> EncoderConfig:
        """Give the paper's choices, those the published weights were trained with.

        Post-norm blocks, unnormalised transform, LayerNorm and projection after the
        embeddings, four segment types, learned positions, no gain, no bigrams. The size is Base
        unless `changes` says otherwise.

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
        fields: dict[str, Any] = {
            "vocab_size": 32000,
            "width": 768,
            "depth": 12,
            "feedforward_width": None,
            "max_length": 512,
            "n_types": 4,
            "transform_scale": "none",
            "mixing_gain": None,
            "norm": "post",
            "bigram_buckets": 0,
            "activation": "gelu",
            "embedding_norm": True,
            "embedding_projection": True,
        }
        return cls(**(fields | changes))

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as a JSON-ready dictionary; ``EncoderConfig(**d)`` reads it back."""
        return asdict(self)


_CHOICES = {
    "transform_scale": ("orthonormal", "none"),
    "norm": ("pre", "post"),
    "positions": ("learned", "none"),
    "activation": ("gelu", "relu"),
}


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"EncoderConfig: {name} must be {allowed}, got {value!r}.")
