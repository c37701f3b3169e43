"""The rows that the queue's list shows by its filters: as a query, in words, and what can be done with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from sync import registry
from sync.admin.filters import NewItemsFilter
from sync.admin.queue_acts import ACTS, Act
from sync.admin.queue_paging import LIVE
from sync.choices import QueueDirection, QueueStatus
from sync.models import SyncQueue

NOT_A_FILTER = (PAGE_VAR, ERROR_FLAG)
"""Parameters of the list's address that say nothing about which rows match."""


def matching(model_admin: Any, request: HttpRequest) -> QuerySet[SyncQueue]:
    """Return all rows that match the filters in this request's address; none where it can't be read."""
    try:
        listed = model_admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return SyncQueue.objects.none()
    rows: QuerySet[SyncQueue] = listed.get_queryset(request)
    return rows.order_by()


def address(params: QueryDict) -> str:
    """Return these filters as the query of an address."""
    kept = params.copy()
    for name in NOT_A_FILTER:
        kept.pop(name, None)
    return kept.urlencode()


def offered(request: HttpRequest) -> list[Act]:
    """Return what this user can do with all that match: nothing that fits none of the listed states."""
    chosen = set(request.GET.getlist("status__exact") or LIVE)
    return [act for act in ACTS.values() if chosen & set(act.fits) and act.may(request.user)]


def filters_in_words(params: QueryDict) -> str:
    """Return what the filters let through, in words."""
    named = [
        ("status", _labels(params.getlist("status__exact") or LIVE, dict(QueueStatus.choices))),
        ("type", _labels(params.getlist("entity_type"), _titles())),
        ("direction", _labels(params.getlist("direction__exact"), dict(QueueDirection.choices))),
        ("what waits", _labels(params.getlist("what"), dict(NewItemsFilter.CHOICES))),
        ("search", f"“{params[SEARCH_VAR]}”" if params.get(SEARCH_VAR) else ""),
    ]
    return "; ".join(f"{name}: {text}" for name, text in named if text)


def _labels(values: Any, known: Mapping[Any, Any]) -> str:
    return " or ".join(str(known.get(value, value)) for value in values if value)


def _titles() -> dict[str, str]:
    return {spec.entity_type: spec.board_title for spec in registry.entities()}
