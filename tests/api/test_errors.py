"""Refusals and failures have one form for every code, and reveal no secret."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from npd.models import Contact
from sync.api import sync_endpoints
from tests.api.conftest import QUEUE, code_of, error_of, with_token
from tests.support.people import staff_who_may

CONTACTS = "/api/v1/contacts/"
SECRET = "postgres://user:hunter2@host"


def refused(answer: Any, status: int, code: str, kind: str = "client_error") -> None:
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.status_code, answer.json()["type"]) == (status, kind)
    assert set(error_of(answer)) == {"code", "detail", "attr"}
    assert code_of(answer) == code


@pytest.mark.parametrize("debug", [False, True])
def test_every_refusal_has_the_same_form(api: APIClient, settings: Settings, *, debug: bool) -> None:
    settings.DEBUG = debug
    refused(APIClient().get(CONTACTS), 401, "not_authenticated")
    refused(with_token(staff_who_may()).get(CONTACTS), 403, "permission_denied")
    refused(api.get(f"{CONTACTS}11111111-1111-1111-1111-111111111111/"), 404, "not_found")
    refused(api.get("/api/v1/nothing/"), 404, "not_found")
    refused(api.post("/api/nothing", {"a": 1}), 404, "not_found")
    refused(APIClient().delete("/cron/nothing"), 404, "not_found")
    refused(Client().get("/cron/sync-queue"), 405, "method_not_allowed")
    refused(api.get(f"{CONTACTS}?pagination=cursor&cursor=abc"), 404, "not_found")
    refused(api.post(CONTACTS, {}), 400, "required", "validation_error")
    assert error_of(api.post(CONTACTS, {}))["attr"] == "name"
    assert error_of(api.get(f"{QUEUE}?status=lost"))["attr"] == "status"


@pytest.mark.parametrize("debug", [False, True])
def test_a_failure_of_ours_is_recorded_and_its_answer_tells_nothing_of_it(
    api: APIClient,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    debug: bool,
) -> None:
    def fail() -> None:
        raise RuntimeError(SECRET)

    settings.DEBUG = debug
    api.raise_request_exception = False
    monkeypatch.setattr(sync_endpoints, "sync_stats", fail)
    answer = api.get("/api/v1/sync/stats")
    refused(answer, 500, "error", "server_error")
    assert "hunter2" not in answer.content.decode()
    assert [line.exc_info[0] for line in caplog.records if line.exc_info] == [RuntimeError]


def test_a_failure_outside_the_api_is_told_alike(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError(SECRET)

    client.raise_request_exception = False
    monkeypatch.setattr("sync.records.inbox.receive", fail)
    answer = client.post("/webhooks/monday/", b"{}", content_type="application/json")
    refused(answer, 500, "error", "server_error")
    assert "hunter2" not in answer.content.decode()


# The parser accepts it, but a query can't.
TOO_DEEP = '{"organization": %s}' % ("[" * 450 + "]" * 450)


@pytest.mark.parametrize("body", ["[]", '{"name": NaN}', "[" * 100_000, '{"name": "\\ud800"}', TOO_DEEP])
def test_a_body_that_is_no_object_is_refused_in_words(api: APIClient, body: str) -> None:
    answer = api.post(CONTACTS, body, content_type="application/json")
    assert answer.status_code == 400
    assert error_of(answer)["detail"]
    assert not Contact.objects.exists()


def test_a_body_of_twenty_megabytes_is_not_read(api: APIClient) -> None:
    refused(api.post(CONTACTS, {"name": "x", "notes": "x" * 20_000_000}), 413, "too_large")
