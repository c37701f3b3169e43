"""Questions about the account itself: who asks, which plan and version, what is left of today, who its users are.

The fields come from developer.monday.com/api-reference: reference/me, reference/account, docs/api-versioning,
docs/optimizing-api-usage (platform_api) and reference/users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sync.connectors.monday.answers import Answer, Api
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import (
    BoardForbidden,
    DocumentRefused,
    FieldRefused,
    MondayError,
    PermissionMissing,
    RecordRefused,
    UnreadableAnswer,
)

__all__ = [
    "USERS_PER_PAGE",
    "Greeting",
    "all_users",
    "greet",
    "greeting",
    "parse_greeting",
    "parse_users",
    "users_page",
]

USERS_PER_PAGE = 500  # 1,000 at most since 2026-07 (developer.monday.com/api-reference/reference/users)
MOST_USERS = 20_000
NOT_FOR_LONG = frozenset(
    {"maintenance", "previous_maintenance", "old__maintenance", "old_previous_maintenance", "deprecated"}
)
"""Kinds of versions that end: Monday says to move to the current one (enum VersionKind)."""

_COMPLEXITY = "complexity { query before after reset_in_x_seconds }"
_GREETING = f"""query Greeting {{
  {_COMPLEXITY}
  me {{ id name }}
  version {{ kind value }}
  versions {{ kind value }}
  account {{ tier plan {{ tier }} }}
  platform_api {{ daily_limit {{ base total }} daily_analytics {{ last_updated by_day {{ day usage }} }} }}
}}"""
# What every token may ask; for those whose scopes or plan let Monday refuse the whole of the other.
_SHORT_GREETING = f"query ShortGreeting {{ {_COMPLEXITY} me {{ id name }} version {{ kind value }} }}"
_USERS = f"""query Users($page: Int!, $limit: Int!) {{
  {_COMPLEXITY}
  users(page: $page, limit: $limit, status: [ACTIVE, PENDING, INACTIVE]) {{ id name email }}
}}"""
_REFUSES_A_FIELD = (BoardForbidden, DocumentRefused, FieldRefused, PermissionMissing, RecordRefused)


@dataclass(frozen=True)
class Greeting:
    """What Monday says of the token and its account; empty or None where it doesn't tell.

    `version_kind` is the kind of the version that answered, `versions` gives the kind of every version.
    `day_limit` counts the calls of a UTC day for all tokens, extensions included; `usage_by_day` those used, by
    ISO date, as they stood at `usage_as_of`. `unlimited`: Monday answered that there is no limit of the day, which
    is more than not answering. `refused` are the errors of the fields that Monday didn't answer.
    """

    user_id: str = ""
    user_name: str = ""
    tier: str = ""
    version_value: str = ""
    version_kind: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    day_limit: int | None = None
    unlimited: bool = False
    usage_by_day: Mapping[str, int] = field(default_factory=dict)
    usage_as_of: datetime | None = None
    refused: tuple[MondayError, ...] = ()


def greeting() -> Document:
    """One query for all of a Greeting; it costs one call of the day."""
    return Document(_GREETING, {})


def greet(api: Api) -> Greeting:
    """Ask for a Greeting, and where the whole of it is refused, for what every token may know.

    Raises MondayError.
    """
    try:
        return parse_greeting(api.execute(*greeting()))
    except _REFUSES_A_FIELD as refused:
        short = parse_greeting(api.execute(_SHORT_GREETING, {}))
        return replace(short, refused=(*short.refused, refused))


def parse_greeting(answer: Answer) -> Greeting:
    """Read the answer to `greeting`, whatever of it Monday refused or left out."""
    data = answer.data or {}
    me, account, version = (_mapping(data.get(name)) for name in ("me", "account", "version"))
    platform = _mapping(data.get("platform_api"))
    limit, analytics = _mapping(platform.get("daily_limit")), _mapping(platform.get("daily_analytics"))
    versions = {str(one.get("value")): str(one.get("kind")) for one in _rows(data.get("versions"))}
    served = answer.api_version or str(version.get("value") or "")
    return Greeting(
        user_id=str(me.get("id") or ""),
        user_name=str(me.get("name") or ""),
        tier=str(_mapping(account.get("plan")).get("tier") or account.get("tier") or ""),
        version_value=served,
        version_kind=versions.get(served) or str(version.get("kind") or ""),
        versions=versions,
        day_limit=_whole(limit.get("total")) or _whole(limit.get("base")),
        unlimited=bool(limit) and limit.get("total") is None and limit.get("base") is None,
        usage_by_day=_usage(analytics.get("by_day")),
        usage_as_of=_moment(analytics.get("last_updated")),
        refused=answer.errors,
    )


def users_page(page: int = 1) -> Document:
    """A page of the account's users, those who left included: their names still stand in people columns."""
    return Document(_USERS, {"page": page, "limit": USERS_PER_PAGE})


def parse_users(answer: Answer) -> dict[str, dict[str, str]]:
    """Read the answer to `users_page`: name and e-mail address by user id; raises its error, or UnreadableAnswer.

    A page with a user left out is not read at all: it would look like the last one, and like one who is gone.
    """
    nodes = (answer.data or {}).get("users")
    if isinstance(nodes, list) and None not in nodes:
        return {
            str(node["id"]): {"name": str(node.get("name") or ""), "email": str(node.get("email") or "")}
            for node in _rows(nodes)
            if node.get("id")
        }
    errors = answer.errors_of("users") or answer.errors
    raise errors[0] if errors else UnreadableAnswer("Monday answered no users", request_id=answer.request_id)


def all_users(api: Api) -> dict[str, dict[str, str]]:
    """The whole directory, page by page, up to 20,000 users; raises MondayError."""
    found: dict[str, dict[str, str]] = {}
    for page in range(1, MOST_USERS // USERS_PER_PAGE + 1):
        users = parse_users(api.execute(*users_page(page)))
        found |= users
        if len(users) < USERS_PER_PAGE:
            break
    return found


def _usage(nodes: Any) -> dict[str, int]:
    """Calls by day; `day` is a text whose form isn't documented: an ISO date, perhaps with a time."""
    return {
        str(node.get("day"))[:10]: usage
        for node in _rows(nodes)
        if (usage := _whole(node.get("usage"))) is not None
    }


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [node for node in value if isinstance(node, Mapping)] if isinstance(value, list) else []
