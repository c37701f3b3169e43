"""Which records and items a set-up would link, create or ask about: read off the plans of passes; writes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from rapidfuzz import fuzz, process, utils

from sync import connectors, registry
from sync.boards.board_columns import NAME_TYPE, NO_PROBLEM, column_type
from sync.choices import BlockedCode, RemovedItemPolicy, SyncDirection
from sync.connectors.base.board_items import BatchItems, Item
from sync.connectors.base.conversion import UnknownValue
from sync.kernel.messages import PASSING_REASONS, UnmatchedReason
from sync.models import ApprovalRequest, BoardLink, FieldMapping, SetupDraft, SetupState, SyncedModel
from sync.models.synced_model import unsynced
from sync.operations.detect.comparison import item_pages
from sync.operations.preview import item_claim, planned_requests
from sync.operations.setup.draft import link_of_draft, npd_id_column_of
from sync.operations.setup.fields import NEW_COLUMN, mappable_fields, parse_choices
from sync.outbox.claim import Claim
from sync.reconcile.board_filter import LEFT_OUT
from sync.reconcile.facts import ItemFacts
from sync.reconcile.field_plan import FieldPlan
from sync.reconcile.field_values import (
    BoardContext,
    RelatedFacts,
    Want,
    WantKind,
    match_text_of_item,
    match_text_of_record,
    npd_id_of,
    record_name,
)
from sync.reconcile.gather import Gatherer, claimed
from sync.reconcile.lookups import load_directory
from sync.reconcile.new_items import ItemAct, ItemPlan
from sync.reconcile.pass_plan import Ask, Outcome, PassFacts, Plan, RecordPlan, Unread
from sync.reconcile.sides import InspectedColumns
from sync.registry import link_of, target_of

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
    link = copy(known) if known is not None else BoardLink(
        entity_type=draft.entity_type, match_key=spec.match_key, removed_item_policy=RemovedItemPolicy.ASK
    )  # fmt: skip
    link.board_id, link.npd_id_column = draft.board_id, npd_id_column_of(draft) or NEW_NPD_ID_COLUMN
    link.creates_records, link.sync_filter, link.npd_id_problem = draft.creates_records, draft.sync_filter, ""
    stored_link = link_of_draft(draft)
    if stored_link is None:
        link.group_id, link.shape = "", {}
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
    directory = load_directory({mapping.converter for mapping in mappings if mapping.column_id})
    return BoardContext(link, mappings, spec.model, directory)


def _fill_new_columns(board: BoardContext, item: Item) -> Item:
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


# The listed board, as passes see it.


class _ListedBoard(Gatherer):
    """Answers what rules ask of Monday from the whole listing, and of NPD as the chunks before would leave it.

    `given` are the records that these would link, each with its item. What isn't listed is asked for by its id.
    """

    def __init__(self, board: BoardContext) -> None:
        self.acts = list[ApprovalRequest]()
        super().__init__(self.acts)
        self.board, self.items, self.given = board, dict[str, Item](), dict[UUID, SyncedModel]()
        self._by_npd_id, self._by_match = defaultdict[str, list[Item]](list), defaultdict[str, list[Item]](list)

    def add(self, item: Item) -> None:
        """Index an item by its id, its NPD ID and its match key."""
        if item.id in self.items:
            return
        self.items[item.id] = item
        if npd_id := npd_id_of(self.board, item):
            self._by_npd_id[npd_id].append(item)
        if key := match_text_of_item(self.board, item):
            self._by_match[key].append(item)

    def board_items(
        self, board: BoardContext, linked: Sequence[str], npd_ids: Sequence[str], keys: Sequence[str], size: int
    ) -> BatchItems:
        named = [item for npd_id in npd_ids for item in self._by_npd_id.get(npd_id, ())]
        matched = [item for key in keys for item in self._by_match.get(key, ())]
        return BatchItems({key: self.items[key] for key in linked if key in self.items}, named, matched)

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        listed = {key: self.items[key] for key in ids if key in self.items}
        return listed | super().items_by_id(board, [key for key in ids if key not in listed])

    def inspect(self, board: BoardContext, *_: Any) -> tuple[BoardContext, InspectedColumns]:
        # A draft's columns were just read, and those that are to be made aren't there.
        return board, InspectedColumns()

    def _answers(self, kind: Ask, facts: PassFacts, plan: Plan, values: Sequence[Any]) -> Mapping[Any, Any]:
        if kind is Ask.REMOVAL_POLICY:
            return {"": RemovedItemPolicy(facts.board.link.removed_item_policy)}
        found = super()._answers(kind, facts, plan, values)
        if kind is Ask.IDENTITY:
            owners = {str(record.monday_id): key for key, record in self.given.items()}
            return {key: replace(known, owners=owners | dict(known.owners)) for key, known in found.items()}
        return {"": tuple(map(self._as_given, found[""]))} if kind is Ask.UNMATCHED else found

    def _as_given(self, item: ItemFacts) -> ItemFacts:
        matching = tuple(self.given.get(record.pk, record) for record in item.matching)
        return replace(item, matching=matching, named=self.given.get(item.named.pk, item.named) if item.named else None)


@dataclass
class MatchResult:
    """How many records are in each group, with samples `[name, why]`, and what the merge would do with them.

    `to_monday`, `to_npd` and `conflicts` count records, `blocked` blocked fields; `near` are pairs that a person
    may confirm, each with `counts` and `samples` of its own, `unsure_of` gives by record the items that its name is
    like, where they are several, `free` are the items that would become records, `keyless` those of them that do so
    later, `told` those that a person is asked about, or that can't become records, and `names` what all of these are
    called. `concerned` are the records of which the filter would say something else than their last pass did.
    """

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[list[str]]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    near: list[dict[str, Any]] = field(default_factory=list)
    unsure_of: dict[str, list[str]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    keyless: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
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
    # Whether new items become records may be chosen after this: of those that do, the answer is known.
    board.link.creates_records = True
    comparison = _DraftComparison(board, draft.threshold, on_progress)
    if draft.board_id:
        comparison.list_items()
    comparison.plan_records()
    comparison.plan_items()
    comparison.match_names()
    return comparison.result


class _DraftComparison:
    def __init__(self, board: BoardContext, threshold: int, on_progress: CompareCallback) -> None:
        self.board, self.threshold, self.on_progress = board, threshold, on_progress
        self.result = MatchResult()
        self.listed = _ListedBoard(board)
        drafted = set(SetupDraft.objects.exclude(state=SetupState.DONE).values_list("entity_type", flat=True))
        # A board that is set up with this one gives its records their items in the same run.
        targets = [
            target for _, relation in board.relations if (target := target_of(relation)).entity_type() in drafted
        ]
        self.related = RelatedFacts({Want(WantKind.BOARD, target): True for target in targets})
        self.taken_items: set[str] = set()
        self.created: dict[str, str] = {}
        self.first_of_key: dict[str, SyncedModel] = {}
        self.unmatched: dict[str, str] = {}
        self.later: dict[str, str] = {}

    def list_items(self) -> None:
        columns = [column for column in self.board.columns if not column.startswith(NEW_COLUMN)]
        for items in item_pages(self.board.link, columns, self.board.types):
            for item in items:
                self.listed.add(_fill_new_columns(self.board, item))
            self.on_progress(0, len(self.listed.items))
        self.result.items = len(self.listed.items)

    def plan_records(self) -> None:
        """Count what passes over all records would do."""
        records = self.board.model._default_manager.exclude(unsynced()).order_by("created_at", "pk")
        ids = list(records.values_list("pk", flat=True))
        is_off = self.board.model._default_manager.filter(unsynced()).order_by("created_at", "pk")
        self.result.counts["sync_off"] = is_off.count()
        self.result.samples["sync_off"] = [[str(record)[:120], ""] for record in is_off[:SAMPLES_PER_OUTCOME]]
        for start in range(0, len(ids), CHUNK_SIZE):
            facts, plan = self._planned([Claim(key, None, []) for key in ids[start : start + CHUNK_SIZE]])
            for known in facts.claimed.records:
                was_out = known.ledger.note if known.record.may_sync and known.ledger.left_out else ""
                self._add_record(plan.records[known.id], was_out)
            self.on_progress(min(start + CHUNK_SIZE, len(ids)), len(ids))

    def plan_items(self) -> None:
        """Count what passes over the items would do that no record has, gets or is asked about."""
        left = [item_id for item_id in self.listed.items if item_id not in self.taken_items]
        for start in range(0, len(left), CHUNK_SIZE):
            kind, chunk = self.board.link.entity_type, left[start : start + CHUNK_SIZE]
            _, plan = self._planned([item_claim(kind, item_id) for item_id in chunk])
            for one in plan.items:
                self._add_item(one)

    def _planned(
        self, claims: Sequence[Claim], given: Mapping[UUID, SyncedModel] = MappingProxyType({})
    ) -> tuple[PassFacts, Plan]:
        """What a pass over these would find and do.

        `given` are records as they are once a person has linked them.
        """
        try:
            known = replace(claimed(self.board, claims, given), related=self.related)
            facts, plan = self.listed.gather(known)
        except Unread as unread:
            raise unread.error from unread
        self.listed.acts += planned_requests(plan)
        return facts, plan

    def _add_record(self, plan: RecordPlan, was_out: str) -> None:
        record, question = plan.record, plan.identity.question or {"candidates": []}
        self._add_filtered(plan, was_out)
        self.taken_items |= {str(record.monday_id), *(str(one["id"]) for one in question["candidates"])}
        if plan.left_out:
            return
        if record.monday_id and plan.item is None:
            self.result.add("missing", str(record))
        elif record.monday_id:
            self.result.counts["linked"] += not plan.leaving
            _add_changes(self.result, plan)
        elif plan.creates:
            self._add_created(plan)
        elif plan.link_to:
            self._add_link(plan)
        else:
            self.result.add("ambiguous", str(record), plan.reason or plan.ending.detail)

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

    def _add_link(self, plan: RecordPlan) -> None:
        assert plan.item is not None
        self.listed.given[plan.id] = given = copy(plan.record)
        given.monday_id = plan.item.id
        self.taken_items.add(plan.item.id)
        by_id = npd_id_of(self.board, plan.item) == str(plan.id)
        label = "NPD ID" if by_id else self.board.match_mapping.label if self.board.match_mapping else ""
        self.result.fields[f"by {'npd_id' if by_id else 'key'}"] += 1
        self.result.add("link", str(plan.record), f"“{plan.item.name}” · {label}")
        _add_changes(self.result, plan)

    def _add_created(self, plan: RecordPlan) -> None:
        if plan.is_open:
            # Of several with one key the first gets an item, and the others find that; here in chunks of their own.
            key = match_text_of_record(self.board, plan.record)
            if key and (first := self.first_of_key.setdefault(key, plan.record)) is not plan.record:
                self.result.add("ambiguous", str(plan.record), f"“{first}” has the same key, and gets an item first.")
                return
            self.created[str(plan.id)] = record_name(plan.record)
            self.result.add("create", str(plan.record))
            _add_stuck_fields(self.result, plan)
        # In this direction a record never gets an item.
        elif plan.record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            self.result.add("no_item", str(plan.record))
        else:
            self.result.add("invalid", str(plan.record), plan.reason)

    def _add_item(self, plan: ItemPlan) -> None:
        assert plan.facts.item is not None
        item, reason = plan.facts.item, plan.finding.reason if plan.finding else None
        if plan.act is ItemAct.ASK:
            self.result.add("items_asked", item.name, plan.detail)
        elif reason in (UnmatchedReason.LEFT_OUT, UnmatchedReason.INVALID):
            self.result.add("items_out", item.name, plan.detail)
        elif plan.act is ItemAct.CREATE or plan.outcome is Outcome.DEFERRED:
            self.unmatched[item.id] = item.name
            if plan.outcome is Outcome.DEFERRED and reason not in PASSING_REASONS:
                self.later[item.id] = plan.detail
        if reason in (UnmatchedReason.AMBIGUOUS, UnmatchedReason.INVALID):
            self.result.told.append(item.id)

    def match_names(self) -> None:
        """Offer similar names, of records that would be created and of unmatched items."""
        names = self.unmatched
        self.result.free, self.result.keyless = sorted(names), list(self.later)
        self.result.names = {key: self.listed.items[key].name[:200] for key in [*names, *self.result.told]}
        result = match_names(self.created, names, self.threshold, self.on_progress)
        pairs, beyond = result.pairs[:MAX_PAIRS], result.pairs[MAX_PAIRS:]
        self.result.near = [
            {"record": one.record, "name": self.created[one.record][:200], "item": item,
             "item_name": names[item][:200], "alike": score}
            for one in pairs
            for item, score in one.items[:1]
        ]  # fmt: skip
        self._plan_pairs()
        self._discard_created([pair.record for pair in pairs])
        for one in [*result.ambiguous, *beyond]:
            self.result.unsure_of[one.record] = [item for item, _score in one.items]
            options = " / ".join(f"“{names[item]}” ({score} %)" for item, score in one.items[:3])
            self.result.add("unsure", self.created[one.record], options)
        self._discard_created([one.record for one in [*result.ambiguous, *beyond]])
        like = {item for one in [*result.pairs, *result.ambiguous] for item, _score in one.items}
        for key, name in names.items():
            samples = self.result.samples.setdefault("no_key" if key in self.later else "from_items", [])
            if key not in like and len(samples) < SAMPLES_PER_OUTCOME:
                samples.append([name[:120], self.later.get(key, "")[:300]])

    def _plan_pairs(self) -> None:
        """Add to each pair what comes of it where a person says that both are the same."""
        for start in range(0, len(self.result.near), CHUNK_SIZE):
            pairs = {UUID(pair["record"]): pair for pair in self.result.near[start : start + CHUNK_SIZE]}
            linked = self.board.model._default_manager.in_bulk(list(pairs))
            for key, record in linked.items():
                record.monday_id = pairs[key]["item"]
            _, plan = self._planned([Claim(key, None, []) for key in linked], linked)
            for one in plan.records.values():
                _add_changes(result := MatchResult(), one)
                pairs[one.id] |= {"counts": result.counts, "samples": result.samples}

    def _discard_created(self, records: Iterable[str]) -> None:
        # They may already have an item, so a person is asked before they are created.
        names = Counter(self.created.pop(record) for record in records)
        self.result.counts["create"] -= names.total()
        self.result.samples["create"] = [[name, ""] for name in list(self.created.values())[:SAMPLES_PER_OUTCOME]]


def _add_stuck_fields(result: MatchResult, plan: RecordPlan) -> None:
    """Count the fields that can't be synced, and those that Monday will probably reject once they are sent."""
    for one in plan.plans.values():
        if one.blocked_reason and not one.is_left_out and not _goes_later(one):
            result.add("blocked", f"{plan.record}: {one.mapping.label}", one.blocked_reason)
        elif one.send_raw is not None and (risk := one.convert.rejection_risk(one.send_raw)):
            result.add("doubtful", str(plan.record), risk)


def _add_changes(result: MatchResult, plan: RecordPlan) -> None:
    """Count what a pass would do with both sides' values."""
    field_plans = list(plan.plans.values())
    _add_stuck_fields(result, plan)
    by_direction = {
        "to_monday": [p for p in field_plans if p.send_raw is not None or _goes_later(p)],
        "to_npd": [p for p in field_plans if p.write_raw is not None],
        "conflicts": [p for p in field_plans if p.conflict is not None],
    }
    for direction, moving in by_direction.items():
        if moving:
            result.add(direction, str(plan.record), ", ".join(p.mapping.label for p in moving))
        for one in moving:
            result.fields[f"{direction} {one.mapping.label}"] += 1
    kept = [p for key, p in plan.plans.items() if key not in plan.fields.dropped]
    if different := [field_plan.mapping.label for field_plan in kept if _stays_different(field_plan)]:
        result.add("different", str(plan.record), ", ".join(different))
    if any(by_direction.values()) or plan.fields.write_npd_id or plan.link_to:
        result.counts["looks_that_write"] += 1


def _goes_later(field_plan: FieldPlan) -> bool:
    """Whether it is a relation that is empty on Monday and sent once its record has got an item, in the same run."""
    with suppress(UnknownValue):
        waits = field_plan.blocked_code is BlockedCode.RELATION
        return waits and field_plan.convert.remote(field_plan.remote_raw) is None
    return False


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
