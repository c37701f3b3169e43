"""Users and tokens in the admin: no page shows a key, but for a new token once."""

from __future__ import annotations

from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

ADD_TOKEN = "/admin/knox/authtoken/add/"


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk", "clerk@example.test", "x")


def test_before_a_user_is_deleted_no_token_is_shown(browser_of_person: Client, clerk: User) -> None:
    key = Token.objects.create(user=clerk).key
    page = browser_of_person.get(f"/admin/auth/user/{clerk.pk}/delete/").content.decode()
    listed = browser_of_person.post(
        "/admin/auth/user/", {"action": "delete_selected", "_selected_action": [str(clerk.pk)]}
    ).content.decode()
    for html in (page, listed):
        assert "Token: •••" in html
        assert key not in html
    browser_of_person.post(f"/admin/auth/user/{clerk.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=clerk.pk).exists()
    assert not Token.objects.filter(key=key).exists()


def test_a_new_token_is_shown_once_and_opens_the_api(browser_of_person: Client, person: User) -> None:
    form = {"user": person.pk, "expiry_0": "2999-01-31", "expiry_1": "12:00:00"}
    answer = browser_of_person.post(ADD_TOKEN, form)
    [token] = AuthToken.objects.all()
    assert f"{token.expiry:%Y-%m-%d %H:%M}" == "2999-01-31 12:00"
    key = answer.context["token"]
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert key in unescape(answer.content.decode())
    kept = [*browser_of_person.cookies.values(), *browser_of_person.session.values()]
    assert not any(key in str(one) for one in kept)
    assert "messages" not in browser_of_person.cookies
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert api.get("/api/v1/contacts/").status_code == 200
    change = browser_of_person.get(f"/admin/knox/authtoken/{token.pk}/change/")
    assert change.status_code == 200
    for page in (change, browser_of_person.get("/admin/knox/authtoken/")):
        assert key not in page.content.decode()


def test_a_token_that_is_over_opens_nothing(browser_of_person: Client, person: User) -> None:
    form = {"user": person.pk, "expiry_0": "2020-01-31", "expiry_1": "12:00:00"}
    answer = browser_of_person.post(ADD_TOKEN, form)
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.context['token']}")
    assert api.get("/api/v1/contacts/").status_code == 401
