"""What Monday says about the account: read in full, read in part, or refused."""

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from sync.monday import errors
from sync.monday.account import AccountInfo, parse_account_info, parse_users
from sync.monday.client import MondayClient
from sync.monday.connector import MondayConnector
from sync.monday.graphql import Answer
from tests.connector.bodies import failed
from tests.support.refusals import refusal

URL = "https://monday.test/v2"
WHOLE: dict[str, Any] = {
    "me": {"id": "2", "name": "Sync"},
    "version": {"kind": "current", "value": "2026-10"},
    "versions": [{"kind": "current", "value": "2026-10"}, {"kind": "maintenance", "value": "2026-07"}],
    "account": {"tier": "old-name", "plan": {"tier": "pro"}},
    "platform_api": {
        "daily_limit": {"base": 10_000, "total": 12_000},
        "daily_analytics": {
            "last_updated": "2026-11-20T11:05:00Z",
            "by_day": [{"day": "2026-11-20", "usage": 812}, {"day": "2026-11-19T00:00:00Z", "usage": 40}],
        },
    },
}


@pytest.fixture
def client() -> Iterator[MondayClient]:
    with responses.mock:
        yield MondayClient(URL, "token", version="2026-10")


def test_a_whole_greeting_is_read() -> None:
    assert parse_account_info(Answer(WHOLE, api_version="2026-10")) == AccountInfo(
        user_id="2",
        user_name="Sync",
        tier="pro",
        version_value="2026-10",
        version_kind="current",
        versions={"2026-10": "current", "2026-07": "maintenance"},
        day_limit=12_000,
        usage_by_day={"2026-11-20": 812, "2026-11-19": 40},
    )


@pytest.mark.parametrize("left_out", WHOLE)
@pytest.mark.parametrize("instead", ["nothing", None, [], "rubbish"])
def test_whatever_is_missing_the_rest_is_read(left_out: str, instead: Any) -> None:
    data = {key: value for key, value in WHOLE.items() if key != left_out}
    info = parse_account_info(Answer(data if instead == "nothing" else data | {left_out: instead}))
    parts = [info.user_id, info.tier, info.version_value, info.day_limit, info.versions]
    assert sum(bool(value) for value in parts) >= 4


def test_the_limit_with_extensions_goes_before_the_plan_s_own() -> None:
    only_base = {"platform_api": {"daily_limit": {"base": 1000, "total": None}}}
    assert parse_account_info(Answer(only_base)).day_limit == 1000
    unlimited = {"platform_api": {"daily_limit": {"base": None, "total": None}}}
    assert parse_account_info(Answer(unlimited)).day_limit is None


def test_fields_that_are_refused_are_kept_as_refused(client: MondayClient) -> None:
    refused = failed("No", "UserUnauthorizedException", ["account"], status_code=403)
    responses.post(URL, json={"data": WHOLE | {"account": None}, "errors": [refused]})
    info = MondayConnector(client).read_account_info()
    assert (info.user_id, info.tier) == ("2", "")
    assert [(error.kind, error.path_alias) for error in info.field_errors] == [(errors.PERMISSION_MISSING, "account")]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"errors": [failed("Cannot query field", "GRAPHQL_VALIDATION_FAILED")]}),
        (200, {"errors": [failed("No", "missingRequiredPermissions", ["platform_api"])], "data": None}),
        (403, {"errors": [failed("No", "UserUnauthorizedException")]}),
    ],
)
def test_a_refused_whole_is_asked_in_part(client: MondayClient, status: int, body: dict[str, Any]) -> None:
    responses.post(URL, status=status, json=body)
    responses.post(URL, json={"data": {"me": WHOLE["me"], "version": WHOLE["version"]}})
    info = MondayConnector(client).read_account_info()
    assert (info.user_id, info.version_value, info.version_kind) == ("2", "2026-10", "current")
    assert len(info.field_errors) == 1


@pytest.mark.parametrize("status", [401, 429, 500])
def test_trouble_that_is_no_refusal_of_a_field_is_raised_at_once(client: MondayClient, status: int) -> None:
    responses.post(URL, status=status, json={})
    with pytest.raises(errors.MondayError):
        MondayConnector(client).read_account_info()
    assert len(responses.calls) == 1


def test_users_that_may_not_be_read_are_not_an_empty_directory() -> None:
    refused = errors.MondayError(errors.PERMISSION_MISSING, "no", path=["users"])
    with refusal(errors.PERMISSION_MISSING):
        parse_users(Answer({"users": None}, errors=(refused,)))
    with refusal(errors.UNREADABLE_ANSWER):
        parse_users(Answer({"users": None}))
    left_out = errors.MondayError(errors.LIMIT_REACHED, "slow down", path=["users", 1])
    with refusal(errors.LIMIT_REACHED):
        parse_users(Answer({"users": [{"id": "1"}, None]}, errors=(left_out,)))
