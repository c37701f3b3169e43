"""The list of unmatched items and its pages: who is found how, what each button does, and what is said of it."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.models import IgnoredItem, SyncQueue, UnmatchedItem
from tests.admin import states
from tests.admin.forms import values_of
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may
from tests.support.rows import queries_of

pytestmark = pytest.mark.django_db
LIST = "/admin/sync/unmatcheditem/"


@pytest.fixture
def items(db: None) -> list[UnmatchedItem]:
    states.boards()
    why = [("no_key", "contact"), ("ambiguous", "contact"), ("queued", "organization"), ("invalid", "contact")]
    return [
        UnmatchedItem.objects.create(entity_type=kind, item_id=f"80{n}", name=f"Item {code}", reason_code=code)
        for n, (code, kind) in enumerate(why)
    ]


def listed(client: Client, query: str = "") -> set[str]:
    found = client.get(f"{LIST}{query}").context["cl"].result_list
    return {row.reason_code for row in found}


def test_the_list_is_narrowed_by_board_reason_name_and_what_needs_attention(
    browser_of_person: Client, items: list[UnmatchedItem]
) -> None:
    UnmatchedItem.objects.create(entity_type="contact", item_id="900", name="Left", ignored_at=states.sync_now())
    assert listed(browser_of_person) == {"no_key", "ambiguous", "queued", "invalid"}
    assert listed(browser_of_person, "?entity_type=organization") == {"queued"}
    shown = browser_of_person.get(f"{LIST}?entity_type=organization").content.decode()
    assert re.search(r'<td class="[^"]*field-board[^"]*"[^>]*>\s*Organizations', shown)
    assert listed(browser_of_person, "?why=invalid") == {"invalid"}
    assert listed(browser_of_person, "?q=item+amb") == {"ambiguous"}
    assert listed(browser_of_person, "?q=803") == {"invalid"}
    assert listed(browser_of_person, "?show=attention") == {"no_key", "invalid"}
    shown = browser_of_person.get(f"{LIST}?show=ignored").context["cl"].result_list
    assert [row.name for row in shown] == ["Left"]


def test_the_list_asks_as_often_whatever_it_shows(
    browser_of_person: Client, items: list[UnmatchedItem], person: User
) -> None:
    listed(browser_of_person)
    few = queries_of(lambda: listed(browser_of_person))
    for n in range(60):
        UnmatchedItem.objects.create(entity_type="contact", item_id=f"9{n}", name=f"Nobody {n}", reason_code="no_key")
    assert queries_of(lambda: listed(browser_of_person)) <= max(few, 15)
    assert few <= 15


def test_an_item_is_created_linked_ignored_and_listed_again_by_its_buttons(
    browser_of_person: Client, items: list[UnmatchedItem]
) -> None:
    first, *_ = items
    back = f"{LIST}?why=no_key"
    made = browser_of_person.post(f"{LIST}{first.pk}/create/", {"next": back})
    assert made["Location"] == back
    job = SyncQueue.objects.get(remote_id=first.item_id)
    assert job.payload == {"create": True, "by": "dora"}
    page = browser_of_person.get(LIST).content.decode()
    assert "Being created" in page
    asks, ignores = (re.compile(rf"{LIST}(\d+)/(?:{acts})/") for acts in ("create|link", "ignore"))
    assert set(asks.findall(page)) == {str(row.pk) for row in items[1:]}
    assert set(ignores.findall(page)) == {str(row.pk) for row in items}  # what waits is taken back by it
    assert not asks.search(browser_of_person.get(f"{LIST}{first.pk}/change/").content.decode())
    SyncQueue.objects.filter(pk=job.pk).update(status="in_progress")
    assert str(first.pk) not in ignores.findall(browser_of_person.get(LIST).content.decode())
    SyncQueue.objects.filter(pk=job.pk).update(status="pending")
    ignored = browser_of_person.post(f"{LIST}{first.pk}/ignore/", {"next": "https://elsewhere.example/"}, follow=True)
    assert ignored.redirect_chain == [(LIST, 302)]
    job.refresh_from_db()
    assert job.payload == {"by": "dora"}
    assert "Ignored “Item no_key”." in words_of(ignored.content.decode())
    sent = values_of(ignored, "npd-undo-1")
    assert words_of(browser_of_person.post(f"{LIST}undo/", sent, follow=True).content.decode()).count("listed again")
    assert not IgnoredItem.objects.exists()
    first.refresh_from_db()
    assert first.ignored_at is None


def test_ticked_items_are_created_after_a_question_and_ignored_at_once(
    browser_of_person: Client, items: list[UnmatchedItem]
) -> None:
    ticked = {"_selected_action": [row.pk for row in items[:2]], "action": "create_selected"}
    question = browser_of_person.post(LIST, ticked)
    assert "Create 2 records?" in question.content.decode()
    assert not SyncQueue.objects.exists()
    browser_of_person.post(LIST, ticked | {"confirmed": "yes"})
    wanted = dict(SyncQueue.objects.values_list("remote_id", "payload"))
    assert wanted == {"800": {"create": True, "by": "dora"}, "801": {"as_new": True, "by": "dora"}}
    browser_of_person.post(LIST, ticked | {"action": "ignore_selected"})
    assert listed(browser_of_person) == {"queued", "invalid"}
    assert "Ignored 2 items" in words_of(browser_of_person.get(LIST).content.decode())


def test_the_search_of_a_record_finds_those_without_an_item(
    browser_of_person: Client, items: list[UnmatchedItem]
) -> None:
    address = f"{LIST}{items[0].pk}/link/"
    Contact.objects.create(name="Ann Free", email="ann@example.com")
    Contact.objects.create(name="Ann Taken", monday_id="5")
    Contact.objects.create(name="Ann Off", sync_enabled=False)
    text = browser_of_person.get(f"{address}?q=ann").content.decode()
    assert "Ann Free" in text
    assert "ann@example.com" in text
    assert not {"Ann Taken", "Ann Off"} & set(text.split("\n"))
    assert "Ann Taken" not in text
    assert "No contact was found for" in browser_of_person.get(f"{address}?q=nobody").content.decode()


def test_a_link_is_asked_for_only_after_its_preview_and_where_it_can_be(
    browser_of_person: Client, items: list[UnmatchedItem], settings: Any
) -> None:
    settings.MONDAY_API_KEY = ""  # nobody is there to read the item: the preview says so
    record = Contact.objects.create(name="Ann Free")
    SyncQueue.objects.all().delete()
    address, chosen = f"{LIST}{items[0].pk}/link/", {"record": str(record.pk)}
    assert "Link it with “Ann Free”?" in browser_of_person.post(address, chosen).content.decode()
    assert not SyncQueue.objects.exists()
    answer = browser_of_person.post(address, chosen | {"confirmed": "yes"}, follow=True)
    assert SyncQueue.objects.get().payload == {"link_to": str(record.pk), "by": "dora"}
    assert "“Item no_key” is linked with “Ann Free”" in words_of(answer.content.decode())
    Contact.objects.filter(pk=record.pk).update(monday_id="5")
    refused = browser_of_person.post(address, chosen | {"confirmed": "yes"}, follow=True)
    assert "Nothing was linked. “Ann Free” has another item" in words_of(refused.content.decode())


def test_an_item_that_is_unmatched_no_more_leads_back_to_the_list_with_why(
    browser_of_person: Client, items: list[UnmatchedItem]
) -> None:
    key = items[0].pk
    Contact.objects.create(name="Ann", monday_id=items[0].item_id)
    for address in (f"{LIST}{key}/change/", f"{LIST}{key}/link/"):
        answer = browser_of_person.get(address, follow=True)
        assert answer.redirect_chain[-1][0] == LIST
        assert "isn't unmatched any more" in words_of(answer.content.decode()).replace("&#x27;", "'")
    late = browser_of_person.post(f"{LIST}{key}/create/", follow=True)
    assert "Nothing was done" in words_of(late.content.decode())


def test_whoever_only_sees_them_is_offered_nothing(client: Client, items: list[UnmatchedItem]) -> None:
    client.force_login(staff_who_may("view_unmatcheditem"))
    html = client.get(LIST).content.decode()
    assert "Item no_key" in html
    assert not any(words in html for words in ("Create contact", "Link to…", ">Ignore<", "ignore_selected"))
    assert client.post(f"{LIST}undo/", {"at": "2026-01-01T00:00:00Z"}).status_code == 403
