"""What a board's own validation asks is known before a value is sent; set-up and each night read it."""

from typing import Any

from sync import registry
from sync.boards.board_setup import set_up
from sync.limits import metered_client
from sync.models import SyncQueue
from sync.operations.detect import board_problems
from sync.operations.detect.comparison import compare_board
from tests.support.world import World

REQUIRE = "mutation ($b: ID!, $c: String!) { add_required_column(id: $b, column_id: $c) { required_column_ids } }"
RELEASE = "mutation ($b: ID!, $c: String!) { remove_required_column(id: $b, column_id: $c) { required_column_ids } }"
ADD = "mutation ($b: ID!, $r: ValidationRuleInput!) { create_validation_rule(id: $b, rule: $r) { id } }"
DELETE = "mutation ($b: ID!, $r: ID!) { delete_validation_rule(id: $b, rule_id: $r) { id } }"


def change_board(world: World, document: str, **variables: Any) -> dict[str, Any]:
    """An administrator of the board changes its validation."""
    answer = world.sandbox.query(document, b=world.board_id(), **variables)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def add_rule(world: World, column: str, operator: str, *values: Any) -> str:
    groups = [{"operator": operator, "column_id": column, "compare_value": list(values)}]
    return str(change_board(world, ADD, r={"then": {"groups": groups}})["create_validation_rule"]["id"])


def night(world: World) -> None:
    """The board is compared, as every night."""
    link = registry.link_of("contact")
    assert link is not None
    compare_board(link)


def test_a_value_that_the_board_refuses_is_blocked_without_being_sent_until_the_rule_ends(world: World) -> None:
    contact = world.linked(role_title="REQ-1", notes="n")
    rule = add_rule(world, "role_title", "STARTS_WITH_TEXT", "REQ-")
    night(world)
    writes = world.calls("mutation")
    world.save(contact, role_title="Boss", notes="new")
    assert "begin with “REQ-”" in world.held(contact, "role_title")
    assert world.calls("mutation") == writes + 1
    assert (world.values(contact)["role_title"], world.values(contact)["notes"]) == ("REQ-1", "new")
    change_board(world, DELETE, r=rule)
    night(world)
    world.work(contact)
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Boss", "synced")


def test_a_record_waits_without_a_call_until_it_has_a_required_value_or_needs_none(world: World) -> None:
    change_board(world, REQUIRE, c="role_title")
    night(world)
    contact, other = world.contact("Ann"), world.contact("Bob")
    writes = world.calls("mutation")
    world.work()
    assert "requires a value" in world.ledger(contact).note
    assert "requires a value" in world.held(contact, "role_title")
    assert (world.calls("mutation"), world.status(contact)) == (writes, "pending")
    world.save(contact, role_title="Boss")
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Boss", "synced")
    change_board(world, RELEASE, c="role_title")
    night(world)
    world.work(other)
    assert (world.values(other)["name"], world.status(other)) == ("Bob", "synced")


def test_a_requirement_that_nobody_has_read_yet_blames_no_other_value(world: World) -> None:
    change_board(world, REQUIRE, c="role_title")
    contact = world.contact("Ann", notes="n")
    world.work()
    assert "must not be empty" in world.row(contact).error_message
    assert world.ledger(contact).blocked_fields == {}
    world.save(contact, role_title="Boss")
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Boss", "synced")


def test_set_up_reads_the_rules_and_says_which_required_column_nothing_fills(world: World) -> None:
    column = (
        'mutation ($b: ID!) { create_column(board_id: $b, title: "Region", id: "region", column_type: text) { id } }'
    )
    change_board(world, column)
    change_board(world, REQUIRE, c="region")
    change_board(world, REQUIRE, c="role_title")
    set_up(registry.entity("contact"), metered_client.connector())
    outcome = set_up(registry.entity("contact"), metered_client.connector())
    assert [problem for problem in outcome.problems if "“Region” (region)" in problem and "no new item" in problem]
    mapping = outcome.link.mappings.get(key="role_title")
    assert mapping.options["settings"]["validation"] == {"required": True}


def test_an_item_that_is_made_without_a_refused_value_has_what_the_board_requires(world: World) -> None:
    change_board(world, REQUIRE, c="role_title")
    night(world)
    add_rule(world, "notes", "STARTS_WITH_TEXT", "REQ-")
    contact = world.contact("Ann", role_title="Boss", notes="n")
    world.work()
    assert world.values(contact)["role_title"] == "Boss"
    assert "starts with text" in world.held(contact, "notes")
    assert not SyncQueue.objects.filter(entity_id=contact.pk, attempts__gt=1).exists()


def test_a_required_column_that_no_field_fills_makes_new_records_wait_until_it_is_optional(world: World) -> None:
    column = (
        'mutation ($b: ID!) { create_column(board_id: $b, title: "Region", id: "region", column_type: text) { id } }'
    )
    change_board(world, column)
    change_board(world, REQUIRE, c="region")
    night(world)
    contact, writes = world.contact("Ann"), world.calls("mutation")
    world.work()
    assert "“Region” (region)" in world.ledger(contact).note
    assert (world.calls("mutation"), world.status(contact)) == (writes, "pending")
    link = registry.link_of("contact")
    assert link is not None
    assert [one.about for one in board_problems(link, "Contacts") if "“Region” (region)" in one.why] == ["columns"]
    change_board(world, RELEASE, c="region")
    night(world)
    world.work(contact)
    assert (world.values(contact)["name"], world.status(contact)) == ("Ann", "synced")


def test_the_npd_id_column_may_be_required(world: World) -> None:
    link = registry.link_of("contact")
    assert link is not None
    change_board(world, REQUIRE, c=link.npd_id_column)
    night(world)
    contact = world.contact("Ann")
    world.work()
    assert world.status(contact) == "synced"
