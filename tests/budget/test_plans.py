"""The plan: told, not told, raised in the middle of the day, or none at all."""

from typing import Any

import pytest

from sync.clock import sync_now
from sync.limits import breaker, quota
from sync.limits.quota import apply_account_info
from sync.limits.rate_limits import PLAN_LIMITS
from sync.monday.connection import parse_account_info
from sync.monday.graphql import Answer
from sync.operations.record_requests import push_record
from sync.records import availability
from tests.admin import states
from tests.budget.conftest import Planned
from tests.budget.test_worker import edit, spent
from tests.support.clock import stop_clock
from tests.support.world import World


@pytest.mark.django_db
@pytest.mark.parametrize("told", [{}, {"platform_api": None}, {"platform_api": {"daily_limit": None}}])
def test_an_account_that_does_not_tell_its_limit_has_that_of_its_plan(told: dict[str, Any]) -> None:
    answer = Answer(data={"me": {"id": "7"}, "account": {"tier": "standard"}, **told})
    apply_account_info(parse_account_info(answer), "")
    budget = quota.read_budget()
    assert (budget.day_limit, budget.minute_limit, budget.points_limit) == PLAN_LIMITS["standard"]


@pytest.mark.django_db
def test_a_limit_that_was_told_outlives_an_answer_that_does_not_tell_it() -> None:
    account_of = {"me": {"id": "7"}, "account": {"tier": "standard"}}
    limit = {"platform_api": {"daily_limit": {"base": 1_000, "total": 3_000}}}
    apply_account_info(parse_account_info(Answer(data={**account_of, **limit})), "standard")
    apply_account_info(parse_account_info(Answer(data={**account_of, "platform_api": None})), "standard")
    assert quota.read_budget().day_limit == 3_000


def test_a_plan_that_was_raised_because_the_day_is_used_up_is_noticed_and_work_goes_on(
    world: World, monday: Planned
) -> None:
    contact = world.linked("Ann", role_title="Boss")
    monday.limits(plan="standard")
    world.sandbox.control("plan", used=1_000)
    edit(contact, "Chair")
    world.work()
    assert "calls to Monday are used up" in availability.of("contact").blocked_reason
    world.sandbox.control("plan", plan="pro")
    breaker.refresh_quota()  # by itself it asks nothing that Monday would refuse
    assert "calls to Monday are used up" in availability.of("contact").blocked_reason
    breaker.fetch_account_info(urgent=True)  # what `monday_setup` and `monday_check` do
    assert availability.of("contact").blocked_reason == ""
    world.work()
    assert world.status(contact) == "synced"
    assert monday.refused == 1


@pytest.mark.django_db
def test_a_click_of_a_day_that_is_used_up_wholly_is_told_so() -> None:
    states.boards()
    contact = states.synced("Ann", "1")
    stop_clock(sync_now().replace(hour=12))
    spent(day_limit=1_000, day=sync_now().date(), day_calls=1_000)
    said = push_record(contact, "lead").message
    assert said == "It waits: Today's calls to Monday are used up. Sync goes on by itself at 00:01 UTC."
