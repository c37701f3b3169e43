"""Gather: reads what is so, in three phases. It decides nothing and writes nothing in NPD.

First what NPD knows of what was claimed; then what Monday says, by one call; then what the items point at. The phases
come first, then the queries that fill frozen values, by what they are about. It stays whole: what a pass asks of NPD
and Monday, and in how many queries and calls whatever the number of records, is here and nowhere else.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models.deletion import Collector
from django.db.models.fields.json import KeyTextTransform
from pghistory.core import event_models

from conflicts.reports import KIND_IDENTITY
from conflicts.store import open_conflicts
from sync import choices, registry
from sync.boards import board_columns
from sync.clock import SyncNow, sync_now
from sync.kernel import grouped
from sync.limits import call_cost, connector
from sync.models import (
    ApprovalRequest,
    Decision,
    IgnoredItem,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WebhookEvent,
    WriteLoop,
)
from sync.monday.board import EventKind
from sync.monday.board_events import EVENT_TYPES
from sync.monday.board_items import BatchItems, Item
from sync.monday.errors import MondayError, Scope
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import key_spellings, match_key
from sync.outbox.claim import Claim
from sync.outbox.pauses import active_pause
from sync.reconcile import (
    deleted_records,
    field_values,
    identity,
    lookups,
    pass_plan,
    removed_items,
    sides,
    unconfirmed_writes,
)
from sync.reconcile.decide import AFTER_READING, BEFORE_READING, decide
from sync.reconcile.facts import (
    EDIT_KINDS,
    EVENT_WINDOW,
    LOOP_WINDOW,
    STALE_READ_WINDOW,
    AnswerFacts,
    DeletedFacts,
    IdentityFacts,
    InspectedColumns,
    ItemFacts,
    RecordFacts,
    RecordHistory,
    RemovalFacts,
    new_ledger,
)
from sync.reconcile.field_plan import base_of
from sync.reconcile.resolutions import chosen_references
from sync.reconcile.restraints import may_empty
from sync.records import authors
from sync.records.approvals import CLEARS, ApprovalFacts, known_requests, with_counts
from sync.records.item_links import unlinked_items
from sync.records.tombstones import rebuild_records
from sync.records.unmatched_items import AS_NEW, LINK_TO
from sync.registry import link_of, target_of

MAX_PAGES = 20
"""Further pages that a pass follows; a match key that more items than this hold is no key."""

log = structlog.get_logger(__name__)


def claimed(
    board: field_values.BoardContext,
    claims: Sequence[Claim],
    planned: Mapping[UUID, SyncedModel] = MappingProxyType({}),
) -> pass_plan.PassFacts:
    """Read what NPD knows of what was claimed, in a fixed number of queries.

    `planned` are what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """
    now = sync_now()
    model = board.model
    items = [claim.remote_id for claim in claims if claim.entity_id is None]
    owners = dict(model._default_manager.filter(monday_id__any_of=items).values_list("monday_id", "pk"))
    item_claims: list[Claim] = []
    rows: dict[UUID, list[SyncQueue]] = {}
    for claim in claims:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            item_claims.append(claim)
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    relations = board.joined_relations
    # Without a name select_related would follow every relation.
    manager = model._default_manager.select_related(*relations) if relations else model._default_manager.all()
    stored = {record.id: record for record in manager.filter(pk__any_of=list(rows))} | dict(planned)
    merged = {entity_id: Claim(entity_id, None, jobs) for entity_id, jobs in rows.items()}
    missing = [key for key in merged if key not in stored]
    remembered = Tombstone.objects.filter(entity_type=board.link.entity_type, entity_id__in=missing) if missing else ()
    tombstones = {tombstone.entity_id: tombstone for tombstone in remembered}
    all_records = stored | (rebuild_records(model, list(tombstones.values())) if tombstones else {})
    of_all = _record_facts(
        board, {key: claim for key, claim in merged.items() if key in all_records}, all_records, tombstones
    )
    records = tuple(record for record in of_all if record.id in stored)
    asking = [record for record in records if record.conflicts]
    answers = [answer for record in asking for answer in identity.answers_of(record)]
    return pass_plan.PassFacts(
        board,
        now,
        records=records,
        deleted=_deleted_facts(board, of_all, tombstones) if tombstones else (),
        unknown=tuple(merged[key] for key in missing if key not in tombstones),
        item_claims=tuple(item_claims),
        linked_items=tuple(map(str, owners)),
        answers=answer_facts(board, *identity.named_in(answers)) if answers else AnswerFacts(),
    )


NO_ITEM = "1"
"""An id that no item of a board has."""


class Gatherer:
    """Reads for one pass; `calls` counts those to Monday, `read_request` is the id of the one that read the items.

    `foreseen` are acts that earlier passes of a dry run would have counted, or asked to be approved.
    """

    def __init__(self, foreseen: Sequence[ApprovalRequest] = ()) -> None:
        self.foreseen = foreseen
        self.calls = 0
        self.read_request = ""

    def gather(self, facts: pass_plan.PassFacts) -> tuple[pass_plan.PassFacts, pass_plan.Plan]:
        """Read what Monday says of what was claimed, and what that points at; return all that is so, and the plan.

        Where Monday could not be read the facts say so, and the plan is what was decided without.
        """
        plan = decide(facts, rules=BEFORE_READING)
        try:
            facts = self.what_monday_says(facts, plan)
            facts = self.what_items_point_at(facts, plan)
        except MondayError as error:
            return self._unread(facts, error), plan
        return facts, decide(facts, plan, AFTER_READING)

    def _unread(self, facts: pass_plan.PassFacts, error: MondayError) -> pass_plan.PassFacts:
        """Say that Monday could not be read, and of the columns why, where one is gone that was not known to be."""
        unread = replace(facts, error=error)
        if error.scope is not Scope.COLUMN:
            return unread
        try:
            board, columns = self.inspect(facts.board, (), ())
        except MondayError:
            return unread
        is_new = _column_problems(board) - _column_problems(facts.board)
        return replace(unread, board=board, items=BatchItems(), columns=columns) if is_new else unread

    def refusal(self, board: field_values.BoardContext) -> MondayError | None:
        """Return why Monday refuses every read of the board's items, after it refused one: it is asked for none."""
        try:
            self.board_items(board, [NO_ITEM], [str(UUID(int=0))], [])
        except MondayError as error:
            return error if error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD) else None
        return None

    def what_monday_says(self, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.PassFacts:
        """Add the items of all that goes on, by one call: by their ids, and for records without one by NPD ID and
        match key. Of a column that no item shows the board is asked as well.
        """
        board = facts.board
        unlinked = [record.record for record in plan.open_records if not record.record.monday_id]
        linked = [record.record.monday_id for record in plan.open_records if record.record.monday_id]
        linked += [claim.remote_id for claim in facts.item_claims if claim.remote_id]
        linked += [str(deleted.facts.tombstone.monday_id) for deleted in plan.open_deleted]
        # Items that people said are copies.
        asking = [record.facts for record in plan.open_records if record.facts.conflicts]
        answers = [answer for record in asking for answer in identity.answers_of(record)]
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

    def what_items_point_at(self, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.PassFacts:
        """Add what NPD knows of the items that were read, and of the records that they name."""
        if not (plan.open_records or plan.open_deleted or facts.item_claims):
            return facts
        linked = facts.items.linked
        records = [record.facts for record in plan.open_records]
        pairs = _pairs(facts, records)
        changed = [(record, item) for record, item in pairs if not sides.is_resting(facts.board, record, item)]
        owners = [record for record in records if record.record.monday_id]
        owners = [replace(record, item=linked.get(record.record.monday_id or "")) for record in owners]
        gone = [record for record in owners if removed_items.removed_state(facts.board, record)]
        open_deleted = [replace(record.facts, item=linked.get(record.item_id)) for record in plan.open_deleted]
        deleted = with_bearers(facts.board, open_deleted) if open_deleted else []
        shown_deleted = {record.id: record for record in deleted}
        unmatched = self.unmatched(facts) if facts.item_claims else ()
        removals = self.removals(facts, gone) if gone else {}
        board, related = self.related(facts, plan, changed, [*gone, *deleted])
        return replace(
            facts,
            board=board,
            deleted=tuple(shown_deleted.get(record.id, record) for record in facts.deleted),
            identity=self.identity(facts, records, pairs),
            unmatched=tuple(unmatched),
            removals=removals,
            related=related,
            histories=longer_histories(board, changed),
            approvals=self.approvals(facts, changed, removals, deleted, unmatched),
        )

    # Monday's side.

    def board_items(
        self, board: field_values.BoardContext, linked: Sequence[str], npd_ids: Sequence[str], texts: Sequence[str]
    ) -> BatchItems:
        """Ask Monday once for everything that a pass needs; where a part has more pages, they are read too: a part of
        the hits would look like few hits.

        Monday finds texts as they are written; by their match key those items are found that are known to have no
        record, and those that are read anyway.
        """
        match = board.match_mapping
        keys = {match_key(text) for text in texts}
        size = len(linked) + len(npd_ids)
        linked = [*linked, *unmatched_items(board, keys)[: max(ITEMS_PER_READ - len(linked), 0)]]
        self.calls += 1
        with call_cost(board.link, size):
            result = connector().read_batch(
                board.link.board_id,
                [str(item_id) for item_id in linked],
                board.columns,
                board.link.npd_id_column,
                list(npd_ids),
                (match.column_id, board.converter(match).column_type) if match else None,
                list(texts),
                board.types,
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
        """Return these items, whatever became of them, as far as Monday shows them; raises MondayError."""
        shown: dict[str, Item] = {}
        for start in range(0, len(ids), ITEMS_PER_READ):
            batch = ids[start : start + ITEMS_PER_READ]
            self.calls += 1
            with call_cost(board.link, len(batch)):
                items = connector().read_items(batch, board.columns, board.types)
            shown |= {item.id: item for item in items}
        return shown

    def removed_items(self, board: field_values.BoardContext, emptied: EmptiedCells) -> set[str]:
        """Return which of the named items are not on their boards: one that leaves empties the cells that name it.

        What neither a pass nor a webhook told is asked of Monday, by a call.
        """
        removed = set[str]()
        for model, cells in grouped(emptied, lambda cell: cell[0]).items():
            items = {named_item for _, named_item, _ in cells}
            reported = lookups.items_told_removed(model, items)
            unsure = sorted(items - reported)
            shown = self.items_by_id(board, unsure) if unsure else {}
            home = link.board_id if unsure and (link := link_of(model.entity_type())) else None
            here = {
                item.id
                for item in shown.values()
                if item.state == field_values.ACTIVE and item.board_id in (None, home)
            }
            removed |= items - here
        return removed

    def unmatched(self, facts: pass_plan.PassFacts) -> Sequence[ItemFacts]:
        """Return what NPD knows of the claimed items that no record has.

        Costs a call where an item may take the place of one that wasn't read.
        """
        board = facts.board
        items = item_facts(facts)
        named = {item.item_id: item.named for item in items if item.named and item.named.monday_id}
        if not named:
            return items
        owners = {record.pk: record for record in named.values()}
        owner_facts = {record.id: record for record in facts.records if record.id in owners}
        unclaimed = {key: Claim(key, None, []) for key in owners if key not in owner_facts}
        if unclaimed:
            owner_facts |= {record.id: record for record in _record_facts(board, unclaimed, owners)}
        firsts = {item_id: replace(owner_facts[owner.pk], item=None) for item_id, owner in named.items()}
        items = [replace(item, first=firsts.get(item.item_id)) for item in items]
        own_items = dict(facts.items.linked)
        missing = sorted({item.first_item_id for item in items if item.first_item_id} - own_items.keys())
        own_items |= self.items_by_id(board, missing) if missing else {}
        return _with_copy_history(board, items, own_items)

    def removals(self, facts: pass_plan.PassFacts, gone: Sequence[RecordFacts]) -> dict[UUID, RemovalFacts]:
        """Return what is known of records whose items are gone."""
        board = facts.board
        people = board.settings.people
        rejected = _rejected_deletions(board, gone)
        too_often = _recreated_too_often(board, [record.id for record in gone])
        # Who archived or deleted these items, and when, as far as webhooks told.
        items = [record.record.monday_id for record in gone]
        events = WebhookEvent.objects.filter(item_id__in=items).of_kind(EventKind.ARCHIVED, EventKind.DELETED)
        last_events = {received.item_id: received.event for received in events.order_by("id")}
        removals = {}
        for record in gone:
            event = last_events.get(record.record.monday_id)
            user = event.user_id if event else ""
            removal = RemovalFacts(
                record,
                removed_items.removed_state(board, record),
                actor=authors.monday_user_name(user, people) if user else "",
                editor=authors.monday_editor_name(user, people) if user else "",
                done_at=event.happened_at if event else None,
                rejected=rejected.get(record.id, ""),
                is_removed_too_often=record.id in too_often,
            )
            if removed_items.wants_obstacles(board.settings, removal, facts.now):
                needed, loss = deletion_obstacles(record.record)
                removal = replace(removal, needed_by=needed, loss=loss)
            removals[record.id] = removal
        return removals

    def related(
        self, facts: pass_plan.PassFacts, plan: pass_plan.Plan, pairs: Sequence[Pair], gone: Sequence[RecordFacts]
    ) -> tuple[field_values.BoardContext, field_values.RelatedFacts]:
        """Return the related records that may be asked for, and the board by whose names items are shown."""
        board = facts.board
        if not board.relations:
            return board, facts.related
        records = [record.facts for record in plan.open_records]
        unmatched = [facts.items.linked.get(claim.remote_id or "") for claim in facts.item_claims]
        naming = [(record.record, item) for record, item in pairs]
        naming += [(board.model(), item) for item in unmatched if item is not None]
        naming += [(record.record, record.item) for record in gone if record.item is not None]
        named = [reference for record, item in naming for reference in field_values.named_by(board, record, item)]
        references = {field_values.reference_to(target_of(relation), data) for relation, data in named}
        for record in records:
            if record.conflicts:
                references |= chosen_references(board, record)
        # What was overwritten is in no cell any more; people are told of it, and take it back, by its name.
        lost_updates = [lost for record_plan in plan.open_records for lost in record_plan.lost]
        for mapping, relation in board.relations if lost_updates else ():
            if board.converter(mapping).names_items:
                items = {str(lost.value) for lost in lost_updates if lost.key == mapping.key and lost.value is not None}
                references |= {field_values.Reference(target_of(relation), "monday_id", item_id) for item_id in items}
        # What records name in NPD was read with them.
        names = [relation.name for _, relation in board.relations]
        joined: list[SyncedModel] = [
            related for record in records for name in names if (related := getattr(record.record, name)) is not None
        ]
        by_reference = {field_values.Reference(type(other), "pk", str(other.pk)): (other,) for other in joined}
        related = lookups.read_related(
            references, replace(facts.related, records={**facts.related.records, **by_reference})
        )
        types_without_item = {other.entity_type() for other in joined if not other.monday_id}
        boards = {name for name in types_without_item if (link := link_of(name)) and link.board_id}
        emptied = [
            (model, named_item, item.id)
            for record, item in pairs
            for model, named_item in sides.items_of_emptied_cells(board, record, item)
        ]
        removed = frozenset(self.removed_items(board, emptied))
        related = replace(related, boards=related.boards | boards, removed_items=removed)
        return board.with_names(lookups.item_names(board, related, records)), related

    def identity(
        self, facts: pass_plan.PassFacts, records: Sequence[RecordFacts], pairs: Sequence[Pair]
    ) -> IdentityFacts:
        """Return whose the items are that were found for records without one, and who has the key of one made of an
        item.
        """
        board = facts.board
        items = facts.items
        unlinked = [record.id for record in records if not record.record.monday_id]
        owners = IdentityFacts()
        if unlinked:
            hits = [item.id for item in (*items.by_npd_id, *items.by_match)]
            owners = identity_facts(board, hits, unlinked, items.by_match)
        keys = {
            record.id: key
            for record, item in pairs
            if record.ledger.made_from_item and (key := field_values.match_text_of_item(board, item))
        }
        if not keys:
            return owners
        same_key = records_by_match_key(board, keys.values())
        doubted = [pk for pk, key in keys.items() if any(record.pk != pk for record in same_key.get(key, ()))]
        return replace(owners, same_key=same_key, untouched=unedited_records(board.model, doubted))

    def approvals(
        self,
        facts: pass_plan.PassFacts,
        pairs: Sequence[Pair],
        removals: Mapping[UUID, RemovalFacts],
        deleted: Sequence[RecordFacts],
        unmatched: Sequence[ItemFacts],
    ) -> ApprovalFacts:
        """Return what was asked before about the deletes and clears that this pass may want, and what counts."""
        link = facts.board.link
        emptied = [record.id for record, item in pairs if may_empty(facts.board, record, item)]
        copied = [item.first.id for item in unmatched if item.first is not None]
        kinds = list[choices.ApprovalKind]()
        may_delete = any(removed_items.may_delete(facts.board, removal) for removal in removals.values())
        kinds += [choices.ApprovalKind.RECORDS] if may_delete else []
        kinds += [choices.ApprovalKind.ITEMS] if deleted or copied else []
        kinds += CLEARS if emptied else ()
        ids = {*emptied, *copied, *removals, *(record.id for record in deleted)}
        ids |= {record.id for record, _ in pairs if record.ledger.blocked_fields}
        if not ids:
            return ApprovalFacts()
        requests = known_requests(link, list(choices.ApprovalKind), ids, self.foreseen)
        return with_counts(requests, link, kinds, self.foreseen) if kinds else requests

    def inspect(
        self, board: field_values.BoardContext, missing: Collection[str], healed: Collection[str]
    ) -> tuple[field_values.BoardContext, InspectedColumns]:
        """Return the board with what is wrong with its columns now; it is read, but where something only healed."""
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
        inspected = InspectedColumns(shown, tuple(mapping.key for mapping in hidden), tuple(healed))
        return replace(board, link=link, mappings=mappings), inspected


def items_with_npd_ids(board: field_values.BoardContext, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items that bear these NPD IDs, by NPD ID; None where one can't be read. Raises MondayError."""
    items: dict[str, Item] = {}
    # Not in smaller parts after failures: then one look-up of a hundred would become a hundred calls.
    for start in range(0, len(ids), ITEMS_PER_READ):
        batch = ids[start : start + ITEMS_PER_READ]
        with call_cost(board.link, len(batch)):
            result = connector().read_batch(
                board.link.board_id, [], board.columns, board.link.npd_id_column, batch, types=board.types
            )
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


Pair: TypeAlias = tuple[RecordFacts, Item]
"""A record with its item, or with one that may be its."""

EmptiedCells: TypeAlias = Sequence[tuple[type[SyncedModel], str, str]]
"""Where a base names an item while the cell is empty: the model of its record, that item, and the one with the cell."""


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


def longer_histories(board: field_values.BoardContext, pairs: Sequence[Pair]) -> dict[UUID, RecordHistory]:
    """Read when fields were edited that both sides may have changed under the rule “newest”, and who made items."""
    histories = {record.id: record.history for record, _ in pairs}
    edited = {record.id: record.record for record, item in pairs if sides.needs_edit_times(board, record, item)}
    without_base = [(record, item) for record, item in pairs if unconfirmed_writes.lacks_base(board, record)]
    made = {record.id: item.id for record, item in without_base if unconfirmed_writes.wants_maker(board, record)}
    npd_edits = authors.latest_edits(board.model, edited) if edited else {}
    monday_edits = lookups.monday_edits(board, edited) if edited else {}
    makers = makers_of(board, made) if made else {}
    for key in edited:
        histories[key] = replace(histories[key], npd_edits=npd_edits.get(key, ()), monday_edits=monday_edits[key])
    for key, (maker, is_typed) in makers.items():
        histories[key] = replace(histories[key], maker=maker, is_npd_id_typed=is_typed)
    return {key: histories[key] for key in edited.keys() | makers.keys()}


# Records: what is open about them, and their history of events, writes of ours and loops.


DAY = timedelta(days=1)

MAX_EVENTS = 2_000
"""So many of a pass's newest events count; a field that is rewritten more often is a loop, and shown as one."""

_EFFECTIVE_STATES = (IntentState.APPLIED, IntentState.CONFIRMED)


def _record_facts(
    board: field_values.BoardContext,
    claims: Mapping[UUID, Claim],
    records: Mapping[UUID, SyncedModel],
    tombstones: Mapping[UUID, Tombstone] = MappingProxyType({}),
) -> list[RecordFacts]:
    """Return what is open about these records, deleted ones among them, and what happened before.

    A fixed number of queries, and one more where an event or a write asks.
    """
    entity_type = board.link.entity_type
    ledgers = {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(entity_type, claims)}
    for key in claims:
        # A dry run's, of an item that would become a record.
        is_planned = records[key]._state.adding and key not in tombstones
        if is_planned or str(key) not in ledgers:
            ledgers[str(key)] = new_ledger(entity_type, key)
            ledgers[str(key)].made_from_item = is_planned
    conflicts = open_conflicts(entity_type, claims)
    failed = SyncQueue.objects.filter(
        entity_type=entity_type, entity_id__any_of=list(claims), status=choices.QueueStatus.FAILED
    )
    with_failed_job = set(failed.values_list("entity_id", flat=True))
    questions = [conflict for of_record in conflicts.values() for conflict in of_record]
    asked_items = {conflict.monday_item_id for conflict in questions if conflict.kind == KIND_IDENTITY}
    owned: frozenset[str] = frozenset()
    if asked_items:
        linked = board.model._default_manager.filter(monday_id__in=asked_items)
        owned = frozenset(map(str, linked.values_list("monday_id", flat=True)))
    items = {key: (tombstones.get(key) or records[key]).monday_id or "" for key in claims}
    # Events that no pass has checked, as they came.
    new = WebhookEvent.objects.filter(
        processed_at=None, item_id__any_of=list(filter(None, items.values())), board_id=board.link.board_id
    )
    events = lookups.events_by_item(new.order_by("id"))
    # All intents count where something new was told, or where a create without an answer may have left the base.
    whole = [
        key
        for key, item_id in items.items()
        if item_id in events
        or not item_id
        or any(base_of(ledgers[str(key)], mapping, item_id) is None for mapping in board.mapped)
    ]
    intents = _intents_of(claims, whole)
    write_loops = WriteLoop.objects.filter(entity_type=entity_type, entity_id__any_of=list(claims))
    loops = grouped(write_loops, lambda loop: loop.entity_id)
    now = sync_now()
    histories = {key: _history(board, of_record, now) for key, of_record in intents.items()}
    with_news = {items[key] for key, history in histories.items() if history.void} | events.keys()
    of_late = WebhookEvent.objects.filter(
        item_id__in=with_news, board_id=board.link.board_id, received_at__gt=SyncNow() - EVENT_WINDOW
    )
    recent = lookups.events_by_item(of_late.order_by("-received_at")[:MAX_EVENTS])
    facts = []
    for key, claim in claims.items():
        item_id = items[key]
        new_events = tuple(events.get(item_id, ()))
        history = histories.get(key, NO_HISTORY)
        if key in loops:
            history = replace(history, loops={loop.key: loop for loop in loops[key]})
        if item_id in with_news:
            # An event that no pass has checked counts however old it is.
            of_item = {event.pk: event for event in (*recent.get(item_id, ()), *new_events)}
            history = replace(history, events=tuple(of_item.values()), token_user=board.settings.token_user)
        facts.append(
            RecordFacts(
                claim,
                records[key],
                ledgers[str(key)],
                intents=tuple(intent for intent in intents.get(key, ()) if intent.state == IntentState.OPEN),
                conflicts=tuple(conflicts.get(key, ())),
                events=new_events,
                has_failed_job=key in with_failed_job,
                owned_items=owned,
                history=history,
            )
        )
    return facts


NO_HISTORY = RecordHistory()


def _intents_of(ids: Collection[UUID], whole: Collection[UUID]) -> dict[UUID, tuple[Intent, ...]]:
    """Read our intents for these records, the oldest first: open ones and those of late; of the `whole`, all."""
    recent = models.Q(state=IntentState.OPEN) | models.Q(created_at__gt=SyncNow() - LOOP_WINDOW)
    recent |= models.Q(settled_at__gt=SyncNow() - STALE_READ_WINDOW)
    recent |= models.Q(state=IntentState.VOID, settled_at__gt=SyncNow() - EVENT_WINDOW)
    rows = Intent.objects.filter(recent | models.Q(entity_id__any_of=list(whole)), entity_id__any_of=list(ids))
    return _by_record(rows.defer("body").order_by("created_at"))


def _history(board: field_values.BoardContext, intents: Sequence[Intent], now: datetime) -> RecordHistory:
    """Return what a record's intents say of what happened before."""
    applied = list[Intent]()
    void = list[Intent]()
    ended = list[Intent]()
    last_writes = dict[str, Intent]()
    oldest_write = now - timedelta(days=board.settings.journal_days)
    for intent in intents:
        is_recent = intent.created_at > now - EVENT_WINDOW
        if intent.state in _EFFECTIVE_STATES and intent.created_at > now - LOOP_WINDOW:
            last_writes |= dict.fromkeys(intent.values, intent)
        if not intent.item_id:
            is_lost = intent.state == IntentState.VOID and intent.lookups > 0
            is_ended = is_lost or intent.state == IntentState.CONFIRMED
            ended += [intent] if is_recent and is_ended else []
        elif intent.state == IntentState.APPLIED and intent.settled_at and intent.settled_at > now - STALE_READ_WINDOW:
            applied.append(intent)
        # Of unknown outcome, and found void by a pass; one known not to be carried out ended before its deadline.
        elif intent.state == IntentState.VOID and intent.settled_at and intent.settled_at >= intent.deadline:
            void += [intent] if intent.settled_at > now - EVENT_WINDOW else []
    return RecordHistory(
        writes=tuple(i for i in intents if i.state != IntentState.REJECTED and i.created_at > oldest_write),
        applied=tuple(applied),
        void=tuple(void),
        ended_creates=tuple(ended),
        changes=tuple(intent for intent in intents if intent.item_id),
        last_writes=last_writes,
        token_user=board.settings.token_user,
    )


def makers_of(board: field_values.BoardContext, items: Mapping[UUID, str]) -> dict[UUID, tuple[str, bool]]:
    """Read, as far as events tell, who made these records' items, and whether somebody typed the NPD ID."""
    here = (board.link.board_id, board.link.npd_id_column)
    sets_npd_id = models.Q(board_id=here[0], column_id=here[1])
    is_told = sets_npd_id | models.Q(type__in=EVENT_TYPES[EventKind.CREATED])
    events = lookups.events_by_item(WebhookEvent.objects.filter(is_told, item_id__in=items.values()).order_by("id"))
    makers = {}
    for key, item_id in items.items():
        of_item = events.get(item_id, [])
        makers[key] = (_maker(of_item), any((event.board_id, event.column_id) == here for event in of_item))
    return makers


def _maker(events: Iterable[WebhookEvent]) -> str:
    """Who made the item that these events are about, the oldest first; an empty text where that wasn't told."""
    return next((event.user_id for event in events if event.type in EVENT_TYPES[EventKind.CREATED]), "")


def _by_record(intents: Iterable[Intent]) -> dict[UUID, tuple[Intent, ...]]:
    by_record = grouped(intents, lambda intent: intent.entity_id)
    return {key: tuple(of_record) for key, of_record in by_record.items()}


# Identity: who could be whose.


def identity_facts(
    board: field_values.BoardContext, items: Collection[str], records: Collection[UUID], matching: Sequence[Item]
) -> IdentityFacts:
    """Read whose these items are, and what is remembered of them and of these records without an item.

    Of those found by their match key also which of the records are there whose NPD IDs they bear.
    """
    entity_type = board.link.entity_type
    npd_ids = [field_values.as_uuid(field_values.npd_id_of(board, item) or "") for item in matching]
    named = board.model._default_manager.filter(pk__in=list(filter(None, npd_ids)))
    existing = set(named.values_list("pk", flat=True))
    rows = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=[item.id for item in matching])
    owners = {item_id: owner.pk for item_id, owner in owners_of(entity_type, items).items()}
    # Of records made from an item those that nobody touched in NPD.
    linked = SyncMetadata.objects.of(entity_type, {*owners.values(), *existing} - set(records))
    made = linked.filter(made_from_item=True).values_list("entity_id", flat=True)
    unedited = unedited_records(board.model, [UUID(key) for key in made])
    return IdentityFacts(
        owners,
        frozenset(existing),
        ignored={row.item_id: row for row in rows},
        unlinked=unlinked_items(entity_type, list(records)),
        unedited=board.model._default_manager.in_bulk(unedited),
    )


def unmatched_items(board: field_values.BoardContext, keys: Collection[str]) -> list[str]:
    """Return the items without a record that were last seen with one of these match keys."""
    match = board.match_mapping
    if match is None or not keys:
        return []
    keyed = UnmatchedItem.objects.annotate(match_key=lookups.match_key_of(KeyTextTransform(match.key, "values")))
    of_board = keyed.filter(entity_type=board.link.entity_type, board_id=board.link.board_id)
    return list(of_board.filter(match_key__in=key_spellings(keys)).values_list("item_id", flat=True))


def records_by_match_key(board: field_values.BoardContext, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys, by key; one query."""
    records = _records(board, models.Q(pk__in=[]), keys)
    return grouped(records, lambda record: field_values.match_text_of_record(board, record))


def unedited_records(model: type[SyncedModel], ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of these records that nobody changed in NPD, and at which nothing in NPD points.

    One query for each history and each relation to them.
    """
    unedited = set(ids)
    for events in event_models(tracks_model=model) if unedited else ():
        edits = events._default_manager.filter(pgh_obj_id__in=unedited).exclude(pgh_context__metadata__cause="sync")
        unedited -= set(edits.values_list("pgh_obj_id", flat=True))
    histories = set(event_models())
    for relation in [r for r in model._meta.related_objects if r.related_model not in histories] if unedited else ():
        name = relation.field.name
        pointing: Any = relation.related_model._default_manager.filter(**{f"{name}__in": unedited})
        unedited -= set(pointing.values_list(name, flat=True))
    return frozenset(unedited)


def owners_of(entity_type: str, item_ids: Collection[str]) -> dict[str, SyncedModel]:
    """Return the records whose items these are: of this type, else of another one, from whose board they came."""
    owners: dict[str, SyncedModel] = {}
    for spec in sorted(registry.entities(), key=lambda spec: spec.entity_type != entity_type):
        if ownerless := [item_id for item_id in item_ids if item_id not in owners]:
            records = spec.model._default_manager.filter(monday_id__in=ownerless)
            owners |= {str(record.monday_id): record for record in records}
    return owners


def answer_facts(
    board: field_values.BoardContext, records: Collection[UUID], items: Collection[str], merged: frozenset[UUID]
) -> AnswerFacts:
    """Read what answers rest on, which name these records and items."""
    linked = board.model._default_manager.filter(monday_id__in=items)
    owners = {str(record.monday_id): record for record in linked} if items else {}
    named = board.model._default_manager.in_bulk(list(records))
    needed = {key: why for key in merged & named.keys() if (why := deletion_obstacles(named[key])[0])}
    return AnswerFacts(named, owners, unedited_records(board.model, merged), needed)


# Removed items and deleted records.


def _deleted_facts(
    board: field_values.BoardContext, records: Iterable[RecordFacts], tombstones: Mapping[UUID, Tombstone]
) -> tuple[DeletedFacts, ...]:
    """Return what is known of deleted records before their items are read."""
    items = [tombstone.monday_id for tombstone in tombstones.values() if tombstone.monday_id]
    owners = {str(owner.monday_id): owner for owner in board.model._default_manager.filter(monday_id__in=items)}
    deleted = []
    for record in records:
        if (tombstone := tombstones.get(record.id)) is not None:
            # A create without an answer is confirmed before.
            about_item = tuple(intent for intent in record.intents if intent.item_id)
            owner = owners.get(tombstone.monday_id or "")
            values = vars(record) | {"intents": about_item}
            deleted.append(DeletedFacts(**values, tombstone=tombstone, owner=owner))
    return tuple(deleted)


def with_bearers(board: field_values.BoardContext, deleted: Sequence[DeletedFacts]) -> list[DeletedFacts]:
    """Add to deleted records whose NPD IDs their items bear, and the events by which it is told who edited these."""
    npd_ids = {record.id: deleted_records.wanted_bearer(board, record) for record in deleted}
    wanted = {npd_id for npd_id in npd_ids.values() if npd_id is not None}
    bearers = board.model._default_manager.in_bulk(wanted) if wanted else {}
    shown = [record.item.id for record in deleted if record.item is not None]
    rows = WebhookEvent.objects.filter(board_id=board.link.board_id, item_id__in=shown)
    events = lookups.events_by_item(rows) if shown else {}
    return [
        replace(
            record,
            bearer=bearers.get(npd_ids[record.id]),
            editor_events=tuple(events.get(record.item.id, ())) if record.item else (),
        )
        for record in deleted
    ]


def _rejected_deletions(board: field_values.BoardContext, records: Sequence[RecordFacts]) -> dict[UUID, str]:
    """The records whose deletion a person rejected since their items are gone: `rejected`, later `kept`."""
    since = {record.id: record.ledger.removed_since for record in records if record.ledger.removed_since}
    acts = ApprovalRequest.objects.filter(
        entity_type=board.link.entity_type,
        kind=choices.ApprovalKind.RECORDS,
        entity_id__in=since,
        state__in=(choices.ApprovalState.REJECTED, choices.ApprovalState.KEPT),
    )
    return {act.entity_id: act.state for act in acts.order_by("id") if act.at >= since[act.entity_id]}


def _recreated_too_often(board: field_values.BoardContext, ids: Sequence[UUID]) -> set[UUID]:
    """The records whose item was made again by the board's setting too often within a day; without a limit none."""
    times = board.settings.loop_times
    if times <= 0 or board.link.removed_item_policy != choices.RemovedItemPolicy.CREATE:
        return set()
    made = Decision.objects.filter(entity_id__in=ids, kind="unlinked", values__again=True, at__gt=SyncNow() - DAY)
    often = made.order_by().values("entity_id").annotate(times=models.Count("id")).filter(times__gte=times)
    return {row["entity_id"] for row in often if row["entity_id"]}


def deletion_obstacles(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what others would lose by it; empty texts where nothing.

    What would be deleted with it (a cascade) counts as a reason too: nobody meant these.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (models.ProtectedError, models.RestrictedError) as needed:
        objects = getattr(needed, "protected_objects", None) or getattr(needed, "restricted_objects", [])
        return f"{_count_by_kind(list(objects))} in NPD can't be without “{record}”.", ""
    cascade = [other for rows in (*collector.data.values(), *collector.fast_deletes) for other in rows]
    others = [other for other in cascade if other != record]
    if others:
        return f"{_count_by_kind(others)} in NPD would be deleted with “{record}”.", ""
    emptied: list[models.Model] = []
    groups: list[Any] = [group for rows in collector.field_updates.values() for group in rows]
    for group in groups:
        emptied += [group] if isinstance(group, models.Model) else list(group)
    return "", f" {_count_by_kind(emptied)} in NPD would no longer name it." if emptied else ""


def _count_by_kind(records: list[models.Model]) -> str:
    """So many records by their kind, as “3 contacts and 1 organization”."""
    counts = Counter(record._meta for record in records)
    return " and ".join(f"{n} {m.verbose_name if n == 1 else m.verbose_name_plural}" for m, n in counts.items())


# Items without a record.


def item_facts(facts: pass_plan.PassFacts) -> list[ItemFacts]:
    """Read what NPD knows of the claimed items that no record has; a handful of queries whatever their number."""
    board = facts.board
    entity_type = board.link.entity_type
    ids = [claim.remote_id for claim in facts.item_claims if claim.remote_id]
    shown = {item_id: facts.items.linked[item_id] for item_id in ids if item_id in facts.items.linked}
    active = {item_id: item for item_id, item in shown.items() if item.state == field_values.ACTIVE}
    npd_ids = {
        item_id: npd_id
        for item_id, item in active.items()
        if (npd_id := field_values.as_uuid(field_values.npd_id_of(board, item) or ""))
    }
    keys = {item_id: field_values.match_text_of_item(board, item) or "" for item_id, item in shown.items()}
    # How long an item is quiet is told by the board's events.
    here = models.Q(board_id=board.link.board_id)
    edit_types = [name for kind in EDIT_KINDS for name in EVENT_TYPES[kind]]
    rows = WebhookEvent.objects.filter(item_id__in=ids).order_by().values("item_id")
    rows = rows.annotate(
        first=models.Min("received_at", filter=here),
        last=models.Max("received_at", filter=here),
        new=ArrayAgg("pk", filter=models.Q(processed_at=None), order_by="pk", default=models.Value([])),
        new_edits=models.Count("pk", filter=here & models.Q(processed_at=None, type__in=edit_types)),
    )
    events: dict[str | None, dict[str, Any]] = {row["item_id"]: dict(row) for row in rows}
    # A call about the item was announced whose outcome nobody knows.
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    # Claims don't read when a row was written: it is asked for only where no event tells.
    heard = {item_id for item_id, of_item in events.items() if of_item["first"]}
    unheard = [claim.rows[0].pk for claim in facts.item_claims if claim.remote_id not in heard]
    jobs = SyncQueue.objects.filter(pk__in=unheard)
    written = dict(jobs.values_list("pk", "created_at")) if unheard else {}
    remembered = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=ids)
    ignored = {row.item_id: row for row in remembered}
    types = [spec.entity_type for spec in registry.entities()]
    deleted = models.Q(monday_id__in=ids) | models.Q(entity_id__in=npd_ids.values())
    tombstones = list(Tombstone.objects.filter(deleted, entity_type__in=types).order_by("pk"))
    # The records of other types that have the items, or the NPD IDs that they bear; a query for each type.
    owners = dict[str, SyncedModel]()
    taken = set[UUID]()
    for spec in registry.entities():
        if spec.entity_type != entity_type:
            for record in spec.model._default_manager.filter(
                models.Q(monday_id__in=ids) | models.Q(pk__in=npd_ids.values())
            ):
                owners.setdefault(str(record.monday_id), record)
                taken.add(record.pk)
    chosen = {
        claim.remote_id: chosen_id
        for claim in facts.item_claims
        if (chosen_id := field_values.as_uuid(str(claim.payload.get(LINK_TO, ""))))
    }
    named_ids = [*npd_ids.values(), *chosen.values()]
    records = _records(board, models.Q(pk__in=named_ids) | models.Q(monday_id__in=ids), keys.values())
    by_id = {record.pk: record for record in records}
    by_key = grouped(records, lambda record: field_values.match_text_of_record(board, record))
    for record in records:
        owners.setdefault(str(record.monday_id), record)
    items = []
    for claim in facts.item_claims:
        item_id = claim.remote_id or ""
        of_item = events.get(item_id, {})
        npd_id = npd_ids.get(item_id)
        chosen_id = chosen.get(item_id)
        # The NPD ID that it bears was a record's that is here no more (a restored database); else it is a new one.
        is_new_id = npd_id is None or npd_id in taken or bool(claim.payload.get(AS_NEW))
        items.append(
            ItemFacts(
                claim,
                shown.get(item_id),
                last_event=of_item.get("last"),
                new_events=tuple(of_item.get("new", ())),
                has_new_edit=bool(of_item.get("new_edits")),
                known_since=of_item.get("first") or written.get(claim.rows[0].pk),
                unconfirmed_until=unconfirmed.get(item_id),
                owner=owners.get(item_id),
                ignored=ignored.get(item_id),
                tombstones=tuple(t for t in tombstones if t.monday_id == item_id or t.entity_id == npd_id),
                named=by_id.get(npd_id) if npd_id else None,
                matching=tuple(by_key.get(keys[item_id], ())) if keys.get(item_id) else (),
                chosen=by_id.get(chosen_id) if chosen_id else None,
                new_id=uuid.uuid4() if is_new_id else npd_id,
            )
        )
    return items


def _records(board: field_values.BoardContext, condition: models.Q, keys: Iterable[str]) -> list[SyncedModel]:
    """Read the board's records to which this applies, and those with these match keys."""
    match = board.match_mapping
    wanted = sorted(set(filter(None, keys)))
    records = board.model._default_manager.all()
    if board.joined_relations:
        records = records.select_related(*board.joined_relations)
    if match is not None and wanted:
        records = records.annotate(match_key=lookups.match_key_of(match.fields[0]))
        condition |= models.Q(match_key__in=key_spellings(wanted))
    return list(records.filter(condition))


def item_now(board: field_values.BoardContext, plan: pass_plan.ItemPlan) -> tuple[ItemFacts, dict[UUID, SyncedModel]]:
    """Return what is so of the item now, as far as the plan rests on it, and the records that it names: settle has
    locked these.
    """
    item = plan.facts
    gives = plan.act in pass_plan.GIVING
    records: dict[UUID, SyncedModel] = {}
    owner = None
    if plan.act in (pass_plan.ItemAct.ASK, pass_plan.ItemAct.LINK, pass_plan.ItemAct.REPLACE):
        records = board.model._default_manager.in_bulk(list(plan.names))
    if plan.act in (pass_plan.ItemAct.LINK, pass_plan.ItemAct.REPLACE):
        owner = board.model._default_manager.filter(monday_id=item.item_id).first()
    key = field_values.match_text_of_item(board, item.item) if gives and item.item else ""
    ignored = IgnoredItem.objects.filter(entity_type=board.link.entity_type, item_id=item.item_id)
    tombstones = Tombstone.objects.select_for_update().filter(pk__in=[plan.tombstone.pk] if plan.tombstone else [])
    now = replace(
        item,
        owner=owner,
        ignored=ignored.first() if gives else None,
        matching=tuple(records_by_match_key(board, [key]).get(key, ())) if key else (),
        tombstones=tuple(tombstones),
    )
    return now, records


# Creates without an answer, and second items.


def unconfirmed_creates(entity_type: str) -> list[list[Intent]]:
    """Return the creates without an answer, by their documents, of those documents of which a deadline is over."""
    unanswered = Intent.objects.filter(entity_type=entity_type, state=IntentState.OPEN, item_id="")
    due = unanswered.filter(deadline__lte=SyncNow()).values("idempotency_key")
    intents = unanswered.filter(idempotency_key__in=due).order_by("pk")
    return list(grouped(intents, lambda intent: intent.idempotency_key).values())


def facts_of_creates(
    board: field_values.BoardContext, intents: Sequence[Intent], items: Mapping[str, Item] | None
) -> unconfirmed_writes.UnconfirmedCreates:
    """Return what is so of a document without an answer; `items` are those that bear an NPD ID of its or of others."""
    ids = [intent.entity_id for intent in intents]
    first = intents[0]
    document = Intent.objects.filter(idempotency_key=first.idempotency_key)
    others = Intent.objects.filter(board_id=first.board_id, state=IntentState.APPLIED, settled_at__gt=first.created_at)
    is_due = models.Q(status=choices.QueueStatus.PENDING, next_retry__lte=SyncNow()) | models.Q(
        status=choices.QueueStatus.IN_PROGRESS
    )
    due = SyncQueue.objects.filter(is_due, entity_id__in=ids).values_list("entity_id", flat=True)
    return unconfirmed_writes.UnconfirmedCreates(
        board=board,
        intents=intents,
        items=None if items is None else {key: item for key, item in items.items() if UUID(key) in ids},
        sent=document.count(),
        records=board.model._default_manager.in_bulk(ids),
        due=frozenset(key for key in due if key),
        is_paused=active_pause(board.link.entity_type) is not None,
        is_part=Intent.objects.filter(entity_id__in=ids, state=IntentState.VOID, lookups__gt=0).exists(),
        others_answered=others.exists(),
        wait_seconds=float(settings.MONDAY_SETTLE_SECONDS),
        now=sync_now(),
    )


def _with_copy_history(
    board: field_values.BoardContext, items: Sequence[ItemFacts], own_items: Mapping[str, Item]
) -> list[ItemFacts]:
    """Add to items that may be a record's second one what tells it: that record's own item, all that was announced
    about it, what it was unlinked from, and who did anything with the item.
    """
    ids = {item.first.id for item in items if item.first is not None}
    writes = _by_record(Intent.objects.filter(entity_id__in=ids))
    unlinked = set(Decision.objects.filter(entity_id__in=ids, kind="unlinked").values_list("entity_id", "remote_id"))
    copies = [item.item_id for item in items if item.first is not None]
    events = lookups.events_by_item(WebhookEvent.objects.filter(item_id__in=copies).order_by("id"))
    full = []
    for item in items:
        if item.first is None:
            full.append(item)
            continue
        first = item.first
        of_item = events.get(item.item_id, [])
        history = replace(
            first.history,
            intents=writes.get(first.id, ()),
            unlinked_items=frozenset(item_id for record_id, item_id in unlinked if record_id == first.id),
            maker=_maker(of_item),
            users=frozenset({event.user_id for event in of_item} - {""}),
            token_user=board.settings.token_user,
        )
        first = replace(first, item=own_items.get(first.record.monday_id or ""), history=history)
        full.append(replace(item, first=first))
    return full
