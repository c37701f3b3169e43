"""Which entries of the activity share a line: those of one act of a person, however alike others are."""

import uuid
from typing import Any

import pghistory

from npd.models import Contact
from tests.support.people import api_of
from tests.support.world import TOM, World

NAMES = ("Ann", "Bea", "Cleo", "Dan", "Eve", "Fay")


def listed(browser: Any, kind: str) -> list[tuple[str, int]]:
    """What each line of this kind says first, and of how many more records."""
    rows = browser.get("/admin/sync/decision/").context["cl"].result_list
    return sorted((row.values["after"], row.page_alike) for row in rows if row.kind == kind and "made" not in row.cause)


def test_edits_that_one_person_made_one_by_one_are_lines_of_their_own_and_a_bulk_edit_is_one(world: World) -> None:
    dora, people = world.administrator("dora"), [world.linked(name, role_title="Boss") for name in NAMES]
    browser = world.browser(dora)
    with pghistory.context(user=dora.pk, batch=str(uuid.uuid4())):
        Contact.objects.filter(pk__in=[one.pk for one in people[:3]]).update(role_title="Lead")
    for number, one in enumerate(people[3:]):
        role = {"role_title": f"Role {number}"}
        assert api_of(dora).patch(f"/api/v1/contacts/{one.pk}/", role).status_code == 200
    world.work()
    assert listed(browser, "push") == [("Lead", 2), ("Role 0", 0), ("Role 1", 0), ("Role 2", 0)]


def test_monday_tells_of_no_act_so_one_value_that_one_person_gave_one_column_is_one(world: World) -> None:
    browser = world.browser(world.administrator("dora"))
    people = [world.linked(name, role_title="Boss") for name in NAMES]
    for number, one in enumerate(people):
        role = "Lead" if number < 3 else f"Role {number}"
        world.sandbox.act("edit", item_id=one.monday_id, column_id="role_title", text=role, user_id=TOM)
    world.hear(times=len(people))
    assert listed(browser, "pull") == [("Lead", 2), ("Role 3", 0), ("Role 4", 0), ("Role 5", 0)]


def test_records_deleted_one_by_one_are_lines_of_their_own_and_a_selection_is_one(world: World) -> None:
    browser = world.browser(world.administrator("dora"))
    keys = [str(world.linked(name).pk) for name in NAMES]
    for key in keys[:3]:
        browser.post(f"/admin/npd/contact/{key}/delete/", {"post": "yes"})
    world.work()
    selected = {"action": "delete_selected", "_selected_action": keys[3:], "post": "yes"}
    browser.post("/admin/npd/contact/", selected)
    world.work()
    rows = browser.get("/admin/sync/decision/").context["cl"].result_list
    assert sorted(row.page_alike for row in rows if row.kind == "archived") == [0, 0, 0, 2]


def test_contacts_added_one_by_one_are_lines_of_their_own_and_those_added_at_once_are_one(world: World) -> None:
    dora = world.administrator("dora")
    browser = world.browser(dora)
    for name in NAMES[:3]:
        assert api_of(dora).post("/api/v1/contacts/", {"name": name}).status_code == 201
    with pghistory.context(user=dora.pk):
        for name in NAMES[3:]:
            Contact.objects.create(name=name)
    world.work()
    rows = browser.get("/admin/sync/decision/").context["cl"].result_list
    assert sorted(row.page_alike for row in rows if "made" in row.cause) == [0, 0, 0, 2]
