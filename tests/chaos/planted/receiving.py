"""Wrong treatment of what Monday reports."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync.clock import SyncNow
from sync.merge import Field, Values
from sync.models import Intent, MondayAccount
from sync.monday.board_events import ItemEvent
from sync.monday.board_items import Item, Reading
from sync.reconcile.facts import PassFacts
from sync.reconcile.pass_plan import RecordPlan
from tests.chaos import drills
from tests.chaos.planted import Wrong, also_at, plant


@plant(
    "payload_trusted",
    "a webhook's value is taken for what stands on the board",
    drills.drill_forged,
    "sync.reconcile.missing.identity:_take_own_item",
)
def _believes_the_payload(right: Wrong, facts: PassFacts, plan: RecordPlan, item: Item | None) -> None:
    for stored in plan.history.unchecked_events:
        event = stored.event
        if item is not None and event is not None and event.column_id and isinstance(event.value, dict):
            item = _as_told(item, event)
    right(facts, plan, item)


def _as_told(item: Item, event: ItemEvent) -> Item:
    value = event.value or {}
    text = str(value.get("name") or value.get("value") or value.get("text") or "")
    if event.column_id == "name":
        return replace(item, name=text or item.name)
    old = item.values.get(event.column_id or "")
    if old is None or old.type not in ("text", "long_text"):
        return item
    new = Reading(old.column_id, old.type, text=text, value={"text": text} if text else None)
    return replace(item, values={**item.values, old.column_id: new})


@plant(
    "no_echo_check",
    "the webhook of our own write is taken for a person's change",
    drills.drill_echo_comes_late,
    "sync.reconcile.field_plan:FieldRule._field_to_merge",
)
def _takes_echoes_for_changes(right: Wrong, rule: Any, *args: Any, **more: Any) -> Field:
    field: Field = right(rule, *args, **more)
    columns = {stored.event.column_id for stored in rule.plan.history.unchecked_events if stored.event}
    if field.base is None or rule.mapping.column_id not in columns:
        return field
    return replace(field, base=Values(field.base.local, "what nobody wrote"))


@also_at("no_echo_check", "sync.fields.field_bases:ComparedField.rests")
def _leaves_nothing_at_rest(right: Wrong, *args: Any) -> None:
    """Let every field get as far as the comparison."""


def _soon_after_a_write(item_id: str | None) -> bool:
    return (
        bool(item_id)
        and Intent.objects.filter(item_id=item_id, created_at__gt=SyncNow() - timedelta(minutes=1)).exists()
    )


@plant(
    "echo_dropped_on_arrival",
    "what Monday tells within a minute of our write of the item is thrown away",
    drills.drill_edited_under_our_hands,
    "sync.records.inbox:_store_delivery",
)
def _throws_away(right: Wrong, raw_body: bytes, body: Any, event: ItemEvent) -> str:
    return "an echo" if _soon_after_a_write(event.item_id) else right(raw_body, body, event)


@also_at("echo_dropped_on_arrival", "sync.operations.sweep:_parse_event")
def _throws_away_rows(right: Wrong, body: Any) -> ItemEvent | None:
    event: ItemEvent | None = right(body)
    user = MondayAccount.objects.values_list("user_id", flat=True).first()
    wrote = event and Intent.objects.filter(item_id=event.item_id or "").exists()
    return None if event and (wrote or event.user_id == user) else event


@plant(
    "sweep_without_cursor",
    "a sweep reads only the last minute, as if the one before it had left nothing to webhooks",
    drills.drill_missed_shortly_before_a_sweep,
    "sync.operations.sweep:begin_of_sweep",
)
def _begins_too_late(right: Wrong, cursor: datetime, now: datetime, *_: datetime) -> datetime:
    return now - timedelta(minutes=1)
