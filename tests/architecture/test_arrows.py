"""Imports point one way, and a module hides one decision."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
APPLICATIONS = tuple(app for app in settings.INSTALLED_APPS if (ROOT / app / "__init__.py").is_file())
OURS = (*APPLICATIONS, "config", "sandbox", "tests", "bench")
ALLOWED = {
    # An application of one's own knows only what every synced model needs.
    **{app: {app, "sync", "conflicts"} for app in APPLICATIONS},
    "npd": {"npd", "sync", "conflicts"},
    "conflicts": {"conflicts", "sync"},
    "sync": {"sync", "conflicts"},
    "sandbox": {"sandbox"},
}
IO_MODULES = {
    *("django", "requests", "socket", "urllib", "http", "psycopg", "celery", "subprocess", "pathlib", "os", "time")
}
PURE = [
    "sync/merge.py",
    *sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "sync/monday").rglob("*.py")
        if path.name not in ("client.py", "account_probe.py")
    ),
]
# The floors of sync, from the ground: an entry imports only those before it, inside functions too.
# "conflicts" is what a pass knows of conflicts; its pages stand above all of sync.
FLOORS = (
    *("monday", "clock", "choices", "kernel", "words", "merge", "models", "registry", "addresses", "permissions"),
    *("fields", "conflicts", "attention", "outbox", "limits", "records", "boards", "reconcile", "state", "operations"),
    *("queue", "tasks", "apps", "api", "admin", "management"),
)
# What of operations runs a pass or plans one. Others start and show that, and need no more of a pass themselves.
_AROUND_A_PASS = (
    *("worker", "dry_run", "planned_changes", "empty_plans", "comparison", "verification"),
    *("reconcile_all", "setup.board_plan", "setup.listing", "setup.namesakes", "setup.ended_questions"),
)
AROUND_A_PASS = frozenset(f"sync.operations.{name}" for name in _AROUND_A_PASS)
NEED_VALUES_ONLY = ("npd", "conflicts", "sync/state", "sync/admin", "sync/queue.py", "sync/operations")
# The docstring of a longer module has to say why it stays whole.
LONGEST = 800


def modules(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if "migrations" not in path.parts]


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax, the module itself first; cached, because parsing takes most of the time."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def imports_of(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Every import of a file, also inside functions."""
    return tuple(node for node in nodes_of(path) if isinstance(node, ast.Import | ast.ImportFrom))


def imported(path: Path) -> Iterator[str]:
    for node in imports_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.module and node.level == 0:
            yield node.module


def is_ours_but(name: str, *rooms: str) -> bool:
    return name.split(".", maxsplit=1)[0] in OURS and not name.startswith(rooms)


@pytest.mark.parametrize(
    ("room", "may_not"),
    [
        *((room, lambda path, name, rooms=rooms: is_ours_but(name, *rooms)) for room, rooms in ALLOWED.items()),
        ("sandbox", lambda path, name: name.split(".")[0] == "django"),
        ("sync/monday", lambda path, name: name.split(".")[0] == "django" or is_ours_but(name, "sync.monday")),
    ],
)  # fmt: skip
def test_a_room_imports_only_the_rooms_it_may_know(room: str, may_not: Callable[[str, str], bool]) -> None:
    imports = [(str(path.relative_to(ROOT)), name) for path in modules(room) for name in imported(path)]
    assert imports
    assert not [f"{path} imports {name}" for path, name in imports if may_not(path, name)]


def test_what_stands_in_sync_is_on_a_declared_floor() -> None:
    entries = {path.name.removesuffix(".py") for path in (ROOT / "sync").iterdir() if not path.name.startswith("_")}
    assert entries - {"migrations"} == set(FLOORS) - {"conflicts"}


def test_imports_in_sync_and_conflicts_point_down_the_floors() -> None:
    up = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in [*modules("sync"), *modules("conflicts")]
        for name in named_in(path)
        if floor_of(name) > floor_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    ]
    assert not up


def floor_of(module: str) -> int:
    """The floor of a module of sync or conflicts; modules below them have none."""
    room, entry = [*module.split("."), ""][:2]
    if room == "conflicts":
        return len(FLOORS) if entry in ("pages", "apps") else FLOORS.index("conflicts")
    return FLOORS.index(entry) if room == "sync" and entry in FLOORS else -1


def reached(module: str, *, stop_at: frozenset[str] = frozenset()) -> set[str]:
    """The modules of ours that importing this one loads, with those that its functions import."""
    found, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        path = file_of(name)
        if path is None or name in found | stop_at:
            continue
        found.add(name)
        waiting += [name.rpartition(".")[0], *named_in(path)]
    return found


def file_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    files = (base / "__init__.py", base.with_suffix(".py"))
    return next((path for path in files if module and path.is_file()), None)


@cache
def named_in(path: Path) -> set[str]:
    """Every module or name that a file imports."""
    froms = [node for node in imports_of(path) if isinstance(node, ast.ImportFrom) and node.module]
    return {*imported(path), *(f"{node.module}.{alias.name}" for node in froms for alias in node.names)}


def test_who_needs_values_reaches_no_pass() -> None:
    paths = [path for room in NEED_VALUES_ONLY for path in modules(room) or [ROOT / room]]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    assert len(names) > 50
    assert not {
        f"{name} reaches {other}"
        for name in names - AROUND_A_PASS
        for other in reached(name, stop_at=AROUND_A_PASS)
        if other.startswith("sync.reconcile")
    }


def test_a_model_loads_little_of_ours() -> None:
    assert "sync.fields.lookups" in reached("npd.models")
    assert len(reached("npd.models")) <= 40


def test_values_know_nothing_of_jobs_and_calls() -> None:
    values = {name for path in modules("sync/fields") for name in reached(f"sync.fields.{path.stem}")}
    assert "sync.merge" in values
    assert not {name for name in values if name.startswith(("sync.limits", "sync.outbox"))}


@pytest.mark.parametrize("path", PURE)
def test_pure_modules_do_no_input_or_output(path: str) -> None:
    names = set(imported(ROOT / path)) - {"urllib.parse", "http"}  # the latter is HTTPStatus
    assert not [name for name in names if name.split(".")[0] in IO_MODULES]


@pytest.mark.parametrize("room", [*sorted(ALLOWED), "config"])
def test_no_module_is_longer_than_one_decision_takes(room: str) -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in modules(room)}
    long = {name for name, text in texts.items() if len(text.splitlines()) > LONGEST}
    assert not {name for name in long if "It stays whole" not in (ast.get_docstring(ast.parse(texts[name])) or "")}
