"""The connection: the token's user, the account with its plan, version, usage and users, and the checks of all that.

The fields come from developer.monday.com/api-reference: reference/me, reference/account, docs/api-versioning,
docs/optimizing-api-usage (platform_api) and reference/users.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.monday import graphql
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import NAME_COLUMN, RELATION, Board
from sync.monday.columns.labels import current_labels
from sync.monday.errors import NOT_AUTHENTICATED, MondayError

# Kinds of versions that will end (enum VersionKind).
ENDING_KINDS = frozenset(
    {"maintenance", "previous_maintenance", "old__maintenance", "old_previous_maintenance", "deprecated"}
)

ACCOUNT_INFO = f"""query Greeting {{
  {graphql.COMPLEXITY}
  me {{ id name time_zone_identifier }}
  version {{ kind value }}
  versions {{ kind value }}
  account {{ tier plan {{ tier }} }}
  platform_api {{ daily_limit {{ base total }} daily_analytics {{ last_updated by_day {{ day usage }} }} }}
}}"""

# The cheapest call that shows whether token, account and API work.
PROBE = f"query Probe {{ me {{ id }} {graphql.COMPLEXITY} }}"

# For tokens that may not read everything, so that Monday rejects the first query as a whole.
SHORT_ACCOUNT_INFO = f"query ShortGreeting {{ {graphql.COMPLEXITY} me {{ id name }} version {{ kind value }} }}"

# Former users too, because their edits still name them.
USERS = f"""query Users($page: Int!, $limit: Int!) {{
  {graphql.COMPLEXITY}
  users(page: $page, limit: $limit, status: [ACTIVE, PENDING, INACTIVE]) {{ id name email }}
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
    versions: Mapping[str, str] = field(default_factory=dict)  # the kinds of all versions
    day_limit: int | None = None  # calls of a UTC day for all tokens, extensions included
    unlimited: bool = False  # Monday answered that the day has no limit
    usage_by_day: Mapping[str, int] = field(default_factory=dict)  # calls used, by ISO date
    usage_as_of: datetime | None = None
    field_errors: tuple[MondayError, ...] = ()  # of the fields that Monday didn't answer


def parse_account_info(answer: graphql.Answer) -> AccountInfo:
    """Parse the answer to any query of the account; every field may be missing."""
    data = answer.data or {}
    me, account, version = (graphql.mapping_or_empty(data.get(name)) for name in ("me", "account", "version"))
    platform = graphql.mapping_or_empty(data.get("platform_api"))
    limit = graphql.mapping_or_empty(platform.get("daily_limit"))
    analytics = graphql.mapping_or_empty(platform.get("daily_analytics"))
    versions = {str(row.get("value")): str(row.get("kind")) for row in _mappings_in(data.get("versions"))}
    # The header is about this answer.
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
        unlimited=bool(limit) and limit.get("total") is None and limit.get("base") is None,
        # The form of `day` isn't documented: an ISO date, perhaps with a time.
        usage_by_day={
            str(node.get("day"))[:10]: usage
            for node in _mappings_in(analytics.get("by_day"))
            if (usage := graphql.int_or_none(node.get("usage"))) is not None
        },
        usage_as_of=graphql.time_or_none(analytics.get("last_updated")),
        field_errors=answer.errors,
    )


def parse_users(answer: graphql.Answer) -> dict[str, dict[str, str]]:
    """Parse a page of users: name and email address by user id.

    Raises its error, or UNREADABLE_ANSWER, also for a page without one of its users: it would look like the last page,
    and the user like one who has left.
    """
    nodes = (answer.data or {}).get("users")
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

    ok: bool
    message: str
    fix: str = ""  # how to fix it
    subject: str = ""  # token, version, plan, quota, board, columns, webhooks, settings, pause, queue, approvals …
    is_warning: bool = False  # it works for now; `fix` prevents a problem
    for_administrator: str = ""  # continues `fix` with the steps on the server

    @property
    def full_fix(self) -> str:
        """How to fix it, with the administrator's part."""
        return " ".join(filter(None, (self.fix, self.for_administrator)))

    @property
    def level(self) -> str:
        return "problem" if not self.ok else "warning" if self.is_warning else "ok"


@dataclass(frozen=True)
class ColumnCheck:
    """What to check about a mapped column."""

    title: str
    types: tuple[str, ...]  # that are allowed
    target_board: str | None = None  # to which a relation must lead
    labels: frozenset[str] | None = None  # that a status or dropdown column had when the mapping was set up


@dataclass(frozen=True)
class BoardCheck:
    """What to check about a board."""

    title: str
    board_id: str | None
    columns: Mapping[str, ColumnCheck] = field(default_factory=dict)  # by column id
    hook_ids: Sequence[str] = ()  # our webhooks with the present address
    former_hook_ids: Sequence[str] = ()  # ours with another address
    group_id: str = ""  # the group for new items


NEARLY_FULL_SHARE = 0.95  # of a board's items, from which on a check warns

_RUN_SETUP = "Run `manage.py monday_setup`."


def check_account(info: AccountInfo, requested_version: str) -> list[CheckResult]:
    """Check the token, the API version (against the requested one) and the plan."""
    if info.user_id:
        user = f"{info.user_name} (user {info.user_id})"
        token = CheckResult(True, f"The token is valid; it acts as {user}.", subject="token")
    else:
        # Monday may give the reason itself, for example a missing scope.
        error = _field_error(info, "me")
        fix = error.sentence if error else "Enter the token of a user."
        on_server = NOT_AUTHENTICATED.for_administrator
        token = CheckResult(False, "The token belongs to no user.", fix, "token", for_administrator=on_server)
    limit = f": {info.day_limit:,} calls a day" if info.day_limit else ""
    plan = CheckResult(True, f"The plan is {info.tier or 'unknown'}{limit}.", subject="plan")
    if not (info.tier or info.day_limit):
        error = _field_error(info, "account") or _field_error(info, "platform_api")
        reason = f" ({error.message.rstrip(' .')})" if error else ""
        message = f"Monday doesn't say which plan the account has and how many calls a day{reason}."
        fix = "Give the token the scope account:read; without it only what answers say of the limits is known."
        plan = CheckResult(True, message, fix, "plan", is_warning=True)
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
        yield CheckResult(False, message, advice, "version", for_administrator=on_server)
    elif kind == "deprecated":
        yield CheckResult(False, f"API version {requested} is deprecated.", fix, "version", for_administrator=on_server)
    elif kind in ENDING_KINDS:
        message = f"API version {requested} answers, but Monday is about to end it (it is in {kind.replace('_', ' ')})."
        yield CheckResult(True, message, fix, "version", is_warning=True, for_administrator=on_server)
    else:
        yield CheckResult(True, f"API version {requested} ({kind or 'unknown kind'}) answers.", subject="version")


def _field_error(info: AccountInfo, root: str) -> MondayError | None:
    return next((error for error in info.field_errors if error.path_alias == root), None)


def check_board(
    check: BoardCheck, board: Board | None, read_webhooks: Callable[[str], Mapping[str, str]]
) -> Iterator[CheckResult]:
    """Check a board, None if it can't be read; `read_webhooks` raises MondayError."""
    if not check.board_id:
        yield CheckResult(False, f"{check.title}: no board is set.", _RUN_SETUP, "board")
    elif board is None:
        fix = f"Give NPD Sync's user on Monday access to it, or correct the id. {_RUN_SETUP}"
        yield CheckResult(False, f"{check.title}: board {check.board_id} isn't there, or is hidden.", fix, "board")
    elif not board.is_active:
        fix = "Restore the board on Monday, or set up another one."
        yield CheckResult(False, f"{check.title}: board {board.id} is {board.state}.", fix, "board")
    else:
        yield CheckResult(True, f"{check.title}: board “{board.name}” ({board.id}) is active.", subject="board")
        yield from _check_capacity(check, board)
        if check.group_id and check.group_id not in board.groups:
            message = f"{check.title}: the group {check.group_id}, to which new items go, is archived or deleted."
            fix = f"Restore the group on the board, or let another one be chosen: {_RUN_SETUP}"
            yield CheckResult(False, message, fix, "board")
        wrong_count = 0
        for column_id, expected in check.columns.items():
            if column_id == NAME_COLUMN:
                continue
            name = f"{check.title}: column “{expected.title}” ({column_id})"
            results = list(_check_column(name, expected, board, column_id))
            wrong_count += sum(not result.ok for result in results)
            yield from results
        if not wrong_count:
            message = f"{check.title}: all {len(check.columns)} mapped columns are there."
            yield CheckResult(True, message, subject="columns")
        yield from _check_webhooks(check, board.id, read_webhooks)


def _check_capacity(check: BoardCheck, board: Board) -> Iterator[CheckResult]:
    if board.items_count is None or not board.items_limit:
        return
    used = f"{check.title}: {board.items_count:,} of at most {board.items_limit:,} items are on the board."
    fix = "Archive items on the board, or ask Monday for a higher limit."
    if board.items_count >= board.items_limit:
        yield CheckResult(False, f"{used} No more can be made.", fix, "board")
    elif board.items_count >= NEARLY_FULL_SHARE * board.items_limit:
        yield CheckResult(True, used, fix, "board", is_warning=True)
    else:
        yield CheckResult(True, used, subject="board")


def _check_column(name: str, expected: ColumnCheck, board: Board, column_id: str) -> Iterator[CheckResult]:
    column = board.column(column_id)
    fix = f"Restore it on the board, or map the field to another column. {_RUN_SETUP}"
    if column is None:
        yield CheckResult(False, f"{name} is missing.", fix, "columns")
    elif column.type not in expected.types:
        message = f"{name} is of type {column.type}, not {' or '.join(expected.types)}."
        yield CheckResult(False, message, fix, "columns")
    elif column.type == RELATION and expected.target_board not in column.target_boards:
        message = f"{name} doesn't lead to board {expected.target_board or '(none is set up)'}."
        fix = "On the board, open the column's settings and connect that board too."
        yield CheckResult(False, message, fix, "columns")
    elif expected.labels is not None and (
        missing := expected.labels.difference(current_labels(column.settings).values())
    ):
        message = f"{name} has lost the labels {', '.join(sorted(missing))}."
        fix = f"Records that hold one can't be written until it is there again, or its new name is known. {_RUN_SETUP}"
        yield CheckResult(True, message, fix, "columns", is_warning=True)


def _check_webhooks(
    check: BoardCheck, board_id: str, read_webhooks: Callable[[str], Mapping[str, str]]
) -> Iterator[CheckResult]:
    try:
        existing = read_webhooks(board_id)
    except MondayError as error:
        yield CheckResult(False, f"{check.title}: the webhooks can't be read.", error.sentence, "webhooks")
        return
    ours = Counter(event for hook_id, event in existing.items() if hook_id in set(check.hook_ids))
    missing = [event for event in WEBHOOK_EVENTS if event not in ours]
    if missing:
        yield CheckResult(False, f"{check.title}: no webhook of ours for {', '.join(missing)}.", _RUN_SETUP, "webhooks")
    else:
        yield CheckResult(True, f"{check.title}: all {len(WEBHOOK_EVENTS)} webhooks are there.", subject="webhooks")
    former = [hook_id for hook_id in check.former_hook_ids if hook_id in existing]
    duplicated = [event for event, count in ours.items() if count > 1]
    if former:
        message = f"{check.title}: {len(former)} webhooks of ours go to a former address of this installation."
        yield CheckResult(False, message, f"They are taken away by the set-up. {_RUN_SETUP}", "webhooks")
    if duplicated:
        message = f"{check.title}: webhooks of ours exist twice, for {', '.join(sorted(duplicated))}."
        yield CheckResult(True, message, f"They do no harm but cost time. {_RUN_SETUP}", "webhooks", is_warning=True)
    others = {event for hook_id, event in existing.items() if hook_id not in {*check.hook_ids, *former}}
    if others >= set(WEBHOOK_EVENTS):
        # A board that was archived and restored looks like this (community topic 86426), as does a second installation.
        message = f"{check.title}: a second full set of webhooks is on the board, and it isn't ours."
        fix = "Another installation may sync this board, or one whose database is lost: delete its webhooks on Monday."
        yield CheckResult(True, message, fix, "webhooks", is_warning=True)
