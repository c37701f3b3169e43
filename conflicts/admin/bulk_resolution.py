"""One side, or one act on whole records, for many conflicts: a page that says what it does, then each by `resolve`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conflicts.admin.case_screen import URL_NAME, check_permission, screen_url
from conflicts.case import parse_uuid
from conflicts.lifecycle import act_option, effect_of, side_option
from conflicts.models import BEING_APPLIED, MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.reports import RECORD_KEY, Option, OptionAct
from conflicts.resolution import SIDE_OF_TYPE, InvalidResolution, Selections, current_values, deletion_problem, resolve
from sync.admin.admin_base import see_other
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, run_action
from sync.kernel.acts import ACTS
from sync.kernel.humanize import count_with_noun
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.records.tombstones import deleted_record_names
from sync.registry import count_of_type, record_names, type_name

MAX_CONFLICTS = 200
"""Conflicts that are resolved at once, so that the page answers within some seconds: each takes about 50 ms."""

MAX_NAMED = 20
"""Records that one line of the summary names."""

SELECTION = "conflicts_selected"
"""Under this name the session keeps what was selected, until the page that asks about it has been shown."""

CHOICES = (*SIDE_OF_TYPE, *(act.value for act in OptionAct))
"""What can be chosen for many: a side, or an act on records and items as a whole."""

CHANGED = "It changed after you were shown it. Look at it again."
NOT_OFFERED = "This option is not possible there. Open it to see which are."

_VALUE_HEADS = ("Record", "Field", "Overwritten", "New value")
_RECORD_HEADS = ("Record", "What happened", "What is done")


@dataclass(frozen=True)
class EffectKind:
    """One sort of what is done, with the table that lists it."""

    singular: str
    plural: str
    heads: tuple[str, ...] = _RECORD_HEADS
    takes_away: bool = False

    def counted(self, number: int) -> str:
        return count_with_noun(number, self.singular, self.plural)


EFFECTS = {
    OptionAct.DELETE_RECORD: EffectKind("record is deleted in NPD", "records are deleted in NPD", takes_away=True),
    OptionAct.DELETE_ITEM: EffectKind("item is deleted on Monday", "items are deleted on Monday", takes_away=True),
    OptionAct.ARCHIVE_ITEM: EffectKind("item is archived on Monday", "items are archived on Monday", takes_away=True),
    "npd_emptied": EffectKind("value in NPD is emptied", "values in NPD are emptied", _VALUE_HEADS, takes_away=True),
    "monday_emptied": EffectKind(
        "column value on Monday is emptied", "column values on Monday are emptied", _VALUE_HEADS, takes_away=True
    ),
    OptionAct.CREATE_ITEM: EffectKind("item is created again on Monday", "items are created again on Monday"),
    OptionAct.RESTORE_RECORD: EffectKind("record is restored in NPD", "records are restored in NPD"),
    OptionAct.UNLINK: EffectKind("record or item is unlinked", "records or items are unlinked"),
    NPD: EffectKind("value in NPD is overwritten", "values in NPD are overwritten", _VALUE_HEADS),
    MONDAY: EffectKind(
        "column value on Monday is overwritten", "column values on Monday are overwritten", _VALUE_HEADS
    ),
}
"""What a choice may do, the gravest first."""


@dataclass
class BulkPlan:
    """What a choice would do: a table's rows for each kind of effect, what is left out and why, and what was shown."""

    choice: str
    effects: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    left_out: list[tuple[object, ...]] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    seen: dict[str, str] = field(default_factory=dict)  # of each conflict that would be resolved a digest, by its id

    @classmethod
    def of(cls, conflicts: Iterable[SyncConflict], choice: str, *, by: User) -> BulkPlan:
        rows = list(conflicts)
        names = names_of(rows)
        plan = cls(choice)
        for conflict in rows:
            name = format_html('<a class="npd-link" href="{}">{}</a>', screen_url(conflict.pk), names[conflict.pk])
            option = option_for(conflict, choice)
            if problem := bulk_problem(conflict, choice, option, by=by):
                plan.left_out.append((name, problem))
                continue
            plan.seen[str(conflict.pk)] = digest(conflict)
            plan.types.add(conflict.entity_type)
            if option is not None:
                plan._add(OptionAct(option.does), (name, conflict.what, f"{option.label}: {option.effect}"))
            else:
                plan._add_values(conflict, name)
        return plan

    def _add(self, kind: str, row: tuple[object, ...]) -> None:
        self.effects.setdefault(kind, []).append(row)

    def _add_values(self, conflict: SyncConflict, name: SafeString) -> None:
        for key in conflict.conflict_fields:
            sides = conflict.sides(key)
            effect = effect_of(SIDE_OF_TYPE[self.choice], **sides, base=None, value=None, kind=conflict.kind)
            for side, changes in ((NPD, effect.npd_changes), (MONDAY, effect.monday_changes)):
                if changes:
                    # Of an overwritten edit both sides have NPD's value now.
                    old = sides[NPD] if conflict.kind == ConflictKind.OVERWRITTEN else sides[side]
                    row = (name, conflict.label(key), old or "(empty)", effect.value or "(empty)")
                    self._add(side if effect.value else f"{side}_emptied", row)

    @property
    def title(self) -> str:
        number = len(self.seen)
        if self.choice in SIDE_OF_TYPE:
            return ACTS[self.choice].title(number=count_with_noun(number, "conflict"))
        entity_type = next(iter(self.types)) if len(self.types) == 1 else ""
        records = count_of_type(number, entity_type)
        return ACTS[self.choice].title(records=records, items=count_with_noun(number, "item"))

    def question(self, total: int) -> Question:
        """Ask, with the number of each kind of effect and its first records; `total` is how many were selected."""
        counted = {kind: EFFECTS[kind].counted(len(rows)) for kind, rows in self.effects.items()}
        kinds = [kind for kind in EFFECTS if kind in self.effects]
        taken = [counted[kind] for kind in kinds if EFFECTS[kind].takes_away]
        effects = [f"{counted[kind][0].upper()}{counted[kind][1:]}." for kind in kinds]
        if total > MAX_CONFLICTS:
            effects.insert(0, f"{total:,} are selected. At most {MAX_CONFLICTS} are resolved at once: these are the "
                              "ones that wait longest. Repeat it for the rest.")  # fmt: skip
        if self.seen:
            effects.append("What changes before you press the button is left as it is, and named afterwards.")
            effects += [ACTS[kind].way_back for kind in kinds if kind in ACTS]
            if any(kind not in ACTS for kind in kinds):
                effects.append("The values of each conflict can be put back by Undo on its own page.")
        else:
            effects.append("None of them can be resolved this way.")
        tables = [
            RecordTable(
                EFFECTS[kind].heads, self.effects[kind][:MAX_ROWS_SHOWN], len(self.effects[kind]), counted[kind]
            )
            for kind in kinds
        ]
        if self.left_out:
            heading = f"{count_with_noun(len(self.left_out), 'conflict')} left out"
            rows = self.left_out[:MAX_ROWS_SHOWN]
            tables.append(RecordTable(("Record", "Why"), rows, len(self.left_out), heading))
        # A button never speaks of values alone where something is deleted or emptied, too.
        button = self.title if self.choice not in SIDE_OF_TYPE else "; ".join([self.title, *taken])
        return Question(
            f"{self.title}?",
            effects,
            button if self.seen else "",
            tables,
            [("seen", json.dumps(self.seen))],
            deletes=bool(taken),
        )


def option_for(conflict: SyncConflict, choice: str) -> Option | None:
    """Return the option of a deleted record or item that a choice means; None where it has none, or is about values."""
    side = SIDE_OF_TYPE.get(choice)
    return side_option(conflict, side) if side else act_option(conflict, choice)


def bulk_problem(conflict: SyncConflict, choice: str, option: Option | None, *, by: User) -> str:
    """Return why this can't be chosen for a conflict; empty where it can."""
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


def names_of(conflicts: Iterable[SyncConflict]) -> dict[UUID, str]:
    """Return the names of conflicts' records by the conflicts' ids, of a deleted record its last one."""
    keys = {conflict.pk: (conflict.entity_type, conflict.entity_id) for conflict in conflicts}
    names = record_names(keys.values())
    names |= deleted_record_names(set(keys.values()) - set(names), said="")
    return {pk: names.get(key, f"a {type_name(key[0])} that was deleted") for pk, key in keys.items()}


def resolve_all(seen: Mapping[str, str], choice: str, *, by: User) -> Report:
    """Resolve each of these that is as it was shown, in a transaction of its own; say how many, and why not others."""
    conflicts = list(SyncConflict.objects.filter(pk__in=seen).order_by("detected_at", "id"))
    names = names_of(conflicts)
    resolved = 0
    left: dict[str, list[str]] = {}
    for conflict in conflicts:
        try:
            if digest(conflict) != seen[str(conflict.pk)]:
                raise InvalidResolution(CHANGED)
            resolution_type, selections = _resolution(conflict, choice)
            resolve(
                conflict.pk,
                by=by,
                resolution_type=resolution_type,
                selections=selections,
                seen=current_values(conflict),
            )
            resolved += 1
        except ActionError as error:
            left.setdefault(str(error), []).append(names[conflict.pk])
    done = f"{count_with_noun(resolved, 'conflict')} resolved. That is written within seconds." if resolved else ""
    return Report(done, [f"Not resolved: {_named(some)}. {reason}" for reason, some in left.items()])


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MAX_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(names[:MAX_NAMED]) + more


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
            return BulkPlan.of(conflicts, choice, by=by).question(selection["total"])

        def run() -> Report:
            request.session.pop(SELECTION, None)
            return resolve_all(shown_conflicts(request.POST.get("seen", "")), choice, by=by)

        back_url = selection["back"] or reverse(f"{URL_NAME}_changelist")
        return run_action(self, request, run, back_url=back_url, question=question, atomic=False)


def shown_conflicts(text: str) -> dict[str, str]:
    """Read which conflicts the page had shown, each with its digest; what no page has sent names none."""
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    pairs = list(sent.items())[:MAX_CONFLICTS] if isinstance(sent, dict) else []
    return {key: str(shown) for key, shown in pairs if parse_uuid(key)}
