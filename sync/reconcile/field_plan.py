"""Decide what a pass sends or writes for a field, or why it is blocked, by merge.py's decision.

Implements, of docs/reference/merge:

- field.md: a change of one side goes to the other; if both changed, the field's rule decides; one way the source's
  value is written to the other side, whatever that side has
- V17 in values.md: a field with a side that can't be read is blocked, not emptied
- W14 in after-a-write.md: if Monday shows the value that an intent without an answer sent, that is the base
- the values of a new item

The functions at the end are about values that Monday refused. A person may keep one in NPD only, until the value, its
column or the mapping's version changes; if Monday's value changes without a conflict, people are asked again.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from conflicts.reports import ConflictKind
from sync import merge
from sync.choices import BlockedCode, Cause, ColumnProblem, Rule, SyncDirection
from sync.fields import field_bases, field_values
from sync.merge import Action
from sync.models import FieldMapping
from sync.models.boards_and_account import NO_COLUMN
from sync.models.records_and_items import KEPT_BY, KEPT_REMOTE
from sync.monday.board_items import MAY_BE_READABLE_SOON, NAME_COLUMN, Item
from sync.monday.conversion import AmbiguousSplit, ListConverter, UnknownValue
from sync.monday.lag import MAX_SENDS
from sync.reconcile import our_writes, resolutions
from sync.reconcile.emptied_cells import is_emptied_by_removal
from sync.reconcile.facts import PassFacts
from sync.reconcile.pass_plan import NOTHING, FieldPlan, RecordPlan
from sync.reconcile.read_lag import seconds_to_look
from sync.registry import relation_of, target_of
from sync.words.message import Message, code_of, reason_of

_UNDECIDED = merge.FieldDecision(Action.UNDECIDED)


def fill_in_fields(facts: PassFacts, plan: RecordPlan) -> None:
    """Decide its fields."""
    if plan.unlink_reason:
        return
    plan.fields = decide_fields(facts, plan)
    if plan.creates and plan.record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        plan.end(Message("no_item_and_only_to_npd"))


def decide_fields(facts: PassFacts, plan: RecordPlan) -> dict[str, FieldPlan]:
    """Decide every mapped field of a record; without an item, for the item to be created."""
    fields = {}
    may_rest = not plan.facts.is_unresolved
    for mapping in facts.board.mappings:
        direction = plan.direction_of(mapping)
        # The item to be created doesn't get it.
        is_name = mapping.column_id == NAME_COLUMN
        if plan.item is None and mapping.column_id and not is_name and not direction.sends:
            continue
        field = plan.compared(facts.board, mapping)
        is_resting = may_rest and direction is not SyncDirection.NONE and field.rests()
        remote_raw = None if isinstance(field.remote_raw, merge.Unknown) else field.remote_raw
        field_plan = FieldPlan(
            mapping, field.converter, direction, NOTHING if is_resting else _UNDECIDED, field.local_raw, remote_raw
        )
        fields[mapping.key] = field_plan
        if is_resting:
            field_plan.base = field.base
        elif mapping.key in plan.doubts.set_aside:
            field_plan.decide(Action.UNDECIDED, plan.doubts.set_aside[mapping.key])
        else:
            FieldRule(facts, plan, field_plan, field).decide()
    return fields


class FieldRule:
    """What becomes of one field of a record: the values, the base, a person's choice, the merge, and what is written.

    The methods stand in this order. Each that finds why the field can't be synced blocks it, which is the end.
    """

    def __init__(
        self, facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: field_bases.ComparedField
    ) -> None:
        self.facts = facts
        self.plan = plan
        self.field_plan = field_plan
        self.field = field
        self.mapping = field_plan.mapping
        self.converter = field_plan.converter
        self.relation = relation_of(facts.board.model, field_plan.mapping.fields)
        # In which NPD's values are compared.
        self.local_form: Callable[[Mapping[str, Any]], merge.Canonical] = field_plan.converter.canonical_local

    # --- the values ---------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        """Decide it by both sides' values, if there is a column and these are known."""
        if not self.mapping.column_id:
            self._leave_unknown(BlockedCode.COLUMN, NO_COLUMN)
        elif self.plan.item is None:
            self._decide_for_new_item()
        else:
            self._decide_with_item()

    def _decide_for_new_item(self) -> None:
        """Decide a field of the item to be created."""
        field_plan = self.field_plan
        if problem := self.mapping.problem:
            field_plan.block_undecided(BlockedCode.COLUMN, problem)
            return
        local = self.field.local
        if isinstance(local, merge.Unknown):
            self._decide_unknown_local(local.reason)
        # A required column takes no empty value, so the field is blocked.
        elif local is None and not self.converter.rejection_reason(field_plan.local_raw):
            field_plan.decide(Action.AGREED, Message("empty_on_both"))
        else:
            field_plan.decide(Action.PUSH, Message("new_on_monday"))
            self._push(field_plan.local_raw)

    def _decide_with_item(self) -> None:
        """Decide it by NPD's value and what was read of the item."""
        field_plan = self.field_plan
        local = self.field.local
        remote = self.field.remote
        if isinstance(remote, merge.Unknown):
            code = BlockedCode.COLUMN if self.mapping.problem else BlockedCode.UNKNOWN
            detail = self.mapping.problem or Message("value_unknown_fix", quote=remote.reason)
            self._leave_unknown(code, detail)
            is_column_there = self.mapping.problem_code in ("", ColumnProblem.HIDDEN)
            if code_of(remote.reason) in MAY_BE_READABLE_SOON and is_column_there and field_plan.blocked_code:
                self._look_again(detail)
            return
        if isinstance(local, merge.Unknown):
            if field_plan.direction is not SyncDirection.MONDAY_TO_NPD:
                self._decide_unknown_local(local.reason)
                return
            # Monday's value overwrites it, whatever it is.
            self.local_form = _form_by_record
            local = self.local_form(field_plan.local_raw)
        self._merge(merge.Values(local, remote))

    def _look_again(self, reason: str) -> None:
        """Have the item read again for ten minutes, because Monday's next answer may have the cell."""
        blocked = self.plan.facts.sync_state.blocked_fields.get(self.mapping.key, {})
        now = self.facts.now
        since = datetime.fromisoformat(blocked.get("since") or now.isoformat())
        if look := seconds_to_look(since, now):
            self.plan.wait_for_look(look, (), reason)

    def _decide_unknown_local(self, problem: str) -> None:
        """Decide a field whose value in NPD has no form on Monday, mostly a relation to a record without an item."""
        field_plan = self.field_plan
        related = getattr(self.plan.record, self.mapping.fields[0]) if self.relation is not None else None
        if related is None or field_plan.direction is SyncDirection.NONE:
            self._leave_unknown(BlockedCode.UNKNOWN, Message("npd_value_unsendable", quote=problem))
        else:
            field_plan.block_undecided(*field_values.why_no_item(related, self.facts.related_boards))

    def _leave_unknown(self, code: BlockedCode, detail: str) -> None:
        """Leave a field with an unknown side undecided, unless its direction syncs nothing."""
        if self.field_plan.direction is SyncDirection.NONE:
            self.field_plan.decide(Action.NOTHING, merge.NO_SYNC)
        else:
            self.field_plan.block_undecided(code, detail)

    # --- the base, a person's choice, and the merge -------------------------------------------------------------------

    def _merge(self, values: merge.Values) -> None:
        """Decide a field whose present `values` are known on both sides."""
        field_plan = self.field_plan
        try:
            is_emptied = values.local is not None and field_plan.direction is not SyncDirection.NONE
            is_emptied = is_emptied and is_emptied_by_removal(self.facts, self.field)
            if confirmed := our_writes.take_confirmed(self.plan, self.field):
                field_plan.confirmed_entry = confirmed[-1].values[field_plan.key]
                self.plan.landed = self.plan.landed.union(intent.pk for intent in confirmed)
            field_plan.base = base = self.field.base
            field = self._field_to_merge(values, emptied_by_removal=is_emptied)
            is_overwritten = field_plan.direction is SyncDirection.MONDAY_TO_NPD or not field.local_changed
            if base and is_emptied and is_overwritten:
                self._block_emptied(base)
                return
            resolutions.apply_resolution(self.facts, self.plan, field_plan, field)
        except UnknownValue as unknown:
            field_plan.resolved_conflict = None
            self._leave_unknown(BlockedCode.UNKNOWN, Message("last_value_unknown", quote=reason_of(unknown)))
            return
        resolutions.apply_undo(self.facts, self.plan, field_plan, field)
        if field_plan.undo is not None:
            return
        field_plan.decision = merge.decide_field(field)
        action = field_plan.decision.action
        if field_plan.key in self.plan.doubts.dropped_cells and action is Action.PUSH:
            field_plan.decide(Action.PUSH, Message("emptied_by_nobody"))
        # merge.py compares names; a relation is equal if both sides name the same record.
        if field.base is None and action is Action.CONFLICT and self._names_the_same():
            field_plan.decide(Action.AGREED, Message("both_name_the_same"))
        if field_plan.resolved_kind == ConflictKind.FIELDS and not self._carries_out_choice(field):
            field_plan.resolved_conflict = None
        self.apply()

    def _field_to_merge(self, values: merge.Values, *, emptied_by_removal: bool) -> merge.Field:
        """Return the field with its base, as merge.py compares it."""
        mapping = self.mapping
        base = self.field_plan.base
        direction = self.field_plan.direction
        agreed = None
        if base and not (mapping.key in self.plan.doubts.dropped_cells and direction is SyncDirection.BIDIRECTIONAL):
            # Nobody changed a cell that a removal emptied, so NPD's value is sent whatever the rule.
            remote = None if emptied_by_removal else field_bases.base_remote(self.converter, base)
            agreed = merge.Values(self.local_form(base["local"]), remote)
        emptied_since_old_base = False
        if base is None and values.local is None and (entry := self.plan.sync_state.base.get(mapping.key)):
            # The stored base has another column, so only NPD's half is readable. An unknown value, such as the item of
            # a related record, was not empty.
            emptied_since_old_base = field_bases.side_of(self.converter.canonical_local, entry["local"]) is not None
        edited = merge.NOT_KNOWN
        if (mapping.first_match if base is None else mapping.rule) == Rule.NEWEST:
            edited = merge.EditTimes(
                _npd_edit_time(self.plan, self.field_plan),
                _monday_edit_time(self.facts, self.plan, mapping, values.remote),
            )
        return merge.Field(
            local=values.local,
            remote=values.remote,
            base=agreed,
            direction=direction,
            rule=Rule(mapping.rule),
            first_match=Rule(mapping.first_match),
            emptied_since_old_base=emptied_since_old_base,
            edited=edited,
        )

    def _block_emptied(self, base: Mapping[str, Any]) -> None:
        """Block a relation whose cell is empty because the item that its `base` names was removed."""
        assert self.relation is not None
        kind = str(target_of(self.relation)._meta.verbose_name)
        reason = Message("related_item_removed", kind=kind, name=field_values.related_name(base["local"]))
        self.field_plan.block_undecided(BlockedCode.RELATION, reason)

    def _names_the_same(self) -> bool:
        """Whether both sides of a relation name the same record: “ACME” and “Acme” do if only one has that name."""
        if self.relation is None:
            return False
        local_raw = self.field_plan.local_raw
        try:
            named = self._record_named(self.converter.to_local(self.field_plan.remote_raw, local_raw))
        except field_values.RelatedNotFound:
            return False
        return field_values.related_id(named) == field_values.related_id(local_raw)

    def _record_named(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the raw value with the record that it names; raise RelatedNotFound unless that is exactly one."""
        return field_values.resolve_relations(self.facts.related, self.facts.board.model, raw)

    def _carries_out_choice(self, field: merge.Field) -> bool:
        """Whether a person's choice writes a value, our own call did so before, or both sides have it by now."""
        action = self.field_plan.decision.action
        is_written = action in (Action.PUSH, Action.PULL, Action.BOTH)
        is_restored = action is Action.AGREED and field.restore_reason is not None
        return is_written or is_restored or self.field_plan.confirmed_entry is not None

    # --- what is sent and written -------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Fill in the raw values that the decision sends or writes, or block the field if that side can't take them."""
        field_plan = self.field_plan
        if not self.plan.record.may_sync:
            field_plan.resolved_conflict = None
            self._send_off_record()
            return
        match field_plan.decision.action:
            case Action.PUSH:
                self._push(field_plan.local_raw)
            case Action.PULL:
                self._pull()
            case Action.BOTH:
                self._write_both()
            case Action.CONFLICT:
                self._ask()

    def _send_off_record(self) -> None:
        """Send only NPD's changes, because a person pushes a record whose sync is off."""
        field_plan = self.field_plan
        action = field_plan.decision.action
        if action is Action.PUSH:
            self._push(field_plan.local_raw)
        elif action is Action.CONFLICT:
            field_plan.block(BlockedCode.DIRECTION, Message("changed_on_monday_too"))
        elif action in (Action.PULL, Action.BOTH):
            field_plan.decide(Action.NOTHING, Message("sync_is_off_now"))

    def _push(self, raw: dict[str, Any]) -> None:
        """Send this value, unless Monday refused it, can't take it, or has answered it in vain."""
        field_plan = self.field_plan
        if refusal := standing_refusal(self.plan, field_plan):
            field_plan.block(BlockedCode.REJECTED, refusal)
            return
        if unfit := self.converter.rejection_reason(raw):
            field_plan.block(BlockedCode.LIMIT, Message("quoted", quote=unfit))
            return
        field_plan.sends_in_vain = our_writes.sends_in_vain(self.facts.board, self.plan, field_plan, raw)
        if field_plan.sends_in_vain >= MAX_SENDS:
            reason = swallowed_reason(field_plan, raw)
            if field_plan.choice:
                field_plan.block(BlockedCode.REJECTED, reason)
                return
            if not self.plan.facts.causes & Cause.PERSON:
                field_plan.decide(Action.NOTHING, reason)
                field_plan.pull_raw = None
                return
        field_plan.send_raw = raw

    def _pull(self) -> None:
        """Write Monday's value in NPD."""
        field_plan = self.field_plan
        try:
            raw = self.converter.to_local(field_plan.remote_raw, field_plan.local_raw)
        except AmbiguousSplit as unsplit:
            if field_plan.choice != "monday":
                self._set_conflict(reason_of(unsplit))
                return
            raw = self.converter.from_text(self.converter.display_remote(field_plan.remote_raw), field_plan.local_raw)
        except UnknownValue as unknown:
            field_plan.block(BlockedCode.INVALID, Message("npd_cannot_take", quote=reason_of(unknown)))
            return
        self._write_local(raw)

    def _write_both(self) -> None:
        """Write the list that unites both sides', or what a person chose, on both sides."""
        field_plan = self.field_plan
        raw: Mapping[str, Any]
        if field_plan.choice == "base" and field_plan.base is not None:
            raw = field_plan.base["local"]
        elif field_plan.choice:
            raw = resolutions.typed_values(self.facts, self.plan, field_plan)
        else:
            assert isinstance(self.converter, ListConverter)
            united = field_plan.decision.value
            try:
                raw = self.converter.merge_elements(united, field_plan.remote_raw, field_plan.local_raw)
            except UnknownValue as unknown:
                # Lists are united only if both sides can have every element.
                field_plan.block(BlockedCode.INVALID, Message("lists_not_merged", quote=reason_of(unknown)))
                return
        self._write_local(raw)
        if not field_plan.blocked_code:
            self._push(field_plan.pull_raw or {})

    def _write_local(self, raw: Mapping[str, Any]) -> None:
        """Write a value in NPD, or block the field if NPD requires one or its constraints refuse it."""
        if self.mapping.required and field_bases.side_of(self.converter.canonical_local, raw) is None:
            self.field_plan.block(BlockedCode.REQUIRED, Message("required_but_empty"))
            return
        try:
            self.field_plan.pull_raw = field_values.clean_values(self.plan.record, self._record_named(raw))
        except field_values.RelatedNotFound as not_found:
            self._await_related(not_found)
        except ValidationError as invalid:
            reason = Message("npd_cannot_take", quote=" ".join(invalid.messages))
            self.field_plan.block(BlockedCode.INVALID, reason)

    def _await_related(self, not_found: field_values.RelatedNotFound) -> None:
        """Leave a relation undecided until exactly one record is the one that Monday's value names."""
        self.field_plan.block_undecided(BlockedCode.RELATION, not_found.reason)
        self.field_plan.awaited = not_found.awaited

    def _ask(self) -> None:
        """Ask a person, if the record that Monday's side of a relation names is known."""
        field_plan = self.field_plan
        if self.relation is not None:
            try:
                self._record_named(self.converter.to_local(field_plan.remote_raw, field_plan.local_raw))
            except UnknownValue as unknown:
                field_plan.block(BlockedCode.UNKNOWN, Message("value_unknown", quote=reason_of(unknown)))
                return
            except field_values.RelatedNotFound as not_found:
                self._await_related(not_found)
                return
        self._set_conflict(field_plan.decision.reason)

    def _set_conflict(self, reason: str) -> None:
        self.field_plan.decide(Action.CONFLICT, reason)
        self.field_plan.conflict = resolutions.as_conflict(self.field_plan, reason)


def _form_by_record(local_raw: Mapping[str, Any]) -> str:
    """Return what stands for a value of NPD's that has no form on Monday, mostly a record without an item.

    It equals only another one of the same record, because no text can have this character.
    """
    return f"\0{field_values.related_id(local_raw)}"


def _npd_edit_time(plan: RecordPlan, field_plan: FieldPlan) -> datetime | None:
    """Return when somebody edited the field in NPD, by its history; None if the sync did, or it isn't known."""
    history = plan.facts.npd_edits
    names = [field_values.field_of(plan.record, name).attname for name in field_plan.mapping.fields]
    for event, before in zip(history, [*history[1:], None], strict=False):
        if before is None and event.pgh_label != "insert":
            return None
        if before is None or any(getattr(event, name) != getattr(before, name) for name in names):
            metadata = event.pgh_context.metadata if event.pgh_context else {}
            if metadata.get("cause") == "sync":
                return None
            at: datetime = event.pgh_created_at
            return at
    return None


def _monday_edit_time(
    facts: PassFacts, plan: RecordPlan, mapping: FieldMapping, remote: merge.Canonical
) -> datetime | None:
    """Return when the field was edited on Monday: the time of the newest event, if that has this value.

    If it has another one, the event with the present one was lost.
    """
    events = facts.events.get(plan.item_id, ())
    changes = [event for event in plan.cell(facts.board, mapping, events).changes if event.is_known]
    newest = changes[-1].at if changes else None
    return newest if any(event.value == remote for event in changes if event.at == newest) else None


def swallowed_reason(field_plan: FieldPlan, raw: dict[str, Any]) -> Message:
    """Return why a value that Monday answered without storing it isn't on the board."""
    shown = field_plan.converter.display_remote(field_plan.remote_raw)
    code = "swallowed_once" if field_plan.sends_in_vain < MAX_SENDS else "swallowed_twice"
    return Message(code, value=field_plan.display_local(raw), shown=shown)


def standing_refusal(plan: RecordPlan, field_plan: FieldPlan) -> str:
    """Return why a value that Monday refused isn't sent again; empty if it may be sent.

    It is sent again once it or its column changes, or a person asks for it. If a person keeps it in NPD only, asking
    is not enough: Monday's value must have changed, too.
    """
    entry = plan.sync_state.blocked_fields.get(field_plan.key)
    if not entry or entry["code"] != BlockedCode.REJECTED or not is_same_value(entry, field_plan):
        return ""
    is_requested = bool(plan.facts.causes & Cause.PERSON or field_plan.choice)
    if KEPT_BY in entry:
        is_requested = is_requested and not _is_monday_unchanged(entry, plan.item, field_plan)
    return "" if is_requested else entry["reason"]


def is_kept_different(entry: Mapping[str, Any], item: Item | None, field_plan: FieldPlan) -> bool:
    """Whether a person keeps the value in NPD only, so that the field is decided though its sides differ.

    `entry` is the field's in `blocked_fields`.
    """
    return (
        KEPT_BY in entry
        and field_plan.blocked_code in (BlockedCode.REJECTED, BlockedCode.LIMIT)
        and is_same_value(entry, field_plan)
        and _is_monday_unchanged(entry, item, field_plan)
    )


def is_same_value(entry: Mapping[str, Any], field_plan: FieldPlan) -> bool:
    """Whether an entry of `blocked_fields` is about the field's present value, and its mapping as it is now."""
    return bool(entry["local"] == field_plan.local_raw) and field_plan.mapping.is_current(entry)


def _is_monday_unchanged(kept: Mapping[str, Any], item: Item | None, field_plan: FieldPlan) -> bool:
    """Whether Monday shows the same value as when the person kept NPD's; true for a new item."""
    mark = kept[KEPT_BY]
    if item is None or KEPT_REMOTE not in mark:
        return True
    converter = field_plan.converter
    try:
        return converter.canonical_remote(mark[KEPT_REMOTE]) == converter.canonical_remote(field_plan.remote_raw)
    except UnknownValue:
        return False
