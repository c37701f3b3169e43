"""Which records and items the board's filter lets through, and how a pair leaves and returns with nothing lost."""

from typing import Any

from npd.models import Contact
from sync.models import ActivityLine, BoardLink
from sync.state.record_view import RecordState, filter_by_state, view_of
from tests.support.world import World

CUSTOMER = {"records": [{"field": "role_title", "op": "is", "values": ["Customer"], "labels": ["Customer"]}]}


def only(world: World, sync_filter: dict[str, Any], *records: Any) -> None:
    """Set the board's filter, and give each of these records a pass."""
    BoardLink.objects.filter(entity_type="contact").update(sync_filter=sync_filter)
    for record in records:
        world.run_pass(record)
        record.refresh_from_db()


def in_group(world: World, title: str) -> dict[str, Any]:
    return {"items": [{"field": "group", "op": "is", "values": [group_id(world, title)], "labels": [title]}]}


def group_id(world: World, title: str) -> str:
    board, document = world.board_id(), "query ($b: [ID!]) { boards(ids: $b) { groups { id title } } }"
    groups = world.sandbox.query(document, b=[board])["data"]["boards"][0]["groups"]
    existing = next((group["id"] for group in groups if group["title"] == title), None)
    if existing is None:
        mutation = "mutation ($b: ID!, $t: String!) { create_group(board_id: $b, group_name: $t) { id } }"
        existing = world.sandbox.query(mutation, b=board, t=title)["data"]["create_group"]["id"]
    return str(existing)


def move(world: World, record: Any, title: str) -> None:
    record.refresh_from_db()
    world.sandbox.act("move", item_id=record.monday_id, group_id=group_id(world, title))


def test_a_record_that_leaves_sends_nothing_and_merges_changes_on_its_return(world: World) -> None:
    contact = world.linked(role_title="Customer", phone="+442079460018", notes="n")
    only(world, CUSTOMER, contact)
    before = world.calls()
    world.save(contact, role_title="Vendor", phone="+442079460019")
    assert (world.status(contact), world.calls()) == ("disabled", before)
    shown_state = view_of(contact)
    assert (shown_state.state, "Role is not “Customer”" in shown_state.reason) == (RecordState.OFF, True)
    assert list(filter_by_state(Contact.objects.all(), RecordState.OFF)) == [contact]
    shown = world.values(contact)
    assert (shown["role_title"], shown["phone"], shown["npd_id"]) == ("Customer", "+442079460018", str(contact.pk))
    assert ActivityLine.objects.filter(entity_id=contact.pk, kind="left_out").count() == 1
    world.edit(contact, "notes", "from Monday")
    world.hear(contact)
    assert (contact.sync_status, contact.notes) == ("disabled", "n")
    world.save(contact, role_title="Customer")
    contact.refresh_from_db()
    assert (contact.sync_status, contact.notes) == ("synced", "from Monday")
    assert world.values(contact)["phone"] == "+442079460019"


def test_a_pair_leaves_and_returns_with_its_items_group(world: World) -> None:
    contact = world.linked(role_title="r")
    move(world, contact, "Active")
    world.hear(contact)
    only(world, in_group(world, "Active"), contact)
    assert contact.sync_status == "synced"
    move(world, contact, "Archive")
    world.hear(contact)
    assert contact.sync_status == "disabled"
    assert "Group on Monday is not “Active”" in world.sync_state(contact).note
    world.save(contact, role_title="not sent yet")
    assert world.values(contact)["role_title"] == "r"
    move(world, contact, "Active")
    world.hear(contact)
    assert contact.sync_status == "synced"
    assert world.values(contact)["role_title"] == "not sent yet"


def test_edits_of_both_sides_are_synced_before_a_pair_leaves(world: World) -> None:
    contact = world.linked(role_title="r", notes="n")
    move(world, contact, "Active")
    world.hear(contact)
    only(world, in_group(world, "Active"), contact)
    move(world, contact, "Archive")
    world.edit(contact, "role_title", "from Monday")
    Contact.objects.filter(pk=contact.pk).update(notes="from NPD")
    world.hear(contact)
    assert (contact.sync_status, contact.role_title) == ("disabled", "from Monday")
    assert world.values(contact)["notes"] == "from NPD"
