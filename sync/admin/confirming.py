"""The page that says what an action will do, before it does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise

SHOWN = 200
"""Rows that the page lists; of more it says how many."""


def confirm(
    model_admin: Any,
    request: HttpRequest,
    queryset: QuerySet[Any],
    *,
    action: str,
    title: str,
    sentences: Sequence[str | Promise],
    heads: Sequence[str],
    cells: Sequence[Sequence[object]],
    yes: str,
) -> HttpResponse:
    """Return the page; its button sends the same selection again, with `confirmed` in the form."""
    opts = model_admin.opts
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": opts,
        "sentences": sentences,
        "heads": heads,
        "rows": [list(zip(heads, row, strict=True)) for row in cells],
        "total": queryset.count(),
        "yes": yes,
        "action": action,
        "checkbox": ACTION_CHECKBOX_NAME,
        "target": reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"),
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
    }
    return TemplateResponse(request, "sync/confirm_action.html", context)
