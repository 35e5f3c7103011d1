"""The cores of a CPU, shared out among the members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Lock
from typing import Any

import torch
from torch import nn

from .nn import Encoder

__all__ = ["can_share_cores", "shared_cores"]

_starting = Lock()


@contextmanager
def shared_cores(n_parts: int) -> Iterator[Callable[..., list[Any]]]:
    """Give a ``map`` whose calls run side by side, each on its share of torch's threads.

    The threads of a single product wait for the slowest of them at its end, and a small encoder
    is many small products. Encoders side by side wait once a step, for each other.

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
    all_here = Barrier(n_threads)

    def take_share(_: int) -> None:
        torch.get_num_threads()  # a thread's first use of torch would put its number back
        torch.set_num_threads(n_cores // n_threads)
        all_here.wait()  # or one thread could take all of these calls

    with ThreadPoolExecutor(n_threads, "cores") as pool:
        with _starting:
            list(pool.map(take_share, range(n_threads)))
            # Each has set its own number, and that of threads yet to come, of anybody's.
            torch.set_num_threads(n_cores)
        yield lambda function, *parts: list(pool.map(function, *parts))


def can_share_cores(model: nn.Module) -> bool:
    """Say whether a model's members may run side by side: on a CPU, all its layers known.

    A mixer from elsewhere may draw random numbers, which then would go by who comes first, or
    share weights between the members.
    """
    if next(model.parameters()).device.type != "cpu":
        return False
    return all(
        type(module).__module__.partition(".")[0] in ("skfnet", "torch")
        and not (isinstance(module, Encoder) and callable(module.config.mixer))
        for module in model.modules()
    )
