"""Health, the first page: every number is that of its list, and what is wrong is said first."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from functools import partial
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import attention
from sync.admin.board_cards import in_sync_text
from sync.choices import RecordSyncStatus, SyncDirection
from sync.clock import sync_now
from sync.kernel import humanize
from sync.models import (
    ApiBudget,
    ApprovalRequest,
    BoardLink,
    FieldMapping,
    NotificationReceiver,
    SyncMetadata,
    SyncQueue,
    UnmatchedItem,
    Verification,
    WebhookEvent,
    WriteLoop,
)
from sync.outbox import pauses
from sync.state.record_view import RecordState
from tests.admin import states
from tests.admin.queue_pages import finished
from tests.admin.test_records import words_of
from tests.support.rows import queries_of

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
    return words_of(re.sub(r'<span class="material.*?</span>', "", found[1])).strip() if found else ""


def links(html: str) -> dict[str, int]:
    """The number on each tile, and on each reason below one, by the address behind it."""
    found = re.findall(r'href="(/admin/npd/[^"]*\?health=[^"]*)">(.*?)</a>', html, re.DOTALL)
    number = re.compile(r'class="[^"]*npd-health-count"\s*>([\d,]+)<')
    counts = {unescape(url): number.search(inner) for url, inner in found}
    return {url: int(count[1].replace(",", "")) for url, count in counts.items() if count}


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
    SyncMetadata.objects.filter(entity_id=str(both.pk)).update(blocked_fields={"email": {"reason": "Refused."}})
    stuck, _ = states.conflicting("Conflict and held", "5104")
    SyncMetadata.objects.filter(entity_id=str(stuck.pk)).update(blocked_fields={"email": {"reason": "Refused."}})
    SyncQueue.objects.create(entity_type="organization", entity_id=uuid.uuid4(), status="failed")
    return world


def test_nothing_is_counted_of_which_there_is_none(browser: Client) -> None:
    states.boards()
    states.waiting("Ann")
    found = links(html_of(browser))
    assert found
    assert 0 not in found.values()


def test_every_tile_and_reason_counts_the_list_behind_it(browser: Client, every_part: dict[str, Any]) -> None:
    found = links(html_of(browser))
    contacts = {url.partition("health=")[2]: n for url, n in found.items() if url.startswith(CONTACTS)}
    assert contacts == {
        "synced": 4, "pending": 2, "attention": 5, "off": 3,
        "sync_off": 2, "no_sync": 1, "conflict": 2, "failed": 2, "blocked": 1,
    }  # fmt: skip
    for url, number in found.items():
        assert listed(browser, url) == number, url
    # Each record is in exactly one tile.
    groups = ("synced", "pending", "attention", "off", "paused")
    for url, model in ((CONTACTS, Contact), ("/admin/npd/organization/", Organization)):
        assert sum(found.get(f"{url}?health={group}", 0) for group in groups) == model._default_manager.count()
    assert listed(browser, f"{CONTACTS}?health=nonsense") == Contact.objects.count()
    facets = browser.get(f"{CONTACTS}?health=attention&_facets=True").content.decode()
    assert all(f"{label} (" in words_of(facets) for label in ("Synced", "Pending", "Paused"))


@pytest.mark.usefixtures("told")
def test_what_needs_attention_is_counted_by_records_and_its_lines_add_up(browser: Client) -> None:
    states.boards()
    column_is_gone(6)
    url = f"{CONTACTS}?health=attention"
    assert links(html_of(browser))[url] == 6
    assert "Needs attention 6 Phone blocked 6" in text_of(browser)
    states.dead("Ben")
    assert "Needs attention 7 Failed 1 Phone blocked 6" in text_of(browser)
    SyncMetadata.objects.filter(remote_id="700").update(remote_state="archived", removed_since=sync_now())
    told = text_of(browser)
    assert "Phone is blocked for 6 in all. Failed 1 Removed on Monday 1 Fields blocked by their column 5" in told


def test_one_record_alone_is_named_and_several_are_counted(browser: Client) -> None:
    states.boards()
    states.dead("Ben Best")
    assert "Ben Best: Monday refused the item" in text_of(browser)
    states.dead("Cid")
    assert "2 contacts: Monday refused the item" in text_of(browser)


def test_the_share_in_sync_leaves_out_what_is_off_and_is_never_rounded_up() -> None:
    def share(synced: int, *, off: int = 0, pending: int = 0) -> str:
        return in_sync_text({RecordState.SYNCED: synced, RecordState.OFF: off, RecordState.PENDING: pending})

    assert share(3) == "100 % of 3"
    assert share(3, off=1) == "100 % of 3 with sync on"
    assert share(3, off=1, pending=1) == "75 % of 4 with sync on"
    assert share(2003, pending=1) == "99.9 % of 2,004"
    assert share(0, off=2) == ""


# The line that says it all


def test_the_headline_counts_what_the_inbox_has_or_else_what_stands_below(browser: Client) -> None:
    states.boards()
    person = User.objects.create_user("fay")
    failing = {"frequency": "daily", "failures": 3, "failed_since": sync_now() - timedelta(hours=1)}
    NotificationReceiver.objects.create(user=person, **failing)
    assert headline_of(browser) == "Syncing; 1 thing needs attention"
    for number in range(2):
        states.conflicting(f"Ann {number}", f"500{number}", (number and "phone") or "email")
    assert headline_of(browser) == "Syncing; 3 things need attention"


def test_the_headline_says_what_is_wrong_first(browser: Client) -> None:
    states.boards()
    states.synced("Ina", "5000")
    assert headline_of(browser) == "All synced"
    states.conflicting("Ann", "5001")
    assert headline_of(browser) == "Syncing; 1 thing needs attention"
    states.dead("Ben")
    assert headline_of(browser) == "Syncing; 2 things need attention"
    pauses.pause("anna", entity_type="contact", why="Clean-up")
    assert headline_of(browser) == "2 things need attention"
    states.stop_board()
    assert headline_of(browser).startswith("Sync of Organizations is stopped:")
    assert "2 things need attention." in text_of(browser)
    assert "Sync of Organizations is stopped: The board was archived." in text_of(browser)


def test_the_headline_names_the_records_where_these_are_more(browser: Client, world: dict[str, Any]) -> None:
    assert headline_of(browser) == "Syncing; 4 things need attention"
    column_is_gone(6)
    assert headline_of(browser) == "Syncing; 5 things need attention: 9 records"


# What needs a person


def test_the_button_of_conflicts_opens_the_oldest(browser: Client) -> None:
    states.boards()
    _, first = states.conflicting("Ann", "5001", "role_title")
    states.conflicting("Ben", "510", "phone")
    SyncConflict.objects.filter(pk=first.pk).update(detected_at=sync_now() - timedelta(days=2))
    _, chosen = states.conflicting("Chosen", "5201", "email")
    SyncConflict.objects.filter(pk=chosen.pk).update(
        resolution={"fields": {"email": {"choose": "npd"}}, "by": None}, detected_at=sync_now() - timedelta(days=9)
    )
    assert 'href="/admin/oldest-conflict/" aria-label="Resolve' in html_of(browser)
    screen = reverse("admin:conflicts_syncconflict_screen", args=[first.pk])
    assert browser.get("/admin/oldest-conflict/", follow=True).redirect_chain == [(screen, 302)]
    SyncConflict.objects.all().delete()
    assert browser.get("/admin/oldest-conflict/").url == "/admin/conflicts/syncconflict/"


def test_a_field_that_is_rewritten_again_and_again_is_told_with_its_records(
    browser: Client, world: dict[str, Any]
) -> None:
    WriteLoop.objects.create(
        entity_type="contact", entity_id=world["held"].pk, key="phone", by="the automation “Tidy”", throttle_count=1,
        throttled_until=sync_now() + timedelta(hours=1), times=[],
    )  # fmt: skip
    WriteLoop.objects.create(
        entity_type="contact", entity_id=world["synced"].pk, key="phone", by="X", times=[],
        throttled_until=sync_now() - timedelta(hours=1),
    )  # fmt: skip
    assert 'href="/admin/inbox/?kind=blocked"' in html_of(browser)
    assert "محمد علي" in browser.get("/admin/inbox/?kind=blocked").content.decode()


def column_is_gone(records: int) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="phone").update(problem="The column is gone.")
    for number in range(records):
        gone = states.held(f"Gone {number}", f"70{number}")
        fields = {"phone": {"code": "column", "side": "npd", "reason": "The column is gone."}}
        SyncMetadata.objects.filter(entity_id=gone.pk).update(blocked_fields=fields)


def test_superusers_are_told_that_nobody_is_told(browser: Client, world: dict[str, Any]) -> None:
    advice = ("wait", "Notifications")
    said = headline_of(browser)
    assert advice in tasks_of(browser)
    assert 'href="/admin/notifications/"' in html_of(browser).partition("npd-tasks")[2]
    receiver = NotificationReceiver.objects.create(user=User.objects.get(username="dora"))
    assert advice in tasks_of(browser)  # off
    NotificationReceiver.objects.filter(pk=receiver.pk).update(frequency="daily")
    assert advice not in tasks_of(browser)
    assert headline_of(browser) == said


@pytest.mark.usefixtures("told")
def test_a_column_that_blocks_records_is_one_thing_beside_other_blocked_fields(browser: Client) -> None:
    states.boards()
    FieldMapping.objects.filter(link__entity_type="contact", key="email").update(problem="Gone.", direction="none")
    column_is_gone(2)
    assert tasks_of(browser) == [("warn", "Blocked")]
    assert "2 contacts: The column is gone." in text_of(browser)
    listed_words = words_of(browser.get(CONTACTS).content.decode())
    assert "Phone is blocked for 2 contacts: a column on Monday can't be used." in listed_words
    assert re.search(r"Gone 0 .* Column .*Gone 1 ", listed_words)
    assert headline_of(browser) == "Syncing; 1 thing needs attention: 2 records"
    states.held("Other", "702")
    assert tasks_of(browser) == [("warn", "Blocked")]
    assert headline_of(browser) == "Syncing; 2 things need attention: 3 records"
    # Of these two, one is removed on Monday as well: both are said.
    gone = SyncMetadata.objects.filter(remote_id="700")
    gone.update(remote_state="archived", removed_since=sync_now())
    html = html_of(browser)
    assert {f"{CONTACTS}?health=gone": 1, f"{CONTACTS}?health=column": 1}.items() <= links(html).items()
    assert "Phone is blocked for 2 in all." in words_of(html)
    assert "Show the other 2" in words_of(browser.get(CONTACTS).content.decode())
    assert listed(browser, f"{CONTACTS}?health=conflict,failed,approval,gone,blocked") == 2


def test_nobody_is_told_what_they_may_not_see(client: Client, world: dict[str, Any]) -> None:
    finished(sync_now())
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    client.force_login(reader)
    NotificationReceiver.objects.create(
        user=reader, frequency="daily", failed_since=sync_now(), problem="The address is gone."
    )
    text = text_of(client)
    assert "Notifications failing" not in text
    assert "There are no records that you may see. An administrator can give you that right." in text
    assert "Contacts" not in text
    assert "jobs done" not in text
    assert "conflict" not in text


# What comes first, and what is red


def tasks_of(client: Client) -> list[tuple[str, str]]:
    """The lines of what needs attention, in their order: colour and words."""
    listed = re.findall(r'<ul class="npd-tasks">(.*?)</ul>', html_of(client), re.DOTALL)
    assert listed
    task = r'<li>\s*<span class="npd-badge npd-badge-(\w+)">.*?</span>(.*?)</span>'
    found = re.findall(task, "".join(listed), re.DOTALL)
    return [(colour, words_of(text).strip()) for colour, text in found]


@pytest.mark.usefixtures("told")
def test_the_gravest_comes_first_what_failed_is_red_and_what_is_stopped_is_said_above_the_page(
    browser: Client, world: dict[str, Any]
) -> None:
    for name, held in (
        ("synced", {"phone": {"reason": "It waits.", "code": "relation", "side": "npd"}}),
        ("held", {"email": {"reason": "Monday rejects it.", "side": "monday"}}),
    ):
        SyncMetadata.objects.filter(entity_id=str(world[name].pk)).update(blocked_fields=held)
    ApprovalRequest.objects.create(
        entity_type="contact", entity_id=world["synced"].pk, kind="items", state="pending", key="k", label="x"
    )
    states.removed("Gone", "5040")
    column_is_gone(6)
    pauses.pause("anna", entity_type="contact")
    states.stop_board()
    assert tasks_of(browser) == [
        ("bad", "Failed"),
        ("warn", "Approvals"),
        ("warn", "Removed on Monday"),
        ("warn", "Conflicts"),
        ("warn", "Rejected by Monday"),
        ("warn", "Blocked"),
        ("warn", "Unmatched items"),
    ]


def test_an_item_that_is_the_only_one_of_its_cause_is_named(browser: Client) -> None:
    states.boards()
    item = {"entity_type": "contact", "reason_code": "no_key_yet", "details": {"label": "email"}}
    UnmatchedItem.objects.create(item_id="7001", name="Met at the fair", **item)
    assert "“Met at the fair”: " in text_of(browser)
    UnmatchedItem.objects.create(item_id="7002", name="Another", **item)
    assert "“Met at the fair”" not in text_of(browser)
    assert "2 items: " in text_of(browser)


def test_a_pause_of_everything_is_what_the_page_says_first_and_can_end(browser: Client) -> None:
    states.boards()
    pauses.pause("anna", entity_type="", why="Clean-up.")
    assert headline_of(browser).startswith("Sync is paused by anna since ")
    states.conflicting("Ann", "5001")
    html = html_of(browser)
    assert "1 thing needs attention." in words_of(html)
    assert html.count('aria-label="Resume: ') == 1, "in the first card, and not above it once more"
    assert html.index('id="npd-health-headline"') < html.index('aria-label="Resume: ')


@pytest.mark.usefixtures("told")
def test_each_line_says_how_old_its_oldest_is_and_leads_to_as_many_as_it_counts(
    browser: Client, every_part: dict[str, Any]
) -> None:
    since = (sync_now() - timedelta(days=3)).isoformat()
    for name, side in (("Old", "monday"), ("Older", "monday"), ("Stuck", "npd")):
        field = {"reason": "No.", "side": side, "code": "unknown", "since": since}
        SyncMetadata.objects.filter(entity_id=states.held(name, name).pk).update(blocked_fields={"email": field})
    tasks = [task for _, group in browser.get(HOME).context["task_groups"] for task in group]
    ages = {task.label: task.age for task in tasks}
    assert ages["Rejected by Monday"] == ages["Blocked"] == "Oldest 3 days ago"
    assert all(ages.values())
    counts = {str(kind.label): number for kind, number in attention.counts().items() if number}
    listed = {task.label: task.url.replace("/admin/oldest-conflict/", "/admin/inbox/?kind=conflict") for task in tasks}
    assert {label: browser.get(url).context["matching"] for label, url in listed.items()} == counts


# The API quota


def test_the_first_card_says_how_much_of_the_quota_is_used_where_that_is_much(browser: Client) -> None:
    states.boards()

    def quota_of(**row: Any) -> str:
        ApiBudget.objects.update_or_create(
            id=1, defaults={"day": sync_now().date(), "minute_calls": 0, "points": 0, **row}
        )
        return html_of(browser).partition("npd-health-quota")[2].partition("</p>")[0]

    assert quota_of(day_calls=20, others_calls=0) == ""
    assert quota_of(day_limit=1_000) == "", "far from its end it is no news"
    reported = quota_of(others_calls=680, reported_at=sync_now() - timedelta(minutes=8))
    assert "700 of today" in reported
    assert "own figure is 8 minutes old" in unescape(reported)
    assert "700 of" not in quota_of(refused_at=sync_now()).partition("last figure")[0]


# Before the set-up, and after it


def test_when_all_was_verified_names_the_board_for_which_that_is_the_longest_ago(browser: Client) -> None:
    states.boards()
    for entity_type, minutes, said in (
        ("contact", 4, "Oldest: Organizations, not verified yet."),
        ("organization", 180, "Oldest: Organizations, 3 hours ago."),
        ("organization", 4, "10 of 10 checked records were the same on both sides."),
    ):
        at = sync_now() - timedelta(minutes=minutes)
        Verification.objects.create(entity_type=entity_type, compared=5, differed=0, at=at)
        assert said in text_of(browser)
    # Beside what needs attention it isn't said of all.
    states.dead("Ann")
    assert said not in text_of(browser)


# What is so of a board now


def facts_of(client: Client, board: str = "Contacts") -> dict[str, str]:
    section = (
        html_of(client).partition(f'<section class="npd-card" aria-label="{board}">')[2].partition("</section>")[0]
    )
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", section, re.DOTALL)
    return {words_of(label).strip(): words_of(words).strip() for label, words in found}


def test_each_board_says_what_is_so_now(browser: Client) -> None:
    links = states.boards()
    now, board = sync_now(), links["contact"].board_id
    BoardLink.objects.update(webhooks={"create_item": "1"}, shape={"checked_at": now.isoformat()})
    states.synced("Ina", "5000")
    checked = f"{humanize.time_of_day(now)} Check now"
    assert facts_of(browser) == {
        "Last heard from Monday": "none yet", "Columns checked": checked, "Verified": "not yet; it is done every night",
    }  # fmt: skip
    states.dead("Ben")
    waits = states.contact("Cid")
    SyncQueue.objects.create(entity_type="contact", entity_id=waits.pk, attempts=3, error_message="No room.", causes=1)
    SyncQueue.objects.update(created_at=now - timedelta(minutes=20))
    for number in range(3):
        states.removed(f"Gone {number}", f"51{number}")
    for minutes, told_by in ((90, "one"), (30, "two"), (1, "log:3"), (1, "four")):
        WebhookEvent.objects.create(
            board_id=board, trigger_id=told_by, type="touched" if told_by == "four" else "update_name", body={},
            received_at=now - timedelta(minutes=minutes),
        )  # fmt: skip
    WebhookEvent.objects.create(board_id="another", trigger_id="five", type="update_name", body={}, received_at=now)
    Verification.objects.create(entity_type="contact", compared=2_000, differed=0, at=now - timedelta(hours=3))
    assert facts_of(browser) == {
        "Oldest edit not synced": "20 minutes", "Last heard from Monday": "30 minutes ago", "Columns checked": checked,
        "Verified": "3 hours ago, 2,000 of 2,000 the same",
    }  # fmt: skip
    assert 'href="/admin/inbox/?kind=removed"' in html_of(browser)
    states.ledger(
        states.contact("Eve", sync_status="pending"), "completed",
        blocked_fields={"email": {"reason": "No.", "side": "monday", "since": str(now - timedelta(minutes=25))}},
    )  # fmt: skip
    assert facts_of(browser)["Oldest edit not synced"] == "25 minutes, rejected"
    Verification.objects.create(entity_type="contact", compared=2_000, differed=2, at=now)
    assert facts_of(browser)["Verified"].endswith("2 of 2,000 differed")


# What it costs


def test_the_page_takes_at_most_twenty_eight_queries_however_much_there_is(
    browser: Client, every_part: dict[str, Any]
) -> None:
    today = sync_now().date()
    limits = {"day_limit": 1000, "minute_limit": 1000, "points_limit": 5_000_000, "day": today, "day_calls": 10}
    ApiBudget.objects.update_or_create(id=1, defaults=limits)
    Verification.objects.create(entity_type="contact", compared=100, differed=1)

    queries = partial(queries_of, lambda: html_of(browser))
    queries()  # a session's first page also writes the session down
    few = queries()
    assert few <= 28
    for number in range(20):
        states.conflicting(f"More {number}", f"92{number}")
        states.dead(f"Dead {number}")
        states.held(f"Held {number}", f"93{number}")
        states.candidate(f"94{number}")
        finished(sync_now() - timedelta(hours=number), rows=2)
    assert queries() <= few


def test_who_may_only_look_is_offered_no_act(client: Client, world: dict[str, Any]) -> None:
    viewer = User.objects.create_user("vera", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    BoardLink.objects.update(shape={"checked_at": sync_now().isoformat()})
    offered, checks = [], []
    for user in (viewer, User.objects.create_superuser("root")):
        client.force_login(user)
        tasks = html_of(client).partition("npd-tasks")[2].partition("</ul>")[0]
        checks.append("Check now" in facts_of(client)["Columns checked"])
        offered.append(set(re.findall(r'aria-label="(\w+)', tasks)))
    assert "Resolve" in offered[1]
    assert offered[0] <= {"Open", "See"}
    assert checks == [False, True]
