"""What a backfill waits for: its job, the pauses that all workers share, the hour's allowance of imported items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from sync import account, pausing
from sync.choices import QueueDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.errors import JobLimitReached, MondayError, Scope
from sync.connectors.monday.ingest import ITEMS_PER_HOUR
from sync.models import Backfill, BackfillState, BoardLink

POLL_WAITS = (10, 20, 40, 60)
"""Seconds before the first, second … question about a job; later ones come once a minute."""
LONG_WAIT = 600
"""Seconds between questions about a job that takes over an hour: a day of them is some 200 calls."""
PAUSED_WAIT = 60
"""Seconds until it is looked again whether what a person paused was resumed."""
LONG_JOB = timedelta(hours=1)
HOUR = timedelta(hours=1)
WAITABLE = (Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE)


@dataclass(frozen=True)
class Pause:
    """Nothing can be done for so many seconds; the words say why."""

    seconds: float
    words: str


def in_seconds(seconds: float) -> datetime:
    """The moment so many seconds from now."""
    return sync_now() + timedelta(seconds=seconds)


def older_than(backfill: Backfill, age: timedelta) -> bool:
    """Whether its job was started so long ago."""
    return backfill.job_at is not None and backfill.job_at + age < sync_now()


def next_question(backfill: Backfill) -> float:
    """The seconds until Monday is asked about the job once more."""
    if older_than(backfill, LONG_JOB):
        return LONG_WAIT
    return POLL_WAITS[min(backfill.polls + 1, len(POLL_WAITS) - 1)]


def until_look(backfill: Backfill) -> Pause | None:
    """The rest of the time for which it was put off, by whatever process."""
    if backfill.look_at is None or (left := (backfill.look_at - sync_now()).total_seconds()) <= 0:
        return None
    return Pause(left, _progress(backfill))


def _progress(backfill: Backfill) -> str:
    if backfill.state == BackfillState.UPLOADED:
        return f"Monday is importing {backfill.rows:,} rows: {backfill.counts.get('progress', 0)} %."
    if backfill.state == BackfillState.LISTED:
        return "Monday is done; its items are looked for again then."
    if backfill.put_at is None:
        return "The import is begun then."
    return "It isn't known whether Monday has the file; it is asked until that is sure."


def shared_pause(link: BoardLink) -> Pause | None:
    """What holds the account or the board for every worker holds a backfill too, as does a person's pause.

    The account's probe is made here.
    """
    if why := pausing.why_waits(link.entity_type, QueueDirection.TO_MONDAY):
        return Pause(PAUSED_WAIT, why)
    link.refresh_from_db(fields=["blocked_until", "blocked_reason"])
    now = sync_now()
    if link.blocked_until is not None and link.blocked_until > now:
        return Pause((link.blocked_until - now).total_seconds(), link.blocked_reason)
    if account.ready():
        return None
    row = account.account()
    seconds = (row.paused_until - sync_now()).total_seconds() if row.paused_until else 0
    return Pause(max(1.0, seconds), row.pause_reason)


def stopped(link: BoardLink) -> Pause | None:
    """What a person has paused, where a file is about to be sent; `pause` waits for the end of this transaction."""
    found = pausing.paused_for_writers(link.entity_type).get(QueueDirection.TO_MONDAY)
    return Pause(PAUSED_WAIT, pausing.words(found, QueueDirection.TO_MONDAY)) if found else None


def after_failure(error: MondayError) -> Pause:
    """A limit or an outage holds every worker, as one of theirs does; a limit of bulk jobs holds nobody else."""
    if not isinstance(error, JobLimitReached):
        account.pause(error)
    return Pause(error.wait_seconds or POLL_WAITS[0], error.sentence)


def hour_is_full(backfill: Backfill) -> Pause | None:
    """How long the hour's allowance of imported items doesn't hold this backfill's rows; None where it does."""
    recent = Backfill.objects.filter(job_at__gt=SyncNow() - HOUR).exclude(pk=backfill.pk)
    spent = recent.aggregate(rows=Sum("rows"))["rows"] or 0
    oldest = recent.order_by("job_at").values_list("job_at", flat=True).first()
    if oldest is None or spent + backfill.rows <= ITEMS_PER_HOUR:
        return None
    seconds = (oldest + HOUR - sync_now()).total_seconds() + 1
    return Pause(max(1.0, seconds), f"Monday takes {ITEMS_PER_HOUR:,} imported items an hour.")


def hours_of_waiting(jobs: Iterable[int]) -> int:
    """How many hours jobs of so many rows each wait for the hour's allowance, one after another."""
    hours, spent = 0, 0
    for rows in jobs:
        if spent and spent + rows > ITEMS_PER_HOUR:
            hours, spent = hours + 1, 0
        spent += rows
    return hours
