"""The page before an undo: what would be put back, what has moved on and is left alone; and the undo itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from sync.admin import words
from sync.admin.base import record_link, record_url
from sync.models import Decision
from sync.undo import Step, Undone, carry_out, decisions_of_batch, may_undo, plan

SHOWN = 200
"""Lines of each kind on the page; the counts are of all."""


def undo_url(row: Decision) -> str:
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
            raise Http404(f"There is no decision #{pk}; it may be too old to be kept.")
        back = record_url(row.entity_type, row.entity_id) if row.entity_id else ""
        return self._page(request, [row], _("Put this back?"), back)

    def undo_batch(self, request: HttpRequest, batch_id: UUID) -> HttpResponse:
        """Show what taking a batch back would write; on POST, do it."""
        rows = list(decisions_of_batch(batch_id))
        if not rows:
            raise Http404(f"Nothing is kept of a batch {batch_id} that could be taken back.")
        return self._page(request, rows, _("Undo this batch?"), "")

    def _page(self, request: HttpRequest, rows: Sequence[Decision], title: str, back: str) -> HttpResponse:
        if not may_undo(request.user, rows):
            raise PermissionDenied
        back = _asked_for(request) or back or reverse("admin:sync_decision_changelist")
        if request.method == "POST":
            self._tell(request, carry_out(rows, by=cast("User", request.user)))
            return HttpResponseRedirect(back)
        return TemplateResponse(request, "sync/undo.html", self._context(request, rows, title, back))

    def _context(
        self, request: HttpRequest, rows: Sequence[Decision], title: str, back: str
    ) -> dict[str, Any]:
        steps = plan(rows)
        doable, left = [s for s in steps if not s.stale], [s for s in steps if s.stale]
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "heading": title,
            "doable": [(_link(step), step) for step in doable[:SHOWN]],
            "left": [(_link(step), step) for step in left[:SHOWN]],
            "count": len(doable),
            "count_left": len(left),
            "values": words.counted(len(doable), "value"),
            "records": words.counted(len({s.decision.entity_id for s in doable}), "record"),
            "decision": rows[0] if len(rows) == 1 else None,
            "sentence": words.plain(rows[0].sentence) if len(rows) == 1 else "",
            "back": back,
        }

    def _tell(self, request: HttpRequest, undone: Undone) -> None:
        if undone.done:
            text = _("%(count)s put back. The next look sends what is synced to Monday.") % {
                "count": words.counted(len(undone.done), "value")
            }
            messages.success(request, text)
        for step in undone.left[:5]:
            text = _("%(name)s · %(record)s was left alone: %(stale)s") % {
                "name": step.name,
                "record": step.label or "the record",
                "stale": step.stale,
            }
            messages.warning(request, text)
        if (more := len(undone.left) - 5) > 0:
            messages.warning(request, (_("%(more)s more were left alone.") % {"more": intcomma(more)}))


def _link(step: Step) -> str:
    entity_id = step.decision.entity_id
    names = {(step.decision.entity_type, entity_id): step.name} if step.record and entity_id else {}
    return str(record_link(step.decision.entity_type, entity_id, names))


def _asked_for(request: HttpRequest) -> str:
    """Where the person came from, if that is a page of ours."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if url_has_allowed_host_and_scheme(wanted, {request.get_host()}) else ""
