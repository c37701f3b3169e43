"""What led to a decision, link by link: edit, job, webhook, call, rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.kernel.humanize import timestamp
from sync.models import Decision, WebhookEvent
from sync.monday.board import LOG_PREFIX

_CAUSES = {
    "save": "a save in NPD",
    "person": "a person's click",
    "webhook": "a webhook",
    "sweep": "a check for missed changes",
    "failure": "a failed pass before it",
    "dependency": "a change of something it depends on",
    "setup": "the board's set-up",
}

MAX_LISTED = 3
"""Jobs and webhooks that are listed; of more, only the number is given."""


@dataclass(frozen=True)
class CauseLink:
    """One link of the chain: its kind (edit, row, webhook, call, rule, undo), and the phrase for people."""

    kind: str
    text: str


def causes_by_decision(decisions: Sequence[Decision]) -> dict[int, list[CauseLink]]:
    """Return each decision's chain by its id; the webhook events that they name are read in one query."""
    named = {pk for row in decisions for pk in row.cause.get("events", [])}
    events = WebhookEvent.objects.defer("body").in_bulk(list(named)) if named else {}
    return {row.pk: causes_of(row, events) for row in decisions}


def causes_of(row: Decision, events: Mapping[int, WebhookEvent]) -> list[CauseLink]:
    """Return what led to a decision, in order; nothing where it was written without a cause."""
    provenance: Mapping[str, Any] = row.cause
    found = []
    for side, place in (("npd", "edited in NPD"), ("monday", "edited on Monday")):
        if edit := provenance.get(side):
            way = f" {edit['way']}" if edit.get("way") else ""
            found.append(CauseLink("edit", f"{place} by {edit['who']}{way}{_at_text(edit.get('at'))}"))
    ids = list(provenance.get("events", []))
    found += [CauseLink("webhook", _webhook_text(pk, events.get(pk))) for pk in ids[:MAX_LISTED]]
    if len(ids) > MAX_LISTED:
        found.append(CauseLink("webhook", f"and {len(ids) - MAX_LISTED} more webhooks"))
    found += _rows(provenance)
    read = provenance.get("read")
    if read:
        found.append(CauseLink("call", f"Monday read [Monday request {read}]"))
    if row.request_id and row.request_id != read:
        alias = f", alias {provenance['alias']}" if provenance.get("alias") else ""
        found.append(CauseLink("call", f"written to Monday [Monday request {row.request_id}{alias}]"))
    if rule := provenance.get("rule"):
        found.append(CauseLink("rule", f"decided by: {rule}"))
    if row.undoes is not None:
        found.append(CauseLink("undo", f"undoes entry #{row.undoes}"))
    return found


def causes_text(links: Iterable[CauseLink]) -> str:
    return " → ".join(link.text for link in links)


def _webhook_text(pk: int, event: WebhookEvent | None) -> str:
    if event is None:
        return f"webhook #{pk}, no longer kept"
    when = _at_text(event.received_at.isoformat())
    if event.trigger_id.startswith(LOG_PREFIX):
        return f"row of the activity log, found by a check for missed changes{when} (#{pk}): its webhook had not come"
    return f"webhook #{pk}, received{when}"


def _rows(provenance: Mapping[str, Any]) -> Iterable[CauseLink]:
    rows = [f"#{pk}" for pk in provenance.get("rows", [])]
    if not rows and not provenance.get("causes"):
        return
    reason = " and ".join(_CAUSES.get(cause, cause) for cause in provenance.get("causes", []))
    by = ", asked for by {who}".format(who=provenance["by"]) if provenance.get("by") else ""
    if not rows:
        yield CauseLink("row", f"a sync of everything{by}")
        return
    noun = "job" if len(rows) == 1 else "jobs"
    yield CauseLink("row", f"{noun} {', '.join(rows)}{f' ({reason}{by})' if reason else by}")


def _at_text(moment: str | None) -> str:
    return f" at {timestamp(datetime.fromisoformat(moment))}" if moment else ""
