"""What an encoder learns from text alone: hidden tokens, and the order of two segments."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .heads import DocumentClassifier

__all__ = ["MaskedTokenHead", "PretrainingModel"]


class MaskedTokenHead(nn.Module):
    """Logits of the words that may have stood at some places.

    A dense layer, GELU and a LayerNorm; then the product with the words' own embeddings, to
    which the output layer is tied, and a bias for each word.

    Parameters
    ----------
    config : EncoderConfig
        Read for `width`, `vocab_size` and `layer_norm_eps`.

    References
    ----------
    Lee-Thorp et al., arXiv 2105.03824, section 4.1; Press and Wolf, "Using the Output Embedding
    to Improve Language Models", arXiv 1608.05859.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(self.dense.weight.new_zeros(config.vocab_size))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """Give logits.

        Parameters
        ----------
        hidden : Tensor of shape (n, width)
            Hidden states of the places.
        words : Tensor of shape (n_words, width)
            The encoder's embeddings of the first words of the vocabulary, or of all.

        Returns
        -------
        Tensor of shape (n, n_words)
        """
        states = self.norm(F.gelu(self.dense(hidden), approximate="tanh"))
        return F.linear(states, words, self.bias[: len(words)])


class PretrainingModel(nn.Module):
    """An encoder with the two outputs that it is pretrained by.

    Parameters
    ----------
    config : EncoderConfig
        Sizes and choices of the encoder.
    pooling : {"mean_max", "mean", "max", "cls"}, default="mean_max"
        How hidden states become the vector that tells the order of the segments.
    n_words : int, optional
        The first so many words of the vocabulary are told apart; all by default.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import EncoderConfig, PretrainingModel
    >>> model = PretrainingModel(EncoderConfig(vocab_size=100, width=16))
    >>> ids, lengths = torch.tensor([[5, 4, 3], [9, 8, 0]]), torch.tensor([3, 2])
    >>> outputs = model(ids, lengths, masked=torch.tensor([1]))  # the place of the 4
    >>> outputs["masked_tokens"].shape, outputs["segment_order"].shape
    (torch.Size([1, 100]), torch.Size([2, 2]))
    """

    def __init__(
        self, config: EncoderConfig, pooling: str = "mean_max", n_words: int | None = None
    ) -> None:
        super().__init__()
        self.n_words = n_words
        self.document = DocumentClassifier(config, 2, pooling)
        self.masked = MaskedTokenHead(config)

    @property
    def encoder(self) -> Any:
        """The encoder that learns."""
        return self.document.encoder

    @property
    def members(self) -> list[PretrainingModel]:
        """The models that learn side by side: this one alone."""
        return [self]

    def embed(self, **batch: Tensor) -> Tensor:
        """Give one vector a document, (batch, width), as :meth:`DocumentClassifier.embed`."""
        return self.document.embed(**batch)

    def forward(
        self,
        input_ids: Tensor,
        lengths: Tensor,
        type_ids: Tensor | None = None,
        masked: Tensor | None = None,
        **spelling: Tensor,
    ) -> dict[str, Tensor]:
        """Give the logits of both objectives.

        Parameters
        ----------
        input_ids, lengths, type_ids, **spelling
            As in :meth:`Encoder.forward`.
        masked : Tensor of int, shape (n_masked,), optional
            Places of hidden tokens in ``input_ids.flatten()``. Logits of the words are computed
            there and nowhere else.

        Returns
        -------
        dict of Tensor
            "masked_tokens" of shape (n_masked, n_words), where `masked` is given, and
            "segment_order" of shape (batch, 2): in order or swapped.
        """
        hidden = self.encoder(input_ids, lengths, type_ids, **spelling)
        outputs = {"segment_order": self.document.classify(self.document.pool(hidden, lengths))}
        if masked is not None:
            words = self.encoder.embeddings.words.weight[: self.n_words]
            outputs["masked_tokens"] = self.masked(hidden.flatten(0, 1)[masked], words)
        return outputs
