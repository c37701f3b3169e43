"""Webhooks that go out: what arrives, signed as the standard says, and what becomes of an endpoint that fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient
from standardwebhooks.webhooks import WebhookVerificationError

from npd.models import Contact, Organization
from sync.models import ApiToken, FeedEvent, WebhookDelivery, WebhookEndpoint
from sync.operations import attention, outgoing_webhooks
from sync.operations.outgoing_webhooks import deliver_webhooks
from sync.operations.retention import prune
from tests.following.conftest import all_events, conflict_about, user_who_may
from tests.support.clock import move_clock
from tests.support.webhook_receiver import WebhookReceiver, webhook_receiver

ENDPOINTS = "/api/v1/webhook-endpoints/"
DELIVERIES = "/api/v1/webhook-deliveries/"


@pytest.fixture
def receiver(settings: Any) -> Iterator[WebhookReceiver]:
    """It listens on this machine, which is a private address."""
    settings.NOTIFY_PRIVATE_ADDRESSES = True
    with webhook_receiver() as found:
        yield found


@pytest.fixture
def endpoint(api: APIClient, receiver: WebhookReceiver) -> dict[str, Any]:
    """One that is told of everything, as the API answered."""
    answer = api.post(ENDPOINTS, {"address": receiver.address, "description": "Newsletter"}, format="json")
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def url_of(endpoint: dict[str, Any], act: str = "") -> str:
    return f"{ENDPOINTS}{endpoint['id']}/{act}"


def deliver_after(**span: float) -> None:
    """So long after the beginning a sender has its turn; the test's transaction puts the clock back."""
    move_clock(timedelta(**span))
    deliver_webhooks()


def states() -> list[str]:
    return list(WebhookDelivery.objects.order_by("id").values_list("state", flat=True))


def test_an_event_arrives_signed_as_the_standard_says_with_what_the_feed_says(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    Contact.objects.create(name="Zoë")
    deliver_webhooks()
    deliver_webhooks()
    [event] = all_events(api)
    [message] = receiver.verified(endpoint["secret"])
    assert (message["type"], message["timestamp"], message["data"]) == ("record.created", event["at"], event)
    assert receiver.ids == [event["id"]]
    [delivery] = api.get(DELIVERIES, {"endpoint": endpoint["id"]}).json()["results"]
    assert (delivery["state"], delivery["attempts"], delivery["status_code"]) == ("delivered", 1, 200)
    with pytest.raises(WebhookVerificationError):
        receiver.verified("whsec_" + "A" * 43 + "=")


def test_however_many_answer_slowly_every_other_has_a_call_of_its_own(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    all_came, waited = threading.Event(), list[bool]()
    receiver.meanwhile = lambda: all_came.set() if len(receiver.ids) >= 20 else None
    with webhook_receiver() as slow:
        slow.meanwhile = lambda: waited.append(all_came.wait(8))
        for number in range(3):
            api.post(ENDPOINTS, {"address": f"{slow.address}/{number}"}, format="json")
        Contact.objects.bulk_create(Contact(name=f"Person {number}") for number in range(20))
        deliver_webhooks()
    assert len(waited) == 60
    assert all(waited)


def test_the_secret_is_shown_once_stored_encrypted_and_rotated_with_a_day_of_grace(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    first = endpoint["secret"]
    assert "secret" not in api.get(url_of(endpoint)).json()
    assert first not in str(list(WebhookEndpoint.objects.values()))
    second = api.post(url_of(endpoint, "rotate-secret")).json()["secret"]
    assert second != first
    Contact.objects.create(name="Within the grace")
    deliver_webhooks()
    assert receiver.verified(first) == receiver.verified(second)
    receiver.posted.clear()
    WebhookEndpoint.objects.update(previous_until=FeedEvent.objects.get().at)
    Contact.objects.create(name="After it")
    deliver_webhooks()
    receiver.verified(second)
    with pytest.raises(WebhookVerificationError):
        receiver.verified(first)
    prune()
    assert WebhookEndpoint.objects.get().previous_secret == ""


def test_it_is_told_of_the_chosen_types_from_its_making_on(api: APIClient, receiver: WebhookReceiver) -> None:
    Contact.objects.create(name="Before")
    chosen = {"address": receiver.address, "event_types": ["record.deleted", "record.created"]}
    api.post(ENDPOINTS, chosen, format="json")
    contact = Contact.objects.create(name="After")
    Contact.objects.update(notes="met")
    contact.delete()
    deliver_webhooks()
    # In which order they arrive is not promised.
    assert {json.loads(body)["type"] for body, _ in receiver.posted} == {"record.created", "record.deleted"}
    assert len(receiver.posted) == 2


def test_a_test_is_a_ping_and_a_replay_has_the_same_id(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    answer = api.post(url_of(endpoint, "test"))
    assert (answer.status_code, answer.json()["event_type"]) == (202, "ping")
    deliver_webhooks()
    assert receiver.verified(endpoint["secret"])[0]["type"] == "ping"
    assert api.post(f"{DELIVERIES}{answer.json()['id']}/replay").status_code == 202
    deliver_webhooks()
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    api.patch(url_of(endpoint), {"enabled": False}, format="json")
    for refused in (url_of(endpoint, "test"), f"{DELIVERIES}{answer.json()['id']}/replay"):
        assert api.post(refused).json()["code"] == "endpoint_off"


def test_an_endpoint_that_is_away_gets_everything_when_it_is_back_and_is_asked_sparingly_meanwhile(
    receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    receiver.status = 503
    Contact.objects.bulk_create(Contact(name=f"Person {n}") for n in range(20))
    deliver_webhooks()
    asked = len(receiver.posted)
    assert asked < 20
    for hours in range(1, 30):
        deliver_after(hours=hours)
    assert len(receiver.posted) == asked + 29
    receiver.status = 200
    deliver_after(hours=31)
    deliver_after(hours=33)
    assert states() == ["delivered"] * 20
    assert len(set(receiver.ids)) == 20


def test_a_delivery_that_alone_is_refused_is_given_up_after_five_attempts_and_can_be_replayed(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    receiver.answered, receiver.says = {"Poison": 500}, f"no: {endpoint['secret']}".encode()
    Contact.objects.create(name="Poison")
    for minutes in (0, 2, 8, 25, 90, 200):
        deliver_after(minutes=minutes)
        Contact.objects.create(name=f"At {minutes}")
        deliver_after(minutes=minutes + 1.5)
    refused = WebhookDelivery.objects.order_by("id")[0]
    assert (refused.state, refused.counted, refused.status_code) == ("failed", 5, 500)
    assert (refused.excerpt, states()[1:]) == ("no: …", ["delivered"] * 6)
    receiver.answered = {}
    api.post(f"{DELIVERIES}{refused.pk}/replay")
    deliver_webhooks()
    assert states() == ["delivered"] * 7


def test_an_endpoint_that_fails_for_five_days_is_switched_off_and_goes_on_where_it_was(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    receiver.status = 500
    Contact.objects.create(name="One")
    for hours in (0, 60, 119, 122):
        deliver_after(hours=hours)
    off = api.get(url_of(endpoint)).json()
    assert (off["enabled"], off["disabled_code"]) == (False, "failing")
    Contact.objects.create(name="Two")
    receiver.status = 200
    deliver_webhooks()
    assert len(receiver.posted) == 4
    on = api.patch(url_of(endpoint), {"enabled": True}, format="json").json()
    assert (on["disabled_code"], on["failing_since"]) == ("", None)
    deliver_after(hours=124)
    assert states() == ["delivered"] * 2


def test_an_endpoint_that_says_it_is_gone_is_switched_off_at_once(
    api: APIClient, receiver: WebhookReceiver, endpoint: dict[str, Any]
) -> None:
    receiver.status = 410
    Contact.objects.create(name="One")
    deliver_webhooks()
    assert api.get(url_of(endpoint)).json()["disabled_code"] == "gone"


def test_an_endpoint_that_is_away_fills_no_table(
    receiver: WebhookReceiver, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_webhooks, "BACKLOG", 50)
    monkeypatch.setattr(outgoing_webhooks, "TAKEN_AT_ONCE", 50)
    receiver.status = 500
    Contact.objects.bulk_create(Contact(name=f"Person {n}") for n in range(300))
    for hours in range(4):
        deliver_after(hours=hours)
    assert 50 <= WebhookDelivery.objects.count() <= 150


@pytest.mark.parametrize("address", ["http://hooks.example/x", "https://10.0.0.8/x", "hooks.example"])
def test_an_address_that_may_lead_inside_is_refused(api: APIClient, address: str) -> None:
    answer = api.post(ENDPOINTS, {"address": address}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "address")


def test_a_name_that_leads_inside_is_not_called(api: APIClient, receiver: WebhookReceiver, settings: Any) -> None:
    settings.NOTIFY_PRIVATE_ADDRESSES = False
    api.post(ENDPOINTS, {"address": "https://localhost/hooks"}, format="json")
    Contact.objects.create(name="One")
    deliver_webhooks()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.status_code, receiver.posted) == ("pending", None, [])


def may(*codenames: str) -> None:
    """From now on the clerk may do this and no more."""
    User.objects.get(username="clerk").user_permissions.set(Permission.objects.filter(codename__in=codenames))


def told(receiver: WebhookReceiver) -> list[tuple[str, str]]:
    """What arrived since the last look: type of event and of record."""
    bodies = [json.loads(body) for body, _ in receiver.posted]
    receiver.posted.clear()
    return sorted((body["type"], body["data"]["entity_type"]) for body in bodies)


def make_everything() -> None:
    contact = Contact.objects.create(name="Grace")
    Organization.objects.create(name="Navy")
    conflict_about(contact)


OPERATOR = ("add_webhookendpoint", "view_webhookendpoint", "change_webhookendpoint")


def test_an_endpoint_gets_what_its_owner_may_view_when_it_is_sent(db: None, receiver: WebhookReceiver) -> None:
    clerk = user_who_may(*OPERATOR)
    assert clerk.post(ENDPOINTS, {"address": receiver.address}, format="json").status_code == 403
    may(*OPERATOR, "view_contact", "view_organization")
    clerk.force_authenticate(User.objects.get())
    made = clerk.post(ENDPOINTS, {"address": receiver.address}, format="json").json()
    assert (made["owner"], clerk.get(DELIVERIES).status_code) == ("clerk", 403)
    make_everything()
    deliver_webhooks()
    assert told(receiver) == [("record.created", "contact"), ("record.created", "organization")]
    # What is on its way when the right is lost is not sent, nor what follows.
    receiver.status = 503
    make_everything()
    deliver_webhooks()
    may(*OPERATOR, "view_organization", "view_syncconflict")
    receiver.status = 200
    receiver.posted.clear()
    make_everything()
    for hours in (2, 4):
        deliver_after(hours=hours)
    assert set(told(receiver)) == {("record.created", "organization")}
    assert states().count("failed") == 1


def test_an_endpoint_whose_owner_is_gone_is_off_until_somebody_takes_it_over(
    api: APIClient, receiver: WebhookReceiver
) -> None:
    clerk = user_who_may(*OPERATOR, "view_contact")
    made = clerk.post(ENDPOINTS, {"address": receiver.address}, format="json").json()
    receiver.status = 503
    Contact.objects.create(name="On its way")
    deliver_webhooks()
    User.objects.filter(username="clerk").update(is_active=False)
    receiver.status = 200
    receiver.posted.clear()
    deliver_after(hours=2)
    Contact.objects.create(name="While nobody's")
    deliver_webhooks()
    off = api.get(url_of(made)).json()
    assert (off["enabled"], off["disabled_code"], told(receiver)) == (False, "owner", [])
    [entry] = attention.entries(kinds=[attention.AttentionKind.WEBHOOK])
    assert entry.cause_code == "owner"
    on = api.patch(url_of(made), {"enabled": True}, format="json").json()
    assert (on["owner"], on["created_by"], on["disabled_code"]) == ("ada", "clerk", "")
    deliver_after(hours=4)
    assert told(receiver) == [("record.created", "contact")] * 2


def test_nobody_turns_what_an_owner_gets_to_themselves(api: APIClient, endpoint: dict[str, Any]) -> None:
    clerk = user_who_may(*OPERATOR, "view_contact", "view_syncconflict")
    address = {"address": "https://elsewhere.example/x"}
    assert clerk.patch(url_of(endpoint), address, format="json").status_code == 403
    assert clerk.post(url_of(endpoint, "rotate-secret")).status_code == 403
    may(*OPERATOR, "view_contact", "view_organization", "view_syncconflict")
    clerk.force_authenticate(User.objects.get(username="clerk"))
    changed = clerk.patch(url_of(endpoint), address, format="json")
    assert (changed.status_code, changed.json()["owner"]) == (200, "clerk")
    # What arrives at the clerk's address is what the clerk may view, whoever had it before.
    api.post(url_of(endpoint, "rotate-secret"))
    assert api.get(url_of(endpoint)).json()["owner"] == "ada"


def test_one_with_less_sight_than_the_owner_stops_and_describes_an_endpoint_and_does_not_start_it(
    endpoint: dict[str, Any],
) -> None:
    clerk = user_who_may(*OPERATOR, "view_contact")
    changed = clerk.patch(url_of(endpoint), {"enabled": False, "description": "Stopped"}, format="json")
    assert changed.status_code == 200
    body = changed.json()
    assert (body["enabled"], body["disabled_code"], body["owner"]) == (False, "person", "ada")
    assert clerk.patch(url_of(endpoint), {"enabled": True}, format="json").status_code == 403


def test_a_token_that_may_not_read_has_nothing_sent_to_an_address(api: APIClient, person: User) -> None:
    token = ApiToken.objects.issue(person, "x", scopes=["webhooks"])[1]
    client, made = APIClient(), api.post(ENDPOINTS, {"address": "https://h.example/"}, format="json").json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    asked = {"address": "https://elsewhere.example/"}
    for answer in (
        client.post(ENDPOINTS, asked, format="json"),
        client.patch(url_of(made), asked, format="json"),
        client.post(url_of(made, "rotate-secret")),  # who rotates becomes the owner
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert WebhookEndpoint.objects.get().address == "https://h.example/"


def test_a_body_with_an_unknown_type_or_field_is_refused(api: APIClient) -> None:
    for body in ({"address": "https://h.example/", "event_types": ["x"]}, {"address": "https://h.example/", "url": 1}):
        assert api.post(ENDPOINTS, body, format="json").status_code == 400
