"""The write calls of a look: many changes in one document, creates in documents of their own.

An intent is committed before each call, and nothing is sent again after it by anyone but the next look.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from sync import account
from sync.connectors.monday.client import Answer
from sync.connectors.monday.documents import Change, Create, Document, change, create
from sync.connectors.monday.errors import (
    AnswerWithoutData,
    ItemInactive,
    ItemNotFound,
    MondayError,
    NameRefused,
    Scope,
)
from sync.connectors.monday.items import Item, parse_written
from sync.engine import intents
from sync.engine.subjects import Batch, Outcome, Planned, Subject, converter_of
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
    _send(batch, refused, _creates(batch), keeps_body=True)


def _values(batch: Batch, subject: Subject, only: str | None = None) -> dict[str, Any]:
    """What to write to the item's columns, by column id."""
    values: dict[str, Any] = {}
    for key, planned in subject.planned.items():
        if planned.send_raw is not None and only in (None, key):
            convert = converter_of(planned.mapping)
            values[planned.mapping.column_id] = convert.write(planned.send_raw, planned.remote_raw)
    if (subject.write_npd_id or subject.creates) and only is None:
        values[batch.board.link.npd_id_column] = str(subject.id)
    return values


def _changes(batch: Batch) -> Build:
    def build(subjects: Sequence[Subject]) -> Document:
        entries = [Change(f"r{n}", s.item.id, _values(batch, s)) for n, s in enumerate(subjects) if s.item]
        return change(batch.board.link.board_id, entries, batch.board.columns)

    return build


def _creates(batch: Batch) -> Build:
    def build(subjects: Sequence[Subject]) -> Document:
        entries = [
            Create(f"r{n}", _name(s), _without_name(_values(batch, s))) for n, s in enumerate(subjects)
        ]
        return create(
            batch.board.link.board_id, batch.board.link.group_id or None, entries, batch.board.columns
        )

    return build


def _name(subject: Subject) -> str:
    planned = next(p for p in subject.planned.values() if p.mapping.column_id == "name")
    return str(converter_of(planned.mapping).write(planned.local_raw, None))


def _without_name(values: dict[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in values.items() if column != "name"}


def _send(batch: Batch, subjects: Sequence[Subject], build: Build, *, keeps_body: bool = False) -> None:
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
    batch.calls += 1
    try:
        answer = account.client().execute(*document, idempotency_key=key)
    except MondayError as error:
        _whole_failed(batch, subjects, build, error, keeps_body)
        return
    _settle_answers(batch, subjects, answer)


def _settle_answers(batch: Batch, subjects: Sequence[Subject], answer: Answer) -> None:
    written = parse_written(answer, [f"r{n}" for n in range(len(subjects))], batch.board.columns)
    for number, subject in enumerate(subjects):
        result = written[f"r{number}"]
        if subject.intent:
            subject.intent.request_id = answer.request_id or ""
        if isinstance(result, Item):
            _written(subject, result)
        else:
            _refused(batch, subject, result)


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
    if error.scope is Scope.DOCUMENT:
        intents.void(subjects)
        if len(subjects) == 1:
            subjects[0].end(Outcome.FAILED, error.sentence)
            return
        half = len(subjects) // 2
        _send(batch, subjects[:half], build, keeps_body=keeps_body)
        _send(batch, subjects[half:], build, keeps_body=keeps_body)
        return
    call_failed(batch, subjects, error)


def call_failed(batch: Batch, subjects: Sequence[Subject], error: MondayError) -> None:
    """End subjects whose call failed as a whole: what concerns the account or board costs them no attempt."""
    if isinstance(error, AnswerWithoutData):
        intents.answered_without_data(subjects)
        for subject in subjects:
            subject.alone = len(subjects) > 1
            subject.end(Outcome.GIVEN_BACK if subject.alone else Outcome.FAILED, error.sentence)
        return
    if not error.outcome_unknown:
        intents.void(subjects)
    counts = _is_records_own(subjects, error)
    _hold_what_failed(batch, error, len(batch.subjects) or 1)
    for subject in subjects:
        subject.end(Outcome.FAILED if counts else Outcome.GIVEN_BACK, error.sentence)


def _is_records_own(subjects: Sequence[Subject], error: MondayError) -> bool:
    """What fails alone after a good probe is that record's failure, and counts."""
    return error.scope is Scope.TRANSPORT and len(subjects) == 1 and account.batch_size() == 1


def _hold_what_failed(batch: Batch, error: MondayError, size: int) -> None:
    if error.scope in (Scope.BOARD, Scope.COLUMN):
        account.block(batch.board.link, error)
        return
    account.pause(error)
    if error.scope is Scope.TRANSPORT:
        account.shrink_batches(size)


def _refused(batch: Batch, subject: Subject, error: MondayError) -> None:
    """One alias was refused, the others stand: hold the value, or end this record."""
    if error.scope in (Scope.FIELD, Scope.COLUMN):
        _value_refused(batch, subject, error)
    elif isinstance(error, ItemNotFound | ItemInactive):
        _close_intent(subject, IntentState.REFUSED)
        subject.ledger.remote_state = "inactive"
        subject.end(Outcome.SETTLED, note=f"{error.sentence} Nothing was changed in NPD.")
    elif error.scope in (Scope.BOARD, Scope.ACCOUNT, Scope.LIMIT):
        _close_intent(subject, IntentState.REFUSED)
        _hold_what_failed(batch, error, len(batch.subjects))
        subject.end(Outcome.GIVEN_BACK, error.sentence)
    else:
        if not error.outcome_unknown:
            _close_intent(subject, IntentState.REFUSED)
        subject.end(Outcome.FAILED, error.sentence)


def _close_intent(subject: Subject, state: IntentState) -> None:
    if subject.intent:
        Intent.objects.filter(pk=subject.intent.pk).update(state=state)
        subject.intent = None


def _value_refused(batch: Batch, subject: Subject, error: MondayError) -> None:
    """Find the value that Monday refuses: by the column it names, as the only one sent, or by sending each alone."""
    _close_intent(subject, IntentState.REFUSED)
    if error.column_id == batch.board.link.npd_id_column:
        account.block(batch.board.link, error)
        subject.end(Outcome.GIVEN_BACK, error.sentence)
        return
    sent = [p for p in subject.planned.values() if p.send_raw is not None]
    guilty = _guilty(sent, error)
    if guilty is not None:
        _hold_value(subject, guilty, error)
    if subject.creates:
        _create_refused(subject, guilty, error)
        return
    rest = [p for p in sent if p is not guilty]
    if guilty is None and not sent:
        subject.end(Outcome.FAILED, error.sentence)
    elif rest or subject.write_npd_id:
        _send_each(batch, subject, rest, error)


def _create_refused(subject: Subject, guilty: Planned | None, error: MondayError) -> None:
    """Without its name it can't be made; without another value it is made with the name alone, and the rest follows."""
    if guilty is not None and guilty.mapping.column_id == "name":
        subject.end(Outcome.SETTLED, note=f"It can't be put on the board: {error.sentence}")
    elif subject.bare:
        subject.end(Outcome.FAILED, error.sentence)
    else:
        subject.bare = True
        for planned in subject.planned.values():
            if planned.mapping.column_id != "name":
                planned.send_raw = None


def _guilty(sent: Sequence[Planned], error: MondayError) -> Planned | None:
    if isinstance(error, NameRefused):
        return next((p for p in sent if p.mapping.column_id == "name"), None)
    if len(sent) == 1:
        return sent[0]
    return next((p for p in sent if p.mapping.column_id == error.column_id), None)


def _hold_value(subject: Subject, planned: Planned, error: MondayError) -> None:
    convert = converter_of(planned.mapping)
    value = convert.display(convert.local(planned.local_raw))
    planned.hold = f"Monday refused “{value}”. {error.sentence} The record's other fields flow."
    planned.send_raw = planned.write_raw = None
    subject.say("held", f"{planned.mapping.label}: {planned.hold}", planned.mapping.key)


def _send_each(batch: Batch, subject: Subject, rest: Sequence[Planned], error: MondayError) -> None:
    """Send each value of a refused change under an alias of its own, so that only the bad one is held."""
    assert subject.item is not None
    entries = [
        Change(f"v{n}", subject.item.id, _values(batch, subject, only=p.mapping.key))
        for n, p in enumerate(rest)
    ]
    if subject.write_npd_id:
        entries.append(Change("npdid", subject.item.id, {batch.board.link.npd_id_column: str(subject.id)}))
    document = change(batch.board.link.board_id, entries, batch.board.columns)
    key = uuid.uuid4().hex
    if not intents.announce(batch, [subject], key):
        return
    batch.calls += 1
    try:
        answer = account.client().execute(*document, idempotency_key=key)
    except MondayError as failed:
        call_failed(batch, [subject], failed)
        return
    results = parse_written(answer, [entry.alias for entry in entries], batch.board.columns)
    _settle_each(batch, subject, rest, results)


def _settle_each(batch: Batch, subject: Subject, rest: Sequence[Planned], results: dict[str, Any]) -> None:
    for number, planned in enumerate(rest):
        result = results[f"v{number}"]
        if isinstance(result, Item):
            subject.written = result
        elif result.scope in (Scope.FIELD, Scope.COLUMN):
            _hold_value(subject, planned, result)
        else:
            for unsent in rest[number:]:
                unsent.send_raw = None
            _refused(batch, subject, result)
            return
    if isinstance(named := results.get("npdid"), Item):
        subject.written = named
