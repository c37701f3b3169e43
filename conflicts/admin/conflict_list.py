"""The list of conflicts in the admin: its columns, filters and actions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth import get_user_model
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from conflicts.admin.bulk_resolution import BulkResolutionMixin
from conflicts.admin.case_screen import CaseMixin, all_mappings, marked_excerpt, screen_url
from conflicts.case import APPLYING, HANDED_BACK, OPEN, PARTLY, SETTLED, STATE_LABELS, UNDOING, Case, listed_case
from conflicts.models import (
    BEING_APPLIED,
    MONDAY,
    NPD,
    OPEN_FIRST,
    UNDO,
    ConflictKind,
    SyncConflict,
    counts,
    default_label,
    open_by_field,
)
from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import DeletedName, EntityFilter, PageAdmin, names_of_rows, record_ids_by_name
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.registry import type_name

Choices = Iterable[tuple[str, str]]

PEOPLE = 100
"""People that a filter lists."""


NOTHING = Q(pk__in=[])


class ConditionFilter(admin.SimpleListFilter):
    """A filter of which each value is a condition on conflicts; without one all are shown."""

    def condition(self, value: str) -> Q:
        """Return the condition; Q() where an address names a value that there is none of."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        value = self.value()
        return queryset.filter(self.condition(value)) if value else queryset


ALL = "all"
"""The value of the state's filter that lets everything through."""


def default_state(request: HttpRequest) -> str:
    """The state that is listed where the address names none: who asks what somebody has resolved doesn't mean open."""
    return ALL if request.GET.get(WhoFilter.parameter_name) else OPEN


def _asks_for_removed(request: HttpRequest) -> bool:
    """Whether the address asks for a kind or a record: else what was removed, which the inbox has, isn't listed."""
    return any(name == SEARCH_VAR or name.startswith("kind") for name in request.GET)


class StateFilter(ConditionFilter):
    """Open, being applied, resolved; the open ones where the address says nothing."""

    title = "state"
    parameter_name = "state"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        self.default = default_state(request)
        self.has_removed = _asks_for_removed(request)

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        states = [(state, label) for state, label in STATE_LABELS.items() if state != PARTLY]
        return [(ALL, "All"), *((state, capfirst(label)) for state, label in states)]

    def value(self) -> str | None:
        return super().value() or self.default

    def choices(self, changelist: Any) -> Any:
        """All states to choose from, without the choice of none."""
        return list(super().choices(changelist))[1:]

    def condition(self, value: str) -> Q:
        conditions = {
            OPEN: Q(resolved_at=None) & (Q() if self.has_removed else ~Q(kind=ConflictKind.DELETE)),
            APPLYING: BEING_APPLIED,
            HANDED_BACK: Q(resolved_at=None) & ~BEING_APPLIED & ~Q(resolution_problem=""),
            SETTLED: Q(resolved_at__isnull=False),
            UNDOING: Q(resolution__resolution_type=UNDO),
        }
        return conditions.get(value, Q())


class FieldFilter(ConditionFilter):
    """The fields in conflict."""

    title = "field"
    parameter_name = "field"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        named = {m.key: m.label for spec in registry.entities() for m in spec.mappings}
        stored = {mapping.key: mapping.label for mapping in all_mappings(request)}
        return sorted({**named, **stored}.items(), key=lambda choice: choice[1])

    def condition(self, value: str) -> Q:
        return Q(conflict_fields__contains=[value])


class AgeFilter(ConditionFilter):
    """How long ago a conflict was found."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return (
            ("day", "Up to a day"),
            ("week", "Up to a week"),
            ("older", "More than a week"),
            ("month", "More than 30 days"),
        )

    def condition(self, value: str) -> Q:
        conditions = {
            "day": Q(detected_at__gte=SyncNow() - timedelta(days=1)),
            "week": Q(detected_at__gte=SyncNow() - timedelta(days=7)),
            "older": Q(detected_at__lt=SyncNow() - timedelta(days=7)),
            "month": Q(detected_at__lt=SyncNow() - timedelta(days=30)),
        }
        return conditions.get(value, Q())


class WhoFilter(ConditionFilter):
    """Who chose the resolution: of resolved conflicts, and of those being applied."""

    title = "resolved by"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        people = get_user_model().objects.filter(is_staff=True).order_by("username")
        return [(str(user.pk), user.get_full_name() or user.get_username()) for user in people[:PEOPLE]]

    def condition(self, value: str) -> Q:
        if not value.isdecimal():
            return NOTHING
        return Q(resolved_by_id=int(value[:9])) | Q(resolution__by_id=int(value[:9]))


COUNTED_FIELDS = 12
"""Fields that the list counts the open conflicts of; the others are found by the filter."""

WHAT_CHARACTERS = 80
"""Characters of the sentence that says in the list what a conflict about a record is."""

BADGES = {
    OPEN: ("warn", "call_split"),
    APPLYING: ("go", "sync"),
    HANDED_BACK: ("bad", "undo"),
    PARTLY: ("warn", "rule"),
    SETTLED: ("ok", "check_circle"),
    UNDOING: ("go", "undo"),
}


@admin.register(SyncConflict)
class SyncConflictAdmin(BulkResolutionMixin, CaseMixin, PageAdmin):
    """Conflicts are opened and closed by passes; people resolve them on their screen."""

    list_display = ("of_record", "in_conflict", "npd_says", "monday_says", "since")
    list_display_links = None
    list_filter = (StateFilter, EntityFilter, "kind", FieldFilter, AgeFilter, WhoFilter)
    list_filter_submit = False
    list_fullwidth = True
    search_fields = ("monday_item_id",)
    search_help_text = "A record's name, or the number of its item on Monday"
    actions = ("keep_npd", "keep_monday")
    ordering = OPEN_FIRST
    change_list_template = "conflicts/list.html"
    empty_title = "No conflicts here"
    empty_words = (
        "When two people change the same field differently, one in NPD and one on Monday, it is listed here. "
        "Nothing is overwritten meanwhile."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Conflicts are found by passes, never made by hand.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SyncConflict | None = None) -> bool:
        # They are resolved, never deleted.
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncConflict]:
        rows: QuerySet[SyncConflict] = super().get_queryset(request).annotate(page_now=SyncNow())
        return rows

    def prepare_page(self, rows: list[Any]) -> None:
        """Fetch the names of the page's records, with one query per type."""
        super().prepare_page(rows)
        names = names_of_rows(rows)
        for row in rows:
            name = names.get((row.entity_type, row.entity_id), f"{type_name(row.entity_type)}, deleted")
            is_there = (row.entity_type, row.entity_id) in names and not isinstance(name, DeletedName)
            row.page_case = listed_case(row, name, removed_side=MONDAY if is_there else NPD)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SyncConflict], search_term: str
    ) -> tuple[QuerySet[SyncConflict], bool]:
        """Search by the records' names, or by an item's exact number."""
        text = search_term.strip()
        if not text:
            return queryset, False
        return queryset.filter(Q(monday_item_id=text) | Q(entity_id__in=record_ids_by_name(text))), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show above the list how many conflicts there are, by state and by field."""
        numbers = counts()
        context = {
            "counts": {**numbers, "open": numbers["open"] - numbers["removed"]},
            "by_field": [
                (entity_type, key, default_label(entity_type, key), number)
                for entity_type, key, number in open_by_field()[:COUNTED_FIELDS]
            ],
            "shows_removed": request.GET.get("kind__exact") == ConflictKind.DELETE,
            "state": request.GET.get(StateFilter.parameter_name) or default_state(request),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Go to the side-by-side screen, which takes the place of a form."""
        conflict = self.get_object(request, object_id)
        if conflict is None:
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return redirect
        return HttpResponseRedirect(screen_url(conflict.pk))

    @admin.display(description="Record")
    def of_record(self, conflict: Any) -> SafeString:
        return format_html(
            '<a class="cfl-name" href="{}">{}</a><span class="cfl-sub">{}</span>',
            screen_url(conflict.pk),
            conflict.page_case.name,
            type_name(conflict.entity_type),
        )

    @admin.display(description="In conflict")
    def in_conflict(self, conflict: SyncConflict) -> SafeString | str:
        """The fields, and the kind of a conflict that is not about fields that differ."""
        labels = conflict.labels(conflict.conflict_fields)
        if conflict.kind == ConflictKind.FIELDS:
            return labels
        about = humanize.shorten(conflict.what, WHAT_CHARACTERS) or labels
        return format_html('{}<span class="cfl-sub">{}</span>', conflict.kind_label, about)

    @admin.display(description="NPD")
    def npd_says(self, conflict: Any) -> SafeString | str:
        return _first_value(conflict.page_case, NPD)

    @admin.display(description="Monday")
    def monday_says(self, conflict: Any) -> SafeString | str:
        return _first_value(conflict.page_case, MONDAY)

    @admin.display(description="Found", ordering="detected_at")
    def since(self, conflict: Any) -> SafeString:
        """Whether it is being applied or resolved, which the list's tab doesn't say, and how long ago it was found."""
        state = conflict.page_case.progress.state
        label = capfirst(str(STATE_LABELS[state]))
        badge = admin_base.badge(*BADGES[state], label, title=conflict.resolution_problem)
        found = admin_base.time_tag(conflict.detected_at, conflict.page_now)
        quiet = mark_safe(" hidden") if state == OPEN else ""
        return format_html('<span data-state{}>{}</span><span class="cfl-sub">{}</span>', quiet, badge, found)


def _first_value(case: Case, side: str) -> SafeString | str:
    """The first field's value around what differs, and how many more there are; of a delete, the deleted side."""
    if case.removed_side == side:
        return "removed"
    if not case.fields:
        return humanize.DASH
    first = case.fields[0]
    more = len(case.fields) - 1
    marked = marked_excerpt(first, side)
    value = getattr(first, side) or ""
    shown = format_html('<span class="cfl-value" dir="auto" title="{}">{}</span>', value, marked)
    if not more:
        return shown
    return format_html('{}<span class="cfl-sub">and {} more</span>', shown, intcomma(more))
