"""Which records and items the board's filter lets through, and how a pair leaves and returns with nothing lost."""

from typing import Any

import pytest

from npd.models import Contact
from sync.choices import RecordSyncStatus, SyncStatus
from sync.models import BoardLink, Decision
from sync.monday.items import item_fragment
from sync.operations.explanation import explain, find_record
from sync.state.record_view import RecordState, describe, filter_by_state
from tests.admin import states
from tests.support.world import World

CUSTOMER = {"records": [{"field": "role_title", "op": "is", "values": ["Customer"], "labels": ["Customer"]}]}


def only(world: World, sync_filter: dict[str, Any], *records: Any) -> None:
    """The board's filter is this from now on, and each of these records gets a pass."""
    BoardLink.objects.filter(entity_type="contact").update(sync_filter=sync_filter)
    for record in records:
        world.look(record)
        record.refresh_from_db()


def in_group(world: World, *titles: str, op: str = "is") -> dict[str, Any]:
    """Only items in these groups of the contacts' board."""
    ids = [group_id(world, title) for title in titles]
    return {"items": [{"field": "group", "op": op, "values": ids, "labels": list(titles)}]}


def group_id(world: World, title: str) -> str:
    board, document = world.board_id(), "query ($b: [ID!]) { boards(ids: $b) { groups { id title } } }"
    groups = world.sandbox.query(document, b=[board])["data"]["boards"][0]["groups"]
    existing = next((group["id"] for group in groups if group["title"] == title), None)
    if existing is None:
        mutation = "mutation ($b: ID!, $t: String!) { create_group(board_id: $b, group_name: $t) { id } }"
        existing = world.sandbox.query(mutation, b=board, t=title)["data"]["create_group"]["id"]
    return str(existing)


def move(world: World, record: Any, title: str) -> None:
    """Somebody drags the record's item into another group."""
    record.refresh_from_db()
    world.sandbox.act("move", item_id=record.monday_id, group_id=group_id(world, title))


def test_a_record_that_leaves_sends_nothing_and_merges_changes_on_its_return(world: World) -> None:
    contact = world.linked(role_title="Customer", phone="+442079460018", notes="n")
    only(world, CUSTOMER, contact)
    before = world.calls()
    world.save(contact, role_title="Vendor", phone="+442079460019")
    assert (world.status(contact), world.calls()) == ("disabled", before)
    shown = world.values(contact)
    assert (shown["role_title"], shown["phone"], shown["npd_id"]) == ("Customer", "+442079460018", str(contact.pk))
    assert Decision.objects.filter(entity_id=contact.pk, kind="left_out").count() == 1
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


def test_the_group_is_read_only_where_a_condition_asks_for_it() -> None:
    assert "group" not in item_fragment(["status"])
    assert "group { id }" in item_fragment(["status", "group"])


@pytest.mark.django_db
def test_explain_and_the_api_say_why() -> None:
    states.boards()
    contact = states.contact("Ann", role_title="Vendor")
    states.mark(contact, RecordSyncStatus.DISABLED, "70")
    note = "Left out by the filter: Role is not “Customer”."
    states.sync_state(contact, SyncStatus.SKIPPED, left_out="record", note=note)
    lines = explain(find_record("contact", str(contact.pk)))
    assert "Left out by the filter: Role is not “Customer”." in lines
    shown = describe([contact])[contact.pk]
    assert (shown.state, shown.reason) == (RecordState.OFF, note)
    assert list(filter_by_state(Contact.objects.all(), "left_out")) == [contact]
