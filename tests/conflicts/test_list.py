"""The list of conflicts: counters by field, filters; and the walk from one to the next."""

import html
import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conflicts.models import SyncConflict
from conflicts.pages.resolution import resolve
from npd.models import Contact
from sync.models import SyncMetadata
from tests.admin import states
from tests.conflicts.conftest import GOOD, PHONE, REFUSED, ROLE, finding, record, rejected_too, values_seen
from tests.conflicts.test_refused import page_of
from tests.conflicts.test_screen import LIST, text_of

pytestmark = pytest.mark.django_db


def conflicting(name: str, *fields: Any) -> SyncConflict:
    states.boards()
    contact = Contact.objects.create(name=name, monday_id=str(100 + Contact.objects.count()))
    record(finding(contact, *fields))
    return SyncConflict.objects.get(entity_id=contact.pk)


def test_open_ones_are_listed_first_and_by_state_alone(browser: Client, ada: User) -> None:
    conflicting("Old", PHONE)
    closed = conflicting("Done", PHONE)
    applied = conflicting("Young", PHONE)
    record(finding(Contact.objects.get(pk=closed.entity_id)))
    assert names(browser, "") == ["Old", "Young", "Done"]
    resolve(applied.pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
    assert names(browser, "state=open") == ["Old"]
    assert names(browser, "state=applying") == ["Young"]
    assert names(browser, "state=settled") == names(browser, "state=settled&q=Done") == ["Done"]


def around(browser: Client, url: str) -> tuple[str, str]:
    links = re.findall(r'href="([^"]+)"\s+data-(before|after)', browser.get(url).content.decode())
    addresses = {way: html.unescape(link) for link, way in links}
    return addresses["before"], addresses["after"]


def test_the_walk_goes_over_conflicts_then_rejected_values_and_ends_on_home(browser: Client, ada: User) -> None:
    states.boards()
    first, last = conflicting("first", PHONE), conflicting("last", PHONE)
    rejected = rejected_too("Ann", "75")
    blocked = states.synced("Bea", "76")
    blocked_fields = {"phone": {"reason": "NPD can't take it.", "code": "invalid"}}
    SyncMetadata.objects.filter(entity_id=str(blocked.pk)).update(blocked_fields=blocked_fields)

    screens = [f"{LIST}{conflict.pk}/screen/" for conflict in (first, last)] + [page_of(rejected)]
    assert around(browser, screens[0]) == (screens[1], screens[1])
    assert around(browser, screens[1]) == (screens[0], screens[0]), "its own kind first, in a circle"
    assert around(browser, screens[2]) == (screens[1], screens[0]), "the only one of its kind"
    assert "Resolve, then the conflict" in text_of(browser.get(screens[2]))
    form = {"next": "1", f"seen-{'email'}": json.dumps([REFUSED, GOOD]), "pick-email": "npd"}
    for conflict in (first, last):
        resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
    assert "Resolve, then Home" in text_of(browser.get(screens[2]))
    # The blocked field is no decision on a value, but something waits.
    assert browser.post(screens[2], form)["Location"] == "/admin/"
    home = text_of(browser.get("/admin/"))
    assert ("Both left as they are: Email stays “" in home, "All resolved." in home) == (True, False)


def test_the_walk_does_not_lead_back_to_a_rejected_value_that_was_answered(browser: Client) -> None:
    states.boards()
    first, last = (page_of(rejected_too(name, item)) for name, item in (("Ann", "75"), ("Bea", "76")))
    form = {"next": "1", "seen-email": json.dumps([REFUSED, GOOD]), "pick-email": "custom"}
    answered = browser.post(first, form | {"value-email": "ann@example.org"})
    assert answered["Location"].startswith(f"{last}?")
    # No pass has sent the answer yet.
    assert browser.post(last, form | {"value-email": "bea@example.org"})["Location"] == "/admin/"


def test_the_walk_has_the_order_of_homes_groups(browser: Client) -> None:
    states.boards()
    oldest = conflicting("role", ROLE)
    phones = [conflicting(name, PHONE) for name in ("first", "last")]
    page = browser.get("/admin/").content.decode()
    in_order = [f"{LIST}{conflict.pk}/screen/" for conflict in (*phones, oldest)]
    assert [page.index(url) for url in in_order] == sorted(page.index(url) for url in in_order), (
        "the larger group first"
    )
    for place, url in enumerate(in_order):
        assert around(browser, url)[1] == in_order[(place + 1) % 3]


def test_the_walk_and_its_way_back_keep_the_filters_of_the_list(browser: Client) -> None:
    conflicts = [conflicting(name, PHONE) for name in ("Ann", "Ann Other", "Bea")]
    filters = "?_changelist_filters=q%3DAnn%26state%3Dopen"
    row = browser.get(f"{LIST}?q=Ann&state=open").content.decode()
    assert f'href="{LIST}{conflicts[0].pk}/change/{filters}"' in row
    screens = [f"{LIST}{conflict.pk}/screen/{filters}" for conflict in conflicts[:2]]
    assert browser.get(f"{LIST}{conflicts[0].pk}/change/{filters}")["Location"] == screens[0]
    assert around(browser, screens[0]) == (screens[1], screens[1])
    form = {"next": "1", "seen-phone": json.dumps([PHONE.npd, PHONE.monday]), "pick-phone": "npd"}
    assert browser.post(screens[0], form)["Location"] == f"{screens[1]}&after=conflict:{conflicts[0].pk}"
    # Once none of the list waits, the walk goes over all.
    last = f"{LIST}{conflicts[2].pk}/screen/{filters}"
    assert browser.post(screens[1], form)["Location"].startswith(last)
    assert f'href="{LIST}?q=Ann&amp;state=open"' in browser.get(screens[0]).content.decode()


def names(browser: Client, query: str) -> list[str]:
    rows = browser.get(f"{LIST}?{query}").context["cl"].result_list
    return [row.page_record for row in rows]
