"""What the inbox offers for conflicts and rejected values: one side for the values that the rows show, and its undo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest

from conflicts import bulk_resolution
from conflicts.admin.bulk_pages import prepared_url
from conflicts.admin.case_screen import parse_seen
from conflicts.case import value_field
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
from conflicts.models import CUSTOM, MONDAY, NPD, ConflictBatch, ResolutionType, SyncConflict
from conflicts.rejections import DECISION_KIND, answer_rejection, rejection_cases, undo_answer
from conflicts.resolution import SIDE_OF_TYPE, may_delete, may_type, resolve
from conflicts.text_diff import excerpts
from sync.admin.inbox_offers import ActionResult, GroupLead, InboxAction, register_action, register_lead
from sync.kernel import humanize
from sync.kernel.conflict_store import DELETING_ACTS, KIND_FIELDS, KIND_LOST_UPDATE, KIND_REPLACED, OptionAct
from sync.kernel.messages import ActionError
from sync.merge import FieldSelection
from sync.models import Decision, FieldMapping
from sync.operations.attention import AttentionCause, AttentionEntry, AttentionKind, SideValues, register_values

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
    """Store one side for these entries, each for the values that its row showed."""
    by, problems, undo = cast("User", request.user), [], []
    stored: list[SyncConflict] = []
    done: dict[str, list[AttentionEntry]] = {}
    is_npd = SIDE_OF_TYPE[resolution_type] == NPD
    emptied_side = _EMPTIED_SIDE[resolution_type]
    for entry in entries:
        shown = seen.get(entry.key)
        try:
            if entry.kind is AttentionKind.CONFLICT:
                sides = {value.key: _seen_sides(shown, value.key) for value in entry.values}
                stored.append(resolve(entry.row_id, by=by, resolution_type=resolution_type, seen=sides))
            elif entry.entity_id:
                answer = answer_rejection(
                    (entry.entity_type, entry.entity_id, entry.field), by=by, choose=SIDE_OF_TYPE[resolution_type],
                    value="", seen=_seen_sides(shown, entry.field),
                )  # fmt: skip
                undo.append(f"answer {answer.pk}")
        except ActionError as error:
            problems.append(f"{entry.name}: {error}")
        else:
            is_kept = is_npd and entry.kind is AttentionKind.REJECTED
            effect = "kept different on both sides" if is_kept else f"{'NPD' if is_npd else 'Monday'}'s value is used"
            if entry.cause_code in LOST_OUTCOMES:
                effect = LOST_OUTCOMES[entry.cause_code][not is_npd]
            if emptied := _emptied(resolution_type, entry):
                effect = f"{', '.join(value.label for value in emptied)} emptied {emptied_side}"
            done.setdefault(effect, []).append(entry)
    if stored:
        undo.append(_batch_token(stored, resolution_type, entries, by))
    sentence = " ".join(f"{_named(some)}: {effect}." for effect, some in done.items())
    return ActionResult(sum(map(len, done.values())), sentence, problems, undo)


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


def _use_both(request: HttpRequest, entries: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    """Store both sides in one for these conflicts, each for the values that its row showed."""
    by, problems = cast("User", request.user), []
    stored: list[SyncConflict] = []
    for entry in entries:
        sides = {value.key: _seen_sides(seen.get(entry.key), value.key) for value in entry.values}
        chosen = {key: FieldSelection(CUSTOM, text) for key, text in _both_of(entry).items()}
        try:
            merge = ResolutionType.MERGE
            stored.append(resolve(entry.row_id, by=by, resolution_type=merge, selections=chosen, seen=sides))
        except ActionError as error:
            problems.append(f"{entry.name}: {error}")
    undo = [_batch_token(stored, ResolutionType.MERGE, entries, by)] if stored else []
    what = entries[0].name if len(entries) == 1 else humanize.count_with_noun(len(stored), "entry", "entries")
    return ActionResult(len(stored), f"{what}: both values are used.", problems, undo)


def _batch_token(
    stored: Sequence[SyncConflict], resolution_type: str, entries: Sequence[AttentionEntry], by: User
) -> str:
    names = {entry.row_id: entry.name for entry in entries}
    return f"batch {bulk_resolution.batch_of_stored(stored, resolution_type, names, by=by).pk}"


def _undo(request: HttpRequest, tokens: Sequence[str]) -> ActionResult:
    """Take back what `_use` stored: of conflicts by the batch that they are, so that a pass under way is waited for."""
    by, done, problems = cast("User", request.user), 0, []
    for token in tokens:
        what, _, key = token.partition(" ")
        try:
            if what == "batch":
                done += bulk_resolution.request_undo(ConflictBatch.objects.get(pk=key), by=by)
            else:
                undo_answer(Decision.objects.get(pk=key, kind=DECISION_KIND), by=by)
                done += 1
        except (ActionError, ConflictBatch.DoesNotExist, Decision.DoesNotExist) as error:
            problems.append(f"Not undone: {error}")
    return ActionResult(
        done,
        f"Undone: {humanize.count_with_noun(done, 'entry', 'entries')} will be open again in some seconds.",
        problems,
    )


def _prepare(resolution_type: str, request: HttpRequest, entries: Sequence[AttentionEntry], back_url: str) -> str:
    """Prepare it for the conflicts among these, on a page that shows and asks; values not with deletions."""
    keys = [entry.row_id for entry in entries if entry.kind is AttentionKind.CONFLICT]
    if rest := len(entries) - len(keys):
        noun = humanize.count_with_noun(rest, "rejected value is", "rejected values are")
        messages.warning(request, f"{noun} left alone: choose for them under “Rejected by Monday”.")
    matches = humanize.count_with_noun(len(keys), "entry of the inbox", "entries of the inbox")
    found = SyncConflict.objects.filter(pk__in=keys)
    return prepared_url(request, found, resolution_type, address=back_url, matches=matches)


def _has_values(entry: AttentionEntry) -> bool:
    return bool(entry.values) and (entry.kind is AttentionKind.REJECTED or entry.cause_code in VALUE_KINDS)


def _offers(act: OptionAct, entry: AttentionEntry) -> bool:
    return act.value in entry.acts


def _may(user: Any, entry: AttentionEntry) -> bool:
    return bool(user.has_perm("conflicts.change_syncconflict"))


def _may_act(act: OptionAct, user: Any, entry: AttentionEntry) -> bool:
    return _may(user, entry) and (act not in DELETING_ACTS or may_delete(user, entry.entity_type))


def _may_use(resolution_type: ResolutionType, user: Any, entry: AttentionEntry) -> bool:
    """Whether this person may choose this side: to empty a rejected value is a change of the record."""
    empties = entry.kind is AttentionKind.REJECTED and _emptied(resolution_type, entry)
    return _may(user, entry) and (not empties or may_type(user, entry.entity_type))


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
        _use_both,
        shortcut="b",
        effects={AttentionKind.CONFLICT: "Writes one text to both sides: what they share, once, and both additions."},
        undo=_undo,
        may=lambda user, entry: _may(user, entry) and may_type(user, entry.entity_type),
        fits=lambda entry: bool(_both_of(entry)),
    )
)
