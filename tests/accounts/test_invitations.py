"""A colleague is invited by mail: what the link does, how often, and who may send one."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client
from django.utils import timezone

from npd.accounts import invitations
from npd.accounts.invitations import ROLES, invite
from npd.models import Contact

pytestmark = pytest.mark.django_db
INVITE = "/admin/auth/user/invite/"
PASSWORD = {"new_password1": "a-long-one-7-times", "new_password2": "a-long-one-7-times"}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("dora", "dora@example.com", "x", first_name="Dora"))
    return client


def link() -> str:
    """The link of the latest mail, as a path of this site."""
    found = re.search(r"https?://[^/\s]+(/admin/invitation/\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1]


def send(admin: Client, **more: Any) -> Any:
    role = Group.objects.get(name="NPD Sync: resolve conflicts")
    form = {"email": "Rosa@example.com", "first_name": "Rosa", "last_name": "", "role": role.pk}
    return admin.post(INVITE, form | more)


def test_an_invitation_makes_an_account_that_its_person_alone_opens(admin: Client) -> None:
    assert len(admin.get(INVITE).context["form"].fields["role"].choices) == len(ROLES)
    assert "checked" not in str(admin.get(INVITE).context["form"]["role"])
    assert send(admin, role="").context["form"].has_error("role", "required")
    sent = send(admin)
    rosa = User.objects.get(username="rosa@example.com")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/admin/auth/user/")
    [said] = admin.get(sent.headers["Location"]).context["messages"]
    assert f'href="/admin/auth/user/{rosa.pk}/change/"' in said.message
    assert "“Resolve conflicts”" in said.message
    assert "rosa@example.com" in said.message.lower()
    assert (rosa.is_staff, rosa.has_usable_password()) == (True, False)
    assert [one.name for one in rosa.groups.all()] == ["NPD Sync: resolve conflicts"]
    [letter] = mail.outbox
    assert letter.to == ["Rosa@example.com"]
    assert "/admin/notifications/" not in letter.body
    assert "“Resolve conflicts”" in letter.body
    told = [*LogEntry.objects.values_list("change_message", flat=True), *admin.session.values()]
    assert not any(link().split("/")[-2] in str(one) for one in told)

    browser = Client()
    page = browser.get(link(), follow=True)
    assert (page.status_code, page.context["validlink"]) == (200, True)
    assert page.context["roles"] == "Resolve conflicts"
    short = browser.post(page.request["PATH_INFO"], {"new_password1": "12345", "new_password2": "12345"})
    assert (short.status_code, list(short.context["form"].errors)) == (200, ["new_password1"])
    assert not User.objects.get(pk=rosa.pk).has_usable_password()
    answer = browser.post(page.request["PATH_INFO"], PASSWORD)
    assert answer.headers["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    assert Client().login(username="rosa@example.com", password=PASSWORD["new_password1"])


def test_a_link_works_once_for_some_days_until_another_is_sent_and_while_the_account_is_on(
    admin: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def works(address: str) -> bool:
        return bool(Client().get(address, follow=True).context["validlink"])

    send(admin)
    rosa, first = User.objects.get(username="rosa@example.com"), link()
    assert works(first)
    again = f"/admin/auth/user/{rosa.pk}/invite-again/"
    assert admin.get(again).status_code == 200
    assert works(first)
    admin.post(again, {"confirmed": "yes"})
    assert (works(first), works(link())) == (False, True)
    User.objects.filter(pk=rosa.pk).update(is_active=False)
    assert not works(link())
    User.objects.filter(pk=rosa.pk).update(is_active=True)
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert not works(link())
    settings.PASSWORD_RESET_TIMEOUT = timedelta(days=7).total_seconds()
    browser = Client()
    page = browser.get(link(), follow=True)
    browser.post(page.request["PATH_INFO"], PASSWORD)
    assert not works(link())
    assert admin.get(again).status_code == 403
    assert admin.post(again, {"confirmed": "yes"}).status_code == 403


def test_a_colleague_who_edits_contacts_edits_them_and_resolves_conflicts_without_another_permission(
    admin: Client,
) -> None:
    role = Group.objects.get(name="NPD Sync: edit contacts")
    send(admin, role=role.pk)
    browser = Client()
    rosa = User.objects.get(username="rosa@example.com")
    browser.force_login(rosa)
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    pages = [f"/admin/npd/contact/{ann.pk}/delete/", "/admin/npd/contact/import/", "/admin/npd/organization/add/",
             "/admin/conflicts/syncconflict/", "/admin/sync/unmatcheditem/", "/admin/sync/decision/"]  # fmt: skip
    assert {page: browser.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    assert rosa.has_perm("conflicts.change_syncconflict")
    assert browser.get("/admin/sync/syncqueue/").status_code == 403


def test_nobody_is_invited_twice_and_no_role_is_made_up(admin: Client) -> None:
    assert send(admin, email="DORA@example.com").status_code == 200
    assert send(admin, email="no address").status_code == 200
    page = send(admin, email="").content.decode()
    assert "id_email_error" in re.findall(r'aria-describedby="([^"]+)"', page)[0].split()
    assert page.count('id="id_email_error"') == 1
    assert send(admin, role=Group.objects.create(name="Our own").pk).status_code == 200
    assert not mail.outbox
    assert User.objects.count() == 1


@pytest.mark.parametrize("backend", ["smtp", "filebased"])
def test_where_no_mail_can_be_sent_the_link_is_shown_once_to_who_invites(
    admin: Client, settings: Any, tmp_path: Path, backend: str
) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = f"django.core.mail.backends.{backend}.EmailBackend", ""
    settings.EMAIL_FILE_PATH = tmp_path
    answer = send(admin)
    [said] = [text for text in (answer.context["made"].problem,) if text]
    assert ("as a file into var/mail" in said) == (backend == "filebased")
    assert len([*tmp_path.iterdir()]) == (1 if backend == "filebased" else 0)
    assert "no-store" in answer.headers["Cache-Control"]
    shown = answer.context["made"].link
    assert shown in answer.content.decode()
    assert Client().get(shown.removeprefix(settings.SITE_URL), follow=True).context["validlink"]
    assert not any(shown in str(one) for one in [*admin.session.values(), *LogEntry.objects.values("change_message")])


def test_administrators_alone_invite(client: Client) -> None:
    for user in (User.objects.create_user("clerk", is_staff=True), User.objects.create_user("nobody")):
        client.force_login(user)
        assert client.get(INVITE).status_code in (302, 403)
        assert send(client).status_code in (302, 403)
    assert not mail.outbox


def test_every_role_is_a_group_that_the_migrations_make() -> None:
    assert {role.group for role in ROLES} == {
        name for name in Group.objects.values_list("name", flat=True) if name.startswith("NPD Sync: ")
    }


def test_a_link_of_a_password_reset_opens_nothing_here(admin: Client) -> None:
    made = invite(User.objects.get(username="dora"), "eve@example.com", Group.objects.get(name=ROLES[0].group))
    assert made.until > timezone.now() + timedelta(days=6)
    key = link().split("/")[-3]
    other = type(invitations.tokens).__mro__[1]().make_token(made.user)
    assert not Client().get(f"/admin/invitation/{key}/{other}/").context["validlink"]
