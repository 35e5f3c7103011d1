"""Token mixers: how the rows of a hidden state learn of each other.

A mixer is a module called as ``mixer(x, lengths)``: x of shape (batch, length, width), out the
same, each row mixed by itself, whatever stands beyond its length, and zero there. To add one,
write the class and give it a line in :data:`MIXERS`; or give the class itself as
``EncoderConfig(mixer=...)``.

A mixer that is not homogeneous in x, and so needs values of a known size, says so by a class
attribute ``needs_norm = True``: a pre-norm block then has a LayerNorm before it. One with weights
that must not start as N(0, 0.02) sets them in a method ``initialise()``. One that can do
``x + scale * mixer(x, lengths)`` at once may offer it as a method ``add_scaled``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .attention import AttentionMixer
from .config import EncoderConfig
from .dft import add_scaled_dft2, real_dft2
from .frames import FourierFramesMixer
from .ragged import at_own_length, without_padding
from .spectral import SpectralMixer
from .transforms import dct, fractional_dft, haar, hadamard

__all__ = [
    "MIXERS",
    "ComplexFourierMixer",
    "FixedMixer",
    "FourierMixer",
    "FractionalMixer",
    "HartleyMixer",
    "LinearMixer",
    "RandomMixer",
    "make_mixer",
]


class FourierMixer(nn.Module):
    """``Re(F_sequence(F_hidden(x)))``, the mixing of FNet; it has no parameters.

    Parameters
    ----------
    config : EncoderConfig
        Read for `transform_scale`: "orthonormal" divides by ``sqrt(length * width)``.

    References
    ----------
    Lee-Thorp et al., arXiv 2105.03824, equation 3.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import EncoderConfig, FourierMixer
    >>> mixer = FourierMixer(EncoderConfig(vocab_size=1))
    >>> mixer(torch.ones(1, 4, 8), torch.tensor([4]))[0, 0, 0].item()  # 32 / sqrt(32)
    5.656...
    """

    part = "real"

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.orthonormal = config.transform_scale == "orthonormal"

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width) at each row's own length."""
        return real_dft2(x, lengths, orthonormal=self.orthonormal, part=self.part)

    def add_scaled(self, x: Tensor, lengths: Tensor, scale: Tensor) -> Tensor:
        """Give ``x + scale * self(x, lengths)``, faster than in steps."""
        return add_scaled_dft2(x, lengths, scale, orthonormal=self.orthonormal, part=self.part)


class HartleyMixer(FourierMixer):
    """``Re - Im`` of the 2-D Fourier transform: full rank, its own inverse when orthonormal.

    Parameters
    ----------
    config : EncoderConfig
        Read for `transform_scale`.

    References
    ----------
    Lee-Thorp et al., arXiv 2105.03824, appendix on other transforms.
    """

    part = "hartley"


class FixedMixer(nn.Module):
    """A function of unpadded rows, without parameters.

    Parameters
    ----------
    transform : callable
        Maps (rows, n, width) to the same shape, as a row alone would be mapped.
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width) at each row's own length."""
        return at_own_length(self.transform, x, lengths)


class ComplexFourierMixer(nn.Module):
    """Real and imaginary part of the 2-D Fourier transform, joined by a learned projection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = _fft_norm(config)
        self.projection = nn.Linear(2 * config.width, config.width, bias=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width) at each row's own length."""
        return at_own_length(self._transform, x, lengths)

    def _transform(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(x, dim=(1, 2), norm=self.norm)
        parts = torch.cat([spectrum.real, spectrum.imag], dim=-1)
        return self.projection(parts.to(self.projection.weight.dtype)).to(x.dtype)


class FractionalMixer(nn.Module):
    """Real part of the 2-D fractional Fourier transform with a learned order for each axis.

    Order 1 on both axes is the orthonormal Fourier mixer, where it starts; order 0 the identity.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.orders = nn.Parameter(torch.ones(2))  # along the sequence, along the hidden units

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width) at each row's own length."""
        return at_own_length(self._transform, x, lengths)

    def _transform(self, x: Tensor) -> Tensor:
        sequence, hidden = self.orders.to(x.dtype).unbind()
        return fractional_dft(fractional_dft(x, hidden, dim=2), sequence, dim=1).real


class LinearMixer(nn.Module):
    """Two learned matrices, one along the sequence and one along the hidden units.

    A row of n tokens uses the leading n x n block of the sequence matrix.

    Parameters
    ----------
    config : EncoderConfig
        Read for `max_length` and `width`, the sizes of the matrices.

    References
    ----------
    Lee-Thorp et al., arXiv 2105.03824, section 4, "Linear".
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        for name, size in (("sequence", config.max_length), ("hidden", config.width)):
            self._hold(name, torch.empty(size, size))
        self.initialise()

    def _hold(self, name: str, matrix: Tensor) -> None:
        setattr(self, name, nn.Parameter(matrix))

    def initialise(self) -> None:
        """Draw N(0, 0.02), as in the reference implementation."""
        for matrix in (self.sequence, self.hidden):
            nn.init.normal_(matrix, std=0.02)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width); what stands beyond a row's length is never read."""
        n = x.shape[1]
        if n > len(self.sequence):
            raise ValueError(
                f"Rows of {n} tokens, but the mixer's matrix was built with "
                f"max_length={len(self.sequence)}."
            )
        mixed = self.sequence[:n, :n] @ (without_padding(x, lengths) @ self.hidden)
        return without_padding(mixed, lengths)


class RandomMixer(LinearMixer):
    """Two random matrices that stay as they are drawn, one along each axis.

    A row of n tokens uses the leading n x n block of the sequence matrix, rescaled by
    ``sqrt(max_length / n)``, so that its size does not depend on n.

    References
    ----------
    Lee-Thorp et al., arXiv 2105.03824, section 4, "Random".
    """

    def _hold(self, name: str, matrix: Tensor) -> None:
        self.register_buffer(name, matrix)

    def initialise(self) -> None:
        """Draw LeCun normal: N(0, 1 / size)."""
        for matrix in (self.sequence, self.hidden):
            nn.init.normal_(matrix, std=len(matrix) ** -0.5)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width); what stands beyond a row's length is never read."""
        scale = (len(self.sequence) / lengths.clamp(min=1).to(x)).sqrt()
        return super().forward(x, lengths) * scale[:, None, None]


def _fft_norm(config: EncoderConfig) -> str:
    return "ortho" if config.transform_scale == "orthonormal" else "backward"


def _fixed(transform: Callable[[Tensor], Tensor]) -> Callable[[EncoderConfig], nn.Module]:
    return lambda config: FixedMixer(transform)


def _fixed_fourier(transform: Callable[..., Tensor]) -> Callable[[EncoderConfig], nn.Module]:
    return lambda config: FixedMixer(partial(transform, norm=_fft_norm(config)))


def _dct(x: Tensor) -> Tensor:
    return dct(dct(x, dim=2), dim=1)


def _hadamard(x: Tensor) -> Tensor:
    return hadamard(hadamard(x, dim=2), dim=1)


def _haar(x: Tensor) -> Tensor:
    return haar(x, dim=1)


def _along_sequence(x: Tensor, norm: str) -> Tensor:
    return torch.fft.fft(x, dim=1, norm=norm).real


def _along_hidden(x: Tensor, norm: str) -> Tensor:
    return torch.fft.fft(x, dim=2, norm=norm).real


def _modulus(x: Tensor, norm: str) -> Tensor:
    return torch.fft.fft2(x, dim=(1, 2), norm=norm).abs()


# None: the block has no mixing at all, the FF-only of the paper.
MIXERS: dict[str, Callable[[EncoderConfig], nn.Module | None]] = {
    "fourier": FourierMixer,
    "hartley": HartleyMixer,
    "dct": _fixed(_dct),
    "hadamard": _fixed(_hadamard),
    "wavelet": _fixed(_haar),
    "fourier_sequence": _fixed_fourier(_along_sequence),
    "fourier_hidden": _fixed_fourier(_along_hidden),
    "fourier_abs": _fixed_fourier(_modulus),
    "fourier_complex": ComplexFourierMixer,
    "fourier_frames": FourierFramesMixer,
    "fractional": FractionalMixer,
    "linear": LinearMixer,
    "random": RandomMixer,
    "none": lambda config: None,
    "attention": AttentionMixer,
    "spectral": SpectralMixer,
}


def make_mixer(
    mixer: str | Callable[[EncoderConfig], nn.Module], config: EncoderConfig
) -> nn.Module | None:
    """Build the mixer of one block.

    Parameters
    ----------
    mixer : str or callable
        A key of :data:`MIXERS`, or a class or function that makes a mixer from `config`.
    config : EncoderConfig
        Sizes and choices.

    Raises
    ------
    ValueError
        If there is no mixer of that name.
    TypeError
        If the callable is a module already, or does not give one.
    """
    if callable(mixer):
        made = None if isinstance(mixer, nn.Module) else mixer(config)
        if not isinstance(made, nn.Module):
            raise TypeError(
                "mixer must be a name, or a class or function that takes an EncoderConfig and "
                f"gives a torch module; got {mixer!r}."
            )
        return made
    if mixer not in MIXERS:
        raise ValueError(f"Unknown mixer {mixer!r}; known are {sorted(MIXERS)}.")
    return MIXERS[mixer](config)
