"""A person's data: exported as JSON, or erased with every row that has the record's id or its item's id.

An erasure runs under the board's lease, so a pass can't store data again that it read before. The tombstone keeps the
id and the time, and the item stays ignored, so the person never comes back from the board.
"""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import structlog
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.functions import Cast
from import_export.tmp_storages import CacheStorage

from sync import models, registry
from sync.boards import availability
from sync.choices import TombstoneReason
from sync.clock import SyncNow
from sync.fields import lookups
from sync.kernel.acts import NotPossible
from sync.kernel.db import retry_on_lock_timeout
from sync.limits.metered_client import connector
from sync.monday.errors import ITEM_NOT_FOUND, MondayError
from sync.monday.item_documents import prepare_removal
from sync.outbox.claim import acquire
from sync.records.authors import MAX_NAME_LENGTH
from sync.words.message import JSONWithMessages, Message, MessageField

log = structlog.get_logger(__name__)

# Longer than a pass's steps, because every table is searched, some of them without an index for it.
LEASE_SECONDS = 300

# The columns with a record's id, in the sync's tables, the history and the admin's log, and those with an item's id.
OWNER_COLUMNS = ("entity_id", "pgh_obj_id", "object_id")
ITEM_COLUMNS = ("item_id", "remote_id", "monday_item_id")

BOARD_BUSY = "Nothing was erased, because the board is being synced at this moment. Try again in a minute."
OUTCOME_UNKNOWN = (
    "Nothing was erased, because Monday hasn't answered a call about this person yet. Try again in some minutes."
)
ITEM_STAYS = "Nothing was erased in NPD. Try again, or leave the item on the board."

ERASED = "[erased]"
ERASED_REASON = Message("person_erased")
# Rows that stay, with these values: tombstones, who did what when, and which items make no record.
KEPT: dict[type[Model], dict[str, Any]] = {
    models.Tombstone: {
        "data": {},
        "state": TombstoneReason.ERASED.state,
        "reason_code": TombstoneReason.ERASED,
        "settled_at": SyncNow(),
        "note": Message("because_erased"),
    },
    LogEntry: {"object_repr": ERASED, "change_message": ""},
    models.IgnoredItem: {"reason": ERASED_REASON},
}


@dataclass(frozen=True)
class Person:
    """A record, which may have been deleted already."""

    entity_type: str
    id: UUID

    @property
    def model(self) -> type[models.SyncedModel]:
        return registry.entity(self.entity_type).model

    @property
    def record(self) -> QuerySet[models.SyncedModel]:  # empty if it was deleted
        return self.model.objects.filter(pk=self.id)

    @property
    def tombstones(self) -> QuerySet[models.Tombstone]:
        return models.Tombstone.objects.filter(entity_type=self.entity_type, entity_id=self.id)

    @cached_property
    def name(self) -> str:
        """The record's name, or its last name if it was deleted; its id if neither is known."""
        name_field = registry.entity(self.entity_type).name_field or "name"
        names = [
            *self.record.values_list(name_field, flat=True),
            *self.tombstones.values_list(f"data__{name_field}", flat=True),
        ]
        return str(next(filter(None, names), self.id))

    @cached_property
    def items(self) -> list[str]:
        """The ids of the person's items, without items that belong to another record now."""
        ids = {
            *self.record.values_list("monday_id", flat=True),
            *self.tombstones.values_list("monday_id", flat=True),
            *models.SyncMetadata.objects.of(self.entity_type, [self.id]).values_list("remote_id", flat=True),
        }
        others = self.model.objects.exclude(pk=self.id).filter(monday_id__in=ids)
        return sorted(item_id for item_id in ids - set(others.values_list("monday_id", flat=True)) if item_id)

    def rows(self) -> Iterator[QuerySet[Any]]:
        """Yield the rows about the person, table by table, without the record itself."""
        for model in apps.get_models(include_auto_created=True):
            columns = {field.column: field for field in model._meta.concrete_fields}
            owner = next((columns[name] for name in OWNER_COLUMNS if name in columns), None)
            item = next((columns[name] for name in ITEM_COLUMNS if name in columns), None)
            is_table = model._meta.managed and not model._meta.proxy
            if not is_table or issubclass(model, models.SyncedModel) or not (owner or item):
                continue
            # Rows with the record's id or, if they name no record, its item's id.
            condition = Q(**{f"{item.attname}__in": self.items}) if item else Q(pk__in=[])
            if owner:
                is_text = owner.get_internal_type() in ("CharField", "TextField")
                condition &= Q(**{f"{owner.attname}__isnull": True})
                condition |= Q(**{owner.attname: str(self.id) if is_text else self.id})
            rows = model._base_manager.filter(condition)
            # The log about a conflict names the record and the chosen values.
            ids = [str(key) for key in rows.values_list("pk", flat=True)]
            yield _log_lines(model).filter(object_id__in=ids)
            yield rows
        # Activity of other records quotes the id of a related record.
        activity = models.ActivityLine.objects.annotate(quoted=Cast("values", TextField())).exclude(entity_id=self.id)
        yield activity.filter(quoted__contains=str(self.id))
        yield models.Notification.objects.filter(key__contains=str(self.id))
        # The log about an unmatched item has only the record's name.
        yield _log_lines(models.UnmatchedItem).filter(object_repr=self.name[:MAX_NAME_LENGTH])


def _log_lines(model: type[Model]) -> QuerySet[LogEntry]:
    """Return the admin's log about rows of a table."""
    return LogEntry.objects.filter(
        content_type__app_label=model._meta.app_label, content_type__model=model._meta.model_name
    )


def export(person: Person) -> dict[str, Any]:
    """Return what the database holds of a person, as JSON values."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for rows in person.rows():
        if values := list(rows.values()):
            tables.setdefault(rows.model._meta.db_table, []).extend(values)
    content = {
        "record": person.record.values().first(),
        "items_on_monday": person.items,
        "rows": tables,
        "differences": [
            entry for link in models.BoardLink.objects.all() for entry in link.differences if _quotes(entry, person)
        ],
    }
    readable: dict[str, Any] = json.loads(json.dumps(content, cls=DjangoJSONEncoder))
    return readable


def erase(person: Person, *, delete_items: bool) -> int:
    """Erase a person irreversibly, and return the number of rows. Raises NotPossible if nothing was erased.

    With `delete_items` the items are deleted on Monday first. Items that stay never make a record again, and nothing
    that Monday reports about them is stored.
    """
    link = lookups.link_of(person.entity_type)
    lease = acquire(link, LEASE_SECONDS) if link else None
    if link and lease is None:
        raise NotPossible(BOARD_BUSY, code="board_busy")
    with lease or nullcontext():
        # Read again, because the last pass may have stored more.
        person = Person(person.entity_type, person.id)
        if models.Intent.objects.filter(entity_id=person.id, state=models.IntentState.OPEN).exists():
            raise NotPossible(OUTCOME_UNKNOWN, code="outcome_unknown")
        # First, so that nothing is erased if Monday refuses.
        if link and delete_items and person.items:
            _delete_items(link, person.items)

        @retry_on_lock_timeout
        def attempt() -> int:
            with lease.transaction(seconds=LEASE_SECONDS) if lease else transaction.atomic():
                return _erase_rows(person)

        number = attempt()
    # A webhook about the deletion may have arrived before the items were marked as erased.
    models.WebhookEvent.objects.filter(item_id__in=person.items).delete()
    log.info("person erased", entity_type=person.entity_type, record=str(person.id), rows=number)
    return number


def _delete_items(link: models.BoardLink, item_ids: list[str]) -> None:
    board = availability.of(link.entity_type, urgent=True)
    if not board.is_available:
        raise NotPossible(f"Monday can't be called: {board.detail} {ITEM_STAYS}", code="board_unavailable")
    request = prepare_removal("delete", {f"e{number}": item_id for number, item_id in enumerate(item_ids)})
    try:
        for outcome in connector(urgent=True).write(request, uuid.uuid4().hex).by_alias.values():
            # An item that is gone already needs no deletion.
            if isinstance(outcome, MondayError) and outcome.kind is not ITEM_NOT_FOUND:
                raise outcome
    except MondayError as error:
        sentence = f"Monday didn't delete the item: {error.sentence} {ITEM_STAYS}"
        raise NotPossible(sentence, code="item_not_deleted") from error


def _quotes(entry: Any, person: Person) -> bool:
    """Return whether a difference of a board's last comparison names the person: theirs, or a related record's."""
    text = json.dumps(entry, ensure_ascii=False)
    return str(person.id) in text or json.dumps(person.name, ensure_ascii=False)[1:-1] in text


def _take_name_out_of_messages(name: str) -> None:
    """Take the person's name out of what is stored about others: a namesake's, too, for a message has no ids."""
    stored_name = json.dumps(name, ensure_ascii=False)[1:-1]
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, MessageField | JSONWithMessages):
                rows = model._base_manager.annotate(stored=Cast(field.name, TextField()))
                # The details of an unmatched item are the values of a message without its code.
                taken_out = _without_name if field.name == "details" else _messages_without_name
                for row in rows.filter(stored__contains=stored_name):
                    value = taken_out(getattr(row, field.name), name)
                    model._base_manager.filter(pk=row.pk).update(**{field.name: value})


def _messages_without_name(value: Any, name: str) -> Any:
    """Return a stored value with its messages changed, and all else as it is, such as what somebody chose."""
    if isinstance(value, dict):
        return {key: _messages_without_name(element, name) for key, element in value.items()}
    if isinstance(value, list):
        return [_messages_without_name(element, name) for element in value]
    return _without_name(value, name) if isinstance(value, Message) else value


def _without_name(value: Any, name: str) -> Any:
    if isinstance(value, Message):
        return Message(value.code, **_without_name(value.params, name))
    if isinstance(value, dict):
        return {key: _without_name(element, name) for key, element in value.items()}
    if isinstance(value, list):
        return [_without_name(element, name) for element in value]
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", ERASED, value) if isinstance(value, str) else value


def _erase_rows(person: Person) -> int:
    # `person.rows` below needs both, which are cached here before their rows are deleted.
    item_ids = person.items
    _name = person.name
    for link in models.BoardLink.objects.exclude(differences=[]):
        others = [entry for entry in link.differences if not _quotes(entry, person)]
        models.BoardLink.objects.filter(pk=link.pk).update(differences=others)
    number = person.record.delete()[0]
    # This includes the job and the tombstone that triggers wrote at the deletion.
    for rows in person.rows():
        kept_values = KEPT.get(rows.model)
        number += rows.delete()[0] if kept_values is None else rows.update(**kept_values)
    _take_name_out_of_messages(person.name)
    # A deleted record that had the item before is restored without it.
    models.Tombstone.objects.filter(monday_id__in=item_ids).exclude(entity_id=person.id).update(monday_id=None)
    mark = {"entity_type": person.entity_type, "reason": ERASED_REASON, "left_alone": True, "erased": True}
    marks = [models.IgnoredItem(item_id=item_id, **mark) for item_id in item_ids]
    models.IgnoredItem.objects.bulk_create(
        marks,
        update_conflicts=True,
        unique_fields=["entity_type", "item_id"],
        update_fields=["reason", "left_alone", "erased"],
    )
    # Uploaded files that wait for the confirmation of their import may contain the person.
    models.CacheEntry.objects.filter(cache_key__startswith=cache.make_key(CacheStorage.CACHE_PREFIX)).delete()
    return number
