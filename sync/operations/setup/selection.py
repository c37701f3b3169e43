"""The choices of a set-up (boards, columns, new items, the first rule), their defaults and their checks.

The steps of a person, each a page with a form (`admin/setup_pages.py`):

1. token: connects Monday
2. boards: `choose_boards` begins the `Choices` of each type, by suggestions or by what is stored
3. fields, and the filter: change the choices
4. plan: a worker compares everything as these choices would have it (`plan.py`)
5. start: the choices are checked again and stored; a worker carries them out (`run.py`)

Until the start they are in the person's session; nothing here writes to a table. `monday_setup` begins in the same way,
and takes what is suggested.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from sync import limits, registry
from sync.boards import board_columns
from sync.boards.sync_filter import SyncFilter
from sync.choices import Rule, SetupState, SyncDirection
from sync.kernel.humanize import join_first, plural
from sync.kernel.messages import ActionError
from sync.models import BoardLink, FieldMapping
from sync.monday.board_items import GROUP, NAME_COLUMN, RELATION, Board, BoardColumn, ColumnSpec
from sync.monday.columns import BY_TYPE
from sync.monday.texts import fold_title

REQUIRED_PERMISSIONS = ("sync.change_boardlink", "sync.change_fieldmapping")

# What a person selects instead of a board; in `Choices`, a new board has an empty id.
NEW_BOARD = "new"
NO_BOARD = ""

FIRST_MATCH_RULES = (Rule.ASK, Rule.NPD_WINS, Rule.MONDAY_WINS)

# Stands for a column to be created.
NEW_COLUMN = "+"


def may_set_up(user: Any) -> bool:
    """Whether this user may change boards and their mappings."""
    return bool(user.has_perms(REQUIRED_PERMISSIONS))


def is_running(link: BoardLink | None) -> bool:
    """Whether a set-up of this board was started and isn't done."""
    return link is not None and (link.setup or {}).get("state") == SetupState.RUNNING


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


@dataclass(frozen=True)
class FieldChoice:
    column: str = ""  # its id, NEW_COLUMN, or empty for none
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


def mappable_fields(spec: registry.EntitySpec, boards_by_type: Mapping[str, str]) -> list[MappableField]:
    """Return the type's fields that may be mapped; `boards_by_type` as in `ChosenBoard`."""
    fields = []
    for mapping in spec.mappings:
        relation = registry.relation_of(spec.model, mapping.fields)
        target = registry.target_of(relation).entity_type() if relation is not None else ""
        target_board = boards_by_type.get(target)
        if target not in boards_by_type and registry.is_registered(target):
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


def suggest_columns(
    fields: Sequence[MappableField], columns: Iterable[BoardColumn], npd_id_column: str
) -> dict[str, str]:
    """Return the likely column of each field, no column twice; a new one for required fields without one.

    In this order: the id that set-up gives the column, the field's own title, other titles for it, the board's only
    column of the type.
    """
    on_board = [column for column in columns if column.id != npd_id_column and column.type != board_columns.NAME_TYPE]
    offered = [mappable for mappable in fields if not mappable.is_name and not mappable.lacks_target]
    suggestions = {mappable.key: NAME_COLUMN for mappable in fields if mappable.is_name}
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


def own_column(mappable: MappableField, columns: Iterable[BoardColumn]) -> BoardColumn | None:
    """Return the fitting column with the id that set-up gives to the field's column, or with the field's title."""
    fitting = [column for column in columns if not unfit_reason(mappable, column)]
    return next(iter(_own_columns(mappable, fitting)), None)


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


@dataclass(frozen=True)
class Choices:
    """The choices for one type of records."""

    entity_type: str
    board_id: str  # empty for a board that is to be made
    board_name: str
    fields: Mapping[str, FieldChoice]
    is_mapped: bool = False  # whether a person has gone on from the fields
    first_match: str = Rule.ASK  # the rule for values that differ when a record is linked
    creates_records: bool = False  # whether items become records
    sync_filter: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> registry.EntitySpec:
        return registry.entity(self.entity_type)

    @property
    def link(self) -> BoardLink | None:
        """The type's board link, if it is for the chosen board: the settings of another board don't apply."""
        # Not `link_of`, which shows the board that the environment names: the stored settings may be another one's.
        links = BoardLink.objects.exclude(board_id="")
        return links.filter(entity_type=self.entity_type, board_id=self.board_id).first()

    @property
    def first_match_text(self) -> str:
        return "you are asked" if self.first_match == Rule.ASK else str(Rule(self.first_match).label)

    def choice_of(self, mappable: MappableField) -> FieldChoice:
        return self.fields.get(mappable.key, FieldChoice())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Choices:
        fields = {key: FieldChoice(**choice) for key, choice in stored["fields"].items()}
        return cls(**{**stored, "fields": fields})


def plan_key(choices: Mapping[str, Choices]) -> str:
    """Return the key of the plan for these choices: a hash of them."""
    text = json.dumps([board_choices.to_json() for board_choices in choices.values()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ChosenBoard:
    """The choices for one type, with its board as Monday shows it; without a `board`, the set-up creates one."""

    choices: Choices
    board: Board | None
    # The ids of all boards that are set up together, empty for a new one.
    boards_by_type: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def fields(self) -> list[MappableField]:
        return mappable_fields(self.choices.spec, self.boards_by_type)

    @cached_property
    def columns(self) -> dict[str, BoardColumn]:
        """The columns that a field can be mapped to, by id."""
        columns = self.board.columns if self.board is not None else ()
        return {column.id: column for column in columns if column.type not in ("name", "subtasks")}

    @cached_property
    def match_field(self) -> MappableField:
        """The field by which records and items are matched."""
        return next(mappable for mappable in self.fields if mappable.is_match_key)

    @property
    def groups(self) -> Mapping[str, str]:
        return self.board.groups if self.board is not None else {}

    @cached_property
    def npd_id_column(self) -> str:
        """The id of the column for the NPD ID; empty if the set-up creates it."""
        return find_npd_id_column(self.choices.link, self.columns.values())

    @cached_property
    def synced(self) -> list[MappableField]:
        return [mappable for mappable in self.fields if self.choices.choice_of(mappable).is_synced]

    @property
    def new_fields(self) -> list[MappableField]:
        """The fields that get a new column."""
        return [mappable for mappable in self.synced if self.choices.choice_of(mappable).column == NEW_COLUMN]

    @property
    def new_titles(self) -> list[str]:
        """The titles of the columns that the set-up creates."""
        npd_id_titles = [] if self.npd_id_column else [board_columns.NPD_ID_TITLE]
        return [mappable.label for mappable in self.new_fields] + npd_id_titles

    @property
    def unused(self) -> list[BoardColumn]:
        """The columns that no synced field has."""
        used = {self.npd_id_column, *(self.choices.choice_of(mappable).column for mappable in self.synced)}
        return [column for column in self.columns.values() if column.id not in used]

    @property
    def second_column_notes(self) -> list[str]:
        """Notes about new columns whose type or title another, unused column has."""
        return list(filter(None, map(self.second_column_note, self.new_fields)))

    def second_column_note(self, mappable: MappableField) -> str:
        return second_column_text(mappable.label, mappable.new_column_type, self.unused)

    @property
    def filter_lines(self) -> list[str]:
        """The filter as sentences; none if everything is synced."""
        labels = {mappable.key: mappable.label for mappable in self.fields}
        return SyncFilter.parse(self.choices.sync_filter).lines(labels)

    def problems(self) -> dict[str, list[str]]:
        """Return the problems of the choices as sentences, by field."""
        conditions = SyncFilter.parse(self.choices.sync_filter)
        filtered = {condition.field for condition in (*conditions.records, *conditions.items)} - {GROUP}
        problems: dict[str, list[str]] = {}
        owners = {self.npd_id_column: board_columns.NPD_ID_TITLE} if self.npd_id_column else {}
        for mappable in self.fields:
            choice = self.choices.choice_of(mappable)
            field_problems = self._field_problems(mappable, choice)
            if choice.is_synced and choice.column != NEW_COLUMN:
                if owner := owners.get(choice.column):
                    title = self.columns[choice.column].title if choice.column in self.columns else choice.column
                    field_problems.append(f"“{title}” is already the column of {owner}. Choose another.")
                owners.setdefault(choice.column, mappable.label)
            if mappable.key in filtered and not choice.is_synced:
                field_problems.append("The filter uses this field. Keep it synced, or remove it from the filter first.")
            if field_problems:
                problems[mappable.key] = field_problems
        return problems

    def _field_problems(self, mappable: MappableField, choice: FieldChoice) -> list[str]:
        problems = []
        if choice.direction not in SyncDirection.values or choice.rule not in {str(rule) for rule in mappable.rules}:
            problems.append("Choose one of the directions and rules that are offered.")
        if (mappable.required or mappable.is_match_key) and not choice.is_synced:
            reason = "records and items are matched by it" if mappable.is_match_key else "it is required in NPD"
            problems.append(f"{mappable.label} must be synced, for {reason}. Choose a column and a direction.")
        if problem := self.column_problem(mappable):
            problems.append(problem)
        elif choice.column == NEW_COLUMN:
            fitting = [column.title for column in self.columns.values() if not unfit_reason(mappable, column)]
            titled = [title for title in fitting if fold_title(title) == fold_title(mappable.label)]
            if titled:
                problems.append(
                    f"The board has a column “{titled[0]}” that fits. Choose it, or rename it on the board."
                )
        return problems

    def column_problem(self, mappable: MappableField) -> str:
        """Return why a field can't have its chosen column; empty if it can, or has none."""
        column_id = self.choices.choice_of(mappable).column
        if mappable.is_name or not column_id:
            return ""
        if column_id == NEW_COLUMN:
            is_without_target = mappable.new_column_type == RELATION and mappable.lacks_target
            return f"{mappable.label} needs the other board first. Set that one up, too." if is_without_target else ""
        column = self.columns.get(column_id)
        if column is None:
            return f"The column {column_id} is not on the board any more. Choose another."
        return unfit_reason(mappable, column)

    def column_specs(self) -> list[ColumnSpec]:
        """Return the columns that the set-up adopts and creates; raises ActionError if a field can't have its one."""
        present = []
        new = []
        for mappable in self.synced:
            if problem := self.column_problem(mappable):
                raise ActionError(f"{mappable.label} can't have its column: {problem}")
            column_id = self.choices.choice_of(mappable).column
            column = self.columns.get(column_id)
            if column is not None:
                spec = ColumnSpec(mappable.key, column.title, column.type, column.id, mappable.target_board)
                present.append(spec)
            elif column_id == NEW_COLUMN:
                # If a column with another title has the id already, Monday assigns an id.
                same_id = self.columns.get(mappable.column_id)
                is_free = same_id is None or fold_title(same_id.title) == fold_title(mappable.label)
                new.append(
                    ColumnSpec(
                        key=mappable.key,
                        title=mappable.label,
                        type=mappable.new_column_type,
                        preferred_id=mappable.column_id if is_free else None,
                        target_board=mappable.target_board,
                        labels=mappable.labels,
                    )
                )
        # Existing columns first, so that a new one doesn't adopt a column that was chosen for another field.
        return [*present, board_columns.npd_id_spec(self.npd_id_column), *new]

    @property
    def problem_text(self) -> str:
        return " ".join(sentence for sentences in self.problems().values() for sentence in sentences)

    @property
    def changed_labels(self) -> list[str]:
        """The labels of the fields whose stored mapping changes; none for a new board."""
        stored = stored_choices(self.choices.link)
        return [
            mappable.label
            for mappable in self.fields
            if mappable.key in stored and self.choices.choice_of(mappable) != stored[mappable.key]
        ]


def board_settings(link: BoardLink | None) -> dict[str, Any]:
    """Return the stored settings that a set-up changes."""
    if link is None:
        return {}
    return {
        "board_id": link.board_id,
        "fields": {key: asdict(choice) for key, choice in stored_choices(link).items()},
        "first_match": link.mappings.values_list("first_match", flat=True).first() or "",
        "creates_records": link.creates_records,
        "sync_filter": link.sync_filter,
    }


def read_board(choices: Choices, boards_by_type: Mapping[str, str]) -> ChosenBoard:
    """Read the chosen board from Monday; raises ActionError, MondayError."""
    if not choices.board_id:
        return ChosenBoard(choices, None, boards_by_type)
    board = limits.connector(urgent=True).read_boards([choices.board_id]).get(choices.board_id)
    if board is None or not board.is_active:
        raise ActionError(removed_board_text(choices.board_name, choices.board_id, board))
    return ChosenBoard(replace(choices, board_name=board.name), board, boards_by_type)


def removed_board_text(name: str, board_id: str, board: Board | None) -> str:
    label = name or (board.name if board is not None else "")
    label_text = f"“{label}” ({board_id})" if label else board_id
    state = board.state if board is not None else "not on Monday, or hidden from NPD Sync's user on Monday"
    return f"The board {label_text} is {state}. Restore it on Monday, or choose another board."


def choose_boards(selected: Mapping[str, str], present: Mapping[str, Choices]) -> dict[str, Choices]:
    """Return the choices of each type for which a board is `selected`: its id, NEW_BOARD or NO_BOARD.

    A type that keeps its board keeps its choices. Raises ActionError, MondayError.
    """
    boards_by_type = {
        entity_type: "" if board_id == NEW_BOARD else board_id
        for entity_type, board_id in selected.items()
        if board_id != NO_BOARD
    }
    if not boards_by_type:
        raise ActionError("No board was chosen. Choose one for at least one kind of records.")
    ids = [board_id for board_id in boards_by_type.values() if board_id]
    if len(ids) != len(set(ids)):
        raise ActionError("Two kinds of records can't share a board. Choose another.")
    boards = limits.connector(urgent=True).read_boards(ids) if ids else {}
    chosen = {}
    for entity_type, board_id in boards_by_type.items():
        check_board(entity_type, board_id)
        board = boards.get(board_id)
        if board_id and (board is None or not board.is_active):
            raise ActionError(removed_board_text("", board_id, board))
        choices = present.get(entity_type)
        if choices is None or choices.board_id != board_id:
            choices = begin(entity_type, board, boards_by_type)
        chosen[entity_type] = choices
    return chosen


def begin(entity_type: str, board: Board | None, boards_by_type: Mapping[str, str]) -> Choices:
    """Return the initial choices of a set-up: the stored settings, or what the board's columns suggest."""
    spec = registry.entity(entity_type)
    # A board with more items than NPD has records is where the records are to come from.
    has_more_items = board is not None and (board.items_count or 0) > spec.model._default_manager.count()
    choices = Choices(
        entity_type=entity_type,
        board_id=board.id if board is not None else "",
        board_name=board.name if board is not None else spec.board_title,
        fields={},
        creates_records=board is None or has_more_items,
    )
    link = choices.link
    if link is not None:
        first_match = link.mappings.values_list("first_match", flat=True).first()
        choices = replace(
            choices,
            first_match=first_match if first_match in FIRST_MATCH_RULES else Rule.ASK,
            creates_records=link.creates_records,
            sync_filter=link.sync_filter,
        )
    chosen = ChosenBoard(choices, board, boards_by_type)
    fields = stored_choices(link)
    used = {choice.column for choice in fields.values()}
    free = [column for column in chosen.columns.values() if column.id not in used]
    unmapped = [mappable for mappable in chosen.fields if mappable.key not in fields]
    likely = suggest_columns(unmapped, free, chosen.npd_id_column)
    if link is None:
        # Later, a relation that a person left out stays out.
        relations = [mappable.key for mappable in unmapped if mappable.target_board is not None]
        likely = dict.fromkeys(relations, NEW_COLUMN) | likely
    fields |= {mappable.key: FieldChoice(likely.get(mappable.key, "")) for mappable in unmapped}
    return replace(choices, fields={mappable.key: fields[mappable.key] for mappable in chosen.fields})


def suggested_choices(spec: registry.EntitySpec, board: Board, requested: Collection[str] = ()) -> Choices:
    """Return the choices of `monday_setup`: what is stored or suggested, with another column instead of a lost one.

    An optional field gets only a column that the board has; without one it is left as it is, unless it is `requested`,
    such as "contact.organization".
    """
    choices = begin(spec.entity_type, board, {})
    chosen = ChosenBoard(choices, board)
    # On another board, too, a field keeps its direction and rule.
    stored = {mapping.key: mapping for mapping in FieldMapping.objects.filter(link__entity_type=spec.entity_type)}
    fields = {}
    for mappable in chosen.fields:
        choice = choices.choice_of(mappable)
        if mapping := stored.get(mappable.key):
            choice = replace(choice, direction=mapping.direction, rule=mapping.rule)
        if not choice.column or chosen.column_problem(mappable):
            # Only by id or title, because another column of its type holds something else.
            own = own_column(mappable, chosen.unused)
            choice = replace(choice, column=own.id if own is not None else NEW_COLUMN)
        is_requested = f"{spec.entity_type}.{mappable.key}" in requested
        if choice.column != NEW_COLUMN or is_requested or not mappable.optional:
            fields[mappable.key] = choice
    return replace(choices, fields=fields)


def check_board(entity_type: str, board_id: str) -> None:
    """Raise ActionError if these records can't have this board (empty: a new one), whatever Monday says."""
    spec = registry.entity(entity_type)
    if (configured := registry.configured_board_id(entity_type)) and board_id != configured:
        raise ActionError(
            f"Your administrator has set board {configured} for {spec.board_title} on the server. Choose that one."
        )
    for other in BoardLink.objects.exclude(entity_type=entity_type):
        gets_board = is_running(other) and other.setup["choices"]["board_id"] == board_id
        if board_id and (other.board_id == board_id or gets_board):
            raise ActionError(f"That board belongs to the {other.entity_type} records. Choose another.")
    link = registry.link_of(entity_type)
    if link is None or link.board_id in ("", board_id):
        return
    if linked := registry.linked_records(entity_type).count():
        message = plural(
            linked,
            "%(count)d record is linked with an item of board %(board)s. Unlink it first, or keep that board.",
            "%(count)d records are linked with items of board %(board)s. Unlink them first, or keep that board.",
        )
        raise ActionError(message % {"count": linked, "board": link.board_id})
