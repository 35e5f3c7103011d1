"""Fourier-mixing encoders in plain PyTorch, usable without the estimators."""

from .attention import AttentionMixer
from .config import EncoderConfig
from .encoder import Encoder
from .frames import FourierFramesMixer
from .heads import DocumentClassifier, Ensemble
from .mixing import (
    MIXERS,
    ComplexFourierMixer,
    FourierMixer,
    FractionalMixer,
    HartleyMixer,
    LinearMixer,
    RandomMixer,
)
from .pretraining import PretrainingModel
from .spectral import SpectralMixer

__all__ = [
    "MIXERS",
    "AttentionMixer",
    "ComplexFourierMixer",
    "DocumentClassifier",
    "Encoder",
    "EncoderConfig",
    "Ensemble",
    "FourierFramesMixer",
    "FourierMixer",
    "FractionalMixer",
    "HartleyMixer",
    "LinearMixer",
    "PretrainingModel",
    "RandomMixer",
    "SpectralMixer",
]
