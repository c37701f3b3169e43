"""Monday's limits, shared by all workers: what may be spent and when, what stops everything, whose token is used.

`grant` is the one permission to work: whether a board may have a pass now and how large a one, or why it waits and
until when; the worker acts on the answer, pages, commands and the API say it. `connector` is the way to call Monday,
and each call is metered behind it. `breaker` stops and starts again, `credentials` holds the secrets, `quota` says how
the day stands. The other modules are the package's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

# Django's: that of functools has one lock for all instances before Python 3.12, and queries would wait for each other.
from django.utils.functional import cached_property

from sync import registry
from sync.choices import Priority
from sync.clock import sync_now
from sync.kernel import humanize
from sync.limits import breaker, credentials, quota, rate_limits, write_stop
from sync.limits.breaker import monday_account
from sync.limits.metered_client import (
    MeteredClient,
    Reservation,
    call_cost,
    client,
    client_override,
    connector,
    urgent_calls,
)
from sync.limits.quota import BoardCosts, BudgetState, Demand, board_costs, next_offer
from sync.limits.rate_limits import PASS_CALLS, LimitKind, LimitWait, QuotaBudget, midnight_after
from sync.models import ApiBudget, BoardLink, MondayAccount, QueuePause
from sync.outbox.pauses import active_pause, active_pauses, pause_sentence

__all__ = ["BlockedKind", "Grant", "LimitFacts", "Reservation", "Wait", "board_costs", "grant"]
__all__ += ["MeteredClient", "call_cost", "client", "client_override", "connector", "urgent_calls"]
__all__ += ["breaker", "credentials", "monday_account", "quota", "write_stop"]


class BlockedKind(StrEnum):
    """For what kind of reason a board is not worked; the values are those of a metric's label."""

    NOT_CONFIGURED = "not_configured"
    NO_BOARD = "no_board"
    PAUSED = "paused"
    ACCOUNT = "account"
    BLOCKED = "blocked"
    QUOTA = "allowance"
    BATCHING = "gathering"


@dataclass(frozen=True)
class Wait:
    """Why a board is not worked now, as a sentence; `until` is None where that is when somebody acts."""

    kind: BlockedKind
    reason: str
    until: datetime | None = None


@dataclass(frozen=True)
class Grant:
    """A board may be worked, and could be `since` then (None: long since); `reserve` says how much."""

    link: BoardLink
    since: datetime | None = None
    is_limited: bool = False
    hold_seconds: float = 0  # for so long nothing is written: writes are stopped, and only reading goes on

    def reserve(self) -> Reservation | Wait:
        """Reserve a read and a write of the next pass, as large as there is room for: under its lock, for all workers.

        Without a known limit, and where nothing is due, nothing is reserved.
        """
        # Read by whoever has the lease, and after the calls that it made: they have taught sizes, and taken room.
        costs, entity_type = quota.board_costs(self.link.pk), self.link.entity_type
        unlimited = Reservation(costs.size, costs.read_points, costs.write_points)
        if not self.is_limited:
            return unlimited
        demand = quota.demands_of({entity_type: costs.size})[entity_type]
        if not demand.rows:
            return unlimited
        with quota.lock_budget() as state:
            quota.delete_expired_reservations()
            found = next_offer(state, costs, demand)
            if isinstance(found, LimitWait):
                return _limit_wait(found, demand)
            reserved = state.reserve(entity_type, PASS_CALLS, found.points)
        each = costs.read_points, costs.write_points
        return Reservation(found.size, *each, found.urgent, found.only_urgent, reserved, PASS_CALLS, found.points)


def grant(entity_type: str) -> Grant | Wait:
    """Say whether a board may be worked now; where a probe of the account is due, one worker makes it first."""
    facts = LimitFacts([entity_type])
    found = facts.answer(entity_type)
    if facts.account.only_writes:
        found = facts.answer(entity_type, reads=True)
        return replace(found, hold_seconds=facts.hold_seconds) if isinstance(found, Grant) else found
    # What the quota makes wait goes on by itself, and by then the account should have answered.
    is_ready = isinstance(found, Grant) or found.kind in (BlockedKind.QUOTA, BlockedKind.BATCHING)
    if is_ready and (untested := facts.untested) is not None:
        return grant(entity_type) if breaker.probe_if_due() else untested
    return found


@dataclass
class LimitFacts:
    """What the answers for these types' boards rest on: read once, and where it is asked for."""

    types: Sequence[str]

    @cached_property
    def links(self) -> Mapping[str, BoardLink]:
        rows = BoardLink.objects.filter(entity_type__in=self.types).select_related("lease")
        return {row.entity_type: registry.with_configured_board(row) for row in rows}

    @cached_property
    def now(self) -> datetime:
        """The database's time of all that is told."""
        return self.limited_state.now if self.limited_state else sync_now()

    @cached_property
    def account(self) -> MondayAccount:
        row = MondayAccount.objects.filter(id=1).first()
        return row or MondayAccount(id=1, stopped_until=None, needs_probe=False, only_writes=False, batch_limit=None)

    @cached_property
    def missing_token(self) -> str:
        """Why Monday can't be called; empty where there is a token."""
        return credentials.missing_reason()

    @cached_property
    def pauses(self) -> Sequence[QueuePause]:
        return active_pauses()

    @cached_property
    def budget_state(self) -> BudgetState:
        return quota.read_budget(self._budget_row)

    @property
    def budget(self) -> QuotaBudget:
        return self.budget_state.budget

    @cached_property
    def limited_state(self) -> BudgetState | None:
        """How the quota stands, where Monday has told its limits."""
        return self.budget_state if quota.is_limited(self._budget_row) else None

    @cached_property
    def _budget_row(self) -> ApiBudget:
        return quota.budget_row()

    @cached_property
    def batching_delay(self) -> float:
        """For how many seconds every board gathers changes before its next pass; 0: none."""
        day = self.budget_state.day_usage
        return rate_limits.window_seconds(day, quota.active_boards()) if day is not None and day.is_tight else 0.0

    @cached_property
    def _demands(self) -> dict[str, Demand]:
        limit = self.account.batch_limit
        links = self.links.items()
        return quota.demands_of({kind: quota.board_costs_from(link, limit).size for kind, link in links})

    @cached_property
    def _points_before(self) -> Mapping[int, int]:
        return quota.points_before_all()

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
        if not unblocked:
            errors.append((link.blocked_until, BlockedKind.BLOCKED, link.blocked_reason))
        if stops := [(until, kind, reason) for until, kind, reason in errors if until and until > self.now]:
            # Of two stops the one that lasts longer is what a person has to wait for, or to end.
            until, kind, reason = max(stops)
            return Wait(kind, f"{reason} Next attempt at {humanize.due_time(until, sync_now())}.", until)
        state, moments = self.limited_state, [self.account.stopped_until, link.blocked_until]
        if state is not None:
            if (wait := self._wait_for_quota(state, link, urgent=urgent)) is not None:
                return wait
            moments.append(self._quota_since(state, link))
        since = max((moment for moment in moments if moment is not None), default=None)
        return Grant(link, since, is_limited=state is not None)

    def _wait_for_quota(self, state: BudgetState, link: BoardLink, *, urgent: bool) -> Wait | None:
        costs, demand = quota.board_costs_from(link, self.account.batch_limit), self._demands[link.entity_type]
        if urgent:
            demand = replace(demand, rows=max(1, demand.rows), priority=int(Priority.PERSON))
        found = next_offer(state, costs, demand, lambda: self._points_before)
        if isinstance(found, LimitWait):
            return _limit_wait(found, demand)
        return None if found.urgent else self._batching_wait(state, costs, demand)

    def _batching_wait(self, state: BudgetState, costs: BoardCosts, demand: Demand) -> Wait | None:
        # A full batch never waits: gathering more changes would save no call.
        full = min(costs.size, quota.full_minute_size(state, costs))
        if costs.last_pass is None or not demand.rows or demand.rows >= full or not self.batching_delay:
            return None
        delay = timedelta(seconds=self.batching_delay)
        until = costs.last_pass + delay
        # Nor does a change wait longer than one window, even if the board had a pass meanwhile.
        if demand.oldest is not None:
            until = min(until, demand.oldest + delay)
        # At midnight UTC the day's calls are new.
        until = min(until, midnight_after(state.now))
        if until <= state.now:
            return None
        every, at = humanize.interval_text(delay.total_seconds()), humanize.due_time(until)
        reason = (
            f"Changes of this board are sent together every {every}, next at {at}, so that today's API quota lasts; "
            "“Sync now” sends one record at once."
        )
        return Wait(BlockedKind.BATCHING, reason, until)

    def _quota_since(self, state: BudgetState, link: BoardLink) -> datetime:
        """Since when the quota has let this board be worked, at the earliest.

        A board that was just worked is gone on with, in the portions that a minute allows.
        """
        today = midnight_after(state.now) - timedelta(days=1)
        if link.last_pass_at is None:
            return today
        # While a board gathers changes it is not available, so its rows are not late.
        return max(today, link.last_pass_at + timedelta(seconds=self.batching_delay))


def _limit_wait(found: LimitWait, demand: Demand) -> Wait:
    # A used up day is no temporary wait; a minute's limits are.
    kind = BlockedKind.QUOTA if found.kind is LimitKind.DAY else BlockedKind.BATCHING
    reason = quota.wait_reason(found, urgent=demand.priority == Priority.PERSON)
    at = humanize.due_time(found.until)
    return Wait(kind, f"{reason} Sync goes on by itself at {at}.", found.until)
