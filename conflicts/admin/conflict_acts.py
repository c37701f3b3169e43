"""The acts on conflicts and rejected values: one side for some of them, an option, and the undo of both.

Home offers them all, and the list of conflicts the two that use a side.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest

from conflicts import rejections, resolution
from conflicts.admin.case_screen import screen_url, sides_seen, undo_choice
from conflicts.case import names_of
from conflicts.lifecycle import Sides, act_option, effect_of, side_option
from conflicts.models import BEING_APPLIED, MONDAY, NPD, ResolutionType, SyncConflict
from conflicts.reports import OPTION_ACTS, RECORD_KEY, ConflictKind, FieldSelection, Option
from sync.admin import home_acts
from sync.admin.admin_base import link_to, parse_json
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, digest_of_rows
from sync.attention import Entry, Kind, SideValues, common_type, counted
from sync.kernel import humanize
from sync.kernel.messages import ACTS, MAX_PER_REQUEST, Act, ActionError
from sync.models import FieldMapping
from sync.reconcile.field_values import as_uuid
from sync.records.availability import wait_sentence

# An undo waits this long for a pass that is applying the choice, which normally takes under 0.5 s.
UNDO_WAIT_SECONDS = 2.0

# What is stored for each act that uses one side.
CHOICES = {
    "keep_npd": ResolutionType.KEEP_NPD,
    "leave_both": ResolutionType.KEEP_NPD,
    "keep_current": ResolutionType.KEEP_NPD,
    "keep_monday": ResolutionType.KEEP_MONDAY,
    "restore_edit": ResolutionType.KEEP_MONDAY,
}

# Whether it takes nothing away, so that what does is sorted before it, and its label.
BulkEffect = tuple[bool, str]


def question_about_conflicts(
    conflicts: QuerySet[SyncConflict], act: Act, *, by: User, hidden: Sequence[tuple[str, object]] = ()
) -> Question:
    """Return the question before an act on conflicts: what changes, by effect, and which conflicts are left out.

    Its form carries a digest of each conflict, so that only conflicts that are still as shown are resolved.
    """
    total = conflicts.count()
    # Undecided ones first, so that the others, which are listed as left out, take no place from them.
    is_undecided = ExpressionWrapper(Q(resolved_at=None) & ~BEING_APPLIED, BooleanField())
    batch = list(conflicts.order_by(is_undecided.desc(), "detected_at", "id")[:MAX_PER_REQUEST])
    names = names_of(batch)
    effects: dict[BulkEffect, list[tuple[object, ...]]] = {}
    left_out: list[tuple[object, ...]] = []
    digests: dict[str, str] = {}
    ways_back: list[str] = []
    for conflict in batch:
        name = link_to(screen_url(conflict.pk), names[conflict.pk])
        option = _option(conflict, act)
        if problem := _problem(conflict, act, option, by=by):
            left_out.append((name, problem))
            continue
        digests[str(conflict.pk)] = digest_of_rows(resolution.current_values(conflict).items())
        if option is not None:
            does = ACTS[option.does]
            cells = (name, "", conflict.question, f"{option.label}: {option.effect}")
            effects.setdefault((not does.deletes, does.many), []).append(cells)
            ways_back.append(does.way_back)
            continue
        for effect, values in _value_effects(conflict, act):
            effects.setdefault(effect, []).append((name, *values))
        ways_back.append("Undo on a conflict's own page puts its values back.")
    entity_type = common_type(conflict for conflict in batch if str(conflict.pk) in digests)
    number = humanize.count_with_noun(len(digests), "conflict")
    title = counted(act.many, len(digests), entity_type, number=number)
    button = title
    tables = []
    # First what takes something away, which the button names, too.
    for takes_nothing, label in sorted(effects):
        rows = effects[takes_nothing, label]
        summary = counted(label, len(rows), entity_type, number=humanize.count_with_noun(len(rows), "value"))
        table = RecordTable(("Record", "Field", "Now", "After"), rows[:MAX_ROWS_SHOWN], len(rows), summary)
        tables.append(table.without_empty_columns())
        if not takes_nothing and summary != title:
            button = f"{button}; {humanize.within_sentence(summary)}"
    if left_out:
        heading = f"{humanize.count_with_noun(len(left_out), 'conflict')} left out"
        tables.append(RecordTable(("Record", "Why"), left_out, len(left_out), heading))
    lines = []
    if total > MAX_PER_REQUEST:
        limit = f"At most {MAX_PER_REQUEST} are resolved at once: these are the ones that wait longest."
        lines.append(f"{total:,} are selected. {limit} Repeat it for the rest.")
    if digests:
        lines.append("A conflict that changes before you press the button is skipped and listed afterwards.")
        lines += dict.fromkeys(ways_back)
    else:
        lines.append("Nothing of it can be resolved this way.")
    fields = [*hidden, ("seen", json.dumps(digests))]
    deletes = not all(takes_nothing for takes_nothing, _label in effects)
    return Question(f"{title}?", lines, button if digests else "", tables, fields, deletes=deletes)


def _option(conflict: SyncConflict, act: Act) -> Option | None:
    """Return the option of a conflict about a whole record that an act chooses; None if it has none."""
    if side := resolution.SIDE_OF_TYPE.get(CHOICES.get(act.code, "")):
        return side_option(conflict, side)
    return act_option(conflict, act.code)


def _problem(conflict: SyncConflict, act: Act, option: Option | None, *, by: User) -> str:
    """Return why an act isn't possible on a conflict; empty if it is."""
    if not conflict.is_open:
        return "It is resolved already."
    if conflict.is_being_applied:
        return f"{conflict.stored_resolution.by} has just resolved it. NPD Sync is saving that."
    if option is None and (conflict.is_about_record or act.code not in CHOICES):
        return "This isn't possible for this conflict. Open it to see what is."
    return resolution.deletion_problem(by, conflict.entity_type) if option and option.deletes else ""


def _value_effects(conflict: SyncConflict, act: Act) -> Iterator[tuple[BulkEffect, tuple[str, str, str]]]:
    """Yield the effect on each changed value, with its field, old value and new value."""
    for key in conflict.conflict_fields:
        sides = conflict.sides(key)
        effect = effect_of(resolution.SIDE_OF_TYPE[CHOICES[act.code]], sides, kind=conflict.kind)
        # After an overwritten edit both sides hold NPD's value.
        on_monday = sides[NPD] if conflict.kind == ConflictKind.OVERWRITTEN else sides[MONDAY]
        changes = ((effect.npd_changes, "in NPD", sides[NPD]), (effect.monday_changes, "on Monday", on_monday))
        for is_changed, where, old in changes:
            if is_changed:
                verb = "Overwrite" if effect.value else "Empty"
                values = (conflict.label(key), old or "(empty)", effect.value or "(empty)")
                yield (bool(effect.value), f"{verb} {{number}} {where}"), values


def resolve_all(digests: Mapping[str, str], act: Act, *, by: User) -> Report:
    """Resolve each conflict that is still as it was shown, in a transaction of its own."""
    conflicts = list(SyncConflict.objects.filter(pk__in=digests).order_by("detected_at", "id"))
    names = names_of(conflicts)
    resolved = []
    names_by_problem: dict[str, list[str]] = {}
    for conflict in conflicts:
        values = resolution.current_values(conflict)
        option = _option(conflict, act)
        selections = {RECORD_KEY: FieldSelection(option.choose, option.value or None)} if option else {}
        try:
            if digest_of_rows(values.items()) != digests[str(conflict.pk)]:
                raise resolution.InvalidResolution("It has changed since you saw it. Look at it again.")
            resolution.resolve(
                conflict.pk,
                by=by,
                resolution_type=CHOICES.get(act.code, ResolutionType.MERGE),
                selections=selections,
                seen=values,
            )
            resolved.append(conflict)
        except ActionError as error:
            names_by_problem.setdefault(str(error), []).append(names[conflict.pk])
    problems = [f"Not resolved: {humanize.join_first(some)}. {why}" for why, some in names_by_problem.items()]
    if not resolved:
        return Report(problems=problems)
    number = names[resolved[0].pk] if len(resolved) == 1 else humanize.count_with_noun(len(resolved), "conflict")
    sentence = counted(act.done or f"{act.many}.", len(resolved), common_type(resolved), number=number)
    then = wait_sentence(len(resolved), {conflict.entity_type for conflict in resolved})
    undo = [f"conflict:{conflict.pk}" for conflict in resolved if not conflict.is_about_record]
    return Report(f"{sentence} {then or 'It takes effect within seconds.'}", problems, undo)


def shown_digests(request: HttpRequest) -> dict[str, str]:
    """Return the digests of the conflicts that the question showed, by id, without malformed ones."""
    posted = parse_json(request.POST.get("seen", ""))
    pairs = list(posted.items())[:MAX_PER_REQUEST] if isinstance(posted, dict) else []
    return {key: str(shown) for key, shown in pairs if as_uuid(key)}


def _rejected_sides(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> list[Entry]:
    """Return rejected values with both sides."""
    by_field = {(entry.entity_type, entry.entity_id, entry.field): entry for entry in entries if entry.entity_id}
    loaded = {entry.key: replace(entry, values=()) for entry in entries}
    for rejection in rejections.rejections_of(by_field, mappings):
        values = SideValues(rejection.key, rejection.field.label, rejection.sides[NPD], rejection.sides[MONDAY])
        entry = by_field[rejection.field_ref]
        loaded[entry.key] = replace(entry, values=(values,))
    return [_in_words_of_values(entry) for entry in loaded.values()]


def _conflict_sides(entries: Sequence[Entry], _mappings: Sequence[FieldMapping]) -> list[Entry]:
    return [_in_words_of_values(entry) for entry in entries]


def _in_words_of_values(entry: Entry) -> Entry:
    """Return the entry with acts that use a side only if both are known, and that say where they empty the other."""
    acts = []
    for act in entry.acts:
        if act.code in CHOICES and not entry.values:
            continue
        emptied = _emptied(act, entry)
        if emptied:
            label = f"Empty {humanize.join_first(list(emptied))} {next(iter(emptied.values()))}"
            effect = "Where the chosen side is empty, the other side's value is removed."
            # Emptying a rejected value's field in NPD changes the record.
            right = "change" if entry.kind is Kind.REJECTED else act.record_right
            acts.append(replace(act, label=label, effect=effect, asks=True, deletes=True, record_right=right))
        else:
            acts.append(act)
    return replace(entry, acts=tuple(acts))


def _emptied(act: Act, entry: Entry) -> dict[str, str]:
    """Return where an act would remove values, such as “in NPD”, by the fields' labels."""
    if act.code not in CHOICES or act.code == "leave_both":
        return {}
    side = resolution.SIDE_OF_TYPE[CHOICES[act.code]]
    effects = {
        value.label: effect_of(side, {NPD: value.npd, MONDAY: value.monday}, kind=entry.cause_code)
        for value in entry.values
    }
    return {label: effect.emptied_side for label, effect in effects.items() if effect.emptied_side}


def _question(request: HttpRequest, act: Act, entries: Sequence[Entry]) -> Question:
    conflicts = SyncConflict.objects.filter(pk__in=[entry.source for entry in entries])
    return question_about_conflicts(conflicts, act, by=cast("User", request.user))


def _sides_shown(shown: Mapping[str, Any], entry: Entry, field: str) -> Sides:
    """Return a field's values as the entry's row showed them."""
    values = shown.get(entry.key)
    return sides_seen(values.get(field) if isinstance(values, dict) else None)


def _choose_option(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    """Choose an option of conflicts about whole records. It has no undo, because `resolve_all` offers none."""
    # The act always asks, and the form of its question has the conflicts as it showed them.
    return resolve_all(shown_digests(request), act, by=cast("User", request.user))


def _use_side(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    digests = {}
    for entry in entries:
        sides = {value.key: _sides_shown(shown, entry, value.key) for value in entry.values}
        digests[entry.source] = digest_of_rows(sides.items())
    return resolve_all(digests, act, by=cast("User", request.user))


def _answer_rejections(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    side = resolution.SIDE_OF_TYPE[CHOICES[act.code]]
    answered = []
    problems = []
    undo = []
    for entry in entries:
        assert entry.entity_id is not None
        field_ref = (entry.entity_type, entry.entity_id, entry.field)
        seen_sides = _sides_shown(shown, entry, entry.field)
        try:
            answer = rejections.answer_rejection(
                field_ref, by=cast("User", request.user), choose=side, value="", seen=seen_sides
            )
        except ActionError as error:
            problems.append(f"{entry.name}: {error}")
        else:
            undo.append(f"answer:{answer.pk}")
            answered.append(entry)
    sentence = home_acts.done_sentence(act, answered, len(answered)) if answered else ""
    return Report(sentence, problems, undo)


def undo(request: HttpRequest, tokens: Sequence[str]) -> Report:
    """Undo each stored choice on its own."""
    by = cast("User", request.user)
    undone = 0
    problems = []
    # A pass may be writing what was chosen, so wait for it for a moment.
    ids = [key.removeprefix("conflict:") for key in tokens if key.startswith("conflict:")]
    deadline = time.monotonic() + UNDO_WAIT_SECONDS
    while SyncConflict.objects.filter(BEING_APPLIED, pk__in=ids).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    for key in tokens:
        try:
            undo_choice(key, by=by)
            undone += 1
        except (ActionError, ObjectDoesNotExist) as error:
            problems.append(f"Not undone: {error}")
    types = SyncConflict.objects.filter(pk__in=ids).values_list("entity_type", flat=True)
    entries = humanize.count_with_noun(undone, "entry opens", "entries open")
    then = wait_sentence(undone, types) or f"{entries} again within seconds."
    return Report(f"Undone. {then}" if undone else "", problems)


home_acts.LOADERS.update({Kind.REJECTED: _rejected_sides, Kind.CONFLICT: _conflict_sides})
home_acts.UNDOS.update({Kind.REJECTED: undo, Kind.CONFLICT: undo})
home_acts.RUNS.update({(Kind.REJECTED, code): _answer_rejections for code in CHOICES})
home_acts.RUNS.update({(Kind.CONFLICT, code): _use_side for code in CHOICES})
home_acts.RUNS.update({(Kind.CONFLICT, code): _choose_option for code in OPTION_ACTS})
home_acts.QUESTIONS.update({(Kind.CONFLICT, code): _question for code in (*CHOICES, *OPTION_ACTS)})
