"""Filters of the list of conflicts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conflicts.edited_by import edited_in_npd, edited_on_monday
from conflicts.models import SyncConflict
from conflicts.waiting import BEING_APPLIED
from sync import registry
from sync.authors import bare_name, monday_people
from sync.clock import SyncNow
from sync.models import BoardLink, FieldMapping

Choices = Iterable[tuple[str, str]]
PEOPLE = 100
"""People that a filter lists."""


def mappings_of_all(request: HttpRequest) -> list[FieldMapping]:
    """Every field mapping with its board; read once a request, for the filters, the rules and the suggestions."""
    known: list[FieldMapping] | None = getattr(request, "conflict_mappings", None)
    if known is None:
        known = list(FieldMapping.objects.select_related("link"))
        request.conflict_mappings = known  # type: ignore[attr-defined]
    return known


class StateFilter(admin.SimpleListFilter):
    """Open, being applied, settled."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return (
            ("open", _("Open")),
            ("applying", _("Being applied")),
            ("handed_back", _("Handed back")),
            ("settled", _("Settled")),
            ("undoing", _("Being undone")),
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

    title = gettext_lazy("kind of record")
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

    title = gettext_lazy("field")
    parameter_name = "field"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        named = {m.key: m.label for spec in registry.entities() for m in spec.mappings}
        stored = {mapping.key: mapping.label for mapping in mappings_of_all(request)}
        return sorted({**named, **stored}.items(), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        return queryset.filter(conflict_fields__contains=[self.value()]) if self.value() else queryset


class BoardFilter(admin.SimpleListFilter):
    """The boards whose items are concerned."""

    title = gettext_lazy("board")
    parameter_name = "board"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        links = {mapping.link_id: mapping.link for mapping in mappings_of_all(request)}
        return [(str(pk), str(link.shape.get("name") or link)) for pk, link in links.items() if link.board_id]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        value = self.value() or ""
        if not value.isdecimal():
            return queryset.none() if value else queryset
        types = BoardLink.objects.filter(pk=int(value[:18])).values("entity_type")
        return queryset.filter(entity_type__in=types)


class AgeFilter(admin.SimpleListFilter):
    """How long ago a conflict was found."""

    title = gettext_lazy("age")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return (
            ("day", _("Up to a day")),
            ("week", _("Up to a week")),
            ("older", _("More than a week")),
            ("month", _("More than 30 days")),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        match self.value():
            case "day":
                return queryset.filter(detected_at__gte=SyncNow() - timedelta(days=1))
            case "week":
                return queryset.filter(detected_at__gte=SyncNow() - timedelta(days=7))
            case "older":
                return queryset.filter(detected_at__lt=SyncNow() - timedelta(days=7))
            case "month":
                return queryset.filter(detected_at__lt=SyncNow() - timedelta(days=30))
        return queryset


class WhoFilter(admin.SimpleListFilter):
    """Who chose: in what is settled, and in what is being applied."""

    title = gettext_lazy("chosen by")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return people_of_npd(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        value = self.value() or ""
        if not value.isdecimal():
            return queryset.none() if value else queryset
        number = int(value[:9])
        return queryset.filter(Q(resolved_by_id=number) | Q(choice__by_id=number))


class EditedInNpdFilter(admin.SimpleListFilter):
    """Who has edited a field in conflict in NPD of late, by the records' own history."""

    title = gettext_lazy("edited in NPD by")
    parameter_name = "npd_by"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return people_of_npd(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        value = self.value() or ""
        if not value:
            return queryset
        return queryset.filter(edited_in_npd(value)) if value.isdecimal() else queryset.none()


class EditedOnMondayFilter(admin.SimpleListFilter):
    """Who has edited a column in conflict on Monday of late, by its deliveries."""

    title = gettext_lazy("edited on Monday by")
    parameter_name = "monday_by"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        people = [(user, bare_name(user, known)) for known in [monday_people()] for user in known]
        return sorted(people, key=lambda one: one[1])[:PEOPLE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        value = self.value() or ""
        return queryset.filter(edited_on_monday(value)) if value else queryset


def people_of_npd(request: HttpRequest) -> list[tuple[str, str]]:
    """Who may work here, by name; read once a request, for two filters."""
    known: list[tuple[str, str]] | None = getattr(request, "people_of_npd", None)
    if known is None:
        people = get_user_model().objects.filter(is_staff=True).order_by("username")
        known = [(str(one.pk), one.get_full_name() or one.get_username()) for one in people[:PEOPLE]]
        request.people_of_npd = known  # type: ignore[attr-defined]
    return known
