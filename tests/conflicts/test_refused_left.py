"""What becomes of a value that was left in NPD when its cell, its column or its record goes through something."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conflicts.answers import answer_rejection, last_answer, undo_answer
from conflicts.models import SyncConflict
from conflicts.rejections import Rejection
from conflicts.resolution import InvalidResolution, NotOpen
from npd.models import Contact
from sync.choices import Cause
from sync.kernel.messages import NotAllowed
from sync.models import FieldMapping, SyncMetadata
from sync.reconcile.field_values import stored_values
from tests.conflicts.conftest import GOOD, REFUSED
from tests.conflicts.test_refused import choose, form, named, page_of, refuse, waits
from tests.drift.conftest import Owner
from tests.support.people import staff_who_may
from tests.support.world import World

pytestmark = pytest.mark.django_db
OTHER = "bea@example.com"


@pytest.fixture
def owner(world: World) -> Owner:
    found = Owner(world)
    found.sweep()
    return found


def leave(world: World, ada: User) -> Contact:
    contact = refuse(world)
    choose(contact, ada, "npd")
    world.work()
    assert world.status(contact) == "synced"
    return contact


def write(world: World, contact: Contact, email: str) -> None:
    world.edit(contact, "email", {"email": email, "text": email})


def rule(name: str) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="email").update(rule=name)


def entry(world: World, contact: Contact) -> dict[str, Any]:
    return dict(world.ledger(contact).blocked_fields.get("email", {}))


def test_a_column_that_is_gone_for_a_while_does_not_make_a_left_value_be_sent(
    world: World, owner: Owner, ada: User
) -> None:
    contact = leave(world, ada)
    owner.column("email", "delete")
    owner.sweep()
    world.look(contact)
    assert (world.status(contact), entry(world, contact)["side"]) == ("pending", "npd")
    owner.column("email", "restore")
    mutations = world.calls("mutation")
    world.pass_time(hours=2)
    owner.sweep()
    world.look(contact, Cause.PERSON)
    assert world.calls("mutation") == mutations
    assert world.status(contact) == "synced"
    assert not waits()
    assert entry(world, contact)["kept_by"]["who"] == "Ada"


def test_a_value_that_is_changed_while_its_cell_can_not_be_read_is_left_no_more(
    world: World, owner: Owner, ada: User
) -> None:
    contact = leave(world, ada)
    owner.column("email", "delete")
    owner.sweep()
    Contact.objects.filter(pk=contact.pk).update(email=OTHER)
    world.work()
    assert "kept" not in entry(world, contact)
    Contact.objects.filter(pk=contact.pk).update(email=REFUSED)
    world.work()
    owner.column("email", "restore")
    owner.sweep()
    assert waits() == [("Ann", "email")]


def test_a_conflict_that_closes_by_itself_does_not_make_a_left_value_be_sent(world: World, ada: User) -> None:
    contact = leave(world, ada)
    write(world, contact, OTHER)
    world.look(contact)
    assert world.status(contact) == "conflict"
    write(world, contact, GOOD)
    mutations = world.calls("mutation")
    world.look(contact)
    world.look(contact, Cause.PERSON)
    assert world.calls("mutation") == mutations
    assert not SyncConflict.objects.filter(resolved_at=None)
    assert world.status(contact) == "synced"


def test_of_a_cell_that_was_emptied_the_empty_value_is_shown_and_taken(world: World, ada: User) -> None:
    contact = world.linked("Ann", email=GOOD)
    rule("npd_wins")
    world.edit(contact, "email", {})
    Contact.objects.filter(pk=contact.pk).update(email=REFUSED)
    world.work()
    assert waits() == [("Ann", "email")]
    case = Rejection.of(named(contact))
    assert case is not None
    assert case.monday is None
    answer_rejection(named(contact), by=ada, choose="monday", value="", seen={"npd": REFUSED, "monday": None})
    contact.refresh_from_db()
    assert not contact.email


def test_what_is_taken_from_monday_is_what_is_shown_also_where_we_sent_another(rejected: Contact, ada: User) -> None:
    """What Monday answered to our write was somebody's edit: the base's halves differ."""
    ledger = SyncMetadata.objects.get()
    sent = ledger.base["email"] | {"as_sent": True, "local": {"email": "sent@example.com"}}
    SyncMetadata.objects.update(base=ledger.base | {"email": sent})
    choose(rejected, ada, "monday")
    assert Contact.objects.get().email == GOOD


def test_leaving_one_value_sends_no_other_that_monday_refused(world: World, ada: User) -> None:
    contact = refuse(world)
    mapping = FieldMapping.objects.get(link__entity_type="contact", key="phone")
    Contact.objects.filter(pk=contact.pk).update(phone="+4930123456")
    ledger = world.ledger(contact)
    phone = ledger.blocked_fields["email"] | {"column": mapping.column_id, "version": mapping.version}
    raw = stored_values(Contact.objects.get(pk=contact.pk), mapping)
    SyncMetadata.objects.filter(pk=ledger.pk).update(
        blocked_fields=ledger.blocked_fields | {"phone": phone | {"local": raw}}
    )
    world.work()
    assert waits() == [("Ann", "email"), ("Ann", "phone")]
    mutations = world.calls("mutation")
    choose(contact, ada, "npd")
    world.work()
    assert world.calls("mutation") == mutations
    assert ("Ann", "phone") in waits()


def test_an_undo_does_not_take_away_what_another_person_said_later(rejected: Contact, ada: User) -> None:
    first = choose(rejected, ada, "npd")
    undo_answer(first, by=ada)
    bob = User.objects.create_superuser("bob", "bob@x.test", "x", first_name="Bob")
    choose(rejected, bob, "npd")
    with pytest.raises(InvalidResolution, match="not kept different any more"):
        undo_answer(first, by=ada)
    with pytest.raises(NotOpen, match="Bob"):
        choose(rejected, ada, "npd")


def test_what_is_asked_again_during_a_look_that_comes_to_nothing_stays_asked(world: World, ada: User) -> None:
    contact = leave(world, ada)
    decision = last_answer(*named(contact))
    assert decision is not None
    world.meanwhile(lambda: undo_answer(decision, by=ada), after="read")
    world.sandbox.faults({"status": 503})
    world.look(contact)
    assert "kept_by" not in entry(world, contact)
    assert waits() == [("Ann", "email")]


def test_after_its_column_was_changed_the_value_of_the_old_one_is_not_shown(rejected: Contact, ada: User) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="email").update(version=99)
    case = Rejection.of(named(rejected))
    assert case is not None
    assert not case.entry
    with pytest.raises(NotOpen):
        choose(rejected, ada, "monday")


def test_to_empty_a_rejected_value_asks_for_the_right_to_change_the_record(world: World, client: Client) -> None:
    contact = world.contact("Ann", notes="x" * 2_500)
    world.work()
    clerk = staff_who_may("view_syncconflict", "change_syncconflict", "view_contact")
    client.force_login(clerk)
    row = client.get("/admin/").content.decode()
    assert ("keep_npd rejected:" in row, "keep_monday rejected:" in row) == (True, False)
    seen = {"npd": "x" * 2_500, "monday": None}
    answered = client.post(page_of(contact, "notes"), form("monday", key="notes", seen=seen) | {"confirmed": "yes"})
    assert (answered.status_code, waits()) == (403, [("Ann", "notes")])
    with pytest.raises(NotAllowed):
        answer_rejection(named(contact, "notes"), by=clerk, choose="monday", value="", seen=seen)
    assert Contact.objects.get().notes == seen["npd"]
