"""Set-up of boards and webhooks: what is there is adopted, what is missing is made, once."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sync.monday import errors
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import BoardSetup, ColumnSpec
from sync.monday.connector import MondayConnector
from sync.monday.errors import translate_error
from sync.monday.graphql import Answer
from tests.connector.fake_account import FakeAccount
from tests.support.refusals import refusal


def _ids(board_setup: BoardSetup) -> dict[str, str]:
    return {key: column.id for key, column in board_setup.columns.items()}


COLUMNS = [ColumnSpec("email", "Email", "email", "npd_email"), ColumnSpec("notes", "Notes", "long_text", "npd_notes")]
URL = "https://npd.test/webhooks/monday/secret-part/"


@pytest.fixture
def account() -> FakeAccount:
    """An account with board 7, which has a name column and one group that takes items."""
    account = FakeAccount()
    account.add_board("7")
    return account


def _ensure(account: FakeAccount, *more: ColumnSpec) -> BoardSetup:
    return MondayConnector(account).ensure_columns("7", "Contacts", [*more, *COLUMNS])


def _column(column_id: str, title: str, kind: str, settings: object = None, **more: object) -> dict[str, object]:
    return {"id": column_id, "title": title, "type": kind, "archived": False, "settings": settings} | more


def test_columns_that_a_person_made_are_adopted_by_title_and_type(account: FakeAccount) -> None:
    account.add_board("7", _column("email_x", " EMAIL ", "email"))
    setup = _ensure(account)
    assert (_ids(setup)["email"], len(setup.adopted), len(setup.created)) == ("email_x", 1, 1)


def test_the_preferred_id_goes_before_the_title(account: FakeAccount) -> None:
    account.add_board("7", _column("email_x", "Email", "email"), _column("npd_email", "Renamed", "email"))
    assert _ids(_ensure(account))["email"] == "npd_email"


@pytest.mark.parametrize(
    "column", [_column("npd_email", "Email", "text"), _column("npd_email", "Email", "email", archived=True)]
)
def test_a_column_of_another_type_or_archived_is_not_adopted(account: FakeAccount, column: dict[str, object]) -> None:
    account.add_board("7", column)
    account.used_column_ids = {"npd_email"}
    assert _ids(_ensure(account))["email"] != "npd_email"


def test_two_needed_columns_are_never_given_the_same_one(account: FakeAccount) -> None:
    account.add_board("7", _column("email_x", "Email", "email"))
    columns = _ids(_ensure(account, ColumnSpec("other", "Email", "email")))
    assert columns["other"] != columns["email"]


@pytest.mark.parametrize("state", ["archived", "deleted", None])
def test_a_board_that_is_gone_is_never_replaced(account: FakeAccount, state: str | None) -> None:
    account.boards.clear()
    if state:
        account.add_board("7", state=state)
    with refusal(errors.BOARD_NOT_FOUND):
        _ensure(account)
    assert account.writes == []


@pytest.mark.parametrize("error", [errors.NOT_AUTHENTICATED, errors.UNREACHABLE, errors.BOARD_FORBIDDEN])
def test_only_a_refused_id_is_tried_again_without_it(account: FakeAccount, error: errors.ErrorKind) -> None:
    account.failing["create_column"] = errors.MondayError(error, "no")
    with refusal(error):
        _ensure(account)
    assert account.calls == 2


def test_a_lost_answer_of_a_board_makes_it_once(account: FakeAccount) -> None:
    account.lost_answers = {"create_board"}
    stored: list[str] = []
    assert [MondayConnector(account).create_board("Contacts", stored.append).id] == stored
    assert account.writes == ["board"]


def test_a_lost_answer_of_a_webhook_makes_it_once(account: FakeAccount) -> None:
    account.lost_answers = {"create_webhook"}
    account.ensure_webhooks(URL)
    assert len(account.hooks) == len(WEBHOOK_EVENTS)


RELATION = ColumnSpec("org", "Organization", "board_relation", "org", target_board="9")


@pytest.mark.parametrize("settings", [{"boardIds": [9, 8]}, '{"boardIds": ["9"]}'])
def test_a_relation_to_the_right_board_is_adopted_in_both_forms(account: FakeAccount, settings: object) -> None:
    account.add_board("7", _column("r", "Organization", "board_relation", settings))
    assert _ensure(account, RELATION).columns["org"].id == "r"


@pytest.mark.parametrize("settings", [{"boardIds": [8]}, {}, None, "rubbish"])
def test_a_relation_to_another_board_is_left(account: FakeAccount, settings: object) -> None:
    account.add_board("7", _column("r", "Organization", "board_relation", settings))
    assert _ensure(account, RELATION).columns["org"].id != "r"


def test_the_address_s_secret_is_in_no_word_and_no_fingerprint(account: FakeAccount) -> None:
    hooks, words = account.ensure_webhooks(URL)
    assert "secret-part" not in repr((hooks, words))


def test_each_webhook_is_handed_over_as_soon_as_it_stands(account: FakeAccount) -> None:
    counts: list[int] = []
    account.ensure_webhooks(URL, store=lambda hooks: counts.append(len(hooks)))
    assert counts == [*range(1, len(WEBHOOK_EVENTS) + 1), len(WEBHOOK_EVENTS)]


def test_an_address_that_monday_does_not_reach_is_told_with_the_webhooks_that_stand(account: FakeAccount) -> None:
    account.unreachable_events = {WEBHOOK_EVENTS[2]}
    events: list[list[str]] = []
    with refusal(errors.WEBHOOKS_INCOMPLETE, match="could not reach"):
        account.ensure_webhooks(URL, store=lambda hooks: events.append([hook["event"] for hook in hooks.values()]))
    assert events[-1] == [*WEBHOOK_EVENTS[:2]]


class Partly(FakeAccount):
    """Answers the read of a board with one of its parts left out, beside an error or without one."""

    def __init__(self, part: str, failure: dict[str, object] | None) -> None:
        super().__init__()
        self.part, self.failure = part, failure

    def execute(self, document: str, variables: Mapping[str, Any], **more: Any) -> Answer:
        answer = super().execute(document, variables, **more)
        if not document.startswith("query Boards") or not answer.data or not answer.data["boards"]:
            return answer
        boards = [board | {self.part: None} for board in answer.data["boards"]]
        failures = (translate_error(self.failure),) if self.failure else ()
        return Answer({"boards": boards}, errors=failures)


@pytest.mark.parametrize("part", ["columns", "groups"])
@pytest.mark.parametrize("is_told", [True, False])
def test_columns_and_groups_that_monday_left_out_are_not_made_again(part: str, is_told: bool) -> None:
    failure = {
        "message": "Too many requests",
        "path": ["boards", 0, part],
        "extensions": {"code": "FIELD_LIMIT_EXCEEDED", "retry_in_seconds": 15},
    }
    account = Partly(part, failure if is_told else None)
    account.add_board("7", _column("npd_email", "Email", "email"))
    with refusal(errors.LIMIT_REACHED if is_told else errors.UNREADABLE_ANSWER):
        _ensure(account)
    assert account.writes == []


def test_webhooks_that_monday_left_out_are_not_made_again(account: FakeAccount) -> None:
    hooks, _ = account.ensure_webhooks(URL)
    failure = {"message": "Too many requests", "path": ["webhooks", 0], "extensions": {"code": "FIELD_LIMIT_EXCEEDED"}}
    original = account._plays

    def plays() -> dict[str, Callable[[Mapping[str, Any]], Answer]]:
        rows: list[object] = [None, *list(account.hooks.values())[1:]]
        return original() | {"webhooks": lambda _: Answer({"webhooks": rows}, errors=(translate_error(failure),))}

    account._plays = plays  # type: ignore[method-assign]
    with refusal(errors.LIMIT_REACHED):
        account.ensure_webhooks(URL, hooks)
    assert len(account.hooks) == len(WEBHOOK_EVENTS)


def test_an_address_longer_than_monday_takes_is_refused_before_any_call(account: FakeAccount) -> None:
    with pytest.raises(ValueError, match="255"):
        account.ensure_webhooks("https://npd.test/" + "x" * 255)
    assert account.calls == 0
