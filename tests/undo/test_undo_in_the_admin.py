"""The undo's pages: what would be put back, what is left alone, and the button."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from npd.models import Contact
from sync.models import Decision
from tests.support.world import World
from tests.undo.test_undo import pulled

Line = Callable[..., Decision]


@pytest.fixture
def browser_of(dora: User, client: Client, settings: object) -> Client:
    settings.STORAGES = settings.STORAGES | {  # type: ignore[attr-defined]
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    client.force_login(dora)
    return client


def test_the_page_shows_what_goes_back_and_the_button_does_it(world: World, browser_of: Client, line: Line) -> None:
    contact = pulled(world)
    url = f"/admin/sync/decision/{line(contact, 'pull').pk}/undo/"
    page = browser_of.get(url).content.decode()
    assert all(words in page for words in ("Undo this change?", "Yes, put it back", "Chair", "Boss"))
    contact.refresh_from_db()
    assert contact.role_title == "Chair"
    answer = browser_of.post(url, follow=True)
    assert answer.redirect_chain[-1][0] == f"/admin/npd/contact/{contact.pk}/change/"
    page = answer.content.decode()
    assert all(words in page for words in ("1 value restored.", "Undone.", "Redo…"))
    contact.refresh_from_db()
    assert contact.role_title == "Boss"


def test_what_moved_on_is_shown_as_left_alone_and_stays(world: World, browser_of: Client, line: Line) -> None:
    contact = pulled(world)
    url = f"/admin/sync/decision/{line(contact, 'pull').pk}/undo/"
    Contact.objects.filter(pk=contact.pk).update(role_title="President")
    page = browser_of.get(url).content.decode()
    assert "There is no value to restore." in page
    assert "Yes, put" not in page
    page = browser_of.post(url, follow=True).content.decode()
    assert "was left alone: It was changed since" in page


def test_a_batch_has_its_page(world: World, browser_of: Client, line: Line) -> None:
    contacts = [world.linked(f"Contact {n}", role_title="Boss") for n in range(3)]
    for contact in contacts:
        world.edit(contact, "role_title", "Chair")
    world.hear()
    Contact.objects.filter(pk=contacts[2].pk).update(role_title="President")
    url = f"/admin/sync/decision/batch/{line(contacts[0], 'pull').batch_id}/undo/"
    page = browser_of.get(url).content.decode()
    assert all(words in page for words in ("2 values of 2 records go back", "Can’t be undone here: 1"))
    browser_of.post(url)
    roles = [Contact.objects.get(pk=contact.pk).role_title for contact in contacts]
    assert roles == ["Boss", "Boss", "President"]


def test_who_may_not_change_contacts_sees_neither_the_page_nor_the_link(
    world: World, client: Client, line: Line, browser_of: Client
) -> None:
    contact = pulled(world)
    clerk = User.objects.create_user("clerk", "clerk@example.com", "x", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_contact", "view_decision"]))
    client.force_login(clerk)
    pk = line(contact, "pull").pk
    assert client.get(f"/admin/sync/decision/{pk}/undo/").status_code == 403
    assert client.post(f"/admin/sync/decision/{pk}/undo/").status_code == 403
    assert "Undo…" not in client.get(f"/admin/npd/contact/{contact.pk}/change/").content.decode()


def test_it_leads_back_to_pages_of_ours_only(world: World, browser_of: Client, line: Line) -> None:
    contact = pulled(world)
    url = f"/admin/sync/decision/{line(contact, 'pull').pk}/undo/"
    answer = browser_of.post(url, {"next": "https://evil.example/"})
    assert answer["Location"] == f"/admin/npd/contact/{contact.pk}/change/"


def test_the_pages_of_a_decision_and_of_its_record_lead_to_its_undo(
    world: World, browser_of: Client, line: Line
) -> None:
    contact = pulled(world)
    pull = line(contact, "pull")
    page = browser_of.get(f"/admin/sync/decision/{pull.pk}/change/").content.decode()
    assert f"/admin/sync/decision/{pull.pk}/undo/" in page
    assert f"/admin/sync/decision/batch/{pull.batch_id}/undo/" in page
    page = browser_of.get(f"/admin/npd/contact/{contact.pk}/change/").content.decode()
    assert f"/admin/sync/decision/{pull.pk}/undo/" in page


def test_what_is_not_kept_is_a_404(browser_of: Client) -> None:
    assert browser_of.get("/admin/sync/decision/987654/undo/").status_code == 404
    empty = "/admin/sync/decision/batch/11111111-1111-4111-8111-111111111111/undo/"
    assert browser_of.get(empty).status_code == 404
