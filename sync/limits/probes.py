"""Finds out whether a stop is over: probes of reads and of writes, a person's trying again, Monday's answers.

While all calls are stopped, one worker reads who we are, and all go on once Monday has answered. Reads don't prove that
writes work, so while only these are stopped, the probe is a waiting write.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings
from django.db import models, transaction

from sync import choices
from sync.choices import StopCode
from sync.clock import SyncNow, sync_now
from sync.fields import lookups
from sync.kernel import humanize
from sync.kernel.db import fetch_rows
from sync.limits import api_quota, breaker, credentials, metered_client
from sync.models import BoardLink, MondayAccount, SyncQueue, WebhookEvent
from sync.models.boards_and_account import ALL_CALLS, ALL_WRITES, Stop
from sync.monday import errors
from sync.monday.account import AccountInfo
from sync.outbox import pauses, wakeups
from sync.words.message import Message, sentences

log = structlog.get_logger(__name__)

# A probe's result is stored in this time after its call has timed out.
READ_PROBE_MARGIN = timedelta(seconds=5)

# The same for a probe of writes, with all calls of its pass.
WRITE_PROBE_TIME = timedelta(seconds=180)


def probe_if_due() -> bool:
    """Return whether calls may be made now; if a probe is due, one worker makes it first while the others wait."""
    account = breaker.monday_account()
    stop = account.stop_of()
    if stop is None or not stop.needs_probe:
        return breaker.stop_of_call(None, breaker.READS, account=account) is None
    if not claim_probe(ALL_CALLS):
        return False
    try:
        info = metered_client.connector(urgent=True).ping()
    except errors.MondayError as error:
        # Without this probe's own wait, so that `stop_account` counts the failure; a wait that was set meanwhile stays.
        release_probe(ALL_CALLS)
        breaker.stop_account(error)
        return False
    MondayAccount.objects.filter(id=1).update(
        user_id=info.user_id, version_answered=info.version_value, answered_mark=credentials.token_mark()
    )
    breaker.end_stop_after_answer(is_read_next=is_read_next())
    log.info("account answers again")
    return True


def is_write_probe_due() -> bool:
    """Whether a write may be tried now although writes are stopped."""
    return _stop_to_probe(breaker.monday_account(), ALL_WRITES) is not None


def claim_probe(kind: str) -> bool:
    """Return whether this worker makes the probe that is due, which is true for one worker only; the others wait."""
    with transaction.atomic():
        account = breaker.locked_account()
        stop = _stop_to_probe(account, kind)
        if stop is None:
            return False
        now = sync_now()
        breaker.store_stop(account, kind, replace(stop, until=now + _time_limit(kind), tried_at=now))
        return True


def release_probe(kind: str) -> bool:
    """Make the next probe due now unless this one has ended the stop or failed; return whether that was so."""
    with transaction.atomic():
        account = breaker.locked_account()
        stop = account.stop_of(kind)
        if stop is None or stop.tried_at is None or stop.until != stop.tried_at + _time_limit(kind):
            return False
        breaker.store_stop(account, kind, replace(stop, until=sync_now()))
        return True


def _time_limit(kind: str) -> timedelta:
    """Return after what time another worker probes, because this one may have died."""
    if kind == ALL_WRITES:
        return WRITE_PROBE_TIME
    return timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS) + READ_PROBE_MARGIN


def _stop_to_probe(account: MondayAccount, kind: str) -> Stop | None:
    """Return the stop of this kind if a call is tried now; a write only while calls as such go on."""
    stop = account.stop_of(kind)
    if stop is None:
        return None
    now = sync_now()
    if kind == ALL_CALLS:
        return stop if stop.needs_probe and stop.until <= now else None
    if (calls := account.stop_of()) and calls.lasts_at(now):
        return None
    return stop if stop.until <= now or _is_probed_sooner(stop, now) else None


def _is_probed_sooner(stop: Stop, now: datetime) -> bool:
    """Whether a webhook or a save since the last probe of writes brings the next one forward."""
    apart = timedelta(seconds=breaker.seconds_until_attempt(breaker.WRITES_SOONER))
    if stop.tried_at is None or stop.tried_at + apart > now:
        return False
    delivered = WebhookEvent.objects.filter(received_at__gt=stop.tried_at)
    saved = SyncQueue.objects.filter(
        status=choices.QueueStatus.PENDING, direction=choices.QueueDirection.TO_MONDAY, created_at__gt=stop.tried_at
    )
    return delivered.exists() or saved.exists()


def is_read_next(links: Iterable[BoardLink] | None = None) -> bool:
    """Whether one of these boards, or of all, has jobs that its next pass reads at once."""
    boards = map(lookups.with_configured_board, BoardLink.objects.all()) if links is None else links
    free = [link.entity_type for link in boards if link.board_id and breaker.stop_of_call(link) is None]
    types = [entity_type for entity_type in free if not pauses.active_pause(entity_type)]
    jobs = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, next_retry__lte=SyncNow())
    return jobs.filter(entity_type__in=types).exists()


_NEXT_PROBE = f"""
    SELECT job.id FROM sync_queue AS job JOIN sync_board_links AS link ON link.entity_type = job.entity_type
    WHERE job.status = 'pending' AND link.board_id <> ''
      AND ((link.stops #>> '{{{ALL_CALLS},until}}')::timestamptz <= sync_now()) IS NOT FALSE
      AND (job.direction = 'to_monday' AND job.next_retry <= sync_now() OR job.waits_for_writes)
      AND job.priority <= %(priority)s AND NOT {pauses.IS_PAUSED.format(entity_type="job.entity_type")}
      AND NOT EXISTS (SELECT FROM sync_intents AS intent WHERE intent.entity_id = job.entity_id
        AND intent.state = 'open' AND intent.deadline > sync_now())
      AND NOT EXISTS (SELECT FROM jsonb_each(link.stops) AS call (kind, stop)
        WHERE (call.stop ->> 'until')::timestamptz > sync_now() AND call.kind = CASE
          WHEN job.entity_id IS NULL OR EXISTS (SELECT FROM sync_metadata AS state
            WHERE state.entity_type = job.entity_type AND state.entity_id = job.entity_id::text
            AND state.system = 'monday' AND state.remote_id <> ''
          ) THEN 'change' ELSE 'create' END)
    ORDER BY (SELECT count(*) FROM sync_intents AS failed
        WHERE (failed.entity_id = job.entity_id OR job.entity_id IS NULL AND failed.item_id = job.remote_id)
          AND failed.state IN ('open', 'void')),
      job.entity_id NULLS LAST LIMIT 1
"""  # noqa: S608 - made of constants


def next_write_probe(*, only_urgent: bool = False) -> SyncQueue | None:
    """Return the job whose write is sent next to find out whether writes work.

    Records and unmatched items that failed least come first, then by random UUID, so that a few failing ones don't take
    every probe. It leaves out jobs whose kind of call is stopped on their board, and records with an unanswered create,
    which their board's worker searches for first. With `only_urgent`, it takes only jobs that a person clicked.
    """
    priority = max(choices.Priority) if not only_urgent else choices.Priority.PERSON
    rows = fetch_rows(_NEXT_PROBE, {"priority": int(priority)})
    return SyncQueue.objects.filter(pk=rows[0][0]).first() if rows else None


# Monday is asked once in this time, however many people try again at once.
TRY_AGAIN_INTERVAL = timedelta(seconds=5)

# Timeout of such a call: a person waits for it, in one of the web process's few threads.
TRY_AGAIN_SECONDS = 4.0

# The results of a person's trying again.
NOT_STOPPED = Message("tried_not_stopped")
RESUMED = Message("tried_resumed")
STOPPED = Message("tried_stopped")
WAITING = Message("tried_waiting")
TRIED = Message("tried_now")
JUST_ASKED = Message("tried_just_before")
PAUSED = Message("tried_paused")


def try_again(*, by: str = "", is_slowed: bool = False) -> Message:
    """Ask Monday whether the stops of the account and of boards are over, because a person tries again.

    It makes one call for the account and one for all stopped boards, but none if nothing is stopped, people paused it,
    or Monday asked to wait for its minute. Writes and kinds of calls that Monday refused, and records that failed, are
    tried again without asking; what is stopped stays so until one succeeds, and that end is an act of `by`. Pass
    `is_slowed` if boards wait for the quota, which may have been raised. Return the result; STOPPED can be told in more
    words by `still_stopped_sentence`.
    """
    has_stopped_kinds = breaker.try_stopped_kinds(by)
    account = breaker.monday_account()
    now = sync_now()
    stop = account.stop_of()
    # If the day is used up by our own count, the limit may have been raised since.
    calls_left = api_quota.read_quota().day_left()
    is_day_used_up = calls_left is not None and calls_left < api_quota.PASS_CALLS
    asks_for_account = (stop is not None and stop.lasts_at(now)) or is_slowed or is_day_used_up
    if not (asks_for_account or account.stop_of(ALL_WRITES) or _stopped_links()):
        MondayAccount.objects.filter(id=1).update(asked_at=SyncNow())
        _make_repeats_due()
        return TRIED if has_stopped_kinds else NOT_STOPPED
    if pauses.active_pause(""):
        return PAUSED
    if not credentials.has_token():
        return STOPPED
    if stop is not None and stop.until > now and _waits_for_minute(stop, now):
        return WAITING
    due_account = MondayAccount.objects.filter(id=1).filter(
        models.Q(asked_at=None) | models.Q(asked_at__lte=SyncNow() - TRY_AGAIN_INTERVAL)
    )
    # The update matches for the first request only.
    if not due_account.update(asked_at=SyncNow()):
        return JUST_ASKED
    try:
        if asks_for_account:
            refresh_account_info(timeout=TRY_AGAIN_SECONDS, by=by)
        is_over = _try_active_boards(by)
    except errors.MondayError as error:
        breaker.stop_if_shared(error)
        return STOPPED
    breaker.try_now(breaker.monday_account(), ALL_WRITES, by=by)
    _make_repeats_due()
    account = breaker.monday_account()
    if not is_over or breaker.stop_of_call(None, account=account):
        return STOPPED
    return TRIED if account.stop_of(ALL_WRITES) or has_stopped_kinds else RESUMED


def _waits_for_minute(stop: Stop, now: datetime) -> bool:
    """Whether the account waits for Monday's limit of a minute: until the end of this one or the next.

    Asking before that would be refused too, and prolong the wait.
    """
    return stop.code == StopCode.LIMIT and stop.until <= now + timedelta(seconds=2 * api_quota.MINUTE_SECONDS)


def _make_repeats_due() -> None:
    """Make due what waits for writes, and what waits for its next attempt."""
    failed = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, attempts__gt=0, next_retry__gt=SyncNow())
    failed.update(next_retry=SyncNow())
    breaker.make_waiting_writes_due()


def still_stopped_sentence() -> str:
    """Return that sync is stopped, and when Monday is asked next; the banner has the reason."""
    account = breaker.monday_account()
    now = sync_now()
    board_stops = [stop.until for link in _stopped_links() if (stop := breaker.stop_of_call(link))]
    stop = breaker.stop_of_call(None, account=account, now=now)
    next_try = stop.until if stop else min(board_stops, default=None)
    sentence = Message("tried_no_answer") if account.stop and account.stop.code == StopCode.OUTAGE else STOPPED
    return sentences(sentence, Message("next_attempt_at", at=humanize.due_time(next_try, now)) if next_try else "")


def try_again_after_commit(by: str) -> None:
    """Try again once the transaction is committed, because a person doesn't want to wait for the next probe."""
    transaction.on_commit(partial(try_again, by=by), robust=True)


def _try_active_boards(by: str) -> bool:
    """Have the stopped boards that Monday shows as active tried now; return whether all are. Raises MondayError.

    Their items may still be refused: only a pass ends the stop, or if none is due, that Monday shows the board.
    """
    links = _stopped_links()
    if not links:
        return True
    connector = metered_client.connector(urgent=True, timeout=TRY_AGAIN_SECONDS)
    boards = connector.read_boards([link.board_id for link in links])
    active = [link for link in links if link.board_id in boards and boards[link.board_id].is_active]
    for link in active:
        breaker.try_now(link, by=by)
        MondayAccount.objects.filter(id=1).update(free_since=SyncNow())
    for link in active:
        end_stop_of_shown(link)
    _resume(active)
    return len(active) == len(links)


def end_stop_of_shown(link: BoardLink) -> None:
    """End the stop of a board that Monday shows, if its wait is over and no pass comes that would find out more."""
    if breaker.stop_of_call(link) is None and not is_read_next([link]):
        breaker.end_stop(link)


def _stopped_links() -> list[BoardLink]:
    """Return the boards that wait because of a stop of their own, without paused ones."""
    links = map(lookups.with_configured_board, BoardLink.objects.exclude(stops={}))
    stopped = [link for link in links if link.board_id and breaker.stop_of_call(link)]
    return [link for link in stopped if not pauses.active_pause(link.entity_type)]


def _resume(links: list[BoardLink]) -> None:
    """Wake a worker for these boards, and sweep those again whose last sweep the stop interrupted."""
    for link in links:
        wakeups.wake_board(link.entity_type)
    wakeups.sweep_soon(BoardLink.objects.filter(pk__in=[link.pk for link in links]).exclude(sweep_problem=""))


def refresh_account_info(*, timeout: float | None = None, by: str = "") -> AccountInfo:
    """Read the token's user, plan, version, limits and today's usage, and store them; raises MondayError."""
    info = read_account_info(timeout=timeout)
    store_account_info(info, by=by)
    return info


def read_account_info(*, timeout: float | None = None) -> AccountInfo:
    """Return what `refresh_account_info` stores, for a token that may not be kept; raises MondayError.

    A used up day doesn't stop the call, because it finds out that the limit was raised.
    """
    with metered_client.meter_calls(metered_client.CallInfo(reads_limits=True)):
        return metered_client.connector(urgent=True, timeout=timeout).read_account_info()


def store_account_info(info: AccountInfo, *, by: str = "") -> None:
    """Store Monday's information about the token, correct the quota by it, and end a stop, because Monday answers.

    The wait for a minute's limit stays, because one small answer doesn't prove that it is over.
    """
    former_tier = breaker.monday_account().tier
    values = {
        "user_id": info.user_id,
        "version_answered": info.version_value,
        "tier": info.tier,
        "time_zone": info.time_zone,
        "answered_mark": credentials.token_mark(),
    }
    MondayAccount.objects.filter(id=1).update(**{name: value for name, value in values.items() if value})
    api_quota.apply_account_info(info, former_tier)
    with transaction.atomic():
        account = breaker.locked_account()
        now = sync_now()
        stop = account.stop_of()
        if stop is None or not stop.lasts_at(now):
            return
        if _waits_for_minute(stop, now):
            breaker.store_stop(account, ALL_CALLS, replace(stop, needs_probe=False, failures=0))
            return
        breaker.end_stop_after_answer(is_read_next=is_read_next(), by=by)
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
        breaker.stop_if_shared(error)
