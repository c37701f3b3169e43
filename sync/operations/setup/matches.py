"""Which records and items a set-up would link, create or ask about, by reconcile's rules; writes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.conf import settings
from rapidfuzz import fuzz, process, utils

from sync import connectors, registry
from sync.boards.board_columns import NAME_TYPE, NO_PROBLEM, column_type
from sync.boards.board_listing import item_pages
from sync.boards.sync_filter import FilterSide
from sync.choices import SyncDirection
from sync.connectors.base.board_items import BatchItems, Item
from sync.connectors.base.conversion import UnknownValue
from sync.kernel import humanize
from sync.models import BoardLink, FieldMapping, IgnoredItem, SetupDraft, SyncedModel
from sync.models.synced_model import unsynced
from sync.operations.setup.draft import link_of_draft, npd_id_column_of
from sync.operations.setup.fields import NEW_COLUMN, mappable_fields, parse_choices
from sync.outbox.claim import Claim
from sync.reconcile.board_filter import LEFT_OUT, exclude_items, exclude_records, exclusion_sentence, item_verdict
from sync.reconcile.decide import decide_record_fields, first_plan
from sync.reconcile.field_plan import FieldPlan
from sync.reconcile.field_values import (
    BoardContext,
    Want,
    as_uuid,
    match_text_of_item,
    match_text_of_record,
    npd_id_of,
    record_name,
)
from sync.reconcile.gather import Gatherer, claimed
from sync.reconcile.identity import find_lost_creates, identify_records
from sync.reconcile.lookups import load_directory
from sync.reconcile.pass_plan import OPEN, Ask, PassFacts, Plan, RecordPlan
from sync.reconcile.sides import know_related
from sync.reconcile.writes import create_problem
from sync.registry import link_of

SAMPLES_PER_OUTCOME = 5
CHUNK_SIZE = 500
"""Records that are compared at once."""

MAX_PAIRS = 2_000
"""Pairs of similar names that are offered; records beyond them stay out, as those do that are like several items."""

CompareCallback = Callable[[int, int], None]


# A draft as reconcile would see it once it is set up: a board link and mappings that are never stored.
#
# A column that is to be created has a stand-in id, and every item is empty in it.


NEW_NPD_ID_COLUMN = "+npd_id"


def draft_board(draft: SetupDraft) -> BoardContext:
    """Return the board as it would be, with the draft's match rule and directions."""
    spec, known = registry.entity(draft.entity_type), link_of(draft.entity_type)
    link = BoardLink(
        entity_type=draft.entity_type,
        board_id=draft.board_id,
        group_id="",
        npd_id_column=npd_id_column_of(draft) or NEW_NPD_ID_COLUMN,
        match_key=known.match_key if known is not None else spec.match_key,
        creates_records=draft.creates_records,
        sync_filter=draft.sync_filter,
        npd_id_problem="",
    )
    stored_link = link_of_draft(draft)
    stored = {one.key: one for one in stored_link.mappings.all()} if stored_link is not None else {}
    chosen, mappings = parse_choices(draft.fields), []
    for position, one in enumerate(mappable_fields(draft.entity_type)):
        choice = chosen.get(one.key)
        if choice is None or not choice.is_synced:
            continue
        column, options = choice.column, {}
        if one.is_name:
            column, converter = NAME_TYPE, one.types[NAME_TYPE]
        elif choice.column == NEW_COLUMN:
            column, converter = f"{NEW_COLUMN}{one.key}", one.types[one.made_type]
            options = {"column_type": one.made_type, "settings": {}}
        elif (details := draft.columns.get(choice.column)) is not None:
            converter = one.types.get(details["type"]) or next(iter(one.types.values()))
            options = {"column_type": details["type"], "settings": details.get("settings") or {}}
        else:
            converter = next(iter(one.types.values()))
            options = {"column_type": column_type(converter), "settings": {}}
        before = stored.get(one.key)
        moved = before is not None and (before.column_id, before.converter) != (column, converter)
        mappings.append(
            FieldMapping(
                link=link, key=one.key, label=one.label, fields=list(one.fields), column_id=column,
                converter=converter, direction=choice.direction, rule=choice.rule, first_match=draft.first_match,
                required=one.required, version=before.version + moved if before is not None else 1,
                position=position, options=options, **NO_PROBLEM,
            )
        )  # fmt: skip
    directory = load_directory({mapping.converter for mapping in mappings if mapping.column_id}, draft.board_id)
    return BoardContext(link, mappings, spec.model, directory)


def _fill_new_columns(board: BoardContext, item: Item) -> Item:
    """Return the item with empty values in the columns that are to be created."""
    types = {
        mapping.column_id: str(mapping.options["column_type"])
        for mapping in board.mappings
        if mapping.column_id.startswith(NEW_COLUMN)
    }
    if board.link.npd_id_column == NEW_NPD_ID_COLUMN:
        types[NEW_NPD_ID_COLUMN] = "text"
    cells = {}
    for column, kind in types.items():
        cells[column] = connectors.get().empty_reading(column, kind)
    return replace(item, values={**item.values, **cells}) if cells else item


# A board's items by what a record could find them by.


@dataclass
class ItemIndex:
    """A board's items by their NPD ID and their match key."""

    board: BoardContext
    items: dict[str, Item] = field(default_factory=dict)
    _by_npd_id: dict[str, list[Item]] = field(default_factory=dict)
    _by_match: dict[str, list[Item]] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Index an item by its id, its NPD ID and its match key."""
        if item.id in self.items:
            return
        self.items[item.id] = item
        if npd_id := npd_id_of(self.board, item):
            self._by_npd_id.setdefault(npd_id, []).append(item)
        if key := match_text_of_item(self.board, item):
            self._by_match.setdefault(key, []).append(item)

    def find_matches(self, records: Sequence[SyncedModel]) -> BatchItems:
        """Return what a pass over these records would find: by NPD ID, and by the match rule."""
        named = [item for record in records for item in self._by_npd_id.get(str(record.pk), ())]
        keys = dict.fromkeys(match_text_of_record(self.board, record) for record in records)
        matched = [item for key in keys if key for item in self._by_match.get(key, ())]
        return BatchItems(by_npd_id=named, by_match=matched)


# The comparison.


@dataclass
class MatchResult:
    """How many records are in each group, with samples `[name, why]`, and what the merge would do with them.

    `to_monday`, `to_npd` and `conflicts` count records, `blocked` blocked fields; `near` are pairs that a person
    may confirm, `unsure_of` gives by record the items that its name is like, where they are several, `free`
    are the unmatched items that the filter lets through, `keyless` those of them whose match key is empty, `names` what
    they are called. `concerned` are the records of
    which the filter would say something else than their last pass did.
    """

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[list[str]]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    near: list[dict[str, Any]] = field(default_factory=list)
    unsure_of: dict[str, list[str]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    keyless: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    concerned: list[str] = field(default_factory=list)
    items: int = 0

    def add(self, group: str, name: str, reason: str = "") -> None:
        self.counts[group] += 1
        samples = self.samples.setdefault(group, [])
        if len(samples) < SAMPLES_PER_OUTCOME:
            samples.append([name[:120], reason[:300]])


def compare_draft(draft: SetupDraft, on_progress: CompareCallback = lambda done, of: None) -> MatchResult:
    """Compare every record of the draft's type with every item of its board; raises ConnectorError."""
    board = draft_board(draft)
    comparison = _DraftComparison(board, draft.threshold, on_progress)
    if draft.board_id:
        comparison.list_items()
    comparison.plan_records()
    comparison.match_names()
    return comparison.result


class _DraftComparison:
    def __init__(self, board: BoardContext, threshold: int, on_progress: CompareCallback) -> None:
        self.board, self.threshold, self.on_progress = board, threshold, on_progress
        self.result = MatchResult()
        self.index = ItemIndex(board)
        self.taken_items: set[str] = set()
        self.match_keys: set[str] = set()
        self.created: dict[str, str] = {}

    def list_items(self) -> None:
        """List the whole board."""
        columns = [column for column in self.board.columns if not column.startswith(NEW_COLUMN)]
        for items in item_pages(self.board.link, columns, self.board.types):
            for item in items:
                self.index.add(_fill_new_columns(self.board, item))
            self.on_progress(0, len(self.index.items))
        self.result.items = len(self.index.items)

    def plan_records(self) -> None:
        """Decide about every record as passes would."""
        records = self.board.model._default_manager.exclude(unsynced()).order_by("created_at", "pk")
        ids = list(records.values_list("pk", flat=True))
        is_off = self.board.model._default_manager.filter(unsynced()).order_by("created_at", "pk")
        self.result.counts["sync_off"] = is_off.count()
        self.result.samples["sync_off"] = [[str(record)[:120], ""] for record in is_off[:SAMPLES_PER_OUTCOME]]
        for start in range(0, len(ids), CHUNK_SIZE):
            self._plan_chunk(ids[start : start + CHUNK_SIZE])
            self.on_progress(min(start + CHUNK_SIZE, len(ids)), len(ids))

    def _plan_chunk(self, ids: Iterable[UUID]) -> None:
        facts = claimed(self.board, [Claim(entity_id, None, []) for entity_id in ids])
        plan = exclude_records(facts, first_plan(facts))
        linked = [one for one in plan.records.values() if one.record.monday_id]
        items = self.index.items
        plan = plan.with_records(one.with_facts(item=items.get(str(one.record.monday_id))) for one in linked)
        facts, plan = self._identified(facts, plan)
        for rule in (exclude_items, know_related):
            facts, plan = Gatherer().follow(rule, facts, plan)
        # Also of one whose pass ends for now, people see what would move.
        ended = [one for one in plan.records.values() if not one.is_open and one.item and not one.left_out]
        plan = plan.with_records(replace(one, ending=OPEN) for one in ended)
        facts, plan = Gatherer().follow(decide_record_fields, facts, plan)
        for known in facts.claimed.records:
            was_out = known.ledger.note if known.record.may_sync and known.ledger.left_out else ""
            self._add_filtered(plan.records[known.id], was_out)
        for one in [plan.records[one.id] for one in linked]:
            self.taken_items.add(str(one.record.monday_id))
            if one.left_out or one.leaving:
                continue
            if one.item is None:
                self.result.add("missing", str(one.record))
            else:
                self.result.counts["linked"] += 1
                self._add_changes(one, "linked")
        linked_ids = {one.id for one in linked}
        for one in plan.records.values():
            if one.id not in linked_ids and not one.left_out:
                self._add_unlinked(one)

    def _identified(self, facts: PassFacts, plan: Plan) -> tuple[PassFacts, Plan]:
        """Find out which item is which record's, among those without one, by the listing instead of a call."""
        unlinked = {key: one for key, one in plan.records.items() if not one.record.monday_id}
        among = replace(plan, records=unlinked)
        found = self.index.find_matches([one.record for one in among.open_records])
        facts = replace(facts, known={**facts.known, Want(Ask.ITEMS): found})
        for rule in (identify_records, find_lost_creates):
            facts, among = Gatherer().follow(rule, facts, among)
        return facts, plan.with_records(among.records.values())

    def _add_filtered(self, plan: RecordPlan, was_out: str) -> None:
        """Count what the filter leaves out or lets in again; `was_out` is why it was left out until now."""
        is_out, name = plan.left_out or plan.leaving, str(plan.record)
        reason = is_out.removeprefix(LEFT_OUT).strip()
        if is_out != was_out:
            self.result.concerned.append(str(plan.id))
        if was_out and not is_out:
            self.result.add("resumes", name)
        elif is_out and not was_out:
            self.result.add("stops" if plan.record.monday_id else "kept_out", name, reason)
        elif is_out:
            self.result.add("stays_out", name, reason)

    def _add_unlinked(self, plan: RecordPlan) -> None:
        record = plan.record
        if plan.creates:
            self._add_created(plan)
        elif plan.link_to and plan.item is not None and plan.link_to not in self.taken_items:
            self.taken_items.add(plan.link_to)
            by_id = npd_id_of(self.board, plan.item) == str(plan.id)
            label = "NPD ID" if by_id else self.board.match_mapping.label if self.board.match_mapping else ""
            self.result.fields[f"by {'npd_id' if by_id else 'key'}"] += 1
            self.result.add("link", str(record), f"“{plan.item.name}” · {label}")
            self._add_changes(plan, "link")
        else:
            taken = "The item with the same key belongs to another record." if plan.link_to else ""
            self.result.add("ambiguous", str(record), plan.reason or taken)

    def _add_created(self, plan: RecordPlan) -> None:
        # In this direction a record never gets an item.
        if plan.record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            self.result.add("no_item", str(plan.record))
            return
        key = match_text_of_record(self.board, plan.record)
        reason = create_problem(plan.plans)
        if reason:
            self.result.add("invalid", str(plan.record), reason)
        elif key and key in self.match_keys:
            label = self.board.match_mapping.label if self.board.match_mapping else ""
            why = f"Another record has the same {label} and gets an item first; then you are asked."
            self.result.add("ambiguous", str(plan.record), why)
        else:
            self.match_keys.add(key)
            self.created[str(plan.id)] = record_name(plan.record)
            self.result.add("create", str(plan.record))
        if not reason:
            self._add_stuck_fields(plan)

    def _add_stuck_fields(self, plan: RecordPlan) -> None:
        """Count the fields that can't be synced, and those that Monday will probably reject once they are sent."""
        for one in plan.plans.values():
            if one.blocked_reason and not one.is_left_out:
                self.result.add("blocked", f"{plan.record}: {one.mapping.label}", one.blocked_reason)
            elif one.send_raw is not None and (risk := one.convert.rejection_risk(one.send_raw)):
                self.result.add("doubtful", str(plan.record), risk)

    def _add_changes(self, plan: RecordPlan, group: str) -> None:
        """Count what a pass would do with both sides' values."""
        field_plans = list(plan.plans.values())
        self._add_stuck_fields(plan)
        by_direction = {
            "to_monday": [p for p in field_plans if p.send_raw is not None],
            "to_npd": [p for p in field_plans if p.write_raw is not None],
            "conflicts": [p for p in field_plans if p.conflict is not None],
        }
        for direction, moving in by_direction.items():
            if moving:
                self.result.add(direction, str(plan.record), ", ".join(p.mapping.label for p in moving))
            for one in moving:
                self.result.fields[f"{direction} {one.mapping.label}"] += 1
        if different := [field_plan.mapping.label for field_plan in field_plans if _stays_different(field_plan)]:
            self.result.add("different", str(plan.record), ", ".join(different))
        if any(by_direction.values()) or plan.fields.write_npd_id or group == "link":
            self.result.counts["looks_that_write"] += 1

    def match_names(self) -> None:
        """Offer similar names, of records that would be created and of unmatched items."""
        unmatched = self._unmatched_items()
        for item in list(unmatched.values()):
            verdict = item_verdict(self.board, item)
            if verdict.holds is not True:
                del unmatched[item.id]
                reason = exclusion_sentence(self.board, FilterSide.ITEM, verdict).removeprefix(LEFT_OUT)
                self.result.add("items_out", item.name, reason.strip())
        self.result.free = sorted(unmatched)
        names = {item.id: item.name for item in unmatched.values()}
        self.result.names = {key: name[:200] for key, name in names.items()}
        result = match_names(self.created, names, self.threshold, self.on_progress)
        pairs, beyond = result.pairs[:MAX_PAIRS], result.pairs[MAX_PAIRS:]
        self.result.near = [
            {"record": one.record, "name": self.created[one.record][:200], "item": item,
             "item_name": unmatched[item].name[:200], "alike": score}
            for one in pairs
            for item, score in one.items[:1]
        ]  # fmt: skip
        self._discard_created([pair.record for pair in pairs])
        for one in [*result.ambiguous, *beyond]:
            self.result.unsure_of[one.record] = [item for item, _score in one.items]
            options = " / ".join(f"“{unmatched[item].name}” ({score} %)" for item, score in one.items[:3])
            self.result.add("unsure", self.created[one.record], options)
        self._discard_created([one.record for one in [*result.ambiguous, *beyond]])
        like = {item for one in [*result.pairs, *result.ambiguous] for item, _score in one.items}
        label = self.board.match_mapping.label if self.board.match_mapping else ""
        # Their pass waits for somebody to fill it in, also where the column can't be read.
        self.result.keyless = [item.id for item in unmatched.values() if not match_text_of_item(self.board, item)]
        wait = humanize.time_span(settings.NEW_ITEM_WAIT_SECONDS)
        why = dict.fromkeys(self.result.keyless, f"{label} is empty; without one it becomes a record in {wait}")
        for item in [one for one in unmatched.values() if one.id not in like]:
            samples = self.result.samples.setdefault("no_key" if item.id in why else "from_items", [])
            if len(samples) < SAMPLES_PER_OUTCOME:
                samples.append([item.name[:120], why.get(item.id, "")])

    def _discard_created(self, records: Iterable[str]) -> None:
        # They may already have an item, so a person is asked before they are created.
        names = Counter(self.created.pop(record) for record in records)
        self.result.counts["create"] -= names.total()
        self.result.samples["create"] = [[name, ""] for name in list(self.created.values())[:SAMPLES_PER_OUTCOME]]

    def _unmatched_items(self) -> dict[str, Item]:
        """Return active items that no record has, nobody ignores, and whose NPD ID names no record."""
        owned = set()
        for spec in registry.entities():
            rows = spec.model._default_manager.exclude(monday_id=None).values_list("monday_id", flat=True)
            owned |= set(rows)
        kind = self.board.link.entity_type
        ignored = set(IgnoredItem.objects.filter(entity_type=kind).values_list("item_id", flat=True))
        return {
            item.id: item
            for item in self.index.items.values()
            if item.id not in self.taken_items | owned | ignored and not as_uuid(npd_id_of(self.board, item) or "")
        }


def _stays_different(field_plan: FieldPlan) -> bool:
    """Whether the two sides of a field differ, and neither is written, asked about or blocked."""
    is_left = (field_plan.send_raw, field_plan.write_raw, field_plan.conflict) == (None, None, None)
    with suppress(UnknownValue):
        if is_left and not field_plan.blocked_reason:
            convert = field_plan.convert
            return convert.local(field_plan.local_raw) != convert.remote(field_plan.remote_raw)
    return False


# Similar names: pairs that a person may confirm, and those too unsure to be offered.
#
# A name alone never links two: every pair found here needs a person's confirmation.


AMBIGUITY_MARGIN = 10
"""A second name that is at most this many per cent behind the first makes the pair ambiguous."""

PROGRESS_EVERY = 500

MAX_FULL_PAIRS = 4_000_000
"""Up to this many comparisons all names are compared; beyond, only those with the same beginning."""


@dataclass(frozen=True)
class NameMatch:
    """A record with the items of similar names, the likest first, each with how alike, in per cent."""

    record: str
    items: Sequence[tuple[str, int]]


@dataclass
class NameMatches:
    """Pairs with one similar name each, and records (or items) with several."""

    pairs: list[NameMatch] = field(default_factory=list)
    ambiguous: list[NameMatch] = field(default_factory=list)


def match_names(
    records: Mapping[str, str],
    items: Mapping[str, str],
    threshold: int,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> NameMatches:
    """Compare the names of records and items without a counterpart, each given by id.

    `on_progress` gets now and then how many records were compared, and of how many.
    """
    names = {key: text for key, name in items.items() if (text := utils.default_process(name))}
    found = []
    for done, (record, item_ids) in enumerate(_comparable_items(records, names)):
        if done % PROGRESS_EVERY == 0:
            on_progress(done, len(records))
        text = utils.default_process(records[record])
        hits = process.extract(
            text, {key: names[key] for key in item_ids}, scorer=fuzz.token_sort_ratio, processor=None,
            score_cutoff=threshold, limit=5,
        ) if text else []  # fmt: skip
        if hits:
            found.append(NameMatch(record, [(key, round(score)) for _, score, key in hits]))
    scores: defaultdict[str, list[int]] = defaultdict(list)
    for one in found:
        for key, score in one.items:
            scores[key].append(score)
    result = NameMatches()
    for one in found:
        # A pair is one only if neither side has another match nearly as good.
        (key, score), others = one.items[0], one.items[1:]
        rivals = sorted(scores[key], reverse=True)
        rivals.remove(score)
        second = max([*(other for _, other in others), *rivals], default=0)
        (result.ambiguous if second >= score - AMBIGUITY_MARGIN else result.pairs).append(one)
    return result


def _comparable_items(
    records: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, str] | set[str]]]:
    if len(records) * len(names) <= MAX_FULL_PAIRS:
        for record in records:
            yield record, names
        return
    by_start: defaultdict[str, set[str]] = defaultdict(set)
    for key, name in names.items():
        for word in name.split():
            by_start[word[:3]].add(key)
    for record, name in records.items():
        words = utils.default_process(name).split()
        yield record, set().union(*(by_start[word[:3]] for word in words if word[:3] in by_start))
