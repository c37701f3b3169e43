"""The account itself: the token's user, plan and version, what is left of today, and the account's users.

The fields come from developer.monday.com/api-reference: reference/me, reference/account, docs/api-versioning,
docs/optimizing-api-usage (platform_api) and reference/users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sync.connectors.base.account import AccountInfo
from sync.connectors.base.errors import (
    BoardForbidden,
    DocumentRejected,
    FieldRejected,
    PermissionMissing,
    RecordRejected,
)
from sync.connectors.monday.graphql import (
    COMPLEXITY,
    Answer,
    Api,
    Document,
    int_or_none,
    mapping_or_empty,
    time_or_none,
)

USERS_PER_PAGE = 500  # 1,000 at most since 2026-07 (developer.monday.com/api-reference/reference/users)
MAX_USERS = 20_000

ENDING_KINDS = frozenset(
    {"maintenance", "previous_maintenance", "old__maintenance", "old_previous_maintenance", "deprecated"}
)
"""Kinds of versions that will end: Monday says to move to the current one (enum VersionKind)."""

_ACCOUNT_INFO = f"""query Greeting {{
  {COMPLEXITY}
  me {{ id name }}
  version {{ kind value }}
  versions {{ kind value }}
  account {{ tier plan {{ tier }} }}
  platform_api {{ daily_limit {{ base total }} daily_analytics {{ last_updated by_day {{ day usage }} }} }}
}}"""

# What every token may read, for tokens whose scopes or plan make Monday reject the whole first query.
_SHORT_ACCOUNT_INFO = f"query ShortGreeting {{ {COMPLEXITY} me {{ id name }} version {{ kind value }} }}"

_USERS = f"""query Users($page: Int!, $limit: Int!) {{
  {COMPLEXITY}
  users(page: $page, limit: $limit, status: [ACTIVE, PENDING, INACTIVE]) {{ id name email }}
}}"""

_FIELD_REJECTIONS = (BoardForbidden, DocumentRejected, FieldRejected, PermissionMissing, RecordRejected)


def account_info_query() -> Document:
    """One query for all of AccountInfo; it costs one call of the day."""
    return Document(_ACCOUNT_INFO, {})


def read_account_info(api: Api) -> AccountInfo:
    """Read the AccountInfo; where the whole query is rejected, read what every token may know.

    Raises ConnectorError.
    """
    try:
        return parse_account_info(api.execute(*account_info_query()))
    # Without a scope Monday may reject the whole query instead of single fields.
    except _FIELD_REJECTIONS as error:
        short_info = parse_account_info(api.execute(_SHORT_ACCOUNT_INFO, {}))
        # The reason is kept: the examination shows which permission is missing.
        return replace(short_info, field_errors=(*short_info.field_errors, error))


def parse_account_info(answer: Answer) -> AccountInfo:
    """Read the answer to `account_info_query`, whatever Monday left out of it."""
    data = answer.data or {}
    me, account, version = (mapping_or_empty(data.get(name)) for name in ("me", "account", "version"))
    platform = mapping_or_empty(data.get("platform_api"))
    limit, analytics = (
        mapping_or_empty(platform.get("daily_limit")),
        mapping_or_empty(platform.get("daily_analytics")),
    )
    versions = {str(one.get("value")): str(one.get("kind")) for one in _mappings_in(data.get("versions"))}
    # The header wins: it is about this very answer.
    served = answer.api_version or str(version.get("value") or "")
    return AccountInfo(
        user_id=str(me.get("id") or ""),
        user_name=str(me.get("name") or ""),
        tier=str(mapping_or_empty(account.get("plan")).get("tier") or account.get("tier") or ""),
        version_value=served,
        version_kind=versions.get(served) or str(version.get("kind") or ""),
        versions=versions,
        day_limit=int_or_none(limit.get("total")) or int_or_none(limit.get("base")),
        # The field was answered, and names no limit: that is more than not answering.
        unlimited=bool(limit) and limit.get("total") is None and limit.get("base") is None,
        # The form of `day` isn't documented: an ISO date, perhaps with a time.
        usage_by_day={
            str(node.get("day"))[:10]: usage
            for node in _mappings_in(analytics.get("by_day"))
            if (usage := int_or_none(node.get("usage"))) is not None
        },
        usage_as_of=time_or_none(analytics.get("last_updated")),
        field_errors=answer.errors,
    )


def users_page(page: int = 1) -> Document:
    """A page of the account's users, former ones included: people columns still name them."""
    return Document(_USERS, {"page": page, "limit": USERS_PER_PAGE})


def parse_users(answer: Answer) -> dict[str, dict[str, str]]:
    """Read the answer to `users_page`: name and email address by user id.

    Raises its error, or UnreadableAnswer. A page with a user left out is not read at all: being short it
    would look like the last page, and the missing user like one who has left.
    """
    nodes = (answer.data or {}).get("users")
    if isinstance(nodes, list) and None not in nodes:
        return {
            str(node["id"]): {"name": str(node.get("name") or ""), "email": str(node.get("email") or "")}
            for node in _mappings_in(nodes)
            if node.get("id")
        }
    raise answer.failure("users", "Monday answered no users")


def all_users(api: Api) -> dict[str, dict[str, str]]:
    """All users, page by page, up to 20,000; raises ConnectorError."""
    found: dict[str, dict[str, str]] = {}
    for page in range(1, MAX_USERS // USERS_PER_PAGE + 1):
        users = parse_users(api.execute(*users_page(page)))
        found |= users
        # A page that isn't full is the last one.
        if len(users) < USERS_PER_PAGE:
            break
    return found


def _mappings_in(value: Any) -> list[Mapping[str, Any]]:
    return [node for node in value if isinstance(node, Mapping)] if isinstance(value, list) else []
