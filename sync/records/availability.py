"""Whether a board can be worked now, and if not, why, until when, and what waits for it: one board or all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.functional import cached_property

from sync import registry
from sync.choices import QueueStatus, StopCode, SyncDirection
from sync.kernel import humanize
from sync.kernel.db import fetch_rows
from sync.limits import BlockedKind, LimitFacts, Wait
from sync.models import BoardLease, BoardLink, FieldMapping, SyncQueue
from sync.outbox.pauses import IS_PAUSED, Pause, active_pause

# Longer than this no board waits for its quota without everybody being told.
LONG_WAIT = timedelta(hours=1)

# A UNION, for each part has a partial index of its own. What no worker may touch isn't due: a create without an answer
# of which nothing can be found out or done.
_JOBS = f"""
    WITH untouchable AS (
        SELECT DISTINCT intent.entity_id FROM sync_intents AS intent
        LEFT JOIN sync_board_links AS link ON link.entity_type = intent.entity_type
        WHERE intent.state = 'open' AND intent.item_id = ''
            AND (link.npd_id_problem <> '' OR {IS_PAUSED.format(entity_type="intent.entity_type")})
    )
    SELECT row.entity_type, row.status, row.next_retry <= %(now)s AND untouchable.entity_id IS NULL,
        count(*), min(row.next_retry)
    FROM sync_queue AS row LEFT JOIN untouchable ON untouchable.entity_id = row.entity_id
    WHERE row.status = 'pending' GROUP BY 1, 2, 3
    UNION ALL
    SELECT entity_type, status, false, count(*), min(last_attempt)
    FROM sync_queue WHERE status = 'in_progress' GROUP BY 1, 2
    UNION ALL
    SELECT entity_type, status, false, count(*), NULL::timestamptz
    FROM sync_queue WHERE status = 'failed' GROUP BY 1, 2
"""  # noqa: S608 - made of the constant above


@dataclass(frozen=True)
class JobCount:
    """The jobs of one board that are alike."""

    entity_type: str
    status: str
    is_due: bool  # pending, and their time has come
    number: int
    first: datetime | None  # when the first could be worked; of those in progress when it was claimed


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


def overview() -> Overview:
    """Read how every board stands now: at most five queries, and two more where the quota is tight."""
    return Overview([spec.entity_type for spec in registry.entities()])


@dataclass
class Overview(LimitFacts):
    """How these types' boards stand, and what waits for them."""

    @cached_property
    def boards(self) -> list[BoardAvailability]:
        return [self.of(entity_type) for entity_type in self.types]

    @cached_property
    def shown(self) -> list[BoardAvailability]:
        """The same for people."""
        return [self.shown_as(board) for board in self.boards]

    @cached_property
    def blocked_columns(self) -> Mapping[str, Sequence[FieldMapping]]:
        """The fields of each type whose columns can't be used; one query for all types."""
        mappings = FieldMapping.objects.exclude(problem="").exclude(direction=SyncDirection.NONE)
        blocked: dict[str, list[FieldMapping]] = {}
        for mapping in mappings.select_related("link").order_by("position"):
            blocked.setdefault(mapping.link.entity_type, []).append(mapping)
        return blocked

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
    def _all_jobs(self) -> Sequence[JobCount]:
        return [JobCount(*row) for row in fetch_rows(_JOBS, {"now": self.now})]

    def jobs(self, entity_type: str) -> list[JobCount]:
        """Return a type's jobs but the finished ones, counted; one query for all types."""
        return [job for job in self._all_jobs if job.entity_type == entity_type]

    def number_due(self, board: BoardAvailability) -> int:
        """Return how many of its jobs could be worked now: none of a board that can't."""
        return sum(job.number for job in self.jobs(board.entity_type) if job.is_due and board.is_available)

    def due_since(self, board: BoardAvailability) -> datetime | None:
        """Return since when the oldest of them could have been worked: not while its board could not."""
        due = [job.first for job in self.jobs(board.entity_type) if job.is_due and board.is_available]
        return _not_before(board, min(filter(None, due), default=None))

    def claimed_since(self, board: BoardAvailability) -> datetime | None:
        """Return when the first of its jobs in progress was claimed."""
        claimed = [job.first for job in self.jobs(board.entity_type) if job.status == QueueStatus.IN_PROGRESS]
        return min(filter(None, claimed), default=None)

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
            since = min((stop.since for board in boards if board.link and (stop := board.link.stop_of())), default=None)
        stops.append(Stop(humanize.without_request_id(reason), titles, kind, code, since))
    return stops


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
    due_since = [moment for board in now.shown if (moment := now.due_since(board)) is not None]
    return {
        **{status: sum(counts.get(status, 0) for counts in by_type.values()) for status in QueueStatus.values},
        "due": sum(map(now.number_due, now.shown)),
        "oldest_due_seconds": max(0.0, (now.now - min(due_since, default=now.now)).total_seconds()),
        "by_type": by_type,
    }


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
