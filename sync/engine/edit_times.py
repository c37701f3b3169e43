"""When a field got its present value on each side: what the rule “newest” goes by.

A record's `updated_at` and an item's are no field's time: an unrelated edit moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection

from sync.authors import latest_edits
from sync.clock import SyncNow
from sync.engine.planned import Planned
from sync.engine.subjects import Batch, Subject
from sync.engine.told import told_of
from sync.engine.values import field_of
from sync.merge import Edited, Field
from sync.models import WebhookEvent


def edited(batch: Batch, subject: Subject, planned: Planned, field: Field) -> Edited:
    """Return when the field was edited on each side, as far as NPD's history and Monday's own times tell."""
    return Edited(_in_npd(subject, planned), _on_monday(batch, subject, planned, field))


def _in_npd(subject: Subject, planned: Planned) -> datetime | None:
    """The change in NPD's history that gave the field its value; what the sync itself wrote is nobody's edit."""
    history = latest_edits(type(subject.record), [subject.id]).get(subject.id, [])
    names = [field_of(subject.record, name).attname for name in planned.mapping.fields]
    for event, before in zip(history, [*history[1:], None], strict=True):
        if before is None and event.pgh_label != "insert":
            return None
        if before is None or any(getattr(event, name) != getattr(before, name) for name in names):
            context = event.pgh_context.metadata if event.pgh_context else {}
            return None if context.get("cause") == "sync" else _by_our_clock(event.pgh_created_at)
    return None


def _by_our_clock(at: datetime) -> datetime:
    """History takes PostgreSQL's own time, everything else `sync_now()`, which tests move."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sync_now() - clock_timestamp()")
        ahead: timedelta = cursor.fetchone()[0]
    # The two are read a moment apart; what is left then is no difference of clocks.
    return at + ahead if abs(ahead) > timedelta(seconds=1) else at


def _on_monday(batch: Batch, subject: Subject, planned: Planned, field: Field) -> datetime | None:
    """When the newest event told just this value, else the time that the column itself keeps, as dates do.

    A later event of another value says that the one which brought this value back never came.
    """
    rows = WebhookEvent.objects.filter(
        item_id=subject.record.monday_id,
        board_id=batch.board.link.board_id,
        received_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS),
    )
    told = [event for event in told_of(batch.board, subject.record, rows) if event.key == field.key]
    newest = max((event.at for event in told), default=None)
    known = any(event.value == field.remote for event in told if event.at == newest)
    return newest if known else _column_time(subject, planned)


def _column_time(subject: Subject, planned: Planned) -> datetime | None:
    value = subject.item.reading(planned.mapping.column_id).value if subject.item else None
    told = value.get("changed_at") if isinstance(value, Mapping) else None
    try:
        at = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
