"""Why one record is as it is, in lines of text: both sides, its next pass, what is open, and its activity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Q

from conflicts.store import open_conflicts
from sync import registry
from sync.choices import QueueStatus
from sync.clock import sync_now
from sync.kernel.humanize import quote, timestamp
from sync.kernel.messages import ActionError
from sync.models import (
    ApprovalRequest,
    BoardLink,
    Decision,
    Intent,
    IntentState,
    SyncedModel,
    SyncQueue,
    Tombstone,
    WriteLoop,
)
from sync.monday.conversion import UnknownValue
from sync.operations.preview import VALUE_LENGTH, PlannedChange, change_act, plan_record, read_only_client
from sync.outbox.pauses import active_pause, pause_sentence
from sync.reconcile.pass_plan import RecordPlan
from sync.records import availability
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.records.authors import causes_by_decision, causes_text
from sync.registry import EntitySpec, link_of, mappings_of
from sync.state import record_view


@dataclass(frozen=True)
class LiveReading:
    """What Monday shows of a record now, by field, of those that could be read, and what its next pass would change.

    `next_changes` is None where it was not asked for or can't be told; `unread_reason` says why something is missing.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    next_changes: Sequence[PlannedChange] | None = None
    unread_reason: str = ""


def read_item(entity_type: str, entity_id: UUID) -> LiveReading:
    """Read a record's item by one call, or a deleted record's; raises MondayError."""
    link = link_of(entity_type)
    reason = availability.of(entity_type).blocked_reason
    if reason or link is None:
        return LiveReading(unread_reason=reason)
    with read_only_client():
        planned, changes = plan_record(link, entity_id)
    plan = next(iter(planned.plan.records.values()), None)
    if plan is not None and plan.item is not None:
        return LiveReading(_shown_values(link, plan) if planned.calls else {}, changes)
    is_unread = plan is not None and not plan.plans and not changes
    return LiveReading({}, changes, plan.ending.detail or plan.reason if plan and is_unread else "")


def _shown_values(link: BoardLink, record: RecordPlan) -> dict[str, str]:
    """What the item shows now, by field, as the pass has read it; nothing where the cell is empty."""
    shown = {}
    for mapping in mappings_of(link):
        plan = record.plans.get(mapping.key)
        if record.item is None or plan is None or not mapping.column_id:
            continue
        try:
            raw = plan.convert.stored_value(record.item.reading(mapping.column_id))
            shown[mapping.key] = plan.convert.display(plan.convert.remote(raw))
        except UnknownValue as unknown:
            shown[mapping.key] = f"(not known: {unknown})"
    return shown


MAX_MATCHES = 10


@dataclass(frozen=True)
class RecordReference:
    """A record, or the tombstone of a deleted one."""

    spec: EntitySpec
    entity_id: UUID
    record: SyncedModel | None = None
    tombstone: Tombstone | None = None

    @property
    def name(self) -> str:
        if self.record:
            return str(self.record)
        return str((self.tombstone and self.tombstone.data.get("name")) or self.entity_id)


def find_record(entity_type: str, text: str) -> RecordReference:
    """Return the record that an id, its item's id, a name or an email address means, deleted ones too.

    Raises ActionError where none is meant or several could be, UnknownEntity.
    """
    spec = registry.entity(entity_type)
    text = text.strip()
    records, deleted = _matches(spec, text)
    references = [RecordReference(spec, record.pk, record) for record in records]
    references = references or [RecordReference(spec, stone.entity_id, tombstone=stone) for stone in deleted]
    if len(references) == 1:
        return references[0]
    if references:
        listed = "\n".join(f"  {reference.entity_id}  {reference.name}" for reference in references[:MAX_MATCHES])
        more = "\n  and more" if len(references) > MAX_MATCHES else ""
        raise ActionError(f"Several {entity_type} records are called “{text}”. Name one by its id:\n{listed}{more}")
    raise ActionError(
        f"There is no {entity_type} “{text}”, and none that was deleted lately. Give its id, the id of its item on "
        "Monday, its name, or its email address."
    )


def _matches(spec: EntitySpec, text: str) -> tuple[list[SyncedModel], list[Tombstone]]:
    records = spec.model._default_manager.all()
    tombstones = Tombstone.objects.filter(entity_type=spec.entity_type)
    try:
        entity_id = UUID(text)
    except ValueError:
        pass
    else:
        return list(records.filter(pk=entity_id)), list(tombstones.filter(entity_id=entity_id))
    if not text:
        return [], []
    match_keys = {mapping.fields[0] for mapping in spec.mappings if mapping.key == spec.match_key}
    keys = sorted(match_keys | {spec.name_field or "pk"})
    named = reduce(or_, (Q(**{f"{key}__iexact": text}) for key in keys)) | Q(monday_id=text)
    deleted = Q(monday_id=text) | Q(data__name__iexact=text) | Q(data__email__iexact=text)
    return list(records.filter(named)[: MAX_MATCHES + 1]), list(tombstones.filter(deleted)[: MAX_MATCHES + 1])


def explain(reference: RecordReference, *, offline: bool = False) -> Iterator[str]:
    """Yield the lines; the item is read by one call unless `offline`. Writes nothing."""
    entity_type = reference.spec.entity_type
    yield f"{str(reference.spec.model._meta.verbose_name).capitalize()} “{reference.name}”, {reference.entity_id}"
    live = LiveReading(unread_reason="Monday was not asked (--offline).")
    if not offline:
        live = read_item(entity_type, reference.entity_id)
    if reference.record is not None:
        yield from _record_lines(reference.record, live)
    elif reference.tombstone is not None:
        yield from _tombstone_lines(reference.tombstone)
    yield ""
    yield from _next_lines(live)
    yield ""
    open_lines = list(_open_lines(entity_type, reference.entity_id))
    yield "Open:" if open_lines else "Nothing is open."
    yield from (f"  {line}" for line in open_lines)
    yield ""
    yield from _activity_lines(entity_type, reference.entity_id)


def _record_lines(record: SyncedModel, live: LiveReading) -> Iterator[str]:
    view = record_view.describe_one(record)
    item = f"item {record.monday_id} {view.item_url or ''}".rstrip() if record.monday_id else "no item on Monday"
    yield f"{view.status}, {item}"
    yield view.words or "Both sides are the same, as far as is known."
    if view.next_try is not None:
        yield f"Next attempt at {timestamp(view.next_try)}."
    for view_field in view.fields:
        values = {
            "NPD": view_field.local,
            "Monday": live.values.get(view_field.key),
            "last synced, NPD": view_field.base_local,
            "last synced, Monday": view_field.base_remote,
        }
        shown = ("not read" if text is None else quote(text, VALUE_LENGTH) for text in values.values())
        yield f"{view_field.label}: " + ", ".join(f"{side} {text}" for side, text in zip(values, shown, strict=True))
        if view_field.detail:
            yield f"  {view_field.detail}"


def _tombstone_lines(tombstone: Tombstone) -> Iterator[str]:
    item = f"item {tombstone.monday_id}" if tombstone.monday_id else "no item on Monday"
    yield f"deleted, {item}"
    yield f"Deleted at {timestamp(tombstone.deleted_at)}: {tombstone.get_state_display().lower()}."
    yield tombstone.note or "Deleted in NPD."


def _next_lines(live: LiveReading) -> Iterator[str]:
    if live.next_changes is None:
        yield f"What the next sync would do is not known. {live.unread_reason}".rstrip()
    elif not live.next_changes:
        yield f"The next sync would change nothing. {live.unread_reason}".rstrip()
    else:
        yield "The next sync would:"
        yield from (f"  {change_act(change)}" for change in live.next_changes)


def _open_lines(entity_type: str, entity_id: UUID) -> Iterator[str]:
    about = {"entity_type": entity_type, "entity_id": entity_id}
    for job in SyncQueue.objects.filter(**about).exclude(status=QueueStatus.COMPLETED).order_by("id"):
        yield _job_line(job)
    for intent in Intent.objects.filter(**about, state=IntentState.OPEN).order_by("created_at"):
        sent = ", ".join(intent.values) or "a new item"
        yield f"A call without an answer yet: {sent}; it may take effect until {timestamp(intent.deadline)}."
    for conflict in open_conflicts(entity_type, [entity_id]).get(entity_id, []):
        fields = f" on {', '.join(conflict.fields)}" if conflict.fields else ""
        waiting = " A choice is waiting to be applied." if conflict.resolutions else ""
        yield f"An open conflict ({conflict.kind}){fields}, {conflict.conflict_id}.{waiting}"
    for approval in ApprovalRequest.objects.filter(**about, state__in=OPEN_REQUEST_STATES):
        yield f"Approval: {approval.label} · {approval.get_state_display().lower()}."
    for write_loop in WriteLoop.objects.filter(**about, throttled_until__gt=sync_now()):
        by = f" by {write_loop.by}" if write_loop.by else ""
        yield f"{write_loop.key} is rewritten again and again{by}; nothing is sent for a while."


def _job_line(job: SyncQueue) -> str:
    reason = job.error_message or job.reason
    if job.status == QueueStatus.IN_PROGRESS:
        return f"Job #{job.pk} is in progress."
    if job.status == QueueStatus.FAILED:
        return f"Job #{job.pk} failed after {job.attempts} attempts. {reason}".rstrip()
    pause = active_pause(job.entity_type)
    paused = pause_sentence(pause) if pause else ""
    until = "." if paused else f" until {timestamp(job.next_retry)}."
    return " ".join(filter(None, (f"Job #{job.pk} is pending{until}", paused, reason)))


def _activity_lines(entity_type: str, entity_id: UUID) -> Iterator[str]:
    decisions = list(Decision.objects.filter(entity_type=entity_type, entity_id=entity_id).order_by("at", "id"))
    causes = causes_by_decision(decisions)
    yield "Activity, newest last:" if decisions else "Nothing has happened to it yet."
    for decision in decisions:
        author = f" {decision.actor}:" if decision.actor else ""
        yield f"  #{decision.pk} {timestamp(decision.at)} {decision.kind}{author} {decision.sentence}"
        if causes[decision.pk]:
            yield f"    {causes_text(causes[decision.pk])}"
