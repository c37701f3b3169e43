"""The nightly comparison of whole boards: both sides with each other and with the base, outside of passes.

It also proves that the records that say “synced” are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.utils.dateparse import parse_datetime

from sync import choices, registry
from sync.boards import board_columns
from sync.boards.board_columns import store_inspection
from sync.boards.webhooks import LONGEST_DELAY
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.limits import breaker
from sync.merge import Action
from sync.models import BoardLink
from sync.monday import errors
from sync.operations.detect.due_boards import boards_to_compare
from sync.operations.detect.listing import (
    BoardListing,
    ListedPage,
    enqueue_unmatched,
    records_with_jobs,
    records_without_item,
)
from sync.outbox.claim import Claim
from sync.outbox.queue_rows import enqueue_comparison
from sync.reconcile import pass_plan
from sync.reconcile.board_filter import record_verdict
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_values import BoardContext, still_holds, stored_values
from sync.reconcile.gather.record_facts import claimed

log = structlog.get_logger(__name__)

# Records without a listed item that are loaded at once.
PAGE = 500

# Differences that are stored for the board's page.
MAX_DIFFERENCES = 20

# The difference of a record whose item isn't listed, in the form of `BoardLink.differences`.
UNLISTED = {"key": "", "words": "Monday doesn't show its item."}


@dataclass
class ComparisonResult:
    """The counts of one board's comparison."""

    items: int = 0
    linked: int = 0
    differing: int = 0
    unlisted: int = 0
    without_record: int = 0
    without_item: int = 0
    problem: str = ""  # why it could not be finished
    verified: int = 0  # records that said `synced` and had nothing on its way
    differed: int = 0  # those of them that weren't in sync
    differences: list[dict[str, Any]] = field(default_factory=list)  # the first of these, with their fields

    @property
    def summary(self) -> str:
        if self.problem:
            return f"The comparison could not be finished. {self.problem} It is made again the next night."
        unlisted = humanize.count_with_noun(self.unlisted, "linked item is", "linked items are")
        clauses = {
            f"{self.differing:,} differed from the last synced values, or had something open": self.differing,
            f"{unlisted} not on the board any more: archived, deleted or moved": self.unlisted,
            f"{humanize.count_with_noun(self.without_record, 'item')} had no record": self.without_record,
            f"{humanize.count_with_noun(self.without_item, 'record')} had no item": self.without_item,
        }
        differences = "; ".join(clause for clause, number in clauses.items() if number) or "nothing differed"
        items = humanize.count_with_noun(self.items, "item")
        return f"{items} on the board, {self.linked:,} of them linked: {differences}."


def compare_due_boards() -> list[ComparisonResult]:
    return [compare_board(link) for link in boards_to_compare()]


def compare_board(link: BoardLink) -> ComparisonResult:
    """Compare every item with its record and base, enqueue a pass for what differs, store the result."""
    try:
        result = _compare(link)
    except errors.MondayError as error:
        if error.kind is errors.SHUTTING_DOWN:
            # It is due again. The differences found so far are in the queue.
            BoardLink.objects.filter(pk=link.pk).update(compared_at=link.compared_at, compared=link.compared)
            return ComparisonResult(problem=error.sentence)
        breaker.stop_if_shared(error)
        result = ComparisonResult(problem=error.sentence)
    BoardLink.objects.filter(pk=link.pk).update(compared_at=SyncNow(), compared=result.summary)
    log.info("compared", board=link.entity_type, result=result.summary)
    return result


def latest_verification(links: Iterable[BoardLink] | None = None) -> dict[str, Any]:
    """Return when these boards (or all) were last verified, and how many records were compared and differed."""
    links = list(BoardLink.objects.all() if links is None else links)
    return {
        "at": max((link.verified_at for link in links if link.verified_at), default=None),
        "compared": sum(link.verified_records for link in links),
        "differed": sum(link.differed_records for link in links),
    }


def verification_text(at: datetime | None, compared: int, differed: int) -> str:
    """Return the verification as a sentence."""
    if at is None or not compared:
        return "Not verified yet: both sides are compared every night."
    span = humanize.time_span((sync_now() - at).total_seconds())
    if not differed:
        return f"Verified {span} ago: {compared:,} of {compared:,} checked records were the same on both sides."
    return (
        f"Differences, found {span} ago: {differed:,} of {compared:,} checked records said “synced” and differed. They "
        "are synced again, or you are asked."
    )


def _compare(link: BoardLink) -> ComparisonResult:
    spec = registry.entity(link.entity_type)
    structure = board_columns.inspect_board(link)
    if structure is None:
        raise errors.MondayError(errors.BOARD_NOT_FOUND, "The board is missing, or not active")
    result = ComparisonResult()
    listing = BoardListing(link)
    for page in listing.pages(structure.items_count):
        if page.facts.columns is not None:
            store_inspection(link, page.facts.columns)
        _verify(result, page)
        enqueue_comparison(link.entity_type, page.differing)
        result.linked += len(page.plan.records)
        result.differing += len(page.differing)
    # A listing doesn't prove that an item is gone, so passes read the missing items by id, unless the listing itself
    # was cut short.
    is_complete = structure.items_count is None or len(listing.listed) >= structure.items_count
    unlisted = listing.unlisted() if is_complete else []
    for start in range(0, len(unlisted), PAGE):
        _verify_unlisted(result, listing.board, unlisted[start : start + PAGE])
    enqueue_comparison(link.entity_type, unlisted)
    listing.forget_unlisted(structure.items_count)
    without_item = records_without_item(spec)
    enqueue_comparison(link.entity_type, without_item)
    unmatched = listing.unmatched
    # A pass of an item without a record makes sense only if it can create or match a record.
    if unmatched and (link.creates_records or without_item):
        enqueue_unmatched(spec, listing.matchable(unmatched))
    BoardLink.objects.filter(pk=link.pk).update(
        verified_at=SyncNow(),
        verified_records=result.verified,
        differed_records=result.differed,
        differences=result.differences,
    )
    if result.differed:
        log.error("drift", board=link.entity_type, compared=result.verified, differed=result.differed)
    result.items = len(listing.listed)
    result.unlisted = len(unlisted)
    result.without_record = len(unmatched)
    result.without_item = len(without_item)
    return result


def divergences(plan: pass_plan.RecordPlan) -> list[dict[str, str]] | None:
    """Return the fields that differ from their base, for `BoardLink.differences`; None if a value can't be read now."""
    # Blocked fields have their own note on the record.
    compared = [field_plan for key, field_plan in plan.plans.items() if key not in plan.sync_state.blocked_fields]
    if any(field_plan.decision.action is Action.UNDECIDED for field_plan in compared):
        return None
    differences = []
    for field_plan in compared:
        # Equal on both sides and never synced: only the base is missing.
        is_first_agreement = field_plan.decision.action is Action.AGREED and field_plan.base is None
        if field_plan.decision.action is Action.NOTHING or is_first_agreement:
            continue
        remote = field_plan.convert.display(field_plan.convert.canonical_remote(field_plan.remote_raw))
        values = {"npd": field_plan.display_local(field_plan.local_raw), "monday": remote}
        agreed = "; it was never synced."
        if field_plan.base is not None:
            values["agreed"] = field_plan.display_local(field_plan.base["local"])
            agreed = f", last synced was “{values['agreed']}”."
        label = field_plan.mapping.label
        text = f"{label}: NPD says “{values['npd']}”, Monday “{values['monday']}”{agreed}"
        differences.append({"key": field_plan.mapping.key, "words": text} | values)
    return differences


def _verify(result: ComparisonResult, page: ListedPage) -> None:
    """Verify the records of a page that say `synced` and have nothing on its way."""
    differing = dict[UUID, tuple[RecordFacts, list[dict[str, str]]]]()
    verifiable = _verifiable((plan.facts for plan in page.syncing), page.busy) - page.unread
    for plan in page.syncing:
        if plan.id not in verifiable:
            continue
        fields = divergences(plan) if plan.id in page.changed else []
        # A difference proves nothing if the filter leaves the record out with the next pass.
        if fields is None or (fields and (plan.left_out_after_pass or _is_fresh(plan.facts))):
            continue
        result.verified += 1
        if fields:
            differing[plan.id] = plan.facts, fields
    _record_differing(result, page.facts.board, differing)


def _verify_unlisted(result: ComparisonResult, board: BoardContext, ids: Collection[UUID]) -> None:
    """Count the records that say `synced` though a complete listing lacks their items."""
    records = {facts.id: facts for facts in _load(board, ids) if facts.record.may_sync}
    missing = {
        key
        for key in _verifiable(records.values(), records_with_jobs(board.link, records))
        if not _is_fresh(records[key]) and record_verdict(board, records[key].record).holds is not False
    }
    result.verified += len(missing)
    _record_differing(result, board, {key: (records[key], [UNLISTED]) for key in missing})


def _record_differing(
    result: ComparisonResult, board: BoardContext, differing: Mapping[UUID, tuple[RecordFacts, list[dict[str, str]]]]
) -> None:
    """Add the differences, except for records that a pass or a save may have changed since they were loaded."""
    reloaded = {facts.id: facts for facts in _load(board, differing)} if differing else {}
    verifiable = _verifiable(reloaded.values(), records_with_jobs(board.link, reloaded))
    for key, (before, fields) in differing.items():
        later = reloaded.get(key)
        is_unchanged = (
            key in verifiable
            and later is not None
            and later.record.monday_id == before.record.monday_id
            and later.sync_state.base == before.sync_state.base
            and all(still_holds(later.record, stored_values(before.record, mapping)) for mapping in board.mappings)
        )
        if not is_unchanged:
            result.verified -= 1
            continue
        result.differed += 1
        if len(result.differences) < MAX_DIFFERENCES:
            result.differences.append({"record": str(key), "name": str(before.record), "fields": fields})


def _load(board: BoardContext, ids: Iterable[UUID]) -> Sequence[RecordFacts]:
    return claimed(board, [Claim(key, None, []) for key in sorted(ids)]).records


def _verifiable(records: Iterable[RecordFacts], busy: Collection[UUID]) -> set[UUID]:
    """Return the records that say `synced` and have no open job, intent or event."""
    return {
        facts.id
        for facts in records
        if facts.id not in busy and not facts.intents and not facts.events
        if facts.record.monday_id and facts.record.sync_status == choices.RecordSyncStatus.SYNCED
    }


def _is_fresh(facts: RecordFacts) -> bool:
    """Whether a side changed so recently that the change, or its webhook, may still be on its way."""
    item = facts.item
    edited = parse_datetime(item.updated_at) if item and item.updated_at else None
    moments = (edited, facts.sync_state.last_sync_attempt)
    return any(moment is not None and sync_now() - moment < LONGEST_DELAY for moment in moments)
