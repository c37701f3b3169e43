"""The rows that were ticked in the list, settled at once by one side: through the same batch as all that match."""

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conflicts.models import ConflictBatch, SyncConflict
from conflicts.tasks import carry_on_batches
from npd.models import Contact
from tests.conflicts.conftest import PHONE, ROLE, finding, person_who_may, record
from tests.conflicts.test_about_record import AGAIN, UNLINK, gone
from tests.conflicts.test_all_that_match import address, confirm, outcomes
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


def tick(browser: Client, *contacts: Contact, kept: str = "keep_npd") -> tuple[ConflictBatch, Any]:
    ids = [str(SyncConflict.objects.get(entity_id=one.pk).pk) for one in contacts]
    answer = browser.post(f"{LIST}?state=open", {"action": kept, "_selected_action": ids}, follow=True)
    return ConflictBatch.objects.latest("made_at"), answer


def test_the_page_shows_every_value_first_and_says_what_is_left_out(browser: Client, contacts: list[Contact]) -> None:
    batch, answer = tick(browser, *contacts)
    page = text_of(answer)
    assert answer.redirect_chain == [(address(batch), 303)]
    assert "Keep NPD in 2 conflicts?" in page
    assert "3 rows that were ticked" in page
    assert "Role: “Head of Procurement” everywhere; the other side’s value “Head of Sourcing” gives way." in page
    assert "C Left out This way is not offered there." in page
    assert f"{LIST}?state=open" in answer.content.decode()
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()


def test_yes_stores_the_choice_in_those_that_were_ticked_alone(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = tick(browser, contacts[0], contacts[2])
    confirm(browser, batch)
    carry_on_batches()
    stored = {c.entity_id: c.stored_choice for c in SyncConflict.objects.all()}
    assert [stored[c.pk].resolution_type for c in contacts] == ["keep_npd", "", ""]


def test_what_changed_since_the_page_is_left_alone_and_said(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = tick(browser, contacts[0], contacts[1], kept="keep_monday")
    record(finding(contacts[0], replace(PHONE, npd="+44 20 7946 0001")))
    confirm(browser, batch)
    carry_on_batches()
    assert outcomes(batch) == {"A": "handed_back", "B": "stored"}
    assert not SyncConflict.objects.get(entity_id=contacts[0].pk).is_being_applied


def test_what_was_ticked_is_undone_with_one_button(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = tick(browser, contacts[0], contacts[1])
    confirm(browser, batch)
    carry_on_batches()
    raw = {"local": {"phone": "1"}, "remote": "2", "base": None}
    undoes = {"phone": {"before": raw, "after": raw}}
    record(finding(contacts[0], applied={"phone": PHONE.npd}, inverse=undoes))
    page = browser.get(address(batch))
    assert "Undo all of it: 2 conflicts" in text_of(page)
    browser.post(address(batch), {"undo": "1"})
    carry_on_batches()
    assert SyncConflict.objects.get(entity_id=contacts[0].pk).is_being_undone


def test_a_way_about_the_record_is_offered_where_the_kind_has_it(browser: Client, contact: Contact) -> None:
    record(gone(contact, options=[AGAIN]))
    batch, answer = tick(browser, contact)
    assert AGAIN.effect in text_of(answer)
    confirm(browser, batch)
    carry_on_batches()
    assert SyncConflict.objects.get().stored_choice.resolution_type == "keep_npd"


def test_who_may_only_look_has_no_such_action(client: Client, contacts: list[Contact]) -> None:
    client.force_login(person_who_may("view_syncconflict"))
    assert "keep_npd" not in client.get(LIST).content.decode()
    ids = [str(pk) for pk in SyncConflict.objects.values_list("pk", flat=True)]
    client.post(LIST, {"action": "keep_npd", "_selected_action": ids})
    assert not ConflictBatch.objects.exists()
