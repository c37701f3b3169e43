"""What looks saw on Monday lately, by field: by it an event is told from an edit that nobody saw.

The ledger keeps, of each field, at most ten entries of each sort of the last days: [raw value, when] of what a look
read, and [canonical value, when, intent] of what was found lost, so that the same loss is not reported again by another
event.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from sync.connectors.monday.converters import Converter, UnknownValue
from sync.engine.subjects import Outcome, Subject
from sync.merge import APART, Action, Canonical
from sync.models import SyncMetadata

MOST = 10
_TELLS_NOTHING = (Action.NOTHING, Action.UNDECIDED)
"""What is as the base says needs no entry; of what could not be read nothing is known."""
_MARK = 3
"""An entry of so many parts says that a value was lost, and to which write."""


def was_seen(ledger: SyncMetadata, key: str, convert: Converter, value: Canonical, since: datetime) -> bool:
    """Whether a look read this value at `since` or later; clocks may differ by a few seconds."""
    entries = [entry for entry in ledger.seen.get(key, []) if len(entry) < _MARK]
    return any(_when(entry) >= since - APART and _is(convert, entry[0], value) for entry in entries)


def last_read(ledger: SyncMetadata, key: str) -> tuple[Any] | None:
    """The raw value, of an empty cell None, that a look read last where it was more than the base said.

    None without a value where no look did of late.
    """
    entries = [entry for entry in ledger.seen.get(key, []) if len(entry) < _MARK]
    return (entries[-1][0],) if entries else None


def was_reported(ledger: SyncMetadata, key: str, value: Canonical, writes: Iterable[str]) -> bool:
    """Whether a look has said already that one of these writes went over this value."""
    marks = [entry for entry in ledger.seen.get(key, []) if len(entry) == _MARK]
    return any(_canonical(entry[0]) == value and entry[2] in writes for entry in marks)


def remember(subject: Subject, at: datetime) -> None:
    """Keep what this look read, where it was more than the base said, and what it found lost; drop what is old.

    A look that came to nothing has told nobody what was lost: the next one weighs the same events again.
    """
    seen = {key: list(entries) for key, entries in subject.ledger.seen.items()}
    for key, planned in subject.planned.items():
        if planned.decision.action not in _TELLS_NOTHING and not subject.creates:
            _add(seen.setdefault(key, []), planned.remote_raw, at)
    for lost in subject.lost if subject.outcome is Outcome.SETTLED else ():
        for write in lost.writes:
            seen.setdefault(lost.key, []).append([_plain(lost.value), at.isoformat(), write])
    oldest = at - timedelta(days=settings.JOURNAL_DAYS)
    kept = {key: _newest([e for e in entries if _when(e) >= oldest]) for key, entries in seen.items()}
    subject.ledger.seen = {key: entries for key, entries in kept.items() if entries}


def _newest(entries: list[Any]) -> list[Any]:
    """The newest of each sort: what was seen since must not crowd out what was reported."""
    marks = [entry for entry in entries if len(entry) == _MARK]
    return [*marks[-MOST:], *[entry for entry in entries if len(entry) < _MARK][-MOST:]]


def _add(entries: list[Any], raw: Any, at: datetime) -> None:
    """The newest entry moves on where it is the same value; else the value joins."""
    if entries and len(entries[-1]) < _MARK and entries[-1][0] == raw:
        entries[-1] = [raw, at.isoformat()]
    else:
        entries.append([raw, at.isoformat()])


def _is(convert: Converter, raw: Any, value: Canonical) -> bool:
    try:
        return convert.remote(raw) == value
    except UnknownValue:
        return False


def _when(entry: list[Any]) -> datetime:
    return datetime.fromisoformat(entry[1])


def _plain(value: Canonical) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _canonical(stored: Any) -> Canonical:
    return tuple(stored) if isinstance(stored, list) else stored
