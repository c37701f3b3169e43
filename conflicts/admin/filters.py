"""Filters of the list of conflicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from conflicts.models import SyncConflict
from conflicts.waiting import BEING_APPLIED
from sync import registry
from sync.models import FieldMapping

Choices = Iterable[tuple[str, str]]


class StateFilter(admin.SimpleListFilter):
    """Open, being applied, settled."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return (
            ("open", "Open"),
            ("applying", "Being applied"),
            ("handed_back", "Handed back"),
            ("settled", "Settled"),
            ("undoing", "Being undone"),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        match self.value():
            case "open":
                return queryset.filter(resolved_at=None)
            case "applying":
                return queryset.filter(BEING_APPLIED)
            case "handed_back":
                return queryset.filter(resolved_at=None).exclude(BEING_APPLIED).exclude(choice_problem="")
            case "settled":
                return queryset.exclude(resolved_at=None)
            case "undoing":
                return queryset.exclude(resolved_at=None).filter(choice__isnull=False)
        return queryset


class EntityFilter(admin.SimpleListFilter):
    """Contacts, organizations, whatever else is synced."""

    title = "kind of record"
    parameter_name = "entity_type"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return [
            (spec.entity_type, str(spec.model._meta.verbose_name_plural).capitalize())
            for spec in registry.entities()
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        return queryset.filter(entity_type=self.value()) if self.value() else queryset


class FieldFilter(admin.SimpleListFilter):
    """The fields in conflict."""

    title = "field"
    parameter_name = "field"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        named = {m.key: m.label for spec in registry.entities() for m in spec.mappings}
        stored = FieldMapping.objects.values_list("key", "label")
        return sorted({**named, **dict(stored)}.items(), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        return queryset.filter(conflict_fields__contains=[self.value()]) if self.value() else queryset
