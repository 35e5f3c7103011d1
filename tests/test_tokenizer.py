"""TextTokenizer: what it learns, what it keeps, and that cutting early changes nothing."""

import copy
import os
import pickle
import subprocess
import sys
import unicodedata
from collections import Counter

import joblib
import numpy as np
import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from samples import SCRIPTS, generated_reviews, read_rows
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from skfnet import TextTokenizer
from skfnet.windows import Windows

KINDS = ["word", "bpe"]
CORPUS = generated_reviews(300)[0] + list(SCRIPTS.values()) * 3
CHARACTERS = sorted(set("".join(SCRIPTS.values())) | set("aA bB12.,!?\n\t\u0301\u0323\u0338"))


@pytest.fixture(scope="module", params=KINDS)
def trained(request):
    return TextTokenizer(model=request.param, vocab_size=3000, lowercase=False).fit(CORPUS)


def ids_of(tokenizer, text):
    return tokenizer.transform([text])[0].tolist()


def restored(tokenizer, text):
    """Spell the tokens of `text` out again, without spaces."""
    ids = ids_of(tokenizer, text)
    return without_spaces(tokenizer.tokenizer_.decode(ids, skip_special_tokens=False))


def words_of(tokens, k=None):
    """Give each document's ids, a word outside the vocabulary as the buckets of its n-grams."""

    def word(i):
        return i if i < tokens.vocab_size else tuple(tokens.spellings[i].indices)

    return [[word(int(i)) for i in row[:k]] for row in tokens]


def without_spaces(text):
    return "".join(c for c in text if not c.isspace())


# --- training ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", KINDS)
def test_training_is_deterministic(model):
    first, second = (TextTokenizer(model=model, vocab_size=600).fit(CORPUS) for _ in range(2))
    assert first.tokenizer_.to_str() == second.tokenizer_.to_str()


def test_training_is_the_same_in_every_process(tmp_path):
    joblib.dump(CORPUS, tmp_path / "corpus.joblib")
    script = (
        "import sys, joblib; from skfnet import TextTokenizer; corpus = joblib.load(sys.argv[1]); "
        "fitted = [TextTokenizer(model=m, vocab_size=600).fit(corpus) for m in sys.argv[2:]]; "
        "joblib.dump([t.tokenizer_.to_str() for t in fitted], sys.argv[1])"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "corpus.joblib"), *KINDS],
        env={**os.environ, "PYTHONHASHSEED": "3", "RAYON_NUM_THREADS": "4"},
        check=True,
        timeout=120,
    )
    here = [TextTokenizer(model=model, vocab_size=600).fit(CORPUS) for model in KINDS]
    there = joblib.load(tmp_path / "corpus.joblib")
    assert [tokenizer.tokenizer_.to_str() for tokenizer in here] == there


def test_frequent_words_stay_whole():
    words = Counter(word for text in generated_reviews(300)[0] for word in text.split())
    tokenizer = TextTokenizer(vocab_size=3000).fit(CORPUS)
    for word in words:
        assert len(ids_of(tokenizer, word)) == 1, word
    assert tokenizer.transform([" ".join(words)]).lengths.tolist() == [len(words)]
    assert len({ids_of(tokenizer, word)[0] for word in words}) == len(words)


def test_frequent_words_of_real_text_stay_whole(trec):
    texts = trec[0]
    words = Counter(word for text in texts for word in text.lower().split() if word.isalpha())
    tokenizer = TextTokenizer().fit(texts)
    for word, _ in words.most_common(2000):
        assert len(ids_of(tokenizer, word)) == 1, word


def test_a_word_must_occur_min_frequency_times():
    texts = ["lorem ipsum dolor", "lorem ipsum", "lorem", "other words altogether"]
    for fewest, whole in [
        (1, {"lorem", "ipsum", "dolor"}),
        (2, {"lorem", "ipsum"}),
        (3, {"lorem"}),
    ]:
        tokenizer = TextTokenizer(min_frequency=fewest).fit(texts)
        found = {
            w for w in ("lorem", "ipsum", "dolor") if ids_of(tokenizer, w)[0] < tokenizer.n_ids_
        }
        assert found == whole


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("vocab_size", [261, 300, 1000])
def test_the_vocabulary_keeps_its_limit(model, vocab_size):
    tokenizer = TextTokenizer(model=model, vocab_size=vocab_size).fit(CORPUS)
    tokens = tokenizer.transform(CORPUS)
    assert tokens.vocab_size <= vocab_size
    batch = Windows(tokens, 600, "truncate").batch(np.arange(len(CORPUS)))
    assert 0 <= batch["input_ids"].min() <= batch["input_ids"].max() < tokens.vocab_size


def test_a_larger_vocabulary_of_pieces_gives_shorter_documents():
    sizes = [
        len(TextTokenizer(model="bpe", vocab_size=size).fit(CORPUS).transform(CORPUS).ids)
        for size in (261, 350, 3000)
    ]
    assert sizes == sorted(set(sizes), reverse=True)


def test_a_larger_vocabulary_of_words_leaves_fewer_out():
    left_out = [
        (tokens.ids >= tokens.vocab_size).mean()
        for size in (261, 280, 3000)
        for tokens in [TextTokenizer(vocab_size=size, min_frequency=1).fit_transform(CORPUS)]
    ]
    assert left_out == sorted(set(left_out), reverse=True)
    assert left_out[-1] == 0


def test_lower_case():
    same = TextTokenizer().fit(CORPUS)
    assert ids_of(same, "RAIN, Rain ÊTRE") == ids_of(same, "rain, rain être")
    apart = TextTokenizer(lowercase=False).fit(CORPUS)
    assert ids_of(apart, "RAIN") != ids_of(apart, "rain")


# --- nothing is lost --------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_pieces_lose_no_character_of_a_script_never_seen(script):
    others = [text for name, text in SCRIPTS.items() if name != script]
    tokenizer = TextTokenizer(model="bpe").fit(others)
    text = SCRIPTS[script]
    expected = without_spaces(unicodedata.normalize("NFC", text)).lower()
    assert restored(tokenizer, text).lower() == expected
    assert tokenizer.tokenizer_.token_to_id("[UNK]") not in ids_of(tokenizer, text)


@given(
    st.text(st.one_of(st.sampled_from(CHARACTERS), st.characters(exclude_categories=["Cs", "Cn"])))
)
def test_nor_of_any_text(text):
    assert restored(_shared("bpe"), text) == without_spaces(unicodedata.normalize("NFC", text))


def test_twenty_languages_come_back():
    texts = read_rows("sib200_20langs", "train")[0][:2000]
    tokenizer = TextTokenizer(model="bpe", lowercase=False, vocab_size=8000).fit(texts[:1000])
    for text in texts:
        assert restored(tokenizer, text) == without_spaces(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_word_of_a_script_never_seen_is_spelled(script):
    others = [text for name, text in SCRIPTS.items() if name != script]
    tokens = TextTokenizer().fit(others).transform([SCRIPTS[script]])
    unknown = tokens.ids[tokens.ids >= tokens.vocab_size]
    assert len(unknown)
    assert tokens.special.unknown not in tokens.ids
    assert (np.diff(tokens.spellings.indptr)[unknown] > 0).all()
    assert tokens.spellings.shape[0] == tokens.ids.max() + 1


def n_grams(word):
    word = f" {unicodedata.normalize('NFD', word)} "
    return {word[i : i + n] for n in range(3, 7) for i in range(len(word) - n + 1)} or {word}


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("running", "runner"),
        ("\u00e9tude", "etudes"),
        ("\ud55c\uad6d\uc5b4", "\ud55c\uad6d"),
        ("a", "b"),
    ],
)
def test_words_share_the_n_grams_that_they_have_in_common(known, new):
    tokens = TextTokenizer().fit([known] * 2).transform([known, new])
    first, second = (set(tokens.spellings[row].indices) for row in tokens)
    assert (len(first), len(second)) == (len(n_grams(known)), len(n_grams(new)))
    assert len(first & second) == len(n_grams(known) & n_grams(new))


def test_a_word_that_comes_again_has_the_same_number():
    tokens = TextTokenizer().fit(CORPUS).transform(["Quixotic, quixotic!", "quixotic"])
    assert tokens[0][0] == tokens[0][2] == tokens[1][0] >= tokens.vocab_size


def test_ideographs_and_kana_are_words():
    tokenizer = TextTokenizer().fit(["\u65e5\u672c\u8a9e \u30c6\u30ad"] * 2)
    (row,) = tokenizer.transform(["\u8a9e\u65e5x1\u30c6"])
    assert tokenizer.decode(row) == "\u8a9e \u65e5 [UNK] \u30c6"


@pytest.mark.parametrize("letter", ["\u0e2a\u0e31", "\u0eaa", "\u1780\u17b6", "\u1000\u102d"])
def test_scripts_without_spaces_or_ideographs_are_cut_every_16_letters(letter):
    tokenizer = TextTokenizer().fit([letter * 16, letter * 3] * 2)
    (row,) = tokenizer.transform([f"{letter * 35}x1"])
    assert tokenizer.decode(row) == f"{letter * 16} {letter * 16} {letter * 3} [UNK]"


def test_a_thai_word_is_known_wherever_it_stands():
    word = "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"
    tokens = TextTokenizer().fit([word] * 2).transform([word, f"\u0e01\u0e02{word}\u0e04"])
    alone, inside = (set(tokens.spellings[row].indices) for row in tokens)
    inner = {word[i : i + n] for n in range(3, 7) for i in range(len(word) - n + 1)}
    assert len(alone & inside) >= len(inner) >= 10


def test_composed_and_decomposed_characters_are_the_same(trained):
    assert ids_of(trained, "e\u0301tude") == ids_of(trained, "\u00e9tude")
    for composed in ("caf\u00e9", "\ud55c\uad6d\uc5b4", "\u304c"):
        decomposed = unicodedata.normalize("NFD", composed)
        assert decomposed != composed
        expected, got = (words_of(trained.transform([word])) for word in (composed, decomposed))
        assert got == expected
        assert words_of(trained.transform([composed[:-1]])) != expected


def test_decode_shows_the_tokens():
    tokenizer = TextTokenizer().fit(CORPUS)
    shown = tokenizer.decode(tokenizer.transform(["the cold rain"])[0])
    assert shown.split() == ["the", "cold", "rain"]


def test_names_of_special_tokens_in_a_text_are_text(trained):
    special = {trained.tokenizer_.token_to_id(name) for name in ("[CLS]", "[PAD]", "[MASK]")}
    assert not special & set(ids_of(trained, "what is [CLS] or [PAD] or [MASK]?"))


# --- cutting before tokenizing ----------------------------------------------------------

_trained = {}


def _shared(model):
    if model not in _trained:
        tokenizer = TextTokenizer(model=model, vocab_size=1000, lowercase=False)
        _trained[model] = tokenizer.fit(CORPUS)
    return _trained[model]


texts = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=400),
    st.lists(st.sampled_from(list(SCRIPTS.values()) + [" ", "\n" * 50]), max_size=12).map("".join),
    st.builds(
        lambda unit, times, end: unit * times + end,
        st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=5),
        st.integers(1, 300),
        st.text(st.sampled_from(CHARACTERS), max_size=70),
    ),
)


@given(
    texts=st.lists(texts, min_size=1, max_size=4),
    k=st.integers(1, 60),
    model=st.sampled_from(KINDS),
)
@example(texts=["a" * 1000], k=1, model="word")
@example(texts=["a" * 64 + "b"], k=5, model="word")
@example(texts=["人" * 500, " " * 500 + "a", "e\u0301" * 300], k=3, model="word")
@example(texts=["x " + "e" + "\u0301" * 300], k=2, model="bpe")
@example(texts=["=" * 11 + "\u0338" + "!" * 200], k=1, model="word")
def test_cutting_first_gives_the_same_tokens(texts, k, model):
    tokenizer = _shared(model)
    whole = tokenizer.transform(texts)
    cut = tokenizer.encode(texts, k)
    assert words_of(cut) == words_of(whole, k)
    assert (cut.vocab_size, cut.special) == (whole.vocab_size, whole.special)


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("unit", ["human beings ", "[SEP] and so on ", "人人生而自由", "e\u0301t "])
def test_the_cut_may_go_through_anything(unit, model):
    tokenizer = _shared(model)
    texts = [" " * n + unit * 30 for n in range(150)]
    whole = tokenizer.transform(texts)
    for k in range(1, 6):
        cut = tokenizer.encode(texts, k)
        assert words_of(cut) == words_of(whole, k)


def test_marks_that_sort_themselves_across_a_cut():
    # U+0323 moves before every U+0301 and joins the first letter, however far away it stands.
    text = "a" + "\u0301" * 500 + "\u0323 and so on"
    tokenizer = _shared("word")
    for k in (1, 2, 5, 20):
        whole = tokenizer.transform([text])
        assert words_of(tokenizer.encode([text], k)) == words_of(whole, k)


def test_real_text_cut_first(trec):
    train = [" ".join(trec[0][i : i + 40]) for i in range(0, 2000, 40)]
    tokenizer = TextTokenizer().fit(trec[0])
    whole = tokenizer.transform(train)
    for k in (1, 7, 64, 510):
        cut = tokenizer.encode(train, k)
        assert words_of(cut) == words_of(whole, k)


@pytest.mark.parametrize("unit", ["a", "人", "word ", " ", "🎉", "a\u0301", "!?"])
def test_ten_million_characters_are_cut(unit):
    text = unit * (10_000_000 // len(unit))
    tokens = _shared("word").encode([text, "rain"], 100)
    assert tokens.lengths[0] == (0 if unit == " " else 100)
    assert words_of(tokens)[0] == words_of(_shared("word").transform([text[:20_000]]), 100)[0]


# --- odd documents ----------------------------------------------------------------------


def test_odd_documents_have_tokens_or_none(trained):
    texts = ["", " \n\t", "🎉", "\x00", "\ud800", b"rain", "a" * 100_000]
    lengths = trained.transform(texts).lengths
    assert lengths[:2].tolist() == [0, 0]
    assert (lengths[2:] > 0).all()


@pytest.mark.parametrize("model", KINDS)
def test_a_corpus_without_a_word_can_be_learned(model):
    tokens = TextTokenizer(model=model).fit(["", " "]).transform(["rain 人", ""])
    assert tokens.lengths.tolist() == [2 if model == "word" else 7, 0]


@pytest.mark.parametrize("X", ["rain", ["rain", None], [["rain"]], []])
def test_bad_documents_are_refused_by_every_method(X, trained):
    for method in (TextTokenizer().fit, TextTokenizer().fit_transform, trained.transform):
        with pytest.raises(ValueError, match="X|documents"):
            method(X)


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        ("model", "unigram", "a str among"),
        ("vocab_size", 260, r"\[261, inf\)"),
        ("vocab_size", 3000.0, r"\[261, inf\)"),
        ("min_frequency", 0, r"\[1, inf\)"),
        ("lowercase", "yes", "'bool'"),
    ],
)
def test_parameters_out_of_range(parameter, value, allowed):
    for method in ("fit", "fit_transform"):
        with pytest.raises(InvalidParameterError, match=f"'{parameter}'.*{allowed}.*{value!r}"):
            getattr(TextTokenizer(**{parameter: value}), method)(CORPUS)


# --- as a transformer -------------------------------------------------------------------


def test_before_fit():
    for method in (TextTokenizer().transform, TextTokenizer().encode, TextTokenizer().decode):
        with pytest.raises(NotFittedError):
            method(["rain"])


def test_fit_transform_is_fit_then_transform(trained):
    fresh = clone(trained)
    assert fresh.fit_transform(CORPUS).ids.tolist() == trained.transform(CORPUS).ids.tolist()


def test_fit_forgets_the_first_fit():
    tokenizer = TextTokenizer().fit(["other words altogether"] * 3).fit(CORPUS)
    assert tokenizer.tokenizer_.to_str() == TextTokenizer().fit(CORPUS).tokenizer_.to_str()


def test_copies_tokenize_alike(trained, tmp_path):
    joblib.dump(trained, tmp_path / "tokenizer.joblib")
    expected = trained.transform(CORPUS)
    for twin in (
        pickle.loads(pickle.dumps(trained)),
        copy.deepcopy(trained),
        joblib.load(tmp_path / "tokenizer.joblib"),
    ):
        tokens = twin.transform(CORPUS)
        assert tokens.ids.tolist() == expected.ids.tolist()
        assert tokens.special == expected.special
        assert words_of(tokens) == words_of(expected)
        assert twin.encode(CORPUS, 3).ids.tolist() == trained.encode(CORPUS, 3).ids.tolist()
    assert joblib.hash(trained) == joblib.hash(copy.deepcopy(trained))


def test_set_output_is_heard_and_changes_nothing(trained):
    twin = copy.deepcopy(trained)
    assert twin.set_output(transform="pandas") is twin
    assert np.array_equal(twin.transform(CORPUS).ids, trained.transform(CORPUS).ids)


# --- ready tokenizers -------------------------------------------------------------------


def ready_wordlevel():
    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<pad>"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def ready_bpe():
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def ready_wordpiece():
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[MASK]", "[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    tokenizer.enable_truncation(max_length=6)
    tokenizer.enable_padding(length=9, pad_id=1, pad_token="[PAD]")
    return tokenizer


@pytest.mark.parametrize("make", [ready_wordlevel, ready_bpe, ready_wordpiece])
def test_a_ready_tokenizer_is_used_as_it_is(make):
    ready = make()
    before = ready.to_str()
    wrapped = TextTokenizer.from_tokenizer(ready)
    windows = Windows(wrapped.transform(CORPUS), 5000, "truncate")
    assert ready.to_str() == before  # its truncation and padding are the user's
    ready.no_truncation()
    ready.no_padding()
    for row, text in enumerate(CORPUS):
        batch = windows.batch(np.array([row]))
        ids, lengths = batch["input_ids"], batch["lengths"]
        assert ids[0].tolist() == ready.encode(text).ids
        assert lengths[0] == ids.shape[1]
    whole = wrapped.transform(CORPUS)
    cut = wrapped.encode(CORPUS, 4)
    assert [row.tolist() for row in cut] == [row[:4].tolist() for row in whole]
    assert [row.tolist() for row in pickle.loads(pickle.dumps(wrapped)).transform(CORPUS)] == [
        row.tolist() for row in whole
    ]


@pytest.mark.parametrize("make", [ready_wordlevel, ready_bpe, ready_wordpiece])
def test_a_batch_of_a_ready_tokenizer_is_padded_inside_its_vocabulary(make):
    ready = make()
    tokens = TextTokenizer.from_tokenizer(ready).transform(["rain", "rain and cold"])
    ids = Windows(tokens, 100, "truncate").batch(np.array([0, 1]))["input_ids"]
    assert 0 <= ids.min() <= ids.max() < ready.get_vocab_size()


def test_a_ready_tokenizer_may_not_know_the_letter_a():
    ready = tokenizers.Tokenizer(models.WordLevel({"rain": 0, "[CLS]": 1, "[SEP]": 2}))
    ready.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ready.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    special = TextTokenizer.from_tokenizer(ready).special_tokens_
    assert (special.prefix, special.suffix) == ((1,), (2,))


def test_a_ready_vocabulary_may_have_holes():
    ready = tokenizers.Tokenizer(models.WordLevel({"rain": 3, "sun": 90, "?": 7}, unk_token="?"))
    ready.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens = TextTokenizer.from_tokenizer(ready).transform(["rain sun moon"])
    assert tokens.ids.tolist() == [3, 90, 7]
    assert tokens.vocab_size == 91


def test_pairs_are_tokenized_text_by_text():
    pairs = [("the cat sat", "a dog"), ("", "the cat"), ("a dog ran " * 500, "")]
    tokenizer = TextTokenizer().fit(pairs)
    alone = TextTokenizer().fit([text for pair in pairs for text in pair])
    assert tokenizer.tokenizer_.to_str() == alone.tokenizer_.to_str()
    for limit in (None, 4):
        tokens = tokenizer.encode(pairs, limit)
        sides = [alone.encode(list(side), limit) for side in zip(*pairs, strict=True)]
        for row in range(len(pairs)):
            expected = [*sides[0][row], *sides[1][row]]
            assert tokens[row].tolist() == expected
            assert tokens.firsts[row] == len(sides[0][row])


def test_no_document_has_no_tokens():
    assert len(TextTokenizer().fit(["rain"]).encode([])) == 0


@pytest.mark.parametrize("model", ["char", "byte"])
def test_characters_and_bytes(model):
    texts = ["So it goes,\n and so on.", "日本 und Ägypten", "日本"]
    tokenizer = TextTokenizer(model=model, lowercase=False).fit(texts)
    tokens = tokenizer.transform(texts)
    decoded = tokenizer.tokenizer_.decode
    for row, text in enumerate(texts):
        assert decoded(tokens[row].tolist(), skip_special_tokens=False) == text
    if model == "byte":
        assert tokenizer.n_ids_ == 5 + 256
        assert tokens.lengths.tolist() == [len(text.encode()) for text in texts]
    else:
        assert tokens.lengths[2] == 2  # twice in the texts: of their own
        assert tokens.lengths[1] == len(texts[1]) + 1  # the rare letter in two bytes
    unseen = "ψ 🎈"
    assert decoded(tokenizer.transform([unseen])[0].tolist()) == unseen


@pytest.mark.parametrize("model", ["char", "byte"])
def test_a_long_text_is_cut_before_its_characters_are_taken(model):
    tokenizer = TextTokenizer(model=model).fit(["ab é"] * 2)
    text = "ab é " * 3000
    assert tokenizer.encode([text], 50)[0].tolist() == tokenizer.encode([text])[0][:50].tolist()
    assert tokenizer.encode(["ab é " * 2_000_000], 50).lengths.tolist() == [50]
