"""The encoder against a forward pass written in NumPy, and against the Hugging Face model."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfnet.nn import MIXERS, DocumentClassifier, Encoder, EncoderConfig
from skfnet.nn.heads import POOLINGS, ClsPooling

CONFIGURATIONS = {
    "default": EncoderConfig(vocab_size=50, width=12, depth=2, max_length=20),
    "relu": EncoderConfig(vocab_size=50, width=13, depth=1, max_length=20, activation="relu"),
    "no_positions": EncoderConfig(vocab_size=50, width=12, depth=2, positions="none"),
    "no_bigrams": EncoderConfig(vocab_size=50, width=12, depth=2, bigram_buckets=0),
    "few_bigrams": EncoderConfig(vocab_size=50, width=12, depth=1, bigram_buckets=7),
    "no_gain": EncoderConfig(vocab_size=50, width=10, depth=1, max_length=20, mixing_gain=None),
    "no_blocks": EncoderConfig(vocab_size=50, width=10, depth=0, max_length=20),
    "published": EncoderConfig.base(vocab_size=50, width=12, depth=3, max_length=20),
    "published_pre_norm": EncoderConfig.base(
        vocab_size=50, width=12, depth=2, max_length=20, norm="pre", transform_scale="orthonormal"
    ),
}


def build(module, seed=0, spread=0.3):
    """Give every weight a value that matters: far from zero, biases and norms included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=generator)
    return module.eval()


def random_rows(lengths, vocab_size=50, n_types=2, seed=0):
    random = np.random.default_rng(seed)
    shape = len(lengths), max(lengths)
    ids = random.integers(vocab_size, size=shape)
    return (
        torch.tensor(ids),
        torch.tensor(lengths),
        torch.tensor(random.integers(n_types, size=shape)),
    )


def numpy_forward(encoder, ids, type_ids):
    """One unpadded row through the paper's figure 1, in float64."""
    config = encoder.config
    w = {name: t.detach().double().numpy() for name, t in encoder.state_dict().items()}

    def norm(x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def activation(x):
        if config.activation == "relu":
            return np.maximum(x, 0)
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def mix(x, block):
        scale = 1 / np.sqrt(x.size) if config.transform_scale == "orthonormal" else 1
        gain = w[f"{block}.gain"] if config.mixing_gain is not None else 1
        return np.fft.fft2(x).real * scale * gain

    def feed_forward(x, block):
        return dense(activation(dense(x, f"{block}.inner")), f"{block}.outer")

    x = w["embeddings.words.weight"][ids] + w["embeddings.types.weight"][type_ids]
    if config.positions == "learned":
        x = x + w["embeddings.positions.weight"][: len(ids)]
    if config.bigram_buckets:
        pairs = [int(a) * 0x9E3779B1 + int(b) * 0x85EBCA77 for a, b in pairwise(ids)]
        buckets = [pair // 2**15 % config.bigram_buckets for pair in pairs]
        narrow = w["embeddings.bigrams.table.weight"][buckets]
        x[1:] += narrow @ w["embeddings.bigrams.projection.weight"].T
    if config.embedding_norm:
        x = norm(x, "embeddings.norm")
    if config.embedding_projection:
        x = dense(x, "embeddings.projection")
    for i in range(config.depth):
        block = f"blocks.{i}"
        if config.norm == "pre":
            x = x + mix(x, block)
            x = x + feed_forward(norm(x, f"{block}.feedforward_norm"), block)
        else:
            x = norm(x + mix(x, block), f"{block}.mixing_norm")
            x = norm(x + feed_forward(x, block), f"{block}.feedforward_norm")
    return x


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_it_computes_the_papers_figure(name, dtype, tolerance):
    config = CONFIGURATIONS[name]
    encoder = build(Encoder(config)).to(dtype)
    lengths = [1, 7, 20, 13, 20, 2]
    ids, lengths, type_ids = random_rows(lengths, n_types=config.n_types)
    hidden = encoder(ids, lengths, type_ids)
    assert hidden.shape == (6, 20, config.width)
    assert hidden.dtype == dtype
    for row, n in enumerate(lengths.tolist()):
        reference = numpy_forward(encoder, ids[row, :n].numpy(), type_ids[row, :n].numpy())
        scale = max(np.abs(reference).max(), 1)
        assert np.abs(hidden[row, :n].detach().numpy() - reference).max() <= tolerance * scale


def test_half_of_the_pairs_are_left_out_in_training_alone():
    bigrams = build(Encoder(CONFIGURATIONS["default"])).embeddings.bigrams
    ids = torch.randint(50, (40, 51), generator=torch.Generator().manual_seed(0))
    whole = bigrams(ids)
    assert (whole[:, 0] == 0).all() and (whole[:, 1:] != 0).any(dim=-1).all()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        some = bigrams.train()(ids)
    kept = (some[:, 1:] != 0).any(dim=-1)
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(some[:, 1:][kept], 2 * whole[:, 1:][kept])


def test_known_pairs_have_a_row_each_and_others_none():
    config = EncoderConfig(vocab_size=50, width=12, bigram_buckets=7)
    encoder = Encoder(config)
    rows = {(2, 7): 0, (7, 7): 1, (9, 1): 2}
    encoder.know_bigrams(np.array([first * 50 + second for first, second in rows]))
    bigrams = encoder.embeddings.bigrams
    assert bigrams.table.weight.shape == (3, 6) and not bigrams.table.weight.any()
    build(encoder)
    ids = [2, 7, 7, 9, 1, 2, 7, 49, 49]
    zero = np.zeros(config.width)
    vectors = (bigrams.table.weight @ bigrams.projection.weight.T).detach().numpy()
    expected = [vectors[rows[pair]] if pair in rows else zero for pair in pairwise(ids)]
    got = bigrams(torch.tensor([ids]))[0].detach().numpy()
    np.testing.assert_allclose(got, [zero, *expected], rtol=1e-5, atol=1e-6)
    again = Encoder(encoder.config).eval()
    assert not again.embeddings.bigrams(torch.tensor([ids])).any()  # it knows none as yet
    again.load_state_dict(encoder.state_dict())
    row = torch.tensor([ids]), torch.tensor([len(ids)])
    assert torch.equal(again(*row), encoder(*row))


@pytest.mark.parametrize("bigrams", [[], [3, 2], [2, 2]], ids=str)
def test_known_pairs_must_rise(bigrams):
    encoder = Encoder(EncoderConfig(vocab_size=50, width=12))
    with pytest.raises(ValueError, match="each larger than the last"):
        encoder.know_bigrams(np.array(bigrams, dtype=np.int64))
    assert encoder.config.bigram_rows == "hashed"


def test_an_encoder_without_a_table_for_pairs_knows_none():
    encoder = Encoder(CONFIGURATIONS["no_bigrams"])
    with pytest.raises(ValueError, match="bigram_buckets=0"):
        encoder.know_bigrams(np.array([5]))


@pytest.mark.parametrize("known", [False, True])
def test_ids_of_32_bits_give_the_same(known):
    config = EncoderConfig(vocab_size=60_000, width=4, depth=0)
    encoder = Encoder(config)
    ids = torch.tensor([[59_000, 58_000, 3, 59_000, 58_000]])
    if known:
        encoder.know_bigrams(np.array([3 * 60_000 + 59_000, 59_000 * 60_000 + 58_000]))
    build(encoder)
    assert torch.equal(encoder(ids.int(), torch.tensor([5])), encoder(ids, torch.tensor([5])))


def test_without_types_every_token_is_of_the_first():
    encoder = build(Encoder(CONFIGURATIONS["default"]))
    ids, lengths, types = random_rows([5, 3])
    first = encoder(ids, lengths, torch.zeros_like(types))
    torch.testing.assert_close(encoder(ids, lengths), first)
    second = encoder(ids, lengths, torch.ones_like(types))
    assert (first - second).abs().max() > 0.01


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("published", [False, True])
@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    extra=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_a_row_is_the_same_in_any_company_and_padding(mixer, published, lengths, extra, seed):
    make = EncoderConfig.base if published else EncoderConfig
    encoder = build(
        Encoder(make(vocab_size=50, width=16, depth=2, max_length=40, mixer=mixer)), seed
    )
    ids, lengths, _ = random_rows([*lengths, 30 + extra], seed=seed)
    together = encoder(ids, lengths)
    noise = torch.randint(50, ids.shape, generator=torch.Generator().manual_seed(seed))
    beyond = torch.arange(ids.shape[1]) >= lengths[:, None]
    repadded = encoder(torch.where(beyond, noise, ids), lengths)
    for row, n in enumerate(lengths.tolist()):
        alone = encoder(ids[row : row + 1, :n], lengths[row : row + 1])[0]
        torch.testing.assert_close(together[row, :n], alone, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(repadded[row, :n], alone, rtol=1e-5, atol=1e-5)
    if mixer not in ("none", "fourier_hidden"):  # in these the first token is all there is
        assert (together[-1, 0] - together[0, 0]).abs().max() > 1e-3  # rows do differ


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_document_is_the_same_at_every_length_up_to_the_longest(pooling):
    config = EncoderConfig(vocab_size=50, width=24, depth=2, max_length=512)
    model = build(DocumentClassifier(config, 5, pooling))
    lengths = [1, 2, 3, 5, 40, 41, 383, 384, 385, 509, 512]
    ids, lengths, _ = random_rows(lengths)
    with torch.inference_mode():
        together = model(ids, lengths), model.embed(ids, lengths)
        for row, n in enumerate(lengths.tolist()):
            alone = ids[row : row + 1, :n], lengths[row : row + 1]
            torch.testing.assert_close(together[0][row], model(*alone)[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(
                together[1][row], model.embed(*alone)[0], rtol=1e-5, atol=1e-5
            )


def test_every_token_reaches_every_other():
    encoder = build(Encoder(EncoderConfig(vocab_size=50, width=16, depth=1, max_length=20)))
    ids, lengths, _ = random_rows([20])
    for place in (0, 7, 19):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 1) % 50
        difference = (encoder(changed, lengths) - encoder(ids, lengths)).abs().amax(dim=-1)
        assert (difference > 1e-6).all()


def test_rows_longer_than_the_position_table_are_refused():
    encoder = Encoder(EncoderConfig(vocab_size=50, width=8, max_length=10))
    ids, lengths, _ = random_rows([11])
    with pytest.raises(ValueError, match="Rows of 11 tokens.*max_length=10"):
        encoder(ids, lengths)
    anywhere = Encoder(EncoderConfig(vocab_size=50, width=8, max_length=10, positions="none"))
    assert anywhere(ids, lengths).shape == (1, 11, 8)


def test_the_example_of_the_issue():
    config = EncoderConfig(vocab_size=8000, width=256, depth=4, max_length=512, mixer="fourier")
    ids, lengths, _ = random_rows([9, 4], vocab_size=8000)
    assert Encoder(config)(ids, lengths, type_ids=None).shape == (2, 9, 256)


def test_initial_weights_are_the_reference_implementations():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig.base(vocab_size=2000, width=64, depth=2))
    for name, weight in encoder.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        elif "norm" in name:
            assert (weight == 1).all()
        else:
            assert weight.std().item() == pytest.approx(0.02, rel=0.15), name


def test_gradients_reach_every_weight():
    model = build(DocumentClassifier(CONFIGURATIONS["default"], 3)).train()
    ids, lengths, types = random_rows([20, 11, 2])
    model(ids, lengths, types).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


@pytest.mark.parametrize(
    "ours",
    [
        EncoderConfig.base(vocab_size=90, width=24, depth=3, feedforward_width=80, max_length=32),
        EncoderConfig.base(),
    ],
    ids=["small", "base"],
)
def test_the_hugging_face_model_with_the_same_weights(ours):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.FNetModel(
        transformers.FNetConfig(
            vocab_size=ours.vocab_size,
            hidden_size=ours.width,
            num_hidden_layers=ours.depth,
            intermediate_size=ours.feedforward_size,
            max_position_embeddings=ours.max_length,
            type_vocab_size=ours.n_types,
        )
    )
    theirs = build(theirs, spread=0.3 if ours.depth == 3 else 0.02)
    encoder, pooler = Encoder(ours).eval(), ClsPooling(ours.width)
    encoder.load_state_dict(
        {_our_name(n): t for n, t in theirs.state_dict().items() if "pooler" not in n}
    )
    pooler.dense.load_state_dict(theirs.pooler.dense.state_dict())
    # Padded to the fixed length, as these models were trained: [PAD] is mixed like a word.
    n = ours.max_length
    ids, lengths, types = random_rows([n, n], vocab_size=ours.vocab_size, n_types=4)
    ids[1, n // 3 :] = 3
    with torch.inference_mode():
        expected = theirs(ids, token_type_ids=types)
        hidden = encoder(ids, lengths, types)
        pooled = pooler(hidden, lengths)
    for got, wanted in (
        (hidden, expected.last_hidden_state),
        (pooled, expected.pooler_output),
    ):
        assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def _our_name(name):
    for theirs, ours in (
        ("word_embeddings", "words"),
        ("position_embeddings", "positions"),
        ("token_type_embeddings", "types"),
        ("embeddings.LayerNorm", "embeddings.norm"),
        ("encoder.layer", "blocks"),
        ("fourier.output.LayerNorm", "mixing_norm"),
        ("intermediate.dense", "inner"),
        ("output.dense", "outer"),
        ("output.LayerNorm", "feedforward_norm"),
    ):
        name = name.replace(theirs, ours)
    return name


def test_a_word_is_the_sum_of_its_n_grams_by_the_root_of_their_number():
    config = EncoderConfig(vocab_size=9, width=6, subword_buckets=11)
    subwords = build(Encoder(config).embeddings.subwords)
    words = [[3, 10, 0], [], [7], [3, 3, 3, 5]]
    spelled = np.array([[0, 1, 2], [3, 3, 0]])
    flat = torch.tensor([bucket for word in words for bucket in word])
    starts = torch.tensor(np.cumsum([0, *map(len, words)])[:-1])
    found = subwords(flat, starts, torch.tensor(spelled)).detach().numpy()
    table = subwords.table.weight.detach().double().numpy()
    projection = subwords.projection.weight.detach().double().numpy()
    for place, word in np.ndenumerate(spelled):
        buckets = words[word]
        expected = sum((table[b] for b in buckets), np.zeros(3)) / np.sqrt(max(len(buckets), 1))
        np.testing.assert_allclose(found[place], projection @ expected, rtol=1e-5, atol=1e-6)


def test_the_spelling_of_words_reaches_the_hidden_states():
    config = EncoderConfig(vocab_size=9, width=6, depth=1, subword_buckets=11)
    encoder = build(Encoder(config))
    ids, lengths = torch.tensor([[1, 2]]), torch.tensor([2])
    spelling = {"starts": torch.tensor([0, 1]), "spelled": torch.tensor([[0, 1]])}
    one, other = (
        encoder(ids, lengths, subwords=torch.tensor(buckets), **spelling)
        for buckets in ([4, 5], [4, 6])
    )
    assert not torch.allclose(one, other, atol=1e-3)


def test_n_grams_are_left_out_in_training_alone():
    config = EncoderConfig(vocab_size=9, width=6, subword_buckets=11, subword_dropout=0.5)
    subwords = build(Encoder(config).embeddings.subwords)
    batch = torch.arange(11), torch.tensor([0]), torch.tensor([[0]])
    assert torch.equal(subwords(*batch), subwords(*batch))
    subwords.train()
    assert not torch.equal(subwords(*batch), subwords(*batch))
