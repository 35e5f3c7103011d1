"""FNetClassifier: text in, labels out, the scikit-learn way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import tokenizers
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, compute_class_weight
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import check_is_fitted

from . import estimator
from .batches import TokenArray, Windows
from .estimator import Documents
from .nn import MIXERS, DocumentClassifier, Encoder, EncoderConfig
from .nn.heads import POOLINGS
from .tokenizer import TextTokenizer
from .training import (
    LARGEST_BATCH,
    LabelledWindows,
    TextNet,
    batch_size_for,
    epochs_for,
    history_rows,
    make_net,
    seeded,
)

__all__ = ["FNetClassifier"]


class FNetClassifier(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """Text classifier with a Fourier-mixing encoder, trained from scratch.

    Texts become tokens (:class:`TextTokenizer`), a small FNet encoder mixes them by a 2-D
    Fourier transform at each document's own length, the mean of the hidden states goes through
    a linear layer. A document's result depends on that document alone, never on what else is
    in the batch.

    Parameters
    ----------
    tokenizer : TextTokenizer, FrozenEstimator, tokenizers.Tokenizer or None, default=None
        None is ``TextTokenizer()``. An unfitted TextTokenizer is cloned and fitted on the
        training texts, and its parameters can be searched (``tokenizer__vocab_size``). A fitted
        one in ``FrozenEstimator``, or a ready ``tokenizers.Tokenizer``, is used as it is.
    max_length : int, default=512
        Longest window that the encoder reads, in tokens, special ones included.
    long_documents : {"truncate", "mean"}, default="truncate"
        What happens beyond `max_length`: the rest is left out, with a warning that counts the
        documents, or the document is read in windows of `max_length` and their logits are
        averaged.
    depth : int, default=2
        Number of encoder blocks.
    width : int, default=128
        Size of the hidden states.
    feedforward_width : int or None, default=None
        Inner size of the feed-forward layers; None is ``4 * width``.
    mixer : str or callable, default="fourier"
        Name of the token mixer, a key of :data:`skfnet.nn.MIXERS`: "fourier", "hartley", "dct",
        "hadamard", "wavelet", "fourier_sequence", "fourier_hidden", "fourier_abs",
        "fourier_complex", "fractional", "linear", "random", "none", "attention" or "spectral".
        Or a class or function that makes a module from an :class:`~skfnet.nn.EncoderConfig`.
    attention_layers : int, default=0
        Number of blocks, at most `depth`, with self-attention in place of `mixer`.
    attention_layout : {"top", "bottom", "middle", "mixed"}, default="top"
        Which blocks these are: the last, the first, those in the middle, or spread evenly.
    dropout : float, default=0.2
        Share of hidden units dropped in training, after the embeddings and each feed-forward
        layer and before the output layer. 0 also keeps the pairs of neighbouring tokens, of
        which half are left out otherwise.
    pooling : {"mean", "max", "cls"}, default="mean"
        How hidden states become one vector: their mean or maximum over the document, or the
        paper's dense tanh layer on the first token.
    max_epochs : int or "auto", default="auto"
        Passes over the training documents. "auto" gives a small corpus enough steps to learn:
        ``(60 + n_classes) / sqrt(n_documents / batch_size)``, more where that makes less than
        400 steps, at least 3 and at most 100.
    batch_size : int or "auto", default="auto"
        Documents in a batch. "auto" is a sixteenth of the training documents, between 8 and
        64.
    learning_rate : float, default=2e-3
        Peak of the rate, which rises linearly over the first tenth of the steps and then falls
        linearly to 0.
    weight_decay : float, default=0.01
        Decoupled weight decay of the dense layers.
    label_smoothing : float, default=0.05
        Share of each target spread evenly over all classes.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn.
    early_stopping : bool, default=False
        Whether to hold out a stratified part of the training documents, to stop when its loss
        no longer falls, and to return to the best weights.
    validation_fraction : float, default=0.1
        Share held out where `early_stopping` is on.
    n_iter_no_change : int, default=5
        Epochs without a lower held-out loss before training stops; they count from the end of
        the warm-up, the first tenth of `max_epochs`.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last one, with its tokenizer; the classes
        must be the same.
    random_state : int, RandomState instance or None, default=None
        Decides everything that is random: initial weights, dropout and batches.
    device : str, default="auto"
        "auto" takes CUDA or MPS where there is one; any name of a torch device is obeyed.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" is mixed precision in bfloat16 on CUDA and float32 elsewhere.
    callbacks : list of skorch callbacks or None, default=None
        Called during training, after our own.
    verbose : int, default=0
        1 shows a progress bar with loss, accuracy and time left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    tokenizer_ : TextTokenizer or None
        The fitted tokenizer; None where `fit` was given tokens.
    encoder_ : skfnet.nn.Encoder
        The trained encoder.
    history_ : list of dict
        For each epoch its losses, accuracies and seconds.
    n_iter_ : int
        Number of epochs trained.
    device_ : torch.device
        Where the weights are.

    See Also
    --------
    TextTokenizer : Tokenizes once, before a grid search.

    References
    ----------
    Lee-Thorp, Ainslie, Eckstein and Ontanon, "FNet: Mixing Tokens with Fourier Transforms",
    NAACL 2022, arXiv 2105.03824.

    Examples
    --------
    >>> from skfnet import FNetClassifier
    >>> texts = ["good film", "bad film", "good plot", "bad plot"] * 8
    >>> labels = ["praise", "blame", "praise", "blame"] * 8
    >>> clf = FNetClassifier(random_state=0).fit(texts, labels)
    >>> clf.predict(["good story", "bad story"]).tolist()
    ['praise', 'blame']
    >>> clf.transform(texts).shape
    (32, 128)
    """

    _parameter_constraints: dict[str, list] = {
        "tokenizer": [TextTokenizer, FrozenEstimator, tokenizers.Tokenizer, None],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "long_documents": [StrOptions({"truncate", "mean"})],
        "depth": [Interval(Integral, 0, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "feedforward_width": [Interval(Integral, 1, None, closed="left"), None],
        "mixer": [StrOptions(MIXERS.keys()), callable],  # a live view: mixers may be added later
        "attention_layers": [Interval(Integral, 0, None, closed="left")],
        "attention_layout": [StrOptions({"top", "bottom", "middle", "mixed"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
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
        tokenizer: TextTokenizer | FrozenEstimator | tokenizers.Tokenizer | None = None,
        max_length: int = 512,
        long_documents: str = "truncate",
        depth: int = 2,
        width: int = 128,
        feedforward_width: int | None = None,
        mixer: str | Callable[[EncoderConfig], Any] = "fourier",
        attention_layers: int = 0,
        attention_layout: str = "top",
        dropout: float = 0.2,
        pooling: str = "mean",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        label_smoothing: float = 0.05,
        class_weight: dict | str | None = None,
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
        self.dropout = dropout
        self.pooling = pooling
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
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
        """Train on labelled documents.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents: a list, array or Series of str, a DataFrame with one column, or what
            ``TextTokenizer.transform`` gave.
        y : array-like of shape (n_documents,)
            Labels of any kind.
        sample_weight : array-like of shape (n_documents,), optional
            A row of weight 0 is as good as absent, vocabulary included.

        Returns
        -------
        FNetClassifier
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, a document or label is missing or of the wrong
            kind, or there is only one class.
        """
        self._validate_params()
        self._check_attention_layers()
        estimator.check_callbacks(self)
        documents, y, weights = estimator.check_training_data(self, X, y, sample_weight)
        classes, targets = np.unique(y, return_inverse=True)
        self._check_several_classes(classes)
        weights = self._with_class_weights(weights, y, classes)
        weights = weights / weights.mean()
        seed = estimator.draw_seed(self.random_state)
        train, valid = self._split(targets, seed)
        if self.warm_start and self.__sklearn_is_fitted__():
            self._check_same_classes(classes)
        else:
            self._start(documents, classes, seed)
        tokens = self._tokens(documents)
        train_set, valid_set = (
            None if rows is None else self._labelled(tokens, targets, weights, rows)
            for rows in (train, valid)
        )
        epochs = self.max_epochs
        if epochs == "auto":
            epochs = epochs_for(len(train), self._batch_size(len(train)), len(classes))
        self._train(self._make_net(train_set, valid_set, epochs, seed), train_set, seed)
        self._stream = None
        return self

    def fit_transform(self, X: Any, y: ArrayLike, **fit_params: Any) -> np.ndarray:
        """Train, then give the pooled hidden states of the same documents.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents.
        y : array-like of shape (n_documents,)
            Their labels.
        **fit_params
            What else `fit` takes.

        Returns
        -------
        ndarray of float32, shape (n_documents, width)
        """
        # The mixin reads X twice, which a generator does not survive.
        return super().fit_transform(list(X) if isinstance(X, Iterator) else X, y, **fit_params)

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Go once over a part of a stream of documents.

        The first call learns the vocabulary from its own documents: give it many, or a fitted
        tokenizer. The learning rate rises over the first 20 batches and then stays. Weights count
        as they are: a document of weight 2 moves the model twice as far as one of weight 1.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents.
        y : array-like of shape (n_documents,)
            Their labels.
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call.
        sample_weight : array-like of shape (n_documents,), optional
            Weights of the documents.

        Returns
        -------
        FNetClassifier
            Itself.
        """
        self._validate_params()
        self._check_attention_layers()
        estimator.check_callbacks(self)
        documents, y, weights = estimator.check_training_data(self, X, y, sample_weight)
        if not self.__sklearn_is_fitted__():
            vars(self).pop("classes_", None)  # left by a first call that failed
        first = _check_partial_fit_first_call(self, classes)
        self._check_several_classes(self.classes_)
        targets = self._class_numbers(y)
        weights = self._with_class_weights(weights, y, self.classes_)
        seed = estimator.draw_seed(self.random_state)
        if first:
            self._start(documents, self.classes_, seed)
        train_set = self._labelled(self._tokens(documents), targets, weights, np.arange(len(y)))
        if getattr(self, "_stream", None) is None:
            # The net keeps the optimizer's state, the generator moves on, from call to call.
            net = self._make_net(train_set, None, None, seed)
            self._stream = net, np.random.default_rng(seed)
        net, random = self._stream
        net.batch_size = self._batch_size(len(y))
        net.lr = self.learning_rate
        self._train(net, train_set, int(random.integers(2**31)))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Give the likeliest label of each document.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of shape (n_documents,)
        """
        likeliest = self._logits(X).argmax(axis=1)
        return self.classes_[likeliest]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the probability of each class.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float32, shape (n_documents, n_classes)
            Columns in the order of `classes_`; rows sum to 1.
        """
        return softmax(self._logits(X), axis=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Give the logits; with two classes the second's minus the first's.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float32, shape (n_documents, n_classes) or (n_documents,)
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def transform(self, X: Any) -> np.ndarray:
        """Give the pooled hidden states: document vectors for other estimators.

        Parameters
        ----------
        X : iterable of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float32, shape (n_documents, width)
        """
        check_is_fitted(self)
        return self._run(self._model.embed, X)

    @property
    def encoder_(self) -> Encoder:
        """The trained encoder, a torch module."""
        check_is_fitted(self)
        return self._model.encoder

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.config.width

    def _start(self, documents: Documents, classes: np.ndarray, seed: int) -> None:
        """Forget everything and set up a new model."""
        device = estimator.usable_device(self.device)
        tokenizer = estimator.fitted_tokenizer(self.tokenizer, documents)
        estimator.check_room(self.max_length, documents, tokenizer)
        config = EncoderConfig(
            vocab_size=estimator.vocabulary_size(documents, tokenizer),
            width=self.width,
            depth=self.depth,
            feedforward_width=self.feedforward_width,
            max_length=self.max_length,
            mixer=self.mixer,
            attention_layers=self.attention_layers,
            attention_layout=self.attention_layout,
            dropout=self.dropout,
            **({} if self.dropout else {"bigram_dropout": 0.0}),
        )
        with seeded(seed, device):
            model = DocumentClassifier(config, len(classes), self.pooling)
        self.classes_ = classes
        self.tokenizer_ = tokenizer
        self.device_ = device
        self.history_ = []
        self.n_iter_ = 0
        self._model = model.to(device)
        self._stream = None

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
            label_smoothing=self.label_smoothing,
            valid=valid,
            n_iter_no_change=self.n_iter_no_change,
            seed=seed,
            device=self.device_,
            bfloat16=estimator.use_bfloat16(self.precision, self.device_),
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

    def _split(self, targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the rows to train on and, under early stopping, a stratified part held out.

        The only document of a class is never held out.
        """
        rows = np.arange(len(targets))
        if not self.early_stopping:
            return rows, None
        divisible = rows[np.bincount(targets)[targets] > 1]
        n_classes = len(np.unique(targets[divisible]))
        n_valid = int(np.ceil(self.validation_fraction * len(divisible)))
        if not 0 < n_classes <= n_valid <= len(divisible) - n_classes:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} would "
                f"hold out {n_valid} of {len(divisible)} documents, but each side needs one of "
                f"each of {n_classes} classes. Change validation_fraction, or turn "
                "early_stopping off."
            )
        _, valid = train_test_split(
            divisible, test_size=n_valid, stratify=targets[divisible], random_state=seed
        )
        return np.setdiff1d(rows, valid), valid

    def _with_class_weights(
        self, weights: np.ndarray, y: np.ndarray, classes: np.ndarray
    ) -> np.ndarray:
        """Multiply by the classes' weights."""
        if self.class_weight is not None:
            if self.class_weight == "balanced":  # a part of a stream may lack some classes
                classes = np.unique(y)
            of_class = compute_class_weight(
                self.class_weight, classes=classes, y=y, sample_weight=weights
            )
            if not (of_class.min() >= 0 and 0 < of_class.max() < np.inf):
                raise InvalidParameterError(
                    f"The 'class_weight' parameter of {type(self).__name__} must hold weights "
                    f">= 0 and finite, not all of them 0. Got {self.class_weight!r} instead."
                )
            weights = weights * of_class[np.searchsorted(classes, y)]
        return weights

    def _check_attention_layers(self) -> None:
        if self.attention_layers > self.depth:
            raise InvalidParameterError(
                f"The 'attention_layers' parameter of {type(self).__name__} must be an int in the "
                f"range [0, depth={self.depth}]. Got {self.attention_layers} instead."
            )

    def _check_several_classes(self, classes: np.ndarray) -> None:
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but y holds "
                f"only one class: {classes.tolist()[0]!r}."
            )

    def _class_numbers(self, y: np.ndarray) -> np.ndarray:
        numbers = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = np.flatnonzero(self.classes_[numbers] != y)
        if len(unknown):
            raise ValueError(
                f"Row {unknown[0]} of y holds the label {y[unknown].tolist()[0]!r}, not among "
                f"the classes of the first call: {self.classes_.tolist()}."
            )
        return numbers

    def _check_same_classes(self, classes: np.ndarray) -> None:
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True goes on with the classes {self.classes_.tolist()}, but y holds "
                f"{classes.tolist()}. Use warm_start=False to start anew."
            )

    def _tokens(self, documents: Documents) -> TokenArray:
        config = self.encoder_.config
        return estimator.to_tokens(
            documents, self.tokenizer_, config.max_length, self.long_documents, config.vocab_size
        )

    def _windows(self, tokens: TokenArray) -> Windows:
        return Windows(tokens, self.encoder_.config.max_length, self.long_documents)

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._run(self._model, X)

    def _run(self, function: Any, X: Any) -> np.ndarray:
        return estimator.run_windows(
            function,
            self._windows(self._tokens(estimator.check_input(X))),
            batch_size=LARGEST_BATCH if self.batch_size == "auto" else self.batch_size,
            device=self.device_,
            bfloat16=estimator.use_bfloat16(self.precision, self.device_),
        )

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
            state["_model"] = estimator.pack_model(state["_model"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up the weights on the device that `device` means on this machine."""
        super().__setstate__(state)
        if "_model" in state:
            self.device_ = estimator.device_at_load(self.device)
            self._model = estimator.unpack_model(state["_model"]).to(self.device_)


_LEFT_BEHIND = ("_stream", "device_")
