"""Set-up of boards and webhooks: what exists is adopted, and what is missing is made once."""

from collections.abc import Iterator
from typing import Any

import pytest

from sync.monday import errors
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import ColumnSpec, parse_column
from sync.monday.client import MondayClient
from sync.monday.connector import Hooks, MondayConnector
from sync.monday.graphql import Answer
from tests.connector.bodies import Replying
from tests.support.in_process import Hooks as Receiver
from tests.support.in_process import answering
from tests.support.refusals import refusal
from tests.support.sandbox import Sandbox

COLUMNS = [ColumnSpec("email", "Email", "email", "npd_email"), ColumnSpec("notes", "Notes", "long_text", "npd_notes")]
URL = "http://npd.test/webhooks/monday/secret-part/"
LIMITED = {"limit": "field", "retry_in": 15}


@pytest.fixture
def monday(sandbox: Sandbox) -> Iterator[MondayConnector]:
    with answering(URL, Receiver()):
        yield MondayConnector(MondayClient(sandbox.api_url, sandbox.token, version="2026-10"))


def mutations(sandbox: Sandbox) -> int:
    return sum(call["kind"] == "mutation" for call in sandbox.calls())


def hooks_of(sandbox: Sandbox) -> list[str]:
    return sorted(hook["event"] for hook in sandbox.control("webhooks", "GET")["webhooks"])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([("email_x", " EMAIL ", "email")], "email_x"),
        ([("email_x", "Email", "email"), ("npd_email", "Renamed", "email")], "npd_email"),
        ([("email_x", "Email", "text")], "npd_email"),
    ],
)
def test_a_column_is_adopted_by_its_id_or_else_by_its_title_where_its_type_fits(
    sandbox: Sandbox, monday: MondayConnector, columns: list[tuple[str, str, str]], expected: str
) -> None:
    setup = monday.ensure_columns(sandbox.add_board("Ours", *columns), "Contacts", COLUMNS)
    assert setup.columns["email"].id == expected
    assert len(setup.adopted) + len(setup.created) == len(COLUMNS)


def test_two_needed_columns_are_never_given_the_same_one(sandbox: Sandbox, monday: MondayConnector) -> None:
    board = sandbox.add_board("Ours", ("email_x", "Email", "email"))
    columns = monday.ensure_columns(board, "Contacts", [ColumnSpec("other", "Email", "email"), *COLUMNS]).columns
    assert columns["other"].id != columns["email"].id


def test_a_deleted_column_is_not_adopted_and_one_with_another_id_is_made(
    sandbox: Sandbox, monday: MondayConnector
) -> None:
    board = sandbox.add_board("Ours", ("npd_email", "Email", "email"))
    sandbox.delete_column(board, "npd_email")
    assert monday.ensure_columns(board, "Contacts", COLUMNS).columns["email"].id != "npd_email"


@pytest.mark.parametrize("fault", [{"status": 401}, {"partial": {"every": 1, "code": "UserUnauthorizedException"}}])
def test_only_a_refused_id_is_tried_again_without_it(
    sandbox: Sandbox, monday: MondayConnector, fault: dict[str, Any]
) -> None:
    board = sandbox.add_board("Ours")
    sandbox.faults(fault | {"on": "create_column"})
    with pytest.raises(errors.MondayError):
        monday.ensure_columns(board, "Contacts", COLUMNS)
    assert [column["type"] for column in sandbox.boards()[0]["columns"]] == ["name"]


@pytest.mark.parametrize("state", ["archived", "deleted", None])
def test_a_board_that_is_gone_is_never_replaced(sandbox: Sandbox, monday: MondayConnector, state: str | None) -> None:
    board = sandbox.add_board("Ours")
    if state:
        sandbox.control("boards", board_id=board, state=state)
    before = mutations(sandbox)
    with refusal(errors.BOARD_NOT_FOUND):
        monday.ensure_columns(board if state else "4711", "Contacts", COLUMNS)
    assert mutations(sandbox) == before


def test_a_lost_answer_makes_a_board_or_a_webhook_once(sandbox: Sandbox, monday: MondayConnector) -> None:
    sandbox.faults(*({"timeout": "after", "on": name} for name in ("create_board", "create_webhook")))
    stored: list[str] = []
    board = monday.create_board("Contacts", stored.append)
    monday.ensure_webhooks(board.id, URL, {}, lambda hooks: None)
    assert [board["id"] for board in sandbox.boards()] == stored == [board.id]
    assert hooks_of(sandbox) == sorted(WEBHOOK_EVENTS)


def test_a_relation_is_adopted_where_it_leads_to_the_right_board(sandbox: Sandbox, monday: MondayConnector) -> None:
    firms, board = sandbox.add_board("Firms"), sandbox.add_board("Ours")
    sandbox.add_column(board, "elsewhere", "Organization", "board_relation", boardIds=[int(board)])
    spec = ColumnSpec("org", "Organization", "board_relation", "org", target_board=firms)
    assert monday.ensure_columns(board, "Contacts", [spec]).columns["org"].id == "org"
    sandbox.add_column(firms, "right", "Organization", "board_relation", boardIds=[int(board), int(firms)])
    assert monday.ensure_columns(firms, "Contacts", [spec]).columns["org"].id == "right"
    as_text = {"id": "r", "type": "board_relation", "settings": '{"boardIds": ["9"]}'}
    assert parse_column(as_text).target_boards == {"9"}


def test_each_webhook_is_handed_over_as_soon_as_it_stands(sandbox: Sandbox, monday: MondayConnector) -> None:
    board = sandbox.add_board("Ours")
    refused = {"partial": {"every": 1, "code": "UserUnauthorizedException"}, "on": "create_webhook", "skip": 2}
    sandbox.faults(refused)
    stored: list[Hooks] = []
    with refusal(errors.WEBHOOKS_INCOMPLETE):
        monday.ensure_webhooks(board, URL, {}, stored.append)
    assert [len(hooks) for hooks in stored] == [1, 2, 2]
    monday.ensure_webhooks(board, URL, stored[-1], stored.append)
    assert hooks_of(sandbox) == sorted(WEBHOOK_EVENTS)


@pytest.mark.parametrize("part", ["columns", "groups"])
def test_columns_and_groups_that_monday_left_out_are_not_made_again(
    sandbox: Sandbox, monday: MondayConnector, part: str
) -> None:
    board = sandbox.add_board("Ours", ("npd_email", "Email", "email"))
    before = mutations(sandbox)
    sandbox.faults(LIMITED | {"on": part})
    with refusal(errors.LIMIT_REACHED):
        monday.ensure_columns(board, "Contacts", COLUMNS)
    assert mutations(sandbox) == before
    node = {"id": "7", "name": "Ours", "state": "active", "columns": [], "groups": [], part: None}
    with refusal(errors.UNREADABLE_ANSWER):
        MondayConnector(Replying(Answer({"boards": [node]}))).ensure_columns("7", "Contacts", COLUMNS)


def test_webhooks_that_monday_left_out_are_not_made_again(sandbox: Sandbox, monday: MondayConnector) -> None:
    board = sandbox.add_board("Ours")
    stored: list[Hooks] = []
    monday.ensure_webhooks(board, URL, {}, stored.append)
    sandbox.faults(LIMITED | {"on": "webhooks"})
    with refusal(errors.LIMIT_REACHED):
        monday.ensure_webhooks(board, URL, stored[-1], stored.append)
    assert hooks_of(sandbox) == sorted(WEBHOOK_EVENTS)


def test_an_address_longer_than_monday_takes_is_refused_before_any_call() -> None:
    with pytest.raises(ValueError, match="255"):
        MondayConnector(Replying()).ensure_webhooks("7", "https://npd.test/" + "x" * 255, {}, lambda hooks: None)
