"""From the record's page to the board: a pause loses nothing, and both sides are read without writing."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import Decision
from sync.state import record_view
from sync.state.record_view import FieldReason
from tests.admin.test_record_panel import list_action
from tests.admin.test_records import words_of as words_of_html
from tests.files.conftest import imported
from tests.support.people import staff_who_may
from tests.support.world import World


@pytest.fixture
def admin(world: World, pat: Any) -> Client:
    return world.browser(pat)


def act(client: Client, record: Any, name: str) -> Any:
    return client.post(reverse(f"admin:npd_contact_{name}", args=[record.pk]), follow=True)


def words_of(response: Any) -> str:
    return unescape(words_of_html(response.content.decode()))


def test_edits_of_a_pause_flow_after_it_and_only_what_both_changed_is_asked_about(world: World, admin: Client) -> None:
    contact = world.linked("Ann", role_title="Buyer", notes="same", phone="+442079460018")
    list_action(admin, contact, "turn_sync_off")
    world.work()
    mutations = world.calls("mutation")
    world.edit(contact, "role_title", "Head")
    world.edit(contact, "phone", {"phone": "+442079460099", "countryShortName": "GB"})
    Contact.objects.filter(pk=contact.pk).update(notes="ours", phone="+442079460055")
    world.hear(contact)
    assert (contact.role_title, world.status(contact)) == ("Buyer", "disabled")
    assert world.calls("mutation") == mutations
    list_action(admin, contact, "turn_sync_on")
    world.work(contact)
    assert (contact.role_title, world.values(contact)["notes"]) == ("Head", "ours")
    assert SyncConflict.objects.get(resolved_at=None).conflict_fields == ["phone"]


def test_a_blocked_field_shows_what_our_own_write_left_on_monday_and_when(world: World) -> None:
    contact = world.linked("Ann", role_title="Buyer")
    world.save(contact, role_title="Head")
    world.delete_column("role_title")
    world.save(contact, role_title="Owner")
    contact.refresh_from_db()
    [field] = [field for field in record_view.describe_one(contact).fields if field.key == "role_title"]
    assert (field.local, field.remote, field.reason_code) == ("Owner", "Head", FieldReason.BLOCKED)
    assert field.read_at is not None


def lines_of(client: Client, record: Any) -> list[tuple[str, str, str]]:
    acts = client.get(reverse("admin:npd_contact_change", args=[record.pk])).context["activity"]["acts"]
    return [(line.label or line.sentence, line.before, line.after) for act in acts for line in act.lines]


def test_what_somebody_edited_and_the_sync_sent_is_one_line(world: World, admin: Client) -> None:
    contact = world.linked("Ann", role_title="Buyer", phone="+442079460018")
    before = lines_of(admin, contact)
    world.save(contact, role_title="Head")
    world.edit(contact, "phone", {"phone": "+442079460099", "countryShortName": "GB"})
    world.hear(contact)
    new = lines_of(admin, contact)[: -len(before)]
    assert new == [
        ("Phone", "+44 20 7946 0018", "+44 20 7946 0099"), ("Role", "Buyer", "Head"),
    ]  # fmt: skip


def test_of_several_edits_that_were_sent_at_once_all_but_the_last_keep_their_lines(world: World, admin: Client) -> None:
    contact = world.linked("Ann", role_title="Buyer", sync_direction="npd_to_monday")
    world.save(contact, sync_enabled=False)
    for role in ("Head", "Director"):
        world.save(contact, role_title=role)
    before = lines_of(admin, contact)
    act(admin, contact, "sync_now")
    world.work()
    assert Decision.objects.filter(kind="push", values__before="Buyer").exists()
    assert [line for line in lines_of(admin, contact) if line not in before] == [("Role", "Buyer", "Director")]
    assert ("Role", "Buyer", "Head") in lines_of(admin, contact)


def test_an_import_and_what_was_sent_of_it_is_one_line(world: World, admin: Client) -> None:
    contact = world.linked("Ann", email="ann@example.com", role_title="Buyer", notes="Old")
    before = lines_of(admin, contact)
    imported(admin, "Email,Role,Notes\nann@example.com,Head,New\n")
    world.work()
    assert Decision.objects.filter(kind="push", values__before="Buyer").exists()
    new = lines_of(admin, contact)[: -len(before)]
    assert sorted(new) == [("Notes", "Old", "New"), ("Role", "Buyer", "Head")]
    page = admin.get(reverse("admin:npd_contact_change", args=[contact.pk]))
    admin.post(page.context["activity"]["acts"][0].offer.url, {"confirmed": "yes"})
    contact.refresh_from_db()
    assert (contact.role_title, contact.notes) == ("Buyer", "Old")


def test_jobs_and_requests_are_on_the_page_of_an_entry(world: World, admin: Client) -> None:
    contact = world.linked("Ann", role_title="Buyer")
    reader = world.browser(staff_who_may("view_contact"))
    world.save(contact, role_title="Head")
    page = reverse("admin:npd_contact_change", args=[contact.pk])
    shown = reader.get(page).content.decode()
    assert ("Role" in shown, "Monday request" in shown, "job #" in shown) == (True, False, False)
    entry = re.search(r'href="([^"]*/decision/\d+/change/)">What led to it', admin.get(page).content.decode())
    assert entry
    assert "job #" in admin.get(entry[1]).content.decode()
