"""What a person sent with a screen's form."""

from __future__ import annotations

import json

from django.http import HttpRequest

from conflicts.about_record import option_on_side
from conflicts.choice import CHOICES, CUSTOM, MONDAY, NPD, Pick
from conflicts.models import ResolutionType, SyncConflict
from conflicts.presenting import Posted
from sync.hooks import RECORD

OPTION = "option"
"""The form field that names the chosen way out of a conflict about the record: `choose`, or `choose value`."""


def posted_of(request: HttpRequest) -> Posted:
    """Read the form. The values seen travel as JSON, since a browser rewrites line ends in form fields."""
    seen, picks = {}, {}
    for name, raw in request.POST.items():
        prefix, _, key = name.partition("-")
        if prefix == "seen":
            seen[key] = sides(str(raw))
        elif prefix == "pick" and raw in CHOICES:
            typed = request.POST.get(f"value-{key}", "") if raw == CUSTOM else None
            picks[key] = Pick(choose=str(raw), value=typed)
        elif name == OPTION:
            choose, _, value = str(raw).partition(" ")
            picks[RECORD] = Pick(choose=choose, value=value or None)
    return Posted(seen=seen, picks=picks)


def sides(raw: str) -> dict[str, str | None]:
    """A seen value that was tampered with is one that nobody saw: it fits nothing stored."""
    try:
        npd, monday = json.loads(raw)
    except (ValueError, TypeError):
        return {"npd": raw, "monday": raw}
    return {
        side: text if isinstance(text, str) else None for side, text in (("npd", npd), ("monday", monday))
    }


def type_of(conflict: SyncConflict, posted: Posted) -> str:
    """A choice of one side for everything is kept as such."""
    if conflict.is_about_record:
        return _type_of_option(conflict, posted.picks.get(RECORD))
    chosen = {pick.choose for pick in posted.picks.values()}
    if set(posted.picks) == set(posted.seen) and len(chosen) == 1:
        if chosen == {NPD}:
            return ResolutionType.KEEP_NPD
        if chosen == {MONDAY}:
            return ResolutionType.KEEP_MONDAY
    return ResolutionType.MERGE


def _type_of_option(conflict: SyncConflict, pick: Pick | None) -> str:
    for side, kept in ((NPD, ResolutionType.KEEP_NPD), (MONDAY, ResolutionType.KEEP_MONDAY)):
        option = option_on_side(conflict, side)
        if pick and option and (pick.choose, pick.value or "") == (option.choose, option.value):
            return kept
    return ResolutionType.MERGE
