"""The first page: the sync's figures, and what needs a person, with the conflicts first.

Here because only `config` may import both: the sync doesn't know the conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse

from sync.kernel.humanize import plural

if TYPE_CHECKING:
    from sync.admin.health_page import AttentionTask

SHOWN_FIELDS = 3
"""Fields that are named; the rest is counted."""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page shows to its context."""
    from sync.admin.health_page import health_context

    sees = any(request.user.has_perm(f"conflicts.{act}_syncconflict") for act in ("view", "change"))
    return health_context(request, context, extra_tasks=conflict_tasks if sees else None)


def conflict_tasks(now: datetime) -> list[AttentionTask]:
    """Return the conflicts without a resolution: how many, in which fields, and since when."""
    from django.db.models import Count, Subquery

    from conflicts.conflict_queries import unresolved_conflicts
    from sync.admin.health_page import AttentionTask
    from sync.kernel.humanize import time_span as span

    # The oldest is found by its index, once, within the one query that counts the rest.
    oldest = unresolved_conflicts().values("pk")[:1], unresolved_conflicts().values("detected_at")[:1]
    groups = list(
        unresolved_conflicts()
        .order_by()
        .annotate(first=Subquery(oldest[0]), since=Subquery(oldest[1]))
        .values("entity_type", "conflict_fields", "first", "since")
        .annotate(number=Count("pk"))
    )
    if not groups:
        return []
    first, since = groups[0]["first"], groups[0]["since"]
    number = sum(group["number"] for group in groups)
    what = plural(number, "%(number)s conflict to resolve", "%(number)s conflicts to resolve")
    what %= {"number": f"{number:,}"}
    age = f"The oldest waits for {span((now - since).total_seconds())}."
    url = reverse("admin:conflicts_syncconflict_screen", args=[first])
    return [AttentionTask(what, f"{_fields_sentence(groups)} {age}".strip(), url, "Resolve", "call_split")]


def _fields_sentence(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return the fields that are in conflict most: “12 phone, 5 role and 2 other fields.”."""
    from collections import Counter

    from conflicts.models import default_label

    fields: Counter[str] = Counter()
    for group in groups:
        for key in group["conflict_fields"]:
            fields[default_label(group["entity_type"], key)] += group["number"]
    parts = [f"{number:,} {label}" for label, number in fields.most_common(SHOWN_FIELDS)]
    rest = sum(fields.values()) - sum(number for _label, number in fields.most_common(SHOWN_FIELDS))
    if rest:
        parts.append(plural(rest, "%(rest)s in another field", "%(rest)s in other fields") % {"rest": f"{rest:,}"})
    return f"{', '.join(parts)}." if parts else ""
