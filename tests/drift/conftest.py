"""The engine's world, where people change the boards' columns."""

from typing import Any

import pytest

from sync.models import BoardLink, FieldMapping
from sync.operations.detect.sweep import sweep_board
from sync.registry import link_of
from tests.support.world import World


class Owner:
    """Whoever owns the contacts board, and the sweep that notices what they do."""

    def __init__(self, world: World) -> None:
        self.world = world

    def column(self, column_id: str, action: str, **more: Any) -> None:
        """Delete, restore, hide, show or retype a column."""
        self.world.sandbox.control(
            "columns", board_id=int(self.world.board_id()), column_id=column_id, action=action, **more
        )

    def make(self, column_id: str, title: str, kind: str = "text") -> None:
        """A new column."""
        self.world.sandbox.query(
            "mutation ($b: ID!, $t: String!, $i: String!, $k: ColumnType!) "
            "{ create_column(board_id: $b, title: $t, column_type: $k, id: $i) { id } }",
            b=self.world.board_id(),
            t=title,
            i=column_id,
            k=kind,
        )

    def retitle(self, column_id: str, title: str) -> None:
        """A column's new title."""
        self.world.sandbox.query(
            "mutation ($b: ID!, $c: String!, $t: String!) "
            "{ change_column_title(board_id: $b, column_id: $c, title: $t) { id } }",
            b=self.world.board_id(),
            c=column_id,
            t=title,
        )

    def link(self) -> BoardLink:
        """The board link as it is stored now."""
        found = link_of("contact")
        assert found is not None
        return found

    def sweep(self) -> None:
        """The next sweep, and what comes of it."""
        self.world.pass_time(minutes=11)
        assert sweep_board(self.link()).problem == ""
        self.world.work()

    def mapping(self, key: str = "role_title") -> FieldMapping:
        """A field's mapping as it is stored now."""
        return FieldMapping.objects.get(link=self.link(), key=key)


@pytest.fixture
def owner(world: World) -> Owner:
    """The boards are as the set-up made them."""
    found = Owner(world)
    world.stage("swept once", found.sweep)
    return found
