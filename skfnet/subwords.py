"""What words are made of: their character n-grams, hashed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

__all__ = ["buckets_for", "spell"]

_SHORTEST, _LONGEST = 3, 6
_FEWEST_BUCKETS, _MOST_BUCKETS = 2**14, 2**18
_BUCKETS_PER_WORD = 4


def buckets_for(n_words: int) -> int:
    """Choose the number of buckets for a corpus of so many different words.

    About four a word, a power of two between 16,384 and 262,144: a word has 15 n-grams or so,
    most of which it shares with others.
    """
    wanted = 1 << (_BUCKETS_PER_WORD * n_words).bit_length()
    return min(max(wanted, _FEWEST_BUCKETS), _MOST_BUCKETS)


def spell(words: Sequence[str], n_buckets: int) -> csr_matrix:
    """Give the buckets of each word's character n-grams.

    All runs of 3 to 6 characters of the word with a space before and after it. It is decomposed
    before (NFD), so that a Hangul syllable counts as its two or three letters and an accented
    letter begins like the plain one.

    Parameters
    ----------
    words : sequence of str
        Normalised words, no white space in them.
    n_buckets : int
        Number of buckets.

    Returns
    -------
    csr_matrix of shape (len(words), n_buckets)
        A row's indices are its word's buckets.

    References
    ----------
    Bojanowski, Grave, Joulin and Mikolov, "Enriching Word Vectors with Subword Information",
    arXiv 1607.04606, section 3.2.
    """
    if not words:
        return csr_matrix((0, n_buckets), dtype=np.float32)
    hashing = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(_SHORTEST, _LONGEST),
        preprocessor=_decomposed,
        n_features=n_buckets,
        alternate_sign=False,
        binary=True,
        norm=None,
        dtype=np.float32,
    )
    return csr_matrix(hashing.transform(words))


def _decomposed(word: str) -> str:
    return unicodedata.normalize("NFD", word)
