"""An app's token ends after an hour: it is replaced before, by one process, and where that can't be it is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection

from sync import connectors
from sync.choices import SecretName
from sync.connectors.base.errors import CodeNotExchanged
from sync.kernel.secret_texts import encrypt
from sync.limits import credentials, metered_client
from sync.models import StoredSecret
from tests.support.sandbox import Sandbox
from tests.support.serving import Quiet, local, serving
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db(transaction=True)
REDIRECT = "http://127.0.0.1:9/callback/"


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("ada", "ada@example.com", "x")


@pytest.fixture
def connected(sandbox: Sandbox, settings: Any, user: User) -> Sandbox:
    """An app that was authorized just now."""
    settings.MONDAY_API_URL, settings.MONDAY_API_KEY = sandbox.api_url, ""
    settings.MONDAY_CLIENT_ID, settings.MONDAY_CLIENT_SECRET = "sandbox-client-id", "sandbox-client-secret"
    app = credentials.oauth_app()
    assert app is not None
    url = connectors.get().authorization_url(app, REDIRECT, "state", "v" * 43)
    answer = re.findall(r'href="(/oauth2/answer[^"]*)"', requests.get(url, timeout=10).text)[0].replace("&amp;", "&")
    back = requests.get(sandbox.url + answer, timeout=10, allow_redirects=False).headers["Location"]
    credentials.connect_app(re.findall(r"code=([^&]*)", back)[0], REDIRECT, "v" * 43, user)
    return sandbox


@pytest.fixture
def authorized(settings: Any) -> None:
    """An app that was authorized by a Monday that each test plays."""
    settings.MONDAY_API_KEY = ""
    settings.MONDAY_CLIENT_ID, settings.MONDAY_CLIENT_SECRET = "sandbox-client-id", "sandbox-client-secret"
    for name in (SecretName.API_TOKEN, SecretName.REFRESH_TOKEN):
        StoredSecret.objects.create(name=name, sealed=encrypt(f"the-{name}"))


def nearly_ended() -> None:
    StoredSecret.objects.filter(name=SecretName.API_TOKEN).update(expires_at="2000-01-01T00:00Z")


def test_a_token_that_is_about_to_end_is_replaced_before_the_next_call(connected: Sandbox) -> None:
    before = credentials.api_token()
    metered_client.connector(urgent=True).probe()
    assert credentials.api_token() == before  # it has time left
    connected.control("clock", offset_seconds=3_590)
    nearly_ended()
    assert metered_client.connector(urgent=True).probe().user_id
    after = credentials.api_token()
    assert after != before
    connected.control("clock", offset_seconds=3_700)  # the first one has ended by now
    assert metered_client.connector(urgent=True).probe().user_id
    assert credentials.token_state().source is credentials.Source.STORED


def test_many_processes_replace_it_once(connected: Sandbox) -> None:
    """A refresh token is good for one refresh: a second use would be refused, and end the authorization."""
    nearly_ended()
    at_once(*[credentials.fresh_api_token] * 6)
    assert credentials.token_state().source is credentials.Source.STORED
    assert metered_client.connector(urgent=True).probe().user_id


def test_an_authorization_that_monday_ended_is_said_and_not_asked_for_again(connected: Sandbox) -> None:
    connected.reset()  # Monday knows nothing of it any more
    nearly_ended()
    assert credentials.fresh_api_token() == ""
    assert credentials.token_state().source is credentials.Source.ENDED
    assert "Connect with Monday again" in credentials.missing_reason()
    assert not credentials.is_configured()


def test_while_monday_does_not_answer_the_refresh_token_is_kept(connected: Sandbox, settings: Any) -> None:
    nearly_ended()
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    credentials.fresh_api_token()
    assert StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN).exists()
    settings.MONDAY_API_URL = connected.api_url
    StoredSecret.objects.update(claimed_until=None)  # a minute later
    credentials.fresh_api_token()
    assert metered_client.connector(urgent=True).probe().user_id


def test_a_code_for_which_no_answer_came_is_not_said_to_be_tried_again(authorized: None) -> None:
    app = credentials.oauth_app()
    assert app is not None
    with pytest.raises(CodeNotExchanged) as caught:
        connectors.get().exchange_code(replace(app, url="http://127.0.0.1:9"), "a-code", REDIRECT, "v" * 43)
    assert (caught.value.code, caught.value.retryable) == ("code_not_exchanged", False)
    assert caught.value.advice in caught.value.sentence


@pytest.mark.parametrize(
    ("status", "body", "is_over"),
    [
        (403, b"<html>a firewall</html>", False),
        (404, b"not here", False),
        (302, b"", False),
        (400, b'{"error": "invalid_request"}', False),
        (400, b'{"error": "temporarily_unavailable"}', False),
        (400, b'{"error": "invalid_grant"}', True),
        (401, b'{"error": "invalid_client"}', True),
        (400, b'{"error": "unauthorized_client"}', True),
    ],
)
def test_only_mondays_word_that_it_is_over_ends_an_authorization(
    authorized: None, settings: Any, status: int, body: bytes, is_over: bool
) -> None:
    nearly_ended()

    class SignIn(Quiet):
        """Answers each question the same."""

        def reply(self) -> None:
            """Answer."""
            self.answer(body, status)

    with serving(local(SignIn)) as server:
        settings.MONDAY_API_URL = f"http://127.0.0.1:{server.server_address[1]}/v2"
        credentials.fresh_api_token()
    assert StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN).exists() is not is_over


def test_tokens_that_come_after_somebody_disconnected_are_ended_at_monday(authorized: None, settings: Any) -> None:
    nearly_ended()
    revoked: list[str] = []

    class SignIn(Quiet):
        """Answers a refresh when the person has disconnected by then."""

        def reply(self) -> None:
            """Answer, or note what is ended."""
            asked = json.loads(self.body())
            if self.path.endswith("/revoke"):
                revoked.append(asked["token"])
            else:
                StoredSecret.objects.all().delete()
                connection.close()
            self.answer(b'{"access_token": "a-new-access-token", "refresh_token": "a-new-refresh-token"}')

    with serving(local(SignIn)) as server:
        settings.MONDAY_API_URL = f"http://127.0.0.1:{server.server_address[1]}/v2"
        assert credentials.fresh_api_token() == ""
    assert set(revoked) == {"a-new-access-token", "a-new-refresh-token"}
