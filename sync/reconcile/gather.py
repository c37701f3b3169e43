"""Gather: reads what is so, and on, until no rule lacks anything. It decides nothing and writes nothing in NPD.

First the reads of Monday, and who follows the rules; then the queries that fill frozen values, by what they are about;
last the reader of each member of `Ask`. It stays whole: what a pass asks of NPD and Monday, and in how many queries and
calls whatever the number of records, is here and nowhere else.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models import Count, F, Max, Min, ProtectedError, Q, QuerySet, RestrictedError, Value
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
from sync.monday.board_items import BatchItems, Item, MatchColumn
from sync.monday.errors import ColumnRejected, ConnectorError
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import match_key
from sync.outbox.claim import Claim
from sync.outbox.pauses import active_pause
from sync.reconcile import lookups
from sync.reconcile.decide import RULES, Undecided, decide
from sync.reconcile.facts import (
    EDIT_KINDS,
    EVENT_WINDOW,
    LOOP_WINDOW,
    STALE_READ_WINDOW,
    AnswerFacts,
    BoardNow,
    ClaimedFacts,
    DeletedFacts,
    IdentityFacts,
    ItemContext,
    ItemEvents,
    ItemFacts,
    LockedItem,
    LostCreates,
    MatchExclusions,
    ReceivedEvent,
    RecordFacts,
    RecordHistory,
    RemovalFacts,
    Settings,
    new_ledger,
)
from sync.reconcile.field_values import (
    ACTIVE,
    BoardContext,
    RelatedFacts,
    Want,
    WantKind,
    as_uuid,
    is_active_on,
    match_text_of_item,
    match_text_of_record,
    named_by,
    npd_id_of,
    want_of,
)
from sync.reconcile.new_items import GIVING, ItemAct, ItemPlan, item_context, wants_records
from sync.reconcile.pass_plan import Ask, PassFacts, Plan, PlanRule, Unread
from sync.reconcile.sides import InspectedColumns
from sync.reconcile.unconfirmed_writes import UnconfirmedCreates
from sync.records.approvals import ApprovalFacts, known_requests, with_counts
from sync.records.authors import monday_editor_name, monday_user_name, monday_users
from sync.records.item_links import unlinked_items
from sync.records.tombstones import rebuild_records
from sync.registry import link_of, target_of

MAX_PAGES = 20
"""Further pages that a pass follows; a match key that more items than this hold is no key."""

log = structlog.get_logger(__name__)


def claimed(
    board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
) -> PassFacts:
    """Read what NPD knows of what was claimed.

    `planned` are what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """
    return PassFacts(board, claimed_facts(board, claims, planned), sync_now(), load_settings())


class Gatherer:
    """Reads for one pass; `calls` counts those to Monday, `read_request` is the id of the one that read the items.

    `foreseen` are acts that earlier passes of a dry run would have counted, or asked to be approved.
    """

    def __init__(self, foreseen: Sequence[ApprovalRequest] = ()) -> None:
        self.foreseen = foreseen
        self.calls = 0
        self.read_request = ""

    def gather(
        self, facts: PassFacts, plan: Plan | None = None, rules: Sequence[PlanRule] = RULES
    ) -> tuple[PassFacts, Plan]:
        """Read on until nothing is wanted; return what is so, and what the rules decide by it. Raises Unread."""
        while True:
            try:
                return facts, decide(facts, plan, rules)
            except Undecided as lacking:
                plan, rules, wants = lacking.plan, lacking.rules, lacking.wants
            try:
                facts = self._read(facts, plan, wants)
            except ConnectorError as error:
                raise Unread(*self._with_missing_columns(facts, plan, error)) from error

    def _with_missing_columns(
        self, facts: PassFacts, plan: Plan, error: ConnectorError
    ) -> tuple[PassFacts, Plan, ConnectorError, InspectedColumns | None]:
        """Add what is known of the columns, where a read failed because one is gone; one call, the first time only."""
        unexplained = facts, plan, error, None
        if not isinstance(error, ColumnRejected):
            return unexplained
        try:
            board, found = self.inspect(facts.board, (), ())
        except ConnectorError:
            return unexplained
        is_new = _column_problems(board) - _column_problems(facts.board)
        return (replace(facts, board=board), plan, error, found) if is_new else unexplained

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
                found_values = self._answers(kind, facts, plan, values)
                known |= {Want(kind, None, value): found_values.get(value) for value in values}
        facts = _with_lacking(replace(facts, known={**facts.known, **known}), plan, wants)
        unsure = [want for want in wants if want.kind is WantKind.REMOVED and not facts.related.known[want]]
        return self.with_removed(facts, unsure) if unsure else facts

    def _answers(self, kind: Ask, facts: PassFacts, plan: Plan, values: Sequence[Any]) -> Mapping[Any, Any]:
        if kind in _BY_RECORD:
            return _BY_RECORD[kind](values)
        return _BY_BOARD[kind](facts.board, values) if kind in _BY_BOARD else _BY_PLAN[kind](self, facts, plan, values)

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
                MatchColumn(match.column_id, board.converter(match).column_type) if match else None,
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
                    page = connector().next_page(cursor, board.columns, board.types)
                found[part] = [*found[part], *page.items]
                cursor = page.cursor
        return BatchItems(linked=result.linked, by_npd_id=found["by_npd_id"], by_match=found["by_match"])

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        """Return these items, whatever became of them, as far as Monday shows them; raises ConnectorError."""
        found: dict[str, Item] = {}
        size = ITEMS_PER_READ
        for start in range(0, len(ids), size):
            asked_ids = ids[start : start + size]
            self.calls += 1
            with call_cost(board.link, len(asked_ids)):
                items = connector().read_items(asked_ids, board.columns, board.types)
            found |= {item.id: item for item in items}
        return found

    def with_removed(self, facts: PassFacts, wants: Sequence[Want]) -> PassFacts:
        """Add which of these items are not on their records' board, by a call: it leaves their cells empty."""
        items = self.items_by_id(facts.board, sorted({want.value[1] for want in wants}))
        models = {want.model for want in wants if want.model}
        homes = {model: link.board_id for model in models if (link := link_of(model.entity_type()))}
        found = dict[Want, bool]()
        for want in wants:
            item, home = items.get(want.value[1]), homes.get(want.model) if want.model else None
            found[want] = item is None or item.state != ACTIVE or item.board_id not in (None, home)
        return replace(facts, related=RelatedFacts({**facts.related.known, **found}))

    def _unmatched(self, facts: PassFacts, plan: Plan, _: Sequence[Any]) -> dict[Any, Any]:
        """Costs a call where an item may take the place of one that wasn't read."""
        items = item_facts(item_context(facts, plan), facts.claimed.unmatched, facts.found)
        firsts = {item.id: item for item in facts.found.linked.values()}
        missing = sorted({item.first_item_id for item in items if item.first_item_id} - set(firsts))
        firsts |= self.items_by_id(facts.board, missing)
        named = {item.named.pk: item.named for item in items if item.named and item.first_item_id}
        known = {key: plan.records[key].facts for key in named if key in plan.records}
        unclaimed = {key: Claim(key, None, []) for key in named if key not in known}
        known |= {one.id: one for one in _record_facts(facts.board, unclaimed, named)} if unclaimed else {}
        first = {
            str(one.record.monday_id): replace(one, item=firsts.get(str(one.record.monday_id)))
            for one in known.values()
        }
        return {"": tuple(replace(item, first=first.get(item.first_item_id)) for item in items)}

    def _copies(self, facts: PassFacts, _: Plan, values: Sequence[Any]) -> dict[Any, Any]:
        """Where they can't be read, the rest of the pass goes on."""
        try:
            items = self.items_by_id(facts.board, list(values[0]))
        except ConnectorError as error:
            log.warning("copies not read", reason=error.sentence)
            return {values[0]: error}
        # It may belong to a record by now; an answer about a duplicate is not one about that record's item.
        active = [item.id for item in items.values() if item.state == ACTIVE]
        owners = owners_of(facts.board.link.entity_type, active)
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


# Related records and edits, which the decision on fields asks for.


def _with_related(facts: PassFacts, plan: Plan) -> PassFacts:
    """Add the records that relations name on Monday; items are shown by their names from then on."""
    board, open_records = facts.board, plan.open_records
    read = [(one.record, one.item) for one in open_records if one.item is not None]
    found = facts.found.linked
    read += [(board.model(), item) for c in facts.claimed.unmatched if (item := found.get(c.remote_id or ""))]
    deleted = [(one.facts.record, str(one.facts.tombstone.monday_id)) for one in plan.open_deleted]
    read += [(record, item) for record, item_id in deleted if (item := found.get(item_id))]
    named = [one for record, item in read for one in named_by(board, record, item)]
    wants = {want_of(target_of(relation), reference) for relation, reference in named}
    # What was overwritten is in no cell any more; people are told of it, and take it back, by its name.
    lost = [one for plans in open_records for one in plans.lost.found]
    wants |= {want for one in lost for want in lookups.overwritten_wants(board, one.key, one.value)}
    known = {**facts.related.known, **lookups.known_related(board, [one.record for one in open_records])}
    related = lookups.read_related(wants - known.keys(), RelatedFacts(known))
    names = lookups.item_names(board, related, [one.facts for one in open_records])
    return replace(facts, board=board.with_names(names), related=related)


def _with_lacking(facts: PassFacts, plan: Plan, wants: Collection[Want]) -> PassFacts:
    lacking = [want for want in wants if isinstance(want.kind, WantKind)]
    if not lacking:
        return facts
    edited = {want.value for want in lacking if want.kind is WantKind.EDITS}
    records = {key: plan.records[key].record for key in edited}
    edits = lookups.read_edits(facts.board, records, facts.edits) if records else facts.edits
    return replace(facts, related=lookups.read_related(lacking, facts.related), edits=edits)


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
    return ClaimedFacts(
        records=_record_facts(board, {key: claim for key, claim in merged.items() if key in records}, records),
        deleted=tuple(deleted),
        unknown=tuple(claim for claim in missing if claim.entity_id not in remembered),
        unmatched=tuple(unmatched),
        known_items=tuple(map(str, owners)),
    )


def _record_facts(
    board: BoardContext, claims: Mapping[UUID, Claim], records: Mapping[UUID, SyncedModel]
) -> tuple[RecordFacts, ...]:
    entity_type = board.link.entity_type
    ledgers = {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(entity_type, claims)}
    intents = _by_record(_open_intents(claims))
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
    return tuple(
        RecordFacts(
            claim,
            records[key],
            ledgers.get(str(key)) or new_ledger(entity_type, key),
            intents.get(key, ()),
            tuple(conflicts.get(key, ())),
            tuple(events.get(records[key].monday_id or "", ())),
            has_failed_job=key in with_failed_job,
            owned_items=owned,
        )
        for key, claim in claims.items()
    )


def _new_events(board: BoardContext, items: Sequence[str]) -> Mapping[str, Sequence[ReceivedEvent]]:
    """Read the events of these items that no pass has checked, as they came."""
    new = WebhookEvent.objects.filter(processed_at=None, item_id__any_of=items, board_id=board.link.board_id)
    return lookups.events_by_item(new.order_by("id"))


def _open_intents(ids: Collection[UUID]) -> QuerySet[Intent]:
    return Intent.objects.filter(entity_id__any_of=list(ids), state=IntentState.OPEN).order_by("created_at")


# Their history: recent events, writes of ours, loops.


MAX_EVENTS = 2_000
"""So many of a pass's newest events count; a field that is rewritten more often is a loop, and shown as one."""

_EFFECTIVE_STATES = (IntentState.APPLIED, IntentState.CONFIRMED)


def recent_events(board: BoardContext, ids: Mapping[UUID, str]) -> dict[UUID, tuple[tuple[ReceivedEvent, ...], str]]:
    """Read the events of the last day of these records' items, and as whom we write."""
    rows = WebhookEvent.objects.filter(
        item_id__in=list(ids.values()), board_id=board.link.board_id, received_at__gt=SyncNow() - EVENT_WINDOW
    )
    found, user = lookups.events_by_item(rows.order_by("-received_at")[:MAX_EVENTS]), token_user()
    return {key: (tuple(found.get(item_id, ())), user) for key, item_id in ids.items()}


def events_and_writes(board: BoardContext, wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read these, and our intents of the last days that may have taken effect; one that Monday refused has not.

    An event that no pass has checked counts however old it is.
    """
    recent = recent_events(board, {facts.id: facts.record.monday_id or "" for facts in wanted})
    rows = Intent.objects.filter(
        entity_id__in=recent, created_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS)
    ).exclude(state=IntentState.REJECTED)
    writes = _by_record(rows.order_by("created_at"))
    found = {}
    for facts in wanted:
        told, user = recent[facts.id]
        events = tuple({event.pk: event for event in (*told, *facts.events)}.values())
        found[facts.id] = replace(facts.history, events=events, token_user=user, writes=writes.get(facts.id, ()))
    return found


def settled_writes(ids: Collection[UUID]) -> dict[UUID, tuple[tuple[Intent, ...], tuple[Intent, ...]]]:
    """Read what we wrote in the last minutes, and what was found void within the last day, of records with any."""
    is_applied = Q(state=IntentState.APPLIED, settled_at__gt=SyncNow() - STALE_READ_WINDOW)
    # Of unknown outcome, and found void by a pass; one known not to be carried out ended before its deadline.
    is_void = Q(state=IntentState.VOID, settled_at__gt=SyncNow() - EVENT_WINDOW, settled_at__gte=F("deadline"))
    rows = Intent.objects.filter(is_applied | is_void, entity_id__any_of=list(ids)).exclude(item_id="")
    found = {}
    for key, intents in _by_record(rows.order_by("created_at")).items():
        applied = tuple(intent for intent in intents if intent.state == IntentState.APPLIED)
        found[key] = applied, tuple(intent for intent in intents if intent.state == IntentState.VOID)
    return found


def ended_creates(ids: Collection[UUID]) -> dict[UUID, tuple[Intent, ...]]:
    """Read which intents without an item were given up, or found to have made one, of records with any."""
    rows = Intent.objects.filter(
        Q(state=IntentState.VOID, lookups__gt=0) | Q(state=IntentState.CONFIRMED),
        entity_id__in=ids,
        item_id="",
        created_at__gt=SyncNow() - EVENT_WINDOW,
    )
    return _by_record(rows.order_by("created_at"))


def makers_of(board: BoardContext, items: Mapping[UUID, str]) -> dict[UUID, tuple[str, bool, str]]:
    """Read, as far as events tell, who made these records' items, whether NPD IDs were typed, and as whom we write."""
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
    user = token_user() if any(maker and item_id not in typed for item_id, maker in makers.items()) else ""
    return {key: (makers.get(item_id, ""), item_id in typed, user) for key, item_id in items.items()}


def write_loops(board: BoardContext, ids: Collection[UUID]) -> dict[UUID, dict[str, WriteLoop]]:
    found: dict[UUID, dict[str, WriteLoop]] = {}
    for row in WriteLoop.objects.filter(entity_type=board.link.entity_type, entity_id__any_of=list(ids)):
        found.setdefault(row.entity_id, {})[row.key] = row
    return found


def last_writes(ids: Collection[UUID]) -> dict[UUID, dict[str, Intent]]:
    """Read our last write of each field of these records within the hour."""
    rows = Intent.objects.filter(
        entity_id__in=ids, state__in=_EFFECTIVE_STATES, created_at__gt=SyncNow() - LOOP_WINDOW
    ).order_by("created_at")
    return {key: {name: row for row in found for name in row.values} for key, found in _by_record(rows).items()}


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
    board: BoardContext,
    items: Collection[str],
    matching: Collection[str],
    records: Collection[UUID],
    npd_ids: Collection[UUID],
) -> IdentityFacts:
    """Read whose these items are, which of the records are there whose NPD IDs they bear, and what is remembered."""
    entity_type = board.link.entity_type
    existing = board.model._default_manager.filter(pk__in=npd_ids).values_list("pk", flat=True) if npd_ids else ()
    rows = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=matching)
    return IdentityFacts(
        {item_id: owner.pk for item_id, owner in owners_of(entity_type, items).items()},
        frozenset(existing),
        MatchExclusions({row.item_id: row for row in rows}, unlinked_items(entity_type, list(records))),
    )


def unmatched_items(board: BoardContext, keys: Collection[str]) -> list[str]:
    """Return the items without a record that were last seen with one of these match keys."""
    match = board.match_mapping
    if match is None or not keys:
        return []
    keyed = UnmatchedItem.objects.annotate(match_key=lookups.match_key_of(KeyTextTransform(match.key, "values")))
    of_board = keyed.filter(entity_type=board.link.entity_type, board_id=board.link.board_id)
    return list(of_board.filter(match_key__in=sorted(keys)).values_list("item_id", flat=True))


def records_by_match_key(board: BoardContext, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys, by key; one query."""
    wanted, match = sorted(set(keys)), board.match_mapping
    if match is None or not wanted:
        return {}
    records = board.model._default_manager.annotate(match_key=lookups.match_key_of(match.fields[0]))
    found: dict[str, list[SyncedModel]] = {}
    for record in records.filter(match_key__in=wanted):
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


def lost_creates(board: BoardContext, ids: Collection[UUID]) -> LostCreates:
    void = Intent.objects.filter(entity_id__in=ids, item_id="", state=IntentState.VOID, lookups__gt=0)
    lost = list(void.order_by("created_at"))
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
    events = WebhookEvent.objects.filter(board_id=board.link.board_id, received_at__gte=lost[0].created_at)
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
    intents = _by_record(_open_intents(tombstones).exclude(item_id=""))
    records = rebuild_records(board.model, list(tombstones.values()))
    items = [tombstone.monday_id for tombstone in tombstones.values() if tombstone.monday_id]
    owners = {str(owner.monday_id): owner for owner in board.model._default_manager.filter(monday_id__in=items)}
    events = _new_events(board, items)
    return [
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


def editors_of(
    board: BoardContext, deleted: Iterable[DeletedFacts]
) -> dict[UUID, tuple[tuple[ReceivedEvent, ...], Mapping[str, Any]]]:
    """Read the events of these deleted records' items, and Monday's users, by which it is told who edited them."""
    items = {facts.id: str(facts.tombstone.monday_id) for facts in deleted}
    if not items:
        return {}
    rows = WebhookEvent.objects.filter(board_id=board.link.board_id, item_id__in=list(items.values()))
    events, users = lookups.events_by_item(rows), monday_users()
    return {key: (tuple(events.get(item_id, ())), users) for key, item_id in items.items()}


def current_deletion_policy(link: BoardLink) -> tuple[DeletedRecordPolicy, dict[str, Any]]:
    """Return what becomes of items and the filter, as they are now and not when the board was taken, minutes ago."""
    links = BoardLink.objects.filter(pk=link.pk)
    policy, sync_filter = links.values_list("deleted_record_policy", "sync_filter").get()
    return DeletedRecordPolicy(policy), sync_filter


def _removals(_: Gatherer, facts: PassFacts, plan: Plan, values: Sequence[Any]) -> dict[Any, RemovalFacts]:
    """Return what is known of records whose items are gone, each with the state of its item."""
    records = {value: plan.records[value[0]].facts for value in values}
    rejected = _rejected_deletions(facts.board, list(records.values()))
    # Who archived or deleted these items, by name, and when, as far as webhooks told.
    ids = [record.record.monday_id for record in records.values()]
    events = WebhookEvent.objects.filter(item_id__in=ids).of_kind(EventKind.ARCHIVED, EventKind.DELETED)
    told = {item: known[-1].event for item, known in lookups.events_by_item(events.order_by("id")).items()}
    people = monday_users() if told else {}
    recreates = values[0][2] == RemovedItemPolicy.CREATE
    too_often = _recreated_too_often([key for key, *_ in values], facts.settings.loop_times) if recreates else set()
    return {
        (key, state, policy): RemovalFacts(
            record,
            state,
            actor=monday_user_name(user, people) if user else "",
            editor=monday_editor_name(user, people) if user else "",
            done_at=event.happened_at if event else None,
            people=people,
            rejected=rejected.get(key, ""),
            is_removed_too_often=key in too_often,
        )
        for (key, state, policy), record in records.items()
        for event in [told.get(record.record.monday_id or "")]
        for user in [event.user_id if event else ""]
    }


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


def current_removal_policy(board: BoardContext, _: Sequence[str] = ()) -> dict[str, RemovedItemPolicy]:
    """Return what becomes of records whose items are gone, as it is now and not when the board was taken, minutes ago.

    What counts toward the limit of deletions goes by it too (records/approvals.py).
    """
    link = board.link
    link.removed_item_policy = BoardLink.objects.values_list("removed_item_policy", flat=True).get(pk=link.pk)
    return {"": RemovedItemPolicy(link.removed_item_policy)}


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
        condition |= Q(match_key__in=wanted)
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
    """Look for what these documents have made, by NPD ID; None where an NPD ID can't be read. Raises ConnectorError."""
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


def copy_history(ids: Collection[UUID]) -> dict[UUID, tuple[tuple[Intent, ...], frozenset[str]]]:
    """Return everything that was announced about these records and is remembered, and what they were unlinked from."""
    writes = _by_record(Intent.objects.filter(entity_id__in=ids))
    unlinked: dict[UUID | None, set[str]] = {}
    for line in Decision.objects.filter(entity_id__in=ids, kind="unlinked"):
        unlinked.setdefault(line.entity_id, set()).add(line.remote_id)
    return {key: (writes.get(key, ()), frozenset(unlinked.get(key, ()))) for key in ids}


def users_of_items(item_ids: Collection[str]) -> dict[str, tuple[str, frozenset[str]]]:
    """Return of each item the Monday user who made it, and all that its webhooks name; of the others none has come."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    creation_types = EVENT_TYPES[EventKind.CREATED]
    for row in WebhookEvent.objects.filter(item_id__in=item_ids).order_by("-id") if item_ids else ():
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


# Who reads what a rule asks for, for all values together. What isn't in the answer is None.


_BY_RECORD: dict[Ask, Callable[[Sequence[Any]], Mapping[Any, Any]]] = {
    Ask.SETTLED_WRITES: settled_writes,
    Ask.ENDED_CREATES: ended_creates,
    Ask.CHANGES: lambda ids: _by_record(Intent.objects.filter(entity_id__in=ids).exclude(item_id="")),
    Ask.LAST_WRITES: last_writes,
    Ask.COPY_HISTORY: copy_history,
    Ask.CREATOR: users_of_items,
    Ask.PEOPLE: lambda _: {"": monday_users()},
    Ask.WRITER: lambda _: {"": token_user()},
}
"""What the values alone tell where to look for."""

_BY_BOARD: dict[Ask, Callable[[BoardContext, Sequence[Any]], Mapping[Any, Any]]] = {
    Ask.ANSWERS: lambda board, values: {one: answer_facts(board, *one, locks=False) for one in values},
    Ask.IDENTITY: lambda board, values: {one: identity_facts(board, *one) for one in values},
    Ask.UNEDITED: unedited_from_items,
    Ask.LOST_CREATES: lambda board, values: {ids: lost_creates(board, ids) for ids in values},
    Ask.REMOVAL_POLICY: current_removal_policy,
    Ask.DELETION_POLICY: lambda board, _: {"": current_deletion_policy(board.link)},
    Ask.BEARER: lambda board, ids: board.model._default_manager.in_bulk(list(set(ids))),
    Ask.SAME_KEY: records_by_match_key,
    Ask.UNTOUCHED: lambda board, ids: dict.fromkeys(unedited_records(board.model, ids), True),
    Ask.LOOPS: write_loops,
}
"""What the board tells besides."""

_BY_PLAN: dict[Ask, Callable[[Gatherer, PassFacts, Plan, Sequence[Any]], Mapping[Any, Any]]] = {
    Ask.EVENTS_AND_WRITES: lambda _, facts, plan, ids: events_and_writes(
        facts.board, [(plan.records.get(key) or plan.deleted[key]).facts for key in ids]
    ),
    Ask.ITEMS: lambda self, facts, _, values: {one: self.board_items(facts.board, *one) for one in values},
    Ask.ITEM: lambda self, facts, _, ids: self.items_by_id(facts.board, ids),
    Ask.ITEM_AGAIN: lambda self, facts, _, ids: self.items_by_id(facts.board, ids),
    Ask.REMOVAL: _removals,
    Ask.OBSTACLES: lambda _, __, plan, ids: {key: deletion_obstacles(plan.records[key].record) for key in ids},
    Ask.APPROVALS: lambda self, facts, _, values: {
        (kinds, ids): known_requests(facts.board.link, kinds, ids, self.foreseen) for kinds, ids in values
    },
    Ask.LIMIT: lambda self, facts, _, values: {
        kinds: with_counts(ApprovalFacts(), facts.board.link, kinds, self.foreseen) for kinds in values
    },
    Ask.RECENT_EVENTS: lambda _, facts, plan, ids: recent_events(
        facts.board, {key: plan.records[key].record.monday_id or "" for key in ids}
    ),
    Ask.MAKER: lambda _, facts, plan, ids: makers_of(
        facts.board, {key: item.id for key in ids if (item := plan.records[key].item)}
    ),
    Ask.UNMATCHED: Gatherer._unmatched,
    Ask.EDITORS: lambda _, facts, plan, ids: editors_of(facts.board, [plan.deleted[key].facts for key in ids]),
    Ask.COPIES: Gatherer._copies,
}
"""What has to be looked at of the records, or read on Monday."""
