"""The pretraining model: logits where tokens are hidden, tied to the words' embeddings."""

import numpy as np
import torch
from scipy.special import log_softmax
from torch.nn import functional as F

from skfnet.nn import EncoderConfig, PretrainingModel
from skfnet.pretraining import loss_of, measures_of

CONFIG = EncoderConfig(vocab_size=30, width=8, depth=2, bigram_buckets=64)
IDS = torch.tensor([[5, 4, 7, 9], [6, 4, 8, 0]])
LENGTHS = torch.tensor([4, 3])
MASKED = torch.tensor([1, 3, 5])


def model():
    torch.manual_seed(0)
    return PretrainingModel(CONFIG).eval()


def test_logits_are_those_of_the_masked_places_alone():
    net = model()
    logits = net(IDS, LENGTHS, masked=MASKED)["masked_tokens"]
    hidden = net.encoder(IDS, LENGTHS)
    for row, (i, j) in enumerate([(0, 1), (0, 3), (1, 1)]):
        state = F.gelu(net.masked.dense(hidden[i, j]), approximate="tanh")
        state = F.layer_norm(state, (8,), net.masked.norm.weight, net.masked.norm.bias, 1e-12)
        expected = net.encoder.embeddings.words.weight @ state + net.masked.bias
        torch.testing.assert_close(logits[row], expected)
    assert "masked_tokens" not in net(IDS, LENGTHS)


def test_the_output_layer_is_tied_to_the_embeddings():
    net = model()
    shapes = [tuple(weight.shape) for weight in net.parameters()]
    assert shapes.count((30, 8)) == 1
    with torch.no_grad():
        net.masked.bias.zero_()
        net.encoder.embeddings.words.weight[7] = 0
    logits = net(IDS, LENGTHS, masked=MASKED)["masked_tokens"]
    assert torch.equal(logits[:, 7], torch.zeros(3))
    assert (logits[:, 8] != 0).all()
    logits.logsumexp(dim=1).sum().backward()
    gradient = net.encoder.embeddings.words.weight.grad
    assert (gradient.abs().sum(dim=1) > 0).all()  # also of words that no text of the batch has


def test_the_first_words_alone_can_be_told_apart():
    net = model()
    everything = net(IDS, LENGTHS, masked=MASKED)["masked_tokens"]
    net.n_words = 10
    logits = net(IDS, LENGTHS, masked=MASKED)["masked_tokens"]
    assert logits.shape == (3, 10)
    torch.testing.assert_close(logits, everything[:, :10])


def test_the_order_is_told_by_the_pooled_vector():
    net = model()
    vectors = net.embed(input_ids=IDS, lengths=LENGTHS)
    expected = F.linear(vectors, net.document.output.weight, net.document.output.bias)
    torch.testing.assert_close(net(IDS, LENGTHS)["segment_order"], expected)


def test_the_loss_is_the_mean_cross_entropy_of_each_objective():
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 30)).astype(np.float32)
    order = random.normal(size=(4, 2)).astype(np.float32)
    words, swapped = np.array([3, 29, 7]), np.array([1, -100, 0, 1])
    outputs = {"masked_tokens": torch.tensor(logits), "segment_order": torch.tensor(order)}
    targets = {"masked_tokens": torch.tensor(words), "segment_order": torch.tensor(swapped)}
    sums = {}
    loss = loss_of(outputs, targets, sums).item()
    of_words = -log_softmax(logits.astype(float), axis=1)[np.arange(3), words]
    known = np.array([0, 2, 3])
    of_order = -log_softmax(order.astype(float), axis=1)[known, swapped[known]]
    np.testing.assert_allclose(loss, of_words.mean() + of_order.mean(), rtol=1e-5)
    loss_of(outputs, targets, sums)  # as a second batch
    measures = measures_of(sums, "train_")
    np.testing.assert_allclose(measures["train_masked_tokens_loss"], of_words.mean(), rtol=1e-5)
    np.testing.assert_allclose(measures["train_loss"], loss, rtol=1e-5)
    right = (order.argmax(axis=1) == swapped)[known].mean()
    np.testing.assert_allclose(measures["train_segment_order_accuracy"], right)


def test_a_batch_without_anything_to_find_out_has_no_loss():
    net = model()
    targets = {
        "masked_tokens": torch.zeros(0, dtype=torch.int64),
        "segment_order": torch.tensor([-100, -100]),
    }
    outputs = net(IDS, LENGTHS, masked=torch.zeros(0, dtype=torch.int64))
    loss = loss_of(outputs, targets, {})
    assert loss.item() == 0
    loss.backward()
    assert all(w.grad is None or not w.grad.any() for w in net.parameters())
