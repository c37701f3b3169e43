"""What a backfill makes of a record: a row of the file with the intent that announces it, or why not."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from sync.clock import SyncNow
from sync.connectors.monday.cells import NoCell, can_be_imported, cell
from sync.engine.planning import plan
from sync.engine.subjects import Batch, Planned, Subject, column_value
from sync.models import Backfill, Intent, IntentState


@dataclass(frozen=True)
class Row:
    """A record that is to be created.

    `invalid` says why Monday certainly won't take it; `ordinary` why it can't travel in a file, so that it is
    created by the ordinary look; `left_out` are fields that are held, with the reason.
    """

    subject: Subject
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    invalid: str = ""
    ordinary: str = ""
    left_out: dict[str, str] = field(default_factory=dict)


def row_of(batch: Batch, subject: Subject) -> Row:
    """Decide a record's row as a look decides a create: what is held is left out, and doesn't stop the rest."""
    plan(batch, subject, None)
    planned = list(subject.planned.values())
    name = next((p for p in planned if p.mapping.column_id == "name"), None)
    if name is None or name.hold or name.send_raw is None:
        return Row(subject, invalid=(name.hold if name else "") or "no name is mapped")
    held = {p.mapping.label: p.hold for p in planned if p.hold}
    values: dict[str, dict[str, Any]] = {}
    for one in planned:
        if one.send_raw is not None and not one.hold:
            try:
                values[one.mapping.key] = _announced(one)
            except NoCell as reason:
                return Row(subject, ordinary=f"{one.mapping.label}: {reason}", left_out=held)
    return Row(subject, values, left_out=held)


def _announced(planned: Planned) -> dict[str, Any]:
    mapping = planned.mapping
    column_type = planned.convert.column_type
    if not can_be_imported(column_type):
        raise NoCell(f"Monday's bulk import takes no columns of the type {column_type}")
    value = column_value(planned)
    settings = mapping.options.get("settings") or {}
    return {
        "local": planned.send_raw,
        "sent": value,
        "read": None,
        "base": None,
        "column": mapping.column_id,
        "version": mapping.version,
        "cell": cell(column_type, value, settings),
    }


def intent_of(batch: Batch, backfill: Backfill, row: Row) -> Intent:
    """Return the intent that stands for the row until it is known what became of it."""
    return Intent(
        id=uuid.uuid4(),
        entity_type=batch.board.link.entity_type,
        entity_id=row.subject.id,
        board_id=batch.board.link.board_id,
        item_id="",
        lease_token=batch.lease.token,
        idempotency_key=backfill.pk.hex,
        values=row.values,
        state=IntentState.OPEN,
        deadline=SyncNow(),
        backfill=backfill,
    )
