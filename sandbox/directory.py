"""Who and what an account knows by id: the world's answer to `Names`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import people
from sandbox.lookup import folded
from sandbox.model import Item, Tag
from sandbox.names import Names

if TYPE_CHECKING:
    from sandbox.world import World

COLOURS = ("#00c875", "#fdab3d", "#df2f4a", "#579bfc", "#a25ddc", "#037f4c")


class Directory(Names):
    """Looks into a world; callers hold its lock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def person(self, person_id: int) -> str | None:
        return people.person(person_id).name if people.is_user(person_id) else None

    def team(self, team_id: int) -> str | None:
        return next((team.name for team in people.TEAMS if team.id == team_id), None)

    def person_called(self, words: str) -> int | None:
        wanted = folded(words)
        known = (one for one in people.USERS if wanted in (folded(one.name), folded(one.email)))
        return next((one.id for one in known), None)

    def tag(self, tag_id: int) -> str | None:
        tag = self._world.tags.get(tag_id)
        return None if tag is None else tag.name

    def tag_called(self, name: str) -> int:
        wanted = folded(name)
        for tag in self._world.tags.values():
            if folded(tag.name) == wanted:
                return tag.id
        tag_id = self._world.next_id("tag")
        self._world.put_tag(Tag(tag_id, name.strip(), COLOURS[tag_id % len(COLOURS)]))
        return tag_id

    def item(self, item_id: int) -> Item | None:
        item = self._world.items.get(item_id)
        return None if item is None or self._world.state_of(item) == "deleted" else item

    def item_called(self, words: str, board_ids: list[int]) -> int | None:
        found: list[int] = []
        for board in (self._world.boards.get(one) for one in board_ids):
            ids = None if board is None else self._world.lookups.find(board, "name", words)
            found += [one for one in ids or () if self._world.state_of(self._world.items[one]) == "active"]
        return found[0] if len(found) == 1 else None
