"""Edits on Monday that a write of ours went over: asked about, kept in the history, taken back by choice.

Weighing finds them; here it is seen, with both sides read, which of them are really gone from both. npd_data of such a
conflict is what stands on both sides, monday_data what was lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sync.authors import monday_people, name_on_monday
from sync.connectors.monday.converters import CannotSplit, Converter, UnknownValue
from sync.connectors.monday.converters.elements import ListConverter
from sync.engine.planning import way_of
from sync.engine.sightings import remember
from sync.engine.subjects import Batch, Outcome, Subject, raw_of
from sync.engine.taking_back import choice_of_lost
from sync.engine.told import Lost
from sync.engine.undo_findings import overwritten_again
from sync.engine.undo_findings import told as undo_told
from sync.engine.undoing import inverse_of
from sync.hooks import KIND_OVERWRITTEN, FieldConflict, Finding
from sync.merge import Action, Canonical, FieldRule, Way
from sync.models import FieldMapping


@dataclass(frozen=True)
class Told:
    """A lost value in words: what it was, what stands in its place, who wrote it, and whether a person is asked."""

    mapping: FieldMapping
    lost: str
    stands: str
    who: str
    asks: bool
    raws: dict[str, Any]

    @property
    def sentence(self) -> str:
        """What happened and what is to be done, for the record's log and the conflict's screen."""
        what = (
            f"{self.who} wrote “{self.lost}” into {self.mapping.label} on Monday while “{self.stands}” was being "
            f"sent, which went over it."
        )
        return f"{what} {'Choose which of them stands.' if self.asks else 'It can be taken back from here.'}"


def judge(batch: Batch) -> None:
    """Keep of what weighing suspected only what stands on neither side; put it into words."""
    suspected = [s for s in batch.subjects if s.lost and s.outcome in (Outcome.OPEN, Outcome.SETTLED)]
    people = monday_people() if suspected else {}
    for subject in suspected:
        subject.lost = [lost for lost in subject.lost if _is_gone(batch, subject, lost)]
        for lost in sorted(subject.lost, key=lambda one: one.at, reverse=True):
            asked = {told.mapping.key for told in subject.lost_words if told.asks}
            subject.lost_words.append(_in_words(batch, subject, lost, people, may_ask=lost.key not in asked))


def _mapping(batch: Batch, key: str) -> FieldMapping:
    return next(mapping for mapping in batch.board.mappings if mapping.key == key)


def _is_gone(batch: Batch, subject: Subject, lost: Lost) -> bool:
    """Whether the value is on neither side now; a write without an answer may not have gone over anything."""
    if lost.open_write and not any(str(found) in lost.writes for found in subject.intents_found):
        return False
    mapping = _mapping(batch, lost.key)
    convert = batch.board.converter(mapping, subject.record)
    return lost.value not in _present(subject, mapping, convert)


def _present(subject: Subject, mapping: FieldMapping, convert: Converter) -> list[Canonical]:
    """What NPD and the item hold, each as far as it is known."""
    found: list[Canonical] = []
    with suppress(UnknownValue):
        found.append(convert.local(raw_of(subject.record, mapping)))
    if subject.item is not None:
        with suppress(UnknownValue):
            found.append(convert.remote(convert.raw_of(subject.item.reading(mapping.column_id))))
    return found


def _in_words(batch: Batch, subject: Subject, lost: Lost, people: Any, *, may_ask: bool) -> Told:
    """Of several lost values of one field the newest is asked about, the others go to the history."""
    mapping = _mapping(batch, lost.key)
    convert = batch.board.converter(mapping, subject.record)
    local_raw = _raw_after(subject, mapping)
    asks = (
        way_of(subject, mapping) is Way.BOTH
        and mapping.rule != FieldRule.NPD_WINS
        and may_ask
        and subject.record.may_sync
    )
    try:
        stands = convert.display(convert.local(local_raw))
    except UnknownValue:
        stands = ""
    raw_lost = _raw_of_lost(convert, lost.value, local_raw)
    raws = {"raw_before": raw_lost, "raw_after": local_raw} if raw_lost is not None else {}
    who = name_on_monday(lost.user_id, people) if lost.user_id else "Somebody"
    return Told(mapping, convert.display(lost.value), stands, who, asks, raws)


def _raw_after(subject: Subject, mapping: FieldMapping) -> dict[str, Any]:
    """What NPD holds once this look is done: it may take over what somebody wrote after our write."""
    planned = subject.planned.get(mapping.key)
    taken = planned.write_raw if planned is not None and not planned.hold else None
    return dict(taken) if taken is not None else raw_of(subject.record, mapping)


def _raw_of_lost(convert: Converter, value: Canonical, local_raw: dict[str, Any]) -> dict[str, Any] | None:
    """What NPD would hold had the value not been lost; None where that can't be told from its text."""
    try:
        if isinstance(convert, ListConverter):
            return dict(convert.with_elements(list(value or ()), local_raw))
        return dict(convert.from_text(convert.display(value), local_raw))
    except (CannotSplit, UnknownValue, ValueError):
        return None


def keep(batch: Batch, subjects: Sequence[Subject]) -> None:
    """In settle: write what was lost into the log, and remember what this look saw and said."""
    for subject in subjects:
        if subject.outcome is Outcome.SETTLED:
            for told in subject.lost_words:
                kind = "overwritten" if told.asks else "overridden"
                subject.say(
                    kind,
                    told.sentence,
                    told.mapping.key,
                    before=told.lost,
                    after=told.stands,
                    overridden=True,
                    **told.raws,
                )
        if batch.read_at is not None:
            remember(subject, batch.read_at)


def findings_of_overwritten(subject: Subject) -> Iterator[Finding]:
    """Yield what this look says of lost values: those that join, the choices it carried out or hands back."""
    waiting = _waiting(subject)
    if waiting and (reason := _why_over(subject)):
        yield _finding(subject, closing_note=reason)
        return
    if subject.outcome is not Outcome.SETTLED:
        return
    applied, rejected = _applied(subject), _rejected(subject)
    fields = [
        FieldConflict(told.mapping.key, told.stands or None, None, told.lost or None, told.sentence)
        for told in subject.lost_words
        if told.asks
    ]
    for key, shown in subject.lost_shown.items():
        choice = choice_of_lost(subject, key)
        fields.append(FieldConflict(key, shown, None, choice.seen_monday if choice else None))
    new = {field.key for field in fields}
    fields += [field for field in overwritten_again(subject) if field.key not in new]
    undone = undo_told(subject, KIND_OVERWRITTEN)
    over = dict.fromkeys(_unmapped(subject), "The field is not mapped to a column any more.")
    if fields or applied or rejected or undone or over:
        inverse = {key: inverse_of(subject, subject.planned[key]) for key in applied}
        yield _finding(
            subject,
            fields=fields,
            applied=applied,
            rejected=rejected,
            inverse=inverse,
            undone=undone,
            over=over,
        )


def waiting_overwritten(subject: Subject) -> list[str]:
    """Return the fields whose lost value waits for a person after this look."""
    if not subject.record.may_sync or _why_over(subject):
        return []
    settled = subject.outcome is Outcome.SETTLED
    left = {*_applied(subject), *_unmapped(subject)} if settled else set()
    new = [told.mapping.key for told in subject.lost_words if told.asks and settled]
    return list(dict.fromkeys([*(key for key in _waiting(subject) if key not in left), *new]))


def _finding(subject: Subject, **told: Any) -> Finding:
    return Finding(
        subject.record.entity_type(), subject.id, subject.record.monday_id or "", KIND_OVERWRITTEN, **told
    )


def _waiting(subject: Subject) -> list[str]:
    return [
        key for conflict in subject.conflicts if conflict.kind == KIND_OVERWRITTEN for key in conflict.fields
    ]


def _why_over(subject: Subject) -> str:
    if not subject.record.may_sync:
        return "Sync was turned off for this record."
    if not (subject.record.monday_id or subject.link_to):
        return "The record has no item any more."
    waiting = _waiting(subject)
    all_unmapped = waiting and set(_unmapped(subject)) == set(waiting)
    return "None of its fields is mapped to a column any more." if all_unmapped else ""


def _unmapped(subject: Subject) -> list[str]:
    """The fields that wait and that no mapping carries any more: no look can take a choice for them to both sides."""
    return [key for key in _waiting(subject) if key not in subject.planned] if subject.planned else []


def _applied(subject: Subject) -> dict[str, str | None]:
    stands_there = {
        key: planned.convert.display(planned.convert.local(planned.local_raw)) or None
        for key, planned in subject.planned.items()
        if planned.takes_back is not None and planned.decision.action is Action.AGREED and not planned.hold
    }
    return subject.lost_applied | stands_there


def _rejected(subject: Subject) -> dict[str, str]:
    held = {key: p.hold for key, p in subject.planned.items() if p.takes_back is not None and p.hold}
    return subject.lost_rejected | held
