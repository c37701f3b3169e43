"""Reads the facts of a pass, in two steps.

First `Gatherer.read_claims` reads what NPD knows about the claimed records (record_facts.py). Then `Gatherer.gather`
reads the items of those that no rule has ended, and the records that these items name. It makes all calls of this step:
one, and more for further pages of matches, hidden or removed related items, and columns. The other modules query NPD;
their number of queries grows with the number of records only where one may be deleted: what points at it is looked for
each time.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from sync import choices
from sync.boards import board_columns
from sync.fields import field_bases, field_values
from sync.fields.field_values import BoardContext
from sync.fields.lookups import link_of
from sync.limits.metered_client import client, meter_board_calls
from sync.models import ApprovalRequest, SyncedModel, SyncMetadata
from sync.monday.board_items import DELETED, NAME_COLUMN, BatchItems, ColumnSearch, Item
from sync.monday.connector import MondayConnector, PageProgress
from sync.monday.errors import MondayError, Scope
from sync.monday.item_documents import ITEMS_PER_READ
from sync.monday.text_forms import match_key
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.facts import ItemFacts, PassFacts
from sync.reconcile.gather import item_facts
from sync.reconcile.gather.record_facts import add_npd_edits, add_related, read_facts, with_originals
from sync.reconcile.missing import removed_items
from sync.records.item_links import unlinked_items
from sync.registry import target_of
from sync.words.message import Message

# At most so many pages are read after the first; a match key that more items share identifies nothing.
MAX_PAGES = 20

# An id that no item has.
NO_ITEM = "1"


class Gatherer:
    """Reads the facts of passes from NPD and Monday; for whole boards a listing does so."""

    def __init__(self) -> None:
        self._client = client()
        self._calls_before = self._client.calls  # a shared client's
        self.connector = MondayConnector(self._client)  # by which the pass writes, too
        # Of the last pass: the call that read its items, what was inspected of the board, and why it couldn't be read.
        self.request_id = ""
        self.inspected: board_columns.InspectedColumns | None = None
        self.error: MondayError | None = None
        # Requests for approval that earlier passes of a dry run would have stored.
        self.planned_requests: Sequence[ApprovalRequest] = ()

    @property
    def calls(self) -> int:
        """How many requests its connector has sent."""
        return self._client.calls - self._calls_before

    # --- the two steps ------------------------------------------------------------------------------------------------

    def read_claims(
        self, board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
    ) -> PassFacts:
        """Read what NPD knows about the claims; `planned` as `read_facts` takes it."""
        return read_facts(board, claims, planned)

    def gather(self, facts: PassFacts, plan: pass_plan.Plan) -> None:
        """Add the items of everything that is open in the plan, and what these items name.

        If Monday can't be read, `error` is set.
        """
        self.inspected = None
        self.error = None
        try:
            self.read_items(facts, plan)
            self.read_about_items(facts, plan)
        except MondayError as error:
            self.error = error
            if error.scope is Scope.COLUMN:
                # Other columns may be broken too, so all are read.
                with suppress(MondayError):
                    board, inspected = self.inspect_columns(facts.board, (), ())
                    if _column_problems(board) - _column_problems(facts.board):
                        facts.board = board
                        self.inspected = inspected

    def read_items(self, facts: PassFacts, plan: pass_plan.Plan) -> None:
        """Read the items of everything still open, in one call: by item id, or by NPD ID and match key.

        If a column is missing from all items or has another type, or is there again, inspect the board too.
        """
        board = facts.board
        records = [record_plan.record for record_plan in plan.open_records]
        without_item = [record for record in records if not record.monday_id]
        item_ids = [record.monday_id for record in records if record.monday_id]
        item_ids += [claim.remote_id for claim in facts.item_claims if claim.remote_id]
        item_ids += [str(deleted.facts.tombstone.monday_id) for deleted in plan.open_deleted]
        if not (item_ids or without_item):
            return
        # An item that nobody has edited since it was unlinked is linked again without a question.
        former_items = (
            unlinked_items(board.link.entity_type, [record.pk for record in without_item]) if without_item else {}
        )
        item_ids += [former.item_id for former in former_items.values()]
        texts = {text for record in without_item for text in field_values.searched_texts(board, record)}
        npd_ids = [str(record.pk) for record in without_item]
        names = {field_values.name_key_of_record(board, record) for record in without_item} - {""}
        items = self.find_items(board, list(dict.fromkeys(item_ids)), npd_ids, sorted(texts), sorted(names))
        # What is on another board by now, such as the one that was left, is nobody's item here.
        elsewhere = {key for key, item in items.by_id.items() if item.board_id not in (None, board.link.board_id)}
        for key, former in former_items.items():
            plan.records[key].facts.former_item = former if former.item_id not in elsewhere else None
        facts.items = items
        suspect, healed = column_findings(board, [*items.by_id.values(), *items.by_npd_id, *items.by_match])
        if suspect or healed:
            facts.board, self.inspected = self.inspect_columns(board, suspect, healed)

    def read_about_items(self, facts: PassFacts, plan: pass_plan.Plan) -> None:
        """Add what NPD knows about the items, and about the records that they name."""
        if not (plan.open_records or plan.open_deleted or facts.item_claims):
            return
        self.add_hidden_items(facts)
        board = facts.board
        # The plans of records, each with an item to compare it with. Most records rest: nothing more is read for them.
        with_items = _plans_with_items(facts, plan.open_records)
        changed = [record_plan for record_plan in with_items if not record_plan.is_resting(board)]
        removed = _plans_with_removed_items(facts, plan.open_records)
        deleted = [deleted.compared_with(facts.items.by_id.get(deleted.item_id)) for deleted in plan.open_deleted]
        compared = [*changed, *removed, *deleted]
        # All stored events, not only the last day's, about these items and those without a record.
        item_ids = {entity_plan.item_id or entity_plan.record.monday_id for entity_plan in compared}
        item_ids |= {item.id for item in facts.items.by_match} | {claim.remote_id for claim in facts.item_claims}
        facts.events = item_facts.stored_events(board, set(filter(None, item_ids)))
        if removed:
            item_facts.add_removals(facts, removed)
        if deleted:
            item_facts.add_named_records(board, deleted)
        add_npd_edits(board, changed)
        item_facts.add_identities(facts, plan.open_records, with_items)
        if facts.item_claims:
            facts.unmatched = self.read_unmatched(facts)
        if compared:
            facts.unreported_records = item_facts.unreported_records(board.link.entity_type)
        facts.approvals = item_facts.approval_facts(facts, compared, self.planned_requests)
        if board.relations:
            # A cell that a removed item has emptied is no edit: its field is blocked, and the filter, which a deleted
            # record's item may have to pass, ignores it.
            filtered = [*changed, *(deleted if board.sync_filter.items else ())]
            expected = [named for entity_plan in filtered for named in _items_of_emptied(board, entity_plan)]
            facts.removed_related_items = self.items_off_board(board, dict(expected))
            add_related(facts, plan, compared)

    def add_hidden_items(self, facts: PassFacts) -> None:
        """Add which connected items people don't see, if a cell has several and NPD holds one; this takes a call.

        A deleted item is left out of the value. An archived one, or one that isn't shown, is left out only if no base
        names it, because it may come back.
        """
        board = facts.board
        items = (*facts.items.by_id.values(), *facts.items.by_npd_id, *facts.items.by_match)
        hidden: dict[str, str] = {}
        for mapping, relation in board.relations:
            cells = {item.id: item.reading(mapping.column_id).extra.get("linked_item_ids") or () for item in items}
            crowded = {item_id: related_ids for item_id, related_ids in cells.items() if len(related_ids) > 1}
            if not crowded:
                continue
            bases = [record_facts.sync_state.base.get(mapping.key) for record_facts in facts.records]
            in_bases = {item_id for base in bases if base for item_id in (base["remote"] or {}).get("item_ids", ())}
            named = sorted({str(item_id) for related_ids in crowded.values() for item_id in related_ids})
            related = self.related_items(target_of(relation).entity_type(), named)
            for item_id in named if related is not None else ():
                item = related.get(item_id) if related else None
                state = item.state if item else ""
                if state != field_values.ACTIVE:
                    is_left_out = state == DELETED or item_id not in in_bases
                    why = Message("item_not_shown_now", item=item_id)
                    if item is not None:
                        why = Message("item_removed_now", item=item.name, state=state)
                    hidden[item_id] = "" if is_left_out else why
        if hidden:
            facts.board = replace(board, hidden_items=hidden)

    def items_off_board(self, board: BoardContext, expected: Mapping[str, str]) -> set[str]:
        """Return those of the `expected` items, each with its type, that left their boards."""
        # An item that a pass has found removed isn't read again in each pass of a record that names it.
        states = SyncMetadata.objects.filter(remote_id__in=list(expected))
        removed_states = states.exclude(remote_state__in=("", field_values.ACTIVE))
        removed = {str(item_id) for item_id in removed_states.values_list("remote_id", flat=True)}
        items = self.items_by_id(board, sorted(expected.keys() - removed))
        for item_id, entity_type in expected.items():
            item = items.get(item_id)
            link = link_of(entity_type)
            boards = (None, link.board_id if link else None)
            if item is None or item.state != field_values.ACTIVE or item.board_id not in boards:
                removed.add(item_id)
        return removed

    def read_unmatched(self, facts: PassFacts) -> Sequence[ItemFacts]:
        """Return what NPD knows about the claimed items that no record has.

        This takes a call if an item may be a duplicate of an item that wasn't read.
        """
        items = item_facts.unmatched_facts(facts)
        originals = {item.original_item_id for item in items if item.original_item_id}
        unread = sorted(originals - facts.items.by_id.keys())
        items_by_id = {**facts.items.by_id, **self.items_by_id(facts.board, unread)}
        return with_originals(facts, items, items_by_id)

    # --- the calls ----------------------------------------------------------------------------------------------------

    def find_items(
        self,
        board: BoardContext,
        item_ids: Sequence[str],
        npd_ids: Sequence[str],
        texts: Sequence[str],
        names: Collection[str] = (),
    ) -> BatchItems:
        """Read all items that a pass needs: in one call, plus one for each further page of matches.

        Monday's search ignores case, but not what else a match key ignores, so unmatched items, and the items read by
        id, are compared by match key here. Names (by their match keys) are looked up among unmatched items only.
        """
        searches = {"by_npd_id": ColumnSearch(board.link.npd_id_column, "text", npd_ids)}
        if match := board.match_mapping:
            searches["by_match"] = ColumnSearch(match.column_id, board.converter(match).column_type, texts)
        keys = {match_key(text) for text in texts}
        size = len(item_ids) + len(npd_ids)
        unmatched_ids = item_facts.items_with_keys(board, keys)[: max(ITEMS_PER_READ - len(item_ids), 0)]
        room = ITEMS_PER_READ - len(item_ids) - len(unmatched_ids)
        namesakes = item_facts.items_with_names(board, names, room)
        all_ids = list(dict.fromkeys(map(str, (*item_ids, *unmatched_ids, *namesakes))))
        ids = all_ids[:ITEMS_PER_READ]
        with meter_board_calls(board.link, size):
            result = self.connector.read_batch(board.link.board_id, ids, searches, board.columns, board.types)
        self.request_id = result.request_id
        matches = {"by_npd_id": list(result.by_npd_id), "by_match": list(result.by_match)}
        for search, cursor in result.cursors.items():
            matches[search] += self._further_matches(board, matches[search], cursor)
        # Rarely more than a call takes, because a pass has no more records than that.
        by_id = result.by_id | self.items_by_id(board, all_ids[ITEMS_PER_READ:])
        matched = {item.id for item in matches["by_match"]}
        active = [item for item in by_id.values() if field_values.is_active_on(board, item)]
        same_key = [
            item for item in active if item.id not in matched and field_values.match_key_of_item(board, item) in keys
        ]
        same_name = [item for item in active if match_key(item.name) in names]
        by_match = [*matches["by_match"], *same_key]
        return BatchItems(by_id=by_id, by_npd_id=matches["by_npd_id"], by_match=by_match, by_name=same_name)

    def _further_matches(self, board: BoardContext, first_page: Sequence[Item], cursor: str | None) -> list[Item]:
        """Return a search's matches after its first page; each page takes a call."""
        further: list[Item] = []
        page = first_page
        progress = PageProgress()
        for _ in range(MAX_PAGES):
            if cursor is None:
                break
            progress.note([item.id for item in page], cursor)
            with meter_board_calls(board.link, 0):
                page, cursor = self.connector.read_page(board.link.board_id, cursor, board.columns, board.types)
            further += page
        return further

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        """Return the items with these ids, in any state; raise MondayError."""
        items_by_id: dict[str, Item] = {}
        for start in range(0, len(ids), ITEMS_PER_READ):
            batch = ids[start : start + ITEMS_PER_READ]
            with meter_board_calls(board.link, len(batch)):
                items = self.connector.read_items(batch, board.columns, board.types)
            items_by_id |= {item.id: item for item in items}
        return items_by_id

    def related_items(self, entity_type: str, ids: Sequence[str]) -> Mapping[str, Item] | None:
        """Return these items of another board; None if that board doesn't answer."""
        link = link_of(entity_type)
        items: dict[str, Item] = {}
        for start in range(0, len(ids), ITEMS_PER_READ):
            batch = ids[start : start + ITEMS_PER_READ]
            if link is None or not link.board_id:
                return None
            try:
                with meter_board_calls(link, len(batch)):
                    items |= self.connector.read_batch(link.board_id, batch, {}, [link.npd_id_column]).by_id
            except MondayError as error:
                if error.scope is not Scope.BOARD:
                    raise
                return None
        return items

    def inspect_columns(
        self, board: BoardContext, suspect: Collection[str], healed: Collection[str]
    ) -> tuple[BoardContext, board_columns.InspectedColumns]:
        """Return the board with its columns' present problems; without a suspect field, healed ones need no read."""
        link = board.link
        mappings = [copy(mapping) for mapping in board.mappings]
        columns = None
        for mapping in mappings:
            if mapping.key in healed:
                mapping.problem = mapping.problem_code = ""
        if suspect or not healed:
            columns = board_columns.read_board(link, self.connector)
        if columns is not None:
            for mapping in mappings:
                code, problem = board_columns.column_problem(link, mapping, columns)
                mapping.problem = problem or ""
                mapping.problem_code = code or ""
            link = copy(link)
            link.npd_id_problem = board_columns.npd_id_problem(link, columns)
        hidden = [mapping for mapping in mappings if mapping.key in suspect and not mapping.problem]
        for mapping in hidden:
            mapping.problem = board_columns.hidden_problem(link, mapping)
            mapping.problem_code = choices.ColumnProblem.HIDDEN
        inspected = board_columns.InspectedColumns(columns, tuple(mapping.key for mapping in hidden), tuple(healed))
        return replace(board, link=link, mappings=mappings), inspected

    def try_without_items(self, board: BoardContext) -> MondayError | None:
        """Return Monday's error for a read without real items, so that no item is at fault; None if it accepts that."""
        try:
            self.find_items(board, [NO_ITEM], [str(UUID(int=0))], [])
        except MondayError as error:
            return error if error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD) else None
        return None


def _column_problems(board: BoardContext) -> set[str]:
    keys = {mapping.key for mapping in board.mappings if mapping.problem}
    return keys | ({"npd_id"} if board.link.npd_id_problem else set())


def _plans_with_items(facts: PassFacts, plans: Sequence[pass_plan.RecordPlan]) -> list[pass_plan.RecordPlan]:
    """Return each plan with its record's item; of an unlinked one, once with each item with its NPD ID or match key."""
    board = facts.board
    by_npd_id = field_values.items_by_npd_id(board, facts.items)
    by_match_key = field_values.items_by_match_key(board, facts.items)
    with_items: list[pass_plan.RecordPlan] = []
    for plan in plans:
        record = plan.record
        items = [facts.items.by_id.get(record.monday_id or "")]
        if not record.monday_id:
            key = field_values.match_key_of_record(board, record)
            items += by_npd_id.get(str(record.pk), ())
            items += by_match_key.get(key, ()) if key else ()
        with_items += [plan.compared_with(item) for item in items if item is not None]
    return with_items


def _plans_with_removed_items(
    facts: PassFacts, plans: Sequence[pass_plan.RecordPlan]
) -> dict[pass_plan.RecordPlan, str]:
    """Return the plan of each record whose item was removed, with that item, and how it is gone."""
    linked = [plan for plan in plans if plan.record.monday_id]
    compared = [plan.compared_with(facts.items.by_id.get(str(plan.record.monday_id))) for plan in linked]
    return {plan: state for plan in compared if (state := removed_items.removed_state(facts.board, plan))}


def _items_of_emptied(board: BoardContext, plan: pass_plan.EntityPlan) -> Iterator[tuple[str, str]]:
    """Yield the items, each with its type, that emptied cells of connected boards should name.

    An item that was removed empties the cells that name it.
    """
    for mapping, relation in board.relations if plan.item is not None else ():
        field = plan.compared(board, mapping)
        convert = field.converter.canonical_local
        if not field.converter.names_items or field.remote is not None:
            continue
        if field.base is not None:
            expected = [field.base_remote]
        else:
            # The values of an unanswered create count as the base.
            creates = [
                intent.values.get(mapping.key) for intent in (*plan.facts.open_intents, *plan.history.ended_creates)
            ]
            expected = [field_bases.side_of(convert, entry["local"]) for entry in creates if entry]
        # An empty base names no item.
        yield from ((side, target_of(relation).entity_type()) for side in expected if isinstance(side, str))


def column_findings(board: BoardContext, read_items: Iterable[Item]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields whose columns seem missing or retyped, and the fields that have no problem any more.

    Only active items on this board count; others may have other columns.
    """
    items = [item for item in read_items if field_values.is_active_on(board, item)]
    if not items:
        return (), ()
    mapped = [mapping for mapping in board.mappings if mapping.column_id not in ("", NAME_COLUMN)]
    suspect = list[str]()
    healed = list[str]()
    for mapping in mapped:
        cells = [item.values[mapping.column_id] for item in items if mapping.column_id in item.values]
        types = {cell.type for cell in cells}
        expected = mapping.options.get("column_type")
        is_retyped = bool(expected) and bool(types - {"", expected}) and not board_columns.reads_type(mapping, types)
        if mapping.problem and any(cell.is_known for cell in cells) and not is_retyped:
            healed.append(mapping.key)
        elif not mapping.problem and (not cells or is_retyped):
            suspect.append(mapping.key)
    return tuple(suspect), tuple(healed)
