"""One side for all that match: the page that shows it before, how far it is, what became of each, and its one undo."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from conflicts import batch_standing as stands
from conflicts import batches
from conflicts.batch_lines import lines
from conflicts.errors import BadResolution
from conflicts.history import WRITTEN_IN
from conflicts.models import BatchState, ConflictBatch, ResolutionType, SyncConflict, Undoing
from conflicts.picks import ONE_SIDE
from conflicts.waiting import BEING_APPLIED

ROWS = 50
"""Rows of a batch on one page."""
HTTP_SEE_OTHER = 303
NOT_A_FILTER = (PAGE_VAR, ERROR_FLAG)


class BatchMixin:
    """Adds the pages of batches to the list of conflicts."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The button's address, the batch's page, and the part of it that is asked for again."""
        view, name = self.admin_site.admin_view, "conflicts_syncconflict"
        return [
            path("all/<slug:kept>/", view(self.all_that_match), name=f"{name}_all"),
            path("batch/<uuid:pk>/", view(self.batch_page), name=f"{name}_batch"),
            path("batch/<uuid:pk>/progress/", view(self.batch_progress), name=f"{name}_batch_progress"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def all_that_match(self, request: HttpRequest, kept: str) -> HttpResponse:
        """Prepare a batch of all that match the filters in the address, and show it."""
        self._must_change(request)
        if kept not in ONE_SIDE:
            raise Http404(_("There is no side “%(side)s”.") % {"side": kept})
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        return self.prepared(request, kept)

    def prepared(self, request: HttpRequest, kept: str) -> HttpResponse:
        """Prepare the batch, and go to its page."""
        found, words = self._matching(request)
        batch = batches.prepare(
            found, kept, by=cast("User", request.user), address=_address(request), matches=words
        )
        return _see_other(batch_url(batch))

    def _matching(self, request: HttpRequest) -> tuple[QuerySet[SyncConflict], str]:
        """What the list shows by its filters and nobody has chosen for yet; none where the filters can't be read."""
        with translation.override(WRITTEN_IN):  # the words are kept with the batch
            try:
                listed = self.get_changelist_instance(request)  # type: ignore[attr-defined]
            except IncorrectLookupParameters:
                return SyncConflict.objects.none(), ""
            rows = listed.get_queryset(request).order_by().filter(resolved_at=None).exclude(BEING_APPLIED)
            return rows, _in_words(request, listed)

    def batch_page(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Show the batch; on POST confirm, stop or undo it."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        batch = get_object_or_404(ConflictBatch.objects.select_related("by", "undo_by"), pk=pk)
        if request.method == "POST":
            return self._act(request, batch)
        return TemplateResponse(request, "conflicts/batch.html", self._context(request, batch))

    def _act(self, request: HttpRequest, batch: ConflictBatch) -> HttpResponse:
        self._must_change(request)
        user = cast("User", request.user)
        try:
            if "stop" in request.POST:
                left = batches.stop(batch, by=user)
                messages.success(request, _stopped(left))
            elif "undo" in request.POST:
                batches.want_undone(batch, by=user)
            else:
                batches.confirm(batch, by=user, expect=_number(request.POST.get("expect", "")))
        except BadResolution as error:
            messages.error(request, _("Nothing was done. %(why)s") % {"why": error})
        return _see_other(batch_url(batch))

    def batch_progress(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """The part of the page that says how far it is."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        batch = get_object_or_404(ConflictBatch, pk=pk)
        answer = TemplateResponse(request, "conflicts/batch_progress.html", _progress(batch))
        answer["Cache-Control"] = "no-store"
        return answer

    def _context(self, request: HttpRequest, batch: ConflictBatch) -> dict[str, Any]:
        label = label_of(batch)
        prepared = batch.state == BatchState.PREPARED
        may = self.has_change_permission(request)  # type: ignore[attr-defined]
        show = request.GET.get("show", "")
        rows = stands.standing(batch).select_related("conflict")
        if prepared:
            rows = rows.filter(stands=stands.LEFT_OUT)
        elif show in stands.WORDS:
            rows = rows.filter(stands=show)
        page = Paginator(rows, ROWS).get_page(request.GET.get("p"))
        shown = [(row, capfirst(str(stands.WORDS[row.stands])), stands.sentence(row)) for row in page]
        return {
            **self.admin_site.each_context(request),
            "title": label,
            "opts": self.opts,
            "batch": batch,
            "label": label,
            "who": (batch.by.get_full_name() or batch.by.get_username()) if batch.by else "–",
            "prepared": prepared,
            "samples": [(row, lines(row.conflict, batch.resolution_type)) for row in batches.samples(batch)]
            if prepared
            else [],
            "may_confirm": prepared and may and batch.by_id == request.user.pk,
            "may_change": may,
            "may_undo": may and batch.state in (BatchState.DONE, BatchState.UNDONE),
            "page": page,
            "rows": shown,
            "show": show,
            "back": f"{reverse('admin:conflicts_syncconflict_changelist')}?{batch.address}",
            **_progress(batch),
        }

    def _must_change(self, request: HttpRequest) -> None:
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied


def batch_url(batch: ConflictBatch) -> str:
    """The address of a batch's page."""
    return reverse("admin:conflicts_syncconflict_batch", args=[batch.pk])


def label_of(batch: ConflictBatch) -> str:
    """Which side it chooses, in words."""
    return str(ResolutionType(batch.resolution_type).label)


def _progress(batch: ConflictBatch) -> dict[str, Any]:
    counted = stands.counts(batch)
    undoable = sum(counted.get(name, 0) for name in (stands.SETTLED, stands.APPLYING, stands.NOT_UNDONE))
    return {
        "batch": batch,
        "moving": stands.is_moving(batch, counted),
        "done": stands.done(counted),
        "stoppable": _stoppable(batch, counted),
        "counts": [(name, stands.WORDS[name], number) for name, number in counted.items()],
        "undoable": undoable,
        "left_out": counted.get(stands.LEFT_OUT, 0),
    }


def _stoppable(batch: ConflictBatch, counted: dict[str, int]) -> bool:
    """Whether some of it has not begun yet."""
    if batch.state == BatchState.UNDOING:
        return batch.entries.filter(undo=Undoing.WANTED).exists()
    return batch.state == BatchState.RUNNING and bool(counted.get(stands.WAITING))


def _stopped(left: int) -> str:
    return ngettext(
        "Stopped. %(left)s conflict is left as it was; what was done before stays.",
        "Stopped. %(left)s conflicts are left as they were; what was done before stays.",
        left,
    ) % {"left": intcomma(left)}


def _address(request: HttpRequest) -> str:
    kept = request.GET.copy()
    for name in NOT_A_FILTER:
        kept.pop(name, None)
    return kept.urlencode()


def _in_words(request: HttpRequest, listed: Any) -> str:
    """What the filters let through, in words; an empty text where there is none."""
    parts = []
    for spec in listed.filter_specs:
        chosen = [str(choice["display"]) for choice in spec.choices(listed) if choice.get("selected")]
        value = any(name in request.GET for name in spec.expected_parameters())
        if chosen and value:
            parts.append(f"{spec.title}: {chosen[0]}")
    if text := request.GET.get(SEARCH_VAR, "").strip():
        parts.append(_("search: “%(text)s”") % {"text": text})
    return "; ".join(parts)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _see_other(address: str) -> HttpResponse:
    response = HttpResponseRedirect(address)
    response.status_code = HTTP_SEE_OTHER
    return response
