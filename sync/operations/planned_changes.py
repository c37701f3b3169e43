"""What a pass would change by its plan: each change with its kind, its values as displayed, and its reason."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.reports import ConflictKind
from sync import choices
from sync.fields import field_values
from sync.kernel import acts, grouped, humanize
from sync.monday.conversion import UnknownValue
from sync.reconcile import conflict_reports, outcomes, pass_plan
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing.identity import CREATES_HELD, OTHER_FIRST
from sync.reconcile.missing.questions import answered_items
from sync.reconcile.missing.removed_items import by_whom
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

# By the code of the act; other answers leave both sides as they are.
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

# By the code of the reason for which no act is planned; for other reasons, a record or item is left as it is.
REASON_KINDS = {
    # The first of several records with one key gets an item, which the others find: a person is asked.
    OTHER_FIRST: ChangeKind.ASK,
    CREATES_HELD: ChangeKind.HELD,
    choices.UnmatchedReason.UNPLANNED: ChangeKind.UNPLANNED,
    choices.BlockedCode.APPROVAL: ChangeKind.ASK,
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
    for answer in plan.identity_answers:
        yield from _answer_changes(facts, plan, answer)
    for record_plan in plan.records.values():
        if record_plan.ending != outcomes.ANSWERED:
            yield from _record_changes(facts.board, record_plan)
    for deleted in plan.deleted.values():
        if deleted.ending != outcomes.ANSWERED:
            yield from _deletion_changes(deleted)
    # An answer's own change says what becomes of its item.
    answered = answered_items(facts, plan)
    for item_plan in plan.items:
        if item_plan.facts.item_id not in answered:
            yield _item_change(facts.board, item_plan)


def _answer_changes(
    facts: PassFacts, plan: pass_plan.Plan, answer: pass_plan.IdentityAnswer
) -> Iterator[PlannedChange]:
    """Yield what a person's answer to “who is this?” does, or why it is rejected."""
    kind = ACT_KINDS.get(answer.act, ChangeKind.LEFT) if answer.result else ChangeKind.ASK
    entity_id = answer.merged_id or answer.record_id or answer.asked_id
    name = str(facts.answer_records.get(entity_id) or plan.records[answer.asked_id].record)
    if reason := answer.result or answer.rejection_reason:
        yield PlannedChange(kind, facts.board.link.entity_type, name, entity_id, answer.item_id, reason=reason)


def _record_changes(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield a record's changes; none if both sides equal their base."""
    changes = [*_whole_changes(board, plan), *_conflict_changes(plan), *_field_changes(plan)]
    yield from changes
    if plan.outcome in (outcomes.Outcome.FAILED, outcomes.Outcome.RELEASED) and plan.ending != outcomes.LINKED:
        yield _record_change(plan, ChangeKind.FAILED, reason=plan.ending.detail)
    elif changes:
        return
    elif plan.removal and plan.outcome is outcomes.Outcome.DEFERRED:
        yield _record_change(plan, ChangeKind.REMOVED, reason=_decided_later(board, plan.removal))
    elif plan.filter_reason:
        yield _record_change(plan, ChangeKind.FILTERED, reason=plan.filter_reason)
    elif plan.reason:
        kind = REASON_KINDS.get(code_of(plan.reason), ChangeKind.LEFT)
        yield _record_change(plan, kind, reason=plan.reason)


def _whole_changes(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield what is done about the record and its item as a whole."""
    if not plan.whole_act:
        return
    after = ""
    if plan.removal and plan.act:
        reason = Message("removal_decided", removal=plan.removal.sentence, decided_by=by_whom(plan.removal))
    elif plan.whole_act == acts.UNLINK:
        reason = Message("is_to_be_unlinked")
    elif plan.whole_act == acts.NEW_ITEM:
        reason = Message("no_item_yet")
    else:
        assert plan.item is not None
        after = plan.item.name
        is_by_npd_id = field_values.npd_id_of(board, plan.item) == str(plan.id)
        found_by = Message("its_npd_id") if is_by_npd_id else humanize.within_sentence(board.match_label)
        reason = Message("item_found_by", key=found_by)
    yield _record_change(plan, ACT_KINDS[plan.whole_act], after=after, reason=reason)


def _conflict_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    for report in conflict_reports.conflict_reports(plan):
        if report.kind not in (ConflictKind.FIELDS, ConflictKind.OVERWRITTEN):
            if report.data:
                yield _record_change(plan, ChangeKind.ASK, reason=report.what)
            continue
        for values in report.fields:
            field_plan = plan.fields.get(values.key)
            if field_plan is None or not field_plan.choice:
                sides = {"before": values.npd or "", "after": values.monday or ""}
                change = _record_change(plan, ChangeKind.CONFLICT, field_plan, **sides, reason=values.reason)
                yield replace(change, field=change.field or values.key)


def _field_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield what is sent, written in NPD, and blocked."""
    for field_plan in plan.fields.values() if plan.is_open else ():
        reason = field_plan.decision.reason
        # The fields of a new item are part of its creation.
        if field_plan.send_raw is not None and not plan.creates:
            before = "(not known)"
            with suppress(UnknownValue):
                raw = field_plan.remote_raw
                before = "" if raw is None else field_plan.converter.display_remote(raw)
            after = field_plan.display_local(field_plan.send_raw)
            yield _record_change(plan, ChangeKind.PUSH, field_plan, before=before, after=after, reason=reason)
        if field_plan.pull_raw is not None:
            before = field_plan.display_local(field_plan.local_raw)
            after = field_plan.display_local(field_plan.pull_raw)
            yield _record_change(plan, ChangeKind.PULL, field_plan, before=before, after=after, reason=reason)
    for field_plan in plan.fields.values():
        if field_plan.blocked_code and not field_plan.is_relation_skipped and not field_plan.conflict:
            kind = REASON_KINDS.get(field_plan.blocked_code, ChangeKind.BLOCKED)
            yield _record_change(plan, kind, field_plan, reason=field_plan.blocked_reason)


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


def _decided_later(board: field_values.BoardContext, removal: pass_plan.Removal) -> str:
    """Return what was done with an item, and who decides about its record after the quiet time."""
    is_asked = board.link.removed_item_policy == choices.RemovedItemPolicy.ASK
    after = humanize.time_span(board.settings.removed_item_quiet_seconds)
    return sentences(
        removal.sentence, Message("asked_after_quiet_time" if is_asked else "set_after_quiet_time", after=after)
    )


def _deletion_changes(plan: pass_plan.DeletedPlan) -> Iterator[PlannedChange]:
    """Yield what is done about a deleted record's item; nothing if both stay as they are."""
    tombstone = plan.facts.tombstone
    reason: str
    if plan.act:
        kind = ACT_KINDS[plan.act]
        reason = Message("record_deleted_too")
    elif plan.question is not None:
        kind = ChangeKind.ASK
        reason = plan.question.what
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
    name = str(plan.facts.record)
    yield PlannedChange(kind, tombstone.entity_type, name, tombstone.entity_id, plan.item_id, reason=reason)


def _item_change(board: field_values.BoardContext, plan: pass_plan.ItemPlan) -> PlannedChange:
    """Return what becomes of an item that no record has."""
    entity_type = board.link.entity_type
    item_id = plan.facts.item_id
    if plan.assigns and plan.record is not None:
        record = plan.record
        return PlannedChange(ACT_KINDS[plan.act], entity_type, str(record), record.pk, item_id, reason=plan.sentence)
    reason = plan.ending.detail
    if plan.act:
        kind = ACT_KINDS[plan.act]
        reason = Message("is_second_item_of", record=str(plan.original_record))
    elif plan.candidates:
        kind = ChangeKind.ASK
    elif plan.outcome is outcomes.Outcome.DEFERRED and board.link.creates_records:
        # Without new records such an item mostly stays as it is.
        kind = ChangeKind.WAITING
    else:
        kind = REASON_KINDS.get(plan.finding.reason if plan.finding else "", ChangeKind.LEFT)
    name = plan.facts.item.name if plan.facts.item else f"item {item_id}"
    return PlannedChange(kind, entity_type, name, None, item_id, reason=reason)


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
