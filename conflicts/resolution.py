"""Taking a person's choice: checked, stored at once, and applied by the record's next look."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from conflicts.choice import BASE, CHOICES, CUSTOM, MONDAY, NPD, Pick, StoredChoice
from conflicts.errors import BadResolution, NotWaiting, Sides, StaleSeen
from conflicts.history import Events
from conflicts.models import ConflictKind, ResolutionType, SyncConflict
from conflicts.outcome import same, unified
from conflicts.records import default_label, mapped_fields, name_of, record_of
from conflicts.validation import base_known, problem_with
from sync import wake
from sync.boards import link_of
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.enqueue import enqueue_many
from sync.models import SyncedModel

Selections = Mapping[str, Mapping[str, Any]]
Seen = Mapping[str, Sides]

BY_A_PERSON = (ResolutionType.KEEP_NPD, ResolutionType.KEEP_MONDAY, ResolutionType.MERGE)
ONE_SIDE = {ResolutionType.KEEP_NPD.value: NPD, ResolutionType.KEEP_MONDAY.value: MONDAY}


def resolve(
    conflict_id: UUID | str,
    *,
    by: AbstractBaseUser,
    resolution_type: str,
    selections: Selections | None = None,
    seen: Seen,
) -> SyncConflict:
    """Store a choice for exactly the values seen, and wake the look that applies it.

    Of a merge, fields without a selection stay in conflict (`SyncConflict.left_open` names them). Raises
    SyncConflict.DoesNotExist, NotWaiting, StaleSeen, or BadResolution; then nothing was stored.
    """
    with transaction.atomic():
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        record = _must_wait(conflict)
        _must_be_known(conflict, {*(selections or {}), *seen})
        chosen = _picks(conflict, resolution_type, selections or {}, seen)
        _must_be_fresh(conflict, resolution_type, chosen, seen)
        _must_be_possible(conflict, record, chosen)
        choice = StoredChoice(
            resolution_type=resolution_type,
            by_id=by.pk,
            by=_called(by),
            at=sync_now().isoformat(),
            fields=chosen,
        )
        conflict.choice, conflict.choice_problem = choice.to_json(), ""
        conflict.save(update_fields=["choice", "choice_problem"])
        events = Events()
        events.chosen(conflict, choice)
        events.save()
        enqueue_many(conflict.entity_type, [conflict.entity_id], cause=Cause.PERSON, priority=Priority.PERSON)
        transaction.on_commit(partial(wake.send, conflict.entity_type), robust=True)
    return conflict


def current_values(conflict: SyncConflict) -> dict[str, Sides]:
    """The values of every field in conflict as they are known now."""
    return {
        key: {"npd": conflict.npd_data.get(key), "monday": conflict.monday_data.get(key)}
        for key in conflict.conflict_fields
    }


def _called(by: AbstractBaseUser) -> str:
    full_name = getattr(by, "get_full_name", str)()
    return full_name or by.get_username()


def _must_wait(conflict: SyncConflict) -> SyncedModel:
    """Return the record of a conflict that a choice can be made for."""
    record = record_of(conflict)
    name = name_of(conflict, record)
    if not conflict.is_open:
        raise NotWaiting(f"The conflict of {name} is settled already.", current_values(conflict))
    if conflict.is_being_applied:
        who = conflict.stored_choice.by
        raise NotWaiting(
            f"{who} chose for {name} already, and that is being applied. Wait for it, then look again.",
            current_values(conflict),
        )
    if conflict.kind != ConflictKind.FIELDS:
        raise BadResolution(
            f"This conflict of {name} is not about values, so no side can be chosen here."
            " Its page in the admin says what to do."
        )
    if record is None:
        raise BadResolution("The record is gone from NPD; the next look closes this conflict.")
    if not record.may_sync:
        raise BadResolution(
            f"Sync is off for {name}, so nothing can be written. Switch it on at the record, then choose."
        )
    return record


def _must_be_known(conflict: SyncConflict, keys: set[str]) -> None:
    """Refuse names that no field has; a field that has left the conflict is stale and not unknown."""
    known = {*conflict.conflict_fields, *mapped_fields(conflict.entity_type, link_of(conflict.entity_type))}
    unknown = sorted(keys - known)
    if unknown:
        fields = ", ".join(conflict.conflict_fields)
        problems = {
            key: f"There is no field “{key}” in this conflict. Its fields: {fields}." for key in unknown
        }
        raise BadResolution("Nothing was stored.", problems)


def _picks(
    conflict: SyncConflict, resolution_type: str, selections: Selections, seen: Seen
) -> dict[str, Pick]:
    if resolution_type not in BY_A_PERSON:
        known = ", ".join(BY_A_PERSON)
        raise BadResolution(f"“{resolution_type}” is no way to settle a conflict. Choose one of {known}.")
    side = ONE_SIDE.get(resolution_type)
    if side:
        return {key: _pick(conflict, key, side) for key in conflict.conflict_fields}
    if not selections:
        raise BadResolution("No field has a choice yet. Choose a side, or type a value, for one at least.")
    problems = {
        key: problem
        for key, selection in selections.items()
        if (problem := _problem_of_form(conflict, key, selection, seen))
    }
    if problems:
        raise BadResolution("Some choices are not complete.", problems)
    return {key: _pick(conflict, key, s["choose"], s.get("value")) for key, s in selections.items()}


def _pick(conflict: SyncConflict, key: str, choose: str, value: str | None = None) -> Pick:
    """A pick bound to the stored values; that these are the ones seen is checked next."""
    return Pick(
        choose=choose,
        value=unified(value) if choose == CUSTOM else None,
        npd=conflict.npd_data.get(key),
        monday=conflict.monday_data.get(key),
    )


def _problem_of_form(conflict: SyncConflict, key: str, selection: Mapping[str, Any], seen: Seen) -> str:
    label = default_label(conflict.entity_type, key)
    choose, value = selection.get("choose"), selection.get("value")
    if key not in seen:
        where = "" if key in conflict.conflict_fields else " It is not in conflict."
        return f"{label}: say in “seen” which values you decided on.{where}"
    if choose not in CHOICES:
        return f"{label}: “{choose}” is no choice. Choose one of {', '.join(CHOICES)}."
    if choose == CUSTOM and not isinstance(value, str):
        return f"{label}: type the value that you want (an empty text clears the field)."
    return ""


def _must_be_fresh(
    conflict: SyncConflict, resolution_type: str, chosen: Mapping[str, Pick], seen: Seen
) -> None:
    """Compare what was seen with what is known, under the conflict's lock."""
    whole = set(conflict.conflict_fields) | set(seen) if resolution_type in ONE_SIDE else set(chosen)
    changed = [key for key in sorted(whole) if not _fresh(conflict, key, seen)]
    if changed:
        labels = ", ".join(default_label(conflict.entity_type, key) for key in changed)
        raise StaleSeen(
            f"{labels} changed while you were deciding. Look at the values of now, then choose again.",
            current_values(conflict),
        )


def _fresh(conflict: SyncConflict, key: str, seen: Seen) -> bool:
    if key not in seen or key not in conflict.conflict_fields:
        return False
    sides = seen[key]
    return same(sides.get("npd"), conflict.npd_data.get(key)) and same(
        sides.get("monday"), conflict.monday_data.get(key)
    )


def _must_be_possible(conflict: SyncConflict, record: SyncedModel, chosen: Mapping[str, Pick]) -> None:
    known = base_known(conflict) if any(pick.choose == BASE for pick in chosen.values()) else set()
    problems = {}
    for key, pick in chosen.items():
        if pick.choose == BASE and key not in known:
            label = default_label(conflict.entity_type, key)
            problems[key] = f"{label}: both sides never agreed on a value, so there is none to go back to."
        else:
            problem = problem_with(conflict, record, key, pick)
            if problem:
                problems[key] = problem
    if problems:
        raise BadResolution(f"Nothing was stored for {record}.", problems)
