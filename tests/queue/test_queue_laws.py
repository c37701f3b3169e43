"""The queue's laws, whatever is done to it in whatever order.

A record has one waiting row per direction. The end of a claim never loses what was enqueued after it. Attempts stay
within the maximum, nothing is in flight without a token, and a paused board leads no claim.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db.models import Count, F, QuerySet
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from npd.models import Contact
from sync.choices import Cause, Priority, QueueDirection, QueueStatus
from sync.models import BoardLease, BoardLink, MondayAccount, SyncQueue
from sync.outbox import enqueue, finish, operate, pauses
from sync.outbox.claim import Claim, Lease, acquire, claim
from sync.outbox.pauses import pause
from sync.queue import SyncQueueService, resume, retry_all
from tests.support.clock import move_clock, reset_clock

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = SyncQueueService()
RECORDS = st.integers(0, 2)
DIRECTIONS = st.sampled_from(list(QueueDirection))
PAUSED = st.sampled_from(["", "contact"])


class TheQueue(RuleBasedStateMachine):
    """People, saves and one worker at a time over three records of one board."""

    def __init__(self) -> None:
        super().__init__()
        for model in (SyncQueue, MondayAccount, BoardLease):
            model.objects.all().delete()
        BoardLink.objects.update(pause=None)
        self.link = BoardLink.objects.get(entity_type="contact")
        self.ids = list(Contact.objects.order_by("name").values_list("pk", flat=True))
        self.seconds = 0
        self._clock()  # before the lease, or it would last as long as the previous script's clock was ahead
        self.lease = self._taken()
        self.claimed: list[Claim] = []
        self.wanted: set[Any] = set()

    def _taken(self) -> Lease:
        lease = acquire(self.link)
        assert lease is not None
        return lease

    def _ended(self, end: Callable[..., Any], rows: Sequence[SyncQueue], *arguments: Any) -> Any:
        with self.lease.transaction():
            return end(rows, self.lease.token, *arguments)

    def _clock(self) -> None:
        move_clock(self.seconds)

    @rule(record=RECORDS, direction=DIRECTIONS, cause=st.sampled_from([Cause.SAVE, Cause.WEBHOOK, Cause.PERSON]))
    def enqueue(self, record: int, direction: QueueDirection, cause: Cause) -> None:
        enqueue("contact", [self.ids[record]], cause=cause, priority=Priority.EDIT, direction=direction)
        self.wanted.add((self.ids[record], direction.value))

    @precondition(lambda self: not self.claimed)
    @rule(n=st.integers(1, 3))
    def claim(self, n: int) -> None:
        self.lease.renew()
        self.claimed = claim(self.lease, n)
        rows = [row for record in self.claimed for row in record.jobs]
        assert len({record.entity_id for record in self.claimed}) == len(self.claimed) <= n
        assert not (rows and pauses.active_pause("contact"))
        self.wanted -= {(row.entity_id, row.direction) for row in rows}
        claimed = [record.entity_id for record in self.claimed]
        waiting = SyncQueue.objects.filter(status="pending", entity_id__in=claimed)
        assert not waiting.exists()

    @precondition(lambda self: self.claimed)
    @rule(ending=st.sampled_from(["complete", "fail", "snooze", "die"]))
    def end(self, ending: str) -> None:
        first, rows = self.claimed[0], self.claimed[0].jobs
        if ending == "die":
            self.claimed, self.seconds = [], self.seconds + 121  # longer than `pass_time` leaves of its lease
            self._clock()
            self.lease = self._taken()
            return
        self.claimed = self.claimed[1:]
        self.lease.renew()
        if ending == "complete":
            assert self._ended(finish.complete, rows) == len(rows)
        elif ending == "fail":
            dead = self._ended(finish.fail_unsettled, rows, "it failed")
            counted = [row for row in rows if row.counted] or rows
            assert dead == (max(row.attempts for row in counted) >= 5)
        else:
            self._ended(finish.defer, rows, 30, "later")
        assert not SyncQueue.objects.filter(status="in_progress", entity_id=first.entity_id).exists()

    @rule(minutes=st.sampled_from([2, 70]))
    def pass_time(self, minutes: int) -> None:
        self.lease.renew(minutes * 60 + 120)
        self.seconds += minutes * 60
        self._clock()

    @rule(act=st.sampled_from([retry_all, operate.cancel, operate.discard]))
    def steer(self, act: Callable[[QuerySet[SyncQueue], str], operate.BulkResult]) -> None:
        flying = list(SyncQueue.objects.filter(status="in_progress").order_by("id").values())
        result = act(SyncQueue.objects.all(), "mary")
        assert list(SyncQueue.objects.filter(status="in_progress").order_by("id").values()) == flying
        assert result.in_progress == len(flying)
        if act is operate.cancel:
            self.wanted = set()
        if act is retry_all:
            assert not SyncQueue.objects.filter(status="pending", attempts__gt=0).exists()

    @rule(entity_type=PAUSED, reason=st.just("moving"))
    def pause(self, entity_type: str, reason: str) -> None:
        pause("mary", entity_type=entity_type, why=reason)

    @rule(entity_type=PAUSED)
    def resume(self, entity_type: str) -> None:
        resume("mary", entity_type=entity_type)

    @invariant()
    def one_row_waits_for_a_record_and_direction(self) -> None:
        waiting = SyncQueue.objects.filter(status="pending").values("entity_id", "direction")
        assert not waiting.annotate(rows=Count("id")).filter(rows__gt=1).exists()

    @invariant()
    def what_was_enqueued_and_not_claimed_since_waits(self) -> None:
        waiting = SyncQueue.objects.filter(status="pending").values_list("entity_id", "direction")
        assert self.wanted <= set(waiting)

    @invariant()
    def attempts_stay_within_their_maximum(self) -> None:
        assert not SyncQueue.objects.filter(attempts__gt=F("max_attempts")).exists()
        assert not SyncQueue.objects.filter(attempts__lt=0).exists()
        dead = SyncQueue.objects.filter(status=QueueStatus.FAILED)
        assert not dead.exclude(attempts=F("max_attempts")).exists()

    @invariant()
    def nothing_is_in_flight_without_a_token_and_nothing_else_has_one(self) -> None:
        flying = SyncQueue.objects.filter(status="in_progress")
        assert not flying.filter(lease_token=None).exists()
        assert not SyncQueue.objects.exclude(status="in_progress").exclude(lease_token=None).exists()

    @invariant()
    def nothing_paused_is_due(self) -> None:
        if pauses.active_pause("contact"):
            assert QUEUE.get_queue_stats()["due"] == 0


def test_the_queues_laws_hold_in_any_order(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.outbox.wakeups.wake_board", lambda *args: None)
    BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd_id", match_key="email")
    Contact.objects.bulk_create([Contact(name=f"P{n}") for n in range(3)])
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            TheQueue,
            settings=settings(
                max_examples=8,
                stateful_step_count=20,
                deadline=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        reset_clock()
