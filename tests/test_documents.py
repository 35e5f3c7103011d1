"""Documents on their way into an estimator."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from skfnet import TextTokenizer, documents
from skfnet.batches import SpecialTokens, TokenArray
from skfnet.nn import EncoderConfig

ROWS = [[3, 4, 5], [], [6] * 7, [3], [4, 5, 6, 7, 8]]
CONFIG = EncoderConfig(vocab_size=10)
TOKENS = TokenArray.from_rows(ROWS, 10, SpecialTokens(0, (1,), (2,)))


@pytest.mark.parametrize("given", [TOKENS, ["a", "b", "c", "d", "e"]], ids=["tokens", "texts"])
def test_take_keeps_the_order_asked_for(given):
    taken = documents.take(given, np.array([4, 0]))
    assert len(taken) == 2
    assert list(taken[0]) == list(given[4])
    assert list(taken[1]) == list(given[0])


def config_of(tokenizer, max_length):
    return EncoderConfig(
        vocab_size=tokenizer.n_ids_,
        max_length=max_length,
        subword_buckets=tokenizer.spellings_.shape[1],
    )


def test_one_warning_counts_the_long_documents():
    with pytest.warns(UserWarning, match="2 of 5 documents are longer than max_length=5") as caught:
        documents.to_tokens(TOKENS, None, replace(CONFIG, max_length=5), "truncate")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        documents.to_tokens(TOKENS, None, replace(CONFIG, max_length=9), "truncate")
        documents.to_tokens(TOKENS, None, replace(CONFIG, max_length=5), "mean")


def test_no_more_than_needed_is_tokenized():
    tokenizer = TextTokenizer().fit(["rain and cold"] * 2)
    with pytest.warns(UserWarning, match="1 of 1"):
        tokens = documents.to_tokens(
            ["rain and cold " * 1000], tokenizer, config_of(tokenizer, 20), "truncate"
        )
    assert 18 < len(tokens.ids) < 100


def test_max_length_must_leave_room():
    with pytest.raises(ValueError, match=r"max_length=2 leaves no room.*2 special.*at least 3"):
        documents.check_room(2, TOKENS, None)
    documents.check_room(3, TOKENS, None)


def test_tokens_of_another_vocabulary_are_refused():
    with pytest.raises(ValueError, match="vocabulary of 10.*fitted with one of 11"):
        documents.to_tokens(TOKENS, None, EncoderConfig(vocab_size=11), "truncate")


def test_tokens_that_are_not_spelled_as_those_learned_from_are_refused():
    tokens = TextTokenizer().fit_transform(["rain and cold"] * 2)
    config = EncoderConfig(vocab_size=tokens.vocab_size, subword_buckets=99)
    with pytest.raises(ValueError, match="n-grams in 16384 buckets.*fitted with 99"):
        documents.to_tokens(tokens, None, config, "truncate")


def test_a_default_tokenizer_and_one_that_is_cloned():
    texts = ["rain and cold"] * 3
    assert documents.fitted_tokenizer(None, TOKENS) is None
    default = documents.fitted_tokenizer(None, texts)
    assert default.tokenizer_.to_str() == TextTokenizer().fit(texts).tokenizer_.to_str()
    given = TextTokenizer(min_frequency=5)
    fitted = documents.fitted_tokenizer(given, texts)
    assert fitted.min_frequency == 5
    assert not hasattr(given, "tokenizer_")


def test_of_a_pair_too_each_text_is_tokenized_no_further_than_needed():
    pairs = [("rain and cold " * 1000, "cold"), ("rain", "cold")]
    tokenizer = TextTokenizer().fit(pairs)
    with pytest.warns(UserWarning, match="1 of 2 documents"):
        tokens = documents.to_tokens(pairs, tokenizer, config_of(tokenizer, 20), "mean")
    assert 18 < len(tokens.ids) < 100


def test_sequences_of_ids():
    tokens = documents.check_input([[3, 1], np.array([], dtype=np.int8), (7,)], "precomputed")
    assert tokens.vocab_size == 8
    assert [row.tolist() for row in tokens] == [[3, 1], [], [7]]
    assert tokens.special.around(pair=False) == 0
    assert documents.check_input([[3]], "precomputed", vocab_size=8).vocab_size == 8


@pytest.mark.parametrize(
    ("X", "vocab_size", "message"),
    [
        ([[1], "ab"], None, "Row 1 of X holds no token ids.*got 'ab'"),
        ([[1], None], None, "Row 1 of X holds no token ids.*got None"),
        ([[1], [1.5]], None, "Row 1 of X holds no token ids.*got float64"),
        ([[1], [[2], [3]]], None, r"Row 1 of X holds no token ids.*shape \(2, 1\)"),
        ([[0], [2, -1]], None, "Row 1 of X holds no token ids.*got -1 to 2"),
        ([[0], [8]], 8, "Row 1 of X holds the token id 8, but .* below 8"),
        ("123", None, "str object received"),
        (5, None, "int object received"),
        ([], None, "0 sample"),
    ],
)
def test_other_sequences_are_refused(X, vocab_size, message):
    with pytest.raises(ValueError, match=message):
        documents.check_input(X, "precomputed", vocab_size)
