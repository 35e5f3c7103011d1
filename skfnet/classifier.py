"""FNetClassifier: text in, labels out, the scikit-learn way."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Self

import numpy as np
import tokenizers
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, compute_class_weight
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call
from torch import Tensor

from .documents import Documents
from .nn import EncoderConfig
from .objectives import ONE_CLASS, SEVERAL_LABELS, Objective
from .pretrainer import FNetPretrainer
from .supervised import SupervisedEstimator
from .targets import check_indicator, check_labels, is_indicator
from .tokenizer import TextTokenizer

__all__ = ["FNetClassifier"]


class FNetClassifier(ClassifierMixin, SupervisedEstimator):
    """Text classifier with a Fourier-mixing encoder, trained from scratch or pretrained.

    Texts become tokens (:class:`TextTokenizer`), a small FNet encoder mixes them by Fourier
    transforms, each document by itself, mean and maximum of the hidden states go through a
    linear layer. Several such encoders are trained side by side and averaged. A document's result
    depends on that document alone, never on what else is in the batch.

    Parameters
    ----------
    tokenizer : TextTokenizer, FrozenEstimator, tokenizers.Tokenizer, str or None, default=None
        None is ``TextTokenizer()``. An unfitted TextTokenizer is cloned and fitted on the
        training texts, and its parameters can be searched (``tokenizer__vocab_size``). A fitted
        one in ``FrozenEstimator``, or a ready ``tokenizers.Tokenizer``, is used as it is.
        With "precomputed", each row of X is a sequence of whole numbers, the token ids.
    max_length : int, default=1024
        Longest window that the encoder reads, in tokens, special ones included.
    long_documents : {"truncate", "mean"}, default="truncate"
        What happens beyond `max_length`: the rest is left out, with a warning that counts the
        documents, or the document is read in windows of `max_length` and their logits are
        averaged. Pairs of texts are always cut, the longer text first.
    depth : int, default=2
        Number of encoder blocks.
    width : int, default=64
        Size of each encoder's hidden states.
    feedforward_width : int or None, default=None
        Inner size of the feed-forward layers; None is ``2 * width``, and ``4 * width`` with
        ``architecture="paper"``.
    architecture : {"default", "paper"}, default="default"
        What the blocks are like. "default" is what trains well on small corpora, "paper" is the
        published FNet: post-norm blocks, an unnormalised transform, no vectors for pairs and
        n-grams; its default tokenizer is ``TextTokenizer(model="bpe")``. What is pretrained
        brings its own.
    mixer : str or callable, default="auto"
        Name of the token mixer, a key of :data:`skfnet.nn.MIXERS`: "fourier", the paper's,
        "hartley", "dct", "hadamard", "wavelet", "fourier_sequence", "fourier_hidden",
        "fourier_abs", "fourier_complex", "fourier_frames", "fractional", "linear", "random",
        "none", "attention" or "spectral". Or a class or function that makes a module from an
        :class:`~skfnet.nn.EncoderConfig`. "auto" is "fourier_frames", "fourier" for
        ``architecture="paper"``, and with `pretrained` the mixer of that.
    attention_layers : int, default=0
        Number of blocks, at most `depth`, with self-attention in place of `mixer`.
    attention_layout : {"top", "bottom", "middle", "mixed"}, default="top"
        Which blocks these are: the last, the first, those in the middle, or spread evenly.
    n_encoders : int or "auto", default="auto"
        Number of encoders that are trained side by side from different initial weights. The mean
        of their outputs is the answer. "auto" is 4, and 1 for ``architecture="paper"``, pretrained
        or not, published weights among them. With several, and 250 documents or more, each half
        of them leaves out a sixteenth of the documents, on which the probabilities are calibrated
        (Guo et al., arXiv 1706.04599, section 4.2).
    target_encoding : bool, default=True
        Whether every other encoder is told of each word, pair and triple of words and character
        n-gram what the targets are of the documents it stands in, other documents than the one it
        is trained on, in place of vectors that it learns (as
        :class:`sklearn.preprocessing.TargetEncoder` does for categories). It is so in `fit`, with
        two encoders or more, from 250 single texts on with one class each, without `class_weight`
        and `pretrained` and in the default `architecture`. What goes on keeps its kinds of
        encoders: `warm_start` counts anew in 250 texts or more, `partial_fit` does not count.
    dropout : float, default=0.2
        Share of hidden units dropped in training, after the embeddings and each feed-forward
        layer and before the output layer. 0 also keeps the pairs of neighbouring tokens, of
        which half are left out otherwise, and the n-grams of words, of which a fifth are.
    pooling : {"auto", "mean_max", "mean", "max", "cls"}, default="auto"
        How hidden states become one vector: their mean or maximum over the document, the sum of
        both, each after a LayerNorm, or the paper's dense tanh layer on the first token. "auto"
        is "mean_max", "cls" for ``architecture="paper"``, and what a pretrained encoder had.
    padding : {"auto", "exact", "max_length"}, default="auto"
        Whether a document is read at its own length, or made `max_length` long by [PAD] tokens
        that are mixed like words, as the published weights were trained. "auto" is "exact", and
        what a pretrained encoder was trained with.
    pretrained : FNetPretrainer, FrozenEstimator, str, path-like or None, default=None
        What to start from; None trains from nothing. A fitted :class:`FNetPretrainer` in
        ``FrozenEstimator``, or the folder that one was saved in, is used as it is. An unfitted
        one is cloned and fitted on the training texts, and on the `unlabeled` texts given to
        `fit`. A name on the Hugging Face hub such as ``"google/fnet-base"``, or a folder in the
        layout of transformers, gives published weights. Tokenizer, `max_length`, sizes and mixer
        come from what is pretrained: leave them out here. Each of the encoders starts from the
        same weights, with an output layer of its own.
    freeze : int, "half", "words", "all", None or "auto", default="auto"
        How much of a pretrained encoder stays as it is: the embeddings and so many blocks, from
        the first on; the embeddings but for the types, which tell the texts of a pair apart, in
        the first and every other encoder ("half") or in each ("words"); all of it, vectors of the
        documents computed once and the output layer alone trained; or nothing. "auto" is "half" in
        `fit` where an :class:`FNetPretrainer` knows words, and from scratch for pairs of texts,
        whose words begin with latent semantic analysis in these encoders. It is None everywhere
        else: where tokens are no words, and in `partial_fit`. Of three encoders or more, each kind
        of "half" is calibrated by itself, so that the better one counts more.
    layer_decay : float, default=1.0
        Factor on the learning rate from layer to layer, downwards from the output layer: so much
        for the last block of a pretrained encoder, its square for the one below, and so on down
        to the embeddings.
    max_epochs : int or "auto", default="auto"
        Passes over the training documents. "auto" gives a small corpus enough steps to learn:
        ``(28 + n_classes / 2) / sqrt(n_documents / batch_size)``, more where that makes less than
        240 steps, at least 2 and at most 60.
    batch_size : int or "auto", default="auto"
        Documents in a batch. "auto" is a sixteenth of the training documents, between 8 and
        64.
    learning_rate : float or "auto", default="auto"
        Peak of the dense layers' rate, which rises linearly over the first tenth of the steps
        and then falls linearly to 0. Embeddings of words have 15 times this rate, those of pairs
        and n-grams 40 times. "auto" is 4e-3, 1e-3 for blocks that an
        :class:`FNetPretrainer` has taught, and 3e-5 for published weights.
    weight_decay : float, default=0.01
        Decoupled weight decay of the dense layers.
    label_smoothing : float, default=0.05
        Share of each target spread evenly over all classes. Multi-label targets are not smoothed.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn; not for multi-label targets.
    early_stopping : bool, default=False
        Whether to hold out a part of the training documents, stratified by class (multi-label
        targets are not), to stop when its loss no longer falls, and to return to the best weights.
        The probabilities are then calibrated on it.
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
        The labels, sorted; the numbers of the columns of y where it is an indicator matrix.
    multilabel_ : bool
        Whether y was an indicator matrix: any number of labels a document.
    tokenizer_ : TextTokenizer or None
        The fitted tokenizer; None where `fit` was given tokens.
    encoder_ : skfnet.nn.Encoder
        The first of the trained encoders.
    encoders_ : list of skfnet.nn.Encoder
        All of them.
    history_ : list of dict
        For each epoch its losses, accuracies and seconds.
    n_iter_ : int
        Number of epochs trained.
    device_ : torch.device
        Where the weights are.

    See Also
    --------
    FNetRegressor : Predicts numbers.
    FNetPretrainer : Learns from text alone, for `pretrained`.
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
    (32, 256)

    Several labels a document: y has a column for each of them.

    >>> about_plot = [[int("bad" in text), int("plot" in text)] for text in texts]
    >>> FNetClassifier(random_state=0).fit(texts, about_plot).predict(["bad plot", "good film"])
    array([[1, 1],
           [0, 0]])
    """

    _parameter_constraints: dict[str, list] = {
        **SupervisedEstimator._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
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
            n_encoders=n_encoders,
            target_encoding=target_encoding,
            dropout=dropout,
            pooling=pooling,
            padding=padding,
            pretrained=pretrained,
            freeze=freeze,
            layer_decay=layer_decay,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            random_state=random_state,
            device=device,
            precision=precision,
            callbacks=callbacks,
            verbose=verbose,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

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
        X : iterable of str or of pairs of str, or TokenArray
            The documents.
        y : array-like of shape (n_documents,) or (n_documents, n_labels)
            Their labels.
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call, unless y is an indicator
            matrix.
        sample_weight : array-like of shape (n_documents,), optional
            Weights of the documents.

        Returns
        -------
        FNetClassifier
            Itself.
        """
        first = not self.__sklearn_is_fitted__()
        documents, y, weights = self._checked(X, y, sample_weight, not first)
        if y.ndim == 2:
            learned = self._learn(y, weights)
        else:
            if first:
                vars(self).pop("classes_", None)  # left by a first call that failed
            _check_partial_fit_first_call(self, classes)
            self._check_several_classes(self.classes_)
            learned = {"classes_": self.classes_, "multilabel_": False}
        weights = self._reweighted(weights, y, learned)
        return self._go_on(documents, y, weights, learned if first else None)

    def predict(self, X: Any) -> np.ndarray:
        """Give the likeliest label of each document, or all labels likelier than not.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of shape (n_documents,), or of int64 and shape (n_documents, n_labels)
            A matrix of 0 and 1 where y was one.
        """
        logits = self._outputs(X)
        if self.multilabel_:
            return (logits > 0).astype(np.int64)
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the probability of each class, or of each label.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float32, shape (n_documents, n_classes)
            Columns in the order of `classes_`. Rows sum to 1, unless y was an indicator matrix.
        """
        logits = self._outputs(X)
        return expit(logits) if self.multilabel_ else softmax(logits, axis=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Give the logits; with two classes the second's minus the first's.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float32, shape (n_documents, n_classes) or (n_documents,)
        """
        logits = self._outputs(X)
        if self.multilabel_ or len(self.classes_) > 2:
            return logits
        return logits[:, 1] - logits[:, 0]

    @property
    def _objective(self) -> Objective:
        return SEVERAL_LABELS if self.multilabel_ else ONE_CLASS

    def _count_outputs(self, learned: dict[str, Any]) -> int:
        return len(learned["classes_"])

    @staticmethod
    def _take_head(labels: list[Any], problem: str) -> tuple[dict[str, Any], np.ndarray]:
        if problem == "regression":
            raise ValueError(
                "the model was trained to predict numbers: use FNetRegressor.from_huggingface."
            )
        if problem == "multi_label_classification":
            numbers = np.arange(len(labels))
            return {"classes_": numbers, "multilabel_": True}, numbers
        classes, order = np.unique(np.array(labels), return_index=True)
        return {"classes_": classes, "multilabel_": False}, order

    def _give_head(self, output: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Any], str]:
        kinds = "single_label_classification", "multi_label_classification"
        return dict(output), self.classes_.tolist(), kinds[self.multilabel_]

    def _check_targets(self, y: Any) -> np.ndarray:
        return check_indicator(y) if is_indicator(y) else check_labels(y)

    def _learn(self, y: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        if y.ndim == 2:
            return {"classes_": np.arange(y.shape[1]), "multilabel_": True}
        classes = np.unique(y)
        self._check_several_classes(classes)
        return {"classes_": classes, "multilabel_": False}

    def _encode(self, y: np.ndarray, learned: dict[str, Any]) -> np.ndarray:
        classes, multilabel = learned["classes_"], learned["multilabel_"]
        if (y.ndim == 2) != multilabel:
            kinds = "one label a document", "an indicator matrix"
            raise ValueError(
                f"y holds {kinds[not multilabel]}, but {type(self).__name__} was fitted on "
                f"{kinds[multilabel]}."
            )
        if not multilabel:
            return _class_numbers(y, classes)
        if y.shape[1] != len(classes):
            raise ValueError(
                f"y has {y.shape[1]} columns, but that of the first call had {len(classes)}."
            )
        return y.astype(np.float32)

    def _can_encode_targets(self, documents: Documents, learned: dict[str, Any]) -> bool:
        # Of several labels, and under class weights, its caution costs more F1 than it gains.
        one_class = not learned["multilabel_"] and self.class_weight is None
        return one_class and super()._can_encode_targets(documents, learned)

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        return None if y.ndim == 2 else np.unique(y, return_inverse=True)[1]

    def _check_goes_on(self, learned: dict[str, Any]) -> None:
        classes = learned["classes_"]
        if learned["multilabel_"] == self.multilabel_ and np.array_equal(classes, self.classes_):
            return
        raise ValueError(
            f"warm_start=True goes on with the classes {self.classes_.tolist()}, but y holds "
            f"{classes.tolist()}. Use warm_start=False to start anew."
        )

    def _reweighted(
        self, weights: np.ndarray, y: np.ndarray, learned: dict[str, Any]
    ) -> np.ndarray:
        """Multiply by the classes' weights."""
        if self.class_weight is not None:
            if y.ndim == 2:
                raise ValueError(
                    "class_weight is for one label a document; y is an indicator matrix. Use "
                    "sample_weight, or class_weight=None."
                )
            classes = learned["classes_"]
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

    def _check_several_classes(self, classes: np.ndarray) -> None:
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but y holds "
                f"only one class: {classes.tolist()[0]!r}."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _class_numbers(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    numbers = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = np.flatnonzero(classes[numbers] != y)
    if len(unknown):
        raise ValueError(
            f"Row {unknown[0]} of y holds the label {y[unknown].tolist()[0]!r}, not among "
            f"the classes of the first call: {classes.tolist()}."
        )
    return numbers
