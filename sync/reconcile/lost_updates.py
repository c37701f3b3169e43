"""Find lost updates, edits on Monday that neither side has any more, for a question or a line of the history.

Between a pass's read and its write somebody may change the same cell, and Monday has no conditional write. So it is
found out later: our write's event has a previous value that we had not read, or another person's event has a value
that no pass read. The values are suspected until a pass has read both sides. Other updates are lost with their item, or
because reads never show them.

Implements, of docs/reference/merge:

- W22 to W25 in after-a-write.md: an overwritten edit is asked about, or only kept in the history where a person's
  answer would change nothing
- W7 there: an answer that equals an event that isn't ours is that person's edit, not Monday's form of what we sent
- L10 in reads-that-lag.md, E13 in empty-cells.md: what was never read
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sync import choices, merge
from sync.choices import ActivityKind
from sync.fields import field_bases, field_values
from sync.fields.field_bases import SeenValue
from sync.fields.field_values import BoardContext
from sync.kernel.acts import DELETE_RECORD
from sync.models import ActivityLine, FieldMapping, IntentState, WebhookEvent
from sync.models.records_and_items import SWALLOWED
from sync.monday import conversion
from sync.monday.lag import ECHO_WINDOW, LONGEST_LAG
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.board_filter import linked_item_verdict
from sync.reconcile.cell_history import CellHistory, OwnWrite
from sync.reconcile.change_events import ChangeEvent, may_be_same, texts_in
from sync.reconcile.facts import PassFacts
from sync.reconcile.read_lag import unshown_reports
from sync.records.authors import monday_user_name
from sync.words.message import Message, sentences

MAX_ENTRIES = 10  # of each kind of row that the sync state's `seen` has of a field

# The actions of fields of which nothing is written on either side, or that could not be read.
_UNINFORMATIVE = (merge.Action.NOTHING, merge.Action.UNDECIDED)


def find_lost_updates(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Note the values that our writes overwrote, whatever became of their records, because events come late. A rule."""
    for entity_plan in (*plan.records.values(), *plan.deleted.values()):
        if entity_plan.history.unchecked_events:
            plan.event_faults += note_lost_updates(facts.board, entity_plan)
    for deleted_plan in plan.deleted.values():
        # Fields of deleted records aren't merged, so their bases stay.
        deleted_plan.sync_state.base = deleted_plan.facts.sync_state.base
        deleted_plan.sync_state.altered = deleted_plan.facts.sync_state.altered


def note_lost_updates(board: BoardContext, plan: pass_plan.EntityPlan) -> list[tuple[UUID, Exception]]:
    """Note values that our writes overwrote, and correct bases whose Monday half was somebody's edit.

    All events of the last day count, also those that earlier passes checked, but only new ones raise a question.
    Return our errors, with the record: events only add questions, so they must not keep it from syncing.
    """
    item_id = plan.record.monday_id or ""
    base = dict(plan.sync_state.base)
    altered = dict(plan.sync_state.altered)
    landed_writes = set[UUID]()
    faults = list[tuple[UUID, Exception]]()
    plan.lost_updates = []
    for mapping in board.mappings:
        key = mapping.key
        try:
            cell = plan.cell(board, mapping)
            if not any(change.is_new for change in cell.changes):
                continue
            history = _Overwriting(plan, plan.compared(board, mapping).base, cell)
            plan.lost_updates += history.lost_updates()
            if history.is_answer_an_edit:
                # Monday didn't change the sent value.
                base[key] = {**base[key], field_bases.AS_SENT: True}
                altered.pop(key, None)
            if write := history.landed_write:
                landed_writes.add(UUID(write.id))
                # A united list is no base before NPD has it too.
                if write.item_id == item_id and not write.entry.get("united"):
                    # What Monday answered isn't known. So its half is the value before the write, and AS_SENT makes the
                    # sent value count instead.
                    base[key] = field_bases.new_base(mapping, item_id, write.entry["local"], write.entry["read"])
                    base[key][field_bases.AS_SENT] = True
        except Exception as error:
            faults.append((plan.id, error))
    plan.sync_state.base = base
    plan.sync_state.altered = altered
    plan.landed = frozenset(landed_writes)
    return faults


class _Overwriting:
    """The events of one field beside our writes of it, to tell which edits our writes overwrote.

    An event is ours if it names no other user, and a write of ours sent its value at that time (one of its `makers`).
    If it replaced something that its write had not read, it is ours only if no other event shows that write: one with
    its value, and with what it had read as the replaced value. All other events are `foreign`: not shown to be ours.

    For example, we read A, Ann writes B on Monday, and we send C. Her edit is lost, and that shows in one of two ways:

    1. Our own event says that it replaced B, though we had read A (`_lost_by_our_event`).
    2. Our event is missing, or doesn't say what it replaced. But Ann's event is newer than our read, and no pass has
       read B (`_lost_by_their_event`). If its value can't be read, only the history can have it.
    """

    def __init__(self, plan: pass_plan.EntityPlan, base: dict[str, Any] | None, cell: CellHistory) -> None:
        self.plan = plan
        self.mapping = cell.mapping
        self.converter = cell.converter
        self.base = base
        self.changes = [event for event in cell.changes if event.is_known]  # oldest first, like `writes`
        self.unread = [event for event in cell.changes if not event.is_known]
        self.writes = cell.writes
        self.reads = cell.reads
        self.makers: dict[ChangeEvent, list[OwnWrite]] = {}  # our writes that may have made the event
        for event in self.changes:
            writes = self.writes if plan.history.may_be_ours(event) else []
            self.makers[event] = [write for write in writes if write.may_have_made(event)]
        # The values of our events, each with the value that it replaced.
        self.our_replacements = {
            (event.value, event.previous) for event, makers in self.makers.items() if makers and event.has_previous
        }
        self.foreign = [event for event in self.changes if not self._is_own(event)]

    def _is_own(self, event: ChangeEvent) -> bool:
        """Whether a write of ours made the event."""
        if not event.has_previous or self._replaced_what_was_read(event):
            return bool(self.makers[event])
        # Our write went over an edit. But if Monday answered what the event says, instead of what we sent, somebody has
        # replaced that before the answer.
        is_edit_in_answer = any(
            write.answer != write.sent and event.value == write.answer and event.previous == write.sent
            for write in self.writes
        )
        return bool(self._makers_not_shown_elsewhere(event)) and not is_edit_in_answer

    def _replaced_what_was_read(self, event: ChangeEvent) -> bool:
        return any(event.previous == write.read for write in self.makers[event])

    def _makers_not_shown_elsewhere(self, event: ChangeEvent) -> list[OwnWrite]:
        """Return its makers of which no event shows that they replaced the value that they had read."""
        return [
            write
            for write in self.makers[event]
            if self.our_replacements.isdisjoint({(write.sent, write.read), (write.answer, write.read)})
        ]

    def lost_updates(self) -> list[pass_plan.LostUpdate]:
        """Return the lost values that are not reported yet, each once."""
        losses = self.plan.sync_state.seen.get(self.mapping.key, {}).get("losses", ())
        reported = [(value, write_id) for value, _, write_id in losses]
        lost_updates: dict[merge.Canonical, pass_plan.LostUpdate] = {}
        for lost_update in (*self._lost_by_our_event(), *self._lost_by_their_event()):
            value = _as_json(lost_update.value)
            if not any((value, write_id) in reported for write_id in lost_update.writes):
                lost_updates.setdefault(lost_update.value, lost_update)
        return list(lost_updates.values())

    @property
    def is_answer_an_edit(self) -> bool:
        """Whether the value in Monday's answer was somebody's edit, and not Monday's form of the sent value."""
        altered = self.plan.sync_state.altered.get(self.mapping.key)
        if self.base is None or altered is None or SWALLOWED in altered:
            return False
        answered = field_bases.side_of(self.converter.canonical_remote, self.base["remote"])
        return any(event.is_new and event.value == answered for event in self.foreign)

    @property
    def landed_write(self) -> OwnWrite | None:
        """The newest write that took effect after all, because an event shows that somebody replaced its value.

        Only writes since the last one known to have taken effect count: open ones, and those taken to have had none.
        """
        for write in reversed(self.writes):
            if write.took_effect:
                return None
            if any(event.is_new and write.is_replaced_by(event) for event in self.foreign):
                return write
        return None

    def _lost_by_our_event(self) -> Iterator[pass_plan.LostUpdate]:
        """Yield values that our write's own event shows as replaced, though we had not read them."""
        for event in self.changes:
            if not (event.is_new and event.has_previous) or event in self.foreign:
                continue
            writes = self._makers_not_shown_elsewhere(event)
            if self._replaced_what_was_read(event) or not writes or self._was_only_ours(event.previous, writes):
                continue
            edit = next((edit for edit in reversed(self.foreign) if edit.value == event.previous), None)
            if edit is None and event.previous is None:
                continue  # an item loses cells on another board; who empties one is reported, if only later by the log
            user_id = edit.user_id if edit else ""
            at = edit.at if edit else event.at
            write_ids = tuple(write.id for write in writes)
            yield pass_plan.LostUpdate(self.mapping.key, event.previous, user_id, at, write_ids)

    def _was_only_ours(self, value: merge.Canonical, writes: Sequence[OwnWrite]) -> bool:
        """Whether what these writes replaced, without having read it, was a value that another write of ours sent."""
        if any(event.value == value and not makers for event, makers in self.makers.items()):
            return False
        # If both read the same value, the other write had not landed yet when this one's pass read.
        return any(
            other.may_land_late or any(other.read == write.read and other.id != write.id for write in writes)
            for other in self.writes
            if other.wrote(value)
        )

    def _lost_by_their_event(self) -> Iterator[pass_plan.LostUpdate]:
        """Yield somebody's values, newer than our pass's read, that no pass read and nobody else replaced."""
        for event in (*self.foreign, *self.unread):
            if event.is_known:
                # A write without effect counts only if the event may be ours.
                is_ours = any(
                    write.wrote(event.value) and (write.may_have_taken_effect or self.makers[event])
                    for write in self.writes
                )
            else:
                is_ours = self.plan.history.may_be_ours(event) and any(
                    may_be_same(event.payload, write.entry["local"]) for write in self.writes
                )
            if not event.is_new or is_ours or self._was_read(event):
                continue
            write = self._overwriting_write(event)
            has_value = event.is_known or any(texts_in(event.payload))
            if has_value and write is not None and not self._is_replaced_by_other(event, write):
                yield pass_plan.LostUpdate(
                    self.mapping.key,
                    event.value if event.is_known else ", ".join(texts_in(event.payload)),
                    event.user_id,
                    event.at,
                    writes=(write.id,),
                    is_outcome_open=write.state == IntentState.OPEN,
                    sent=write.sent,
                    payload=event.payload,
                    is_known=event.is_known,
                )

    def _was_read(self, event: ChangeEvent) -> bool:
        """Whether a pass read this value at that time or later; clocks may differ by seconds."""
        since = event.at - merge.CLOCK_TOLERANCE
        reads = [write for write in self.writes if write.intended_at >= since and not write.is_refill]
        if any(event.matches(write.read, write.entry["read"]) for write in reads):
            return True
        return any(event.matches(read.value, read.raw) for read in self.reads if read.at >= since)

    def _overwriting_write(self, event: ChangeEvent) -> OwnWrite | None:
        """Return the first of our writes after the event, unless its own event shows what it replaced.

        A write whose pass read long after the event didn't overwrite it: somebody else had replaced the value.
        """
        # An edit that replaced our write came after it, but not after later ones; any edit comes after its item.
        replaced = next((write for write in self.writes if write.is_replaced_by(event)), None)
        later = [write for write in self.writes if not write.is_create and write is not replaced]
        effective = [write for write in later if write.may_have_taken_effect]
        after = [write for write in effective if write.until > event.at]
        # Monday's clock and ours may differ by seconds: if none ended after the event, the last just before it counts.
        just_before = [write for write in effective if event.at - merge.CLOCK_TOLERANCE < write.until <= event.at]
        if not (after or just_before):
            return None
        first = after[0] if after else just_before[-1]
        if event.at < first.read_at - LONGEST_LAG:
            return None
        since = first.intended_at - ECHO_WINDOW
        is_explained = any(
            change.has_previous and change.at >= since and first.wrote(change.value) and change not in self.foreign
            for change in self.changes
            if event.value is not None or change.previous is not None
        )
        return None if is_explained and not first.is_refill else first

    def _is_replaced_by_other(self, event: ChangeEvent, write: OwnWrite) -> bool:
        """Whether another edit replaced the event's value before our write."""
        for other in self.foreign:
            if other.at < event.at or (event.is_known and other.value == event.value):
                continue
            if event.is_known and other.has_previous and other.previous == event.value:
                return True
            # An edit that replaced our write came after it.
            is_after_write = other.has_previous and write.wrote(other.previous)
            if not is_after_write and other.at < write.until + merge.CLOCK_TOLERANCE:
                return True
        return False


def keep_lost_updates(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Keep the edits that neither side has, for the history and the conflict, by what is sent in the end. A rule.

    A deleted record that is being restored keeps none, because the restored record's own next pass does.
    """
    for deleted_plan in plan.deleted.values():
        if not deleted_plan.restores:
            confirm_lost_updates(facts.board, deleted_plan)
    for record_plan in plan.records.values():
        if record_plan.lost_updates and record_plan.outcome in (outcomes.Outcome.OPEN, outcomes.Outcome.DONE):
            item = record_plan.item
            # The filter leaves the pair out after this pass, and nobody is asked about such a pair.
            is_leaving = item is not None and linked_item_verdict(facts, record_plan, item).holds is False
            mappings = () if is_leaving else facts.board.mappings
            askable = {mapping.key for mapping in mappings if _may_ask(record_plan, mapping)}
            confirm_lost_updates(facts.board, record_plan, askable)
        if record_plan.is_open and record_plan.history.unchecked_events:
            _keep_unshown_edits(facts, record_plan)
            keep_dropped_edits(facts.board, record_plan)


def confirm_lost_updates(board: BoardContext, plan: pass_plan.EntityPlan, askable: Collection[str] = ()) -> None:
    """Keep the suspected values that neither side has, each with its line for the history, the newest first.

    A person is asked about the newest lost value of a field in this pass, if it is `askable`; others only go to the
    history. If the field is asked about already, its conflict takes the newer value, and the history keeps the
    one before (`overwritten_again` in conflicts/lifecycle.py).
    """
    kept: list[pass_plan.LostUpdate] = []
    asked_keys = set[str]()
    for lost_update in sorted(plan.lost_updates, key=lambda lost_update: lost_update.at, reverse=True):
        mapping = board.mapping_by_key[lost_update.key]
        if not _is_lost(board, plan, mapping, lost_update):
            continue
        key = mapping.key
        lost_update.is_asked = lost_update.is_known and key in askable and key not in asked_keys
        if lost_update.is_asked:
            asked_keys.add(key)
        lost_update.line = _line_of_edit(board, plan, lost_update, "edit_overwritten", is_asked=lost_update.is_asked)
        kept.append(lost_update)
    plan.lost_updates = kept


def _keep_unshown_edits(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Keep in the history what Monday reported and never showed, where NPD's value is sent over it."""
    if all(field_plan.send_raw is None for field_plan in plan.fields.values()):
        return
    for key, event in unshown_reports(facts.board, plan).items():
        field_plan = plan.fields.get(key)
        if field_plan is None or field_plan.send_raw is None or isinstance(event, OwnWrite) or not event.is_new:
            continue
        converter = field_plan.converter
        sent = field_bases.side_of(converter.canonical_local, field_plan.send_raw)
        sent_raw = converter.to_remote(field_plan.send_raw, field_plan.remote_raw)
        is_sent = event.value == sent if event.is_known else may_be_same(event.payload, sent_raw)
        if not is_sent:
            plan.add_lines(_line_of_edit(facts.board, plan, event, "edit_unshown"))


def keep_dropped_edits(board: BoardContext, plan: pass_plan.EntityPlan) -> None:
    """Keep in the history what somebody wrote into a cell that was lost before it was read.

    The item lost it on another board, or isn't shown any more. What neither side has, and no write of ours sent; but
    not what is still to be read again.
    """
    item = plan.item
    is_elsewhere = item is not None and item.board_id not in (None, board.link.board_id)
    for mapping in board.mapped if plan.history.unchecked_events else ():
        cell = plan.cell(board, mapping)
        change = cell.newest_change
        if change is None or not (change.is_new and change.is_known) or change.value is None:
            continue
        if mapping.key in plan.doubts.set_aside:
            continue
        field = plan.compared(board, mapping)
        # Another board has other columns.
        is_lost = item is None or field.remote is None or (is_elsewhere and isinstance(field.remote, merge.Unknown))
        ours = [field.local, *(write.sent for write in cell.writes)]
        if is_lost and change.value not in ours:
            plan.add_lines(_line_of_edit(board, plan, change, "edit_dropped" if item else "edit_not_shown"))


def _is_lost(
    board: BoardContext, plan: pass_plan.EntityPlan, mapping: FieldMapping, lost_update: pass_plan.LostUpdate
) -> bool:
    """Whether neither side has the value; if the write's outcome is open, only if Monday shows what it sent."""
    field = plan.compared(board, mapping)
    if lost_update.is_outcome_open and field.remote != lost_update.sent:
        return False
    if not lost_update.is_known:
        return not any(may_be_same(lost_update.payload, raw) for raw in (field.local_raw, field.remote_raw))
    return lost_update.value not in (field.local, field.remote)


def _may_ask(plan: pass_plan.RecordPlan, mapping: FieldMapping) -> bool:
    """Whether a person is asked about a lost value of this field, instead of only the history having it."""
    is_deleting = plan.act == DELETE_RECORD
    is_synced_on = plan.takes_part and not (plan.unlink_reason or is_deleting)
    is_bidirectional = plan.direction_of(mapping) is choices.SyncDirection.BIDIRECTIONAL
    return is_synced_on and is_bidirectional and mapping.rule != choices.Rule.NPD_WINS


def will_ask(board: BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether events show a lost value about which a person will be asked."""
    suspected = [(board.mapping_by_key[lost_update.key], lost_update) for lost_update in plan.lost_updates]
    return any(
        update.is_known and _may_ask(plan, mapping) and _is_lost(board, plan, mapping, update)
        for mapping, update in suspected
    )


def seen_after(
    plan: pass_plan.RecordPlan, settings: field_values.PassSettings, read_at: datetime
) -> dict[str, dict[str, list[Any]]]:
    """Return the sync state's `seen` with the values that this pass replaced or took over, and with lost values.

    It holds no values of an item that this pass creates, and no entries older than the journal.
    """
    now = read_at.isoformat()
    seen = defaultdict(lambda: {"values": [], "losses": []}, deepcopy(plan.sync_state.seen))
    for key, field_plan in ({} if plan.creates else plan.fields).items():
        if field_plan.decision.action not in _UNINFORMATIVE and key not in plan.doubts.dropped_cells:
            values = seen[key]["values"]
            # Only the time of the newest value changes if it is the same.
            if values and SeenValue(*values[-1]).value == field_plan.remote_raw:
                values.pop()
            values.append([field_plan.remote_raw, now])
    # A pass that isn't settled reports no lost values, so the next one checks the same events again.
    for lost_update in plan.lost_updates if plan.is_done else ():
        losses = [[_as_json(lost_update.value), now, write_id] for write_id in lost_update.writes]
        seen[lost_update.key]["losses"] += losses
    oldest = read_at - timedelta(days=settings.journal_days)
    for kinds in seen.values():
        for kind, rows in kinds.items():
            # Limited for each kind, so that new values don't displace reports.
            kinds[kind] = [row for row in rows if datetime.fromisoformat(row[1]) >= oldest][-MAX_ENTRIES:]
    return {key: kinds for key, kinds in seen.items() if any(kinds.values())}


def _as_json(value: merge.Canonical) -> Any:
    return list(value) if isinstance(value, tuple) else value


# --- the lines of the history -----------------------------------------------------------------------------------------


def _line_of_edit(
    board: BoardContext,
    plan: pass_plan.EntityPlan,
    edit: pass_plan.LostUpdate | ChangeEvent,
    code: str,
    *,
    is_asked: bool = False,
) -> ActivityLine:
    """Return the line about an edit that our value went over, or that its item lost; `code` says how.

    It can be restored from there, unless it is an event whose value can't be read.
    """
    mapping = board.mapping_by_key[edit.key]
    field = plan.compared(board, mapping)
    converter = field.converter
    local_raw = field.local_raw
    field_plan = plan.fields.get(mapping.key)
    if field_plan is not None and field_plan.pull_raw is not None and not field_plan.blocked_code:
        # This pass takes over an edit that somebody made after our write.
        local_raw = dict(field_plan.pull_raw)
    unread = [] if edit.is_known else texts_in(edit.payload)
    lost_value = ", ".join(unread) or converter.display(edit.value)

    def restore() -> Mapping[str, Any]:
        if unread:
            raise conversion.UnknownValue(conversion.EVENT_UNREADABLE)
        if isinstance(converter, conversion.ListConverter):
            return converter.with_elements(list(edit.value or ()), local_raw)
        return converter.from_text(lost_value, local_raw)

    values = _restorable_values(converter, lost_value, local_raw, restore)
    sent = f"“{values['after']}”" if values["after"] else Message("empty_value")
    line = _line(board, mapping, edit.user_id, values, code, sent=sent)
    if is_asked or edit.is_known:
        line.sentence = sentences(line.sentence, Message("choose_the_right_one" if is_asked else "can_restore"))
    return line


def edits_removed_with_item(
    board: BoardContext, plan: pass_plan.EntityPlan, keys: Collection[str], events: Iterable[WebhookEvent], why: str
) -> dict[str, ActivityLine]:
    """Return the lines about edits of these fields that were removed with the item, by the field's label.

    `events` tell who made them; `why` is the rest of the sentence. A value that can't be read has no line.
    """
    lines = {}
    for mapping in board.mappings:
        if plan.item is None or mapping.key not in keys:
            continue
        field = plan.compared(board, mapping)
        if isinstance(field.remote, merge.Unknown):
            continue
        lost_value = field.converter.display(field.remote)
        restore = partial(field.converter.to_local, field.remote_raw, field.local_raw)
        values = _restorable_values(field.converter, lost_value, field.local_raw, restore)
        changes = plan.cell(board, mapping, events).changes
        edits = [change for change in changes if change.is_known and change.value == field.remote]
        user_id = next((edit.user_id for edit in reversed(edits) if edit.user_id), "")
        lines[mapping.label] = _line(board, mapping, user_id, values, "edit_removed", why=why)
    return lines


def _restorable_values(
    converter: conversion.Converter, lost: str, local_raw: dict[str, Any], restore: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the values of a line: `before` is the lost one, to be restored from there, `after` the one NPD has now."""
    values: dict[str, Any] = {"before": lost, "after": field_values.display_local(converter, local_raw)}
    # Without raw values if they aren't known, so that it can't be restored from there.
    with suppress(conversion.AmbiguousSplit, conversion.UnknownValue, ValueError):
        values |= {"raw_before": dict(restore()), "raw_after": local_raw}
    return values


def _line(
    board: BoardContext, mapping: FieldMapping, user_id: str, values: dict[str, Any], code: str, **words: str
) -> ActivityLine:
    editor = monday_user_name(user_id, board.settings.people) if user_id else Message("somebody")
    lost = values["before"]
    edit = Message("edit_wrote" if lost else "edit_emptied", value=lost, label=mapping.label)
    sentence = Message(code, editor=editor, edit=edit, **words)
    return ActivityLine(kind=ActivityKind.OVERWRITTEN, sentence=sentence, key=mapping.key, values=values)
