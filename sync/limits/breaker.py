"""The breaker: it stops all boards after failures of Monday's account, and probes whether Monday answers again.

It also stores Monday's answer about the account, which ends a stop too.
"""

from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings
from django.db import models, transaction

from sync.choices import ActivityKind, StopCode
from sync.clock import SyncNow, sync_now
from sync.fields import lookups
from sync.kernel import humanize
from sync.limits import api_quota, credentials, failed_writes, metered_client, stops
from sync.models import BoardLink, MondayAccount, activity_lines
from sync.monday import errors
from sync.monday.account import AccountInfo
from sync.outbox import pauses, wakeups
from sync.words.message import Message, of_error

log = structlog.get_logger(__name__)

# Seconds before the first, second … probe after a failure.
PROBE_WAITS = (5, 10, 20, 40, 60, 60, 60, 60, 60)

LATER_PROBE_WAIT = 360  # seconds between further probes; more on small plans

READ_PROBE_CALLS = 2  # calls of one probe: a read, and a repeat of the call that failed
EARLY_READ_PROBE_CALLS = 20  # calls of the probes before the further ones

PROBE_MARGIN_SECONDS = 5  # no other worker probes until a probe's call has timed out and its result is stored

OUTAGE_IS_NEWS = 3  # Activity shows an outage after this many failed probes, over half a minute

WAIT_DISTRUSTED_AFTER = 3  # failed probes in a row for which the wait that Monday named was too short

# Errors of these scopes meet every board alike.
SHARED_SCOPES = (errors.Scope.ACCOUNT, *errors.PASSING_SCOPES)


def stop_board_or_account(link: BoardLink, error: errors.MondayError) -> None:
    """Stop the board if the error concerns it or a column, else every board, as for the account or the network."""
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
    # Our own quota had no room, or this process shuts down: Monday was not asked.
    if error.kind in errors.NEVER_SENT:
        return
    code = _stop_code(error)
    with transaction.atomic():
        account = stops.locked_account()
        now = sync_now()
        if account.are_only_writes_stopped:
            # Only writes were stopped, so that wait was for the next write.
            account.stopped_until = None
        is_waiting = account.waits_at(now)
        until = _next_attempt_at(account, error, now)
        # Activity doesn't show an outage of some seconds. `failures` is the number of its failed probes, because it
        # counts the first failure, which was no probe, and not yet this one.
        may_be_short = code in (StopCode.OUTAGE, StopCode.LIMIT)
        is_news = (account.failures == OUTAGE_IS_NEWS and not is_waiting) if may_be_short else account.stop_code != code
        # A wait that is longer than this outage's, such as for tomorrow's quota, keeps its reason.
        is_longer = account.stopped_until is not None and account.stopped_until > until
        if not (code == StopCode.OUTAGE and is_longer):
            # Another cause begins now, whatever stopped everything before.
            if account.stop_code != code or not (account.needs_probe or is_waiting):
                account.stopped_since = now
            account.stop_code = code
            account.stop_reason = of_error(error)
        account.stopped_since = account.stopped_since or now
        # A longer wait is never shortened by a later, milder failure.
        account.stopped_until = max(account.stopped_until or until, until)
        # Calls that were in flight together count as one failure.
        if not is_waiting:
            account.failures += 1
        # A limit's wait ends by itself; any other failure needs a probe.
        if error.scope is not errors.Scope.LIMIT:
            account.needs_probe = True
        if code in (StopCode.TOKEN, StopCode.ACCOUNT):
            account.answered_mark = ""
        account.save()
    if is_news:
        activity_lines.log_event(ActivityKind.STOP, Message("stopped", why=code.label))
    log.warning("account stopped", scope=str(error.scope), reason=error.full_sentence)


def _next_attempt_at(account: MondayAccount, error: errors.MondayError, now: datetime) -> datetime:
    """Return when calls may be made again after this error: once Monday's wait is over, else with the next probe."""
    if account.failures < len(PROBE_WAITS):
        probe_wait: float = PROBE_WAITS[account.failures]
    else:
        # On small plans, probes would otherwise use over a tenth of the day's calls.
        seconds = api_quota.seconds_between_attempts(READ_PROBE_CALLS, first_calls=EARLY_READ_PROBE_CALLS)
        probe_wait = max(LATER_PROBE_WAIT, seconds)
    if error.kind is errors.DAILY_LIMIT_REACHED and not error.wait_seconds:
        # The call may have been sent before midnight, and refused for the day that was ending then.
        sent_at = now - timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + api_quota.MAX_SEND_DELAY_SECONDS)
        return max(api_quota.midnight_after(sent_at), now + timedelta(seconds=probe_wait))
    wait = error.wait_seconds or probe_wait
    if account.failures >= WAIT_DISTRUSTED_AFTER:
        wait = max(wait, probe_wait)
    return now + timedelta(seconds=wait)


def _stop_code(error: errors.MondayError) -> StopCode:
    if error.kind in (errors.NOT_AUTHENTICATED, errors.USER_DENIED, errors.PERMISSION_MISSING):
        return StopCode.TOKEN
    if error.kind is errors.DAILY_LIMIT_REACHED:
        return StopCode.DAY_LIMIT
    if error.scope is errors.Scope.ACCOUNT:
        return StopCode.ACCOUNT
    return StopCode.LIMIT if error.scope is errors.Scope.LIMIT else StopCode.OUTAGE


def probe_if_due() -> bool:
    """Return whether calls may be made now; if a probe is due, one worker makes it first while the others wait."""
    account = stops.monday_account()
    if not account.needs_probe:
        return not account.waits_at(sync_now())
    due_account = MondayAccount.objects.filter(id=1, needs_probe=True).filter(
        models.Q(stopped_until=None) | models.Q(stopped_until__lte=SyncNow())
    )
    until = sync_now() + timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + PROBE_MARGIN_SECONDS)
    # The update matches for one worker only, which then probes.
    if not due_account.update(stopped_until=until):
        return False
    try:
        info = metered_client.connector(urgent=True).ping()
    except errors.MondayError as error:
        # Without this probe's own wait, so that `stop_account` counts the failure; a wait that was set meanwhile stays.
        MondayAccount.objects.filter(id=1, stopped_until=until).update(stopped_until=SyncNow())
        stop_account(error)
        return False
    # The failures stay counted until a pass has succeeded, because another read may be what fails.
    columns = {"user_id": info.user_id, "version_answered": info.version_value}
    stops.end_account_stop(columns={**columns, "failures": account.failures, "answered_mark": credentials.token_mark()})
    log.info("account answers again")
    return True


# Monday is asked once in this time, however many people try again at once.
TRY_AGAIN_INTERVAL = timedelta(seconds=5)

# Timeout of such a call: a person waits for it, in one of the web process's few threads.
TRY_AGAIN_SECONDS = 4.0

# The results of a person's trying again.
NOT_STOPPED = "not_stopped"
RESUMED = "resumed"
STOPPED = "stopped"
WAITING = "waiting"
JUST_ASKED = "just_asked"
PAUSED = "paused"
RESULTS = {
    NOT_STOPPED: "Sync isn't stopped any more.",
    RESUMED: "Monday answers, and the sync runs again.",
    STOPPED: "Sync is still stopped.",
    WAITING: "Monday asked NPD Sync to wait. Sync continues by itself.",
    JUST_ASKED: "Somebody tried a few seconds ago, and sync is still stopped.",
    PAUSED: "All boards are paused. Resume them first.",
}

# The account waits for Monday's limit of a minute: until the end of this one or the next. Asking before that would be
# refused too, and prolong the wait.
_WAITS_FOR_MINUTE = models.Q(
    stop_code=StopCode.LIMIT, stopped_until__lte=SyncNow() + timedelta(seconds=2 * api_quota.MINUTE_SECONDS)
)


def try_again(*, is_slowed: bool = False) -> str:
    """Ask Monday whether the stops of the account and of boards are over, because a person tries again; end those.

    It makes one call for the account and one for all stopped boards, but none if nothing is stopped, people paused it,
    or Monday asked to wait for its minute. Kinds of calls that Monday refused, and records that wait for their turn,
    are tried again without asking. Pass `is_slowed` if boards wait for the quota, which may have been raised.
    Return the result, one of `RESULTS`.
    """
    had_stopped_kinds = stops.end_stops_of_kinds()
    failed_writes.make_turns_due()
    account = stops.monday_account()
    is_waiting = account.waits_at(sync_now())
    # If the day is used up by our own count, the limit may have been raised since.
    calls_left = api_quota.read_quota().day_left()
    is_day_used_up = calls_left is not None and calls_left < api_quota.PASS_CALLS
    asks_for_account = account.needs_probe or is_waiting or is_slowed or is_day_used_up
    if not (asks_for_account or _stopped_links()):
        MondayAccount.objects.filter(id=1).update(asked_at=SyncNow())
        return RESUMED if had_stopped_kinds else NOT_STOPPED
    if pauses.active_pause(""):
        return PAUSED
    if not credentials.has_token():
        return STOPPED
    if is_waiting and MondayAccount.objects.filter(_WAITS_FOR_MINUTE).exists():
        return WAITING
    due_account = MondayAccount.objects.filter(id=1).filter(
        models.Q(asked_at=None) | models.Q(asked_at__lte=SyncNow() - TRY_AGAIN_INTERVAL)
    )
    # The update matches for the first request only.
    if not due_account.update(asked_at=SyncNow()):
        return JUST_ASKED
    try:
        if asks_for_account:
            refresh_account_info(timeout=TRY_AGAIN_SECONDS)
        is_over = _end_stops_of_active_boards()
    except errors.MondayError as error:
        stop_if_shared(error)
        return STOPPED
    stops.make_waiting_writes_due()
    return RESUMED if is_over and not stops.monday_account().waits_at(sync_now()) else STOPPED


def still_stopped_sentence() -> str:
    """Return that sync is stopped, and when Monday is asked next; the banner has the reason."""
    account = stops.monday_account()
    now = sync_now()
    board_stops = [board_stop.until for link in _stopped_links() if (board_stop := link.stop_of())]
    next_try = account.stopped_until if account.waits_at(now) else min(board_stops, default=None)
    sentence = "Monday still doesn't answer." if account.stop_code == StopCode.OUTAGE else RESULTS[STOPPED]
    return f"{sentence} Next try at {humanize.due_time(next_try, now)}." if next_try else sentence


def try_again_after_commit() -> None:
    """Try again once the transaction is committed, because a person doesn't want to wait for the next probe."""
    transaction.on_commit(try_again, robust=True)


def _end_stops_of_active_boards() -> bool:
    """End the stops of boards that Monday shows as active; return whether all were ended. Raises MondayError."""
    links = _stopped_links()
    if not links:
        return True
    connector = metered_client.connector(urgent=True, timeout=TRY_AGAIN_SECONDS)
    boards = connector.read_boards([link.board_id for link in links])
    active = [link for link in links if link.board_id in boards and boards[link.board_id].is_active]
    for link in active:
        stops.end_board_stop(link)
        MondayAccount.objects.filter(id=1).update(free_since=SyncNow())
    _resume(active)
    return len(active) == len(links)


def _stopped_links() -> list[BoardLink]:
    """Return the boards that wait because of a stop of their own, without paused ones."""
    now = sync_now()
    stopped = []
    for link in map(lookups.with_configured_board, BoardLink.objects.exclude(stops={})):
        board_stop = link.stop_of()
        is_stopped = board_stop is not None and board_stop.until > now
        if is_stopped and link.board_id and not pauses.active_pause(link.entity_type):
            stopped.append(link)
    return stopped


def _resume(links: list[BoardLink]) -> None:
    """Wake a worker for these boards, and sweep those again whose last sweep the stop interrupted."""
    for link in links:
        wakeups.wake_board(link.entity_type)
    sweep_soon(BoardLink.objects.filter(pk__in=[link.pk for link in links]).exclude(sweep_problem=""))


# A sweep is due if the last one is so old, because no interval between sweeps is longer.
AGE_OF_DUE_SWEEP = timedelta(days=1)


def sweep_soon(links: models.QuerySet[BoardLink]) -> None:
    """Have these boards swept now, by setting the time of their last sweep back."""
    not_due = links.filter(swept_at__gt=SyncNow() - AGE_OF_DUE_SWEEP)
    if not_due.update(swept_at=SyncNow() - AGE_OF_DUE_SWEEP):
        transaction.on_commit(partial(wakeups.send_task, "sync.sweep_boards"), robust=True)


def refresh_account_info(*, timeout: float | None = None) -> AccountInfo:
    """Read the token's user, plan, version, limits and today's usage, and store them; raises MondayError."""
    info = read_account_info(timeout=timeout)
    store_account_info(info)
    return info


def read_account_info(*, timeout: float | None = None) -> AccountInfo:
    """Return what `refresh_account_info` stores, for a token that may not be kept; raises MondayError.

    A used up day doesn't stop the call, because it finds out that the limit was raised.
    """
    with metered_client.meter_calls(metered_client.CallInfo(reads_limits=True)):
        return metered_client.connector(urgent=True, timeout=timeout).read_account_info()


def store_account_info(info: AccountInfo) -> None:
    """Store Monday's information about the token, correct the quota by it, and end a stop, because Monday answers.

    The wait for a minute's limit stays, because one small answer doesn't prove that it is over.
    """
    before = stops.monday_account()
    values = {
        "user_id": info.user_id,
        "version_answered": info.version_value,
        "tier": info.tier,
        "time_zone": info.time_zone,
        "answered_mark": credentials.token_mark(),
    }
    stored_account = MondayAccount.objects.filter(id=1)
    stored_account.update(**{name: value for name, value in values.items() if value})
    api_quota.apply_account_info(info, before.tier)
    if not (before.needs_probe or before.waits_at(sync_now())):
        return
    if stored_account.filter(_WAITS_FOR_MINUTE).update(needs_probe=False, failures=0):
        return
    if stops.end_account_stop():
        log.info("account answers again")
        _resume(list(BoardLink.objects.all()))


def refresh_quota() -> None:
    """Correct the quota by Monday's own figures, once an hour; not while everything is paused."""
    if not credentials.has_token() or pauses.active_pause("") or not probe_if_due():
        return
    try:
        refresh_account_info()
    except errors.MondayError as error:
        log.warning("API quota not refreshed", reason=error.sentence)
        stop_if_shared(error)


def forget_failures(*, has_written: bool) -> None:
    """Forget failures after a successful pass.

    A pass that only read doesn't prove that writes work again.
    """
    account = stops.monday_account()
    # A read that succeeds doesn't end a limit that writes have reached.
    is_proven = has_written or account.stop_code != StopCode.LIMIT
    if account.failures and is_proven and not (account.needs_probe or account.are_only_writes_stopped):
        # Not a stop that another worker has begun since.
        same_stop = MondayAccount.objects.filter(id=1, needs_probe=False, stop_code=account.stop_code)
        same_stop.update(failures=0, stop_reason="", stop_code="")
    if has_written:
        failed_writes.resume_writes(account)
