"""A code between the password and everything else: offered to everybody, asked of all where the setting says so."""

from __future__ import annotations

import json
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import hotp_value
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command
from django.db import connection
from django.test import Client

from npd.accounts.second_factor import tell_turned_on, warn_of_wrong_codes
from sync.clock import sync_now
from sync.kernel.secret_texts import decrypt
from sync.models import ApiToken
from tests.api.conftest import error_of
from tests.support.clock import move_clock

LOGIN, CODE, INDEX = "/admin/login/", "/admin/login/code/", "/admin/two-factor/"
PASSWORD, CONFIRM = f"{INDEX}confirm/", f"{INDEX}confirm/code/"
APP, OFF, CODES, NEW_CODES = (f"{INDEX}{one}/" for one in ("app", "app/off", "codes", "codes/new"))


def app_of(user: User) -> Authenticator:
    return Authenticator.objects.get(user=user, type="totp")


def key_of(user: User) -> str:
    return decrypt(app_of(user).data["secret"])


def code_of(user: User, step: int = 0) -> str:
    """What the person's app shows, so many half minutes later."""
    return code_by(key_of(user), step)


def code_by(key: str, step: int = 0) -> str:
    return f"{hotp_value(key, int(sync_now().timestamp()) // 30 + step):06d}"


def set_up(client: Client, step: int = 0) -> Any:
    """The person adds an app, and is shown the recovery codes; returns the page."""
    client.post(PASSWORD, {"password": "right"})
    return client.post(APP, {"code": code_by(client.get(APP).context["form"].secret, step)}, follow=True)


def enrolled(user: User) -> list[str]:
    """The person has set it up, with a code of half a minute ago; returns the recovery codes."""
    client = Client()
    client.force_login(user)
    answer = set_up(client, -1)
    if "codes" not in answer.context:  # the half minute ended between the code and its check
        answer = set_up(client, -1)
    codes: list[str] = answer.context["codes"]
    return codes


def wrong(answer: Any) -> bool:
    """Whether a page says that what was typed is wrong."""
    return answer.status_code == 200 and bool(answer.context["form"].errors)


def failures(user: User) -> int:
    return int(app_of(user).data.get("failures", 0))


def with_password(address: str = "192.0.2.1", then: str = "") -> Client:
    client = Client(REMOTE_ADDR=address)
    assert client.post(LOGIN, {"username": "ada", "password": "right", "next": then}).status_code == 302
    return client


def signed_in(user: User, step: int = 0) -> Client:
    client = with_password()
    assert client.post(CODE, {"code": code_of(user, step)}).status_code == 302
    return client


def store(user: User, **facts: Any) -> None:
    app = app_of(user)
    app.data |= facts
    app.save()


def everything_stored() -> str:
    """All rows of the database, but what the program says of itself, with sessions in clear."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = []
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT one::text FROM "{table}" AS one')
            found += [row for (row,) in cursor.fetchall()]
    return "\n".join([*found, *(json.dumps(one.get_decoded()) for one in Session.objects.all())])


def test_the_password_alone_opens_nothing_and_a_code_works_once(ada: User) -> None:
    enrolled(ada)
    client = Client()
    typed = {"username": "ada", "password": "right", "next": "/admin/npd/contact/"}
    assert client.post(LOGIN, typed).url == CODE
    key = client.session.session_key
    assert client.get("/admin/npd/contact/").url.startswith(LOGIN)
    assert client.get("/api/v1/contacts/").status_code in (401, 403)
    assert client.get("/admin/live/").status_code == 302
    code = code_of(ada)
    assert client.post(CODE, {"code": code}).url == "/admin/npd/contact/"
    assert client.get("/admin/npd/contact/").status_code == 200
    assert client.session.session_key != key
    # The same code again, in another browser, also half a minute later, while the app's is still accepted.
    other = with_password(then="https://evil.example/")
    assert wrong(other.post(CODE, {"code": code}))
    move_clock(timedelta(seconds=30))
    assert wrong(other.post(CODE, {"code": code}))
    assert other.get("/admin/npd/contact/").status_code == 302
    assert other.post(CODE, {"code": code_of(ada)}).url == "/admin/"


def test_the_sessions_key_changes_with_the_password_and_with_the_code(ada: User) -> None:
    enrolled(ada)
    client = Client()
    fixed = client.session
    fixed["anything"] = 1
    fixed.save()
    client.cookies["sessionid"] = fixed.session_key
    client.post(LOGIN, {"username": "ada", "password": "right"})
    after_password = client.session.session_key
    client.post(CODE, {"code": code_of(ada)})
    assert len({fixed.session_key, after_password, client.session.session_key}) == 3


def test_a_code_that_set_the_app_up_signs_nobody_in(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    set_up(client)
    assert wrong(with_password().post(CODE, {"code": code_of(ada)}))


def test_a_recovery_code_works_once_and_nothing_stored_can_be_used(ada: User) -> None:
    shown = with_password()
    shown.post(PASSWORD, {"password": "right"})
    key = shown.get(APP).context["form"].secret
    assert key not in everything_stored()
    codes = enrolled(ada)
    assert len(codes) == 10
    stored = everything_stored()
    assert key_of(ada) not in stored
    assert not any(code in stored or code.replace("-", "") in stored for code in codes)
    first, second = with_password(), with_password()
    assert first.post(CODE, {"code": codes[0].lower()}).status_code == 302
    assert wrong(second.post(CODE, {"code": codes[0]}))


def test_recovery_codes_are_shown_once(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    codes = set_up(client).context["codes"]
    assert client.get(CODES).url == INDEX
    assert "9 recovery codes" not in client.get(INDEX).content.decode()
    client.post(CONFIRM, {"code": codes[0]})
    assert "9 recovery codes" in client.get(INDEX).content.decode()
    others = client.post(NEW_CODES, follow=True).context["codes"]
    assert not set(codes) & set(others)
    assert wrong(with_password().post(CODE, {"code": codes[1]}))


def test_a_code_that_was_typed_is_stored_nowhere(ada: User) -> None:
    """It may be a recovery code with one wrong letter, or one that came too late for what it was to confirm."""
    enrolled(ada)
    with_password().post(CODE, {"code": "ABCD-EFGH-IJKL-MNOP"})
    signed_in(ada).post(CONFIRM, {"code": "ABCD-EFGH-IJKL-MNOP"})
    bo = Client()
    bo.force_login(User.objects.create_superuser("bo", "bo@example.test", "right"))
    assert bo.post(APP, {"code": "EFGH"}).url == APP
    # Nor of somebody whose session has ended, or who never had one.
    for address in (APP, NEW_CODES, f"{INDEX}passkey/", f"{INDEX}passkey/1/", f"{INDEX}passkey/1/off/"):
        assert Client().post(address, {"code": "EFGH", "name": "EFGH"}).url.startswith(LOGIN)
    assert "EFGH" not in everything_stored()


def test_wrong_codes_are_counted_as_failed_logins_and_the_password_does_not_reset_them(ada: User) -> None:
    enrolled(ada)
    for _ in range(9):
        assert wrong(with_password().post(CODE, {"code": "000000"}))
    client, waiting = with_password(), with_password()
    assert client.post(CODE, {"code": "000000"}).status_code == 429
    assert waiting.post(CODE, {"code": code_of(ada)}).status_code == 429
    # From elsewhere the person gets in.
    assert with_password("192.0.2.9").post(CODE, {"code": code_of(ada)}).status_code == 302


def test_after_twenty_wrong_codes_from_anywhere_none_is_accepted_for_a_while(ada: User) -> None:
    enrolled(ada)
    for n in range(20):
        with_password(f"198.51.100.{n}").post(CODE, {"code": "000000"})
    client = with_password("203.0.113.1")
    assert wrong(client.post(CODE, {"code": code_of(ada)}))
    store(ada, failed_at=(sync_now() - timedelta(minutes=16)).isoformat())
    assert client.post(CODE, {"code": code_of(ada)}).status_code == 302


def test_a_persons_own_slips_are_told_as_nobodys_guessing(ada: User) -> None:
    enrolled(ada)
    client = with_password()
    for _ in range(5):
        client.post(CODE, {"code": "000000"})
    client.post(CODE, {"code": code_of(ada)})
    assert "wrong codes" not in client.get("/admin/", follow=True).content.decode()


def guesses(user: User, hours: int) -> int:
    """How many codes are tried for somebody who has the password and as many addresses as they like, by the hours."""
    tried = 0
    for minute in range(60 * hours):
        move_clock(timedelta(minutes=minute))
        while True:
            before = failures(user)
            client = with_password(f"198.51.{tried % 200}.{minute % 250}")
            assert wrong(client.post(CODE, {"code": "000000"}))
            if failures(user) == before:
                break
            tried += 1
    return tried


def test_the_wait_of_whoever_guesses_codes_doubles_and_its_owner_gets_in_meanwhile(
    ada: User, mailoutbox: list[Any]
) -> None:
    codes = enrolled(ada)
    # 20, then 5 after 15 and after 45 minutes; at the rate of the first hour it would be hundreds.
    assert guesses(ada, 1) == 30
    warn_of_wrong_codes()
    warn_of_wrong_codes()
    assert [(mail.to, "30 wrong" in mail.body) for mail in mailoutbox] == [(["ada@example.test"], True)]
    lines = LogEntry.objects.filter(object_id=ada.pk, change_message__contains="wrong two-factor codes")
    assert lines.count() == 3
    # No stranger without the password brings that about, and the owner has recovery codes; a right code ends nothing.
    client = with_password("203.0.113.1")
    assert client.post(CODE, {"code": codes[0]}).status_code == 302
    assert "30 wrong codes" in client.get("/admin/", follow=True).content.decode()
    code = code_of(ada)
    assert wrong(with_password("203.0.113.2").post(CODE, {"code": code}))
    # A new password does: whoever guessed doesn't know it.
    ada.set_password("right")
    ada.save()
    assert with_password("203.0.113.3").post(CODE, {"code": code}).status_code == 302
    assert failures(ada) == 0


def test_where_it_is_required_staff_set_it_up_before_anything_else(ada: User, settings: Any) -> None:
    before = with_password()
    settings.REQUIRE_TWO_FACTOR = True
    for client in (before, with_password()):
        assert client.get("/admin/").url.startswith(INDEX)
        assert error_of(client.get("/api/v1/contacts/"))["code"] == "second_factor"
        assert client.get("/admin/live/").status_code == 403
        assert client.get(INDEX).status_code == 200
    client.post(PASSWORD, {"password": "right"})
    page = client.get(APP)
    assert "data:image/svg+xml" in page.content.decode()
    assert wrong(client.post(APP, {"code": "12"}))
    assert set_up(client).context["codes"]
    assert client.get("/admin/npd/contact/").status_code == 200
    # Without it, it is asked for again.
    client.post(CONFIRM, {"code": code_of(ada, 1)})
    assert client.post(OFF).status_code == 302
    assert client.get("/admin/npd/contact/").url.startswith(INDEX)
    # A program's token is none of it.
    _token, text = ApiToken.objects.create(ada)
    assert Client().get("/api/v1/contacts/", headers={"Authorization": f"Token {text}"}).status_code == 200


def test_setting_it_up_ends_other_sessions_and_turning_it_off_asks_for_a_code(ada: User) -> None:
    other = with_password()
    enrolled(ada)
    assert other.get("/admin/npd/contact/").url.startswith(LOGIN)
    client, third = signed_in(ada), with_password()
    assert client.post(OFF).url == OFF
    assert client.get(OFF).url.startswith(CONFIRM)
    # The password is none of it.
    assert client.post(PASSWORD, {"password": "right"}).url.startswith(CONFIRM)
    assert wrong(client.post(CONFIRM, {"code": "000000"}))
    assert client.post(CONFIRM, {"code": code_of(ada, 1)}).status_code == 302
    key = client.session.session_key
    assert client.post(OFF).status_code == 302
    assert not Authenticator.objects.exists()
    assert client.get("/admin/npd/contact/").status_code == 200
    assert client.session.session_key != key
    assert third.get("/admin/npd/contact/").url.startswith(LOGIN)


@pytest.mark.parametrize("change", ["password", "reset", "another app"])
def test_a_sign_in_under_way_ends_where_the_password_or_the_second_factor_changes(ada: User, change: str) -> None:
    codes = enrolled(ada)
    begun = with_password()
    if change == "password":
        ada.set_password("right")
        ada.save()
    else:
        call_command("reset_two_factor", "ada")
        if change == "another app":
            codes = enrolled(ada)
    begun.post(CODE, {"code": codes[0]})
    assert begun.get("/admin/npd/contact/").url.startswith(LOGIN)
    assert begun.get(CODE).url == LOGIN


def test_wrong_codes_of_who_is_signed_in_are_few_and_lock_nobody_out(ada: User, mailoutbox: list[Any]) -> None:
    enrolled(ada)
    client = signed_in(ada)
    for _ in range(30):
        assert wrong(client.post(CONFIRM, {"code": "000000"}))
    # Nor is a right one accepted there now, by whichever session of the person.
    assert wrong(client.post(CONFIRM, {"code": code_of(ada, 1)}))
    assert failures(ada) == 0
    warn_of_wrong_codes()
    assert mailoutbox == []
    assert LogEntry.objects.filter(object_id=ada.pk, change_message__contains="tried while signed in").count() == 1
    other = signed_in(ada, 1)
    move_clock(timedelta(days=1, minutes=1))
    other.post(CONFIRM, {"code": code_of(ada)})
    assert other.post(OFF).status_code == 302
    assert not Authenticator.objects.exists()


def test_wrong_codes_while_it_is_set_up_lock_nobody_out(ada: User) -> None:
    client = with_password()
    client.post(PASSWORD, {"password": "right"})
    for _ in range(12):
        assert wrong(client.post(APP, {"code": "000000"}))
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
    store(ada, failures=20, told=0, failed_at=sync_now().isoformat(), failed_password="")
    assert [warn_of_wrong_codes() for _ in range(3)] == [0, 0, 0]
    assert RefusingBackend.asked == 1
    # The next lock is another message.
    store(ada, failures=25)
    warn_of_wrong_codes()
    assert RefusingBackend.asked == 2


def test_an_administrator_and_a_command_let_somebody_in_again(ada: User) -> None:
    enrolled(ada)
    admin = Client()
    admin.force_login(User.objects.create_superuser("bo", "bo@example.test", "x"))
    address = f"/admin/auth/user/{ada.pk}/remove-second-factor/"
    assert "Remove second factor" in admin.get(address).content.decode()
    admin.post(address, {"confirmed": "yes"})
    assert not Authenticator.objects.exists()
    staff = Client()
    staff.force_login(User.objects.create_user("cy", is_staff=True))
    enrolled(ada)
    assert staff.post(address, {"confirmed": "yes"}).status_code == 403
    assert Authenticator.objects.exists()
    call_command("reset_two_factor", "ada")
    assert not Authenticator.objects.exists()
    assert with_password().get("/admin/npd/contact/").status_code == 200


def test_an_administrator_does_to_oneself_only_what_ones_own_pages_allow(ada: User) -> None:
    enrolled(ada)
    client = signed_in(ada)
    new = {"password1": "Another-1-word", "password2": "Another-1-word", "usable_password": "true"}
    sent = {"confirmed": "yes", "set-password": "1", **new}
    own = {"password": "/admin/password_change/", "remove-second-factor": INDEX}
    for path, page in own.items():
        for answer in (client.get, client.post):
            for name in (ada.pk, f"0{ada.pk}"):
                assert answer(f"/admin/auth/user/{name}/{path}/", sent).url == page
    ada.refresh_from_db()
    assert ada.check_password("right")
    assert Authenticator.objects.exists()
    assert client.get("/admin/npd/contact/").status_code == 200


def test_setting_it_up_asks_for_the_password_which_nobody_guesses_with_a_session(ada: User) -> None:
    thief = with_password()
    assert thief.get(APP).url.startswith(PASSWORD)
    for number in range(10):
        assert wrong(thief.post(PASSWORD, {"password": f"guess {number}"}))
    # Of that session no password is tried any more, on neither page that asks for it.
    assert thief.post(PASSWORD, {"password": "right"}).status_code == 429
    new = {"old_password": "right", "new_password1": "Quite-another-1", "new_password2": "Quite-another-1"}
    assert thief.post("/admin/password_change/", new).status_code == 429
    assert thief.get(APP).url.startswith(PASSWORD)
    assert set_up(with_password()).context["codes"]


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
    for client in (thief, hers):
        client.post(PASSWORD, {"password": "right"})
    stolen, key = (client.get(APP).context["form"].secret for client in (thief, hers))
    assert wrong(hers.post(APP, {"code": code_by(stolen)}))
    assert hers.post(APP, {"code": code_by(key)}, follow=True).context["codes"]
    assert key_of(ada) == key != stolen
    # The thief's session has ended, so that nothing is added by it.
    assert thief.post(APP, {"code": code_by(stolen)}).url.startswith(LOGIN)
    assert key_of(ada) == key


def test_a_former_encryption_key_can_go_after_a_night_and_the_app_still_signs_in(ada: User, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["old"]
    enrolled(ada)
    ended = Client()
    ended.force_login(ada)
    Session.objects.filter(pk=ended.session.session_key).update(expire_date=sync_now() - timedelta(days=2))
    settings.ENCRYPTION_KEYS = ["new", "old"]
    call_command("sync_prune", verbosity=0)
    settings.ENCRYPTION_KEYS = ["new"]
    assert with_password().post(CODE, {"code": code_of(ada)}).status_code == 302
    assert not Session.objects.filter(pk=ended.session.session_key).exists()


def test_after_the_encryption_key_was_lost_a_recovery_code_and_a_new_set_up_work(ada: User, settings: Any) -> None:
    codes = enrolled(ada)
    begun = Client()
    begun.force_login(User.objects.create_superuser("bo", "bo@example.test", "right"))
    begun.post(PASSWORD, {"password": "right"})
    offered = begun.get(APP).context["form"].secret
    settings.ENCRYPTION_KEYS = ["another"]
    client = with_password()
    assert "encryption key was changed" in client.post(CODE, {"code": "123456"}).content.decode()
    assert client.post(CODE, {"code": codes[0]}).status_code == 302
    assert client.get(INDEX).status_code == 200
    assert "encryption key was changed" in client.post(CONFIRM, {"code": "123456"}).content.decode()
    assert client.post(CONFIRM, {"code": codes[1]}).status_code == 302
    assert client.post(OFF).status_code == 302
    assert not Authenticator.objects.exists()
    assert begun.post(APP, {"code": code_by(offered)}).context["form"].secret != offered
