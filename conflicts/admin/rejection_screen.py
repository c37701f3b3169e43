"""The page of a value that Monday rejected, on which a person decides."""

from typing import Any

from django.contrib.auth.models import User
from django.http import Http404
from django.urls import reverse

from conflicts import case, rejection_answers, resolution
from conflicts.admin.case_screen import CaseView
from conflicts.admin.strips import answer_strip, rejection_url
from conflicts.models import MONDAY, NPD
from conflicts.progress import OPEN, UNDOING, Progress
from conflicts.rejections import Rejection
from sync.admin import admin_base
from sync.attention import Kind
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection


class RejectionView(CaseView):
    """The page of a value that Monday rejected, with the last answer about it."""

    kind = Kind.REJECTED
    rejection: Rejection

    def load(self, **kwargs: Any) -> None:
        field_ref = kwargs["entity_type"], kwargs["entity_id"], kwargs["key"]
        rejection = Rejection.of(field_ref)
        if rejection is None:
            raise Http404("There is no such record, or no such field on its board.")
        self.rejection = rejection
        self.context = rejection.context
        self.url = rejection_url(field_ref)
        self.title = f"{rejection.field.label} of {self.context.name}, rejected by Monday"
        self.row_id = ":".join(map(str, field_ref))
        self.present_values = {rejection.key: rejection.sides} if rejection.needs_answer else {}

    def page(self) -> dict[str, Any]:
        rejection = self.rejection
        answer = rejection_answers.last_answer(*rejection.field_ref)
        strip = answer_strip(answer, rejection) if answer else None
        progress: Progress = strip["progress"] if strip else Progress(OPEN, "")
        is_waiting = rejection.needs_answer and progress.is_final
        kept_by = str(rejection.kept_by.get("who", ""))
        tag = ("Kept different", "") if kept_by else ("Not rejected any more", "cfl-ok")
        if is_waiting:
            tag = ("Rejected by Monday", "cfl-warn")
        elif progress.state == UNDOING:
            tag = ("Being undone", "")
        fields = self.fields()
        return {
            "kind": case.REJECTED,
            "is_rejected": True,
            "fields": fields,
            "rows": fields if is_waiting else [],
            "progress": progress,
            "is_waiting": is_waiting,
            "answer": None if is_waiting else strip,
            "item_url": self.context.item_url(rejection.record.monday_id or ""),
            "reason": admin_base.with_request_id(rejection.reason),
            "is_unsent": rejection.is_unsent,
            "kept_by": kept_by,
            "tags": [tag],
            "list_url": reverse("admin:index"),
        }

    def fields(self) -> list[case.CaseField]:
        """Return the field, with its values if somebody has to choose."""
        rejection = self.rejection
        row = case.CaseField(rejection.key, rejection.field.label, None, None, kind=case.REJECTED)
        if not rejection.needs_answer:
            return [row]
        row.npd = rejection.sides[NPD]
        row.monday = rejection.sides[MONDAY]
        row.converter = rejection.field.converter
        if rejection.would_empty and not resolution.may_type(self.request.user, self.context.entity_type):
            row.monday_problem = "Emptying it changes the record, which your account isn't allowed to do."
        else:
            try:
                rejection.raw_from_monday()
            except ActionError as why:
                row.monday_problem = str(why)
        self.select([row])
        row.is_new = False
        return [row]

    def apply(self, by: User) -> tuple[str, str]:
        key = self.rejection.key
        selection = self.chosen.get(key, FieldSelection(""))
        answer = rejection_answers.answer_rejection(
            self.rejection.field_ref,
            by=by,
            choose=selection.choose,
            value=selection.value or "",
            seen=self.seen_values.get(key, {}),
        )
        return f"answer:{answer.pk}", answer.sentence
