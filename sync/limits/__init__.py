"""Monday's limits, shared by all workers: what may be spent and when, what stops everything, whose token is used.

`grant` is the one permission to work: whether a board may have a pass now and how large a one, or why it waits and
until when; the worker acts on the answer, pages, commands and the API say it. `connector` is the way to call Monday,
and each call is metered behind it. `breaker` and `board_stops` stop and start again, `credentials` holds the secrets,
`quota` says how the day stands. The other modules are the package's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# Django's: that of functools has one lock for all instances before Python 3.12, and queries would wait for each other.
from django.utils.functional import cached_property

from sync import registry
from sync.choices import Priority
from sync.kernel import humanize
from sync.limits import board_stops, breaker, credentials, quota, rate_limits, write_stop
from sync.limits.breaker import monday_account
from sync.limits.metered_client import (
    MeteredClient,
    PassBudget,
    board_call,
    client,
    client_override,
    connector,
    urgent_calls,
)
from sync.limits.quota import Demand, batch_size
from sync.limits.rate_limits import FULL_BATCH, BlockedKind, Budget, Wait
from sync.models import BoardLink, MondayAccount
from sync.outbox.pauses import Pause, active_pause, pause_sentence, pauses_of

__all__ = ["BlockedKind", "Grant", "LimitFacts", "PassBudget", "Wait", "batch_size", "grant"]
__all__ += ["MeteredClient", "board_call", "client", "client_override", "connector", "urgent_calls"]
__all__ += ["board_stops", "breaker", "credentials", "monday_account", "quota", "write_stop"]


@dataclass(frozen=True)
class Grant:
    """A board may be worked, and could be `since` then (None: long since); `next_pass` says how much."""

    link: BoardLink
    since: datetime | None = None
    hold_seconds: float = 0  # for so long nothing is written: writes are stopped, and only reading goes on

    def next_pass(self) -> PassBudget | Wait:
        """Return the next pass, as large as there is room for; without a known limit as large as a document may be."""
        # Read by whoever has the lease, and after the calls that it made: they have taught sizes, and taken room.
        return LimitFacts([self.link.entity_type]).next_pass(self.link.entity_type)


def grant(entity_type: str) -> Grant | Wait:
    """Say whether a board may be worked now; where a probe of the account is due, one worker makes it first."""
    facts = LimitFacts([entity_type])
    permission = facts.answer(entity_type)
    if facts.account.only_writes:
        permission = facts.answer(entity_type, reads=True)
        return replace(permission, hold_seconds=facts.hold_seconds) if isinstance(permission, Grant) else permission
    # What the quota makes wait goes on by itself, and by then the account should have answered.
    is_ready = isinstance(permission, Grant) or permission.kind in (BlockedKind.QUOTA, BlockedKind.BATCHING)
    if is_ready and (untested := facts.untested) is not None:
        return grant(entity_type) if breaker.probe_if_due() else untested
    return permission


@dataclass
class LimitFacts:
    """The facts behind the answers for these types' boards: each is read once, when it is first needed."""

    types: Sequence[str]

    @cached_property
    def links(self) -> Mapping[str, BoardLink]:
        """All boards: how much one may do depends on whether another has waited longer."""
        types = [spec.entity_type for spec in registry.entities()]
        rows = BoardLink.objects.filter(entity_type__in=types).select_related("lease")
        return {row.entity_type: registry.with_configured_board(row) for row in rows}

    @cached_property
    def now(self) -> datetime:
        """The time of all that is told."""
        return self.budget.now

    @cached_property
    def account(self) -> MondayAccount:
        row = MondayAccount.objects.filter(id=1).first()
        texts = dict.fromkeys(("phone_region", "time_zone", "user_id"), "")  # which the database would fill in else
        return row or MondayAccount(id=1, needs_probe=False, only_writes=False, **texts)

    @cached_property
    def missing_token(self) -> str:
        """Why Monday can't be called; empty where there is a token."""
        return credentials.missing_reason()

    @cached_property
    def pauses(self) -> Sequence[Pause]:
        return pauses_of(self.account, self.links.values())

    @cached_property
    def budget(self) -> Budget:
        """How the quota stands."""
        return quota.read_budget()

    @cached_property
    def batching_delay(self) -> float:
        """For how many seconds every board gathers changes before its next pass; 0: none."""
        return rate_limits.window_seconds(self.budget, quota.active_boards()) if self.budget.is_tight else 0.0

    @cached_property
    def _demands(self) -> dict[str, Demand]:
        return quota.demands_of({kind: self._batch_size(link) for kind, link in self.links.items()})

    def _has_longer_waiting(self, link: BoardLink) -> bool:
        """Whether something is due on another board, not stopped, whose last pass was before this one's."""
        if (last := link.last_pass_at) is None:
            return False
        waiting = [other for other in self.links.values() if other.last_pass_at is None or other.last_pass_at < last]
        return any(
            other.has_board
            and self._demands[other.entity_type].rows
            and not ((stop := other.stop_of()) and stop.until > self.now)
            for other in waiting
        )

    def _batch_size(self, link: BoardLink) -> int:
        account_limit = None if self.account.only_writes else self.account.batch_limit
        return min(link.batch_limit or FULL_BATCH, account_limit or FULL_BATCH)

    @property
    def hold_seconds(self) -> float:
        """For how many seconds what would be written waits; it is due at once when writes go on earlier."""
        until = self.account.stopped_until or self.now
        return max(float(write_stop.WAITS[0]), (until - self.now).total_seconds())

    @property
    def untested(self) -> Wait | None:
        """The account's stop that goes on until Monday has answered, also while its next probe is due."""
        if not self.account.needs_probe:
            return None
        return Wait(BlockedKind.ACCOUNT, f"{self.account.stop_reason} It goes on once Monday has answered.".strip())

    def answer(
        self, entity_type: str, *, urgent: bool = False, unblocked: bool = False, reads: bool = False
    ) -> Grant | Wait:
        """Say whether one of these boards may be worked, or, where it only `reads`, be read.

        `urgent`: for something that a person clicked, which beats batching and may use the reserve, but never a pause.
        `unblocked`: for finding out whether what blocks the board itself is over.
        """
        link = self.links.get(entity_type)
        if self.missing_token:
            return Wait(BlockedKind.NOT_CONFIGURED, self.missing_token)
        if link is None or not link.has_board:
            reason = f"There is no board for {entity_type} records yet: choose one under Boards, “Set up…”."
            return Wait(BlockedKind.NO_BOARD, reason)
        if (pause := active_pause(entity_type, self.pauses)) is not None:
            return Wait(BlockedKind.PAUSED, pause_sentence(pause))
        stopped_until = None if reads and self.account.only_writes else self.account.stopped_until
        errors = [(stopped_until, BlockedKind.ACCOUNT, self.account.stop_reason)]
        stop = link.stop_of()
        if stop is not None and not unblocked:
            errors.append((stop.until, BlockedKind.BLOCKED, stop.reason))
        if stops := [(until, kind, reason) for until, kind, reason in errors if until and until > self.now]:
            # A person has to wait for the longer of two stops, or to end it.
            until, kind, reason = max(stops)
            return Wait(kind, f"{reason} Next attempt at {humanize.due_time(until, self.now)}.", until)
        moments = [self.account.stopped_until, stop.until if stop else None]
        if self.budget.is_limited:
            if isinstance(offer := self.next_pass(entity_type, urgent=urgent), Wait):
                return offer
            moments.append(self._quota_since(link))
        since = max((moment for moment in moments if moment is not None), default=None)
        return Grant(link, since)

    def next_pass(self, entity_type: str, *, urgent: bool = False) -> PassBudget | Wait:
        """Return the pass that the quota and pacing let a board have now; `urgent` as in `answer`."""
        link = self.links[entity_type]
        size = self._batch_size(link)
        if not self.budget.is_limited:
            return PassBudget(size)
        demand = self._demands[entity_type]
        is_urgent = urgent or demand.priority == Priority.PERSON
        wanted = min(size, max(1, demand.rows))
        # Without the reserve first, so that a person's click uses the reserve only when nothing else is left.
        room = self._room(link, wanted, urgent=False)
        only_urgent = is_urgent and isinstance(room, Wait)
        if only_urgent:
            room = self._room(link, wanted, urgent=True)
        if isinstance(room, Wait):
            at = humanize.due_time(room.until) if room.until else ""
            return replace(room, reason=f"{room.reason} Sync goes on by itself at {at}.")
        wait = None if is_urgent else self._batching_wait(link, demand)
        return wait or PassBudget(room, urgent=is_urgent, only_urgent=only_urgent)

    def _room(self, link: BoardLink, wanted: int, *, urgent: bool) -> int | Wait:
        """Return for how many records there is room in the board's next pass, or the limit that leaves none."""
        budget = self.budget
        points = budget.points_left(urgent=urgent)
        # A board that has waited longer is left half a minute's points; a person's click goes before it.
        half = (budget.full_points or 0) // 2
        is_half_left = points is None or points - rate_limits.pass_points(wanted) >= half
        if points is not None and not (urgent or is_half_left) and self._has_longer_waiting(link):
            # Nothing is spent yet of this minute: a later one would have no more room, so the pass takes what it needs.
            points = max(points - half, 0 if budget.points else rate_limits.pass_points(1))
        full = min(wanted, rate_limits.fitting_batch_size(budget.full_points))
        offered = min(wanted, rate_limits.fitting_batch_size(points))
        # A document far below a full one waits for the next minute, because it costs the day the same call.
        is_too_small = offered < max(1, math.floor(full * rate_limits.TOO_SMALL_SHARE))
        if offered < full and (offered == 0 or (not urgent and is_too_small)):
            return budget.wait_for_points()
        offered = max(1, offered)
        calls = rate_limits.PASS_CALLS
        return budget.required_wait(calls, rate_limits.pass_points(offered), urgent=urgent) or offered

    def _batching_wait(self, link: BoardLink, demand: Demand) -> Wait | None:
        # A full batch never waits: gathering more changes would save no call.
        full = min(self._batch_size(link), rate_limits.fitting_batch_size(self.budget.full_points))
        if link.last_pass_at is None or not demand.rows or demand.rows >= full or not self.batching_delay:
            return None
        delay = timedelta(seconds=self.batching_delay)
        until = link.last_pass_at + delay
        # Nor does a change wait longer than one window, even if the board had a pass meanwhile.
        if demand.oldest is not None:
            until = min(until, demand.oldest + delay)
        # At midnight UTC the day's calls are new.
        until = min(until, rate_limits.midnight_after(self.now))
        if until <= self.now:
            return None
        every = humanize.interval_text(delay.total_seconds())
        at = humanize.due_time(until)
        reason = (
            f"Changes of this board are sent together every {every}, next at {at}, so that today's API quota lasts; "
            "“Sync now” sends one record at once."
        )
        return Wait(BlockedKind.BATCHING, reason, until)

    def _quota_since(self, link: BoardLink) -> datetime:
        """Since when the quota has let this board be worked, at the earliest.

        A board that was just worked is gone on with, in the portions that a minute allows.
        """
        today = rate_limits.midnight_after(self.now) - timedelta(days=1)
        if link.last_pass_at is None:
            return today
        # While a board gathers changes it is not available, so its rows are not late.
        return max(today, link.last_pass_at + timedelta(seconds=self.batching_delay))
