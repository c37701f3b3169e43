"""Which columns the set-up of a board asks for, and what is written down of those it found or made."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F

from sync import registry
from sync.boards import link_of
from sync.choices import SyncDirection
from sync.connectors.monday.boards import BoardColumn
from sync.connectors.monday.converters import converter
from sync.connectors.monday.setup import RELATION, BoardSetup, BoardSpec, ColumnSpec
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.registry import EntitySpec, MappingSpec

NPD_ID_KEY = "npd_id"
NPD_ID_TITLE = "NPD ID"
NAME_TYPE = "name"


@dataclass
class Stored:
    """What the columns on the board led to: in words, what is wrong, and whether records must be looked at."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    look_again: bool = False


def column_type(converter_name: str) -> str:
    """The type of the column that is made for a converter."""
    return converter(converter_name).column_type


def fitting_types(mapping: FieldMapping) -> tuple[str, ...]:
    """The types of columns that a mapping can live with, the best first."""
    spec = spec_of(mapping)
    return tuple(spec.column_types) if spec and spec.column_types else (column_type(mapping.converter),)


def spec_of(mapping: FieldMapping) -> MappingSpec | None:
    """What the application proposed for a mapping, None where it proposes it no more."""
    specs = registry.entity(mapping.link.entity_type).mappings
    return next((spec for spec in specs if spec.key == mapping.key), None)


def optional_keys() -> list[str]:
    """The columns that are only made on request, as `--with` names them: contact.organization …"""
    return [f"{e.entity_type}.{m.key}" for e in registry.entities() for m in e.mappings if m.optional]


def make_mappings(spec: EntitySpec, link: BoardLink) -> None:
    """Have a mapping for everything that is always synced; an optional one waits for its column."""
    for position, mapping in enumerate(spec.mappings):
        if mapping.optional:
            continue
        column_id = NAME_TYPE if column_type(mapping.converter) == NAME_TYPE else ""
        _make_mapping(link, mapping, position, column_id=column_id)


def board_spec(spec: EntitySpec, link: BoardLink, requested: Collection[str] = ()) -> BoardSpec:
    """The board with every column that is needed, or welcome; `requested` ones are needed too."""
    known = {mapping.key: mapping for mapping in link.mappings.all()}
    proposed = {mapping.key: mapping for mapping in spec.mappings}
    columns = []
    for key in [*known, *(key for key in proposed if key not in known)]:
        mapping, proposal = known.get(key), proposed.get(key)
        if mapping is not None and mapping.direction == SyncDirection.NONE:
            continue
        columns.append(_column_spec(spec, key, mapping, proposal, needed=key in requested))
    wanted = [column for column in columns if column.type != NAME_TYPE]
    npd_id = ColumnSpec(NPD_ID_KEY, NPD_ID_TITLE, "text", link.npd_id_column or NPD_ID_KEY)
    return BoardSpec(spec.entity_type, spec.board_title, link.board_id, [*wanted, npd_id])


def store(spec: EntitySpec, link: BoardLink, board: BoardSetup) -> Stored:
    """Write down which column each mapping has now; one that moved or changed its type gets a new version."""
    stored = Stored()
    known = {mapping.key: mapping for mapping in link.mappings.all()}
    for position, proposal in enumerate(spec.mappings):
        column = board.columns.get(proposal.key)
        if proposal.key not in known and column is not None:
            _adopt(stored, link, proposal, position, column)
    for mapping in known.values():
        column = board.columns.get(mapping.key)
        if column is not None:
            _update(stored, mapping, column, board.unfit.get(mapping.key, ""))
        elif mapping.column_id and mapping.column_id != NAME_TYPE and mapping.direction != SyncDirection.NONE:
            stored.problems.append(_optional_gone(spec, mapping, board.unfit.get(mapping.key, "")))
    unused = [
        proposal for proposal in spec.mappings if proposal.key not in known and proposal.key in board.unfit
    ]
    stored.done += [f"{one.label} is not synced: {board.unfit[one.key]}" for one in unused]
    return stored


def _column_spec(
    spec: EntitySpec, key: str, mapping: FieldMapping | None, proposal: MappingSpec | None, *, needed: bool
) -> ColumnSpec:
    name = mapping.converter if mapping is not None else proposal.converter if proposal else ""
    types = tuple(proposal.column_types) if proposal is not None else ()
    made = _type_made(proposal, name)
    label = mapping.label if mapping is not None else proposal.label if proposal is not None else key
    preferred = proposal.column_id if proposal is not None else key
    return ColumnSpec(
        key=key,
        title=label,
        type=made,
        preferred_id=(mapping.column_id if mapping is not None else "") or preferred,
        types=types,
        optional=proposal is not None and proposal.optional and not needed,
        target_board=_target_board(spec, proposal) if RELATION in (made, *types) else None,
    )


def _type_made(proposal: MappingSpec | None, converter_name: str) -> str:
    """The column type to make for a converter: the one that the proposal names for it, else the converter's own."""
    named = proposal.column_types if proposal is not None else {}
    return next((kind for kind, name in named.items() if name == converter_name), "") or column_type(
        converter_name
    )


def target_board_of(mapping: FieldMapping) -> str | None:
    """The board to which a mapping's relation must lead; None where its field points at no record."""
    return _target_board(registry.entity(mapping.link.entity_type), spec_of(mapping))


def _target_board(spec: EntitySpec, proposal: MappingSpec | None) -> str | None:
    """The board of the records to which a relation's field points, None where there is none yet."""
    if proposal is None:
        return None
    try:
        target: Any = spec.model._meta.get_field(proposal.fields[0]).related_model
    except FieldDoesNotExist:
        return None
    if not (isinstance(target, type) and issubclass(target, SyncedModel)):
        return None
    link = link_of(target.entity_type())
    return link.board_id or None if link is not None else None


def _make_mapping(
    link: BoardLink, proposal: MappingSpec, position: int, *, column_id: str, **more: Any
) -> FieldMapping:
    defaults = {
        "label": proposal.label,
        "fields": list(proposal.fields),
        "converter": proposal.converter,
        "required": proposal.required,
        "position": position,
        "column_id": column_id,
    }
    return FieldMapping.objects.get_or_create(link=link, key=proposal.key, defaults=defaults | more)[0]


def _adopt(
    stored: Stored, link: BoardLink, proposal: MappingSpec, position: int, column: BoardColumn
) -> None:
    """From now on an optional mapping has its column, and with it is synced."""
    name = proposal.converter_for(column.type) or proposal.converter
    _make_mapping(link, proposal, position, column_id=column.id, converter=name, options=_options(column))
    stored.done.append(
        f"{proposal.label} is synced now, with the column “{column.title}” ({column.id}, {column.type})"
    )
    stored.look_again = True


def _update(stored: Stored, mapping: FieldMapping, column: BoardColumn, why: str) -> None:
    spec = spec_of(mapping)
    name = (spec.converter_for(column.type) if spec else None) or mapping.converter
    changed: dict[str, Any] = {}
    if column.id != mapping.column_id:
        changed["column_id"] = column.id
        if mapping.column_id:
            changed["version"] = F("version") + 1
            stored.done.append(_moved_words(mapping, column.id, why))
        stored.look_again = True
    if name != mapping.converter:
        changed |= {"converter": name, "version": F("version") + 1}
        stored.done.append(
            f"{mapping.label}: the column “{column.title}” is of type {column.type} now and read so"
        )
        stored.look_again = True
    if mapping.problem:
        changed["problem"] = ""
        stored.look_again = True
    if _options(column) != mapping.options and mapping.column_id != NAME_TYPE:
        changed["options"] = _options(column)
    if changed:
        FieldMapping.objects.filter(pk=mapping.pk).update(**changed)


def _options(column: BoardColumn) -> dict[str, Any]:
    return {"column_type": column.type, "settings": dict(column.settings)}


def _moved_words(mapping: FieldMapping, column_id: str, why: str) -> str:
    reason = why or f"it was {mapping.column_id}, which is gone"
    return f"{mapping.label} is now in the column {column_id} ({reason})"


def _optional_gone(spec: EntitySpec, mapping: FieldMapping, why: str) -> str:
    reason = why or f"its column {mapping.column_id} is gone from the board"
    return (
        f"{spec.board_title}: {mapping.label} can't be synced any more: {reason}. Restore the column, or make it anew "
        f"with `manage.py monday_setup --with {spec.entity_type}.{mapping.key}`, or set the field's direction to "
        "“none” in the admin (Boards)."
    )


def missing_columns(spec: EntitySpec, link: BoardLink) -> Iterator[str]:
    """The optional fields that aren't synced, for want of a column, as `--with` names them."""
    known = set(link.mappings.values_list("key", flat=True))
    yield from (f"{spec.entity_type}.{m.key}" for m in spec.mappings if m.optional and m.key not in known)
