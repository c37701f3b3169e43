"""A value that travelled in a file reads back as the value that a create would have written, type by type."""

import json
from typing import Any

import pytest

from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import ConverterOptions
from sync.connectors.monday.bulk_import import (
    csv_cell,
    import_status_query,
    parse_import_status,
    parse_started_import,
    render_csv,
    start_import_mutation,
    upload_file,
)
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.columns import make_converter
from sync.connectors.monday.items import first_page_query, parse_page
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

STATUS = {"labels": {"1": "Done", "2": "Stuck"}}
DROPDOWN = {"labels": [{"id": 1, "name": "Red"}, {"id": 2, "name": "Light blue"}]}
PEOPLE = {"67210011": "maya@sandbox.example"}
VALUES = {
    "text": ("text", " a “text”, with; signs\t", {}),
    "long_text": ("long_text", 'one\r\ntwo, "three"', {}),
    "email": ("email", "Ann.O'Neil@Example.COM", {}),
    "phone": ("phone", "(202) 555-0169 ext. 5", {}),
    "link": ("link", "https://example.com/a?b=c&d=%20e", {}),
    "status": ("status", "Done", STATUS),
    "dropdown": ("dropdown", ["Light blue", "Red"], DROPDOWN),
    "date": ("date", "2026-01-31", {}),
    "numbers": ("numbers", "42.50", {}),
    "people": ("people", ["maya@sandbox.example"], {}),
    "list_text": ("text", ["one", "two"], {}),
}


@pytest.fixture
def board(sandbox: Sandbox) -> str:
    made = sandbox.query('mutation { create_board(board_name: "B", board_kind: public, empty: true) { id } }')
    board: str = made["data"]["create_board"]["id"]
    for name, (column_type, _, settings) in VALUES.items():
        answer = sandbox.query(
            "mutation ($b: ID!, $i: String, $y: ColumnType!, $d: JSON) {"
            " create_column(board_id: $b, title: $i, id: $i, column_type: $y, defaults: $d) { id } }".replace(
                "title: $i", 'title: "T"'
            ),
            b=board,
            i=name,
            y=column_type,
            d=json.dumps(settings) if settings else None,
        )
        assert "errors" not in answer, answer
    return board


def items_of(client: MondayClient, board: str) -> list[Item]:
    return parse_page(client.execute(*first_page_query(board, list(VALUES))), list(VALUES)).items


def test_what_a_file_brings_is_what_a_create_writes(sandbox: Sandbox, board: str) -> None:
    client = MondayClient(sandbox.api_url, sandbox.token)
    group = sandbox.query("query ($b: [ID!]) { boards(ids: $b) { groups { id } } }", b=[board])
    converters = {
        name: make_converter(name, ConverterOptions(settings=settings, people=PEOPLE))
        for name, (_, _, settings) in VALUES.items()
    }
    written = {name: converters[name].to_remote({"f": VALUES[name][1]}, None) for name in VALUES}
    row = {name: csv_cell(converters[name].column_type, written[name], VALUES[name][2]) for name in VALUES}
    job = parse_started_import(
        client.execute(*start_import_mutation(board, group["data"]["boards"][0]["groups"][0]["id"], "text"))
    )
    upload_file(job.upload_url, render_csv(list(VALUES), [row | {"name": "By file"}]))
    wait_for(
        "the import is over",
        lambda: parse_import_status(client.execute(*import_status_query(job.job_id))).state.is_finished,
    )
    status = parse_import_status(client.execute(*import_status_query(job.job_id)))
    assert dict(status.counts) == {"submitted": 1, "created": 1}, status
    values = json.dumps({name: value for name, value in written.items() if value is not None})
    made = sandbox.query(
        'mutation ($b: ID!, $v: JSON) { create_item(board_id: $b, item_name: "By create", column_values: $v) { id } }',
        b=board,
        v=values,
    )
    assert "errors" not in made, made
    by_file, by_create = items_of(client, board)
    assert _canonical(converters, by_file) == _canonical(converters, by_create)
    assert _canonical(converters, by_file) == {n: converters[n].local({"f": VALUES[n][1]}) for n in VALUES}
    client.close()


def _canonical(converters: dict[str, Any], item: Item) -> dict[str, Any]:
    return {name: found.remote(found.stored_value(item.reading(name))) for name, found in converters.items()}
