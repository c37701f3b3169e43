"""The feed of events: what is in it, in which order, and that a reader misses and invents nothing."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.clock import sync_now
from sync.models import FeedEvent, SyncMetadata
from sync.operations.event_feed import READ_AT_ONCE, place_events
from sync.operations.retention import prune
from tests.following.conftest import EVENTS, all_events, conflict_about, user_who_may


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_what_becomes_of_a_record_is_told_with_old_and_new_values_by_the_names_of_its_fields(
    api: APIClient, person: User
) -> None:
    navy = Organization.objects.create(name="Navy")
    made = api.post("/api/v1/contacts/", {"name": "Grace", "organization": str(navy.pk)}, format="json").json()
    api.patch(f"/api/v1/contacts/{made['id']}/", {"phone": "+12025550123", "name": "Grace"}, format="json")
    Contact.objects.filter(pk=made["id"]).update(monday_id="4711", sync_status="synced")
    api.delete(f"/api/v1/contacts/{made['id']}/")
    created, changed, deleted = all_events(api, entity_id=made["id"])
    assert (created["type"], created["entity_type"], created["cause"], created["actor"]) == (
        *("record.created", "contact", "api", "Ada"),
    )
    assert created["changes"]["organization"] == {"old": None, "new": str(navy.pk)}
    assert not {"id", "monday_id", "sync_status", "updated_at"} & set(created["changes"])
    assert (changed["type"], changed["changes"]) == (
        *("record.changed", {"phone": {"old": "", "new": "+12025550123"}}),
    )
    assert (deleted["type"], deleted["changes"]["name"]) == ("record.deleted", {"old": "Grace", "new": None})


def test_changes_past_the_orm_and_many_at_once_are_told_each(api: APIClient) -> None:
    Contact.objects.bulk_create(Contact(name=f"Person {n}") for n in range(3))
    Contact.objects.update(notes="met")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE contacts SET phone = '1' WHERE name = 'Person 1'")
        cursor.execute("UPDATE contacts SET phone = '1' WHERE name = 'Person 1'")
        cursor.execute("DELETE FROM contacts WHERE name <> 'Person 1'")
    found = all_events(api, limit=2)
    assert types(found) == ["record.created"] * 3 + ["record.changed"] * 4 + ["record.deleted"] * 2
    assert len({event["id"] for event in found}) == 9


def test_a_conflict_is_told_when_it_is_opened_resolved_and_opened_again(api: APIClient, person: User) -> None:
    contact = Contact.objects.create(name="Grace")
    conflict = conflict_about(contact)
    SyncConflict.objects.update(notes={"phone": "seen"})
    SyncConflict.objects.update(resolved_at=sync_now(), resolution_type="keep_npd", resolved_by=person)
    SyncConflict.objects.update(resolved_at=None, resolution_type=None)
    opened, resolved, again = all_events(api, types=["conflict.opened", "conflict.resolved"])
    assert types([opened, resolved, again]) == ["conflict.opened", "conflict.resolved", "conflict.opened"]
    assert (opened["entity_id"], opened["changes"]) == (str(contact.pk), {})
    assert resolved["conflict"] == {
        "id": str(conflict.pk), "kind": "fields", "conflict_fields": ["phone"], "resolution_type": "keep_npd"
    }  # fmt: skip
    assert (resolved["actor"], resolved["cause"]) == ("Ada", "person")
    FeedEvent.objects.update(data={})  # as when a person is erased
    assert all_events(api, types="conflict.opened")[0]["conflict"] is None


def test_a_sync_state_is_told_when_it_becomes_another_and_not_at_every_pass(api: APIClient) -> None:
    contact = Contact.objects.create(name="Grace")
    state = SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), sync_status="pending")
    SyncMetadata.objects.create(entity_type="sprint", entity_id="no id of ours")
    for values in ({"sync_status": "completed"}, {"note": "again"}, {"conflicts": {"fields": ["phone"]}}):
        SyncMetadata.objects.filter(pk=state.pk).update(**values)
    found = all_events(api, types="sync_state.changed")
    assert [tuple(event["changes"]["sync_state"].values()) for event in found] == [
        (None, "pending"), ("pending", "synced"), ("synced", "conflict"),
    ]  # fmt: skip
    assert {(event["cause"], event["actor"]) for event in found} == {("sync", "NPD Sync")}


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_committed_after_a_later_one_is_not_passed_over(api: APIClient) -> None:
    settings = connection.settings_dict
    address = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"]}
    insert = "INSERT INTO contacts (id, name) VALUES (gen_random_uuid(), %s)"
    with psycopg.connect(**address, password=settings["PASSWORD"], dbname=settings["NAME"]) as slow:  # type: ignore[arg-type]
        slow.execute(insert, ["Slow"])  # has the lower number
        Contact.objects.create(name="Quick")
        first = api.get(EVENTS).json()
        assert [event["changes"]["name"]["new"] for event in first["results"]] == ["Quick"]
        slow.commit()
        Contact.objects.create(name="Last")
        rest = api.get(EVENTS, {"cursor": first["next_cursor"]}).json()
        assert [event["changes"]["name"]["new"] for event in rest["results"]] == ["Slow", "Last"]
        assert FeedEvent.objects.filter(position=None).count() == 0


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_never_happened(api: APIClient) -> None:
    with transaction.atomic():
        Contact.objects.create(name="Nobody")
        transaction.set_rollback(True)
    assert api.get(EVENTS).json()["results"] == []


def test_a_reader_from_now_gets_what_follows_and_an_empty_page_moves_its_cursor(api: APIClient) -> None:
    Contact.objects.create(name="Before")
    cursor = api.get(EVENTS, {"start": "now"}).json()["next_cursor"]
    Contact.objects.create(name="After")
    none = api.get(EVENTS, {"cursor": cursor, "types": "record.deleted"}).json()
    assert (none["results"], none["has_more"]) == ([], False)
    assert none["next_cursor"] != cursor
    assert [e["changes"]["name"]["new"] for e in all_events(api, cursor=cursor)] == ["After"]
    assert all_events(api, cursor=none["next_cursor"]) == []


def test_old_events_go_with_the_history_and_a_cursor_before_them_is_gone(api: APIClient, settings: Any) -> None:
    start = api.get(EVENTS).json()["next_cursor"]
    for name in ("Old", "Older than a day", "New"):
        Contact.objects.create(name=name)
    old = api.get(EVENTS, {"limit": 1}).json()["next_cursor"]
    older = api.get(EVENTS, {"limit": 2}).json()["next_cursor"]
    FeedEvent.objects.filter(position__lte=2).update(at=sync_now() - timedelta(days=2))
    settings.HISTORY_DAYS = 1
    prune()
    assert FeedEvent.objects.values_list("position", flat=True).get() == 3
    for cursor in (start, old):
        gone = api.get(EVENTS, {"cursor": cursor})
        assert (gone.status_code, gone.json()["code"]) == (410, "cursor_expired")
    assert len(all_events(api, cursor=older)) == 1


def test_events_that_nobody_ever_asked_for_go_with_the_history_too(db: None, settings: Any) -> None:
    for name in ("Old", "Older", "New"):
        Contact.objects.create(name=name)
    last = FeedEvent.objects.latest("id")
    FeedEvent.objects.exclude(pk=last.pk).update(at=sync_now() - timedelta(days=20))
    settings.HISTORY_DAYS = 1
    prune()
    assert FeedEvent.objects.get() == last


def test_deletions_since_a_time_of_which_not_all_is_kept_are_refused(api: APIClient, settings: Any) -> None:
    Contact.objects.create(name="Old")
    place_events()
    FeedEvent.objects.update(at=sync_now() - timedelta(days=20))
    Contact.objects.create(name="New")
    settings.HISTORY_DAYS = 10

    def since(days: int) -> Any:
        return api.get("/api/v1/contacts/deleted/", {"since": (sync_now() - timedelta(days=days)).isoformat()})

    assert since(15).status_code == 200
    prune()
    assert (since(15).status_code, since(15).json()["code"]) == (410, "since_expired")
    assert since(5).status_code == 200


def test_the_newest_event_is_kept_so_that_places_are_never_given_twice(api: APIClient, settings: Any) -> None:
    Contact.objects.create(name="Old")
    place_events()
    FeedEvent.objects.update(at=sync_now() - timedelta(days=20))
    settings.HISTORY_DAYS = 1
    prune()
    assert FeedEvent.objects.count() == 1


def test_a_cursor_from_after_the_backup_that_was_restored_is_refused(api: APIClient) -> None:
    Contact.objects.create(name="In the backup")
    place_events()
    Contact.objects.create(name="After it")
    lost = api.get(EVENTS).json()["next_cursor"]
    FeedEvent.objects.filter(position=2).delete()
    assert api.get(EVENTS, {"cursor": lost}).json()["code"] == "cursor_unknown"
    Contact.objects.create(name="After the restore")
    assert api.get(EVENTS, {"cursor": lost}).json()["code"] == "cursor_unknown"


def test_a_page_without_what_is_asked_for_leads_on_to_where_it_is(api: APIClient) -> None:
    with connection.cursor() as cursor:  # the begin of the feed went with the history
        cursor.execute(
            "INSERT INTO sync_events (position, type, entity_type, entity_id) SELECT 7000 + n, 'record.changed',"
            " 'contact', gen_random_uuid() FROM generate_series(1, %s) AS n",
            [READ_AT_ONCE + 1],
        )
    Organization.objects.create(name="Navy")
    page = api.get(EVENTS, {"entity_type": "organization"}).json()
    assert (page["results"], page["has_more"]) == ([], True)
    assert types(all_events(api, entity_type="organization")) == ["record.created"]
    assert types(all_events(api, entity_type="organization", cursor=page["next_cursor"])) == ["record.created"]
    assert len(all_events(api, cursor=page["next_cursor"])) == 2


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": "0"}, {"limit": "501"}, {"limit": "abc"}, {"types": "record.exploded"}, {"cursor": "%%%"}),
        *({"cursor": "MTIz"}, {"cursor": ""}, {"start": "then"}, {"entity_type": "sprint"}, {"entity_id": "1"}),
        *({"typ": "x"}, {"cursor": "MDo", "start": "now"}, {"cursor": "ä"}),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(api: APIClient, query: dict[str, str]) -> None:
    answer = api.get(EVENTS, query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] in query


def test_nobody_reads_events_of_records_that_they_may_not_view(db: None) -> None:
    contact = Contact.objects.create(name="Grace")
    Organization.objects.create(name="Navy")
    conflict_about(contact)
    clerk = user_who_may("view_contact")
    assert [(e["entity_type"], e["type"]) for e in all_events(clerk)] == [("contact", "record.created")]
    User.objects.all().delete()
    assert user_who_may("view_syncconflict").get(EVENTS).status_code == 403
    assert APIClient().get(EVENTS).status_code == 401


def test_a_list_says_what_was_changed_since_and_what_was_deleted(api: APIClient) -> None:
    one, two = (Contact.objects.create(name=name) for name in ("One", "Two"))
    two.refresh_from_db()
    since = two.updated_at.isoformat()
    changed = api.get("/api/v1/contacts/", {"updated_since": since}).json()
    assert [record["name"] for record in changed["results"]] == ["Two"]
    key = str(one.pk)
    one.delete()
    gone = api.get("/api/v1/contacts/deleted/", {"since": since}).json()
    assert [record["id"] for record in gone["results"]] == [key]
    assert set(gone["results"][0]) == {"id", "deleted_at"}
    later = {"since": (sync_now() + timedelta(hours=1)).isoformat()}
    assert api.get("/api/v1/contacts/deleted/", later).json()["count"] == 0
    Contact.objects.create(id=uuid.UUID(key), name="Restored")
    assert api.get("/api/v1/contacts/deleted/").json()["count"] == 0
    for wrong in ("2026-11-22", "2026-11-22T10:00:00", "yesterday"):
        assert api.get("/api/v1/contacts/", {"updated_since": wrong}).status_code == 400
    # An offset that the standard has and PostgreSQL doesn't.
    assert api.get("/api/v1/contacts/", {"updated_since": "2026-01-01T22:44:31-21:27"}).status_code == 200
