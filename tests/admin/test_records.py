"""Contacts and organizations in the admin: badges, actions, the sync panel."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from npd.models import Contact
from sync.choices import RecordSyncStatus
from sync.models import BoardLink, SyncQueue
from tests.admin import states
from tests.files.conftest import counts, exported, preview
from tests.support.people import staff_who_may

LIST = "/admin/npd/contact/"


def words_of(html: str) -> str:
    """The page's text, without tags and icons."""
    text = re.sub(r'<span class="material-symbols[^>]*>[^<]*</span>', "", html)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)).replace("&#x27;", "'")


def row_of(html: str, name: str) -> str:
    rows = [row for row in re.findall(r'<tr class="data-row.*?</tr>', html, re.DOTALL) if name in row]
    assert len(rows) == 1, f"{len(rows)} rows name {name}"
    return words_of(rows[0])


def change_page(record: Any) -> str:
    return reverse(f"admin:npd_{record._meta.model_name}_change", args=[record.pk])


def post_action(client: Client, action: str, *records: Any, **more: str) -> str:
    data = {"action": action, "_selected_action": [str(record.pk) for record in records], **more}
    return words_of(client.post(LIST, data, follow=True).content.decode())


def test_links_go_where_browsers_reach_the_board(browser: Client, world: dict[str, Any], settings: Any) -> None:
    settings.MONDAY_API_URL = "http://sandbox:8001/v2"
    settings.MONDAY_WEB_URL = "http://127.0.0.1:9001"
    html = browser.get(LIST).content.decode()
    assert re.search(r'href="http://127.0.0.1:9001/board/\d+/pulses/5001" target="_blank" rel="noopener"', html)
    assert 'href="http://127.0.0.1:9001/"' in html  # the banner's
    assert "http://sandbox:8001" not in html


def test_search_and_filters_find_the_one_record(browser: Client, world: dict[str, Any]) -> None:
    organizations = reverse("admin:npd_organization_changelist")
    for address, name in (
        (f"{LIST}?q=5001", "Zoë Ångström"),
        (f"{LIST}?organization__id__exact={world['organization'].pk}", "Zoë Ångström"),
        (f"{LIST}?sync_state=off", "Otto Off"),
        (f"{LIST}?sync_state=unknown&q=5001", "Zoë Ångström"),
        (f"{LIST}?q=e&phone__isempty=0", "Zoë Ångström"),
        (f"{organizations}?q=exco", "Example Ltd"),
    ):
        html = browser.get(address).content.decode()
        assert row_of(html, name)
        assert len(re.findall(r'<tr class="data-row', html)) == 1, address
    waiting = row_of(browser.get(LIST).content.decode(), "李小龍")
    assert re.search(r"Pending Next attempt in [45] minutes\..*Monday answered 500", waiting)


def test_turning_sync_off_and_on_logs_and_queues(browser: Client, person: User, world: dict[str, Any]) -> None:
    record = world["synced"]
    assert "Turn sync off for Zoë Ångström?" in post_action(browser, "turn_sync_off", record)
    record.refresh_from_db()
    assert record.sync_enabled
    off = post_action(browser, "turn_sync_off", record, world["disabled"], confirmed="yes")
    assert "Sync turned off for 1 contact." in off
    record.refresh_from_db()
    assert (record.sync_enabled, record.sync_status) == (False, RecordSyncStatus.DISABLED)
    again = post_action(browser, "turn_sync_off", record, confirmed="yes")
    assert "Nothing was changed: sync was off already" in again
    assert "Sync turned on for 1 contact." in post_action(browser, "turn_sync_on", record)
    assert "Nothing was changed: sync was on already" in post_action(browser, "turn_sync_on", record)
    record.refresh_from_db()
    assert (record.sync_enabled, record.sync_status) == (True, RecordSyncStatus.PENDING)
    assert SyncQueue.objects.filter(entity_id=record.pk, status="pending").exists()
    page = words_of(browser.get(change_page(record)).content.decode())
    assert re.search(r"Sync turned on\. Dora Demo,", page)


def test_before_a_deletion_the_page_says_what_becomes_of_the_item(browser: Client, world: dict[str, Any]) -> None:
    def consequence(record: Any) -> Any:
        answer = browser.get(reverse("admin:npd_contact_delete", args=[record.pk]))
        follows = answer.context["request"].deletion_consequence.sentence
        # In the same box as the question.
        question = answer.content.decode().split("npd-question", 1)[1]
        assert follows in words_of(question)
        return follows

    synced = world["synced"]
    archives = consequence(synced)
    assert "archived" in archives
    assert consequence(world["waiting"]) == ""
    BoardLink.objects.update(deleted_record_policy="delete_item")
    assert "deleted" in consequence(synced)
    assert consequence(synced) != archives
    Contact.objects.filter(pk=synced.pk).update(phone="+442079460018")
    selected = post_action(browser, "delete_selected", synced)
    assert "The contact's item is deleted on Monday" in selected
    Contact.objects.filter(pk=synced.pk).update(sync_direction="monday_to_npd")
    assert "The contact's item stays on Monday" in consequence(synced)


@pytest.mark.parametrize(("limit", "waits"), [(2, False), (1, True)])
def test_a_deletion_over_the_limit_says_before_and_after_that_the_items_wait_and_leads_to_the_approvals(
    client: Client, world: dict[str, Any], settings: Any, limit: int, waits: bool
) -> None:
    settings.GUARD_RECORDS = limit
    client.force_login(staff_who_may("view_contact", "delete_contact", "view_approvalrequest"))
    chosen = [world["synced"].pk, states.synced("Second", "98").pk, world["disabled"].pk]
    data = {"action": "delete_selected", "_selected_action": chosen}
    follows = client.post(LIST, data).context["request"].deletion_consequence
    answer = client.post(LIST, data | {"post": "yes"}, follow=True)
    messages = " ".join(str(message) for message in answer.context["messages"])
    to_approvals = f'href="{reverse("admin:index")}"'
    assert "Successfully deleted 3 contacts." in messages
    assert (
        follows.waits,
        follows.sentence.split(" for approval")[0] in unescape(messages),
        to_approvals in messages,
    ) == (waits, waits, waits)
    # A deletion may also exceed the limit only together with earlier ones.
    assert ("at most 1 item within an hour without asking" in follows.sentence) == waits
    assert not Contact.objects.filter(pk__in=chosen).exists()


def test_pages_and_files_show_a_phone_number_in_one_form_and_forms_and_the_api_as_it_is_stored(browser: Client) -> None:
    states.boards()
    stored, shown = "+442079460018x4", "+44 20 7946 0018 ext. 4"
    ann = states.synced("Ann", "51", phone="+12025550169")
    Contact.objects.filter(pk=ann.pk).update(phone=stored)
    file = exported(browser)
    page = browser.get(change_page(ann)).content.decode()
    ann.refresh_from_db()
    for text in (
        row_of(browser.get(LIST).content.decode(), "Ann"),
        words_of(page.partition('id="npd-activity"')[2]),
        words_of(browser.get("/admin/sync/activityline/").content.decode()),
        file.decode("utf-8-sig"),
    ):
        assert (shown in text, stored in text) == (True, False)
    assert f'value="{stored}"' in page
    reader = Client()
    reader.force_login(staff_who_may("view_contact"))
    read_only = reader.get(change_page(ann)).content.decode()
    assert (shown in read_only, stored in read_only) == (True, False)
    assert browser.get(f"/api/v1/contacts/{ann.pk}/").json()["phone"] == stored
    # A form alone is no change.
    assert counts(preview(browser, file)) == {"skip": 1}
