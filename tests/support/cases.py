"""Combinations of cases."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest


def each_once(*axes: Sequence[Any]) -> list[Any]:
    """All combinations; `make test` runs those in which each value has a turn, `make hostile` the others."""
    turns = {tuple(turn % len(axis) for axis in axes) for turn in range(max(map(len, axes)))}
    combinations = product(*map(enumerate, axes))
    return [
        pytest.param(*(value for _, value in pairs), marks=() if numbers in turns else pytest.mark.hostile)
        for pairs in combinations
        if (numbers := tuple(number for number, _ in pairs))
    ]
