"""The page of a field whose value Monday rejected."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import Http404
from django.urls import reverse

from conflicts import answers
from conflicts.admin.case_view import ANSWER_PARAMETER, CaseView, answer_strip, rejection_url
from conflicts.admin.decision_form import emptying_question
from conflicts.case import REJECTED, CaseField
from conflicts.choice_checks import may_type
from conflicts.effects import is_same
from conflicts.models import MONDAY, NPD
from conflicts.progress import OPEN, UNDOING, Progress
from conflicts.rejections import Rejection
from sync.admin.admin_base import with_request_id
from sync.admin.confirmed_action import Question
from sync.attention import Kind
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection


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
