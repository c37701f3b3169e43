"""What a caller may have meant otherwise is refused and named; and no refusal grows with its request."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from npd.models import Contact
from sync.models import SyncQueue
from tests.api.conftest import QUEUE, row, url_of

CONTACTS = "/api/v1/contacts/"
CONFLICTS = "/api/v1/sync/conflicts/"
ODD_QUERIES = [
    ("cursor=abc", "cursor"),
    ("cursor=", "cursor"),
    ("pagination=offset", "pagination"),
    ("pagination=cursor&page=2", "page"),
    ("pagination=cursor&page_size=none", "page_size"),
    ("sync_status=nope", "sync_status"),
    ("organization=nope", "organization"),
    ("search=a%00", "search"),
    ("ordering=notes", "ordering"),
    ("ordering=organization", "ordering"),
    ("created_since=2026-01-01", "created_since"),
    ("created_since=2026-01-01T10:00:00", "created_since"),
    ("updated_before=soon", "updated_before"),
    ("sync_enabled=maybe", "sync_enabled"),
    ("sync_direction=up", "sync_direction"),
    ("fields=name,emial", "fields"),
    ("fields=", "fields"),
    ("expand=billing_contact", "expand"),
    ("fields=name&expand=organization", "expand"),
]


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        (f"{CONTACTS}?email_address=abc", "email_address"),
        (f"{CONTACTS}?emial=x&name=y", "emial"),
        (f"{CONTACTS}?organization=", "organization"),
        (f"{CONTACTS}?search={'e+' * 500}", "search"),
        (f"{CONTACTS}?ordering=name&ordering=-name", "ordering"),
        (f"{CONFLICTS}?resolved=banana", "resolved"),
        (f"{CONFLICTS}?entity_type=contcat", "entity_type"),
        (f"{CONFLICTS}?field=emial", "field"),
        (f"{CONFLICTS}stats?resolved=true", "resolved"),
        (f"{QUEUE}?unmatched_items=abc", "unmatched_items"),
        (f"{QUEUE}?status=", "status"),
        (f"{QUEUE}?status=lost", "status"),
        ("/api/v1/sync/pauses/?reason=holidays", "reason"),
        ("/api/v1/sync/stats?board=contact", "board"),
        *((f"{QUEUE}?page_size={size}", "page_size") for size in ("abc", "null", "-5", "0", "5.0", "٣", "9" * 5_000)),
        *((f"{QUEUE}?page={page}", "page") for page in ("abc", "0", "-1", "1e3")),
        *((f"{CONTACTS}?{query}", parameter) for query, parameter in ODD_QUERIES),
    ],
)  # fmt: skip
def test_a_parameter_that_would_be_passed_over_is_refused_by_name(api: APIClient, address: str, parameter: str) -> None:
    answer = api.get(address)
    problem = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert problem["errors"][0]["parameter"] == parameter
    assert parameter in problem["detail"]


@pytest.mark.parametrize("address", [f"{CONTACTS}{{}}/?include=organization", f"{CONTACTS}{{}}/sync/?kind=push"])
def test_one_record_takes_no_parameters_that_it_does_not_know(api: APIClient, contact: Contact, address: str) -> None:
    assert api.get(address.format(contact.pk)).status_code == 400


@pytest.mark.parametrize("value", [0, 1, "true", "off"])
def test_true_and_false_are_no_numbers_and_no_words(api: APIClient, contact: Contact, value: Any) -> None:
    answer = api.patch(url_of(contact), {"sync_enabled": value})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/sync_enabled")
    assert api.patch(url_of(contact), {"sync_enabled": False}).status_code == 200


def test_what_is_known_is_taken_alone_and_together(api: APIClient, contact: Contact) -> None:
    for query in ("search=", "page=last", "page_size=0500", "format=json", "sync_status=pending&sync_status=synced"):
        answer = api.get(f"{CONTACTS}?{query}")
        assert (answer.status_code, answer.json().get("count")) == (200, 1), query
    assert api.get(f"{CONFLICTS}?resolved=False&field=email&entity_type=contact").status_code == 200


@pytest.mark.parametrize("act", ["retry", "cancel", "discard"])
def test_a_bulk_act_by_a_filter_that_is_not_understood_touches_no_row(api: APIClient, act: str) -> None:
    for status in ("pending", "failed"):
        row(entity_type="organization", status=status)
    before = sorted(SyncQueue.objects.values_list("pk", "status"))
    several = "entity_type=contact&entity_type=organization"
    for query in (
        "entity_tpye=contact",
        "entity_type=",
        several,
        "unmatched_items=maybe",
        "page_size=1",
        "status=lost",
    ):
        assert api.post(f"{QUEUE}{act}?{query}", {"expect": 2}).status_code == 400, query
    assert api.post(f"{QUEUE}{act}", {"expect": 2, "status": "failed"}).status_code == 400
    assert sorted(SyncQueue.objects.values_list("pk", "status")) == before


def test_a_body_of_another_kind_is_told_what_is_taken(api: APIClient) -> None:
    answer = api.post(CONTACTS, data="name=Ann", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, "application/json" in answer.json()["detail"]) == (415, True)


def test_an_act_with_a_field_that_nobody_knows_is_refused_by_name(api: APIClient) -> None:
    answer = api.post("/api/v1/sync/pauses/", {"board": "contact"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unknown_field")


@pytest.mark.parametrize(
    "body",
    [
        {f"unknown{number}": 1 for number in range(2_000)},
        {"x" * 200_000: 1},
        {"name": "x", "sync_direction": "y" * 200_000},
    ],
)
def test_a_refusal_is_short_however_long_the_request(api: APIClient, contact: Contact, body: dict[str, Any]) -> None:
    answer = api.patch(url_of(contact), body)
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) <= 20
    assert len(answer.content) < 20_000
