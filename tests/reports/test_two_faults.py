"""Two boards on which Monday fails in different ways at once."""

from npd.models import Contact, Organization
from sync.limits import breaker
from tests.reports.test_writes_down import new_contacts, unsynced, writes_fail, writes_work
from tests.support.world import World


def test_a_full_board_beside_one_whose_writes_fail_costs_no_more_and_holds_no_change(world: World) -> None:
    acme = Organization.objects.create(name="Acme")
    world.work()
    world.hear(minutes=2)
    world.sandbox.control("boards", board_id=world.board_id("organization"), items_limit=1)
    writes_fail(world, naming=world.board_id())
    Contact.objects.bulk_create([Contact(name=f"P{n}") for n in range(6)])
    Organization.objects.bulk_create([Organization(name=f"O{n}") for n in range(6)])
    assert world.calls_while(60) <= 50
    assert world.calls_while(60, seconds=600) <= 20
    world.save(acme, notes="New")
    world.calls_while(60, seconds=1_200)
    assert (world.values(acme)["notes"], world.status(acme)) == ("New", "synced")
    writes_work(world)
    assert breaker.ask_again() == breaker.RESUMED
    world.work()
    world.work(minutes=2)
    assert not unsynced()


def test_a_write_of_another_board_after_hours_of_failing_writes_costs_no_hour_more(world: World) -> None:
    writes_fail(world, naming=world.board_id())
    new_contacts(30)
    assert world.calls_while(60) <= 50
    for _ in range(2):
        assert world.calls_while(60) <= 20
    acme = Organization.objects.create(name="Acme")
    assert world.calls_while(60) <= 20
    assert world.status(acme) == "synced"
    assert world.calls_while(60) <= 20
    writes_work(world)
    breaker.ask_again()
    world.work()
    world.work(minutes=2)
    assert not unsynced()
