"""The sandbox's schema against Monday's own file."""

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
)

from tests.support.servers import ROOT

OURS = ROOT / "sandbox" / "schema.graphql"


@pytest.fixture(scope="module")
def ours() -> GraphQLSchema:
    return build_schema(OURS.read_text(encoding="utf-8"))


def arguments(field: Any) -> dict[str, str]:
    return {name: f"{argument.type} = {argument.default_value}" for name, argument in field.args.items()}


def differences(mine_type: Any, official: Any) -> list[str]:
    if isinstance(mine_type, GraphQLEnumType):
        return [] if set(mine_type.values) == set(official.values) else [f"{mine_type.name}: other values"]
    if isinstance(mine_type, GraphQLInputObjectType):
        mine = {name: f"{field.type} = {field.default_value}" for name, field in mine_type.fields.items()}
        theirs = {name: f"{field.type} = {field.default_value}" for name, field in official.fields.items()}
        return [] if mine == theirs else [f"{mine_type.name}: other fields"]
    if not isinstance(mine_type, GraphQLObjectType | GraphQLInterfaceType):
        return []
    differing = []
    for name, field in mine_type.fields.items():
        theirs = official.fields.get(name)
        if theirs is None or str(theirs.type) != str(field.type) or arguments(theirs) != arguments(field):
            differing.append(f"{mine_type.name}.{name}")
    return differing


def test_the_schema_says_what_monday_s_own_says(ours: GraphQLSchema) -> None:
    named = os.environ.get("MONDAY_SCHEMA")
    if not named:
        pytest.skip("MONDAY_SCHEMA does not name Monday's schema file")
    official = build_schema(Path(named).read_text(encoding="utf-8"))
    own = {name: type_ for name, type_ in ours.type_map.items() if not name.startswith("__")}
    assert [name for name in own if name not in official.type_map] == []
    assert [line for name, type_ in own.items() for line in differences(type_, official.type_map[name])] == []
