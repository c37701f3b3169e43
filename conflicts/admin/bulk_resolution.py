"""One side, or one act on whole records, for many conflicts: a page that says what it does, then each by `resolve`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from conflicts.admin.case_view import URL_NAME, check_permission, screen_url
from conflicts.case import parse_uuid
from conflicts.context import names_of
from conflicts.effects import effect_of
from conflicts.lifecycle import act_option, side_option
from conflicts.models import BEING_APPLIED, MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.reports import OPTION_ACTS, RECORD_KEY, Option
from conflicts.resolution import SIDE_OF_TYPE, InvalidResolution, Selections, current_values, deletion_problem, resolve
from sync.admin.admin_base import see_other
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, run_action
from sync.kernel.acts import ACTS
from sync.kernel.humanize import count_with_noun
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.registry import count_of_type

MAX_CONFLICTS = 200
"""Conflicts that are resolved at once, so that the page answers within some seconds: each takes about 50 ms."""

MAX_NAMED = 20
"""Records that one line of the summary names."""

SELECTION = "conflicts_selected"
"""Under this name the session keeps what was selected, until the page that asks about it has been shown."""

CHOICES = (*SIDE_OF_TYPE, *OPTION_ACTS)
"""What can be chosen for many: a side, or an act on records and items as a whole."""

CHANGED = "It changed after you were shown it. Look at it again."
NOT_OFFERED = "This option is not possible there. Open it to see which are."

EFFECTS = {
    "delete_record": ("record is deleted in NPD", "records are deleted in NPD"),
    "delete_item": ("item is deleted on Monday", "items are deleted on Monday"),
    "archive_item": ("item is archived on Monday", "items are archived on Monday"),
    "npd_emptied": ("value in NPD is emptied", "values in NPD are emptied"),
    "monday_emptied": ("column value on Monday is emptied", "column values on Monday are emptied"),
    "create_item": ("item is created again on Monday", "items are created again on Monday"),
    "restore_record": ("record is restored in NPD", "records are restored in NPD"),
    "unlink": ("record or item is unlinked", "records or items are unlinked"),
    NPD: ("value in NPD is overwritten", "values in NPD are overwritten"),
    MONDAY: ("column value on Monday is overwritten", "column values on Monday are overwritten"),
}
"""What a choice may do, the gravest first: of one and of several."""


def bulk_question(conflicts: Sequence[SyncConflict], choice: str, *, by: User, total: int = 0) -> Question:
    """Ask, with each kind of effect counted and its first records named; `total` is how many were selected."""
    names = names_of(conflicts)
    rows_of: dict[str, list[tuple[object, ...]]] = {}
    left_out: list[tuple[object, ...]] = []
    digests: dict[str, str] = {}
    types = set()
    for conflict in conflicts:
        name = format_html('<a class="npd-link" href="{}">{}</a>', screen_url(conflict.pk), names[conflict.pk])
        option = _option_for(conflict, choice)
        if problem := _problem(conflict, choice, option, by=by):
            left_out.append((name, problem))
            continue
        digests[str(conflict.pk)] = digest(conflict)
        types.add(conflict.entity_type)
        if option is not None:
            rows_of.setdefault(option.does, []).append((name, conflict.what, f"{option.label}: {option.effect}"))
        for kind, *row in _value_rows(conflict, choice) if option is None else ():
            rows_of.setdefault(kind, []).append((name, *row))
    number = count_with_noun(len(digests), "conflict")
    records = count_of_type(len(digests), types.pop() if len(types) == 1 else "")
    title = ACTS[choice].title(number=number, records=records, items=count_with_noun(len(digests), "item"))
    counted = {kind: count_with_noun(len(rows_of[kind]), *EFFECTS[kind]) for kind in EFFECTS if kind in rows_of}
    grave = [
        text for kind, text in counted.items() if kind.endswith("_emptied") or (kind in ACTS and ACTS[kind].deletes)
    ]
    effects = [f"{text[0].upper()}{text[1:]}." for text in counted.values()]
    if total > MAX_CONFLICTS:
        effects.insert(0, f"{total:,} are selected. At most {MAX_CONFLICTS} are resolved at once: these are the "
                          "ones that wait longest. Repeat it for the rest.")  # fmt: skip
    if digests:
        effects.append("What changes before you press the button is left as it is, and named afterwards.")
        effects += [ACTS[kind].way_back for kind in counted if kind in ACTS]
        if any(kind not in ACTS for kind in counted):
            effects.append("The values of each conflict can be put back by Undo on its own page.")
    else:
        effects.append("None of them can be resolved this way.")
    tables = [_table(kind, rows_of[kind], text) for kind, text in counted.items()]
    if left_out:
        heading = f"{count_with_noun(len(left_out), 'conflict')} left out"
        tables.append(RecordTable(("Record", "Why"), left_out[:MAX_ROWS_SHOWN], len(left_out), heading))
    # A button never speaks of values alone where something is deleted or emptied, too.
    button = "; ".join([title, *grave]) if choice in SIDE_OF_TYPE else title
    hidden = [("seen", json.dumps(digests))]
    return Question(f"{title}?", effects, button if digests else "", tables, hidden, deletes=bool(grave))


def _table(kind: str, rows: Sequence[tuple[object, ...]], title: str) -> RecordTable:
    heads = ["Record", "What happened", "What is done"]
    if kind not in ACTS:
        heads = ["Record", "Field", "Overwritten", "New value"]
    return RecordTable(heads, rows[:MAX_ROWS_SHOWN], len(rows), title)


def _value_rows(conflict: SyncConflict, choice: str) -> list[tuple[str, str, str, str]]:
    """What choosing a side overwrites or empties: the kind of effect, the field, its value now and then."""
    rows = []
    for key in conflict.conflict_fields:
        sides = conflict.sides(key)
        effect = effect_of(SIDE_OF_TYPE[choice], sides, kind=conflict.kind)
        for side, changes in ((NPD, effect.npd_changes), (MONDAY, effect.monday_changes)):
            if changes:
                # Of an overwritten edit both sides have NPD's value now.
                old = sides[NPD] if conflict.kind == ConflictKind.OVERWRITTEN else sides[side]
                kind = side if effect.value else f"{side}_emptied"
                rows.append((kind, conflict.label(key), old or "(empty)", effect.value or "(empty)"))
    return rows


def _option_for(conflict: SyncConflict, choice: str) -> Option | None:
    """The option of a deleted record or item that a choice means; None where it has none, or is about values."""
    side = SIDE_OF_TYPE.get(choice)
    return side_option(conflict, side) if side else act_option(conflict, choice)


def _problem(conflict: SyncConflict, choice: str, option: Option | None, *, by: User) -> str:
    """Why this can't be chosen for a conflict; empty where it can."""
    if not conflict.is_open:
        return "It is resolved already."
    if conflict.is_being_applied:
        return f"{conflict.stored_resolution.by} resolved it already, and that is being applied."
    if option is None and (conflict.is_about_record or choice not in SIDE_OF_TYPE):
        return NOT_OFFERED
    return deletion_problem(by, conflict.entity_type) if option and option.deletes else ""


def digest(conflict: SyncConflict) -> str:
    """Return a short text that is another one as soon as a value in conflict, or what happened, is another."""
    values = json.dumps(current_values(conflict), sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()[:16]


def resolve_all(digests: Mapping[str, str], choice: str, *, by: User) -> Report:
    """Resolve each of these that is as it was shown, in a transaction of its own; say how many, and why not others."""
    conflicts = list(SyncConflict.objects.filter(pk__in=digests).order_by("detected_at", "id"))
    names = names_of(conflicts)
    resolved = 0
    names_by_problem: dict[str, list[str]] = {}
    for conflict in conflicts:
        try:
            if digest(conflict) != digests[str(conflict.pk)]:
                raise InvalidResolution(CHANGED)
            kind, selections = _resolution(conflict, choice)
            values = current_values(conflict)
            resolve(conflict.pk, by=by, resolution_type=kind, selections=selections, seen=values)
            resolved += 1
        except ActionError as error:
            names_by_problem.setdefault(str(error), []).append(names[conflict.pk])
    problems = []
    for problem, records in names_by_problem.items():
        rest = len(records) - MAX_NAMED
        more = f" and {rest:,} more" if rest > 0 else ""
        problems.append(f"Not resolved: {', '.join(records[:MAX_NAMED])}{more}. {problem}")
    sentence = f"{count_with_noun(resolved, 'conflict')} resolved. That is written within seconds." if resolved else ""
    return Report(sentence, problems)


def _resolution(conflict: SyncConflict, choice: str) -> tuple[str, Selections | None]:
    """The type of the resolution, and for an act its option, as a person would choose them on the conflict's page."""
    if choice in SIDE_OF_TYPE:
        return choice, None
    option = act_option(conflict, choice)
    if option is None:
        raise InvalidResolution(NOT_OFFERED)
    return ResolutionType.MERGE, {RECORD_KEY: FieldSelection(option.choose, option.value or None)}


def bulk_url(request: HttpRequest, conflicts: QuerySet[SyncConflict], choice: str, *, back_url: str) -> str:
    """Keep which conflicts were selected, first those that wait longest; return the page that asks about them."""
    waiting = conflicts.filter(resolved_at=None).exclude(BEING_APPLIED).order_by("detected_at", "id")
    selected = list(waiting.values_list("pk", flat=True))
    selected += conflicts.exclude(pk__in=selected).order_by("detected_at", "id").values_list("pk", flat=True)
    ids = [str(pk) for pk in selected[:MAX_CONFLICTS]]
    request.session[SELECTION] = {"ids": ids, "total": len(selected), "back": back_url}
    return reverse(f"{URL_NAME}_bulk", args=[choice])


class BulkResolutionMixin:
    """Adds the two actions to the list of conflicts, and the page that asks."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.bulk_page)
        return [path("bulk/<slug:choice>/", page, name="conflicts_syncconflict_bulk"), *super().get_urls()]  # type: ignore[misc]

    @admin.action(description="Use NPD", permissions=["change"])
    def keep_npd(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> HttpResponse:
        return see_other(bulk_url(request, queryset, ResolutionType.KEEP_NPD, back_url=request.get_full_path()))

    @admin.action(description="Use Monday", permissions=["change"])
    def keep_monday(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> HttpResponse:
        return see_other(bulk_url(request, queryset, ResolutionType.KEEP_MONDAY, back_url=request.get_full_path()))

    def bulk_page(self, request: HttpRequest, choice: str) -> HttpResponse:
        """Say what a choice does with the selected conflicts; on POST do it with those that were shown."""
        check_permission(self, request, "change")
        if choice not in CHOICES:
            raise Http404(f"“{choice}” can't be chosen for many.")
        by = cast("User", request.user)
        selection = request.session.get(SELECTION, {"ids": [], "total": 0, "back": ""})

        def question() -> Question:
            conflicts = SyncConflict.objects.filter(pk__in=selection["ids"]).order_by("detected_at", "id")
            return bulk_question(list(conflicts), choice, by=by, total=selection["total"])

        def run() -> Report:
            request.session.pop(SELECTION, None)
            return resolve_all(shown_conflicts(request.POST.get("seen", "")), choice, by=by)

        back_url = selection["back"] or reverse(f"{URL_NAME}_changelist")
        return run_action(self, request, run, back_url=back_url, question=question, atomic=False)


def shown_conflicts(text: str) -> dict[str, str]:
    """Read which conflicts the page had shown, each with its digest; what no page has sent names none."""
    try:
        posted = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    pairs = list(posted.items())[:MAX_CONFLICTS] if isinstance(posted, dict) else []
    return {key: str(shown) for key, shown in pairs if parse_uuid(key)}
