"""The history on a record's page, and where the id of Monday's request stands."""

from __future__ import annotations

import uuid
from typing import Any

import pghistory
from django.test import Client

from npd.models import Contact
from tests.admin import states
from tests.admin.test_records import LIST, change_page, words_of


def test_the_history_says_who_changed_what(browser_of_person: Client, world: dict[str, Any]) -> None:
    record = world["synced"]
    record.phone = "+46 9"
    record.save()
    page = words_of(browser_of_person.get(change_page(record)).content.decode())
    assert "a script changed phone from “+46 8 123 45” to “+46 9”" in page
    assert "changed organization from (empty) to “Example Ltd”" in page


def test_a_pull_stands_once_in_the_history(browser_of_person: Client, world: dict[str, Any]) -> None:
    record, look, other = world["synced"], uuid.uuid4(), uuid.uuid4()
    for batch, phone in ((look, "+46 7"), (other, "+46 8")):
        with pghistory.context(cause="sync", batch=str(batch)):
            Contact.objects.filter(pk=record.pk).update(phone=phone)
    states.decided(record, "Phone “+46 7” taken over from Monday.", batch_id=look)
    page = words_of(browser_of_person.get(change_page(record)).content.decode())
    assert page.count("Phone “+46 7” taken over from Monday.") == 1
    assert "to “+46 7”" not in page
    assert "NPD Sync changed phone from “+46 7” to “+46 8”" in page  # of this look no decision tells


def test_the_id_of_mondays_request_stands_on_the_records_page_alone(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    trace = "[Monday request 4f-1]"
    record = states.waiting("Traced", f"Monday answered 500. {trace}")
    states.dead("Dead and traced", f"Monday refused it. {trace}")
    lists = (LIST, "/admin/", "/admin/sync/syncqueue/", "/admin/sync/syncmetadata/")
    for url in lists:
        assert trace not in browser_of_person.get(url).content.decode(), url
    page = browser_of_person.get(change_page(record)).content.decode()
    assert f'Monday answered 500. <small class="npd-trace">{trace}</small>' in page
