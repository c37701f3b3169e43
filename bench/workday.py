"""A day of the product's own pacing under a simulated clock: its budget, its queue's due rows, its sweeps' timing.

What decides is the product: `workable` and `budget.take_turn` before each look, the metered client that
spends and corrects, `timing.boards_to_sweep` and `boards_to_compare`, `account.refresh`. What is
played is Monday, whose answers are empty, and a look, which is a read and, where NPD changed, a write.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import connection
from django.db.models import Min

from bench.office import HOUR, RECORDS, Edit
from config.schedule import SCHEDULE
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import sync_now
from sync.connectors.base.errors import BudgetExhausted
from sync.connectors.monday.graphql import Answer
from sync.limits import Wait, breaker, call_cost, client, grant, metered_client
from sync.models import ApiBudget, ApiReservation, ApiUsage, BoardLink, MondayAccount, SyncQueue
from sync.operations import detect
from sync.outbox.queue_rows import enqueue_many
from sync.records import availability
from sync.registry import link_of

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
DAY = 86_400
EVERY = {job.task: int(timedelta(**{job.every[1]: job.every[0]}).total_seconds()) for job in SCHEDULE if job.every}
BEAT = {
    "queue": EVERY["sync.sweep"],
    "sweeps": EVERY["sync.sweep_boards"],
    "comparisons": EVERY["sync.compare_boards"],
    "account": EVERY["sync.refresh_quota"],
}
"""How often Beat calls each, in seconds."""
LISTED = 500
ECHO_SECONDS = 1
CLOCK = """
CREATE OR REPLACE FUNCTION sync_now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT current_setting('bench.now')::timestamptz $$
"""
_TAKE = """
    UPDATE sync_queue SET status = 'completed', finished_at = sync_now() WHERE id IN (
        SELECT id FROM sync_queue WHERE status = 'pending' AND entity_type = %s AND next_retry <= sync_now()
        ORDER BY priority, next_retry, id LIMIT %s)
    RETURNING entity_id
"""


@dataclass(frozen=True)
class Allowance:
    """What a day, a minute and a minute's complexity hold."""

    day: int
    minute: int
    points: int


@dataclass
class Result:
    """A day: seconds that each edit waited, what the calls were for, how often there was no room for one."""

    edits: int
    waits: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)

    @property
    def carried(self) -> int:
        """Edits that were on the other side by midnight."""
        return len(self.waits)

    @property
    def spent(self) -> int:
        """Calls of the day."""
        return sum(self.calls.values())


class Monday:
    """Answers every call with nothing, and remembers what it was for: the document is that word."""

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Count one call."""
        self._calls[document] += 1
        return Answer({}, seconds=0.5)


@contextmanager
def company(allowance: Allowance, calls: Counter[str]) -> Iterator[None]:
    """Two boards in sync, nothing spent, a Monday that counts; the clock stands at midnight."""
    with connection.cursor() as cursor:
        cursor.execute(CLOCK)
    turn_to(0)
    for model in (ApiBudget, ApiReservation, ApiUsage, SyncQueue, BoardLink, MondayAccount):
        model.objects.all().delete()
    breaker.monday_account()
    limits = {"day_limit": allowance.day, "minute_limit": allowance.minute, "points_limit": allowance.points}
    spent = {"minute_calls": 0, "points": 0, "day_calls": 0, "others_calls": 0}
    ApiBudget.objects.create(id=1, concurrency_limit=40, **limits, **spent)
    yesterday = sync_now() - timedelta(hours=1)
    for number, entity_type in enumerate(RECORDS):
        BoardLink.objects.create(
            entity_type=entity_type,
            board_id=str(1_000 + number),
            npd_id_column="npd_id",
            swept_at=yesterday,
            swept_to=yesterday,
            compared_at=yesterday - timedelta(hours=21),
        )
    metered_client._shared_client.cache_clear()
    with (
        patch.object(metered_client, "MondayClient", lambda *parts, **named: Monday(calls)),
        patch.object(breaker, "connector", _Asked),
        patch.object(breaker, "store_account_info", lambda found: None),
    ):
        yield
    metered_client._shared_client.cache_clear()


class _Asked:
    """Asks for the account, so that the call is counted, and takes no answer from it."""

    def __init__(self, *, urgent: bool) -> None:
        self.system: Any = metered_client.connector(urgent=urgent)

    def account_info(self) -> Any:
        return self.system.api.execute("account", {})


def turn_to(second: float) -> None:
    """Set the clock to so many seconds after midnight."""
    moment = (MIDNIGHT + timedelta(seconds=second)).isoformat()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('bench.now', %s, false)", [moment])


class Workday:
    """One day of edits under one allowance."""

    def __init__(self, edits: Sequence[Edit], allowance: Allowance) -> None:
        self.edits, self.allowance = edits, allowance
        self.result = Result(len(edits))
        self.now = 0
        self.waiting: dict[UUID, list[Edit]] = defaultdict(list)
        self._back = dict.fromkeys(RECORDS, -1)
        self._places = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []

    def run(self) -> Result:
        """Play it from midnight to midnight."""
        with company(self.allowance, self.result.calls):
            for moment, edits in itertools.groupby(self.edits, key=lambda edit: edit.at):
                self._at(moment, partial(self._happen, list(edits)))
            self._at(HOUR * detect.NIGHT_HOUR, self._comparisons)
            for name in ("sweeps", "account"):
                self._at(BEAT[name], getattr(self, f"_{name}"))
            while self._due and self._due[0][0] < DAY:
                self.now, _, act = heapq.heappop(self._due)
                turn_to(self.now)
                act()
        return self.result

    def _at(self, second: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (second, next(self._places), act))

    def _happen(self, edits: Sequence[Edit]) -> None:
        for entity_type in RECORDS:
            mine = [edit for edit in edits if edit.entity_type == entity_type]
            for edit in mine:
                self.waiting[edit.record].append(edit)
            self._enqueue(entity_type, {e.record for e in mine if e.in_npd}, in_npd=True)
            self._enqueue(entity_type, {e.record for e in mine if not e.in_npd}, in_npd=False)
            if mine:
                self._work(entity_type)

    def _enqueue(self, entity_type: str, records: set[UUID], *, in_npd: bool) -> None:
        """As the trigger does for a save, and the inbox for a webhook."""
        if records:
            enqueue_many(
                entity_type,
                sorted(records),
                cause=Cause.SAVE if in_npd else Cause.WEBHOOK,
                priority=Priority.EDIT,
                direction=QueueDirection.TO_MONDAY if in_npd else QueueDirection.TO_NPD,
            )

    def _work(self, entity_type: str) -> None:
        """What a worker does that was woken: looks until nothing is due or nothing may be sent; else Beat's next."""
        link = link_of(entity_type)
        assert link is not None
        while not isinstance(found := grant(entity_type), Wait):
            reserved = found.reserve()
            if isinstance(reserved, Wait):
                found = reserved
                break
            with reserved:
                if self._look(link, reserved.size) < reserved.size:
                    return  # what was due is done
        self._come_back(entity_type, found.until)

    def _come_back(self, entity_type: str, until: datetime | None) -> None:
        """Beat's next sweep after what holds the board has ended; one is enough."""
        seconds = (until - MIDNIGHT).total_seconds() - self.now if until else 0.0
        beat = BEAT["queue"] * math.ceil((self.now + max(1.0, seconds)) / BEAT["queue"])
        if not self.now < self._back[entity_type] <= beat:
            self._back[entity_type] = beat
            self._at(beat, lambda: self._work(entity_type))

    def _look(self, link: BoardLink, size: int) -> int:
        """Read what is due, write what NPD changed; return how many rows were due."""
        records = self._take(link, size)
        edits = [edit for record in set(records) for edit in self.waiting.pop(record, ())]
        changed = {edit.record for edit in edits if edit.in_npd}
        if edits:
            with call_cost(link, len(records)):
                client().execute("edits", {})
        if changed:
            with call_cost(link, len(changed), writes=True):
                client().execute("edits", {})
            if availability.overview().batching_delay:
                self._at(self.now + ECHO_SECONDS, partial(self._echo, link.entity_type, changed))
        self.result.waits += [self.now - edit.at for edit in edits]
        return len(records)

    def _take(self, link: BoardLink, size: int) -> list[UUID]:
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [link.entity_type, size])
            return [row[0] for row in cursor.fetchall()]

    def _echo(self, entity_type: str, records: set[UUID]) -> None:
        """Monday's webhooks about our own write; while changes are gathered they wait, and count, beside these.

        Else they end at once and without a call, which changes nothing and isn't played.
        """
        self._enqueue(entity_type, records, in_npd=False)
        link = link_of(entity_type)
        if link is not None and not self.waiting and availability.of(link).is_available:
            self._take(link, len(records))

    def _sweeps(self) -> None:
        for _ in detect.boards_to_sweep():
            self._call("sweeps")
        oldest = BoardLink.objects.aggregate(oldest=Min("swept_at"))["oldest"]
        due = (oldest + detect.sweep_interval() - sync_now()).total_seconds()
        # How long is asked anew each half an hour at least, for it hangs on what was spent meanwhile.
        self._again("sweeps", self._sweeps, min(1_800.0, due))

    def _comparisons(self) -> None:
        for link in detect.boards_to_compare():
            for _ in range(1 + math.ceil(RECORDS[link.entity_type] / LISTED)):
                self._call("comparisons")
        if self.now < HOUR * detect.NIGHT_END_HOUR:
            self._again("comparisons", self._comparisons)

    def _account(self) -> None:
        breaker.refresh_quota()
        self._again("account", self._account)

    def _again(self, name: str, act: Callable[[], None], seconds: float = 0) -> None:
        beat = BEAT[name]
        self._at(beat * math.ceil((self.now + max(1.0, seconds)) / beat), act)

    def _call(self, what: str) -> None:
        try:
            client().execute(what, {})
        except BudgetExhausted:
            self.result.turned_away[what] += 1
