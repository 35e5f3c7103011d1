"""From hidden states to one vector a document, and from there to one number a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .config import EncoderConfig
from .dropout import Dropout
from .encoder import Encoder
from .ragged import beyond, without_padding

__all__ = ["POOLINGS", "DocumentClassifier", "Ensemble", "rescaled"]


class MeanPooling(nn.Module):
    """Mean of a row's hidden states, padding left out."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool (batch, length, width) to (batch, width)."""
        total = without_padding(hidden, lengths).sum(dim=1)
        return total / lengths.to(total)[:, None]


class MaxPooling(nn.Module):
    """Largest value of each hidden unit over a row, padding left out."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool (batch, length, width) to (batch, width)."""
        return hidden.masked_fill(beyond(hidden, lengths), -torch.inf).amax(dim=1)


class MeanMaxPooling(nn.Module):
    """Mean plus maximum, each after a LayerNorm without weights, so that they count alike.

    The mean tells what a document is about as a whole, the maximum what stands out in it, in
    however few of its words.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean, self.max = MeanPooling(width), MaxPooling(width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool (batch, length, width) to (batch, width)."""
        return self.norm(self.mean(hidden, lengths)) + self.norm(self.max(hidden, lengths))


class ClsPooling(nn.Module):
    """The paper's pooler: a dense layer with tanh on the first token, [CLS]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool (batch, length, width) to (batch, width)."""
        return torch.tanh(self.dense(hidden[:, 0]))


POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "mean_max": MeanMaxPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "cls": ClsPooling,
}


class DocumentClassifier(nn.Module):
    """Encoder, pooling and a linear layer: ids in, logits out.

    Parameters
    ----------
    config : EncoderConfig
        The encoder's sizes and choices.
    n_classes : int
        Number of logits.
    pooling : {"mean_max", "mean", "max", "cls"}, default="mean_max"
        How a row's hidden states become one vector.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import DocumentClassifier, EncoderConfig
    >>> model = DocumentClassifier(EncoderConfig(vocab_size=100, width=16), n_classes=3)
    >>> model(torch.tensor([[5, 17, 3]]), torch.tensor([3])).shape
    torch.Size([1, 3])
    """

    def __init__(self, config: EncoderConfig, n_classes: int, pooling: str = "mean_max") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"Unknown pooling {pooling!r}; known are {sorted(POOLINGS)}.")
        self.encoder = Encoder(config)
        self.pooling_name = pooling
        self.pooling = POOLINGS[pooling](config.width)
        # A pre-norm stack ends in a sum that nothing has normalised. To normalise it here and
        # not token by token lets rare words stay small in the mean, and gives the output layer
        # an input whose size does not shrink with the document's length.
        self.norm = (
            nn.LayerNorm(config.width, eps=config.layer_norm_eps)
            if config.norm == "pre"
            else nn.Identity()
        )
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, n_classes)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def embed(
        self, input_ids: Tensor, lengths: Tensor, type_ids: Tensor | None = None, **more: Tensor
    ) -> Tensor:
        """Give one vector a document.

        Parameters
        ----------
        input_ids : Tensor of int, shape (batch, length)
            Token ids.
        lengths : Tensor of int, shape (batch,)
            Number of tokens of each row, at least one.
        type_ids : Tensor of int, shape (batch, length), optional
            As in :meth:`Encoder.forward`.
        **more
            As in :meth:`Encoder.forward`.

        Returns
        -------
        Tensor of shape (batch, width)
            The pooled hidden states; with ``norm="pre"`` after a LayerNorm.
        """
        return self.pool(self.encoder(input_ids, lengths, type_ids, **more), lengths)

    def pool(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Give one vector a document, (batch, width), of its hidden states."""
        return self.norm(self.pooling(hidden, lengths))

    def forward(
        self, input_ids: Tensor, lengths: Tensor, type_ids: Tensor | None = None, **more: Tensor
    ) -> Tensor:
        """Classify a batch of rows.

        Parameters
        ----------
        input_ids, lengths, type_ids, **more
            As in :meth:`embed`.

        Returns
        -------
        Tensor of shape (batch, n_classes)
            Logits.
        """
        return self.classify(self.embed(input_ids, lengths, type_ids, **more))

    def classify(self, vectors: Tensor) -> Tensor:
        """Give the logits, (batch, n_classes), of document vectors, (batch, width)."""
        return self.output(self.dropout(vectors))


class Ensemble(nn.Module):
    """Models that begin differently and see the same batches.

    Each learns by itself. What they agree on is what the documents say; what each of them has
    learned by heart, the others do not share.

    Parameters
    ----------
    configs : sequence of EncoderConfig
        Sizes and choices of each encoder.
    n_classes : int
        Number of outputs.
    pooling : {"mean_max", "mean", "max", "cls"}, default="mean_max"
        As in :class:`DocumentClassifier`.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", arXiv 1612.01474.
    """

    def __init__(
        self, configs: Sequence[EncoderConfig], n_classes: int, pooling: str = "mean_max"
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            DocumentClassifier(config, n_classes, pooling) for config in configs
        )

    def forward(self, **batch: Tensor) -> Tensor:
        """Give each member's outputs, shape (batch, n_members, n_classes)."""
        return torch.stack([self.outputs_of(k, **batch) for k in range(len(self.members))], dim=1)

    def outputs_of(self, k: int, **batch: Tensor) -> Tensor:
        """Give one member's outputs, shape (batch, n_classes)."""
        return self.members[k](**batch)

    def predict(self, **batch: Tensor) -> Tensor:
        """Give the mean of the members' outputs, shape (batch, n_classes)."""
        return self(**batch).mean(dim=1)

    def divide_outputs(self, temperatures: Sequence[float]) -> None:
        """Change the output layers so that they give what they gave, divided by a number each."""
        with torch.no_grad():
            for member, temperature in zip(self.members, temperatures, strict=True):
                member.output.weight /= temperature
                member.output.bias /= temperature

    def embed(self, **batch: Tensor) -> Tensor:
        """Give the members' document vectors, one after the other, (batch, n_members * width)."""
        return torch.cat([member.embed(**batch) for member in self.members], dim=1)


def rescaled(
    layer: Mapping[str, Tensor], scale: Sequence[float], shift: Sequence[float]
) -> dict[str, Tensor]:
    """Put a scale and a shift of its outputs into a linear layer.

    Parameters
    ----------
    layer : mapping of str to Tensor
        Weight and bias of an ``nn.Linear`` with n outputs, as its ``state_dict``.
    scale, shift : sequence of float, shape (n,)
        What each output is multiplied by, and what is added to it then.

    Returns
    -------
    dict of str to Tensor
        Weight and bias of the layer that gives these numbers itself, in float64 on the CPU.
    """
    weight, bias = (layer[name].cpu().double() for name in ("weight", "bias"))
    scale, shift = (torch.as_tensor(numbers, dtype=torch.float64) for numbers in (scale, shift))
    return {"weight": weight * scale[:, None], "bias": bias * scale + shift}
