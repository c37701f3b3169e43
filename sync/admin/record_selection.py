"""What a person does with the records that are ticked in a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from sync.admin.attention_pages import LAST_ACT, keep_last_act
from sync.admin.bulk_edit import bulk_edit_page
from sync.admin.confirmed_action import (
    MAX_ROWS_SHOWN,
    Question,
    RecordTable,
    Report,
    confirmed_rows,
    run_action,
    selection,
)
from sync.kernel import humanize
from sync.kernel.db import bound_lock_waits
from sync.kernel.messages import ActionError, Conflict
from sync.operations.record_requests import push_record
from sync.outbox import notify
from sync.records.authors import log_action, log_action_many
from sync.records.item_links import relink, request_unlink_many, unlinked_item

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

_OFF_EFFECTS = (
    "Nothing is synced in either direction. Edits stay in NPD and on Monday; open conflicts close, kept in history.",
    (
        "Once sync is on again, what one side changed meanwhile is synced, and what both changed differently becomes a "
        "conflict. Right after this you can undo it for exactly these."
    ),
)

_LINK_EFFECTS = (
    "Each record is linked again with the item from which it was unlinked, and its sync is turned on.",
    (
        "What changed on one side since is synced to the other; what both sides changed differently becomes a "
        "conflict. To undo it, unlink the record again."
    ),
)


class RecordSelectionMixin:
    """The actions of a list of records."""

    actions: tuple[str, ...] = ("bulk_edit", "sync_now", "turn_sync_on", "turn_sync_off", "unlink", "link_again")
    model: Any
    opts: Any
    log_change: Callable[..., LogEntry]
    message_user: Callable[..., None]

    @admin.action(description="Edit…", permissions=["change"])
    def bulk_edit(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Give one field of the selected records one value, after a page with each record's before and after."""
        return bulk_edit_page(self, request, queryset)

    @admin.action(description="Sync now", permissions=["change"])
    def sync_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Push the selected records now, also those whose sync is off: a person asked for it by name."""
        rejected, waiting, started = Counter[str](), Counter[str](), 0
        for record in queryset:
            try:
                answer = push_record(record, by=request.user.get_username())
            except ActionError as error:
                self.message_user(request, f"Nothing was sent. {error}", messages.ERROR)
                return
            log_action(request.user, record, f"Sync now: {answer.message}")
            if not answer.triggered:
                rejected[answer.message] += 1
            elif answer.wait_reason:
                waiting[answer.wait_reason] += 1
            else:
                started += 1
        if started:
            self.message_user(request, f"Sync of {self.count_text(started)} started.", messages.SUCCESS)
        for reason, count in waiting.most_common(5):
            self.message_user(request, f"Sync of {self.count_text(count)} waits: {reason}", messages.WARNING)
        for reason, count in rejected.most_common(5):
            self.message_user(request, f"{count} not sent: {reason}", messages.WARNING)

    def count_text(self, number: int) -> str:
        return humanize.count_with_noun(number, str(self.opts.verbose_name), str(self.opts.verbose_name_plural))

    @admin.action(description="Turn sync on", permissions=["change"])
    def turn_sync_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        number = len(self.set_sync(request, queryset, on=True))
        text = f"Sync turned on for {self.count_text(number)}." if number else "Sync was on for all of them already."
        self.message_user(request, text, messages.SUCCESS if number else messages.INFO)

    @admin.action(description="Turn sync off…", permissions=["change"])
    def turn_sync_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Turn sync off after a page that says for how many; the list then offers to undo it."""

        def question() -> Question:
            table = RecordTable(("Record",), [(str(one),) for one in queryset[:MAX_ROWS_SHOWN]], queryset.count())
            hidden, label = selection(request, "turn_sync_off", table.total), self.count_text(table.total)
            return Question(f"Turn sync off for {label}?", _OFF_EFFECTS, f"Turn sync off ({label})", [table], hidden)

        def run() -> Report:
            if not (entries := self.set_sync(request, confirmed_rows(request, queryset), on=False)):
                return Report(problems=["Sync was off for all of them already."])
            tokens = [self.model.entity_type(), entries[0].pk, entries[-1].pk]
            sentence = f"Sync turned off for {self.count_text(len(entries))}."
            keep_last_act(request, "turn_sync_off", tokens, sentence)
            return Report()

        return run_action(self, request, run, back_url=request.get_full_path(), question=question)

    def set_sync(self, request: HttpRequest, queryset: QuerySet[Any], *, on: bool) -> list[LogEntry]:
        """Turn the sync of these records on or off; return the log's lines, one for each that was not so already."""
        request.session.pop(LAST_ACT, None)
        with transaction.atomic():
            bound_lock_waits()
            # In the order in which a pass locks records, so that neither waits for the other in a circle; without the
            # key's lock, so that rows which point at these can be written.
            others = queryset.filter(sync_enabled=not on)
            records = list(others.select_for_update(no_key=True, of=("self",)).order_by("id"))
            self.model._default_manager.filter(pk__in=[record.pk for record in records]).update(sync_enabled=on)
            message = [{"changed": {"fields": [str(self.opts.get_field("sync_enabled").verbose_name)]}}]
            entries = [self.log_change(request, record, message) for record in records]
        notify.notify_board(self.model.entity_type())
        return entries

    @admin.action(description="Unlink from Monday…", permissions=["change"])
    def unlink(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Let go of the items of these records, after a page that says what that means."""

        def question() -> Question:
            cells = [(str(record), record.monday_id or "none") for record in queryset[:MAX_ROWS_SHOWN]]
            table = RecordTable(("Record", "Item on Monday"), cells, queryset.count())
            hidden, label = selection(request, "unlink", table.total), f"Unlink {self.count_text(table.total)}"
            return Question("Unlink from Monday?", _UNLINK_EFFECTS, label, [table], hidden)

        def run() -> Report:
            rows = confirmed_rows(request, queryset)
            linked = list(rows.exclude(monday_id=None).values_list("pk", flat=True))
            without_item = [
                f"“{record}” has no item on Monday, so there is nothing to unlink."
                for record in rows.filter(monday_id=None)
            ]
            if not linked:
                return Report(problems=without_item)
            log_action_many(request.user, rows.filter(pk__in=linked), "Unlink from Monday was asked for.")
            request_unlink_many(queryset.model.entity_type(), linked, request.user.get_username())
            return Report(f"{humanize.count_with_noun(len(linked), 'record')} will be unlinked now.", without_item)

        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)

    @admin.action(description="Link again…", permissions=["change"])
    def link_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Link records with the items that were let go of them, after a page that says which."""

        def question() -> Question:
            items = [(record, unlinked_item(record)) for record in queryset[:MAX_ROWS_SHOWN]]
            cells = [(str(record), item.item_id if item else "none was unlinked") for record, item in items]
            table = RecordTable(("Record", "Item on Monday"), cells, queryset.count())
            hidden, label = selection(request, "link_again", table.total), f"Link {self.count_text(table.total)} again"
            return Question("Link with their items again?", _LINK_EFFECTS, label, [table], hidden)

        def run() -> Report:
            done, errors = 0, []
            for record in confirmed_rows(request, queryset):
                try:
                    item_id = relink(record, request.user.get_username())
                    log_action(request.user, record, f"Linked with item {item_id} again.")
                    done += 1
                except Conflict as refused:
                    errors.append(str(refused))
            text = f"{humanize.count_with_noun(done, 'record')} linked again. The next sync does the rest."
            return Report(text if done else "", errors)

        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)
