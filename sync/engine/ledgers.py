"""The ledger's rows of a look: locked, brought up to date, stored in one statement."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from sync.choices import LedgerDirection
from sync.engine.findings import undecided, waiting_for_a_person
from sync.engine.gone import Gone
from sync.engine.left_in_npd import marked
from sync.engine.overwritten import waiting_overwritten
from sync.engine.subjects import Batch, Outcome, Planned, Subject
from sync.engine.undo_findings import overwritten_again
from sync.hooks import KIND_DELETE, KIND_OVERWRITTEN
from sync.models import SyncMetadata
from sync.refused import LEFT_BY, LIMIT, MONDAY

LEFT_OUT = "left out"
_COLUMNS = (
    "base",
    "altered",
    "held",
    "note",
    "remote_state",
    "seen",
    "gone_since",
    "gone_looks",
    "remote_id",
    "sync_batch_id",
    "sync_duration_ms",
    "api_calls_count",
    "sync_direction",
    "conflicts",
    "error_count",
    "last_error",
)
_UPDATE = f"""
    UPDATE sync_metadata AS ledger
    SET {", ".join(f"{name} = seen.{name}" for name in _COLUMNS)}, last_sync_attempt = sync_now()
    FROM jsonb_populate_recordset(NULL::sync_metadata, %s::jsonb) AS seen
    WHERE ledger.id = seen.id
"""  # noqa: S608 - made of the names above


def locked(batch: Batch, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    """Lock the records' ledger rows in the order of their ids, made where they are missing."""
    entity_type = batch.board.link.entity_type
    missing = [SyncMetadata(entity_type=entity_type, entity_id=str(i), system="monday") for i in ids]
    SyncMetadata.objects.bulk_create(missing, ignore_conflicts=True)
    rows = SyncMetadata.objects.filter(
        entity_type=entity_type, system="monday", entity_id__in=[str(i) for i in ids]
    )
    return {row.entity_id: row for row in rows.select_for_update().order_by("entity_id")}


def store(batch: Batch, subjects: Sequence[Subject], stored: dict[str, SyncMetadata], started: float) -> None:
    """Write what the look found, by one statement; `started` is the monotonic time at which it began."""
    milliseconds = int((time.monotonic() - started) * 1000)
    rows = []
    for subject in subjects:
        row, seen = stored[str(subject.id)], subject.ledger
        row.base, row.altered = seen.base, seen.altered
        # A look that planned nothing leaves what is held, and what a person said of it meanwhile.
        row.held = marked(subject, held_of(subject), row.held) if subject.planned else row.held
        row.note, row.remote_state = subject.note, seen.remote_state
        row.seen = seen.seen
        row.gone_since, row.gone_looks = seen.gone_since, seen.gone_looks
        row.remote_id = subject.record.monday_id
        row.sync_batch_id, row.sync_duration_ms, row.api_calls_count = batch.id, milliseconds, batch.calls
        row.sync_direction = _ledger_direction(subject)
        row.conflicts = _conflicts_of(subject, seen.conflicts)
        _note_failure(subject, row)
        subject.ledger = row
        rows.append(row)
    if rows:
        _update(rows)


def _update(rows: Sequence[SyncMetadata]) -> None:
    """One statement; Django's bulk_update takes 3 ms a row to build its CASE expressions."""
    content = [{"id": row.pk} | {name: getattr(row, name) for name in _COLUMNS} for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, [json.dumps(content, cls=DjangoJSONEncoder)])


def held_of(subject: Subject) -> dict[str, Any]:
    """What this look has found held."""
    return {
        key: {
            "reason": p.hold,
            "side": _side(p),
            "local": p.local_raw,
            "column": p.mapping.column_id,
            "version": p.mapping.version,
        }
        for key, p in subject.planned.items()
        if p.hold
    }


def _side(planned: Planned) -> str:
    """On which side the value is stuck; “left out” is a relation that doesn't keep its record from being in sync."""
    if planned.left_out:
        return LEFT_OUT
    if planned.too_much:
        return LIMIT
    return MONDAY if planned.refused else "npd"


def is_stuck(held: Mapping[str, Any]) -> bool:
    """Whether a field is held that should flow."""
    return any(entry.get("side") != LEFT_OUT for entry in held.values())


def keeps_from_sync(held: Mapping[str, Any]) -> bool:
    """Whether a held field keeps its record from being in sync: not one whose value a person left in NPD."""
    return is_stuck({key: entry for key, entry in held.items() if LEFT_BY not in entry})


def _ledger_direction(subject: Subject) -> str:
    ups = any(p.send_raw is not None for p in subject.planned.values())
    downs = any(p.write_raw is not None for p in subject.planned.values())
    if ups == downs:
        return LedgerDirection.BIDIRECTIONAL
    return LedgerDirection.LOCAL_TO_REMOTE if ups else LedgerDirection.REMOTE_TO_LOCAL


def _conflicts_of(subject: Subject, before: dict[str, Any]) -> dict[str, Any]:
    if not subject.record.may_sync:
        return {}
    lost = list(dict.fromkeys([*waiting_overwritten(subject), *(f.key for f in overwritten_again(subject))]))
    overwritten = {KIND_OVERWRITTEN: lost} if lost else {}
    if subject.gone is not None:
        return _conflicts_of_gone(subject.gone, before) | overwritten
    looked = bool(subject.planned) or subject.identity is not None
    kinds = {} if looked else dict(before)
    fields = [conflict.key for conflict in waiting_for_a_person(subject)]
    if fields or undecided(subject):
        kinds["fields"] = [*fields, *undecided(subject)]
    if subject.identity:
        kinds["identity"] = [subject.identity["what"]]
    return {kind: named for kind, named in kinds.items() if kind != KIND_OVERWRITTEN} | overwritten


def _conflicts_of_gone(gone: Gone, before: dict[str, Any]) -> dict[str, Any]:
    """What is open about its values stays as it was; whether it is asked what becomes of the record is known anew."""
    kinds = {kind: named for kind, named in before.items() if kind != KIND_DELETE}
    return kinds | ({KIND_DELETE: [gone.what]} if gone.asks else {})


def _note_failure(subject: Subject, row: SyncMetadata) -> None:
    if subject.outcome is Outcome.FAILED:
        row.error_count, row.last_error = row.error_count + 1, subject.words
    elif subject.outcome is Outcome.SETTLED:
        row.error_count, row.last_error = 0, ""
