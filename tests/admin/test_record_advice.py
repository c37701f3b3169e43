"""A record says what to do: one primary act in each state that is not in sync, and the field concerned is marked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from npd.models import Contact
from sync.choices import QueueStatus, RecordSyncStatus
from sync.clock import sync_now
from sync.kernel import humanize
from sync.models import ApprovalRequest, BoardLink, FieldMapping, IgnoredItem, SyncMetadata, SyncQueue
from sync.outbox import pauses
from tests.admin import states
from tests.admin.test_record_panel import posted
from tests.admin.test_records import change_page, words_of
from tests.conflicts.conftest import rejected_too
from tests.conflicts.test_about_record import AGAIN, gone
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
BLOCKED = {"phone": {"reason": "The column is gone.", "side": "npd", "code": "column"}}


def acts_of(client: Client, record: Any) -> list[str]:
    """The codes of the panel's acts, the primary one first; there is exactly one primary among them."""
    html = client.get(change_page(record)).content.decode()
    panel = html[html.index('id="npd-state"') :]
    panel = panel[: panel.index("</section>")]
    found = re.findall(r'class="npd-(?:menu-item|button)( npd-button-main)?"[^>]*?data-act="(\w+)"', panel)
    assert panel.count("npd-button-main") == (1 if found else 0)
    assert [bool(main) for main, _ in found] == [number == 0 for number in range(len(found))]
    return [code for _, code in found]


def removed(name: str, item: str, state: str, **values: Any) -> Contact:
    """A contact whose item has left its board, as a pass has found it."""
    made = states.contact(name, **values)
    states.mark(made, RecordSyncStatus.PENDING, item)
    states.ledger(
        made, "pending", remote_state=state, removed_since=sync_now(), note="The item was archived on Monday."
    )
    return made


def asked(name: str, item: str) -> Contact:
    """The same, of which a person is asked by now."""
    from tests.conflicts.conftest import record

    made = removed(name, item, "archived")
    record(gone(made, options=[AGAIN]))
    states.mark(made, RecordSyncStatus.CONFLICT, item)
    return made


def unlinked(name: str) -> Contact:
    made = states.disabled(name)
    IgnoredItem.objects.create(entity_type="contact", item_id="99", entity_id=made.pk, reason="x", unlinked=True)
    return made


def awaiting_approval(name: str) -> Contact:
    made = states.contact(name)
    states.ledger(made, "pending")
    ApprovalRequest.objects.create(
        entity_type="contact", entity_id=made.pk, kind="records", state="pending", label=name
    )
    return made


def blocked(name: str) -> Contact:
    FieldMapping.objects.filter(key="phone").update(problem="The column is gone.")
    made = states.contact(name)
    states.ledger(made, "completed", blocked_fields=BLOCKED)
    return made


def without_column(name: str) -> Contact:
    made = blocked(name)
    FieldMapping.objects.filter(key="phone").update(problem_code="missing")
    return made


def both_problems(name: str, item: str) -> Contact:
    made = rejected_too(name, item)
    row = SyncMetadata.objects.get(entity_id=str(made.pk))
    row.blocked_fields |= BLOCKED
    row.save(update_fields=["blocked_fields"])
    return marked_pending(made, item)


def marked_pending(made: Contact, item: str) -> Contact:
    states.mark(made, RecordSyncStatus.PENDING, item)
    return made


STATES: dict[str, tuple[Any, list[str]]] = {
    "synced": (lambda: states.synced("A", "1"), []),
    "pending": (lambda: states.waiting("A"), []),
    "pending from Monday alone": (lambda: states.contact("A", sync_direction="monday_to_npd"), []),
    "conflict": (lambda: states.conflicting("A", "1")[0], ["resolve"]),
    "failed": (lambda: states.dead("A"), ["retry"]),
    "rejected value": (lambda: marked_pending(rejected_too("A", "1"), "1"), ["fix"]),
    "blocked field": (lambda: blocked("A"), ["unblock"]),
    "deleted column": (lambda: without_column("A"), ["map_field"]),
    "rejected and blocked": (lambda: both_problems("A", "1"), ["fix", "unblock"]),
    "item archived": (lambda: removed("A", "1", "archived"), ["restore", "create_again"]),
    "item deleted": (lambda: removed("A", "1", "deleted"), ["restore", "create_again"]),
    "item on another board": (lambda: removed("A", "1", "moved"), ["create_again"]),
    "item not shown": (lambda: removed("A", "1", "missing"), []),
    "item archived, mirrored from Monday": (
        lambda: removed("A", "1", "archived", sync_direction="monday_to_npd"),
        ["restore"],
    ),
    "asked about an archived item": (lambda: asked("A", "1"), ["resolve"]),
    "approval": (lambda: awaiting_approval("A"), ["approve"]),
    "sync off": (lambda: states.disabled("A"), ["switch_on"]),
    "unlinked": (lambda: unlinked("A"), ["switch_on", "link_again"]),
    "no direction": (lambda: states.contact("A", sync_direction="none"), ["sync_both_ways"]),
}


@pytest.mark.parametrize("state", STATES)
def test_in_each_state_one_act_is_primary_and_is_the_one_that_helps(browser: Client, state: str) -> None:
    make, expected = STATES[state]
    states.boards()
    assert acts_of(browser, make()) == expected


@pytest.mark.parametrize(
    ("policy", "then"),
    [
        ("ask", "you are asked here."),
        ("unlink", "the record is unlinked, as the board's setting says; if it was edited since, you are asked here."),
    ],
)
def test_a_removed_item_says_until_when_it_may_come_back(browser: Client, policy: str, then: str) -> None:
    states.boards()
    BoardLink.objects.update(removed_item_policy=policy)
    made = states.synced("Ann", "51")
    states.mark(made, RecordSyncStatus.PENDING, "51")
    SyncMetadata.objects.filter(entity_id=str(made.pk)).update(remote_state="archived", removed_since=sync_now())
    until = humanize.due_time(SyncMetadata.objects.get().removed_since + timedelta(minutes=10))
    page = words_of(browser.get(change_page(made)).content.decode())
    assert f"If the item comes back until {until}, nothing happens; then {then}" in page
    assert "Next attempt" not in page


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ((), {}),
        (("change_contact",), {"failed": ["retry"], "rejected value": ["fix"], "sync off": ["switch_on"]}),
        (("view_syncconflict",), {"conflict": ["resolve"], "rejected value": ["fix"]}),
        (("view_syncmetadata",), {"blocked field": ["unblock"], "deleted column": ["unblock"]}),
        (("change_boardlink", "change_fieldmapping"), {"deleted column": ["map_field"]}),
        (("retry_syncqueue",), {"failed": ["retry"]}),
    ],
)
def test_who_may_less_is_offered_less(client: Client, rights: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    states.boards()
    client.force_login(staff_who_may("view_contact", *rights))
    for state in ("conflict", "failed", "rejected value", "blocked field", "deleted column", "sync off"):
        record = STATES[state][0]()
        assert acts_of(client, record) == expected.get(state, []), state
        Contact.objects.all().delete()


def sync_now_of(client: Client, record: Any) -> str:
    """The start tag of the button “Sync now”."""
    html = client.get(change_page(record)).content.decode()
    return re.findall(r"<button[^>]*>", html[: html.index("Sync now")])[-1]


def test_sync_now_has_one_place_and_look_and_can_not_be_pressed_while_a_pause_holds_it(browser: Client) -> None:
    states.boards()
    records = states.synced("A", "1"), states.waiting("B")
    [free] = {" ".join(sync_now_of(browser, one).split()) for one in records}
    assert free == '<button class="npd-button" type="submit" >'
    pauses.pause("maya", entity_type="contact")
    for one in records:
        assert "disabled title" in sync_now_of(browser, one)


def test_a_failed_record_is_retried_from_its_page(browser: Client, world: dict[str, Any]) -> None:
    record = world["dead"]
    assert "is tried again now" in posted(browser, record, "retry")
    states_of_jobs = SyncQueue.objects.filter(entity_id=record.pk).values_list("status", flat=True)
    assert QueueStatus.PENDING in states_of_jobs
    assert QueueStatus.FAILED not in states_of_jobs
    assert "has no failed job any more" in posted(browser, record, "retry")


def test_a_mark_escapes_what_it_says(browser: Client) -> None:
    states.boards()
    record = blocked("A")
    held = {"phone": BLOCKED["phone"] | {"reason": "<script>alert(1)</script>"}}
    SyncMetadata.objects.filter(entity_id=str(record.pk)).update(blocked_fields=held)
    html = browser.get(change_page(record)).content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_items_creation_asks_first_and_only_where_there_was_one(browser: Client, world: dict[str, Any]) -> None:
    record = removed("Gone", "5555", "archived")
    before = SyncQueue.objects.filter(entity_id=record.pk).count()
    assert "Create the item of “Gone” again?" in posted(browser, record, "create_again")
    assert SyncQueue.objects.filter(entity_id=record.pk).count() == before
    assert "is created again now" in posted(browser, record, "create_again", confirmed="yes")
    assert SyncQueue.objects.get(entity_id=record.pk).payload == {"recreate": True, "by": "dora"}
    without = world["waiting"]
    assert "so none is created again" in posted(browser, without, "create_again", confirmed="yes")
