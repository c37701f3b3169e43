"""Whether boards can be synced now, and if not, why and until when; and how many jobs wait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.urls import reverse
from django.utils.functional import cached_property

from sync import attention, registry
from sync.attention import Entry, Kind, Wording
from sync.choices import QueueDirection, QueueStatus, StopCode
from sync.clock import SyncNow
from sync.kernel import grouped, humanize
from sync.kernel.db import fetch_rows
from sync.limits import credentials
from sync.limits.board_limits import BoardAvailability, LimitFacts
from sync.models import BoardLink, Intent, IntentState, SyncQueue
from sync.models.boards_and_account import ALL_WRITES
from sync.outbox.pauses import IS_PAUSED
from sync.words.message import Message, sentences

# A board that waits longer for its quota is reported to people.
LONG_WAIT = timedelta(hours=1)

# Of so many jobs that wait for another attempt, the first to be tried is looked for.
MAX_RETRIES_COMPARED = 100

# A UNION, because each part has its own partial index. A record with an unanswered create isn't due while its
# item can't be searched for: the board is paused, or has no NPD ID column.
_JOBS = f"""
    WITH unsearchable AS (
        SELECT DISTINCT intent.entity_id FROM sync_intents AS intent
        LEFT JOIN sync_board_links AS link ON link.entity_type = intent.entity_type
        WHERE intent.state = 'open' AND intent.item_id = ''
            AND (link.npd_id_problem <> '' OR {IS_PAUSED.format(entity_type="intent.entity_type")})
    )
    SELECT job.entity_type, job.status, job.next_retry <= %(now)s AND unsearchable.entity_id IS NULL,
        count(*), min(job.next_retry)
    FROM sync_queue AS job LEFT JOIN unsearchable ON unsearchable.entity_id = job.entity_id
    WHERE job.status = 'pending' GROUP BY 1, 2, 3
    UNION ALL
    SELECT entity_type, status, false, count(*), min(last_attempt)
    FROM sync_queue WHERE status = 'in_progress' GROUP BY 1, 2
    UNION ALL
    SELECT entity_type, status, false, count(*), NULL::timestamptz
    FROM sync_queue WHERE status = 'failed' GROUP BY 1, 2
"""  # noqa: S608 - made of the constant above


@dataclass(frozen=True)
class JobCount:
    """The number of similar jobs of one board."""

    entity_type: str
    status: str
    is_due: bool
    number: int
    first: datetime | None  # when the first became due or, if in progress, was claimed


def of(entity_type: str, *, urgent: bool = False, reads: bool = False) -> BoardAvailability:
    """Return the availability of a board, as `LimitFacts.availability`, by what the tables say now."""
    return LimitFacts().availability(entity_type, urgent=urgent, reads=reads)


def displayed(entity_type: str) -> BoardAvailability:
    """Return a board as a person who clicked something sees it: stopped, too, while a probe is due."""
    facts = LimitFacts()
    return facts.for_display(facts.availability(entity_type, urgent=True))


def readable_boards() -> Iterator[BoardLink]:
    """Yield the boards that can be read: set up, not paused, with quota left. A stop of writes doesn't matter."""
    for spec in registry.entities():
        board = of(spec.entity_type, reads=True)
        if board.link is not None and not board.blocked_reason:
            yield board.link


def wait_sentence(number: int, entity_types: Iterable[str]) -> str:
    """Return why a person's requests about records of these types wait, or an empty text if they don't."""
    details = (displayed(entity_type).detail for entity_type in sorted(set(entity_types)))
    reasons = " ".join(dict.fromkeys(filter(None, details)))
    return Message("it_waits" if number == 1 else "they_wait", why=reasons) if reasons else ""


def resume_sentence(entity_type: str = "") -> str:
    """Return what happens to waiting jobs after a pause ended, on one board or all."""
    links = BoardLink.objects.filter(entity_type=entity_type) if entity_type else BoardLink.objects.all()
    # 2, for the plural “They”.
    return wait_sentence(2, links.values_list("entity_type", flat=True)) or Message("what_waited_goes")


def is_slowed() -> bool:
    """Whether any board waits long for the quota."""
    overview = Overview()
    return any(overview.slowed_until(board) for board in overview.boards)


def unanswered_sentence() -> str:
    """Return how many records wait for the outcome of calls without an answer, and until when; empty for none."""
    overview = Overview()
    if not overview.unanswered_until:
        return ""
    number = len(overview.unanswered_until)
    at = humanize.due_time(max(overview.unanswered_until.values()), overview.now)
    return Message("waits_for_outcome" if number == 1 else "wait_for_outcome", number=number, at=at)


def stop_entries() -> list[Entry]:
    """Return what stops boards that are set up, other than pauses, with the next attempt.

    Stops are rows of attention. Only a missing token has no row, because it may be in the environment.
    """
    boards = BoardLink.objects.exclude(board_id="")
    if no_token := credentials.no_token_reason():
        token = Entry(
            kind=Kind.STOP,
            key=f"{Kind.STOP}:token",
            entity_type="",
            name="All boards",
            board="",
            since=None,
            title=humanize.first_sentence(no_token),
            url=reverse("admin:index"),
            code=StopCode.TOKEN,
            detail=no_token,
        )
        return [token] if boards.exists() else []
    waiting = attention.waiting(kinds=[Kind.STOP]).filter(models.Exists(boards))
    rows = list(waiting.annotate(now=SyncNow()).order_by(*attention.IN_ORDER))
    entries = []
    for row, entry in zip(rows, attention.as_entries(rows, Wording({})), strict=True):
        next_attempt = datetime.fromisoformat(row.values["next"]) if row.values["next"] else row.now
        at = humanize.due_time(next_attempt, row.now)
        attempt = (
            Message("next_attempt_at", at=at) if next_attempt > row.now else _outcome_sentence(row.entity_type, row.now)
        )
        entries.append(replace(entry, detail=sentences(entry.detail, attempt)))
    return entries


def _outcome_sentence(entity_type: str, now: datetime) -> str:
    """Return when the outcome of the first unanswered call is looked for: its record isn't tried before."""
    calls = Intent.objects.filter(state=IntentState.OPEN, deadline__gt=now)
    if entity_type:
        calls = calls.filter(entity_type=entity_type)
    until = calls.aggregate(models.Min("deadline"))["deadline__min"]
    return Message("outcome_searched_at", at=humanize.due_time(until, now)) if until else ""


def stop_headline(boards: Iterable[str], cause: str) -> str:
    """Return what is stopped and why, as pages, messages and `monday_check` show it; no boards are all of them."""
    return Message("sync_is_stopped", boards=humanize.join_first(sorted(filter(None, set(boards)))), cause=cause)


class Overview(LimitFacts):
    """The availability of all boards, and their jobs: four queries, and up to two for each board with known limits."""

    @cached_property
    def boards(self) -> list[BoardAvailability]:
        return [self.availability(spec.entity_type) for spec in registry.entities()]

    @cached_property
    def displayed_boards(self) -> list[BoardAvailability]:
        """The boards, still shown as stopped while a probe is due (`for_display`)."""
        return [self.for_display(board) for board in self.boards]

    @cached_property
    def displayed_by_type(self) -> Mapping[str, BoardAvailability]:
        return {board.entity_type: board for board in self.displayed_boards}

    def slowed_until(self, board: BoardAvailability) -> datetime | None:
        """Return until when a board waits for the quota, if that is long, or None."""
        is_long = board.waits_for_quota and board.until is not None and board.until - self.now > LONG_WAIT
        return board.until if is_long else None

    @cached_property
    def unanswered_until(self) -> Mapping[UUID | None, datetime]:
        """Until when records wait because a call about them had no answer and may still take effect, by id."""
        calls = Intent.objects.filter(state=IntentState.OPEN, deadline__gt=self.now)
        return dict(calls.order_by("deadline").values_list("entity_id", "deadline"))

    def next_attempt(self, job: SyncQueue) -> datetime | None:
        """Return when a pending job is tried next, as `sync.outbox.claim` claims it; None in a pause."""
        board = self.displayed_by_type.get(job.entity_type)
        if job.status != QueueStatus.PENDING or (board is not None and board.pause is not None):
            return None
        moments = [job.next_retry, board.until if board else None, self.unanswered_until.get(job.entity_id)]
        return max(moment for moment in moments if moment is not None)

    def reason_of(self, job: SyncQueue) -> str:
        """Return why a job waits or has failed, apart from what stops its board; empty if it is only due."""
        board = self.displayed_by_type.get(job.entity_type)
        until = self.unanswered_until.get(job.entity_id)
        if job.status == QueueStatus.PENDING and until is not None and board is not None and board.is_available:
            return Message("outcome_searched_at", at=humanize.due_time(until, self.now))
        reason: str = job.error_message or job.reason
        return reason

    def next_attempt_words(self, job: SyncQueue, not_before: datetime | None = None) -> str:
        """Return when that is, in words; with `not_before`, its item's removal is only acted on then."""
        if job.status != QueueStatus.PENDING:
            return ""
        moment = self.next_attempt(job)
        if moment is None:
            return "once the pause ends"
        moment = max(moment, not_before or moment)
        if moment > self.now:
            return humanize.relative_time(moment, self.now)
        is_available = self.displayed_by_type[job.entity_type].is_available
        # While writes are stopped, one of them is tried first, and the others go once Monday has stored it.
        waits_for_probe = self.account.stop_of(ALL_WRITES) and job.direction == QueueDirection.TO_MONDAY
        is_next = is_available and not waits_for_probe
        return "as soon as a worker is free" if is_next else "as soon as its board can be synced"

    @cached_property
    def retries(self) -> str:
        """How many jobs wait for another attempt after a failure, and when the next is made; empty for none."""
        has_failed = models.Q(error_message__gt="") | models.Q(waits_for_writes=True)
        # A call that a worker is making has no answer either.
        in_progress = SyncQueue.objects.filter(status=QueueStatus.IN_PROGRESS, entity_id=models.OuterRef("entity_id"))
        has_failed |= models.Q(~models.Exists(in_progress), entity_id__in=list(self.unanswered_until))
        jobs = SyncQueue.objects.filter(has_failed, status=QueueStatus.PENDING).order_by("next_retry")
        first = list(jobs[:MAX_RETRIES_COMPARED])
        if not first:
            return ""
        number = jobs.count() if len(first) == MAX_RETRIES_COMPARED else len(first)
        next_job = min(first, key=lambda job: self.next_attempt(job) or job.next_retry)
        at = self.next_attempt_words(next_job)
        return Message("change_tried_again" if number == 1 else "changes_tried_again", number=number, at=at)

    @cached_property
    def jobs(self) -> Mapping[str, Sequence[JobCount]]:
        """The counts of unfinished jobs, by type."""
        counts = [JobCount(*row) for row in fetch_rows(_JOBS, {"now": self.now})]
        return defaultdict(list, grouped(counts, lambda job: job.entity_type))

    def number_due(self, board: BoardAvailability) -> int:
        """Return how many of its jobs can be synced now."""
        return sum(job.number for job in self.jobs[board.entity_type] if job.is_due and board.is_available)

    def due_since(self, board: BoardAvailability) -> datetime | None:
        """Return since when its oldest due job can be synced, not counting when the board was unavailable."""
        due = [job.first for job in self.jobs[board.entity_type] if job.is_due and board.is_available]
        return board.not_before(min(filter(None, due), default=None))

    def claimed_since(self, board: BoardAvailability) -> datetime | None:
        """Return when its first job in progress was claimed."""
        claimed = [job.first for job in self.jobs[board.entity_type] if job.status == QueueStatus.IN_PROGRESS]
        return min(filter(None, claimed), default=None)


def queue_stats() -> dict[str, Any]:
    """Count jobs by status; `pending` includes deferred ones, `due` those that can be synced now."""
    by_type: dict[str, dict[str, int]] = {}
    counted = SyncQueue.objects.order_by().values_list("entity_type", "status").annotate(number=models.Count("*"))
    for entity_type, status, number in counted:
        by_type.setdefault(entity_type, {})[status] = number
    overview = Overview()
    boards = overview.displayed_boards
    now = overview.now
    oldest_due = min(filter(None, map(overview.due_since, boards)), default=now)
    return {
        **{status: sum(counts.get(status, 0) for counts in by_type.values()) for status in QueueStatus.values},
        "due": sum(map(overview.number_due, boards)),
        "oldest_due_seconds": max(0.0, (now - oldest_due).total_seconds()),
        "by_type": by_type,
    }
