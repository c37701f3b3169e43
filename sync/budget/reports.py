"""What Monday itself says of the account's allowance: its plan, its limit of the day, and what is used of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from sync.budget import store, usage
from sync.budget.usage import forget_old as forget_old_usage
from sync.connectors.monday.budget import Budget
from sync.connectors.monday.plans import Allowance, allowance_of
from sync.connectors.monday.platform import Greeting

__all__ = ["correct", "forget_old_usage"]


def correct(found: Greeting, tier_before: str) -> None:
    """Take over the limits of the plan and the day's usage; `tier_before` is the plan known until now.

    Limits that the headers of answers told stand, for they are this token's own.
    """
    with store.opened() as books:
        budget = replace(books.budget, allowance=_allowance(books.budget.allowance, found, tier_before))
        books.budget = _with_usage(budget, found, books.now)


def _allowance(known: Allowance, found: Greeting, tier_before: str) -> Allowance:
    """The limits now. An account that won't say has those of its plan.

    One that says that its day has none keeps none: if there are others, the next answer's headers tell them.
    """
    if found.unlimited:
        return Allowance()
    plan, before = allowance_of(found.tier or tier_before), allowance_of(tier_before)
    return Allowance(
        day=found.day_limit or _newest(known.day, before.day, plan.day),
        minute=_newest(known.minute, before.minute, plan.minute),
        points=_newest(known.points, before.points, plan.points),
        concurrency=_newest(known.concurrency, before.concurrency, plan.concurrency),
    )


def _newest(known: int | None, published_before: int | None, published: int | None) -> int | None:
    """A limit that is the former plan's published one, and not told by an answer, follows the plan."""
    return published or known if known in (None, published_before) else known


def _with_usage(budget: Budget, found: Greeting, now: datetime) -> Budget:
    """Correct by today's figure; one that was last updated before today says nothing of today."""
    as_of = min(found.usage_as_of or now, now)
    today = now.astimezone(UTC).date()
    if as_of.astimezone(UTC).date() != today or not found.usage_by_day:
        return budget
    used = float(found.usage_by_day.get(today.isoformat(), 0))
    return budget.reported(used, _ours_by(as_of), as_of)


def _ours_by(moment: datetime) -> Decimal:
    """Our calls up to the end of that minute: a call of ours must not be taken for another token's."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return usage.calls_between(midnight, moment)
