"""The calls that take a deleted record's item off the board, or take its NPD ID from it.

As every write: announced by intents under the lease, an alias a record, divided only where Monday refused the document
before it ran; what became of a call without an answer is read by the next look.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from django.conf import settings

from sync import account
from sync.budget import sending
from sync.choices import GuardKind, RecordGone, TombstoneState
from sync.clock import SyncNow
from sync.connectors.monday.client import Answer
from sync.connectors.monday.documents import Change, Document, change
from sync.connectors.monday.errors import ItemInactive, ItemNotFound, MondayError, Scope
from sync.connectors.monday.items import Item, parse_written
from sync.connectors.monday.removals import Removal, archive_items, delete_items
from sync.engine import intents
from sync.engine.burying import lets_rest, was_let_go
from sync.engine.graves import Grave
from sync.engine.guarding import Act, allowed, rejected
from sync.engine.paused_graves import stopped_calls
from sync.engine.refusals import call_failed, close_intent
from sync.engine.subjects import Batch, Outcome
from sync.models import BoardLink, Intent, IntentState, Tombstone

log = structlog.get_logger(__name__)

_BECOMES = {RecordGone.ARCHIVE: TombstoneState.ARCHIVED, RecordGone.DELETE: TombstoneState.DELETED}


def remove(batch: Batch, wanted: Mapping[RecordGone, Sequence[Grave]]) -> None:
    """Send what was decided, as far as the guard lets it go; raises LeaseLost."""
    for act in (RecordGone.ARCHIVE, RecordGone.DELETE):
        _send(batch, act, _past_the_guard(batch, wanted.get(act, ())))
    _send(batch, RecordGone.UNLINK, wanted.get(RecordGone.UNLINK, ()))


def _past_the_guard(batch: Batch, graves: Sequence[Grave]) -> list[Grave]:
    """What a person chose for one record goes; the rest only as long as it isn't more than is plausible."""
    asking = [grave for grave in graves if grave.choice is None]
    kept = rejected(batch, GuardKind.ITEMS, [grave.stone.entity_id for grave in asking])
    acts = {_act(grave): grave for grave in asking if grave.stone.entity_id not in kept}
    going = allowed(batch, GuardKind.ITEMS, list(acts))
    for grave in asking:
        if grave.stone.entity_id in kept:
            grave.rest(
                TombstoneState.KEPT,
                "Deleted in NPD. A person rejected that its item leaves the board, so it stays as it is.",
            )
    for act, grave in acts.items():
        if act not in going:
            grave.rest(
                TombstoneState.HELD,
                "Deleted in NPD. So many were deleted at once that its item waits for approval: "
                "see “Waiting for approval” in the admin.",
                kind="guard",
            )
    return [grave for grave in graves if grave.choice is not None or _act(grave) in going]


def _act(grave: Grave) -> Act:
    label = f"The item of “{grave.name}”, which was deleted in NPD"
    return Act(grave.stone.entity_id, grave.stone.monday_id or "", "", label, {"record": grave.name})


def _send(batch: Batch, act: RecordGone, graves: Sequence[Grave]) -> None:
    if batch.only_plans:
        for grave in graves:
            grave.would = act
        return None
    if not graves:
        return None
    if batch.stopped:
        return _give_back(graves, batch.stopped)
    key = uuid.uuid4().hex
    going = _announce(batch, act, graves, key)
    if not going:
        return None
    intents.check_freshness(batch)
    batch.calls += 1
    try:
        with sending(batch.board.link, len(going), writes=True):
            answer = account.client().execute(*_document(batch, act, going), idempotency_key=key)
    except MondayError as error:
        return _whole_failed(batch, act, going, error)
    return _settle_answers(batch, act, going, answer)


def _give_back(graves: Sequence[Grave], why: str) -> None:
    for grave in graves:
        grave.subject.end(Outcome.GIVEN_BACK, why)


def _document(batch: Batch, act: RecordGone, graves: Sequence[Grave]) -> Document:
    board = batch.board
    ids = [(f"r{n}", str(grave.stone.monday_id)) for n, grave in enumerate(graves)]
    if act is RecordGone.UNLINK:
        changes = [Change(alias, item_id, {board.link.npd_id_column: None}) for alias, item_id in ids]
        return change(board.link.board_id, changes, board.columns, board.types)
    removals = [Removal(alias, item_id) for alias, item_id in ids]
    removing = delete_items if act is RecordGone.DELETE else archive_items
    return removing(removals, board.columns, board.types)


def _announce(batch: Batch, act: RecordGone, graves: Sequence[Grave], key: str) -> list[Grave]:
    """Commit an intent for each grave whose record is still gone and whose item nobody took over."""
    hard = settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS
    batch.announced = time.monotonic()
    batch.lease.renew(hard + settings.MONDAY_TIMEOUT_SECONDS)
    with batch.lease.held():
        going = _still_wanted(batch, act, stopped_calls(batch, graves))
        for number, grave in enumerate(going):
            grave.subject.intent = Intent(
                id=uuid.uuid4(),
                entity_type=batch.board.link.entity_type,
                entity_id=grave.stone.entity_id,
                board_id=batch.board.link.board_id,
                item_id=str(grave.stone.monday_id),
                lease_token=batch.lease.token,
                idempotency_key=key,
                alias=f"r{number}",
                values={},
                body={"removes": str(act)},
                state=IntentState.OPEN,
                deadline=SyncNow() + timedelta(seconds=hard),
            )
        Intent.objects.bulk_create([g.subject.intent for g in going if g.subject.intent])
    return going


def _still_wanted(batch: Batch, act: RecordGone, graves: Sequence[Grave]) -> list[Grave]:
    """Read again what may have changed since the decision: the policy, the record, the item's owner."""
    records = batch.board.model._default_manager
    back = set(records.filter(pk__in=[g.stone.entity_id for g in graves]).values_list("pk", flat=True))
    items = [str(g.stone.monday_id) for g in graves]
    owned = set(records.filter(monday_id__in=items).values_list("monday_id", flat=True))
    policy = BoardLink.objects.values_list("record_gone", flat=True).get(pk=batch.board.link.pk)
    ids = [g.stone.pk for g in graves]
    items_now = dict(Tombstone.objects.filter(pk__in=ids).values_list("pk", "monday_id"))
    going = []
    for grave in graves:
        moved = items_now.get(grave.stone.pk) != grave.stone.monday_id
        changed = grave.choice is None and policy != act
        if grave.stone.entity_id in back or grave.stone.monday_id in owned or moved or changed:
            grave.subject.end(Outcome.GIVEN_BACK, "What was known of it changed while it was looked at.")
        else:
            going.append(grave)
    return going


def _whole_failed(batch: Batch, act: RecordGone, graves: Sequence[Grave], error: MondayError) -> None:
    """A document that Monday refused is divided; one whose outcome is unknown never is."""
    subjects = [grave.subject for grave in graves]
    log.warning("document failed", records=len(graves), scope=str(error.scope), reason=error.sentence)
    if error.scope not in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN):
        return call_failed(batch, subjects, error)
    intents.void(subjects)
    if len(graves) == 1:
        return _refused(batch, graves[0], error)
    half = len(graves) // 2
    _send(batch, act, graves[:half])
    return _send(batch, act, graves[half:])


def _settle_answers(batch: Batch, act: RecordGone, graves: Sequence[Grave], answer: Answer) -> None:
    written = parse_written(answer, [f"r{n}" for n in range(len(graves))], batch.board.columns)
    for number, grave in enumerate(graves):
        result = written[f"r{number}"]
        if grave.subject.intent:
            grave.subject.intent.request_id = answer.request_id or ""
        if isinstance(result, Item):
            _done(grave, act, result)
        else:
            _refused(batch, grave, result)


def _done(grave: Grave, act: RecordGone, item: Item) -> None:
    grave.subject.written = item
    if act is RecordGone.UNLINK:
        return was_let_go(grave, item)
    return lets_rest(grave, _BECOMES[act], item)


def _refused(batch: Batch, grave: Grave, error: MondayError) -> None:
    """One alias was refused: the item is gone already, the board is closed to us, or this record's failure counts."""
    if not error.outcome_unknown:
        close_intent(grave.subject, IntentState.REFUSED)
    if isinstance(error, ItemNotFound | ItemInactive):
        grave.rest(TombstoneState.GONE, f"Deleted in NPD. {error.sentence} Nothing is left to do.")
    elif error.scope in (Scope.BOARD, Scope.ACCOUNT, Scope.LIMIT):
        batch.stopped = error.sentence
        account.hold(batch.board.link, error)
        grave.subject.end(Outcome.GIVEN_BACK, error.sentence)
    else:
        grave.note = f"Deleted in NPD. Its item could not be taken off the board: {error.sentence}"
        grave.subject.end(Outcome.FAILED, error.sentence)
