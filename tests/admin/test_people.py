"""Only administrators manage users and groups, one of them always remains, and a link invites a colleague."""

import re
from pathlib import Path
from smtplib import SMTPServerDisconnected
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.test import Client

from npd.groups import meaning_of
from sync.models import ActivityLine, ApiToken
from tests.support.people import signed_in
from tests.support.waiting import in_background, somebody_waits, wait_for

USERS = "/admin/auth/user/"
PASSWORD = {"new_password1": "a-long-one-7-times", "new_password2": "a-long-one-7-times"}


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk", "clerk@example.test", "x", is_staff=True)


MAIL_PASSWORD = "hunter2-of-the-server"


class Down(BaseEmailBackend):
    """A mail server that can't be reached."""

    def send_messages(self, email_messages: Any) -> int:
        raise SMTPServerDisconnected(f"connection lost after {MAIL_PASSWORD}")


def form_of(user: User, **more: str) -> dict[str, str]:
    """What this user's form sends; a value "" unticks a box."""
    boxes = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    sent = {"username": user.username, "email": user.email} | boxes | more
    return {name: value for name, value in sent.items() if value}


def page_of(link: str) -> Any:
    return Client().get(urlsplit(link).path, follow=True)


def set_by(link: str) -> Any:
    browser = Client()
    page = browser.get(urlsplit(link).path, follow=True)
    return browser.post(page.request["PATH_INFO"], PASSWORD)


def mailed_link() -> str:
    [link] = re.findall(r"\S+/set-password/\S+", str(mail.outbox[-1].body))
    return str(link)


# Who is added.


def test_whom_an_administrator_adds_signs_in_by_a_link_and_is_nobodys_double(browser: Client, clerk: User) -> None:
    group = Group.objects.get(name="Resolve")
    sent = {"username": "eve", "email": "eve@example.com", "is_staff": "on", "groups": [str(group.pk)]}
    form = browser.get(f"{USERS}add/").context["adminform"].form
    assert form["is_staff"].value() == "on"
    double = browser.post(f"{USERS}add/", sent | {"email": "CLERK@example.test"})
    assert double.context["adminform"].form.has_error("email")
    answer = browser.post(f"{USERS}add/", sent | {"_save": "Save"})
    eve = User.objects.get(username="eve")
    assert answer.headers["Location"] == f"{USERS}{eve.pk}/send-link/"
    link_page = browser.get(answer.headers["Location"]).content.decode()
    assert "eve is added." in link_page
    assert "edit it again" not in link_page
    assert (eve.is_staff, eve.has_usable_password(), list(eve.groups.all())) == (True, False, [group])
    assert "Without a group" not in link_page
    alone = browser.post(f"{USERS}add/", {"username": "eva", "is_staff": "on", "_save": "Save"}, follow=True)
    assert "Without a group, they may do nothing yet." in alone.content.decode()


def test_a_users_page_says_what_groups_may_do(browser: Client, person: User) -> None:
    page = browser.get(f"{USERS}{person.pk}/change/").content.decode()
    assert "<b>Resolve</b> sees contacts and organizations, and resolves conflicts." in page
    assert "<b>Edit</b> adds, changes, deletes, restores" in page


def test_what_a_group_may_do_is_said_as_an_administrator_left_it(db: None) -> None:
    resolve, edit, guests = Group.objects.get(name="Resolve"), Group.objects.get(name="Edit"), Group(name="Guests")
    guests.save()
    assert meaning_of(guests) == "nothing yet."
    guests.permissions.set(Permission.objects.filter(codename__in=["view_contact", "retry_syncqueue"]))
    assert meaning_of(guests) == "“Contact: view” and “Job: retry jobs”."
    edit.permissions.add(Permission.objects.get(codename="view_boardlink"))
    assert meaning_of(edit).endswith("conflicts. Also: “Board: view”.")
    resolve.permissions.remove(Permission.objects.get(codename="change_syncconflict"))
    assert "resolves conflicts" not in meaning_of(resolve)


def test_a_save_keeps_permissions_that_the_page_does_not_offer(browser: Client) -> None:
    hidden, offered, other = (
        Permission.objects.get(codename=name) for name in ("view_session", "view_contact", "add_session")
    )
    group = Group.objects.get(name="Resolve")
    group.permissions.set([hidden])
    address = f"/admin/auth/group/{group.pk}/change/"
    choices = set(browser.get(address).context["adminform"].form.fields["permissions"].queryset)
    assert {hidden, offered} <= choices
    assert other not in choices
    # Rows edited on another page have permissions of their own, and no permission without effect is offered.
    offered_names = {permission.codename for permission in choices}
    assert "change_fieldmapping" in offered_names
    assert offered_names.isdisjoint({"add_syncconflict", "change_syncqueue", "view_webhookevent"})
    browser.post(address, {"name": group.name, "permissions": [str(hidden.pk), str(offered.pk)]})
    assert set(group.permissions.all()) == {hidden, offered}


# A link to set a password.


def test_a_link_is_mailed_works_once_and_signs_nobody_in(browser: Client, clerk: User) -> None:
    clerk.set_unusable_password()
    clerk.save()
    assert "Send the link" in browser.get(f"{USERS}{clerk.pk}/send-link/").content.decode()
    assert not mail.outbox
    sent = browser.post(f"{USERS}{clerk.pk}/send-link/", follow=True)
    link = mailed_link()
    assert mail.outbox[-1].to == ["clerk@example.test"]
    assert link not in sent.content.decode()
    answer = set_by(link)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/")
    assert "_auth_user_id" not in answer.client.session
    clerk.refresh_from_db()
    assert clerk.check_password(PASSWORD["new_password1"])
    assert not page_of(link).context["validlink"]
    assert [(line.actor, str(line.sentence)) for line in ActivityLine.objects.order_by("id")] == [
        ("Dora Demo", "Made a link by which the user “clerk” sets a password."),
        ("clerk", "Set a password by a link."),
    ]


@pytest.mark.parametrize("why", ["no server", "files", "no address", "server down"])
def test_without_mail_the_link_is_shown(browser: Client, clerk: User, settings: Any, tmp_path: Path, why: str) -> None:
    settings.EMAIL_HOST = ""
    settings.EMAIL_FILE_PATH = tmp_path
    settings.SECRET_TEXTS = [MAIL_PASSWORD]
    if why != "no address":
        files = "django.core.mail.backends.filebased.EmailBackend"
        backends = {"no server": "sync.kernel.mails.EmailBackend", "files": files}
        settings.EMAIL_BACKEND = backends.get(why, f"{Down.__module__}.Down")
    if why == "no address":
        User.objects.filter(pk=clerk.pk).update(email="")
    answer = browser.post(f"{USERS}{clerk.pk}/send-link/")
    link = answer.context["text"]
    html = answer.content.decode()
    assert ("Emails are only written as files" in html) == (why == "files")
    assert ("No email server is set up" in html) == (why == "no server")
    assert ("The email server did not take the message: connection lost after" in html) == (why == "server down")
    assert MAIL_PASSWORD not in html
    assert link in html
    assert "no-store" in answer.headers["Cache-Control"]
    assert page_of(link).context["validlink"]
    stored_texts = [*browser.session.values(), *ActivityLine.objects.values("sentence", "values")]
    assert not any(link.rsplit("/", 2)[1] in str(text) for text in stored_texts)


def test_a_link_ends_with_its_user(browser: Client, clerk: User) -> None:
    browser.post(f"{USERS}{clerk.pk}/send-link/")
    link = mailed_link()
    User.objects.filter(pk=clerk.pk).update(is_active=False)
    assert not page_of(link).context["validlink"]
    assert browser.post(f"{USERS}{clerk.pk}/send-link/").status_code == 302
    assert len(mail.outbox) == 1


def test_ones_own_password_and_second_factor_need_the_old_one(browser: Client, person: User) -> None:
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": ""})
    for act in ("password", "send-link", "remove-second-factor"):
        answer = browser.post(f"{USERS}{person.pk}/{act}/", {"confirmed": "yes"})
        assert answer.status_code == 302, act
        assert answer.headers["Location"].startswith(("/admin/password_change/", "/accounts/"))


# The second factor.


def test_a_second_factor_is_removed_after_a_question_with_its_passkeys_and_codes(browser: Client, clerk: User) -> None:
    address = f"{USERS}{clerk.pk}/remove-second-factor/"
    assert address not in browser.get(f"{USERS}{clerk.pk}/change/").content.decode()
    assert browser.post(address, {"confirmed": "yes"}).status_code == 403
    for kind in Authenticator.Type.values:
        Authenticator.objects.create(user=clerk, type=kind, data={})
    assert address in browser.get(f"{USERS}{clerk.pk}/change/").content.decode()
    assert "passkeys" in browser.get(address).content.decode()
    browser.post(address)
    assert Authenticator.objects.count() == 3
    browser.post(address, {"confirmed": "yes"})
    assert not Authenticator.objects.exists()


# Administrators.


@pytest.mark.parametrize("lost", ["is_active", "is_staff", "is_superuser"])
def test_the_last_administrator_stays_one(browser: Client, person: User, clerk: User, lost: str) -> None:
    # Somebody who can't sign in doesn't count as an administrator.
    User.objects.create_superuser("gone", is_active=False)
    User.objects.create_user("program", is_superuser=True)
    eve = User.objects.create_superuser("eve", "eve@example.com")
    LogEntry.objects.log_actions(person.pk, [clerk], CHANGE, "Was changed.")
    answer = browser.post(f"{USERS}{person.pk}/change/", form_of(person, **{lost: ""}))
    assert "last administrator" in answer.content.decode()
    assert "last administrator" in browser.post(f"{USERS}{person.pk}/delete/", {"post": "yes"}).content.decode()
    several = {"action": "delete_selected", "post": "yes", "_selected_action": [str(person.pk), str(clerk.pk)]}
    assert "last administrator" in browser.post(USERS, several).content.decode()
    person.refresh_from_db()
    assert (person.is_active, person.is_staff, person.is_superuser) == (True, True, True)
    assert User.objects.filter(pk=clerk.pk).exists()
    eve.set_password("hers")
    eve.save()
    assert browser.post(f"{USERS}{person.pk}/change/", form_of(person, **{lost: ""})).status_code == 302


@pytest.mark.parametrize("way", ["a passkey", "the identity provider"])
def test_an_administrator_without_a_password_may_be_the_last_one(
    browser: Client, person: User, settings: Any, way: str
) -> None:
    eve = User.objects.create_superuser("eve", "eve@example.com")
    if way == "a passkey":
        Authenticator.objects.create(user=eve, type=Authenticator.Type.WEBAUTHN, data={})
    else:
        settings.OIDC_SERVER_URL = "https://login.example.com"
    assert browser.post(f"{USERS}{person.pk}/change/", form_of(person, is_superuser="")).status_code == 302


@pytest.mark.parametrize("act", ["change", "delete", "list"])
@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_remove_each_other_at_once_leave_one(act: str) -> None:
    first = User.objects.create_superuser("first", "first@example.com", "x")
    second = User.objects.create_superuser("second", "second@example.com", "x")
    browser = signed_in(second)
    acts: dict[str, tuple[str, Any]] = {
        "change": (f"{USERS}{first.pk}/change/", form_of(first, is_superuser="")),
        "delete": (f"{USERS}{first.pk}/delete/", {"post": "yes"}),
        "list": (USERS, {"action": "delete_selected", "post": "yes", "_selected_action": [str(first.pk)]}),
    }
    with transaction.atomic():
        User.objects.select_for_update().get(pk=second.pk)
        User.objects.filter(pk=second.pk).update(is_superuser=False)
        at_once = in_background(lambda: browser.post(*acts[act]))
        wait_for("the other waits for the lock", somebody_waits)
    assert "last administrator" in at_once.result(60).content.decode()
    assert User.objects.get(is_superuser=True) == first


def test_whoever_may_change_users_and_is_no_administrator_opens_and_changes_none(clerk: User, person: User) -> None:
    group = Group.objects.create(name="Old hands")
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    browser = signed_in(clerk)
    hashed = person.password
    passwords = {"password1": "Another-1-word", "password2": "Another-1-word", "usable_password": "true"}
    acts: list[tuple[str, dict[str, Any]]] = [
        (f"user/{clerk.pk}/change/", form_of(clerk, is_superuser="on")),
        ("user/add/", {"username": "new", **passwords}),
        (f"user/{person.pk}/delete/", {"post": "yes"}),
        (f"user/{person.pk}/password/", {**passwords, "set-password": "1"}),
        (f"user/{person.pk}/remove-second-factor/", {"confirmed": "yes"}),
        (f"user/{person.pk}/send-link/", {}),
        (f"group/{group.pk}/change/", {"name": "New hands"}),
    ]
    for path, sent in acts:
        assert browser.get(f"/admin/auth/{path}").status_code == 403, path
        assert browser.post(f"/admin/auth/{path}", sent).status_code == 403, path
    clerk.refresh_from_db()
    person.refresh_from_db()
    assert (clerk.is_superuser, person.password, User.objects.count()) == (False, hashed, 2)
    assert Group.objects.get(name__endswith="hands") == group
    assert not mail.outbox


def test_a_user_is_deleted_with_their_tokens_unless_the_audit_log_names_them(browser: Client, clerk: User) -> None:
    ApiToken.objects.create(clerk)
    # Users named in the audit log stay.
    [line] = LogEntry.objects.log_actions(clerk.pk, [clerk], CHANGE, "Set a password by a link.")
    several = {"action": "delete_selected", "post": "yes", "_selected_action": [str(clerk.pk)]}
    for page in (browser.post(f"{USERS}{clerk.pk}/delete/", {"post": "yes"}), browser.post(USERS, several)):
        assert "The audit log says what clerk did" in page.content.decode()
        assert "log entr" not in page.content.decode()
    LogEntry.objects.filter(pk=line.pk).delete()
    browser.post(f"{USERS}{clerk.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=clerk.pk).exists()
    assert not ApiToken.objects.exists()
