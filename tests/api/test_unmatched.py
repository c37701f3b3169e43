"""Unmatched items by API: the list, and what is asked for of one."""

import pytest
from rest_framework.test import APIClient

from npd.models import Contact
from sync.models import IgnoredItem, SyncQueue, UnmatchedItem
from tests.api.conftest import user_who_may, with_token

ITEMS = "/api/v1/sync/unmatched-items/"


@pytest.fixture
def item(db: None) -> UnmatchedItem:
    return UnmatchedItem.objects.create(
        entity_type="contact", item_id="800", name="Stranger", reason_code="no_key_yet", details={"label": "email"}
    )


def test_the_list_says_why_and_leaves_out_what_is_ignored(api: APIClient, item: UnmatchedItem) -> None:
    (row,) = api.get(ITEMS).json()["results"]
    assert (row["name"], row["reason_code"], row["reason"]) == (
        "Stranger", "no_key_yet",
        "It has no email yet to match it by. It is checked again once somebody fills it in.",
    )  # fmt: skip
    assert api.get(ITEMS, {"reason_code": "invalid"}).json()["count"] == 0
    assert api.get(ITEMS, {"reason_code": "nonsense"}).status_code == 400
    ignored = api.post(f"{ITEMS}{item.pk}/ignore").json()
    assert ignored["ignored_by"] == "ada"
    assert [api.get(ITEMS, query).json()["count"] for query in ({}, {"ignored": "true"}, {"ignored": "false"})] == [
        0,
        1,
        0,
    ]
    assert api.post(f"{ITEMS}{item.pk}/ignore").status_code == 409
    assert api.post(f"{ITEMS}{item.pk}/create").status_code == 409
    assert api.post(f"{ITEMS}{item.pk}/restore").json()["ignored_at"] is None
    assert api.post(f"{ITEMS}{item.pk}/restore").status_code == 409
    assert not IgnoredItem.objects.exists()


def test_the_reason_names_records_to_whoever_may_see_them_alone(item: UnmatchedItem) -> None:
    UnmatchedItem.objects.update(reason_code="ambiguous", details={"names": "“Ann”"})
    for more, is_named in ([], False), (["view_contact"], True):
        reader = with_token(user_who_may("view_unmatcheditem", *more, name=f"reader{len(more)}"))
        (listed,) = reader.get(ITEMS).json()["results"]
        one = reader.get(f"{ITEMS}{item.pk}/").json()
        assert [("Ann" in said["reason"], bool(said["reason"])) for said in (listed, one)] == [(is_named, True)] * 2


def test_a_record_of_an_item_and_a_link_are_jobs_of_the_item(api: APIClient, item: UnmatchedItem) -> None:
    assert "becomes a record" in api.post(f"{ITEMS}{item.pk}/create").json()["message"]
    assert SyncQueue.objects.get(remote_id="800").payload["create"] is True
    record = Contact.objects.create(name="Ann")
    assert api.post(f"{ITEMS}{item.pk}/link", {"record": str(record.pk)}).status_code == 200
    assert SyncQueue.objects.get(remote_id="800").payload["link_to"] == str(record.pk)
    Contact.objects.filter(pk=record.pk).update(monday_id="5")
    assert api.post(f"{ITEMS}{item.pk}/link", {"record": str(record.pk)}).status_code == 409
    assert api.post(f"{ITEMS}{item.pk}/link", {"record": str(item.pk)}).status_code == 400
    assert api.post(f"{ITEMS}{item.pk}/link", {"whose": "x"}).status_code == 400


def test_each_asks_for_a_permission_of_its_own(item: UnmatchedItem) -> None:
    record = Contact.objects.create(name="Ann")
    body = {"record": str(record.pk)}
    reader, adder = (
        with_token(user_who_may("view_unmatcheditem")),
        with_token(user_who_may("add_contact", name="adder")),
    )
    assert reader.get(ITEMS).status_code == 200
    assert [reader.post(f"{ITEMS}{item.pk}/{act}", body).status_code for act in ("create", "link", "ignore")] == [
        403
    ] * 3
    assert adder.get(ITEMS).status_code == 403
    assert adder.post(f"{ITEMS}{item.pk}/create").status_code == 403
    assert APIClient().get(ITEMS).status_code == 401
