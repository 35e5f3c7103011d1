"""Batches whose rows have lengths of their own: masks, and functions of a row's own tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["at_own_length", "beyond", "groups_of_equal_length", "once_a_batch", "without_padding"]


def once_a_batch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute ``function(lengths, *args)`` once, however many layers ask for it.

    What it gave is kept as long as the tensor `lengths` lives and is not changed in place, through
    torch: for one batch, forward and backward. Nothing is kept of a tensor that was made in
    inference mode, of which torch does not say whether it was changed, nor inside a CUDA graph.
    """
    kept: Any = WeakTensorKeyDictionary()

    @wraps(function)
    def find(lengths: Tensor, *args: Any) -> Any:
        captured = lengths.is_cuda and torch.cuda.is_current_stream_capturing()
        if torch.compiler.is_compiling() or captured or lengths.is_inference():
            return function(lengths, *args)
        version, results = kept.get(lengths, (None, {}))
        if version != lengths._version:
            results = {}
            kept[lengths] = lengths._version, results
        if args not in results:
            with torch.inference_mode(False):  # what prediction computes may serve training
                results[args] = function(lengths, *args)
        return results[args]

    return find


def beyond(x: Tensor, lengths: Tensor) -> Tensor:
    """Mask of shape (batch, length, 1): the places of x beyond each row's length."""
    return _beyond(lengths, x.shape[1], x.device)


@once_a_batch
def _beyond(lengths: Tensor, length: int, device: torch.device) -> Tensor:
    position = torch.arange(length, device=device)
    return (position >= lengths.to(device)[:, None])[..., None]


def without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Give x (batch, length, width) with zeros beyond each row's length, whatever stands there."""
    return x.masked_fill(beyond(x, lengths), 0)


@once_a_batch
def groups_of_equal_length(lengths: Tensor) -> list[tuple[int, slice | list[int]]]:
    """Give each length that occurs, 0 apart, with its rows: a slice where they are neighbours.

    Rows sorted by length are cheap: a slice of a batch is a view, a list of rows is a copy.
    """
    values = lengths.tolist()
    order = sorted(range(len(values)), key=values.__getitem__)
    groups = []
    for n, group in groupby(order, key=values.__getitem__):
        rows = list(group)
        neighbours = rows[-1] - rows[0] + 1 == len(rows)
        if n:
            groups.append((n, slice(rows[0], rows[-1] + 1) if neighbours else rows))
    return groups


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
    if groups_of_equal_length(lengths) == [(x.shape[1], slice(0, len(x)))]:
        return transform(*inputs).to(x.dtype)
    # All tokens are taken and put back at once: to cut a batch group by group would cost a
    # gradient of the batch's size for each group.
    place, groups = _places(lengths, x.shape[1], x.device)
    if not groups:
        return torch.zeros_like(x)
    flat, others = inputs[0].flatten(0, 1), inputs[1:]
    parts = flat[place].split([n * len(rows) for n, rows in groups])
    transformed = [
        transform(part.unflatten(0, (-1, n)), *(t[rows] for t in others)).flatten(0, 1)
        for part, (n, rows) in zip(parts, groups, strict=True)
    ]
    out = torch.zeros_like(flat).index_copy(0, place, torch.cat(transformed))
    return out.view(x.shape).to(x.dtype)


@once_a_batch
def _places(
    lengths: Tensor, length: int, device: torch.device
) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Say where the tokens of a flattened batch stand, group by group, and each group's rows."""
    every_row = torch.arange(len(lengths), device=device)
    groups = [(n, every_row[rows]) for n, rows in groups_of_equal_length(lengths)]
    places = [
        (rows[:, None] * length + torch.arange(n, device=device)).flatten() for n, rows in groups
    ]
    return torch.cat([every_row[:0], *places]), groups
