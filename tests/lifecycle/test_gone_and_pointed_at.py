"""Records that name one whose item is gone: what a removal empties on the board empties nothing, and asks nobody."""

from typing import Any

from npd.models import Organization
from tests.engine.test_relations import cell, connected
from tests.lifecycle.conftest import asked, choose, quiet_passes, take_away
from tests.support.world import World

__all__ = ["connected"]


def settled(world: World) -> None:
    for _ in range(3):
        world.hear()


def test_a_removal_of_which_nothing_is_known_in_npd_empties_nothing_there(connected: World) -> None:
    """No webhook tells of it, and the organization's sync is off: only the item itself says why the cell is empty."""
    acme, beta = Organization.objects.create(name="Acme"), Organization.objects.create(name="Beta")
    contact = connected.linked(organization=acme)
    Organization.objects.filter(pk=acme.pk).update(sync_enabled=False)
    connected.work()
    acme.refresh_from_db()
    connected.pass_time(minutes=3)
    connected.sandbox.act("delete", item_id=acme.monday_id)
    calls = connected.calls()
    connected.look(contact)
    assert connected.calls() - calls == 2, "the contact's item, and the one that its cell named"
    contact.refresh_from_db()
    assert contact.organization == acme
    assert connected.ledger(contact).blocked_fields["organization"]["code"] == "relation"
    connected.save(contact, organization=beta)
    settled(connected)
    assert (cell(connected, contact), connected.status(contact)) == ("Beta", "synced")


def test_a_deleted_record_is_named_by_nobody_any_more_on_either_side(connected: World, pat: Any) -> None:
    acme = Organization.objects.create(name="Acme")
    contact = connected.linked(organization=acme)
    take_away(connected, acme, "delete")
    quiet_passes(connected)
    choose(asked(acme.pk), pat, "monday")
    connected.work()
    settled(connected)
    assert connected.status(contact) == "synced", connected.ledger(contact).blocked_fields
    assert contact.organization is None
    assert cell(connected, contact) == ""
