"""The first step without a terminal: a token is entered, tested, kept encrypted, replaced and removed."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from sync.choices import SecretName
from sync.clock import sync_now
from sync.kernel.secret_texts import decrypt, encrypt
from sync.limits import BlockedKind, breaker, credentials, metered_client
from sync.models import MondayAccount, StoredSecret
from sync.operations.retention import encrypt_anew
from sync.records import availability, inbox
from tests.wizard.conftest import START, Wizard, words_of

TOKEN = "a-token-that-nobody-could-test"


@pytest.fixture
def unnamed(settings: Any) -> None:
    """The environment says nothing of Monday."""
    for name in ("MONDAY_API_KEY", "MONDAY_WEBHOOK_TOKEN", "MONDAY_SIGNING_SECRET"):
        setattr(settings, name, "")


@pytest.fixture
def bare(wizard: Wizard, unnamed: None) -> Wizard:
    """An installation whose environment says nothing of Monday; the sandbox takes the token `bare.monday.token`."""
    return wizard


@pytest.fixture
def away(away: Wizard, unnamed: None) -> Wizard:
    """The same while no Monday answers: what is entered is kept, and not tested."""
    return away


def everything_stored() -> str:
    """Every value of every table, as a dump has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        texts = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            texts += [row for (row,) in cursor.fetchall()]
    sessions = [str(session.get_decoded()) for session in Session.objects.all()]
    return "\n".join([*texts, *sessions])


def test_a_token_that_is_entered_is_tested_kept_and_used_at_once(bare: Wizard, settings: Any) -> None:
    assert not credentials.is_configured()
    page = bare.post("token/", token=f"  {bare.monday.token}\n")
    assert "Connected" in page
    assert "Set by dora" in page
    assert credentials.is_configured()
    assert metered_client.connector(urgent=True).probe().user_id == MondayAccount.objects.get().user_id
    assert "Next: Boards" in page
    # Deliveries need a secret too: it is made, and part of the address that boards are told.
    assert len(credentials.webhook_secrets()[0]) > 30


def test_a_token_that_is_entered_is_found_nowhere(
    bare: Wizard, settings: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pages = [bare.client.post(START + "token/", {"token": bare.monday.token}, follow=True)]
    pages += [bare.client.get(f"/admin/{path}") for path in ("", "sync/boardlink/set-up/")]
    pages.append(bare.client.post(START))
    for page in pages:
        assert bare.monday.token not in page.content.decode()
    kept = [credentials.api_token(), credentials.webhook_secrets()[0]]
    stored, said = everything_stored(), caplog.text + "".join(capfd.readouterr())
    for secret in kept:
        assert secret not in stored
        assert secret not in said
        assert secret in settings.SECRET_TEXTS  # so no log line, error page or stored error of this process shows it
    assert LogEntry.objects.filter(change_message__startswith="Connected. The token works").exists()


def test_a_token_that_monday_refuses_is_not_kept_and_the_one_before_stays(bare: Wizard) -> None:
    bare.post("token/", token=bare.monday.token)
    answer = bare.client.post(START + "token/", {"token": "another-token-that-monday-refuses"})
    page = words_of(answer.content.decode())
    assert answer.status_code == 400
    assert "Monday rejects this token, so it was not kept" in page
    assert "another-token" not in page
    assert credentials.api_token() == bare.monday.token


def test_what_a_token_that_is_not_kept_says_of_its_user_is_not_kept_either(bare: Wizard) -> None:
    bare.post("token/", token=bare.monday.token)
    MondayAccount.objects.update(user_id="77", tier="basic")
    bare.monday.control("faults", status=401, on="boards")  # after it has said who it is
    assert bare.client.post(START + "token/", {"token": bare.monday.token}).status_code == 400
    assert MondayAccount.objects.values_list("user_id", "tier").get() == ("77", "basic")


def test_a_stored_token_that_monday_refuses_later_stops_the_sync_until_another_is_entered(
    bare: Wizard, settings: Any
) -> None:
    url, settings.MONDAY_API_URL = settings.MONDAY_API_URL, "http://127.0.0.1:9/v2"
    bare.post("token/", token="a-token-that-monday-refuses")
    settings.MONDAY_API_URL = url
    MondayAccount.objects.update(user_id="77")
    breaker.refresh_quota()
    account = MondayAccount.objects.get()
    assert (account.needs_probe, account.stopped_until is not None, account.user_id) == (True, True, "77")
    assert not breaker.probe_if_due()
    assert "Connected" in bare.post("token/", token=bare.monday.token)
    account.refresh_from_db()
    assert (account.needs_probe, account.stopped_until) == (False, None)
    assert account.user_id not in ("", "77")
    assert breaker.probe_if_due()


def test_connected_is_said_of_an_answer_to_the_token_of_now_only(bare: Wizard, settings: Any) -> None:
    def is_said() -> bool:
        return 'id="npd-connected"' in bare.client.get(START).content.decode()

    bare.post("token/", token=bare.monday.token)
    assert is_said()
    bare.monday.faults({"status": 401, "count": 50})
    bare.client.post(START)  # tests it, and finds it revoked
    assert not is_said()
    assert MondayAccount.objects.get().stop_code == "token"
    bare.monday.control("faults", "DELETE")
    bare.client.post(START)
    assert is_said()
    assert MondayAccount.objects.get().stop_code == ""
    settings.MONDAY_API_KEY = "a-token-that-was-never-asked-for"
    assert not is_said()


def test_what_can_not_be_a_token_is_said_so_and_not_sent(away: Wizard, settings: Any) -> None:
    for typed in ("", "   ", "short", "two words here", "ключ-ключ-ключ", "a" * 5_000, "line\nline-line"):
        answer = away.client.post(START + "token/", {"token": typed})
        assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (400, True), typed
    assert not StoredSecret.objects.exists()
    # They would be hidden wherever such words are.
    assert not {"short", "two words here"} & set(settings.SECRET_TEXTS)


def test_where_monday_does_not_answer_the_token_is_kept_and_that_is_said(away: Wizard, settings: Any) -> None:
    page = away.post("token/", token="a-token-to-try-later")
    assert "could not be tested" in page
    assert credentials.api_token() == "a-token-to-try-later"


def test_the_environments_token_comes_first_and_the_page_says_so(away: Wizard, settings: Any) -> None:
    away.post("token/", token=TOKEN)
    settings.MONDAY_API_KEY = "of-the-environment"
    assert credentials.api_token() == "of-the-environment"
    page = away.get()
    assert "To change the token, set MONDAY_API_KEY on the server" in page
    assert "stored as well, but not used" in page
    assert settings.MONDAY_API_KEY not in page
    assert "Test and save" not in page


def test_a_removed_token_is_gone_and_everything_says_why_nothing_is_synced(away: Wizard) -> None:
    away.post("token/", token=TOKEN)
    asked = away.post("token/", remove="1")
    assert "Remove the stored token?" in asked
    assert credentials.api_token() == TOKEN  # a click alone removes nothing
    page = away.post("token/", remove="1", confirmed="yes")
    assert "The stored token was removed" in page
    assert not StoredSecret.objects.filter(name=SecretName.API_TOKEN).exists()
    assert availability.of("contact").reason_code is BlockedKind.NOT_CONFIGURED


def test_after_the_key_was_changed_pages_say_so_and_an_older_key_brings_the_token_back(
    away: Wizard, settings: Any
) -> None:
    away.post("token/", token=TOKEN)
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["another-key"]
    assert not credentials.is_configured()
    assert credentials.token_state().source is credentials.Source.UNREADABLE
    for page in (away.get(), words_of(away.client.get("/admin/").content.decode())):
        assert "encryption key was changed" in page
    assert "ENCRYPTION_KEY_FALLBACKS" in away.get()  # for the administrator
    assert "encryption key was changed" in availability.of("contact").blocked_reason
    assert inbox.receive(b"{}", authorization=None, path_token="x", path="/webhooks/monday/x/").code == "closed"
    settings.ENCRYPTION_KEYS = ["another-key", *old]
    assert credentials.api_token() == TOKEN
    assert encrypt_anew() == 2  # the token, and the webhooks' secret
    settings.ENCRYPTION_KEYS = ["another-key"]
    assert credentials.api_token() == TOKEN


def test_deliveries_come_in_by_the_secret_that_was_made_and_by_no_other(away: Wizard) -> None:
    away.post("token/", token=TOKEN)
    token = credentials.webhook_secrets()[0]
    for given, status in ((token, 200), ("another", 401)):
        answer = away.client.post(f"/webhooks/monday/{given}/", {"challenge": "hello"}, "application/json")
        assert answer.status_code == status


@pytest.fixture
def mapper(db: None) -> Client:
    """Somebody who may set up the sync, but not say with which token."""
    user = User.objects.create_user("mia", "mia@example.com", "x", is_staff=True)
    user.groups.add(Group.objects.get(name="NPD Sync: operate"))
    client = Client()
    client.force_login(user)
    return client


def test_who_may_set_up_may_test_but_not_enter_and_who_is_given_the_right_may(away: Wizard, mapper: Client) -> None:
    page = words_of(mapper.get(START).content.decode())
    assert "An administrator can enter, replace and remove the token" in page
    assert "Test and save" not in page
    assert mapper.post(START).status_code == 200
    doors: list[tuple[str, str, dict[str, str]]] = [
        ("post", "token/", {"token": TOKEN}), ("post", "token/", {"remove": "1"}),
        ("post", "app/", {"client_id": "a" * 10, "client_secret": "b" * 10}), ("get", "authorize/", {}),
        ("get", "callback/", {"code": "x", "state": "y"}),
    ]  # fmt: skip
    for method, door, form in doors:
        assert getattr(mapper, method)(START + door, form).status_code == 403, door
    assert not StoredSecret.objects.exists()
    User.objects.get(username="mia").user_permissions.add(Permission.objects.get(codename="change_mondayaccount"))
    assert mapper.post(START + "token/", {"token": TOKEN}).status_code == 302
    assert StoredSecret.objects.exists()


# An app instead of a personal token.


APP = {
    "client_id": "sandbox-client-id",
    "client_secret": "sandbox-client-secret",
    "signing_secret": "signing-secret-0123456789-0123456789",
}


def authorized(wizard: Wizard) -> Wizard:
    """An app that was connected, as the rows that are left of it."""
    wizard.post("app/", **APP)
    ends = sync_now() + timedelta(hours=1)
    for name in (SecretName.API_TOKEN, SecretName.REFRESH_TOKEN):
        StoredSecret.objects.create(name=name, sealed=encrypt(f"the-{name}"), expires_at=ends)
    return wizard


def answered_by(wizard: Wizard) -> str:
    """Ask Monday for an authorization; return the path by which it would send the person back."""
    asked = wizard.client.get(START + "authorize/").headers["Location"]
    return f"callback/?code=a-code-of-mondays&{re.findall(r'state=[^&]*', asked)[0]}"


def at_monday(bare: Wizard, *, allow: bool = True) -> str:
    """Go to Monday's page and answer there; return the path by which Monday sends the person back."""
    to = bare.client.get(START + "authorize/")
    asked = bare.monday.session.get(to.headers["Location"], timeout=10)
    assert asked.status_code == 200, asked.text
    found = re.findall(r'href="(/oauth2/answer[^"]*)"', asked.text)[0 if allow else 1].replace("&amp;", "&")
    back = bare.monday.session.get(bare.monday.url + found, timeout=10, allow_redirects=False)
    assert back.status_code == 302
    return str(back.headers["Location"].split("/set-up/", 1)[1])


@pytest.fixture
def app(bare: Wizard) -> Wizard:
    page = bare.post("app/", **APP)
    assert "Connect with Monday" in page
    return bare


def test_an_app_is_connected_by_a_click_here_and_one_at_monday(app: Wizard) -> None:
    page = app.get(at_monday(app))
    assert "Connected with Monday by the app" in page
    assert "renewed by itself" in page
    assert credentials.token_state().is_app
    assert metered_client.connector(urgent=True).probe().user_id
    assert credentials.webhook_secrets() == ("", APP["signing_secret"])  # deliveries are signed, so no secret address
    stored = everything_stored()
    for secret in (APP["client_secret"], APP["signing_secret"], credentials.api_token()):
        assert secret not in stored


def test_monday_asked_and_declined_changes_nothing(app: Wizard) -> None:
    assert "declined on Monday" in app.get(at_monday(app, allow=False))
    assert not credentials.api_token()


def test_an_answer_is_good_once_and_only_to_the_session_that_asked(away: Wizard, settings: Any) -> None:
    away.post("app/", **APP)
    back = answered_by(away)
    other = Client()
    other.force_login(User.objects.create_superuser("eve", "eve@example.com", "x"))
    assert "wasn't started by you" in words_of(other.get(START + back, follow=True).content.decode())
    assert not credentials.api_token()
    settings.SECRET_TEXTS = []
    away.get("callback/?code=boardlink&state=wrong")
    assert "boardlink" not in settings.SECRET_TEXTS  # a stranger's text, which would be hidden wherever it stands
    back = answered_by(away)
    wrong = re.sub(r"state=[^&]*", "state=wrong", back)
    assert "wasn't started by you" in away.get(wrong)
    assert "wasn't started by you" in away.get(back)  # the wrong one has used up the question
    assert not credentials.api_token()


def test_a_code_that_was_exchanged_is_worth_nothing_again(app: Wizard) -> None:
    back = at_monday(app)
    app.get(back)
    token, code = credentials.api_token(), re.findall(r"code=([^&]*)", back)[0]
    at_monday(app)  # asks anew, so that the session waits for an answer
    state = app.client.session["npd_oauth"]["state"]
    assert "invalid_grant" in app.get(f"callback/?code={code}&state={state}")
    assert credentials.api_token() == token


def test_an_answer_after_ten_minutes_is_too_late(away: Wizard) -> None:
    away.post("app/", **APP)
    back = answered_by(away)
    session = away.client.session
    session["npd_oauth"] = session["npd_oauth"] | {"at": session["npd_oauth"]["at"] - 601}
    session.save()
    assert "took too long" in away.get(back)


def is_taken(wizard: Wizard, token: str) -> bool:
    """Whether Monday takes calls with an access token."""
    answer = wizard.monday.session.post(
        wizard.monday.api_url, json={"query": "{ me { id } }"}, headers={"Authorization": token}, timeout=10
    )
    return answer.status_code == 200


def is_refreshed(wizard: Wizard, refresh_token: str) -> bool:
    """Whether Monday gives new tokens for a refresh token."""
    asked = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    client = {name: APP[name] for name in ("client_id", "client_secret")}
    url = f"{wizard.monday.url}/oauth_ms/oauth/token"
    return wizard.monday.session.post(url, json=asked | client, timeout=10).status_code == 200


def refresh_token() -> str:
    return decrypt(StoredSecret.objects.get(name=SecretName.REFRESH_TOKEN).sealed)


def test_disconnecting_asks_and_ends_the_tokens_at_monday_too(app: Wizard) -> None:
    app.get(at_monday(app))
    token, refresh = credentials.api_token(), refresh_token()
    asked = app.post("token/", remove="1")
    assert "Disconnect from Monday?" in asked
    assert is_taken(app, credentials.api_token())
    page = app.post("token/", remove="1", confirmed="yes")
    assert not credentials.api_token()
    assert not is_taken(app, token)
    assert not is_refreshed(app, refresh)
    assert "end it there too" not in page


def test_without_its_app_a_disconnect_says_that_the_access_goes_on_at_monday(app: Wizard) -> None:
    app.get(at_monday(app))
    refresh = refresh_token()
    StoredSecret.objects.filter(name=SecretName.CLIENT_SECRET).delete()
    page = app.post("token/", remove="1", confirmed="yes")
    assert not StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN).exists()
    assert is_refreshed(app, refresh)
    assert "end it there too" in page


def test_the_app_asks_before_it_is_removed_and_stays_while_it_connects(away: Wizard) -> None:
    authorized(away)
    names = (SecretName.CLIENT_ID, SecretName.CLIENT_SECRET, SecretName.SIGNING_SECRET)
    for form in ({"remove": "1"}, {"remove": "1", "confirmed": "yes"}):
        assert "Disconnect first" in away.post("app/", **form)
        assert StoredSecret.objects.filter(name__in=names).count() == 3
    away.post("token/", remove="1", confirmed="yes")
    assert "Remove the app?" in away.post("app/", remove="1")
    assert StoredSecret.objects.filter(name__in=names).count() == 3
    away.post("app/", remove="1", confirmed="yes")
    assert not StoredSecret.objects.filter(name__in=names).exists()


def test_another_app_is_not_entered_while_the_present_one_connects_and_its_new_secret_is(away: Wizard) -> None:
    authorized(away)
    before, other = credentials.oauth_app(), APP | {"client_id": "another-client-id", "signing_secret": ""}
    refused = away.client.post(f"{START}app/", other)
    assert (refused.status_code, "Disconnect first" in refused.content.decode()) == (400, True)
    assert credentials.oauth_app() == before
    away.post("app/", **APP | {"client_secret": "a-rotated-client-secret"})
    assert credentials.oauth_app() == replace(before, client_secret="a-rotated-client-secret")  # type: ignore[type-var]
    away.post("token/", remove="1", confirmed="yes")
    away.post("app/", **other)
    now = credentials.oauth_app()
    assert now is not None
    assert now.client_id == "another-client-id"


def test_an_apps_token_without_the_app_is_not_said_to_be_renewed(away: Wizard) -> None:
    authorized(away)
    StoredSecret.objects.filter(name=SecretName.CLIENT_ID).delete()
    page = away.get()
    assert "renewed by itself" not in page
    assert "can't be renewed" in page
    StoredSecret.objects.filter(name=SecretName.API_TOKEN).update(expires_at="2000-01-01T00:00Z")
    assert credentials.token_state().source is credentials.Source.ENDED
    assert not credentials.api_token()
    assert not credentials.is_configured()
    for text in (away.get(), availability.of("contact").blocked_reason):
        assert "Connect with Monday again" in text


def test_a_personal_token_replaces_the_apps_whose_authorization_ends_at_monday(app: Wizard) -> None:
    app.get(at_monday(app))
    token, refresh = credentials.api_token(), refresh_token()
    page = app.post("token/", token=app.monday.token)
    assert credentials.api_token() == app.monday.token
    assert not StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN).exists()
    assert not is_taken(app, token)
    assert not is_refreshed(app, refresh)
    assert "end it there too" not in page


def test_connecting_again_keeps_the_new_tokens_and_revokes_nothing(app: Wizard) -> None:
    """Monday may end all that the person authorized with one of its tokens."""
    app.get(at_monday(app))
    token = credentials.api_token()
    app.get(at_monday(app))
    assert is_taken(app, token)
    assert credentials.api_token() != token
    assert is_taken(app, credentials.api_token())
    assert is_refreshed(app, refresh_token())


def test_an_apps_deliveries_are_checked_by_the_signing_secret_that_was_entered(away: Wizard, settings: Any) -> None:
    authorized(away)
    now = int(time.time())
    claims = {"aud": f"{settings.SITE_URL}/webhooks/monday/", "iat": now, "exp": now + 300}
    for secret, status in ((APP["signing_secret"], 200), ("another-signing-secret-0123456789-01234", 401)):
        signed = jwt.encode(claims, secret, algorithm="HS256")
        event = {"event": {"type": "update_name", "boardId": 1, "pulseId": 2, "triggerUuid": "t"}}
        answer = away.client.post(
            "/webhooks/monday/", event, "application/json", headers={"authorization": signed}, follow=True
        )
        assert answer.status_code == status, answer.content


def test_a_stored_token_costs_a_page_few_queries(away: Wizard, django_assert_max_num_queries: Any) -> None:
    away.post("token/", token=TOKEN)
    # The token is read anew wherever it is asked for; of the first page it costs two queries.
    for page, most in (("", 25), ("npd/contact/", 15), ("sync/syncqueue/", 15), ("sync/boardlink/", 15)):
        away.client.get(f"/admin/{page}")  # the first one fills what Django caches
        with django_assert_max_num_queries(most, info=page):
            assert away.client.get(f"/admin/{page}").status_code == 200
