"""Whether change events show that our write overwrote somebody's edit, and what that person is shown.

Implements, of docs/reference/merge.md: in “After a write”, *lost update*, and that an answer equal to an event that
isn't ours is someone's edit; in “Conflicts”, how long *overwritten* keeps its values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, TypeVar

from conflicts.reports import KIND_FIELDS, KIND_OVERWRITTEN, ConflictReport, FieldConflict
from sync import merge
from sync.models import FieldMapping, Intent, IntentState, SyncMetadata
from sync.monday import conversion
from sync.reconcile import field_values, pass_plan, resolutions
from sync.reconcile.facts import STALE_READ_WINDOW, ChangeEvent, HistoryLine, RecordFacts, change_events
from sync.reconcile.field_plan import AS_SENT, UNREAD, base_of, cell_of, new_base, sides_of, way_of
from sync.records.authors import monday_editor_name, monday_user_name

MAX_ENTRIES = 10

# The kind of the line about a lost value that a person is asked about; what is not asked is overridden.
OVERWRITTEN = "overwritten"

# What is as the base says needs no entry; of what could not be read nothing is known.
_UNINFORMATIVE = (merge.Action.NOTHING, merge.Action.UNDECIDED)

# An entry of so many parts says that a value was lost, and to which write.
_REPORT_LENGTH = 3


def last_observed(ledger: SyncMetadata, key: str) -> tuple[Any] | None:
    """Return the raw value, of an empty cell None, that a pass read last where it was more than the base said.

    None without a value where no pass did of late.
    """
    return next(((raw,) for raw, _, *report in reversed(ledger.seen.get(key, [])) if not report), None)


def seen_after(
    plan: pass_plan.RecordPlan, settings: field_values.PassSettings, read_at: datetime
) -> dict[str, list[Any]]:
    """Return the sync state's `seen`, with the values that the pass read and that differ from the base, and lost ones.

    Nothing is added for an item that this pass creates. Entries older than the journal are dropped.
    """
    entries_of = {key: list(entries) for key, entries in plan.ledger.seen.items()}
    for key, field_plan in plan.plans.items() if not plan.creates else ():
        if field_plan.decision.action not in _UNINFORMATIVE:
            entry = [field_plan.remote_raw, read_at.isoformat()]
            entries = entries_of.setdefault(key, [])
            # The newest entry moves on where it is the same value; else the value joins.
            if entries and len(entries[-1]) < _REPORT_LENGTH and entries[-1][0] == entry[0]:
                entries[-1] = entry
            else:
                entries.append(entry)
    # A pass that came to nothing has told nobody what was lost: the next one checks the same events again.
    for lost_update in plan.lost_updates if plan.is_settled else ():
        reports = [[_as_json(lost_update.value), read_at.isoformat(), write] for write in lost_update.writes]
        entries_of.setdefault(lost_update.key, []).extend(reports)
    oldest = read_at - timedelta(days=settings.journal_days)
    kept = {}
    for key, entries in entries_of.items():
        recent = [entry for entry in entries if datetime.fromisoformat(entry[1]) >= oldest]
        # The newest of each sort: what was seen since must not crowd out what was reported.
        reports = [entry for entry in recent if len(entry) == _REPORT_LENGTH][-MAX_ENTRIES:]
        values = [entry for entry in recent if len(entry) < _REPORT_LENGTH][-MAX_ENTRIES:]
        if reports or values:
            kept[key] = [*reports, *values]
    return kept


def _as_json(value: merge.Canonical) -> Any:
    return list(value) if isinstance(value, tuple) else value


def is_telling(plan: pass_plan.RecordPlan) -> bool:
    """Whether the pass read more on Monday than the base said, or found something lost."""
    actions = (field_plan.decision.action for field_plan in plan.plans.values())
    return bool(plan.lost_updates) or any(action not in _UNINFORMATIVE for action in actions)


# Detection: whether events show that a write of ours went over somebody's edit, before they pass as echoes.
#
# Between a pass's read and its write somebody may change the same cell. Monday has no write that says "only if it still
# holds …", so this is found out afterwards: by our own write's event, whose previous value we had not read; or by the
# other person's event, of a value that no pass of ours saw.


class OwnWrite:
    """What one intent of ours did to one field; to make one raises UnknownValue where its values can't be told."""

    def __init__(self, intent: Intent, mapping: FieldMapping, convert: conversion.Converter, now: datetime) -> None:
        entry = intent.values[mapping.key]
        answer = intent.answer or {}
        state = intent.state
        self.id = str(intent.pk)
        self.read = convert.remote(entry["read"])
        self.sent = convert.local(entry["local"])
        self.answer = convert.remote(answer[mapping.key]) if mapping.key in answer else self.sent
        self.intended_at = intent.created_at
        # The last moment at which it may have taken effect, and the first at which its pass may have read the cell.
        self.until = now if state == IntentState.OPEN else (intent.settled_at or intent.created_at)
        self.read_at = datetime.fromisoformat(entry["read_at"]) if "read_at" in entry else intent.created_at
        self.is_open = state == IntentState.OPEN
        # It had no answer, and may land late.
        self.is_unconfirmed = state in (IntentState.OPEN, IntentState.CONFIRMED, IntentState.VOID)
        self.took_effect = state in (IntentState.OPEN, IntentState.APPLIED, IntentState.CONFIRMED)

    def wrote(self, value: merge.Canonical) -> bool:
        """Whether the cell held this value because of us."""
        return value in (self.sent, self.answer)

    def may_have_made(self, event: ChangeEvent) -> bool:
        """Whether the event can be this write's own: of its value, and of its time; an unsure one may land late."""
        in_time = self.is_unconfirmed or event.at <= self.until + STALE_READ_WINDOW
        return self.wrote(event.value) and in_time and event.at >= self.intended_at - STALE_READ_WINDOW


def wants_events(plan: pass_plan.RecordPlan) -> bool:
    """Whether what happened to the record has to be checked: something new was told, and it is synced."""
    return bool(plan.facts.events) and not plan.left_out and (plan.record.may_sync or plan.facts.is_push_by_name)


AnyPlan = TypeVar("AnyPlan", bound=pass_plan.RecordPlan)


def with_lost_updates(board: field_values.BoardContext, plan: AnyPlan, now: datetime) -> AnyPlan:
    """Note which values our writes went over, and take for what we sent what an answer showed of somebody's edit.

    All events of a record's last day count, also those that earlier passes checked; only new ones raise a question.
    """
    facts = plan.facts
    changes = change_events(board, facts.record, facts.history.events)
    lost_updates: list[pass_plan.LostUpdate] = []
    base = dict(plan.ledger.base)
    altered = dict(plan.ledger.altered)
    landed: dict[str, str] = {}
    faults: list[Exception] = []
    for mapping in board.mappings:
        changes_of_field = [change for change in changes if change.key == mapping.key]
        if not any(change.is_new for change in changes_of_field):
            continue
        convert = board.converter(mapping, facts.record)
        try:
            history = _FieldHistory(facts, mapping, convert, changes_of_field, now)
            lost_updates += history.lost_updates()
            if history.is_answer_an_edit:
                # Monday changed nothing of it itself.
                base[mapping.key] = {**base[mapping.key], AS_SENT: True}
                altered.pop(mapping.key, None)
            if write := history.landed_write:
                landed[mapping.key] = write.id
        # What events say only adds questions: an error of ours on them must not keep the record from syncing.
        except Exception as error:
            faults.append(error)
    base |= _landed_bases(board, facts, landed)
    plan = plan.with_state(base=base, altered=altered)
    return replace(plan, lost_updates=tuple(lost_updates), replaced_intents=landed, event_faults=tuple(faults))


def _own_writes(
    mapping: FieldMapping, convert: conversion.Converter, intents: Iterable[Intent], now: datetime
) -> list[OwnWrite]:
    writes = []
    for intent in intents:
        entry = intent.values.get(mapping.key)
        if entry and mapping.is_current(entry):
            with suppress(conversion.UnknownValue):
                writes.append(OwnWrite(intent, mapping, convert, now))
    return writes


def _replaces(event: ChangeEvent, write: OwnWrite) -> bool:
    """Whether the event tells that it replaced what this write sent; clocks may differ by a few seconds."""
    is_later = event.at >= write.intended_at - merge.CLOCK_TOLERANCE
    return is_later and event.has_previous and event.previous == write.sent != write.read


class _FieldHistory:
    """The events of one field against our writes of it."""

    def __init__(
        self,
        facts: RecordFacts,
        mapping: FieldMapping,
        convert: conversion.Converter,
        changes: Sequence[ChangeEvent],
        now: datetime,
    ) -> None:
        self.facts = facts
        self.mapping = mapping
        self.convert = convert
        self.changes = changes
        self.writes = _own_writes(mapping, convert, facts.history.writes, now)

    @cached_property
    def foreign(self) -> list[ChangeEvent]:
        return [event for event in self.changes if not self._is_own(event)]

    def lost_updates(self) -> list[pass_plan.LostUpdate]:
        """Return what was lost and not reported yet, each value once."""
        entries = self.facts.ledger.seen.get(self.mapping.key, [])
        lost_updates: list[pass_plan.LostUpdate] = []
        for lost_update in [*self._overwritten_values(), *self._unobserved_values(), *self._misjudged_values()]:
            entries_of_value = [entry for entry in entries if entry[0] == _as_json(lost_update.value)]
            # A pass has said already that one of these writes went over this value.
            is_reported = any(write in lost_update.writes for entry in entries_of_value for write in entry[2:])
            if not is_reported and all(other.value != lost_update.value for other in lost_updates):
                lost_updates.append(lost_update)
        return lost_updates

    @property
    def is_answer_an_edit(self) -> bool:
        """Whether what Monday answered was no change of ours by Monday, but an edit: the pass is to take it as one."""
        base = base_of(self.facts.ledger, self.mapping, self.facts.record.monday_id or "")
        if base is None or self.mapping.key not in self.facts.ledger.altered:
            return False
        try:
            answered = self.convert.remote(base["remote"])
        except conversion.UnknownValue:
            return False
        return any(event.is_new and event.value == answered for event in self.foreign)

    @property
    def landed_write(self) -> OwnWrite | None:
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

    def _unexplained_writes(self, event: ChangeEvent) -> list[OwnWrite]:
        """Our writes of the event's value that no other event shows to have replaced just what they read."""
        return [
            write
            for write in self.writes
            if write.may_have_made(event)
            and (write.sent, write.read) not in self._explained_values
            and (write.answer, write.read) not in self._explained_values
        ]

    @cached_property
    def _explained_values(self) -> set[tuple[merge.Canonical, merge.Canonical]]:
        """What our own events tell, as (value, previous value)."""
        return {(e.value, e.previous) for e in self.changes if e.has_previous and self._may_be_own(e)}

    def _overwritten_values(self) -> Iterator[pass_plan.LostUpdate]:
        """Our write's own event says that it replaced what we had not read."""
        for event in self.changes:
            if not (event.is_new and event.has_previous and self._is_own(event)) or self._is_explained(event):
                continue
            writes = self._unexplained_writes(event)
            if writes and not self._is_own_value(event.previous, writes):
                author = next((e for e in reversed(self.foreign) if e.value == event.previous), None)
                user, at = (author.user_id, author.at) if author else ("", event.at)
                yield pass_plan.LostUpdate(
                    self.mapping.key, event.previous, user, at, tuple(write.id for write in writes)
                )

    def _is_own_value(self, value: merge.Canonical, writes: Sequence[OwnWrite]) -> bool:
        """The value replaced was a write of ours whose landing that pass could not see, and nobody else's."""
        if any(event.value == value and not self._may_be_own(event) for event in self.changes):
            return False
        before = [other for other in self.writes if other.wrote(value)]
        return any(
            other.is_unconfirmed or any(other.read == write.read and other.id != write.id for write in writes)
            for other in before
        )

    def _unobserved_values(self) -> Iterator[pass_plan.LostUpdate]:
        """Somebody's value, no older than our pass's read, that no pass saw and nobody else replaced."""
        for event in self.foreign:
            # A value that we wrote; of a write that did not take effect, only where nobody else is named.
            sent = any(w.wrote(event.value) and (w.took_effect or self._may_be_own(event)) for w in self.writes)
            if not event.is_new or sent or self._is_observed(event):
                continue
            write = self._overwriting_write(event)
            if write is not None and not self._is_replaced_by_other(event, write):
                lost = pass_plan.LostUpdate(self.mapping.key, event.value, event.user_id, event.at, (write.id,))
                yield replace(lost, is_unconfirmed=write.is_open, sent=write.sent)

    def _misjudged_values(self) -> Iterator[pass_plan.LostUpdate]:
        """Somebody's value that our next write took for the one before our last, which it thought to be void."""
        for event in self.foreign:
            next_write = next((w for w in self.writes if w.took_effect and w.intended_at > event.at), None)
            if not event.is_new or next_write is None or next_write.read != event.value:
                continue
            void = [write for write in self.writes if write.is_unconfirmed and not write.took_effect]
            if any(write.read == event.value and _replaces(event, write) for write in void):
                lost = pass_plan.LostUpdate(self.mapping.key, event.value, event.user_id, event.at, (next_write.id,))
                yield replace(lost, is_unconfirmed=next_write.is_open, sent=next_write.sent)

    def _is_observed(self, event: ChangeEvent) -> bool:
        """Whether a pass read this value then or later; clocks may differ by a few seconds."""
        if any(w.read == event.value and w.intended_at >= event.at - merge.CLOCK_TOLERANCE for w in self.writes):
            return True
        for raw, at, *report in self.facts.ledger.seen.get(event.key, []):
            if not report and datetime.fromisoformat(at) >= event.at - merge.CLOCK_TOLERANCE:
                with suppress(conversion.UnknownValue):
                    if self.convert.remote(raw) == event.value:
                        return True
        return False

    def _overwriting_write(self, event: ChangeEvent) -> OwnWrite | None:
        """Return the first of our writes after the event, unless its own event tells what it replaced.

        One whose pass read long after the event saw what stood then: somebody else had replaced the value.
        """
        effective = [write for write in self.writes if write.took_effect]
        first = next((write for write in effective if write.until > event.at), None)
        # Monday's clock and ours may differ by a few seconds.
        first = first or next(
            (write for write in reversed(effective) if write.until + merge.CLOCK_TOLERANCE > event.at), None
        )
        if first is None or event.at < first.read_at - STALE_READ_WINDOW:
            return None
        since = first.intended_at - STALE_READ_WINDOW
        own = (e for e in self.changes if e.has_previous and first.wrote(e.value) and self._is_own(e) and e.at >= since)
        return None if any(own) else first

    def _is_replaced_by_other(self, event: ChangeEvent, write: OwnWrite) -> bool:
        """Whether another person's edit followed it before our write; one that replaced our write came after."""
        later = [o for o in self.foreign if o.value != event.value and o.at >= event.at]
        return any(
            other.previous == event.value
            if other.has_previous and (other.previous == event.value or write.wrote(other.previous))
            else other.at < write.until + merge.CLOCK_TOLERANCE
            for other in later
        )


# Edits on Monday that a write of ours went over: asked about, kept in the history, taken back by choice.
#
# Detection finds them; here it is seen, with both sides read, which of them are really gone from both. npd_data of such
# a conflict is what stands on both sides, monday_data what was lost.


def report_lost_updates(board: field_values.BoardContext, plan: AnyPlan, *, asks: bool = True) -> AnyPlan:
    """Keep only those suspected values that neither side has, and put them into words, the newest first.

    If a field has several lost values, the newest is asked about and the others go to the history; so do all lost
    values of a deleted record, about which nobody `asks`.
    """
    mappings = {mapping.key: mapping for mapping in board.mappings}
    reports: list[pass_plan.LostUpdate] = []
    asked_keys = set[str]()
    for lost_update in sorted(plan.lost_updates, key=lambda lost_update: lost_update.at, reverse=True):
        mapping = mappings[lost_update.key]
        if not _is_lost(board, plan, mapping, lost_update):
            continue
        needs_answer = asks and mapping.key not in asked_keys and _may_ask(plan, mapping)
        asked_keys |= {mapping.key} if needs_answer else set()
        line = _lost_line(board, plan, mapping, lost_update)
        advice = "Choose which of them is right." if needs_answer else "It can be taken back from here."
        kind = OVERWRITTEN if needs_answer else "overridden"
        line = replace(line, kind=kind, sentence=f"{line.sentence} {advice}")
        reports.append(replace(lost_update, line=line))
    return replace(plan, lost_updates=tuple(reports))


def _is_lost(
    board: field_values.BoardContext,
    plan: pass_plan.RecordPlan,
    mapping: FieldMapping,
    lost_update: pass_plan.LostUpdate,
) -> bool:
    """A write without an answer may not have gone over anything, unless Monday shows what it sent."""
    convert = board.converter(mapping, plan.record)
    remote = cell_of(convert, mapping, plan.item) if plan.item is not None else UNREAD
    sides = sides_of(convert, None, local=field_values.stored_values(plan.record, mapping), remote=remote)
    if lost_update.is_unconfirmed and sides.remote != lost_update.sent:
        return False
    return lost_update.value not in (sides.local, sides.remote)


def _may_ask(plan: pass_plan.RecordPlan, mapping: FieldMapping) -> bool:
    """Whether a value of this field that is lost is asked about, or goes to the history alone."""
    is_deleting = plan.removal is not None and plan.removal.act is pass_plan.RecordAction.DELETE
    is_synced_on = plan.may_sync and not (plan.leaving or plan.unlink or is_deleting)
    return is_synced_on and way_of(plan, mapping) is merge.FieldDirection.BOTH and mapping.rule != merge.Rule.NPD_WINS


def will_ask(board: field_values.BoardContext, plan: pass_plan.RecordPlan) -> bool:
    """Whether events show a value that is lost, and that a person is to be asked about."""
    mappings = {mapping.key: mapping for mapping in board.mappings}
    suspected = [(mappings[lost_update.key], lost_update) for lost_update in plan.lost_updates]
    return any(_may_ask(plan, mapping) and _is_lost(board, plan, mapping, update) for mapping, update in suspected)


def _lost_line(
    board: field_values.BoardContext,
    plan: pass_plan.RecordPlan,
    mapping: FieldMapping,
    lost_update: pass_plan.LostUpdate,
) -> HistoryLine:
    convert = board.converter(mapping, plan.record)
    field_plan = plan.plans.get(mapping.key)
    # What NPD holds once this pass is done: it may take over what somebody wrote after our write.
    taken = field_plan.write_raw if field_plan is not None and not field_plan.blocked_reason else None
    local_raw = dict(taken) if taken is not None else field_values.stored_values(plan.record, mapping)
    lost_value = convert.display(lost_update.value)

    def restored() -> Mapping[str, Any]:
        if isinstance(convert, conversion.ListConverter):
            return convert.with_elements(list(lost_update.value or ()), local_raw)
        return convert.from_text(lost_value, local_raw)

    values = _overridden_values(convert, lost_value, local_raw, restored)
    editor = monday_editor_name(lost_update.user_id, board.settings.people) if lost_update.user_id else "Somebody"
    sentence = (
        f"{editor} wrote “{lost_value}” into {mapping.label} on Monday while “{values['after']}” was being sent, which "
        "went over it."
    )
    return HistoryLine("overridden", sentence, mapping.key, values=values)


def _overridden_values(
    convert: conversion.Converter, lost: str, local_raw: dict[str, Any], restored: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return by what a lost value can be taken back: what NPD would hold had it been taken over, and what it holds."""
    values: dict[str, Any] = {"before": lost, "after": field_values.shown_of(convert, local_raw), "overridden": True}
    # Nothing where that can't be told.
    with suppress(conversion.AmbiguousSplit, conversion.UnknownValue, ValueError):
        values |= {"raw_before": dict(restored()), "raw_after": local_raw}
    return values


def lost_lines(plan: pass_plan.RecordPlan) -> list[HistoryLine]:
    """Return what the record's history says of lost values, once its pass is settled."""
    return plan.lost_reports if plan.is_settled else []


def left_with_item(
    board: field_values.BoardContext,
    facts: RecordFacts,
    mapping: FieldMapping,
    changes: Iterable[ChangeEvent],
    why: str,
) -> HistoryLine | None:
    """Return the history line about a Monday edit that was removed with its item; None if the value can't be read.

    `why` is the rest of the sentence.
    """
    if facts.item is None:
        return None
    convert = board.converter(mapping, facts.record)
    local_raw = field_values.stored_values(facts.record, mapping)
    try:
        remote_raw = convert.stored_value(facts.item.reading(mapping.column_id))
        value = convert.remote(remote_raw)
    except conversion.UnknownValue:
        return None
    lost_value = convert.display(value)
    values = _overridden_values(convert, lost_value, local_raw, partial(convert.to_local, remote_raw, local_raw))
    users = [change.user_id for change in changes if (change.key, change.value) == (mapping.key, value)]
    named = [user for user in users if user]
    editor = monday_user_name(named[-1], board.settings.people) if named else "Somebody"
    wrote = f"wrote “{lost_value}” into {mapping.label}" if lost_value else f"emptied {mapping.label}"
    return HistoryLine("overridden", f"{editor} {wrote} on Monday, and {why}", mapping.key, values=values)


# The conflict about overwritten edits as a record's pass ends: what joins it, what was answered, what is open.


def _is_settled(plan: pass_plan.RecordPlan) -> bool:
    """Whether the pass came to an end, and the filter doesn't leave the record out."""
    return plan.is_settled and not plan.left_out


def _unmapped_fields(plan: pass_plan.RecordPlan) -> list[str]:
    """Return the fields that wait and that no mapping carries any more: no pass can take a choice for them anywhere."""
    return [key for key in plan.facts.open_fields(KIND_OVERWRITTEN) if plan.plans and key not in plan.plans]


def _applied_choices(plan: pass_plan.RecordPlan) -> dict[str, str | None]:
    """Return the choices that were carried out, also those that both sides turned out to agree on."""
    agreed = {
        key: field_plan.display_local(field_plan.local_raw) or None
        for key, field_plan in plan.plans.items()
        if field_plan.resolved_kind == KIND_OVERWRITTEN
        if field_plan.decision.action is merge.Action.AGREED and not field_plan.blocked_reason
    }
    return {**plan.applied_choices(KIND_OVERWRITTEN), **agreed}


def _closing_reason(plan: pass_plan.RecordPlan) -> str:
    """Return why nobody is asked about overwritten edits any more; empty where one may be."""
    if plan.off_reason:
        return plan.off_reason
    if not (plan.record.monday_id or plan.link_to):
        return "The record has no item any more."
    waiting = plan.facts.open_fields(KIND_OVERWRITTEN)
    all_unmapped = waiting and set(_unmapped_fields(plan)) == set(waiting)
    return "None of its fields is mapped to a column any more." if all_unmapped else ""


def replaced_values(plan: pass_plan.RecordPlan) -> list[FieldConflict]:
    """Return Monday's values of open conflicts that stood in a column which was replaced.

    What is agreed on without them, or in conflict with what the new column says, is on neither side any more: a person
    is asked about it still. Once: in a conflict that goes on Monday's value is the new column's by then.
    """
    facts = plan.facts
    replaced: list[FieldConflict] = []
    conflicts = [conflict for conflict in facts.conflicts if conflict.kind == KIND_FIELDS]
    if not conflicts or not _is_settled(plan) or _closing_reason(plan):
        return replaced
    waiting = facts.open_fields(KIND_OVERWRITTEN)
    for conflict in conflicts:
        for key in conflict.fields:
            field_plan = plan.plans.get(key)
            lost_value = conflict.monday.get(key)
            if not lost_value or field_plan is None or field_plan.resolves or key in waiting:
                continue
            if not resolutions.is_column_replaced(facts, field_plan):
                continue
            if not field_plan.is_agreed and field_plan.conflict is None:
                continue
            monday = field_plan.conflict.monday if field_plan.conflict else None
            if lost_value not in (field_plan.npd_value_after, monday):
                reason = f"{field_plan.mapping.label} “{lost_value}” was in the column that was replaced."
                replaced.append(FieldConflict(key, field_plan.npd_value_after, None, lost_value, reason))
    return replaced


def open_lost_updates(plan: pass_plan.RecordPlan) -> list[str]:
    """Return the fields whose lost value waits for a person after this pass."""
    waiting = plan.facts.open_fields(KIND_OVERWRITTEN)
    if _closing_reason(plan):
        return []
    report = lost_update_report(plan, replaced_values(plan))
    if report is None:
        return list(dict.fromkeys(waiting))
    still_waiting = [key for key in waiting if key not in report.applied and key not in report.ended]
    return list(dict.fromkeys([*still_waiting, *(conflict.key for conflict in report.fields)]))


def lost_update_report(plan: pass_plan.RecordPlan, replaced: Sequence[FieldConflict]) -> ConflictReport | None:
    """Return what the store of conflicts is told: the values that join, the choices carried out or handed back."""
    closing_reason = _closing_reason(plan)
    if closing_reason and plan.facts.open_fields(KIND_OVERWRITTEN):
        return plan.conflict_report(KIND_OVERWRITTEN, closing_reason=closing_reason)
    if not _is_settled(plan):
        return None
    fields = [
        FieldConflict(line.key, line.values["after"] or None, None, line.values["before"] or None, line.sentence)
        for line in plan.lost_reports
        if line.kind == OVERWRITTEN
    ]
    fields += replaced
    for key, field_plan in plan.plans.items():
        # A choice about a lost value was made for other values than those that stand.
        resolution = plan.facts.resolution_for(KIND_OVERWRITTEN, key)
        rejection = field_plan.rejected.get(KIND_OVERWRITTEN)
        if resolution and rejection and rejection.is_stale:
            shown = field_plan.display_local(field_plan.local_raw) or None
            fields.append(FieldConflict(key, shown, None, resolution.monday))
    keys = {conflict.key for conflict in fields}
    fields += [conflict for conflict in resolutions.reopened_lost_updates(plan) if conflict.key not in keys]
    applied = _applied_choices(plan)
    rejected = plan.rejected_choices(KIND_OVERWRITTEN)
    undone = resolutions.undo_results(plan, KIND_OVERWRITTEN)
    ended = dict.fromkeys(_unmapped_fields(plan), "The field is not mapped to a column any more.")
    if not (fields or applied or rejected or undone or ended):
        return None
    return plan.conflict_report(
        KIND_OVERWRITTEN,
        fields=fields,
        applied=applied,
        rejected=rejected,
        inverse={key: resolutions.inverse_of(plan, plan.plans[key]) for key in applied if key in plan.plans},
        undone=undone,
        ended=ended,
    )


# The rules of a pass.


def find_lost_updates(facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Note of every record which values our writes went over; of those deleted since, too: events come late."""
    records = [record_plan for record_plan in plan.records.values() if wants_events(record_plan)]
    deleted = [deleted for deleted in plan.deleted.values() if wants_events(deleted)]
    plan = plan.with_records(with_lost_updates(facts.board, record_plan, facts.now) for record_plan in records)
    checked = [with_lost_updates(facts.board, deleted_plan, facts.now) for deleted_plan in deleted]
    # Their fields are merged no more, so that their bases stay as they are.
    return plan.with_deleted(replace(after, facts=before.facts) for before, after in zip(deleted, checked, strict=True))


def _landed_bases(
    board: field_values.BoardContext, facts: RecordFacts, landed: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the sent values that took effect, as events tell: the bases against which their fields are merged."""
    item_id = facts.record.monday_id or ""
    intents = {str(intent.pk): intent for intent in facts.history.writes if intent.item_id == item_id}
    bases = {}
    for mapping in board.mappings:
        intent = intents.get(landed.get(mapping.key, ""))
        entry = intent.values[mapping.key] if intent else None
        # A united list is no base before NPD holds it too.
        if entry and not entry.get("united"):
            bases[mapping.key] = {**new_base(mapping, item_id, entry["local"], entry["read"]), AS_SENT: True}
    return bases


def report_what_is_lost(facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Keep of what detection suspected only what stands on neither side, and put it into words.

    A deleted record that comes back by this pass is told of it by its own next one.
    """
    deleted = [deleted for deleted in plan.deleted.values() if deleted.lost_updates and not deleted.restores]
    endings = (pass_plan.Outcome.OPEN, pass_plan.Outcome.SETTLED)
    records = plan.records.values()
    suspected = [record for record in records if record.lost_updates and record.outcome in endings]
    plan = plan.with_deleted(report_lost_updates(facts.board, d, asks=False) for d in deleted)
    return plan.with_records(report_lost_updates(facts.board, record_plan) for record_plan in suspected)
