"""The engine's world, in which webhooks get lost."""

from typing import Any

import pytest

from npd.models import Contact
from sync.models import BoardLink, WebhookEvent
from sync.operations.sweep import SweepResult, sweep_board
from tests.support.world import World


class Post:
    """Loses webhooks, and runs the sweep that replaces them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def lose(self) -> int:
        """Drop the webhooks that Monday has sent so far; returns how many."""
        delivered = len(self.world.delivered)
        self.world.deliver(times=0)
        return len(self.world.delivered) - delivered

    def edit(self, record: Any, column: str, value: Any) -> None:
        """A person edits a cell without a webhook."""
        self.world.edit(record, column, value)
        self.lose()

    def unheard(self) -> Contact:
        """A contact in sync whose role was edited on the board since the last sweep, without a webhook."""
        contact = self.world.linked(role_title="Analyst")
        self.swept()
        self.edit(contact, "role_title", "Countess")
        return contact

    def hand_in(self, number: int | None = None) -> None:
        """Deliver late what `lose` kept: all, or the one with this number."""
        delivered = self.world.delivered
        self.world.hand_in(delivered if number is None else [delivered[number]])
        self.world.work()

    def sweep(self, *records: Any, after: float = 3) -> SweepResult:
        """Let `after` minutes pass and sweep; work on what was found and reload these records."""
        self.world.pass_time(minutes=after)
        result = sweep_board(self.world.link())
        self.world.work(*records)
        return result

    def swept(self) -> None:
        """Finish a sweep, so that the next one starts with nothing new."""
        result = self.sweep(after=30)
        assert result.problem == ""

    def stored(self, record: Any) -> list[WebhookEvent]:
        """The inbox rows of the record's item that came from the log."""
        record.refresh_from_db()
        rows = WebhookEvent.objects.filter(item_id=record.monday_id, trigger_id__startswith="log:")
        return list(rows.order_by("id"))


@pytest.fixture
def post(world: World) -> Post:
    """The boards are set up and were swept once."""
    post = Post(world)
    with world.stages.count_as_stage("never swept"):
        BoardLink.objects.update(swept_to=None)
    return post
