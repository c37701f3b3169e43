"""Activity: the lists of what the sync wrote down, and the page before an undo."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.db.models import CharField, Count, Model, QuerySet
from django.db.models.functions import Cast, Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, re_path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.views import ChangeList

from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import (
    DateTimeRangeFilter,
    EntityFilter,
    PageAdmin,
    ReadOnlyAdmin,
    RecordLinkMixin,
    RecordSearchMixin,
    own_address,
    record_ids_by_name,
    record_link,
)
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, run_action
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
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.humanize import plural
from sync.models import Decision, FieldMapping
from sync.models.state import BATCH_KINDS, MANY_ALIKE, PEOPLE_KIND
from sync.operations.decision_undo import (
    UndoStep,
    decisions_of_batch,
    is_undoable,
    may_undo_decisions,
    plan_decision_undo,
    undo_decisions,
)
from sync.reconcile.settlement import DELETION_KINDS
from sync.records.authors import UnsyncedEdit
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
        return self._undo_page(request, rows, "Undo all of that sync?", "")

    def _undo_page(self, request: HttpRequest, rows: Sequence[Decision], title: str, back_url: str) -> HttpResponse:
        back_url = own_address(request, request.POST.get("next"), request.GET.get("next")) or back_url

        def run() -> Report:
            result = undo_decisions(rows, by=cast("User", request.user))
            restored = sum(not step.deletes for step in result.done)
            deleted = len(result.done) - restored
            done = [
                *([f"{humanize.count_with_noun(restored, 'value')} restored"] if restored else []),
                *([f"{humanize.count_with_noun(deleted, 'record')} deleted"] if deleted else []),
            ]
            return Report(
                f"{' and '.join(done)}. The next sync sends what is synced to Monday." if done else "",
                [f"{step.name} · {step.label or 'the record'} was left alone: {step.stale}" for step in result.left],
            )

        return run_action(
            self, request, run, back_url=back_url or reverse("admin:sync_decision_changelist"), asked_by_get=True,
            allowed=may_undo_decisions(request.user, rows), question=lambda: _undo_question(rows, title), atomic=False,
        )  # fmt: skip


def _undo_question(rows: Sequence[Decision], title: str) -> Question:
    steps = plan_decision_undo(rows)
    left = [step for step in steps if step.stale]
    doable = [step for step in steps if not step.stale and not step.deletes]
    deletions = [step for step in steps if not step.stale and step.deletes]
    effects = [humanize.without_request_id(rows[0].sentence)] if len(rows) == 1 else []
    if doable:
        values, go = humanize.count_with_noun(len(doable), "value"), plural(len(doable), "goes", "go")
        records = humanize.count_with_noun(len({step.decision.entity_id for step in doable}), "record")
        effects.append(
            f"{values} of {records} {go} back to the value before. Each is written only where NPD still has the "
            "value that is undone; the next sync sends it to Monday, and asks you where Monday has changed "
            "meanwhile. An undo can be undone."
        )
    if deletions:
        records = humanize.count_with_noun(len(deletions), "record")
        effects.append(
            f"{records} that the import made {plural(len(deletions), 'is', 'are')} deleted, in NPD and, where they are "
            "on Monday, as the board's deletions are set. A deleted record can be restored."
        )
    if not doable and not deletions:
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
            ("Record",),
            [(_step_link(step),) for step in deletions[:MAX_ROWS_SHOWN]],
            len(deletions),
            title=f"Deleted: {len(deletions):,}",
        ),
        RecordTable(
            ("Record", "Field", "Now", "Why"),
            [(_step_link(step), step.label, step.now, step.stale) for step in left[:MAX_ROWS_SHOWN]],
            len(left),
            title=f"Can't be undone here: {len(left):,}",
        ),
    ]
    button = ("Yes, put it back" if len(doable) == 1 else "Yes, put them back") if doable else ""
    if deletions:
        button = f"Yes, undo it and delete {humanize.count_with_noun(len(deletions), 'record')}"
    return Question(title, effects, button, [table for table in tables if table.rows])


def _step_link(step: UndoStep) -> SafeString | str:
    entity_id = step.decision.entity_id
    if step.record is None:
        return step.name
    names = {(step.decision.entity_type, entity_id): step.name} if entity_id else {}
    return record_link(step.decision.entity_type, entity_id, names)


def _with_note(value: str, note: str) -> SafeString | str:
    return format_html('{}<br><span class="npd-muted">{}</span>', value, note) if note else value


class FieldLabels:
    """What fields are called now; read when first asked for."""

    @cached_property
    def mappings(self) -> list[FieldMapping]:
        return list(FieldMapping.objects.select_related("link"))

    def field(self, entity_type: str, key: str) -> str:
        """The label of a field; of one that is mapped no more, its key in words."""
        found = (one.label for one in self.mappings if (one.link.entity_type, one.key) == (entity_type, key))
        return next(found, key.replace("_", " ").capitalize())


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
            # A line may stand for its whole batch.
            is_whole = offer.url and rows[0].kind in BATCH_KINDS and rows[0].page_alike
            rows[0].page_undo = replace(offer, url=batch_undo_url(rows[0].batch_id)) if is_whole else offer
            rows[0].page_path = request.get_full_path()
            self.result_list.append(rows[0])

    def url_for_result(self, result: Any) -> str:
        """The page of an entry; of an edit that waits its record's."""
        return str(getattr(result, "page_url", "") or super().url_for_result(result))

    def _unsynced_rows(self, now: datetime) -> list[Any]:
        """The edits that wait, as rows that are not stored: one for each record and person, or for an act's many."""
        asked = {name for name in self.params if name not in (ORDER_VAR, SEARCH_VAR, EntityFilter.parameter_name)}
        if self.page_num > 1 or asked:
            return []
        opens = self._reader.has_perm("sync.view_tombstone")
        queue = reverse("admin:sync_syncqueue_changelist")
        wanted = self.params.get(EntityFilter.parameter_name)
        ids = None
        if self.query:
            ids = record_ids_by_name(self.query)
            with suppress(ValueError):
                ids.append(UUID(self.query))
        of_record: dict[tuple[str, str, UUID], list[tuple[UnsyncedEdit, dict[str, str]]]] = {}
        for edit, labels in unsynced_changes(ids, limit=MOST_UNSYNCED):
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
            row.page_opens_deleted, row.page_now, row.page_day = opens, now, mark_of(row)[1]
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
class DecisionAdmin(RecordLinkMixin, RecordSearchMixin, UndoPagesMixin, ReadOnlyAdmin):
    """One decision a row, as a sentence."""

    list_display = ("moment", "record", "kind_of_record", "what", "who")
    list_filter = (EntityFilter, ("at", DateTimeRangeFilter))
    search_fields = ("sentence", "remote_id", "actor", "entity_id", "batch_id")
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
        others = self._others(row)
        is_whole = not others or row.kind in BATCH_KINDS
        return format_html("{}{}", others, self._undo(row)) if is_whole else others

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

    moment = admin_base.time_column("done_at", "When", ordering="at")
