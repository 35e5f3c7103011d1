"""The real part of the 2-D discrete Fourier transform, without a complex number where it pays.

For a real matrix x of n rows (tokens) and d columns (hidden units)

    Re(F_n x F_d) = C_n x C_d - S_n x S_d,    C_n[j, k] = cos(2 pi j k / n), S_n likewise,

a real, linear and *symmetric* map, so the gradient is the map itself: the backward pass is one
more forward pass and keeps nothing in memory. Along the hidden axis only the columns
0 ... d // 2 are computed (the rest is their mirror image), which makes the two products with
C_d and S_d together as large as one (d, d) matrix product.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["real_dft2", "sequence_route"]

# From here on an FFT takes the place of a product with an (n, n) matrix along the sequence. The
# crossing was estimated from operation counts, not measured: benchmarks/ has no script for it yet.
_FFT_FROM_LENGTH = 384


def real_dft2(
    x: Tensor, lengths: Tensor, *, orthonormal: bool = True, part: str = "real"
) -> Tensor:
    """Transform each row of a batch at its own length: ``Re(F_sequence(F_hidden(x)))``.

    Parameters
    ----------
    x : Tensor of shape (batch, length, width)
        Real input. What stands beyond a row's length is never read.
    lengths : Tensor of int, shape (batch,)
        Number of tokens of each row.
    orthonormal : bool, default=True
        Divide by ``sqrt(row length * width)``; without it the transform is the published,
        unnormalised one.
    part : {"real", "hartley"}, default="real"
        The real part, or the real minus the imaginary part, which is the Hartley transform.

    Returns
    -------
    Tensor of shape (batch, length, width)
        Zero beyond each row's length.

    References
    ----------
    Lee-Thorp et al., arXiv 2105.03824, equation 3.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn.dft import real_dft2
    >>> x = torch.randn(1, 5, 8, dtype=torch.float64)
    >>> y = real_dft2(x, torch.tensor([5]), orthonormal=False)
    >>> torch.allclose(y, torch.fft.fft2(x).real)
    True
    """
    return _RealDFT2.apply(x, lengths, orthonormal, part)


class _RealDFT2(torch.autograd.Function):
    """The transform as a function whose derivative is itself."""

    @staticmethod
    def forward(ctx, x: Tensor, lengths: Tensor, orthonormal: bool, part: str) -> Tensor:
        ctx.choices = lengths, orthonormal, part
        return _transform(x, lengths, orthonormal, part)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _RealDFT2.apply(gradient, *ctx.choices), None, None, None


def sequence_route(length: int, device_type: str) -> str:
    """Say how the sequence axis is transformed: ``"matmul"``, ``"fft"`` or ``"batched"``.

    "matmul" and "fft" go through the batch by groups of rows of equal length, which costs no
    arithmetic on padding; "batched" is one product with a stack of tables, which keeps a GPU
    busy where groups would be many small kernels.
    """
    if device_type != "cpu" or torch.compiler.is_compiling():  # exporting is compiling too
        return "batched"
    return "fft" if length >= _FFT_FROM_LENGTH else "matmul"


def _transform(x: Tensor, lengths: Tensor, orthonormal: bool, part: str) -> Tensor:
    width = x.shape[-1]
    half = width // 2 + 1
    # A compiler traces the making of the table and warns of caches.
    table_for = _hidden_table if torch.compiler.is_compiling() else _kept_hidden_table
    hidden = x @ table_for(width, orthonormal, x.dtype, x.device)  # (batch, length, width)
    if sequence_route(1, x.device.type) == "batched":
        even, odd = _along_batched(hidden, lengths, half, orthonormal, part)
    else:
        even, odd = _along_groups(hidden, lengths, half, orthonormal, part)
    return _join_halves(even, odd, width)


def _join_halves(even: Tensor, odd: Tensor, width: int) -> Tensor:
    """Column l is even[l] - odd[l]; column width - l, its mirror image, is even[l] + odd[l]."""
    half, inner = even.shape[-1], odd.shape[-1]
    out = even.new_empty(*even.shape[:-1], width)
    out[..., :half] = even
    out[..., half:] = even[..., 1 : 1 + inner].flip(-1)
    out[..., 1 : 1 + inner] -= odd
    out[..., half:] += odd.flip(-1)
    return out


def _along_groups(
    hidden: Tensor, lengths: Tensor, half: int, orthonormal: bool, part: str
) -> tuple[Tensor, Tensor]:
    """Sum along the sequence, one group of equally long rows at a time."""
    even = hidden.new_zeros(*hidden.shape[:2], half)
    odd = hidden.new_zeros(*hidden.shape[:2], hidden.shape[-1] - half)
    distinct = lengths.unique().tolist()
    for n in distinct:
        if n == 0:
            continue
        rows = slice(None) if len(distinct) == 1 else (lengths == n).nonzero().squeeze(1)
        group = hidden[rows, :n]
        transform = _fft_sums if sequence_route(n, hidden.device.type) == "fft" else _matmul_sums
        even[rows, :n], odd[rows, :n] = transform(group, half, orthonormal, part)
    return even, odd


def _matmul_sums(group: Tensor, half: int, orthonormal: bool, part: str) -> tuple[Tensor, Tensor]:
    tables = _sequence_tables(group.shape[1], orthonormal, part, group.dtype, group.device)
    return tables[0] @ group[..., :half], tables[1] @ group[..., half:]


def _fft_sums(group: Tensor, half: int, orthonormal: bool, part: str) -> tuple[Tensor, Tensor]:
    """Half of the rows from a real FFT; row n - k mirrors row k (cosine even, sine odd)."""
    n, dtype = group.shape[1], group.dtype
    single = group.float() if dtype.itemsize == 2 else group  # there is no bfloat16 FFT
    spectrum = torch.fft.rfft(single, dim=1, norm="ortho" if orthonormal else "backward")
    cosine, sine = _both_halves(spectrum.real, n, 1), _both_halves(-spectrum.imag, n, -1)
    if part == "real":
        even, odd = cosine[..., :half], sine[..., half:]
    else:
        even, odd = (cosine + sine)[..., :half], (sine - cosine)[..., half:]
    return even.to(dtype), odd.to(dtype)


def _both_halves(rows: Tensor, n: int, sign: int) -> Tensor:
    """Append rows n // 2 + 1 ... n - 1: row n - k is row k times `sign`."""
    return torch.cat([rows, sign * rows[:, 1 : (n - 1) // 2 + 1].flip(1)], dim=1)


def _along_batched(
    hidden: Tensor, lengths: Tensor, half: int, orthonormal: bool, part: str
) -> tuple[Tensor, Tensor]:
    """Do the same with one (length, length) table for each row, zero outside the row."""
    position = torch.arange(hidden.shape[1], device=hidden.device)
    lengths = lengths.to(hidden.device)
    inside = position < lengths[:, None]  # (batch, length)
    n = lengths.clamp(min=1)[:, None, None]
    product = position[:, None] * position
    angle = (product % n).to(torch.float32) / n * (2 * math.pi)
    valid = (inside[:, :, None] & inside[:, None, :]).to(torch.float32)
    if orthonormal:
        valid = valid / n.sqrt()
    kept = hidden.masked_fill(~inside[..., None], 0)
    even, odd = ((t * valid).to(kept.dtype) for t in _of_part(part, angle.cos(), angle.sin()))
    return even @ kept[..., :half], odd @ kept[..., half:]


def _of_part(part: str, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """Tables for the columns that went through cosines along the other axis, and through sines.

    The Hartley transform is C x C - S x S + S x C + C x S: it groups as
    (C + S) (x C) - (S - C) (x S), so it costs no more than the real part.
    """
    return (cosine, sine) if part == "real" else (cosine + sine, sine - cosine)


def _hidden_table(
    width: int, orthonormal: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Cosines of the columns 0 ... d // 2, then sines of the columns 1 ... (d - 1) // 2."""
    cosine, sine = _tables(width, orthonormal)
    half = width // 2 + 1
    return torch.cat([cosine[:, :half], sine[:, 1 : width - half + 1]], dim=1).to(device, dtype)


_kept_hidden_table = lru_cache(maxsize=64)(_hidden_table)


@lru_cache(maxsize=2 * _FFT_FROM_LENGTH)
def _sequence_tables(
    length: int, orthonormal: bool, part: str, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    even, odd = _of_part(part, *_tables(length, orthonormal))
    return even.to(device, dtype), odd.to(device, dtype)


def _tables(n: int, orthonormal: bool) -> tuple[Tensor, Tensor]:
    """C_n and S_n in float64, from j * k mod n: float32 angles are off by 1e-3 at n = 4,096."""
    index = torch.arange(n)
    angle = (index[:, None] * index % n).to(torch.float64) * (2 * math.pi / n)
    scale = n**-0.5 if orthonormal else 1.0
    return angle.cos() * scale, angle.sin() * scale
