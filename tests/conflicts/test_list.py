"""The list of conflicts: counters by field, filters; and few queries of list and screens, however much they show."""

import html
import json
import re
from typing import Any

import pghistory
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from conflicts.models import OPEN_FIRST, SyncConflict
from conflicts.resolution import resolve
from npd.models import Contact, Organization
from sync.models import SyncMetadata
from tests.admin import states
from tests.conflicts.conftest import GOOD, PHONE, REFUSED, ROLE, conflict_of, finding, record, rejected_too, values_seen
from tests.conflicts.test_about_record import AGAIN, gone, identity_report
from tests.conflicts.test_refused import page_of
from tests.conflicts.test_screen import LIST, form, screen, text_of

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
    """The addresses of the cases before and after this one."""
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
    assert "Resolve, next: conflict" in text_of(browser.get(screens[2]))
    form = {"next": "1", f"seen-{'email'}": json.dumps([REFUSED, GOOD]), "pick-email": "npd"}
    for conflict in (first, last):
        resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
    assert "Resolve, then Home" in text_of(browser.get(screens[2]))
    # The blocked field is no decision on a value.
    assert browser.post(screens[2], form)["Location"] == "/admin/"
    assert "All resolved. Both left as they are: Email stays “" in text_of(browser.get("/admin/"))


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


def names(browser: Client, query: str) -> list[str]:
    rows = browser.get(f"{LIST}?{query}").context["cl"].result_list
    return [row.page_record for row in rows]


def test_counts_and_pages_of_the_list_are_read_by_their_indexes(api: APIClient) -> None:
    """By the planner's own word, told that a scan of the table is dear: with a volatile bound it had no choice."""
    with CaptureQueriesContext(connection) as sent:
        api.get("/api/v1/sync/conflicts/stats")
    [counted] = [query["sql"] for query in sent.captured_queries if '"resolved_at" >=' in query["sql"]]
    assert re.search(r"Index Cond: \(+resolved_at >= ", explained(counted))
    page = explained(str(SyncConflict.objects.order_by(*OPEN_FIRST).query))
    assert "sync_conflicts_in_order" in page
    assert "Sort" not in page


def explained(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(row[0] for row in cursor.fetchall())


# What a screen costs.


RAW = {"local": {"phone": "1"}, "remote": "2", "base": None}


def opened(client: Client, contact: Contact, kind: str) -> SyncConflict:
    about = {"gone": gone(contact, ROLE, options=[AGAIN]), "identity": identity_report(contact)}
    record(about.get(kind) or finding(contact, PHONE, ROLE))
    conflict = conflict_of(contact)
    if kind in ("applying", "settled"):
        client.post(screen(conflict), form(PHONE, ROLE, pick__phone="monday", pick__role_title="npd"))
    if kind == "settled":
        applied = {"phone": PHONE.monday, "role_title": ROLE.npd}
        record(finding(contact, applied=applied, inverse={"phone": {"before": RAW, "after": RAW}}))
    return conflict


@pytest.mark.parametrize("kind", ["fields", "applying", "settled", "gone", "identity"])
def test_a_screen_with_all_that_it_can_tell_asks_at_most_seventeen_times(
    client: Client, ada: User, kind: str, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.MONDAY_API_KEY = "a-key"
    states.boards()
    client.force_login(ada)
    navy = Organization.objects.create(name="Navy")
    contact = Contact.objects.create(name="Grace", monday_id="71", organization=navy)
    with pghistory.context(user=ada.pk):
        Contact.objects.filter(pk=contact.pk).update(phone=PHONE.npd, role_title=ROLE.npd)
    agreed = states.agreed(contact, "71")
    base = {key: agreed[key] for key in ("name", "email", "notes")}
    SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), base=base, blocked_fields={}, altered={}
    )
    before = Contact.objects.create(name="Before", monday_id="72")
    record(finding(before, PHONE))
    record(finding(Contact.objects.create(name="After", monday_id="73"), PHONE))
    conflict = opened(client, contact, kind)
    url = f"{screen(conflict)}?after=conflict:{conflict_of(before).pk}"
    client.get(url)  # a session's first page writes it down
    with django_assert_max_num_queries(17):
        assert client.get(url).status_code == 200
