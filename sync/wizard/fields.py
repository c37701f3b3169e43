"""Which fields a type has, which columns fit them, and what is wrong with a choice. Reads nothing from Monday."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from sync.choices import Rule, SyncDirection
from sync.connectors.monday.items import KNOWN_TYPES
from sync.connectors.monday.setup import RELATION
from sync.models import BoardLink, FieldMapping
from sync.registry import EntitySpec
from sync.rules import rules_for
from sync.setup_columns import NAME_TYPE, column_type

MAKE = "+"
"""Stands for a column that is to be made."""
Told = Mapping[str, Any]
"""A column as a draft keeps it: title, type, settings, samples."""


@dataclass(frozen=True)
class Wanted:
    """A field that may have a column; `types` gives the converter for each type of column that will do.

    `target` is the type of records that a relation points at, `target_board` these records' board, where it has one.
    """

    key: str
    label: str
    fields: tuple[str, ...]
    types: Mapping[str, str]
    made_type: str
    preferred_id: str
    required: bool = False
    optional: bool = False
    is_match_key: bool = False
    rules: Sequence[Rule] = field(default_factory=tuple)
    target: str = ""
    target_board: str = ""

    @property
    def is_name(self) -> bool:
        """Whether it is the item's name, which every board has."""
        return NAME_TYPE in self.types


@dataclass(frozen=True)
class Chosen:
    """What a person wants of a field."""

    column: str = ""
    direction: str = SyncDirection.BIDIRECTIONAL
    rule: str = Rule.ASK

    @property
    def synced(self) -> bool:
        """Whether the field has a column and something may flow."""
        return bool(self.column) and self.direction != SyncDirection.NONE

    def to_json(self) -> dict[str, str]:
        """Return it as a draft keeps it."""
        return {"column": self.column, "direction": str(self.direction), "rule": str(self.rule)}


def chosen_of(fields: Mapping[str, Mapping[str, str]]) -> dict[str, Chosen]:
    """Return a draft's choices."""
    return {key: Chosen(one["column"], one["direction"], one["rule"]) for key, one in fields.items()}


def wanted_fields(
    spec: EntitySpec, targets: Mapping[str, tuple[str, str]], link: BoardLink | None = None
) -> list[Wanted]:
    """Return the fields of a type, in their order; `targets` gives the type and board that a relation leads to."""
    sample = link or BoardLink(entity_type=spec.entity_type)
    return [
        Wanted(
            key=one.key,
            label=one.label,
            fields=one.fields,
            types=dict(one.column_types) or {column_type(one.converter): one.converter},
            made_type=next((kind for kind, name in one.column_types.items() if name == one.converter), "")
            or column_type(one.converter),
            preferred_id=one.column_id,
            required=one.required,
            optional=one.optional,
            is_match_key=one.key == spec.match_key,
            rules=tuple(
                rules_for(FieldMapping(link=sample, fields=list(one.fields), converter=one.converter))
            ),
            target=targets.get(one.key, ("", ""))[0],
            target_board=targets.get(one.key, ("", ""))[1],
        )
        for one in spec.mappings
    ]


def why_not(wanted: Wanted, column: Told) -> str:
    """Return why a column won't do for a field; empty where it will."""
    kind, title = str(column["type"]), str(column["title"])
    if kind not in wanted.types:
        return _("“%(title)s” is of the type %(type)s; %(field)s needs %(types)s.") % {
            "title": title,
            "type": kind,
            "field": wanted.label,
            "types": _(" or ").join(wanted.types),
        }
    boards = {str(one) for one in (column.get("settings") or {}).get("boardIds") or []}
    if kind == RELATION and (not wanted.target_board or wanted.target_board not in boards):
        return _("“%(title)s” doesn't lead to the board that %(field)s points at.") % {
            "title": title,
            "field": wanted.label,
        }
    return ""


def why_useless(fields: Sequence[Wanted], column: Told) -> str:
    """Return why no field can have a column; empty where one can."""
    if column["type"] not in KNOWN_TYPES:
        return _("NPD Sync doesn't read columns of the type %(type)s.") % {"type": column["type"]}
    reasons = [why_not(one, column) for one in fields]
    if all(reasons):
        leading = [reason for one, reason in zip(fields, reasons, strict=True) if column["type"] in one.types]
        return (
            leading[0]
            if leading
            else _("No field takes columns of the type %(type)s.") % {"type": column["type"]}
        )
    return ""


def npd_id_column(link: BoardLink | None, columns: Mapping[str, Told]) -> str:
    """Return the column that holds the NPD ID; empty where one has to be made."""
    kept = link.npd_id_column if link is not None else ""
    texts = {one: told for one, told in columns.items() if told["type"] == "text"}
    if kept in texts:
        return kept
    if "npd_id" in texts:
        return "npd_id"
    return next((one for one, told in texts.items() if told["title"].strip().casefold() == "npd id"), "")


def problems(
    fields: Sequence[Wanted], chosen: Mapping[str, Chosen], columns: Mapping[str, Told], npd_id: str
) -> dict[str, list[str]]:
    """Return what is wrong with these choices, in sentences, by field; nothing where all is well."""
    found: dict[str, list[str]] = {}
    owner = {npd_id: _("NPD ID")} if npd_id else {}
    for one in fields:
        choice = chosen.get(one.key, Chosen())
        if said := [*_of_one(one, choice, columns), *_taken(one, choice, columns, owner)]:
            found[one.key] = said
        if choice.synced and choice.column != MAKE:
            owner.setdefault(choice.column, one.label)
    return found


def _of_one(one: Wanted, choice: Chosen, columns: Mapping[str, Told]) -> list[str]:
    said = []
    if choice.direction not in SyncDirection.values or choice.rule not in {str(rule) for rule in one.rules}:
        said.append(_("Choose one of the directions and rules that are offered."))
    if (one.required or one.is_match_key) and not choice.synced:
        reason = (
            _("records and items are matched by it") if one.is_match_key else _("NPD needs a value for it")
        )
        said.append(
            _("%(field)s must be synced, for %(reason)s. Choose a column and a direction.")
            % {"field": one.label, "reason": reason}
        )
    if not choice.column or one.is_name:
        return said
    if choice.column == MAKE:
        return [*said, *_makes(one, columns)]
    told = columns.get(choice.column)
    if told is None:
        gone = _("The column %(column)s is not on the board any more. Choose another.")
        return [*said, gone % {"column": choice.column}]
    return [*said, *filter(None, [why_not(one, told)])]


def _makes(one: Wanted, columns: Mapping[str, Told]) -> list[str]:
    if one.made_type == RELATION and not one.target:
        return [_("%(field)s needs the other board first. Set that one up, too.") % {"field": one.label}]
    same = [
        told for told in columns.values()
        if told["title"].strip().casefold() == one.label.strip().casefold() and not why_not(one, told)
    ]  # fmt: skip
    if not same:
        return []
    said = _("The board has a column “%(title)s” that fits. Choose it, or rename it on the board.")
    return [said % {"title": same[0]["title"]}]


def _taken(one: Wanted, choice: Chosen, columns: Mapping[str, Told], owner: Mapping[str, str]) -> list[str]:
    if not choice.synced or choice.column == MAKE or choice.column not in owner:
        return []
    title = columns.get(choice.column, {"title": choice.column})["title"]
    said = _("“%(title)s” is the column of %(other)s already. A column serves one field; choose another.")
    return [said % {"title": title, "other": owner[choice.column]}]
