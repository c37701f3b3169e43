"""Which deliveries are accepted: challenge, signature, token; closed by default."""

import json
import logging
from io import BytesIO

import pytest
from django.test import Client
from pytest_django import Settings

from sync.models import SyncQueue, WebhookEvent
from tests.api.conftest import code_of, error_of
from tests.inbox.conftest import BARE, PATH_TOKEN, SIGNING_SECRET, WITH_TOKEN, Answer, answer_of, raw, signed


def at_bare_door(delivery: bytes, authorization: str | None = None) -> Answer:
    return answer_of(delivery, authorization=authorization, path_token=None, path=BARE)


def at_path_door(delivery: bytes, token: str = PATH_TOKEN, authorization: str | None = None) -> Answer:
    return answer_of(delivery, authorization=authorization, path_token=token, path=f"/webhooks/monday/{token}/")


def assert_refused(answer: Answer, status: int, code: str) -> None:
    answered, refusal = answer
    assert (answered, refusal.code) == (status, code)
    assert str(refusal)
    assert not any(secret in str(refusal) for secret in (SIGNING_SECRET, PATH_TOKEN))
    assert not WebhookEvent.objects.exists()
    assert not SyncQueue.objects.exists()


def test_each_door_refuses_a_forged_signature(settings: Settings) -> None:
    for path, door in ((BARE, at_bare_door), (WITH_TOKEN, at_path_door)):
        forged = signed(settings.SITE_URL + path, secret="another-secret-0123456789abcdef0123")
        assert_refused(door(raw(), authorization=forged), 401, "bad_signature")


def test_the_path_door_takes_a_good_signature_and_one_that_it_cannot_check(settings: Settings) -> None:
    for secret in (SIGNING_SECRET, ""):
        settings.MONDAY_SIGNING_SECRET = secret
        assert at_path_door(raw(), authorization=signed(settings.SITE_URL + WITH_TOKEN))[0] == 200


@pytest.mark.parametrize("token", ["wrong", "test-webhook-toke", "test-webhook-token2", "é", "\udc80"])
def test_the_path_door_refuses_another_token(token: str) -> None:
    assert_refused(at_path_door(raw(), token), 401, "wrong_token")


def test_a_signature_does_not_open_the_path_door_with_a_wrong_token(settings: Settings) -> None:
    authorization = signed(f"{settings.SITE_URL}/webhooks/monday/wrong/")
    assert_refused(at_path_door(raw(), "wrong", authorization), 401, "wrong_token")


def test_each_door_is_closed_without_its_own_secret(settings: Settings) -> None:
    settings.MONDAY_SIGNING_SECRET = ""
    assert_refused(at_bare_door(raw(), signed(settings.SITE_URL + BARE, secret="x" * 32)), 403, "closed")
    settings.MONDAY_SIGNING_SECRET, settings.MONDAY_WEBHOOK_TOKEN = SIGNING_SECRET, ""
    for token in ("", PATH_TOKEN):
        assert_refused(at_path_door(raw(), token), 403, "closed")


def test_the_challenge_is_echoed_unsigned_at_both_doors_and_at_closed_ones(settings: Settings) -> None:
    challenge = {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}
    delivery = json.dumps(challenge).encode()
    assert at_bare_door(delivery) == at_path_door(delivery) == (200, challenge)
    settings.MONDAY_SIGNING_SECRET = settings.MONDAY_WEBHOOK_TOKEN = ""
    assert at_bare_door(delivery) == at_path_door(delivery) == (200, challenge)


def test_the_challenge_at_an_address_with_a_wrong_token_fails_so_that_its_registration_does() -> None:
    assert_refused(at_path_door(b'{"challenge": "x"}', "wrong"), 401, "wrong_token")


@pytest.mark.parametrize(
    "delivery",
    [
        {"challenge": 5},
        {"challenge": ["x"]},
        {"challenge": ""},
        {"challenge": "x" * 1_001},
        {"challenge": "x", "event": {"type": "create_pulse"}},
        {"challenge": "x", "more": 1},
    ],
)
def test_what_only_resembles_a_challenge_is_not_echoed(delivery: object) -> None:
    assert_refused(at_bare_door(json.dumps(delivery).encode()), 401, "unsigned")


@pytest.fixture
def monday() -> Client:
    return Client(enforce_csrf_checks=True)


def test_a_signed_webhook_is_taken_at_the_bare_door(monday: Client, settings: Settings) -> None:
    headers = {"Authorization": signed(settings.SITE_URL + BARE)}
    answer = monday.post(BARE, raw(), content_type="application/json", headers=headers)
    assert answer.status_code == 200
    assert WebhookEvent.objects.count() == SyncQueue.objects.count() == 1


def test_a_refusal_says_why_in_words(monday: Client) -> None:
    answer = monday.post(BARE, raw(), content_type="application/json")
    assert answer.status_code == 401
    assert code_of(answer) == "unsigned"
    assert "not signed" in error_of(answer)["detail"]


@pytest.mark.parametrize("length", ["20000000", "abc", "1e3", "9" * 5_000])
def test_twenty_megabytes_are_refused_unread(monday: Client, length: str) -> None:
    unread = BytesIO(b"x")
    answer = monday.generic("POST", WITH_TOKEN, "", CONTENT_LENGTH=length, **{"wsgi.input": unread})  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert unread.tell() == 0


def test_no_token_or_signature_is_logged(monday: Client, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    signature = signed(settings.SITE_URL + BARE, seconds=-1_000)
    wrong = "wrong-" + PATH_TOKEN
    with caplog.at_level(logging.INFO):
        monday.post(BARE, raw(), content_type="application/json", headers={"Authorization": signature})
        monday.post(f"/webhooks/monday/{wrong}/", raw(), content_type="application/json")
    refusals = [record for record in caplog.records if record.name == "sync.records.inbox"]
    assert len(refusals) == 2
    for record in refusals:
        assert signature not in json.dumps(record.msg, default=str)
        assert wrong not in json.dumps(record.msg, default=str)
