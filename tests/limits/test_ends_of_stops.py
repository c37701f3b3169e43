"""A stop ends only when a call of the kind that failed goes through; one outage is one “since”, and one line, whose end
names the person who had it tried again.
"""

from datetime import timedelta
from typing import Any

import pytest

from npd.models import Contact
from sync import attention
from sync.attention import Kind
from sync.choices import ActivityKind
from sync.clock import sync_now
from sync.limits import probes
from sync.models import ActivityLine, BoardLink, MondayAccount
from sync.operations.sweep import sweep_board, sweep_due_boards
from tests.support.world import World, staged

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {"partial": {"every": 1, "code": "InvalidBoardIdException"}}

# What fails meanwhile.
FAULTS: dict[str, dict[str, Any]] = {
    "writes": {"status": 500, "on": "mutation"},
    "writes, as the board doesn't know them": {"on": "mutation", **REFUSED},
    "writes, as the token's user is a viewer": {
        "on": "mutation",
        "partial": {"every": 1, "code": "USER_ACCESS_DENIED", "message": "User unauthorized to perform action"},
    },
    "items, though Monday says who we are": {"status": 500, "on": "items"},
    "items, though Monday shows the board": {"on": "items", **REFUSED},
    "items, as their document is refused": {"status": 400, "on": "items"},
    "all": {"status": 500, "on": "any"},
}


@staged
def people(world: World) -> None:
    world.linked_together(3)


def stops() -> set[Any]:
    """The beginnings of the stops that Home shows."""
    entries = attention.entries(attention.waiting(kinds=[Kind.STOP, Kind.BOARD]))
    return {entry.since for entry in entries}


def lines() -> list[tuple[str, str]]:
    kinds = (ActivityKind.STOP, ActivityKind.STOP_END)
    return list(ActivityLine.objects.filter(kind__in=kinds).order_by("id").values_list("kind", "actor"))


def happens(world: World, step: str) -> None:
    if step == "try again":
        MondayAccount.objects.update(asked_at=None)
        probes.try_again(by="olga")
    elif step == "sweep":
        BoardLink.objects.update(swept_at=sync_now() - timedelta(days=2))
        sweep_due_boards()
    elif step == "hourly":
        probes.refresh_quota()
    elif step == "work":
        world.work()
    else:
        world.pass_time(minutes=int(step))
        world.work()


TRIED = ["try again", "work", "try again", "hourly", "sweep", "work"]
WAITED = ["2", "5", "hourly", "10"]


@pytest.mark.parametrize("steps", [TRIED, WAITED], ids=["a person tries again", "time passes"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stop_is_shown_with_one_beginning_until_a_call_of_its_kind_goes_through(
    world: World, fault: str, steps: list[str]
) -> None:
    people(world)
    world.sandbox.control("faults", count=100_000, **FAULTS[fault])
    for contact in Contact.objects.all():
        world.save(contact, role_title="New")
        world.work(minutes=1)
    since = stops()
    assert len(since) == 1
    for step in steps:
        happens(world, step)
        assert stops() == since, step
    assert lines() in ([(ActivityKind.STOP, "")], [])
    world.sandbox.control("faults", "DELETE")
    happens(world, "try again")
    world.work(minutes=1)
    world.work(minutes=21)
    assert not stops()
    assert lines() in ([(ActivityKind.STOP, ""), (ActivityKind.STOP_END, "olga")], [])
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_an_outage_while_nothing_is_due_ends_with_the_next_probe(world: World) -> None:
    people(world)
    world.sandbox.control("faults", count=100_000, **FAULTS["all"])
    happens(world, "sweep")
    assert attention.waiting(kinds=[Kind.STOP])
    world.sandbox.control("faults", "DELETE")
    world.pass_time(minutes=1)
    sweep_due_boards()  # no sweep is due yet
    assert not attention.waiting(kinds=[Kind.STOP])


def test_a_stopped_board_without_anything_to_do_goes_on_once_a_sweep_reads_it(world: World) -> None:
    board = world.board_id("organization")
    world.sandbox.control("boards", board_id=board, state="archived")
    sweep_board(world.link("organization"))
    assert stops()
    world.sandbox.control("boards", board_id=board, state="active")
    world.pass_time(minutes=11)
    sweep_board(world.link("organization"))
    assert not stops()
    assert lines() == [(ActivityKind.STOP, ""), (ActivityKind.STOP_END, "")]
