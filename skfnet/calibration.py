"""Probabilities that can be believed: a temperature, fitted on documents that were left out.

A network that has learned its training documents by heart is too sure of others, one trained with
smoothed labels not sure enough of easy ones. Both are mended by one number, by which the outputs
are divided; the answers themselves stay. It has to be found on documents that were not trained on.
So that none is lost for training, half of an ensemble leaves out some of them and the other half
some others.
"""

from __future__ import annotations

from math import exp

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from .objectives import Objective

__all__ = ["left_out", "mean_of_left_out", "temperature"]

_FEWEST_DOCUMENTS = 500  # of fewer, none can be spared
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
        and none of fewer than 500 documents, or by a single member.
    """
    absent = np.zeros((len(targets), n_members), dtype=bool)
    if n_members == 1 or len(targets) < _FEWEST_DOCUMENTS:
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


def mean_of_left_out(outputs: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Average each document's outputs over the members that have not seen it.

    Parameters
    ----------
    outputs : ndarray of shape (n_documents, n_members, n_outputs)
        What each member says.
    absent : ndarray of bool, shape (n_documents, n_members)
        At least one of each row is true.

    Returns
    -------
    ndarray of shape (n_documents, n_outputs)
    """
    shares = absent / absent.sum(axis=1, keepdims=True)
    return np.einsum("dm,dmo->do", shares, outputs)


def temperature(
    outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, objective: Objective
) -> float:
    """Find the number by which outputs are to be divided to be the likeliest.

    Its logarithm is taken to be near 0 beforehand, normally distributed, so that few documents, or
    documents without a single error, do not lead far.

    Parameters
    ----------
    outputs : ndarray of shape (n_documents, n_outputs)
        Logits of documents that were not trained on.
    targets : ndarray of shape (n_documents,) or (n_documents, n_outputs)
        The truth, as `objective` wants it.
    weights : ndarray of shape (n_documents,)
        What each document counts, 1 on average.
    objective : Objective
        Whose loss is lowered.

    Returns
    -------
    float

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", arXiv 1706.04599,
    section 4.2.
    """
    logits, expected = torch.from_numpy(outputs).double(), torch.from_numpy(targets)
    n_answers = 1 if targets.ndim == 1 else targets.shape[1]  # the loss is their mean

    def loss(log: float) -> float:
        of_each = objective.loss(logits / exp(log), expected, 0.0).numpy()
        return n_answers * float(of_each @ weights) + (log / _LOG_SPREAD) ** 2 / 2

    return exp(minimize_scalar(loss, bounds=(-2.0, 3.0), method="bounded").x)
