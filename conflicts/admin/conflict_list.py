"""The lists of conflicts: the admin's with its columns, filters and actions, and what the inbox offers for theirs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from conflicts.admin.bulk_resolution import BulkResolutionMixin, bulk_url
from conflicts.admin.case_screen import CaseMixin, all_mappings, marked_excerpt, parse_seen, screen_url
from conflicts.case import (
    APPLYING,
    HANDED_BACK,
    OPEN,
    PARTLY,
    SETTLED,
    STATE_LABELS,
    UNDOING,
    Case,
    listed_case,
    value_field,
)
from conflicts.lifecycle import Sides
from conflicts.messages import (
    ACT_EFFECTS,
    ACT_LABELS,
    BULK_TITLES,
    DELETION_LEADS,
    KEEP_CURRENT,
    LOST_OUTCOMES,
    LOST_SIDES,
    RESTORE_LOST,
)
from conflicts.models import (
    BASE,
    BEING_APPLIED,
    CUSTOM,
    MONDAY,
    NPD,
    OPEN_FIRST,
    UNDO,
    ConflictKind,
    ResolutionType,
    SyncConflict,
    counts,
    default_label,
    open_by_field,
)
from conflicts.rejections import DECISION_KIND, answer_rejection, rejection_cases, undo_answer
from conflicts.resolution import SIDE_OF_TYPE, may_delete, may_type, resolve, undo
from conflicts.text_diff import excerpts
from sync import registry
from sync.admin import admin_base
from sync.admin.admin_base import DeletedName, PageAdmin, names_of_rows, record_ids_by_name
from sync.admin.inbox_offers import ActionResult, GroupLead, InboxAction, register_action, register_lead
from sync.admin.list_exports import ExportColumn, ExportMixin
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.kernel.conflict_store import DELETING_ACTS, KIND_FIELDS, KIND_LOST_UPDATE, KIND_REPLACED, OptionAct
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.operations.attention import AttentionCause, AttentionEntry, AttentionKind, SideValues, register_values
from sync.registry import type_name

Choices = Iterable[tuple[str, str]]

PEOPLE = 100
"""People that a filter lists."""


NOTHING = Q(pk__in=[])


class ConditionFilter(admin.SimpleListFilter):
    """A filter of which each value is a condition on conflicts; without one all are shown."""

    def condition(self, value: str) -> Q:
        """Return the condition; Q() where an address names a value that there is none of."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncConflict]) -> QuerySet[SyncConflict]:
        value = self.value()
        return queryset.filter(self.condition(value)) if value else queryset


ALL = "all"
"""The value of the state's filter that lets everything through."""


def default_state(request: HttpRequest) -> str:
    """The state that is listed where the address names none: who asks what somebody has resolved doesn't mean open."""
    return ALL if request.GET.get(WhoFilter.parameter_name) else OPEN


def _asks_for_removed(request: HttpRequest) -> bool:
    """Whether the address asks for a kind or a record: else what was removed, which the inbox has, isn't listed."""
    return any(name == SEARCH_VAR or name.startswith("kind") for name in request.GET)


class StateFilter(ConditionFilter):
    """Open, being applied, resolved; the open ones where the address says nothing."""

    title = "state"
    parameter_name = "state"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        self.default = default_state(request)
        self.has_removed = _asks_for_removed(request)

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        states = [one for one in STATE_LABELS.items() if one[0] != PARTLY]
        return [(ALL, "All"), *((state, capfirst(label)) for state, label in states)]

    def value(self) -> str | None:
        return super().value() or self.default

    def choices(self, changelist: Any) -> Any:
        """All states to choose from, without the choice of none."""
        return [one for number, one in enumerate(super().choices(changelist)) if number]

    def condition(self, value: str) -> Q:
        conditions = {
            OPEN: Q(resolved_at=None) & (Q() if self.has_removed else ~Q(kind=ConflictKind.DELETE)),
            APPLYING: BEING_APPLIED,
            HANDED_BACK: Q(resolved_at=None) & ~BEING_APPLIED & ~Q(resolution_problem=""),
            SETTLED: Q(resolved_at__isnull=False),
            UNDOING: Q(resolution__resolution_type=UNDO),
        }
        return conditions.get(value, Q())


class EntityFilter(ConditionFilter):
    """Contacts, organizations, whatever else is synced: each has a board of its own."""

    title = "board"
    parameter_name = "entity_type"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return [(spec.entity_type, spec.board_title) for spec in registry.entities()]

    def condition(self, value: str) -> Q:
        return Q(entity_type=value)


class FieldFilter(ConditionFilter):
    """The fields in conflict."""

    title = "field"
    parameter_name = "field"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        named = {m.key: m.label for spec in registry.entities() for m in spec.mappings}
        stored = {mapping.key: mapping.label for mapping in all_mappings(request)}
        return sorted({**named, **stored}.items(), key=lambda choice: choice[1])

    def condition(self, value: str) -> Q:
        return Q(conflict_fields__contains=[value])


class AgeFilter(ConditionFilter):
    """How long ago a conflict was found."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        return (
            ("day", "Up to a day"),
            ("week", "Up to a week"),
            ("older", "More than a week"),
            ("month", "More than 30 days"),
        )

    def condition(self, value: str) -> Q:
        conditions = {
            "day": Q(detected_at__gte=SyncNow() - timedelta(days=1)),
            "week": Q(detected_at__gte=SyncNow() - timedelta(days=7)),
            "older": Q(detected_at__lt=SyncNow() - timedelta(days=7)),
            "month": Q(detected_at__lt=SyncNow() - timedelta(days=30)),
        }
        return conditions.get(value, Q())


class WhoFilter(ConditionFilter):
    """Who chose the resolution: of resolved conflicts, and of those being applied."""

    title = "resolved by"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Choices:
        people = get_user_model().objects.filter(is_staff=True).order_by("username")
        return [(str(one.pk), one.get_full_name() or one.get_username()) for one in people[:PEOPLE]]

    def condition(self, value: str) -> Q:
        if not value.isdecimal():
            return NOTHING
        return Q(resolved_by_id=int(value[:9])) | Q(resolution__by_id=int(value[:9]))


COUNTED_FIELDS = 12
"""Fields that the list counts the open conflicts of; the others are found by the filter."""

WHAT_CHARACTERS = 80
"""Characters of the sentence that says in the list what a conflict about a record is."""

BADGES = {
    OPEN: ("warn", "call_split"),
    APPLYING: ("go", "sync"),
    HANDED_BACK: ("bad", "undo"),
    PARTLY: ("warn", "rule"),
    SETTLED: ("ok", "check_circle"),
    UNDOING: ("go", "undo"),
}


@admin.register(SyncConflict)
class SyncConflictAdmin(BulkResolutionMixin, CaseMixin, ExportMixin, PageAdmin):
    """Conflicts are opened and closed by passes; people resolve them on their screen."""

    list_display = ("of_record", "in_conflict", "npd_says", "monday_says", "since")
    list_display_links = None
    list_filter = (StateFilter, EntityFilter, "kind", FieldFilter, AgeFilter, WhoFilter)
    list_filter_submit = False
    list_fullwidth = True
    search_fields = ("monday_item_id",)
    search_help_text = "A record's name, or the number of its item on Monday"
    actions = ("keep_npd", "keep_monday")
    ordering = OPEN_FIRST
    change_list_template = "conflicts/list.html"
    empty_title = "No conflicts here"
    empty_words = (
        "When two people change the same field differently, one in NPD and one on Monday, it is listed here. "
        "Nothing is overwritten meanwhile."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Conflicts are found by passes, never made by hand.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SyncConflict | None = None) -> bool:
        # They are resolved, never deleted.
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncConflict]:
        rows: QuerySet[SyncConflict] = super().get_queryset(request).annotate(page_now=SyncNow())
        return rows

    def prepare_page(self, rows: list[Any]) -> None:
        """Fetch the names of the page's records, with one query per type."""
        super().prepare_page(rows)
        names = names_of_rows(rows)
        for row in rows:
            name = names.get((row.entity_type, row.entity_id), f"{type_name(row.entity_type)}, deleted")
            is_there = (row.entity_type, row.entity_id) in names and not isinstance(name, DeletedName)
            row.page_case = listed_case(row, name, removed_side=MONDAY if is_there else NPD)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SyncConflict], search_term: str
    ) -> tuple[QuerySet[SyncConflict], bool]:
        """Search by the records' names, or by an item's exact number."""
        text = search_term.strip()
        if not text:
            return queryset, False
        return queryset.filter(Q(monday_item_id=text) | Q(entity_id__in=record_ids_by_name(text))), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show above the list how many conflicts there are, by state and by field."""
        numbers = counts()
        context = {
            "counts": {**numbers, "open": numbers["open"] - numbers["removed"]},
            "by_field": [
                (entity_type, key, default_label(entity_type, key), number)
                for entity_type, key, number in open_by_field()[:COUNTED_FIELDS]
            ],
            "shows_removed": request.GET.get("kind__exact") == ConflictKind.DELETE,
            "state": request.GET.get(StateFilter.parameter_name) or default_state(request),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Go to the side-by-side screen, which takes the place of a form."""
        conflict = self.get_object(request, object_id)
        if conflict is None:
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return redirect
        return HttpResponseRedirect(screen_url(conflict.pk))

    @admin.display(description="Record")
    def of_record(self, conflict: Any) -> SafeString:
        return format_html(
            '<a class="cfl-name" href="{}">{}</a><span class="cfl-sub">{}</span>',
            screen_url(conflict.pk),
            conflict.page_case.name,
            type_name(conflict.entity_type),
        )

    def export_columns(self) -> list[ExportColumn]:
        """Both sides of each conflict with the last synced value, and how it was resolved."""
        return [
            ("Record", lambda row: row.page_case.name),
            ("Type", lambda row: registry.type_label(row.entity_type)),
            ("Kind", lambda row: row.kind_label),
            ("In conflict", lambda row: row.labels(row.conflict_fields)),
            ("NPD", lambda row: _side_text(row.page_case, NPD)),
            ("Monday", lambda row: _side_text(row.page_case, MONDAY)),
            ("Last synced value", lambda row: _side_text(row.page_case, BASE)),
            ("Found (UTC)", lambda row: row.detected_at),
            ("State", lambda row: capfirst(str(STATE_LABELS[row.page_case.progress.state]))),
            ("Resolution", lambda row: row.get_resolution_type_display() or ""),
            ("Resolved (UTC)", lambda row: row.resolved_at),
            ("Resolved by", lambda row: str(row.resolved_by or "")),
            ("Item on Monday", lambda row: row.monday_item_id),
            ("NPD ID", lambda row: row.entity_id),
        ]

    export_related = ("resolved_by",)

    @admin.display(description="In conflict")
    def in_conflict(self, conflict: SyncConflict) -> SafeString | str:
        """The fields, and the kind of a conflict that is not about fields that differ."""
        labels = conflict.labels(conflict.conflict_fields)
        if conflict.kind == ConflictKind.FIELDS:
            return labels
        about = humanize.shorten(conflict.what, WHAT_CHARACTERS) or labels
        return format_html('{}<span class="cfl-sub">{}</span>', conflict.kind_label, about)

    @admin.display(description="NPD")
    def npd_says(self, conflict: Any) -> SafeString | str:
        return _first_value(conflict.page_case, NPD)

    @admin.display(description="Monday")
    def monday_says(self, conflict: Any) -> SafeString | str:
        return _first_value(conflict.page_case, MONDAY)

    @admin.display(description="Found", ordering="detected_at")
    def since(self, conflict: Any) -> SafeString:
        """Whether it is being applied or resolved, which the list's tab doesn't say, and how long ago it was found."""
        state = conflict.page_case.progress.state
        label = capfirst(str(STATE_LABELS[state]))
        badge = admin_base.badge(*BADGES[state], label, title=conflict.resolution_problem)
        found = admin_base.time_tag(conflict.detected_at, conflict.page_now)
        quiet = mark_safe(" hidden") if state == OPEN else ""
        return format_html('<span data-state{}>{}</span><span class="cfl-sub">{}</span>', quiet, badge, found)


def _side_text(case: Case, side: str) -> str:
    """One side's values, or the base, of the fields in conflict, each with its label where there are several."""
    values = [(one.label, getattr(one, side) or "") for one in case.fields]
    if len(values) == 1:
        return str(values[0][1])
    return "; ".join(f"{label}: {value}" for label, value in values)


def _first_value(case: Case, side: str) -> SafeString | str:
    """The first field's value around what differs, and how many more there are; of a delete, the deleted side."""
    if case.removed_side == side:
        return "removed"
    if not case.fields:
        return humanize.DASH
    first, more = case.fields[0], len(case.fields) - 1
    marked = marked_excerpt(first, side)
    value = getattr(first, side) or ""
    shown = format_html('<span class="cfl-value" dir="auto" title="{}">{}</span>', value, marked)
    if not more:
        return shown
    return format_html('{}<span class="cfl-sub">and {} more</span>', shown, intcomma(more))


# What the inbox offers for conflicts and rejected values: one side for the values that its rows show, and the undo.


LOST_KINDS = (KIND_LOST_UPDATE, KIND_REPLACED)
VALUE_KINDS = (KIND_FIELDS, *LOST_KINDS)


def rejected_sides(
    entries: Sequence[AttentionEntry], mappings: Sequence[FieldMapping]
) -> dict[str, Sequence[SideValues]]:
    """Return what each side has of rejected values, by key; a few queries for each type of record."""
    fields = {(entry.entity_type, entry.entity_id, entry.field): entry.key for entry in entries if entry.entity_id}
    return {
        fields[field_ref]: [_with_excerpts(SideValues(case.key, case.field.label, case.sides[NPD], case.sides[MONDAY]))]
        for field_ref, case in rejection_cases(fields, mappings).items()
    }


def conflict_sides(
    entries: Sequence[AttentionEntry], mappings: Sequence[FieldMapping]
) -> dict[str, Sequence[SideValues]]:
    """Return what each side has of conflicts, by key, with what differs; nothing is asked of the database."""
    names = {one.key: LOST_SIDES.get(one.cause_code, ("NPD", "Monday")) for one in entries}
    return {one.key: [replace(_with_excerpts(value), names=names[one.key]) for value in one.values] for one in entries}


def _with_excerpts(value: SideValues) -> SideValues:
    pieces = excerpts(value.npd, value.monday)
    return replace(value, excerpts=[[(part.text, part.marked) for part in side] for side in pieces])


def _seen_sides(shown: Any, key: str) -> Sides:
    """The values that a row showed of a field; what was tampered with equals nothing stored, so the act is outdated."""
    return parse_seen(json.dumps(shown.get(key)) if isinstance(shown, dict) else "")


def _use(
    resolution_type: ResolutionType, request: HttpRequest, entries: Sequence[AttentionEntry], seen: Mapping[str, Any]
) -> ActionResult:
    """Store one side, or both in one, for these entries, each for the values that its row showed."""
    by, problems, undos = cast("User", request.user), [], []
    done: dict[str, list[AttentionEntry]] = {}
    for entry in entries:
        shown = seen.get(entry.key)
        try:
            if entry.kind is AttentionKind.CONFLICT:
                sides = {value.key: _seen_sides(shown, value.key) for value in entry.values}
                both = _both_of(entry) if resolution_type == ResolutionType.MERGE else {}
                chosen = {key: FieldSelection(CUSTOM, text) for key, text in both.items()}
                resolve(entry.row_id, by=by, resolution_type=resolution_type, selections=chosen, seen=sides)
                undos.append(f"conflict {entry.row_id}")
            elif entry.entity_id:
                answer = answer_rejection(
                    (entry.entity_type, entry.entity_id, entry.field), by=by, choose=SIDE_OF_TYPE[resolution_type],
                    value="", seen=_seen_sides(shown, entry.field),
                )  # fmt: skip
                undos.append(f"answer {answer.pk}")
        except ActionError as error:
            problems.append(f"{entry.name}: {error}")
        else:
            done.setdefault(_outcome(resolution_type, entry), []).append(entry)
    sentence = " ".join(f"{_named(some)}: {outcome}." for outcome, some in done.items())
    return ActionResult(sum(map(len, done.values())), sentence, problems, undos)


def _outcome(resolution_type: ResolutionType, entry: AttentionEntry) -> str:
    """What has been chosen for an entry, as the sentence about it ends."""
    if resolution_type == ResolutionType.MERGE:
        return "both values are used"
    is_npd = SIDE_OF_TYPE[resolution_type] == NPD
    if emptied := _emptied(resolution_type, entry):
        return f"{', '.join(value.label for value in emptied)} emptied {_EMPTIED_SIDE[resolution_type]}"
    if entry.cause_code in LOST_OUTCOMES:
        return LOST_OUTCOMES[entry.cause_code][not is_npd]
    if is_npd and entry.kind is AttentionKind.REJECTED:
        return "kept different on both sides"
    return f"{'NPD' if is_npd else 'Monday'}'s value is used"


_EMPTIED_SIDE = {ResolutionType.KEEP_NPD: "on Monday", ResolutionType.KEEP_MONDAY: "in NPD"}


def _emptied(resolution_type: ResolutionType, entry: AttentionEntry) -> Sequence[SideValues]:
    is_npd = SIDE_OF_TYPE[resolution_type] == NPD
    if is_npd and (entry.kind is AttentionKind.REJECTED or entry.cause_code in LOST_KINDS):
        return ()  # keeps both sides as they are
    return [one for one in entry.values if (one.monday and not one.npd if is_npd else one.npd and not one.monday)]


def _named(entries: Sequence[AttentionEntry]) -> str:
    return entries[0].name if len(entries) == 1 else humanize.count_with_noun(len(entries), "entry", "entries")


def _both_of(entry: AttentionEntry) -> dict[str, str]:
    """Both sides in one, where each field in conflict is a long text; else nothing."""
    if not _has_values(entry) or entry.kind is not AttentionKind.CONFLICT:
        return {}
    fields = [value_field(entry.entity_type, one.key, npd=one.npd, monday=one.monday) for one in entry.values]
    found = {one.key: one.both for one in fields if one.both}
    return found if len(found) == len(entry.values) else {}


def _undo(request: HttpRequest, tokens: Sequence[str]) -> ActionResult:
    """Take back what `_use` stored, each by itself."""
    by, done, problems = cast("User", request.user), 0, []
    for token in tokens:
        what, _, key = token.partition(" ")
        try:
            if what == "conflict":
                undo(key, by=by)
            else:
                undo_answer(Decision.objects.get(pk=key, kind=DECISION_KIND), by=by)
            done += 1
        except (ActionError, SyncConflict.DoesNotExist, Decision.DoesNotExist) as error:
            problems.append(f"Not undone: {error}")
    return ActionResult(
        done,
        f"Undone: {humanize.count_with_noun(done, 'entry', 'entries')} will be open again in some seconds.",
        problems,
    )


def _prepare(resolution_type: str, request: HttpRequest, entries: Sequence[AttentionEntry], back_url: str) -> str:
    """Select the conflicts among these for the page that says what the choice does, and asks."""
    keys = [entry.row_id for entry in entries if entry.kind is AttentionKind.CONFLICT]
    if rest := len(entries) - len(keys):
        noun = humanize.count_with_noun(rest, "rejected value is", "rejected values are")
        messages.warning(request, f"{noun} left alone: choose for them under “Rejected by Monday”.")
    return bulk_url(request, SyncConflict.objects.filter(pk__in=keys), resolution_type, back_url=back_url)


def _has_values(entry: AttentionEntry) -> bool:
    return bool(entry.values) and (entry.kind is AttentionKind.REJECTED or entry.cause_code in VALUE_KINDS)


def _offers(act: OptionAct, entry: AttentionEntry) -> bool:
    return act.value in entry.acts


def _may(user: Any) -> bool:
    return bool(user.has_perm("conflicts.change_syncconflict"))


def _may_act(act: OptionAct, user: Any, entry: AttentionEntry) -> bool:
    return _may(user) and (act not in DELETING_ACTS or may_delete(user, entry.entity_type))


def _may_use(resolution_type: ResolutionType, user: Any, entry: AttentionEntry) -> bool:
    """Whether this person may choose this side: to empty a rejected value is a change of the record."""
    empties = entry.kind is AttentionKind.REJECTED and _emptied(resolution_type, entry)
    return _may(user) and (not empties or may_type(user, entry.entity_type))


def _leads(causes: Sequence[AttentionCause], _now: datetime, _user: Any) -> dict[str, GroupLead]:
    return {one.cause: GroupLead(DELETION_LEADS[one.code]) for one in causes if one.code in DELETION_LEADS}


register_lead(AttentionKind.CONFLICT, _leads)
register_values(AttentionKind.REJECTED, rejected_sides)
register_values(AttentionKind.CONFLICT, conflict_sides)
BOTH_KINDS = frozenset({AttentionKind.CONFLICT, AttentionKind.REJECTED})
_KEEP_LABELS: dict[str, str] = {AttentionKind.REJECTED: "Keep different", **dict.fromkeys(LOST_KINDS, KEEP_CURRENT)}
_KEEP_EFFECTS: dict[str, str] = {
    **dict.fromkeys(LOST_KINDS, "Both sides stay as they are."),
    AttentionKind.CONFLICT: "Writes NPD's value to Monday. Monday's value is overwritten.",
    AttentionKind.REJECTED: "Leaves the field different on both sides. It is not sent until somebody changes it.",
}
_USE_EFFECTS: dict[str, str] = {
    **dict.fromkeys(LOST_KINDS, "Writes it to both sides, over the current value."),
    **dict.fromkeys(BOTH_KINDS, "Writes Monday's value into NPD. NPD's value is overwritten."),
}
for _type, _label, _shortcut, _labels, _effects in (
    (ResolutionType.KEEP_NPD, "Use NPD", "1", _KEEP_LABELS, _KEEP_EFFECTS),
    (ResolutionType.KEEP_MONDAY, "Use Monday", "3", RESTORE_LOST, _USE_EFFECTS),
):
    register_action(
        InboxAction(
            str(_type.value),
            _label,
            BOTH_KINDS,
            partial(_use, _type),
            shortcut=_shortcut,
            many=f"{_label} in all {{number}}…",
            labels=_labels,
            effects=_effects,
            undo=_undo,
            may=partial(_may_use, _type),
            fits=_has_values,
            empties=partial(_emptied, _type),
            emptied_side=_EMPTIED_SIDE[_type],
            page=partial(_prepare, str(_type.value)),
        )
    )
for _act in OptionAct:
    register_action(
        InboxAction(
            _act.value,
            f"{ACT_LABELS[_act]}…",
            frozenset({AttentionKind.CONFLICT}),
            run=None,
            effects={AttentionKind.CONFLICT: ACT_EFFECTS[_act]},
            may=partial(_may_act, _act),
            many=f"{BULK_TITLES[_act] % {'items': '{items}', 'records': '{records}'}}…",
            fits=partial(_offers, _act),
            deletes=_act in DELETING_ACTS,
            page=partial(_prepare, _act.value),
        )
    )
register_action(
    InboxAction(
        "both",
        "Use both",
        frozenset({AttentionKind.CONFLICT}),
        partial(_use, ResolutionType.MERGE),
        shortcut="b",
        effects={AttentionKind.CONFLICT: "Writes one text to both sides: what they share, once, and both additions."},
        undo=_undo,
        may=lambda user, entry: _may(user) and may_type(user, entry.entity_type),
        fits=lambda entry: bool(_both_of(entry)),
    )
)
