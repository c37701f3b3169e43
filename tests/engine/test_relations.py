"""Organization ↔ contact, as a column of connected boards and as a text."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import registry
from sync.choices import RecordSyncStatus
from sync.clock import SyncNow
from sync.limits import metered_client
from sync.models import AwaitedRelation, BoardLink, FieldMapping, SyncQueue
from sync.operations.comparison import compare_board
from sync.operations.setup.board_setup import set_up
from sync.registry import check_synced_models
from tests.admin import states
from tests.engine.conftest import choose
from tests.support.world import World


def adopt_column(world: World, kind: str, **settings: Any) -> None:
    """Add an organization column to the contacts' board, and let set-up adopt it."""
    world.sandbox.add_column(world.board_id(), "organization", "Organization", kind, **settings)
    set_up(registry.entity("contact"), metered_client.connector())


@pytest.fixture
def connected(world: World) -> World:
    """The contacts' board has a column of connected organizations."""
    adopt_column(world, "board_relation", boardIds=[world.board_id("organization")])
    assert FieldMapping.objects.get(link__entity_type="contact", key="organization").converter == "relation"
    return world


@pytest.fixture
def named(world: World) -> World:
    """The contacts' board has a text column with the organization's name."""
    adopt_column(world, "text")
    mapping = FieldMapping.objects.get(link__entity_type="contact", key="organization")
    assert mapping.converter == "relation_name"
    return world


def organization(name: str = "Acme", **values: Any) -> Organization:
    return Organization.objects.create(name=name, **values)


def cell(world: World, contact: Contact) -> str:
    return world.values(contact).get("organization", "")


def choose_on_board(world: World, contact: Contact, *records: Any) -> None:
    for record in records:
        record.refresh_from_db()
    world.edit(contact, "organization", {"item_ids": [r.monday_id for r in records]} if records else None)


# --- connected boards ------------------------------------------------------------------------------------------


def test_only_the_relation_waits_for_an_organization_without_an_item(connected: World) -> None:
    contact = connected.contact("Ann", organization=organization("Acme"))
    SyncQueue.objects.filter(entity_type="organization").update(next_retry=SyncNow() + timedelta(days=1))
    connected.work()
    assert connected.values(contact)["name"] == "Ann"
    assert connected.status(contact) == "pending"
    assert "waits for the organization “Acme”" in connected.block_of(contact, "organization")
    SyncQueue.objects.filter(entity_type="organization").update(next_retry=SyncNow())
    connected.work()
    assert cell(connected, contact) == "Acme"
    assert connected.status(contact) == "synced"


def test_a_relation_moves_and_is_cleared_both_ways(connected: World) -> None:
    acme, beta = organization("Acme"), organization("Beta")
    contact = connected.linked(organization=acme)
    contact.organization = beta
    contact.save()
    connected.work()
    assert cell(connected, contact) == "Beta"
    contact.organization = None
    contact.save()
    connected.work()
    assert cell(connected, contact) == ""
    choose_on_board(connected, contact, acme)
    connected.hear(contact)
    assert contact.organization == acme
    assert connected.status(contact) == "synced"
    choose_on_board(connected, contact)
    connected.hear(contact)
    assert contact.organization is None
    assert connected.status(contact) == "synced"


def test_the_nightly_comparison_looks_up_a_cells_removed_item_and_then_needs_no_pass(connected: World) -> None:
    acme = organization("Acme")
    beta = organization("Beta")
    contact = connected.linked(organization=acme)
    choose_on_board(connected, contact, acme, beta)
    connected.sandbox.act("archive", item_id=beta.monday_id)
    connected.hear(contact)
    assert (contact.organization, connected.status(contact)) == (acme, "synced")
    connected.pass_time(minutes=20)
    calls = connected.calls("query")
    result = compare_board(connected.link())
    # The board, its page, and the items that the cell names.
    assert (result.need_pass, connected.calls("query") - calls) == (0, 3)


def test_an_item_that_is_no_record_yet_is_not_decided_and_taken_over_when_it_is_one(connected: World) -> None:
    contact = connected.linked(organization=organization("Acme"))
    item = connected.sandbox.act("add", board_id=connected.board_id("organization"), name="New Ltd")
    connected.edit(contact, "organization", {"item_ids": [item["id"]]})
    connected.hear(contact)
    assert contact.organization is not None
    assert contact.organization.name == "Acme"
    assert f"the item {item['id']}, which no organization in NPD has yet" in connected.block_of(contact, "organization")
    assert connected.status(contact) == "pending"
    assert AwaitedRelation.objects.get().target == f"item {item['id']}"
    connected.pass_time(seconds=30)  # the new item was quiet for long enough
    connected.work(contact)
    assert contact.organization.name == "New Ltd"
    assert connected.status(contact) == "synced"
    assert not AwaitedRelation.objects.exists()


def test_a_relation_is_looked_for_once_more_in_case_its_record_came_during_the_look(connected: World) -> None:
    contact = connected.linked()
    late = organization("Late", sync_enabled=False)
    item = connected.sandbox.act("add", board_id=connected.board_id("organization"), name="Late")
    connected.edit(contact, "organization", {"item_ids": [item["id"]]})
    connected.hear()
    with connection.cursor() as cursor:  # as by a transaction that the look could not see
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE organizations SET monday_id = %s WHERE id = %s", [item["id"], late.pk])
        cursor.execute("SET session_replication_role = DEFAULT")
    connected.work()
    assert connected.status(contact) == "pending"
    connected.work(contact, seconds=61)
    assert contact.organization == late


def test_a_conflict_of_organizations_shows_names_and_takes_one_by_its_name(connected: World, person: Any) -> None:
    acme, beta, gamma = organization("Acme"), organization("Beta"), organization("Gamma")
    contact = connected.linked(organization=acme)
    choose_on_board(connected, contact, beta)
    connected.deliver()
    connected.save(contact, organization=gamma)
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    shown = conflict.npd_data, conflict.base_data, conflict.monday_data
    assert [values["organization"] for values in shown] == ["Gamma", "Acme", "Beta"]
    choose(conflict, person, organization={"choose": "custom", "value": "Beta"})
    connected.work(contact)
    assert (contact.organization, cell(connected, contact)) == (beta, "Beta")
    assert connected.status(contact) == "synced"


def test_many_relations_cost_as_many_queries_as_few(connected: World) -> None:
    firms = [organization(f"Firm {n}") for n in range(4)]
    contacts = [connected.contact(f"Person {n}", email=f"p{n}@example.com") for n in range(12)]
    connected.work()
    connected.hear()

    def pulled(people: list[Contact]) -> int:
        for number, contact in enumerate(people):
            choose_on_board(connected, contact, firms[number % 4])
        connected.deliver()
        with CaptureQueriesContext(connection) as queries:
            connected.work()
        assert all(connected.status(contact) == "synced" for contact in people)
        return sum('FROM "organizations"' in query["sql"] for query in queries.captured_queries)

    assert pulled(contacts[:4]) == pulled(contacts[4:])


def test_a_relation_whose_table_wakes_nobody_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_synced_models() == []
    monkeypatch.setattr(Organization._meta, "triggers", [])
    [warning] = check_synced_models()
    assert warning.id == "sync.W001"
    assert "dependency_triggers('contact', 'contacts', 'organization')" in str(warning.hint)


def test_white_space_in_names_is_folded_alike_in_python_and_in_the_triggers(named: World) -> None:
    white = "\u00a0\u2003 \u0085\t\n\u3000\x1f\x1c\u2028"
    contact = named.linked()
    named.edit(contact, "organization", "Acme Sons")
    named.hear()
    assert "No organization in NPD is called “Acme Sons”" in named.block_of(contact, "organization")
    firm = organization(f"{white}Acme{white}Sons{white}")
    named.work(contact)
    assert contact.organization == firm


def test_an_item_that_fails_by_id_leaves_only_its_own_contact_uncompared(connected: World) -> None:
    acme = organization("Acme")
    ann = connected.linked(organization=acme)
    connected.linked_together(5)
    connected.sandbox.control("webhooks", rule="drop", count=None)
    choose_on_board(connected, ann)
    acme.refresh_from_db()
    connected.sandbox.control("faults", unreadable=[acme.monday_id], by_id=True)
    result = compare_board(connected.link())
    assert (result.items, result.need_pass, result.problem) == (6, 1, "")


# --- by name ----------------------------------------------------------------------------------------------------


def test_an_organization_is_shown_by_its_name_and_found_by_it(named: World) -> None:
    acme, _, beta = (organization(name) for name in ("Acme", "beta gmbh", "Beta  GmbH"))
    contact = named.linked(organization=acme)
    assert cell(named, contact) == "Acme"
    named.edit(contact, "organization", " Beta GmbH ")
    named.hear(contact)
    assert contact.organization == beta
    assert named.status(contact) == "synced"
    named.edit(contact, "organization", "")
    named.hear(contact)
    assert contact.organization is None


def test_a_new_name_is_shown_by_every_contact_whichever_way_the_row_changed(named: World) -> None:
    acme, other = organization("Acme"), organization("Other")
    contacts = [named.contact(f"P{n}", email=f"p{n}@example.com", organization=acme) for n in range(3)]
    alone = named.contact("Alone", organization=other)
    named.work()
    named.hear()
    assert named.status(alone) == "synced"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE organizations SET name = 'Acme & Sons' WHERE id = %s", [acme.pk])
    assert {named.status(contact) for contact in contacts} == {"pending"}
    assert named.status(alone) == "synced"
    named.work()
    assert {cell(named, contact) for contact in contacts} == {"Acme & Sons"}
    assert {named.status(contact) for contact in contacts} == {"synced"}


@pytest.mark.django_db
def test_a_new_name_wakes_nobody_where_no_column_shows_it_or_sync_is_off() -> None:
    states.boards()
    acme = organization("Acme")
    on, off = (states.synced(name, item, organization=acme) for name, item in (("On", "70"), ("Off", "71")))
    states.mark(off, RecordSyncStatus.DISABLED)
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    shown = FieldMapping.objects.filter(link__entity_type="contact", key="organization")
    for converter, name, woken in (("relation", "Other", "synced"), ("relation_name", "New", "pending")):
        shown.update(converter=converter, column_id="organization")
        Organization.objects.filter(pk=acme.pk).update(name=name)
        statuses = [Contact.objects.get(pk=contact.pk).sync_status for contact in (on, off)]
        assert statuses == [woken, "disabled"]


def test_a_name_of_several_organizations_is_held_until_it_is_one(named: World) -> None:
    acme, *others = (organization(name) for name in ("Acme", "Beta", "Beta"))
    contact = named.linked(organization=acme)
    named.edit(contact, "organization", "Beta")
    named.hear(contact)
    assert contact.organization == acme
    assert cell(named, contact) == "Beta"
    assert named.block_of(contact, "organization").startswith("2 organizations in NPD are")
    others[0].delete()
    named.work(contact)
    assert contact.organization == others[1]
    assert named.status(contact) == "synced"
    assert cell(named, contact) == "Beta"


GLOBEX = {"records": [{"field": "organization", "op": "is", "values": ["Globex"], "labels": ["Globex"]}]}


def test_an_organizations_new_name_decides_whether_the_filter_leaves_its_contacts_out(connected: World) -> None:
    acme = Organization.objects.create(name="Acme")
    connected.work()
    BoardLink.objects.filter(entity_type="contact").update(sync_filter=GLOBEX)
    contact = connected.contact(organization=acme)
    connected.work()
    assert (connected.status(contact), contact.monday_id) == ("disabled", None)
    connected.save(acme, name="Globex")
    assert connected.status(contact) == "synced"
    assert connected.item(contact)["state"] == "active"
    connected.save(acme, name="Acme")
    assert connected.status(contact) == "disabled"
