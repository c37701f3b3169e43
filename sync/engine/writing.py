"""The write calls of a look: many changes in one document, creates in documents of their own.

An intent is committed before each call, and nothing is sent again after it by anyone but the next look.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from sync import account
from sync.budget import sending
from sync.connectors.monday.client import Answer
from sync.connectors.monday.documents import Change, Create, Document, change, create
from sync.connectors.monday.errors import (
    MondayError,
    Scope,
)
from sync.connectors.monday.items import Item, parse_written
from sync.engine import intents
from sync.engine.planned import creates_labels
from sync.engine.reading import items_bearing
from sync.engine.refusals import call_failed, refused
from sync.engine.subjects import Batch, Outcome, Subject, column_value
from sync.engine.unlinking import cleared_columns
from sync.models import Intent, IntentState

log = structlog.get_logger(__name__)

Build = Callable[[Sequence[Subject]], Document]


def write(batch: Batch) -> None:
    """Send what the plans ask for and note on every subject what became of it; raises LeaseLost."""
    _send(batch, [s for s in batch.open if not s.creates and _values(batch, s)], _changes(batch))
    anew = _made_before(batch)
    fresh = [s for s in batch.open if s.creates and s.id not in anew]
    _send_creates(batch, fresh)
    for subject in [s for s in batch.open if s.creates and s.id in anew]:
        _send_creates(batch, [subject])
    _send_bare(batch)


def calls_to_write(batch: Batch) -> int:
    """Return how many documents `write` would send, where Monday takes them all; ends what can't be created."""
    changes = any(not s.creates and _values(batch, s) for s in batch.open)
    creates = [s.id for s in batch.open if s.creates and _may_be_created(s)]
    alone = _made_before(batch) & set(creates)
    return int(changes) + len(alone) + int(len(creates) > len(alone))


def _made_before(batch: Batch) -> set[uuid.UUID]:
    """Records whose create once had an unknown outcome go one by one, each under a key of its own."""
    ids = [s.id for s in batch.open if s.creates]
    lost = Intent.objects.filter(entity_id__in=ids, item_id="", state=IntentState.VOID, looks__gt=0)
    return set(lost.values_list("entity_id", flat=True))


def _send_creates(batch: Batch, subjects: Sequence[Subject]) -> None:
    ready = [s for s in subjects if _may_be_created(s)]
    _send(batch, ready, _creates(batch), keeps_body=True)


def _may_be_created(subject: Subject) -> bool:
    name = next((p for p in subject.planned.values() if p.mapping.column_id == "name"), None)
    if name is None or name.hold:
        subject.end(
            Outcome.SETTLED,
            note=f"It can't be put on the board: {name.hold if name else 'no name is mapped'}.",
        )
        return False
    return True


def _send_bare(batch: Batch) -> None:
    """A create that was refused for one of its values is made with its name alone; the rest follows, held or not."""
    refused = [s for s in batch.open if s.bare and s.written is None]
    _send(batch, _not_made_all_the_same(batch, refused), _creates(batch), keeps_body=True)


def _not_made_all_the_same(batch: Batch, subjects: Sequence[Subject]) -> list[Subject]:
    """An answer may say that a value was refused though the item was made: no second create without a look-up."""
    if batch.stopped or not subjects:
        return list(subjects)
    batch.calls += 1
    try:
        found = items_bearing(batch.board, [str(s.id) for s in subjects])
    except MondayError as error:
        call_failed(batch, subjects, error)
        return []
    if found is None:
        for subject in subjects:
            subject.end(Outcome.GIVEN_BACK, "The NPD IDs on the board can't be read.")
        return []
    for subject in subjects:
        if str(subject.id) in found:
            _written(subject, found[str(subject.id)])
    return [s for s in subjects if s.written is None]


def _values(batch: Batch, subject: Subject) -> dict[str, Any]:
    """What to write to the item's columns, by column id."""
    if subject.unlinks:
        return cleared_columns(batch, subject)
    sent = [planned for planned in subject.planned.values() if planned.send_raw is not None]
    values = {planned.mapping.column_id: column_value(planned) for planned in sent}
    if subject.write_npd_id or subject.creates:
        values[batch.board.link.npd_id_column] = str(subject.id)
    return values


def _changes(batch: Batch) -> Build:
    def build(subjects: Sequence[Subject]) -> Document:
        entries = [Change(f"r{n}", s.item.id, _values(batch, s)) for n, s in enumerate(subjects) if s.item]
        return change(
            batch.board.link.board_id,
            entries,
            batch.board.columns,
            batch.board.types,
            create_labels=_create_labels(subjects),
        )

    return build


def _creates(batch: Batch) -> Build:
    def build(subjects: Sequence[Subject]) -> Document:
        entries = [
            Create(f"r{n}", _name(s), _without_name(_values(batch, s))) for n, s in enumerate(subjects)
        ]
        return create(
            batch.board.link.board_id,
            batch.board.link.group_id or None,
            entries,
            batch.board.columns,
            batch.board.types,
            create_labels=_create_labels(subjects),
        )

    return build


def _create_labels(subjects: Sequence[Subject]) -> bool:
    """Whether a value that is sent may be a label that its column doesn't have yet."""
    return any(creates_labels(s.planned.values()) for s in subjects)


def _name(subject: Subject) -> str:
    planned = next(p for p in subject.planned.values() if p.mapping.column_id == "name")
    return str(planned.convert.write(planned.local_raw, None))


def _without_name(values: dict[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in values.items() if column != "name"}


def _send(batch: Batch, subjects: Sequence[Subject], build: Build, *, keeps_body: bool = False) -> None:
    if batch.stopped:
        for subject in subjects:
            subject.end(Outcome.GIVEN_BACK, batch.stopped)
        return
    if not subjects:
        return
    key = uuid.uuid4().hex
    document = build(subjects)
    body = {"text": document.text, "variables": dict(document.variables)} if keeps_body else None
    allowed = intents.announce(batch, subjects, key, body)
    if len(allowed) < len(subjects):
        intents.void(allowed)
        _send(batch, allowed, build, keeps_body=keeps_body)
        return
    intents.check_freshness(batch)
    batch.calls += 1
    try:
        with sending(batch.board.link, len(subjects), writes=True):
            answer = account.client().execute(*document, idempotency_key=key)
    except MondayError as error:
        _whole_failed(batch, subjects, build, error, keeps_body)
        return
    _settle_answers(batch, subjects, answer)


def _settle_answers(batch: Batch, subjects: Sequence[Subject], answer: Answer) -> None:
    written = parse_written(answer, [f"r{n}" for n in range(len(subjects))], batch.board.columns)
    done = any(isinstance(result, Item) for result in written.values())
    for number, subject in enumerate(subjects):
        result = written[f"r{number}"]
        if subject.intent:
            subject.intent.request_id = answer.request_id or ""
        if isinstance(result, Item):
            _written(subject, result)
        else:
            refused(batch, subject, result, others_done=done)


def _written(subject: Subject, item: Item) -> None:
    subject.written = item
    if subject.creates:
        subject.link_to, subject.item = item.id, item
        subject.ledger.remote_state = item.state
        subject.say("create", f"Made the item “{item.name}” on the board.")


def _whole_failed(
    batch: Batch, subjects: Sequence[Subject], build: Build, error: MondayError, keeps_body: bool
) -> None:
    """A document that Monday refused is bisected; one whose outcome is unknown never is."""
    log.warning("document failed", records=len(subjects), scope=str(error.scope), reason=error.sentence)
    if error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN):
        intents.void(subjects)
        if len(subjects) == 1:
            refused(batch, subjects[0], error)
            return
        half = len(subjects) // 2
        _send(batch, subjects[:half], build, keeps_body=keeps_body)
        _send(batch, subjects[half:], build, keeps_body=keeps_body)
        return
    call_failed(batch, subjects, error)
