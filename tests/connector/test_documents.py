"""The documents that move records: what they ask, and that they are valid against the schema of each API version."""

import importlib
import json
from pkgutil import iter_modules

import pytest
from graphql import build_schema

import sync.monday as connector
from sync.monday import item_documents
from sync.monday.board_items import ColumnSearch, ItemWrite
from tests.connector.documents import COLUMNS, SERVED, all_faults, documents, official_schemas, our_schema, sent

DOCUMENTS = documents("2026-10")


@pytest.mark.parametrize("version", SERVED)
def test_every_document_is_valid_against_monday_s_schema(version: str) -> None:
    if version not in official_schemas():
        pytest.skip("MONDAY_SCHEMA names no file with Monday's schema of this version")
    schema = build_schema(official_schemas()[version].read_text(encoding="utf-8"))
    assert all_faults(schema, version) == {}


@pytest.mark.parametrize("version", SERVED)
def test_every_document_is_valid_against_the_sandbox_s_schema(version: str) -> None:
    assert all_faults(our_schema(version), version) == {}


def test_no_text_of_the_connector_is_left_out_of_these_tests() -> None:
    covered = {document.text for document in DOCUMENTS.values()}
    modules = [
        importlib.import_module(f"{connector.__name__}.{m.name}")
        for m in iter_modules(connector.__path__)
        if not m.ispkg
    ]
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


def test_labels_are_made_only_where_a_write_allows_it() -> None:
    for document in (
        sent(item_documents.prepare_changes("7", [ItemWrite("u0", {}, "1")], COLUMNS, create_labels=True)),
        sent(
            item_documents.prepare_creates("7", None, [ItemWrite("c0", {"name": "Ada"})], COLUMNS, create_labels=True)
        ),
    ):
        assert "create_labels_if_missing: $labels" in document.text
        assert document.variables["labels"] is True
    plain = sent(item_documents.prepare_changes("7", [ItemWrite("u0", {}, "1")], COLUMNS))
    assert "labels" not in plain.text
    assert "labels" not in plain.variables


def test_a_new_item_is_sent_without_its_empty_values() -> None:
    document = sent(
        item_documents.prepare_creates("7", "topics", [ItemWrite("c0", {"name": "Ada", "a": "x", "b": None})], COLUMNS)
    )
    assert json.loads(document.variables["values_c0"]) == {"a": "x"}
    assert document.variables["name_c0"] == "Ada"


@pytest.mark.parametrize("ids", [[], [str(number) for number in range(101)]])
def test_more_ids_than_monday_answers_are_refused_here(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        item_documents.items_query(ids, COLUMNS)


def test_a_question_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        item_documents.batch_query("7", [], {"by_npd_id": ColumnSearch("npd_id", "text", [])}, COLUMNS)
