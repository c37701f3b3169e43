"""Take back what a refused transaction had already changed, so that memory says what the disk does.

Operations change objects in place and put them; of what was put the disk still knows the document of before.
"""

import json
from typing import TYPE_CHECKING, Any

from sandbox.disk import Before
from sandbox.model import Hook, Job, Update, board_from, item_from

if TYPE_CHECKING:
    from sandbox.world import World


def take_back(world: "World", before: Before) -> None:
    """Bring the rows named in `before` back to their documents of then; new ones leave."""
    for row_id in before.get("activity", ()):  # rows of a log are never changed, so these are new
        _forget_row(world, row_id)
    for update_id, document in before.get("updates", {}).items():
        _update(world, update_id, document)
    for item_id, document in before.get("items", {}).items():
        _item(world, item_id, document)
    for board_id, document in before.get("boards", {}).items():
        _board(world, board_id, document)
    for tag_id in before.get("tags", ()):  # nobody renames tags
        world.tags.pop(tag_id, None)
    _plain(world.hooks, Hook, before.get("hooks", {}))
    _plain(world.jobs, Job, before.get("jobs", {}))


def _forget_row(world: "World", row_id: str) -> None:
    for rows in world.activity.values():
        place = next((place for place in reversed(range(len(rows))) if rows[place].id == row_id), None)
        if place is not None:
            del rows[place]
            return


def _update(world: "World", update_id: int, document: str | None) -> None:
    update = world.updates[update_id]
    if document is None:
        del world.updates[update_id]
        world.below.drop_update(update)
    else:
        vars(update).update(vars(Update(**json.loads(document))))


def _item(world: "World", item_id: int, document: str | None) -> None:
    item = world.items[item_id]
    world.unlist(item)
    if document is None:
        del world.items[item_id]
        return
    vars(item).update(vars(item_from(json.loads(document))))
    world.enlist(item)


def _board(world: "World", board_id: int, document: str | None) -> None:
    if document is None:
        world.forget_board(board_id)
        return
    board = world.boards[board_id]
    vars(board).update(vars(board_from(json.loads(document))))
    for column in board.columns:
        column.names = world.names


def _plain(table: dict[Any, Any], kind: type[Hook] | type[Job], before: dict[Any, str | None]) -> None:
    for row_id, document in before.items():
        if document is None:
            del table[row_id]
        else:
            vars(table[row_id]).update(vars(kind(**json.loads(document))))
