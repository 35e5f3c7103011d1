"""The real part of the 2-D discrete Fourier transform, and the Hartley transform, of ragged rows.

For a real matrix x of n rows (tokens) and d columns (hidden units), with
C_n[j, k] = cos(2 pi j k / n) and S_n likewise,

    Re(F_n x F_d)                = C_n x C_d - S_n x S_d
    Re(F_n x F_d) - Im(F_n x F_d) = (C_n + S_n) x C_d - (S_n - C_n) x S_d

Both maps are real, linear and *symmetric*, so the gradient is the map itself: the backward pass
is one more forward pass and keeps nothing of x in memory. The FFT needs half of the columns only,
since Y[k, d - l] is the complex conjugate of Y[n - k, l].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from .ragged import groups_of_equal_length, once_a_batch, without_padding

__all__ = ["add_scaled_dft2", "choose_route", "real_dft2"]

_VALUES_AT_ONCE = 2**21
# Asked once, here: the compiler of torch 2.11 cannot trace the question.
_DEVICES_WITH_AUTOCAST = frozenset(
    filter(torch.amp.is_autocast_available, ("cpu", "cuda", "mps", "xpu"))
)


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
        return _transform(x, *ctx.choices)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _RealDFT2.apply(gradient, *ctx.choices), None, None, None


def _transform(x: Tensor, lengths: Tensor, orthonormal: bool, part: str) -> Tensor:
    route = choose_route(x.shape[1], x.shape[2], x.device.type, _product_dtype(x))
    return {"fft": _by_fft, "matmul": _by_matmul}[route](x, lengths, orthonormal, part)


def _product_dtype(x: Tensor) -> torch.dtype:
    """Give what autocast makes of x in a matrix product."""
    kind = x.device.type
    if x.dtype == torch.float64 or kind not in _DEVICES_WITH_AUTOCAST:
        return x.dtype
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def add_scaled_dft2(
    x: Tensor, lengths: Tensor, scale: Tensor, *, orthonormal: bool = True, part: str = "real"
) -> Tensor:
    """Give ``x + scale * real_dft2(x, lengths)`` with few passes over memory, and its gradients.

    Parameters
    ----------
    x, lengths, orthonormal, part
        As in :func:`real_dft2`; what stands in x beyond a row's length must be finite.
    scale : Tensor of shape ()
        Its gradient is ``(gradient of the sum) . real_dft2(x)``, which, the transform being
        symmetric, is ``real_dft2(gradient) . x``: one transform gives both gradients.

    Returns
    -------
    Tensor of shape (batch, length, width)
        x itself beyond each row's length.
    """
    if torch.compiler.is_compiling():  # it joins the steps by itself, and may not know ours
        return torch.addcmul(x, real_dft2(x, lengths, orthonormal=orthonormal, part=part), scale)
    return _AddScaledDFT2.apply(x, scale, lengths, orthonormal, part)


class _AddScaledDFT2(torch.autograd.Function):
    """Writes each sum over the transform; twice differentiable."""

    @staticmethod
    def forward(
        ctx, x: Tensor, scale: Tensor, lengths: Tensor, orthonormal: bool, part: str
    ) -> Tensor:
        ctx.choices = lengths, orthonormal, part
        ctx.save_for_backward(x, scale)
        mixed = _transform(x, *ctx.choices)
        ctx.dtype = mixed.dtype
        if mixed.dtype != x.dtype:  # autocast: the sum stays in the precision of x
            return torch.addcmul(x, mixed, scale)
        return mixed.mul_(scale).add_(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, scale = ctx.saved_tensors
        mixed = _RealDFT2.apply(gradient.to(ctx.dtype), *ctx.choices)
        of_scale = torch.dot(mixed.flatten(), x.flatten().to(mixed.dtype)).to(scale.dtype)
        # Asked for a second derivative, or transformed in 16 bits.
        if torch.is_grad_enabled() or mixed.dtype != gradient.dtype:
            return torch.addcmul(gradient, mixed, scale), of_scale, None, None, None
        return mixed.mul_(scale).add_(gradient), of_scale, None, None, None


def choose_route(length: int, width: int, device_type: str, dtype: torch.dtype) -> str:
    """Say how a batch is transformed: ``"fft"`` or ``"matmul"``.

    "fft" takes rows of equal length together and puts them through torch's real FFT. "matmul" is
    a product with cosine and sine tables, one pair for each row, and knows no complex number: it
    compiles into one graph, exports to ONNX and runs in bfloat16. Its tables, (batch, 2 * length,
    length), are made once for a batch: 1 GB for 64 rows of 2,048 tokens in 16 bits, by arithmetic,
    and a few times that while they are made.

    Parameters
    ----------
    length, width : int
        Longest row and number of hidden units.
    device_type : str
        "cpu", "cuda" or "mps".
    dtype : torch.dtype
        In which the products would run. There is no FFT of 16 bits; "fft" goes through float32.

    Returns
    -------
    str
        "matmul" wherever a graph is being compiled or exported. Otherwise what
        benchmarks/routes.py shows to be faster on ragged rows: on a CPU "fft" at every length and
        width; on a GPU, where it is many small steps, "matmul" up to 2,048 tokens in 16 bits, and
        in others up to 1,024 (512 where `width` is above 256). The longest row decides for its
        batch; in mixed precision, and only then, a row of the FFT is rounded less.
    """
    if torch.compiler.is_compiling():  # exporting is compiling too
        return "matmul"
    if device_type == "cpu":
        return "fft"
    longest = 2048 if dtype.itemsize == 2 else 1024 if width <= 256 else 512
    return "matmul" if length <= longest else "fft"


def _by_fft(x: Tensor, lengths: Tensor, orthonormal: bool, part: str) -> Tensor:
    half = x.shape[2] // 2 + 1
    mirrored = slice(1, 1 + x.shape[2] - half)  # columns that come a second time, as conjugates
    single = x.float() if x.dtype.itemsize == 2 else x
    out = torch.zeros_like(x)
    on_cpu = x.device.type == "cpu"
    groups = _few_at_once(lengths, x.shape[2]) if on_cpu else groups_of_equal_length(lengths)
    for n, rows in groups:
        group = single[rows, :n]
        spectrum = torch.fft.rfft2(group, norm="ortho" if orthonormal else "backward")
        first = second = spectrum.real
        if part == "hartley":
            first, second = first - spectrum.imag, first + spectrum.imag
        # A slice of rows is a view into `out`; rows listed one by one need a place of their own.
        into = out[rows, :n] if isinstance(rows, slice) else torch.empty_like(group)
        into[..., :half] = first
        into[:, 0, half:] = second[:, 0, mirrored].flip(1)
        into[:, 1:, half:] = second[:, 1:, mirrored].flip(1, 2)  # row n - k in row k
        if not isinstance(rows, slice):
            out[rows, :n] = into.to(x.dtype)
    return out


def _few_at_once(lengths: Tensor, width: int) -> Iterator[tuple[int, slice | list[int]]]:
    """Give each length that occurs with some of its rows, so many that their spectrum stays small.

    On a CPU large temporary tensors are handed back to the system and cost page faults when they
    come again.
    """
    for n, rows in groups_of_equal_length(lengths):
        size = max(1, _VALUES_AT_ONCE // (n * width))
        numbers = range(rows.start, rows.stop) if isinstance(rows, slice) else rows
        for first in range(0, len(numbers), size):
            some = numbers[first : first + size]
            yield n, slice(some[0], some[-1] + 1) if isinstance(rows, slice) else some


def _by_matmul(x: Tensor, lengths: Tensor, orthonormal: bool, part: str) -> Tensor:
    dtype = _product_dtype(x)
    choices = orthonormal, dtype, x.device
    # A compiler traces the making of the table and warns of caches.
    table_for = _hidden_table if torch.compiler.is_compiling() else _kept_hidden_table
    of_sequence = _sequence_table(lengths, x.shape[1], part, *choices)
    both = of_sequence @ without_padding(x, lengths).to(dtype)  # (batch, 2 * length, width)
    return both.unflatten(1, (-1, 2)).flatten(2) @ table_for(x.shape[2], *choices)


@once_a_batch
def _sequence_table(
    lengths: Tensor,
    length: int,
    part: str,
    orthonormal: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Give the left factors of x C_d and x S_d, their rows in turn, zero beyond each row.

    Shape (batch, 2 * length, length).
    """
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    position = torch.arange(length, device=device, dtype=torch.int32)
    lengths = lengths.to(device, torch.int32)
    inside = (position < lengths[:, None]).to(exact)  # (batch, length)
    n = lengths.clamp(min=1)[:, None, None]
    angle = (position[:, None] * position % n).to(exact) / n * (2 * math.pi)
    left = inside / n[:, 0].to(exact).sqrt() if orthonormal else inside
    cosine, sine = (
        f(angle) * left[:, :, None] * inside[:, None, :] for f in (torch.cos, torch.sin)
    )
    pair = (cosine, sine) if part == "real" else (cosine + sine, sine - cosine)
    return torch.stack(pair, dim=2).flatten(1, 2).to(dtype)


def _hidden_table(
    width: int, orthonormal: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Give the right factor: cosines above negative sines, (2 * width, width).

    Half of the columns would do; putting the mirrored half together takes more steps on a GPU than
    it spares. In float64 from j * k mod d: float32 angles are off by 1e-3 at d = 4,096.
    """
    index = torch.arange(width)
    angle = (index[:, None] * index % width).to(torch.float64) * (2 * math.pi / width)
    table = torch.cat([angle.cos(), -angle.sin()])
    return (table * (width**-0.5 if orthonormal else 1)).to(device, dtype)


_kept_hidden_table = lru_cache(maxsize=64)(_hidden_table)
