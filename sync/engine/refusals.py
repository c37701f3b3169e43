"""What a call that failed, or an alias that was refused, means for the records it carried."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sync import account
from sync.budget import sending
from sync.connectors.monday.documents import Change, change
from sync.connectors.monday.errors import (
    AnswerWithoutData,
    BoardForbidden,
    ItemInactive,
    ItemNotFound,
    MondayError,
    NameRefused,
    Scope,
)
from sync.connectors.monday.items import Item, parse_written
from sync.engine import intents
from sync.engine.planned import creates_labels
from sync.engine.subjects import Batch, Outcome, Planned, Subject, column_value
from sync.models import Intent, IntentState


def call_failed(batch: Batch, subjects: Sequence[Subject], error: MondayError) -> None:
    """End subjects whose call failed as a whole: what concerns the account or board costs them no attempt."""
    if isinstance(error, AnswerWithoutData):
        # Creates are left to the look-up by NPD ID, which waits for Monday's search to catch up.
        intents.answered_without_data([subject for subject in subjects if not subject.creates])
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
    """What concerns board or account holds it, and nothing more is sent in this look."""
    batch.stopped = error.sentence
    account.hold(batch.board.link, error)
    if error.scope is Scope.TRANSPORT:
        account.shrink_batches(size)


def refused(batch: Batch, subject: Subject, error: MondayError, *, others_done: bool = False) -> None:
    """One alias was refused, the others stand: hold the value, or end this record.

    `others_done`: another record of the document was written, so the board itself is open to the token's user.
    """
    if _is_values_own(error, others_done=others_done):
        _value_refused(batch, subject, error)
    elif isinstance(error, ItemNotFound | ItemInactive):
        close_intent(subject, IntentState.REFUSED)
        subject.ledger.remote_state = "inactive"
        # It left the board after it was read: the next look, a minute later, reads its state and decides by that.
        subject.end(Outcome.FAILED, error.sentence)
    elif error.scope in (Scope.BOARD, Scope.ACCOUNT, Scope.LIMIT):
        close_intent(subject, IntentState.REFUSED)
        _hold_what_failed(batch, error, len(batch.subjects))
        subject.end(Outcome.GIVEN_BACK, error.sentence)
    else:
        if not error.outcome_unknown:
            close_intent(subject, IntentState.REFUSED)
        subject.end(Outcome.FAILED, error.sentence)


def _is_values_own(error: MondayError, *, others_done: bool) -> bool:
    """Whether only a value is refused; columns and items can be closed to some users on a board that isn't."""
    closed = others_done and isinstance(error, BoardForbidden)
    return closed or error.scope in (Scope.FIELD, Scope.COLUMN)


def close_intent(subject: Subject, state: IntentState) -> None:
    """End the intent of a subject's call, of which the answer said what became of it."""
    if subject.intent:
        Intent.objects.filter(pk=subject.intent.pk).update(state=state)
        subject.intent = None


def _value_refused(batch: Batch, subject: Subject, error: MondayError) -> None:
    """Find the value that Monday refuses: by the column it names, as the only one sent, or by sending each alone."""
    close_intent(subject, IntentState.REFUSED)
    if error.column_id == batch.board.link.npd_id_column:
        batch.stopped = error.sentence
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
        _send_each(batch, subject, rest, others_done=isinstance(error, BoardForbidden))


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
    value = planned.shown(planned.send_raw or planned.local_raw)
    advice = "Choose another value." if planned.choice else error.advice
    why = error.message.rstrip(" .")
    planned.hold = f"Monday refused “{value}”: {why}. {advice} The record's other fields flow."
    planned.refused = True
    planned.send_raw = planned.write_raw = None
    subject.say(
        "held", f"{planned.mapping.label}: {planned.hold}", planned.mapping.key, request=error.request_id
    )


def _send_each(batch: Batch, subject: Subject, rest: Sequence[Planned], *, others_done: bool) -> None:
    """Send each value of a refused change under an alias of its own, so that only the bad one is held."""
    assert subject.item is not None
    entries = [
        Change(f"v{n}", subject.item.id, {p.mapping.column_id: column_value(p)}) for n, p in enumerate(rest)
    ]
    if subject.write_npd_id:
        entries.append(Change("npdid", subject.item.id, {batch.board.link.npd_id_column: str(subject.id)}))
    document = change(
        batch.board.link.board_id,
        entries,
        batch.board.columns,
        batch.board.types,
        create_labels=creates_labels(rest),
    )
    key = uuid.uuid4().hex
    if not intents.announce(batch, [subject], key):
        return
    intents.check_freshness(batch)
    batch.calls += 1
    try:
        with sending(batch.board.link, len(entries), writes=True):
            answer = account.client().execute(*document, idempotency_key=key)
    except MondayError as failed:
        call_failed(batch, [subject], failed)
        return
    results = parse_written(answer, [entry.alias for entry in entries], batch.board.columns)
    done = others_done or any(isinstance(result, Item) for result in results.values())
    _settle_each(batch, subject, rest, results, others_done=done)


def _settle_each(
    batch: Batch, subject: Subject, rest: Sequence[Planned], results: dict[str, Any], *, others_done: bool
) -> None:
    for number, planned in enumerate(rest):
        result = results[f"v{number}"]
        if isinstance(result, Item):
            subject.written = planned.answered = result
        elif _is_values_own(result, others_done=others_done):
            _hold_value(subject, planned, result)
        else:
            for unsent in rest[number:]:
                unsent.send_raw = None
            refused(batch, subject, result)
            return
    if isinstance(named := results.get("npdid"), Item):
        subject.written = named
