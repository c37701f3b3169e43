"""How acts are done with conflicts and rejected values: one side for the values that were shown, and the undo."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest

from conflicts import case, rejections, reports, resolution
from conflicts.admin import bulk_resolution
from conflicts.admin.case_screen import parse_seen
from conflicts.effects import Sides
from conflicts.models import BEING_APPLIED, CUSTOM, MONDAY, NPD, ResolutionType, SyncConflict
from conflicts.resolution import undo
from conflicts.text_diff import excerpts
from sync import attention
from sync.admin import confirmed_action, handlers
from sync.kernel import humanize
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.registry import count_of_type

LOST = reports.KIND_LOST_UPDATE

UNDO_WAITS_SECONDS = 2.0
"""So long an undo waits for the pass that is writing what was chosen just now; it takes less than half a second."""


def _rejected_sides(
    entries: Sequence[attention.Entry], mappings: Sequence[FieldMapping]
) -> dict[str, Sequence[attention.SideValues]]:
    """What each side has of rejected values, by key; a few queries for each type of record."""
    fields = {(entry.entity_type, entry.entity_id, entry.field): entry.key for entry in entries if entry.entity_id}
    return {
        fields[value.field_ref]: [
            _with_excerpts(attention.SideValues(value.key, value.field.label, value.sides[NPD], value.sides[MONDAY]))
        ]
        for value in rejections.rejections_of(fields, mappings)
    }


def _conflict_sides(
    entries: Sequence[attention.Entry], mappings: Sequence[FieldMapping]
) -> dict[str, Sequence[attention.SideValues]]:
    """What each side has of conflicts, by key, with what differs; nothing is asked of the database."""
    sides: dict[str, Sequence[attention.SideValues]] = {}
    for entry in entries:
        names = case.LOST_SIDES if entry.cause_code == LOST else ("NPD", "Monday")
        sides[entry.key] = [replace(_with_excerpts(value), names=names) for value in entry.values]
    return sides


def _with_excerpts(value: attention.SideValues) -> attention.SideValues:
    return replace(value, excerpts=excerpts(value.npd, value.monday))


def _seen_sides(shown: Any, key: str) -> Sides:
    """The values that a row showed of a field; what was tampered with equals nothing stored, so the act is outdated."""
    return parse_seen(json.dumps(shown.get(key)) if isinstance(shown, dict) else "")


class UseValues(handlers.Handler):
    """Store one side, or both in one, for conflicts and rejected values, each for the values that its row showed."""

    kinds = frozenset({attention.Kind.CONFLICT, attention.Kind.REJECTED})
    resolution_type: ResolutionType

    def fits(self, entry: attention.Entry) -> bool:
        return bool(entry.values) and (
            entry.kind is attention.Kind.REJECTED or entry.cause_code in (reports.KIND_FIELDS, LOST)
        )

    def texts(self, entry: attention.Entry) -> Mapping[str, str]:
        """What is stored that neither side has, by field."""
        return {}

    def outcome(self, entry: attention.Entry) -> str:
        """What has been chosen for an entry, as the sentence about it ends."""
        raise NotImplementedError

    def run(
        self, request: HttpRequest, entries: Sequence[attention.Entry], shown: Mapping[str, Any]
    ) -> confirmed_action.Report:
        by = cast("User", request.user)
        problems = []
        undo = []
        outcomes: dict[str, list[attention.Entry]] = {}
        for entry in entries:
            values = shown.get(entry.key)
            try:
                if entry.kind is attention.Kind.CONFLICT:
                    resolution.resolve(
                        entry.row_id,
                        by=by,
                        resolution_type=self.resolution_type,
                        selections={key: FieldSelection(CUSTOM, text) for key, text in self.texts(entry).items()},
                        seen={value.key: _seen_sides(values, value.key) for value in entry.values},
                    )
                    undo.append(f"conflict {entry.row_id}")
                elif entry.entity_id:
                    answer = rejections.answer_rejection(
                        (entry.entity_type, entry.entity_id, entry.field),
                        by=by,
                        choose=resolution.SIDE_OF_TYPE[self.resolution_type],
                        value="",
                        seen=_seen_sides(values, entry.field),
                    )
                    undo.append(f"answer {answer.pk}")
            except ActionError as error:
                problems.append(f"{entry.name}: {error}")
            else:
                outcomes.setdefault(self.outcome(entry), []).append(entry)
        sentences = []
        for outcome, members in outcomes.items():
            several = humanize.count_with_noun(len(members), "entry", "entries")
            sentences.append(f"{members[0].name if len(members) == 1 else several}: {outcome}.")
        return confirmed_action.Report(" ".join(sentences), problems, undo)

    def undo(self, request: HttpRequest, tokens: Sequence[str]) -> confirmed_action.Report:
        """Take back what was stored, each by itself."""
        by = cast("User", request.user)
        undone = 0
        problems = []
        _wait_for_writes([key for kind, key in (token.split(" ") for token in tokens) if kind == "conflict"])
        for token in tokens:
            kind, _, key = token.partition(" ")
            try:
                if kind == "conflict":
                    undo(key, by=by)
                else:
                    rejections.undo_answer(Decision.objects.get(pk=key, kind=rejections.DECISION_KIND), by=by)
                undone += 1
            except (ActionError, SyncConflict.DoesNotExist, Decision.DoesNotExist) as error:
                problems.append(f"Not undone: {error}")
        entries = humanize.count_with_noun(undone, "entry", "entries")
        return confirmed_action.Report(
            f"Undone: {entries} will be open again in some seconds." if undone else "", problems
        )


def _wait_for_writes(ids: Sequence[str]) -> None:
    deadline = time.monotonic() + UNDO_WAITS_SECONDS
    while SyncConflict.objects.filter(BEING_APPLIED, pk__in=ids).exists() and time.monotonic() < deadline:
        time.sleep(0.1)


class UseSide(UseValues):
    """One side, by which the other may be emptied: such a button is red, and asks."""

    emptied_side: str
    labels: Mapping[str, str]  # what it is called, by the code of a cause or by kind
    effects: Mapping[str, str]

    def emptied(self, entry: attention.Entry) -> Sequence[attention.SideValues]:
        raise NotImplementedError

    def own(self, words: Mapping[str, str], kind: attention.Kind, code: str) -> str:
        return words.get(code) or words.get(kind, "")

    def may(self, user: Any, entry: attention.Entry) -> bool:
        """Whether this person may choose this side: to empty a rejected value is a change of the record."""
        empties = entry.kind is attention.Kind.REJECTED and self.emptied(entry)
        return super().may(user, entry) and (not empties or resolution.may_type(user, entry.entity_type))

    def takes_away(self, entry: attention.Entry) -> bool:
        return bool(self.emptied(entry))

    def label(self, entry: attention.Entry) -> str:
        if self.emptied(entry):
            return f"{self.emptying_label([entry])}…"
        return self.own(self.labels, entry.kind, entry.cause_code) or self.act.button

    def group_label(self, group: attention.Group, entries: Sequence[attention.Entry]) -> str:
        emptied = [entry for entry in entries if self.emptied(entry)]
        if group.number > 1 and len(emptied) == group.number:
            return f"{self.emptying_label(emptied)}…"
        if group.number > 1 and (label := self.own(self.labels, group.kind, group.code)):
            return f"{label}: all {group.number:,}…"
        return super().group_label(group, entries)

    def emptying_label(self, entries: Sequence[attention.Entry]) -> str:
        """What it is called where it empties values of these: “Empty Phone of 2 contacts in NPD”."""
        emptied = [value for entry in entries for value in self.emptied(entry)]
        labels = {value.label for value in emptied}
        subject = labels.pop() if len(labels) == 1 else humanize.count_with_noun(len(emptied), "value")
        if len(entries) > 1:
            types = {entry.entity_type for entry in entries}
            subject += f" of {count_of_type(len(entries), types.pop() if len(types) == 1 else '')}"
        return f"Empty {subject} {self.emptied_side}"

    def effect(self, entry: attention.Entry) -> str:
        return self.own(self.effects, entry.kind, entry.cause_code) or self.act.effect

    def is_asked(self, entries: Sequence[attention.Entry], *, is_all: bool) -> bool:
        return super().is_asked(entries, is_all=is_all) or any(self.emptied(entry) for entry in entries)

    def question(self, request: HttpRequest, entries: Sequence[attention.Entry]) -> confirmed_action.Question:
        """Ask, in red where a value would be emptied."""
        question = super().question(request, entries)
        if not any(self.emptied(entry) for entry in entries):
            return question
        effects = ["Where one side is empty, what the other one has is removed.", *question.effects]
        return replace(question, effects=effects, deletes=True)

    def title(self, entries: Sequence[attention.Entry]) -> str:
        """Name what it empties, so that nobody empties by a button that speaks of values alone."""
        emptied = [entry for entry in entries if self.emptied(entry)]
        label = self.own(self.labels, entries[0].kind, entries[0].cause_code)
        number = humanize.count_with_noun(len(entries), "entry", "entries")
        title = f"{label}: {number}" if label else super().title(entries)
        if not emptied:
            return title
        label = self.emptying_label(emptied)
        return label if len(emptied) == len(entries) else f"{title}; {label[0].lower()}{label[1:]}"

    def outcome(self, entry: attention.Entry) -> str:
        if emptied := self.emptied(entry):
            return f"{', '.join(value.label for value in emptied)} emptied {self.emptied_side}"
        is_npd = self.resolution_type == ResolutionType.KEEP_NPD
        if entry.cause_code == LOST:
            return "the current value is kept" if is_npd else "the lost edit is restored"
        if is_npd and entry.kind is attention.Kind.REJECTED:
            return "kept different on both sides"
        return f"{'NPD' if is_npd else 'Monday'}'s value is used"


class UseNpd(UseSide):
    code = "keep_npd"
    resolution_type = ResolutionType.KEEP_NPD
    emptied_side = "on Monday"
    labels = {attention.Kind.REJECTED: "Keep different", LOST: "Keep current value"}
    effects = {
        LOST: "Both sides stay as they are.",
        attention.Kind.REJECTED: "Leaves the field different on both sides. It is not sent until somebody changes it.",
    }

    def emptied(self, entry: attention.Entry) -> Sequence[attention.SideValues]:
        if entry.kind is attention.Kind.REJECTED or entry.cause_code == LOST:
            return ()  # keeps both sides as they are
        return [value for value in entry.values if value.monday and not value.npd]


class UseMonday(UseSide):
    code = "keep_monday"
    resolution_type = ResolutionType.KEEP_MONDAY
    emptied_side = "in NPD"
    labels = {LOST: "Restore edit"}
    effects = {LOST: "Writes it to both sides, over the current value."}

    def emptied(self, entry: attention.Entry) -> Sequence[attention.SideValues]:
        return [value for value in entry.values if value.npd and not value.monday]


class UseBoth(UseValues):
    """Both sides in one, where each field in conflict is a long text."""

    code = "both"
    kinds = frozenset({attention.Kind.CONFLICT})
    resolution_type = ResolutionType.MERGE

    def fits(self, entry: attention.Entry) -> bool:
        return super().fits(entry) and len(self.texts(entry)) == len(entry.values)

    def texts(self, entry: attention.Entry) -> Mapping[str, str]:
        fields = [
            case.value_field(entry.entity_type, side.key, npd=side.npd, monday=side.monday) for side in entry.values
        ]
        return {row.key: row.both for row in fields if row.both}

    def outcome(self, entry: attention.Entry) -> str:
        return "both values are used"


class ChooseOption(handlers.Handler):
    """An option of a deleted record or item: the question says what it does with each."""

    kinds = frozenset({attention.Kind.CONFLICT})

    def __init__(self, code: str) -> None:
        self.code = code

    def fits(self, entry: attention.Entry) -> bool:
        """Whether the conflict offers it."""
        return self.code in entry.acts

    def question(self, request: HttpRequest, entries: Sequence[attention.Entry]) -> confirmed_action.Question:
        conflicts = SyncConflict.objects.filter(pk__in=[entry.row_id for entry in entries])
        return bulk_resolution.bulk_question(conflicts, self.code, by=cast("User", request.user))

    def run(
        self, request: HttpRequest, entries: Sequence[attention.Entry], shown: Mapping[str, Any]
    ) -> confirmed_action.Report:
        conflicts = bulk_resolution.shown_conflicts(request.POST.get("seen", ""))
        return bulk_resolution.resolve_all(conflicts, self.code, by=cast("User", request.user))


handlers.VALUES.update({attention.Kind.REJECTED: _rejected_sides, attention.Kind.CONFLICT: _conflict_sides})
handlers.register(UseNpd(), UseMonday(), UseBoth(), *(ChooseOption(act) for act in reports.OPTION_ACTS))
