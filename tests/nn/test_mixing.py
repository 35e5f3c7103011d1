"""The mixers' registry, and the Fourier mixer."""

import numpy as np
import pytest
import torch

from skfnet.nn import MIXERS, Encoder, EncoderConfig, FourierMixer
from skfnet.nn.mixing import make_mixer


@pytest.mark.parametrize(("scale", "norm"), [("orthonormal", "ortho"), ("none", "backward")])
def test_the_fourier_mixer_is_numpys_transform(scale, norm):
    mixer = FourierMixer(EncoderConfig(vocab_size=1, width=10, transform_scale=scale))
    assert not list(mixer.parameters())
    x = torch.randn(3, 9, 10, dtype=torch.float64)
    y = mixer(x, torch.tensor([9, 4, 1])).numpy()
    for row, n in enumerate([9, 4, 1]):
        reference = np.fft.fft2(x[row, :n].numpy(), norm=norm).real
        np.testing.assert_allclose(y[row, :n], reference, atol=1e-12)


def test_an_unknown_mixer_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="Unknown mixer 'wavelet'.*fourier"):
        Encoder(EncoderConfig(vocab_size=10, mixer="wavelet"))


def test_a_new_mixer_is_one_class_and_one_line(monkeypatch):
    class Nothing(torch.nn.Module):
        def __init__(self, config):
            super().__init__()

        def forward(self, x, lengths):
            return torch.zeros_like(x)

    monkeypatch.setitem(MIXERS, "nothing", Nothing)
    config = EncoderConfig(vocab_size=10, width=8, mixer="nothing")
    assert isinstance(make_mixer(config), Nothing)
    ids, lengths = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    encoder = Encoder(config).eval()
    changed = encoder(torch.tensor([[1, 2, 4]]), lengths) - encoder(ids, lengths)
    assert not changed[0, :2].any()  # no token has heard of the changed one
    assert changed[0, 2].any()


@pytest.mark.parametrize("name", MIXERS)
def test_every_mixer_reads_a_row_at_its_own_length(name):
    torch.manual_seed(0)
    config = EncoderConfig(vocab_size=1, width=12, max_length=30, mixer=name)
    mixer = make_mixer(config).eval()
    lengths = torch.tensor([30, 1, 17, 8])
    x = torch.randn(4, 30, 12)
    spoilt = x.clone()
    for row, n in enumerate(lengths):
        spoilt[row, n:] = torch.nan
    y, still = mixer(x, lengths), mixer(spoilt, lengths)
    assert y.shape == x.shape
    for row, n in enumerate(lengths.tolist()):
        alone = mixer(x[row : row + 1, :n], lengths[row : row + 1])[0]
        torch.testing.assert_close(y[row, :n], alone, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(still[row, :n], alone, rtol=1e-5, atol=1e-5)
