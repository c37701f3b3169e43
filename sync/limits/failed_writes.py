"""Decides what failed writes mean: a stop of all writes, a repeat at once, or a turn later; chooses the probe.

Reads go on while writes are stopped. They don't prove that writes work, so the probe is a waiting write.

A document is one call with the writes of up to 100 records. If others succeed, a record in it is at fault and nothing
stops: the document is split (by act.py), and a record that fails alone waits for its turn (one record every 20 minutes
or more).

    what fails                                    what happens                     constants
    a document, while others succeed              it is split and repeated         PARTS, FEW
    parts of it, again and again                  they wait for their turns        BURST, LATE_SHARE
    a record alone, while others succeed          it waits for its turn            MIN_TURN_SECONDS
    the same again, nothing written in between    it waits at least an hour        ALONE_WAIT
    a first document, none succeeded since        several records wait a minute    WRITE_WAITS
    a second one, none succeeded in between       all writes stop, one is tried    WRITE_WAITS, SOONER_SECONDS
    a write, because the account refuses writes   all writes stop, one is tried    PERSON_WAITS
    reads, or all of the account's calls          all calls stop, one is tried     PROBE_WAITS in breaker.py
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import structlog
from django.db import models, transaction
from django.db.models.functions import TruncMinute

from sync import choices
from sync.clock import SyncNow, sync_now
from sync.kernel.db import fetch_rows
from sync.limits import api_quota, stops
from sync.models import Intent, IntentState, MondayAccount, SyncQueue, WebhookEvent
from sync.models.activity_lines import log_event
from sync.models.boards_and_account import ALL_CALLS
from sync.monday.errors import MondayError
from sync.outbox import wakeups
from sync.outbox.pauses import IS_PAUSED
from sync.words.message import Message, of_error, sentences

log = structlog.get_logger(__name__)

# Seconds before the first, second … probe; after that, one every hour.
WRITE_WAITS = (60, 120, 300, 600, 1_800, 3_600)

# Seconds between two probes if a webhook or a save after the last one shows that Monday works again.
SOONER_SECONDS = 600

PARTS = 4  # a failed document is split into this many parts
FEW = 8  # a failed document of at most this many records is split into single records

# Repeats of failed records that may be made at once; after that, each waits for its turn.
BURST = 20

# A record that has failed for so long is late: perhaps it fails for good.
LATE_AFTER = timedelta(hours=1)

# This share of the repeats, at least one, may be used for late records.
LATE_SHARE = 0.3

MIN_TURN_SECONDS = 1_200  # seconds between two turns, at least
REFILL_SECONDS = 600  # seconds until one more repeat may be made at once
TURN_CALLS = 50  # calls of a day used by splitting before only turns remain

# Seconds that a record waits at least if nothing else was written since its last failure.
ALONE_WAIT = 3_600


@dataclass(frozen=True)
class Failures:
    """The failed writes of a record since its last successful one."""

    document: str  # the key of the last failed document
    size: int  # how many records that document had
    is_late: bool  # the first was longer ago than LATE_AFTER
    is_at_fault: bool  # others were written between the first and the last, so it is no outage
    is_at_fault_again: bool  # others were written between the last two


@dataclass(frozen=True)
class Repeats:
    """How many documents that failed before may be sent at once; the others wait for their turn."""

    remaining: int
    remaining_late: int  # for late documents
    is_quiet: bool  # nothing has failed for the time of a turn, so that a success brings further turns forward


@dataclass(frozen=True)
class FailedDocument:
    """A document that failed as a whole."""

    error: MondayError
    records: frozenset[UUID]


@dataclass(frozen=True)
class Judgement:
    """What a failed document means for its records: whether they are at fault, or how long they wait."""

    is_at_fault: bool = False  # its records are; if it has only one, this counts as an attempt
    wait_seconds: float = 0
    ends_pass: bool = False  # nothing more is sent in this pass
    waits_for: choices.WaitsFor = choices.WaitsFor.WRITES


_FAILURES = """
    WITH failed AS (
        SELECT intent.entity_id, array_agg(intent.created_at ORDER BY intent.created_at) AS times,
            (array_agg(intent.idempotency_key ORDER BY intent.created_at DESC))[1] AS document
        FROM sync_intents AS intent
        WHERE intent.entity_id = ANY (%(ids)s::uuid[]) AND intent.state IN ('open', 'void')
          AND NOT EXISTS (SELECT FROM sync_intents AS own WHERE own.entity_id = intent.entity_id
            AND own.state IN ('applied', 'confirmed') AND own.created_at > intent.created_at)
        GROUP BY intent.entity_id)
    SELECT failed.entity_id, failed.document,
        (SELECT count(*) FROM sync_intents WHERE idempotency_key = failed.document) AS size,
        times[1] < sync_now() - %(late)s::interval AS is_late,
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied'
            AND created_at BETWEEN times[1] AND times[cardinality(times)]) AS is_at_fault,
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied'
            AND created_at BETWEEN times[cardinality(times) - 1] AND times[cardinality(times)]) AS is_at_fault_again
    FROM failed
"""


def failures_of(records: Collection[UUID]) -> dict[UUID, Failures]:
    """Return the failures of these records since their last successful writes; a record without any has no entry."""
    rows = fetch_rows(_FAILURES, {"ids": list(records), "late": LATE_AFTER})
    return {record_id: Failures(*failures) for record_id, *failures in rows}


def judge_failed_writes(failed: Sequence[FailedDocument], *, others_written: bool) -> list[Judgement]:
    """Judge each failed document of one pass, and stop all writes if no other write succeeded in between.

    With `others_written`, the same pass has written other records.
    """
    if others_written:
        resume_writes(stops.monday_account())
    failures = failures_of({record_id for document in failed for record_id in document.records})
    with transaction.atomic():
        account = stops.locked_account()
        at_fault = list(failed) if others_written else []
        # During a stop, each failure is another sign of the outage.
        if not (others_written or account.are_only_writes_stopped):
            records_at_fault = {record_id for record_id, failure in failures.items() if failure.is_at_fault}
            at_fault = [document for document in failed if document.records <= records_at_fault]
        unexplained = [document for document in failed if document not in at_fault]
        outage = _judge_unexplained(account, unexplained) if unexplained else Judgement()
    # A single failed record gets the next free turn, which may be now; of several, the first gets the turn after it.
    place = 0 if len(failed) == 1 else 1
    judgements = []
    for document in failed:
        if document not in at_fault:
            judgements.append(outage)
        elif len(document.records) > 1:
            judgements.append(Judgement(is_at_fault=True))
        else:
            [record_id] = document.records
            is_again = others_written or failures[record_id].is_at_fault_again
            wait = seconds_until_turn(place) if is_again else max(ALONE_WAIT, seconds_until_turn(place))
            judgements.append(Judgement(is_at_fault=is_again, wait_seconds=wait, waits_for=choices.WaitsFor.TURN))
            place += 1
    return judgements


def _judge_unexplained(account: MondayAccount, documents: Sequence[FailedDocument]) -> Judgement:
    """Judge failures while nothing else was written; stop writes unless only one document or record has failed."""
    error = documents[0].error
    is_single = len(documents) == 1
    only_record = str(*documents[0].records) if is_single and len(documents[0].records) == 1 else ""
    is_first = is_single and not account.write_failures
    is_again = bool(only_record) and only_record == account.failed_record
    is_at_fault = False
    stops_all = account.are_only_writes_stopped
    if account.are_only_writes_stopped:
        account.write_failures = min(account.write_failures + len(documents), 1_000)  # the column holds small integers
    elif is_first or is_again:
        account.write_failures += 1
        account.failed_record = only_record
        # A record that fails again is at fault if Monday's error names it.
        is_at_fault = bool(only_record) and (is_first or error.path_alias is not None)
    else:
        # Without `failed_record`, several failures were a stop, which goes on; a new one begins with the shortest wait.
        was_stopped = account.write_failures > 1 and not account.failed_record
        account.write_failures = account.write_failures + 1 if was_stopped else 2
        account.failed_record = ""
        stops_all = True
    account.write_failed_at = sync_now()
    wait = seconds_until_probe(account.write_failures - 1)
    if stops_all:
        _set_write_stop(account, error, wait)
    account.save()
    return Judgement(is_at_fault=is_at_fault, wait_seconds=0 if is_at_fault else wait, ends_pass=True)


def stop_refused_writes(error: MondayError) -> None:
    """Stop all writes at once, because the account refuses them."""
    with transaction.atomic():
        account = stops.locked_account()
        account.write_failures = max(account.write_failures, 1)
        account.write_failed_at = sync_now()
        _set_write_stop(account, error, stops.seconds_until_retry(account.stopped_since))
        account.save()


def seconds_until_probe(failures: int) -> float:
    """Return the seconds until the next probe; more on plans where probes would use over a tenth of the day's calls."""
    wait = WRITE_WAITS[min(max(failures, 1), len(WRITE_WAITS)) - 1]
    return max(wait, api_quota.seconds_between_attempts()) if failures >= len(WRITE_WAITS) - 1 else wait


def _set_write_stop(account: MondayAccount, error: MondayError, wait: float) -> None:
    """Set the columns of a stop of all writes, unless everything is stopped already; doesn't save."""
    now = sync_now()
    if account.needs_probe or (account.waits_at(now) and not account.are_only_writes_stopped):
        return
    if account.stopped_since is None:
        account.stopped_since = now
        log_event(choices.ActivityKind.STOP, Message("stopped", why=choices.StopCode.WRITES.label))
    account.stopped_until = now + timedelta(seconds=wait)
    account.stop_code = choices.StopCode.WRITES
    account.stop_reason = sentences(stops.WRITES_STOPPED, Message("edits_come_in"), of_error(error))
    log.warning("writes stopped", seconds=wait, reason=error.full_sentence)


def resume_writes(account: MondayAccount) -> None:
    """After a successful write, end the stop, wake the jobs that waited for it, and forget the failures."""
    if not account.write_failures:
        return
    if account.are_only_writes_stopped:
        stops.end_account_stop()
        log.info("writes go on")
    stops.make_waiting_writes_due()
    MondayAccount.objects.filter(id=1).update(write_failures=0, failed_record="", write_failed_at=None)


def repeats_left() -> Repeats:
    """Return how many repeats may be made at once; each uses one up, and one is added every ten minutes or more.

    Failures before a person tried again don't count. While writes are stopped, probes have waits of their own.
    """
    account = stops.monday_account()
    if account.are_only_writes_stopped:
        return Repeats(BURST, BURST, is_quiet=False)
    now = sync_now()
    refill = max(REFILL_SECONDS, seconds_between_turns() / 2)
    limit = api_quota.read_quota().day_limit
    # Fewer on small plans: one for each 40 of the day's calls, because repeats may use only a tenth of them.
    burst = max(1, min(BURST, limit // 40)) if limit else BURST
    since = now - timedelta(seconds=burst * refill)
    if account.asked_at is not None:
        since = max(since, account.asked_at)
    failed = Intent.objects.filter(state__in=(IntentState.OPEN, IntentState.VOID), created_at__gt=since)
    documents = failed.values("idempotency_key").annotate(at=models.Min("created_at")).order_by("at")
    failure_times = list(documents.values_list("at", flat=True))
    # A leaky bucket that rises by one at each failure and sinks by one in `refill` seconds. It is worked out from the
    # intents, so that all workers share it without a row of its own.
    level = 0.0
    for at, next_time in pairwise([*failure_times, now]):
        level = max(0.0, level + 1 - (next_time - at).total_seconds() / refill)
    used = math.ceil(level)
    failed_at = failure_times[-1] if failure_times else since
    # If a write has succeeded since, at least one repeat finds out whether others succeed too.
    least = int(Intent.objects.filter(state=IntentState.APPLIED, created_at__gt=failed_at).exists())
    is_quiet = not failure_times or (now - failed_at).total_seconds() > seconds_between_turns()
    burst_late = max(1, int(burst * LATE_SHARE))
    return Repeats(max(least, burst - used), max(least, burst_late - used), is_quiet)


def seconds_between_turns() -> float:
    """Return the seconds between two turns; more on plans where turns would use over a tenth of the day's calls."""
    return max(MIN_TURN_SECONDS, api_quota.seconds_between_attempts(first_calls=TURN_CALLS))


def seconds_until_turn(place: int) -> float:
    """Return the seconds until the turn after all waiting records, plus `place` turns."""
    turns = _jobs_in_turn().annotate(minute=TruncMinute("next_retry")).values("minute").distinct()
    return (turns.count() + place) * seconds_between_turns()


def make_turns_due(number: int = 1) -> None:
    """Make the first waiting turns due, because others of these records were written or a person tries again."""
    first = list(_jobs_in_turn().order_by("next_retry").values_list("pk", "entity_type")[:number])
    SyncQueue.objects.filter(pk__in=[pk for pk, _ in first], status=choices.QueueStatus.PENDING).update(
        next_retry=SyncNow()
    )
    for entity_type in {entity_type for _, entity_type in first}:
        wakeups.wake_board(entity_type)


def _jobs_in_turn() -> models.QuerySet[SyncQueue]:
    """Return the jobs that wait for their turn, or after a failure for their next attempt."""
    waiting = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, next_retry__gt=SyncNow())
    return waiting.filter(models.Q(attempts__gt=0, error_message__gt="") | models.Q(waits_for=choices.WaitsFor.TURN))


# Time limit of a probe; if its worker dies, the next probe starts after it.
PROBE_SECONDS = 180

_NEXT_PROBE = f"""
    SELECT job.id FROM sync_queue AS job JOIN sync_board_links AS link ON link.entity_type = job.entity_type
    WHERE job.status = 'pending' AND link.board_id <> ''
      AND ((link.stops #>> '{{{ALL_CALLS},until}}')::timestamptz <= sync_now()) IS NOT FALSE
      AND (job.direction = 'to_monday' AND job.next_retry <= sync_now() OR job.waits_for = %(writes)s)
      AND job.priority <= %(priority)s AND NOT {IS_PAUSED.format(entity_type="job.entity_type")}
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
    rows = fetch_rows(_NEXT_PROBE, {"writes": choices.WaitsFor.WRITES, "priority": int(priority)})
    return SyncQueue.objects.filter(pk=rows[0][0]).first() if rows else None


def is_write_probe_due() -> bool:
    """Whether a write may be tried now although writes are stopped."""
    return _account_to_probe().exists()


def begin_write_probe() -> bool:
    """Return whether this worker probes, which is true for one worker only."""
    now = sync_now()
    until = now + timedelta(seconds=PROBE_SECONDS)
    return bool(_account_to_probe().update(stopped_until=until, write_failed_at=now))


def release_unused_write_probe() -> bool:
    """Make the next probe due now if this one's record needed no write; return whether that was so.

    A write that failed has set both times again, and one that succeeded has ended the stop.
    """
    began_at = models.F("stopped_until") - timedelta(seconds=PROBE_SECONDS)
    return bool(_stopped_account().filter(write_failed_at=began_at).update(stopped_until=SyncNow()))


def _account_to_probe() -> models.QuerySet[MondayAccount]:
    """Return the account if its probe is due, which is sooner after a webhook or a save since the last failure."""
    account = _stopped_account()
    is_due = models.Q(stopped_until__lte=SyncNow())
    failed_at = account.values_list("write_failed_at", flat=True).first()
    if failed_at is None:
        return account.filter(is_due)
    delivered_at = WebhookEvent.objects.order_by("-id").values_list("received_at", flat=True).first()
    saved = SyncQueue.objects.filter(
        status=choices.QueueStatus.PENDING, direction=choices.QueueDirection.TO_MONDAY, created_at__gt=failed_at
    )
    if (delivered_at is not None and delivered_at > failed_at) or saved.exists():
        apart = max(SOONER_SECONDS, api_quota.seconds_between_attempts())
        is_due |= models.Q(write_failed_at__lte=SyncNow() - timedelta(seconds=apart))
    return account.filter(is_due)


def _stopped_account() -> models.QuerySet[MondayAccount]:
    return MondayAccount.objects.filter(id=1, stop_code=choices.StopCode.WRITES)
