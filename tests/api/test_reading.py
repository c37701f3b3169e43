"""What the admin shows, the API tells: boards, blocked fields, update loops, deleted records, history, a conflict."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from conflicts.models import BatchEntry, ConflictBatch, SyncConflict
from npd.models import Contact, Organization
from sync.clock import sync_now
from sync.models import (
    ApprovalRequest,
    BoardLink,
    Decision,
    FieldMapping,
    IgnoredItem,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WriteLoop,
)
from tests.api.conftest import results, row, url_of, user_who_may, with_token

SYNC = "/api/v1/sync/"
BLOCKED, LOOPS, DELETED = (f"{SYNC}{name}/" for name in ("blocked-fields", "update-loops", "deleted-records"))
HISTORY, BATCHES, CONFLICTS = (f"{SYNC}{name}/" for name in ("history", "batches", "conflicts"))


@pytest.fixture
def email(db: None) -> FieldMapping:
    """The mapping of contacts' e-mail addresses."""
    link = BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd", match_key="email")
    return FieldMapping.objects.create(
        link=link, key="email", label="Email", fields=["email"], column_id="email", converter="email"
    )


def blocked(contact: Contact, **held: Any) -> SyncMetadata:
    entry = {"reason": "Monday rejected it.", "code": "rejected", "side": "monday", **held}
    return SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), blocked_fields={"email": entry}
    )


def open_conflict(contact: Contact, **values: Any) -> SyncConflict:
    sides = {"npd_data": {"phone": "1"}, "monday_data": {"phone": "2"}, "base_data": {"phone": "0"}}
    return SyncConflict.objects.create(
        entity_type="contact", entity_id=contact.pk, monday_item_id="77", conflict_fields=["phone"], **sides, **values
    )


def test_a_board_tells_its_state_mapping_filter_and_numbers(
    api: APIClient, contact: Contact, email: FieldMapping
) -> None:
    condition = {"field": "email", "op": "is_filled", "values": [], "labels": []}
    BoardLink.objects.update(sync_filter={"records": [condition]})
    Contact.objects.filter(pk=contact.pk).update(monday_id="77")
    UnmatchedItem.objects.create(entity_type="contact", item_id="5")
    [board] = results(api, f"{SYNC}boards/")
    assert (board["entity_type"], board["board_id"], board["match_key"]) == ("contact", "1", "email")
    assert board["reason_code"] in ("", "not_configured")
    assert [(one["field"], one["column_id"], one["rule"]) for one in board["mappings"]] == [("email", "email", "ask")]
    assert board["filter"]["records"][0]["op"] == "is_filled"
    counts = board["counts"]
    assert (counts["records"], counts["linked"], counts["unmatched_items"]) == (1, 1, 1)
    assert (counts["by_status"], counts["jobs"]) == ({"pending": 1}, {"ready": 1})
    assert api.get(f"{SYNC}boards/contact/").json() == board
    assert api.get(f"{SYNC}boards/nothing/").status_code == 404


def test_blocked_fields_are_listed_with_their_reason_and_tried_again(
    api: APIClient, contact: Contact, email: FieldMapping
) -> None:
    blocked(contact)
    SyncQueue.objects.all().delete()
    kept = Contact.objects.create(name="Kept")
    blocked(kept, kept_by={"who": "Ada"})
    [found] = results(api, BLOCKED, field="email", code="rejected", entity_type="contact")
    assert found["entity_id"] == str(contact.pk)
    told = {"field": "email", "rejected": True, "code": "rejected", "reason": "Monday rejected it."}
    assert found["blocked"] == [told]
    assert results(api, BLOCKED, code="limit") == []
    asked = {"entity_type": "contact", "field": "email", "code": "rejected"}
    assert api.post(f"{BLOCKED}retry", asked).json() == {"done": 1, "left": 0}
    assert SyncQueue.objects.filter(entity_id=contact.pk, status="pending").exists()
    assert api.post(f"{BLOCKED}retry", asked | {"code": "limit"}).status_code == 409
    assert api.post(f"{BLOCKED}retry", asked | {"field": "nothing"}).status_code == 404
    viewer = user_who_may("view_syncmetadata", "view_contact")
    assert with_token(viewer).post(f"{BLOCKED}retry", asked).status_code == 403
    assert with_token(viewer, "read").post(f"{BLOCKED}retry", asked).json()["detail"]


def test_update_loops_are_listed_and_sent_again(api: APIClient, contact: Contact, email: FieldMapping) -> None:
    until = sync_now() + timedelta(hours=1)
    WriteLoop.objects.create(entity_type="contact", entity_id=contact.pk, key="email", by="Tom", throttled_until=until)
    ended = {"entity_type": "contact", "key": "phone", "throttled_until": sync_now() - timedelta(hours=1)}
    WriteLoop.objects.create(entity_id=contact.pk, **ended)
    [loop] = results(api, LOOPS, field="email")
    assert (loop["entity_id"], loop["field"], loop["by"]) == (str(contact.pk), "email", "Tom")
    assert len(results(api, LOOPS)) == 1
    assert api.post(f"{LOOPS}retry", {"entity_type": "contact", "field": "email"}).json()["done"] == 1


def test_a_deleted_record_is_listed_with_what_it_said_and_restored(
    api: APIClient, contact: Contact, organization: Organization
) -> None:
    Contact.objects.filter(pk=contact.pk).update(organization=organization)
    key = str(contact.pk)
    contact.delete()
    [gone] = results(api, DELETED, entity_type="contact", name="Grace Hopper")
    assert (gone["entity_id"], gone["values"]["notes"]) == (key, "COBOL")
    assert gone["values"]["organization"] == str(organization.pk)
    assert results(api, DELETED, deleted_before="2020-01-01T00:00:00Z") == []
    one = f"{DELETED}{gone['id']}"
    viewer = with_token(user_who_may("view_tombstone", "view_contact"))
    assert viewer.post(f"{one}/restore").status_code == 403
    blind = with_token(user_who_may("view_tombstone", name="blind"))
    assert blind.get(f"{one}/").status_code == 404
    assert api.post(f"{one}/restore").json()["entity_id"] == key
    assert Contact.objects.get(pk=key).notes == "COBOL"
    assert api.post(f"{one}/restore").status_code == 409


def test_the_history_is_listed_and_each_batch_told_in_numbers(api: APIClient, contact: Contact) -> None:
    batch, other = uuid.uuid4(), uuid.uuid4()
    of = {"entity_type": "contact", "entity_id": contact.pk, "sentence": "s"}
    for key, kind in (("phone", "pull"), ("email", "pull"), ("notes", "push")):
        Decision.objects.create(batch_id=batch, key=key, kind=kind, remote_id="77", **of)
    Decision.objects.create(batch_id=other, key="phone", kind="push", **of)
    found = results(api, HISTORY, kind="pull", field="phone", monday_id="77")
    assert [(one["entity_id"], one["batch"]) for one in found] == [(str(contact.pk), str(batch))]
    assert api.get(f"{HISTORY}{found[0]['id']}/").json() == found[0]
    newest, older = results(api, BATCHES)
    assert (newest["batch"], older["batch"]) == (str(other), str(batch))
    assert (older["entries"], older["records"], older["by_kind"]) == (3, 1, {"pull": 2, "push": 1})
    assert api.get(f"{BATCHES}{batch}/").json() == older
    assert api.get(f"{BATCHES}{uuid.uuid4()}/").status_code == 404
    blind = with_token(user_who_may("view_decision"))
    assert results(blind, HISTORY) == []


def test_a_conflict_tells_who_edited_both_sides(api: APIClient, contact: Contact) -> None:
    api.patch(url_of(contact), {"phone": "1"})
    link = BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd", match_key="email")
    FieldMapping.objects.create(
        link=link, key="phone", label="Phone", fields=["phone"], column_id="phone", converter="phone"
    )
    found = api.get(f"{CONFLICTS}{open_conflict(contact).pk}/context").json()
    [phone] = found["fields"]
    assert (found["record"], found["monday_id"]) == ("Grace Hopper", "77")
    assert (phone["npd"]["value"], phone["monday"]["value"], phone["base"]) == ("1", "2", "0")
    assert (phone["npd"]["editor"]["who"], phone["monday"]["editor"]) == ("ada", None)


def test_one_side_for_many_conflicts_is_planned_confirmed_by_number_and_stopped(
    api: APIClient, person: User, contact: Contact
) -> None:
    open_conflict(contact)
    open_conflict(Contact.objects.create(name="Other"), kind="overwritten")
    address = f"{CONFLICTS}bulk-resolutions"
    assert api.post(f"{address}?ordering=kind", {"resolution_type": "keep_npd"}).status_code == 400
    assert api.post(address, {"resolution_type": "merge"}).status_code == 400
    made = api.post(f"{address}?kind=fields", {"resolution_type": "keep_npd"})
    batch = made.json()
    assert (made.status_code, batch["total"], batch["state"]) == (201, 1, "prepared")
    assert (batch["plan"]["monday"], batch["outcomes"]) == (1, {"ready": 1})
    one = made.headers["Location"].removesuffix("/")
    assert api.get(f"{one}/").json() == batch
    assert api.post(f"{one}/confirm", {"expect": 2}).status_code == 400
    assert api.post(f"{one}/confirm", {"expect": 1}).json()["state"] == "running"
    assert api.post(f"{one}/stop").json()["outcomes"] == {"left_out": 1}
    assert api.post(f"{one}/undo").status_code == 400
    assert with_token(person, "read", "write").post(f"{one}/undo").status_code == 403
    assert BatchEntry.objects.filter(batch=ConflictBatch.objects.get()).count() == 1


def test_every_list_costs_as_many_queries_for_thirty_rows_as_for_three(
    api: APIClient, organization: Organization, email: FieldMapping
) -> None:
    lists = [
        *(
            "/api/v1/contacts/",
            "/api/v1/contacts/?expand=organization",
            "/api/v1/contacts/?pagination=cursor",
            "/api/v1/organizations/",
        ),
        *(f"{SYNC}{name}/" for name in ("queue", "conflicts", "states", "unmatched-items", "boards")),
        *(BLOCKED, LOOPS, DELETED, HISTORY, BATCHES),
        *(f"{SYNC}{name}/" for name in ("rejected-values", "ignored-items", "approvals")),
        f"{SYNC}inbox/?kind=rejected",
    ]
    grow(3, organization)
    for address in lists:
        api.get(address)  # what is loaded once
    few = {address: queries(api, address) for address in lists}
    grow(27, organization)
    assert {address: queries(api, address) for address in lists} == few
    assert max(few.values()) <= 15, few


def queries(api: APIClient, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert results(api, address)
    return len(captured)


def grow(number: int, organization: Organization) -> None:
    """So many rows more of everything that is listed."""
    until = sync_now() + timedelta(hours=1)
    for _ in range(number):
        contact = Contact.objects.create(name="x", organization=organization)
        Organization.objects.create(name="x")
        row()
        blocked(contact)
        open_conflict(contact)
        UnmatchedItem.objects.create(entity_type="contact", item_id=str(uuid.uuid4()))
        WriteLoop.objects.create(entity_type="contact", entity_id=contact.pk, key="email", throttled_until=until)
        Tombstone.objects.create(entity_type="contact", entity_id=uuid.uuid4(), data={"name": "x"})
        IgnoredItem.objects.create(entity_type="contact", item_id=str(uuid.uuid4()), reason="r")
        ApprovalRequest.objects.create(entity_type="contact", entity_id=contact.pk, kind="records", state="pending")
        of = {"entity_type": "contact", "entity_id": contact.pk, "sentence": "s", "kind": "push"}
        Decision.objects.create(batch_id=uuid.uuid4(), **of)
