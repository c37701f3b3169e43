"""What a pass carries out is what `decide` says by the gathered facts alone, without another look at anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from npd.models import Contact
from sync.models import BoardLink, SyncQueue, Tombstone
from sync.outbox.claim import Claim
from sync.reconcile.decide import decide
from sync.reconcile.gather import Gatherer, claimed
from sync.reconcile.lookups import load_board
from tests.commands.test_dry_run import mixed
from tests.engine.conftest import choose, clash
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def told(value: Any) -> Any:
    """A value by all that it says: a plan's parts, models' columns, converters' settings."""
    if isinstance(value, Model):
        return type(value), {name: told(one) for name, one in vars(value).items() if name != "_state"}
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), {one.name: told(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: told(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in value]
    by_itself = isinstance(value, Enum | type) or type(value).__eq__ is not object.__eq__
    return value if by_itself or not hasattr(value, "__dict__") else (type(value), told(vars(value)))


@contextmanager
def no_queries() -> Iterator[None]:
    def refuse(_: Any, sql: str, *__: Any) -> Any:
        raise AssertionError(f"A rule asked the database: {sql}")

    with connection.execute_wrapper(refuse):
        yield


def many_at_once(world: World) -> None:
    mixed(world)


def chosen(world: World) -> None:
    person = world.administrator("lead")
    _, conflict = clash(world, notes="NPD's notes")
    choose(conflict, person, role_title={"choose": "monday"})


def gone_and_asked_about(world: World) -> None:
    """An item that was archived, one that was edited after its record was deleted, and two with one record's key."""
    archived, deleted, _ = [world.linked(name, email=f"{name}@example.com") for name in ("Ann", "Bea", "Cid")]
    world.sandbox.act("archive", item_id=archived.monday_id)
    world.edit(deleted, "role_title", "Edited")
    deleted.delete()
    for name in ("Dan", "Dan too"):
        world.add(name, email={"email": "dan@example.com", "text": "dan@example.com"})
    world.contact("Dan", email="dan@example.com")


def overwritten_and_left_out(world: World) -> None:
    """An edit that our write went over, of which the pass hears now; and a filter that leaves another record out."""
    world.linked("Eve", role_title="Out")
    contact = world.linked("Ann", role_title="Old")
    world.overwrite(contact)
    world.work()
    world.deliver()
    where = {"records": [{"field": "role_title", "op": "is_not", "values": ["Out"], "labels": ["Out"]}]}
    BoardLink.objects.filter(entity_type="contact").update(sync_filter=where)


@pytest.mark.parametrize("happens", [many_at_once, chosen, gone_and_asked_about, overwritten_and_left_out])
def test_deciding_again_by_the_same_facts_asks_nothing_and_says_the_same(
    world: World, happens: Callable[[World], None]
) -> None:
    happens(world)
    jobs: dict[tuple[Any, Any], list[SyncQueue]] = {}
    for row in SyncQueue.objects.filter(entity_type="contact", status="pending"):
        jobs.setdefault((row.entity_id, row.remote_id if row.entity_id is None else None), []).append(row)
    for key in (*Contact.objects.values_list("pk", flat=True), *Tombstone.objects.values_list("entity_id", flat=True)):
        jobs.setdefault((key, None), [SyncQueue(id=0, entity_type="contact", entity_id=key, causes=0, payload={})])
    claims = [Claim(*key, rows) for key, rows in jobs.items()]
    facts, plan = Gatherer().gather(claimed(load_board(world.link()), claims))
    with no_queries():
        again = decide(facts)
    assert facts.found.linked
    assert told(again) == told(plan)
