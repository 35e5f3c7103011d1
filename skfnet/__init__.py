"""Text classification with Fourier-mixing encoders, the scikit-learn way."""

from .classifier import FNetClassifier
from .tokenizer import TextTokenizer

__version__ = "0.1.0"
__all__ = ["FNetClassifier", "TextTokenizer", "__version__"]
