"""Decides what failed writes mean: an outage that stops all writes, a repeat at once, or a turn later.

A document is one call with the writes of up to 100 records. If others succeed, a record in it is at fault and nothing
stops: the document is split (by send.py), and a record that fails alone waits for its turn. Else its records wait alone
at first; once a second document has failed, it is an outage.

    what fails                                what happens                  constants
    a document, while others succeed          it is split and repeated      PARTS, FEW
    parts of it, again and again              they wait for their turns     BURST, breaker.TURN
    a record alone, while others succeed      it waits for its turn         breaker.TURN
    a first document, none succeeded since    its records wait a minute     breaker.WRITES
    a second one                              all writes stop               breaker.WRITES
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from django.db import models, transaction
from django.db.models.functions import TruncMinute

from sync import choices
from sync.clock import SyncNow, sync_now
from sync.kernel.db import fetch_rows
from sync.limits import api_quota, breaker
from sync.models import Intent, IntentState, MondayAccount, SyncQueue
from sync.monday.errors import MondayError
from sync.outbox import wakeups

PARTS = 4  # a failed document is split into this many parts
FEW = 8  # a failed document of at most this many records is split into single records

# Repeats of failed documents that may be made at once; after that, each waits for its turn.
BURST = 20

# A document that failed as a whole: Monday's error, and its records.
FailedDocument = tuple[MondayError, Collection[UUID]]


@dataclass(frozen=True)
class Failures:
    """The failed writes of a record since its last successful one."""

    document: str  # the key of the last failed document
    size: int  # how many records that document had
    is_at_fault: bool  # others were written between the first and the last, so it is no outage
    is_at_fault_again: bool  # others were written between the last two


@dataclass(frozen=True)
class Repeats:
    """How many documents that failed before may be sent at once; the others wait for their turn."""

    remaining: int
    is_quiet: bool  # nothing has failed for the time of a turn, so that a success brings further turns forward


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
        WHERE intent.entity_id = ANY (%s::uuid[]) AND intent.state IN ('open', 'void')
          AND NOT EXISTS (SELECT FROM sync_intents AS own WHERE own.entity_id = intent.entity_id
            AND own.state IN ('applied', 'confirmed') AND own.created_at > intent.created_at)
        GROUP BY intent.entity_id)
    SELECT failed.entity_id, failed.document,
        (SELECT count(*) FROM sync_intents WHERE idempotency_key = failed.document) AS size,
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied'
            AND created_at BETWEEN times[1] AND times[cardinality(times)]) AS is_at_fault,
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied'
            AND created_at BETWEEN times[cardinality(times) - 1] AND times[cardinality(times)]) AS is_at_fault_again
    FROM failed
"""


def failures_of(records: Collection[UUID]) -> dict[UUID, Failures]:
    """Return the failures of these records since their last successful writes; a record without any has no entry."""
    return {record_id: Failures(*failures) for record_id, *failures in fetch_rows(_FAILURES, [list(records)])}


def judge_failed_writes(failed: Sequence[FailedDocument], *, others_written: bool) -> list[Judgement]:
    """Judge each failed document of one pass, and stop all writes if no other write succeeded in between.

    With `others_written`, the same pass has written other records.
    """
    if others_written:
        breaker.resume_writes(breaker.monday_account())
    failures = failures_of({record_id for _, records in failed for record_id in records})
    records_at_fault = {record_id for record_id, failure in failures.items() if failure.is_at_fault}
    with transaction.atomic():
        account = breaker.locked_account()
        # During a stop, each failure is another sign of the outage.
        may_be_at_fault = not account.are_only_writes_stopped
        at_fault = [
            others_written or (may_be_at_fault and records_at_fault.issuperset(records)) for _, records in failed
        ]
        unexplained = [document for document, is_at_fault in zip(failed, at_fault, strict=True) if not is_at_fault]
        outage = _judge_unexplained(account, unexplained) if unexplained else Judgement()
    # A single failed record gets the next free turn, which may be now; of several, the first gets the turn after it.
    place = 0 if len(failed) == 1 else 1
    judgements = []
    for (_, records), is_at_fault in zip(failed, at_fault, strict=True):
        if not is_at_fault:
            judgements.append(outage)
        elif len(records) > 1:
            judgements.append(Judgement(is_at_fault=True))
        else:
            [record_id] = records
            is_again = others_written or failures[record_id].is_at_fault_again
            turn = choices.WaitsFor.TURN
            judgements.append(Judgement(is_again, wait_seconds=seconds_until_turn(place), waits_for=turn))
            place += 1
    return judgements


def _judge_unexplained(account: MondayAccount, documents: Sequence[FailedDocument]) -> Judgement:
    """Judge failures while nothing else was written; stop writes unless only one document or record has failed."""
    error, records = documents[0]
    only_record = str(*records) if len(documents) == 1 and len(records) == 1 else ""
    is_first = len(documents) == 1 and not account.write_failures
    is_again = bool(only_record) and only_record == account.failed_record
    is_at_fault = False
    stops_all = account.are_only_writes_stopped
    if stops_all:
        account.write_failures = min(account.write_failures + len(documents), 1_000)  # the column holds small integers
    elif is_first or is_again:
        account.write_failures += 1
        account.failed_record = only_record
        # A record that fails again is at fault if Monday's error names it.
        is_at_fault = bool(only_record) and (is_first or error.path_alias is not None)
    else:
        # Without `failed_record`, several failures were a stop, which goes on; a new one begins with the shortest wait.
        was_stopped = account.do_writes_fail
        account.write_failures = account.write_failures + 1 if was_stopped else 2
        account.failed_record = ""
        stops_all = True
    account.write_failed_at = sync_now()
    if stops_all:
        breaker.stop_writes(account, error, breaker.WRITES)
    account.save()
    wait = 0.0 if is_at_fault else breaker.seconds_until_write(account, breaker.WRITES)
    return Judgement(is_at_fault, wait_seconds=wait, ends_pass=True)


def repeats_left() -> Repeats:
    """Return how many repeats may be made at once; each uses one up, and one is added twice in the time of a turn.

    Failures before a person tried again don't count. While writes are stopped, probes have waits of their own.
    """
    account = breaker.monday_account()
    if account.are_only_writes_stopped:
        return Repeats(BURST, is_quiet=False)
    now = sync_now()
    turn_seconds = breaker.seconds_until_attempt(breaker.TURN)
    refill = turn_seconds / 2
    limit = api_quota.read_quota().day_limit
    # Fewer on small plans: one for each 40 of the day's calls, because repeats may use only a tenth of them.
    burst = max(1, min(BURST, limit // 40)) if limit else BURST
    since = now - timedelta(seconds=burst * refill)
    if account.asked_at is not None:
        since = max(since, account.asked_at)
    failed = Intent.objects.filter(state__in=(IntentState.OPEN, IntentState.VOID), created_at__gt=since)
    documents = failed.values("idempotency_key").annotate(at=models.Min("created_at")).order_by("at")
    failure_times = list(documents.values_list("at", flat=True))
    if not failure_times:
        return Repeats(burst, is_quiet=True)
    # A leaky bucket that rises by one at each failure and sinks by one in `refill` seconds. It is worked out from the
    # intents, so that all workers share it without a row of its own.
    level = 0.0
    for at, next_time in pairwise([*failure_times, now]):
        level = max(0.0, level + 1 - (next_time - at).total_seconds() / refill)
    # If a write has succeeded since, at least one repeat finds out whether others succeed too.
    least = int(Intent.objects.filter(state=IntentState.APPLIED, created_at__gt=failure_times[-1]).exists())
    is_quiet = (now - failure_times[-1]).total_seconds() > turn_seconds
    return Repeats(max(least, burst - math.ceil(level)), is_quiet)


def seconds_until_turn(place: int) -> float:
    """Return the seconds until the turn after all waiting records, plus `place` turns."""
    turns = _jobs_in_turn().annotate(minute=TruncMinute("next_retry")).values("minute").distinct()
    return (turns.count() + place) * breaker.seconds_until_attempt(breaker.TURN)


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
