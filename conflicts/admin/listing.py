"""The list of conflicts."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Q, QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from conflicts import batches, progress, waiting
from conflicts.admin.addresses import see_other
from conflicts.admin.batch import BatchMixin, batch_url, label_of
from conflicts.admin.filters import (
    AgeFilter,
    BoardFilter,
    EditedInNpdFilter,
    EditedOnMondayFilter,
    EntityFilter,
    FieldFilter,
    StateFilter,
    WhoFilter,
    mappings_of_all,
)
from conflicts.admin.one_click import button, one_click
from conflicts.admin.refused import RefusedMixin
from conflicts.admin.rule import RuleMixin, offered, rules_set
from conflicts.admin.screen import ConflictScreen, conflict_status
from conflicts.admin.undo import undo_button
from conflicts.models import ConflictKind, ResolutionType, SyncConflict
from conflicts.records import default_label, names_of_deleted
from sync.admin import words
from sync.admin.base import PageAdmin, ids_named, names_of
from sync.clock import SyncNow
from sync.registry import kind_name

FIELDS_COUNTED = 12
"""Fields that the list counts the open conflicts of; the others are found by the filter."""
SHORTENED = 80
"""Characters of a value in the list."""

BADGES = {
    progress.OPEN: ("warn", "call_split"),
    progress.APPLYING: ("go", "sync"),
    progress.HANDED_BACK: ("bad", "undo"),
    progress.PARTLY: ("warn", "rule"),
    progress.SETTLED: ("ok", "check_circle"),
    progress.UNDOING: ("go", "undo"),
}


@admin.register(SyncConflict)
class SyncConflictAdmin(BatchMixin, RefusedMixin, RuleMixin, PageAdmin):
    """Conflicts are made and closed by looks; people settle them on their screen."""

    list_display = ("of_record", "in_conflict", "npd_says", "monday_says", "since", "state")
    list_display_links = None
    list_filter = (
        StateFilter, EntityFilter, BoardFilter, "kind", FieldFilter, AgeFilter, WhoFilter, EditedInNpdFilter,
        EditedOnMondayFilter,
    )  # fmt: skip
    list_filter_submit = False
    list_fullwidth = True
    search_fields = ("monday_item_id",)
    search_help_text = gettext_lazy("Search by the record's name, or by the number of the item on Monday")
    actions = ("keep_npd", "keep_monday")
    ordering = waiting.OPEN_FIRST
    change_list_template = "conflicts/list.html"
    empty_title = gettext_lazy("No conflicts here")
    empty_words = gettext_lazy(
        "When two people change the same field differently, one in NPD and one on Monday,"
        " it waits here for you. Nothing is overwritten meanwhile."
    )

    def get_urls(self) -> list[Any]:
        """Add the screen and its status to the admin's addresses."""
        view, name = self.admin_site.admin_view, "conflicts_syncconflict"
        screen, status = ConflictScreen.as_view(model_admin=self), conflict_status(self)
        return [
            path("<uuid:pk>/screen/", view(screen), name=f"{name}_screen"),
            path("<uuid:pk>/status/", view(status), name=f"{name}_status"),
            path("<uuid:pk>/undo/", view(undo_button(self)), name=f"{name}_undo"),
            path("<uuid:pk>/keep/<slug:kept>/", view(one_click(self)), name=f"{name}_keep"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Conflicts are found, never made by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SyncConflict | None = None) -> bool:
        """They are settled, never thrown away."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncConflict]:
        """Return the conflicts; each row knows whether this person may settle it."""
        may = self.has_change_permission(request)
        rows: QuerySet[SyncConflict] = (
            super().get_queryset(request).annotate(page_may=Value(may), page_now=SyncNow())
        )
        return rows

    def prepare_page(self, rows: list[Any]) -> None:
        """Fetch the names of the page's records, with one query a kind of record."""
        super().prepare_page(rows)
        keys = {(row.entity_type, row.entity_id) for row in rows}
        names = names_of(keys)
        deleted = names_of_deleted(keys - set(names))
        for row in rows:
            key = (row.entity_type, row.entity_id)
            row.page_gone = "monday" if key in names else "npd"
            row.page_name = names.get(key) or deleted.get(key) or _deleted(row.entity_type)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SyncConflict], search_term: str
    ) -> tuple[QuerySet[SyncConflict], bool]:
        """Search by the records' names, or by an item's exact number."""
        text = search_term.strip()
        if not text:
            return queryset, False
        return queryset.filter(Q(monday_item_id=text) | Q(entity_id__in=ids_named(text))), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the counts, what decisions suggest, and what can be done with all that match, above the list."""
        mappings = mappings_of_all(request)
        context = {
            "counts": waiting.counts(),
            "by_field": [
                (entity_type, key, default_label(entity_type, key), number)
                for entity_type, key, number in waiting.open_by_field()[:FIELDS_COUNTED]
            ],
            "suggestions": offered(request, mappings),
            "rules": rules_set(request, mappings),
            "batches": [(batch_url(batch), batch, label_of(batch)) for batch in batches.of_late()],
            "may_settle": self.has_change_permission(request),
            "query": _query(request),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Go to the side-by-side screen, which takes the place of a form."""
        conflict = self.get_object(request, object_id)
        if conflict is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        return HttpResponseRedirect(reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk]))

    @admin.display(description=gettext_lazy("Record"))
    def of_record(self, conflict: Any) -> SafeString:
        """The record's name, which leads to the screen."""
        return format_html(
            '<a class="cfl-name" href="{}">{}</a><span class="cfl-sub">{}</span>',
            reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk]),
            conflict.page_name,
            kind_name(conflict.entity_type),
        )

    @admin.action(description=gettext_lazy("Keep NPD"), permissions=["change"])
    def keep_npd(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> HttpResponse | None:
        """NPD's side stands in all of them, after a page that shows what that means."""
        if request.POST.get("select_across") == "1":
            return self.prepared(request, ResolutionType.KEEP_NPD)
        return self._ticked(request, queryset, ResolutionType.KEEP_NPD)

    @admin.action(description=gettext_lazy("Keep Monday"), permissions=["change"])
    def keep_monday(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> HttpResponse | None:
        """Monday's side stands in all of them, after a page that shows what that means."""
        if request.POST.get("select_across") == "1":
            return self.prepared(request, ResolutionType.KEEP_MONDAY)
        return self._ticked(request, queryset, ResolutionType.KEEP_MONDAY)

    def _ticked(
        self, request: HttpRequest, rows: QuerySet[SyncConflict], kept: ResolutionType
    ) -> HttpResponse:
        """Prepare a batch of the rows that were ticked: shown, confirmed and undone like one of all that match."""
        number = rows.order_by().count()
        words = ngettext("%(number)s row that was ticked", "%(number)s rows that were ticked", number)
        batch = batches.prepare(
            SyncConflict.objects.filter(pk__in=rows.order_by().values("pk")), kept,
            by=cast("User", request.user), address=_query(request), matches=words % {"number": intcomma(number)},
        )  # fmt: skip
        return see_other(batch_url(batch))

    @admin.display(description=gettext_lazy("In conflict"))
    def in_conflict(self, conflict: SyncConflict) -> SafeString | str:
        """The fields, and the kind of a conflict that is not about fields that differ."""
        labels = ", ".join(default_label(conflict.entity_type, key) for key in conflict.conflict_fields)
        if conflict.kind == ConflictKind.FIELDS:
            return labels
        about = words.shorten(conflict.what, SHORTENED) or labels
        return format_html('{}<span class="cfl-sub">{}</span>', conflict.get_kind_display(), about)

    @admin.display(description=gettext_lazy("NPD"))
    def npd_says(self, conflict: Any) -> SafeString | str:
        """NPD's value of the first field."""
        return _with_button(_first_value(conflict, "npd", conflict.npd_data), button(conflict, "keep_npd"))

    @admin.display(description=gettext_lazy("Monday"))
    def monday_says(self, conflict: Any) -> SafeString | str:
        """Monday's value of the first field."""
        shown = _first_value(conflict, "monday", conflict.monday_data)
        return _with_button(shown, button(conflict, "keep_monday"))

    @admin.display(description=gettext_lazy("Found"), ordering="detected_at")
    def since(self, conflict: Any) -> SafeString | str:
        """How long ago it was found."""
        return words.time_tag(conflict.detected_at, conflict.page_now)

    @admin.display(description=gettext_lazy("State"))
    def state(self, conflict: SyncConflict) -> SafeString:
        """Where it stands."""
        state = progress.state_of(conflict)
        return words.badge(
            *BADGES[state], capfirst(str(progress.WORDS[state])), title=conflict.choice_problem
        )


def _with_button(shown: SafeString | str, take: SafeString | str) -> SafeString:
    return format_html("{} {}", shown, take) if take else format_html("{}", shown)


def _query(request: HttpRequest) -> str:
    """The list's filters as the query of an address, without the page."""
    kept = request.GET.copy()
    for name in (PAGE_VAR, ERROR_FLAG):
        kept.pop(name, None)
    return kept.urlencode()


def _first_value(conflict: Any, side: str, data: dict[str, Any]) -> SafeString | str:
    """The first field's value, shortened, and how many more there are; of a delete, which side is gone."""
    if conflict.kind == ConflictKind.DELETE and conflict.is_open and side == conflict.page_gone:
        return _("gone")
    if not conflict.conflict_fields:
        return words.NOTHING
    value = data.get(conflict.conflict_fields[0])
    line = words.shorten(" ".join(value.split()), SHORTENED) if value else _("(empty)")
    shown = format_html('<span class="cfl-value" title="{}">{}</span>', value or "", line)
    more = len(conflict.conflict_fields) - 1
    if not more:
        return shown
    others = ngettext("and %(number)s more", "and %(number)s more", more) % {"number": intcomma(more)}
    return format_html('{}<span class="cfl-sub">{}</span>', shown, others)


def _deleted(entity_type: str) -> str:
    return _("%(kind)s, deleted") % {"kind": kind_name(entity_type)}
