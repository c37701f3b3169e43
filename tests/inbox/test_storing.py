"""What becomes of an accepted delivery: an inbox row and a wake-up, in one transaction."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from npd.models import Contact, Organization
from sync.choices import Cause
from sync.clock import sync_now
from sync.models import BoardLink, SyncQueue, WebhookEvent
from tests.inbox.conftest import BOARD, PATH_TOKEN, WITH_TOKEN, Answer, answer_of, body, raw

ITEM = "7786784003"


def take(delivery: bytes) -> Answer:
    return answer_of(delivery, authorization=None, path_token=PATH_TOKEN, path=WITH_TOKEN)


@pytest.fixture
def linked() -> Contact:
    contact = Contact.objects.create(name="Ada")
    Contact.objects.filter(pk=contact.pk).update(monday_id=ITEM)
    SyncQueue.objects.all().delete()
    return contact


def test_an_event_of_a_linked_item_wakes_its_record(
    linked: Contact, woken: list[str], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert take(raw())[0] == 200
        assert woken == []
    row = SyncQueue.objects.get()
    assert (row.entity_type, row.entity_id, row.direction) == ("contact", linked.pk, "to_npd")
    assert row.causes == Cause.WEBHOOK
    assert row.next_retry <= sync_now()
    assert woken == ["contact"]


def test_the_delivery_is_stored_as_received_and_not_weighed(linked: Contact) -> None:
    delivery = body()
    take(json.dumps(delivery).encode())
    event = WebhookEvent.objects.get()
    assert event.trigger_id == delivery["event"]["triggerUuid"]
    assert (event.board_id, event.item_id, event.column_id, event.type) == (BOARD, ITEM, "email", "update_column_value")
    assert event.body == delivery
    assert (event.processed_at, event.outcome) == (None, "")


def test_a_delivery_happened_when_it_says_so_unless_no_calendar_has_that_time(linked: Contact) -> None:
    take(raw())
    take(raw(triggerTime="0001-01-01T00:00:00+14:00"))
    dated, untold = WebhookEvent.objects.order_by("id")
    assert (dated.happened_at.isoformat(), untold.happened_at) == (
        "2026-02-05T17:56:59.644000+00:00",
        untold.received_at,
    )


def test_an_item_that_no_record_has_becomes_a_candidate_due_in_ten_seconds(woken: list[str]) -> None:
    before = sync_now()
    take(raw())
    row = SyncQueue.objects.get()
    assert (row.entity_type, row.entity_id, row.remote_id) == ("contact", None, ITEM)
    assert timedelta(seconds=9) < row.next_retry - before < timedelta(seconds=11)


@pytest.mark.parametrize("kind", ["archive_pulse", "delete_pulse", "restore_pulse"])
def test_archived_deleted_and_restored_items_bear_their_id_under_another_key(linked: Contact, kind: str) -> None:
    take(raw(type=kind, pulseId=..., columnId=..., itemId=int(ITEM)))
    assert SyncQueue.objects.get().entity_id == linked.pk
    assert WebhookEvent.objects.get().column_id is None


def test_a_delivery_that_comes_again_is_answered_with_200_and_stored_once(linked: Contact) -> None:
    delivery = raw()
    assert take(delivery)[0] == 200
    SyncQueue.objects.all().delete()
    assert take(delivery) == (200, {"received": "again"})
    assert WebhookEvent.objects.count() == 1
    assert not SyncQueue.objects.exists()


def test_a_trigger_id_like_those_of_the_activity_log_is_not_taken(linked: Contact) -> None:
    take(raw(triggerUuid="log:1", triggerTime="no time"))
    assert len(WebhookEvent.objects.get().trigger_id) == 64


def test_one_trigger_may_concern_several_items_columns_and_types(linked: Contact) -> None:
    same = {"triggerUuid": "a" * 32}
    for other in ({}, {"pulseId": 1}, {"columnId": "phone"}, {"type": "update_name", "columnId": ...}):
        take(raw(**same, **other))
    assert WebhookEvent.objects.count() == 4


def test_a_delivery_without_a_trigger_id_is_named_by_its_content(linked: Contact) -> None:
    delivery = raw(triggerUuid=..., type="archive_pulse", columnId=...)
    take(delivery)
    take(delivery)
    take(raw(triggerUuid="x" * 65))
    named = set(WebhookEvent.objects.values_list("trigger_id", flat=True))
    assert hashlib.sha256(delivery).hexdigest() in named
    assert len(named) == 2


def test_a_burst_of_deliveries_for_one_item_makes_its_next_pass_wait(linked: Contact) -> None:
    waits = []
    for _ in range(100):
        SyncQueue.objects.all().delete()
        take(raw())
        received_at = WebhookEvent.objects.latest("id").received_at
        waits.append(round((SyncQueue.objects.get().next_retry - received_at).total_seconds()))
    assert waits == [*[0] * 20, *range(60), *[60] * 20]
    take(raw(pulseId=1))
    assert SyncQueue.objects.get(remote_id="1").next_retry < sync_now() + timedelta(seconds=11), "another item doesn't"


def test_an_event_of_an_unknown_board_is_kept_with_the_reason_and_not_asked_for_again() -> None:
    assert take(raw(boardId=1))[0] == 200
    event = WebhookEvent.objects.get()
    assert "no board link" in event.outcome
    assert event.processed_at is not None
    assert not SyncQueue.objects.exists()


def test_the_board_that_the_environment_names_is_the_one_that_counts(linked: Contact, settings: Settings) -> None:
    settings.MONDAY_CONTACTS_BOARD_ID = "4242"
    take(raw())
    assert "no board link" in WebhookEvent.objects.get().outcome
    assert not SyncQueue.objects.exists()
    take(raw(boardId=4242))
    assert SyncQueue.objects.get().entity_id == linked.pk


def test_an_event_that_concerns_no_record_is_kept_and_wakes_nobody() -> None:
    assert take(raw(type="create_column", pulseId=..., columnId="x"))[0] == 200
    assert "nothing that a record holds" in WebhookEvent.objects.get().outcome
    assert not SyncQueue.objects.exists()


@pytest.mark.parametrize(
    "delivery", [b"", b"\xff", b"{", b"[" * 60_000, b'{"event": NaN}', b'{"event": 1e999}', b"1" * 5_000]
)
def test_what_is_not_json_is_refused(delivery: bytes) -> None:
    status, refusal = take(delivery)
    assert (status, refusal.code) == (400, "not_json")
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize(
    "delivery",
    [
        [],
        {},
        {"event": []},
        {"event": {}},
        body(pulseId=...),
        body(boardId=...),
        body(type=...),
        body(columnId="x" * 51),
        body(pulseId="abc' or 1=1"),
        body(pulseId="٣"),
        body(pulseId="08000000001"),
        body(boardId=0),
        body(type="x" * 51),
    ],
)
def test_json_that_is_no_event_is_refused_in_a_sentence(delivery: Any) -> None:
    status, refusal = take(json.dumps(delivery).encode())
    assert (status, refusal.code) == (400, "not_an_event")
    assert str(refusal).startswith("The webhook's body is not an event. ")
    assert not WebhookEvent.objects.exists()


def test_a_body_over_64_kilobytes_is_refused() -> None:
    assert take(raw(value={"text": "x" * 60_000}))[0] == 200
    status, refusal = take(raw(value={"text": "x" * 64_000}))
    assert (status, refusal.code) == (413, "too_large")


def test_texts_that_jsonb_cannot_hold_are_stored_without_what_it_cannot(linked: Contact) -> None:
    take(raw(value={"te\0xt": "a\0b\ud800c"}))
    assert WebhookEvent.objects.get().body["event"]["value"] == {"text": "ab?c"}
    assert SyncQueue.objects.exists()


@pytest.fixture
def no_room_in_the_queue(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sync_queue ADD CONSTRAINT no_room CHECK (false) NOT VALID")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sync_queue DROP CONSTRAINT no_room")


@pytest.mark.django_db(transaction=True)
def test_without_a_wake_up_the_delivery_is_not_kept(linked: Contact, no_room_in_the_queue: None) -> None:
    with pytest.raises(DatabaseError, match="no_room"):
        take(raw())
    assert not WebhookEvent.objects.exists()


def test_an_item_is_looked_for_only_among_the_records_of_its_board(linked: Contact) -> None:
    BoardLink.objects.create(entity_type="organization", board_id="2", match_key="name")
    organization = Organization.objects.create(name="Novus")
    Organization.objects.filter(pk=organization.pk).update(monday_id=ITEM + "1")
    SyncQueue.objects.all().delete()
    for item in (ITEM, ITEM + "1"):
        take(raw(boardId=2, pulseId=int(item)))
    rows = SyncQueue.objects.order_by("id").values_list("entity_type", "entity_id", "remote_id")
    assert [(kind, key, item) for kind, key, item in rows if key is None] == [("organization", None, ITEM)]
    assert [(kind, key) for kind, key, _ in rows if key] == [("organization", organization.pk)]
