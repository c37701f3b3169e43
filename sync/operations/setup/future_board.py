"""A board as a set-up will leave it: its link and mappings, and whether records then get new items.

The plan takes these unsaved; the run stores them (board_setup.py, item_links.py). A column that will be created has a
stand-in id until then.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from sync.boards import board_columns
from sync.choices import DeletedRecordPolicy, RemovedItemPolicy, SyncDirection
from sync.fields import lookups
from sync.fields.field_values import BoardContext
from sync.models import BoardLink, FieldMapping
from sync.monday.board_items import NAME_COLUMN, Board, BoardColumn, Item
from sync.operations.setup import selection
from sync.words.message import Message

# Stands for the column of the NPD ID until the set-up has created it.
NEW_NPD_ID_COLUMN = "+npd_id"

# What a sync state says after its record's board was left. The bases stay: they belong to an earlier version of their
# mappings and so count as none, but still tell which values were emptied since.
STATE_WITHOUT_ITEM: Mapping[str, Any] = {
    "remote_id": None,
    "remote_state": "",
    "removed_since": None,
    "removed_passes": 0,
    "blocked_fields": {},
    "altered": {},
    "seen": {},
    "emptied": {},
    "conflicts": {},
    "note": "",
    "left_out": "",
    "is_unplanned": False,
}


def planned_board(chosen: selection.ChosenBoard) -> BoardContext:
    """Return the board with the chosen columns, directions and rules."""
    choices = chosen.choices
    # A link that isn't stored yet has no policies from the database.
    policies = {"removed_item_policy": RemovedItemPolicy.ASK, "deleted_record_policy": DeletedRecordPolicy.ARCHIVE}
    new = BoardLink(entity_type=choices.entity_type, match_key=chosen.spec.match_key, **policies)
    link = copy(chosen.stored_link or new)
    if chosen.link is None:  # what is stored is about another board
        link.group_id = ""
        link.shape = {}
    groups = chosen.board.groups if chosen.board is not None else {}
    if link.group_id not in groups:
        link.group_id = next(iter(groups), "")
    link.board_id = choices.board_id
    link.npd_id_column = chosen.npd_id_column or NEW_NPD_ID_COLUMN
    link.creates_records = choices.creates_records
    link.sync_filter = dict(choices.sync_filter)
    link.npd_id_problem = link.creates_held = ""
    columns = {}
    for spec in chosen.synced:
        if not spec.is_name:
            new_column = BoardColumn(f"{selection.NEW_COLUMN}{spec.key}", spec.label, spec.new_column_type)
            columns[spec.key] = chosen.columns.get(choices.choice_of(spec).column, new_column)
    synced = {spec.key for spec in chosen.synced}
    mappings = [mapping for mapping in mappings_after(chosen, link, columns) if mapping.key in synced]
    if chosen.link is None:  # bases count for the board that is left only
        for mapping in mappings:
            mapping.version += 1
    return BoardContext(link, mappings, chosen.spec.model, lookups.load_settings())


def mappings_after(
    chosen: selection.ChosenBoard, link: BoardLink, columns: Mapping[str, BoardColumn]
) -> list[FieldMapping]:
    """Return the mappings as chosen, not saved; a field that wasn't chosen has none. `columns` are those by field."""
    stored = {mapping.key: mapping for mapping in link.mappings.all()} if link.pk else {}
    mappings = []
    for position, spec in enumerate(chosen.spec.mappings):
        choice = chosen.choices.fields.get(spec.key)
        if choice is None:
            continue
        # A later change of the spec doesn't reach a stored mapping.
        if spec.key in stored:
            mapping = copy(stored[spec.key])
        else:
            mapping = FieldMapping(
                link=link,
                key=spec.key,
                label=spec.label,
                fields=list(spec.fields),
                converter=spec.converter,
                required=spec.required,
                position=position,
                column_id=NAME_COLUMN if spec.is_name else "",
            )
        # A field that isn't synced keeps its row, so that later set-ups don't count it as new.
        mapping.direction = SyncDirection.NONE
        if choice.is_synced:
            mapping.direction = SyncDirection(choice.direction)
            mapping.rule = choice.rule
            mapping.first_match = chosen.choices.first_match
        column = columns.get(spec.key)  # none for the name, and for a field that isn't synced
        if column is not None:
            converter = spec.types.get(column.type) or mapping.converter
            # The base belongs to the old column, and another converter stores different values in it.
            if mapping.column_id and (column.id, converter) != (mapping.column_id, mapping.converter):
                mapping.version += 1
            mapping.column_id = column.id
            mapping.converter = converter
            mapping.options = {"column_type": column.type, "settings": dict(column.settings)}
        if column is not None or not choice.is_synced:
            mapping.problem = mapping.problem_code = ""
        mappings.append(mapping)
    return mappings


def remapped_keys(link: BoardLink, mappings: Iterable[FieldMapping]) -> set[str]:
    """Return the fields whose stored bases and conflicts are about another column than these mappings."""
    versions = dict(FieldMapping.objects.filter(link=link).values_list("key", "version")) if link.pk else {}
    return {mapping.key for mapping in mappings if mapping.version != versions.get(mapping.key, mapping.version)}


# Whether records and items get new ones.


def lists_items(link: BoardLink | None, match: BoardColumn) -> bool:
    """Whether a set-up with this match column lists the board's items first; `link` is None for another board."""
    return link is None or not link.npd_id_column or _may_hold(link, match)


def _may_hold(link: BoardLink | None, match: BoardColumn) -> bool:
    """Whether this match column may hold creates: it is new to the board's `link`, or they are held already."""
    if match.id == NAME_COLUMN:  # every item has a name
        return False
    if link is None or link.creates_held:
        return True
    return not link.mappings.filter(key=link.match_key, column_id=match.id).exists()


def listing_problem(board: Board | None, listed: int) -> Message | None:
    """Return that a listing lags behind and lacks items of the board, which could be made twice; None if it doesn't."""
    number = board.items_count if board is not None else None
    return Message("listing_lacks_items", listed=listed, number=number) if number and listed < number else None


def reason_to_hold(
    entity_type: str, link: BoardLink | None, match: BoardColumn, npd_id_column: str, items: Iterable[Item]
) -> Message | None:
    """Return why creates are held; None if all these items can be matched, or none needs to be.

    They are held as long as an item can't be matched, because its person might be created twice.
    """
    if not _may_hold(link, match):
        return None
    empty = [item.id for item in items if not (is_filled(item, npd_id_column) or is_filled(item, match.id))]
    return board_columns.hold_reason(len(set(empty) - board_columns.known_items(entity_type, empty)), match.title)


def is_filled(item: Item, column_id: str) -> bool:
    """Whether a cell has a value, or can't be read."""
    reading = item.reading(column_id)
    return not reading.is_known or bool((reading.text or "").strip())
