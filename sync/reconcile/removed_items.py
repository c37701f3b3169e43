"""Linked records whose item is gone: first they wait, then policy or a person decides (mirror of deleted_records.py).

Implements, of “A record and its item” in docs/reference/merge.md: the rows *there | …* for an item that is archived,
deleted, not returned or on another board.

An item counts as deleted if it says so when it is read by its id, while its board is active, and says so again after
the quiet time: Monday has an undo.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from conflicts import reports
from sync import choices
from sync.merge import FieldDirection, FieldSelection, FieldSides, Unknown
from sync.models import ApprovalRequest, FieldMapping, SyncMetadata
from sync.monday.board_items import ARCHIVED, DELETED, Item
from sync.monday.conversion import Converter, UnknownValue
from sync.reconcile import field_plan, field_values, pass_plan
from sync.reconcile.facts import RETURN, HistoryLine, RecordFacts, RemovalFacts, change_events
from sync.reconcile.lost_updates import left_with_item, will_ask
from sync.reconcile.restraints import approval_verdicts
from sync.records.approvals import ApprovalFacts
from sync.records.item_links import RECREATE_KEY, RESTORED_KEY, UNLINK_KEY

# The value under which a choice names the option to keep both as they are, and sync them no more.
UNLINK_OPTION = "unlink"

# How long a person can restore a deleted item on Monday (support.monday.com, “the recycle bin”).
DAYS_IN_TRASH = 30

# How often an item has to be missing from Monday's answers before a person is asked; passes are a quiet time apart.
PASSES_BEFORE_ASKING = 3

# Said of a field whose last value on Monday is not NPD's.
MISSED_EDIT = "It was changed on Monday before the item left the board, and never synced."

# Said of what an automation on the board takes away, mostly, and no mistake.
REMOVED_TOO_OFTEN = (
    "It was created several times within a day, and removed each time: look for an automation on the board that "
    "archives or deletes it."
)

# What a person may do on Monday instead, as a clause.
RESTORE_HINTS = {
    ARCHIVED: "restore it from Monday's archive",
    DELETED: f"restore it from Monday's recycle bin within {DAYS_IN_TRASH} days",
    pass_plan.MOVED: "move it back",
    pass_plan.MISSING: "let NPD Sync's user on Monday see it again",
}

_OPTION_ACTIONS = {
    "npd": pass_plan.RecordAction.CREATE,
    "monday": pass_plan.RecordAction.DELETE,
    "custom": pass_plan.RecordAction.UNLINK,
}
_POLICY_ACTIONS = {
    choices.RemovedItemPolicy.UNLINK: pass_plan.RecordAction.UNLINK,
    choices.RemovedItemPolicy.DELETE: pass_plan.RecordAction.DELETE,
    choices.RemovedItemPolicy.CREATE: pass_plan.RecordAction.CREATE,
}


def removed_state(board: field_values.BoardContext, facts: RecordFacts) -> str:
    """Return in which way a linked record's item is gone, an empty text where it is on its board.

    An item that was deleted when it was last seen, and is not shown any more, is deleted: Monday forgets it in time.
    """
    item = facts.item
    if item is None:
        return DELETED if facts.ledger.remote_state == DELETED else pass_plan.MISSING
    if item.state != field_values.ACTIVE:
        return item.state if item.state in pass_plan.REPORTED_STATES else pass_plan.MISSING
    return pass_plan.MOVED if item.board_id and item.board_id != board.link.board_id else ""


def return_lines(ledger: SyncMetadata) -> tuple[HistoryLine, ...]:
    """Return what the history says of an item that is on its board: that it is there again, if it wasn't."""
    if ledger.removed_since and ledger.remote_state in pass_plan.OFF_BOARD_STATES:
        return (HistoryLine(RETURN, "Its item is on the board again."),)
    return ()


def removal_of(
    board: field_values.BoardContext, plan: pass_plan.RecordPlan, facts: RemovalFacts, now: datetime
) -> pass_plan.RecordPlan:
    """Decide what becomes of a record whose item is gone: quiet for now, acted on, or asked about."""
    state = facts.state
    since, passes = _noticed(facts, now)
    plan = plan.with_state(removed_since=since, removed_passes=passes, remote_state=state)
    sentence = removal_sentence(facts)
    if not facts.record.may_sync:
        return plan.end_settled(f"{sentence} Nothing was sent.")
    if since == now:
        values = {"reason": state} | ({"at": facts.done_at.isoformat()} if facts.done_at else {})
        plan = plan.logged(HistoryLine("removed", sentence, actor=facts.editor, values=values))
    if not _is_quiet_over(board.settings, facts, now):
        wait = _quiet_seconds(board.settings, facts, now)
        # Until when, and what then, pages say in their reader's zone, by the setting as it is then.
        detail = f"{sentence} Nothing was changed in NPD, and nothing is sent."
        return plan.end(pass_plan.Outcome.DEFERRED, detail, reason=detail, wait_seconds=wait)
    # A conflict about the record's values is a person's to decide first.
    has_conflict = any(conflict.kind in (reports.KIND_FIELDS, reports.KIND_OVERWRITTEN) for conflict in facts.conflicts)
    policy = choices.RemovedItemPolicy.ASK if has_conflict or will_ask(board, plan) else board.link.removed_item_policy
    removed = _with_action(board, facts, choices.RemovedItemPolicy(policy), _described(board, facts, sentence))
    if facts.is_removed_too_often and removed.act is pass_plan.RecordAction.CREATE and not removed.chosen:
        # What takes the item away takes every new one away too: a person has to say what becomes of it.
        removed = replace(
            removed, act=pass_plan.RecordAction.NOTHING, by="", sentence=f"{removed.sentence} {REMOVED_TOO_OFTEN}"
        )
    plan = replace(plan, removal=removed)
    if not removed.act:
        return plan.end_settled(f"{removed.sentence} You are asked what happens to the record.")
    if removed.act is pass_plan.RecordAction.UNLINK:
        happened = f"was {state}" if state in pass_plan.REPORTED_STATES else "was removed"
        plan = plan.unlinked(f"its item {happened}, {removed.by}")
    return plan.end_settled("")


def wants_obstacles(settings: field_values.PassSettings, facts: RemovalFacts, now: datetime) -> bool:
    """Whether it matters what keeps the record from being deleted in NPD."""
    record = facts.record
    if not record.may_sync or not _is_quiet_over(settings, facts, now):
        return False
    is_chosen = facts.choice is not None and facts.choice.choose == "monday"
    is_allowed = record.sync_direction != choices.SyncDirection.NPD_TO_MONDAY
    return is_chosen or (is_allowed and facts.state != pass_plan.MISSING)


def may_delete(board: field_values.BoardContext, facts: RemovalFacts) -> bool:
    """Whether the board's policy or a person's choice may have the record deleted."""
    is_chosen = facts.choice is not None and facts.choice.choose == "monday"
    return is_chosen or board.link.removed_item_policy == choices.RemovedItemPolicy.DELETE


def _noticed(facts: RemovalFacts, now: datetime) -> tuple[datetime, int]:
    """Since when it is gone, and how many passes have found it so, this one among them."""
    ledger = facts.ledger
    noticed_before = ledger.removed_since if ledger.remote_state in pass_plan.OFF_BOARD_STATES else None
    passes = (ledger.removed_passes or 0) + 1 if noticed_before and ledger.remote_state == facts.state else 1
    return noticed_before or now, passes


def _quiet_seconds(settings: field_values.PassSettings, facts: RemovalFacts, now: datetime) -> float:
    """Return how long the record is left alone; what Monday merely doesn't show has to be missed several times."""
    since, passes = _noticed(facts, now)
    wait = settings.gone_quiet_seconds - (now - since).total_seconds()
    if facts.state == pass_plan.MISSING and passes < PASSES_BEFORE_ASKING and not facts.is_asked:
        wait = max(wait, settings.gone_quiet_seconds)
    return wait


def _is_quiet_over(settings: field_values.PassSettings, facts: RemovalFacts, now: datetime) -> bool:
    return _is_recreation(facts) or _quiet_seconds(settings, facts, now) <= 0


def _is_recreation(facts: RemovalFacts) -> bool:
    """Whether a person wants a new item, and one may be made; of two at once, who unlinks it is followed: that takes
    nothing away.

    Who restored the record while its item was leaving the board wants one, too, whoever takes the item away.
    """
    payload = facts.claim.payload
    direction = facts.record.sync_direction
    is_restored = bool(payload.get(RESTORED_KEY)) and facts.state in pass_plan.REPORTED_STATES
    is_wanted = is_restored or (bool(payload.get(RECREATE_KEY)) and facts.state != pass_plan.MISSING)
    return is_wanted and direction != choices.SyncDirection.MONDAY_TO_NPD and not payload.get(UNLINK_KEY)


def removal_sentence(facts: RemovalFacts) -> str:
    item = facts.item
    state = facts.state
    name = item.name if item else field_values.record_name(facts.record)
    if state == pass_plan.MISSING:
        reason = "it may be deleted permanently, or hidden from NPD Sync's user on Monday"
        return f"Monday doesn't show the item of “{name}” any more: {reason}."
    if state == pass_plan.MOVED:
        return f"The item “{name}” is on another board now ({(item.board_id if item else '') or ''})."
    return f"The item “{name}” was {state} on Monday{f' by {facts.actor}' if facts.actor else ''}."


def _described(board: field_values.BoardContext, facts: RemovalFacts, sentence: str) -> pass_plan.RemovedItem:
    fields = edits_since_agreed(board, facts)
    labels = {mapping.key: mapping.label for mapping in board.mappings}
    edited = [labels[edit.key] for edit in fields if edit.npd != edit.base or edit.monday]
    unread = [labels[edit.key] for edit in fields if edit.reason not in ("", MISSED_EDIT)]
    description = f"{sentence} Nothing was edited since the last sync."
    if edited:
        description = f"{sentence} Edited since the last sync: {', '.join(edited)}."
    elif unread:
        description = sentence
    if unread:
        description += f" What Monday says can't be read, so it may have been edited there: {', '.join(unread)}."
    return pass_plan.RemovedItem(facts.state, description, fields, removal_options(board.settings, facts))


def removal_options(settings: field_values.PassSettings, facts: RemovalFacts) -> tuple[reports.Option, ...]:
    """Return the options that the record's direction and NPD's other records leave."""
    record = facts.record
    state = facts.state
    name = field_values.record_name(record)
    direction = record.sync_direction
    options = []
    if direction != choices.SyncDirection.MONDAY_TO_NPD:
        effect = (
            f"A new item is created on the board from what “{name}” says in NPD now, and linked with it. A removed "
            f"item can't be restored from here; you may instead {RESTORE_HINTS[state]}: then this question closes by "
            "itself."
        )
        options.append(
            reports.Option("npd", "Keep the record and create its item again", effect, does=reports.CREATE_ITEM)
        )
    if state != pass_plan.MISSING and direction != choices.SyncDirection.NPD_TO_MONDAY and not facts.needed_by:
        effect = (
            f"“{name}” is deleted in NPD, with what was edited here.{facts.loss} For {settings.tombstone_days} days it "
            "can be restored from the list of deleted records."
        )
        options.append(reports.Option("monday", "Delete the record in NPD too", effect, does=reports.DELETE_RECORD))
    effect = (
        f"“{name}” stays in NPD as it is, and its sync is turned off. The item is unlinked: restored, it is neither "
        "matched nor made into a record until a person says so."
    )
    unlink_option = reports.Option("custom", "Keep the record and end its sync", effect, UNLINK_OPTION, reports.UNLINK)
    return (*options, unlink_option)


def _with_action(
    board: field_values.BoardContext,
    facts: RemovalFacts,
    policy: choices.RemovedItemPolicy,
    removed: pass_plan.RemovedItem,
) -> pass_plan.RemovedItem:
    """Decide by what a person chose, else by the policy where nothing was edited."""
    if _is_recreation(facts):
        lost = _unseen_edits(board, facts, removed)
        removed = replace(removed, act=pass_plan.RecordAction.CREATE, by="as a person chose", chosen=True, lost=lost)
    elif facts.choice is not None:
        removed = _by_choice(facts, facts.choice, removed)
    elif act := _action_by_policy(facts, policy, removed):
        removed = replace(removed, act=act, by="as this board's setting says")
    # What a person didn't approve stays undone until the item is back; a choice made later is a new wish.
    is_new_wish = removed.chosen and facts.rejected != choices.ApprovalState.REJECTED
    if facts.rejected and removed.act is pass_plan.RecordAction.DELETE and not is_new_wish:
        problem = "Deleting this record was not approved." if removed.chosen else ""
        removed = replace(removed, act=pass_plan.RecordAction.NOTHING, problem=problem)
    return removed


def _unseen_edits(
    board: field_values.BoardContext, facts: RemovalFacts, removed: pass_plan.RemovedItem
) -> tuple[HistoryLine, ...]:
    """Return what the history says of edits on Monday that nobody is asked about: the new item has NPD's values."""
    item = facts.item
    missed = {edit.key for edit in removed.fields if edit.reason == MISSED_EDIT}
    if item is None or not missed:
        return ()
    changes = change_events(board, facts.record, facts.history.events)
    why = "the item left the board with that."
    mappings = [mapping for mapping in board.mappings if mapping.key in missed]
    lines = [left_with_item(board, (facts, item), mapping, changes, why) for mapping in mappings]
    return tuple(line for line in lines if line)


def _by_choice(facts: RemovalFacts, choice: FieldSelection, removed: pass_plan.RemovedItem) -> pass_plan.RemovedItem:
    """Apply a choice if the values are still those that its author saw, and its option is still open."""
    if choice.seen_values != {conflict.key: (conflict.npd, conflict.monday) for conflict in removed.fields}:
        problem = "The record was edited after you chose. Check the current values, then choose again."
    elif (choice.choose, choice.value or "") in {(option.choose, option.value) for option in removed.options}:
        return replace(removed, act=_OPTION_ACTIONS[choice.choose], by="as a person chose", chosen=True)
    else:
        needed = facts.needed_by if choice.choose == "monday" else ""
        problem = needed or "This is not possible any more. Choose another option."
    return replace(removed, problem=problem)


def _action_by_policy(
    facts: RemovalFacts, policy: choices.RemovedItemPolicy, removed: pass_plan.RemovedItem
) -> pass_plan.RecordAction:
    """Return the policy's act for a record that both sides left unchanged; NOTHING if the policy can't decide."""
    act = _POLICY_ACTIONS.get(policy, pass_plan.RecordAction.NOTHING)
    is_surely_gone = facts.state in pass_plan.REPORTED_STATES and facts.item is not None
    against = {
        pass_plan.RecordAction.CREATE: choices.SyncDirection.MONDAY_TO_NPD,
        pass_plan.RecordAction.DELETE: choices.SyncDirection.NPD_TO_MONDAY,
    }
    if removed.fields or not is_surely_gone:
        return pass_plan.RecordAction.NOTHING
    if facts.record.sync_direction == against.get(act):
        return pass_plan.RecordAction.NOTHING
    is_needed = act is pass_plan.RecordAction.DELETE and bool(facts.needed_by or facts.loss)
    return pass_plan.RecordAction.NOTHING if is_needed else act


def follows_policy(removed: pass_plan.RemovedItem, policy: choices.RemovedItemPolicy) -> bool:
    """Whether what becomes of the record is still what the board says; what a person chose is."""
    return removed.chosen or not removed.act or removed.act is _POLICY_ACTIONS.get(policy)


# What was edited, on either side, since a record and its gone item last agreed.


def edits_since_agreed(board: field_values.BoardContext, facts: RecordFacts) -> tuple[reports.FieldConflict, ...]:
    """Return the fields that differ from the values both sides last agreed on; None is a side without anything more.

    If a field never agreed, its values are edits that the other side doesn't have. Monday's side of a field is there
    only if it was edited too and never reached NPD; its own `reason` says that it can't be read.
    """
    edits = (_field_edit(board, facts, mapping) for mapping in board.mapped)
    return tuple(edit for edit in edits if edit is not None)


def _field_edit(
    board: field_values.BoardContext, facts: RecordFacts, mapping: FieldMapping
) -> reports.FieldConflict | None:
    way = field_plan.way_of(facts, mapping)
    convert = board.converter(mapping, facts.record)
    item_id = facts.record.monday_id or ""
    if way is FieldDirection.NONE:
        return None
    local_raw = field_values.stored_values(facts.record, mapping)
    cell = _shown_cell(convert, mapping, facts.item)
    base = field_plan.base_of(facts.ledger, mapping, item_id)
    if facts.item is not None and not isinstance(cell, Unknown):
        with suppress(UnknownValue):
            base, _ = field_plan.base_with_intents(facts, mapping, convert, cell)
    sides = field_plan.sides_of(convert, base, local=local_raw, remote=cell)
    # If the column was replaced, NPD's half of the base still counts; Monday's half says nothing about the new column.
    entry = facts.ledger.base.get(mapping.key)
    agreed = base or (entry if entry and entry["item"] == item_id else None)
    monday, reason = _remote_edit(convert, sides) if way is not FieldDirection.TO_MONDAY else (None, "")
    if not _is_local_edited(convert, facts, mapping, agreed, sides) and not reason:
        return None
    before = (field_values.shown_of(convert, agreed["local"]) or None) if agreed else None
    return reports.FieldConflict(mapping.key, field_values.shown_of(convert, local_raw) or None, before, monday, reason)


def _shown_cell(convert: Converter, mapping: FieldMapping, item: Item | None) -> Any:
    """Return what the item said as it left; a column that is gone from the board says nothing."""
    if item is None or mapping.problem_code == choices.ColumnProblem.MISSING:
        return field_plan.UNREAD
    cell = field_plan.cell_of(convert, mapping, item)
    # On another board the columns are others.
    return field_plan.UNREAD if isinstance(cell, Unknown) and item.state not in pass_plan.REPORTED_STATES else cell


def _is_local_edited(
    convert: Converter, facts: RecordFacts, mapping: FieldMapping, agreed: dict[str, Any] | None, sides: FieldSides
) -> bool:
    """Whether NPD left what was agreed on; where nothing ever was, whether it has a value that Monday never got."""
    local_raw = field_values.stored_values(facts.record, mapping)
    here = field_plan.sides_of(convert, agreed, local=local_raw)
    if agreed is None or here.base is None:
        # A relation that is left out is none that Monday was to get.
        entry = facts.ledger.blocked_fields.get(mapping.key, {})
        is_left_out = entry.get("code") == choices.BlockedCode.LEFT_OUT and entry["local"] == local_raw
        return here.local is not None and not sides.equal and not is_left_out
    if isinstance(here.local, Unknown) or isinstance(here.base[0], Unknown):
        return _comparable(local_raw) != _comparable(agreed["local"])
    return here.local_changed


def _remote_edit(convert: Converter, sides: FieldSides) -> tuple[str | None, str]:
    """Return what Monday says that never reached NPD, and the sentence on it; or why that can't be told."""
    remote = sides.remote
    if isinstance(remote, Unknown) or field_plan.unknown_reason(sides):
        return None, field_plan.unknown_reason(sides) if remote is not field_plan.UNREAD else ""
    # An item that is gone leaves every cell of connected boards empty.
    is_emptied = remote is None and convert.names_items
    if not sides.remote_changed or is_emptied or (sides.base is None and sides.equal):
        return None, ""
    return convert.display(remote) or None, MISSED_EDIT


def _comparable(raw: dict[str, Any]) -> list[Any]:
    """Return the values that compare two raw values without a canonical form; for a relation its id."""
    return [value.get("id") if isinstance(value, dict) else value for value in raw.values()]


# What must wait: deletions in NPD over the limit.


def approve_deletions(
    planned: Sequence[tuple[RemovalFacts, pass_plan.RecordPlan]], approvals: ApprovalFacts
) -> list[pass_plan.RecordPlan]:
    """Let go what isn't too much at once, hold the rest; what waits is over where it is to be something else by now."""
    deleting = [plan for _, plan in planned if plan.removal and plan.removal.act is pass_plan.RecordAction.DELETE]
    wanted = [(plan.id, "") for plan in deleting]
    verdicts = approval_verdicts(approvals, choices.ApprovalKind.RECORDS, wanted)
    plans = []
    for facts, plan in planned:
        assert plan.removal is not None
        released = choices.ApprovalState.RELEASED if plan.removal.needs_answer else None
        may_go, approval = verdicts.get((plan.id, ""), (True, released))
        was_rejected = facts.rejected == choices.ApprovalState.REJECTED
        removal = replace(plan.removal, was_rejected=was_rejected, approval=approval)
        decided = replace(plan, removal=removal)
        if not may_go:
            # Neither asked nor done: a choice that led here stays with its conflict.
            options = removal.options if facts.is_asked else ()
            waiting = replace(removal, act=pass_plan.RecordAction.NOTHING, options=options)
            decided = replace(plan, removal=waiting).end_settled(
                f"{removal.sentence} Its deletion in NPD waits for approval: too many records would go at once. See "
                "“Waiting for approval” in the admin."
            )
        plans.append(decided)
    return plans


# The rule of a pass.


def decide_removals(facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """End every open record whose item is gone: quiet for now, acted on, blocked, or asked about."""
    gone = {record_plan.id: record_plan for record_plan in plan.open_records if record_plan.removal}
    if not gone:
        return plan
    planned = []
    for key, record_plan in gone.items():
        removal = replace(facts.removals[key], **vars(record_plan.facts))
        planned.append((removal, removal_of(facts.board, record_plan, removal, facts.now)))
    return plan.with_records(approve_deletions(planned, facts.approvals))


def new_deletion_requests(plan: pass_plan.Plan) -> list[ApprovalRequest]:
    """Return the rows by which the planned deletions in NPD count, or wait, yet to be stored."""
    return [
        ApprovalRequest(
            entity_type=record_plan.record.entity_type(),
            entity_id=record_plan.id,
            remote_id=record_plan.record.monday_id or "",
            kind=choices.ApprovalKind.RECORDS,
            key="",
            label=field_values.record_name(record_plan.record),
            values={conflict.key: conflict.npd for conflict in record_plan.removal.fields},
            state=record_plan.removal.approval,
        )
        for record_plan in plan.records.values()
        if record_plan.removal
        and record_plan.removal.approval in (choices.ApprovalState.DONE, choices.ApprovalState.PENDING)
    ]


def recreated(plan: pass_plan.RecordPlan, removed: pass_plan.RemovedItem) -> pass_plan.RecordPlan:
    """Return a record that was unlinked to get a new item: it is looked up on the board, and made there if need be.

    The old base stays in the sync state; it belongs to the old item, and holds again should that one be linked again.
    """
    result = "The record is kept, and its item is created again from what NPD says now."
    is_chosen = removed.chosen
    by = "" if is_chosen else removed.by
    line = HistoryLine(
        "unlinked", f"{removed.sentence} {result}", actor=by, values={"again": not is_chosen, "reason": removed.state}
    )
    ended = replace(plan.logged(line, *removed.lost), removal=replace(removed, result=result))
    return replace(_without_absence(ended), reason="Its item is created again at the next sync.")


def deleted(plan: pass_plan.RecordPlan, removed: pass_plan.RemovedItem, needed: str) -> pass_plan.RecordPlan:
    """Return a record that was deleted in NPD because its item is gone; `needed` is why it could not be."""
    if needed:
        # A person is asked, and of a choice told why it can't be carried out.
        options = tuple(option for option in removed.options if option.choose != "monday")
        problem = needed if removed.chosen else ""
        open_removal = replace(removed, act=pass_plan.RecordAction.NOTHING, options=options, problem=problem)
        return replace(plan, removal=open_removal, reason=f"{removed.sentence} It can't be deleted in NPD: {needed}")
    result = f"{removed.sentence} So it was deleted in NPD too, {removed.by}."
    return replace(
        plan.logged(HistoryLine("delete", result, values={"reason": removed.state})),
        removal=replace(removed, result=result),
    )


def note_unlinked(plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """Return a record that is unlinked from its removed item: the question is answered."""
    if plan.removal is None or not plan.unlink or not plan.is_settled:
        return plan
    result = "The record stays in NPD; its sync is off, and its item was unlinked."
    return _without_absence(replace(plan, removal=replace(plan.removal, result=result)))


def _without_absence(plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    return plan.with_state(remote_state="", removed_since=None, removed_passes=0)
