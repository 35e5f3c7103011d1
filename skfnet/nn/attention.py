"""Multi-head self-attention, the mixing of BERT: the only mixer whose weights the text decides."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .ragged import beyond, once_a_batch

__all__ = ["AttentionMixer"]


class AttentionMixer(nn.Module):
    """Scaled dot-product attention of each token to the tokens of its row.

    Parameters
    ----------
    config : EncoderConfig
        Read for `width` and `attention_heads`.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", arXiv 1706.03762, section 3.2.2.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import AttentionMixer, EncoderConfig
    >>> mixer = AttentionMixer(EncoderConfig(vocab_size=1, width=8))
    >>> mixer(torch.ones(1, 4, 8), torch.tensor([4])).shape
    torch.Size([1, 4, 8])
    """

    needs_norm = True  # dot products of vectors of any size would be too even or too sharp

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.inputs = nn.Linear(config.width, 3 * config.width)  # queries, keys, values
        self.output = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width), padding left out."""
        padding = beyond(x, lengths)
        x = x.masked_fill(padding, 0)
        heads = self.inputs(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads  # (batch, heads, length, width / heads)
        mask = _mask(lengths, x.shape[1], x.device)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed = self.output(mixed.transpose(1, 2).flatten(2))
        return mixed.masked_fill(padding, 0)


@once_a_batch
def _mask(lengths: Tensor, length: int, device: torch.device) -> Tensor | None:
    """Say which tokens may be attended to, (batch, 1, 1, length), or None where all may.

    A mask of True everywhere would cost the fused kernel for nothing.
    """
    inside = torch.arange(length, device=device) < lengths.to(device)[:, None]
    return None if bool(inside.all()) else inside[:, None, None]
