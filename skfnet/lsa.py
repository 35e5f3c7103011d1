"""Latent semantic analysis: word vectors from the documents that words stand in."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from .batches import TokenArray

__all__ = ["latent_semantic_vectors"]

_SIZE = 0.3  # root mean square of the numbers


def latent_semantic_vectors(tokens: TokenArray, width: int, seed: int) -> np.ndarray:
    """Give each word of a vocabulary a vector, like those of words of the same documents.

    A word's vector is its place on the decomposition's axes, each as long as its singular value,
    times the word's inverse document frequency, so that in a mean of many words those that stand
    everywhere count little.

    Parameters
    ----------
    tokens : TokenArray
        The documents. Words that the vocabulary has not are left out.
    width : int
        Size of the vectors.
    seed : int
        Of the randomized decomposition.

    Returns
    -------
    ndarray of float64, shape (vocab_size, width)
        0 for words that no document has, and in what columns few documents leave over.

    References
    ----------
    Deerwester, Dumais, Furnas, Landauer and Harshman, "Indexing by Latent Semantic Analysis",
    Journal of the American Society for Information Science 41(6), 1990.
    """
    known = tokens.ids < tokens.vocab_size
    documents = np.repeat(np.arange(len(tokens)), tokens.lengths)[known]
    counts = csr_matrix(
        (np.ones(len(documents)), (documents, tokens.ids[known])),
        shape=(len(tokens), tokens.vocab_size),
    )
    weights = TfidfTransformer(sublinear_tf=True)
    weighted = weights.fit_transform(counts)
    decomposition = TruncatedSVD(min(width, *weighted.shape), random_state=seed).fit(weighted)
    places = decomposition.components_.T * decomposition.singular_values_
    vectors = np.zeros((tokens.vocab_size, width))
    vectors[:, : places.shape[1]] = weights.idf_[:, None] * places
    size = np.sqrt(np.mean(vectors**2))
    return vectors * (_SIZE / size) if size else vectors
