"""Why a decision was taken: the edit, the queue rows, the webhooks, the calls and the rule that led to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sync.authors import bare_name, editor_of, latest_edits, monday_people, name_on_monday, users_of
from sync.choices import Cause
from sync.claims import Claimed
from sync.connectors.monday.webhooks import BadEvent, Event, parse_event
from sync.engine.planned import Planned
from sync.engine.subjects import Batch, Subject
from sync.engine.values import field_of
from sync.merge import Action
from sync.models import Decision, WebhookEvent

_FROM_NPD = {"push", "overridden", "conflict"}
_FROM_MONDAY = {"pull"}


@dataclass
class Authors:
    """Who edited what, for the records of one look; read only where a decision asks for it."""

    history: dict[UUID, list[Any]] = field(default_factory=dict)
    users: Mapping[Any, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)


def stamped(batch: Batch, subjects: Sequence[Subject]) -> list[Decision]:
    """Return the log lines of these subjects with the look, Monday's request and their cause, to be stored."""
    authors = _authors(batch, subjects)
    return [_stamp(row, batch, subject, authors) for subject in subjects for row in subject.log]


def cause_of_rows(claimed: Claimed) -> dict[str, Any]:
    """Return what the claimed queue rows say of the cause."""
    told: dict[str, Any] = {
        "rows": [row.id for row in claimed.rows],
        "causes": [str(cause.name).lower() for cause in Cause if cause in claimed.causes],
    }
    if by := claimed.payload.get("by"):
        told["by"] = str(by)
    return told


def cause_of_item(claimed: Claimed, rule: str, read: str) -> dict[str, Any]:
    """Return the cause of a decision on an item that no record had; `read` is the id of the request that read it."""
    events = WebhookEvent.objects.filter(item_id=claimed.remote_id, weighed_at=None)
    told = cause_of_rows(claimed) | {"events": sorted(events.values_list("pk", flat=True)), "rule": rule}
    return told | ({"read": read} if read else {})


def _authors(batch: Batch, subjects: Iterable[Subject]) -> Authors:
    """Ask for histories and people in a few queries, and only where somebody's edit moved."""
    rows = [(subject, row) for subject in subjects for row in subject.log if row.key]
    edited = {s.id for s, row in rows if row.kind in _FROM_NPD or row.values.get("overridden")}
    history = latest_edits(batch.board.model, edited, without_batch=str(batch.id))
    users = users_of(event for events in history.values() for event in events)
    asks = any(subject.events for subject, _ in rows)
    return Authors(history, users, monday_people() if asks else {})


def _stamp(row: Decision, batch: Batch, subject: Subject, authors: Authors) -> Decision:
    planned = subject.planned.get(row.key)
    row.batch_id = batch.id
    events = _events(subject, planned)
    told = cause_of_rows(subject.claimed) | {"events": [stored.pk for stored, _ in events]}
    if planned is not None and planned.decision.reason:
        told |= {"rule": planned.decision.reason, "action": str(planned.decision.action)}
    if batch.read_request:
        told["read"] = batch.read_request
    sent = subject.intent is not None and row.kind not in _FROM_MONDAY
    row.request_id = batch.read_request
    if subject.intent is not None and sent:
        row.request_id = subject.intent.request_id
        told |= {"intent": str(subject.intent.pk), "alias": subject.intent.alias}
    _name_editors(row, subject, planned, [event for _, event in events], authors, told)
    row.cause = told | row.cause if isinstance(row.cause, dict) else told
    return row


def _name_editors(
    row: Decision,
    subject: Subject,
    planned: Planned | None,
    events: Sequence[Event],
    authors: Authors,
    told: dict[str, Any],
) -> None:
    """Say who edited on either side, as far as it is known; a value taken over names its editor as the actor."""
    if planned is None:
        return
    attnames = [field_of(subject.record, name).attname for name in planned.mapping.fields]
    asked = row.kind in _FROM_NPD or bool(row.values.get("overridden"))
    history = authors.history.get(subject.id, []) if asked else []
    if (edit := editor_of(history, attnames, authors.users)) is not None:
        told["npd"] = {"who": edit.who, "way": edit.way, "at": edit.at.isoformat()}
    last = next((event for event in reversed(events) if event.user_id), None)
    if last is not None and last.user_id and planned.decision.action is not Action.NOTHING:
        told["monday"] = {"who": bare_name(last.user_id, authors.people), "user": last.user_id}
        if last.happened_at is not None:
            told["monday"]["at"] = last.happened_at.isoformat()
        if row.kind in _FROM_MONDAY:
            row.actor = name_on_monday(last.user_id, authors.people)


def _events(subject: Subject, planned: Planned | None) -> list[tuple[WebhookEvent, Event]]:
    """The record's webhooks of this look; of a field, those on its column."""
    found = []
    for stored in subject.events:
        try:
            event = parse_event(stored.body)
        except BadEvent:
            continue
        if planned is None or event.column_id in (None, planned.mapping.column_id):
            found.append((stored, event))
    return found
