"""ListOps, against an evaluation with a stack."""

import re

import numpy as np
import pytest

from skfnet.datasets import make_listops


def value_of(text):
    """Evaluate an expression with a stack, arguments and operators one after the other."""
    stack = [[]]
    for symbol in text.split():
        if symbol.startswith("["):
            stack.append([symbol])
        elif symbol == "]":
            operator, *arguments = stack.pop()
            stack[-1].append(
                {
                    "[MIN": np.min,
                    "[MAX": np.max,
                    "[MED": lambda a: np.floor(np.median(a)),
                    "[SM": lambda a: np.sum(a) % 10,
                }[operator](arguments)
            )
        else:
            stack[-1].append(int(symbol))
    ((value,),) = stack
    return str(int(value))


def depth_of(text):
    depths = np.cumsum([s.startswith("[") - (s == "]") for s in text.split()])
    return depths.max()


def test_listops_have_their_value():
    texts, labels = make_listops(300, random_state=0)
    assert [value_of(text) for text in texts] == labels
    assert len(set(texts)) == 300
    assert all(50 < len(text.split()) < 200 for text in texts)
    assert {s for text in texts for s in text.split()} == {
        *("0123456789"),
        *("[MIN", "[MAX", "[MED", "[SM", "]"),
    }
    assert set(labels) == set("0123456789")
    assert max(map(depth_of, texts)) <= 9  # the tenth level holds digits alone


def test_listops_of_the_long_range_arena():
    texts, labels = make_listops(30, min_length=500, max_length=2000, random_state=0)
    assert all(500 < len(text.split()) < 2000 for text in texts)
    assert [value_of(text) for text in texts] == labels


def test_listops_within_bounds():
    texts, _ = make_listops(
        100, min_length=3, max_length=30, max_depth=3, max_args=4, random_state=0
    )
    for text in texts:
        assert depth_of(text) <= 2
        for inner in re.findall(r"\[\w+ ([\d ]+)\]", text):
            assert 2 <= len(inner.split()) <= 4


def test_listops_of_every_length_that_is_allowed():
    flat, _ = make_listops(400, min_length=3, max_length=9, max_depth=2, random_state=0)
    assert {len(text.split()) for text in flat} == {4, 5, 6, 7, 8}


@pytest.mark.parametrize("seed", [3, np.int64(3), "state"])
def test_listops_repeat_with_their_seed(seed):
    def made():
        state = np.random.RandomState(1) if seed == "state" else seed
        return make_listops(20, random_state=state)

    before = np.random.get_state()[1].copy()
    assert made() == made()
    assert made() != make_listops(20, random_state=8)
    make_listops(2)
    assert np.array_equal(np.random.get_state()[1], before)


def test_impossible_listops_are_refused():
    with pytest.raises(ValueError, match="min_length=50 and max_length=200"):
        make_listops(5, max_depth=1, random_state=0)
