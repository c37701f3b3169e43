"""POST /webhooks/monday/ and /webhooks/monday/{token}/ over HTTP."""

import json
import logging
from io import BytesIO

import pytest
from django.test import Client
from pytest_django import Settings

from sync.models import SyncQueue, WebhookEvent
from tests.api.conftest import code_of, error_of
from tests.inbox.conftest import BARE, PATH_TOKEN, WITH_TOKEN, raw, signed


@pytest.fixture
def monday() -> Client:
    """Monday, which has no cookie and no CSRF token."""
    return Client(enforce_csrf_checks=True)


def test_a_signed_webhook_is_taken_at_the_bare_door(monday: Client, settings: Settings) -> None:
    headers = {"Authorization": signed(settings.SITE_URL + BARE)}
    answer = monday.post(BARE, raw(), content_type="application/json", headers=headers)
    assert answer.status_code == 200
    assert WebhookEvent.objects.count() == SyncQueue.objects.count() == 1


def test_a_refusal_says_why_in_words(monday: Client) -> None:
    answer = monday.post(BARE, raw(), content_type="application/json")
    assert answer.status_code == 401
    assert code_of(answer) == "unsigned"
    assert "not signed" in error_of(answer)["detail"]


def test_twenty_megabytes_are_refused_unread(monday: Client) -> None:
    unread = BytesIO(b"x")
    answer = monday.generic("POST", WITH_TOKEN, "", CONTENT_LENGTH="20000000", **{"wsgi.input": unread})  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert unread.tell() == 0


def test_other_methods_are_not_allowed(monday: Client) -> None:
    for path in (BARE, WITH_TOKEN):
        for answer in (monday.get(path), monday.put(path, raw(), content_type="application/json")):
            assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
            assert code_of(answer) == "method_not_allowed"


def test_neither_token_nor_signature_is_written_to_the_log(
    monday: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    signature = signed(settings.SITE_URL + BARE, seconds=-1_000)
    wrong = "wrong-" + PATH_TOKEN
    formatter = logging.getLogger().handlers and settings.LOGGING["formatters"]["line"]
    assert formatter
    with caplog.at_level(logging.INFO):
        monday.post(BARE, raw(), content_type="application/json", headers={"Authorization": signature})
        monday.post(f"/webhooks/monday/{wrong}/", raw(), content_type="application/json")
    refusals = [record for record in caplog.records if record.name == "sync.records.inbox"]
    assert len(refusals) == 2
    for record in refusals:
        assert signature not in json.dumps(record.msg, default=str)
        assert wrong not in json.dumps(record.msg, default=str)
