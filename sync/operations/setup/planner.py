"""What passes over every record and item of a board would do once it is set up, counted, with what that costs.

Passes decide it over a listing of the board, and nothing is written.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from sync.boards import board_columns
from sync.boards.field_choices import NEW_COLUMN
from sync.choices import SyncDirection
from sync.kernel.messages import UnmatchedReason
from sync.models import SyncedModel, SyncMetadata
from sync.models.synced_model import unsynced
from sync.monday.board import BoardColumn
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import match_key
from sync.operations.detect.listing import item_pages
from sync.operations.preview import item_claim, plan_pass
from sync.operations.setup import selection
from sync.operations.setup.planned_board import ListedBoard, fill_new_columns, planned_board
from sync.outbox.claim import Claim
from sync.reconcile import field_values, pass_plan
from sync.reconcile.board_filter import LEFT_OUT, leaves_by_pull, leaves_by_push
from sync.reconcile.field_plan import is_kept_different
from sync.registry import target_of

SAMPLES_PER_ROW = 3
# Records that are planned at once.
CHUNK_SIZE = 500
MAX_MISSING_NAMES = 5_000


@dataclass
class BoardPlan:
    """How many records and items a set-up links, creates, asks about and leaves, with samples of a name and why."""

    chosen: selection.ChosenBoard
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    attention: int = 0  # records that need somebody afterwards
    missing: dict[str, list[str]] = field(default_factory=dict)  # by type, the names that relations have and NPD hasn't
    hold: str = ""  # why nothing new is created on the board
    calls: int = 0
    passing: dict[str, str] = field(default_factory=dict)  # the names of the items that get a pass, by id

    @property
    def entity_type(self) -> str:
        return self.chosen.choices.entity_type

    def add(self, row: str, name: str, reason: str = "") -> None:
        self.counts[row] += 1
        samples = self.samples.setdefault(row, [])
        if len(samples) < SAMPLES_PER_ROW:
            samples.append((name[:120], reason[:300]))


PlanProgress = Callable[[int, int], None]


class Planner:
    """Plans passes over every record and item of one board."""

    def __init__(self, chosen: selection.ChosenBoard, coming: Sequence[SyncedModel], progress: PlanProgress) -> None:
        """`coming` are records of the boards that are set up before this one, as they will be."""
        self.chosen = chosen
        self.board = planned_board(chosen)
        self.progress = progress
        self.listed = ListedBoard(self.board, chosen.others, coming)
        self.result = BoardPlan(chosen)
        self.missing_names = defaultdict[type[SyncedModel], dict[str, str]](dict)
        self.taken_items = set[str]()
        self.first_of_key = dict[str, SyncedModel]()
        self.created = list[SyncedModel]()
        self.attention = set[UUID]()
        self.writes = 0
        self.reads = 0

    @property
    def leaving(self) -> list[SyncedModel]:
        """The records that have an item by this set-up, or are made by it."""
        made = [record for records in self.listed.new_records.values() for record in records]
        return [*self.listed.linked.values(), *self.created, *made]

    def make(self) -> BoardPlan:
        """Raises MondayError."""
        if self.chosen.board is not None:
            self._list_items()
            self._look_for_hold()
        self._plan_passes()
        self.result.attention = len(self.attention)
        self.result.calls = self._cost()
        for model, names in self.missing_names.items():
            named = selection.named_records(model, list(names.values()))
            self.result.missing |= (
                {model.entity_type(): [field_values.record_name(record) for record in named]} if named else {}
            )
        return self.result

    def _list_items(self) -> None:
        others = self._match_columns()
        columns = [column for column in self.board.columns if not column.startswith(NEW_COLUMN)]
        columns += [column.id for column in others if column.id not in columns]
        types = {*self.board.types, *(column.type for column in others)}
        for items in item_pages(self.board.link, columns, sorted(types)):
            for item in items:
                self.listed.add(fill_new_columns(self.board, item))
            self.progress(0, len(self.listed.items))

    def _match_columns(self) -> list[BoardColumn]:
        """The columns by which records and items could be matched."""
        types = next(set(mappable.types) for mappable in self.chosen.fields if mappable.is_match_key)
        columns = self.chosen.columns.values()
        return [column for column in columns if column.type in types and column.id != self.chosen.npd_id]

    def _look_for_hold(self) -> None:
        """Hold creates, as the run will, where no item can be recognized."""
        match = self.board.match_mapping
        link = self.chosen.choices.link
        if match is None or match.column_id == board_columns.NAME_TYPE or self.chosen.choices.creates_all:
            return
        if link is not None and board_columns.is_matched_by(link, match.column_id):
            return
        column = self.chosen.columns.get(match.column_id) or BoardColumn(match.column_id, match.label, "")
        others = [other for other in self._match_columns() if other.id != column.id]
        pages = [self.listed.items.values()]
        self.result.hold = board_columns.reason_to_hold(column, others, self.board.link.npd_id_column, pages)
        self.board.link.creates_held = self.result.hold

    def _plan_passes(self) -> None:
        """Plan every record first, the oldest before the others, then the items that none of them has or gets."""
        records = self.board.model._default_manager.order_by("created_at", "pk")
        off = records.filter(unsynced())
        for record in off[:SAMPLES_PER_ROW]:
            self.result.add("sync_off", str(record))
        self.result.counts["sync_off"] = off.count()
        self.taken_items |= {str(item) for item in off.exclude(monday_id=None).values_list("monday_id", flat=True)}
        ids = records.exclude(unsynced()).values_list("pk", flat=True)
        self._plan_in_chunks([Claim(key, None, []) for key in ids])
        entity_type = self.board.link.entity_type
        items = [item_id for item_id in self.listed.items if item_id not in self.taken_items]
        self._plan_in_chunks([item_claim(entity_type, item_id) for item_id in items])

    def _plan_in_chunks(self, claims: Sequence[Claim]) -> None:
        for start in range(0, len(claims), CHUNK_SIZE):
            runs = plan_pass(self.board, claims[start : start + CHUNK_SIZE], self.listed)
            first = runs[0].plan
            # What differs between a record and the item that it is linked with the pass behind this one finds.
            following = runs[1].plan.records if len(runs) > 1 else {}
            self.listed.linked |= {key: record.linked_record for key, record in first.records.items() if record.link_to}
            before = {record.id: record.ledger for record in runs[0].facts.records}
            for key, record_plan in first.records.items():
                self._add_record(record_plan, before[key], following.get(key))
            for item_plan in first.items:
                self._add_item(item_plan)
            for key in sorted(following.keys() - first.records.keys()):
                self._add_fields(following[key], is_made=True)
            self.progress(min(start + CHUNK_SIZE, len(claims)), len(claims))

    def _add_record(
        self, plan: pass_plan.RecordPlan, before: SyncMetadata, following: pass_plan.RecordPlan | None
    ) -> None:
        """Count what becomes of a record; `following` is its next pass, where it is linked with an item first."""
        record = plan.record
        candidates = plan.identity.question["candidates"] if plan.identity.question else []
        self.taken_items |= {str(record.monday_id), plan.item_id, *(str(item["id"]) for item in candidates)}
        self._add_filtered(plan, before.note if record.may_sync and before.left_out else "")
        if plan.left_out:
            return
        self.reads += 1
        if record.monday_id and plan.item is None:
            self.attention.add(plan.id)
            self.result.add("missing", str(record))
        elif record.monday_id:
            self.result.counts["linked"] += not plan.leaving
            self._add_fields(plan)
        elif plan.creates:
            self._add_created(plan)
        elif following is not None and plan.item is not None:
            self.reads += 1
            self.result.add("link", str(record))
            self._add_fields(following)
        else:
            self.attention.add(plan.id)
            is_held = self.result.hold and plan.reason == self.result.hold
            self.result.add("held" if is_held else "ambiguous", str(record), plan.reason or plan.ending.detail)

    def _add_filtered(self, plan: pass_plan.RecordPlan, was_out: str) -> None:
        """Count what the filter leaves out or lets in again; `was_out` is why it was left out until now."""
        is_out = plan.left_out or plan.leaving
        reason = is_out.removeprefix(LEFT_OUT).strip()
        if is_out:
            row = "stays_out" if was_out else "stops" if plan.record.monday_id else "kept_out"
            self.result.add(row, str(plan.record), reason)
        elif was_out:
            self.result.add("resumes", str(plan.record))

    def _add_created(self, plan: pass_plan.RecordPlan) -> None:
        record = plan.record
        # The first of several records with one key gets an item, and the others find that one, even from other chunks.
        key = field_values.match_text_of_record(self.board, record)
        first = self.first_of_key.setdefault(key, record) if key and plan.is_open else record
        if plan.is_open and first is record:
            self.writes += 1
            self.result.add("create", str(record))
            if self._add_stuck_fields(plan):
                self.attention.add(plan.id)
            made = copy(record)
            made.monday_id = f"{NEW_COLUMN}{record.pk}"
            self.created.append(made)
            return
        self.attention.add(plan.id)
        if first is not record:
            self.result.add("ambiguous", str(record), f"“{first}” has the same key, and gets an item first.")
        elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            self.result.add("no_item", str(record))
        else:
            self.result.add("invalid", str(record), plan.reason)

    def _add_item(self, plan: pass_plan.ItemPlan) -> None:
        assert plan.facts.item is not None
        item = plan.facts.item
        reason = plan.finding.reason if plan.finding else None
        if plan.act is pass_plan.ItemAct.ASK or self.chosen.choices.creates_records:
            self.result.passing[item.id] = item.name[:200]
        if plan.act is pass_plan.ItemAct.ASK:
            self.result.add("items_asked", item.name, plan.ending.detail)
        elif reason is UnmatchedReason.CREATES_HELD:
            self.result.add("items_held", item.name)
        elif reason in (UnmatchedReason.LEFT_OUT, UnmatchedReason.INVALID):
            self.result.add("items_out", item.name, plan.ending.detail)
        elif plan.act is pass_plan.ItemAct.CREATE and plan.record is not None:
            key = field_values.match_text_of_item(self.board, item) or ""
            self.listed.new_records[key].append(plan.record)
            self.result.add("from_items" if key else "no_key", item.name)
        else:
            self.result.add("unmatched", item.name)
        self.reads += 1
        # A name alone links nothing: who has no key on one of the sides would be there twice.
        for name in self.names_of_created.get(match_key(item.name), ()):
            self.result.add("same_name", name)

    @cached_property
    def names_of_created(self) -> Mapping[str, Sequence[str]]:
        """The names of the records that get new items, by their match keys; asked once all records are planned."""
        names = defaultdict[str, list[str]](list)
        for record in self.created:
            names[match_key(field_values.record_name(record))].append(field_values.record_name(record))
        return names

    def _cost(self) -> int:
        """Return about how many API calls it takes to carry it out."""
        passes = math.ceil((self.reads + self.writes) / ITEMS_PER_READ)
        passes += math.ceil(self.writes / ITEMS_PER_READ)
        board = 3 + 2 * (self.chosen.board is None) + len(self.chosen.made) + len(WEBHOOK_EVENTS)
        return board + passes

    def _add_stuck_fields(self, plan: pass_plan.RecordPlan) -> bool:
        """Count the fields that can't be synced, and those that Monday will probably reject once they are sent.

        Returns whether the record isn't in sync then.
        """
        is_stuck = bool(plan.reason) and not plan.left_out
        relations = {mapping.key: target_of(relation) for mapping, relation in self.board.relations}
        for field_plan in plan.plans.values():
            name = f"{plan.record}: {field_plan.mapping.label}"
            if field_plan.blocked_reason and not field_plan.is_left_out and not is_kept_different(plan, field_plan):
                is_stuck = True
                missing = field_plan.awaits.removeprefix("name ") if field_plan.awaits.startswith("name ") else ""
                # Where several have the name, another one helps nobody.
                if missing and field_plan.blocked_reason.startswith("No "):
                    names = self.missing_names[relations[field_plan.mapping.key]]
                    if len(names) < MAX_MISSING_NAMES:
                        names.setdefault(match_key(missing), missing)
                    self.result.add("names", name, missing)
                else:
                    self.result.add("blocked", name, field_plan.blocked_reason)
            elif field_plan.send_raw is not None and (risk := field_plan.convert.rejection_risk(field_plan.send_raw)):
                is_stuck = True
                self.result.add("doubtful", str(plan.record), risk)
        return is_stuck

    def _add_fields(self, plan: pass_plan.RecordPlan, *, is_made: bool = False) -> None:
        """Count what a pass would do with both sides' values; of a record made of an item only what is stuck."""
        is_stuck = self._add_stuck_fields(plan)
        field_plans = list(plan.plans.values())
        moving = {
            "to_monday": [p.mapping.label for p in field_plans if p.send_raw is not None],
            "to_npd": [p.mapping.label for p in field_plans if p.write_raw is not None],
            "conflicts": [p.mapping.label for p in field_plans if p.conflict is not None],
        }
        if leaves_by_pull(self.board, plan.record, plan.plans) or leaves_by_push(self.board, plan):
            self.result.add("stops", str(plan.record))
        elif not plan.leaving and (is_stuck or moving["conflicts"] or plan.identity.duplicate):
            self.attention.add(plan.id)
        if any(moving.values()) or plan.write_npd_id:
            self.writes += 1
        if not is_made:
            for row, labels in moving.items():
                if labels:
                    self.result.add(row, str(plan.record), ", ".join(labels))
