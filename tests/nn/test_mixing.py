"""Every mixer against a definition in NumPy, float64, one unpadded row at a time."""

import pickle

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Shift
from scipy.special import softmax

from skfnet.nn import MIXERS, Encoder, EncoderConfig, FourierMixer
from skfnet.nn.mixing import make_mixer

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
LENGTHS = [1, 2, 3, 4, 9, 16, 31, 64, 97, 100, 255, 383, 384, 500, 1024, 2047, 4096]
NAMES = [name for name in MIXERS if name != "none"]
WITH_A_SCALE = [name for name in NAMES if name.startswith("fourier")] + ["hartley"]
WITH_A_SCALE.remove("fourier_frames")


def built(name, **changes):
    """Give a mixer whose every weight matters, in float32, and its weights in float64."""
    config = EncoderConfig(**{"vocab_size": 1, "width": 12, "mixer": name, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mixer = make_mixer(name, config).eval()
        with torch.no_grad():
            for weight in mixer.parameters():
                weight += 0.2 * torch.randn(weight.shape)
    return mixer, {k: t.double().numpy() for k, t in mixer.state_dict().items()}, config


def normal(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


# --- definitions, for x of shape (n, width) in float64 ------------------------------------


def fft_norm(config):
    return "ortho" if config.transform_scale == "orthonormal" else "backward"


def fourier(x, w, config):
    return np.fft.fft2(x, norm=fft_norm(config)).real


def hartley(x, w, config):
    spectrum = np.fft.fft2(x, norm=fft_norm(config))
    return spectrum.real - spectrum.imag


def dct(x, w, config):
    return scipy.fft.dctn(x, type=2, norm="ortho")


def hadamard(x, w, config):
    def matrix(n):
        size = 2 ** int(np.ceil(np.log2(n)))
        return scipy.linalg.hadamard(size)[:n, :n] / np.sqrt(size)

    return matrix(len(x)) @ x @ matrix(x.shape[1])


def wavelet(x, w, config):
    if len(x) == 1:
        return x
    averages = [(x[i] + x[i + 1]) / 2**0.5 for i in range(0, len(x) - 1, 2)]
    details = [(x[i] - x[i + 1]) / 2**0.5 for i in range(0, len(x) - 1, 2)]
    if len(x) % 2:
        averages.append(x[-1])
    return np.vstack([wavelet(np.array(averages), w, config), details])


def fourier_sequence(x, w, config):
    return np.fft.fft(x, axis=0, norm=fft_norm(config)).real


def fourier_hidden(x, w, config):
    return np.fft.fft(x, axis=1, norm=fft_norm(config)).real


def fourier_abs(x, w, config):
    return np.abs(np.fft.fft2(x, norm=fft_norm(config)))


def fourier_complex(x, w, config):
    spectrum = np.fft.fft2(x, norm=fft_norm(config))
    return np.hstack([spectrum.real, spectrum.imag]) @ w["projection.weight"].T


def fourier_frames(x, w, config):
    k = np.minimum(np.arange(32), 32 - np.arange(32))
    matrix = w["matrix"] * 2 / np.sqrt(np.outer(1 + k / 4, 1 + k / 4))
    out = []
    for start in range(0, len(x), 32):
        frame = np.zeros((32, x.shape[1]))
        frame[: len(x) - start] = x[start : start + 32]
        spectrum = scipy.fft.fft(frame, axis=0)
        mixed = scipy.fft.fft(matrix @ (spectrum.real - spectrum.imag), axis=0)
        out.append(w["gain"][start // 32] * (mixed.real - mixed.imag) / 32)
    return np.vstack(out)[: len(x)]


def fractional(x, w, config):
    def power(x, a, axis):
        # F^0 = 1, F^1, F^2 = reversal, F^3 = the inverse, weighted by c_k(a) of FACTS.
        powers = [
            x,
            np.fft.fft(x, axis=axis, norm="ortho"),
            np.roll(np.flip(x, axis), 1, axis),
            np.fft.ifft(x, axis=axis, norm="ortho"),
        ]
        weights = [sum(np.exp(0.5j * np.pi * m * (k - a)) for m in range(4)) / 4 for k in range(4)]
        return sum(c * p for c, p in zip(weights, powers, strict=True))

    sequence, hidden = w["orders"]
    return power(power(x, hidden, 1), sequence, 0).real


def linear(x, w, config):
    n = len(x)
    return w["sequence"][:n, :n] @ x @ w["hidden"]


def random(x, w, config):
    return linear(x, w, config) * np.sqrt(config.max_length / len(x))


def attention(x, w, config):
    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    parts = np.split(dense(x, "inputs"), 3, axis=1)
    heads = []
    for query, key, value in zip(
        *(np.split(p, config.n_heads, axis=1) for p in parts), strict=True
    ):
        heads.append(softmax(query @ key.T / np.sqrt(query.shape[1]), axis=1) @ value)
    return dense(np.hstack(heads), "output")


def spectral(x, w, config):
    n, width = x.shape
    n_anchors = w["filter"].shape[1]
    h = x.mean(axis=0) @ w["inner.weight"].T + w["inner.bias"]
    h = h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    gain, shift = (h @ w["outer.weight"].T + w["outer.bias"]).reshape(2, config.n_heads, n_anchors)
    anchors, bins = np.linspace(0, 0.5, n_anchors), np.fft.rfftfreq(2 * n)
    out = np.empty_like(x)
    for unit in range(width):
        head = unit // (width // config.n_heads)
        response = np.interp(bins, anchors, w["filter"][head] * (1 + gain[head]))
        bias = np.interp(bins, anchors, w["bias"][head] + shift[head])
        z = np.fft.rfft(np.concatenate([x[:, unit], np.zeros(n)]), norm="ortho") * response + bias
        z = np.maximum(np.abs(z) + w["threshold"][unit], 0) * np.exp(1j * np.angle(z))
        out[:, unit] = np.fft.irfft(z, n=2 * n, norm="ortho")[:n]
    return out


def expected(name, x, w, config):
    return globals()[name](x, w, config)


def largest_error(y, reference):
    return np.abs(y.detach().cpu().double().numpy() - reference).max() / np.abs(reference).max()


# --- exactness ----------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", NAMES)
def test_one_row_of_any_length(name, length, device):
    mixer, weights, config = built(name, max_length=length)
    x = normal(1, length, 12)
    y = mixer.to(device)(x.to(device), torch.tensor([length], device=device))
    assert y.dtype == torch.float32
    assert largest_error(y[0], expected(name, x[0].double().numpy(), weights, config)) <= 1e-5


@pytest.mark.parametrize("width", [1, 2, 3, 7, 16, 63, 128, 130])
@pytest.mark.parametrize("name", NAMES)
def test_any_width(name, width):
    mixer, weights, config = built(name, width=width, max_length=40)
    x = normal(1, 21, width)
    y = mixer(x, torch.tensor([21]))
    assert largest_error(y[0], expected(name, x[0].double().numpy(), weights, config)) <= 1e-5


@pytest.mark.parametrize("name", WITH_A_SCALE)
def test_unnormalised_as_in_the_published_models(name):
    mixer, weights, config = built(name, transform_scale="none")
    x = normal(1, 30, 12)
    y = mixer(x, torch.tensor([30]))
    assert largest_error(y[0], expected(name, x[0].double().numpy(), weights, config)) <= 1e-5


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("name", ["attention", "spectral"])
def test_any_number_of_heads(name, heads):
    mixer, weights, config = built(name, attention_heads=heads)
    x = normal(1, 17, 12)
    y = mixer(x, torch.tensor([17]))
    assert largest_error(y[0], expected(name, x[0].double().numpy(), weights, config)) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=7), seed=st.integers(0, 99))
def test_each_row_at_its_own_length_whatever_stands_beyond(name, lengths, seed):
    mixer, weights, config = built(name, max_length=40)
    x = normal(len(lengths), 40, 12, seed=seed)
    for row, n in enumerate(lengths):
        x[row, n:] = torch.tensor([torch.nan, torch.inf, -1e30] * 4)
    y = mixer(x, torch.tensor(lengths))
    assert y.shape == x.shape
    for row, n in enumerate(lengths):
        assert not y[row, n:].any()
        if n:
            reference = expected(name, x[row, :n].double().numpy(), weights, config)
            assert largest_error(y[row, :n], reference) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    mixer, _, _ = built(name, width=6, max_length=7)
    mixer = mixer.double()
    lengths = torch.tensor([5, 3, 1])
    x = normal(3, 5, 6, dtype=torch.float64).requires_grad_()
    weights = tuple(mixer.parameters())
    names = [name for name, _ in mixer.named_parameters()]

    def function(x, *weights):
        return torch.func.functional_call(
            mixer, dict(zip(names, weights, strict=True)), (x, lengths)
        )

    assert torch.autograd.gradcheck(function, (x, *weights))
    if not names:
        assert torch.autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_close_forward_and_backward(name):
    mixer, weights, config = built(name, width=32)
    x = normal(2, 50, 32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = mixer(x, torch.tensor([50, 20]))
    for row, n in enumerate([50, 20]):
        reference = expected(name, x[row, :n].detach().double().numpy(), weights, config)
        assert largest_error(y[row, :n].float(), reference) <= 0.03
    y.float().square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_module_of_16_bits(name):
    mixer, weights, config = built(name, width=32, max_length=50)
    x = normal(2, 50, 32)
    y = mixer.bfloat16()(x.bfloat16(), torch.tensor([50, 20]))
    assert y.dtype == torch.bfloat16
    reference = expected(name, x[1, :20].double().numpy(), weights, config)
    assert largest_error(y[1, :20].float(), reference) <= 0.05


# --- what the transforms are --------------------------------------------------------------


@pytest.mark.parametrize("name", ["hartley", "hadamard"])
def test_its_own_inverse(name):
    mixer, _, _ = built(name, width=16)
    x, lengths = normal(1, 32, 16), torch.tensor([32])
    torch.testing.assert_close(mixer(mixer(x, lengths), lengths), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("name", ["hartley", "wavelet", "dct"])
def test_nothing_is_lost(name, n):
    mixer, _, _ = built(name, width=8)
    basis = torch.eye(8 * n, dtype=torch.float64).reshape(8 * n, n, 8)
    matrix = mixer(basis, torch.full((8 * n,), n)).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(8 * n, dtype=torch.float64))


def test_the_real_part_loses_nearly_half():
    mixer, _, _ = built("fourier", width=8)
    basis = torch.eye(48, dtype=torch.float64).reshape(48, 6, 8)
    matrix = mixer(basis, torch.full((48,), 6)).flatten(1)
    assert torch.linalg.matrix_rank(matrix) == 26


@pytest.mark.parametrize("n", [4, 7])
def test_fractional_orders(n):
    mixer = make_mixer("fractional", EncoderConfig(vocab_size=1, width=10))
    plain = FourierMixer(EncoderConfig(vocab_size=1, width=10))
    x, lengths = normal(1, n, 10), torch.tensor([n])
    torch.testing.assert_close(mixer(x, lengths), plain(x, lengths), atol=1e-5, rtol=0)
    with torch.no_grad():
        mixer.orders.zero_()
    torch.testing.assert_close(mixer(x, lengths), x, atol=1e-5, rtol=0)


def test_the_spectral_filter_starts_near_the_identity_and_is_no_circle():
    mixer = make_mixer("spectral", EncoderConfig(vocab_size=1, width=64))
    x, lengths = normal(1, 40, 64), torch.tensor([40])
    y = mixer(x, lengths)
    assert torch.nn.functional.cosine_similarity(x.flatten(), y.flatten(), dim=0) > 0.95
    # What a smooth filter spreads of the last token does not come out at the first.
    impulse = torch.zeros(1, 16, 64)
    impulse[0, 15] = 5.0
    with torch.no_grad():
        mixer.threshold.zero_()
        mixer.filter.copy_(torch.linspace(1, 0.2, 32))
    assert mixer(impulse, torch.tensor([16]))[0, 0].abs().max() < 0.1


def test_frames_start_with_the_first_and_never_touch_each_other():
    mixer = make_mixer("fourier_frames", EncoderConfig(vocab_size=1, width=8, max_length=100))
    x, lengths = normal(1, 100, 8), torch.tensor([100])
    y = mixer(x, lengths)
    assert 0 < y[0, :32].norm() < 0.2 * x[0, :32].norm()
    assert not y[0, 32:].any()
    with torch.no_grad():
        mixer.gain.fill_(1)
    changed = x.clone()
    changed[0, 40] += 1
    differs = (mixer(changed, lengths) != mixer(x, lengths)).any(dim=2)[0]
    assert differs.nonzero().flatten().tolist() == list(range(32, 64))
    assert set(mixer.state_dict()) == {"matrix", "gain"}  # what is fixed is not saved


def test_frames_know_where_a_token_stands():
    # A filter would give the same for a token one place later, one place later.
    mixer = make_mixer("fourier_frames", EncoderConfig(vocab_size=1, width=1, max_length=32))
    basis = torch.eye(32)[:, :, None]
    between = mixer(basis, torch.full((32,), 32))[..., 0]
    shifted = between.roll((1, 1), dims=(0, 1))
    assert (between - shifted).norm() > between.norm()


def test_more_frames_than_there_are_gains():
    mixer = make_mixer("fourier_frames", EncoderConfig(vocab_size=1, width=8, max_length=64))
    with pytest.raises(ValueError, match="Rows of 65 tokens.*at most 2 frames of 32"):
        mixer(torch.zeros(1, 65, 8), torch.tensor([65]))


def test_random_is_drawn_once_and_never_learned():
    config = EncoderConfig(vocab_size=9, width=8, mixer="random", max_length=100)
    torch.manual_seed(0)
    one = Encoder(config)
    torch.manual_seed(0)
    same = Encoder(config)
    other = Encoder(config)
    assert not list(one.blocks[0].mixer.parameters())
    matrices = [encoder.blocks[0].mixer.sequence for encoder in (one, same, other)]
    assert torch.equal(matrices[0], matrices[1])
    assert not torch.equal(matrices[0], matrices[2])
    assert matrices[0].std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("name", ["linear", "random"])
def test_rows_longer_than_the_matrix_are_refused(name):
    mixer, _, _ = built(name, max_length=10)
    with pytest.raises(ValueError, match="Rows of 11 tokens.*max_length=10"):
        mixer(normal(1, 11, 12), torch.tensor([11]))


# --- choosing one -------------------------------------------------------------------------


def test_without_mixing_no_token_hears_of_another():
    encoder = Encoder(EncoderConfig(vocab_size=10, width=8, mixer="none", bigram_buckets=0)).eval()
    lengths = torch.tensor([3])
    one, other = (encoder(torch.tensor([[1, 2, last]]), lengths) for last in (3, 4))
    assert torch.equal(one[0, :2], other[0, :2])
    assert not torch.equal(one[0, 2], other[0, 2])


@pytest.mark.parametrize("name", NAMES)
def test_with_any_other_one_they_do(name):
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(vocab_size=10, width=8, mixer=name, bigram_buckets=0)).eval()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight += 0.3 * torch.randn(weight.shape)
    lengths = torch.tensor([3])
    one, other = (encoder(torch.tensor([[1, 2, last]]), lengths) for last in (3, 4))
    together = (one - other)[0, :2].abs().max()
    assert (together == 0) == (name == "fourier_hidden")


def test_an_unknown_mixer_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="Unknown mixer 'wavelets'.*fourier.*wavelet"):
        Encoder(EncoderConfig(vocab_size=10, mixer="wavelets"))


@pytest.mark.parametrize("way", ["by name", "class", "function"])
def test_a_readers_own_mixer(way, monkeypatch):
    mixer = {"by name": "shift", "class": Shift, "function": lambda config: Shift(config)}[way]
    monkeypatch.setitem(MIXERS, "shift", Shift)
    config = EncoderConfig(vocab_size=10, width=8, mixer=mixer, depth=1, bigram_buckets=0)
    encoder = Encoder(config).eval()
    assert isinstance(encoder.blocks[0].mixer, Shift)
    lengths = torch.tensor([3])
    one, other = (encoder(torch.tensor([[1, middle, 2]]), lengths) for middle in (3, 4))
    changed = (one - other)[0].abs().amax(dim=-1) > 0
    assert changed.tolist() == [False, True, True]


@pytest.mark.parametrize("mixer", [torch.nn.Identity(), lambda config: 3], ids=["made", "3"])
def test_what_makes_no_module_is_refused(mixer):
    with pytest.raises(TypeError, match="takes an EncoderConfig and gives a torch module"):
        Encoder(EncoderConfig(vocab_size=10, mixer=mixer))


@pytest.mark.parametrize("name", MIXERS)
def test_an_encoder_survives_pickling(name):
    encoder = Encoder(EncoderConfig(vocab_size=10, width=8, mixer=name, max_length=20)).eval()
    ids, lengths = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    again = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(again(ids, lengths), encoder(ids, lengths))
