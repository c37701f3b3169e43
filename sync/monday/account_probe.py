"""A probe of a real account: it tests on its own boards what NPD Sync assumes where Monday's documentation is silent.

Each assumption is tested through our connector, by the calls that a sync makes. An answer is a few words that stay the
same from run to run: facts and the codes of errors, never ids, times or Monday's sentences.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.monday import board_events, item_documents
from sync.monday.board_items import (
    CREATE_COLUMN,
    CREATE_GROUP,
    RELATION,
    BoardSetup,
    ColumnSearch,
    ColumnSpec,
    Item,
    ItemWrite,
    WriteRequest,
)
from sync.monday.columns import make_converter
from sync.monday.connector import Hooks, MondayConnector
from sync.monday.conversion import ConverterOptions, UnknownValue
from sync.monday.errors import WEBHOOKS_INCOMPLETE, MondayError

BOARD_TITLE = "NPD Sync probe"
OTHER_BOARD_TITLE = "NPD Sync probe, other board"
UNKNOWN_ID = "1"
ALIAS = "r0"
READ_SECONDS = 2  # a read may be older than the write that it follows
WEBHOOK_SECONDS = 60  # a webhook that has not come by then counts as missing
LOG_SECONDS = 70  # the row of a change was seen more than half a minute late
LOOKS = (0, 0.5, 1, 2, 4, 8, 15, 30, 60)  # seconds of wait before each look at what lags behind a change

DELETE_BOARD = "mutation ProbeDeleteBoard($board: ID!) { delete_board(board_id: $board) { id } }"
MOVE_ITEM = """mutation ProbeMove($item: ID!, $group: String!) {
  move_item_to_group(item_id: $item, group_id: $group) { id } }"""
MOVE_TO_BOARD = """mutation ProbeMoveToBoard($item: ID!, $board: ID!, $group: ID!) {
  move_item_to_board(item_id: $item, board_id: $board, group_id: $group) { id } }"""
LATEST = """query ProbeLatest($board: ID!) {
  boards(ids: [$board], limit: 1, latest: true) {
    items_page(limit: 100) { items { id column_values { id text } } } } }"""

# A value for each type of column, as NPD stores it.
VALUES: Mapping[str, Any] = {
    "text": "A text",
    "long_text": "Two\nlines",
    "email": "ada@example.org",
    "phone": "+12025550172",
    "link": "https://example.org/",
    "status": "Made by the probe",
    "dropdown": ["Made by the probe", "And another"],
    "date": "2026-01-31",
    "numbers": "4.50",
    "checkbox": True,
}

Ask = Callable[["AccountProbe"], str]


class Unanswered(Exception):
    """One assumption can't be tested here; the message says why."""


@dataclass(frozen=True)
class Assumption:
    """Something that NPD Sync assumes about Monday."""

    ask: Ask
    expected: str  # empty: only measured, and right whatever it is
    otherwise: str  # the consequence of any other answer

    @property
    def key(self) -> str:
        return self.ask.__name__.replace("_", "-")

    @property
    def question(self) -> str:
        return self.ask.__doc__ or ""


@dataclass(frozen=True)
class Finding:
    """Monday's answer."""

    assumption: Assumption
    answer: str = ""
    reason: str = ""  # why it could not be asked

    @property
    def differs(self) -> bool:
        return bool(self.assumption.expected) and not self.reason and self.answer != self.assumption.expected


class AccountProbe:
    """The two boards of a probe, and the calls on them.

    `wait` lets seconds pass; `deliveries` returns the bodies of the webhooks that arrived for a board.
    """

    def __init__(
        self,
        connector: MondayConnector,
        wait: Callable[[float], None],
        deliveries: Callable[[str], Sequence[Mapping[str, Any]]],
        webhook_url: str,
    ) -> None:
        self.connector = connector
        self.wait = wait
        self.board_ids: list[str] = []
        self.leftovers: list[str] = []  # boards that could not be deleted, as sentences
        self._deliveries = deliveries
        self._webhook_url = webhook_url
        self._webhooks: Hooks = {}
        self._log_problem: MondayError | None = None  # of the last read of the log
        self._setup: BoardSetup

    def run(self) -> Iterator[Finding]:
        """Test every assumption; delete the boards at the end, also after a failure or Ctrl-C.

        Raises MondayError where the boards could not be created.
        """
        try:
            for title in (OTHER_BOARD_TITLE, BOARD_TITLE):
                self.connector.create_board(title, self.board_ids.append)
            self.connector.ensure_columns(self.other_board_id, "Items", [])
            columns = [ColumnSpec(kind, kind, kind, f"probe_{kind}") for kind in VALUES]
            relation = ColumnSpec(RELATION, RELATION, RELATION, "probe_relation", target_board=self.other_board_id)
            self._setup = self.connector.ensure_columns(self.board_id, "Items", [*columns, relation])
            for assumption in ASSUMPTIONS:
                try:
                    yield Finding(assumption, assumption.ask(self))
                except MondayError as error:
                    yield Finding(assumption, reason=error.sentence)
                except Unanswered as error:
                    yield Finding(assumption, reason=str(error))
        finally:
            for board_id in self.board_ids:
                try:
                    self.connector.api.execute(DELETE_BOARD, {"board": board_id})
                except MondayError as error:
                    self.leftovers.append(f"Board {board_id} is still there; delete it on Monday. {error.sentence}")

    @property
    def other_board_id(self) -> str:
        return self.board_ids[0]

    @property
    def board_id(self) -> str:
        return self.board_ids[1]

    @property
    def types(self) -> list[str]:
        return list(self._setup.columns)

    @property
    def column_ids(self) -> list[str]:
        return [column.id for column in self._setup.columns.values()]

    def column_id(self, column_type: str) -> str:
        return self._setup.columns[column_type].id

    def write(self, request: WriteRequest) -> Item:
        """Write one item and return it; raises MondayError."""
        return _item(self.connector.write(request, uuid.uuid4().hex).by_alias[ALIAS])

    def creation(self, name: str, values: Mapping[str, Any] | None = None) -> WriteRequest:
        creates = [ItemWrite(ALIAS, {"name": name, **(values or {})})]
        return item_documents.prepare_creates(
            self.board_id, None, creates, self.column_ids, self.types, create_labels=True
        )

    def create(self, name: str, values: Mapping[str, Any] | None = None) -> Item:
        return self.write(self.creation(name, values))

    def create_filled(self, name: str) -> Item:
        """Create an item with a value of every type."""
        local = {kind: {"field": value} for kind, value in VALUES.items()}
        return self.create(
            name, {self.column_id(kind): make_converter(kind).to_remote(raw, None) for kind, raw in local.items()}
        )

    def create_other(self, name: str) -> Item:
        """Create an item on the other board, to which relations lead."""
        creates = [ItemWrite(ALIAS, {"name": name})]
        return self.write(item_documents.prepare_creates(self.other_board_id, None, creates, []))

    def change(self, item: Item, values: Mapping[str, Any]) -> Item:
        changes = [ItemWrite(ALIAS, values, item.id)]
        return self.write(item_documents.prepare_changes(self.board_id, changes, self.column_ids, self.types))

    def remove(self, verb: str, item: Item) -> None:
        """Archive or delete an item."""
        self.write(item_documents.prepare_removal(verb, {ALIAS: item.id}))

    def read(self, item_id: str) -> Item | None:
        return next(iter(self.connector.read_items([item_id], self.column_ids, self.types)), None)

    def related(self, target: Item) -> Item:
        """Create an item that is connected with this one."""
        value = make_converter("relation").to_remote({"field": {"item": target.id}}, None)
        return self.create("With a relation", {self.column_id(RELATION): value})

    def linked_ids(self, item: Item | None) -> Sequence[str]:
        if item is None:
            raise Unanswered("the item isn't listed")
        raw = make_converter("relation").cell_value(item.reading(self.column_id(RELATION)))
        return list(raw["item_ids"]) if raw else []

    def relation_after(self, verb: str) -> str:
        """Return whether an item that is archived or deleted stays in the relations to it."""
        target = self.create_other(f"Linked, then {verb}d")
        item = self.related(target)
        self.remove(verb, target)
        self.wait(READ_SECONDS)
        return "stays" if target.id in self.linked_ids(self.read(item.id)) else "leaves"

    def differing_types(self, item: Item) -> list[str]:
        """Return the column types whose values differ from those that the item was created with."""
        differing = []
        for kind, value in VALUES.items():
            converter = make_converter(kind, ConverterOptions(column_settings=self._setup.columns[kind].settings))
            try:
                remote = converter.canonical_remote(converter.cell_value(item.reading(self.column_id(kind))))
                is_same = remote == converter.canonical_local({"field": value})
            except UnknownValue:
                is_same = False
            if not is_same:
                differing.append(kind)
        return differing

    def subscribe(self) -> None:
        """Create our webhooks; raises Unanswered where Monday doesn't reach the address."""
        try:
            self.connector.ensure_webhooks(
                self.board_id, self._webhook_url, stored=self._webhooks, store=self._webhooks.update
            )
        except MondayError as error:
            if error.kind is not WEBHOOKS_INCOMPLETE:
                raise
            reason = f"Monday made no webhook: it has to reach SITE_URL while web is running. {error.message}"
            raise Unanswered(reason) from error

    def has_webhook(self, item: Item, kind: board_events.EventKind) -> bool:
        """Return whether a webhook of this kind arrives for an item; raises Unanswered where none arrives at all."""
        for _ in range(WEBHOOK_SECONDS):
            if any(event.item_id == item.id and event.kind is kind for event in self._events()):
                return True
            self.wait(1)
        if not self._events():
            raise Unanswered(f"no webhook arrived within {WEBHOOK_SECONDS} s")
        return False

    def _events(self) -> list[board_events.ItemEvent]:
        return [board_events.parse_event(body) for body in self._deliveries(self.board_id)]

    def logged_change(self, item: Item, column_id: str) -> board_events.ItemEvent:
        """Return the activity log's event about a change; raises Unanswered where it shows none."""
        for _ in range(0, LOG_SECONDS, 10):
            for event in self.logged_changes(item, column_id):
                return event
            self.wait(10)
        raise Unanswered(f"no row of a change came within {LOG_SECONDS} s. {self._log_problem or ''}".strip())

    def logged_changes(self, item: Item, column_id: str) -> list[board_events.ItemEvent]:
        """Return the activity log's events about changes of a cell, the newest first."""
        activity = self.connector.read_activity(self.board_id, datetime.now(UTC) - timedelta(days=1))
        self._log_problem = activity.log_problem
        bodies = [body for entry in activity.log or () for body in board_events.webhook_bodies(entry, self.board_id)]
        events = map(board_events.parse_event, bodies)
        return [event for event in events if event.item_id == item.id and event.column_id == column_id]

    def change_seen(self, item: Item, text: str) -> dict[str, Callable[[], bool]]:
        """Return the ways in which a new text of an item may be seen, each as a look."""
        column = self.column_id("text")
        search = {"by_match": ColumnSearch(column, "text", [text])}

        def is_among(items: Sequence[Item]) -> bool:
            return any(row.id == item.id and row.reading(column).text == text for row in items)

        def is_about(event: board_events.ItemEvent) -> bool:
            return event.item_id == item.id and event.column_id == column and text in str(event.value)

        def is_latest() -> bool:
            boards = self.connector.api.execute(LATEST, {"board": self.board_id}).data["boards"]
            cells = [cell for row in boards[0]["items_page"]["items"] for cell in row["column_values"]]
            return any(cell["id"] == column and cell["text"] == text for cell in cells)

        return {
            "by id": lambda: is_among(self.connector.read_items([item.id], self.column_ids, self.types)),
            "searches": lambda: is_among(self.connector.read_batch(self.board_id, [], search, [column]).by_match),
            "listings": lambda: is_among(next(self.connector.list_items(self.board_id, [column]))),
            "listings of latest": is_latest,
            "log": lambda: any(map(is_about, self.logged_changes(item, column))),
            "webhooks": lambda: any(map(is_about, self._events())),
        }

    def lags(self, looks: Mapping[str, Callable[[], bool]]) -> str:
        """Look again and again; return after how many seconds each look succeeded."""
        elapsed = 0.0
        lags = dict.fromkeys(looks, f"over {sum(LOOKS):.0f} s")
        waiting = dict(looks)
        for pause in LOOKS:
            if pause and waiting:
                self.wait(pause)
                elapsed += pause
            for name, succeeds in list(waiting.items()):
                began = time.monotonic()
                if succeeds():
                    lags[name] = f"{elapsed:.1f} s"
                    del waiting[name]
                elapsed += time.monotonic() - began
        return ", ".join(f"{name} {lag}" for name, lag in lags.items())

    def move(self, item: Item, board_id: str) -> None:
        group = next(iter(self.connector.read_boards([board_id])[board_id].groups))
        self.connector.api.execute(MOVE_TO_BOARD, {"item": item.id, "board": board_id, "group": group})

    def connect_both_ways(self) -> tuple[str, str]:
        """Connect the boards in a column of each; return their ids. Raises Unanswered where only one is made."""
        settings = {
            "boardIds": [int(self.other_board_id)],
            "allowMultipleItems": True,
            "allowCreateReflectionColumn": True,
        }
        variables = {"board": self.board_id, "title": "Both ways", "type": RELATION, "defaults": json.dumps(settings)}
        answer = self.connector.api.execute(CREATE_COLUMN, variables)
        other = self.connector.read_boards([self.other_board_id])[self.other_board_id]
        end = next((column.id for column in other.columns if column.type == RELATION), None)
        if end is None:
            raise Unanswered("Monday made no column on the other board")
        return str(answer.data["create_column"]["id"]), end


def _item(result: Item | MondayError) -> Item:
    """Return the item of a write that was carried out; raises the error of any other."""
    if isinstance(result, MondayError):
        raise result
    return result


def _outcome(call: Callable[..., object], *arguments: Any) -> str:
    """Make a call and return the code of its error, or that it was done."""
    try:
        call(*arguments)
    except MondayError as error:
        return error.kind.code
    return "done"


ASSUMPTIONS: list[Assumption] = []
_SAME_KIND = "A refusal is recognized by its words or its status; any other counts as one record's fault."


def assumption(expected: str, otherwise: str) -> Callable[[Ask], Ask]:
    """Add a function to the assumptions; its docstring is the question that people read."""

    def add(ask: Ask) -> Ask:
        ASSUMPTIONS.append(Assumption(ask, expected, otherwise))
        return ask

    return add


@assumption(
    "invalid_document",
    "A version of the API that we don't speak would fail record by record, instead of stopping the board.",
)
def unknown_field(probe: AccountProbe) -> str:
    """How is a document with an unknown field refused?"""
    return _outcome(probe.connector.api.execute, "query ProbeUnknownField { me { nothing_of_this_name } }", {})


@assumption("left out", "An error would leave the record's item unknown, where it now counts as deleted.")
def unknown_item(probe: AccountProbe) -> str:
    """What does a read of an unknown item answer?"""
    return "left out" if probe.read(UNKNOWN_ID) is None else "listed"


@assumption("cursor_expired", "The nightly comparison would end with an error instead of starting its listing again.")
def wrong_cursor(probe: AccountProbe) -> str:
    """How is a text refused that is no cursor?"""
    return _outcome(probe.connector.read_page, probe.board_id, "nonsense", [])


@assumption("the same values", "Every pass would find these columns changed on Monday: don't map them, and tell us.")
def column_types(probe: AccountProbe) -> str:
    """Does an item show what each type of column was written?"""
    differing = probe.differing_types(probe.create_filled("With every type"))
    return f"others: {', '.join(differing)}" if differing else "the same values"


@assumption("there", "The relation is sent once more, as a change of its own: one more call for such records.")
def create_relation(probe: AccountProbe) -> str:
    """Does the answer to a create show the relation that it set?"""
    target = probe.create_other("Linked at once")
    return "there" if target.id in probe.linked_ids(probe.related(target)) else "dropped"


@assumption("stays", "The relation would look emptied by a person, and the field in NPD be emptied.")
def archived_in_relation(probe: AccountProbe) -> str:
    """Does an archived item stay in the relations to it?"""
    return probe.relation_after("archive")


@assumption("leaves", "The relation would lead to an item that no record has; the field would be blocked.")
def deleted_in_relation(probe: AccountProbe) -> str:
    """Does a deleted item stay in the relations to it?"""
    return probe.relation_after("delete")


@assumption(
    "done, item_not_found",
    "Without data the outcome is unknown, and the items are read again before anything is sent twice.",
)
def partial_batch(probe: AccountProbe) -> str:
    """Are the other changes of a document answered when one is refused?"""
    item = probe.create("In a batch")
    value = {probe.column_id("text"): "in a batch"}
    changes = [ItemWrite(ALIAS, value, item.id), ItemWrite("r1", value, UNKNOWN_ID)]
    request = item_documents.prepare_changes(probe.board_id, changes, [])
    results = probe.connector.write(request, uuid.uuid4().hex).by_alias
    return f"{_outcome(_item, results[ALIAS])}, {_outcome(_item, results['r1'])}"


@assumption("column_not_found", _SAME_KIND)
def unknown_column(probe: AccountProbe) -> str:
    """How is a change of an unknown column refused?"""
    item = probe.create("Without the column")
    return _outcome(probe.change, item, {"nothing_of_this_id": "x"})


@assumption("name_rejected", _SAME_KIND)
def long_name(probe: AccountProbe) -> str:
    """How is a name of 256 characters refused?"""
    return _outcome(probe.create, "x" * 256)


@assumption("label_unknown", _SAME_KIND)
def status_unknown(probe: AccountProbe) -> str:
    """How is an unknown label of a status refused?"""
    item = probe.create("With a status")
    return _outcome(probe.change, item, {probe.column_id("status"): {"label": "Nowhere"}})


@assumption("label_unknown", _SAME_KIND)
def dropdown_unknown(probe: AccountProbe) -> str:
    """How is an unknown label of a dropdown refused?"""
    item = probe.create("With a dropdown")
    return _outcome(probe.change, item, {probe.column_id("dropdown"): {"labels": ["Nowhere"]}})


@assumption("the first answer, marked", "A create whose answer was lost could be made twice: don't sync, and tell us.")
def key_replay(probe: AccountProbe) -> str:
    """What does the same create under the same key answer?"""
    request = probe.creation("Created once")
    key = uuid.uuid4().hex
    first = probe.connector.write(request, key)
    second = probe.connector.write(request, key)
    is_same = _item(first.by_alias[ALIAS]).id == _item(second.by_alias[ALIAS]).id
    return f"{'the first answer' if is_same else 'a second item'}, {'marked' if second.replayed else 'not marked'}"


@assumption("item_inactive", _SAME_KIND)
def deleted_write(probe: AccountProbe) -> str:
    """How is a change of a deleted item refused?"""
    item = probe.create("Deleted, then changed")
    probe.remove("delete", item)
    return _outcome(probe.change, item, {probe.column_id("text"): "x"})


@assumption("both values", "Edits on the board that one of our writes covered would not be found.")
def log_row(probe: AccountProbe) -> str:
    """What does the activity log tell of a change?"""
    item = probe.create("In the log", {probe.column_id("text"): "before"})
    probe.change(item, {probe.column_id("text"): "after"})
    event = probe.logged_change(item, probe.column_id("text"))
    return "both values" if event.value and event.previous_value else "values are missing"


@assumption(
    "sent", "Changes of other programs with this token are found minutes later, by the check for missed changes."
)
def webhook_echo(probe: AccountProbe) -> str:
    """Do changes by the API send webhooks?"""
    probe.subscribe()
    item = probe.create("Reported")
    probe.change(item, {probe.column_id("text"): "x"})
    return "sent" if probe.has_webhook(item, board_events.EventKind.COLUMN) else "not sent"


@assumption("sent", "A board filtered by group would notice moves minutes later, by the check for missed changes.")
def webhook_move(probe: AccountProbe) -> str:
    """Does a move to another group send a webhook?"""
    probe.subscribe()
    item = probe.create("Moved")
    group = probe.connector.api.execute(CREATE_GROUP, {"board": probe.board_id, "title": "Another group"})
    group_id = group.data["create_group"]["id"]
    probe.connector.api.execute(MOVE_ITEM, {"item": item.id, "group": group_id})
    return "sent" if probe.has_webhook(item, board_events.EventKind.MOVED) else "not sent"


@assumption("", "")
def lag_of_reads(probe: AccountProbe) -> str:
    """How long after a change is it seen?"""
    item = probe.create("Lagging", {probe.column_id("text"): "before"})
    looks = probe.change_seen(item, "seen late")
    try:
        probe.subscribe()
    except Unanswered:
        del looks["webhooks"]
    probe.change(item, {probe.column_id("text"): "seen late"})
    return probe.lags(looks)


@assumption("", "")
def dropped_by_move(probe: AccountProbe) -> str:
    """Which cells are lost by a move to another board and back?"""
    item = probe.create_filled("Moved to the other board")
    for board_id in (probe.other_board_id, probe.board_id):
        probe.move(item, board_id)
    probe.wait(READ_SECONDS)
    moved = probe.read(item.id)
    if moved is None:
        raise Unanswered("the item isn't listed")
    return ", ".join(probe.differing_types(moved)) or "none"


@assumption("", "")
def unlink_from_the_other_side(probe: AccountProbe) -> str:
    """Is an unlink reported for the item at the other end of a two-way connection?"""
    column, end = probe.connect_both_ways()
    target = probe.create_other("At the other end")
    item = probe.create("At this end", {column: {"item_ids": [int(target.id)]}})
    changes = [ItemWrite(ALIAS, {end: {}}, target.id)]
    probe.write(item_documents.prepare_changes(probe.other_board_id, changes, []))
    probe.wait(LOG_SECONDS)
    shown = probe.connector.read_items([item.id], [column], [RELATION])
    if any(make_converter("relation").cell_value(row.reading(column)) for row in shown):
        return "not unlinked here"
    return "reported" if probe.logged_changes(item, column) else "not reported"
