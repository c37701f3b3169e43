"""Writes that fail while reads go on: one stop of writes for all boards, until a write has succeeded.

A read that Monday answers proves nothing about writes, so the probe is one waiting write. What fails while others are
written is its record's own fault and stops nobody: what failed together is divided, and what fails alone has its turn.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import TruncMinute

from sync import choices
from sync.clock import SyncNow, sync_now
from sync.kernel.db import fetch_rows
from sync.limits import credentials, quota
from sync.limits.rate_limits import DAY_SECONDS
from sync.models import BoardLink, Intent, IntentState, MondayAccount, SyncQueue, WebhookEvent
from sync.models.board_link import EVERYTHING
from sync.models.state import STOP_KIND, log_event
from sync.monday.errors import MondayError
from sync.outbox import notify
from sync.outbox.pauses import IS_PAUSED

log = structlog.get_logger(__name__)

# Seconds before the first, second … probe; further ones come every hour.
WAITS = (60, 120, 300, 600, 1_800, 3_600)

# A delivery or a save is a sign of life: then the next probe comes so soon after the last one.
SOONER_SECONDS = 600

# What a probe takes: a look for earlier creates, a read and a write.
PROBE_CALLS = 3

# What an outage takes before its probes are an hour apart.
FIRST_CALLS = 15

# How the reason begins for which a job waits; by it such jobs are found again.
HELD = "Monday doesn't store what is sent."

PARTS = 4
# What failed together comes again in so many parts, and so few one by one.
FEW = 8

# So many repeats of what Monday fails on for its own sake are made at once; further ones, and whatever failed alone,
# have a turn each.
BURST = 20

TURN_SECONDS = 1_200
# Seconds between two turns, and until one more repeat may be made at once.
REFILL_SECONDS = 600

# What dividing takes of a day before turns are all that is left.
TURN_CALLS = 50

# Seconds that a record waits at least where nothing else was written since it failed last.
ALONE_WAIT = 3_600

# Why a job waits for its turn.
TURN = "Monday fails on it while others are written, so it is tried in its turn."


@dataclass(frozen=True)
class Failures:
    """How often Monday failed on a record, with an outcome that nobody knew, since it was written last."""

    document: str  # the key of the last one
    size: int  # of how many records that was
    is_own: bool  # others were written between the first and the last, so it is no outage
    is_tried_anew: bool  # others were written between the last two


@dataclass(frozen=True)
class FailedWrite:
    """A document of which nobody knows what became of it."""

    error: MondayError
    records: frozenset[UUID]


@dataclass(frozen=True)
class WriteFailure:
    """What that means for its records: their own fault, which counts, or how long they are not tried again."""

    is_own: bool = False
    wait_seconds: float = 0
    stops: bool = False  # nothing more is sent in this pass
    reason: str = HELD


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
        (SELECT count(*) FROM sync_intents WHERE idempotency_key = failed.document),
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied'
            AND created_at BETWEEN times[1] AND times[cardinality(times)]),
        EXISTS (SELECT FROM sync_intents WHERE state = 'applied'
            AND created_at BETWEEN times[cardinality(times) - 1] AND times[cardinality(times)])
    FROM failed
"""


def failures_of(records: Collection[UUID]) -> dict[UUID, Failures]:
    """Return how Monday failed on these records; without those that it didn't fail on since they were written."""
    rows = fetch_rows(_FAILURES, {"ids": list(records)})
    return {record_id: Failures(*failures) for record_id, *failures in rows}


def writes_failed(failed: Sequence[FailedWrite], *, others_written: bool) -> list[WriteFailure]:
    """Judge what failed in one pass; stop all writes where nothing else was written since others failed.

    `others_written`: by the same pass.
    """
    if others_written:
        write_succeeded()
    failures = failures_of({record_id for document in failed for record_id in document.records})
    with transaction.atomic():
        account, _ = MondayAccount.objects.select_for_update().get_or_create(id=1)
        own = [document for document in failed if others_written or _is_own(document, failures, account)]
        unexplained = [document for document in failed if document not in own]
        outage = _count_unexplained(account, unexplained) if unexplained else WriteFailure()
    place = int(len(failed) > 1)
    verdicts = []
    for document in failed:
        if document not in own:
            verdicts.append(outage)
        elif len(document.records) > 1:
            verdicts.append(WriteFailure(is_own=True))
        else:
            wait = wait_for_turn(place)
            place += 1
            counts = others_written or all(failures[record_id].is_tried_anew for record_id in document.records)
            verdicts.append(WriteFailure(counts, wait if counts else max(ALONE_WAIT, wait), reason=TURN))
    return verdicts


def _is_own(document: FailedWrite, failures: Mapping[UUID, Failures], account: MondayAccount) -> bool:
    """Whether it says nothing of others: they were written between the failures of each of its records."""
    if account.only_writes:
        return False
    return all(record_id in failures and failures[record_id].is_own for record_id in document.records)


def _count_unexplained(account: MondayAccount, documents: Sequence[FailedWrite]) -> WriteFailure:
    """Count what failed while nothing else was written, and stop writes where it isn't a single record again."""
    first = documents[0]
    only_record = str(*first.records) if len(documents) == len(first.records) == 1 else ""
    is_same = bool(only_record) and only_record == account.failed_record
    is_first = not account.write_failures and len(documents) == 1
    number = account.write_failures + len(documents)
    stops = account.only_writes or not (is_first or is_same)
    if stops and not account.only_writes:
        number = 2  # a stop begins with the shortest wait, whatever failed before it
    account.write_failures = min(number, 1_000)
    account.write_failed_at = sync_now()
    account.failed_record = only_record if is_first or is_same else ""
    wait = wait_after(number - 1)
    if stops:
        _stop(account, first.error, wait)
    account.save()
    # What Monday answers, and fails to do for the same record again, is about that record.
    is_own = bool(only_record) and not stops and (is_first or first.error.path_alias is not None)
    return WriteFailure(is_own, 0 if is_own else wait, stops=True)


def writes_refused(error: MondayError) -> None:
    """Stop all writes: the account refuses them, and needs no second record to be believed."""
    with transaction.atomic():
        account, _ = MondayAccount.objects.select_for_update().get_or_create(id=1)
        account.write_failures = max(account.write_failures, 1)
        account.write_failed_at = sync_now()
        _stop(account, error, wait_for_person(account.stopped_since))
        account.save()


def repeats_left() -> int:
    """Return how many more repeats may be made at once: each takes one, and one comes back every ten minutes."""
    refill = max(REFILL_SECONDS, turn_seconds() / 2)
    limit = quota.read_budget().day_limit
    burst = max(1, min(BURST, limit // 40)) if limit else BURST
    since = SyncNow() - timedelta(seconds=burst * refill)
    failed = Intent.objects.filter(state__in=(IntentState.OPEN, IntentState.VOID), created_at__gt=since)
    times = (
        failed.values("idempotency_key")
        .annotate(at=models.Min("created_at"))
        .order_by("at")
        .values_list("at", flat=True)
    )
    taken = 0.0
    before = None
    for at in (*times, sync_now()):
        elapsed = (at - before).total_seconds() if before else 0
        taken = max(0.0, taken - elapsed / refill) + 1
        before = at
    return int(burst + 1 - taken)


def turn_seconds() -> float:
    return max(TURN_SECONDS, calls_apart(PROBE_CALLS, TURN_CALLS))


def wait_for_turn(place: int) -> float:
    """Return the seconds until the turn behind all that wait, or one of those after it."""
    return (turns().count() + place) * turn_seconds()


def turns() -> models.QuerySet[SyncQueue, Any]:
    """Return the times at which records that failed for their own sake are tried again."""
    return _in_turn().annotate(minute=TruncMinute("next_retry")).values("minute").distinct()


def _in_turn() -> models.QuerySet[SyncQueue]:
    waiting = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, next_retry__gt=SyncNow())
    return waiting.filter(models.Q(attempts__gt=0, error_message__gt="") | models.Q(reason__startswith=TURN))


def wait_after(failures: int) -> float:
    """Return the seconds until the next probe: longer where a tenth of the plan's day is less than that takes."""
    wait = WAITS[min(max(failures, 1), len(WAITS)) - 1]
    return max(wait, calls_apart(PROBE_CALLS, FIRST_CALLS)) if failures >= len(WAITS) - 1 else wait


def calls_apart(calls: int, first: int) -> float:
    """Return how many seconds lie between such calls, so that with the `first` ones they take a tenth of a day."""
    limit = quota.read_budget().day_limit
    return DAY_SECONDS * calls / max(calls, limit / 10 - first) if limit else 0.0


def _stop(account: MondayAccount, error: MondayError, wait: float) -> None:
    now = sync_now()
    is_waiting = account.stopped_until is not None and account.stopped_until > now
    if account.needs_probe or (is_waiting and not account.only_writes):
        return
    if account.stopped_since is None:
        account.stopped_since = now
        log_event(STOP_KIND, f"Sync stopped: {choices.STOP_WORDS[choices.StopCode.WRITES]}.")
    account.only_writes = True
    account.stopped_until = now + timedelta(seconds=wait)
    account.stop_code = choices.StopCode.WRITES
    account.stop_reason = f"{HELD} What is edited on Monday still comes in. {error.lasting_sentence}"
    log.warning("writes stopped", seconds=wait, reason=error.full_sentence)


# So long the worker that probes has for it; where it ends without a word, the next probe is then.
PROBE_SECONDS = 180

_NEXT_PROBE = f"""
    SELECT job.id FROM sync_queue AS job JOIN sync_board_links AS link ON link.entity_type = job.entity_type
    WHERE job.status = 'pending' AND job.entity_id IS NOT NULL AND link.board_id <> ''
      AND ((link.stops #>> '{{{EVERYTHING},until}}')::timestamptz <= sync_now()) IS NOT FALSE
      AND (job.direction = 'to_monday' AND job.next_retry <= sync_now() OR starts_with(job.reason, %(held)s))
      AND job.priority <= %(priority)s AND NOT {IS_PAUSED.format(entity_type="job.entity_type")}
      AND NOT EXISTS (SELECT FROM sync_intents AS intent WHERE intent.entity_id = job.entity_id
        AND intent.state = 'open' AND intent.deadline > sync_now())
      AND NOT EXISTS (SELECT FROM jsonb_each(link.stops) AS call (kind, stop)
        WHERE (call.stop ->> 'until')::timestamptz > sync_now() AND call.kind = CASE WHEN EXISTS (
            SELECT FROM sync_metadata AS state WHERE state.entity_type = job.entity_type
            AND state.entity_id = job.entity_id::text AND state.system = 'monday' AND state.remote_id <> ''
        ) THEN 'change' ELSE 'create' END)
    ORDER BY (SELECT count(*) FROM sync_intents AS failed
        WHERE failed.entity_id = job.entity_id AND failed.state IN ('open', 'void')),
      job.entity_id LIMIT 1
"""  # noqa: S608 - made of constants


def next_probe(*, only_urgent: bool = False) -> SyncQueue | None:
    """Return the job that is written next to find out whether writes work: one, of all boards that can be worked.

    What has failed least often comes first, by their ids in no order that anything else has: a few records that Monday
    always fails on are not the probe again and again, nor all before the first other one. What its board
    refuses is none: it would not be sent. A create without an answer is looked for first, by its board's worker.
    `only_urgent`: of those that a person clicked.
    """
    priority = max(choices.Priority) if not only_urgent else choices.Priority.PERSON
    rows = fetch_rows(_NEXT_PROBE, {"held": HELD, "priority": int(priority)})
    return SyncQueue.objects.filter(pk=rows[0][0]).first() if rows else None


def is_probe_due() -> bool:
    """Whether it is time to try a write though writes are stopped."""
    return _account_to_probe().exists()


def begin_probe() -> bool:
    """Whether this worker is the one of all that probes: the update matches for the first only."""
    now = sync_now()
    until = now + timedelta(seconds=PROBE_SECONDS)
    return bool(_account_to_probe().update(stopped_until=until, write_failed_at=now))


def give_back_probe() -> bool:
    """Let the next probe be due where this one's record needed no write; return whether that was so.

    A write that fails sets both times anew, and one that succeeds ends the stop.
    """
    began_at = models.F("stopped_until") - timedelta(seconds=PROBE_SECONDS)
    account = MondayAccount.objects.filter(id=1, only_writes=True, write_failed_at=began_at)
    return bool(account.update(stopped_until=SyncNow()))


def _account_to_probe() -> models.QuerySet[MondayAccount]:
    """The account, once its time has come, or a delivery or a save after the last failure brings the probe forward."""
    account = MondayAccount.objects.filter(id=1, only_writes=True)
    is_due = models.Q(stopped_until__lte=SyncNow())
    failed_at = account.values_list("write_failed_at", flat=True).first()
    if failed_at is not None and _has_sign_of_life(failed_at):
        apart = max(SOONER_SECONDS, calls_apart(PROBE_CALLS, FIRST_CALLS))
        is_due |= models.Q(write_failed_at__lte=SyncNow() - timedelta(seconds=apart))
    return account.filter(is_due)


def _has_sign_of_life(failed_at: datetime) -> bool:
    delivered = WebhookEvent.objects.order_by("-id").values_list("received_at", flat=True).first()
    saved = SyncQueue.objects.filter(
        status=choices.QueueStatus.PENDING, direction=choices.QueueDirection.TO_MONDAY, created_at__gt=failed_at
    )
    return (delivered is not None and delivered > failed_at) or saved.exists()


# Seconds between two attempts where a person has to act: the longer it lasts, the longer they are apart.
PERSON_WAITS = (60, 300, 900, 3_600)


def wait_for_person(since: datetime | None) -> float:
    """Return the seconds to the next attempt of what has been refused since then.

    Longer where a tenth of the plan's day is less than the attempts of all that is refused take.
    """
    elapsed = (sync_now() - since).total_seconds() if since else 0
    spent = 0
    for wait in PERSON_WAITS:
        spent += wait
        if elapsed < spent:
            return wait
    stops = sum(map(len, BoardLink.objects.values_list("stops", flat=True)))
    return max(PERSON_WAITS[-1], calls_apart(PROBE_CALLS * max(1, stops), FIRST_CALLS))


def write_succeeded() -> None:
    """A write was carried out: what waited for that goes on, and nothing counts as failed any more."""
    account = MondayAccount.objects.filter(id=1).first()
    if account is None or not account.write_failures:
        return
    if account.only_writes:
        credentials.end_stop()
        log.info("writes go on")
    release_held()
    MondayAccount.objects.filter(id=1).update(write_failures=0, failed_record="", write_failed_at=None)


def next_turn() -> None:
    """Try the next one that waits for its turn: another of them was written, or a person tries again."""
    first = _in_turn().order_by("next_retry").first()
    if first is not None:
        SyncQueue.objects.filter(pk=first.pk, status=choices.QueueStatus.PENDING).update(next_retry=SyncNow())
        notify.notify_board(first.entity_type)


def release_held() -> None:
    """Let the jobs that wait for writes be due now."""
    held = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, reason__startswith=HELD)
    held.filter(next_retry__gt=SyncNow()).update(next_retry=SyncNow())
    # What was looked for in vain lands within this time, or never.
    settled = sync_now() - timedelta(seconds=settings.MONDAY_SETTLE_SECONDS)
    account = MondayAccount.objects.filter(id=1).first()
    if account is not None and (account.write_failed_at is None or account.write_failed_at <= settled):
        unsure = Intent.objects.filter(state=IntentState.OPEN, item_id="", lookups__gt=0, deadline__gt=SyncNow())
        unsure.update(deadline=SyncNow())
    for link in BoardLink.objects.all():
        notify.notify_board(link.entity_type)
