"""Users and tokens in the admin: no page shows a key, but for a new token once; and whose tokens who manages."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from npd.accounts.invitations import ROLES
from sync.clock import sync_now
from sync.models import ApiToken, NotificationReceiver

TOKENS = "/admin/sync/apitoken/"
FORM = {"name": "newsletter tool", "scopes": ["read", "write"], "days": "30"}


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk", "clerk@example.test", "x", is_staff=True)


@pytest.fixture
def of_clerk(clerk: User) -> Client:
    client = Client()
    client.force_login(clerk)
    return client


def opens(text: str) -> bool:
    headers = {"Authorization": f"Bearer {text}"}
    return bool(APIClient().get("/api/v1/me", headers=headers).status_code == 200)


def assert_shown_once(answer: Any, client: Client) -> str:
    """Return the text, which no message, cookie or cache has kept."""
    text = str(answer.context["token"])
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert text in unescape(answer.content.decode())
    kept = [*client.cookies.values(), *client.session.values()]
    assert not any(text in str(one) for one in kept)
    assert "messages" not in client.cookies
    return text


def test_before_a_user_is_deleted_no_token_is_shown(browser: Client, clerk: User) -> None:
    key = Token.objects.create(user=clerk).key
    page = browser.get(f"/admin/auth/user/{clerk.pk}/delete/").content.decode()
    listed = browser.post(
        "/admin/auth/user/", {"action": "delete_selected", "_selected_action": [str(clerk.pk)]}
    ).content.decode()
    for html in (page, listed):
        assert "Token: •••" in html
        assert key not in html
    ApiToken.objects.issue(clerk, "newsletter tool")
    NotificationReceiver.objects.create(user=clerk, frequency="daily")
    browser.post(f"/admin/auth/user/{clerk.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=clerk.pk).exists()
    assert not Token.objects.filter(key=key).exists()
    assert not ApiToken.objects.exists()


def test_whom_an_administrator_adds_may_sign_in_and_is_put_into_groups_that_say_what_they_are_for(
    browser: Client, db: None
) -> None:
    group, own = Group.objects.get_or_create(name="NPD Sync: view")[0], Group.objects.create(name="Our own")
    form = browser.get("/admin/auth/user/add/").context["adminform"].form
    labels = {str(value): label for value, label in form.fields["groups"].choices}
    assert (labels[str(group.pk)] == group.name, labels[str(own.pk)] == own.name) == (False, True)
    names = [*(role.group for role in ROLES), own.name]
    assert [Group.objects.get(pk=pk).name for pk in labels] == names
    assert [one.name for one in browser.get("/admin/auth/group/").context["cl"].result_list] == names
    sent = {"username": "eve", "email": "eve@example.com", "password1": "a-long-one-7", "password2": "a-long-one-7"}
    assert form["is_staff"].value()
    more = {"is_staff": "on", "groups": [str(group.pk)]}
    assert browser.post("/admin/auth/user/add/", sent | more).status_code == 302
    eve = User.objects.get(username="eve")
    assert (eve.is_staff, eve.email, list(eve.groups.all())) == (True, "eve@example.com", [group])


def test_a_group_keeps_permissions_that_no_page_needs(browser: Client, db: None) -> None:
    group = Group.objects.create(name="Old hands")
    group.permissions.set(Permission.objects.filter(codename__in=["view_session", "view_contact"]))
    address = f"/admin/auth/group/{group.pk}/change/"
    choices = browser.get(address).context["adminform"].form.fields["permissions"]
    labels = dict(choices.choices)
    assert "Contacts: Can view contact" in labels.values()
    assert not any("content type" in label for label in labels.values())
    sent = [pk for pk, label in labels.items() if label.endswith(("Can view session", "Can view contact"))]
    browser.post(address, {"name": "Old hands", "permissions": [str(pk) for pk in sent]})
    assert set(group.permissions.values_list("codename", flat=True)) == {"view_session", "view_contact"}


def test_a_new_token_is_shown_once_and_opens_the_api(of_clerk: Client, clerk: User) -> None:
    text = assert_shown_once(of_clerk.post(f"{TOKENS}add/", FORM), of_clerk)
    token = ApiToken.objects.get()
    assert (token.user, token.name, token.scopes) == (clerk, "newsletter tool", ["read", "write"])
    assert token.expires_at
    assert (token.expires_at - sync_now()).days in (29, 30)
    assert opens(text)
    for page in (of_clerk.get(TOKENS), of_clerk.get(f"{TOKENS}{token.pk}/change/")):
        html = page.content.decode()
        assert "newsletter tool" in html
        assert text not in html
        assert token.digest not in html


def test_a_token_without_a_scope_is_not_made(of_clerk: Client) -> None:
    assert of_clerk.post(f"{TOKENS}add/", {**FORM, "scopes": []}).status_code == 400
    assert not ApiToken.objects.exists()


def test_a_token_is_rotated_with_a_grace_and_revoked_after_a_question(of_clerk: Client, clerk: User) -> None:
    token, old = ApiToken.objects.issue(clerk, "newsletter tool")
    new = assert_shown_once(of_clerk.post(f"{TOKENS}{token.pk}/rotate/", {"hours": "1"}), of_clerk)
    assert (opens(old), opens(new)) == (True, True)
    newest = assert_shown_once(of_clerk.post(f"{TOKENS}{token.pk}/rotate/", {"hours": "0"}), of_clerk)
    assert (opens(new), opens(newest)) == (False, True)
    asked = of_clerk.post(f"{TOKENS}{token.pk}/revoke/")
    assert (asked.status_code, opens(newest)) == (200, True)
    of_clerk.post(f"{TOKENS}{token.pk}/revoke/", {"confirmed": "yes"})
    assert not opens(newest)


def test_everybody_manages_their_own_and_an_administrator_sees_all(
    of_clerk: Client, browser: Client, clerk: User, person: User
) -> None:
    mine, text = ApiToken.objects.issue(clerk, "of the clerk")
    other, _text = ApiToken.objects.issue(person, "of the administrator")
    assert "of the administrator" not in of_clerk.get(TOKENS).content.decode()
    for act in ("change", "rotate", "revoke"):
        assert of_clerk.get(f"{TOKENS}{other.pk}/{act}/").status_code == 302
    of_clerk.post(f"{TOKENS}{other.pk}/revoke/", {"confirmed": "yes"})
    other.refresh_from_db()
    assert other.revoked_at is None
    assert "of the clerk" in browser.get(TOKENS).content.decode()
    # With another's text, an administrator would act under that name.
    assert browser.post(f"{TOKENS}{mine.pk}/rotate/", {"hours": "0"}).status_code == 403
    browser.post(f"{TOKENS}{mine.pk}/revoke/", {"confirmed": "yes"})
    assert not opens(text)


def test_only_an_administrator_makes_a_token_for_another_user(
    of_clerk: Client, browser: Client, clerk: User, person: User
) -> None:
    of_clerk.post(f"{TOKENS}add/", {**FORM, "user": person.pk})
    browser.post(f"{TOKENS}add/", {**FORM, "user": clerk.pk})
    assert [token.user for token in ApiToken.objects.all()] == [clerk, clerk]


def test_whoever_may_change_users_and_is_no_administrator_views_them_and_changes_none(
    of_clerk: Client, clerk: User, person: User
) -> None:
    group = Group.objects.create(name="Old hands")
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    hashed = person.password
    form = {"username": "clerk", "is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": [str(group.pk)]}
    dates = {f"{name}_{part}": "" for name in ("last_login", "date_joined") for part in (0, 1)}
    passwords = {"password1": "Another-1-word", "password2": "Another-1-word", "usable_password": "true"}
    acts: list[tuple[str, dict[str, Any]]] = [
        (f"user/{clerk.pk}/change/", form | dates),
        ("user/add/", {"username": "new", **passwords}),
        (f"user/{person.pk}/delete/", {"post": "yes"}),
        (f"user/{person.pk}/password/", {**passwords, "set-password": "1"}),
        (f"user/{person.pk}/reset-two-factor/", {"confirmed": "yes"}),
        (f"user/{person.pk}/end-sessions/", {"confirmed": "yes"}),
        (f"group/{group.pk}/change/", {"name": "New hands"}),
        ("group/add/", {"name": "Newer hands"}),
        (f"group/{group.pk}/delete/", {"post": "yes"}),
    ]
    assert [of_clerk.post(f"/admin/auth/{path}", sent).status_code for path, sent in acts] == [403] * len(acts)
    for kind, pk in (("user", person.pk), ("group", group.pk)):
        several = {"action": "delete_selected", "_selected_action": [str(pk)], "post": "yes"}
        of_clerk.post(f"/admin/auth/{kind}/", several)
        assert of_clerk.get(f"/admin/auth/{kind}/").status_code == 200
        html = of_clerk.get(f"/admin/auth/{kind}/{pk}/change/").content.decode()
        assert "Old hands" in html or person.username in html
        assert hashed not in html
        assert "../password/" not in html
    clerk.refresh_from_db()
    person.refresh_from_db()
    assert (clerk.is_superuser, person.password, User.objects.count()) == (False, hashed, 2)
    assert [one.name for one in Group.objects.filter(name__endswith="hands")] == ["Old hands"]
