"""The addresses that programs call."""

import json

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from npd.models import Contact
from tests.api.conftest import with_token

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("debug", [True, False])
def test_a_post_without_the_last_slash_keeps_its_body(person: User, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        answer = with_token(person).post("/api/v1/contacts", {"name": "Ada Slash"})
    assert answer.status_code == 201, answer.content
    assert Contact.objects.get().name == "Ada Slash"


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
