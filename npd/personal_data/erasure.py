"""One person exported or erased everywhere, and their item on Monday with them where that is wanted.

An erasure is one transaction under the board's lease, so that no pass stores again what it read before. What stays is
a deleted record without values, by which others learn that it is gone, and the mark on the item's number.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import structlog
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import CharField, Q, TextField
from pghistory.core import event_models

from npd.imports.models import ImportFile, ImportRow
from npd.models import Contact
from npd.personal_data.persons import ERASED, Mentions, NamedIn, Person, own_rows, person_of, records_naming
from sync import connectors
from sync.choices import TombstoneState
from sync.clock import SyncNow
from sync.connectors.base.board_items import ItemRemoval
from sync.connectors.base.errors import ConnectorError, ItemNotFound
from sync.kernel import humanize
from sync.kernel.db import retry_on_lock_timeout
from sync.kernel.messages import Conflict, TombstoneReason, tombstone_sentence
from sync.limits import connector
from sync.models import BoardLink, IgnoredItem, Intent, IntentState, SyncQueue, Tombstone
from sync.outbox.claim import Lease, acquire
from sync.records import availability
from sync.records.authors import log_kind_action
from sync.registry import link_of

T = TypeVar("T")

log = structlog.get_logger(__name__)

LEASE_SECONDS = 300

KEPT_ROWS: Mapping[str, Mapping[str, Any]] = {
    LogEntry._meta.label: {"object_repr": ERASED, "change_message": ""},
    Tombstone._meta.label: {
        "data": {}, "monday_id": None, "state": TombstoneState.NOTHING_LEFT, "reason_code": TombstoneReason.ERASED,
        "settled_at": SyncNow(), "note": tombstone_sentence(TombstoneReason.ERASED),
    },
}  # fmt: skip
"""Rows by their models' labels that stay, with these values: who did what and when, and that the record is gone."""

WHOLE_RECORDS = ("sync.StoredAnswer",)
"""Models whose rows quote whole records as text: one that has the record's id in it is deleted."""


class ItemFate(StrEnum):
    DELETE = "delete"
    LEAVE = "leave"


class ErasureProblem(StrEnum):
    BOARD_BUSY = "board_busy"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NAMED_IN_RECORDS = "named_in_records"
    IMPORT_BEING_READ = "import_being_read"
    BOARD_UNAVAILABLE = "board_unavailable"
    ITEM_NOT_DELETED = "item_not_deleted"


PROBLEM_TEXTS = {
    ErasureProblem.BOARD_BUSY: (
        "A worker is syncing the board at this moment, and might store again what is erased. Nothing was done. Try "
        "again in a minute."
    ),
    ErasureProblem.OUTCOME_UNKNOWN: (
        "A call to Monday about this person has no answer yet, so it is not known which items there are. Nothing "
        "was done. Try again in some minutes."
    ),
    ErasureProblem.NAMED_IN_RECORDS: (
        "Other records name this person: %(where)s. Nothing was done. Take that out of them, wait until they are "
        "synced, and erase the person then: what their activity says of it is erased, too."
    ),
    ErasureProblem.IMPORT_BEING_READ: (
        "A file that was chosen for an import waits to be read, and may name this person. Nothing was done. Try again "
        "when it is read, or discard it."
    ),
    ErasureProblem.BOARD_UNAVAILABLE: (
        "Monday can't be called: %(why)s Nothing was done. Try again when it can, or leave the item on the board."
    ),
    ErasureProblem.ITEM_NOT_DELETED: (
        "Monday didn't delete the item: %(why)s Nothing was erased in NPD. Try again, or leave the item on the board."
    ),
}
"""Each says what is so, why, and what to do."""

ERASED_SENTENCE = "The person is erased: %(rows)s rows in %(tables)s tables."


def naming_text(found: list[NamedIn]) -> list[str]:
    """Return where other records name the person, as “Acme” (notes)."""

    def labels(one: NamedIn) -> str:
        fields = {field.column: field for field in one.record._meta.concrete_fields}
        names = [str(fields[name].verbose_name) for name in one.columns]
        return ", ".join(names) or "taken out, and not synced yet"

    return [f"“{one.record}” ({labels(one)})" for one in found]


@dataclass
class Erasure:
    """How many rows, by table, were deleted, emptied or rewritten; nothing of the person."""

    removed: Counter[str] = field(default_factory=Counter)
    emptied: Counter[str] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> list[tuple[str, int, int, int]]:
        """Table, deleted, emptied, rewritten; by table."""
        tables = sorted({*self.removed, *self.emptied, *self.rewritten})
        rows = [(one, self.removed[one], self.emptied[one], self.rewritten[one]) for one in tables]
        return [row for row in rows if any(row[1:])]

    @property
    def total(self) -> int:
        return sum(sum(counts) for _table, *counts in self.rows)


class _TakenBack(Exception):
    """Ends a transaction that only shows what it would do."""


def export_person(person: Person) -> dict[str, Any]:
    """Return what the database holds of a person, as JSON values: the record, the rows about it, and mentions."""

    def read() -> dict[str, Any]:
        record = list(Contact.objects.filter(pk__in=person.keys).values())
        tables: dict[str, dict[Any, Any]] = {}
        for rows in (*own_rows(person), _import_rows(person), *_quotes(person)):
            found = {row[rows.model._meta.pk.attname]: row for row in rows.values()}
            tables.setdefault(rows.model._meta.db_table, {}).update(found)
        # What is left once these are gone names the person elsewhere.
        _erase_own_rows(person, Erasure())
        held_rows = {table: list(found.values()) for table, found in tables.items() if found}
        return {"record": record, "rows": held_rows, "mentions": list(Mentions(person).found())}

    held = {
        "person": {"id": person.key, "name": person.name, "items_on_monday": person.item_ids},
        "searched_for": [{"kind": one.kind, "text": one.text} for one in person.identifiers],
        "not_searched_for_as_others_share_it": [{"kind": one.kind, "text": one.text} for one in person.shared],
        **_taken_back(read),
    }
    readable: dict[str, Any] = json.loads(json.dumps(held, cls=_Encoder))
    return readable


def preview_erasure(person: Person) -> Erasure:
    """Return what `erase_person` would do in NPD: it is done, counted and taken back. Nobody is called."""

    def erase() -> Erasure:
        erasure = Erasure()
        _erase(person, erasure)
        return erasure

    return _taken_back(erase)


def _taken_back(work: Callable[[], T]) -> T:
    """Do it in a transaction that is undone, and return what it returned."""
    results: list[T] = []

    def attempt() -> None:
        with suppress(_TakenBack), transaction.atomic():
            results[:] = [work()]
            raise _TakenBack

    retry_on_lock_timeout(attempt)
    return results[0]


class _Encoder(DjangoJSONEncoder):
    def default(self, value: Any) -> Any:
        # A file that waits to be read is nobody's alone; it is named by its size.
        return f"{len(value)} bytes" if isinstance(value, bytes | memoryview) else super().default(value)


def erase_person(person: Person, *, items: ItemFate, by: User) -> Erasure:
    """Erase a person in every table, irreversibly; return how many rows that were. Raises Conflict.

    With `ItemFate.DELETE` their items are deleted on Monday first, by one call; where that fails nothing is erased.
    Items that are left make no record again, and nothing of them is stored.
    """
    link = link_of(Contact.entity_type())
    with _leased(link) as held:
        # Read anew under the lease: what a pass stored meanwhile is the person's, too.
        current = (person_of(person.key) if person.key else None) or person
        _refuse_where_unsafe(current)
        if items is ItemFate.DELETE and link is not None and current.item_ids:
            _delete_items(link, current)

        def attempt() -> Erasure:
            erasure = Erasure()
            with held.transaction(seconds=LEASE_SECONDS) if held else transaction.atomic():
                _erase(current, erasure)
                sentence = f"A person was erased: {erasure.total:,} rows in {len(erasure.rows)} tables."
                log_kind_action(by, Contact, sentence, name=ERASED, key=current.key)
            return erasure

        erasure = retry_on_lock_timeout(attempt)
    log.info("person erased", record=str(person.key), rows=erasure.total, tables=len(erasure.rows), by=by.pk)
    return erasure


@contextmanager
def _leased(link: BoardLink | None) -> Iterator[Lease | None]:
    """Hold the board, so that no pass is under way that has read the person."""
    if link is None:
        yield None
        return
    held = acquire(link, LEASE_SECONDS)
    if held is None:
        raise _refused(ErasureProblem.BOARD_BUSY)
    with held:
        yield held


def _refused(problem: ErasureProblem, **params: str) -> Conflict:
    return Conflict(PROBLEM_TEXTS[problem] % params, code=problem)


def _refuse_where_unsafe(person: Person) -> None:
    if naming := records_naming(person):
        raise _refused(ErasureProblem.NAMED_IN_RECORDS, where=humanize.join_first(naming_text(naming)))
    if person.key and Intent.objects.filter(entity_id=person.key, state=IntentState.OPEN).exists():
        raise _refused(ErasureProblem.OUTCOME_UNKNOWN)
    # A spreadsheet is packed, so that nobody can search it.
    if ImportFile.objects.exists():
        raise _refused(ErasureProblem.IMPORT_BEING_READ)


def _delete_items(link: BoardLink, person: Person) -> None:
    board = availability.of(link, urgent=True)
    if not board.is_available:
        raise _refused(ErasureProblem.BOARD_UNAVAILABLE, why=board.waiting_reason)
    removals = [ItemRemoval(f"e{n}", item_id) for n, item_id in enumerate(person.item_ids)]
    request = connectors.get(link.system).prepare_delete(removals, [])
    try:
        result = connector(link.system, urgent=True).write(request, uuid.uuid4().hex)
    except ConnectorError as error:
        raise _refused(ErasureProblem.ITEM_NOT_DELETED, why=error.sentence) from error
    for outcome in result.by_alias.values():
        # One that is gone already is what was wanted.
        if isinstance(outcome, ConnectorError) and not isinstance(outcome, ItemNotFound):
            raise _refused(ErasureProblem.ITEM_NOT_DELETED, why=outcome.sentence)


def _erase(person: Person, erasure: Erasure) -> None:
    """Erase in the caller's transaction."""
    list(Contact.objects.select_for_update().filter(pk__in=person.keys))
    _erase_own_rows(person, erasure)
    _mark_items(person)
    mentions = Mentions(person)
    mentions.erase()
    erasure.rewritten += mentions.rewritten
    erasure.removed += mentions.removed


def _erase_own_rows(person: Person, erasure: Erasure) -> None:
    _remove(_import_rows(person), erasure)
    for rows in own_rows(person, besides=KEPT_ROWS):
        _remove(rows, erasure)
    _remove(Contact.objects.filter(pk__in=person.keys), erasure)
    # What the triggers have written of the deletion: nothing is left for a pass to do.
    if person.key:
        SyncQueue.objects.filter(entity_id=person.key).delete()
        for model in event_models(tracks_model=Contact):
            model._default_manager.filter(pgh_obj_id=person.key).delete()
        for rows in _quotes(person):
            _remove(rows, erasure)
        for rows in own_rows(person, only=KEPT_ROWS):
            erasure.emptied[rows.model._meta.db_table] += rows.update(**KEPT_ROWS[rows.model._meta.label])


def _remove(rows: Any, erasure: Erasure) -> None:
    _number, by_label = rows.delete()
    for label, number in by_label.items():
        if number:
            erasure.removed[apps.get_model(label)._meta.db_table] += number


def _import_rows(person: Person) -> Any:
    """Rows of files that are about the person: one of their cells is the name or the address."""
    texts = [one.text.lower() for one in person.identifiers if one.kind in ("name", "email")]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT id FROM {ImportRow._meta.db_table} WHERE jsonb_typeof(cells) = 'array' AND EXISTS (
                SELECT FROM jsonb_array_elements_text(cells) AS cell WHERE lower(btrim(cell)) = ANY (%s))""",  # noqa: S608
            [texts],
        )
        found = [row[0] for row in cursor.fetchall()]
    return ImportRow.objects.filter(pk__in=found)


def _quotes(person: Person) -> Iterator[Any]:
    """Rows that quote the person's whole record, among others perhaps."""
    for model in apps.get_models() if person.key else ():
        if model._meta.label in WHOLE_RECORDS:
            texts = [one for one in model._meta.concrete_fields if isinstance(one, CharField | TextField)]
            names = Q(*[(f"{one.name}__contains", str(person.key)) for one in texts], _connector=Q.OR)
            yield model._default_manager.filter(names)


def _mark_items(person: Person) -> None:
    """The items' numbers stay: what is left of them on the board makes no record again, and nothing of it is stored."""
    kind = Contact.entity_type()
    IgnoredItem.objects.filter(entity_type=kind, item_id__in=person.item_ids).delete()
    reason = "Its person was erased in NPD."
    IgnoredItem.objects.bulk_create(
        IgnoredItem(entity_type=kind, item_id=item_id, reason=reason, unlinked=True, erased=True)
        for item_id in person.item_ids
    )
