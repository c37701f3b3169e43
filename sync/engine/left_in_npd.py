"""What Monday refused, from look to look: kept back, and left in NPD where a person said so.

What a person left stays left until the value, its column or the mapping's version changes, also through looks that
can't read the cell and through a conflict on the field. It is left beside what stood on Monday then: once a look finds
another value there, and sees no conflict in it, people are asked anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.choices import Cause
from sync.connectors.monday.converters import UnknownValue
from sync.engine.planned import Planned
from sync.engine.subjects import Subject
from sync.merge import Action
from sync.refused import CELL, LEFT, LEFT_BY, MONDAY, is_about, is_refused, left_entry


def kept_back(subject: Subject, planned: Planned) -> str:
    """Why a value that Monday refused isn't sent again, until it, its column or a person changes that; else empty.

    A value that a person left in NPD stays there, whatever else a person asks of the record; one that is chosen in a
    conflict goes.
    """
    entry = subject.ledger.held.get(planned.mapping.key)
    left = left_entry(entry)
    known = left or entry
    if not known or known["side"] != MONDAY or not _is_about(known, planned):
        return ""
    by_person = bool(subject.causes & Cause.PERSON)
    if left is None:
        return "" if by_person else str(known["reason"])
    asked = (by_person or bool(planned.choice)) and not _is_beside_the_same(left, subject, planned)
    return "" if asked else str(known["reason"])


def stays_left(subject: Subject, planned: Planned) -> bool:
    """Whether the value stays in NPD alone as a person said: the field is decided, though its sides differ."""
    left = left_entry(subject.ledger.held.get(planned.mapping.key))
    return (
        left is not None
        and (planned.refused or planned.too_much)
        and _is_about(left, planned)
        and _is_beside_the_same(left, subject, planned)
    )


def marked(subject: Subject, found: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a look found held, with what stays left of what was held `before`."""
    for key, planned in subject.planned.items():
        left = left_entry(before.get(key))
        if left is None or not _is_about(left, planned):
            continue
        entry = found.get(key)
        if entry is None:
            if planned.decision.action is Action.CONFLICT:
                found[key] = left
        elif not is_refused(entry):
            entry[LEFT] = left
        elif _is_beside_the_same(left, subject, planned):
            entry[LEFT_BY] = _with_cell(left[LEFT_BY], subject, planned)
    return found


def _is_about(entry: Mapping[str, Any], planned: Planned) -> bool:
    return is_about(entry, planned.local_raw, planned.mapping.column_id, planned.mapping.version)


def _is_beside_the_same(left: Mapping[str, Any], subject: Subject, planned: Planned) -> bool:
    """Whether Monday shows what it showed when the value was left; an item that is new has shown nothing yet."""
    mark = left[LEFT_BY]
    if subject.item is None or CELL not in mark:
        return True
    try:
        return planned.convert.remote(mark[CELL]) == planned.convert.remote(planned.remote_raw)
    except UnknownValue:
        return False


def _with_cell(mark: Mapping[str, Any], subject: Subject, planned: Planned) -> dict[str, Any]:
    if subject.item is None:
        return {name: value for name, value in mark.items() if name != CELL}
    return {CELL: planned.remote_raw, **mark}
