"""A board's validation: required columns and rules are told, and what breaks them is refused as a list."""

from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

CREATE = """mutation ($b: ID!, $v: JSON) { create_item(board_id: $b, item_name: "Ada", column_values: $v) { id } }"""
CHANGE = """mutation ($b: ID!, $i: ID, $v: JSON!) {
    change_multiple_column_values(board_id: $b, item_id: $i, column_values: $v) { id }
}"""
ADD = "mutation ($b: ID!, $r: ValidationRuleInput!) { create_validation_rule(id: $b, rule: $r) { id if then } }"


def constraint(column: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"groups": [{"operator": operator, "column_id": column, "compare_value": list(values)}]}


@pytest.fixture
def ruled(simulator: Simulator) -> str:
    board = simulator.board({"age": "numbers", "born": "date", "notes": "text", "stage": "status"})
    require = 'mutation ($b: ID!) { add_required_column(id: $b, column_id: "notes") { required_column_ids } }'
    assert simulator.data(require, b=board)["add_required_column"] == {"required_column_ids": ["notes"]}
    for column, operator, values in (
        ("age", "GREATER_THAN_OR_EQUALS", [18]),
        ("born", "BETWEEN", ["1900-01-01", "2010-12-31"]),
        ("stage", "ANY_OF", [1]),
    ):
        simulator.data(ADD, b=board, r={"then": constraint(column, operator, *values)})
    return board


def broken(simulator: Simulator, document: str, **variables: Any) -> set[str]:
    error = simulator.refusal(document, **variables)["extensions"]
    assert (error["code"], error["status_code"]) == ("DATA_VALIDATIONS_ERROR", 422)
    assert all(rule["message"] for rule in error["error_data"])
    return {column for rule in error["error_data"] for column in rule["columnIds"]}


def test_a_new_item_is_refused_with_every_rule_that_it_breaks(simulator: Simulator, ruled: str) -> None:
    values = '{"age": "17", "born": {"date": "2011-01-01"}, "stage": {"label": "Stuck"}}'
    assert broken(simulator, CREATE, b=ruled, v=values) == {"age", "born", "notes", "stage"}
    fine = '{"age": "18", "born": {"date": "2010-12-31"}, "stage": {"label": "Done"}, "notes": "x"}'
    assert simulator.data(CREATE, b=ruled, v=fine)["create_item"]["id"]


def test_a_change_is_refused_only_for_what_it_changes(simulator: Simulator, ruled: str) -> None:
    item = simulator.data(CREATE, b=ruled, v='{"notes": "x"}')["create_item"]["id"]
    simulator.data(CHANGE, b=ruled, i=item, v='{"age": "20"}')
    assert broken(simulator, CHANGE, b=ruled, i=item, v='{"age": "3", "notes": null}') == {"age", "notes"}
