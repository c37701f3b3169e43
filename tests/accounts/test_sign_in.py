"""Signing in by password: who gets in, how often a wrong one is tried, and what a session may."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client

from sync.models import CacheEntry
from tests.accounts.signing_in import LOGIN, grow_old, is_in, sign_in

PASSWORD = "/accounts/password/change/"
NEW = {"oldpassword": "right", "password1": "Quite-another-1", "password2": "Quite-another-1"}


def test_who_signs_in_gets_to_the_page_that_they_asked_for_and_no_mail(ada: User, mailoutbox: list[Any]) -> None:
    client = Client()
    sign_in_page = client.get("/admin/npd/contact/", follow=True)
    assert sign_in_page.redirect_chain[-1][0].startswith(LOGIN)
    assert sign_in_page.context["redirect_field_value"] == "/admin/npd/contact/"
    answer = client.post(LOGIN, {"login": "ada", "password": "right", "next": "/admin/npd/contact/"})
    assert answer.headers["Location"] == "/admin/npd/contact/"
    assert is_in(client)
    assert not mailoutbox


@pytest.mark.parametrize(
    "address", ["signup/", "password/reset/", "email/", "confirm-email/", "login/code/", "3rdparty/", "social/signup/"]
)
def test_there_is_no_address_to_sign_up_or_to_reset_a_password(ada: User, address: str) -> None:
    client, _answer = sign_in()
    for browser in (client, Client()):
        assert browser.get(f"/accounts/{address}").status_code == 404


def test_twenty_wrong_passwords_for_a_user_close_the_sign_in_for_five_minutes_from_anywhere(ada: User) -> None:
    for number in range(20):
        name = "ADA" if number % 2 else "ada"
        sign_in("wrong", name=name, REMOTE_ADDR=f"192.0.2.{number}", HTTP_HOST=f"localhost:{1_000 + number}")
    client, answer = sign_in(REMOTE_ADDR="192.0.2.99")
    assert "Too many failed login attempts" in answer.content.decode()
    assert not is_in(client)
    # Counted where all processes count together.
    assert CacheEntry.objects.filter(cache_key__contains="login_failed").exists()


def test_wrong_passwords_are_counted_together_for_all_spellings_of_a_username(db: None) -> None:
    User.objects.create_user("sissi", password="right", is_staff=True)
    spellings = ["sissi", "SISSI", "ſissi", "siſſi", "sıssı"]
    for number in range(20):
        sign_in("wrong", name=spellings[number % len(spellings)], REMOTE_ADDR=f"192.0.2.{number}")
    client, answer = sign_in(name="sissi", REMOTE_ADDR="192.0.2.99")
    assert "Too many failed login attempts" in answer.content.decode()
    assert not is_in(client)


def test_an_address_that_fails_ten_times_waits_a_minute_and_nobody_else_does(ada: User) -> None:
    for number in range(10):
        sign_in("wrong", name=f"name{number}", REMOTE_ADDR="192.0.2.1")
    assert not is_in(sign_in(REMOTE_ADDR="192.0.2.1")[0])
    assert is_in(sign_in(REMOTE_ADDR="192.0.2.2")[0])


def test_an_address_waits_however_much_else_is_in_the_cache(ada: User) -> None:
    for number in range(10):
        sign_in("wrong", name=f"name{number}")
    cache.set_many({f"other{number}": "x" for number in range(400)})  # Django's own limit is 300
    assert not is_in(sign_in()[0])


def test_after_thirty_tries_in_a_minute_an_address_gets_a_page_that_says_what_to_do(ada: User) -> None:
    answers = [sign_in("wrong", name="nobody")[1] for _ in range(31)]
    assert [answer.status_code for answer in answers[29:]] == [200, 429]
    assert "Wait some minutes" in answers[30].content.decode()


def test_whoever_is_no_staff_is_told_so_and_can_sign_out(db: None) -> None:
    User.objects.create_user("program", "program@example.test", "right")
    client, _answer = sign_in(name="program")
    page = client.get("/admin/", follow=True)
    assert page.status_code == 403
    assert 'action="/accounts/logout/"' in page.content.decode()


def test_another_password_ends_the_other_sessions(ada: User) -> None:
    client, _answer = sign_in()
    other_client, _answer = sign_in()
    assert client.get("/admin/password_change/").headers["Location"] == PASSWORD
    assert client.post(PASSWORD, NEW).status_code == 302
    assert [is_in(client), is_in(other_client)] == [True, False]


def test_whoever_has_got_hold_of_a_session_guesses_few_passwords(ada: User) -> None:
    client, _answer = sign_in()
    answers = [client.post(PASSWORD, NEW | {"oldpassword": "wrong"}).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]
    grow_old(client)
    answers = [client.post("/accounts/reauthenticate/", {"password": "wrong"}).status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]


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
