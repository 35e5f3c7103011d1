"""real_dft2 against NumPy's FFT in float64."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfnet.nn import dft
from skfnet.nn.dft import add_scaled_dft2, choose_route, real_dft2

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
LENGTHS = [1, 2, 3, 4, 7, 8, 31, 64, 97, 100, 256, 383, 384, 385, 397, 512, 1000, 2048, 4096]


@pytest.fixture(params=["real", "hartley"])
def part(request):
    return request.param


@pytest.fixture(params=["fft", "matmul"])
def route(request, monkeypatch):
    """Take one way or the other, whatever machine this is."""
    monkeypatch.setattr(dft, "choose_route", lambda *_: request.param)
    return request.param


def expected(x, lengths, orthonormal, part="real"):
    """Re(F F x), or Re - Im, of each row's own tokens, zero beyond, by np.fft in float64."""
    out = np.zeros(x.shape)
    for row, n in enumerate(lengths):
        if n:
            inside = np.asarray(x[row, :n], dtype=np.float64)
            spectrum = np.fft.fft2(inside, norm="ortho" if orthonormal else None)
            out[row, :n] = spectrum.real - (spectrum.imag if part == "hartley" else 0)
    return out


def largest_error(y, reference):
    return np.abs(y.detach().cpu().numpy() - reference).max() / np.abs(reference).max()


def normal(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize("length", LENGTHS)
def test_one_row_of_any_length(length, orthonormal, device, route, part):
    x = normal(1, length, 24)
    y = real_dft2(
        x.to(device), torch.tensor([length], device=device), orthonormal=orthonormal, part=part
    )
    assert largest_error(y, expected(x, [length], orthonormal, part)) <= 1e-5


@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 16, 17, 63, 128, 768])
def test_any_width(width, orthonormal, route, part):
    x = normal(2, 21, width)
    y = real_dft2(x, torch.tensor([21, 13]), orthonormal=orthonormal, part=part)
    assert largest_error(y, expected(x, [21, 13], orthonormal, part)) <= 1e-5


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=9),
    width=st.integers(1, 20),
    orthonormal=st.booleans(),
    part=st.sampled_from(["real", "hartley"]),
    matmul=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_row_at_its_own_length(lengths, width, orthonormal, part, matmul, seed):
    with pytest.MonkeyPatch.context() as patch:
        if matmul:
            patch.setattr(dft, "choose_route", lambda *_: "matmul")
        x = normal(len(lengths), 40, width, seed=seed)
        y = real_dft2(x, torch.tensor(lengths), orthonormal=orthonormal, part=part)
    reference = expected(x, lengths, orthonormal, part)
    np.testing.assert_allclose(y.numpy(), reference, rtol=0, atol=2e-5 * np.abs(reference).max())
    for row, n in enumerate(lengths):
        assert not y[row, n:].any()


def test_long_and_short_rows_share_a_batch(route, part):
    lengths = [1, 2, 383, 384, 385, 600, 600, 17]
    x = normal(len(lengths), 600, 10)
    y = real_dft2(x, torch.tensor(lengths), part=part)
    assert largest_error(y, expected(x, lengths, True, part)) <= 1e-5


@pytest.mark.parametrize("orthonormal", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_float64_is_exact(orthonormal, autocast, route, part):
    lengths = [5, 97, 500]
    x = normal(3, 500, 9, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = real_dft2(x, torch.tensor(lengths), orthonormal=orthonormal, part=part)
    assert largest_error(y, expected(x, lengths, orthonormal, part)) <= 1e-12


def test_what_stands_beyond_a_row_is_never_read(route):
    lengths = torch.tensor([3, 30, 0, 11])
    x = normal(4, 30, 8)
    spoilt = x.clone()
    for row, n in enumerate(lengths):
        spoilt[row, n:] = torch.tensor([float("nan"), float("inf")] * 4)
    assert torch.equal(real_dft2(spoilt, lengths), real_dft2(x, lengths))


@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize(("length", "width"), [(1, 1), (4, 6), (5, 3), (400, 2)])
def test_gradient_and_its_gradient(length, width, orthonormal, route, part):
    lengths = torch.tensor([length, max(1, length - 2)])
    x = normal(2, length, width, dtype=torch.float64).requires_grad_()

    def function(x):
        return real_dft2(x, lengths, orthonormal=orthonormal, part=part)

    if length <= 100:
        assert torch.autograd.gradcheck(function, [x])
        assert torch.autograd.gradgradcheck(function, [x])
    # The map is its own transpose: <y, T x> = <T y, x>.
    y = normal(2, length, width, seed=1, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((function(x) * y).sum(), [x])
    torch.testing.assert_close(gradient, function(y), rtol=1e-6, atol=1e-6)


def test_the_scaled_sum_is_the_sum_of_its_parts(route, part):
    x = normal(3, 30, 10).requires_grad_()
    scale = torch.tensor(0.3, requires_grad=True)
    lengths, weights = torch.tensor([30, 7, 0]), normal(3, 30, 10, seed=1)
    before = x.detach().clone()
    y = add_scaled_dft2(x, lengths, scale, part=part)
    mixed = expected(before, lengths, True, part)
    assert largest_error(y, before.numpy() + 0.3 * mixed) <= 1e-5
    assert torch.equal(x, before)
    of_x, of_scale = torch.autograd.grad((y * weights).sum(), [x, scale])
    assert (
        largest_error(of_x, weights.numpy() + 0.3 * expected(weights, lengths, True, part)) <= 1e-5
    )
    torch.testing.assert_close(
        of_scale.item(), float((weights.numpy() * mixed).sum()), rtol=1e-4, atol=0
    )


def test_gradients_of_the_scaled_sum(route, part):
    x = normal(2, 5, 4, dtype=torch.float64).requires_grad_()
    scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def function(x, scale):
        return add_scaled_dft2(x, torch.tensor([5, 3]), scale, part=part)

    assert torch.autograd.gradcheck(function, [x, scale])
    assert torch.autograd.gradgradcheck(function, [x, scale])


def test_the_scaled_sum_joins_precisions(route, part):
    x, scale = normal(2, 50, 32).requires_grad_(), torch.tensor(0.3, requires_grad=True)
    lengths = torch.tensor([50, 20])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = add_scaled_dft2(x, lengths, scale, part=part)
    assert y.dtype == torch.float32
    whole = x.detach().numpy() + 0.3 * expected(x.detach(), lengths, True, part)
    assert largest_error(y, whole) <= 0.02
    y.square().sum().backward()
    assert x.grad.isfinite().all() and scale.grad.isfinite()
    half = x.detach().bfloat16().requires_grad_()
    z = add_scaled_dft2(half, lengths, scale, part=part)
    z.sum().backward()
    assert z.dtype == half.grad.dtype == torch.bfloat16


def test_nothing_is_kept_for_the_backward_pass(route, part):
    start = normal(2, 30, 8).requires_grad_()
    x = start * 1  # no leaf: it goes when nobody keeps it
    y = real_dft2(x, torch.tensor([30, 7]), part=part)
    gone = weakref.ref(x)
    del x
    assert gone() is None
    kept = [value for value in y.grad_fn.choices if torch.is_tensor(value)]
    assert not any(tensor.is_floating_point() for tensor in kept)
    assert not y.grad_fn.saved_tensors
    y.sum().backward()


@pytest.mark.parametrize(
    ("length", "width", "device", "dtype", "route"),
    [
        (1, 128, "cpu", torch.float32, "fft"),
        (4096, 128, "cpu", torch.bfloat16, "fft"),
        (1024, 256, "cuda", torch.float32, "matmul"),
        (1024, 257, "cuda", torch.float32, "fft"),
        (512, 768, "cuda", torch.float32, "matmul"),
        (2048, 128, "cuda", torch.float32, "fft"),
        (2048, 768, "cuda", torch.bfloat16, "matmul"),
        (4096, 128, "cuda", torch.bfloat16, "fft"),
    ],
)
def test_the_route_is_a_matter_of_length_width_machine_and_dtype(
    length, width, device, dtype, route
):
    assert choose_route(length, width, device, dtype) == route


def test_the_gradient_of_16_bit_products_has_16_bits(monkeypatch):
    monkeypatch.setattr(dft, "choose_route", lambda *_: "matmul")
    seen = []
    transform = dft._transform
    monkeypatch.setattr(
        dft, "_transform", lambda x, *rest: seen.append(x.dtype) or transform(x, *rest)
    )
    x, gain = normal(2, 9, 8).float().requires_grad_(), torch.tensor(0.5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = add_scaled_dft2(x, torch.tensor([9, 4]), gain)
    assert out.dtype == torch.float32
    upstream = normal(2, 9, 8).float()
    out.backward(upstream)
    assert seen == [torch.float32, torch.bfloat16]
    exact = real_dft2(upstream.double(), torch.tensor([9, 4]))
    assert (x.grad - (upstream + 0.5 * exact)).norm() < 0.01 * x.grad.norm()
    of_gain = (exact * x.detach()).sum()
    assert abs(gain.grad - of_gain) < 0.02 * (exact * x.detach()).abs().sum()


def test_orthonormal_keeps_the_size_and_is_half_of_a_whole():
    # Unitary F: of white input the real part keeps half of the energy, on average.
    x = normal(1, 200, 128)
    y = real_dft2(x, torch.tensor([200]), orthonormal=True)
    assert y.square().mean() / x.square().mean() == pytest.approx(0.5, rel=0.05)


def test_tables_made_while_predicting_serve_training(route):
    with torch.inference_mode():
        real_dft2(normal(1, 53, 14), torch.tensor([53]))
    x = normal(1, 53, 14).requires_grad_()
    real_dft2(x, torch.tensor([53])).square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("lengths", [[50, 20], [400, 400], [400, 20]])
def test_bfloat16_is_close_forward_and_backward(lengths, route, part):
    x = normal(2, lengths[0], 32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = real_dft2(x, torch.tensor(lengths), part=part)
    assert largest_error(y.detach().float(), expected(x.detach(), lengths, True, part)) <= 0.02
    y.backward(y)
    assert largest_error(x.grad, expected(y.detach().float(), lengths, True, part)) <= 0.02
