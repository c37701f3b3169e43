"""What waits for a person, by API: the rows that a user may see, in the words of the admin."""

import pytest
from rest_framework.test import APIClient

from sync import attention
from sync.attention import Kind
from tests.admin import states
from tests.api.conftest import user_who_may, with_token
from tests.attention.test_attention import Kinds, kinds
from tests.support.rows import queries_of

__all__ = ["kinds"]

pytestmark = pytest.mark.django_db

ATTENTION = "/api/v1/sync/attention/"


def test_each_thing_is_listed_in_the_order_and_words_of_the_admin(api: APIClient, kinds: Kinds) -> None:
    answer = api.get(ATTENTION).json()
    assert answer["count"] == len(Kind)
    assert [row["key"] for row in answer["results"]] == [entry.key for entry in attention.entries()]
    assert {row["kind"]: (row["key"], row["name"]) for row in answer["results"]} == kinds
    for row, entry in zip(answer["results"], attention.entries(), strict=True):
        assert (row["title"], row["detail"]) == (entry.cause_text, entry.detail)


def test_it_is_filtered_by_kind_record_item_cause_and_time(api: APIClient, kinds: Kinds) -> None:
    def keys(**query: object) -> list[str]:
        return [row["key"] for row in api.get(ATTENTION, query).json()["results"]]

    [conflict] = attention.entries(kinds=[Kind.CONFLICT])
    assert keys(kind=["conflict", "failed"]) == [kinds[Kind.FAILED][0], conflict.key]
    assert keys(entity_type="contact", entity_id=conflict.entity_id) == [conflict.key]
    assert keys(cause=conflict.cause) == [conflict.key]
    assert keys(monday_id="7001") == [kinds[Kind.UNMATCHED][0]]
    assert keys(since="2099-01-01T00:00:00Z") == []
    assert set(keys(ordering="-since")) == {key for key, _name in kinds.values()}
    assert api.get(ATTENTION, {"kind": "nonsense"}).status_code == 400


def test_a_user_is_given_what_they_may_view_and_nobody_else_anything(kinds: Kinds) -> None:
    assert APIClient().get(ATTENTION).status_code == 401
    client = with_token(user_who_may("view_syncqueue"))
    assert {row["kind"] for row in client.get(ATTENTION).json()["results"]} == {"failed"}


def test_a_page_costs_as_many_queries_for_many_as_for_few(api: APIClient, kinds: Kinds) -> None:
    few = queries_of(lambda: api.get(ATTENTION))
    for number in range(12):
        states.conflicting(f"Many {number}", f"8{number:03}")
        states.dead(f"More {number}")
    assert queries_of(lambda: api.get(ATTENTION)) <= few
