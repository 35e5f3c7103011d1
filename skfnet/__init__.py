"""Text classification and regression with Fourier-mixing encoders, the scikit-learn way."""

from .classifier import FNetClassifier
from .pretrainer import FNetPretrainer
from .regressor import FNetRegressor
from .tokenizer import TextTokenizer

__version__ = "0.1.0"
__all__ = ["FNetClassifier", "FNetPretrainer", "FNetRegressor", "TextTokenizer", "__version__"]
