"""Imports point one way, and a module hides one decision."""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from sync import limits

ROOT = Path(__file__).resolve().parents[2]
OURS = ("config", "npd", "sync", "conflicts", "sandbox", "tests", "bench")
ALLOWED = {"npd": {"npd", "sync"}, "conflicts": {"conflicts", "sync"}, "sync": {"sync"}, "sandbox": {"sandbox"}}
# The demo command is the one part of npd that plays the installation's own set-up; it knows the settings only.
IO_MODULES = {
    *("django", "requests", "socket", "urllib", "http", "psycopg", "celery", "subprocess", "pathlib", "os", "time")
}
PURE = [
    "sync/merge.py",
    *sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "sync/monday").rglob("*.py")
        if path.name not in ("client.py", "probe.py")
    ),
]
# The floors of sync, from the ground. An entry imports those before it and none after it, inside functions too.
FLOORS = (
    *("monday", "clock", "merge", "choices", "kernel", "models", "registry", "outbox", "limits", "records"),
    *("boards", "reconcile", "state", "operations", "queue", "tasks", "apps", "api", "admin", "management"),
)
# A framework asks for these names, or a package may have one of each; every other module has its name alone.
SHARED_NAMES = {
    "admin",
    "api",
    "apps",
    "errors",
    "messages",
    "models",
    "schema",
    "serializers",
    "tasks",
    "urls",
    "views",
}
LONGEST = 800
"""A module is as long as the decision that it hides takes; above this its docstring has to say why it stays whole."""


def modules(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if "migrations" not in path.parts]


@cache
def imports_of(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Every import of a file, also inside functions; to read it anew for each rule takes most of the time."""
    return tuple(n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import | ast.ImportFrom))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports."""
    for node in imports_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.module and node.level == 0:
            yield node.module


def is_ours_but(name: str, *known: str) -> bool:
    return name.split(".", maxsplit=1)[0] in OURS and not name.startswith(known)


@pytest.mark.parametrize(
    ("room", "may_not"),
    [
        *((room, lambda path, name, known=known: is_ours_but(name, *known)) for room, known in ALLOWED.items()),
        ("sandbox", lambda path, name: name.split(".")[0] == "django"),
        ("sync/monday", lambda path, name: name.split(".")[0] == "django" or is_ours_but(name, "sync.monday")),
    ],
)  # fmt: skip
def test_a_room_imports_only_the_rooms_it_may_know(room: str, may_not: Callable[[str, str], bool]) -> None:
    found = [(str(path.relative_to(ROOT)), name) for path in modules(room) for name in imported(path)]
    assert found
    assert not [f"{path} imports {name}" for path, name in found if may_not(path, name)]


def test_what_stands_in_sync_is_on_a_declared_floor() -> None:
    found = {path.name.removesuffix(".py") for path in (ROOT / "sync").iterdir() if not path.name.startswith("_")}
    assert found - {"migrations"} == set(FLOORS)


def test_imports_in_sync_point_down_the_floors() -> None:
    up = [
        f"{path.relative_to(ROOT)} imports sync.{entry}"
        for path in modules("sync")
        if (here := path.relative_to(ROOT / "sync").parts[0].removesuffix(".py")) in FLOORS
        for entry in entries_of_sync(path)
        if FLOORS.index(entry) > FLOORS.index(here)
    ]
    assert not up


def entries_of_sync(path: Path) -> set[str]:
    """What a file imports of the first level of sync."""
    found = set()
    for node in imports_of(path):
        if isinstance(node, ast.ImportFrom) and node.module == "sync":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sync."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sync.")}
    return found


def test_the_limits_are_used_by_their_face_alone() -> None:
    private = [
        f"{path.relative_to(ROOT)} imports {node.module}.{alias.name}"
        for room in (*ALLOWED, "config")
        for path in modules(room)
        if not path.is_relative_to(ROOT / "sync/limits")
        for node in imports_of(path)
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("sync.limits.")
        for alias in node.names
        if node.module != "sync.limits" or alias.name not in limits.__all__
    ]
    assert not private


def test_who_knows_a_modules_name_knows_its_room() -> None:
    paths = [p for room in ("sync", "conflicts", "npd", "config") for p in modules(room)]
    names = Counter(p.stem for p in paths if "management" not in p.parts and not p.stem.startswith("__"))
    assert {name for name, count in names.items() if count > 1} <= SHARED_NAMES


@pytest.mark.parametrize("path", PURE)
def test_pure_modules_do_no_input_or_output(path: str) -> None:
    names = set(imported(ROOT / path)) - {"urllib.parse", "http"}  # the latter is HTTPStatus
    assert not [name for name in names if name.split(".")[0] in IO_MODULES]


@pytest.mark.parametrize("room", [*sorted(ALLOWED), "config"])
def test_no_module_is_longer_than_one_decision_takes(room: str) -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in modules(room)}
    long = {name for name, text in texts.items() if len(text.splitlines()) > LONGEST}
    assert not {name for name in long if "It stays whole" not in (ast.get_docstring(ast.parse(texts[name])) or "")}
