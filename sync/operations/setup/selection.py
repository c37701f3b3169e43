"""The choices of a set-up (boards, columns, new items, the first rule), their defaults and their checks.

The steps of a person, each a page with a form (`admin/setup_pages.py`):

1. token: connects Monday
2. boards: `choose_boards` begins the `Choices` of each type, by suggestions or by what is stored
3. fields, and the filter: change the choices
4. plan: a worker compares everything as these choices would have it (`plan.py`)
5. start: the choices are checked again and stored; a worker carries them out (`run.py`)

Until the start they are in the person's session; nothing here writes to a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from sync import limits, registry
from sync.boards import field_choices
from sync.boards.board_columns import NPD_ID_TITLE
from sync.boards.sync_filter import SyncFilter
from sync.choices import Rule, SetupState
from sync.kernel.humanize import plural
from sync.kernel.messages import ActionError
from sync.models import BoardLink, SyncedModel
from sync.monday.board_items import GROUP, Board, BoardColumn
from sync.monday.texts import match_key
from sync.reconcile.lookups import match_key_sql
from sync.records import authors
from sync.registry import EntitySpec, link_of

REQUIRED_PERMISSIONS = ("sync.change_boardlink", "sync.change_fieldmapping")

NEW_BOARD = "new"
NO_BOARD = ""

FIRST_MATCH_RULES = (Rule.ASK, Rule.NPD_WINS, Rule.MONDAY_WINS)


def may_set_up(user: Any) -> bool:
    """Whether this user may change boards and their mappings."""
    return bool(user.has_perms(REQUIRED_PERMISSIONS))


def is_running(link: BoardLink | None) -> bool:
    """Whether a set-up of this board was started and isn't done."""
    return link is not None and (link.setup or {}).get("state") == SetupState.RUNNING


def log_setup(user: User, entity_type: str, sentence: str) -> None:
    """Write a line in the admin log, under the board's name."""
    authors.log_model_action(user, BoardLink, sentence, name=registry.entity(entity_type).board_title)


@dataclass(frozen=True)
class Choices:
    """The choices for one type of records."""

    entity_type: str
    board_id: str  # empty for a board that is to be made
    board_name: str
    fields: Mapping[str, field_choices.FieldChoice]
    is_mapped: bool = False  # whether a person has gone on from the fields
    first_match: str = Rule.ASK  # the rule for values that differ when a record is linked
    creates_records: bool = False  # whether items become records
    sync_filter: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> EntitySpec:
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

    def choice_of(self, mappable: field_choices.MappableField) -> field_choices.FieldChoice:
        return self.fields.get(mappable.key, field_choices.FieldChoice())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Choices:
        fields = {key: field_choices.FieldChoice(**choice) for key, choice in stored["fields"].items()}
        return cls(**{**stored, "fields": fields})


def plan_token(choices: Mapping[str, Choices]) -> str:
    """Return the key of the plan for these choices: a hash of them."""
    text = json.dumps([board_choices.to_json() for board_choices in choices.values()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ChosenBoard:
    """The choices for one type, with its board as Monday shows it; without a `board`, the set-up creates one."""

    choices: Choices
    board: Board | None
    boards_by_type: Mapping[str, str] = field(default_factory=dict)  # ids of all boards that are set up together

    @cached_property
    def fields(self) -> list[field_choices.MappableField]:
        return field_choices.mappable_fields(self.choices.spec, self.boards_by_type)

    @cached_property
    def columns(self) -> dict[str, BoardColumn]:
        """The columns that a field can be mapped to, by id."""
        columns = self.board.columns if self.board is not None else ()
        return {column.id: column for column in columns if column.type not in ("name", "subtasks")}

    @property
    def groups(self) -> Mapping[str, str]:
        return self.board.groups if self.board is not None else {}

    @cached_property
    def npd_id(self) -> str:
        """The id of the column for the NPD ID; empty if the set-up creates it."""
        return field_choices.find_npd_id_column(self.choices.link, self.columns.values())

    @cached_property
    def synced(self) -> list[field_choices.MappableField]:
        return [mappable for mappable in self.fields if self.choices.choice_of(mappable).is_synced]

    @property
    def new_fields(self) -> list[field_choices.MappableField]:
        """The fields that get a new column."""
        return [
            mappable for mappable in self.synced if self.choices.choice_of(mappable).column == field_choices.NEW_COLUMN
        ]

    @property
    def new_titles(self) -> list[str]:
        """The titles of the columns that the set-up creates."""
        return [mappable.label for mappable in self.new_fields] + ([] if self.npd_id else [NPD_ID_TITLE])

    @property
    def unused(self) -> list[BoardColumn]:
        used = {self.npd_id, *(self.choices.choice_of(mappable).column for mappable in self.synced)}
        return [column for column in self.columns.values() if column.id not in used]

    @property
    def second_column_notes(self) -> list[str]:
        """Notes about new columns whose type another, unused column has."""
        return list(filter(None, map(self.second_column_note, self.new_fields)))

    def second_column_note(self, mappable: field_choices.MappableField) -> str:
        return field_choices.second_column_text(mappable.label, mappable.new_column_type, self.unused)

    @property
    def filter_lines(self) -> list[str]:
        """The filter as sentences; none if everything is synced."""
        labels = {mappable.key: mappable.label for mappable in self.fields}
        return SyncFilter.parse(self.choices.sync_filter).lines(labels)

    def problems(self) -> dict[str, list[str]]:
        """Return the problems of the choices as sentences, by field."""
        conditions = SyncFilter.parse(self.choices.sync_filter)
        filtered = {condition.field for condition in (*conditions.records, *conditions.items)} - {GROUP}
        return field_choices.choice_problems(self.fields, self.choices.fields, self.columns, self.npd_id, filtered)

    @property
    def problem_text(self) -> str:
        return " ".join(sentence for sentences in self.problems().values() for sentence in sentences)

    @property
    def changed_labels(self) -> list[str]:
        """The labels of the fields whose stored mapping changes; none for a new board."""
        stored = field_choices.stored_choices(self.choices.link)
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
        "fields": {key: asdict(choice) for key, choice in field_choices.stored_choices(link).items()},
        "first_match": link.mappings.values_list("first_match", flat=True).first() or "",
        "creates_records": link.creates_records,
        "sync_filter": link.sync_filter,
    }


def named_records(model: type[SyncedModel], names: Sequence[str]) -> list[SyncedModel]:
    """Return a new, unsaved record for each valid name that no record has."""
    field_name = registry.name_field(model)
    if field_name is None:
        return []
    stored = model._default_manager.annotate(match=match_key_sql(field_name))
    existing = set(stored.filter(match__in=map(match_key, names)).values_list("match", flat=True))
    records = []
    for name in names:
        record = model(**{field_name: name})
        with suppress(ValidationError):
            record.clean_fields()
            record.clean()
            if match_key(name) not in existing:
                records.append(record)
    return records


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
    """Return the choices of each type for which a board, or a new one, is selected.

    A type that keeps its board keeps its choices. Raises ActionError, MondayError.
    """
    boards_by_type = {key: "" if board_id == NEW_BOARD else board_id for key, board_id in selected.items() if board_id}
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
    fields = field_choices.stored_choices(link)
    used = {choice.column for choice in fields.values()}
    free = [column for column in chosen.columns.values() if column.id not in used]
    unmapped = [mappable for mappable in chosen.fields if mappable.key not in fields]
    likely = field_choices.suggest_columns(unmapped, free, chosen.npd_id)
    if link is None:
        # Later, a relation that a person left out stays out.
        relations = [mappable.key for mappable in unmapped if mappable.target_board is not None]
        likely = dict.fromkeys(relations, field_choices.NEW_COLUMN) | likely
    fields |= {mappable.key: field_choices.FieldChoice(likely.get(mappable.key, "")) for mappable in unmapped}
    return replace(choices, fields={mappable.key: fields[mappable.key] for mappable in chosen.fields})


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
    link = link_of(entity_type)
    if link is None or link.board_id in ("", board_id):
        return
    if linked := registry.linked_records(entity_type).count():
        message = plural(
            linked,
            "%(count)d record is linked with an item of board %(board)s. Unlink it first, or keep that board.",
            "%(count)d records are linked with items of board %(board)s. Unlink them first, or keep that board.",
        )
        raise ActionError(message % {"count": linked, "board": link.board_id})
