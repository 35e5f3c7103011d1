"""Text classification and regression with Fourier-mixing encoders, the scikit-learn way."""

from .classifier import FNetClassifier
from .regressor import FNetRegressor
from .tokenizer import TextTokenizer

__version__ = "0.1.0"
__all__ = ["FNetClassifier", "FNetRegressor", "TextTokenizer", "__version__"]
