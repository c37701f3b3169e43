"""The breaker that all workers share: how an outage is waited out, and by whom it is probed."""

from datetime import timedelta
from typing import Any

import pytest
import responses

from sync.clock import sync_now
from sync.connectors.base.errors import BudgetExhausted, ConnectionLost, MinuteLimitReached
from sync.limits import breaker
from sync.models import MondayAccount

pytestmark = pytest.mark.django_db

ANSWER = {"data": {"me": {"id": "7"}}, "extensions": {"request_id": "r"}}


def rest() -> float:
    """Seconds that the account is still paused for."""
    until = breaker.monday_account().stopped_until
    assert until is not None
    return (until - sync_now()).total_seconds()


def time_passes() -> None:
    """The pause is over."""
    MondayAccount.objects.update(stopped_until=sync_now() - timedelta(seconds=1))


def test_probes_come_after_5_10_20_40_seconds_then_each_minute_and_later_every_five(settings: Any) -> None:
    settings.MONDAY_TIMEOUT_SECONDS = 30.0
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    breaker.trip_account(ConnectionLost("gone"))
    waits = [rest()]
    for _ in range(9):
        time_passes()
        assert not breaker.probe_if_due()
        waits.append(rest())
    assert [round(wait) for wait in waits] == [5, 10, 20, 40, 60, 60, 60, 60, 60, 300]


def test_calls_that_fail_together_are_one_failure() -> None:
    breaker.trip_account(ConnectionLost("gone"))
    breaker.trip_account(ConnectionLost("gone"))
    assert breaker.monday_account().failures == 1
    assert round(rest()) <= 10


def test_a_wait_that_monday_asked_for_is_never_shortened() -> None:
    breaker.trip_account(MinuteLimitReached("slow down", wait_seconds=90))
    breaker.trip_account(ConnectionLost("gone"))
    assert round(rest()) == 90


@responses.activate
def test_one_worker_probes_and_its_answer_ends_the_pause(settings: Any) -> None:
    settings.MONDAY_API_URL = "https://monday.test/v2"
    responses.post("https://monday.test/v2", json=ANSWER)
    breaker.trip_account(ConnectionLost("gone"))
    assert not breaker.probe_if_due()
    time_passes()
    assert breaker.probe_if_due()
    assert breaker.probe_if_due()
    assert len(responses.calls) == 1
    row = breaker.monday_account()
    assert (row.stopped_until, row.needs_probe, row.failures, row.user_id) == (None, False, 0, "7")


def test_an_allowance_without_room_is_no_pause() -> None:
    breaker.trip_account(BudgetExhausted("no room", wait_seconds=30))
    assert breaker.monday_account().stopped_until is None
