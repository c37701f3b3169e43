"""The pages of a bulk resolution: what it would do, its progress, what became of each conflict, its undo.

What would delete is a bulk resolution of its own, with a red button that says how many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from conflicts import bulk_resolution
from conflicts.admin.case_screen import check_permission, marked_excerpt
from conflicts.bulk_resolution import BULK_TYPES, MOVING_STATUSES, bulk_title, effect_lines
from conflicts.case import listed_case, parse_uuid
from conflicts.messages import (
    APPLYING,
    LEFT_OUT,
    NOT_UNDONE,
    PLAN_LINES,
    SETTLED,
    STATUS_LABELS,
    UNDONE,
    WAITING,
    WAYS_BACK,
)
from conflicts.models import (
    BEING_APPLIED,
    MONDAY,
    NPD,
    BatchState,
    ConflictBatch,
    ConflictKind,
    EntryOutcome,
    ResolutionType,
    SyncConflict,
    known_conflict,
)
from conflicts.resolution import InvalidResolution
from sync.admin.admin_base import see_other
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, question_page
from sync.admin.deletion_pages import deleted_records_link
from sync.kernel import humanize
from sync.kernel.conflict_store import OptionAct
from sync.kernel.outgoing_calls import own_address
from sync.registry import known_text, visible_types

ROWS = 50
"""Rows of a batch on one page."""

MAX_PARTS = 20
"""Bulk resolutions that one choice may come to: more than there are acts."""

_SIDES = {
    ResolutionType.KEEP_NPD.value: ("NPD, on both sides", "Monday, is overwritten"),
    ResolutionType.KEEP_MONDAY.value: ("NPD, is overwritten", "Monday, on both sides"),
}
_MAX_WHOLE = 20

_ABOUT_RECORDS = "What is created, deleted or unlinked is not undone by that button: its own page says how to go back."
_UNDO_AFTERWARDS = "Afterwards you can undo all of it with one button."


class BatchMixin:
    """Adds the pages of batches to the list of conflicts."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "conflicts_syncconflict"
        return [
            path("all/<slug:kept>/", view(require_POST(self.all_that_match)), name=f"{name}_all"),
            path("batch/", view(self.batch_choice), name=f"{name}_batches"),
            path("batch/<uuid:pk>/", view(self.batch_page), name=f"{name}_batch"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def all_that_match(self, request: HttpRequest, kept: str) -> HttpResponse:
        """Prepare a batch of all that match the filters in the address, and show it."""
        check_permission(self, request, "change")
        if kept not in BULK_TYPES:
            raise Http404(f"“{kept}” can't be chosen for many.")
        return self.prepare_and_redirect(request, kept)

    def prepare_and_redirect(self, request: HttpRequest, kept: str) -> HttpResponse:
        """Prepare a batch of the listed conflicts that have no resolution yet, and go to its page."""
        found, description = SyncConflict.objects.none(), ""
        try:
            changelist = self.get_changelist_instance(request)  # type: ignore[attr-defined]
        except IncorrectLookupParameters:
            pass  # none matches filters that can't be read
        else:
            found = changelist.get_queryset(request).order_by().filter(resolved_at=None).exclude(BEING_APPLIED)
            # What the page and the activity say of a batch: which list it was made of.
            parts = []
            for spec in changelist.filter_specs:
                chosen = [
                    str(resolution["display"]) for resolution in spec.choices(changelist) if resolution.get("selected")
                ]
                value = any(name in request.GET for name in spec.expected_parameters())
                if chosen and value:
                    parts.append(f"{spec.title}: {chosen[0]}")
            if text := request.GET.get(SEARCH_VAR, "").strip():
                parts.append(f"search: “{text}”")
            description = "; ".join(parts)
        return self.prepare_found(request, found, kept, description)

    def prepare_found(
        self, request: HttpRequest, found: QuerySet[SyncConflict], kept: str, description: str
    ) -> HttpResponse:
        """Prepare what is to be done with these conflicts, and go there; `description` says in words which they are."""
        return see_other(prepared_url(request, found, kept, address=list_query(request), matches=description))

    def batch_choice(self, request: HttpRequest) -> HttpResponse:
        """Offer each of the bulk resolutions that one choice came to by itself: values, deletions, creations."""
        check_permission(self, request, "view")
        named = [key for key in request.GET.getlist("of") if parse_uuid(key)][:MAX_PARTS]
        found = ConflictBatch.objects.filter(pk__in=named, by_id=request.user.pk).order_by("made_at", "id")
        parts = [
            (batch, batch_url(batch), bulk_title(batch), bulk_resolution.takes_away(batch))
            for batch in sorted(
                found, key=lambda one: (bulk_resolution.takes_away(one), BULK_TYPES.index(one.resolution_type))
            )
        ]
        if not parts:
            raise Http404("None of these is kept any more. Choose in the list again.")
        context = {
            **self.admin_site.each_context(request),
            "title": "What should happen?",
            "opts": self.opts,
            "parts": parts,
            "back": _back_url(request, parts[0][0]),
        }
        return TemplateResponse(request, "conflicts/batch_choice.html", context)

    def batch_page(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Show the batch; on POST confirm, stop or undo it."""
        check_permission(self, request, "view")
        batch = get_object_or_404(ConflictBatch.objects.select_related("by", "undo_by"), pk=pk)
        if request.method != "POST" and batch.state == BatchState.PREPARED:
            return question_page(self, request, self._question(request, batch), _back_url(request, batch))
        if request.method != "POST":
            return TemplateResponse(request, "conflicts/batch.html", self._context(request, batch))
        check_permission(self, request, "change")
        user, expected = cast("User", request.user), request.POST.get("expect", "")
        try:
            if "stop" in request.POST:
                left_count = bulk_resolution.stop_batch(batch, by=user)
                left = humanize.count_with_noun(
                    left_count, "conflict is left as it was", "conflicts are left as they were"
                )
                messages.success(request, f"Stopped. {left}; what was done before stays.")
            elif "undo" in request.POST:
                bulk_resolution.request_undo(batch, by=user)
            else:
                number = int(expected) if expected.isdecimal() and len(expected) < 10 else -1
                bulk_resolution.confirm_batch(batch, by=user, expected_count=number)
        except InvalidResolution as error:
            messages.error(request, f"Nothing was done. {error}")
        return see_other(batch_url(batch))

    def _question(self, request: HttpRequest, batch: ConflictBatch) -> Question:
        may_change = self.has_change_permission(request)  # type: ignore[attr-defined]
        title, way_back = bulk_title(batch), WAYS_BACK.get(batch.resolution_type, "")
        lines = [
            humanize.count_with_noun(number, *words)
            for name, words in PLAN_LINES.items()
            if (number := batch.plan.get(name, 0))
        ]
        effects = [f"All open conflicts that match: {batch.matches}." if batch.matches else "All open conflicts."]
        if batch.total:
            calls = humanize.count_with_noun(batch.plan["calls"], "call")
            effects += [
                f"{'; '.join([*lines, f'about {calls} to Monday'])}.",
                "This is done for what is shown now. A conflict that changes before its turn is left open, and listed.",
                f"It can't be undone at once. {way_back}" if way_back else _UNDO_AFTERWARDS,
            ]
            if batch.plan.get("about_records") and not way_back:
                effects.append(_ABOUT_RECORDS)
        else:
            effects.append("No conflict that matches can be resolved this way.")
        page = Paginator(bulk_resolution.ready_entries(batch), ROWS).get_page(request.GET.get("p"))
        page.object_list = _known_rows(request, page)
        values = [(_named(row), *_sides(row.conflict)) for row in page if not row.conflict.is_about_record]
        done = [
            (_named(row), "\n".join(effect_lines(row.conflict, batch.resolution_type)))
            for row in page
            if row.conflict.is_about_record
        ]
        left = bulk_resolution.with_status(batch).filter(stands=LEFT_OUT)
        shown = _known_rows(request, left.select_related("conflict")[:MAX_ROWS_SHOWN])
        reasons = [(_named(row), bulk_resolution.entry_sentence(row)) for row in shown]
        number = left.count()
        left_out = humanize.count_with_noun(number, "is left out", "are left out")
        tables = [
            RecordTable(("Record", *_SIDES.get(batch.resolution_type, ("NPD", "Monday"))), values, len(values)),
            RecordTable(("Record", "What is done"), done, len(done)),
            RecordTable(("Record", "Why"), reasons, number, left_out),
        ]
        return Question(
            f"{title}?",
            effects,
            title if may_change and batch.total and batch.by_id == request.user.pk else "",
            [table for table in tables if table.rows],
            [("expect", batch.total)],
            deletes=bulk_resolution.takes_away(batch),
            page=page,
        )

    def _context(self, request: HttpRequest, batch: ConflictBatch) -> dict[str, Any]:
        may_change, way_back = self.has_change_permission(request), WAYS_BACK.get(batch.resolution_type, "")  # type: ignore[attr-defined]
        show = request.GET.get("show", "")
        rows = bulk_resolution.with_status(batch).select_related("conflict")
        if show in STATUS_LABELS:
            rows = rows.filter(stands=show)
        page = Paginator(rows, ROWS).get_page(request.GET.get("p"))
        page.object_list = _known_rows(request, page)
        deletes = batch.resolution_type == OptionAct.DELETE_RECORD
        return {
            **self.admin_site.each_context(request),
            "title": bulk_title(batch),
            "opts": self.opts,
            "batch": batch,
            "way_back": way_back,
            "restore_link": deleted_records_link(request.user) if deletes else "",
            "who": (batch.by.get_full_name() or batch.by.get_username()) if batch.by else "–",
            "may_change": may_change,
            "may_undo": may_change and not way_back and batch.state in (BatchState.DONE, BatchState.UNDONE),
            "page": page,
            "rows": [_outcome(row) for row in page],
            "show": show,
            "back": _back_url(request, batch),
            **_progress_context(batch),
        }


def _known_rows(request: HttpRequest, rows: Iterable[Any]) -> list[Any]:
    types, found = visible_types(request.user), []
    for row in rows:
        entity_type = row.conflict.entity_type
        row.name, row.reason = known_text(types, entity_type, row.name), known_text(types, entity_type, row.reason)
        row.conflict = known_conflict(row.conflict, types)
        found.append(row)
    return found


def _outcome(row: Any) -> tuple[Any, str, str]:
    """A row, what became of it, and what was written, or why not, without the same word once more."""
    outcome = capfirst(STATUS_LABELS[row.stands])
    return row, outcome, bulk_resolution.entry_sentence(row).removeprefix(f"{outcome}: ")


def _sides(conflict: SyncConflict) -> tuple[SafeString, SafeString]:
    """Both sides of each field, of an overwritten edit what is there now and the edit; what is short, on one line."""
    fields = listed_case(conflict, "").fields
    names = ("now", "overwritten") if conflict.kind == ConflictKind.OVERWRITTEN else ("", "")

    def cell(side: int) -> SafeString:
        lines = []
        for one in fields:
            name = (NPD, MONDAY)[side]
            look = "npd-whole" if len(getattr(one, name) or "") <= _MAX_WHOLE else ""
            lines.append((", ".join(filter(None, [one.label, names[side]])), look, marked_excerpt(one, name)))
        return format_html_join("\n", '{}: <b class="{}">{}</b>', lines)

    return cell(0), cell(1)


def _named(row: Any) -> SafeString:
    url = reverse("admin:conflicts_syncconflict_screen", args=[row.conflict_id])
    return format_html('<a class="npd-link" href="{}">{}</a>', url, row.name)


def batch_url(batch: ConflictBatch) -> str:
    return reverse("admin:conflicts_syncconflict_batch", args=[batch.pk])


def prepared_url(request: HttpRequest, found: QuerySet[SyncConflict], kept: str, *, address: str, matches: str) -> str:
    """Prepare what is to be done with these conflicts; return the page that asks about it.

    `address` is the list that it came from, as a query of the conflicts' own or as a path.
    """
    user = cast("User", request.user)
    batches = bulk_resolution.prepare_batches(found, kept, by=user, address=address, matches=matches)
    if len(batches) == 1:
        return batch_url(batches[0])
    query = urlencode([("of", str(batch.pk)) for batch in batches])
    return f"{reverse('admin:conflicts_syncconflict_batches')}?{query}"


def _back_url(request: HttpRequest, batch: ConflictBatch) -> str:
    here = f"{reverse('admin:conflicts_syncconflict_changelist')}?{batch.address}"
    return (own_address(request, batch.address) if batch.address.startswith("/") else "") or here


def _progress_context(batch: ConflictBatch) -> dict[str, Any]:
    counted = bulk_resolution.status_counts(batch)
    can_stop = batch.state == BatchState.RUNNING and bool(counted.get(WAITING))
    if batch.state == BatchState.UNDOING:
        can_stop = batch.entries.filter(outcome=EntryOutcome.UNDO_WANTED).exists()
    undoable = (SETTLED, APPLYING, NOT_UNDONE)
    reached = UNDONE if batch.state in (BatchState.UNDOING, BatchState.UNDONE) else SETTLED
    return {
        "moving": sum(counted.get(name, 0) for name in MOVING_STATUSES),
        "reached": counted.get(reached, 0),
        "is_undo": reached == UNDONE,
        "others": [
            (STATUS_LABELS[name], number) for name, number in counted.items() if name not in {*MOVING_STATUSES, reached}
        ],
        # What was left out or stopped doesn't count as done.
        "done": sum(number for name, number in counted.items() if name not in {*MOVING_STATUSES, LEFT_OUT}),
        "stoppable": can_stop,
        "counts": [(name, STATUS_LABELS[name], number) for name, number in counted.items()],
        "undoable": sum(counted.get(name, 0) for name in undoable),
        "waits": bulk_resolution.delay_reason(batch) if counted.get(APPLYING) else "",
    }


def list_query(request: HttpRequest) -> str:
    """The list's filters as the query of an address, without the page."""
    parameters = request.GET.copy()
    for name in (PAGE_VAR, ERROR_FLAG):
        parameters.pop(name, None)
    return parameters.urlencode()
