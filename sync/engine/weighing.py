"""Weighing: whether events show that a write of ours went over somebody's edit, before they pass as echoes.

Between a look's read and its write somebody may change the same cell (MERGE.md, "After a write"). Monday has no
write that says "only if it still holds …", so this is found out afterwards: by our own write's event, whose previous
value we had not read; or by the other person's event, of a value that no look of ours saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.conf import settings

from sync.clock import SyncNow, sync_now
from sync.connectors.monday.converters import Converter, UnknownValue
from sync.engine.board import Board
from sync.engine.planning import AS_SENT, base_of
from sync.engine.sightings import was_reported, was_seen
from sync.engine.stale_reads import WINDOW
from sync.engine.subjects import Batch, Subject
from sync.engine.told import Lost, ToldEvent, told_of
from sync.merge import APART, Canonical
from sync.models import FieldMapping, Intent, IntentState, MondayAccount, WebhookEvent

REMEMBERED = timedelta(days=1)
"""So long are events weighed together, and a mutation without an answer known as ours when it lands late."""
EVENTS = 2_000
"""So many of a look's newest events count; a field that is rewritten more often is a loop, and shown as one."""


@dataclass(frozen=True)
class Write:
    """What one intent of ours did to one field; `until` is the last moment at which it may have taken effect.

    `unsure` says that it had no answer; such a one may land late. `open` that its outcome isn't known yet.
    """

    id: str
    announced: datetime
    until: datetime
    read: Canonical
    sent: Canonical
    answered: Canonical
    unsure: bool
    open: bool
    done: bool

    def wrote(self, value: Canonical) -> bool:
        """Whether the cell held this value because of us."""
        return value in (self.sent, self.answered)

    def may_have_made(self, event: ToldEvent) -> bool:
        """Whether the event can be this write's own: of its value, and of its time; an unsure one may land late."""
        in_time = self.unsure or event.at <= self.until + WINDOW
        return self.wrote(event.value) and in_time and event.at >= self.announced - WINDOW


def weigh(batch: Batch) -> None:
    """Note on every subject which values our writes went over, and which answers were somebody's edit.

    All events of a record's last day count, also those that earlier looks weighed; only new ones raise a question.
    """
    batch.read_at = sync_now()
    told = [s for s in batch.subjects if s.events and (s.record.may_sync or s.by_name)]
    if not told:
        return
    user = MondayAccount.objects.filter(id=1).values_list("user_id", flat=True).first() or ""
    events, intents = _events(batch.board, told), _intents(told)
    for subject in told:
        changes = told_of(batch.board, subject.record, events.get(subject.record.monday_id or "", ()))
        for mapping in batch.board.mappings:
            of_field = [change for change in changes if change.key == mapping.key]
            if any(change.fresh for change in of_field):
                convert = batch.board.converter(mapping, subject.record)
                writes = _writes(mapping, convert, intents.get(subject.id, ()), batch.read_at)
                _Scales(subject, mapping, convert, of_field, writes, user).weigh()


def _events(board: Board, subjects: Iterable[Subject]) -> dict[str, list[WebhookEvent]]:
    items = [subject.record.monday_id for subject in subjects]
    rows = WebhookEvent.objects.filter(
        item_id__in=items, board_id=board.link.board_id, received_at__gt=SyncNow() - REMEMBERED
    ).order_by("-received_at")
    new = WebhookEvent.objects.filter(item_id__in=items, board_id=board.link.board_id, weighed_at=None)
    found: dict[str, list[WebhookEvent]] = {}
    for row in {row.pk: row for row in [*rows[:EVENTS], *new]}.values():
        found.setdefault(row.item_id or "", []).append(row)
    return found


def _intents(subjects: Iterable[Subject]) -> dict[UUID, list[Intent]]:
    """Our writes of the last days that may have taken effect; one that Monday refused has not."""
    rows = Intent.objects.filter(
        entity_id__in=[subject.id for subject in subjects],
        created_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS),
    ).exclude(state=IntentState.REFUSED)
    found: dict[UUID, list[Intent]] = {}
    for row in rows.order_by("created_at"):
        found.setdefault(row.entity_id, []).append(row)
    return found


def _writes(
    mapping: FieldMapping, convert: Converter, intents: Iterable[Intent], now: datetime
) -> list[Write]:
    found = []
    for intent in intents:
        entry = intent.values.get(mapping.key)
        if entry and (entry["column"], entry["version"]) == (mapping.column_id, mapping.version):
            try:
                found.append(_write(convert, intent, mapping.key, now))
            except UnknownValue:
                continue
    return found


def _write(convert: Converter, intent: Intent, key: str, now: datetime) -> Write:
    entry, answer, state = intent.values[key], intent.answer or {}, intent.state
    sent = convert.local(entry["local"])
    return Write(
        id=str(intent.pk),
        announced=intent.created_at,
        until=now if state == IntentState.OPEN else (intent.settled_at or intent.created_at),
        read=convert.remote(entry["read"]),
        sent=sent,
        answered=convert.remote(answer[key]) if key in answer else sent,
        unsure=state in (IntentState.OPEN, IntentState.LANDED, IntentState.VOID),
        open=state == IntentState.OPEN,
        done=state in (IntentState.OPEN, IntentState.APPLIED, IntentState.LANDED),
    )


class _Scales:
    """The events of one field against our writes of it."""

    def __init__(
        self,
        subject: Subject,
        mapping: FieldMapping,
        convert: Converter,
        told: Sequence[ToldEvent],
        writes: Sequence[Write],
        user: str,
    ) -> None:
        self.subject, self.mapping, self.convert = subject, mapping, convert
        self.told, self.writes, self.user = told, writes, user
        self.foreign = [event for event in told if not self._is_ours(event)]

    def weigh(self) -> None:
        """Note what was lost, each value once, and whether an answer was somebody's edit."""
        for lost in [*self._went_over(), *self._never_seen()]:
            known = any(other.value == lost.value for other in self.subject.lost if other.key == lost.key)
            if not known and not was_reported(self.subject.ledger, lost.key, lost.value, lost.writes):
                self.subject.lost.append(lost)
        if any(event.fresh and self._is_what_was_answered(event) for event in self.foreign):
            self._answer_was_an_edit()

    def _answer_was_an_edit(self) -> None:
        """What Monday answered was no change of ours by Monday: the look is to take it for the edit that it is."""
        ledger, key = self.subject.ledger, self.mapping.key
        ledger.base = ledger.base | {key: ledger.base[key] | {AS_SENT: True}}
        ledger.altered = {name: told for name, told in ledger.altered.items() if name != key}

    def _may_be_ours(self, event: ToldEvent) -> bool:
        """By its user, its value and its time; an event that names another user is never ours."""
        same_user = not self.user or event.user_id in ("", self.user)
        return same_user and any(write.may_have_made(event) for write in self.writes)

    def _is_ours(self, event: ToldEvent) -> bool:
        """Ours for certain or for want of a better: not once each of our writes of the value has its own event."""
        if not self._may_be_ours(event):
            return False
        if not event.knows_previous:
            return True
        return self._explains_any(event) or (
            bool(self._unexplained(event)) and not self._rewrites_what_we_sent(event)
        )

    def _explains_any(self, event: ToldEvent) -> bool:
        return any(write.may_have_made(event) and event.previous == write.read for write in self.writes)

    def _unexplained(self, event: ToldEvent) -> list[Write]:
        """Our writes of the event's value that no other event shows to have replaced just what they read."""
        return [
            write
            for write in self.writes
            if write.may_have_made(event)
            and (write.sent, write.read) not in self._explained
            and (write.answered, write.read) not in self._explained
        ]

    @cached_property
    def _explained(self) -> set[tuple[Canonical, Canonical]]:
        """What our own events tell, as (value, previous value)."""
        return {(e.value, e.previous) for e in self.told if e.knows_previous and self._may_be_ours(e)}

    def _rewrites_what_we_sent(self, event: ToldEvent) -> bool:
        """The answer's value, told as replacing what we had sent: somebody wrote it before we were answered."""
        return any(w.answered == event.value != w.sent and event.previous == w.sent for w in self.writes)

    def _is_what_was_answered(self, event: ToldEvent) -> bool:
        base = base_of(self.subject, self.mapping, self.subject.record.monday_id or "")
        if base is None or self.mapping.key not in self.subject.ledger.altered:
            return False
        try:
            return event.value == self.convert.remote(base["remote"])
        except UnknownValue:
            return False

    def _went_over(self) -> Iterator[Lost]:
        """Our write's own event says that it replaced what we had not read."""
        for event in self.told:
            if not (event.fresh and event.knows_previous and self._is_ours(event)):
                continue
            writes = self._unexplained(event)
            if self._explains_any(event) or not writes or self._was_our_own(event.previous, writes):
                continue
            author = next((e for e in reversed(self.foreign) if e.value == event.previous), None)
            yield Lost(
                self.mapping.key,
                event.previous,
                author.user_id if author else "",
                author.at if author else event.at,
                tuple(write.id for write in writes),
            )

    def _was_our_own(self, value: Canonical, writes: Sequence[Write]) -> bool:
        """The value replaced was a write of ours whose landing that look could not see, and nobody else's."""
        if any(event.value == value and not self._may_be_ours(event) for event in self.told):
            return False
        before = [other for other in self.writes if other.wrote(value)]
        return any(
            other.unsure or any(other.read == write.read and other.id != write.id for write in writes)
            for other in before
        )

    def _never_seen(self) -> Iterator[Lost]:
        """Somebody's value, no older than our look's read, that no look saw and nobody else replaced."""
        for event in self.foreign:
            if not event.fresh or self._seen(event) or self._sent_by_us(event):
                continue
            write = self._written_over_by(event)
            if write is not None and not self._replaced_by_somebody(event, write):
                yield Lost(self.mapping.key, event.value, event.user_id, event.at, (write.id,), write.open)

    def _sent_by_us(self, event: ToldEvent) -> bool:
        """A value that we wrote; of a write that did not take effect, only where nobody else is named."""
        return any(w.wrote(event.value) and (w.done or self._may_be_ours(event)) for w in self.writes)

    def _seen(self, event: ToldEvent) -> bool:
        if any(w.read == event.value and w.announced >= event.at - APART for w in self.writes):
            return True
        return was_seen(self.subject.ledger, event.key, self.convert, event.value, event.at)

    def _written_over_by(self, event: ToldEvent) -> Write | None:
        """The first of our writes after the event, unless its own event tells what it replaced.

        One whose look read long after the event saw what stood then: somebody else had replaced the value.
        """
        done = [write for write in self.writes if write.done]
        first = next((write for write in done if write.until > event.at), None)
        # Monday's clock and ours may differ by a few seconds.
        first = first or next((write for write in reversed(done) if write.until + APART > event.at), None)
        if first is None or event.at < first.announced - WINDOW:
            return None
        own = any(
            e.knows_previous
            and first.wrote(e.value)
            and self._is_ours(e)
            and e.at >= first.announced - WINDOW
            for e in self.told
        )
        return None if own else first

    def _replaced_by_somebody(self, event: ToldEvent, write: Write) -> bool:
        """Whether another person's edit followed it before our write; one that replaced our write came after."""
        later = [o for o in self.foreign if o.value != event.value and o.at >= event.at]
        return any(
            other.previous == event.value
            if other.knows_previous and (other.previous == event.value or write.wrote(other.previous))
            else other.at < write.until + APART
            for other in later
        )
