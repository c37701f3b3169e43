"""What `/_control/` is given: numbers and words out of a JSON object, or a 400 that says what is wrong."""

from collections.abc import Callable
from typing import Any

from sandbox.errors import FieldError
from sandbox.faults import FaultError
from sandbox.web import BadRequestError, Request, Response, json_response


def guarded(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Only JSON may change anything, which no form of another site can send; refusals become 400."""

    def answer(request: Request, *ids: int) -> Response:
        if request.method != "DELETE" and not request.is_json():
            return json_response({"error": "Send this as application/json"}, 415)
        try:
            return handler(request, *ids)
        except FieldError as refused:
            return json_response({"error": str(refused), "code": refused.extensions["code"]}, 400)
        except FaultError as bad:
            return json_response({"error": str(bad)}, 400)

    return answer


def number(given: dict[str, Any], key: str, default: int | None = None) -> int:
    """A whole number, which may come as a string, as ids do."""
    try:
        return int(given.get(key, default))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(f"{key} must be a whole number") from None


def words(given: dict[str, Any], key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        raise BadRequestError(f"{key} must be a string")
    return value
