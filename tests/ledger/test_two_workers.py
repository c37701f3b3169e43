"""Two workers with the same things at once, in threads with sessions of their own: each thing is done once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sync.ledger import NotInConflict, StateBusy, SyncStateService
from sync.merge import FieldSides
from sync.models import SyncState
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db(transaction=True)

service = SyncStateService()
WORKERS, ISSUES = 4, 400


def each(work: Callable[[int], Any]) -> list[Any]:
    """What each of the workers gets, who begin in the same moment."""
    return at_once(*(partial(work, number) for number in range(WORKERS)))


def test_a_state_that_all_make_is_made_once() -> None:
    found = each(lambda _: service.create_sync_state("sprint", "7", "10001").pk)
    assert len(set(found)) == SyncState.objects.count() == 1


def test_one_of_them_begins_a_state() -> None:
    service.create_sync_state("sprint", "7")

    def begin(_: int) -> bool:
        state = service.get("sprint", "7")
        try:
            service.begin(state)
        except StateBusy:
            return False
        return True

    assert each(begin).count(True) == 1


def test_their_batches_share_the_things_and_end_only_their_own() -> None:
    service.create_sync_states("issue", {str(n): None for n in range(ISSUES)})

    def work(number: int) -> int:
        batch = service.begin_batch("issue")
        everything = {str(n): f"by {number}" for n in range(ISSUES)}
        result = service.finish_batch(batch, completed=everything)
        assert result.completed == batch.number
        return batch.number

    # Who begins after another has ended may have all of them once more; none is in two batches at once.
    assert sum(each(work)) >= ISSUES
    assert not SyncState.objects.exclude(sync_status="completed").exists()


def test_one_of_them_resolves_a_conflict() -> None:
    state = service.begin(service.create_sync_state("sprint", "7"))
    service.record_conflict(state, {"name": FieldSides("here", "there", ("old", "old"))})
    service.complete(state)

    def resolve(_: int) -> int:
        try:
            service.resolve_conflict(service.get("sprint", "7"), {"name": "local"})
        except NotInConflict:
            return 0
        return 1

    assert sum(each(resolve)) == 1
