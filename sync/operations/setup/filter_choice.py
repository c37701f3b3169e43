"""What a person may filter a board by, and how typed conditions are read and checked.

A condition that a person types is a row: the `field`, the `op` and the `text` of its values, with the `error` that it
has.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sync import registry
from sync.boards import sync_filter
from sync.boards.field_choices import NEW_COLUMN
from sync.models import FieldMapping
from sync.monday.board_items import GROUP
from sync.monday.columns import selectable_labels
from sync.monday.conversion import UnknownValue
from sync.operations.setup.planned_board import planned_board
from sync.operations.setup.selection import ChosenBoard
from sync.reconcile.field_values import BoardContext, stored_values

# Between several values that a person types; doubled it belongs to a value.
SEPARATOR = ";"

_FILLED_OPS = (sync_filter.FilterOp.FILLED, sync_filter.FilterOp.EMPTY)

Row = dict[str, str]


def filterable_fields(chosen: ChosenBoard, side: sync_filter.FilterSide) -> dict[str, dict[str, Any]]:
    """Return by key the synced fields by which this side can be filtered, and the group of items.

    Each has its label, the ops that it can be compared by, and the values that it may have, where these are known.
    """
    board = planned_board(chosen)
    fields = {}
    for mapping in board.mappings:
        if side is sync_filter.FilterSide.ITEM and mapping.column_id.startswith(NEW_COLUMN):
            continue  # every item is empty in a column that is to be made
        column = chosen.columns.get(mapping.column_id)
        labels = selectable_labels(column.type, column.settings) if column is not None else ()
        values = registry.choice_labels(board.model, mapping.fields) or sorted(labels or ())
        ops = _ops_of(board, mapping, side)
        fields[mapping.key] = {"label": mapping.label, "ops": ops, "values": [text_of_values([v]) for v in values]}
    if side is sync_filter.FilterSide.ITEM and chosen.groups:
        names = [text_of_values([name]) for name in _group_names(chosen)]
        fields[GROUP] = {
            "label": sync_filter.GROUP_LABEL,
            "ops": (sync_filter.FilterOp.IS, sync_filter.FilterOp.IS_NOT),
            "values": names,
        }
    return fields


def _ops_of(board: BoardContext, mapping: FieldMapping, side: sync_filter.FilterSide) -> Sequence[sync_filter.FilterOp]:
    if side is sync_filter.FilterSide.ITEM and board.converter(mapping).names_items:
        return _FILLED_OPS
    if registry.relation_of(board.model, mapping.fields) is not None:
        return (sync_filter.FilterOp.IS, sync_filter.FilterOp.IS_NOT, *_FILLED_OPS)
    if len(mapping.fields) > 1:
        return (sync_filter.FilterOp.CONTAINS, *_FILLED_OPS)
    return tuple(sync_filter.FilterOp)


def _group_names(chosen: ChosenBoard) -> dict[str, str]:
    """Return the groups by name: by the title, with the id where several have it."""
    titles = [title.casefold() for title in chosen.groups.values()]
    return {
        title if titles.count(title.casefold()) == 1 else f"{title} ({group})": group
        for group, title in chosen.groups.items()
    }


def rows_of(chosen: ChosenBoard, side: sync_filter.FilterSide) -> list[Row]:
    """Return the conditions of a side that are chosen already."""
    chosen_filter = sync_filter.SyncFilter.parse(chosen.choices.sync_filter)
    conditions = chosen_filter.records if side is sync_filter.FilterSide.RECORD else chosen_filter.items
    return [
        {"field": condition.field, "op": str(condition.op), "text": text_of_values(condition.labels)}
        for condition in conditions
    ]


def is_empty(row: Row) -> bool:
    """Whether nothing was chosen or typed; a comparison without a value says by itself that one is meant."""
    return not row["field"] and not row["text"].strip() and row["op"] not in _FILLED_OPS


def text_of_values(values: Iterable[str]) -> str:
    """Return the values as a person types them."""
    return f"{SEPARATOR} ".join(value.replace(SEPARATOR, SEPARATOR * 2) for value in values)


def values_of_text(text: str) -> list[str]:
    """Return the values that a person typed."""
    parts = text.replace("\0", "").replace(SEPARATOR * 2, "\0").split(SEPARATOR)
    values = (part.replace("\0", SEPARATOR).strip() for part in parts)
    return list(dict.fromkeys(filter(None, values)))


def conditions_of(
    chosen: ChosenBoard, side: sync_filter.FilterSide, rows: Iterable[Row]
) -> tuple[sync_filter.FilterCondition, ...]:
    """Return the condition of each row that isn't empty; a row that can be none gets an `error`."""
    conditions = []
    board = planned_board(chosen)
    fields = filterable_fields(chosen, side)
    for number, row in enumerate(row for row in rows if not is_empty(row)):
        try:
            if number >= sync_filter.MAX_CONDITIONS:
                raise ValueError(f"There can be {sync_filter.MAX_CONDITIONS} conditions at most. Remove some.")
            op = _checked_op(row, fields)
            values = _checked_values(row, op, fields[row["field"]]["label"]) if op.takes_values else []
            if row["field"] == GROUP:
                conditions.append(_group_condition(chosen, op, values))
                continue
            if op in (sync_filter.FilterOp.IS, sync_filter.FilterOp.IS_NOT):
                _check_meaning(board, row["field"], values)
            conditions.append(sync_filter.FilterCondition(row["field"], op, tuple(values), tuple(values)))
        except ValueError as wrong:
            row["error"] = str(wrong)
    return tuple(conditions)


def _checked_op(row: Row, fields: dict[str, dict[str, Any]]) -> sync_filter.FilterOp:
    if not row["field"] and row["op"] in _FILLED_OPS:
        label = sync_filter.FilterOp(row["op"]).label
        raise ValueError(f"Choose a field for “{label}”, or choose “{sync_filter.FilterOp.IS.label}” instead.")
    if not row["field"]:
        raise ValueError("Choose a field for it, or empty the value.")
    field = fields.get(row["field"])
    if field is None:
        raise ValueError("This field isn't synced, so nothing can be filtered by it. Choose another field.")
    if row["op"] not in field["ops"]:
        ops = ", ".join(f"“{op.label}”" for op in field["ops"])
        raise ValueError(f"{field['label']} can be compared by {ops} only. Choose one of them.")
    return sync_filter.FilterOp(row["op"])


def _checked_values(row: Row, op: sync_filter.FilterOp, label: str) -> list[str]:
    values = values_of_text(row["text"])
    if not values:
        raise ValueError(f"Say what {label} {op.label}: type a value.")
    if len(values) > sync_filter.MAX_VALUES or any(len(value) > sync_filter.MAX_VALUE_LENGTH for value in values):
        limits = f"{sync_filter.MAX_VALUES} values at most, of {sync_filter.MAX_VALUE_LENGTH} characters each"
        raise ValueError(f"There can be {limits}. Shorten the list.")
    return values


def _group_condition(
    chosen: ChosenBoard, op: sync_filter.FilterOp, values: Sequence[str]
) -> sync_filter.FilterCondition:
    names = _group_names(chosen)
    by_name = {name.casefold(): name for name in names}
    labels = []
    for value in values:
        if value.casefold() not in by_name:
            raise ValueError(f"The board has no group “{value}”. Choose one of its groups: {', '.join(names)}.")
        labels.append(by_name[value.casefold()])
    return sync_filter.FilterCondition(GROUP, op, tuple(names[label] for label in labels), tuple(labels))


def _check_meaning(board: BoardContext, key: str, values: Sequence[str]) -> None:
    """Check that the field could have each of these values; raises ValueError."""
    mapping = next(mapping for mapping in board.mappings if mapping.key == key)
    if registry.relation_of(board.model, mapping.fields) is not None:
        return
    convert = board.converter(mapping)
    empty = stored_values(board.model(), mapping)
    for text in values:
        try:
            convert.local(convert.from_text(text, empty))
        except (UnknownValue, ValueError) as wrong:
            raise ValueError(f"“{text}” is no value of {mapping.label}: {wrong}".rstrip(".") + ".") from wrong
