"""The sandbox's schema against Monday's own file, and every field of it answered."""

import os
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_leaf_type,
)

from tests.sandbox.conftest import COLUMNS, ROOT, Simulator

OURS = ROOT / "sandbox" / "schema.graphql"


@pytest.fixture(scope="module")
def ours() -> GraphQLSchema:
    return build_schema(OURS.read_text(encoding="utf-8"))


def arguments(field: Any) -> dict[str, str]:
    return {name: f"{argument.type} = {argument.default_value}" for name, argument in field.args.items()}


def differences(one: Any, official: Any) -> list[str]:
    if isinstance(one, GraphQLEnumType):
        return [] if set(one.values) == set(official.values) else [f"{one.name}: other values"]
    if isinstance(one, GraphQLInputObjectType):
        mine = {name: f"{field.type} = {field.default_value}" for name, field in one.fields.items()}
        theirs = {name: f"{field.type} = {field.default_value}" for name, field in official.fields.items()}
        return [] if mine == theirs else [f"{one.name}: other fields"]
    if not isinstance(one, GraphQLObjectType | GraphQLInterfaceType):
        return []
    found = []
    for name, field in one.fields.items():
        theirs = official.fields.get(name)
        if theirs is None or str(theirs.type) != str(field.type) or arguments(theirs) != arguments(field):
            found.append(f"{one.name}.{name}")
    return found


def test_the_schema_says_what_monday_s_own_says(ours: GraphQLSchema) -> None:
    named = os.environ.get("MONDAY_SCHEMA")
    if not named:
        pytest.skip("MONDAY_SCHEMA does not name Monday's schema file")
    official = build_schema(Path(named).read_text(encoding="utf-8"))
    own = {name: one for name, one in ours.type_map.items() if not name.startswith("__")}
    assert [name for name in own if name not in official.type_map] == []
    assert [line for name, one in own.items() for line in differences(one, official.type_map[name])] == []


def leaves(schema: GraphQLSchema, name: str) -> str:
    """The fields of a type that hold no further type and need no argument."""
    one: Any = schema.type_map[name]
    return " ".join(key for key, field in one.fields.items() if is_leaf_type(get_named_type(field.type)))


def value_fields(schema: GraphQLSchema) -> str:
    """All leaf fields of all column value types."""
    interface: Any = schema.type_map["ColumnValue"]
    kinds = sorted(one.name for one in schema.get_possible_types(interface))
    return " ".join(f"... on {kind} {{ {leaves(schema, kind)} }}" for kind in kinds)


def test_every_field_of_a_board_is_answered(simulator: Simulator, board: str, ours: GraphQLSchema) -> None:
    simulator.item(board, role="Buyer")
    found = simulator.data(
        f"query ($b: [ID!]) {{ boards(ids: $b) {{ {leaves(ours, 'Board')}"
        f" columns {{ {leaves(ours, 'Column')} }}"
        f" groups {{ {leaves(ours, 'Group')} }}"
        f" activity_logs {{ {leaves(ours, 'ActivityLogType')} }} }} }}",
        b=[board],
    )["boards"][0]
    assert (found["items_count"], found["items_limit"]) == (1, 10_000)


def test_every_field_of_an_item_is_answered(simulator: Simulator, board: str, ours: GraphQLSchema) -> None:
    item = simulator.item(board, role="Buyer")
    found = simulator.data(
        f"query ($i: [ID!]) {{ items(ids: $i) {{ {leaves(ours, 'Item')} board {{ id }} group {{ id }}"
        f" column_values {{ column {{ id }} {value_fields(ours)} }} }} }}",
        i=[item],
    )["items"][0]
    assert found["board"]["id"] == board
    assert len(found["column_values"]) == len(COLUMNS)


def test_every_field_of_the_account_is_answered(simulator: Simulator, ours: GraphQLSchema) -> None:
    found = simulator.data(
        f"{{ me {{ {leaves(ours, 'User')} }} account {{ {leaves(ours, 'Account')} plan {{ {leaves(ours, 'Plan')} }} }}"
        f" version {{ {leaves(ours, 'Version')} }} complexity {{ {leaves(ours, 'Complexity')} }} }}"
    )
    assert found["me"]["kind"] == "admin"
