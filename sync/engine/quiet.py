"""Looks that end without a call: nothing left its half of the base, so there is nothing to ask Monday."""

from __future__ import annotations

from collections.abc import Iterable

from sync.choices import Cause
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.webhooks import BadEvent, Event, Kind, parse_event
from sync.engine.ledgers import is_stuck
from sync.engine.planning import AS_SENT, base_of
from sync.engine.subjects import Board, Outcome, Subject, raw_of
from sync.letting_go import UNLINK
from sync.models import FieldMapping


def end_quiet(board: Board, subjects: Iterable[Subject]) -> None:
    """End every subject that needs no call: an unchanged save, a record without sync, our own echo."""
    for subject in subjects:
        unlinks = bool(subject.claimed.payload.get(UNLINK))
        if not subject.record.may_sync and not subject.by_name and not unlinks:
            # What Monday says meanwhile is not looked at: the first look after it is on again reads the item.
            subject.ledger.remote_state = ""
            subject.end(Outcome.SETTLED, "Sync is off for this record.", note="")
        elif subject.causes == Cause.SAVE and not subject.events and _local_stands(board, subject):
            subject.end(Outcome.SETTLED, "Nothing that is synced changed.")
        elif subject.only_webhooks and _is_echo(board, subject):
            subject.weighed = True
            subject.end(Outcome.SETTLED, "Monday told what was known already.")


def _nothing_open(subject: Subject) -> bool:
    """Whether no conflict, intent, held field, dead letter or note calls for a look at both sides."""
    unsettled = (
        subject.conflicts
        or subject.intents
        or subject.lost
        or is_stuck(subject.ledger.held)
        or subject.has_dead_letter
    )
    return not unsettled and not subject.ledger.note and subject.ledger.remote_state == "active"


def _local_stands(board: Board, subject: Subject) -> bool:
    """Whether NPD's half of every base is what the record says now, and nothing else is open."""
    item_id = subject.record.monday_id
    if not item_id or not _nothing_open(subject):
        return False
    return all(
        _half_stands(board, subject, mapping, item_id) for mapping in board.mappings if mapping.column_id
    )


def _half_stands(board: Board, subject: Subject, mapping: FieldMapping, item_id: str) -> bool:
    base = base_of(subject, mapping, item_id)
    convert = board.converter(mapping, subject.record)
    try:
        return (
            base is not None
            and not base.get(AS_SENT)
            and convert.local(base["local"]) == convert.local(raw_of(subject.record, mapping))
        )
    except UnknownValue:
        return False


def _is_echo(board: Board, subject: Subject) -> bool:
    """Whether every value that webhooks told is the base's: our own write, mostly. No payload is written."""
    if not subject.events or not _local_stands(board, subject):
        return False
    try:
        return all(_is_known(board, subject, parse_event(event.body)) for event in subject.events)
    except BadEvent:
        return False


def _is_known(board: Board, subject: Subject, event: Event) -> bool:
    told = _told(board, event)
    if told is None:
        return False
    return all(_equals_base(board, subject, mapping, value, kind) for mapping, value, kind in told)


def _told(board: Board, event: Event) -> list[tuple[FieldMapping, object, str]] | None:
    """The mapped values that an event tells; None where it tells more than values (archived, restored …)."""
    by_column = {mapping.column_id: mapping for mapping in board.mappings if mapping.column_id}
    if event.kind in (Kind.COLUMN, Kind.RENAMED):
        column = "name" if event.kind is Kind.RENAMED else event.column_id or ""
        if column == board.link.npd_id_column:
            return None
        return [(by_column[column], event.value, event.column_type or "")] if column in by_column else []
    if event.kind is Kind.CREATED:
        values = dict(event.column_values or {}) | {"name": {"name": event.item_name}}
        return [(mapping, values.get(column), "") for column, mapping in by_column.items()]
    return [] if event.kind in (Kind.MOVED, Kind.OTHER) else None


def _equals_base(
    board: Board, subject: Subject, mapping: FieldMapping, value: object, column_type: str
) -> bool:
    base = base_of(subject, mapping, subject.record.monday_id or "")
    convert = board.converter(mapping, subject.record)
    try:
        return base is not None and convert.event(
            value, column_type or convert.column_type
        ) == convert.remote(base["remote"])
    except UnknownValue:
        return False
