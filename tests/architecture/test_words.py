"""What people read is written once, in the table of words: the engine has codes and values."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from sync.words.table import TEMPLATES
from tests.architecture.test_arrows import ROOT, modules

# The rooms below the doors whose sentences are all in the table. What they raise is read where it is caught.
WITHOUT_SENTENCES = ("sync/fields", "sync/models", "sync/reconcile", "conflicts")
DOORS = ("conflicts/pages", "sync/admin", "sync/api", "sync/management")
TABLE = ROOT / "sync/words/table.py"
# Codes that a name ends: of a kind of error, a line about a conflict, a way, a wait, a side, a reason.
NAMED = (
    *("advice_", "answered_", "because_", "conflict_", "effect_", "get_back_", "label_", "overruled_", "unmatched_"),
    *("waits_", "way_"),
)
LABELS = ("Who is this?",)  # of a kind of conflict
SENTENCE = re.compile(r"[A-Z“{].*[a-z] .*[.?!]( |\Z)", re.DOTALL)


def is_for_developers(node: ast.AST) -> bool:
    """Whether what stands in a node is a docstring, an error, or a form's help."""
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg == "help_text")


def texts(path: Path, skips: Callable[[ast.AST], bool] = lambda node: False) -> Iterator[tuple[str, int]]:
    """Each text of a module and its line, without what stands in nodes that are skipped."""
    tree = ast.parse(path.read_text())
    skipped = {id(part) for node in ast.walk(tree) if skips(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value, node.lineno


@cache
def used() -> set[str]:
    """Each text below and in the doors that may be a code."""
    rooms = ("sync", "conflicts", "npd")
    return {text for room in rooms for path in modules(room) if path != TABLE for text, _line in texts(path)}


def test_the_table_has_no_row_that_nothing_uses() -> None:
    assert not [code for code in TEMPLATES if not code.startswith(NAMED) and code not in used()]


@pytest.mark.parametrize("room", WITHOUT_SENTENCES)
def test_below_the_doors_nothing_is_worded_but_in_the_table(room: str) -> None:
    paths = [path for path in modules(room) if not str(path.relative_to(ROOT)).startswith(DOORS)]
    assert paths
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in paths
        for text, line in texts(path, is_for_developers)
        if SENTENCE.search(text) and text not in LABELS
    ]
    assert not found
