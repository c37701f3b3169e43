"""What columns must know of the account beyond their own board: who is who, tags, and other items."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.model import Item


class Names:
    """An account that holds nothing. `sandbox.directory.Directory` answers for a world."""

    def person(self, person_id: int) -> str | None:
        """A user's name, None for an id that nobody has."""
        return None

    def team(self, team_id: int) -> str | None:
        """A team's name."""
        return None

    def person_called(self, words: str) -> int | None:
        """Whose name or e-mail address this is, without regard to case."""
        return None

    def tag(self, tag_id: int) -> str | None:
        """A tag's name."""
        return None

    def tag_called(self, name: str) -> int:
        """The id of the tag of this name, made if there was none. KeyError where no tag can be made."""
        raise KeyError(name)

    def item(self, item_id: int) -> Item | None:
        """An item that was not deleted."""
        return None

    def item_called(self, words: str, board_ids: list[int]) -> int | None:
        """The one active item of these boards with this name."""
        return None


NOTHING = Names()
