"""Each state that isn't in sync has one primary act, and the field concerned is marked."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from npd.models import Contact
from sync.choices import RecordSyncStatus
from sync.clock import sync_now
from sync.kernel import humanize
from sync.models import FieldMapping, IgnoredItem, SyncMetadata
from sync.outbox import pauses
from tests.admin import states
from tests.admin.test_records import change_page, words_of
from tests.conflicts.conftest import rejected_too
from tests.conflicts.test_about_record import AGAIN, gone
from tests.support.people import staff_who_may
from tests.support.words import said

pytestmark = pytest.mark.django_db
BLOCKED = {"phone": {"reason": "The column is gone.", "code": "column"}}


def acts_of(client: Client, record: Any) -> list[str]:
    """The codes of the acts that the panel advises, the only primary one first: not “Sync now” and the rare ones."""
    html = client.get(change_page(record)).content.decode()
    panel = html[html.index('id="npd-state"') :]
    panel = re.sub(r'(?s)<div id="npd-.*?</div>|data-act="sync_now"', "", panel[: panel.index("</section>")])
    acts = re.findall(
        r'class="npd-(?:menu-item|button)( npd-button-main)?(?: npd-button-deletes)?"[^>]*?data-act="(\w+)"', panel
    )
    assert panel.count("npd-button-main") == (1 if acts else 0)
    assert [bool(main) for main, _ in acts] == [number == 0 for number in range(len(acts))]
    return [code for _, code in acts]


def removed(state: str, **values: Any) -> Contact:
    """A contact whose item has left its board, as a pass finds it."""
    return marked_pending(states.removed("A", "1", removal=state, **values), "1")


def asked_about() -> Contact:
    """The same after a person was asked."""
    from tests.conflicts.conftest import record

    contact = removed("archived")
    record(gone(contact, options=[AGAIN]))
    states.mark(contact, RecordSyncStatus.CONFLICT, "1")
    return contact


def unlinked(name: str) -> Contact:
    record = states.disabled(name)
    IgnoredItem.objects.create(
        entity_type="contact", item_id="99", entity_id=record.pk, reason=said("x"), left_alone=True
    )
    return record


def awaiting_approval(name: str) -> Contact:
    record = states.contact(name)
    states.sync_state(record, "pending")
    states.approval(record, "records")
    return record


def blocked(name: str) -> Contact:
    FieldMapping.objects.filter(key="phone").update(problem=said("The column is gone."))
    return states.blocked(name, **BLOCKED)


def invalid(name: str, reason: str = "NPD can't use it.") -> Contact:
    return states.blocked(name, phone={"reason": reason, "code": "invalid"})


def both_problems(name: str, item: str) -> Contact:
    FieldMapping.objects.filter(key="phone").update(problem=said("The column is gone."))
    record = rejected_too(name, item)
    row = SyncMetadata.objects.get(entity_id=str(record.pk))
    row.blocked_fields |= BLOCKED
    row.save(update_fields=["blocked_fields"])
    return marked_pending(record, item)


def marked_pending(record: Contact, item: str) -> Contact:
    states.mark(record, RecordSyncStatus.PENDING, item)
    return record


OF_A_REMOVED_ITEM = ["restore", "create_item", "unlink", "delete_record"]
STATES: dict[str, tuple[Any, list[str]]] = {
    "synced": (lambda: states.synced("A", "1"), []),
    "pending": (lambda: states.waiting("A"), []),
    "pending from Monday alone": (lambda: states.contact("A", sync_direction="monday_to_npd"), []),
    "conflict": (lambda: states.conflicting("A", "1")[0], ["conflict"]),
    "failed": (lambda: states.dead("A"), ["retry", "discard"]),
    "rejected value": (lambda: marked_pending(rejected_too("A", "1"), "1"), ["rejected"]),
    "blocked field": (lambda: blocked("A"), ["map_field", "check_column"]),
    "invalid value": (lambda: invalid("A"), ["retry_field"]),
    "rejected and blocked": (lambda: both_problems("A", "1"), ["rejected", "map_field", "check_column"]),
    "item archived": (lambda: removed("archived"), OF_A_REMOVED_ITEM),
    "item not shown": (lambda: removed("missing"), []),
    "item archived, mirrored from Monday": (
        lambda: removed("archived", sync_direction="monday_to_npd"),
        ["restore", "unlink", "delete_record"],
    ),
    "asked about an archived item": (asked_about, OF_A_REMOVED_ITEM),
    "approval": (lambda: awaiting_approval("A"), ["reject", "approve"]),
    "sync off": (lambda: states.disabled("A"), ["turn_sync_on"]),
    "unlinked": (lambda: unlinked("A"), ["link_again", "turn_sync_on"]),
    "no direction": (lambda: states.contact("A", sync_direction="none"), ["turn_sync_on"]),
}


def test_in_each_state_one_act_is_primary_and_is_the_one_that_helps(browser: Client) -> None:
    states.boards()
    for state, (make, expected) in STATES.items():
        with transaction.atomic():
            assert acts_of(browser, make()) == expected, state
            transaction.set_rollback(True)


def test_a_removed_item_says_until_when_it_may_come_back(browser: Client) -> None:
    states.boards()
    record = states.synced("Ann", "51")
    states.mark(record, RecordSyncStatus.PENDING, "51")
    # Some seconds after a full minute, it is due within the minute that begins ten minutes later.
    since = sync_now().replace(second=10) - timedelta(minutes=1)
    SyncMetadata.objects.filter(entity_id=str(record.pk)).update(remote_state="archived", removed_since=since)
    until = humanize.time_of_day(since + timedelta(minutes=11))
    page = words_of(browser.get(change_page(record)).content.decode())
    sentence = f"Nothing changes until {until}. What is restored on Monday by then is synced as before. After that, "
    assert f"Archived on the board. {sentence}you choose here what happens." in page
    assert "Next attempt" not in page


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ((), {}),
        (("change_contact",), {"sync off": ["turn_sync_on"]}),
        (("view_syncconflict",), {"conflict": ["conflict"], "rejected value": ["rejected"]}),
        (("view_syncmetadata", "change_contact"), {
            "invalid value": ["retry_field"], "blocked field": ["blocked"], "sync off": ["turn_sync_on"],
        }),
        (("view_syncmetadata", "change_boardlink", "change_fieldmapping"), {
            "blocked field": ["map_field", "check_column"], "invalid value": [],
        }),
        (("view_syncqueue", "retry_syncqueue"), {"failed": ["retry"]}),
        (("view_syncconflict", "change_contact", "delete_contact"), {
            "conflict": ["conflict"], "rejected value": ["rejected"], "sync off": ["turn_sync_on"],
            "item archived": OF_A_REMOVED_ITEM,
        }),
    ],
)  # fmt: skip
def test_who_may_less_is_offered_less(client: Client, rights: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    states.boards()
    client.force_login(staff_who_may("view_contact", *rights))
    shown = ("conflict", "failed", "rejected value", "invalid value", "blocked field", "sync off", "item archived")
    for state in shown:
        record = STATES[state][0]()
        assert acts_of(client, record) == expected.get(state, []), state
        Contact.objects.all().delete()


def test_while_a_pause_holds_it_a_record_is_not_synced_now(browser: Client) -> None:
    states.boards()
    page = change_page(states.waiting("B"))
    assert "Sync now" in words_of(browser.get(page).content.decode())
    pauses.pause("maya")
    text = words_of(browser.get(page).content.decode())
    assert ("Sync now" in text, "It is synced as soon as the sync runs again." in text) == (False, True)


def test_why_a_field_is_blocked_is_escaped(browser: Client) -> None:
    states.boards()
    html = browser.get(change_page(invalid("A", "<script>alert(1)</script>"))).content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html
