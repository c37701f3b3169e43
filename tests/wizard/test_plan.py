"""The plan's numbers are what the first passes do, and nothing is written before it is started."""

import re
from typing import Any

import pytest
from django.template.loader import render_to_string

from conflicts.models import StoredResolution, SyncConflict
from conflicts.reports import FieldSelection
from npd.models import Contact, Organization
from sync import attention
from sync.models import ActivityLine, BoardLink, UnmatchedItem
from sync.operations.planned_changes import BoardPlan, ChangeKind, PlannedChange
from tests.admin.test_records import words_of
from tests.support.cases import each_once
from tests.support.world import mail
from tests.wizard.conftest import ENDS, FIRMS, PEOPLE, START, Wizard, a_board, an_item, later, people, started


def names_that_need_attention() -> set[str]:
    contacts = Contact.objects.exclude(sync_status__in=("synced", "disabled"))
    return set(contacts.values_list("name", flat=True))


def connected(wizard: Wizard, firms: str) -> str:
    """A board of people with a column that leads to the board of firms."""
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    wizard.monday.add_column(board, "firm", "Company", "board_relation", boardIds=[firms])
    return board


def plan_of_two_boards(wizard: Wizard, firms: str, board: str) -> Any:
    wizard.boards(organization=firms, contact=board)
    wizard.fields("organization", creates_records="on")
    wizard.fields("contact")
    wizard.plan()
    return wizard.board_plan()


def test_nothing_is_written_before_the_plan_is_started(wizard: Wizard, django_assert_max_num_queries: Any) -> None:
    people()
    wizard.planned(a_board(wizard.monday, "CRM", *PEOPLE))
    pages = {end: wizard.get(end) for end in ENDS}
    assert re.search(r"about \d+ API calls?( \([^)]*\))? and 1 minute\.", pages["plan/"])
    for end in ("plan/", "run/"):
        with django_assert_max_num_queries(25):
            wizard.client.get(START + end)
    wizard.work()
    wizard.drain()
    assert not wizard.mutations()
    assert not BoardLink.objects.exists()
    assert set(Contact.objects.values_list("sync_status", "monday_id")) == {("pending", None)}


@pytest.mark.parametrize("creates", [True, False])
def test_whose_item_is_whose_is_planned_as_passes_find_it(wizard: Wizard, creates: bool) -> None:
    """An item whose key is ambiguous or taken makes no record; of two records with one key, one gets an item."""
    Contact.objects.create(name="Torn", email="torn@x.org")
    Contact.objects.create(name="Off", email="off@x.org", sync_enabled=False)
    own = Contact.objects.create(name="Own", email="own@x.org")
    for name in ("Uma", "Will"):
        Contact.objects.create(name=name, email="twin@x.org")
    board = a_board(wizard.monday, "CRM", *PEOPLE, ("npd_id", "NPD ID", "text"))
    item = an_item(wizard.monday, board, "Own", mail=mail("own@x.org"), npd_id=str(own.pk))
    for name, address in (("P", "torn"), ("Q", "torn"), ("Second", "own"), ("Quiet", "off"), (" ", "nobody")):
        an_item(wizard.monday, board, name, mail=mail(f"{address}@x.org"))
    wizard.planned(board, creates_records="on" if creates else "off")
    assert wizard.plan_shown() == {"create": 1, "link": 1, "ask": 4, "sync_off": 1, "left as it is": 1}
    rows = f"{START}plan/contact/ask/"
    reasons = wizard.client.get(rows).context["row"]["reasons"]
    assert len(reasons) > 1
    for place, (_reason, subjects) in enumerate(reasons):
        assert list(wizard.client.get(rows, {"reason": place}).context["page"]) == subjects
    assert len(wizard.client.get(rows, {"reason": "9"}).context["page"]) == 4

    wizard.apply()
    for _ in range(2):
        later(wizard.monday, 20)
        wizard.drain()
    contacts = {contact.name: (contact.monday_id, contact.sync_status) for contact in Contact.objects.all()}
    uma = wizard.monday.item_named("Uma")
    assert contacts == {
        "Torn": (None, "conflict"),
        "Own": (item, "synced"),
        "Off": (None, "disabled"),
        "Uma": (uma and uma["id"], "synced"),
        "Will": (None, "conflict"),
    }
    reasons = dict(UnmatchedItem.objects.values_list("name", "reason_code"))
    unnamed = "invalid" if creates else "creation_off"
    assert reasons == {"Second": "ambiguous", "Quiet": "ambiguous", " ": unnamed}


def test_a_plan_shows_each_field_of_a_record_and_leads_to_all_of_them() -> None:
    changes = [
        PlannedChange(ChangeKind.PULL, "contact", "Ann", item_id="1", field="Email", after="ann@x.org", reason="empty"),
        PlannedChange(ChangeKind.PULL, "contact", "Ann", item_id="1", field="Phone", before="1", after="2"),
        *(PlannedChange(ChangeKind.PULL, "contact", f"Bo {n}", item_id=f"b{n}", reason=str(n)) for n in range(4)),
    ]
    plan = BoardPlan("contact", "Contacts")
    plan.add(*changes)
    rows = {"rows": plan.rows["changes"], "entity_type": "contact"}
    page = words_of(render_to_string("sync/wizard_plan_rows.html", rows))
    assert "Ann Email: (empty) → ann@x.org Phone: 1 → 2 empty" in page
    assert "Records updated in NPD 5" in page
    assert page.strip().endswith("Bo 1 1 All 5")


def test_a_one_way_field_is_said_to_take_its_sides_value_and_to_close_its_conflict(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org", role_title="Boss")
    board = a_board(wizard.monday, "CRM", *PEOPLE, items=[{"name": "Ann", "mail": mail("ann@x.org"), "job": "Chief"}])
    wizard.planned(board)
    page = wizard.get("plan/")
    assert "Where both sides are filled and differ, you are asked." in page
    assert "Ann Role: NPD Boss , Monday Chief" in page
    assert "and ends" not in page
    wizard.apply()
    assert Contact.objects.get().sync_status == "conflict"

    wizard.change(direction_role_title="npd_to_monday")
    page = wizard.get("plan/")
    assert "you are asked. Role always gets NPD's value." in page
    assert "What waits for a person now, and ends" in page
    assert wizard.plan_shown()["ended"] == 1
    assert "Ann Role: Chief → Boss" in page
    wizard.apply()
    assert Contact.objects.get().sync_status == "synced"


def test_a_field_mapped_to_another_column_ends_its_conflict_and_is_compared_with_that_column(wizard: Wizard) -> None:
    columns = [*PEOPLE, ("task", "Task", "text")]
    rows = {
        "Ann": {"job": "Chief"},  # the other column is empty
        "Bea": {"job": "Chief", "task": "Buyer"},
        "Cem": {"job": "Chief", "task": "Boss"},
        "Dot": {"job": "Boss", "task": "Buyer"},  # in no conflict yet
    }
    items = [{"name": name, "mail": mail(f"{name}@x.org"), **cells} for name, cells in rows.items()]
    for name in rows:
        Contact.objects.create(name=name, email=f"{name}@x.org", role_title="Boss")
    wizard.planned(a_board(wizard.monday, "CRM", *columns, items=items))
    wizard.apply()
    ann, bea, cem, dot = Contact.objects.order_by("name")
    assert [record.sync_status for record in (ann, bea, cem, dot)] == ["conflict"] * 3 + ["synced"]
    selection = FieldSelection("monday", npd="Boss", monday="Chief")
    answer = StoredResolution(resolution_type="merge", by="Ada", fields={"role_title": selection})
    SyncConflict.objects.filter(entity_id=bea.pk).update(resolution=answer.to_json())

    plan = wizard.change(column_role_title="task")
    ended = [change for change in plan.changes if change.kind == "ended"]
    assert sorted(change.name for change in ended) == ["Ann", "Bea", "Cem"]
    wizard.apply()

    closed = SyncConflict.objects.exclude(resolved_at=None)
    assert [conflict.monday_data for conflict in closed] == [{"role_title": "Chief"}] * 3
    over = ActivityLine.objects.filter(kind="conflict_over")
    assert [line.values["monday"] for line in over] == ["Chief"] * 3
    assert [(line.actor, line.folded) for line in over] == [
        (wizard.person.get_username(), folded) for folded in (False, True, True)
    ]
    assert [line.values["choose"] for line in ActivityLine.objects.filter(kind="conflict_returned")] == ["monday"]
    asked = SyncConflict.objects.filter(resolved_at=None).order_by("entity_id")
    assert {conflict.entity_id: conflict.monday_data["role_title"] for conflict in asked} == {
        bea.pk: "Buyer",
        dot.pk: "Buyer",
    }
    assert set(Contact.objects.values_list("name", "role_title", "sync_status")) == {
        ("Ann", "Boss", "synced"),
        ("Bea", "Boss", "conflict"),
        ("Cem", "Boss", "synced"),
        ("Dot", "Boss", "conflict"),
    }
    sent = {item["name"]: item["values"]["task"] for item in wizard.monday.items()}
    assert sent == {"Ann": "Boss", "Bea": "Buyer", "Cem": "Boss", "Dot": "Buyer"}


def test_what_monday_can_not_take_needs_attention(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org", phone="12")
    Contact.objects.create(name="Eve", email="eve@x.org", phone="+12025550123")
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "Ann", mail=mail("ann@x.org"))
    planned = wizard.planned(board)
    assert len(planned.ids("blocked")) == 1
    assert "What needs attention afterwards" in wizard.get("plan/")
    assert not wizard.planned(board, direction_phone="monday_to_npd").ids("blocked")


def test_the_plan_names_what_it_leaves_as_it_is(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    Contact.objects.create(name="Off", email="off@x.org", sync_enabled=False)
    Contact.objects.create(name="Silent", email="silent@x.org", sync_direction="monday_to_npd")
    Contact.objects.create(name="Lost", email="lost@x.org", monday_id="4711")
    an_item(wizard.monday, board, "Stranger", mail=mail("stranger@x.org"))
    broken = an_item(wizard.monday, board, "Broken", mail=mail("broken@x.org"))
    wizard.monday.control("faults", unreadable=[broken], by_id=True)
    wizard.planned(board)
    assert wizard.plan_shown() == {"sync_off": 1, "left as it is": 2, "removed": 1, "unreadable": 1}
    assert f"Item {broken}" in wizard.get("plan/")
    wizard.monday.control("faults", "DELETE")
    wizard.apply()
    wizard.settle()
    home = wizard.client.get("/admin/")
    assert [(box.title, box.is_notice, box.is_open) for box in home.context["boxes"]] == [
        ("New items don't become records", True, False)
    ]
    assert "thing" not in home.context["home_state"].words
    assert not any(attention.counts().values())


# Two boards.


def test_a_connected_item_is_the_record_that_it_becomes_with_this_set_up(wizard: Wizard) -> None:
    organization = Organization.objects.create(name="Known")
    Contact.objects.create(name="Ann", email="ann@x.org")
    Contact.objects.create(name="Bob", email="bob@x.org", organization=organization)
    firms = a_board(wizard.monday, "Firms", items=[{"name": "Acme"}, {"name": "Known"}])
    acme = next(item["id"] for item in wizard.monday.items() if item["name"] == "Acme")
    board = connected(wizard, firms)
    an_item(wizard.monday, board, "Ann", mail=mail("ann@x.org"), firm={"item_ids": [int(acme)]})
    planned = plan_of_two_boards(wizard, firms, board)
    assert not planned.rows["asked"]
    assert wizard.plan_shown()["pull"] == 1
    wizard.apply()
    wizard.settle()
    assert not names_that_need_attention()
    assert str(Contact.objects.get(name="Ann").organization) == "Acme"


def test_who_is_in_another_organization_than_one_that_comes_with_its_board_is_asked_about(wizard: Wizard) -> None:
    organization = Organization.objects.create(name="Other")
    Contact.objects.create(name="Ann", email="ann@x.org", organization=organization)
    firms = a_board(wizard.monday, "Firms", items=[{"name": "Acme"}, {"name": "Other"}])
    items = [{"name": "Ann", "mail": mail("ann@x.org"), "firm": "Acme"}]
    planned = plan_of_two_boards(wizard, firms, a_board(wizard.monday, "CRM", *FIRMS, items=items))
    assert len(planned.ids("conflict")) == 1
    wizard.apply()
    wizard.settle()
    assert Contact.objects.get().sync_status == "conflict"


def companies(wizard: Wizard) -> str:
    """A board of nine people of three firms unknown to NPD; three of the people are in NPD."""
    people = [{"name": f"P{n}", "mail": mail(f"p{n}@example.com"), "firm": f"Firm {n % 3}"} for n in range(9)]
    for number in range(3):
        Contact.objects.create(name=f"P{number}", email=f"p{number}@example.com")
    Contact.objects.create(name="New", email="new@example.com")
    return a_board(wizard.monday, "Contacts that we had", *FIRMS, items=people)


@pytest.mark.parametrize("makes_related", [True, False])
def test_organizations_that_items_name_are_created_where_a_person_wants_them(
    wizard: Wizard, makes_related: bool
) -> None:
    Organization.objects.create(name="Firm 1")
    planned = wizard.planned(companies(wizard), column_organization="firm", creates_records="on")
    numbers = wizard.plan_shown()
    assert (numbers["link"], numbers["create"], numbers["new record"]) == (3, 1, 6)
    assert len(planned.ids("blocked")) == 6
    assert "Create 2 organizations that NPD doesn't have" in wizard.get("plan/")
    wizard.apply(**({"related-contact": "on"} if makes_related else {}))
    later(wizard.monday, 60)
    wizard.drain()
    assert len(names_that_need_attention()) == (0 if makes_related else 6)
    assert (Organization.objects.count(), len(wizard.monday.items())) == (3 if makes_related else 1, 10)


# A board on which nobody can be recognized.


def test_the_plan_says_what_is_held_where_nobody_can_be_recognized_and_starts_so(wizard: Wizard) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    board = a_board(wizard.monday, "CRM", ("work", "Work", "email"), ("home", "Home", "email"))
    an_item(wizard.monday, board, "Ann", work=mail("ann@x.org"))
    wizard.planned(board, creates_records="on")
    page = wizard.get("plan/")
    assert "no NPD ID and no “Email”" in page
    assert "No field uses “Work” (Email), “Home” (Email) ." in page
    assert "create" not in wizard.plan_shown()
    wizard.apply()
    assert (len(wizard.monday.items()), Contact.objects.count()) == (1, 1)
    wizard.change(column_email="work")
    assert wizard.plan_shown()["link"] == 1
    wizard.apply()
    assert Contact.objects.get().sync_status == "synced"


@pytest.mark.parametrize(("emails", "when"), each_once([True, False], ["plan", "set-up"]))
def test_nothing_is_made_for_people_whose_items_a_listing_lacks(wizard: Wizard, when: str, emails: bool) -> None:
    """Monday's listings lag behind what was just added to a board, as its count of items shows."""
    items = []
    for name in ("Ann", "Bob"):
        address = f"{name.lower()}@x.org"
        Contact.objects.create(name=name, email=address)
        items.append({"name": name} | ({"mail": mail(address)} if emails else {}))
    Contact.objects.create(name="Cleo", email="cleo@x.org", sync_enabled=when == "plan")
    board = a_board(wizard.monday, "CRM", *PEOPLE, items=items)
    lagging: dict[str, Any] = {"listing": "empty", "count": None}
    if when == "plan":
        wizard.monday.faults(lagging)
        wizard.planned(board, creates_records="on")
        assert wizard.plan_shown() == {"held": 3}
        assert "Monday lists only 0 of the board's 2 items" in wizard.get("plan/")
        wizard.monday.session.delete(f"{wizard.monday.url}/_control/faults")
        wizard.apply()
    else:
        wizard.planned(board, creates_records="on")
        shown = wizard.plan_shown()
        wizard.monday.faults(lagging)
        wizard.start()
        wizard.work()
        assert (started()["state"], BoardLink.objects.get(entity_type="contact").board_id) == ("stopped", "")
        wizard.monday.session.delete(f"{wizard.monday.url}/_control/faults")
        wizard.planned(board, creates_records="on")
        assert wizard.plan_shown() == shown
        wizard.apply()
    wizard.settle()
    assert len(wizard.monday.items()) == 2
    statuses = Contact.objects.exclude(name="Cleo").values_list("sync_status", flat=True)
    assert set(statuses) == {"synced" if emails else "conflict"}


def test_a_listing_that_stays_short_stops_no_new_match_column_for_good(wizard: Wizard) -> None:
    """Monday counts items that it doesn't list, such as those that the token's user may not see."""
    board = a_board(wizard.monday, "CRM", ("work", "Work", "email"), ("home", "Home", "email"))
    wizard.planned(board, creates_records="on", column_email="home")
    wizard.apply()
    Contact.objects.create(name="Ann", email="ann@x.org")
    an_item(wizard.monday, board, "Ann", work=mail("ann@x.org"))
    wizard.monday.faults({"listing": "empty", "count": None})
    wizard.change(column_email="work")
    assert wizard.plan_shown() == {"held": 1}
    assert "Monday lists only 0 of the board's 1 items" in wizard.get("plan/")
    wizard.post("plan/", creates_anyway="contact")
    wizard.plan()
    wizard.apply()
