"""Facts by hand: each builder makes a plain value, and what its caller says is what differs from it. No database."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db.models import Model

from conflicts.reports import RECORD_KEY, ConflictKind, FieldSelection, OpenConflict
from npd.models import Contact
from sync.choices import ApprovalKind, Cause
from sync.clock import SyncNow
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
from sync.monday.board_events import EventKind, ItemEvent
from sync.monday.board_items import ARCHIVED, Item, Reading
from sync.outbox.claim import Claim
from sync.reconcile.facts import DeletedFacts, RecordFacts, RecordHistory, RemovalFacts, new_sync_state
from sync.reconcile.field_bases import new_base
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.pass_plan import FieldPlan
from sync.records.approvals import ApprovalFacts, ApprovalLimit

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ITEM, BOARD, NPD_ID_COLUMN = "7", "100", "npd_id"
TOKEN_USER, TOM, ANN = "1", "2", "3"
"""The user as whom we write, and two people."""

M = TypeVar("M", bound=Model)


def at(seconds: float) -> datetime:
    """So many seconds after now; before it where negative."""
    return NOW + timedelta(seconds=seconds)


@cache
def _database_defaults(model: type[Model]) -> dict[str, Any]:
    with_default = [field for field in model._meta.concrete_fields if field.has_db_default()]
    defaults = {field.attname: getattr(field.db_default, "value", field.db_default) for field in with_default}
    return {name: at(-86_400) if isinstance(default, SyncNow) else default for name, default in defaults.items()}


def plain(model: type[M], **values: Any) -> M:
    """An unsaved row; what the database would fill in is filled in, as it did yesterday."""
    return model(**_database_defaults(model) | values)


# The board.


def mapping(key: str = "role_title", **differs: Any) -> FieldMapping:
    """A text field of its own column, synced both ways."""
    values = {"label": key.capitalize(), "fields": [key], "column_id": key, "converter": "text"} | differs
    return plain(FieldMapping, key=key, **values)


def board(*mappings: FieldMapping, **differs: Any) -> BoardContext:
    """The contacts' board, with these fields, or a role and notes."""
    values = {"entity_type": "contact", "board_id": BOARD, "npd_id_column": NPD_ID_COLUMN, "match_key": "email"}
    link = plain(BoardLink, **values | differs)
    return BoardContext(link, mappings or (mapping(), mapping("notes")), Contact)


# A record, its item, and what both sides last agreed on.


def contact(**differs: Any) -> Contact:
    return plain(Contact, **{"name": "Ann", "monday_id": ITEM, "role_title": "Ours"} | differs)


def item(record: SyncedModel, **texts: str | None) -> Item:
    """The record's item, with its NPD ID and these texts in its columns."""
    readings = {key: Reading(key, "text", text=text, value=text) for key, text in texts.items()}
    npd_id = Reading(NPD_ID_COLUMN, "text", text=str(record.pk), value=str(record.pk))
    return Item(ITEM, "Ann", "active", board_id=BOARD, values={NPD_ID_COLUMN: npd_id, **readings})


def base(local: str, remote: str | None = None, *, key: str = "role_title", **differs: Any) -> dict[str, Any]:
    """The base of a field: what both sides said, or each of them."""
    return new_base(mapping(key), ITEM, {key: local}, local if remote is None else remote) | differs


def facts(record: SyncedModel | None = None, *, cause: Cause = Cause.SAVE, **differs: Any) -> RecordFacts:
    """A record that was saved, whose item was read; `sync_state` are values of its sync state."""
    record = record or contact()
    sync_state: SyncMetadata = new_sync_state(record.entity_type(), record.pk)
    for name, value in differs.pop("sync_state", {}).items():
        setattr(sync_state, name, value)
    job = plain(SyncQueue, entity_type=record.entity_type(), entity_id=record.pk, causes=cause)
    claim = Claim(record.pk, None, [job])
    return RecordFacts(claim, record, sync_state, **{"item": item(record, role_title="Theirs", notes="")} | differs)


def field_plan(record: SyncedModel, read: str | None, action: Action = Action.PUSH, **differs: Any) -> FieldPlan:
    """What a pass does with a contact's role: it is sent."""
    role, raw = mapping(), stored_values(record, mapping())
    convert = board(role).converter(role, record)
    sent = {"send_raw": raw} if action is Action.PUSH else {}
    decision = FieldDecision(action)
    return FieldPlan(role, convert, decision, raw, **{"remote_raw": read, "base": base("Ours")} | sent | differs)


# What happened before.


def edit(value: str | None, previous: str | None = "Old", *, seconds: float = -60, **differs: Any) -> WebhookEvent:
    """An event of this minute: Tom wrote the role. `previous` of “?” isn't told."""
    texts = {"value": value} if value else None, {"value": previous} if previous else None
    has_previous = previous != "?"
    pk = differs.pop("pk", int(1_000 + seconds))
    checked_at = None if differs.pop("is_new", True) else NOW
    values = {"kind": EventKind.COLUMN, "column_id": "role_title", "column_type": "text", "user_id": TOM} | differs
    event = ItemEvent(
        type="update_column_value",
        trigger_id=None,
        board_id=BOARD,
        item_id=ITEM,
        value=texts[0],
        previous_value=texts[1] if has_previous else None,
        has_previous=has_previous,
        changed_at=at(seconds),
        **values,
    )
    delivery = plain(WebhookEvent, pk=pk, received_at=at(seconds), processed_at=checked_at)
    delivery.event = event
    return delivery


def wrote(sent: str | None, read: str | None = "Old", *, seconds: float = -60, **differs: Any) -> Intent:
    """An intent of ours about the role that was carried out within a second."""
    entry = {"local": {"role_title": sent}, "read": read, "base": {}, "column": "role_title", "version": 1}
    entry |= differs.pop("entry", {})
    values = {"state": IntentState.APPLIED, "settled_at": at(seconds + 1), "item_id": ITEM, "entity_type": "contact"}
    return plain(
        Intent, created_at=at(seconds), deadline=at(seconds + 90), values={"role_title": entry}, **values | differs
    )


def created(sent: str | None, *, name: str = "Ann", **differs: Any) -> Intent:
    """A create without an answer that was given up."""
    named = {"local": {"name": name}, "read": None, "base": None, "column": "name", "version": 1}
    intent = wrote(sent, None, **{"state": IntentState.VOID, "item_id": "", "was_searched": True} | differs)
    intent.values |= {"name": named}
    return intent


def history(**differs: Any) -> RecordHistory:
    """What was read of what happened before; we write as the token's user."""
    return RecordHistory(
        **{"token_user": TOKEN_USER} | {k: tuple(v) if isinstance(v, list) else v for k, v in differs.items()}
    )


def view(value: Any, seconds: float, *reported: UUID) -> list[Any]:
    """An entry of what passes saw; with an intent, of what they reported lost."""
    return [value, at(seconds).isoformat(), *map(str, reported)]


def values_of(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """NPD's halves of these bases or entries, as texts."""
    return {key: entry["local"][key] for key, entry in entries.items()}


# A record that was deleted, or whose item is gone.


def decided(choose: str, value: str | None = None, **shown: tuple[str | None, str | None]) -> OpenConflict:
    """A question what becomes of record or item, which somebody answered; `seen` are the edits that they were shown."""
    selection = FieldSelection(choose, value, seen=shown)
    return OpenConflict(uuid4(), ConflictKind.DELETE, ITEM, tuple(shown), {RECORD_KEY: selection})


def removing(policy: str) -> Intent:
    """A call without an answer that was to take the item off the board."""
    return plain(Intent, item_id=ITEM, body={"removes": policy}, values={})


def deletion(
    record: SyncedModel | None = None, *, role: str = "Ours", state: str = "active", **differs: Any
) -> DeletedFacts:
    """A contact that was deleted, whose item says what both sides agreed; `tombstone` are values of what remains."""
    record = record or contact()
    values = {"entity_type": "contact", "entity_id": record.pk, "monday_id": record.monday_id}
    tombstone = plain(Tombstone, **values | differs.pop("tombstone", {}))
    more = {name: differs.pop(name) for name in ("owner", "npd_id_record") if name in differs}
    sync_state = {"base": {"role_title": base("Ours")}} | differs.pop("sync_state", {})
    shown = replace(item(record, role_title=role, notes=""), state=state)
    return DeletedFacts(
        **vars(facts(record, **{"item": shown, "sync_state": sync_state} | differs)), tombstone=tombstone, **more
    )


def removal(
    record: SyncedModel | None = None, *, role: str = "Ours", state: str = ARCHIVED, since: float = -700, **differs: Any
) -> RemovalFacts:
    """A contact whose item was seen archived for longer than the quiet time, and says what both sides agreed."""
    record = record or contact()
    seen_gone = {"removed_since": at(since), "removed_passes": 3, "remote_state": state}
    sync_state = {"base": {"role_title": base("Ours")}} | seen_gone | differs.pop("sync_state", {})
    shown = replace(item(record, role_title=role, notes=""), state=state if state == "deleted" else ARCHIVED)
    names = ("item", "conflicts", "intents", "claim")
    of_record = {"item": None if state == "missing" else shown} | {n: differs.pop(n) for n in names if n in differs}
    return RemovalFacts(**vars(facts(record, sync_state=sync_state, **of_record)), state=state, **differs)


def let_go(kind: ApprovalKind, *states: tuple[UUID, str], counted: int = 0, most: int | None = None) -> ApprovalFacts:
    """What was asked about removals of these records, and how many of how many count within the hour."""
    requests = tuple(plain(ApprovalRequest, entity_id=pk, kind=kind, key="", state=state) for pk, state in states)
    ids = frozenset(uuid4() for _ in range(counted))
    return ApprovalFacts(requests, {kind: ids}, ApprovalLimit(most, None, 0))
