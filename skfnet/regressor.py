"""FNetRegressor: text in, numbers out, the scikit-learn way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from torch import Tensor

from .nn.heads import rescaled
from .objectives import NUMBERS
from .supervised import SupervisedEstimator
from .targets import check_numbers

__all__ = ["FNetRegressor"]


class FNetRegressor(RegressorMixin, SupervisedEstimator):
    """Text regressor with a Fourier-mixing encoder, trained from scratch or pretrained.

    As :class:`FNetClassifier`, but the output layer gives numbers, trained by their mean squared
    error. Each target is scaled to mean 0 and variance 1 for training, and scaled back in what is
    predicted.

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
        documents, or the document is read in windows of `max_length` and their outputs are
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
        or not, published weights among them.
    target_encoding : bool, default=True
        Whether every other encoder is told of each word, pair and triple of words and character
        n-gram what the targets are of the documents it stands in, other documents than the one it
        is trained on, in place of vectors that it learns (as
        :class:`sklearn.preprocessing.TargetEncoder` does for categories). It is so in `fit`, with
        two encoders or more, from 250 single texts on, without `pretrained` and in the default
        `architecture`. What goes on keeps its kinds of encoders: `warm_start` counts anew in 250
        texts or more, `partial_fit` does not count.
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
        else: where tokens are no words, and in `partial_fit`.
    layer_decay : float, default=1.0
        Factor on the learning rate from layer to layer, downwards from the output layer: so much
        for the last block of a pretrained encoder, its square for the one below, and so on down
        to the embeddings.
    max_epochs : int or "auto", default="auto"
        Passes over the training documents. "auto" gives a small corpus enough steps to learn:
        ``(28 + n_outputs / 2) / sqrt(n_documents / batch_size)``, more where that makes less than
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
    early_stopping : bool, default=False
        Whether to hold out a part of the training documents, to stop when its loss no longer
        falls, and to return to the best weights.
    validation_fraction : float, default=0.1
        Share held out where `early_stopping` is on.
    n_iter_no_change : int, default=5
        Epochs without a lower held-out loss before training stops; they count from the end of
        the warm-up, the first tenth of `max_epochs`.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last one, with its tokenizer and its scale
        of the targets; their number must be the same.
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
    n_outputs_ : int
        Numbers to predict for each document.
    target_mean_, target_scale_ : ndarray of float64, shape (n_outputs,)
        Mean and standard deviation of the training targets.
    tokenizer_ : TextTokenizer or None
        The fitted tokenizer; None where `fit` was given tokens.
    encoder_ : skfnet.nn.Encoder
        The first of the trained encoders.
    encoders_ : list of skfnet.nn.Encoder
        All of them.
    history_ : list of dict
        For each epoch its losses and seconds.
    n_iter_ : int
        Number of epochs trained.
    device_ : torch.device
        Where the weights are.

    See Also
    --------
    FNetClassifier : Predicts labels.
    FNetPretrainer : Learns from text alone, for `pretrained`.

    References
    ----------
    Lee-Thorp, Ainslie, Eckstein and Ontanon, "FNet: Mixing Tokens with Fourier Transforms",
    NAACL 2022, arXiv 2105.03824.

    Examples
    --------
    >>> from skfnet import FNetRegressor
    >>> texts = ["good film", "bad film", "good plot", "bad plot"] * 8
    >>> stars = [5, 1, 4, 2] * 8
    >>> reg = FNetRegressor(random_state=0).fit(texts, stars)
    >>> reg.predict(["good film", "bad film"]).round().tolist()
    [5.0, 1.0]
    """

    _objective = NUMBERS

    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Go once over a part of a stream of documents.

        The first call learns the vocabulary and the scale of the targets from its own documents:
        give it many. The learning rate rises over the first 20 batches and then stays. Weights
        count as they are: a document of weight 2 moves the model twice as far as one of weight 1.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.
        y : array-like of shape (n_documents,) or (n_documents, n_outputs)
            The numbers to predict.
        sample_weight : array-like of shape (n_documents,), optional
            Weights of the documents.

        Returns
        -------
        FNetRegressor
            Itself.
        """
        first = not self.__sklearn_is_fitted__()
        documents, y, weights = self._checked(X, y, sample_weight, not first)
        return self._go_on(documents, y, weights, self._learn(y, weights) if first else None)

    def predict(self, X: Any) -> np.ndarray:
        """Give the number, or the numbers, of each document.

        Parameters
        ----------
        X : iterable of str or of pairs of str, or TokenArray
            The documents.

        Returns
        -------
        ndarray of float64, shape (n_documents,) or (n_documents, n_outputs)
        """
        numbers = self._outputs(X) * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.n_outputs_ == 1 else numbers

    def _count_outputs(self, learned: dict[str, Any]) -> int:
        return learned["n_outputs_"]

    @staticmethod
    def _take_head(labels: list[Any], problem: str) -> tuple[dict[str, Any], np.ndarray]:
        if problem != "regression":
            raise ValueError(
                "the model was trained to predict labels: use FNetClassifier.from_huggingface."
            )
        n = len(labels)
        learned = {"n_outputs_": n, "target_mean_": np.zeros(n), "target_scale_": np.ones(n)}
        return learned, np.arange(n)

    def _give_head(self, output: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Any], str]:
        # The scale of the targets goes into the layer, which so gives the numbers themselves.
        layer = rescaled(output, self.target_scale_, self.target_mean_)
        return layer, [f"LABEL_{i}" for i in range(self.n_outputs_)], "regression"

    def _check_targets(self, y: Any) -> np.ndarray:
        return check_numbers(y)

    def _learn(self, y: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
        columns = y.reshape(len(y), -1)
        mean = np.average(columns, axis=0, weights=weights)
        scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
        return {
            "n_outputs_": columns.shape[1],
            "target_mean_": mean,
            "target_scale_": np.where(scale > 0, scale, 1.0),
        }

    def _encode(self, y: np.ndarray, learned: dict[str, Any]) -> np.ndarray:
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != learned["n_outputs_"]:
            raise ValueError(
                f"y holds {columns.shape[1]} numbers a document, but {type(self).__name__} was "
                f"fitted on {learned['n_outputs_']}."
            )
        return ((columns - learned["target_mean_"]) / learned["target_scale_"]).astype(np.float32)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
