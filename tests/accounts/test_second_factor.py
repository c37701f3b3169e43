"""A second factor: offered to everybody, required where the setting says so."""

from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from sync.kernel.secret_texts import decrypt
from sync.models import ActivityLine, ApiToken, CacheEntry
from sync.operations.retention import prune
from tests.accounts.signing_in import (
    APP,
    CODE,
    LOGIN,
    MFA,
    code_by,
    code_of,
    enrolled,
    everything_stored,
    grow_old,
    is_in,
    set_up,
    sign_in,
)  # fmt: skip
from tests.api.conftest import error_of


def test_the_password_alone_opens_nothing_and_a_code_works_once(ada: User) -> None:
    enrolled(ada)
    client, answer = sign_in()
    assert answer.headers["Location"] == CODE
    assert not is_in(client)
    assert "Incorrect code" in client.post(CODE, {"code": "000000"}).content.decode()
    code = code_of(ada)
    client.post(CODE, {"code": code})
    assert is_in(client)
    # Used codes are known to all processes.
    assert CacheEntry.objects.filter(cache_key__contains="totp.used").exists()
    again, _answer = sign_in()
    again.post(CODE, {"code": code})
    assert not is_in(again)


def test_the_admins_own_sign_in_is_no_way_round_it(ada: User) -> None:
    enrolled(ada)
    client = Client()
    for address in ("/admin/login/", "/admin/login/?next=/admin/"):
        answer = client.post(address, {"username": "ada", "password": "right"})
        assert answer.headers["Location"].startswith(LOGIN)
    assert not is_in(client)


def test_codes_are_guessed_twenty_times_in_five_minutes_and_the_password_does_not_help(ada: User) -> None:
    enrolled(ada)
    for number in range(20):
        client, _answer = sign_in(REMOTE_ADDR=f"192.0.2.{number}")
        client.post(CODE, {"code": "000000"})
    client, _answer = sign_in(REMOTE_ADDR="192.0.2.99")
    answer = client.post(CODE, {"code": code_of(ada)})
    assert "Too many failed login attempts" in answer.content.decode()
    assert not is_in(client)


def test_nothing_that_is_stored_makes_a_code(ada: User) -> None:
    codes = enrolled(ada)
    key = decrypt(Authenticator.objects.get(type="totp").data["secret"])
    seed = decrypt(Authenticator.objects.get(type="recovery_codes").data["seed"])
    stored = everything_stored()
    assert not any(secret in stored for secret in (key, seed, *codes))


def test_where_the_encryption_key_was_lost_the_page_says_so(ada: User, settings: Any) -> None:
    enrolled(ada)
    client, _answer = sign_in()
    settings.ENCRYPTION_KEYS = ["another key, of which nothing that is stored was made"]
    assert "encryption key was changed" in client.post(CODE, {"code": "123456"}).content.decode()


def test_a_former_encryption_key_can_go_after_a_night(ada: User, settings: Any) -> None:
    codes = enrolled(ada)
    settings.ENCRYPTION_KEYS = ["another key", *settings.ENCRYPTION_KEYS]
    prune()
    settings.ENCRYPTION_KEYS = ["another key"]
    for code in (code_of(ada), codes[0]):
        client, _answer = sign_in()
        client.post(CODE, {"code": code})
        assert is_in(client)


def test_where_it_is_required_staff_set_it_up_first_and_type_the_password_once(ada: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client, _answer = sign_in()
    token = ApiToken.objects.create(ada)[1]
    closed = ("/admin/", "/admin/npd/contact/", "/accounts/sessions/", "/accounts/password/change/", f"/go/{uuid4()}")
    for address in closed:
        assert client.get(address).headers["Location"] == APP
    assert client.post("/admin/npd/contact/add/", {"name": "x"}).headers["Location"] == APP
    refused = client.get("/api/v1/contacts/")
    assert (refused.status_code, error_of(refused)["code"]) == (403, "second_factor")
    # Programs have no phone: tokens, Monday's webhooks, the cron and the probes need no code.
    headers = {"Authorization": f"Token {token}"}
    assert Client().get("/api/v1/contacts/", headers=headers).status_code == 200
    assert client.post("/webhooks/monday/", {"challenge": "x"}, "application/json").status_code == 200
    assert client.get("/healthz").status_code == 200
    assert set_up(client).status_code == 200
    assert is_in(client)


def test_who_may_not_open_the_admin_needs_none(db: None, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    User.objects.create_user("program", "program@example.test", "right")
    assert sign_in(name="program")[0].get("/accounts/sessions/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_setting_it_up_ends_the_other_sessions_and_taking_it_off_asks_for_a_code_after_a_while(ada: User) -> None:
    client, _answer = sign_in()
    other_client, _answer = sign_in()
    code = code_by(client.get(APP).context["form"].secret)
    client.post(APP, {"code": code})
    assert [is_in(client), is_in(other_client)] == [True, False]
    other_client, _answer = sign_in()
    other_client.post(CODE, {"code": code})
    assert not is_in(other_client), "a code works once, also the one that was typed here"
    grow_old(client)
    answer = client.get(f"{MFA}totp/deactivate/")
    assert answer.headers["Location"].startswith(("/accounts/reauthenticate/", f"{MFA}reauthenticate/"))
    client.post(f"{MFA}reauthenticate/", {"code": code_of(ada)})
    client.post(f"{MFA}totp/deactivate/")
    assert not Authenticator.objects.exists()


def test_a_command_lets_somebody_in_again_who_lost_it(ada: User) -> None:
    codes = enrolled(ada)
    client, _answer = sign_in()
    client.post(CODE, {"code": codes[0]})
    call_command("reset_two_factor", "ada")
    assert not is_in(client)
    assert is_in(sign_in()[0])
    line = ActivityLine.objects.get(actor="manage.py reset_two_factor")
    assert str(line.sentence) == "Removed the second factor of the user “ada”."
    for name in ("ada", "nobody"):
        with pytest.raises(CommandError):
            call_command("reset_two_factor", name)
