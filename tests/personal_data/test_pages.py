"""The pages and commands by which an administrator exports or erases a person."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from npd.models import Contact

EMAIL = "ann.lind@example.org"


@pytest.fixture
def ann(db: None) -> Contact:
    return Contact.objects.create(name="Ann Lind", email=EMAIL, phone="+1 202-555-0172")


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("dora", "d@example.com", "x"))
    return client


def test_an_administrator_finds_exports_and_erases_a_person_by_the_typed_word(admin: Client, ann: Contact) -> None:
    page = admin.post("/admin/personal-data/", {"who": EMAIL})
    assert page.context["person"].key == ann.pk
    assert page.context["planned"].total
    told = admin.post("/admin/personal-data/export/", {"person": str(ann.pk)})
    assert json.loads(told.content)["record"][0]["email"] == EMAIL
    assert "no-store" in told.headers["Cache-Control"]
    refused = admin.post("/admin/personal-data/erase/", {"person": str(ann.pk), "confirm": "yes"})
    assert refused.context["form"].errors
    assert Contact.objects.filter(pk=ann.pk).exists()
    assert admin.post("/admin/personal-data/erase/", {"person": str(ann.pk), "confirm": "erase"}).status_code == 302
    assert not Contact.objects.filter(pk=ann.pk).exists()
    lines = LogEntry.objects.filter(object_id=str(ann.pk))
    assert lines.count() == 2
    assert not any("Ann" in f"{line.object_repr} {line.change_message}" for line in lines)
    assert admin.post("/admin/personal-data/", {"who": EMAIL}).context["person"].key is None


def test_several_of_one_name_are_listed_and_a_contacts_page_leads_to_its_own(admin: Client, ann: Contact) -> None:
    Contact.objects.create(name="Ann Lind", email="other@example.org")
    page = admin.post("/admin/personal-data/", {"who": "ann lind"})
    assert len(page.context["found"]) == 2
    led = admin.get(f"/admin/npd/contact/{ann.pk}/personal-data/", follow=True)
    assert led.context["person"].key == ann.pk


def test_nobody_but_an_administrator_sees_or_erases_personal_data(client: Client, ann: Contact) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    bob.user_permissions.set(Permission.objects.all())
    client.force_login(bob)
    asked: list[Any] = [client.get(f"/admin/personal-data/{ann.pk}/"), client.get("/admin/personal-data/")]
    asked += [client.post(f"/admin/personal-data/{act}/", {"person": str(ann.pk)}) for act in ("export", "erase")]
    asked += [client.get(f"/admin/npd/contact/{ann.pk}/personal-data/")]
    assert [answer.status_code for answer in asked] == [403] * 5
    assert Contact.objects.filter(pk=ann.pk).exists()


def test_the_commands_export_show_and_erase(ann: Contact, capsys: Any) -> None:
    User.objects.create_superuser("dora", "d@example.com", "x")
    call_command("export_person", EMAIL)
    assert json.loads(capsys.readouterr().out)["person"]["id"] == str(ann.pk)
    call_command("erase_person", EMAIL, "--dry-run")
    assert "contacts: 1 deleted" in capsys.readouterr().out
    with pytest.raises(CommandError):
        call_command("erase_person", EMAIL, "--confirm", "no")
    assert Contact.objects.filter(pk=ann.pk).exists()
    call_command("erase_person", EMAIL, "--confirm", "erase")
    assert not Contact.objects.filter(pk=ann.pk).exists()
    with pytest.raises(CommandError):
        call_command("erase_person", "Nobody Here")
