"""The records that relations on a board name: found by item or by name, in one query for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models
from django.db.models import Value
from django.db.models.functions import Lower

from sync.boards import link_of
from sync.choices import SyncDirection
from sync.connectors.monday.converters.forms import folded
from sync.engine.values import field_of, name_as_compared, name_of, reference, relation_of, target_of
from sync.models import SyncedModel, SyncMetadata, WebhookEvent
from sync.registry import UnknownEntity, name_field

Reference = Mapping[str, Any]
ACTIVE = "active"


class NotFound(LookupError):
    """A relation names something that is no record, or not surely one; the message says so, in words.

    `awaits` is what would have to come for it to be known, as AwaitedRelation names it.
    """

    def __init__(self, words: str, awaits: str = "") -> None:
        super().__init__(words)
        self.awaits = awaits


class Related:
    """What a batch has found out about the records that its relations name."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[type[SyncedModel], str], SyncedModel] = {}
        self._by_item: dict[tuple[type[SyncedModel], str], SyncedModel | None] = {}
        self._by_name: dict[tuple[type[SyncedModel], str], list[SyncedModel]] = {}
        self._on_board: dict[str, bool] = {}
        self._gone: dict[Any, bool] = {}

    def ask(self, target: type[SyncedModel], references: Iterable[Reference]) -> None:
        """Look up everything that these references name by item or by name and that isn't known yet."""
        asked = list(references)
        self._ask_items(target, {str(r["item"]) for r in asked if r.get("item")})
        self._ask_names(target, {_plain(r["name"]) for r in asked if not r.get("item") and r.get("name")})

    def know(self, model: type[models.Model], raws: Iterable[Mapping[str, Any]]) -> None:
        """Read all records that these raw values name by their ids, in one query a type, for `completed`."""
        wanted: dict[type[SyncedModel], set[str]] = {}
        for raw in raws:
            for name, value in raw.items():
                if isinstance(value, Mapping) and value.get("id") and field_of(model, name).is_relation:
                    wanted.setdefault(target_of(field_of(model, name)), set()).add(str(value["id"]))
        for target, ids in wanted.items():
            found = target._default_manager.filter(pk__in=ids)
            self._by_id |= {(target, str(record.pk)): record for record in found}

    def completed(self, model: type[models.Model], raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return raw values whose related records are ones that are there; raises NotFound."""
        full = dict(raw)
        for name, value in raw.items():
            if field_of(model, name).is_relation and value is not None and relation_of(model, [name]):
                full[name] = reference(self.find(target_of(field_of(model, name)), value))
        return full

    def find(self, target: type[SyncedModel], told: Reference) -> SyncedModel:
        """Return the one record that a reference names: by id, else by item, else by name; raises NotFound."""
        if told.get("id"):
            return self._by_id.get((target, str(told["id"]))) or _by_id(target, told)
        self.ask(target, [told])
        if told.get("item"):
            return self._of_item(target, str(told["item"]))
        return self._of_name(target, str(told.get("name") or ""))

    def names(self, target: type[SyncedModel], items: set[str]) -> dict[str, str]:
        """Return the names of the records of these items, as far as they were asked for and found."""
        found = {item: self._by_item.get((target, item)) for item in items}
        return {item: name_of(record) for item, record in found.items() if record is not None}

    def why_without_item(self, record: SyncedModel) -> tuple[str, bool]:
        """Why a related record has no item, in words, and whether it will get none as things stand."""
        kind, name = record._meta.verbose_name, name_of(record)
        if not self._has_board(record.entity_type()):
            words = f"The {kind} “{name}” has no item on Monday: there is no board for it. The relation is left out."
        elif not record.may_sync:
            words = (
                f"Sync is off for the {kind} “{name}”, so it has no item on Monday. The relation is left out."
            )
        elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            words = f"Nothing of the {kind} “{name}” is sent to Monday, so it has no item. The relation is left out."
        else:
            return (
                f"It waits for the {kind} “{name}” to get its item on Monday, and is sent then by itself.",
                False,
            )
        return words, True

    def lost_its_item(self, record: SyncedModel) -> bool:
        """Whether the record's item was last seen archived, deleted or elsewhere, or a webhook just said so."""
        if record.pk not in self._gone:
            ledger = SyncMetadata.objects.filter(
                entity_type=record.entity_type(), entity_id=str(record.pk), system="monday"
            ).exclude(remote_state__in=("", ACTIVE))
            told = WebhookEvent.objects.filter(
                item_id=record.monday_id, weighed_at=None, type__in=("archive_pulse", "delete_pulse")
            )
            self._gone[record.pk] = ledger.exists() or told.exists()
        return self._gone[record.pk]

    def _has_board(self, entity_type: str) -> bool:
        if entity_type not in self._on_board:
            try:
                link = link_of(entity_type)
            except UnknownEntity:
                link = None
            self._on_board[entity_type] = link is not None and bool(link.board_id)
        return self._on_board[entity_type]

    def _ask_items(self, target: type[SyncedModel], items: set[str]) -> None:
        new = {item for item in items if (target, item) not in self._by_item}
        if new:
            found = {record.monday_id: record for record in target._default_manager.filter(monday_id__in=new)}
            self._by_item |= {(target, item): found.get(item) for item in new}

    def _ask_names(self, target: type[SyncedModel], names: set[str]) -> None:
        new = {name for name in names if (target, name) not in self._by_name}
        field = name_field(target)
        if not new or field is None:
            return
        records = target._default_manager.annotate(called=Lower(name_as_compared(field)))
        found = list(records.filter(called__in=[Lower(Value(name)) for name in sorted(new)]))
        for name in new:
            self._by_name[target, name] = [r for r in found if _plain(name_of(r)).lower() == name.lower()]

    def _of_item(self, target: type[SyncedModel], item: str) -> SyncedModel:
        record = self._by_item.get((target, item))
        if record is None:
            raise NotFound(
                f"On Monday it is the item {item}, which no {target._meta.verbose_name} in NPD has yet. "
                "It is taken over as soon as one has it.",
                f"item {item}",
            )
        return record

    def _of_name(self, target: type[SyncedModel], name: str) -> SyncedModel:
        plain = _plain(name)
        found = self._by_name.get((target, plain), [])
        same = [record for record in found if _plain(name_of(record)) == plain] or found
        if len(same) == 1:
            return same[0]
        meta = target._meta
        if same:
            words = f"{len(same)} {meta.verbose_name_plural} in NPD are called “{plain}”. Choose the right one in NPD."
        else:
            words = (
                f"No {meta.verbose_name} in NPD is called “{plain}”. "
                "Add it in NPD, or correct the name on the board."
            )
        raise NotFound(words, f"name {plain}")


def _by_id(target: type[SyncedModel], told: Reference) -> SyncedModel:
    record = target._default_manager.filter(pk=told["id"]).first()
    if record is None:
        raise NotFound(
            f"The {target._meta.verbose_name} “{told.get('name') or told['id']}” was deleted in NPD."
        )
    return record


def _plain(name: Any) -> str:
    return folded(str(name)) or ""
