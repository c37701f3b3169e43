"""What the tests of jobs share: reading and using their list, and rows to put on it."""

import re
import uuid
from datetime import datetime
from typing import Any

from django.test import Client

from sync.models import SyncQueue
from tests.admin import states
from tests.admin.test_records import words_of

QUEUE = "/admin/sync/syncqueue/"
FAILED = "status__exact=failed"
PAUSE, RESUME = "/admin/sync/syncqueue/pause/", "/admin/sync/syncqueue/resume/"


def listed(client: Client, query: str = "") -> str:
    answer = client.get(f"{QUEUE}?{query}" if query else QUEUE)
    assert answer.status_code == 200
    return answer.content.decode()


def flying(name: str = "Flying") -> SyncQueue:
    record = states.contact(name)
    return SyncQueue.objects.create(
        entity_type="contact", entity_id=record.pk, status="in_progress", lease_token=uuid.uuid4(), attempts=1
    )


def finished(at: datetime, kind: str = "contact", rows: int = 1, **more: Any) -> None:
    SyncQueue.objects.bulk_create(
        SyncQueue(entity_type=kind, entity_id=uuid.uuid4(), status="completed", finished_at=at, created_at=at, **more)
        for _ in range(rows)
    )


def act_on_all(client: Client, act: str, query: str, **more: str) -> Any:
    """What “Select all” and an act send, here with a first ticked row that is none."""
    data = {"action": act, "select_across": "1", "_selected_action": "0", **more}
    return client.post(f"{QUEUE}?{query}", data)


def confirmed(page: str) -> dict[str, str]:
    """What the page would send of the rows that it asks about: their number, and which they are."""
    return dict(re.findall(r'name="(expect|asked|confirmed)" value="(\w+)"', page))


def statuses() -> dict[str, int]:
    rows = list(SyncQueue.objects.values_list("status", flat=True))
    return {status: rows.count(status) for status in set(rows)}


def tick(client: Client, act: str, rows: list[SyncQueue], **more: str) -> str:
    data = {"action": act, "_selected_action": [str(row.pk) for row in rows], **more}
    return words_of(client.post(QUEUE, data, follow=True).content.decode())
