"""Pages of unmatched items: who is found how, and what each button does and says."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from npd.models import Contact
from sync.models import UnmatchedItem
from tests.admin import states
from tests.admin.test_records import words_of

pytestmark = pytest.mark.django_db
LIST = "/admin/sync/unmatcheditem/"


@pytest.fixture
def items(db: None) -> list[UnmatchedItem]:
    states.boards()
    why = [("no_key", "contact"), ("ambiguous", "contact"), ("queued", "organization"), ("invalid", "contact")]
    return [states.unmatched(f"80{n}", code, kind, name=f"Item {code}") for n, (code, kind) in enumerate(why)]


def listed(client: Client, query: str = "") -> set[str]:
    rows = client.get(f"{LIST}{query}").context["cl"].result_list
    return {row.reason_code for row in rows}


def test_the_list_omits_ignored_items_and_has_filters_and_search(browser: Client, items: list[UnmatchedItem]) -> None:
    UnmatchedItem.objects.create(entity_type="contact", item_id="900", name="Left", ignored_at=states.sync_now())
    assert listed(browser) == {"no_key", "ambiguous", "queued", "invalid"}
    assert listed(browser, "?entity_type=organization") == {"queued"}
    assert listed(browser, "?q=item+amb") == {"ambiguous"}
    assert listed(browser, "?q=803") == {"invalid"}


def test_the_search_of_a_record_finds_those_without_an_item(browser: Client, items: list[UnmatchedItem]) -> None:
    address = f"{LIST}{items[0].pk}/link/"
    Contact.objects.create(name="Ann Free", email="ann@example.com")
    Contact.objects.create(name="Ann Taken", monday_id="5")
    Contact.objects.create(name="Ann Off", sync_enabled=False)
    text = browser.get(f"{address}?q=ann").content.decode()
    assert "Ann Free" in text
    assert "ann@example.com" in text
    assert "Ann Off" in text, "its sync stays off"
    assert "Ann Taken" not in text
    nothing = "No contact without an item was found for"
    off = Contact.objects.get(name="Ann Off")
    assert "stays off: nothing else changes" in browser.post(address, {"record": off.pk}).content.decode()
    assert "Ann Free" not in browser.get(address).content.decode()
    UnmatchedItem.objects.filter(pk=items[0].pk).update(name="Anne Free")
    assert "Ann Free" in browser.get(address).content.decode()
    assert nothing in browser.get(f"{address}?q=nobody").content.decode()


def test_an_item_matched_meanwhile_leads_back_to_the_list(browser: Client, items: list[UnmatchedItem]) -> None:
    key = items[0].pk
    Contact.objects.create(name="Ann", monday_id=items[0].item_id)
    answer = browser.get(f"{LIST}{key}/link/", follow=True)
    assert answer.redirect_chain[-1][0] == LIST
    assert "There is no such unmatched item any more" in words_of(answer.content.decode())


def test_the_page_of_an_item_has_its_acts_until_one_is_asked_for(browser: Client, items: list[UnmatchedItem]) -> None:
    page = f"{LIST}{items[0].pk}/change/"
    assert acts_on(browser, page) == ["Create contact", "Ignore", "Link to…"]
    browser.post(
        reverse("npd-home-act"), {"action": "create_record", "key": f"unmatched:{items[0].pk}", "confirmed": "yes"}
    )
    assert acts_on(browser, page) == []
    assert "Being created" in words_of(browser.get(page).content.decode())


def test_selected_items_are_ignored_and_that_is_undone_on_home(browser: Client, items: list[UnmatchedItem]) -> None:
    act = {"action": "ignore", "_selected_action": [items[0].pk, items[3].pk]}
    assert "Ignored: 2 entries. You can undo it" in words_of(browser.post(LIST, act, follow=True).content.decode())
    assert listed(browser) == {"ambiguous", "queued"}
    browser.post(reverse("npd-home-undo"))
    assert LogEntry.objects.filter(change_message="Listed again.").count() == 2
    assert listed(browser) == {"no_key", "ambiguous", "queued", "invalid"}


def acts_on(client: Client, page: str) -> list[str]:
    return [button.label for button in client.get(page).context["row_buttons"]]
