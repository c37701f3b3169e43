"""Emptied fields: few pass, many wait for approval, and a held value stays on the other side."""

from typing import Any

import pytest

from npd.models import Contact
from sync.choices import ApprovalState
from sync.models import ApprovalRequest
from sync.records.approvals import release_obsolete
from tests.support.world import World, staged


@staged
def linked(world: World, number: int, **values: Any) -> list[Contact]:
    defaults = {"phone": "+442079460018", "role_title": "Boss", "notes": "old"} | values
    contacts = [world.contact(f"Ann {n}", **defaults) for n in range(number)]
    world.work()
    world.hear()
    assert {world.status(contact) for contact in contacts} == {"synced"}
    return contacts


def empty_in_npd(contacts: list[Contact], field: str = "phone") -> None:
    for contact in contacts:
        contact.refresh_from_db()
    Contact.objects.filter(pk__in=[c.pk for c in contacts]).update(**{field: ""})


def empty_on_monday(world: World, contacts: list[Contact], column: str = "phone") -> None:
    for contact in contacts:
        world.edit(contact, column, None)
    world.deliver()


def states() -> list[str]:
    return sorted(ApprovalRequest.objects.values_list("state", flat=True))


def pending_requests() -> Any:
    return ApprovalRequest.objects.filter(state=ApprovalState.PENDING)


def phones_on_monday(world: World, contacts: list[Contact]) -> list[str]:
    return [world.values(contact)["phone"] for contact in contacts]


class Killed(BaseException):
    """Stands for kill -9: nothing in the code under test catches it."""


def die() -> None:
    raise Killed


def test_a_look_that_would_empty_too_many_cells_holds_them_all_and_other_fields_flow(world: World) -> None:
    contacts = linked(world, 3)
    empty_in_npd(contacts)
    Contact.objects.update(role_title="Chair")
    world.work()
    assert {world.values(c)["role_title"] for c in contacts} == {"Chair"}
    assert all(phones_on_monday(world, contacts))
    assert [world.status(c) for c in contacts] == ["pending"] * 3
    assert "phone" in world.sync_state(contacts[0]).blocked_fields
    pending = ApprovalRequest.objects.filter(state="pending").values_list("entity_type", "kind")
    assert list(pending) == [("contact", "clear_monday")] * 3
    # Another field of waiting records waits too.
    empty_in_npd(contacts, "notes")
    world.work()
    assert {world.values(c)["notes"] for c in contacts} == {"old"}


def test_a_worker_that_dies_unsent_has_counted(world: World) -> None:
    contacts = linked(world, 3)
    empty_in_npd(contacts[:2])
    world.meanwhile(die, before="mutation")
    with pytest.raises(Killed):
        world.work()
    assert states() == [ApprovalState.DONE] * 2
    world.work(minutes=4)
    empty_in_npd(contacts[2:])
    world.work()
    assert [bool(phone) for phone in phones_on_monday(world, contacts)] == [False, False, True]
    assert states() == [ApprovalState.DONE, ApprovalState.DONE, ApprovalState.PENDING]


def test_a_clear_that_is_over_lets_itself_go(world: World) -> None:
    *contacts, deleted = linked(world, 5)
    filled, emptied, clashing, off = contacts
    empty_in_npd([*contacts, deleted])
    world.work()
    assert states() == [ApprovalState.PENDING] * 5
    Contact.objects.filter(pk=filled.pk).update(phone="+442079460018")
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    world.edit(clashing, "phone", "+442079460099")
    empty_on_monday(world, [emptied])
    Contact.objects.filter(pk=deleted.pk).update(role_title="Chair")
    world.meanwhile(lambda: Contact.objects.filter(pk=deleted.pk).delete(), after="read")
    world.work()
    assert release_obsolete() == 2  # of those that no pass settles any more
    assert states() == [ApprovalState.DONE] + [ApprovalState.RELEASED] * 5  # done: to archive the deleted one's item
    assert [world.status(c) for c in contacts] == ["synced", "synced", "conflict", "disabled"]
