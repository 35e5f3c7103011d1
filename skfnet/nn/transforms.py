"""Fast fixed transforms along one axis, each against a definition by a dense matrix in the tests.

All are orthonormal or unitary matrices applied to one axis of a real or complex tensor: sizes and
dtypes stay, but for the fractional Fourier transform, whose result is complex.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["dct", "fractional_dft", "haar", "hadamard"]


def dct(x: Tensor, dim: int) -> Tensor:
    """Discrete cosine transform of type II, orthonormal, along `dim`.

    References
    ----------
    Makhoul, "A fast cosine transform in one and two dimensions", IEEE ASSP 28, 1980: one FFT of
    the even-numbered values followed by the odd-numbered ones in reverse.
    """
    n = x.shape[dim]
    x = x.movedim(dim, -1)
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1))
    angle = torch.arange(n, dtype=torch.float64) * (-math.pi / (2 * n))
    scale = torch.full_like(angle, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    rotation = torch.polar(scale, angle).to(spectrum.dtype).to(x.device)  # some have no float64
    return (spectrum * rotation).real.movedim(-1, dim)


def hadamard(x: Tensor, dim: int) -> Tensor:
    """Walsh-Hadamard transform in natural order along `dim`.

    Where the size is no power of two, zeros fill it up to the next one, and the transform is cut
    back to the size: the leading block of the larger, orthonormal matrix.
    """
    n = x.shape[dim]
    size = 1 << (n - 1).bit_length()
    x = F.pad(x.movedim(dim, -1), (0, size - n))
    half = 1
    while half < size:
        first, second = x.unflatten(-1, (-1, 2, half)).unbind(-2)
        x = torch.stack([first + second, first - second], dim=-2).flatten(-3)
        half *= 2
    return (x[..., :n] * size**-0.5).movedim(-1, dim)


def haar(x: Tensor, dim: int) -> Tensor:
    """Haar wavelet transform along `dim`, all levels, orthonormal.

    Each level turns neighbours a, b into (a + b) / sqrt 2, which the next level transforms
    further, and (a - b) / sqrt 2. Where a level has an odd number of values, the last one passes
    through to the next. In the result, the overall average comes first, then the differences,
    coarse ones before fine ones.
    """
    averages, differences = x.movedim(dim, -1), []
    while averages.shape[-1] > 1:
        paired = averages.shape[-1] // 2 * 2
        first, second = averages[..., 0:paired:2], averages[..., 1:paired:2]
        differences.append((first - second) * math.sqrt(0.5))
        averages = torch.cat([(first + second) * math.sqrt(0.5), averages[..., paired:]], dim=-1)
    return torch.cat([averages, *reversed(differences)], dim=-1).movedim(-1, dim)


def fractional_dft(x: Tensor, order: Tensor, dim: int) -> Tensor:
    """Unitary Fourier transform to the power of `order` along `dim`: complex.

    The powers of the unitary transform F repeat after four: 1, F, reversal of the index, and F
    of the reversal. So any power is a weighted sum of these, at the cost of one FFT, and order 0
    is the identity, order 1 is F, and orders add.

    References
    ----------
    Dickinson and Steiglitz, "Eigenvectors and functions of the discrete Fourier transform", IEEE
    ASSP 30, 1982, section V.
    """
    k = torch.arange(4, device=x.device, dtype=order.dtype)
    angle = math.pi / 2 * k[:, None] * (k - order)
    weight = torch.polar(torch.ones_like(angle), angle).mean(dim=0)
    reverse = x.flip(dim).roll(1, dim)
    untransformed = weight[0] * x + weight[2] * reverse
    return untransformed + torch.fft.fft(weight[1] * x + weight[3] * reverse, dim=dim, norm="ortho")
