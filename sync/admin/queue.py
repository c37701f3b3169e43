"""The queue in the admin: how it stands, what waits, why and until when; and the doors to steer it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync.admin import words
from sync.admin.base import PageChangeList, ReadOnlyAdmin, RecordLinkMixin, ids_named, page_now
from sync.admin.filters import EntityFilter, NewItemsFilter
from sync.admin.queue_acts import ACTS, Act
from sync.admin.queue_match import address, offered
from sync.admin.queue_paging import CappedPaginator, StatusFilter, lists_live_rows
from sync.admin.queue_panel import Panel, panel_of
from sync.admin.queue_pauses import PausingMixin
from sync.admin.queue_steering import SteeringMixin
from sync.admin.queue_words import (
    BADGES,
    causes_in_words,
    holds,
    item_called,
    item_link,
    item_of_record,
    links_of,
    next_look,
    why,
)
from sync.choices import QueueStatus
from sync.models import SyncQueue
from sync.newcomers import item_names
from sync.queue_permissions import Steering, may
from sync.queue_views import LIVE_ROWS

_SAID = (
    *("id", "entity_id", "remote_id", "causes", "status"),
    *("error_message", "reason", "attempts", "max_attempts"),
)
"""Columns that the page of a row says in words before its other columns."""


class QueueChangeList(PageChangeList):
    """The list with its panel, both of one moment."""

    request: HttpRequest

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page."""
        self.request = request
        super().get_results(request)

    def tell(self, rows: list[Any]) -> None:
        """What the panel shows of the boards is what their rows say, too."""
        for row in rows:
            row.page_now = self.panel.now
            row.page_held = self.panel.holds
            row.page_links = self.panel.links

    def get_filters(self, request: HttpRequest) -> tuple[Any, ...]:
        """The filters that the list opens with are none that a person has set."""
        *found, active = super().get_filters(request)
        return (*found, active and not lists_live_rows(dict(self.filter_params) | {SEARCH_VAR: ""}))

    @property
    def panel(self) -> Panel:
        """How the queue stands."""
        return panel_of(self.request)

    @property
    def acts(self) -> list[Act]:
        """What this user can do with all that match."""
        return offered(self.request) if self.result_count else []

    @property
    def address(self) -> str:
        """The filters, as the query of an address."""
        return address(self.request.GET)


@admin.register(SyncQueue)
class SyncQueueAdmin(SteeringMixin, PausingMixin, RecordLinkMixin, ReadOnlyAdmin):
    """Rows that say "this record may differ"."""

    list_display = (
        "state",
        "record_or_item",
        "kind_of_record",
        "way",
        "tries",
        "next_try",
        "reason_words",
        "age",
    )
    list_display_links = ("state",)
    list_filter = (
        ("status", StatusFilter),
        EntityFilter,
        ("direction", ChoicesCheckboxFilter),
        NewItemsFilter,
    )
    search_fields = ("remote_id", "error_message", "reason", "entity_id")
    search_help_text = gettext_lazy("A record's name or id, the number of an item, or words of an error")
    ordering = ("-id",)
    json_fields = ("payload",)
    # Counting what each filter would let through reads the whole table.
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "sync/queue_list.html"
    list_before_template = "sync/queue_panel.html"
    change_form_outer_before_template = "sync/queue_buttons.html"
    empty_title = gettext_lazy("Nothing waits")
    empty_words = gettext_lazy(
        "Nothing waits, nothing is being worked on, and nothing has stopped. A save in NPD or an edit on a board "
        "writes a row; rows that are done are listed by the filter “Completed”."
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say the row in words first, then its columns."""
        first = ["record_or_item", "item_on_monday", "state", "full_reason", "next_try", "tries", "wrote_it"]
        return [*first, *(name for name in super().get_fields(request, obj) if name not in _SAID)]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QueueChangeList]:
        """Return the list with the panel."""
        return QueueChangeList

    def get_paginator(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> CappedPaginator:
        """Return the paginator; the live rows have been counted for the panel."""
        known = panel_of(request).live if lists_live_rows(dict(request.GET.lists())) else None
        return CappedPaginator(queryset, *args, known=known, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say what this user may do."""
        more = {"may_pause": may(request.user, Steering.PAUSE)}
        response: HttpResponse = super().changelist_view(request, more | (extra_context or {}))
        return response

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the names of the page's new items on its rows, and what is known of their boards."""
        super().prepare_page(rows)
        names = item_names(row.remote_id for row in rows if row.is_candidate)
        held = SimpleLazyObject(lambda: holds(rows))
        links = SimpleLazyObject(lambda: links_of(rows))
        for row in rows:
            row.page_items = names
            row.page_held = getattr(row, "page_held", held)
            row.page_links = getattr(row, "page_links", links)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer what fits the row as it stands; the buttons lead back to the rows that are not done."""
        row, listed = kwargs.get("obj"), reverse("admin:sync_syncqueue_changelist")
        acts = [act for act in ACTS.values() if row and row.status in act.fits and act.may(request.user)]
        answer: HttpResponse = super().render_change_form(
            request, context | {"live_rows": f"{listed}?{LIVE_ROWS}", "row_acts": acts}, *args, **kwargs
        )
        return answer

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find also by the record's name."""
        found, doubles = super().get_search_results(request, queryset, search_term)
        named = ids_named(search_term)
        return (found | queryset.filter(Q(entity_id__in=named)) if named else found), doubles

    @admin.display(description=gettext_lazy("Status"), ordering="status")
    def state(self, row: SyncQueue) -> SafeString:
        """Return the status with an icon."""
        kind, symbol = BADGES[QueueStatus(row.status)]
        return words.badge(kind, symbol, row.get_status_display())

    @admin.display(description=gettext_lazy("Record"))
    def record_or_item(self, row: SyncQueue) -> SafeString | str:
        """Return the record, or the item that none has yet."""
        if not row.is_candidate:
            return self.record(row)
        return item_link(row, str(row.remote_id), self.name_of_row(row))

    def name_of_row(self, row: Any) -> str:
        """Return the record's name, or the item's while no record has it."""
        if not row.is_candidate:
            return super().name_of_row(row)
        names = getattr(row, "page_items", None)
        return item_called(row, item_names([row.remote_id]) if names is None else names)

    @admin.display(description=gettext_lazy("Monday item"))
    def item_on_monday(self, row: SyncQueue) -> SafeString | str:
        """Return the item that the row is about, also where only the record knows it."""
        item_id = row.remote_id or item_of_record(row)
        return item_link(row, item_id, item_id) if item_id else _("none yet")

    @admin.display(description=gettext_lazy("Why"))
    def full_reason(self, row: SyncQueue) -> SafeString | str:
        """Return the whole error or reason."""
        return words.traced(why(row)) if why(row) else words.NOTHING

    @admin.display(description=gettext_lazy("Direction"), ordering="direction")
    def way(self, row: SyncQueue) -> str:
        """Return which side gave the reason to look."""
        return row.get_direction_display()

    @admin.display(description=gettext_lazy("Tries"))
    def tries(self, row: SyncQueue) -> str:
        """Return how many of the tries are used."""
        return _("%(number)s of %(most)s") % {"number": row.attempts, "most": row.max_attempts}

    @admin.display(description=gettext_lazy("Next try"), ordering="next_retry")
    def next_try(self, row: SyncQueue) -> str:
        """Return when it is looked at next."""
        return next_look(row) or words.NOTHING

    @admin.display(description=gettext_lazy("Why"))
    def reason_words(self, row: SyncQueue) -> SafeString | str:
        """Return the error, or the reason for which it waits."""
        text = why(row)
        return (
            format_html('<span class="npd-text">{}</span>', words.shorten(words.plain(text), 160))
            if text
            else words.NOTHING
        )

    @admin.display(description=gettext_lazy("Written"), ordering="created_at")
    def age(self, row: SyncQueue) -> SafeString | str:
        """Return when the row was written."""
        return words.time_tag(row.created_at, page_now(row))

    @admin.display(description=gettext_lazy("Written by"))
    def wrote_it(self, row: SyncQueue) -> str:
        """Return who wrote the row."""
        return causes_in_words(row.causes)
