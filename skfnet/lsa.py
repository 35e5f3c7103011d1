"""Latent semantic analysis: word vectors from the documents that words stand in."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.utils.extmath import randomized_svd

from .batches import TokenArray

__all__ = ["latent_semantic_vectors"]

_SIZE = 0.03  # root mean square of the numbers; ten times that learned less from many labels


def latent_semantic_vectors(
    tokens: TokenArray, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give each word a vector, like those of words that stand in the same documents.

    It is the word's place on the axes of the decomposition, each as long as its singular value,
    times the word's inverse document frequency, so that in a mean of many words those that stand
    everywhere count little.

    Parameters
    ----------
    tokens : TokenArray
        The documents. What may be any word, such as [UNK], is left out.
    width : int
        Size of the vectors.
    seed : int
        Of the randomized decomposition.

    Returns
    -------
    words : ndarray of int, shape (n_words,)
        The ids of the words that the documents have.
    vectors : ndarray of float32, shape (n_words, width)
        0 in the last columns where there are fewer words, or documents, than columns.

    References
    ----------
    Deerwester, Dumais, Furnas, Landauer and Harshman, "Indexing by Latent Semantic Analysis",
    Journal of the American Society for Information Science 41(6), 1990.
    """
    known = (tokens.ids < tokens.vocab_size) & ~np.isin(tokens.ids, tokens.special.nameless)
    words, columns = np.unique(tokens.ids[known], return_inverse=True)
    vectors = np.zeros((len(words), width), dtype=np.float32)
    if not len(words):
        return words, vectors
    documents = np.repeat(np.arange(len(tokens)), tokens.lengths)[known]
    ones = np.ones(len(documents), dtype=np.float32)
    counts = csr_matrix((ones, (documents, columns)), shape=(len(tokens), len(words)))
    weights = TfidfTransformer(sublinear_tf=True)
    weighted = weights.fit_transform(counts)
    n_axes = min(width, *weighted.shape)
    _, sizes, axes = randomized_svd(weighted, n_axes, n_iter=5, random_state=seed)
    vectors[:, :n_axes] = weights.idf_[:, None] * axes.T * sizes
    return words, vectors * (_SIZE / np.sqrt(np.mean(vectors**2)))
