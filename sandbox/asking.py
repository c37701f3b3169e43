"""What `POST /_control/faults` may ask for; everything else is refused in a sentence."""

from typing import Any

from sandbox.faults import Fault, FaultError, Partial

LONGEST_SECONDS = 86_400
LARGEST_COUNT = 1_000_000
LIMITS = ("complexity", "minute", "daily", "concurrency", "ip", "field", "subgraph")
KINDS = ("status", "timeout", "limit", "slow", "partial", "cursor", "listing", "stale")
EXTRAS = {
    "status": {"body", "retry_after"},
    "timeout": {"seconds"},
    "limit": {"retry_in", "header"},
}
# A time-out or a partial failure is about what was applied, so reads in between do not use it up.
DEFAULT_ON = {"timeout": "mutation", "partial": "mutation"}


def fault_from(given: Any) -> Fault:
    """The fault that a JSON object describes. Raises FaultError."""
    if not isinstance(given, dict):
        raise FaultError("a fault is a JSON object")
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        raise FaultError(f"a fault has exactly one of {', '.join(KINDS)}")
    kind = kinds[0]
    unknown = set(given) - {kind, "count", "skip", "on"} - EXTRAS.get(kind, set())
    if unknown:
        raise FaultError(f"unknown keys for a fault with {kind}: {', '.join(sorted(unknown))}")
    _check_common(given)
    wanted: dict[str, Any] = {"on": DEFAULT_ON.get(kind, "any")} | given
    wanted[kind] = CHECKS[kind](given)
    return Fault(**wanted)


def _check_common(given: dict[str, Any]) -> None:
    _whole(given.get("count", 1), "count", 1, LARGEST_COUNT)
    _whole(given.get("skip", 0), "skip", 0, LARGEST_COUNT)
    if not isinstance(given.get("on", "any"), str):
        raise FaultError("on is any, query, mutation, or the name of a field")


def _status(given: dict[str, Any]) -> int:
    status = _whole(given["status"], "status", 200, 599, "status is an HTTP status from 200 to 599")
    if given.get("retry_after") is not None:
        _seconds(given["retry_after"], "retry_after")
    return status


def _timeout(given: dict[str, Any]) -> str:
    if given["timeout"] not in ("before", "after"):
        raise FaultError('timeout is "before" or "after"')
    _seconds(given.get("seconds", 0), "seconds")
    return str(given["timeout"])


def _limit(given: dict[str, Any]) -> str:
    if given["limit"] not in LIMITS:
        raise FaultError(f"limit is one of {', '.join(LIMITS)}")
    if given.get("retry_in") is not None:
        _whole(given["retry_in"], "retry_in", 0, LONGEST_SECONDS)
    if not isinstance(given.get("header", True), bool):
        raise FaultError("header is true or false: whether the answer has a Retry-After")
    return str(given["limit"])


def _slow(given: dict[str, Any]) -> float:
    return _seconds(given["slow"], "slow")


def _partial(given: dict[str, Any]) -> Partial:
    asked = given["partial"]
    if not isinstance(asked, dict) or ("aliases" in asked) == ("every" in asked):
        raise FaultError('partial is an object with either "aliases" or "every"')
    unknown = set(asked) - {"aliases", "every", "code", "applied", "no_data"}
    if unknown:
        raise FaultError(f"unknown keys in partial: {', '.join(sorted(unknown))}")
    aliases = asked.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise FaultError("aliases is a list of strings")
    every = _whole(asked.get("every", 1), "every", 1, LARGEST_COUNT)
    if not isinstance(asked.get("code", ""), str):
        raise FaultError("code is one of Monday's error codes")
    for key in ("applied", "no_data"):
        if not isinstance(asked.get(key, False), bool):
            raise FaultError(f"{key} is true or false")
    return Partial(**asked | {"aliases": tuple(aliases), "every": every if "every" in asked else 0})


def _cursor(given: dict[str, Any]) -> str:
    if given["cursor"] != "expired":
        raise FaultError('cursor is "expired"')
    return "expired"


def _listing(given: dict[str, Any]) -> int:
    if given["listing"] == "empty":
        return 0
    return _whole(
        given["listing"], "listing", 0, LARGEST_COUNT, 'listing is "empty" or how many items are shown'
    )


def _stale(given: dict[str, Any]) -> float:
    return _seconds(given["stale"], "stale")


def _whole(value: Any, name: str, least: int, most: int, words: str | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FaultError(words or f"{name} is a whole number from {least} to {most:,}")
    return value


def _seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_SECONDS:
        raise FaultError(f"{name} is a number of seconds from 0 to {LONGEST_SECONDS}")
    return value


CHECKS: dict[str, Any] = {
    "status": _status,
    "timeout": _timeout,
    "limit": _limit,
    "slow": _slow,
    "partial": _partial,
    "cursor": _cursor,
    "listing": _listing,
    "stale": _stale,
}
