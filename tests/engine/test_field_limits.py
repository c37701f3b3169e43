"""A limit that hits one field inside an HTTP 200: its null is no empty value, no item that was deleted, no refusal."""

from sync.models import Intent
from tests.support.world import World


def _settle(world: World) -> None:
    """Let the wait pass that Monday asked for, and a lost answer's, and work."""
    for _ in range(3):
        world.settle()


def test_an_item_that_a_limit_hides_is_neither_emptied_nor_taken_for_gone(world: World) -> None:
    contact = world.linked(email="ann@example.org", role_title="Boss")
    world.sandbox.faults({"limit": "subgraph", "on": "items", "retry_in": 15})
    world.save(contact, role_title="Chair")
    contact.refresh_from_db()
    assert (contact.email, contact.role_title) == ("ann@example.org", "Chair")
    assert contact.monday_id
    _settle(world)
    assert world.status(contact) == "synced"
    assert "Chair" in world.values(contact).values()


def test_a_search_that_a_limit_hides_makes_no_second_item(world: World) -> None:
    world.sandbox.faults({"limit": "field", "on": "items_page_by_column_values", "retry_in": 15})
    contact = world.contact(email="ann@example.org")
    world.work()
    assert world.sandbox.item_named("Ann") is None
    _settle(world)
    assert [item["name"] for item in world.sandbox.items()] == ["Ann"]
    assert world.status(contact) == "synced"


def test_a_create_whose_item_a_limit_hides_was_made_and_is_made_once(world: World) -> None:
    # The first query looks, the mutation after it makes the item; only the reading back of its values fails.
    world.sandbox.faults({"limit": "subgraph", "on": "column_values", "retry_in": 15, "skip": 1})
    contact = world.contact(email="ann@example.org", role_title="Boss")
    world.work()
    assert world.sandbox.item_named("Ann") is not None
    assert Intent.objects.filter(entity_id=contact.pk, state="open").exists()
    _settle(world)
    assert [item["name"] for item in world.sandbox.items()] == ["Ann"]
    assert world.status(contact) == "synced"
    assert world.values(contact)["role_title"] == "Boss"
