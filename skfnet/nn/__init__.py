"""Fourier-mixing encoders in plain PyTorch, usable without the estimators."""

from .config import EncoderConfig
from .encoder import Encoder
from .heads import DocumentClassifier
from .mixing import MIXERS, FourierMixer

__all__ = ["MIXERS", "DocumentClassifier", "Encoder", "EncoderConfig", "FourierMixer"]
