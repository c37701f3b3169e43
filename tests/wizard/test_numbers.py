"""The plan's numbers are what happens: who needs attention, what is made and what is linked."""

from typing import Any

import pytest

from npd.models import Contact, Organization
from tests.wizard.conftest import PEOPLE, Wizard, a_board, an_item, later, mail

FIRMS = (*PEOPLE, ("firm", "Company", "text"))


def settle(wizard: Wizard) -> None:
    for seconds in (20, 120, 400):
        later(wizard.monday, seconds)
        wizard.drain()


def need_attention() -> int:
    return Contact.objects.exclude(sync_status__in=("synced", "disabled")).count()


def connected(wizard: Wizard, firms: str) -> str:
    """A board of people with a column that leads to this board."""
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    wizard.monday.query(
        'mutation ($b: ID!, $d: JSON) { create_column(board_id: $b, id: "firm", title: "Company",'
        " column_type: board_relation, defaults: $d) { id } }",
        b=board, d=f'{{"boardIds": [{firms}]}}',
    )  # fmt: skip
    return board


def both(wizard: Wizard, firms: str, board: str, creates: str = "on", **changes: str) -> Any:
    wizard.boards(organization=firms, contact=board)
    wizard.fields("organization", creates_records=creates)
    wizard.fields("contact", **changes)
    wizard.plan()
    return wizard.board_plan()


def test_who_is_in_another_organization_than_one_that_is_made_is_asked_about(wizard: Wizard) -> None:
    other = Organization.objects.create(name="Other")
    Contact.objects.create(name="Ann", email="ann@x.org", organization=other)
    Contact.objects.create(name="Bob", email="bob@x.org")
    items = [{"name": name, "mail": mail(f"{name.lower()}@x.org"), "firm": "Unheard of"} for name in ("Ann", "Bob")]
    board = a_board(wizard.monday, "CRM", *FIRMS, items=items)
    plan = wizard.planned(board, column_organization="firm")
    assert plan.attention_count == 2
    wizard.apply(**{"related-contact": "on"})
    settle(wizard)
    assert Contact.objects.get(name="Ann").sync_status == "conflict"
    assert need_attention() == 1


def test_a_connected_item_is_the_record_that_it_becomes_with_this_set_up(wizard: Wizard) -> None:
    known = Organization.objects.create(name="Known")
    Contact.objects.create(name="Ann", email="ann@x.org")
    Contact.objects.create(name="Bob", email="bob@x.org", organization=known)
    firms = a_board(wizard.monday, "Firms", items=[{"name": "Acme"}, {"name": "Known"}])
    acme = next(item["id"] for item in wizard.monday.items() if item["name"] == "Acme")
    board = connected(wizard, firms)
    an_item(wizard.monday, board, "Ann", mail=mail("ann@x.org"), firm={"item_ids": [int(acme)]})
    plan = both(wizard, firms, board)
    assert (plan.attention_count, plan.counts["to_npd"], plan.counts["create"]) == (0, 1, 1)
    wizard.apply()
    settle(wizard)
    assert need_attention() == 0
    assert str(Contact.objects.get(name="Ann").organization) == "Acme"


def test_who_waits_for_an_organization_that_gets_no_item_needs_attention(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org", organization=Organization.objects.create(name="Twins"))
    firms = a_board(wizard.monday, "Firms", items=[{"name": "Twins"}, {"name": "Twins"}])
    plan = both(wizard, firms, connected(wizard, firms))
    wizard.apply()
    settle(wizard)
    assert plan.attention_count == need_attention() == 1


def test_who_leaves_the_filter_by_what_is_taken_over_stops_and_needs_nobody(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org", phone="12")
    items = [{"name": "Ann", "mail": mail("ann@x.org"), "job": "Vendor"}]
    wizard.boards(contact=a_board(wizard.monday, "CRM", *PEOPLE, items=items))
    wizard.fields("contact", filter="1")
    form = {"record-field": ["role_title"], "record-op": ["is_not"], "record-text": ["Vendor"]}
    wizard.post("filter/contact/", **form)
    wizard.plan()
    plan = wizard.board_plan()
    wizard.apply()
    settle(wizard)
    assert (plan.attention_count, plan.counts["stops"]) == (0, 1)
    assert Contact.objects.get().sync_status == "disabled"


def test_whether_a_new_item_would_be_in_the_group_of_the_filter_is_known_before(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    wizard.boards(contact=a_board(wizard.monday, "CRM", *PEOPLE))
    wizard.fields("contact", filter="1")
    wizard.post("filter/contact/", **{"item-field": ["group"], "item-op": ["is"], "item-text": ["People"]})
    wizard.plan()
    plan = wizard.board_plan()
    wizard.apply()
    is_made = Contact.objects.exclude(monday_id=None).count()
    assert (plan.attention_count, plan.counts["create"], plan.counts["kept_out"]) == (0, is_made, 1 - is_made)
    assert need_attention() == 0


def test_the_second_item_of_a_key_makes_no_record(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.operations.setup.plan.CHUNK_SIZE", 1)
    items = [{"name": name, "mail": mail("ann@x.org")} for name in ("Ann", "Anna")]
    plan = wizard.planned(a_board(wizard.monday, "CRM", *PEOPLE, items=items), creates_records="on")
    wizard.apply()
    settle(wizard)
    assert plan.counts["from_items"] == Contact.objects.count() == 1
    assert plan.counts["items_asked"] == 1


def test_who_is_in_another_organization_than_one_that_comes_with_its_board_is_asked_about(wizard: Wizard) -> None:
    other = Organization.objects.create(name="Other")
    Contact.objects.create(name="Ann", email="ann@x.org", organization=other)
    firms = a_board(wizard.monday, "Firms", items=[{"name": "Acme"}, {"name": "Other"}])
    items = [{"name": "Ann", "mail": mail("ann@x.org"), "firm": "Acme"}]
    plan = both(wizard, firms, a_board(wizard.monday, "CRM", *FIRMS, items=items))
    assert (plan.attention_count, plan.counts["conflicts"]) == (1, 1)
    wizard.apply()
    settle(wizard)
    assert Contact.objects.get().sync_status == "conflict"


def test_who_only_takes_over_from_monday_and_has_no_item_needs_attention(wizard: Wizard) -> None:
    Contact.objects.create(name="Silent", email="silent@x.org", sync_direction="monday_to_npd")
    plan = wizard.planned(a_board(wizard.monday, "CRM", *PEOPLE))
    wizard.apply()
    settle(wizard)
    assert plan.attention_count == need_attention() == plan.counts["no_item"] == 1
