"""Gather: reads what is so, in three phases. It decides nothing and writes nothing in NPD.

First what NPD knows of what was claimed; then what Monday says, by one call; then what the items point at. The phases
come first, then the queries that fill frozen values, by what they are about. It stays whole: what a pass asks of NPD
and Monday, and in how many queries and calls whatever the number of records, is here and nowhere else.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeAlias, cast
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models import Count, Max, Min, ProtectedError, Q, RestrictedError, Value
from django.db.models.deletion import Collector
from django.db.models.fields.json import KeyTextTransform
from pghistory.core import event_models

from conflicts.reports import KIND_IDENTITY
from conflicts.store import open_conflicts
from sync import registry
from sync.boards import board_columns
from sync.choices import ApprovalKind, ApprovalState, ColumnProblem, DeletedRecordPolicy, QueueStatus, RemovedItemPolicy
from sync.clock import SyncNow, sync_now
from sync.limits import call_cost, connector
from sync.models import (
    ApprovalRequest,
    BoardLink,
    Decision,
    IgnoredItem,
    Intent,
    IntentState,
    MondayAccount,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WebhookEvent,
    WriteLoop,
)
from sync.models.state import event_column_text, event_item_name
from sync.monday.board import EventKind
from sync.monday.board_events import EVENT_TYPES
from sync.monday.board_items import BatchItems, Item
from sync.monday.errors import MondayError, Scope
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import key_spellings, match_key
from sync.outbox.claim import Claim
from sync.outbox.pauses import active_pause
from sync.reconcile import lookups
from sync.reconcile.decide import AFTER_READING, BEFORE_READING, decide
from sync.reconcile.deleted_records import wanted_bearer, wants_editors
from sync.reconcile.facts import (
    EDIT_KINDS,
    EVENT_WINDOW,
    LOOP_WINDOW,
    STALE_READ_WINDOW,
    AnswerFacts,
    BoardNow,
    ClaimedFacts,
    DeletedFacts,
    DeletionFacts,
    IdentityFacts,
    InspectedColumns,
    ItemContext,
    ItemEvents,
    ItemFacts,
    LockedItem,
    LostCreates,
    MatchExclusions,
    MondayFacts,
    ReceivedEvent,
    RecordFacts,
    RecordHistory,
    RemovalFacts,
    Settings,
    new_ledger,
)
from sync.reconcile.field_plan import base_of
from sync.reconcile.field_values import (
    ACTIVE,
    BoardContext,
    Reference,
    RelatedFacts,
    as_uuid,
    is_active_on,
    match_text_of_item,
    match_text_of_record,
    named_by,
    npd_id_of,
    reference_to,
    searched_texts,
)
from sync.reconcile.identity import Candidates, answers_of, asked_by
from sync.reconcile.new_items import item_context, wants_records
from sync.reconcile.pass_plan import GIVING, AnswerKind, EditFacts, ItemAct, ItemPlan, LostUpdate, PassFacts, Plan
from sync.reconcile.removed_items import may_delete, removed_state, wants_obstacles
from sync.reconcile.resolutions import chosen_references
from sync.reconcile.restraints import may_empty
from sync.reconcile.sides import column_findings, is_resting, items_of_emptied_cells, needs_edit_times
from sync.reconcile.unconfirmed_writes import UnconfirmedCreates, lacks_base, wants_maker
from sync.records.approvals import CLEARS, ApprovalFacts, known_requests, with_counts
from sync.records.authors import monday_editor_name, monday_user_name, monday_users
from sync.records.item_links import unlinked_items
from sync.records.tombstones import rebuild_records
from sync.registry import UnknownEntity, link_of, target_of

MAX_PAGES = 20
"""Further pages that a pass follows; a match key that more items than this hold is no key."""

log = structlog.get_logger(__name__)


def claimed(
    board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
) -> PassFacts:
    """Read what NPD knows of what was claimed, in a fixed number of queries.

    `planned` are what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """
    now = sync_now()
    known = claimed_facts(board, claims, planned)
    answers = [answer for record in known.records if record.conflicts for answer in answers_of(record)]
    answered = answer_facts(board, *asked_by(answers), locks=False) if answers else AnswerFacts()
    return PassFacts(board, known, now, load_settings(), answered)


class Gatherer:
    """Reads for one pass; `calls` counts those to Monday, `read_request` is the id of the one that read the items.

    `foreseen` are acts that earlier passes of a dry run would have counted, or asked to be approved.
    """

    def __init__(self, foreseen: Sequence[ApprovalRequest] = ()) -> None:
        self.foreseen = foreseen
        self.calls = 0
        self.read_request = ""

    def gather(self, facts: PassFacts) -> tuple[PassFacts, Plan]:
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

    def _unread(self, facts: PassFacts, error: MondayError) -> PassFacts:
        """Say that Monday could not be read, and of the columns why, where one is gone that was not known to be."""
        unread = replace(facts, monday=replace(facts.monday, error=error))
        if error.scope is not Scope.COLUMN:
            return unread
        try:
            board, columns = self.inspect(facts.board, (), ())
        except MondayError:
            return unread
        is_new = _column_problems(board) - _column_problems(facts.board)
        return replace(facts, board=board, monday=MondayFacts(columns=columns, error=error)) if is_new else unread

    def what_monday_says(self, facts: PassFacts, plan: Plan) -> PassFacts:
        """Add the items of all that goes on, by one call: by their ids, and for records without one by NPD ID and
        match key. Of a column that no item shows the board is asked as well.
        """
        board = facts.board
        unlinked = [one.record for one in plan.open_records if not one.record.monday_id]
        linked = [one.record.monday_id for one in plan.open_records if one.record.monday_id]
        linked += [claim.remote_id for claim in facts.claimed.unmatched if claim.remote_id]
        linked += [str(one.facts.tombstone.monday_id) for one in plan.open_deleted]
        # Items that people said are copies, and those that a lost create may have made.
        conflicting = [one.facts for one in plan.open_records if one.facts.conflicts]
        answers = [answer for record in conflicting for answer in answers_of(record)]
        linked += [answer.item_id for answer in answers if answer.kind is AnswerKind.COPY]
        linked += facts.claimed.lost_creates.items if unlinked else ()
        if not (linked or unlinked):
            return facts
        texts = {text for record in unlinked for text in searched_texts(board, record)}
        npd_ids = [str(record.pk) for record in unlinked]
        items = self.board_items(board, list(dict.fromkeys(linked)), npd_ids, sorted(texts), len(linked))
        facts = replace(facts, monday=MondayFacts(items))
        missing, healed = column_findings(board, [*items.linked.values(), *items.by_npd_id, *items.by_match])
        if not (missing or healed):
            return facts
        board, columns = self.inspect(board, missing, healed)
        return replace(facts, board=board, monday=MondayFacts(items, columns))

    def what_items_point_at(self, facts: PassFacts, plan: Plan) -> PassFacts:
        """Add what NPD knows of the items that were read, and of the records that they name."""
        if not (plan.open_records or plan.open_deleted or facts.claimed.unmatched):
            return facts
        items = facts.found
        records = [one.facts for one in plan.open_records]
        pairs = _pairs(facts, records)
        changed = [(record, item) for record, item in pairs if not is_resting(facts.board, record, item)]
        gone = [
            replace(record, item=items.linked.get(record.record.monday_id))
            for record in records
            if record.record.monday_id
        ]
        gone = [record for record in gone if removed_state(facts.board, record)]
        deleted = [replace(one.facts, item=items.linked.get(one.item_id)) for one in plan.open_deleted]
        unmatched = self.unmatched(facts) if facts.claimed.unmatched else ()
        removals = self.removals(facts, gone) if gone else {}
        deletions = deletion_facts(facts.board, deleted) if deleted else DeletionFacts()
        board, related = self.related(facts, plan, changed, [*gone, *deleted])
        return replace(
            facts,
            board=board,
            identity=self.identity(facts, records, pairs),
            unmatched=tuple(unmatched),
            removals=removals,
            deletions=deletions,
            related=related,
            edits=edit_facts(board, changed),
            approvals=self.approvals(facts, changed, removals, deleted, unmatched),
            people=people_of(facts, plan, deletions, removals),
        )

    # Monday's side.

    def board_items(
        self, board: BoardContext, linked: Sequence[str], npd_ids: Sequence[str], texts: Sequence[str], size: int
    ) -> BatchItems:
        """Ask Monday once for everything that a pass needs; where a part has more pages, they are read too: a part of
        the hits would look like few hits.

        Monday finds texts as they are written; by their match key those items are found that are known to have no
        record, and those that are read anyway.
        """
        match, keys = board.match_mapping, {match_key(text) for text in texts}
        linked = [*linked, *unmatched_items(board, keys)[: max(ITEMS_PER_READ - len(linked), 0)]]
        self.calls += 1
        with call_cost(board.link, size + len(npd_ids)):
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
        found = self._with_further_pages(board, result)
        matched = {item.id for item in found.by_match}
        alike = [item for item in found.linked.values() if match_text_of_item(board, item) in keys]
        alike = [item for item in alike if item.id not in matched and is_active_on(board, item)]
        return replace(found, by_match=[*found.by_match, *alike])

    def _with_further_pages(self, board: BoardContext, result: BatchItems) -> BatchItems:
        found = {"by_npd_id": result.by_npd_id, "by_match": result.by_match}
        for part, first in result.cursors.items():
            cursor: str | None = first
            for _ in range(MAX_PAGES):
                if cursor is None:
                    break
                self.calls += 1
                with call_cost(board.link, 0):
                    page, cursor = connector().next_page(cursor, board.columns, board.types)
                found[part] = [*found[part], *page]
        return BatchItems(linked=result.linked, by_npd_id=found["by_npd_id"], by_match=found["by_match"])

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        """Return these items, whatever became of them, as far as Monday shows them; raises MondayError."""
        found: dict[str, Item] = {}
        size = ITEMS_PER_READ
        for start in range(0, len(ids), size):
            asked_ids = ids[start : start + size]
            self.calls += 1
            with call_cost(board.link, len(asked_ids)):
                items = connector().read_items(asked_ids, board.columns, board.types)
            found |= {item.id: item for item in items}
        return found

    def removed_items(self, board: BoardContext, named: EmptiedCells) -> set[str]:
        """Return which of these items, by the models of their records, are not on their boards.

        What neither a pass nor a webhook told is asked of Monday, by a call: an item that leaves its board empties the
        cells that name it. Of each is said whose cells these are.
        """
        removed = set[str]()
        for model, items in named.items():
            told = lookups.items_told_removed(model, list(items))
            removed |= told
            unsure = sorted(items.keys() - told)
            shown = self.items_by_id(board, unsure) if unsure else {}
            home = link.board_id if unsure and (link := link_of(model.entity_type())) else None
            for item_id in unsure:
                item = shown.get(item_id)
                if item is None or item.state != ACTIVE or item.board_id not in (None, home):
                    removed.add(item_id)
        return removed

    def unmatched(self, facts: PassFacts) -> Sequence[ItemFacts]:
        """Return what NPD knows of the claimed items that no record has.

        Costs a call where an item may take the place of one that wasn't read.
        """
        board, context = facts.board, item_context(facts)
        items = item_facts(context, facts.claimed.unmatched, facts.found)
        named = {item.item_id: item.named for item in items if item.named and item.named.monday_id}
        if not named:
            return items
        owners = {record.pk: record for record in named.values()}
        known = {record.id: record for record in facts.claimed.records if record.id in owners}
        unclaimed = {key: Claim(key, None, []) for key in owners if key not in known}
        known |= {record.id: record for record in _record_facts(board, unclaimed, owners)} if unclaimed else {}
        firsts = {key: replace(known[owner.pk], item=None) for key, owner in named.items()}
        items = [replace(item, first=firsts.get(item.item_id)) for item in items]
        own_items = dict(facts.found.linked)
        missing = sorted({item.first_item_id for item in items if item.first_item_id} - own_items.keys())
        own_items |= self.items_by_id(board, missing) if missing else {}
        return _with_copy_history(items, own_items)

    def removals(self, facts: PassFacts, gone: Sequence[RecordFacts]) -> dict[UUID, RemovalFacts]:
        """Return what is known of records whose items are gone."""
        policy = self.removal_policy(facts.board)
        rejected = _rejected_deletions(facts.board, gone)
        # Who archived or deleted these items, by name, and when, as far as webhooks told.
        ids = [record.record.monday_id for record in gone]
        events = WebhookEvent.objects.filter(item_id__in=ids).of_kind(EventKind.ARCHIVED, EventKind.DELETED)
        by_item = lookups.events_by_item(events.order_by("id"))
        people = monday_users() if by_item else {}
        recreates = policy == RemovedItemPolicy.CREATE
        ids_gone = [record.id for record in gone]
        too_often = _recreated_too_often(ids_gone, facts.settings.loop_times) if recreates else set()
        found = {}
        for record in gone:
            received = by_item.get(record.record.monday_id or "")
            event = received[-1].event if received else None
            user = event.user_id if event else ""
            removal = RemovalFacts(
                record,
                removed_state(facts.board, record),
                policy,
                actor=monday_user_name(user, people) if user else "",
                editor=monday_editor_name(user, people) if user else "",
                done_at=event.happened_at if event else None,
                people=people,
                rejected=rejected.get(record.id, ""),
                is_removed_too_often=record.id in too_often,
            )
            if wants_obstacles(removal, facts.settings, facts.now):
                needed, loss = deletion_obstacles(record.record)
                removal = replace(removal, needed_by=needed, loss=loss)
            found[record.id] = removal
        return found

    def removal_policy(self, board: BoardContext) -> RemovedItemPolicy:
        """Return what becomes of records whose items are gone, as it is now and not when the board was taken.

        What counts toward the limit of deletions goes by it too (records/approvals.py).
        """
        link = board.link
        link.removed_item_policy = BoardLink.objects.values_list("removed_item_policy", flat=True).get(pk=link.pk)
        return RemovedItemPolicy(link.removed_item_policy)

    def related(
        self, facts: PassFacts, plan: Plan, pairs: Sequence[Pair], gone: Sequence[RecordFacts]
    ) -> tuple[BoardContext, RelatedFacts]:
        """Return the related records that may be asked for, and the board by whose names items are shown."""
        board, records = facts.board, [one.facts for one in plan.open_records]
        if not board.relations:
            return board, facts.related
        unmatched = [facts.found.linked.get(claim.remote_id or "") for claim in facts.claimed.unmatched]
        read = [(record.record, item) for record, item in pairs]
        read += [(board.model(), item) for item in unmatched if item is not None]
        read += [(record.record, record.item) for record in gone if record.item is not None]
        named = [reference for record, item in read for reference in named_by(board, record, item)]
        references = {reference_to(target_of(relation), data) for relation, data in named}
        for record in records:
            if record.conflicts:
                references |= chosen_references(board, record)
        # What was overwritten is in no cell any more; people are told of it, and take it back, by its name.
        for one in plan.open_records:
            references |= {found for lost in one.lost.found for found in _overwritten_references(board, lost)}
        known, lacks_item = _related_of_records(board, records)
        related = lookups.read_related(references, replace(facts.related, records={**facts.related.records, **known}))
        emptied: dict[type[SyncedModel], dict[str, set[str]]] = {}
        for record, item in pairs:
            for model, item_id in items_of_emptied_cells(board, record, item):
                emptied.setdefault(model, {}).setdefault(item_id, set()).add(item.id)
        related = replace(
            related,
            boards=related.boards | _with_boards(lacks_item),
            removed_items=frozenset(self.removed_items(board, emptied)) if emptied else frozenset(),
        )
        return board.with_names(lookups.item_names(board, related, records)), related

    def identity(self, facts: PassFacts, records: Sequence[RecordFacts], pairs: Sequence[Pair]) -> IdentityFacts:
        """Return whose the items are that were found for records without one, and who has the key of one made of an
        item.
        """
        board, found = facts.board, facts.found
        unlinked = [record.id for record in records if not record.record.monday_id]
        known = IdentityFacts()
        if unlinked:
            hits = [item.id for item in (*found.by_npd_id, *found.by_match)]
            known = identity_facts(board, hits, unlinked, found.by_match)
        keys = {
            record.id: key
            for record, item in pairs
            if record.ledger.made_from_item and (key := match_text_of_item(board, item))
        }
        if not keys:
            return known
        same_key = records_by_match_key(board, keys.values())
        doubted = [key for key, text in keys.items() if any(one.pk != key for one in same_key.get(text, ()))]
        return replace(known, same_key=same_key, untouched=unedited_records(board.model, doubted))

    def approvals(
        self,
        facts: PassFacts,
        pairs: Sequence[Pair],
        removals: Mapping[UUID, RemovalFacts],
        deleted: Sequence[RecordFacts],
        unmatched: Sequence[ItemFacts],
    ) -> ApprovalFacts:
        """Return what was asked before about the deletes and clears that this pass may want, and what counts."""
        link, ids, kinds = facts.board.link, set[UUID](), list[ApprovalKind]()
        emptied = [record.id for record, item in pairs if may_empty(facts.board, record, item)]
        copied = [item.first.id for item in unmatched if item.first is not None]
        kinds += [ApprovalKind.RECORDS] if any(map(may_delete, removals.values())) else []
        kinds += [ApprovalKind.ITEMS] if deleted or copied else []
        kinds += CLEARS if emptied else ()
        ids.update(emptied, copied, removals, (record.id for record in deleted))
        ids.update(record.id for record, _ in pairs if record.ledger.blocked_fields)
        if not ids:
            return ApprovalFacts()
        known = known_requests(link, list(ApprovalKind), ids, self.foreseen)
        return with_counts(known, link, kinds, self.foreseen) if kinds else known

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
    """Return the items that bear these NPD IDs, by NPD ID; None where one can't be read. Raises MondayError."""
    found: dict[str, Item] = {}
    # Not in smaller parts after failures: then one look-up of a hundred would become a hundred calls.
    for start in range(0, len(ids), ITEMS_PER_READ):
        asked_ids = ids[start : start + ITEMS_PER_READ]
        with call_cost(board.link, len(asked_ids)):
            result = connector().read_batch(
                board.link.board_id, [], board.columns, board.link.npd_id_column, asked_ids, types=board.types
            )
        for item in result.by_npd_id:
            npd_id = npd_id_of(board, item)
            if npd_id is None:
                return None
            if npd_id in asked_ids:
                found.setdefault(npd_id, item)
    return found


def _column_problems(board: BoardContext) -> set[str]:
    found = {mapping.key for mapping in board.mappings if mapping.problem}
    return found | ({"npd_id"} if board.link.npd_id_problem else set())


Pair: TypeAlias = tuple[RecordFacts, Item]
"""A record with its item, or with one that may be its."""

EmptiedCells: TypeAlias = Mapping[type[SyncedModel], Mapping[str, Collection[str]]]
"""The items that bases name while the cells are empty, by the models of their records; each with whose cells."""


def _pairs(facts: PassFacts, records: Sequence[RecordFacts]) -> list[Pair]:
    found, lost = facts.found, facts.claimed.lost_creates
    candidates = Candidates.of(facts.board, found)
    pairs: list[Pair] = []
    for record in records:
        item_id = record.record.monday_id
        hits = [found.linked.get(item_id)] if item_id else []
        if not item_id:
            hits += candidates.named.get(str(record.id), ())
            key = match_text_of_record(facts.board, record.record)
            hits += candidates.keyed.get(key, ()) if key else ()
            hits += [found.linked.get(item) for item in lost.items] if record.id in lost.records else ()
        pairs += [(replace(record, item=item), item) for item in hits if item is not None]
    return pairs


def _overwritten_references(board: BoardContext, lost: LostUpdate) -> Iterator[Reference]:
    """Yield the record whose item a field's value names that was on Monday."""
    for mapping, relation in board.relations:
        if mapping.key == lost.key and lost.value is not None and board.converter(mapping).names_items:
            yield Reference(target_of(relation), "monday_id", str(lost.value))


def _related_of_records(
    board: BoardContext, records: Iterable[RecordFacts]
) -> tuple[dict[Reference, Sequence[SyncedModel]], set[type[SyncedModel]]]:
    """Return the records that these name in NPD, which were read with them, and the models of those without an item."""
    known: dict[Reference, Sequence[SyncedModel]] = {}
    lacks_item = set[type[SyncedModel]]()
    for record in records:
        for _, relation in board.relations:
            related = getattr(record.record, relation.name)
            if related is not None:
                known[Reference(target_of(relation), "pk", str(related.pk))] = (related,)
                lacks_item |= set() if related.monday_id else {type(related)}
    return known, lacks_item


def _with_boards(models_: Iterable[type[SyncedModel]]) -> frozenset[str]:
    """Return the types of these models that have a board."""
    found = set[str]()
    for model in models_:
        with suppress(UnknownEntity):
            if (link := link_of(model.entity_type())) and link.board_id:
                found.add(model.entity_type())
    return frozenset(found)


def edit_facts(board: BoardContext, pairs: Sequence[Pair]) -> EditFacts:
    """Read when fields were edited that both sides may have changed under the rule “newest”, and who made items."""
    edited = {record.id: record.record for record, item in pairs if needs_edit_times(board, record, item)}
    makers = {record.id: item.id for record, item in pairs if lacks_base(board, record) and wants_maker(board, record)}
    found = lookups.read_edits(board, edited) if edited else EditFacts()
    return replace(found, makers=makers_of(board, makers)) if makers else found


def people_of(
    facts: PassFacts, plan: Plan, deletions: DeletionFacts, removals: Mapping[UUID, RemovalFacts]
) -> Mapping[str, Any]:
    """Return Monday's users, where somebody's edit may have to be told."""
    lost = [one.lost.found for one in plan.records.values()] + [one.lost.found for one in plan.deleted.values()]
    rewritten = any(one.facts.events and one.facts.history.last_writes for one in plan.open_records)
    return monday_users() if any(lost) or rewritten or deletions.editor_events else {}


DAY = timedelta(days=1)


def load_settings() -> Settings:
    return Settings(
        gone_quiet_seconds=float(settings.GONE_QUIET_SECONDS),
        tombstone_days=settings.TOMBSTONE_DAYS,
        loop_times=settings.LOOP_TIMES,
        new_item_wait_seconds=float(settings.NEW_ITEM_WAIT_SECONDS),
        journal_days=settings.JOURNAL_DAYS,
    )


def claimed_facts(
    board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
) -> ClaimedFacts:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number.

    `planned` are what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """
    model = board.model
    items = [claim.remote_id for claim in claims if claim.entity_id is None]
    owners = dict(model._default_manager.filter(monday_id__any_of=items).values_list("monday_id", "pk"))
    unmatched: list[Claim] = []
    rows: dict[UUID, list[SyncQueue]] = {}
    for claim in claims:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            unmatched.append(claim)
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    relations = board.joined_relations
    # Without a name select_related would follow every relation.
    found = model._default_manager.select_related(*relations) if relations else model._default_manager.all()
    records = {record.id: record for record in found.filter(pk__any_of=list(rows))} | dict(planned)
    merged = {entity_id: Claim(entity_id, None, jobs) for entity_id, jobs in rows.items()}
    missing = [claim for key, claim in merged.items() if key not in records]
    deleted = _deleted_facts(board, missing) if missing else []
    remembered = {facts.id for facts in deleted}
    facts = _record_facts(board, {key: claim for key, claim in merged.items() if key in records}, records)
    lost = [intent for record in facts if not record.record.monday_id for intent in record.history.writes]
    return ClaimedFacts(
        records=facts,
        deleted=tuple(deleted),
        unknown=tuple(claim for claim in missing if claim.entity_id not in remembered),
        unmatched=tuple(unmatched),
        known_items=tuple(map(str, owners)),
        lost_creates=_lost_creates(board, [intent for intent in lost if _is_lost_create(intent)]),
    )


def _record_facts(
    board: BoardContext, claims: Mapping[UUID, Claim], records: Mapping[UUID, SyncedModel]
) -> tuple[RecordFacts, ...]:
    entity_type = board.link.entity_type
    ledgers = {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(entity_type, claims)}
    conflicts = open_conflicts(entity_type, claims)
    failed = SyncQueue.objects.filter(
        entity_type=entity_type, entity_id__any_of=list(claims), status=QueueStatus.FAILED
    )
    with_failed_job = set(failed.values_list("entity_id", flat=True))
    asked_items = {c.monday_item_id for found in conflicts.values() for c in found if c.kind == KIND_IDENTITY}
    owned: frozenset[str] = frozenset()
    if asked_items:
        linked = board.model._default_manager.filter(monday_id__in=asked_items)
        owned = frozenset(map(str, linked.values_list("monday_id", flat=True)))
    for key in [key for key, record in records.items() if record._state.adding]:
        # A dry run's, of an item that would become a record.
        ledgers[str(key)] = new_ledger(entity_type, key)
        ledgers[str(key)].made_from_item = True
    events = _new_events(board, [record.monday_id for record in records.values() if record.monday_id])
    facts = [
        RecordFacts(
            claim,
            records[key],
            ledgers.get(str(key)) or new_ledger(entity_type, key),
            conflicts=tuple(conflicts.get(key, ())),
            events=tuple(events.get(records[key].monday_id or "", ())),
            has_failed_job=key in with_failed_job,
            owned_items=owned,
        )
        for key, claim in claims.items()
    ]
    return tuple(_with_histories(board, facts))


def _new_events(board: BoardContext, items: Sequence[str]) -> Mapping[str, Sequence[ReceivedEvent]]:
    """Read the events of these items that no pass has checked, as they came."""
    new = WebhookEvent.objects.filter(processed_at=None, item_id__any_of=items, board_id=board.link.board_id)
    return lookups.events_by_item(new.order_by("id"))


# Their history: recent events, writes of ours, loops.


MAX_EVENTS = 2_000
"""So many of a pass's newest events count; a field that is rewritten more often is a loop, and shown as one."""

_EFFECTIVE_STATES = (IntentState.APPLIED, IntentState.CONFIRMED)


def _with_histories(board: BoardContext, records: Sequence[RecordFacts]) -> list[RecordFacts]:
    """Add our open intents, and what happened before: three queries, and two more where an event or a write asks."""
    ids = [record.id for record in records]
    # All intents count where something new was told, or where a create without an answer may have left the base.
    whole = [record.id for record in records if record.events or _may_lack_base(board, record)]
    intents = _intents_of(ids, whole)
    loops: dict[UUID, dict[str, WriteLoop]] = {}
    for row in WriteLoop.objects.filter(entity_type=board.link.entity_type, entity_id__any_of=ids):
        loops.setdefault(row.entity_id, {})[row.key] = row
    now = sync_now()
    found = []
    for record in records:
        of_record = intents.get(record.id, ())
        history = _history(of_record, now) if of_record else RecordHistory()
        if record.id in loops:
            history = replace(history, loops=loops[record.id])
        is_open = tuple(intent for intent in of_record if intent.state == IntentState.OPEN)
        found.append(replace(record, intents=is_open, history=history) if of_record or loops else record)
    told = {one.id: one.record.monday_id or "" for one in found if one.events or one.history.void}
    events = _recent_events(board, list(told.values())) if told else {}
    needs_user = told.keys() | {one.id for one in found if one.history.ended_creates or one.history.changes}
    user = token_user() if needs_user else ""
    return [_with_events(one, events, user) if one.id in needs_user else one for one in found]


def _may_lack_base(board: BoardContext, record: RecordFacts) -> bool:
    item_id = record.record.monday_id
    return not item_id or any(
        mapping.column_id and base_of(record.ledger, mapping, item_id) is None for mapping in board.mappings
    )


def _intents_of(ids: Collection[UUID], whole: Collection[UUID]) -> dict[UUID, tuple[Intent, ...]]:
    """Read our intents for these records, the oldest first: open ones and those of late; of the `whole`, all."""
    recent = Q(state=IntentState.OPEN) | Q(created_at__gt=SyncNow() - LOOP_WINDOW)
    recent |= Q(settled_at__gt=SyncNow() - STALE_READ_WINDOW)
    recent |= Q(state=IntentState.VOID, settled_at__gt=SyncNow() - EVENT_WINDOW)
    rows = Intent.objects.filter(recent | Q(entity_id__any_of=list(whole)), entity_id__any_of=list(ids))
    return _by_record(rows.defer("body").order_by("created_at"))


def _history(intents: Sequence[Intent], now: datetime) -> RecordHistory:
    """Return what a record's intents say of what happened before."""
    applied, void, ended, last_writes = list[Intent](), list[Intent](), list[Intent](), dict[str, Intent]()
    oldest_write = now - timedelta(days=settings.JOURNAL_DAYS)
    for intent in intents:
        is_recent = intent.created_at > now - EVENT_WINDOW
        if intent.state in _EFFECTIVE_STATES and intent.created_at > now - LOOP_WINDOW:
            last_writes |= dict.fromkeys(intent.values, intent)
        if not intent.item_id:
            is_ended = _is_lost_create(intent) or intent.state == IntentState.CONFIRMED
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
    )


def _is_lost_create(intent: Intent) -> bool:
    """Whether it was given up, for no item of it was found."""
    return not intent.item_id and intent.state == IntentState.VOID and intent.lookups > 0


def _recent_events(board: BoardContext, items: Sequence[str]) -> dict[str, list[ReceivedEvent]]:
    rows = WebhookEvent.objects.filter(
        item_id__in=items, board_id=board.link.board_id, received_at__gt=SyncNow() - EVENT_WINDOW
    )
    return lookups.events_by_item(rows.order_by("-received_at")[:MAX_EVENTS])


def _with_events(record: RecordFacts, recent: Mapping[str, Sequence[ReceivedEvent]], user: str) -> RecordFacts:
    """Add what was told within a day; an event that no pass has checked counts however old it is."""
    told = recent.get(record.record.monday_id or "", ())
    events = tuple({event.pk: event for event in (*told, *record.events)}.values())
    return replace(record, history=replace(record.history, events=events, token_user=user))


def makers_of(board: BoardContext, items: Mapping[UUID, str]) -> dict[UUID, tuple[str, bool]]:
    """Read, as far as events tell, who made these records' items, and whether somebody typed the NPD ID."""
    creation_types = EVENT_TYPES[EventKind.CREATED]
    npd_id_told = Q(board_id=board.link.board_id, column_id=board.link.npd_id_column)
    rows = WebhookEvent.objects.filter(npd_id_told | Q(type__in=creation_types), item_id__in=set(items.values()))
    makers: dict[str | None, str] = {}
    typed = set()
    for row in rows.order_by("id"):
        if row.type in creation_types:
            makers.setdefault(row.item_id, row.user_id)
        if (row.board_id, row.column_id) == (board.link.board_id, board.link.npd_id_column):
            typed.add(row.item_id)
    return {key: (makers.get(item_id, ""), item_id in typed) for key, item_id in items.items()}


def token_user() -> str:
    """Return the Monday user as whom we write; empty where that isn't known yet."""
    return MondayAccount.objects.filter(id=1).values_list("user_id", flat=True).first() or ""


def _by_record(intents: Iterable[Intent]) -> dict[UUID, tuple[Intent, ...]]:
    found: dict[UUID, list[Intent]] = {}
    for intent in intents:
        found.setdefault(intent.entity_id, []).append(intent)
    return {key: tuple(of_record) for key, of_record in found.items()}


# Identity: who could be whose.


MAX_ITEMS = 500
"""So many items at most are asked for; a name that more of them bear in so short a time says nothing."""


def identity_facts(
    board: BoardContext, items: Collection[str], records: Collection[UUID], matching: Sequence[Item]
) -> IdentityFacts:
    """Read whose these items are, and what is remembered of them and of these records without an item.

    Of those found by their match key also which of the records are there whose NPD IDs they bear.
    """
    entity_type = board.link.entity_type
    npd_ids = [npd_id for item in matching if (npd_id := as_uuid(npd_id_of(board, item) or ""))]
    existing = board.model._default_manager.filter(pk__in=npd_ids).values_list("pk", flat=True) if npd_ids else ()
    rows = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=[item.id for item in matching])
    owners = {item_id: owner.pk for item_id, owner in owners_of(entity_type, items).items()}
    exists = frozenset(existing)
    return IdentityFacts(
        owners,
        exists,
        MatchExclusions({row.item_id: row for row in rows}, unlinked_items(entity_type, list(records))),
        unedited_from_items(board, {*owners.values(), *exists} - set(records)),
    )


def unmatched_items(board: BoardContext, keys: Collection[str]) -> list[str]:
    """Return the items without a record that were last seen with one of these match keys."""
    match = board.match_mapping
    if match is None or not keys:
        return []
    keyed = UnmatchedItem.objects.annotate(match_key=lookups.match_key_of(KeyTextTransform(match.key, "values")))
    of_board = keyed.filter(entity_type=board.link.entity_type, board_id=board.link.board_id)
    return list(of_board.filter(match_key__in=key_spellings(keys)).values_list("item_id", flat=True))


def records_by_match_key(board: BoardContext, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys, by key; one query."""
    wanted, match = sorted(set(keys)), board.match_mapping
    if match is None or not wanted:
        return {}
    records = board.model._default_manager.annotate(match_key=lookups.match_key_of(match.fields[0]))
    found: dict[str, list[SyncedModel]] = {}
    for record in records.filter(match_key__in=key_spellings(wanted)):
        found.setdefault(match_text_of_record(board, record), []).append(record)
    return {key: found[key] for key in wanted if key in found}


def unedited_records(model: type[SyncedModel], ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of these records that nobody changed in NPD, and at which nothing in NPD points.

    One query for each history and each relation to them.
    """
    left = set(ids)
    for events in event_models(tracks_model=model) if left else ():
        edits = events._default_manager.filter(pgh_obj_id__in=left).exclude(pgh_context__metadata__cause="sync")
        left -= set(edits.values_list("pgh_obj_id", flat=True))
    histories = set(event_models())
    for relation in [r for r in model._meta.related_objects if r.related_model not in histories] if left else ():
        name = relation.field.name
        pointing: Any = relation.related_model._default_manager.filter(**{f"{name}__in": left})
        left -= set(pointing.values_list(name, flat=True))
    return frozenset(left)


def unedited_from_items(board: BoardContext, ids: Collection[UUID]) -> dict[UUID, SyncedModel]:
    """Return those of these records that were made from an item, and that nobody touched in NPD."""
    made = SyncMetadata.objects.of(board.link.entity_type, ids).filter(made_from_item=True)
    unedited = unedited_records(board.model, [UUID(key) for key in made.values_list("entity_id", flat=True)])
    return board.model._default_manager.in_bulk(unedited)


def _lost_creates(board: BoardContext, lost: Sequence[Intent]) -> LostCreates:
    """Read which items may be those of creates that were given up, for no item of theirs was found."""
    items = _items_in_events(board, lost) if lost else ()
    if not items:
        return LostCreates()
    records = {intent.entity_id for intent in lost}
    # Items from which these records were parted already: they are not to come back by themselves.
    rows = Decision.objects.filter(entity_id__in=records, kind="unlinked").exclude(remote_id="")
    unlinked = frozenset((key, item_id) for key, item_id in rows.values_list("entity_id", "remote_id") if key)
    return LostCreates(frozenset(records), items, unlinked)


def _items_in_events(board: BoardContext, lost: Sequence[Intent]) -> tuple[str, ...]:
    """Items that webhooks named since then as made with one of the NPD IDs, or as taken away under one of the names."""
    ids = {str(intent.entity_id) for intent in lost}
    sent = [entry for intent in lost for entry in intent.values.values() if entry["column"] == "name"]
    names = {str(value) for entry in sent for value in entry["local"].values()}
    events = WebhookEvent.objects.filter(
        board_id=board.link.board_id, received_at__gte=min(intent.created_at for intent in lost)
    )
    told = events.of_kind(EventKind.CREATED, EventKind.ARCHIVED, EventKind.DELETED).annotate(
        npd_id=event_column_text(board.link.npd_id_column), called=event_item_name()
    )
    named = told.filter(Q(npd_id__in=ids) | Q(called__in=names))
    item_ids = named.order_by("-id").values_list("item_id", flat=True)[:MAX_ITEMS]
    found = [str(item_id) for item_id in dict.fromkeys(item_ids) if item_id]
    owned = set(board.model._default_manager.filter(monday_id__in=found).values_list("monday_id", flat=True))
    return tuple(item_id for item_id in found if item_id not in owned)


def answer_facts(
    board: BoardContext, records: Collection[UUID], items: Collection[str], merged: frozenset[UUID], *, locks: bool
) -> AnswerFacts:
    """Read what answers rest on; with `locks`, lock the records that they name, in the order of their ids."""
    rows = board.model._default_manager.filter(pk__in=records).order_by("pk")
    # With the key's lock where one of them may be deleted.
    rows = rows.select_for_update(no_key=not merged, of=("self",)) if locks else rows
    linked = board.model._default_manager.filter(monday_id__in=items)
    owners = {str(record.monday_id): record for record in linked} if items else {}
    named = {record.pk: record for record in rows}
    needed = {key: why for key in merged & named.keys() if (why := deletion_obstacles(named[key])[0])}
    return AnswerFacts(named, owners, unedited_records(board.model, merged), needed)


# Removed items and deleted records.


def _deleted_facts(board: BoardContext, claims: Sequence[Claim]) -> list[DeletedFacts]:
    """Return what is known of deleted records before their items are read; of what never was a record, nothing."""
    entity_type = board.link.entity_type
    ids = [claim.entity_id for claim in claims if claim.entity_id]
    tombstones = {t.entity_id: t for t in Tombstone.objects.filter(entity_type=entity_type, entity_id__in=ids)}
    ledgers = {row.entity_id: row for row in SyncMetadata.objects.of(entity_type, tombstones)}
    conflicts = open_conflicts(entity_type, tombstones)
    open_intents = Intent.objects.filter(entity_id__in=tombstones, state=IntentState.OPEN).exclude(item_id="")
    intents = _by_record(open_intents.order_by("created_at"))
    records = rebuild_records(board.model, list(tombstones.values()))
    items = [tombstone.monday_id for tombstone in tombstones.values() if tombstone.monday_id]
    owners = {str(owner.monday_id): owner for owner in board.model._default_manager.filter(monday_id__in=items)}
    events = _new_events(board, items)
    found = [
        DeletedFacts(
            claim,
            records[claim.entity_id],
            ledgers.get(str(claim.entity_id)) or new_ledger(entity_type, claim.entity_id),
            intents.get(claim.entity_id, ()),
            tuple(conflicts.get(claim.entity_id, ())),
            tuple(events.get(tombstones[claim.entity_id].monday_id or "", ())),
            tombstone=tombstones[claim.entity_id],
            owner=owners.get(tombstones[claim.entity_id].monday_id or ""),
        )
        for claim in claims
        if claim.entity_id in tombstones
    ]
    told = [facts.id for facts in found if facts.events]
    if not told:
        return found
    writes = _intents_of(told, told)
    recent, user, now = _recent_events(board, items), token_user(), sync_now()
    known = {facts.id: replace(facts, history=_history(writes.get(facts.id, ()), now)) for facts in found}
    return [
        cast(DeletedFacts, _with_events(known[facts.id], recent, user)) if facts.events else facts for facts in found
    ]


def deletion_facts(board: BoardContext, deleted: Sequence[DeletedFacts]) -> DeletionFacts:
    """Read what becomes of deleted records' items, whose NPD IDs these bear, and who edited those that have left."""
    npd_ids = {facts.id: npd_id for facts in deleted if (npd_id := wanted_bearer(board, facts)) is not None}
    bearers = board.model._default_manager.in_bulk(set(npd_ids.values())) if npd_ids else {}
    return DeletionFacts(
        current_deletion_policy(board.link)[0],
        {key: bearers[npd_id] for key, npd_id in npd_ids.items() if npd_id in bearers},
        editors_of(board, [facts for facts in deleted if wants_editors(board, facts)]),
    )


def editors_of(board: BoardContext, deleted: Iterable[DeletedFacts]) -> dict[UUID, tuple[ReceivedEvent, ...]]:
    """Read the events of these deleted records' items, by which it is told who edited them."""
    items = {facts.id: str(facts.tombstone.monday_id) for facts in deleted}
    if not items:
        return {}
    rows = WebhookEvent.objects.filter(board_id=board.link.board_id, item_id__in=list(items.values()))
    events = lookups.events_by_item(rows)
    return {key: tuple(events.get(item_id, ())) for key, item_id in items.items()}


def current_deletion_policy(link: BoardLink) -> tuple[DeletedRecordPolicy, dict[str, Any]]:
    """Return what becomes of items and the filter, as they are now and not when the board was taken, minutes ago."""
    links = BoardLink.objects.filter(pk=link.pk)
    policy, sync_filter = links.values_list("deleted_record_policy", "sync_filter").get()
    return DeletedRecordPolicy(policy), sync_filter


def _rejected_deletions(board: BoardContext, records: Sequence[RecordFacts]) -> dict[UUID, str]:
    """The records whose deletion a person rejected since their items are gone: `rejected`, later `kept`."""
    since = {facts.id: facts.ledger.removed_since for facts in records if facts.ledger.removed_since}
    acts = ApprovalRequest.objects.filter(
        entity_type=board.link.entity_type,
        kind=ApprovalKind.RECORDS,
        entity_id__in=since,
        state__in=(ApprovalState.REJECTED, ApprovalState.KEPT),
    )
    return {act.entity_id: act.state for act in acts.order_by("id") if act.at >= since[act.entity_id]}


def _recreated_too_often(ids: Sequence[UUID], times: int) -> set[UUID]:
    """The records whose item was made again by the board's setting so many times within a day; 0 is never."""
    if times <= 0:
        return set()
    made = Decision.objects.filter(entity_id__in=ids, kind="unlinked", values__again=True, at__gt=SyncNow() - DAY)
    often = made.order_by().values("entity_id").annotate(times=Count("id")).filter(times__gte=times)
    return {row["entity_id"] for row in often if row["entity_id"]}


def board_now(link: BoardLink) -> BoardNow:
    """Return what stands of the board's settings as its pass is written."""
    policy = BoardLink.objects.values_list("removed_item_policy", flat=True).get(pk=link.pk)
    mappings = link.mappings.values_list("key", "version", "direction")
    return BoardNow({key: (version, way) for key, version, way in mappings}, RemovedItemPolicy(policy))


def deletion_obstacles(record: models.Model) -> tuple[str, str]:
    """Return why a record can't be deleted in NPD, and what others would lose by it; empty texts where nothing.

    What would be deleted with it (a cascade) counts as a reason too: nobody meant these.
    """
    collector = Collector(using="default", origin=record)
    try:
        collector.collect([record])
    except (ProtectedError, RestrictedError) as needed:
        objects = getattr(needed, "protected_objects", None) or getattr(needed, "restricted_objects", [])
        return f"{_count_by_kind(list(objects))} in NPD can't be without “{record}”.", ""
    others = [one for rows in collector.data.values() for one in rows if one != record]
    others += [one for rows in collector.fast_deletes for one in rows]
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


def item_facts(context: ItemContext, claims: Sequence[Claim], found: BatchItems) -> list[ItemFacts]:
    """Read what NPD knows of the claimed items that no record has; a handful of queries whatever their number."""
    ids = [claim.remote_id for claim in claims if claim.remote_id]
    events = _item_events(context, ids)
    # A call about the item was announced whose outcome nobody knows.
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    items = [
        ItemFacts(
            claim,
            found.linked.get(claim.remote_id or ""),
            events.get(claim.remote_id or "", ItemEvents()),
            unconfirmed_until=unconfirmed.get(claim.remote_id or ""),
        )
        for claim in claims
    ]
    # The records of other types that have the items, or the NPD IDs that they bear; a query for each type.
    npd_ids = {item.item_id: _npd_id(context, item) for item in items}
    owners, taken, named = dict[str, SyncedModel](), set[UUID](), set(npd_ids.values()) - {None}
    for spec in registry.entities():
        if spec.entity_type != context.board.link.entity_type:
            for record in spec.model._default_manager.filter(Q(monday_id__in=ids) | Q(pk__in=named)):
                owners.setdefault(str(record.monday_id), record)
                taken.add(record.pk)
    items = [
        replace(item, owner=owners.get(item.item_id), is_npd_id_taken=npd_ids[item.item_id] in taken) for item in items
    ]
    return _with_records(context, items)


def _item_events(context: ItemContext, ids: Sequence[str]) -> dict[str, ItemEvents]:
    """What webhooks told of these items; how long they are quiet is told by those of the board."""
    here = Q(board_id=context.board.link.board_id)
    told = WebhookEvent.objects.filter(item_id__in=ids).order_by().values("item_id")
    edit_types = [name for kind in EDIT_KINDS for name in EVENT_TYPES[kind]]
    is_new_edit = here & Q(processed_at=None, type__in=edit_types)
    rows = told.annotate(
        first=Min("received_at", filter=here),
        last=Max("received_at", filter=here),
        new=ArrayAgg("pk", filter=Q(processed_at=None), order_by="pk", default=Value([])),
        new_edits=Count("pk", filter=is_new_edit),
    )
    return {
        str(row["item_id"]): ItemEvents(row["first"], row["last"], tuple(row["new"]), row["new_edits"] > 0)
        for row in rows
    }


def _npd_id(context: ItemContext, facts: ItemFacts) -> UUID | None:
    return as_uuid(npd_id_of(context.board, facts.item) or "") if facts.item else None


def _with_records(context: ItemContext, items: Sequence[ItemFacts]) -> list[ItemFacts]:
    """Add the records and deleted records that the items could be, and what is remembered of the items."""
    board, entity_type = context.board, context.board.link.entity_type
    wanting = {item.item_id: item for item in items if wants_records(context, item)}
    unchosen = {item_id: item for item_id, item in wanting.items() if item.chosen_id is None}
    npd_ids = {i.item_id: one for i in items if i.item and i.item.state == ACTIVE and (one := _npd_id(context, i))}
    keys = {k: match_text_of_item(board, i.item) or "" for k, i in unchosen.items() if i.item and not i.as_new}
    remembered = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=list(unchosen))
    ignored = {row.item_id: row for row in remembered}
    # Claims don't read when a row was written: it is asked for only where no event tells.
    jobs = [i.claim.rows[0].pk for k, i in unchosen.items() if not keys.get(k) and i.events.first is None]
    written = dict(SyncQueue.objects.filter(pk__in=jobs).values_list("pk", "created_at")) if jobs else {}
    deleted = Q(monday_id__in=[item.item_id for item in items]) | Q(entity_id__in=list(npd_ids.values()))
    types = [spec.entity_type for spec in registry.entities()]
    tombstones = list(Tombstone.objects.filter(deleted, entity_type__in=types).order_by("pk"))
    chosen = [one for item in wanting.values() if (one := item.chosen_id)]
    records = _records(board, [*npd_ids.values(), *chosen], list(wanting), keys.values())
    by_id, by_item = {record.pk: record for record in records}, {record.monday_id: record for record in records}
    by_key: dict[str, list[SyncedModel]] = {}
    for record in records:
        by_key.setdefault(match_text_of_record(board, record), []).append(record)
    found = []
    for item in items:
        npd_id, key = _npd_id(context, item), keys.get(item.item_id)
        found.append(
            replace(
                item,
                owner=item.owner or by_item.get(item.item_id),
                known_since=item.events.first or written.get(item.claim.rows[0].pk),
                ignored=ignored.get(item.item_id),
                tombstones=tuple(t for t in tombstones if t.monday_id == item.item_id or t.entity_id == npd_id),
                named=by_id.get(npd_id) if npd_id else None,
                matching=tuple(by_key.get(key, ())) if key else (),
                chosen=by_id.get(item.chosen_id) if item.chosen_id else None,
                new_id=uuid.uuid4() if item.item_id in unchosen else None,
            )
        )
    return found


def locked_item(board: BoardContext, plan: ItemPlan) -> LockedItem:
    """Lock the records on which the plan rests, in the order of their ids, and read what else it does."""
    facts, act, records, owner = plan.facts, plan.act, dict[UUID, SyncedModel](), None
    if act in (ItemAct.ASK, ItemAct.LINK, ItemAct.REPLACE):
        rows = board.model._default_manager.select_for_update(no_key=True, of=("self",))
        records = {record.pk: record for record in rows.filter(pk__in=plan.names).order_by("pk")}
    if act in (ItemAct.LINK, ItemAct.REPLACE):
        owner = board.model._default_manager.filter(monday_id=facts.item_id).first()
    key = match_text_of_item(board, facts.item) if act in GIVING and facts.item else ""
    matching = records_by_match_key(board, [key]).get(key, []) if key else []
    ignored = IgnoredItem.objects.filter(entity_type=board.link.entity_type, item_id=facts.item_id)
    tombstones = Tombstone.objects.select_for_update().filter(pk__in=[plan.tombstone.pk] if plan.tombstone else [])
    known = ignored.first() if act in GIVING else None
    return LockedItem(records, owner, known, frozenset(one.pk for one in matching), tombstones.first())


def _records(
    board: BoardContext, ids: Collection[UUID], items: Collection[str], keys: Iterable[str]
) -> list[SyncedModel]:
    match, wanted = board.match_mapping, sorted(set(filter(None, keys)))
    if not ids and not items:
        return []
    records, condition = board.model._default_manager.all(), Q(pk__in=list(ids)) | Q(monday_id__in=list(items))
    if board.joined_relations:
        records = records.select_related(*board.joined_relations)
    if match is not None and wanted:
        records = records.annotate(match_key=lookups.match_key_of(match.fields[0]))
        condition |= Q(match_key__in=key_spellings(wanted))
    return list(records.filter(condition))


# Creates without an answer, and second items.


def unconfirmed_creates(entity_type: str) -> list[list[Intent]]:
    """Return the creates without an answer, by their documents, of those documents of which a deadline is over."""
    unanswered = Intent.objects.filter(entity_type=entity_type, state=IntentState.OPEN, item_id="")
    due = unanswered.filter(deadline__lte=SyncNow()).values("idempotency_key")
    documents: dict[str, list[Intent]] = {}
    for intent in unanswered.filter(idempotency_key__in=due).order_by("pk"):
        documents.setdefault(intent.idempotency_key, []).append(intent)
    return list(documents.values())


def items_of_creates(board: BoardContext, documents: Sequence[Sequence[Intent]]) -> dict[str, Item] | None:
    """Look for what these documents have made, by NPD ID; None where an NPD ID can't be read. Raises MondayError."""
    ids = {str(intent.entity_id) for intents in documents for intent in intents}
    return items_with_npd_ids(board, sorted(ids))


def facts_of_creates(
    board: BoardContext, intents: Sequence[Intent], items: Mapping[str, Item] | None
) -> UnconfirmedCreates:
    """Return what is so of a document without an answer; `items` are those that bear an NPD ID of its or of others."""
    ids, first = [intent.entity_id for intent in intents], intents[0]
    document = Intent.objects.filter(idempotency_key=first.idempotency_key)
    others = Intent.objects.filter(board_id=first.board_id, state=IntentState.APPLIED, settled_at__gt=first.created_at)
    is_due = Q(status=QueueStatus.PENDING, next_retry__lte=SyncNow()) | Q(status=QueueStatus.IN_PROGRESS)
    due = SyncQueue.objects.filter(is_due, entity_id__in=ids).values_list("entity_id", flat=True)
    return UnconfirmedCreates(
        board=board,
        intents=intents,
        items=None if items is None else {key: item for key, item in items.items() if UUID(key) in ids},
        sent=document.count(),
        records=board.model._default_manager.in_bulk(ids),
        due=frozenset(key for key in due if key),
        is_paused=active_pause(board.link.entity_type) is not None,
        others_answered=others.exists(),
        wait_seconds=float(settings.MONDAY_SETTLE_SECONDS),
        now=sync_now(),
    )


def _with_copy_history(items: Sequence[ItemFacts], own_items: Mapping[str, Item]) -> list[ItemFacts]:
    """Add to items that may be a record's second one what tells it: that record's own item, all that was announced
    about it, what it was unlinked from, and who did anything with the item.
    """
    ids = {item.first.id for item in items if item.first is not None}
    writes = _by_record(Intent.objects.filter(entity_id__in=ids))
    unlinked: dict[UUID | None, set[str]] = {}
    for line in Decision.objects.filter(entity_id__in=ids, kind="unlinked"):
        unlinked.setdefault(line.entity_id, set()).add(line.remote_id)
    users = _users_of_items([item.item_id for item in items if item.first is not None])
    user = token_user()
    found = []
    for item in items:
        if (first := item.first) is not None:
            parted = frozenset(unlinked.get(first.id, ()))
            history = replace(first.history, intents=writes.get(first.id, ()), unlinked_items=parted, token_user=user)
            own = own_items.get(first.record.monday_id or "")
            maker, everybody = users.get(item.item_id, ("", frozenset()))
            events = replace(item.events, maker=maker, users=everybody)
            item = replace(item, first=replace(first, item=own, history=history), events=events)  # noqa: PLW2901
        found.append(item)
    return found


def _users_of_items(item_ids: Collection[str]) -> dict[str, tuple[str, frozenset[str]]]:
    """Return of each item the Monday user who made it, and all that its webhooks name; of the others none has come."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    creation_types = EVENT_TYPES[EventKind.CREATED]
    for row in WebhookEvent.objects.filter(item_id__in=item_ids).order_by("-id"):
        maker, users = found.get(str(row.item_id), ("", frozenset()))
        maker = row.user_id if row.type in creation_types else maker
        found[str(row.item_id)] = maker, users | ({row.user_id} - {""})
    return found


def owners_of(entity_type: str, item_ids: Collection[str]) -> dict[str, SyncedModel]:
    """Return the records whose items these are: of this type, else of another one, from whose board they came."""
    found: dict[str, SyncedModel] = {}
    for spec in sorted(registry.entities(), key=lambda spec: spec.entity_type != entity_type):
        if left := [item_id for item_id in item_ids if item_id not in found]:
            found |= {str(owner.monday_id): owner for owner in spec.model._default_manager.filter(monday_id__in=left)}
    return found
