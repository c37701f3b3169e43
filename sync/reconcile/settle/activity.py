"""The rows of activity about a pass: who did what, and why."""

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID

from sync import choices
from sync.choices import ActivityKind, BlockedCode
from sync.fields import field_bases
from sync.fields.field_values import BoardContext, field_of
from sync.merge import Action
from sync.models import ActivityLine, Intent
from sync.models.activity_lines import DELETION_KINDS, MADE, MAX_ACTOR_LENGTH, REFILLS, UNREPORTED, is_of_deletion
from sync.models.records_and_items import approval_payload_key
from sync.monday.board_events import EventKind, ItemEvent
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.change_events import ChangeEvent, reported_changes, texts_in
from sync.records import authors, edits
from sync.records.item_links import RECORD_RESTORED_KEY
from sync.words.message import Message

_NPD_EDIT_KINDS = (ActivityKind.PUSH, ActivityKind.OVERWRITTEN)

# What a person's request does. Other lines have authors of their own, whoever asked for the pass.
_REQUESTED_KINDS = (ActivityKind.CREATE, ActivityKind.LINK, ActivityKind.UNLINKED, *DELETION_KINDS)


def cause_of_claim(claim: Claim) -> dict[str, Any]:
    """Return what led to a line of activity, as its `cause` stores it: the jobs, their causes, and who asked for it."""
    cause: dict[str, Any] = {
        "rows": [job.id for job in claim.jobs],
        "causes": [str(cause.name).lower() for cause in choices.Cause if cause in claim.causes],
    }
    if claim.requested_by:
        cause["by"] = claim.requested_by
    return cause


def _needs_history(line: ActivityLine) -> bool:
    """Whether the line is about somebody's edit in NPD, whose author has to be read."""
    is_edit = line.kind in _NPD_EDIT_KINDS and REFILLS not in line.values
    return is_edit or bool(line.values.get("overridden"))


def _is_first_sync(plan: pass_plan.EntityPlan, field_plan: pass_plan.FieldPlan) -> bool:
    """Whether a field's value is sent for the first time, without an edit."""
    return field_plan.base is None and choices.Cause.SAVE not in plan.facts.causes


def who_ends_conflicts(plans: Sequence[pass_plan.EntityPlan]) -> dict[UUID, str]:
    """Return by record whose act ends its conflicts: who had it unlinked, deleted it, or turned its sync off."""
    asked = [plan for plan in plans if plan.facts.conflicts]
    gone = [(plan.record.entity_type(), plan.id) for plan in asked if isinstance(plan, pass_plan.DeletedPlan)]
    by = {entity_id: deletion.by for entity_id, deletion in authors.deletion_authors(gone).items()}
    kept = [plan for plan in asked if isinstance(plan, pass_plan.RecordPlan)]
    by |= authors.who_turned_sync_off([plan.record for plan in kept if not plan.record.may_sync])
    return by | {plan.id: plan.facts.claim.requested_by for plan in kept if plan.unlink_reason or plan.is_deleted}


class PassHistory:
    """The activity rows of one pass; NPD's history is read only for lines that need it."""

    def __init__(
        self, board: BoardContext, plans: Sequence[pass_plan.EntityPlan], batch_id: UUID, read_request_id: str
    ) -> None:
        model = board.model
        self.board = board
        self.people = board.settings.people
        self.setup = board.link.setup or {}
        self.plans = plans
        self.batch_id = batch_id
        self.read_request_id = read_request_id  # empty if Monday wasn't read
        edited = {plan.id for plan in plans for line in plan.log if line.key and _needs_history(line)}
        self.edits = authors.latest_events(model, edited, without_batch=str(batch_id))
        events = [event for history in self.edits.values() for event in history]
        self.users = authors.users_of(events)
        # Imports and undos, whose own lines say what they wrote.
        self.told_acts = {batch for event in events if (batch := authors.told_batch(event))}
        with_deletion_lines = [
            plan.id for plan in plans if any(is_of_deletion(line.kind, line.values) for line in plan.log)
        ]
        self.deletions = authors.deletion_authors((model.entity_type(), entity_id) for entity_id in with_deletion_lines)

    def rows(self) -> list[ActivityLine]:
        lines = [self._row(line, plan) for plan in self.plans for line in plan.log]
        return [*self._other_edits_in_npd(lines), *self._other_edits_on_monday(lines), *lines]

    def _other_edits_in_npd(self, lines: Sequence[ActivityLine]) -> list[ActivityLine]:
        """Return a line for each person's edit that these don't tell of, so that nobody's is hidden by a later one."""
        saved = [plan for plan in self.plans if plan.is_settled and choices.Cause.SAVE in plan.facts.causes]
        if not saved:
            return []
        synced_at = {plan.id: plan.facts.sync_state.last_successful_sync for plan in saved}
        return edits.untold_entries(self.board.link.entity_type, synced_at, self.board.mappings, lines)

    def _other_edits_on_monday(self, lines: Sequence[ActivityLine]) -> list[ActivityLine]:
        """Return the same for the edits on Monday that this pass has checked."""
        pulled = {(line.entity_id, line.key, line.actor) for line in lines if line.kind == ActivityKind.PULL}
        others: dict[tuple[object, ...], ActivityLine] = {}
        for plan in self.plans:
            if not plan.has_checked_events:
                continue
            events = [event for event in plan.history.unchecked_events if event.pk not in plan.doubts.kept_events]
            changes = reported_changes(self.board, plan.facts.record, events)  # whose relations were read
            last_changes = {change.key: change for change in changes}
            for change in changes:
                line = self._edit_on_monday(plan, change)
                is_pulled = change is last_changes[change.key] and (plan.id, change.key, line.actor) in pulled
                # A webhook and the log's row report the same edit.
                if not (plan.history.may_be_ours(change) or is_pulled):
                    others[plan.id, change.key, line.actor, line.values["after"]] = line
        return list(others.values())

    def _edit_on_monday(self, plan: pass_plan.EntityPlan, change: ChangeEvent) -> ActivityLine:
        mapping = self.board.mapping_by_key[change.key]
        converter = self.board.converter(mapping, plan.facts.record)
        after = converter.display(change.value) if change.is_known else ", ".join(texts_in(change.payload))
        before = converter.display(change.previous) if change.has_previous else ""
        way = Message("way_edited_on_monday")
        return ActivityLine(
            entity_type=plan.record.entity_type(),
            entity_id=plan.id,
            remote_id=plan.item_id,
            key=change.key,
            kind=ActivityKind.EDIT,
            sentence=Message("transfer", label=mapping.label, before=before, after=after, way=way),
            values={"before": before, "after": after},
            actor=authors.monday_editor_name(change.user_id, self.people),
            at=change.at,
        )

    def _row(self, planned: ActivityLine, plan: pass_plan.EntityPlan) -> ActivityLine:
        """Return the row of a line, with its actor and, as its cause, all that led to it."""
        field_plan = plan.fields.get(planned.key)
        line = copy(planned)
        line.actor = planned.actor or self._requested_by(planned, plan, field_plan)
        # An event without a column is about the whole item.
        columns = (None, field_plan.mapping.column_id) if field_plan else ()
        new_events = plan.history.unchecked_events
        rows = [row for row in new_events if row.event and (not columns or row.event.column_id in columns)]
        events = [row.event for row in rows if row.event]
        intent = plan.write.open_intent if line.kind != ActivityKind.PULL else None
        cause = self._cause(plan, field_plan, intent) | {"events": [row.pk for row in rows]}
        actor = line.actor
        if field_plan is not None:
            editors, actor = self._editors(line, plan, field_plan, events)
            cause |= editors
        if line.kind == ActivityKind.RETURNED and not actor:
            restored = [event.user_id for event in events if event.kind is EventKind.RESTORED and event.user_id]
            actor = authors.monday_editor_name(restored[-1], self.people) if restored else ""
        undo = ""  # that deleted the record
        if is_of_deletion(line.kind, line.values) and (deletion := self.deletions.get(plan.id)):
            actor = actor or deletion.by
            undo = deletion.undo
            if deletion.message:
                cause["deletion"] = Message("quoted", quote=deletion.message)
            elif deletion.request:
                cause["act"] = deletion.request
        if line.is_refill and (synced_at := plan.facts.sync_state.last_successful_sync):
            # A set-up chose the column, or nobody is known to have.
            actor = self._set_up_by(synced_at) or actor
        if plan.makes_item and line.kind in (ActivityKind.PUSH, ActivityKind.CREATE, ActivityKind.UNLINKED):
            cause[MADE] = True
            actor, act = self._maker(line, plan)
            cause |= {"act": act} if act else {}
        is_told = cause.get("act") in self.told_acts
        # An approval or rejection is shown as one act with its result, an import or a restore with the items that it
        # led to.
        act_id = plan.facts.claim.payload.get(approval_payload_key(line.key)) or undo
        if is_told and line.kind == ActivityKind.CREATE:
            act_id = cause["act"]
        elif MADE in cause or line.kind == ActivityKind.LINK:
            act_id = act_id or plan.facts.claim.payload.get(RECORD_RESTORED_KEY)
        line.entity_type = plan.record.entity_type()
        line.entity_id = plan.id
        line.actor = actor
        line.batch_id = self.batch_id
        line.request_id = intent.request_id if intent else self.read_request_id
        line.cause = cause
        # But for an edit on Monday that it overwrote, of which only this line tells.
        is_told_push = is_told and line.kind == ActivityKind.PUSH and not line.values.get("overridden")
        line.folded = bool(act_id) or is_told_push
        # The answer by which an item was removed has a line that says so.
        is_answered = isinstance(plan, pass_plan.DeletedPlan) and plan.facts.choice is not None
        line.folded |= is_answered and line.kind in (ActivityKind.ARCHIVED, ActivityKind.DELETED)
        line.fold_id = UUID(act_id) if act_id else None
        return line

    def _requested_by(
        self, line: ActivityLine, plan: pass_plan.EntityPlan, field_plan: pass_plan.FieldPlan | None
    ) -> str:
        """Return who asked for what a line says; empty if they only had others' edits synced."""
        claim = plan.facts.claim
        is_requested = line.kind in _REQUESTED_KINDS or approval_payload_key(line.key) in claim.payload
        if line.kind == ActivityKind.PUSH and field_plan is not None:
            is_requested |= _is_first_sync(plan, field_plan)
        return claim.requested_by if is_requested else ""

    def _cause(
        self, plan: pass_plan.EntityPlan, field_plan: pass_plan.FieldPlan | None, intent: Intent | None
    ) -> dict[str, Any]:
        """Return the jobs, the rule and the calls behind a line."""
        cause = cause_of_claim(plan.facts.claim)
        if field_plan is not None and field_plan.decision.reason:
            cause |= {"rule": field_plan.decision.reason, "action": str(field_plan.decision.action)}
        if self.read_request_id:
            cause["read"] = self.read_request_id
        if intent is not None:
            cause |= {"intent": str(intent.pk), "alias": intent.alias}
        return cause

    def _maker(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> tuple[str, str]:
        """Return whose act a new item is, with its group id: whoever asked for it, else who saved the record last."""
        is_saved = choices.Cause.SAVE in plan.facts.causes
        if not is_saved and (actor := plan.facts.claim.requested_by or line.actor):
            return actor, ""
        history = self.edits.get(plan.id, ())
        if history and (starter := self._set_up_by(history[0].pgh_created_at)):
            return starter, ""
        author, act = authors.last_author(history, self.users)
        return author or line.actor, act if is_saved else ""

    def _editors(
        self,
        line: ActivityLine,
        plan: pass_plan.EntityPlan,
        field_plan: pass_plan.FieldPlan,
        events: Sequence[ItemEvent],
    ) -> tuple[dict[str, Any], str]:
        """Return the known editors of both sides, and the actor: for a value taken over, its editor."""
        attnames = [field_of(plan.record, name).attname for name in field_plan.mapping.fields]
        actor = line.actor
        editors: dict[str, Any] = {}
        history = self.edits.get(plan.id, []) if _needs_history(line) else []
        edit = authors.last_edit(history, attnames, self.users)
        if edit is not None:
            editors["npd"] = {"who": edit.who, "way": edit.way, "at": edit.at.isoformat()}
            if line.kind == ActivityKind.PUSH and not actor and edit.who != authors.SYNC_ACTOR:
                starter = self._set_up_by(edit.at) if _is_first_sync(plan, field_plan) else ""
                actor = (starter or edit.who)[:MAX_ACTOR_LENGTH]
            # A first sync, or a value that somebody had sent again, isn't an act of the person who typed it.
            is_of_edit = field_plan.base is not None and (not line.actor or choices.Cause.SAVE in plan.facts.causes)
            if line.kind == ActivityKind.PUSH and is_of_edit and edit.group_id and edit.who != authors.SYNC_ACTOR:
                editors["act"] = edit.group_id
        last = next((event for event in reversed(events) if event.user_id), None)
        if last is not None and last.user_id and field_plan.decision.action is not Action.NOTHING:
            editors["monday"] = {"who": authors.monday_user_name(last.user_id, self.people), "user": last.user_id}
            if last.happened_at is not None:
                editors["monday"]["at"] = last.happened_at.isoformat()
            if line.kind == ActivityKind.PULL:
                actor = authors.monday_editor_name(last.user_id, self.people)
        return editors, actor

    def _set_up_by(self, edited_at: datetime) -> str:
        """Return who started a set-up of the board after this time; empty for nobody."""
        is_older = self.setup and edited_at < datetime.fromisoformat(self.setup["started"])
        return str(self.setup["by"]) if is_older else ""


def log_pull(plan: pass_plan.RecordPlan, field_plan: pass_plan.FieldPlan, way: Message) -> None:
    """Add the history's line about a value that was written in NPD."""
    if field_plan.choice:
        return  # a person's choice is in the history of its conflict already
    values = {
        "before": field_plan.display_local(field_plan.local_raw),
        "after": field_plan.display_local(field_plan.pull_raw),
        "raw_before": dict(field_plan.local_raw),
        "raw_after": dict(field_plan.pull_raw or {}),
    }
    plan.add_lines(_transfer_line(field_plan, ActivityKind.PULL, values, way))


def log_push(plan: pass_plan.RecordPlan, field_plan: pass_plan.FieldPlan, before: str, after: str) -> None:
    """Add the history's line about a value that was sent to Monday."""
    if field_plan.choice:
        return
    key = field_plan.key
    values: dict[str, Any] = {"before": before, "after": after}
    way = Message("way_sent")
    if before or field_plan.base is not None:
        values |= _values_of_push(field_plan)
    reason = ""
    actor = ""
    # A column that was only missing for a time, or had another type, is no new one.
    blocked = plan.sync_state.blocked_fields.get(key, {})
    entry = plan.sync_state.base.get(key) or (blocked if blocked.get("code") == BlockedCode.COLUMN else {})
    is_new_column = entry.get("column", "") not in ("", field_plan.mapping.column_id)
    if not before and is_new_column and field_plan.base is None:
        reason = Message("its_column_was_replaced")
        former = plan.sync_state.base.get(key, {}).get("local", field_plan.local_raw)
        if former == field_plan.local_raw and not plan.makes_item:
            # Nobody edited it.
            actor = authors.SYNC_ACTOR
            way = Message("way_refilled")
            values[REFILLS] = True
        elif former != field_plan.local_raw:
            # The edit replaced the former value, not the empty column.
            raws = {"raw_before": former, "raw_after": dict(field_plan.local_raw)}
            values |= {"before": field_plan.display_local(former), **raws}
    if key in plan.doubts.dropped_cells:
        actor = authors.SYNC_ACTOR
        way = Message("way_filled_again")
        values["reason"] = UNREPORTED
    line = _transfer_line(field_plan, ActivityKind.PUSH, values, way, reason)
    line.actor = actor
    plan.add_lines(line)


def _values_of_push(field_plan: pass_plan.FieldPlan) -> dict[str, Any]:
    """Return the raw values before and after a push, with which it can be undone; empty if they aren't known.

    Before is the base's NPD half if Monday had not changed, else Monday's value.
    """
    converter = field_plan.converter
    base = field_plan.base
    remote_raw = field_plan.remote_raw
    try:
        if (
            base
            and not base.get(field_bases.AS_SENT)
            and converter.canonical_remote(base["remote"]) == converter.canonical_remote(remote_raw)
        ):
            before = dict(base["local"])
        else:
            before = dict(converter.to_local(remote_raw, field_plan.local_raw))
    except (AmbiguousSplit, UnknownValue, ValueError):
        return {}
    return {"raw_before": before, "raw_after": dict(field_plan.local_raw)}


def _transfer_line(
    field_plan: pass_plan.FieldPlan, kind: ActivityKind, values: dict[str, Any], way: Message, reason: str = ""
) -> ActivityLine:
    """Return the history's line about a value that one side got from the other; `way` says how, `reason` why."""
    decision = field_plan.decision
    sentence = Message(
        "transfer",
        label=field_plan.mapping.label,
        after=values["after"],
        before=values["before"],
        way=way,
        reason="" if decision.is_ordinary_pull else reason or decision.reason,
    )
    values = {**values, "overridden": decision.overrides}
    return ActivityLine(kind=kind, sentence=sentence, key=field_plan.key, values=values)
