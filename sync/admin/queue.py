"""The queue in the admin: what waits, why and until when; retry and cancel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync import registry
from sync.account import Standstill, standstill
from sync.admin import words
from sync.admin.base import ReadOnlyAdmin, RecordLinkMixin, ids_named, page_now
from sync.admin.filters import EntityFilter, NewItemsFilter
from sync.boards import item_url, link_of
from sync.choices import Cause, QueueStatus
from sync.models import SyncedModel, SyncQueue
from sync.newcomers import item_names
from sync.queue import QueueError, SyncQueueService
from sync.queue_views import LIVE_ROWS

_BADGES = {
    QueueStatus.PENDING: ("wait", "schedule"),
    QueueStatus.IN_PROGRESS: ("go", "sync"),
    QueueStatus.COMPLETED: ("ok", "check_circle"),
    QueueStatus.FAILED: ("bad", "error"),
}
_CAUSES = {
    Cause.SAVE: "a save in NPD",
    Cause.PERSON: "a person",
    Cause.WEBHOOK: "an edit on Monday",
    Cause.SWEEP: "a sweep",
    Cause.FAILURE: "a try that failed",
    Cause.DEPENDENCY: "a record it depends on",
}


_SAID = (
    *("id", "entity_id", "remote_id", "causes", "status"),
    *("error_message", "reason", "attempts", "max_attempts"),
)
"""Columns that the page of a row says in words before its other columns."""


def causes_in_words(causes: int) -> str:
    """Return who wrote a row."""
    return ", ".join(text for cause, text in _CAUSES.items() if Cause(causes) & cause) or "unknown"


def why(row: SyncQueue) -> str:
    """Return why a row stands as it does, in words; when it is looked at next is said beside it."""
    said = row.error_message or words.without_time(row.reason)
    return said or (held_by(row).words if row.status == QueueStatus.PENDING else "")


def held_by(row: SyncQueue) -> Standstill:
    """Return what holds the row's board, as its page has found out, else now."""
    found: dict[str, Standstill] = getattr(row, "page_held", None) or standstills([row])
    return found[row.entity_type]


def standstills(rows: Iterable[SyncQueue]) -> dict[str, Standstill]:
    """Return what holds the boards of these rows, by type; a type that no application keeps is held by nothing."""
    known = {spec.entity_type for spec in registry.entities()}
    types = {row.entity_type for row in rows}
    return {kind: standstill(kind, link_of(kind)) if kind in known else Standstill() for kind in types}


def item_called(row: SyncQueue, names: Mapping[str, str]) -> str:
    """Return the item's name as a webhook told it, else its number."""
    name = names.get(row.remote_id or "")
    return f"“{words.shorten(name, 60)}”" if name else f"New item {row.remote_id}"


def next_look(row: SyncQueue) -> str:
    """Return when the row is looked at next, in words."""
    if row.status == QueueStatus.PENDING:
        now = page_now(row)
        held = held_by(row).until if row.next_retry <= now else None
        if held is not None and held > now:
            return words.when(held, now)
        return "as soon as a worker is free" if row.next_retry <= now else words.when(row.next_retry, now)
    if row.status == QueueStatus.FAILED:
        return "when a person retries it"
    return "being worked on" if row.status == QueueStatus.IN_PROGRESS else ""


@admin.register(SyncQueue)
class SyncQueueAdmin(RecordLinkMixin, ReadOnlyAdmin):
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
        ("status", ChoicesCheckboxFilter),
        EntityFilter,
        ("direction", ChoicesCheckboxFilter),
        NewItemsFilter,
    )
    search_fields = ("remote_id", "error_message", "reason", "entity_id")
    search_help_text = "A record's name or id, the number of an item, or words of an error"
    ordering = ("-id",)
    actions = ("retry", "cancel")
    json_fields = ("payload",)
    change_form_outer_before_template = "sync/queue_buttons.html"
    empty_title = "The queue is empty"
    empty_words = "Nothing waits here. A save in NPD or an edit on a board writes a row."

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say the row in words first, then its columns."""
        first = ["record_or_item", "item_on_monday", "state", "full_reason", "next_try", "tries", "wrote_it"]
        return [*first, *(name for name in super().get_fields(request, obj) if name not in _SAID)]

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the names of the page's new items on its rows."""
        super().prepare_page(rows)
        names = item_names(row.remote_id for row in rows if row.is_candidate)
        held = standstills(row for row in rows if row.status == QueueStatus.PENDING)
        for row in rows:
            row.page_items, row.page_held = names, held

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Let the buttons lead back to the rows that are not done."""
        listed = reverse("admin:sync_syncqueue_changelist")
        answer: HttpResponse = super().render_change_form(
            request, context | {"live_rows": f"{listed}?{LIVE_ROWS}"}, *args, **kwargs
        )
        return answer

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find also by the record's name."""
        found, doubles = super().get_search_results(request, queryset, search_term)
        named = ids_named(search_term)
        return (found | queryset.filter(Q(entity_id__in=named)) if named else found), doubles

    @admin.display(description="Status", ordering="status")
    def state(self, row: SyncQueue) -> SafeString:
        """Return the status with an icon."""
        kind, symbol = _BADGES[QueueStatus(row.status)]
        return words.badge(kind, symbol, row.get_status_display())

    @admin.display(description="Record")
    def record_or_item(self, row: SyncQueue) -> SafeString | str:
        """Return the record, or the item that none has yet."""
        if not row.is_candidate:
            return self.record(row)
        return _item_link(row, str(row.remote_id), self.name_of_row(row))

    def name_of_row(self, row: Any) -> str:
        """Return the record's name, or the item's while no record has it."""
        if not row.is_candidate:
            return super().name_of_row(row)
        names = getattr(row, "page_items", None)
        return item_called(row, item_names([row.remote_id]) if names is None else names)

    @admin.display(description="Monday item")
    def item_on_monday(self, row: SyncQueue) -> SafeString | str:
        """Return the item that the row is about, also where only the record knows it."""
        item_id = row.remote_id or _item_of_record(row)
        return _item_link(row, item_id, item_id) if item_id else "none yet"

    @admin.display(description="Why")
    def full_reason(self, row: SyncQueue) -> SafeString | str:
        """Return the whole error or reason."""
        return words.traced(why(row)) if why(row) else words.NOTHING

    @admin.display(description="Direction", ordering="direction")
    def way(self, row: SyncQueue) -> str:
        """Return which side gave the reason to look."""
        return row.get_direction_display()

    @admin.display(description="Tries")
    def tries(self, row: SyncQueue) -> str:
        """Return how many of the tries are used."""
        return f"{row.attempts} of {row.max_attempts}"

    @admin.display(description="Next try", ordering="next_retry")
    def next_try(self, row: SyncQueue) -> str:
        """Return when it is looked at next."""
        return next_look(row) or words.NOTHING

    @admin.display(description="Why")
    def reason_words(self, row: SyncQueue) -> SafeString | str:
        """Return the error, or the reason for which it waits."""
        text = why(row)
        return (
            format_html('<span class="npd-text">{}</span>', words.shorten(words.plain(text), 160))
            if text
            else words.NOTHING
        )

    @admin.display(description="Written", ordering="created_at")
    def age(self, row: SyncQueue) -> SafeString | str:
        """Return when the row was written."""
        return words.time_tag(row.created_at, page_now(row))

    @admin.display(description="Written by")
    def wrote_it(self, row: SyncQueue) -> str:
        """Return who wrote the row."""
        return causes_in_words(row.causes)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether this user may retry and cancel."""
        return request.user.has_perm("sync.change_syncqueue")

    @admin.action(description="Retry", permissions=["steer"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> None:
        """Let rows whose tries are used up be tried again."""
        by = request.user.get_username()
        done, refused = _each(queryset, lambda row: SyncQueueService().manual_retry(row.pk, by))
        self._tell(request, done, refused, "will be tried again now")

    @admin.action(description="Cancel…", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse | None:
        """Close rows without a look, after a page that says what that means."""
        if "confirmed" not in request.POST:
            return self._confirm_cancel(request, queryset)
        by = request.user.get_username()
        done, refused = _each(queryset, lambda row: SyncQueueService().cancel(row.pk, by))
        self._tell(request, done, refused, "cancelled")
        return None

    def _confirm_cancel(self, request: HttpRequest, queryset: QuerySet[SyncQueue]) -> HttpResponse:
        rows = list(queryset[:200])
        self.prepare_page(rows)
        context = {
            **self.admin_site.each_context(request),
            "title": "Cancel queue rows",
            "opts": self.opts,
            "rows": [
                (self.record_or_item(row), row.get_status_display(), words.plain(why(row))) for row in rows
            ],
            "total": queryset.count(),
            "checkbox": ACTION_CHECKBOX_NAME,
            "back": f"{request.path}?{LIVE_ROWS}",
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "sync/cancel_rows.html", context)

    def _tell(self, request: HttpRequest, done: int, refused: list[str], outcome: str) -> None:
        if done:
            self.message_user(request, f"{words.counted(done, 'row')} {outcome}.", messages.SUCCESS)
        for sentence in refused[:5]:
            self.message_user(request, sentence, messages.WARNING)
        if len(refused) > 5:
            self.message_user(
                request, f"{len(refused) - 5} more rows were left as they are.", messages.WARNING
            )


def _item_link(row: SyncQueue, item_id: str, text: str) -> SafeString | str:
    link = link_of(row.entity_type)
    if link is None:
        return text
    return words.external(item_url(link, item_id), text, f"{text}, on Monday, in a new tab")


def _item_of_record(row: SyncQueue) -> str:
    """Return the number of the record's item; empty where it has none or is gone."""
    if row.entity_id is None:
        return ""
    try:
        model: type[SyncedModel] = registry.entity(row.entity_type).model
    except registry.UnknownEntity:
        return ""
    found = model._default_manager.filter(pk=row.entity_id)
    return found.values_list("monday_id", flat=True).first() or ""


def _each(queryset: QuerySet[SyncQueue], act: Any) -> tuple[int, list[str]]:
    """Do `act` to each row; return how many went well, and the sentences of those refused."""
    done, refused = 0, []
    for row in queryset:
        try:
            act(row)
        except QueueError as error:
            refused.append(str(error))
        else:
            done += 1
    return done, refused
