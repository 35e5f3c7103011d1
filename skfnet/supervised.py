"""What the estimators with targets share: y, weights, held-out documents, what to start from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import tokenizers
from numpy.typing import ArrayLike
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import check_is_fitted

from .batches import TokenArray
from .calibration import FEWEST_DOCUMENTS, left_out, temperatures
from .devices import draw_seed, seeded, usable_device, use_bfloat16
from .documents import (
    Documents,
    check_room,
    in_pairs,
    n_buckets,
    vocabulary_size,
)
from .estimator import TextEstimator
from .exchange import HuggingFaceMixin
from .finetuning import (
    RATE,
    Heads,
    have_one_encoder,
    keep_fixed,
    kinds_of,
    layer_rates,
    target_encoded,
)
from .lsa import latent_semantic_vectors
from .ngrams import look_up_bigrams
from .nn import EncoderConfig, Ensemble
from .nn.heads import POOLINGS
from .objectives import NUMBERS, Objective
from .prediction import run_each_window, run_windows
from .pretrained import Pretrained, check_agrees, check_unlabeled, find_pretrained
from .pretrainer import FNetPretrainer
from .target_encoding import describe_words, draw_folds
from .targets import check_weights
from .tokenizer import TextTokenizer
from .training import (
    LabelledVectors,
    LabelledWindows,
    TextNet,
    epochs_for,
    history_rows,
    make_net,
)


class SupervisedEstimator(HuggingFaceMixin, TextEstimator):
    """Encoders and output layers behind fit and partial_fit.

    An estimator adds what its targets need: `_check_targets`, `_learn`, `_encode`,
    `_count_outputs` and `_objective`, and what :class:`HuggingFaceMixin` asks for.
    """

    _parameter_constraints: dict[str, list] = {
        **TextEstimator._parameter_constraints,
        "pretrained": [FNetPretrainer, FrozenEstimator, str, os.PathLike, None],
        "freeze": [
            Interval(Integral, 0, None, closed="left"),
            StrOptions({"auto", "half", "words", "all"}),
            None,
        ],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "target_encoding": ["boolean"],
        "n_encoders": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "pooling": [StrOptions({*POOLINGS, "auto"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        *,
        tokenizer: TextTokenizer | FrozenEstimator | tokenizers.Tokenizer | str | None = None,
        max_length: int = 1024,
        long_documents: str = "truncate",
        depth: int = 2,
        width: int = 64,
        feedforward_width: int | None = None,
        architecture: str = "default",
        mixer: str | Callable[[EncoderConfig], Any] = "auto",
        attention_layers: int = 0,
        attention_layout: str = "top",
        n_encoders: int | str = "auto",
        target_encoding: bool = True,
        dropout: float = 0.2,
        pooling: str = "auto",
        padding: str = "auto",
        pretrained: FNetPretrainer | FrozenEstimator | str | os.PathLike | None = None,
        freeze: int | str | None = "auto",
        layer_decay: float = 1.0,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
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
        super().__init__(
            tokenizer=tokenizer,
            max_length=max_length,
            long_documents=long_documents,
            depth=depth,
            width=width,
            feedforward_width=feedforward_width,
            architecture=architecture,
            mixer=mixer,
            attention_layers=attention_layers,
            attention_layout=attention_layout,
            dropout=dropout,
            pooling=pooling,
            padding=padding,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            random_state=random_state,
            device=device,
            precision=precision,
            callbacks=callbacks,
            verbose=verbose,
        )
        self.n_encoders = n_encoders
        self.target_encoding = target_encoding
        self.pretrained = pretrained
        self.freeze = freeze
        self.layer_decay = layer_decay
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, unlabeled: Any = None
    ) -> Self:
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
        unlabeled : iterable of str or of pairs of str, optional
            More text, of which nothing is known, for ``pretrained=FNetPretrainer(...)``, which is
            fitted on it and on X. Not read where `warm_start` goes on with a fitted model.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range or conflicts with what is pretrained, or a document or
            target is missing or of the wrong kind.
        FileNotFoundError
            If `pretrained` names a folder that holds no pretrained encoder.
        """
        goes_on = self.warm_start and self.__sklearn_is_fitted__()
        documents, y, weights = self._checked(X, y, sample_weight, goes_on)
        check_unlabeled(self, unlabeled)
        learned = self._learn(y, weights)
        weights = self._reweighted(weights, y, learned)
        weights = weights / weights.mean()
        seed = draw_seed(self.random_state)
        train, valid = self._split(y, seed)
        if goes_on:
            self._check_goes_on(learned)
        targets = self._encode(y, vars(self) if goes_on else learned)
        if not goes_on:
            self._start(documents, learned, seed, unlabeled, encodes=self.target_encoding)
        tokens = self._tokens(documents)
        if not goes_on and self.pretrained is None:
            look_up_bigrams(self.encoders_, self._windows(tokens))
            if self.freeze == "auto" and self._pairs:
                self._take_words_from(tokens, seed)
        n_outputs = self._count_outputs(vars(self))
        told = target_encoded(self._model)
        if told and len(tokens) >= FEWEST_DOCUMENTS:
            tokens = tokens.in_folds(draw_folds(targets, train, seed))
            self._axes = describe_words(
                told,
                self._windows(tokens),
                targets,
                weights,
                n_outputs=n_outputs,
                axes=self._axes,
            )
        kept = self._auto_freeze if self.freeze == "auto" else self.freeze
        absent = self._absent(targets, valid, goes_on, seed)
        seen = ~absent / np.mean(~absent[train], axis=0)
        train_set = self._labelled(tokens, targets, weights[:, None] * seen, train, kept)
        valid_set = None if valid is None else self._labelled(tokens, targets, weights, valid, kept)
        epochs = self.max_epochs
        if epochs == "auto":
            epochs = epochs_for(len(train), self._batch_size(len(train)), n_outputs)
        try:
            self._train(self._make_net(train_set, valid_set, epochs, seed, kept), train_set, seed)
            self._calibrate(tokens, targets, weights, absent, kept)
        finally:
            for encoder in told:
                encoder.embeddings.encoding.forget_folds()
        self._stream = None
        return self

    # What an estimator adds.

    _objective: Objective

    def _count_outputs(self, learned: dict[str, Any]) -> int:
        """Give the number of outputs, by the fitted attributes that y decides."""
        raise NotImplementedError

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
        self._check_parameters()
        if goes_on:
            self._check_freeze(self.encoder_.config)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        documents = self._documents(X, goes_on)
        return check_weights(documents, self._check_targets(y), sample_weight)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.pretrained is None:
            self._check_attention_layers()
            for name, *without in (("freeze", "auto", None), ("layer_decay", 1.0)):
                if getattr(self, name) not in without:
                    raise InvalidParameterError(
                        f"The '{name}' parameter of {type(self).__name__} is for a pretrained "
                        f"encoder, but pretrained is None. Use {name}={without[0]!r}, or give one."
                    )

    def _documents(self, X: Any, fitted: bool = True) -> Documents:
        """Check documents; once fitted, also that they are of the kind that was learned from."""
        documents = super()._documents(X, fitted)
        # A head of transformers' does not tell what it was trained on: None.
        if fitted and self._pairs not in (None, in_pairs(documents)):
            kinds = "single texts", "pairs of texts"
            hint = "" if self._pairs else " Of two columns pass the one: X[name]."
            raise ValueError(
                f"X holds {kinds[not self._pairs]}, but {type(self).__name__} was fitted on "
                f"{kinds[self._pairs]}.{hint}"
            )
        return documents

    def _start(
        self,
        documents: Documents,
        learned: dict[str, Any],
        seed: int,
        unlabeled: Any = None,
        *,
        encodes: bool,
    ) -> None:
        """Forget everything and set up a new model, `encodes` where all targets are there."""
        device = usable_device(self.device)
        if self.pretrained is None:
            pretrained, tokenizer = None, self._fitted_tokenizer(documents)
            check_room(self.max_length, documents, tokenizer)
            config = self._config(
                vocabulary_size(documents, tokenizer), n_buckets(documents, tokenizer)
            )
        else:
            pretrained = find_pretrained(self, documents, unlabeled, seed)
            tokenizer, config = pretrained.tokenizer, pretrained.config_with(self._chosen())
            check_room(config.max_length, documents, tokenizer)
        auto = self._auto(pretrained)
        pooling, n_encoders = (
            auto[name] if getattr(self, name) == "auto" else getattr(self, name)
            for name in ("pooling", "n_encoders")
        )
        self._check_freeze(config, pretrained, pooling)
        n_outputs = self._count_outputs(learned)
        configs = [config] * n_encoders
        if encodes and self._can_encode_targets(documents, learned):
            encoding = min(n_outputs, config.width)
            told = replace(config, target_encoding=encoding, trigram_buckets=config.bigram_buckets)
            configs[1::2] = [told] * (n_encoders // 2)
        with seeded(seed, device):
            model = Ensemble(configs, n_outputs, pooling)
        if pretrained is not None:
            pretrained.put_into(model)
        vars(self).update(learned)
        self.tokenizer_ = tokenizer
        self.device_ = device
        self.history_ = []
        self.n_iter_ = 0
        self._pairs = in_pairs(documents)
        self._axes = None  # of the words' descriptions by targets, where there are many classes
        self._temperatures = np.ones(n_encoders)
        self._auto_rate = auto["learning_rate"]
        self._auto_freeze = auto["freeze"]
        self._model = model.to(device).eval()
        self._stream = None

    def _check_agrees(self, config: EncoderConfig, tokenizer: TextTokenizer | None) -> None:
        check_agrees(self, config.to_dict(), tokenizer)

    def _can_encode_targets(self, documents: Documents, learned: dict[str, Any]) -> bool:
        """Say whether there is enough to count, and no other kind of encoder to go with."""
        enough = len(documents) >= FEWEST_DOCUMENTS and not in_pairs(documents)
        return enough and self.pretrained is None and self.architecture == "default"

    def _take_words_from(self, tokens: TokenArray, seed: int) -> None:
        """Begin with what the documents tell of the words, where these are to stay."""
        if not self.encoder_.config.subword_buckets:  # what is no word says little by itself
            return
        self._auto_freeze = "half"
        words, vectors = latent_semantic_vectors(tokens, self.encoder_.config.width, seed)
        for encoder, kind in zip(self.encoders_, kinds_of(self._model, "half"), strict=True):
            if kind == 0:
                encoder.embeddings.begin_with(words, vectors)

    def _auto(self, pretrained: Pretrained | None) -> dict[str, Any]:
        """Say what "auto" stands for, by parameter; `freeze` in `fit`."""
        if pretrained is None:
            paper, pooling, rate, freeze = self.architecture == "paper", None, RATE, None
        else:
            paper = pretrained.config.norm == "post"
            pooling = None if pretrained.pooling == "none" else pretrained.pooling
            rate = pretrained.learning_rate
            freeze = "half" if pretrained.config.subword_buckets else None
        return {
            "pooling": pooling or ("cls" if paper else "mean_max"),
            "n_encoders": 1 if paper else 4,
            "learning_rate": rate,
            "freeze": freeze,
        }

    @property
    def _rate(self) -> float:
        """The learning rate, "auto" resolved."""
        return self._auto_rate if self.learning_rate == "auto" else self.learning_rate

    def _check_freeze(
        self, config: EncoderConfig, pretrained: Any = None, pooling: str | None = None
    ) -> None:
        """Refuse to keep fixed what there is not, or what nothing has trained.

        Where a fitted model goes on, its pooling has been trained: `pooling` is None.
        """
        name = f"The 'freeze' parameter of {type(self).__name__}"
        if isinstance(self.freeze, Integral) and self.freeze > config.depth:
            raise InvalidParameterError(
                f"{name} must be at most the pretrained encoder's depth={config.depth}, or 'all'. "
                f"Got {self.freeze} instead."
            )
        if self.freeze == "all" and pooling == "cls" != pretrained.pooling:
            raise InvalidParameterError(
                f"{name} is 'all', which needs pooling='cls' to be pretrained, too. Pretrain with "
                "pooling='cls', or use another pooling here."
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
            self._start(documents, learned, seed, encodes=False)
        rows = np.arange(len(y))
        kept = None if self.freeze == "auto" else self.freeze
        train_set = self._labelled(self._tokens(documents), targets, weights, rows, kept)
        how = kept, self.layer_decay
        if getattr(self, "_stream", None) is None or self._stream[2] != how:
            # The net keeps the optimizer's state, the generator moves on, from call to call.
            net = self._make_net(train_set, None, None, seed, kept)
            self._stream = net, np.random.default_rng(seed), how
        net, random, _ = self._stream
        net.batch_size = self._batch_size(len(y))
        net.lr = self._rate
        self._train(net, train_set, int(random.integers(2**31)))
        return self

    def _make_net(
        self,
        train: LabelledWindows,
        valid: LabelledWindows | None,
        max_epochs: int | None,
        seed: int,
        kept: int | str | None,
    ) -> TextNet:
        batch_size = self._batch_size(len(train.windows.tokens))
        heads_alone = kept == "all"
        keep_fixed(self._model, None if heads_alone else kept)
        return make_net(
            Heads(self._model) if heads_alone else self._model,
            n_batches=-(-len(train) // batch_size),
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=self._rate,
            weight_decay=self.weight_decay,
            objective=self._objective,
            label_smoothing=getattr(self, "label_smoothing", 0.0),
            rate_of=layer_rates(self.encoder_.config.depth, self.layer_decay),
            valid=valid,
            n_iter_no_change=self.n_iter_no_change,
            seed=seed,
            device=self.device_,
            bfloat16=use_bfloat16(self.precision, self.device_),
            callbacks=self.callbacks or (),
            verbose=bool(self.verbose),
        )

    def _train(self, net: TextNet, train: LabelledWindows, seed: int) -> None:
        net.seed = seed
        # What goes on learns from outputs as they were: it would learn to undo a division.
        self._model.divide_outputs(1 / self._temperatures)
        try:
            net.partial_fit(train, None)
        finally:
            self._model.divide_outputs(self._temperatures)
            self._model.eval()
        self.history_ = history_rows(net)
        self.n_iter_ = len(self.history_)

    def _labelled(
        self,
        tokens: TokenArray,
        targets: np.ndarray,
        weights: np.ndarray,
        rows: np.ndarray,
        kept: int | str | None,
    ) -> LabelledWindows:
        windows = self._windows(tokens[rows])
        if kept != "all":
            return LabelledWindows(windows, targets[rows], weights[rows])
        model = self._model.members[0] if have_one_encoder(self._model) else self._model
        vectors = run_each_window(model.embed, windows, **self._batches_there())
        vectors = vectors.reshape(len(windows), -1, self.encoder_.config.width)
        return LabelledVectors(windows, targets[rows], weights[rows], vectors)

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

    def _absent(
        self, targets: np.ndarray, valid: np.ndarray | None, goes_on: bool, seed: int
    ) -> np.ndarray:
        """Say which documents serve calibration for which encoder, and are not seen by it.

        Shape (n_documents, n_encoders).
        """
        n_encoders = len(self._model.members)
        calibrates = self._objective is not NUMBERS
        if calibrates and valid is None and not goes_on:
            return left_out(targets, n_encoders, seed)
        absent = np.zeros((len(targets), n_encoders), dtype=bool)
        if calibrates and valid is not None:
            absent[valid] = True
        return absent

    def _calibrate(
        self,
        tokens: TokenArray,
        targets: np.ndarray,
        weights: np.ndarray,
        absent: np.ndarray,
        kept: int | str | None,
    ) -> None:
        """Divide the outputs so that probabilities fit the documents that were not seen."""
        rows = np.flatnonzero(absent.any(axis=1))
        if not len(rows):
            return
        outputs = run_windows(
            lambda **batch: self._model(**batch).flatten(1),
            self._windows(tokens[rows]),
            **self._batches_there(),
        )
        found = temperatures(
            outputs.reshape(*absent[rows].shape, -1),
            absent[rows],
            kinds_of(self._model, kept),
            targets[rows],
            weights[rows],
            self._objective,
        )
        self._model.divide_outputs(found)
        self._temperatures = self._temperatures * found

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._run(self._model.predict, X)
