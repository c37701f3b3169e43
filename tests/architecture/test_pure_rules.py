"""What a pass decides is a pure function: what `decide` reaches asks no database, no Monday, no clock, no setting.

Of the rules that is read from their imports; of what they call elsewhere, watched while they decide drawn worlds.
"""

import ast
import gc
import importlib
import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import structlog
from django.conf import global_settings, settings
from django.utils import timezone

from npd.models import Contact
from sync.reconcile.decide import decide
from tests.architecture.test_arrows import ROOT, modules
from tests.decide.any_world import any_world

RECONCILE = ROOT / "sync/reconcile"
OUTSIDE = ("django.db", "django.conf", "structlog", "requests", "time", "celery", "pghistory")
"""What no rule imports: the database, settings, logs, calls and clocks."""

EFFECTS = {"objects", "_default_manager", "select_for_update", "refresh_from_db", "cursor", "get_or_create"}
"""By these a row is read or written."""

IMPURE_ROOMS = ("sync.clock", "sync.limits", "sync.outbox", "sync.state", "sync.operations", "sync.tasks")
PURE_OF_THESE = {"sync.outbox.claim": {"Claim"}, "django.db": {"models"}}
"""Of rooms that do more, what is a value, or a function of values."""


@cache
def imports(path: Path) -> list[tuple[str, str]]:
    """Every module that a file imports when it runs, with the name that it takes from it."""
    return list(_imports(ast.parse(path.read_text())))


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for_types = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in for_types:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@cache
def reached() -> list[Path]:
    """The modules of reconcile that these import, also by others: the rules, and what is computed to be written."""
    pure = ("decide.py", "unanswered_writes.py", "changes.py")
    reached_paths, waiting = set[Path](), [RECONCILE / name for name in pure]
    while waiting:
        path = waiting.pop()
        if path in reached_paths or not path.exists():
            continue
        reached_paths.add(path)
        for module, name in imports(path):
            full_name = f"{module}.{name}" if module == "sync.reconcile" else module
            if full_name.startswith("sync.reconcile."):
                waiting.append(RECONCILE / f"{full_name.removeprefix('sync.reconcile.')}.py")
    return sorted(reached_paths)


def test_a_rule_reaches_no_row_no_call_no_setting_and_no_clock() -> None:
    rules = [str(path.relative_to(ROOT)) for path in reached()]
    assert {"sync/reconcile/field_plan.py", "sync/reconcile/identity.py", "sync/reconcile/record_writes.py"} <= set(
        rules
    )
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
        for node in ast.walk(ast.parse((ROOT / rule).read_text()))
        if isinstance(node, ast.Attribute) and node.attr in EFFECTS
    ]
    assert not wrong


VALUES = {"sync.reconcile.facts", "sync.reconcile.field_values", "sync.reconcile.pass_plan"}
"""What rules take and return; whoever reads a plan needs them."""

ASKED_OF_RULES = {
    # What a plan says besides: what it would send, count, ask, and what follows from it.
    "sync/operations/preview.py": {
        "changed_records_of", "conflict_reports", "created_records_of",
        "new_clear_requests", "new_deletion_requests", "new_removal_requests", "unread",
    },
    # What is noted of an item until its pass: whether the filter leaves it out; and which records a plan changes.
    "sync/operations/comparison.py": {"changed_records", "item_verdict", "listed_finding", "record_verdict"},
    # What passes stored.
    "conflicts/case.py": {"base_of"},
    "conflicts/rejections.py": {"base_of", "last_observed"},
}  # fmt: skip
"""What else than a whole plan is asked of rules, by whom: none of it is a rule of the list."""


def test_what_a_pass_would_do_is_read_off_plans() -> None:
    rules = {f"sync.reconcile.{path.stem}" for path in reached()} | {
        "sync.reconcile.changes",
        "sync.reconcile.settlement",
    }
    names_by_module: dict[str, set[str]] = {}
    for path in [path for room in ("sync", "conflicts", "npd", "config") for path in modules(room)]:
        for module, name in imports(path) if not path.is_relative_to(RECONCILE) else ():
            if module in rules - VALUES and inspect.isfunction(getattr(importlib.import_module(module), name)):
                names_by_module.setdefault(str(path.relative_to(ROOT)), set()).add(name)
    assert names_by_module == ASKED_OF_RULES


MAX_FIELDS = 16
"""But of all that a pass reads: these stand in the order in which they are read."""


def test_values_of_a_pass_are_frozen_and_of_few_fields() -> None:
    """What one step made no other one fills; parts have names."""
    wrong = [
        f"{path.name}: {node.name}"
        for path in RECONCILE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).startswith("dataclass") and node.name != "PassFacts"
        if "frozen=True" not in ast.unparse(decorator)
        or sum(isinstance(part, ast.AnnAssign) for part in node.body) > MAX_FIELDS
    ]
    assert not wrong


# What they call elsewhere.

IMPURE_CODE = re.compile(
    r"/django/db/(backends|transaction|models/(query|manager|sql)\b)|/django/core/cache|/structlog/|/logging/|/socket\.py"
    r"|/httpx|/requests/|/redis/|/celery/|/sync/(clock|limits|state|operations|outbox/(?!claim|pauses))|/monday/client"
)
"""Where a call would be one of the database, the network, a log, or a room of NPD Sync that does such things."""

is_impure = cache(IMPURE_CODE.search)
"""Whether a file's name is one of these; each is asked about thousands of times."""

WORLDS = 400 if os.environ.get("CI") == "true" else 100
"""How many drawn worlds are decided while this is watched."""

CLOCKS = {"time", "monotonic", "perf_counter", "now", "utcnow", "today", "connect", "open", "getaddrinfo"}


def effects_of(act: Callable[[], Any]) -> set[str]:
    """Every impure call while this goes on, as a profiler is told; our own settings count, Django's don't."""
    effects = set[str]()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call" and is_impure(code.co_filename):
            effects.add(f"{code.co_filename}: {code.co_name}")
        elif event == "call" and code.co_filename.endswith("django/conf/__init__.py") and code.co_name == "__getattr__":
            name = frame.f_locals["name"]
            effects.update({name} if not hasattr(global_settings, name) else ())
        elif event == "c_call" and arg.__name__ in CLOCKS:
            effects.add(f"{code.co_filename}: {arg.__qualname__}")

    # What was read before is kept beside the settings, where no look at it is seen.
    cached = {name: vars(settings).pop(name) for name in list(vars(settings)) if name.isupper()}
    # Hypothesis times each collection of garbage, whosever it is.
    gc.disable()
    sys.setprofile(watch)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
        vars(settings).update(cached)
    return effects


def test_what_decide_calls_elsewhere_is_as_pure() -> None:
    for seed in range(WORLDS):
        facts, _ = any_world(seed).decided()
        assert not effects_of(partial(decide, facts)), seed


@pytest.mark.parametrize(
    "act",
    [
        time.time,
        lambda: datetime.now(UTC),
        timezone.now,
        lambda: settings.GUARD_RECORDS,
        lambda: Contact.objects.filter(name="Ann"),
        lambda: structlog.get_logger().info("said"),
    ],
    ids=["time", "datetime", "Django's clock", "a setting", "a query", "a log"],
)
def test_an_impure_call_would_be_seen(act: Callable[[], Any]) -> None:
    assert effects_of(act)
