"""What a look would do, line by line, read off the batch that decided and was never written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.choices import QueueStatus, RecordGone, TombstoneState
from sync.connectors.monday.converters import UnknownValue
from sync.engine.findings import findings_of
from sync.engine.gone import Act
from sync.engine.graves import Grave
from sync.engine.subjects import Batch, Outcome, Planned, Subject
from sync.hooks import KIND_FIELDS, KIND_OVERWRITTEN
from sync.models import Decision, SyncQueue


class What(StrEnum):
    """What would happen, in the order in which it is told."""

    PUSH = "push"
    PULL = "pull"
    CREATE = "create"
    LINK = "link"
    NEW_RECORD = "new record"
    CONFLICT = "conflict"
    ASK = "ask"
    ARCHIVE = "archive"
    DELETE_ITEM = "delete item"
    DELETE_RECORD = "delete record"
    UNLINK = "unlink"
    HELD = "held"
    LEFT = "left"
    FAILED = "failed"


WRITING = frozenset({What.PUSH, What.CREATE, What.ARCHIVE, What.DELETE_ITEM, What.UNLINK})
"""What costs points of a write on Monday."""
_REMOVALS = {
    RecordGone.ARCHIVE: What.ARCHIVE,
    RecordGone.DELETE: What.DELETE_ITEM,
    RecordGone.UNLINK: What.UNLINK,
}
_ACTS = {Act.CREATE: What.CREATE, Act.DELETE: What.DELETE_RECORD, Act.UNLINK: What.UNLINK}
_CANDIDATES = {"create": What.NEW_RECORD, "link": What.LINK}


@dataclass(frozen=True)
class Entry:
    """One thing that would happen to one record, item or field; values as displayed."""

    what: What
    entity_type: str
    name: str
    entity_id: UUID | None = None
    item_id: str = ""
    field: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""


def entries_of(batch: Batch) -> Iterator[Entry]:
    """Yield what the batch decided; to be called in the transaction in which it did."""
    for subject in batch.subjects:
        yield from of_subject(subject)
    for grave in batch.graves:
        yield from _of_grave(grave)
    yield from _of_candidates(batch)


def of_subject(subject: Subject) -> Iterator[Entry]:
    """Yield what the look would do with one record; nothing where both sides stand as agreed."""
    found = [*_of_record(subject), *_conflicts(subject)]
    if subject.open:
        found += _moves(subject)
    found += [
        _entry(subject, What.HELD, planned, reason=planned.hold)
        for planned in subject.planned.values()
        if planned.hold and not planned.left_out and not planned.conflict
    ]
    yield from found
    if subject.outcome in (Outcome.FAILED, Outcome.GIVEN_BACK):
        yield _entry(subject, What.FAILED, reason=subject.words)
    elif not found and subject.note:
        yield _entry(subject, What.LEFT, reason=subject.note)


def _entry(subject: Subject, what: What, planned: Planned | None = None, **values: str) -> Entry:
    return Entry(
        what,
        subject.record.entity_type(),
        str(subject.record),
        subject.id,
        subject.record.monday_id or subject.item_id,
        planned.mapping.label if planned else "",
        **values,
    )


def _of_record(subject: Subject) -> Iterator[Entry]:
    if subject.gone is not None and subject.gone.act:
        yield _entry(
            subject, _ACTS[subject.gone.act], reason=f"{subject.gone.what} {subject.gone.by}".strip()
        )
    elif subject.unlinks:
        yield _entry(subject, What.UNLINK, reason="It is to be unlinked.")
    elif subject.open and subject.creates:
        yield _entry(subject, What.CREATE, reason="It has no item on the board.")
    elif subject.link_to:
        name = subject.item.name if subject.item else subject.link_to
        yield _entry(subject, What.LINK, after=name, reason="Its item was found on the board.")


def _moves(subject: Subject) -> Iterator[Entry]:
    """A created item's fields stand in it, and are no moves of their own."""
    for planned in subject.planned.values():
        local, remote = planned.shown(planned.local_raw), _remote(planned)
        reason = planned.decision.reason
        if planned.send_raw is not None and not subject.creates:
            after = planned.shown(planned.send_raw)
            yield _entry(subject, What.PUSH, planned, before=remote, after=after, reason=reason)
        if planned.write_raw is not None:
            after = planned.shown(planned.write_raw)
            yield _entry(subject, What.PULL, planned, before=local, after=after, reason=reason)


def _remote(planned: Planned) -> str:
    if planned.remote_raw is None:
        return ""
    try:
        return planned.convert.display(planned.convert.remote(planned.remote_raw))
    except UnknownValue:
        return "(not known)"


def _conflicts(subject: Subject) -> Iterator[Entry]:
    """What would wait for a person, new or not."""
    labels = {key: planned.mapping.label for key, planned in subject.planned.items()}
    for finding in findings_of(subject):
        if finding.kind in (KIND_FIELDS, KIND_OVERWRITTEN):
            for one in finding.fields:
                planned = subject.planned.get(one.key)
                if planned is not None and planned.choice:
                    continue
                entry = _entry(
                    subject, What.CONFLICT, before=one.npd or "", after=one.monday or "", reason=one.note
                )
                yield _named(entry, labels.get(one.key, one.key))
        elif finding.data:
            yield _entry(subject, What.ASK, reason=str(finding.data.get("what", "")))


def _named(entry: Entry, field: str) -> Entry:
    return Entry(
        entry.what, entry.entity_type, entry.name, entry.entity_id, entry.item_id, field,
        entry.before, entry.after, entry.reason,
    )  # fmt: skip


def _of_grave(grave: Grave) -> Iterator[Entry]:
    about: Mapping[str, Any] = {
        "entity_type": grave.stone.entity_type,
        "name": grave.name,
        "entity_id": grave.stone.entity_id,
        "item_id": grave.stone.monday_id or "",
    }
    if grave.would is not None:
        yield Entry(_REMOVALS[grave.would], **about, reason="Its record was deleted in NPD.")
    elif grave.question is not None:
        yield Entry(What.ASK, **about, reason=str(grave.question.data.get("what", "")))
    elif grave.brings_back:
        yield Entry(What.NEW_RECORD, **about, reason="A person chose to bring it back.")
    elif grave.becomes is TombstoneState.HELD:
        yield Entry(What.HELD, **about, reason=grave.note)
    elif grave.subject.outcome in (Outcome.FAILED, Outcome.GIVEN_BACK):
        yield Entry(What.FAILED, **about, reason=grave.subject.words)


def _of_candidates(batch: Batch) -> Iterator[Entry]:
    """What became of items without a record: by the lines that were written for them, else by how their rows ended."""
    rows = {claimed.rows[0].pk: claimed for claimed in batch.candidates}
    if not rows:
        return
    entity_type = batch.board.link.entity_type
    told = {
        line.remote_id: line
        for line in Decision.objects.filter(batch_id=batch.id, kind__in=_CANDIDATES, remote_id__gt="")
    }
    for row in SyncQueue.objects.filter(pk__in=rows).order_by("pk"):
        item = row.remote_id or ""
        if line := told.get(item):
            record = batch.board.model._default_manager.filter(monday_id=item).first()
            what = _CANDIDATES[line.kind]
            yield Entry(what, entity_type, str(record), line.entity_id, item, reason=line.sentence)
        elif row.error_message.startswith("Who is this?"):
            yield Entry(What.ASK, entity_type, f"item {item}", None, item, reason=row.error_message)
        else:
            why = (
                row.error_message if row.status == QueueStatus.COMPLETED else row.reason or row.error_message
            )
            yield Entry(What.LEFT, entity_type, f"item {item}", None, item, reason=why)
