"""The values of a record's fields as pages show them, outside a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import prefetch_related_objects

from sync.connectors.monday.converters import Canonical, Converter, UnknownValue
from sync.engine.board import Board
from sync.engine.planned import named
from sync.engine.values import raw_of
from sync.models import BoardLink, FieldMapping, SyncedModel

UNTOLD = "(not known)"


class Shown:
    """What the fields of some records of one model say; asks for their relations in one query each."""

    def __init__(
        self, link: BoardLink, mappings: Sequence[FieldMapping], records: Sequence[SyncedModel]
    ) -> None:
        self.board = Board.of(link, mappings)
        prefetch_related_objects(list(records), *self.board.joined)

    def sides(
        self, record: SyncedModel, mapping: FieldMapping, base: Mapping[str, Any] | None
    ) -> tuple[str, str, str]:
        """Return NPD's value now and both halves of the base, as a person reads them."""
        convert = self.board.converter(mapping, record)
        now = raw_of(record, mapping)
        self._learn(now, base["local"] if base else {})
        local = self._local(convert, now)
        if base is None:
            return local, "", ""
        return local, self._local(convert, base["local"]), self._remote(convert, base["remote"])

    def local(self, record: SyncedModel, mapping: FieldMapping, raw: Mapping[str, Any]) -> str:
        """Return raw values of NPD's, of now or of another time, as a person reads them."""
        self._learn(raw)
        return named(dict(raw)) or self._local(self.board.converter(mapping, record), dict(raw))

    def _learn(self, *raws: Mapping[str, Any]) -> None:
        """Items of related records are shown by these records' names."""
        for value in (value for raw in raws for value in raw.values()):
            if isinstance(value, dict) and value.get("item"):
                self.board.directory.items[str(value["item"])] = str(value.get("name") or "")

    def _local(self, convert: Converter, raw: dict[str, Any]) -> str:
        try:
            return convert.display(convert.local(raw))
        except UnknownValue:
            return named(raw) or UNTOLD

    def _remote(self, convert: Converter, raw: Any) -> str:
        try:
            canonical: Canonical = convert.remote(raw)
        except UnknownValue:
            return UNTOLD
        return convert.display(canonical)
