"""A draft's fields become field mappings; what has another column or converter than before gets a new version."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _

from sync.choices import SyncDirection
from sync.connectors.monday.setup import BoardSetup
from sync.models import BoardLink, FieldMapping, SetupDraft
from sync.setup_columns import NAME_TYPE
from sync.wizard.drafts import fields_of
from sync.wizard.fields import Chosen, Wanted, chosen_of


def store_mappings(draft: SetupDraft, link: BoardLink, board: BoardSetup) -> tuple[list[str], bool]:
    """Write the link's mappings in the caller's transaction.

    Return what changed, in words, and whether linked records must be looked at for it.
    """
    chosen = chosen_of(draft.fields)
    known = {one.key: one for one in link.mappings.all()}
    words, again = [], False
    for position, one in enumerate(fields_of(draft.entity_type)):
        choice, before = chosen.get(one.key, Chosen()), known.get(one.key)
        if not choice.synced:
            again |= _leave_out(link, one, before, position)
            continue
        values = _values(draft, one, choice, board)
        if before is None:
            FieldMapping.objects.create(
                link=link, key=one.key, label=one.label, fields=list(one.fields), required=one.required,
                position=position, **values,
            )  # fmt: skip
            again = True
            continue
        changed = [name for name, value in values.items() if getattr(before, name) != value]
        if {"column_id", "converter"} & set(changed):
            values["version"] = F("version") + 1
            words.append(_("%(field)s has the column %(column)s now") % {
                "field": one.label, "column": values["column_id"],
            })  # fmt: skip
        FieldMapping.objects.filter(pk=before.pk).update(**values, problem="")
        again |= bool({"column_id", "converter", "direction"} & set(changed))
    return words, again


def _leave_out(link: BoardLink, one: Wanted, before: FieldMapping | None, position: int) -> bool:
    """Nothing of it flows; its row stays, so that no later set-up takes it for forgotten."""
    if before is not None:
        moved = FieldMapping.objects.filter(pk=before.pk).exclude(direction=SyncDirection.NONE)
        return bool(moved.update(direction=SyncDirection.NONE, problem=""))
    FieldMapping.objects.create(
        link=link, key=one.key, label=one.label, fields=list(one.fields), required=one.required,
        position=position, converter=one.types[one.made_type], direction=SyncDirection.NONE,
    )  # fmt: skip
    return False


def _values(draft: SetupDraft, one: Wanted, choice: Chosen, board: BoardSetup) -> dict[str, Any]:
    values: dict[str, Any] = {
        "direction": choice.direction, "rule": choice.rule, "first_match": draft.first_match,
    }  # fmt: skip
    if one.is_name:
        return {**values, "column_id": NAME_TYPE, "converter": one.types[NAME_TYPE]}
    column = board.columns[one.key]
    options = {"column_type": column.type, "settings": dict(column.settings)}
    return {**values, "column_id": column.id, "converter": one.types[column.type], "options": options}
