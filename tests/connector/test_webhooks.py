"""Deliveries: what they say about an item, and whether they come from Monday."""

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.monday.board_events import EventKind, InvalidEvent, InvalidSignature, parse_event, verify_jwt
from tests.inbox.conftest import body

SECRET = "0123456789abcdef0123456789abcdef"
AUDIENCE = "https://npd.test/webhooks/monday/"
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event_type", "fields", "kind"),
    [
        ("create_pulse", {"pulseId": 11, "pulseName": "New", "columnValues": {}}, EventKind.CREATED),
        ("update_column_value", {"pulseId": 11, "columnId": "c", "columnType": "text"}, EventKind.COLUMN),
        ("update_name", {"pulseId": 11, "value": {"name": "New"}}, EventKind.RENAMED),
        ("archive_pulse", {"itemId": 11, "itemName": "New"}, EventKind.ARCHIVED),
        ("delete_pulse", {"itemId": 11, "itemName": "New"}, EventKind.DELETED),
        ("restore_pulse", {"itemId": 11, "itemName": "New", "value": {"state": 1}}, EventKind.RESTORED),
        ("move_pulse_into_group", {"pulseId": 11, "destGroupId": "g"}, EventKind.MOVED),
        ("create_column", {"columnId": "text_1"}, EventKind.OTHER),
        ("something_new", {"pulseId": 11}, EventKind.OTHER),
        ("create_pulse", {"pulseId": 11, "parentItemId": "5", "parentItemBoardId": "6"}, EventKind.OTHER),
    ],
)
def test_a_delivery_says_what_happened_to_which_item(event_type: str, fields: dict[str, Any], kind: EventKind) -> None:
    event = parse_event(body(**{"type": event_type, "pulseId": ..., "triggerUuid": "a1"} | fields))
    assert (event.kind, event.type, event.board_id) == (kind, event_type, "7786780000")
    assert event.item_id == (None if event_type == "create_column" else "11")
    assert (event.trigger_id, event.user_id) == ("a1", "67210000")
    assert event.happened_at == datetime(2026, 2, 5, 17, 56, 59, 644000, tzinfo=UTC)


def test_a_rename_is_an_event_of_the_name_s_column() -> None:
    fields = {"value": {"name": "New name"}, "previousValue": {"name": "Old name"}}
    event = parse_event(body(type="update_name", **fields))
    assert (event.column_id, event.column_type, event.item_name) == ("name", "name", "New name")
    assert event.previous_value == {"name": "Old name"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["event", "type", "boardId", "pulseId", "value", "triggerTime"]), inner, max_size=6
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_an_event_or_refused(json: Any) -> None:
    try:
        event = parse_event(json)
    except InvalidEvent:
        return
    assert event.kind is EventKind.OTHER or (event.board_id and event.item_id)


@pytest.mark.parametrize("time", ["yesterday", None])
def test_a_missing_or_odd_time_is_no_time(time: str | None) -> None:
    assert parse_event(body(triggerTime=time)).happened_at is None


def _token(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    claims = {
        "accountId": 1,
        "userId": 2,
        "aud": AUDIENCE,
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(minutes=5)).timestamp()),
    } | changes
    return jwt.encode({key: value for key, value in claims.items() if value is not None}, secret, algorithm)


@pytest.mark.parametrize("audience", [AUDIENCE, AUDIENCE.rstrip("/"), [AUDIENCE, "https://other.test/"]])
def test_the_last_slash_of_the_address_does_not_matter(audience: Any) -> None:
    assert verify_jwt(_token(aud=audience), SECRET, AUDIENCE.rstrip("/"), NOW)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (_token(secret="f" * 32), "not Monday's"),
        (_token()[:-2], "not Monday's"),
        ("", "not Monday's"),
        (_token(aud="https://other.test/"), "another address"),
        (_token(aud=None), "another address"),
        (_token(exp=None), "no end of validity"),
        (_token(exp=int((NOW - timedelta(seconds=61)).timestamp())), "has expired"),
        (_token(iat=int((NOW + timedelta(seconds=61)).timestamp())), "from the future"),
        (jwt.encode({"aud": AUDIENCE}, None, "none"), "not Monday's"),
    ],
)
def test_a_wrong_signature_is_refused_for_its_reason(token: str, expected: str) -> None:
    with pytest.raises(InvalidSignature, match=expected) as caught:
        verify_jwt(token, SECRET, AUDIENCE, NOW)
    assert SECRET not in str(caught.value)
    assert not token or token not in str(caught.value)


def test_another_algorithm_is_refused_also_with_the_right_secret() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns that the key is short for HS512
        token = _token(algorithm="HS512")
    with pytest.raises(InvalidSignature):
        verify_jwt(token, SECRET, AUDIENCE, NOW)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(InvalidSignature, match="MONDAY_SIGNING_SECRET"):
        verify_jwt(_token(), "", AUDIENCE, NOW)


@pytest.mark.parametrize("late", [timedelta(minutes=5, seconds=59), timedelta(seconds=-59)])
def test_clocks_may_differ_by_a_minute(late: timedelta) -> None:
    assert verify_jwt(_token(), SECRET, AUDIENCE, NOW + late)
