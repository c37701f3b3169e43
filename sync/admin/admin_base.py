"""What every list and page of the admin is made of: read-only lists, pages in few queries, shared filters, badges
and links.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Page, Paginator
from django.db import DataError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RadioFilter, RangeDateTimeFilter
from unfold.utils import parse_datetime_str
from unfold.views import ChangeList

from sync import registry
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.humanize import _REQUEST_ID, DASH, optional_day_and_time, relative_time, without_request_id
from sync.records import record_health
from sync.records.item_links import unmatched_condition
from sync.registry import record_names, record_url

if TYPE_CHECKING:
    from sync.registry import RecordKey


def time_tag(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return a moment as words, with the exact time where the mouse rests and for machines."""
    if moment is None:
        return DASH
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        optional_day_and_time(moment),
        relative_time(moment, now),
    )


def with_request_id(text: str) -> SafeString:
    """Return a sentence with the id of Monday's request in small type: who asks Monday's support needs it."""
    found = _REQUEST_ID.findall(text)
    small = format_html(' <small class="npd-trace">{}</small>', " ".join(found)) if found else ""
    return format_html("{}{}", without_request_id(text), small)


# Columns that many lists have, each made from the name of a field.


def time_column(name: str, description: str) -> Any:
    """Return a column with the moment of a field."""

    @admin.display(description=description, ordering=name)
    def column(model_admin: Any, row: Any) -> SafeString | str:
        return time_tag(getattr(row, name), page_now(row))

    return column


def type_column() -> Any:
    """Return a column with the type of a row's record."""

    @admin.display(description="Type", ordering="entity_type")
    def column(model_admin: Any, row: Any) -> str:
        return registry.type_label(row.entity_type)

    return column


def badge_column(name: str, description: str, badges: Mapping[Any, tuple[str, str]]) -> Any:
    """Return a column with the state of a row as a badge; `badges` gives the colour and the icon of each state."""

    @admin.display(description=description, ordering=name)
    def column(model_admin: Any, row: Any) -> SafeString:
        return badge(*badges[getattr(row, name)], getattr(row, f"get_{name}_display")())

    return column


def icon(name: str) -> SafeString:
    """Return a Material symbol that screen readers pass over."""
    return format_html('<span class="material-symbols-outlined npd-icon" aria-hidden="true">{}</span>', name)


def badge(kind: str, symbol: str, text: str, *, url: str = "", title: str = "") -> SafeString:
    """Return a small label with an icon and words; `kind` is its colour (ok, wait, warn, bad, off)."""
    tag = format_html('<a class="npd-badge npd-badge-{}" href="{}" title="{}">', kind, url, title)
    if not url:
        tag = format_html('<span class="npd-badge npd-badge-{}" title="{}">', kind, title)
    end = "</a>" if url else "</span>"
    return format_html("{}{}{}{}", tag, icon(symbol), text, SafeString(end))


def external_link(url: str, text: str, label: str) -> SafeString:
    """Return a link that leaves the admin; `label` says the same to a screen reader."""
    return format_html(
        '<a class="npd-link" href="{}" target="_blank" rel="noopener" aria-label="{}">{} {}</a>',
        url,
        label,
        text,
        icon("open_in_new"),
    )


# What the engine's admin pages share: read-only lists, JSON shown as lines, names of records.


def see_other(address: str) -> HttpResponse:
    """Go to another page after a form was sent, so that reloading sends nothing again."""
    return HttpResponseRedirect(address, status=HTTPStatus.SEE_OTHER)


class PageChangeList(ChangeList):
    """A page of a list that lets its admin fetch, once, what the rows will show."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page, then what belongs to it."""
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        self.result_list = rows
        self.annotate_rows(rows)
        self.model_admin.prepare_page(rows)

    def annotate_rows(self, rows: list[Any]) -> None:
        """Put on the rows what the list itself knows already; of most lists, nothing."""


class ValidIdsMixin:
    """An action on ids that can be nobody's answers with a sentence; a filter by no date of any calendar with 400."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list; raises BadRequest where the database or Python can't read a filter's value."""
        try:
            return super().get_changelist_instance(request)  # type: ignore[misc]
        except (DataError, OverflowError, ValueError) as error:
            if not request.GET:
                raise
            raise BadRequest("A filter in the address has a value that can't be. Take it out.") from error

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Do the action, unless an id of the selection can't be one."""
        invalid_ids = [
            text for text in request.POST.getlist(ACTION_CHECKBOX_NAME) if not is_valid_key(queryset.model, text)
        ]
        if not invalid_ids:
            answer: HttpResponse | None = super().response_action(  # type: ignore[misc]
                request, queryset, *args, **kwargs
            )
            return answer
        messages.warning(
            request,
            f"Nothing was done: “{humanize.shorten(invalid_ids[0], 60)}” is no {queryset.model._meta.verbose_name}. "
            "Reload the list and choose again.",
        )
        return HttpResponseRedirect(request.get_full_path())


def is_valid_key(model: type[Model], text: str) -> bool:
    """Whether a text can be the primary key of a row."""
    try:
        model._meta.pk.clean(text, None)
    except ValidationError:
        return False
    return "\0" not in text


def may_act(request: HttpRequest, entity_type: str, act: str) -> bool:
    """Whether this user may view, add, change or delete records of a type; none of a type that nobody keeps."""
    try:
        opts = registry.entity(entity_type).model._meta
    except registry.UnknownEntity:
        return False
    return request.user.has_perm(f"{opts.app_label}.{act}_{opts.model_name}")


class PageAdmin(ValidIdsMixin, ModelAdmin):
    """A list whose rows carry `page_now` and whatever `prepare_page` puts on them."""

    list_per_page = 50
    show_full_result_count = False
    list_filter_submit = True
    empty_title: str = ""
    empty_words: str = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that prepares its page."""
        return PageChangeList

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Paginator[Any]:
        """Return a paginator that reads the table once for a search."""
        if request.GET.get(SEARCH_VAR):
            return OneScanPaginator(queryset, *args, **kwargs)
        found: Paginator[Any] = super().get_paginator(request, queryset, *args, **kwargs)
        return found

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show what a row's own page has beyond its fields."""
        row = kwargs.get("obj")
        more = {} if row is None else self.row_context(request, row)
        answer: HttpResponse = super().render_change_form(request, context | more, *args, **kwargs)
        return answer

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the page of a row shows beyond its fields; of most lists, nothing."""
        return {}

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the database's present time on every row that has none yet; one query a page."""
        now = sync_now() if any(not hasattr(row, "page_now") for row in rows) else None
        for row in rows:
            row.page_now = getattr(row, "page_now", now)


class ReadOnlyAdmin(PageAdmin):
    """Everything can be read, nothing changed: the engine writes these rows."""

    json_fields: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are written by the engine alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Rows are written by the engine alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Rows are removed by the engine alone."""
        return False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Show every column, JSON as indented lines."""
        names = [field.name for field in self.opts.concrete_fields]
        return [f"{name}_lines" if name in self.json_fields else name for name in names]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Every field that is shown."""
        return self.get_fields(request, obj)

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        for name in self.json_fields:
            label = str(model._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
            setattr(self, f"{name}_lines", _json_display(name, label))


def _json_display(name: str, label: str) -> Any:
    @admin.display(description=label)
    def lines(obj: Model) -> SafeString | str:
        value = getattr(obj, name)
        if not value:
            return humanize.DASH
        text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
        return format_html('<pre class="npd-json" tabindex="0">{}</pre>', text)

    return lines


def record_ids_by_name(term: str) -> list[UUID]:
    """Return the ids of records whose name holds `term`, at most a thousand a type; one query for all types."""
    if not term:
        return []
    found: list[QuerySet[Any, UUID]] = []
    for spec in registry.entities():
        name = next((mapping.fields[0] for mapping in spec.mappings if mapping.converter == "name"), None)
        if name:
            named = spec.model._default_manager.filter(**{f"{name}__icontains": term}).order_by()
            found.append(named.values_list("id", flat=True)[:1000])
    return list(found[0].union(*found[1:], all=True)) if found else []


def record_link(entity_type: str, entity_id: UUID | None, names: dict[RecordKey, str]) -> SafeString | str:
    """Return a link to the record under its name; a record that was deleted is said so."""
    if entity_id is None:
        return humanize.DASH
    name = names.get((entity_type, entity_id))
    if name is None:
        return f"{entity_type}, deleted"
    return format_html('<a class="npd-link" href="{}">{}</a>', record_url(entity_type, entity_id), name)


class RecordLinkMixin:
    """Adds a column with a link to the record of each row; names are fetched once a page."""

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the names of the page's records on its rows."""
        super().prepare_page(rows)  # type: ignore[misc]
        names = record_names((row.entity_type, _uuid(row.entity_id)) for row in rows)
        for row in rows:
            row.page_names = names

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Call the row's page by its record, of which the row itself knows the id alone."""
        context: dict[str, Any] = super().row_context(request, row)  # type: ignore[misc]
        return context | {"page_name": self.record_name(row)}

    def record_name(self, row: Any) -> str:
        """Return the record's name; one that was deleted is said so."""
        key = _uuid(row.entity_id)
        names = record_names([(row.entity_type, key)])
        return names.get((row.entity_type, key), f"{row.entity_type}, deleted") if key else str(row)

    @admin.display(description="Record")
    def record(self, row: Any) -> SafeString | str:
        key = _uuid(row.entity_id)
        names = getattr(row, "page_names", None)
        return record_link(row.entity_type, key, record_names([(row.entity_type, key)]) if names is None else names)

    kind_of_record = type_column()


class RecordSearchMixin:
    """Finds rows also by the name of their record."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return what the search fields find, and the rows of records so named."""
        found, doubles = super().get_search_results(request, queryset, search_term)  # type: ignore[misc]
        named = [str(key) for key in record_ids_by_name(search_term)]
        return (found | queryset.filter(entity_id__in=named) if named else found), doubles


def _uuid(value: Any) -> UUID | None:
    if value is None or isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError:
        return None


def page_now(row: Any) -> datetime:
    """Return the time that was put on the row with its page, else ask for it."""
    return getattr(row, "page_now", None) or sync_now()


# The pages of a search: the table is read through once for it, not once to count and once more for
# the page.


MAX_KEYS = 10_000
"""Keys that are kept; what finds more is quickly found, so counting it and fetching a page costs little."""


class OneScanPaginator(Paginator):  # type: ignore[type-arg]  # has no parameters when it runs
    """Fetches the keys of everything that is found, in their order, and of a page the rows by their keys."""

    @cached_property
    def _keys(self) -> list[Any] | None:
        """The keys; None where there are too many to keep."""
        rows: Any = self.object_list
        found = list(rows.values_list("pk", flat=True)[: MAX_KEYS + 1])
        return found if len(found) <= MAX_KEYS else None

    @cached_property
    def count(self) -> int:
        """Return how many rows are found."""
        return super().count if self._keys is None else len(self._keys)

    def page(self, number: int | str) -> Page[Any]:
        """Return a page."""
        if self._keys is None:
            whole: Page[Any] = super().page(number)
            return whole
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: Any = self.object_list
        return Page(rows.filter(pk__in=self._keys[first : first + self.per_page]), number, self)


# Filters that several of the engine's lists share.


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


class UnmatchedItemsFilter(RadioFilter):
    """Rows of records, or items of the board that no record has yet."""

    title = "what waits"
    parameter_name = "what"
    CHOICES = (("records", "Records"), ("items", "New items on the board"))

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two."""
        return list(self.CHOICES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen kind."""
        if self.value() == "items":
            return queryset.filter(unmatched_condition())
        return queryset.exclude(unmatched_condition()) if self.value() == "records" else queryset


class HealthFilter(RadioFilter):
    """Records by how their sync stands: the groups of the first page, and why."""

    title = "sync health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return groups and parts."""
        return record_health.health_choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the records that stand so."""
        return record_health.filter_by_health(queryset, self.value() or "")


class DateTimeRangeFilter(RangeDateTimeFilter):
    """Between two moments, read in the page's zone: the theme would hand them on without one, and that reads as UTC."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows between the two; a side that is not filled in, or can't be read, is open."""
        edges = {"gte": self._edge("from"), "lte": self._edge("to")}
        return queryset.filter(
            **{f"{self.parameter_name}__{bound}": moment for bound, moment in edges.items() if moment}
        )

    def _edge(self, side: str) -> datetime | None:
        day, time = (self.used_parameters.get(f"{self.parameter_name}_{side}_{part}") for part in (0, 1))
        typed = parse_datetime_str(f"{day} {time}") if day and time else None
        return timezone.make_aware(typed) if typed else None
