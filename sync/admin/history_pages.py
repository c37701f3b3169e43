"""Activity: what happened to a record as sentences, the lists of what the sync wrote down, and the page before an
undo.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, Exists, ForeignKey, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from pghistory.core import event_models
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter

from sync.admin import admin_base
from sync.admin.admin_base import (
    DateTimeRangeFilter,
    EntityFilter,
    ReadOnlyAdmin,
    RecordLinkMixin,
    RecordSearchMixin,
    record_link,
)
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, run_action
from sync.admin.report_page import ReportMixin
from sync.choices import SyncStatus
from sync.kernel import humanize
from sync.kernel.humanize import plural
from sync.ledger import SyncStateService
from sync.models import Decision, Intent, IntentState, SyncedModel, SyncMetadata, WebhookEvent
from sync.operations.decision_undo import (
    UndoStep,
    decisions_of_batch,
    is_undoable,
    may_undo_decisions,
    plan_decision_undo,
    undo_decisions,
)
from sync.operations.preview.cause_chains import CauseLink, causes_by_decision, causes_text
from sync.records.authors import SYNC_ACTOR, actor_name, users_of
from sync.records.blocked_fields import ledger_record_condition, throttled_fields
from sync.records.record_requests import REASON_KEY
from sync.registry import is_registered, record_url


def decision_undo_url(row: Decision) -> str:
    """Return the address of the page that takes one decision back."""
    return reverse("admin:sync_decision_undo", args=[row.pk])


def batch_undo_url(batch_id: UUID) -> str:
    """Return the address of the page that takes back all that a look (or an undo) moved."""
    return reverse("admin:sync_decision_undo_batch", args=[batch_id])


class UndoPagesMixin:
    """Adds the two pages to the admin of decisions."""

    admin_site: AdminSite
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The page of one decision, and that of a batch."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/undo/", view(self.undo_one), name="sync_decision_undo"),
            path("batch/<uuid:batch_id>/undo/", view(self.undo_batch), name="sync_decision_undo_batch"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def undo_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what taking one decision back would write; on POST, do it."""
        row = Decision.objects.filter(pk=pk).first()
        if row is None:
            raise Http404(f"There is no activity #{pk}; it may be too old to be kept.")
        back_url = record_url(row.entity_type, row.entity_id) if row.entity_id else ""
        return self._undo_page(request, [row], "Put this back?", back_url)

    def undo_batch(self, request: HttpRequest, batch_id: UUID) -> HttpResponse:
        """Show what taking a batch back would write; on POST, do it."""
        rows = list(decisions_of_batch(batch_id))
        if not rows:
            raise Http404(f"Nothing is kept of a batch {batch_id} that could be taken back.")
        return self._undo_page(request, rows, "Undo this batch?", "")

    def _undo_page(self, request: HttpRequest, rows: Sequence[Decision], title: str, back_url: str) -> HttpResponse:
        next_url = request.POST.get("next") or request.GET.get("next") or ""
        if url_has_allowed_host_and_scheme(next_url, {request.get_host()}):
            back_url = next_url

        def run() -> Report:
            result = undo_decisions(rows, by=cast("User", request.user))
            count = humanize.count_with_noun(len(result.done), "value")
            return Report(
                f"{count} restored. The next sync sends what is synced to Monday." if result.done else "",
                [f"{step.name} · {step.label or 'the record'} was left alone: {step.stale}" for step in result.left],
            )

        return run_action(
            self, request, run, back_url=back_url or reverse("admin:sync_decision_changelist"), asked_by_get=True,
            allowed=may_undo_decisions(request.user, rows), question=lambda: _undo_question(rows, title), atomic=False,
        )  # fmt: skip


def _undo_question(rows: Sequence[Decision], title: str) -> Question:
    steps = plan_decision_undo(rows)
    doable, left = [step for step in steps if not step.stale], [step for step in steps if step.stale]
    effects = [humanize.without_request_id(rows[0].sentence)] if len(rows) == 1 else []
    if doable:
        values, go = humanize.count_with_noun(len(doable), "value"), plural(len(doable), "goes", "go")
        records = humanize.count_with_noun(len({step.decision.entity_id for step in doable}), "record")
        effects.append(
            f"{values} of {records} {go} back to the value before. Each is written only where NPD still has the "
            "value that is undone; the next sync sends it to Monday, and asks you where Monday has changed "
            "meanwhile. An undo can be undone."
        )
    else:
        effects.append("Nothing of it can be put back any more.")
    tables = [
        RecordTable(
            ("Record", "Field", "Now", "Goes back to"),
            [
                (_step_link(step), step.label, step.now or "(empty)", _with_note(step.back_to or "(empty)", step.note))
                for step in doable[:MAX_ROWS_SHOWN]
            ],
            len(doable),
        ),
        RecordTable(
            ("Record", "Field", "Now", "Why"),
            [(_step_link(step), step.label, step.now, step.stale) for step in left[:MAX_ROWS_SHOWN]],
            len(left),
            title=f"Left alone: {len(left):,}",
        ),
    ]
    button = ("Yes, put it back" if len(doable) == 1 else "Yes, put them back") if doable else ""
    return Question(title, effects, button, [table for table in tables if table.rows])


def _step_link(step: UndoStep) -> SafeString | str:
    entity_id = step.decision.entity_id
    names = {(step.decision.entity_type, entity_id): step.name} if step.record and entity_id else {}
    return record_link(step.decision.entity_type, entity_id, names)


def _with_note(value: str, note: str) -> SafeString | str:
    return format_html('{}<br><span class="npd-muted">{}</span>', value, note) if note else value


# What happened to a record, as sentences: who changed what in NPD, and what the sync decided.


@dataclass(frozen=True)
class HistoryLine:
    """One thing that happened; `chain` is what led to it, `undo_url` the page that takes it back."""

    at: datetime
    actor: str
    sentence: str
    by_sync: bool = False
    decided: bool = False
    chain: Sequence[CauseLink] = ()
    undo_url: str = ""
    batch_url: str = ""
    is_undo: bool = False
    is_undone: bool = False

    @property
    def traced(self) -> SafeString:
        """The sentence, with the id of Monday's request in small type."""
        return admin_base.with_request_id(self.sentence)


def history_of(record: SyncedModel, limit: int = 50) -> list[HistoryLine]:
    """Return the newest things that happened to a record, newest first."""
    decisions = SyncStateService().history(record, limit=limit)
    decision_lines = _decision_lines(decisions)
    shown_batches = {str(line.batch_id) for line in decisions if line.batch_id}
    lines = [*change_lines(record, limit, shown_batches=shown_batches), *decision_lines]
    return sorted(lines, key=lambda line: line.at, reverse=True)[:limit]


def _decision_lines(decisions: Sequence[Decision]) -> list[HistoryLine]:
    """Decisions with their causes, and how to take them back; a batch of one line needs no page of its own."""
    causes = causes_by_decision(decisions)
    undone_ids = _undone_ids(decisions)
    sizes = _batch_sizes({row.batch_id for row in decisions if row.batch_id and is_undoable(row)})
    return [
        HistoryLine(
            row.at,
            row.actor or SYNC_ACTOR,
            row.sentence,
            by_sync=not row.actor,
            decided=True,
            chain=causes[row.pk],
            undo_url=decision_undo_url(row) if is_undoable(row) and row.pk not in undone_ids else "",
            batch_url=batch_undo_url(row.batch_id) if row.batch_id and sizes.get(row.batch_id, 0) > 1 else "",
            is_undo=row.undoes is not None,
            is_undone=row.pk in undone_ids,
        )
        for row in decisions
    ]


def _undone_ids(decisions: Sequence[Decision]) -> set[int]:
    """Those that an undo took back which was not taken back itself."""
    undos: dict[int, list[int]] = {}
    rows = Decision.objects.filter(entity_id__in={row.entity_id for row in decisions}, undoes__isnull=False)
    for pk, undoes in rows.order_by().values_list("pk", "undoes"):
        undos.setdefault(undoes or 0, []).append(pk)

    def is_in_force(pk: int) -> bool:
        return not any(is_in_force(undo) for undo in undos.get(pk, ()))

    return {row.pk for row in decisions if not is_in_force(row.pk)}


def _batch_sizes(batches: Collection[UUID]) -> dict[UUID, int]:
    """How many moves each of these batches holds."""
    moves = Decision.objects.filter(batch_id__in=batches, values__has_keys=["raw_before", "raw_after"])
    counted = moves.order_by().values_list("batch_id").annotate(number=Count("id"))
    return {batch: number for batch, number in counted if batch is not None}


def change_lines(record: SyncedModel, limit: int = 50, *, shown_batches: Collection[str] = ()) -> list[HistoryLine]:
    """Return the changes of a record's row with their authors, newest first.

    `shown_batches` are passes whose decisions are shown: what these wrote stands there, field by field, with reasons.
    """
    events = _events(record, limit + 1)
    if not events:
        return []
    actors = _actors(events)
    labels = _labels_of_relations(record, events)
    lines = []
    for event, before in zip(events, [*events[1:], None], strict=True):
        sentence = _sentence(record, event, before, labels)
        batch = str(event.pgh_context.metadata.get("batch", "")) if event.pgh_context else ""
        if sentence and batch not in shown_batches:
            actor = actors[event.pgh_id]
            lines.append(HistoryLine(event.pgh_created_at, actor, sentence, by_sync=actor == SYNC_ACTOR))
    return lines[:limit]


def last_change(record: SyncedModel, attname: str) -> tuple[str, datetime] | None:
    """Return who gave a field its present value and when, as far as the last fifty changes of the record tell."""
    events, present = _events(record, 50), getattr(record, attname)
    for event, before in zip(events, [*events[1:], None], strict=False):
        if getattr(event, attname) == present and (before is None or getattr(before, attname) != present):
            return _actors([event])[event.pgh_id], event.pgh_created_at
    return None


def _events(record: SyncedModel, limit: int) -> list[Any]:
    models = event_models(tracks_model=type(record))
    if not models:
        return []
    rows = models[0]._default_manager.filter(pgh_obj_id=record.pk)
    return list(rows.select_related("pgh_context").order_by("-pgh_id")[:limit])


def _actors(events: Sequence[Any]) -> dict[int, str]:
    users = users_of(events)
    return {
        event.pgh_id: actor_name(event.pgh_context.metadata if event.pgh_context else {}, users) for event in events
    }


def _labels_of_relations(record: SyncedModel, events: Sequence[Any]) -> dict[str, dict[Any, str]]:
    """Return, for each relation, the names of what the events point at; one query a relation."""
    labels: dict[str, dict[Any, str]] = {}
    for field in _fields(record):
        if isinstance(field, ForeignKey):
            ids = {getattr(event, field.attname) for event in events} - {None}
            related: type[Model] = field.related_model
            found = related._default_manager.in_bulk(list(ids)) if ids else {}
            labels[field.attname] = {key: str(target) for key, target in found.items()}
    return labels


def _fields(record: SyncedModel) -> list[Any]:
    return [f for f in record._meta.concrete_fields if f.name not in record.BOOKKEEPING and not f.primary_key]


def _sentence(record: SyncedModel, event: Any, before: Any, labels: Mapping[str, Mapping[Any, str]]) -> str:
    if before is None:
        return "created it" if event.pgh_label == "insert" else ""
    paused = getattr(before, "sync_enabled", False) and not event.sync_enabled
    why = event.pgh_context.metadata.get(REASON_KEY, "") if paused and event.pgh_context else ""
    parts = [
        f"{field.verbose_name} from {_value(field, before, labels)} to {_value(field, event, labels)}"
        for field in _fields(record)
        if hasattr(event, field.attname) and getattr(event, field.attname) != getattr(before, field.attname)
    ]
    listed = " and ".join([", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 1 else parts)
    return f"changed {listed}{f': {why}' if why else ''}" if parts else ""


def _value(field: Any, event: Any, labels: Mapping[str, Mapping[Any, str]]) -> str:
    value = getattr(event, field.attname)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(field, ForeignKey):
        return humanize.quote(labels[field.attname].get(value, "one that was deleted") if value else None)
    if isinstance(field, ArrayField):
        return humanize.quote(", ".join(value or []))
    if field.choices:
        return humanize.quote(str(dict(field.flatchoices).get(value, value)))
    return humanize.quote(value if value is None else str(value))


# What the engine wrote down: decisions, ledger, intents, webhook deliveries, tombstones, refused
# items.


_LEDGER_BADGES = {
    SyncStatus.PENDING: ("wait", "schedule"),
    SyncStatus.IN_PROGRESS: ("go", "sync"),
    SyncStatus.COMPLETED: ("ok", "check_circle"),
    SyncStatus.FAILED: ("bad", "error"),
    SyncStatus.SKIPPED: ("off", "sync_disabled"),
}

_INTENT_BADGES = {
    IntentState.OPEN: ("wait", "schedule"),
    IntentState.APPLIED: ("ok", "check_circle"),
    IntentState.CONFIRMED: ("ok", "check_circle"),
    IntentState.REJECTED: ("bad", "error"),
    IntentState.VOID: ("off", "block"),
}


@admin.register(Decision)
class DecisionAdmin(RecordLinkMixin, RecordSearchMixin, UndoPagesMixin, ReadOnlyAdmin):
    """One decision a row, as a sentence."""

    list_display = ("moment", "record", "kind_of_record", "said", "actor")
    list_filter = (EntityFilter, ("at", DateTimeRangeFilter))
    search_fields = ("sentence", "remote_id", "actor", "entity_id", "batch_id")
    json_fields = ("values", "cause")
    change_form_outer_before_template = "sync/decision_buttons.html"
    empty_title = "Nothing decided yet"
    empty_words = "Everything that a sync sent, updated or asked is listed here."

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Say what led to it in words, before the columns."""
        return ["what_led_to_it", *ReadOnlyAdmin.get_fields(self, request, obj)]

    def row_context(self, request: HttpRequest, row: Decision) -> dict[str, Any]:
        """Offer to take it back, and the batch that it belongs to."""
        context = super().row_context(request, row)
        if may_undo_decisions(request.user, [row]):
            context["undo_url"] = decision_undo_url(row) if is_undoable(row) else ""
            if row.batch_id and decisions_of_batch(row.batch_id).exists():
                context["batch_url"] = batch_undo_url(row.batch_id)
        return context

    @admin.display(description="What led to it")
    def what_led_to_it(self, row: Decision) -> str:
        return causes_text(causes_by_decision([row])[row.pk]) or humanize.DASH

    @admin.display(description="Sentence")
    def said(self, row: Decision) -> str:
        return humanize.without_request_id(row.sentence)

    moment = admin_base.time_column("at", "When")


class BlockedFieldFilter(RadioFilter):
    """Records of which a field can't flow."""

    title = "blocked fields"
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return held for whatever reason, and because somebody rewrites it."""
        return [("yes", "With blocked fields"), ("loop", "Rewritten after each of our writes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries with held fields."""
        if self.value() == "loop":
            return queryset.filter(Exists(throttled_fields().filter(ledger_record_condition())))
        return queryset.exclude(held={}) if self.value() else queryset


@admin.register(SyncMetadata)
class LedgerAdmin(ReportMixin, RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """What the last look found of each record."""

    list_display = (
        *("state", "record", "kind_of_record", "system", "remote_id", "checked", "agreed", "held_fields", "trouble"),
    )
    list_filter = (("sync_status", ChoicesCheckboxFilter), EntityFilter, BlockedFieldFilter)
    search_fields = ("remote_id", "last_error", "note", "entity_id")
    ordering = ("-id",)
    json_fields = ("base", "held", "altered", "conflicts")
    empty_title = "There are no sync states"
    empty_words = "The first sync of a record writes its entry."

    state = admin_base.badge_column("sync_status", "Last sync", _LEDGER_BADGES)

    # Not `seen`: the row has a column of that name, which would be shown.
    checked = admin_base.time_column("last_sync_attempt", "Last checked")

    agreed = admin_base.time_column("last_successful_sync", "Last in sync")

    @admin.display(description="Record")
    def record(self, row: SyncMetadata) -> SafeString | str:
        """The record, or the id of what other code keeps in sync."""
        return super().record(row) if is_registered(row.entity_type) else row.entity_id

    @admin.display(description="Last error")
    def trouble(self, row: SyncMetadata) -> str:
        return humanize.without_request_id(row.last_error or "") or humanize.DASH

    @admin.display(description="Blocked fields")
    def held_fields(self, row: SyncMetadata) -> str:
        return ", ".join(row.held) or humanize.DASH


@admin.register(Intent)
class IntentAdmin(RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """What was announced before each call that writes."""

    list_display = ("outcome", "record", "kind_of_record", "what", "item_id", "sent")
    list_filter = (("state", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("item_id", "board_id", "request_id", "entity_id")
    ordering = ("-created_at",)
    json_fields = ("values", "body", "answer")
    empty_title = "Nothing was sent yet"
    empty_words = "Before anything is written to Monday, it is announced here."

    outcome = admin_base.badge_column("state", "Outcome", _INTENT_BADGES)

    @admin.display(description="What")
    def what(self, row: Intent) -> str:
        return f"{'change' if row.item_id else 'new item'}: {', '.join(row.values) or 'no fields'}"

    sent = admin_base.time_column("created_at", "Announced")


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """Deliveries as they came."""

    list_display = ("received", "type", "board_id", "item_id", "column_id", "weighed")
    list_filter = (("received_at", DateTimeRangeFilter),)
    search_fields = ("item_id", "board_id", "type", "trigger_id", "outcome")
    ordering = ("-id",)
    json_fields = ("body",)
    empty_title = "No webhook came yet"
    empty_words = "`manage.py monday_check` says whether Monday can reach this site."

    received = admin_base.time_column("received_at", "Received")

    @admin.display(description="Outcome")
    def weighed(self, row: WebhookEvent) -> str:
        return row.outcome or ("processed" if row.weighed_at else "not processed yet")
