"""`sync_reconcile` against the sandbox, over HTTP. No webhook comes in: it must find what was missed."""

from collections.abc import Callable

import pytest
from django.core.management.base import CommandError

from sync.models import SyncQueue
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)

Run = Callable[..., str]


def test_without_set_up_it_says_of_each_board_where_it_is_chosen(run: Run) -> None:
    with pytest.raises(CommandError, match=r"Organizations: .*Set up…(.|\n)*Contacts: .*Set up…"):
        run("sync_reconcile")


def test_a_record_that_monday_refuses_to_show_is_a_failure(world: World, run: Run) -> None:
    contact = world.linked(role_title="Analyst")
    world.edit(contact, "role_title", "Countess")
    world.sandbox.control("faults", status=500, on="items", count=1)
    with pytest.raises(CommandError, match=r"Not reached: 1 contact\."):
        run("sync_reconcile")
    assert SyncQueue.objects.filter(entity_id=contact.pk, status="pending").exists()
