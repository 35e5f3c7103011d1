"""The optimizer: dense layers as AdamW moves them, tables row by row."""

import copy

import numpy as np
import pytest
import torch
from samples import small_classifier

from skfnet.nn import EncoderConfig, Ensemble
from skfnet.optimizer import TextAdam
from skfnet.windows import Windows

CONFIG = EncoderConfig(vocab_size=40, width=8, depth=1, bigram_buckets=64, subword_buckets=64)
BATCH = {
    "input_ids": torch.tensor([[5, 6, 7], [6, 6, 0]]),
    "lengths": torch.tensor([3, 2]),
    "subwords": torch.tensor([1, 2, 3, 9]),
    "starts": torch.tensor([0, 2, 3]),
    "spelled": torch.tensor([[0, 1, 2], [1, 1, 0]]),
}


def model(seed=0):
    torch.manual_seed(seed)
    return Ensemble([CONFIG], 2).eval()


def loss_of(net, **changes):
    return net.predict(**(BATCH | changes)).square().sum()


def step(net, optimizer, **changes):
    optimizer.zero_grad()
    with optimizer.sparse_gradients():
        loss_of(net, **changes).backward()
    optimizer.step()


def tables(net):
    embeddings = net.members[0].encoder.embeddings
    return embeddings.words, embeddings.bigrams.table, embeddings.subwords.table


def test_rows_that_no_batch_reads_stay_as_they_are():
    net = model()
    before = [table.weight.detach().clone() for table in tables(net)]
    optimizer = TextAdam(net, 0.01, 0.1)
    step(net, optimizer)
    step(net, optimizer, input_ids=torch.tensor([[8, 8, 8], [8, 8, 8]]))
    moved = [
        (table.weight != old).any(dim=1).nonzero().flatten().tolist()
        for table, old in zip(tables(net), before, strict=True)
    ]
    assert moved[0] == [5, 6, 7, 8]
    assert 1 <= len(moved[1]) <= 4
    assert moved[2] == [1, 2, 3, 9]


def test_a_row_moves_as_adagrad_defines():
    """Each step divided by the root of the sum of its squared gradients (Duchi et al., 2011)."""
    net = model()
    words = tables(net)[0].weight
    optimizer = TextAdam(net, 0.01, 0.0)
    row, squares = words[7].detach().double().numpy().copy(), 0.0
    for read in (True, False, True):
        ids = BATCH["input_ids"] if read else torch.tensor([[5, 6, 5], [6, 6, 0]])
        optimizer.zero_grad()
        loss_of(net, input_ids=ids).backward()
        if read:
            gradient = words.grad.to_dense()[7].double().numpy()
            squares = squares + gradient**2
            row -= 15 * 0.01 * gradient / (np.sqrt(squares) + 1e-10)
        optimizer.step()
        assert words[7].detach().numpy() == pytest.approx(row, rel=1e-3, abs=1e-5)


def test_dense_layers_move_as_with_adamw():
    ours, reference = model(), model()
    optimizer = TextAdam(ours, 0.01, 0.1)
    dense = [p for n, p in reference.named_parameters() if "embeddings" not in n and p.ndim == 2]
    adamw = torch.optim.AdamW(dense, 0.01, (0.9, 0.98), weight_decay=0.1)
    step(ours, optimizer)
    adamw.zero_grad()
    loss_of(reference).backward()
    adamw.step()
    moved = [p for n, p in ours.named_parameters() if "embeddings" not in n and p.ndim == 2]
    assert len(dense) == 3
    for one, other in zip(moved, dense, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_without_sparse_gradients_a_first_step_is_the_same():
    nets = [model(), model()]
    step(nets[0], TextAdam(nets[0], 0.01, 0.1))
    optimizer = TextAdam(nets[1], 0.01, 0.1)
    loss_of(nets[1]).backward()
    assert not any(weight.grad.is_sparse for weight in nets[1].parameters())
    optimizer.step()
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rates_are_set_together():
    net = model()
    optimizer = TextAdam(net, 0.01, 0.1)
    optimizer.set_rate(0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.1, 1.5, 4, 4])
    optimizer.set_rate(0)
    before = copy.deepcopy(net.state_dict())
    step(net, optimizer)
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())


def test_its_state_is_stored_and_taken_up():
    net = model()
    optimizer = TextAdam(net, 0.01, 0.1)
    step(net, optimizer)
    twin = copy.deepcopy(net)
    other = TextAdam(twin, 0.5, 0.1)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one in (optimizer, other):
        one.set_rate(0.02)  # reaches what moves the weights, after loading, too
    for pair in ((net, optimizer), (twin, other)):
        step(*pair)
    assert all(torch.equal(twin.state_dict()[name], w) for name, w in net.state_dict().items())


def test_every_weight_learns(reviews):
    texts, topics, _, _ = reviews
    clf = small_classifier(n_encoders=2, pooling="cls")
    clf.partial_fit(texts, topics, classes=np.unique(topics))
    before = {name: p.detach().clone() for name, p in clf._model.named_parameters()}
    clf.partial_fit(texts, topics)
    still = [n for n, p in clf._model.named_parameters() if torch.equal(p, before[n])]
    assert still == []


def test_a_trained_encoder_takes_other_optimizers(fitted, reviews):
    encoder = copy.deepcopy(fitted.encoder_)
    optimizer = torch.optim.AdamW(encoder.parameters())
    tokens = fitted.tokenizer_.transform(reviews[2][:4])
    batch = Windows(tokens, 64, "truncate").batch(np.arange(4))
    encoder(**{name: torch.from_numpy(a) for name, a in batch.items()}).sum().backward()
    optimizer.step()
