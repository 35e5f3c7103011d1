"""Adam for a model of which most weights are tables that a batch reads few rows of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["TextAdam"]

# Adam forgets its second moment fast, so that a word seen once is not moved 30 times as far as
# its gradient asks, as it is at 0.999.
_BETAS = (0.9, 0.98)
# A row is moved only by the batches that read it, so each of its steps has to be larger. The rate
# of the dense layers is multiplied by this.
_RATES = {"words": 15.0, "bigrams": 40.0, "subwords": 40.0}
_NO_MATRICES = ("bias", "filter")  # of the spectral mixer, one row a head


class TextAdam(torch.optim.Optimizer):
    """AdamW on the dense layers, Adagrad on those rows of the tables that a batch reads.

    Dense Adam would move every row at every step, a rare word's for some ten steps after each
    of its occurrences; this takes longer than all the rest of a step, and learns rare words by
    heart. The tables are told to give sparse gradients, where the device knows them.

    Parameters
    ----------
    model : nn.Module
        A text model, in whose names of parameters the tables are found.
    lr : float
        Rate of the dense layers.
    weight_decay : float
        Decoupled, on the matrices of the dense layers alone.
    sparse : bool
        Whether the tables' gradients are to be sparse.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float, *, sparse: bool) -> None:
        tables: dict[str, list[nn.Parameter]] = {name: [] for name in _RATES}
        for name, module in model.named_modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                kind = next((kind for kind in _RATES if kind in name.split(".")), None)
                if kind is not None:
                    module.sparse = sparse
                    tables[kind].append(module.weight)
        in_tables = {id(weight) for weights in tables.values() for weight in weights}
        decayed, others = [], []
        for name, weight in model.named_parameters():
            if id(weight) not in in_tables:
                is_dense = weight.ndim == 2 and "embeddings" not in name.split(".")
                is_dense = is_dense and not name.endswith(_NO_MATRICES)
                (decayed if is_dense else others).append(weight)
        dense = [
            {"params": decayed, "weight_decay": weight_decay, "rate": 1.0},
            {"params": others, "weight_decay": 0.0, "rate": 1.0},
        ]
        of_tables = [
            {"params": weights, "rate": _RATES[kind]} for kind, weights in tables.items() if weights
        ]
        fused = next(model.parameters()).device.type in ("cpu", "cuda")
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW([g for g in dense if g["params"]], lr, _BETAS, fused=fused)
        ]
        if of_tables:
            self._parts.append(torch.optim.Adagrad(of_tables, lr))
        groups = [group for part in self._parts for group in part.param_groups]
        super().__init__(groups, {})
        self.param_groups = groups  # the same dictionaries: who sets a rate here sets it there
        self.set_rate(lr)

    def set_rate(self, lr: float) -> None:
        """Set the rate of the dense layers, and those of the tables that go with it."""
        for group in self.param_groups:
            group["lr"] = lr * group["rate"]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the weights by their gradients; `closure` computes them anew, where it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Said explicitly, or torch warns at Adagrad's first sparse step.
        with torch.sparse.check_sparse_tensor_invariants(enable=False):
            for part in self._parts:
                part.step()
        return loss
