"""What becomes of a record's fields in NPD once its pass is done: by their plans, the record as it is locked, and what
Monday's answer shows. Pure.

Decides of MERGE.md, “After a write”: a pulled field is written only where it still holds what the merge saw; what the
answer shows becomes the base; a value of which Monday made another, or that it doesn't show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import AmbiguousSplit, UnknownValue
from sync.kernel.conflict_store import KIND_UNDO
from sync.merge import Action
from sync.models import SyncedModel
from sync.reconcile.facts import HistoryLine
from sync.reconcile.field_plan import AS_SENT, FieldPlan, new_base
from sync.reconcile.field_values import still_holds, update_values
from sync.reconcile.pass_plan import RecordPlan

_NOT_SHOWN = object()


@dataclass(frozen=True)
class FieldSettlement:
    """What becomes of one field: computed first, from its plan and the record as it is locked, and then written.

    `values` are written to the record. `base` is the new pair (None leaves it, an empty one takes it away); `altered`
    why Monday keeps another value than was sent (None leaves what was said, an empty text ends it). `moved` is its line
    in the history: kind, how, before, after. `result` is the value that a person's decision led to. `overtaken`: the
    record was saved meanwhile, so a job of its own goes on. `recheck` is why both sides are soon read again;
    `keeps_intent`: the intent stays open until then.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] | None = None
    altered: str | None = None
    moved: tuple[str, str, str, str] | None = None
    resolved: bool = False
    result: str = ""
    overtaken: bool = False
    recheck: str = ""
    keeps_intent: bool = False


_NOT_TOLD = FieldSettlement(recheck="Monday's answer didn't show what was written.", keeps_intent=True)
"""Base and intent stay, and the next pass finds out what stands there."""

_OVERTAKEN = FieldSettlement(overtaken=True)


def settled_field(  # noqa: PLR0911 - a table
    field_plan: FieldPlan, record: SyncedModel, read: Item | None, written: Item | None, *, creates: bool = False
) -> FieldSettlement:
    """Return what becomes of a field: `record` is what NPD holds now, `written` the item as the answer showed it.

    `read` is the item before; `creates` says that the call made it.
    """
    item = written or read
    if item is None or field_plan.blocked_reason or field_plan.conflict or not field_plan.mapping.column_id:
        # A blocked field or one in conflict keeps its base, as the intents left it.
        return FieldSettlement(base=field_plan.base if read is not None else None)
    action = field_plan.decision.action
    sent = field_plan.send_raw is not None and written is not None
    if field_plan.resolves is not None and field_plan.resolved_kind == KIND_UNDO:
        inverse = field_plan.resolves.inverse[field_plan.mapping.key]
        return _settle_undo(field_plan, inverse["before"]["base"], record, item, sent=sent)
    if action is Action.PUSH and sent:
        return _settle_push(field_plan, item, creates=creates)
    if action is Action.PULL or (action is Action.BOTH and sent):
        return _settle_pull(field_plan, record, item, sent=sent)
    if action is Action.AGREED:
        return _settle_agreed(field_plan, item, creates=creates)
    if action is Action.NOTHING and field_plan.base is not None:
        confirmed = field_plan.confirmed_entry is not None
        result = field_plan.display_local(field_plan.local_raw) if confirmed else ""
        return FieldSettlement(base=field_plan.base, resolved=confirmed, result=result)
    return FieldSettlement()


def _settle_undo(
    field_plan: FieldPlan, base: Mapping[str, Any] | None, record: SyncedModel, item: Item, *, sent: bool
) -> FieldSettlement:
    """Undo how the field was settled, only where both sides still are as they were when that was planned.

    The base is the one of before the resolution, against which both sides have moved apart.
    """
    if field_plan.send_raw is not None and not sent:
        return FieldSettlement()
    if field_plan.send_raw is not None and _answered_value(field_plan, item) is _NOT_SHOWN:
        return _NOT_TOLD
    if field_plan.write_raw is not None and not still_holds(record, field_plan.local_raw):
        return _OVERTAKEN
    values = update_values(type(record), field_plan.write_raw) if field_plan.write_raw is not None else {}
    return FieldSettlement(values, base=base or {}, altered="", resolved=True)


def _settle_push(field_plan: FieldPlan, item: Item, *, creates: bool) -> FieldSettlement:
    convert, answered = field_plan.convert, _answered_value(field_plan, item)
    if answered is _NOT_SHOWN:
        return _NOT_TOLD
    sent, stored = convert.local(field_plan.send_raw or {}), convert.remote(answered)
    # Users saw creates drop relations without an error: it is sent once more, as a change of its own.
    if creates and convert.names_items and sent and not stored:
        return FieldSettlement(recheck="Monday made the item without its connected items.")
    before = convert.display(convert.remote(field_plan.remote_raw)) if field_plan.remote_raw is not None else ""
    shown, altered = convert.display(sent), ""
    if sent != stored:
        altered = f"Monday made “{convert.display(stored)}” of “{shown}”. Change it on either side."
    base = new_base(field_plan.mapping, item.id, field_plan.send_raw, answered)
    moved = ("push", "sent to Monday", before, shown)
    return FieldSettlement(base=base, altered=altered, moved=moved, resolved=True, result=shown)


def _settle_pull(field_plan: FieldPlan, record: SyncedModel, item: Item, *, sent: bool) -> FieldSettlement:
    """Write a value only where the record still holds the one that the merge saw; else a row waits."""
    if field_plan.write_raw is None:
        return FieldSettlement()
    if not still_holds(record, field_plan.local_raw):
        return _OVERTAKEN
    answered = _answered_value(field_plan, item) if sent else field_plan.remote_raw
    if answered is _NOT_SHOWN:
        return _NOT_TOLD
    before, after = field_plan.display_local(field_plan.local_raw), field_plan.display_local(field_plan.write_raw)
    values = update_values(type(record), field_plan.write_raw)
    base = new_base(field_plan.mapping, item.id, field_plan.write_raw, answered)
    moved = ("pull", "written on both sides" if sent else "updated from Monday", before, after)
    return FieldSettlement(values, base=base, altered="", moved=moved, resolved=True, result=after)


def _settle_agreed(field_plan: FieldPlan, item: Item, *, creates: bool) -> FieldSettlement:
    """Both sides stay as they are; of a new item's empty fields the answer tells whether Monday left them so."""
    remote_raw = field_plan.remote_raw
    if creates:
        remote_raw = _answered_value(field_plan, item)
        if remote_raw is _NOT_SHOWN:
            return _NOT_TOLD
        if field_plan.convert.remote(remote_raw) != field_plan.convert.local(field_plan.local_raw):
            return FieldSettlement(recheck="Monday filled in a value of its own.")
    return FieldSettlement(base=new_base(field_plan.mapping, item.id, field_plan.local_raw, remote_raw), altered="")


def _answered_value(field_plan: FieldPlan, item: Item) -> Any:
    """The raw value that Monday's answer shows, or _NOT_SHOWN where it doesn't."""
    try:
        raw = field_plan.convert.stored_value(item.reading(field_plan.mapping.column_id))
        field_plan.convert.remote(raw)
    except UnknownValue:
        return _NOT_SHOWN
    return raw


@dataclass(frozen=True)
class FieldsSettlement:
    """What becomes of all fields of a record: the columns to write, both halves of the sync state, the history.

    `results` are the values to which a person's decisions led, by the conflict's kind and the field; the rest is as
    FieldSettlement has it.
    """

    values: Mapping[str, Any]
    base: dict[str, Any]
    altered: dict[str, Any]
    lines: tuple[HistoryLine, ...]
    results: Mapping[tuple[str, str], str | None]
    overtaken: bool
    recheck: str
    keeps_intent: bool


def settled_fields(plan: RecordPlan, record: SyncedModel, read_at: datetime) -> FieldsSettlement:
    """Return what becomes of the record's fields, of which `record` is what NPD holds now."""
    plans, ledger = plan.plans, plan.ledger
    base, altered, found = dict(ledger.base), dict(ledger.altered), dict[str, FieldSettlement]()
    for key, field_plan in plans.items():
        one = found[key] = settled_field(field_plan, record, plan.item, plan.written(key), creates=plan.creates)
        if one.base and one.base != base.get(key):
            # By its time a page tells whether what a pass read is older than what it then wrote.
            base[key] = {**one.base, "at": read_at.isoformat()}
        elif one.base is not None and not one.base:
            base.pop(key, None)
        if one.altered is not None:
            altered.pop(key, None)
            altered |= {key: {"reason": one.altered}} if one.altered else {}
    return FieldsSettlement(
        values={name: value for one in found.values() for name, value in one.values.items()},
        base=base,
        altered=altered,
        # What a person chose stands in the history of its conflict already.
        lines=tuple(_moved_line(plans[k], one) for k, one in found.items() if one.moved and not plans[k].resolves),
        results={
            (plans[k].resolved_kind, k): one.result or None
            for k, one in found.items()
            if one.resolved and plans[k].resolves
        },
        overtaken=any(one.overtaken for one in found.values()),
        recheck=next((one.recheck for one in found.values() if one.recheck), ""),
        keeps_intent=any(one.keeps_intent for one in found.values()),
    )


def values_of_pull(field_plan: FieldPlan) -> dict[str, Any]:
    """Return NPD's values before and after it took over Monday's."""
    return {"raw_before": dict(field_plan.local_raw), "raw_after": dict(field_plan.write_raw or {})}


def values_of_push(field_plan: FieldPlan) -> dict[str, Any]:
    """Return what NPD would hold had Monday's value stood, and what it holds; nothing where that can't be told.

    Where Monday showed what was last agreed, NPD's own spelling of that counts; else what Monday showed, which is
    also what a rule that lets NPD win has overridden.
    """
    convert, base, remote_raw = field_plan.convert, field_plan.base, field_plan.remote_raw
    if remote_raw is None:
        return {}
    try:
        if base and not base.get(AS_SENT) and convert.remote(base["remote"]) == convert.remote(remote_raw):
            before = dict(base["local"])
        else:
            before = dict(convert.to_local(remote_raw, field_plan.local_raw))
    except (AmbiguousSplit, UnknownValue, ValueError):
        return {}
    return {"raw_before": before, "raw_after": dict(field_plan.local_raw)}


def _moved_line(plan: FieldPlan, found: FieldSettlement) -> HistoryLine:
    assert found.moved is not None
    kind, how, before, after = found.moved
    was = f" (was “{before}”)" if before else ""
    sentence = f"{plan.mapping.label} “{after}”{was} {how}: {plan.decision.reason}."
    values = {"before": before, "after": after, "overridden": plan.decision.overrides}
    raws = values_of_pull(plan) if kind == "pull" else values_of_push(plan)
    return HistoryLine(kind, sentence, plan.mapping.key, values=values | raws)
