"""The documents that move records: what they ask, and that they are valid against Monday's schema."""

import importlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    get_named_type,
    is_required_input_field,
    parse,
    type_from_ast,
    validate,
)
from graphql.type import GraphQLInputObjectType, is_input_type, is_non_null_type

import sync.connectors.monday as connector
from sync.connectors.base.board_items import ItemChange, ItemCreate, ItemRemoval, MatchColumn
from sync.connectors.monday import board_events, board_structure, connection, graphql, items
from sync.connectors.monday.graphql import Document

COLUMNS = ["npd_id", "email_1"]
EMAIL = MatchColumn("email_1", "email")
NAME = MatchColumn("name", "name")
MOMENT = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TYPED = ["board_relation", "checkbox", "dropdown", "status", "tags"]


def _documents() -> Iterator[tuple[str, Document]]:
    yield "probe", graphql.probe_query()
    yield "read_items", items.items_query(["1", "2"], COLUMNS)
    yield "look by id", items.batch_query("7", ["1"], COLUMNS, "npd_id", [])
    yield "look by NPD ID", items.batch_query("7", [], COLUMNS, "npd_id", ["n-1"])
    yield "look by email", items.batch_query("7", ["1"], COLUMNS, "npd_id", ["n-1"], EMAIL, ["a@b.test"])
    yield "look by name", items.batch_query("7", [], COLUMNS, "npd_id", [], NAME, ["Ada"])
    yield "first page", items.first_page_query("7", COLUMNS)
    yield "next page", items.next_page_query("cursor", COLUMNS)
    yield (
        "change",
        items.change_items_mutation("7", [ItemChange("u0", "1", {"name": "Ada"}), ItemChange("u1", "2", {})], COLUMNS),
    )
    creates = [ItemCreate("c0", "Ada", {"email_1": None}), ItemCreate("c1", "Bob", {"npd_id": "n-2"})]
    yield "create", items.create_items_mutation("7", None, creates, COLUMNS)
    yield "create in a group", items.create_items_mutation("7", "topics", creates, COLUMNS)
    leaving = [ItemRemoval("a0", "1"), ItemRemoval("a1", "2")]
    yield "archive", items.removal_mutation("archive_item", leaving, COLUMNS, TYPED)
    yield "delete", items.removal_mutation("delete_item", leaving, COLUMNS)
    yield "read boards", Document(board_structure.READ_BOARDS, {"ids": ["7"]})
    yield "create board", Document(board_structure.CREATE_BOARD, {"title": "Contacts"})
    yield "create group", Document(board_structure.CREATE_GROUP, {"board": "7", "title": "Contacts"})
    column = {"board": "7", "title": "Email", "type": "email"}
    yield "create column", Document(board_structure.CREATE_COLUMN, column | {"id": "npd_email"})
    yield "create column without id", Document(board_structure.CREATE_COLUMN, column)
    relation = column | {"type": "board_relation", "defaults": '{"boardIds":[8]}'}
    yield "create column of connected boards", Document(board_structure.CREATE_COLUMN, relation)
    yield "read webhooks", Document(board_events.READ_WEBHOOKS, {"board": "7"})
    hook = {"board": "7", "url": "https://npd.test/", "event": "create_item"}
    yield "create webhook", Document(board_events.CREATE_WEBHOOK, hook)
    yield "delete webhook", Document(board_events.DELETE_WEBHOOK, {"id": "3"})
    for every in (set(TYPED), {"status"}, {"text", "people"}):
        words = ", ".join(sorted(every))
        yield f"read {words}", items.items_query(["1"], COLUMNS, every)
        yield f"look for {words}", items.batch_query("7", ["1"], COLUMNS, "npd_id", ["n-1"], types=every)
        yield f"page of {words}", items.first_page_query("7", COLUMNS, types=every)
        yield f"next page of {words}", items.next_page_query("cursor", COLUMNS, types=every)
        change = [ItemChange("u0", "1", {"status": {"label": "New"}})]
        yield f"change {words}", items.change_items_mutation("7", change, COLUMNS, every, create_labels=True)
        yield (
            f"create with {words}",
            items.create_items_mutation("7", "topics", creates, COLUMNS, every, create_labels=True),
        )
    yield "create tags", items.create_tags_mutation(["Key account", "Old"], "7")
    yield "create tags of the account", items.create_tags_mutation(["Key account"])
    yield "greeting", connection.account_info_query()
    yield "short greeting", Document(connection._SHORT_ACCOUNT_INFO, {})
    yield "users", connection.users_page(2)
    yield "what happened since", board_events.board_activity_query("7", MOMENT)
    yield "what happened since, without the log", board_events.board_activity_query("7", MOMENT, with_log=False)
    yield "page of the log", board_events.log_page_query("7", MOMENT, None, 2)
    yield "page of the log up to a time", board_events.log_page_query("7", MOMENT, MOMENT, 1)
    yield "page of touched items", board_events.updated_items_query("cursor")
    yield "list of boards", Document(board_structure.LIST_BOARDS, {"page": 1, "limit": 100})


DOCUMENTS = dict(_documents())


def _schema(path: Path | None, why: str) -> GraphQLSchema:
    if path is None or not path.is_file():
        pytest.skip(why)
    return build_schema(path.read_text())


@pytest.fixture(scope="module")
def official() -> GraphQLSchema:
    named = os.environ.get("MONDAY_SCHEMA")
    return _schema(Path(named) if named else None, "MONDAY_SCHEMA names no file with Monday's schema")


@pytest.fixture(scope="module")
def sandbox() -> GraphQLSchema:
    path = Path(__file__).resolve().parents[2] / "sandbox" / "schema.graphql"
    return _schema(path, "the sandbox has no schema yet (sandbox/schema.graphql)")


def test_every_document_is_valid_against_monday_s_schema(official: GraphQLSchema) -> None:
    assert {name: found for name, document in DOCUMENTS.items() if (found := _faults(official, document))} == {}


def test_every_document_is_valid_against_the_sandbox_s_schema(sandbox: GraphQLSchema) -> None:
    assert {name: found for name, document in DOCUMENTS.items() if (found := _faults(sandbox, document))} == {}


def _faults(schema: GraphQLSchema, document: Document) -> list[str]:
    tree = parse(document.text)
    found = [error.message for error in validate(schema, tree)]
    (operation,) = (node for node in tree.definitions if isinstance(node, OperationDefinitionNode))
    definitions = operation.variable_definitions or ()
    declared = {node.variable.name.value: type_from_ast(schema, node.type) for node in definitions}
    required = {name for name, kind in declared.items() if is_non_null_type(kind)}
    if not required <= set(document.variables) <= set(declared):
        found.append(f"variables declared {sorted(declared)}, sent {sorted(document.variables)}")
    for name, value in document.variables.items():
        named = get_named_type(declared.get(name))
        if named is None:
            continue  # said above: the schema has no such type
        assert is_input_type(named)
        if isinstance(named, GraphQLInputObjectType):
            found += _input_faults(named, value)
    return found


def _input_faults(expected: GraphQLInputObjectType, value: Any) -> list[str]:
    """Keys of input objects that the schema doesn't know, and required ones that are missing."""
    if isinstance(value, list):
        return [fault for entry in value for fault in _input_faults(expected, entry)]
    missing = {key for key, field in expected.fields.items() if is_required_input_field(field)} - set(value)
    faults = [f"{expected.name} lacks {key}" for key in missing]
    for key, entry in value.items():
        if key not in expected.fields:
            faults.append(f"{expected.name} has no {key}")
        elif isinstance(inner := get_named_type(expected.fields[key].type), GraphQLInputObjectType):
            faults += _input_faults(inner, entry)
    return faults


def test_no_text_of_the_connector_is_left_out_of_these_tests() -> None:
    covered = {document.text for document in DOCUMENTS.values()}
    modules = [importlib.import_module(f"{connector.__name__}.{m.name}") for m in iter_modules(connector.__path__)]
    texts = {
        (module.__name__, name)
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, str) and value.startswith(("query ", "mutation ")) and value not in covered
    }
    assert texts == set()


def test_no_value_is_written_into_a_document_s_text() -> None:
    values = ("n-1", "a@b.test", "Ada", "topics", "Key account")
    assert [name for name, document in DOCUMENTS.items() if any(value in document.text for value in values)] == []


def test_equal_shapes_have_equal_texts() -> None:
    one = items.batch_query("7", ["1"], COLUMNS, "npd_id", ["a"], EMAIL, ["a@b.test"])
    two = items.batch_query("8", ["2", "3"], ["x"], "other", ["b", "c"], MatchColumn("e", "email"), ["c@d.test"])
    assert one.text == two.text
    assert items.change_items_mutation("7", [ItemChange("u0", "1", {})], []).text == (
        items.change_items_mutation("8", [ItemChange("u0", "2", {"a": 1})], COLUMNS).text
    )


def test_only_types_that_need_more_make_a_text_longer() -> None:
    usual = items.items_query(["1"], COLUMNS).text
    assert items.items_query(["1"], COLUMNS, ["text", "email", "phone", "numbers", "date"]).text == usual
    assert items.items_query(["1"], COLUMNS, ["tags", "status"]).text == (
        items.items_query(["1"], COLUMNS, ["status", "tags", "status"]).text
    )
    assert "BoardRelationValue" not in items.items_query(["1"], COLUMNS, ["status"]).text
    assert "BoardRelationValue { linked_item_ids }" in items.items_query(["1"], COLUMNS, TYPED).text


def test_labels_are_made_only_where_a_write_allows_it() -> None:
    for made in (
        items.change_items_mutation("7", [ItemChange("u0", "1", {})], COLUMNS, create_labels=True),
        items.create_items_mutation("7", None, [ItemCreate("c0", "Ada", {})], COLUMNS, create_labels=True),
    ):
        assert "create_labels_if_missing: $labels" in made.text
        assert made.variables["labels"] is True
    plain = items.change_items_mutation("7", [ItemChange("u0", "1", {})], COLUMNS)
    assert "labels" not in plain.text
    assert "labels" not in plain.variables


def test_a_new_item_is_sent_without_its_empty_values() -> None:
    document = items.create_items_mutation("7", "topics", [ItemCreate("c0", "Ada", {"a": "x", "b": None})], COLUMNS)
    assert json.loads(document.variables["values_c0"]) == {"a": "x"}
    assert document.variables["name_c0"] == "Ada"


@pytest.mark.parametrize("ids", [[], [str(number) for number in range(101)]])
def test_more_ids_than_monday_answers_are_refused_here(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        items.items_query(ids, COLUMNS)


def test_nothing_to_ask_and_nothing_to_write_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        items.batch_query("7", [], COLUMNS, "npd_id", [])
    with pytest.raises(ValueError, match="at least one"):
        items.change_items_mutation("7", [], COLUMNS)


@pytest.mark.parametrize("alias", ["", "1a", "a b", "a){x", "a\n"])
def test_an_alias_can_t_smuggle_text_into_a_document(alias: str) -> None:
    with pytest.raises(ValueError, match="alias"):
        items.change_items_mutation("7", [ItemChange(alias, "1", {})], COLUMNS)
