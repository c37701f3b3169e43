"""The addresses that programs call, and what the page about a failure shows."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, RequestFactory, override_settings
from django.views.debug import technical_500_response

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("debug", [True, False])
def test_a_webhook_without_the_last_slash_meets_the_same_door(debug: bool) -> None:
    body = json.dumps({"challenge": "c"})
    for path in (f"/webhooks/monday/{settings.MONDAY_WEBHOOK_TOKEN}", "/webhooks/monday", "/webhooks/monday/no"):
        with override_settings(DEBUG=debug):
            client = Client(enforce_csrf_checks=True)
            bare, whole = (
                client.post(address, body, content_type="application/json", headers={"X-Request-ID": "the-same-1"})
                for address in (path, f"{path}/")
            )
        assert bare.status_code == whole.status_code < 500
        assert bare.content == whole.content
    with override_settings(DEBUG=debug):
        door = f"/webhooks/monday/{settings.MONDAY_WEBHOOK_TOKEN}"
        assert Client().post(door, body, content_type="application/json").json() == {"challenge": "c"}


def fail(**arguments: Any) -> None:
    conninfo = f"host=h {arguments['params']['password']}"  # noqa: F841 - to be found in the trace
    raise RuntimeError(f"no luck with {settings.MONDAY_API_KEY}")


@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
def test_the_page_about_a_failure_shows_no_secret(rf: RequestFactory, accept: str) -> None:
    names = ("DATABASE_URL", "CELERY_BROKER_URL", "A_REDIS", "MONDAY_ANYTHING", "A_WEBHOOK", "CRON_ANYTHING")
    named = {name: f"hide-{'me'}-{name}" for name in names}  # the trace shows the lines of this file too
    path = f"/webhooks/monday/{settings.MONDAY_WEBHOOK_TOKEN}/"
    request = rf.get(path, headers={"accept": accept, "authorization": f"Token hide-{'me'}"})
    with override_settings(**named):
        try:
            fail(params={"password": f"hide-{'me'}"}, url=settings.MONDAY_SIGNING_SECRET)
        except RuntimeError as error:
            page = technical_500_response(request, type(error), error, error.__traceback__)
    text = page.content.decode()
    assert "RuntimeError" in text
    for secret in [f"hide-{'me'}", *filter(None, settings.SECRET_TEXTS)]:
        assert secret not in text
