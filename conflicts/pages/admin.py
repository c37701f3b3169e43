"""The admin of conflicts: their list, the addresses of their pages, and the acts on conflicts and rejected values.

The acts use one side or choose an option, for several at once, and are undone together. Home offers all of them; the
list of conflicts only “keep_npd” and “keep_monday”.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter

from conflicts import reports
from conflicts.models import BEING_APPLIED, CUSTOM, MONDAY, NPD, OPEN_FIRST, Effect, ResolutionType, Sides, SyncConflict
from conflicts.pages import case, case_screen, rejections, resolution
from sync import attention
from sync.admin import admin_base, confirmed_action, home_acts
from sync.admin.confirmed_action import Question, Report
from sync.attention import Entry, Kind
from sync.boards.availability import wait_sentence
from sync.kernel import as_uuid, humanize
from sync.kernel.acts import ACTS, MAX_PER_REQUEST, Act, ActionError, answers_to
from sync.models import FieldMapping

LONGEST_VALUE = 80

# The states of the list, which `case.state_of` divides further.
BADGES = {
    case.OPEN: ("warn", "call_split", "Open"),
    case.APPLYING: ("go", "sync", "Saving"),
    case.SETTLED: ("ok", "check_circle", "Resolved"),
}
CONDITIONS = {
    case.OPEN: models.Q(resolved_at=None) & ~BEING_APPLIED,
    case.APPLYING: BEING_APPLIED,
    case.SETTLED: models.Q(resolved_at__isnull=False),
}


class StateFilter(RadioFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, label) for state, (_colour, _icon, label) in BADGES.items()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(CONDITIONS.get(self.value() or "", models.Q()))


@admin.register(SyncConflict)
class SyncConflictAdmin(admin_base.RecordLinkMixin, admin_base.ReadOnlyAdmin):
    list_display = ("name", "fields_in_conflict", "npd", "monday", "state", "found_at")
    list_filter = (StateFilter, admin_base.EntityFilter, ("kind", ChoicesCheckboxFilter))
    search_fields = ("=monday_item_id",)
    search_help_text = "Name, item's number"
    ordering = OPEN_FIRST
    empty_title = "No conflicts"
    empty_words = "A field that two people change differently is listed here, and on Home, until somebody chooses."

    @admin.display(description="Record")
    def name(self, conflict: Any) -> SafeString:
        return _wrapped(self.record_name(conflict))

    fields_in_conflict = admin_base.plain_column(
        "In conflict", lambda conflict: conflict.labels(conflict.conflict_fields) or conflict.get_kind_display()
    )
    npd = admin_base.plain_column("NPD", lambda conflict: _first_value(conflict, NPD))
    monday = admin_base.plain_column("Monday", lambda conflict: _first_value(conflict, MONDAY))
    found_at = admin_base.time_column("detected_at", "Found")

    @admin.display(description="State")
    def state(self, conflict: Any) -> SafeString:
        state = case.SETTLED
        if conflict.is_open:
            state = case.APPLYING if conflict.is_being_applied else case.OPEN
        return humanize.badge(*BADGES[state])

    def acts(self, request: HttpRequest) -> list[Act]:
        return [ACTS["keep_npd"], ACTS["keep_monday"]] if self.has_change_permission(request) else []

    def act_on_rows(self, request: HttpRequest, rows: models.QuerySet[SyncConflict], act: Act) -> HttpResponse:
        """Use one side for the selected conflicts, after a question."""
        by = cast("User", request.user)
        list_url = request.get_full_path()

        def question() -> Question:
            hidden = confirmed_action.selection_fields(request, act.code)
            hidden += [("key", case_screen.attention_key(row)) for row in rows.only("kind")[:MAX_PER_REQUEST]]
            return question_about_conflicts(rows, act, by=by, hidden=hidden)

        def run() -> Report:
            report = resolve_all(shown_digests(request), act, by=by)
            return home_acts.keep_for_undo(request, Kind.CONFLICT, report, list_url)

        return confirmed_action.run_action(self, request, run, list_url, question)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """ReadOnlyAdmin denies this; the bulk actions need it."""
        return request.user.has_perm("conflicts.change_syncconflict")

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Redirect to the side-by-side screen, which replaces the form."""
        conflict = self.get_object(request, object_id)
        if conflict is not None:
            return redirect(f"{case_screen.screen_url(conflict.pk)}?{request.GET.urlencode()}".rstrip("?"))
        missing: HttpResponse = super().change_view(request, object_id, *args, **kwargs)
        return missing

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "conflicts_syncconflict"
        field = "rejected/<slug:entity_type>/<uuid:entity_id>/<slug:key>/"
        return [
            path("<uuid:pk>/screen/", view(case_screen.CaseView.as_view(model_admin=self)), name=f"{name}_screen"),
            path(field, view(case_screen.RejectionView.as_view(model_admin=self)), name=f"{name}_rejected_screen"),
            path("chosen/<str:key>/", view(self.choice_status), name=f"{name}_status"),
            path("chosen/<str:key>/undo/", view(require_POST(self.choice_undo)), name=f"{name}_undo"),
            *super().get_urls(),
        ]

    def choice_status(self, request: HttpRequest, key: str) -> HttpResponse:
        """Render a choice's strip, which htmx polls until it is final; then the page of the same case is reloaded."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        strip = _strip_or_404(key)
        reloads = "reload" in request.GET
        context = {"strip": strip, "reloads": reloads, "case": {"may_change": self.has_change_permission(request)}}
        answer = render(request, "conflicts/strip.html", context)
        answer.headers["Cache-Control"] = "no-store"
        if reloads and strip["progress"].is_final:
            answer.headers["HX-Refresh"] = "true"
        return answer

    def choice_undo(self, request: HttpRequest, key: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        strip = _strip_or_404(key)
        try:
            case_screen.undo_choice(key, by=cast("User", request.user))
        except (ActionError, ObjectDoesNotExist) as error:
            messages.error(request, f"Nothing was undone. {error}")
        return redirect(strip["url"])


def _strip_or_404(key: str) -> dict[str, Any]:
    strip = case_screen.strip_of(key)
    if strip is None:
        raise Http404("There is no such choice.")
    return strip


def _first_value(conflict: SyncConflict, side: str) -> SafeString | str:
    """Return the first field's value and the number of other fields."""
    if not conflict.conflict_fields:
        return humanize.DASH
    value = humanize.shorten(conflict.sides(conflict.conflict_fields[0])[side] or "(empty)", LONGEST_VALUE)
    more = len(conflict.conflict_fields) - 1
    return _wrapped(f"{value} and {more} more" if more else value)


def _wrapped(text: str) -> SafeString:
    """Let a long text wrap, so that the list fits its page."""
    return format_html('<span class="npd-list-value">{}</span>', text)


# The acts.

# An undo waits this long for a pass that is applying the choice, which normally takes under 0.5 s.
UNDO_WAIT_SECONDS = 2.0

# The resolution that is stored for each act that uses one side.
TYPE_OF_ACT = {
    "keep_npd": ResolutionType.KEEP_NPD,
    "leave_both": ResolutionType.KEEP_NPD,
    "keep_current": ResolutionType.KEEP_NPD,
    "keep_monday": ResolutionType.KEEP_MONDAY,
    "restore_edit": ResolutionType.KEEP_MONDAY,
}

USE_BOTH = "use_both"

# Whether it removes nothing (False, which removes something, sorts first), and its label.
BulkEffect = tuple[bool, str]


def question_about_conflicts(
    conflicts: models.QuerySet[SyncConflict], act: Act, *, by: User, hidden: Sequence[tuple[str, object]] = ()
) -> Question:
    """Return the question before an act on conflicts: what changes, by effect, and which conflicts are left out.

    Its form carries a digest of each conflict, so that only conflicts that are still as shown are resolved.
    """
    total = conflicts.count()
    # Undecided ones first, so that the others, which are listed as left out, take no place from them.
    is_undecided = models.ExpressionWrapper(CONDITIONS[case.OPEN], models.BooleanField())
    batch = list(conflicts.order_by(is_undecided.desc(), "detected_at", "id")[:MAX_PER_REQUEST])
    names = case.names_of(batch)
    effects: dict[BulkEffect, list[tuple[object, ...]]] = {}
    left_out: list[tuple[object, ...]] = []
    digests: dict[str, str] = {}
    ways_back: list[str] = []
    for conflict in batch:
        name = admin_base.link_to(case_screen.screen_url(conflict.pk), names[conflict.pk])
        option = conflict.act_option(act.code)
        if problem := _problem(conflict, act, option, by=by):
            left_out.append((name, problem))
            continue
        digests[str(conflict.pk)] = confirmed_action.digest_of_rows(resolution.current_values(conflict).items())
        if option is not None:
            option_act = ACTS[option.choose]
            cells = (name, "", conflict.question, f"{option.label}: {option.effect}")
            effects.setdefault((not option_act.deletes, option_act.many), []).append(cells)
            ways_back.append(option_act.way_back)
            continue
        for effect, values in _value_effects(conflict, act):
            effects.setdefault(effect, []).append((name, *values))
        ways_back.append("Undo on a conflict's own page puts its values back.")
    entity_type = attention.common_type(conflict for conflict in batch if str(conflict.pk) in digests)
    number = humanize.count_with_noun(len(digests), "conflict")
    title = attention.filled_label(act.many, len(digests), entity_type, number=number)
    button = title
    tables = []
    # What removes something comes first, and the button names it, too.
    for removes_nothing, label in sorted(effects):
        rows = effects[removes_nothing, label]
        number = humanize.count_with_noun(len(rows), "value")
        summary = attention.filled_label(label, len(rows), entity_type, number=number)
        table = confirmed_action.RecordTable(
            ("Record", "Field", "Now", "After"), rows[: confirmed_action.MAX_ROWS_SHOWN], len(rows), summary
        )
        tables.append(table.without_empty_columns())
        if not removes_nothing and summary != title:
            button = f"{button}; {humanize.within_sentence(summary)}"
    if left_out:
        heading = f"{humanize.count_with_noun(len(left_out), 'conflict')} left out"
        tables.append(confirmed_action.RecordTable(("Record", "Why"), left_out, len(left_out), heading))
    lines = []
    if total > MAX_PER_REQUEST:
        limit = f"At most {MAX_PER_REQUEST} are resolved at once: these are the ones that wait longest."
        lines.append(f"{total:,} are selected. {limit} Repeat it for the rest.")
    if digests:
        lines.append("What changes before you press the button is left alone and listed afterwards.")
        lines += dict.fromkeys(ways_back)
    else:
        lines.append("Nothing of it can be resolved this way.")
    fields = [*hidden, ("seen", json.dumps(digests))]
    deletes = not all(removes_nothing for removes_nothing, _label in effects)
    return Question(f"{title}?", lines, button if digests else "", tables, fields, deletes=deletes)


def _problem(conflict: SyncConflict, act: Act, option: reports.Option | None, *, by: User) -> str:
    """Return why an act isn't possible on a conflict; empty if it is."""
    if not conflict.is_open:
        return "It is resolved already."
    if conflict.is_being_applied:
        return f"{conflict.stored_resolution.by} has just resolved it. NPD Sync is saving that."
    if option is None and (conflict.is_about_record or act.code not in (*TYPE_OF_ACT, USE_BOTH)):
        return "This isn't possible for this conflict. Open it to see what is."
    return resolution.missing_right(by, conflict.entity_type, "delete") if option and option.deletes else ""


def _choice(act: Act, sides: Sides) -> reports.FieldSelection:
    """Return what an act chooses for a field with these values."""
    if act.code == USE_BOTH:
        return reports.FieldSelection(CUSTOM, humanize.both_texts(sides[NPD], sides[MONDAY]))
    return reports.FieldSelection(resolution.SIDE_OF_TYPE[TYPE_OF_ACT[act.code]])


def _value_effects(conflict: SyncConflict, act: Act) -> Iterator[tuple[BulkEffect, tuple[str, str, str]]]:
    """Yield the effect on each changed value, with its field, old value and new value."""
    for key in conflict.conflict_fields:
        sides = conflict.sides(key)
        choice = _choice(act, sides)
        effect = Effect.of(choice.choose, sides, choice.value, kind=conflict.kind)
        # After an overwritten edit both sides hold NPD's value.
        on_monday = sides[NPD] if conflict.kind == reports.ConflictKind.OVERWRITTEN else sides[MONDAY]
        changes = ((effect.npd_changes, "in NPD", sides[NPD]), (effect.monday_changes, "on Monday", on_monday))
        for is_changed, where, old in changes:
            if is_changed:
                verb = "Overwrite" if effect.value else "Empty"
                values = (conflict.label(key), old or "(empty)", effect.value or "(empty)")
                yield (bool(effect.value), f"{verb} {{number}} {where}"), values


def resolve_all(digests: Mapping[str, str], act: Act, *, by: User) -> Report:
    """Resolve each conflict that is still as it was shown, in a transaction of its own."""
    conflicts = list(SyncConflict.objects.filter(pk__in=digests).order_by("detected_at", "id"))
    names = case.names_of(conflicts)
    resolved = []
    names_by_problem: dict[str, list[str]] = {}
    for conflict in conflicts:
        values = resolution.current_values(conflict)
        option = conflict.act_option(act.code)
        selections = {reports.RECORD_KEY: reports.FieldSelection(option.choose, option.value or None)} if option else {}
        if act.code == USE_BOTH:
            selections = {key: _choice(act, sides) for key, sides in values.items()}
        try:
            if confirmed_action.digest_of_rows(values.items()) != digests[str(conflict.pk)]:
                raise resolution.InvalidResolution("It has changed since you saw it. Look at it again.")
            resolution.resolve(
                conflict.pk,
                by=by,
                resolution_type=TYPE_OF_ACT.get(act.code, ResolutionType.MERGE),
                selections=selections,
                seen=values,
            )
            resolved.append(conflict)
        except ActionError as error:
            names_by_problem.setdefault(str(error), []).append(names[conflict.pk])
    problems = [f"Not resolved: {humanize.join_first(failed)}. {why}" for why, failed in names_by_problem.items()]
    if not resolved:
        return Report(problems=problems)
    number = names[resolved[0].pk] if len(resolved) == 1 else humanize.count_with_noun(len(resolved), "conflict")
    sentence = attention.filled_label(
        act.done or f"{act.many}.", len(resolved), attention.common_type(resolved), number=number
    )
    then = wait_sentence(len(resolved), {conflict.entity_type for conflict in resolved})
    undo = [f"conflict:{conflict.pk}" for conflict in resolved if not conflict.is_about_record]
    return Report(f"{sentence} {then or 'It takes effect within seconds.'}", problems, undo)


def shown_digests(request: HttpRequest) -> dict[str, str]:
    """Return the digests of the conflicts that the question showed, by id, without malformed ones."""
    posted = admin_base.parse_json(request.POST.get("seen", ""))
    pairs = list(posted.items())[:MAX_PER_REQUEST] if isinstance(posted, dict) else []
    return {key: str(shown) for key, shown in pairs if as_uuid(key)}


def _rejected_sides(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> list[Entry]:
    """Return the entries of rejected values with the values of both sides."""
    by_field = {(entry.entity_type, entry.entity_id, entry.field): entry for entry in entries if entry.entity_id}
    loaded = {entry.key: replace(entry, values=()) for entry in entries}
    for rejection in rejections.rejections_of(by_field, mappings):
        entry = by_field[rejection.field_ref]
        if not rejection.entry:
            loaded[entry.key] = replace(
                entry, values=(), detail="It was changed since. The next sync tries the new value."
            )
        if not rejection.needs_answer:
            continue
        values = attention.SideValues(
            rejection.key, rejection.mapping.label, rejection.sides[NPD], rejection.sides[MONDAY]
        )
        acts = entry.acts
        if rejection.monday_problem:
            acts = tuple(act for act in acts if act.code != "keep_monday")
        loaded[entry.key] = replace(entry, values=(values,), acts=acts)
    return _fit_acts_to_values([*loaded.values()], mappings)


def _fit_acts_to_values(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> list[Entry]:
    """Return the entries with acts that use a side only if both are known, and that say where they empty the other."""
    worded = []
    for entry in entries:
        acts = [_fit_act_to_values(act, entry) for act in entry.acts if entry.values or act.code not in TYPE_OF_ACT]
        worded.append(replace(entry, acts=tuple(acts)))
    return worded


def _fit_act_to_values(act: Act, entry: Entry) -> Act:
    """Return an act that uses a side with a label such as “Empty Phone in NPD” if that removes a value."""
    if act.code not in TYPE_OF_ACT or act.code == "leave_both":
        return act
    side = resolution.SIDE_OF_TYPE[TYPE_OF_ACT[act.code]]
    # The code of an overwritten edit's entry is the conflict's kind.
    effects = {
        value.label: Effect.of(side, {NPD: value.npd, MONDAY: value.monday}, kind=entry.code) for value in entry.values
    }
    emptied = {label: effect.emptied_side for label, effect in effects.items() if effect.emptied_side}
    if not emptied:
        return act
    return replace(
        act,
        label=f"Empty {humanize.join_first(list(emptied))} {next(iter(emptied.values()))}",
        effect="Where the chosen side is empty, the other side's value is removed.",
        asks=True,
        deletes=True,
        # Emptying a rejected value's field in NPD changes the record.
        record_right="change" if entry.kind is Kind.REJECTED else act.record_right,
    )


def _question(request: HttpRequest, act: Act, entries: Sequence[Entry]) -> Question:
    conflicts = SyncConflict.objects.filter(pk__in=[entry.source for entry in entries])
    return question_about_conflicts(conflicts, act, by=cast("User", request.user))


def _sides_shown(shown: Mapping[str, Any], entry: Entry, field: str) -> Sides:
    """Return a field's values as the entry's row showed them."""
    values = shown.get(entry.key)
    return case_screen.sides_seen(values.get(field) if isinstance(values, dict) else None)


@home_acts.does(Kind.CONFLICT, *answers_to(reports.ConflictKind.DELETE), question=_question)
@home_acts.does(
    Kind.DUPLICATE, *(code for code in answers_to(reports.ConflictKind.IDENTITY) if ACTS[code].many), question=_question
)
def _choose_option(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    """Choose an option of conflicts about whole records. It has no undo, because `resolve_all` offers none."""
    # The act always asks, and the form of its question has the conflicts as it showed them.
    return resolve_all(shown_digests(request), act, by=cast("User", request.user))


@home_acts.does(Kind.CONFLICT, *TYPE_OF_ACT, USE_BOTH, question=_question)
def _use_side(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    digests = {}
    for entry in entries:
        sides = {value.key: _sides_shown(shown, entry, value.key) for value in entry.values}
        digests[entry.source] = confirmed_action.digest_of_rows(sides.items())
    return resolve_all(digests, act, by=cast("User", request.user))


@home_acts.does(Kind.REJECTED, *TYPE_OF_ACT)
def _answer_rejections(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    side = resolution.SIDE_OF_TYPE[TYPE_OF_ACT[act.code]]
    answered = []
    problems = []
    undo = []
    for entry in entries:
        assert entry.entity_id is not None
        field_ref = (entry.entity_type, entry.entity_id, entry.field)
        seen_sides = _sides_shown(shown, entry, entry.field)
        try:
            answer = rejections.answer_rejection(
                field_ref,
                by=cast("User", request.user),
                selections={entry.field: reports.FieldSelection(side)},
                seen={entry.field: seen_sides},
            )
        except ActionError as error:
            problems.append(f"{entry.name}: {error}")
        else:
            undo.append(f"answer:{answer.pk}")
            answered.append(entry)
    sentence = home_acts.done_sentence(act, answered, len(answered)) if answered else ""
    return Report(sentence, problems, undo)


def undo(request: HttpRequest, keys: Sequence[str]) -> Report:
    """Undo the choices with these keys, each on its own."""
    by = cast("User", request.user)
    undone = 0
    problems = []
    # A pass may be writing what was chosen, so wait for it for a moment.
    ids = [key.removeprefix("conflict:") for key in keys if key.startswith("conflict:")]
    deadline = time.monotonic() + UNDO_WAIT_SECONDS
    while SyncConflict.objects.filter(BEING_APPLIED, pk__in=ids).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    for key in keys:
        try:
            case_screen.undo_choice(key, by=by)
            undone += 1
        except (ActionError, ObjectDoesNotExist) as error:
            problems.append(f"Not undone: {error}")
    types = SyncConflict.objects.filter(pk__in=ids).values_list("entity_type", flat=True)
    entries = humanize.count_with_noun(undone, "entry opens", "entries open")
    then = wait_sentence(undone, types) or f"{entries} again within seconds."
    return Report(f"Undone. {then}" if undone else "", problems)


home_acts.LOADERS.update({Kind.REJECTED: _rejected_sides, Kind.CONFLICT: _fit_acts_to_values})
home_acts.UNDOS.update({Kind.REJECTED: undo, Kind.CONFLICT: undo})
