"""Everything that is known of one record, gathered for the telling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.boards import link_of, mappings_of
from sync.choices import GuardState, QueueStatus
from sync.clock import sync_now
from sync.connectors.monday.converters import UnknownValue
from sync.dryrun.client import reading_only
from sync.dryrun.entries import Entry
from sync.dryrun.looking import one_record
from sync.engine.showing import Shown
from sync.engine.subjects import Batch, Subject
from sync.explain.chains import Link, chains
from sync.explain.finding import Found
from sync.hooks import desk
from sync.ledger import SyncStateService
from sync.models import (
    BoardLink,
    Decision,
    FieldLoop,
    FieldMapping,
    GuardedAct,
    Intent,
    IntentState,
    SyncMetadata,
    SyncQueue,
)
from sync.pausing import why_waits
from sync.standstill import why_not

NOT_READ = "(not read)"


@dataclass(frozen=True)
class FieldFacts:
    """One field on both sides, as displayed: NPD now, both halves of the base, Monday now; and what holds it."""

    key: str
    label: str
    npd: str
    base_npd: str
    base_monday: str
    monday: str
    note: str = ""


@dataclass
class Explanation:
    """One record's state in words, its fields, what is open, what comes next, and what was decided, oldest first.

    `next` is None where it was not asked for or can't be told, for which `unread` has the reason.
    """

    found: Found
    status: str
    words: str
    item: str = ""
    url: str = ""
    fields: list[FieldFacts] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    next: list[Entry] | None = None
    unread: str = ""
    decisions: list[tuple[Decision, list[Link]]] = field(default_factory=list)


def explain(found: Found, *, offline: bool = False) -> Explanation:
    """Gather what is known of a record, its item read by one call unless `offline`. Writes nothing."""
    link = link_of(found.spec.entity_type)
    told = _state(found)
    subject: Subject | None = None
    told.unread = "Monday was not asked (--offline)." if offline else why_not(found.spec.entity_type)
    if not told.unread and link is not None:
        subject = _next(told, found, link)
    if found.record is not None and link is not None:
        told.fields = list(_fields(found, link, subject))
    told.open = list(_open(found))
    rows = list(
        Decision.objects.filter(entity_type=found.spec.entity_type, entity_id=found.entity_id).order_by(
            "at", "id"
        )
    )
    told.decisions = decisions_of(rows)
    return told


def _state(found: Found) -> Explanation:
    if found.record is None:
        stone = found.stone
        assert stone is not None
        words = stone.note or "Deleted in NPD."
        when = f"Deleted at {stone.deleted_at:%Y-%m-%d %H:%M:%S} UTC: {stone.get_state_display().lower()}."
        return Explanation(found, "deleted", f"{when} {words}", item=stone.monday_id or "")
    state = SyncStateService().describe(found.record)
    words = state.words or "Both sides are the same, as far as is known."
    if state.next_try is not None:
        words += f" Next try at {state.next_try:%Y-%m-%d %H:%M:%S} UTC."
    return Explanation(
        found, state.status, words, item=found.record.monday_id or "", url=state.item_url or ""
    )


def _next(told: Explanation, found: Found, link: BoardLink) -> Subject | None:
    with reading_only():
        batch, entries = one_record(link, found.entity_id)
    told.next = entries
    subject = batch.subjects[0] if batch.subjects else None
    if subject is not None and subject.item is None and not subject.planned and not entries:
        told.unread = subject.words or subject.note
    return subject if _was_read(batch, subject) else None


def _was_read(batch: Batch, subject: Subject | None) -> bool:
    return subject is not None and batch.calls > 0 and subject.item is not None


def _fields(found: Found, link: BoardLink, subject: Subject | None) -> Iterator[FieldFacts]:
    record = found.record
    assert record is not None
    mappings = mappings_of(link)
    shown = Shown(link, mappings, [record])
    ledger = SyncMetadata.objects.filter(
        entity_type=link.entity_type, entity_id=str(found.entity_id), system="monday"
    ).first()
    for mapping in mappings:
        entry: dict[str, Any] | None = (ledger.base if ledger else {}).get(mapping.key)
        npd, base_npd, base_monday = shown.sides(record, mapping, entry)
        held = (ledger.held | ledger.altered).get(mapping.key, {}) if ledger else {}
        yield FieldFacts(
            mapping.key,
            mapping.label,
            npd,
            base_npd,
            base_monday,
            _on_monday(subject, mapping),
            str(held.get("reason", "")),
        )


def _on_monday(subject: Subject | None, mapping: FieldMapping) -> str:
    """What the item shows now, as the look has read it; nothing where the cell is empty."""
    planned = subject.planned.get(mapping.key) if subject else None
    if subject is None or subject.item is None or planned is None or not mapping.column_id:
        return NOT_READ
    try:
        raw = planned.convert.raw_of(subject.item.reading(mapping.column_id))
        return planned.convert.display(planned.convert.remote(raw))
    except UnknownValue as unknown:
        return f"(not known: {unknown})"


def _open(found: Found) -> Iterator[str]:
    """What waits or stands in the way, a sentence each."""
    about = {"entity_type": found.spec.entity_type, "entity_id": found.entity_id}
    rows = SyncQueue.objects.filter(**about).exclude(status=QueueStatus.COMPLETED).order_by("id")
    yield from (_row(row) for row in rows)
    for intent in Intent.objects.filter(**about, state=IntentState.OPEN).order_by("created_at"):
        sent = ", ".join(intent.values) or "a new item"
        yield (
            f"A call without an answer yet: {sent}, announced at {intent.created_at:%Y-%m-%d %H:%M:%S} UTC; it may "
            f"take effect until {intent.deadline:%H:%M:%S} UTC."
        )
    for conflict in desk().open_of(found.spec.entity_type, [found.entity_id]).get(found.entity_id, []):
        chosen = " A choice is waiting to be applied." if conflict.choices else ""
        about_fields = f" on {', '.join(conflict.fields)}" if conflict.fields else ""
        yield f"An open conflict ({conflict.kind}){about_fields}, {conflict.conflict_id}.{chosen}"
    acts = GuardedAct.objects.filter(
        **about, state__in=(GuardState.HELD, GuardState.APPROVED, GuardState.REJECTED)
    )
    yield from (f"The guard: {act.label} · {act.get_state_display().lower()}." for act in acts)
    for loop in FieldLoop.objects.filter(**about, damped_until__gt=sync_now()):
        by = f" by {loop.by}" if loop.by else ""
        yield f"{loop.key} is rewritten again and again{by}; nothing is sent until {loop.damped_until:%H:%M:%S} UTC."


def _row(row: SyncQueue) -> str:
    why = row.error_message or row.reason
    tail = f" {why}" if why else ""
    if row.status == QueueStatus.PENDING and (paused := why_waits(row.entity_type, row.direction)):
        return f"Queue row #{row.pk} waits. {paused}{tail}"
    if row.status == QueueStatus.FAILED:
        return f"Queue row #{row.pk} was given up after {row.attempts} attempts.{tail}"
    if row.status == QueueStatus.IN_PROGRESS:
        return f"Queue row #{row.pk} is being worked on right now."
    return f"Queue row #{row.pk} waits until {row.next_retry:%Y-%m-%d %H:%M:%S} UTC.{tail}"


def decisions_of(rows: Sequence[Decision]) -> list[tuple[Decision, list[Link]]]:
    """Return decisions with what led to each."""
    links = chains(rows)
    return [(row, links[row.pk]) for row in rows]
