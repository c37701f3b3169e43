"""Settling several conflicts at once by one side: first shown with all their values, then stored for exactly these."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from conflicts.admin.posted import sides
from conflicts.batch_lines import lines, why_not
from conflicts.errors import ResolutionError, Sides
from conflicts.models import ResolutionType, SyncConflict
from conflicts.picks import current_values
from conflicts.records import name_of, record_of
from conflicts.resolution import resolve
from sync.admin import words

MOST = 100
"""Conflicts that one page can show so that a person can still read it."""


@dataclass
class Shown:
    """One conflict on the page that asks whether to go on; `why_not` is why it is left out."""

    conflict: SyncConflict
    name: str
    lines: list[str] = field(default_factory=list)
    seen: str = ""
    why_not: str = ""


def keep(
    model_admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[SyncConflict], kept: str
) -> HttpResponse | None:
    """Ask, or after the person's yes store the choice for each conflict whose values are still those shown."""
    if "confirmed" in request.POST:
        _store(request, queryset, kept)
        return None
    chosen = list(queryset.order_by("detected_at", "id")[: MOST + 1])
    if len(chosen) > MOST:
        messages.error(request, f"Nothing was stored: choose at most {MOST} conflicts at a time.")
        return None
    shown = [_shown(conflict, kept) for conflict in chosen]
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{ResolutionType(kept).label}: are you sure?",
        "opts": model_admin.opts,
        "kept": kept,
        "label": ResolutionType(kept).label,
        "ready": [one for one in shown if not one.why_not],
        "left_out": [one for one in shown if one.why_not],
        "action_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "conflicts/bulk.html", context)


def _shown(conflict: SyncConflict, kept: str) -> Shown:
    shown = Shown(conflict, name_of(conflict, record_of(conflict)), why_not=why_not(conflict, kept))
    shown.lines = lines(conflict, kept)
    shown.seen = json.dumps(
        {key: [both["npd"], both["monday"]] for key, both in current_values(conflict).items()}
    )
    return shown


def _store(request: HttpRequest, queryset: QuerySet[SyncConflict], kept: str) -> None:
    stored, refused = 0, []
    for conflict in queryset.order_by("detected_at", "id")[:MOST]:
        try:
            resolve(
                conflict.pk,
                by=cast("User", request.user),
                resolution_type=kept,
                seen=_seen(request, conflict),
            )
            stored += 1
        except ResolutionError as error:
            refused.append(f"{name_of(conflict, record_of(conflict))}: {error}")
    if stored:
        messages.success(request, f"{words.counted(stored, 'choice')} stored; the next looks apply them.")
    for reason in refused:
        messages.warning(request, reason)


def _seen(request: HttpRequest, conflict: SyncConflict) -> dict[str, Sides]:
    """The values of a conflict that the page had shown; what was tampered with is nothing that was seen."""
    try:
        shown = json.loads(request.POST.get(f"seen-{conflict.pk}", "{}"))
        return {str(key): sides(json.dumps(pair)) for key, pair in shown.items()}
    except (ValueError, AttributeError):
        return {}
