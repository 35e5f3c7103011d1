"""Batches whose rows have lengths of their own: masks, and functions of a row's own tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import torch
from torch import Tensor

__all__ = ["at_own_length", "beyond", "groups_of_equal_length", "without_padding"]


def beyond(x: Tensor, lengths: Tensor) -> Tensor:
    """Mask of shape (batch, length, 1): the places of x beyond each row's length."""
    position = torch.arange(x.shape[1], device=x.device)
    return (position >= lengths.to(x.device)[:, None])[..., None]


def without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Give x (batch, length, width) with zeros beyond each row's length, whatever stands there."""
    return x.masked_fill(beyond(x, lengths), 0)


def groups_of_equal_length(lengths: Tensor) -> Iterator[tuple[int, slice | list[int]]]:
    """Give each length that occurs, 0 apart, with its rows: a slice where they are neighbours.

    Rows sorted by length are cheap: a slice of a batch is a view, a list of rows is a copy.
    """
    values = lengths.tolist()
    order = sorted(range(len(values)), key=values.__getitem__)
    for n, group in groupby(order, key=values.__getitem__):
        rows = list(group)
        neighbours = rows[-1] - rows[0] + 1 == len(rows)
        if n:
            yield n, slice(rows[0], rows[-1] + 1) if neighbours else rows


def at_own_length(
    transform: Callable[..., Tensor], x: Tensor, lengths: Tensor, *per_row: Tensor
) -> Tensor:
    """Apply a function of unpadded rows to a batch, one group of equally long rows at a time.

    Parameters
    ----------
    transform : callable
        Maps (rows, n, width), and what else there is of those rows, to the same shape. It is given
        float32 where there are but 16 bits.
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
    # There is no FFT of 16 bits.
    inputs = [t.float() if t.dtype.itemsize == 2 else t for t in (x, *per_row)]
    groups = list(groups_of_equal_length(lengths))
    if groups == [(x.shape[1], slice(0, len(x)))]:
        return transform(*inputs).to(x.dtype)
    # All tokens are taken and put back at once: to cut a batch group by group would cost a
    # gradient of the batch's size for each group.
    flat, others = inputs[0].flatten(0, 1), inputs[1:]
    rows = [torch.arange(len(x), device=x.device)[rows] for _, rows in groups]
    places = [
        (of_group[:, None] * x.shape[1] + torch.arange(n, device=x.device)).flatten()
        for (n, _), of_group in zip(groups, rows, strict=True)
    ]
    if not places:
        return torch.zeros_like(x)
    place = torch.cat(places)
    parts = flat[place].split([len(p) for p in places])
    transformed = [
        transform(part.unflatten(0, (-1, n)), *(t[of_group] for t in others)).flatten(0, 1)
        for part, (n, _), of_group in zip(parts, groups, rows, strict=True)
    ]
    out = torch.zeros_like(flat).index_copy(0, place, torch.cat(transformed))
    return out.view(x.shape).to(x.dtype)
