"""What a board's validation rules refuse blocks the fields that Monday names, in its words; the others are synced."""

from typing import Any

from tests.support.world import World


def refusing(world: World, column: str, words: str, *, writes: int = 1) -> None:
    """Monday refuses the next writes by a rule about this column, with these words."""
    broken = [{"itemId": None, "columnIds": [column], "message": words}]
    extensions: dict[str, Any] = {"code": "DATA_VALIDATIONS_ERROR", "status_code": 422, "error_data": broken}
    error = {"message": "data_validation_error", "path": ["r0"], "extensions": extensions}
    world.sandbox.faults({"status": 200, "on": "mutation", "count": writes, "body": {"data": None, "errors": [error]}})


def test_a_refused_value_of_a_change_is_blocked_and_the_others_are_sent(world: World) -> None:
    contact = world.linked(role_title="REQ-1", notes="n")
    refusing(world, "role_title", "'Role' must begin with REQ-")
    world.save(contact, role_title="Boss", notes="new")
    assert "'Role' must begin with REQ-" in world.held(contact, "role_title")
    assert (world.values(contact)["role_title"], world.values(contact)["notes"]) == ("REQ-1", "new")


def test_an_item_is_made_without_the_refused_value(world: World) -> None:
    contact = world.contact("Ann", role_title="Boss", notes="n")
    refusing(world, "role_title", "'Role' must begin with REQ-")
    world.work()
    assert "'Role' must begin with REQ-" in world.held(contact, "role_title")
    assert (world.values(contact)["role_title"], world.values(contact)["notes"]) == ("", "n")


def test_a_rule_about_a_column_that_was_not_sent_blames_no_value(world: World) -> None:
    contact = world.contact("Ann", notes="n")
    refusing(world, "role_title", "'Role' must not be empty", writes=2)
    world.work()
    assert "must not be empty" in world.row(contact).error_message
    assert world.ledger(contact).blocked_fields == {}
