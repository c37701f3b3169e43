"""What is remembered of edits that wait and of deleted records."""

import uuid
from datetime import timedelta
from typing import Any

import pghistory
import pytest
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import User

from npd.models import Contact, Organization
from sync.clock import sync_now
from sync.models import ActivityLine, SyncMetadata, SyncQueue, Tombstone
from sync.operations.retention import prune
from sync.records.authors import deletion_authors, log_action_many
from sync.records.edits import Edit, waiting_edits
from sync.records.tombstones import deleted_names, restore_by_person
from tests.support.clock import move_clock
from tests.support.words import said

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_superuser("ada", first_name="Ada", last_name="Byron")


def synced(name: str) -> Contact:
    contact = Contact.objects.create(name=name)
    SyncQueue.objects.filter(entity_id=contact.pk).update(status="completed")
    SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), last_successful_sync=sync_now())
    return contact


# Edits that wait.


def columns_of(edit: Edit) -> set[str]:
    return {field.attname for field in edit.fields}


def test_a_save_waits_with_its_author_and_the_columns_that_it_changed_until_it_is_synced(ada: User) -> None:
    contact = synced("Grace")
    assert waiting_edits(limit=10) == []
    with pghistory.context(user=ada.pk):
        Contact.objects.filter(pk=contact.pk).update(phone="+12025550123", notes="met")
        Contact.objects.filter(pk=contact.pk).update(role_title="Boss")
    newest, first = waiting_edits(limit=10)
    assert (newest.who, columns_of(newest), newest.is_unsent) == ("Ada Byron", {"role_title"}, True)
    assert (columns_of(first), first.group_id) == ({"phone", "notes"}, newest.group_id)
    SyncQueue.objects.update(status="failed")
    assert len(waiting_edits([contact.pk], limit=1)) == 2
    assert waiting_edits([uuid.uuid4()], limit=1) == []
    SyncMetadata.objects.update(last_successful_sync=sync_now())
    assert waiting_edits(limit=10) == []


def test_a_new_record_waits_without_columns_and_what_the_sync_writes_does_not_wait(db: None) -> None:
    contact = Contact.objects.create(name="Grace")
    with pghistory.context(cause="sync"):
        Contact.objects.filter(pk=contact.pk).update(phone="+12025550123")
    assert [(edit.entity_id, edit.who, columns_of(edit)) for edit in waiting_edits(limit=10)] == [
        (contact.pk, "a script", set())
    ]


# Which deletions were one act.


def test_what_is_deleted_in_one_act_has_one_context(db: None) -> None:
    several = [Contact.objects.create(name=f"Person {number}") for number in range(3)]
    single, scripted = Contact.objects.create(name="Single"), Contact.objects.create(name="Scripted")
    Contact.objects.filter(pk=scripted.pk).delete()
    with pghistory.context(cause="api"):
        Contact.objects.filter(pk__in=[contact.pk for contact in several[:2]]).delete()
        Contact.objects.filter(pk=several[2].pk).delete()
    with pghistory.context(cause="api"):
        Contact.objects.filter(pk=single.pk).delete()
    contexts = dict(Tombstone.objects.values_list("entity_id", "context_id"))
    acts = {contexts[contact.pk] for contact in several}
    assert len(acts) == 1
    assert contexts[single.pk] not in acts | {None}
    assert contexts[scripted.pk] is None


# What a deleted record was called.


def test_a_deleted_records_name_is_kept_as_long_as_its_activity(settings: Any) -> None:
    settings.HISTORY_DAYS, settings.TOMBSTONE_DAYS = 365, 30
    navy = Organization.objects.create(name="Army")
    Organization.objects.filter(pk=navy.pk).update(name="Navy")
    key = navy.pk
    move_clock(timedelta(days=1_000))
    navy.delete()
    ActivityLine.objects.create(
        entity_type="organization", entity_id=key, kind="delete", sentence=said("Deleted in NPD.")
    )
    assert deleted_names("organization", [key]) == {key: "Navy (deleted)"}
    Tombstone.objects.update(state="nothing_left")
    move_clock(timedelta(days=1_100))
    prune()
    assert not Tombstone.objects.exists()
    assert deleted_names("organization", [key]) == {key: "Navy (deleted)"}
    assert deleted_names("contact", [key]) == {}
    move_clock(timedelta(days=1_400))
    prune()
    assert not ActivityLine.objects.exists()
    assert deleted_names("organization", [key]) == {}


def test_the_edits_of_a_deleted_record_are_not_sent_any_more(db: None) -> None:
    contact = Contact.objects.create(name="Grace")
    contact.delete()
    assert SyncQueue.objects.get().status == "pending"
    assert [edit.is_unsent for edit in waiting_edits(limit=10)] == [False]


def test_the_author_of_a_deletion_comes_with_its_act(ada: User) -> None:
    contacts = [Contact.objects.create(name=f"Person {number}") for number in range(2)]
    with pghistory.context(user=ada.pk):
        log_action_many(ada, contacts, "[]", flag=DELETION)
        Contact.objects.all().delete()
    authors = deletion_authors(("contact", contact.pk) for contact in contacts)
    assert [authors[contact.pk].by for contact in contacts] == ["ada", "ada"]
    [act] = {author.request for author in authors.values()}
    assert act == str(Tombstone.objects.first().context_id)  # type: ignore[union-attr]


def test_a_record_that_is_restored_and_deleted_again_has_the_context_of_its_last_deletion(ada: User) -> None:
    contexts = []
    contact = Contact.objects.create(name="Grace")
    for _ in range(2):
        with pghistory.context(cause="api"):
            Contact.objects.filter(pk=contact.pk).delete()
        tombstone = Tombstone.objects.get()
        contexts.append(tombstone.context_id)
        restore_by_person(tombstone, "ada")
    assert None not in contexts
    assert contexts[0] != contexts[1]
