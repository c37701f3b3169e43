"""A listing by last update on a board where people go on working while its pages are read."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.limits import MeteredClient, metered_client
from sync.monday.board_events import UPDATED_PAGE, UpdatedItem
from sync.monday.connector import MondayConnector
from sync.monday.errors import UNREADABLE_ANSWER
from sync.monday.graphql import Answer
from sync.operations.sweep import SweepResult, sweep_board, updated_since
from tests.support.refusals import refusal
from tests.support.world import World
from tests.sweeps.conftest import Post

NOON = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=1)


class Between(MeteredClient):
    """Monday over HTTP, where something happens before the second page of a listing is read."""

    def __init__(self, happens: Callable[[], Any]) -> None:
        super().__init__(metered_client.client().inner)
        self.happens = happens
        self.pages = 0

    def execute(self, document: str, variables: Any, *, idempotency_key: str | None = None) -> Answer:
        if "next_items_page" in document:
            self.pages += 1
            if self.pages == 1:
                self.happens()
        return super().execute(document, variables, idempotency_key=idempotency_key)


def fill_a_page(world: World) -> None:
    """So many newer items that the ones before stand on the second page."""
    world.pass_time(seconds=30)
    newer = [{"name": f"n{number}"} for number in range(UPDATED_PAGE)]
    world.sandbox.control("items", board_id=world.board_id(), items=newer)


def sweep_while(post: Post, happens: Callable[[], Any]) -> SweepResult:
    between = Between(happens)
    with metered_client.client_override(between):
        result = sweep_board(post.world.link())
    assert between.pages == 1
    return result


def test_what_is_edited_while_a_long_listing_is_read_is_within_the_next_sweep(world: World, post: Post) -> None:
    ann, bo = world.linked("Ann", role_title="Analyst"), world.linked("Bo", role_title="Boss")
    fill_a_page(world)
    world.pass_time(seconds=1)
    post.edit(bo, "role_title", "Boss of all")

    def meanwhile() -> None:
        world.edit(bo, "role_title", "Chair")  # it stands on the page that was read before
        world.pass_time(minutes=15)
        post.edit(ann, "role_title", "Countess")

    assert sweep_while(post, meanwhile).problem == ""
    world.pass_time(minutes=3)
    sweep_board(world.link())
    world.queue.process("contact", seconds=60)
    ann.refresh_from_db()
    bo.refresh_from_db()
    assert (ann.role_title, bo.role_title) == ("Countess", "Chair")


def item(name: str, minutes_ago: float) -> UpdatedItem:
    return UpdatedItem(name, NOON - timedelta(minutes=minutes_ago))


class Pages:
    """Monday's further pages; the last one ends the listing."""

    def __init__(self, *pages: Sequence[UpdatedItem]) -> None:
        self.left = list(pages)

    def execute(self, *_: Any, **__: Any) -> Answer:
        items = [{"id": item.item_id, "updated_at": item.at and item.at.isoformat()} for item in self.left.pop(0)]
        return Answer({"next_items_page": {"cursor": "more" if self.left else None, "items": items}}, ())


def walk(first: Sequence[UpdatedItem], *pages: Sequence[UpdatedItem], begin: datetime = LONG_AGO) -> list[str]:
    """The items that the walk tells, page by page."""
    news = updated_since(MondayConnector(Pages(*pages)), (list(first), "more" if pages else None), begin)
    return [item.item_id for page in news for item in page]


def test_the_walk_ends_by_the_last_item_that_was_not_touched_meanwhile() -> None:
    begin = NOON - timedelta(minutes=7)
    walked = walk([item("a", 3), item("b", 5)], [item("c", 9), item("d", 1)], [item("e", 10)], begin=begin)
    assert walked == ["a", "b", "d"]


def test_the_walk_goes_on_behind_an_old_item_only_where_it_is_in_order() -> None:
    begin = NOON - timedelta(minutes=7)
    walked = walk([item("a", 3), item("b", 5)], [item("c", 1), item("d", 6)], [item("e", 7)], begin=begin)
    assert walked == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([[item("a", 5), item("b", 3)]], id="within one answer"),
        pytest.param([[item("a", 3), item("b", 9)], [item("c", 5)]], id="older than what the first page showed"),
        pytest.param([[item("a", 3)], [item("b", 9), item("c", 8)]], id="within a later answer"),
    ],
)
def test_an_order_that_no_edit_meanwhile_explains_is_refused(pages: list[list[UpdatedItem]]) -> None:
    with refusal(UNREADABLE_ANSWER, match="order of their last update"):
        walk(*pages)
