"""Tokens described by the targets of the documents they stand in, in place of learned vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig
from .tables import KnownNgrams, shares_of_subwords

__all__ = ["NGRAMS", "TargetEncoding"]

NGRAMS = "bigrams", "trigrams"  # the tables of runs of tokens, the longer after the shorter

_INITIAL_SIZE = 0.5  # of what the projections give for numbers of size 1


class TargetEncoding(nn.Module):
    """Vectors out of what the targets were where a token, a run of tokens or a subword stands.

    Such numbers are counted, not learned: nothing here can learn a document by its rare words.
    What is learned is one dense layer for each of the kinds.

    In training a document has to be described by what other documents tell: then there are
    several tables of each kind, of which a row of a batch reads one.

    Parameters
    ----------
    config : EncoderConfig
        Its `target_encoding` is the number of numbers.

    References
    ----------
    Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in
    classification and prediction problems", ACM SIGKDD Explorations 3(1), 2001.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.ngrams = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        self._by_fold: dict[str, Tensor] = {}  # of training alone: no part of the state
        sizes = {
            "words": config.vocab_size,
            "bigrams": config.bigram_buckets,
            "trigrams": config.trigram_buckets,
            "subwords": config.subword_buckets,
        }
        for name, n_rows in sizes.items():
            if n_rows and name in NGRAMS:
                self.ngrams[name] = KnownNgrams.none_yet(config.vocab_size, n_rows)
            if n_rows:
                self.register_buffer(name, torch.zeros(n_rows, config.target_encoding))
                projection = nn.Linear(config.target_encoding, config.width, bias=False)
                self.projections[name] = projection

    def initialise(self) -> None:
        """Begin with projections of nearly the numbers' own size."""
        for projection in self.projections.values():
            size = _INITIAL_SIZE / projection.in_features**0.5
            nn.init.normal_(projection.weight, std=size)

    @property
    def known(self) -> list[np.ndarray]:
        """The numbers of the pairs, and of the triples, that are described."""
        return [known.numbers.cpu().numpy() for known in self.ngrams.values()]

    def take(self, ngrams: Sequence[np.ndarray], tables: Mapping[str, np.ndarray | Tensor]) -> None:
        """Describe tokens by these tables, (n_tables, n_rows, size) each, and runs as listed.

        Without `folds` by the last one, which alone is part of the state.
        """
        n_ids, there = len(self.words), self.words.device
        for name, numbers in zip_longest(list(self.ngrams), ngrams):
            if numbers is None:
                del self.ngrams[name], self.projections[name]
                delattr(self, name)
            else:
                self.ngrams[name] = KnownNgrams(n_ids, torch.from_numpy(numbers).to(there))
        for name in self.projections:
            self._by_fold[name] = torch.as_tensor(tables[name], device=there)
            setattr(self, name, self._by_fold[name][-1].clone())

    def forget_folds(self) -> None:
        """Free the tables that training alone has read."""
        self._by_fold = {}

    def forward(
        self,
        ids: Tensor,
        folds: Tensor | None = None,
        subwords: Tensor | None = None,
        starts: Tensor | None = None,
        spelled: Tensor | None = None,
    ) -> Tensor:
        """Describe the tokens of a batch.

        Parameters
        ----------
        ids : Tensor of int, shape (batch, length)
            The tokens.
        folds : Tensor of int, shape (batch,), optional
            The number of the table that each row reads; that of the state when None.
        subwords, starts, spelled : Tensor of int, optional
            As :meth:`Subwords.forward` takes them.

        Returns
        -------
        Tensor of shape (batch, length, width)
        """
        x = self.projections["words"](self._read("words", ids, folds))
        places = ids.long()
        for name, known in self.ngrams.items():
            # What ends at a token goes on with the next one; before the first one nothing ends.
            places, found = known.find(F.pad(places[:, :-1], (1, 0), value=-1), ids)
            read = self._read(name, places, folds) * found[..., None]
            x = x + self.projections[name](read)
            places = torch.where(found, places, -1)
        if spelled is not None:
            shares = shares_of_subwords(subwords, starts).to(self.subwords.dtype)
            tables = self.subwords[None] if folds is None else self._by_fold["subwords"]
            words = torch.stack(
                [
                    F.embedding_bag(subwords, t, starts, mode="sum", per_sample_weights=shares)
                    for t in tables
                ]
            )
            x = x + self.projections["subwords"](_rows_of(words, spelled, folds))
        return x

    def _read(self, name: str, rows: Tensor, folds: Tensor | None) -> Tensor:
        tables = getattr(self, name)[None] if folds is None else self._by_fold[name]
        return _rows_of(tables, rows, folds)


def _rows_of(tables: Tensor, rows: Tensor, folds: Tensor | None) -> Tensor:
    """Give rows (batch, n) of the table, out of (n_tables, n_rows, size), that each reads."""
    _, n_rows, size = tables.shape
    if folds is not None:
        rows = rows + folds[:, None] * n_rows
    return F.embedding(rows, tables.reshape(-1, size))
