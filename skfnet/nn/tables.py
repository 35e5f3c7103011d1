"""Rows for pairs of tokens, for longer runs and for the character n-grams of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .dropout import Dropout

__all__ = ["Bigrams", "KnownNgrams", "Subwords", "shares_of_subwords"]


class KnownNgrams(nn.Module):
    """Which row of a table a run of neighbouring tokens has: each known one a row of its own.

    Parameters
    ----------
    n_ids : int
        The size of the vocabulary.
    numbers : Tensor of int64, shape (n_rows,)
        Those that are known, rising, as :meth:`find` numbers them.
    """

    def __init__(self, n_ids: int, numbers: Tensor) -> None:
        super().__init__()
        self.n_ids = n_ids
        self.register_buffer("numbers", numbers)

    @classmethod
    def none_yet(cls, n_ids: int, n_rows: int) -> KnownNgrams:
        """Leave room for as many; no run has the number that fills it."""
        return cls(n_ids, torch.full((n_rows,), -n_ids - 1))

    def find(self, begins: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Give the row of each run, and whether it has one.

        Parameters
        ----------
        begins : Tensor of int, shape (batch, length)
            The number of all its tokens but the last: of a pair the first token, of a longer run
            the row of its beginning; -1 where that has none.
        last : Tensor of int, shape (batch, length)
            Its last token. Together the number is ``begins * n_ids + last``.

        Returns
        -------
        rows : Tensor of int64, shape (batch, length)
            Of a run without a row, any.
        found : Tensor of bool, shape (batch, length)
        """
        ngrams = begins.long() * self.n_ids + last  # large numbers
        rows = self._place(ngrams)
        return rows, self.numbers[rows] == ngrams

    def _place(self, ngrams: Tensor) -> Tensor:
        """Give the place of each number among the known ones; of any, where it is unknown."""
        # By halving: as fast as torch.searchsorted on a CPU, and ONNX knows it.
        last = len(self.numbers) - 1
        place = torch.zeros_like(ngrams)
        for bit in reversed(range(last.bit_length())):
            further = (place + 2**bit).clamp(max=last)
            place = torch.where(self.numbers[further] <= ngrams, further, place)
        return place


class Bigrams(nn.Module):
    """One vector for each pair of neighbouring tokens, as in fastText.

    The 2-D transform mixes all positions at once and knows no neighbours. In training whole pairs
    are left out at random, or the model would learn its documents by their rare pairs.

    Pairs of the same hash share a row. Where there are more pairs than hashes, a frequent one has
    learned much of its vector from others: then pairs had better be looked up, and the rarest mean
    nothing.

    References
    ----------
    Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text Classification",
    arXiv 1607.01759, section 2.2.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.n_ids = config.vocab_size
        known = config.bigram_rows == "known"
        self.known = KnownNgrams.none_yet(self.n_ids, config.bigram_buckets) if known else None
        narrow = max(config.width // 2, 1)
        self.table = nn.Embedding(config.bigram_buckets, narrow)
        self.projection = nn.Linear(narrow, config.width, bias=False)
        self.dropout = Dropout(config.bigram_dropout)

    def initialise(self) -> None:
        """Begin with no pair meaning anything."""
        nn.init.zeros_(self.table.weight)
        nn.init.orthogonal_(self.projection.weight)

    def look_up_among(self, bigrams: Tensor) -> None:
        """Give a row to each of these numbers, sorted, and begin with none meaning anything."""
        old = self.table.weight
        self.known = KnownNgrams(self.n_ids, bigrams.to(old.device))
        self.table = nn.Embedding.from_pretrained(
            old.new_zeros(len(bigrams), old.shape[1]), freeze=False
        )

    def forward(self, ids: Tensor) -> Tensor:
        """Give (batch, length, width): the pair that ends at each token, 0 at the first one."""
        rows, found = self._find(ids[:, :-1], ids[:, 1:])
        vectors = self.table(rows)
        kept = self.dropout(found[..., None].to(vectors.dtype))
        return F.pad(self.projection(vectors * kept), (0, 0, 1, 0))

    def _find(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        if self.known is not None:
            return self.known.find(first, second)
        # The products with large odd numbers are large themselves.
        mixed = first.long() * 0x9E3779B1 + second.long() * 0x85EBCA77
        rows = (mixed >> 15) % self.table.num_embeddings
        return rows, torch.ones_like(rows, dtype=torch.bool)


class Subwords(nn.Module):
    """A vector for each word out of those of its character n-grams, by hashing, as in fastText.

    A rare word is known by its parts, and so is one that training never saw. Their sum is
    divided by the square root of their number. In training n-grams are left out at random.

    References
    ----------
    Bojanowski, Grave, Joulin and Mikolov, "Enriching Word Vectors with Subword Information",
    arXiv 1607.04606.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        narrow = max(config.width // 2, 1)
        self.table = nn.EmbeddingBag(config.subword_buckets, narrow, mode="sum")
        self.projection = nn.Linear(narrow, config.width, bias=False)
        self.dropout = Dropout(config.subword_dropout)

    def initialise(self) -> None:
        """Begin with no n-gram meaning anything."""
        nn.init.zeros_(self.table.weight)
        nn.init.orthogonal_(self.projection.weight)

    def forward(self, subwords: Tensor, starts: Tensor, spelled: Tensor) -> Tensor:
        """Give the vectors of the words of a batch.

        Parameters
        ----------
        subwords : Tensor of int, shape (n,)
            Buckets of the n-grams of the batch's different words, word after word.
        starts : Tensor of int, shape (n_words,)
            Where each word's begin.
        spelled : Tensor of int, shape (batch, length)
            Which of these words stands where.

        Returns
        -------
        Tensor of shape (batch, length, width)
        """
        shares = self.dropout(shares_of_subwords(subwords, starts).to(self.table.weight.dtype))
        words = self.table(subwords, starts, per_sample_weights=shares)
        return F.embedding(spelled, self.projection(words))


def shares_of_subwords(subwords: Tensor, starts: Tensor) -> Tensor:
    """Give what each n-gram counts in its word: 1 by the square root of their number."""
    sizes = torch.diff(starts, append=starts.new_tensor([len(subwords)]))
    shares = sizes.clamp(min=1).float().rsqrt()
    return shares.repeat_interleave(sizes, output_size=len(subwords))
