"""Set-up of boards and webhooks: what is there is adopted, what is missing is made, once."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from sync.connectors.base import errors
from sync.connectors.base.board_shape import BoardSetup, BoardSpec, ColumnSpec, WebhooksIncomplete
from sync.connectors.monday.board_plan import ensure_board, plan_board
from sync.connectors.monday.error_codes import translate_error
from sync.connectors.monday.graphql import Answer
from sync.connectors.monday.webhooks import WEBHOOK_EVENTS, ensure_webhooks, url_fingerprint
from tests.connector.fake_account import FakeAccount


def _ids(made: BoardSetup) -> dict[str, str]:
    return {key: column.id for key, column in made.columns.items()}


COLUMNS = [
    ColumnSpec("name", "Name", "name"),
    ColumnSpec("email", "Email", "email", "npd_email"),
    ColumnSpec("notes", "Notes", "long_text", "npd_notes"),
]
URL = "https://npd.test/webhooks/monday/secret-part/"


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


def _spec(board_id: str | None = None) -> BoardSpec:
    return BoardSpec("contact", "Contacts", board_id, COLUMNS)


def test_without_a_board_one_is_made_with_all_columns(account: FakeAccount) -> None:
    made = ensure_board(account, _spec())
    assert made.created_board
    assert _ids(made) == {"name": "name", "email": "npd_email", "notes": "npd_notes"}
    assert made.group_id == "topics"
    assert len(made.created) == 3


def test_a_second_run_finds_everything_and_writes_nothing(account: FakeAccount) -> None:
    first = ensure_board(account, _spec())
    account.writes.clear()
    second = ensure_board(account, _spec(first.board_id))
    assert (_ids(second), second.created, second.created_board) == (_ids(first), [], False)
    assert account.writes == []


def test_columns_that_a_person_made_are_adopted_by_title_and_type(account: FakeAccount) -> None:
    account.add_board("7", {"id": "email_x", "title": " EMAIL ", "type": "email", "archived": False})
    made = ensure_board(account, _spec("7"))
    assert _ids(made)["email"] == "email_x"
    assert made.adopted == ["column “Name” (name)", "column “ EMAIL ” (email_x)"]
    assert made.created == ["column “Notes” (npd_notes)"]


def test_the_preferred_id_goes_before_the_title(account: FakeAccount) -> None:
    account.add_board(
        "7",
        {"id": "email_x", "title": "Email", "type": "email", "archived": False},
        {"id": "npd_email", "title": "Renamed", "type": "email", "archived": False},
    )
    assert _ids(ensure_board(account, _spec("7")))["email"] == "npd_email"


@pytest.mark.parametrize(
    "column",
    [
        {"id": "npd_email", "title": "Email", "type": "text", "archived": False},
        {"id": "npd_email", "title": "Email", "type": "email", "archived": True},
    ],
)
def test_a_column_of_another_type_or_an_archived_one_is_not_adopted(
    account: FakeAccount, column: dict[str, str | bool]
) -> None:
    account.add_board("7", column)
    account.used_column_ids = {"npd_email"}
    made = ensure_board(account, _spec("7"))
    assert _ids(made)["email"] != "npd_email"


def test_two_needed_columns_are_never_given_the_same_one(account: FakeAccount) -> None:
    account.add_board("7", {"id": "email_x", "title": "Email", "type": "email", "archived": False})
    spec = BoardSpec("contact", "Contacts", "7", [ColumnSpec("a", "Email", "email"), ColumnSpec("b", "Email", "email")])
    columns = _ids(ensure_board(account, spec))
    assert columns["a"] != columns["b"]


@pytest.mark.parametrize("state", ["archived", "deleted"])
def test_a_removed_board_is_replaced_and_the_plan_says_why(account: FakeAccount, state: str) -> None:
    account.add_board("7", state=state)
    plan = plan_board(account, _spec("7"))
    assert plan.steps[0] == f"create board “Contacts”, for board 7 is {state}"
    assert ensure_board(account, _spec("7")).board_id != "7"


def test_a_plan_says_what_would_be_done_and_does_nothing(account: FakeAccount) -> None:
    account.add_board("7", {"id": "email_x", "title": "Email", "type": "email", "archived": False})
    assert plan_board(account, _spec("7")).steps == [
        "use board “Board 7” (7)",
        "adopt column “Name” (name)",
        "adopt column “Email” (email_x)",
        "create column “Notes” of type long_text",
    ]
    assert plan_board(account, _spec()).steps[0] == "create board “Contacts”"
    assert account.writes == []


@pytest.mark.parametrize("error", [errors.NotAuthenticated, errors.Unreachable, errors.BoardForbidden])
def test_only_a_refused_id_is_tried_again_without_it(account: FakeAccount, error: type[errors.ConnectorError]) -> None:
    account.add_board("7")
    account.failing["create_column"] = error("no")
    calls = account.calls
    with pytest.raises(error):
        ensure_board(account, _spec("7"))
    assert account.calls == calls + 2


@pytest.mark.parametrize("lost", ["create_board", "create_column"])
def test_a_lost_answer_is_asked_for_once_more_and_makes_nothing_twice(account: FakeAccount, lost: str) -> None:
    account.lost_answers = {lost}
    made = ensure_board(account, _spec())
    assert len(made.created) == 3
    assert list(account.boards) == [made.board_id]
    assert account.writes.count("board") == 1
    assert account.writes.count("column") == 2


def test_a_lost_answer_of_a_webhook_makes_it_once(account: FakeAccount) -> None:
    account.lost_answers = {"create_webhook"}
    ensure_webhooks(account, "7", URL, {})
    assert len(account.hooks) == len(WEBHOOK_EVENTS)


def test_an_answer_that_stays_away_is_raised(account: FakeAccount) -> None:
    account.failing["create_board"] = errors.ServerFailed("Internal Server Error")
    with pytest.raises(errors.ServerFailed):
        ensure_board(account, _spec())
    assert account.calls == 2


ALIASES = ColumnSpec("aliases", "Aliases", "text", "aliases", ("dropdown", "tags", "text"), optional=True)
RELATION = ColumnSpec(
    "org", "Organization", "board_relation", "org", ("board_relation", "text"), optional=True, target_board="9"
)


def _with(*columns: ColumnSpec) -> BoardSpec:
    return BoardSpec("contact", "Contacts", "7", [*columns, *COLUMNS])


def _column(column_id: str, title: str, kind: str, settings: object = None) -> dict[str, object]:
    return {"id": column_id, "title": title, "type": kind, "archived": False, "settings": settings}


def test_an_optional_column_is_never_made_by_itself(account: FakeAccount) -> None:
    account.add_board("7")
    made = ensure_board(account, _with(ALIASES, RELATION))
    assert set(made.columns) == {"name", "email", "notes"}
    assert made.unfit == {}


def test_an_optional_column_is_adopted_in_the_best_type_that_is_there(account: FakeAccount) -> None:
    labels = {"labels": [{"id": 1, "label": "Navy"}]}
    account.add_board("7", _column("a", "Aliases", "text"), _column("b", "ALIASES ", "dropdown", labels))
    found = ensure_board(account, _with(ALIASES)).columns["aliases"]
    assert (found.id, found.type, found.settings) == ("b", "dropdown", labels)


def test_an_optional_column_of_an_unfit_type_is_named_and_left(account: FakeAccount) -> None:
    account.add_board("7", _column("a", "Aliases", "date"))
    made = ensure_board(account, _with(ALIASES))
    assert "aliases" not in made.columns
    assert made.unfit == {"aliases": "column “Aliases” (a) is of type date, not dropdown, tags, text"}


@pytest.mark.parametrize("settings", [{"boardIds": [9, 8]}, '{"boardIds": ["9"]}'])
def test_a_relation_to_the_right_board_is_adopted_in_both_forms_of_its_settings(
    account: FakeAccount, settings: object
) -> None:
    account.add_board("7", _column("r", "Organization", "board_relation", settings))
    assert ensure_board(account, _with(RELATION)).columns["org"].id == "r"


@pytest.mark.parametrize("settings", [{"boardIds": [8]}, {}, None, "rubbish"])
def test_a_relation_to_another_board_is_named_and_left(account: FakeAccount, settings: object) -> None:
    account.add_board("7", _column("r", "Organization", "board_relation", settings))
    made = ensure_board(account, _with(RELATION))
    assert made.unfit == {"org": "column “Organization” (r) leads to another board than 9"}


def test_a_relation_that_was_asked_for_is_made_with_its_board(account: FakeAccount) -> None:
    account.add_board("7")
    made = ensure_board(account, _with(replace(RELATION, optional=False)))
    assert made.columns["org"].type == "board_relation"
    assert made.columns["org"].target_boards == {"9"}


def test_what_is_needed_chooses_its_column_before_what_is_welcome(account: FakeAccount) -> None:
    account.add_board("7", _column("x", "Notes", "text"))
    needed = ColumnSpec("notes", "Notes", "text")
    welcome = ColumnSpec("aliases", "Notes", "text", types=("text",), optional=True)
    made = ensure_board(account, BoardSpec("contact", "Contacts", "7", [welcome, needed]))
    assert _ids(made) == {"notes": "x"}


def test_a_board_whose_groups_are_all_gone_gets_one(account: FakeAccount) -> None:
    account.add_board("7")
    for group in account.boards["7"]["groups"]:
        group["deleted"] = True
    made = ensure_board(account, _spec("7"))
    assert made.groups[made.group_id or ""] == "Contacts"
    assert ensure_board(account, _spec("7")).group_id == made.group_id


def test_each_event_gets_one_webhook_and_a_second_run_none(account: FakeAccount) -> None:
    hooks, words = ensure_webhooks(account, "7", URL, {})
    assert sorted(hook.event for hook in hooks) == sorted(WEBHOOK_EVENTS)
    assert len(words) == len(WEBHOOK_EVENTS)
    again, words = ensure_webhooks(account, "7", URL, {hook.id: hook.fingerprint for hook in hooks})
    assert ({hook.id for hook in again}, words) == ({hook.id for hook in hooks}, [])


def test_a_new_address_makes_new_webhooks_before_the_old_ones_go(account: FakeAccount) -> None:
    old, _ = ensure_webhooks(account, "7", URL, {})
    account.writes.clear()
    hooks, _ = ensure_webhooks(account, "7", "https://new.test/", {hook.id: hook.fingerprint for hook in old})
    assert {hook.fingerprint for hook in hooks} == {url_fingerprint("https://new.test/")}
    assert set(account.hooks) == {hook.id for hook in hooks}
    assert account.writes == ["webhook"] * 7 + ["webhook deleted"] * 7


def test_webhooks_of_others_are_left_alone(account: FakeAccount) -> None:
    account.hooks["5"] = {"id": "5", "event": "create_item"}
    hooks, _ = ensure_webhooks(account, "7", URL, {})
    assert "5" in account.hooks
    assert "5" not in {hook.id for hook in hooks}


def test_a_webhook_of_ours_that_someone_deleted_is_made_again(account: FakeAccount) -> None:
    hooks, _ = ensure_webhooks(account, "7", URL, {})
    del account.hooks[hooks[0].id]
    again, words = ensure_webhooks(account, "7", URL, {hook.id: hook.fingerprint for hook in hooks})
    assert len(again) == len(WEBHOOK_EVENTS)
    assert words == [f"created webhook {hooks[0].event} on board 7"]


def test_an_address_that_monday_can_t_reach_is_told_and_what_stands_is_kept(account: FakeAccount) -> None:
    account.unreachable_events = {"item_archived"}
    with pytest.raises(WebhooksIncomplete, match="could not reach") as caught:
        ensure_webhooks(account, "7", URL, {})
    assert [hook.event for hook in caught.value.hooks] == ["create_item", "change_column_value", "change_name"]
    assert "SITE_URL" in caught.value.sentence
    account.unreachable_events = set()
    known = {hook.id: hook.fingerprint for hook in caught.value.hooks}
    assert len(ensure_webhooks(account, "7", URL, known)[0]) == len(WEBHOOK_EVENTS)
    assert len(account.hooks) == len(WEBHOOK_EVENTS)


def test_the_address_s_secret_is_in_no_word_and_no_fingerprint(account: FakeAccount) -> None:
    hooks, words = ensure_webhooks(account, "7", URL, {})
    assert "secret-part" not in repr((hooks, words))


def test_the_address_s_secret_is_in_no_error_that_repeats_it(account: FakeAccount) -> None:
    echo = f"Failed to communicate with URL {URL}, token secret-part"
    account.failing["create_webhook"] = errors.AnswerWithoutData(
        echo, errors=[errors.RecordRejected(echo, code="RecordInvalidException")]
    )
    with pytest.raises(WebhooksIncomplete, match="Failed to communicate") as caught:
        ensure_webhooks(account, "7", URL, {})
    told: BaseException | None = caught.value
    while told is not None:
        nested = getattr(told, "errors", ())
        assert "secret-part" not in f"{told} {told!r} {nested!r} {[e.sentence for e in nested]}"
        told = told.__cause__ or told.__context__


def test_each_webhook_is_handed_over_as_soon_as_it_stands(account: FakeAccount) -> None:
    kept: list[int] = []
    ensure_webhooks(account, "7", URL, {}, lambda hooks: kept.append(len(hooks)))
    assert kept == list(range(1, len(WEBHOOK_EVENTS) + 1))


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
        told = (translate_error(self.failure),) if self.failure else ()
        return Answer({"boards": boards}, errors=told)


@pytest.mark.parametrize("part", ["columns", "groups"])
@pytest.mark.parametrize("told", [True, False])
def test_columns_and_groups_that_monday_left_out_are_not_made_again(part: str, told: bool) -> None:
    failure = {
        "message": "Too many requests",
        "path": ["boards", 0, part],
        "extensions": {"code": "FIELD_LIMIT_EXCEEDED", "retry_in_seconds": 15},
    }
    account = Partly(part, failure if told else None)
    account.add_board("7", {"id": "npd_email", "title": "Email", "type": "email", "archived": False})
    with pytest.raises(errors.FieldLimitReached if told else errors.UnreadableAnswer):
        ensure_board(account, _spec("7"))
    assert account.writes == []


def test_a_count_that_monday_left_out_stops_no_set_up() -> None:
    failure = {"message": "No", "path": ["boards", 0, "items_limit"], "extensions": {"code": "tooManyRequests"}}
    account = Partly("items_limit", failure)
    account.add_board("7")
    assert ensure_board(account, _spec("7")).board_id == "7"


def test_webhooks_that_monday_left_out_are_not_made_again(account: FakeAccount) -> None:
    hooks, _ = ensure_webhooks(account, "7", URL, {})
    failure = {"message": "Too many requests", "path": ["webhooks", 0], "extensions": {"code": "FIELD_LIMIT_EXCEEDED"}}
    original = account._plays

    def plays() -> dict[str, Callable[[Mapping[str, Any]], Answer]]:
        rows: list[object] = [None, *list(account.hooks.values())[1:]]
        return original() | {"webhooks": lambda _: Answer({"webhooks": rows}, errors=(translate_error(failure),))}

    account._plays = plays  # type: ignore[method-assign]
    with pytest.raises(errors.FieldLimitReached):
        ensure_webhooks(account, "7", URL, {hook.id: hook.fingerprint for hook in hooks})
    assert len(account.hooks) == len(WEBHOOK_EVENTS)


def test_an_address_longer_than_monday_takes_is_refused_before_any_call(account: FakeAccount) -> None:
    with pytest.raises(ValueError, match="255"):
        ensure_webhooks(account, "7", "https://npd.test/" + "x" * 255, {})
    assert account.calls == 0
