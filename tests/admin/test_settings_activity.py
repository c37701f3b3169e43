"""What people change in settings, boards and users is in the activity by their name, with the old and new value."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from sync.models import ActivityLine, ApiToken, BoardLink
from tests.admin import states
from tests.admin.forms import values_of
from tests.admin.test_people import USERS, form_of
from tests.admin.test_records import row_of, words_of
from tests.notifications.conftest import SLACK
from tests.support.people import signed_in, staff_who_may
from tests.wizard.conftest import START

LIST = "/admin/sync/activityline/"
SECRETS = ("a-long-one-7-times", "hooks.slack.com")


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk", "clerk@example.test", "x", is_staff=True)


def lines() -> list[str]:
    """The sentences of the settings' lines, the oldest first, all by the person; nothing else logged them."""
    assert not LogEntry.objects.exists()
    rows = ActivityLine.objects.filter(kind="settings").order_by("id")
    assert {row.actor for row in rows} <= {"Dora Demo"}
    assert not any(secret in str(row.sentence.params) for row in rows for secret in SECRETS)
    return [str(row.sentence) for row in rows]


def save(browser: Client, address: str, form_id: str, **changes: Any) -> None:
    sent = {name: value for name, value in {**values_of(browser.get(address), form_id), **changes}.items() if value}
    assert browser.post(address, sent).status_code == 302


def test_a_boards_policies(browser: Client) -> None:
    states.boards()
    page = f"/admin/sync/boardlink/{BoardLink.objects.get(entity_type='contact').pk}/change/"
    save(browser, page, "boardlink_form")
    assert lines() == []
    save(browser, page, "boardlink_form", removed_item_policy="unlink", creates_records="")
    [line] = lines()
    assert "The board “Contacts”: " in line
    assert "When an item is deleted on Monday: “Ask” → “Unlink the record”" in line
    row = row_of(browser.get(f"{LIST}?kind=settings&person=dora").content.decode(), "Unlink the record")
    assert words_of(row).endswith(f"Contact {line} Dora Demo ")
    assert "/undo/" not in row
    assert line not in words_of(browser.get(f"{LIST}?kind=link").content.decode())
    reader = signed_in(staff_who_may("view_activityline", name="reader"))
    [row] = reader.get("/api/v1/sync/activity/?kind=settings").json()["results"]
    assert (row["code"], row["sentence"], row["entity_type"]) == ("settings_changed", line, "contact")


def test_a_boards_form_says_who_changed_a_setting_meanwhile(browser: Client, client: Client) -> None:
    states.boards()
    board = BoardLink.objects.get(entity_type="contact")
    page = f"/admin/sync/boardlink/{board.pk}/change/"
    client.force_login(User.objects.create_superuser("olga", first_name="Olga", last_name="Petrova"))
    opened = values_of(browser.get(page), "boardlink_form")
    save(client, page, "boardlink_form", removed_item_policy="unlink")
    answer = browser.post(page, opened | {"removed_item_policy": "delete_record"})
    assert "changed meanwhile by Olga Petrova, " in words_of(answer.content.decode())


def test_a_user_is_added_changed_and_deleted(browser: Client, clerk: User) -> None:
    resolve, edit = Group.objects.get(name="Resolve"), Group.objects.get(name="Edit")
    sent = {"username": "eve", "email": "eve@example.com", "is_staff": "on", "groups": [str(resolve.pk)]}
    browser.post(f"{USERS}add/", sent | {"_save": "Save"})
    eve = User.objects.get(username="eve")
    browser.post(f"{USERS}{eve.pk}/change/", form_of(eve, is_active="") | {"groups": [str(edit.pk)]})
    passwords = {"password1": SECRETS[0], "password2": SECRETS[0], "usable_password": "true", "set-password": "1"}
    browser.post(f"{USERS}{clerk.pk}/password/", passwords)
    browser.post(f"{USERS}{eve.pk}/delete/", {"post": "yes"})
    assert lines() == [
        "Added the user “eve”: Email address “eve@example.com”; May sign in here “on”; Groups “Resolve”.",
        "The user “eve”: Active: “on” → “off”; Groups: now with “Edit” without “Resolve”.",
        "The user “clerk”: new password.",
        "Deleted the user “eve”.",
    ]


def test_ways_to_sign_in_that_end_or_begin(browser: Client, clerk: User) -> None:
    Authenticator.objects.create(user=clerk, type=Authenticator.Type.TOTP, data={})
    browser.post(f"{USERS}{clerk.pk}/send-link/")
    browser.post(f"{USERS}{clerk.pk}/remove-second-factor/", {"confirmed": "yes"})
    assert lines() == [
        "Made a link by which the user “clerk” sets a password.",
        "Removed the second factor of the user “clerk”.",
    ]


def test_only_administrators_see_what_became_of_accounts(browser: Client, clerk: User) -> None:
    browser.post(f"{USERS}{clerk.pk}/send-link/")
    [line] = lines()
    for reader, shows in ((browser, True), (signed_in(staff_who_may("view_activityline", name="reader")), False)):
        page = words_of(reader.get(f"{LIST}?kind=settings").content.decode())
        assert (line in page) is shows
        assert len(reader.get("/api/v1/sync/activity/?kind=settings").json()["results"]) == int(shows)
        opened = reader.get(f"{LIST}{ActivityLine.objects.get().pk}/change/", follow=True)
        assert (line in words_of(opened.content.decode())) is shows


def test_a_groups_permissions(browser: Client) -> None:
    group = Group.objects.create(name="Night shift")
    group.permissions.set(Permission.objects.filter(codename__in=["view_contact", "retry_syncqueue"]))
    kept = Permission.objects.get(codename="view_contact")
    browser.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Nights", "permissions": [str(kept.pk)]})
    [line] = lines()
    assert line == "The group “Nights”: Name: “Night shift” → “Nights”; Permissions: now without “Can retry jobs”."


def test_the_country_of_phone_numbers(browser: Client) -> None:
    browser.post(START, {"phone_region": "DE"})
    browser.post(START, {"phone_region": "DE"})
    assert lines() == ["Monday connection: Country of phone numbers: “United States” → “Germany”."]


def test_notifications_and_chats_without_their_addresses(browser: Client, person: User, settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.test"
    for frequency in ("daily", "daily"):
        browser.post("/admin/notifications/", {"act": "choose", "frequency": frequency})
    chat = {"act": "add", "name": "Ops", "address": SLACK, "frequency": "at_once"}
    browser.post("/admin/notifications/", chat)
    [line, added] = lines()
    assert line == "Notifications: By email: “Off” → “Once a day, at 08:00 UTC”."
    assert added == "Added the chat “Ops”: How often “At once”."


def test_an_api_token_by_its_name_alone(browser: Client, person: User) -> None:
    browser.post("/admin/sync/apitoken/add/", {"name": "Nightly export", "user": person.pk, "days": "30"})
    browser.post(f"/admin/sync/apitoken/{ApiToken.objects.get().pk}/delete/", {"post": "yes"})
    assert lines() == ["Added the API token “Nightly export”: Owner “dora”.", "Deleted the API token “Nightly export”."]


def test_one_person_has_one_name_in_the_activity_and_is_found_by_either(browser: Client, person: User) -> None:
    olga = User.objects.create_user("od1", first_name="Olga", last_name="Dietz")
    record = states.synced("Ann", "5001")
    for actor in ("od1", "Olga Dietz"):
        states.decided(record, f"Line of {actor}.", actor=actor, kind="link")
    for name in ("Olga", "OD1", "olga dietz"):
        html = browser.get(f"{LIST}?person={name}").content.decode()
        assert words_of(row_of(html, "Line of od1.")).endswith("Olga Dietz ")
    olga.is_staff = True
    olga.save()
    html = browser.get(LIST).content.decode()
    assert 'list="npd-people"' in html
    assert '<option value="Olga Dietz">' in html
    page = words_of(browser.get(f"/admin/npd/contact/{record.pk}/change/").content.decode())
    assert page.count("Olga Dietz,") == 2
