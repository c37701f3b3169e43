"""The list of unmatched items and its pages: who is found how, what each button does, and what is said of it."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.models import SyncQueue, UnmatchedItem
from tests.admin import states
from tests.admin.test_records import words_of
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
    browser: Client, items: list[UnmatchedItem]
) -> None:
    UnmatchedItem.objects.create(entity_type="contact", item_id="900", name="Left", ignored_at=states.sync_now())
    assert listed(browser) == {"no_key", "ambiguous", "queued", "invalid"}
    assert listed(browser, "?entity_type=organization") == {"queued"}
    shown = browser.get(f"{LIST}?entity_type=organization").content.decode()
    assert re.search(r'<td class="[^"]*field-board[^"]*"[^>]*>\s*Organizations', shown)
    assert listed(browser, "?why=invalid") == {"invalid"}
    assert listed(browser, "?q=item+amb") == {"ambiguous"}
    assert listed(browser, "?q=803") == {"invalid"}
    assert listed(browser, "?show=attention") == {"no_key", "invalid"}
    shown = browser.get(f"{LIST}?show=ignored").context["cl"].result_list
    assert [row.name for row in shown] == ["Left"]


def test_the_list_asks_as_often_whatever_it_shows(browser: Client, items: list[UnmatchedItem], person: User) -> None:
    listed(browser)
    few = queries_of(lambda: listed(browser))
    for n in range(60):
        UnmatchedItem.objects.create(entity_type="contact", item_id=f"9{n}", name=f"Nobody {n}", reason_code="no_key")
    assert queries_of(lambda: listed(browser)) <= few
    assert few <= 12


def test_ticked_items_are_created_after_a_question_and_ignored_at_once(
    browser: Client, items: list[UnmatchedItem]
) -> None:
    ticked = {"_selected_action": [row.pk for row in items[:2]], "action": "create_records"}
    question = browser.post(LIST, ticked)
    assert "Create 2 contacts?" in question.content.decode()
    other = UnmatchedItem.objects.create(entity_type="organization", item_id="899", name="Acme")
    mixed = {**ticked, "_selected_action": [items[0].pk, other.pk]}
    assert "Create 2 records?" in browser.post(LIST, mixed).content.decode()
    other.delete()
    assert not SyncQueue.objects.exists()
    browser.post(LIST, ticked | {"confirmed": "yes"})
    wanted = dict(SyncQueue.objects.values_list("remote_id", "payload"))
    assert wanted == {"800": {"create": True, "by": "dora"}, "801": {"as_new": True, "by": "dora"}}
    browser.post(LIST, ticked | {"action": "ignore"})
    assert "2 items ignored. List them again" in words_of(browser.get(LIST).content.decode())
    assert listed(browser) == {"queued", "invalid"}
    ignored = {"_selected_action": [row.pk for row in items[:2]], "action": "list_again"}
    browser.post(f"{LIST}?show=ignored", ignored)
    assert not UnmatchedItem.objects.exclude(ignored_at=None).exists()


def test_the_search_of_a_record_finds_those_without_an_item(browser: Client, items: list[UnmatchedItem]) -> None:
    address = f"{LIST}{items[0].pk}/link/"
    Contact.objects.create(name="Ann Free", email="ann@example.com")
    Contact.objects.create(name="Ann Taken", monday_id="5")
    Contact.objects.create(name="Ann Off", sync_enabled=False)
    text = browser.get(f"{address}?q=ann").content.decode()
    assert "Ann Free" in text
    assert "ann@example.com" in text
    assert "Ann Off" not in text
    assert "Ann Taken" not in text
    assert "No contact was found for" in browser.get(f"{address}?q=nobody").content.decode()


def test_an_item_that_is_unmatched_no_more_leads_back_to_the_list_with_why(
    browser: Client, items: list[UnmatchedItem]
) -> None:
    key = items[0].pk
    Contact.objects.create(name="Ann", monday_id=items[0].item_id)
    for address in (f"{LIST}{key}/change/", f"{LIST}{key}/link/"):
        answer = browser.get(address, follow=True)
        assert answer.redirect_chain[-1][0] == LIST
        assert "isn't unmatched any more" in words_of(answer.content.decode()).replace("&#x27;", "'")
    UnmatchedItem.objects.filter(pk=key).update(ignored_at=states.sync_now())
    form = {"action": "create_records", "_selected_action": [key], "confirmed": "yes"}
    late = browser.post(LIST, form, follow=True)
    assert late.redirect_chain == [(LIST, 302)]
    assert "Nothing was done" in words_of(late.content.decode())
