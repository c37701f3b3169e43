"""Facts for rules: a plain contact whose two sides say what they last agreed on; a test says what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from conflicts.reports import ConflictKind, FieldSelection, OpenConflict
from npd.models import Contact, Organization
from sync import registry
from sync.choices import Cause, QueueDirection
from sync.models import BoardLink, FieldMapping, Intent, SyncedModel, SyncQueue
from sync.monday.board_items import Item, Reading
from sync.outbox.claim import Claim
from sync.reconcile.facts import PassFacts, RecordFacts, new_sync_state
from sync.reconcile.field_bases import new_base
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.pass_plan import IdentityPlan, RecordPlan
from tests.decide.builders import ITEM, NOW, plain

PLAIN: Mapping[str, Any] = {
    "name": "Ann",
    "email": "ann@example.com",
    "phone": "+442079460018",
    "role_title": "Boss",
    "notes": "Likes tea",
    "organization": None,
}
"""What a plain contact says on both sides; of its organization an item is named, or a record given."""

IN_SYNC: Mapping[str, Any] = {"remote_state": "active", "remote_id": ITEM, "sync_status": "completed"}
"""What the sync state of a record says whose last pass found nothing open."""


def _mappings(
    entity_type: str, link: BoardLink, fields: Mapping[str, Mapping[str, Any]] | None = None
) -> list[FieldMapping]:
    mappings = []
    for spec in registry.entity(entity_type).mappings:
        names = {"key": spec.key, "label": spec.label, "fields": list(spec.fields)}
        values = {"column_id": spec.column_id, "converter": spec.converter, "required": spec.required}
        mappings.append(plain(FieldMapping, link=link, **names, **values | (fields or {}).get(spec.key, {})))
    return mappings


def board(fields: Mapping[str, Mapping[str, Any]] | None = None, **link: Any) -> BoardContext:
    """The contacts' board; `fields` says of mappings, by key, what is different, and `link` of the board link."""
    values = {"entity_type": "contact", "board_id": "1", "npd_id_column": "npd_id", "match_key": "email"}
    board_link = plain(BoardLink, **values | link)
    return BoardContext(board_link, _mappings("contact", board_link, fields), Contact)


def organization(item: str | None = "70", name: str = "Acme", **values: Any) -> Organization:
    return plain(Organization, **{"id": uuid4(), "name": name, "monday_id": item, "sync_status": "synced"} | values)


def contact(differs: Mapping[str, Any] | None = None, **more: Any) -> Contact:
    """A contact that says what a plain one does but for this; `more` are its own columns."""
    values = {**PLAIN, **(differs or {})}
    own = {"id": UUID(int=1), "monday_id": ITEM, "sync_status": "synced"} | more
    named = values.pop("organization")
    record = plain(Contact, **{key: value or "" for key, value in values.items()}, **own)
    record.organization = named if isinstance(named, Organization) else None
    return record


def item(differs: Mapping[str, Any] | None = None, *, unknown: Sequence[str] = (), **more: Any) -> Item:
    """The item that says this; the fields in `unknown` can't be read."""
    values = {**PLAIN, **(differs or {})}
    named = values["organization"]
    connected = named if isinstance(named, list) else [named] if named else []
    shown = [related.monday_id if isinstance(related, Organization) else related for related in connected]
    ids = [key for key in shown if key is not None]
    email, phone = values["email"], values["phone"]
    readings = [
        Reading("email", "email", value={"email": email, "text": email} if email else None),
        Reading("phone", "phone", value={"phone": phone, "countryShortName": "GB"} if phone else None),
        Reading("role_title", "text", text=values["role_title"], value=values["role_title"]),
        Reading("notes", "long_text", text=values["notes"], value={"text": values["notes"]}),
        Reading("organization", "board_relation", extra={"linked_item_ids": ids}),
        Reading("npd_id", "text", text=str(UUID(int=1)), value=str(UUID(int=1))),
    ]
    cells = {reading.column_id: reading for reading in readings}
    cells |= {key: Reading.unknown(key, cells[key].type, "nobody may see it") for key in unknown}
    return replace(Item(ITEM, values["name"], "active", board_id="1", values=cells), **more)


def claim(record: SyncedModel, *causes: Cause, **payload: Any) -> Claim:
    """A claim of one job for each cause."""
    rows = [
        SyncQueue(id=number, causes=int(cause), payload=payload, direction=QueueDirection.TO_MONDAY)
        for number, cause in enumerate(causes, start=1)
    ]
    return Claim(record.pk, None, rows)


def record_facts(
    local: Mapping[str, Any] | None = None,
    *,
    on: BoardContext | None = None,
    shown: Item | None = None,
    agreed: Mapping[str, Any] | None = None,
    without_base: Sequence[str] = (),
    causes: Sequence[Cause] = (Cause.SAVE,),
    record: Mapping[str, Any] | None = None,
    sync_state: Mapping[str, Any] | None = None,
    **more: Any,
) -> RecordFacts:
    """A plain contact, but for what NPD says (`local`), and what both sides last agreed on (`agreed`)."""
    person, context = contact(local, **record or {}), on or board()
    base_record, base_item, base = contact(agreed), item(agreed), {}
    for mapping in context.mappings:
        if mapping.column_id and mapping.key not in without_base:
            remote = context.converter(mapping, person).stored_value(base_item.reading(mapping.column_id))
            base[mapping.key] = new_base(mapping, ITEM, stored_values(base_record, mapping), remote)
    state = new_sync_state("contact", person.pk)
    state.base = base
    for name, value in (sync_state or {}).items():
        setattr(state, name, value)
    return RecordFacts(claim(person, *causes), person, state, item=shown, **more)


class FieldFacts(NamedTuple):
    """What `decide_fields` takes: the pass, and the record in it."""

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
    """Everything from which a plain contact's fields are decided: what NPD and Monday say that differs.

    `known` is what else is known of the pass; the rest is `record_facts`'.
    """
    context = on or board()
    shown = None if creates else item(remote, unknown=unknown)
    facts = record_facts(local, on=context, shown=shown, **record)
    return FieldFacts(PassFacts(context, NOW, **extra or {}), RecordPlan(facts, identity=IdentityPlan(creates=creates)))


def roles(here: str = "Boss", there: str = "Boss", **more: Any) -> FieldFacts:
    """A plain contact but for its role, in NPD and on Monday."""
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
    """An organization of which one field is mapped, to a column that says this text; `agreed` is its base."""
    link = plain(BoardLink, entity_type="organization", board_id="1", npd_id_column="")
    [mapping] = [mapping for mapping in _mappings("organization", link, {key: of_field or {}}) if mapping.key == key]
    record = organization(ITEM, **local)
    cells = {key: Reading(key, "text", text=remote, value=remote)}
    shown = Item(ITEM, record.name, "active", board_id="1", values=cells)
    state = new_sync_state("organization", record.pk)
    if agreed is not None:
        before = organization(ITEM, **agreed[0])
        state.base = {key: new_base(mapping, ITEM, stored_values(before, mapping), agreed[1])}
    facts = RecordFacts(claim(record, Cause.SAVE), record, state, item=shown, **more)
    return FieldFacts(PassFacts(BoardContext(link, [mapping], Organization), NOW), RecordPlan(facts))


def intent(key: str, column: str, local: Mapping[str, Any], read: Any = None, **values: Any) -> Intent:
    """An intent without an answer that sent this of one field."""
    entry = {"column": column, "version": 1, "local": dict(local), "read": read, "base": None} | values
    return Intent(id=uuid4(), entity_type="contact", entity_id=UUID(int=1), item_id=ITEM, values={key: entry})


def chosen(key: str, selection: FieldSelection, kind: str = ConflictKind.FIELDS, **more: Any) -> OpenConflict:
    """An open conflict on one field in which a person decided."""
    return OpenConflict(uuid4(), kind, ITEM, (key,), {key: selection}, **more)
