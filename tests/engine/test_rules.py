"""The rules that decide without asking: NPD wins, Monday wins, the newer edit, lists united."""

from datetime import timedelta

from pghistory.core import event_models

from npd.models import Contact
from sync.models import Decision, FieldMapping
from tests.support.world import World


def rule(key: str, which: str) -> None:
    FieldMapping.objects.filter(key=key).update(rule=which)


def edited_in_npd(contact: Contact, *, seconds_ago: int, **values: str) -> None:
    """An edit that NPD's history dates so many seconds back."""
    Contact.objects.filter(pk=contact.pk).update(**values)
    [history] = event_models(tracks_model=Contact)
    newest = history._default_manager.filter(pgh_obj_id=contact.pk).latest("pgh_id")
    at = newest.pgh_created_at - timedelta(seconds=seconds_ago)
    history._default_manager.filter(pk=newest.pk).update(pgh_created_at=at)


def clash(world: World, which: str) -> Contact:
    """Both sides change the role differently, Monday ten seconds after NPD."""
    contact = world.linked(role_title="Old")
    rule("role_title", which)
    edited_in_npd(contact, seconds_ago=10, role_title="Ours")
    world.edit(contact, "role_title", "Theirs")
    world.hear(contact)
    return contact


def test_by_the_rule_newest_mondays_later_edit_wins(world: World) -> None:
    contact = clash(world, "newest")
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Theirs", "Theirs")
    assert world.status(contact) == "synced"
    line = Decision.objects.filter(entity_id=contact.pk, values__overridden=True).latest("id")
    assert (line.values["before"], "newer" in line.sentence) == ("Ours", True)


def test_a_conflict_on_a_field_that_is_synced_no_longer_closes_with_that_reason(world: World) -> None:
    contact = clash(world, "ask")
    FieldMapping.objects.filter(key="role_title").update(direction="none")
    world.look(contact)
    closed = Decision.objects.get(entity_id=contact.pk, kind="conflict_over")
    assert closed.values["why"] == "Its direction is “Sync off”."
    assert (world.status(contact), world.values(contact)["role_title"]) == ("synced", "Theirs")
