from dataclasses import replace
from typing import Any

import pytest
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact
from tests.api.conftest import code_of
from tests.conflicts.conftest import PHONE, ROLE, finding, record, values_seen

pytestmark = pytest.mark.django_db
LIST = "/api/v1/sync/conflicts/"


def body(**selections: Any) -> dict[str, Any]:
    return {"resolution_type": "merge", "selections": selections, "seen": values_seen(PHONE, ROLE)}


def test_the_list_is_paged_filtered_and_counted(api: APIClient, conflict: SyncConflict) -> None:
    over = Contact.objects.create(name="Over", monday_id="99")
    record(finding(over, PHONE))
    record(finding(over))
    numbers = {
        "": 2, "resolved=false": 1, "resolved=true": 1, "entity_type=contact": 2, "entity_type=organization": 0,
        "kind=identity": 0, "field=role_title": 1, "monday_id=71": 1, "resolution_type=auto": 1, "page_size=1": 2,
        f"entity_id={conflict.entity_id}": 1,
    }  # fmt: skip
    answers = {query: api.get(f"{LIST}?{query}").json() for query in numbers}
    assert {query: answer["count"] for query, answer in answers.items()} == numbers
    assert set(answers[""]) == {"count", "next", "previous", "mark", "results"}
    assert api.get(f"{LIST}stats").json() == {
        "unresolved": 1, "resolved": 1, "total": 2, "applying": 0,
        "by_kind": {"fields": 1, "overwritten": 0, "delete": 0, "identity": 0},
    }  # fmt: skip


def test_stale_values_answer_409_with_those_of_now(api: APIClient, conflict: SyncConflict, contact: Contact) -> None:
    moved = replace(PHONE, npd=None)
    record(finding(contact, moved, ROLE))
    response = api.post(f"{LIST}{conflict.pk}/resolve", body(phone={"choose": "npd"}))
    assert (response.status_code, code_of(response)) == (409, "stale")
    assert response.json()["current"] == values_seen(moved, ROLE)
    assert SyncConflict.objects.get().resolution is None


def test_a_malformed_resolution_answers_400_and_says_where(api: APIClient, conflict: SyncConflict) -> None:
    malformed: dict[str | None, dict[str, Any]] = {
        "seen": {"resolution_type": "merge", "selections": {}},
        "seen.phone.monday": {"resolution_type": "merge", "selections": {}, "seen": {"phone": {"npd": "1"}}},
        None: {"resolution_type": "merge", "seen": {}},
    }
    for attr, form in malformed.items():
        response = api.post(f"{LIST}{conflict.pk}/resolve", form)
        assert response.status_code == 400
        attrs = [error["attr"] for error in response.json()["errors"]]
        assert attr in attrs or attr is None or any(name and name.startswith(attr) for name in attrs)
    assert SyncConflict.objects.get().resolution is None
