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

from conflicts.about_record import option_on_side
from conflicts.admin.posted import sides
from conflicts.choice import NPD
from conflicts.errors import ResolutionError, Sides
from conflicts.models import ConflictKind, ResolutionType, SyncConflict
from conflicts.picks import ONE_SIDE, current_values
from conflicts.records import default_label, name_of, record_of
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
    shown = Shown(conflict, name_of(conflict, record_of(conflict)), why_not=_why_not(conflict, kept))
    shown.lines = _lines(conflict, kept)
    shown.seen = json.dumps(
        {key: [both["npd"], both["monday"]] for key, both in current_values(conflict).items()}
    )
    return shown


def _why_not(conflict: SyncConflict, kept: str) -> str:
    if not conflict.is_open:
        return "It is settled already."
    if conflict.is_being_applied:
        return f"{conflict.stored_choice.by} chose already, and that is being applied."
    if conflict.is_about_record and option_on_side(conflict, ONE_SIDE[kept]) is None:
        return "This way is not offered there. Open it to see which are."
    return ""


def _lines(conflict: SyncConflict, kept: str) -> list[str]:
    """What would be done, one sentence a field, or one about the record."""
    if conflict.is_about_record:
        option = option_on_side(conflict, ONE_SIDE[kept])
        return [conflict.what, *([f"{option.label}: {option.effect}"] if option else [])]
    stays, goes = (conflict.npd_data, conflict.monday_data)
    if ONE_SIDE[kept] != NPD:
        stays, goes = goes, stays
    lost = "overwritten edit" if conflict.kind == ConflictKind.OVERWRITTEN else "other side’s value"
    return [
        f"{default_label(conflict.entity_type, key)}: {words.quoted(stays.get(key))} everywhere; "
        f"the {lost} {words.quoted(goes.get(key))} gives way."
        for key in conflict.conflict_fields
    ]


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
