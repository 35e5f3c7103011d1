"""Probabilities that can be believed: temperatures, fitted on documents that were left out.

A network that has learned its training documents by heart is too sure of others, one trained with
smoothed labels not sure enough of easy ones. Both are mended by one number, by which the outputs
are divided; the answers of a single network stay. Of networks of two kinds each has its number, so
that in their mean the better one counts more. The numbers have to be found on documents that were
not trained on. So that none is lost for training, half of an ensemble leaves out some of them and
the other half some others.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

from .objectives import Objective

__all__ = ["FEWEST_DOCUMENTS", "left_out", "temperatures"]

FEWEST_DOCUMENTS = 250  # of fewer, none can be spared
_SHARE = 1 / 16  # of the documents, for each half of the ensemble
_LOG_SPREAD = 0.5  # how far the logarithm of a temperature is from 0 in general


def left_out(targets: np.ndarray, n_members: int, seed: int) -> np.ndarray:
    """Draw which documents which members of an ensemble do not see.

    Parameters
    ----------
    targets : ndarray of int of shape (n_documents,), or of 0 and 1, (n_documents, n_labels)
        The number of each document's class, or which labels it has.
    n_members : int
        How many there are.
    seed : int
        Decides the documents.

    Returns
    -------
    ndarray of bool, shape (n_documents, n_members)
        A sixteenth of the documents is left out by the first half of the members, another
        sixteenth by the second; none of a class, or with a label, of fewer than 16 documents;
        and none of fewer than 250 documents, or by a single member.
    """
    absent = np.zeros((len(targets), n_members), dtype=bool)
    if n_members == 1 or len(targets) < FEWEST_DOCUMENTS:
        return absent
    order = np.random.default_rng([seed, 1]).permutation(len(targets))  # not that of the batches
    order = order[~_are_rare(targets)[order]]
    n = int(len(order) * _SHARE)
    absent[order[:n], : n_members // 2] = True
    absent[order[n : 2 * n], n_members // 2 :] = True
    return absent


def _are_rare(targets: np.ndarray) -> np.ndarray:
    """Say which documents are among so few of their kind that a share of them is less than one."""
    if targets.ndim == 1:
        return np.bincount(targets)[targets] * _SHARE < 1
    return (targets.astype(bool) & (targets.sum(axis=0) * _SHARE < 1)).any(axis=1)


def temperatures(
    outputs: np.ndarray,
    absent: np.ndarray,
    kinds: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    objective: Objective,
) -> np.ndarray:
    """Find the number by which each member's outputs are to be divided for a likely mean.

    Members of one kind have one number. Where there are two kinds, the one that tells less of
    documents it has not seen so counts less. The logarithm of each number is taken to be near 0
    beforehand, normally distributed, so that few documents, or documents without a single error,
    do not lead far.

    Parameters
    ----------
    outputs : ndarray of shape (n_documents, n_members, n_outputs)
        Logits.
    absent : ndarray of bool, shape (n_documents, n_members)
        Which members have not seen a document: at least one of each row. Where some documents were
        not seen by members of every kind, the others are not used; where none were, all members
        count as one kind.
    kinds : ndarray of int, shape (n_members,)
        Each member's kind, from 0 on.
    targets : ndarray of shape (n_documents,) or (n_documents, n_outputs)
        The truth, as `objective` wants it.
    weights : ndarray of shape (n_documents,)
        What each document counts, 1 on average.
    objective : Objective
        Whose loss is lowered.

    Returns
    -------
    ndarray of shape (n_members,)

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", arXiv 1706.04599,
    section 4.2.
    """
    of_kind = np.eye(kinds.max() + 1)[kinds]  # (n_members, n_kinds)
    rows = (absent @ of_kind).all(axis=1)
    if not rows.any():
        of_kind, rows = np.ones((len(kinds), 1)), np.full(len(absent), True)
    unseen = absent[rows, :, None] * of_kind
    shares = unseen / unseen.sum(axis=1, keepdims=True) * of_kind.mean(axis=0)
    logits = torch.from_numpy(np.einsum("dmk,dmo->kdo", shares, outputs[rows]))
    expected = torch.from_numpy(targets[rows])
    n_answers = 1 if targets.ndim == 1 else targets.shape[1]  # the loss is their mean

    def loss(logs: np.ndarray) -> float:
        mean = torch.einsum("k,kdo->do", torch.from_numpy(np.exp(-logs)), logits)
        of_each = objective.loss(mean, expected, 0.0).numpy()
        return n_answers * float(of_each @ weights[rows]) + np.sum((logs / _LOG_SPREAD) ** 2) / 2

    begin = np.zeros(of_kind.shape[1])
    found = minimize(loss, begin, method="L-BFGS-B", bounds=[(-2.0, 3.0)] * len(begin))
    return np.exp(of_kind @ found.x)
