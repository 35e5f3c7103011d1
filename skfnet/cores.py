"""The cores of a CPU, shared out among the members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["can_share_cores", "shared_cores"]


@contextmanager
def shared_cores(n_parts: int) -> Iterator[Callable[..., list[Any]]]:
    """Give a ``map`` whose calls run side by side, each on its share of torch's threads.

    The layers of a small encoder are too small for the threads of a single product to pay, and
    between the products they wait. Several encoders keep as many cores busy.

    Parameters
    ----------
    n_parts : int
        How many calls there are at a time. Of one, or on one core, all run in this thread.

    Yields
    ------
    callable
        Maps a function over iterables, as ``map`` does, to a list.
    """
    n_cores = torch.get_num_threads()
    n_threads = min(n_parts, n_cores)
    if n_threads < 2:
        yield lambda function, *parts: list(map(function, *parts))
        return
    share = (n_cores // n_threads,)
    try:
        with ThreadPoolExecutor(n_threads, "cores", torch.set_num_threads, share) as pool:
            yield lambda function, *parts: list(pool.map(function, *parts))
    finally:
        # A thread sets its own number, and that of threads yet to come.
        torch.set_num_threads(n_cores)


def can_share_cores(model: nn.Module) -> bool:
    """Say whether a model's members may run side by side: on a CPU, all its layers known.

    A mixer from elsewhere may draw random numbers, which then would go by who comes first.
    """
    known = (type(module).__module__.partition(".")[0] for module in model.modules())
    return next(model.parameters()).device.type == "cpu" and set(known) <= {"skfnet", "torch"}
