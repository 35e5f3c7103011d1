"""Windows through a function and back to documents."""

import numpy as np
import pytest
import torch

from skfnet.batches import SpecialTokens, TokenArray
from skfnet.prediction import run_windows
from skfnet.windows import Windows

ROWS = [[3, 4, 5], [], [6] * 7, [3], [4, 5, 6, 7, 8]]
TOKENS = TokenArray.from_rows(ROWS, 10, SpecialTokens(0, (1,), (2,)))
CPU = torch.device("cpu")


def sum_and_length(input_ids, lengths):
    """Give a function of each window alone, if PAD (0) and company count for nothing."""
    return torch.stack([input_ids.sum(dim=1), lengths], dim=1)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_results_come_back_in_the_order_of_the_documents(batch_size):
    windows = Windows(TOKENS, 100, "truncate")
    result = run_windows(sum_and_length, windows, batch_size=batch_size, device=CPU, bfloat16=False)
    assert result.dtype == np.float32
    assert result.tolist() == [[sum(row) + 3, len(row) + 2] for row in ROWS]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_windows_of_one_document_are_averaged(batch_size):
    windows = Windows(TOKENS, 4, "mean")
    result = run_windows(sum_and_length, windows, batch_size=batch_size, device=CPU, bfloat16=False)
    expected = []
    for row in ROWS:
        parts = [row[i : i + 2] for i in range(0, max(len(row), 1), 2)]
        expected.append(np.mean([[sum(part) + 3, len(part) + 2] for part in parts], axis=0))
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_nothing_is_recorded_and_lengths_may_be_remembered():
    seen = []

    def function(input_ids, lengths):
        seen.append((torch.is_inference_mode_enabled(), lengths.is_inference()))
        return sum_and_length(input_ids, lengths)

    windows = Windows(TOKENS, 100, "truncate")
    run_windows(function, windows, batch_size=100, device=CPU, bfloat16=False)
    assert seen == [(True, False)]
