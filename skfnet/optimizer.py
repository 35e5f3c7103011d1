"""The optimizer: AdamW for the dense layers, Adagrad for tables of which a batch reads few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["TextAdam"]

# A fit takes a few hundred steps: the second moment has to follow the warm-up.
_BETAS = (0.9, 0.98)
# A row is moved only by the batches that read it, so each of its steps has to be larger. The rate
# of the dense layers is multiplied by this.
_RATES = {"words": 15.0, "bigrams": 40.0, "subwords": 40.0}
_NO_MATRICES = ("bias", "filter")  # of the spectral mixer, one row a head


class TextAdam(torch.optim.Optimizer):
    """AdamW on the dense layers, Adagrad on those rows of the tables that a batch reads.

    Dense Adam would move every row at every step, a rare word's for some ten steps after each
    of its occurrences; this takes longer than all the rest of a step, and learns rare words by
    heart.

    Parameters
    ----------
    model : nn.Module
        A text model, in whose names of parameters the tables are found.
    lr : float
        Rate of the dense layers.
    weight_decay : float
        Decoupled, on the matrices of the dense layers alone.

    Attributes
    ----------
    tables : list of nn.Embedding or nn.EmbeddingBag
        The modules whose weights Adagrad moves.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float) -> None:
        of_kind: dict[str, list[nn.Module]] = {kind: [] for kind in _RATES}
        for name, module in model.named_modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                for kind in set(name.split(".")) & set(_RATES):
                    of_kind[kind].append(module)
        self.tables = [table for tables in of_kind.values() for table in tables]
        in_tables = {id(table.weight) for table in self.tables}
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
            {"params": [table.weight for table in tables], "rate": _RATES[kind]}
            for kind, tables in of_kind.items()
            if tables
        ]
        self._device = next(model.parameters()).device.type
        fused = self._device in ("cpu", "cuda")
        self._parts = (
            torch.optim.AdamW(dense, lr, _BETAS, fused=fused),
            torch.optim.Adagrad(of_tables, lr),
        )
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self.set_rate(lr)

    @property
    def dense(self) -> list[nn.Parameter]:
        """The parameters that AdamW moves."""
        return [weight for group in self._parts[0].param_groups for weight in group["params"]]

    def set_rate(self, lr: float) -> None:
        """Set the rate of the dense layers, and those of the tables that go with it."""
        for group in self.param_groups:
            group["lr"] = lr * group["rate"]

    @contextmanager
    def sparse_gradients(self) -> Iterator[None]:
        """Let the tables give sparse gradients for a while, where the device knows them."""
        for table in self.tables:
            table.sparse = self._device in ("cpu", "cuda")
        try:
            yield
        finally:
            for table in self.tables:
                table.sparse = False

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

    def state_dict(self) -> dict[str, Any]:
        """Give the state of both optimizers, as torch stores it."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave for a model of the same shape."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # Loading makes new groups: who sets a rate here is to set it there.
        self.param_groups = [group for part in self._parts for group in part.param_groups]
