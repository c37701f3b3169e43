"""Why nothing new is created on a board for now: nobody on it could be recognized, and might be made twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from django.db import transaction

from sync.boards import board_columns
from sync.kernel.humanize import count_with_noun
from sync.models import BoardLink
from sync.monday.board import Board, BoardColumn
from sync.monday.board_items import Item
from sync.monday.connector import MondayConnector


def reason_to_hold(
    connector: MondayConnector, board: Board, npd_id_column: str, match: BoardColumn, types: Collection[str]
) -> str:
    """Return why creates are held, in words; empty where an item can be recognised, or needn't be.

    `types` are the types of columns that can hold the match key. Reads items until one without an NPD ID has a value
    in the match column: mostly one call. Raises MondayError.
    """
    others = [column for column in board.columns if column.type in types and column.id not in (match.id, npd_id_column)]
    columns = [match.id, npd_id_column, *(column.id for column in others)]
    unknown = 0
    filled = Counter[str]()
    for items in connector.list_items(board.id, columns):
        strangers = [item for item in items if not is_filled(item, npd_id_column)]
        if any(is_filled(item, match.id) for item in strangers):
            return ""
        unknown += len(strangers)
        filled.update(column.id for column in others for item in strangers if is_filled(item, column.id))
    return hold_text(match.title, unknown, {column.title: filled[column.id] for column in others}) if unknown else ""


def is_filled(item: Item, column_id: str) -> bool:
    """Whether a cell holds anything, or can't be read."""
    reading = item.reading(column_id)
    return not reading.known or bool((reading.text or "").strip())


def hold_text(match_title: str, items: int, filled: dict[str, int]) -> str:
    """Return why creates are held; `filled` gives for other columns that fit how many of the items have a value."""
    candidates = [f"“{title}”" for title, number in filled.items() if number]
    choose = f"choose {' or '.join(candidates)}, which has values, instead" if candidates else "choose another column"
    have = "has" if items == 1 else "have"
    return (
        f"{count_with_noun(items, 'item')} on the board {have} no NPD ID, and “{match_title}”, by which records and "
        "items are matched, is empty for all of them. Nothing new is created on either side, because everybody could "
        f"be there twice. Fill in “{match_title}” on Monday, or {choose} (Boards, “Set up…”), or create new ones all "
        "the same (on the board's page)."
    )


def set_creates_held(link: BoardLink, reason: str) -> None:
    """Store why creates are held; when that ends, enqueue the records and items that waited."""
    if reason == link.creates_held:
        return
    link.creates_held = reason
    with transaction.atomic():
        held = BoardLink.objects.filter(pk=link.pk).exclude(creates_held="")
        waited = held.exists()
        BoardLink.objects.filter(pk=link.pk).update(creates_held=reason)
        if waited and not reason:
            board_columns.enqueue_unlinked(link)
