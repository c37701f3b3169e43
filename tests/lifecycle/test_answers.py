"""What the activity says of a person's answer about a record or an item as a whole."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Q

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.admin.activity import actor_of
from sync.choices import DeletedRecordPolicy
from sync.kernel import as_uuid
from sync.models import ActivityLine, BoardLink, SyncQueue
from tests.lifecycle.conftest import choose, made_twice, newcomers, quiet_passes, take_away
from tests.support.world import World, mail


def two_items(world: World) -> None:
    """Two items on the board could be a contact."""
    BoardLink.objects.filter(entity_type="contact").update(creates_records=False)
    for number in (1, 2):
        world.add(f"Ann {number}", email=mail("ann@example.com"))
    world.contact("Ann", email="ann@example.com")
    world.work()


def two_records(world: World) -> None:
    """An item on the board could be either of two contacts."""
    for number in (1, 2):
        world.contact(f"Ann {number}", email="ann@example.com")
    SyncQueue.objects.all().delete()
    world.add("Ann", email=mail("ann@example.com"))
    newcomers(world, seconds=11)


def copied(world: World) -> None:
    world.sandbox.act("duplicate", item_id=world.linked("Ann", email="ann@example.com").monday_id)
    newcomers(world, seconds=11)


def item_gone(world: World) -> None:
    take_away(world, world.linked("Ann"))
    quiet_passes(world, 2)


def record_gone(world: World) -> None:
    BoardLink.objects.filter(entity_type="contact").update(deleted_record_policy=DeletedRecordPolicy.ASK)
    contact = world.linked("Ann")
    contact.refresh_from_db()
    contact.delete()
    world.work()


@pytest.mark.parametrize(
    ("ask", "act"),
    [
        *((two_items, act) for act in ("link", "new_item")),
        *((two_records, act) for act in ("link", "leave_alone")),
        *((made_twice, act) for act in ("merge_records", "two_records")),
        *((copied, act) for act in ("archive", "new_record", "leave_alone")),
        *((item_gone, act) for act in ("create_item", "delete_record", "unlink")),
        *((record_gone, act) for act in ("archive_item", "restore_record", "unlink")),
    ],
)
def test_what_an_answer_does_is_an_act_of_the_person_who_gave_it_and_is_told_once(
    world: World, pat: Any, ask: Callable[[World], object], act: str
) -> None:
    ask(world)
    told = set(ActivityLine.objects.values_list("pk", flat=True))
    [(conflict, value)] = [
        (conflict, option.value)
        for conflict in SyncConflict.objects.filter(resolved_at=None)
        for option in conflict.options[: 1 if act == "link" else None]
        if option.choose == act
    ]
    # Other records only waited for the answer.
    others = set(Contact.objects.exclude(pk__in=[conflict.entity_id, as_uuid(value)]).values_list("pk", flat=True))
    choose(conflict, pat, act, value)
    world.work()
    world.settle()
    lines = (
        ActivityLine.objects.filter(folded=False)
        .exclude(pk__in=told)
        .exclude(Q(kind="conflict_found") | Q(entity_id__in=others))
    )
    assert {actor_of(line) for line in lines} == {"pat"}
    linked = [line.entity_id for line in lines if line.kind == "link" or "Linked" in line.sentence]
    assert len(linked) == len(set(linked))
    asked = [line for line in lines if line.entity_id == conflict.entity_id]
    answers = ("archived", "conflict_settled", "delete", "link", "restored", "unlinked")
    result = {"create_item": ["unlinked"], "delete_record": ["delete"]}
    result |= {"restore_record": ["restored"], "unlink": ["unlinked"]}
    # The item of a merged record is archived by a later pass.
    result |= {"merge_records": ["archived", "conflict_settled"]}
    assert [line.kind for line in asked if line.kind in answers] == result.get(act, ["conflict_settled"])
