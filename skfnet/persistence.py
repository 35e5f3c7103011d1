"""A trained model as plain data, and back."""

from __future__ import annotations

import json
from typing import Any

import torch

from .nn import EncoderConfig, Ensemble

__all__ = ["pack_model", "unpack_model"]


def pack_model(model: Ensemble) -> dict[str, Any]:
    """Give a model as plain data: JSON text and NumPy arrays, no device, no code.

    A mixer of the user's own stands beside them: it is stored as a reference to its code.
    """
    first = model.members[0]
    encoder = first.encoder.config.to_dict()
    own = {} if isinstance(encoder["mixer"], str) else {"mixer": encoder.pop("mixer")}
    shape = {
        "encoder": encoder,
        "n_classes": first.output.out_features,
        "pooling": first.pooling_name,
        "n_members": len(model.members),
    }
    weights = {name: t.detach().cpu().numpy() for name, t in model.state_dict().items()}
    return {"shape": json.dumps(shape), "weights": weights, **own}


def unpack_model(packed: dict[str, Any]) -> Ensemble:
    """Rebuild what :func:`pack_model` gave, on the CPU."""
    shape = json.loads(packed["shape"])
    own = {"mixer": packed["mixer"]} if "mixer" in packed else {}
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        config = EncoderConfig(**shape.pop("encoder"), **own)
        model = Ensemble(config, **shape)
    model.load_state_dict({name: torch.tensor(a) for name, a in packed["weights"].items()})
    return model.eval()
