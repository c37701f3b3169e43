"""Set aside what a pass has read of an item, but can't take for true yet."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sync.monday.lag import LOOKS
from sync.reconcile.field_values import BoardContext
from sync.reconcile.pass_plan import RecordPlan


def set_aside(
    board: BoardContext,
    plan: RecordPlan,
    reasons: Mapping[str, str],
    *,
    look_in_seconds: float,
    kept_events: Collection[int] = (),
) -> RecordPlan:
    """Return the plan with these fields' cells unknown to all later rules, each with its reason, as a sentence.

    Such a field is not decided, and keeps its base and its open intents; other fields are synced. The record is
    pending with the first reason, and nothing of it is listed on Home. It is read again after `look_in_seconds`;
    `kept_events` stay unchecked until then. Calls add up.
    """
    if plan.item is None or not reasons:
        return plan
    columns = {mapping.column_id: reasons[mapping.key] for mapping in board.mapped if mapping.key in reasons}
    return plan.with_facts(item=plan.item.without(columns)).waiting_for_look(
        look_in_seconds, {**reasons, **plan.set_aside}, kept_events
    )


def seconds_to_look(since: datetime, now: datetime) -> float:
    """Return the seconds until the next of the `LOOKS` after an event or a write; 0 after the last."""
    elapsed = (now - since).total_seconds()
    return next((look - elapsed for look in LOOKS if look > elapsed), 0.0)
