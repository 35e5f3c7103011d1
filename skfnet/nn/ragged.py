"""Batches whose rows have lengths of their own: masks, and functions of a row's own tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["at_own_length", "beyond", "without_padding"]


def beyond(x: Tensor, lengths: Tensor) -> Tensor:
    """Mask of shape (batch, length, 1): the places of x beyond each row's length."""
    position = torch.arange(x.shape[1], device=x.device)
    return (position >= lengths.to(x.device)[:, None])[..., None]


def without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Give x (batch, length, width) with zeros beyond each row's length, whatever stands there."""
    return x.masked_fill(beyond(x, lengths), 0)


def at_own_length(
    transform: Callable[..., Tensor], x: Tensor, lengths: Tensor, *per_row: Tensor
) -> Tensor:
    """Apply a function of unpadded rows to a batch, one group of equally long rows at a time.

    Parameters
    ----------
    transform : callable
        Maps (rows, n, width), and what else there is of those rows, to the same shape.
    x : Tensor of shape (batch, length, width)
        What stands beyond a row's length is never read.
    lengths : Tensor of int, shape (batch,)
        Number of tokens of each row.
    *per_row : Tensor of shape (batch, ...)
        Given to `transform` too, the rows of its group.

    Returns
    -------
    Tensor of shape (batch, length, width)
        Zero beyond each row's length.
    """
    distinct = lengths.unique().tolist()
    if distinct == [x.shape[1]]:
        return transform(x, *per_row)
    out = torch.zeros_like(x)
    for n in distinct:
        if n:
            rows = (lengths == n).nonzero().squeeze(1).to(x.device)
            out[rows, :n] = transform(x[rows, :n], *(t[rows] for t in per_row)).to(x.dtype)
    return out
