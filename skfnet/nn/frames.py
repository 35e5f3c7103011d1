"""Mixing of frequencies in frames of a document: Fourier mixing that is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .ragged import without_padding

__all__ = ["FourierFramesMixer"]

_FRAME = 32  # tokens
_INITIAL_SD = 0.02


class FourierFramesMixer(nn.Module):
    """Fourier transform of frames of 32 tokens, a learned matrix on it, the inverse transform.

    A row is cut into frames, the last filled up with zeros. In each of them, and in each hidden
    unit alone, every frequency becomes a weighted sum of all the frame's frequencies, with one
    matrix for all frames. A filter would multiply each frequency by a factor of its own and treat
    all places alike; with the weights between different frequencies the mixing knows where in its
    frame a token stands, and so can tell the second word of a question from any other. The
    transform is the Hartley transform, the Fourier transform of real values in real numbers.

    The weights start near zero: no mixing, until the texts ask for it. Those of high frequencies
    are scaled down, so that what changes slowly from place to place is learned first: the weight
    between the frequencies k and l, in periods a frame, counts ``2 / sqrt((1 + k/4) (1 + l/4))``.
    Each frame has a learned gain besides, 1 at the start for the first and 0 for the others: how a
    text begins is mixed first, the rest where that turns out to help.

    Parameters
    ----------
    config : EncoderConfig
        Read for `max_length`, which decides how many frames have a gain.

    References
    ----------
    Allen and Rabiner, "A unified approach to short-time Fourier analysis and synthesis",
    Proceedings of the IEEE 65(11), 1977, for transforms of frames. The matrix between frequencies
    in place of a filter is ours.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import EncoderConfig, FourierFramesMixer
    >>> mixer = FourierFramesMixer(EncoderConfig(vocab_size=1))
    >>> mixer(torch.ones(2, 100, 8), torch.tensor([100, 40])).shape
    torch.Size([2, 100, 8])
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.empty(_FRAME, _FRAME))
        self.gain = nn.Parameter(torch.empty(-(-config.max_length // _FRAME)))  # of each frame
        transform, scale = _hartley_and_scale()
        self.register_buffer("transform", transform, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Start with next to no mixing, and with that in the first frame alone."""
        nn.init.normal_(self.matrix, std=_INITIAL_SD)
        nn.init.zeros_(self.gain)
        nn.init.ones_(self.gain[:1])

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mix x (batch, length, width), each row by itself."""
        n = x.shape[1]
        if n > _FRAME * len(self.gain):
            raise ValueError(
                f"Rows of {n} tokens, but the mixer was built for at most {len(self.gain)} frames "
                f"of {_FRAME} tokens, by max_length."
            )
        x = without_padding(x, lengths)
        between_places = self.transform @ (self.matrix * self.scale) @ self.transform
        # In a graph for any length the number of frames is not known.
        mix = self._at_once if torch.compiler.is_compiling() else self._frame_by_frame
        return without_padding(mix(x, between_places), lengths)

    def _frame_by_frame(self, x: Tensor, between_places: Tensor) -> Tensor:
        n = x.shape[1]
        frames = F.pad(x, (0, 0, 0, -n % _FRAME)).unflatten(1, (-1, _FRAME))
        frames = frames * self.gain[: frames.shape[1], None, None]
        # A product a frame takes half the time of one large product.
        mixed = between_places.expand(*frames.shape[:2], -1, -1) @ frames
        return mixed.flatten(1, 2)[:, :n]

    def _at_once(self, x: Tensor, between_places: Tensor) -> Tensor:
        """Mix by one matrix (length, length), zero between places of different frames."""
        place = torch.arange(x.shape[1], device=x.device)
        frame, within = place // _FRAME, place % _FRAME
        matrix = between_places[within[:, None], within] * self.gain[frame]
        return matrix.masked_fill(frame[:, None] != frame, 0) @ x


def _hartley_and_scale() -> tuple[Tensor, Tensor]:
    """Give the orthonormal Hartley matrix of a frame, and how much the weights on it count."""
    k = torch.arange(_FRAME)
    angle = 2 * torch.pi / _FRAME * (k[:, None] * k).double()
    transform = (angle.cos() + angle.sin()) / _FRAME**0.5
    periods = torch.minimum(k, _FRAME - k).double()
    decay = (1 + periods / 4).rsqrt()
    kind = torch.get_default_dtype()
    return transform.to(kind), (2 * decay[:, None] * decay).to(kind)
