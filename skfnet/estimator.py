"""What the text estimators share: documents to tokens, to the encoder's shape, to vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import tokenizers
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import check_is_fitted

from .batches import TokenArray
from .callbacks import check_callbacks
from .devices import device_at_load, use_bfloat16
from .documents import Documents, check_input, fitted_tokenizer, to_tokens
from .nn import MIXERS, Encoder, EncoderConfig
from .nn.heads import POOLINGS
from .persistence import pack_model, unpack_model
from .prediction import run_windows
from .tokenizer import TextTokenizer
from .training import LARGEST_BATCH, batch_size_for
from .windows import Windows

_LEFT_BEHIND = ("_stream", "device_")  # when an estimator is stored
_BUCKETS_A_WORD, _FEWEST_BUCKETS, _MOST_BUCKETS = 32, 2**15, 2**18


class TextEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A tokenizer and an encoder, and what they give for documents: vectors.

    An estimator adds how it learns, and its `_model`, whose `embed` gives the vectors and whose
    `members` have an `encoder` each.
    """

    _auto_mixer = "fourier_frames"  # what mixer="auto" is, but in the paper's architecture

    _parameter_constraints: dict[str, list] = {
        "tokenizer": [
            *(TextTokenizer, FrozenEstimator, tokenizers.Tokenizer, None),
            StrOptions({"precomputed"}),
        ],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "long_documents": [StrOptions({"truncate", "mean"})],
        "depth": [Interval(Integral, 0, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "feedforward_width": [Interval(Integral, 1, None, closed="left"), None],
        "architecture": [StrOptions({"default", "paper"})],
        # A live view: mixers may be added later.
        "mixer": [StrOptions(MIXERS.keys()), StrOptions({"auto"}), callable],
        "attention_layers": [Interval(Integral, 0, None, closed="left")],
        "attention_layout": [StrOptions({"top", "bottom", "middle", "mixed"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
        "padding": [StrOptions({"auto", "exact", "max_length"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "callbacks": [list, tuple, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        tokenizer: TextTokenizer | FrozenEstimator | tokenizers.Tokenizer | str | None,
        max_length: int,
        long_documents: str,
        depth: int,
        width: int,
        feedforward_width: int | None,
        architecture: str,
        mixer: str | Callable[[EncoderConfig], Any],
        attention_layers: int,
        attention_layout: str,
        dropout: float,
        pooling: str,
        padding: str,
        batch_size: int | str,
        learning_rate: float | str,
        weight_decay: float,
        random_state: int | np.random.RandomState | None,
        device: str,
        precision: str,
        callbacks: list | None,
        verbose: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.long_documents = long_documents
        self.depth = depth
        self.width = width
        self.feedforward_width = feedforward_width
        self.architecture = architecture
        self.mixer = mixer
        self.attention_layers = attention_layers
        self.attention_layout = attention_layout
        self.dropout = dropout
        self.pooling = pooling
        self.padding = padding
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.verbose = verbose

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Train, then give the pooled hidden states of the same documents.

        Parameters
        ----------
        X, y
            As in `fit`.
        **fit_params
            What else `fit` takes.

        Returns
        -------
        ndarray of float32, shape (n_documents, n_encoders * width)
        """
        # The mixin reads X twice, which a generator does not survive.
        return super().fit_transform(list(X) if isinstance(X, Iterator) else X, y, **fit_params)

    def transform(self, X: Any) -> np.ndarray:
        """Give the pooled hidden states of all encoders: document vectors for other estimators.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float32, shape (n_documents, n_encoders * width)
        """
        check_is_fitted(self)
        return self._run(self._model.embed, X)

    @property
    def encoder_(self) -> Encoder:
        """The first trained encoder, a torch module."""
        return self.encoders_[0]

    @property
    def encoders_(self) -> list[Encoder]:
        """The trained encoders, torch modules."""
        check_is_fitted(self)
        return [member.encoder for member in self._model.members]

    @property
    def _n_features_out(self) -> int:
        return sum(encoder.config.width for encoder in self.encoders_)

    def _check_parameters(self) -> None:
        self._validate_params()
        check_callbacks(self)

    def _check_attention_layers(self) -> None:
        if self.attention_layers > self.depth:
            raise InvalidParameterError(
                f"The 'attention_layers' parameter of {type(self).__name__} must be an int in the "
                f"range [0, depth={self.depth}]. Got {self.attention_layers} instead."
            )

    def _documents(self, X: Any, fitted: bool = True) -> Documents:
        """Check documents; once fitted, also that their ids are known."""
        return check_input(X, self.tokenizer, self.encoder_.config.vocab_size if fitted else None)

    def _fitted_tokenizer(self, documents: Documents) -> TextTokenizer | None:
        """Give the tokenizer that the parameters ask for."""
        pieces = self.architecture == "paper" and self.tokenizer is None
        parameter = TextTokenizer(model="bpe") if pieces else self.tokenizer
        return fitted_tokenizer(parameter, documents)

    @property
    def _mixer(self) -> str | Callable[[EncoderConfig], Any]:
        if self.mixer != "auto":
            return self.mixer
        return "fourier" if self.architecture == "paper" else self._auto_mixer

    def _config(self, vocab_size: int, subword_buckets: int) -> EncoderConfig:
        """Give the shape of the encoders that the parameters ask for."""
        paper = self.architecture == "paper"
        if paper and subword_buckets:
            raise InvalidParameterError(
                f"The 'tokenizer' parameter of {type(self).__name__} spells words by their "
                "n-grams, which architecture='paper' cannot read. Use tokenizer=None or "
                "TextTokenizer(model='bpe')."
            )
        make = EncoderConfig.base if paper else EncoderConfig
        pairs = {} if paper else {"bigram_buckets": _bigram_buckets(vocab_size)}
        return make(
            vocab_size=vocab_size,
            width=self.width,
            depth=self.depth,
            feedforward_width=self.feedforward_width,
            max_length=self.max_length,
            mixer=self._mixer,
            attention_layers=self.attention_layers,
            attention_layout=self.attention_layout,
            subword_buckets=subword_buckets,
            **pairs,
            **self._chosen(),
        )

    def _chosen(self) -> dict[str, Any]:
        """Give what the parameters decide of any encoder, also of a pretrained one.

        Without dropout nothing is left out in training.
        """
        padding = {} if self.padding == "auto" else {"padding": self.padding}
        return padding | {
            "dropout": self.dropout,
            "bigram_dropout": EncoderConfig.bigram_dropout if self.dropout else 0.0,
            "subword_dropout": EncoderConfig.subword_dropout if self.dropout else 0.0,
        }

    def _batch_size(self, n_documents: int) -> int:
        return batch_size_for(n_documents) if self.batch_size == "auto" else self.batch_size

    def _tokens(self, documents: Documents) -> TokenArray:
        config = self.encoder_.config
        return to_tokens(documents, self.tokenizer_, config, self.long_documents)

    def _windows(self, tokens: TokenArray) -> Windows:
        config = self.encoder_.config
        return Windows(
            tokens,
            config.max_length,
            self.long_documents,
            padding=config.padding,
            shared_types=config.shared_types,
        )

    def _run(self, function: Any, X: Any) -> np.ndarray:
        windows = self._windows(self._tokens(self._documents(X)))
        return run_windows(function, windows, **self._batches_there())

    def _batches_there(self) -> dict[str, Any]:
        """Say how batches are run through a trained model."""
        return {
            "batch_size": LARGEST_BATCH if self.batch_size == "auto" else self.batch_size,
            "device": self.device_,
            "bfloat16": use_bfloat16(self.precision, self.device_),
        }

    # What scikit-learn and pickle ask for.

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []  # float32, whatever comes in
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Leave plain data: what training alone needs stays behind, and so does the device."""
        state = {k: v for k, v in super().__getstate__().items() if k not in _LEFT_BEHIND}
        if "_model" in state:
            state["_model"] = pack_model(state["_model"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up the weights on the device that `device` means on this machine."""
        super().__setstate__(state)
        if "_model" in state:
            self.device_ = device_at_load(self.device)
            self._model = unpack_model(state["_model"]).to(self.device_)


def _bigram_buckets(vocab_size: int) -> int:
    """Give the rows for pairs of tokens: those that share one mean the same."""
    enough = 1 << (_BUCKETS_A_WORD * vocab_size - 1).bit_length()  # a power of two
    return min(max(enough, _FEWEST_BUCKETS), _MOST_BUCKETS)
