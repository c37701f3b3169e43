"""The nightly comparison finds what no webhook, no log and no sweep told; it changes nothing by itself."""

import re

from npd.models import Contact, Organization
from sync.models import SyncQueue
from sync.operations.detect.comparison import ComparisonResult, compare_board
from tests.engine.test_relations import connected
from tests.support.world import World, mail
from tests.sweeps.conftest import Post

__all__ = ["connected"]


def compared(post: Post) -> ComparisonResult:
    found = compare_board(post.world.link())
    assert found.problem == ""
    return found


def test_two_equal_sides_differ_nowhere_and_cost_a_call_a_page(world: World, post: Post) -> None:
    for name in ("Ann", "Bo", "Cy"):
        world.linked(name, role_title="Analyst", email=f"{name}@x.test", phone="+12025550169")
    calls, rows = world.calls(), SyncQueue.objects.count()
    found = compared(post)
    assert (found.items, found.linked, found.differing, found.unlisted) == (3, 3, 0, 0)
    assert (world.calls() - calls, SyncQueue.objects.count() - rows) == (2, 0)


def test_an_item_without_a_record_becomes_one_and_a_record_without_an_item_gets_one(world: World, post: Post) -> None:
    contact = world.contact("Ann")
    SyncQueue.objects.all().delete()
    item = {"name": "Bo", "values": {"email": mail("bo@x.test")}}
    world.sandbox.control("items", board_id=world.board_id(), items=[item])
    found = compared(post)
    assert (found.items, found.linked, found.without_record, found.without_item) == (1, 0, 1, 1)
    world.work(minutes=1)
    assert world.status(contact) == "synced"
    assert Contact.objects.filter(name="Bo").count() == 1
    found = compared(post)
    assert (found.linked, found.without_record, found.without_item) == (2, 0, 0)


def test_an_item_that_is_not_listed_is_asked_for_by_its_id_and_nothing_is_deleted(world: World, post: Post) -> None:
    contact = world.linked("Ann")
    world.linked("Bo")
    world.sandbox.act("archive", item_id=contact.monday_id)
    post.lose()
    found = compared(post)
    assert (found.items, found.unlisted) == (1, 1)
    world.work()
    assert world.ledger(contact).remote_state == "archived"
    assert Contact.objects.filter(pk=contact.pk).exists()


def test_a_relation_that_was_emptied_gets_its_pass_which_asks_why(connected: World, post: Post) -> None:
    contact = connected.linked(organization=Organization.objects.create(name="Acme"))
    connected.hear()
    connected.edit(contact, "organization", None)
    post.lose()
    calls = connected.calls()
    assert (compared(post).differing, connected.calls() - calls) == (1, 2)
    connected.work(contact)
    assert (contact.organization, connected.status(contact)) == (None, "synced")


def test_of_a_listing_that_was_cut_short_nothing_is_concluded(world: World, post: Post) -> None:
    for name in ("Ann", "Bo", "Cy"):
        world.linked(name)
    world.sandbox.faults({"listing": 0, "on": "items_page", "count": 2})
    found = compared(post)
    assert (found.unlisted, found.differing) == (0, 0)
    assert not SyncQueue.objects.filter(status="pending").exists()
    assert found.items == 0


def test_every_page_is_compared(world: World, post: Post) -> None:
    rows = [{"name": f"Item {number}", "values": {}} for number in range(501)]
    world.sandbox.control("items", board_id=world.board_id(), items=rows)
    calls = world.calls()
    assert compared(post).items == 501
    assert world.calls() - calls == 3


def test_what_a_comparison_did_not_find_is_not_counted() -> None:
    found = ComparisonResult(items=1_942, linked=1_941, unlisted=60, without_record=1)
    assert re.findall(r"[\d,]*\d", found.summary) == ["1,942", "1,941", "60", "1"]
    assert re.findall(r"[\d,]*\d", ComparisonResult(items=3, linked=3).summary) == ["3", "3"]
