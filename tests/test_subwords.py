"""Character n-grams of words, against a loop."""

import unicodedata

import pytest

from skfnet.subwords import buckets_for, spell

WORDS = ["a", "rain", "caf\u00e9", "\ud55c\uad6d\uc5b4", "?!", "internationalization"]


def n_grams(word):
    text = f" {unicodedata.normalize('NFD', word)} "
    found = {text[i : i + n] for n in range(3, 7) for i in range(len(text) - n + 1)}
    return found or {text}


def test_a_word_has_a_bucket_for_each_n_gram():
    spelled = spell(WORDS, 2**18)
    assert spelled.shape == (len(WORDS), 2**18)
    for row, word in zip(spelled, WORDS, strict=True):
        assert row.nnz == len(n_grams(word))  # none of these few share a bucket
        assert (row.data == 1).all()


def test_words_share_the_buckets_of_the_n_grams_they_share():
    spelled = spell(["raining", "training", "raisin"], 2**18)
    shared = (spelled @ spelled.T).toarray()
    for i, one in enumerate(["raining", "training", "raisin"]):
        for j, other in enumerate(["raining", "training", "raisin"]):
            assert shared[i, j] == len(n_grams(one) & n_grams(other))


def test_no_words_have_no_rows():
    assert spell([], 64).shape == (0, 64)


@pytest.mark.parametrize("n_words", [0, 1, 5_000, 20_000, 30_000, 1_000_000])
def test_the_number_of_buckets_grows_with_the_words_within_bounds(n_words):
    n_buckets = buckets_for(n_words)
    assert n_buckets & (n_buckets - 1) == 0
    assert 2**14 <= n_buckets <= 2**18
    if 2**14 < n_buckets < 2**18:
        assert n_words < n_buckets / 2 <= 4 * n_words
