"""Every column type over real HTTP: made, written, changed, read and cleared as the connector's documents do it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sync.connectors.monday import documents, tags
from sync.connectors.monday.boards import CREATE_BOARD, CREATE_COLUMN, read_boards
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.converters import Converter, Options, converter
from sync.connectors.monday.documents import Change, Create, Document, Item, parse_items, parse_written
from sync.connectors.monday.errors import FieldRefused
from sync.connectors.monday.platform import all_users
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
TYPES = {converter(name).column_type for name in NAMES}


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
        items = [Create("c0", "ACME", {}), Create("c1", "Zoë Ltd", {})]
        written = parse_written(
            self.ask(documents.create(self.organizations, None, items, [])), ["c0", "c1"], []
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
        variables = {"board": self.id, "title": name, "type": converter(name).column_type}
        if name == "relation":
            variables["defaults"] = f'{{"boardIds":[{self.organizations}]}}'
        return str((self.ask(Document(CREATE_COLUMN, variables)).data or {})["create_column"]["id"])

    def converter(self, name: str) -> Converter:
        """The converter as it is told of the board now."""
        options = Options(people=self._people, tags=self._tags)
        columns = {column.id: column for column in read_boards(self._client, [self.id])[self.id].columns}
        return converter(name, replace(options, settings=columns[self._columns[name]].settings))

    def make_tags(self, names: list[str]) -> None:
        self._tags |= tags.parse_tags(self.ask(tags.create_tags(names)), names)

    def local(self, name: str, turn: int) -> dict[str, Any]:
        value = VALUES[name][turn]
        return {"field": {"item": self.items[value]} if name == "relation" else value}

    def values(self, turn: int | None, before: Item | None = None) -> dict[str, Any]:
        """What to send for each column; None for each that is cleared."""
        sent = {}
        for name in NAMES:
            convert = self.converter(name)
            raw = convert.raw_of(before.reading(self._columns[name])) if before else None
            empty = {"field": [] if isinstance(VALUES[name][0], list) else None}
            sent[self._columns[name]] = convert.write(empty if turn is None else self.local(name, turn), raw)
        return sent

    @property
    def columns(self) -> list[str]:
        return list(self._columns.values())

    def says(self, item: Item) -> dict[str, Any]:
        """The canonical value of each column."""
        converters = {name: self.converter(name) for name in NAMES}
        return {
            name: convert.remote(convert.raw_of(item.reading(self._columns[name])))
            for name, convert in converters.items()
        }

    def meant(self, turn: int) -> dict[str, Any]:
        return {name: self.converter(name).local(self.local(name, turn)) for name in NAMES}

    def read(self, item_id: str) -> Item:
        (item,) = parse_items(self.ask(documents.read_items([item_id], self.columns, TYPES)), self.columns)
        return item


def test_every_column_type_is_made_changed_and_cleared_and_reads_as_it_was_meant(
    client: MondayClient,
) -> None:
    board = Board(client)
    board.make_tags(["Key account", "Old, cold", "VIP"])
    creates = [Create("c0", "Ada", board.values(0))]
    document = documents.create(board.id, None, creates, board.columns, TYPES, create_labels=True)
    made = parse_written(board.ask(document), ["c0"], board.columns)["c0"]
    assert isinstance(made, Item)
    assert board.says(made) == board.says(board.read(made.id)) == board.meant(0)

    changes = [Change("u0", made.id, board.values(1, made))]
    document = documents.change(board.id, changes, board.columns, TYPES, create_labels=True)
    changed = parse_written(board.ask(document), ["u0"], board.columns)["u0"]
    assert isinstance(changed, Item)
    assert board.says(changed) == board.says(board.read(made.id)) == board.meant(1)

    cleared = board.values(None, changed)
    assert set(cleared.values()) == {None}
    document = documents.change(board.id, [Change("u0", made.id, cleared)], board.columns, TYPES)
    assert isinstance(parse_written(board.ask(document), ["u0"], board.columns)["u0"], Item)
    assert board.says(board.read(made.id)) == dict.fromkeys(NAMES)


def test_a_label_that_is_missing_is_refused_where_none_may_be_made(client: MondayClient) -> None:
    board = Board(client)
    made = [Create("c0", "Ada", {board._columns["status"]: {"label": "Never heard of"}})]
    document = documents.create(board.id, None, made, board.columns, TYPES)
    assert isinstance(parse_written(board.ask(document), ["c0"], board.columns)["c0"], FieldRefused)


def test_a_tag_that_is_there_is_found_and_not_made_twice(client: MondayClient) -> None:
    names = ["VIP", "Key account", "VIP"]
    answers = [client.execute(*tags.create_tags(names)) for _ in range(2)]
    first, second = (tags.parse_tags(answer, names) for answer in answers)
    assert first == second
    assert sorted(first.values()) == ["Key account", "VIP"]
