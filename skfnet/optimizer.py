"""The optimizer: AdamW for the dense layers, Adagrad for tables of which a batch reads few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    kinds : iterable of str
        Which tables these are. The words' is none of them where the output layer shares its
        weights: then each word that is told apart has a gradient at each step.
    rate_of : callable
        Maps a parameter's name to a factor on its rate. Weights that need no gradient are left
        out.

    Attributes
    ----------
    tables : list of nn.Embedding or nn.EmbeddingBag
        The modules whose weights Adagrad moves.
    map : callable
        Applies the step of each part, the dense layers and each table; one after the other,
        unless somebody sets what :func:`shared_cores` gives.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        weight_decay: float,
        kinds: Iterable[str] = tuple(_RATES),
        rate_of: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        found = list(_tables(model, kinds))
        self.tables = [table for _, _, table in found]
        in_tables = {id(table.weight) for table in self.tables}
        of_tables = [
            {"params": [table.weight], "rate": _RATES[kind] * rate_of(f"{name}.weight")}
            for kind, name, table in found
        ]
        dense: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, weight_decay): []}
        for name, weight in model.named_parameters():
            if weight.requires_grad and id(weight) not in in_tables:
                is_dense = weight.ndim == 2 and "embeddings" not in name.split(".")
                is_dense = is_dense and not name.endswith(_NO_MATRICES)
                key = rate_of(name), weight_decay if is_dense else 0.0
                dense.setdefault(key, []).append(weight)
        of_dense = [
            {"params": weights, "weight_decay": decay, "rate": rate}
            for (rate, decay), weights in dense.items()
        ]
        self._device = next(model.parameters()).device.type
        fused = self._device in ("cpu", "cuda")
        self._parts = [torch.optim.AdamW(of_dense, lr, _BETAS, fused=fused)]
        self._parts += [torch.optim.Adagrad([group], lr) for group in of_tables]
        self.map = map
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
            list(self.map(lambda part: part.step(), self._parts))
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


def _tables(
    model: nn.Module, kinds: Iterable[str]
) -> Iterator[tuple[str, str, nn.Embedding | nn.EmbeddingBag]]:
    """Give the tables that are to be trained with their kinds and names, kind by kind."""
    for kind in kinds:
        for name, module in model.named_modules():
            is_table = isinstance(module, nn.Embedding | nn.EmbeddingBag)
            if is_table and kind in name.split(".") and module.weight.requires_grad:
                yield kind, name, module
