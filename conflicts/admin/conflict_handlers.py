"""The handlers of conflicts and rejected values: use one side, choose an option, undo."""

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
from sync.admin import handlers
from sync.admin.confirmed_action import Question, Report
from sync.attention import Entry, Kind, SideValues
from sync.kernel import humanize
from sync.kernel.messages import ActionError
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


def _rejected_sides(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> dict[str, Sequence[SideValues]]:
    """Return both sides of rejected values by the entries' keys."""
    fields = {(entry.entity_type, entry.entity_id, entry.field): entry.key for entry in entries if entry.entity_id}
    field_values: dict[str, Sequence[SideValues]] = {}
    for rejection in rejections.rejections_of(fields, mappings):
        values = SideValues(rejection.key, rejection.field.label, rejection.sides[NPD], rejection.sides[MONDAY])
        field_values[fields[rejection.field_ref]] = [replace(values, excerpts=excerpts(values.npd, values.monday))]
    return field_values


def _conflict_sides(entries: Sequence[Entry], _mappings: Sequence[FieldMapping]) -> dict[str, Sequence[SideValues]]:
    """Return both sides of conflicts by the entries' keys, with excerpts of what differs; no query."""
    field_values: dict[str, Sequence[SideValues]] = {}
    for entry in entries:
        names = LOST_SIDES if entry.cause_code == ConflictKind.OVERWRITTEN else ("NPD", "Monday")
        field_values[entry.key] = [
            replace(values, excerpts=excerpts(values.npd, values.monday), names=names) for values in entry.values
        ]
    return field_values


def _question_of_conflicts(request: HttpRequest, entries: Sequence[Entry], choice: str) -> Question:
    """Return the question of the list's bulk actions."""
    conflicts = SyncConflict.objects.filter(pk__in=[entry.source for entry in entries])
    return bulk_question(conflicts, choice, by=cast("User", request.user))


def _sides_shown(shown: Mapping[str, Any], entry: Entry, field: str) -> Sides:
    """Return a field's values as the entry's row showed them."""
    values = shown.get(entry.key)
    return sides_seen(values.get(field) if isinstance(values, dict) else None)


class ChooseOption(handlers.Handler):
    """Chooses an option of conflicts about whole records. It has no undo, because `resolve_all` offers none."""

    kinds = frozenset({Kind.CONFLICT})

    def __init__(self, code: str) -> None:
        self.code = code

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> Question:
        return _question_of_conflicts(request, entries, self.code)

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
        # The act always asks, and the form of bulk_question's page lists the conflicts as it showed them.
        return resolve_all(shown_conflicts(request.POST.get("seen", "")), self.code, by=cast("User", request.user))


class UseSide(handlers.Handler):
    """Uses one side's values; if that empties the other side, the button is red and asks first."""

    kinds = frozenset({Kind.CONFLICT, Kind.REJECTED})

    def __init__(self, code: str) -> None:
        self.code = code
        self.choice = CHOICES[code]

    def emptied(self, entry: Entry) -> dict[str, str]:
        """Return where values would be removed, such as “in NPD”, by the fields' labels."""
        if self.code == "leave_both":
            return {}
        side = resolution.SIDE_OF_TYPE[self.choice]
        effects = {
            value.label: effect_of(side, {NPD: value.npd, MONDAY: value.monday}, kind=entry.cause_code)
            for value in entry.values
        }
        return {label: effect.emptied_side for label, effect in effects.items() if effect.emptied_side}

    def fits(self, user: Any, entry: Entry) -> bool:
        """Whether both sides are known, and this person may choose this one.

        Taking Monday's side of a rejected value needs the right to change records only where that empties the field in
        NPD, because Monday's side is empty.
        """
        empties = entry.kind is Kind.REJECTED and self.emptied(entry)
        is_allowed = super().fits(user, entry) and (not empties or resolution.may_type(user, entry.entity_type))
        return bool(entry.values) and is_allowed

    def deletes(self, entry: Entry) -> bool:
        return bool(self.emptied(entry))

    def label(self, entry: Entry) -> str:
        if emptied := self.emptied(entry):
            return f"Empty {humanize.join_first(list(emptied))} {next(iter(emptied.values()))}…"
        return super().label(entry)

    def needs_question(self, entries: Sequence[Entry], *, is_all: bool) -> bool:
        return super().needs_question(entries, is_all=is_all) or any(self.emptied(entry) for entry in entries)

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> Question:
        if all(entry.kind is Kind.CONFLICT for entry in entries):
            return _question_of_conflicts(request, entries, self.choice)
        question = super().question(request, entries)
        if not any(self.emptied(entry) for entry in entries):
            return question
        effects = ["Where the chosen side is empty, the other side's value is removed.", *question.effects]
        return replace(question, effects=effects, deletes=True)

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> Report:
        by = cast("User", request.user)
        digests = {}
        rejected = []
        for entry in entries:
            if entry.kind is Kind.CONFLICT:
                digests[entry.source] = digest_of(
                    {value.key: _sides_shown(shown, entry, value.key) for value in entry.values}
                )
            else:
                rejected.append(entry)
        report = resolve_all(digests, self.choice, by=by) if digests else Report()
        problems = list(report.problems)
        undo = list(report.undo)
        answered = []
        for entry in rejected:
            assert entry.entity_id is not None
            seen_sides = _sides_shown(shown, entry, entry.field)
            field_ref = (entry.entity_type, entry.entity_id, entry.field)
            side = resolution.SIDE_OF_TYPE[self.choice]
            try:
                answer = rejections.answer_rejection(field_ref, by=by, choose=side, value="", seen=seen_sides)
            except ActionError as error:
                problems.append(f"{entry.name}: {error}")
            else:
                undo.append(f"answer:{answer.pk}")
                answered.append(entry)
        sentences = [report.sentence, self.done_sentence(answered, len(answered)) if answered else ""]
        return Report(" ".join(filter(None, sentences)), problems, undo)

    def undo(self, request: HttpRequest, tokens: Sequence[str]) -> Report:
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


handlers.VALUE_LOADERS.update({Kind.REJECTED: _rejected_sides, Kind.CONFLICT: _conflict_sides})
handlers.register(*map(UseSide, CHOICES), *map(ChooseOption, OPTION_ACTS))
