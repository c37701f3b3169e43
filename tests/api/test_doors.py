"""Cron, health, the secrets of cron and metrics, and the link from an item to its record."""

import socket
import uuid
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import Settings

from npd.models import Contact, Organization
from sync.outbox import wakeups
from tests.api.conftest import code_of, error_of
from tests.support.people import staff_who_may

CRON = "/cron/sync-queue"


def test_cron_works_the_queue_and_counts(client: Client, db: None) -> None:
    answer = client.post(CRON, headers={"Authorization": "Bearer test-cron-secret"})
    assert answer.status_code == 200
    assert answer.json() == {"claimed": 0, "completed": 0, "failed": 0, "waiting": 0}


SECRETS = pytest.mark.parametrize(
    ("method", "path", "setting"), [("POST", CRON, "CRON_SECRET"), ("GET", "/metrics", "METRICS_TOKEN")]
)


@SECRETS
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Bearer é", "Token its-secret"])
def test_without_its_secret_it_is_refused(
    client: Client, db: None, settings: Settings, method: str, path: str, setting: str, header: str | None
) -> None:
    setattr(settings, setting, "its-secret")
    answer = client.generic(method, path, headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "its-secret" not in answer.content.decode()
    assert "npd_sync" not in answer.content.decode()


@SECRETS
def test_while_no_secret_is_set_it_is_closed(
    client: Client, db: None, settings: Settings, method: str, path: str, setting: str
) -> None:
    setattr(settings, setting, "")
    for header in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}):
        answer = client.generic(method, path, headers=header)
        assert (answer.status_code, code_of(answer)) == (403, "closed")
        assert setting in error_of(answer)["detail"]


def test_healthz_asks_nothing_of_the_database(client: Client) -> None:
    answer = client.get("/healthz")  # without the db fixture a query fails the test
    assert (answer.status_code, answer.content) == (200, b"ok")


POD = "10.42.0.17:8000"
STRANGE = pytest.mark.parametrize("host", [POD, "web:8000", "web_1:8000", "[fe80::1]:8000", "-", ""])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker may take long to answer on a busy machine."""
    monkeypatch.setattr(wakeups, "BROKER_SECONDS", 60)


@pytest.mark.usefixtures("patient")
@STRANGE
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_by_any_address_is_answered_and_not_sent_to_https(
    db: None, settings: Settings, path: str, method: str, host: str
) -> None:
    settings.SECURE_SSL_REDIRECT = settings.USE_X_FORWARDED_HOST = True
    headers = {"Host": host, "X-Forwarded-Host": host, "Authorization": f"Bearer {settings.METRICS_TOKEN}"}
    answer = Client().generic(method, f"{path}?a=b", headers=headers)
    assert answer.status_code == 200
    expected = {"Content-Security-Policy", "Permissions-Policy", "X-Content-Type-Options", "X-Request-ID"}
    assert expected <= set(answer.headers)


@STRANGE
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/accounts/login/"),
        ("POST", "/cron/sync-queue"),
        ("GET", "/healthz/x"),
        ("HEAD", "/readyz/"),
        ("GET", "//metrics"),
        ("POST", "/healthz"),
        ("OPTIONS", "/readyz"),
    ],
)
def test_a_strange_name_is_refused(db: None, method: str, path: str, host: str) -> None:
    assert Client().generic(method, path, headers={"Host": host}).status_code == 400


@pytest.mark.usefixtures("patient")
def test_readyz_is_well_when_database_and_broker_answer(client: Client, db: None) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


def test_readyz_gives_up_on_a_silent_broker(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "BROKER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        waits = {"socket_connect_timeout": 0.2, "socket_timeout": 2.0}  # as the project's are
        broker = current_app.connection_for_write(url, transport_options=waits)
        monkeypatch.setattr(wakeups.current_app, "connection_for_write", lambda: broker)
        answer = client.get("/readyz")
    assert (answer.status_code, "broker" in answer.json()["reasons"][0]) == (503, True)


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_a_database_that_is_away_is_said_without_its_address(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, path: str
) -> None:
    def away(*arguments: Any, **named: Any) -> None:
        raise OperationalError("connection refused: postgres://user:pass@host")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "cursor", away)
        answer = client.get(path, headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    text = answer.content.decode()
    assert (answer.status_code, "database" in text, "pass" in text) == (503, True, False)


def test_go_leads_from_an_id_to_the_records_page(client: Client, person: User) -> None:
    client.force_login(person)
    organization = Organization.objects.create(name="Navy")
    to = client.get(f"/go/{organization.pk}").headers["Location"]
    assert to == f"/admin/npd/organization/{organization.pk}/change/"
    assert client.get(f"/go/{uuid.uuid4()}").status_code == 404
    assert client.get("/go/nonsense").status_code == 404


def test_go_does_not_tell_who_may_not_see_them_which_records_there_are(client: Client, contact: Contact) -> None:
    assert client.get(f"/go/{contact.pk}").headers["Location"] == f"/admin/login/?next=/go/{contact.pk}"
    client.force_login(staff_who_may("view_organization"))
    assert client.get(f"/go/{contact.pk}").status_code == 404
    client.force_login(staff_who_may("view_contact", name="reader"))
    assert client.get(f"/go/{contact.pk}").status_code == 302


def test_the_bare_address_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"
