"""The comparison of whole boards, outside of passes: every night, and by `sync_reconcile`.

A listing reads 500 items a call, a pass 100. So the rules of a pass decide about the listing first, and only records
whose plan isn't empty get a pass.

It enqueues a pass for what differs, or has a conflict, a call or an event that the pass would end; `sync_reconcile`
also for what has a job or doesn't say “synced”. It also verifies what says “synced” (verification.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db.models import QuerySet

from sync import choices, registry
from sync.boards import availability, board_columns
from sync.clock import SyncNow, parse_moment, sync_now
from sync.fields import lookups
from sync.kernel import humanize, process
from sync.limits import breaker
from sync.models import BoardLink, IgnoredItem, SyncedModel, SyncQueue, WebhookEvent
from sync.models.synced_model import unsynced
from sync.monday import errors, lag
from sync.monday.board_events import LOG_PREFIX
from sync.monday.board_items import Item
from sync.monday.connector import ITEM_FAULT_SCOPES
from sync.operations import dry_run
from sync.operations.verification import Verification
from sync.outbox import enqueue_comparison, enqueue_unmatched
from sync.outbox.claim import Claim
from sync.reconcile.board_filter import item_verdict
from sync.reconcile.missing.unmatched_items import listed_finding
from sync.records.item_links import delete_obsolete_unmatched, item_names, note_unmatched
from sync.words.message import Message, of_error, sentences

log = structlog.get_logger(__name__)

# Boards are compared between these hours, in UTC.
NIGHT_HOUR = 2
NIGHT_END_HOUR = 5

UNFINISHED_TEXT = Message("comparison_unfinished")

# A comparison that is this old is due at any hour: the nights had no quota for it.
OVERDUE_AFTER = timedelta(hours=26)

# Records without a listed item that are loaded at once.
PAGE = 500


class PagedListing(dry_run.Listing):
    """A board's listing, planned page by page: it holds all ids, but only one page of anything else.

    Items without a record are stored as unmatched.
    """

    def __init__(self, link: BoardLink) -> None:
        super().__init__(lookups.load_board(link))
        self.listed = set[str]()
        self.started_at = sync_now()
        self.left_out = set[str]()  # items that the filter leaves out
        self.without_record: list[str] = []
        self.unread = 0  # passes that could not be read

    def passes(self) -> Iterator[dry_run.PlannedPass]:
        """Yield the plan of a pass over each page; raises MondayError."""
        board = self.board
        # What could not be read the last time is tried alone, so that it spoils no batch.
        for item_id in board.link.listing_state.get("unreadable", ()):
            try:
                self.connector.read_items([item_id], board.columns, board.types)
            except errors.MondayError as error:
                if error.scope not in ITEM_FAULT_SCOPES:
                    raise
                self.unreadable[item_id] = error
        for page in self.connector.list_items(board.link.board_id, board.columns, board.types, self.unreadable):
            self.items = {item.id: item for item in page}
            self.listed |= set(self.items)
            if self.board.sync_filter.items:
                self.left_out |= {item.id for item in page if item_verdict(self.board, item).holds is False}
            for planned_pass in self._passes_over(self._claims(page)):
                # A column that was found again stays found on later pages. What is known of this page's related items
                # is dropped, because they are many.
                found = planned_pass.facts.board
                self.board = replace(found, item_names=board.item_names, hidden_items=board.hidden_items)
                yield planned_pass
        self.listed |= set(self.unreadable)

    def _passes_over(self, claims: Sequence[Claim]) -> Iterator[dry_run.PlannedPass]:
        """Yield the plan of a pass over these claims, or of its halves if an item that it asks for can't be read.

        So only the records that name such an item get a pass unread, and not all of their page.
        """
        planned_pass = dry_run.decide_pass(self.board, claims, self)
        has_failed = self.error is not None and self.error.scope in ITEM_FAULT_SCOPES
        # So many failures are nobody's fault but Monday's.
        if has_failed and len(claims) > 1 and self.unread < lag.MAX_UNREADABLE_ITEMS:
            middle = len(claims) // 2
            yield from self._passes_over(claims[:middle])
            yield from self._passes_over(claims[middle:])
            return
        self.unread += has_failed
        yield planned_pass

    def _claims(self, page: Sequence[Item]) -> list[Claim]:
        """Return the claims of the page's items that have a record; store the others as unmatched."""
        owners = self.board.model.objects.filter(monday_id__any_of=list(self.items))
        owned = set(owners.values_list("monday_id", flat=True))
        without_record = [item for item in page if item.id not in owned]
        self.without_record += [item.id for item in without_record]
        note_unmatched(self.board.link, [listed_finding(self.board, item) for item in without_record])
        return [Claim(None, item.id, []) for item in page if item.id in owned]

    def unlisted(self) -> list[UUID]:
        """Return the linked records whose items were not listed; the items may still exist."""
        rows = compared_records(self.board.model).order_by("pk").values_list("pk", "monday_id")
        return [pk for pk, item_id in rows.iterator(chunk_size=2_000) if item_id not in self.listed]


def compared_records(model: type[SyncedModel]) -> QuerySet[SyncedModel]:
    """Return the linked records that are synced; those that the filter leaves out are disabled, too."""
    return model.objects.exclude(monday_id=None).exclude(sync_status=choices.RecordSyncStatus.DISABLED)


def items_without_record(spec: registry.EntitySpec, item_ids: Iterable[str]) -> list[str]:
    """Return those of the items that have no record and aren't left alone, each once."""
    ids = list(dict.fromkeys(item_ids))
    owned = spec.model.objects.filter(monday_id__any_of=ids)
    left_alone = IgnoredItem.objects.filter(entity_type=spec.entity_type, item_id__any_of=ids, left_alone=True)
    excluded = {*owned.values_list("monday_id", flat=True), *left_alone.values_list("item_id", flat=True)}
    return [item_id for item_id in ids if item_id not in excluded]


def records_without_item(spec: registry.EntitySpec) -> list[UUID]:
    """Return the records that should get an item and don't wait for a job, a person or another direction."""
    jobs = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__isnull=False)
    busy = jobs.exclude(status=choices.QueueStatus.COMPLETED).values("entity_id")
    without_item = spec.model.objects.filter(monday_id=None, sync_status=choices.RecordSyncStatus.PENDING)
    without_item = without_item.exclude(unsynced()).exclude(sync_direction=choices.SyncDirection.MONDAY_TO_NPD)
    return list(without_item.exclude(pk__in=busy).values_list("pk", flat=True))


@dataclass
class ComparisonResult:
    """The counts of one board's comparison."""

    items: int = 0
    linked: int = 0
    need_pass: int = 0  # records that differ, or have something open
    unlisted: int = 0
    unmatched: int = 0
    without_item: int = 0
    problem: str = ""  # why it could not be finished

    @property
    def summary(self) -> str:
        if self.problem:
            return Message("comparison_failed", why=self.problem)
        count = humanize.count_with_noun
        items = humanize.plural(self.unlisted, "item", "items")
        are = humanize.plural(self.unlisted, "is", "are")
        clauses = {
            Message("compared_differing", number=self.need_pass): self.need_pass,
            Message("compared_unlisted", number=self.unlisted, items=items, are=are): self.unlisted,
            Message("compared_unmatched", items=count(self.unmatched, "item")): self.unmatched,
            Message("compared_without_item", records=count(self.without_item, "record")): self.without_item,
        }
        differences = [clause for clause, number in clauses.items() if number] or [Message("compared_same")]
        return Message("compared", items=count(self.items, "item"), linked=self.linked, differences=differences)


def boards_to_compare() -> Iterator[BoardLink]:
    """Claim and yield the boards whose nightly comparison is due."""
    for link in availability.readable_boards():
        now = sync_now()
        if process.is_shutting_down():
            return
        last = link.compared_at
        night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
        is_night = night <= now < night.replace(hour=NIGHT_END_HOUR)
        # A missed night is made up for at any hour, but the first comparison waits for the night.
        is_due = (is_night and (last is None or last < night)) or (last is not None and now - last > OVERDUE_AFTER)
        if not is_due:
            continue
        unclaimed = BoardLink.objects.filter(pk=link.pk, compared_at=last)
        if unclaimed.update(compared_at=SyncNow(), compared=UNFINISHED_TEXT):
            yield link


def compare_due_boards() -> list[ComparisonResult]:
    return [compare_board(link) for link in boards_to_compare()]


def last_comparison_text(link: BoardLink) -> str:
    """Return the time and the result of the last comparison as a sentence; empty before the first."""
    if link.compared_at is None:
        return ""
    text = f"{humanize.day_and_time(link.compared_at)}: {link.compared}"
    is_old = sync_now() - link.compared_at > OVERDUE_AFTER
    return sentences(text, Message("comparison_is_old") if is_old else "")


def compare_board(link: BoardLink, *, includes_unfinished: bool = False) -> ComparisonResult:
    """Compare every item with its record and base, enqueue a pass for what differs, store the result.

    With `includes_unfinished`, records that aren't synced, have a job, or were missing in a listing that was cut short
    get a pass, too.
    """
    try:
        result = _compare(link, includes_unfinished=includes_unfinished)
    except errors.MondayError as error:
        if error.kind is errors.SHUTTING_DOWN:
            # Undo the claim, which `link` doesn't have, so that it is due again. Its passes so far are in the queue.
            BoardLink.objects.filter(pk=link.pk).update(compared_at=link.compared_at, compared=link.compared)
            return ComparisonResult(problem=of_error(error))
        is_shared = breaker.stop_if_shared(error)
        result = ComparisonResult(problem=of_error(error))
        BoardLink.objects.filter(pk=link.pk).update(comparison_problem="" if is_shared else result.problem)
    BoardLink.objects.filter(pk=link.pk).update(compared_at=SyncNow(), compared=result.summary)
    log.info("compared", board=link.entity_type, result=result.summary)
    return result


def _compare(link: BoardLink, *, includes_unfinished: bool) -> ComparisonResult:
    spec = registry.entity(link.entity_type)
    structure = board_columns.inspect_board(link)
    if structure is None:
        raise errors.MondayError(errors.BOARD_NOT_FOUND, "The board is missing, or not active")
    result = ComparisonResult()
    verification = Verification()
    listing = PagedListing(link)
    for page in listing.passes():
        if listing.inspected is not None:
            board_columns.store_inspection(link, listing.inspected)
        verification.add_page(page)
        need_pass = page.differing_or_unfinished if includes_unfinished else sorted(page.changed)
        enqueue_comparison(link.entity_type, need_pass)
        result.linked += len(page.plan.records)
        result.need_pass += len(need_pass)
    # An item that isn't listed may still exist, so its record's pass reads it by id. If the listing was cut short,
    # nothing is concluded.
    is_cut_short = structure.items_count is not None and len(listing.listed) < structure.items_count
    silence = _log_silence(link, verification.newest_drift)
    result.problem = _store_listing(listing, structure.items_count, silence)
    all_unlisted = listing.unlisted()
    unlisted = [] if is_cut_short else all_unlisted
    for start in range(0, len(unlisted), PAGE):
        verification.add_unlisted(listing.board, unlisted[start : start + PAGE])
    enqueue_comparison(link.entity_type, all_unlisted if includes_unfinished else unlisted)
    if structure.items_count is not None and not is_cut_short:
        delete_obsolete_unmatched(link, listing.started_at, listing.listed)
    without_item = records_without_item(spec)
    enqueue_comparison(link.entity_type, without_item)
    unmatched = items_without_record(spec, listing.without_record)
    # A pass of an unmatched item makes sense only if it can create or match a record.
    if unmatched and (link.creates_records or without_item):
        matchable = [item_id for item_id in unmatched if item_id not in listing.left_out]
        enqueue_unmatched(spec.entity_type, matchable, cause=choices.Cause.SWEEP)
    verification.store(link)
    result.items = len(listing.listed)
    result.unlisted = len(unlisted)
    result.unmatched = len(unmatched)
    result.without_item = len(without_item)
    return result


def _store_listing(listing: PagedListing, items_count: int | None, silence: str) -> str:
    """Store what the listing lacked for the next night; return what lasts of it, with the log's silence."""
    link = listing.board.link
    now = sync_now()
    state: dict[str, Any] = {"unreadable": sorted(listing.unreadable)} if listing.unreadable else {}
    short = ""
    number = len(listing.listed)
    if items_count is not None and number < items_count:
        since = parse_moment(link.listing_state.get("short_since")) or now
        state["short_since"] = since.isoformat()
        if now - since >= lag.SHORT_LISTING_AFTER:
            short = Message("listing_short", listed=number, number=items_count)
    problem = sentences(short, silence)
    unreadable = ""
    if listing.unreadable:
        names = item_names(listing.unreadable)
        owners = listing.board.model.objects.filter(monday_id__in=listing.unreadable)
        names |= {str(record.monday_id): str(record) for record in owners}
        quoted = [f"“{names[item_id]}” ({item_id})" if item_id in names else item_id for item_id in listing.unreadable]
        unreadable = Message("items_unreadable", items=humanize.join_first(quoted))
    stored = BoardLink.objects.filter(pk=link.pk)
    stored.update(listing_state=state, comparison_problem=sentences(problem, unreadable))
    return problem


def _log_silence(link: BoardLink, newest_drift: datetime | None) -> str:
    """Return that the activity log gives no rows although the board changes; empty if it does, or nothing changes."""
    newest_row = link.swept_to
    if newest_row is None or link.swept_at is None or sync_now() - newest_row < lag.LOG_SILENCE:
        return ""
    # A change that some sweep after it should have seen.
    missed = (newest_row + lag.OVERLAP, link.swept_at - lag.OVERLAP)
    webhooks = WebhookEvent.objects.filter(board_id=link.board_id, received_at__range=missed)
    has_events = webhooks.exclude(trigger_id__startswith=LOG_PREFIX).exists()
    has_edits = newest_drift is not None and missed[0] < newest_drift < missed[1]
    if not has_events and not has_edits:
        return ""
    source = Message("source_webhooks" if has_events else "source_comparison")
    return Message("log_silent", since=humanize.day_and_time(newest_row), source=source)
