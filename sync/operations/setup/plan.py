"""The plan of a set-up of several boards. A worker makes it; pages show its rows as sentences.

Cached per choices; stale after 30 minutes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import structlog
from django.core.cache import cache

from sync.boards import board_columns, board_setup
from sync.boards.field_choices import NEW_COLUMN
from sync.choices import SyncDirection
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError, UnmatchedReason
from sync.limits import api_quota
from sync.models import SyncedModel
from sync.models.synced_model import unsynced
from sync.monday.board import BoardColumn
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.errors import MondayError
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import match_key
from sync.operations.detect.listing import item_pages
from sync.operations.preview import item_claim, plan_pass
from sync.operations.setup import selection
from sync.operations.setup.planned_board import ListedBoard, fill_new_columns, planned_board
from sync.outbox.claim import Claim
from sync.outbox.notify import send_task
from sync.reconcile import field_values, pass_plan
from sync.reconcile.board_filter import LEFT_OUT, leaves_by_pull, leaves_by_push
from sync.reconcile.field_plan import is_kept_different
from sync.registry import target_of

log = structlog.get_logger(__name__)

# A set-up can't be started from an older plan, because people work on both sides meanwhile.
PLAN_LIFETIME = timedelta(minutes=30)

PLAN_DONE = "done"

# After this long without progress, a plan is requested again and pages call it or the set-up stalled.
STALLED_AFTER = timedelta(seconds=20)

SECONDS_PER_CALL = 2
# The calls of a set-up beside its passes, its new columns and its webhooks.
CALLS_PER_BOARD = 3
CALLS_PER_NEW_BOARD = 2

SAMPLES_PER_ROW = 3
CHUNK_SIZE = 500
MAX_MISSING_NAMES = 5_000

# Precedes a record's id to stand for the item that is created for it.
NEW_ITEM = "+"


@dataclass
class BoardPlan:
    """How many records and items a set-up links, creates, asks about and leaves, with samples: a name and a reason."""

    chosen: selection.ChosenBoard
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    attention_count: int = 0  # records that need a person afterwards
    missing: dict[str, list[str]] = field(default_factory=dict)  # names of related records that NPD lacks, by type
    hold: str = ""  # why no items are created on the board
    calls: int = 0
    items_to_check: dict[str, str] = field(default_factory=dict)  # names of the items that need a pass, by id

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

    def __init__(
        self, chosen: selection.ChosenBoard, records_of_others: Sequence[SyncedModel], progress: PlanProgress
    ) -> None:
        """`records_of_others` are the records of boards that are set up before this one, as they will be then."""
        self.chosen = chosen
        self.board = planned_board(chosen)
        self.progress = progress
        self.listed = ListedBoard(self.board, chosen.boards_by_type, records_of_others)
        self.result = BoardPlan(chosen)
        self.missing_names = defaultdict[type[SyncedModel], dict[str, str]](dict)
        self.taken_items = set[str]()
        self.first_of_key = dict[str, SyncedModel]()
        self.created = list[SyncedModel]()
        self.attention_ids = set[UUID]()
        self.writes = 0
        self.reads = 0

    @property
    def records_after_setup(self) -> list[SyncedModel]:
        """The records that this set-up links with an item or creates."""
        new_records = [record for records in self.listed.new_records.values() for record in records]
        return [*self.listed.linked.values(), *self.created, *new_records]

    def plan(self) -> BoardPlan:
        """Return the board's plan. Raises MondayError."""
        if self.chosen.board is not None:
            self._list_items()
            self._hold_creates()
        self._plan_passes()
        self.result.attention_count = len(self.attention_ids)
        columns_and_webhooks = len(self.chosen.new_titles) + len(WEBHOOK_EVENTS)
        passes = math.ceil((self.reads + self.writes) / ITEMS_PER_READ) + math.ceil(self.writes / ITEMS_PER_READ)
        board = CALLS_PER_BOARD if self.chosen.board is not None else CALLS_PER_BOARD + CALLS_PER_NEW_BOARD
        self.result.calls = board + columns_and_webhooks + passes
        for model, names in self.missing_names.items():
            records = selection.named_records(model, list(names.values()))
            if records:
                self.result.missing[model.entity_type()] = [field_values.record_name(record) for record in records]
        return self.result

    def _list_items(self) -> None:
        match_columns = self._match_columns()
        columns = [column for column in self.board.columns if not column.startswith(NEW_COLUMN)]
        columns += [column.id for column in match_columns if column.id not in columns]
        types = {*self.board.types, *(column.type for column in match_columns)}
        for items in item_pages(self.board.link, columns, sorted(types)):
            for item in items:
                self.listed.add(fill_new_columns(self.board, item))
            self.progress(0, len(self.listed.items))

    def _match_columns(self) -> list[BoardColumn]:
        """Return the columns by which records and items could be matched."""
        types = next(set(mappable.types) for mappable in self.chosen.fields if mappable.is_match_key)
        columns = self.chosen.columns.values()
        return [column for column in columns if column.type in types and column.id != self.chosen.npd_id]

    def _hold_creates(self) -> None:
        """Hold creates if no item can be recognized, as the set-up itself will."""
        match = self.board.match_mapping
        link = self.chosen.choices.link
        if match is None or match.column_id == board_columns.NAME_TYPE or self.chosen.choices.creates_all:
            return
        if link is not None and board_setup.is_matched_by(link, match.column_id):
            return
        column = self.chosen.columns.get(match.column_id) or BoardColumn(match.column_id, match.label, "")
        match_columns = [other for other in self._match_columns() if other.id != column.id]
        pages = [self.listed.items.values()]
        self.result.hold = board_setup.reason_to_hold(column, match_columns, self.board.link.npd_id_column, pages)
        self.board.link.creates_held = self.result.hold

    def _plan_passes(self) -> None:
        """Plan all records, oldest first, then the items that no record has or will have."""
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
            # Linking only stores the link; the next pass (`following`) compares the values.
            following = runs[1].plan.records if len(runs) > 1 else {}
            self.listed.linked |= {key: record.linked_record for key, record in first.records.items() if record.link_to}
            left_out_ids = {record.id for record in runs[0].facts.records if record.ledger.left_out}
            for key, record_plan in first.records.items():
                was_left_out = key in left_out_ids and record_plan.record.may_sync
                self._add_record(record_plan, following.get(key), was_left_out=was_left_out)
            for item_plan in first.items:
                self._add_item(item_plan)
            # Records that items have just created take their values over, so these are no rows of their own.
            for key in sorted(following.keys() - first.records.keys()):
                self._count_writes(following[key])
            self.progress(min(start + CHUNK_SIZE, len(claims)), len(claims))

    def _add_record(
        self, plan: pass_plan.RecordPlan, following: pass_plan.RecordPlan | None, *, was_left_out: bool
    ) -> None:
        """Count a record's outcome; `following` is its next pass, if this one only links it."""
        record = plan.record
        candidates = plan.identity.question["candidates"] if plan.identity.question else []
        self.taken_items |= {str(record.monday_id), plan.item_id, *(str(item["id"]) for item in candidates)}
        if reason := plan.left_out or plan.leaving:
            if was_left_out:
                row = "stays_out"
            elif record.monday_id:
                row = "stops"
            else:
                row = "kept_out"
            self.result.add(row, str(record), reason.removeprefix(LEFT_OUT).strip())
        elif was_left_out:
            self.result.add("resumes", str(record))
        if plan.left_out:
            return
        self.reads += 1
        if record.monday_id and plan.item is None:
            self.attention_ids.add(plan.id)
            self.result.add("missing", str(record))
        elif record.monday_id:
            self._add_fields(plan)
        elif plan.creates:
            self._add_created(plan)
        elif following is not None and plan.item is not None:
            self.reads += 1
            self.result.add("link", str(record))
            self._add_fields(following)
        else:
            self.attention_ids.add(plan.id)
            row = "held" if plan.identity.is_held else "ambiguous"
            self.result.add(row, str(record), plan.reason or plan.ending.detail)

    def _add_created(self, plan: pass_plan.RecordPlan) -> None:
        record = plan.record
        # The first of several records with the same key gets an item; the others find that item, also in later chunks.
        key = field_values.match_text_of_record(self.board, record)
        first = self.first_of_key.setdefault(key, record) if key and plan.is_open else record
        if plan.is_open and first is record:
            self.writes += 1
            self.result.add("create", str(record))
            if self._add_stuck_fields(plan):
                self.attention_ids.add(plan.id)
            created = copy(record)
            created.monday_id = f"{NEW_ITEM}{record.pk}"
            self.created.append(created)
            return
        self.attention_ids.add(plan.id)
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
            self.result.items_to_check[item.id] = item.name[:200]
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
        # Names alone don't link, so a record without a match key on one side would be duplicated.
        for name in self.names_of_created.get(match_key(item.name), ()):
            self.result.add("same_name", name)

    @cached_property
    def names_of_created(self) -> Mapping[str, Sequence[str]]:
        """The names of the records that get new items, by their match keys; complete once all records are planned."""
        names = defaultdict[str, list[str]](list)
        for record in self.created:
            name = field_values.record_name(record)
            names[match_key(name)].append(name)
        return names

    def _add_stuck_fields(self, plan: pass_plan.RecordPlan) -> bool:
        """Count fields that can't be synced or that Monday will probably reject; return whether there are any."""
        is_stuck = bool(plan.reason) and not plan.left_out
        relations = {mapping.key: target_of(relation) for mapping, relation in self.board.relations}
        for field_plan in plan.plans.values():
            name = f"{plan.record}: {field_plan.mapping.label}"
            is_skipped = field_plan.is_relation_skipped or is_kept_different(plan, field_plan)
            if field_plan.blocked_reason and not is_skipped:
                is_stuck = True
                awaits = field_plan.awaits
                if awaits is not None and awaits.by == "name" and awaits.is_missing:
                    names = self.missing_names[relations[field_plan.mapping.key]]
                    if len(names) < MAX_MISSING_NAMES:
                        names.setdefault(match_key(awaits.value), awaits.value)
                    self.result.add("names", name, awaits.value)
                else:
                    self.result.add("blocked", name, field_plan.blocked_reason)
            elif field_plan.send_raw is not None and (risk := field_plan.convert.rejection_risk(field_plan.send_raw)):
                is_stuck = True
                self.result.add("doubtful", str(plan.record), risk)
        return is_stuck

    def _count_writes(self, plan: pass_plan.RecordPlan) -> dict[str, list[str]]:
        """Count a pass's writes and problems; return the labels of the fields that it changes, by row."""
        is_stuck = self._add_stuck_fields(plan)
        field_plans = list(plan.plans.values())
        labels_by_row = {
            "to_monday": [p.mapping.label for p in field_plans if p.send_raw is not None],
            "to_npd": [p.mapping.label for p in field_plans if p.write_raw is not None],
            "conflicts": [p.mapping.label for p in field_plans if p.conflict is not None],
        }
        if leaves_by_pull(self.board, plan.record, plan.plans) or leaves_by_push(self.board, plan):
            self.result.add("stops", str(plan.record))
        elif not plan.leaving and (is_stuck or labels_by_row["conflicts"] or plan.identity.duplicate):
            self.attention_ids.add(plan.id)
        if any(labels_by_row.values()) or plan.write_npd_id:
            self.writes += 1
        return labels_by_row

    def _add_fields(self, plan: pass_plan.RecordPlan) -> None:
        for row, labels in self._count_writes(plan).items():
            if labels:
                self.result.add(row, str(plan.record), ", ".join(labels))


@dataclass
class SetupPlan:
    """The plan of all boards of a set-up, as the cache holds it."""

    token: str
    choices: list[selection.Choices]
    state: str = "waiting"  # then "working", finally "done" or "failed"
    done: int = 0
    total: int = 0
    title: str = ""
    progressed_at: datetime = field(default_factory=sync_now)  # when it was requested, then of a worker's last step
    problem: str = ""
    boards: list[BoardPlan] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def is_stalled(self) -> bool:
        """Whether nothing happens: no worker runs, or the plan's worker was killed."""
        return self.is_busy and sync_now() - self.progressed_at > STALLED_AFTER

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
    def share_of_day(self) -> float | None:
        """Return the calls as a share of the day's quota; None if the quota is unknown."""
        return api_quota.share_of_day(self.calls)

    def save(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.progressed_at = sync_now()
        cache.set(_cache_key(self.token), self, PLAN_LIFETIME.total_seconds() * 2)


def _cache_key(token: str) -> str:
    return f"sync.setup.plan.{token}"


def stored_plan(token: str) -> SetupPlan | None:
    plan: SetupPlan | None = cache.get(_cache_key(token))
    return plan


def request_plan(token: str, choices: Iterable[selection.Choices], *, again: bool = False) -> SetupPlan:
    """Return the plan of these choices; have a worker make it if it is missing, old or stalled."""
    plan = stored_plan(token)
    if plan is None or again or (plan.is_old and not plan.is_busy):
        plan = SetupPlan(token, list(choices))
        plan.save()
        send_task("sync.plan_set_up", token)
    elif plan.is_stalled:
        send_task("sync.plan_set_up", token)
    return plan


def make_plan(token: str) -> None:
    """Make a requested plan, unless another worker is making it."""
    plan = stored_plan(token)
    if plan is None or not plan.is_busy or (plan.state == "working" and not plan.is_stalled):
        return
    boards_by_type = {choices.entity_type: choices.board_id for choices in plan.choices}
    plan.save(state="working")
    boards = []
    records_of_others = list[SyncedModel]()
    try:
        for choices in plan.choices:
            plan.save(title=choices.spec.board_title, done=0, total=0)
            chosen = selection.read_board(choices, boards_by_type)
            if problems := chosen.problem_text:
                raise ActionError(f"{choices.spec.board_title}: {problems}")
            planner = Planner(chosen, records_of_others, lambda done, total: plan.save(done=done, total=total))
            boards.append(planner.plan())
            records_of_others += planner.records_after_setup
        plan.save(state=PLAN_DONE, boards=boards)
    except ActionError as why:
        plan.save(state="failed", problem=str(why))
    except MondayError as error:
        plan.save(state="failed", problem=humanize.without_request_id(error.sentence))
    except Exception:
        log.exception("a set-up could not be planned")
        plan.save(state="failed", problem="NPD Sync itself failed. Please report it with the worker's log.")
        raise


# The sentences of a plan's rows, for one and for several.
DONE_ROWS = {
    "create": ("item is created on Monday", "items are created on Monday"),
    "link": ("record is linked with its item", "records are linked with their items"),
    "to_monday": ("item is updated on Monday", "items are updated on Monday"),
    "to_npd": ("record is updated in NPD", "records are updated in NPD"),
    "from_items": ("record is created from an item on Monday", "records are created from items on Monday"),
    "no_key": ("item has no value to match by: it becomes a record later",
               "items have no value to match by: they become records later"),
    "stops": ("record is no longer synced: the filter leaves it out",
              "records are no longer synced: the filter leaves them out"),
    "resumes": ("record is synced again: the filter lets it through",
                "records are synced again: the filter lets them through"),
}  # fmt: skip
ASKED_ROWS = {
    "conflicts": ("conflict to resolve", "conflicts to resolve"),
    "ambiguous": ("record fits several items: you choose which", "records fit several items: you choose which"),
    "items_asked": ("item could be a record that NPD has: you are asked",
                    "items could be records that NPD has: you are asked"),
    "names": ("value names a record that NPD doesn't have", "values name records that NPD doesn't have"),
    "same_name": ("record gets a new item though an item without a value to match by has its name",
                  "records get new items though items without a value to match by have their names"),
    "blocked": ("field can't be synced; the record's other fields are",
                "fields can't be synced; the records' other fields are"),
    "doubtful": ("value will probably be rejected by Monday; the record's other fields are synced",
                 "values will probably be rejected by Monday; the records' other fields are synced"),
    "invalid": ("record isn't synced: Monday would reject it", "records aren't synced: Monday would reject them"),
    "missing": ("record has lost its item: it isn't on the board",
                "records have lost their items: they aren't on the board"),
}  # fmt: skip
LEFT_ROWS = {
    "held": ("record gets no item for now", "records get no items for now"),
    "items_held": ("item becomes no record for now", "items become no records for now"),
    "unmatched": ("item stays unmatched: no record is created from it",
                  "items stay unmatched: no records are created from them"),
    "sync_off": ("record has sync turned off", "records have sync turned off"),
    "no_item": ("record gets no item: it is synced from Monday only",
                "records get no items: they are synced from Monday only"),
    "kept_out": ("record gets no item: the filter leaves it out", "records get no items: the filter leaves them out"),
    "stays_out": ("record is left out by the filter, as before", "records are left out by the filter, as before"),
    "items_out": ("item becomes no record: the filter leaves it out, or a value is wrong",
                  "items become no records: the filter leaves them out, or a value is wrong"),
}  # fmt: skip


def rows_of(plan: BoardPlan, nouns: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the rows that count anything, each with its sentence and samples."""
    rows = []
    for code, (singular, plural) in nouns.items():
        if number := plan.counts[code]:
            sentence = humanize.count_with_noun(number, singular, plural)
            rows.append({"code": code, "sentence": sentence, "samples": plan.samples.get(code, [])})
    return rows


def summary_of(plan: BoardPlan) -> str:
    return f"{plan.counts['create']:d} to create, {plan.counts['link']:d} to link, {plan.attention_count:d} to look at"
