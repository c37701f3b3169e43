"""Does a record that says `synced` stand as its base does, on both sides? Field by field, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sync.choices import SyncDirection
from sync.connectors.monday.converters import Canonical, UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.board import Board
from sync.engine.values import raw_of, still_holds
from sync.models import FieldMapping, SyncedModel, SyncMetadata


@dataclass(frozen=True)
class Sampled:
    """A record with its ledger as NPD held them when the sample was drawn."""

    record: SyncedModel
    ledger: SyncMetadata

    def unchanged(self, board: Board, later: Sampled) -> bool:
        """Whether NPD held the same a moment later."""
        same = all(still_holds(later.record, raw_of(self.record, m)) for m in board.mappings)
        link = later.record.monday_id == self.record.monday_id
        return same and link and later.ledger.base == self.ledger.base


@dataclass(frozen=True)
class Difference:
    """What differs: of one field the values as displayed, else what is the matter with the item, in words."""

    words: str
    key: str = ""
    values: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in SyncAudit.details."""
        return {"key": self.key, "words": self.words} | (self.values or {})


class NotKnown(LookupError):
    """A value can't be read now, so nothing can be said of the record."""


def differences(board: Board, sampled: Sampled, item: Item | None) -> list[Difference]:
    """Return what differs between base, NPD and Monday; raises NotKnown."""
    if item is None:
        return [Difference("Monday doesn't show its item.")]
    if item.state != "active":
        return [Difference(f"Its item is {item.state}.")]
    if item.board_id is not None and item.board_id != board.link.board_id:
        return [Difference("Its item is on another board.")]
    return [found for mapping in _compared(board, sampled) for found in _field(board, sampled, item, mapping)]


def _compared(board: Board, sampled: Sampled) -> Sequence[FieldMapping]:
    """Mappings that flow; a relation that is left out of sync is said so on its record, and isn't compared."""
    return [
        mapping
        for mapping in board.mappings
        if mapping.column_id
        and mapping.direction != SyncDirection.NONE
        and mapping.key not in sampled.ledger.held
        and not _against_each_other(sampled.record.sync_direction, mapping.direction)
    ]


def _against_each_other(one: str, other: str) -> bool:
    """Whether record and mapping allow opposite ways, so that nothing flows."""
    return {one, other} == {SyncDirection.NPD_TO_MONDAY, SyncDirection.MONDAY_TO_NPD}


def _field(board: Board, sampled: Sampled, item: Item, mapping: FieldMapping) -> Iterator[Difference]:
    convert = board.converter(mapping, sampled.record)
    entry = sampled.ledger.base.get(mapping.key)
    try:
        local = convert.local(raw_of(sampled.record, mapping))
        remote = convert.remote(convert.raw_of(item.reading(mapping.column_id)))
        agreed = _agreed(convert, entry, (item.id, mapping.column_id, mapping.version))
    except UnknownValue as unknown:
        raise NotKnown(f"{mapping.label}: {unknown}") from unknown
    if agreed == (local, remote) or (agreed is None and local == remote):
        return
    values = {"npd": convert.display(local), "monday": convert.display(remote)}
    if agreed is not None:
        values["agreed"] = convert.display(agreed[0])
    yield Difference(_words(mapping, values), mapping.key, values)


def _agreed(
    convert: Any, entry: dict[str, Any] | None, identity: tuple[str, str, int]
) -> tuple[Canonical, Canonical] | None:
    if entry is None or (entry["item"], entry["column"], entry["version"]) != identity:
        return None
    return convert.local(entry["local"]), convert.remote(entry["remote"])


def _words(mapping: FieldMapping, values: dict[str, str]) -> str:
    said = f"{mapping.label}: NPD says “{values['npd']}”, Monday “{values['monday']}”"
    return (
        f"{said}, agreed was “{values['agreed']}”." if "agreed" in values else f"{said}; nothing was agreed."
    )
