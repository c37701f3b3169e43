"""Activity: the lists of what the sync wrote down, and the page before an undo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.db.models import CharField, Count, Exists, Model, QuerySet
from django.db.models.functions import Cast, Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, re_path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter
from unfold.views import ChangeList

from sync import connectors, registry
from sync.admin import admin_base
from sync.admin.admin_base import (
    DateTimeRangeFilter,
    EntityFilter,
    PageAdmin,
    ReaderMixin,
    ReadOnlyAdmin,
    RecordLinkMixin,
    RecordSearchMixin,
    RelatedFilter,
    record_ids_by_name,
    record_link,
    record_name_of,
)
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, run_action
from sync.admin.list_exports import ExportColumn, ExportMixin
from sync.admin.record_activity import (
    UNSYNCED,
    UndoOffer,
    act_of,
    actor_of,
    batch_sizes,
    batch_undo_url,
    decision_undo_url,
    mark_of,
    moves_value,
    resolution_urls,
    undo_offers,
    unsynced_changes,
    unsynced_words,
)
from sync.admin.report_page import ReportMixin
from sync.choices import SyncStatus
from sync.clock import sync_now
from sync.connectors.base.board import EventKind
from sync.kernel import humanize
from sync.kernel.humanize import plural
from sync.kernel.outgoing_calls import own_address
from sync.models import BoardLink, Decision, FieldMapping, Intent, IntentState, SyncMetadata, WebhookEvent
from sync.models.state import MANY_ALIKE, PEOPLE_KIND
from sync.operations.decision_undo import (
    UndoStep,
    decisions_of_batch,
    is_undoable,
    may_undo_decisions,
    plan_decision_undo,
    undo_decisions,
)
from sync.reconcile.settlement import DELETION_KINDS
from sync.records.authors import UnsyncedEdit, full_name
from sync.records.blocked_fields import ledger_record_condition, throttled_fields
from sync.records.causes import causes_by_decision, causes_text


class UndoPagesMixin(PageAdmin):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            re_path(r"^(?P<keys>\d{1,18}(?:,\d{1,18}){0,99})/undo/$", view(self.undo_some), name="sync_decision_undo"),
            path("batch/<uuid:batch_id>/undo/", view(self.undo_batch), name="sync_decision_undo_batch"),
            *super().get_urls(),
        ]

    def undo_some(self, request: HttpRequest, keys: str) -> HttpResponse:
        """Show what taking back the decisions of an act would write; on POST, do it."""
        wanted = {int(key) for key in keys.split(",")}
        rows = list(Decision.objects.filter(pk__in=wanted).order_by("pk"))
        if gone := wanted - {row.pk for row in rows}:
            raise Http404(f"There is no activity #{min(gone)}; it may be too old to be kept.")
        back_url = registry.record_url(rows[0].entity_type, rows[0].entity_id) if rows[0].entity_id else ""
        title = "Undo this change?" if len(rows) == 1 else "Undo these changes?"
        return self._undo_page(request, rows, title, back_url)

    def undo_batch(self, request: HttpRequest, batch_id: UUID) -> HttpResponse:
        """Show what taking a batch back would write; on POST, do it."""
        rows = list(decisions_of_batch(batch_id))
        if not rows:
            raise Http404(f"Nothing is kept of the sync {batch_id} that could be undone.")
        title = "Undo this edit of several records?" if rows[0].kind == "edit" else "Undo all of that sync?"
        return self._undo_page(request, rows, title, "")

    def _undo_page(self, request: HttpRequest, rows: Sequence[Decision], title: str, back_url: str) -> HttpResponse:
        back_url = own_address(request, request.POST.get("next"), request.GET.get("next")) or back_url

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
        effects.append("There is no value to restore.")
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
            title=f"Can't be undone here: {len(left):,}",
        ),
    ]
    button = ("Yes, put it back" if len(doable) == 1 else "Yes, put them back") if doable else ""
    return Question(title, effects, button, [table for table in tables if table.rows])


def _step_link(step: UndoStep) -> SafeString | str:
    entity_id = step.decision.entity_id
    if step.record is None:
        return step.name
    names = {(step.decision.entity_type, entity_id): step.name} if entity_id else {}
    return record_link(step.decision.entity_type, entity_id, names)


def _with_note(value: str, note: str) -> SafeString | str:
    return format_html('{}<br><span class="npd-muted">{}</span>', value, note) if note else value


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


class BoardNamesMixin(PageAdmin):
    """Puts on a page's rows how their fields and boards are called, in one query for all of them."""

    def prepare_page(self, rows: list[Any]) -> None:
        super().prepare_page(rows)
        labels = FieldLabels()
        for row in rows:
            row.page_labels = labels


class FieldLabels:
    """What fields, columns and boards are called now; read when first asked for."""

    @cached_property
    def mappings(self) -> list[FieldMapping]:
        return list(FieldMapping.objects.select_related("link"))

    @cached_property
    def links(self) -> dict[str, BoardLink]:
        """The boards by the id that counts."""
        links = [registry.with_configured_board(link) for link in {one.link for one in self.mappings}]
        return {link.board_id: link for link in links}

    def field(self, entity_type: str, key: str) -> str:
        """The label of a field; of one that is mapped no more, its key in words."""
        found = (one.label for one in self.mappings if (one.link.entity_type, one.key) == (entity_type, key))
        return next(found, key.replace("_", " ").capitalize())

    def column(self, board_id: str, column_id: str) -> str:
        """The label of the field that a column of a board belongs to, else the column's id."""
        found = (one.label for one in self.mappings if (one.link.board_id, one.column_id) == (board_id, column_id))
        return next(found, column_id)

    def link_of_type(self, entity_type: str) -> BoardLink | None:
        return next((link for link in self.links.values() if link.entity_type == entity_type), None)


def item_on_board(link: BoardLink | None, item_id: str | None) -> SafeString | str:
    """Return a link to an item on its board; its number alone where the board is not known."""
    if not item_id or link is None:
        return item_id or humanize.DASH
    label = f"Item {item_id}, on Monday, in a new tab"
    return admin_base.external_link(registry.item_url(link, item_id), item_id, label)


MOST_UNSYNCED = 100
"""Records whose waiting edits are read for a page."""

WHOLE = (SEARCH_VAR, "batch_id", "fold_id")
"""With one of them in its address, the list has every entry."""


class ActivityList(admin_base.PageChangeList):
    """A page of the activity: the first row of each day says which day it is, where they are in the order of time, and
    the first of an act holds its other fields. The first page begins with what waits to be synced.
    """

    def get_results(self, request: HttpRequest) -> None:
        """Keep of each act its first row, with all of them on it."""
        self._reader = request.user
        super().get_results(request)
        acts: dict[object, list[Any]] = {}
        for row in self.result_list:
            acts.setdefault(_act_in_list(row), []).append(row)
        if len(acts) < len(self.result_list):
            self.count_note = ", some in one row"
        if unsynced := sum(1 + row.page_more for row in self.result_list if row.kind == UNSYNCED):
            self.count_note += f"; {unsynced:,} not synced yet"
        self.result_list = []
        labels = FieldLabels()
        for rows, offer in zip(acts.values(), undo_offers(list(acts.values()), request.user), strict=True):
            rows[0].page_act, rows[0].page_labels = sorted(rows, key=lambda row: row.pk or 0), labels
            rows[0].page_undo, rows[0].page_path = offer, request.get_full_path()
            self.result_list.append(rows[0])

    def url_for_result(self, result: Any) -> str:
        """The page of an entry; of an edit that waits its record's."""
        return str(getattr(result, "page_url", "") or super().url_for_result(result))

    def _unsynced_rows(self, now: datetime) -> list[Any]:
        """The edits that wait, as rows that are not stored: one for each record and person, or for an act's many."""
        asked = {name for name in self.params if name not in (ORDER_VAR, SEARCH_VAR, EntityFilter.parameter_name)}
        if self.page_num > 1 or asked:
            return []
        types, opens = registry.visible_types(self._reader), self._reader.has_perm("sync.view_tombstone")
        queue = reverse("admin:sync_syncqueue_changelist")
        wanted = self.params.get(EntityFilter.parameter_name)
        ids = None
        if self.query:
            ids = record_ids_by_name(self._reader, self.query)
            with suppress(ValueError):
                ids.append(UUID(self.query))
        of_record: dict[tuple[str, str, UUID], list[tuple[UnsyncedEdit, dict[str, str]]]] = {}
        for edit, labels in unsynced_changes(types, ids, limit=MOST_UNSYNCED):
            if not wanted or edit.entity_type in wanted:
                of_record.setdefault((edit.entity_type, edit.who, edit.entity_id), []).append((edit, labels))
        acts: dict[tuple[str, ...], list[Any]] = {}
        for (entity_type, who, entity_id), edits in of_record.items():
            changed = list(dict.fromkeys(label for _, labels in edits for label in labels.values()))
            is_new, words = any(not one.columns for one, _ in edits), unsynced_words(edits[0][0])
            did = "Added" if is_new else f"{humanize.join_first(changed)} edited"
            row: Any = Decision(
                entity_type=entity_type, entity_id=entity_id, kind=UNSYNCED, key="", remote_id="", actor=who,
                at=edits[0][0].at, sentence=f"{did} in NPD. {words}.", values={}, cause={},
            )  # fmt: skip
            row.page_types, row.page_opens_deleted, row.page_now, row.page_day = types, opens, now, mark_of(row)[1]
            row.page_url = registry.record_url(entity_type, entity_id)
            row.page_others_url = f"{queue}?{urlencode({'entity_type': entity_type})}"
            acts.setdefault((entity_type, who, words, "new" if is_new else "", edits[0][0].act), []).append(row)
        shown = []
        for rows in acts.values():
            is_many = len(rows) > MANY_ALIKE and not self.query
            for row in rows[:1] if is_many else rows:
                row.page_more = len(rows) - 1 if is_many else 0
                shown.append(row)
        return shown

    def annotate_rows(self, rows: list[Any]) -> None:
        """Put the day on each row; templates/admin/sync/decision shows it above its first."""
        ordering = self.get_ordering_field_columns()
        is_by_time = not ordering or self.list_display.index("moment") in ordering
        now = sync_now()
        today = timezone.localdate(now)
        for row in rows:
            row.page_now = now
            row.page_day = humanize.day_name(timezone.localdate(row.at), today) if is_by_time else ""
        rows[:0] = self._unsynced_rows(now)


def _act_in_list(row: Decision) -> object:
    """What the lines about the fields of one record have in common that were one act; what has no field is alone."""
    about = (row.entity_type, row.entity_id, row.remote_id)
    if not row.key and not row.is_of_new_item:
        return row.pk or id(row)
    if moves_value(row) or row.is_of_new_item:
        return (*about, *act_of(row))
    return (*about, row.actor, row.kind, row.batch_id or row.at.replace(microsecond=0))


@admin.register(Decision)
class DecisionAdmin(ExportMixin, RecordLinkMixin, RecordSearchMixin, UndoPagesMixin, ReadOnlyAdmin):
    """One decision a row, as a sentence."""

    list_display = ("moment", "record", "kind_of_record", "what", "who")
    list_filter = (EntityFilter, ("at", DateTimeRangeFilter))
    search_fields = ("known_sentence", "remote_id", "actor", "entity_id", "batch_id")
    quoting = ("sentence", "values", "cause")
    search_help_text = "A record's name, what happened, who did it, or an item's number"
    json_fields = ("values", "cause")
    summary = ("record", "said", "who", "moment", "before_and_after", "what_led_to_it")
    change_form_outer_before_template = "sync/decision_buttons.html"
    list_before_template = "sync/activity_of_act.html"
    empty_title = "Nothing was synced yet"
    empty_words = "Everything that a sync sent, updated or asked is listed here."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        """Leave out of the list what is folded, but where it is searched, or an act or a batch is looked into."""
        rows: QuerySet[Decision] = super().get_queryset(request)
        is_list = request.resolver_match and request.resolver_match.url_name == "sync_decision_changelist"
        if is_list and "fold_id" in request.GET:
            # The values with which an item was made are on its record's page.
            rows = rows.exclude(cause__has_key="made", kind="push")
        if not request.user.has_perm("auth.view_user"):
            rows = rows.exclude(kind=PEOPLE_KIND)
        # A choice that was applied is told by the entry of that.
        rows = rows.exclude(folded=True, fold_id=None) if is_list else rows
        return rows.filter(folded=False) if is_list and request.GET.keys().isdisjoint(WHOLE) else rows

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Call the list of one act by what was done, and by whom."""
        answer: HttpResponse = super().changelist_view(request, extra_context)
        context = getattr(answer, "context_data", None) or {}
        rows = context["cl"].result_list if "cl" in context and "fold_id" in request.GET else ()
        if rows:
            act = next((one for one in rows if one.is_of_new_item), None)
            # What stands for the others names the act: of an approval the decision, not what came of it.
            act = act or Decision.objects.filter(fold_id=rows[0].fold_id, folded=False).first() or rows[0]
            what = "Item created" if act.is_of_new_item else mark_of(act)[1]
            records = registry.count_of_type(rows[0].page_records, act.entity_type)
            context["page_name"] = f"{what}: {records} · {actor_of(act)}"
        return answer

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ActivityList

    def prepare_page(self, rows: list[Any]) -> None:
        """Put on each row how many records its act was about, and how many of them are folded into the row."""
        super().prepare_page(rows)
        acts = {row.fold_id for row in rows if row.fold_id}
        within = Decision.objects.filter(fold_id__in=acts).order_by() if acts else Decision.objects.none()
        number = Count(Coalesce(Cast("entity_id", CharField()), "remote_id"), distinct=True)
        records = dict(within.values_list("fold_id").annotate(number=number))
        # Beside the folded themselves nothing stands for them.
        is_whole = any(row.folded for row in rows)
        for row in rows:
            row.page_records = records.get(row.fold_id, 1)
            row.page_alike = getattr(row, "page_more", 0 if is_whole else row.page_records - 1)

    def row_context(self, request: HttpRequest, row: Decision) -> dict[str, Any]:
        """Offer to take it back, and the batch that it belongs to."""
        context = super().row_context(request, row)
        if resolution_url := resolution_urls([row], request.user).get(row.pk):
            context["undo_url"] = resolution_url
        if may_undo_decisions(request.user, [row]):
            context["undo_url"] = decision_undo_url(row.pk) if is_undoable(row) else resolution_url or ""
            # A sync that moved no value has nothing to undo.
            if row.batch_id and batch_sizes({row.batch_id}):
                context["batch_url"] = batch_undo_url(row.batch_id)
        return context

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        fields = super().get_fields(request, obj)
        is_move = isinstance(obj, Decision) and {"before", "after"} & set(obj.values)
        return fields if is_move else [name for name in fields if name != "before_and_after"]

    @admin.display(description="What led to it")
    def what_led_to_it(self, row: Decision) -> str:
        return humanize.without_request_id(causes_text(causes_by_decision([row])[row.pk])) or humanize.DASH

    @admin.display(description="What happened")
    def said(self, row: Decision) -> str:
        return humanize.without_request_id(row.sentence)

    @admin.display(description="What happened")
    def what(self, row: Any) -> SafeString | str:
        """The sentence, or those of an act's fields, and the way to what it did with other records."""
        act: Sequence[Decision] = getattr(row, "page_act", (row,))
        # What made an item stands for the values with which it was.
        first = next((one for one in act if not one.key), None)
        fields = dict.fromkeys(row.page_labels.field(one.entity_type, one.key) for one in act if one.key)
        said: SafeString | str = self.said(first or row)
        if deletion := row.cause.get("deletion"):
            said = f"{deletion} {said}"
        if fields and len(act) > 1:
            lines = format_html_join("", "<li>{}</li>", ((self.said(one),) for one in act if one.key))
            if len(act) == 2 and not first:
                return format_html('<div class="npd-text"><ul>{}</ul>{}</div>', lines, self._end_of(row))
            summary = said if first else f"{mark_of(row)[1]}: {humanize.join_first(list(fields))}"
            said = format_html('<details class="npd-fields"><summary>{}</summary><ul>{}</ul></details>', summary, lines)
        return format_html('<div class="npd-text">{}{}</div>', said, self._end_of(row))

    def _end_of(self, row: Any) -> SafeString | str:
        return self._others(row) or self._undo(row)

    def _others(self, row: Any) -> SafeString | str:
        """The way to the entries of one act, where it was done with other records, too."""
        if not row.page_alike:
            return ""
        url = getattr(row, "page_others_url", f"?{urlencode({'fold_id': str(row.fold_id)})}")
        more = humanize.count_with_noun(row.page_alike, "more record", "more records")
        link = format_html(' <a class="npd-take" href="{}">… and {}</a>', url, more)
        if row.kind in DELETION_KINDS and getattr(row, "page_opens_deleted", False):
            stones = reverse("admin:sync_tombstone_changelist")
            link += format_html(' <a class="npd-take" href="{}">Deleted records</a>', stones)
        return link

    def _undo(self, row: Any) -> SafeString | str:
        """The way to take it back, at the end of its line, and back to the list after it."""
        offer: UndoOffer = getattr(row, "page_undo", UndoOffer())
        if offer.is_undone:
            return format_html(' <span class="npd-badge npd-badge-off">{}</span>', "Undone")
        if offer.conflict_url:
            said = self.said(row)
            link = ' <a class="npd-take" href="{}">See conflict<span class="npd-hidden">: {}</span></a>'
            return format_html(link, offer.conflict_url, said)
        if not offer.url:
            return ""
        query, label = urlencode({"next": row.page_path}), "Redo" if offer.is_undo else "Undo"
        named = format_html('{}…<span class="npd-hidden">: {}</span>', label, self.said(row))
        return format_html(' <a class="npd-take" href="{}?{}">{}</a>', offer.url, query, named)

    who = admin_base.plain_column("By", actor_of, "actor")

    @admin.display(description="Before and after")
    def before_and_after(self, row: Decision) -> str:
        if not {"before", "after"} & set(row.values):
            return humanize.DASH
        return f"{humanize.quote(row.values.get('before'))} → {humanize.quote(row.values.get('after'))}"

    moment = admin_base.time_column("at", "When")

    def export_columns(self, user: Any) -> list[ExportColumn]:
        """What happened, when, to which record, by whom."""
        return [
            ("When (UTC)", lambda row: row.at),
            ("Record", record_name_of),
            ("Type", lambda row: registry.type_label(row.entity_type)),
            ("What happened", self.said),
            ("By", actor_of),
            ("Item on Monday", lambda row: row.remote_id),
            ("NPD ID", lambda row: row.entity_id),
        ]


class BlockedFieldFilter(RadioFilter):
    title = "blocked fields"
    parameter_name = "blocked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "With blocked fields"), ("loop", "In an update loop")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "loop":
            return queryset.filter(Exists(throttled_fields().filter(ledger_record_condition())))
        return queryset.exclude(blocked_fields={}) if self.value() else queryset


MAX_TROUBLE_LENGTH = 140


@admin.register(SyncMetadata)
class LedgerAdmin(ReportMixin, BoardNamesMixin, RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """What the last look found of each record."""

    list_display = ("state", "record", "kind_of_record", "system", "item", "checked", "agreed", "trouble")
    list_filter = (("sync_status", ChoicesCheckboxFilter), EntityFilter, BlockedFieldFilter)
    search_fields = ("remote_id", "known_last_error", "known_note", "entity_id")
    quoting = ("last_error", "note", "base", "blocked_fields", "altered", "conflicts", "seen")
    search_help_text = "A record's name or NPD ID, an item's number, or words of an error"
    ordering = ("-id",)
    json_fields = ("base", "blocked_fields", "altered", "conflicts", "seen")
    summary = ("record", "kind_of_record", "state", "checked", "agreed", "item", "reasons_of_blocks", "whole_trouble")
    empty_title = "There are no sync states"
    empty_words = "A record is listed here once it was synced for the first time."

    state = admin_base.badge_column("sync_status", "State", _LEDGER_BADGES)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Return the columns; which system an entry is of only where there is another than Monday."""
        shown = list(super().get_list_display(request))
        if not SyncMetadata.objects.exclude(system=BoardLink.system).exists():
            shown.remove("system")
        return shown

    # Not `seen`: the row has a column of that name, which would be shown.
    checked = admin_base.time_column("last_sync_attempt", "Last checked")

    agreed = admin_base.time_column("last_successful_sync", "Last synced")

    @admin.display(description="Record")
    def record(self, row: Any) -> SafeString | str:
        """The record, or the id of what other code keeps in sync."""
        return super().record(row) if registry.is_registered(row.entity_type) else row.entity_id

    @admin.display(description="Item", ordering="remote_id")
    def item(self, row: Any) -> SafeString | str:
        """The item on Monday; what another system calls it, of that."""
        link = row.page_labels.link_of_type(row.entity_type) if row.system == "monday" else None
        return item_on_board(link, row.remote_id)

    @admin.display(description="What is wrong")
    def trouble(self, row: Any) -> SafeString | str:
        """The blocked fields and the last error, cut to what a line holds."""
        labels = row.page_labels
        fields = ", ".join(labels.field(row.entity_type, key) for key in row.blocked_fields)
        parts = (f"Blocked: {fields}." if fields else "", humanize.without_request_id(row.last_error or ""))
        text = humanize.shorten(" ".join(part for part in parts if part), MAX_TROUBLE_LENGTH)
        return format_html('<span class="npd-text">{}</span>', text) if text else humanize.DASH

    @admin.display(description="Last error")
    def whole_trouble(self, row: Any) -> str:
        return humanize.without_request_id(row.last_error or row.note or "") or humanize.DASH

    @admin.display(description="Blocked fields")
    def reasons_of_blocks(self, row: Any) -> str:
        labels, kind, blocked = row.page_labels, row.entity_type, row.blocked_fields.items()
        lines = [f"{labels.field(kind, key)}: {entry.get('reason', '')}" for key, entry in blocked]
        return humanize.without_request_id(" ".join(lines)) or humanize.DASH


@admin.register(Intent)
class IntentAdmin(BoardNamesMixin, RecordLinkMixin, RecordSearchMixin, ReadOnlyAdmin):
    """What was announced before each call that writes."""

    list_display = ("outcome", "record", "kind_of_record", "what", "item", "sent")
    list_filter = (("state", ChoicesCheckboxFilter), EntityFilter)
    search_fields = ("item_id", "board_id", "request_id", "entity_id")
    search_help_text = "A record's name, an item's or board's number, or the id of a request to Monday"
    ordering = ("-created_at",)
    json_fields = ("values", "body", "answer")
    quoting = json_fields
    summary = ("record", "kind_of_record", "what", "outcome", "sent", "item")
    empty_title = "Nothing was sent yet"
    empty_words = "Each call that changes something on Monday is listed here, before it is made."

    outcome = admin_base.badge_column("state", "Outcome", _INTENT_BADGES)

    @admin.display(description="What")
    def what(self, row: Any) -> str:
        labels = row.page_labels
        fields = ", ".join(labels.field(row.entity_type, key) for key in row.values)
        if row.item_id:
            hidden = registry.is_hidden(getattr(row, "page_types", ()), row.entity_type)
            return f"{fields or ('Values' if hidden else 'NPD ID')} changed"
        return f"Item created with {fields}" if fields else "Item created"

    @admin.display(description="Item", ordering="item_id")
    def item(self, row: Any) -> SafeString | str:
        return item_on_board(row.page_labels.links.get(row.board_id), row.item_id)

    sent = admin_base.time_column("created_at", "Sent")


_EVENT_WORDS = {
    EventKind.CREATED: "Item created",
    EventKind.COLUMN: "Value changed",
    EventKind.RENAMED: "Item renamed",
    EventKind.ARCHIVED: "Item archived",
    EventKind.DELETED: "Item deleted",
    EventKind.RESTORED: "Item restored",
    EventKind.MOVED: "Item moved",
}

_PASS_ID = re.compile(r" in pass [0-9a-f-]{36}")


@admin.register(WebhookEvent)
class WebhookEventAdmin(BoardNamesMixin, ReaderMixin, ReadOnlyAdmin):
    """Deliveries as they came."""

    list_display = ("received", "happened", "board", "record", "column", "processed")
    list_filter = (("received_at", DateTimeRangeFilter),)
    search_fields = ("item_id", "board_id", "type", "trigger_id", "outcome")
    search_help_text = "An item's or board's number, a kind of event, or an outcome"
    row_names = ("webhook", "webhooks")
    ordering = ("-id",)
    json_fields = ("body",)
    summary = ("happened", "received", "board", "record", "item", "column", "processed")
    empty_title = "No webhook came yet"
    empty_words = "The first edit on a board brings one, once Monday can reach this site from the internet."

    def prepare_page(self, rows: list[Any]) -> None:
        """Put the records of the page's items on its rows, with one query for each type."""
        super().prepare_page(rows)
        found = records_of_items(row.item_id for row in rows)
        for row in rows:
            row.page_records = found

    def row_context(self, request: HttpRequest, row: WebhookEvent) -> dict[str, Any]:
        return super().row_context(request, row) | {"page_name": f"{self.happened(row)}: item {row.item_id}"}

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a delivery; its body, which bears items' names and values, to who may see all its board's records."""
        row = super().get_object(request, object_id, from_field)
        link = BoardLink.objects.filter(board_id=row.board_id).first() if row is not None else None
        of = [link.entity_type] if link else [spec.entity_type for spec in registry.entities()]
        types = registry.visible_types(request.user)
        if row is not None and any(registry.is_hidden(types, one) or registry.hidden_keys(types, one) for one in of):
            row.body = {}
        return row

    received = admin_base.time_column("received_at", "Received")

    @admin.display(description="What", ordering="type")
    def happened(self, row: Any) -> str:
        """What happened, in words; else Monday's own name of it."""
        types = connectors.get().event_types
        kind = next((kind for kind, names in types.items() if row.type in names), EventKind.OTHER)
        return _EVENT_WORDS.get(kind) or row.type.replace("_", " ").capitalize()

    @admin.display(description="Board", ordering="board_id")
    def board(self, row: Any) -> SafeString | str:
        link = row.page_labels.links.get(row.board_id)
        if link is None:
            return str(row.board_id)
        url = reverse("admin:sync_boardlink_change", args=[link.pk])
        title = link.shape.get("name") or registry.entity(link.entity_type).board_title
        return format_html('<a class="npd-link" href="{}">{}</a>', url, title)

    @admin.display(description="Record")
    def record(self, row: Any) -> SafeString | str:
        """The item's record now; of an item without one, the item."""
        found = row.page_records.get(row.item_id or "")
        if not found:
            return self.item(row)
        entity_type, entity_id, name = found
        name = name if entity_type in row.page_types else registry.HiddenName.of(entity_type)
        return record_link(entity_type, entity_id, {(entity_type, entity_id): name})

    @admin.display(description="Item", ordering="item_id")
    def item(self, row: Any) -> SafeString | str:
        return item_on_board(row.page_labels.links.get(row.board_id), row.item_id)

    @admin.display(description="Field", ordering="column_id")
    def column(self, row: Any) -> str:
        return row.page_labels.column(row.board_id, row.column_id) if row.column_id else humanize.DASH

    @admin.display(description="Outcome")
    def processed(self, row: Any) -> str:
        text = _PASS_ID.sub("", row.outcome)
        return text[:1].upper() + text[1:] if text else ("Processed" if row.processed_at else "Not processed yet")


@admin.register(LogEntry)
class AuditLogAdmin(ReadOnlyAdmin):
    """What people did on these pages and by the API, of every sort of row, newest first."""

    list_display = ("done", "who", "what", "about", "sort")
    list_filter = (("action_time", DateTimeRangeFilter), ("user", RelatedFilter))
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message", "user__username", "object_id")
    search_help_text = "What it was done to, what was done, or who did it"
    summary = ("done", "who", "what", "about", "sort")
    told_columns = ("action_time", "user", "content_type", "object_repr", "change_message", "action_flag")
    row_names = ("entry", "entries")
    ordering = ("-action_time", "-id")
    empty_title = "Nobody has done anything yet"
    empty_words = "What people change, resolve, pause or delete is listed here, with who and when."

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Administrators alone: an entry names rows of every sort."""
        return bool(cast("User", request.user).is_superuser)

    has_module_permission = has_view_permission

    done = admin_base.time_column("action_time", "When")

    @admin.display(description="Who", ordering="user__username")
    def who(self, row: LogEntry) -> str:
        return full_name(row.user)

    @admin.display(description="What was done")
    def what(self, row: LogEntry) -> SafeString:
        acts = {ADDITION: "Added.", CHANGE: "Changed.", DELETION: "Deleted."}
        return format_html(
            '<span class="npd-text">{}</span>', row.get_change_message() or acts.get(row.action_flag, "")
        )

    @admin.display(description="To what", ordering="object_repr")
    def about(self, row: LogEntry) -> SafeString | str:
        """What it was done to; where that has a page, and stands still, a link to it."""
        model = row.content_type.model_class() if row.content_type else None
        has_page = model in self.admin_site._registry and row.action_flag != DELETION
        if model is None or not has_page or not row.object_id:
            return row.object_repr
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.object_id])
        return format_html('<a class="npd-link" href="{}">{}</a>', url, row.object_repr)

    @admin.display(description="Sort")
    def sort(self, row: LogEntry) -> str:
        return capfirst(str(row.content_type.name)) if row.content_type else humanize.DASH


def records_of_items(item_ids: Iterable[str | None]) -> dict[str, tuple[str, UUID, str]]:
    """Return the records of these items: type, id and name; one query for each type."""
    wanted = {item_id for item_id in item_ids if item_id}
    found: dict[str, tuple[str, UUID, str]] = {}
    for spec in registry.entities() if wanted else ():
        for record in spec.model._default_manager.filter(monday_id__in=wanted):
            found[str(record.monday_id)] = (spec.entity_type, record.pk, str(record))
    return found
