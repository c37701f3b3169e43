"""Measures memory and calls of the nightly comparison of 100,000 unchanged contacts.

    python -m bench.memory [--records 100000]

The comparison lists the board (500 items a call) in its own process, whose memory is read four times a second. Gates:
the calls are the pages, nothing differs, and memory doesn't grow after the first tenth. Goals: megabytes, and records a
second including the start of the process.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bench.servers import NOWHERE, ROOT, Sandbox, database_and_sandbox, machine
from bench.table import Row, options_of, publish

GOAL_MB = 250.0
# The most memory of all by the most of the first tenth. Only ids may be kept; keeping records would be several times
# that. With few records, the first tenth is the start of the process and says nothing.
GROWTH_GATE = 1.5
FEW = 20_000
QUIET_SECONDS = 3_600.0  # since the last change
LOOK_SECONDS = 0.25
CHUNK = 2_000
LISTED = 500  # items on a page of a listing
GOAL_A_SECOND = 1_800
COMPARE = "from bench.memory import compare_contacts; compare_contacts()"


def fill(sandbox: Sandbox, records: int) -> None:
    """Make contacts with their items, in sync."""
    from npd.models import Contact
    from sync.fields.lookups import link_of
    from sync.operations.setup.board_setup import set_up_all
    from sync.operations.worker import drain

    list(set_up_all())
    link = link_of("contact")
    assert link is not None
    sandbox.control("boards", board_id=int(link.board_id), items_limit=records + 1)
    for start in range(0, records, CHUNK):
        contacts = [
            Contact(name=f"Person {number}", email=f"person{number}@example.com", role_title="Director", notes="…")
            for number in range(start, min(start + CHUNK, records))
        ]
        rows = []
        for contact in contacts:
            values = {
                "email": {"email": contact.email, "text": contact.email},
                "role_title": contact.role_title,
                "notes": {"text": contact.notes},
                link.npd_id_column: str(contact.pk),
            }
            rows.append({"name": contact.name, "values": values})
        ids = sandbox.control("items", board_id=int(link.board_id), items=rows)
        for contact, item_id in zip(contacts, ids, strict=True):
            contact.monday_id = item_id
        Contact.objects.bulk_create(contacts)

    # Once, unmeasured, so that the contacts have bases.
    drain()
    if waiting := Contact.objects.exclude(sync_status="synced").count():
        raise SystemExit(f"{waiting:,} contacts did not come into sync.")


def memory_of(command: Sequence[str], log: Path) -> list[float]:
    """Run a command to its end, and return its memory in MB over time; exit if it fails."""
    megabytes = []
    with log.open("wb") as out:
        child = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=out, stderr=subprocess.STDOUT)
        process = psutil.Process(child.pid)
        while child.poll() is None:
            with suppress(psutil.NoSuchProcess):
                megabytes.append(process.memory_info().rss / 1_000_000)
            time.sleep(LOOK_SECONDS)
    if child.returncode:
        raise SystemExit(f"The comparison ended with {child.returncode}:\n{log.read_text()[-2000:]}")
    return megabytes


def compare_contacts() -> None:
    from sync.fields.lookups import link_of
    from sync.operations.comparison import compare_board

    link = link_of("contact")
    assert link is not None
    compare_board(link)


def comparison(sandbox: Sandbox, records: int) -> list[Row]:
    from sync.fields.lookups import link_of

    mark = sandbox.last_call()
    begun = time.monotonic()
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", COMPARE]
    megabytes = memory_of(command, sandbox.folder / "run.log")
    speed = records / (time.monotonic() - begun)
    calls = sandbox.last_call() - mark
    most = max(megabytes)
    growth = most / max(megabytes[: max(1, len(megabytes) // 10)])
    pages = math.ceil(records / LISTED)
    link = link_of("contact")
    words = link.compared if link else ""
    same = words == f"{records:,} items on the board, {records:,} of them linked: nothing differed."
    flat = growth <= GROWTH_GATE
    return [
        Row(
            f"nightly comparison of {records:,} unchanged, records a second",
            f"≥ {GOAL_A_SECOND:,}",
            f"{speed:,.0f}",
            speed >= GOAL_A_SECOND,
            gate=False,
        ),
        Row("… memory", f"≤ {GOAL_MB:g} MB", f"{most:.0f} MB", most <= GOAL_MB, gate=False),
        Row("… by that of its first tenth", f"≤ {GROWTH_GATE:g} ×", f"{growth:.2f} ×", flat, gate=records >= FEW),
        Row("… API calls", f"{pages:,} pages", f"{calls:,}", pages <= calls <= pages + 1),
        Row("… found to differ", "0", "0" if same else words, same),
    ]


def main() -> int:
    records = options_of("memory", __doc__, records=100_000).records
    with database_and_sandbox(SITE_URL=NOWHERE) as sandbox:
        fill(sandbox, records)
        sandbox.pass_time(QUIET_SECONDS)
        rows = comparison(sandbox, records)
    print(f"{records:,} unchanged contacts ({machine()})")
    return publish(rows)


if __name__ == "__main__":
    raise SystemExit(main())
