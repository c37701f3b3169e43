"""The pages of outgoing webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils.html import strip_tags

from npd.models import Contact
from sync.models import DisabledCode, Incident, WebhookDelivery, WebhookEndpoint
from sync.operations.notifications.incidents import refresh_incidents
from sync.operations.outgoing_webhooks import make_endpoint
from tests.api.conftest import with_token

LIST = "/admin/sync/webhookendpoint/"


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


@pytest.fixture
def endpoint(person: User) -> WebhookEndpoint:
    return make_endpoint({"address": "https://hooks.example/npd", "description": "Newsletter"}, person)[0]


def test_an_endpoint_is_made_on_a_page_that_shows_its_secret_once(browser: Client) -> None:
    chosen: dict[str, Any] = {"address": "https://hooks.example/x", "description": "CRM", "enabled": "on"}
    answer = browser.post(f"{LIST}add/", chosen)
    row = WebhookEndpoint.objects.get()
    assert (row.address, row.event_types, row.enabled) == ("https://hooks.example/x", [], True)
    assert "whsec_" in answer.content.decode()
    assert "whsec_" not in browser.get(f"{LIST}{row.pk}/change/").content.decode()
    refused = browser.post(f"{LIST}add/", chosen | {"address": "https://10.0.0.1/"})
    assert (refused.status_code, WebhookEndpoint.objects.count()) == (200, 1)


def test_it_is_changed_tested_and_given_a_new_secret(browser: Client, endpoint: WebhookEndpoint) -> None:
    page = f"{LIST}{endpoint.pk}/"
    browser.post(f"{page}change/", {"address": endpoint.address, "event_types": ["record.deleted"], "enabled": "on"})
    endpoint.refresh_from_db()
    assert (endpoint.event_types, endpoint.enabled) == (["record.deleted"], True)
    browser.post(f"{page}test/")
    assert WebhookDelivery.objects.get().event is None
    assert "whsec_" not in browser.post(f"{page}rotate/").content.decode()
    assert "whsec_" in browser.post(f"{page}rotate/", {"confirmed": "yes"}).content.decode()
    assert browser.get(f"{page}rotate/").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_an_act_that_gave_way_to_another_is_told_and_may_be_repeated(
    browser: Client, person: User, endpoint: WebhookEndpoint
) -> None:
    row = WebhookDelivery.objects.create(endpoint=endpoint, state="failed", counted=5)
    log, page = "/admin/sync/webhookdelivery/", f"{LIST}{endpoint.pk}/change/"
    again = {"action": "send_again", "_selected_action": [row.pk], "index": "0"}
    form = {"address": endpoint.address, "description": "Other", "enabled": "on"}
    with holding("SELECT 1 FROM sync_webhook_endpoints, sync_webhook_deliveries FOR UPDATE"):
        answers = [browser.post(log, again), browser.post(page, form)]
        by_api = with_token(person)
        told = by_api.post(f"/api/v1/webhook-deliveries/{row.pk}/replay")
    assert [(one.status_code, one.headers["Retry-After"]) for one in answers] == [(503, "10")] * 2
    assert 'id="nav-sidebar"' in answers[0].content.decode()
    assert (told.status_code, told.json()["code"]) == (409, "conflict")
    connection.close()
    assert [browser.post(log, again).status_code, browser.post(page, form).status_code] == [302, 302]
    endpoint.refresh_from_db()
    assert endpoint.description == "Other"


@pytest.mark.django_db(transaction=True)
def test_a_form_whose_rows_somebody_keeps_locked_is_told_so_and_does_not_hang(
    browser: Client, endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.kernel.db.LOCK_WAIT_SECONDS", 1)
    contact = Contact.objects.create(name="Maya Lind")
    pages = {
        f"{LIST}{endpoint.pk}/change/": {"address": endpoint.address, "description": "Other", "enabled": "on"},
        f"/admin/npd/contact/{contact.pk}/change/": {"name": "Maya Lund"},
    }
    with holding("SELECT 1 FROM sync_webhook_endpoints, contacts FOR UPDATE", wait="0"):
        answers = [browser.post(page, form) for page, form in pages.items()]
    assert [(one.status_code, one.headers.get("Retry-After")) for one in answers] == [(503, "10")] * 2
    contact.refresh_from_db()
    assert contact.name == "Maya Lind"


@contextmanager
def holding(statement: str, wait: str = "50ms") -> Iterator[None]:
    """Somebody else has these rows locked, and who waits for them gives way soon, or, with "0", as the site has it."""
    settings = connection.settings_dict
    address = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"]}
    with psycopg.connect(**address, password=settings["PASSWORD"], dbname=settings["NAME"]) as other:  # type: ignore[arg-type]
        other.execute(statement)
        other.execute("SET idle_in_transaction_session_timeout = '60s'")  # no test hangs
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [wait])
        yield


def test_deliveries_are_listed_and_sent_again(browser: Client, endpoint: WebhookEndpoint) -> None:
    row = WebhookDelivery.objects.create(endpoint=endpoint, state="failed", status_code=500, counted=5)
    log = "/admin/sync/webhookdelivery/"
    assert "HTTP 500" in browser.get(log).content.decode()
    page = browser.get(f"{log}{row.pk}/change/").content.decode()
    assert ("Failures of this delivery alone" in page, "The present attempt counts" in page) == (True, False)
    browser.post(log, {"action": "send_again", "_selected_action": [row.pk], "index": "0"})
    row.refresh_from_db()
    assert (row.state, row.counted) == ("pending", 0)


def test_a_dead_endpoint_is_on_health_and_in_the_inbox_where_it_is_switched_on_again(
    browser: Client, endpoint: WebhookEndpoint
) -> None:
    WebhookEndpoint.objects.update(enabled=False, disabled_code=DisabledCode.GONE)
    refresh_incidents()
    assert Incident.objects.get(kind="webhook").name == "Newsletter"
    assert "/admin/inbox/?kind=webhook" in browser.get("/admin/").content.decode()
    live = browser.get("/admin/live/").json()
    assert strip_tags(live["badges"]["/admin/inbox/"]).strip() == "1"
    browser.post("/admin/inbox/act/", {"one": f"switch_on webhook:{endpoint.pk}"})
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_code) == (True, "")
    assert browser.get("/admin/live/").json() | {"badges": None} != live | {"badges": None}
    refresh_incidents()
    assert Incident.objects.get(kind="webhook").gone_at


def test_an_endpoint_whose_owner_is_gone_is_taken_over_after_a_question(
    browser: Client, person: User, endpoint: WebhookEndpoint
) -> None:
    gone = User.objects.create_user("clerk", is_active=False)
    WebhookEndpoint.objects.update(enabled=False, disabled_code=DisabledCode.OWNER, owner=gone)
    page = browser.get("/admin/inbox/").content.decode()
    assert f"take_over webhook:{endpoint.pk}" in page
    assert f"switch_on webhook:{endpoint.pk}" not in page
    for act in ("switch_on", "take_over"):
        browser.post("/admin/inbox/act/", {"one": f"{act} webhook:{endpoint.pk}"})
        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.owner) == (False, gone)
    WebhookEndpoint.objects.update(disabled_code=DisabledCode.GONE)
    browser.post("/admin/inbox/act/", {"one": f"switch_on webhook:{endpoint.pk}"})
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.owner) == (False, gone)
    WebhookEndpoint.objects.update(disabled_code=DisabledCode.OWNER)
    browser.post("/admin/inbox/act/", {"one": f"take_over webhook:{endpoint.pk}", "confirmed": "yes"})
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.owner) == (True, person)
