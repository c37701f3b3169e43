"""Filters that several of the engine's lists share."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RadioFilter

from sync import registry
from sync.newcomers import of_new_items


class EntityFilter(RadioFilter):
    """By the record's type."""

    title = "type"
    parameter_name = "entity_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the synced models."""
        return [(spec.entity_type, spec.board_title) for spec in registry.entities()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen type."""
        return queryset.filter(entity_type=self.value()) if self.value() else queryset


class NewItemsFilter(RadioFilter):
    """Rows of records, or items of the board that no record has yet."""

    title = "what waits"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two."""
        return [("records", "Records"), ("items", "New items on the board")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen kind."""
        if self.value() == "items":
            return queryset.filter(of_new_items())
        return queryset.exclude(of_new_items()) if self.value() == "records" else queryset
