"""The breaker: after errors it stops all calls, all writes, a board, or one kind of a board's calls.

`stop_of_call` says whether a call may be made, and its `Backoff` how long it waits: no failure may spend the quota.
Look-ups, probes and repeats are at most 50 calls in the first hour, 20 in any other, and a tenth of the plan's day. So
the last waits are longer on small plans.

    what fails                                   what happens                                 its wait
    all calls: no answer, a limit, the token     all calls stop; a read is the probe          CALLS
    writes, while reads go on                    all writes stop; a waiting one is the probe  WRITES
    the same, before a delivery or a save        the probe comes sooner                       WRITES_SOONER
    what Monday refuses until a person acts      the board, or calls of one kind, stop        REFUSED
    many records' writes, while others succeed   further repeats of these wait                REPEATS

probes.py finds out whether a stop is over, failed_writes.py whose fault a failed write is. All three implement
docs/reference/merge/limits-and-stops.md.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import transaction

from sync import choices, registry
from sync.choices import BRIEF_STOPS, ENDING_STOPS, LASTING_STOPS, ActivityKind, StopCode
from sync.clock import SyncNow, sync_now
from sync.kernel.db import run_sql
from sync.limits import api_quota
from sync.models import BoardLink, Intent, IntentState, MondayAccount, SyncQueue
from sync.models.activity_lines import log_event
from sync.models.boards_and_account import ALL_CALLS, ALL_WRITES, Stop
from sync.monday import errors
from sync.monday.errors import MondayError
from sync.outbox import wakeups
from sync.words.message import Message, of_error, sentences, to_json

log = structlog.get_logger(__name__)


class Backoff(NamedTuple):
    """How long something waits after each failure in a row."""

    seconds: tuple[int, ...]  # after the first, second … failure; the last one is for all further ones
    calls: int  # of an attempt (a probe's read and what failed, or a search, a read and a write), or of all REPEATS
    early_calls: int  # of the attempts before the last two waits


CALLS = Backoff((5, 10, 20, 40, 60, 60, 60, 60, 60, 360), calls=2, early_calls=20)
WRITES = Backoff((60, 120, 300, 600, 1_800, 3_600), calls=3, early_calls=15)
WRITES_SOONER = Backoff((600,), calls=3, early_calls=15)
REFUSED = Backoff((60, 300, 900, 3_600), calls=3, early_calls=15)
REPEATS = Backoff((3_600,), calls=17, early_calls=50)

# How many failures decide something:

FAILED_ENOUGH = 4  # failed documents end a pass that has written nothing
FEW = 8  # a failed document of so many records at most is split into single ones, which takes a pass less
REPEATS_AT_ONCE = 20  # so many failed documents of a day are repeated at once: enough to find a few records at fault
REPEATS_LATER = 6  # after these, so many in each wait of REPEATS: one for all, because they share a pass's reads

OUTAGE_IS_NEWS = 3  # failed probes, over half a minute: before that, Activity doesn't show an outage
WAIT_DISTRUSTED_AFTER = 3  # failed probes in a row: after these, the wait that Monday names was too short

# A kind of calls, beside ALL_CALLS and choices.CallKind: only reads.
READS = "read"

# Errors of these scopes meet every board alike.
SHARED_SCOPES = (errors.Scope.ACCOUNT, *errors.PASSING_SCOPES)

# How the reason of all that waits for writes begins.
WRITES_STOPPED = Message("waits_writes")


def stop_of_call(
    link: BoardLink | None, kind: str = ALL_CALLS, *, account: MondayAccount | None = None, now: datetime | None = None
) -> Stop | None:
    """Return the stop for which a call of this kind waits, the longest of several; None if it may be made.

    Without the account or the board, only the stops of the other count.
    """
    now = now or sync_now()
    kinds = {ALL_CALLS} if kind == READS else {ALL_CALLS, ALL_WRITES, kind}
    holders = [holder for holder in (account, link) if holder is not None]
    stops = [holder.stop_of(stopped_kind) for holder in holders for stopped_kind in kinds]
    active = [stop for stop in stops if stop is not None and stop.until > now]
    return max(active, key=lambda stop: stop.until, default=None)


def seconds_until_attempt(backoff: Backoff, failures: int = 1, *, sharing: int = 1) -> float:
    """Return the seconds until the next attempt after so many failures in a row.

    The last two waits are so long that the attempts of a day, with those before, use at most a tenth of its calls.
    `sharing` is how many such waits share them.
    """
    seconds = backoff.seconds[min(failures, len(backoff.seconds)) - 1]
    is_early = failures < len(backoff.seconds) - 1
    limit = None if is_early else api_quota.read_quota().day_limit
    if not limit:
        return seconds
    calls = backoff.calls * sharing
    return max(seconds, api_quota.DAY_SECONDS * calls / max(calls, limit / 10 - backoff.early_calls))


def monday_account() -> MondayAccount:
    """Return the account's only row, created if it is missing."""
    return MondayAccount.objects.get_or_create(id=1)[0]


def locked_account() -> MondayAccount:
    """Return the account's only row, locked until the transaction ends."""
    return MondayAccount.objects.select_for_update().get_or_create(id=1)[0]


def stop_board_or_account(link: BoardLink, error: MondayError) -> None:
    """Stop the board if the error concerns it or a column, else every board, as for the account or the network."""
    if error.scope in (errors.Scope.BOARD, errors.Scope.COLUMN):
        stop_board(link, error)
    else:
        stop_account(error)


def stop_if_shared(error: MondayError) -> bool:
    """Stop every board if the error would meet all of them alike; return whether it would."""
    if error.scope not in SHARED_SCOPES:
        return False
    stop_account(error)
    return True


def stop_account(error: MondayError) -> None:
    """Stop every board after a failure that concerns the account, and store why."""
    # Our own quota had no room, or this process shuts down: Monday was not asked.
    if error.kind in errors.NEVER_SENT:
        return
    code = _stop_code(error)
    with transaction.atomic():
        account = locked_account()
        now = sync_now()
        before = account.entry_of() or Stop(now, now, "", failures=0, is_logged=False)
        is_waiting = before.until > now
        # Activity shows a new cause at once, but not an outage of some seconds. The failures before are the number of
        # its failed probes, because they count the first failure, which was no probe, and not yet this one.
        is_news = before.code != code
        if code in BRIEF_STOPS:
            is_news = before.failures == OUTAGE_IS_NEWS and not is_waiting
        stop = Stop(
            since=_stopped_since(account, code, now),
            until=_next_attempt_at(before.failures, error, now),
            reason=of_error(error),
            # Calls that were in flight together count as one failure.
            failures=before.failures if is_waiting else before.failures + 1,
            code=code,
            needs_probe=before.needs_probe or code not in ENDING_STOPS,
            is_logged=before.is_logged or is_news,
        )
        if before.until > stop.until:
            # A longer wait, such as that for tomorrow's quota, is never shortened by a later, milder failure, and keeps
            # its reason.
            stop = replace(stop, until=before.until)
            if code in BRIEF_STOPS:
                stop = replace(stop, since=before.since, reason=before.reason, code=before.code)
        store_stop(account, ALL_CALLS, stop)
        if code in LASTING_STOPS:
            MondayAccount.objects.filter(id=1).update(answered_mark="")
    if is_news:
        log_event(ActivityKind.STOP, Message(f"stopped_{code}"))
    log.warning("account stopped", scope=str(error.scope), reason=error.full_sentence)


def _stopped_since(account: MondayAccount, code: StopCode, now: datetime) -> datetime:
    """Return since when this cause stops calls."""
    stop = account.stop
    if stop is None:
        return now
    # A limit begins anew after its wait, and an outage of writes may reach reads.
    is_same = stop.code == code and (code not in ENDING_STOPS or stop.until > now)
    is_same |= code == StopCode.OUTAGE and stop.code == StopCode.WRITES
    return stop.since if is_same else now


def _next_attempt_at(failures: int, error: MondayError, now: datetime) -> datetime:
    """Return when calls may be made again after this error: once Monday's wait is over, else with the next probe."""
    probe_wait = seconds_until_attempt(CALLS, failures + 1)
    if error.kind is errors.DAILY_LIMIT_REACHED and not error.wait_seconds:
        # The call may have been sent before midnight, and refused for the day that was ending then.
        sent_at = now - timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + api_quota.MAX_SEND_DELAY_SECONDS)
        return max(api_quota.midnight_after(sent_at), now + timedelta(seconds=probe_wait))
    wait = error.wait_seconds or probe_wait
    if failures >= WAIT_DISTRUSTED_AFTER:
        wait = max(wait, probe_wait)
    return now + timedelta(seconds=wait)


def _stop_code(error: MondayError) -> StopCode:
    if error.kind in (errors.NOT_AUTHENTICATED, errors.USER_DENIED, errors.PERMISSION_MISSING):
        return StopCode.TOKEN
    if error.kind is errors.DAILY_LIMIT_REACHED:
        return StopCode.DAY_LIMIT
    if error.scope is errors.Scope.ACCOUNT:
        return StopCode.ACCOUNT
    return StopCode.LIMIT if error.scope is errors.Scope.LIMIT else StopCode.OUTAGE


def end_stop_after_answer(*, is_read_next: bool, by: str = "") -> None:
    """End the stop of all calls after Monday has answered who we are, as far as that proves anything.

    Its failures stay counted until a read succeeds (`forget_failures`), because another read may be what fails. If
    `is_read_next`, a board's read comes at once, and pages show the stop until then. Writes that had failed stay
    stopped until one succeeds. `by` is the person who had Monday asked.
    """
    with transaction.atomic():
        account = locked_account()
        now = sync_now()
        stop = account.stop_of()
        writes = account.stop_of(ALL_WRITES)
        if writes is not None:
            store_stop(account, ALL_WRITES, replace(writes, until=now, tried_by=by))
        if stop is None:
            return
        answered = replace(stop, until=now, needs_probe=False, tried_by=by)
        if writes is not None or not is_read_next or stop.code in ENDING_STOPS:
            end_stop(account, by=by)
            answered = replace(answered, reason="", code="", is_logged=False)
        store_stop(account, ALL_CALLS, answered)


def forget_failures(*, has_written: bool) -> None:
    """Forget failures after a successful pass or sweep, and end a stop that waited for it.

    One that only read doesn't prove that writes work again.
    """
    if not monday_account().stops:
        return
    with transaction.atomic():
        account = locked_account()
        entry = account.entry_of()
        # A read that succeeds doesn't end a limit that writes have reached, nor a wait that has begun meanwhile.
        is_proven = has_written or account.stop_of(ALL_WRITES) or (entry and entry.code != StopCode.LIMIT)
        if entry and is_proven and not entry.lasts_at(sync_now()):
            end_stop(account)
    if has_written:
        end_stop(account, ALL_WRITES)


def stop_writes(account: MondayAccount, error: MondayError, backoff: Backoff) -> None:
    """Stop all writes, or have their stop go on after another failure."""
    now = sync_now()
    before = account.stop_of(ALL_WRITES)
    if before is None:
        # While everything is stopped already, only that is shown.
        before = Stop(now, now, "", failures=0, is_logged=account.stop_of() is None)
        if before.is_logged:
            log_event(ActivityKind.STOP, Message(f"stopped_{StopCode.WRITES}"))
    failures = before.failures + 1
    seconds = seconds_until_attempt(backoff, failures)
    stop = Stop(
        since=before.since,
        until=now + timedelta(seconds=seconds),
        reason=sentences(WRITES_STOPPED, Message("edits_come_in"), of_error(error)),
        failures=failures,
        code=StopCode.WRITES,
        is_logged=before.is_logged,
        tried_at=now,
    )
    store_stop(account, ALL_WRITES, stop)
    log.warning("writes stopped", seconds=seconds, reason=error.full_sentence)


def stop_refused_writes(error: MondayError) -> None:
    """Stop all writes at once, because the account refuses them."""
    with transaction.atomic():
        stop_writes(locked_account(), error, REFUSED)


def stop_board(link: BoardLink, error: MondayError, kind: str = ALL_CALLS) -> None:
    """Stop the board, or its calls of one kind. Waits grow, and are never shorter than what Monday asks for."""
    before = link.stop_of(kind)
    now = sync_now()
    failures = 1
    if before is not None:
        # Calls that were in flight together count as one failure.
        failures = before.failures + (before.until <= now)
    stop_count = sum(map(len, BoardLink.objects.values_list("stops", flat=True)))
    seconds = max(error.wait_seconds or 0, seconds_until_attempt(REFUSED, failures, sharing=max(1, stop_count)))
    reason = of_error(error) if kind == ALL_CALLS else sentences(WRITES_STOPPED, of_error(error))
    since = before.since if before else now
    stop = Stop(since, now + timedelta(seconds=seconds), reason, failures, code=StopCode.BOARD)
    store_stop(link, kind, stop)
    if before is None:
        board = registry.board_title(link.entity_type)
        sentence = Message(f"refused_{kind}", board=board, error=of_error(error))
        log_event(ActivityKind.STOP, sentence, entity_type=link.entity_type)


def end_stop(holder: BoardLink | MondayAccount, kind: str = ALL_CALLS, *, by: str = "") -> None:
    """End the stop of all calls or those of one kind, because one succeeded, or what is called is another.

    Its failures are forgotten, and what waited for writes is due.
    """
    if kind not in holder.stops:
        return
    with transaction.atomic():
        # Locked, so that of two requests only the first logs the end.
        holder.lock_stops()
        entry = holder.entry_of(kind)
        if entry is None:
            return
        if kind != ALL_CALLS:
            make_waiting_writes_due()
        if entry.is_logged:
            by = by or entry.tried_by
            values = {"board": registry.board_title(holder.entity_type)} if holder.entity_type else {}
            log_event(ActivityKind.STOP_END, Message("runs_again", **values), entity_type=holder.entity_type, by=by)
        if entry.reason and isinstance(holder, MondayAccount):
            MondayAccount.objects.filter(id=1).update(free_since=SyncNow())
        store_stop(holder, kind, None)


def try_stopped_kinds(by: str) -> bool:
    """Have the stopped kinds of calls tried now, until one succeeds; return whether there are any."""
    stopped = [(link, kind) for link in BoardLink.objects.all() for kind in link.stops if kind != ALL_CALLS]
    for link, kind in stopped:
        try_now(link, kind, by=by)
    if stopped:
        make_waiting_writes_due()
    return bool(stopped)


def try_now(holder: BoardLink | MondayAccount, kind: str = ALL_CALLS, *, by: str) -> None:
    """Have what is stopped tried now, and what failed before forgotten; of stopped writes the first is tried."""
    with transaction.atomic():
        holder.lock_stops()
        if (stop := holder.stop_of(kind)) is not None:
            store_stop(holder, kind, replace(stop, until=sync_now(), failures=0, tried_by=by))


def drop_forgotten_stops() -> None:
    """Drop the stops of single kinds of calls of which nothing was sent for a day after their time.

    What was refused then, such as a record that is deleted by now, won't be sent, so no success ends them.
    """
    for link in BoardLink.objects.all():
        for kind in list(link.stops):
            stop = link.stop_of(kind)
            if kind != ALL_CALLS and stop and stop.until < sync_now() - timedelta(days=1):
                store_stop(link, kind, None)


# Changes one entry of the stored column, because two workers may stop different kinds of calls at once.
_STORE_STOP = "UPDATE {table} SET stops = stops - %s || %s::jsonb WHERE id = %s"


def store_stop(holder: BoardLink | MondayAccount, kind: str, stop: Stop | None) -> None:
    """Store the stop of one kind of calls, or remove it if `stop` is None."""
    changed = {} if stop is None else {kind: stop.as_json()}
    statement = _STORE_STOP.format(table=holder._meta.db_table)
    run_sql(statement, [kind, json.dumps(to_json(changed)), holder.pk])
    others = {other: entry for other, entry in holder.stops.items() if other != kind}
    holder.stops = others | changed


def make_waiting_writes_due() -> None:
    """Make all that waits for writes due now: jobs, and the search for the items of unanswered creates."""
    waiting = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, waits_for_writes=True)
    waiting.filter(next_retry__gt=SyncNow()).update(next_retry=SyncNow())
    # A create that was sent before this time and isn't found never took effect.
    settled_before = sync_now() - timedelta(seconds=settings.MONDAY_SETTLE_SECONDS)
    writes = monday_account().entry_of(ALL_WRITES)
    if writes is None or writes.tried_at is None or writes.tried_at <= settled_before:
        unsure = Intent.objects.filter(state=IntentState.OPEN, item_id="", was_searched=True, deadline__gt=SyncNow())
        unsure.update(deadline=SyncNow())
    transaction.on_commit(_wake_all_boards)


def _wake_all_boards() -> None:
    for link in BoardLink.objects.all():
        wakeups.wake_board(link.entity_type)
