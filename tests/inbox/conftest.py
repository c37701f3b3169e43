"""Deliveries as Monday sends them."""

import json
import uuid
from typing import Any

import jwt
import pytest

from sync.clock import sync_now
from sync.models import BoardLink
from sync.outbox import wakeups
from sync.records.inbox import DeliveryRefused, receive

SIGNING_SECRET = "test-signing-secret-0123456789abcdef"  # tests/support/servers.py sets these two
PATH_TOKEN = "test-webhook-token"
BARE = "/webhooks/monday/"
WITH_TOKEN = f"/webhooks/monday/{PATH_TOKEN}/"
BOARD = "7786780000"


@pytest.fixture(autouse=True)
def board(db: None) -> BoardLink:
    return BoardLink.objects.create(entity_type="contact", board_id=BOARD, npd_id_column="npd_id", match_key="email")


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The boards for which a wake-up was asked."""
    boards: list[str] = []
    monkeypatch.setattr(wakeups, "wake_board", lambda entity_type, seconds=0: boards.append(entity_type))
    return boards


def body(**values: Any) -> dict[str, Any]:
    """A changed email; keys and types as in deliveries of 2025."""
    event = {
        "app": "monday",
        "type": "update_column_value",
        "triggerTime": "2026-02-05T17:56:59.644Z",
        "subscriptionId": 467172818,
        "isRetry": False,
        "userId": 67210000,
        "originalTriggerUuid": None,
        "boardId": int(BOARD),
        "groupId": "topics",
        "pulseId": 7786784003,
        "pulseName": "Ada",
        "columnId": "email",
        "columnType": "email",
        "columnTitle": "Email",
        "value": {"email": "ada@x.test", "text": "ada@x.test"},
        "previousValue": None,
        "changedAt": 1738778219.220086,
        "triggerUuid": uuid.uuid4().hex,
        **values,
    }
    return {"event": {key: value for key, value in event.items() if value is not ...}}


def raw(**values: Any) -> bytes:
    return json.dumps(body(**values)).encode()


def signed(audience: str, *, secret: str = SIGNING_SECRET, seconds: float = 300, **claims: Any) -> str:
    """The Authorization header that Monday sends with a webhook of an app."""
    now = sync_now().timestamp()
    payload = {"accountId": 1, "userId": 2, "aud": audience, "iat": now, "exp": now + seconds, **claims}
    return jwt.encode(payload, secret, algorithm="HS256")


Answer = tuple[int, Any]


def answer_of(delivery: bytes, **door: Any) -> Answer:
    """A door's answer: 200 and the body, or a refusal's status and the refusal."""
    try:
        return 200, receive(delivery, **door)
    except DeliveryRefused as refusal:
        return refusal.status, refusal
