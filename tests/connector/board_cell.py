"""One cell of a sandbox board, for tests of converters: a written value is read back as a document reads it."""

import json
import re
from typing import Any

from sandbox.columns import KINDS, Writing, initial_settings, settings_json
from sandbox.graph.resolvers import column_value
from sandbox.model import Column, Item
from sync.monday.board_items import Reading
from sync.monday.columns import make_converter
from sync.monday.conversion import Canonical, Converter, ConverterOptions
from sync.monday.item_documents import item_fragment, parse_items_at

ITEMS = {"44": "ACME", "45": "Zoë Ltd"}
STAMP = "2026-11-20T08:00:00Z"
ORGANIZATIONS = 8
READ_BY = {"relation": "board_relation", "relation_name": "text", "list_text": "text", "address": "text"}


def _known_item(item_id: int) -> Item | None:
    return _item(item_id) if str(item_id) in ITEMS else None


class BoardCell:
    """A cell of one column type; `write` takes what a mutation sends, and refuses what Monday refuses."""

    def __init__(self, column_type: str, settings: dict[str, Any] | None = None) -> None:
        if column_type == "board_relation":
            settings = {"boardIds": [ORGANIZATIONS], **(settings or {})}
        self._column = Column("c", "Column", column_type, initial_settings(column_type, settings))
        self._column.find_item = _known_item
        self._kind = KINDS[column_type]
        self.raw: Any = None

    @property
    def options(self) -> ConverterOptions:
        """What a converter knows about this column and the account."""
        settings = json.loads(json.dumps(settings_json(self._column)))
        return ConverterOptions(column_settings=settings, items=ITEMS)

    def write(self, value: Any) -> Reading:
        """Set the cell by the JSON of `column_values`, and make missing labels."""
        sent = json.loads(json.dumps(value))
        new = self._kind.parse(self._column, sent, Writing(STAMP, create_labels=True))
        if new is None or self.raw is None or not self._kind.same(self.raw, new):
            self.raw = new
        return self.read()

    def edit(self, raw: Any) -> Reading:
        self.raw = raw
        return self.read()

    def read(self) -> Reading:
        item = _item(1)
        item.cells["c"] = self.raw
        node = column_value(item, self._column)
        cell = {key: node.get(key) for key in ("id", "type", "text", "value", *_typed(node["__typename"]))}
        answered = json.loads(json.dumps(cell))
        (read,) = parse_items_at([{"id": "1", "name": "Item", "column_values": [answered]}], ["c"])
        return read.reading("c")

    def event_value(self, converter: Converter) -> Canonical:
        """The canonical value of a webhook about the cell as it is now."""
        payload = json.loads(json.dumps(self._kind.event_value(self._column, self.raw)))
        return converter.from_event(payload, self._kind.internal_type)


def cell_for(name: str, settings: dict[str, Any] | None = None) -> tuple[BoardCell, Converter]:
    """An empty cell of this converter's column, and the converter."""
    cell = BoardCell(READ_BY.get(name, name), settings)
    return cell, make_converter(name, cell.options)


def _item(item_id: int) -> Item:
    name = ITEMS.get(str(item_id), "Item")
    return Item(item_id, ORGANIZATIONS, "topics", name, 1.0, STAMP, changed_by=7)


def _typed(type_name: str) -> list[str]:
    """The fields that the documents ask of this type, read from the fragment itself."""
    fragment = item_fragment(["board_relation", "checkbox", "dropdown", "status"])
    fields = re.search(rf"\.\.\. on {type_name} {{ (\w+(?: \w+)*)", fragment)
    return fields[1].split() if fields else []
