"""The rules that decide without asking: NPD wins, Monday wins, the newer edit, lists united."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pghistory.core import event_models

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import connectors, registry
from sync.boards.board_setup import set_up
from sync.limits import metered_client
from sync.models import Decision, FieldMapping, WebhookEvent
from tests.engine.test_lost_updates import take
from tests.engine.test_relations import add_column, adopt
from tests.support.world import World


def rule(key: str, which: str, *, column: str = "rule") -> None:
    FieldMapping.objects.filter(key=key).update(**{column: which})


def edited_in_npd(contact: Contact, *, seconds_ago: int = 0, at: datetime | None = None, **values: str) -> None:
    """An edit as NPD's history would tell of it by now; the database's own clock can't be moved."""
    Contact.objects.filter(pk=contact.pk).update(**values)
    [history] = event_models(tracks_model=Contact)
    newest = history._default_manager.filter(pgh_obj_id=contact.pk).latest("pgh_id")
    at = at or newest.pgh_created_at - timedelta(seconds=seconds_ago)
    history._default_manager.filter(pk=newest.pk).update(pgh_created_at=at)


def clash(world: World, which: str) -> Contact:
    """Both sides change the role differently, Monday ten seconds after NPD."""
    contact = world.linked(role_title="Old")
    rule("role_title", which)
    edited_in_npd(contact, seconds_ago=10, role_title="Ours")
    world.edit(contact, "role_title", "Theirs")
    world.hear(contact)
    return contact


@pytest.mark.parametrize(("which", "won", "lost"), [("npd_wins", "Ours", "Theirs"), ("monday_wins", "Theirs", "Ours")])
def test_what_a_rule_overrides_goes_to_the_history_with_what_takes_it_back(
    world: World, which: str, won: str, lost: str
) -> None:
    contact = clash(world, which)
    assert (contact.role_title, world.values(contact)["role_title"]) == (won, won)
    line = Decision.objects.filter(entity_id=contact.pk, key="role_title", values__overridden=True).latest("id")
    assert (line.values["before"], line.values["after"]) == (lost, won)
    assert (line.values["raw_before"], line.values["raw_after"]) == ({"role_title": lost}, {"role_title": won})


# --- newest ---------------------------------------------------------------------------------------------------------


def test_by_the_rule_newest_mondays_later_edit_wins(world: World) -> None:
    contact = clash(world, "newest")
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Theirs", "Theirs")
    assert world.status(contact) == "synced"
    line = Decision.objects.filter(entity_id=contact.pk, values__overridden=True).latest("id")
    assert (line.values["before"], "newer" in line.sentence) == ("Ours", True)


def test_an_edit_of_another_field_makes_this_one_no_newer(world: World) -> None:
    """A record's updated_at is no field's time."""
    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    edited_in_npd(contact, seconds_ago=10, role_title="Ours")
    world.edit(contact, "role_title", "Theirs")
    world.deliver()
    world.save(contact, notes="later than both")
    assert (world.values(contact)["role_title"], world.values(contact)["notes"]) == ("Theirs", "later than both")


def test_edits_within_five_seconds_are_asked_about(world: World) -> None:
    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    world.edit(contact, "role_title", "Theirs")
    world.deliver()
    told = connectors.get().parse_event(WebhookEvent.objects.latest("id").body)
    theirs = told.changed_at or told.happened_at
    assert theirs is not None
    # However long the machine took from the one edit to the other.
    edited_in_npd(contact, at=theirs + timedelta(seconds=4), role_title="Ours")
    world.work()
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    assert "within 5 seconds" in conflict.notes["role_title"]


def test_without_an_event_nobody_knows_when_monday_was_edited_so_a_person_is_asked(world: World) -> None:
    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    world.edit(contact, "role_title", "Theirs")
    world.pass_time(seconds=30)
    world.save(contact, role_title="Ours")
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    assert "on Monday is not known" in conflict.notes["role_title"]


# --- union ----------------------------------------------------------------------------------------------------------


def firm_with_aliases(world: World, kind: str, aliases: list[str]) -> Organization:
    add_column(world, "organization", "Aliases", kind)
    adopt("organization")
    rule("aliases", "union")
    firm = Organization.objects.create(name="Acme", aliases=aliases)
    world.work()
    world.hear(firm)
    assert firm.sync_status == "synced"
    return firm


@pytest.mark.parametrize("kind", ["text", "tags"])
def test_lists_are_united_what_either_added_joins_and_what_either_removed_goes(world: World, kind: str) -> None:
    firm = firm_with_aliases(world, kind, ["One", "Two", "Three"])
    there = board_value(world, kind, ["Two", "Three", "Theirs"])
    world.edit(firm, "aliases", there)
    Organization.objects.filter(pk=firm.pk).update(aliases=["One", "Two", "Ours"])
    world.hear(firm)
    assert sorted(firm.aliases) == ["Ours", "Theirs", "Two"]
    assert sorted(world.values(firm)["aliases"].split(", ")) == ["Ours", "Theirs", "Two"]
    assert world.status(firm) == "synced", world.ledger(firm).blocked_fields


def board_value(world: World, kind: str, elements: list[str]) -> Any:
    if kind == "text":
        return ", ".join(elements)
    board = world.board_id("organization")
    made = [
        world.sandbox.query(
            "mutation ($n: String!, $b: ID) { create_or_get_tag(tag_name: $n, board_id: $b) { id } }", n=name, b=board
        )["data"]["create_or_get_tag"]["id"]
        for name in elements
    ]
    return {"tag_ids": [int(tag) for tag in made]}


def test_without_a_base_lists_are_both(world: World) -> None:
    add_column(world, "organization", "Aliases", "text")
    adopt("organization")
    rule("aliases", "union", column="first_match")
    world.sandbox.act("add", board_id=world.board_id("organization"), name="Acme", values={"aliases": "B, C"})
    firm = Organization.objects.create(name="Acme", aliases=["A", "B"])
    world.work(firm)
    assert (sorted(firm.aliases), world.status(firm)) == (["A", "B", "C"], "synced")
    assert sorted(world.values(firm)["aliases"].split(", ")) == ["A", "B", "C"]


def test_an_element_that_the_column_cant_carry_is_held_and_nothing_is_lost(world: World) -> None:
    firm = firm_with_aliases(world, "text", ["One"])
    world.edit(firm, "aliases", "One, Theirs")
    Organization.objects.filter(pk=firm.pk).update(aliases=["One", "Smith, Jones"])
    world.hear(firm)
    assert "“Smith, Jones” holds a comma" in world.ledger(firm).blocked_fields["aliases"]["reason"]
    assert (firm.aliases, world.values(firm)["aliases"]) == (["One", "Smith, Jones"], "One, Theirs")
    world.save(firm, aliases=["One", "Smith"])
    firm.refresh_from_db()
    assert (sorted(firm.aliases), world.status(firm)) == (["One", "Smith", "Theirs"], "synced")


def test_a_text_that_is_no_list_is_asked_about_under_the_rule_union(world: World) -> None:
    contact = clash(world, "union")
    assert world.status(contact) == "conflict"
    assert "only lists" in SyncConflict.objects.get(entity_id=contact.pk).notes["role_title"]


def test_set_up_leaves_a_rule_as_a_person_chose_it(world: World) -> None:
    rule("role_title", "newest")
    set_up(
        next(s for s in registry.entities() if s.entity_type == "contact"),
        connectors.get()(metered_client.client().inner),
    )
    assert FieldMapping.objects.get(key="role_title").rule == "newest"


def test_a_union_whose_answer_was_lost_removes_nothing_that_somebody_added(world: World) -> None:
    firm = firm_with_aliases(world, "text", ["One"])
    world.edit(firm, "aliases", "One, Theirs")
    Organization.objects.filter(pk=firm.pk).update(aliases=["One", "Ours"])
    world.sandbox.faults({"timeout": "after"})
    world.work()
    world.settle()
    world.settle(firm)
    assert sorted(firm.aliases) == ["One", "Ours", "Theirs"]
    assert sorted(world.values(firm)["aliases"].split(", ")) == ["One", "Ours", "Theirs"]


def test_newest_goes_by_the_event_that_gave_the_present_value(world: World) -> None:
    contact = world.linked(role_title="Old")
    rule("role_title", "newest")
    world.edit(contact, "role_title", "Theirs")
    world.hear()
    world.pass_time(minutes=5)
    world.edit(contact, "role_title", "Other")
    world.hear()
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
