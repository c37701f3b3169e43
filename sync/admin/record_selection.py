"""What a person does with the records that are ticked in a list: sync on, sync off, unlink."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from sync import registry
from sync.admin.admin_base import PageAdmin
from sync.admin.confirmed_action import (
    MAX_ROWS_SHOWN,
    Question,
    RecordTable,
    Report,
    confirmed_rows,
    run_action,
    selection,
)
from sync.kernel.db import bound_lock_waits
from sync.outbox import notify
from sync.records.authors import log_action_many
from sync.records.item_links import request_unlink_many

_OFF_EFFECTS = (
    "Nothing is synced in either direction. Edits stay in NPD and on Monday; open conflicts close, kept in history.",
    (
        "Once sync is on again, what one side changed meanwhile is synced, and what both changed differently becomes a "
        "conflict."
    ),
)

_UNLINK_EFFECTS = (
    (
        "Each item's NPD ID is cleared, then the record's sync is turned off. Both sides keep what they have, and "
        "neither changes the other any more; open conflicts close, their values stay in the history."
    ),
    (
        "The item is not matched with a record, and makes none, until somebody says so. “Link again…” on the "
        "record's page undoes it: what changed meanwhile is then synced, or asked about."
    ),
)


class RecordSelectionMixin(PageAdmin):
    actions: tuple[str, ...] = ("turn_sync_on", "turn_sync_off", "unlink")

    @admin.action(description="Turn sync on", permissions=["change"])
    def turn_sync_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        if number := self._set_sync(request, queryset, on=True):
            self.message_user(request, f"Sync turned on for {self._count_text(number)}.", messages.SUCCESS)
        else:
            self.message_user(request, "Sync was on for all of them already.")

    @admin.action(description="Turn sync off…", permissions=["change"])
    def turn_sync_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        def question() -> Question:
            table = RecordTable(("Record",), [(str(record),) for record in queryset[:MAX_ROWS_SHOWN]], queryset.count())
            hidden = selection(request, "turn_sync_off", table.total)
            label = self._count_text(table.total)
            return Question(f"Turn sync off for {label}?", _OFF_EFFECTS, f"Turn sync off ({label})", [table], hidden)

        def run() -> Report:
            if number := self._set_sync(request, confirmed_rows(request, queryset), on=False):
                return Report(f"Sync turned off for {self._count_text(number)}.")
            return Report(problems=["Sync was off for all of them already."])

        return run_action(self, request, run, back_url=request.get_full_path(), question=question)

    @admin.action(description="Unlink from Monday…", permissions=["change"])
    def unlink(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Let go of the items of these records, after a page that says what that means."""

        def question() -> Question:
            rows = [(str(record), record.monday_id or "none") for record in queryset[:MAX_ROWS_SHOWN]]
            table = RecordTable(("Record", "Item on Monday"), rows, queryset.count())
            hidden = selection(request, "unlink", table.total)
            label = f"Unlink {self._count_text(table.total)}"
            return Question("Unlink from Monday?", _UNLINK_EFFECTS, label, [table], hidden)

        def run() -> Report:
            records = confirmed_rows(request, queryset)
            linked = records.exclude(monday_id=None)
            without_item = [
                f"“{record}” has no item on Monday, so there is nothing to unlink."
                for record in records.filter(monday_id=None)
            ]
            ids = list(linked.values_list("pk", flat=True))
            if not ids:
                return Report(problems=without_item)
            log_action_many(request.user, linked, "Unlink from Monday was asked for.")
            request_unlink_many(self.model.entity_type(), ids, request.user.get_username())
            return Report(f"{self._count_text(len(ids))} will be unlinked now.", without_item)

        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)

    def _count_text(self, number: int) -> str:
        return registry.count_of_type(number, self.model.entity_type())

    def _set_sync(self, request: HttpRequest, queryset: QuerySet[Any], *, on: bool) -> int:
        """Turn the sync of these records on or off, each with its line in the log; return for how many it was not so
        already.
        """
        with transaction.atomic():
            bound_lock_waits()
            # In the order in which a pass locks records, so that neither waits for the other in a circle; without the
            # key's lock, so that rows which point at these can be written.
            others = queryset.filter(sync_enabled=not on)
            records = list(others.select_for_update(no_key=True, of=("self",)).order_by("id"))
            self.model._default_manager.filter(pk__in=[record.pk for record in records]).update(sync_enabled=on)
            message = [{"changed": {"fields": [str(self.opts.get_field("sync_enabled").verbose_name)]}}]
            for record in records:
                self.log_change(request, record, message)
        notify.notify_board(self.model.entity_type())
        return len(records)
