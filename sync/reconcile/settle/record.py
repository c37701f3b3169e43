"""Compute what a pass writes into NPD for a record, from its plan, Monday's answer and the locked row.

Its values and bases come first, then the rest of its sync state, and its status.

Implements docs/reference/merge/sync-status.md and, of docs/reference/merge/after-a-write.md:

- W1, W2: after a push the base is what was sent and what Monday answered, after a pull what NPD stored and what was
  read
- W8: after a write without effect the base stays as it was, and the value is sent once more
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import copy
from datetime import datetime
from typing import Any

from conflicts.reports import ConflictKind, OpenConflict
from sync.choices import RecordSyncStatus, SyncDirection, SyncStateDirection, SyncStatus
from sync.fields import field_bases
from sync.fields.field_values import BoardContext, npd_id_of, still_holds, update_values
from sync.kernel.acts import DELETE_RECORD
from sync.kernel.humanize import without_request_id
from sync.kernel.triggers import BOOKKEEPING
from sync.merge import Action
from sync.models import SyncedModel, SyncMetadata
from sync.models.records_and_items import KEPT_BY, KEPT_REMOTE, SWALLOWED, is_blocking, is_rejected
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.monday.lag import MAX_SENDS
from sync.monday.text_forms import name_invisible
from sync.reconcile import cell_history, outcomes, pass_plan
from sync.reconcile.board_filter import leave_out_after_write
from sync.reconcile.facts import CHANGED, SETTINGS_CHANGED, PassFacts
from sync.reconcile.field_plan import is_kept_different, is_same_value, swallowed_reason
from sync.reconcile.missing import removed_items
from sync.reconcile.settle.activity import log_pull, log_push
from sync.words.message import Message

# Within this time Monday fills in values that it computes.
RECHECK_SECONDS = 10

_NOT_SHOWN = object()

# What a pass stores of a sync state, beside its own duration and calls.
STORED = (
    *("base", "altered", "blocked_fields", "note", "remote_id", "remote_state", "seen", "emptied"),
    *("removed_since", "removed_passes", "is_unplanned", "conflicts", "left_out"),
    *("error_count", "last_error", "sync_direction"),
)

SYNC_STATE_STATUS = {
    RecordSyncStatus.SYNCED: SyncStatus.COMPLETED,
    RecordSyncStatus.DISABLED: SyncStatus.SKIPPED,
    RecordSyncStatus.CONFLICT: SyncStatus.COMPLETED,
    RecordSyncStatus.PENDING: SyncStatus.PENDING,
}


class SettledRecord:
    """What is written into a record's row, by its plan, Monday's answer and what the row has now.

    The plan, of which settling has its own copy, gets the ending, the sync state and the lines that follow from that.
    """

    def __init__(self, plan: pass_plan.RecordPlan, locked: SyncedModel) -> None:
        self.plan = plan
        self.locked = locked  # its row, with NPD's current values
        self.values: dict[str, Any] = {}  # to write in it
        self.is_overtaken = False  # a field that Monday's value was to replace was edited in NPD meanwhile
        self.keeps_intent = False  # the intent stays open, because the answer didn't show what was written

    def settle(self, facts: PassFacts, pause: str = "", board_now: BoardContext | None = None) -> None:
        """Fill in all of this, unless the plan doesn't hold any more.

        `pause` is why nothing may be written any more; `board_now` has the board's current settings.
        """
        plan = self.plan
        if pause and plan.changes_npd:
            plan.start_anew(outcomes.Ending(outcomes.Outcome.RELEASED, pause))
        if reason := _why_outdated(plan, self.locked, board_now):
            plan.start_anew(outcomes.Ending(outcomes.Outcome.RELEASED, reason))
            return
        self.settle_fields(facts.now)
        made = plan.write.item if plan.creates and plan.is_done else None
        if made is not None and npd_id_of(facts.board, made) == "":
            # The next pass sends the NPD ID once more.
            self._read_again(Message("made_without_npd_id"))
        self.values |= removed_items.values_without_item(facts.board, plan)
        if plan.link_to not in (None, self.locked.monday_id):
            self.values["monday_id"] = plan.link_to
        plan.record = copy(self.locked) if self.values else self.locked
        for name, value in self.values.items():
            setattr(plan.record, name, value)
        if not self.is_overtaken:
            leave_out_after_write(facts, plan, plan.write.item)

    # --- its fields: each line in the history comes before the new base, because it tells of the former one -----------

    def settle_fields(self, read_at: datetime) -> None:
        """Fill in the values, bases, remarks and lines about its fields."""
        plan = self.plan
        sync_state = plan.sync_state
        stored = sync_state.base
        stored_remarks = sync_state.altered
        sync_state.base = dict(stored)
        # Without the remarks on values that NPD has no more.
        sync_state.altered = {
            key: entry
            for key, entry in stored_remarks.items()
            if key not in plan.fields or entry.get(SWALLOWED, plan.fields[key].local_raw) == plan.fields[key].local_raw
        }
        for key, field_plan in plan.fields.items():
            has_news = bool(field_plan.choice) or field_plan.confirmed_entry is not None
            has_news = has_news or field_plan.sends_in_vain > 0
            has_same_base = field_plan.base is stored.get(key)
            if not has_same_base or field_plan.decision.action is not Action.NOTHING or has_news:  # few fields
                self._settle_field(field_plan)
        # Pages compare this time with that of a read, which may be older.
        changed = {key for key, base in sync_state.base.items() if base != stored.get(key)}
        # Where both sides agree again, what was sent in vain before that doesn't count any more.
        agreed = {key for key, field_plan in plan.fields.items() if field_plan.decision.action is Action.NOTHING}
        changed |= (stored_remarks.keys() - sync_state.altered.keys()) & sync_state.base.keys() & agreed
        for key in changed:
            sync_state.base[key] = {**sync_state.base[key], "at": read_at.isoformat()}

    def _settle_field(self, field_plan: pass_plan.FieldPlan) -> None:
        plan = self.plan
        answered_item = plan.write.item_of(field_plan.key)
        item = answered_item or plan.item
        if item is None or field_plan.blocked_code or field_plan.conflict or not field_plan.mapping.column_id:
            if plan.item is not None:
                self._keep_base(field_plan)
            return
        action = field_plan.decision.action
        is_sent = field_plan.send_raw is not None and answered_item is not None
        if is_sent and self._lacks_values(item):
            self._keep_base(field_plan)
            self._leave_to_next_pass()
        elif is_sent and _is_swallowed(field_plan, item):
            self._settle_swallowed(field_plan)
        elif field_plan.undo is not None:
            self._settle_undo(field_plan, item, is_sent=is_sent)
        elif action is Action.PULL or (action is Action.BOTH and is_sent):
            self._settle_pull(field_plan, item, is_sent=is_sent)
        elif action is Action.PUSH and is_sent:
            self._settle_push(field_plan, item)
        elif action is Action.AGREED:
            self._settle_agreed(field_plan, item)
        elif action is Action.NOTHING and (field_plan.base is not None or field_plan.sends_in_vain):
            self._keep_base(field_plan)
            if field_plan.sends_in_vain:
                plan.sync_state.altered[field_plan.key] = _swallowed_remark(field_plan, field_plan.local_raw)
            if field_plan.confirmed_entry is not None:
                _note_applied(field_plan, field_plan.display_local(field_plan.local_raw))

    def _lacks_values(self, answered_item: Item) -> bool:
        """Whether Monday's answer lacks a value that was sent, so that it is taken for none."""
        plan = self.plan
        sent = [each for each in plan.fields.values() if each.send_raw is not None]
        answered = [each for each in sent if plan.write.item_of(each.key) is answered_item]
        return any(_answered_value(each, answered_item) is _NOT_SHOWN for each in answered)

    def _settle_undo(self, field_plan: pass_plan.FieldPlan, item: Item, *, is_sent: bool) -> None:
        """Undo a resolution if both sides still have the values of the plan; the base is the one before it."""
        if field_plan.send_raw is not None and not is_sent:
            return
        if field_plan.pull_raw is None or self._pull(field_plan):
            assert field_plan.undo is not None
            sync_state = self.plan.sync_state
            base = field_plan.undo.before["base"]
            sync_state.base.pop(field_plan.key, None)
            sync_state.base |= {field_plan.key: base} if base else {}
            sync_state.altered.pop(field_plan.key, None)
            field_plan.is_undone = True

    def _settle_swallowed(self, field_plan: pass_plan.FieldPlan) -> None:
        """Keep the base, so that the value is sent once more, and an edit on Monday meanwhile becomes a conflict.

        A person's choice isn't applied until Monday has stored it; a list that unites both sides' is stored in NPD.
        """
        if not field_plan.choice:
            if field_plan.pull_raw is not None:
                if not self._pull(field_plan):
                    return
                log_pull(self.plan, field_plan, Message("way_pulled"))
            field_plan.sends_in_vain += 1
            remark = _swallowed_remark(field_plan, field_plan.send_raw or {})
            self.plan.sync_state.altered[field_plan.key] = remark
        self._keep_base(field_plan)
        if field_plan.sends_in_vain < MAX_SENDS:
            self._read_again(Message("answer_not_stored"))

    def _settle_push(self, field_plan: pass_plan.FieldPlan, item: Item) -> None:
        """Make what was sent and what Monday answered the base, and note if Monday altered it."""
        converter = field_plan.converter
        answered_raw = _answered_value(field_plan, item)
        send_raw = field_plan.send_raw or {}
        sent_value = converter.canonical_local(send_raw)
        stored_value = converter.canonical_remote(answered_raw)
        before = "" if field_plan.remote_raw is None else converter.display_remote(field_plan.remote_raw)
        after = converter.display(sent_value)
        log_push(self.plan, field_plan, before, after)
        self._agree(field_plan, item, self._completed(field_plan, send_raw), answered_raw)
        if sent_value != stored_value:
            is_lossless = cell_history.is_lossless(converter, sent_value, stored_value)
            code = "stored_lossless" if is_lossless else "stored_differently"
            stored_text = name_invisible(converter.display(stored_value))
            reason = Message(code, sent=name_invisible(after), stored=stored_text)
            self.plan.sync_state.altered[field_plan.key] = {"reason": reason, "lossless": is_lossless}
        _note_applied(field_plan, after)

    def _settle_pull(self, field_plan: pass_plan.FieldPlan, item: Item, *, is_sent: bool) -> None:
        """Write the value, and make it and what was read, or answered, the base."""
        if field_plan.pull_raw is None:
            return
        answered_raw = _answered_value(field_plan, item) if is_sent else field_plan.remote_raw
        if self._pull(field_plan):
            log_pull(self.plan, field_plan, Message("way_both" if is_sent else "way_pulled"))
            self._agree(field_plan, item, field_plan.pull_raw, answered_raw)
            _note_applied(field_plan, field_plan.display_local(field_plan.pull_raw))

    def _settle_agreed(self, field_plan: pass_plan.FieldPlan, item: Item) -> None:
        """Make equal values the base; for a new item, if its answer shows that Monday left the field empty."""
        remote_raw = field_plan.remote_raw
        local_raw = field_plan.local_raw
        if self.plan.creates:
            remote_raw = _answered_value(field_plan, item)
            if remote_raw is _NOT_SHOWN:
                self._leave_to_next_pass()
                return
            converter = field_plan.converter
            if converter.canonical_remote(remote_raw) != converter.canonical_local(local_raw):
                self._read_again(Message("monday_filled_in"))
                return
        self._agree(field_plan, item, self._completed(field_plan, local_raw), remote_raw)
        # A person may have chosen an empty value while the other side's column was replaced.
        _note_applied(field_plan, field_plan.display_local(local_raw))

    # --- what becomes of a value --------------------------------------------------------------------------------------

    def _pull(self, field_plan: pass_plan.FieldPlan) -> bool:
        """Write the value in NPD if the record still has the one that was merged; else the job of its save goes on."""
        assert field_plan.pull_raw is not None
        if still_holds(self.locked, field_plan.local_raw):
            self.values |= update_values(type(self.locked), field_plan.pull_raw)
            return True
        self.is_overtaken = True
        return False

    def _completed(self, field_plan: pass_plan.FieldPlan, raw: dict[str, Any]) -> Mapping[str, Any]:
        """Return the value in a form that keeps its meaning, such as a phone number with its country code.

        NPD gets it, too.
        """
        complete = field_plan.converter.completed(raw)
        if complete == raw or not still_holds(self.locked, raw):
            return raw
        self.values |= update_values(type(self.locked), complete)
        return dict(complete)

    def _agree(self, field_plan: pass_plan.FieldPlan, item: Item, local: Any, remote: Any) -> None:
        """Make these raw values the base, about which nothing needs a remark."""
        sync_state = self.plan.sync_state
        sync_state.base[field_plan.key] = field_bases.new_base(field_plan.mapping, item.id, local, remote)
        sync_state.altered.pop(field_plan.key, None)

    def _keep_base(self, field_plan: pass_plan.FieldPlan) -> None:
        """Leave the field with the base that it had, or that our unanswered writes left."""
        if field_plan.base is not None:
            self.plan.sync_state.base[field_plan.key] = field_plan.base

    def _read_again(self, why: Message) -> None:
        if self.plan.is_done:
            self.plan.ending = outcomes.Ending(outcomes.Outcome.DEFERRED, why, RECHECK_SECONDS)

    def _leave_to_next_pass(self) -> None:
        """Keep base and intent, because the answer doesn't show the value."""
        self._read_again(Message("answer_without_value"))
        self.keeps_intent = True


def _why_outdated(plan: pass_plan.RecordPlan, locked: SyncedModel, board_now: BoardContext | None) -> str:
    """Return why the plan doesn't hold any more, because the record or a setting has changed; empty if it does."""
    if (locked.sync_enabled, locked.sync_direction) != (plan.record.sync_enabled, plan.record.sync_direction):
        return SETTINGS_CHANGED
    if not plan.is_done:
        return ""
    if board_now is not None:
        is_by_policy = plan.removal is not None and bool(plan.act) and not plan.removal.is_chosen
        taken_over = [field_plan.mapping for field_plan in plan.fields.values() if field_plan.pull_raw is not None]
        settings = {(mapping.key, mapping.version, mapping.direction) for mapping in board_now.mappings}
        is_mapped_otherwise = any((row.key, row.version, row.direction) not in settings for row in taken_over)
        if is_mapped_otherwise or (is_by_policy and plan.act != board_now.link.removed_item_policy):
            return SETTINGS_CHANGED
    if not plan.act:
        return ""
    # Any field counts for a deletion, mapped or not.
    names = [column.attname for column in locked._meta.concrete_fields if column.attname not in BOOKKEEPING]
    is_edited = any(getattr(locked, name) != getattr(plan.record, name) for name in names)
    is_overtaken = locked.monday_id != plan.record.monday_id or (plan.act == DELETE_RECORD and is_edited)
    return CHANGED if is_overtaken else ""


def _note_applied(field_plan: pass_plan.FieldPlan, value: str) -> None:
    """Note the value after a person's choice, if this pass applied one."""
    if field_plan.resolved_conflict:
        field_plan.applied[field_plan.resolved_kind] = value or None


def _is_swallowed(field_plan: pass_plan.FieldPlan, item: Item) -> bool:
    """Whether the item in Monday's answer shows that the value was not stored."""
    answered_raw = _answered_value(field_plan, item)
    return cell_history.was_swallowed(field_plan.converter, field_plan.send_raw, field_plan.remote_raw, answered_raw)


def _swallowed_remark(field_plan: pass_plan.FieldPlan, raw: dict[str, Any]) -> dict[str, Any]:
    return {"reason": swallowed_reason(field_plan, raw), "lossless": False, SWALLOWED: raw}


def _answered_value(field_plan: pass_plan.FieldPlan, item: Item) -> Any:
    """Return the raw value in Monday's answer, or _NOT_SHOWN."""
    try:
        raw = field_plan.converter.cell_value(item.reading(field_plan.mapping.column_id))
        field_plan.converter.canonical_remote(raw)
    except UnknownValue:
        return _NOT_SHOWN
    return raw


def answered_values(plan: pass_plan.EntityPlan) -> dict[str, Any]:
    """Return the raw values of the sent fields in Monday's answer."""
    answered = {}
    for key, field_plan in plan.fields.items():
        item = plan.write.item_of(key)
        if field_plan.send_raw is not None and item is not None:
            with suppress(UnknownValue):
                answered[key] = field_plan.converter.cell_value(item.reading(field_plan.mapping.column_id))
    return answered


# --- the rest of its sync state, and its status -----------------------------------------------------------------------


def complete_sync_state(
    plan: pass_plan.RecordPlan, before: SyncMetadata, now: datetime, conflicts: Iterable[OpenConflict]
) -> None:
    """Fill in the rest of the record's sync state after this pass, which ran at `now`.

    `before` is the stored one, and `conflicts` are those that are open after the pass.
    """
    sync_state = plan.sync_state
    sync_state.conflicts = {}
    for conflict in conflicts if plan.takes_part else ():
        is_about_record = conflict.kind in (ConflictKind.DELETE, ConflictKind.IDENTITY)
        # Whether a record with an item is another's, too, keeps nothing of it from being synced.
        if conflict.kind == ConflictKind.IDENTITY and plan.record.monday_id:
            continue
        sync_state.conflicts[conflict.kind] = [conflict.about["what"]] if is_about_record else [*conflict.fields]
    # A pass that planned no fields keeps the blocked ones, with people's decisions about them.
    sync_state.blocked_fields = _blocked_fields(plan, before, now) if plan.fields else before.blocked_fields
    sync_state.note = plan.reason
    sync_state.remote_id = plan.record.monday_id
    sync_state.error_count = before.error_count
    sync_state.last_error = before.last_error
    if plan.outcome is outcomes.Outcome.FAILED:
        sync_state.error_count += 1
        sync_state.last_error = plan.ending.detail
    elif plan.outcome is outcomes.Outcome.DONE:
        sync_state.error_count = 0
        sync_state.last_error = ""
    # In which this pass transferred values.
    is_sent = any(field_plan.send_raw is not None for field_plan in plan.fields.values())
    is_pulled = any(field_plan.pull_raw is not None for field_plan in plan.fields.values())
    sync_state.sync_direction = SyncStateDirection.BIDIRECTIONAL
    if is_sent != is_pulled:
        one_way = SyncStateDirection.LOCAL_TO_REMOTE if is_sent else SyncStateDirection.REMOTE_TO_LOCAL
        sync_state.sync_direction = one_way


def _blocked_fields(plan: pass_plan.RecordPlan, before: SyncMetadata, now: datetime) -> dict[str, Any]:
    """Return the fields that this pass found blocked, each with its reason, and since when for this reason.

    Those that a person keeps in NPD only stay marked so, and those of which nothing was read stay as they were. A
    rejected value of a field in conflict stays too, so that the conflict says why it was rejected.
    """
    blocked = {}
    for key, field_plan in plan.fields.items():
        stored = before.blocked_fields.get(key, {})
        if field_plan.blocked_code is None:
            if field_plan.conflict and is_rejected(stored) and is_same_value(stored, field_plan):
                blocked[key] = {name: value for name, value in stored.items() if name != KEPT_BY}
            continue
        entry: dict[str, Any] = {
            "reason": field_plan.blocked_reason,
            "code": field_plan.blocked_code,
            "local": field_plan.local_raw,
            "column": field_plan.mapping.column_id,
            "version": field_plan.mapping.version,
        }
        is_same = all(_comparable(stored.get(name)) == _comparable(value) for name, value in entry.items())
        entry["since"] = stored.get("since", now.isoformat()) if is_same else now.isoformat()
        if is_kept_different(stored, plan.item, field_plan):
            entry[KEPT_BY] = dict(stored[KEPT_BY])
            if plan.item:
                entry[KEPT_BY].setdefault(KEPT_REMOTE, field_plan.remote_raw)
            else:
                entry[KEPT_BY].pop(KEPT_REMOTE, None)
        blocked[key] = entry
    return blocked | {key: entry for key, entry in before.blocked_fields.items() if key in plan.doubts.set_aside}


def _comparable(value: Any) -> Any:
    """Return the value without the id of Monday's request, which differs each time."""
    return without_request_id(value) if isinstance(value, str) else value


def sync_status(board: BoardContext, plan: pass_plan.RecordPlan, *, has_open_work: bool) -> RecordSyncStatus:
    """Return the record's status, by its sync state after this pass; the order of the checks matters."""
    sync_state = plan.sync_state
    if not plan.takes_part:
        return RecordSyncStatus.DISABLED
    if sync_state.conflicts:
        return RecordSyncStatus.CONFLICT
    if not plan.is_done or not plan.record.monday_id:
        return RecordSyncStatus.PENDING
    if has_open_work or plan.reason or any(map(is_blocking, sync_state.blocked_fields.values())):
        return RecordSyncStatus.PENDING
    # Monday stored another value than was sent, which doesn't count for a field that isn't synced any more.
    altered = {key for key, entry in sync_state.altered.items() if not entry.get("lossless")}
    if altered and any(
        mapping.key in altered and plan.direction_of(mapping) is not SyncDirection.NONE for mapping in board.mappings
    ):
        return RecordSyncStatus.PENDING
    # A side may differ from its base, for example after a pull was dropped because of a save. Relations that are left
    # out, and values that a person keeps in NPD only, may differ.
    has_diverged = plan.item is not None and any(
        field_plan.decision.action is not Action.NOTHING and key not in sync_state.base
        for key, field_plan in plan.fields.items()
        if field_plan.mapping.column_id and not field_plan.is_relation_skipped
        if KEPT_BY not in sync_state.blocked_fields.get(key, {})
    )
    return RecordSyncStatus.PENDING if has_diverged else RecordSyncStatus.SYNCED
