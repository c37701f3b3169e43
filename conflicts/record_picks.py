"""What a person chose about the record itself: one of the options offered, for exactly what was seen."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _

from conflicts.about_record import option_named, option_on_side, options_of
from conflicts.choice import Pick
from conflicts.errors import BadResolution
from conflicts.models import ConflictKind, SyncConflict
from conflicts.picks import ONE_SIDE, Seen, Selections, current_values, fresh, must_be_a_way, stale
from sync.hooks import RECORD, Option


def picks_of_record(
    conflict: SyncConflict, resolution_type: str, selections: Selections, seen: Seen
) -> dict[str, Pick]:
    """Return the pick of an option that is offered; raises StaleSeen, or BadResolution."""
    must_be_a_way(resolution_type)
    option = _option(conflict, resolution_type, selections)
    _must_be_fresh(conflict, seen)
    pick = Pick(
        choose=option.choose,
        value=option.value or None,
        npd=conflict.what,
        seen={
            key: (conflict.npd_data.get(key), conflict.monday_data.get(key))
            for key in conflict.conflict_fields
        },
    )
    return {RECORD: pick}


def _option(conflict: SyncConflict, resolution_type: str, selections: Selections) -> Option:
    side = ONE_SIDE.get(resolution_type)
    if side:
        found, asked = option_on_side(conflict, side), resolution_type
    else:
        _must_be_about_record(conflict, selections)
        selection = selections[RECORD]
        choose, value = str(selection.get("choose")), str(selection.get("value") or "")
        found, asked = option_named(options_of(conflict), choose, value), f"{choose} {value}".strip()
    if found is None:
        raise BadResolution(_("“%(way)s” is not offered here.") % {"way": asked} + f" {_offered(conflict)}")
    return found


def _must_be_about_record(conflict: SyncConflict, selections: Selections) -> None:
    """One choice for the record, under its key; a name beside it would be dropped silently."""
    if not selections:
        raise BadResolution(f"{_('Nothing is chosen yet.')} {_offered(conflict)}")
    strange = sorted(set(selections) - {RECORD})
    if strange or RECORD not in selections:
        words = _("This conflict is about the record itself: choose under “%(key)s”.")
        problem = f"{words % {'key': RECORD}} {_offered(conflict)}"
        raise BadResolution(_("Nothing was stored."), dict.fromkeys(strange or [RECORD], problem))


def _offered(conflict: SyncConflict) -> str:
    """The options as a caller names them."""
    options = options_of(conflict)
    if not options:
        return _("No way out is offered yet: the record's next look says which there are.")
    named = "; ".join(f"{_named(option)} ({option.label})" for option in options)
    return _("Offered: %(options)s.") % {"options": named}


def _named(option: Option) -> str:
    return f"{option.choose} “{option.value}”" if option.value else option.choose


def _must_be_fresh(conflict: SyncConflict, seen: Seen) -> None:
    """Every edited field has to be seen as it is, of an identity what was asked; of a delete that may be left out."""
    asked: Mapping[str, object] = current_values(conflict)
    needed = set(asked) - ({RECORD} if conflict.kind == ConflictKind.DELETE else set())
    changed = [key for key in sorted(needed | set(seen)) if not fresh(conflict, key, seen)]
    if changed:
        raise stale(conflict, changed)
