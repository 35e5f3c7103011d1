"""Poolings and the classifier's head."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import scale

from skfnet.nn import DocumentClassifier, EncoderConfig, Ensemble
from skfnet.nn.heads import POOLINGS, rescaled

LENGTHS = [4, 1, 3]


@pytest.fixture
def hidden():
    """Hidden states whose places beyond the row would spoil any pooling that read them."""
    hidden = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)) - 5
    for row, n in enumerate(LENGTHS):
        hidden[row, n:] = torch.nan
    return hidden


@pytest.mark.parametrize(("name", "reduce"), [("mean", np.mean), ("max", np.max)])
def test_mean_and_max_over_the_tokens_of_a_row(name, reduce, hidden):
    pooled = POOLINGS[name](6)(hidden, torch.tensor(LENGTHS)).numpy()
    for row, n in enumerate(LENGTHS):
        np.testing.assert_allclose(pooled[row], reduce(hidden[row, :n].numpy(), axis=0), rtol=1e-5)


def test_mean_max_is_the_sum_of_both_brought_to_one_scale(hidden):
    pooled = POOLINGS["mean_max"](6)(hidden, torch.tensor(LENGTHS)).numpy()
    for row, n in enumerate(LENGTHS):
        tokens = hidden[row, :n].numpy().astype(np.float64)
        expected = scale(tokens.mean(axis=0)) + scale(tokens.max(axis=0))
        np.testing.assert_allclose(pooled[row], expected, atol=1e-4)


def test_cls_is_the_papers_pooler(hidden):
    pooler = POOLINGS["cls"](6)
    pooled = pooler(hidden, torch.tensor(LENGTHS)).detach().numpy()
    weight, bias = pooler.dense.weight.detach().numpy(), pooler.dense.bias.detach().numpy()
    expected = np.tanh(hidden[:, 0].numpy() @ weight.T + bias)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", POOLINGS)
def test_no_gradient_goes_beyond_a_row(name):
    hidden = torch.randn(3, 4, 6, requires_grad=True)
    POOLINGS[name](6)(hidden, torch.tensor(LENGTHS)).square().sum().backward()
    for row, n in enumerate(LENGTHS):
        assert hidden.grad[row, :n].any()
        assert not hidden.grad[row, n:].any()


@pytest.mark.parametrize("name", POOLINGS)
def test_logits_are_a_linear_layer_on_the_pooled_states(name):
    model = DocumentClassifier(EncoderConfig(vocab_size=30, width=8), 5, name).eval()
    ids, lengths = torch.randint(30, (4, 7)), torch.tensor([7, 2, 5, 1])
    vectors = model.embed(ids, lengths)
    assert vectors.shape == (4, 8)
    expected = vectors @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model(ids, lengths), expected)


def test_dropout_before_the_head_is_on_in_training_alone():
    config = EncoderConfig(vocab_size=30, width=8, dropout=0.5)
    model = DocumentClassifier(config, 5)
    with torch.no_grad():
        model.output.weight.fill_(1.0)
    ids, lengths = torch.randint(30, (2, 7)), torch.tensor([7, 7])
    assert not torch.equal(model(ids, lengths), model(ids, lengths))
    model.eval()
    assert torch.equal(model(ids, lengths), model(ids, lengths))


def test_an_unknown_pooling_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"Unknown pooling 'sum'.*cls.*max.*mean"):
        DocumentClassifier(EncoderConfig(vocab_size=10), 2, "sum")


def test_an_ensemble_answers_with_the_mean_of_its_members():
    model = Ensemble([EncoderConfig(vocab_size=30, width=8)] * 3, 5, "max").eval()
    batch = {"input_ids": torch.randint(30, (4, 7)), "lengths": torch.tensor([7, 2, 5, 1])}
    each = [member(**batch) for member in model.members]
    assert not torch.allclose(each[0], each[1], atol=1e-4)  # they begin differently
    torch.testing.assert_close(model(**batch), torch.stack(each, dim=1))
    torch.testing.assert_close(model.predict(**batch), sum(each) / 3)
    vectors = model.embed(**batch)
    assert vectors.shape == (4, 24)
    torch.testing.assert_close(vectors[:, 8:16], model.members[1].embed(**batch))


def test_a_rescaled_layer_gives_the_numbers_themselves():
    layer = torch.nn.Linear(6, 3)
    factors, shifts = np.array([2.0, 1e-3, 1e6]), np.array([-1.0, 0.0, 1e6])
    vectors = np.random.default_rng(0).normal(size=(5, 6))
    weight, bias = (t.detach().numpy().astype(float) for t in (layer.weight, layer.bias))
    expected = (vectors @ weight.T + bias) * factors + shifts
    weight, bias = (t.numpy() for t in rescaled(layer.state_dict(), factors, shifts).values())
    assert weight.dtype == bias.dtype == np.float64
    np.testing.assert_allclose(vectors @ weight.T + bias, expected, rtol=1e-12)
