"""Measures the API calls to put 10,000 new records on a board, and how many more it takes if workers are killed.

    python -m bench.first_load [--records 10000]

First contacts, undisturbed. Then as many organizations, while five workers are killed (SIGKILL), each at another point
of a pass, after another tenth of the records. The clocks of database and sandbox are moved over the wait for a lost
call's deadline, so the measured time is work.
"""

import argparse
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from bench.servers import NOWHERE, Sandbox, database_and_sandbox, machine
from bench.table import Row, publish

PASS = 100  # records
MORE_CALLS = 20  # besides a read and a write for each pass
PARTS = 10  # a worker dies after each tenth of the records
CALL_MS = 1_000  # of a call during which a worker dies
OUTCOME_SECONDS = 300  # by then the outcome of a call without an answer is checked
RECONCILE = "sync.reconcile.run"
SEND = "sync.reconcile.send"
# The function before which the worker dies, or the seconds after the function's begin.
DEATHS = {
    "when records are claimed and nothing is read": ("sync.reconcile.gather.gatherer.read_facts", 0.0),
    "when a call is announced and not sent": (f"{SEND}.check_intent_age", 0.0),
    "while Monday works": (f"{SEND}.check_intent_age", CALL_MS / 2_000),
    "when Monday has answered, before that is stored": (f"{SEND}.take_answer", 0.0),
    "before a pass is settled": (f"{RECONCILE}.settle_pass", 0.0),
}


@dataclass(frozen=True)
class Measured:
    calls: int
    points: int
    seconds: float
    problem: str  # what is wrong afterwards; empty if nothing is


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.first_load", description="New records by ordinary passes.")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--child", nargs=2, metavar=("TYPE", "DEATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        entity_type, death = options.child
        return child(entity_type, death, options.records // PASS // PARTS)
    with database_and_sandbox(SITE_URL=NOWHERE) as sandbox:
        prepare(sandbox, options.records)
        plain = measure(sandbox, "contact", options.records, [])
        killed = measure(sandbox, "organization", options.records, list(DEATHS))
    print(f"{options.records:,} new records put on a board by ordinary passes, on the sandbox ({machine()})")
    for name, load in (("undisturbed", plain), (f"killed {len(DEATHS)} times", killed)):
        print(f"{name:16} {load.calls:,} calls, {load.points:,} points, {load.seconds:.1f} s")
    return publish(rows(options.records, plain, killed))


def prepare(sandbox: Sandbox, records: int) -> None:
    """Make large boards, and records that are only in NPD."""
    from npd.models import Contact, Organization
    from sync.fields.lookups import link_of
    from sync.operations.setup.board_setup import set_up_all
    from sync.registry import entities

    list(set_up_all())
    for spec in entities():
        link = link_of(spec.entity_type)
        assert link is not None
        sandbox.control("boards", board_id=int(link.board_id), items_limit=max(10_000, records))
    for start in range(0, records, 2_000):
        numbers = range(start, min(start + 2_000, records))
        Contact.objects.bulk_create(
            Contact(name=f"Person {n}", email=f"person{n}@example.com", phone="+12025550123", notes="…")
            for n in numbers
        )
        Organization.objects.bulk_create(
            Organization(name=f"Organization {n}", address_city="Springfield", notes="…") for n in numbers
        )


def measure(sandbox: Sandbox, entity_type: str, records: int, deaths: list[str]) -> Measured:
    """Put all records on the board by workers in their own processes, which are killed at these points."""
    mark = sandbox.last_call()
    begun = time.monotonic()
    for death in [*deaths, ""]:
        sandbox.control("latency", call_ms=CALL_MS if death and DEATHS[death][1] else 0)
        status = run_child(entity_type, death, records)
        if status != (-signal.SIGKILL if death else 0):
            return Measured(0, 0, 0.0, f"The process ended with {status} at “{death or 'the end'}”.")
        time.sleep(CALL_MS / 1_000)
        sandbox.pass_time(OUTCOME_SECONDS)
    calls = sandbox.calls_since(mark)
    seconds = time.monotonic() - begun
    points = sum(int(call.get("complexity") or 0) for call in calls)
    return Measured(len(calls), points, seconds, check(sandbox, entity_type, records))


def run_child(entity_type: str, death: str, records: int) -> int:
    """Run a worker until nothing is due or it kills itself at that point; return its exit status."""
    command = [sys.executable, "-m", "bench.first_load", "--records", f"{records}", "--child", entity_type, death]
    return subprocess.run(command, check=False, env=dict(os.environ)).returncode


def child(entity_type: str, death: str, passes: int) -> int:
    """Work in this process, and die in the last of these passes."""
    import django

    django.setup()
    logging.disable(logging.WARNING)  # as in the process that started this one
    from sync.operations.worker import drain

    if death:
        die_at(*DEATHS[death], max(1, passes))
    drain(entity_type)
    return 0


def die_at(target: str, seconds: float, times: int) -> None:
    """Kill this process before the n-th call of a function, or some seconds after that call began."""
    module, name = target.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times and seconds:
            threading.Timer(seconds, die).start()
        elif calls == times:
            die()
        return real(*args, **kwargs)

    setattr(importlib.import_module(module), name, dying)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def check(sandbox: Sandbox, entity_type: str, records: int) -> str:
    """Return what is wrong afterwards; empty if every record has one item and is in sync."""
    from sync import registry
    from sync.fields.lookups import link_of
    from sync.models import Intent

    link = link_of(entity_type)
    model = registry.entity(entity_type).model
    assert link is not None
    boards = {board["id"]: board for board in sandbox.control("boards")}
    ids = [item["values"][link.npd_id_column] for item in boards[link.board_id]["items"]]
    synced = model._default_manager.filter(sync_status="synced").exclude(monday_id=None).count()
    open_rows = Intent.objects.filter(entity_type=entity_type, state="open").count()
    if (len(ids), len(set(ids)), synced, open_rows) == (records, records, records, 0):
        return ""
    return f"{len(ids):,} items of {len(set(ids)):,} records; {synced:,} in sync; {open_rows:,} calls open."


def rows(records: int, plain: Measured, killed: Measured) -> list[Row]:
    gate = 2 * records // PASS + MORE_CALLS
    return [
        Row(
            f"{records:,} new records by ordinary passes, API calls", f"≤ {gate}", f"{plain.calls}", plain.calls <= gate
        ),
        Row(f"… killed {len(DEATHS)} times", f"≤ {gate}", f"{killed.calls}", 0 < killed.calls <= gate),
        *(
            Row(f"… each once and in sync, {name}", "every one", load.problem or "every one", not load.problem)
            for name, load in (("undisturbed", plain), ("killed", killed))
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
