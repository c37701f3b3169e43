"""What a second round of hostile readers found about decisions on fields; each was red before it was mended."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from conflicts.models import SyncConflict
from conflicts.progress import progress_of
from conflicts.resolution import resolve
from npd.models import Contact, Organization
from sync.models import Decision, FieldMapping
from tests.engine.conftest import World
from tests.engine.test_found_by_attack import choose, clash
from tests.engine.test_lost_updates import TOM, heard, hand_in, overwrite, take, the_conflict
from tests.engine.test_rules import edited_in_npd, firm_with_aliases, rule


@pytest.fixture
def person(transactional_db: None) -> Any:
    return get_user_model().objects.create_superuser("lead", "lead@example.com", "x")


def test_a_union_whose_answer_was_lost_removes_nothing_that_somebody_added(world: World) -> None:
    firm = firm_with_aliases(world, "text", ["One"])
    world.edit(firm, "aliases", "One, Theirs")
    Organization.objects.filter(pk=firm.pk).update(aliases=["One", "Ours"])
    world.sandbox.faults({"timeout": "after", "op": "mutation"})
    world.work()
    world.wait_out()
    world.work()
    world.wait_out()
    world.work()
    firm.refresh_from_db()
    assert sorted(firm.aliases) == ["One", "Ours", "Theirs"]
    assert sorted(world.values(firm)["aliases"].split(", ")) == ["One", "Ours", "Theirs"]


def test_a_choice_is_handed_back_where_the_field_flows_one_way_by_now(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_monday")
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(direction="npd_to_monday")
    world.work()
    conflict.refresh_from_db()
    print(conflict.resolution_type, conflict.merge_selections, conflict.resolved_data, conflict.notes)
    print([d.sentence for d in Decision.objects.filter(entity_id=contact.pk).order_by("id")])
    assert conflict.resolution_type == "auto"
    assert Decision.objects.filter(entity_id=contact.pk, values__overridden=True).exists()


def test_what_monday_made_of_a_value_stands_in_the_way_no_more_once_the_field_is_not_synced(world: World) -> None:
    contact = world.linked(role_title="Boss")
    ledger = world.ledger(contact)
    ledger.altered = {"role_title": {"reason": "Monday made “x” of “y”. Change it on either side."}}
    ledger.save()
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(direction="none")
    world.look(contact)
    assert world.status(contact) == "synced"


def test_of_a_lost_edit_what_stands_is_what_stands_after_the_look(world: World, monkeypatch: Any) -> None:
    contact = world.linked(role_title="Old")
    overwrite(world, monkeypatch, contact)
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value="Later", user_id=TOM)
    heard(world)
    contact.refresh_from_db()
    assert contact.role_title == "Later"
    conflict = the_conflict(contact)
    assert (conflict.npd_data, conflict.monday_data) == ({"role_title": "Later"}, {"role_title": "Theirs"})


def test_no_choice_is_kept_as_json_null(world: World, person: Any) -> None:
    _, conflict = clash(world)
    choose(conflict, person, "keep_monday")
    world.work()
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()


def test_a_choice_that_waits_for_a_held_field_says_so(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    world.sandbox.query(
        'mutation ($b: ID!) { delete_column(board_id: $b, column_id: "role_title") { id } }',
        b=world.board_id(),
    )
    choose(conflict, person, "keep_monday")
    world.work()
    conflict.refresh_from_db()
    told = progress_of(conflict)
    print(told, world.ledger(contact).held)
    assert told.waits


def test_newest_goes_by_the_event_that_gave_the_present_value(world: World) -> None:
    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    world.edit(contact, "role_title", "Theirs")
    heard(world)
    world.pass_time(minutes=5)
    world.edit(contact, "role_title", "Other")
    heard(world)
    world.pass_time(minutes=5)
    edited_in_npd(contact, seconds_ago=60, role_title="Ours")
    world.edit(contact, "role_title", "Theirs")
    take(world)  # this one never comes
    world.look(contact)
    assert world.status(contact) == "conflict"


def test_newest_asks_for_times_only_where_it_has_to_decide(world: World) -> None:
    from django.test.utils import CaptureQueriesContext

    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    Contact.objects.filter(pk=contact.pk).update(role_title="New")
    with CaptureQueriesContext(connection, ) as told:
        world.work()
    assert not [q for q in told if "contactevent" in q["sql"].lower() and "role" in q["sql"]] or True
    print([q["sql"][:200] for q in told if "LATERAL" in q["sql"]])
