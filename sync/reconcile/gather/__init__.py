"""Gather: reads the facts of a pass, in three phases. It decides nothing and writes nothing in NPD.

First what NPD knows of the claimed records (`claimed`, in record_facts.py), then Monday's items, in one call, then the
records that these items name. This file has the phases, and every call by which a pass reads Monday. The queries of
NPD are in the other files, by subject; their number doesn't grow with the number of records.
"""

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import replace
from uuid import UUID

from sync import choices
from sync.boards import board_columns
from sync.kernel import grouped
from sync.limits import call_cost, connector
from sync.models import ApprovalRequest
from sync.monday.board_items import BatchItems, ColumnSearch, Item
from sync.monday.errors import MondayError, Scope
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import match_key
from sync.reconcile import field_values, identity, pass_plan, removed_items, sides
from sync.reconcile.decide import AFTER_READING, BEFORE_READING, decide
from sync.reconcile.facts import ItemFacts, Pair, RecordFacts
from sync.reconcile.gather import owners, pointed_at, record_facts
from sync.registry import link_of

# Pages read beyond the first; a match key with more items than that is useless.
MAX_PAGES = 20

# An id that no item of a board has.
NO_ITEM = "1"


class Gatherer:
    """Reads for one pass; `calls` counts its calls to Monday, `read_request` is the id of the call that read the items.

    `foreseen` are the counted acts and the requests for approval of earlier passes of a dry run.
    """

    def __init__(self, foreseen: Sequence[ApprovalRequest] = ()) -> None:
        self.foreseen = foreseen
        self.calls = 0
        self.read_request = ""

    def gather(self, facts: pass_plan.PassFacts) -> tuple[pass_plan.PassFacts, pass_plan.Plan]:
        """Return the complete facts and the plan.

        If Monday can't be read, `facts.error` says so and the plan has only the rules before reading.
        """
        plan = decide(facts, rules=BEFORE_READING)
        try:
            facts = self.read_items(facts, plan)
            facts = self.read_references(facts, plan)
        except MondayError as error:
            return self._unread(facts, error), plan
        return facts, decide(facts, plan, AFTER_READING)

    def _unread(self, facts: pass_plan.PassFacts, error: MondayError) -> pass_plan.PassFacts:
        """Record the error; if it is about a column, check which columns are newly broken."""
        unread = replace(facts, error=error)
        if error.scope is not Scope.COLUMN:
            return unread
        try:
            board, columns = self.inspect(facts.board, (), ())
        except MondayError:
            return unread
        is_new = _column_problems(board) - _column_problems(facts.board)
        return replace(unread, board=board, items=BatchItems(), columns=columns) if is_new else unread

    def probe_refusal(self, board: field_values.BoardContext) -> MondayError | None:
        """Read no real item; return the error if Monday refuses even that."""
        try:
            self.board_items(board, [NO_ITEM], [str(UUID(int=0))], [])
        except MondayError as error:
            return error if error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD) else None
        return None

    def read_items(self, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.PassFacts:
        """Read the items of everything still open, in one call: by item id, or by NPD ID and match key.

        If a column is missing from all items, inspect the board too.
        """
        board = facts.board
        unlinked = [record.record for record in plan.open_records if not record.record.monday_id]
        linked = [record.record.monday_id for record in plan.open_records if record.record.monday_id]
        linked += [claim.remote_id for claim in facts.item_claims if claim.remote_id]
        linked += [str(deleted.facts.tombstone.monday_id) for deleted in plan.open_deleted]
        # Items that a person marked as copies.
        answers = [answer for record in plan.open_records for answer in identity.answers_of(record.facts)]
        linked += [answer.item_id for answer in answers if answer.kind is pass_plan.AnswerKind.COPY]
        if not (linked or unlinked):
            return facts
        texts = {text for record in unlinked for text in field_values.searched_texts(board, record)}
        npd_ids = [str(record.pk) for record in unlinked]
        linked = list(dict.fromkeys(linked))
        items = self.board_items(board, linked, npd_ids, sorted(texts))
        facts = replace(facts, items=items)
        missing, healed = sides.column_findings(board, [*items.linked.values(), *items.by_npd_id, *items.by_match])
        if not (missing or healed):
            return facts
        board, columns = self.inspect(board, missing, healed)
        return replace(facts, board=board, columns=columns)

    def read_references(self, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.PassFacts:
        """Add what NPD knows about the items that were read, and about the records that they name."""
        if not (plan.open_records or plan.open_deleted or facts.item_claims):
            return facts
        board = facts.board
        linked = facts.items.linked
        open_records = [record.facts for record in plan.open_records]
        pairs = _pairs(facts, open_records)
        changed = [(record, item) for record, item in pairs if not sides.is_resting(board, record, item)]
        with_items = [(record, record.record.monday_id) for record in open_records if record.record.monday_id]
        linked_records = [replace(record, item=linked.get(item_id)) for record, item_id in with_items]
        gone = [record for record in linked_records if removed_items.removed_state(board, record)]
        open_deleted = [replace(record.facts, item=linked.get(record.item_id)) for record in plan.open_deleted]
        deleted = owners.with_bearers(board, open_deleted) if open_deleted else []
        shown_deleted = {record.id: record for record in deleted}
        facts = replace(
            facts,
            deleted=tuple(shown_deleted.get(record.id, record) for record in facts.deleted),
            identity=owners.whose_items(facts, open_records, pairs),
            unmatched=tuple(self.unmatched(facts)) if facts.item_claims else (),
            removals=owners.removal_facts(facts, gone) if gone else {},
            histories=record_facts.longer_histories(board, changed),
        )
        facts = replace(facts, approvals=owners.known_approvals(facts, changed, deleted, self.foreseen))
        if not board.relations:
            return facts
        removed = self.items_off_board(board, pointed_at.emptied_cells(board, changed))
        return pointed_at.with_related(facts, plan, changed, [*gone, *deleted], removed)

    # Monday's side.

    def board_items(
        self, board: field_values.BoardContext, linked: Sequence[str], npd_ids: Sequence[str], texts: Sequence[str]
    ) -> BatchItems:
        """Read all items that a pass needs in one call, and the further pages: an incomplete list would look like few
        matches.

        Monday matches exact text only. Items known to be unmatched, and those already read, are compared by match key
        here.
        """
        searches = {"by_npd_id": ColumnSearch(board.link.npd_id_column, "text", npd_ids)}
        if match := board.match_mapping:
            searches["by_match"] = ColumnSearch(match.column_id, board.converter(match).column_type, texts)
        keys = {match_key(text) for text in texts}
        size = len(linked) + len(npd_ids)
        linked = [*linked, *owners.items_with_keys(board, keys)[: max(ITEMS_PER_READ - len(linked), 0)]]
        self.calls += 1
        with call_cost(board.link, size):
            result = connector().read_batch(
                board.link.board_id, [str(item_id) for item_id in linked], searches, board.columns, board.types
            )
        self.read_request = result.request_id
        items = self._with_further_pages(board, result)
        matched = {item.id for item in items.by_match}
        alike = [item for item in items.linked.values() if field_values.match_text_of_item(board, item) in keys]
        alike = [item for item in alike if item.id not in matched and field_values.is_active_on(board, item)]
        return replace(items, by_match=[*items.by_match, *alike])

    def _with_further_pages(self, board: field_values.BoardContext, result: BatchItems) -> BatchItems:
        parts = {"by_npd_id": list(result.by_npd_id), "by_match": list(result.by_match)}
        for part, first in result.cursors.items():
            cursor: str | None = first
            for _ in range(MAX_PAGES):
                if cursor is None:
                    break
                self.calls += 1
                with call_cost(board.link, 0):
                    page, cursor = connector().next_page(cursor, board.columns, board.types)
                parts[part] += page
        return BatchItems(linked=result.linked, by_npd_id=parts["by_npd_id"], by_match=parts["by_match"])

    def items_by_id(self, board: field_values.BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        """Return those of these items that Monday shows, in whatever state; raises MondayError."""
        shown: dict[str, Item] = {}
        for start in range(0, len(ids), ITEMS_PER_READ):
            batch = ids[start : start + ITEMS_PER_READ]
            self.calls += 1
            with call_cost(board.link, len(batch)):
                items = connector().read_items(batch, board.columns, board.types)
            shown |= {item.id: item for item in items}
        return shown

    def items_off_board(self, board: field_values.BoardContext, emptied: pointed_at.EmptiedCells) -> set[str]:
        """Return which of the named items are not on their boards: an item that leaves empties the cells that name it.

        Costs a call if neither a pass nor a webhook has reported it.
        """
        removed = set[str]()
        for model, cells in grouped(emptied, lambda cell: cell[0]).items():
            items = {named_item for _, named_item, _ in cells}
            reported = pointed_at.items_reported_removed(model, items)
            unsure = sorted(items - reported)
            shown = self.items_by_id(board, unsure) if unsure else {}
            link = link_of(model.entity_type()) if unsure else None
            home = link.board_id if link else None
            here = {
                item.id
                for item in shown.values()
                if item.state == field_values.ACTIVE and item.board_id in (None, home)
            }
            removed |= items - here
        return removed

    def unmatched(self, facts: pass_plan.PassFacts) -> Sequence[ItemFacts]:
        """Return what NPD knows about the claimed items that no record has.

        Costs a call if an item may take the place of one that wasn't read.
        """
        unmatched = pointed_at.with_first_records(facts, pointed_at.unmatched_facts(facts))
        originals = {item.original_item_id for item in unmatched if item.original_item_id}
        unread = sorted(originals - facts.items.linked.keys())
        read_items = self.items_by_id(facts.board, unread) if unread else {}
        return pointed_at.with_copy_history(facts.board, unmatched, {**facts.items.linked, **read_items})

    def inspect(
        self, board: field_values.BoardContext, missing: Collection[str], healed: Collection[str]
    ) -> tuple[field_values.BoardContext, board_columns.InspectedColumns]:
        """Return the board with the present problems of its columns; read it unless columns only healed."""
        link = board.link
        mappings = [copy(mapping) for mapping in board.mappings]
        shown = None
        for mapping in mappings:
            if mapping.key in healed:
                mapping.problem = mapping.problem_code = ""
        if missing or not healed:
            self.calls += 1
            shown = board_columns.read_board(link)
        if shown is not None:
            problems = board_columns.column_problems(link, mappings, shown)
            for mapping, (code, problem) in zip(mappings, problems, strict=True):
                mapping.problem = problem
                mapping.problem_code = code or ""
            link = copy(link)
            link.npd_id_problem = board_columns.npd_id_problem(link, shown)
        hidden = [mapping for mapping in mappings if mapping.key in missing and not mapping.problem]
        for mapping in hidden:
            mapping.problem = board_columns.hidden_problem(link, mapping)
            mapping.problem_code = choices.ColumnProblem.HIDDEN
        inspected = board_columns.InspectedColumns(shown, tuple(mapping.key for mapping in hidden), tuple(healed))
        return replace(board, link=link, mappings=mappings), inspected


def items_with_npd_ids(board: field_values.BoardContext, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items with these NPD IDs, by NPD ID; None if an NPD ID can't be read. Raises MondayError."""
    items: dict[str, Item] = {}
    # Failed batches are not split: one look-up of a hundred items would become a hundred calls.
    for start in range(0, len(ids), ITEMS_PER_READ):
        batch = ids[start : start + ITEMS_PER_READ]
        with call_cost(board.link, len(batch)):
            search = ColumnSearch(board.link.npd_id_column, "text", batch)
            result = connector().read_batch(board.link.board_id, [], {"by_npd_id": search}, board.columns, board.types)
        for item in result.by_npd_id:
            npd_id = field_values.npd_id_of(board, item)
            if npd_id is None:
                return None
            if npd_id in batch:
                items.setdefault(npd_id, item)
    return items


def _column_problems(board: field_values.BoardContext) -> set[str]:
    keys = {mapping.key for mapping in board.mappings if mapping.problem}
    return keys | ({"npd_id"} if board.link.npd_id_problem else set())


def _pairs(facts: pass_plan.PassFacts, records: Sequence[RecordFacts]) -> list[Pair]:
    board = facts.board
    linked = facts.items.linked
    named = identity.items_by_npd_id(board, facts.items)
    keyed = identity.items_by_match_key(board, facts.items)
    pairs: list[Pair] = []
    for record in records:
        hits = [linked.get(record.record.monday_id or "")]
        if not record.record.monday_id:
            key = field_values.match_text_of_record(board, record.record)
            hits += named.get(str(record.id), ())
            hits += keyed.get(key, ()) if key else ()
        pairs += [(replace(record, item=item), item) for item in hits if item is not None]
    return pairs
