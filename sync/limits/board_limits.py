"""Whether a board may be synced now, by the quota, the stops and people's pauses; shared by all workers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import models

# Django's cached_property, because that of functools has one lock for all instances before Python 3.12, and queries
# would wait for each other.
from django.utils.functional import cached_property

from sync import registry
from sync.choices import Priority, QueueStatus, StopCode
from sync.clock import SyncNow
from sync.fields import lookups
from sync.kernel import humanize
from sync.limits import api_quota, breaker, credentials, probes
from sync.limits.api_quota import Quota, Wait, WaitKind
from sync.models import BoardLink, MondayAccount, SyncQueue
from sync.models.boards_and_account import ALL_CALLS, ALL_WRITES
from sync.outbox.pauses import Pause, active_pause, pause_sentence, pauses_of
from sync.words.message import Message, sentences


@dataclass(frozen=True)
class BoardAvailability:
    """Whether a board can be synced now, and the reason if not."""

    entity_type: str
    link: BoardLink | None
    reason_code: WaitKind | None = None
    detail: str = ""  # the reason as a sentence
    until: datetime | None = None  # when it can be synced at the earliest; None if somebody has to act
    free_since: datetime | None = None  # when its last stop or wait ended: jobs are late from then on; None without one
    pause: Pause | None = None  # a person's, also if it isn't the reason
    writes_wait_seconds: float = 0  # if writes are stopped and only reads go on: until writes are tried again

    @property
    def is_available(self) -> bool:
        return self.reason_code is None

    @property
    def are_writes_stopped(self) -> bool:
        return self.writes_wait_seconds > 0

    @property
    def is_paused(self) -> bool:
        return self.reason_code is WaitKind.PAUSED

    @property
    def is_set_up(self) -> bool:
        return self.reason_code not in (WaitKind.NOT_CONFIGURED, WaitKind.NO_BOARD)

    @property
    def is_chosen(self) -> bool:
        """Whether a Monday board was chosen for it, also if there is no token any more."""
        return self.link is not None and self.link.has_board

    @property
    def waits_for_quota(self) -> bool:
        """Whether it goes on by itself once there is quota; a person's click goes through meanwhile."""
        return self.reason_code in (WaitKind.QUOTA, WaitKind.BATCHING)

    @property
    def blocked_reason(self) -> str:
        """Why it can't be synced; empty if it can, or soon will by itself."""
        return "" if self.reason_code is WaitKind.BATCHING else self.detail

    def not_before(self, moment: datetime | None) -> datetime | None:
        """Return the moment, or the end of its last stop or wait if that was later."""
        return None if moment is None else max(moment, self.free_since or moment)


@dataclass(frozen=True)
class PassGrant:
    """The permission for a board's next pass."""

    size: int  # its records, at most
    urgent: bool = False  # a person clicked one of them, so the calls may use the reserve
    only_urgent: bool = False  # there is room for no others


def probed_availability(entity_type: str) -> BoardAvailability:
    """Return whether a board may be synced now; if a probe of the account is due, one worker makes it first."""
    facts = LimitFacts()
    writes = facts.account.stop_of(ALL_WRITES)
    # While writes are stopped, the board may be read.
    board = facts.availability(entity_type, reads=writes is not None)
    displayed = facts.for_display(board)
    if displayed is not board:
        # The probe's answer changes the facts, so they are read anew.
        return probed_availability(entity_type) if probes.probe_if_due() else displayed
    if writes is None:
        return board
    # Until writes are tried again; one that succeeds earlier makes the jobs due.
    seconds = max(breaker.seconds_until_attempt(breaker.WRITES), (writes.until - facts.now).total_seconds())
    return replace(board, writes_wait_seconds=seconds)


def _due_jobs(entity_types: Sequence[str]) -> models.QuerySet[SyncQueue]:
    jobs = SyncQueue.objects.filter(status=QueueStatus.PENDING, next_retry__lte=SyncNow())
    return jobs.filter(entity_type__in=entity_types)


class LimitFacts:
    """The facts that decide whether boards may be synced; each is read once, when first needed."""

    @cached_property
    def links(self) -> Mapping[str, BoardLink]:
        types = [spec.entity_type for spec in registry.entities()]
        rows = BoardLink.objects.filter(entity_type__in=types).select_related("lease")
        return {row.entity_type: lookups.with_configured_board(row) for row in rows}

    @cached_property
    def now(self) -> datetime:
        return self.quota.now

    @cached_property
    def account(self) -> MondayAccount:
        return MondayAccount.objects.filter(id=1).first() or MondayAccount(id=1)

    @cached_property
    def no_token_reason(self) -> str:
        """Why Monday can't be called; empty if there is a token."""
        return credentials.no_token_reason()

    @cached_property
    def pauses(self) -> Sequence[Pause]:
        return pauses_of(self.account, self.links.values())

    @cached_property
    def quota(self) -> Quota:
        return api_quota.read_quota()

    @cached_property
    def batching_delay(self) -> float:
        """The seconds between two passes of a board while changes are batched; 0 if they aren't."""
        if not self.quota.is_tight:
            return 0.0
        # Of a whole day, because on a small quota a board may wait for more than an hour.
        active = BoardLink.objects.filter(last_pass_at__gt=SyncNow() - timedelta(days=1)).count()
        return api_quota.seconds_between_passes(self.quota, active)

    def for_display(self, board: BoardAvailability) -> BoardAvailability:
        """Return the board as pages show it: still stopped while a probe is due, until Monday has answered."""
        # A wait for the quota ends by itself, so the account is probed during it.
        stop = self.account.stop_of()
        if not (stop and stop.needs_probe and (board.is_available or board.waits_for_quota)):
            return board
        reason = sentences(stop.reason, Message("goes_on_once_answered"))
        return replace(board, reason_code=WaitKind.ACCOUNT, detail=reason, until=None)

    def availability(self, entity_type: str, *, urgent: bool = False, reads: bool = False) -> BoardAvailability:
        """Return whether a board may be synced; with `reads`, whether it may be read while writes are stopped.

        With `urgent`, a person clicked something: it needn't wait for batching and may use the reserve, but a pause
        stops it too.
        """
        link = self.links.get(entity_type)
        pause = active_pause(entity_type, self.pauses)
        board = BoardAvailability(entity_type, link, pause=pause)
        if self.no_token_reason:
            return replace(board, reason_code=WaitKind.NOT_CONFIGURED, detail=self.no_token_reason)
        if link is None or not link.has_board:
            return replace(board, reason_code=WaitKind.NO_BOARD, detail=lookups.no_board_reason(entity_type))
        if pause is not None:
            return replace(board, reason_code=WaitKind.PAUSED, detail=pause_sentence(pause))
        calls = breaker.READS if reads else ALL_CALLS
        if stop := breaker.stop_of_call(link, calls, account=self.account, now=self.now):
            kind = WaitKind.BOARD if stop.code == StopCode.BOARD else WaitKind.ACCOUNT
            detail = sentences(stop.reason, Message("next_attempt_at", at=humanize.due_time(stop.until, self.now)))
            return replace(board, reason_code=kind, detail=detail, until=stop.until)
        past_stops = [stop.until for stop in (self.account.stop, link.stop_of()) if stop is not None]
        ends_of_waits = [*past_stops, self.account.free_since]
        if self.quota.is_limited:
            if isinstance(wait := self.grant_pass(entity_type, urgent=urgent), Wait):
                return replace(board, reason_code=wait.kind, detail=wait.reason, until=wait.until)
            # The day's quota began then.
            ends_of_waits.append(api_quota.midnight_after(self.now) - timedelta(days=1))
            # A board that batches changes isn't available meanwhile, so its jobs aren't late.
            ends_of_waits.append(self._end_of_batching(link))
        return replace(board, free_since=max((end for end in ends_of_waits if end is not None), default=None))

    def grant_pass(self, entity_type: str, *, urgent: bool = False) -> PassGrant | Wait:
        """Return the size that the quota and batching allow for a board's pass now; `urgent` as in `availability`.

        Without a known limit, the size is the board's batch size.
        """
        link = self.links[entity_type]
        if not self.quota.is_limited:
            return PassGrant(link.batch_limit)
        # Of a full batch only, because more make no difference.
        due = (
            _due_jobs([entity_type])
            .order_by("priority", "next_retry")[: link.batch_limit]
            .aggregate(number=models.Count("pk"), priority=models.Min("priority"), oldest=models.Min("next_retry"))
        )
        is_urgent = urgent or due["priority"] == Priority.PERSON
        wanted = min(link.batch_limit, max(1, due["number"]))
        # A person's click uses the reserve only when nothing else is left.
        room = self._room(link, wanted, urgent=False)
        only_urgent = is_urgent and isinstance(room, Wait)
        if only_urgent:
            room = self._room(link, wanted, urgent=True)
        if isinstance(room, Wait):
            goes_on = Message("goes_on_at", at=humanize.due_time(room.until))
            return replace(room, reason=sentences(room.reason, goes_on))
        wait = None if is_urgent else self._batching_wait(link, due["number"], due["oldest"])
        return wait or PassGrant(room, urgent=is_urgent, only_urgent=only_urgent)

    def _room(self, link: BoardLink, wanted: int, *, urgent: bool) -> int | Wait:
        """Return how many of the wanted records the board's next pass may have, or the limit that allows none."""
        quota = self.quota
        points = quota.points_left(urgent=urgent)
        if points is not None and not urgent and self._has_longer_waiting(link):
            # A busy board leaves half a minute's points to a board that has waited longer. In a minute of which nothing
            # is spent, one record always has room: waiting would not make more.
            points = max(points - (quota.minute_points or 0) // 2, 0 if quota.points else api_quota.pass_points(1))
        wanted_in_a_minute = min(wanted, api_quota.fitting_batch_size(quota.minute_points))
        fits_now = min(wanted, api_quota.fitting_batch_size(points))
        # A document far below a full one waits for the next minute, because it costs the day the same call.
        smallest = 1 if urgent else max(1, math.floor(wanted_in_a_minute * api_quota.TOO_SMALL_SHARE))
        # On a plan whose minute is too small for one record, one is tried anyway.
        if wanted_in_a_minute and fits_now < smallest:
            return quota.wait_for_points()
        size = max(1, fits_now)
        return quota.required_wait(api_quota.PASS_CALLS, api_quota.pass_points(size), urgent=urgent) or size

    def _has_longer_waiting(self, link: BoardLink) -> bool:
        """Whether jobs are due on another board that may be synced and had its last pass before this board's."""
        if (last := link.last_pass_at) is None:
            return False
        boards = []
        for other in self.links.values():
            has_waited_longer = other.last_pass_at is None or other.last_pass_at < last
            is_held = breaker.stop_of_call(other, now=self.now) or active_pause(other.entity_type, self.pauses)
            if has_waited_longer and other.has_board and not is_held:
                boards.append(other.entity_type)
        return bool(boards) and _due_jobs(boards).exists()

    def _end_of_batching(self, link: BoardLink) -> datetime | None:
        """Return until when this board batches changes: for the delay after its last pass; None before its first."""
        return link.last_pass_at + timedelta(seconds=self.batching_delay) if link.last_pass_at else None

    def _batching_wait(self, link: BoardLink, number_due: int, oldest: datetime | None) -> Wait | None:
        """Return how long the board's due jobs wait to be sent together, the first due since `oldest`; or None."""
        # A full batch doesn't wait, because waiting for more changes would save no call.
        most_in_a_minute = api_quota.fitting_batch_size(self.quota.minute_points)
        full = min(link.batch_limit, most_in_a_minute)
        if oldest is None or number_due >= full:
            return None
        until = self._end_of_batching(link)
        if until is None or not self.batching_delay:
            return None
        delay = timedelta(seconds=self.batching_delay)
        # A change waits for one window at most, also if the board had a pass meanwhile. The quota is new at midnight.
        until = min(until, oldest + delay, api_quota.midnight_after(self.now))
        if until <= self.now:
            return None
        every = humanize.interval_text(delay.total_seconds())
        at = humanize.due_time(until)
        reason = Message("sent_together", every=every, at=at)
        return Wait(WaitKind.BATCHING, reason, until)
