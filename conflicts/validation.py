"""Whether a chosen value can be stored: as the mapping's converter and the model's own field see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from conflicts.around import Around
from conflicts.choice import CUSTOM, MONDAY, Pick
from conflicts.models import ConflictKind, SyncConflict
from conflicts.outcome import outcome
from conflicts.records import MappedField, mapped_fields
from sync.boards import link_of
from sync.connectors.monday.converters import Local
from sync.engine.related import NotFound
from sync.engine.typing_in import typed
from sync.engine.values import cleaned
from sync.models import FieldMapping, SyncedModel


def base_known(conflict: SyncConflict, around: Around) -> set[str]:
    """The fields in conflict on which both sides once agreed, if only that they are empty.

    Of an overwritten edit none: both sides agree on what stands now.
    """
    if conflict.kind == ConflictKind.OVERWRITTEN:
        return set()
    known = {key for key in conflict.conflict_fields if conflict.base_data.get(key) is not None}
    base = around.ledger.base if around.ledger else {}
    mappings = {mapping.key: mapping for mapping in around.mappings}
    there = [key for key in conflict.conflict_fields if key in base]
    return known | {key for key in there if _still_counts(conflict, base[key], mappings.get(key))}


def _still_counts(conflict: SyncConflict, entry: Mapping[str, Any], mapping: FieldMapping | None) -> bool:
    """Whether a stored pair belongs to the present item, column and mapping version; else it is no base."""
    if mapping is None:
        return True
    now = (conflict.monday_item_id, mapping.column_id, mapping.version)
    return (entry["item"], entry["column"], entry["version"]) == now


def problem_with(conflict: SyncConflict, record: SyncedModel, key: str, pick: Pick) -> str:
    """Why this choice can't be stored, as a sentence; an empty text when it can.

    A value that stands on a side already is checked only for being needed; the look that applies it says
    what the other side makes of it.
    """
    mapped = mapped_fields(conflict.entity_type, link_of(conflict.entity_type)).get(key)
    if mapped is None:
        words = _(
            "%(field)s: this field is no longer mapped to a column, so the next look closes its conflict."
        )
        return words % {"field": key}
    leads_to = outcome(
        pick.choose,
        npd=pick.npd,
        base=conflict.base_data.get(key),
        monday=pick.monday,
        value=pick.value,
        kind=conflict.kind,
    )
    if leads_to.value is None and mapped.required:
        words = _("%(field)s of %(name)s can't be empty. Choose a side that has a value, or type one.")
        return words % {"field": mapped.label, "name": record}
    if pick.choose == CUSTOM:
        return problem_with_text(mapped, record, pick.value or "")
    if pick.choose == MONDAY and conflict.kind == ConflictKind.OVERWRITTEN:
        return problem_with_text(mapped, record, pick.monday or "")  # it stands nowhere: as if it were typed
    return ""


def problem_with_text(mapped: MappedField, record: SyncedModel, text: str) -> str:
    """Why a typed text can't be stored in NPD or on Monday, as a sentence; an empty text when it can."""
    convert = mapped.converter_for(record)
    try:
        raw = typed(convert, record, mapped.fields, text)
        limit = convert.limit(raw)
    except (ValueError, NotFound) as error:
        return f"{mapped.label}: {error}"
    return _problem_in_npd(mapped, record, raw) or _problem_on_monday(mapped, limit)


def _problem_in_npd(mapped: MappedField, record: SyncedModel, raw: Local) -> str:
    try:
        cleaned(record, raw)
    except ValidationError as error:
        told = {"field": mapped.label, "name": record, "why": " ".join(error.messages)}
        return _("%(field)s of %(name)s: %(why)s Correct it, or choose a side.") % told
    return ""


def _problem_on_monday(mapped: MappedField, limit: str | None) -> str:
    if not limit:
        return ""
    words = _("%(field)s: Monday won't take it (%(limit)s). Shorten it, or choose a side.")
    return words % {"field": mapped.label, "limit": limit}
