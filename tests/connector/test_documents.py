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
from sync.connectors.monday import activity, board_list, boards, documents, ingest, platform, removals, tags
from sync.connectors.monday.documents import Change, Create, Document, MatchColumn

COLUMNS = ["npd_id", "email_1"]
EMAIL = MatchColumn("email_1", "email")
NAME = MatchColumn("name", "name")
MOMENT = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TYPED = ["board_relation", "checkbox", "dropdown", "status", "tags"]


def _documents() -> Iterator[tuple[str, Document]]:
    yield "probe", documents.probe()
    yield "read_items", documents.read_items(["1", "2"], COLUMNS)
    yield "look by id", documents.look("7", ["1"], COLUMNS, "npd_id", [])
    yield "look by NPD ID", documents.look("7", [], COLUMNS, "npd_id", ["n-1"])
    yield "look by e-mail", documents.look("7", ["1"], COLUMNS, "npd_id", ["n-1"], EMAIL, ["a@b.test"])
    yield "look by name", documents.look("7", [], COLUMNS, "npd_id", [], NAME, ["Ada"])
    yield "first page", documents.first_page("7", COLUMNS)
    yield "next page", documents.next_page("cursor", COLUMNS)
    yield (
        "change",
        documents.change("7", [Change("u0", "1", {"name": "Ada"}), Change("u1", "2", {})], COLUMNS),
    )
    creates = [Create("c0", "Ada", {"email_1": None}), Create("c1", "Bob", {"npd_id": "n-2"})]
    yield "create", documents.create("7", None, creates, COLUMNS)
    yield "create in a group", documents.create("7", "topics", creates, COLUMNS)
    leaving = [removals.Removal("a0", "1"), removals.Removal("a1", "2")]
    yield "archive", removals.archive_items(leaving, COLUMNS, TYPED)
    yield "delete", removals.delete_items(leaving, COLUMNS)
    yield "read boards", Document(boards.READ_BOARDS, {"ids": ["7"]})
    yield "create board", Document(boards.CREATE_BOARD, {"title": "Contacts"})
    yield "create group", Document(boards.CREATE_GROUP, {"board": "7", "title": "Contacts"})
    column = {"board": "7", "title": "Email", "type": "email"}
    yield "create column", Document(boards.CREATE_COLUMN, column | {"id": "npd_email"})
    yield "create column without id", Document(boards.CREATE_COLUMN, column)
    relation = column | {"type": "board_relation", "defaults": '{"boardIds":[8]}'}
    yield "create column of connected boards", Document(boards.CREATE_COLUMN, relation)
    yield "read webhooks", Document(boards.READ_WEBHOOKS, {"board": "7"})
    hook = {"board": "7", "url": "https://npd.test/", "event": "create_item"}
    yield "create webhook", Document(boards.CREATE_WEBHOOK, hook)
    yield "delete webhook", Document(boards.DELETE_WEBHOOK, {"id": "3"})
    for every in (set(TYPED), {"status"}, {"text", "people"}):
        words = ", ".join(sorted(every))
        yield f"read {words}", documents.read_items(["1"], COLUMNS, every)
        yield f"look for {words}", documents.look("7", ["1"], COLUMNS, "npd_id", ["n-1"], types=every)
        yield f"page of {words}", documents.first_page("7", COLUMNS, types=every)
        yield f"next page of {words}", documents.next_page("cursor", COLUMNS, types=every)
        change = [Change("u0", "1", {"status": {"label": "New"}})]
        yield f"change {words}", documents.change("7", change, COLUMNS, every, create_labels=True)
        yield (
            f"create with {words}",
            documents.create("7", "topics", creates, COLUMNS, every, create_labels=True),
        )
    yield "create tags", tags.create_tags(["Key account", "Old"], "7")
    yield "create tags of the account", tags.create_tags(["Key account"])
    yield "greeting", platform.greeting()
    yield "short greeting", Document(platform._SHORT_GREETING, {})
    yield "users", platform.users_page(2)
    yield "what happened since", activity.since("7", MOMENT)
    yield "what happened since, without the log", activity.since("7", MOMENT, with_log=False)
    yield "page of the log", activity.log_page("7", MOMENT, None, 2)
    yield "page of the log up to a time", activity.log_page("7", MOMENT, MOMENT, 1)
    yield "page of touched items", activity.touched_page("cursor")
    yield "start an import", ingest.start_import("7", "topics", "npd_id")
    yield "status of an import", ingest.import_status("job-1")
    yield "room on a board", ingest.board_room("7")
    yield "list of boards", Document(board_list.LIST_BOARDS, {"page": 1, "limit": 100})


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


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_is_valid_against_monday_s_schema(name: str, official: GraphQLSchema) -> None:
    assert _faults(official, DOCUMENTS[name]) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_is_valid_against_the_sandbox_s_schema(name: str, sandbox: GraphQLSchema) -> None:
    assert _faults(sandbox, DOCUMENTS[name]) == []


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
    modules = [
        importlib.import_module(f"{connector.__name__}.{m.name}") for m in iter_modules(connector.__path__)
    ]
    texts = {
        (module.__name__, name)
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, str) and value.startswith(("query ", "mutation ")) and value not in covered
    }
    assert texts == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_value_is_written_into_a_document_s_text(name: str) -> None:
    document = DOCUMENTS[name]
    assert all(value not in document.text for value in ("n-1", "a@b.test", "Ada", "topics", "Key account"))


def test_equal_shapes_have_equal_texts() -> None:
    one = documents.look("7", ["1"], COLUMNS, "npd_id", ["a"], EMAIL, ["a@b.test"])
    two = documents.look("8", ["2", "3"], ["x"], "other", ["b", "c"], MatchColumn("e", "email"), ["c@d.test"])
    assert one.text == two.text
    assert documents.change("7", [Change("u0", "1", {})], []).text == (
        documents.change("8", [Change("u0", "2", {"a": 1})], COLUMNS).text
    )


def test_only_types_that_need_more_make_a_text_longer() -> None:
    usual = documents.read_items(["1"], COLUMNS).text
    assert documents.read_items(["1"], COLUMNS, ["text", "email", "phone", "numbers", "date"]).text == usual
    assert documents.read_items(["1"], COLUMNS, ["tags", "status"]).text == (
        documents.read_items(["1"], COLUMNS, ["status", "tags", "status"]).text
    )
    assert "BoardRelationValue" not in documents.read_items(["1"], COLUMNS, ["status"]).text
    assert "BoardRelationValue { linked_item_ids }" in documents.read_items(["1"], COLUMNS, TYPED).text


def test_labels_are_made_only_where_a_write_allows_it() -> None:
    for made in (
        documents.change("7", [Change("u0", "1", {})], COLUMNS, create_labels=True),
        documents.create("7", None, [Create("c0", "Ada", {})], COLUMNS, create_labels=True),
    ):
        assert "create_labels_if_missing: $labels" in made.text
        assert made.variables["labels"] is True
    plain = documents.change("7", [Change("u0", "1", {})], COLUMNS)
    assert "labels" not in plain.text
    assert "labels" not in plain.variables


def test_a_look_asks_only_for_what_there_is_to_ask() -> None:
    text = documents.look("7", ["1"], COLUMNS, "npd_id", [], EMAIL, []).text
    assert "linked: items" in text
    assert "by_npd_id" not in text
    assert "by_match" not in text


def test_linked_items_are_asked_for_with_the_removed_ones_and_beyond_the_default_page() -> None:
    text = documents.read_items(["1"], COLUMNS).text
    assert "limit: 100" in text
    assert "exclude_nonactive: false" in text


def test_addresses_are_searched_as_text_because_equality_compares_the_label() -> None:
    document = documents.look("7", [], COLUMNS, "npd_id", [], EMAIL, ["a@b.test", "c@d.test"])
    rules = document.variables["by_match"]
    assert rules["operator"] == "or"
    assert [rule["operator"] for rule in rules["rules"]] == ["contains_text", "contains_text"]
    assert [rule["compare_value"] for rule in rules["rules"]] == [["a@b.test"], ["c@d.test"]]


def test_values_travel_as_json_in_a_string_and_keep_every_character() -> None:
    document = documents.change("7", [Change("u0", "1", {"name": 'Zoë "Z"', "email_1": None})], COLUMNS)
    assert json.loads(document.variables["values_u0"]) == {"name": 'Zoë "Z"', "email_1": None}
    assert document.variables["item_u0"] == "1"


def test_a_new_item_is_sent_without_its_empty_values() -> None:
    document = documents.create("7", "topics", [Create("c0", "Ada", {"a": "x", "b": None})], COLUMNS)
    assert json.loads(document.variables["values_c0"]) == {"a": "x"}
    assert document.variables["name_c0"] == "Ada"


@pytest.mark.parametrize("ids", [[], [str(number) for number in range(101)]])
def test_more_ids_than_monday_answers_are_refused_here(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        documents.read_items(ids, COLUMNS)


def test_nothing_to_ask_and_nothing_to_write_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        documents.look("7", [], COLUMNS, "npd_id", [])
    with pytest.raises(ValueError, match="at least one"):
        documents.change("7", [], COLUMNS)


@pytest.mark.parametrize("alias", ["", "1a", "a b", "a){x", "a\n"])
def test_an_alias_can_t_smuggle_text_into_a_document(alias: str) -> None:
    with pytest.raises(ValueError, match="alias"):
        documents.change("7", [Change(alias, "1", {})], COLUMNS)
