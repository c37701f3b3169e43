"""Places of items on their board: numbers with room between them."""

import bisect

from sandbox.model import Item
from sandbox.world import STATES, World


def rank_beside(world: World, item: Item, *, after: bool) -> float:
    """A rank just before or after `item`; where no number is left between two, the board is numbered anew."""
    order = world.order_of(item.board_id)
    place = bisect.bisect_left(order, (item.rank, item.id))
    neighbour = place + 1 if after else place - 1
    if neighbour < 0 or neighbour >= len(order):
        return item.rank + (1.0 if after else -1.0)
    other = order[neighbour][0]
    between = (item.rank + other) / 2
    if between not in (item.rank, other):
        return between
    _number_anew(world, item.board_id)
    return rank_beside(world, item, after=after)


def _number_anew(world: World, board_id: int) -> None:
    items = world.items_of(board_id, STATES)
    for place, item in enumerate(items):
        item.rank = float(place)
    world.reorder(board_id, items)
