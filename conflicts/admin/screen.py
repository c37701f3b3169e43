"""The side-by-side screen: NPD, last agreed, Monday, and what will be written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import presenting, presenting_record, progress, undoing, waiting
from conflicts.admin.filters import mappings_of_all
from conflicts.admin.posted import posted_of, type_of
from conflicts.admin.rule import offered
from conflicts.errors import BadResolution, NotWaiting, StaleSeen
from conflicts.models import ConflictKind, SyncConflict
from conflicts.presenting import Posted
from conflicts.records import monday_url, name_of, record_of
from conflicts.resolution import resolve
from sync.admin import words
from sync.admin.base import record_url
from sync.clock import sync_now

HTTP_SEE_OTHER = 303


class ConflictScreen(UnfoldModelAdminViewMixin, TemplateView):
    """Shows a conflict to those who may see it, takes a choice from those who may change it."""

    template_name = "conflicts/screen.html"
    title = "Conflict"

    def has_permission(self) -> bool:
        """Whether the person may see this page; the admin's own permissions decide."""
        return bool(self.model_admin.has_view_permission(self.request))

    def handle_no_permission(self) -> HttpResponseRedirect:
        raise PermissionDenied

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show the conflict as it stands."""
        return self._show(get_object_or_404(SyncConflict, pk=pk))

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Store the choice, or show again what stands in its way with the choices kept."""
        if not self.model_admin.has_change_permission(request):
            raise PermissionDenied
        conflict = get_object_or_404(SyncConflict, pk=pk)
        posted = posted_of(request)
        try:
            stored = resolve(
                pk, by=cast("User", request.user), resolution_type=type_of(conflict, posted),
                selections=posted.selections, seen=posted.seen,
            )  # fmt: skip
        except BadResolution as error:
            return self._show(conflict, posted, error.problems, trouble=error.sentence, status=400)
        except (StaleSeen, NotWaiting) as error:
            conflict.refresh_from_db()
            return self._show(conflict, posted, trouble=str(error), status=409)
        return self._go_on(stored, to_next="next" in request.POST)

    def _go_on(self, conflict: SyncConflict, *, to_next: bool) -> HttpResponse:
        following = waiting.after(conflict) if to_next else None
        address = screen_url(following or conflict)
        if following is not None:
            address += f"?after={conflict.pk}"
        response = HttpResponseRedirect(address)
        response.status_code = HTTP_SEE_OTHER
        return response

    def _show(
        self,
        conflict: SyncConflict,
        posted: Posted | None = None,
        problems: dict[str, str] | None = None,
        *,
        trouble: str = "",
        status: int = 200,
    ) -> HttpResponse:
        choosing = conflict.is_open and not conflict.is_being_applied
        of_fields = not conflict.is_about_record
        rows = presenting.open_rows(conflict, posted, problems) if conflict.is_open and of_fields else []
        context = self.get_context_data(
            conflict=conflict,
            rows=rows,
            settled=presenting.settled_rows(conflict),
            gone=presenting.gone_fields(conflict, posted),
            choosing=choosing,
            may_choose=choosing and self.model_admin.has_change_permission(self.request),
            trouble=trouble,
            posted_kept=bool(posted and posted.picks and choosing),
            problems=problems or {},
            suggestions=self._suggestions(conflict),
            **self._about(conflict),
            **self._about_record(conflict, posted),
        )
        return self.render_to_response(context, status=status)

    def _about(self, conflict: SyncConflict) -> dict[str, Any]:
        """The record, the links, the place among the others, the state."""
        record = record_of(conflict)
        number, total = waiting.position(conflict)
        following, preceding = waiting.after(conflict), waiting.before(conflict)
        name = name_of(conflict, record)
        shows_fields = conflict.is_open and not conflict.is_about_record
        self.title = f"Conflict of {name}"
        return {
            "name": name,
            "page_name": name,
            "record": record,
            "record_url": record_url(conflict.entity_type, conflict.entity_id) if record else "",
            "monday_url": monday_url(conflict),
            "others": presenting.other_fields(conflict) if shows_fields else [],
            "equal": presenting.equal_fields(conflict, record) if shows_fields else [],
            "progress": progress.progress_of(conflict),
            "number": number,
            "total": total,
            "next_url": screen_url(following) if following else "",
            "previous_url": screen_url(preceding) if preceding else "",
            "list_url": reverse("admin:conflicts_syncconflict_changelist"),
            "status_url": status_url(conflict),
            "done_before": self._done_before(),
            "undo_url": undo_url(conflict),
            "why_not_undone": undoing.why_not(conflict)
            if progress.state_of(conflict) == progress.SETTLED
            else "",
            "may_undo": self.model_admin.has_change_permission(self.request),
            "kind": conflict.get_kind_display(),
            "age": words.when(conflict.detected_at, sync_now()),
        }

    def _about_record(self, conflict: SyncConflict, posted: Posted | None) -> dict[str, Any]:
        """What happened to the record, the values edited meanwhile, the candidates, and the ways out."""
        if not conflict.is_about_record:
            return {"about_record": False, "both": conflict.kind == ConflictKind.OVERWRITTEN}
        columns = presenting_record.columns_of(conflict)
        return {
            "about_record": True,
            "what": conflict.what,
            "edited": presenting.edited_rows(conflict),
            "columns": columns,
            "lines": presenting_record.lines_of(conflict, columns),
            "ways": presenting_record.ways_of(conflict, posted.picks if posted else None),
            "seen": presenting_record.seen_of(conflict),
        }

    def _suggestions(self, conflict: SyncConflict) -> list[dict[str, str]]:
        """Rules that decisions suggest for the fields of this page, those settled just now among them."""
        fields = {(conflict.entity_type, key) for key in conflict.conflict_fields}
        if self.before is not None:
            fields |= {(self.before.entity_type, key) for key in self.before.conflict_fields}
        mappings = [one for one in mappings_of_all(self.request) if (one.link.entity_type, one.key) in fields]
        return offered(self.request, mappings)

    @cached_property
    def before(self) -> SyncConflict | None:
        """The conflict that was settled just now, as the address says."""
        try:
            return SyncConflict.objects.filter(pk=UUID(self.request.GET.get("after", ""))).first()
        except ValueError:
            return None

    def _done_before(self) -> dict[str, Any] | None:
        """What the page goes on showing of the conflict that was settled just now."""
        before = self.before
        if before is None:
            return None
        return {
            "name": name_of(before, record_of(before)),
            "url": screen_url(before),
            "status_url": status_url(before),
            "progress": progress.progress_of(before),
            "undo_url": undo_url(before) if self.model_admin.has_change_permission(self.request) else "",
        }


def screen_url(conflict: SyncConflict) -> str:
    """The address of a conflict's screen."""
    return reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk])


def status_url(conflict: SyncConflict) -> str:
    """The address that answers how far a conflict is."""
    return reverse("admin:conflicts_syncconflict_status", args=[conflict.pk])


def undo_url(conflict: SyncConflict) -> str:
    """The address of the button that undoes how a conflict was settled."""
    return reverse("admin:conflicts_syncconflict_undo", args=[conflict.pk])


def conflict_status(model_admin: ModelAdmin[Any]) -> Callable[..., HttpResponseBase]:
    """Return the view that answers, as JSON, how far a conflict is."""

    def status(request: HttpRequest, pk: UUID) -> HttpResponseBase:
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        found = progress.progress_of(get_object_or_404(SyncConflict, pk=pk))
        return JsonResponse(
            {"state": found.state, "sentence": found.sentence, "waits": found.waits, "final": found.is_final},
            headers={"Cache-Control": "no-store"},
        )

    return status
