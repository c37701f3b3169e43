"""Ways out of a stop: a person tries again, Monday is asked once, and a stop whose cause is gone ends."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import responses
from django.test import Client

from sync.boards import availability
from sync.choices import StopCode
from sync.clock import sync_now
from sync.kernel.humanize import due_time
from sync.limits import api_quota, breaker, probes
from sync.limits.api_quota import PLAN_LIMITS, WaitKind, apply_account_info
from sync.management.commands import monday_check
from sync.models import ApiQuota, BoardLink, MondayAccount
from sync.models.boards_and_account import Stop
from sync.monday.account import AccountInfo, parse_account_info
from sync.monday.errors import DAILY_LIMIT_REACHED, LIMIT_REACHED, UNREACHABLE, MondayError
from sync.monday.graphql import Answer
from sync.operations.sweep import boards_to_sweep
from sync.outbox import pauses
from sync.queue import push_record, resume
from tests.admin import states
from tests.limits.test_breaker import ANSWER, stop_now
from tests.limits.test_worker import edit
from tests.support.waiting import at_once
from tests.support.words import said
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)
MONDAY = "https://monday.test/v2"
DAY_IS_OVER = {"message": "Daily limit exceeded", "extensions": {"code": "DAILY_LIMIT_EXCEEDED"}}


def goes_on(world: World, contact: Any) -> bool:
    world.work(contact)
    return bool(contact.sync_status == "synced")


@pytest.fixture
def monday_answers(settings: Any) -> Iterator[responses.RequestsMock]:
    """A fake Monday that says who we are, unless a test makes it say something else first."""
    settings.MONDAY_API_URL = MONDAY
    states.boards()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as played:
        yield played


def is_well(played: responses.RequestsMock) -> None:
    played.post(MONDAY, json=ANSWER)


def is_over_for_today(played: responses.RequestsMock) -> None:
    played.post(MONDAY, status=429, headers={"Retry-After": "30000"}, json={"errors": [DAY_IS_OVER]})


def day_is_used_up() -> Stop:
    breaker.stop_account(MondayError(DAILY_LIMIT_REACHED, "Daily limit exceeded", wait_seconds=30_000))
    assert availability.of("contact").reason_code is WaitKind.ACCOUNT
    return stop_now()


def test_what_is_not_over_is_asked_once_said_and_stays(monday_answers: responses.RequestsMock) -> None:
    before = day_is_used_up()
    is_over_for_today(monday_answers)
    answers = [probes.try_again() for _ in range(3)]
    assert answers == [probes.STOPPED, probes.JUST_ASKED, probes.JUST_ASKED]
    assert len(monday_answers.calls) == 1
    assert (stop_now().code, stop_now().since) == (StopCode.DAY_LIMIT, before.since)
    assert stop_now().until >= before.until


def test_hourly_looks_ask_once_on_a_used_up_day(monday_answers: responses.RequestsMock) -> None:
    today = api_quota.day_of(sync_now())
    ApiQuota.objects.create(id=1, day=today, day_limit=200, day_calls=200)
    is_over_for_today(monday_answers)
    for _ in range(3):
        probes.refresh_quota()
    assert len(monday_answers.calls) == 1
    assert stop_now().code == StopCode.DAY_LIMIT


def test_people_who_try_at_the_same_time_ask_once(monday_answers: responses.RequestsMock) -> None:
    day_is_used_up()
    is_over_for_today(monday_answers)
    assert sorted(at_once(*[probes.try_again] * 4)) == [*[probes.JUST_ASKED] * 3, probes.STOPPED]
    assert len(monday_answers.calls) == 1


def test_a_persons_pause_is_not_beaten_by_a_persons_click(monday_answers: responses.RequestsMock) -> None:
    day_is_used_up()
    pauses.pause("maya")
    assert probes.try_again() == probes.PAUSED
    assert "Paused by maya" in push_record(states.synced("Ann", "1"), "lead").message
    assert len(monday_answers.calls) == 0


def test_a_click_does_not_cut_the_wait_that_monday_asked_for(monday_answers: responses.RequestsMock) -> None:
    breaker.stop_account(MondayError(LIMIT_REACHED, "slow down", wait_seconds=90))
    before = stop_now()
    assert probes.try_again() == probes.WAITING
    assert len(monday_answers.calls) == 0
    assert stop_now() == before


def test_a_board_that_is_back_goes_on_at_once_and_one_that_is_not_stays_stopped(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss")
    link = BoardLink.objects.get(entity_type="contact")
    world.sandbox.control("boards", board_id=link.board_id, state="archived")
    edit(contact, "Chair")
    world.work(link)
    assert availability.of("contact").reason_code is WaitKind.BOARD
    stop = link.stop_of()
    assert probes.try_again() == probes.STOPPED
    link.refresh_from_db()
    stopped_still = link.stop_of()
    assert stop
    assert stopped_still
    assert stopped_still.since == stop.since
    world.sandbox.control("boards", board_id=link.board_id, state="active")
    MondayAccount.objects.update(asked_at=sync_now() - timedelta(minutes=1))
    assert probes.try_again() == probes.RESUMED
    assert goes_on(world, contact)


def test_a_check_cut_short_by_the_stop_is_due_at_once(monday_answers: responses.RequestsMock) -> None:
    BoardLink.objects.update(swept_at=sync_now(), swept_to=sync_now())
    BoardLink.objects.filter(entity_type="organization").update(sweep_problem=said("Daily limit exceeded"))
    day_is_used_up()
    is_well(monday_answers)
    assert probes.try_again() == probes.RESUMED
    assert [link.entity_type for link in boards_to_sweep()] == ["organization"]


@pytest.mark.parametrize("door", ["monday_check", "retry", "resume"])
def test_the_other_doors_ask_too(monday_answers: responses.RequestsMock, admin_client: Client, door: str) -> None:
    states.waiting("Ann")
    day_is_used_up()
    is_well(monday_answers)
    if door == "monday_check":
        monday_check.run_checks()
    elif door == "resume":
        paused, _ = pauses.pause("maya")
        resume("maya", entity_type=paused.entity_type)
    else:
        job = admin_client.get("/api/v1/sync/queue/?status=pending").json()["results"][0]["id"]
        assert admin_client.post(f"/api/v1/sync/queue/{job}/retry").status_code == 200
    assert availability.of("contact").is_available


@pytest.mark.django_db
@pytest.mark.parametrize("platform", [{}, {"platform_api": None}, {"platform_api": {"daily_limit": None}}])
def test_an_account_that_does_not_tell_its_limit_has_that_of_its_plan(platform: dict[str, Any]) -> None:
    answer = Answer(data={"me": {"id": "7"}, "account": {"tier": "standard"}, **platform})
    apply_account_info(parse_account_info(answer), "")
    quota = api_quota.read_quota()
    assert (quota.day_limit, quota.points_limit) == PLAN_LIMITS["standard"]


@pytest.mark.django_db
@pytest.mark.parametrize(("used", "others"), [(180, 90), (50, 0)])
def test_what_monday_counts_beyond_our_calls_is_the_other_tokens(used: int, others: int) -> None:
    today = api_quota.day_of(sync_now())
    ApiQuota.objects.create(id=1, day=today, day_calls=90)
    info = AccountInfo(day_limit=400, usage_by_day={today.isoformat(): used})
    apply_account_info(info, "")
    assert ApiQuota.objects.get().others_calls == others
    # Monday's figure hasn't changed, though we have made calls since.
    ApiQuota.objects.update(day_calls=150)
    apply_account_info(info, "")
    assert ApiQuota.objects.get().others_calls == others


@pytest.mark.django_db
def test_a_limit_that_was_told_outlives_an_answer_that_does_not_tell_it() -> None:
    account_of = {"me": {"id": "7"}, "account": {"tier": "standard"}}
    limit = {"platform_api": {"daily_limit": {"base": 1_000, "total": 3_000}}}
    apply_account_info(parse_account_info(Answer(data={**account_of, **limit})), "standard")
    apply_account_info(parse_account_info(Answer(data={**account_of, "platform_api": None})), "standard")
    assert api_quota.read_quota().day_limit == 3_000


def test_a_person_is_told_when_monday_is_asked_next(monday_answers: responses.RequestsMock) -> None:
    breaker.stop_account(MondayError(UNREACHABLE, "no route to host"))
    monday_answers.post(MONDAY, status=503)
    assert probes.try_again() == probes.STOPPED
    next_time = due_time(stop_now().until, sync_now())
    assert probes.still_stopped_sentence() == f"Monday still doesn't answer. Next attempt at {next_time}."
