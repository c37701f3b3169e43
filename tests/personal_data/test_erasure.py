"""A person's data is exported, then erased from every row with the record's id or its item's id."""

import json
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from conflicts.models import SyncConflict
from conflicts.pages.resolution import current_values, resolve
from npd.models import Contact, Organization
from npd.personal_data import Person, erase, export
from sync import models
from sync.admin.import_and_export import Uploads
from sync.kernel.acts import NotPossible, RestoreError
from sync.outbox.claim import acquire
from sync.records.authors import log_action
from sync.records.tombstones import restore_by_person
from sync.words.message import Message
from tests.admin.forms import values_of
from tests.support.world import World, mail

NAME, EMAIL, PHONE = "Änne O'Hara-Lind", "aenne.lind@example.org", "+1 202-555-0172"
TRACES = ("Hara-Lind", "aenne.lind", "old.lind", "secret.lind", "555-0172", "prefers calls")


@pytest.fixture
def dora(world: World) -> User:
    return world.administrator("dora")


def columns_with_traces() -> list[str]:
    """Every column of every table that contains a value of the person."""
    columns: dict[str, list[str]] = {}
    traced = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'django_session'"
        )
        for table, column in cursor.fetchall():
            columns.setdefault(table, []).append(column)
        for table, names in columns.items():
            holds = ", ".join(f'bool_or("{name}"::text ILIKE ANY (%s))' for name in names)
            patterns = [[f"%{trace}%" for trace in TRACES]] * len(names)
            cursor.execute(f'SELECT {holds} FROM "{table}"', patterns)
            traced += [f"{table}.{name}" for name, holds in zip(names, cursor.fetchone(), strict=True) if holds]
    return traced


def person_of(contact: Contact) -> Person:
    return Person("contact", contact.pk)


def lived(world: World, dora: User) -> Contact:
    """A contact that was saved, synced, edited on Monday, in conflict, related to others, and noticed."""
    acme = Organization.objects.create(name="Acme")
    contact: Contact = world.linked(NAME, email="old.lind@example.org", phone=PHONE, notes="prefers calls at nine")
    acme.billing_contact = contact
    acme.save()
    world.work()
    world.edit(contact, "email", mail(EMAIL))
    world.hear(contact)
    world.edit(contact, "email", mail("secret.lind@example.org"))
    Contact.objects.filter(pk=contact.pk).update(email="new.aenne.lind@example.org")
    world.hear(contact)
    assert contact.sync_status == "conflict"
    page = f"/admin/npd/contact/{contact.pk}/change/"
    browser = world.browser(dora)
    form = values_of(browser.get(page), "contact_form") | {"email": EMAIL, "notes": "prefers calls at ten", "_save": ""}
    assert browser.post(page, form).status_code == 302
    conflict = SyncConflict.objects.get(entity_id=contact.pk, resolved_at=None)
    resolve(conflict.pk, by=dora, resolution_type="keep_npd", seen=current_values(conflict))
    models.UnmatchedItem.objects.create(entity_type="contact", item_id=str(contact.monday_id), name=f"{NAME} (work)")
    log_action(dora, models.UnmatchedItem.objects.get(), "Asked to link it.")
    contact.refresh_from_db()
    acme_row = {"record": str(acme.pk), "name": "Acme", "fields": [{"words": f"Billing contact: NPD says “{NAME}”"}]}
    own = {"record": str(contact.pk), "name": NAME, "fields": []}
    models.BoardLink.objects.filter(entity_type="organization").update(differences=[acme_row])
    models.BoardLink.objects.filter(entity_type="contact").update(differences=[own])
    # What is stored about others names the person, too, in columns of messages and within JSON.
    state = models.SyncMetadata.objects.of("organization", [acme.pk])
    waits = Message("related_awaited", related=Message("the_related", kind="contact", name=NAME))
    blocked = {"billing_contact": {"code": "related", "reason": waits, "column": "", "version": 1}}
    state.update(note=Message("synced_with_that"), blocked_fields=blocked)
    models.UnmatchedItem.objects.create(
        entity_type="contact", item_id="900", reason_code="ambiguous", details={"names": f"“{NAME}”, “Ben”"}
    )
    note = Message("because_other_owner", owner=NAME)
    models.Tombstone.objects.create(entity_type="contact", entity_id=uuid4(), state="nothing_left", note=note)
    models.ActivityLine.objects.create(
        entity_type="contact", entity_id=uuid4(), kind="link", sentence=Message("merged", merged="Ben", record=NAME)
    )
    upload = Uploads()
    upload.save(f"Name,Email\n{NAME},{EMAIL}\n".encode())
    browser.post(f"/admin/npd/contact/export/?q={EMAIL}", {"format": "0", "resource": "0"})
    return contact


def test_after_an_erasure_no_row_of_any_table_holds_a_value_of_the_person(world: World, dora: User) -> None:
    contact = lived(world, dora)
    item_id = str(contact.monday_id)
    receiver = models.NotificationReceiver.objects.create(user=dora)
    models.Notification.objects.create(receiver=receiver, key=f"removed:contact:{contact.pk}")
    tables = {column.split(".")[0] for column in columns_with_traces()}
    assert {"contacts", "npd_contactevent", "sync_metadata", "sync_webhook_events", "sync_conflicts"} <= tables
    assert "sync_board_links" in tables
    assert {"sync_intents", "sync_decisions", "django_admin_log"} <= tables
    logged = set(LogEntry.objects.filter(object_repr__contains=NAME).values_list("content_type__model", flat=True))
    assert logged == {"contact", "syncconflict", "unmatcheditem"}

    assert models.CacheEntry.objects.filter(cache_key__contains="django-import-export-").exists()
    content = export(person_of(contact))
    assert content["record"]["email"] == EMAIL
    assert content["items_on_monday"] == [item_id]
    assert {"npd_contactevent", "sync_decisions", "sync_metadata", "sync_conflicts"} <= set(content["rows"])
    assert json.loads(json.dumps(content)) == content
    assert Contact.objects.filter(pk=contact.pk).exists(), "reading erases nothing"

    assert erase(person_of(contact), delete_items=True) > 10

    assert columns_with_traces() == []
    assert not models.CacheEntry.objects.filter(cache_key__contains="django-import-export-").exists()
    assert not models.Notification.objects.exists()
    assert world.sandbox.item(item_id)["state"] == "deleted"
    assert Organization.objects.get(name="Acme").billing_contact is None
    tombstone = models.Tombstone.objects.get(entity_id=contact.pk)
    assert (tombstone.reason_code, tombstone.data, tombstone.monday_id) == ("erased", {}, item_id)
    assert tombstone.deleted_at is not None
    with pytest.raises(RestoreError):
        restore_by_person(tombstone, "dora")
    # Neither Monday's webhooks nor the organization's next pass bring a value back.
    world.hear()
    world.settle()
    assert columns_with_traces() == []


def test_an_item_that_stays_on_the_board_brings_nobody_back(world: World, dora: User) -> None:
    models.BoardLink.objects.filter(entity_type="contact").update(creates_records=True)
    contact = world.linked(NAME, email=EMAIL, phone=PHONE)
    item_id = str(contact.monday_id)
    erase(person_of(contact), delete_items=False)
    assert world.sandbox.item(item_id)["state"] == "active"
    world.sandbox.act("edit", item_id=item_id, column_id="role_title", value="prefers calls at eight")
    world.hear()
    call_command("sync_reconcile", verbosity=0)
    world.settle()
    assert not Contact.objects.exists()
    assert not models.WebhookEvent.objects.filter(item_id=item_id).exists()
    assert models.IgnoredItem.objects.get(item_id=item_id).erased
    assert columns_with_traces() == []


def test_what_is_of_others_stays(world: World) -> None:
    erased = world.linked(NAME, email=EMAIL)
    namesake = world.linked(NAME, email="other@example.org")
    erase(person_of(erased), delete_items=False)
    namesake.refresh_from_db()
    assert namesake.name == NAME
    assert world.sync_state(namesake).base
    assert models.IgnoredItem.objects.get().item_id == erased.monday_id


@pytest.mark.django_db
def test_who_was_deleted_before_is_erased_by_the_command() -> None:
    contact = Contact.objects.create(name=NAME, email=EMAIL, phone=PHONE)
    contact_id = str(contact.pk)
    contact.delete()
    assert columns_with_traces()
    with patch("builtins.input", return_value="no"), pytest.raises(CommandError, match="Nothing was erased"):
        call_command("personal_data", "erase", "contact", EMAIL)
    assert columns_with_traces()
    call_command("personal_data", "erase", "contact", contact_id, "--no-input")
    assert columns_with_traces() == []
    with pytest.raises(CommandError, match="There is no contact"):
        call_command("personal_data", "erase", "contact", EMAIL)


def test_restoring_offers_neither_an_erased_person_nor_their_item(world: World, dora: User) -> None:
    """The item belonged to another record before, which was then deleted."""
    erased = world.linked(NAME, email=EMAIL)
    before = Contact.objects.create(name="Before", email="before@example.org")
    before_id = before.pk
    before.delete()
    models.Tombstone.objects.filter(entity_id=before_id).update(monday_id=erased.monday_id, state="kept")
    erase(person_of(erased), delete_items=False)
    tombstones = {row.entity_id: row for row in models.Tombstone.objects.all()}
    ticked = {"action": "restore_record", "_selected_action": [str(row.pk) for row in tombstones.values()]}
    question = world.browser(dora).post("/admin/sync/tombstone/", ticked).context["question"]
    (table,) = question.tables
    assert [tuple(map(str, row)) for row in table.rows] == [("Before", "Contact", "New item")]
    assert restore_by_person(tombstones[before_id], "dora").monday_id is None
    assert models.IgnoredItem.objects.get(item_id=erased.monday_id).erased


def test_an_erasure_that_is_not_safe_or_not_possible_is_refused_in_words(world: World) -> None:
    contact = world.linked(NAME, email=EMAIL)

    def refusal() -> tuple[str, str]:
        with pytest.raises(NotPossible) as refused:
            erase(person_of(contact), delete_items=True)
        return refused.value.code, str(refused.value)

    lease = acquire(world.link())
    assert lease is not None
    assert refusal()[0] == "board_busy"
    lease.release()
    models.Intent.objects.update(state="open")
    assert refusal()[0] == "outcome_unknown"
    models.Intent.objects.update(state="applied")
    world.sandbox.faults(*[{"status": 500, "count": 9}])
    code, sentence = refusal()
    assert code == "item_not_deleted"
    assert "Nothing was erased in NPD. Try again" in sentence
    assert Contact.objects.filter(pk=contact.pk).exists()
    assert models.SyncMetadata.objects.filter(entity_id=str(contact.pk)).exists()
    # Repeating it deletes the rest.
    world.sandbox.control("faults", "DELETE")
    world.pass_time(minutes=30)
    erase(person_of(contact), delete_items=True)
    assert columns_with_traces() == []


# The page, for administrators.


@pytest.fixture
def contact(db: None) -> Contact:
    return Contact.objects.create(name=NAME, email=EMAIL)


def test_an_administrator_exports_and_erases_on_the_records_page(client: Client, contact: Contact) -> None:
    client.force_login(User.objects.create_superuser("dora", "d@example.com", "x"))
    page = f"/admin/npd/contact/{contact.pk}/personal-data/"
    assert NAME in client.get(page).context["person"].name
    assert Contact.objects.filter(pk=contact.pk).exists(), "the page only asks"
    exported = client.post(page, {"act": "export"})
    assert "personal-data-" in exported.headers["Content-Disposition"]
    assert json.loads(exported.content)["record"]["email"] == EMAIL
    assert "no-store" in exported.headers["Cache-Control"]
    for typed in ("", "Ann"):
        again = client.post(page, {"act": "erase", "name": typed}).content.decode()
        assert "the name that you typed is another" in again
        assert Contact.objects.filter(pk=contact.pk).exists()
    assert client.post(page, {"act": "erase", "name": f" {NAME}"}).status_code == 302
    assert not Contact.objects.filter(pk=contact.pk).exists()
    lines = LogEntry.objects.filter(object_id=str(contact.pk))
    assert lines.count() == 2
    assert not any("Lind" in f"{line.object_repr} {line.change_message}" for line in lines)
    assert client.get(page).status_code == 404


def test_nobody_but_an_administrator_exports_or_erases(client: Client, contact: Contact) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    bob.user_permissions.set(Permission.objects.all())
    client.force_login(bob)
    page = f"/admin/npd/contact/{contact.pk}/personal-data/"
    answers: list[Any] = [client.get(page), *(client.post(page, {"act": act}) for act in ("export", "erase"))]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert Contact.objects.filter(pk=contact.pk).exists()
