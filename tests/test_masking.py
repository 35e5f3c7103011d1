"""What is hidden of a batch, and that nothing of it shows."""

import numpy as np
import pytest
from samples import generated_reviews

from skfnet import TextTokenizer
from skfnet.batches import SpecialTokens, TokenArray
from skfnet.masking import Masking, PretrainingRows

TEXTS, _ = generated_reviews(200, longest=40)
TOKENIZER = TextTokenizer().fit(TEXTS)
TOKENS = TOKENIZER.transform(TEXTS)
MASK = TOKENS.special.mask


def rows_of(tokens, share=0.15, ordered=True, max_length=64):
    return PretrainingRows(tokens, max_length, "mean", Masking.of(tokens, share), ordered)


def test_a_sixth_and_a_bit_less_is_chosen_of_each_text_and_of_all():
    random, texts = np.random.default_rng(0), np.ones((3000, 17), dtype=bool)
    masking = Masking(np.arange(5, 1000), 1000, 4, 0.15)
    before = np.random.default_rng(1).integers(5, 1000, texts.shape)
    ids = before.copy()
    places, hidden = masking.hide(ids, texts, random)
    np.testing.assert_array_equal(hidden, before.ravel()[places])
    assert len(places) / texts.size == pytest.approx(0.15, abs=0.003)
    of_row = np.bincount(places // 17, minlength=3000)
    assert set(of_row) == {2, 3}  # 0.15 * 17 = 2.55
    now = ids.ravel()[places]
    assert (now == 4).mean() == pytest.approx(0.8, abs=0.02)
    assert (now == hidden).mean() == pytest.approx(0.1, abs=0.02)
    drawn = now[(now != 4) & (now != hidden)]
    assert len(drawn) / len(now) == pytest.approx(0.1, abs=0.02)
    assert 5 <= drawn.min() < 50 < 950 < drawn.max() < 1000
    untouched = np.ones(texts.size, dtype=bool)
    untouched[places] = False
    np.testing.assert_array_equal(ids.ravel()[untouched], before.ravel()[untouched])
    of_column = np.bincount(places % 17)
    assert of_column.min() > 0.8 * of_column.mean()  # all places alike


def test_what_may_be_hidden_is_a_word_of_the_vocabulary():
    tokens = TOKENIZER.transform(["the rain zebra", "unheard words alone"])
    masking = Masking.of(tokens, 0.5)
    possible = masking.can_hide(tokens.ids)
    assert possible.tolist()[:3] == [True, True, False]
    assert not masking.can_hide(np.arange(5)).any()  # [PAD] to [MASK]
    inputs, targets = rows_of(tokens, share=0.9).batch(np.arange(2), np.random.default_rng(0))
    assert set(targets["masked_tokens"].tolist()) <= set(tokens.ids[:2].tolist())
    assert (inputs["input_ids"] < tokens.vocab_size).all()


def test_the_first_words_alone_are_hidden_and_stand_in_for_others():
    masking = Masking.of(TOKENS, 0.5, 20)
    ids = np.random.default_rng(0).integers(5, TOKENS.vocab_size, (400, 15))
    before = ids.copy()
    _, hidden = masking.hide(ids, np.ones(ids.shape, dtype=bool), np.random.default_rng(1))
    assert set(hidden) == set(range(5, 20))
    assert set(ids[ids != before]) == {TOKENS.special.mask, *range(5, 20)}


def with_other_words(tokens, places, random):
    """Give the same tokens but for some places, where other words of the vocabulary stand."""
    ids = tokens.ids.copy()
    ids[places] = random.integers(5, tokens.vocab_size, len(places))
    return TokenArray(
        ids, tokens.offsets, tokens.vocab_size, tokens.special, tokens.firsts, tokens.spellings
    )


@pytest.mark.parametrize("kind", ["texts", "pairs", "halves"])
def test_no_input_tells_which_word_is_hidden(kind):
    """Spelling, pairs of tokens and types are of what stands there now."""
    tokens = TOKENS
    if kind == "pairs":
        tokens = TOKENIZER.transform(list(zip(TEXTS[:100], TEXTS[100:], strict=True)))
    batch = np.arange(len(tokens))
    numbered = TokenArray(  # each token its own number, to see which of them are hidden
        np.arange(len(tokens.ids)), tokens.offsets, 10**6, tokens.special, tokens.firsts
    )
    ordered = kind == "halves"
    rows = rows_of(tokens, 0.3, ordered, max_length=200)
    inputs, targets = rows.batch(batch, np.random.default_rng(7))
    seen = PretrainingRows(numbered, 200, "mean", None, ordered)
    swapped = np.random.default_rng(7).random(len(batch)) < 0.5 if ordered else None
    place_in_tokens = seen.windows.lay_out(batch, swapped).ids.ravel()
    masked = inputs["masked"].numpy()
    behind_mask = masked[inputs["input_ids"].numpy().ravel()[masked] == MASK]
    assert len(behind_mask) > 500
    other = with_other_words(tokens, place_in_tokens[behind_mask], np.random.default_rng(3))
    again, other_targets = rows_of(other, 0.3, ordered, 200).batch(batch, np.random.default_rng(7))
    assert (targets["masked_tokens"] != other_targets["masked_tokens"]).sum() > 400
    assert inputs.keys() == again.keys()
    assert {"spelled", "subwords", "starts", "input_ids"} < inputs.keys()
    for name, expected in inputs.items():
        np.testing.assert_array_equal(again[name], expected, name)


def test_two_masks_are_not_the_same_word():
    tokens = TOKENIZER.transform([("rain", "rain"), ("rain cold", "soup rain")])
    layout = rows_of(tokens, ordered=False).windows.lay_out(np.arange(2))
    layout.ids[0, [1, 3]] = MASK
    inputs = rows_of(tokens, ordered=False).windows.inputs(layout)
    assert inputs["type_ids"][0, :5].tolist() == [0, 0, 0, 1, 1]
    assert inputs["type_ids"][1].tolist() == [0, 2, 0, 0, 1, 3, 1]


def test_the_second_half_stands_first_where_they_are_swapped():
    tokens = TokenArray.from_rows(
        [[5, 6, 7, 8, 9], [12], [13, 14]] * 40, 20, SpecialTokens(0, (1,), (2,), mask=4)
    )
    rows = PretrainingRows(tokens, 16, "mean", None, True)
    inputs, targets = rows.batch(np.arange(120), np.random.default_rng(0))
    for row, swapped in enumerate(targets["segment_order"].tolist()):
        ids = inputs["input_ids"][row, : inputs["lengths"][row]].tolist()
        kind, cut = row % 3, rows.windows.tokens.firsts[row]
        text = [[5, 6, 7, 8, 9], [12], [13, 14]][kind]
        first, second = text[:cut], text[cut:]
        assert (swapped == -100) == (kind == 1)  # one token has no order
        if kind != 1 and swapped:
            first, second = second, first
        if kind != 1:
            assert ids == [1, *first, 2, *second, 2]
            types = inputs["type_ids"][row, : len(ids)].tolist()
            assert types == [0] * (len(first) + 2) + [1] * (len(second) + 1)
        assert sorted(ids) == sorted([1, *first, 2, *second, 2])
    share = (targets["segment_order"] == 1).sum() / (targets["segment_order"] >= 0).sum()
    assert 0.35 < share < 0.65


def test_the_lengths_of_the_halves_do_not_tell_their_order():
    tokens = TokenArray.from_rows([[5, 6, 7, 8, 9]] * 400, 20, SpecialTokens(0, (1,), (2,), mask=4))
    rows = PretrainingRows(tokens, 16, "mean", None, True)
    inputs, targets = rows.batch(np.arange(400), np.random.default_rng(0))
    longer_first = (inputs["type_ids"] == 1).sum(dim=1) == 3  # two tokens and [SEP]
    swapped = targets["segment_order"] == 1
    assert abs(longer_first[swapped].float().mean() - longer_first[~swapped].float().mean()) < 0.15


def test_a_vocabulary_without_mask_hides_nothing():
    with pytest.raises(ValueError, match=r"needs a token \[MASK\].*segment_order"):
        Masking.of(TokenArray.from_rows([[1, 2]], 3, SpecialTokens(0, (), ())), 0.15)


@pytest.mark.parametrize("model", ["word", "bpe", "char", "byte"])
def test_every_vocabulary_of_ours_has_a_mask(model):
    tokenizer = TextTokenizer(model=model, vocab_size=400).fit(TEXTS)
    assert tokenizer.special_tokens_.mask == 4
    assert tokenizer.tokenizer_.id_to_token(4) == "[MASK]"
    assert 4 not in tokenizer.transform(["a [MASK] b"]).ids


def test_texts_from_which_nothing_is_learned_are_refused():
    unheard = TOKENIZER.transform(["zebra lion", "giraffe"])
    with pytest.raises(ValueError, match="no word of the vocabulary"):
        rows_of(unheard).check_enough()
    with pytest.raises(ValueError, match="No text of X has two tokens"):
        rows_of(TOKENIZER.transform(["rain", "cold", ""])).check_enough()
    rows_of(TOKENIZER.transform(["rain", "cold", ""]), ordered=False).check_enough()
    with pytest.raises(ValueError, match="no word of the vocabulary"):
        rows_of(TOKENIZER.transform(["", ""])).check_enough()
