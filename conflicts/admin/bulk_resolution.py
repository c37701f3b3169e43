"""Resolves many conflicts with one choice, after a question with a summary of the effects."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from django.contrib.auth.models import User
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils.html import format_html

from conflicts import resolution
from conflicts.admin.case_screen import screen_url
from conflicts.case import names_of
from conflicts.lifecycle import Sides, act_option, effect_of, side_option
from conflicts.models import BEING_APPLIED, MONDAY, NPD, ResolutionType, SyncConflict
from conflicts.reports import OPTION_ACTS, RECORD_KEY, ConflictKind, FieldSelection, Option
from sync.admin import confirmed_action
from sync.admin.admin_base import parse_json
from sync.attention import common_type, counted
from sync.kernel.humanize import count_with_noun, join_first
from sync.kernel.messages import ACTS, MAX_PER_REQUEST, ActionError
from sync.reconcile.field_values import as_uuid
from sync.records.availability import wait_sentence

MAX_CONFLICTS = MAX_PER_REQUEST

CHANGED = "It has changed since you saw it. Look at it again."
NOT_OFFERED = "This isn't possible for this conflict. Open it to see what is."

# Singular and plural of each effect, the most serious first.
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

# The effects that make the button red.
TAKES_AWAY = ("npd_emptied", "monday_emptied", *(act for act in OPTION_ACTS if ACTS[act].deletes))
_VALUE_HEADS = ("Record", "Field", "Overwritten", "New value")
_RECORD_HEADS = ("Record", "What happened", "What is done")


def bulk_question(
    conflicts: QuerySet[SyncConflict], choice: str, *, by: User, hidden: Sequence[tuple[str, object]] = ()
) -> confirmed_action.Question:
    """Return the question with the number of each effect, examples, and the conflicts that are left out.

    Its form carries a digest of each conflict, so that only conflicts that are still as shown are resolved.
    """
    total = conflicts.count()
    side = resolution.SIDE_OF_TYPE.get(choice)
    # Undecided ones first, so that the others, which are listed as left out, take no place from them.
    is_undecided = ExpressionWrapper(Q(resolved_at=None) & ~BEING_APPLIED, BooleanField())
    batch = list(conflicts.order_by(is_undecided.desc(), "detected_at", "id")[:MAX_CONFLICTS])
    names = names_of(batch)
    effects: dict[str, list[tuple[object, ...]]] = {}
    left_out: list[tuple[object, ...]] = []
    digests: dict[str, str] = {}
    for conflict in batch:
        name = format_html('<a class="npd-link" href="{}">{}</a>', screen_url(conflict.pk), names[conflict.pk])
        # Only conflicts about a whole record have options.
        option = side_option(conflict, side) if side else act_option(conflict, choice)
        if problem := bulk_problem(conflict, choice, option, by=by):
            left_out.append((name, problem))
            continue
        digests[str(conflict.pk)] = digest_of(resolution.current_values(conflict))
        if option is not None:
            row = (name, conflict.question, f"{option.label}: {option.effect}")
            effects.setdefault(option.does, []).append(row)
        else:
            for effect, cells in _value_effects(conflict, choice):
                effects.setdefault(effect, []).append((name, *cells))
    kinds = [kind for kind in EFFECTS if kind in effects]
    summaries = {kind: count_with_noun(len(effects[kind]), *EFFECTS[kind]) for kind in kinds}
    lines = []
    if total > MAX_CONFLICTS:
        limit = f"At most {MAX_CONFLICTS} are resolved at once: these are the ones that wait longest."
        lines.append(f"{total:,} are selected. {limit} Repeat it for the rest.")
    if digests:
        lines.append("A conflict that changes before you press the button is skipped and listed afterwards.")
        lines += [ACTS[kind].way_back for kind in kinds if kind in ACTS]
        if any(kind not in ACTS for kind in kinds):
            lines.append("Undo on a conflict's own page puts its values back.")
    else:
        lines.append("Nothing of it can be resolved this way.")
    tables = [_table(effects[kind], summaries[kind], _RECORD_HEADS if kind in ACTS else _VALUE_HEADS) for kind in kinds]
    if left_out:
        tables.append(_table(left_out, f"{count_with_noun(len(left_out), 'conflict')} left out", ("Record", "Why")))
    resolved_type = common_type(conflict for conflict in batch if str(conflict.pk) in digests)
    number = count_with_noun(len(digests), "conflict")
    title = counted(ACTS[choice].many, len(digests), resolved_type, number=number)
    removals = [summaries[kind] for kind in kinds if kind in TAKES_AWAY]
    # The button also names the deletions and emptied values.
    button = title if choice not in resolution.SIDE_OF_TYPE else "; ".join([title, *removals])
    return confirmed_action.Question(
        f"{title}?",
        lines,
        button if digests else "",
        tables,
        [*hidden, ("seen", json.dumps(digests))],
        deletes=bool(removals),
    )


def _table(rows: Sequence[tuple[object, ...]], title: str, heads: tuple[str, ...]) -> confirmed_action.RecordTable:
    return confirmed_action.RecordTable(heads, rows[: confirmed_action.MAX_ROWS_SHOWN], len(rows), title)


def _value_effects(conflict: SyncConflict, choice: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each changed value's effect and cells: the field, the old value, the new value."""
    for key in conflict.conflict_fields:
        sides = conflict.sides(key)
        effect = effect_of(resolution.SIDE_OF_TYPE[choice], sides, kind=conflict.kind)
        for side, changes in ((NPD, effect.npd_changes), (MONDAY, effect.monday_changes)):
            if changes:
                # After an overwritten edit both sides hold NPD's value.
                old = sides[NPD] if conflict.kind == ConflictKind.OVERWRITTEN else sides[side]
                cells = (conflict.label(key), old or "(empty)", effect.value or "(empty)")
                yield side if effect.value else f"{side}_emptied", cells


def bulk_problem(conflict: SyncConflict, choice: str, option: Option | None, *, by: User) -> str:
    """Return why this choice isn't possible for a conflict; empty if it is."""
    if not conflict.is_open:
        return "It is resolved already."
    if conflict.is_being_applied:
        return f"{conflict.stored_resolution.by} has just resolved it. NPD Sync is saving that."
    if option is None and (conflict.is_about_record or choice not in resolution.SIDE_OF_TYPE):
        return NOT_OFFERED
    return resolution.deletion_problem(by, conflict.entity_type) if option and option.deletes else ""


def digest_of(values: Mapping[str, Sides]) -> str:
    """Return a hash of a conflict's present values."""
    text = json.dumps(values, sort_keys=True)
    # It only tells whether values changed, and the form carries one for each conflict.
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve_all(digests: Mapping[str, str], choice: str, *, by: User) -> confirmed_action.Report:
    """Resolve each conflict that is still as it was shown, in a transaction of its own."""
    conflicts = list(SyncConflict.objects.filter(pk__in=digests).order_by("detected_at", "id"))
    names = names_of(conflicts)
    resolved = []
    names_by_problem: dict[str, list[str]] = {}
    for conflict in conflicts:
        try:
            values = resolution.current_values(conflict)
            if digest_of(values) != digests[str(conflict.pk)]:
                raise resolution.InvalidResolution(CHANGED)
            resolution_type = choice
            selections = None
            if choice not in resolution.SIDE_OF_TYPE:
                option = act_option(conflict, choice)
                if option is None:
                    raise resolution.InvalidResolution(NOT_OFFERED)
                resolution_type = ResolutionType.MERGE
                selections = {RECORD_KEY: FieldSelection(option.choose, option.value or None)}
            resolution.resolve(conflict.pk, by=by, resolution_type=resolution_type, selections=selections, seen=values)
            resolved.append(conflict.pk)
        except ActionError as error:
            names_by_problem.setdefault(str(error), []).append(names[conflict.pk])
    problems = []
    for problem, records in names_by_problem.items():
        problems.append(f"Not resolved: {join_first(records)}. {problem}")
    number = names[resolved[0]] if len(resolved) == 1 else count_with_noun(len(resolved), "conflict")
    side = {"keep_npd": " with NPD's values", "keep_monday": " with Monday's values"}.get(choice, "")
    types = {conflict.entity_type for conflict in conflicts if conflict.pk in resolved}
    then = wait_sentence(len(resolved), types) or "It takes effect within seconds."
    sentence = f"Resolved{side}: {number}. {then}" if resolved else ""
    undo = [f"conflict:{pk}" for pk in resolved] if choice in resolution.SIDE_OF_TYPE else []
    return confirmed_action.Report(sentence, problems, undo)


def shown_conflicts(text: str) -> dict[str, str]:
    """Return the digests of the conflicts that the page showed, by id, without malformed ones."""
    posted = parse_json(text)
    pairs = list(posted.items())[:MAX_CONFLICTS] if isinstance(posted, dict) else []
    return {key: str(shown) for key, shown in pairs if as_uuid(key)}
