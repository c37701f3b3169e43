"""The choices of a set-up (boards, columns, new items, the first rule), their defaults and their checks.

The steps of a person, each a page with a form (`admin/setup_pages.py`):

1. token: connects Monday
2. boards: `choose_boards` begins the `Choices` of each type, by what is stored or suggested
3. fields, and the filter: change the choices
4. plan: a worker compares everything as these choices would have it (`plan.py`)
5. start: the choices are checked again and stored; a worker carries them out (`run.py`)

Until the start they are in the person's session; nothing here writes to a table. `monday_setup` begins in the same way,
and takes what is suggested.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

from sync import permissions, registry
from sync.boards import board_columns
from sync.choices import Rule, SyncDirection
from sync.fields import field_values, lookups
from sync.fields.sync_filter import SyncFilter
from sync.kernel.acts import ActionError
from sync.limits import metered_client
from sync.models import BoardLink
from sync.monday.board_items import GROUP, NAME_COLUMN, RELATION, Board, BoardColumn, ColumnSpec
from sync.monday.connector import MondayConnector
from sync.monday.text_forms import fold_title
from sync.registry import EntitySpec, MappingSpec

REQUIRED_PERMISSIONS = ("sync.change_boardlink", "sync.change_fieldmapping")

# What a person selects instead of a board; in `Choices`, a new board has an empty id.
NEW_BOARD = "new"
NO_BOARD = ""

FIRST_MATCH_RULES = (Rule.ASK, Rule.NPD_WINS, Rule.MONDAY_WINS)

# Stands for a column to be created.
NEW_COLUMN = "+"

# What a person chooses for a record and an item of one name, by `pair_of`, or under ALL for every other pair.
LEAVE = ""  # nothing is made for either until somebody says so
LINK = "link"
APART = "apart"
ALL = "all"

# If a board has one column of such a type, it is most likely the field's.
_DISTINCTIVE_TYPES = ("email", "phone")


def may_set_up(user: Any) -> bool:
    """Whether this user may change boards and their mappings."""
    return bool(user.has_perms(REQUIRED_PERMISSIONS))


def may_see_connection(user: Any) -> bool:
    """Whether this user may open the page of the connection, which is also the first step of the set-up."""
    return permissions.may_view(user, "sync.mondayaccount") or may_set_up(user)


@dataclass(frozen=True)
class FieldChoice:
    column: str = ""  # its id, NEW_COLUMN, or empty for none
    direction: str = SyncDirection.BIDIRECTIONAL
    rule: str = Rule.ASK

    @property
    def is_synced(self) -> bool:
        return bool(self.column) and self.direction != SyncDirection.NONE


@dataclass(frozen=True)
class Choices:
    """The choices for one type of records, as the session and a started set-up hold them."""

    entity_type: str
    board_id: str  # empty for a board that is to be made
    board_name: str
    fields: Mapping[str, FieldChoice]
    is_mapped: bool = False  # whether a person has gone on from the fields
    first_match: str = Rule.ASK  # the rule for values that differ when a record is linked
    creates_records: bool = False  # whether items become records
    sync_filter: Mapping[str, Any] = field(default_factory=dict)
    namesakes: Mapping[str, str] = field(default_factory=dict)  # LEAVE, LINK or APART, by `pair_of` or ALL
    creates_anyway: bool = False  # whether new ones are created though nobody can recognize some items

    @property
    def spec(self) -> EntitySpec:
        return registry.entity(self.entity_type)

    @property
    def first_match_text(self) -> str:
        return "you are asked" if self.first_match == Rule.ASK else str(Rule(self.first_match).label)

    def choice_of(self, mapping: MappingSpec) -> FieldChoice:
        return self.fields.get(mapping.key, FieldChoice())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Choices:
        fields = {key: FieldChoice(**choice) for key, choice in stored["fields"].items()}
        return cls(**{**stored, "fields": fields})


def pair_of(record_id: str, item_id: str) -> str:
    return f"{record_id}:{item_id}"


def type_words(column_type: str) -> str:
    return column_type.replace("_", " ").capitalize()


def plan_key(choices: Mapping[str, Choices]) -> str:
    """Return the key of the plan for these choices: a hash of them."""
    text = json.dumps([board_choices.to_json() for board_choices in choices.values()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stored_choices(link: BoardLink | None) -> Choices | None:
    """Return the stored settings that a set-up changes, as choices; None without a board."""
    if link is None or not link.board_id:
        return None
    mappings = list(link.mappings.all())
    # Set-up gives all synced fields the same; the first is the name, which is always synced.
    first_match = mappings[0].first_match if mappings else Rule.ASK
    return Choices(
        entity_type=link.entity_type,
        board_id=link.board_id,
        board_name="",
        fields={mapping.key: FieldChoice(mapping.column_id, mapping.direction, mapping.rule) for mapping in mappings},
        first_match=first_match if first_match in FIRST_MATCH_RULES else Rule.ASK,
        creates_records=link.creates_records,
        sync_filter=link.sync_filter,
    )


@dataclass(frozen=True)
class ChosenBoard:
    """The choices for one type, with its board as Monday shows it; without a `board`, the set-up creates one."""

    choices: Choices
    board: Board | None
    # The ids of all boards that are set up together, empty for a new one.
    boards_by_type: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> EntitySpec:
        return self.choices.spec

    @cached_property
    def stored_link(self) -> BoardLink | None:
        """The type's board link as stored, maybe with another board."""
        # Not `link_of`, which shows the board that the environment names: the stored settings may be another one's.
        return BoardLink.objects.filter(entity_type=self.choices.entity_type).first()

    @cached_property
    def stored(self) -> Choices | None:
        """The stored settings, as choices; None without a board."""
        return stored_choices(self.stored_link)

    @property
    def link(self) -> BoardLink | None:
        """The stored link if it is for the chosen board: the settings of another board don't apply."""
        is_same_board = self.stored is not None and self.stored.board_id == self.choices.board_id
        return self.stored_link if is_same_board else None

    @cached_property
    def columns(self) -> dict[str, BoardColumn]:
        """The columns that a field can be mapped to, by id."""
        columns = self.board.columns if self.board is not None else ()
        return {column.id: column for column in columns if column.type not in ("name", "subtasks")}

    @cached_property
    def npd_id_column(self) -> str:
        """The id of the column for the NPD ID; empty if the set-up creates it."""
        texts = {column.id: column for column in self.columns.values() if column.type == "text"}
        for column_id in (self.link.npd_id_column if self.link else "", board_columns.NPD_ID_KEY):
            if column_id in texts:
                return column_id
        title = fold_title(board_columns.NPD_ID_TITLE)
        return next((column.id for column in texts.values() if fold_title(column.title) == title), "")

    @cached_property
    def target_boards(self) -> dict[str, str | None]:
        """The board of the records that a relation names, by key: empty if it will be created, None without one."""
        boards: dict[str, str | None] = {}
        for mapping in self.spec.mappings:
            relation = registry.relation_of(self.spec.model, mapping.fields)
            if relation is None:
                continue
            target = registry.target_of(relation).entity_type()
            if target in self.boards_by_type:
                boards[mapping.key] = self.boards_by_type[target]
            else:
                link = lookups.link_of(target) if registry.is_registered(target) else None
                boards[mapping.key] = (link.board_id or None) if link is not None else None
        return boards

    def lacks_target(self, mapping: MappingSpec) -> bool:
        """Whether it names records whose board neither is nor will be set up."""
        return self.target_boards.get(mapping.key, "") is None

    @property
    def synced(self) -> list[MappingSpec]:
        return [mapping for mapping in self.spec.mappings if self.choices.choice_of(mapping).is_synced]

    @property
    def new_titles(self) -> list[str]:
        """The titles of the columns that the set-up creates."""
        new = [mapping for mapping in self.synced if self.choices.choice_of(mapping).column == NEW_COLUMN]
        npd_id_titles = [] if self.npd_id_column else [board_columns.NPD_ID_TITLE]
        return [mapping.label for mapping in new] + npd_id_titles

    @property
    def unused(self) -> list[BoardColumn]:
        """The columns that no synced field has."""
        used = {self.npd_id_column, *(self.choices.choice_of(mapping).column for mapping in self.synced)}
        return [column for column in self.columns.values() if column.id not in used]

    @property
    def filter_lines(self) -> list[str]:
        """The filter as sentences; none if everything is synced."""
        return self.lines_of(self.choices)

    @property
    def changed_filter_lines(self) -> list[str]:
        """The stored filter as sentences, unless it stays."""
        lines = self.lines_of(self.stored) if self.stored is not None else []
        return lines if lines != self.filter_lines else []

    def lines_of(self, choices: Choices) -> list[str]:
        """Return the filter of these choices as sentences."""
        labels = {mapping.key: mapping.label for mapping in self.spec.mappings}
        return SyncFilter.parse(choices.sync_filter).lines(labels)

    @property
    def one_way_fields(self) -> list[tuple[str, str]]:
        """The labels of the fields that are synced one way, each with the side whose value counts."""
        directions = [(mapping.label, str(self.choices.choice_of(mapping).direction)) for mapping in self.synced]
        sources: dict[str, str] = {SyncDirection.NPD_TO_MONDAY: "NPD", SyncDirection.MONDAY_TO_NPD: "Monday"}
        return [(label, sources[direction]) for label, direction in directions if direction in sources]

    @property
    def mapping_changes(self) -> list[str]:
        """What changes of each field's stored mapping, such as “Role: “Job” → “Title””; on another board no columns."""
        fields = self.stored.fields if self.stored else {}
        changes = []
        for mapping in self.spec.mappings:
            before = fields.get(mapping.key) or (FieldChoice() if fields else None)
            after = self.choices.choice_of(mapping)
            if before is not None and self.link is None:
                direction = after.direction if after.is_synced else SyncDirection.NONE
                after = FieldChoice(before.column, direction, after.rule)
            if before is None or before == after:
                continue
            pairs = zip(self._words_of(before), self._words_of(after), strict=True)
            changed = [f"{words} → {new_words}" for words, new_words in pairs if words != new_words]
            changes.append(f"{mapping.label}: {', '.join(changed) or 'another column of this title'}")
        return changes

    def columns_in_words(self, titles_before: Mapping[str, str]) -> list[str]:
        """Return the column of each synced field, such as “Role: “Title””, without those whose title stays the same."""
        columns = []
        for mapping in self.synced:
            choice = self.choices.choice_of(mapping)
            # An item's name is no column.
            if choice.column not in (*self.columns, NEW_COLUMN):
                continue
            words = self._words_of(choice)[0]
            words_before = f"“{titles_before[mapping.key]}”" if titles_before.get(mapping.key) else ""
            if words != words_before:
                columns.append(f"{mapping.label}: {' → '.join(filter(None, [words_before, words]))}")
        return columns

    def _words_of(self, choice: FieldChoice) -> tuple[str, str, str]:
        column = self.columns.get(choice.column)
        title = {"": "no column", NEW_COLUMN: "a new column"}.get(choice.column, choice.column)
        words = f"“{column.title}”" if column else title
        return words, str(SyncDirection(choice.direction).label), str(Rule(choice.rule).label)

    @property
    def unused_labels(self) -> list[str]:
        """The columns that no field uses: one of them may be meant for a field that gets a new one."""
        return [f"“{column.title}” ({type_words(column.type)})" for column in self.unused]

    # The problems of the choices.

    def unfit_reason(self, mapping: MappingSpec, column: BoardColumn) -> str:
        """Return why a column doesn't fit a field, or an empty text."""
        if column.type not in mapping.types:
            return f"“{column.title}” is of the type {column.type}; {mapping.label} needs {' or '.join(mapping.types)}."
        if column.type == RELATION and self.target_boards.get(mapping.key) not in column.target_boards:
            return f"“{column.title}” doesn't lead to the board that {mapping.label} points at."
        return ""

    def column_problem(self, mapping: MappingSpec) -> str:
        """Return why a field can't have its chosen column; empty if it can, or has none."""
        column_id = self.choices.choice_of(mapping).column
        if mapping.is_name or not column_id:
            return ""
        if column_id == NEW_COLUMN:
            is_without_target = mapping.new_column_type == RELATION and self.lacks_target(mapping)
            return f"{mapping.label} needs the other board first. Set that one up, too." if is_without_target else ""
        column = self.columns.get(column_id)
        if column is None:
            return f"The column {column_id} is not on the board any more. Choose another."
        return self.unfit_reason(mapping, column)

    def problems(self) -> dict[str, list[str]]:
        """Return the problems of the choices as sentences, by field."""
        problems: dict[str, list[str]] = {}
        owners = {self.npd_id_column: board_columns.NPD_ID_TITLE} if self.npd_id_column else {}
        for mapping in self.spec.mappings:
            choice = self.choices.choice_of(mapping)
            is_match_key = mapping.key == self.spec.match_key
            field_problems = []
            if (mapping.required or is_match_key) and not choice.is_synced:
                reason = "records and items are matched by it" if is_match_key else "it is required in NPD"
                field_problems.append(f"{mapping.label} must be synced, for {reason}. Choose a column and a direction.")
            if problem := self.column_problem(mapping):
                field_problems.append(problem)
            elif choice.column == NEW_COLUMN and (column := self.same_title_column(mapping)) is not None:
                field_problems.append(
                    f"The board has a column “{column.title}” that fits. Choose it, or rename it on the board."
                )
            if choice.is_synced and choice.column != NEW_COLUMN:
                if owner := owners.get(choice.column):
                    title = self.columns[choice.column].title if choice.column in self.columns else choice.column
                    field_problems.append(f"“{title}” is already the column of {owner}. Choose another.")
                owners.setdefault(choice.column, mapping.label)
            if field_problems:
                problems[mapping.key] = field_problems
        return problems

    @property
    def problem_text(self) -> str:
        return " ".join(sentence for sentences in self.problems().values() for sentence in sentences)

    # The columns to suggest.

    def same_title_column(self, mapping: MappingSpec) -> BoardColumn | None:
        """Return the unused column of the field's title that fits it."""
        title = fold_title(mapping.label)
        titled = [column for column in self.unused if fold_title(column.title) == title]
        return next((column for column in titled if not self.unfit_reason(mapping, column)), None)

    def suggested_columns(self, mappings: Sequence[MappingSpec]) -> dict[str, str]:
        """Return the likely column of each field, no column twice; a new one for required fields without one."""
        mappings = [mapping for mapping in mappings if not self.lacks_target(mapping)]
        suggestions = {mapping.key: NAME_COLUMN for mapping in mappings if mapping.is_name}
        for is_likely in (self._is_own, self._is_titled, self._is_only_one):
            for mapping, column in product(mappings, self.unused):
                is_free = mapping.key not in suggestions and column.id not in suggestions.values()
                if is_free and is_likely(mapping, column) and not self.unfit_reason(mapping, column):
                    suggestions[mapping.key] = column.id
        return {mapping.key: NEW_COLUMN for mapping in mappings if not mapping.optional} | suggestions

    def _is_own(self, mapping: MappingSpec, column: BoardColumn) -> bool:
        """Whether it has the id that set-up gives the column, or the field's title."""
        return column.id == mapping.column_id or fold_title(column.title) == fold_title(mapping.label)

    def _is_titled(self, mapping: MappingSpec, column: BoardColumn) -> bool:
        """Whether it has another title that people give the field."""
        return fold_title(column.title) in map(fold_title, self.spec.titles.get(mapping.key, ()))

    def _is_only_one(self, mapping: MappingSpec, column: BoardColumn) -> bool:
        """Whether it is the only column of its type, and not titled like another field."""
        if [other.type for other in self.unused].count(column.type) > 1:
            return False
        if mapping.optional and column.type not in _DISTINCTIVE_TYPES:
            return False
        own_names = {mapping.key, *mapping.fields}
        titles = [title for name, titles in self.spec.titles.items() if name not in own_names for title in titles]
        titles += [other.label for other in self.spec.mappings if other.key != mapping.key]
        return fold_title(column.title) not in map(fold_title, titles)

    def column_specs(self) -> list[ColumnSpec]:
        """Return the columns to adopt and to create; raises ActionError if a field can't have its column."""
        adopted_specs = []
        new_specs = []
        for mapping in self.synced:
            if problem := self.column_problem(mapping):
                raise ActionError(f"{mapping.label} can't have its column: {problem}")
            column_id = self.choices.choice_of(mapping).column
            target = self.target_boards.get(mapping.key)
            if column_id == NEW_COLUMN:
                # If a column with another title has the id already, Monday assigns an id.
                same_id = self.columns.get(mapping.column_id)
                is_free = same_id is None or fold_title(same_id.title) == fold_title(mapping.label)
                preferred = mapping.column_id if is_free else None
                labels = field_values.choice_labels(self.spec.model, mapping.fields)
                new_specs.append(
                    ColumnSpec(mapping.key, mapping.label, mapping.new_column_type, preferred, target, labels=labels)
                )
            elif not mapping.is_name:
                column = self.columns[column_id]
                adopted_specs.append(ColumnSpec(mapping.key, column.title, column.type, column.id, target))
        key = board_columns.NPD_ID_KEY  # also the id that every set-up gives the column
        npd_id_spec = ColumnSpec(key, board_columns.NPD_ID_TITLE, "text", self.npd_id_column or key)
        # Existing columns first, so that a new one doesn't adopt a column that was chosen for another field.
        return [*adopted_specs, npd_id_spec, *new_specs]


def read_active_board(connector: MondayConnector, board_id: str, name: str = "") -> Board:
    """Read a board from Monday; raises ActionError if it isn't active, MondayError."""
    board = connector.read_boards([board_id]).get(board_id)
    if board is not None and board.is_active:
        return board
    label = name or (board.name if board is not None else "")
    label_text = f"“{label}” ({board_id})" if label else board_id
    state = board.state if board is not None else "not on Monday, or hidden from NPD Sync's user on Monday"
    raise ActionError(f"The board {label_text} is {state}. Restore it on Monday, or choose another board.")


def read_chosen_board(choices: Choices, boards_by_type: Mapping[str, str]) -> ChosenBoard:
    """Read the chosen board from Monday; raises ActionError, MondayError."""
    if not choices.board_id:
        return ChosenBoard(choices, None, boards_by_type)
    board = read_active_board(metered_client.connector(urgent=True), choices.board_id, choices.board_name)
    return ChosenBoard(replace(choices, board_name=board.name), board, boards_by_type)


def choose_boards(selected: Mapping[str, str], previous: Mapping[str, Choices]) -> dict[str, Choices]:
    """Return the choices of each type for which a board is `selected`: its id, NEW_BOARD or NO_BOARD.

    A type that keeps its board keeps its choices. Raises ActionError, MondayError.
    """
    boards_by_type = {key: "" if board == NEW_BOARD else board for key, board in selected.items() if board != NO_BOARD}
    if not boards_by_type:
        raise ActionError("No board was chosen. Choose one for at least one kind of records.")
    ids = list(filter(None, boards_by_type.values()))
    if len(ids) != len(set(ids)):
        raise ActionError("Two kinds of records can't share a board. Choose another.")
    chosen = {}
    for entity_type, board_id in boards_by_type.items():
        check_board_choice(entity_type, board_id)
        choices = previous.get(entity_type)
        if choices is None or choices.board_id != board_id:
            board = read_active_board(metered_client.connector(urgent=True), board_id) if board_id else None
            choices = initial_choices(entity_type, board, boards_by_type)
        chosen[entity_type] = choices
    return chosen


def initial_choices(entity_type: str, board: Board | None, boards_by_type: Mapping[str, str]) -> Choices:
    """Return the initial choices of a set-up: the stored settings, or what the board's columns suggest.

    A field whose column was lost gets the column of its title, or a new one. On another board, each field keeps its
    direction and rule, the filter the conditions that the board can have, and the others stay as they are.
    """
    spec = registry.entity(entity_type)
    # A board with more items than NPD has records is where the records are to come from.
    has_more_items = board is not None and (board.items_count or 0) > spec.model.objects.count()
    choices = Choices(
        entity_type=entity_type,
        board_id=board.id if board is not None else "",
        board_name=board.name if board is not None else spec.board_title,
        fields={},
        creates_records=board is None or has_more_items,
    )
    chosen = ChosenBoard(choices, board, boards_by_type)
    stored = chosen.stored if chosen.link is not None else None
    left = chosen.stored if chosen.link is None else None
    if stored is not None:
        choices = replace(stored, board_name=choices.board_name)
    elif left is not None:
        creates_records = left.creates_records or choices.creates_records
        choices = replace(choices, creates_records=creates_records, first_match=left.first_match)
    fields = dict(choices.fields)
    chosen = replace(chosen, choices=choices)
    unmapped = [mapping for mapping in spec.mappings if mapping.key not in fields]
    likely = chosen.suggested_columns(unmapped)
    if stored is None:
        # Later, a relation that a person left out stays out.
        relations = [mapping.key for mapping in unmapped if chosen.target_boards.get(mapping.key) is not None]
        likely = dict.fromkeys(relations, NEW_COLUMN) | likely
    for mapping in spec.mappings:
        choice = fields.setdefault(mapping.key, FieldChoice(likely.get(mapping.key, "")))
        if left is not None and mapping.key in left.fields:
            kept = left.fields[mapping.key]
            is_new = kept.is_synced and not chosen.lacks_target(mapping)
            column_id = choice.column or (NEW_COLUMN if is_new else "")
            fields[mapping.key] = replace(kept, column=column_id)
        if mapping not in unmapped and chosen.column_problem(mapping):
            # Only by its title, because another column of its type holds something else.
            own = chosen.same_title_column(mapping)
            column_id = own.id if own is not None else NEW_COLUMN if choice.is_synced else ""
            fields[mapping.key] = replace(choice, column=column_id)
    choices = replace(choices, fields={mapping.key: fields[mapping.key] for mapping in spec.mappings})
    return replace(choices, sync_filter=_kept_filter(left, choices, board)) if left is not None else choices


def _kept_filter(left: Choices, choices: Choices, board: Board | None) -> dict[str, Any]:
    """Return the filter of the board that is left, without the conditions on items that this board can't have.

    Those are about fields whose column it lacks, or groups of titles that it lacks.
    """
    sync_filter = SyncFilter.parse(left.sync_filter)
    groups = {key: title.casefold() for key, title in board.groups.items()} if board is not None else {}
    columns = {key for key, choice in choices.fields.items() if choice.column not in ("", NEW_COLUMN)}
    items = []
    for condition in sync_filter.items:
        if condition.field in columns:
            items.append(condition)
        titles = {label.casefold() for label in condition.labels}
        if condition.field == GROUP and titles <= set(groups.values()):
            ids = tuple(group for group, title in groups.items() if title in titles)
            items.append(replace(condition, values=ids))
    return SyncFilter(sync_filter.records, tuple(items)).to_json()


def suggested_choices(spec: EntitySpec, board: Board, requested: Collection[str] = ()) -> Choices:
    """Return the choices of `monday_setup`: what is stored or suggested.

    An optional field gets only a column that the board has; without one it is left as it is, unless it is `requested`,
    such as "contact.organization".
    """
    choices = initial_choices(spec.entity_type, board, {})
    fields = {}
    for mapping in spec.mappings:
        choice = choices.choice_of(mapping)
        choice = replace(choice, column=choice.column or NEW_COLUMN)
        is_requested = f"{spec.entity_type}.{mapping.key}" in requested
        if choice.column != NEW_COLUMN or is_requested or not mapping.optional:
            fields[mapping.key] = choice
    return replace(choices, fields=fields)


def check_board_choice(entity_type: str, board_id: str) -> None:
    """Raise ActionError if these records can't have this board (empty: a new one), whatever Monday says."""
    spec = registry.entity(entity_type)
    if (configured := registry.configured_board_id(entity_type)) and board_id != configured:
        raise ActionError(
            f"Your administrator has set board {configured} for {spec.board_title} on the server. Choose that one."
        )
    for other in BoardLink.objects.exclude(entity_type=entity_type):
        gets_board = other.is_being_set_up and other.setup["choices"]["board_id"] == board_id
        if board_id and (other.board_id == board_id or gets_board):
            raise ActionError(f"That board belongs to the {other.entity_type} records. Choose another.")
