"""The screen of a case, of what waits for a person's decision: a conflict, or a field whose value Monday rejected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import conflict_queries, presenter, rejections
from conflicts.admin.rule_page import suggestion_items
from conflicts.conflict_context import ConflictContext, may_type
from conflicts.conflict_queries import CaseKind, CaseRef, Neighbours
from conflicts.lifecycle import chosen_option, side_option
from conflicts.models import BOTH, CHOICES, CUSTOM, MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.presenter import FieldRow, Progress, SubmittedForm
from conflicts.rejections import DECISION_KIND, RejectionCase, answer_rejection, last_answer, undo_answer
from conflicts.resolution import current_values, resolve, undo, undo_problem
from conflicts.text_diff import both_texts
from conflicts.validation import Effect, InvalidResolution, Sides, is_same
from sync.admin import admin_base
from sync.admin.admin_base import see_other
from sync.admin.confirmed_action import Question, question_page
from sync.admin.record_panel import blocked_fields_url, may_resolve_cases
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.kernel.action_errors import ActionError, Conflict, NotAllowed
from sync.kernel.conflict_store import RECORD_KEY
from sync.kernel.humanize import plural
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.records import blocked_fields
from sync.records.blocked_fields import FieldRef
from sync.registry import HiddenName, known_text, record_url, visible_types

URL_NAME = "admin:conflicts_syncconflict"
REFUSED = "Rejected by Monday"
REJECTED_ON_A_PAGE = 50


def all_mappings(request: HttpRequest) -> list[FieldMapping]:
    """Return every field mapping with its board; read once per request, for filters and rules."""
    known: list[FieldMapping] | None = getattr(request, "conflict_mappings", None)
    if known is None:
        known = list(FieldMapping.objects.select_related("link"))
        request.conflict_mappings = known  # type: ignore[attr-defined]
    return known


# The walk from case to case (conflict_queries) has an address for each.


def screen_url(pk: UUID | None) -> str:
    """The address of a conflict's screen; empty without one."""
    return reverse(f"{URL_NAME}_screen", args=[pk]) if pk else ""


def rejection_url(field_ref: FieldRef | None) -> str:
    """The address of the screen of a rejected value; empty without one."""
    return reverse(f"{URL_NAME}_rejected_screen", args=field_ref) if field_ref else ""


def case_url(case: CaseRef | None) -> str:
    """The address on which a case is decided; empty without one."""
    if case is None:
        return ""
    if case.kind is CaseKind.BLOCKED:
        return blocked_fields_url("blocked")
    return screen_url(case.conflict_id) or rejection_url(case.field_ref)


def _onward(request: HttpRequest, following: CaseRef | None, parameter: str, decided: Any, said: str) -> str:
    """The address to go on to, which names what was decided just before; empty where nothing follows."""
    if following is not None and following.kind is CaseKind.BLOCKED:
        messages.success(request, said)  # that page has no place for it
        return case_url(following)
    return f"{case_url(following)}?{parameter}={decided}" if following else ""


def _walks_to_blocked(request: HttpRequest) -> bool:
    """Whether this person may see the page of blocked fields."""
    return bool(request.user.has_perm("sync.view_syncmetadata"))


def check_permission(model_admin: Any, request: HttpRequest, action: str) -> None:
    """Raise PermissionDenied unless this person may do so, "view" or "change", with conflicts."""
    if not getattr(model_admin, f"has_{action}_permission")(request):
        raise PermissionDenied


# What a person sent with a screen's form.


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
    except (ValueError, TypeError):
        return {"npd": raw, "monday": raw}
    return {side: text if isinstance(text, str) else None for side, text in (("npd", npd), ("monday", monday))}


def resolution_type_of(conflict: SyncConflict, form: SubmittedForm) -> str:
    """One side for all fields is stored as that side, and not as a merge."""
    sides = ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY))
    if conflict.is_about_record:
        chosen = form.chosen.get(RECORD_KEY, FieldSelection(""))
        offered = [(side_option(conflict, side), kind) for side, kind in sides]
        wanted = chosen.choose, chosen.value or ""
        named = [kind for one, kind in offered if one and (one.choose, one.value) == wanted]
    else:
        picks = {selection.choose for selection in form.chosen.values()}
        named = [kind for side, kind in sides if set(form.chosen) == set(form.seen) and picks == {side}]
    return named[0] if named else ResolutionType.MERGE


# A case as its screen needs it. What it is about stays where it is: a conflict's row, the record's ledger.


class Case(Protocol):
    """What waits for a person. `is_waiting` is whether one can decide now, `progress` how far the last decision is.

    `last` is the conflict that was resolved just before, where the address names one.
    """

    context: ConflictContext
    item_id: str
    url: str
    title: str
    is_waiting: bool
    progress: Progress
    last: SyncConflict | None

    @classmethod
    def find(cls, request: HttpRequest, **named: Any) -> Case:
        """Return the case that an address names; raises Http404."""

    def neighbours(self) -> Neighbours:
        """Its place among the others."""

    def rows(self, form: SubmittedForm | None, problems: Mapping[str, str]) -> list[FieldRow]:
        """The sides of each field to choose among, with what was chosen."""

    def apply(self, form: SubmittedForm, *, by: User, to_next: bool) -> str:
        """Store what was chosen, for the values seen; return the address to go to. Raises ActionError."""

    def asks(self, form: SubmittedForm) -> Question | None:
        """What has to be confirmed before that is applied: what deletes; None where nothing has."""

    def undo(self, *, by: User) -> str:
        """Take the last decision back; return what was done, where it is done already. Raises ActionError."""

    def page(self, form: SubmittedForm | None, *, may_change: bool) -> dict[str, Any]:
        """What the screen shows of this kind of case alone: for a conflict about the record its options, too."""


CONFLICT_PARAMETER, ANSWER_PARAMETER = "after", "answered"
"""Query parameters that name what was decided just before: a conflict's id, the id of an answer's decision."""


def _for_reader(request: HttpRequest, context: ConflictContext) -> ConflictContext:
    """A case's context, which calls the record by its name for those alone who may see such records."""
    context.name = _name_for_reader(request, context.entity_type, context.name)
    return context


def _name_for_reader(request: HttpRequest, entity_type: str, name: str) -> str:
    return name if entity_type in visible_types(request.user) else HiddenName.of(entity_type)


class ConflictCase:
    """A conflict."""

    def __init__(self, request: HttpRequest, conflict: SyncConflict, last: SyncConflict | None = None) -> None:
        self.request, self.conflict, self.last = request, conflict, last
        self.context = _for_reader(request, ConflictContext.of(conflict, all_mappings(request), last))
        self.item_id, self.url = conflict.monday_item_id, screen_url(conflict.pk)
        self.title = f"Conflict of {self.context.name}"
        self.is_waiting = conflict.is_open and not conflict.is_being_applied
        self.progress = presenter.conflict_progress(conflict, self.context)

    @classmethod
    def find(cls, request: HttpRequest, **named: Any) -> ConflictCase:
        """Read it and the one resolved just before with one query."""
        pk, last = named["pk"], _last_conflict_id(request)
        rows = SyncConflict.objects.select_related("resolved_by").annotate(page_now=SyncNow())
        found = {row.pk: row for row in rows.filter(pk__in=[pk, *([last] if last else [])])}
        if pk not in found:
            raise Http404(f"There is no conflict {pk}.")
        return cls(request, found[pk], found.get(last) if last else None)

    def neighbours(self) -> Neighbours:
        return conflict_queries.conflict_neighbours(self.conflict, with_blocked=_walks_to_blocked(self.request))

    def rows(self, form: SubmittedForm | None, problems: Mapping[str, str]) -> list[FieldRow]:
        if not self.conflict.is_open or self.conflict.is_about_record:
            return []
        rows = presenter.open_rows(self.conflict, self.context, form, problems)
        if self.is_waiting:
            presenter.name_editors(rows, self.conflict, self.context)
        return rows

    def apply(self, form: SubmittedForm, *, by: User, to_next: bool) -> str:
        kind = resolution_type_of(self.conflict, form)
        stored = resolve(self.conflict.pk, by=by, resolution_type=kind, selections=form.chosen, seen=form.seen)
        walk = conflict_queries.conflict_neighbours(stored, with_blocked=_walks_to_blocked(self.request))
        following = walk.following if to_next else None
        said = presenter.conflict_progress(stored, self.context, with_delay=False).sentence
        return _onward(self.request, following, CONFLICT_PARAMETER, stored.pk, said) or self.url

    def asks(self, form: SubmittedForm) -> Question | None:
        chosen = form.chosen.get(RECORD_KEY)
        option = chosen_option(self.conflict, chosen) if chosen and self.is_waiting else None
        now = current_values(self.conflict)
        is_fresh = all(key in now and is_same(seen, now[key]) for key, seen in form.seen.items())
        # What has changed since is refused, with what it is now.
        if option is None or not option.deletes or not is_fresh:
            return None
        effects = [self.conflict.what, option.effect]
        return Question(f"{option.label}?", effects, option.label, page_name=self.context.name, deletes=True)

    def undo(self, *, by: User) -> str:
        undo(self.conflict.pk, by=by)
        return ""

    def page(self, form: SubmittedForm | None, *, may_change: bool) -> dict[str, Any]:
        conflict, context = self.conflict, self.context
        tags = [] if conflict.kind == ConflictKind.FIELDS else [(conflict.get_kind_display(), "cfl-warn")]
        if conflict.is_open and conflict.kind == ConflictKind.FIELDS:
            number = len(conflict.conflict_fields)
            tags = [(f"{number} field differs" if number == 1 else f"{number} fields differ", "cfl-warn")]
        shows_fields = conflict.is_open and not conflict.is_about_record
        columns = presenter.candidate_columns(conflict, context) if conflict.is_about_record else []
        fields = {(one.entity_type, key) for one in (conflict, self.last) if one for key in one.conflict_fields}
        mappings = [one for one in all_mappings(self.request) if (one.link.entity_type, one.key) in fields]
        return {
            "conflict": conflict,
            "tags": tags if conflict.is_open else [*tags, ("Resolved", "cfl-ok")],
            "both": conflict.kind == ConflictKind.OVERWRITTEN,
            "two_sides": conflict.kind == ConflictKind.OVERWRITTEN,
            "list_url": reverse(f"{URL_NAME}_changelist"),
            "age": humanize.relative_time(conflict.detected_at, conflict.page_now),  # type: ignore[attr-defined]
            "gone": presenter.closed_fields(conflict, form),
            "settled": presenter.resolved_rows(conflict, context),
            "others": presenter.blocked_sentences(conflict, context) if shows_fields else [],
            "equal": presenter.equal_fields(conflict, context) if shows_fields else [],
            "suggestions": suggestion_items(self.request, mappings),
            "status_url": reverse(f"{URL_NAME}_status", args=[conflict.pk]),
            "undo_url": reverse(f"{URL_NAME}_undo", args=[conflict.pk]),
            "why_not_undone": undo_problem(conflict, context) if self.progress.is_undoable else "",
            "about_record": conflict.is_about_record,
            "what": conflict.what,
            "edited": presenter.edited_rows(conflict, context) if conflict.is_about_record else [],
            "columns": columns,
            "lines": presenter.comparison_lines(context, columns),
            "ways": presenter.screen_options(conflict, form.chosen if form else _asked_option(self.request)),
            "seen": presenter.seen_values(conflict),
        }


def _asked_option(request: HttpRequest) -> dict[str, FieldSelection] | None:
    """The option that the address asks to choose, as the form would; nothing is stored by it."""
    choose, _, value = request.GET.get("option", "").partition(" ")
    return {RECORD_KEY: FieldSelection(choose, value or None)} if choose else None


class RejectedCase:
    """A field whose value Monday rejected, with an answer that somebody gave about it: the last one, if no other."""

    def __init__(self, request: HttpRequest, rejection: RejectionCase, answer: Decision | None = None) -> None:
        self.request, self.rejection = request, rejection
        self.context = _for_reader(request, rejection.context)
        last = _last_conflict_id(request)
        self.last = SyncConflict.objects.filter(pk=last).first() if last else None
        self.item_id = rejection.record.monday_id or ""
        self.field_ref: FieldRef = (self.context.entity_type, self.context.entity_id, rejection.key)
        self.url = rejection_url(self.field_ref)
        self.title = f"{rejection.field.label} of {self.context.name}, rejected by Monday"
        self.answer = answer or last_answer(*self.field_ref)
        self.progress = Progress(presenter.OPEN, "")
        if self.answer:
            self.progress = rejections.rejection_progress(self.answer, rejection, with_delay=False)
        self.is_waiting = rejection.needs_answer and self.progress.state != presenter.APPLYING

    @classmethod
    def find(cls, request: HttpRequest, **named: Any) -> RejectedCase:
        field_ref = named["entity_type"], named["entity_id"], named["key"]
        rejection = RejectionCase.of(*field_ref, all_mappings(request))
        if rejection is None:
            raise Http404("There is no such record, or no such field on its board.")
        return cls(request, rejection, named.get("answer"))

    def neighbours(self) -> Neighbours:
        ledger_id = self.context.ledger.pk if self.context.ledger else 0
        with_blocked = _walks_to_blocked(self.request)
        return conflict_queries.rejection_neighbours(ledger_id, self.rejection.key, with_blocked=with_blocked)

    def rows(self, form: SubmittedForm | None, problems: Mapping[str, str]) -> list[FieldRow]:
        problem = problems.get(self.rejection.key, "")
        return [rejections.rejected_row(self.rejection, form, problem)] if self.is_waiting else []

    def apply(self, form: SubmittedForm, *, by: User, to_next: bool) -> str:
        following, key = self.neighbours().following if to_next else None, self.rejection.key
        chosen = form.chosen.get(key, FieldSelection(""))
        decision = answer_rejection(
            self.field_ref, by=by, choose=chosen.choose, value=chosen.value or "", seen=form.seen.get(key, {})
        )
        onward = _onward(self.request, following, ANSWER_PARAMETER, decision.pk, decision.sentence)
        return onward or f"{self.url}?{ANSWER_PARAMETER}={decision.pk}"

    def asks(self, form: SubmittedForm) -> Question | None:
        return None

    def undo(self, *, by: User) -> str:
        assert self.answer is not None
        return undo_answer(self.answer, by=by)

    def page(self, form: SubmittedForm | None, *, may_change: bool) -> dict[str, Any]:
        kept_by = self.rejection.kept_by
        tag = ("Kept different", "") if kept_by else ("Not rejected any more", "cfl-ok")
        own = _answer_strip(self.request, self.answer, self, may_undo=may_change) if self.answer else None
        return {
            "rejected": True,
            "two_sides": True,
            "field": self.rejection.field.label,
            "tags": [(REFUSED, "cfl-warn") if self.is_waiting else tag],
            "list_url": reverse(f"{URL_NAME}_rejected"),
            "reason": admin_base.with_request_id(self.rejection.reason),
            "kept_by": kept_by,
            "done": None if self.is_waiting else own,
        }


# What a screen shows of what was decided just before, with its undo; the address names it.


def _last_conflict_id(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.GET.get(CONFLICT_PARAMETER, ""))
    except ValueError:
        return None


def _decided_before(request: HttpRequest, case: Case, *, may_change: bool) -> dict[str, Any] | None:
    """The strip above the page; None where nothing was decided just before, or this very value."""
    if case.last is not None:
        progress, name = presenter.conflict_progress(case.last), case.context.name_of_other(case.last)
        name = _name_for_reader(request, case.last.entity_type, name)
        return _strip(name, screen_url(case.last.pk), "", case.last.pk, progress, may_undo=may_change)
    text = request.GET.get(ANSWER_PARAMETER, "")
    decision = Decision.objects.filter(pk=int(text[:18]), kind=DECISION_KIND).first() if text.isdecimal() else None
    if decision is None or rejection_url(_field_ref(decision)) == case.url:
        return None
    return _answer_strip(request, decision, None, may_undo=may_change)


def _answer_strip(
    request: HttpRequest, decision: Decision, case: RejectedCase | None, *, may_undo: bool
) -> dict[str, Any]:
    """The strip of an answered rejection: of the page's own `case`, or of another one, whose record may be deleted."""
    field_ref, mappings = _field_ref(decision), all_mappings(request)
    rejection = case.rejection if case else RejectionCase.of(*field_ref, mappings)
    return _strip(
        _name_for_reader(
            request,
            field_ref[0],
            str(rejection.record) if rejection else ConflictContext(*field_ref[:2], mappings).name,
        ),
        rejection_url(field_ref),
        "_rejected",
        decision.pk,
        rejections.rejection_progress(decision, rejection, with_delay=False),
        may_undo=may_undo and rejections.can_undo(decision, rejection),
        reload=case is not None,
    )


def _strip(
    name: Any, url: str, kind: str, pk: Any, progress: Progress, *, may_undo: bool, reload: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "url": url,
        "status_url": reverse(f"{URL_NAME}{kind}_status", args=[pk]),
        "progress": progress,
        "reload": reload,
        "undo_url": reverse(f"{URL_NAME}{kind}_undo", args=[pk]) if may_undo else "",
    }


def _field_ref(decision: Decision) -> FieldRef:
    assert decision.entity_id is not None
    return decision.entity_type, decision.entity_id, decision.key


# The pages.


class CaseScreen(UnfoldModelAdminViewMixin, TemplateView):
    """Shows a case to those who may see conflicts, takes a decision from those who may change them."""

    template_name = "conflicts/screen.html"
    title: str = "Conflict"
    case_type: type[Case] = ConflictCase

    def has_permission(self) -> bool:
        """Whether the person may see this page; the admin's own permissions decide."""
        return bool(self.model_admin.has_view_permission(self.request))

    def handle_no_permission(self) -> HttpResponseRedirect:
        raise PermissionDenied

    def get(self, request: HttpRequest, **named: Any) -> HttpResponse:
        """Show the case as it is now."""
        return self._render(self.case_type.find(request, **named))

    def post(self, request: HttpRequest, **named: Any) -> HttpResponse:
        """Store the decision, or show again what is wrong with it with the choices kept."""
        check_permission(self.model_admin, request, "change")
        case, form = self.case_type.find(request, **named), parse_form(request)
        if "confirmed" not in request.POST and (question := case.asks(form)):
            sent = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
            return question_page(self.model_admin, request, replace(question, hidden=sent), case.url)
        try:
            return see_other(case.apply(form, by=cast("User", request.user), to_next="next" in request.POST))
        except NotAllowed as error:
            return self._render(case, problem=str(error), status=HTTPStatus.FORBIDDEN)
        except Conflict as error:
            now = self.case_type.find(request, **named)
            return self._render(now, form, problem=str(error), status=HTTPStatus.CONFLICT)
        except InvalidResolution as error:
            return self._render(case, form, error.problems, problem=error.sentence, status=HTTPStatus.BAD_REQUEST)

    def _render(
        self,
        case: Case,
        form: SubmittedForm | None = None,
        problems: Mapping[str, str] | None = None,
        *,
        problem: str = "",
        status: int = HTTPStatus.OK,
    ) -> HttpResponse:
        self.title = case.title
        may_change, rows = self.model_admin.has_change_permission(self.request), case.rows(form, problems or {})
        entity_type, name, item_id = case.context.entity_type, case.context.name, case.item_id
        walk = case.neighbours()
        is_linked = case.context.record is not None and entity_type in visible_types(self.request.user)
        context = self.get_context_data(
            entity_type=entity_type,
            name=name,
            page_name=name,
            record_url=record_url(entity_type, case.context.entity_id) if is_linked else "",
            monday_url=case.context.item_url(item_id),
            done_before=_decided_before(self.request, case, may_change=may_change),
            rows=rows,
            progress=case.progress,
            walk=walk,
            next_url=case_url(walk.following),
            previous_url=case_url(walk.preceding),
            choosing=case.is_waiting,
            may_choose=case.is_waiting and may_change,
            may_type=may_type(self.request.user, entity_type),
            may_undo=may_change,
            has_both=any(row.both for row in rows),
            trouble=problem,
            posted_kept=bool(form and form.chosen and case.is_waiting),
            script_words=script_texts(len(rows)),
            **case.page(form, may_change=may_change),
        )
        return self.render_to_response(context, status=status)


class CaseMixin:
    """Adds to the list of conflicts the screens of cases, their progress and undo, and the list of rejected values."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The addresses of both kinds of cases."""
        view, name = self.admin_site.admin_view, "conflicts_syncconflict"
        field = "rejected/<slug:entity_type>/<uuid:entity_id>/<slug:key>/"
        conflict_screen = CaseScreen.as_view(model_admin=self, case_type=ConflictCase)
        rejected_screen = CaseScreen.as_view(model_admin=self, case_type=RejectedCase)
        return [
            path("<uuid:pk>/screen/", view(conflict_screen), name=f"{name}_screen"),
            path("<uuid:pk>/status/", view(self.conflict_status), name=f"{name}_status"),
            path("<uuid:pk>/undo/", view(require_POST(self.conflict_undo)), name=f"{name}_undo"),
            path("next/", view(self.first_case), name=f"{name}_next"),
            path("rejected/", view(self.rejection_list), name=f"{name}_rejected"),
            path("rejected/answer/<int:pk>/", view(self.answer_status), name=f"{name}_rejected_status"),
            path("rejected/answer/<int:pk>/undo/", view(require_POST(self.answer_undo)), name=f"{name}_rejected_undo"),
            path(field, view(rejected_screen), name=f"{name}_rejected_screen"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def first_case(self, request: HttpRequest) -> HttpResponse:
        """Go to the first case that waits; to the list of conflicts where none does."""
        check_permission(self, request, "view")
        return HttpResponseRedirect(case_url(conflict_queries.first_case()) or reverse(f"{URL_NAME}_changelist"))

    def conflict_status(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Answer, as JSON, how far a conflict's resolution is."""
        check_permission(self, request, "view")
        return _status(presenter.conflict_progress(get_object_or_404(SyncConflict, pk=pk)))

    def answer_status(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer, as JSON, how far the answer to a rejection is."""
        check_permission(self, request, "view")
        decision = get_object_or_404(Decision, pk=pk, kind=DECISION_KIND)
        return _status(rejections.rejection_progress(decision, RejectionCase.of(*_field_ref(decision))))

    def conflict_undo(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Store the wish to undo a resolution, and show the conflict."""
        return self._undo(request, ConflictCase(request, get_object_or_404(SyncConflict, pk=pk)))

    def answer_undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take the answer to a rejection back, and show the value."""
        decision = get_object_or_404(Decision, pk=pk, kind=DECISION_KIND)
        entity_type, entity_id, key = _field_ref(decision)
        case = RejectedCase.find(request, entity_type=entity_type, entity_id=entity_id, key=key, answer=decision)
        return self._undo(request, case)

    def _undo(self, request: HttpRequest, case: Case) -> HttpResponse:
        check_permission(self, request, "change")
        say, said, done = messages.success, "", True
        try:
            said = case.undo(by=cast("User", request.user))
        except ActionError as error:
            say, said, done = messages.error, f"Nothing was undone. {error}", False
        if asks_for_json(request):
            progress = Progress(presenter.UNDOING, said) if done else None
            return json_answer(f"{case.context.name}: {said or 'its resolution is being undone.'}", progress)
        if said:
            say(request, said)
        return see_other(case.url)

    def rejection_list(self, request: HttpRequest) -> HttpResponse:
        """Show the rejected values, the longest rejected first."""
        check_permission(self, request, "view")
        text = request.GET.get("p", "")
        total = blocked_fields.position_of().total
        last = max(1, math.ceil(total / REJECTED_ON_A_PAGE))
        # Of a page whose values were all answered meanwhile, the last that has some is shown.
        number = min(max(1, int(text[:6])), last) if text.isdecimal() else 1
        found = blocked_fields.rejected_values(REJECTED_ON_A_PAGE + 1, (number - 1) * REJECTED_ON_A_PAGE)
        labels = {(one.link.entity_type, one.key): one.label for one in all_mappings(request)}
        now, types = sync_now(), visible_types(request.user)
        context = {
            **self.admin_site.each_context(request),
            "title": REFUSED,
            "opts": self.opts,
            "rows": [
                (one, known_text(types, one.entity_type, one.name), rejection_url(one.field_ref),
                 labels.get((one.entity_type, one.key), one.key), humanize.without_request_id(one.reason),
                 admin_base.time_tag(one.checked_at, now))
                for one in found[:REJECTED_ON_A_PAGE]
            ],
            "door": "Fix" if may_resolve_cases(request.user) else "View",
            "total": total,
            "number": number,
            "has_next": len(found) > REJECTED_ON_A_PAGE,
        }  # fmt: skip
        return TemplateResponse(request, "conflicts/rejected_list.html", context)


def _status(progress: Progress) -> HttpResponse:
    return JsonResponse(progress.to_json(), headers={"Cache-Control": "no-store"})


def asks_for_json(request: HttpRequest) -> bool:
    """Whether a page's script asks, which stays where it is."""
    return request.headers.get("Accept") == "application/json"


def json_answer(sentence: str, progress: Progress | None) -> HttpResponse:
    """Answer the script: what to say, and how far it is; without `progress` nothing was done."""
    body = (progress.to_json() if progress else {}) | {"sentence": sentence}
    status = HTTPStatus.OK if progress else HTTPStatus.CONFLICT
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


# The texts of the screen's script, in the page's language: a script can't form every language's plurals.


def script_texts(rows: int) -> dict[str, Any]:
    """The script's texts for a page with so many fields; lists hold the text for each count, from 0 on."""

    def counted(one: str, many: str) -> list[str]:
        return [plural(number, one, many) % {"n": intcomma(number)} for number in range(rows + 1)]

    return {
        "both": Effect(None, npd_changes=True, monday_changes=True).where,
        "npd": Effect(None, npd_changes=True, monday_changes=False).where,
        "monday": Effect(None, npd_changes=False, monday_changes=True).where,
        "nothing": Effect(None, npd_changes=False, monday_changes=False).where,
        "empty": "(empty)",
        "notChosen": "Not chosen: stays open",
        "choose": "Choose a side, or type a value, for at least one field.",
        "chooseWay": "Choose an option.",
        "andNext": "%(act)s, and next…",
        "writes": "Writes %(fields)s in NPD, %(columns)s on Monday.",
        "fields": counted("%(n)s field", "%(n)s fields"),
        "columns": counted("%(n)s column", "%(n)s columns"),
        "open": counted("%(n)s field stays open.", "%(n)s fields stay open."),
    }
