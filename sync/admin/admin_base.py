"""What every list and page of the admin is made of: lists in few queries, shared filters, badges and links."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RadioFilter
from unfold.templatetags import unfold_list
from unfold.views import ChangeList

from sync import registry
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.kernel.humanize import DASH, icon, relative_time, request_ids, without_request_id
from sync.models import FieldMapping, SyncedModel
from sync.records import availability
from sync.records.availability import BoardAvailability, Overview
from sync.records.tombstones import tombstone_name, tombstones_of
from sync.state import record_view


def time_tag(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return a moment as words, with the exact time where the mouse rests and for machines."""
    return DASH if moment is None else humanize.time_element(moment, relative_time(moment, now))


def with_request_id(text: str) -> SafeString:
    """Return a sentence with the id of Monday's request in a fold: who asks Monday's support needs it."""
    ids = request_ids(text)
    fold = '<details class="npd-trace"><summary>Technical details</summary>{}</details>'
    return format_html("{}{}", without_request_id(text), format_html(fold, " ".join(ids)) if ids else "")


def describe(record: SyncedModel) -> str:
    """Return the record's first values besides its name, by which it is told from others."""
    fields = [field for field in registry.own_fields(type(record)) if field.name != registry.name_field(type(record))]
    values = [str(getattr(record, field.name) or "") for field in fields[:3]]
    return " · ".join(humanize.shorten(value, 60) for value in values if value)


# Columns that many lists have, each made from the name of a field.


def time_column(name: str, description: str, ordering: str = "") -> Any:
    @admin.display(description=description, ordering=ordering or name)
    def column(model_admin: Any, row: Any) -> SafeString | str:
        return time_tag(getattr(row, name), row.page_now)

    return column


def plain_column(description: str, value: Callable[[Any], Any], ordering: str = "") -> Any:
    """Return a column that says of a row what `value` does, with nothing around it."""

    @admin.display(description=description, ordering=ordering or None)
    def column(model_admin: Any, row: Any) -> Any:
        return value(row)

    return column


def type_column() -> Any:
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


def link_to(url: str, text: Any) -> SafeString | str:
    """Return a link to a page of the admin; without an address the text alone."""
    return format_html('<a class="npd-link" href="{}">{}</a>', url, text) if url else str(text)


def own_address(request: HttpRequest, *addresses: str | None) -> str:
    """Return the first of these addresses that is one of this site, without the site; empty where none is.

    For where a form or a browser says that a person came from.
    """
    site = {request.get_host()}
    for address in addresses:
        if address and url_has_allowed_host_and_scheme(address, site, require_https=request.is_secure()):
            # Once more: without the site, a path that begins with slashes would name another.
            inner = urlsplit(address)._replace(scheme="", netloc="").geturl()
            if url_has_allowed_host_and_scheme(inner, None):
                return inner
    return ""


def parse_json(text: str) -> Any:
    """Return what a form has sent as JSON; None where it can't be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def see_other(address: str) -> HttpResponse:
    """Go to another page after a form was sent, so that reloading sends nothing again."""
    return HttpResponseRedirect(address, status=HTTPStatus.SEE_OTHER)


def own_page(
    model_admin: Any, request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any
) -> TemplateResponse:
    """Answer with a page that an admin has beside its list and its forms."""
    shared = {**model_admin.admin_site.each_context(request), "title": title, "opts": model_admin.opts}
    return TemplateResponse(request, template, shared | context, status=status)


_draw_headers = unfold_list.result_headers


def _headers_once(changelist: Any) -> list[dict[str, Any]]:
    """The headers of a list's columns, drawn once a page."""
    headers: list[dict[str, Any]] | None = changelist.__dict__.get("_headers")
    if headers is None:
        headers = changelist._headers = list(_draw_headers(changelist))
    return headers


# The theme draws them anew for each row, to label its cells on small screens, and has no hook for it: 20 ms of the 100
# that a page of 50 contacts or jobs costs. Its pull request 2172 mends it, after the last version for Python 3.11.
unfold_list.result_headers = _headers_once


def overview_of(request: HttpRequest) -> Overview:
    """Return how the boards stand, each part of it read once for all that a page shows."""
    if not hasattr(request, "page_overview"):
        request.page_overview = availability.overview()  # type: ignore[attr-defined]
    overview: Overview = request.page_overview  # type: ignore[attr-defined]
    return overview


@dataclass(frozen=True)
class ListTab:
    """A filter or another list that stands above a list, one click away, and how many records it has."""

    label: str
    url: str
    is_current: bool
    count: int = 0


class PageChangeList(ChangeList):
    """A page of a list that lets its admin fetch, once, what the rows will show."""

    result_list: Any
    empty_words: str
    empty_doors: Sequence[tuple[str, str]]
    tab_parameter = ""  # the filter that the tabs above the list are

    @property
    def filters_set(self) -> int:
        """How many filters narrow the list, besides its tab."""
        chosen = {name for name, values in self.filter_params.items() if any(values)} - {self.tab_parameter}
        return sum(not chosen.isdisjoint(spec.expected_parameters()) for spec in self.filter_specs)

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page, then what belongs to it."""
        super().get_results(request)
        rows: list[Any] = [*self.rows_above(), *self.result_list]
        self.result_list = rows
        self.empty_words, self.empty_doors = ("", []) if rows else self.model_admin.empty_list(request)
        self.model_admin.prepare_page(request, rows)

    def rows_above(self) -> list[Any]:
        """Return what stands above the page's rows and is not stored as they are; of most lists, nothing."""
        return []


def is_valid_key(model: type[models.Model], text: str) -> bool:
    try:
        model._meta.pk.clean(text, None)
    except ValidationError:
        return False
    return "\0" not in text


class PageAdmin(ModelAdmin):
    """A list whose rows carry `page_now` and whatever `prepare_page` puts on them."""

    list_per_page = 50
    # Django would count the whole table for it, at every page.
    show_full_result_count = False
    list_filter_submit = True
    delete_selected_confirmation_template = "admin/delete_confirmation.html"
    # On a phone a card has no labels, and leaves it out (static/npd/npd.css).
    empty_value_display = f'<span class="npd-none">{humanize.DASH}</span>'
    changelist: type[ChangeList] = PageChangeList
    empty_title: str = ""
    empty_words: str = ""
    # What one row and several are called where the model's own name is no word of the pages.
    row_names: tuple[str, str] | None = None

    def empty_list(self, request: HttpRequest) -> tuple[str, list[tuple[str, str]]]:
        """What an empty list says, and what this person may do so that it gets rows, as labels and addresses."""
        return self.empty_words, []

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return self.changelist

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show what a row's own page has beyond its fields."""
        row = kwargs.get("obj")
        more = {} if row is None else self.row_context(request, row)
        # Who makes one record or endpoint rarely makes another right after it.
        more = {"show_save_and_add_another": False} | more
        answer: HttpResponse = super().render_change_form(request, context | more, *args, **kwargs)
        return answer

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Say in our words that there is no such row, and go to the list of those that are there."""
        text = f"There is no such {opts.verbose_name} any more: it was deleted, or the address was cut off."
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"))

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the page of a row shows beyond its fields; of most lists, nothing."""
        return {}

    def is_list(self, request: HttpRequest) -> bool:
        """Whether the list is asked for, and no row's page or act."""
        match = request.resolver_match
        return match is not None and match.url_name == f"{self.opts.app_label}_{self.opts.model_name}_changelist"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Return the rows, each with the database's present time."""
        rows: models.QuerySet[Any] = super().get_queryset(request).annotate(page_now=SyncNow())
        return rows

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Put on the rows of a page what their cells show; of most lists, nothing."""


class ReadOnlyAdmin(PageAdmin):
    """Everything can be read, nothing changed: the engine writes these rows."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are written by the engine alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of a page, which carries what the rows of the list do."""
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.prepare_page(request, [row])
        return row

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return list(self.fields or (field.name for field in self.opts.concrete_fields))

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return self.get_fields(request, obj)


def record_ids_by_name(term: str) -> list[UUID]:
    """Return the ids of records whose name holds `term`, at most a thousand a type; one query for all types."""
    if not term:
        return []
    queries: list[models.QuerySet[Any, UUID]] = []
    for spec in registry.entities():
        if spec.name_field:
            named = spec.model._default_manager.filter(
                registry.searching(spec.model, [spec.name_field], term)
            ).order_by()
            queries.append(named.values_list("id", flat=True)[:1000])
    return list(queries[0].union(*queries[1:], all=True)) if queries else []


class RecordLinkMixin(PageAdmin):
    """Adds a column with a link to the record of each row; names are fetched once a page.

    Deleted records lead to where they can be restored, for who may see that.
    """

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        super().prepare_page(request, rows)
        keys = {(row.entity_type, row.entity_id) for row in rows}
        names = registry.record_names(keys)
        gone = {(kind, key) for kind, key in keys if key is not None and (kind, key) not in names}
        tombstones = {
            (stone.entity_type, stone.entity_id): stone
            for stone in tombstones_of({kind for kind, _key in gone}, [key for _kind, key in gone])
        }
        opens_deleted = request.user.has_perm("sync.view_tombstone")
        for row in rows:
            about = (row.entity_type, row.entity_id)
            row.page_is_gone = about not in names
            if not row.page_is_gone:
                row.page_record = names[about]
                row.page_record_url = registry.record_url(*about)
                continue
            stone = tombstones.get(about)
            row.page_record = (tombstone_name(stone) if stone else "") or registry.type_label(row.entity_type)
            is_link = opens_deleted and stone is not None and stone.pk is not None
            row.page_record_url = reverse("admin:sync_tombstone_change", args=[stone.pk]) if stone and is_link else ""

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Call the row's page by its record, of which the row itself knows the id alone."""
        return super().row_context(request, row) | {"page_name": self.record_name(row)}

    def record_name(self, row: Any) -> str:
        if row.entity_id is None:
            return str(row)
        return f"{row.page_record}, deleted" if row.page_is_gone else row.page_record

    @admin.display(description="Record")
    def record(self, row: Any) -> SafeString | str:
        if row.entity_id is None:
            return DASH
        shown = link_to(row.page_record_url, row.page_record)
        return format_html("{} {}", shown, badge("off", "delete", "Deleted")) if row.page_is_gone else shown

    kind_of_record = type_column()


class RecordSearchMixin(PageAdmin):
    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        rows, has_doubles = super().get_search_results(request, queryset, search_term)
        named = [str(key) for key in record_ids_by_name(search_term)]
        return (rows | queryset.filter(entity_id__in=named) if named else rows), has_doubles


# Filters that several of the engine's lists share.


class EntityFilter(RadioFilter):
    """By the record's type."""

    title = "type"
    parameter_name = "entity_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(spec.entity_type, spec.board_title) for spec in registry.entities()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(entity_type=self.value()) if self.value() else queryset


class HealthFilter(RadioFilter):
    """Records by the four states that their sync has; an address may ask for a part of one, as figures do."""

    title = "sync state"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in record_view.RecordState]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return record_view.filter_by_health(queryset, self.value() or "")


@dataclass(frozen=True)
class Badge:
    """A state as colour, icon and words."""

    kind: str
    icon: str
    words: str


def board_badge(board: BoardAvailability, blocked: Sequence[FieldMapping] = ()) -> Badge:
    """Return which of the four states of a board it is in; `blocked` are its fields whose columns can't be used."""
    if not board.has_board:
        return Badge("off", "link_off", "Not set up")
    if board.is_paused:
        return Badge("warn", "pause_circle", "Paused")
    if board.is_stopped:
        return Badge("bad", "block", "Stopped")
    if blocked:
        columns = humanize.count_with_noun(len(blocked), "column")
        return Badge("warn", "view_column", f"Syncing; {columns} can't be used")
    return Badge("ok", "check_circle", "Syncing")


def records_url(spec: registry.EntitySpec, health: str = "") -> str:
    """Return the list of this type's records, of those that are in a state; empty where the admin has none."""
    opts = spec.model._meta
    query = urlencode({"health": health}) if health else ""
    return registry.page_url(f"{opts.app_label}_{opts.model_name}_changelist", query=query)
