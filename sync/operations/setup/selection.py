"""What a person chooses in a set-up: boards, columns, what becomes of new items; each choice checked before it counts.

The choices are kept in the person's session. Nothing here writes anywhere.
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
from sync.choices import Rule
from sync.kernel.humanize import plural
from sync.kernel.messages import ActionError, Conflict
from sync.models import BoardLink, SyncedModel
from sync.monday.board import Board, BoardColumn
from sync.monday.board_items import GROUP
from sync.monday.texts import match_key
from sync.reconcile.lookups import match_key_of
from sync.records import authors
from sync.registry import EntitySpec, link_of

REQUIRED_PERMISSIONS = ("sync.change_boardlink", "sync.change_fieldmapping")

NEW_BOARD = "new"
NO_BOARD = ""
FIRST_MATCH_RULES = (Rule.ASK, Rule.NPD_WINS, Rule.MONDAY_WINS)


def may_set_up(user: Any) -> bool:
    """Whether this user may set up the sync: whoever may change boards and their mappings."""
    return all(user.has_perm(name) for name in REQUIRED_PERMISSIONS)


def log_setup(user: User, entity_type: str, sentence: str) -> None:
    """Write a line in the admin log, under the board's name."""
    authors.log_kind_action(user, BoardLink, sentence, name=registry.entity(entity_type).board_title)


@dataclass(frozen=True)
class Choices:
    """What one kind of records is set up with."""

    entity_type: str
    board_id: str  # empty for a board that is to be made
    board_name: str
    fields: Mapping[str, field_choices.FieldChoice]
    is_mapped: bool = False  # whether a person has gone on from the fields
    first_match: str = Rule.ASK  # where both sides are filled and differ at first
    creates_records: bool = False  # whether items become records
    creates_all: bool = False  # new ones also where nobody on the board can be recognised
    makes_related: bool = False  # also the records that relations name and NPD doesn't have
    sync_filter: Mapping[str, Any] = field(default_factory=dict)
    begun: Mapping[str, Any] = field(default_factory=dict)  # the board's settings that this was begun with

    @property
    def spec(self) -> EntitySpec:
        return registry.entity(self.entity_type)

    @property
    def link(self) -> BoardLink | None:
        """The type's board link, where it is about the chosen board."""
        link = link_of(self.entity_type)
        return link if link is not None and self.board_id and link.board_id == self.board_id else None

    def choice_of(self, mappable: field_choices.MappableField) -> field_choices.FieldChoice:
        return self.fields.get(mappable.key, field_choices.FieldChoice())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Choices:
        return cls(
            **{
                **stored,
                "fields": {key: field_choices.FieldChoice(**choice) for key, choice in stored["fields"].items()},
            }
        )


def plan_token(choices: Mapping[str, Choices]) -> str:
    """Return what names the plan of these choices: other choices have another plan."""
    text = json.dumps([board_choices.to_json() for board_choices in choices.values()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ChosenBoard:
    """One kind's choices beside its board as Monday shows it; without a `board`, one is to be made."""

    choices: Choices
    board: Board | None
    others: Mapping[str, str] = field(default_factory=dict)  # the boards that are chosen with it, by type

    @cached_property
    def fields(self) -> list[field_choices.MappableField]:
        return field_choices.mappable_fields(self.choices.spec, self.others)

    @cached_property
    def columns(self) -> dict[str, BoardColumn]:
        """The columns that can be a field's, by id."""
        columns = self.board.columns if self.board is not None else ()
        return {column.id: column for column in columns if column.type not in ("name", "subtasks")}

    @property
    def groups(self) -> Mapping[str, str]:
        return self.board.groups if self.board is not None else {}

    @cached_property
    def npd_id(self) -> str:
        """The column that holds the NPD ID; empty where it is to be created."""
        return field_choices.find_npd_id_column(self.choices.link, self.columns.values())

    @cached_property
    def synced(self) -> list[field_choices.MappableField]:
        return [mappable for mappable in self.fields if self.choices.choice_of(mappable).is_synced]

    @property
    def new_fields(self) -> list[field_choices.MappableField]:
        """The fields for which a column is made."""
        return [
            mappable for mappable in self.synced if self.choices.choice_of(mappable).column == field_choices.NEW_COLUMN
        ]

    @property
    def made(self) -> list[str]:
        """The titles of the columns that are made."""
        return [mappable.label for mappable in self.new_fields] + ([] if self.npd_id else [NPD_ID_TITLE])

    @property
    def unused(self) -> list[BoardColumn]:
        used = {self.npd_id, *(self.choices.choice_of(mappable).column for mappable in self.synced)}
        return [column for column in self.columns.values() if column.id not in used]

    @property
    def second(self) -> list[str]:
        """Say of each column that is made beside others of its type that it is a second one."""
        return list(filter(None, map(self.second_column_note, self.new_fields)))

    def second_column_note(self, mappable: field_choices.MappableField) -> str:
        return field_choices.second_column_text(mappable.label, mappable.new_column_type, self.unused)

    @property
    def filter_lines(self) -> list[str]:
        """What the filter lets through, as sentences; none where everything is synced."""
        labels = {mappable.key: mappable.label for mappable in self.fields}
        return SyncFilter.parse(self.choices.sync_filter).lines(labels)

    def problems(self) -> dict[str, list[str]]:
        """Return what is wrong with the choices, in sentences, by field."""
        conditions = SyncFilter.parse(self.choices.sync_filter)
        filtered = {condition.field for condition in (*conditions.records, *conditions.items)} - {GROUP}
        return field_choices.choice_problems(self.fields, self.choices.fields, self.columns, self.npd_id, filtered)

    @property
    def problem_text(self) -> str:
        return " ".join(sentence for sentences in self.problems().values() for sentence in sentences)

    @property
    def changed(self) -> list[str]:
        """The labels of the fields that are mapped otherwise than now; none of a board that is new."""
        stored = field_choices.stored_choices(self.choices.link)
        return [
            mappable.label
            for mappable in self.fields
            if mappable.key in stored and self.choices.choice_of(mappable) != stored[mappable.key]
        ]

    def check_settings(self) -> None:
        """Raise Conflict where somebody changed the board's settings since the choices were begun."""
        if self.choices.begun != board_settings(self.choices.link):
            raise Conflict(
                f"{self.choices.spec.board_title}: settings were changed elsewhere meanwhile. Compare again: the plan "
                "then says what it changes of them."
            )


def board_settings(link: BoardLink | None) -> dict[str, Any]:
    """Return a board's settings as choices note them, to tell whether somebody changed them since."""
    if link is None:
        return {}
    return {
        "board_id": link.board_id,
        "fields": {key: asdict(choice) for key, choice in field_choices.stored_choices(link).items()},
        "first_match": link.mappings.values_list("first_match", flat=True).first() or "",
        "creates_records": link.creates_records,
        "sync_filter": link.sync_filter,
    }


# The records that relations name and NPD doesn't have.


def named_records(model: type[SyncedModel], names: Sequence[str]) -> list[SyncedModel]:
    """Return a new record, not stored, for each name that no record has and that can be one."""
    field_name = registry.name_field(model)
    if field_name is None:
        return []
    stored = model._default_manager.annotate(match=match_key_of(field_name))
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


# Boards.


def read_board(choices: Choices, others: Mapping[str, str]) -> ChosenBoard:
    """Return the choices beside their board as it is now; raises ActionError, MondayError."""
    if not choices.board_id:
        return ChosenBoard(choices, None, others)
    board = limits.connector(urgent=True).read_boards([choices.board_id]).get(choices.board_id)
    if board is None or not board.is_active:
        raise ActionError(removed_board_text(choices.board_name, choices.board_id, board))
    return ChosenBoard(replace(choices, board_name=board.name), board, others)


def choose_boards(selected: Mapping[str, str], present: Mapping[str, Choices]) -> dict[str, Choices]:
    """Return choices for each kind of records with a board: by its id, or one to be made.

    A kind that keeps its board keeps its choices. Raises ActionError, MondayError.
    """
    ids = [board_id for board_id in selected.values() if board_id not in (NO_BOARD, NEW_BOARD)]
    if len(ids) != len(set(ids)):
        raise ActionError(
            "Two kinds of records can't have the same board: each item would be two things. Choose another."
        )
    if not any(selected.values()):
        raise ActionError("No board was chosen. Choose one for at least one kind of records.")
    boards = limits.connector(urgent=True).read_boards(ids) if ids else {}
    others = {key: "" if board_id == NEW_BOARD else board_id for key, board_id in selected.items() if board_id}
    chosen = {}
    for entity_type, board_id in others.items():
        _check_board(registry.entity(entity_type), selected[entity_type], boards)
        before = present.get(entity_type)
        is_kept = before is not None and before.board_id == board_id
        chosen[entity_type] = before if before and is_kept else begin(entity_type, boards.get(board_id), others)
    return chosen


def begin(entity_type: str, board: Board | None, others: Mapping[str, str]) -> Choices:
    """Return the choices with which a set-up begins: what is stored, else what the board's columns suggest."""
    spec = registry.entity(entity_type)
    choices = Choices(
        entity_type=entity_type,
        board_id=board.id if board is not None else "",
        board_name=board.name if board is not None else spec.board_title,
        fields={},
        creates_records=board is None,
    )
    # Nothing is taken over from the present board if another one was chosen.
    link = choices.link
    if link is not None:
        begun = board_settings(link)
        first_match = begun["first_match"] if begun["first_match"] in FIRST_MATCH_RULES else Rule.ASK
        choices = replace(
            choices,
            first_match=first_match,
            creates_records=link.creates_records,
            sync_filter=link.sync_filter,
            begun=begun,
        )
    chosen = ChosenBoard(choices, board, others)
    fields = field_choices.stored_choices(link)
    used = {choice.column for choice in fields.values()}
    free = [column for column in chosen.columns.values() if column.id not in used]
    unmapped = [mappable for mappable in chosen.fields if mappable.key not in fields]
    likely = field_choices.suggest_columns(unmapped, free, chosen.npd_id)
    fields |= {mappable.key: field_choices.FieldChoice(likely.get(mappable.key, "")) for mappable in unmapped}
    return replace(choices, fields={mappable.key: fields[mappable.key] for mappable in chosen.fields})


def begin_change(entity_type: str) -> Choices:
    """Return the choices with which a change of a board that is set up begins; raises ActionError, MondayError."""
    link = link_of(entity_type)
    if link is None or not link.board_id:
        raise ActionError("There is no board yet. Choose one.")
    boards = limits.connector(urgent=True).read_boards([link.board_id])
    _check_board(registry.entity(entity_type), link.board_id, boards)
    return replace(begin(entity_type, boards[link.board_id], {}), is_mapped=True)


def _check_board(spec: EntitySpec, board_id: str, boards: Mapping[str, Board]) -> None:
    """Refuse another type's board, one that isn't there, and any other one while records are linked."""
    if (configured := registry.configured_board_id(spec.entity_type)) and board_id != configured:
        raise ActionError(
            f"Your administrator has set board {configured} for {spec.board_title} on the server. Choose that one."
        )
    check_other_types(spec.entity_type, board_id)
    link = link_of(spec.entity_type)
    if link is not None and link.board_id not in ("", board_id):
        linked = registry.linked_records(spec.entity_type).count()
        if linked:
            message = plural(
                linked,
                "%(count)d record is linked with an item of board %(board)s. Unlink it first, or keep that board.",
                "%(count)d records are linked with items of board %(board)s. Unlink them first, or keep that board.",
            )
            raise ActionError(message % {"count": linked, "board": link.board_id})
    board = boards.get(board_id)
    if board_id != NEW_BOARD and (board is None or not board.is_active):
        raise ActionError(removed_board_text("", board_id, board))


def check_other_types(entity_type: str, board_id: str) -> None:
    """Raise ActionError where another kind of records has the board, or is being set up with it."""
    for other in BoardLink.objects.exclude(entity_type=entity_type):
        setup = other.setup or {}
        is_running = setup.get("state") == "running" and setup["choices"]["board_id"] == board_id
        if board_id and (other.board_id == board_id or is_running):
            raise ActionError(
                f"That board is the one of the {other.entity_type} records. A board serves one kind of records; "
                "choose another."
            )


def removed_board_text(name: str, board_id: str, board: Board | None) -> str:
    label = name or (board.name if board is not None else "")
    label_text = f"“{label}” ({board_id})" if label else board_id
    state = board.state if board is not None else "not on Monday, or hidden from NPD Sync's user on Monday"
    return f"The board {label_text} is {state}. Restore it on Monday, or choose another board."
