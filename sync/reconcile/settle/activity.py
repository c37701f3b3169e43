"""The rows of activity about a pass: who did what, and why."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sync.choices import ActivityKind, BlockedCode, Cause
from sync.fields import field_bases
from sync.fields.field_values import BoardContext, field_of
from sync.merge import Action
from sync.models import ActivityLine, Intent
from sync.models.activity_lines import DELETION_KINDS, MADE, MAX_ACTOR_LENGTH, REFILLS, UNREPORTED
from sync.models.records_and_items import approval_payload_key
from sync.monday.board_events import EventKind
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.change_events import ChangeEvent, reported_changes, texts_in
from sync.records import authors, edits
from sync.records.item_links import RECORD_RESTORED_KEY
from sync.words.message import Message

# The lines about a new item, which are one act.
_KINDS_OF_NEW_ITEM = (ActivityKind.PUSH, ActivityKind.CREATE, ActivityKind.UNLINKED)

# Who did something, and the id that tells their act from others; both may be empty.
Author: TypeAlias = tuple[str, str]


def cause_of_claim(claim: Claim) -> dict[str, Any]:
    """Return what led to a line of activity, as its `cause` stores it: the jobs, their causes, and who asked for it."""
    cause: dict[str, Any] = {
        "rows": [job.id for job in claim.jobs],
        "causes": [str(cause.name).lower() for cause in Cause if cause in claim.causes],
    }
    if claim.requested_by:
        cause["by"] = claim.requested_by
    return cause


def _needs_history(line: ActivityLine) -> bool:
    """Whether the line is about somebody's edit in NPD, whose author has to be read."""
    is_edit = line.kind in (ActivityKind.PUSH, ActivityKind.OVERWRITTEN) and not line.is_refill
    return bool(line.key) and (is_edit or bool(line.values.get("overridden")))


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
        self.board = board
        self.people = board.settings.people
        self.setup = board.link.setup or {}
        self.plans = plans
        self.batch_id = batch_id
        self.read_request_id = read_request_id  # empty if Monday wasn't read
        edited = {plan.id for plan in plans if any(map(_needs_history, plan.log))}
        self.edits = authors.latest_events(board.model, edited, without_batch=str(batch_id))
        events = [event for history in self.edits.values() for event in history]
        self.users = authors.users_of(events)
        # Imports and undos, whose own lines say what they wrote.
        self.told_acts = {batch for event in events if (batch := authors.told_batch(event))}
        deleted = [plan for plan in plans if isinstance(plan, pass_plan.DeletedPlan) and plan.log]
        self.deletions = authors.deletion_authors((plan.record.entity_type(), plan.id) for plan in deleted)
        # By the kind of a line. Others have the author that the plan names, whoever asked for the pass.
        self.authors_by_kind: Mapping[str, Callable[[ActivityLine, pass_plan.EntityPlan], Author]] = {
            ActivityKind.PUSH: self._sender,
            ActivityKind.PULL: self._editor_on_monday,
            ActivityKind.RETURNED: self._restorer,
            **dict.fromkeys((ActivityKind.CREATE, ActivityKind.LINK, ActivityKind.UNLINKED), self._requester),
            **dict.fromkeys((*DELETION_KINDS, ActivityKind.APPROVAL), self._deleter),
        }

    def rows(self) -> list[ActivityLine]:
        lines = [self._row(line, plan) for plan in self.plans for line in plan.log]
        return [*self._other_edits_in_npd(lines), *self._other_edits_on_monday(lines), *lines]

    def _other_edits_in_npd(self, lines: Sequence[ActivityLine]) -> list[ActivityLine]:
        """Return a line for each person's edit that these don't tell of, so that nobody's is hidden by a later one."""
        saved = [plan for plan in self.plans if plan.is_done and Cause.SAVE in plan.facts.causes]
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
        """Return the row of a line, with its author and, as its cause, all that led to it."""
        line = copy(planned)
        intent = plan.write.open_intent if line.kind != ActivityKind.PULL else None
        line.entity_type = plan.record.entity_type()
        line.entity_id = plan.id
        line.batch_id = self.batch_id
        line.request_id = intent.request_id if intent else self.read_request_id
        line.cause = self._cause(line, plan, intent)
        if approval_payload_key(line.key) in plan.facts.claim.payload:
            line.actor = line.actor or plan.facts.claim.requested_by
        author_of = self.authors_by_kind.get(line.kind)
        if plan.makes_item and line.kind in _KINDS_OF_NEW_ITEM:
            line.cause[MADE] = True
            author_of = self._maker
        if author_of is not None:
            line.actor, act = author_of(line, plan)
            line.cause |= {"act": act} if act else {}
        self._fold(line, plan)
        return line

    def _cause(self, line: ActivityLine, plan: pass_plan.EntityPlan, intent: Intent | None) -> dict[str, Any]:
        """Return the jobs, calls and events behind a line, and of a field the rule and the editors of both sides."""
        field_plan = plan.fields.get(line.key)
        # An event without a column is about the whole item.
        columns = (None, field_plan.mapping.column_id) if field_plan else ()
        news = plan.history.unchecked_events
        rows = [row for row in news if row.event and (not columns or row.event.column_id in columns)]
        cause = cause_of_claim(plan.facts.claim) | {"events": [row.pk for row in rows]}
        if self.read_request_id:
            cause["read"] = self.read_request_id
        if intent is not None:
            cause |= {"intent": str(intent.pk), "alias": intent.alias}
        if field_plan is None:
            return cause
        decision = field_plan.decision
        if decision.reason:
            cause |= {"rule": decision.reason, "action": str(decision.action)}
        if edit := self._edit_in_npd(line, plan):
            cause["npd"] = {"who": edit.who, "way": edit.way, "at": edit.at.isoformat()}
        last = next((row for row in reversed(rows) if row.user_id), None)
        if last and last.event and decision.action is not Action.NOTHING:
            cause["monday"] = {"who": authors.monday_user_name(last.user_id, self.people), "user": last.user_id}
            if last.event.happened_at is not None:
                cause["monday"]["at"] = last.event.happened_at.isoformat()
        return cause

    def _fold(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> None:
        """Fold a line into an act that has one of its own: a decision with its result, an import with its items."""
        payload = plan.facts.claim.payload
        is_told = line.cause.get("act") in self.told_acts
        act_id = payload.get(approval_payload_key(line.key))
        if line.is_of_deletion and plan.id in self.deletions:
            act_id = act_id or self.deletions[plan.id].undo
        elif is_told and line.kind == ActivityKind.CREATE:
            act_id = line.cause["act"]
        elif line.is_of_new_item or line.kind == ActivityKind.LINK:
            act_id = act_id or payload.get(RECORD_RESTORED_KEY)
        # But for an edit on Monday that it overwrote, of which only this line tells.
        is_told_push = is_told and line.kind == ActivityKind.PUSH and not line.values.get("overridden")
        # The answer by which an item was removed has a line that says so.
        is_answered = isinstance(plan, pass_plan.DeletedPlan) and plan.facts.choice is not None
        is_answered &= line.kind in (ActivityKind.ARCHIVED, ActivityKind.DELETED)
        line.folded = bool(act_id) or is_told_push or is_answered
        line.fold_id = UUID(act_id) if act_id else None

    # --- the authors, by the kind of the line -------------------------------------------------------------------------

    def _requester(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> Author:
        return line.actor or plan.facts.claim.requested_by, ""

    def _sender(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> Author:
        """Return whose edit was sent; of a first sync without an edit, who asked for it or started the set-up."""
        if line.is_refill:
            return self._set_up_by(plan.facts.sync_state.last_successful_sync) or line.actor, ""
        has_base = plan.fields[line.key].base is not None
        is_saved = Cause.SAVE in plan.facts.causes
        is_first_sync = not (has_base or is_saved)
        actor = line.actor or (plan.facts.claim.requested_by if is_first_sync else "")
        edit = self._edit_in_npd(line, plan)
        if edit is None or edit.who == authors.SYNC_ACTOR:
            return actor, ""
        # A first sync, or a value that somebody had sent again, isn't an act of the person who typed it.
        act = edit.group_id if has_base and (is_saved or not actor) else ""
        starter = self._set_up_by(edit.at) if is_first_sync else ""
        return actor or (starter or edit.who)[:MAX_ACTOR_LENGTH], act

    def _edit_in_npd(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> authors.LastEdit | None:
        """Return the edit that gave a line's field its value, if the line is about one."""
        field_plan = plan.fields.get(line.key)
        if field_plan is None or not _needs_history(line):
            return None
        attnames = [field_of(plan.record, name).attname for name in field_plan.mapping.fields]
        return authors.last_edit(self.edits.get(plan.id, []), attnames, self.users)

    def _editor_on_monday(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> Author:
        return authors.monday_editor_name(line.cause.get("monday", {}).get("user", ""), self.people) or line.actor, ""

    def _restorer(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> Author:
        users = [row.user_id for row in plan.history.unchecked_events if row.type == EventKind.RESTORED and row.user_id]
        return line.actor or authors.monday_editor_name(users[-1] if users else "", self.people), ""

    def _deleter(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> Author:
        """Return who deleted the record in NPD, or asked for what became of its item."""
        requester = plan.facts.claim.requested_by if line.kind in DELETION_KINDS else ""
        actor = line.actor or requester
        deletion = self.deletions.get(plan.id)
        if deletion is None:
            return actor, ""
        if deletion.message:
            line.cause["deletion"] = Message("quoted", quote=deletion.message)
        return actor or deletion.by, "" if deletion.message else deletion.request

    def _maker(self, line: ActivityLine, plan: pass_plan.EntityPlan) -> Author:
        """Return whose act a new item is: whoever asked for it, else who saved the record last."""
        is_saved = Cause.SAVE in plan.facts.causes
        if not is_saved and (actor := plan.facts.claim.requested_by or line.actor):
            return actor, ""
        history = self.edits.get(plan.id, ())
        if history and (starter := self._set_up_by(history[0].pgh_created_at)):
            return starter, ""
        author, act = authors.last_author(history, self.users)
        return author or line.actor or plan.facts.claim.requested_by, act if is_saved else ""

    def _set_up_by(self, edited_at: datetime | None) -> str:
        """Return who started a set-up of the board after this time; empty for nobody."""
        is_older = self.setup and edited_at and edited_at < datetime.fromisoformat(self.setup["started"])
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
