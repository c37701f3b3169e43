"""A code between the password and everything else: offered to everybody, asked of all where the setting says so."""

from __future__ import annotations

from base64 import b32decode
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command
from django.test import Client
from django_otp.oath import totp
from rest_framework.authtoken.models import Token

from npd.accounts.models import SecondFactor
from npd.accounts.second_factor import app_key, tell_turned_on, warn_of_wrong_codes
from sync.clock import sync_now
from tests.support.clock import move_clock

LOGIN, CODE, SET_UP, CHANGE = (
    f"/admin/{one}/" for one in ("login", "two-factor", "two-factor/set-up", "two-factor/change")
)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "right")


def code_of(user: User, step: int = 0) -> str:
    """What the person's app shows, so many half minutes later."""
    return code_by(app_key(SecondFactor.objects.get(user=user)), step)


def code_by(key: str, step: int = 0) -> str:
    return f"{totp(b32decode(key), drift=step):06d}"


def enrolled(user: User) -> list[str]:
    """The person has set it up, with a code of half a minute ago; returns the recovery codes."""
    client = Client()
    client.force_login(user)
    page = client.post(SET_UP, {"password": "right", "code": code_by(client.get(SET_UP).context["key"], -1)})
    codes: list[str] = page.context["codes"]
    return codes


def clock(offset: timedelta) -> None:
    """From here on it is so much later; the test's transaction takes it back."""
    move_clock(offset)


def with_password(address: str = "192.0.2.1") -> Client:
    client = Client(REMOTE_ADDR=address)
    assert client.post(LOGIN, {"username": "ada", "password": "right"}).status_code == 302
    return client


def test_the_password_alone_opens_nothing_and_a_code_works_once(ada: User) -> None:
    enrolled(ada)
    client = with_password()
    key = client.session.session_key
    assert client.get("/admin/npd/contact/").url.startswith(CODE)
    assert client.get("/api/v1/contacts/").status_code == 403
    assert client.get("/admin/live/").status_code == 403
    code = code_of(ada)
    assert client.post(CODE, {"code": code, "next": "/admin/npd/contact/"}).url == "/admin/npd/contact/"
    assert client.get("/admin/npd/contact/").status_code == 200
    assert client.session.session_key != key
    # The same code again, in another browser.
    other = with_password()
    assert other.post(CODE, {"code": code}).context["error"]
    assert other.get("/admin/npd/contact/").status_code == 302
    assert other.post(CODE, {"code": code_of(ada, 1), "next": "https://evil.example/"}).url == "/admin/"


def test_a_recovery_code_works_once_and_nothing_stored_can_be_used(ada: User) -> None:
    codes = enrolled(ada)
    assert len(codes) == 10
    factor = SecondFactor.objects.get()
    stored = f"{factor.sealed_key} {factor.recovery}"
    assert app_key(factor) not in stored
    assert not any(code.replace("-", "") in stored for code in codes)
    first, second = with_password(), with_password()
    assert first.post(CODE, {"code": codes[0].lower()}).status_code == 302
    assert second.post(CODE, {"code": codes[0]}).context["error"]


def test_a_code_that_was_refused_is_stored_nowhere(ada: User) -> None:
    """It may be a recovery code with one wrong letter, or one of the app that came during a lock."""
    enrolled(ada)
    with_password().post(CODE, {"code": "ABCD-EFGH-IJKL-MNOP"})
    stored = str(list(AccessAttempt.objects.values()))
    assert "code=" in stored
    assert "EFGH" not in stored


def test_wrong_codes_are_counted_as_failed_logins_and_the_password_does_not_reset_them(ada: User) -> None:
    enrolled(ada)
    for _ in range(9):
        assert with_password().post(CODE, {"code": "000000"}).status_code == 200
    client = with_password()
    refused = client.post(CODE, {"code": "000000"})
    assert (refused.status_code, client.post(CODE, {"code": code_of(ada)}).status_code) == (429, 429)
    # From elsewhere the person gets in.
    assert with_password("192.0.2.9").post(CODE, {"code": code_of(ada)}).status_code == 302


def test_after_twenty_wrong_codes_from_anywhere_none_is_accepted_for_a_while(ada: User) -> None:
    enrolled(ada)
    for n in range(20):
        with_password(f"198.51.100.{n}").post(CODE, {"code": "000000"})
    client = with_password("203.0.113.1")
    assert client.post(CODE, {"code": code_of(ada)}).context["error"]
    SecondFactor.objects.update(failed_at=sync_now() - timedelta(minutes=16))
    assert client.post(CODE, {"code": code_of(ada)}).status_code == 302


def test_a_persons_own_slips_are_told_as_nobodys_guessing(ada: User) -> None:
    enrolled(ada)
    client = with_password()
    for _ in range(5):
        client.post(CODE, {"code": "000000"})
    client.post(CODE, {"code": code_of(ada)})
    assert "wrong codes" not in client.get("/admin/", follow=True).content.decode()


def guesses(hours: int) -> int:
    """How many codes are tried for somebody who has the password and as many addresses as they like, by the hours."""
    tried = 0
    for minute in range(60 * hours):
        clock(timedelta(minutes=minute))
        while True:
            before = SecondFactor.objects.get().failures
            client = Client(REMOTE_ADDR=f"198.51.{tried % 200}.{minute % 250}")
            client.force_login(User.objects.get())
            assert client.post(CODE, {"code": "000000"}).context["error"]
            if SecondFactor.objects.get().failures == before:
                break
            tried += 1
    return tried


def test_the_wait_of_whoever_guesses_codes_doubles_and_its_owner_gets_in_meanwhile(
    ada: User, mailoutbox: list[Any]
) -> None:
    codes = enrolled(ada)
    # 20, then 5 after 15 and after 45 minutes; at the rate of the first hour it would be hundreds.
    assert guesses(1) == 30
    warn_of_wrong_codes()
    warn_of_wrong_codes()
    assert [(mail.to, "30 wrong" in mail.body) for mail in mailoutbox] == [(["ada@example.test"], True)]
    lines = LogEntry.objects.filter(object_id=ada.pk, change_message__contains="wrong two-factor codes")
    assert lines.count() == 3
    # No stranger without the password brings that about, and the owner has recovery codes; a right code ends nothing.
    client = with_password("203.0.113.1")
    assert client.post(CODE, {"code": codes[0]}).status_code == 302
    assert "30 wrong codes" in client.get("/admin/", follow=True).content.decode()
    code = code_of(ada, 2 * 59)
    assert with_password("203.0.113.2").post(CODE, {"code": code}).context["error"]
    # A new password does: whoever guessed doesn't know it.
    ada.set_password("right")
    ada.save()
    assert with_password("203.0.113.3").post(CODE, {"code": code}).status_code == 302
    assert SecondFactor.objects.get().failures == 0


def test_where_it_is_required_staff_set_it_up_before_anything_else(ada: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client = with_password()
    assert client.get("/admin/").url.startswith(SET_UP)
    page = client.get(SET_UP)
    assert "<svg" in page.content.decode()
    assert client.post(SET_UP, {"password": "right", "code": "12"}).context["error"]
    assert client.post(SET_UP, {"password": "right", "code": code_by(page.context["key"])}).context["codes"]
    assert client.get("/admin/npd/contact/").status_code == 200
    # A program's token is none of it.
    token = Token.objects.create(user=ada)
    assert Client().get("/api/v1/contacts/", headers={"Authorization": f"Token {token}"}).status_code == 200


def test_setting_it_up_ends_other_sessions_and_turning_it_off_asks_for_a_code(ada: User) -> None:
    other = with_password()
    enrolled(ada)
    assert other.get("/admin/npd/contact/").url.startswith(LOGIN)
    client = with_password()
    client.post(CODE, {"code": code_of(ada)})
    assert client.post(CHANGE, {"code": "000000", "act": "off"}).context["error"]
    assert client.post(CHANGE, {"code": code_of(ada, 1), "act": "off"}).status_code == 302
    assert not SecondFactor.objects.exists()
    assert client.get("/admin/npd/contact/").status_code == 200


def test_wrong_codes_of_who_is_signed_in_are_few_and_lock_nobody_out(ada: User, mailoutbox: list[Any]) -> None:
    enrolled(ada)
    client = with_password()
    assert client.post(CODE, {"code": code_of(ada)}).status_code == 302
    for _ in range(30):
        assert client.post(CHANGE, {"code": "000000", "act": "off"}).context["error"]
    # Nor is a right one accepted there now, by whichever session of the person.
    assert client.post(CHANGE, {"code": code_of(ada, 1), "act": "off"}).context["error"]
    assert SecondFactor.objects.get().failures == 0
    warn_of_wrong_codes()
    assert mailoutbox == []
    assert LogEntry.objects.filter(object_id=ada.pk, change_message__contains="tried while signed in").count() == 1
    other = with_password()
    assert other.post(CODE, {"code": code_of(ada, 1)}).status_code == 302
    clock(timedelta(days=1, minutes=1))
    assert other.post(CHANGE, {"code": code_of(ada, 2 * 60 * 24 + 3), "act": "off"}).status_code == 302
    assert not SecondFactor.objects.exists()


def test_wrong_codes_while_it_is_set_up_lock_nobody_out(ada: User) -> None:
    client = with_password()
    for _ in range(10):
        assert client.post(SET_UP, {"password": "right", "code": "000000"}).context["error"]
    assert client.post(SET_UP, {"password": "right", "code": "000000"}).context["password_error"]
    assert with_password().get("/admin/npd/contact/").status_code == 200


class RefusingBackend(BaseEmailBackend):
    """Accepts no address, and never will."""

    asked = 0

    def send_messages(self, messages: Any) -> int:
        """Refuse them."""
        type(self).asked += 1
        raise SMTPRecipientsRefused({messages[0].to[0]: (550, b"no such user")})


def test_somebody_whose_address_is_refused_for_good_is_written_to_once(ada: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.RefusingBackend"
    enrolled(ada)
    SecondFactor.objects.update(failures=20, failed_at=sync_now())
    assert [warn_of_wrong_codes() for _ in range(3)] == [0, 0, 0]
    assert RefusingBackend.asked == 1
    # The next lock is another message.
    SecondFactor.objects.update(failures=25)
    warn_of_wrong_codes()
    assert RefusingBackend.asked == 2


def test_an_administrator_and_a_command_let_somebody_in_again(ada: User) -> None:
    enrolled(ada)
    admin = Client()
    admin.force_login(User.objects.create_superuser("bo", "bo@example.test", "x"))
    address = f"/admin/auth/user/{ada.pk}/reset-two-factor/"
    assert "Reset two-factor" in admin.get(address).content.decode()
    admin.post(address, {"confirmed": "yes"})
    assert not SecondFactor.objects.exists()
    staff = Client()
    staff.force_login(User.objects.create_user("cy", is_staff=True))
    enrolled(ada)
    assert staff.post(address, {"confirmed": "yes"}).status_code == 403
    assert SecondFactor.objects.exists()
    call_command("reset_two_factor", "ada")
    assert not SecondFactor.objects.exists()
    assert with_password().get("/admin/npd/contact/").status_code == 200


def test_an_administrator_does_to_oneself_only_what_ones_own_pages_allow(ada: User) -> None:
    enrolled(ada)
    client = with_password()
    client.post(CODE, {"code": code_of(ada)})
    new = {"password1": "Another-1-word", "password2": "Another-1-word", "usable_password": "true"}
    sent = {"confirmed": "yes", "set-password": "1", **new}
    own = {"password": "/admin/password_change/", "reset-two-factor": SET_UP, "end-sessions": "/admin/sessions/"}
    for path, page in own.items():
        for answer in (client.get, client.post):
            for name in (ada.pk, f"0{ada.pk}"):
                assert answer(f"/admin/auth/user/{name}/{path}/", sent).url == page
    ada.refresh_from_db()
    assert ada.check_password("right")
    assert SecondFactor.objects.exists()
    assert client.get("/admin/npd/contact/").status_code == 200


def test_setting_it_up_asks_for_the_password_which_nobody_guesses_with_a_session(ada: User) -> None:
    thief = with_password()
    code = code_by(thief.get(SET_UP).context["key"])
    for typed in ({}, *({"password": f"guess {n}"} for n in range(9))):
        assert thief.post(SET_UP, {"code": code, **typed}).context["password_error"]
    # Of that session no password is tried any more, on neither page that asks for it.
    assert thief.post(SET_UP, {"code": code, "password": "right"}).context["password_error"]
    new = {"old_password": "right", "new_password1": "Quite-another-1", "new_password2": "Quite-another-1"}
    assert thief.post("/admin/password_change/", new).status_code == 429
    assert not SecondFactor.objects.exists()
    hers = with_password()
    typed = {"password": "right", "code": code_by(hers.get(SET_UP).context["key"])}
    assert hers.post(SET_UP, typed).context["codes"]


def test_the_password_is_not_guessed_where_one_changes_it(ada: User) -> None:
    thief = with_password()
    new = {"new_password1": "Quite-another-1", "new_password2": "Quite-another-1"}
    answers = [thief.post("/admin/password_change/", {"old_password": f"guess {n}", **new}) for n in range(11)]
    assert [one.status_code for one in answers] == [200] * 10 + [429]
    assert with_password().post("/admin/password_change/", {"old_password": "right", **new}).status_code == 302


def test_who_has_it_turned_on_is_told_once_by_email(ada: User, mailoutbox: list[Any]) -> None:
    enrolled(ada)
    assert [tell_turned_on(), tell_turned_on()] == [1, 0]
    assert [(mail.to, "turned on for ada" in mail.body) for mail in mailoutbox] == [(["ada@example.test"], True)]


def test_a_key_that_one_session_was_shown_is_never_that_of_another(ada: User) -> None:
    thief, hers = with_password(), with_password()
    stolen, key = (client.get(SET_UP).context["key"] for client in (thief, hers))
    assert hers.get(SET_UP).context["key"] == key
    assert hers.post(SET_UP, {"password": "right", "code": code_by(stolen)}).context["error"]
    assert hers.post(SET_UP, {"password": "right", "code": code_by(key)}).context["codes"]
    assert app_key(SecondFactor.objects.get()) == key != stolen


def test_after_the_encryption_key_was_lost_a_recovery_code_and_a_new_set_up_work(ada: User, settings: Any) -> None:
    codes = enrolled(ada)
    begun = Client()
    begun.force_login(User.objects.create_superuser("bo", "bo@example.test", "x"))
    offered = begun.get(SET_UP).context["key"]
    settings.ENCRYPTION_KEYS = ["another"]
    client = with_password()
    assert "ENCRYPTION_KEY" in client.post(CODE, {"code": "123456"}).content.decode()
    assert client.post(CODE, {"code": codes[0]}).status_code == 302
    assert "ENCRYPTION_KEY" in client.post(CHANGE, {"code": "123456", "act": "off"}).content.decode()
    assert client.post(CHANGE, {"code": codes[1], "act": "off"}).status_code == 302
    assert client.post(CHANGE, {"code": codes[2], "act": "off"}).url == SET_UP
    assert begun.get(SET_UP).context["key"] != offered
