"""What becomes of an item whose record was deleted in NPD, and how such a pass ends.

| record | item | decision |
|---|---|---|
| deleted | there, as the base | policy: archive the item (default), delete it, unlink it, ask |
| deleted | there, changed since the base | conflict "gone here, edited there" |
| deleted | gone | nothing left to do; the tombstone stays its 30 days |
| deleted | new or late, bearing the tombstone's NPD ID | as deleted / there: never a new record by itself |
| deleted | restored by someone after we archived it | ask: bring the record back, or archive again |

The tombstone knows the record as it was, the sync state what both sides last agreed on. An item that stands as agreed
goes the board link's way; one that somebody edited since is asked about; nothing is sent for a record whose settings
let nothing be sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sync.choices import (
    ApprovalKind,
    ApprovalState,
    Cause,
    DeletedRecordPolicy,
    Priority,
    QueueDirection,
    SyncDirection,
    TombstoneState,
)
from sync.clock import sync_now
from sync.connectors.base.board_items import ARCHIVED, BatchItems, Item
from sync.connectors.base.conversion import AmbiguousSplit, Converter, UnknownValue
from sync.kernel.action_errors import RestoreError
from sync.kernel.conflict_store import (
    KIND_DELETE,
    RECORD_KEY,
    ConflictReport,
    FieldConflict,
    Option,
    OptionAct,
    current_store,
)
from sync.kernel.db import update_many
from sync.kernel.messages import TombstoneReason, tombstone_sentence
from sync.merge import FieldDirection, Unknown
from sync.models import ApprovalRequest, BoardLink, Decision, FieldMapping, QueuePause, SyncMetadata, Tombstone
from sync.models.state import fold_alike
from sync.outbox.queue_rows import enqueue_item
from sync.reconcile.act import OUTCOMES, Answer, Answers, Call, Expected, Kind, Verdict, Write, executor_of
from sync.reconcile.batch import Batch, DeletedRecord, Ending, Outcome, RecordSync, WorkUnit, end_jobs
from sync.reconcile.board_filter import deleted_exclusion
from sync.reconcile.conflict_reports import history_rows
from sync.reconcile.facts import DeletedFacts, HistoryLine, Settings, change_events
from sync.reconcile.field_plan import base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import ACTIVE, BoardContext, as_uuid, npd_id_of, stored_values
from sync.reconcile.gather import current_deletion_policy, gather_bearers, gather_deleted, gather_editors, load_settings
from sync.reconcile.restraints import (
    DestructiveChange,
    approval_facts,
    approval_verdicts,
    enqueue_paused,
    new_request,
    pause_ending,
    unpaused_records,
)
from sync.reconcile.settlement import end_intents
from sync.records.approvals import ApprovalFacts
from sync.records.authors import monday_user_name
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import ignore_item
from sync.records.tombstones import NEW_ITEM, OPEN_TOMBSTONE_STATES, REMOVED_STATES, restore_record

FINAL_STATES = (TombstoneState.KEPT, TombstoneState.UNLINKED, TombstoneState.RESTORED)
"""States that no pass changes: the item was left where it is on purpose."""

RESTORED_STATE = "restored"
"""The sync state's word for an item that somebody restored after it had left the board."""

UNLINK_ITEM = "unlink"
"""The value of the choice that lets the item go."""

NEXT_PASS_SECONDS = 5.0
"""Seconds until a pass finds out whether the record that was being linked with the item has it."""

_STATE_AFTER = {
    DeletedRecordPolicy.ARCHIVE: TombstoneState.ARCHIVED,
    DeletedRecordPolicy.DELETE: TombstoneState.DELETED,
}
_ALL_WAYS = (FieldDirection.BOTH, FieldDirection.TO_NPD, FieldDirection.TO_MONDAY)


@dataclass(frozen=True)
class DeletedPlan:
    """What becomes of a deleted record and its item; `reason` says in words how the item stands.

    `new_state` and `reason_code` are the tombstone's (empty ones leave it). `removal` is what is to be done with the
    item, `approval` what is to be stored about that: counted as done, or waiting. `question` is what a person is asked
    about the item and the `edits` on it; `restores`, that the record is to come back; `carried_out`, what was done by a
    person's choice. `removed_since` and `remote_state` are the sync state's. `frees_item`: it is treated as any item
    that no record has.
    """

    ending: Ending = field(default_factory=Ending)
    reason: str = ""
    new_state: TombstoneState | None = None
    reason_code: str = ""
    history: tuple[HistoryLine, ...] = ()
    removal: DeletedRecordPolicy | None = None
    approval: ApprovalState | None = None
    question: ConflictReport | None = None
    edits: tuple[FieldConflict, ...] = ()
    restores: bool = False
    carried_out: str = ""
    confirmed_intents: frozenset[UUID] = frozenset()
    removed_since: datetime | None = None
    remote_state: str = ""
    frees_item: bool = False


def decide_deleted(  # noqa: PLR0911 - a table
    board: BoardContext,
    facts: DeletedFacts,
    policy: DeletedRecordPolicy,
    settings: Settings,
    now: datetime,
    linked_now: Collection[str] = (),
) -> DeletedPlan:
    """Decide by the item as it was read; `linked_now` are the items that this pass links with other records."""
    if (plan := decide_unread(board, facts)) is not None:
        return plan
    plan, item, choice = _unchanged(facts), facts.item, facts.resolution
    if item is not None:
        plan = replace(plan, removed_since=None)
    if (item is None or item.state != ACTIVE) and choice is not None and choice.choose == "monday":
        return replace(plan, restores=True, ending=Ending(Outcome.SETTLED))
    if item is None:
        return _not_shown(facts, plan, settings, now)
    if item.state != ACTIVE:
        return _removed_already(board, facts, plan, item)
    if not _is_on_board(board, item):
        return _settled(facts, plan, TombstoneState.KEPT, TombstoneReason.MOVED, item=item.name, board=item.board_id)
    if facts.bearer is not None:
        state, reason = TombstoneState.NOTHING_LEFT, TombstoneReason.OTHER_NPD_ID
        return replace(_settled(facts, plan, state, reason, item=item.name, owner=facts.bearer), frees_item=True)
    if excluded := deleted_exclusion(board, facts, item):
        return _settled(facts, plan, TombstoneState.KEPT, TombstoneReason.LEFT_OUT, filter=excluded)
    if item.id in linked_now:
        waits = Ending(Outcome.DEFERRED, "Another record is being linked with its item.", NEXT_PASS_SECONDS)
        return replace(plan, ending=waits)
    return _by_policy(board, facts, plan, item, policy)


def decide_unread(board: BoardContext, facts: DeletedFacts) -> DeletedPlan | None:  # noqa: PLR0911 - a table
    """Decide that for which Monday needn't be asked; None where its item has to be read."""
    plan, tombstone, record = _unchanged(facts), facts.tombstone, facts.record
    if tombstone.state in FINAL_STATES:
        return replace(plan, reason=tombstone.note, ending=Ending(Outcome.SETTLED))
    if tombstone.monday_id is None:
        return _settled(facts, plan, TombstoneState.NOTHING_LEFT, TombstoneReason.NO_ITEM)
    if facts.owner is not None:
        return _settled(facts, plan, TombstoneState.NOTHING_LEFT, TombstoneReason.OTHER_OWNER, owner=facts.owner)
    if not record.may_sync:
        return _settled(facts, plan, TombstoneState.KEPT, TombstoneReason.SYNC_OFF)
    if excluded := deleted_exclusion(board, facts):
        return _settled(facts, plan, TombstoneState.KEPT, TombstoneReason.LEFT_OUT, filter=excluded)
    if record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        return _settled(facts, plan, TombstoneState.KEPT, TombstoneReason.ONE_WAY)
    return None


def wanted_bearer(board: BoardContext, facts: DeletedFacts) -> UUID | None:
    """Return the NPD ID that the item bears, where it matters whether there is such a record."""
    item = facts.item
    is_here = item is not None and item.state == ACTIVE and _is_on_board(board, item)
    return as_uuid(npd_id_of(board, item) or "") if item is not None and is_here else None


def wants_editors(board: BoardContext, facts: DeletedFacts, left: Item | None = None) -> bool:
    """Whether edits leave with the item, of which the history has to say whose they are.

    `left` is the item as the answer to our call showed it; without one, it had left before it was read.
    """
    item = left or facts.item
    if item is None or (left is None and not (item.state != ACTIVE and _is_removed_by_us(facts, item))):
        return False
    is_news = left is not None or facts.tombstone.state != _state_of(item)
    return is_news and bool(edits_since_base(board, facts, item, _ALL_WAYS))


def _unchanged(facts: DeletedFacts) -> DeletedPlan:
    return DeletedPlan(removed_since=facts.ledger.removed_since, remote_state=facts.ledger.remote_state)


def _is_on_board(board: BoardContext, item: Item) -> bool:
    return item.board_id in (None, board.link.board_id)


def _settled(
    facts: DeletedFacts,
    plan: DeletedPlan,
    new_state: TombstoneState,
    reason: TombstoneReason,
    *,
    kind: str = "delete",
    more: str = "",
    **params: object,
) -> DeletedPlan:
    """End the deleted record's pass: nothing is left to do for now, and `reason` says how the item stands.

    `params` are what its sentence names, `more` what follows it.
    """
    sentence = tombstone_sentence(reason, **params) + more
    is_news = reason != facts.tombstone.reason_code or new_state != facts.tombstone.state
    return replace(
        plan,
        ending=Ending(Outcome.SETTLED),
        reason=sentence,
        new_state=new_state,
        reason_code=reason,
        removal=None,
        history=(*plan.history, HistoryLine(kind, sentence)) if is_news else plan.history,
    )


def _not_shown(facts: DeletedFacts, plan: DeletedPlan, settings: Settings, now: datetime) -> DeletedPlan:
    """Monday may just have failed to show the item: it is believed when it says so after the quiet time too."""
    since = plan.removed_since or now
    plan, left = replace(plan, removed_since=since), settings.gone_quiet_seconds - (now - since).total_seconds()
    if facts.tombstone.state in OPEN_TOMBSTONE_STATES and left > 0:
        detail = "Deleted in NPD. Monday doesn't show its item; it is looked for once more in a few minutes."
        return replace(plan, ending=Ending(Outcome.DEFERRED, detail, left), reason=detail)
    return _settled(facts, plan, TombstoneState.NOTHING_LEFT, TombstoneReason.NOT_SHOWN)


def _removed_already(board: BoardContext, facts: DeletedFacts, plan: DeletedPlan, item: Item) -> DeletedPlan:
    """The item has left the board: by us, where a call of ours got no answer, or by somebody."""
    if _is_removed_by_us(facts, item):
        plan = replace(plan, confirmed_intents=frozenset(_removing_intents(facts)))
        return _removed(board, facts, plan, _state_of(item), item)
    state, reason = TombstoneState.NOTHING_LEFT, TombstoneReason.REMOVED_BEFORE
    return _settled(facts, plan, state, reason, item=item.name, state=item.state)


def _is_removed_by_us(facts: DeletedFacts, item: Item) -> bool:
    return bool(_removing_intents(facts)) or facts.tombstone.state == _state_of(item)


def _removing_intents(facts: DeletedFacts) -> list[UUID]:
    return [intent.pk for intent in facts.intents if (intent.body or {}).get("removes")]


def _state_of(item: Item) -> TombstoneState:
    return TombstoneState.ARCHIVED if item.state == ARCHIVED else TombstoneState.DELETED


def _removed(
    board: BoardContext, facts: DeletedFacts, plan: DeletedPlan, state: TombstoneState, item: Item
) -> DeletedPlan:
    """The item has left the board by our call; what it took with it stands in the history."""
    is_archived, more = state == TombstoneState.ARCHIVED, ""
    if facts.tombstone.state != state and (edits := lost_edits(board, facts, item)):
        more = f" What was edited there before is in its activity: {', '.join(edits)}."
        plan = replace(plan, history=(*plan.history, *edits.values()))
    reason = TombstoneReason.ARCHIVED if is_archived else TombstoneReason.DELETED
    kind = "archived" if is_archived else "deleted"
    return _by_choice(facts, _settled(facts, plan, state, reason, kind=kind, more=more, item=item.name))


def _by_choice(facts: DeletedFacts, plan: DeletedPlan) -> DeletedPlan:
    return replace(plan, carried_out=plan.reason) if facts.resolution else plan


def _by_policy(
    board: BoardContext, facts: DeletedFacts, plan: DeletedPlan, item: Item, policy: DeletedRecordPolicy
) -> DeletedPlan:
    """A choice holds where the item still says what its author saw; the policy, where nobody edited the item."""
    is_restored = facts.tombstone.state in REMOVED_STATES or plan.remote_state == RESTORED_STATE
    if is_restored:
        plan = replace(plan, remote_state=RESTORED_STATE)
    plan = replace(plan, edits=edits_since_base(board, facts, item))
    choice, problem = facts.resolution, ""
    if choice is None and not (is_restored or plan.edits or policy is DeletedRecordPolicy.ASK):
        return replace(plan, removal=policy)
    if choice is not None:
        now = {edit.key: (edit.npd or None, edit.monday or None) for edit in plan.edits}
        deletes = policy is DeletedRecordPolicy.DELETE
        if now != choice.seen_values:
            problem = "The item was edited after you chose. Check it and choose again."
        elif choice.choose == "npd":
            return replace(plan, removal=policy if deletes else DeletedRecordPolicy.ARCHIVE)
        elif choice.choose == "monday":
            return replace(plan, restores=True, ending=Ending(Outcome.SETTLED))
        elif choice.value == UNLINK_ITEM:
            return replace(plan, removal=DeletedRecordPolicy.UNLINK)
        else:
            problem = "That is not one of the options. Choose one of them."
    return ask_about_deletion(facts, plan, policy, problem)


def ask_about_deletion(
    facts: DeletedFacts, plan: DeletedPlan, policy: DeletedRecordPolicy, problem: str = ""
) -> DeletedPlan:
    """Ask what becomes of the item; the deleted record's pass ends. `problem` is why a choice can't be carried out."""
    if facts.resolution is None:
        problem = "The record was deleted in NPD since you chose. Choose again."
    reason, again = TombstoneReason.QUESTION_EDITED if plan.edits else TombstoneReason.QUESTION, ""
    if plan.remote_state == RESTORED_STATE:
        reason, again = TombstoneReason.QUESTION_RESTORED, " again"
    called = f"“{facts.item.name}”" if facts.item else "its item"
    plan, state = replace(plan, restores=False), TombstoneState.ASKED
    plan = _settled(facts, plan, state, reason, kind="conflict_delete", record=facts.record, item=called)
    removes, restorable, removal = "Archive", ".", OptionAct.ARCHIVE_ITEM
    if policy is DeletedRecordPolicy.DELETE:
        removes, restorable, removal = "Delete", " for 30 days.", OptionAct.DELETE_ITEM
    leaves = f"The deletion stays. The item leaves the board; people can restore it on Monday{restorable}"
    comes_back = "The record comes back as it was, linked with its item, and is updated with what was edited on Monday."
    stays = "The record stays deleted; the item stays on the board without an NPD ID, and makes no new record."
    options = [
        Option("npd", f"{removes} the item{again}", leaves, does=removal),
        Option("monday", "Restore the record", comes_back, does=OptionAct.RESTORE_RECORD),
        Option("custom", "Unlink the item", stays, UNLINK_ITEM, OptionAct.UNLINK),
    ]
    question = _report(
        facts,
        KIND_DELETE,
        facts.tombstone.monday_id or "",
        fields=plan.edits,
        rejected={RECORD_KEY: problem} if problem else {},
        data={"what": plan.reason, "options": [option.to_json() for option in options]},
    )
    return replace(plan, question=question)


def _report(facts: DeletedFacts, kind: str, item_id: str, **values: Any) -> ConflictReport:
    return ConflictReport(facts.tombstone.entity_type, facts.id, item_id, kind, **values)


# What somebody changed on Monday since both sides agreed, of a record that is no more in NPD.
#
# Where the item leaves the board, its edits leave with it: those that nobody saw who decided that
# go to the history.


def lost_edits(board: BoardContext, facts: DeletedFacts, item: Item) -> dict[str, HistoryLine]:
    """Return the lines about edits that leave with the item, by the names of their fields; `item` is as it left.

    Of a field that flows to Monday only an edit is overwritten unseen, as in every pass; of the others only those that
    came after the pass had read the item, or that the author of the choice was not shown.
    """
    seen_values = facts.resolution.seen if facts.resolution else {}
    edits = {edit.key: edit for edit in edits_since_base(board, facts, item, _ALL_WAYS)}
    changes = change_events(board, facts.record, facts.events) if edits else []
    lines = {}
    for mapping in [mapping for mapping in board.mappings if mapping.key in edits]:
        _, seen_monday = seen_values.get(mapping.key, (None, None))
        if mapping.key in seen_values and (seen_monday or None) == edits[mapping.key].monday:
            continue
        convert, local_raw = board.converter(mapping, facts.record), stored_values(facts.record, mapping)
        try:
            remote_raw = convert.stored_value(item.reading(mapping.column_id))
            value = convert.remote(remote_raw)
        except UnknownValue:
            continue
        lost_text, after = convert.display(value), ""
        raws: dict[str, Any] = {}
        with suppress(UnknownValue):
            after = convert.display(convert.local(local_raw))
        # What NPD would hold had the value been taken over, and what it held; nothing where that can't be told.
        with suppress(AmbiguousSplit, UnknownValue, ValueError):
            raws = {"raw_before": dict(convert.to_local(remote_raw, local_raw)), "raw_after": local_raw}
        users = [one.user_id for one in changes if (one.key, one.value) == (mapping.key, value) and one.user_id]
        who = monday_user_name(users[-1], facts.users) if users else "Somebody"
        wrote = f"wrote “{lost_text}” into {mapping.label}" if lost_text else f"emptied {mapping.label}"
        lines[mapping.label] = HistoryLine(
            "overridden",
            f"{who} {wrote} on Monday, and the item left the board with that, because its record was deleted in NPD. "
            "Once the record is restored, that can be undone here.",
            mapping.key,
            values={"before": lost_text, "after": after, "overridden": True, **raws},
        )
    return lines


def edits_since_base(
    board: BoardContext,
    facts: DeletedFacts,
    item: Item,
    ways: Collection[FieldDirection] = (FieldDirection.BOTH, FieldDirection.TO_NPD),
) -> tuple[FieldConflict, ...]:
    """Return the fields whose cell has left its half of the base, or can't be read.

    A field that only flows to Monday is NPD's, so that an edit of its cell is nothing to ask about. Without a base a
    cell counts that says something else than the record said.
    """
    mapped = [mapping for mapping in board.mappings if mapping.column_id and way_of(facts, mapping) in ways]
    edits = (_edit_since_base(board.converter(m, facts.record), facts, m, item) for m in mapped)
    return tuple(edit for edit in edits if edit is not None)


def _edit_since_base(
    convert: Converter, facts: DeletedFacts, mapping: FieldMapping, item: Item
) -> FieldConflict | None:
    base = base_of(facts.ledger, mapping, item.id)
    cell, local_raw = cell_of(convert, mapping, item), stored_values(facts.record, mapping)
    sides = sides_of(convert, base, local=local_raw, remote=cell)
    remote, agreed = sides.remote, sides.base[1] if sides.base else None
    if isinstance(remote, Unknown):
        detail = f"Its value on Monday can't be read: {remote.reason}."
        return FieldConflict(mapping.key, None, None, None, detail)
    shown = convert.display(remote) or None
    if isinstance(agreed, Unknown):
        detail = f"The last synced value is not known any more: {agreed.reason}."
        return FieldConflict(mapping.key, None, None, shown, detail)
    # An item that was deleted leaves every cell of connected boards empty by itself.
    vanished = convert.names_items and remote is None
    if not sides.remote_changed or sides.equal or vanished:
        return None
    # A value that a call of ours without an answer sent is nobody's edit.
    entries = [intent.values.get(mapping.key) for intent in facts.intents]
    with suppress(UnknownValue):
        if any(convert.local(entry["local"]) == remote for entry in entries if entry and mapping.is_current(entry)):
            return None
    detail = ""
    if not isinstance(sides.local, Unknown) and sides.local != agreed:
        detail = f"In NPD it was “{convert.display(sides.local)}” when the record was deleted."
    return FieldConflict(mapping.key, None, convert.display(agreed) or None, shown, detail)


# What must wait: what is paused, and removals over the limit.


def wait_if_paused(plan: DeletedPlan, pauses: Mapping[str, QueuePause]) -> DeletedPlan:
    """Leave the tombstone as it is where what is to be done would be written in a paused direction."""
    ending = None
    if plan.restores:
        ending = pause_ending(pauses, QueueDirection.TO_NPD)
    elif plan.removal is not None:
        ending = pause_ending(pauses, QueueDirection.TO_MONDAY)
    if ending is None:
        return plan
    return replace(plan, ending=ending, reason=ending.detail, restores=False, removal=None)


def wants_approval(facts: DeletedFacts, plan: DeletedPlan) -> bool:
    """Whether the item's removal counts: not one that a person chose for this record, nor an unlinking."""
    return plan.removal in _STATE_AFTER and facts.resolution is None


def removal_change(facts: DeletedFacts) -> DestructiveChange:
    """Return the item's removal as approvals keep it."""
    return DestructiveChange(
        facts.id,
        facts.tombstone.monday_id or "",
        "",
        f"The item of “{facts.record}”, which was deleted in NPD",
        {"record": str(facts.record)},
    )


def approve_removals(
    planned: Sequence[tuple[DeletedFacts, DeletedPlan]], approvals: ApprovalFacts
) -> list[DeletedPlan]:
    """What a person chose for one record goes; the rest only as long as it isn't more than is plausible."""
    rejected = {
        entity_id
        for (entity_id, _), state in approvals.states(ApprovalKind.ITEMS).items()
        if state == ApprovalState.REJECTED
    }
    changes = [removal_change(facts) for facts, plan in planned if wants_approval(facts, plan)]
    verdicts = approval_verdicts(
        approvals, ApprovalKind.ITEMS, [change for change in changes if change.entity_id not in rejected]
    )
    plans = []
    for facts, plan in planned:
        if not wants_approval(facts, plan):
            plans.append(plan)
        elif facts.id in rejected:
            plans.append(_settled(facts, plan, TombstoneState.KEPT, TombstoneReason.REMOVAL_REJECTED))
        else:
            verdict = verdicts[removal_change(facts)]
            state, reason = TombstoneState.PENDING_APPROVAL, TombstoneReason.PENDING_APPROVAL
            decided = plan if verdict.may_go else _settled(facts, plan, state, reason, kind="approval")
            plans.append(replace(decided, approval=verdict.new_state))
    return plans


# After Monday's answer.


def after_removal(board: BoardContext, facts: DeletedFacts, plan: DeletedPlan, answer: Answer) -> DeletedPlan:
    """Return what the answer makes of a planned removal; what was announced is counted."""
    plan = replace(plan, approval=None)
    if answer.verdict is Verdict.GONE:
        state, reason = TombstoneState.NOTHING_LEFT, TombstoneReason.REMOVED_MEANWHILE
        return _settled(facts, plan, state, reason, error=answer.detail)
    if answer.item is None:
        refused = f"Deleted in NPD. Its item could not be removed from the board: {answer.detail}"
        ending = Ending(OUTCOMES[answer.verdict], answer.detail)
        return replace(plan, ending=ending, reason=refused if answer.verdict is Verdict.REFUSED else plan.reason)
    if plan.removal in _STATE_AFTER:
        return _removed(board, facts, plan, _STATE_AFTER[plan.removal], answer.item)
    state, reason = TombstoneState.UNLINKED, TombstoneReason.UNLINKED
    return _by_choice(facts, _settled(facts, plan, state, reason, kind="unlinked", item=answer.item.name))


# The calls that take a deleted record's item off the board, or take its NPD ID from it.
#
# As every write: announced by intents under the lease, an alias a record, divided only where Monday
# refused the document before it ran; what became of a call without an answer is read by the next
# pass.


_KINDS = {
    DeletedRecordPolicy.ARCHIVE: Kind.ARCHIVE,
    DeletedRecordPolicy.DELETE: Kind.DELETE,
    DeletedRecordPolicy.UNLINK: Kind.CHANGE,
}


def removal_write(board: BoardContext, facts: DeletedFacts, plan: DeletedPlan) -> Write:
    """Return what is sent of a planned removal; where a person chose it, the policy may change meanwhile."""
    return Write(
        str(facts.id),
        facts.id,
        str(facts.tombstone.monday_id),
        columns={board.link.npd_id_column: None} if plan.removal is DeletedRecordPolicy.UNLINK else {},
        expected=Expected(tombstone=facts.tombstone.pk, policy=None if facts.resolution else plan.removal),
        approval=removal_request(board.link, facts, plan),
    )


def removal_request(link: BoardLink, facts: DeletedFacts, plan: DeletedPlan) -> ApprovalRequest | None:
    """Return the row by which the removal counts, yet to be stored; None where none is wanted, or it is stored."""
    if plan.approval is None:
        return None
    return new_request(link, ApprovalKind.ITEMS, removal_change(facts), plan.approval)


def _changed_deletions(board: BoardContext, writes: Sequence[Write]) -> dict[str, str]:
    """Return the deletions of which the policy, the filter, the record or the item's owner changed since."""
    records, items = board.model._default_manager, [write.item_id for write in writes]
    restored_ids = set(records.filter(pk__in=[write.record_id for write in writes]).values_list("pk", flat=True))
    owned = set(records.filter(monday_id__in=items).values_list("monday_id", flat=True))
    tombstones = Tombstone.objects.filter(pk__in=[write.expected.tombstone for write in writes])
    items_now: dict[int | None, str | None] = dict(tombstones.values_list("pk", "monday_id"))
    policy, sync_filter = current_deletion_policy(board.link)

    def is_same(write: Write) -> bool:
        expected = write.expected
        is_there = items_now.get(expected.tombstone) == write.item_id and write.item_id not in owned
        same_policy = expected.policy in (None, policy) and sync_filter == board.link.sync_filter
        return is_there and same_policy and write.record_id not in restored_ids

    return {write.unit: "It changed while it was synced." for write in writes if not is_same(write)}


def send_removals(batch: Batch) -> None:
    """Send the removals that were planned, and note what the answers make of them; raises LeaseLost."""
    board, answers, leaving = batch.board, Answers(), [one for one in batch.open_deleted if one.plan.removal]
    with executor_of(batch) as executor:
        for act, kind in _KINDS.items():
            call = Call(kind, _changed_deletions, {"removes": str(act)})
            planned = [deleted for deleted in leaving if deleted.plan.removal is act]
            answers |= executor.send(call, [removal_write(board, one.facts, one.plan) for one in planned])
    left = [one.facts for one in leaving if one.plan.removal in _STATE_AFTER]
    wanted = [facts for facts in left if (item := answers[str(facts.id)].item) and wants_editors(board, facts, item)]
    with_editors = {facts.id: facts for facts in gather_editors(board, wanted)}
    for deleted in leaving:
        answer, deleted.facts = answers[str(deleted.id)], with_editors.get(deleted.id, deleted.facts)
        deleted.intent, deleted.written_item = answer.intent, answer.item
        deleted.isolate = answer.verdict is Verdict.DIVIDED
        deleted.follow(after_removal(board, deleted.facts, deleted.plan, answer))


def new_removal_requests(batch: Batch) -> list[ApprovalRequest]:
    """Return the rows by which the planned removals count, yet to be stored."""
    return _new_requests(batch.link, batch.deleted_records)


def _new_requests(link: BoardLink, deleted_records: Iterable[DeletedRecord]) -> list[ApprovalRequest]:
    return [one for deleted in deleted_records if (one := removal_request(link, deleted.facts, deleted.plan))]


# How a pass over deleted records ends: tombstones, questions, log, intents and jobs, in one
# transaction.


def settle_deleted(batch: Batch) -> None:
    """Store what became of the pass's deleted records and end their jobs; raises LeaseLost."""

    def attempt() -> list[DeletedRecord]:
        deleted_records = [replace(deleted) for deleted in batch.deleted_records]
        _settle_all_deleted(batch, deleted_records)
        return deleted_records

    if batch.deleted_claims:
        batch.deleted_records = batch.in_transaction(attempt)


def _settle_all_deleted(batch: Batch, deleted_records: Sequence[DeletedRecord]) -> None:
    ids = [deleted.tombstone.pk for deleted in deleted_records]
    tombstones = {s.pk: s for s in Tombstone.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    ledgers, now = [], sync_now()
    for deleted in deleted_records:
        tombstone = tombstones.get(deleted.tombstone.pk)
        if tombstone is None or tombstone.state == TombstoneState.RESTORED:
            deleted.plan = replace(deleted.plan, new_state=None, question=None, approval=None)
            tombstones.pop(deleted.tombstone.pk, None)
            continue
        if deleted.plan.restores and unpaused_records(batch, [deleted], QueueDirection.TO_NPD):
            deleted.plan = _restored(batch, deleted.facts, deleted.plan, tombstone)
        _set_tombstone(tombstone, deleted.plan, now)
        _free_item(deleted.facts, deleted.plan)
        if (ledger := ledger_after(deleted.facts, deleted.plan)) is not None:
            ledgers.append(ledger)
    update_many(list(tombstones.values()), ["state", "settled_at", "note", "reason_code"])
    # The sync state keeps the base as long as the tombstone stands; of the rest it says what is asked.
    names = ["conflicts", "asked_items", "note", "removed_since", "remote_state"]
    key = ["entity_type", "entity_id", "system"]
    SyncMetadata.objects.bulk_create(ledgers, update_conflicts=True, unique_fields=key, update_fields=names)
    # What went is counted already, and what didn't is decided anew.
    held = [deleted for deleted in deleted_records if deleted.outcome is Outcome.SETTLED]
    ApprovalRequest.objects.bulk_create(_new_requests(batch.link, held))
    current_store().save_reports([report for deleted in deleted_records for report in _deletion_reports(deleted)])
    settled = [_as_record_sync(deleted) for deleted in deleted_records]
    Decision.objects.bulk_create(fold_alike(history_rows(batch, settled)))
    end_intents(settled, [record_sync for record_sync in settled if record_sync.outcome is Outcome.SETTLED])
    end_jobs(batch, [*deleted_records, *batch.unknown_jobs])
    enqueue_paused(batch.entity_type, settled)


def _set_tombstone(tombstone: Tombstone, plan: DeletedPlan, now: datetime) -> None:
    if plan.new_state is not None:
        tombstone.state = plan.new_state
        tombstone.settled_at = None if plan.new_state in OPEN_TOMBSTONE_STATES else now
    tombstone.note = plan.reason or tombstone.note
    tombstone.reason_code = plan.reason_code or tombstone.reason_code


def _free_item(facts: DeletedFacts, plan: DeletedPlan) -> None:
    """An item that is unlinked makes no record; one that is another's by now is as any that no record has."""
    kind, item_id = facts.tombstone.entity_type, facts.tombstone.monday_id
    if plan.new_state == TombstoneState.UNLINKED and item_id:
        why = f"Its record “{facts.record}” was deleted in NPD, and the item was unlinked."
        ignore_item(kind, item_id, facts.id, why)
    if plan.frees_item and item_id:
        wait = UNMATCHED_ITEM_WAIT_SECONDS
        enqueue_item(kind, item_id, cause=Cause.DEPENDENCY, priority=Priority.EDIT, due_in_seconds=wait)


def ledger_after(facts: DeletedFacts, plan: DeletedPlan) -> SyncMetadata | None:
    """Return what the sync state says after the pass, where that is worth a row."""
    is_stored, tombstone = facts.ledger.pk is not None, facts.tombstone
    conflicts = {"delete": [edit.key for edit in plan.edits] or [RECORD_KEY]} if plan.question else {}
    if plan.new_state == TombstoneState.RESTORED or not (is_stored or conflicts or plan.removed_since):
        return None
    return SyncMetadata(
        entity_type=tombstone.entity_type,
        entity_id=str(tombstone.entity_id),
        system="monday",
        conflicts=conflicts,
        asked_items=[],
        note=plan.reason,
        removed_since=plan.removed_since,
        remote_state=plan.remote_state if conflicts or not is_stored else "",
    )


def _restored(batch: Batch, facts: DeletedFacts, plan: DeletedPlan, tombstone: Tombstone) -> DeletedPlan:
    """Store the record again as a person chose; a person is asked anew where NPD can't take it back."""
    item_id = NEW_ITEM
    detail = (
        "Restored as a person chose, as it was when it was deleted: its item has left the board meanwhile, so "
        "it gets a new one. What was edited there is in the conflict."
    )
    if facts.item is not None and facts.item.state == ACTIVE:
        item_id, detail = facts.item.id, "Restored with what was edited on Monday, as a person chose."
    try:
        restore_record(tombstone, item_id=item_id, sentence=detail)
    except RestoreError as error:
        return ask_about_deletion(facts, plan, DeletedRecordPolicy(batch.link.deleted_record_policy), str(error))
    history = (*plan.history, HistoryLine("restored", detail))
    return replace(plan, new_state=TombstoneState.RESTORED, reason=detail, carried_out=detail, history=history)


def _deletion_reports(deleted: DeletedRecord) -> Iterator[ConflictReport]:
    facts, plan = deleted.facts, deleted.plan
    if plan.question is not None:
        yield plan.question
    for conflict in facts.conflicts if deleted.outcome is Outcome.SETTLED else ():
        if conflict.kind != KIND_DELETE:
            why = "The record was deleted in NPD."
            yield _report(facts, conflict.kind, conflict.monday_item_id, closing_reason=why)
        elif plan.question is None:
            applied = {RECORD_KEY: plan.carried_out} if plan.carried_out else {}
            yield _report(facts, KIND_DELETE, conflict.monday_item_id, applied=applied, closing_reason=plan.reason)


# The pass's blackboard: what a batch still holds of deleted records.


def prepare_deleted(batch: Batch) -> None:
    """Load the pass's deleted records, and end those for which Monday needn't be asked."""
    if not batch.deleted_claims:
        return
    known = gather_deleted(batch.board, batch.deleted_claims)
    for facts in known:
        deleted = DeletedRecord(facts.claim, facts, _unchanged(facts))
        if (plan := decide_unread(batch.board, facts)) is not None:
            deleted.follow(plan)
        batch.deleted_records.append(deleted)
    remembered = {facts.id for facts in known}
    for claim in batch.deleted_claims:
        if claim.entity_id not in remembered:
            unknown = WorkUnit(claim)
            unknown.end(Outcome.SETTLED, "There is no such record, and none is remembered.")
            batch.unknown_jobs.append(unknown)


def plan_deleted(batch: Batch, found: BatchItems) -> None:
    """Decide every open deleted record by its item; what is to be sent is sent with all else."""
    units, board = batch.open_deleted, batch.board
    if not units:
        return
    linked_now = {record_sync.link_to for record_sync in batch.record_syncs if record_sync.link_to}
    shown = [replace(unit.facts, item=found.linked.get(str(unit.tombstone.monday_id))) for unit in units]
    npd_ids = {facts.id: npd_id for facts in shown if (npd_id := wanted_bearer(board, facts)) is not None}
    edited = {facts.id: facts for facts in gather_editors(board, [f for f in shown if wants_editors(board, f)])}
    known = [edited.get(facts.id, facts) for facts in gather_bearers(board, shown, npd_ids)]
    policy, _ = current_deletion_policy(batch.link)
    settings, now = load_settings(), batch.read_at or sync_now()
    plans = [decide_deleted(board, facts, policy, settings, now, linked_now) for facts in known]
    planned = [(f, wait_if_paused(plan, batch.pauses)) for f, plan in zip(known, plans, strict=True)]
    changes = [removal_change(facts) for facts, plan in planned if wants_approval(facts, plan)]
    plans = approve_removals(planned, approval_facts(batch.link, ApprovalKind.ITEMS, changes))
    for unit, facts, plan in zip(units, known, plans, strict=True):
        unit.facts = facts
        unit.follow(plan)


def _as_record_sync(deleted: DeletedRecord) -> RecordSync:
    """As whoever stores histories, intents and paused jobs takes it."""
    facts, plan = deleted.facts, deleted.plan
    record_sync = RecordSync(deleted.claim, facts.record, facts.ledger, list(facts.intents), item=facts.item)
    record_sync.outcome, record_sync.intent = deleted.outcome, deleted.intent
    record_sync.written_item = deleted.written_item
    record_sync.confirmed_intents = dict.fromkeys(plan.confirmed_intents, record_sync.item_id)
    record_sync.paused_directions = set(plan.ending.paused)
    record_sync.log_lines(plan.history)
    return record_sync
