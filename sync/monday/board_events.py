"""How Monday reports changes: webhooks, with the check of their signature, and a board's activity log.

The `type` in a delivery differs from the event's name in the subscription, and the item's id has another key for
archived, deleted and restored items (developer.monday.com/api-reference/reference/webhooks, and captures of 2025).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import jwt

from sync.monday import graphql
from sync.monday.board_items import BOARD_FIELDS, NAME_COLUMN, Board, parse_board
from sync.monday.conversion import api_column_type
from sync.monday.errors import BOARD_NOT_FOUND, LOG_SHAPE_CHANGED, MondayError


class EventKind(StrEnum):
    """What happened to an item, by the `type` of deliveries; OTHER events concern no record (updates, columns)."""

    CREATED = "create_pulse"
    COLUMN = "update_column_value"
    RENAMED = "update_name"
    ARCHIVED = "archive_pulse"
    DELETED = "delete_pulse"
    RESTORED = "restore_pulse"
    MOVED = "move_pulse_into_group"
    OTHER = ""

    @classmethod
    def _missing_(cls, value: object) -> EventKind:
        return cls.OTHER


# Prefix of the trigger id of a delivery that comes from the activity log instead of a webhook.
LOG_PREFIX = "log:"


class InvalidEvent(ValueError):
    """The body is not a webhook event; the message says why."""


class InvalidSignature(Exception):
    """A delivery may not be Monday's; the message never shows the token or the secret."""


@dataclass(frozen=True)
class ItemEvent:
    """What one delivery reports. Ids are texts here, numbers on the wire."""

    kind: EventKind
    type: str
    trigger_id: str | None
    board_id: str
    item_id: str | None
    column_id: str | None = None  # "name" for a renamed item, and `value` has that key
    column_type: str | None = None  # GraphQL's name of the type
    value: Any = None
    previous_value: Any = None
    user_id: str | None = None
    item_name: str | None = None
    column_values: Mapping[str, Any] | None = None
    group_id: str | None = None  # to which it was moved
    happened_at: datetime | None = None  # when the trigger fired (triggerTime)
    changed_at: datetime | None = None  # when the column was changed (changedAt, seconds), shortly before
    has_previous: bool = False  # whether the body has a previous value, even an empty one


# Each has a webhook, all to the same address.
WEBHOOK_EVENTS = (
    "create_item",
    "change_column_value",
    "change_name",
    "item_archived",
    "item_deleted",
    "item_restored",
    "item_moved_to_any_group",
)

MAX_URL_CHARACTERS = 255  # of a webhook (developer.monday.com/api-reference/reference/webhooks)

# The board's webhooks, other programs' too; their addresses are not returned (the same page).
READ_WEBHOOKS = "query Webhooks($board: ID!) { webhooks(board_id: $board) { id board_id event } }"

CREATE_WEBHOOK = """mutation CreateWebhook($board: ID!, $url: String!, $event: WebhookEventType!) {
  create_webhook(board_id: $board, url: $url, event: $event) { id board_id event }
}"""

DELETE_WEBHOOK = "mutation DeleteWebhook($id: ID!) { delete_webhook(id: $id) { id } }"


def url_fingerprint(url: str) -> str:
    """Return a short hash of an address, because the address may hold a secret."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


REMOVAL_TYPES = frozenset[str]({EventKind.ARCHIVED, EventKind.DELETED})

# Paths of keys in stored deliveries, for queries.
USER_ID_PATH = ("event", "userId")
HAPPENED_AT_PATH = ("event", "triggerTime")
# The item's name is at the first of these that exists.
ITEM_NAME_PATHS = (("event", "pulseName"), ("event", "itemName"))


def parse_event(body: Any) -> ItemEvent:
    """Parse a delivery's body; raises InvalidEvent where it isn't one, or lacks its board or item."""
    event = body.get("event") if isinstance(body, Mapping) else None
    if not isinstance(event, Mapping):
        raise InvalidEvent("The body has no event.")
    kind = EventKind(str(event.get("type")))
    # Subitem events have the same types, but their board is a separate one that isn't synced.
    if event.get("parentItemId") is not None:
        kind = EventKind.OTHER
    board_id = _id_under(event, "boardId")
    item_id = _id_under(event, "pulseId", "itemId")
    # Events that concern no record may lack both.
    if kind is not EventKind.OTHER and (board_id is None or item_id is None):
        raise InvalidEvent(f"The event {event.get('type')!r} names no {'item' if board_id else 'board'}.")
    is_rename = kind is EventKind.RENAMED
    value = event.get("value")
    item_name = _text_or_none(event.get("pulseName")) or _text_or_none(event.get("itemName"))
    # Captures of renames have the name only in the value.
    if is_rename and isinstance(value, Mapping):
        item_name = _text_or_none(value.get("name"))
    column_type = _text_or_none(event.get("columnType"))
    column_values = event.get("columnValues")
    return ItemEvent(
        kind=kind,
        type=str(event.get("type") or ""),
        trigger_id=_text_or_none(event.get("triggerUuid")),
        board_id=board_id or "",
        item_id=item_id,
        column_id=NAME_COLUMN if is_rename else _text_or_none(event.get("columnId")),
        column_type=NAME_COLUMN if is_rename else column_type and api_column_type(column_type),
        value=value,
        previous_value=event.get("previousValue"),
        # Monday's own automations have a negative id.
        user_id=_id_under(event, "userId", pattern=_USER_ID),
        item_name=item_name,
        column_values=column_values if isinstance(column_values, Mapping) else None,
        group_id=_text_or_none(event.get("destGroupId")),
        happened_at=graphql.time_or_none(event.get("triggerTime")),
        changed_at=graphql.plausible_time(_parse_timestamp(event.get("changedAt"))),
        has_previous="previousValue" in event,
    )


# As Monday writes them: a query for “07” would answer the item 7, which wouldn't be recognized.
_ID = re.compile(r"[1-9][0-9]{0,19}")
_USER_ID = re.compile(r"-?[0-9]{1,20}")


def _id_under(event: Mapping[str, Any], *keys: str, pattern: re.Pattern[str] = _ID) -> str | None:
    for key in keys:
        value = event.get(key)
        # A bool is an int in Python, but no id.
        if isinstance(value, int | str) and not isinstance(value, bool) and pattern.fullmatch(str(value)):
            return str(value)
    return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


LEEWAY = timedelta(minutes=1)  # between two clocks


def verify_jwt(token: str, secret: str, audience: str, now: datetime) -> Mapping[str, Any]:
    """Check the JWT of a delivery's Authorization header and return its claims.

    Checks the signature (HS256 only), the address for which it was issued, and its time. Raises InvalidSignature, also
    without a secret, because anybody can sign a token with an empty one.
    """
    if not secret:
        raise InvalidSignature("No signing secret is set; set MONDAY_SIGNING_SECRET.")
    try:
        # PyJWT's own time checks read the machine's clock.
        claims: Mapping[str, Any] = jwt.decode(
            token.removeprefix("Bearer ").strip(),
            secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
        )
    except jwt.PyJWTError as error:
        raise InvalidSignature("The webhook's signature is not Monday's.") from error
    audiences = claims.get("aud")
    addresses = audiences if isinstance(audiences, list) else [audiences]
    # A proxy may add or drop the last slash.
    if audience.rstrip("/") not in {str(address).rstrip("/") for address in addresses if address}:
        raise InvalidSignature("The webhook was signed for another address; check SITE_URL.")
    expires = _parse_timestamp(claims.get("exp"))
    starts = [_parse_timestamp(claims.get("iat")), _parse_timestamp(claims.get("nbf"))]
    # Without an end a stolen token would be valid for ever.
    if expires is None:
        raise InvalidSignature("The webhook's signature has no end of validity.")
    if now - LEEWAY > expires:  # in this order nothing overflows
        raise InvalidSignature("The webhook's signature has expired.")
    if any(start is not None and now + LEEWAY < start for start in starts):
        raise InvalidSignature("The webhook's signature is from the future; check the clock of this machine.")
    return claims


def _parse_timestamp(claim: Any) -> datetime | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (OverflowError, OSError, ValueError):
        return None


@dataclass(frozen=True)
class ActivityEntry:
    """A row of the log. Ids are texts."""

    id: str
    event: str
    user_id: str
    at: datetime  # when it happened, by Monday's clock
    item_ids: Sequence[str] = ()  # one, several in a batch action, or none; without sub-items
    data: Mapping[str, Any] = field(default_factory=dict)  # the event's details


# The id of a row that can't be read; its time is its neighbour's.
UNREADABLE_ROW = ""


@dataclass(frozen=True)
class BoardActivity:
    """The answer to `board_activity_query`."""

    board: Board
    log: list[ActivityEntry] | None  # the newest page; None in an unknown shape
    hooks: Mapping[str, str] | None  # events of webhooks by id, other programs' too; None where they can't be read
    log_problem: MondayError | None = None  # why there is no log
    user_id: str = ""  # the token's user
    log_cursor: str | None = None  # of the log's next page


class LogForm(NamedTuple):
    """How an API version asks for a page of a board's log; an answer of any other form is a LOG_SHAPE_CHANGED error."""

    time_type: str  # of `from` and `to`
    page: str  # the argument that chooses a page: "page", its number, or "cursor"
    page_type: str
    rows: int  # of a page, at most
    fields: str  # of the answer


_ROW = "id event entity data user_id created_at"

# Of one query with all its pages, at most (developer.monday.com/api-reference/reference/activity-logs as of 2026-10).
LOG_ROWS = 10_000
NUMBERED_PAGES = LogForm("ISO8601DateTime", "page", "Int", 1_000, _ROW)

# developer.monday.com/api-reference/changelog/board-activity-logs-cursor-pagination-and-90-day-limit; the pages of
# users' logs, which are similar, have 200 rows at most.
CURSOR_PAGES_SINCE = "2027-01"
CURSOR_PAGES = LogForm("String", "cursor", "String", 200, f"logs {{ {_ROW} }} cursor")


def log_form(version: str) -> LogForm:
    """Return the form of the log in this API version."""
    return CURSOR_PAGES if version >= CURSOR_PAGES_SINCE else NUMBERED_PAGES


def board_activity_query(board_id: str, since: datetime, form: LogForm) -> graphql.Document:
    """Return the query for all that a sweep needs of a board since a time: its columns, log and webhooks."""
    text = f"""query BoardActivity($board: ID!, $from: {form.time_type}, $rows: Int) {{
  {graphql.COMPLEXITY}
  boards(ids: [$board], state: all, limit: 1) {{
    {BOARD_FIELDS}
    activity_logs(from: $from, limit: $rows) {{ {form.fields} }}
  }}
  webhooks(board_id: $board) {{ id event }}
  me {{ id }}
}}"""
    return graphql.Document(text, {"board": board_id, "from": _format_iso(since), "rows": form.rows})


def log_page_query(
    board_id: str, since: datetime, form: LogForm, page: int | str | None, until: datetime | None = None
) -> graphql.Document:
    """Return the query for a further page of the log, newest first, by its number or a cursor.

    `until` is its end where 10,000 rows were not enough.
    """
    text = f"""query LogPage(
  $board: ID!, $from: {form.time_type}, $to: {form.time_type}, $rows: Int, $page: {form.page_type}
) {{
  {graphql.COMPLEXITY}
  boards(ids: [$board], state: all, limit: 1) {{
    id activity_logs(from: $from, to: $to, limit: $rows, {form.page}: $page) {{ {form.fields} }}
  }}
}}"""
    variables = {"board": board_id, "from": _format_iso(since), "rows": form.rows, "page": page}
    return graphql.Document(text, variables | {"to": _format_iso(until, round_up=True) if until else None})


def parse_board_activity(answer: graphql.Answer) -> BoardActivity:
    """Parse the answer to `board_activity_query`.

    Raises BOARD_NOT_FOUND where the board isn't active; UNREADABLE_ANSWER, or its error, for a missing part, which must
    not look as if nothing had happened. Only the webhooks may be missing, because a sweep doesn't depend on them.
    """
    node = _board_node(answer)
    board = parse_board(node)
    if not board.is_active:
        raise MondayError(BOARD_NOT_FOUND, f"The board is {board.state}", request_id=answer.request_id)
    log = None
    log_problem = None
    cursor = None
    try:
        log, cursor = _parse_entries(answer, node)
    except MondayError as error:
        if error.kind is not LOG_SHAPE_CHANGED:
            raise
        log_problem = error
    hooks = None
    nodes = answer.data.get("webhooks")
    if isinstance(nodes, list) and not answer.errors_of("webhooks"):
        hooks = {str(node["id"]): str(node["event"]) for node in nodes if isinstance(node, Mapping)}
    me = answer.data.get("me") or {}
    return BoardActivity(board, log, hooks, log_problem, str(me.get("id") or ""), cursor)


def parse_log_page(answer: graphql.Answer) -> tuple[list[ActivityEntry], str | None]:
    """Parse the answer to `log_page_query`: its rows, and the next page's cursor; raises MondayError."""
    return _parse_entries(answer, _board_node(answer))


def _parse_entries(answer: graphql.Answer, node: Mapping[str, Any]) -> tuple[list[ActivityEntry], str | None]:
    for error in answer.errors_of("boards"):
        # An error of the board itself concerns everything below it.
        if "activity_logs" in error.path or len(error.path) <= 2:
            raise error
    log = node.get("activity_logs")
    rows = log
    cursor = None
    if isinstance(log, Mapping):
        rows = log.get("logs")
        cursor = log.get("cursor")
    if not isinstance(rows, list):
        raise MondayError(LOG_SHAPE_CHANGED, "Monday's activity log has an unknown shape", request_id=answer.request_id)
    parsed = [_entry_or_problem(row, answer.request_id) for row in rows]
    readable = [entry for entry in parsed if isinstance(entry, ActivityEntry)]
    entries: list[ActivityEntry] = []
    for entry in parsed:
        if isinstance(entry, ActivityEntry):
            entries.append(entry)
        elif not readable:
            raise entry
        else:
            # It hides no other row, and stays in its page, whose length says whether more follow.
            neighbour = entries[-1] if entries else readable[0]
            entries.append(ActivityEntry(UNREADABLE_ROW, "", "", neighbour.at))
    return entries, str(cursor) if cursor else None


def _entry_or_problem(row: Any, request_id: str | None) -> ActivityEntry | MondayError:
    try:
        return parse_entry(row, request_id)
    except MondayError as problem:
        return problem


def _board_node(answer: graphql.Answer) -> Mapping[str, Any]:
    nodes = answer.data.get("boards")
    if isinstance(nodes, list) and nodes and isinstance(nodes[0], Mapping):
        return nodes[0]
    for error in answer.errors:
        if error.path_alias in (None, "boards"):
            raise error
    if not isinstance(nodes, list):
        raise answer.failure("boards", "Monday answered no board")
    raise MondayError(
        BOARD_NOT_FOUND, "The board is missing, or hidden from NPD Sync's user on Monday", request_id=answer.request_id
    )


def _format_iso(moment: datetime, *, round_up: bool = False) -> str:
    """Format a time in whole seconds; `round_up` for the end of a query that must not leave out a row."""
    whole = moment.astimezone(UTC).replace(microsecond=0)
    return f"{whole + timedelta(seconds=1) if round_up else whole:%Y-%m-%dT%H:%M:%SZ}"


# The names of the log's events come from published probes of 2026-05 and community topic 45686, the form of its rows
# from developer.monday.com/api-reference/reference/activity-logs as of 2026-10. Since 2027-01 each key may be null.

_TICKS_PER_SECOND = 10**7


def parse_entry(row: Any, request_id: str | None = None) -> ActivityEntry:
    """Parse a row in the shape of version 2026-10; raises MondayError (LOG_SHAPE_CHANGED)."""
    try:
        data = row["data"]
        details = graphql.mapping_or_empty(json.loads(data) if isinstance(data, str) else data)
        # Sub-items are on a separate board that isn't synced.
        is_item = row["entity"] == "pulse" and details.get("parent_item_id") is None
        ids = details.get("pulse_ids")
        if not isinstance(ids, list):
            ids = [details.get("pulse_id", graphql.mapping_or_empty(details.get("pulse")).get("id"))]
        if not row["id"]:  # rows without an id would all count as the same row
            raise ValueError("no id")
        return ActivityEntry(
            id=str(row["id"]),
            event=str(row["event"] or ""),
            user_id=str(row["user_id"] or ""),
            at=_row_time(row["created_at"]),
            item_ids=[str(item_id) for item_id in ids if is_item and isinstance(item_id, int | str) and str(item_id)],
            data=details,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        message = f"A row of Monday's activity log can't be read ({type(error).__name__})"
        raise MondayError(LOG_SHAPE_CHANGED, message, request_id=request_id) from error


def _row_time(created_at: Any) -> datetime:
    """Parse a row's time: 17 digits, ticks of 100 ns since 1970 (community topic 45686), or ISO; raises ValueError."""
    text = str(created_at)
    if text.isascii() and text.isdecimal() and len(text) == 17:
        seconds, rest = divmod(int(text), _TICKS_PER_SECOND)
        moment = graphql.plausible_time(datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest // 10))
    else:
        # Any other form, such as a date or seconds, must be an error and not another time.
        moment = graphql.time_or_none(created_at) if "T" in text else None
    if moment is None:
        raise ValueError("a time of another form")
    return moment


def _iso_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def webhook_bodies(entry: ActivityEntry, board_id: str) -> Iterator[dict[str, Any]]:
    """Yield the webhook bodies that would report a row, one for each item; none if Monday has no webhook for it.

    The trigger's id contains the row's id, so a row that is read again is stored only once.
    """
    kind = _kind_of(entry)
    if kind is EventKind.OTHER:
        return
    data = entry.data
    event: dict[str, Any] = {
        "type": kind.value,
        # The prefix distinguishes it from the ids of real webhooks.
        "triggerUuid": f"{LOG_PREFIX}{entry.id}",
        "triggerTime": _iso_text(entry.at),
        "boardId": board_id,
        "pulseName": data.get("pulse_name"),
        "userId": entry.user_id,
        "originalTriggerUuid": None,
    }
    if kind in (EventKind.COLUMN, EventKind.RENAMED):
        event |= {"value": data.get("value"), "previousValue": data.get("previous_value")}
        event["changedAt"] = entry.at.timestamp()
    if kind is EventKind.COLUMN:
        event |= {"columnId": data.get("column_id"), "columnType": data.get("column_type")}
        event["columnTitle"] = data.get("column_title")
    if kind is EventKind.CREATED:
        # A JSON text within the row's own (community topic 45686).
        event["columnValues"] = dict(graphql.json_object(data.get("column_values_json")))
    for item_id in entry.item_ids:
        yield {"event": event | {"pulseId": item_id}}


def created_items(entries: Iterable[ActivityEntry], user_id: str) -> list[str]:
    """Return the items whose creation by this user is in the log; by anybody if the user isn't known."""
    creations = [entry for entry in entries if _kind_of(entry) is EventKind.CREATED]
    return [item_id for entry in creations if user_id in ("", entry.user_id) for item_id in entry.item_ids]


def minimal_webhook_body(entry: ActivityEntry, board_id: str, item_id: str) -> dict[str, Any]:
    """Return a delivery's body that only reports that an item changed."""
    return {"event": {"type": entry.event, "boardId": board_id, "pulseId": item_id, "triggerTime": _iso_text(entry.at)}}


def has_no_values(entry: ActivityEntry) -> bool:
    """Return whether the row reports changed items without their values, so that their records need a pass."""
    return entry.event in _WITHOUT_VALUES


# By a row's event, where it isn't named as its webhook is.
_OTHER_NAMES = {
    "archive_group_pulse": EventKind.ARCHIVED,
    "delete_group_pulse": EventKind.DELETED,
    "batch_archive_pulses": EventKind.ARCHIVED,
    "batch_delete_pulses": EventKind.DELETED,
}


def _kind_of(entry: ActivityEntry) -> EventKind:
    return _OTHER_NAMES.get(entry.event) or EventKind(entry.event)


BATCH_CHANGE = "batch_change_pulses_column_value"
_MOVES = frozenset({"move_pulse_from_board", "move_pulse_into_board"})
_WITHOUT_VALUES = _MOVES | {BATCH_CHANGE, "duplicate_pulse"}

# The `type` of the stored events that say that an item is, or was, off its board.
OFF_BOARD_TYPES = REMOVAL_TYPES | {EventKind.RESTORED} | _MOVES
