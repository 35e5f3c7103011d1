"""Adaptive spectral mixing: a filter along the sequence that is learned and that the text moves."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .ragged import at_own_length, without_padding

__all__ = ["SpectralMixer"]

_N_ANCHORS = 32  # frequencies at which the filters are held
_INITIAL_THRESHOLD = -0.1


class SpectralMixer(nn.Module):
    """Fourier transform along the sequence, a filter on it, the inverse transform.

    Each row of n tokens is filled up with zeros to 2n, so that the filter is a linear convolution
    and not a circular one. The filter of each head and the bias after it are held at a fixed
    number of frequencies and interpolated to the n + 1 of the row, whatever its length. What is
    left of each frequency is decided by a learned threshold on its size,
    ``modReLU(z) = ReLU(|z| + b) z / |z|``. At the start the filter is 1: nearly the identity.

    Parameters
    ----------
    config : EncoderConfig
        Read for `width` and `attention_heads`.

    References
    ----------
    "The FFT Strikes Back: An Efficient Alternative to Self-Attention", arXiv 2502.18394,
    section 3.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import EncoderConfig, SpectralMixer
    >>> mixer = SpectralMixer(EncoderConfig(vocab_size=1, width=8))
    >>> mixer(torch.ones(1, 4, 8), torch.tensor([4])).shape
    torch.Size([1, 4, 8])
    """

    needs_norm = True  # the threshold is meant for values of about 1

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.filter = nn.Parameter(torch.ones(self.n_heads, _N_ANCHORS))
        self.bias = nn.Parameter(torch.zeros(self.n_heads, _N_ANCHORS))
        self.threshold = nn.Parameter(torch.full((config.width,), _INITIAL_THRESHOLD))
        # From the mean of the row: by how much its filter and bias differ from the learned ones.
        self.inner = nn.Linear(config.width, config.width)
        self.outer = nn.Linear(config.width, 2 * self.n_heads * _N_ANCHORS)
        self.initialise()

    def initialise(self) -> None:
        """Start from a filter that the text does not move."""
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width) at each row's own length."""
        mean = without_padding(x, lengths).sum(dim=1) / lengths.clamp(min=1).to(x)[:, None]
        moved = self.outer(F.gelu(self.inner(mean), approximate="tanh"))
        gain, shift = moved.unflatten(-1, (2, self.n_heads, _N_ANCHORS)).unbind(1)
        filters = torch.stack([self.filter * (1 + gain), self.bias + shift], dim=-1)
        return at_own_length(self._filtered, x, lengths, filters)

    def _filtered(self, x: Tensor, filters: Tensor) -> Tensor:
        """Filter rows x (rows, n, width) by filters (rows, heads, anchors, 2)."""
        n = x.shape[1]
        spectrum = torch.fft.rfft(x, n=2 * n, dim=1, norm="ortho")
        spectrum = spectrum.unflatten(-1, (self.n_heads, -1))  # (rows, n + 1, heads, units)
        here = torch.einsum("fa,rhac->crfh", _interpolation(n + 1, x), filters)
        spectrum = _mod_relu(
            spectrum * here[0, ..., None] + here[1, ..., None],
            self.threshold.unflatten(0, (self.n_heads, -1)),
        )
        return torch.fft.irfft(spectrum.flatten(2), n=2 * n, dim=1, norm="ortho")[:, :n]


def _mod_relu(z: Tensor, threshold: Tensor) -> Tensor:
    size = z.abs()
    return z * (F.relu(size + threshold) / size.clamp(min=torch.finfo(size.dtype).tiny))


def _interpolation(n_frequencies: int, like: Tensor) -> Tensor:
    """Matrix (n_frequencies, anchors): linear between anchors at equal steps from 0 to pi."""
    options = {"device": like.device, "dtype": like.dtype}
    place = torch.linspace(0, _N_ANCHORS - 1, n_frequencies, **options)
    return (1 - (place[:, None] - torch.arange(_N_ANCHORS, **options)).abs()).clamp(min=0)
