"""The pages on which a person decides: about a conflict, or about a value that Monday rejected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from conflicts import answers, case
from conflicts.admin.case_view import (
    ANSWER_PARAMETER,
    CONFLICT_PARAMETER,
    URL_NAME,
    CaseView,
    answer_strip,
    check_permission,
    emptying_question,
    rejection_url,
    screen_url,
)
from conflicts.case import REJECTED, CaseField, RecordContext
from conflicts.effects import Sides, is_same
from conflicts.lifecycle import chosen_option, offered_options, side_option
from conflicts.models import MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.progress import OPEN, UNDOING, Progress, conflict_progress
from conflicts.rejections import Rejection
from conflicts.reports import RECORD_KEY
from conflicts.resolution import current_values, deletion_problem, may_type, resolve, undo, undo_problem
from sync.admin.admin_base import see_other, with_request_id
from sync.admin.confirmed_action import Question
from sync.attention import Kind
from sync.clock import SyncNow
from sync.kernel.humanize import count_with_noun
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.models import Decision


class ConflictView(CaseView):
    """The page of a conflict."""

    conflict: SyncConflict

    def load(self, **named: Any) -> None:
        rows = SyncConflict.objects.select_related("resolved_by").annotate(page_now=SyncNow())
        self.conflict = get_object_or_404(rows, pk=named["pk"])
        self.context = RecordContext.of(self.conflict)
        self.url = screen_url(self.conflict.pk)
        self.title = f"Conflict of {self.context.name}"
        self.kind = Kind.DUPLICATE if self.conflict.kind == ConflictKind.IDENTITY else Kind.CONFLICT
        self.row_id = str(self.conflict.pk)
        self.problems = {}

    @property
    def is_waiting(self) -> bool:
        return self.conflict.is_open and not self.conflict.is_being_applied

    def page(self) -> dict[str, Any]:
        conflict = self.conflict
        progress = conflict_progress(conflict, self.context)
        fields = self.fields()
        by_field = conflict.is_open and not conflict.is_about_record
        tags = [] if conflict.kind == ConflictKind.FIELDS else [(conflict.kind_label, "cfl-warn")]
        if conflict.is_open and conflict.kind == ConflictKind.FIELDS:
            tags = [(count_with_noun(len(fields), "field differs", "fields differ"), "cfl-warn")]
        still_asked = (*conflict.conflict_fields, RECORD_KEY)
        return {
            "kind": conflict.kind,
            "conflict": conflict,
            "fields": fields,
            "rows": fields if by_field else [],
            "resolved": case.resolved_fields(conflict, self.context),
            "closed": [conflict.label(key) for key in self.seen_values or () if key not in still_asked],
            "equal": case.equal_fields(conflict, self.context) if by_field else [],
            "blocked": case.blocked_sentences(conflict, self.context) if by_field else [],
            "about": self.about_record() if conflict.is_about_record else None,
            "progress": progress,
            "is_waiting": self.is_waiting,
            "item_url": self.context.item_url(conflict.monday_item_id),
            "tags": tags if conflict.is_open else [*tags, ("Resolved", "cfl-ok")],
            "list_url": reverse(f"{URL_NAME}_changelist"),
            "status_url": reverse(f"{URL_NAME}_status", args=[conflict.pk]),
            "undo_url": reverse(f"{URL_NAME}_undo", args=[conflict.pk]),
            "undo_problem": undo_problem(conflict, self.context) if progress.is_undoable else "",
        }

    def fields(self) -> list[case.CaseField]:
        """The fields in conflict; what was posted, chosen, or handed back by a pass is chosen in them."""
        resolution = self.conflict.stored_resolution
        fields = case.fields_in_conflict(self.conflict, self.context)
        chosen = {**resolution.handed_back, **resolution.fields}
        for row in fields if self.seen_values is None else ():
            row.select(chosen.get(row.key, FieldSelection("")))
            row.problem = resolution.reasons.get(row.key, "")
            if returned := resolution.handed_back.get(row.key):
                row.seen_values = {NPD: returned.npd, MONDAY: returned.monday}
        if self.seen_values is not None:
            self.select(fields)
        return fields

    def about_record(self) -> dict[str, Any]:
        """What is asked about the record or its item as a whole."""
        conflict = self.conflict
        resolution = conflict.stored_resolution
        chosen = {**resolution.handed_back, **resolution.fields} if self.chosen is None else self.chosen
        selection = chosen.get(RECORD_KEY)
        values = {key: list(conflict.sides(key).values()) for key in conflict.conflict_fields}
        columns = case.candidate_columns(conflict, self.context)
        return {
            "options": offered_options(conflict),
            "chosen": chosen_option(conflict, selection) if selection else None,
            "columns": columns,
            "lines": case.compared_lines(self.context, columns),
            "seen": [(key, json.dumps(pair)) for key, pair in {**values, RECORD_KEY: [conflict.what, None]}.items()],
            "deletion_problem": deletion_problem(self.request.user, conflict.entity_type),
        }

    def question(self) -> Question | None:
        now = current_values(self.conflict)
        seen_values = self.seen_values or {}
        chosen = self.chosen or {}
        # What has changed since is refused, with what it is now.
        if not self.is_waiting or not all(
            key in now and is_same(sides, now[key]) for key, sides in seen_values.items()
        ):
            return None
        if not self.conflict.is_about_record:
            return emptying_question(self.context.name, self.fields())
        option = chosen_option(self.conflict, chosen[RECORD_KEY]) if RECORD_KEY in chosen else None
        if option is None or not option.deletes:
            return None
        effects = [self.conflict.what, option.effect]
        return Question(f"{option.label}?", effects, option.label, page_name=self.context.name, deletes=True)

    def apply(self, by: User) -> tuple[str, str, str]:
        chosen = self.chosen or {}
        seen_values = self.seen_values or {}
        kind = self.resolution_type(chosen, seen_values)
        stored = resolve(self.conflict.pk, by=by, resolution_type=kind, selections=chosen, seen=seen_values)
        sentence = conflict_progress(stored, self.context, with_delay=False).sentence
        return self.url, f"{CONFLICT_PARAMETER}={stored.pk}", sentence

    def resolution_type(self, chosen: Mapping[str, FieldSelection], seen_values: Mapping[str, Sides]) -> str:
        """One side for all fields is stored as that side, and not as a merge."""
        for side, kind in ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY)):
            if self.conflict.is_about_record:
                option = side_option(self.conflict, side)
                is_chosen = RECORD_KEY in chosen and option == chosen_option(self.conflict, chosen[RECORD_KEY])
                is_side = option is not None and is_chosen
            else:
                is_side = set(chosen) == set(seen_values) and {selection.choose for selection in chosen.values()} == {
                    side
                }
            if is_side:
                return kind
        return ResolutionType.MERGE


class RejectionView(CaseView):
    """The page of a field whose value Monday rejected, with the last answer that somebody gave about it."""

    kind = Kind.REJECTED
    rejection: Rejection

    def load(self, **named: Any) -> None:
        field_ref = named["entity_type"], named["entity_id"], named["key"]
        rejection = Rejection.of(field_ref)
        if rejection is None:
            raise Http404("There is no such record, or no such field on its board.")
        self.rejection = rejection
        self.context = rejection.context
        self.url = rejection_url(field_ref)
        self.title = f"{rejection.field.label} of {self.context.name}, rejected by Monday"
        self.row_id = ":".join(map(str, field_ref))
        self.problems = {}

    def page(self) -> dict[str, Any]:
        rejection = self.rejection
        answer = answers.last_answer(*rejection.field_ref)
        progress = Progress(OPEN, "")
        if answer is not None:
            progress = answers.answer_progress(answer, rejection, with_delay=False)
        is_waiting = rejection.needs_answer and progress.is_final
        kept_by = str(rejection.kept_by.get("who", ""))
        tag = ("Kept different", "") if kept_by else ("Not rejected any more", "cfl-ok")
        if is_waiting:
            tag = ("Rejected by Monday", "cfl-warn")
        elif progress.state == UNDOING:
            tag = ("Being undone", "")
        fields = self.fields()
        return {
            "kind": REJECTED,
            "is_rejected": True,
            "fields": fields,
            "rows": fields if is_waiting else [],
            "progress": progress,
            "is_waiting": is_waiting,
            "answer": None if is_waiting or answer is None else answer_strip(answer, rejection),
            "item_url": self.context.item_url(rejection.record.monday_id or ""),
            "reason": with_request_id(rejection.reason),
            "is_unsent": rejection.is_unsent,
            "kept_by": kept_by,
            "tags": [tag],
            "list_url": reverse("admin:index"),
        }

    def fields(self) -> list[CaseField]:
        """The field, with its values where somebody has to choose one."""
        rejection = self.rejection
        row = CaseField(rejection.key, rejection.field.label, None, None, kind=REJECTED)
        if not rejection.needs_answer:
            return [row]
        row.npd = rejection.sides[NPD]
        row.monday = rejection.sides[MONDAY]
        row.converter = rejection.field.converter
        if rejection.would_empty and not may_type(self.request.user, self.context.entity_type):
            row.monday_problem = "Emptying it changes the record, which your account isn't allowed to do."
        else:
            try:
                rejection.raw_from_monday()
            except ActionError as why:
                row.monday_problem = str(why)
        self.select([row])
        row.is_new = False
        return [row]

    def question(self) -> Question | None:
        sides = (self.seen_values or {}).get(self.rejection.key, {})
        if not self.rejection.needs_answer or not is_same(sides, self.rejection.sides):
            return None
        return emptying_question(self.context.name, self.fields())

    def apply(self, by: User) -> tuple[str, str, str]:
        key = self.rejection.key
        selection = (self.chosen or {}).get(key, FieldSelection(""))
        answer = answers.answer_rejection(
            self.rejection.field_ref,
            by=by,
            choose=selection.choose,
            value=selection.value or "",
            seen=(self.seen_values or {}).get(key, {}),
        )
        parameter = f"{ANSWER_PARAMETER}={answer.pk}"
        return f"{self.url}?{parameter}", parameter, answer.sentence


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
