"""Words, runs of words and parts of words described by the targets of documents that have them.

What scikit-learn's TargetEncoder does for categories, and cross-fitted as there: a document that
is trained on is described by what other documents tell, or its rare words would give its target
away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack

from .batches import by_length
from .ngrams import MOST_NGRAMS, find_ngrams, most_frequent_ngrams
from .nn import Encoder
from .nn.target_tables import NGRAMS
from .windows import Windows

__all__ = ["describe_words", "draw_folds", "target_encodings"]

_FOLDS = 5
_PRIOR_DOCUMENTS = 2.0  # of the average target, counted in everywhere
_LARGEST = 4.0  # a logarithm: rarer or more frequent by a factor of 55
_WINDOWS_AT_ONCE, _NUMBERS_AT_ONCE = 4096, 2**20


def draw_folds(targets: np.ndarray, train: np.ndarray, seed: int) -> np.ndarray:
    """Draw which documents are described by which table.

    Parameters
    ----------
    targets : ndarray of shape (n_documents,) or (n_documents, n_outputs)
        Of one dimension, class numbers: each fold then has its share of each class.
    train : ndarray of int, shape (n_train,)
        The documents that are counted.
    seed : int
        Decides the folds.

    Returns
    -------
    ndarray of int64, shape (n_documents,)
        0 to 4 for those to train on, of which each table counts the others; 5, the table that
        counts them all, for documents held out.
    """
    folds = np.full(len(targets), _FOLDS)
    order = np.random.default_rng([seed, 2]).permutation(train)
    if targets.ndim == 1:
        order = order[np.argsort(targets[order], kind="stable")]
    folds[order] = np.arange(len(order)) % _FOLDS
    return folds


def describe_words(
    encoders: Sequence[Encoder],
    windows: Windows,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    n_outputs: int,
    axes: np.ndarray | None,
) -> np.ndarray | None:
    """Describe words, pairs and triples by the targets to encoders that read such descriptions.

    Those that have been told before keep the pairs and triples that they know.

    Parameters
    ----------
    encoders : sequence of Encoder
        Of the same configuration, with ``target_encoding``.
    windows : Windows
        The documents, as the encoders read them, with their `folds`.
    targets : ndarray of shape (n_documents,) or (n_documents, n_outputs)
        Of one dimension, class numbers; of two, numbers.
    weights : ndarray of shape (n_documents,)
        What each document counts, 1 on average.
    n_outputs : int
        How many classes there are.
    axes : ndarray or None
        What an earlier call has given.

    Returns
    -------
    ndarray or None
        The axes, for the next time.
    """
    config, encoding = encoders[0].config, encoders[0].embeddings.encoding
    ngrams = encoding.known
    if config.bigram_rows == "hashed" and ngrams:
        ngrams = most_frequent_ngrams(windows, MOST_NGRAMS, fewest=2, longest=3)
    numbers = targets.ndim == 2
    if not numbers:
        rows = np.arange(len(targets))
        shape = len(targets), n_outputs
        targets = csr_matrix((np.ones(len(targets)), (rows, targets)), shape=shape)
    tables, axes = target_encodings(
        windows,
        targets,
        weights,
        ngrams=ngrams,
        size=config.target_encoding,
        numbers=numbers,
        axes=axes,
    )
    there = encoding.words.device
    shared = {name: torch.as_tensor(table, device=there) for name, table in tables.items()}
    for encoder in encoders:
        encoder.take_target_encoding(ngrams, shared)
    return axes


def target_encodings(
    windows: Windows,
    targets: np.ndarray | csr_matrix,
    weights: np.ndarray,
    *,
    ngrams: Sequence[np.ndarray],
    size: int,
    numbers: bool = False,
    axes: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Describe words, runs and parts of them by the targets of the documents that have them.

    Of classes it is the logarithm of their share among these documents, divided by
    their share among all; of numbers, how far their mean is from that of all. The fewer documents,
    the nearer to 0 it is. Of a document in several windows, each window counts for its share.

    Parameters
    ----------
    windows : Windows
        The documents, as an encoder reads them, with their `folds`.
    targets : ndarray or csr_matrix of shape (n_documents, n_outputs)
        0 or 1 for each class; or numbers.
    weights : ndarray of shape (n_documents,)
        What each document counts, 1 on average.
    ngrams : sequence of ndarray of int64
        The pairs and triples to describe, as :func:`skfnet.ngrams.most_frequent_ngrams` gives
        them.
    size : int
        How many numbers a description has at most. Where there are more outputs, these are its
        places on the axes along which the words' descriptions are largest.
    numbers : bool, default=False
        Whether the targets are numbers.
    axes : ndarray of shape (n_outputs, size), optional
        The axes, where an earlier call has found them.

    Returns
    -------
    tables : dict of ndarray of float32, shape (6, n_rows, min(size, n_outputs))
        "words", with a row for each id, "bigrams" and "trigrams" as far as there are `ngrams`,
        and, where words are spelled, "subwords". The first five count no documents of fold 0, 1,
        ..., the last one all of these folds.
    axes : ndarray of shape (n_outputs, size) or None
        None where there are no more outputs than `size`.

    References
    ----------
    Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in
    classification and prediction problems", ACM SIGKDD Explorations 3(1), 2001.
    """
    n_outputs = targets.shape[1]
    values = hstack([csr_matrix(np.ones((len(weights), 1))), csr_matrix(targets)])
    values = values.multiply(weights[:, None]).tocsr()
    means = _means(values, windows.tokens.folds)
    sums = _sums(windows, values, ngrams)
    if n_outputs > size and axes is None:
        moments = np.zeros((n_outputs, n_outputs))
        for _, described, n in _described(sums["words"], means, numbers):
            moments += described[-1].T @ (n * described[-1])
        axes = np.linalg.eigh(moments)[1][:, -size:]
    tables = {}
    for name, of_kind in sums.items():
        shape = _FOLDS + 1, of_kind.shape[0], min(size, n_outputs)
        tables[name] = np.empty(shape, dtype=np.float32)
        for rows, described, _ in _described(of_kind, means, numbers):
            tables[name][:, rows] = described if axes is None else described @ axes
    return tables, axes


def _means(values: csr_matrix, folds: np.ndarray) -> np.ndarray:
    """Give the mean targets, (6, 1, n_outputs), of the documents that each table counts.

    With one mean for all of them a table's frequent words would tell what its fold has: what the
    documents that are described by it have themselves.
    """
    of_folds = [np.asarray(values[folds == fold].sum(axis=0))[0] for fold in range(_FOLDS)]
    counted = _without_each(np.array(of_folds))
    return counted[:, None, 1:] / counted[:, None, :1]


def _sums(
    windows: Windows, values: csr_matrix, ngrams: Sequence[np.ndarray]
) -> dict[str, csr_matrix]:
    """Add up the values of the windows in which each row of a table stands.

    Shape (n_rows, 5 * n_values): fold by fold.
    """
    folds, n_values = windows.tokens.folds, values.shape[1]
    shares = 1 / np.bincount(windows.document)
    values = values.multiply(shares[:, None]).tocsr().astype(np.float32)
    sums: dict[str, csr_matrix] = {}
    for rows in by_length(windows.lengths, _WINDOWS_AT_ONCE):
        rows = rows[folds[windows.document[rows]] < _FOLDS]
        if not len(rows):
            continue
        document = windows.document[rows]
        of_rows = values[document]
        columns = of_rows.indices + np.repeat(folds[document] * n_values, np.diff(of_rows.indptr))
        shape = len(rows), _FOLDS * n_values
        by_fold = csr_matrix((of_rows.data, columns, of_rows.indptr), shape=shape)
        for name, present in _present(windows, rows, ngrams).items():
            added = present.T.tocsr() @ by_fold
            sums[name] = sums[name] + added if name in sums else added
    return sums


def _present(
    windows: Windows, rows: np.ndarray, ngrams: Sequence[np.ndarray]
) -> dict[str, csr_matrix]:
    """Say which words, runs and subwords stand in some windows: 1 each, (n_windows, n_rows)."""
    batch = windows.batch(rows)
    n_ids = windows.tokens.vocab_size
    sizes = [n_ids, *map(len, ngrams)]
    of_length = find_ngrams(batch["input_ids"], batch["lengths"], ngrams, n_ids)
    present = {}
    for name, size, places in zip(["words", *NGRAMS], sizes, of_length, strict=False):
        window, position = np.nonzero(places >= 0)
        present[name] = _ones(window, places[window, position], (len(rows), size))
    spelled = batch.get("spelled")
    if spelled is not None:
        ends = [*batch["starts"], len(batch["subwords"])]
        ones = np.ones(len(batch["subwords"]), dtype=np.float32)
        n_buckets = windows.tokens.spellings.shape[1]
        spellings = csr_matrix((ones, batch["subwords"], ends), shape=(len(ends) - 1, n_buckets))
        window, position = np.nonzero(np.arange(len(spelled[0])) < batch["lengths"][:, None])
        words = _ones(window, spelled[window, position], (len(rows), len(ends) - 1))
        present["subwords"] = words @ spellings
        present["subwords"].data[:] = 1
    return present


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    """Give a matrix of 1 where there is at least one such pair."""
    matrix = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1  # duplicates have been added up
    return matrix


def _described(
    sums: csr_matrix, means: np.ndarray, numbers: bool
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Go through a table: some rows, their descriptions, (6, n, n_outputs), and counts, (n, 1)."""
    at_once = max(_NUMBERS_AT_ONCE // sums.shape[1], 1)
    for i in range(0, sums.shape[0], at_once):
        by_fold = sums[i : i + at_once].toarray().astype(np.float64)
        counted = _without_each(by_fold.reshape(len(by_fold), _FOLDS, -1).swapaxes(0, 1))
        n, targets = counted[..., :1], counted[..., 1:]
        if numbers:
            described = (targets - n * means) / (n + _PRIOR_DOCUMENTS)
        else:
            # Of a class that a table has not seen nothing is known: 0.
            times = np.divide(targets, means, where=means > 0, out=np.repeat(n, means.shape[2], 2))
            shares = (times + _PRIOR_DOCUMENTS) / (n + _PRIOR_DOCUMENTS)
            described = np.log(shares).clip(-_LARGEST, _LARGEST)
        yield slice(i, i + len(by_fold)), described, n[-1]


def _without_each(of_folds: np.ndarray) -> np.ndarray:
    """Give the sums over all folds but the first, but the second, ..., and over all of them."""
    total = of_folds.sum(axis=0)
    return np.concatenate([total - of_folds, total[None]])
