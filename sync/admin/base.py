"""What the engine's admin pages share: read-only lists, JSON shown as lines, names of records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise, lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from sync import registry
from sync.admin import words
from sync.admin.searching import OneScanPaginator
from sync.clock import sync_now

RecordKey = tuple[str, UUID]


class PageChangeList(ChangeList):
    """A page of a list that lets its admin fetch, once, what the rows will show."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page, then what belongs to it."""
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        self.result_list = rows
        self.tell(rows)
        self.model_admin.prepare_page(rows)

    def tell(self, rows: list[Any]) -> None:
        """Put on the rows what the list itself knows already; of most lists, nothing."""


class KnownIdsMixin:
    """An action on ids that can be nobody's answers with a sentence."""

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Do the action, unless an id of the selection can't be one."""
        strange = [
            text
            for text in request.POST.getlist(ACTION_CHECKBOX_NAME)
            if not may_be_key(queryset.model, text)
        ]
        if not strange:
            answer: HttpResponse | None = super().response_action(  # type: ignore[misc]
                request, queryset, *args, **kwargs
            )
            return answer
        messages.warning(
            request,
            f"Nothing was done: “{words.shorten(strange[0], 60)}” is no {queryset.model._meta.verbose_name}. "
            "Reload the list and choose again.",
        )
        return HttpResponseRedirect(request.get_full_path())


def may_be_key(model: type[Model], text: str) -> bool:
    """Whether a text can be the primary key of a row."""
    try:
        model._meta.pk.clean(text, None)
    except ValidationError:
        return False
    return "\0" not in text


class PageAdmin(KnownIdsMixin, ModelAdmin):
    """A list whose rows carry `page_now` and whatever `prepare_page` puts on them."""

    list_per_page = 50
    show_full_result_count = False
    list_filter_submit = True
    empty_title: str | Promise = ""
    empty_words: str | Promise = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that prepares its page."""
        return PageChangeList

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Paginator[Any]:
        """Return a paginator that reads the table once for a search."""
        if request.GET.get(SEARCH_VAR):
            return OneScanPaginator(queryset, *args, **kwargs)
        found: Paginator[Any] = super().get_paginator(request, queryset, *args, **kwargs)
        return found

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
            field = model._meta.get_field(name)
            # Asked for when it is shown: by then the name follows the reader's language.
            label = lazy(lambda field=field: str(field.verbose_name), str)()
            setattr(self, f"{name}_lines", _json_display(name, label))


def _json_display(name: str, label: str) -> Any:
    @admin.display(description=label)
    def lines(obj: Model) -> SafeString | str:
        value = getattr(obj, name)
        if not value:
            return words.NOTHING
        text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
        return format_html('<pre class="npd-json" tabindex="0">{}</pre>', text)

    return lines


def names_of(keys: Iterable[tuple[str, UUID | None]]) -> dict[RecordKey, str]:
    """Return the names of records by type and id, one query a type; records that are gone are missing."""
    wanted: dict[str, set[UUID]] = defaultdict(set)
    for entity_type, entity_id in keys:
        if entity_id is not None:
            wanted[entity_type].add(entity_id)
    found: dict[RecordKey, str] = {}
    for spec in registry.entities():
        if wanted[spec.entity_type]:
            records = spec.model._default_manager.in_bulk(list(wanted[spec.entity_type]))
            found |= {(spec.entity_type, key): str(record) for key, record in records.items()}
    return found


def ids_named(term: str) -> list[UUID]:
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


def record_url(entity_type: str, entity_id: UUID | str) -> str:
    """Return the record's page in the admin, or an empty text where its model has none."""
    try:
        opts = registry.entity(entity_type).model._meta
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[entity_id])
    except (registry.UnknownEntity, NoReverseMatch):
        return ""


def record_link(entity_type: str, entity_id: UUID | None, names: dict[RecordKey, str]) -> SafeString | str:
    """Return a link to the record under its name; a record that is gone is said so."""
    if entity_id is None:
        return words.NOTHING
    name = names.get((entity_type, entity_id))
    if name is None:
        return _("%(entity_type)s, deleted") % {"entity_type": entity_type}
    return format_html('<a class="npd-link" href="{}">{}</a>', record_url(entity_type, entity_id), name)


class RecordLinkMixin:
    """Adds a column with a link to the record of each row; names are fetched once a page."""

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the names of the page's records on its rows."""
        super().prepare_page(rows)  # type: ignore[misc]
        names = names_of((row.entity_type, _uuid(row.entity_id)) for row in rows)
        for row in rows:
            row.page_names = names

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Call the row's page by its record, of which the row itself knows the id alone."""
        row = kwargs.get("obj")
        named = {"page_name": self.name_of_row(row)} if row is not None else {}
        answer: HttpResponse = super().render_change_form(  # type: ignore[misc]
            request, context | named, *args, **kwargs
        )
        return answer

    def name_of_row(self, row: Any) -> str:
        """Return the record's name; one that is gone is said so."""
        key = _uuid(row.entity_id)
        names = names_of([(row.entity_type, key)])
        return names.get((row.entity_type, key), f"{row.entity_type}, deleted") if key else str(row)

    @admin.display(description=gettext_lazy("Record"))
    def record(self, row: Any) -> SafeString | str:
        """Return the link."""
        key = _uuid(row.entity_id)
        names = getattr(row, "page_names", None)
        return record_link(
            row.entity_type, key, names_of([(row.entity_type, key)]) if names is None else names
        )

    @admin.display(description=gettext_lazy("Type"), ordering="entity_type")
    def kind_of_record(self, row: Any) -> str:
        """Return the record's type."""
        return registry.kind_words(row.entity_type)


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
