"""Passes that only plan: their facts, and what reconcile's rules decide. Nothing is written on either side."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.reports import ConflictKind
from sync import choices, limits
from sync.boards import availability
from sync.fields import field_values, lookups
from sync.fields.field_values import BoardContext
from sync.kernel import acts
from sync.kernel.humanize import quote, shorten, within_sentence
from sync.limits import api_quota, connector
from sync.models import BoardLink, SyncedModel, SyncQueue
from sync.monday.board_items import BatchItems, Item
from sync.monday.conversion import UnknownValue
from sync.monday.errors import MondayError
from sync.monday.text_forms import match_key
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.changes import item_writes
from sync.reconcile.decide import RULES, decide, end_unread
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather import Gatherer
from sync.reconcile.missing.answers import answered_items
from sync.reconcile.missing.deleted_records import new_item_removal_requests
from sync.reconcile.missing.removed_items import by_whom, new_deletion_requests
from sync.reconcile.pass_results import changed_records, conflict_reports
from sync.reconcile.restraints import new_clear_requests
from sync.reconcile.run import plan_pass
from sync.words.message import Message, of_error


class ReadOnlyClient(limits.MeteredClient):
    """Counts its calls, and refuses to write."""

    def __init__(self, metered: limits.MeteredClient) -> None:
        super().__init__(metered.inner, urgent=metered.urgent)
        self.calls = 0

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """Send a query; raises RuntimeError for a mutation, MondayError as the metered client does."""
        if document.lstrip().startswith("mutation"):
            raise RuntimeError("A dry run came to a call that writes. It was not sent. Please report it.")
        self.calls += 1
        return super().execute(document, variables)


@contextmanager
def read_only_client() -> Iterator[ReadOnlyClient]:
    """Let all code inside read from Monday, but not write there."""
    client = ReadOnlyClient(limits.client())
    with limits.client_override(client):
        yield client


@dataclass(frozen=True)
class PlannedPass:
    """The facts and the plan of a pass that isn't made."""

    facts: PassFacts
    plan: pass_plan.Plan
    calls: int = 0  # that reading took
    unread_reason: str = ""  # why Monday could not be read
    unread: Collection[UUID] = ()  # records whose plan needs items that a page of a listing lacks
    following: PlannedPass | None = None  # over the records that this pass would link or create

    @property
    def synced_plans(self) -> list[pass_plan.RecordPlan]:
        """The plans of the records that neither their own settings nor the filter keep from being synced."""
        return [plan for plan in self.plan.records.values() if plan.is_synced]

    @cached_property
    def busy(self) -> frozenset[UUID]:
        """The records with a job that is pending or in progress."""
        return records_with_jobs(self.facts.board.link, self.plan.records)

    @cached_property
    def changed(self) -> frozenset[UUID]:
        """The records whose plan isn't empty."""
        return changed_records(self.facts, self.plan, self.busy)

    @property
    def need_pass(self) -> list[UUID]:
        """The records that a real pass would change, or may change."""
        return sorted(self.changed.union(self.unread))

    @property
    def differing_or_unfinished(self) -> list[UUID]:
        """The records that `sync_reconcile` gives a pass: also those that say otherwise than `synced` or have a job."""
        unfinished = {
            plan.id
            for plan in self.synced_plans
            if plan.id in self.busy or plan.record.sync_status != choices.RecordSyncStatus.SYNCED
        }
        return sorted(unfinished.union(self.need_pass))


def records_with_jobs(link: BoardLink, ids: Collection[UUID]) -> frozenset[UUID]:
    states = (choices.QueueStatus.PENDING, choices.QueueStatus.IN_PROGRESS)
    jobs = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id__any_of=list(ids), status__in=states)
    return frozenset(pk for pk in jobs.values_list("entity_id", flat=True) if pk)


def plan_pass_with_following(board: BoardContext, claims: Sequence[Claim], gatherer: Gatherer) -> PlannedPass:
    """Plan a pass over these records and items, and the pass that follows it at once, if any.

    The gatherer remembers the approvals that they would ask for, because these count in the passes that it plans later.
    """
    planned_pass = decide_pass(board, claims, gatherer)
    # The records that the pass would link or create, as it would leave them.
    plans = planned_pass.plan.records
    created = [item.record for item in planned_pass.plan.items if item.act in pass_plan.ASSIGNING and item.record]
    records = {record.pk: record for record in created if record.pk not in plans}
    records |= {key: record_plan.linked_record for key, record_plan in plans.items() if record_plan.ending.is_linked}
    if records:
        claims = [Claim(pk, None, []) for pk in sorted(records)]
        following = decide_pass(planned_pass.facts.board, claims, gatherer, records)
        reason = planned_pass.unread_reason or following.unread_reason
        planned_pass = replace(planned_pass, following=following, unread_reason=reason)
    for plan in [each.plan for each in (planned_pass, planned_pass.following) if each is not None]:
        clears = new_clear_requests(plan, choices.ApprovalState.DONE, choices.ApprovalState.PENDING)
        removals = new_item_removal_requests(plan.deleted.values())
        gatherer.planned_requests = [*gatherer.planned_requests, *removals, *new_deletion_requests(plan), *clears]
    return planned_pass


def decide_pass(
    board: BoardContext,
    claims: Sequence[Claim],
    gatherer: Gatherer,
    records: Mapping[UUID, SyncedModel] = MappingProxyType({}),
) -> PlannedPass:
    """Read the facts of a pass and decide it, without the rest. `records` replace the stored ones."""
    facts = gatherer.read_claims(board, claims, records)
    calls_before = gatherer.calls
    facts, plan = plan_pass(gatherer, facts)
    calls = gatherer.calls - calls_before
    error = facts.error
    if error is None:
        return PlannedPass(facts, plan, calls)
    if facts.columns is not None:
        # The next real pass would do without the missing column, too.
        again = decide_pass(facts.board, claims, gatherer, records)
        return replace(again, calls=calls + again.calls)
    end_unread(facts, plan, pass_plan.Ending(pass_plan.Outcome.RELEASED, of_error(error)))
    return PlannedPass(facts, plan, calls, error.sentence)


def pass_steps(planned_pass: PlannedPass, entity_id: UUID) -> Iterator[str]:
    """Yield what a pass knows of a record, and each rule that changes the record's plan, with what it changes."""
    facts = planned_pass.facts
    subject = next((subject for subject in (*facts.records, *facts.deleted) if subject.id == entity_id), None)
    planned = planned_pass.plan.records.get(entity_id)
    yield "What the pass knows:"
    values = _values_in(subject) | _values_in(planned and planned.item, "item")
    yield from (f"  {path}: {value}" for path, value in values.items())
    yield "The rules that change its plan:"
    plan = decide(facts, rules=())
    for rule in RULES:
        before = _values_in(plan.records.get(entity_id) or plan.deleted.get(entity_id))
        rule(facts, plan)
        after = _values_in(plan.records.get(entity_id) or plan.deleted.get(entity_id))
        changed = [path for path in before | after if before.get(path) != after.get(path)]
        if changed:
            meaning = (rule.__doc__ or "").strip().partition("\n")[0]
            yield f"  {rule.__name__}: {meaning}"
        for path in changed:
            yield f"    {path}: {before.get(path, 'nothing')} → {after.get(path, 'nothing')}"


def _values_in(value: Any, path: str = "") -> dict[str, str]:
    """Return the values inside of a fact or a plan, as texts by their path; empty ones are left out."""
    if isinstance(value, models.Model):
        parts = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    elif is_dataclass(value):
        parts = {part.name: getattr(value, part.name) for part in fields(value)}
    elif isinstance(value, Mapping):
        parts = {str(key): part for key, part in value.items()}
    else:
        text = str(value) if isinstance(value, datetime | UUID) else repr(value)
        return {path: shorten(text)} if value or value is False else {}
    values: dict[str, str] = {}
    for name, part in parts.items():
        values |= _values_in(part, f"{path}.{name}" if path else name)
    return values


def comparison_claim(entity_id: UUID, jobs: Sequence[SyncQueue]) -> Claim:
    """Return the claim of a record's pending jobs as if a comparison had just enqueued the record."""
    for job in jobs:
        job.causes |= int(choices.Cause.SWEEP)
    return Claim(entity_id, None, jobs)


def cost_of(planned_pass: PlannedPass, number: int, read_before: int = 0) -> int:
    """Return the calls of the real passes over so many of its records and items, if Monday accepts them all.

    They are read together with `read_before` others. The pass that follows is counted, too.
    """
    plan = planned_pass.plan
    batches = math.ceil(number / api_quota.FULL_BATCH)
    reads = math.ceil((read_before + number) / api_quota.FULL_BATCH) - math.ceil(read_before / api_quota.FULL_BATCH)
    writes = [*filter(None, item_writes(planned_pass.facts.board, plan))]
    removals = {deleted.act for deleted in plan.deleted.values()} - {""}
    # One call clears the NPD IDs of all duplicates, another archives all copies.
    duplicate_acts = {item.act for item in plan.items}.intersection(pass_plan.DUPLICATES)
    # The pass after such an answer reads, and writes. The other kinds of answers change nothing on Monday.
    answers = {_ACT_KINDS.get(answer.act) for answer in plan.identity_answers if answer.result} - {None}
    calls = planned_pass.calls + reads + batches * len([*writes, *removals]) + len(duplicate_acts) + 2 * len(answers)
    following = planned_pass.following
    return calls + (cost_of(following, len(following.plan.records)) if following else 0)


# The changes that a plan stands for.


class ChangeKind(models.TextChoices):
    """The kinds of changes in the order in which they are listed; the label is for counts."""

    PUSH = "push", "to send to Monday"
    PULL = "pull", "to update from Monday"
    CREATE = "create", "items to make on the board"
    LINK = "link", "to link with an item"
    NEW_RECORD = "new record", "records to make in NPD"
    CONFLICT = "conflict", "fields in conflict"
    ASK = "ask", "questions to you"
    ARCHIVE = "archive item", "items to archive"
    DELETE_ITEM = "delete item", "items to delete"
    DELETE_RECORD = "delete record", "records to delete in NPD"
    UNLINK = "unlink", "to unlink"
    UNPLANNED = "unplanned", "items that become no record until somebody says so"
    BLOCKED = "blocked", "blocked"
    WAITING = "waiting", "items to check again later"
    UNREADABLE = "unreadable", "items for which Monday answers an error"
    FILTERED = "filtered", "left out by the filter"
    SYNC_OFF = "sync_off", "with sync off"
    LEFT = "left as it is", "left as they are"
    FAILED = "failed", "that could not be synced"


# By the act that a person or a board's policy chose; other answers leave both sides as they are.
_ACT_KINDS = {
    acts.LINK: ChangeKind.LINK,
    acts.SAME_NAME: ChangeKind.LINK,
    acts.MERGE_RECORDS: ChangeKind.DELETE_RECORD,
    acts.NEW_ITEM: ChangeKind.CREATE,
    acts.CREATE_ITEM: ChangeKind.CREATE,
    acts.DELETE_RECORD: ChangeKind.DELETE_RECORD,
    acts.ARCHIVE_ITEM: ChangeKind.ARCHIVE,
    acts.DELETE_ITEM: ChangeKind.DELETE_ITEM,
    acts.UNLINK: ChangeKind.UNLINK,
    acts.CREATE_RECORD: ChangeKind.NEW_RECORD,
    acts.ARCHIVE_COPY: ChangeKind.ARCHIVE,
    pass_plan.CLEAR_NPD_ID: ChangeKind.ASK,
}


@dataclass(frozen=True)
class PlannedChange:
    """A change of a record, an item or a field; values as displayed."""

    kind: ChangeKind
    entity_type: str
    name: str
    entity_id: UUID | None = None
    item_id: str = ""
    field: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""

    @property
    def why(self) -> str:
        return f"{self.field}: {self.reason}" if self.field and self.reason else self.field or self.reason

    @property
    def subject(self) -> str:
        """The id of the record, or of the item if there is none yet."""
        is_made = self.kind is ChangeKind.NEW_RECORD and self.item_id
        return str(self.item_id if is_made else self.entity_id or self.item_id)


def plan_changes(planned_pass: PlannedPass) -> Iterator[PlannedChange]:
    """Yield what the pass would change, and the one that follows it."""
    plan = planned_pass.plan
    entity_type = planned_pass.facts.board.link.entity_type
    for answer in plan.identity_answers:
        # What a person's answer to “who is this?” does.
        kind = _ACT_KINDS.get(answer.act, ChangeKind.LEFT) if answer.result else ChangeKind.ASK
        entity_id = answer.merged_id or answer.record_id or answer.asked_id
        name = str(planned_pass.facts.answer_records.get(entity_id) or plan.records[answer.asked_id].record)
        if reason := answer.result or answer.rejection_reason:
            yield PlannedChange(kind, entity_type, name, entity_id, answer.item_id, reason=reason)
    for record_plan in plan.records.values():
        yield from _record_changes(planned_pass.facts.board, record_plan)
    for deleted in plan.deleted.values():
        yield from _deletion_changes(deleted)
    # An answer's own change says what becomes of its item.
    answered = answered_items(planned_pass.facts, plan)
    for item_plan in plan.items:
        item_id = item_plan.facts.item_id
        kind = _ACT_KINDS.get(item_plan.act) or _kind_of_left_item(planned_pass, item_plan)
        record = item_plan.record
        if item_id in answered:
            continue
        if item_plan.act in pass_plan.ASSIGNING and record is not None:
            yield PlannedChange(kind, entity_type, str(record), record.pk, item_id, reason=item_plan.sentence)
            continue
        reason = item_plan.ending.detail
        if item_plan.act in pass_plan.DUPLICATES:
            kind = ChangeKind.ARCHIVE if item_plan.is_ours else kind
            reason = Message("is_second_item_of", record=str(record))
        name = item_plan.facts.item.name if item_plan.facts.item else f"item {item_id}"
        yield PlannedChange(kind, entity_type, name, None, item_id, reason=reason)
    if planned_pass.following:
        yield from plan_changes(planned_pass.following)


def _kind_of_left_item(planned_pass: PlannedPass, item_plan: pass_plan.ItemPlan) -> ChangeKind:
    """Return the kind of an item that no record gets."""
    if item_plan.candidates:
        return ChangeKind.ASK
    if item_plan.finding and item_plan.finding.reason is choices.UnmatchedReason.UNPLANNED:
        return ChangeKind.UNPLANNED
    # Without new records such an item mostly stays as it is.
    is_checked_again = item_plan.outcome is pass_plan.Outcome.DEFERRED
    creates_records = planned_pass.facts.board.link.creates_records
    return ChangeKind.WAITING if is_checked_again and creates_records else ChangeKind.LEFT


def _record_changes(board: BoardContext, plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield a record's changes; none if both sides equal their base."""
    if plan.ending.is_answered:
        return
    changes = [*_lifecycle_changes(board, plan), *_conflict_changes(plan)]
    for field_plan in plan.fields.values() if plan.is_open else ():
        reason = field_plan.decision.reason
        # The fields of a new item are part of its creation.
        if field_plan.send_raw is not None and not plan.creates:
            before = "(not known)"
            with suppress(UnknownValue):
                raw = field_plan.remote_raw
                before = "" if raw is None else field_plan.converter.display_remote(raw)
            after = field_plan.display_local(field_plan.send_raw)
            changes.append(_record_change(plan, ChangeKind.PUSH, field_plan, before=before, after=after, reason=reason))
        if field_plan.write_raw is not None:
            before = field_plan.display_local(field_plan.local_raw)
            after = field_plan.display_local(field_plan.write_raw)
            changes.append(_record_change(plan, ChangeKind.PULL, field_plan, before=before, after=after, reason=reason))
    changes += [
        _record_change(plan, ChangeKind.BLOCKED, field_plan, reason=field_plan.blocked_reason)
        for field_plan in plan.fields.values()
        if field_plan.blocked_reason and not field_plan.is_relation_skipped and not field_plan.conflict
    ]
    yield from changes
    if plan.outcome in (pass_plan.Outcome.FAILED, pass_plan.Outcome.RELEASED) and not plan.ending.is_linked:
        yield _record_change(plan, ChangeKind.FAILED, reason=plan.ending.detail)
    elif not changes and plan.waits_for_other:
        # The first of several records with one key gets an item, which the others find: a person is asked.
        yield _record_change(plan, ChangeKind.ASK, reason=plan.reason)
    elif not changes and plan.left_out:
        yield _record_change(plan, ChangeKind.FILTERED, reason=plan.left_out)
    elif not changes and plan.reason:
        yield _record_change(plan, ChangeKind.LEFT, reason=plan.reason)


def _record_change(
    plan: pass_plan.RecordPlan, kind: ChangeKind, field_plan: pass_plan.FieldPlan | None = None, **values: str
) -> PlannedChange:
    return PlannedChange(
        kind,
        plan.record.entity_type(),
        str(plan.record),
        plan.id,
        plan.record.monday_id or plan.item_id,
        field_plan.mapping.label if field_plan else "",
        **values,
    )


def _lifecycle_changes(board: BoardContext, plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    if plan.act:
        yield _record_change(plan, _ACT_KINDS[plan.act], reason=f"{plan.removal} {by_whom(plan).capitalize()}.")
    elif plan.unlink_reason:
        yield _record_change(plan, ChangeKind.UNLINK, reason=Message("is_to_be_unlinked"))
    elif plan.is_open and plan.creates:
        yield _record_change(plan, ChangeKind.CREATE, reason=Message("no_item_yet"))
    elif plan.link_to:
        assert plan.item is not None
        is_by_npd_id = field_values.npd_id_of(board, plan.item) == str(plan.id)
        found_by = "its NPD ID" if is_by_npd_id else within_sentence(board.match_label)
        reason = Message("item_found_by", key=found_by)
        yield _record_change(plan, ChangeKind.LINK, after=plan.item.name, reason=reason)


def _conflict_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    for report in conflict_reports(plan):
        if report.kind not in (ConflictKind.FIELDS, ConflictKind.OVERWRITTEN):
            if report.data:
                yield _record_change(plan, ChangeKind.ASK, reason=str(report.data.get("what", "")))
            continue
        for values in report.fields:
            field_plan = plan.fields.get(values.key)
            if field_plan is None or not field_plan.choice:
                sides = {"before": values.npd or "", "after": values.monday or ""}
                change = _record_change(plan, ChangeKind.CONFLICT, field_plan, **sides, reason=values.reason)
                yield replace(change, field=change.field or values.key)


def _deletion_changes(plan: pass_plan.DeletedPlan) -> Iterator[PlannedChange]:
    tombstone = plan.facts.tombstone
    reason: str
    if plan.ending.is_answered:
        return
    if plan.act:
        kind = _ACT_KINDS[plan.act]
        reason = Message("record_deleted_too")
    elif plan.question is not None:
        kind = ChangeKind.ASK
        reason = str(plan.question.data.get("what", ""))
    elif plan.restores:
        kind = ChangeKind.NEW_RECORD
        reason = Message("person_restores_it")
    elif plan.new_state is choices.TombstoneState.PENDING_APPROVAL:
        kind = ChangeKind.BLOCKED
        reason = plan.reason
    elif plan.ending.outcome in (pass_plan.Outcome.FAILED, pass_plan.Outcome.RELEASED):
        kind = ChangeKind.FAILED
        reason = plan.ending.detail
    else:
        return
    item_id = tombstone.monday_id or ""
    yield PlannedChange(
        kind, tombstone.entity_type, str(plan.facts.record), tombstone.entity_id, item_id, reason=reason
    )


VALUE_LENGTH = 60  # characters of a value in a line


def change_line(change: PlannedChange) -> str:
    """Return a change as a line: the record, the field, the values before and after, and the reason."""
    name = f"{change.name} · {change.field}" if change.field else change.name
    reason = f" ({change.reason.rstrip('.')})" if change.reason else ""
    before = quote(change.before, VALUE_LENGTH)
    after = quote(change.after, VALUE_LENGTH)
    if change.kind is ChangeKind.CONFLICT:
        return f"{name}: NPD {before}, Monday {after}{reason}"
    if change.kind in (ChangeKind.PUSH, ChangeKind.PULL):
        return f"{name}: {before} → {after}{reason}"
    if change.after:
        return f"{name}: {after}{reason}"
    return f"{name}: {change.reason}" if change.reason else name


def plan_record(link: BoardLink, entity_id: UUID) -> tuple[PlannedPass, list[PlannedChange]]:
    """Return the last pass that would follow for a record (or its tombstone), and the changes of all of them."""
    pending = SyncQueue.objects.filter(
        entity_type=link.entity_type, entity_id=entity_id, status=choices.QueueStatus.PENDING
    )
    record_claim = comparison_claim(entity_id, list(pending.order_by("priority", "id")))
    planned_pass = plan_pass_with_following(lookups.load_board(link), [record_claim], Gatherer())
    return planned_pass.following or planned_pass, list(plan_changes(planned_pass))


def plan_link(record: SyncedModel, item_id: str) -> tuple[list[PlannedChange], str]:
    """Return the changes of the first pass after linking the two, or why the item can't be read."""
    link = lookups.link_of(record.entity_type())
    reason = availability.of(record.entity_type(), urgent=True).blocked_reason
    if link is None or reason:
        return [], reason
    linked = copy(record)
    linked.monday_id = item_id
    linked.sync_enabled = True
    # A person's click may use the urgent reserve of calls.
    with limits.urgent_calls(), read_only_client():
        claim = Claim(record.pk, None, [])
        planned_pass = decide_pass(lookups.load_board(link), [claim], Gatherer(), {record.pk: linked})
    [plan] = planned_pass.plan.records.values()
    if plan.item is None:
        return [], planned_pass.unread_reason or plan.ending.detail or Message("chosen_item_not_shown")
    return [change for change in plan_changes(planned_pass) if change.kind is not ChangeKind.LEFT], ""


# The dry run of whole boards.


class ListingGatherer(Gatherer):
    """A Gatherer that finds a board's items in its listing; what isn't listed is read by its id."""

    def __init__(self, board: BoardContext) -> None:
        super().__init__()
        self.board = board
        # The listed items: by item id, by NPD ID, by match key and by name.
        self.items = dict[str, Item]()
        self.by_name = defaultdict[str, list[Item]](list)
        self._by_npd_id = defaultdict[str, list[Item]](list)
        self._by_match = defaultdict[str, list[Item]](list)
        self.unreadable: dict[str, MondayError] = {}  # items that Monday answers an error for
        self.linked = dict[UUID, SyncedModel]()  # the records that the plan links, as they will be

    def pages(self) -> Iterator[list[Item]]:
        """List the board's items, page by page; raises MondayError."""
        board = self.board
        for page in connector().list_items(board.link.board_id, self.listed_columns(), board.types, self.unreadable):
            self.calls += 1
            yield page

    def read(self, progress: Callable[[int], None] = lambda number: None) -> None:
        """Keep all listed items; raises MondayError."""
        for page in self.pages():
            for listed in page:
                item = self.complete_item(listed)
                self.items[item.id] = item
                if npd_id := field_values.npd_id_of(self.board, item):
                    self._by_npd_id[npd_id].append(item)
                if key := field_values.match_key_of_item(self.board, item):
                    self._by_match[key].append(item)
                self.by_name[match_key(item.name)].append(item)
            progress(len(self.items))

    def listed_columns(self) -> Sequence[str]:
        return self.board.columns

    def complete_item(self, item: Item) -> Item:
        return item

    def find_items(
        self,
        board: BoardContext,
        item_ids: Sequence[str],
        npd_ids: Sequence[str],
        texts: Sequence[str],
        names: Collection[str] = (),
    ) -> BatchItems:
        named = [item for npd_id in npd_ids for item in self._by_npd_id.get(npd_id, ())]
        matched = [item for key in dict.fromkeys(map(match_key, texts)) for item in self._by_match.get(key, ())]
        namesakes = [item for name in names for item in self.by_name.get(name, ())]
        # As a pass, it asks by id for what isn't listed: the item may be archived, deleted or on another board.
        return BatchItems(self.items_by_id(board, item_ids), named, matched, namesakes)

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        listed = {key: self.items[key] for key in ids if key in self.items}
        return listed | self.read_unlisted(board, [key for key in ids if key not in listed])

    def read_unlisted(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        return {key: self.complete_item(item) for key, item in super().items_by_id(board, ids).items()}

    def read_about_items(self, facts: PassFacts, plan: pass_plan.Plan) -> PassFacts:
        """Read as a pass does, but with the records as the plan links them."""
        facts = super().read_about_items(facts, plan)
        unmatched = []
        for item in facts.unmatched:
            bearer = self.as_planned(item.npd_id_record) if item.npd_id_record else None
            matching = tuple(map(self.as_planned, item.matching))
            namesakes = tuple(map(self.as_planned, item.namesakes))
            unmatched.append(replace(item, matching=matching, namesakes=namesakes, npd_id_record=bearer))
        return replace(facts, unmatched=tuple(unmatched))

    def records_without_item(self) -> set[UUID]:
        return set(self.board.model.objects.filter(monday_id=None).values_list("pk", flat=True))

    def as_planned(self, record: SyncedModel) -> SyncedModel:
        return self.linked.get(record.pk, record)


@dataclass
class BoardPlan:
    """What happens to a board's records and items, as the engine decides it now."""

    entity_type: str
    title: str
    checked: int = 0
    unchanged: int = 0
    changes: list[PlannedChange] = field(default_factory=list)
    calls: int = 0  # of the real run
    unconfirmed: int = 0  # records that wait for the outcome of a call without an answer
    problem: str = ""  # why the board, or a part of it, could not be planned

    @cached_property
    def subjects(self) -> dict[ChangeKind, dict[str, PlannedChange]]:
        """By kind, the first change of each record, or of each item without one, by its id."""
        subjects: dict[ChangeKind, dict[str, PlannedChange]] = {kind: {} for kind in ChangeKind}
        for change in self.changes:
            subjects[change.kind].setdefault(change.subject, change)
        return {kind: by_id for kind, by_id in subjects.items() if by_id}

    def ids(self, kind: ChangeKind) -> set[str]:
        """The records, or the items without one, that such a change is about."""
        return set(self.subjects.get(kind, ()))


def plan_board(listing: ListingGatherer, records: Sequence[Claim], items: Iterable[Claim]) -> list[PlannedPass]:
    """Plan passes over all these records of a listed board, then one over these items as far as they are still free."""
    board = listing.board
    # One pass decides together which records get which items. The others are as large as real passes, because these
    # count what waits for approval.
    ids_without_item = listing.records_without_item()
    without_item = [claim for claim in records if claim.entity_id in ids_without_item]
    others = [claim for claim in records if claim.entity_id not in ids_without_item]
    size = limits.batch_size(board.link.pk) if board.link.pk else api_quota.FULL_BATCH
    chunks = [others[start : start + size] for start in range(0, len(others), size)]
    planned_passes = [plan_pass_with_following(board, chunk, listing) for chunk in (*chunks, without_item)]
    taken = set[str]()
    for planned_pass in planned_passes:
        taken |= answered_items(planned_pass.facts, planned_pass.plan)
        for record_plan in planned_pass.plan.records.values():
            taken |= {record_plan.record.monday_id or "", record_plan.item_id}
            question = record_plan.question.data if record_plan.question else {}
            taken |= {str(candidate["id"]) for candidate in question.get("candidates", ())}
            if record_plan.link_to:
                listing.linked[record_plan.id] = record_plan.linked_record
    free = [claim for claim in items if claim.remote_id not in taken]
    return [*planned_passes, plan_pass_with_following(board, free, listing)]
