"""What of a board's settings was changed elsewhere while a set-up was drawn up: no run takes that back unasked."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from sync.choices import Rule
from sync.models import BoardLink, SetupDraft
from sync.wizard.differing import as_mapped, changes
from sync.wizard.fields import Wanted, chosen_of

WAS = "was"
"""Where a draft's outcome keeps the settings on which the draft rests."""


def standing_of(link: BoardLink | None) -> dict[str, Any]:
    """Return a board's settings as a draft keeps them; nothing where no set-up was carried out."""
    if link is None:
        return {"fields": {}}
    return {
        "fields": {key: one.to_json() for key, one in as_mapped(link).items()},
        "first_match": link.mappings.values_list("first_match", flat=True).first() or "",
        "creates_records": link.creates_records,
    }


def changed_since(draft: SetupDraft, link: BoardLink | None, fields: list[Wanted]) -> str:
    """Return what is another than when the draft was drawn up, as a clause; empty where nothing is."""
    was, now = draft.outcome.get(WAS), standing_of(link)
    if was is None or was == now:
        return ""
    told = [
        f"{one.field}: {one.what} {one.before} → {one.after}"
        for one in changes(fields, chosen_of(was["fields"]), as_mapped(link), draft.columns)
    ]
    if now.get("first_match") != was.get("first_match") and "first_match" in was and "first_match" in now:
        told.append(
            _("Where both sides differ at first: %(rule)s") % {"rule": Rule(now["first_match"]).label}
        )
    if now.get("creates_records", False) != was.get("creates_records", now.get("creates_records", False)):
        takes = _("yes") if now["creates_records"] else _("no")
        told.append(_("Items become records: %(takes)s") % {"takes": takes})
    return "; ".join(told)
