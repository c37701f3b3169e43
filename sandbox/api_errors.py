"""Monday's errors, as its API words them (developer.monday.com/api-reference/docs/error-handling).

`FieldError` refuses one field of a request: it becomes an entry of `errors` and a null in `data`. `RequestError` ends
the whole request with an HTTP status. Where recorded answers differ from that page, the recordings count: "monday_ruby"
are those of github.com/sanifhimani/monday_ruby, "notes" are users' notes on live answers of 2026-07, and numbers are
topics of community.monday.com.
"""

from typing import Any

SERVICE = "monolith"  # of refused fields and internal errors since 2025-10 (monday_ruby)


class FieldError(Exception):
    """One field refused; `code` and `status_code` are Monday's own, inside an HTTP 200."""

    def __init__(self, message: str, code: str, status_code: int = 200, **error_data: Any) -> None:
        super().__init__(message)
        self.extensions: dict[str, Any] = {"code": code, "status_code": status_code, "error_data": error_data}
        self.extensions["service"] = SERVICE


class RequestError(Exception):
    """The whole request refused: an HTTP status and one error without `data`."""

    # Recorded answers lack the one or the other, see the functions that set them.
    has_request_id = True
    names_version = True

    def __init__(self, status: int, message: str, code: str, retry_after: int | None = None, **extensions: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        # A limit says it in the body too (docs/rate-limits); other waits are only in the header.
        if retry_after is not None and status == 429:
            extensions["retry_in_seconds"] = retry_after
        self.errors: list[dict[str, Any]] = [{"message": message, "extensions": {"code": code, **extensions}}]


def item_not_found(item_id: int | None) -> FieldError:
    shown_id = None if item_id is None or item_id < 0 else item_id  # negative: the id in the request was no number
    return FieldError("Item not found", "InvalidItemIdException", item_id=shown_id)


def _not_found(resource: str, message: str, **about: Any) -> FieldError:
    return FieldError(message, "ResourceNotFoundException", 404, resource_type=resource, **about)


def item_not_on_board(item_id: int, board_id: int) -> FieldError:
    about = {"item_id": item_id, "pulse_id": item_id, "board_id": board_id, "error_reason": None}
    return _not_found("item", "Item not found in board", **about)


def item_inactive(board_id: int, item_id: int) -> FieldError:
    return FieldError(
        "Cannot change column value for inactive items",
        "ColumnValueException",
        board_id=board_id,
        inactive_pulse_ids=[str(item_id)],
    )


def board_not_found(board_id: int) -> FieldError:
    return FieldError("The board does not exist", "InvalidBoardIdException", board_id=board_id)


MISSING_COLUMN = "store.monday.automation.error.missing_column"


def column_not_found(column_id: str) -> FieldError:
    """For writes; filter rules have `filter_column_not_found`."""
    message = "This column ID doesn't exist for the board"
    code = "InvalidColumnIdException"
    return FieldError(message, code, column_id=column_id, board_id=None, error_reason=MISSING_COLUMN)


def filter_column_not_found(column_id: str, board_id: int) -> FieldError:
    about = {"column_id": column_id, "board_id": board_id, "error_reason": MISSING_COLUMN}
    return _not_found("column", "Column not found", **about)


def group_not_found(group_id: str, board_id: int) -> FieldError:
    return _not_found("group", "Group not found", group_id=group_id, board_id=board_id)


def bad_value(reason: str, column_type: str) -> FieldError:
    """A column value of the wrong shape; `column_type` is Monday's old internal name."""
    return FieldError(
        f"invalid value - {reason}. Please check our API documentation for the correct data structure "
        "for this column. https://developer.monday.com/api-reference/docs/change-column-values",
        "ColumnValueException",
        column_type=column_type,
    )


def item_too_large() -> FieldError:
    """Monday publishes the limit (about 64 KB of values an item) but no body; the words are ours."""
    return FieldError("The values of this item would take more than 64 KB", "ColumnValueException")


def email_not_valid() -> FieldError:
    return FieldError("email is not valid", "ColumnValueException")


def name_too_long(name: str) -> FieldError:
    return FieldError(
        "item_name is too long. Item names must be below 256 characters.", "ItemNameTooLongException", item_name=name
    )


def invalid_argument(message: str, **error_data: Any) -> FieldError:
    return FieldError(message, "InvalidArgumentException", **error_data)


def not_json(text: str) -> FieldError:
    return FieldError("Syntax error in JSON input", "JsonParseException", 400, json=text)


def cursor_expired() -> FieldError:
    return FieldError(
        "CursorExpiredError: The cursor provided for pagination has expired. "
        "Please refresh your query and obtain a new cursor to continue fetching items",
        "CursorException",
    )


def internal_error() -> RequestError:
    return RequestError(200, "Internal server error", "INTERNAL_SERVER_ERROR")


def last_group(group_id: str, board_id: int) -> FieldError:
    return FieldError(
        "Board must have at least one group", "DeleteLastGroupException", 409, group_id=group_id, board_id=board_id
    )


def items_limit(board_id: int, limit: int) -> FieldError:
    """Monday publishes the code but no body for a full board; the words are ours."""
    return FieldError(
        f"The board has reached its limit of {limit} items", "ItemsLimitationException", board_id=board_id
    )


def not_authenticated() -> RequestError:
    """Without a request id and a version (monday_ruby, 2025-10)."""
    refusal = RequestError(401, "Not authenticated", "NOT_AUTHENTICATED")
    refusal.has_request_id = False
    return refusal


def invalid_document(messages: list[dict[str, Any]]) -> RequestError:
    """A document or variables that don't fit the schema: HTTP 200, without a code or a version (monday_ruby, 2025-10).

    Versions before 2025-10 answered HTTP 400 and a code (116967, 101224).
    """
    refusal = RequestError(200, messages[0]["message"], "")
    refusal.names_version = False
    refusal.errors = messages
    return refusal


def unparsable_document(message: str, locations: list[Any]) -> RequestError:
    """Monday's parser goes on after its first error, so there is more than one entry (106532, 109054)."""
    refusal = RequestError(400, message, "PARSING_ERROR")
    entry = {"locations": locations, "extensions": {"code": "PARSING_ERROR"}}
    # The second stands for what Monday's parser says when it goes on after the first.
    messages = (message, "expected definition")
    refusal.errors = [{"message": f"parsing error: syntax error: {part}"} | entry for part in messages]
    return refusal


def column_type_unsupported(column_type: str) -> FieldError:
    """As create_column answered in 2025-04 (113689)."""
    message = "This column type is not supported yet in the API"
    return FieldError(message, "InvalidColumnTypeException", column_id=None, actual_type=column_type)


def other_boards_items() -> FieldError:
    """A relation to items of boards that its column isn't connected to (67850)."""
    return FieldError("There are items that are not in the connected boards", "ColumnValueException")


def bad_body(details: str) -> RequestError:
    return RequestError(400, "Invalid GraphQL request", "INVALID_GRAPHQL_REQUEST", details=details)


def minute_limit(seconds: int) -> RequestError:
    return RequestError(429, "Minute rate limit exceeded", "MINUTE_RATE_LIMIT_EXCEEDED", retry_after=seconds)


def concurrency_limit(seconds: int) -> RequestError:
    return RequestError(429, "Too many concurrent requests", "MAX_CONCURRENCY_EXCEEDED", retry_after=seconds)


def daily_limit(seconds: int) -> RequestError:
    return RequestError(429, "Daily limit exceeded", "DAILY_LIMIT_EXCEEDED", retry_after=seconds)


def complexity_limit(seconds: int) -> RequestError:
    return RequestError(429, "Complexity budget exhausted", "COMPLEXITY_BUDGET_EXHAUSTED", retry_after=seconds)


def query_too_complex(cost: int, limit: int) -> RequestError:
    """One request over its own limit: no wait helps. HTTP 200, the body as in 93611."""
    return RequestError(
        200,
        f"Query has complexity of {cost}, which exceeds max complexity of {limit}",
        "maxComplexityExceeded",
        complexity=cost,
        maxComplexity=limit,
    )


def field_limit(field: str, seconds: int) -> FieldError:
    refusal = FieldError("Concurrency limit exceeded for the field", "FIELD_LIMIT_EXCEEDED", 429, entity=field)
    refusal.extensions["retry_in_seconds"] = seconds
    return refusal


def idempotency_conflict() -> RequestError:
    return RequestError(
        409, "A request with this idempotency key is currently being processed", "IDEMPOTENCY_CONFLICT", retry_after=1
    )
