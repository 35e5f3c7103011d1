"""A SentencePiece model against sentencepiece itself and transformers."""

import sys

import pytest
from published import CORPUS, PUBLISHED, TEXTS, save_model

from skfnet.checkpoints import read_huggingface
from skfnet.checkpoints.sentencepiece import read_sentencepiece

NEEDED = {"control_symbols": PUBLISHED[4:], "pad_id": 3, "unk_id": 0, "bos_id": 1, "eos_id": 2}


def train(folder, **changes):
    sentencepiece = pytest.importorskip("sentencepiece")
    settings = {"vocab_size": 90, "hard_vocab_limit": False, "minloglevel": 2} | NEEDED | changes
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_prefix=str(folder / "spiece"), **settings
    )
    return folder / "spiece.model"


@pytest.fixture
def model(tmp_path):
    """Give the file of a model as FNet's is: the same special tokens in the same order."""
    return train(tmp_path)


def test_pieces_are_those_of_sentencepiece(model):
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ours = read_sentencepiece(model)
    wide = "\N{FULLWIDTH LATIN SMALL LETTER A}  \N{LATIN SMALL LIGATURE FI}lm"
    for text in [*TEXTS, *CORPUS, wide, " it's  ``so'' "]:
        plain = " ".join(text.replace("``", '"').replace("''", '"').split())
        assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(plain), text
    assert [ours.id_to_token(i) for i in range(7)] == PUBLISHED
    pair = ours.encode("good film", "bad plot")
    assert pair.ids[0] == 4 and pair.ids[-1] == 5 and pair.type_ids[-1] == 1


def test_a_comma_comes_off_a_number(tmp_path):
    model = train(tmp_path, user_defined_symbols=["4,", "14", "<sep>"])
    pieces = read_sentencepiece(model)
    assert pieces.encode("a<sep>b", add_special_tokens=False).tokens.count("<sep>") == 1


def test_case_and_accents_may_be_dropped(model):
    plain = read_sentencepiece(model, lowercase=True, keep_accents=False)
    kept = read_sentencepiece(model)
    assert plain.encode("GÓOD Film").ids == kept.encode("good film").ids
    assert plain.encode("GÓOD Film").ids != kept.encode("GÓOD Film").ids


def test_a_folder_with_a_sentencepiece_model_alone(model, tmp_path):
    pytest.importorskip("transformers")
    save_model(tmp_path, tokenizer=range(120))
    checkpoint = read_huggingface(tmp_path)
    assert checkpoint.tokenizer.special_tokens_.pad == 3
    assert checkpoint.tokenizer.special_tokens_.prefix == (4,)
    assert checkpoint.tokenizer.n_ids_ == 120
    expected = read_sentencepiece(model).encode(TEXTS[0], add_special_tokens=False).ids
    assert checkpoint.tokenizer.transform(TEXTS[:1]).ids.tolist() == expected


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "spiece.model").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"pip install 'skfnet\[sentencepiece\]'"):
        read_sentencepiece(tmp_path / "spiece.model")


def test_another_kind_of_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="another kind than unigram"):
        read_sentencepiece(train(tmp_path, model_type="bpe", vocab_size=60))
    with pytest.raises(ValueError, match=r"no piece \[CLS\] and no \[SEP\]"):
        read_sentencepiece(train(tmp_path, control_symbols=[]))


def test_a_damaged_model_is_refused(model):
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"spiece\.model is no SentencePiece model, or only"):
        read_sentencepiece(model)
