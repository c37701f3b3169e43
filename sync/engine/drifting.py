"""What a look notices of the board's columns, and what it leaves alone while one of them is missing."""

from __future__ import annotations

from collections.abc import Iterable

from sync import drift
from sync.connectors.monday.errors import ColumnRefused, MondayError
from sync.connectors.monday.items import Item, LookResult
from sync.engine.board import Board
from sync.engine.subjects import Batch, Outcome
from sync.models import FieldMapping

ACTIVE = "active"


def hold_back(batch: Batch) -> None:
    """End records without an item while the board lacks a column by which an item of theirs would be known.

    To make one all the same could make a second one; they are looked at as soon as the column is there.
    """
    reason = _why_none_is_made(batch)
    if not reason:
        return
    for subject in batch.open:
        if not subject.record.monday_id:
            subject.end(Outcome.SETTLED, note=reason)


def _why_none_is_made(batch: Batch) -> str:
    if batch.board.link.npd_id_problem:
        return batch.board.link.npd_id_problem
    match = batch.board.match
    if match is None or not match.problem:
        return ""
    return (
        f"{match.problem} Records and items are matched by it, so no item is made until then: it could be a "
        "second one."
    )


def explains(batch: Batch, error: MondayError) -> bool:
    """Whether a read failed because a column is gone that was not known to be; from now on it is known.

    Costs one call, the first time only.
    """
    if not isinstance(error, ColumnRefused):
        return False
    before = _troubles(batch)
    try:
        batch.calls += 1
        drift.look_at_board(batch.board.link)
    except MondayError:
        return False
    _reload(batch)
    return bool(_troubles(batch) - before)


def _troubles(batch: Batch) -> set[str]:
    found = {mapping.key for mapping in batch.board.mappings if mapping.problem}
    return found | ({"npd_id"} if batch.board.link.npd_id_problem else set())


def notice(batch: Batch, found: LookResult) -> None:
    """Compare the columns that an answer shows with those that it should show; flag and heal mappings.

    A column that no item shows is looked up on the board, by one call the first time. Where the board has it all
    the same, the token's user doesn't see it.
    """
    items = _items_here(batch, found)
    if not items:
        return
    heal(batch.board, items)
    missing = [m for m in _mapped(batch.board) if not m.problem and _lacks(mapping=m, items=items)]
    if not missing:
        return
    batch.calls += 1
    drift.look_at_board(batch.board.link)
    _reload(batch)
    for mapping in missing:
        if not mapping.problem:
            words = drift.hidden_words(batch.board.link, mapping)
            drift.set_problem(batch.board.link, mapping, words, everywhere=False)


def heal(board: Board, items: list[Item]) -> None:
    """Let those fields go whose columns these items show again; they are items of the board, and active."""
    for mapping in _mapped(board):
        if mapping.problem and _shows(mapping, items):
            drift.set_problem(board.link, mapping, "")


def _mapped(board: Board) -> list[FieldMapping]:
    return [m for m in board.mappings if m.column_id not in ("", drift.NAME)]


def _items_here(batch: Batch, found: LookResult) -> list[Item]:
    """The items that stand on this board and are active; others may have other columns."""
    board_id = batch.board.link.board_id
    told: Iterable[Item] = [*found.linked.values(), *found.by_npd_id, *found.by_match]
    return [item for item in told if item.state == ACTIVE and item.board_id in (None, board_id)]


def _lacks(mapping: FieldMapping, items: list[Item]) -> bool:
    return not any(mapping.column_id in item.values for item in items) or _other_type(mapping, items)


def _other_type(mapping: FieldMapping, items: list[Item]) -> bool:
    expected = mapping.options.get("column_type")
    types = {item.values[mapping.column_id].type for item in items if mapping.column_id in item.values}
    return bool(expected) and bool(types - {"", expected}) and not drift.reads_type(mapping, types)


def _shows(mapping: FieldMapping, items: list[Item]) -> bool:
    readings = [item.values[mapping.column_id] for item in items if mapping.column_id in item.values]
    return any(reading.known for reading in readings) and not _other_type(mapping, items)


def _reload(batch: Batch) -> None:
    """The look's own mappings learn what was found out about the board."""
    fresh = {mapping.pk: mapping.problem for mapping in batch.board.link.mappings.all()}
    for mapping in batch.board.mappings:
        mapping.problem = fresh.get(mapping.pk, mapping.problem)
