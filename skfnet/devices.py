"""Where a model runs: its device, its arithmetic, and the random numbers there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import torch

__all__ = [
    "device_at_load",
    "draw_seed",
    "mixed_precision",
    "reseed",
    "seeded",
    "usable_device",
    "use_bfloat16",
]

_drawing = RLock()  # a fit may pretrain first


def draw_seed(random_state: Any) -> int:
    """Draw a seed, leaving NumPy's global state alone.

    None draws a fresh one from the operating system; a RandomState moves on by one draw, as in
    scikit-learn's estimators.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def usable_device(device: str) -> torch.device:
    """Give the torch device that the `device` parameter stands for.

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine has none of its kind.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        asked = torch.device(device)
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"device={device!r} cannot be used here: {reason}. "
            "Use device='auto' to take what there is."
        ) from error
    return asked


def device_at_load(device: str) -> torch.device:
    """Give the device for a loaded model: the one asked for, or what this machine has."""
    try:
        return usable_device(device)
    except ValueError:
        return usable_device("auto")


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Say whether the `precision` parameter means mixed precision on `device`."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


def reseed(seed: int, device: torch.device) -> None:
    """Let `seed` decide torch's next random numbers on the CPU and on `device`."""
    # torch.manual_seed would reseed every accelerator of the machine.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let `seed` decide torch's random numbers inside; outside they go on as if untouched.

    There is one generator for all threads: another that comes here waits.
    """
    with _drawing, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        state = torch.mps.get_rng_state() if device.type == "mps" else None
        reseed(seed, device)
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)


def mixed_precision(device: torch.device | str, bfloat16: bool) -> torch.autocast:
    """Give the context in which matrix products run in bfloat16, where asked for."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16)
