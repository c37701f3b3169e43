"""Two boards and one minute's allowance: a busy board doesn't take all of it from one on which little is due."""

from npd.models import Contact, Organization
from sync.queue import SyncQueueService
from tests.limits.conftest import Planned
from tests.support.world import World


def test_a_board_with_one_change_does_not_wait_until_the_busy_one_is_done(world: World, monday: Planned) -> None:
    firm = Organization.objects.create(name="Acme", notes="old")
    Contact.objects.bulk_create([Contact(name=f"P{number}", role_title="Boss") for number in range(60)])
    world.work()
    world.hear()
    monday.limits(plan="free", points=600_000)
    world.pass_time(seconds=110)
    Contact.objects.update(role_title="Chair")
    Organization.objects.filter(pk=firm.pk).update(notes="new")
    for _ in range(2):
        SyncQueueService().process("contact")  # its wake-up always comes first
        SyncQueueService().process("organization")
        world.pass_time(seconds=110)
    assert (world.values(firm)["notes"], world.status(firm)) == ("new", "synced")
    synced = Contact.objects.filter(sync_status="synced").count()
    assert 20 <= synced < 60  # and the busy one gets nearly all of the rest
    assert monday.refused == 0
