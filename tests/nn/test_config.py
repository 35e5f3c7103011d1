"""EncoderConfig."""

import json
from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from skfnet.nn import AttentionMixer, Encoder, EncoderConfig
from skfnet.nn.heads import ClsPooling


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", 0),
        ("width", 0),
        ("max_length", 0),
        ("n_types", 0),
        ("depth", -1),
        ("feedforward_width", 0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("transform_scale", "unitary"),
        ("norm", "middle"),
        ("positions", "sine"),
        ("attention_layers", -1),
        ("attention_layers", 3),  # of two blocks
        ("attention_layout", "under"),
        ("attention_heads", 0),
        ("attention_heads", 3),  # for 128 units
        ("activation", "swish"),
        ("trigram_buckets", 5),  # without target_encoding
    ],
)
def test_values_out_of_range_are_named(field, value):
    with pytest.raises(ValueError, match=f"EncoderConfig: {field} must be .*{value!r}"):
        EncoderConfig(**{"vocab_size": 10, field: value})


def test_json_and_back():
    config = EncoderConfig.base(depth=3, width=96, mixing_gain=0.5)
    assert EncoderConfig(**json.loads(json.dumps(config.to_dict()))) == config
    assert set(config.to_dict()) == {field.name for field in fields(EncoderConfig)}


def test_it_cannot_be_changed_behind_an_encoder():
    with pytest.raises(FrozenInstanceError):
        EncoderConfig(vocab_size=10).width = 3


def test_feedforward_layers_are_twice_as_wide_and_as_published_four_times_unless_told():
    assert EncoderConfig(vocab_size=10, width=24).feedforward_size == 48
    assert EncoderConfig.base(width=24).feedforward_size == 96
    assert EncoderConfig.base(width=24, feedforward_width=None).feedforward_size == 96
    assert EncoderConfig.base(width=24, feedforward_width=9).feedforward_size == 9
    assert EncoderConfig.base().feedforward_size == 3072
    assert EncoderConfig.base(width=None, feedforward_width=None).feedforward_size == 3072
    assert EncoderConfig.large().feedforward_size == 4096
    assert EncoderConfig(vocab_size=10, width=24, feedforward_width=7).feedforward_size == 7
    encoder = Encoder(EncoderConfig(vocab_size=10, width=24, feedforward_width=7))
    assert encoder.blocks[0].inner.weight.shape == (7, 24)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [(EncoderConfig.base, 82_861_056), (EncoderConfig.large, 236_945_408)],
    ids=["base", "large"],
)
def test_published_sizes(make, parameters):
    # Both counts are those of the published checkpoints, pooler included.
    config = make()
    with torch.device("meta"):
        modules = [Encoder(config), ClsPooling(config.width)]
    assert sum(p.numel() for module in modules for p in module.parameters()) == parameters


@pytest.mark.parametrize("layout", ["top", "bottom", "middle", "mixed"])
def test_a_hybrid_has_exactly_as_many_attention_layers_as_asked_for(layout):
    for depth in range(8):
        for k in range(depth + 1):
            config = EncoderConfig(
                vocab_size=9, width=8, depth=depth, attention_layers=k, attention_layout=layout
            )
            assert config.mixers.count("attention") == k
            assert config.mixers.count("fourier") == depth - k
    assert config.mixers == ("attention",) * 7


@pytest.mark.parametrize(
    ("layout", "places"),
    [("top", [10, 11]), ("bottom", [0, 1]), ("middle", [5, 6]), ("mixed", [5, 11])],
)
def test_where_the_attention_layers_are(layout, places):
    config = EncoderConfig.base(
        vocab_size=9, width=8, attention_layers=2, attention_layout=layout, mixer="hartley"
    )
    assert [i for i, mixer in enumerate(config.mixers) if mixer == "attention"] == places
    blocks = Encoder(config).blocks
    assert [i for i, b in enumerate(blocks) if isinstance(b.mixer, AttentionMixer)] == places


@pytest.mark.parametrize(
    ("width", "heads"),
    [(1, 1), (63, 1), (64, 1), (128, 2), (200, 2), (130, 2), (193, 1), (768, 12)],
)
def test_heads_of_64_units_where_the_width_allows(width, heads):
    assert EncoderConfig(vocab_size=9, width=width).n_heads == heads
