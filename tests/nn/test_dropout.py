"""Our dropout against what dropout is: a mask of known share, scaled to keep the mean."""

import numpy as np
import pytest
import torch

from skfnet.nn.dropout import Dropout

N = 1 << 20


def dropped(probability, x, seed=0):
    torch.manual_seed(seed)
    return Dropout(probability).train()(x)


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.2, 0.5, 0.9])
def test_the_share_the_mean_and_the_variance(probability):
    y = dropped(probability, torch.ones(N)).double().numpy()
    kept = (y != 0).mean()
    standard_error = np.sqrt(probability * (1 - probability) / N)
    assert abs(kept - (1 - probability)) < 5 * standard_error + 2**-16
    assert abs(y.mean() - 1) < 5 * standard_error / (1 - probability)
    # Var of mask / (1 - p) is p / (1 - p).
    assert y.var() == pytest.approx(probability / (1 - probability), rel=0.02)
    assert len(np.unique(y)) == 2
    assert y.max() == pytest.approx(1 / (1 - probability), rel=1e-4)


def test_elements_are_dropped_independently():
    mask = dropped(0.3, torch.ones(N)).numpy() == 0
    for lag in (1, 2, 3, 4, 5, 8, 64):
        correlation = np.corrcoef(mask[:-lag], mask[lag:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(N), lag


def test_every_element_of_any_shape_can_be_dropped():
    torch.manual_seed(0)
    drop = Dropout(0.5).train()
    for shape in [(1,), (3,), (5, 7), (2, 3, 5), (0, 4)]:
        share = sum(drop(torch.ones(shape)) == 0 for _ in range(400)).double() / 400
        assert share.shape == shape
        assert ((share > 0.35) & (share < 0.65)).all()


def test_nothing_happens_in_evaluation_nor_at_zero():
    x = torch.randn(1000)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)


def test_the_gradient_goes_where_the_mask_lets_it():
    x = torch.randn(1000, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    y = Dropout(0.4).train()(x)
    y.sum().backward()
    mask = y.detach() / x.detach()
    torch.testing.assert_close(x.grad, mask)
    assert 300 < (x.grad == 0).sum() < 500


def test_the_seed_decides():
    x = torch.ones(1000)
    assert torch.equal(dropped(0.5, x, seed=1), dropped(0.5, x, seed=1))
    assert not torch.equal(dropped(0.5, x, seed=1), dropped(0.5, x, seed=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_kind_of_number_stays(dtype):
    y = dropped(0.5, torch.ones(1000, dtype=dtype))
    assert y.dtype == dtype
    assert set(y.tolist()) == {0.0, 2.0}
