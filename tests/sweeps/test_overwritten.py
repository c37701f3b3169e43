"""An edit that our write overwrote, and whose webhook was lost, is known from the log: a conflict, nothing less."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.engine import intents
from tests.engine.conftest import World
from tests.sweeps.conftest import Post

TOM = 67210012


def overwrite(world: World, monkeypatch: pytest.MonkeyPatch, contact: Contact) -> None:
    """Tom writes into the cell after a look has read it and before the look's own write arrives."""
    announce, left = intents.announce, [True]

    def announced(*given: Any, **more: Any) -> Any:
        allowed = announce(*given, **more)
        if left:
            left.clear()
            world.sandbox.act(
                "edit", item_id=contact.monday_id, column_id="role_title", value="Theirs", user_id=TOM
            )
        return allowed

    Contact.objects.filter(pk=contact.pk).update(role_title="Ours")
    with monkeypatch.context() as patched:
        patched.setattr(intents, "announce", announced)
        world.work()
    assert world.values(contact)["role_title"] == "Ours"


def overwritten() -> list[SyncConflict]:
    return list(SyncConflict.objects.filter(kind="overwritten", resolved_at=None))


def test_the_log_alone_shows_a_value_that_we_overwrote(
    world: World, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Analyst")
    post.swept()
    overwrite(world, monkeypatch, contact)
    assert post.lose() == 2
    post.sweep()
    (conflict,) = overwritten()
    assert (conflict.npd_data, conflict.monday_data) == ({"role_title": "Ours"}, {"role_title": "Theirs"})


def test_its_webhooks_that_come_an_hour_later_open_no_second_conflict(
    world: World, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Analyst")
    post.swept()
    overwrite(world, monkeypatch, contact)
    assert post.lose() == 2
    post.sweep()
    world.pass_time(hours=1)
    post.hand_in()
    post.sweep()
    assert len(overwritten()) == 1
    assert SyncConflict.objects.count() == 1


def test_where_one_of_the_two_webhooks_came_the_log_tells_the_other(
    world: World, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Analyst")
    post.swept()
    overwrite(world, monkeypatch, contact)
    post.lose()
    post.hand_in(-1)
    found = post.sweep()
    assert found.rows == 1
    assert len(overwritten()) == 1
