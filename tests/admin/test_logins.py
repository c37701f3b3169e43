"""Signing in: guesses are slowed, told and counted; nobody is locked out from elsewhere; no login stops the site."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from sync.clock import sync_now
from sync.models import ApiToken, RequestCount
from sync.operations.retention import prune

LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "right")


def sign_in(password: str, name: str = "ada", address: str = "192.0.2.1", **headers: str) -> Any:
    return Client().post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address, headers=headers or None)


def fail(times: int, **how: str) -> None:
    assert {sign_in("wrong", **how).status_code for _ in range(times)} == {200}


def test_after_ten_failures_even_the_right_password_waits(ada: User) -> None:
    fail(9)
    assert sign_in("wrong").status_code == 429
    answer = sign_in("right")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert "sessionid" not in answer.cookies
    html = answer.content.decode()
    assert "15 minutes" in html
    assert f'class="button" href="{LOGIN}"' in html
    assert "ada" not in html
    # An address that is only said opens nothing; from elsewhere everybody signs in as before.
    assert sign_in("right", **{"X-Forwarded-For": "198.51.100.7"}).status_code == 429
    assert sign_in("right", address="192.0.2.2").status_code == 302


def test_after_a_failure_the_password_is_typed_anew(ada: User) -> None:
    for page, name in ((Client().get(LOGIN), "username"), (sign_in("wrong"), "password")):
        [focused] = re.findall(r"<input[^>]*\bautofocus\b[^>]*>", page.content.decode())
        assert f'name="{name}"' in focused


def test_a_wait_is_ended_by_a_command(ada: User) -> None:
    fail(9)
    sign_in("wrong")
    with pytest.raises(CommandError) as nobody:
        call_command("end_waits", "bo")
    assert nobody.value.returncode == 2
    assert sign_in("right").status_code == 429
    call_command("end_waits", "ada")
    assert sign_in("right").status_code == 302
    sign_in("wrong", address="2001:db8:1:2::1")
    call_command("end_waits", "2001:db8:1:2::9")
    assert not RequestCount.objects.filter(key__contains="2001").exists()


def test_one_network_of_ipv6_is_one_address(ada: User) -> None:
    fail(9, address="2001:db8:1:2::1")
    sign_in("wrong", address="2001:db8:1:2::2")
    assert sign_in("right", address="2001:db8:1:2::3").status_code == 429
    assert sign_in("right", address="2001:db8:1:3::1").status_code == 302


def test_the_wait_ends_by_itself_and_tries_meanwhile_do_not_prolong_it(ada: User) -> None:
    fail(9)
    sign_in("wrong")
    RequestCount.objects.update(ends_at=sync_now() + timedelta(minutes=1))
    before = int(sign_in("wrong").headers["Retry-After"])
    assert before <= 60
    RequestCount.objects.update(ends_at=sync_now() - timedelta(minutes=1))
    assert sign_in("right").status_code == 302


def test_an_address_that_tries_many_names_waits_for_all_of_them(ada: User, settings: Any) -> None:
    settings.LOGIN_ADDRESS_FAILURES = 20
    for number in range(19):
        assert sign_in("wrong", name=f"name{number}").status_code == 200
    assert sign_in("right").status_code == 302
    assert sign_in("wrong", name="last").status_code == 429
    assert sign_in("right").status_code == 429
    assert sign_in("right", address="192.0.2.2").status_code == 302


def test_a_name_longer_than_any_is_nobodys_and_costs_nothing(ada: User) -> None:
    fail(12, name="x" * 300)
    assert not RequestCount.objects.exists()


def test_a_login_forgets_ones_own_failures_and_no_others(ada: User) -> None:
    fail(9)
    User.objects.create_user("mallory", password="own", is_staff=True)
    assert sign_in("own", name="mallory").status_code == 302
    assert sign_in("wrong").status_code == 429
    RequestCount.objects.all().delete()
    fail(9)
    assert sign_in("right").status_code == 302
    fail(9)


def test_each_failed_try_leaves_a_line_but_never_what_is_no_name(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    sign_in("wrong")
    sign_in("wrong", name="my-password-by-mistake")
    sign_in("right")
    lines = [record.msg for record in caplog.records if record.name == "npd.accounts.limits"]
    assert [(line["event"], line["result"], line["user"], line["address"]) for line in lines] == [
        ("login", "failed", "ada", "192.0.2.1"),
        ("login", "failed", None, "192.0.2.1"),
    ]
    assert not any("my-password" in str(record.msg) for record in caplog.records)


def test_tokens_of_the_api_are_none_of_it(ada: User) -> None:
    fail(9)
    sign_in("wrong")
    headers = {"Authorization": f"Token {ApiToken.objects.issue(ada, 'caller')[1]}"}
    answer = Client().get("/api/v1/contacts/", headers=headers, REMOTE_ADDR="192.0.2.1")
    assert answer.status_code == 200


def test_failures_are_forgotten_after_a_day(ada: User) -> None:
    fail(1)
    RequestCount.objects.update(ends_at=sync_now() - timedelta(days=2))
    prune()
    assert not RequestCount.objects.exists()
