"""`decide` and all it reaches are pure: no database, no Monday, no clock, no setting.

The rules' imports are checked; what they call elsewhere is watched while they decide drawn worlds.
"""

import ast
import gc
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.utils import timezone

from npd.models import Contact
from sync.reconcile.run import RULES, decide, new_plan
from tests.architecture.test_arrows import ROOT, file_of, nodes_of
from tests.decide.any_world import any_world

# The rooms of the rules: what they import of these is as pure as they are.
ROOMS = ("sync.reconcile.", "sync.fields.")
# What no rule imports.
OUTSIDE = ("django.db", "django.conf", "structlog", "requests", "time", "celery", "pghistory")

# Names that read or write a row.
EFFECTS = {"objects", "_default_manager", "select_for_update", "refresh_from_db", "cursor", "get_or_create"}

IMPURE_ROOMS = ("sync.clock", "sync.limits", "sync.outbox", "sync.state", "sync.operations", "sync.tasks")
# Values and pure functions of impure rooms.
PURE_OF_THESE = {"sync.outbox.claim": {"Claim"}, "django.db": {"models"}}


@cache
def imports(path: Path) -> list[tuple[str, str]]:
    """Every runtime import of a file, as module and name."""
    return list(_imports(nodes_of(path)))


def _imports(nodes: tuple[ast.AST, ...]) -> Iterator[tuple[str, str]]:
    for_types = {
        id(part)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in for_types:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@cache
def reached() -> list[Path]:
    """The modules of a pass and of values that its rules import, directly or through others."""
    reached_paths = set[Path]()
    waiting = [*{rule.__module__ for rule in RULES}, "sync.reconcile.changes", "sync.reconcile.settle.record"]
    while waiting:
        module = waiting.pop()
        path = file_of(module) if module.startswith(ROOMS) else None
        if path is not None and path not in reached_paths:
            reached_paths.add(path)
            waiting += [name for module, part in imports(path) for name in (module, f"{module}.{part}")]
    return sorted(reached_paths)


def test_a_rule_reaches_no_row_no_call_no_setting_and_no_clock() -> None:
    rules = [str(path.relative_to(ROOT)) for path in reached()]
    in_reconcile = ("field_plan", "missing/identity", "changes", "settle/record")
    assert {f"sync/reconcile/{name}.py" for name in in_reconcile} <= set(rules)
    assert {f"sync/fields/field_{name}.py" for name in ("values", "bases")} <= set(rules)
    wrong = [
        f"{rule}: {module}.{name}"
        for rule in rules
        for module, name in imports(ROOT / rule)
        if any(f"{module}.".startswith(f"{outside}.") for outside in (*OUTSIDE, *IMPURE_ROOMS))
        if name not in PURE_OF_THESE.get(module, ())
    ]
    wrong += [
        f"{rule}: {node.attr}"
        for rule in rules
        for node in nodes_of(ROOT / rule)
        if isinstance(node, ast.Attribute) and node.attr in EFFECTS
    ]
    assert not wrong


# What they call elsewhere.

# Code that calls the database, the network or a log, or a room of NPD Sync that does.
IMPURE_CODE = re.compile(
    r"/django/(db/(backends|transaction|models/(query|manager|sql)\b)|core/cache)|/(structlog|logging|requests|redis|celery)/"
    r"|/sync/(clock|fields/lookups|limits|state|operations|outbox/(?!claim|pauses))|/monday/client"
)

CLOCKS = {"time", "monotonic", "perf_counter", "now", "utcnow", "today", "connect", "open", "getaddrinfo"}
WORLDS = 400 if os.environ.get("CI") == "true" else 100


def effects_of(act: Callable[[], Any]) -> set[str]:
    effects = set[str]()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        name = frame.f_code.co_filename
        if (event == "call" and is_impure(name)) or (event == "c_call" and arg.__name__ in CLOCKS):
            effects.add(f"{name}: {frame.f_code.co_name}")

    gc.disable()  # Hypothesis times each collection of garbage, whosever it is.
    sys.setprofile(watch)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return effects


is_impure = cache(IMPURE_CODE.search)


def test_what_decide_calls_elsewhere_is_as_pure() -> None:
    for seed in range(WORLDS):
        facts, _ = any_world(seed).decided()
        assert not effects_of(partial(decide, facts, new_plan(facts), RULES)), seed


@pytest.mark.parametrize("act", [time.time, timezone.now, lambda: Contact.objects.filter(name="Ann")])
def test_an_impure_call_would_be_seen(act: Callable[[], Any]) -> None:
    assert effects_of(act)
