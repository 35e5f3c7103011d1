"""What surrounds the model: seeds, devices, running windows, packing weights."""

import json
import warnings

import numpy as np
import pytest
import torch
from samples import small_classifier

from skfnet import TextTokenizer, estimator
from skfnet.batches import SpecialTokens, TokenArray, Windows
from skfnet.nn import DocumentClassifier, EncoderConfig

ROWS = [[3, 4, 5], [], [6] * 7, [3], [4, 5, 6, 7, 8]]
TOKENS = TokenArray.from_rows(ROWS, 10, SpecialTokens(0, (1,), (2,)))
CPU = torch.device("cpu")


def sum_and_length(ids, lengths):
    """Give a function of each window alone, if PAD (0) and company count for nothing."""
    return torch.stack([ids.sum(dim=1), lengths], dim=1)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_results_come_back_in_the_order_of_the_documents(batch_size):
    windows = Windows(TOKENS, 100, "truncate")
    result = estimator.run_windows(
        sum_and_length, windows, batch_size=batch_size, device=CPU, bfloat16=False
    )
    assert result.dtype == np.float32
    assert result.tolist() == [[sum(row) + 3, len(row) + 2] for row in ROWS]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_windows_of_one_document_are_averaged(batch_size):
    windows = Windows(TOKENS, 4, "mean")
    result = estimator.run_windows(
        sum_and_length, windows, batch_size=batch_size, device=CPU, bfloat16=False
    )
    expected = []
    for row in ROWS:
        parts = [row[i : i + 2] for i in range(0, max(len(row), 1), 2)]
        expected.append(np.mean([[sum(part) + 3, len(part) + 2] for part in parts], axis=0))
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("documents", [TOKENS, ["a", "b", "c", "d", "e"]], ids=["tokens", "texts"])
def test_take_keeps_the_order_asked_for(documents):
    taken = estimator.take(documents, np.array([4, 0]))
    assert len(taken) == 2
    assert list(taken[0]) == list(documents[4])
    assert list(taken[1]) == list(documents[0])


def test_one_warning_counts_the_long_documents():
    with pytest.warns(UserWarning, match="2 of 5 documents are longer than max_length=5") as caught:
        estimator.to_tokens(TOKENS, None, 5, "truncate", 10)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.to_tokens(TOKENS, None, 9, "truncate", 10)
        estimator.to_tokens(TOKENS, None, 5, "mean", 10)


def test_no_more_than_needed_is_tokenized():
    tokenizer = TextTokenizer().fit(["rain and cold"] * 2)
    with pytest.warns(UserWarning, match="1 of 1"):
        tokens = estimator.to_tokens(["rain and cold " * 1000], tokenizer, 20, "truncate", 10)
    assert 18 < len(tokens.ids) < 100


def test_max_length_must_leave_room():
    with pytest.raises(ValueError, match=r"max_length=2 leaves no room.*2 special.*at least 3"):
        estimator.check_room(2, TOKENS, None)
    estimator.check_room(3, TOKENS, None)


def test_tokens_of_another_vocabulary_are_refused():
    with pytest.raises(ValueError, match="vocabulary of 10.*fitted with one of 11"):
        estimator.to_tokens(TOKENS, None, 9, "truncate", 11)


def test_seeds():
    assert estimator.draw_seed(7) == estimator.draw_seed(7) == 7
    assert estimator.draw_seed(np.int64(7)) == 7
    state = np.random.get_state()[1].tolist()
    assert len({estimator.draw_seed(None) for _ in range(20)}) == 20
    assert np.random.get_state()[1].tolist() == state
    one, other = np.random.RandomState(3), np.random.RandomState(3)
    drawn = [estimator.draw_seed(one) for _ in range(3)]
    assert drawn == [estimator.draw_seed(other) for _ in range(3)]
    assert len(set(drawn)) == 3


def test_devices(monkeypatch):
    assert estimator.usable_device("cpu") == CPU
    for name in ("abacus", "", "cuda:99"):
        with pytest.raises(ValueError, match=f"device={name!r} cannot be used here.*device='auto'"):
            estimator.usable_device(name)
        assert estimator.device_at_load(name) == estimator.usable_device("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert estimator.usable_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert estimator.usable_device("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert estimator.usable_device("auto") == CPU


def test_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    cuda = torch.device("cuda")
    assert not estimator.use_bfloat16("auto", CPU)
    assert estimator.use_bfloat16("auto", cuda)
    assert not estimator.use_bfloat16("float32", cuda)
    assert estimator.use_bfloat16("bfloat16", CPU)


def test_a_model_packs_into_json_and_arrays():
    config = EncoderConfig(vocab_size=20, width=6, depth=2, mixing_gain=0.7, activation="relu")
    model = DocumentClassifier(config, 3, "cls").eval()
    packed = estimator.pack_model(model)
    assert isinstance(json.loads(packed["shape"]), dict)
    assert all(type(array) is np.ndarray for array in packed["weights"].values())
    state = torch.get_rng_state()
    twin = estimator.unpack_model(packed)
    assert torch.equal(torch.get_rng_state(), state)
    assert not twin.training
    ids, lengths = torch.randint(20, (4, 9)), torch.tensor([9, 1, 4, 9])
    expected = model(ids, lengths)
    assert torch.equal(twin(ids, lengths), expected)
    packed["weights"]["output.weight"][:] = 0  # the twin has weights of its own
    assert torch.equal(twin(ids, lengths), expected)


def test_a_default_tokenizer_and_one_that_is_cloned():
    texts = ["rain and cold"] * 3
    assert estimator.fitted_tokenizer(None, TOKENS) is None
    default = estimator.fitted_tokenizer(None, texts)
    assert default.tokenizer_.to_str() == TextTokenizer().fit(texts).tokenizer_.to_str()
    given = TextTokenizer(min_frequency=5)
    fitted = estimator.fitted_tokenizer(given, texts)
    assert fitted.min_frequency == 5
    assert not hasattr(given, "tokenizer_")


def test_weights_and_labels_are_checked_together():
    documents, y, weights = estimator.check_training_data(
        small_classifier(), ["a", "b", "c"], [1, 2, 3], [1, 0, 2]
    )
    assert (documents, y.tolist(), weights.tolist()) == (["a", "c"], [1, 3], [1, 2])
