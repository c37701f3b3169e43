"""What is known about one cell beside what a pass reads of it: changes that events report, our writes, earlier reads.

Rules ask `EntityPlan.cell` for it. What events and our writes say about an item as a whole is in `RecordHistory`.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from sync import merge
from sync.fields.field_bases import SeenValue, side_of
from sync.models import FieldMapping, Intent, IntentState
from sync.models.jobs import REFILLED_SINCE
from sync.monday.conversion import Canonical, Converter, UnknownValue
from sync.monday.lag import ECHO_WINDOW
from sync.monday.text_forms import looks_same
from sync.reconcile.change_events import ChangeEvent, changes_of
from sync.reconcile.facts import RecordHistory, is_create


class EarlierRead(NamedTuple):
    """A value that a pass read in the cell and replaced, or took over."""

    value: merge.Side
    raw: Any
    at: datetime


class CellHistory:
    """The past of one cell; each of its lists begins with the oldest."""

    def __init__(
        self, mapping: FieldMapping, converter: Converter, history: RecordHistory, seen: Sequence[SeenValue] = ()
    ) -> None:
        self.mapping = mapping
        self.converter = converter
        self.history = history  # of its item
        self._seen = seen

    @cached_property
    def changes(self) -> list[ChangeEvent]:
        """What events report, also values that can't be read."""
        return changes_of(self.mapping, self.converter, self.history.events)

    @property
    def newest_change(self) -> ChangeEvent | None:
        return self.changes[-1] if self.changes else None

    @cached_property
    def writes(self) -> list["OwnWrite"]:
        """Our writes, without those to another column or whose values aren't known any more."""
        return self.writes_of(self.history.writes)

    def writes_of(self, intents: Iterable[Intent]) -> list["OwnWrite"]:
        """Return those of `writes` that these intents made."""
        writes = []
        for intent in intents:
            entry = intent.values.get(self.mapping.key)
            if entry and self.mapping.is_current(entry):
                with suppress(UnknownValue):
                    writes.append(OwnWrite(intent, self.mapping.key, self.converter, self.history.now))
        return writes

    @property
    def reads(self) -> list[EarlierRead]:
        """What earlier passes have read."""
        convert = self.converter.canonical_remote
        return [EarlierRead(side_of(convert, raw), raw, datetime.fromisoformat(at)) for raw, at in self._seen]


def is_lossless(converter: Converter, sent: Canonical, stored: Canonical) -> bool:
    """Whether nothing that anybody reads is lost if Monday stores this value for the sent one."""
    return not converter.names_items and looks_same(sent, stored)


def was_swallowed(converter: Converter, sent_raw: Any, read_raw: Any, answered_raw: Any) -> bool:
    """Whether the answer to a write shows exactly what was read before, or nothing, and not a form of what was sent.

    Raises UnknownValue.
    """
    sent = converter.canonical_local(sent_raw)
    answered = converter.canonical_remote(answered_raw)
    is_unchanged = answered in (converter.canonical_remote(read_raw), None)
    return is_unchanged and answered != sent and not is_lossless(converter, sent, answered)


class OwnWrite:
    """What one intent of ours did to one field; raises UnknownValue if its values aren't known any more."""

    def __init__(self, intent: Intent, key: str, converter: Converter, now: datetime) -> None:
        entry = intent.values[key]
        answer = intent.answer or {}
        self.id = str(intent.pk)
        self.item_id = intent.item_id
        self.is_create = is_create(intent)
        self.entry = entry
        self.read = converter.canonical_remote(entry["read"])  # Monday's value as its pass had read it
        self.sent = converter.canonical_local(entry["local"])
        # Monday answered it with the cell as it was, or empty.
        self.is_swallowed = False
        if intent.state == IntentState.APPLIED and key in answer:
            with suppress(UnknownValue):
                self.is_swallowed = was_swallowed(converter, entry["local"], entry["read"], answer[key])
        self.state = IntentState.VOID if self.is_swallowed else intent.state
        has_answer = key in answer and self.state != IntentState.VOID
        self.answer = converter.canonical_remote(answer[key]) if has_answer else self.sent
        # Its pass read the cell at `read_at` at the earliest, stored the intent at `intended_at`, and the call took
        # effect at `until` at the latest, unless it `may_land_late`.
        read_at = entry.get(REFILLED_SINCE) or entry.get("read_at")
        self.read_at = datetime.fromisoformat(read_at) if read_at else intent.created_at
        # It filled in a cell that nobody was known to have emptied, since both sides agreed.
        self.is_refill = REFILLED_SINCE in entry
        self.intended_at = intent.created_at
        self.until = now if self.state == IntentState.OPEN else (intent.settled_at or intent.created_at)
        # As an event has them.
        self.at = self.until
        self.arrived = self.until
        self.is_known = True
        self.has_previous = True
        self.took_effect = self.state in (IntentState.APPLIED, IntentState.CONFIRMED)
        self.may_have_taken_effect = self.took_effect or self.state == IntentState.OPEN
        # No answer shows that it was done. That goes for a confirmed one too: a pass read the value that it sent, but
        # somebody else may have written it.
        self.may_land_late = self.state in (IntentState.OPEN, IntentState.CONFIRMED, IntentState.VOID)

    def wrote(self, value: merge.Side) -> bool:
        """Whether the cell may have this value because of this write."""
        return value in (self.sent, self.answer)

    def matches(self, value: merge.Side, raw: Any) -> bool:
        """Whether a cell with this value shows what was written."""
        return self.wrote(value)

    def previous_matches(self, value: merge.Side, raw: Any) -> bool:
        """Whether such a cell shows what was there before the write."""
        return value == self.read

    def may_have_made(self, event: ChangeEvent) -> bool:
        """Whether the event may be this write's own, by its value and time."""
        in_time = self.may_land_late or event.at <= self.until + ECHO_WINDOW
        return self.wrote(event.value) and in_time and event.at >= self.intended_at - ECHO_WINDOW

    def is_replaced_by(self, event: ChangeEvent) -> bool:
        """Whether the event shows that it replaced the value that this write sent; clocks may differ by seconds."""
        is_later = event.at >= self.intended_at - merge.CLOCK_TOLERANCE
        if event.arrived != event.at:
            # A webhook, whose arrival is by our clock; a row of the log has Monday's time alone.
            is_later = is_later and event.arrived >= self.intended_at
        changed_the_cell = self.sent != self.read
        return is_later and changed_the_cell and event.has_previous and event.previous == self.sent
