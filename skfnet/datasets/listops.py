"""Generated expressions whose value needs what stands far away: ListOps."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median

import numpy as np

__all__ = ["make_listops"]

_OPERATORS: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(median(values)),
    "[SM": lambda values: sum(values) % 10,
}
_OPERATOR_SHARE = 0.25  # of the places where a digit or an operator may stand
_MOST_REJECTED = 100_000


def make_listops(
    n_documents: int = 1000,
    *,
    min_length: int = 50,
    max_length: int = 200,
    max_depth: int = 10,
    max_args: int = 10,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[list[str], list[str]]:
    """Make nested list operations, labelled by their value: ListOps of the Long Range Arena.

    A document is an expression such as ``[MAX 2 9 [MIN 4 7 ] 0 ]``, here of value 9. The
    operators are the minimum, the maximum, the median, rounded down, and the sum modulo 10. To
    tell its value, a model must find out which brackets belong together.

    Parameters
    ----------
    n_documents : int, default=1000
        How many, no two of them equal.
    min_length, max_length : int, default=50 and 200
        Symbols of a document lie strictly between them; a digit, an operator and a closing
        bracket are one symbol each. The Long Range Arena has 500 and 2000.
    max_depth : int, default=10
        Deepest nesting.
    max_args : int, default=10
        Most arguments of an operator; there are at least two.
    random_state : int, RandomState instance or None, default=None
        Decides the documents.

    Returns
    -------
    texts : list of str
        Symbols set apart by spaces.
    labels : list of str
        "0" to "9".

    Raises
    ------
    ValueError
        If expressions of that size hardly ever occur.

    References
    ----------
    Nangia and Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", arXiv
    1804.06028. Tay et al., "Long Range Arena", arXiv 2011.04006, section 2.2.1.

    Examples
    --------
    >>> from skfnet.datasets import make_listops
    >>> texts, labels = make_listops(3, min_length=3, max_length=9, random_state=0)
    >>> len(texts), set(labels) <= set("0123456789")
    (3, True)
    """
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31)
    # A number at a time: faster than NumPy's. None takes the seed from the operating system.
    draw = random.Random(None if random_state is None else int(random_state))
    found: dict[str, str] = {}
    rejected = 0
    while len(found) < n_documents:
        symbols: list[str] = []
        try:
            value = _write_expression(symbols, max_length, draw, 1, max_depth, max_args)
        except _TooLongError:
            value = None
        text = " ".join(symbols)
        fits = value is not None and min_length < len(symbols) < max_length
        if fits and text not in found:
            found[text] = str(value)
            rejected = 0
            continue
        rejected += 1
        if rejected == _MOST_REJECTED:
            raise ValueError(
                f"Of {rejected:,} expressions in a row none was new and had between "
                f"min_length={min_length} and max_length={max_length} symbols; allow other "
                "lengths, or a larger max_depth or max_args."
            )
    return list(found), list(found.values())


class _TooLongError(Exception):
    """An expression is too long already: what is left of it need not be written."""


def _write_expression(
    symbols: list[str], limit: int, draw: random.Random, depth: int, max_depth: int, max_args: int
) -> int:
    """Append a random expression to `symbols`; give its value."""
    if len(symbols) + 1 >= limit:
        raise _TooLongError
    if depth >= max_depth or draw.random() > _OPERATOR_SHARE:
        value = draw.randrange(10)
        symbols.append(str(value))
        return value
    operator = draw.choice(list(_OPERATORS))
    symbols.append(operator)
    values = [
        _write_expression(symbols, limit, draw, depth + 1, max_depth, max_args)
        for _ in range(draw.randint(2, max_args))
    ]
    symbols.append("]")
    return _OPERATORS[operator](values)
