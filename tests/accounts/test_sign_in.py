"""Signing in by password: who gets in, how many wrong tries are allowed, and what a session may do."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.db import IntegrityError, transaction

from sync.models import CacheEntry
from tests.accounts.signing_in import is_in, sign_in


def test_twenty_wrong_passwords_close_the_sign_in_for_all_spellings_of_a_username_from_anywhere(db: None) -> None:
    User.objects.create_user("sissi", password="right", is_staff=True)
    spellings = ["sissi", "SISSI", "ſissi", "siſſi", "sıssı"]
    for number in range(20):
        name, host = spellings[number % len(spellings)], f"localhost:{1_000 + number}"
        sign_in("wrong", name=name, REMOTE_ADDR=f"192.0.2.{number}", HTTP_HOST=host)
    client, answer = sign_in(name="sissi", REMOTE_ADDR="192.0.2.99")
    assert "Too many failed login attempts" in answer.content.decode()
    assert not is_in(client)
    # The count is shared by all processes.
    assert CacheEntry.objects.filter(cache_key__contains="login_failed").exists()


def test_an_address_that_fails_ten_times_waits_whatever_else_is_in_the_cache_and_nobody_else_does(ada: User) -> None:
    for number in range(10):
        sign_in("wrong", name=f"name{number}", REMOTE_ADDR="192.0.2.1")
    cache.set_many({f"other{number}": "x" for number in range(400)})  # Django's own limit is 300
    assert not is_in(sign_in(REMOTE_ADDR="192.0.2.1")[0])
    assert is_in(sign_in(REMOTE_ADDR="192.0.2.2")[0])


def test_whoever_is_no_staff_is_told_so_and_can_sign_out(db: None) -> None:
    User.objects.create_user("program", "program@example.test", "right")
    client, _answer = sign_in(name="program")
    page = client.get("/admin/", follow=True)
    assert page.status_code == 403
    assert 'action="/accounts/logout/"' in page.content.decode()


def test_a_password_is_changed_on_the_page_that_counts_wrong_ones(ada: User) -> None:
    client, _answer = sign_in()
    assert client.get("/admin/password_change/").headers["Location"] == "/accounts/password/change/"


def test_a_user_has_one_verified_address_which_is_that_of_their_account(db: None) -> None:
    call_command("createsuperuser", "--noinput", "--username", "eve", "--email", "Eve@Example.test")
    eve = User.objects.get(username="eve")

    def addresses() -> list[Any]:
        return list(EmailAddress.objects.filter(user=eve).values_list("email", "verified", "primary"))

    assert addresses() == [("eve@example.test", True, True)]
    eve.email = "eva@example.test"
    eve.save()
    assert addresses() == [("eva@example.test", True, True)]
    eve.email = ""
    eve.save()
    assert addresses() == []


def test_no_two_users_have_one_address_in_whatever_letters(ada: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("bo", "ADA@Example.test")
    User.objects.create_user("cy")
    User.objects.create_user("di")
