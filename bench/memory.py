"""A look at 100,000 unchanged records: how much memory it takes, and how many calls.

    python -m bench.memory [--records 100000]

Contacts that are linked and in sync on both sides. The nightly comparison, which lists the board (500 items a call), in
a process of its own whose memory is read four times a second. Gates: the calls are the pages, nothing was found to
differ, and memory doesn't grow once the first tenth is done. The megabytes and the records a second, the start of
the process included, are goals.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from bench.ground import NOWHERE, ROOT, Ground, ground, machine
from bench.table import Row, publish

if TYPE_CHECKING:
    from npd.models import Contact

GOAL_MB = 250.0
GROWTH_GATE = 1.5
"""The most memory of all, by the most of the first tenth: keeping every record would make it several times that.

Ids are kept, and of a run of few records the first tenth is the start of the process: it says something of many.
"""
FEW = 20_000
QUIET_SECONDS = 3_600.0
"""So long ago is the last change, as for a board that nobody touched today."""
LOOK_SECONDS = 0.25
CHUNK = 2_000
LISTED = 500  # items that a page of a listing holds
GOAL_A_SECOND = 1_800
COMPARE = "from bench.memory import compare_contacts; compare_contacts()"


@dataclass(frozen=True)
class Watched:
    """One run: its calls, its memory in MB by time, and what it printed."""

    calls: int
    megabytes: Sequence[float]
    seconds: float
    output: str

    @property
    def most(self) -> float:
        """The most that it held."""
        return max(self.megabytes)

    @property
    def growth(self) -> float:
        """The most of all, by the most of the first tenth of the time."""
        return self.most / max(self.megabytes[: max(1, len(self.megabytes) // 10)])


def fill(place: Ground, records: int) -> None:
    """So many contacts with their items; one run of the queue agrees on every value."""
    from npd.models import Contact
    from sync.boards.board_setup import set_up_all
    from sync.registry import link_of

    list(set_up_all())
    link = link_of("contact")
    assert link is not None
    place.control("boards", board_id=int(link.board_id), items_limit=records + 1)
    for start in range(0, records, CHUNK):
        contacts = [_contact(number) for number in range(start, min(start + CHUNK, records))]
        rows = [
            {"name": contact.name, "values": _values(contact) | {link.npd_id_column: str(contact.pk)}}
            for contact in contacts
        ]
        ids = place.control("items", board_id=int(link.board_id), items=rows)
        for contact, item_id in zip(contacts, ids, strict=True):
            contact.monday_id = item_id
        Contact.objects.bulk_create(contacts)


def _contact(number: int) -> Contact:
    from npd.models import Contact

    return Contact(name=f"Person {number}", email=f"person{number}@example.com", role_title="Director", notes="…")


def _values(contact: Contact) -> dict[str, object]:
    return {
        "email": {"email": contact.email, "text": contact.email},
        "role_title": contact.role_title,
        "notes": {"text": contact.notes},
    }


def agree() -> None:
    """The first look at all of them, of which nothing is measured."""
    from npd.models import Contact
    from sync.operations.worker import drain

    drain()
    if waiting := Contact.objects.exclude(sync_status="synced").count():
        raise SystemExit(f"{waiting:,} contacts did not come into sync.")


def watch(place: Ground, command: Sequence[str]) -> Watched:
    """Run a command to its end; exit where it fails."""
    mark, begun = place.last_call(), time.monotonic()
    log = place.folder / "run.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=dict(os.environ), stdout=out, stderr=subprocess.STDOUT
        )
        megabytes = list(_megabytes(child))
    seconds, output = time.monotonic() - begun, log.read_text()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{output[-2000:]}")
    return Watched(place.last_call() - mark, megabytes, seconds, output)


def _megabytes(child: subprocess.Popen[bytes]) -> Iterator[float]:
    process = psutil.Process(child.pid)
    while child.poll() is None:
        with suppress(psutil.NoSuchProcess):
            yield process.memory_info().rss / 1_000_000
        time.sleep(LOOK_SECONDS)


def compare_contacts() -> None:
    """What Beat has done at night."""
    from sync.operations.detect.comparison import compare_board
    from sync.registry import link_of

    link = link_of("contact")
    assert link is not None
    compare_board(link)


def comparison(place: Ground, records: int) -> list[Row]:
    """The nightly comparison: every page of the listing."""
    from sync.registry import link_of

    run = watch(place, ["manage.py", "shell", "--verbosity", "0", "--command", COMPARE])
    pages = math.ceil(records / LISTED)
    link = link_of("contact")
    words = link.compared if link else ""
    same = words == f"{records:,} items on the board, {records:,} of them linked: nothing differed."
    speed = records / run.seconds
    flat = run.growth <= GROWTH_GATE
    return [
        Row(
            f"nightly comparison of {records:,} unchanged, records a second",
            f"≥ {GOAL_A_SECOND:,}",
            f"{speed:,.0f}",
            speed >= GOAL_A_SECOND,
            gate=False,
        ),
        Row("… memory", f"≤ {GOAL_MB:g} MB", f"{run.most:.0f} MB", run.most <= GOAL_MB, gate=False),
        Row("… by that of its first tenth", f"≤ {GROWTH_GATE:g} ×", f"{run.growth:.2f} ×", flat, gate=records >= FEW),
        Row("… API calls", f"{pages:,} pages", f"{run.calls:,}", pages <= run.calls <= pages + 1),
        Row("… found to differ", "0", "0" if same else words, same),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    records = parser.parse_args().records
    with ground(SITE_URL=NOWHERE) as place:
        fill(place, records)
        agree()
        place.pass_time(QUIET_SECONDS)
        rows = comparison(place, records)
    print(f"{records:,} unchanged contacts ({machine()})")
    return publish(rows)


if __name__ == "__main__":
    raise SystemExit(main())
