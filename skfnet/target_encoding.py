"""Words, pairs of words and n-grams described by the targets of documents that have them.

What scikit-learn's TargetEncoder does for categories, and cross-fitted as there: a document that
is trained on is described by what other documents tell, or its rare words would give its target
away.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from .batches import by_length
from .windows import Windows

__all__ = ["draw_folds", "target_encodings"]

_FOLDS = 5
_PRIOR_DOCUMENTS = 2.0  # of the average target, counted in everywhere
_LARGEST = 4.0  # a logarithm: rarer or more frequent by a factor of 55
_WINDOWS_AT_ONCE, _ROWS_AT_ONCE = 4096, 4096


def draw_folds(n_documents: int, train: np.ndarray, seed: int) -> np.ndarray:
    """Draw which documents are described by which table.

    Parameters
    ----------
    n_documents : int
        How many there are.
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
    folds = np.full(n_documents, _FOLDS)
    order = np.random.default_rng([seed, 2]).permutation(train)
    folds[order] = np.arange(len(order)) % _FOLDS
    return folds


def target_encodings(
    windows: Windows,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    bigrams: np.ndarray,
    size: int,
    numbers: bool = False,
) -> dict[str, np.ndarray]:
    """Describe words, pairs of words and n-grams by the targets of documents that have them.

    Of classes and labels it is the logarithm of their share among these documents, divided by
    their share among all; of numbers, their mean. The fewer documents, the nearer to 0 it is.

    Parameters
    ----------
    windows : Windows
        The documents, as an encoder reads them, with their `folds`.
    targets : ndarray of shape (n_documents, n_outputs)
        0 or 1 for each class or label; or numbers, of mean 0.
    weights : ndarray of shape (n_documents,)
        What each document counts, 1 on average.
    bigrams : ndarray of int64, shape (n_bigrams,)
        The pairs to describe, as :func:`skfnet.bigrams.most_frequent_bigrams` gives them.
    size : int
        How many numbers a description has at most. Where there are more outputs, these are its
        places on the axes along which the words' descriptions differ most.
    numbers : bool, default=False
        Whether the targets are numbers.

    Returns
    -------
    dict of ndarray of float32, shape (6, n_rows, min(size, n_outputs))
        "words", with a row for each id, "bigrams" and, where words are spelled, "subwords". The
        first five count no documents of fold 0, 1, ..., the last one all of these folds.

    References
    ----------
    Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in
    classification and prediction problems", ACM SIGKDD Explorations 3(1), 2001.
    """
    counted = windows.tokens.folds < _FOLDS
    mean = weights[counted] @ targets[counted]
    mean = None if numbers else (mean + 0.5) / (weights[counted].sum() + 1)
    sums = _sums(windows, targets, weights, bigrams)
    axes = None
    if targets.shape[1] > size:
        moments = sum(d[-1].T @ (n * d[-1]) for d, n in _described(sums["words"], mean))
        axes = np.linalg.eigh(moments)[1][:, -size:]
    return {name: _tables(of_kind, mean, axes) for name, of_kind in sums.items()}


def _sums(
    windows: Windows, targets: np.ndarray, weights: np.ndarray, bigrams: np.ndarray
) -> dict[str, csr_matrix]:
    """Add up weights and weighted targets of the windows in which each row of a table stands.

    Shape (n_rows, 5 * (1 + n_outputs)): fold by fold.
    """
    shares = weights / np.bincount(windows.document)
    values = shares[:, None] * np.column_stack([np.ones(len(targets)), targets])
    folds, n_values = windows.tokens.folds, values.shape[1]
    sums: dict[str, csr_matrix] = {}
    for rows in by_length(windows.lengths, _WINDOWS_AT_ONCE):
        rows = rows[folds[windows.document[rows]] < _FOLDS]
        if not len(rows):
            continue
        document = windows.document[rows]
        first = folds[document] * n_values
        columns = first[:, None] + np.arange(n_values)
        place = np.arange(len(rows) + 1) * n_values
        by_fold = csr_matrix(
            (values[document].ravel().astype(np.float32), columns.ravel(), place),
            shape=(len(rows), _FOLDS * n_values),
        )
        by_fold.eliminate_zeros()
        for name, present in _present(windows, rows, bigrams).items():
            found = present.T.tocsr() @ by_fold
            sums[name] = sums[name] + found if name in sums else found
    return sums


def _present(windows: Windows, rows: np.ndarray, bigrams: np.ndarray) -> dict[str, csr_matrix]:
    """Say which words, pairs and n-grams stand in some windows: 1 each, (n_windows, n_rows)."""
    batch = windows.batch(rows)
    ids, n_ids = batch["input_ids"], windows.tokens.vocab_size
    inside = np.arange(ids.shape[1]) < batch["lengths"][:, None]
    window = np.broadcast_to(np.arange(len(rows))[:, None], ids.shape)
    present = {"words": _ones(window[inside], ids[inside], (len(rows), n_ids))}
    if len(bigrams):
        numbers = ids[:, :-1] * n_ids + ids[:, 1:]
        place = np.searchsorted(bigrams, numbers).clip(max=len(bigrams) - 1)
        known = inside[:, 1:] & (bigrams[place] == numbers)
        shape = len(rows), len(bigrams)
        present["bigrams"] = _ones(window[:, 1:][known], place[known], shape)
    if "spelled" in batch:
        ends = [*batch["starts"], len(batch["subwords"])]
        ones = np.ones(len(batch["subwords"]), dtype=np.float32)
        n_buckets = windows.tokens.spellings.shape[1]
        spellings = csr_matrix((ones, batch["subwords"], ends), shape=(len(ends) - 1, n_buckets))
        words = _ones(window[inside], batch["spelled"][inside], (len(rows), len(ends) - 1))
        present["subwords"] = words @ spellings
        present["subwords"].data[:] = 1
    return present


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    """Give a matrix of 1 where there is at least one such pair."""
    matrix = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1  # duplicates have been added up
    return matrix


def _described(
    sums: csr_matrix, mean: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go through a table's rows; give descriptions, (6, n, n_outputs), and weights, (n, 1)."""
    for i in range(0, sums.shape[0], _ROWS_AT_ONCE):
        by_fold = sums[i : i + _ROWS_AT_ONCE].toarray()
        by_fold = by_fold.reshape(len(by_fold), _FOLDS, -1).swapaxes(0, 1).astype(np.float64)
        total = by_fold.sum(axis=0)
        others = np.concatenate([total - by_fold, total[None]])
        n, targets = others[..., :1], others[..., 1:]
        if mean is None:
            described = targets / (n + _PRIOR_DOCUMENTS)
        else:
            shares = (targets / mean + _PRIOR_DOCUMENTS) / (n + _PRIOR_DOCUMENTS)
            described = np.log(shares).clip(-_LARGEST, _LARGEST)
        yield described, total[:, :1]


def _tables(sums: csr_matrix, mean: np.ndarray | None, axes: np.ndarray | None) -> np.ndarray:
    parts = [d if axes is None else d @ axes for d, _ in _described(sums, mean)]
    return np.concatenate([part.astype(np.float32) for part in parts], axis=1)
