"""Columns for fields: the columns that fit, the likely one, and the problems of a choice."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sync import registry
from sync.boards import board_columns
from sync.choices import Rule, SyncDirection
from sync.kernel.humanize import join_first
from sync.models import BoardLink
from sync.monday.board_items import RELATION, BoardColumn, ColumnSpec
from sync.monday.columns import BY_TYPE

# Stands for a column to be created.
NEW_COLUMN = "+"


@dataclass(frozen=True)
class MappableField(registry.MappingSpec):
    """A field that may have a column, with the facts that a set-up needs."""

    is_match_key: bool = False
    rules: Sequence[Rule] = field(default_factory=tuple)
    target: str = ""  # a relation's type of records
    target_board: str | None = None  # the board of these records; empty if it will be created, None without a board
    titles: Sequence[str] = ()  # other names that people give the field
    titles_of_others: Sequence[str] = ()  # names of other fields, also of other models
    labels: tuple[str, ...] = ()  # the initial labels of a status or dropdown column

    @property
    def types(self) -> Mapping[str, str]:
        """The converter for each type of column that fits."""
        return self.column_types or {board_columns.column_type(self.converter): self.converter}

    @property
    def new_column_type(self) -> str:
        """The type of column that a set-up creates for it."""
        created_types = (kind for kind, name in self.types.items() if name == self.converter)
        return next(created_types, board_columns.column_type(self.converter))

    @property
    def is_name(self) -> bool:
        """Whether its column is the item's name."""
        return board_columns.NAME_TYPE in self.types

    @property
    def lacks_target(self) -> bool:
        """Whether it points at records whose board neither is nor will be set up."""
        return bool(self.target) and self.target_board is None

    def column_spec(self, preferred_id: str | None, *, optional: bool = False) -> ColumnSpec:
        return ColumnSpec(
            self.key, self.label, self.new_column_type, preferred_id, tuple(self.types), optional=optional,
            target_board=self.target_board, labels=self.labels,
        )  # fmt: skip


@dataclass(frozen=True)
class FieldChoice:
    column: str = ""
    direction: str = SyncDirection.BIDIRECTIONAL
    rule: str = Rule.ASK

    @property
    def is_synced(self) -> bool:
        return bool(self.column) and self.direction != SyncDirection.NONE

    def with_implied_direction(self) -> FieldChoice:
        """Sync in both directions if a column will be created: nobody wants an unused one."""
        implied = self.column == NEW_COLUMN and self.direction == SyncDirection.NONE
        return replace(self, direction=SyncDirection.BIDIRECTIONAL) if implied else self


def stored_choices(link: BoardLink | None) -> dict[str, FieldChoice]:
    """Return the stored choice for each field."""
    mappings = link.mappings.all() if link is not None else ()
    return {mapping.key: FieldChoice(mapping.column_id, mapping.direction, mapping.rule) for mapping in mappings}


def mappable_fields(spec: registry.EntitySpec, chosen_boards: Mapping[str, str] | None = None) -> list[MappableField]:
    """Return the type's fields that may be mapped; `chosen_boards` are the boards set up together, by type."""
    fields = []
    chosen = chosen_boards or {}
    for mapping in spec.mappings:
        relation = registry.relation_of(spec.model, mapping.fields)
        target = registry.target_of(relation).entity_type() if relation is not None else ""
        target_board = chosen.get(target)
        if target not in chosen and registry.is_registered(target):
            link = registry.link_of(target)
            target_board = (link.board_id or None) if link is not None else None
        own_names = {mapping.key, *mapping.fields}
        titles_of_others = [title for name, titles in spec.titles.items() if name not in own_names for title in titles]
        titles_of_others += [other.label for other in spec.mappings if other.key != mapping.key]
        fields.append(
            MappableField(
                **vars(mapping),
                is_match_key=mapping.key == spec.match_key,
                rules=registry.rules_for(spec.model, mapping),
                target=target,
                target_board=target_board,
                titles=spec.titles.get(mapping.key, ()),
                titles_of_others=titles_of_others,
                labels=registry.choice_labels(spec.model, mapping.fields),
            )
        )
    return fields


def match_field(fields: Iterable[MappableField]) -> MappableField:
    """Return the field by which records and items are matched."""
    return next(mappable for mappable in fields if mappable.is_match_key)


def unfit_reason(mappable: MappableField, column: BoardColumn) -> str:
    """Return why a column doesn't fit a field, or an empty text."""
    if column.type not in mappable.types:
        return f"“{column.title}” is of the type {column.type}; {mappable.label} needs {' or '.join(mappable.types)}."
    if column.type == RELATION and mappable.target_board not in column.target_boards:
        return f"“{column.title}” doesn't lead to the board that {mappable.label} points at."
    return ""


def unused_reason(fields: Sequence[MappableField], column: BoardColumn) -> str:
    """Return why no field fits a column; empty if one does."""
    if column.type not in BY_TYPE:
        return f"NPD Sync doesn't read columns of the type {column.type}."
    reasons = [unfit_reason(mappable, column) for mappable in fields]
    if not all(reasons):
        return ""
    for mappable, reason in zip(fields, reasons, strict=True):
        if column.type in mappable.types:
            return reason
    return f"No field takes columns of the type {column.type}."


def find_npd_id_column(link: BoardLink | None, columns: Iterable[BoardColumn]) -> str:
    """Return the id of the column for the NPD ID; empty if it has to be created."""
    texts = {column.id: column for column in columns if column.type == "text"}
    for column_id in (link.npd_id_column if link is not None else "", board_columns.NPD_ID_KEY):
        if column_id in texts:
            return column_id
    title = board_columns.NPD_ID_TITLE.casefold()
    return next((column.id for column in texts.values() if column.title.strip().casefold() == title), "")


def fold_title(title: str) -> str:
    """Return a title without case, accents, spaces and signs: “E-Mail” equals “email”."""
    decomposed = unicodedata.normalize("NFKD", title.casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())


def suggest_columns(fields: Sequence[MappableField], columns: Iterable[BoardColumn], npd_id: str) -> dict[str, str]:
    """Return the likely column of each field, no column twice; a new one for required fields without one.

    In this order: the id that set-up gives the column, the field's own title, other titles for it, the board's only
    column of the type.
    """
    on_board = [column for column in columns if column.id != npd_id and column.type != board_columns.NAME_TYPE]
    offered = [mappable for mappable in fields if not mappable.is_name and not mappable.lacks_target]
    suggestions = {mappable.key: board_columns.NAME_TYPE for mappable in fields if mappable.is_name}
    for likely_columns in (_own_columns, _titled_columns, _only_columns):
        for mappable in offered:
            taken = set(suggestions.values())
            fitting = [
                column.id
                for column in likely_columns(mappable, on_board)
                if column.id not in taken and not unfit_reason(mappable, column)
            ]
            if fitting and mappable.key not in suggestions:
                suggestions[mappable.key] = fitting[0]
    needed = [mappable.key for mappable in fields if not mappable.optional and not mappable.lacks_target]
    return dict.fromkeys(needed, NEW_COLUMN) | suggestions


def _own_columns(mappable: MappableField, columns: Sequence[BoardColumn]) -> list[BoardColumn]:
    same = [column for column in columns if fold_title(column.title) == fold_title(mappable.label)]
    return [column for column in columns if column.id == mappable.column_id] + same


def _titled_columns(mappable: MappableField, columns: Sequence[BoardColumn]) -> list[BoardColumn]:
    titles = {fold_title(title) for title in mappable.titles}
    return [column for column in columns if fold_title(column.title) in titles]


# If a board has one column of such a type, it is most likely the field's.
_DISTINCTIVE_TYPES = ("email", "phone")


def _only_columns(mappable: MappableField, columns: Sequence[BoardColumn]) -> list[BoardColumn]:
    """Return the columns that are the only one of their type; for an optional field, only of distinctive types."""
    types = [column.type for column in columns]
    titles_of_others = {fold_title(title) for title in mappable.titles_of_others}
    return [
        column
        for column in columns
        if types.count(column.type) == 1
        and (not mappable.optional or column.type in _DISTINCTIVE_TYPES)
        and fold_title(column.title) not in titles_of_others
    ]


def second_column_text(title: str, kind: str, others: Iterable[BoardColumn]) -> str:
    """Return a sentence if a new column is the second one of its type or title, or an empty text.

    `others` are the older columns that no field uses.
    """
    others = list(others)
    alike = [f"“{column.title}”" for column in others if column.type == kind]
    if alike:
        return (
            f"“{title}” is new beside {join_first(alike)}, of the same type. To use one of these instead, choose it in "
            "the set-up (Boards, “Set up…”)"
        )
    titled = [column for column in others if fold_title(column.title) == fold_title(title)]
    if not titled:
        return ""
    return (
        f"“{title}” is new beside “{titled[0].title}” of the type {titled[0].type}, which doesn't fit. Copy the values "
        "into the new column on Monday"
    )


def choice_problems(
    fields: Sequence[MappableField],
    chosen: Mapping[str, FieldChoice],
    columns: Mapping[str, BoardColumn],
    npd_id: str,
    filtered: Collection[str] = (),
) -> dict[str, list[str]]:
    """Return the problems of these choices as sentences, by field; the filter uses the `filtered` fields."""
    problems: dict[str, list[str]] = {}
    owners = {npd_id: board_columns.NPD_ID_TITLE} if npd_id else {}
    for mappable in fields:
        choice = chosen.get(mappable.key, FieldChoice())
        field_problems = _field_problems(mappable, choice, columns)
        if choice.is_synced and choice.column != NEW_COLUMN:
            if owner := owners.get(choice.column):
                title = columns[choice.column].title if choice.column in columns else choice.column
                field_problems.append(f"“{title}” is already the column of {owner}. Choose another.")
            owners.setdefault(choice.column, mappable.label)
        if mappable.key in filtered and not choice.is_synced:
            field_problems.append("The filter uses this field. Keep it synced, or remove it from the filter first.")
        if field_problems:
            problems[mappable.key] = field_problems
    return problems


def _field_problems(mappable: MappableField, choice: FieldChoice, columns: Mapping[str, BoardColumn]) -> list[str]:
    problems = []
    if choice.direction not in SyncDirection.values or choice.rule not in {str(rule) for rule in mappable.rules}:
        problems.append("Choose one of the directions and rules that are offered.")
    if (mappable.required or mappable.is_match_key) and not choice.is_synced:
        reason = "records and items are matched by it" if mappable.is_match_key else "it is required in NPD"
        problems.append(f"{mappable.label} must be synced, for {reason}. Choose a column and a direction.")
    if mappable.is_name or not choice.column:
        return problems
    if choice.column == NEW_COLUMN:
        if mappable.new_column_type == RELATION and mappable.lacks_target:
            return [*problems, f"{mappable.label} needs the other board first. Set that one up, too."]
        titled = (column for column in columns.values() if fold_title(column.title) == fold_title(mappable.label))
        if fitting := next((column for column in titled if not unfit_reason(mappable, column)), None):
            problems.append(
                f"The board has a column “{fitting.title}” that fits. Choose it, or rename it on the board."
            )
        return problems
    column = columns.get(choice.column)
    if column is None:
        problems.append(f"The column {choice.column} is not on the board any more. Choose another.")
    elif reason := unfit_reason(mappable, column):
        problems.append(reason)
    return problems
