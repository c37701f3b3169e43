"""The connection to Monday: its stops and their banner, its token and its test, for the page in setup_pages.py.

No page, message, log line or session repeats a token.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_POST

from sync import registry
from sync.admin import confirmed_action
from sync.admin.admin_base import Button, own_address, tallies_of
from sync.admin.diagnostics import DiagnosticsAdmin
from sync.attention import Kind
from sync.choices import StopCode
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ACTS, RESTORE_KEY, ActionError
from sync.limits import api_quota, breaker, connector, credentials, monday_account, urgent_calls
from sync.models import MondayAccount
from sync.monday.columns.phones import phone_example, phone_regions
from sync.monday.connection import AccountInfo, CheckResult, check_account
from sync.monday.errors import NOT_AUTHENTICATED, WRONG_VERSION, MondayError, Scope
from sync.operations.setup import board_setup
from sync.operations.setup.selection import may_set_up
from sync.outbox.pauses import active_pauses, pause_label
from sync.reconcile.lookups import phone_region
from sync.records import authors, availability

# The codes of stops that last until somebody acts: the token, the account, and a board's own.
LASTING_STOPS = (StopCode.TOKEN, StopCode.ACCOUNT, "board")

# The right to change the token.
MAY_CONNECT = "sync.change_mondayaccount"


def may_connect(user: Any) -> bool:
    return bool(user.has_perm(MAY_CONNECT))


def may_see_connection(user: Any) -> bool:
    return registry.may_view(user, "sync.mondayaccount")


def banner_context(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the banners above every page."""
    has_token = credentials.has_token()
    context: dict[str, Any] = {"stopped": SimpleLazyObject(lambda: _stop_banner(request, has_token=has_token))}
    if not has_token:
        context |= {"monday_banner": "missing", "token_problem": credentials.unreadable_reason()}
    elif registry.is_sandbox():
        context |= {"monday_banner": "sandbox", "sandbox_url": f"{registry.monday_web_url()}/"}
    return context


def _stop_banner(request: HttpRequest, *, has_token: bool) -> dict[str, Any]:
    """Return the stops and pauses that every page shows, with the buttons that this person may press."""
    user = request.user
    overview = getattr(request, "page_overview", None)  # set by `overview_of`, if the page needs it
    stops = availability.stops() if tallies_of(request)[Kind.STOP].entries or not has_token else []
    explanations = []
    for stop in stops:
        right = MAY_CONNECT if stop.cause_code == StopCode.TOKEN else "sync.retry_syncqueue"
        is_for_others = stop.cause_code in LASTING_STOPS and not user.has_perm(right)
        explanations.append(f"Who may act: {authors.who_has(right)}." if is_for_others else stop.own_detail)
    button = ""
    if any(stop.cause_code == StopCode.TOKEN for stop in stops) and may_connect(user) and may_set_up(user):
        button = "connection" if settings.MONDAY_API_KEY else "token"
    may_try = bool(stops) and has_token and button != "token"
    pauses = overview.pauses if overview else active_pauses()
    return {
        "stops": list(zip(stops, explanations, strict=True)),
        "pauses": [(pause_label(pause.entity_type), pause) for pause in pauses],
        "button": button,  # the page that it opens: "token", or "connection" if the environment sets the token
        "try_again": try_again_button(request) if may_try else None,
        "resume": ACTS["resume"] if ACTS["resume"].is_allowed(user) else None,
        # Home then shows no state line.
        "stops_everything": bool(stops) or any(not pause.entity_type for pause in pauses),
    }


def try_again_button(request: HttpRequest) -> Button | None:
    """Return the button that asks Monday whether sync can go on; None for users who may not."""
    act = ACTS["try_again"]
    if not act.is_allowed(request.user):
        return None
    back = request.get_full_path() if request.method == "GET" else ""
    return Button(act.label, act.code, post_to=reverse("admin:sync_try_again"), hidden={"back": back})


@admin.register(MondayAccount)
class MondayAccountAdmin(DiagnosticsAdmin):
    """The account's row for superusers, and “Try again” for everybody who may retry jobs."""

    list_display = ("id", "tier", "stopped_until", "stop_reason")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.try_again))
        return [path("try-again/", view, name="sync_try_again"), *super().get_urls()]

    def try_again(self, request: HttpRequest) -> HttpResponse:
        """Ask Monday once whether the stop is over, and go back to the page with the button."""
        user = cast("User", request.user)
        if not ACTS["try_again"].is_allowed(user):
            raise PermissionDenied

        def run() -> confirmed_action.Report:
            # The button is also offered while the day's quota is tight: the account may have a larger plan by now.
            was_slowed = availability.is_slowed()
            result = breaker.ask_again(is_slowed=was_slowed)
            sentence = breaker.still_stopped_sentence() if result == breaker.STOPPED else breaker.ANSWERS[result]
            if was_slowed and result == breaker.RESUMED and availability.is_slowed():
                sentence = "The API quota is as tight as before. “Sync now” still works."
            authors.log_model_action(user, MondayAccount, f"Tried again. {sentence}", name="Monday")
            is_over = result in (breaker.RESUMED, breaker.NOT_STOPPED)
            return confirmed_action.Report(sentence) if is_over else confirmed_action.Report(problems=[sentence])

        back_url = own_address(request, request.POST.get("back")) or reverse("admin:index")
        return confirmed_action.run_action(self, request, run, back_url)


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


def test_stored_token(user: User) -> ConnectionTest:
    """Test the stored token, update the stops by the result, and log it."""
    if not credentials.has_token():
        result = ConnectionTest(credentials.no_token_reason())
    else:
        result = run_test()
        apply_test(result)
    authors.log_model_action(user, MondayAccount, result.message, name="Monday")
    return result


def apply_test(result: ConnectionTest) -> None:
    """Stop what the test's error stops; store the account and its users, and end the stops that are over."""
    if result.error is not None:
        breaker.stop_if_shared(result.error)
    if result.account is not None:
        breaker.store_account_info(result.account)
        with suppress(MondayError):
            board_setup.refresh_users(connector(urgent=True))
    if result.is_ok:
        breaker.ask_again()  # a former token may not have seen all boards


def run_test() -> ConnectionTest:
    """Test the token by reading the account and its boards; nothing is stored."""
    try:
        info = breaker.read_account_info()
        boards, complete = connector(urgent=True).list_boards()
    except MondayError as error:
        return ConnectionTest(humanize.without_request_id(error.sentence), error=error)
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
    """Test an entered token and store it; raises ActionError if it is none or Monday rejects it."""
    token = credentials.check_secret(text, "API token")
    with urgent_calls(token):
        # It stores nothing, so a rejected token doesn't affect the current one.
        result = run_test()
    error = result.error
    # Another token couldn't change the version, nor end an outage.
    if error is not None and error.scope is Scope.ACCOUNT and error.kind is not WRONG_VERSION:
        is_unknown = error.kind is NOT_AUTHENTICATED
        why = "It is wrong or was revoked: copy it from Monday again." if is_unknown else result.message
        raise ActionError(f"Monday rejects this token, so it was not kept. {why}")
    credentials.store_token(token, user)
    apply_test(result)
    tested = f"Connected. {result.message} " if result.is_ok else ""
    authors.log_model_action(user, MondayAccount, f"{tested}The token is stored encrypted.", name="Monday")
    return result


@transaction.atomic
def remove_token(user: User) -> str:
    """Remove the stored token; return a sentence about it."""
    credentials.remove_token()
    nothing = "" if settings.MONDAY_API_KEY else " Without one nothing is synced."
    sentence = f"The stored token was removed.{nothing}"
    authors.log_model_action(user, MondayAccount, sentence, name="Monday")
    return sentence


def removal_question() -> confirmed_action.Question:
    effect = (
        "Sync goes on with the token that is set on the server."
        if settings.MONDAY_API_KEY
        else "Nothing is synced until you enter another token."
    )
    return confirmed_action.Question("Remove the stored token?", [effect], "Remove token", hidden=[("remove", "1")])


def has_answered(overview: availability.Overview) -> bool:
    """Whether Monday has ever answered, with the current token or in an earlier pass."""
    if overview.no_token_reason:
        return False
    return is_token_answered(overview.account) or any(link.last_pass_at for link in overview.links.values())


def is_token_answered(account: MondayAccount) -> bool:
    return bool(account.answered_mark) and account.answered_mark == credentials.token_mark()


# The form field for the country of phone numbers without a country code.
REGION = "phone_region"


def connection_context(user: Any, tested: ConnectionTest | None) -> dict[str, Any]:
    """Return what the connection's page shows of the token, the account and the country of phone numbers."""
    account = monday_account()
    region = phone_region()
    token = credentials.token_state()
    is_stopped = account.needs_probe or account.waits_at(sync_now())
    is_connected = token.is_usable and is_token_answered(account) and not is_stopped
    on_server = [check.for_administrator for check in tested.checks] if tested else []
    if tested and tested.error:
        on_server.append(tested.error.kind.for_administrator)
    if token.is_unreadable:
        on_server.append(RESTORE_KEY)
    return {
        "configured": token.is_usable,
        "token": token,
        "token_problem": credentials.unreadable_reason(),
        "may_connect": may_connect(user),
        "on_server": [text for text in on_server if text],
        "connected_account": account if is_connected else None,
        "is_stopped": is_stopped and token.is_usable,
        "stop_reason": humanize.without_request_id(account.stop_reason),
        "quota_words": api_quota.usage_sentence(api_quota.read_quota()) if is_connected else "",
        "phone_region": region,
        "phone_example": phone_example(region),
        "phone_regions": phone_regions(),
        "may_choose_region": may_set_up(user),
    }


def store_region(request: HttpRequest) -> None:
    """Store the country that the form names, if it is another and the user may choose it."""
    chosen = request.POST.get(REGION, "")
    regions = dict(phone_regions())
    account = MondayAccount.objects.get_or_create(id=1)[0]
    if chosen in regions and chosen != account.phone_region and may_set_up(request.user):
        MondayAccount.objects.filter(id=1).update(phone_region=chosen)
        sentence = f"Phone numbers without a country code: {regions[chosen]} ({chosen})."
        authors.log_action(request.user, account, sentence)
