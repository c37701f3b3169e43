"""What `/_control` is asked, checked value by value; what makes no sense is refused in a sentence."""

from typing import Any


class BadRequestError(Exception):
    """Answered with 400 and the text."""


def whole(value: Any, name: str, least: int, most: int, words: str = "") -> int:
    """A whole number from `least` to `most`; `words` say it in another way."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequestError(words or f"{name} is a whole number from {least} to {most:,}")
    return value


def amount(value: Any, words: str, most: float, least: float = 0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequestError(words)
    return value


def one_of(value: Any, name: str, known: Any) -> Any:
    if value not in known:
        raise BadRequestError(f"{name} is one of {', '.join(known)}")
    return value


def number(given: dict[str, Any], key: str, default: int | None = None) -> int:
    """A whole number, which may come as a string, as ids do."""
    try:
        return int(given.get(key, default))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(f"{key} must be a whole number") from None


def text(given: dict[str, Any], key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        raise BadRequestError(f"{key} must be a string")
    return value
