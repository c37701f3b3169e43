"""The breaker that all workers share: how an outage is waited out, and who probes it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import responses

from sync.boards import availability
from sync.choices import ActivityKind
from sync.clock import sync_now
from sync.limits import breaker, failed_writes, probes
from sync.models import ActivityLine, BoardLink, MondayAccount, SyncQueue
from sync.models.boards_and_account import ALL_CALLS, ALL_WRITES, Stop
from sync.monday import errors
from tests.support.clock import stop_clock
from tests.support.words import said

pytestmark = pytest.mark.django_db

ANSWER = {"data": {"me": {"id": "7"}}, "extensions": {"request_id": "r"}}


def rest() -> float:
    return (stop_now().until - sync_now()).total_seconds()


def stop_now() -> Stop:
    stop = breaker.monday_account().stop
    assert stop is not None
    return stop


def time_passes() -> None:
    account = breaker.monday_account()
    if account.stop:
        breaker.store_stop(account, ALL_CALLS, replace(account.stop, until=sync_now() - timedelta(seconds=1)))


def test_probes_come_after_5_10_20_40_seconds_then_each_minute_and_later_every_six(settings: Any) -> None:
    settings.MONDAY_TIMEOUT_SECONDS = 30.0
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    breaker.stop_account(errors.MondayError(errors.CONNECTION_LOST, "gone"))
    waits = [rest()]
    for _ in range(9):
        time_passes()
        assert not probes.probe_if_due()
        waits.append(rest())
    assert [round(wait) for wait in waits] == [5, 10, 20, 40, 60, 60, 60, 60, 60, 360]


def told() -> list[tuple[str, str, str]]:
    return list(ActivityLine.objects.order_by("id").values_list("kind", "entity_type", "actor"))


def test_an_outage_of_seconds_is_not_told_and_a_longer_one_once_also_if_calls_fail_together() -> None:
    gone = errors.MondayError(errors.CONNECTION_LOST, "gone")
    breaker.stop_account(gone)
    breaker.end_stop(breaker.monday_account())
    for _ in range(breaker.OUTAGE_IS_NEWS):
        time_passes()
        breaker.stop_account(gone)
    assert told() == []
    breaker.stop_account(gone)
    for _ in range(2):
        time_passes()
        breaker.stop_account(gone)
    assert told() == [(ActivityKind.STOP, "", "")]


def test_a_wait_that_monday_asked_for_is_never_shortened() -> None:
    breaker.stop_account(errors.MondayError(errors.LIMIT_REACHED, "slow down", wait_seconds=90))
    breaker.stop_account(errors.MondayError(errors.CONNECTION_LOST, "gone"))
    assert round(rest()) == 90


def test_why_everything_stops_is_stored_without_what_only_administrators_can_do() -> None:
    error = errors.MondayError(errors.NOT_AUTHENTICATED, "Not authenticated")
    breaker.stop_account(error)
    assert stop_now().reason == error.sentence != error.full_sentence


@pytest.mark.parametrize(
    ("moment", "minutes"), [("2026-11-20T23:59:05Z", 1), ("2026-11-21T00:00:20Z", 0), ("2026-11-21T00:02:00Z", 1_438)]
)
def test_a_used_up_day_ends_at_midnight_and_its_last_refusal_costs_nothing_of_the_next(
    moment: str, minutes: int
) -> None:
    stop_clock(datetime.fromisoformat(moment))
    breaker.stop_account(errors.MondayError(errors.DAILY_LIMIT_REACHED, "Daily limit exceeded"))
    assert round(rest() / 60) == minutes


def test_since_when_a_stop_lasts_is_that_of_its_cause() -> None:
    breaker.stop_account(errors.MondayError(errors.NOT_AUTHENTICATED, "Not authenticated"))
    begun = sync_now() - timedelta(minutes=20)
    earlier = replace(stop_now(), since=begun, until=sync_now() - timedelta(seconds=1))
    breaker.store_stop(breaker.monday_account(), ALL_CALLS, earlier)
    breaker.stop_account(errors.MondayError(errors.NOT_AUTHENTICATED, "Not authenticated"))
    assert stop_now().since == begun
    breaker.stop_account(errors.MondayError(errors.DAILY_LIMIT_REACHED, "Daily limit exceeded", wait_seconds=30_000))
    changed = stop_now().since
    assert changed > begun
    breaker.stop_account(errors.MondayError(errors.CONNECTION_LOST, "gone"))  # a shorter stop changes nothing
    assert stop_now().since == changed
    # Activity has a line for each cause, and one for the end.
    for name in ("dora", "erik"):
        breaker.end_stop(breaker.monday_account(), by=name)
    assert told() == [(ActivityKind.STOP, "", ""), (ActivityKind.STOP, "", ""), (ActivityKind.STOP_END, "", "dora")]


@responses.activate
def test_one_worker_probes_and_its_answer_ends_the_pause(settings: Any) -> None:
    settings.MONDAY_API_URL = "https://monday.test/v2"
    responses.post("https://monday.test/v2", json=ANSWER)
    breaker.stop_account(errors.MondayError(errors.CONNECTION_LOST, "gone"))
    assert not probes.probe_if_due()
    time_passes()
    assert probes.probe_if_due()
    assert probes.probe_if_due()
    assert len(responses.calls) == 1
    row = breaker.monday_account()
    assert (row.stop, row.user_id) == (None, "7")


def test_failures_count_on_after_an_answer_until_a_read_succeeds() -> None:
    gone = errors.MondayError(errors.CONNECTION_LOST, "gone")
    for expected in (5, 10, 20):
        breaker.stop_account(gone)
        assert round(rest()) == expected
        breaker.end_stop_after_answer(is_read_next=False)
        assert breaker.monday_account().stop is None
    breaker.forget_failures(has_written=False)
    breaker.stop_account(gone)
    assert round(rest()) == 5


def test_a_pass_that_only_read_does_not_end_a_stop_of_writes() -> None:
    failed = (errors.MondayError(errors.CONNECTION_LOST, "gone"), {uuid4()})
    failed_writes.judge_failed_writes([failed], others_written=False)
    failed_writes.judge_failed_writes([failed, failed], others_written=False)
    breaker.forget_failures(has_written=False)
    assert MondayAccount.objects.get().stop_of(ALL_WRITES)


A, B = uuid4(), uuid4()
GONE = errors.MondayError(errors.CONNECTION_LOST, "gone")
NAMED = errors.MondayError(errors.SERVER_FAILED, "500", path=("r0",))


@pytest.mark.parametrize(
    ("passes", "wait", "is_stopped"),
    [
        ([[(GONE, {A})]], None, False),
        ([[(GONE, {A, B})]], 60, False),
        ([[(GONE, {A})], [(GONE, {A})], [(GONE, {A})]], 120, False),
        ([[(GONE, {A})], [(NAMED, {A})]], None, False),
        ([[(GONE, {A})], [(NAMED, {B})]], 60, True),
        ([[(GONE, {A})], [(GONE, {A})], [(GONE, {A})], [(GONE, {B})]], 60, True),
        ([[(GONE, {A, B})], [(GONE, {A})]], 60, True),
        ([[(GONE, {A}), (GONE, {B})]], 60, True),
        ([[(GONE, {A}), (GONE, {B})], [(NAMED, {A})]], 120, True),
    ],
    ids=[
        "one record: an attempt",
        "several at once: they come in parts",
        "the same record again: it waits alone",
        "the same again, and Monday names it: an attempt",
        "another record: all stop",
        "another after one that failed often: all stop, with the first wait",
        "a part again: all stop",
        "two documents of a pass: all stop",
        "a probe: the stop goes on",
    ],
)
def test_what_fails_while_nothing_is_written_is_a_records_fault_or_stops_all_writes(
    passes: list[list[failed_writes.FailedDocument]], wait: float | None, is_stopped: bool
) -> None:
    for failed in passes:
        at_fault = failed_writes.judge_failed_writes(failed, others_written=False)
    if wait is None:
        assert at_fault == set(failed[0][1])
    else:
        assert (at_fault, round(failed_writes.seconds_until_write())) == (set(), wait)
    assert (breaker.monday_account().stop_of(ALL_WRITES) is not None) is is_stopped


def test_a_limit_of_all_calls_leaves_a_stop_of_writes_as_it_is() -> None:
    for record_id in (A, B):
        failed_writes.judge_failed_writes([(GONE, {record_id})], others_written=False)
    writes = stop_now()
    breaker.stop_account(errors.MondayError(errors.LIMIT_REACHED, "slow down", wait_seconds=20))
    assert stop_now() != writes
    breaker.end_stop(breaker.monday_account())
    assert stop_now() == writes


def test_two_boards_that_fail_in_different_ways_wait_for_their_own_reasons_and_end_alone() -> None:
    contacts, organizations = (
        BoardLink.objects.create(entity_type=name, board_id=name, npd_id_column="id")
        for name in ("contact", "organization")
    )
    for _ in range(2):
        breaker.stop_board(contacts, errors.MondayError(errors.BOARD_NOT_FOUND, "Gone"))
    breaker.stop_board(organizations, errors.MondayError(errors.BOARD_FORBIDDEN, "Forbidden"))
    reasons = [availability.of(name, urgent=True).detail for name in ("contact", "organization")]
    assert [reason.split(".")[0] for reason in reasons] == ["Gone", "Forbidden"]
    assert availability.wait_sentence(2, ["organization", "contact"]) == f"They wait: {' '.join(reasons)}"
    breaker.end_stop(contacts)
    assert [availability.of(name).is_available for name in ("contact", "organization")] == [True, False]
    stopped = [(ActivityKind.STOP, "contact", ""), (ActivityKind.STOP, "organization", "")]
    assert told() == [*stopped, (ActivityKind.STOP_END, "contact", "")]


def test_once_writes_work_what_waits_for_them_is_due_and_nothing_else() -> None:
    later = sync_now() + timedelta(hours=1)
    for waits in (False, True):
        SyncQueue.objects.create(
            entity_type="contact", remote_id=str(waits), reason=said("Later."), waits_for_writes=waits, next_retry=later
        )
    breaker.make_waiting_writes_due()
    assert [job.remote_id for job in SyncQueue.objects.filter(next_retry__lt=later)] == ["True"]
