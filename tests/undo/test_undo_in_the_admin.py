"""The undo's pages: what would be put back, what is left alone, and the button."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.models import Decision
from tests.support.world import World
from tests.undo.test_undo import pulled

Line = Callable[..., Decision]


@pytest.fixture
def browser_of(dora: User, client: Client) -> Client:
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
    assert all(words in page for words in ("1 value restored.", "Undone", "Redo…"))
    contact.refresh_from_db()
    assert contact.role_title == "Boss"


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
