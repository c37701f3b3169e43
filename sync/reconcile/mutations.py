"""The write calls of a pass: announced, sent, divided where Monday refuses one, and confirmed alias by alias."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from django.conf import settings

from sync import connectors
from sync.choices import BlockedCode, QueueDirection
from sync.clock import SyncNow
from sync.connectors.base.board_items import Item, ItemChange, ItemCreate, WriteRequest, WriteResult
from sync.connectors.base.connector import Connector
from sync.connectors.base.errors import (
    AnswerWithoutData,
    BoardForbidden,
    ConnectorError,
    ItemInactive,
    ItemNotFound,
    NameRejected,
    Scope,
)
from sync.limits import breaker, call_cost, metered_client
from sync.merge import Action
from sync.models import FieldMapping, Intent, IntentState
from sync.outbox.lease import LeaseLost
from sync.outbox.pauses import active_pause
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit
from sync.reconcile.field_plan import FieldPlan, may_create_labels, value_to_send
from sync.reconcile.reads import items_with_npd_ids
from sync.reconcile.restraints import unpaused_records
from sync.reconcile.sides import cleared_columns

INTENT_SECONDS = 10
"""A call is sent within milliseconds of its announcement, or not at all."""

IDEMPOTENCY_MINUTES = 30
"""How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency)."""

log = structlog.get_logger(__name__)
U = TypeVar("U", bound=WorkUnit)


class Mutation(ABC, Generic[U]):
    """One kind of call that writes, with an alias for each unit: what is particular to it, and `send`."""

    replayable: ClassVar[bool] = False
    """Whether its intents keep the request's body, so that it can be sent again under its key."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    @abstractmethod
    def request(self, units: Sequence[U]) -> WriteRequest:
        """Return what is sent; the n-th unit has the alias rn."""

    def changes(self, changes: Sequence[ItemChange], *, create_labels: bool = False) -> WriteRequest:
        """Return the request that changes these items."""
        board = self.batch.board
        return connectors.get(board.link.system).prepare_changes(
            board.link.board_id, changes, board.columns, board.types, create_labels=create_labels
        )

    @abstractmethod
    def target(self, unit: U) -> tuple[uuid.UUID, str]:
        """Return the record and the item that the call is about; a create has no item yet."""

    def values(self, unit: U) -> dict[str, Any]:
        """Return what the intent says of each field that is written."""
        return {}

    def body(self) -> dict[str, Any] | None:
        """Return what the intent says of the call itself."""

    def still_wanted(self, units: Sequence[U]) -> Sequence[U]:
        """Read again what may have changed since it was decided, end what is not to be sent, and return the rest."""
        return units

    @abstractmethod
    def done(self, unit: U, item: Item) -> None:
        """Note that Monday did it; `item` is as the answer shows it."""

    def value_refused(self, unit: U, error: ConnectorError, *, others_done: bool) -> bool:
        """See to an error that concerns one value only; False where it is none, or this kind sends no values."""
        return False

    def item_gone(self, unit: U, error: ConnectorError) -> None:
        """Note that the item is not on the board any more."""
        unit.end(Outcome.FAILED, error.sentence)

    def failed(self, unit: U, error: ConnectorError) -> None:
        """Note that it failed for the unit's own sake."""
        unit.end(Outcome.FAILED, error.sentence)

    def send(self, units: Sequence[U]) -> None:
        """Announce the call, make it, and note on each unit what became of it; raises LeaseLost.

        An intent is committed before the call, and nothing is sent again after it by anyone but the next pass.
        """
        if self.batch.stop_reason:
            for unit in units:
                unit.end(Outcome.RELEASED, self.batch.stop_reason)
            return
        key = uuid.uuid4().hex
        allowed, request = commit_intents(self, units, key) if units else ([], None)
        if request is None:
            return
        check_intent_age(self.batch)
        try:
            with write_call(self.batch, len(allowed)) as connector:
                result = connector.write(request, key)
        except ConnectorError as error:
            _end_failed_document(self, allowed, error)
        else:
            self.confirm(allowed, result)

    def confirm(self, units: Sequence[U], result: WriteResult) -> None:
        """Note on every unit what the answer says of its alias."""
        done = any(isinstance(written, Item) for written in result.by_alias.values())
        for number, unit in enumerate(units):
            written = result.by_alias[f"r{number}"]
            if unit.intent:
                unit.intent.request_id = result.request_id
            if isinstance(written, Item):
                unit.written_item = written
                self.done(unit, written)
            else:
                end_rejected_alias(self, unit, written, others_done=done)


def commit_intents(mutation: Mutation[U], units: Sequence[U], key: str) -> tuple[Sequence[U], WriteRequest | None]:
    """Commit an intent for each unit that may still be written; return these with the request. Raises LeaseLost.

    Where writing to Monday was paused since the pass began, all are released. The lease is renewed past the call's
    hard deadline.
    """
    batch = mutation.batch
    deadline_seconds = settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS
    batch.intended_at = time.monotonic()
    with batch.lease.transaction(seconds=deadline_seconds + settings.MONDAY_TIMEOUT_SECONDS):
        allowed = mutation.still_wanted(unpaused_records(batch, units, QueueDirection.TO_MONDAY))
        if not allowed:
            return [], None
        request = mutation.request(allowed)
        for number, unit in enumerate(allowed):
            entity_id, item_id = mutation.target(unit)
            unit.intent = Intent(
                id=uuid.uuid4(),
                entity_type=batch.entity_type,
                entity_id=entity_id,
                board_id=batch.link.board_id,
                item_id=item_id,
                lease_token=batch.lease.token,
                idempotency_key=key,
                alias=f"r{number}",
                values=mutation.values(unit),
                body=mutation.body(),
                state=IntentState.OPEN,
                deadline=SyncNow() + timedelta(seconds=deadline_seconds),
            )
        if mutation.replayable and allowed[0].intent:
            allowed[0].intent.body = dict(request.body)
        Intent.objects.bulk_create([unit.intent for unit in allowed if unit.intent])
    return allowed, request


def check_intent_age(batch: Batch) -> None:
    """Send nothing that was announced too long ago, as by a process that was frozen; raises LeaseLost.

    By then another worker may hold the board, and the intent's deadline says nothing any more.
    """
    if time.monotonic() - batch.intended_at > INTENT_SECONDS:
        raise LeaseLost("This process was suspended between announcing a call and sending it; nothing was sent.")


@contextmanager
def write_call(batch: Batch, size: int) -> Iterator[Connector]:
    """The connector for one call that writes, about so many records."""
    batch.calls += 1
    with call_cost(batch.link, size, writes=True):
        yield metered_client.connector(batch.link.system)


def _end_failed_document(mutation: Mutation[U], units: Sequence[U], error: ConnectorError) -> None:
    """A document that Monday refused is bisected; one whose outcome is unknown never is."""
    log.warning("document failed", records=len(units), scope=str(error.scope), reason=error.sentence)
    if error.scope not in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN):
        end_failed_call(mutation.batch, units, error)
        return
    void_intents(units)
    if len(units) == 1:
        end_rejected_alias(mutation, units[0], error, others_done=False)
        return
    half = len(units) // 2
    mutation.send(units[:half])
    mutation.send(units[half:])


def void_intents(units: Sequence[WorkUnit]) -> None:
    """The call was certainly not carried out: its intents bind nobody."""
    ids = [unit.intent.pk for unit in units if unit.intent]
    Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(state=IntentState.VOID, settled_at=SyncNow())
    for unit in units:
        unit.intent = None


def close_intent(unit: WorkUnit, state: IntentState) -> None:
    """End the intent of a unit's call, of which the answer said what became of it."""
    if unit.intent:
        # Reads of the next minutes are compared with what took effect, by the time at which that was known.
        known = {"settled_at": SyncNow()} if state is IntentState.APPLIED else {}
        Intent.objects.filter(pk=unit.intent.pk).update(state=state, **known)
        unit.intent = None


def is_create(intent: Intent) -> bool:
    """Return whether it announced a new item: it sends a name and has read nothing before."""
    entries = intent.values.values()
    return all(entry.get("read") is None for entry in entries) and any(entry["column"] == "name" for entry in entries)


# What a call that failed, or an alias that was refused, means for what it was about.


def end_failed_call(batch: Batch, units: Sequence[WorkUnit], error: ConnectorError) -> None:
    """End units whose call failed as a whole: what concerns the account or board costs them no attempt."""
    if isinstance(error, AnswerWithoutData):
        # The request is over, but what it did is not told: both sides may be read again at once. Creates are left to
        # the look-up by NPD ID, which waits for Monday's search to catch up.
        ids = [unit.intent.pk for unit in units if unit.intent and unit.intent.item_id]
        Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(deadline=SyncNow())
        for unit in units:
            unit.isolate = len(units) > 1
            unit.end(Outcome.RELEASED if unit.isolate else Outcome.FAILED, error.sentence)
        return
    if not error.outcome_unknown:
        void_intents(units)
    # What fails alone after a good probe is that record's failure, and counts.
    counts_attempt = error.scope is Scope.TRANSPORT and len(units) == 1 and breaker.batch_size() == 1
    _trip_breaker(batch, error, len(batch.record_syncs) or 1)
    for unit in units:
        unit.end(Outcome.FAILED if counts_attempt else Outcome.RELEASED, error.sentence)


def _trip_breaker(batch: Batch, error: ConnectorError, size: int) -> None:
    """What concerns board or account stops it, and nothing more is sent in this pass."""
    batch.stop_reason = error.sentence
    breaker.trip(batch.link, error)
    if error.scope is Scope.TRANSPORT:
        breaker.shrink_batches(size)


def end_rejected_alias(mutation: Mutation[U], unit: U, error: ConnectorError, *, others_done: bool) -> None:
    """One alias was refused, the others stand.

    `others_done`: another one of the document was carried out, so the board itself is open to the token's user.
    """
    if mutation.value_refused(unit, error, others_done=others_done):
        return
    if not error.outcome_unknown:
        close_intent(unit, IntentState.REJECTED)
    if isinstance(error, ItemNotFound | ItemInactive):
        mutation.item_gone(unit, error)
    elif error.scope in (Scope.BOARD, Scope.ACCOUNT, Scope.LIMIT):
        _trip_breaker(mutation.batch, error, len(mutation.batch.record_syncs))
        unit.end(Outcome.RELEASED, error.sentence)
    else:
        mutation.failed(unit, error)


# What is written of records: many changes in one document, creates in documents of their own, and the values of a
# refused change one by one.


class _OfRecord(Mutation[RecordSync]):
    """What all kinds of calls that write a record's values have in common."""

    def target(self, unit: RecordSync) -> tuple[uuid.UUID, str]:
        return unit.id, unit.item.id if unit.item else ""

    def values(self, unit: RecordSync) -> dict[str, Any]:
        return {
            key: {
                "local": p.send_raw,
                "read": p.remote_raw,
                "base": p.base,
                "column": p.mapping.column_id,
                "version": p.mapping.version,
                # The record takes a united list only with the answer: until then its own is no later edit of it.
                "united": p.decision.action is Action.BOTH and not p.choose,
            }
            for key, p in unit.field_plans.items()
            if p.send_raw is not None
        }

    def still_wanted(self, units: Sequence[RecordSync]) -> Sequence[RecordSync]:
        """A record that was switched off, or whose mapping changed since it was read, is released."""
        records = self.batch.records.in_bulk([s.id for s in units])
        names = ("key", "version", "direction", "link__sync_filter")
        mappings = list(FieldMapping.objects.filter(link=self.batch.link).values_list(*names))
        mapped = {key: (version, direction) for key, version, direction, _ in mappings}
        same_filter = all(sync_filter == self.batch.link.sync_filter for *_, sync_filter in mappings)
        for record_sync in units:
            before, now = record_sync.record, records.get(record_sync.id)
            is_same = now is not None and all(
                getattr(now, name) == getattr(before, name) for name in ("sync_enabled", "sync_direction", "monday_id")
            )
            plans = record_sync.field_plans.values()
            if (
                not is_same
                or not same_filter
                or any(mapped.get(p.mapping.key) != (p.mapping.version, p.mapping.direction) for p in plans)
            ):
                record_sync.drop(Outcome.RELEASED, "Its settings changed while it was synced.")
        return [record_sync for record_sync in units if record_sync.is_open]

    def done(self, unit: RecordSync, item: Item) -> None:
        _apply_written(unit, item)

    def item_gone(self, unit: RecordSync, error: ConnectorError) -> None:
        """It left the board after it was read: the next pass, a minute later, reads its state and decides by that."""
        unit.ledger.remote_state = "inactive"
        unit.end(Outcome.FAILED, error.sentence)

    def value_refused(self, unit: RecordSync, error: ConnectorError, *, others_done: bool) -> bool:
        """Find the refused value: by the column that Monday names, as the only one sent, or by sending each alone."""
        if not _is_value_rejection(error, others_done=others_done):
            return False
        batch = self.batch
        close_intent(unit, IntentState.REJECTED)
        if error.column_id == batch.link.npd_id_column:
            batch.stop_reason = error.sentence
            breaker.trip_board(batch.link, error)
            unit.end(Outcome.RELEASED, error.sentence)
            return True
        sent = [p for p in unit.field_plans.values() if p.send_raw is not None]
        column = "name" if isinstance(error, NameRejected) else error.column_id
        rejected_plan = next((p for p in sent if p.mapping.column_id == column), None)
        if len(sent) == 1 and not isinstance(error, NameRejected):
            rejected_plan = sent[0]
        if rejected_plan is not None:
            _block_value(unit, rejected_plan, error)
        rest = [p for p in sent if p is not rejected_plan]
        if unit.creates:
            _end_rejected_create(unit, rejected_plan, error)
        elif rejected_plan is None and not sent:
            unit.end(Outcome.FAILED, error.sentence)
        elif rest or unit.write_npd_id:
            SingleValues(batch, rest, others_done=isinstance(error, BoardForbidden)).send([unit])
        return True


class Changes(_OfRecord):
    """The values of items that are there."""

    def request(self, units: Sequence[RecordSync]) -> WriteRequest:
        entries = [ItemChange(f"r{n}", s.item.id, _column_values(self.batch, s)) for n, s in enumerate(units) if s.item]
        return self.changes(entries, create_labels=_may_create_labels(units))


class Creates(_OfRecord):
    """New items, each with its NPD ID."""

    replayable = True

    def request(self, units: Sequence[RecordSync]) -> WriteRequest:
        board = self.batch.board
        entries = []
        for number, record_sync in enumerate(units):
            values = _column_values(self.batch, record_sync)
            values.pop("name", None)
            name = next(p for p in record_sync.field_plans.values() if p.mapping.column_id == "name")
            entries.append(ItemCreate(f"r{number}", str(name.convert.to_remote(name.local_raw, None)), values))
        return connectors.get(board.link.system).prepare_creates(
            board.link.board_id,
            board.link.group_id or None,
            entries,
            board.columns,
            board.types,
            create_labels=_may_create_labels(units),
        )


class SingleValues(_OfRecord):
    """Each value of one record's refused change under an alias of its own, so that only the bad one is blocked."""

    def __init__(self, batch: Batch, rest: Sequence[FieldPlan], *, others_done: bool) -> None:
        super().__init__(batch)
        self.rest, self.others_done = rest, others_done

    def request(self, units: Sequence[RecordSync]) -> WriteRequest:
        entries = [
            ItemChange(f"v{n}", record_sync.item.id, {p.mapping.column_id: value_to_send(p)})
            for record_sync in units
            if record_sync.item
            for n, p in enumerate(self.rest)
        ]
        entries += [
            ItemChange("npdid", record_sync.item.id, {self.batch.link.npd_id_column: str(record_sync.id)})
            for record_sync in units
            if record_sync.item and record_sync.write_npd_id
        ]
        return self.changes(entries, create_labels=may_create_labels(self.rest))

    def value_refused(self, unit: RecordSync, error: ConnectorError, *, others_done: bool) -> bool:
        return False

    def confirm(self, units: Sequence[RecordSync], result: WriteResult) -> None:
        [record_sync] = units
        done = self.others_done or any(isinstance(written, Item) for written in result.by_alias.values())
        for number, field_plan in enumerate(self.rest):
            written = result.by_alias[f"v{number}"]
            if isinstance(written, Item):
                record_sync.written_item = record_sync.answers[field_plan.mapping.key] = written
            elif _is_value_rejection(written, others_done=done):
                _block_value(record_sync, field_plan, written)
            else:
                for unsent in self.rest[number:]:
                    record_sync.field_plans[unsent.mapping.key] = replace(unsent, send_raw=None)
                end_rejected_alias(self, record_sync, written, others_done=False)
                return
        if isinstance(named := result.by_alias.get("npdid"), Item):
            record_sync.written_item = named


def send(batch: Batch) -> None:
    """Send what the plans ask for and note on every record what became of it; raises LeaseLost."""
    Changes(batch).send([s for s in batch.open_records if not s.creates and _column_values(batch, s)])
    creates, to_retry = Creates(batch), _voided_creates(batch)
    new = [s for s in batch.open_records if s.creates and _may_be_created(s)]
    creates.send([s for s in new if s.id not in to_retry])
    for record_sync in [s for s in new if s.id in to_retry]:
        creates.send([record_sync])
    # One that was refused for one of its values is made with its name alone; the rest follows, blocked or not.
    bare = [s for s in batch.open_records if s.create_only and s.written_item is None]
    if bare and not batch.stop_reason:
        bare = _without_existing_items(batch, bare)
    creates.send(bare)


def count_calls(batch: Batch) -> int:
    """Return how many documents `send` would send, where Monday takes them all; ends what can't be created."""
    changes = any(not s.creates and _column_values(batch, s) for s in batch.open_records)
    creates = [s.id for s in batch.open_records if s.creates and _may_be_created(s)]
    alone = _voided_creates(batch) & set(creates)
    return int(changes) + len(alone) + int(len(creates) > len(alone))


def _voided_creates(batch: Batch) -> set[uuid.UUID]:
    """Records whose create once had an unknown outcome go one by one, each under a key of its own."""
    ids = [s.id for s in batch.open_records if s.creates]
    voided = Intent.objects.filter(entity_id__in=ids, item_id="", state=IntentState.VOID, lookups__gt=0)
    return set(voided.values_list("entity_id", flat=True))


def create_problem(record_sync: RecordSync) -> str:
    """Return why no item can be made of a planned record; empty where one can."""
    name = next((p for p in record_sync.field_plans.values() if p.mapping.column_id == "name"), None)
    return name.blocked_reason if name else "no name is mapped"


def _may_be_created(record_sync: RecordSync) -> bool:
    if reason := create_problem(record_sync):
        record_sync.leave_open(f"It can't be put on the board: {reason}.")
    return not reason


def _without_existing_items(batch: Batch, record_syncs: Sequence[RecordSync]) -> list[RecordSync]:
    """An answer may say that a value was refused though the item was made: no second create without a look-up."""
    batch.calls += 1
    try:
        found = items_with_npd_ids(batch.board, [str(s.id) for s in record_syncs])
    except ConnectorError as error:
        end_failed_call(batch, record_syncs, error)
        return []
    for record_sync in record_syncs:
        if found is None:
            record_sync.end(Outcome.RELEASED, "The NPD IDs on the board can't be read.")
        elif str(record_sync.id) in found:
            _apply_written(record_sync, found[str(record_sync.id)])
    return [s for s in record_syncs if s.is_open and s.written_item is None]


def _column_values(batch: Batch, record_sync: RecordSync) -> dict[str, Any]:
    """What to write to the item's columns, by column id."""
    if record_sync.unlink_reason:
        return cleared_columns(batch, record_sync)
    sent = [field_plan for field_plan in record_sync.field_plans.values() if field_plan.send_raw is not None]
    values = {field_plan.mapping.column_id: value_to_send(field_plan) for field_plan in sent}
    if record_sync.write_npd_id or record_sync.creates:
        values[batch.link.npd_id_column] = str(record_sync.id)
    return values


def _may_create_labels(record_syncs: Sequence[RecordSync]) -> bool:
    """Whether a value that is sent may be a label that its column doesn't have yet."""
    return any(may_create_labels(s.field_plans.values()) for s in record_syncs)


def _apply_written(record_sync: RecordSync, item: Item) -> None:
    record_sync.written_item = item
    if record_sync.creates:
        record_sync.link_to, record_sync.item = item.id, item
        record_sync.ledger.remote_state = item.state
        record_sync.log_decision("create", f"Made the item “{item.name}” on the board.")


def _is_value_rejection(error: ConnectorError, *, others_done: bool) -> bool:
    """Whether only a value is refused; columns and items can be closed to some users on a board that isn't."""
    closed = others_done and isinstance(error, BoardForbidden)
    return closed or error.scope in (Scope.FIELD, Scope.COLUMN)


def _end_rejected_create(record_sync: RecordSync, rejected_plan: FieldPlan | None, error: ConnectorError) -> None:
    """Without its name it can't be made; without another value it is made with the name alone, and the rest follows."""
    if rejected_plan is not None and rejected_plan.mapping.column_id == "name":
        record_sync.leave_open(f"It can't be put on the board: {error.sentence}")
    elif record_sync.create_only:
        record_sync.end(Outcome.FAILED, error.sentence)
    else:
        record_sync.create_only = True
        for key, field_plan in record_sync.field_plans.items():
            if field_plan.mapping.column_id != "name":
                record_sync.field_plans[key] = replace(field_plan, send_raw=None)


def _block_value(record_sync: RecordSync, field_plan: FieldPlan, error: ConnectorError) -> None:
    value = field_plan.display_local(field_plan.send_raw or field_plan.local_raw)
    advice = "Choose another value." if field_plan.choose else error.advice
    why = error.message.rstrip(" .")
    hold = f"Monday rejected “{value}”: {why}. {advice} The record's other fields are synced."
    record_sync.field_plans[field_plan.mapping.key] = field_plan.block(BlockedCode.REJECTED, hold)
    record_sync.log_decision(
        "blocked", f"{field_plan.mapping.label}: {hold}", field_plan.mapping.key, request=error.request_id
    )


# Tags that a pass needs and that Monday doesn't have yet: made before the values that name them are
# sent.
#
# Making one that is there already finds it (developer.monday.com/api-reference/reference/tags-1),
# so this call may be repeated and needs no intent.


_TAG_REJECTIONS = frozenset({Scope.FIELD, Scope.COLUMN, Scope.RECORD, Scope.DOCUMENT, Scope.BOARD})
"""Refusals of the tag itself. That this token may make none here is no reason to leave the board alone."""

TAGS_PER_CALL = 50
"""Half of the smallest plan's minute: what was made is there the next time, where the rest found no room."""


def create_missing_tags(batch: Batch) -> None:
    """Make what is missing before it is named; a value with a tag that Monday refuses is blocked alone."""
    # The items' tags are remembered: by them their webhooks are understood without a call.
    plans_read = [field_plan for record_sync in batch.record_syncs for field_plan in record_sync.field_plans.values()]
    batch.board.directory.learn_tags(
        {tag: name for plan in plans_read for tag, name in plan.convert.tag_names(plan.remote_raw).items()}
    )
    names, rejections = missing_tags(batch), dict[str, ConnectorError]()
    if not names or active_pause(batch.entity_type, QueueDirection.TO_MONDAY):
        return
    plans = [
        (s, p, missing) for s in batch.open_records for p in s.field_plans.values() if (missing := _missing_tags_of(p))
    ]
    try:
        for start in range(0, len(names), TAGS_PER_CALL):
            rejections |= _create_tags_of(batch, names[start : start + TAGS_PER_CALL])
    except ConnectorError as error:
        end_failed_call(
            batch, [s for s in batch.open_records if any(map(_missing_tags_of, s.field_plans.values()))], error
        )
        return
    for record_sync, field_plan, missing in plans:
        if left := [name for name in missing if name in rejections]:
            why = rejections[left[0]]
            detail = f"Monday rejected the tag “{left[0]}”: {why.message.rstrip(' .')}. {why.advice}"
            record_sync.field_plans[field_plan.mapping.key] = field_plan.block(BlockedCode.REJECTED, detail)


def missing_tags(batch: Batch) -> list[str]:
    """Return the names of the tags that would have to be made first."""
    plans = [field_plan for s in batch.open_records for field_plan in s.field_plans.values()]
    return sorted({name for field_plan in plans for name in _missing_tags_of(field_plan)})


def _missing_tags_of(field_plan: FieldPlan) -> list[str]:
    return field_plan.convert.missing_tags(field_plan.send_raw) if field_plan.send_raw is not None else []


def _create_tags_of(batch: Batch, names: Sequence[str]) -> dict[str, ConnectorError]:
    """Make these tags and learn their ids; return what was refused, found by halving; raises ConnectorError."""
    try:
        with write_call(batch, len(names)) as connector:
            tags = connector.create_tags(names, batch.link.board_id, uuid.uuid4().hex)
        batch.board.directory.learn_tags(tags)
    except ConnectorError as error:
        if error.scope not in _TAG_REJECTIONS:
            raise
        if len(names) == 1:
            return {names[0]: error}
        half = len(names) // 2
        return _create_tags_of(batch, names[:half]) | _create_tags_of(batch, names[half:])
    return {}
