"""The pages of a bulk resolution: what it would do, its progress, what became of each conflict, its undo."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from conflicts import bulk_resolution
from conflicts.admin.case_screen import check_permission
from conflicts.bulk_resolution import MOVING_STATUSES, effect_lines
from conflicts.conflict_queries import BEING_APPLIED
from conflicts.messages import APPLYING, LEFT_OUT, NOT_UNDONE, SETTLED, STATUS_LABELS, WAITING
from conflicts.models import BatchState, ConflictBatch, EntryOutcome, ResolutionType, SyncConflict
from conflicts.resolution import SIDE_OF_TYPE
from conflicts.validation import InvalidResolution
from sync.admin.admin_base import see_other
from sync.kernel.humanize import plural

ROWS = 50
"""Rows of a batch on one page."""


class BatchMixin:
    """Adds the pages of batches to the list of conflicts."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The button's address, the batch's page, and the part of it that is asked for again."""
        view, name = self.admin_site.admin_view, "conflicts_syncconflict"
        return [
            path("all/<slug:kept>/", view(require_POST(self.all_that_match)), name=f"{name}_all"),
            path("batch/<uuid:pk>/", view(self.batch_page), name=f"{name}_batch"),
            path("batch/<uuid:pk>/progress/", view(self.batch_progress), name=f"{name}_batch_progress"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def all_that_match(self, request: HttpRequest, kept: str) -> HttpResponse:
        """Prepare a batch of all that match the filters in the address, and show it."""
        check_permission(self, request, "change")
        if kept not in SIDE_OF_TYPE:
            raise Http404(f"There is no side “{kept}”.")
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
        """Prepare a batch of these conflicts, and go to its page; `description` says in words which they are."""
        user, address = cast("User", request.user), list_query(request)
        return see_other(
            batch_url(bulk_resolution.prepare_batch(found, kept, by=user, address=address, matches=description))
        )

    def batch_page(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Show the batch; on POST confirm, stop or undo it."""
        check_permission(self, request, "view")
        batch = get_object_or_404(ConflictBatch.objects.select_related("by", "undo_by"), pk=pk)
        if request.method != "POST":
            return TemplateResponse(request, "conflicts/batch.html", self._context(request, batch))
        check_permission(self, request, "change")
        user, expected = cast("User", request.user), request.POST.get("expect", "")
        try:
            if "stop" in request.POST:
                left_count = bulk_resolution.stop_batch(batch, by=user)
                left = plural(
                    left_count, "%(left)s conflict is left as it was", "%(left)s conflicts are left as they were"
                )
                left = left % {"left": intcomma(left_count)}
                messages.success(request, f"Stopped. {left}; what was done before stays.")
            elif "undo" in request.POST:
                bulk_resolution.request_undo(batch, by=user)
            else:
                number = int(expected) if expected.isdecimal() and len(expected) < 10 else -1
                bulk_resolution.confirm_batch(batch, by=user, expected_count=number)
        except InvalidResolution as error:
            messages.error(request, f"Nothing was done. {error}")
        return see_other(batch_url(batch))

    def batch_progress(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """The part of the page that says how far it is."""
        check_permission(self, request, "view")
        batch = get_object_or_404(ConflictBatch, pk=pk)
        answer = TemplateResponse(request, "conflicts/batch_progress.html", _progress_context(batch))
        answer["Cache-Control"] = "no-store"
        return answer

    def _context(self, request: HttpRequest, batch: ConflictBatch) -> dict[str, Any]:
        label, is_prepared = batch_label(batch), batch.state == BatchState.PREPARED
        may_change = self.has_change_permission(request)  # type: ignore[attr-defined]
        show = request.GET.get("show", "")
        rows = bulk_resolution.with_status(batch).select_related("conflict")
        if is_prepared:
            rows = rows.filter(stands=LEFT_OUT)
        elif show in STATUS_LABELS:
            rows = rows.filter(stands=show)
        page = Paginator(rows, ROWS).get_page(request.GET.get("p"))
        samples = bulk_resolution.sample_entries(batch) if is_prepared else []
        return {
            **self.admin_site.each_context(request),
            "title": label,
            "opts": self.opts,
            "batch": batch,
            "label": label,
            "who": (batch.by.get_full_name() or batch.by.get_username()) if batch.by else "–",
            "prepared": is_prepared,
            "samples": [(row, effect_lines(row.conflict, batch.resolution_type)) for row in samples],
            "may_confirm": is_prepared and may_change and batch.by_id == request.user.pk,
            "may_change": may_change,
            "may_undo": may_change and batch.state in (BatchState.DONE, BatchState.UNDONE),
            "page": page,
            "rows": [(row, capfirst(STATUS_LABELS[row.stands]), bulk_resolution.entry_sentence(row)) for row in page],
            "show": show,
            "back": f"{reverse('admin:conflicts_syncconflict_changelist')}?{batch.address}",
            **_progress_context(batch),
        }


def batch_url(batch: ConflictBatch) -> str:
    """The address of a batch's page."""
    return reverse("admin:conflicts_syncconflict_batch", args=[batch.pk])


def batch_label(batch: ConflictBatch) -> str:
    """Which side it chooses, in words."""
    return str(ResolutionType(batch.resolution_type).label)


def _progress_context(batch: ConflictBatch) -> dict[str, Any]:
    counted = bulk_resolution.status_counts(batch)
    can_stop = batch.state == BatchState.RUNNING and bool(counted.get(WAITING))
    if batch.state == BatchState.UNDOING:
        can_stop = batch.entries.filter(outcome=EntryOutcome.UNDO_WANTED).exists()
    undoable = (SETTLED, APPLYING, NOT_UNDONE)
    return {
        "batch": batch,
        # Of an unconfirmed batch nothing moves; what was left out or stopped doesn't count as done.
        "moving": batch.state != BatchState.PREPARED and not MOVING_STATUSES.isdisjoint(counted),
        "done": sum(number for name, number in counted.items() if name not in {*MOVING_STATUSES, LEFT_OUT}),
        "stoppable": can_stop,
        "counts": [(name, STATUS_LABELS[name], number) for name, number in counted.items()],
        "undoable": sum(counted.get(name, 0) for name in undoable),
        "left_out": counted.get(LEFT_OUT, 0),
    }


def list_query(request: HttpRequest) -> str:
    """The list's filters as the query of an address, without the page."""
    parameters = request.GET.copy()
    for name in (PAGE_VAR, ERROR_FLAG):
        parameters.pop(name, None)
    return parameters.urlencode()
