"""Why one record is as it is: which one is meant, both sides, its next pass, its decisions with causes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Q

from sync import registry
from sync.choices import ApprovalState, QueueStatus
from sync.clock import sync_now
from sync.connectors.base.board import LOG_PREFIX
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import ConnectorError
from sync.kernel.conflict_store import current_store
from sync.kernel.humanize import shorten, timestamp
from sync.ledger import record_view
from sync.ledger.record_view import FieldView
from sync.limits import urgent_calls
from sync.models import (
    ApprovalRequest,
    BoardLink,
    Decision,
    Intent,
    IntentState,
    SyncedModel,
    SyncQueue,
    Tombstone,
    WebhookEvent,
    WriteLoop,
)
from sync.operations.preview import PlannedChange, change_act, change_json, plan_record, read_only_client
from sync.outbox.pauses import active_pause, pause_sentence
from sync.reconcile.pass_plan import RecordPlan
from sync.records import availability
from sync.registry import EntitySpec, link_of, mappings_of

MAX_MATCHES = 10


class NoSingleRecord(LookupError):
    """No record is meant, or several could be; the message says so and what to do."""


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
    """Return the record of this type that a text names; raises NoSingleRecord, UnknownEntity."""
    spec = registry.entity(entity_type)
    query = text.strip()
    records, tombstones = spec.model._default_manager.all(), Tombstone.objects.filter(entity_type=entity_type)
    try:
        by_id = UUID(query)
    except ValueError:
        by_id = None
    if by_id is not None:
        matches, deleted = list(records.filter(pk=by_id)), list(tombstones.filter(entity_id=by_id))
    elif query.isdigit():
        matches, deleted = list(records.filter(monday_id=query)), list(tombstones.filter(monday_id=query))
    else:
        # By name or match key, regardless of case.
        keys = {m.fields[0] for m in spec.mappings if m.key == spec.match_key} | {spec.name_field or "pk"}
        named = reduce(or_, (Q(**{f"{key}__iexact": query}) for key in sorted(keys)))
        matches, deleted = list(records.filter(named)[: MAX_MATCHES + 1]), []
    if not matches and not deleted and query and by_id is None:
        deleted = list(tombstones.filter(Q(data__name__iexact=query) | Q(data__email__iexact=query))[: MAX_MATCHES + 1])
    return _single_match(spec, query, matches, deleted)


def _single_match(spec: EntitySpec, text: str, matches: list[SyncedModel], deleted: list[Tombstone]) -> RecordReference:
    kind = spec.entity_type
    if len(matches) == 1:
        return RecordReference(spec, matches[0].pk, matches[0])
    if not matches and len(deleted) == 1:
        return RecordReference(spec, deleted[0].entity_id, tombstone=deleted[0])
    several = [(str(r), r.pk) for r in matches] or [(str(g.data.get("name")), g.entity_id) for g in deleted]
    if several:
        listed = "\n".join(f"  {pk}  {name}" for name, pk in several[:MAX_MATCHES])
        more = "\n  and more" if len(several) > MAX_MATCHES else ""
        raise NoSingleRecord(f"Several {kind} records are called “{text}”. Name one by its id:\n{listed}{more}")
    raise NoSingleRecord(
        f"There is no {kind} “{text}”, and none that was deleted lately. Give its id, the id of its item on Monday, "
        "its name, or its email address."
    )


# Gathering everything that is known of one record.


NOT_READ = "(not read)"


@dataclass(frozen=True)
class LiveReading:
    """What Monday shows of a record now, by field, of those that could be read, and what its next pass would change.

    `next_changes` is None where it was not asked for or can't be told; `unread_reason` says why something is missing.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    next_changes: Sequence[PlannedChange] | None = None
    unread_reason: str = ""


@dataclass(frozen=True)
class Explanation:
    """One record's state in words, its fields, its item, what is open, and its decisions, oldest first."""

    reference: RecordReference
    status: str
    reason: str
    item_id: str = ""
    item_url: str = ""
    fields: Sequence[FieldView] = ()
    live: LiveReading = LiveReading()
    open_items: Sequence[str] = ()
    decisions: Sequence[tuple[Decision, list[CauseLink]]] = ()


def explain(reference: RecordReference, *, offline: bool = False) -> Explanation:
    """Gather what is known of a record, its item read by one call unless `offline`. Writes nothing."""
    live = LiveReading(unread_reason="Monday was not asked (--offline).") if offline else _read_item(reference)
    rows = Decision.objects.filter(entity_type=reference.spec.entity_type, entity_id=reference.entity_id)
    decisions = list(rows.order_by("at", "id"))
    causes = causes_by_decision(decisions)
    return replace(
        _describe_state(reference),
        live=live,
        open_items=list(_open_items(reference)),
        decisions=[(row, causes[row.pk]) for row in decisions],
    )


def _read_item(reference: RecordReference) -> LiveReading:
    link, reason = link_of(reference.spec.entity_type), availability.of(reference.spec.entity_type).blocked_reason
    if reason or link is None:
        return LiveReading(unread_reason=reason)
    with read_only_client():
        planned, changes = plan_record(link, reference.entity_id)
    one = next(iter(planned.plan.records.values()), None)
    if one is not None and one.item is not None:
        return LiveReading(_live_values(link, one) if planned.calls else {}, changes)
    is_unread = one is not None and not one.plans and not changes
    return LiveReading({}, changes, one.ending.detail or one.reason if one and is_unread else "")


def _describe_state(reference: RecordReference) -> Explanation:
    if reference.record is None:
        tombstone = reference.tombstone
        assert tombstone is not None
        reason = tombstone.note or "Deleted in NPD."
        when = f"Deleted at {timestamp(tombstone.deleted_at)}: {tombstone.get_state_display().lower()}."
        return Explanation(reference, "deleted", f"{when} {reason}", item_id=tombstone.monday_id or "")
    state = record_view.describe_one(reference.record)
    reason = state.words or "Both sides are the same, as far as is known."
    if state.next_try is not None:
        reason += f" Next attempt at {timestamp(state.next_try)}."
    return Explanation(
        reference,
        state.status,
        reason,
        item_id=reference.record.monday_id or "",
        item_url=state.item_url or "",
        fields=state.fields,
    )


def _live_values(link: BoardLink, of: RecordPlan) -> dict[str, str]:
    """What the item shows now, by field, as the pass has read it; nothing where the cell is empty."""
    found = {}
    for mapping in mappings_of(link):
        plan = of.plans.get(mapping.key)
        if of.item is None or plan is None or not mapping.column_id:
            continue
        try:
            raw = plan.convert.stored_value(of.item.reading(mapping.column_id))
            found[mapping.key] = plan.convert.display(plan.convert.remote(raw))
        except UnknownValue as unknown:
            found[mapping.key] = f"(not known: {unknown})"
    return found


def _open_items(reference: RecordReference) -> Iterator[str]:
    about = {"entity_type": reference.spec.entity_type, "entity_id": reference.entity_id}
    rows = SyncQueue.objects.filter(**about).exclude(status=QueueStatus.COMPLETED).order_by("id")
    yield from (_job_sentence(row) for row in rows)
    for intent in Intent.objects.filter(**about, state=IntentState.OPEN).order_by("created_at"):
        sent = ", ".join(intent.values) or "a new item"
        yield (
            f"A call without an answer yet: {sent}, announced at {timestamp(intent.created_at)}; it may "
            f"take effect until {intent.deadline:%H:%M:%S} UTC."
        )
    for conflict in (
        current_store().open_conflicts(reference.spec.entity_type, [reference.entity_id]).get(reference.entity_id, [])
    ):
        resolution_note = " A choice is waiting to be applied." if conflict.resolutions else ""
        about_fields = f" on {', '.join(conflict.fields)}" if conflict.fields else ""
        yield f"An open conflict ({conflict.kind}){about_fields}, {conflict.conflict_id}.{resolution_note}"
    approvals = ApprovalRequest.objects.filter(
        **about, state__in=(ApprovalState.PENDING, ApprovalState.APPROVED, ApprovalState.REJECTED)
    )
    yield from (f"Approval: {act.label} · {act.get_state_display().lower()}." for act in approvals)
    for write_loop in WriteLoop.objects.filter(**about, throttled_until__gt=sync_now()):
        by = f" by {write_loop.by}" if write_loop.by else ""
        until = timestamp(write_loop.throttled_until) if write_loop.throttled_until else ""
        yield f"{write_loop.key} is rewritten again and again{by}; nothing is sent until {until}."


def _job_sentence(row: SyncQueue) -> str:
    reason = row.error_message or row.reason
    tail = f" {reason}" if reason else ""
    if row.status == QueueStatus.PENDING and (pause := active_pause(row.entity_type)):
        return f"Job #{row.pk} is pending. {pause_sentence(pause)}{tail}"
    if row.status == QueueStatus.FAILED:
        return f"Job #{row.pk} failed after {row.attempts} attempts.{tail}"
    if row.status == QueueStatus.IN_PROGRESS:
        return f"Job #{row.pk} is in progress."
    return f"Job #{row.pk} is pending until {timestamp(row.next_retry)}.{tail}"


# The explanation as lines for a person, and as JSON for a program.


CELL_WIDTH = 28


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    reference = explanation.reference
    yield f"{str(reference.spec.model._meta.verbose_name).capitalize()} “{reference.name}”, {reference.entity_id}"
    item = (
        f"item {explanation.item_id}{f', {explanation.item_url}' if explanation.item_url else ''}"
        if explanation.item_id
        else "no item on Monday"
    )
    yield f"{explanation.status}, {item}"
    yield explanation.reason
    if explanation.fields:
        yield ""
        yield from _table(explanation)
    yield ""
    live = explanation.live
    if live.next_changes is None:
        yield f"What the next sync would do is not known. {live.unread_reason}".rstrip()
    elif not live.next_changes:
        reason = f": {live.unread_reason}" if live.unread_reason else ", both sides are the same."
        yield f"The next sync would change nothing{reason}"
    else:
        yield "The next sync would:"
        yield from (f"  {change_act(change)}" for change in live.next_changes)
    yield ""
    yield "Open:" if explanation.open_items else "Nothing is open."
    yield from (f"  {line}" for line in explanation.open_items)
    yield ""
    yield "Activity, newest last:" if explanation.decisions else "Nothing has happened to it yet."
    for row, links in explanation.decisions:
        author = f" {row.actor}:" if row.actor else ""
        yield f"  #{row.pk}  {timestamp(row.at)} {row.kind}{author} {row.sentence}"
        if links:
            yield f"      {causes_text(links)} → {row.kind}"


def _table(explanation: Explanation) -> Iterator[str]:
    head = ("Field", "NPD now", "Last synced, NPD", "Last synced, Monday", "Monday now")
    live = explanation.live.values
    rows = [(f.label, f.local, f.base_local, f.base_remote, live.get(f.key, NOT_READ)) for f in explanation.fields]
    # One line each, not too wide: the full text is in the JSON.
    flat = [[" ".join(value.split()) for value in row] for row in [head, *rows]]
    cells = [[shorten(value, CELL_WIDTH) or "–" for value in row] for row in flat]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        yield line
        if number and (detail := explanation.fields[number - 1].detail):
            yield f"    blocked: {detail}"


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    reference, changes = explanation.reference, explanation.live.next_changes
    return {
        "entity_type": reference.spec.entity_type,
        "entity_id": str(reference.entity_id),
        "name": reference.name,
        "deleted": reference.record is None,
        "status": explanation.status,
        "words": explanation.reason,
        "item_id": explanation.item_id or None,
        "item_url": explanation.item_url or None,
        "fields": [
            {
                "key": one.key,
                "label": one.label,
                "npd": one.local,
                "base_npd": one.base_local,
                "base_monday": one.base_remote,
                "monday": explanation.live.values.get(one.key, NOT_READ),
                "note": one.detail,
                "state": one.state.value,
                "reason_code": one.reason_code.value,
            }
            for one in explanation.fields
        ],
        "next": None if changes is None else [change_json(entry) for entry in changes],
        "unread": explanation.live.unread_reason,
        "open": explanation.open_items,
        "decisions": [decision_as_json(row, links) for row, links in explanation.decisions],
    }


def decision_as_json(row: Decision, links: list[CauseLink]) -> dict[str, Any]:
    """Return one decision with its cause for a program; the values are those that a person reads."""
    value_keys = ("before", "after", "overridden")
    return {
        "id": row.pk,
        "at": row.at.isoformat(),
        "kind": row.kind,
        "field": row.key or None,
        "sentence": row.sentence,
        "actor": row.actor,
        "batch": str(row.batch_id) if row.batch_id else None,
        "request": row.request_id or None,
        "undoes": row.undoes,
        "values": {name: row.values[name] for name in value_keys if name in row.values},
        "cause": [{"what": link.kind, "words": link.text} for link in links],
    }


def read_live(record: SyncedModel) -> LiveReading:
    """Ask Monday for one record's item, as its next pass would."""
    if not record.may_sync:
        return LiveReading(
            unread_reason="Sync is off for this record, so its item is not read. Turn its sync on first."
        )
    if record.is_left_out:
        return LiveReading(unread_reason="The filter leaves this record out, so its item is not read.")
    spec = registry.entity(record.entity_type())
    try:
        # A person's click may use the urgent reserve of calls.
        with urgent_calls():
            reading = _read_item(RecordReference(spec, record.pk, record))
    except ConnectorError as error:
        return LiveReading(unread_reason=error.sentence)
    missing = "" if reading.values else reading.unread_reason or "It has no item on Monday that could be read."
    return replace(reading, unread_reason=missing)


# What led to a decision, link by link: edit, job, webhook, call, rule.


_CAUSES = {
    "save": "a save in NPD",
    "person": "a person's click",
    "webhook": "a webhook",
    "sweep": "a check for missed changes",
    "failure": "a failed pass before it",
    "dependency": "a change of something it depends on",
    "setup": "the board's set-up",
}

MAX_LISTED = 3
"""Jobs and webhooks that are listed; of more, only the number is given."""


@dataclass(frozen=True)
class CauseLink:
    """One link of the chain: its kind (edit, row, webhook, call, rule, undo), and the phrase for people."""

    kind: str
    text: str


def causes_by_decision(decisions: Sequence[Decision]) -> dict[int, list[CauseLink]]:
    """Return each decision's chain by its id; the webhook events that they name are read in one query."""
    named = {pk for row in decisions for pk in row.cause.get("events", [])}
    events = WebhookEvent.objects.defer("body").in_bulk(list(named)) if named else {}
    return {row.pk: causes_of(row, events) for row in decisions}


def causes_of(row: Decision, events: Mapping[int, WebhookEvent]) -> list[CauseLink]:
    """Return what led to a decision, in order; nothing where it was written without a cause."""
    provenance: Mapping[str, Any] = row.cause
    found = []
    for side, place in (("npd", "edited in NPD"), ("monday", "edited on Monday")):
        if edit := provenance.get(side):
            way = f" {edit['way']}" if edit.get("way") else ""
            found.append(CauseLink("edit", f"{place} by {edit['who']}{way}{_at_text(edit.get('at'))}"))
    ids = list(provenance.get("events", []))
    found += [CauseLink("webhook", _webhook_text(pk, events.get(pk))) for pk in ids[:MAX_LISTED]]
    if len(ids) > MAX_LISTED:
        found.append(CauseLink("webhook", f"and {len(ids) - MAX_LISTED} more webhooks"))
    found += _rows(provenance)
    read = provenance.get("read")
    if read:
        found.append(CauseLink("call", f"Monday read [Monday request {read}]"))
    if row.request_id and row.request_id != read:
        alias = f", alias {provenance['alias']}" if provenance.get("alias") else ""
        found.append(CauseLink("call", f"written to Monday [Monday request {row.request_id}{alias}]"))
    if rule := provenance.get("rule"):
        found.append(CauseLink("rule", f"decided by: {rule}"))
    if row.undoes is not None:
        found.append(CauseLink("undo", f"undoes entry #{row.undoes}"))
    return found


def causes_text(links: Iterable[CauseLink]) -> str:
    return " → ".join(link.text for link in links)


def _webhook_text(pk: int, event: WebhookEvent | None) -> str:
    if event is None:
        return f"webhook #{pk}, no longer kept"
    when = _at_text(event.received_at.isoformat())
    if event.trigger_id.startswith(LOG_PREFIX):
        return f"row of the activity log, found by a check for missed changes{when} (#{pk}): its webhook had not come"
    return f"webhook #{pk}, received{when}"


def _rows(provenance: Mapping[str, Any]) -> Iterable[CauseLink]:
    rows = [f"#{pk}" for pk in provenance.get("rows", [])]
    if not rows and not provenance.get("causes"):
        return
    reason = " and ".join(_CAUSES.get(cause, cause) for cause in provenance.get("causes", []))
    by = ", asked for by {who}".format(who=provenance["by"]) if provenance.get("by") else ""
    if not rows:
        yield CauseLink("row", f"a sync of everything{by}")
        return
    noun = "job" if len(rows) == 1 else "jobs"
    yield CauseLink("row", f"{noun} {', '.join(rows)}{f' ({reason}{by})' if reason else by}")


def _at_text(moment: str | None) -> str:
    return f" at {timestamp(datetime.fromisoformat(moment))}" if moment else ""
