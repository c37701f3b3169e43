"""A conflict about the record itself made ready for its screen: the ways out, and the candidates side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from conflicts.about_record import options_of
from conflicts.around import Around
from conflicts.choice import Pick
from conflicts.models import ConflictKind, SyncConflict
from sync.admin.base import record_url
from sync.engine.showing import Shown
from sync.hooks import RECORD, Option
from sync.models import SyncedModel
from sync.registry import kind_name


@dataclass(frozen=True)
class Way:
    """One option on the screen; `name` is what the form sends."""

    name: str
    label: str
    effect: str
    chosen: bool


@dataclass(frozen=True)
class Column:
    """One record or item among those that could be the same."""

    title: str
    where: str
    url: str = ""
    note: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One field of all columns; `differs` from the first column where it says something else."""

    label: str
    cells: Sequence[tuple[str, bool]]


def ways_of(conflict: SyncConflict, posted: Mapping[str, Pick] | None = None) -> list[Way]:
    """The options; what was posted, chosen, or handed back by a look stays chosen."""
    choice = conflict.stored_choice
    picks = posted if posted is not None else {**choice.handed_back, **choice.fields}
    pick = picks.get(RECORD, Pick(""))
    return [_way(option, pick) for option in options_of(conflict)]


def _way(option: Option, pick: Pick) -> Way:
    name = f"{option.choose} {option.value}".strip()
    return Way(
        name, option.label, option.effect, (option.choose, option.value) == (pick.choose, pick.value or "")
    )


def seen_of(conflict: SyncConflict) -> list[tuple[str, str]]:
    """What the screen shows, as it travels with the form: a name and JSON."""
    values = {
        key: [conflict.npd_data.get(key), conflict.monday_data.get(key)] for key in conflict.conflict_fields
    }
    return [(key, json.dumps(pair)) for key, pair in (values | {RECORD: [conflict.what, None]}).items()]


def columns_of(conflict: SyncConflict, around: Around) -> list[Column]:
    """The record (or the item) in question, and beside it everything that it could be."""
    found = conflict.about.get("candidates") or []
    if conflict.kind != ConflictKind.IDENTITY or not found:
        return []
    keys = {_as_uuid(str(one.get("id", ""))) for one in found}
    shown = _Columns(conflict, around, [key for key in keys if key])
    asks_of_item = bool(conflict.about.get("item")) or conflict.entity_id in keys
    first = shown.item_in_question() if asks_of_item else shown.record_in_question()
    return [*first, *(shown.candidate(one) for one in found)]


def lines_of(around: Around, columns: Sequence[Column]) -> list[Line]:
    """The fields that any column has a value of, in the order of the mappings."""
    lines = []
    for key, known in around.mapped.items():
        texts = [column.values.get(key, "") for column in columns]
        if any(texts):
            lines.append(Line(known.label, [(text, text != texts[0]) for text in texts]))
    return lines


class _Columns:
    """Makes the columns of one conflict; its candidates in NPD are read with one query."""

    def __init__(self, conflict: SyncConflict, around: Around, keys: Sequence[UUID]) -> None:
        self.conflict, self.around = conflict, around
        self.found = around.records(keys) if keys else {}
        records = [*self.found.values(), *([around.record] if around.record else [])]
        self.shown = Shown(around.link, around.mappings, records) if around.link else None

    def record_in_question(self) -> list[Column]:
        record = self.around.record
        where = _("This %(kind)s in NPD") % {"kind": kind_name(self.conflict.entity_type)}
        return [self._of_record(record, where)] if record else []

    def item_in_question(self) -> list[Column]:
        item = self.conflict.about.get("item") or {"id": self.conflict.monday_item_id, "label": ""}
        title = item.get("label") or _("Item %(id)s") % {"id": item["id"]}
        where = _("The item on Monday")
        url = self.around.item_url(str(item["id"]))
        return [Column(title, where, url, values=item.get("values") or {})]

    def candidate(self, one: Mapping[str, Any]) -> Column:
        key = _as_uuid(str(one.get("id", "")))
        record = self.found.get(key) if key else None
        taken = _("Has the item %(id)s already.") % {"id": one["linked_to"]} if one.get("linked_to") else ""
        if record is not None:
            return self._of_record(record, _("In NPD"), taken)
        label, where = str(one.get("label") or one.get("id")), _("In NPD") if key else _("On Monday")
        url = "" if key else self.around.item_url(str(one.get("id") or ""))
        note = _("Belongs to another record already.") if taken and not key else taken
        return Column(label, where, url, note, one.get("values") or {})

    def _of_record(self, record: SyncedModel, where: str, note: str = "") -> Column:
        url = record_url(self.conflict.entity_type, record.pk)
        return Column(str(record), where, url, note, self._values(record))

    def _values(self, record: SyncedModel) -> dict[str, str]:
        if self.shown is None:
            return {}
        return {one.key: self.shown.sides(record, one, None)[0] for one in self.around.mappings}


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
