"""The plan of one board's set-up: a dry run over its records and items, as the set-up would leave them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from django.core.exceptions import ValidationError

from sync import registry
from sync.choices import BlockedCode, Cause
from sync.fields import lookups
from sync.fields.field_values import BoardContext, match_key_of_record, record_name, with_item
from sync.kernel import humanize
from sync.kernel.acts import CREATE_RECORD, LINK
from sync.kernel.db import match_key_sql
from sync.models import BoardLink, SyncedModel, SyncMetadata, SyncQueue
from sync.models.synced_model import unsynced
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import RELATION, BoardColumn
from sync.monday.text_forms import match_key
from sync.operations import dry_run
from sync.operations.planned_changes import BoardPlan, ChangeKind, PlannedChange
from sync.operations.setup import ended_questions, future_board, selection
from sync.operations.setup.listing import SetupListing
from sync.operations.setup.namesakes import Namesake, find_namesakes
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.records.item_links import AS_NEW_KEY, NEW_ITEM_KEY
from sync.words.message import Message

# The calls of a set-up beside its passes, its new columns and its webhooks.
CALLS_PER_BOARD = 3
CALLS_PER_NEW_BOARD = 2

NAMESAKES_SHOWN = 100


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
    listing = SetupListing(chosen, earlier)
    board = listing.board
    spec = chosen.spec
    plan = SetupBoardPlan(spec.entity_type, spec.board_title, chosen=chosen)
    if listing.left_board:
        name = chosen.stored_link.shape.get("name") if chosen.stored_link else ""
        plan.left_board = f"“{name}” ({listing.left_board})" if name else listing.left_board
        plan.left_links = lookups.linked_records(spec.entity_type).count()
        plan.cut_relations = _cut_relations(chosen)
    listing.read(progress)
    listing.hold_creates(listing.items.values())
    planned_passes = _passes_as_chosen(plan, listing)
    plan.creates_held = board.link.creates_held
    off = spec.model.objects.filter(unsynced()).order_by("created_at", "pk")
    plan.add(*(PlannedChange(ChangeKind.SYNC_OFF, spec.entity_type, str(record), record.pk) for record in off))
    plan.add(*listing.unreadable_changes())
    following = [planned_pass.following for planned_pass in planned_passes if planned_pass.following]
    record_plans = [*dry_run.record_plans(planned_passes).values(), *dry_run.record_plans(following).values()]
    item_plans = dry_run.item_plans(planned_passes)
    tried_again = list(_tried_again(spec.entity_type, record_plans))
    sent_again = {(change.entity_id, change.field) for change in tried_again}
    plan.add(*tried_again)
    for planned_pass in planned_passes:
        for change in planned_pass.changes:
            if change.kind is not ChangeKind.PUSH or (change.entity_id, change.field) not in sent_again:
                plan.add(change)
        plan.calls += dry_run.cost_of(planned_pass, len(planned_pass.plan.records) + len(planned_pass.plan.items))
    if listing.left_board:
        plan.add(*ended_questions.of_left_board(spec.entity_type))
    else:
        remapped = future_board.remapped_keys(board.link, board.mappings)
        listed = None if listing.problem else {*listing.items, *listing.unreadable}
        plan.add(*ended_questions.of_records(record_plans, remapped))
        plan.add(*ended_questions.of_items(board, item_plans, listed))
    _note_work(plan, listing, planned_passes)
    plan.missing = _missing_names(board, record_plans)
    plan.calls += CALLS_PER_BOARD + len(chosen.new_titles) + len(WEBHOOK_EVENTS)
    plan.calls += CALLS_PER_NEW_BOARD if chosen.board is None else 0
    records = [listing.as_planned(each.record) for each in dry_run.record_plans(planned_passes).values()]
    made = [item_plan.record for item_plan in item_plans if item_plan.act == CREATE_RECORD and item_plan.record]
    return plan, [*records, *made]


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


def _passes_as_chosen(plan: SetupBoardPlan, listing: SetupListing) -> list[dry_run.PlannedPass]:
    """Plan the passes. Where a new item or record would have a namesake, plan again by what a person chose for them."""
    model = listing.board.model
    off = set(model.objects.filter(unsynced()).values_list("monday_id", flat=True))
    synced = model.objects.exclude(unsynced()).exclude(monday_id__in=listing.unreadable)
    ids = list(synced.order_by("created_at", "pk").values_list("pk", flat=True))
    item_ids = [item_id for item_id in listing.items if item_id not in off]
    records = [Claim(record_id, None, []) for record_id in ids]
    items = [Claim(None, item_id, []) for item_id in item_ids]
    planned_passes = dry_run.plan_passes(listing, records, items)
    plan.namesakes = find_namesakes(
        listing, planned_passes, plan.chosen.choices.namesakes, is_other_board=listing.is_other_board
    )
    deciding = [pair for pair in plan.namesakes if not (pair.is_made and pair.choice == selection.APART)]
    if not deciding:
        return planned_passes
    _take_choices(plan, listing, deciding, dry_run.record_plans(planned_passes))
    wants_item = [SyncQueue(causes=int(Cause.PERSON), payload={NEW_ITEM_KEY: True})]
    wants_record = [SyncQueue(causes=int(Cause.PERSON), payload={AS_NEW_KEY: True})]
    records = [Claim(record_id, None, wants_item if str(record_id) in plan.new_items else []) for record_id in ids]
    # Of an item that is linked, or becomes a record, it is known whose it is.
    linked_items = set(plan.links.values())
    known = linked_items.union(plan.new_records)
    listing.hold_creates([item for key, item in listing.items.items() if key not in known])
    free_ids = [item_id for item_id in item_ids if item_id not in linked_items]
    items = [Claim(None, item_id, wants_record if item_id in plan.new_records else []) for item_id in free_ids]
    return dry_run.plan_passes(listing, records, items)


def _take_choices(
    plan: SetupBoardPlan,
    listing: SetupListing,
    deciding: Sequence[Namesake],
    record_plans: Mapping[UUID, pass_plan.RecordPlan],
) -> None:
    """Note what a person chose for these namesakes, for the set-up and for the passes that are planned again."""
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
    keys = {key: match_key_of_record(listing.board, entry.record) for key, entry in record_plans.items()}
    sent_keys = {keys[key] for key in listing.linked} - {""}
    same_key = {key for key, value in keys.items() if value in sent_keys and key not in listing.linked}
    left_records = {UUID(namesake.record_id) for namesake in left if namesake.linked != "record"}
    listing.undecided_records = frozenset(left_records | same_key)
    listing.undecided_items = frozenset(namesake.item_id for namesake in left if namesake.linked != "item")
    # Also of one whose other half is linked with somebody else.
    apart = [namesake for namesake in deciding if namesake.choice == selection.APART]
    seeking = {pair.record_id for pair in apart if pair.linked != "record"} - plan.links.keys()
    plan.new_items = sorted(seeking - {str(key) for key in listing.undecided_records})
    if plan.chosen.choices.creates_records:
        doubtful = {pair.item_id for pair in apart if pair.linked or pair.record_id in plan.links or not pair.item_key}
        plan.new_records = sorted(doubtful - linked_items - listing.undecided_items)


def _note_work(plan: SetupBoardPlan, listing: SetupListing, planned_passes: Sequence[dry_run.PlannedPass]) -> None:
    """Note the items that the set-up has to check, and the records and items for which it makes nothing new."""
    record_plans = dry_run.record_plans(planned_passes)
    item_plans = dry_run.item_plans(planned_passes)
    names = {key: item.name[:200] for key, item in listing.items.items()}
    if listing.is_other_board:
        unplanned = plan.ids(ChangeKind.LINK) | plan.ids(ChangeKind.ASK)
        # The set-up's own listing may be complete, and nothing new is held then.
        unplanned |= plan.ids(ChangeKind.HELD) if listing.problem else set()
        plan.unplanned_records = sorted(unplanned & {str(key) for key in record_plans})
        owned = {record_plan.record.monday_id for record_plan in record_plans.values()} - set(plan.links.values())
        left_out = {item_plan.facts.item_id for item_plan in item_plans if item_plan.is_left_out}
        skipped = {*owned, *left_out, *plan.ids(ChangeKind.NEW_RECORD)}
        listed = names | dict.fromkeys(listing.unreadable, "")
        plan.unplanned_items = {key: name for key, name in listed.items() if key not in skipped}
    else:
        plan.unplanned_records = sorted(map(str, listing.undecided_records))
        plan.unplanned_items = {key: names[key] for key in sorted(listing.undecided_items)}
        # Edits of which nothing has told NPD Sync yet.
        changed = {change.entity_id for change in plan.changes}
        differing = [entry.item for key, entry in record_plans.items() if entry.item is not None and key in changed]
        plan.items_to_check = {item.id: item.name[:200] for item in differing}
    for item_plan in item_plans:
        # Records that sync find their items themselves; one whose sync is off gets its item by the item's pass.
        needs_pass = item_plan.candidates or item_plan.is_duplicate or item_plan.act == LINK or item_plan.tombstone
        if needs_pass or plan.chosen.choices.creates_records:
            plan.items_to_check[item_plan.facts.item_id] = names[item_plan.facts.item_id]


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


def _missing_names(board: BoardContext, record_plans: Iterable[pass_plan.RecordPlan]) -> dict[str, list[str]]:
    """Return the names of the related records that items name and NPD lacks, by type."""
    relations = {mapping.key: registry.target_of(relation) for mapping, relation in board.relations}
    missing = defaultdict[type[SyncedModel], dict[str, str]](dict)
    for field_plan in [field_plan for record_plan in record_plans for field_plan in record_plan.fields.values()]:
        awaited = field_plan.awaited
        if field_plan.blocked_code and awaited is not None and awaited.by == "name" and awaited.is_missing:
            missing[relations[field_plan.key]].setdefault(match_key(awaited.value), awaited.value)
    new = {model.entity_type(): new_named_records(model, list(names.values())) for model, names in missing.items()}
    return {entity_type: [record_name(record) for record in records] for entity_type, records in new.items() if records}


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
