"""Token mixers: how the rows of a hidden state learn of each other.

A mixer is a module called as ``mixer(x, lengths)``: x of shape (batch, length, width), out the
same, each row transformed at its own length. To add one, write the class and give it a line in
:data:`MIXERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .config import EncoderConfig
from .dft import real_dft2

__all__ = ["MIXERS", "FourierMixer", "make_mixer"]


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

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.orthonormal = config.transform_scale == "orthonormal"

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width) at each row's own length."""
        return real_dft2(x, lengths, orthonormal=self.orthonormal)


MIXERS: dict[str, Callable[[EncoderConfig], nn.Module]] = {
    "fourier": FourierMixer,
}


def make_mixer(config: EncoderConfig) -> nn.Module:
    """Build the mixer that `config` names.

    Raises
    ------
    ValueError
        If there is no mixer of that name.
    """
    if config.mixer not in MIXERS:
        raise ValueError(f"Unknown mixer {config.mixer!r}; known are {sorted(MIXERS)}.")
    return MIXERS[config.mixer](config)
