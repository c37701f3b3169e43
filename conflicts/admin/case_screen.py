"""The addresses of the pages on which a person decides: about a conflict, or about a value that Monday rejected."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from conflicts import answers
from conflicts.admin.case_view import check_permission, rejection_url, screen_url
from conflicts.admin.conflict_view import ConflictView
from conflicts.admin.rejection_view import RejectionView
from conflicts.models import SyncConflict
from conflicts.progress import Progress, conflict_progress
from conflicts.rejections import Rejection
from conflicts.undo import undo
from sync.admin.admin_base import see_other
from sync.kernel.messages import ActionError
from sync.models import Decision


class CaseMixin:
    """Adds to the list of conflicts the pages on which a person decides, their progress and undo."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "conflicts_syncconflict"
        field = "rejected/<slug:entity_type>/<uuid:entity_id>/<slug:key>/"
        return [
            path("<uuid:pk>/screen/", view(ConflictView.as_view(model_admin=self)), name=f"{name}_screen"),
            path("<uuid:pk>/status/", view(self.conflict_status), name=f"{name}_status"),
            path("<uuid:pk>/undo/", view(require_POST(self.conflict_undo)), name=f"{name}_undo"),
            path("rejected/answer/<int:pk>/", view(self.answer_status), name=f"{name}_rejected_status"),
            path("rejected/answer/<int:pk>/undo/", view(require_POST(self.answer_undo)), name=f"{name}_rejected_undo"),
            path(field, view(RejectionView.as_view(model_admin=self)), name=f"{name}_rejected_screen"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def conflict_status(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Answer, as JSON, how far a conflict is."""
        check_permission(self, request, "view")
        return _status(conflict_progress(get_object_or_404(SyncConflict, pk=pk)))

    def answer_status(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer, as JSON, how far the answer to a rejection is."""
        check_permission(self, request, "view")
        rows = Decision.objects.filter(Q(kind=answers.DECISION_KIND) | Q(undoes__isnull=False))
        answer = get_object_or_404(rows, pk=pk)
        return _status(answers.answer_progress(answer, Rejection.of(answers.field_ref_of(answer))))

    def conflict_undo(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        check_permission(self, request, "change")
        conflict = get_object_or_404(SyncConflict, pk=pk)
        try:
            undo(conflict.pk, by=cast("User", request.user))
        except ActionError as error:
            messages.error(request, f"Nothing was undone. {error}")
        return see_other(screen_url(conflict.pk))

    def answer_undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        check_permission(self, request, "change")
        answer = get_object_or_404(Decision, pk=pk, kind=answers.DECISION_KIND)
        try:
            answers.undo_answer(answer, by=cast("User", request.user))
        except ActionError as error:
            messages.error(request, f"Nothing was undone. {error}")
        return see_other(rejection_url(answers.field_ref_of(answer)))


def _status(progress: Progress) -> HttpResponse:
    return JsonResponse(progress.to_json(), headers={"Cache-Control": "no-store"})
