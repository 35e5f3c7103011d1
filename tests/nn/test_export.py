"""Encoders of the Fourier family compiled in one graph, and exported to ONNX."""

import warnings

import numpy as np
import onnxruntime
import pytest
import torch

from skfnet.nn import DocumentClassifier, EncoderConfig


@pytest.fixture(params=["fourier", "hartley", "fourier_frames", "known bigrams", "told targets"])
def model(request):
    told = 4 if request.param == "told targets" else 0
    mixer = "fourier" if " " in request.param else request.param
    config = EncoderConfig(
        vocab_size=50,
        width=18,
        depth=2,
        max_length=40,
        mixer=mixer,
        mixing_gain=1.0,
        target_encoding=told,
        trigram_buckets=8 if told else 0,
    )
    model = DocumentClassifier(config, 3).eval()
    bigrams = np.arange(1, 2500, 3)
    if request.param == "known bigrams":
        model.encoder.know_bigrams(bigrams)
    if told:
        random = np.random.default_rng(0)
        trigrams = np.arange(0, 50 * len(bigrams), 7)
        sizes = {"words": 50, "bigrams": len(bigrams), "trigrams": len(trigrams)}
        tables = {
            name: random.normal(size=(2, n_rows, told)).astype(np.float32)
            for name, n_rows in sizes.items()
        }
        model.encoder.take_target_encoding([bigrams, trigrams], tables)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape)
    return model


def rows(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(50, (len(lengths), max(lengths)), generator=generator), torch.tensor(
        lengths
    )


def results(function, model, bfloat16):
    """Give logits and, in one vector, the gradients of all weights."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = function(*rows([40, 7, 33])).float()
    logits.square().sum().backward()
    return logits.detach(), torch.cat([w.grad.flatten() for w in model.parameters()])


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-5), (True, 0.1)])
def test_one_graph_gives_the_same_values_and_gradients(model, bfloat16, tolerance):
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, got = results(model, model, bfloat16), results(compiled, model, bfloat16)
    for ours, theirs in zip(expected, got, strict=True):
        assert (ours - theirs).norm() <= tolerance * ours.norm()
    other = rows([31, 1, 2, 9])
    torch.testing.assert_close(compiled(*other), model(*other), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_the_default_compiler_takes_it_in_one_graph(model):
    torch._dynamo.reset()
    expected = results(model, model, False)
    got = results(torch.compile(model, fullgraph=True), model, False)
    for ours, theirs in zip(expected, got, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * ours.norm()


def test_the_graph_knows_no_complex_number(model):
    graph = torch.export.export(model, rows([20, 7, 13])).graph
    dtypes = {
        node.meta["val"].dtype for node in graph.nodes if hasattr(node.meta.get("val"), "dtype")
    }
    assert torch.float32 in dtypes
    assert not any(dtype.is_complex for dtype in dtypes)


def test_onnx_gives_the_same_logits_for_other_batches_and_lengths(model, tmp_path):
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=40)
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(
            model,
            rows([20, 7, 13]),
            dynamo=True,
            dynamic_shapes=({0: batch, 1: length}, {0: batch}),
            input_names=["ids", "lengths"],
            verbose=False,
        )
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for lengths in ([20, 7, 13], [40, 1], [3, 3, 2, 1, 3]):
        ids, lengths = rows(lengths, seed=1)
        (logits,) = session.run(None, {"ids": ids.numpy(), "lengths": lengths.numpy()})
        torch.testing.assert_close(torch.tensor(logits), model(ids, lengths), atol=1e-5, rtol=1e-5)
