"""The activity of all records and boards, with its undo."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models.functions import Cast, Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, re_path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from sync import registry
from sync.admin import activity, admin_base, confirmed_action, edits
from sync.clock import sync_now
from sync.kernel import grouped, humanize
from sync.models import Decision, decisions
from sync.operations import decision_undo
from sync.reconcile.field_values import as_uuid
from sync.records import tombstones
from sync.records.availability import wait_sentence

ACTIVITY = "admin:sync_decision_changelist"
DELETED = "admin:sync_tombstone_changelist"

# One address undoes this many changes, or restores this many deleted records, at most.
MOST_UNDONE = 100

# Their keys in the address, separated by commas. 18 digits fit into a bigint.
KEYS = rf"\d{{1,18}}(?:,\d{{1,18}}){{0,{MOST_UNDONE - 1}}}"


def activity_tabs(request: HttpRequest, here: str) -> list[admin_base.ListTab]:
    """Return the tabs that this person may see. The list of one act has none as current, so “All” leads back."""
    tabs = [("All", ACTIVITY, "sync.view_decision"), ("Deleted records", DELETED, "sync.view_tombstone")]
    user: Any = request.user
    return [
        admin_base.ListTab(label, reverse(name), name == here and "fold_id" not in request.GET)
        for label, name, right in tabs
        if user.has_perm(right)
    ]


def _monday_follows(rows: Sequence[Decision], number: int) -> str:
    """Return when Monday gets the undone values; empty if the records are on no board."""
    types = {row.entity_type for row in rows if (link := registry.link_of(row.entity_type)) and link.board_id}
    return (wait_sentence(number, types) or "Monday follows within seconds.") if types else ""


def _undo_question(rows: Sequence[Decision], title: str) -> confirmed_action.Question:
    steps = decision_undo.plan_decision_undo(rows)
    left_alone = [step for step in steps if step.refusal]
    values = [step for step in steps if not step.refusal and not step.deletes]
    deletions = [step for step in steps if not step.refusal and step.deletes]
    effects = [humanize.without_request_id(rows[0].sentence)] if len(rows) == 1 else []
    button = ""
    if values:
        records = humanize.count_with_noun(len({step.decision.entity_id for step in values}), "record")
        number = humanize.count_with_noun(len(values), "value")
        effects.append(
            f"{number} of {records} {humanize.plural(len(values), 'goes', 'go')} back to the value before. Each "
            "is written only where NPD still has the value that is undone; the next sync sends it to Monday, and asks "
            "you where Monday has changed meanwhile. An undo can be undone."
        )
        button = "Yes, put it back" if len(values) == 1 else "Yes, put them back"
    if deletions:
        records = humanize.count_with_noun(len(deletions), "record")
        by_type = grouped((step.record for step in deletions if step.record), lambda record: record.entity_type())
        consequences = dict.fromkeys(tombstones.deletion_consequence(group).sentence for group in by_type.values())
        effects.append(
            f"{records} that the import made {humanize.plural(len(deletions), 'is', 'are')} deleted in NPD. "
            f"{' '.join(filter(None, consequences)) or 'A deleted record can be restored.'}"
        )
        button = f"Yes, undo it and delete {records}"
    if not values and not deletions:
        effects.append("There is no value to restore.")
    tables = [
        _step_table(values, "Goes back to"),
        _step_table(deletions, "", f"Deleted: {len(deletions):,}"),
        _step_table(left_alone, "Why", f"Can't be undone here: {len(left_alone):,}"),
    ]
    return confirmed_action.Question(title, effects, button, [table for table in tables if table.rows])


def _step_table(
    steps: Sequence[decision_undo.UndoStep], last_head: str, title: str = ""
) -> confirmed_action.RecordTable:
    rows = []
    for step in steps[: confirmed_action.MAX_ROWS_SHOWN]:
        url = ""
        if step.record and step.decision.entity_id:
            url = registry.record_url(step.decision.entity_type, step.decision.entity_id)
        now = step.current_text
        outcome: SafeString | str = step.refusal
        if not step.refusal and not step.deletes:
            now = now or "(empty)"
            note = format_html('<br><span class="npd-muted">{}</span>', step.note) if step.note else ""
            outcome = format_html("{}{}", step.restored_text or "(empty)", note)
        rows.append((admin_base.link_to(url, step.name), step.label, now, outcome))
    heads = ("Record", "Field", "Now", last_head)
    return confirmed_action.RecordTable(heads, rows, len(steps), title).without_empty_columns()


# Monday's time of a change is shown too if it is further than this from the time when NPD noticed the change.
MONDAYS_DELAY = timedelta(minutes=1)

# With one of these parameters the list includes folded entries.
UNFOLDING_PARAMETERS = (SEARCH_VAR, "batch_id", "fold_id")

# A page reads the waiting edits of this many records at most.
MOST_WAITING = 100


class ActivityList(admin_base.PageChangeList):
    """A page of the activity, with one row for each act."""

    def get_results(self, request: HttpRequest) -> None:
        """Replace the entries by the first one of each act, with the act and its undo."""
        self.tabs = activity_tabs(request, ACTIVITY)
        self.mappings = list(edits.board_mappings())
        super().get_results(request)
        if ORDER_VAR not in self.params:
            self.result_list.sort(key=lambda row: row.at, reverse=True)
        acts = activity.acts_of(self.result_list, activity.labels_of(self.mappings), request)
        for act in acts:
            row: Any = act.row
            row.page_act = act
            row.page_offer = act.offer
            if row.page_alike:
                # Undoing one record would leave the others, so only the undo of a whole batch is offered.
                is_batch = act.offer.url and row.kind in decisions.BATCH_KINDS
                url = activity.batch_undo_url(row.batch_id, request.get_full_path()) if is_batch else ""
                row.page_offer = replace(act.offer, url=url)
        self.result_list = [act.row for act in acts]
        # The paginator counts entries, of which a line may have several; one page can count its lines.
        if not self.multi_page:
            self.result_count = len(acts)

    def url_for_result(self, result: Any) -> str:
        """Return the entry's page, or the record's page for an edit that waits."""
        if result.kind == edits.WAITING:
            return registry.record_url(result.entity_type, result.entity_id)
        return str(super().url_for_result(result))

    def rows_above(self) -> list[Any]:
        """Return the edits that wait as unsaved entries, on the first page only."""
        if self.page_num > 1 or self.params.keys() - {ORDER_VAR, SEARCH_VAR, admin_base.EntityFilter.parameter_name}:
            return []
        ids = None
        if self.query:
            ids = [*admin_base.record_ids_by_name(self.query), *filter(None, [as_uuid(self.query)])]
        labels = edits.sent_labels(self.mappings)
        chosen_types = self.params.get(admin_base.EntityFilter.parameter_name)
        types = {entity_type for entity_type, _ in labels if not chosen_types or entity_type in chosen_types}
        waiting = [edit for edit in edits.waiting_edits(ids, limit=MOST_WAITING) if edit.entity_type in types]
        rows = edits.waiting_rows(waiting, labels, folds=not self.query)
        for row in rows:
            row.page_now = self.result_list[0].page_now if self.result_list else sync_now()
        return rows


@admin.register(Decision)
class DecisionAdmin(admin_base.RecordLinkMixin, admin_base.RecordSearchMixin, admin_base.ReadOnlyAdmin):
    changelist = ActivityList
    list_display = ("moment", "record", "kind_of_record", "change", "who")
    list_filter = (admin_base.EntityFilter, "at")
    search_fields = ("sentence", "remote_id", "actor", "entity_id", "batch_id")
    search_help_text = "A record's name, what happened, who did it, or an item's number"
    fields = ("record", "what_happened", "who", "moment", "what_led_to_it")
    list_before_template = "sync/list_tabs.html"
    empty_title = "Nothing was synced yet"
    empty_words = "Everything that a sync sent, updated or asked is listed here."

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Decision]:
        """Leave folded entries out of the list, unless it is searched or shows one act or batch."""
        rows = decisions.visible_to(request.user, super().get_queryset(request))
        if not self.is_list(request):
            return rows
        if "fold_id" in request.GET:
            # The record's page lists the values with which an item was created.
            rows = rows.exclude(cause__has_key="made", kind="push")
        if request.GET.keys().isdisjoint(UNFOLDING_PARAMETERS):
            return rows.filter(folded=False)
        # The entry about an applied choice replaces the entry about the choice.
        return rows.exclude(folded=True, fold_id=None)

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        """Put on each stored entry the number of the other records that are folded into it."""
        super().prepare_page(request, rows)
        number = models.Count(Coalesce(Cast("entity_id", models.CharField()), "remote_id"), distinct=True)
        acts = Decision.objects.filter(fold_id__in={row.fold_id for row in rows if row.fold_id}).order_by()
        records = dict(acts.values_list("fold_id").annotate(number=number))
        # A list with the folded entries themselves counts none of them a second time.
        has_folded = any(row.folded for row in rows)
        for row in rows:
            if row.pk:
                row.page_alike = 0 if has_folded else records.get(row.fold_id, 1) - 1

    @admin.display(description="What happened")
    def change(self, row: Any) -> SafeString:
        """Return what the act changed, a link to its other records, and its undo."""
        others_url = f"?{urlencode({'fold_id': str(row.fold_id)})}"
        if row.kind == edits.WAITING:
            others_url = registry.page_url("sync_syncqueue_changelist", query=f"entity_type={row.entity_type}")
        others = humanize.count_with_noun(row.page_alike, "more record", "more records") if row.page_alike else ""
        context = {"act": row.page_act, "offer": row.page_offer, "others_url": others_url, "others": others}
        return SafeString(render_to_string("sync/activity_cell.html", context))

    @admin.display(description="When", ordering="at")
    def moment(self, row: Any) -> SafeString | str:
        """Return when NPD noticed it, by which the list is ordered, and Monday's time where it is another."""
        noticed = admin_base.time_tag(row.at, row.page_now)
        if abs(row.at - row.happened_at) <= MONDAYS_DELAY:
            return noticed
        on_monday = humanize.short_time_element(row.happened_at)
        return format_html('{}<br><span class="npd-muted">on Monday {}</span>', noticed, on_monday)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            re_path(rf"^(?P<keys>{KEYS})/undo/$", view(self.undo_some), name="sync_decision_undo"),
            path("batch/<uuid:batch_id>/undo/", view(self.undo_batch), name="sync_decision_undo_batch"),
            *super().get_urls(),
        ]

    def undo_some(self, request: HttpRequest, keys: str) -> HttpResponse:
        """Show what undoing the decisions of an act would write; on POST, undo them."""
        pks = {int(key) for key in keys.split(",")}
        rows = list(Decision.objects.filter(pk__in=pks).order_by("pk"))
        if missing := pks - {row.pk for row in rows}:
            raise Http404(f"There is no activity #{min(missing)}; it may be too old to be kept.")
        back_url = registry.record_url(rows[0].entity_type, rows[0].entity_id) if rows[0].entity_id else ""
        title = "Undo this change?" if len(rows) == 1 else "Undo these changes?"
        return self._undo_page(request, rows, title, back_url)

    def undo_batch(self, request: HttpRequest, batch_id: UUID) -> HttpResponse:
        """Show what undoing a batch would write; on POST, undo it."""
        rows = list(decision_undo.decisions_of_batch(batch_id))
        if not rows:
            raise Http404(f"Nothing is kept of the sync {batch_id} that could be undone.")
        file_name = rows[0].cause.get("file")
        title = f"Undo the import of “{file_name}”?" if file_name else "Undo all of that sync?"
        return self._undo_page(request, rows, title, "")

    def _undo_page(self, request: HttpRequest, rows: Sequence[Decision], title: str, back_url: str) -> HttpResponse:
        if not decision_undo.may_undo_decisions(request.user, rows):
            raise PermissionDenied
        back_url = admin_base.own_address(request, request.POST.get("next"), request.GET.get("next")) or back_url

        def run() -> confirmed_action.Report:
            result = decision_undo.undo_decisions(rows, by=cast("User", request.user))
            restored = sum(not step.deletes for step in result.undone)
            deleted = len(result.undone) - restored
            parts = []
            if restored:
                parts.append(f"{humanize.count_with_noun(restored, 'value')} restored")
            if deleted:
                parts.append(f"{humanize.count_with_noun(deleted, 'record')} deleted")
            sentence = f"{' and '.join(parts)}. {_monday_follows(rows, len(result.undone))}".rstrip() if parts else ""
            problems = [
                f"{step.name} · {step.label or 'the record'} was left alone: {step.refusal}"
                for step in result.left_alone
            ]
            return confirmed_action.Report(sentence, problems)

        question = partial(_undo_question, rows, title)
        return confirmed_action.run_action(self, request, run, back_url or reverse(ACTIVITY), question)

    what_happened = admin_base.plain_column("What happened", lambda row: humanize.without_request_id(row.sentence))
    what_led_to_it = admin_base.plain_column(
        "What led to it", lambda row: humanize.without_request_id(decisions.causes_text(row)) or humanize.DASH
    )
    who = admin_base.plain_column("By", activity.actor_of, "actor")
