"""The calls about copies: the NPD ID is taken off them all, then those that are ours are archived.

As every write: announced by intents under the lease, an alias an item. What became of a call without an answer is read
when the copy's row is claimed again; both calls may be repeated.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from django.conf import settings

from sync import account
from sync.budget import sending
from sync.choices import QueueDirection
from sync.clock import SyncNow
from sync.connectors.monday.documents import Change, Document, change
from sync.connectors.monday.errors import ItemInactive, ItemNotFound, MondayError, Scope
from sync.connectors.monday.items import Item, parse_written
from sync.connectors.monday.removals import Removal, archive_items
from sync.engine import intents
from sync.engine.copies import Copy, answered, find_answered, tell_ours
from sync.engine.copies_told import settle_copies, wait_with_copies
from sync.engine.subjects import Batch, Outcome
from sync.models import Intent, IntentState
from sync.pausing import paused_for_writers, words

log = structlog.get_logger(__name__)

Build = Callable[[Batch, Sequence[Copy]], Document]


def part_copies(batch: Batch) -> None:
    """Decide and carry out what becomes of the look's copies, and end their rows; raises LeaseLost."""
    if QueueDirection.TO_MONDAY in batch.paused:
        return wait_with_copies(batch)
    try:
        find_answered(batch)
    except MondayError as error:
        log.warning("copies not read", reason=error.sentence)
        for subject in [s for s in batch.open if any(answered(s))]:
            subject.end(Outcome.GIVEN_BACK, error.sentence)
    if not batch.copies:
        return None
    tell_ours(batch)
    _send(batch, [copy for copy in batch.copies if not copy.cleared], _clearing, _cleared)
    _send(batch, [c for c in _going(batch) if c.cleared and c.wants_archive], _archiving, _archived)
    for copy in _going(batch):
        copy.outcome = Outcome.SETTLED
    return settle_copies(batch)


def _going(batch: Batch) -> list[Copy]:
    return [copy for copy in batch.copies if copy.outcome is Outcome.OPEN]


def _clearing(batch: Batch, copies: Sequence[Copy]) -> Document:
    board = batch.board
    changes = [Change(f"r{n}", c.item.id, {board.link.npd_id_column: None}) for n, c in enumerate(copies)]
    return change(board.link.board_id, changes, board.columns, board.types)


def _archiving(batch: Batch, copies: Sequence[Copy]) -> Document:
    removals = [Removal(f"r{n}", copy.item.id) for n, copy in enumerate(copies)]
    return archive_items(removals, batch.board.columns, batch.board.types)


def _cleared(copy: Copy) -> None:
    copy.cleared = True


def _archived(copy: Copy) -> None:
    copy.archived = True


def _send(batch: Batch, copies: Sequence[Copy], build: Build, done: Callable[[Copy], None]) -> None:
    if not copies:
        return None
    if batch.stopped:
        return _give_back(copies, batch.stopped)
    key = uuid.uuid4().hex
    if why := _announce(batch, copies, key):
        return _give_back(copies, why)
    intents.check_freshness(batch)
    batch.calls += 1
    try:
        with sending(batch.board.link, len(copies), writes=True):
            answer = account.client().execute(*build(batch, copies), idempotency_key=key)
    except MondayError as error:
        return _failed(batch, copies, build, done, error)
    written = parse_written(answer, [f"r{n}" for n in range(len(copies))], batch.board.columns)
    for number, copy in enumerate(copies):
        _settle_one(batch, copy, written[f"r{number}"], done)
    return None


def _announce(batch: Batch, copies: Sequence[Copy], key: str) -> str:
    """Commit an intent for each; return why nothing may be sent, where writing was paused since the look began."""
    hard = settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS
    batch.announced = time.monotonic()
    batch.lease.renew(hard + settings.MONDAY_TIMEOUT_SECONDS)
    with batch.lease.held():
        paused = paused_for_writers(batch.board.link.entity_type).get(QueueDirection.TO_MONDAY)
        if paused is not None:
            return words(paused, QueueDirection.TO_MONDAY)
        for number, copy in enumerate(copies):
            copy.intent = Intent(
                id=uuid.uuid4(),
                entity_type=batch.board.link.entity_type,
                entity_id=copy.record.pk,
                board_id=batch.board.link.board_id,
                item_id=copy.item.id,
                lease_token=batch.lease.token,
                idempotency_key=key,
                alias=f"r{number}",
                values={},
                body={"copy": True},
                state=IntentState.OPEN,
                deadline=SyncNow() + timedelta(seconds=hard),
            )
        Intent.objects.bulk_create([copy.intent for copy in copies if copy.intent])
    return ""


def _settle_one(batch: Batch, copy: Copy, result: Item | MondayError, done: Callable[[Copy], None]) -> None:
    if isinstance(result, Item):
        _close(copy, IntentState.APPLIED)
        done(copy)
    elif isinstance(result, ItemNotFound | ItemInactive):
        # Somebody was faster: it bears the NPD ID, but is not on the board any more.
        _close(copy, IntentState.REFUSED)
        copy.cleared = copy.archived = True
    else:
        if not result.outcome_unknown:
            _close(copy, IntentState.REFUSED)
        whole = result.scope in (Scope.BOARD, Scope.ACCOUNT, Scope.LIMIT)
        if whole:
            batch.stopped = result.sentence
            account.hold(batch.board.link, result)
        copy.outcome, copy.words = (Outcome.GIVEN_BACK if whole else Outcome.FAILED), result.sentence


def _failed(
    batch: Batch, copies: Sequence[Copy], build: Build, done: Callable[[Copy], None], error: MondayError
) -> None:
    """A document that Monday refused is divided; one whose outcome is unknown is read again by the next look."""
    if not error.outcome_unknown:
        for copy in copies:
            _close(copy, IntentState.VOID)
    refused = error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)
    if refused and len(copies) > 1:
        half = len(copies) // 2
        _send(batch, copies[:half], build, done)
        return _send(batch, copies[half:], build, done)
    if not refused:
        batch.stopped = error.sentence
        account.hold(batch.board.link, error)
    for copy in copies:
        copy.outcome, copy.words = (
            (Outcome.FAILED if refused else Outcome.GIVEN_BACK),
            error.sentence,
        )
    return None


def _close(copy: Copy, state: IntentState) -> None:
    if copy.intent is not None:
        Intent.objects.filter(pk=copy.intent.pk).update(state=state, settled_at=SyncNow())


def _give_back(copies: Sequence[Copy], words: str) -> None:
    for copy in copies:
        copy.outcome, copy.words = Outcome.GIVEN_BACK, words
