"""An edit that our write overwrote, and whose webhook was lost, is known from the log: a conflict, nothing less."""

from typing import Any

from conflicts.models import SyncConflict
from tests.support.world import World
from tests.sweeps.conftest import Post


def overwritten() -> list[SyncConflict]:
    return list(SyncConflict.objects.filter(kind="overwritten", resolved_at=None))


def test_the_log_shows_what_we_overwrote_and_late_webhooks_open_no_second_conflict(
    world: World, post: Post, settings: Any
) -> None:
    settings.MONDAY_API_VERSION = "2027-01"  # whose log has another form
    contact = world.linked(role_title="Analyst")
    post.swept()
    world.overwrite(contact)
    assert post.lose() == 2
    post.sweep()
    (conflict,) = overwritten()
    assert (conflict.npd_data, conflict.monday_data) == ({"role_title": "Ours"}, {"role_title": "Theirs"})
    world.pass_time(hours=1)
    post.hand_in()
    post.sweep()
    assert len(overwritten()) == 1
    assert SyncConflict.objects.count() == 1
