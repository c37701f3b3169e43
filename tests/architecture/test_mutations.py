"""Only send and `monday` write to Monday's items, and in a pass only send and settle write NPD's rows."""

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from sync.monday import item_documents
from tests.architecture.test_arrows import ROOT, modules, nodes_of

EXECUTOR = "sync/reconcile/send.py"
MONDAY = ROOT / "sync/monday"
# Calls that write to items: the prepared requests, and what sends them.
MUTATIONS = {name for name in vars(item_documents) if name.startswith("prepare_")} | {"write"}


# Deletes a person's items on request: no pass is involved, and nothing is synced afterwards.
ERASURE = "npd/personal_data.py"

# Names of a connector; other things have a `write`, too.
HANDLES = {"client", "connector", "metered_client"}


def named(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Every mutation that a module imports or uses; of `write`, a connector's."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in MUTATIONS:
            if node.attr != "write" or mentions(node.value, HANDLES):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in MUTATIONS)


def mentions(node: ast.AST, names: set[str]) -> bool:
    return any(getattr(part, "id", getattr(part, "attr", "")) in names for part in ast.walk(node))


def test_only_the_executor_names_a_call_that_writes_to_items() -> None:
    faults = {
        f"{path.relative_to(ROOT)} names {name}"
        for path in [*modules("sync"), *modules("npd"), *modules("conflicts")]
        if path not in (ROOT / EXECUTOR, ROOT / ERASURE) and not path.is_relative_to(MONDAY)
        for name in named(nodes_of(path))
    }
    assert not faults


def test_the_executor_names_them_all() -> None:
    names = {name.rsplit(".", 1)[-1] for name in named(nodes_of(ROOT / EXECUTOR))}
    assert names == MUTATIONS


@pytest.mark.parametrize(
    "line",
    ["send = metered_client.connector().write", "items.prepare_changes([], [])", "from x import prepare_removal"],
)
def test_a_new_one_would_be_caught(line: str) -> None:
    assert list(named(ast.walk(ast.parse(line))))


# NPD's rows.

# The modules of sync/reconcile that write them.
SETTLE = {f"settle/{name}.py" for name in ("transaction", "dependents", "items_and_deletions", "jobs", "pass_run")}
WRITERS = {"send.py", "unanswered_creates.py", *SETTLE}
ROW_WRITES = {"save", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}
ROW_WRITERS = re.compile(r"enqueue\w*|update_many|finish|set_late_item|store_\w+|claim_records|transaction")

SQL_WRITE = re.compile(r"\b(UPDATE \w+ SET|INSERT INTO|DELETE FROM)\b")


def row_writes(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Everything that a module uses to write rows; of `update` and `create`, a query's."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("sync", "django"):
            yield from (alias.name for alias in node.names if ROW_WRITERS.fullmatch(alias.name))
        elif isinstance(node, ast.Attribute) and (
            node.attr in ROW_WRITES
            or (node.attr in ("update", "create") and mentions(node.value, {"objects", "filter", "_default_manager"}))
        ):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_WRITE.search(node.value):
            yield node.value.strip()


def test_of_a_pass_only_send_and_settle_write_rows() -> None:
    reconcile = ROOT / "sync/reconcile"
    writers = {reconcile / name for name in WRITERS}
    faults = {
        f"{path.relative_to(reconcile)} names {name}"
        for path in {*reconcile.rglob("*.py")} - writers - {reconcile / "run.py"}
        for name in row_writes(nodes_of(path))
    }
    assert not faults
    assert all(list(row_writes(nodes_of(path))) for path in writers)
