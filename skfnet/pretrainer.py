"""FNetPretrainer: text in, an encoder that has read it out, the scikit-learn way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import tokenizers
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import check_is_fitted

from .batches import TokenArray
from .devices import draw_seed, seeded, usable_device, use_bfloat16
from .documents import (
    Documents,
    check_room,
    in_pairs,
    n_buckets,
    to_tokens,
    vocabulary_size,
)
from .estimator import TextEstimator
from .exchange import write_pretraining
from .folders import read_pretrainer, write_pretrainer
from .lsa import latent_semantic_vectors
from .masking import OBJECTIVES, Masking, PretrainingRows
from .nn import EncoderConfig, PretrainingModel
from .persistence import remove_parts
from .pretraining import PretrainingNet, Run, make_pretraining_net, measure, n_steps_of
from .resuming import Checkpoint, Checkpoints, checkpoint_path, digest_of, settings_of
from .tokenizer import TextTokenizer

__all__ = ["FNetPretrainer"]

# A stream is read in parts of so many documents.
_PART = 20_000
# A softmax over a vocabulary of 30,000 takes longer than all the rest of a step.
_MASKABLE_WORDS = 4096
_RATE, _RATE_OF_PAPER = 5e-3, 1e-3  # no higher one was tried on the paper's post-norm blocks


class FNetPretrainer(TextEstimator):
    """Learn an encoder from text alone, for `FNetClassifier` and `FNetRegressor` to start from.

    Words begin with latent semantic analysis, see `initial_words`; then come the paper's two
    objectives. Of the words of a text some are hidden, and the encoder is to
    tell which they were; the output layer shares the embeddings of the words. And the two
    halves of a text are put in order or swapped, and it is to tell which.

    Parameters
    ----------
    tokenizer : TextTokenizer, FrozenEstimator, tokenizers.Tokenizer, str or None, default=None
        None is ``TextTokenizer()``. An unfitted TextTokenizer is cloned and fitted on the texts.
        A fitted one in ``FrozenEstimator``, or a ready ``tokenizers.Tokenizer``, is used as it
        is. "precomputed" has no token for hidden words and is for segment order alone.
    max_length : int, default=1024
        Longest window that the encoder reads, in tokens, special ones included.
    long_documents : {"truncate", "mean"}, default="mean"
        What happens beyond `max_length`: the rest is left out, or the document is read in windows
        of `max_length`, all of which are learned from, and whose vectors are averaged. Pairs of
        texts are always cut, the longer text first.
    depth : int, default=2
        Number of encoder blocks.
    width : int, default=128
        Size of the encoder's hidden states.
    feedforward_width : int or None, default=None
        Inner size of the feed-forward layers; None is ``2 * width``, and ``4 * width`` with
        ``architecture="paper"``.
    architecture : {"default", "paper"}, default="default"
        What the blocks are like. "default" is what trains well on small corpora, "paper" is the
        published FNet: post-norm blocks, an unnormalised transform, no vectors for pairs and
        n-grams; its default tokenizer is ``TextTokenizer(model="bpe")``. What is pretrained
        brings its own.
    mixer : str or callable, default="auto"
        Name of the token mixer, a key of :data:`skfnet.nn.MIXERS`, or a class or function that
        makes a module from an :class:`~skfnet.nn.EncoderConfig`. "auto" is "spectral", whose
        filters tell a word's neighbours from the rest of the text, and the published "fourier"
        with ``architecture="paper"``.
    attention_layers : int, default=0
        Number of blocks, at most `depth`, with self-attention in place of `mixer`.
    attention_layout : {"top", "bottom", "middle", "mixed"}, default="top"
        Which blocks these are: the last, the first, those in the middle, or spread evenly.
    dropout : float, default=0.1
        Share of hidden units dropped in training, after the embeddings and each feed-forward
        layer and before the output layer. 0 also keeps the pairs of neighbouring tokens, of
        which half are left out otherwise, and the n-grams of words, of which a fifth are.
    pooling : {"mean_max", "mean", "max", "cls"}, default="mean_max"
        How hidden states become the vector that tells the order of the segments, and that
        `transform` gives. Published models have "cls".
    padding : {"auto", "exact", "max_length"}, default="auto"
        Whether a text is read at its own length, or made `max_length` long by [PAD] tokens that
        are mixed like words, as in the paper. "auto" is "exact".
    initial_words : {"auto", "lsa", "random"}, default="auto"
        What the words' embeddings begin with. "lsa" is latent semantic analysis, a singular value
        decomposition of the texts' TF-IDF: words that stand in the same documents begin alike,
        and positions and types with nothing. It takes seconds. "auto" is "lsa" where
        `TextTokenizer` makes words, and "random" for all other tokens, such as the pieces of
        ``architecture="paper"``.
    objectives : sequence of {"masked_tokens", "segment_order"}, \
default=("masked_tokens", "segment_order")
        What is to be found out: one of them or both, whose losses are added up.
    masked_share : float, default=0.15
        Share of a text's words that is chosen, of those that may be. Of these, 80 % are hidden
        behind [MASK], 10 % behind another word, and 10 % stay. Words outside the vocabulary are
        never chosen.
    maskable_words : int, None or "auto", default="auto"
        Only the first so many entries of the vocabulary may be chosen, and are told apart; None
        is all of them. The time and memory of a step grow with it. "auto" is 4,096 where
        `TextTokenizer` makes words, which it sorts by frequency, and None for all other tokens,
        such as the pieces of ``architecture="paper"``.
    max_epochs : int, default=10
        Passes over the texts. 0 leaves `fit` at the initial weights, for latent semantic analysis
        alone; nothing is held out then.
    max_steps : int or None, default=None
        Number of steps, in place of `max_epochs`: as many passes as it takes, the last of which
        may end early.
    batch_size : int, default=64
        Windows in a batch.
    learning_rate : float or "auto", default="auto"
        Peak of the rate of dense layers and words, which rises linearly over the first tenth of
        the steps and then falls linearly to 0. Embeddings of pairs of tokens and of n-grams have
        40 times this rate. "auto" is 5e-3, and 1e-3 with ``architecture="paper"``.
    weight_decay : float, default=0.01
        Decoupled weight decay of the dense layers.
    validation_fraction : float, default=0.05
        Share of the documents held out, on which `history_` has the losses and accuracies; 0
        holds out none.
    random_state : int, RandomState instance or None, default=None
        Decides everything that is random: initial weights, dropout, batches, what is hidden.
    device : str, default="auto"
        "auto" takes CUDA or MPS where there is one; any name of a torch device is obeyed.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" is mixed precision in bfloat16 on CUDA and float32 elsewhere.
    callbacks : list of skorch callbacks or None, default=None
        Called during training, after our own.
    checkpoint : str, path-like or None, default=None
        Folder in which `fit` writes down where it stands, into one file, which is replaced each
        time: whenever the process is killed, there is a complete one.
    checkpoint_minutes : float, default=10
        Minutes between two checkpoints; 0 writes one after each step. The last one is written at
        the end.
    resume : bool, default=False
        Whether `fit` goes on from the checkpoint in the folder, where there is one, to the same
        result as if it had not been interrupted. Parameters and texts must be the same.
    verbose : int, default=0
        1 shows a progress bar with losses, accuracies and time left.

    Attributes
    ----------
    tokenizer_ : TextTokenizer or None
        The fitted tokenizer; None where `fit` was given tokens.
    encoder_ : skfnet.nn.Encoder
        The encoder.
    encoders_ : list of skfnet.nn.Encoder
        The same in a list.
    history_ : list of dict
        For each pass: "epoch", "step", "seconds", and "train_loss" and "valid_loss", the sums of
        the objectives' losses; and for each objective such as "masked_tokens"
        "train_masked_tokens_loss", "train_masked_tokens_accuracy" and the same for "valid".
    n_iter_ : int
        Number of passes.
    n_steps_ : int
        Number of steps.
    device_ : torch.device
        Where the weights are.

    See Also
    --------
    FNetClassifier : Starts from a pretrainer given as `pretrained`.

    References
    ----------
    Lee-Thorp, Ainslie, Eckstein and Ontanon, "FNet: Mixing Tokens with Fourier Transforms",
    NAACL 2022, arXiv 2105.03824, section 4.1.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skfnet import FNetClassifier, FNetPretrainer
    >>> texts = ["good film", "bad film", "good plot", "bad plot"] * 8
    >>> pretrainer = FNetPretrainer(width=32, max_epochs=2, random_state=0).fit(texts)
    >>> pretrainer.transform(texts).shape
    (32, 32)
    >>> clf = FNetClassifier(pretrained=FrozenEstimator(pretrainer), random_state=0)
    >>> clf.fit(texts, ["praise", "blame", "praise", "blame"] * 8).encoder_.config.width
    32
    """

    _auto_mixer = "spectral"

    _parameter_constraints: dict[str, list] = {
        **TextEstimator._parameter_constraints,
        "initial_words": [StrOptions({"auto", "lsa", "random"})],
        "objectives": [list, tuple],
        "masked_share": [Interval(Real, 0, 1, closed="neither")],
        "maskable_words": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "max_steps": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_minutes": [Interval(Real, 0, None, closed="left")],
        "resume": ["boolean"],
    }

    def __init__(
        self,
        *,
        tokenizer: TextTokenizer | FrozenEstimator | tokenizers.Tokenizer | str | None = None,
        max_length: int = 1024,
        long_documents: str = "mean",
        depth: int = 2,
        width: int = 128,
        feedforward_width: int | None = None,
        architecture: str = "default",
        mixer: str | Callable[[EncoderConfig], Any] = "auto",
        attention_layers: int = 0,
        attention_layout: str = "top",
        dropout: float = 0.1,
        pooling: str = "mean_max",
        padding: str = "auto",
        initial_words: str = "auto",
        objectives: tuple[str, ...] | list[str] = OBJECTIVES,
        masked_share: float = 0.15,
        maskable_words: int | str | None = "auto",
        max_epochs: int = 10,
        max_steps: int | None = None,
        batch_size: int = 64,
        learning_rate: float | str = "auto",
        weight_decay: float = 0.01,
        validation_fraction: float = 0.05,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        precision: str = "auto",
        callbacks: list | None = None,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_minutes: float = 10,
        resume: bool = False,
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
        self.initial_words = initial_words
        self.objectives = objectives
        self.masked_share = masked_share
        self.maskable_words = maskable_words
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.validation_fraction = validation_fraction
        self.checkpoint = checkpoint
        self.checkpoint_minutes = checkpoint_minutes
        self.resume = resume

    def fit(self, X: Any, y: None = None) -> Self:
        """Learn from texts.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents, as for :class:`FNetClassifier`. Of pairs, the two texts are the
            segments; a single document's are its halves.
        y : None
            There are no labels.

        Returns
        -------
        FNetPretrainer
            Itself.

        Raises
        ------
        ValueError
            If there are labels; if a parameter is out of range, or a document is missing or of
            the wrong kind; if the texts have nothing to be found out; or if `resume` is asked to
            go on with other parameters or texts.
        """
        self._check_no_labels(y)
        self._check_parameters()
        documents = self._documents(X, fitted=False)
        path = None if self.checkpoint is None else checkpoint_path(self.checkpoint)
        found = Checkpoint.read(path) if self.resume and path.exists() else None
        run = found.run if found else Run(draw_seed(self.random_state))
        tokenizer, config = self._read_by(documents, found.tokenizer if found else None)
        tokens = to_tokens(documents, tokenizer, config, self.long_documents)
        train, valid = self._split(tokens, config, run.seed)
        here = Checkpoint(run, tokenizer, settings_of(self.get_params(deep=False)), "", {})
        if path is not None:
            here.digest = digest_of(tokens)
        if found:
            found.check_same(path, here.settings, here.digest)
            remove_parts(path)

        self._start(tokenizer, config, run.seed)
        if not found:
            self._take_words_from(train, run.seed)
        n_steps = n_steps_of(len(train), self.batch_size, self.max_epochs, self.max_steps)
        n_passes = -(-n_steps // -(-len(train) // self.batch_size))
        net = self._make_net(run, n_steps, n_passes - run.epoch, valid, self._writer(here, path))
        if found:
            found.put_into(net)
            found.weights = {}  # they are views of a file that is to be replaced
        if not run.finished:
            self._train(net, train)
            run.finished = not net.interrupted
            if path is not None and run.finished:
                here.take(net).write(path)
        self._take_history(run)
        return self

    def partial_fit(self, X: Any, y: None = None) -> Self:
        """Go once over more text.

        The first call learns the vocabulary, and what the words begin with, from its own
        documents: give it many. The learning rate rises over the first 20 batches and then stays;
        nothing is held out, and no checkpoint is written.

        Parameters
        ----------
        X : iterable or iterator of str or of pairs of str, or TokenArray
            The documents. An iterator, such as a generator, is read in parts of 20,000 documents:
            it need not fit into memory. The first part is then the first call.
        y : None
            There are no labels.

        Returns
        -------
        FNetPretrainer
            Itself.
        """
        self._check_no_labels(y)
        self._check_parameters()
        if not isinstance(X, Iterator):
            return self._go_on(X)
        self._go_on(list(islice(X, _PART)))
        while not self._stream.interrupted and (part := list(islice(X, _PART))):
            self._go_on(part)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Learn from texts, then give their vectors.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.
        y : object
            Ignored: a pipeline hands its labels to every step.

        Returns
        -------
        ndarray of float32, shape (n_documents, width)
        """
        return super().fit_transform(X)

    def score(self, X: Any, y: None = None) -> float:
        """Give the share of hidden words that are found out, of texts that were not learned from.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents. What is hidden of them is the same at each call.
        y : None
            There are no labels.

        Returns
        -------
        float
            The accuracy of "masked_tokens", among as many words as `maskable_words` says; of
            "segment_order" where that is the only objective.
        """
        self._check_no_labels(y)
        check_is_fitted(self)
        tokens = self._tokens(self._documents(X))
        rows = self._rows(tokens, self.encoder_.config, self._model.n_words)
        rows.check_enough()
        hides = "masked_tokens" in self.objectives
        measures = measure(self._model, rows, **self._batches_there())
        return measures["masked_tokens_accuracy" if hides else "segment_order_accuracy"]

    def save(self, folder: str | os.PathLike) -> None:
        """Write what was learned into a folder, for the `pretrained` parameter and for `load`.

        One file, ``pretrainer.safetensors``: the weights, and tokenizer, sizes and history as
        JSON. It is written all at once, or not at all.

        Parameters
        ----------
        folder : str or path-like
            Made where it is missing.

        Raises
        ------
        ValueError
            If `mixer` is not the name of one: a file of data holds no code.
        """
        check_is_fitted(self)
        write_pretrainer(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike, device: str = "auto") -> FNetPretrainer:
        """Read what `save` wrote: a fitted pretrainer, ready to be used or to go on.

        Parameters
        ----------
        folder : str or path-like
            Where it was saved.
        device : str, default="auto"
            The parameter of that name. `random_state`, `callbacks` and what concerns checkpoints
            are as by default; `tokenizer` is the fitted one, frozen.

        Returns
        -------
        FNetPretrainer

        Raises
        ------
        FileNotFoundError
            If the folder or its file is missing.
        ValueError
            If the file is not complete, or not such a file.
        """
        return read_pretrainer(cls, folder, device)

    def to_huggingface(self, folder: str | os.PathLike) -> None:
        """Write what was learned so that transformers gives the same outputs.

        ``FNetForPreTraining.from_pretrained(folder)`` (or that of another class, for its encoder)
        and ``AutoTokenizer.from_pretrained(folder)`` read it, and so does the `pretrained`
        parameter of `FNetClassifier`.

        Parameters
        ----------
        folder : str or path-like
            Made where it is missing; files of the same names are written over.

        Raises
        ------
        ValueError
            If transformers' FNet cannot express the model: the parameters are named. Train with
            ``architecture="paper"`` and ``pooling="cls"``.
        """
        check_is_fitted(self)
        write_pretraining(self, folder)

    # From texts to a trained model.

    def _check_no_labels(self, y: Any) -> None:
        if y is not None:
            raise ValueError(
                f"{type(self).__name__} learns from texts alone: y must be None, got "
                f"{type(y).__name__}. Labels are for FNetClassifier or FNetRegressor, which may "
                "start from this as their `pretrained`."
            )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_attention_layers()
        name = type(self).__name__
        if not self.objectives or any(given not in OBJECTIVES for given in self.objectives):
            raise InvalidParameterError(
                f"The 'objectives' parameter of {name} must be one or both of "
                f"{list(OBJECTIVES)}. Got {self.objectives!r} instead."
            )
        if self.resume and self.checkpoint is None:
            raise InvalidParameterError(
                f"The 'resume' parameter of {name} is True, but checkpoint=None names no folder "
                "to go on from."
            )

    def _read_by(
        self, documents: Documents, tokenizer: TextTokenizer | None = None
    ) -> tuple[TextTokenizer | None, EncoderConfig]:
        """Give the tokenizer, fitted where there is none yet, and the shape of the encoder."""
        if tokenizer is None:
            tokenizer = self._fitted_tokenizer(documents)
        pairs = in_pairs(documents) or "segment_order" in self.objectives
        check_room(self.max_length, documents, tokenizer, pairs)
        sizes = vocabulary_size(documents, tokenizer), n_buckets(documents, tokenizer)
        return tokenizer, self._config(*sizes)

    def _split(
        self, tokens: TokenArray, config: EncoderConfig, seed: int
    ) -> tuple[PretrainingRows, Any]:
        """Give what is learned from, and what is held out or None."""
        rows = np.arange(len(tokens))
        learns = bool(self.max_epochs or self.max_steps)
        n_valid = int(np.ceil(self.validation_fraction * len(rows))) if learns else 0
        valid = rows[:0]
        if n_valid:
            if n_valid == len(rows):
                raise ValueError(
                    f"validation_fraction={self.validation_fraction} would hold out all of "
                    f"{len(rows)} documents. Use a smaller one, or 0."
                )
            rows, valid = train_test_split(rows, test_size=n_valid, random_state=seed)
        n_words = self._n_words(config)
        train = self._rows(tokens[np.sort(rows)], config, n_words)
        train.check_enough()
        if not n_valid:
            return train, None
        return train, self._rows(tokens[np.sort(valid)], config, n_words)

    def _rows(
        self, tokens: TokenArray, config: EncoderConfig, n_words: int | None
    ) -> PretrainingRows:
        hides = "masked_tokens" in self.objectives
        return PretrainingRows(
            tokens,
            config.max_length,
            self.long_documents,
            Masking.of(tokens, self.masked_share, n_words) if hides else None,
            "segment_order" in self.objectives,
            padding=config.padding,
            shared_types=config.shared_types,
        )

    @property
    def _rate(self) -> float:
        if self.learning_rate == "auto":
            return _RATE_OF_PAPER if self.architecture == "paper" else _RATE
        return self.learning_rate

    def _n_words(self, config: EncoderConfig) -> int | None:
        """Give how many entries of the vocabulary a new model tells apart; None is all."""
        if self.maskable_words == "auto":
            return _MASKABLE_WORDS if config.subword_buckets else None  # words, which are spelled
        return self.maskable_words

    def _start(self, tokenizer: TextTokenizer | None, config: EncoderConfig, seed: int) -> None:
        """Forget everything and set up a new model."""
        device = usable_device(self.device)
        with seeded(seed, device):
            model = PretrainingModel(config, self.pooling, self._n_words(config))
        self.tokenizer_ = tokenizer
        self.device_ = device
        self._model = model.to(device).eval()
        self._stream = None

    def _take_words_from(self, rows: PretrainingRows, seed: int) -> None:
        """Begin with what the documents tell of the words alone; see `initial_words`."""
        embeddings = self.encoder_.embeddings
        initial = self.initial_words
        if initial == "auto":
            initial = "lsa" if embeddings.subwords is not None else "random"
        if initial == "random":
            return
        embeddings.begin_with(*latent_semantic_vectors(rows.documents, self.width, seed))

    def _go_on(self, X: Any) -> Self:
        """Go once over a part of a stream."""
        first = not self.__sklearn_is_fitted__()
        documents = self._documents(X, not first)
        seed = draw_seed(self.random_state)
        if first:
            tokenizer, config = self._read_by(documents)
        else:
            tokenizer, config = self.tokenizer_, self.encoder_.config
        tokens = to_tokens(documents, tokenizer, config, self.long_documents)
        rows = self._rows(tokens, config, self._n_words(config) if first else self._model.n_words)
        if first:
            rows.check_enough()
            self._start(tokenizer, config, seed)
            self._take_words_from(rows, seed)
        if getattr(self, "_stream", None) is None:
            self._stream = self._make_net(Run(seed), None, 1)
        net = self._stream  # keeps the optimizer's state from call to call
        net.run.in_epoch, net.run.seconds, net.run.sums = 0, 0.0, {}  # left by an interruption
        net.batch_size, net.lr = self.batch_size, self._rate
        self._train(net, rows)
        self._take_history(net.run)
        return self

    def _make_net(
        self,
        run: Run,
        n_steps: int | None,
        n_passes: int,
        valid: PretrainingRows | None = None,
        checkpoints: list[Checkpoints] | None = None,
    ) -> PretrainingNet:
        return make_pretraining_net(
            self._model,
            run,
            n_steps=n_steps,
            n_passes=n_passes,
            batch_size=self.batch_size,
            learning_rate=self._rate,
            weight_decay=self.weight_decay,
            valid=valid,
            device=self.device_,
            bfloat16=use_bfloat16(self.precision, self.device_),
            callbacks=[*(checkpoints or ()), *(self.callbacks or ())],
            verbose=bool(self.verbose),
        )

    def _writer(self, here: Checkpoint, path: Path | None) -> list[Checkpoints]:
        """Give what writes down where the run stands, where that is asked for."""
        if path is None:
            return []
        return [Checkpoints(lambda net: here.take(net).write(path), self.checkpoint_minutes)]

    def _train(self, net: PretrainingNet, rows: PretrainingRows) -> None:
        try:
            with seeded(net.run.seed, self.device_):
                net.partial_fit(rows, None)
        finally:
            self._model.eval()

    def _take_history(self, run: Run) -> None:
        self.history_ = run.history
        self.n_iter_, self.n_steps_ = len(run.history), run.step
