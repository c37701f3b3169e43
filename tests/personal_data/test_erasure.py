"""One person leaves: exported before, then erased from every table, whatever put it there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from npd.models import Contact, Organization
from npd.personal_data.erasure import ItemFate, erase_person, export_person, preview_erasure
from npd.personal_data.persons import Person, find_persons
from sync.kernel.messages import Conflict, RestoreError
from sync.models import (
    Assignment,
    BoardLink,
    FieldMapping,
    IgnoredItem,
    Incident,
    Intent,
    RequestCount,
    SyncMetadata,
    Tombstone,
    UnmatchedItem,
    WebhookEvent,
)
from sync.outbox.claim import acquire
from sync.records.tombstones import restore_by_person
from tests.admin.forms import values_of
from tests.importing.conftest import imported
from tests.support.world import World, mail

NAME, EMAIL, PHONE = "Änne O'Hara-Lind", "aenne.lind@example.org", "+1 202-555-0172"
TRACES = ("O'Hara-Lind", "Hara-Lind", "aenne.lind", "old.lind", "secret.lind", "5550172", "555-0172", "prefers calls")


@pytest.fixture
def dora(world: World) -> User:
    """An administrator."""
    made: User = world.administrator("dora")
    return made


def found_in_the_database() -> list[str]:
    """Every column of every table that holds a trace, whatever its type: rows as text, and binary as it is."""
    columns: dict[str, dict[str, str]] = {}
    found, traces = [], [f"%{trace}%" for trace in TRACES]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, udt_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        for table, column, kind in cursor.fetchall():
            text = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
            columns.setdefault(table, {})[column] = text
        for table, texts in columns.items():
            holds = ", ".join(f"bool_or({text} ILIKE ANY (%s))" for text in texts.values())
            cursor.execute(f'SELECT {holds} FROM "{table}"', [traces] * len(texts))
            found += [f"{table}.{name}" for name, is_held in zip(texts, cursor.fetchone(), strict=True) if is_held]
    return found


def person(text: str = EMAIL) -> Person:
    (one,) = find_persons(text)
    return one


def lived(world: World, dora: User) -> Contact:
    """A contact that was saved, synced, edited on Monday, in conflict, undone, imported and talked about."""
    browser = world.browser(dora)
    acme = Organization.objects.create(name="Acme", notes=f"Ask {NAME}, {EMAIL} or (202) 555 0172.")
    contact: Contact = world.linked(NAME, email="old.lind@example.org", phone=PHONE, notes="prefers calls at nine")
    acme.billing_contact = contact
    acme.save()
    world.edit(contact, "email", mail(EMAIL))
    world.hear(contact)
    assert contact.email == EMAIL
    world.edit(contact, "email", mail("secret.lind@example.org"))
    Contact.objects.filter(pk=contact.pk).update(email="new.aenne.lind@example.org")
    world.hear(contact)
    assert contact.sync_status == "conflict"
    imported(dora, f"Name,Email,Role\n{NAME},new.{EMAIL},Chair\nBob Roe,bob@example.org,{NAME}'s deputy\n")
    world.work()
    UnmatchedItem.objects.create(entity_type="contact", item_id="77", name=NAME, values={"email": EMAIL.upper()})
    Incident.objects.create(key="x", kind="conflict", name=NAME, cause=f"{NAME} differs", url=f"/admin/?q={EMAIL}")
    Assignment.objects.create(key="y", note=f"I called {NAME.upper()}\n{EMAIL}", by=dora, by_name="dora")
    # A message that no page has shown yet is in the session; the admin's log names the record.
    page = f"/admin/npd/contact/{contact.pk}/change/"
    form = values_of(browser.get(page), "contact_form") | {"email": EMAIL, "notes": "prefers calls at ten", "_save": ""}
    assert browser.post(page, form).status_code == 302
    change = {"id": str(contact.pk), "notes": "prefers calls at noon", "external_ids": {"crm": EMAIL}}
    written = {"action": "update", "id": change.pop("id"), "record": change}
    answer = browser.post(
        "/api/v1/contacts/bulk",
        {"operations": [written]},
        content_type="application/json",
        headers={"Idempotency-Key": EMAIL},
    )
    assert answer.json()["results"][0]["status"] == 200, answer.json()
    contact.refresh_from_db()
    return contact


def test_a_person_is_exported_whole_and_then_nothing_is_left_in_any_column_of_any_table(
    world: World, dora: User
) -> None:
    contact = lived(world, dora)
    bob = Contact.objects.get(email="bob@example.org")
    item_id = str(contact.monday_id)
    held_before = {line.split(".")[0] for line in found_in_the_database()}
    assert {"contacts", "npd_contactevent", "sync_metadata", "sync_webhook_events", "sync_conflicts"} <= held_before
    assert {"sync_intents", "sync_decisions", "npd_import_rows", "organizations"} <= held_before
    assert "sync_external_ids" in held_before

    told = export_person(person())
    assert told["record"][0]["email"] == EMAIL
    assert {"npd_contactevent", "sync_decisions", "sync_metadata", "sync_conflicts"} <= set(told["rows"])
    assert {"npd_import_rows", "sync_stored_answers"} <= set(told["rows"])
    assert {("organizations", "notes"), ("sync_incidents", "name")} <= {
        (one["table"], one["column"]) for one in told["mentions"]
    }
    assert json.loads(json.dumps(told)) == told
    assert held_before == {line.split(".")[0] for line in found_in_the_database()}, "an export writes nothing"

    # What other records say is theirs, and on their boards: people take it out there.
    with pytest.raises(Conflict) as named:
        erase_person(person(), items=ItemFate.DELETE, by=dora)
    assert named.value.code == "named_in_records"
    for record, values in ((Organization.objects.get(), {"notes": ""}), (bob, {"role_title": "Deputy"})):
        type(record).objects.filter(pk=record.pk).update(**values)
    world.work()
    world.hear()

    planned = preview_erasure(person())
    assert found_in_the_database(), "a preview writes nothing"
    done = erase_person(person(), items=ItemFate.DELETE, by=dora)

    assert found_in_the_database() == []
    assert done.rows == planned.rows
    assert world.sandbox.item(item_id)["state"] == "deleted"
    assert Organization.objects.get(name="Acme").billing_contact is None
    # The record is known to be gone, and nobody can bring it back.
    stone = Tombstone.objects.get(entity_id=contact.pk)
    with pytest.raises(RestoreError):
        restore_by_person(stone, "dora")
    # What Monday still says of it is not stored.
    world.hear()
    world.settle()
    assert found_in_the_database() == []


def test_an_item_that_is_left_on_the_board_makes_no_record_and_nothing_of_it_is_stored(
    world: World, dora: User
) -> None:
    BoardLink.objects.filter(entity_type="contact").update(creates_records=True)
    contact = world.linked(NAME, email=EMAIL, phone=PHONE)
    item_id = str(contact.monday_id)
    erase_person(person(), items=ItemFate.LEAVE, by=dora)
    assert world.sandbox.item(item_id)["state"] == "active"
    world.sandbox.act("edit", item_id=item_id, column_id="role_title", value="prefers calls at eight")
    world.hear()
    call_command("sync_reconcile", verbosity=0)
    world.settle()
    assert not Contact.objects.exists()
    assert not WebhookEvent.objects.filter(item_id=item_id).exists()
    assert found_in_the_database() == []
    assert IgnoredItem.objects.get(item_id=item_id).erased


def test_what_another_record_or_an_account_shares_is_left_to_it(db: None) -> None:
    by = User.objects.create_superuser("dora", EMAIL, "x")
    mine = Contact.objects.create(name=NAME, email=EMAIL, phone=PHONE)
    other = Contact.objects.create(name=NAME.upper(), email="x@example.org", phone="(202) 555-0172")
    assert len(find_persons(NAME)) == 2
    one = person(str(mine.pk))
    assert {(found.kind) for found in one.shared} == {"name", "email", "phone"}
    erase_person(one, items=ItemFate.LEAVE, by=by)
    other.refresh_from_db()
    assert (other.name, other.phone) == (NAME.upper(), "(202) 555-0172")
    by.refresh_from_db()
    assert by.email == EMAIL


def test_a_contact_that_was_deleted_before_is_found_and_erased(db: None) -> None:
    by = User.objects.create_superuser("dora", "d@example.com", "x")
    Contact.objects.create(name=NAME, email=EMAIL, phone=PHONE).delete()
    assert found_in_the_database()
    erase_person(person(), items=ItemFate.LEAVE, by=by)
    assert found_in_the_database() == []


def test_nobody_is_erased_while_a_pass_or_a_call_may_store_them_again(world: World, dora: User) -> None:
    contact = world.linked(NAME, email=EMAIL)
    held = acquire(world.link())
    assert held is not None
    with pytest.raises(Conflict) as busy:
        erase_person(person(), items=ItemFate.LEAVE, by=dora)
    held.release()
    Intent.objects.update(state="open")
    with pytest.raises(Conflict) as unknown:
        erase_person(person(), items=ItemFate.LEAVE, by=dora)
    assert (busy.value.code, unknown.value.code) == ("board_busy", "outcome_unknown")
    Intent.objects.update(state="applied")
    world.sandbox.faults(*[{"status": 500, "count": 9}])
    with pytest.raises(Conflict) as failed:
        erase_person(person(), items=ItemFate.DELETE, by=dora)
    assert failed.value.code == "item_not_deleted"
    assert Contact.objects.filter(pk=contact.pk).exists()
    assert SyncMetadata.objects.filter(entity_id=str(contact.pk)).exists()


def test_a_name_within_anothers_name_is_left_to_them_and_hinders_nothing(db: None) -> None:
    by = User.objects.create_superuser("dora", "d@example.com", "x")
    Contact.objects.create(name="Maria Schmidt", email=EMAIL)
    others = Contact.objects.create(name="Anna Maria Schmidt"), Organization.objects.create(name="Maria Schmidt Ltd")
    assert [one.text for one in person().shared] == ["Maria Schmidt"]
    erase_person(person(), items=ItemFate.LEAVE, by=by)
    for one in others:
        one.refresh_from_db()
    assert [one.name for one in others] == ["Anna Maria Schmidt", "Maria Schmidt Ltd"]


@pytest.mark.parametrize("name", ['a": "b c', 'Jane "J" Doe', "Jane D\\", "Can add", r"(?i) *** [x \1"])
def test_whatever_somebody_is_called_only_texts_are_rewritten(db: None, name: str) -> None:
    by = User.objects.create_superuser("dora", "d@example.com", "x")
    number = "2025550172"
    before = list(Permission.objects.values_list("name", flat=True))
    # A telephone number that is also an item's and a board's, and a number in JSON.
    Contact.objects.create(name=name, email=EMAIL, phone=number)
    UnmatchedItem.objects.create(
        entity_type="organization",
        item_id=number,
        name=f"See {name} there",
        values={"a": "b c", "item": number, "boardId": number, "at": int(number), "told": [f"{name}, {number}"]},
    )
    # They tried to sign in; what was typed is stored nowhere.
    Client().post("/admin/login/", {"username": EMAIL, "password": "x"})
    assert not any(EMAIL in one for one in RequestCount.objects.values_list("key", flat=True))
    erase_person(person(), items=ItemFate.LEAVE, by=by)
    item = UnmatchedItem.objects.get()
    assert (item.item_id, item.name) == (number, "See [erased] there")
    kept = {"a": "b c", "item": number, "boardId": number, "at": int(number)}
    assert item.values == kept | {"told": ["[erased], [erased]"]}
    assert list(Permission.objects.values_list("name", flat=True)) == before


def test_whatever_somebody_is_called_no_setting_is_rewritten(world: World, dora: User) -> None:
    """Anybody may type a name, on a board too; who has it erased would rename groups and jobs, and change a filter."""
    name = "Key Accounts"
    Group.objects.create(name=f"{name} team")
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period="days")
    PeriodicTask.objects.create(name=name, task="sync.prune", interval=every, description=f"For {name}")
    columns = {"text": {"title": name, "settings": {"labels": [name]}}}
    BoardLink.objects.update(
        shape={"name": name, "columns": columns}, known_titles={"text": name}, sync_filter={"conditions": [name]}
    )
    FieldMapping.objects.update(label=name, options={"labels": [name]})
    before = settings_rows()
    Contact.objects.create(name=name, email=EMAIL, notes=f"See {name}")
    erase_person(person(), items=ItemFate.LEAVE, by=dora)
    assert settings_rows() == before


def settings_rows() -> list[Any]:
    models: list[Any] = [Group, PeriodicTask, FieldMapping, BoardLink]
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_many_versions_of_long_notes_are_no_pattern_that_takes_hours(db: None) -> None:
    contact = Contact.objects.create(name=NAME, email=EMAIL)
    for n in range(30):
        contact.notes = f"Заметка {n}: " + "слово " * (300 if n % 2 else 20)
        contact.save()
    assert len(person().pattern) < 200_000
    assert preview_erasure(person()).rows
