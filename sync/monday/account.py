"""The account of the token: its user, plan, version, usage and users, and what a check of it finds.

The fields come from developer.monday.com/api-reference: reference/me, reference/account, docs/api-versioning,
docs/optimizing-api-usage (platform_api) and reference/users.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.monday import graphql
from sync.monday.errors import NOT_AUTHENTICATED, MondayError

# Kinds of versions that will end (enum VersionKind).
_ENDING_KINDS = frozenset(
    {"maintenance", "previous_maintenance", "old__maintenance", "old_previous_maintenance", "deprecated"}
)

ACCOUNT_INFO = f"""query AccountInfo {{
  {graphql.COMPLEXITY}
  me {{ id name time_zone_identifier }}
  version {{ kind value }}
  versions {{ kind value }}
  account {{ tier plan {{ tier }} }}
  platform_api {{ daily_limit {{ base total }} daily_analytics {{ by_day {{ day usage }} }} }}
}}"""

# The cheapest call that shows whether token, account and API work.
PING = f"query Ping {{ me {{ id }} {graphql.COMPLEXITY} }}"

# For tokens that may not read all of ACCOUNT_INFO, for which Monday rejects it as a whole.
SHORT_ACCOUNT_INFO = f"query ShortAccountInfo {{ {graphql.COMPLEXITY} me {{ id name }} version {{ kind value }} }}"

# Former users too, because their edits still name them; 1,000 is the most of a page.
USERS = f"""query Users {{
  {graphql.COMPLEXITY}
  users(limit: 1000, status: [ACTIVE, PENDING, INACTIVE]) {{ id name email }}
}}"""


@dataclass(frozen=True)
class AccountInfo:
    """The token and its account; empty or None where Monday doesn't say."""

    user_id: str = ""
    user_name: str = ""
    time_zone: str = ""  # of the token's user, by its IANA name
    tier: str = ""
    version_value: str = ""  # of the version that answered
    version_kind: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)  # all versions, with their kinds
    day_limit: int | None = None  # calls of a UTC day for all tokens, extensions included
    is_unlimited: bool = False  # Monday answered that the day has no limit
    usage_by_day: Mapping[str, int] = field(default_factory=dict)  # calls used, by ISO date
    field_errors: tuple[MondayError, ...] = ()  # of the fields that Monday didn't answer


def parse_account_info(answer: graphql.Answer) -> AccountInfo:
    """Parse the answer to ACCOUNT_INFO, SHORT_ACCOUNT_INFO or PING; every field may be missing."""
    data = answer.data
    me, account, version = (graphql.mapping_or_empty(data.get(name)) for name in ("me", "account", "version"))
    platform = graphql.mapping_or_empty(data.get("platform_api"))
    limit = graphql.mapping_or_empty(platform.get("daily_limit"))
    analytics = graphql.mapping_or_empty(platform.get("daily_analytics"))
    versions = {str(row.get("value")): str(row.get("kind")) for row in _mappings_in(data.get("versions"))}
    # The header names the version of this very answer.
    served = answer.api_version or str(version.get("value") or "")
    return AccountInfo(
        user_id=str(me.get("id") or ""),
        user_name=str(me.get("name") or ""),
        time_zone=str(me.get("time_zone_identifier") or ""),
        tier=str(graphql.mapping_or_empty(account.get("plan")).get("tier") or account.get("tier") or ""),
        version_value=served,
        version_kind=versions.get(served) or str(version.get("kind") or ""),
        versions=versions,
        day_limit=graphql.int_or_none(limit.get("total")) or graphql.int_or_none(limit.get("base")),
        is_unlimited=bool(limit) and limit.get("total") is None and limit.get("base") is None,
        # The form of `day` isn't documented: an ISO date, perhaps with a time.
        usage_by_day={
            str(node.get("day"))[:10]: usage
            for node in _mappings_in(analytics.get("by_day"))
            if (usage := graphql.int_or_none(node.get("usage"))) is not None
        },
        field_errors=answer.errors,
    )


def parse_users(answer: graphql.Answer) -> dict[str, dict[str, str]]:
    """Parse the users: name and email address by user id.

    Raises their error, or UNREADABLE_ANSWER; also if a single user is missing, who would seem to have left the account.
    """
    nodes = answer.data.get("users")
    if isinstance(nodes, list) and None not in nodes:
        return {
            str(node["id"]): {"name": str(node.get("name") or ""), "email": str(node.get("email") or "")}
            for node in _mappings_in(nodes)
            if node.get("id")
        }
    raise answer.failure("users", "Monday answered no users")


def _mappings_in(value: Any) -> list[Mapping[str, Any]]:
    return [node for node in value if isinstance(node, Mapping)] if isinstance(value, list) else []


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    level: str  # "ok", "problem", or "warning": it works for now, and `fix` prevents a problem
    subject: str  # token, version, plan, quota, board, columns, webhooks, settings, pause, queue, approvals …
    message: str
    fix: str = ""  # how to fix it
    for_administrator: str = ""  # continues `fix` with the steps on the server

    @property
    def full_fix(self) -> str:
        """How to fix it, with the administrator's part."""
        return " ".join(filter(None, (self.fix, self.for_administrator)))


def check_account(info: AccountInfo, requested_version: str) -> list[CheckResult]:
    """Check the token, the API version (against the requested one) and the plan."""
    if info.user_id:
        user = f"{info.user_name} (user {info.user_id})"
        token = CheckResult("ok", "token", f"The token is valid; it acts as {user}.")
    else:
        # Monday may give the reason itself, for example a missing scope.
        error = _field_error(info, "me")
        fix = error.sentence if error else "Enter the token of a user."
        on_server = NOT_AUTHENTICATED.for_administrator
        token = CheckResult("problem", "token", "The token belongs to no user.", fix, for_administrator=on_server)
    limit = f": {info.day_limit:,} calls a day" if info.day_limit else ""
    plan = CheckResult("ok", "plan", f"The plan is {info.tier or 'unknown'}{limit}.")
    if not (info.tier or info.day_limit):
        error = _field_error(info, "account") or _field_error(info, "platform_api")
        reason = f" ({error.message.rstrip(' .')})" if error else ""
        message = f"Monday doesn't say which plan the account has and how many calls a day{reason}."
        fix = "Give the token the scope account:read; without it NPD Sync knows only the limits that answers mention."
        plan = CheckResult("warning", "plan", message, fix)
    return [token, *_check_version(info, requested_version), plan]


def _check_version(info: AccountInfo, requested: str) -> Iterator[CheckResult]:
    served = info.version_value
    current = next((value for value, kind in info.versions.items() if kind == "current"), "")
    kind = info.versions.get(requested) or (info.version_kind if served == requested else "")
    fix = f"An administrator sets the version that Monday calls current{f', {current}' if current else ''}."
    on_server = "It is set by MONDAY_API_VERSION."
    if served != requested:
        message = f"API version {requested} was asked for, {served or 'an unknown one'} answered."
        advice = f"An old version is replaced without an error. {fix}"
        yield CheckResult("problem", "version", message, advice, for_administrator=on_server)
    elif kind == "deprecated":
        yield CheckResult(
            "problem", "version", f"API version {requested} is deprecated.", fix, for_administrator=on_server
        )
    elif kind in _ENDING_KINDS:
        message = f"API version {requested} answers, but Monday is about to end it (it is in {kind.replace('_', ' ')})."
        yield CheckResult("warning", "version", message, fix, for_administrator=on_server)
    else:
        yield CheckResult("ok", "version", f"API version {requested} ({kind or 'unknown kind'}) answers.")


def _field_error(info: AccountInfo, root: str) -> MondayError | None:
    return next((error for error in info.field_errors if error.path_alias == root), None)
