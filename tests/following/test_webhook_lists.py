"""Webhook endpoints and deliveries by API, filtered."""

from __future__ import annotations

from rest_framework.test import APIClient

from sync.clock import sync_now
from sync.models import WebhookEndpoint
from tests.api.conftest import results


def test_endpoints_are_filtered_by_what_they_show(api: APIClient) -> None:
    hooks = "/api/v1/webhook-endpoints/"
    for address, types in (("https://a.example/x", []), ("https://b.example/x", ["record.created"])):
        assert api.post(hooks, {"address": address, "event_types": types}).status_code == 201
    assert len(results(api, hooks, event_type="record.created")) == 2
    assert len(results(api, hooks, event_type="record.deleted", enabled="true", failing="false")) == 1


LATER, EARLIER = "2040-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


def test_endpoints_and_deliveries_are_filtered_by_owner_times_and_type(api: APIClient) -> None:
    hooks, sent = "/api/v1/webhook-endpoints/", "/api/v1/webhook-deliveries/"
    made = [api.post(hooks, {"address": f"https://{one}.example/x"}).json()["id"] for one in "ab"]
    WebhookEndpoint.objects.filter(pk=made[0]).update(failing_since=sync_now(), owner=None)
    assert [one["id"] for one in results(api, hooks, owner="ada")] == [made[1]]
    assert [one["id"] for one in results(api, hooks, failing_since_since=EARLIER)] == [made[0]]
    assert results(api, hooks, failing_since_since=LATER) == results(api, hooks, failing_since_before=EARLIER) == []
    assert results(api, hooks, next_attempt_since=LATER) == []
    assert api.post(f"{hooks}{made[1]}/test").status_code == 202
    assert [one["endpoint"] for one in results(api, sent, event_type="ping")] == [made[1]]
    assert results(api, sent, event_type="record.created") == results(api, sent, next_attempt_since=LATER) == []
    assert len(results(api, sent, next_attempt_since=EARLIER, next_attempt_before=LATER)) == 1
    assert api.get(sent, {"event_type": "nonsense"}).status_code == 400
