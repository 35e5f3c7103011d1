"""Devices, precision, and the random numbers on them."""

import numpy as np
import pytest
import torch

from skfnet import devices
from skfnet.devices import seeded

CPU = torch.device("cpu")


def test_devices(monkeypatch):
    assert devices.usable_device("cpu") == CPU
    for name in ("abacus", "", "cuda:99"):
        with pytest.raises(ValueError, match=f"device={name!r} cannot be used here.*device='auto'"):
            devices.usable_device(name)
        assert devices.device_at_load(name) == devices.usable_device("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.usable_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.usable_device("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.usable_device("auto") == CPU


def test_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    cuda = torch.device("cuda")
    assert not devices.use_bfloat16("auto", CPU)
    assert devices.use_bfloat16("auto", cuda)
    assert not devices.use_bfloat16("float32", cuda)
    assert devices.use_bfloat16("bfloat16", CPU)


def test_seeded_gives_the_seed_inside_and_nothing_outside():
    state = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(5, torch.device("cpu")):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError), seeded(5, torch.device("cpu")):
        torch.rand(3)
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds():
    assert devices.draw_seed(7) == devices.draw_seed(7) == 7
    assert devices.draw_seed(np.int64(7)) == 7
    state = np.random.get_state()[1].tolist()
    assert len({devices.draw_seed(None) for _ in range(20)}) == 20
    assert np.random.get_state()[1].tolist() == state
    one, other = np.random.RandomState(3), np.random.RandomState(3)
    drawn = [devices.draw_seed(one) for _ in range(3)]
    assert drawn == [devices.draw_seed(other) for _ in range(3)]
    assert len(set(drawn)) == 3
