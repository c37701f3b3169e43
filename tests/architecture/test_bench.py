"""Checks that the benches still reach what they measure."""

import ast
import importlib
import inspect

import pytest

from bench.first_load import DEATHS


@pytest.mark.parametrize("target", sorted({target for target, _ in DEATHS.values()}))
def test_the_module_calls_the_function_before_which_a_worker_dies(target: str) -> None:
    module, name = target.rsplit(".", 1)
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert name in calls
