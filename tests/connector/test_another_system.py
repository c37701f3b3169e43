"""Another system behind the port: an adapter of some forty lines, pulled and pushed by the same passes as Monday."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from npd.models import Contact
from sync import connectors
from sync.choices import Cause, Priority
from sync.connectors.base.board_items import BatchItems, Item, Reading, WriteRequest, WriteResult
from sync.connectors.base.conversion import Converter, only_field, only_text
from sync.connectors.base.texts import canonical_text
from sync.models import BoardLink, FieldMapping, MondayAccount
from sync.queue import SyncQueueService

pytestmark = pytest.mark.django_db(transaction=True)


class Text(Converter):
    """A field and a value of the card file: both are texts."""

    def local(self, raw: Any) -> Any:
        return canonical_text(only_text(raw)[1])

    def remote(self, raw: Any) -> Any:
        return canonical_text(raw)

    def stored_value(self, reading: Reading) -> Any:
        return reading.value

    def to_local(self, raw: Any, current: Any) -> Any:
        return {only_field(current)[0]: raw or ""}


class CardFile:
    """A card file, one drawer of cards: dicts of texts by their number. Nothing of it is Monday’s."""

    cards: dict[str, dict[str, Any]] = {}
    items_per_read = 100
    webhook_events = ()

    def __init__(self, transport: Any) -> None: ...

    @staticmethod
    def converter(name: str, options: Any = None) -> Text:
        return Text()

    @staticmethod
    def phone_regions() -> Sequence[tuple[str, str]]:
        return ()

    def _item(self, number: str) -> Item:
        values = {key: Reading(key, "text", text, text) for key, text in self.cards[number].items()}
        return Item(number, self.cards[number]["name"], "active", board_id="drawer", values=values)

    def read_batch(self, board_id: str, item_ids: Any, columns: Any, key: str, keys: Any, *more: Any) -> BatchItems:
        found = {number: self._item(number) for number in item_ids if number in self.cards}
        return BatchItems(found, [self._item(n) for n, card in self.cards.items() if card.get(key) in keys])

    @staticmethod
    def prepare_creates(
        board_id: str, group: Any, creates: Any, columns: Any, *more: Any, **named: Any
    ) -> WriteRequest:
        body = {
            one.alias: [str(len(CardFile.cards) + n), {"name": one.name, **one.values}] for n, one in enumerate(creates)
        }
        return WriteRequest(body, [one.alias for one in creates], columns)

    @staticmethod
    def prepare_changes(board_id: str, changes: Any, columns: Any, *more: Any, **named: Any) -> WriteRequest:
        return WriteRequest(
            {one.alias: [one.item_id, one.values] for one in changes}, [c.alias for c in changes], columns
        )

    def write(self, request: WriteRequest, key: str) -> WriteResult:
        for number, values in request.body.values():
            self.cards.setdefault(number, dict.fromkeys(request.column_ids)).update(values)
        return WriteResult({alias: self._item(number) for alias, (number, _) in request.body.items()})


@pytest.fixture
def drawer(settings: Any) -> Iterator[dict[str, dict[str, Any]]]:
    """The cards, and the contacts’ fields that are kept on them."""
    settings.MONDAY_API_KEY = "unused"
    MondayAccount.objects.get_or_create(id=1)
    link = BoardLink.objects.create(entity_type="contact", board_id="drawer", npd_id_column="npd_id", match_key="name")
    for place, (key, column) in enumerate((("name", "name"), ("role_title", "role"))):
        FieldMapping.objects.create(
            link=link, key=key, label=key, fields=[key], column_id=column, converter="text", position=place
        )
    CardFile.cards = {}
    with connectors.connector_override(CardFile):  # type: ignore[arg-type]  # what a pass asks for is enough
        yield CardFile.cards


def work() -> None:
    SyncQueueService().process(seconds=60)


def test_records_are_pushed_to_another_system_and_pulled_from_it(drawer: dict[str, dict[str, Any]]) -> None:
    ann = Contact.objects.create(name="Ann", role_title="Cook")
    work()
    [card] = drawer.values()
    assert (card["name"], card["role"], card["npd_id"]) == ("Ann", "Cook", str(ann.pk))
    Contact.objects.filter(pk=ann.pk).update(role_title="Baker")
    work()
    assert card["role"] == "Baker"

    card["role"] = "Butcher"
    SyncQueueService().enqueue("contact", ann.pk, cause=Cause.SWEEP, priority=Priority.SWEEP)
    work()
    ann.refresh_from_db()
    assert (ann.role_title, ann.sync_status) == ("Butcher", "synced")
