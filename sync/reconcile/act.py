"""Act, the one executor: announces what was planned, sends it, divides what Monday refuses, answers what was done.

Nothing else under sync/ calls a mutation. What is sent (`Write`) and what became of it (`Answer`) are frozen values.
Decides of MERGE.md: what an answer means, "a field … held" where Monday refuses its value, "never linked … none →
create the item" where it is made with its name alone.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from sync import connectors
from sync.choices import BlockedCode, DeletedRecordPolicy, QueueDirection
from sync.clock import SyncNow
from sync.connectors.base.board_items import (
    NAME_COLUMN,
    Item,
    ItemChange,
    ItemCreate,
    ItemRemoval,
    WriteRequest,
    WriteResult,
)
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
from sync.limits import breaker, call_cost, connector
from sync.merge import Action
from sync.models import ApprovalRequest, FieldMapping, Intent, IntentState, SyncedModel
from sync.outbox.lease import Lease, LeaseLost
from sync.outbox.pauses import active_pause, locked_pauses, pause_sentence
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit
from sync.reconcile.field_plan import FieldPlan
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import unconfirmed_before
from sync.reconcile.reads import items_with_npd_ids
from sync.reconcile.sides import cleared_columns

INTENT_SECONDS = 10
"""A call is sent within milliseconds of its announcement, or not at all."""

IDEMPOTENCY_MINUTES = 30
"""How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency)."""

TAGS_PER_CALL = 16
"""Half of the smallest plan's minute: what was made is there the next time, where the rest found no room."""

log = structlog.get_logger(__name__)

# What is sent.


@dataclass(frozen=True)
class FieldWrite:
    """A field's value as its column takes it; `entry` is what the intent says of it."""

    key: str
    column_id: str
    value: Any
    entry: Mapping[str, Any]
    creates_labels: bool = False


@dataclass(frozen=True)
class Expected:
    """What was so when a write was decided, and must be so still when it is announced.

    Of a record its own `settings` and each mapping's version and direction, by key; of a deleted record its tombstone,
    and the policy where no person chose.
    """

    settings: tuple[bool, str, str | None] = (True, "", None)
    mappings: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    tombstone: int | None = None
    policy: DeletedRecordPolicy | None = None


@dataclass(frozen=True)
class Write:
    """What is sent about one unit: the values of its fields, other columns by id, and a new item's name.

    `approval` counts it, stored where it is announced, so that a crash leaves it counted; once, however it is divided.
    """

    unit: str
    record_id: UUID
    item_id: str = ""
    fields: tuple[FieldWrite, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    expected: Expected = field(default_factory=Expected)
    approval: ApprovalRequest | None = None

    @property
    def values(self) -> dict[str, Any]:
        """All values by column id."""
        return {one.column_id: one.value for one in self.fields} | dict(self.columns)


class Kind(StrEnum):
    """What a call does with items."""

    CHANGE = "change"
    CREATE = "create"
    ARCHIVE = "archive"
    DELETE = "delete"


@dataclass(frozen=True)
class Call:
    """One kind of call, with an alias for each unit.

    `unwanted` reads again, under the lease, what may have changed since it was decided: unit → why it isn't sent.
    `body` is what the intents say of the call itself. `has_values`: it writes a record's values, of which Monday may
    refuse one. `alone`: each value of one unit has an alias of its own; `others_done`: another unit's were carried out.
    """

    kind: Kind
    unwanted: Callable[[BoardContext, Sequence[Write]], Mapping[str, str]]
    body: Mapping[str, Any] | None = None
    has_values: bool = False
    alone: bool = False
    others_done: bool = False

    def request(self, board: BoardContext, writes: Sequence[Write]) -> WriteRequest:
        """Return what is sent; the n-th unit has the alias rn, of one that is sent value by value the n-th value vn."""
        connector, link = connectors.get(board.link.system), board.link
        aliased = [(f"r{number}", write) for number, write in enumerate(writes)]
        labels = any(one.creates_labels for write in writes for one in write.fields)
        if self.kind is Kind.CREATE:
            named = [(alias, w.name, {c: v for c, v in w.values.items() if c != NAME_COLUMN}) for alias, w in aliased]
            creates, group = [ItemCreate(*one) for one in named], link.group_id or None
            return connector.prepare_creates(
                link.board_id, group, creates, board.columns, board.types, create_labels=labels
            )
        if self.kind is Kind.CHANGE:
            changes = [ItemChange(alias, w.item_id, w.values) for alias, w in aliased]
            if self.alone:
                changes = [change for write in writes for change in _single_changes(write)]
            return connector.prepare_changes(link.board_id, changes, board.columns, board.types, create_labels=labels)
        prepare = connector.prepare_delete if self.kind is Kind.DELETE else connector.prepare_archive
        return prepare([ItemRemoval(alias, w.item_id) for alias, w in aliased], board.columns, board.types)


def _single_changes(write: Write) -> Iterator[ItemChange]:
    for number, one in enumerate(write.fields):
        yield ItemChange(f"v{number}", write.item_id, {one.column_id: one.value})
    if write.columns:
        yield ItemChange("npdid", write.item_id, write.columns)


# What must still be so as a call is announced; asked under the lease, so that what changed since is not sent.


def changed_records(board: BoardContext, writes: Sequence[Write]) -> dict[str, str]:
    """Return the records that were switched off, or whose mapping changed, since they were read."""
    records = board.model._default_manager.in_bulk([write.record_id for write in writes])
    names = ("key", "version", "direction", "link__sync_filter")
    mappings = list(FieldMapping.objects.filter(link=board.link).values_list(*names))
    mapped = {key: (version, direction) for key, version, direction, _ in mappings}
    same_filter = all(sync_filter == board.link.sync_filter for *_, sync_filter in mappings)

    def is_same(write: Write) -> bool:
        record, expected = records.get(write.record_id), write.expected
        return (
            same_filter
            and record is not None
            and settings_of(record) == expected.settings
            and all(mapped.get(key) == found for key, found in expected.mappings.items())
        )

    return {write.unit: "Its settings changed while it was synced." for write in writes if not is_same(write)}


RECORD_CHANGES = Call(Kind.CHANGE, changed_records, has_values=True)
RECORD_CREATES = Call(Kind.CREATE, changed_records, has_values=True)

# What Monday answered.


class Verdict(StrEnum):
    """What became of a write."""

    DONE = "done"
    GONE = "the item left the board"
    REFUSED = "refused for the unit's own sake"
    FAILED = "the call failed for the unit's own sake"
    STOPPED = "stopped by account or board"
    DIVIDED = "to be sent alone"
    WITHDRAWN = "not wanted any more"
    """Nothing of what was planned holds: paused or changed meanwhile."""
    NAME_ONLY = "refused for a value"
    """A new item, of which the name alone is sent next."""


@dataclass(frozen=True)
class Answer:
    """What became of one write; `detail` says why it was not done.

    `item` is the item as the last answer shows it, `alone` by field where a value was sent alone. `rejected` are the
    values that Monday refused, `unsent` those that were not sent after all; `is_bare`: the item was made, or was to be
    made, with its name alone. `intent` is the announcement, where it stands open.
    """

    verdict: Verdict
    detail: str = ""
    item: Item | None = None
    intent: Intent | None = None
    alone: Mapping[str, Item] = field(default_factory=dict)
    rejected: Mapping[str, ConnectorError] = field(default_factory=dict)
    unsent: frozenset[str] = frozenset()
    is_bare: bool = False


Answers = dict[str, Answer]
Announced = tuple[Write, Intent | None]
"""A write with its intent; without one, where the intent is closed already."""


def rejected_field(write: Write, error: ConnectorError) -> str:
    """Return the field whose value was refused: by the column that Monday names, else as the only one that was sent."""
    is_name = isinstance(error, NameRejected)
    column = NAME_COLUMN if is_name else error.column_id
    if len(write.fields) == 1 and not is_name:
        return write.fields[0].key
    return next((one.key for one in write.fields if one.column_id == column), "")


def is_value_rejection(error: ConnectorError, *, others_done: bool) -> bool:
    """Whether only a value is refused; columns and items can be closed to some users on a board that isn't.

    `others_done`: another one of the document was carried out, so the board itself is open to the token's user.
    """
    closed = others_done and isinstance(error, BoardForbidden)
    return closed or error.scope in (Scope.FIELD, Scope.COLUMN)


def bare_write(write: Write) -> Write:
    """Return the create with its name alone."""
    return replace(write, fields=tuple(one for one in write.fields if one.column_id == NAME_COLUMN))


# The executor.

_DIVISIBLE = (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)
"""Refused before anything ran; a document whose outcome is unknown is never divided."""

_TAG_REJECTIONS = frozenset({Scope.FIELD, Scope.COLUMN, Scope.RECORD, Scope.DOCUMENT, Scope.BOARD})
"""Refusals of the tag itself. That this token may make none here is no reason to leave the board alone."""


class Executor:
    """Sends writes under a lease. What concerns account or board stops it (`stop_reason`): nothing more is sent then.

    `size` is how many records the pass is about.
    """

    def __init__(self, lease: Lease, board: BoardContext, size: int = 1, stop_reason: str = "") -> None:
        self.lease, self.board, self.size, self.stop_reason = lease, board, size, stop_reason
        self.calls, self.intended_at = 0, 0.0

    def send(self, call: Call, writes: Sequence[Write]) -> Answers:
        """Announce the call, make it, and return what became of each unit; raises LeaseLost.

        An intent is committed before the call, and nothing is sent again after it by anyone but the next pass.
        """
        if self.stop_reason or not writes:
            return {write.unit: Answer(Verdict.STOPPED, self.stop_reason) for write in writes}
        key = uuid.uuid4().hex
        answers, announced, request = commit_intents(self, call, writes, key)
        if request is None:
            return answers
        try:
            result = self._write(request, key, len(announced))
        except ConnectorError as error:
            return answers | self.end_failed_document(call, announced, error)
        return answers | self.confirm(call, announced, result)

    def create(self, writes: Sequence[Write], retried: Collection[str]) -> Answers:
        """Make new items: `retried` units, whose create once had an unknown outcome, each under a key of its own.

        One that was refused for one of its values is made with its name alone; raises LeaseLost.
        """
        answers = self.send(RECORD_CREATES, [write for write in writes if write.unit not in retried])
        for write in [write for write in writes if write.unit in retried]:
            answers |= self.send(RECORD_CREATES, [write])
        bare = [bare_write(write) for write in writes if answers[write.unit].verdict is Verdict.NAME_ONLY]
        found = self._existing_items(bare) if bare and not self.stop_reason else {}
        made = found | self.send(RECORD_CREATES, [write for write in bare if write.unit not in found])
        for unit, answer in made.items():
            rejected = {**answers[unit].rejected, **answer.rejected}
            # Refused for a value once more, which isn't the name: nothing is left to leave out.
            verdict = Verdict.REFUSED if answer.verdict is Verdict.NAME_ONLY else answer.verdict
            answers[unit] = replace(answer, verdict=verdict, rejected=rejected, is_bare=True)
        return answers

    def create_tags(self, names: Sequence[str]) -> dict[str, ConnectorError]:
        """Make these tags and learn their ids; return what was refused, found by halving. Raises ConnectorError.

        Making one that is there already finds it (developer.monday.com/api-reference/reference/tags-1), so this call
        may be repeated and needs no intent.
        """
        rejections: dict[str, ConnectorError] = {}
        for start in range(0, len(names), TAGS_PER_CALL):
            rejections |= self._create_tags_of(names[start : start + TAGS_PER_CALL])
        return rejections

    def resend(self, intents: Sequence[Intent], pause_seconds: float) -> WriteResult | None:
        """Send a create without an answer again, under its own key; raises LeaseLost, ConnectorError.

        None where writing is paused: then it is looked for after so many seconds, else after the call's deadline.
        """
        body, deadline_seconds = next(intent.body for intent in intents if intent.body), _deadline_seconds()
        self.intended_at = time.monotonic()
        self.lease.renew(deadline_seconds + settings.MONDAY_TIMEOUT_SECONDS)
        with self.lease.transaction():
            is_paused = QueueDirection.TO_MONDAY in locked_pauses(self.board.link.entity_type)
            wait = timedelta(seconds=pause_seconds if is_paused else deadline_seconds)
            Intent.objects.filter(pk__in=[intent.pk for intent in intents]).update(deadline=SyncNow() + wait)
        if is_paused:
            return None
        request = WriteRequest(body, [intent.alias for intent in intents], self.board.columns)
        return self._write(request, intents[0].idempotency_key, len(intents))

    def confirm(self, call: Call, announced: Sequence[Announced], result: WriteResult) -> Answers:
        """Return what the answer says of every alias."""
        done = any(isinstance(written, Item) for written in result.by_alias.values())
        answers: Answers = {}
        for number, (write, intent) in enumerate(announced):
            if intent is not None:
                intent.request_id = result.request_id
            if call.alone:
                answers[write.unit] = self._confirm_values(call, (write, intent), result, others_done=done)
            elif isinstance(written := result.by_alias[f"r{number}"], Item):
                answers[write.unit] = Answer(Verdict.DONE, item=written, intent=intent)
            else:
                answers[write.unit] = self._end_rejected(call, (write, intent), written, others_done=done)
        return answers

    def _confirm_values(self, call: Call, announced: Announced, result: WriteResult, *, others_done: bool) -> Answer:
        """Return what became of each value of one unit's refused change, so that only the bad one is blocked."""
        (write, intent), done = announced, others_done or call.others_done
        item: Item | None = None
        alone, rejected = dict[str, Item](), dict[str, ConnectorError]()
        for number, one in enumerate(write.fields):
            written = result.by_alias[f"v{number}"]
            if isinstance(written, Item):
                item = alone[one.key] = written
            elif is_value_rejection(written, others_done=done):
                rejected[one.key] = written
            else:
                answer = self._end_rejected(call, announced, written, others_done=False)
                unsent = frozenset(left.key for left in write.fields[number:])
                return replace(answer, item=item, alone=alone, rejected=rejected, unsent=unsent)
        if isinstance(named := result.by_alias.get("npdid"), Item):
            item = named
        return Answer(Verdict.DONE, item=item, intent=intent, alone=alone, rejected=rejected)

    def _end_rejected(self, call: Call, announced: Announced, error: ConnectorError, *, others_done: bool) -> Answer:
        """One alias was refused, the others stand."""
        write, intent = announced
        if call.has_values and not call.alone and is_value_rejection(error, others_done=others_done):
            _close_intents([intent], IntentState.REJECTED)
            return self._end_rejected_value(call, write, error)
        if not error.outcome_unknown:
            _close_intents([intent], IntentState.REJECTED)
            intent = None
        verdict = Verdict.REFUSED
        if isinstance(error, ItemNotFound | ItemInactive):
            verdict = Verdict.GONE
        elif error.scope in (Scope.BOARD, Scope.ACCOUNT, Scope.LIMIT):
            self._stop(error)
            verdict = Verdict.STOPPED
        return Answer(verdict, error.sentence, intent=intent)

    def _end_rejected_value(self, call: Call, write: Write, error: ConnectorError) -> Answer:
        """A value was refused: of a new item the name is sent alone, of a change each other value by itself."""
        if error.column_id == self.board.link.npd_id_column:
            self.stop_reason = error.sentence
            breaker.trip_board(self.board.link, error)
            return Answer(Verdict.STOPPED, error.sentence)
        key = rejected_field(write, error)
        rejected = {key: error} if key else {}
        rest = replace(write, fields=tuple(one for one in write.fields if one.key != key))
        if call.kind is Kind.CREATE:
            is_name = any((one.key, one.column_id) == (key, NAME_COLUMN) for one in write.fields)
            return Answer(Verdict.REFUSED if is_name else Verdict.NAME_ONLY, error.sentence, rejected=rejected)
        if not write.fields:
            return Answer(Verdict.REFUSED, error.sentence)
        if not (rest.fields or rest.columns):
            return Answer(Verdict.DONE, rejected=rejected)
        alone = replace(call, alone=True, others_done=isinstance(error, BoardForbidden))
        answer = self.send(alone, [rest])[write.unit]
        return replace(answer, rejected={**rejected, **answer.rejected})

    def end_failed_document(self, call: Call, announced: Sequence[Announced], error: ConnectorError) -> Answers:
        """A document that Monday refused is bisected; one whose outcome is unknown never is."""
        log.warning("document failed", records=len(announced), scope=str(error.scope), reason=error.sentence)
        if error.scope not in _DIVISIBLE:
            return self._end_failed_call(announced, error)
        _close_intents([intent for _, intent in announced], IntentState.VOID)
        writes = [write for write, _ in announced]
        if len(writes) == 1:
            return {writes[0].unit: self._end_rejected(call, (writes[0], None), error, others_done=False)}
        half = len(writes) // 2
        return self.send(call, writes[:half]) | self.send(call, writes[half:])

    def _end_failed_call(self, announced: Sequence[Announced], error: ConnectorError) -> Answers:
        if isinstance(error, AnswerWithoutData):
            # The request is over, but what it did is not told: both sides may be read again at once. Creates are left
            # to the look-up by NPD ID, which waits for Monday's search to catch up.
            ids = [intent.pk for _, intent in announced if intent and intent.item_id]
            Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(deadline=SyncNow())
        elif not error.outcome_unknown:
            _close_intents([intent for _, intent in announced], IntentState.VOID)
            announced = [(write, None) for write, _ in announced]
        answer = self.failed_call(error, len(announced))
        return {write.unit: replace(answer, intent=intent) for write, intent in announced}

    def failed_call(self, error: ConnectorError, number: int) -> Answer:
        """Return what a call that failed as a whole means for each of so many units.

        What concerns the account or board costs them no attempt, and stops it.
        """
        if isinstance(error, AnswerWithoutData):
            return Answer(Verdict.DIVIDED if number > 1 else Verdict.FAILED, error.sentence)
        # What fails alone after a good probe is that unit's failure, and counts.
        counts_attempt = error.scope is Scope.TRANSPORT and number == 1 and breaker.batch_size() == 1
        self._stop(error)
        return Answer(Verdict.FAILED if counts_attempt else Verdict.STOPPED, error.sentence)

    def _stop(self, error: ConnectorError) -> None:
        """What concerns board or account stops it, and nothing more is sent in this pass."""
        self.stop_reason = error.sentence
        breaker.trip(self.board.link, error)
        if error.scope is Scope.TRANSPORT:
            breaker.shrink_batches(self.size)

    def _existing_items(self, writes: Sequence[Write]) -> Answers:
        """An answer may say that a value was refused though the item was made: no second create without a look-up."""
        self.calls += 1
        try:
            found = items_with_npd_ids(self.board, [str(write.record_id) for write in writes])
        except ConnectorError as error:
            answer = self.failed_call(error, len(writes))
            return {write.unit: answer for write in writes}
        if found is None:
            return {w.unit: Answer(Verdict.STOPPED, "The NPD IDs on the board can't be read.") for w in writes}
        items = {write.unit: found.get(str(write.record_id)) for write in writes}
        return {unit: Answer(Verdict.DONE, item=item) for unit, item in items.items() if item is not None}

    def _create_tags_of(self, names: Sequence[str]) -> dict[str, ConnectorError]:
        try:
            with self._connector(len(names)) as monday:
                tags = monday.create_tags(names, self.board.link.board_id, uuid.uuid4().hex)
            self.board.directory.learn_tags(tags)
        except ConnectorError as error:
            if error.scope not in _TAG_REJECTIONS:
                raise
            if len(names) == 1:
                return {names[0]: error}
            half = len(names) // 2
            return self._create_tags_of(names[:half]) | self._create_tags_of(names[half:])
        return {}

    def _write(self, request: WriteRequest, key: str, size: int) -> WriteResult:
        check_intent_age(self)
        with self._connector(size) as monday:
            return monday.write(request, key)

    @contextmanager
    def _connector(self, size: int) -> Iterator[Connector]:
        """The connector for one call that writes, about so many records."""
        self.calls += 1
        with call_cost(self.board.link, size, writes=True):
            yield connector(self.board.link.system)


def commit_intents(
    executor: Executor, call: Call, writes: Sequence[Write], key: str
) -> tuple[Answers, Sequence[Announced], WriteRequest | None]:
    """Commit an intent for each unit that may still be written; return these with the request. Raises LeaseLost.

    The answers are those that aren't sent: all, where writing to Monday was paused since the pass began. The lease is
    renewed past the call's hard deadline.
    """
    lease, board, deadline_seconds = executor.lease, executor.board, _deadline_seconds()
    executor.intended_at = time.monotonic()
    with lease.transaction(seconds=deadline_seconds + settings.MONDAY_TIMEOUT_SECONDS):
        pause = locked_pauses(board.link.entity_type).get(QueueDirection.TO_MONDAY)
        paused = pause_sentence(pause, QueueDirection.TO_MONDAY) if pause else ""
        why = {write.unit: paused for write in writes} if pause else call.unwanted(board, writes)
        unsent = {unit: Answer(Verdict.WITHDRAWN, detail) for unit, detail in why.items()}
        allowed = [write for write in writes if write.unit not in unsent]
        if not allowed:
            return unsent, [], None
        request = call.request(board, allowed)
        intents = [
            Intent(
                id=uuid.uuid4(),
                entity_type=board.link.entity_type,
                entity_id=write.record_id,
                board_id=board.link.board_id,
                item_id=write.item_id,
                lease_token=lease.token,
                idempotency_key=key,
                alias=f"r{number}",
                values={one.key: dict(one.entry) for one in write.fields},
                body=dict(call.body) if call.body is not None else None,
                state=IntentState.OPEN,
                deadline=SyncNow() + timedelta(seconds=deadline_seconds),
            )
            for number, write in enumerate(allowed)
        ]
        if call.kind is Kind.CREATE:
            # The request's body is kept, so that it can be sent again under its key.
            intents[0].body = dict(request.body)
        Intent.objects.bulk_create(intents)
        ApprovalRequest.objects.bulk_create([write.approval for write in allowed if write.approval])
    return unsent, [(replace(w, approval=None), intent) for w, intent in zip(allowed, intents, strict=True)], request


def check_intent_age(executor: Executor) -> None:
    """Send nothing that was announced too long ago, as by a process that was frozen; raises LeaseLost.

    By then another worker may hold the board, and the intent's deadline says nothing any more.
    """
    if time.monotonic() - executor.intended_at > INTENT_SECONDS:
        raise LeaseLost("This process was suspended between announcing a call and sending it; nothing was sent.")


def _deadline_seconds() -> float:
    return float(settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS)


def _close_intents(intents: Iterable[Intent | None], state: IntentState) -> None:
    """End intents whose calls were certainly not carried out: they bind nobody."""
    void = {"settled_at": SyncNow()} if state is IntentState.VOID else {}
    ids = [intent.pk for intent in intents if intent]
    Intent.objects.filter(pk__in=ids, state=IntentState.OPEN).update(state=state, **void)


# What is sent of a record, from its plan.


def settings_of(record: SyncedModel) -> tuple[bool, str, str | None]:
    """Return what of a record must not change between its plan and its call."""
    return record.sync_enabled, record.sync_direction, record.monday_id


def write_of(
    record: SyncedModel, item: Item | None, plans: Mapping[str, FieldPlan], columns: Mapping[str, Any], *, creates: bool
) -> Write:
    """Return what is sent of a record: the planned values, and in `columns` what is bookkeeping."""
    fields = [
        FieldWrite(
            key,
            p.mapping.column_id,
            p.convert.to_remote(p.send_raw or {}, p.remote_raw),
            {
                "local": p.send_raw,
                "read": p.remote_raw,
                "base": p.base,
                "column": p.mapping.column_id,
                "version": p.mapping.version,
                # The record takes a united list only with the answer: until then its own is no later edit of it.
                "united": p.decision.action is Action.BOTH and not p.choose,
            },
            p.convert.creates_labels,
        )
        for key, p in plans.items()
        if p.send_raw is not None
    ]
    name = _name_plan(plans.values()) if creates else None
    return Write(
        str(record.pk),
        record.pk,
        item.id if item else "",
        tuple(fields),
        columns,
        str(name.convert.to_remote(name.local_raw, None)) if name else "",
        Expected(
            settings_of(record), {p.mapping.key: (p.mapping.version, p.mapping.direction) for p in plans.values()}
        ),
    )


def create_problem(plans: Mapping[str, FieldPlan]) -> str:
    """Return why no item can be made of a planned record; empty where one can."""
    name = _name_plan(plans.values())
    return name.blocked_reason if name else "no name is mapped"


def _name_plan(plans: Iterable[FieldPlan]) -> FieldPlan | None:
    return next((p for p in plans if p.mapping.column_id == NAME_COLUMN), None)


def missing_tags(plans: Iterable[FieldPlan]) -> list[str]:
    """Return the names of the tags that would have to be made before these plans are sent."""
    return sorted({name for p in plans if p.send_raw is not None for name in p.convert.missing_tags(p.send_raw)})


# What an answer means for a record.

OUTCOMES = {
    Verdict.DONE: Outcome.OPEN,
    Verdict.GONE: Outcome.FAILED,
    Verdict.REFUSED: Outcome.FAILED,
    Verdict.FAILED: Outcome.FAILED,
    Verdict.STOPPED: Outcome.RELEASED,
    Verdict.DIVIDED: Outcome.RELEASED,
    Verdict.WITHDRAWN: Outcome.RELEASED,
}
"""How the jobs of a unit end by its answer: a failure counts as an attempt, what is released costs none."""


@dataclass(frozen=True)
class AnsweredRecord:
    """What an answer means for a record: its plans, and how its pass ends, or that it goes on.

    `blocked` are the lines of its history, by field, with Monday's request. `reason` says why it is not in sync.
    """

    plans: Mapping[str, FieldPlan]
    blocked: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    outcome: Outcome = Outcome.OPEN
    detail: str = ""
    reason: str | None = None
    item_gone: bool = False


def answered_record(plans: Mapping[str, FieldPlan], write: Write, answer: Answer) -> AnsweredRecord:
    """Return what became of a record: a refused value is blocked, the others are sent or not as the answer says.

    Without its name an item can't be made; without another value it is made with the name alone, and the rest follows.
    """
    found, blocked = dict(plans), dict[str, tuple[str, str | None]]()
    for key, error in answer.rejected.items():
        found[key] = rejected_value(found[key], error)
        blocked[key] = (f"{found[key].mapping.label}: {found[key].blocked_reason}", error.request_id)
    for key, p in found.items():
        if key in answer.unsent or (answer.is_bare and p.mapping.column_id != NAME_COLUMN):
            found[key] = replace(p, send_raw=None)
    after = AnsweredRecord(found, blocked, OUTCOMES[answer.verdict], answer.detail)
    if not write.item_id and any(found[key].mapping.column_id == NAME_COLUMN for key in answer.rejected):
        why = f"It can't be put on the board: {answer.detail}"
        return replace(after, outcome=Outcome.SETTLED, detail="", reason=why)
    # It left the board after it was read: the next pass, a minute later, reads its state and decides by that.
    return replace(after, item_gone=answer.verdict is Verdict.GONE)


def rejected_value(field_plan: FieldPlan, error: ConnectorError) -> FieldPlan:
    """Return the plan of a field whose value Monday refused."""
    value = field_plan.display_local(field_plan.send_raw or field_plan.local_raw)
    advice = "Choose another value." if field_plan.choose else error.advice
    why = error.message.rstrip(" .")
    hold = f"Monday rejected “{value}”: {why}. {advice} The record's other fields are synced."
    return field_plan.block(BlockedCode.REJECTED, hold)


def rejected_tag(field_plan: FieldPlan, rejections: Mapping[str, ConnectorError]) -> FieldPlan:
    """Return the plan of a field that names tags of which Monday refused one; the same where it refused none."""
    missing = field_plan.convert.missing_tags(field_plan.send_raw) if field_plan.send_raw is not None else []
    left = [name for name in missing if name in rejections]
    if not left:
        return field_plan
    why = rejections[left[0]]
    detail = f"Monday rejected the tag “{left[0]}”: {why.message.rstrip(' .')}. {why.advice}"
    return field_plan.block(BlockedCode.REJECTED, detail)


# Adapters: from the batch to writes, and from answers to the batch.


@contextmanager
def executor_of(batch: Batch) -> Iterator[Executor]:
    """The executor of a pass, which goes on where the last one stopped."""
    executor = Executor(batch.lease, batch.board, len(batch.record_syncs) or 1, batch.stop_reason)
    try:
        yield executor
    finally:
        batch.calls, batch.stop_reason = batch.calls + executor.calls, executor.stop_reason


def create_missing_tags(batch: Batch) -> None:
    """Make the tags that are missing before they are named; a value with a tag that Monday refuses is blocked alone."""
    # The items' tags are remembered: by them their webhooks are understood without a call.
    read = [field_plan for record_sync in batch.record_syncs for field_plan in record_sync.field_plans.values()]
    batch.board.directory.learn_tags({t: name for p in read for t, name in p.convert.tag_names(p.remote_raw).items()})
    waiting = [s for s in batch.open_records if missing_tags(s.field_plans.values())]
    if waiting and (pause := active_pause(batch.entity_type, QueueDirection.TO_MONDAY)):
        for record_sync in waiting:  # their values name tags that are not made now
            record_sync.drop(Outcome.RELEASED, pause_sentence(pause, QueueDirection.TO_MONDAY))
        waiting = []
    if not waiting:
        return
    names = missing_tags(p for record_sync in waiting for p in record_sync.field_plans.values())
    try:
        with executor_of(batch) as executor:
            rejections = executor.create_tags(names)
    except ConnectorError as error:
        end_failed_call(batch, [s for s in waiting if missing_tags(s.field_plans.values())], error)
        return
    for record_sync in waiting:
        record_sync.field_plans = {key: rejected_tag(p, rejections) for key, p in record_sync.field_plans.items()}


def end_failed_call(batch: Batch, units: Sequence[WorkUnit], error: ConnectorError) -> None:
    """End units whose call failed as a whole."""
    with executor_of(batch) as executor:
        answer = executor.failed_call(error, len(units))
    for unit in units:
        unit.isolate = answer.verdict is Verdict.DIVIDED
        unit.end(OUTCOMES[answer.verdict], answer.detail)


def send(batch: Batch) -> None:
    """Send what the plans ask for and note on every record what became of it; raises LeaseLost."""
    changes, creates = ([_write_of(batch, s) for s in units] for units in (_changed(batch), _created(batch)))
    with executor_of(batch) as executor:
        answers = executor.send(RECORD_CHANGES, changes)
        answers |= executor.create(creates, _retried(batch))
    writes = {write.unit: write for write in [*changes, *creates]}
    for record_sync in batch.record_syncs:
        if (answer := answers.get(str(record_sync.id))) is not None:
            _note_answer(record_sync, writes[str(record_sync.id)], answer)


def count_calls(batch: Batch) -> int:
    """Return how many documents `send` would send, where Monday takes them all; ends what can't be created."""
    changes, creates = _changed(batch), _created(batch)  # no value is built: one may name a tag that is not made yet
    alone = _retried(batch) & {str(record_sync.id) for record_sync in creates}
    return int(bool(changes)) + len(alone) + int(len(creates) > len(alone))


def _changed(batch: Batch) -> list[RecordSync]:
    def sends(s: RecordSync) -> bool:
        if s.unlink_reason:
            return bool(cleared_columns(batch, s))
        return s.write_npd_id or any(p.send_raw is not None for p in s.field_plans.values())

    return [record_sync for record_sync in batch.open_records if not record_sync.creates and sends(record_sync)]


def _created(batch: Batch) -> list[RecordSync]:
    for record_sync in [record_sync for record_sync in batch.open_records if record_sync.creates]:
        if reason := create_problem(record_sync.field_plans):
            record_sync.leave_open(f"It can't be put on the board: {reason}.")
    return [record_sync for record_sync in batch.open_records if record_sync.creates]


def _write_of(batch: Batch, record_sync: RecordSync) -> Write:
    has_npd_id = record_sync.write_npd_id or record_sync.creates
    columns = {batch.link.npd_id_column: str(record_sync.id)} if has_npd_id else {}
    if record_sync.unlink_reason:
        columns = cleared_columns(batch, record_sync)
    return write_of(record_sync.record, record_sync.item, record_sync.field_plans, columns, creates=record_sync.creates)


def _retried(batch: Batch) -> set[str]:
    return {str(entity_id) for entity_id in unconfirmed_before(s.id for s in batch.open_records if s.creates)}


def _note_answer(record_sync: RecordSync, write: Write, answer: Answer) -> None:
    after = answered_record(record_sync.field_plans, write, answer)
    record_sync.field_plans, record_sync.create_only = dict(after.plans), answer.is_bare
    for key, (sentence, request_id) in after.blocked.items():
        record_sync.log_decision("blocked", sentence, key, request=request_id)
    record_sync.intent, record_sync.answers = answer.intent, dict(answer.alone)
    record_sync.isolate = answer.verdict is Verdict.DIVIDED
    if answer.item is not None:
        record_sync.written_item = answer.item
        if record_sync.creates:
            record_sync.link_to, record_sync.item = answer.item.id, answer.item
            record_sync.ledger.remote_state = answer.item.state
            record_sync.log_decision("create", f"Made the item “{answer.item.name}” on the board.")
    if after.item_gone:
        record_sync.ledger.remote_state = "inactive"
    if answer.verdict is Verdict.WITHDRAWN:
        record_sync.drop(after.outcome, after.detail)
    elif after.outcome is not Outcome.OPEN:
        record_sync.end(after.outcome, after.detail, reason=after.reason)
