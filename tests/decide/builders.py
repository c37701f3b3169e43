"""Facts built by hand, without a database: a plain contact, the same on both sides, and its variations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

from django.db.models import Model

from conflicts.reports import RECORD_KEY, ConflictKind, FieldSelection, OpenConflict
from npd.models import Contact, Organization
from sync import registry
from sync.choices import ApprovalKind, Cause, SyncDirection
from sync.clock import SyncNow
from sync.fields.field_bases import new_base, new_sync_state
from sync.fields.field_values import BoardContext, local_values
from sync.merge import Action, FieldDecision
from sync.models import (
    ApprovalRequest,
    BoardLink,
    FieldMapping,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    WebhookEvent,
)
from sync.monday.board_events import LOG_PREFIX, EventKind, ItemEvent
from sync.monday.board_items import ARCHIVED, Item, Reading
from sync.outbox.claim import Claim
from sync.reconcile.facts import DeletedFacts, PassFacts, RecordFacts, RecordHistory, RemovedItemFacts
from sync.reconcile.missing.removed_items import removed_state
from sync.reconcile.outcomes import Ending, Outcome, Write
from sync.reconcile.pass_plan import DeletedPlan, EntityPlan, FieldPlan, Plan, RecordPlan
from sync.records.approvals import ApprovalFacts, ApprovalLimit

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ITEM, BOARD, NPD_ID_COLUMN = "7", "1", "npd_id"
ANN_ID = UUID(int=1)
TOKEN_USER, TOM, ANN = "1", "2", "3"  # users of the account

# The values of a plain contact on both sides; its organization is an item's id or a record.
PLAIN: Mapping[str, Any] = {
    "name": "Ann",
    "email": "ann@example.com",
    "phone": "+442079460018",
    "role_title": "Boss",
    "notes": "Likes tea",
    "organization": None,
}

# The sync state of a record whose last pass left nothing open.
IN_SYNC: Mapping[str, Any] = {"remote_state": "active", "remote_id": ITEM, "sync_status": "completed"}

M = TypeVar("M", bound=Model)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@cache
def _database_defaults(model: type[Model]) -> dict[str, Any]:
    with_default = [field for field in model._meta.concrete_fields if field.has_db_default()]
    defaults = {field.attname: getattr(field.db_default, "value", field.db_default) for field in with_default}
    return {name: at(-86_400) if isinstance(default, SyncNow) else default for name, default in defaults.items()}


def plain(model: type[M], **values: Any) -> M:
    """Return an unsaved row with the database's defaults; its timestamps are yesterday's."""
    return model(**_database_defaults(model) | values)


def mapping(key: str = "role_title", *, entity_type: str = "contact", **differs: Any) -> FieldMapping:
    """A field as the set-up maps it."""
    [spec] = [spec for spec in registry.entity(entity_type).mappings if spec.key == key]
    values = {"label": spec.label, "fields": list(spec.fields), "column_id": spec.column_id}
    return plain(FieldMapping, key=key, **values | {"converter": spec.converter, "required": spec.required} | differs)


def board(*mappings: FieldMapping, only: Sequence[str] = tuple(PLAIN), **differs: Any) -> BoardContext:
    """The contacts' board as the set-up makes it, with these fields; `differs` are values of the board link."""
    values = {"entity_type": "contact", "board_id": BOARD, "npd_id_column": NPD_ID_COLUMN, "match_key": "email"}
    link = plain(BoardLink, **values | differs)
    by_key = {key: mapping(key) for key in only} | {field.key: field for field in mappings}
    for field in by_key.values():
        field.link = link
    return BoardContext(link, list(by_key.values()), Contact)


def filtered(
    side: str, *values: str, field: str = "role_title", op: str = "is", creates_records: bool = False
) -> BoardContext:
    """A board whose filter has one condition, on NPD's records or on Monday's items."""
    condition = {"field": field, "op": op, "values": list(values), "labels": list(values)}
    return board(sync_filter={side: [condition]}, creates_records=creates_records)


def contact(**differs: Any) -> Contact:
    """A plain contact with an item; `differs` are its other values."""
    values = PLAIN | {"monday_id": ITEM} | differs
    related = values.pop("organization")
    record = plain(Contact, **{key: "" if value is None and key in PLAIN else value for key, value in values.items()})
    record.organization = related if isinstance(related, Organization) else None
    return record


def organization(item: str | None = "70", name: str = "Acme", **values: Any) -> Organization:
    return plain(Organization, **{"id": uuid4(), "name": name, "monday_id": item, "sync_status": "synced"} | values)


def item(
    record: SyncedModel | None = None, *, npd_id: UUID | str | None = None, unknown: Sequence[str] = (), **differs: Any
) -> Item:
    """The item of this record or of a plain contact; `differs` are other values, `unknown` columns can't be read."""
    own_values = {key: getattr(record, key) for key in PLAIN} if record else PLAIN
    values = {**own_values, **{key: differs.pop(key) for key in PLAIN if key in differs}}
    related = values["organization"] or []
    # Organizations, of which some have no item, or the ids of items.
    connected = related if isinstance(related, list) else [related]
    linked_ids = [entry.monday_id if isinstance(entry, Organization) else entry for entry in connected]
    email = values["email"]
    phone = values["phone"]
    npd_id_text = str(npd_id if npd_id is not None else record.pk if record else ANN_ID)
    readings = [
        Reading("email", "email", value={"email": email, "text": email} if email else None),
        Reading("phone", "phone", value={"phone": phone, "countryShortName": "GB"} if phone else None),
        Reading("role_title", "text", text=values["role_title"], value=values["role_title"]),
        Reading("notes", "long_text", text=values["notes"], value={"text": values["notes"]}),
        Reading(
            "organization", "board_relation", extra={"linked_item_ids": [key for key in linked_ids if key is not None]}
        ),
        Reading(NPD_ID_COLUMN, "text", text=npd_id_text, value=npd_id_text),
    ]
    cells = {reading.column_id: reading for reading in readings}
    cells |= {key: Reading.unknown(key, cells[key].type, "nobody may see it") for key in unknown}
    return replace(Item(ITEM, values["name"], "active", board_id=BOARD, values=cells), **differs)


def an_item(
    email: str | None = "ann@example.com",
    npd_id: UUID | str | None = "",
    *,
    unknown: Sequence[str] = (),
    **differs: Any,
) -> Item:
    """An item without a record, with this address and NPD ID; None can't be read."""
    unread = [key for key, value in (("email", email), (NPD_ID_COLUMN, npd_id)) if value is None]
    return item(npd_id=npd_id or "", unknown=[*unknown, *unread], email=email, **differs)


def base(local: str, remote: str | None = None, *, key: str = "role_title", **differs: Any) -> dict[str, Any]:
    """The base of a text field: one value for both sides, or one for each."""
    return new_base(mapping(key), ITEM, {key: local}, local if remote is None else remote) | differs


def claim(record: SyncedModel, *causes: Cause, **payload: Any) -> Claim:
    rows = [
        plain(SyncQueue, id=number, entity_id=record.pk, causes=int(cause), payload=payload)
        for number, cause in enumerate(causes, start=1)
    ]
    return Claim(record.pk, None, rows)


def facts(record: SyncedModel | None = None, *, cause: Cause = Cause.SAVE, **differs: Any) -> RecordFacts:
    """A saved record without a base; `sync_state` are values of its state."""
    record = record or contact()
    sync_state: SyncMetadata = new_sync_state(record.entity_type(), record.pk)
    for name, value in differs.pop("sync_state", {}).items():
        setattr(sync_state, name, value)
    return RecordFacts(claim(record, cause), record, sync_state, differs.pop("history", history()), **differs)


def draft(record: SyncedModel | None = None, **differs: Any) -> RecordPlan:
    """The draft of such a record, whose item was read; `differs` are values of its facts, or its item."""
    record = record or contact()
    shown = differs.pop("item") if "item" in differs else item(record, role_title="Theirs")
    return RecordPlan(facts(record, **differs), shown)


D = TypeVar("D", bound=EntityPlan | Plan)


def changed(plan: D, **values: Any) -> D:
    """A copy of the draft with these values."""
    other = plan.copied()
    for name, value in values.items():
        setattr(other, name, value)
    return other


def after(rule: Callable[..., object], on: Any, plan: EntityPlan | Plan, *args: Any, **more: Any) -> Any:
    """Return a copy of the draft after a rule has filled it in, on a board or on the facts of a pass."""
    return taken(partial(rule, on), plan, *args, **more)


def taken(take: Callable[..., object], plan: EntityPlan | Plan, *args: Any, **more: Any) -> Any:
    """Return a copy of the draft after it has taken an answer, or what else needs no facts."""
    copied = plan.copied()
    take(copied, *args, **more)
    return copied


def record_facts(
    local: Mapping[str, Any] | None = None,
    *,
    on: BoardContext | None = None,
    agreed: Mapping[str, Any] | None = None,
    without_base: Sequence[str] = (),
    causes: Sequence[Cause] = (Cause.SAVE,),
    record: Mapping[str, Any] | None = None,
    sync_state: Mapping[str, Any] | None = None,
    **more: Any,
) -> RecordFacts:
    """A plain contact with NPD's values `local` and the base `agreed`."""
    person = contact(**{"id": ANN_ID, "sync_status": "synced", **(local or {}), **(record or {})})
    context = on or board()
    base_record = contact(**agreed or {})
    base_item = item(**agreed or {})
    agreed_base = {}
    for field in context.mappings:
        if field.column_id and field.key not in without_base:
            remote = context.converter(field, person).cell_value(base_item.reading(field.column_id))
            agreed_base[field.key] = new_base(field, ITEM, local_values(base_record, field), remote)
    state = {"base": agreed_base, **(sync_state or {})}
    return replace(facts(person, sync_state=state, **more), claim=claim(person, *causes))


def record_draft(*args: Any, shown: Item | None = None, **differs: Any) -> RecordPlan:
    """The draft of such a contact, whose item was read if it is `shown`."""
    return RecordPlan(record_facts(*args, **differs), shown)


class FieldFacts(NamedTuple):
    """The arguments of `decide_fields`."""

    of_pass: PassFacts
    plan: RecordPlan

    @property
    def facts(self) -> RecordFacts:
        return self.plan.facts


def field_facts(
    local: Mapping[str, Any] | None = None,
    remote: Mapping[str, Any] | None = None,
    *,
    on: BoardContext | None = None,
    unknown: Sequence[str] = (),
    creates: bool = False,
    extra: Mapping[str, Any] | None = None,
    **record: Any,
) -> FieldFacts:
    """A plain contact's fields: NPD's values `local`, Monday's `remote`; `extra` are more facts of the pass."""
    context = on or board()
    shown = None if creates else item(unknown=unknown, **remote or {})
    plan = RecordPlan(record_facts(local, on=context, **record), shown, creates=creates)
    return FieldFacts(PassFacts(context, NOW, **extra or {}), plan)


def roles(here: str = "Boss", there: str = "Boss", **more: Any) -> FieldFacts:
    return field_facts({"role_title": here}, {"role_title": there}, **more)


def of_organization(
    key: str,
    local: Mapping[str, Any],
    remote: str,
    *,
    agreed: tuple[Mapping[str, Any], str] | None = None,
    of_field: Mapping[str, Any] | None = None,
    **more: Any,
) -> FieldFacts:
    """An organization with one mapped field, whose column has the text `remote`; `agreed` is its base."""
    link = plain(BoardLink, entity_type="organization", board_id=BOARD, npd_id_column="")
    field = mapping(key, entity_type="organization", link=link, **of_field or {})
    record = organization(ITEM, **local)
    cells = {key: Reading(key, "text", text=remote, value=remote)}
    shown = Item(ITEM, record.name, "active", board_id=BOARD, values=cells)
    state = new_sync_state("organization", record.pk)
    if agreed is not None:
        before = organization(ITEM, **agreed[0])
        state.base = {key: new_base(field, ITEM, local_values(before, field), agreed[1])}
    facts = RecordFacts(claim(record, Cause.SAVE), record, state, history(), **more)
    return FieldFacts(PassFacts(BoardContext(link, [field], Organization), NOW), RecordPlan(facts, shown))


def intent(key: str, column: str, local: Mapping[str, Any], read: Any = None, **values: Any) -> Intent:
    """An unanswered intent that sent this value of one field."""
    entry = {"column": column, "version": 1, "local": dict(local), "read": read, "base": None} | values
    row = {"entity_type": "contact", "entity_id": ANN_ID, "item_id": ITEM, "values": {key: entry}}
    return plain(Intent, id=uuid4(), state=IntentState.OPEN, created_at=NOW, **row)


def chosen(key: str, selection: FieldSelection, kind: str = ConflictKind.FIELDS, **more: Any) -> OpenConflict:
    """An open conflict on one field that a person decided."""
    return OpenConflict(uuid4(), kind, ITEM, (key,), {key: selection}, **more)


def field_plan(record: SyncedModel, read: str | None, action: Action = Action.PUSH, **differs: Any) -> FieldPlan:
    """The plan of a contact's role; it is sent by default."""
    on = board()
    raw = local_values(record, mapping())
    role = next(field for field in on.mappings if field.key == "role_title")
    converter = on.converter(role, record)
    values = {"remote_raw": read, "base": base("Boss")} | ({"send_raw": raw} if action is Action.PUSH else {})
    return FieldPlan(role, converter, SyncDirection.BIDIRECTIONAL, FieldDecision(action), raw, **values | differs)


def edit(value: str | None, previous: str | None = "Old", *, seconds: float = -60, **differs: Any) -> WebhookEvent:
    """An event of this minute: Tom wrote the role. With “?” for `previous` it doesn't tell the value before."""
    has_previous = previous != "?"
    arrived = differs.pop("arrived", seconds)
    is_logged = differs.pop("log", False)
    pk = differs.pop("pk", int(1_000 + seconds))
    type_name = differs.pop("type", "update_column_value")
    checked_at = None if differs.pop("is_new", True) else NOW
    values = {"kind": EventKind.COLUMN, "column_id": "role_title", "column_type": "text", "user_id": TOM} | differs
    event = ItemEvent(
        type=type_name,
        trigger_id=None,
        board_id=BOARD,
        item_id=ITEM,
        value={"value": value} if value else None,
        previous_value={"value": previous} if previous and has_previous else None,
        has_previous=has_previous,
        changed_at=at(seconds),
        **values,
    )
    trigger_id = LOG_PREFIX if is_logged else ""
    times = {"received_at": at(arrived), "processed_at": checked_at}
    delivery = plain(WebhookEvent, pk=pk, trigger_id=trigger_id, type=type_name, **times)
    delivery.event = event
    return delivery


def arrival(received_at: datetime) -> WebhookEvent:
    """An event that arrived then, and that a pass has checked."""
    event = plain(WebhookEvent, pk=1, received_at=received_at, processed_at=received_at)
    event.event = ItemEvent(EventKind.OTHER, "", None, BOARD, ITEM)
    return event


def wrote(sent: str | None, read: str | None = "Old", *, seconds: float = -60, **differs: Any) -> Intent:
    """Our write of the role, carried out within a second."""
    entry = {"local": {"role_title": sent}, "read": read, "base": {}, "column": "role_title", "version": 1}
    entry |= differs.pop("entry", {})
    values = {"state": IntentState.APPLIED, "settled_at": at(seconds + 1), "item_id": ITEM, "entity_type": "contact"}
    return plain(
        Intent, created_at=at(seconds), deadline=at(seconds + 90), values={"role_title": entry}, **values | differs
    )


def created(sent: str | None, *, name: str = "Ann", **differs: Any) -> Intent:
    """An unanswered create that was given up."""
    name_entry = {"local": {"name": name}, "read": None, "base": None, "column": "name", "version": 1}
    intent = wrote(sent, None, **{"state": IntentState.VOID, "item_id": "", "was_searched": True} | differs)
    intent.values |= {"name": name_entry}
    return intent


def answered_as(outcome: Outcome, detail: str = "", **more: Any) -> Write:
    """A write of which this came."""
    return Write(ANN_ID, ending=Ending(outcome, detail), **more)


def gone(detail: str) -> Write:
    """A write whose item left the board before it was sent."""
    return answered_as(Outcome.FAILED, detail, is_gone=True)


def history(**differs: Any) -> RecordHistory:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in differs.items()}
    return RecordHistory(NOW, **{"token_user": TOKEN_USER} | values)


def seen(*values: tuple[Any, float], losses: Sequence[tuple[Any, float, UUID]] = ()) -> dict[str, Any]:
    """What passes saw of the role, each value with its time; `losses` name the write that overwrote them, too."""
    value_rows = [[value, at(seconds).isoformat()] for value, seconds in values]
    loss_rows = [[value, at(seconds).isoformat(), str(write_id)] for value, seconds, write_id in losses]
    return {"role_title": {"values": value_rows, "losses": loss_rows}}


def values_of(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {key: entry["local"][key] for key, entry in entries.items()}


def decided(choose: str, **shown: tuple[str | None, str | None]) -> OpenConflict:
    """An answered question about a removed record or item; `shown` are the edits that the person saw."""
    selection = FieldSelection(choose, seen=shown)
    return OpenConflict(uuid4(), ConflictKind.DELETE, ITEM, tuple(shown), {RECORD_KEY: selection}, by="pat")


def removing(policy: str) -> Intent:
    """An unanswered call that removes the item from the board."""
    return plain(Intent, item_id=ITEM, body={"removes": policy}, values={})


def deletion(
    record: SyncedModel | None = None, *, role: str = "Boss", state: str = "active", **differs: Any
) -> DeletedPlan:
    """A deleted contact whose item is as agreed; `tombstone` are values of its tombstone."""
    record = record or contact()
    values = {"entity_type": "contact", "entity_id": record.pk, "monday_id": record.monday_id}
    tombstone = plain(Tombstone, **values | differs.pop("tombstone", {}))
    more = {name: differs.pop(name) for name in ("owner",) if name in differs}
    sync_state = {"base": {"role_title": base("Boss")}} | differs.pop("sync_state", {})
    shown = differs.pop("item") if "item" in differs else item(record, role_title=role, state=state)
    of_record = vars(facts(record, **{"sync_state": sync_state} | differs))
    return DeletedPlan(DeletedFacts(**of_record, tombstone=tombstone, **more), shown)


class Removal(NamedTuple):
    """A record with a removed item, and what is known about the removal."""

    plan: RecordPlan
    facts: RemovedItemFacts


def removal(
    record: SyncedModel | None = None, *, role: str = "Boss", state: str = ARCHIVED, since: float = -700, **differs: Any
) -> Removal:
    """A contact whose item was seen archived for longer than the quiet time and is as agreed."""
    record = record or contact()
    seen_gone = {"removed_since": at(since), "removed_passes": 3, "remote_state": state}
    sync_state = {"base": {"role_title": base("Boss")}} | seen_gone | differs.pop("sync_state", {})
    shown: Item | None = item(record, role_title=role, state=state)
    if state == "moved":
        shown = replace(shown, state="active", board_id="2")
    elif state == "missing":
        shown = None
    shown = differs.pop("item") if "item" in differs else shown
    of_record = {name: differs.pop(name) for name in ("conflicts", "intents", "claim") if name in differs}
    plan = RecordPlan(facts(record, sync_state=sync_state, **of_record), shown)
    plan.facts.removal = RemovedItemFacts(removed_state(board(), plan), **differs)
    return Removal(plan, plan.facts.removal)


def approval_facts(
    kind: ApprovalKind, *states: tuple[UUID, str], counted: int = 0, most: int | None = None
) -> ApprovalFacts:
    """Requests about removals of these records; `counted` removals of `most` allowed in the hour."""
    requests = tuple(plain(ApprovalRequest, entity_id=pk, kind=kind, key="", state=state) for pk, state in states)
    ids = frozenset(uuid4() for _ in range(counted))
    return ApprovalFacts(requests, {kind: ids}, ApprovalLimit(most, None, 0))
