"""An explanation as lines for a person, and as an object for a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sync.dryrun.telling import entry_as_json, line_of
from sync.explain.chains import Link, in_words
from sync.explain.facts import Explanation, FieldFacts
from sync.models import Decision

_DOES = {
    "push": "send to Monday",
    "pull": "take over from Monday",
    "create": "make an item",
    "new record": "make a record",
    "ask": "ask a person",
    "left": "leave it",
    "failed": "fail",
}
WIDTH = 28


def lines(told: Explanation) -> Iterator[str]:
    """Yield the explanation as a person reads it."""
    found = told.found
    yield f"{str(found.spec.model._meta.verbose_name).capitalize()} “{found.name}”, {found.entity_id}"
    item = f"item {told.item}{f', {told.url}' if told.url else ''}" if told.item else "no item on Monday"
    yield f"{told.status}, {item}"
    yield told.words
    if told.fields:
        yield ""
        yield from _table(told.fields)
    yield ""
    yield from _next(told)
    yield ""
    yield "Open:" if told.open else "Nothing is open."
    yield from (f"  {line}" for line in told.open)
    yield ""
    yield "Decisions, newest last:" if told.decisions else "Nothing was decided about it yet."
    for row, links in told.decisions:
        yield from _decision(row, links)


def _next(told: Explanation) -> Iterator[str]:
    if told.next is None:
        yield f"What the next look would do is not known. {told.unread}".rstrip()
    elif not told.next:
        yield f"The next look would do nothing{': ' + told.unread if told.unread else ', both sides agree.'}"
    else:
        yield "The next look would:"
        for entry in told.next:
            yield f"  {_DOES.get(entry.what, entry.what)}: {line_of(entry)}"


def _table(fields: list[FieldFacts]) -> Iterator[str]:
    head = ("Field", "NPD now", "Agreed, NPD", "Agreed, Monday", "Monday now")
    rows = [(f.label, f.npd, f.base_npd, f.base_monday, f.monday) for f in fields]
    cells = [[_cell(value) for value in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        yield line
        if number and (note := fields[number - 1].note):
            yield f"    held: {note}"


def _cell(text: str) -> str:
    """One line, not too wide: what is longer stands in the JSON."""
    flat = " ".join(text.split())
    return (flat if len(flat) <= WIDTH else f"{flat[: WIDTH - 1].rstrip()}…") or "–"


def _decision(row: Decision, links: list[Link]) -> Iterator[str]:
    who = f" {row.actor}:" if row.actor else ""
    yield f"  #{row.pk}  {row.at:%Y-%m-%d %H:%M:%S} UTC {row.kind}{who} {row.sentence}"
    if links:
        yield f"      {in_words(links)} → {row.kind}"


def as_json(told: Explanation) -> dict[str, Any]:
    """Return the explanation for a program."""
    found = told.found
    return {
        "entity_type": found.spec.entity_type,
        "entity_id": str(found.entity_id),
        "name": found.name,
        "deleted": found.record is None,
        "status": told.status,
        "words": told.words,
        "item_id": told.item or None,
        "item_url": told.url or None,
        "fields": [vars(one) for one in told.fields],
        "next": None if told.next is None else [entry_as_json(entry) for entry in told.next],
        "unread": told.unread,
        "open": told.open,
        "decisions": [decision_as_json(row, links) for row, links in told.decisions],
    }


def decision_as_json(row: Decision, links: list[Link]) -> dict[str, Any]:
    """Return one decision with its cause for a program; the values are those that a person reads."""
    shown = ("before", "after", "overridden")
    return {
        "id": row.pk,
        "at": row.at.isoformat(),
        "kind": row.kind,
        "field": row.key or None,
        "sentence": row.sentence,
        "actor": row.actor,
        "batch": str(row.batch_id) if row.batch_id else None,
        "request": row.request_id or None,
        "undoes": row.undoes,
        "values": {name: row.values[name] for name in shown if name in row.values},
        "cause": [{"what": link.what, "words": link.words} for link in links],
    }
