"""The breaker: after errors it stops all calls, all writes, a board, or one kind of a board's calls.

`stop_of_call` says whether a call may be made, and its `Waits` how long it waits: no failure may spend the day's quota.
Look-ups, probes and repeats are at most 50 calls in the first hour, 20 in any other, and a tenth of the plan's day. So
the last waits are longer on small plans.

    what fails                                   what happens                                 its wait
    all calls: no answer, a limit, the token     all calls stop; a read is the probe          CALLS
    writes, while reads go on                    all writes stop; a waiting one is the probe  WRITES
    the same, before a delivery or a save        the probe comes sooner                       WRITES_SOONER
    what Monday refuses until a person acts      the board, or calls of one kind, stop        REFUSED
    many records' writes, while others succeed   further repeats of these wait                REPEATS

probes.py finds out whether a stop is over, failed_writes.py whose fault a failed write is.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import transaction

from sync import choices, registry
from sync.choices import ActivityKind, StopCode
from sync.clock import SyncNow, sync_now
from sync.kernel.db import run_sql
from sync.limits import api_quota
from sync.models import ActivityLine, BoardLink, Intent, IntentState, MondayAccount, SyncQueue
from sync.models.activity_lines import log_event
from sync.models.boards_and_account import ALL_CALLS, Stop
from sync.monday import errors
from sync.monday.errors import MondayError
from sync.outbox import wakeups
from sync.words.message import Message, of_error, sentences, to_json

log = structlog.get_logger(__name__)


class Waits(NamedTuple):
    """How long something waits after each failure in a row."""

    seconds: tuple[int, ...]  # after the first, second … failure; the last one is for all further ones
    calls: int  # of an attempt (a probe's read and what failed, or a search, a read and a write), or of all REPEATS
    early_calls: int  # of the attempts before the last two waits


CALLS = Waits((5, 10, 20, 40, 60, 60, 60, 60, 60, 360), calls=2, early_calls=20)
WRITES = Waits((60, 120, 300, 600, 1_800, 3_600), calls=3, early_calls=15)
WRITES_SOONER = Waits((600,), calls=3, early_calls=15)
REFUSED = Waits((60, 300, 900, 3_600), calls=3, early_calls=15)
REPEATS = Waits((3_600,), calls=17, early_calls=50)

# How many failures decide something:

SEVERAL = 2  # failed documents, none written since the first, stop all writes: one may be a record's own fault
PARTS = 4  # into so many parts a failed document is split; so many that fail end a pass that has written nothing
FEW = 8  # a failed document of so many records at most is split into single ones, which takes a pass less
REPEATS_AT_ONCE = 20  # so many failed documents of a day are repeated at once: enough to find a few records at fault
REPEATS_LATER = 6  # after these, so many in each wait of REPEATS: one for all, because they share a pass's reads

OUTAGE_IS_NEWS = 3  # failed probes, over half a minute: before that, Activity doesn't show an outage
WAIT_DISTRUSTED_AFTER = 3  # failed probes in a row: after these, the wait that Monday names was too short

# A kind of calls, beside ALL_CALLS and choices.CallKind: only reads.
READS = "read"

# Errors of these scopes meet every board alike.
SHARED_SCOPES = (errors.Scope.ACCOUNT, *errors.PASSING_SCOPES)

# Their waits end by themselves.
LIMITS = (StopCode.LIMIT, StopCode.DAY_LIMIT)

# The account's columns after a write that succeeded, or with another token.
NO_FAILED_WRITES: Mapping[str, Any] = {"write_failures": 0, "failed_record": "", "write_failed_at": None}

# The account's columns while nothing stops it.
NO_STOP: Mapping[str, Any] = {
    "stopped_until": None,
    "stop_reason": "",
    "stop_code": "",
    "stopped_since": None,
    "needs_probe": False,
    "failures": 0,
}

# How the reason of all that waits for writes begins.
WRITES_STOPPED = Message("waits_writes")


def stop_of_call(
    link: BoardLink | None, kind: str = ALL_CALLS, *, account: MondayAccount | None = None, now: datetime | None = None
) -> Stop | None:
    """Return the stop for which a call of this kind waits, the longest of several; None if it may be made.

    Without the account or the board, only the stops of the other count.
    """
    stops = []
    if account is not None and not (kind == READS and account.are_only_writes_stopped):
        stops.append(account.stop)
    if link is not None:
        stops += [link.stop_of(stopped_kind) for stopped_kind in {ALL_CALLS, kind}]
    now = now or sync_now()
    active = [stop for stop in stops if stop is not None and stop.until > now]
    return max(active, key=lambda stop: stop.until, default=None)


def seconds_until_attempt(waits: Waits, failures: int = 1, *, sharing: int = 1) -> float:
    """Return the seconds until the next attempt after so many failures in a row.

    The last two waits are so long that the attempts of a day, with those before, use at most a tenth of its calls.
    `sharing` is how many such waits share them.
    """
    seconds = waits.seconds[min(failures, len(waits.seconds)) - 1]
    is_early = failures < len(waits.seconds) - 1
    limit = None if is_early else api_quota.read_quota().day_limit
    if not limit:
        return seconds
    calls = waits.calls * sharing
    return max(seconds, api_quota.DAY_SECONDS * calls / max(calls, limit / 10 - waits.early_calls))


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
        # An outage of writes that reaches reads, or is tried by a read that fails, too, is one outage.
        is_same = account.stop_code in (code, StopCode.WRITES) if code == StopCode.OUTAGE else account.stop_code == code
        if account.are_only_writes_stopped:
            # Only writes were stopped, so that wait was for the next write.
            account.stopped_until = None
        is_waiting = account.waits_at(now)
        # Activity shows a new cause at once, but not an outage of some seconds. `failures` is the number of its failed
        # probes, because it counts the first failure, which was no probe, and not yet this one.
        is_news = account.stop_code != code
        if code in (StopCode.OUTAGE, StopCode.LIMIT):
            is_news = account.failures == OUTAGE_IS_NEWS and not is_waiting
        until = _next_attempt_at(account, error, now)
        # A wait that is longer than this outage's, such as for tomorrow's quota, keeps its reason.
        is_longer = account.stopped_until is not None and account.stopped_until > until
        if not (code == StopCode.OUTAGE and is_longer):
            # Another cause begins now, whatever stopped everything before; so does a limit after its wait.
            goes_on = code not in LIMITS or is_waiting
            if not (is_same and goes_on):
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
        log_event(ActivityKind.STOP, Message(f"stopped_{code}"))
    log.warning("account stopped", scope=str(error.scope), reason=error.full_sentence)


def _next_attempt_at(account: MondayAccount, error: MondayError, now: datetime) -> datetime:
    """Return when calls may be made again after this error: once Monday's wait is over, else with the next probe."""
    probe_wait = seconds_until_attempt(CALLS, account.failures + 1)
    if error.kind is errors.DAILY_LIMIT_REACHED and not error.wait_seconds:
        # The call may have been sent before midnight, and refused for the day that was ending then.
        sent_at = now - timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + api_quota.MAX_SEND_DELAY_SECONDS)
        return max(api_quota.midnight_after(sent_at), now + timedelta(seconds=probe_wait))
    wait = error.wait_seconds or probe_wait
    if account.failures >= WAIT_DISTRUSTED_AFTER:
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


def end_account_stop(*, by: str = "", columns: Mapping[str, Any] | None = None) -> bool:
    """End the account's stop, and write these columns too; Activity shows the end if it showed the stop."""
    rows = MondayAccount.objects.filter(id=1)
    with transaction.atomic():
        # Locked, so that of two requests only the first logs the end.
        since = rows.select_for_update().values_list("stopped_since", flat=True).first()
        ended = rows.update(**{**NO_STOP, "free_since": SyncNow(), **(columns or {})})
        kinds = (ActivityKind.STOP, ActivityKind.STOP_END)
        events = ActivityLine.objects.filter(entity_id=None, entity_type="", kind__in=kinds)
        # An earlier cause of the same stop may have been logged, though the current one wasn't.
        if since and events.order_by("-at", "-id").values_list("kind", flat=True).first() == ActivityKind.STOP:
            log_event(ActivityKind.STOP_END, Message("runs_again"), by=by)
    return bool(ended)


def end_stop_after_answer(columns: Mapping[str, Any], *, is_read_next: bool) -> None:
    """End the stop of all calls after Monday has answered who we are, as far as that proves anything.

    Writes that had failed stay stopped until one succeeds. If `is_read_next`, a board's read comes at once, and until
    it succeeds (`forget_failures`), pages show the stop.
    """
    with transaction.atomic():
        account = locked_account()
        tried_now = {"needs_probe": False, "stopped_until": SyncNow(), **columns}
        if account.do_writes_fail:
            reason = sentences(WRITES_STOPPED, Message("edits_come_in"))
            writes = {"stop_code": StopCode.WRITES, "stop_reason": reason, "failures": 0}
            MondayAccount.objects.filter(id=1).update(**{**writes, **tried_now})
        elif is_read_next and account.stop_code not in ("", *LIMITS):
            MondayAccount.objects.filter(id=1).update(**{**tried_now, "failures": max(1, account.failures)})
        else:
            end_account_stop(columns=columns)


def forget_failures(*, has_written: bool) -> None:
    """Forget failures after a successful pass or sweep, and end a stop that waited for it.

    One that only read doesn't prove that writes work again.
    """
    account = monday_account()
    # A read that succeeds doesn't end a limit that writes have reached.
    is_proven = has_written or account.stop_code != StopCode.LIMIT
    if account.failures and is_proven and not (account.needs_probe or account.are_only_writes_stopped):
        _end_same_stop(account)
    if has_written:
        resume_writes(account)


def _end_same_stop(account: MondayAccount) -> None:
    """End the account's stop, but not one that another worker has begun since, nor a wait that Monday asked for."""
    with transaction.atomic():
        present = locked_account()
        if present.needs_probe or present.stop_code != account.stop_code:
            return
        if present.stop_code and not present.waits_at(sync_now()):
            end_account_stop()
        else:
            MondayAccount.objects.filter(id=1).update(failures=0, stop_reason="", stop_code="")


def stop_writes(account: MondayAccount, error: MondayError, waits: Waits) -> None:
    """Stop all writes, or have their stop go on after another failure; doesn't save."""
    now = sync_now()
    # A new stop begins with the shortest wait, however often a single record has failed before.
    account.write_failures = account.write_failures + 1 if account.do_writes_fail else SEVERAL
    account.failed_record = ""
    account.write_failed_at = now
    # Everything is stopped already.
    if account.needs_probe or (account.waits_at(now) and not account.are_only_writes_stopped):
        return
    if not account.are_only_writes_stopped:
        account.stopped_since = account.stopped_since or now
        log_event(ActivityKind.STOP, Message(f"stopped_{StopCode.WRITES}"))
    seconds = seconds_until_write(account, waits)
    account.stopped_until = now + timedelta(seconds=seconds)
    account.stop_code = StopCode.WRITES
    account.stop_reason = sentences(WRITES_STOPPED, Message("edits_come_in"), of_error(error))
    log.warning("writes stopped", seconds=seconds, reason=error.full_sentence)


def seconds_until_write(account: MondayAccount, waits: Waits) -> float:
    """Return the seconds until the next attempt of a write, after the failures that the account has counted."""
    # The first failure was no probe.
    return seconds_until_attempt(waits, max(1, account.write_failures - 1))


def stop_refused_writes(error: MondayError) -> None:
    """Stop all writes at once, because the account refuses them."""
    with transaction.atomic():
        account = locked_account()
        stop_writes(account, error, REFUSED)
        account.save()


def resume_writes(account: MondayAccount) -> None:
    """After a successful write, end the stop, wake the jobs that waited for it, and forget the failures."""
    if not account.write_failures:
        return
    if account.are_only_writes_stopped:
        end_account_stop()
        log.info("writes go on")
    make_waiting_writes_due()
    MondayAccount.objects.filter(id=1).update(**NO_FAILED_WRITES)


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
    _store_stop(link, kind, Stop(before.since if before else now, now + timedelta(seconds=seconds), reason, failures))
    if before is None:
        board = registry.board_title(link.entity_type)
        sentence = Message(f"refused_{kind}", board=board, error=of_error(error))
        log_event(ActivityKind.STOP, sentence, entity_type=link.entity_type)


def end_board_stop(link: BoardLink, kind: str = ALL_CALLS) -> None:
    """End the stop of the board, or of its calls of one kind: Monday has carried out one, or it is another board."""
    if kind not in link.stops:
        return
    _store_stop(link, kind, None)
    sentence = Message("runs_again", board=registry.board_title(link.entity_type))
    log_event(ActivityKind.STOP_END, sentence, entity_type=link.entity_type)
    if kind != ALL_CALLS:
        transaction.on_commit(make_waiting_writes_due)


def try_stopped_kinds() -> bool:
    """Have the stopped kinds of calls tried now, until one succeeds; return whether there are any."""
    stopped = [(link, kind) for link in BoardLink.objects.all() for kind in link.stops if kind != ALL_CALLS]
    for link, kind in stopped:
        try_board_now(link, kind)
    if stopped:
        make_waiting_writes_due()
    return bool(stopped)


def try_board_now(link: BoardLink, kind: str = ALL_CALLS) -> None:
    """Have a stopped board, or its calls of one kind, tried now, and what failed before forgotten."""
    stop = link.stop_of(kind)
    assert stop is not None
    _store_stop(link, kind, replace(stop, until=sync_now(), failures=0))


def try_writes_now() -> None:
    """While all writes are stopped, have the first one tried now; if it succeeds, the others follow."""
    MondayAccount.objects.filter(id=1, stop_code=StopCode.WRITES).update(stopped_until=SyncNow())


def drop_forgotten_stops() -> None:
    """Drop the stops of single kinds of calls of which nothing was sent for a day after their time.

    What was refused then, such as a record that is deleted by now, won't be sent, so no success ends them.
    """
    for link in BoardLink.objects.all():
        for kind in list(link.stops):
            stop = link.stop_of(kind)
            if kind != ALL_CALLS and stop and stop.until < sync_now() - timedelta(days=1):
                _store_stop(link, kind, None)


# Changes one entry of the stored column, because two workers may stop different kinds of calls at once.
_STORE_STOP = "UPDATE sync_board_links SET stops = stops - %s || %s::jsonb WHERE id = %s"


def _store_stop(link: BoardLink, kind: str, stop: Stop | None) -> None:
    """Store the stop of one kind of calls, or remove it if `stop` is None."""
    changed = {} if stop is None else {kind: stop.as_json()}
    run_sql(_STORE_STOP, [kind, json.dumps(to_json(changed)), link.pk])
    others = {other: entry for other, entry in link.stops.items() if other != kind}
    link.stops = others | changed


def make_waiting_writes_due() -> None:
    """Make all that waits for writes due now: jobs, and the search for the items of unanswered creates."""
    waiting = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, waits_for_writes=True)
    waiting.filter(next_retry__gt=SyncNow()).update(next_retry=SyncNow())
    # A create that was sent before this time and isn't found never took effect.
    settled_before = sync_now() - timedelta(seconds=settings.MONDAY_SETTLE_SECONDS)
    account = MondayAccount.objects.filter(id=1).first()
    if account is not None and (account.write_failed_at is None or account.write_failed_at <= settled_before):
        unsure = Intent.objects.filter(state=IntentState.OPEN, item_id="", was_searched=True, deadline__gt=SyncNow())
        unsure.update(deadline=SyncNow())
    for link in BoardLink.objects.all():
        wakeups.wake_board(link.entity_type)
