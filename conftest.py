"""What holds for the tests and for the examples in the docstrings."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Take one thread: small models run fastest so, and to the same bits in every process."""
    torch.set_num_threads(1)
