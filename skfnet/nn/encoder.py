"""The encoder: embeddings, then blocks of mixing and feed-forward layers.

Lee-Thorp, Ainslie, Eckstein and Ontanon, "FNet: Mixing Tokens with Fourier Transforms",
arXiv 2105.03824, figure 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .dropout import Dropout
from .mixing import make_mixer
from .tables import Bigrams, Subwords
from .target_tables import NGRAMS, TargetEncoding

__all__ = ["Block", "Embeddings", "Encoder"]

_ACTIVATIONS = {"gelu": partial(F.gelu, approximate="tanh"), "relu": F.relu}
_INITIAL_SD = 0.02  # of kernels and embeddings, as in the reference implementation


class Encoder(nn.Module):
    """Token ids in, hidden states out.

    Parameters
    ----------
    config : EncoderConfig
        Sizes and choices.

    Examples
    --------
    >>> import torch
    >>> from skfnet.nn import Encoder, EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=8000, width=256, depth=4, mixer="fourier"))
    >>> ids = torch.tensor([[5, 17, 3], [5, 9, 0]])
    >>> encoder(ids, lengths=torch.tensor([3, 2])).shape
    torch.Size([2, 3, 256])
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config, mixer) for mixer in config.mixers)
        self.apply(_initialise)

    def know_bigrams(self, bigrams: np.ndarray) -> None:
        """Begin a new table for pairs of neighbouring tokens: a row for each of these, no others.

        Parameters
        ----------
        bigrams : ndarray of int64, shape (n_bigrams,)
            Their numbers, rising: the first token's id times `vocab_size`, plus the second's.

        Raises
        ------
        ValueError
            If there are none, they do not rise, or the encoder has no such table.
        """
        _check_rising("know_bigrams", bigrams)
        if self.embeddings.bigrams is None:
            raise ValueError("The encoder was built with bigram_buckets=0, and reads no pairs.")
        self.embeddings.bigrams.look_up_among(torch.tensor(bigrams, dtype=torch.int64))
        self.config = replace(self.config, bigram_buckets=len(bigrams), bigram_rows="known")

    def take_target_encoding(
        self, ngrams: Sequence[np.ndarray], tables: Mapping[str, np.ndarray | Tensor]
    ) -> None:
        """Describe tokens by these numbers from now on.

        Parameters
        ----------
        ngrams : sequence of ndarray of int64
            Which pairs are described, as :meth:`know_bigrams` takes them, and which triples: the
            place of the first two tokens among these pairs times `vocab_size`, plus the third
            token. There may be pairs alone, or none.
        tables : mapping of str to ndarray or Tensor of float32, shape (n_tables, n_rows, size)
            "words", "bigrams", "trigrams" and "subwords", as far as the encoder reads them, of
            ``target_encoding`` numbers a row. `folds` of a call say which of the tables; without
            `folds`, and once the encoder is stored, it is the last one.

        Raises
        ------
        ValueError
            If the encoder learns its vectors or does not read so long runs of tokens, numbers do
            not rise, or a table has another shape.
        """
        config = self.config
        if not config.target_encoding:
            raise ValueError("The encoder was built with target_encoding=0, and learns vectors.")
        if len(ngrams) > len(self.embeddings.encoding.ngrams):
            raise ValueError(
                f"ngrams are {len(ngrams)} arrays, but the encoder was built with "
                f"bigram_buckets={config.bigram_buckets} and "
                f"trigram_buckets={config.trigram_buckets}."
            )
        for numbers in ngrams:
            _check_rising("take_target_encoding", numbers)
        n_ngrams = dict(zip(NGRAMS, map(len, ngrams), strict=False))
        n_rows = {"words": config.vocab_size, **n_ngrams, "subwords": config.subword_buckets}
        for name, n in n_rows.items():
            if n and tables[name].shape[1:] != (n, config.target_encoding):
                raise ValueError(
                    f"The table of {name} has rows of shape {tuple(tables[name].shape[1:])}, and "
                    f"should have {(n, config.target_encoding)}."
                )
        self.embeddings.encoding.take(ngrams, tables)
        self.config = replace(
            config,
            bigram_buckets=n_ngrams.get("bigrams", 0),
            trigram_buckets=n_ngrams.get("trigrams", 0),
            bigram_rows="known",
        )

    def forward(
        self,
        input_ids: Tensor,
        lengths: Tensor,
        type_ids: Tensor | None = None,
        folds: Tensor | None = None,
        **spelling: Tensor,
    ) -> Tensor:
        """Encode a batch of rows.

        Parameters
        ----------
        input_ids : Tensor of int, shape (batch, length)
            Token ids; beyond a row's length anything below the vocabulary's size may stand.
        lengths : Tensor of int, shape (batch,)
            Number of tokens of each row.
        type_ids : Tensor of int, shape (batch, length), optional
            Type of each token, below ``n_types``; all zero when None. The estimators give 0 in
            the first text of a pair and 1 in the second, and 2 more for a token of both.
        folds : Tensor of int, shape (batch,), optional
            With ``target_encoding``, in training, the number of the table that describes each
            row's tokens.
        **spelling
            With ``subword_buckets``, and only then, what :meth:`Subwords.forward` takes.

        Returns
        -------
        Tensor of shape (batch, length, width)
            Hidden states; with ``norm="pre"`` the plain sum of what the blocks added. Those
            beyond a row's length mean nothing.
        """
        x = self.embeddings(input_ids, type_ids, folds, **spelling)
        for block in self.blocks:
            x = block(x, lengths)
        return x


class Embeddings(nn.Module):
    """Word + position + type + bigram + subword embeddings, then what `config` asks for.

    Those of words, bigrams and subwords are learned, or a projected `encoding` of the targets,
    which knows trigrams, too.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        learned = not config.target_encoding
        self.encoding = None if learned else TargetEncoding(config)
        self.words = nn.Embedding(config.vocab_size, config.width) if learned else None
        self.positions = (
            nn.Embedding(config.max_length, config.width) if config.positions == "learned" else None
        )
        self.types = nn.Embedding(config.n_types, config.width)
        self.bigrams = Bigrams(config) if learned and config.bigram_buckets else None
        self.subwords = Subwords(config) if learned and config.subword_buckets else None
        self.reads_spelling = bool(config.subword_buckets)
        self.norm = _layer_norm(config) if config.embedding_norm else nn.Identity()
        self.projection = (
            nn.Linear(config.width, config.width) if config.embedding_projection else nn.Identity()
        )
        self.dropout = Dropout(config.dropout)

    @torch.no_grad()
    def begin_with(self, words: np.ndarray, vectors: np.ndarray) -> None:
        """Take vectors, (n_words, width), that something else has found for some of the words.

        Positions and types begin with nothing then: at random, they would drown what is known.
        """
        self.words.weight[words] = torch.from_numpy(vectors).to(self.words.weight)
        for table in filter(None, (self.positions, self.types)):
            table.weight.zero_()

    def forward(
        self, ids: Tensor, type_ids: Tensor | None, folds: Tensor | None, **spelling: Tensor
    ) -> Tensor:
        """Embed ids (batch, length) as (batch, length, width)."""
        if bool(spelling) != self.reads_spelling:
            raise ValueError(
                "The encoder was built with subword_buckets and needs subwords, starts and spelled "
                "beside the ids, as skfnet.windows.Windows.batch gives them."
                if self.reads_spelling
                else f"{', '.join(spelling)} given, but the encoder was built without "
                "subword_buckets."
            )
        if self.encoding is None:
            x = self._learned(ids, **spelling)
        else:
            x = self.encoding(ids, folds, **spelling)
        if self.positions is not None:
            if ids.shape[1] > self.positions.num_embeddings:
                raise ValueError(
                    f"Rows of {ids.shape[1]} tokens, but the encoder was built with "
                    f"max_length={self.positions.num_embeddings}."
                )
            x = x + self.positions.weight[: ids.shape[1]]
        x = x + (self.types.weight[0] if type_ids is None else self.types(type_ids))
        return self.dropout(self.projection(self.norm(x)))

    def _learned(self, ids: Tensor, **spelling: Tensor) -> Tensor:
        x = self.words(ids)
        if self.bigrams is not None:
            x = x + self.bigrams(ids)
        if self.subwords is not None:
            x = x + self.subwords(**spelling)
        return x


class Block(nn.Module):
    """Mixing, then a feed-forward layer, each with a residual connection.

    Post-norm blocks, the paper's, have a LayerNorm after each sum. Pre-norm blocks have one
    before the feed-forward layer, and one before the mixing only where the mixer says that it
    needs one: a linear mixing does not, and a token whose vector is small, a rare word, then
    stays small in what the others get of it.
    """

    def __init__(self, config: EncoderConfig, mixer: str | Callable[..., nn.Module]) -> None:
        super().__init__()
        self.pre_norm = config.norm == "pre"
        self.mixer = make_mixer(mixer, config)
        self.gain = (
            None
            if config.mixing_gain is None or self.mixer is None
            else nn.Parameter(torch.tensor(float(config.mixing_gain)))
        )
        has_norm = not self.pre_norm or getattr(self.mixer, "needs_norm", False)
        self.mixing_norm = _layer_norm(config) if has_norm else nn.Identity()
        self.inner = nn.Linear(config.width, config.feedforward_size)
        self.outer = nn.Linear(config.feedforward_size, config.width)
        self.feedforward_norm = _layer_norm(config)
        self.activation = _ACTIVATIONS[config.activation]
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map x (batch, length, width) to the same shape."""
        if self.pre_norm:
            x = self._add_mixed(x, self.mixing_norm(x), lengths)
            return x + self._feed_forward(self.feedforward_norm(x))
        x = self.mixing_norm(self._add_mixed(x, x, lengths))
        return self.feedforward_norm(x + self._feed_forward(x))

    def _add_mixed(self, x: Tensor, to_mix: Tensor, lengths: Tensor) -> Tensor:
        if self.mixer is None:
            return x
        if self.gain is None:
            return x + self.mixer(to_mix, lengths)
        if to_mix is x and hasattr(self.mixer, "add_scaled"):
            return self.mixer.add_scaled(x, lengths, self.gain)
        return torch.addcmul(x, self.mixer(to_mix, lengths), self.gain)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.outer(self.activation(self.inner(x))))


def _check_rising(name: str, numbers: np.ndarray) -> None:
    if not len(numbers) or (np.diff(numbers) <= 0).any():
        raise ValueError(f"{name} takes one number or more, each larger than the last.")


def _layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.layer_norm_eps)


def _initialise(module: nn.Module) -> None:
    """Kernels and embeddings N(0, 0.02), as in the reference implementation; biases zero.

    A mixer's own `initialise` comes after that of the layers in it.
    """
    if isinstance(module, nn.Linear | nn.Embedding | nn.EmbeddingBag):
        nn.init.normal_(module.weight, std=_INITIAL_SD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if hasattr(module, "initialise"):
        module.initialise()
