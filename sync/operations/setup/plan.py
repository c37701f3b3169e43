"""The plan of a set-up: a dry run over every record and item of the chosen boards, as the set-up would leave them.

A worker makes it and caches it by its choices. It is too old after 30 minutes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.core.cache import cache
from django.core.exceptions import ValidationError

from conflicts.lifecycle import has_conflict
from conflicts.models import SyncConflict
from conflicts.reports import NAMESAKE, SAME_NAME, ConflictKind
from sync import attention, registry
from sync.attention import Kind
from sync.choices import CHOSEN_REASONS, QUIET_REASONS, BlockedCode, Cause, UnmatchedReason
from sync.clock import sync_now
from sync.fields import lookups
from sync.fields.field_values import match_key_of_item, match_key_of_record, record_name, with_item
from sync.kernel import humanize
from sync.kernel.acts import CREATE_RECORD, LINK, ActionError
from sync.kernel.db import match_key_sql
from sync.limits import api_quota
from sync.models import BoardLink, SyncedModel, SyncMetadata, SyncQueue
from sync.models.synced_model import unsynced
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import RELATION, BoardColumn, Item
from sync.monday.errors import MondayError
from sync.monday.text_forms import match_key
from sync.operations import preview
from sync.operations.planned_changes import BoardPlan, ChangeKind, PlannedChange
from sync.operations.setup import board_setup, future_board, selection
from sync.outbox.claim import Claim
from sync.outbox.wakeups import send_task
from sync.reconcile import pass_plan
from sync.reconcile.conflict_reports import conflict_reports
from sync.reconcile.gather.item_facts import MAX_NAMESAKES
from sync.reconcile.missing.identity import CREATES_HELD
from sync.records.item_links import AS_NEW_KEY, NEW_ITEM_KEY
from sync.words.message import Message, code_of, of_error

log = structlog.get_logger(__name__)

# A set-up can't be started from an older plan, because people work on both sides meanwhile.
PLAN_LIFETIME = timedelta(minutes=30)

# A plan is requested again if no worker has begun it after this long, or its worker has been silent for this long.
UNTOUCHED_AFTER = timedelta(seconds=20)
SILENT_AFTER = timedelta(minutes=5)

# For the estimated duration.
SECONDS_PER_CALL = 2
# The calls of a set-up beside its passes, its new columns and its webhooks.
CALLS_PER_BOARD = 3
CALLS_PER_NEW_BOARD = 2

NAMESAKES_SHOWN = 100


@dataclass(frozen=True)
class Namesake:
    """A record and an item with one name that nothing else shows to be the same, and what a person chose for them."""

    record_id: str
    item_id: str
    name: str
    record_key: str
    item_key: str
    linked: str = ""  # "record" or "item" if that one is linked already, and the other would be made anew
    choice: str = selection.LEAVE

    @property
    def pair(self) -> str:
        return selection.pair_of(self.record_id, self.item_id)

    @property
    def is_made(self) -> bool:
        """Whether the one that isn't linked is made anew unless a person leaves it; an item may be asked about."""
        return bool(self.linked) and (self.linked == "item" or bool(self.record_key and self.item_key))


@dataclass
class SetupBoardPlan(BoardPlan):
    """What a set-up does with a board's records and items."""

    chosen: selection.ChosenBoard = field(kw_only=True)
    namesakes: list[Namesake] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)  # names of related records that NPD lacks, by type
    creates_held: str = ""  # why no items are created on the board
    items_to_check: dict[str, str] = field(default_factory=dict)  # names of the items that need a pass, by id
    # What existed when a board was chosen and gets nothing new: records, and items with their names.
    unplanned_records: list[str] = field(default_factory=list)
    unplanned_items: dict[str, str] = field(default_factory=dict)
    # What a person chose for namesakes: the item of a record, records and items that get something new.
    links: dict[str, str] = field(default_factory=dict)
    new_items: list[str] = field(default_factory=list)
    new_records: list[str] = field(default_factory=list)
    left_board: str = ""  # the name and id of the board that is left, and how many records have an item there
    left_links: int = 0
    # Fields of other types whose columns lead to the board that is left, not to the chosen one: (field, board's title).
    cut_relations: list[tuple[str, str]] = field(default_factory=list)

    @property
    def match_label(self) -> str:
        """The label of the field by which records and items are matched."""
        spec = self.chosen.spec
        return next(mapping.label for mapping in spec.mappings if mapping.key == spec.match_key)

    @property
    def shown_namesakes(self) -> Sequence[Namesake]:
        return self.namesakes[:NAMESAKES_SHOWN]

    @property
    def may_link_namesakes(self) -> bool:
        return any(not namesake.linked for namesake in self.namesakes)

    @property
    def missing_text(self) -> str:
        """The related records that NPD lacks: their number and first names."""
        return " and ".join(
            f"{registry.count_of_type(len(names), entity_type)} that NPD doesn't have ({humanize.join_first(names)})"
            for entity_type, names in self.missing.items()
        )


def plan_board(
    chosen: selection.ChosenBoard,
    earlier: Sequence[SyncedModel] = (),
    progress: Callable[[int], None] = lambda number: None,
) -> tuple[SetupBoardPlan, list[SyncedModel]]:
    """Return the board's plan, and its records as the set-up leaves them, those that it creates included.

    `earlier` are such records of the boards before this one. Raises MondayError.
    """
    listing = future_board.SetupListing(chosen, earlier)
    board = listing.board
    spec = chosen.spec
    plan = SetupBoardPlan(spec.entity_type, spec.board_title, chosen=chosen)
    if listing.left_board:
        name = chosen.stored_link.shape.get("name") if chosen.stored_link else ""
        plan.left_board = f"“{name}” ({listing.left_board})" if name else listing.left_board
        plan.left_links = lookups.linked_records(spec.entity_type).count()
        plan.cut_relations = _cut_relations(chosen)
    listing.read(progress)
    _hold_creates(plan, listing, listing.items.values())
    all_records = board.model.objects.order_by("created_at", "pk")
    off = list(all_records.filter(unsynced()))
    synced = all_records.exclude(unsynced()).exclude(monday_id__in=listing.unreadable)
    ids = list(synced.values_list("pk", flat=True))
    taken = {record.monday_id for record in off}
    item_ids = [item_id for item_id in listing.items if item_id not in taken]
    planned_passes = _with_namesakes(plan, listing, ids, item_ids)
    deletions = _plan_deletions(listing, planned_passes[-1])
    decided_items = {change.item_id for change in deletions.changes}
    plan.add(*(PlannedChange(ChangeKind.SYNC_OFF, spec.entity_type, str(record), record.pk) for record in off))
    plan.add(*listing.unreadable_changes())
    following = [planned_pass.following for planned_pass in planned_passes if planned_pass.following]
    record_plans = [*_record_plans(planned_passes).values(), *_record_plans(following).values()]
    tried_again = list(_tried_again(spec.entity_type, record_plans))
    sent_again = {(change.entity_id, change.field) for change in tried_again}
    plan.add(*tried_again)
    for planned_pass in [*planned_passes, deletions]:
        for change in planned_pass.changes:
            is_sent_again = change.kind is ChangeKind.PUSH and (change.entity_id, change.field) in sent_again
            if not is_sent_again and (change.entity_id or change.item_id not in decided_items):
                plan.add(change)
        number = len(planned_pass.plan.records) + len(planned_pass.plan.items) + len(planned_pass.plan.deleted)
        plan.calls += preview.cost_of(planned_pass, number)
    if listing.left_board:
        _note_left_questions(plan)
    else:
        _note_closed_conflicts(plan, record_plans, board_setup.remapped_keys(board.link, board.mappings))
        _note_closed_questions(plan, planned_passes[-1].plan.items)
        _note_closed_items(plan, listing, planned_passes[-1].plan.items)
    records = _note_outcome(plan, listing, planned_passes)
    _note_missing(plan, listing, record_plans)
    plan.calls += CALLS_PER_BOARD + len(chosen.new_titles) + len(WEBHOOK_EVENTS)
    plan.calls += CALLS_PER_NEW_BOARD if chosen.board is None else 0
    return plan, records


def _cut_relations(chosen: selection.ChosenBoard) -> list[tuple[str, str]]:
    """Return the fields, with their boards, that can't name this type's items on the chosen board.

    Boards that are set up together with this one have plans of their own.
    """
    cut = []
    for link in BoardLink.objects.exclude(board_id="").exclude(entity_type__in=chosen.boards_by_type):
        for mapping, relation in lookups.load_board(link).relations:
            column = BoardColumn(
                mapping.column_id, mapping.label, mapping.options["column_type"], mapping.options["settings"]
            )
            is_to_this_type = registry.target_of(relation) is chosen.spec.model
            if is_to_this_type and column.type == RELATION and chosen.choices.board_id not in column.target_boards:
                cut.append((mapping.label, registry.board_title(link.entity_type)))
    return cut


def _hold_creates(plan: SetupBoardPlan, listing: future_board.SetupListing, items: Iterable[Item]) -> None:
    """Plan that nothing new is created if one of these items can't be recognized."""
    match = listing.board.match_mapping
    chosen = plan.chosen
    if match is not None and not chosen.choices.creates_anyway:
        column = chosen.columns.get(match.column_id) or BoardColumn(match.column_id, match.label, "")
        npd_id_column = listing.board.link.npd_id_column
        reason = board_setup.reason_to_hold(plan.entity_type, chosen.link, column, npd_id_column, items)
        plan.creates_held = Message("creates_held_by_plan", **reason.params) if reason else ""
        if board_setup.lists_items(chosen.link, column):
            plan.creates_held = listing.problem or plan.creates_held
    listing.board.link.creates_held = plan.creates_held


def _with_namesakes(
    plan: SetupBoardPlan, listing: future_board.SetupListing, ids: Sequence[UUID], item_ids: Sequence[str]
) -> list[preview.PlannedPass]:
    """Plan the passes. Where a new item or record would have a namesake, plan again by what a person chose for them."""
    records = [Claim(record_id, None, []) for record_id in ids]
    items = [Claim(None, item_id, []) for item_id in item_ids]
    planned_passes = preview.plan_board(listing, records, items)
    plan.namesakes = _namesakes(plan, listing, planned_passes)
    deciding = [pair for pair in plan.namesakes if not (pair.is_made and pair.choice == selection.APART)]
    if not deciding:
        return planned_passes
    listing.linked = {}
    listing.written = {}
    for namesake in deciding:  # each record and each item once
        if namesake.choice == selection.LINK and namesake.item_id not in plan.links.values():
            plan.links.setdefault(namesake.record_id, namesake.item_id)
    for record in listing.board.model.objects.filter(pk__in=plan.links):
        item_id = plan.links[str(record.pk)]
        listing.linked[record.pk] = with_item(record, item_id)
        reason = Message("as_you_chose")
        plan.add(PlannedChange(ChangeKind.LINK, plan.entity_type, str(record), record.pk, item_id, reason=reason))
    linked_items = set(plan.links.values())
    open_pairs = [
        namesake
        for namesake in deciding
        if namesake.record_id not in plan.links and namesake.item_id not in linked_items
    ]
    left = [namesake for namesake in open_pairs if namesake.choice != selection.APART]
    # A linked record sends its match key to its item, which other records with that key would then find: asked, too.
    keys = {
        key: match_key_of_record(listing.board, entry.record) for key, entry in _record_plans(planned_passes).items()
    }
    sent_keys = {keys[key] for key in listing.linked} - {""}
    same_key = {key for key, value in keys.items() if value in sent_keys and key not in listing.linked}
    left_records = {UUID(namesake.record_id) for namesake in left if namesake.linked != "record"}
    listing.undecided_records = frozenset(left_records | same_key)
    listing.undecided_items = frozenset(namesake.item_id for namesake in left if namesake.linked != "item")
    apart = [namesake for namesake in open_pairs if namesake.choice == selection.APART]
    seeking = {pair.record_id for pair in apart if pair.linked != "record"}
    plan.new_items = sorted(seeking - {str(key) for key in listing.undecided_records})
    if plan.chosen.choices.creates_records:
        doubtful = {pair.item_id for pair in apart if pair.linked or not pair.item_key}
        plan.new_records = sorted(doubtful - listing.undecided_items)
    wants_item = [SyncQueue(causes=int(Cause.PERSON), payload={NEW_ITEM_KEY: True})]
    wants_record = [SyncQueue(causes=int(Cause.PERSON), payload={AS_NEW_KEY: True})]
    records = [Claim(record_id, None, wants_item if str(record_id) in plan.new_items else []) for record_id in ids]
    # Of an item that is linked, or becomes a record, it is known whose it is.
    known = linked_items.union(plan.new_records)
    _hold_creates(plan, listing, [item for key, item in listing.items.items() if key not in known])
    free_ids = [item_id for item_id in item_ids if item_id not in linked_items]
    items = [Claim(None, item_id, wants_record if item_id in plan.new_records else []) for item_id in free_ids]
    return preview.plan_board(listing, records, items)


def _plan_deletions(listing: future_board.SetupListing, items_pass: preview.PlannedPass) -> preview.PlannedPass:
    """Plan the pass over the deleted records whose items these are: they are asked about, or removed by the policy."""
    listing.deleted = {}
    for item_plan in items_pass.plan.items:
        tombstones = {tombstone.entity_id: tombstone for tombstone in item_plan.facts.tombstones}
        listing.deleted |= {key: tombstones[key] for key in item_plan.to_enqueue if key in tombstones}
        if item_plan.tombstone:
            listing.deleted[item_plan.tombstone.entity_id] = item_plan.tombstone
    return preview.decide_pass(listing.board, [Claim(key, None, []) for key in listing.deleted], listing)


def _record_plans(planned_passes: Iterable[preview.PlannedPass]) -> dict[UUID, pass_plan.RecordPlan]:
    return {key: plan for planned_pass in planned_passes for key, plan in planned_pass.plan.records.items()}


def _namesakes(
    plan: SetupBoardPlan, listing: future_board.SetupListing, planned_passes: Sequence[preview.PlannedPass]
) -> list[Namesake]:
    """Return the pairs of a record and an item of its name that aren't linked, and of which one would be made anew.

    On another board also those of which the record is asked about, or gets no item for now.
    """
    board = listing.board
    record_plans = _record_plans(planned_passes)
    linked = {record_plan.item_id: key for key, record_plan in record_plans.items() if record_plan.item_id}
    free = set()
    made = set()
    for item_plan in planned_passes[-1].plan.items:
        is_left = not (item_plan.act or item_plan.record_ids or _is_left_out(item_plan))
        if item_plan.facts.ignored is None and (item_plan.act == CREATE_RECORD or is_left):
            free.add(item_plan.facts.item_id)
        is_asked_by_name = item_plan.question is not None and item_plan.question.data.get("asks") == NAMESAKE
        if item_plan.act == CREATE_RECORD or is_asked_by_name:
            made.add(item_plan.facts.item_id)
    namesakes = []
    for record_plan in record_plans.values():
        question = record_plan.question.data if record_plan.question else {}
        name = match_key(record_name(record_plan.record))
        is_made = record_plan.is_open and record_plan.creates
        is_asking = question.get("asks") == SAME_NAME or code_of(record_plan.reason) == CREATES_HELD
        if not name or not (is_made or is_asking or record_plan.item_id):
            continue
        asked = {str(candidate["id"]) for candidate in question.get("candidates", ())}
        pairs = list[tuple[Item, str]]()
        for item in listing.by_name.get(name, ()):
            if record_plan.item_id:
                pairs += [(item, "record")] if item.id in made else []
            elif not (listing.is_other_board or is_made or item.id in made):
                continue  # On a board that is set up already, its pass asks by itself.
            elif item.id in free | asked:
                pairs.append((item, ""))
            elif is_made and item.id in linked:
                pairs.append((item, "item"))
        for item, which in pairs[:MAX_NAMESAKES]:
            record_key = match_key_of_record(board, record_plan.record)
            item_key = match_key_of_item(board, item) or ""
            name = str(record_plan.record)
            namesakes.append(Namesake(str(record_plan.id), item.id, name, record_key, item_key, which))
    return _with_choices(namesakes, plan.chosen.choices.namesakes)


def _with_choices(namesakes: Sequence[Namesake], chosen: Mapping[str, str]) -> list[Namesake]:
    """Return these pairs with what a person chose for each, or for all."""
    open_pairs = [namesake for namesake in namesakes if not namesake.linked]
    times_record = Counter(namesake.record_id for namesake in open_pairs)
    times_item = Counter(namesake.item_id for namesake in open_pairs)
    decided = []
    for namesake in namesakes:
        choice = chosen.get(namesake.pair)
        if choice is None:
            choice = chosen.get(selection.ALL, selection.APART if namesake.is_made else selection.LEAVE)
            is_one_of_several = times_record[namesake.record_id] > 1 or times_item[namesake.item_id] > 1
            # Who is who among several is no choice for all of them.
            choice = selection.LEAVE if choice == selection.LINK and is_one_of_several else choice
        if choice == selection.LINK and namesake.linked:
            choice = selection.LEAVE
        decided.append(replace(namesake, choice=choice))
    return decided


def _is_left_out(item_plan: pass_plan.ItemPlan) -> bool:
    """Whether the filter leaves the item out."""
    return item_plan.finding is not None and item_plan.finding.reason is UnmatchedReason.LEFT_OUT


def _note_outcome(
    plan: SetupBoardPlan, listing: future_board.SetupListing, planned_passes: Sequence[preview.PlannedPass]
) -> list[SyncedModel]:
    """Note what the set-up has to check and what it makes nothing new for; return the records as it leaves them."""
    record_plans = _record_plans(planned_passes)
    records = [listing.as_planned(record_plan.record) for record_plan in record_plans.values()]
    if listing.is_other_board:
        unplanned = plan.ids(ChangeKind.LINK) | plan.ids(ChangeKind.ASK)
        # The set-up's own listing may be complete, and nothing new is held then.
        unplanned |= plan.ids(ChangeKind.HELD) if listing.problem else set()
        plan.unplanned_records = sorted(unplanned & {str(key) for key in record_plans})
    else:
        plan.unplanned_records = sorted(map(str, listing.undecided_records))
        plan.unplanned_items = {key: listing.items[key].name[:200] for key in sorted(listing.undecided_items)}
        # Edits of which nothing has told NPD Sync yet.
        changed = {change.entity_id for change in plan.changes}
        differing = [entry.item for key, entry in record_plans.items() if entry.item is not None and key in changed]
        plan.items_to_check = {item.id: item.name[:200] for item in differing}
    owned = {record_plan.record.monday_id for record_plan in record_plans.values()} - set(plan.links.values())
    left_out = set()
    for item_plan in planned_passes[-1].plan.items:
        item_id = item_plan.facts.item_id
        # Records that sync find their items themselves; one whose sync is off gets its item by the item's pass.
        needs_pass = item_plan.candidates or item_plan.is_duplicate or item_plan.act == LINK or item_plan.tombstone
        if needs_pass or plan.chosen.choices.creates_records:
            plan.items_to_check[item_id] = listing.items[item_id].name[:200]
        if item_plan.act == CREATE_RECORD and item_plan.record is not None:
            records.append(item_plan.record)
        if _is_left_out(item_plan):
            left_out.add(item_id)
    if listing.is_other_board:
        skipped = {*owned, *left_out, *plan.ids(ChangeKind.NEW_RECORD)}
        listed = {key: item.name[:200] for key, item in listing.items.items()} | dict.fromkeys(listing.unreadable, "")
        plan.unplanned_items = {key: name for key, name in listed.items() if key not in skipped}
    return records


# What waits for a person about records and items.
QUESTIONS = (Kind.APPROVAL, Kind.REMOVED, Kind.CONFLICT, Kind.DUPLICATE, Kind.UNMATCHED)


def _note_left_questions(plan: SetupBoardPlan) -> None:
    """Note what waits for a person about the board that is left; what the chosen one asks is planned anew."""
    rows = attention.waiting(kinds=QUESTIONS).filter(entity_type=plan.entity_type)
    for entry in attention.entries(attention.without_notices(rows), limit=None):
        plan.add(_ended(plan, entry.name, entry.entity_id, entry.item_id, reason=entry.title))
    # Answered, so that they wait for nobody any more.
    conflicts = SyncConflict.objects.filter(entity_type=plan.entity_type, resolved_at=None)
    answered = [conflict for conflict in conflicts if conflict.stored_resolution.fields]
    names = lookups.record_names((plan.entity_type, conflict.entity_id) for conflict in answered)
    for conflict in answered:
        name = names.get((plan.entity_type, conflict.entity_id), "")
        plan.add(_ended(plan, name, conflict.entity_id, reason=Message("answer_not_applied")))


def _note_closed_conflicts(
    plan: SetupBoardPlan, record_plans: Iterable[pass_plan.RecordPlan], remapped: set[str]
) -> None:
    """Note the conflicts that the chosen columns, directions and rules end."""
    for record_plan in record_plans:
        open_keys = set(record_plan.facts.open_fields(ConflictKind.FIELDS))
        if open_keys & remapped:
            plan.add(_ended(plan, str(record_plan.record), record_plan.id, reason=Message("column_replaced")))
        open_keys -= remapped
        for report in conflict_reports(record_plan):
            if report.kind == ConflictKind.FIELDS:
                still_open = {*report.undecided, *report.applied, *(conflict.key for conflict in report.fields)}
                is_ended = not still_open.issuperset(open_keys)
            else:
                is_ended = not has_conflict(report) and bool(report.closing_reason or report.ended)
            if is_ended:
                reason = report.closing_reason or next(iter(report.ended.values()))
                plan.add(_ended(plan, str(record_plan.record), record_plan.id, reason=reason))


def _note_closed_questions(plan: SetupBoardPlan, item_plans: Iterable[pass_plan.ItemPlan]) -> None:
    """Note the questions about items whose causes end, such as that items become records."""
    for item_plan in item_plans:
        asked = item_plan.facts.asked_record if item_plan.facts.question else None
        if asked is not None and item_plan.closing_reason and not item_plan.facts.is_creation_requested:
            plan.add(_ended(plan, str(asked), asked.pk, item_plan.facts.item_id, reason=item_plan.closing_reason))


def _note_closed_items(
    plan: SetupBoardPlan, listing: future_board.SetupListing, item_plans: Iterable[pass_plan.ItemPlan]
) -> None:
    """Note the items that wait for a person, and then no longer do: they are gone, or new ones become no records."""
    needs_nobody = {*QUIET_REASONS, *CHOSEN_REASONS}
    if not plan.chosen.choices.creates_records:
        needs_nobody.add(UnmatchedReason.NO_KEY_YET)  # after a while it is NO_KEY
    findings = {item_plan.facts.item_id: item_plan.finding for item_plan in item_plans}
    rows = attention.waiting(kinds=[Kind.UNMATCHED]).filter(entity_type=plan.entity_type)
    for entry in attention.entries(attention.without_notices(rows), limit=None):
        finding = findings.get(entry.item_id)
        is_gone = not listing.problem and entry.item_id not in {*listing.items, *listing.unreadable}
        if is_gone or (finding is not None and finding.reason in needs_nobody):
            plan.add(_ended(plan, entry.name, None, entry.item_id, reason=entry.title))


def _tried_again(entity_type: str, record_plans: Iterable[pass_plan.RecordPlan]) -> Iterator[PlannedChange]:
    """Yield the values that Monday rejected and that are sent again: nobody knows whether it takes them now."""
    blocked = SyncMetadata.objects.of(entity_type).exclude(blocked_fields={})
    keys = {
        (UUID(entity_id), key)
        for entity_id, fields in blocked.values_list("entity_id", "blocked_fields")
        for key, entry in fields.items()
        if entry.get("code") in (BlockedCode.REJECTED, BlockedCode.LIMIT)
    }
    for record_plan in record_plans:
        name = str(record_plan.record)
        for field_plan in record_plan.fields.values():
            if (record_plan.id, field_plan.key) in keys and field_plan.send_raw is not None:
                sent = {"field": field_plan.mapping.label, "after": field_plan.display_local(field_plan.send_raw)}
                yield PlannedChange(ChangeKind.TRIED_AGAIN, entity_type, name, record_plan.id, **sent)


def _ended(plan: SetupBoardPlan, name: str, entity_id: UUID | None, item_id: str = "", *, reason: str) -> PlannedChange:
    return PlannedChange(ChangeKind.ENDED, plan.entity_type, name, entity_id, item_id, reason=reason)


def _note_missing(
    plan: SetupBoardPlan, listing: future_board.SetupListing, record_plans: Iterable[pass_plan.RecordPlan]
) -> None:
    """Note the related records that items name and NPD lacks."""
    relations = {mapping.key: registry.target_of(relation) for mapping, relation in listing.board.relations}
    missing = defaultdict[type[SyncedModel], dict[str, str]](dict)
    for field_plan in [field_plan for record_plan in record_plans for field_plan in record_plan.fields.values()]:
        awaited = field_plan.awaited
        if field_plan.blocked_code and awaited is not None and awaited.by == "name" and awaited.is_missing:
            missing[relations[field_plan.key]].setdefault(match_key(awaited.value), awaited.value)
    for model, names in missing.items():
        if records := new_named_records(model, list(names.values())):
            plan.missing[model.entity_type()] = [record_name(record) for record in records]


def new_named_records(model: type[SyncedModel], names: Sequence[str]) -> list[SyncedModel]:
    """Return a new, unsaved record for each valid name that no record has."""
    field_name = registry.name_field(model)
    if field_name is None:
        return []
    stored = model.objects.annotate(match=match_key_sql(field_name))
    existing = set(stored.filter(match__in=map(match_key, names)).values_list("match", flat=True))
    records = []
    for name in names:
        record = model(**{field_name: name})
        with suppress(ValidationError):
            record.clean_fields()
            record.clean()
            if match_key(name) not in existing:
                records.append(record)
    return records


# A plan that a page waits for.


@dataclass
class SetupPlan:
    """The plan of all boards of a set-up, as the cache holds it."""

    key: str
    choices: list[selection.Choices]
    state: str = "waiting"  # then "working", finally "done" or "failed"
    title: str = ""  # of the board that a worker is comparing
    items_read: int = 0  # of that board, so far
    progressed_at: datetime = field(default_factory=sync_now)  # when it was requested, then of a worker's last step
    problem: str = ""
    boards: list[SetupBoardPlan] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def is_stalled(self) -> bool:
        """Whether nothing happens: no worker runs, or the plan's worker was killed."""
        limit = UNTOUCHED_AFTER if self.state == "waiting" else SILENT_AFTER
        return self.is_busy and sync_now() - self.progressed_at > limit

    @property
    def is_old(self) -> bool:
        return sync_now() - self.progressed_at > PLAN_LIFETIME

    @property
    def calls(self) -> int:
        return sum(board.calls for board in self.boards)

    @property
    def minutes(self) -> int:
        return math.ceil(self.calls * SECONDS_PER_CALL / 60)

    @property
    def share_text(self) -> str:
        return api_quota.share_text(self.calls)

    def save(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.progressed_at = sync_now()
        cache.set(_cache_key(self.key), self, PLAN_LIFETIME.total_seconds() * 2)


def _cache_key(key: str) -> str:
    return f"sync.setup.plan.{key}"


def stored_plan(key: str) -> SetupPlan | None:
    plan: SetupPlan | None = cache.get(_cache_key(key))
    return plan


def request_plan(key: str, choices: Iterable[selection.Choices], *, again: bool = False) -> SetupPlan:
    """Return the plan of these choices; have a worker make it if it is missing, old or stalled."""
    plan = stored_plan(key)
    if plan is None or again or (plan.is_old and not plan.is_busy):
        plan = SetupPlan(key, list(choices))
        plan.save()
        send_task("sync.plan_set_up", key)
    elif plan.is_stalled:
        send_task("sync.plan_set_up", key)
    return plan


def make_plan(key: str) -> None:
    """Make a requested plan, unless another worker is making it."""
    plan = stored_plan(key)
    if plan is None or not plan.is_busy or (plan.state == "working" and not plan.is_stalled):
        return
    boards_by_type = {choices.entity_type: choices.board_id for choices in plan.choices}
    boards = []
    earlier = list[SyncedModel]()
    try:
        for choices in plan.choices:
            plan.save(state="working", title=choices.spec.board_title, items_read=0)
            chosen = selection.read_chosen_board(choices, boards_by_type)
            if problems := chosen.problem_text:
                raise ActionError(f"{choices.spec.board_title}: {problems}")
            board_plan, records = plan_board(chosen, earlier, lambda number: plan.save(items_read=number))
            boards.append(board_plan)
            earlier += records
        plan.save(state="done", boards=boards)
    except ActionError as why:
        plan.save(state="failed", problem=str(why))
    except MondayError as error:
        plan.save(state="failed", problem=humanize.without_request_id(of_error(error)))
    except Exception:
        log.exception("a set-up could not be planned")
        plan.save(state="failed", problem=Message("own_fault_here"))
        raise
