"""Which columns a board needs for its mappings, which ones fit, and what is stored of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F

from sync import connectors, registry
from sync.choices import SyncDirection
from sync.connectors.base.board import RELATION, BoardColumn, BoardSetup, ColumnSpec
from sync.models import BoardLink, FieldMapping
from sync.registry import EntitySpec, MappingSpec, link_of, relation_of, target_of

NPD_ID_KEY = "npd_id"
NPD_ID_TITLE = "NPD ID"
NAME_TYPE = "name"


@dataclass
class StoredColumns:
    """What storing the columns led to: as sentences, what is wrong, and whether records need a pass."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    needs_resync: bool = False


def column_type(converter_name: str) -> str:
    """The type of the column that is created for a converter."""
    return connectors.get().converter(converter_name).column_type


def fitting_types(mapping: FieldMapping) -> tuple[str, ...]:
    """The types of columns that fit a mapping, the best first."""
    spec = mapping_spec(mapping)
    return tuple(spec.column_types) if spec and spec.column_types else (column_type(mapping.converter),)


def mapping_spec(mapping: FieldMapping) -> MappingSpec | None:
    """The application's proposal for a mapping, None where it no longer proposes one."""
    specs = registry.entity(mapping.link.entity_type).mappings
    return next((spec for spec in specs if spec.key == mapping.key), None)


def optional_keys() -> list[str]:
    """The columns that are only created on request, as `--with` names them: contact.organization …"""
    return [f"{e.entity_type}.{m.key}" for e in registry.entities() for m in e.mappings if m.optional]


def make_mappings(spec: EntitySpec, link: BoardLink) -> None:
    """Create a mapping for every field that is always synced; an optional one waits for its column."""
    for position, mapping in enumerate(spec.mappings):
        # It waits until its board has a fitting column, or a person asks for one.
        if mapping.optional:
            continue
        # The name's column needs no set-up: every board has it.
        column_id = NAME_TYPE if column_type(mapping.converter) == NAME_TYPE else ""
        make_mapping(link, mapping, position, column_id=column_id)


def column_specs(spec: EntitySpec, link: BoardLink, requested: Collection[str] = ()) -> list[ColumnSpec]:
    """Every column that is required or optional; `requested` ones count as required."""
    known = {mapping.key: mapping for mapping in link.mappings.all()}
    proposed = {mapping.key: mapping for mapping in spec.mappings}
    columns = []
    for key in [*known, *(key for key in proposed if key not in known)]:
        mapping, proposal = known.get(key), proposed.get(key)
        # A person switched the field off, so its column is no longer needed.
        if mapping is not None and mapping.direction == SyncDirection.NONE:
            continue
        columns.append(_column_spec(spec, key, mapping, proposal, needed=key in requested))
    wanted = [column for column in columns if column.type != NAME_TYPE]
    # Every board gets the NPD ID column, by which items are matched with records.
    npd_id = ColumnSpec(NPD_ID_KEY, NPD_ID_TITLE, "text", link.npd_id_column or NPD_ID_KEY)
    return [*wanted, npd_id]


def store_columns(spec: EntitySpec, link: BoardLink, setup: BoardSetup, reason: str = "") -> StoredColumns:
    """Store the column of each mapping; `reason` says why a field may have another one than before.

    A mapping whose column moved or changed its type gets a new version.
    """
    result = StoredColumns()
    known = {mapping.key: mapping for mapping in link.mappings.all()}
    proposed = {proposal.key for proposal in spec.mappings}
    for position, proposal in enumerate(spec.mappings):
        column = setup.columns.get(proposal.key)
        if proposal.key not in known and column is not None:
            # An optional mapping gets its column, from which on it is synced.
            name = proposal.converter_for(column.type) or proposal.converter
            options = _options(column)
            make_mapping(link, proposal, position, column_id=column.id, converter=name, options=options)
            where = f"“{column.title}” ({column.id}, {column.type})"
            result.done.append(f"{proposal.label} is synced now, with the column {where}")
            result.needs_resync = True
    for mapping in known.values():
        column = setup.columns.get(mapping.key)
        if column is not None:
            _update_mapping(result, mapping, column, setup.unfit.get(mapping.key, reason))
        # A field that is proposed no more is nobody's choice in the wizard, so it can't be missed there.
        elif (
            (not reason or mapping.key in proposed)
            and mapping.column_id not in ("", NAME_TYPE)
            and mapping.direction != SyncDirection.NONE
        ):
            why = setup.unfit.get(mapping.key) or f"its column {mapping.column_id} was deleted from the board"
            result.problems.append(
                f"{spec.board_title}: {mapping.label} can't be synced any more: {why}. Restore the column, or make "
                f"it again with `manage.py monday_setup --with {spec.entity_type}.{mapping.key}`, or set the field's "
                "direction to “none” in the admin (Boards)."
            )
    unused = [proposal for proposal in spec.mappings if proposal.key not in known and proposal.key in setup.unfit]
    result.done += [f"{one.label} is not synced: {setup.unfit[one.key]}" for one in unused]
    return result


def _column_spec(
    spec: EntitySpec, key: str, mapping: FieldMapping | None, proposal: MappingSpec | None, *, needed: bool
) -> ColumnSpec:
    name = mapping.converter if mapping is not None else proposal.converter if proposal else ""
    types = tuple(proposal.column_types) if proposal is not None else ()
    proposed = proposal.column_types if proposal is not None else {}
    created_type = next((kind for kind, converter in proposed.items() if converter == name), "") or column_type(name)
    label = mapping.label if mapping is not None else proposal.label if proposal is not None else key
    preferred = proposal.column_id if proposal is not None else key
    return ColumnSpec(
        key=key,
        title=label,
        type=created_type,
        # The stored column comes first, so that a repeated set-up finds the same one.
        preferred_id=(mapping.column_id if mapping is not None else "") or preferred,
        types=types,
        optional=proposal is not None and proposal.optional and not needed,
        target_board=_target_board(spec, proposal) if RELATION in (created_type, *types) else None,
    )


def target_board_of(mapping: FieldMapping) -> str | None:
    """The board to which a mapping's relation must lead; None where its field is no relation."""
    return _target_board(registry.entity(mapping.link.entity_type), mapping_spec(mapping))


def _target_board(spec: EntitySpec, proposal: MappingSpec | None) -> str | None:
    """The board of the records to which a relation's field points, None where there is none yet."""
    relation = relation_of(spec.model, proposal.fields) if proposal is not None else None
    link = link_of(target_of(relation).entity_type()) if relation is not None else None
    return link.board_id or None if link is not None else None


def make_mapping(
    link: BoardLink, proposal: MappingSpec, position: int, *, column_id: str, **more: Any
) -> tuple[FieldMapping, bool]:
    """Return the field's mapping, made as proposed where there is none, and whether it was made."""
    defaults = {
        "label": proposal.label,
        "fields": list(proposal.fields),
        "converter": proposal.converter,
        "required": proposal.required,
        "position": position,
        "column_id": column_id,
    }
    return FieldMapping.objects.get_or_create(link=link, key=proposal.key, defaults=defaults | more)


def _update_mapping(result: StoredColumns, mapping: FieldMapping, column: BoardColumn, reason: str) -> None:
    spec = mapping_spec(mapping)
    name = (spec.converter_for(column.type) if spec else None) or mapping.converter
    changed: dict[str, Any] = {}
    if column.id != mapping.column_id:
        changed["column_id"] = column.id
        # A new version ends the old base: what was agreed about another column says nothing about this one.
        if mapping.column_id:
            changed["version"] = F("version") + 1
            why = reason or f"it was {mapping.column_id}, which is gone"
            result.done.append(f"{mapping.label} is now in the column {column.id} ({why})")
        result.needs_resync = True
    if name != mapping.converter:
        changed["converter"] = name
        result.needs_resync = True
        # Another converter stores other values in the base, so it needs a new version too.
        if mapping.column_id:
            changed["version"] = F("version") + 1
            result.done.append(f"{mapping.label}: the column “{column.title}” is of type {column.type} now and read so")
    # The column is usable again: the blocked records get a pass.
    if mapping.problem:
        changed["problem"] = ""
        result.needs_resync = True
    # Labels and settings change without a new version, because the column is the same.
    if _options(column) != mapping.options and mapping.column_id != NAME_TYPE:
        changed["options"] = _options(column)
    if changed:
        FieldMapping.objects.filter(pk=mapping.pk).update(**changed)


def _options(column: BoardColumn) -> dict[str, Any]:
    return {"column_type": column.type, "settings": dict(column.settings)}


def missing_columns(spec: EntitySpec, link: BoardLink) -> Iterator[str]:
    """The optional fields that aren't synced because they have no column, as `--with` names them."""
    known = set(link.mappings.values_list("key", flat=True))
    yield from (f"{spec.entity_type}.{m.key}" for m in spec.mappings if m.optional and m.key not in known)
