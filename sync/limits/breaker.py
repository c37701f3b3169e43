"""The breaker: it stops all boards after failures of Monday's account, and probes whether Monday answers again.

What Monday tells of the account ends a stop too, so it is stored here. After failures, batches are smaller.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings
from django.db import models, transaction

from sync import registry
from sync.choices import StopCode
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.limits import api_quota, credentials, rate_limits, stops, write_stop
from sync.limits.metered_client import CallInfo, connector, describe_calls
from sync.models import BoardLink, MondayAccount
from sync.models.decisions import STOP_KIND, log_event
from sync.monday import errors
from sync.monday.connection import AccountInfo
from sync.outbox import notify, pauses

log = structlog.get_logger(__name__)

# Seconds before the first, second … probe after a failure.
PROBE_WAITS = (5, 10, 20, 40, 60, 60, 60, 60, 60)

LATER_PROBE_WAIT = 360  # seconds between further probes; more on small plans (`_probe_wait`)

PROBE_MARGIN_SECONDS = 5  # no other worker probes until a probe's call has timed out and its result is stored

OUTAGE_IS_NEWS = 3  # Activity shows an outage after this many failed probes, over half a minute

# Errors of these scopes meet every board alike.
SHARED_SCOPES = (errors.Scope.ACCOUNT, *errors.PASSING_SCOPES)


def stop(link: BoardLink, error: errors.MondayError) -> None:
    """Stop the board if the error concerns only it, else every board."""
    if error.scope in (errors.Scope.BOARD, errors.Scope.COLUMN):
        stops.stop_board(link, error)
    else:
        stop_account(error)


def stop_if_shared(error: errors.MondayError) -> bool:
    """Stop every board if the error would meet all of them alike; return whether it would."""
    if error.scope not in SHARED_SCOPES:
        return False
    stop_account(error)
    return True


def stop_account(error: errors.MondayError) -> None:
    """Stop every board after a failure that concerns the account, and store why."""
    # The quota itself decides when there is room again.
    if error.kind in errors.NEVER_SENT:
        return
    code = _stop_code(error)
    with transaction.atomic():
        row = stops.locked_account()
        now = sync_now()
        if row.are_only_writes_stopped:
            # Reads went on until now, so the wait for the next write is none of theirs.
            row.stopped_until = None
        is_waiting = row.waits_at(now)
        until = _next_attempt(row, error, now)
        is_news = row.stop_code != code
        # Activity doesn't show an outage of some seconds.
        if code in (StopCode.OUTAGE, StopCode.LIMIT):
            is_news = row.failures == OUTAGE_IS_NEWS
        # A wait that is longer than this outage's, such as for tomorrow's quota, keeps its reason.
        is_longer = row.stopped_until is not None and row.stopped_until > until
        keeps_reason = code == StopCode.OUTAGE and is_longer
        is_same = row.stop_code == code and (row.needs_probe or is_waiting)
        # Another cause begins now, whatever stopped everything before.
        if row.stopped_since is None or not (keeps_reason or is_same):
            row.stopped_since = now
        if not keeps_reason:
            row.stop_code = code
            row.stop_reason = error.lasting_sentence
        # A longer wait is never shortened by a later, milder failure.
        row.stopped_until = max(row.stopped_until or until, until)
        # Calls that were in flight together count as one failure.
        if not is_waiting:
            row.failures += 1
        # A limit's wait ends by itself; any other failure needs a probe.
        row.needs_probe = row.needs_probe or error.scope is not errors.Scope.LIMIT
        if code in (StopCode.TOKEN, StopCode.ACCOUNT):
            row.answered_mark = ""
        row.save()
    if is_news:
        log_event(STOP_KIND, f"Sync stopped: {code.label}.")
    log.warning("account stopped", scope=str(error.scope), reason=error.full_sentence)


def _next_attempt(row: MondayAccount, error: errors.MondayError, now: datetime) -> datetime:
    """Return until when calls wait after this error: as long as Monday asks, else until the next probe."""
    if error.kind is errors.DAILY_LIMIT_REACHED and not error.wait_seconds:
        # At the turn of the day the call may have been refused for the former one, which Monday says only now.
        sent_at = now - timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + api_quota.MAX_SEND_DELAY_SECONDS)
        return max(rate_limits.midnight_after(sent_at), now + timedelta(seconds=_probe_wait(row.failures)))
    wait = error.wait_seconds or _probe_wait(row.failures)
    if row.failures >= OUTAGE_IS_NEWS:
        # The wait that Monday asks for was too short several times.
        wait = max(wait, _probe_wait(row.failures))
    return now + timedelta(seconds=wait)


def _probe_wait(failures: int) -> float:
    """Return the seconds until the next probe; more on plans where probes would use over a tenth of the day's calls.

    A probe costs two calls: a read, and a repeat of the call that failed.
    """
    if failures < len(PROBE_WAITS):
        return PROBE_WAITS[failures]
    return max(LATER_PROBE_WAIT, api_quota.seconds_between_probes(2, first_calls=20))


def _stop_code(error: errors.MondayError) -> StopCode:
    if error.kind in (errors.NOT_AUTHENTICATED, errors.USER_DENIED, errors.PERMISSION_MISSING):
        return StopCode.TOKEN
    if error.kind is errors.DAILY_LIMIT_REACHED:
        return StopCode.DAY_LIMIT
    by_scope = {errors.Scope.ACCOUNT: StopCode.ACCOUNT, errors.Scope.LIMIT: StopCode.LIMIT}
    return by_scope.get(error.scope, StopCode.OUTAGE)


def probe_if_due() -> bool:
    """Return whether calls may be made; after a failure, one worker probes Monday first and the others wait."""
    row = stops.monday_account()
    if not row.needs_probe:
        return not row.waits_at(sync_now())
    due_account = MondayAccount.objects.filter(id=1, needs_probe=True).filter(
        models.Q(stopped_until=None) | models.Q(stopped_until__lte=SyncNow())
    )
    until = sync_now() + timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + PROBE_MARGIN_SECONDS)
    # The update matches for one worker only, which then probes.
    if not due_account.update(stopped_until=until):
        return False
    try:
        account = connector(urgent=True).probe()
    except errors.MondayError as error:
        # Ends this probe's own wait, but not one that was set meanwhile.
        MondayAccount.objects.filter(id=1, stopped_until=until).update(stopped_until=SyncNow())
        stop_account(error)
        return False
    # Another read may be what fails, so the failures count until a pass has succeeded.
    stops.end_account_stop(
        failures=row.failures,
        user_id=account.user_id,
        version_answered=account.version_value,
        answered_mark=credentials.token_mark(),
    )
    log.info("account answers again")
    return True


# Monday is asked once in this time, however many people try again at once.
ASK_INTERVAL = timedelta(seconds=5)

# Timeout of such a call: a person waits for it, in one of the web process's few threads.
ASK_SECONDS = 4.0

# The results of a person's trying again.
NOT_STOPPED = "not_stopped"
RESUMED = "resumed"
STOPPED = "stopped"
WAITING = "waiting"
JUST_ASKED = "just_asked"
PAUSED = "paused"
ANSWERS = {
    NOT_STOPPED: "Sync isn't stopped any more.",
    RESUMED: "Monday answers, and sync goes on.",
    STOPPED: "Sync is still stopped.",
    WAITING: "Monday asked NPD Sync to wait. Sync goes on by itself.",
    JUST_ASKED: "Somebody tried a few seconds ago, and sync is still stopped.",
    PAUSED: "All boards are paused. Resume them first.",
}

# The account waits for Monday's minute to end, two at most. Asking would be refused too, and prolong the wait.
_WAITS_FOR_MINUTE = models.Q(
    stop_code=StopCode.LIMIT, stopped_until__lte=SyncNow() + timedelta(seconds=2 * rate_limits.MINUTE_SECONDS)
)


def ask_again(*, is_slowed: bool = False) -> str:  # noqa: PLR0911 - one for each result
    """Ask Monday whether stops of the account and of boards are over, and end those that are; a person tries again.

    It makes one call for the account and one for all stopped boards, but none if nothing is stopped, people paused it,
    or Monday asked to wait for its minute. With `is_slowed`, boards wait for the quota, which may have been raised.
    Return the result's code.
    """
    row = stops.monday_account()
    is_waiting = row.waits_at(sync_now())
    # If the day is used up by our own count, the limit may have been raised since.
    calls_left = api_quota.read_quota().day_left()
    is_day_used_up = calls_left is not None and calls_left < rate_limits.PASS_CALLS
    asks_for_account = row.needs_probe or is_waiting or is_slowed or is_day_used_up
    # Monday isn't asked about these: the calls that it refused are the test.
    has_refusals = stops.try_refused_again()
    write_stop.next_turns()
    if not (asks_for_account or _stopped_links()):
        MondayAccount.objects.filter(id=1).update(asked_at=SyncNow())
        return RESUMED if has_refusals else NOT_STOPPED
    if pauses.active_pause(""):
        return PAUSED
    if not credentials.has_token():
        return STOPPED
    if is_waiting and MondayAccount.objects.filter(_WAITS_FOR_MINUTE).exists():
        return WAITING
    due_account = MondayAccount.objects.filter(id=1).filter(
        models.Q(asked_at=None) | models.Q(asked_at__lte=SyncNow() - ASK_INTERVAL)
    )
    # The update matches for the first request only.
    if not due_account.update(asked_at=SyncNow()):
        return JUST_ASKED
    try:
        if asks_for_account:
            refresh_account_info(timeout=ASK_SECONDS)
        is_over = ask_for_boards(timeout=ASK_SECONDS)
    except errors.MondayError as error:
        stop_if_shared(error)
        return STOPPED
    stops.release_held()
    row.refresh_from_db()
    return RESUMED if is_over and not row.waits_at(sync_now()) else STOPPED


def still_stopped() -> str:
    """Return that sync is stopped, and when Monday is asked next; the banner has the reason."""
    account = stops.monday_account()
    now = sync_now()
    board_stops = [stop.until for link in _stopped_links() if (stop := link.stop_of())]
    next_try = account.stopped_until if account.waits_at(now) else min(board_stops, default=None)
    sentence = "Monday still doesn't answer." if account.stop_code == StopCode.OUTAGE else ANSWERS[STOPPED]
    return f"{sentence} Next try at {humanize.due_time(next_try, now)}." if next_try else sentence


def ask_again_after_commit() -> None:
    """Ask again once the transaction is committed, because a person doesn't want to wait for the next probe."""
    transaction.on_commit(ask_again, robust=True)


def ask_for_boards(timeout: float | None = None) -> bool:
    """End the stops of boards that Monday shows as active; return whether all were ended. Raises MondayError."""
    links = _stopped_links()
    boards = connector(urgent=True, timeout=timeout).read_boards([link.board_id for link in links]) if links else {}
    active = [link for link in links if (board := boards.get(link.board_id)) is not None and board.is_active]
    for link in active:
        stops.end_board_stop(link)
    _resume(active)
    return len(active) == len(links)


def _stopped_links() -> list[BoardLink]:
    now = sync_now()
    links = map(registry.with_configured_board, BoardLink.objects.exclude(stops={}))
    stopped = [link for link in links if (stop := link.stop_of()) is not None and stop.until > now]
    return [link for link in stopped if link.board_id and not pauses.active_pause(link.entity_type)]


def _resume(links: Sequence[BoardLink]) -> None:
    """Wake a worker for these boards, and repeat the check for missed changes if the stop interrupted it."""
    for link in links:
        notify.notify_board(link.entity_type)
    check_soon(BoardLink.objects.filter(pk__in=[link.pk for link in links]).exclude(sweep_problem=""))


# A board whose last check for missed changes is set back by this is due for the next one: no interval is longer.
UNFINISHED_CHECK_AGE = timedelta(days=1)


def check_soon(links: models.QuerySet[BoardLink]) -> None:
    """Check these boards now, because Monday sends no webhook if a column is renamed or deleted."""
    due = links.filter(swept_at__gt=SyncNow() - UNFINISHED_CHECK_AGE)
    if due.update(swept_at=SyncNow() - UNFINISHED_CHECK_AGE):
        transaction.on_commit(partial(notify.send_task, "sync.sweep_boards"), robust=True)


def refresh_account_info(*, timeout: float | None = None) -> AccountInfo:
    """Read the token's user, plan, version, limits and today's usage for a person, and store them.

    Raises MondayError.
    """
    info = read_account_info(timeout=timeout)
    store_account_info(info)
    return info


def read_account_info(*, timeout: float | None = None) -> AccountInfo:
    """Return what `refresh_account_info` stores, for a token that may not be kept; raises MondayError.

    A person may ask after buying a larger plan, so a used up day doesn't stop the call.
    """
    with describe_calls(CallInfo(reads_limits=True)):
        return connector(urgent=True, timeout=timeout).account_info()


def store_account_info(info: AccountInfo) -> None:
    """Store Monday's information about the token, correct the quota by it, and end a stop, because Monday answers.

    The wait for a minute's limit stays, because one small answer doesn't prove that it is over.
    """
    row = stops.monday_account()
    values = {
        "user_id": info.user_id,
        "version_answered": info.version_value,
        "version_kind": info.version_kind,
        "tier": info.tier,
        "time_zone": info.time_zone,
        "answered_mark": credentials.token_mark(),
    }
    account = MondayAccount.objects.filter(id=1)
    account.update(**{name: value for name, value in values.items() if value})
    api_quota.apply_account_info(info, row.tier)
    if not (row.needs_probe or row.waits_at(sync_now())):
        return
    if account.filter(_WAITS_FOR_MINUTE).update(needs_probe=False, failures=0):
        return
    if stops.end_account_stop():
        log.info("account answers again")
        _resume(list(BoardLink.objects.all()))


def refresh_quota() -> None:
    """Correct the quota by Monday's own figures, once an hour; not while everything is paused."""
    api_quota.delete_old_usage()
    if not credentials.has_token() or pauses.active_pause("") or not probe_if_due():
        return
    try:
        # Urgent, because this call finds out that a limit was raised.
        store_account_info(connector(urgent=True).account_info())
    except errors.MondayError as error:
        log.warning("API quota not refreshed", reason=error.sentence)
        stop_if_shared(error)


def shrink_batches(size: int) -> None:
    """Limit the next documents to a quarter of the records of one that failed."""
    MondayAccount.objects.filter(id=1).update(batch_limit=max(1, size // 4))


def pass_succeeded(*, has_written: bool) -> None:
    """Forget failures after a successful pass and double the batch size, up to full batches.

    A pass that only read doesn't prove that writes work again.
    """
    row = stops.monday_account()
    is_proven = has_written or row.stop_code != StopCode.LIMIT
    if row.failures and is_proven and not (row.needs_probe or row.are_only_writes_stopped):
        # Not a stop that another worker has begun since.
        same_stop = MondayAccount.objects.filter(id=1, needs_probe=False, stop_code=row.stop_code)
        same_stop.update(failures=0, stop_reason="", stop_code="")
    if has_written:
        write_stop.write_succeeded(row)
    limit = row.batch_limit
    if limit is not None and (has_written or not row.write_failures):
        doubled = limit * 2
        MondayAccount.objects.filter(id=1).update(batch_limit=None if doubled >= rate_limits.FULL_BATCH else doubled)
