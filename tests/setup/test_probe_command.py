"""`monday_check --probe` from end to end: quota and inbox, on an account with boards of its own."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from sync.models import ApiQuota, SyncQueue, WebhookEvent
from sync.monday.account_probe import ASSUMPTIONS
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def run(world: World, out: StringIO) -> str:
    """What the command prints; its waits let the sent webhooks come in."""
    call_command("monday_check", "--probe", stdout=out, stderr=out, wait=lambda seconds: world.deliver())
    return out.getvalue()


def boards(world: World) -> list[dict[str, Any]]:
    return [board for board in world.sandbox.boards() if board["state"] != "deleted"]


def test_it_tries_everything_and_leaves_account_and_inbox_as_they_were(world: World) -> None:
    world.linked("Ann", role_title="Boss")
    before = boards(world), list(WebhookEvent.objects.values("id")), list(SyncQueue.objects.values())
    calls, counted = world.calls(), ApiQuota.objects.get()
    lines = run(world, StringIO()).splitlines()
    assert [line.split()[1].rstrip(":") for line in lines] == [assumption.key for assumption in ASSUMPTIONS]
    measured = {line.split()[1].rstrip(":"): line for line in lines if line.split()[0] == "measured"}
    assert {line.split()[0] for line in lines} == {"same", "measured"}
    assert measured.keys() == {"lag-of-reads", "dropped-by-move", "unlink-from-the-other-side"}
    assert re.search(r"by id 0[.]\d s, searches 0[.]\d s, .* log 0[.]\d s, webhooks", measured["lag-of-reads"])
    assert "text, long_text, email, phone" in measured["dropped-by-move"]
    assert measured["unlink-from-the-other-side"].endswith("not reported")
    assert (boards(world), list(WebhookEvent.objects.values("id")), list(SyncQueue.objects.values())) == before
    quota = ApiQuota.objects.get()
    if quota.day == counted.day:  # else midnight passed, with which counting begins anew
        assert quota.day_calls - counted.day_calls == world.calls() - calls


def test_what_differs_is_named_with_what_it_would_mean_and_ends_it_with_1(world: World) -> None:
    world.sandbox.faults({"swallow": True, "columns": ["probe_relation"], "on": "create_item", "count": 50})
    out = StringIO()
    with pytest.raises(CommandError, match=r"2 [(]create-relation, archived-in-relation[)]") as refused:
        run(world, out)
    assert refused.value.returncode == 1
    assert "DIFFERS   create-relation: Does the answer to a create show the relation that it set? dropped" in (
        out.getvalue()
    )
    assert "one more call for such records" in out.getvalue()
