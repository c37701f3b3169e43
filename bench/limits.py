"""Draining many changes under each plan's published limits: this engine, and a naive push, side by side.

    python -m bench.limits [--records 10000] [--plans free standard pro enterprise] [--naive 10000]

Time is virtual: when nothing may be sent, the database's clock and the sandbox's are moved to the next moment.
The least time is what the plan lets pass a minute after our reserve of 2 %, for the changes' own points and one
call for a hundred of them. Gates: no call of ours is refused, and at least 95 % of that speed. Exit 1 when one
is missed. The naive push sends one mutation a record and waits as long as Monday says where it is refused; of
it `--naive` records are pushed, and its figures are per so many.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.calls import prepare
from bench.ground import Ground, ground, machine
from bench.table import Row, hand_on

NOWHERE = "http://127.0.0.1:9"  # no webhooks: what is measured is the way to Monday
PLANS = ("free", "standard", "pro", "enterprise")
SPEED = 0.95
WRITE_POINTS = 30_000  # what the sandbox takes for a change
MINUTE = 60.0
KEPT_OF_MINUTE = 0.98


@dataclass(frozen=True)
class Measured:
    """What one way of pushing took, in virtual seconds; `last` is the part after the last wait."""

    records: int
    calls: int
    refused: int
    seconds: float
    last: float


class Clock:
    """Moves the database's time and the sandbox's together."""

    def __init__(self, place: Ground) -> None:
        self.place = place
        self.offset = 0.0
        self.moved = time.monotonic()

    def now(self) -> Any:
        from sync.clock import sync_now

        return sync_now()

    def forward(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        from django.db import connection

        from sync.clock import CREATE_SYNC_NOW

        self.offset += max(0.0, seconds)
        shifted = f"clock_timestamp() + interval ''{self.offset} seconds''"
        with connection.cursor() as cursor:
            cursor.execute(CREATE_SYNC_NOW.replace("clock_timestamp()", shifted))
        self.place.control("clock", offset_seconds=self.offset)
        self.moved = time.monotonic()

    def to_noon(self) -> None:
        """Twelve o'clock UTC of the next day, of whose calls nobody has used any."""
        now = self.now()
        noon = now.replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
        self.forward((noon - now).total_seconds())


def start_plan(place: Ground, clock: Clock, plan: str) -> dict[str, int]:
    """A new day under a plan, of which NPD knows what it asks once an hour; returns the plan's limits."""
    from sync.limits import breaker
    from sync.models.board_link import ApiBudget, ApiReservation, ApiUsage, BoardLink

    clock.to_noon()
    # What NPD has learned is of the plan before; it asks anew below.
    for model in (ApiBudget, ApiReservation, ApiUsage):
        model.objects.all().delete()
    BoardLink.objects.update(last_pass_at=None)
    limits: dict[str, int] = place.control("plan", plan=plan, used=0)["limits"]
    breaker.fetch_account_info()
    return limits


def measure(place: Ground, clock: Clock, records: int, title: str, push: Callable[[Clock], None]) -> Measured:
    """Change the contacts, push, count what arrived and what was refused, and make sure all of it is there."""
    from npd.models import Contact

    chosen = list(Contact.objects.order_by("id").values_list("pk", flat=True)[:records])
    Contact.objects.filter(pk__in=chosen).update(role_title=title)
    mark, refused = place.last_call(), _refused(place)
    begun = clock.now()
    push(clock)
    seconds = (clock.now() - begun).total_seconds()
    last = time.monotonic() - clock.moved
    on_board = [item["values"]["role_title"] for board in place.control("boards") for item in board["items"]]
    if on_board.count(title) != records:
        raise SystemExit(f"{title}: {on_board.count(title)} of {records} changes are on the board.")
    return Measured(records, place.last_call() - mark, _refused(place) - refused, seconds, last)


def _refused(place: Ground) -> int:
    return sum(place.control("plan")["refused"].values())


def engine(clock: Clock) -> None:
    """What the workers do; while nothing is due, time passes."""
    from sync.models.jobs import SyncQueue
    from sync.operations.worker import drain
    from sync.records import availability

    for _ in range(100_000):
        drain()
        soonest = SyncQueue.objects.filter(status="pending").order_by("next_retry").first()
        if soonest is None:
            return
        held = availability.of("contact").until or soonest.next_retry
        clock.forward((max(held, soonest.next_retry) - clock.now()).total_seconds())
    raise SystemExit("The queue never became empty.")


def naive(records: int, title: str) -> Callable[[Clock], None]:
    """One mutation a record, and after a refusal the wait that Monday asks for."""
    from npd.models import Contact
    from sync.connectors.base.board_items import ItemChange
    from sync.connectors.base.errors import LimitReached
    from sync.connectors.monday.client import MondayClient
    from sync.connectors.monday.items import prepare_changes
    from sync.registry import link_of

    def push(clock: Clock) -> None:
        from django.conf import settings

        link = link_of("contact")
        if link is None:
            raise SystemExit("monday_setup made no link for contacts.")
        client = MondayClient(settings.MONDAY_API_URL, settings.MONDAY_API_KEY)
        for item_id in Contact.objects.order_by("id").values_list("monday_id", flat=True)[:records]:
            write = prepare_changes(link.board_id, [ItemChange("r0", str(item_id), {"role_title": title})], [])
            while True:
                try:
                    client.execute(write.body["text"], write.body["variables"])
                except LimitReached as refused:
                    clock.forward(refused.wait_seconds or 1)
                else:
                    break

    return push


def least_seconds(records: int, limits: dict[str, int], last: float) -> float:
    """What the plan needs at least: full minutes of points and calls before the last one, and that one's work."""
    points = records * WRITE_POINTS / (limits["points"] * KEPT_OF_MINUTE)
    calls = math.ceil(records / 100) / (limits["minute"] * KEPT_OF_MINUTE)
    return max(0, math.ceil(max(points, calls)) - 1) * MINUTE + last


def main() -> int:
    """Measure every plan and print them side by side."""
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--naive", type=int, help="records that the naive push sends (default: as many)")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS))
    chosen = parser.parse_args()
    with ground(SITE_URL=NOWHERE, LOG_LEVEL="ERROR") as place:
        prepare(chosen.records)
        clock = Clock(place)
        print(f"{chosen.records:,} changed contacts on the sandbox, virtual time ({machine()})")
        print(f"{'plan':12}{'':20}{'records':>9}{'calls':>9}{'refused':>9}{'minutes':>10}{'least':>8}{'speed':>8}")
        held = [
            _one(place, clock, plan, chosen.records, min(chosen.naive or chosen.records, chosen.records))
            for plan in chosen.plans
        ]
    good = all(row.held for rows in held for row in rows)
    print(f"gates: no call refused, at least {SPEED:.0%} of the speed: {'held' if good else 'MISSED'}")
    return hand_on([row for rows in held for row in rows])


def _one(place: Ground, clock: Clock, plan: str, records: int, few: int) -> list[Row]:
    limits = start_plan(place, clock, plan)
    ours = measure(place, clock, records, f"Ours, {plan}", engine)
    least = least_seconds(records, limits, ours.last)
    speed = least / ours.seconds
    place.control("plan", used=0)
    clock.to_noon()
    title = f"Theirs, {plan}"
    theirs = measure(place, clock, few, title, naive(few, title))
    _agree(place, title, f"Ours, {plan}", few)
    print(_line(plan, "one call a record", theirs))
    print(f"{_line('', 'NPD Sync', ours)}{least / 60:8.1f}{speed:8.1%}", flush=True)
    return [
        Row(f"{records:,} changes under plan {plan}: refused", "0", f"{ours.refused}", not ours.refused),
        Row("… share of the speed the limits allow", f"≥ {SPEED:.0%}", f"{speed:.1%}", speed >= SPEED),
    ]


def _line(plan: str, name: str, found: Measured) -> str:
    return f"{plan:12}{name:20}{found.records:>9,}{found.calls:>9,}{found.refused:>9,}{found.seconds / 60:>10.1f}"


def _agree(place: Ground, pushed: str, ours: str, records: int) -> None:
    """Put what the naive push wrote into NPD too, so that both sides agree before the next plan; unlimited."""
    from npd.models import Contact
    from sync.models.board_link import ApiBudget
    from sync.operations.worker import drain

    place.control("plan", plan=None)
    ApiBudget.objects.all().delete()
    chosen = list(Contact.objects.order_by("id").values_list("pk", flat=True)[:records])
    Contact.objects.filter(pk__in=chosen, role_title=ours).update(role_title=pushed)
    drain()


if __name__ == "__main__":
    raise SystemExit(main())
