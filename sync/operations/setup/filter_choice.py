"""What a person may filter by: the fields and values of a draft's board, and how typed conditions are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync import registry
from sync.boards.field_choices import NEW_COLUMN, FieldChoice
from sync.boards.sync_filter import (
    GROUP_LABEL,
    MAX_CONDITIONS,
    MAX_VALUE_LENGTH,
    MAX_VALUES,
    FilterCondition,
    FilterOp,
    FilterSide,
    SyncFilter,
)
from sync.monday.board_items import GROUP
from sync.monday.columns import selectable_labels
from sync.monday.conversion import UnknownValue
from sync.operations.setup.plan import planned_board
from sync.operations.setup.selection import ChosenBoard
from sync.reconcile.field_values import BoardContext, stored_values
from sync.registry import relation_of

SEPARATOR = ";"
"""Between several values that a person types; doubled it belongs to a value."""

_FILLED_OPS = (FilterOp.FILLED, FilterOp.EMPTY)


@dataclass(frozen=True)
class FilterRow:
    """A condition as it is sent: the field's key, the op, and the values as the text typed."""

    field: str = ""
    op: str = ""
    text: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was chosen or typed; a comparison without a value says by itself that one is meant."""
        return not self.field and not self.text.strip() and self.op not in _FILLED_OPS


@dataclass(frozen=True)
class FilterableField:
    """A field by which one side can be filtered; `values` are those that it may have, where that is known."""

    key: str
    label: str
    ops: Sequence[FilterOp]
    values: Sequence[str] = field(default_factory=tuple)


def filterable_fields(chosen: ChosenBoard) -> dict[FilterSide, list[FilterableField]]:
    """Return the synced fields of a chosen board by which each side can be filtered, and the group of items."""
    board = planned_board(chosen)
    found: dict[FilterSide, list[FilterableField]] = {side: [] for side in FilterSide}
    for one in chosen.fields:
        choice = chosen.choices.fields.get(one.key, FieldChoice())
        if not choice.is_synced:
            continue
        column = chosen.columns.get(choice.column)
        labels = selectable_labels(column.type, column.settings) if column is not None else ()
        values = registry.choice_labels(board.model, one.fields) or sorted(labels or ())
        for side, fields in found.items():
            if side is FilterSide.ITEM and choice.column == NEW_COLUMN:
                continue  # every item is empty in a column that is to be made
            fields.append(FilterableField(one.key, one.label, _ops_of(board, one.key, side), values))
    if chosen.groups:
        titles = list(chosen.groups.values())
        shared = [_group_name(chosen, group) for group, title in chosen.groups.items() if titles.count(title) > 1]
        names = [*dict.fromkeys(titles), *shared]
        found[FilterSide.ITEM].append(FilterableField(GROUP, GROUP_LABEL, (FilterOp.IS, FilterOp.IS_NOT), names))
    return found


def _group_name(chosen: ChosenBoard, group: str) -> str:
    """What names one group also where others have its title."""
    return f"{chosen.groups[group]} ({group})"


def _ops_of(board: BoardContext, key: str, side: FilterSide) -> Sequence[FilterOp]:
    mapping = next(mapping for mapping in board.mappings if mapping.key == key)
    if side is FilterSide.ITEM and board.converter(mapping).names_items:
        return _FILLED_OPS
    if relation_of(board.model, mapping.fields) is not None:
        return (FilterOp.IS, FilterOp.IS_NOT, *_FILLED_OPS)
    if len(mapping.fields) > 1:
        return (FilterOp.CONTAINS, *_FILLED_OPS)
    return tuple(FilterOp)


def rows_of(
    chosen: ChosenBoard, offered: Mapping[FilterSide, Sequence[FilterableField]]
) -> dict[FilterSide, list[FilterRow]]:
    """Return the draft's conditions of each side as a page that offers these fields shows them."""
    stored = SyncFilter.parse(chosen.choices.sync_filter)
    values = {side: {one.key: one.values for one in fields} for side, fields in offered.items()}
    conditions = {FilterSide.RECORD: stored.records, FilterSide.ITEM: stored.items}
    return {
        side: [
            FilterRow(one.field, str(one.op), text_of_values(one.labels, values[side].get(one.field, ())))
            for one in some
        ]
        for side, some in conditions.items()
    }


def text_of_values(values: Sequence[str], offered: Sequence[str]) -> str:
    """Return the values as a person would type them, so that `values_of_text` reads the same ones."""
    text = f"{SEPARATOR} ".join(value.replace(SEPARATOR, SEPARATOR * 2) for value in values)
    # Where the whole is itself the name of one value, an empty value behind it says that it isn't meant.
    while text in offered and values_of_text(text, offered) != list(values):
        text += f" {SEPARATOR}"
    return text


def values_of_text(text: str, offered: Sequence[str]) -> list[str]:
    """Return the values that a person typed; a known one may hold the separator where its parts aren't known."""
    parts = [part.replace("\0", SEPARATOR).strip() for part in text.replace(SEPARATOR * 2, "\0").split(SEPARATOR)]
    return [text] if text in offered and not {*filter(None, parts)} <= {*offered} else [one for one in parts if one]


def filter_of_rows(
    chosen: ChosenBoard, rows: Mapping[FilterSide, Sequence[FilterRow]]
) -> tuple[SyncFilter, dict[FilterSide, dict[int, str]]]:
    """Return the filter that these rows are, and what is wrong with which of them; an empty row is none."""
    board, problems = planned_board(chosen), dict[FilterSide, dict[int, str]]()
    sides: dict[FilterSide, list[FilterCondition]] = {side: [] for side in FilterSide}
    for side, fields in filterable_fields(chosen).items():
        offered = {one.key: one for one in fields}
        for number, row in enumerate(rows.get(side, ())):
            if row.is_empty:
                continue
            try:
                sides[side].append(_condition_of(chosen, board, offered.get(row.field), row))
            except ValueError as wrong:
                problems.setdefault(side, {})[number] = str(wrong)
            if len(sides[side]) > MAX_CONDITIONS:
                problems.setdefault(side, {})[number] = (
                    f"There can be {MAX_CONDITIONS:d} conditions at most. Remove some."
                )
    return SyncFilter(tuple(sides[FilterSide.RECORD]), tuple(sides[FilterSide.ITEM])), problems


def _condition_of(
    chosen: ChosenBoard, board: BoardContext, offered: FilterableField | None, row: FilterRow
) -> FilterCondition:
    """Return the condition; raises ValueError, with a sentence, for one that can't be."""
    if not row.field:
        if row.op in _FILLED_OPS:
            raise ValueError(f"Choose a field for “{FilterOp(row.op).label}”, or choose “{FilterOp.IS.label}” instead.")
        raise ValueError("Choose a field for it, or empty the value.")
    if offered is None:
        raise ValueError("This field isn't synced, so nothing can be filtered by it. Choose another field.")
    if row.op not in set(offered.ops):
        ops = ", ".join(f"“{op.label}”" for op in offered.ops)
        raise ValueError(f"{offered.label} can be compared by {ops} only. Choose one of them.")
    op = FilterOp(row.op)
    if not op.takes_values:
        return FilterCondition(row.field, op)
    sent = values_of_text(row.text.replace("\0", "").strip(), offered.values)
    values = list(dict.fromkeys(one for one in sent if one))
    if not values:
        raise ValueError(f"Say what {offered.label} {op.label}: type a value.")
    if len(values) > MAX_VALUES or any(len(value) > MAX_VALUE_LENGTH for value in values):
        raise ValueError(
            f"There can be {MAX_VALUES:d} values at most, of {MAX_VALUE_LENGTH:d} characters each. Shorten the list."
        )
    if row.field == GROUP:
        named = {value: _groups_of_text(chosen, value) for value in values}
        if unknown := [one for one, groups in named.items() if not groups]:
            known = ", ".join(dict.fromkeys(chosen.groups.values()))
            raise ValueError(f"The board has no group “{unknown[0]}”. Choose one of its groups: {known}.")
        meant = dict.fromkeys(group for groups in named.values() for group in groups)
        # Of several groups with one title, one alone is never called by the title: the page would send it for all.
        left = {title for group, title in chosen.groups.items() if group not in meant}
        labels = dict.fromkeys(
            _group_name(chosen, one) if chosen.groups[one] in left else chosen.groups[one] for one in meant
        )
        return FilterCondition(GROUP, op, tuple(meant), tuple(labels))
    if op is not FilterOp.CONTAINS:
        _check_values(board, row.field, values)
    return FilterCondition(row.field, op, tuple(values), tuple(values))


def _groups_of_text(chosen: ChosenBoard, text: str) -> list[str]:
    """Return the groups that a text means: all with this title, else with one that differs in case, or one by name."""
    groups = chosen.groups.items()
    return (
        [group for group, title in groups if title == text]
        or [group for group, title in groups if title.casefold() == text.casefold()]
        or [group for group in chosen.groups if _group_name(chosen, group) == text]
    )


def _check_values(board: BoardContext, key: str, values: Sequence[str]) -> None:
    """Check that the field could have each of these values; raises ValueError."""
    mapping = next(mapping for mapping in board.mappings if mapping.key == key)
    if relation_of(board.model, mapping.fields) is not None:
        return
    convert, empty = board.converter(mapping), stored_values(board.model(), mapping)
    for text in values:
        try:
            convert.local(convert.from_text(text, empty))
        except (UnknownValue, ValueError) as wrong:
            raise ValueError(f"“{text}” is no value of {mapping.label}: {wrong}".rstrip(".") + ".") from wrong
