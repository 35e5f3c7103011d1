"""What the text estimators share: documents to tokens, to training, to fitted state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import tokenizers
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import check_is_fitted

from .batches import TokenArray, Windows
from .callbacks import check_callbacks
from .devices import (
    device_at_load,
    draw_seed,
    seeded,
    usable_device,
    use_bfloat16,
)
from .documents import (
    Documents,
    check_input,
    check_room,
    fitted_tokenizer,
    in_pairs,
    n_buckets,
    to_tokens,
    vocabulary_size,
)
from .nn import MIXERS, Encoder, EncoderConfig, Ensemble
from .nn.heads import POOLINGS
from .objectives import Objective
from .persistence import pack_model, unpack_model
from .prediction import run_windows
from .targets import check_weights
from .tokenizer import TextTokenizer
from .training import (
    LARGEST_BATCH,
    LabelledWindows,
    TextNet,
    batch_size_for,
    epochs_for,
    history_rows,
    make_net,
)

_LEFT_BEHIND = ("_stream", "device_")  # when an estimator is stored


class TextEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A tokenizer, an encoder and an output layer behind fit, partial_fit and transform.

    An estimator adds what its targets need: `_check_targets`, `_learn`, `_encode`,
    `_n_outputs` and `_objective`.
    """

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
        "mixer": [StrOptions(MIXERS.keys()), callable],  # a live view: mixers may be added later
        "attention_layers": [Interval(Integral, 0, None, closed="left")],
        "attention_layout": [StrOptions({"top", "bottom", "middle", "mixed"})],
        "n_encoders": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "callbacks": [list, tuple, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        tokenizer: TextTokenizer | FrozenEstimator | tokenizers.Tokenizer | str | None = None,
        max_length: int = 512,
        long_documents: str = "truncate",
        depth: int = 2,
        width: int = 64,
        feedforward_width: int | None = None,
        mixer: str | Callable[[EncoderConfig], Any] = "fourier",
        attention_layers: int = 0,
        attention_layout: str = "top",
        n_encoders: int = 4,
        dropout: float = 0.2,
        pooling: str = "mean_max",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 4e-3,
        weight_decay: float = 0.01,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        precision: str = "auto",
        callbacks: list | None = None,
        verbose: int = 0,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.long_documents = long_documents
        self.depth = depth
        self.width = width
        self.feedforward_width = feedforward_width
        self.mixer = mixer
        self.attention_layers = attention_layers
        self.attention_layout = attention_layout
        self.n_encoders = n_encoders
        self.dropout = dropout
        self.pooling = pooling
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.verbose = verbose

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on documents with known targets.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents: a list, array or Series of str, a DataFrame with one column, or what
            ``TextTokenizer.transform`` gave. Pairs of texts: an array of shape (n, 2), a list of
            tuples of two, or a DataFrame with two columns.
        y : array-like of shape (n_documents,) or (n_documents, n_outputs)
            What to predict.
        sample_weight : array-like of shape (n_documents,), optional
            A row of weight 0 is as good as absent, vocabulary included.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, or a document or target is missing or of the wrong
            kind.
        """
        goes_on = self.warm_start and self.__sklearn_is_fitted__()
        documents, y, weights = self._checked(X, y, sample_weight, goes_on)
        learned = self._learn(y, weights)
        weights = self._reweighted(weights, y, learned)
        weights = weights / weights.mean()
        seed = draw_seed(self.random_state)
        train, valid = self._split(y, seed)
        if goes_on:
            self._check_goes_on(learned)
        targets = self._encode(y, vars(self) if goes_on else learned)
        if not goes_on:
            self._start(documents, learned, seed)
        tokens = self._tokens(documents)
        train_set, valid_set = (
            None if rows is None else self._labelled(tokens, targets, weights, rows)
            for rows in (train, valid)
        )
        epochs = self.max_epochs
        if epochs == "auto":
            epochs = epochs_for(len(train), self._batch_size(len(train)), self._n_outputs)
        self._train(self._make_net(train_set, valid_set, epochs, seed), train_set, seed)
        self._stream = None
        return self

    def fit_transform(self, X: Any, y: ArrayLike, **fit_params: Any) -> np.ndarray:
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

    # What an estimator adds.

    _objective: Objective
    _n_outputs: int

    def _check_targets(self, y: Any) -> np.ndarray:
        """Give y checked, an array with a row for each document."""
        raise NotImplementedError

    def _learn(self, y: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        """Give the fitted attributes that y decides."""
        raise NotImplementedError

    def _encode(self, y: np.ndarray, learned: dict[str, Any]) -> np.ndarray:
        """Give y as the loss wants it, by the fitted attributes that are in force."""
        raise NotImplementedError

    def _reweighted(
        self, weights: np.ndarray, y: np.ndarray, learned: dict[str, Any]
    ) -> np.ndarray:
        return weights

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """Give the class number of each row where held-out documents must be of all classes."""
        return None

    def _check_goes_on(self, learned: dict[str, Any]) -> None:
        """Refuse targets that the model of the last fit cannot go on with."""

    # From documents to a trained model.

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, goes_on: bool
    ) -> tuple[Documents, np.ndarray, np.ndarray]:
        self._validate_params()
        self._check_attention_layers()
        check_callbacks(self)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        documents = self._documents(X, goes_on)
        return check_weights(documents, self._check_targets(y), sample_weight)

    def _documents(self, X: Any, fitted: bool = True) -> Documents:
        """Check documents; once fitted, also that they are of the kind that was learned from."""
        documents = check_input(
            X, self.tokenizer, self.encoder_.config.vocab_size if fitted else None
        )
        if fitted and in_pairs(documents) != self._pairs:
            kinds = "single texts", "pairs of texts"
            hint = "" if self._pairs else " Of two columns pass the one: X[name]."
            raise ValueError(
                f"X holds {kinds[not self._pairs]}, but {type(self).__name__} was fitted on "
                f"{kinds[self._pairs]}.{hint}"
            )
        return documents

    def _start(self, documents: Documents, learned: dict[str, Any], seed: int) -> None:
        """Forget everything and set up a new model."""
        device = usable_device(self.device)
        tokenizer = fitted_tokenizer(self.tokenizer, documents)
        check_room(self.max_length, documents, tokenizer)
        config = self._config(
            vocabulary_size(documents, tokenizer), n_buckets(documents, tokenizer)
        )
        vars(self).update(learned)
        with seeded(seed, device):
            model = Ensemble(config, self._n_outputs, self.pooling, self.n_encoders)
        self.tokenizer_ = tokenizer
        self.device_ = device
        self.history_ = []
        self.n_iter_ = 0
        self._pairs = in_pairs(documents)
        self._model = model.to(device)
        self._stream = None

    def _config(self, vocab_size: int, subword_buckets: int) -> EncoderConfig:
        """Give the shape of the encoders that the parameters ask for."""
        return EncoderConfig(
            vocab_size=vocab_size,
            width=self.width,
            depth=self.depth,
            feedforward_width=self.feedforward_width,
            max_length=self.max_length,
            mixer=self.mixer,
            attention_layers=self.attention_layers,
            attention_layout=self.attention_layout,
            dropout=self.dropout,
            subword_buckets=subword_buckets,
            **({} if self.dropout else {"bigram_dropout": 0.0, "subword_dropout": 0.0}),
        )

    def _go_on(
        self,
        documents: Documents,
        y: np.ndarray,
        weights: np.ndarray,
        learned: dict[str, Any] | None,
    ) -> Self:
        """Go once over a part of a stream; `learned` is None but for the first part."""
        seed = draw_seed(self.random_state)
        targets = self._encode(y, vars(self) if learned is None else learned)
        if learned is not None:
            self._start(documents, learned, seed)
        rows = np.arange(len(y))
        train_set = self._labelled(self._tokens(documents), targets, weights, rows)
        if getattr(self, "_stream", None) is None:
            # The net keeps the optimizer's state, the generator moves on, from call to call.
            net = self._make_net(train_set, None, None, seed)
            self._stream = net, np.random.default_rng(seed)
        net, random = self._stream
        net.batch_size = self._batch_size(len(y))
        net.lr = self.learning_rate
        self._train(net, train_set, int(random.integers(2**31)))
        return self

    def _make_net(
        self,
        train: LabelledWindows,
        valid: LabelledWindows | None,
        max_epochs: int | None,
        seed: int,
    ) -> TextNet:
        batch_size = self._batch_size(len(train.windows.tokens))
        return make_net(
            self._model,
            n_batches=-(-len(train) // batch_size),
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            objective=self._objective,
            label_smoothing=getattr(self, "label_smoothing", 0.0),
            valid=valid,
            n_iter_no_change=self.n_iter_no_change,
            seed=seed,
            device=self.device_,
            bfloat16=use_bfloat16(self.precision, self.device_),
            callbacks=self.callbacks or (),
            verbose=bool(self.verbose),
        )

    def _batch_size(self, n_documents: int) -> int:
        return batch_size_for(n_documents) if self.batch_size == "auto" else self.batch_size

    def _train(self, net: TextNet, train: LabelledWindows, seed: int) -> None:
        try:
            with seeded(seed, self.device_):
                net.partial_fit(train, None)
        finally:
            self._model.eval()
        self.history_ = history_rows(net)
        self.n_iter_ = len(self.history_)

    def _labelled(
        self, tokens: TokenArray, targets: np.ndarray, weights: np.ndarray, rows: np.ndarray
    ) -> LabelledWindows:
        return LabelledWindows(self._windows(tokens[rows]), targets[rows], weights[rows])

    def _split(self, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the rows to train on and, under early stopping, a part held out.

        Where there are classes it is stratified, and the only document of one never held out.
        """
        rows = np.arange(len(y))
        if not self.early_stopping:
            return rows, None
        strata = self._strata(y)
        divisible = rows if strata is None else rows[np.bincount(strata)[strata] > 1]
        n_classes = 1 if strata is None else len(np.unique(strata[divisible]))
        n_valid = int(np.ceil(self.validation_fraction * len(divisible)))
        if not 0 < n_classes <= n_valid <= len(divisible) - n_classes:
            each = "" if strata is None else f" of each of {n_classes} classes"
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} would "
                f"hold out {n_valid} of {len(divisible)} documents, but each side needs one{each}. "
                "Change validation_fraction, or turn early_stopping off."
            )
        _, valid = train_test_split(
            divisible,
            test_size=n_valid,
            stratify=None if strata is None else strata[divisible],
            random_state=seed,
        )
        return np.setdiff1d(rows, valid), valid

    def _check_attention_layers(self) -> None:
        if self.attention_layers > self.depth:
            raise InvalidParameterError(
                f"The 'attention_layers' parameter of {type(self).__name__} must be an int in the "
                f"range [0, depth={self.depth}]. Got {self.attention_layers} instead."
            )

    def _tokens(self, documents: Documents) -> TokenArray:
        config = self.encoder_.config
        return to_tokens(documents, self.tokenizer_, config, self.long_documents)

    def _windows(self, tokens: TokenArray) -> Windows:
        return Windows(tokens, self.encoder_.config.max_length, self.long_documents)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._run(self._model.predict, X)

    def _run(self, function: Any, X: Any) -> np.ndarray:
        return run_windows(
            function,
            self._windows(self._tokens(self._documents(X))),
            batch_size=LARGEST_BATCH if self.batch_size == "auto" else self.batch_size,
            device=self.device_,
            bfloat16=use_bfloat16(self.precision, self.device_),
        )

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
