"""Several conflicts settled at once by one side, after a page that shows what that means."""

import html
import re
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conflicts.models import SyncConflict
from npd.models import Contact
from tests.conflicts.conftest import PHONE, ROLE, finding, person_who_may, record
from tests.conflicts.test_about_record import AGAIN, UNLINK, gone
from tests.conflicts.test_screen import LIST, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def contacts(db: None) -> list[Contact]:
    """Of two, fields differ; of the third the item is gone, and NPD's side can't stand."""
    found = [Contact.objects.create(name=name, monday_id=f"9{n}") for n, name in enumerate("ABC")]
    record(finding(found[0], PHONE), finding(found[1], ROLE), gone(found[2], options=[UNLINK]))
    return found


@pytest.fixture
def browser(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def ask(browser: Client, kept: str = "keep_npd") -> Any:
    ids = [str(pk) for pk in SyncConflict.objects.values_list("pk", flat=True)]
    return browser.post(LIST, {"action": kept, "_selected_action": ids})


def say_yes(browser: Client, response: Any) -> Any:
    page = response.content.decode()
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    sent: dict[str, list[str]] = {}
    for name, value in inputs:
        sent.setdefault(name, []).append(html.unescape(value))
    return browser.post(LIST, sent, follow=True)


def test_the_page_shows_every_value_first_and_says_what_is_left_out(
    browser: Client, contacts: list[Contact]
) -> None:
    response = ask(browser)
    page = text_of(response)
    assert "Keep NPD: 2 conflicts" in page
    assert (
        "Role: “Head of Procurement” everywhere; the other side’s value “Head of Sourcing” gives way." in page
    )
    assert "C: This way is not offered there." in page
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()


def test_yes_stores_the_choice_in_each_of_them(browser: Client, contacts: list[Contact]) -> None:
    page = text_of(say_yes(browser, ask(browser)))
    assert "2 choices stored" in page
    stored = {c.entity_id: c.stored_choice for c in SyncConflict.objects.all()}
    assert [stored[c.pk].resolution_type for c in contacts] == ["keep_npd", "keep_npd", ""]


def test_what_changed_since_the_page_is_left_alone_and_said(browser: Client, contacts: list[Contact]) -> None:
    shown = ask(browser, "keep_monday")
    record(finding(contacts[0], replace(PHONE, npd="+44 20 7946 0001")))
    page = text_of(say_yes(browser, shown))
    assert "1 choice stored" in page
    assert "A: Phone changed while you were deciding." in page
    assert not SyncConflict.objects.get(entity_id=contacts[0].pk).is_being_applied


def test_a_way_about_the_record_is_offered_where_the_kind_has_it(browser: Client, contact: Contact) -> None:
    record(gone(contact, options=[AGAIN]))
    shown = ask(browser)
    assert AGAIN.effect in text_of(shown)
    say_yes(browser, shown)
    assert SyncConflict.objects.get().stored_choice.resolution_type == "keep_npd"


def test_who_may_only_look_has_no_such_action(client: Client, contacts: list[Contact]) -> None:
    client.force_login(person_who_may("view_syncconflict"))
    assert "keep_npd" not in client.get(LIST).content.decode()
    ask(client)
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()
