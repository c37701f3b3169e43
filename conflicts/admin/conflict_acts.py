"""Home's acts on conflicts and rejected values: use one side, choose an option, undo."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest

from conflicts import rejections, resolution
from conflicts.admin.bulk_resolution import bulk_question, digest_of, resolve_all, shown_conflicts
from conflicts.admin.case_screen import sides_seen, undo_choice
from conflicts.case import LOST_SIDES
from conflicts.lifecycle import Sides, effect_of
from conflicts.models import BEING_APPLIED, MONDAY, NPD, ResolutionType, SyncConflict
from conflicts.reports import OPTION_ACTS, ConflictKind
from conflicts.text_diff import excerpts
from sync.admin import home_acts
from sync.admin.confirmed_action import Question, Report
from sync.attention import Entry, Kind, SideValues
from sync.kernel import humanize
from sync.kernel.messages import Act, ActionError
from sync.models import FieldMapping
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


def _rejected_sides(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> list[Entry]:
    """Return rejected values with both sides."""
    by_field = {(entry.entity_type, entry.entity_id, entry.field): entry for entry in entries if entry.entity_id}
    loaded = {entry.key: replace(entry, values=()) for entry in entries}
    for rejection in rejections.rejections_of(by_field, mappings):
        values = SideValues(rejection.key, rejection.field.label, rejection.sides[NPD], rejection.sides[MONDAY])
        entry = by_field[rejection.field_ref]
        loaded[entry.key] = replace(entry, values=(replace(values, excerpts=excerpts(values.npd, values.monday)),))
    return [_in_words_of_values(entry) for entry in loaded.values()]


def _conflict_sides(entries: Sequence[Entry], _mappings: Sequence[FieldMapping]) -> list[Entry]:
    """Return conflicts with excerpts of what differs; no query."""
    loaded = []
    for entry in entries:
        names = LOST_SIDES if entry.cause_code == ConflictKind.OVERWRITTEN else ("NPD", "Monday")
        values = [replace(values, excerpts=excerpts(values.npd, values.monday), names=names) for values in entry.values]
        loaded.append(_in_words_of_values(replace(entry, values=tuple(values))))
    return loaded


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


def _bulk_question(request: HttpRequest, act: Act, entries: Sequence[Entry]) -> Question:
    """Return the question of the list's bulk actions."""
    conflicts = SyncConflict.objects.filter(pk__in=[entry.source for entry in entries])
    return bulk_question(conflicts, CHOICES.get(act.code, act.code), by=cast("User", request.user))


def _sides_shown(shown: Mapping[str, Any], entry: Entry, field: str) -> Sides:
    """Return a field's values as the entry's row showed them."""
    values = shown.get(entry.key)
    return sides_seen(values.get(field) if isinstance(values, dict) else None)


def _choose_option(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    """Choose an option of conflicts about whole records. It has no undo, because `resolve_all` offers none."""
    # The act always asks, and the form of bulk_question's page lists the conflicts as it showed them.
    return resolve_all(shown_conflicts(request.POST.get("seen", "")), act.code, by=cast("User", request.user))


def _use_side(request: HttpRequest, act: Act, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
    digests = {}
    for entry in entries:
        sides = {value.key: _sides_shown(shown, entry, value.key) for value in entry.values}
        digests[entry.source] = digest_of(sides)
    return resolve_all(digests, CHOICES[act.code], by=cast("User", request.user))


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
home_acts.QUESTIONS.update({(Kind.CONFLICT, code): _bulk_question for code in (*CHOICES, *OPTION_ACTS)})
