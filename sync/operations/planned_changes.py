"""What a pass would change by its plan: each change with its kind, its values as displayed, and its reason."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.reports import ConflictKind
from sync import choices
from sync.choices import SyncStatus
from sync.fields import field_values
from sync.kernel import acts, grouped, humanize
from sync.merge import Action
from sync.monday.conversion import UnknownValue
from sync.reconcile import conflict_reports, outcomes, pass_plan
from sync.reconcile.board_filter import leave_out_after_write
from sync.reconcile.changes import lacks_npd_id
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing.identity import CREATES_HELD, OTHER_FIRST
from sync.reconcile.missing.questions import answered_items
from sync.reconcile.missing.removed_items import by_whom
from sync.reconcile.restraints import ended_requests
from sync.reconcile.settle.record import STORED, SYNC_STATE_STATUS, complete_sync_state, sync_status
from sync.words.message import Message, code_of, sentences


class ChangeKind(models.TextChoices):
    """The rows of a plan, in their order; the label says which records, or items without one, a row counts."""

    CREATE = "create", "new items on Monday"
    LINK = "link", "records linked with their items"
    PUSH = "push", "items updated on Monday"
    PULL = "pull", "records updated in NPD"
    NEW_RECORD = "new record", "new records in NPD"
    ARCHIVE = "archive item", "items archived on Monday"
    DELETE_ITEM = "delete item", "items deleted on Monday"
    UNLINK = "unlink", "records unlinked"
    DELETE_RECORD = "delete record", "records deleted in NPD"
    ENDED = "ended", "records or items whose open questions end unanswered"
    TRIED_AGAIN = "tried again", "records whose rejected values are sent again"
    CONFLICT = "conflict", "records with a conflict to resolve"
    ASK = "ask", "records or items that need your choice"
    REMOVED = "removed", "records whose item is gone"
    UNPLANNED = "unplanned", "items that become no record until you say so"
    BLOCKED = "blocked", "records synced without their blocked fields"
    FAILED = "failed", "records that can't be synced"
    WAITING = "waiting", "items that are checked again"
    UNREADABLE = "unreadable", "items for which Monday answers an error"
    FILTERED = "filtered", "records that the filter leaves out"
    HELD = "held", "records that get no item"
    SYNC_OFF = "sync_off", "records with sync off"
    LEFT = "left as it is", "other records or items left as they are"


# The rows by the parts of a plan's page.
PARTS = {
    "changes": (
        *(ChangeKind.CREATE, ChangeKind.LINK, ChangeKind.PUSH, ChangeKind.PULL, ChangeKind.NEW_RECORD),
        *(ChangeKind.ARCHIVE, ChangeKind.DELETE_ITEM, ChangeKind.UNLINK, ChangeKind.DELETE_RECORD),
    ),
    "ended": (ChangeKind.ENDED,),
    "asked": (
        *(ChangeKind.TRIED_AGAIN, ChangeKind.CONFLICT, ChangeKind.ASK, ChangeKind.REMOVED),
        *(ChangeKind.UNPLANNED, ChangeKind.BLOCKED, ChangeKind.FAILED),
    ),
    "waiting": (ChangeKind.WAITING, ChangeKind.UNREADABLE),
    "left": (ChangeKind.FILTERED, ChangeKind.HELD, ChangeKind.SYNC_OFF, ChangeKind.LEFT),
}

# By the act that a person or a board's policy chose; other answers leave both sides as they are.
ACT_KINDS = {
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


# By why a record gets no item.
KINDS_WITHOUT_ITEM = {
    # The first of several records with one key gets an item, which the others find: a person is asked.
    OTHER_FIRST: ChangeKind.ASK,
    CREATES_HELD: ChangeKind.HELD,
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
    def subject(self) -> str:
        """The id of the record, or of the item if there is none yet."""
        is_made = self.kind is ChangeKind.NEW_RECORD and self.item_id
        return str(self.item_id if is_made else self.entity_id or self.item_id)


@dataclass
class BoardPlan:
    """What passes over a board's records and items would do, as the engine decides it now."""

    entity_type: str
    title: str
    # The changes by kind, then by their records, or items without one.
    groups: dict[str, dict[str, list[PlannedChange]]] = field(default_factory=dict)
    calls: int = 0  # of the passes
    checked: int = 0
    unchanged: int = 0
    unconfirmed: int = 0  # records that wait for the outcome of a call without an answer
    problem: str = ""  # why the board, or a part of it, could not be planned

    def add(self, *changes: PlannedChange) -> None:
        for change in changes:
            self.groups.setdefault(change.kind, {}).setdefault(change.subject, []).append(change)

    @property
    def changes(self) -> list[PlannedChange]:
        return [change for subjects in self.groups.values() for changes in subjects.values() for change in changes]

    def ids(self, kind: ChangeKind) -> set[str]:
        """The records, or the items without one, that such a change is about."""
        return set(self.groups.get(kind, ()))

    def row(self, kind: str) -> dict[str, Any]:
        """Return a kind with the changes of each subject: of all subjects, and by their first change's reason."""
        subjects = list(self.groups[kind].values())
        reasons = grouped(subjects, lambda changes: changes[0].reason)
        return {"kind": ChangeKind(kind), "subjects": subjects, "reasons": list(reasons.items())}

    @property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that count anything, by the part of the plan's page."""
        return {part: [self.row(kind) for kind in kinds if kind in self.groups] for part, kinds in PARTS.items()}


def plan_changes(facts: PassFacts, plan: pass_plan.Plan) -> Iterator[PlannedChange]:
    """Yield what the pass would change."""
    entity_type = facts.board.link.entity_type
    for answer in plan.identity_answers:
        # What a person's answer to “who is this?” does.
        kind = ACT_KINDS.get(answer.act, ChangeKind.LEFT) if answer.result else ChangeKind.ASK
        entity_id = answer.merged_id or answer.record_id or answer.asked_id
        name = str(facts.answer_records.get(entity_id) or plan.records[answer.asked_id].record)
        if reason := answer.result or answer.rejection_reason:
            yield PlannedChange(kind, entity_type, name, entity_id, answer.item_id, reason=reason)
    for record_plan in plan.records.values():
        yield from _record_changes(facts.board, record_plan)
    for deleted in plan.deleted.values():
        yield from _deletion_changes(deleted)
    # An answer's own change says what becomes of its item.
    answered = answered_items(facts, plan)
    for item_plan in plan.items:
        item_id = item_plan.facts.item_id
        kind = ACT_KINDS.get(item_plan.act) or _kind_of_left_item(facts.board, item_plan)
        record = item_plan.record
        if item_id in answered:
            continue
        if item_plan.assigns and record is not None:
            yield PlannedChange(kind, entity_type, str(record), record.pk, item_id, reason=item_plan.sentence)
            continue
        reason = item_plan.ending.detail
        if item_plan.is_duplicate:
            reason = Message("is_second_item_of", record=str(record))
        name = item_plan.facts.item.name if item_plan.facts.item else f"item {item_id}"
        yield PlannedChange(kind, entity_type, name, None, item_id, reason=reason)


def _kind_of_left_item(board: field_values.BoardContext, item_plan: pass_plan.ItemPlan) -> ChangeKind:
    """Return the kind of an item that no record gets."""
    if item_plan.candidates:
        return ChangeKind.ASK
    if item_plan.finding and item_plan.finding.reason is choices.UnmatchedReason.UNPLANNED:
        return ChangeKind.UNPLANNED
    # Without new records such an item mostly stays as it is.
    is_checked_again = item_plan.outcome is outcomes.Outcome.DEFERRED
    return ChangeKind.WAITING if is_checked_again and board.link.creates_records else ChangeKind.LEFT


def _record_changes(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield a record's changes; none if both sides equal their base."""
    if plan.ending == outcomes.ANSWERED:
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
        if field_plan.pull_raw is not None:
            before = field_plan.display_local(field_plan.local_raw)
            after = field_plan.display_local(field_plan.pull_raw)
            changes.append(_record_change(plan, ChangeKind.PULL, field_plan, before=before, after=after, reason=reason))
    changes += [
        _record_change(plan, _kind_of_blocked(field_plan), field_plan, reason=field_plan.blocked_reason)
        for field_plan in plan.fields.values()
        if field_plan.blocked_code and not field_plan.is_relation_skipped and not field_plan.conflict
    ]
    yield from changes
    if plan.outcome in (outcomes.Outcome.FAILED, outcomes.Outcome.RELEASED) and plan.ending != outcomes.LINKED:
        yield _record_change(plan, ChangeKind.FAILED, reason=plan.ending.detail)
    elif not changes and plan.removal and plan.outcome is outcomes.Outcome.DEFERRED:
        yield _record_change(plan, ChangeKind.REMOVED, reason=_decided_later(board, plan.removal))
    elif not changes and plan.filter_reason:
        yield _record_change(plan, ChangeKind.FILTERED, reason=plan.filter_reason)
    elif not changes and plan.reason:
        kind = KINDS_WITHOUT_ITEM.get(code_of(plan.reason), ChangeKind.LEFT)
        yield _record_change(plan, kind, reason=plan.reason)


def _kind_of_blocked(field_plan: pass_plan.FieldPlan) -> ChangeKind:
    """Return the kind of a blocked field: what waits for an approval asks a person."""
    return ChangeKind.ASK if field_plan.blocked_code is choices.BlockedCode.APPROVAL else ChangeKind.BLOCKED


def _decided_later(board: field_values.BoardContext, removal: pass_plan.Removal) -> str:
    """Return what was done with an item, and who decides about its record after the quiet time."""
    is_asked = board.link.removed_item_policy == choices.RemovedItemPolicy.ASK
    after = humanize.time_span(board.settings.removed_item_quiet_seconds)
    return sentences(
        removal.sentence, Message("asked_after_quiet_time" if is_asked else "set_after_quiet_time", after=after)
    )


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


def _lifecycle_changes(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    if plan.removal and plan.act:
        reason = f"{plan.removal.sentence} {by_whom(plan.removal).capitalize()}."
        yield _record_change(plan, ACT_KINDS[plan.act], reason=reason)
    elif plan.unlink_reason:
        yield _record_change(plan, ChangeKind.UNLINK, reason=Message("is_to_be_unlinked"))
    elif plan.is_open and plan.creates:
        yield _record_change(plan, ChangeKind.CREATE, reason=Message("no_item_yet"))
    elif plan.link_to:
        assert plan.item is not None
        is_by_npd_id = field_values.npd_id_of(board, plan.item) == str(plan.id)
        found_by = Message("its_npd_id") if is_by_npd_id else humanize.within_sentence(board.match_label)
        reason = Message("item_found_by", key=found_by)
        yield _record_change(plan, ChangeKind.LINK, after=plan.item.name, reason=reason)


def _conflict_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    for report in conflict_reports.conflict_reports(plan):
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
    if plan.ending == outcomes.ANSWERED:
        return
    if plan.act:
        kind = ACT_KINDS[plan.act]
        reason = Message("record_deleted_too")
    elif plan.question is not None:
        kind = ChangeKind.ASK
        reason = str(plan.question.data.get("what", ""))
    elif plan.restores:
        kind = ChangeKind.NEW_RECORD
        reason = Message("person_restores_it")
    elif plan.new_state is choices.TombstoneState.PENDING_APPROVAL:
        kind = ChangeKind.ASK
        reason = plan.reason
    elif plan.ending.outcome in (outcomes.Outcome.FAILED, outcomes.Outcome.RELEASED):
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
    before = humanize.quote(change.before, VALUE_LENGTH)
    after = humanize.quote(change.after, VALUE_LENGTH)
    if change.kind is ChangeKind.CONFLICT:
        return f"{name}: NPD {before}, Monday {after}{reason}"
    if change.kind in (ChangeKind.PUSH, ChangeKind.PULL):
        return f"{name}: {before} → {after}{reason}"
    if change.after:
        return f"{name}: {after}{reason}"
    return f"{name}: {change.reason}" if change.reason else name


def changed_records(facts: PassFacts, plan: pass_plan.Plan, with_jobs: Collection[UUID] = ()) -> frozenset[UUID]:
    """Return the records for which the pass would send, write, ask or end anything.

    The time of a pass alone is no change. Records in `with_jobs` may have events, an open intent and the status pending
    because of their job.
    """
    ended = [request for request, _ in ended_requests(plan.open_requests, plan.records)]
    changed = {request.entity_id for request in (*plan.new_requests, *plan.outdated_requests, *ended)}
    for key, record_plan in plan.records.items():
        if key not in changed and not _is_at_rest(facts, record_plan, has_job=key in with_jobs):
            changed.add(key)
    return frozenset(changed)


def _has_work(board: field_values.BoardContext, plan: pass_plan.RecordPlan, *, has_job: bool) -> bool:
    """Whether the pass would link, log, ask or end anything; what a waiting job stands for doesn't count."""
    facts = plan.facts
    ends_events = plan.item and plan.history.unchecked_events
    ends_others = plan.fields and (facts.open_intents or facts.has_failed_job)
    return bool(
        (plan.removal or plan.unlink_reason or plan.creates or plan.link_to)
        or plan.question
        or (plan.log or (plan.is_open and lacks_npd_id(board, plan)))
        or ((ends_events or ends_others) and not has_job)
        # Every pass decides them again, and a person's decision may wait to be applied.
        or facts.conflicts
        or facts.undo_requests
        or any(field.loop and field.loop is not plan.history.loops.get(key) for key, field in plan.fields.items())
    )


def _is_at_rest(facts: PassFacts, plan: pass_plan.RecordPlan, *, has_job: bool) -> bool:
    """Whether both sides say what they agreed on, and the record is stored as a pass would leave it.

    A record that is asked about is not at rest: it gets a pass, which costs little.
    """
    before = plan.facts.sync_state
    settled = copy(plan)
    settled.sync_state = copy(plan.sync_state)
    if plan.is_open:
        settled.ending = outcomes.SETTLED
    if not settled.is_settled or settled.lost_update_lines or _has_work(facts.board, plan, has_job=has_job):
        return False
    for key, field_plan in plan.fields.items():
        has_same_base = field_plan.base is None or field_plan.base is before.base.get(key)
        if not (field_plan.blocked_code or (has_same_base and field_plan.decision.action is Action.NOTHING)):
            return False
    settled.log = []
    leave_out_after_write(facts, settled, None)
    complete_sync_state(settled, before, facts.now, plan.facts.conflicts)
    settled.sync_state.sync_direction = before.sync_direction  # that of the last pass with something to transfer
    if any(getattr(settled.sync_state, name) != getattr(before, name) for name in STORED):
        return False
    status = sync_status(facts.board, settled, has_open_work=False)
    sync_state_status = SyncStatus.FAILED if plan.facts.has_failed_job else SYNC_STATE_STATUS[status]
    return has_job or (status, sync_state_status) == (plan.record.sync_status, before.sync_status)
