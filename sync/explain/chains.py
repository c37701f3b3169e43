"""The cause of a decision in words: edit → queue row → webhook → call → rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from sync.models import Decision, WebhookEvent

_CAUSES = {
    "save": "a save in NPD",
    "person": "a person's click",
    "webhook": "a webhook",
    "sweep": "a sweep",
    "failure": "a failed look before it",
    "dependency": "a change of something it depends on",
}
LISTED = 3
"""Rows and webhooks that are named; of more, only how many."""


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it is (edit, row, webhook, call, rule, undo), and the phrase for people."""

    what: str
    words: str


def chains(decisions: Sequence[Decision]) -> dict[int, list[Link]]:
    """Return the chain of each decision by its id, the deliveries that they name read in one query."""
    named = {pk for row in decisions for pk in row.cause.get("events", [])}
    events = WebhookEvent.objects.defer("body").in_bulk(list(named)) if named else {}
    return {row.pk: chain(row, events) for row in decisions}


def chain(row: Decision, events: Mapping[int, WebhookEvent]) -> list[Link]:
    """Return what led to a decision, first things first; nothing where it was written without a cause."""
    told: Mapping[str, Any] = row.cause
    found = [
        *_edits(told),
        *_webhooks(told, events),
        *_rows(told),
        *_calls(row, told),
    ]
    if rule := told.get("rule"):
        found.append(Link("rule", f"rule: {rule}"))
    if row.undoes is not None:
        found.append(Link("undo", f"takes back decision #{row.undoes}"))
    return found


def in_words(links: Iterable[Link]) -> str:
    """Return a chain as one line."""
    return " → ".join(link.words for link in links)


def _edits(told: Mapping[str, Any]) -> Iterable[Link]:
    for side, place in (("npd", "edited in NPD"), ("monday", "edited on Monday")):
        edit = told.get(side)
        if edit:
            way = f" {edit['way']}" if edit.get("way") else ""
            yield Link("edit", f"{place} by {edit['who']}{way}{_at(edit.get('at'))}")


def _webhooks(told: Mapping[str, Any], events: Mapping[int, WebhookEvent]) -> Iterable[Link]:
    ids = list(told.get("events", []))
    for pk in ids[:LISTED]:
        event = events.get(pk)
        yield Link("webhook", _received(pk, event))
    if len(ids) > LISTED:
        yield Link("webhook", f"and {len(ids) - LISTED} more webhooks")


def _received(pk: int, event: WebhookEvent | None) -> str:
    if event is None:
        return f"webhook #{pk}, no longer kept"
    when = _at(event.received_at.isoformat())
    if event.trigger_id.startswith("log:"):
        return f"row of the activity log, found by a sweep{when} (#{pk}): its webhook had not come"
    return f"webhook #{pk}, received{when}"


def _rows(told: Mapping[str, Any]) -> Iterable[Link]:
    rows = [f"#{pk}" for pk in told.get("rows", [])]
    if not rows and not told.get("causes"):
        return
    why = " and ".join(_CAUSES.get(cause, cause) for cause in told.get("causes", []))
    by = _(", asked for by %(who)s") % {"who": told["by"]} if told.get("by") else ""
    if not rows:
        yield Link("row", _("a look at everything%(by)s") % {"by": by})
        return
    noun = "queue row" if len(rows) == 1 else "queue rows"
    yield Link("row", f"{noun} {', '.join(rows)}{f' ({why}{by})' if why else by}")


def _calls(row: Decision, told: Mapping[str, Any]) -> Iterable[Link]:
    read = told.get("read")
    if read:
        yield Link("call", f"read [Monday request {read}]")
    if row.request_id and row.request_id != read:
        alias = f", alias {told['alias']}" if told.get("alias") else ""
        yield Link("call", f"written [Monday request {row.request_id}{alias}]")


def _at(moment: str | None) -> str:
    return f" at {datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S} UTC" if moment else ""
