"""What a list can be asked for: pages by cursor, filters and order by every field, some fields, related records."""

from __future__ import annotations

import gzip
import unicodedata
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps
from django_filters import MultipleChoiceFilter
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.api.lists import filters_of
from sync.clock import sync_now
from sync.models import BoardLink, FieldMapping, SyncMetadata
from tests.api.conftest import QUEUE, results, row, url_of, user_who_may, with_token
from tests.support.rows import queries_of

CONTACTS = "/api/v1/contacts/"
CONFLICTS = "/api/v1/sync/conflicts/"
STATES = "/api/v1/sync/states/"


def named(api: APIClient, **query: Any) -> list[str]:
    answer = api.get(CONTACTS, query)
    assert answer.status_code == 200, answer.content
    return [one["name"] for one in answer.json()["results"]]


def walk(api: APIClient, address: str) -> list[dict[str, Any]]:
    """All rows of a list, page after page by cursor."""
    found: list[dict[str, Any]] = []
    following: str | None = address
    while following:
        answer = api.get(following)
        assert answer.status_code == 200, answer.content
        body = answer.json()
        assert "count" not in body
        found += body["results"]
        following = body["next"]
        assert (f'<{following}>; rel="next"' == answer.headers.get("Link")) is bool(following)
    return found


ORDERS = ["name", "-name", "monday_last_synced", "-monday_last_synced", "-sync_enabled", "-name,email," * 300 + "name"]


@pytest.mark.parametrize("ordering", ORDERS)
def test_pages_by_cursor_give_each_row_once_in_the_order_of_pages_by_number(api: APIClient, ordering: str) -> None:
    now = sync_now()
    Contact.objects.bulk_create(
        Contact(
            name=f"Name {number % 4}",
            monday_last_synced=None if number % 3 else now - timedelta(hours=number % 5),
            sync_enabled=bool(number % 2),
        )
        for number in range(25)
    )
    listed = api.get(CONTACTS, {"ordering": ordering, "page_size": 100}).json()["results"]
    walked = walk(api, f"{CONTACTS}?pagination=cursor&page_size=4&ordering={ordering}")
    assert [one["id"] for one in walked] == [one["id"] for one in listed]


def test_pages_by_cursor_skip_and_repeat_nothing_while_the_list_changes(api: APIClient) -> None:
    Contact.objects.bulk_create(Contact(name=f"Name {number:02}") for number in range(10))
    first = api.get(f"{CONTACTS}?pagination=cursor&page_size=4").json()
    # The last row of the page goes, another comes before it, and one comes behind it.
    Contact.objects.filter(name="Name 03").delete()
    Contact.objects.create(name="Name 00a")
    Contact.objects.create(name="Name 05a")
    rest = [one["name"] for one in walk(api, first["next"])]
    assert rest == ["Name 04", "Name 05", "Name 05a", "Name 06", "Name 07", "Name 08", "Name 09"]


@isolate_apps("npd")
def test_a_field_of_every_kind_has_its_filter_and_a_value_that_it_can_not_hold_is_refused() -> None:
    class Thing(models.Model):
        amount = models.DecimalField(max_digits=8, decimal_places=2)
        weight = models.FloatField()
        pieces = models.IntegerField()
        atoms = models.BigIntegerField()
        size = models.CharField(max_length=1, choices=[("s", "Small")])
        due = models.DateField()
        met = models.DateTimeField()
        opens = models.TimeField()
        lasts = models.DurationField()
        sold = models.BooleanField()
        code = models.UUIDField()
        seller = models.ForeignKey(Contact, on_delete=models.CASCADE)
        host = models.GenericIPAddressField()

        class Meta:
            app_label = "npd"

        def __str__(self) -> str:
            return self.code.hex

    found = filters_of(Thing, {field.name: field.name for field in Thing._meta.fields if field.name != "id"})
    ranges = {"amount_min", "amount_max", "weight_min", "weight_max", "due_since", "due_before"}
    ranges |= {"met_since", "met_before"}
    assert set(found) - ranges == {field.name for field in Thing._meta.fields} - {"id", "met"}
    assert ranges <= set(found)
    for one in found.values():
        with pytest.raises(ValidationError):
            one.field.clean(["nonsense"] if isinstance(one, MultipleChoiceFilter) else "nonsense")


def test_a_cursor_belongs_to_its_list_with_its_filters_and_order(api: APIClient) -> None:
    Contact.objects.bulk_create(Contact(name=f"Name {number}") for number in range(3))
    following = api.get(f"{CONTACTS}?pagination=cursor&page_size=1").json()["next"]
    cursor = urlsplit(following).query
    assert api.get(f"{CONTACTS}?{cursor}").status_code == 200
    assert api.get(f"{CONTACTS}?{cursor}&ordering=-name").status_code == 400
    assert api.get(f"{CONTACTS}?{cursor}&search=Name").status_code == 400
    assert api.get(f"/api/v1/organizations/?{cursor}").status_code == 400


def test_pages_of_a_search_are_counted_by_the_statement_that_finds_them(api: APIClient) -> None:
    Contact.objects.bulk_create(Contact(name=f"Name {number}") for number in range(7))
    Contact.objects.create(name="Somebody else")

    def page(number: Any) -> tuple[int, list[str]]:
        with CaptureQueriesContext(connection) as queries:
            found = api.get(f"{CONTACTS}?search=name&page_size=3&page={number}").json()
        through = [
            one["sql"] for one in queries if "LIKE UPPER(" in one["sql"] and '"contacts"."id" IN' not in one["sql"]
        ]
        assert len(through) == 1, through
        return found["count"], [one["name"] for one in found["results"]]

    assert page(1) == (7, ["Name 0", "Name 1", "Name 2"])
    assert page(3) == (7, ["Name 6"])
    assert api.get(f"{CONTACTS}?search=name&page_size=3&page=last").json()["results"][0]["name"] == "Name 6"
    assert [api.get(f"{CONTACTS}?search=name&page_size=3&page={one}").status_code for one in (4, 999_999_999)] == [
        404, 404,
    ]  # fmt: skip
    assert api.get(f"{CONTACTS}?search=nobody").json()["count"] == 0


# Letters whose case depends on the language or changes their number, and what LIKE reads as a pattern.
ODD_LETTERS = "aAiIıİßẞsSςσΣﬁKÅåé\u0301%_\\é0 "


@pytest.fixture
def odd_contacts(db: None) -> None:
    named = [ODD_LETTERS[first : first + 4].strip() or "x" for first in range(len(ODD_LETTERS))]
    organizations = Organization.objects.bulk_create(Organization(name=f"z{name}") for name in named)
    Contact.objects.bulk_create(
        Contact(name=f"n{number}", notes=name, organization=organizations[-number] if number % 2 else None)
        for number, name in enumerate(named)
    )


@given(st.text(ODD_LETTERS, min_size=1, max_size=4).filter(str.strip))
@example("%")
@example("\\")
@example("ss")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_finds_what_a_comparison_of_every_text_finds_and_the_same_letters_with_marks(
    api: APIClient, odd_contacts: None, text: str
) -> None:
    joined = ("name", "email", "role_title", "phone", "notes", "organization__name")
    wanted, texts = Contact.objects.all(), {row[0]: row for row in Contact.objects.values_list(*joined)}
    for word in text.split():
        wanted = wanted.filter(reduce(or_, (Q(**{f"{name}__icontains": word}) for name in joined)))
        plain = without_marks(word)
        texts = {key: row for key, row in texts.items() if any(plain in without_marks(one or "") for one in row)}
    assert {*wanted.values_list("name", flat=True)} <= {*named(api, search=text, page_size=100)} <= {*texts}


def without_marks(text: str) -> str:
    letters = text.casefold().translate({ord("ø"): "o", ord("ł"): "l", ord("æ"): "ae", ord("ı"): "i"})
    return "".join(one for one in unicodedata.normalize("NFD", letters) if not unicodedata.combining(one))


def test_records_are_filtered_by_each_field_and_by_times(api: APIClient, organization: Organization) -> None:
    old = Contact.objects.create(name="Old", email="Old@Navy.test", phone="1", notes="long", organization=organization)
    new = Contact.objects.create(name="New", email="new@navy.test", sync_enabled=False, sync_direction="npd_to_monday")
    Contact.objects.filter(pk=new.pk).update(monday_id="77", monday_last_synced=sync_now())
    new.refresh_from_db()
    old.refresh_from_db()
    assert named(api, email=" old@navy.TEST ") == ["Old"]
    assert named(api, email="navy.test") == []
    assert named(api, notes="long", phone="1") == ["Old"]
    assert named(api, organization=organization.pk) == ["Old"]
    assert named(api, monday_id="77") == ["New"]
    assert named(api, sync_enabled="false") == named(api, sync_status="disabled") == ["New"]
    assert named(api, sync_status=["disabled", "pending"]) == ["New", "Old"]
    assert named(api, sync_direction=["npd_to_monday", "none"]) == ["New"]
    assert named(api, name="New") == ["New"]
    boundary = new.created_at.isoformat()
    assert named(api, created_since=boundary) == ["New"]
    assert named(api, created_before=boundary) == ["Old"]
    assert named(api, monday_last_synced_since="2020-01-01T00:00:00Z") == ["New"]
    assert named(api, updated_since=new.updated_at.isoformat(), updated_before="2999-01-01T00:00:00Z") == ["New"]
    assert named(api, ordering="phone") == ["New", "Old"]


def test_jobs_conflicts_and_states_are_filtered_by_each_field(api: APIClient, contact: Contact) -> None:
    job = row(entity_id=None, remote_id="55", operation="create", priority=10)
    row(operation="update", attempts=3)
    found = results(api, QUEUE, monday_id="55", operation="create", attempts="0", status=["failed", "pending"])
    assert [(one["id"], one["monday_id"]) for one in found] == [(job.pk, "55")]
    assert api.get(QUEUE, {"attempts": "1e9"}).status_code == 400
    assert api.get(QUEUE, {"ordering": "attempts", "created_before": "2020-01-01T00:00:00Z"}).json()["results"] == []
    data = {"npd_data": {}, "monday_data": {}, "conflict_fields": ["phone"], "monday_item_id": "55"}
    SyncConflict.objects.create(entity_type="contact", entity_id=contact.pk, **data)
    asked = {"monday_id": "55", "detected_since": "2020-01-01T00:00:00Z", "ordering": "-detected_at"}
    assert api.get(CONFLICTS, asked).json()["results"][0]["monday_id"] == "55"
    SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), remote_id="55")
    assert api.get(STATES, {"monday_id": "55", "error_count": "0"}).json()["results"][0]["monday_id"] == "55"


def test_an_answer_holds_the_fields_that_are_asked_for(api: APIClient, contact: Contact) -> None:
    [found] = api.get(f"{CONTACTS}?fields=name,email").json()["results"]
    assert found == {"name": "Grace Hopper", "email": "grace@navy.test"}
    one = api.get(url_of(contact) + "?fields=id")
    assert (one.json(), "ETag" in one.headers) == ({"id": str(contact.pk)}, True)
    assert api.patch(url_of(contact) + "?fields=id", {"notes": "n"}).status_code == 400
    row()
    [job] = api.get(f"{QUEUE}?fields=status,attempts&entity_type=contact&page_size=1").json()["results"]
    assert set(job) == {"status", "attempts"}


def test_a_related_record_stands_in_place_of_its_id(api: APIClient, organization: Organization) -> None:
    Contact.objects.create(name="A", organization=organization)
    Contact.objects.create(name="B")
    with_it, without = api.get(f"{CONTACTS}?expand=organization").json()["results"]
    assert (with_it["organization"]["name"], with_it["organization"]["id"]) == ("Navy", str(organization.pk))
    assert without["organization"] is None
    once, often = f"{CONTACTS}?expand=organization", f"{CONTACTS}?expand={'organization,' * 9}organization"
    assert queries_of(lambda: api.get(once)) == queries_of(lambda: api.get(often))
    one = api.get(f"{CONTACTS}{with_it['id']}/?expand=organization&fields=organization").json()
    assert one["organization"]["name"] == "Navy"
    clerk = with_token(user_who_may("view_contact"))
    assert clerk.get(f"{CONTACTS}?expand=organization").status_code == 403


def test_answers_to_programs_are_compressed_and_their_etag_stays_good(api: APIClient, contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(notes="long " * 500)
    plain = api.get(url_of(contact))
    packed = plain_client(api).get(url_of(contact), headers={"Accept-Encoding": "gzip"})
    assert (plain.headers.get("Content-Encoding"), packed.headers["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(packed.content) == plain.content
    changed = api.patch(url_of(contact), {"notes": "short"}, headers={"If-Match": packed.headers["ETag"]})
    assert changed.status_code == 200
    page = api.get("/admin/login/", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in page.headers


def plain_client(api: APIClient) -> Client:
    """The same caller by Django's client: DRF's reads every body as text."""
    return Client(headers={"Authorization": api._credentials["HTTP_AUTHORIZATION"]})


def test_how_each_field_is_synced_is_told_with_its_reason_and_monday_is_not_asked(
    api: APIClient, contact: Contact
) -> None:
    BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd", match_key="email")
    Contact.objects.filter(pk=contact.pk).update(monday_id="77")
    link = BoardLink.objects.get()
    for key, converter in (("name", "name"), ("email", "email")):
        mapping = FieldMapping.objects.create(
            link=link, key=key, label=key.title(), fields=[key], column_id=key, converter=converter
        )
    base = {"item": "77", "column": "email", "version": mapping.version}
    raw = {"email": "old@navy.test", "text": "old@navy.test"}
    SyncMetadata.objects.create(
        entity_type="contact",
        entity_id=str(contact.pk),
        base={"email": {"local": {"email": "old@navy.test"}, "remote": raw, **base}},
        blocked_fields={"name": {"reason": "Monday rejected it.", "code": "rejected", "side": "monday"}},
    )
    found = api.get(url_of(contact, "sync")).json()
    assert (found["id"], found["monday_id"]) == (str(contact.pk), "77")
    name, email = found["fields"]
    assert (name["reason_code"], name["blocked"], name["detail"]) == ("rejected", True, "Monday rejected it.")
    assert (email["npd"], email["base"]["npd"], email["monday"]) == (
        "grace@navy.test",
        "old@navy.test",
        "old@navy.test",
    )
    assert (email["reason_code"], email["state"], email["rule"]) == ("npd_changed", "pending", "ask")
    assert api.get(url_of(contact, "sync?fields=id")).status_code == 400
    assert api.get(f"{CONTACTS}{organization_id()}/sync").status_code == 404


def organization_id() -> UUID:
    return Organization.objects.create(name="Navy").pk


# What a list costs.


def test_every_list_costs_as_many_queries_for_thirty_rows_as_for_three(
    api: APIClient, organization: Organization
) -> None:
    contacts = (CONTACTS, f"{CONTACTS}?expand=organization", f"{CONTACTS}?pagination=cursor")
    lists = [*contacts, "/api/v1/organizations/", QUEUE, CONFLICTS, STATES]
    grow(3, organization)
    for address in lists:
        api.get(address)  # what is loaded once
    few = {address: queries(api, address) for address in lists}
    grow(27, organization)
    assert {address: queries(api, address) for address in lists} == few
    assert max(few.values()) <= 15, few


def queries(api: APIClient, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert results(api, address)
    return len(captured)


def grow(number: int, organization: Organization) -> None:
    """So many rows more of everything that is listed."""
    for _ in range(number):
        contact = Contact.objects.create(name="x", organization=organization)
        Organization.objects.create(name="x")
        row()
        blocked = {"email": {"reason": "Monday rejected it.", "code": "rejected", "side": "monday"}}
        SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), blocked_fields=blocked)
        sides = {"npd_data": {"phone": "1"}, "monday_data": {"phone": "2"}, "base_data": {"phone": "0"}}
        SyncConflict.objects.create(
            entity_type="contact", entity_id=contact.pk, monday_item_id="77", conflict_fields=["phone"], **sides
        )
