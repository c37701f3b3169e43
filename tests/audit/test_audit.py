"""The nightly comparison: equal records are counted, drift is found, and what is on its way is no drift."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from npd.models import Contact
from sync.models import BoardLink, FieldMapping, SyncQueue
from sync.operations.comparison import PagedListing, compare_board
from tests.support.world import World, staged


def verify(world: World) -> BoardLink:
    compare_board(world.link())
    return world.link()


def figures(link: BoardLink) -> tuple[int, int]:
    return link.verified_records, link.differed_records


@staged
def linked(world: World, number: int = 3) -> list[Contact]:
    contacts = [world.contact(f"Ann {n}", email=f"ann{n}@example.com", role_title="Boss") for n in range(number)]
    world.work()
    world.hear()
    world.pass_time(minutes=20)
    assert {world.status(contact) for contact in contacts} == {"synced"}
    return contacts


def test_an_edit_whose_webhook_was_lost_is_drift_and_is_looked_at(world: World) -> None:
    contacts = linked(world)
    world.edit(contacts[0], "role_title", "Chair")
    world.deliver(times=0)
    assert figures(verify(world)) == (2, 0)  # a webhook may still come for a recent edit
    SyncQueue.objects.all().delete()
    Contact.objects.update(sync_status="synced")
    world.pass_time(minutes=20)
    link = verify(world)
    assert figures(link) == (3, 1)
    (drift,) = link.differences
    assert drift["record"] == str(contacts[0].pk)
    assert drift["fields"][0] == {
        "key": "role_title",
        "words": "Role: NPD says “Boss”, Monday “Chair”, last synced was “Boss”.",
        "npd": "Boss",
        "monday": "Chair",
        "agreed": "Boss",
    }
    world.work(contacts[0])
    assert contacts[0].role_title == "Chair"
    world.pass_time(minutes=20)
    assert figures(verify(world)) == (3, 0)


def test_a_change_past_the_triggers_is_drift(world: World) -> None:
    (contact,) = linked(world, 1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contacts DISABLE TRIGGER USER")
        cursor.execute("UPDATE contacts SET role_title = 'Chair' WHERE id = %s", [contact.pk])
        cursor.execute("ALTER TABLE contacts ENABLE TRIGGER USER")
    assert figures(verify(world)) == (1, 1)


def test_a_record_saved_during_the_read_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts = linked(world)
    world.edit(contacts[0], "role_title", "Chair")
    world.deliver(times=0)
    world.pass_time(minutes=20)
    passes = PagedListing.passes

    def saved_meanwhile(listing: PagedListing) -> Iterator[Any]:
        for page in passes(listing):
            Contact.objects.filter(pk=contacts[0].pk).update(role_title="Chair")
            yield page

    monkeypatch.setattr(PagedListing, "passes", saved_meanwhile)
    assert figures(verify(world)) == (2, 0)


def test_a_value_that_cannot_be_read_says_nothing(world: World) -> None:
    linked(world)
    FieldMapping.objects.filter(key="role_title").update(column_id="not_there")
    SyncQueue.objects.all().delete()
    assert figures(verify(world)) == (0, 0)
