"""Imports point one way, and rooms stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("config", "npd", "sync", "conflicts", "sandbox", "tests", "bench")
ALLOWED = {
    "npd": {"npd", "sync"},
    "conflicts": {"conflicts", "sync"},
    "sync": {"sync"},
    "sandbox": {"sandbox"},
}
# The demo command is the one part of npd that plays the installation's own set-up; it knows the settings only.
IO_MODULES = {
    "django",
    "requests",
    "socket",
    "urllib",
    "http",
    "psycopg",
    "celery",
    "subprocess",
    "pathlib",
    "os",
    "time",
}
PURE = [
    "sync/merge.py",
    "sync/merge_lists.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "sync/connectors/monday/converters").glob("*.py")),
    "sync/connectors/monday/webhooks.py",
    "sync/connectors/monday/log_rows.py",
]
LONGEST = 320


def modules(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if "migrations" not in path.parts]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_it_may_know(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(room)
        for name in imported(path)
        if name.split(".")[0] in OURS and name.split(".")[0] not in ALLOWED[room]
    ]
    assert not wrong


def test_the_monday_connector_imports_no_django_and_nothing_else_of_ours() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("sync/connectors")
        for name in imported(path)
        if name.split(".")[0] == "django"
        or (name.split(".")[0] in OURS and not name.startswith("sync.connectors"))
    ]
    assert not wrong


@pytest.mark.parametrize("path", PURE)
def test_pure_modules_do_no_input_or_output(path: str) -> None:
    wrong = [name for name in imported(ROOT / path) if name.split(".")[0] in IO_MODULES]
    assert not wrong


def test_the_sandbox_knows_no_django() -> None:
    wrong = [
        str(path) for path in modules("sandbox") for name in imported(path) if name.split(".")[0] == "django"
    ]
    assert not wrong


@pytest.mark.parametrize("room", [*sorted(ALLOWED), "config"])
def test_modules_stay_small(room: str) -> None:
    long = {
        str(p.relative_to(ROOT)): n for p in modules(room) if (n := len(p.read_text().splitlines())) > LONGEST
    }
    assert not long
