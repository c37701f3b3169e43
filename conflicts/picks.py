"""What a person chose, as picks bound to the values seen; refused in words where it can't be meant so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from conflicts.around import Around
from conflicts.choice import BASE, CHOICES, CUSTOM, MONDAY, NPD, Pick
from conflicts.errors import BadResolution, Sides, StaleSeen
from conflicts.models import ConflictKind, ResolutionType, SyncConflict
from conflicts.outcome import same, unified
from conflicts.records import default_label, mapped_fields
from conflicts.validation import base_known, problem_with
from sync.boards import link_of
from sync.hooks import RECORD
from sync.models import SyncedModel

Selections = Mapping[str, Mapping[str, Any]]
Seen = Mapping[str, Sides]

BY_A_PERSON = (ResolutionType.KEEP_NPD, ResolutionType.KEEP_MONDAY, ResolutionType.MERGE)
ONE_SIDE = {ResolutionType.KEEP_NPD.value: NPD, ResolutionType.KEEP_MONDAY.value: MONDAY}


def current_values(conflict: SyncConflict) -> dict[str, Sides]:
    """The values of every field in conflict as they are known now; of the record itself, what happened."""
    values: dict[str, Sides] = {
        key: {"npd": conflict.npd_data.get(key), "monday": conflict.monday_data.get(key)}
        for key in conflict.conflict_fields
    }
    return values | ({RECORD: {"npd": conflict.what, "monday": None}} if conflict.is_about_record else {})


def must_be_a_way(resolution_type: str) -> None:
    """Raise BadResolution for a type that no person chooses."""
    if resolution_type not in BY_A_PERSON:
        known = ", ".join(BY_A_PERSON)
        words = _("“%(way)s” is no way to settle a conflict. Choose one of %(known)s.")
        raise BadResolution(words % {"way": resolution_type, "known": known})


def stale(conflict: SyncConflict, keys: list[str]) -> StaleSeen:
    """The refusal that tells the values of now."""
    labels = ", ".join(_("What happened") if key == RECORD else _label(conflict, key) for key in keys)
    words = _("%(field)s changed while you were deciding. Look at the values of now, then choose again.")
    return StaleSeen(words % {"field": labels}, current_values(conflict))


def picks_of_fields(
    conflict: SyncConflict, record: SyncedModel, resolution_type: str, selections: Selections, seen: Seen
) -> dict[str, Pick]:
    """Return a pick for each field chosen; raises StaleSeen, or BadResolution."""
    _must_be_known(conflict, {*selections, *seen})
    must_be_a_way(resolution_type)
    chosen = _picks(conflict, resolution_type, selections, seen)
    _must_be_fresh(conflict, resolution_type, chosen, seen)
    _must_be_possible(conflict, record, chosen)
    return chosen


def _must_be_known(conflict: SyncConflict, keys: set[str]) -> None:
    """Refuse names that no field has; a field that has left the conflict is stale and not unknown."""
    known = {*conflict.conflict_fields, *mapped_fields(conflict.entity_type, link_of(conflict.entity_type))}
    unknown = sorted(keys - known)
    if unknown:
        fields = ", ".join(conflict.conflict_fields)
        words = _("There is no field “%(key)s” in this conflict. Its fields: %(fields)s.")
        problems = {key: words % {"key": key, "fields": fields} for key in unknown}
        raise BadResolution(_("Nothing was stored."), problems)


def _picks(
    conflict: SyncConflict, resolution_type: str, selections: Selections, seen: Seen
) -> dict[str, Pick]:
    side = ONE_SIDE.get(resolution_type)
    if side:
        return {key: _pick(conflict, key, side) for key in conflict.conflict_fields}
    if not selections:
        raise BadResolution(_("No field has a choice yet. Choose a side, or type a value, for one at least."))
    problems = {
        key: problem
        for key, selection in selections.items()
        if (problem := _problem_of_form(conflict, key, selection, seen))
    }
    if problems:
        raise BadResolution(_("Some choices are not complete."), problems)
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
    label = _label(conflict, key)
    choose, value = selection.get("choose"), selection.get("value")
    if key not in seen:
        where = "" if key in conflict.conflict_fields else _("It is not in conflict.")
        words = _("%(field)s: say in “seen” which values you decided on.")
        return f"{words % {'field': label}} {where}".strip()
    if choose not in CHOICES:
        told = {"field": label, "choice": choose, "choices": ", ".join(CHOICES)}
        return _("%(field)s: “%(choice)s” is no choice. Choose one of %(choices)s.") % told
    if choose == CUSTOM and not isinstance(value, str):
        words = _("%(field)s: type the value that you want (an empty text clears the field).")
        return words % {"field": label}
    if choose == CUSTOM and "\x00" in str(value):
        words = _(
            "%(field)s: the text holds a NUL character, which neither side keeps. Type it again without."
        )
        return words % {"field": label}
    return ""


def _must_be_fresh(
    conflict: SyncConflict, resolution_type: str, chosen: Mapping[str, Pick], seen: Seen
) -> None:
    """Compare what was seen with what is known, under the conflict's lock."""
    whole = set(conflict.conflict_fields) | set(seen) if resolution_type in ONE_SIDE else set(chosen)
    changed = [key for key in sorted(whole) if not fresh(conflict, key, seen)]
    if changed:
        raise stale(conflict, changed)


def fresh(conflict: SyncConflict, key: str, seen: Seen) -> bool:
    """Whether the values of a field in conflict are those that were seen."""
    now = current_values(conflict).get(key)
    if key not in seen or now is None:
        return False
    return all(same(seen[key].get(side), now[side]) for side in ("npd", "monday"))


def _must_be_possible(conflict: SyncConflict, record: SyncedModel, chosen: Mapping[str, Pick]) -> None:
    around = Around.of(conflict)
    known = base_known(conflict, around) if any(pick.choose == BASE for pick in chosen.values()) else set()
    problems = {}
    for key, pick in chosen.items():
        if pick.choose == BASE and key not in known:
            problems[key] = _no_base(conflict, key)
        else:
            problem = problem_with(conflict, record, key, pick)
            if problem:
                problems[key] = problem
    if problems:
        raise BadResolution(_("Nothing was stored for %(name)s.") % {"name": record}, problems)


def _no_base(conflict: SyncConflict, key: str) -> str:
    if conflict.kind == ConflictKind.OVERWRITTEN:
        words = _(
            "%(field)s: choose what stands now (npd), the overwritten value (monday), or type one (custom)."
        )
    else:
        words = _("%(field)s: both sides never agreed on a value, so there is none to go back to.")
    return words % {"field": _label(conflict, key)}


def _label(conflict: SyncConflict, key: str) -> str:
    return default_label(conflict.entity_type, key)
