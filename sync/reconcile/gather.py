"""Gather: reads what is so, and on, until no rule lacks anything. It decides nothing and writes nothing in NPD."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog

from sync import connectors
from sync.boards import board_columns
from sync.choices import ColumnProblem, QueueDirection
from sync.clock import sync_now
from sync.connectors.base.board_items import BatchItems, Item, MatchColumn
from sync.connectors.base.errors import ColumnRejected, ConnectorError
from sync.limits import board_costs, call_cost, connector, monday_account
from sync.models import ApprovalRequest, Intent, SyncedModel
from sync.outbox.claim import Claim
from sync.outbox.pauses import pauses_by_direction
from sync.reconcile import queries
from sync.reconcile.decide import RULES, first_plan
from sync.reconcile.field_values import ACTIVE, BoardContext, Lacking, RelatedFacts, Want, WantKind, npd_id_of
from sync.reconcile.lookups import item_names, known_related, read_edits, read_related, related_wants
from sync.reconcile.new_items import item_context
from sync.reconcile.pass_plan import Ask, PassFacts, Plan, PlanRule, Unread
from sync.reconcile.sides import InspectedColumns
from sync.reconcile.unconfirmed_writes import UnconfirmedCreates
from sync.records.approvals import ApprovalFacts, known_requests, with_counts
from sync.records.authors import monday_users

MAX_PAGES = 20
"""Further pages that a pass follows; a match key that more items than this hold is no key."""

log = structlog.get_logger(__name__)


def claimed(
    board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
) -> PassFacts:
    """Read what NPD knows of what was claimed.

    `planned` are what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """
    known = queries.claimed_facts(board, claims, planned)
    pauses = pauses_by_direction(board.link.entity_type)
    return PassFacts(board, known, sync_now(), queries.load_settings(), pauses)


class Gatherer:
    """Reads for one pass; `calls` counts those to Monday, `read_request` is the id of the one that read the items.

    `foreseen` are acts that earlier passes of a dry run would have counted, or asked to be approved.
    """

    def __init__(self, foreseen: Sequence[ApprovalRequest] = ()) -> None:
        self.foreseen = foreseen
        self.calls = 0
        self.read_request = ""

    def gather(self, facts: PassFacts, rules: Iterable[PlanRule] = RULES) -> tuple[PassFacts, Plan]:
        """Read on until nothing is wanted; return what is so, and what the rules decide by it. Raises Unread."""
        plan = first_plan(facts)
        for rule in rules:
            facts, plan = self.follow(rule, facts, plan)
        return facts, plan

    def follow(self, rule: PlanRule, facts: PassFacts, plan: Plan) -> tuple[PassFacts, Plan]:
        """Return what one rule makes of the plan, once all that it lacks is read; raises Unread."""
        while True:
            try:
                return facts, rule(facts, plan)
            except Lacking as lacking:
                wants = lacking.wants
            try:
                facts = self._read(facts, plan, wants)
            except ConnectorError as error:
                raise Unread(facts, plan, error) from error

    def missing_columns(self, facts: PassFacts, error: ConnectorError) -> tuple[PassFacts, InspectedColumns] | None:
        """Return what is known of the columns once a read failed because one is gone that was not known to be.

        None where that isn't why it failed. Costs one call, the first time only.
        """
        if not isinstance(error, ColumnRejected):
            return None
        try:
            board, found = self.inspect(facts.board, (), ())
        except ConnectorError:
            return None
        is_new = _column_problems(board) - _column_problems(facts.board)
        return (replace(facts, board=board), found) if is_new else None

    def _read(self, facts: PassFacts, plan: Plan, wants: Collection[Want]) -> PassFacts:
        by_kind: dict[Any, list[Any]] = {}
        for want in wants:
            by_kind.setdefault(want.kind, []).append(want.value)
        known: dict[Want, Any] = {}
        for kind, values in by_kind.items():
            if isinstance(kind, WantKind):
                continue
            if kind is Ask.COLUMNS:
                board, found = self.inspect(facts.board, *values[0])
                facts, known = replace(facts, board=board), known | {Want(kind, None, values[0]): found}
            elif kind is Ask.RELATED:
                facts, known = _with_related(facts, plan), known | {Want(kind, None, values[0]): True}
            else:
                found_values = _READERS[kind](self, facts, plan, values)
                known |= {Want(kind, None, value): found_values.get(value) for value in values}
        return _with_lacking(replace(facts, known={**facts.known, **known}), plan, wants)

    # Monday's side.

    def board_items(
        self, board: BoardContext, linked: Sequence[str], npd_ids: Sequence[str], keys: Sequence[str], size: int
    ) -> BatchItems:
        """Ask Monday once for everything that a pass needs; where a part has more pages, they are read too: a part of
        the hits would look like few hits.
        """
        match = board.match_mapping
        self.calls += 1
        with call_cost(board.link, size + len(npd_ids)):
            result = connector(board.link.system).read_batch(
                board.link.board_id,
                [str(item_id) for item_id in linked],
                board.columns,
                board.link.npd_id_column,
                list(npd_ids),
                MatchColumn(match.column_id, board.converter(match).column_type) if match else None,
                list(keys),
                board.types,
            )
        self.read_request = result.request_id
        return self._with_further_pages(board, result)

    def _with_further_pages(self, board: BoardContext, result: BatchItems) -> BatchItems:
        found = {"by_npd_id": result.by_npd_id, "by_match": result.by_match}
        for part, first in result.cursors.items():
            cursor: str | None = first
            for _ in range(MAX_PAGES):
                if cursor is None:
                    break
                self.calls += 1
                with call_cost(board.link, 0):
                    page = connector(board.link.system).next_page(cursor, board.columns, board.types)
                found[part] = [*found[part], *page.items]
                cursor = page.cursor
        return BatchItems(linked=result.linked, by_npd_id=found["by_npd_id"], by_match=found["by_match"])

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        """Return these items, whatever became of them, as far as Monday shows them; raises ConnectorError."""
        found: dict[str, Item] = {}
        size = connectors.get(board.link.system).items_per_read
        for start in range(0, len(ids), size):
            asked_ids = ids[start : start + size]
            self.calls += 1
            with call_cost(board.link, len(asked_ids)):
                items = connector(board.link.system).read_items(asked_ids, board.columns, board.types)
            found |= {item.id: item for item in items}
        return found

    def _unmatched(self, facts: PassFacts, plan: Plan, _: Sequence[Any]) -> dict[Any, Any]:
        """Costs a call where an item may take the place of one that wasn't read."""
        items = queries.item_facts(item_context(facts, plan), facts.claimed.unmatched, facts.found)
        firsts = {item.id: item for item in facts.found.linked.values()}
        missing = sorted({first for item in items if (first := item.first_item_id)} - set(firsts))
        firsts |= self.items_by_id(facts.board, missing)
        return {"": tuple(replace(item, first_item=firsts.get(item.first_item_id)) for item in items)}

    def _copies(self, facts: PassFacts, _: Plan, values: Sequence[Any]) -> dict[Any, Any]:
        """Where they can't be read, the rest of the pass goes on."""
        try:
            items = self.items_by_id(facts.board, list(values[0]))
        except ConnectorError as error:
            log.warning("copies not read", reason=error.sentence)
            return {values[0]: error}
        # It may belong to a record by now; an answer about a duplicate is not one about that record's item.
        active = [item.id for item in items.values() if item.state == ACTIVE]
        owners = queries.owners_of(facts.board.link.entity_type, active)
        return {values[0]: {key: (item, str(owners.get(key) or "")) for key, item in items.items()}}

    def inspect(
        self, board: BoardContext, missing: Collection[str], healed: Collection[str]
    ) -> tuple[BoardContext, InspectedColumns]:
        """Return the board with what is wrong with its columns now; it is read, but where something only healed."""
        link, mappings, shown = board.link, [copy(mapping) for mapping in board.mappings], None
        for mapping in mappings:
            if mapping.key in healed:
                mapping.problem = mapping.problem_code = ""
        if missing or not healed:
            self.calls += 1
            shown = board_columns.read_board(link)
        if shown is not None:
            problems = board_columns.column_problems(link, mappings, shown)
            for mapping, (code, problem) in zip(mappings, problems, strict=True):
                mapping.problem, mapping.problem_code = problem, code or ""
            link = copy(link)
            link.npd_id_problem = board_columns.npd_id_problem(link, shown)
        hidden = [mapping for mapping in mappings if mapping.key in missing and not mapping.problem]
        for mapping in hidden:
            mapping.problem, mapping.problem_code = (board_columns.hidden_problem(link, mapping), ColumnProblem.HIDDEN)
        inspected = InspectedColumns(shown, tuple(mapping.key for mapping in hidden), tuple(healed))
        return replace(board, link=link, mappings=mappings), inspected


def items_with_npd_ids(board: BoardContext, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items that bear these NPD IDs, by NPD ID; None where one can't be read. Raises ConnectorError."""
    found: dict[str, Item] = {}
    size = min(connectors.get(board.link.system).items_per_read, board_costs(board.link.pk).size)
    for start in range(0, len(ids), size):
        asked_ids = ids[start : start + size]
        with call_cost(board.link, len(asked_ids)):
            result = connector(board.link.system).read_batch(
                board.link.board_id, [], board.columns, board.link.npd_id_column, asked_ids, types=board.types
            )
        for item in result.by_npd_id:
            npd_id = npd_id_of(board, item)
            if npd_id is None:
                return None
            if npd_id in asked_ids:
                found.setdefault(npd_id, item)
    return found


def look_for_created(board: BoardContext, intents: Sequence[Intent]) -> UnconfirmedCreates:
    """Look for what a document without an answer has made; raises ConnectorError."""
    is_paused = QueueDirection.TO_MONDAY in pauses_by_direction(board.link.entity_type)
    items = items_with_npd_ids(board, [str(intent.entity_id) for intent in intents])
    return queries.unconfirmed_facts(board, intents, items, is_paused=is_paused)


def _column_problems(board: BoardContext) -> set[str]:
    found = {mapping.key for mapping in board.mappings if mapping.problem}
    return found | ({"npd_id"} if board.link.npd_id_problem else set())


# Related records and edits, which the decision on fields asks for.


def _with_related(facts: PassFacts, plan: Plan) -> PassFacts:
    """Add the records that relations name on Monday; items are shown by their names from then on."""
    board, open_records = facts.board, plan.open_records
    read = [(one.record, one.item) for one in open_records if one.item is not None]
    found = facts.found.linked
    read += [(board.model(), item) for c in facts.claimed.unmatched if (item := found.get(c.remote_id or ""))]
    wants = {want for record, item in read for want in related_wants(board, record, item)}
    known = {**facts.related.records, **known_related(board, [one.record for one in open_records])}
    related = read_related(wants - known.keys(), RelatedFacts(known, facts.related.answers))
    board.directory.items.update(item_names(board, related, [one.facts for one in open_records]))
    return replace(facts, related=related)


def _with_lacking(facts: PassFacts, plan: Plan, wants: Collection[Want]) -> PassFacts:
    lacking = [want for want in wants if isinstance(want.kind, WantKind)]
    if not lacking:
        return facts
    edited = {want.value for want in lacking if want.kind is WantKind.EDITS}
    records = {key: plan.records[key].record for key in edited}
    edits = read_edits(facts.board, records, facts.edits) if records else facts.edits
    return replace(facts, related=read_related(lacking, facts.related), edits=edits)


# Who reads what a rule asks for, for all values together. What isn't in the answer is None.


def _answers(_: Gatherer, facts: PassFacts, __: Plan, values: Sequence[Any]) -> dict[Any, Any]:
    return {value: queries.answer_facts(facts.board, *value, locks=False) for value in values}


def _removals(_: Gatherer, facts: PassFacts, plan: Plan, values: Sequence[Any]) -> dict[Any, Any]:
    by_id = {value[0]: value for value in values}
    removed = [(plan.records[key].facts, value[1]) for key, value in by_id.items()]
    found = queries.removal_facts(facts.board, removed, values[0][2], facts.settings.loop_times)
    return {by_id[one.record.id]: one for one in found}


def _removal_policy(_: Gatherer, facts: PassFacts, __: Plan, ___: Sequence[Any]) -> dict[Any, Any]:
    # As it is now, and not as it was when the board was taken: a run may last for minutes.
    link = facts.board.link
    link.removed_item_policy = policy = queries.current_removal_policy(link)
    return {"": policy}


def _editors(_: Gatherer, facts: PassFacts, plan: Plan, values: Sequence[Any]) -> dict[Any, Any]:
    return queries.editors_of(facts.board, [plan.deleted[key].facts for key in values])


def _limits(self: Gatherer, facts: PassFacts, _: Plan, values: Sequence[Any]) -> dict[Any, Any]:
    return {kinds: with_counts(ApprovalFacts(), facts.board.link, kinds, self.foreseen) for kinds in values}


def _approvals(self: Gatherer, facts: PassFacts, _: Plan, values: Sequence[Any]) -> dict[Any, Any]:
    return {(kinds, ids): known_requests(facts.board.link, kinds, ids, self.foreseen) for kinds, ids in values}


def _item_ids(plan: Plan, values: Sequence[UUID]) -> dict[UUID, str]:
    return {key: item.id for key in values if (item := plan.records[key].item)}


_Reader = Callable[[Gatherer, PassFacts, Plan, Sequence[Any]], Mapping[Any, Any]]

_READERS: dict[Ask, _Reader] = {
    Ask.ANSWERS: _answers,
    Ask.EVENTS_AND_WRITES: lambda _, facts, plan, ids: queries.events_and_writes(
        facts.board, [plan.records[key].facts for key in ids]
    ),
    Ask.ITEMS: lambda self, facts, _, values: {one: self.board_items(facts.board, *one) for one in values},
    Ask.IDENTITY: lambda _, facts, __, values: {one: queries.identity_facts(facts.board, *one) for one in values},
    Ask.UNEDITED: lambda _, facts, __, ids: queries.unedited_from_items(facts.board, ids),
    Ask.ITEM: lambda self, facts, _, ids: self.items_by_id(facts.board, ids),
    Ask.ITEM_AGAIN: lambda self, facts, _, ids: self.items_by_id(facts.board, ids),
    Ask.LOST_CREATES: lambda _, facts, __, values: {ids: queries.lost_creates(facts.board, ids) for ids in values},
    Ask.REMOVAL_POLICY: _removal_policy,
    Ask.REMOVAL: _removals,
    Ask.OBSTACLES: lambda _, __, plan, ids: {key: queries.deletion_obstacles(plan.records[key].record) for key in ids},
    Ask.APPROVALS: _approvals,
    Ask.LIMIT: _limits,
    Ask.SETTLED_WRITES: lambda _, __, ___, ids: queries.settled_writes(ids),
    Ask.RECENT_EVENTS: lambda _, facts, plan, ids: queries.recent_events(
        facts.board, {key: plan.records[key].record.monday_id or "" for key in ids}
    ),
    Ask.ENDED_CREATES: lambda _, __, ___, ids: {**dict.fromkeys(ids, ()), **_tuples(queries.ended_creates(ids))},
    Ask.CHANGES: lambda _, __, ___, ids: {**dict.fromkeys(ids, ()), **_tuples(queries.changes_of(ids))},
    Ask.MAKER: lambda _, facts, plan, ids: queries.makers_of(facts.board, _item_ids(plan, ids)),
    Ask.UNMATCHED: Gatherer._unmatched,
    Ask.DELETION_POLICY: lambda _, facts, __, ___: {"": queries.current_deletion_policy(facts.board.link)},
    Ask.BEARER: lambda _, facts, __, ids: facts.board.model._default_manager.in_bulk(list(set(ids))),
    Ask.EDITORS: _editors,
    Ask.SAME_KEY: lambda _, facts, __, keys: {
        **dict.fromkeys(keys, ()),
        **queries.records_by_match_key(facts.board, keys),
    },
    Ask.UNTOUCHED: lambda _, facts, __, ids: dict.fromkeys(queries.unedited_records(facts.board.model, ids), True),
    Ask.LOOPS: lambda _, facts, __, ids: {
        **{key: {} for key in ids},
        **queries.write_loops(facts.board.link.entity_type, ids),
    },
    Ask.LAST_WRITES: lambda _, __, ___, ids: queries.last_writes(ids),
    Ask.PEOPLE: lambda *_: {"": monday_users()},
    Ask.COPIES: Gatherer._copies,
    Ask.COPY_HISTORY: lambda _, __, ___, ids: queries.copy_history(ids),
    Ask.CREATOR: lambda _, __, ___, ids: queries.creators_of(ids),
    Ask.WRITER: lambda *_: {"": monday_account().user_id},
}


def _tuples(found: Mapping[Any, Sequence[Any]]) -> dict[Any, tuple[Any, ...]]:
    return {key: tuple(values) for key, values in found.items()}
