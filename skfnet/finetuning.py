"""How much of a pretrained model moves: rates, blocks that stay fixed, heads alone."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from .nn import DocumentClassifier, Encoder, Ensemble

__all__ = [
    "RATE",
    "RATE_OF_PRETRAINED",
    "RATE_OF_PUBLISHED",
    "Heads",
    "have_one_encoder",
    "keep_fixed",
    "kinds_of",
    "layer_rates",
    "target_encoded",
]

# What learning_rate="auto" stands for: with new blocks, with those that an FNetPretrainer has
# taught, and from published weights, for which the paper searched from 1e-5 to 5e-5.
RATE, RATE_OF_PRETRAINED, RATE_OF_PUBLISHED = 4e-3, 1e-3, 3e-5


def keep_fixed(model: Ensemble, kept: int | str | None) -> None:
    """Let a part of each encoder need no gradient.

    What an earlier call has fixed moves again; what a mixer keeps fixed itself never does.

    Parameters
    ----------
    model : Ensemble
        Changed in place.
    kept : int, "words", "half" or None
        The embeddings and so many blocks; the embeddings but for the types, which tell the texts
        of a pair apart; these in every other encoder, see :func:`kinds_of`; or nothing.
    """
    for weight in getattr(model, "kept_fixed", ()):
        weight.requires_grad_(True)
    modules: list[nn.Module] = []
    for k, member in enumerate(model.members):
        encoder = member.encoder
        if kept == "words" or (kept == "half" and k % 2 == 0):
            parts = encoder.embeddings.named_children()
            modules += [part for name, part in parts if name != "types"]
        elif isinstance(kept, Integral):
            modules += [encoder.embeddings, *encoder.blocks[:kept]]
    weights = [weight for module in modules for weight in module.parameters()]
    model.kept_fixed = [weight for weight in weights if weight.requires_grad]
    for weight in model.kept_fixed:
        weight.requires_grad_(False)


def kinds_of(model: Ensemble, kept: int | str | None) -> np.ndarray:
    """Give each member's kind: of "half", 0 where the embeddings stay and 1 where they move.

    A single member's embeddings stay. Otherwise 1 where words are described by the targets.
    """
    if kept == "half":
        return np.arange(len(model.members)) % 2
    sizes = [member.encoder.config.target_encoding for member in model.members]
    return np.minimum(sizes, 1)


def target_encoded(model: Ensemble) -> list[Encoder]:
    """Give the encoders to which words are described by the targets."""
    encoders = [member.encoder for member in model.members]
    return [encoder for encoder in encoders if encoder.config.target_encoding]


def layer_rates(depth: int, decay: float) -> Callable[[str], float]:
    """Give the factor on the learning rate of each parameter of an :class:`Ensemble`, by its name.

    1 for what stands on the encoder, `decay` for its last block, ``decay**2`` for the one below,
    and ``decay**(depth + 1)`` for the embeddings.

    References
    ----------
    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification",
    arXiv 1801.06146, section 3.2.
    """

    def rate_of(name: str) -> float:
        _, of_encoder, rest = name.partition("encoder.")
        if not of_encoder:
            return 1.0
        part, number, *_ = rest.split(".")
        return decay ** (depth - int(number) if part == "blocks" else depth + 1)

    return rate_of


class Heads(nn.Module):
    """The output layers of an ensemble, on vectors that its encoders gave once and for all.

    Parameters
    ----------
    ensemble : Ensemble
        Whose output layers are trained, in place.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.members = nn.ModuleList(_head(member) for member in ensemble.members)

    def forward(self, vectors: Tensor) -> Tensor:
        """Give each member's outputs, shape (batch, n_members, n_outputs).

        Parameters
        ----------
        vectors : Tensor of shape (batch, n_members or 1, width)
            One vector a member, or one for all of them.
        """
        outputs = [self.outputs_of(k, vectors) for k in range(len(self.members))]
        return torch.stack(outputs, dim=1)

    def outputs_of(self, k: int, vectors: Tensor) -> Tensor:
        """Give one member's outputs, shape (batch, n_outputs)."""
        return self.members[k](vectors.expand(-1, len(self.members), -1)[:, k])


def _head(member: DocumentClassifier) -> nn.Module:
    """Give what :meth:`DocumentClassifier.classify` goes through, the same modules."""
    return nn.Sequential(member.dropout, member.output)


def have_one_encoder(model: Ensemble) -> bool:
    """Say whether all members of an ensemble give the same vectors: their encoders are equal."""
    first, *others = (
        {name: t for name, t in member.state_dict().items() if not name.startswith("output.")}
        for member in model.members
    )
    return all(
        first.keys() == other.keys()
        and all(torch.equal(first[name], t) for name, t in other.items())
        for other in others
    )
