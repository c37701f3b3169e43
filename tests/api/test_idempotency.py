"""A POST under an Idempotency-Key is done once, however often and at whatever moment it is sent."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.models import StoredAnswer, SyncQueue
from sync.operations import retention
from tests.api.conftest import QUEUE, row, user_who_may, with_token
from tests.support.waiting import beside, somebody_waits_for_us, wait_for

CONTACTS = "/api/v1/contacts/"
BODY = {"name": "Ada", "email": "ada@x.test"}


def post(api: APIClient, body: Any, key: str, url: str = CONTACTS) -> Any:
    return api.post(url, body, headers={"Idempotency-Key": key})


def test_the_same_request_again_is_answered_as_the_first_and_makes_nothing(api: APIClient) -> None:
    first, again = post(api, BODY, "k"), post(api, dict(reversed(BODY.items())), "k")
    assert (first.status_code, again.status_code, Contact.objects.count()) == (201, 201, 1)
    assert again.content == first.content
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
def test_in_whatever_order_requests_come_each_key_is_done_once(api: APIClient, order: list[str]) -> None:
    with transaction.atomic():
        answers = {key: post(api, BODY | {"name": key}, key) for key in order}
        assert {answer.json()["id"] for answer in answers.values()} == set(map(str, _ids()))
        assert Contact.objects.count() == len(set(order))
        transaction.set_rollback(True)


def _ids() -> list[uuid.UUID]:
    return list(Contact.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("other", [{"body": {"name": "Bob"}}, {"query": "?format=json"}])
def test_another_body_or_query_under_the_same_key_is_refused(api: APIClient, other: dict[str, Any]) -> None:
    post(api, BODY, "k")
    answer = post(api, other.get("body", BODY), "k", CONTACTS + other.get("query", ""))
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Contact.objects.count() == 1


def test_a_key_counts_for_one_person_and_one_address(api: APIClient, organization: Organization) -> None:
    clerk = with_token(user_who_may("add_contact"))
    answers = [post(api, {"name": "A"}, "k"), post(clerk, {"name": "A"}, "k")]
    answers.append(post(api, {"name": "A"}, "k", "/api/v1/organizations/"))
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert (Contact.objects.count(), Organization.objects.count()) == (2, 2)


def test_a_refused_request_may_be_corrected_under_its_key(api: APIClient) -> None:
    assert post(api, {"name": ""}, "k").status_code == 400
    assert post(api, BODY, "k").status_code == 201


@pytest.mark.parametrize("key", ["", " ", "ü", "a\tb", "x" * 256])
def test_what_is_no_key_is_refused(api: APIClient, key: str) -> None:
    answer = post(api, BODY, key)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")
    assert not Contact.objects.exists()


def test_nobody_without_the_permission_gets_the_stored_answer(api: APIClient, person: User) -> None:
    post(api, BODY, "k")
    person.is_superuser = False
    person.save()
    assert post(api, BODY, "k").status_code == 403


def test_a_key_is_forgotten_after_a_day(api: APIClient) -> None:
    post(api, BODY, "k")
    StoredAnswer.objects.update(at="2020-01-01T00:00:00Z")
    assert post(api, BODY, "k").status_code == 201
    assert Contact.objects.count() == 2
    StoredAnswer.objects.update(at="2020-01-01T00:00:00Z")
    retention.prune()
    assert not StoredAnswer.objects.exists()


def test_an_act_on_a_job_is_repeated_like_a_create(api: APIClient) -> None:
    job = row(status="failed")
    answers = [post(api, {}, "k", f"{QUEUE}{job.pk}/retry") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert post(api, {}, "other", f"{QUEUE}{job.pk}/retry").status_code == 409


def test_after_a_rotation_a_repeat_says_to_rotate_again_and_deletes_nothing(api: APIClient) -> None:
    made = api.post("/api/v1/tokens/", {"name": "n", "scopes": ["read"]}, headers={"Idempotency-Key": "k"})
    token = made.json()["id"]
    again = api.post("/api/v1/tokens/", {"name": "n", "scopes": ["read"]}, headers={"Idempotency-Key": "k"})
    rotated = [post(api, {}, "r", f"/api/v1/tokens/{token}/rotate") for _ in range(2)]
    assert [answer.status_code for answer in rotated] == [200, 409]
    assert {answer.json()["code"] for answer in (again, rotated[1])} == {"idempotency_answer_not_kept"}
    assert again.json()["detail"] != rotated[1].json()["detail"]


@pytest.mark.django_db(transaction=True)
def test_a_second_request_while_the_first_is_under_way_is_told_to_wait(api: APIClient, contact: Contact) -> None:
    url = f"{CONTACTS}bulk"
    asked = {"operations": [{"action": "update", "id": str(contact.pk), "record": {"notes": "new"}}]}
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=contact.pk)
        writer = beside(lambda: post(api, asked, "k", url))
        wait_for("the first waits for the row", somebody_waits_for_us)
        second = post(api, asked, "k", url)
        assert (second.status_code, second.headers["Retry-After"]) == (409, "1")
        assert second.json()["code"] == "idempotency_in_progress"
    first, third = writer.result(60), post(api, asked, "k", url)
    assert (first.status_code, third.status_code) == (200, 200)
    assert third.content == first.content


@pytest.mark.django_db(transaction=True)
def test_a_crash_before_the_commit_leaves_neither_the_change_nor_a_lock(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StoredAnswer.objects, "update_or_create", crash)
        with pytest.raises(KeyboardInterrupt):
            post(api, BODY, "k")
    assert not Contact.objects.exists()
    assert post(api, BODY, "k").status_code == 201
    assert SyncQueue.objects.filter(entity_type="contact").count() == Contact.objects.count() == 1


@pytest.mark.parametrize(
    ("url", "code"), [(f"{CONTACTS}%00/sync-to-monday", 404), (f"{CONTACTS}{uuid.UUID(int=1)}/", 405)]
)
def test_what_is_not_there_or_takes_no_post_is_refused_as_without_a_key(api: APIClient, url: str, code: int) -> None:
    assert [api.post(url, {}).status_code, post(api, {}, "k", url).status_code] == [code, code]
