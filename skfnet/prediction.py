"""A trained model's answers: batches in, one row a document out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .batches import by_length
from .devices import mixed_precision
from .training import tensors
from .windows import Windows

__all__ = ["run_each_window", "run_windows"]


def run_windows(
    function: Callable[..., Tensor],
    windows: Windows,
    *,
    batch_size: int,
    device: torch.device,
    bfloat16: bool,
) -> np.ndarray:
    """Apply a function of a batch to all windows and average over each document's.

    Parameters
    ----------
    function : callable
        Called with a batch's tensors as keywords, ``input_ids`` and the others; gives a Tensor
        of shape (batch, k).
    windows : Windows
        The input.
    batch_size : int
        Windows at a time.
    device : torch.device
        Where the function's weights are.
    bfloat16 : bool
        Mixed precision.

    Returns
    -------
    ndarray of float32, shape (n_documents, k)
    """
    stacked = run_each_window(
        function, windows, batch_size=batch_size, device=device, bfloat16=bfloat16
    )
    if len(windows) == len(windows.tokens):
        return stacked
    first = np.searchsorted(windows.document, np.arange(len(windows.tokens)))
    sums = np.add.reduceat(stacked, first, axis=0)
    return sums / np.bincount(windows.document)[:, None].astype(np.float32)


def run_each_window(
    function: Callable[..., Tensor],
    windows: Windows,
    *,
    batch_size: int,
    device: torch.device,
    bfloat16: bool,
) -> np.ndarray:
    """Apply a function of a batch to all windows.

    Parameters
    ----------
    function, windows, batch_size, device, bfloat16
        As in :func:`run_windows`.

    Returns
    -------
    ndarray of float32, shape (n_windows, k)
    """
    results: list[Tensor] = []
    order = by_length(windows.lengths, batch_size)
    for rows in order:
        # Made outside inference mode: there torch does not say whether lengths were changed, and
        # what the mixers keep for a batch would be computed in every layer.
        batch = {name: t.to(device) for name, t in tensors(windows, rows).items()}
        with torch.inference_mode(), mixed_precision(device, bfloat16):
            results.append(function(**batch).float().cpu())
    stacked = np.empty((len(windows), results[0].shape[1]), dtype=np.float32)
    stacked[np.concatenate(order)] = torch.cat(results).numpy()
    return stacked
