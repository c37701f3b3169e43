"""What a screen goes on showing of the thing that was settled just before, with its undo: the address names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse

from conflicts import progress, refused_progress
from conflicts.admin.addresses import refused_url, screen_url, status_url, undo_url
from conflicts.around import Around
from conflicts.models import SyncConflict
from conflicts.refused_acts import KIND
from conflicts.refused_case import Case
from sync.models import Decision, FieldMapping

CONFLICT, ANSWER = "after", "answered"
"""Parameters of the address: a conflict by its id, an answer to a refusal by that of its decision."""


class Before:
    """The thing that was settled just before; `known` are the field mappings, `read` the conflicts, read already."""

    def __init__(
        self,
        request: HttpRequest,
        known: Sequence[FieldMapping],
        *,
        may_undo: bool,
        read: Mapping[UUID, SyncConflict] | None = None,
    ) -> None:
        self.request, self.known, self.may_undo, self.read = request, known, may_undo, read

    @cached_property
    def conflict(self) -> SyncConflict | None:
        """The conflict that was settled just before."""
        key = conflict_named(self.request)
        if key is None or self.read is not None:
            return self.read.get(key) if key and self.read else None
        return SyncConflict.objects.filter(pk=key).first()

    @cached_property
    def answer(self) -> Decision | None:
        """The answer to a refusal that was given just before."""
        text = self.request.GET.get(ANSWER, "")
        if not text.isdecimal():
            return None
        return Decision.objects.filter(pk=int(text[:18]), kind=KIND).first()

    def strip(self, around: Around) -> dict[str, Any] | None:
        """What the strip above the page shows; None where nothing was settled just before."""
        if self.conflict is not None:
            return self._of_conflict(self.conflict, around)
        return strip_of_answer(self.answer, self.known, may_undo=self.may_undo) if self.answer else None

    def _of_conflict(self, before: SyncConflict, around: Around) -> dict[str, Any]:
        stands = progress.progress_of(before)
        return {
            "name": around.name_beside(before),
            "url": screen_url(before),
            "status_url": status_url(before),
            "progress": stands,
            "undo_now": stands.state == progress.SETTLED,
            "undo_url": undo_url(before) if self.may_undo else "",
        }


def conflict_named(request: HttpRequest) -> UUID | None:
    """The id of the conflict that the address names as settled just before."""
    try:
        return UUID(request.GET.get(CONFLICT, ""))
    except ValueError:
        return None


def strip_of_answer(
    decision: Decision, known: Sequence[FieldMapping], *, may_undo: bool, case: Case | None = None
) -> dict[str, Any]:
    """What a strip shows of an answer to a refusal; `case` where it is the one that the page is about."""
    assert decision.entity_id is not None
    named = decision.entity_type, decision.entity_id, decision.key
    found = case or Case.of(*named, known)
    undoes = may_undo and refused_progress.can_be_undone(decision, found)
    stands, name = (
        refused_progress.progress_of(decision, found, why_waits=False),
        "admin:conflicts_syncconflict_refused",
    )
    return {
        "name": Around(*named[:2], known).name if found is None else found.record,
        "url": refused_url(named),
        "status_url": reverse(f"{name}_status", args=[decision.pk]),
        "progress": stands,
        "undo_now": stands.is_final,
        "reload": case is not None,
        "undo_url": reverse(f"{name}_undo", args=[decision.pk]) if undoes else "",
    }
