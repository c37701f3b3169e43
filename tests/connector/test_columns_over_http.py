"""Every column type over real HTTP: made, written, changed, read and cleared as the connector's documents do it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sync.connectors.base.board_items import Item, ItemChange, ItemCreate
from sync.connectors.base.conversion import Converter, ConverterOptions
from sync.connectors.base.errors import FieldRejected
from sync.connectors.monday import items as monday_items
from sync.connectors.monday.board_structure import CREATE_BOARD, CREATE_COLUMN, read_boards
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.columns import make_converter
from sync.connectors.monday.connection import all_users
from sync.connectors.monday.graphql import Document
from sync.connectors.monday.items import parse_items, parse_written_items
from tests.connector.documents import sent
from tests.support.sandbox import Sandbox

# Converter: a first value, a second one, and how many of its column's kind of label are new with each.
VALUES: dict[str, tuple[Any, Any]] = {
    "text": ("Boatswain", "First mate"),
    "long_text": ("one\ntwo", "three"),
    "email": ("Ada@NPD.test", "ada@example.org"),
    "phone": ("(202) 555-0169", "+44 20 7946 0958"),
    "link": ("example.org/a", "https://example.org/b"),
    "status": ("Brand new", "Done"),
    "dropdown": (["Navy", "Army"], ["Army", "Marines"]),
    "date": ("2026-01-31", "1999-12-31"),
    "numbers": ("4.50", "-7"),
    "checkbox": (True, False),
    "people": ("maya@sandbox.example, TOM@sandbox.example", "noor@sandbox.example"),
    "country": ("UK", "South Korea"),
    "location": ("29.9772 31.1325 Giza", "-10 179.5"),
    "relation": (0, 1),  # which organization
    "relation_name": ({"name": "ACME"}, {"name": "Zoë Ltd"}),
    "tags": (["Key account", "Old, cold"], ["VIP", "Key account"]),
    "list_text": (["A.C.M.E.", "Acme Inc."], ["Acme"]),
}
NAMES = list(VALUES)
TYPES = {make_converter(name).column_type for name in NAMES}


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[MondayClient]:
    found = MondayClient(sandbox.api_url, sandbox.token)
    yield found
    found._session.close()


class Board:
    """A board with a column for each converter, and one of organizations to connect with."""

    def __init__(self, client: MondayClient) -> None:
        self._client = client
        self.organizations, self.id = self._made("Organizations"), self._made("Contacts")
        items = [ItemCreate("c0", "ACME", {}), ItemCreate("c1", "Zoë Ltd", {})]
        written = parse_written_items(
            self.ask(sent(monday_items.prepare_creates(self.organizations, None, items, []))), ["c0", "c1"], []
        )
        self.items = [item.id for item in written.values() if isinstance(item, Item)]
        self._columns = {name: self._column(name) for name in NAMES}
        self._people = {user: told["email"] for user, told in all_users(client).items()}
        self._tags: dict[str, str] = {}

    def ask(self, document: Document) -> Any:
        return self._client.execute(*document)

    def _made(self, title: str) -> str:
        return str((self.ask(Document(CREATE_BOARD, {"title": title})).data or {})["create_board"]["id"])

    def _column(self, name: str) -> str:
        variables = {"board": self.id, "title": name, "type": make_converter(name).column_type}
        if name == "relation":
            variables["defaults"] = f'{{"boardIds":[{self.organizations}]}}'
        return str((self.ask(Document(CREATE_COLUMN, variables)).data or {})["create_column"]["id"])

    def converter(self, name: str) -> Converter:
        """The converter as it is told of the board now."""
        options = ConverterOptions(people=self._people, tags=self._tags)
        columns = {column.id: column for column in read_boards(self._client, [self.id])[self.id].columns}
        return make_converter(name, replace(options, settings=columns[self._columns[name]].settings))

    def make_tags(self, names: list[str]) -> None:
        self._tags |= monday_items.parse_tags(self.ask(monday_items.create_tags_mutation(names)), names)

    def local(self, name: str, turn: int) -> dict[str, Any]:
        value = VALUES[name][turn]
        return {"field": {"item": self.items[value]} if name == "relation" else value}

    def values(self, turn: int | None, before: Item | None = None) -> dict[str, Any]:
        """What to send for each column; None for each that is cleared."""
        sent = {}
        for name in NAMES:
            convert = self.converter(name)
            raw = convert.stored_value(before.reading(self._columns[name])) if before else None
            empty = {"field": [] if isinstance(VALUES[name][0], list) else None}
            sent[self._columns[name]] = convert.to_remote(empty if turn is None else self.local(name, turn), raw)
        return sent

    @property
    def columns(self) -> list[str]:
        return list(self._columns.values())

    def says(self, item: Item) -> dict[str, Any]:
        """The canonical value of each column."""
        converters = {name: self.converter(name) for name in NAMES}
        return {
            name: convert.remote(convert.stored_value(item.reading(self._columns[name])))
            for name, convert in converters.items()
        }

    def meant(self, turn: int) -> dict[str, Any]:
        return {name: self.converter(name).local(self.local(name, turn)) for name in NAMES}

    def read(self, item_id: str) -> Item:
        (item,) = parse_items(self.ask(monday_items.items_query([item_id], self.columns, TYPES)), self.columns)
        return item


def test_every_column_type_is_made_changed_and_cleared_and_reads_as_it_was_meant(client: MondayClient) -> None:
    board = Board(client)
    board.make_tags(["Key account", "Old, cold", "VIP"])
    creates = [ItemCreate("c0", "Ada", board.values(0))]
    document = sent(monday_items.prepare_creates(board.id, None, creates, board.columns, TYPES, create_labels=True))
    made = parse_written_items(board.ask(document), ["c0"], board.columns)["c0"]
    assert isinstance(made, Item)
    assert board.says(made) == board.says(board.read(made.id)) == board.meant(0)

    changes = [ItemChange("u0", made.id, board.values(1, made))]
    document = sent(monday_items.prepare_changes(board.id, changes, board.columns, TYPES, create_labels=True))
    changed = parse_written_items(board.ask(document), ["u0"], board.columns)["u0"]
    assert isinstance(changed, Item)
    assert board.says(changed) == board.says(board.read(made.id)) == board.meant(1)

    cleared = board.values(None, changed)
    assert set(cleared.values()) == {None}
    document = sent(monday_items.prepare_changes(board.id, [ItemChange("u0", made.id, cleared)], board.columns, TYPES))
    assert isinstance(parse_written_items(board.ask(document), ["u0"], board.columns)["u0"], Item)
    assert board.says(board.read(made.id)) == dict.fromkeys(NAMES)


def test_a_label_that_is_missing_is_refused_where_none_may_be_made(client: MondayClient) -> None:
    board = Board(client)
    made = [ItemCreate("c0", "Ada", {board._columns["status"]: {"label": "Never heard of"}})]
    document = sent(monday_items.prepare_creates(board.id, None, made, board.columns, TYPES))
    assert isinstance(parse_written_items(board.ask(document), ["c0"], board.columns)["c0"], FieldRejected)
