"""EncoderConfig."""

import json
from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from skfnet.nn import Encoder, EncoderConfig
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
        ("activation", "swish"),
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


def test_feedforward_layers_are_four_times_as_wide_unless_told():
    assert EncoderConfig(vocab_size=10, width=24).feedforward_size == 96
    assert EncoderConfig(vocab_size=10, width=24, feedforward_width=7).feedforward_size == 7
    encoder = Encoder(EncoderConfig(vocab_size=10, width=24, feedforward_width=7))
    assert encoder.blocks[0].inner.weight.shape == (7, 24)


@pytest.mark.parametrize(
    ("size", "parameters"),
    [({}, 82_861_056), (dict(width=1024, depth=24), 236_945_408)],
    ids=["base", "large"],
)
def test_published_sizes(size, parameters):
    # Both counts are those of the published checkpoints, pooler included.
    config = EncoderConfig.base(**size)
    with torch.device("meta"):
        modules = [Encoder(config), ClsPooling(config.width)]
    assert sum(p.numel() for module in modules for p in module.parameters()) == parameters
