"""Passes that only plan: their facts, and what reconcile's rules decide. Nothing is written on either side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.reports import AnswerKind, ConflictKind
from sync import choices, limits, registry
from sync.boards import availability
from sync.clock import SyncNow
from sync.fields import lookups
from sync.fields.field_values import BoardContext
from sync.kernel import grouped
from sync.kernel.humanize import quote, shorten
from sync.models import BoardLink, Intent, IntentState, SyncedModel, SyncQueue
from sync.monday.conversion import UnknownValue
from sync.monday.errors import MondayError
from sync.operations.comparison import BoardListing, compared_records, records_without_item
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.changes import item_writes
from sync.reconcile.decide import RULES, decide, end_unread
from sync.reconcile.deleted_records import new_item_removal_requests
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather import Gatherer
from sync.reconcile.identity import ANSWERED, LINKED, answered_items
from sync.reconcile.pass_results import conflict_reports
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.restraints import new_clear_requests
from sync.reconcile.run import plan_pass


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
    """The facts and the plan of a pass."""

    facts: PassFacts
    plan: pass_plan.Plan
    calls: int = 0  # that reading took
    unread_reason: str = ""  # why Monday could not be read


def plan_passes(board: BoardContext, claims: Sequence[Claim], gatherer: Gatherer) -> list[PlannedPass]:
    """Plan a pass over these records and items, and the pass that follows it at once, if any.

    The gatherer remembers the approvals that they would ask for, because these count in the passes that it plans later.
    """
    first = decide_pass(board, claims, gatherer)
    planned_passes = [first]
    # The records that the first pass would link or create, as it would leave them.
    plans = first.plan.records
    created = [item.record for item in first.plan.items if item.act in pass_plan.ASSIGNING and item.record]
    records = {record.pk: record for record in created if record.pk not in plans}
    records |= {key: record_plan.linked_record for key, record_plan in plans.items() if record_plan.ending == LINKED}
    if records:
        following = [Claim(pk, None, []) for pk in sorted(records)]
        planned_passes.append(decide_pass(first.facts.board, following, gatherer, records))
    for planned_pass in planned_passes:
        clears = new_clear_requests(planned_pass.plan, choices.ApprovalState.DONE, choices.ApprovalState.PENDING)
        removals = new_item_removal_requests(planned_pass.plan.deleted.values())
        requests = [*removals, *new_deletion_requests(planned_pass.plan), *clears]
        gatherer.planned_requests = [*gatherer.planned_requests, *requests]
    return planned_passes


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
    released = pass_plan.Ending(pass_plan.Outcome.RELEASED, error.sentence)
    end_unread(facts, plan, released, released)
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


def calls_of_real_pass(planned_pass: PlannedPass) -> int:
    """Return how many calls the real pass takes if Monday accepts them all."""
    if planned_pass.unread_reason:
        return planned_pass.calls
    plan = planned_pass.plan
    writes = filter(None, item_writes(planned_pass.facts.board, plan))
    removals = {deleted.item_removal for deleted in plan.deleted.values()} - {None}
    return planned_pass.calls + len([*writes, *removals]) + calls_about_items(plan)


def calls_about_items(plan: pass_plan.Plan) -> int:
    """Return how many of the calls are about second items and answered questions."""
    # One call clears the NPD IDs of all duplicates, another archives all copies.
    duplicate_acts = {item.act for item in plan.items}.intersection(pass_plan.DUPLICATES)
    # The pass after such an answer reads, and writes. The other kinds of answers change nothing on Monday.
    answers = _ANSWER_KINDS.keys() & {answer.kind for answer in plan.identity_answers if answer.result}
    return len(duplicate_acts) + 2 * len(answers)


# The dry run of whole boards.

# For each board: what has changed on it, and its columns.
CALLS_BEFORE_LISTING = 2


@dataclass
class BoardDryRun:
    """The changes that `sync_reconcile` would make on a board."""

    entity_type: str
    title: str
    checked: int = 0
    unchanged: int = 0
    changes: list[PlannedChange] = field(default_factory=list)
    calls: int = 0  # of the real run
    unconfirmed: int = 0  # records that wait for the outcome of a call without an answer
    problem: str = ""  # why the board, or a part of it, could not be planned
    # A record may be linked twice in the plan: by its own job and by its item's.
    linked: set[UUID | None] = field(default_factory=set)

    def add(self, change: PlannedChange) -> None:
        if change.kind is ChangeKind.LINK:
            if change.entity_id in self.linked:
                return
            self.linked.add(change.entity_id)
        self.changes.append(change)


def plan_boards() -> tuple[list[BoardDryRun], ReadOnlyClient]:
    """Plan what `sync_reconcile` would do now; the client has counted the calls of the dry run itself."""
    dry_runs = []
    with read_only_client() as client:
        for spec in registry.entities():
            dry_run = BoardDryRun(spec.entity_type, spec.board_title)
            dry_runs.append(dry_run)
            _plan_board(dry_run, spec, client)
    return dry_runs, client


def _plan_board(dry_run: BoardDryRun, spec: registry.EntitySpec, client: ReadOnlyClient) -> None:
    link = lookups.link_of(spec.entity_type)
    dry_run.problem = availability.of(spec.entity_type, reads=True).blocked_reason
    if dry_run.problem or link is None:
        return
    calls_before = client.calls
    listing = BoardListing(link, is_preview=True)
    ids = list[UUID]()
    try:
        for page in listing.pages():
            unfinished = page.differing_or_unfinished
            same = {plan.id for plan in page.synced_plans}.difference(unfinished)
            dry_run.checked += len(same)
            dry_run.unchanged += len(same)
            ids += unfinished
    except MondayError as error:
        dry_run.problem = f"The board could not be listed. {error.sentence}"
        return
    ids = sorted([*ids, *listing.unlisted(), *records_without_item(spec)])
    # The real run lists the board, too.
    dry_run.calls = client.calls - calls_before + CALLS_BEFORE_LISTING
    dry_run.unconfirmed = _unconfirmed_intents(spec).values("entity_id").distinct().count()
    size = limits.batch_size(link.pk)
    claims = _claims_to_plan(spec, ids, listing.unmatched, size)
    gatherer = Gatherer()  # for all chunks, because it remembers the approvals that they would ask for
    while chunk := list(islice(claims, size)):
        planned_passes = plan_passes(lookups.load_board(link), chunk, gatherer)
        first = planned_passes[0]
        if first.unread_reason:
            dry_run.problem = f"Monday could not be read to the end. {first.unread_reason}"
            return
        dry_run.checked += len(chunk)
        for planned_pass in planned_passes:
            changes = list(plan_changes(planned_pass))
            if planned_pass is first:
                dry_run.unchanged += len(first.plan.records.keys() - {change.entity_id for change in changes})
            dry_run.calls += calls_of_real_pass(planned_pass)
            for change in changes:
                dry_run.add(change)


def _claims_to_plan(spec: registry.EntitySpec, ids: Sequence[UUID], items: Iterable[str], size: int) -> Iterator[Claim]:
    """Yield the claims of these records and items after a comparison, and of all other due jobs."""
    due = SyncQueue.objects.filter(
        entity_type=spec.entity_type, status=choices.QueueStatus.PENDING, next_retry__lte=SyncNow()
    ).order_by("id")
    # A comparison leaves out records that have no item, are disabled or deleted, but their jobs may be due.
    extra_ids = {pk for pk in due.values_list("entity_id", flat=True) if pk}
    compared = compared_records(spec.model).filter(pk__any_of=list(extra_ids))  # kernel/db.py: AnyOf
    extra_ids -= set(compared.values_list("pk", flat=True))
    all_ids = list(dict.fromkeys([*ids, *sorted(extra_ids)]))
    for start in range(0, len(all_ids), size):
        batch = all_ids[start : start + size]
        pending = SyncQueue.objects.filter(
            entity_type=spec.entity_type, entity_id__in=batch, status=choices.QueueStatus.PENDING
        )
        jobs = grouped(pending.order_by("priority", "id"), lambda job: job.entity_id)
        intents = _unconfirmed_intents(spec).filter(entity_id__in=batch)
        unconfirmed = set(intents.values_list("entity_id", flat=True))
        yield from (comparison_claim(pk, jobs.get(pk, [])) for pk in batch if pk not in unconfirmed)
    due_items = due.filter(entity_id=None, remote_id__isnull=False).values_list("remote_id", flat=True)
    for item in dict.fromkeys([*map(str, due_items), *items]):
        yield Claim(None, item, [])


def _unconfirmed_intents(spec: registry.EntitySpec) -> models.QuerySet[Intent]:
    """Return the intents because of which a claim skips a record (sync/outbox/claim.py)."""
    pending = models.Q(deadline__gt=SyncNow()) | models.Q(item_id="")
    return Intent.objects.filter(pending, entity_type=spec.entity_type, state=IntentState.OPEN)


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
    BLOCKED = "blocked", "blocked"
    LEFT = "left as it is", "left as they are"
    FAILED = "failed", "that could not be synced"


_ANSWER_KINDS = {
    AnswerKind.LINK: ChangeKind.LINK,
    AnswerKind.MERGE: ChangeKind.DELETE_RECORD,
    AnswerKind.NEW_ITEM: ChangeKind.CREATE,
}

_DELETED_RECORD_KINDS = {
    choices.DeletedRecordPolicy.ARCHIVE: ChangeKind.ARCHIVE,
    choices.DeletedRecordPolicy.DELETE: ChangeKind.DELETE_ITEM,
    choices.DeletedRecordPolicy.UNLINK: ChangeKind.UNLINK,
}

_REMOVED_ITEM_KINDS = {
    choices.RemovedItemPolicy.CREATE: ChangeKind.CREATE,
    choices.RemovedItemPolicy.DELETE: ChangeKind.DELETE_RECORD,
    choices.RemovedItemPolicy.UNLINK: ChangeKind.UNLINK,
}
_ITEM_KINDS = {
    pass_plan.ItemAct.CREATE: ChangeKind.NEW_RECORD,
    pass_plan.ItemAct.LINK: ChangeKind.LINK,
    pass_plan.ItemAct.ASK: ChangeKind.ASK,
    pass_plan.ItemAct.DUPLICATE: ChangeKind.ASK,
    pass_plan.ItemAct.COPY: ChangeKind.ARCHIVE,
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


def plan_changes(planned_pass: PlannedPass) -> Iterator[PlannedChange]:
    plan = planned_pass.plan
    entity_type = planned_pass.facts.board.link.entity_type
    for answer in plan.identity_answers:
        # What a person's answer to “who is this?” does.
        kind = _ANSWER_KINDS.get(answer.kind, ChangeKind.LEFT) if answer.result else ChangeKind.ASK
        entity_id = answer.merged_id or answer.record_id or answer.asked_id
        name = str(planned_pass.facts.identity_answers.records.get(entity_id) or plan.records[answer.asked_id].record)
        if reason := answer.result or answer.rejection_reason:
            yield PlannedChange(kind, entity_type, name, entity_id, answer.item_id, reason=reason)
    for record_plan in plan.records.values():
        yield from _record_changes(record_plan)
    for deleted in plan.deleted.values():
        yield from _deletion_changes(deleted)
    # An answer's own change says what becomes of its item.
    answered = answered_items(planned_pass.facts, plan)
    for item_plan in plan.items:
        item_id = item_plan.facts.item_id
        kind = _ITEM_KINDS.get(item_plan.act, ChangeKind.LEFT)
        record = item_plan.record
        if item_id in answered:
            continue
        if item_plan.act in pass_plan.ASSIGNING and record is not None:
            yield PlannedChange(kind, entity_type, str(record), record.pk, item_id, reason=item_plan.sentence)
            continue
        reason = item_plan.ending.detail
        if item_plan.act in pass_plan.DUPLICATES:
            kind = ChangeKind.ARCHIVE if item_plan.is_ours else kind
            reason = f"It is a second item of “{record}”."
        yield PlannedChange(kind, entity_type, f"item {item_id}", None, item_id, reason=reason)


def _record_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield a record's changes; none if both sides equal their base."""
    if plan.ending == ANSWERED:
        return
    changes = [*_lifecycle_changes(plan), *_conflict_changes(plan)]
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
    if plan.outcome in (pass_plan.Outcome.FAILED, pass_plan.Outcome.RELEASED) and plan.ending != LINKED:
        yield _record_change(plan, ChangeKind.FAILED, reason=plan.ending.detail)
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


def _lifecycle_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    if plan.removed_item is not None and plan.removed_item.act:
        reason = f"{plan.removed_item.sentence} {plan.removed_item.decided_by}".strip()
        yield _record_change(plan, _REMOVED_ITEM_KINDS[plan.removed_item.act], reason=reason)
    elif plan.unlink_reason:
        yield _record_change(plan, ChangeKind.UNLINK, reason="It is to be unlinked.")
    elif plan.is_open and plan.creates:
        yield _record_change(plan, ChangeKind.CREATE, reason="It has no item on the board.")
    elif plan.link_to:
        name = plan.item.name if plan.item else plan.link_to
        yield _record_change(plan, ChangeKind.LINK, after=name, reason="Its item was found on the board.")


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
    if plan.ending == ANSWERED:
        return
    if plan.item_removal is not None:
        kind = _DELETED_RECORD_KINDS[plan.item_removal]
        reason = "Its record was deleted in NPD."
    elif plan.question is not None:
        kind = ChangeKind.ASK
        reason = str(plan.question.data.get("what", ""))
    elif plan.restores:
        kind = ChangeKind.NEW_RECORD
        reason = "A person chose to restore it."
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
    planned_passes = plan_passes(lookups.load_board(link), [record_claim], Gatherer())
    return planned_passes[-1], [change for planned_pass in planned_passes for change in plan_changes(planned_pass)]


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
        return [], planned_pass.unread_reason or plan.ending.detail or "Monday doesn't show the item any more."
    return [change for change in plan_changes(planned_pass) if change.kind is not ChangeKind.LEFT], ""
