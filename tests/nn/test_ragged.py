"""What is computed once for a batch."""

import gc
import weakref
from functools import partial

import pytest
import torch

from skfnet.nn.ragged import at_own_length, groups_of_equal_length, once_a_batch


@pytest.fixture
def doubled():
    """Give a function that is computed once a batch, and the list of its computations."""
    calls = []

    @once_a_batch
    def function(lengths, factor):
        calls.append(factor)
        return lengths * factor

    function.calls = calls
    return function


def test_a_batch_is_computed_once_for_each_choice(doubled):
    lengths = torch.tensor([3, 1])
    assert doubled(lengths, 2) is doubled(lengths, 2)
    doubled(lengths, 3)
    assert doubled.calls == [2, 3]


def test_another_batch_of_equal_lengths_is_another_batch(doubled):
    doubled(torch.tensor([3, 1]), 2)
    doubled(torch.tensor([3, 1]), 2)
    assert doubled.calls == [2, 2]


def test_lengths_that_were_changed_are_computed_anew(doubled):
    lengths = torch.tensor([3, 1])
    doubled(lengths, 2)
    lengths.add_(1)
    assert doubled(lengths, 2).tolist() == [8, 4]
    with torch.inference_mode():  # where torch does not count changes
        lengths = torch.tensor([3, 1])
        doubled(lengths, 2)
        lengths.add_(1)
        assert doubled(lengths, 2).tolist() == [8, 4]


def test_nothing_outlives_its_batch(doubled):
    lengths = torch.tensor([3, 1])
    kept = weakref.ref(doubled(lengths, 2))
    assert kept() is not None
    del lengths
    gc.collect()
    assert kept() is None


def test_what_was_computed_while_predicting_serves_training():
    x, lengths = torch.randn(3, 4, 2, requires_grad=True), torch.tensor([4, 2, 4])
    with torch.inference_mode():
        at_own_length(partial(torch.cumsum, dim=1), x, lengths)
    at_own_length(partial(torch.cumsum, dim=1), x, lengths).sum().backward()
    assert x.grad[1, 0, 0] == 2


def test_rows_are_grouped_by_length_and_empty_ones_left_out():
    groups = groups_of_equal_length(torch.tensor([2, 2, 0, 5, 2, 5]))
    assert groups == [(2, [0, 1, 4]), (5, [3, 5])]
    assert groups_of_equal_length(torch.tensor([4, 4, 1])) == [(1, slice(2, 3)), (4, slice(0, 2))]
