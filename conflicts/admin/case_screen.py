"""The screen of a case, of what waits for a person's decision: a conflict, or a field whose value Monday rejected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import rejections
from conflicts.case import (
    STATE_LABELS,
    UNDOING,
    Case,
    ConflictContext,
    Progress,
    SubmittedForm,
    conflict_progress,
    parse_uuid,
    screen_case,
)
from conflicts.lifecycle import Effect, Sides, chosen_option, is_same, side_option
from conflicts.models import BOTH, CHOICES, CUSTOM, MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.rejections import DECISION_KIND, RejectionCase, answer_rejection, last_answer, rejected_case, undo_answer
from conflicts.reports import RECORD_KEY
from conflicts.resolution import (
    InvalidResolution,
    current_values,
    deletion_problem,
    may_type,
    resolve,
    undo,
    undo_problem,
)
from conflicts.text_diff import both_texts
from sync import attention
from sync.admin import admin_base
from sync.admin.admin_base import see_other
from sync.admin.confirmed_action import Question, RecordTable, question_page
from sync.attention import Kind
from sync.clock import SyncNow
from sync.kernel.humanize import plural
from sync.kernel.messages import ActionError, Conflict, NotAllowed
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.records.blocked_fields import FieldRef
from sync.registry import may_act, record_url

URL_NAME = "admin:conflicts_syncconflict"
REFUSED = "Rejected by Monday"


def all_mappings(request: HttpRequest) -> list[FieldMapping]:
    """Return every field mapping with its board; read once per request, for filters and rules."""
    mappings: list[FieldMapping] | None = getattr(request, "conflict_mappings", None)
    if mappings is None:
        mappings = list(FieldMapping.objects.select_related("link"))
        request.conflict_mappings = mappings  # type: ignore[attr-defined]
    return mappings


# The walk from case to case, over all that waits for a person's decision on a value, as Home lists it; after the
# last of them the first again.


WALKED = (Kind.CONFLICT, Kind.DUPLICATE, Kind.REJECTED)
MAX_WALKED = 2_000


@dataclass(frozen=True)
class Walk:
    """Which of all cases of its kind one is, 0 where it waits for nobody any more; and the addresses before and behind
    it, of whatever kind.
    """

    kind: Kind
    number: int
    total: int
    next_url: str = ""
    previous_url: str = ""


def walk_from(row_id: str, kind: Kind) -> Walk:
    """The walk from a case, named as its entry of Home is; from one that waits no more to the first and last."""
    keys = attention.keys(kinds=WALKED, limit=MAX_WALKED)
    key = f"{kind}:{row_id}"
    place = keys.index(key) if key in keys else -1
    others = keys[place + 1 :] + keys[: max(place, 0)]
    alike = [other for other in keys if other.startswith(f"{kind}:")]
    number = alike.index(key) + 1 if key in keys else 0
    if not others:
        return Walk(kind, number, len(alike))
    return Walk(kind, number, len(alike), _case_url(others[0]), _case_url(others[-1]))


def _case_url(key: str) -> str:
    kind, *row_id = key.split(":")
    name = "rejected_screen" if kind == Kind.REJECTED else "screen"
    return reverse(f"{URL_NAME}_{name}", args=row_id)


def screen_url(pk: UUID) -> str:
    return reverse(f"{URL_NAME}_screen", args=[pk])


def rejection_url(field_ref: FieldRef) -> str:
    return reverse(f"{URL_NAME}_rejected_screen", args=field_ref)


def _onward(request: HttpRequest, next_url: str, parameter: str, decided: Any, sentence: str) -> str:
    """The address to go on to, which names what was decided just before; Home where nothing follows."""
    if not next_url:
        messages.success(request, f"All resolved. {sentence}")
        return reverse("admin:index")
    return f"{next_url}?{parameter}={decided}"


def check_permission(model_admin: Any, request: HttpRequest, action: str) -> None:
    """Raise PermissionDenied unless this person may do so, "view" or "change", with conflicts."""
    if not getattr(model_admin, f"has_{action}_permission")(request):
        raise PermissionDenied


def parse_form(request: HttpRequest) -> SubmittedForm:
    """Read the form. The values seen travel as JSON, since a browser rewrites line ends in form fields.

    Of a conflict about the record the field `option` names the chosen option: `choose`, or `choose value`.
    """
    seen: dict[str, Sides] = {}
    chosen: dict[str, FieldSelection] = {}
    for name, raw in request.POST.items():
        prefix, _, key = name.partition("-")
        if prefix == "seen":
            seen[key] = parse_seen(str(raw))
        elif prefix == "pick" and raw in CHOICES:
            typed = request.POST.get(f"value-{key}", "") if raw == CUSTOM else None
            chosen[key] = FieldSelection(choose=str(raw), value=typed)
        elif prefix == "pick" and raw == BOTH:
            sides = parse_seen(request.POST.get(f"seen-{key}", ""))
            chosen[key] = FieldSelection(choose=CUSTOM, value=both_texts(sides["npd"], sides["monday"]))
        elif name == "option":
            choose, _, value = str(raw).partition(" ")
            chosen[RECORD_KEY] = FieldSelection(choose=choose, value=value or None)
    return SubmittedForm(seen=seen, chosen=chosen)


def parse_seen(raw: str) -> dict[str, str | None]:
    """Read one field's values; those that were tampered with equal nothing stored, so the form is treated as stale."""
    try:
        npd, monday = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        return {"npd": raw, "monday": raw}
    return {side: text if isinstance(text, str) else None for side, text in (("npd", npd), ("monday", monday))}


def resolution_type_of(conflict: SyncConflict, form: SubmittedForm) -> str:
    """One side for all fields is stored as that side, and not as a merge."""
    sides = ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY))
    if conflict.is_about_record:
        chosen = form.chosen.get(RECORD_KEY, FieldSelection(""))
        offered = [(side_option(conflict, side), kind) for side, kind in sides]
        wanted = chosen.choose, chosen.value or ""
        named = [kind for option, kind in offered if option and (option.choose, option.value) == wanted]
    else:
        picks = {selection.choose for selection in form.chosen.values()}
        named = [kind for side, kind in sides if set(form.chosen) == set(form.seen) and picks == {side}]
    return named[0] if named else ResolutionType.MERGE


# The screen of a case: what is shown besides it, and what a person does there. What a case is about stays where it is:
# a conflict's row, the record's ledger.


@dataclass(frozen=True)
class Strip:
    """What was decided about a case, with its undo, where that is possible; `reload` for the page's own case."""

    name: str
    url: str
    status_url: str
    progress: Progress
    undo_url: str = ""
    reload: bool = False


@dataclass(frozen=True)
class Screen:
    """The page around a case: where it leads, what this person may do, what was decided just before.

    `tags` are texts with their looks, `answer` is what was decided about a rejected value, `problem` why nothing was
    stored.
    """

    tags: Sequence[tuple[str, str]]
    list_url: str
    status_url: str = ""
    undo_url: str = ""
    undo_problem: str = ""
    answer: Strip | None = None
    before: Strip | None = None
    record_url: str = ""
    may_choose: bool = False
    may_type: bool = False
    deletion_problem: str = ""
    may_undo: bool = False
    problem: str = ""
    keeps_choices: bool = False

    @property
    def problem_lead(self) -> str:
        """What stands before a problem that doesn't say it itself."""
        lead = "Nothing was stored"
        return "" if self.problem.startswith(lead) else f"{lead}."


CONFLICT_PARAMETER, ANSWER_PARAMETER = "after", "answered"
"""Query parameters that name what was decided just before: a conflict's id, the id of an answer's decision."""


class ConflictDesk:
    """A conflict at its address: `last` is the one that was resolved just before, where the address names one."""

    def __init__(self, request: HttpRequest, conflict: SyncConflict, last: SyncConflict | None = None) -> None:
        self.request = request
        self.conflict = conflict
        self.last = last
        self.context = ConflictContext.of(conflict, all_mappings(request))
        self.url = screen_url(conflict.pk)
        self.title = f"Conflict of {self.context.name}"

    @classmethod
    def find(cls, request: HttpRequest, **named: Any) -> ConflictDesk:
        """Read it and the one resolved just before with one query."""
        pk = named["pk"]
        last = parse_uuid(request.GET.get(CONFLICT_PARAMETER))
        rows = SyncConflict.objects.select_related("resolved_by").annotate(page_now=SyncNow())
        conflicts = {row.pk: row for row in rows.filter(pk__in=[pk, *([last] if last else [])])}
        if pk not in conflicts:
            raise Http404(f"There is no conflict {pk}.")
        return cls(request, conflicts[pk], conflicts.get(last) if last else None)

    def case(self, form: SubmittedForm | None, problems: Mapping[str, str]) -> Case:
        """What is displayed, with what was chosen."""
        # The option that the address asks to choose, as the form would; nothing is stored by it.
        choose, _, value = self.request.GET.get("option", "").partition(" ")
        asked = {RECORD_KEY: FieldSelection(choose, value or None)} if choose else None
        return screen_case(self.conflict, self.context, form, problems, asked)

    def screen(self, case: Case, *, may_change: bool) -> Screen:
        """What the page of this kind of case shows besides."""
        conflict = self.conflict
        tags = [] if conflict.kind == ConflictKind.FIELDS else [(conflict.kind_label, "cfl-warn")]
        if conflict.is_open and conflict.kind == ConflictKind.FIELDS:
            number = len(case.fields)
            tags = [(f"{number} field differs" if number == 1 else f"{number} fields differ", "cfl-warn")]
        return Screen(
            tags if conflict.is_open else [*tags, ("Resolved", "cfl-ok")],
            reverse(f"{URL_NAME}_changelist"),
            status_url=reverse(f"{URL_NAME}_status", args=[conflict.pk]),
            undo_url=reverse(f"{URL_NAME}_undo", args=[conflict.pk]),
            undo_problem=undo_problem(conflict, self.context) if case.progress.is_undoable else "",
        )

    def walk(self) -> Walk:
        is_duplicate = self.conflict.kind == ConflictKind.IDENTITY
        kind = Kind.DUPLICATE if is_duplicate else Kind.CONFLICT
        return walk_from(str(self.conflict.pk), kind)

    def apply(self, form: SubmittedForm, *, by: User, to_next: bool) -> str:
        """Store what was chosen, for the values seen; return the address to go to. Raises ActionError."""
        kind = resolution_type_of(self.conflict, form)
        next_url = self.walk().next_url if to_next else ""
        stored = resolve(self.conflict.pk, by=by, resolution_type=kind, selections=form.chosen, seen=form.seen)
        if not to_next:
            return self.url
        sentence = conflict_progress(stored, self.context, with_delay=False).sentence
        return _onward(self.request, next_url, CONFLICT_PARAMETER, stored.pk, sentence)

    def asks(self, form: SubmittedForm) -> Question | None:
        """What has to be confirmed before that is applied: what deletes or empties; None where nothing has."""
        now = current_values(self.conflict)
        is_waiting = self.conflict.is_open and not self.conflict.is_being_applied
        is_fresh = all(key in now and is_same(seen, now[key]) for key, seen in form.seen.items())
        # What has changed since is refused, with what it is now.
        if not is_waiting or not is_fresh:
            return None
        if not self.conflict.is_about_record:
            return _emptying_question(self.case(form, {}))
        chosen = form.chosen.get(RECORD_KEY)
        option = chosen_option(self.conflict, chosen) if chosen else None
        if option is None or not option.deletes:
            return None
        effects = [self.conflict.what, option.effect]
        return Question(f"{option.label}?", effects, option.label, page_name=self.context.name, deletes=True)

    def undo(self, *, by: User) -> None:
        """Take the last decision back; raises ActionError."""
        undo(self.conflict.pk, by=by)


class RejectionDesk:
    """A field whose value Monday rejected, with an answer that somebody gave about it: the last one, if no other."""

    def __init__(self, request: HttpRequest, rejection: RejectionCase, answer: Decision | None = None) -> None:
        self.request = request
        self.rejection = rejection
        self.context = rejection.context
        last = parse_uuid(request.GET.get(CONFLICT_PARAMETER))
        self.last = SyncConflict.objects.filter(pk=last).first() if last else None
        self.field_ref: FieldRef = (self.context.entity_type, self.context.entity_id, rejection.key)
        self.url = rejection_url(self.field_ref)
        self.title = f"{rejection.field.label} of {self.context.name}, rejected by Monday"
        self.answer = answer or last_answer(*self.field_ref)

    @classmethod
    def find(cls, request: HttpRequest, **named: Any) -> RejectionDesk:
        field_ref = named["entity_type"], named["entity_id"], named["key"]
        rejection = RejectionCase.of(*field_ref, all_mappings(request))
        if rejection is None:
            raise Http404("There is no such record, or no such field on its board.")
        return cls(request, rejection, named.get("answer"))

    def case(self, form: SubmittedForm | None, problems: Mapping[str, str]) -> Case:
        case = rejected_case(self.rejection, self.answer, form, problems.get(self.rejection.key, ""))
        if self.rejection.would_empty and not may_type(self.request.user, case.entity_type):
            why = "Emptying it changes the record, which your account isn't allowed to do."
            case = replace(case, fields=[replace(row, monday_problem=why) for row in case.fields])
        return replace(case, reason=admin_base.with_request_id(case.reason))

    def screen(self, case: Case, *, may_change: bool) -> Screen:
        tag = ("Kept different", "") if case.kept_by else ("Not rejected any more", "cfl-ok")
        if case.progress.state == UNDOING:
            tag = (capfirst(STATE_LABELS[UNDOING]), "")
        answered = None if case.is_waiting or self.answer is None else self.answer
        return Screen(
            [(REFUSED, "cfl-warn") if case.is_waiting else tag],
            reverse("admin:index"),
            answer=_answer_strip(self.request, answered, self, may_undo=may_change) if answered else None,
        )

    def walk(self) -> Walk:
        return walk_from(":".join(map(str, self.field_ref)), Kind.REJECTED)

    def apply(self, form: SubmittedForm, *, by: User, to_next: bool) -> str:
        next_url = self.walk().next_url if to_next else ""
        key = self.rejection.key
        chosen = form.chosen.get(key, FieldSelection(""))
        decision = answer_rejection(
            self.field_ref, by=by, choose=chosen.choose, value=chosen.value or "", seen=form.seen.get(key, {})
        )
        if to_next:
            return _onward(self.request, next_url, ANSWER_PARAMETER, decision.pk, decision.sentence)
        return f"{self.url}?{ANSWER_PARAMETER}={decision.pk}"

    def asks(self, form: SubmittedForm) -> Question | None:
        seen = form.seen.get(self.rejection.key, {})
        return _emptying_question(self.case(form, {})) if is_same(seen, self.rejection.sides) else None

    def undo(self, *, by: User) -> None:
        assert self.answer is not None
        undo_answer(self.answer, by=by)


Desk = ConflictDesk | RejectionDesk


def _emptying_question(case: Case) -> Question | None:
    """Ask before a value is removed; None where what is chosen removes none."""
    chosen = [
        (row, row.effect_of(row.choice.pick, row.choice.value)) for row in case.rows if row.choice.pick in CHOICES
    ]
    emptied = {row.label: effect.emptied_side for row, effect in chosen if effect.emptied_side}
    if not emptied:
        return None
    sides = set(emptied.values())
    rest = len(chosen) - len(emptied)
    what = next(iter(emptied)) if len(emptied) == 1 else f"{len(emptied)} values"
    label = f"Empty {what} {sides.pop()}" if len(sides) == 1 else f"Empty {what}"
    button = f"{label}, and write {plural(rest, 'the other field', f'{rest} other fields')}" if rest else label
    rows = [(row.label, row.npd or "", row.monday or "", effect.value or "(empty)") for row, effect in chosen]
    table = RecordTable(("Field", "NPD now", "Monday now", "Result"), rows, len(rows))
    effects = ["What is there now is removed. You can undo it here."]
    return Question(f"{label}?", effects, button, [table], page_name=case.name, deletes=True)


# What was decided just before, which the address names.


def _decided_before(request: HttpRequest, desk: Desk, *, may_change: bool) -> Strip | None:
    """The strip above the page; None where nothing was decided just before, or this very value."""
    if (last := desk.last) is not None:
        name = ConflictContext.of(last, all_mappings(request)).name
        undo_url = reverse(f"{URL_NAME}_undo", args=[last.pk]) if may_change else ""
        status_url = reverse(f"{URL_NAME}_status", args=[last.pk])
        return Strip(name, screen_url(last.pk), status_url, conflict_progress(last), undo_url)
    text = request.GET.get(ANSWER_PARAMETER, "")
    decision = Decision.objects.filter(pk=int(text[:18]), kind=DECISION_KIND).first() if text.isdecimal() else None
    if decision is None or rejection_url(_field_ref(decision)) == desk.url:
        return None
    return _answer_strip(request, decision, None, may_undo=may_change)


def _answer_strip(request: HttpRequest, decision: Decision, desk: RejectionDesk | None, *, may_undo: bool) -> Strip:
    """The strip of an answered rejection: of the page's own `desk`, or of another one, whose record may be deleted."""
    field_ref = _field_ref(decision)
    mappings = all_mappings(request)
    rejection = desk.rejection if desk else RejectionCase.of(*field_ref, mappings)
    name = str(rejection.record) if rejection else ConflictContext(*field_ref[:2], mappings).name
    can_undo = may_undo and rejections.can_undo(decision, rejection)
    progress = rejections.rejection_progress(decision, rejection, with_delay=False)
    return Strip(
        name,
        rejection_url(field_ref),
        reverse(f"{URL_NAME}_rejected_status", args=[decision.pk]),
        progress,
        reverse(f"{URL_NAME}_rejected_undo", args=[decision.pk]) if can_undo else "",
        reload=desk is not None,
    )


def _field_ref(decision: Decision) -> FieldRef:
    assert decision.entity_id is not None
    return decision.entity_type, decision.entity_id, decision.key


class CaseScreen(UnfoldModelAdminViewMixin, TemplateView):
    """Shows a case to those who may see conflicts, takes a decision from those who may change them."""

    template_name = "conflicts/screen.html"
    title: str = "Conflict"
    desk_type: type[ConflictDesk] | type[RejectionDesk] = ConflictDesk

    def has_permission(self) -> bool:
        """Whether the person may see this page; the admin's own permissions decide."""
        return bool(self.model_admin.has_view_permission(self.request))

    def handle_no_permission(self) -> HttpResponseRedirect:
        raise PermissionDenied

    def get(self, request: HttpRequest, **named: Any) -> HttpResponse:
        return self._render(self.desk_type.find(request, **named))

    def post(self, request: HttpRequest, **named: Any) -> HttpResponse:
        """Store the decision, or show again what is wrong with it with the choices kept."""
        check_permission(self.model_admin, request, "change")
        desk = self.desk_type.find(request, **named)
        form = parse_form(request)
        if "confirmed" not in request.POST and (question := desk.asks(form)):
            sent = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
            return question_page(self.model_admin, request, replace(question, hidden=sent), desk.url)
        try:
            return see_other(desk.apply(form, by=cast("User", request.user), to_next="next" in request.POST))
        except NotAllowed as error:
            return self._render(desk, problem=str(error), status=HTTPStatus.FORBIDDEN)
        except Conflict as error:
            now = self.desk_type.find(request, **named)
            return self._render(now, form, problem=str(error), status=HTTPStatus.CONFLICT)
        except InvalidResolution as error:
            return self._render(desk, form, error.problems, problem=error.sentence, status=HTTPStatus.BAD_REQUEST)

    def _render(
        self,
        desk: Desk,
        form: SubmittedForm | None = None,
        problems: Mapping[str, str] | None = None,
        *,
        problem: str = "",
        status: int = HTTPStatus.OK,
    ) -> HttpResponse:
        self.title = desk.title
        user = self.request.user
        may_change = self.model_admin.has_change_permission(self.request)
        case = desk.case(form, problems or {})
        is_linked = desk.context.record is not None and may_act(user, "view", case.entity_type)
        screen = replace(
            desk.screen(case, may_change=may_change),
            before=_decided_before(self.request, desk, may_change=may_change),
            record_url=record_url(case.entity_type, desk.context.entity_id) if is_linked else "",
            may_choose=case.is_waiting and may_change,
            may_type=may_type(user, case.entity_type),
            deletion_problem=deletion_problem(user, case.entity_type) if case.about else "",
            may_undo=may_change,
            problem=problem,
            keeps_choices=bool(form and form.chosen and case.is_waiting),
        )
        effects = {
            "both": Effect(None, npd_changes=True, monday_changes=True).where,
            "npd": Effect(None, npd_changes=True, monday_changes=False).where,
            "monday": Effect(None, npd_changes=False, monday_changes=True).where,
            "nothing": Effect(None, npd_changes=False, monday_changes=False).where,
        }
        walk = desk.walk()
        context = self.get_context_data(page_name=case.name, case=case, screen=screen, walk=walk, effects=effects)
        if walk.kind is Kind.DUPLICATE and context.get("section"):
            # Its address doesn't say that it is no conflict of values.
            context["section"] = replace(context["section"], title=str(walk.kind.label))
        return self.render_to_response(context, status=status)


class CaseMixin:
    """Adds to the list of conflicts the screens of cases, their progress and undo."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The addresses of both kinds of cases."""
        view = self.admin_site.admin_view
        name = "conflicts_syncconflict"
        field = "rejected/<slug:entity_type>/<uuid:entity_id>/<slug:key>/"
        conflict_screen = CaseScreen.as_view(model_admin=self, desk_type=ConflictDesk)
        rejected_screen = CaseScreen.as_view(model_admin=self, desk_type=RejectionDesk)
        return [
            path("<uuid:pk>/screen/", view(conflict_screen), name=f"{name}_screen"),
            path("<uuid:pk>/status/", view(self.conflict_status), name=f"{name}_status"),
            path("<uuid:pk>/undo/", view(require_POST(self.conflict_undo)), name=f"{name}_undo"),
            path("rejected/answer/<int:pk>/", view(self.answer_status), name=f"{name}_rejected_status"),
            path("rejected/answer/<int:pk>/undo/", view(require_POST(self.answer_undo)), name=f"{name}_rejected_undo"),
            path(field, view(rejected_screen), name=f"{name}_rejected_screen"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def conflict_status(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        check_permission(self, request, "view")
        return _status(conflict_progress(get_object_or_404(SyncConflict, pk=pk)))

    def answer_status(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer, as JSON, how far the answer to a rejection is."""
        check_permission(self, request, "view")
        decision = get_object_or_404(Decision, Q(kind=DECISION_KIND) | Q(undoes__isnull=False), pk=pk)
        return _status(rejections.rejection_progress(decision, RejectionCase.of(*_field_ref(decision))))

    def conflict_undo(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._undo(request, ConflictDesk(request, get_object_or_404(SyncConflict, pk=pk)))

    def answer_undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        decision = get_object_or_404(Decision, pk=pk, kind=DECISION_KIND)
        entity_type, entity_id, key = _field_ref(decision)
        desk = RejectionDesk.find(request, entity_type=entity_type, entity_id=entity_id, key=key, answer=decision)
        return self._undo(request, desk)

    def _undo(self, request: HttpRequest, desk: Desk) -> HttpResponse:
        check_permission(self, request, "change")
        try:
            desk.undo(by=cast("User", request.user))
        except ActionError as error:  # what is being undone, the page itself says
            messages.error(request, f"Nothing was undone. {error}")
        return see_other(desk.url)


def _status(progress: Progress) -> HttpResponse:
    return JsonResponse(progress.to_json(), headers={"Cache-Control": "no-store"})
