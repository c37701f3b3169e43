"""Writes that fail while reads go on: one stop of writes for all boards, until a write has succeeded.

A read that Monday answers proves nothing about writes, so the probe is one waiting write. What a single record's write
failed of may be that record's own fault: it waits alone, and only when another one fails too is everything stopped.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from sync import registry
from sync.choices import REFUSED_WORDS, STOP_WORDS, Priority, QueueDirection, QueueStatus, StopCode
from sync.clock import SyncNow, sync_now
from sync.kernel.db import fetch_rows
from sync.limits import credentials, quota
from sync.limits.rate_limits import DAY_SECONDS
from sync.models import BoardLink, Intent, IntentState, MondayAccount, SyncQueue, WebhookEvent
from sync.models.state import STOP_END_KIND, STOP_KIND, log_event
from sync.monday.errors import MondayError, Scope
from sync.outbox import notify
from sync.outbox.pauses import IS_PAUSED

log = structlog.get_logger(__name__)

WAITS = (60, 120, 300, 600, 1_800, 3_600)
"""Seconds before the first, second … probe; further ones come every hour."""

SOONER_SECONDS = 600
"""A delivery or a save is a sign of life: then the next probe comes so soon after the last one."""

PROBE_CALLS = 3
"""What a probe takes: a look for earlier creates, a read and a write."""

FIRST_CALLS = 15
"""What an outage takes before its probes are an hour apart."""

HELD = "Monday doesn't store what is sent."
"""How the reason begins for which a job waits; by it such jobs are found again."""


HABITUAL_FAILURES = 10
"""So many writes in a row stop everything though each is of records that have failed before while others were written.

A few records that Monday fails on for their own sake never do.
"""

PROBED_TOGETHER = 4
"""So many that failed as a probe are written together once writes go on: it was hardly their fault."""

ALONE_WAIT = 3_600
ALONE_APART = 600
"""Seconds until a record that fails again and again is tried once more, and for each further one that waits so."""


NEVER = datetime.min.replace(tzinfo=UTC)
FUTURE = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class WriteFailure:
    """What a failed write means for its record: its own fault, or how long it is not tried again."""

    is_own: bool = False
    wait_seconds: float = 0
    at_most: int = 1  # with how many others of such it is tried again


def write_failed(
    error: MondayError, records: Collection[UUID], *, others_answered: bool, key: str = ""
) -> WriteFailure:
    """Count a write of these records without a known outcome; stop all writes where others' have failed before.

    `others_answered`: the same pass has written others since. `key`: the call's, where it wasn't sent before.
    """
    only_record = str(*records) if len(records) == 1 else ""
    # What the token's user may not do needs no second record to be believed.
    is_refused = error.scope is Scope.ACCOUNT
    first_failure, last_failure = _failures_before(records, key)
    written = Intent.objects.filter(state=IntentState.APPLIED).exclude(entity_id__in=records)
    last_written = written.order_by("-created_at").values_list("created_at", flat=True).first() or NEVER
    is_habitual = first_failure < last_written
    # Others were written since it failed: a failure of its own, and no sign of an outage.
    is_recent = last_failure < last_written
    with transaction.atomic():
        account, _ = MondayAccount.objects.select_for_update().get_or_create(id=1)
        is_news = is_refused or account.only_writes or others_answered or not is_habitual or is_recent
        if only_record and not is_news:
            return WriteFailure(wait_seconds=max(ALONE_WAIT, wait_in_turn()))
        number = 1 if others_answered else account.write_failures + 1
        is_same = bool(only_record) and only_record == account.failed_record
        is_expected = is_habitual and not account.only_writes and number <= HABITUAL_FAILURES
        stops = is_refused or (number > 1 and not is_same and not is_expected)
        if stops and not account.only_writes:
            number = min(number, 2)  # a stop begins with the shortest wait, whatever failed before it
        account.write_failures = min(number, 1_000)
        account.write_failed_at = sync_now()
        account.failed_record = only_record if number == 1 or is_same else ""
        wait = wait_for_person(account.stopped_since) if is_refused else wait_after(number - 1)
        if stops:
            _stop(account, error, wait)
            # The next probe is one waiting write.
            account.batch_limit = 1
        account.save()
    # What Monday answers, and fails to do for the same record again, is about that record.
    is_own = is_expected or number == 1 or (is_same and error.path_alias is not None)
    at_most = 1 if is_habitual or is_same or number == 1 else PROBED_TOGETHER
    if is_own and only_record and not is_refused:
        return WriteFailure(True, wait_in_turn(), at_most)
    return WriteFailure(False, wait, at_most)


def _failures_before(records: Collection[UUID], key: str) -> tuple[datetime, datetime]:
    """Return since when all of these records fail, and when one failed last; `FUTURE` where one didn't since it was
    written.
    """
    failures: dict[UUID, list[datetime]] = {}
    rows = Intent.objects.filter(entity_id__in=records).exclude(idempotency_key=key).order_by("created_at")
    for record_id, state, created_at in rows.values_list("entity_id", "state", "created_at"):
        if state in (IntentState.OPEN, IntentState.VOID):
            failures.setdefault(record_id, []).append(created_at)
        elif state in (IntentState.APPLIED, IntentState.CONFIRMED):
            failures.pop(record_id, None)
    if not records or len(failures) < len(set(records)):
        return FUTURE, FUTURE
    return max(times[0] for times in failures.values()), max(times[-1] for times in failures.values())


def wait_in_turn() -> float:
    """Return the least seconds until a record that failed alone is tried again, which grow with those that wait so.

    However many there are, together they cost little; a single one waits as any that fails.
    """
    waiting = SyncQueue.objects.filter(status=QueueStatus.PENDING, claim_at_most=1, attempts__gt=0).count()
    return waiting * max(ALONE_APART, calls_apart(PROBE_CALLS, FIRST_CALLS))


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
        log_event(STOP_KIND, f"Sync stopped: {STOP_WORDS[StopCode.WRITES]}.")
    account.only_writes = True
    account.stopped_until = now + timedelta(seconds=wait)
    account.stop_code = StopCode.WRITES
    account.stop_reason = f"{HELD} What is edited on Monday still comes in. {error.lasting_sentence}"
    log.warning("writes stopped", seconds=wait, reason=error.full_sentence)


PROBE_SECONDS = 180
"""So long the worker that probes has for it; where it ends without a word, the next probe is then."""

_NEXT_PROBE = f"""
    SELECT job.id FROM sync_queue AS job JOIN sync_board_links AS link ON link.entity_type = job.entity_type
    WHERE job.status = 'pending' AND job.entity_id IS NOT NULL AND link.board_id <> ''
      AND (link.blocked_until IS NULL OR link.blocked_until <= sync_now())
      AND (job.direction = 'to_monday' AND job.next_retry <= sync_now() OR starts_with(job.reason, %(held)s))
      AND job.priority <= %(priority)s AND NOT {IS_PAUSED.format(entity_type="job.entity_type")}
      AND NOT EXISTS (SELECT FROM sync_intents AS intent WHERE intent.entity_id = job.entity_id
        AND intent.state = 'open' AND intent.deadline > sync_now())
    ORDER BY (SELECT count(*) FROM sync_intents AS failed
        WHERE failed.entity_id = job.entity_id AND failed.state IN ('open', 'void')),
      job.entity_id LIMIT 1
"""  # noqa: S608 - made of constants


def next_probe(*, only_urgent: bool = False) -> SyncQueue | None:
    """Return the job that is written next to find out whether writes work: one, of all boards that can be worked.

    What has failed least often comes first, by their ids in no order that anything else has: a few records that Monday
    always fails on are not the probe again and again, nor all before the first other one. A create without an answer is
    looked for first, by its board's worker.
    `only_urgent`: of those that a person clicked.
    """
    priority = max(Priority) if not only_urgent else Priority.PERSON
    rows = fetch_rows(_NEXT_PROBE, {"held": HELD, "priority": int(priority)})
    return SyncQueue.objects.filter(pk=rows[0][0]).first() if rows else None


def is_probe_due() -> bool:
    """Whether it is time to try a write though writes are stopped."""
    return MondayAccount.objects.filter(_due_for_probe(), id=1, only_writes=True).exists()


def begin_probe() -> bool:
    """Whether this worker is the one of all that probes: the update matches for the first only."""
    now = sync_now()
    account = MondayAccount.objects.filter(_due_for_probe(), id=1, only_writes=True)
    return bool(account.update(stopped_until=now + timedelta(seconds=PROBE_SECONDS), write_failed_at=now))


def give_back_probe() -> bool:
    """Let the next probe be due where this one's record needed no write; return whether that was so.

    A write that fails sets both times anew, and one that succeeds ends the stop.
    """
    began_at = F("stopped_until") - timedelta(seconds=PROBE_SECONDS)
    account = MondayAccount.objects.filter(id=1, only_writes=True, write_failed_at=began_at)
    return bool(account.update(stopped_until=SyncNow()))


def _due_for_probe() -> Q:
    """Its time has come, or a delivery or a save that came after the last failure brings it forward."""
    is_due = Q(stopped_until__lte=SyncNow())
    failed_at = MondayAccount.objects.filter(id=1).values_list("write_failed_at", flat=True).first()
    if failed_at is None or not _has_sign_of_life(failed_at):
        return is_due
    apart = max(SOONER_SECONDS, calls_apart(PROBE_CALLS, FIRST_CALLS))
    return is_due | Q(write_failed_at__lte=SyncNow() - timedelta(seconds=apart))


def _has_sign_of_life(failed_at: datetime) -> bool:
    delivered = WebhookEvent.objects.order_by("-id").values_list("received_at", flat=True).first()
    saved = SyncQueue.objects.filter(
        status=QueueStatus.PENDING, direction=QueueDirection.TO_MONDAY, created_at__gt=failed_at
    )
    return (delivered is not None and delivered > failed_at) or saved.exists()


# What Monday refuses of one board: only calls of that kind wait, and a person has to act.

PERSON_WAITS = (60, 300, 900, 3_600)
"""Seconds between two attempts where a person has to act: the longer it lasts, the longer they are apart."""


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
    refused = sum(map(len, BoardLink.objects.values_list("refused", flat=True)))
    return max(PERSON_WAITS[-1], calls_apart(PROBE_CALLS * max(1, refused), FIRST_CALLS))


def refuse(link: BoardLink, kind: str, error: MondayError) -> None:
    """Let calls of this kind wait on the board: Monday refuses them whatever they say."""
    before = link.refused.get(kind)
    since = datetime.fromisoformat(before["since"]) if before else sync_now()
    wait = max(error.wait_seconds or 0, wait_for_person(since if before else None))
    until = sync_now() + timedelta(seconds=wait)
    reason = f"{HELD} {error.lasting_sentence}"
    link.refused = {**link.refused, kind: {"since": since.isoformat(), "until": until.isoformat(), "reason": reason}}
    BoardLink.objects.filter(pk=link.pk).update(refused=link.refused)
    if not before:
        sentence = f"{REFUSED_WORDS[kind]}: {registry.board_title(link.entity_type)}. {error.lasting_sentence}"
        log_event(STOP_KIND, sentence, entity_type=link.entity_type)


def refusal(link: BoardLink, kind: str) -> tuple[str, float]:
    """Return why calls of this kind wait on the board, and for how many seconds; an empty text where they don't."""
    entry = link.refused.get(kind)
    seconds = (datetime.fromisoformat(entry["until"]) - sync_now()).total_seconds() if entry else 0
    return (entry["reason"], seconds) if seconds > 0 else ("", 0)


def accept(link: BoardLink, kind: str) -> None:
    """Monday has carried out a call of this kind."""
    if kind not in link.refused:
        return
    link.refused = {key: entry for key, entry in link.refused.items() if key != kind}
    BoardLink.objects.filter(pk=link.pk).update(refused=link.refused)
    log_event(STOP_END_KIND, f"Sync goes on: {registry.board_title(link.entity_type)}.", entity_type=link.entity_type)
    release_held()


def try_refused_again() -> bool:
    """Let everything that Monday refused be tried now; return whether there was anything."""
    changed = BoardLink.objects.exclude(refused={}).update(refused={})
    if changed:
        release_held()
    return bool(changed)


# Held jobs whose record failed three times or more since it was written, and others were written in between.
_FAILING_ALONE = """
    SELECT job.id FROM sync_queue AS job CROSS JOIN LATERAL (
        SELECT count(*) AS number, min(created_at) AS first, max(created_at) AS last FROM sync_intents AS failed
        WHERE failed.entity_id = job.entity_id AND failed.state IN ('open', 'void')
          AND NOT EXISTS (SELECT FROM sync_intents AS own WHERE own.entity_id = job.entity_id
            AND own.state IN ('applied', 'confirmed') AND own.created_at > failed.created_at)) AS failures
    WHERE job.status = 'pending' AND starts_with(job.reason, %(held)s) AND failures.number > 2
      AND EXISTS (SELECT FROM sync_intents AS written WHERE written.state = 'applied'
        AND written.created_at BETWEEN failures.first AND failures.last)
    ORDER BY job.last_attempt NULLS FIRST, job.id
"""


def write_succeeded() -> None:
    """A write was carried out: what waited for that goes on, and nothing counts as failed any more.

    Records that fail though others are written go on one after another: together they would cost as much again.
    """
    if MondayAccount.objects.filter(id=1, only_writes=True).exists():
        credentials.end_stop()
        log.info("writes go on")
    release_held()
    apart = max(ALONE_APART, calls_apart(PROBE_CALLS, FIRST_CALLS))
    for place, (job_id,) in enumerate(fetch_rows(_FAILING_ALONE, {"held": HELD}), 1):
        due_at = SyncNow() + timedelta(seconds=place * apart)
        SyncQueue.objects.filter(pk=job_id, status=QueueStatus.PENDING).update(next_retry=due_at)
    MondayAccount.objects.filter(id=1).update(write_failures=0, failed_record="", write_failed_at=None)


def release_held() -> None:
    """Let the jobs that wait for writes be due now."""
    held = SyncQueue.objects.filter(status=QueueStatus.PENDING, reason__startswith=HELD)
    held.filter(next_retry__gt=SyncNow()).update(next_retry=SyncNow())
    # What was looked for in vain lands within this time, or never.
    settled = sync_now() - timedelta(seconds=settings.MONDAY_SETTLE_SECONDS)
    account = MondayAccount.objects.filter(id=1).first()
    if account is not None and (account.write_failed_at is None or account.write_failed_at <= settled):
        unsure = Intent.objects.filter(state=IntentState.OPEN, item_id="", lookups__gt=0, deadline__gt=SyncNow())
        unsure.update(deadline=SyncNow())
    for link in BoardLink.objects.all():
        notify.notify_board(link.entity_type)
