"""Decides what failed writes mean: a record at fault, or an outage that stops all writes.

A document is one call with the writes of up to 100 records. If others succeed, a record in it is at fault and nothing
stops: the document is split (by send.py), and a record that fails alone has made an attempt, which the queue repeats.
Else nothing tells a record's fault from an outage: its records wait alone at first; once several documents have failed,
all writes stop.

    what fails, while others are written      it is split, at last into single records, whose attempts count
    many of these                             further ones wait, because repeats would take the day's quota
    a first document, none written since      of one record: an attempt; of several: it comes again in parts
    the same single record again              an attempt if Monday's error names it; else only this record waits
    any other, none written since the first   all writes stop

Implements M1 and M7 to M9 of docs/reference/merge/limits-and-stops.md; the numbers are in breaker.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from sync.clock import sync_now
from sync.kernel.db import fetch_rows
from sync.limits import api_quota, breaker
from sync.models import Intent, IntentState, MondayAccount
from sync.models.boards_and_account import ALL_WRITES, Stop
from sync.monday.errors import MondayError

# A document that failed as a whole: Monday's error, and its records.
FailedDocument = tuple[MondayError, Collection[UUID]]


@dataclass(frozen=True)
class Failures:
    """The failed writes of a record since its last successful one."""

    document: str  # the key of the last failed document
    size: int  # how many records that document had
    is_at_fault: bool  # others were written between the first and the last, so it is no outage


_FAILURES = """
    WITH failed AS (
        SELECT intent.entity_id, min(intent.created_at) AS first, max(intent.created_at) AS last,
            (array_agg(intent.idempotency_key ORDER BY intent.created_at DESC))[1] AS document
        FROM sync_intents AS intent
        WHERE intent.entity_id = ANY (%s::uuid[]) AND intent.state IN ('open', 'void')
          AND NOT EXISTS (SELECT FROM sync_intents AS own WHERE own.entity_id = intent.entity_id
            AND own.state IN ('applied', 'confirmed') AND own.created_at > intent.created_at)
        GROUP BY intent.entity_id)
    SELECT failed.entity_id, failed.document,
        (SELECT count(*) FROM sync_intents WHERE idempotency_key = failed.document) AS size,
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied' AND created_at BETWEEN first AND last) AS is_at_fault
    FROM failed
"""


def failures_of(records: Collection[UUID]) -> dict[UUID, Failures]:
    """Return the failures of these records since their last successful writes; a record without any has no entry."""
    return {record_id: Failures(*failures) for record_id, *failures in fetch_rows(_FAILURES, [list(records)])}


def judge_failed_writes(failed: Sequence[FailedDocument], *, others_written: bool) -> set[UUID]:
    """Return the records that are at fault; the others of these documents wait for `seconds_until_write`.

    Stop all writes if no other write succeeded in between. With `others_written`, the same pass has written others.
    """
    records = {record_id for _, document in failed for record_id in document}
    if others_written:
        breaker.end_stop(breaker.monday_account(), ALL_WRITES)
        return records
    at_fault = {record_id for record_id, failures in failures_of(records).items() if failures.is_at_fault}
    with transaction.atomic():
        account = breaker.locked_account()
        # During a stop, each failure is another sign of the outage.
        if account.stop_of(ALL_WRITES):
            at_fault.clear()
        unexplained = [document for document in failed if not at_fault.issuperset(document[1])]
        if unexplained and _is_its_records_fault(account, unexplained):
            return records
    return at_fault


def _is_its_records_fault(account: MondayAccount, documents: Sequence[FailedDocument]) -> bool:
    """Judge failures while nothing else was written; stop writes unless only one document or record has failed."""
    error, records = documents[0]
    only_record = str(next(iter(records))) if len(documents) == len(records) == 1 else ""
    before = account.entry_of(ALL_WRITES)
    is_first = before is None and len(documents) == 1
    is_again = before is not None and only_record != "" and only_record == before.record
    if not (is_first or is_again):
        breaker.stop_writes(account, error, breaker.WRITES)
        return False
    now = sync_now()
    failures = before.failures + 1 if before else 1
    # A single record's first failure was an attempt, with the wait of that.
    wait = breaker.seconds_until_attempt(breaker.WRITES, max(1, failures - 1))
    # Without a reason, nothing else stops.
    failure = Stop(now, now + timedelta(seconds=wait), "", failures, is_logged=False, tried_at=now, record=only_record)
    breaker.store_stop(account, ALL_WRITES, failure)
    return only_record != "" and (is_first or error.path_alias is not None)


def seconds_until_write() -> float:
    """Return the seconds until writes that have failed, and aren't at fault, are tried again."""
    entry = breaker.monday_account().entry_of(ALL_WRITES)
    return max(0.0, (entry.until - sync_now()).total_seconds()) if entry else 0.0


def repeats_left() -> int:
    """Return how many documents at fault may be sent again before the next wait; each that fails uses one up.

    Failures before a person tried again don't count. While writes are stopped, probes have waits of their own.
    """
    account = breaker.monday_account()
    if account.stop_of(ALL_WRITES):
        return breaker.REPEATS_AT_ONCE
    limit = api_quota.read_quota().day_limit
    # Fewer on small plans: one for each 40 of the day's calls, because repeats may use only a tenth of them.
    at_once = min(breaker.REPEATS_AT_ONCE, limit // 40) if limit else breaker.REPEATS_AT_ONCE
    of_day = _failed_documents(api_quota.DAY_SECONDS, account)
    lately = _failed_documents(seconds_until_repeats(), account)
    return max(at_once - of_day, breaker.REPEATS_LATER - lately)


def _failed_documents(seconds: float, account: MondayAccount) -> int:
    """Return the number of documents that failed in the last `seconds`."""
    since = sync_now() - timedelta(seconds=seconds)
    since = max(since, account.asked_at or since)
    failed = Intent.objects.filter(state__in=(IntentState.OPEN, IntentState.VOID), created_at__gt=since)
    return failed.values("idempotency_key").distinct().count()


def seconds_until_repeats() -> float:
    """Return the seconds until more repeats may be made."""
    return breaker.seconds_until_attempt(breaker.REPEATS)
