"""The database writes the outbox row and the bookkeeping, whichever way a record changes."""

import pytest
from django.db import connection, transaction

from npd.models import Contact, ContactEvent, Organization
from sync.choices import Cause, Priority, QueueStatus
from sync.models import SyncQueue, Tombstone

pytestmark = pytest.mark.django_db(transaction=True)


def rows() -> list[SyncQueue]:
    return list(SyncQueue.objects.filter(status=QueueStatus.PENDING))


def clear() -> None:
    SyncQueue.objects.all().delete()


def change(contact: Contact, way: str) -> None:
    if way == "save":
        contact.role_title = "new"
        contact.save()
    elif way == "update":
        Contact.objects.filter(pk=contact.pk).update(role_title="new")
    elif way == "bulk_update":
        contact.role_title = "new"
        Contact.objects.bulk_update([contact], ["role_title"])
    else:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE contacts SET role_title = 'new'")


@pytest.mark.parametrize("way", ["save", "update", "bulk_update", "raw SQL"])
def test_every_way_to_change_a_record_writes_one_outbox_row(way: str) -> None:
    contact = Contact.objects.create(name="Ann")
    clear()
    change(contact, way)
    (row,) = rows()
    assert (row.entity_type, row.entity_id, row.direction) == ("contact", contact.pk, "to_monday")
    assert (row.causes, row.priority, row.attempts) == (int(Cause.SAVE), Priority.EDIT, 0)


def test_bulk_create_writes_a_row_for_each() -> None:
    Contact.objects.bulk_create([Contact(name=f"P{n}") for n in range(50)])
    assert {row.operation for row in rows()} == {"create"}
    assert len(rows()) == 50


def test_an_update_that_changes_nothing_writes_no_row() -> None:
    Contact.objects.create(name="Ann")
    clear()
    Contact.objects.update(name="Ann")
    Contact.objects.filter(name="nobody").update(name="x")
    assert rows() == []


@pytest.mark.parametrize("column", ["monday_id", "monday_last_synced", "sync_status"])
def test_bookkeeping_columns_are_no_change(column: str) -> None:
    contact = Contact.objects.create(name="Ann")
    clear()
    before = Contact.objects.get(pk=contact.pk).updated_at
    value = {"monday_id": "1", "monday_last_synced": before, "sync_status": "synced"}[column]
    Contact.objects.update(**{column: value})
    assert rows() == []
    assert Contact.objects.get(pk=contact.pk).updated_at == before


def test_a_change_moves_updated_at_and_makes_a_synced_record_pending() -> None:
    contact = Contact.objects.create(name="Ann")
    Contact.objects.update(sync_status="synced")
    before = Contact.objects.get(pk=contact.pk).updated_at
    Contact.objects.update(notes="new")
    contact.refresh_from_db()
    assert contact.updated_at > before
    assert contact.sync_status == "pending"
    # An open conflict stays open.
    Contact.objects.update(sync_status="conflict")
    Contact.objects.update(notes="newer")
    assert Contact.objects.get().sync_status == "conflict"


@pytest.mark.parametrize("off", [{"sync_enabled": False}, {"sync_direction": "none"}])
def test_a_record_without_sync_is_disabled_by_the_database_and_pending_when_it_is_back(off: dict[str, object]) -> None:
    created = Contact.objects.create(name="Ann", **off)
    assert Contact.objects.get(pk=created.pk).sync_status == "disabled"
    Contact.objects.update(sync_enabled=True, sync_direction="bidirectional")
    assert Contact.objects.get(pk=created.pk).sync_status == "pending"
    Contact.objects.update(**off)
    assert Contact.objects.get(pk=created.pk).sync_status == "disabled"


def test_a_set_null_of_a_cascade_is_a_change_too() -> None:
    organization = Organization.objects.create(name="Ltd")
    contact = Contact.objects.create(name="Ann", organization=organization)
    clear()
    organization.delete()
    assert {(row.entity_type, row.operation) for row in rows()} == {("organization", "delete"), ("contact", "update")}
    assert Contact.objects.get(pk=contact.pk).organization is None


def test_a_delete_by_sql_alone_leaves_a_tombstone_with_what_the_record_was() -> None:
    contact = Contact.objects.create(name="Ann", monday_id="77")
    contact.notes = "about to go"
    contact.save()
    key = contact.pk
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM contacts WHERE id = %s", [key])
    stone = Tombstone.objects.get(entity_type="contact", entity_id=key)
    assert (stone.monday_id, stone.data["notes"]) == ("77", "about to go")
    (row,) = rows()
    assert (row.operation, row.payload) == ("delete", {"monday_id": "77"})


def test_a_save_writes_only_what_differs_from_what_was_loaded() -> None:
    created = Contact.objects.create(name="Ann", notes="old", phone="1")
    form, sync = Contact.objects.get(pk=created.pk), Contact.objects.get(pk=created.pk)
    sync.phone = "2"
    sync.save()
    form.notes = "new"
    form.save()
    stored = Contact.objects.get(pk=created.pk)
    assert (stored.notes, stored.phone) == ("new", "2")


def test_a_change_is_kept_in_the_history() -> None:
    contact = Contact.objects.create(name="Ann")
    Contact.objects.filter(pk=contact.pk).update(name="Bea")
    Contact.objects.filter(pk=contact.pk).update(sync_status="synced")
    assert list(ContactEvent.objects.order_by("pgh_id").values_list("name", flat=True)) == ["Ann", "Bea"]


@pytest.mark.parametrize("column", ["sync_status", "sync_direction"])
def test_the_database_refuses_words_that_it_does_not_know(column: str) -> None:
    from django.db import IntegrityError

    Contact.objects.create(name="Ann")
    with pytest.raises(IntegrityError):
        Contact.objects.update(**{column: "sideways"})


def test_defaults_live_in_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO contacts (id, name) VALUES (gen_random_uuid(), 'Raw')")
    raw = Contact.objects.get()
    assert (raw.sync_status, raw.sync_enabled, raw.sync_direction) == ("pending", True, "bidirectional")
    assert len(rows()) == 1


def test_a_change_in_place_of_a_list_is_saved() -> None:
    organization = Organization.objects.get(pk=Organization.objects.create(name="O", aliases=["a"]).pk)
    organization.aliases.append("b")
    organization.save()
    assert Organization.objects.get(pk=organization.pk).aliases == ["a", "b"]


def test_a_save_that_was_rolled_back_can_be_repeated() -> None:
    contact = Contact.objects.get(pk=Contact.objects.create(name="Old").pk)
    contact.name = "New"
    with transaction.atomic():
        contact.save()
        transaction.set_rollback(True)
    contact.save()
    assert Contact.objects.get(pk=contact.pk).name == "New"
