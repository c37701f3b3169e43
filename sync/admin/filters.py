"""Filters that several of the engine's lists share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RadioFilter, RangeDateTimeFilter
from unfold.utils import parse_datetime_str

from sync import record_health, registry
from sync.newcomers import of_new_items


class EntityFilter(RadioFilter):
    """By the record's type."""

    title = _("type")
    parameter_name = "entity_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the synced models."""
        return [(spec.entity_type, spec.board_title) for spec in registry.entities()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen type."""
        return queryset.filter(entity_type=self.value()) if self.value() else queryset


class NewItemsFilter(RadioFilter):
    """Rows of records, or items of the board that no record has yet."""

    title = _("what waits")
    parameter_name = "what"
    CHOICES = (("records", _("Records")), ("items", _("New items on the board")))

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two."""
        return [(value, str(label)) for value, label in self.CHOICES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen kind."""
        if self.value() == "items":
            return queryset.filter(of_new_items())
        return queryset.exclude(of_new_items()) if self.value() == "records" else queryset


class HealthFilter(RadioFilter):
    """Records by how their sync stands: the groups of the first page, and why."""

    title = _("sync health")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return groups and parts."""
        return record_health.choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the records that stand so."""
        return record_health.standing_so(queryset, self.value() or "")


class MomentsFilter(RangeDateTimeFilter):
    """Between two moments, read in the page's zone: the theme would hand them on without one, and that reads as UTC."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows between the two; a side that is not filled in, or can't be read, is open."""
        edges = {"gte": self._edge("from"), "lte": self._edge("to")}
        return queryset.filter(
            **{f"{self.parameter_name}__{way}": moment for way, moment in edges.items() if moment}
        )

    def _edge(self, side: str) -> datetime | None:
        day, time = (self.used_parameters.get(f"{self.parameter_name}_{side}_{part}") for part in (0, 1))
        typed = parse_datetime_str(f"{day} {time}") if day and time else None
        return timezone.make_aware(typed) if typed else None
