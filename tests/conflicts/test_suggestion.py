"""Three equal decisions for a field suggest a rule, with how often it would have been right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from conflicts.admin.rule_page import field_decisions
from conflicts.bulk_resolution import batch_of_stored
from conflicts.models import SyncConflict
from conflicts.resolution import resolve
from npd.models import Contact
from sync.clock import sync_now
from sync.merge import FieldSelection
from sync.models import FieldMapping, SyncMetadata, SyncQueue, WriteLoop
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, finding, record, seen
from tests.conflicts.test_screen import LIST, screen, text_of
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
SUGGESTED = "Monday's Phone was chosen three times in a row."
QUESTION = "Always use Monday's Phone?"


@pytest.fixture(autouse=True)
def mapping(db: None) -> FieldMapping:
    """Boards with their mappings; the phone's asks a person."""
    states.boards()
    return FieldMapping.objects.get(link__entity_type="contact", key="phone")


def decide(by: User, *sides: str, applied: bool = True, field: Any = PHONE) -> list[SyncConflict]:
    """One conflict after the other is settled so."""
    made = []
    for number, side in enumerate(sides):
        contact = Contact.objects.create(name=f"c{number}", monday_id=f"8{SyncConflict.objects.count()}")
        record(finding(contact, field))
        conflict = SyncConflict.objects.get(entity_id=contact.pk)
        selection = {field.key: FieldSelection(side)}
        resolve(conflict.pk, by=by, resolution_type="merge", selections=selection, seen=seen(field))
        if applied:
            record(finding(contact, applied={field.key: getattr(field, side)}))
        made.append(SyncConflict.objects.get(pk=conflict.pk))
    return made


def rule_page(mapping: FieldMapping) -> str:
    return f"{LIST}rule/{mapping.pk}/"


def rule_of(mapping: FieldMapping) -> str:
    return FieldMapping.objects.get(pk=mapping.pk).rule


@pytest.mark.parametrize("applied", [True, False])
def test_three_equal_decisions_in_a_row_suggest_a_rule_and_say_how_often_it_would_have_matched(
    browser: Client, ada: User, mapping: FieldMapping, applied: bool
) -> None:
    decide(ada, "npd", "monday", "monday", applied=applied)
    assert QUESTION not in text_of(browser.get(LIST))
    decide(ada, "monday", applied=applied)
    page = text_of(browser.get(LIST))
    assert SUGGESTED in page
    assert "In the last 30 days that rule would have matched 3 of 4 resolutions." in page
    assert rule_page(mapping) in browser.get(LIST).content.decode()


def test_other_decisions_old_ones_a_field_with_a_rule_and_one_that_flows_one_way_suggest_nothing(
    browser: Client, ada: User, mapping: FieldMapping
) -> None:
    decide(ada, "monday", "monday", "npd")
    decide(ada, "monday", field=ROLE)
    decide(ada, "base", "base", "base", field=ROLE)
    assert "times in a row" not in text_of(browser.get(LIST))
    decide(ada, "monday", "monday", "monday")
    assert SUGGESTED in text_of(browser.get(LIST))
    FieldMapping.objects.filter(pk=mapping.pk).update(rule="newest")
    assert SUGGESTED not in text_of(browser.get(LIST))
    FieldMapping.objects.filter(pk=mapping.pk).update(rule="ask", direction="to_monday")
    assert SUGGESTED not in text_of(browser.get(LIST))
    FieldMapping.objects.filter(pk=mapping.pk).update(direction="bidirectional")
    SyncConflict.objects.update(resolved_at=sync_now() - timedelta(days=31))
    assert SUGGESTED not in text_of(browser.get(LIST))


def test_what_was_decided_in_bulk_counts_once(browser: Client, ada: User, mapping: FieldMapping) -> None:
    for many in (3, 2):
        batch_of_stored(decide(ada, *["monday"] * many, applied=False), "keep_monday", {}, by=ada)
        assert QUESTION not in text_of(browser.get(LIST))
    decide(ada, "monday")
    assert QUESTION in text_of(browser.get(LIST))
    assert (field_decisions(mapping).total, field_decisions(mapping).monday) == (3, 3)


def test_the_screen_of_a_conflict_about_the_field_suggests_it_too(browser: Client, ada: User) -> None:
    decide(ada, "monday", "monday", "monday")
    contact = Contact.objects.create(name="next", monday_id="7")
    record(finding(contact, PHONE))
    other = Contact.objects.create(name="other", monday_id="6")
    record(finding(other, ROLE))
    assert QUESTION in text_of(browser.get(screen(SyncConflict.objects.get(entity_id=contact.pk))))
    elsewhere = SyncConflict.objects.get(entity_id=other.pk)
    assert QUESTION not in text_of(browser.get(screen(elsewhere)))
    last = SyncConflict.objects.filter(resolved_at__isnull=False).first()
    assert last is not None
    assert QUESTION in text_of(browser.get(f"{screen(elsewhere)}?after={last.pk}"))


def test_it_becomes_a_rule_with_a_line_in_the_log_looks_at_what_waits_and_is_taken_back(
    browser: Client, ada: User, mapping: FieldMapping
) -> None:
    decide(ada, "monday", "monday", "monday")
    contact = Contact.objects.create(name="waits", monday_id="7")
    record(finding(contact, PHONE))
    SyncQueue.objects.all().delete()
    browser.post(rule_page(mapping), {"rule": "monday_wins", "shown": "ask"})
    assert rule_of(mapping) == "monday_wins"
    assert SyncQueue.objects.filter(entity_id=contact.pk, status="pending").exists()
    line = LogEntry.objects.get(change_message__contains="Rule of Phone")
    assert (line.user, line.object_id) == (ada, str(mapping.link_id))
    assert line.change_message == (
        "Rule of Phone: “Ask” became “Monday wins”. It would have matched 3 of 3 resolutions in 30 days."
    )
    browser.post(rule_page(mapping), {"rule": "ask", "shown": "monday_wins"})
    assert rule_of(mapping) == "ask"


def test_what_the_field_blocks_or_throttles_is_reconciled_too_as_from_the_page_of_blocked_fields(
    browser: Client, mapping: FieldMapping
) -> None:
    blocked, throttled = (Contact.objects.create(name=name, monday_id=name) for name in ("71", "72"))
    SyncMetadata.objects.create(
        entity_type="contact",
        entity_id=str(blocked.pk),
        system="monday",
        blocked_fields={"phone": {"reason": "Refused."}},
    )
    WriteLoop.objects.create(
        entity_type="contact", entity_id=throttled.pk, key="phone", throttled_until="2999-01-01T00:00Z"
    )
    SyncQueue.objects.all().delete()
    browser.post(rule_page(mapping), {"rule": "monday_wins", "shown": "ask"})
    waiting = SyncQueue.objects.filter(status="pending").values_list("entity_id", flat=True)
    assert set(waiting) == {blocked.pk, throttled.pk}


def test_a_rule_that_somebody_changed_since_the_page_is_left_alone(browser: Client, mapping: FieldMapping) -> None:
    FieldMapping.objects.filter(pk=mapping.pk).update(rule="newest")
    answer = browser.post(rule_page(mapping), {"rule": "monday_wins", "shown": "ask"}, follow=True)
    assert "“Phone” was changed meanwhile, to “The newer edit wins”" in text_of(answer)
    assert rule_of(mapping) == "newest"


def test_a_rule_that_the_field_cant_follow_is_refused(browser: Client, mapping: FieldMapping) -> None:
    for rule in ("union", ""):
        answer = browser.post(rule_page(mapping), {"rule": rule, "shown": "ask"}, follow=True)
        assert "Nothing was changed: " in text_of(answer)
    assert rule_of(mapping) == "ask"


def test_who_may_settle_conflicts_but_change_no_mapping_sees_no_suggestion_and_no_page(
    client: Client, ada: User, mapping: FieldMapping
) -> None:
    decide(ada, "monday", "monday", "monday")
    client.force_login(staff_who_may("view_syncconflict", "change_syncconflict"))
    assert QUESTION not in text_of(client.get(LIST))
    assert client.get(rule_page(mapping)).status_code == 403
    assert client.post(rule_page(mapping), {"rule": "monday_wins", "shown": "ask"}).status_code == 403
    assert client.post(rule_page(mapping), {"aside": "1"}).status_code == 403
    assert rule_of(mapping) == "ask"
    client.force_login(ada)
    assert QUESTION in text_of(client.get(LIST))


def test_a_suggestion_that_is_put_aside_comes_back_when_three_more_decisions_agree(
    browser: Client, ada: User, mapping: FieldMapping
) -> None:
    decide(ada, "monday", "monday", "monday")
    browser.post(rule_page(mapping), {"aside": "1"})
    assert "Suggest it again" in text_of(browser.get(rule_page(mapping)))
    browser.post(rule_page(mapping), {"again": "1"})
    assert QUESTION in text_of(browser.get(LIST))
    page = browser.post(rule_page(mapping), {"aside": "1"}, follow=True)
    assert QUESTION not in text_of(page)
    assert "put aside" in LogEntry.objects.order_by("-pk")[0].change_message
    decide(ada, "monday", "monday")
    assert QUESTION not in text_of(browser.get(LIST))
    decide(ada, "monday")
    assert QUESTION in text_of(browser.get(LIST))
