"""The rule “newest” knows when each side was edited, from NPD's history and Monday's events."""

from datetime import timedelta

from pghistory.core import event_models

from npd.models import Contact
from sync.models import ActivityLine, FieldMapping
from tests.support.world import World


def edited_in_npd(contact: Contact, *, seconds_ago: int, **values: str) -> None:
    """Edit a contact, and backdate the edit in NPD's history."""
    Contact.objects.filter(pk=contact.pk).update(**values)
    [history] = event_models(tracks_model=Contact)
    newest = history._default_manager.filter(pgh_obj_id=contact.pk).latest("pgh_id")
    at = newest.pgh_created_at - timedelta(seconds=seconds_ago)
    history._default_manager.filter(pk=newest.pk).update(pgh_created_at=at)


def test_by_the_rule_newest_mondays_later_edit_wins(world: World) -> None:
    contact = world.linked(role_title="Old")
    FieldMapping.objects.filter(key="role_title").update(rule="newest")
    edited_in_npd(contact, seconds_ago=10, role_title="Ours")
    world.edit(contact, "role_title", "Theirs")
    world.hear(contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Theirs", "Theirs")
    assert world.status(contact) == "synced"
    line = ActivityLine.objects.filter(entity_id=contact.pk, values__overridden=True).latest("id")
    assert (line.values["before"], "newer" in line.sentence) == ("Ours", True)
