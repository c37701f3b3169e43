"""The nightly comparison: every item with its mapped columns against the base and NPD, page by page.

What differs is looked at; it is the look that finds out why. An item that the board doesn't list is asked for by its
id: absence from a listing says nothing about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from sync import account, drift, registry
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection
from sync.claims import Claimed
from sync.clock import SyncNow
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.errors import BoardGone, CallerEnds, MondayError, Scope
from sync.connectors.monday.items import Item
from sync.engine.board import Board
from sync.engine.drifting import heal
from sync.engine.planning import base_of, way_of
from sync.engine.subjects import Subject
from sync.engine.values import raw_of
from sync.enqueue import enqueue_many
from sync.merge import Way
from sync.models import BoardLink, FieldMapping, SyncedModel, SyncMetadata, SyncQueue
from sync.models.synced import unsynced
from sync.sweeps.listing import board_items, look_at_unknown, unknown_items
from sync.sweeps.timing import boards_to_compare

log = structlog.get_logger(__name__)

PAGE = 500


@dataclass(frozen=True)
class Compared:
    """What a comparison found on one board; `problem` says why it could not be finished."""

    items: int = 0
    linked: int = 0
    differing: int = 0
    unlisted: int = 0
    without_record: int = 0
    without_item: int = 0
    problem: str = ""

    @property
    def words(self) -> str:
        """The result as a sentence."""
        if self.problem:
            return f"The comparison could not be finished. {self.problem} It is made again the next night."
        return (
            f"{self.items:,} items on the board, {self.linked:,} of them linked: {self.differing:,} differed from what "
            f"was last agreed on; {self.unlisted:,} linked items were not listed; {self.without_record:,} items had no "
            f"record, {self.without_item:,} records no item."
        )


def compare_due() -> list[Compared]:
    """Compare the boards that are due."""
    return [compare(link) for link in boards_to_compare()]


def compare(link: BoardLink) -> Compared:
    """Hold every item against its record and base, and enqueue a look at what differs; the result is stored."""
    try:
        found = _Comparison(link).run()
    except CallerEnds as end:
        # As if it had not begun: it is due again, and what differed so far is in the queue.
        BoardLink.objects.filter(pk=link.pk).update(compared_at=link.compared_at, compared=link.compared)
        return Compared(problem=end.sentence)
    except MondayError as error:
        if error.scope in (Scope.ACCOUNT, Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE):
            account.pause(error)
        found = Compared(problem=error.sentence)
    BoardLink.objects.filter(pk=link.pk).update(compared_at=SyncNow(), compared=found.words)
    log.info("compared", board=link.entity_type, result=found.words)
    return found


@dataclass
class _Comparison:
    """One comparison; it remembers ids of items, and of nothing else more than a page."""

    link: BoardLink
    listed: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    found: Compared = field(default_factory=Compared)

    def run(self) -> Compared:
        shown = drift.look_at_board(self.link)
        if shown is None:
            raise BoardGone("The board is missing, or not active")
        self.board = Board.of(self.link)
        listing = board_items(
            account.client(), self.link, self.board.columns, self.board.types, expected=shown.items_count
        )
        for page in _pages(listing):
            self._page(page)
        self._unlisted(complete=shown.items_count is None or len(self.listed) >= shown.items_count)
        without_item = self._records_without_item()
        self._candidates(sure=self.link.creates_records or bool(without_item))
        return replace(
            self.found,
            items=len(self.listed),
            without_record=len(self.unknown),
            without_item=without_item,
        )

    def _page(self, items: Sequence[Item]) -> None:
        heal(self.board, list(items))
        fresh = {item.id: item for item in items if item.id not in self.listed}
        self.listed |= set(fresh)
        records = self._records(fresh)
        ledgers = _ledgers(self.link, [str(record.pk) for record in records])
        differing = [
            record.pk
            for record in records
            if record.may_sync and _differs(self.board, record, ledgers.get(str(record.pk)), fresh)
        ]
        self._look_at(differing)
        owned = {record.monday_id for record in records}
        self.unknown += unknown_items(registry.entity(self.link.entity_type), set(fresh) - owned)
        self.found = replace(
            self.found,
            linked=self.found.linked + len(records),
            differing=self.found.differing + len(differing),
        )

    def _records(self, ids: Iterable[str]) -> list[SyncedModel]:
        joined = self.board.joined
        records = self.board.model._default_manager.filter(monday_id__in=list(ids))
        return list(records.select_related(*joined) if joined else records)

    def _unlisted(self, *, complete: bool) -> None:
        """Linked records whose item a complete listing doesn't show: asked for by id, which alone tells."""
        if not complete:
            return
        linked = self.board.model._default_manager.exclude(monday_id=None).exclude(unsynced())
        gone: list[UUID] = []
        for pk, item_id in linked.order_by("pk").values_list("pk", "monday_id").iterator(chunk_size=2_000):
            if item_id not in self.listed:
                gone.append(pk)
        self._look_at(gone)
        self.found = replace(self.found, unlisted=len(gone))

    def _records_without_item(self) -> int:
        """Records that should have an item and wait for nothing: no row, no person, no direction keeps them."""
        rows = SyncQueue.objects.filter(entity_type=self.link.entity_type, entity_id__isnull=False)
        busy = rows.exclude(status=QueueStatus.COMPLETED).values("entity_id")
        waiting = self.board.model._default_manager.filter(
            monday_id=None, sync_status=RecordSyncStatus.PENDING
        )
        waiting = waiting.exclude(unsynced()).exclude(sync_direction=SyncDirection.MONDAY_TO_NPD)
        ids = list(waiting.exclude(pk__in=busy).values_list("pk", flat=True))
        self._look_at(ids)
        return len(ids)

    def _candidates(self, *, sure: bool) -> None:
        """Items without a record are looked at where one could come of it: made, or matched."""
        if sure and self.unknown:
            look_at_unknown(registry.entity(self.link.entity_type), self.unknown)

    def _look_at(self, ids: Sequence[Any]) -> None:
        if ids:
            enqueue_many(
                self.link.entity_type,
                sorted(ids),
                cause=Cause.SWEEP,
                priority=Priority.SWEEP,
                direction=QueueDirection.TO_NPD,
            )


def _pages(items: Iterator[Item]) -> Iterator[list[Item]]:
    page: list[Item] = []
    for item in items:
        page.append(item)
        if len(page) >= PAGE:
            yield page
            page = []
    if page:
        yield page


def _ledgers(link: BoardLink, ids: list[str]) -> dict[str, SyncMetadata]:
    rows = SyncMetadata.objects.filter(entity_type=link.entity_type, system="monday", entity_id__in=ids)
    return {row.entity_id: row for row in rows}


def _differs(board: Board, record: SyncedModel, ledger: SyncMetadata | None, items: dict[str, Item]) -> bool:
    """Whether a side has left its half of a base, but where that is known: a field held, or in conflict."""
    item = items[str(record.monday_id)]
    if ledger is None:
        return True
    known = {*ledger.held, *(key for keys in ledger.conflicts.values() for key in keys)}
    subject = Subject(Claimed(record.pk, None, []), record, ledger)
    mapped = [m for m in board.mappings if m.column_id and not m.problem and m.key not in known]
    if any(not _stands(board, subject, mapping, item) for mapping in mapped):
        return True
    npd_id = item.reading(board.link.npd_id_column)
    return npd_id.known and (npd_id.text or "").strip() != str(record.pk)


def _stands(board: Board, subject: Subject, mapping: FieldMapping, item: Item) -> bool:
    if way_of(subject, mapping) is Way.NONE:
        return True
    base, convert = base_of(subject, mapping, item.id), board.converter(mapping, subject.record)
    try:
        remote = convert.remote(convert.raw_of(item.reading(mapping.column_id)))
        local = convert.local(raw_of(subject.record, mapping))
        return base is not None and (local, remote) == (
            convert.local(base["local"]),
            convert.remote(base["remote"]),
        )
    except UnknownValue:
        return False
