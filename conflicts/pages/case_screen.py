"""The pages of a conflict and of a rejected value, the two cases that a person decides.

After a choice a strip on these pages says what becomes of it, and offers Undo. A choice's key is “conflict:” with a
conflict's id, or “answer:” with the id of the answer about a rejected value.
"""

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import escape
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import reports
from conflicts.models import CUSTOM, MONDAY, NPD, SELECTABLE, Effect, ResolutionType, Sides, SyncConflict
from conflicts.pages import case, rejections, resolution
from conflicts.reports import REJECTED, ConflictKind, FieldSelection
from sync import addresses, attention, permissions
from sync.admin import admin_base, confirmed_action
from sync.attention import Kind
from sync.choices import ActivityKind
from sync.clock import sync_now
from sync.kernel import as_uuid, humanize
from sync.kernel.acts import ActionError, NotAllowed, NotPossible
from sync.models import ActivityLine
from sync.models.records_and_items import FieldRef
from sync.records import authors

URL_NAME = "admin:conflicts_syncconflict"


def screen_url(pk: UUID) -> str:
    return reverse(f"{URL_NAME}_screen", args=[pk])


def rejection_url(field_ref: FieldRef) -> str:
    return reverse(f"{URL_NAME}_rejected_screen", args=field_ref)


def attention_key(conflict: SyncConflict) -> str:
    """Return the key of a conflict's entry among what waits."""
    return f"{Kind.DUPLICATE if conflict.kind == ConflictKind.IDENTITY else Kind.CONFLICT}:{conflict.pk}"


def strip_of(key: str) -> dict[str, Any] | None:
    """Return the context of strip.html about a choice; None if there is no such choice."""
    kind, _, text = key.partition(":")
    if kind == "conflict" and (pk := as_uuid(text)):
        conflict = SyncConflict.objects.filter(pk=pk).first()
        if conflict is None:
            return None
        context = case.RecordContext.of(conflict)
        url = screen_url(conflict.pk)
        progress = case.conflict_progress(conflict)
    elif kind == "answer" and text.isdecimal():
        # Cut, because a longer number doesn't fit into the database's bigint.
        answer = ActivityLine.objects.filter(pk=text[:18], kind=ActivityKind.REJECTED).first()
        if answer is None:
            return None
        field_ref = rejections.field_ref_of(answer)
        context = case.RecordContext(*field_ref[:2])
        url = rejection_url(field_ref)
        progress = rejections.answer_progress(answer)
    else:
        return None
    return {"key": key, "name": context.name, "url": url, "progress": progress}


def undo_choice(key: str, *, by: User) -> None:
    """Undo a choice; raises an ActionError with the reason, or DoesNotExist."""
    kind, _, pk = key.partition(":")
    if kind == "conflict":
        resolution.undo(pk, by=by)
    else:
        rejections.undo_answer(ActivityLine.objects.get(pk=pk, kind=ActivityKind.REJECTED), by=by)


# A form sends this where both texts are used; what is stored is the typed value that results.
BOTH = "both"


def parse_form(posted: QueryDict) -> tuple[dict[str, FieldSelection], dict[str, Sides]]:
    """Return the choices and the seen values by field.

    `option` is the answer about a whole record: an act's code, and the id that it names, if any (Option.name). Seen
    values travel as JSON, because browsers rewrite line ends.
    """
    chosen: dict[str, FieldSelection] = {}
    seen_values: dict[str, Sides] = {}
    for name, text in posted.items():
        prefix, _, key = name.partition("-")
        if prefix == "seen":
            seen_values[key] = sides_seen(admin_base.parse_json(str(text)))
        elif prefix == "pick" and text == BOTH:
            sides = sides_seen(admin_base.parse_json(posted.get(f"seen-{key}", "")))
            chosen[key] = FieldSelection(CUSTOM, humanize.both_texts(sides[NPD], sides[MONDAY]))
        elif prefix == "pick" and text in SELECTABLE:
            typed = posted.get(f"value-{key}", "") if text == CUSTOM else None
            chosen[key] = FieldSelection(str(text), typed)
        elif name == "option":
            choose, _, value = str(text).partition(" ")
            chosen[reports.RECORD_KEY] = FieldSelection(choose, value or None)
    return chosen, seen_values


def sides_seen(values: Any) -> Sides:
    """Return one field's seen values; malformed ones equal nothing stored, so the form counts as outdated."""
    npd, monday = values if isinstance(values, list) and len(values) == 2 else ("?", "?")
    return {NPD: npd if isinstance(npd, str) else None, MONDAY: monday if isinstance(monday, str) else None}


def emptying_question(name: str, fields: Sequence[case.CaseField]) -> confirmed_action.Question | None:
    """Return the question before a value is removed, or None if the choices remove none."""
    chosen = [(row, row.effect_of(row.choose, row.typed)) for row in fields if row.choose in SELECTABLE]
    emptied = [f"{row.label} {effect.emptied_side}" for row, effect in chosen if effect.emptied_side]
    if not emptied:
        return None
    # Such as “Empty Phone in NPD”.
    label = f"Empty {emptied[0] if len(emptied) == 1 else f'{len(emptied)} values'}"
    rows = [(row.label, row.npd or "", row.monday or "", effect.value or "(empty)") for row, effect in chosen]
    table = confirmed_action.RecordTable(("Field", "NPD now", "Monday now", "Result"), rows, len(rows))
    effects = ["What is there now is removed. You can undo it here."]
    return confirmed_action.Question(f"{label}?", effects, label, [table], page_name=name, deletes=True)


# The next page's query parameter: the key of the choice after which it is shown, and whose strip it shows.
AFTER_CHOICE = "after"

# The buttons “next” and “previous” go through these cases.
WALKED = (Kind.CONFLICT, Kind.DUPLICATE, Kind.REJECTED)

# Each page reads the keys of the waiting cases, so their number is bounded.
MAX_WALKED = 2_000


# The parameter in which Django's admin keeps the filters of the list from which a row's page was opened.
LIST_FILTERS = "_changelist_filters"


def walk_from(key: str, among: Sequence[UUID] = (), filters: str = "") -> dict[str, Any]:
    """Return how many cases of a case's kind wait, in words, empty if it doesn't, and its neighbours' addresses.

    `key` is that of its entry (attention.Entry). A person goes through all cases of the kind that they began with, in a
    circle, and then through the other kinds; of a list with filters first through those conflicts.
    """
    kind = key.partition(":")[0]
    waiting = attention.in_order_of_groups(attention.waiting(kinds=WALKED)).only("kind", "source")
    rows = list(waiting.filter(source__in=among)[:MAX_WALKED])
    if all(row.key == key for row in rows):
        rows = list(waiting[:MAX_WALKED])
    same_kind = [row.key for row in rows if row.kind == kind]
    place = same_kind.index(key) if key in same_kind else -1
    circle = same_kind[place + 1 :] + same_kind[: max(place, 0)]
    others = [row.key for row in rows if row.kind != kind]
    next_key = ([*circle, *others] or [""])[0]
    previous_key = ([*others, *circle] or [""])[-1]
    return {
        "left": humanize.count_with_noun(len(same_kind), *attention.KINDS[Kind(kind)].nouns) if place >= 0 else "",
        "next_url": _case_url(next_key, filters),
        "next_noun": attention.KINDS[Kind(next_key.partition(":")[0])].nouns[0] if next_key else "",
        "ends_kind": not next_key.startswith(f"{kind}:"),
        "previous_url": _case_url(previous_key, filters),
    }


def _case_url(key: str, filters: str) -> str:
    """Return the address of a case's page, with the list's filters; empty without a case."""
    if not key:
        return ""
    kind, *names = key.split(":")
    url = reverse(f"{URL_NAME}_{'rejected_screen' if kind == Kind.REJECTED else 'screen'}", args=names)
    return _with_filters(url, filters)


def _with_filters(url: str, filters: str) -> str:
    return f"{url}?{urlencode({LIST_FILTERS: filters})}" if filters else url


class CaseView(UnfoldModelAdminViewMixin, TemplateView):
    """The page of a conflict: shows both sides, and on POST stores the choices."""

    template_name = "conflicts/screen.html"
    # Set by `load`.
    title: str = "Conflict"
    conflict: SyncConflict
    context: case.RecordContext
    progress: case.Progress
    key = ""  # of `strip_of`
    url = ""
    list_url = ""
    attention_key = ""  # of its entry
    resolved_by = ""
    tag = ""  # what is in conflict
    # Set by a POST.
    chosen: Mapping[str, FieldSelection] = {}
    seen_values: Mapping[str, Sides] = {}
    problems: Mapping[str, str] = {}  # why the choices can't be stored, by field

    def load(self, **kwargs: Any) -> None:
        """Read the case that the address names."""
        conflict = get_object_or_404(SyncConflict.objects.select_related("resolved_by"), pk=kwargs["pk"])
        self.conflict = conflict
        self.context = case.RecordContext.of(conflict)
        self.progress = case.conflict_progress(conflict)
        self.key = f"conflict:{conflict.pk}"
        self.url = screen_url(conflict.pk)
        self.list_url = f"{reverse(f'{URL_NAME}_changelist')}?{self.filters}".rstrip("?")
        self.title = f"Conflict of {self.context.name}"
        self.attention_key = attention_key(conflict)
        self.resolved_by = authors.full_name(conflict.resolved_by) if conflict.resolved_by else ""
        self.tag = conflict.get_kind_display()
        if conflict.kind == ConflictKind.FIELDS:
            number = len(conflict.conflict_fields)
            self.tag = humanize.count_with_noun(number, "field differs", "fields differ") if conflict.is_open else ""

    @property
    def is_waiting(self) -> bool:
        return self.conflict.is_open and not self.conflict.is_being_applied

    def has_permission(self) -> bool:
        return bool(self.model_admin.has_view_permission(self.request))

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.load(**kwargs)
        return self.show()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Store the choices, or show them again with the problems."""
        if not self.model_admin.has_change_permission(request):
            raise PermissionDenied
        self.load(**kwargs)
        if "preview" in request.GET:
            return self.preview(request.GET["preview"])
        self.chosen, self.seen_values = parse_form(request.POST)
        if "confirmed" not in request.POST and (question := self.question()):
            hidden = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
            hidden.append(("key", self.attention_key))
            return confirmed_action.question_page(self.model_admin, request, replace(question, hidden=hidden), self.url)
        goes_to_next = "next" in request.POST
        # Read before the choice is stored, because afterwards this case is no longer among those that wait.
        next_url = self.walk()["next_url"] if goes_to_next else ""
        try:
            key, sentence = self.apply(cast("User", request.user))
        except NotAllowed as error:
            # The page has no input for people who may not type a value.
            self.chosen = {}
            self.seen_values = {}
            return self.show(str(error), HTTPStatus.FORBIDDEN)
        except NotPossible as error:
            self.load(**kwargs)
            return self.show(str(error), HTTPStatus.CONFLICT)
        except resolution.InvalidResolution as error:
            self.problems = error.problems
            return self.show(error.sentence, HTTPStatus.BAD_REQUEST)
        if goes_to_next and not next_url:
            is_all = not sum(attention.counts(admin_base.kinds_on_home(request.user)).values())
            messages.success(request, f"All resolved. {sentence}" if is_all else sentence)
            next_url = reverse("admin:index")
        elif goes_to_next:
            next_url = f"{next_url}{'&' if '?' in next_url else '?'}{AFTER_CHOICE}={key}"
        return HttpResponseRedirect(next_url or _with_filters(self.url, self.filters))

    def preview(self, key: str) -> HttpResponse:
        """Say in which form a typed value will be written, or why it can't be; empty if as it was typed."""
        text = self.request.POST.get(f"value-{key}", "")
        mapping = self.context.mapped.get(key)
        if mapping is None or self.context.record is None:
            raise Http404("There is no such record or field.")
        try:
            values = resolution.raw_from_text(self.context, key, text)
        except ActionError as error:
            return HttpResponse(escape(str(error)))
        written = self.context.display.display_local(self.context.record, mapping, values)
        return HttpResponse("" if reports.same_text(written, text) else escape(f"Written as “{written}”"))

    @property
    def filters(self) -> str:
        """The query of the list from which the page was opened; empty without."""
        return self.request.GET.get(LIST_FILTERS, "")

    def walk(self) -> dict[str, Any]:
        """Return the neighbours of this case, of a list with filters only those that it lists."""
        listed = []
        if self.filters:
            list_request = copy(self.request)
            list_request.GET = QueryDict(self.filters)
            conflicts = self.model_admin.get_changelist_instance(list_request).queryset
            listed = list(conflicts.values_list("pk", flat=True)[:MAX_WALKED])
        return walk_from(self.attention_key, listed, self.filters)

    def show(self, problem: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
        """Render the page, with the problem why nothing was stored."""
        if problem and not problem.startswith("Nothing was stored"):
            problem = f"Nothing was stored. {problem}"
        changes = {"both": (True, True), "npd": (True, False), "monday": (False, True), "nothing": (False, False)}
        page = self.get_context_data(
            page_name=self.context.name,
            case=self.case_context(problem),
            walk=self.walk(),
            # Sentences from which conflict.js chooses while a person types.
            effects={name: Effect(None, *sides).what_changes for name, sides in changes.items()},
        )
        return self.render_to_response(page, status=status)

    def case_context(self, problem: str) -> dict[str, Any]:
        """Return the part of the template's context that is about the case."""
        conflict = self.conflict
        context = self.context
        by_field = conflict.is_open and not conflict.is_about_record
        still_asked = (*conflict.conflict_fields, reports.RECORD_KEY)
        before = strip_of(self.request.GET.get(AFTER_CHOICE, ""))
        may_change = self.model_admin.has_change_permission(self.request)
        may_open = context.record is not None and permissions.may_act(self.request.user, "view", context.entity_type)
        return {
            "key": self.key,
            "name": context.name,
            "url": self.url,
            "list_url": self.list_url,
            "record_url": addresses.record_url(context.entity_type, context.entity_id) if may_open else "",
            "item_url": context.item_url(conflict.monday_item_id),
            "now": sync_now(),
            "conflict": conflict,
            "progress": self.progress,
            "is_waiting": self.is_waiting,
            "tag": self.tag,
            "fields": self.fields(),
            "hides_base": conflict.kind in (ConflictKind.OVERWRITTEN, REJECTED),
            "about": self.about_record() if conflict.is_about_record else None,
            "equal": case.equal_fields(conflict, context) if by_field else [],
            "blocked": case.problem_sentences(conflict, context) if by_field or conflict.kind == REJECTED else [],
            "resolved": case.resolved_fields(conflict, context),
            "resolved_by": self.resolved_by,
            "late": self.late_choices(),
            "closed": [conflict.label(key) for key in self.seen_values if key not in still_asked],
            "before": before if before and before["url"] != self.url else None,
            "may_change": may_change,
            "may_choose": self.is_waiting and may_change,
            "typing_problem": resolution.typing_problem(self.request.user, context.entity_type),
            "undo_problem": self.undo_problem() if self.progress.is_undoable else "",
            "problem": problem,
            "keeps_choices": bool(self.chosen and self.is_waiting),
        }

    def undo_problem(self) -> str:
        """Return why what was chosen can't be undone; empty if it can."""
        return resolution.undo_problem(self.conflict, self.context)

    def fields(self) -> list[case.CaseField]:
        """Return the fields in conflict with the posted choices, or with the stored ones, also those handed back."""
        stored = self.conflict.stored_resolution
        fields = case.fields_in_conflict(self.conflict, self.context)
        is_posted = self.seen_values and self.is_waiting
        # A choice that a pass handed back is suggested again, with the reason.
        chosen = self.chosen if is_posted else {**stored.handed_back, **stored.fields}
        problems = self.problems if is_posted else stored.reasons
        for row in fields:
            row.select(chosen.get(row.key, FieldSelection("")))
            row.problem = problems.get(row.key, "")
            # A choice that a pass handed back says it already.
            row.rejected = "" if row.key in stored.reasons else admin_base.with_request_id(row.rejected)
            if is_posted:
                row.seen_values = self.seen_values.get(row.key)
                # It joined the conflict after the person saw the form.
                row.is_new = row.seen_values is None
            elif selection := stored.handed_back.get(row.key):
                row.seen_values = {NPD: selection.npd, MONDAY: selection.monday}
        return fields

    def late_choices(self) -> list[tuple[str, str | None]]:
        """Return the labels and values of posted choices whose fields have no input, because they were resolved."""
        asked = self.conflict.conflict_fields if self.is_waiting else ()
        late = {key: selection for key, selection in self.chosen.items() if key not in (*asked, reports.RECORD_KEY)}
        choices: list[tuple[str, str | None]] = []
        for key, selection in late.items():
            values = {CUSTOM: selection.value, **self.seen_values.get(key, {})}
            value = values.get(selection.choose, case.CHOICE_LABELS[selection.choose])
            choices.append((self.conflict.label(key), value))
        return choices

    def about_record(self) -> dict[str, Any]:
        """Return the context of a question about the whole record."""
        conflict = self.conflict
        stored = conflict.stored_resolution
        is_posted = self.seen_values and self.is_waiting
        chosen = self.chosen if is_posted else {**stored.handed_back, **stored.fields}
        selection = chosen.get(reports.RECORD_KEY)
        values = resolution.current_values(conflict).items()
        columns = case.candidate_columns(conflict, self.context)
        return {
            "heading": "Who is this?" if conflict.kind == ConflictKind.IDENTITY else "What happened",
            "question": conflict.question or "More than one record or item could be the same.",
            "options": conflict.options,
            "chosen": conflict.chosen_option(selection) if selection else None,
            "columns": columns,
            "lines": case.compared_lines(self.context, columns),
            "seen": [(key, json.dumps(list(sides.values()))) for key, sides in values],
            "deletion_problem": resolution.missing_right(self.request.user, conflict.entity_type, "delete"),
        }

    def question(self) -> confirmed_action.Question | None:
        """Return the question before a deletion or a removed value, or None."""
        option = self.conflict.chosen_option(self.chosen.get(reports.RECORD_KEY, FieldSelection("")))
        if option is None or not option.deletes:
            return emptying_question(self.context.name, self.fields())
        effects = [self.conflict.question, option.effect]
        return confirmed_action.Question(
            f"{option.label}?", effects, option.label, page_name=self.context.name, deletes=True
        )

    def apply(self, by: User) -> tuple[str, str]:
        """Store the choices; return the key of `strip_of`, and a sentence."""
        kind = self.resolution_type()
        resolved = resolution.resolve(
            self.conflict.pk, by=by, resolution_type=kind, selections=self.chosen, seen=self.seen_values
        )
        sentence = case.conflict_progress(resolved).sentence
        return f"conflict:{resolved.pk}", sentence

    def resolution_type(self) -> str:
        """Return a side's type if that side was chosen for all fields, or a merge."""
        choices = {selection.choose for selection in self.chosen.values()}
        for side, kind in ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY)):
            if set(self.chosen) == set(self.seen_values) and choices == {side}:
                return kind
        return ResolutionType.MERGE


class RejectionView(CaseView):
    """The page of a rejected value, which it shows as a conflict."""

    rejection: rejections.Rejection

    def load(self, **kwargs: Any) -> None:
        field_ref = kwargs["entity_type"], kwargs["entity_id"], kwargs["key"]
        rejection = rejections.Rejection.of(field_ref)
        if rejection is None:
            raise Http404("Nothing is rejected there any more.")
        self.rejection = rejection
        self.conflict = rejection.conflict
        self.context = rejection.context
        self.progress = case.conflict_progress(self.conflict)
        self.url = rejection_url(field_ref)
        self.list_url = reverse("admin:index")
        self.title = f"{rejection.mapping.label} of {self.context.name}, rejected by Monday"
        self.attention_key = ":".join(map(str, (Kind.REJECTED, *field_ref)))
        self.tag = Kind.REJECTED.label
        if answer := rejection.answer:
            self.progress = rejections.answer_progress(answer)
            self.key = f"answer:{answer.pk}"
            self.resolved_by = answer.actor

    def undo_problem(self) -> str:
        return ""  # an undo says it

    def fields(self) -> list[case.CaseField]:
        fields = super().fields()
        for row in fields:
            if row.effect_of(MONDAY).emptied_side:
                row.monday_problem = resolution.missing_right(self.request.user, self.context.entity_type, "change")
            try:
                self.rejection.raw_from_monday()  # only to learn whether it can be used
            except ActionError as error:
                row.monday_problem = row.monday_problem or str(error)
        return fields

    def apply(self, by: User) -> tuple[str, str]:
        field_ref = self.rejection.field_ref
        answer = rejections.answer_rejection(field_ref, by=by, selections=self.chosen, seen=self.seen_values)
        return f"answer:{answer.pk}", answer.sentence
