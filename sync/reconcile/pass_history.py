"""What a pass writes into its records' histories: each line with its cause, and who did it as far as that is known."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sync.choices import Cause
from sync.merge import Action
from sync.models import Decision
from sync.models.state import MAX_ACTOR_LENGTH, REFILLS, approval_payload_key
from sync.monday.board import EventKind, ItemEvent
from sync.outbox.claim import Claim
from sync.reconcile.changes import PUSH
from sync.reconcile.facts import RETURN, HistoryLine
from sync.reconcile.field_values import BoardContext, field_of
from sync.reconcile.pass_plan import FieldPlan, RecordAction, RecordPlan
from sync.records import authors

DELETION_KINDS = ("delete", "deleted", "archived")
"""What is told of a deleted record's item: whoever deleted the record did that."""

_FROM_NPD = (PUSH, "overridden", "conflict")


def cause_of_claim(claim: Claim) -> dict[str, Any]:
    cause: dict[str, Any] = {
        "rows": [row.id for row in claim.rows],
        "causes": [str(cause.name).lower() for cause in Cause if cause in claim.causes],
    }
    if by := claim.payload.get("by"):
        cause["by"] = str(by)
    return cause


def _needs_history(line: HistoryLine) -> bool:
    """Whether it tells that somebody's edit in NPD moved: whose is to be known."""
    is_edit = line.kind in _FROM_NPD and REFILLS not in line.values
    return is_edit or bool(line.values.get("overridden"))


class PassHistory:
    """The rows of one pass; NPD's history is read only where a line asks for it."""

    def __init__(self, board: BoardContext, plans: Sequence[RecordPlan], batch_id: UUID, read_request: str) -> None:
        model = board.model
        self.people = board.settings.people
        self.plans = plans
        self.batch_id = batch_id
        self.read_request = read_request  # the id of the request that read Monday, or an empty text
        moved = {plan.id for plan in plans for line in plan.log if line.key and _needs_history(line)}
        self.edits = authors.latest_edits(model, moved, without_batch=str(batch_id))
        self.users = authors.users_of(event for events in self.edits.values() for event in events)
        ended = [plan.id for plan in plans if any(line.kind in DELETION_KINDS for line in plan.log)]
        self.deletions = authors.deletion_authors((model.entity_type(), entity_id) for entity_id in ended)

    def rows(self) -> list[Decision]:
        return [self._row(line, plan) for plan in self.plans for line in plan.log]

    def _row(self, line: HistoryLine, plan: RecordPlan) -> Decision:
        claim = plan.facts.claim
        field_plan = plan.plans.get(line.key)
        columns = (None, field_plan.mapping.column_id) if field_plan else ()
        received = [r for r in plan.facts.events if r.event and (not columns or r.event.column_id in columns)]
        events = [delivery.event for delivery in received if delivery.event]
        cause = cause_of_claim(claim) | {"events": [delivery.pk for delivery in received]}
        if field_plan is not None and field_plan.decision.reason:
            cause |= {"rule": field_plan.decision.reason, "action": str(field_plan.decision.action)}
        if self.read_request:
            cause["read"] = self.read_request
        request_id = self.read_request
        actor = line.actor
        intent = plan.answer.intent
        if intent is not None and line.kind != "pull":
            request_id = intent.request_id
            cause |= {"intent": str(intent.pk), "alias": intent.alias}
        if field_plan is not None:
            editors, actor = self._editors(line, plan, field_plan, events)
            cause |= editors
            if REFILLS in line.values and (by := claim.payload.get(field_plan.mapping.remap_key)):
                cause["by"] = by
        if line.kind == RETURN and not actor:
            restored = [event.user_id for event in events if event.kind is EventKind.RESTORED and event.user_id]
            actor = authors.monday_editor_name(restored[-1], self.people) if restored else ""
        if line.kind in DELETION_KINDS and (deletion := self.deletions.get(plan.id)):
            actor = actor or deletion.by
            if deletion.act:
                cause["deletion"] = deletion.act
            elif deletion.request:
                cause["act"] = deletion.request
        is_recreation = plan.removal is not None and plan.removal.act is RecordAction.CREATE
        if (plan.creates and line.kind in (PUSH, "create")) or (is_recreation and line.kind == "unlinked"):
            # Whoever asked for the item gave it its values, too, whoever had typed them.
            actor = str(claim.payload.get("by") or line.actor)
            cause["made"] = True
            if not actor:
                actor, act = authors.last_author(self.edits.get(plan.id, ()), self.users)
                if act and Cause.SAVE in plan.facts.causes:
                    cause["act"] = act
        # What a person approved or rejected is one act with what came of it.
        approval = claim.payload.get(approval_payload_key(line.key))
        return Decision(
            entity_type=plan.record.entity_type(),
            entity_id=plan.id,
            remote_id=line.item_id,
            key=line.key,
            kind=line.kind,
            sentence=line.sentence,
            values=line.values,
            actor=actor,
            batch_id=self.batch_id,
            request_id=request_id,
            cause=cause,
            # The undo's own entry says what was restored.
            folded=bool(approval) or (line.kind == PUSH and "undo" in cause.get("npd", {})),
            fold_id=UUID(approval) if approval else None,
        )

    def _editors(
        self, line: HistoryLine, plan: RecordPlan, field_plan: FieldPlan, events: Sequence[ItemEvent]
    ) -> tuple[dict[str, Any], str]:
        """Who edited on either side, as far as it is known, and the actor: of a value taken over its editor."""
        attnames = [field_of(plan.record, name).attname for name in field_plan.mapping.fields]
        actor = line.actor
        editors: dict[str, Any] = {}
        history = self.edits.get(plan.id, []) if _needs_history(line) else []
        edit = authors.last_edit(history, attnames, self.users)
        if edit is not None:
            editors["npd"] = {"who": edit.who, "way": edit.way, "at": edit.at.isoformat()}
            if edit.is_undo:
                editors["npd"]["undo"] = True
            if line.kind == PUSH and not actor and edit.who != authors.SYNC_ACTOR:
                actor = edit.who[:MAX_ACTOR_LENGTH]
            # A first load, and what somebody had sent again, is no act of whoever typed the values, maybe long ago.
            is_of_edit = field_plan.base is not None and (not line.actor or Cause.SAVE in plan.facts.causes)
            if line.kind == PUSH and is_of_edit and edit.act and edit.who != authors.SYNC_ACTOR:
                editors["act"] = edit.act
        last = next((event for event in reversed(events) if event.user_id), None)
        if last is not None and last.user_id and field_plan.decision.action is not Action.NOTHING:
            editors["monday"] = {"who": authors.monday_user_name(last.user_id, self.people), "user": last.user_id}
            if last.happened_at is not None:
                editors["monday"]["at"] = last.happened_at.isoformat()
            if line.kind == "pull":
                actor = authors.monday_editor_name(last.user_id, self.people)
        return editors, actor
