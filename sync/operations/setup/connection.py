"""The connection to Monday: whether it has answered, and testing, storing and removing the token.

No message and no line of a log repeats a token.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from sync.boards import availability
from sync.kernel import humanize
from sync.kernel.acts import ActionError
from sync.limits import breaker, credentials, probes
from sync.limits.metered_client import connector, urgent_calls
from sync.models import MondayAccount
from sync.monday.account import AccountInfo, CheckResult, check_account
from sync.monday.errors import NOT_AUTHENTICATED, PASSING_SCOPES, WRONG_VERSION, MondayError, Scope
from sync.operations.setup.board_setup import refresh_users
from sync.records import authors
from sync.words.message import Message, of_error

# The permission to change the token.
MAY_CONNECT = "sync.change_mondayaccount"


def has_answered(overview: availability.Overview) -> bool:
    """Whether Monday has ever answered, with the current token or in an earlier pass."""
    if overview.no_token_reason:
        return False
    return has_answered_token(overview.account) or any(link.last_pass_at for link in overview.links.values())


def has_answered_token(account: MondayAccount) -> bool:
    return bool(account.answered_mark) and account.answered_mark == credentials.token_mark()


@dataclass(frozen=True)
class ConnectionTest:
    """The result of a test of the token."""

    message: str
    checks: Sequence[CheckResult] = ()  # empty if Monday gave no answer
    account: AccountInfo | None = None
    error: MondayError | None = None

    @property
    def is_ok(self) -> bool:
        return bool(self.checks) and all(check.level != "problem" for check in self.checks)

    @property
    def is_passing(self) -> bool:
        """Whether nobody can fix its error: the same test may succeed later."""
        return self.error is not None and self.error.scope in PASSING_SCOPES


def test_stored_token(user: User) -> ConnectionTest:
    """Test the stored token, update the stops by the result, and log it."""
    if not credentials.has_token():
        result = ConnectionTest(credentials.no_token_reason())
    else:
        # It stores the limits at once: the next call may need one that was raised.
        result = run_test(partial(probes.refresh_account_info, by=user.get_username()))
        apply_test(result, by=user.get_username())
    authors.log_model_action(user, MondayAccount, result.message, name="Monday")
    return result


def apply_test(result: ConnectionTest, *, by: str) -> None:
    """Begin the stop that the test's error calls for; store the account and its users, and end stops that are over."""
    if result.error is not None:
        breaker.stop_if_shared(result.error)
    if result.account is not None:
        probes.store_account_info(result.account, by=by)
        with suppress(MondayError):
            refresh_users(connector(urgent=True))
    if result.is_ok:
        probes.try_again(by=by)  # a former token may not have seen all boards


def run_test(read_account: Callable[[], AccountInfo]) -> ConnectionTest:
    """Test the token by reading the account and its boards."""
    try:
        info = read_account()
        boards, complete = connector(urgent=True).list_boards()
    except MondayError as error:
        return ConnectionTest(humanize.without_request_id(of_error(error)), error=error)
    checks = check_account(info, settings.MONDAY_API_VERSION)
    if boards:
        number = humanize.count_with_noun(len(boards), "board")
        checks.append(CheckResult("ok", "board", f"It can see {'' if complete else 'at least '}{number}."))
    else:
        normal = "That is normal for a new account: the set-up creates boards."
        checks.append(CheckResult("warning", "board", "It can't see any board.", normal))
    name = info.user_name or info.user_id
    message = f"The token works: NPD Sync writes on Monday as {name}." if name else "The token belongs to no user."
    return ConnectionTest(message, checks, info)


def test_and_store_token(user: User, text: str) -> ConnectionTest:
    """Test an entered token and store it; raises ActionError if it isn't one or Monday rejects it."""
    token = credentials.check_secret(text, "API token")
    with urgent_calls(token):
        # Nothing is stored, so a rejected token doesn't affect the current one.
        result = run_test(probes.read_account_info)
    error = result.error
    # Another token couldn't change the version, nor end an outage.
    if error is not None and error.scope is Scope.ACCOUNT and error.kind is not WRONG_VERSION:
        is_unknown = error.kind is NOT_AUTHENTICATED
        why = "It is wrong or was revoked: copy it from Monday again." if is_unknown else result.message
        raise ActionError(f"Monday rejects this token, so it was not kept. {why}")
    credentials.store_token(token, user)
    apply_test(result, by=user.get_username())
    authors.log_settings_changed(user, "Monday connection", Message("setting_new_secret", label="API token"))
    return result


@transaction.atomic
def remove_token(user: User) -> str:
    """Remove the stored token; return a sentence about it."""
    credentials.remove_token()
    nothing = "" if settings.MONDAY_API_KEY else " Without one nothing is synced."
    authors.log_settings_changed(user, "Monday connection", Message("setting_removed", label="API token"))
    return f"The stored token was removed.{nothing}"
