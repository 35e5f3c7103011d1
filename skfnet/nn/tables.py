"""What is learned of pairs of tokens and of the n-grams of words: two tables of vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .dropout import Dropout

__all__ = ["Bigrams", "NgramRows", "Subwords", "shares_of_ngrams"]


class NgramRows(nn.Module):
    """Which row of a table a run of neighbouring tokens has: by hashing, or by lookup.

    Runs of the same hash share a row. Where there are more of them than hashes, a frequent one has
    learned much of its vector from others: then they had better be looked up, and the rarest mean
    nothing.

    Parameters
    ----------
    n_ids : int
        The size of the vocabulary.
    n_rows : int
        How many rows there are.
    rows : {"hashed", "known"}
        As :class:`EncoderConfig` has them of pairs.
    """

    def __init__(self, n_ids: int, n_rows: int, rows: str) -> None:
        super().__init__()
        self.n_ids = n_ids
        self.n_rows = n_rows
        none_yet = torch.full((n_rows,), -1)
        self.register_buffer("known", none_yet if rows == "known" else None)

    def look_up_among(self, ngrams: Tensor) -> None:
        """Give a row to each of these numbers, sorted, and to no others."""
        self.known, self.n_rows = ngrams, len(ngrams)

    def find(self, begins: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Give the row of each run of tokens, and whether it has one.

        Parameters
        ----------
        begins, last : Tensor of int, shape (batch, length)
            The number of all but its last token, and that token: of a pair two tokens.

        Returns
        -------
        rows : Tensor of int64, shape (batch, length)
            Of a run without a row, any.
        found : Tensor of bool, shape (batch, length)
        """
        begins, last = begins.long(), last.long()  # the products are large
        if self.known is None:
            mixed = begins * 0x9E3779B1 + last * 0x85EBCA77  # large odd numbers
            rows = (mixed >> 15) % self.n_rows
            return rows, torch.ones_like(rows, dtype=torch.bool)
        ngrams = begins * self.n_ids + last
        rows = self._place(ngrams)
        return rows, self.known[rows] == ngrams

    def _place(self, ngrams: Tensor) -> Tensor:
        """Give the place of each number among the known ones; of any, where it is unknown."""
        # By halving: as fast as torch.searchsorted on a CPU, and ONNX knows it.
        last = len(self.known) - 1
        place = torch.zeros_like(ngrams)
        for bit in reversed(range(last.bit_length())):
            further = (place + 2**bit).clamp(max=last)
            place = torch.where(self.known[further] <= ngrams, further, place)
        return place


class Bigrams(NgramRows):
    """One vector for each pair of neighbouring tokens, as in fastText.

    The 2-D transform mixes all positions at once and knows no neighbours. In training whole pairs
    are left out at random, or the model would learn its documents by their rare pairs.

    References
    ----------
    Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text Classification",
    arXiv 1607.01759, section 2.2.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config.vocab_size, config.bigram_buckets, config.bigram_rows)
        narrow = max(config.width // 2, 1)
        self.table = nn.Embedding(config.bigram_buckets, narrow)
        self.projection = nn.Linear(narrow, config.width, bias=False)
        self.dropout = Dropout(config.bigram_dropout)

    def initialise(self) -> None:
        """Begin with no pair meaning anything."""
        nn.init.zeros_(self.table.weight)
        nn.init.orthogonal_(self.projection.weight)

    def look_up_among(self, ngrams: Tensor) -> None:
        """Give a row to each of these numbers, sorted, and begin with none meaning anything."""
        old = self.table.weight
        super().look_up_among(ngrams.to(old.device))
        self.table = nn.Embedding.from_pretrained(
            old.new_zeros(len(ngrams), old.shape[1]), freeze=False
        )

    def forward(self, ids: Tensor) -> Tensor:
        """Give (batch, length, width): the pair that ends at each token, 0 at the first one."""
        rows, found = self.find(ids[:, :-1], ids[:, 1:])
        vectors = self.table(rows)
        kept = self.dropout(found[..., None].to(vectors.dtype))
        return F.pad(self.projection(vectors * kept), (0, 0, 1, 0))


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
        shares = self.dropout(shares_of_ngrams(subwords, starts).to(self.table.weight.dtype))
        words = self.table(subwords, starts, per_sample_weights=shares)
        return F.embedding(spelled, self.projection(words))


def shares_of_ngrams(subwords: Tensor, starts: Tensor) -> Tensor:
    """Give what each n-gram counts in its word: 1 by the square root of their number."""
    sizes = torch.diff(starts, append=starts.new_tensor([len(subwords)]))
    shares = sizes.clamp(min=1).float().rsqrt()
    return shares.repeat_interleave(sizes, output_size=len(subwords))
