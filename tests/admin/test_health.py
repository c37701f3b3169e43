"""Sync health, the first page: every number is that of its list, and what is wrong is said first."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.admin.board_cards import in_sync_text
from sync.choices import RecordSyncStatus, SyncDirection
from sync.clock import sync_now
from sync.models import ApiBudget, BoardLink, FieldLoop, FieldMapping, LatencyHour, SyncAudit, SyncMetadata, SyncQueue
from sync.outbox import pauses
from sync.records.record_health import RecordState
from tests.admin import states
from tests.admin.queue_pages import finished
from tests.admin.test_records import words_of

HOME = "/admin/"
CONTACTS = "/admin/npd/contact/"


def html_of(client: Client) -> str:
    answer = client.get(HOME)
    assert answer.status_code == 200
    return answer.content.decode()


def text_of(client: Client) -> str:
    return words_of(html_of(client))


def headline_of(client: Client) -> str:
    found = re.search(r'id="npd-health-headline"[^>]*>(.*?)</p>', html_of(client), re.DOTALL)
    assert found
    return words_of(re.sub(r'<span class="material.*?</span>', "", found[1])).strip()


def links(html: str) -> dict[str, int]:
    """The number on each tile, and on each reason below one, by the address behind it."""
    found = re.findall(r'href="(/admin/npd/[^"]*\?health=[^"]*)">(.*?)</a>', html, re.DOTALL)
    return {unescape(url): int(words_of(inner).split()[-1].replace(",", "")) for url, inner in found}


def listed(client: Client, url: str) -> int:
    answer = client.get(url)
    assert answer.status_code == 200
    return len(re.findall(r'<tr class="data-row', answer.content.decode()))


def one_way(name: str, item: str, direction: SyncDirection) -> Contact:
    record = states.contact(name, sync_direction=direction)
    states.mark(record, RecordSyncStatus.SYNCED, item)
    return record


@pytest.fixture
def every_part(world: dict[str, Any]) -> dict[str, Any]:
    """Contacts that stand in every way that there is, some in two at once."""
    one_way("To Monday", "5101", SyncDirection.NPD_TO_MONDAY)
    one_way("To Monday too", "5102", SyncDirection.NPD_TO_MONDAY)
    one_way("To NPD", "5103", SyncDirection.MONDAY_TO_NPD)
    states.contact("No Sync", sync_direction=SyncDirection.NONE)
    states.contact("Off And None", sync_direction=SyncDirection.NONE, sync_enabled=False)
    both = states.dead("Dead and held")
    SyncMetadata.objects.filter(entity_id=str(both.pk)).update(held={"email": {"reason": "Refused."}})
    stuck, _ = states.conflicting("Conflict and held", "5104")
    SyncMetadata.objects.filter(entity_id=str(stuck.pk)).update(held={"email": {"reason": "Refused."}})
    SyncQueue.objects.create(entity_type="organization", entity_id=uuid.uuid4(), status="failed")
    return world


def test_every_tile_and_reason_counts_the_list_behind_it(browser_of_person: Client, every_part: dict[str, Any]) -> None:
    found = links(html_of(browser_of_person))
    contacts = {url.partition("health=")[2]: n for url, n in found.items() if url.startswith(CONTACTS)}
    assert contacts == {
        "synced": 4, "pending": 2, "attention": 5, "off": 3, "paused": 0,
        "sync_off": 2, "no_sync": 1, "to_monday": 2, "to_npd": 1, "conflict": 2, "failed": 2, "blocked": 1,
    }  # fmt: skip
    for url, number in found.items():
        assert listed(browser_of_person, url) == number, url
    # Each record is in exactly one tile.
    groups = ("synced", "pending", "attention", "off", "paused")
    for url, model in ((CONTACTS, Contact), ("/admin/npd/organization/", Organization)):
        assert sum(found[f"{url}?health={group}"] for group in groups) == model._default_manager.count()


def test_a_list_of_all_records_and_one_of_an_unknown_kind_are_whole(
    browser_of_person: Client, every_part: dict[str, Any]
) -> None:
    assert listed(browser_of_person, f"{CONTACTS}?health=nonsense") == Contact.objects.count()
    counted = browser_of_person.get(f"{CONTACTS}?health=attention&_facets=True").content.decode()
    assert "Synced: One way, to Monday (2)" in words_of(counted)


def test_the_share_in_sync_leaves_out_what_is_off_and_is_never_rounded_up() -> None:
    def share(synced: int, *, off: int = 0, pending: int = 0) -> str:
        return in_sync_text({RecordState.SYNCED: synced, RecordState.OFF: off, RecordState.PENDING: pending})

    assert share(3) == "100 % of 3"
    assert share(3, off=1) == "100 % of 3 with sync on"
    assert share(3, off=1, pending=1) == "75 % of 4 with sync on"
    assert share(2003, pending=1) == "99.9 % of 2,004"
    assert share(0, off=2) == ""


# The line that says it all


def test_the_headline_says_what_is_wrong_first(browser_of_person: Client) -> None:
    states.boards()
    states.synced("Ina", "5000")
    assert headline_of(browser_of_person) == "All syncing"
    states.conflicting("Ann", "5001")
    assert headline_of(browser_of_person) == "Syncing; 1 thing needs attention"
    states.dead("Ben")
    assert headline_of(browser_of_person) == "Syncing; 2 things need attention"
    pauses.pause("anna", entity_type="contact", why="Clean-up")
    assert headline_of(browser_of_person) == "Paused: Contacts"
    assert "Contacts: paused Paused by anna since" in text_of(browser_of_person)
    BoardLink.objects.filter(entity_type="organization").update(
        blocked_reason="The board was archived.", blocked_until=sync_now() + timedelta(minutes=1)
    )
    assert headline_of(browser_of_person) == "Stopped: Organizations"


def test_the_button_that_leads_to_the_pause_is_for_who_may_pause(client: Client, world: dict[str, Any]) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    for name in ("view_contact", "view_syncqueue"):
        reader.user_permissions.add(Permission.objects.get(codename=name))
    client.force_login(reader)
    assert "npd-pause" not in html_of(client)
    reader.user_permissions.add(Permission.objects.get(codename="pause_syncqueue"))
    client.force_login(User.objects.get(pk=reader.pk))
    assert 'href="/admin/sync/syncqueue/#npd-pause"' in html_of(client)
    assert '<form id="npd-pause"' in client.get("/admin/sync/syncqueue/").content.decode()


# What needs a person


def test_conflicts_are_told_by_field_and_the_button_opens_the_oldest(browser_of_person: Client) -> None:
    states.boards()
    _, first = states.conflicting("Ann", "5001", "role_title")
    for number in range(3):
        states.conflicting(f"Ben {number}", f"51{number}", "phone")
    SyncConflict.objects.filter(pk=first.pk).update(detected_at=sync_now() - timedelta(days=2))
    _, chosen = states.conflicting("Chosen", "5201", "email")
    SyncConflict.objects.filter(pk=chosen.pk).update(
        choice={"fields": {"email": {"choose": "npd"}}, "by": None}, detected_at=sync_now() - timedelta(days=9)
    )
    html = html_of(browser_of_person)
    assert "4 conflicts to resolve 3 Phone, 1 Role. The oldest waits for 2 days." in words_of(html)
    screen = reverse("admin:conflicts_syncconflict_screen", args=[first.pk])
    assert f'href="{screen}" aria-label="Resolve' in html
    assert browser_of_person.get(screen).status_code == 200


def test_a_field_that_is_rewritten_again_and_again_is_told_with_its_records(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    assert "rewritten again" not in text_of(browser_of_person)
    FieldLoop.objects.create(
        entity_type="contact", entity_id=world["held"].pk, key="phone", by="the automation “Tidy”", damped=1,
        damped_until=sync_now() + timedelta(hours=1), times=[],
    )  # fmt: skip
    FieldLoop.objects.create(
        entity_type="contact", entity_id=world["synced"].pk, key="phone", by="X", times=[],
        damped_until=sync_now() - timedelta(hours=1),
    )  # fmt: skip
    html = html_of(browser_of_person)
    assert "1 field of 1 record rewritten again and again On the board, the automation “Tidy” writes" in words_of(html)
    assert 'href="/admin/sync/boardlink/held/?show=throttled"' in html
    assert "محمد علي" in browser_of_person.get("/admin/sync/boardlink/held/?show=throttled").content.decode()
    url = "/admin/sync/syncmetadata/?held=loop"
    assert listed(browser_of_person, url) == 1
    assert "محمد علي" in browser_of_person.get(url).content.decode()


def test_a_column_that_is_gone_is_told_with_its_board(browser_of_person: Client) -> None:
    links = states.boards()
    FieldMapping.objects.filter(link=links["contact"], key="phone").update(problem="The column is gone.")
    FieldMapping.objects.filter(link=links["contact"], key="email").update(problem="Gone, too.", direction="none")
    html = html_of(browser_of_person)
    assert "Contacts: Phone is blocked The column is gone." in words_of(html)
    assert "Gone, too." not in html
    assert 'href="/admin/sync/boardlink/held/"' in html


def test_dead_letters_are_counted_with_the_newest_reason_and_lead_to_their_rows(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    states.dead("Newer", "Monday refused the name.")
    html = html_of(browser_of_person)
    assert "2 failed jobs The newest: Monday refused the name." in words_of(html)
    assert listed(browser_of_person, "/admin/sync/syncqueue/?status__exact=failed") == 2


def test_nobody_is_told_what_they_may_not_see(client: Client, world: dict[str, Any]) -> None:
    finished(sync_now())
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    client.force_login(reader)
    text = text_of(client)
    assert "There are no records that you may see. An administrator can give you that right." in text
    assert "Contacts" not in text
    assert "jobs done" not in text
    assert "conflict" not in text


# The last 24 hours


def test_the_last_day_is_drawn_said_and_listed_by_board(browser_of_person: Client) -> None:
    states.boards()
    finished(sync_now() - timedelta(hours=2), rows=5)
    html = html_of(browser_of_person)
    found = re.search(r"<h3>Jobs done: Contacts</h3>(.*?)</table>", html, re.DOTALL)
    assert found
    assert "5 jobs done in the last 24 hours; most in one hour: 5" in words_of(found[1])
    assert found[1].count("<rect") == 1
    assert len(re.findall(r"<td>5</td>", found[1])) == 1
    assert 'height="72.0"' in found[1]
    assert "Jobs done: Organizations No job was done in the last 24 hours." in words_of(html)


def on_its_way(hours_ago: int, steps: dict[int, int], direction: str = "to_monday") -> None:
    hour = sync_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    LatencyHour.objects.bulk_create(
        LatencyHour(hour=hour, entity_type="contact", direction=direction, bucket=step, changes=changes)
        for step, changes in steps.items()
    )


def test_how_long_changes_were_on_their_way_is_told_as_median_and_95_percent(browser_of_person: Client) -> None:
    states.boards()
    assert "No change went this way in the last 24 hours." in text_of(browser_of_person)
    on_its_way(1, {1: 90, 9: 5, 20: 5})
    on_its_way(30, {40: 10_000})
    on_its_way(0, {14: 1}, "to_npd")
    text = text_of(browser_of_person)
    told = "100 changes in the last 24 hours: half arrived within 1.1 s, 95 of 100 within 4.7 s."
    assert f"From a save in NPD to the board: {told}" in unescape(html_of(browser_of_person))
    assert "1 change in the last 24 hours, on its way for 12 s." in text
    assert re.search(r"100 1\.1 s 4\.7 s", text)


# Before the set-up, and after it


def test_before_the_set_up_the_page_says_where_to_begin(browser_of_person: Client) -> None:
    html = html_of(browser_of_person)
    assert headline_of(browser_of_person) == "Not set up yet: nothing is synced"
    assert "Get started" in words_of(html)
    assert 'href="/admin/sync/mondayaccount/connect/">Connect Monday, step by step' in html
    assert "Pause…" not in html
    for said in ("Needs attention", "Nothing needs attention", "The last 24 hours"):
        assert said not in words_of(html)
    states.dead("Somehow")
    assert "1 failed job" in text_of(browser_of_person)
    states.boards()
    assert "Get started" not in text_of(browser_of_person)


# What it costs


def test_the_page_takes_at_most_fifteen_queries_however_much_there_is(
    browser_of_person: Client, every_part: dict[str, Any]
) -> None:
    today = sync_now().date()
    limits = {"day_limit": 1000, "minute_limit": 1000, "points_limit": 5_000_000, "day": today, "day_calls": 10}
    ApiBudget.objects.update_or_create(id=1, defaults=limits)
    SyncAudit.objects.create(entity_type="contact", sampled=100, drifted=1)

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            html_of(browser_of_person)
        return len(found)

    few = queries()
    assert few <= 15
    for number in range(20):
        states.conflicting(f"More {number}", f"92{number}")
        states.dead(f"Dead {number}")
        states.held(f"Held {number}", f"93{number}")
        states.candidate(f"94{number}")
        finished(sync_now() - timedelta(hours=number), rows=2)
        on_its_way(number, {number: 3})
    assert queries() <= few
