"""What the pages of conflicts and rejected values share: addresses, the walk from one to the next, the view."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import answers, resolution
from conflicts.case import REJECTED, CaseField, RecordContext, parse_uuid
from conflicts.effects import Effect, Sides
from conflicts.models import BOTH, CHOICES, CUSTOM, ConflictKind, SyncConflict
from conflicts.progress import conflict_progress
from conflicts.rejections import Rejection
from conflicts.reports import RECORD_KEY
from conflicts.resolution import may_type
from conflicts.text_diff import both_texts
from sync import attention, registry
from sync.admin.admin_base import see_other
from sync.admin.confirmed_action import Question, RecordTable, question_page
from sync.attention import Kind
from sync.kernel.humanize import plural
from sync.kernel.messages import Conflict, NotAllowed
from sync.merge import FieldSelection
from sync.models import Decision
from sync.records.blocked_fields import FieldRef


def parse_form(posted: QueryDict) -> tuple[dict[str, FieldSelection], dict[str, Sides]]:
    """Return what was chosen and the values seen, by field. The values travel as JSON: a browser rewrites line ends.

    Of a conflict about the record the field `option` names the chosen option: `choose`, or `choose value`.
    """
    chosen: dict[str, FieldSelection] = {}
    seen_values: dict[str, Sides] = {}
    for name, text in posted.items():
        prefix, _, key = name.partition("-")
        if prefix == "seen":
            seen_values[key] = parse_seen(str(text))
        elif prefix == "pick" and text == BOTH:
            sides = parse_seen(posted.get(f"seen-{key}", ""))
            chosen[key] = FieldSelection(CUSTOM, both_texts(sides["npd"], sides["monday"]))
        elif prefix == "pick" and text in CHOICES:
            typed = posted.get(f"value-{key}", "") if text == CUSTOM else None
            chosen[key] = FieldSelection(str(text), typed)
        elif name == "option":
            choose, _, value = str(text).partition(" ")
            chosen[RECORD_KEY] = FieldSelection(choose, value or None)
    return chosen, seen_values


def parse_seen(text: str) -> dict[str, str | None]:
    """Read one field's values; those that were tampered with equal nothing stored, so the form is treated as stale."""
    try:
        npd, monday = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {"npd": text, "monday": text}
    return {"npd": npd if isinstance(npd, str) else None, "monday": monday if isinstance(monday, str) else None}


def emptying_question(name: str, fields: Sequence[CaseField]) -> Question | None:
    """Ask before a value is removed; None where what is chosen removes none."""
    chosen = [(row, row.effect_of(row.choose, row.typed)) for row in fields if row.choose in CHOICES]
    emptied = {row.label: effect.emptied_side for row, effect in chosen if effect.emptied_side}
    if not emptied:
        return None
    sides = set(emptied.values())
    rest = len(chosen) - len(emptied)
    subject = next(iter(emptied)) if len(emptied) == 1 else f"{len(emptied)} values"
    label = f"Empty {subject} {sides.pop()}" if len(sides) == 1 else f"Empty {subject}"
    button = f"{label}, and write {plural(rest, 'the other field', f'{rest} other fields')}" if rest else label
    rows = [(row.label, row.npd or "", row.monday or "", effect.value or "(empty)") for row, effect in chosen]
    table = RecordTable(("Field", "NPD now", "Monday now", "Result"), rows, len(rows))
    effects = ["What is there now is removed. You can undo it here."]
    return Question(f"{label}?", effects, button, [table], page_name=name, deletes=True)


URL_NAME = "admin:conflicts_syncconflict"

CONFLICT_PARAMETER = "after"
ANSWER_PARAMETER = "answered"
"""Query parameters that name what was decided just before: a conflict's id, the id of an answer's decision."""

WALKED = (Kind.CONFLICT, Kind.DUPLICATE, Kind.REJECTED)
"""Whatever waits for a person's decision on a value; one goes from each to the next, and from the last to the first."""

MAX_WALKED = 2_000


def screen_url(pk: UUID) -> str:
    return reverse(f"{URL_NAME}_screen", args=[pk])


def rejection_url(field_ref: FieldRef) -> str:
    return reverse(f"{URL_NAME}_rejected_screen", args=field_ref)


def check_permission(model_admin: Any, request: HttpRequest, action: str) -> None:
    """Raise PermissionDenied unless this person may do so, "view" or "change", with conflicts."""
    if not getattr(model_admin, f"has_{action}_permission")(request):
        raise PermissionDenied


def walk_from(row_id: str, kind: Kind) -> dict[str, Any]:
    """Return where a case stands among those of its kind, 0 where it waits no more, and the addresses beside it."""
    keys = attention.keys(kinds=WALKED, limit=MAX_WALKED)
    key = f"{kind}:{row_id}"
    place = keys.index(key) if key in keys else -1
    others = keys[place + 1 :] + keys[: max(place, 0)]
    alike = [other for other in keys if other.startswith(f"{kind}:")]
    return {
        "label": kind.label,
        "number": alike.index(key) + 1 if key in keys else 0,
        "total": len(alike),
        "next_url": _case_url(others[0]) if others else "",
        "previous_url": _case_url(others[-1]) if others else "",
    }


def _case_url(key: str) -> str:
    kind, *row_id = key.split(":")
    name = "rejected_screen" if kind == Kind.REJECTED else "screen"
    return reverse(f"{URL_NAME}_{name}", args=row_id)


class CaseView(UnfoldModelAdminViewMixin, TemplateView):
    """Shows what is to be decided to those who may see conflicts, and takes a decision from those who may resolve."""

    template_name = "conflicts/screen.html"
    title: str = "Conflict"
    # What `load` reads.
    context: RecordContext
    url = ""
    kind = Kind.CONFLICT
    row_id = ""
    # What a person sent.
    chosen: Mapping[str, FieldSelection] | None = None
    seen_values: Mapping[str, Sides] | None = None
    problems: Mapping[str, str]

    def load(self, **named: Any) -> None:
        raise NotImplementedError

    def page(self) -> dict[str, Any]:
        """Return what the page shows."""
        raise NotImplementedError

    def question(self) -> Question | None:
        """Return what has to be confirmed before it is applied: what deletes or empties; None where nothing has."""
        raise NotImplementedError

    def apply(self, by: User) -> tuple[str, str, str]:
        """Store what was chosen, for the values seen; return its address, a parameter that names it, a sentence."""
        raise NotImplementedError

    def has_permission(self) -> bool:
        """Whether the person may see this page; the admin's own permissions decide."""
        return bool(self.model_admin.has_view_permission(self.request))

    def handle_no_permission(self) -> HttpResponseRedirect:
        raise PermissionDenied

    def get(self, request: HttpRequest, **named: Any) -> HttpResponse:
        self.load(**named)
        return self.show()

    def post(self, request: HttpRequest, **named: Any) -> HttpResponse:
        """Store the decision, or show again what is wrong with it with the choices kept."""
        check_permission(self.model_admin, request, "change")
        self.load(**named)
        self.chosen, self.seen_values = parse_form(request.POST)
        if "confirmed" not in request.POST and (question := self.question()):
            hidden = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
            return question_page(self.model_admin, request, replace(question, hidden=hidden), self.url)
        goes_on = "next" in request.POST
        next_url = walk_from(self.row_id, self.kind)["next_url"] if goes_on else ""
        try:
            url, parameter, sentence = self.apply(cast("User", request.user))
        except NotAllowed as error:
            self.chosen = self.seen_values = None
            return self.show(str(error), HTTPStatus.FORBIDDEN)
        except Conflict as error:
            self.load(**named)
            return self.show(str(error), HTTPStatus.CONFLICT)
        except resolution.InvalidResolution as error:
            self.problems = error.problems
            return self.show(error.sentence, HTTPStatus.BAD_REQUEST)
        if goes_on and not next_url:
            messages.success(request, f"All resolved. {sentence}")
            next_url = reverse("admin:index")
        elif goes_on:
            next_url = f"{next_url}?{parameter}"
        return see_other(next_url or url)

    def show(self, problem: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
        """Answer with the page, with why nothing was stored."""
        user = self.request.user
        entity_type = self.context.entity_type
        may_change = self.model_admin.has_change_permission(self.request)
        shown = self.page()
        fields = shown["fields"]
        is_linked = self.context.record is not None and registry.may_act(user, "view", entity_type)
        shown |= {
            "name": self.context.name,
            "entity_type": entity_type,
            "before": self.decided_before(),
            "record_url": registry.record_url(entity_type, self.context.entity_id) if is_linked else "",
            "may_choose": shown["is_waiting"] and may_change,
            "may_type": may_type(user, entity_type),
            "may_undo": may_change,
            "is_overwritten": shown["kind"] == ConflictKind.OVERWRITTEN,
            # Nothing was overwritten: all that is asked about was lost with its column.
            "is_replaced": bool(fields) and all(row.is_replaced for row in fields),
            "has_two_sides": shown["kind"] in (ConflictKind.OVERWRITTEN, REJECTED),
            "problem": problem,
            "problem_lead": "" if problem.startswith("Nothing was stored") else "Nothing was stored.",
            "keeps_choices": bool(self.chosen and shown["is_waiting"]),
        }
        effects = {
            "both": Effect(None, npd_changes=True, monday_changes=True).where,
            "npd": Effect(None, npd_changes=True, monday_changes=False).where,
            "monday": Effect(None, npd_changes=False, monday_changes=True).where,
            "nothing": Effect(None, npd_changes=False, monday_changes=False).where,
        }
        walk = walk_from(self.row_id, self.kind)
        context = self.get_context_data(page_name=self.context.name, case=shown, walk=walk, effects=effects)
        if self.kind is Kind.DUPLICATE and context.get("section"):
            # Its address doesn't say that it is no conflict of values.
            context["section"] = replace(context["section"], title=str(self.kind.label))
        return self.render_to_response(context, status=status)

    def select(self, fields: Sequence[CaseField]) -> None:
        """Mark what was posted in these fields, with the values that it was chosen for."""
        for row in fields:
            row.problem = self.problems.get(row.key, "")
            if self.chosen is not None and self.seen_values is not None:
                row.select(self.chosen.get(row.key, FieldSelection("")))
                row.seen_values = self.seen_values.get(row.key)
                row.is_new = row.seen_values is None

    def decided_before(self) -> dict[str, Any] | None:
        """Return what was decided just before, which the address names; None where nothing was, or this very value."""
        last = self.last_conflict()
        if last is not None:
            return {
                "name": RecordContext.of(last, self.context.mappings).name,
                "url": screen_url(last.pk),
                "status_url": reverse(f"{URL_NAME}_status", args=[last.pk]),
                "progress": conflict_progress(last),
                "undo_url": reverse(f"{URL_NAME}_undo", args=[last.pk]),
            }
        number = self.request.GET.get(ANSWER_PARAMETER, "")[:18]
        answer = None
        if number.isdecimal():
            answer = Decision.objects.filter(pk=number, kind=answers.DECISION_KIND).first()
        if answer is None or rejection_url(answers.field_ref_of(answer)) == self.url:
            return None
        return answer_strip(answer, Rejection.of(answers.field_ref_of(answer), self.context.mappings))

    def last_conflict(self) -> SyncConflict | None:
        pk = parse_uuid(self.request.GET.get(CONFLICT_PARAMETER))
        return SyncConflict.objects.filter(pk=pk).first() if pk else None


def answer_strip(answer: Decision, rejection: Rejection | None) -> dict[str, Any]:
    """Return what is said of the answer to a rejection, with its undo, where that is possible."""
    field_ref = answers.field_ref_of(answer)
    undo_url = reverse(f"{URL_NAME}_rejected_undo", args=[answer.pk])
    return {
        "name": RecordContext(*field_ref[:2]).name if rejection is None else str(rejection.record),
        "url": rejection_url(field_ref),
        "status_url": reverse(f"{URL_NAME}_rejected_status", args=[answer.pk]),
        "progress": answers.answer_progress(answer, rejection, with_delay=False),
        "undo_url": undo_url if answers.can_undo(answer, rejection) else "",
    }
