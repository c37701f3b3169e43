"""Missing webhooks are made again; a busy board without any raises an alarm, which ends by itself."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from sync.boards.webhooks import check_silence
from sync.clock import sync_now
from sync.management.commands.monday_check import run_checks
from sync.models import BoardLink, WebhookEvent
from sync.monday.board_events import WEBHOOK_EVENTS
from tests.admin import states
from tests.support.world import World
from tests.sweeps.conftest import Post

HOOKS = "query ($b: ID!) { webhooks(board_id: $b) { id event } }"
DELETE = "mutation ($id: ID!) { delete_webhook(id: $id) { id } }"


def on_the_board(world: World) -> list[dict[str, str]]:
    hooks: list[dict[str, str]] = world.sandbox.query(HOOKS, b=world.board_id())["data"]["webhooks"]
    return hooks


def take_away(world: World, *events: str) -> None:
    for hook in on_the_board(world):
        if hook["event"] in (events or WEBHOOK_EVENTS):
            world.sandbox.query(DELETE, id=hook["id"])


def problems(about: str) -> list[str]:
    return [f"{check.message} {check.fix}" for check in run_checks() if check.level != "ok" and check.subject == about]


def test_webhooks_that_were_deleted_are_made_again_by_the_next_sweep(world: World, post: Post) -> None:
    contact = world.linked(role_title="Analyst")
    take_away(world, "change_column_value", "change_name")
    assert post.sweep().problem == ""
    assert sorted(hook["event"] for hook in on_the_board(world)) == sorted(WEBHOOK_EVENTS)
    assert set(world.link().webhooks) == {hook["id"] for hook in on_the_board(world)}
    assert world.link().webhooks_problem == ""
    world.edit(contact, "role_title", "Countess")
    assert world.deliver() == 1
    world.work(contact)
    assert contact.role_title == "Countess"


def test_webhooks_refused_are_told_and_tried_once_an_hour(world: World, post: Post, settings: Any) -> None:
    world.linked()
    take_away(world)
    settings.SITE_URL = "http://127.0.0.1:9"
    post.sweep()
    assert "could not be registered" in world.link().webhooks_problem
    assert any("Monday doesn't report every edit" in line for line in problems("webhooks"))
    mutations = world.calls("mutation")
    post.sweep(after=20)
    assert world.calls("mutation") == mutations
    settings.SITE_URL = world.hooks.url
    refusal = {"every": 1, "code": "InvalidArgumentException", "message": "Refused /webhooks/monday/former-token/"}
    world.sandbox.faults({"partial": refusal, "on": "create_webhook"})
    post.sweep(after=61)
    assert "/webhooks/monday/[secret]/" in world.link().webhooks_problem
    world.sandbox.control("faults", "DELETE")
    post.sweep(after=61)
    assert world.link().webhooks_problem == ""
    assert len(on_the_board(world)) == len(WEBHOOK_EVENTS)


OURS, TOM = "1", "2"


def event(link: BoardLink, seconds_ago: float, user: str = TOM, trigger: str = "log:") -> None:
    when, number = sync_now() - timedelta(seconds=seconds_ago), WebhookEvent.objects.count()
    body = {"event": {"userId": user, "triggerTime": when.isoformat()}}
    WebhookEvent.objects.create(
        trigger_id=f"{trigger}{number}", board_id=link.board_id, type="update_column_value", body=body, received_at=when
    )


@pytest.fixture
def listening(db: None) -> BoardLink:
    link = states.boards()["contact"]
    link.webhooks = {"7": {"event": "change_name"}}
    link.save()
    return link


def is_silent(link: BoardLink) -> bool:
    check_silence(link, OURS)
    link.refresh_from_db()
    return link.silence != ""


def test_a_board_on_which_only_we_write_or_nobody_is_not_silent(listening: BoardLink) -> None:
    assert not is_silent(listening)
    for user in (OURS, "-4"):
        for _ in range(3):
            event(listening, 3_600, user)
    assert not is_silent(listening)


def test_refused_deliveries_are_said_once_somebody_changed_the_board_and_none_was_accepted(
    listening: BoardLink, client: Client
) -> None:
    cache.clear()
    refuse = partial(client.post, "/webhooks/monday/a-wrong-token/", {}, content_type="application/json")
    assert refuse().status_code == 401
    assert not is_silent(listening), "strangers alone say nothing"
    event(listening, 30)
    assert is_silent(listening)
    assert "monday_setup" in listening.silence
    event(listening, 20, trigger="told-")
    assert not is_silent(listening)
    WebhookEvent.objects.exclude(trigger_id__startswith="log:").update(received_at=sync_now() - timedelta(days=2))
    assert is_silent(listening)
    cache.clear()
    assert not is_silent(listening)


def test_one_webhook_among_lost_ones_is_no_silence(listening: BoardLink) -> None:
    for _ in range(5):
        event(listening, 3_600)
    assert is_silent(listening)
    event(listening, 1_800, trigger="told-")
    assert not is_silent(listening)
