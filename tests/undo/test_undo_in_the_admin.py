"""The undo's pages: what would be put back, what is left alone, and the button."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.models import Decision
from tests.admin import states
from tests.support.rows import queries_of
from tests.support.world import World
from tests.undo.conftest import MOVED


@pytest.fixture
def browser_of(dora: User, client: Client) -> Client:
    client.force_login(dora)
    return client


def test_what_was_edited_at_once_is_one_line_and_taken_back_at_once(world: World, browser_of: Client) -> None:
    contact, other = world.linked("Ann", role_title="Boss", notes="Old"), world.linked("Ben", notes="Old")
    for record, column, value in ((contact, "role_title", "Chair"), (contact, "notes", "New"), (other, "notes", "New")):
        world.edit(record, column, value)
    world.hear()
    page = browser_of.get(f"/admin/npd/contact/{contact.pk}/change/")
    act = page.context["activity"].acts[0]
    assert ({line.label for line in act.lines}, act.others) == ({"Role", "Notes"}, 1)
    asked = browser_of.get(act.offer.url).content.decode()
    assert all(words in asked for words in ("Undo these changes?", "2 values of 1 record go back"))
    answer = browser_of.post(act.offer.url, follow=True)
    assert [act.offer.is_undone for act in answer.context["activity"].acts[:2]] == [
        False,
        True,
    ]  # the undo itself comes first
    contact.refresh_from_db()
    other.refresh_from_db()
    assert (contact.role_title, contact.notes, other.notes) == ("Boss", "Old", "New")
    assert browser_of.get("/admin/sync/decision/1,999999999/undo/").status_code == 404


def test_a_batch_has_its_page(pull: Decision, admin_client: Client) -> None:
    batch = uuid4()
    for number in (2, 3):
        one = states.synced(f"Contact {number}", str(number), role_title="Chair")
        states.decided(one, "Chair.", key="role_title", values=MOVED)
    Decision.objects.update(batch_id=batch)
    Contact.objects.filter(name="Contact 3").update(role_title="President")
    url = f"/admin/sync/decision/batch/{batch}/undo/"
    page = admin_client.get(url).content.decode()
    assert all(words in page for words in ("2 values of 2 records go back", "Can&#x27;t be undone here: 1"))
    admin_client.post(url)
    assert sorted(Contact.objects.values_list("role_title", flat=True)) == ["Boss", "Boss", "President"]


def test_deleted_records_of_a_batch_are_named_in_one_query_however_many(pull: Decision, admin_client: Client) -> None:
    batch, asked = uuid4(), []
    for name in ("Two", "Three", "Four"):
        states.decided(states.synced(name, name, role_title="Chair"), "Chair.", key="role_title", values=MOVED)
    Decision.objects.update(batch_id=batch)
    for name in ("Two", "Three", "Four"):
        Contact.objects.get(name=name).delete()
        asked.append(queries_of(lambda: admin_client.get(f"/admin/sync/decision/batch/{batch}/undo/")))
    assert "Three (deleted)" in admin_client.get(f"/admin/sync/decision/batch/{batch}/undo/").content.decode()
    assert asked[1] == asked[2]
