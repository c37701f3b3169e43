"""What a second round of hostile readers found about decisions on fields; each was red before it was mended."""

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from conflicts.errors import BadResolution
from conflicts.models import SyncConflict
from conflicts.progress import progress_of
from npd.models import Contact, Organization
from sync.models import Decision, FieldMapping, MondayAccount
from tests.engine.conftest import World
from tests.engine.test_found_by_attack import choose, clash
from tests.engine.test_lost_updates import (
    TOKENS_USER,
    TOM,
    conflicts_of,
    hand_in,
    heard,
    overwrite,
    take,
    the_conflict,
)
from tests.engine.test_rules import edited_in_npd, firm_with_aliases, rule


@pytest.fixture
def person(transactional_db: None) -> Any:
    return get_user_model().objects.create_superuser("lead", "lead@example.com", "x")


def test_a_union_whose_answer_was_lost_removes_nothing_that_somebody_added(world: World) -> None:
    firm = firm_with_aliases(world, "text", ["One"])
    world.edit(firm, "aliases", "One, Theirs")
    Organization.objects.filter(pk=firm.pk).update(aliases=["One", "Ours"])
    world.sandbox.faults({"timeout": "after"})
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
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(
        direction="npd_to_monday"
    )
    world.work()
    conflict.refresh_from_db()
    assert conflict.resolution_type == "auto"
    assert Decision.objects.filter(entity_id=contact.pk, values__overridden=True).exists()


def test_what_monday_made_of_a_value_stands_in_the_way_no_more_once_the_field_is_not_synced(
    world: World,
) -> None:
    contact = world.linked(role_title="Boss")
    ledger = world.ledger(contact)
    ledger.altered = {"role_title": {"reason": "Monday made “x” of “y”. Change it on either side."}}
    ledger.save()
    mapping = FieldMapping.objects.filter(key="role_title", link__entity_type="contact")
    mapping.update(direction="none")
    world.look(contact)
    assert world.status(contact) == "synced"
    mapping.update(direction="bidirectional")
    world.look(contact)
    assert world.status(contact) == "pending"


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
    _, conflict = clash(world)
    world.sandbox.query(
        'mutation ($b: ID!) { delete_column(board_id: $b, column_id: "role_title") { id } }',
        b=world.board_id(),
    )
    choose(conflict, person, "keep_monday")
    world.work()
    conflict.refresh_from_db()
    assert "The column “Role” (role_title) is gone from the board" in progress_of(conflict).waits


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
    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    Contact.objects.filter(pk=contact.pk).update(role_title="New")
    with CaptureQueriesContext(connection) as told:
        world.work()
    histories = [q["sql"] for q in told if 'SELECT * FROM "npd_contactevent"' in q["sql"]]
    assert len(histories) == 1  # of the log's line, once for all records of a look


@pytest.mark.parametrize("fails", ["the read", "the write"])
def test_a_loss_found_in_a_look_that_fails_is_told_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    contact = world.linked(role_title="Old", notes="old")
    overwrite(world, monkeypatch, contact)
    world.deliver()
    if fails == "the write":
        Contact.objects.filter(pk=contact.pk).update(notes="new")
        world.sandbox.faults({"timeout": "before"})
    else:
        world.sandbox.faults({"status": 500, "count": 1})
    world.work()
    world.wait_out()
    world.work()
    assert the_conflict(contact).monday_data == {"role_title": "Theirs"}


@pytest.mark.parametrize(
    ("who", "heard_of", "stands"),
    [(int(TOKENS_USER), True, "Second"), (int(TOKENS_USER), False, "Second"), (TOM, True, "First")],
    ids=["ours, told", "ours, not told", "another user's"],
)
def test_a_write_without_an_answer_that_lands_hours_later_pulls_nothing_back(
    world: World, who: int, heard_of: bool, stands: str
) -> None:
    world.mon_pause()
    MondayAccount.objects.filter(id=1).update(user_id=TOKENS_USER)
    contact = world.linked(role_title="Old")
    Contact.objects.filter(pk=contact.pk).update(role_title="First")
    world.sandbox.faults({"timeout": "before", "on": "mutation"})
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Second")
    world.wait_out()
    world.work()
    heard(world)
    world.pass_time(hours=2)
    assert world.values(contact)["role_title"] == "Second"
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value="First", user_id=who)
    if heard_of:
        world.deliver()
    world.look(contact)
    contact.refresh_from_db()
    assert (contact.role_title, world.values(contact)["role_title"]) == (stands, stands)
    assert world.status(contact) == "synced"


def test_a_loss_that_was_settled_is_not_asked_about_again_when_the_sweep_tells_it_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch, person: Any
) -> None:
    contact = world.linked(role_title="Old")
    overwrite(world, monkeypatch, contact)
    kept = take(world)
    hand_in(world, kept)
    world.work()
    choose(the_conflict(contact), person, "keep_npd")
    world.work()
    for number in range(12):
        world.edit(contact, "role_title", f"Edit {number}")
        heard(world)
    again = []
    for body, authorization, path in kept:
        told = json.loads(body)
        told["event"]["triggerUuid"] += "x"
        again.append((json.dumps(told).encode(), authorization, path))
    hand_in(world, again)
    world.work()
    assert not conflicts_of(contact)
    assert world.status(contact) == "synced"


def test_the_last_agreed_value_of_another_column_can_not_be_chosen(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(
        version=F("version") + 1
    )
    world.look(contact)
    with pytest.raises(BadResolution, match="never agreed on a value"):
        choose(conflict, person, "merge", role_title={"choose": "base"})


def test_a_choice_of_the_last_agreed_value_comes_back_where_there_is_none_by_now(
    world: World, person: Any
) -> None:
    _, conflict = clash(world)
    choose(conflict, person, "merge", role_title={"choose": "base"})
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(
        version=F("version") + 1
    )
    world.work()
    conflict.refresh_from_db()
    assert conflict.left_open == ["role_title"], "nobody can choose anew while it is being applied"
    assert "no value to go back to" in conflict.choice_problem
