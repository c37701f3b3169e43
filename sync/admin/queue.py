"""The queue in the admin: what waits, why and until when; retry and cancel."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter

from sync import registry
from sync.admin import words
from sync.admin.base import ReadOnlyAdmin, RecordLinkMixin, ids_named, page_now
from sync.boards import item_url, link_of
from sync.choices import Cause, QueueStatus
from sync.models import SyncQueue
from sync.queue import QueueError, SyncQueueService

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
            return queryset.filter(entity_id=None)
        return queryset.filter(entity_id__isnull=False) if self.value() == "records" else queryset


def causes_in_words(causes: int) -> str:
    """Return who wrote a row."""
    return ", ".join(text for cause, text in _CAUSES.items() if Cause(causes) & cause) or "unknown"


def why(row: SyncQueue) -> str:
    """Return why a row stands as it does, in words."""
    return row.error_message or row.reason


def next_look(row: SyncQueue) -> str:
    """Return when the row is looked at next, in words."""
    if row.status == QueueStatus.PENDING:
        now = page_now(row)
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
        columns = super().get_fields(request, obj)
        return [
            "record_or_item",
            "next_try",
            "wrote_it",
            *(name for name in columns if name not in ("id", "causes")),
        ]

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
        text = f"New item {row.remote_id}"
        link = link_of(row.entity_type)
        return (
            words.external(item_url(link, str(row.remote_id)), text, f"{text}, on Monday, in a new tab")
            if link
            else text
        )

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
            format_html('<span class="npd-text">{}</span>', words.shorten(text, 160))
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
            "rows": [(row.pk, self.record_or_item(row), row.get_status_display(), why(row)) for row in rows],
            "total": queryset.count(),
            "checkbox": ACTION_CHECKBOX_NAME,
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
