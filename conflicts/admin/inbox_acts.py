"""What Home offers for conflicts and rejected values: one side for the values that its rows show, and the undo."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest

from conflicts.admin.bulk_resolution import bulk_url
from conflicts.admin.decision_form import parse_seen
from conflicts.answers import DECISION_KIND, answer_rejection, undo_answer
from conflicts.case import LOST_SIDES, value_field
from conflicts.effects import Sides
from conflicts.models import BEING_APPLIED, CUSTOM, MONDAY, NPD, ResolutionType, SyncConflict
from conflicts.rejections import rejections_of
from conflicts.reports import (
    KIND_DELETE,
    KIND_DELETED_RECORD,
    KIND_FIELDS,
    KIND_LOST_UPDATE,
    KIND_REPLACED,
    KIND_RESTORED_ITEM,
    OPTION_ACTS,
)
from conflicts.resolution import SIDE_OF_TYPE, may_type, resolve
from conflicts.text_diff import excerpts
from conflicts.undo import undo
from sync.admin.inbox_offers import (
    ActionResult,
    GroupLead,
    InboxAction,
    register_action,
    register_lead,
    register_values,
)
from sync.attention import Entry, Group, Kind, SideValues
from sync.kernel import humanize
from sync.kernel.acts import ACTS
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.records.availability import Overview

KEEP_CURRENT = "Keep current value"
RESTORE_LOST = {KIND_LOST_UPDATE: "Restore edit", KIND_REPLACED: "Restore old value"}
LOST_OUTCOMES = {
    KIND_LOST_UPDATE: ("the current value is kept", "the overwritten edit is restored"),
    KIND_REPLACED: ("the current value is kept", "the old column's value is used"),
}

DELETION_LEADS = {
    KIND_DELETE: "Nothing is changed until somebody chooses here, or the items are back on the board.",
    KIND_DELETED_RECORD: "The items stay on the board as they are until somebody chooses: restore the records, or "
    "remove or unlink the items.",
    KIND_RESTORED_ITEM: "The items had left the board with their records, and somebody restored them there. Nothing is "
    "changed until somebody chooses: restore the records, too, or remove or unlink the items.",
}
"""What is said above questions about deletions, by what happened."""

LOST_KINDS = (KIND_LOST_UPDATE, KIND_REPLACED)
VALUE_KINDS = (KIND_FIELDS, *LOST_KINDS)


def rejected_sides(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> dict[str, Sequence[SideValues]]:
    """Return what each side has of rejected values, by key; a few queries for each type of record."""
    fields = {(entry.entity_type, entry.entity_id, entry.field): entry.key for entry in entries if entry.entity_id}
    return {
        fields[rejection.field_ref]: [
            _with_excerpts(
                SideValues(rejection.key, rejection.field.label, rejection.sides[NPD], rejection.sides[MONDAY])
            )
        ]
        for rejection in rejections_of(fields, mappings)
    }


def conflict_sides(entries: Sequence[Entry], mappings: Sequence[FieldMapping]) -> dict[str, Sequence[SideValues]]:
    """Return what each side has of conflicts, by key, with what differs; nothing is asked of the database."""
    sides: dict[str, Sequence[SideValues]] = {}
    for entry in entries:
        names = LOST_SIDES.get(entry.cause_code, ("NPD", "Monday"))
        sides[entry.key] = [replace(_with_excerpts(value), names=names) for value in entry.values]
    return sides


def _with_excerpts(value: SideValues) -> SideValues:
    return replace(value, excerpts=excerpts(value.npd, value.monday))


def _seen_sides(shown: Any, key: str) -> Sides:
    """The values that a row showed of a field; what was tampered with equals nothing stored, so the act is outdated."""
    return parse_seen(json.dumps(shown.get(key)) if isinstance(shown, dict) else "")


def _use(
    resolution_type: ResolutionType, request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]
) -> ActionResult:
    """Store one side, or both in one, for these entries, each for the values that its row showed."""
    by = cast("User", request.user)
    problems = []
    undos = []
    done: dict[str, list[Entry]] = {}
    for entry in entries:
        shown = seen.get(entry.key)
        try:
            if entry.kind is Kind.CONFLICT:
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


def _outcome(resolution_type: ResolutionType, entry: Entry) -> str:
    """What has been chosen for an entry, as the sentence about it ends."""
    if resolution_type == ResolutionType.MERGE:
        return "both values are used"
    is_npd = SIDE_OF_TYPE[resolution_type] == NPD
    if emptied := _emptied(resolution_type, entry):
        return f"{', '.join(value.label for value in emptied)} emptied {_EMPTIED_SIDE[resolution_type]}"
    if entry.cause_code in LOST_OUTCOMES:
        return LOST_OUTCOMES[entry.cause_code][not is_npd]
    if is_npd and entry.kind is Kind.REJECTED:
        return "kept different on both sides"
    return f"{'NPD' if is_npd else 'Monday'}'s value is used"


_EMPTIED_SIDE = {ResolutionType.KEEP_NPD: "on Monday", ResolutionType.KEEP_MONDAY: "in NPD"}


def _emptied(resolution_type: ResolutionType, entry: Entry) -> Sequence[SideValues]:
    is_npd = SIDE_OF_TYPE[resolution_type] == NPD
    if is_npd and (entry.kind is Kind.REJECTED or entry.cause_code in LOST_KINDS):
        return ()  # keeps both sides as they are
    if is_npd:
        return [value for value in entry.values if value.monday and not value.npd]
    return [value for value in entry.values if value.npd and not value.monday]


def _named(entries: Sequence[Entry]) -> str:
    return entries[0].name if len(entries) == 1 else humanize.count_with_noun(len(entries), "entry", "entries")


def _both_of(entry: Entry) -> dict[str, str]:
    """Both sides in one, where each field in conflict is a long text; else nothing."""
    if not _has_values(entry) or entry.kind is not Kind.CONFLICT:
        return {}
    fields = [value_field(entry.entity_type, side.key, npd=side.npd, monday=side.monday) for side in entry.values]
    texts = {row.key: row.both for row in fields if row.both}
    return texts if len(texts) == len(entry.values) else {}


def _undo(request: HttpRequest, tokens: Sequence[str]) -> ActionResult:
    """Take back what `_use` stored, each by itself."""
    by = cast("User", request.user)
    done = 0
    problems = []
    _wait_for_writes([key for what, key in (token.split(" ") for token in tokens) if what == "conflict"])
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


UNDO_WAITS_SECONDS = 2.0
"""So long an undo waits for the pass that is writing what was chosen just now; it takes less than half a second."""


def _wait_for_writes(ids: Sequence[str]) -> None:
    deadline = time.monotonic() + UNDO_WAITS_SECONDS
    while SyncConflict.objects.filter(BEING_APPLIED, pk__in=ids).exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def _prepare(resolution_type: str, request: HttpRequest, entries: Sequence[Entry], back_url: str) -> str:
    """Select the conflicts among these for the page that says what the choice does, and asks."""
    keys = [entry.row_id for entry in entries if entry.kind is Kind.CONFLICT]
    if rest := len(entries) - len(keys):
        noun = humanize.count_with_noun(rest, "rejected value is", "rejected values are")
        messages.warning(request, f"{noun} left alone: choose for them under “Rejected by Monday”.")
    return bulk_url(request, SyncConflict.objects.filter(pk__in=keys), resolution_type, back_url=back_url)


def _has_values(entry: Entry) -> bool:
    return bool(entry.values) and (entry.kind is Kind.REJECTED or entry.cause_code in VALUE_KINDS)


def _may(user: Any) -> bool:
    return bool(user.has_perm("conflicts.change_syncconflict"))


def _may_use(resolution_type: ResolutionType, user: Any, entry: Entry) -> bool:
    """Whether this person may choose this side: to empty a rejected value is a change of the record."""
    empties = entry.kind is Kind.REJECTED and _emptied(resolution_type, entry)
    return _may(user) and (not empties or may_type(user, entry.entity_type))


def _leads(causes: Sequence[Group], _now: Overview, _user: Any) -> dict[str, GroupLead]:
    return {cause.cause: GroupLead(DELETION_LEADS[cause.code]) for cause in causes if cause.code in DELETION_LEADS}


register_lead(Kind.CONFLICT, _leads)
register_values(Kind.REJECTED, rejected_sides)
register_values(Kind.CONFLICT, conflict_sides)
BOTH_KINDS = frozenset({Kind.CONFLICT, Kind.REJECTED})
_KEEP_LABELS: dict[str, str] = {Kind.REJECTED: "Keep different", **dict.fromkeys(LOST_KINDS, KEEP_CURRENT)}
_KEEP_EFFECTS: dict[str, str] = {
    **dict.fromkeys(LOST_KINDS, "Both sides stay as they are."),
    Kind.REJECTED: "Leaves the field different on both sides. It is not sent until somebody changes it.",
}
_USE_EFFECTS: dict[str, str] = dict.fromkeys(LOST_KINDS, "Writes it to both sides, over the current value.")
for _type, _labels, _effects in (
    (ResolutionType.KEEP_NPD, _KEEP_LABELS, _KEEP_EFFECTS),
    (ResolutionType.KEEP_MONDAY, RESTORE_LOST, _USE_EFFECTS),
):
    register_action(
        InboxAction(
            ACTS[_type],
            BOTH_KINDS,
            partial(_use, _type),
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
for _act in OPTION_ACTS:
    register_action(InboxAction(ACTS[_act], frozenset({Kind.CONFLICT}), run=None, page=partial(_prepare, _act)))
register_action(
    InboxAction(
        ACTS["both"],
        frozenset({Kind.CONFLICT}),
        partial(_use, ResolutionType.MERGE),
        undo=_undo,
        fits=lambda entry: bool(_both_of(entry)),
    )
)
