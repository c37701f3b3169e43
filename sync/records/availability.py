"""Whether a board can be worked now, and if not, why, until when, and what waits for it: one board or all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.functional import cached_property

from sync import registry
from sync.attention.sources import VARYING
from sync.choices import Priority, QueueStatus, StopCode
from sync.kernel import humanize
from sync.kernel.db import fetch_rows
from sync.limits import BlockedKind, LimitFacts, Wait
from sync.models import BoardLease, BoardLink, SyncQueue
from sync.outbox.pauses import IS_PAUSED, Pause, active_pause

READY = "ready"
BACKOFF = "backoff"
DEFERRED = "deferred"
LOADED = "loaded"

LONG_WAIT = timedelta(hours=1)
"""Longer than this no board waits for its quota without everybody being told."""

# A UNION, for each part has a partial index of its own. Deferred is also what no worker may touch: a create without an
# answer of which nothing can be found out or done.
_JOBS = f"""
    WITH moment AS MATERIALIZED (SELECT sync_now() AS now),
    untouchable AS (
        SELECT DISTINCT intent.entity_id FROM sync_intents AS intent
        LEFT JOIN sync_board_links AS link ON link.entity_type = intent.entity_type
        WHERE intent.state = 'open' AND intent.item_id = ''
            AND (link.npd_id_problem <> '' OR {IS_PAUSED.format(entity_type="intent.entity_type")})
    ), pending AS (
        SELECT row.entity_type, row.status, row.attempts,
            CASE WHEN row.next_retry > moment.now AND row.attempts > 0 AND row.reason = '' THEN '{BACKOFF}'
                WHEN row.next_retry > moment.now OR untouchable.entity_id IS NOT NULL THEN '{DEFERRED}'
                ELSE '{READY}' END AS phase,
            row.next_retry AS since, (row.entity_id IS NULL)::int AS of_item, row.reason,
            regexp_replace(row.reason, '{VARYING}', '…', 'g') AS alike
        FROM sync_queue AS row CROSS JOIN moment
        LEFT JOIN untouchable ON untouchable.entity_id = row.entity_id
        WHERE row.status = 'pending'
    )
    SELECT entity_type, status, phase, attempts, count(*), min(since), sum(of_item),
        min(reason) FILTER (WHERE phase = '{DEFERRED}')
    FROM pending GROUP BY 1, 2, 3, 4, alike
    UNION ALL
    SELECT entity_type, status, status, 0, count(*), min(last_attempt), 0, ''
    FROM sync_queue WHERE status = 'in_progress' GROUP BY 1, 2
    UNION ALL
    SELECT entity_type, status, status, 0, count(*), NULL::timestamptz, 0, ''
    FROM sync_queue WHERE status = 'failed' GROUP BY 1, 2
"""  # noqa: S608 - made of the constants above

_FINISHED = f"""
    UNION ALL
    SELECT entity_type, status, CASE priority WHEN {Priority.LOAD.value} THEN '{LOADED}' ELSE status END AS phase,
        0, count(*), NULL::timestamptz, 0, ''
    FROM sync_queue
    WHERE status = 'completed' AND finished_at > %(now)s - interval '24 hours' AND finished_at <= %(now)s
    GROUP BY 1, 2, phase
"""  # noqa: S608 - made of the constants above


@dataclass(frozen=True)
class JobCount:
    """Jobs of one board that are alike: their number, and the time of the first of them.

    `phase` is what pending ones wait for: ready (their time has come), backoff, deferred; of completed ones of a load
    of many records it is loaded, of others the status.
    `first` is when the first could be worked, of those in progress when it was claimed;
    `of_items` how many of the pending ones are about items that no record has; `reason` why the deferred wait, of which
    each is of a kind of its own.
    """

    entity_type: str
    status: str
    phase: str
    attempts: int
    number: int
    first: datetime | None
    of_items: int = 0
    reason: str | None = ""


@dataclass(frozen=True)
class BoardAvailability:
    """Whether a board can be worked, and if not, the kind of reason, and the reason as a sentence.

    `until` is when it can be again at the earliest, None where that is when somebody acts; `since` when it could be
    worked first, None: long since. `pause` is a person's, which may be there though it isn't the reason.
    """

    entity_type: str
    link: BoardLink | None
    reason_code: BlockedKind | None = None
    detail: str = ""
    until: datetime | None = None
    since: datetime | None = None
    pause: Pause | None = None

    @property
    def is_available(self) -> bool:
        return self.reason_code is None

    @property
    def is_temporary(self) -> bool:
        """Whether nothing is wrong: it gathers changes to save calls, or waits out a minute."""
        return self.reason_code is BlockedKind.BATCHING

    @property
    def is_paused(self) -> bool:
        """Whether people have paused it."""
        return self.reason_code is BlockedKind.PAUSED

    @property
    def is_set_up(self) -> bool:
        return self.reason_code not in (BlockedKind.NOT_CONFIGURED, BlockedKind.NO_BOARD)

    @property
    def has_board(self) -> bool:
        """Whether its board was set up; the token may have gone since."""
        return self.link is not None and self.link.has_board

    @property
    def is_stopped(self) -> bool:
        """Whether something is wrong with it that was set up, so that nothing of it is synced."""
        return self.has_board and not self.is_paused and bool(self.blocked_reason)

    @property
    def blocked_reason(self) -> str:
        """Why it can't be worked, as a sentence; empty where it can, or will soon by itself."""
        return "" if self.is_temporary else self.detail


def of(
    board: BoardLink | str, *, urgent: bool = False, unblocked: bool = False, reads: bool = False
) -> BoardAvailability:
    """Return how a board stands now; the tables are asked, for a link that was read before may be out of date.

    `urgent`: for something that a person clicked, which beats batching and may use the reserve, but never a pause.
    `unblocked`: for finding out whether what blocks the board itself is over. `reads`: for what only reads, which a
    stop of writes doesn't concern.
    """
    entity_type = board if isinstance(board, str) else board.entity_type
    return Overview([entity_type]).of(entity_type, urgent=urgent, unblocked=unblocked, reads=reads)


def wait_sentence(number: int, entity_types: Iterable[str]) -> str:
    """Return why so many things that a person just asked for are not done now; empty where they are.

    `entity_types` are those of their records.
    """
    boards = Overview(sorted(set(entity_types)))
    details = (boards.of(entity_type, urgent=True).detail for entity_type in boards.types)
    reasons = " ".join(dict.fromkeys(filter(None, details)))
    return f"{humanize.plural(number, 'It waits', 'They wait')}: {reasons}" if reasons else ""


def resume_sentence(entity_type: str = "") -> str:
    """Return what becomes of what waited for a pause that has just ended: of a board or every one."""
    links = BoardLink.objects.filter(entity_type=entity_type) if entity_type else BoardLink.objects.all()
    return wait_sentence(2, links.values_list("entity_type", flat=True)) or "What waited is synced now."


def is_slowed() -> bool:
    """Whether the quota makes any board wait for long."""
    now = overview()
    return any(now.slowed_until(board) for board in now.boards)


def overview(*, finished: bool = False) -> Overview:
    """Read how every board stands now: at most five queries, and two more where the quota is tight.

    `finished`: count the jobs that were completed in the last 24 hours, too.
    """
    return Overview([spec.entity_type for spec in registry.entities()], finished)


@dataclass
class Overview(LimitFacts):
    """How these types' boards stand, and what waits for them."""

    finished: bool = False

    @cached_property
    def boards(self) -> list[BoardAvailability]:
        return [self.of(entity_type) for entity_type in self.types]

    @cached_property
    def shown(self) -> list[BoardAvailability]:
        """The same for people."""
        return [self.shown_as(board) for board in self.boards]

    @cached_property
    def by_type(self) -> Mapping[str, BoardAvailability]:
        """What people are shown of each type's board."""
        return {board.entity_type: board for board in self.shown}

    def shown_as(self, board: BoardAvailability) -> BoardAvailability:
        """Return it for people: a stop goes on until Monday has answered, also while its next probe is due."""
        if not (board.is_available or board.is_temporary) or (stop := self.untested) is None:
            return board
        return replace(board, reason_code=stop.kind, detail=stop.reason, until=None)

    def slowed_until(self, board: BoardAvailability) -> datetime | None:
        """Return until when the quota makes a board wait, where that is long; None where it doesn't."""
        is_long = board.is_temporary and board.until is not None and board.until - self.now > LONG_WAIT
        return board.until if is_long else None

    def of(
        self, entity_type: str, *, urgent: bool = False, unblocked: bool = False, reads: bool = False
    ) -> BoardAvailability:
        """Return how one of these boards stands; the arguments are those of the function of this name."""
        answer = self.answer(entity_type, urgent=urgent, unblocked=unblocked, reads=reads)
        pause = active_pause(entity_type, self.pauses)
        board = BoardAvailability(entity_type, self.links.get(entity_type), pause=pause)
        if isinstance(answer, Wait):
            return replace(board, reason_code=answer.kind, detail=answer.reason, until=answer.until)
        return replace(board, since=answer.since)

    @cached_property
    def all_jobs(self) -> Sequence[JobCount]:
        """The jobs, counted, also of types that are registered no more; one query."""
        sql = _JOBS + _FINISHED if self.finished else _JOBS
        return [JobCount(*row) for row in fetch_rows(sql, {"now": self.now})]

    def jobs(self, entity_type: str, *phases: str) -> list[JobCount]:
        """Return a type's jobs; of these phases, where some are named."""
        mine = [job for job in self.all_jobs if job.entity_type == entity_type]
        return [job for job in mine if not phases or job.phase in phases]

    def due(self, board: BoardAvailability) -> list[JobCount]:
        """Return those that could be worked now: of a board that can."""
        return self.jobs(board.entity_type, READY) if board.is_available else []

    def due_since(self, board: BoardAvailability) -> datetime | None:
        """Return since when the oldest of them could have been worked: not while its board could not."""
        return _not_before(board, first_of(self.due(board)))

    def claimed_since(self, board: BoardAvailability) -> datetime | None:
        """Return when the first of its jobs in progress was claimed."""
        return first_of(self.jobs(board.entity_type, QueueStatus.IN_PROGRESS))

    def first_job_of(self, board: BoardAvailability) -> datetime | None:
        """Return since when the oldest job of the board is due or claimed."""
        return self.due_since(board) or self.claimed_since(board)


@dataclass(frozen=True)
class Stop:
    """What stops boards that nobody paused: why and what to do, and of which boards, as far as one may know of them.

    `code` is that of the account's stop; `since` is None where that isn't known.
    """

    reason: str
    boards: Mapping[str, str]
    kind: BlockedKind
    code: str = ""
    since: datetime | None = None

    @property
    def headline(self) -> str:
        """What is stopped, and why, in one sentence."""
        return stop_headline(self.boards.values(), self.reason)

    @property
    def headline_parts(self) -> tuple[str, str]:
        """The same as the boards, for which a phone has no room, and why."""
        return _headline_parts(self.boards.values(), self.reason)

    @property
    def needs_somebody(self) -> bool:
        """Whether it goes on by somebody's act alone: it doesn't end with Monday's day, or an outage."""
        return self.kind is BlockedKind.BLOCKED or self.code in (StopCode.TOKEN, StopCode.ACCOUNT)

    @property
    def rest(self) -> str:
        """What to do, and what happens by itself."""
        return self.reason.partition(". ")[2]


def stop_headline(titles: Iterable[str], reason: str) -> str:
    """Return what is stopped, and why: the same on every page, in messages and in the doctor's findings."""
    which, cause = _headline_parts(titles, reason)
    return f"Sync{which} is stopped: {cause}"


def of_boards(titles: Iterable[str]) -> str:
    """Return “ of” and these boards; empty where that is every board."""
    named = set(titles)
    is_all = named >= {spec.board_title for spec in registry.entities()}
    return f" of {humanize.join_first(sorted(named))}" if named and not is_all else ""


def _headline_parts(titles: Iterable[str], reason: str) -> tuple[str, str]:
    return of_boards(titles), f"{reason.partition('. ')[0].rstrip('.')}."


def stops_of(now: Overview) -> list[Stop]:
    """Return what stops boards but for people's pauses, those of one reason together."""
    by_reason = dict[tuple[BlockedKind, str], list[BoardAvailability]]()
    for board in now.shown:
        if board.reason_code is not None and board.is_stopped:
            by_reason.setdefault((board.reason_code, board.detail), []).append(board)
    stops = []
    for (kind, reason), boards in by_reason.items():
        titles = {board.entity_type: registry.board_title(board.entity_type) for board in boards}
        code = StopCode.TOKEN.value if kind is BlockedKind.NOT_CONFIGURED else ""
        since = None
        if kind is BlockedKind.ACCOUNT:
            code = now.account.stop_code
            since = now.account.stopped_since
        elif kind is BlockedKind.BLOCKED:
            since = min(
                (board.link.blocked_since for board in boards if board.link and board.link.blocked_since), default=None
            )
        stops.append(Stop(humanize.without_request_id(reason), titles, kind, code, since))
    return stops


def first_of(jobs: Sequence[JobCount]) -> datetime | None:
    return min((job.first for job in jobs if job.first is not None), default=None)


def number_of(jobs: Sequence[JobCount]) -> int:
    return sum(job.number for job in jobs)


def is_leased(link: BoardLink, now: datetime) -> bool:
    """Whether a worker holds the board; one that died does until another takes it, or its lease ends."""
    lease: BoardLease | None = getattr(link, "lease", None)
    return lease is not None and lease.token is not None and lease.expires > now


# What SyncQueueService, commands and probes say of the queue.


NO_WORKER = "no worker has taken the board: check that a worker and beat are running"
WORKER_ENDED = "its worker ended, and none has taken the board since: check that a worker and beat are running"
WORKER_BUSY = "a worker holds the board and is busy with what it claimed {seconds:,.0f} s ago: read its log"
WORKER_IDLE = "a worker holds the board, and has claimed nothing: read its log"


def queue_stats() -> dict[str, Any]:
    """Count jobs by status; `pending` holds those in backoff or deferred too, `due` those that could be worked now."""
    by_type: dict[str, dict[str, int]] = {}
    counted = SyncQueue.objects.order_by().values_list("entity_type", "status").annotate(number=models.Count("*"))
    for entity_type, status, number in counted:
        by_type.setdefault(entity_type, {})[status] = number
    now = overview()
    return {
        **{status: sum(counts.get(status, 0) for counts in by_type.values()) for status in QueueStatus.values},
        "due": sum(number_of(now.due(board)) for board in now.shown),
        "oldest_due_seconds": _oldest_due_seconds(now),
        "by_type": by_type,
    }


def _oldest_due_seconds(now: Overview) -> float:
    since = [moment for board in now.shown if (moment := now.due_since(board)) is not None]
    return max(0.0, (now.now - min(since)).total_seconds()) if since else 0.0


@dataclass(frozen=True)
class Overdue:
    """A board whose due jobs don't move: for how many seconds the oldest waits, and what is known of the reason."""

    entity_type: str
    seconds: float
    reason: str


_DONE = QueueStatus.COMPLETED
_LIVE = [status for status in QueueStatus if status is not _DONE]


def overdue_boards(max_seconds: float, now: Overview | None = None) -> list[Overdue]:
    """Return the boards whose due jobs haven't moved for more than so many seconds, and why; six queries or so.

    A load that takes hours moves all the time, however old its oldest job is. A job whose worker died is due: nobody
    works on it, whatever it says, once the lease of its worker has ended.
    """
    now = now or overview()
    overdue = []
    for board in now.boards:
        if board.link is None:
            continue
        leased = is_leased(board.link, now.now)
        claimed = now.claimed_since(board)
        abandoned = None
        if claimed is not None and not leased and board.is_available:
            lease: BoardLease | None = getattr(board.link, "lease", None)
            abandoned = _not_before(board, max(claimed, lease.expires) if lease else claimed)
        since = min((moment for moment in (now.due_since(board), abandoned) if moment is not None), default=None)
        if since is None or (now.now - since).total_seconds() <= max_seconds:
            continue
        reason = NO_WORKER if abandoned is None else WORKER_ENDED
        if leased:
            reason = WORKER_BUSY.format(seconds=(now.now - claimed).total_seconds()) if claimed else WORKER_IDLE
        overdue.append(Overdue(board.entity_type, (now.now - since).total_seconds(), reason))
    if not overdue:
        return []
    recently = now.now - timedelta(seconds=max_seconds)
    moved = models.Q(status__in=_LIVE, last_attempt__gt=recently) | models.Q(status=_DONE, finished_at__gt=recently)
    moving = set(SyncQueue.objects.filter(moved).order_by().values_list("entity_type", flat=True).distinct())
    return [board for board in overdue if board.entity_type not in moving]


def _not_before(board: BoardAvailability, moment: datetime | None) -> datetime | None:
    return None if moment is None else max(moment, board.since or moment)
