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

from tests.sandbox.conftest import ROOT

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
