"""One side for all ticked conflicts: a page says what that does, then each is resolved by itself."""

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from conflicts.models import SyncConflict
from conflicts.pages import admin as conflicts_admin
from conflicts.pages.resolution import resolve
from npd.models import Contact
from tests.admin import states
from tests.admin.forms import answer_to_question
from tests.conflicts.conftest import PHONE, conflict_of, finding, record, values_seen
from tests.conflicts.test_about_record import gone
from tests.conflicts.test_screen import LIST, screen, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def contacts(db: None) -> list[Contact]:
    """Four contacts whose phone differs, one whose item is gone."""
    states.boards()
    contacts = [Contact.objects.create(name=name, monday_id=f"8{n}") for n, name in enumerate("ABCDE")]
    record(*(finding(contact, PHONE) for contact in contacts[:4]), gone(contacts[4]))
    return contacts


def ask(browser: Client, action: str, *contacts: Contact, query: str = "?kind__in=fields,delete", **more: str) -> Any:
    """Tick these in the list and choose the action; return the page that asks."""
    ids = [str(conflict_of(contact).pk) for contact in contacts]
    return browser.post(f"{LIST}{query}", {"action": action, "_selected_action": ids, **more}, follow=True)


def confirm(browser: Client, question: Any) -> str:
    """Press the question's button; return what the list says then."""
    sent = answer_to_question(question.content.decode())
    return text_of(browser.post(f"{LIST}?{question.request['QUERY_STRING']}", sent, follow=True))


def chosen(contact: Contact) -> str:
    return conflict_of(contact).stored_resolution.resolution_type


def test_the_page_names_what_is_overwritten_and_leaves_out_questions_about_records(
    browser: Client, contacts: list[Contact]
) -> None:
    question = ask(browser, "keep_monday", *contacts)
    page = text_of(question)
    assert "Use Monday for 4 conflicts?" in page
    assert "Overwrite 4 values in NPD" in page
    assert "1 conflict left out" in page
    for value in (PHONE.npd, PHONE.monday):
        assert page.count(str(value)) == 4
    html = question.content.decode()
    assert all(f'href="{screen(conflict_of(contact))}">{contact.name}</a>' in html for contact in contacts)
    assert "npd-button-deletes" not in html
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()
    assert "Overwrite 4 values on Monday" in text_of(ask(browser, "keep_npd", *contacts))


def test_what_changed_since_the_page_is_left_and_named(browser: Client, contacts: list[Contact], ada: User) -> None:
    question = ask(browser, "keep_monday", *contacts[:3])
    record(finding(contacts[0], replace(PHONE, npd="+44 20 7946 0001")))
    resolve(conflict_of(contacts[1]).pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
    answer = confirm(browser, question)
    assert "Resolved with Monday's values: C. It takes effect within seconds." in answer
    assert "Not resolved: A. It has changed since you saw it." in answer
    assert "Not resolved: B. Ada has just resolved the conflict of B." in answer
    assert [chosen(contact) for contact in contacts[:3]] == ["", "keep_npd", "keep_monday"]


def test_home_offers_to_undo_what_the_list_has_resolved(browser: Client, contacts: list[Contact]) -> None:
    assert "You can undo it on Home." in confirm(browser, ask(browser, "keep_npd", contacts[0]))
    raw = {"local": {"phone": "1"}, "remote": "2", "base": None}
    inverse = {"phone": {"before": raw, "after": raw}}
    record(finding(contacts[0], applied={"phone": PHONE.npd}, inverse=inverse))
    assert "Resolved with NPD's values: A." in text_of(browser.get("/admin/"))
    browser.post("/admin/home/undo/")
    assert conflict_of(contacts[0]).is_being_undone


def test_during_a_stop_it_says_what_the_choices_wait_for(browser: Client, contacts: list[Contact]) -> None:
    states.stop_board("contact")
    answer = confirm(browser, ask(browser, "keep_npd", contacts[0]))
    assert "Resolved with NPD's values: A. It waits: The board was archived." in answer


def test_all_of_the_list_are_what_it_shows_when_the_action_is_chosen(browser: Client, contacts: list[Contact]) -> None:
    question = ask(browser, "keep_npd", contacts[0], query="?kind__in=fields", select_across="1")
    assert "Use NPD for 4 conflicts?" in text_of(question)
    late = Contact.objects.create(name="Late", monday_id="99")
    record(finding(late, PHONE))
    confirm(browser, question)
    assert [chosen(contact) for contact in (*contacts, late)] == [*["keep_npd"] * 4, "", ""]
    question = ask(browser, "keep_monday", late, query="?kind__in=fields", select_across="1")
    assert "Use Monday for 1 conflict?" in text_of(question)
    assert "4 conflicts left out" in text_of(question)  # those that are being applied


def test_the_oldest_are_resolved(browser: Client, contacts: list[Contact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts_admin, "MAX_PER_REQUEST", 3)
    question = ask(browser, "keep_npd", contacts[4], select_across="1")
    assert "5 are selected. At most 3 are resolved at once: these are the ones that wait longest." in text_of(question)
    confirm(browser, question)
    assert [bool(chosen(contact)) for contact in contacts] == [True, True, True, False, False]
    assert "Use NPD for 1 conflict?" in text_of(ask(browser, "keep_npd", contacts[4], select_across="1"))


@pytest.mark.parametrize("sent", ["", "[]", "nonsense", '{"x": "y"}', '{"x": ' * 2000])
def test_what_no_page_has_sent_resolves_nothing(browser: Client, contacts: list[Contact], sent: str) -> None:
    ids = [str(conflict_of(contact).pk) for contact in contacts]
    browser.post(LIST, {"action": "keep_npd", "_selected_action": ids, "confirmed": "yes", "seen": sent})
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()


def follow(browser: Client, question: Any) -> tuple[int, str]:
    """What the open question says about its conflicts, whose address htmx asks every few seconds."""
    answer = browser.post(reverse("npd-home-question"), answer_to_question(question.content.decode()))
    return answer.status_code, text_of(answer)


def test_an_open_question_says_what_somebody_else_resolved_meanwhile(
    browser: Client, ada: User, contacts: list[Contact]
) -> None:
    question = ask(browser, "keep_monday", *contacts[:2])
    assert follow(browser, question) == (200, "")
    for contact in contacts[:2]:
        resolve(conflict_of(contact).pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
        status, words = follow(browser, question)
        assert f"“{contact.name}” " in words
        assert "Latest, by Ada: Chose " in words
        assert (status, "Nothing is left to do here." in words) == ((200, False), (286, True))[contact.name == "B"]
