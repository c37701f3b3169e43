"""The first page: the engine's figures; and in front of what needs a person the conflicts, which it doesn't know.

Here and not in a room of the site's, for only `config` may know both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from sync.admin.health import Task

SHOWN_FIELDS = 3
"""Fields that are named; the rest is counted."""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page shows to its context."""
    from sync.admin.health import health

    sees = any(request.user.has_perm(f"conflicts.{act}_syncconflict") for act in ("view", "change"))
    return health(request, context, in_front=_conflicts if sees else None)


def _conflicts(now: datetime) -> list[Task]:
    """The conflicts that nobody has chosen for: how many, in which fields most, and since when the oldest waits."""
    from django.db.models import Count, Subquery

    from conflicts.waiting import waiting
    from sync.admin.health import Task
    from sync.admin.words import span

    # The oldest is found by its index, once, within the one question that counts the rest.
    oldest = waiting().values("pk")[:1], waiting().values("detected_at")[:1]
    groups = list(
        waiting()
        .order_by()
        .annotate(first=Subquery(oldest[0]), since=Subquery(oldest[1]))
        .values("entity_type", "conflict_fields", "first", "since")
        .annotate(number=Count("pk"))
    )
    if not groups:
        return []
    first, since = groups[0]["first"], groups[0]["since"]
    number = sum(group["number"] for group in groups)
    what = ngettext("%(number)s conflict to settle", "%(number)s conflicts to settle", number) % {
        "number": f"{number:,}"
    }
    waits = _("The oldest waits for %(span)s.") % {"span": span((now - since).total_seconds())}
    url = reverse("admin:conflicts_syncconflict_screen", args=[first])
    return [Task(what, f"{_where(groups)} {waits}".strip(), url, _("Settle"), "call_split")]


def _where(groups: Sequence[Mapping[str, Any]]) -> str:
    """Which fields are in conflict most: “12 phone, 5 role and 2 other fields.”."""
    from collections import Counter

    from conflicts.records import default_label

    fields: Counter[str] = Counter()
    for group in groups:
        for key in group["conflict_fields"]:
            fields[default_label(group["entity_type"], key)] += group["number"]
    told = [f"{number:,} {label}" for label, number in fields.most_common(SHOWN_FIELDS)]
    rest = sum(fields.values()) - sum(number for _label, number in fields.most_common(SHOWN_FIELDS))
    if rest:
        told.append(
            ngettext("%(rest)s in another field", "%(rest)s in other fields", rest) % {"rest": f"{rest:,}"}
        )
    return f"{', '.join(told)}." if told else ""
