"""Many workers, one allowance: together they don't exceed it."""

from datetime import timedelta
from typing import Any

import pytest

from sync.clock import sync_now
from sync.limits import api_quota, metered_client
from sync.limits.board_limits import LimitFacts, PassGrant
from sync.models import ApiQuota, BoardLink, SyncQueue
from sync.monday.client import MondayClient
from sync.monday.errors import QUOTA_EXHAUSTED, MondayError
from sync.monday.graphql import Answer, Complexity
from sync.outbox import pauses
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db(transaction=True)


class Answering(MondayClient):
    """Answers everything, with the cost of each call."""

    calls = 0

    def __init__(self, points: int) -> None:
        super().__init__("https://monday.test/v2", "token", version="2026-10")
        self.points = points

    def execute(self, document: str, variables: Any, *, idempotency_key: str | None = None) -> Answer:
        self.calls += 1
        return Answer(data={}, complexity=Complexity(self.points, 10**6 - self.points, 60))


def board() -> BoardLink:
    link = BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd_id", match_key="email")
    SyncQueue.objects.create(entity_type="contact", remote_id="1")
    return link


def set_quota(**limits: int) -> None:
    ApiQuota.objects.update_or_create(id=1, defaults={"points": 0, "day_calls": 0, "others_calls": 0, **limits})


def test_workers_that_call_at_once_never_spend_the_same_call_twice() -> None:
    set_quota(day_limit=10, day=api_quota.day_of(sync_now()))  # one of which is kept for people
    client = Answering(points=40)
    waits: list[float | None] = []

    def call() -> int:
        answered = 0
        for _ in range(3):
            try:
                metered_client.MeteredClient(client).execute("query { me { id } }", {})
                answered += 1
            except MondayError as full:
                if full.kind is not QUOTA_EXHAUSTED:
                    raise
                waits.append(full.wait_seconds)
        return answered

    assert sum(at_once(*[call] * 6)) == client.calls == 9
    assert all(wait is not None and 0 < wait <= 86_405 for wait in waits)
    metered_client.MeteredClient(client, urgent=True).execute("query { me { id } }", {})
    row = ApiQuota.objects.get()
    assert (row.day_calls, row.points) == (10, 400)


def test_a_fault_of_our_own_leaves_the_call_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **more: Any) -> Answer:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Answering, "execute", fails)
    with pytest.raises(RuntimeError, match="a fault"):
        metered_client.MeteredClient(Answering(points=1)).execute("query { me { id } }", {})
    assert ApiQuota.objects.get().day_calls == 1


def test_a_busy_board_leaves_half_a_minute_to_one_that_has_waited_longer_and_may_be_synced() -> None:
    set_quota(points_limit=1_000_000)
    board()
    SyncQueue.objects.bulk_create(SyncQueue(entity_type="contact", remote_id=str(n)) for n in range(2, 200))
    other = BoardLink.objects.create(entity_type="organization", board_id="2", npd_id_column="npd_id")
    BoardLink.objects.filter(entity_type="contact").update(last_pass_at=sync_now())

    def size() -> int:
        grant = LimitFacts().grant_pass("contact")
        assert isinstance(grant, PassGrant)
        return grant.size

    alone = size()
    job = SyncQueue.objects.create(entity_type="organization", remote_id="3")
    assert (alone, size()) == (31, 14)
    pauses.pause("mary", entity_type="organization")
    assert size() == alone
    pauses.resume("mary", entity_type="organization")
    assert size() == 14
    SyncQueue.objects.filter(pk=job.pk).update(next_retry=sync_now() + timedelta(hours=1))
    assert size() == alone
    SyncQueue.objects.filter(pk=job.pk).update(next_retry=sync_now())
    BoardLink.objects.filter(pk=other.pk).update(last_pass_at=sync_now())
    assert size() == alone
