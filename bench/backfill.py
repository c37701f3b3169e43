"""10,000 new records put on a board in bulk: API calls, quota, and five deaths of one import.

    python -m bench.backfill [--records 10000]

First contacts, undisturbed. Then as many organizations, by a process that is killed (SIGKILL) at five points of one
import, one after another, and taken up again each time. Waits move the database's clock and the sandbox's, so the
measured time is work. Exit 1 when a gate is missed.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import requests

from bench.ground import Ground, ground, machine
from bench.table import Row, hand_on

NOWHERE = "http://127.0.0.1:9"  # no webhooks: what is measured is the way to Monday
GATE_CALLS = 60  # API calls for 10,000 records
POINTS_A_MINUTE = 10_000_000  # a personal token's (developer.monday.com/api-reference/docs/rate-limits)
STEPS = "sync.operations.backfill"
IMPORT = "sync.connectors.monday.bulk_import"
DEATHS = {
    "before the job is started": (f"{STEPS}._start_job", False, 1),
    "when Monday has answered, before the job's id is stored": (f"{IMPORT}.parse_started_import", False, 1),
    "when the file is sent, before that is stored": (f"{IMPORT}.upload_file", True, 1),
    "while Monday works": (f"{IMPORT}.import_status_query", False, 1),
    "between two links": ("sync.operations.backfill.settle", True, 3),
}


@dataclass(frozen=True)
class Measured:
    """What one import cost, and whether everything is there once."""

    calls: int
    points: int
    seconds: float
    wrong: str

    @property
    def quota_minutes(self) -> float:
        """How many minutes of the token's complexity allowance it took."""
        return self.points / POINTS_A_MINUTE


def main() -> int:
    """Measure both, print them, and check the gates."""
    parser = argparse.ArgumentParser(prog="python -m bench.backfill", description="Records put on a board in bulk.")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--child", nargs=2, metavar=("TYPE", "DEATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(*options.child)
    with ground(SITE_URL=NOWHERE, LOG_LEVEL="ERROR") as place:
        prepare(place, options.records)
        plain = measure(place, "contact", options.records, [])
        killed = measure(place, "organization", options.records, list(DEATHS))
    return report(options.records, plain, killed)


def prepare(place: Ground, records: int) -> None:
    """Boards with room, and records that are nowhere but in NPD."""
    from npd.models import Contact, Organization
    from sync.boards.board_setup import set_up_all
    from sync.registry import link_of

    list(set_up_all())
    for entity_type in ("contact", "organization"):
        link = link_of(entity_type)
        assert link is not None
        place.control("boards", board_id=int(link.board_id), items_limit=max(10_000, records))
    for start in range(0, records, 2_000):
        numbers = range(start, min(start + 2_000, records))
        Contact.objects.bulk_create(
            Contact(name=f"Person {n}", email=f"person{n}@example.com", phone="+12025550123", notes="…")
            for n in numbers
        )
        Organization.objects.bulk_create(
            Organization(name=f"Organization {n}", address_city="Springfield", notes="…") for n in numbers
        )


def measure(place: Ground, entity_type: str, records: int, deaths: list[str]) -> Measured:
    """Run an import in a process of its own, killed at each of these points and taken up again."""
    mark, begun = place.last_call(), time.monotonic()
    for death in [*deaths, ""]:
        status = run_child(entity_type, death)
        if status != (-signal.SIGKILL if death else 0):
            return Measured(0, 0, 0.0, f"The process ended with {status} at “{death or 'the end'}”.")
        pass_time(300)  # the dead process's lease ends
    calls = place.calls_since(mark)
    seconds = time.monotonic() - begun
    points = sum(int(call.get("complexity") or 0) for call in calls)
    return Measured(len(calls), points, seconds, check(place, entity_type, records))


def run_child(entity_type: str, death: str) -> int:
    """Run the import until it ends or kills itself at that point; return its exit status."""
    command = [sys.executable, "-m", "bench.backfill", "--child", entity_type, death]
    return subprocess.run(command, check=False, env=dict(os.environ)).returncode


def child(entity_type: str, death: str) -> int:
    """In the process of its own: begin an import, or take up the one that is open."""
    import django

    django.setup()
    from sync import registry
    from sync.operations.backfill import open_backfill, run_backfill, run_remaining_steps
    from sync.operations.backfill.estimate import estimate_backfill

    if death:
        dies_at(*DEATHS[death])
    backfill = open_backfill(entity_type)
    if backfill is None:
        run_backfill(estimate_backfill(registry.entity(entity_type)), by="bench", wait=wait)
    else:
        run_remaining_steps(backfill, wait=wait)
    return 0


def dies_at(target: str, after: bool, times: int) -> None:
    """Have this process killed at the n-th call of a function, before or after it."""
    module, name = target.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)
    left = [times]

    def dying(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(importlib.import_module(module), name, dying)


def wait(seconds: float, words: str) -> None:
    """Let the time pass at once."""
    time.sleep(0.05)
    pass_time(seconds)


def pass_time(seconds: float) -> None:
    """Move the database's clock and the sandbox's, while no call is in the air."""
    from django.conf import settings
    from django.db import connection

    from sync.clock import CREATE_SYNC_NOW

    clock = settings.MONDAY_API_URL.removesuffix("/v2") + "/_control/clock"
    offset = requests.get(clock, timeout=30).json()["offset_seconds"] + seconds
    moved = f"clock_timestamp() + interval ''{offset} seconds''"
    with connection.cursor() as cursor:
        cursor.execute(CREATE_SYNC_NOW.replace("clock_timestamp()", moved))
    requests.post(clock, json={"offset_seconds": offset}, timeout=30).raise_for_status()


def check(place: Ground, entity_type: str, records: int) -> str:
    """What is wrong afterwards, in words; an empty text when every record has its one item and is in sync."""
    from sync import registry
    from sync.models.state import Intent
    from sync.registry import link_of

    link, model = link_of(entity_type), registry.entity(entity_type).model
    assert link is not None
    boards = {board["id"]: board for board in place.control("boards")}
    ids = [item["values"][link.npd_id_column] for item in boards[link.board_id]["items"]]
    synced = model._default_manager.filter(sync_status="synced").exclude(monday_id=None).count()
    open_rows = Intent.objects.filter(entity_type=entity_type, state="open").count()
    if (len(ids), len(set(ids)), synced, open_rows) == (records, records, records, 0):
        return ""
    return f"{len(ids):,} items of {len(set(ids)):,} records; {synced:,} in sync; {open_rows:,} rows open."


def report(records: int, plain: Measured, killed: Measured) -> int:
    """Print the table and the gates; return the exit status."""
    gate = max(12, math.ceil(GATE_CALLS * records / 10_000))
    print(f"{records:,} new records put on a board in bulk, on the sandbox ({machine()})")
    print(f"{'':24}{'API calls':>12}{'points':>14}{'quota minutes':>16}{'seconds':>10}")
    for name, one in (("undisturbed", plain), (f"killed {len(DEATHS)} times", killed)):
        print(f"{name:24}{one.calls:>12,}{one.points:>14,}{one.quota_minutes:>16.2f}{one.seconds:>10.1f}")
        if one.wrong:
            print(f"  WRONG: {one.wrong}")
    few = plain.calls <= gate
    whole = not (plain.wrong or killed.wrong)
    print(f"gate: at most {gate} API calls undisturbed: {'held' if few else 'MISSED'}")
    print(f"gate: every record has one item and is in sync, also after deaths: {'held' if whole else 'MISSED'}")
    deaths = f"… each once and in sync, also after {len(DEATHS)} deaths"
    return hand_on(
        [
            Row(f"{records:,} new records in bulk, API calls", f"≤ {gate}", f"{plain.calls}", few),
            Row(deaths, "every one", plain.wrong or killed.wrong or "every one", whole),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
