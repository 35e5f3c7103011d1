"""Tokens described by tables, beside the same sums in NumPy."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from skfnet.nn import Encoder, EncoderConfig
from skfnet.nn.tables import KnownNgrams

PAIRS = [(2, 7), (7, 7), (9, 1)]
TRIPLES = [(2, 7, 7), (9, 1, 49)]
KNOWN = [np.array([2 * 50 + 7, 7 * 50 + 7, 9 * 50 + 1]), np.array([0 * 50 + 7, 2 * 50 + 49])]
SIZES = {"words": 50, "bigrams": 3, "trigrams": 2, "subwords": 20}
SPELLINGS = [[3, 8, 8], [19], []]  # of three words


def told_encoder(n_tables, *, subword_buckets=20):
    config = EncoderConfig(
        vocab_size=50,
        width=12,
        target_encoding=4,
        trigram_buckets=7,
        subword_buckets=subword_buckets,
        dropout=0.0,
    )
    encoder = Encoder(config).eval()
    random = np.random.default_rng(0)
    tables = {
        name: random.normal(size=(n_tables, n_rows, 4)).astype(np.float32)
        for name, n_rows in SIZES.items()
    }
    encoder.take_target_encoding(KNOWN, tables)
    return encoder, tables


def spelled_as(places):
    return {
        "subwords": torch.tensor([i for word in SPELLINGS for i in word]),
        "starts": torch.tensor([0, 3, 4]),
        "spelled": torch.tensor(places),
    }


@pytest.mark.parametrize("folds", [None, [2, 0]])
def test_a_row_reads_its_table_and_the_last_one_by_default(folds):
    encoder, tables = told_encoder(3)
    # The last tokens and the first ones are a known pair, in both rows: nothing goes round.
    ids = [[7, 2, 7, 7, 2], [9, 1, 49, 2, 9]]
    places = [[0, 1, 2, 0, 0], [1, 1, 2, 2, 1]]
    encoding = encoder.embeddings.encoding
    chosen = None if folds is None else torch.tensor(folds)
    got = encoding(torch.tensor(ids), chosen, **spelled_as(places)).detach().numpy()
    maps = {name: m.weight.detach().numpy().T for name, m in encoding.projections.items()}
    for row in range(2):
        of = {name: table[2 if folds is None else folds[row]] for name, table in tables.items()}
        x = of["words"][ids[row]] @ maps["words"]
        for i, pair in enumerate(pairwise(ids[row]), 1):
            if pair in PAIRS:
                x[i] += of["bigrams"][PAIRS.index(pair)] @ maps["bigrams"]
        for i, triple in enumerate(zip(ids[row], ids[row][1:], ids[row][2:], strict=False), 2):
            if triple in TRIPLES:
                x[i] += of["trigrams"][TRIPLES.index(triple)] @ maps["trigrams"]
        for i, word in enumerate(places[row]):
            if SPELLINGS[word]:
                parts = of["subwords"][SPELLINGS[word]].sum(axis=0)
                x[i] += parts / np.sqrt(len(SPELLINGS[word])) @ maps["subwords"]
        np.testing.assert_allclose(got[row], x, rtol=1e-4, atol=1e-5)


def test_what_prediction_needs_is_the_last_table():
    encoder, tables = told_encoder(3)
    row = torch.tensor([[2, 7, 9]]), torch.tensor([3])
    spelling = spelled_as([[0, 1, 2]])
    before = encoder(*row, **spelling)
    assert torch.equal(encoder(*row, folds=torch.tensor([2]), **spelling), before)
    assert not torch.equal(encoder(*row, folds=torch.tensor([1]), **spelling), before)
    again = Encoder(encoder.config).eval()
    again.load_state_dict(encoder.state_dict())  # whatever is kept for training
    encoder.embeddings.encoding.forget_folds()
    for stored in (encoder, again):
        assert torch.equal(stored(*row, **spelling), before)
    assert encoder.embeddings.encoding.words.shape == tables["words"].shape[1:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_encoding": 0, "trigram_buckets": 0}, "target_encoding=0"),
        ({"bigram_buckets": 0, "trigram_buckets": 0}, "bigram_buckets=0"),
        ({"trigram_buckets": 0}, "trigram_buckets=0"),
        ({"target_encoding": 5}, "words has rows of shape"),
        ({"vocab_size": 49}, "words has rows of shape"),
        ({"subword_buckets": 21}, "subwords has rows of shape"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_tables_that_do_not_fit_are_refused_and_change_nothing(changes, message):
    encoder, tables = told_encoder(1)
    hashed = {"bigram_buckets": 8, "trigram_buckets": 8, "bigram_rows": "hashed"} | changes
    other = Encoder(replace(encoder.config, **hashed))
    before = other.config
    with pytest.raises(ValueError, match=message):
        other.take_target_encoding(KNOWN, tables)
    assert other.config == before


@pytest.mark.parametrize(
    "ngrams",
    [
        [np.array([], dtype=np.int64)],
        [KNOWN[0], KNOWN[1][:0]],
        [KNOWN[0][::-1]],
        [*KNOWN, KNOWN[1]],
    ],
    ids=["no pair", "no triple", "falling", "too long"],
)
def test_numbers_that_do_not_rise_or_of_longer_runs_are_refused(ngrams):
    encoder, tables = told_encoder(1)
    before = encoder.config, encoder.embeddings.encoding.known
    with pytest.raises(ValueError, match=r"each larger than the last|3 arrays"):
        encoder.take_target_encoding(ngrams, tables)
    assert encoder.config == before[0]
    for known, numbers in zip(encoder.embeddings.encoding.known, before[1], strict=True):
        np.testing.assert_array_equal(known, numbers)


def test_before_a_run_is_known_none_is_found():
    begins, last = (torch.tensor(range_)[None] for range_ in np.mgrid[-1:50, 0:50].reshape(2, -1))
    assert not KnownNgrams.none_yet(50, 3).find(begins, last)[1].any()


def test_nothing_is_learned_but_what_is_made_of_the_numbers():
    encoder, _ = told_encoder(1)
    names = {name for name, _ in encoder.embeddings.named_parameters()}
    of_encoding = {f"encoding.projections.{name}.weight" for name in SIZES}
    assert names == of_encoding | {"positions.weight", "types.weight"}


@pytest.mark.parametrize("n_lengths", [0, 1])
def test_without_pairs_or_triples_there_is_no_table_of_them(n_lengths):
    encoder, tables = told_encoder(1)
    encoder.take_target_encoding(KNOWN[:n_lengths], tables)
    assert encoder.config.bigram_buckets == (3 if n_lengths else 0)
    assert encoder.config.trigram_buckets == 0
    again = Encoder(encoder.config).eval()
    again.load_state_dict(encoder.state_dict())
    row = torch.tensor([[2, 7, 9]]), torch.tensor([3])
    spelling = spelled_as([[0, 1, 2]])
    assert torch.equal(again(*row, **spelling), encoder(*row, **spelling))


@pytest.mark.parametrize("length", [1, 2])
def test_what_ends_at_a_token_does_not_depend_on_later_ones(length):
    encoding = told_encoder(1)[0].embeddings.encoding
    ids, places = torch.tensor([[2, 7, 7], [9, 1, 49]]), torch.tensor([[0, 1, 2], [1, 1, 2]])
    whole = encoding(ids, **spelled_as(places.tolist()))
    part = encoding(ids[:, :length], **spelled_as(places[:, :length].tolist()))
    torch.testing.assert_close(part, whole[:, :length])
