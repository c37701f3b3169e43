"""The side-by-side screen: NPD, last agreed, Monday, and what will be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import presenting, presenting_record, progress, undoing
from conflicts.admin.addresses import screen_url, see_other, status_url, undo_url, walk_from_conflict
from conflicts.admin.before import CONFLICT, Before, conflict_named
from conflicts.admin.filters import mappings_of_all
from conflicts.admin.posted import posted_of, type_of
from conflicts.admin.rule import offered
from conflicts.admin.script_words import script_words
from conflicts.around import Around
from conflicts.errors import BadResolution, NotWaiting, StaleSeen
from conflicts.models import ConflictKind, SyncConflict
from conflicts.presenting import Posted
from conflicts.resolution import resolve
from sync.admin import words
from sync.admin.base import record_url
from sync.clock import SyncNow


class ConflictScreen(UnfoldModelAdminViewMixin, TemplateView):
    """Shows a conflict to those who may see it, takes a choice from those who may change it."""

    template_name = "conflicts/screen.html"
    title: str | Promise = gettext_lazy("Conflict")

    def has_permission(self) -> bool:
        """Whether the person may see this page; the admin's own permissions decide."""
        return bool(self.model_admin.has_view_permission(self.request))

    def handle_no_permission(self) -> HttpResponseRedirect:
        raise PermissionDenied

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show the conflict as it stands."""
        return self._show(self._found(pk))

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Store the choice, or show again what stands in its way with the choices kept."""
        if not self.model_admin.has_change_permission(request):
            raise PermissionDenied
        conflict = self._found(pk)
        posted = posted_of(request)
        try:
            stored = resolve(
                pk, by=cast("User", request.user), resolution_type=type_of(conflict, posted),
                selections=posted.selections, seen=posted.seen,
            )  # fmt: skip
        except BadResolution as error:
            return self._show(conflict, posted, error.problems, trouble=error.sentence, status=400)
        except (StaleSeen, NotWaiting) as error:
            return self._show(self._found(pk), posted, trouble=str(error), status=409)
        return self._go_on(stored, to_next="next" in request.POST)

    def _found(self, pk: UUID) -> SyncConflict:
        """The conflict, and the one that was settled just before; with who settled them and the time of the page."""
        rows = SyncConflict.objects.select_related("resolved_by").annotate(page_now=SyncNow())
        named = conflict_named(self.request)
        self.read = {row.pk: row for row in rows.filter(pk__in=[pk, *([named] if named else [])])}
        if pk not in self.read:
            raise Http404(_("There is no conflict %(id)s.") % {"id": pk})
        return self.read[pk]

    def _go_on(self, conflict: SyncConflict, *, to_next: bool) -> HttpResponse:
        following = walk_from_conflict(conflict).next_url if to_next else ""
        return see_other(f"{following}?{CONFLICT}={conflict.pk}" if following else screen_url(conflict))

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
        may = self.model_admin.has_change_permission(self.request)
        known = mappings_of_all(self.request)
        before = Before(self.request, known, may_undo=may, read=self.read)
        around = Around.of(conflict, known, before.conflict)
        rows = (
            presenting.open_rows(conflict, around, posted, problems) if conflict.is_open and of_fields else []
        )
        if rows and choosing:
            presenting.name_editors(rows, conflict, around)
        context = self.get_context_data(
            conflict=conflict,
            rows=rows,
            settled=presenting.settled_rows(conflict, around),
            gone=presenting.gone_fields(conflict, posted),
            choosing=choosing,
            may_choose=choosing and may,
            may_undo=may,
            trouble=trouble,
            posted_kept=bool(posted and posted.picks and choosing),
            problems=problems or {},
            suggestions=self._suggestions(conflict, before.conflict),
            done_before=before.strip(around),
            script_words=script_words(len(rows)),
            **self._about(conflict, around),
            **self._about_record(conflict, around, posted),
        )
        return self.render_to_response(context, status=status)

    def _about(self, conflict: SyncConflict, around: Around) -> dict[str, Any]:
        """The record, the links, the place among the others, the state."""
        walk, name = walk_from_conflict(conflict), around.name
        stands = progress.progress_of(conflict, around)
        shows_fields = conflict.is_open and not conflict.is_about_record
        self.title = _("Conflict of %(name)s") % {"name": name}
        return {
            "name": name,
            "page_name": name,
            "record_url": record_url(conflict.entity_type, conflict.entity_id) if around.record else "",
            "monday_url": around.item_url(conflict.monday_item_id),
            "others": presenting.held_fields(conflict, around) if shows_fields else [],
            "equal": presenting.equal_fields(conflict, around) if shows_fields else [],
            "progress": stands,
            "walk": walk,
            "list_url": reverse("admin:conflicts_syncconflict_changelist"),
            "status_url": status_url(conflict),
            "undo_url": undo_url(conflict),
            "why_not_undone": undoing.why_not(conflict) if stands.state == progress.SETTLED else "",
            "kind": conflict.get_kind_display(),
            "age": words.when(conflict.detected_at, conflict.page_now),  # type: ignore[attr-defined]
        }

    def _about_record(self, conflict: SyncConflict, around: Around, posted: Posted | None) -> dict[str, Any]:
        """What happened to the record, the values edited meanwhile, the candidates, and the ways out."""
        if not conflict.is_about_record:
            return {"about_record": False, "both": conflict.kind == ConflictKind.OVERWRITTEN}
        columns = presenting_record.columns_of(conflict, around)
        return {
            "about_record": True,
            "what": conflict.what,
            "edited": presenting.edited_rows(conflict, around),
            "columns": columns,
            "lines": presenting_record.lines_of(around, columns),
            "ways": presenting_record.ways_of(conflict, posted.picks if posted else None),
            "seen": presenting_record.seen_of(conflict),
        }

    def _suggestions(self, conflict: SyncConflict, before: SyncConflict | None) -> list[dict[str, str]]:
        """Rules that decisions suggest for the fields of this page, those settled just now among them."""
        fields = {(conflict.entity_type, key) for key in conflict.conflict_fields}
        if before is not None:
            fields |= {(before.entity_type, key) for key in before.conflict_fields}
        mappings = [one for one in mappings_of_all(self.request) if (one.link.entity_type, one.key) in fields]
        return offered(self.request, mappings)


def conflict_status(model_admin: ModelAdmin[Any]) -> Callable[..., HttpResponseBase]:
    """Return the view that answers, as JSON, how far a conflict is."""

    def status(request: HttpRequest, pk: UUID) -> HttpResponseBase:
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        found = progress.progress_of(get_object_or_404(SyncConflict, pk=pk))
        return JsonResponse(
            {
                "state": found.state,
                "sentence": found.sentence,
                "waits": found.waits,
                "final": found.is_final,
                "undo": found.state == progress.SETTLED,
            },
            headers={"Cache-Control": "no-store"},
        )

    return status
