"""What people chose on a case: the strip with its progress, and its undo.

A choice's key is “conflict:” with a conflict's id, or “answer:” with the id of the answer about a rejected value.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q
from django.urls import reverse

from conflicts import rejections, resolution
from conflicts.case import RecordContext
from conflicts.models import SyncConflict
from conflicts.progress import Progress, conflict_progress
from sync.models import Decision, FieldMapping
from sync.reconcile.field_values import as_uuid
from sync.records.blocked_fields import FieldRef

URL_NAME = "admin:conflicts_syncconflict"


def screen_url(pk: UUID) -> str:
    return reverse(f"{URL_NAME}_screen", args=[pk])


def rejection_url(field_ref: FieldRef) -> str:
    return reverse(f"{URL_NAME}_rejected_screen", args=field_ref)


def strip_of(key: str, mappings: Sequence[FieldMapping] = ()) -> dict[str, Any] | None:
    """Return the strip about a choice; None if there is no such choice."""
    kind, _, text = key.partition(":")
    if kind == "conflict" and (pk := as_uuid(text)):
        conflict = SyncConflict.objects.filter(pk=pk).first()
        return conflict_strip(conflict, RecordContext.of(conflict, mappings)) if conflict else None
    if kind != "answer" or not text.isdecimal():
        return None
    rows = Decision.objects.filter(Q(kind=rejections.DECISION_KIND) | Q(undoes__isnull=False))
    answer = rows.filter(pk=text[:18]).first()
    return answer_strip(answer, rejections.Rejection.of(rejections.field_ref_of(answer), mappings)) if answer else None


def conflict_strip(conflict: SyncConflict, context: RecordContext) -> dict[str, Any]:
    progress = conflict_progress(conflict, context)
    return _strip(f"conflict:{conflict.pk}", context.name, screen_url(conflict.pk), progress, can_undo=True)


def answer_strip(answer: Decision, rejection: rejections.Rejection | None) -> dict[str, Any]:
    """Return the strip about an answer; `rejection` is None if its record was deleted."""
    field_ref = rejections.field_ref_of(answer)
    name = RecordContext(*field_ref[:2]).name if rejection is None else str(rejection.record)
    progress = rejections.answer_progress(answer, rejection)
    can_undo = rejections.can_undo(answer, rejection)
    return _strip(f"answer:{answer.pk}", name, rejection_url(field_ref), progress, can_undo=can_undo)


def _strip(key: str, name: str, url: str, progress: Progress, *, can_undo: bool) -> dict[str, Any]:
    return {
        "name": name,
        "url": url,
        "status_url": reverse(f"{URL_NAME}_status", args=[key]),
        "progress": progress,
        "undo_url": reverse(f"{URL_NAME}_undo", args=[key]) if can_undo else "",
    }


def undo_choice(key: str, *, by: User) -> None:
    """Undo a choice; raises an ActionError with the reason, or DoesNotExist."""
    kind, _, pk = key.partition(":")
    if kind == "conflict":
        resolution.undo(pk, by=by)
    else:
        rejections.undo_answer(Decision.objects.get(pk=pk, kind=rejections.DECISION_KIND), by=by)
