"""What the pages of a conflict and of a rejected value have in common: the choices, the questions, the next case."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin

from conflicts import case, resolution
from conflicts.admin.strips import URL_NAME, strip_of
from conflicts.effects import Effect, Sides, is_same
from conflicts.models import CUSTOM, SELECTABLE, ConflictKind
from conflicts.reports import RECORD_KEY
from conflicts.text_diff import both_texts
from sync import attention, registry
from sync.admin import admin_base, confirmed_action
from sync.attention import Kind
from sync.kernel.humanize import plural
from sync.kernel.messages import NotAllowed, NotPossible
from sync.merge import FieldSelection

# A form sends this where both texts are used; what is stored is the typed value that results.
BOTH = "both"


def parse_form(posted: QueryDict) -> tuple[dict[str, FieldSelection], dict[str, Sides]]:
    """Return the choices and the seen values by field; `option` is the choice about a whole record.

    Seen values travel as JSON, because browsers rewrite line ends.
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
        elif prefix == "pick" and text in SELECTABLE:
            typed = posted.get(f"value-{key}", "") if text == CUSTOM else None
            chosen[key] = FieldSelection(str(text), typed)
        elif name == "option":
            choose, _, value = str(text).partition(" ")
            chosen[RECORD_KEY] = FieldSelection(choose, value or None)
    return chosen, seen_values


def parse_seen(text: str) -> dict[str, str | None]:
    """Return one field's seen values; malformed ones equal nothing stored, so the form counts as outdated."""
    values = admin_base.parse_json(text)
    npd, monday = values if isinstance(values, list) and len(values) == 2 else (text, text)
    return {"npd": npd if isinstance(npd, str) else None, "monday": monday if isinstance(monday, str) else None}


def emptying_question(name: str, fields: Sequence[case.CaseField]) -> confirmed_action.Question | None:
    """Return the question before a value is removed, or None if the choices remove none."""
    chosen = [(row, row.effect_of(row.choose, row.typed)) for row in fields if row.choose in SELECTABLE]
    emptied = {row.label: effect.emptied_side for row, effect in chosen if effect.emptied_side}
    if not emptied:
        return None
    sides = set(emptied.values())
    rest = len(chosen) - len(emptied)
    subject = next(iter(emptied)) if len(emptied) == 1 else f"{len(emptied)} values"
    label = f"Empty {subject} {sides.pop()}" if len(sides) == 1 else f"Empty {subject}"
    button = f"{label}, and write {plural(rest, 'the other field', f'{rest} other fields')}" if rest else label
    rows = [(row.label, row.npd or "", row.monday or "", effect.value or "(empty)") for row, effect in chosen]
    table = confirmed_action.RecordTable(("Field", "NPD now", "Monday now", "Result"), rows, len(rows))
    effects = ["What is there now is removed. You can undo it here."]
    return confirmed_action.Question(f"{label}?", effects, button, [table], page_name=name, deletes=True)


# The query parameter with the key of the choice before.
CHOICE_BEFORE = "after"

# The buttons “next” and “previous” go through these cases.
WALKED = (Kind.CONFLICT, Kind.DUPLICATE, Kind.REJECTED)

# Each page reads the keys of the waiting cases, so their number is bounded.
MAX_WALKED = 2_000


def walk_from(row_id: str, kind: Kind) -> dict[str, Any]:
    """Return a case's number among its kind, 0 if it no longer waits, and the addresses of its neighbours.

    Whoever began with a kind ends it before the others: all of it in a circle, then the other kinds.
    """
    rows = attention.in_order_of_groups(attention.waiting(kinds=WALKED)).only("kind", "source")[:MAX_WALKED]
    key = f"{kind}:{row_id}"
    alike = [row.key for row in rows if row.kind == kind]
    place = alike.index(key) if key in alike else -1
    circle = alike[place + 1 :] + alike[: max(place, 0)]
    neighbours = circle or [row.key for row in rows if row.kind != kind]
    return {
        "label": kind.label,
        "number": place + 1,
        "total": len(alike),
        "next_url": _case_url(neighbours[0]) if neighbours else "",
        "next_noun": attention.KINDS[Kind(neighbours[0].partition(":")[0])].nouns[0] if neighbours else "",
        "ends_kind": not circle,
        "previous_url": _case_url(neighbours[-1]) if neighbours else "",
    }


def _case_url(key: str) -> str:
    kind, *row_id = key.split(":")
    name = "rejected_screen" if kind == Kind.REJECTED else "screen"
    return reverse(f"{URL_NAME}_{name}", args=row_id)


class CaseView(UnfoldModelAdminViewMixin, TemplateView):
    """The page of one case: shows both sides, and on POST stores the choices."""

    template_name = "conflicts/screen.html"
    title: str = "Conflict"
    # Set by `load`.
    context: case.RecordContext
    url = ""
    kind = Kind.CONFLICT
    row_id = ""
    present_values: Mapping[str, Sides] = {}  # of the fields that wait for a choice
    # Set by a POST.
    chosen: Mapping[str, FieldSelection] = {}
    seen_values: Mapping[str, Sides] = {}
    problems: Mapping[str, str] = {}  # why the choices can't be stored, by field

    def load(self, **kwargs: Any) -> None:
        """Read the case that the address names."""
        raise NotImplementedError

    def page(self) -> dict[str, Any]:
        """Return the case's part of the template context."""
        raise NotImplementedError

    def fields(self) -> list[case.CaseField]:
        """Return the fields with the posted choices."""
        raise NotImplementedError

    def question(self) -> confirmed_action.Question | None:
        """Return the question before a deletion or a removed value, or None."""
        return emptying_question(self.context.name, self.fields())

    def apply(self, by: User) -> tuple[str, str]:
        """Store the choices; return the key of what was chosen (strips.py), and a sentence."""
        raise NotImplementedError

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
        self.chosen, self.seen_values = parse_form(request.POST)
        # If values have changed since, `apply` refuses the choices, so nothing is asked.
        is_as_seen = all(
            key in self.present_values and is_same(sides, self.present_values[key])
            for key, sides in self.seen_values.items()
        )
        if is_as_seen and "confirmed" not in request.POST and (question := self.question()):
            hidden = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
            return confirmed_action.question_page(self.model_admin, request, replace(question, hidden=hidden), self.url)
        goes_on = "next" in request.POST
        next_url = walk_from(self.row_id, self.kind)["next_url"] if goes_on else ""
        try:
            key, sentence = self.apply(cast("User", request.user))
        except NotAllowed as error:
            self.chosen = {}
            self.seen_values = {}
            return self.show(str(error), HTTPStatus.FORBIDDEN)
        except NotPossible as error:
            self.load(**kwargs)
            return self.show(str(error), HTTPStatus.CONFLICT)
        except resolution.InvalidResolution as error:
            self.problems = error.problems
            return self.show(error.sentence, HTTPStatus.BAD_REQUEST)
        if goes_on and not next_url:
            messages.success(request, f"All resolved. {sentence}")
            next_url = reverse("admin:index")
        elif goes_on:
            next_url = f"{next_url}?{CHOICE_BEFORE}={key}"
        return admin_base.see_other(next_url or self.url)

    def show(self, problem: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
        """Render the page, with the problem why nothing was stored."""
        user = self.request.user
        entity_type = self.context.entity_type
        may_change = self.model_admin.has_change_permission(self.request)
        case_context = self.page()
        before = strip_of(self.request.GET.get(CHOICE_BEFORE, ""), self.context.mappings)
        is_linked = self.context.record is not None and registry.may_act(user, "view", entity_type)
        case_context |= {
            "name": self.context.name,
            "url": self.url,
            "entity_type": entity_type,
            "before": before if before and before["url"] != self.url else None,
            "record_url": registry.record_url(entity_type, self.context.entity_id) if is_linked else "",
            "may_choose": case_context["is_waiting"] and may_change,
            "may_type": resolution.may_type(user, entity_type),
            "may_undo": may_change,
            "is_overwritten": case_context["kind"] == ConflictKind.OVERWRITTEN,
            "has_two_sides": case_context["kind"] in (ConflictKind.OVERWRITTEN, case.REJECTED),
            "problem": problem,
            "problem_lead": "" if problem.startswith("Nothing was stored") else "Nothing was stored.",
            "keeps_choices": bool(self.chosen and case_context["is_waiting"]),
        }
        changes = {"both": (True, True), "npd": (True, False), "monday": (False, True), "nothing": (False, False)}
        effects = {name: Effect(None, *sides).where for name, sides in changes.items()}
        walk = walk_from(self.row_id, self.kind)
        context = self.get_context_data(page_name=self.context.name, case=case_context, walk=walk, effects=effects)
        if self.kind is Kind.DUPLICATE and context.get("section"):
            # The section of the address is Conflicts.
            context["section"] = replace(context["section"], title=str(self.kind.label))
        return self.render_to_response(context, status=status)

    def select(self, fields: Sequence[case.CaseField]) -> None:
        """Put the posted choices and seen values into the fields."""
        for row in fields:
            row.problem = self.problems.get(row.key, "")
            if self.seen_values:
                row.select(self.chosen.get(row.key, FieldSelection("")))
                row.seen_values = self.seen_values.get(row.key)
                row.is_new = row.seen_values is None
