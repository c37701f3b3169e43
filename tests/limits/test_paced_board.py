"""A board while the day's allowance is tight: changes are gathered, and everybody is told until when."""

import re
from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client

from npd.models import Contact
from sync.boards import availability
from sync.clock import sync_now
from sync.limits import probes
from sync.limits.api_quota import WaitKind
from sync.models import ApiQuota, BoardLink
from sync.queue import push_record
from tests.admin.test_home import html_of, state_of
from tests.admin.test_stops import TRY
from tests.limits.conftest import Planned
from tests.limits.test_worker import edit
from tests.support.world import World


@pytest.fixture
def tight(world: World, monday: Planned) -> Contact:
    """Ann and Bob are in sync at noon; 600 of the day's calls are used, so less than an even share is left."""
    world.contact("Bob", role_title="Boss")
    contact = world.linked("Ann", role_title="Boss")
    monday.limits(plan="standard")
    spend(600)
    return contact


def spend(calls: int) -> None:
    ApiQuota.objects.update(day_calls=F("day_calls") + calls)


def gathering(world: World, contact: Contact) -> None:
    """The board was just looked at; another change waits."""
    BoardLink.objects.filter(entity_type="contact").update(last_pass_at=sync_now())
    edit(contact, "Chair")
    world.work()
    assert world.status(contact) == "pending"


def test_changes_are_gathered_until_the_window_ends_and_then_go_out_together(world: World, tight: Contact) -> None:
    gathering(world, tight)
    calls = world.calls()
    window = availability.Overview().batching_delay
    assert 60 < window < 600
    edit(tight, "Chief")
    world.work(seconds=window / 2)
    assert world.calls() == calls
    world.work(seconds=window)
    assert world.calls() == calls + 2
    assert (world.status(tight), world.values(tight)["role_title"]) == ("synced", "Chief")


def test_a_persons_click_beats_pacing_and_takes_the_rest_along(world: World, tight: Contact) -> None:
    other = Contact.objects.get(name="Bob")
    gathering(world, tight)
    answer = push_record(other, "lead")
    assert answer.reason_code == ""
    world.work()
    assert world.status(tight) == "synced"


def test_a_full_batch_does_not_wait(world: World, tight: Contact) -> None:
    other = Contact.objects.get(name="Bob")
    BoardLink.objects.filter(entity_type="contact").update(batch_limit=2)
    gathering(world, tight)
    edit(other, "Chair")
    world.work()
    assert (world.status(tight), world.status(other)) == ("synced", "synced")


def test_a_slowed_board_reads_the_limit(world: World, tight: Contact, monday: Planned, admin_client: Client) -> None:
    monday.limits(plan="standard", used=885, lag=0)
    gathering(world, tight)
    slowed = re.compile(r"Slowed by Monday's daily limit until \d.* of today's 1,000 calls are used\.")
    assert slowed.fullmatch(state_of(admin_client))
    html = html_of(admin_client)
    assert f'action="{TRY}"' in html
    probes.try_again(is_slowed=True)
    assert slowed.fullmatch(state_of(admin_client))  # nothing has changed
    world.sandbox.control("plan", plan="enterprise")
    world.pass_time(seconds=60)
    admin_client.post(TRY)
    assert not slowed.fullmatch(state_of(admin_client))
    world.work()
    assert world.status(tight) == "synced"


def test_the_hourly_look_finds_a_larger_plan_on_a_used_up_day(world: World, tight: Contact, monday: Planned) -> None:
    spend(1_000)
    assert availability.of("contact", urgent=True).reason_code is WaitKind.QUOTA
    world.sandbox.control("plan", plan="enterprise")
    calls = world.calls()
    probes.refresh_quota()
    assert world.calls() == calls + 1
    assert availability.of("contact").is_available


def test_a_board_that_waits_for_an_hour_still_shares_the_day(world: World, tight: Contact) -> None:
    window = availability.Overview().batching_delay
    BoardLink.objects.filter(entity_type="organization").update(last_pass_at=sync_now() - timedelta(hours=2))
    assert availability.Overview().batching_delay == pytest.approx(2 * window, rel=0.01)
