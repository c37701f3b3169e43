"""Whether change events show that a write of ours covered somebody's edit, and what that person is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings

from sync.clock import SyncNow, sync_now
from sync.connectors.base.conversion import AmbiguousSplit, Converter, ListConverter, UnknownValue
from sync.kernel.conflict_store import KIND_LOST_UPDATE, ConflictReport, FieldConflict
from sync.merge import CLOCK_TOLERANCE, Action, Canonical, FieldDirection, Rule
from sync.models import FieldMapping, Intent, IntentState, MondayAccount, SyncMetadata, WebhookEvent
from sync.reconcile.batch import Batch, ChangeEvent, LostUpdate, Outcome, RecordSync, change_events
from sync.reconcile.field_plan import AS_SENT, UNREAD, base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.resolutions import inverse_of, reopened_lost_updates, undo_results
from sync.reconcile.sides import STALE_READ_WINDOW
from sync.records.authors import monday_editor_name, monday_users

MAX_ENTRIES = 10

_UNINFORMATIVE = (Action.NOTHING, Action.UNDECIDED)
"""What is as the base says needs no entry; of what could not be read nothing is known."""

_REPORT_LENGTH = 3
"""An entry of so many parts says that a value was lost, and to which write."""


def was_observed(ledger: SyncMetadata, key: str, convert: Converter, value: Canonical, since: datetime) -> bool:
    """Whether a pass read this value at `since` or later; clocks may differ by a few seconds."""
    for raw, at, *report in ledger.seen.get(key, []):
        if not report and datetime.fromisoformat(at) >= since - CLOCK_TOLERANCE:
            with suppress(UnknownValue):
                if convert.remote(raw) == value:
                    return True
    return False


def last_observed(ledger: SyncMetadata, key: str) -> tuple[Any] | None:
    """The raw value, of an empty cell None, that a pass read last where it was more than the base said.

    None without a value where no pass did of late.
    """
    return next(((raw,) for raw, _, *report in reversed(ledger.seen.get(key, [])) if not report), None)


def was_reported(ledger: SyncMetadata, key: str, value: Canonical, writes: Iterable[str]) -> bool:
    """Whether a pass has said already that one of these writes went over this value."""
    stored = list(value) if isinstance(value, tuple) else value
    return any(entry[0] == stored and write in writes for entry in ledger.seen.get(key, []) for write in entry[2:])


def store_observed(record_sync: RecordSync, at: datetime) -> None:
    """Keep what this pass read, where it was more than the base said, and what it found lost; drop what is old.

    A pass that came to nothing has told nobody what was lost: the next one checks the same events again.
    """
    observed = {key: list(entries) for key, entries in record_sync.ledger.seen.items()}
    for key, field_plan in record_sync.field_plans.items():
        if field_plan.decision.action not in _UNINFORMATIVE and not record_sync.creates:
            entries, entry = observed.setdefault(key, []), [field_plan.remote_raw, at.isoformat()]
            # The newest entry moves on where it is the same value; else the value joins.
            if entries and len(entries[-1]) < _REPORT_LENGTH and entries[-1][0] == entry[0]:
                entries[-1] = entry
            else:
                entries.append(entry)
    for lost_update in record_sync.lost_updates if record_sync.outcome is Outcome.SETTLED else ():
        value = list(lost_update.value) if isinstance(lost_update.value, tuple) else lost_update.value
        reports = [[value, at.isoformat(), write] for write in lost_update.writes]
        observed.setdefault(lost_update.key, []).extend(reports)
    oldest = at - timedelta(days=settings.JOURNAL_DAYS)
    record_sync.ledger.seen = {}
    for key, entries in observed.items():
        recent = [entry for entry in entries if datetime.fromisoformat(entry[1]) >= oldest]
        # The newest of each sort: what was seen since must not crowd out what was reported.
        reports = [entry for entry in recent if len(entry) == _REPORT_LENGTH][-MAX_ENTRIES:]
        if kept := [*reports, *[entry for entry in recent if len(entry) < _REPORT_LENGTH][-MAX_ENTRIES:]]:
            record_sync.ledger.seen[key] = kept


# Detection: whether events show that a write of ours went over somebody's edit, before they pass as
# echoes.
#
# Between a pass's read and its write somebody may change the same cell (docs/reference/merge.md, “After a write”).
# Monday has no write that says "only if it still holds …", so this is found out afterwards: by our
# own write's event, whose previous value we had not read; or by the other person's event, of a
# value that no pass of ours saw.


EVENT_WINDOW = timedelta(days=1)
"""So long are events checked together, and a mutation without an answer known as ours when it lands late."""

MAX_EVENTS = 2_000
"""So many of a pass's newest events count; a field that is rewritten more often is a loop, and shown as one."""


@dataclass(frozen=True)
class FieldWrite:
    """What one intent of ours did to one field; `until` is the last moment at which it may have taken effect.

    `is_unconfirmed` says that it had no answer; such a one may land late. `is_open`, that its outcome isn't known yet.
    """

    id: str
    intended_at: datetime
    until: datetime
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


def detect_lost_updates(batch: Batch) -> None:
    """Note on every record which values our writes went over, and which answers were somebody's edit.

    All events of a record's last day count, also those that earlier passes checked; only new ones raise a question.
    """
    batch.read_at = sync_now()
    with_events = [
        s for s in batch.record_syncs if s.events and not s.left_out and (s.record.may_sync or s.is_push_by_name)
    ]
    if not with_events:
        return
    user = MondayAccount.objects.filter(id=1).values_list("user_id", flat=True).first() or ""
    events = _recent_events(batch.board, with_events)
    # Our writes of the last days that may have taken effect; one that Monday refused has not.
    rows = Intent.objects.filter(
        entity_id__in=[record_sync.id for record_sync in with_events],
        created_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS),
    ).exclude(state=IntentState.REJECTED)
    intents: dict[UUID, list[Intent]] = {}
    for row in rows.order_by("created_at"):
        intents.setdefault(row.entity_id, []).append(row)
    for record_sync in with_events:
        changes = change_events(batch.board, record_sync.record, events.get(record_sync.record.monday_id or "", ()))
        for mapping in batch.board.mappings:
            of_field = [change for change in changes if change.key == mapping.key]
            if any(change.is_new for change in of_field):
                convert = batch.board.converter(mapping, record_sync.record)
                writes = _field_writes(mapping, convert, intents.get(record_sync.id, ()), batch.read_at)
                _FieldHistory(record_sync, mapping, convert, of_field, writes, user).detect()


def _recent_events(board: BoardContext, record_syncs: Iterable[RecordSync]) -> dict[str, list[WebhookEvent]]:
    items = [record_sync.record.monday_id for record_sync in record_syncs]
    events = WebhookEvent.objects.filter(item_id__in=items, board_id=board.link.board_id)
    recent = events.filter(received_at__gt=SyncNow() - EVENT_WINDOW).order_by("-received_at")[:MAX_EVENTS]
    found: dict[str, list[WebhookEvent]] = {}
    for row in {row.pk: row for row in [*recent, *events.filter(processed_at=None)]}.values():
        found.setdefault(row.item_id or "", []).append(row)
    return found


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
                read=convert.remote(entry["read"]),
                sent=sent,
                answer=convert.remote(answer[mapping.key]) if mapping.key in answer else sent,
                is_unconfirmed=state in (IntentState.OPEN, IntentState.CONFIRMED, IntentState.VOID),
                is_open=state == IntentState.OPEN,
                took_effect=state in (IntentState.OPEN, IntentState.APPLIED, IntentState.CONFIRMED),
            )
            found.append(write)
    return found


class _FieldHistory:
    """The events of one field against our writes of it."""

    def __init__(
        self,
        record_sync: RecordSync,
        mapping: FieldMapping,
        convert: Converter,
        changes: Sequence[ChangeEvent],
        writes: Sequence[FieldWrite],
        user: str,
    ) -> None:
        self.record_sync, self.mapping, self.convert = record_sync, mapping, convert
        self.changes, self.writes, self.user = changes, writes, user
        self.foreign = [event for event in changes if not self._is_own(event)]

    def detect(self) -> None:
        """Note what was lost, each value once, and whether an answer was somebody's edit."""
        noted, ledger, key = self.record_sync.lost_updates, self.record_sync.ledger, self.mapping.key
        for lost_update in [*self._overwritten_values(), *self._unobserved_values()]:
            is_known = any((other.key, other.value) == (key, lost_update.value) for other in noted)
            if not is_known and not was_reported(ledger, key, lost_update.value, lost_update.writes):
                noted.append(lost_update)
        if any(event.is_new and self._is_answered_value(event) for event in self.foreign):
            # What Monday answered was no change of ours by Monday: the pass is to take it for the edit that it is.
            ledger.base = ledger.base | {key: ledger.base[key] | {AS_SENT: True}}
            ledger.altered = {name: entry for name, entry in ledger.altered.items() if name != key}

    def _may_be_own(self, event: ChangeEvent) -> bool:
        """By its user, its value and its time; an event that names another user is never ours."""
        same_user = not self.user or event.user_id in ("", self.user)
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

    def _is_answered_value(self, event: ChangeEvent) -> bool:
        base = base_of(self.record_sync.ledger, self.mapping, self.record_sync.record.monday_id or "")
        if base is None or self.mapping.key not in self.record_sync.ledger.altered:
            return False
        try:
            return event.value == self.convert.remote(base["remote"])
        except UnknownValue:
            return False

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
                yield LostUpdate(self.mapping.key, event.value, event.user_id, event.at, (write.id,), write.is_open)

    def _is_observed(self, event: ChangeEvent) -> bool:
        if any(w.read == event.value and w.intended_at >= event.at - CLOCK_TOLERANCE for w in self.writes):
            return True
        return was_observed(self.record_sync.ledger, event.key, self.convert, event.value, event.at)

    def _overwriting_write(self, event: ChangeEvent) -> FieldWrite | None:
        """The first of our writes after the event, unless its own event tells what it replaced.

        One whose pass read long after the event saw what stood then: somebody else had replaced the value.
        """
        done = [write for write in self.writes if write.took_effect]
        first = next((write for write in done if write.until > event.at), None)
        # Monday's clock and ours may differ by a few seconds.
        first = first or next((write for write in reversed(done) if write.until + CLOCK_TOLERANCE > event.at), None)
        if first is None or event.at < first.intended_at - STALE_READ_WINDOW:
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


# Edits on Monday that a write of ours went over: asked about, kept in the history, taken back by
# choice.
#
# Detection finds them; here it is seen, with both sides read, which of them are really gone from
# both. npd_data of such a conflict is what stands on both sides, monday_data what was lost.


@dataclass(frozen=True)
class LostUpdateReport:
    """A lost value in words: what it was, what stands in its place, who wrote it, and whether a person is asked."""

    mapping: FieldMapping
    lost_value: str
    current_value: str
    editor: str
    needs_answer: bool
    values: dict[str, Any]

    @property
    def sentence(self) -> str:
        """What happened and what is to be done, for the record's history and the conflict's screen."""
        todo = "Choose which of them is right." if self.needs_answer else "It can be taken back from here."
        return (
            f"{self.editor} wrote “{self.lost_value}” into {self.mapping.label} on Monday while “{self.current_value}” "
            f"was being sent, which went over it. {todo}"
        )


def report_lost_updates(batch: Batch) -> None:
    """Keep of what detection suspected only what stands on neither side; put it into words.

    Of several lost values of one field the newest is asked about, the others go to the history.
    """
    suspected = [s for s in batch.record_syncs if s.lost_updates and s.outcome in (Outcome.OPEN, Outcome.SETTLED)]
    people = monday_users() if suspected else {}
    mappings = {mapping.key: mapping for mapping in batch.board.mappings}
    for record_sync in suspected:
        record_sync.lost_updates = [
            one for one in record_sync.lost_updates if _is_lost(batch, record_sync, one, mappings[one.key])
        ]
        for lost_update in sorted(record_sync.lost_updates, key=lambda one: one.at, reverse=True):
            report = _lost_update_report(batch, record_sync, lost_update, mappings[lost_update.key], people)
            record_sync.lost_reports.append(report)


def _is_lost(batch: Batch, record_sync: RecordSync, lost_update: LostUpdate, mapping: FieldMapping) -> bool:
    """Whether the value is on neither side now; a write without an answer may not have gone over anything."""
    confirmed = {str(intent_id) for intent_id in record_sync.confirmed_intents}
    if lost_update.is_unconfirmed and not confirmed & set(lost_update.writes):
        return False
    convert, item = batch.board.converter(mapping, record_sync.record), record_sync.item
    remote = cell_of(convert, mapping, item) if item is not None else UNREAD
    sides = sides_of(convert, None, local=stored_values(record_sync.record, mapping), remote=remote)
    return lost_update.value not in (sides.local, sides.remote)


def _lost_update_report(
    batch: Batch, record_sync: RecordSync, lost_update: LostUpdate, mapping: FieldMapping, people: Any
) -> LostUpdateReport:
    convert = batch.board.converter(mapping, record_sync.record)
    # What NPD holds once this pass is done: it may take over what somebody wrote after our write.
    field_plan = record_sync.field_plans.get(mapping.key)
    taken = field_plan.write_raw if field_plan is not None and not field_plan.blocked_reason else None
    local_raw = dict(taken) if taken is not None else stored_values(record_sync.record, mapping)
    asks = (
        way_of(record_sync, mapping) is FieldDirection.BOTH
        and mapping.rule != Rule.NPD_WINS
        and record_sync.may_sync
        and not record_sync.leaving
        and mapping.key
        not in {lost_report.mapping.key for lost_report in record_sync.lost_reports if lost_report.needs_answer}
    )
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
    return LostUpdateReport(mapping, convert.display(value), current_value, who, asks, raws)


def store_lost_updates(batch: Batch, record_syncs: Sequence[RecordSync]) -> None:
    """In settle: write what was lost into the history, and remember what this pass saw and said."""
    for record_sync in record_syncs:
        for report in record_sync.lost_reports if record_sync.outcome is Outcome.SETTLED else ():
            record_sync.log_decision(
                "overwritten" if report.needs_answer else "overridden",
                report.sentence,
                report.mapping.key,
                before=report.lost_value,
                after=report.current_value,
                overridden=True,
                **report.values,
            )
        if batch.read_at is not None:
            store_observed(record_sync, batch.read_at)


def lost_update_reports(record_sync: RecordSync) -> Iterator[ConflictReport]:
    """Yield what this pass says of lost values: those that join, the choices it carried out or hands back."""
    if record_sync.open_fields(KIND_LOST_UPDATE) and (reason := _closing_reason(record_sync)):
        yield record_sync.conflict_report(KIND_LOST_UPDATE, closing_reason=reason)
        return
    if record_sync.outcome is not Outcome.SETTLED or record_sync.left_out:
        return
    applied, rejected = _applied_resolutions(record_sync), record_sync.rejected_of(KIND_LOST_UPDATE)
    fields = [
        FieldConflict(
            lost_report.mapping.key,
            lost_report.current_value or None,
            None,
            lost_report.lost_value or None,
            lost_report.sentence,
        )
        for lost_report in record_sync.lost_reports
        if lost_report.needs_answer
    ]
    for key, shown in record_sync.lost_current.items():
        resolution = record_sync.resolution_for(KIND_LOST_UPDATE, key)
        fields.append(FieldConflict(key, shown, None, resolution.monday if resolution else None))
    new = {field.key for field in fields}
    fields += [field for field in reopened_lost_updates(record_sync) if field.key not in new]
    undone = undo_results(record_sync, KIND_LOST_UPDATE)
    ended = dict.fromkeys(_unmapped_fields(record_sync), "The field is not mapped to a column any more.")
    if fields or applied or rejected or undone or ended:
        yield record_sync.conflict_report(
            KIND_LOST_UPDATE,
            fields=fields,
            applied=applied,
            rejected=rejected,
            inverse={key: inverse_of(record_sync, record_sync.field_plans[key]) for key in applied},
            undone=undone,
            ended=ended,
        )


def open_lost_updates(record_sync: RecordSync) -> list[str]:
    """Return the fields whose lost value waits for a person after this pass."""
    waiting = record_sync.open_fields(KIND_LOST_UPDATE)
    if not record_sync.may_sync or _closing_reason(record_sync):
        return []
    if record_sync.outcome is not Outcome.SETTLED:
        return list(dict.fromkeys(waiting))
    ended = {*_applied_resolutions(record_sync), *_unmapped_fields(record_sync)}
    new = [report.mapping.key for report in record_sync.lost_reports if report.needs_answer]
    return list(dict.fromkeys([*(key for key in waiting if key not in ended), *new]))


def _closing_reason(record_sync: RecordSync) -> str:
    if not record_sync.may_sync:
        return record_sync.off_reason
    if not (record_sync.record.monday_id or record_sync.link_to):
        return "The record has no item any more."
    waiting = set(record_sync.open_fields(KIND_LOST_UPDATE))
    all_unmapped = waiting and set(_unmapped_fields(record_sync)) == waiting
    return "None of its fields is mapped to a column any more." if all_unmapped else ""


def _unmapped_fields(record_sync: RecordSync) -> list[str]:
    """The fields that wait and that no mapping carries any more: no pass can take a choice for them to both sides."""
    plans = record_sync.field_plans
    return [key for key in record_sync.open_fields(KIND_LOST_UPDATE) if plans and key not in plans]


def _applied_resolutions(record_sync: RecordSync) -> dict[str, str | None]:
    restored = {
        key: p.convert.display(p.convert.local(p.local_raw)) or None
        for key, p in record_sync.field_plans.items()
        if p.resolved_kind == KIND_LOST_UPDATE and p.decision.action is Action.AGREED and not p.blocked_reason
    }
    return record_sync.carried_out_of(KIND_LOST_UPDATE) | restored
