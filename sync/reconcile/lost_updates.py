"""Whether change events show that a write of ours covered somebody's edit, and what that person is told.

Decides of docs/reference/merge.md, of “After a write”: *lost update*, and that an answer which equals an event that
isn't ours is someone's edit; of “Conflicts”: how long *overwritten* keeps its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from conflicts.reports import KIND_FIELDS, KIND_LOST_UPDATE, ConflictReport, FieldConflict
from sync.merge import CLOCK_TOLERANCE, Action, Canonical, FieldDirection, Rule
from sync.models import FieldMapping, Intent, IntentState, SyncedModel, SyncMetadata
from sync.monday.board_items import Item
from sync.monday.conversion import AmbiguousSplit, Converter, ListConverter, UnknownValue
from sync.reconcile.facts import STALE_READ_WINDOW, ChangeEvent, HistoryLine, RecordFacts, Settings, change_events
from sync.reconcile.field_plan import AS_SENT, UNREAD, base_of, cell_of, new_base, sides_of, way_of
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.pass_plan import (
    FieldPlan,
    LostUpdate,
    LostUpdateReport,
    LostUpdates,
    Outcome,
    PassFacts,
    Plan,
    RecordAction,
    RecordPlan,
)
from sync.reconcile.resolutions import inverse_of, is_column_replaced, reopened_lost_updates, undo_results
from sync.records.authors import monday_editor_name, monday_user_name

MAX_ENTRIES = 10

_UNINFORMATIVE = (Action.NOTHING, Action.UNDECIDED)
"""What is as the base says needs no entry; of what could not be read nothing is known."""

_REPORT_LENGTH = 3
"""An entry of so many parts says that a value was lost, and to which write."""


def last_observed(ledger: SyncMetadata, key: str) -> tuple[Any] | None:
    """The raw value, of an empty cell None, that a pass read last where it was more than the base said.

    None without a value where no pass did of late.
    """
    return next(((raw,) for raw, _, *report in reversed(ledger.seen.get(key, [])) if not report), None)


def observed(
    ledger: SyncMetadata,
    plans: Mapping[str, FieldPlan],
    lost_updates: Iterable[LostUpdate],
    at: datetime,
    oldest: datetime,
) -> dict[str, list[Any]]:
    """Return the sync state's `seen` with what a pass read, where it was more than the base said, and found lost.

    Of an item that this pass creates nothing was read: `plans` is empty then. What is older than `oldest` is dropped.
    """
    found = {key: list(entries) for key, entries in ledger.seen.items()}
    for key, field_plan in plans.items():
        if field_plan.decision.action not in _UNINFORMATIVE:
            entries, entry = found.setdefault(key, []), [field_plan.remote_raw, at.isoformat()]
            # The newest entry moves on where it is the same value; else the value joins.
            if entries and len(entries[-1]) < _REPORT_LENGTH and entries[-1][0] == entry[0]:
                entries[-1] = entry
            else:
                entries.append(entry)
    for lost_update in lost_updates:
        value = list(lost_update.value) if isinstance(lost_update.value, tuple) else lost_update.value
        reports = [[value, at.isoformat(), write] for write in lost_update.writes]
        found.setdefault(lost_update.key, []).extend(reports)
    kept = {}
    for key, entries in found.items():
        recent = [entry for entry in entries if datetime.fromisoformat(entry[1]) >= oldest]
        # The newest of each sort: what was seen since must not crowd out what was reported.
        reports = [entry for entry in recent if len(entry) == _REPORT_LENGTH][-MAX_ENTRIES:]
        if newest := [*reports, *[entry for entry in recent if len(entry) < _REPORT_LENGTH][-MAX_ENTRIES:]]:
            kept[key] = newest
    return kept


# Detection: whether events show that a write of ours went over somebody's edit, before they pass as echoes.
#
# Between a pass's read and its write somebody may change the same cell. Monday has no write that says "only if it still
# holds …", so this is found out afterwards: by our own write's event, whose previous value we had not read; or by the
# other person's event, of a value that no pass of ours saw.


@dataclass(frozen=True)
class FieldWrite:
    """What one intent of ours did to one field; `until` is the last moment at which it may have taken effect, `read_at`
    the first at which its pass may have read what it replaced.

    `is_unconfirmed` says that it had no answer; such a one may land late. `is_open`, that its outcome isn't known yet.
    """

    id: str
    intended_at: datetime
    until: datetime
    read_at: datetime
    read: Canonical
    sent: Canonical
    answer: Canonical
    is_unconfirmed: bool
    is_open: bool
    took_effect: bool

    def wrote(self, value: Canonical) -> bool:
        """Whether the cell held this value because of us."""
        return value in (self.sent, self.answer)

    def may_have_made(self, event: ChangeEvent) -> bool:
        """Whether the event can be this write's own: of its value, and of its time; an unsure one may land late."""
        in_time = self.is_unconfirmed or event.at <= self.until + STALE_READ_WINDOW
        return self.wrote(event.value) and in_time and event.at >= self.intended_at - STALE_READ_WINDOW


def wants_events(facts: RecordFacts, left_out: str) -> bool:
    """Whether what happened to the record has to be checked: something new was told, and it is synced."""
    return bool(facts.events) and not left_out and (facts.record.may_sync or facts.is_push_by_name)


def detect_lost_updates(board: BoardContext, facts: RecordFacts, now: datetime) -> LostUpdates:
    """Return which values our writes went over, and which answers were somebody's edit.

    All events of a record's last day count, also those that earlier passes checked; only new ones raise a question.
    """
    changes = change_events(board, facts.record, facts.history.events)
    found: list[LostUpdate] = []
    as_sent, faults, landed = list[str](), list[Exception](), dict[str, str]()
    for mapping in board.mappings:
        of_field = [change for change in changes if change.key == mapping.key]
        if not any(change.is_new for change in of_field):
            continue
        convert = board.converter(mapping, facts.record)
        try:
            writes = _field_writes(mapping, convert, facts.history.writes, now)
            history = _FieldHistory(facts, mapping, convert, of_field, writes)
            found += history.lost_updates()
            if history.is_answer_an_edit:
                as_sent.append(mapping.key)
            if write := history.landed_write:
                landed[mapping.key] = write.id
        # What events say only adds questions: an error of ours on them must not keep the record from syncing.
        except Exception as error:
            faults.append(error)
    return LostUpdates(tuple(found), tuple(as_sent), landed, faults=tuple(faults))


def _field_writes(
    mapping: FieldMapping, convert: Converter, intents: Iterable[Intent], now: datetime
) -> list[FieldWrite]:
    found = []
    for intent in intents:
        entry, answer, state = intent.values.get(mapping.key), intent.answer or {}, intent.state
        if not entry or not mapping.is_current(entry):
            continue
        with suppress(UnknownValue):
            sent = convert.local(entry["local"])
            write = FieldWrite(
                id=str(intent.pk),
                intended_at=intent.created_at,
                until=now if state == IntentState.OPEN else (intent.settled_at or intent.created_at),
                # Without the time of its read it is one of an earlier version.
                read_at=datetime.fromisoformat(entry["read_at"]) if "read_at" in entry else intent.created_at,
                read=convert.remote(entry["read"]),
                sent=sent,
                answer=convert.remote(answer[mapping.key]) if mapping.key in answer else sent,
                is_unconfirmed=state in (IntentState.OPEN, IntentState.CONFIRMED, IntentState.VOID),
                is_open=state == IntentState.OPEN,
                took_effect=state in (IntentState.OPEN, IntentState.APPLIED, IntentState.CONFIRMED),
            )
            found.append(write)
    return found


def _replaces(event: ChangeEvent, write: FieldWrite) -> bool:
    """Whether the event tells that it replaced what this write sent; clocks may differ by a few seconds."""
    is_later = event.at >= write.intended_at - CLOCK_TOLERANCE
    return is_later and event.has_previous and event.previous == write.sent != write.read


@dataclass(frozen=True)
class _FieldHistory:
    """The events of one field against our writes of it."""

    facts: RecordFacts
    mapping: FieldMapping
    convert: Converter
    changes: Sequence[ChangeEvent]
    writes: Sequence[FieldWrite]

    @cached_property
    def foreign(self) -> list[ChangeEvent]:
        return [event for event in self.changes if not self._is_own(event)]

    def lost_updates(self) -> list[LostUpdate]:
        """Return what was lost and not reported yet, each value once."""
        found: list[LostUpdate] = []
        for lost_update in [*self._overwritten_values(), *self._unobserved_values(), *self._misjudged_values()]:
            value = list(lost_update.value) if isinstance(lost_update.value, tuple) else lost_update.value
            of_value = [entry for entry in self.facts.ledger.seen.get(self.mapping.key, []) if entry[0] == value]
            # A pass has said already that one of these writes went over this value.
            is_reported = any(write in lost_update.writes for entry in of_value for write in entry[2:])
            if not is_reported and all(other.value != lost_update.value for other in found):
                found.append(lost_update)
        return found

    @property
    def is_answer_an_edit(self) -> bool:
        """Whether what Monday answered was no change of ours by Monday, but an edit: the pass is to take it as one."""
        ledger, item_id = self.facts.ledger, self.facts.record.monday_id or ""
        base = base_of(ledger, self.mapping, item_id)
        if base is None or self.mapping.key not in ledger.altered:
            return False
        try:
            answered = self.convert.remote(base["remote"])
        except UnknownValue:
            return False
        return any(event.is_new and event.value == answered for event in self.foreign)

    @property
    def landed_write(self) -> FieldWrite | None:
        """Our newest write, if nobody knew that it landed, and an event tells that somebody has replaced its value."""
        for write in reversed(self.writes):
            if write.took_effect and not write.is_open:
                return None
            if any(event.is_new and _replaces(event, write) for event in self.foreign):
                return write
        return None

    def _may_be_own(self, event: ChangeEvent) -> bool:
        """By its user, its value and its time; an event that names another user is never ours."""
        user = self.facts.history.token_user
        same_user = not user or event.user_id in ("", user)
        return same_user and any(write.may_have_made(event) for write in self.writes)

    def _is_own(self, event: ChangeEvent) -> bool:
        """Ours for certain or for want of a better: not once each of our writes of the value has its own event."""
        if not self._may_be_own(event) or not event.has_previous:
            return self._may_be_own(event)
        if self._is_explained(event):
            return True
        # The answer's value, told as replacing what we had sent: somebody wrote it before we were answered.
        is_rewritten = any(w.answer == event.value != w.sent and event.previous == w.sent for w in self.writes)
        return bool(self._unexplained_writes(event)) and not is_rewritten

    def _is_explained(self, event: ChangeEvent) -> bool:
        return any(write.may_have_made(event) and event.previous == write.read for write in self.writes)

    def _unexplained_writes(self, event: ChangeEvent) -> list[FieldWrite]:
        """Our writes of the event's value that no other event shows to have replaced just what they read."""
        return [
            write
            for write in self.writes
            if write.may_have_made(event)
            and (write.sent, write.read) not in self._explained_values
            and (write.answer, write.read) not in self._explained_values
        ]

    @cached_property
    def _explained_values(self) -> set[tuple[Canonical, Canonical]]:
        """What our own events tell, as (value, previous value)."""
        return {(e.value, e.previous) for e in self.changes if e.has_previous and self._may_be_own(e)}

    def _overwritten_values(self) -> Iterator[LostUpdate]:
        """Our write's own event says that it replaced what we had not read."""
        for event in self.changes:
            if not (event.is_new and event.has_previous and self._is_own(event)) or self._is_explained(event):
                continue
            writes = self._unexplained_writes(event)
            if writes and not self._is_own_value(event.previous, writes):
                author = next((e for e in reversed(self.foreign) if e.value == event.previous), None)
                user, at = (author.user_id, author.at) if author else ("", event.at)
                yield LostUpdate(self.mapping.key, event.previous, user, at, tuple(write.id for write in writes))

    def _is_own_value(self, value: Canonical, writes: Sequence[FieldWrite]) -> bool:
        """The value replaced was a write of ours whose landing that pass could not see, and nobody else's."""
        if any(event.value == value and not self._may_be_own(event) for event in self.changes):
            return False
        before = [other for other in self.writes if other.wrote(value)]
        return any(
            other.is_unconfirmed or any(other.read == write.read and other.id != write.id for write in writes)
            for other in before
        )

    def _unobserved_values(self) -> Iterator[LostUpdate]:
        """Somebody's value, no older than our pass's read, that no pass saw and nobody else replaced."""
        for event in self.foreign:
            # A value that we wrote; of a write that did not take effect, only where nobody else is named.
            sent = any(w.wrote(event.value) and (w.took_effect or self._may_be_own(event)) for w in self.writes)
            if not event.is_new or sent or self._is_observed(event):
                continue
            write = self._overwriting_write(event)
            if write is not None and not self._is_replaced_by_other(event, write):
                lost = LostUpdate(self.mapping.key, event.value, event.user_id, event.at, (write.id,))
                yield replace(lost, is_unconfirmed=write.is_open, sent=write.sent)

    def _misjudged_values(self) -> Iterator[LostUpdate]:
        """Somebody's value that our next write took for the one before our last, which it thought to be void."""
        for event in self.foreign:
            next_write = next((w for w in self.writes if w.took_effect and w.intended_at > event.at), None)
            if not event.is_new or next_write is None or next_write.read != event.value:
                continue
            void = [write for write in self.writes if write.is_unconfirmed and not write.took_effect]
            if any(write.read == event.value and _replaces(event, write) for write in void):
                lost = LostUpdate(self.mapping.key, event.value, event.user_id, event.at, (next_write.id,))
                yield replace(lost, is_unconfirmed=next_write.is_open, sent=next_write.sent)

    def _is_observed(self, event: ChangeEvent) -> bool:
        """Whether a pass read this value then or later; clocks may differ by a few seconds."""
        if any(w.read == event.value and w.intended_at >= event.at - CLOCK_TOLERANCE for w in self.writes):
            return True
        for raw, at, *report in self.facts.ledger.seen.get(event.key, []):
            if not report and datetime.fromisoformat(at) >= event.at - CLOCK_TOLERANCE:
                with suppress(UnknownValue):
                    if self.convert.remote(raw) == event.value:
                        return True
        return False

    def _overwriting_write(self, event: ChangeEvent) -> FieldWrite | None:
        """The first of our writes after the event, unless its own event tells what it replaced.

        One whose pass read long after the event saw what stood then: somebody else had replaced the value.
        """
        done = [write for write in self.writes if write.took_effect]
        first = next((write for write in done if write.until > event.at), None)
        # Monday's clock and ours may differ by a few seconds.
        first = first or next((write for write in reversed(done) if write.until + CLOCK_TOLERANCE > event.at), None)
        if first is None or event.at < first.read_at - STALE_READ_WINDOW:
            return None
        since = first.intended_at - STALE_READ_WINDOW
        own = (e for e in self.changes if e.has_previous and first.wrote(e.value) and self._is_own(e) and e.at >= since)
        return None if any(own) else first

    def _is_replaced_by_other(self, event: ChangeEvent, write: FieldWrite) -> bool:
        """Whether another person's edit followed it before our write; one that replaced our write came after."""
        later = [o for o in self.foreign if o.value != event.value and o.at >= event.at]
        return any(
            other.previous == event.value
            if other.has_previous and (other.previous == event.value or write.wrote(other.previous))
            else other.at < write.until + CLOCK_TOLERANCE
            for other in later
        )


# Edits on Monday that a write of ours went over: asked about, kept in the history, taken back by choice.
#
# Detection finds them; here it is seen, with both sides read, which of them are really gone from both. npd_data of such
# a conflict is what stands on both sides, monday_data what was lost.


def report_lost_updates(
    board: BoardContext, plan: RecordPlan, people: Mapping[str, Any], *, asks: bool = True
) -> RecordPlan:
    """Keep of what detection suspected only what stands on neither side, and put it into words, the newest first.

    Of several lost values of one field the newest is asked about, the others go to the history; so do all of a record
    that is deleted, of which nobody `asks`.
    """
    mappings = {mapping.key: mapping for mapping in board.mappings}
    found = tuple(one for one in plan.lost.found if _is_lost(board, plan, mappings[one.key], one))
    reports: list[LostUpdateReport] = []
    for lost_update in sorted(found, key=lambda one: one.at, reverse=True):
        is_first = asks and not any(one.needs_answer and one.mapping.key == lost_update.key for one in reports)
        reports.append(_report(board, plan, mappings[lost_update.key], lost_update, people, is_first=is_first))
    return replace(plan, lost=replace(plan.lost, found=found, reports=tuple(reports)))


def _is_lost(board: BoardContext, plan: RecordPlan, mapping: FieldMapping, lost_update: LostUpdate) -> bool:
    """A write without an answer may not have gone over anything, unless Monday shows what it sent."""
    convert = board.converter(mapping, plan.record)
    remote = cell_of(convert, mapping, plan.item) if plan.item is not None else UNREAD
    sides = sides_of(convert, None, local=stored_values(plan.record, mapping), remote=remote)
    if lost_update.is_unconfirmed and sides.remote != lost_update.sent:
        return False
    return lost_update.value not in (sides.local, sides.remote)


def _may_ask(plan: RecordPlan, mapping: FieldMapping) -> bool:
    """Whether a value of this field that is lost is asked about, or goes to the history alone."""
    deletes = plan.removal is not None and plan.removal.act is RecordAction.DELETE
    is_synced_on = plan.may_sync and not (plan.leaving or plan.unlink or deletes)
    return is_synced_on and way_of(plan, mapping) is FieldDirection.BOTH and mapping.rule != Rule.NPD_WINS


def will_ask(board: BoardContext, plan: RecordPlan) -> bool:
    """Whether events show a value that is lost, and that a person is to be asked about."""
    mappings = {mapping.key: mapping for mapping in board.mappings}
    found = [(mappings[one.key], one) for one in plan.lost.found]
    return any(_may_ask(plan, mapping) and _is_lost(board, plan, mapping, one) for mapping, one in found)


def _report(
    board: BoardContext,
    plan: RecordPlan,
    mapping: FieldMapping,
    lost_update: LostUpdate,
    people: Mapping[str, Any],
    *,
    is_first: bool,
) -> LostUpdateReport:
    convert, field_plan = board.converter(mapping, plan.record), plan.plans.get(mapping.key)
    # What NPD holds once this pass is done: it may take over what somebody wrote after our write.
    taken = field_plan.write_raw if field_plan is not None and not field_plan.blocked_reason else None
    local_raw = dict(taken) if taken is not None else stored_values(plan.record, mapping)
    current_value, value, raws = "", lost_update.value, {}
    with suppress(UnknownValue):
        current_value = convert.display(convert.local(local_raw))
    # What NPD would hold had the value not been lost; nothing where that can't be told from its text.
    with suppress(AmbiguousSplit, UnknownValue, ValueError):
        if isinstance(convert, ListConverter):
            raw_lost = dict(convert.with_elements(list(value or ()), local_raw))
        else:
            raw_lost = dict(convert.from_text(convert.display(value), local_raw))
        raws = {"raw_before": raw_lost, "raw_after": local_raw}
    who = monday_editor_name(lost_update.user_id, people) if lost_update.user_id else "Somebody"
    return LostUpdateReport(
        mapping, convert.display(value), current_value, who, is_first and _may_ask(plan, mapping), raws
    )


def left_with_item(
    board: BoardContext,
    record: SyncedModel,
    mapping: FieldMapping,
    item: Item,
    changes: Iterable[ChangeEvent],
    people: Mapping[str, Any],
    why: str,
) -> HistoryLine | None:
    """Return the line about an edit with which an item is gone, `why` as the rest of its sentence; None where the value
    can't be told.
    """
    convert, local_raw = board.converter(mapping, record), stored_values(record, mapping)
    try:
        remote_raw = convert.stored_value(item.reading(mapping.column_id))
        value = convert.remote(remote_raw)
    except UnknownValue:
        return None
    lost_text, after = convert.display(value), ""
    raws: dict[str, Any] = {}
    with suppress(UnknownValue):
        after = convert.display(convert.local(local_raw))
    # What NPD would hold had the value been taken over, and what it held; nothing where that can't be told.
    with suppress(AmbiguousSplit, UnknownValue, ValueError):
        raws = {"raw_before": dict(convert.to_local(remote_raw, local_raw)), "raw_after": local_raw}
    users = [one.user_id for one in changes if (one.key, one.value) == (mapping.key, value) and one.user_id]
    who = monday_user_name(users[-1], people) if users else "Somebody"
    wrote = f"wrote “{lost_text}” into {mapping.label}" if lost_text else f"emptied {mapping.label}"
    values = {"before": lost_text, "after": after, "overridden": True, **raws}
    return HistoryLine("overridden", f"{who} {wrote} on Monday, and {why}", mapping.key, values=values)


# What becomes of a record's conflict about overwritten edits, and what its sync state says of it.


@dataclass(frozen=True)
class LostUpdateConflict:
    """The conflict about overwritten edits as a record's pass ends: what joins it, what was answered, what is open."""

    plan: RecordPlan

    @property
    def is_settled(self) -> bool:
        """Whether the pass came to an end, and the filter doesn't leave the record out."""
        return self.plan.is_settled and not self.plan.left_out

    @property
    def waiting(self) -> list[str]:
        return self.plan.facts.open_fields(KIND_LOST_UPDATE)

    @property
    def unmapped(self) -> list[str]:
        """The fields that wait and that no mapping carries any more: no pass can take a choice for them anywhere."""
        return [key for key in self.waiting if self.plan.plans and key not in self.plan.plans]

    @property
    def applied(self) -> dict[str, str | None]:
        """The choices that were carried out, also those that both sides turned out to agree on."""
        restored = {
            key: p.convert.display(p.convert.local(p.local_raw)) or None
            for key, p in self.plan.plans.items()
            if p.resolved_kind == KIND_LOST_UPDATE and p.decision.action is Action.AGREED and not p.blocked_reason
        }
        return {**self.plan.carried_out_of(KIND_LOST_UPDATE), **restored}

    @property
    def closing_reason(self) -> str:
        if self.plan.off_reason:
            return self.plan.off_reason
        if not (self.plan.record.monday_id or self.plan.link_to):
            return "The record has no item any more."
        all_unmapped = self.waiting and set(self.unmapped) == set(self.waiting)
        return "None of its fields is mapped to a column any more." if all_unmapped else ""

    @cached_property
    def replaced(self) -> list[FieldConflict]:
        """Monday's values of open conflicts that stood in a column which was replaced.

        What is agreed on without them, or in conflict with what the new column says, is on neither side any more: a
        person is asked about it still. Once: in a conflict that goes on Monday's value is the new column's by then.
        """
        found, facts = [], self.plan.facts
        for conflict in facts.conflicts if not self.closing_reason and self.is_settled else ():
            for key in conflict.fields if conflict.kind == KIND_FIELDS else ():
                p, lost = self.plan.plans.get(key), conflict.monday.get(key)
                if not lost or p is None or p.resolves or key in self.waiting or not is_column_replaced(facts, p):
                    continue
                is_decided = p.is_agreed or p.conflict is not None
                if is_decided and lost not in (p.stands, p.conflict.monday if p.conflict else None):
                    reason = f"{p.mapping.label} “{lost}” was in the column that was replaced."
                    found.append(FieldConflict(key, p.stands, None, lost, reason, is_replaced=True))
        return found

    @property
    def open_fields(self) -> list[str]:
        """The fields whose lost value waits for a person after this pass."""
        if self.closing_reason:
            return []
        if not self.is_settled:
            return list(dict.fromkeys(self.waiting))
        ended = {*self.applied, *self.unmapped}
        new = [report.mapping.key for report in self.plan.lost.reports if report.needs_answer]
        new += [one.key for one in self.replaced]
        return list(dict.fromkeys([*(key for key in self.waiting if key not in ended), *new]))

    @property
    def report(self) -> ConflictReport | None:
        """What the store is told: the values that join, the choices carried out or handed back."""
        plan = self.plan
        if self.waiting and self.closing_reason:
            return plan.conflict_report(KIND_LOST_UPDATE, closing_reason=self.closing_reason)
        if not self.is_settled:
            return None
        fields = [
            FieldConflict(one.mapping.key, one.current_value or None, None, one.lost_value or None, one.sentence)
            for one in plan.lost.reports
            if one.needs_answer
        ]
        fields += self.replaced
        for key, shown in plan.fields.results.lost_current.items():
            resolution = plan.facts.resolution_for(KIND_LOST_UPDATE, key)
            fields.append(FieldConflict(key, shown, None, resolution.monday if resolution else None))
        new = {one.key for one in fields}
        fields += [one for one in reopened_lost_updates(plan) if one.key not in new]
        applied, rejected = self.applied, plan.rejected_of(KIND_LOST_UPDATE)
        undone = undo_results(plan, KIND_LOST_UPDATE)
        ended = dict.fromkeys(self.unmapped, "The field is not mapped to a column any more.")
        if not (fields or applied or rejected or undone or ended):
            return None
        return plan.conflict_report(
            KIND_LOST_UPDATE,
            fields=fields,
            applied=applied,
            rejected=rejected,
            inverse={key: inverse_of(plan, plan.plans[key]) for key in applied if key in plan.plans},
            undone=undone,
            ended=ended,
        )


# The rules of a pass, and what it stores.


def find_lost_updates(facts: PassFacts, plan: Plan) -> Plan:
    """Note of every record which values our writes went over, and take answers that were edits for these."""
    found = []
    for one in plan.records.values():
        if not one.facts.events or not wants_events(one.facts, one.left_out):
            continue
        lost = detect_lost_updates(facts.board, one.facts, facts.now)
        base, altered = one.ledger.base, one.ledger.altered
        for key in lost.as_sent:
            base = base | {key: base[key] | {AS_SENT: True}}
            altered = {name: entry for name, entry in altered.items() if name != key}
        base = base | _landed_bases(facts.board, one.facts, lost)
        found.append(replace(one.with_state(base=base, altered=altered), lost=lost))
    return plan.with_records(found)


def _landed_bases(board: BoardContext, facts: RecordFacts, lost: LostUpdates) -> dict[str, dict[str, Any]]:
    """What writes sent of which events tell that they landed: the bases against which their fields are merged."""
    item_id, found = facts.record.monday_id or "", dict[str, dict[str, Any]]()
    intents = {str(intent.pk): intent for intent in facts.history.writes if intent.item_id == item_id}
    for mapping in board.mappings:
        intent = intents.get(lost.landed.get(mapping.key, ""))
        entry = intent.values[mapping.key] if intent else None
        # A united list is no base before NPD holds it too.
        if entry and not entry.get("united"):
            found[mapping.key] = new_base(mapping, item_id, entry["local"], entry["read"]) | {AS_SENT: True}
    return found


def find_lost_updates_of_deleted(facts: PassFacts, plan: Plan) -> Plan:
    """Note the same of records that were deleted since we wrote: their events come late, too."""
    wanted = [one for one in plan.deleted.values() if wants_events(one.facts, "")]
    return plan.with_deleted(
        replace(one, lost=detect_lost_updates(facts.board, one.facts, facts.now)) for one in wanted
    )


def report_what_is_lost(facts: PassFacts, plan: Plan) -> Plan:
    """Keep of what detection suspected only what stands on neither side, and put it into words.

    A deleted record that comes back by this pass is told of it by its own next one.
    """
    endings = (Outcome.OPEN, Outcome.SETTLED)
    suspected = [one for one in plan.records.values() if one.lost.found and one.outcome in endings]
    deleted = [one for one in plan.deleted.values() if one.lost.found and not one.restores]
    people = facts.people
    told = [(one, RecordPlan(one.facts, lost=one.lost)) for one in deleted]
    plan = plan.with_deleted(
        replace(one, lost=report_lost_updates(facts.board, record, people, asks=False).lost) for one, record in told
    )
    return plan.with_records(report_lost_updates(facts.board, one, people) for one in suspected)


def is_telling(plan: RecordPlan) -> bool:
    """Whether the pass read more on Monday than the base said, or found something lost."""
    return bool(plan.lost.found) or any(p.decision.action not in _UNINFORMATIVE for p in plan.plans.values())


def seen_after(plan: RecordPlan, settings: Settings, read_at: datetime) -> dict[str, list[Any]]:
    oldest = read_at - timedelta(days=settings.journal_days)
    # A pass that came to nothing has told nobody what was lost: the next one checks the same events again.
    found = plan.lost.found if plan.is_settled else ()
    return observed(plan.ledger, {} if plan.creates else plan.plans, found, read_at, oldest)


def lost_lines(plan: RecordPlan) -> list[HistoryLine]:
    return [
        HistoryLine(
            "overwritten" if report.needs_answer else "overridden",
            report.sentence,
            report.mapping.key,
            values={"before": report.lost_value, "after": report.current_value, "overridden": True, **report.values},
        )
        for report in (plan.lost.reports if plan.is_settled else ())
    ]
