"""The steps of one bulk import, each safe to begin again after a death at any point.

started ── job and file sent ──▶ uploaded ── Monday is done ──▶ listed ── items linked ──▶ done

What isn't known after a death is found out and never guessed: the start call is repeated under its own
idempotency key (Monday replays its answer for 30 minutes), and while a file may have arrived no other job is
started. A job that got no file within the ten minutes of its address can never get one.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings

from sync import account
from sync.backfill.announcing import file_of, open_rows, take_back
from sync.backfill.holding import Hold, touch
from sync.backfill.linking import link_all
from sync.backfill.preview import Impossible
from sync.backfill.waits import (
    POLL_WAITS,
    WAITABLE,
    Pause,
    after_failure,
    hour_is_full,
    in_seconds,
    next_question,
    older_than,
    shared_pause,
    stopped,
    until_look,
)
from sync.boards import link_of
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.cells import reasons_in
from sync.connectors.monday.errors import MondayError, Scope, UnreadableAnswer
from sync.connectors.monday.ingest import (
    URL_SECONDS,
    JobState,
    JobStatus,
    import_status,
    parse_started,
    parse_status,
    start_import,
)
from sync.connectors.monday.uploads import UPLOAD_TIMEOUT, UploadRefused, put_file, read_report
from sync.engine.board import Board
from sync.engine.intents import ANNOUNCED_SECONDS
from sync.lease import Lease, LeaseLost
from sync.models import Backfill, BackfillState, Intent

log = structlog.get_logger(__name__)

FILES_TRIED = 3
JOB_FORGOTTEN = timedelta(hours=1)
JOB_GIVEN_UP = timedelta(hours=24)


def advance(backfill: Backfill, hold: Hold) -> Pause | None:
    """Do the next step; None when the one after it can follow. Raises MondayError for what no wait mends."""
    touch(backfill)
    backfill.refresh_from_db()
    steps = {
        BackfillState.STARTED: _start,
        BackfillState.UPLOADED: _ask,
        BackfillState.LISTED: _link,
    }
    try:
        if pause := until_look(backfill) or shared_pause(backfill_board(backfill).link):
            return pause
        return steps[BackfillState(backfill.state)](backfill, hold)
    except MondayError as error:
        if error.scope not in WAITABLE:
            raise
        log.warning("backfill waits", board=backfill.entity_type, reason=error.sentence)
        return _put_off(backfill, after_failure(error))
    except LeaseLost as lost:
        return Pause(1, str(lost))


def _put_off(backfill: Backfill, pause: Pause) -> Pause:
    """Whoever goes on with it waits too, and until then nobody makes room for it on the board."""
    Backfill.objects.filter(pk=backfill.pk).update(look_at=in_seconds(pause.seconds))
    return pause


def _start(backfill: Backfill, hold: Hold) -> Pause | None:
    if backfill.put_at is not None:
        return _ask(backfill, hold)  # whether the file arrived isn't known
    if pause := hour_is_full(backfill):
        return _put_off(backfill, pause)
    with hold() as lease:
        backfill.refresh_from_db()
        if backfill.state != BackfillState.STARTED or backfill.put_at is not None:
            return None
        content, rows = file_of(backfill, Board.of(lease.link))
        if not rows:
            end(backfill, BackfillState.DONE, "There was nothing left to send.")
            return None
        return _send(lease, backfill, content, rows)


def _send(lease: Lease, backfill: Backfill, content: bytes, rows: int) -> Pause | None:
    """Start the job and send its file, each announced before it is done."""
    try:
        url = _job(lease, backfill, rows)
    except MondayError as error:
        return _not_started(backfill, error)
    with lease.held():
        if pause := stopped(lease.link):
            return pause
        _keep(backfill, put_at=SyncNow())
    lease.renew(UPLOAD_TIMEOUT + settings.MONDAY_SETTLE_SECONDS)
    announced = time.monotonic()
    try:
        _check_freshness(announced)
        put_file(url, content)
    except UploadRefused as error:
        return _refused(backfill, error)
    except MondayError as error:  # of the file store, which is no business of the other workers
        if not error.outcome_unknown:
            _keep(backfill, put_at=None)
        return _put_off(backfill, Pause(POLL_WAITS[0], error.sentence))
    _keep(backfill, state=BackfillState.UPLOADED, polls=0, look_at=in_seconds(POLL_WAITS[0]), tries=0)
    return None


def _job(lease: Lease, backfill: Backfill, rows: int) -> str:
    """Start the job, or have Monday repeat what it answered; return the file's address, which is stored nowhere."""
    now = sync_now()
    age = (now - backfill.job_at).total_seconds() if backfill.job_at else URL_SECONDS
    # An address that could end while the file is on its way is not used.
    if not backfill.key or age > URL_SECONDS - 2 * UPLOAD_TIMEOUT:
        backfill.key, backfill.job_at = uuid.uuid4().hex, now
    with lease.held():
        _keep(backfill, key=backfill.key, job_at=backfill.job_at, job_id="", rows=rows)
    lease.renew(settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS)
    document = start_import(lease.link.board_id, backfill.group_id, lease.link.npd_id_column)
    answer = account.client().execute(*document, idempotency_key=backfill.key)
    job = parse_started(answer)
    _keep(backfill, job_id=job.job_id)
    log.info("import started", board=backfill.entity_type, job=job.job_id, rows=rows)
    return job.upload_url


def _check_freshness(announced: float) -> None:
    if time.monotonic() - announced > ANNOUNCED_SECONDS:
        raise LeaseLost("This process stood still before it sent the file; nothing was sent.")


def _not_started(backfill: Backfill, error: MondayError) -> Pause | None:
    """No file can have arrived: what Monday refuses for good is created in the ordinary way."""
    if error.scope is Scope.LIMIT:
        _keep(backfill, key="")  # the refusal must not be what is replayed
    if error.scope in WAITABLE:
        raise error
    log.warning("import refused", board=backfill.entity_type, reason=error.sentence)
    give_up(backfill, f"Monday started no import. {error.sentence}")
    return None


def _refused(backfill: Backfill, error: UploadRefused) -> Pause | None:
    if backfill.tries + 1 >= FILES_TRIED:
        give_up(backfill, f"Monday's file store took no file. {error.sentence}")
        return None
    _keep(backfill, put_at=None, key="", tries=backfill.tries + 1)
    return _put_off(backfill, Pause(POLL_WAITS[0], error.sentence))


def _ask(backfill: Backfill, hold: Hold) -> Pause | None:
    """Ask how far the job is."""
    try:
        status = parse_status(account.client().execute(*import_status(backfill.job_id)))
    except MondayError as error:
        return _not_told(backfill, error)
    if status.state.over:
        return _over(backfill, status)
    if status.state is JobState.UPLOAD_PENDING and backfill.state == BackfillState.STARTED:
        return _no_file_yet(backfill)
    if older_than(backfill, JOB_GIVEN_UP):
        _done_there(backfill, problem="Monday didn't finish the import within a day.")
        return None
    seconds = next_question(backfill)
    counts = {**backfill.counts, "progress": status.progress}
    _keep(
        backfill,
        state=BackfillState.UPLOADED,
        polls=backfill.polls + 1,
        look_at=in_seconds(seconds),
        counts=counts,
    )
    return None


def _no_file_yet(backfill: Backfill) -> Pause | None:
    """While its address lives the file may be on its way; after that the job can never get one."""
    life = timedelta(seconds=URL_SECONDS + settings.MONDAY_SETTLE_SECONDS)
    if older_than(backfill, life):
        _keep(backfill, put_at=None, key="", job_id="", look_at=None)
        return None
    assert backfill.job_at is not None
    _keep(backfill, look_at=min(backfill.job_at + life, sync_now() + timedelta(seconds=POLL_WAITS[-1])))
    return None


def _not_told(backfill: Backfill, error: MondayError) -> Pause | None:
    """Monday says nothing of the job: one that it has forgotten is over, and the board tells the rest."""
    about_it = error.scope in (Scope.RECORD, Scope.FIELD, Scope.DOCUMENT) or isinstance(
        error, UnreadableAnswer
    )
    passing = error.scope in WAITABLE or not older_than(backfill, JOB_GIVEN_UP)
    if passing and not about_it:
        raise error
    if not older_than(backfill, JOB_FORGOTTEN):
        _keep(backfill, look_at=in_seconds(POLL_WAITS[-1]))
        return None
    _done_there(backfill, problem=error.sentence)
    return None


def _over(backfill: Backfill, status: JobStatus) -> Pause | None:
    """Keep what Monday says of the finished job, and of each row that it didn't take."""
    counts: dict[str, Any] = dict(status.counts)
    problem = status.reason
    if status.state is JobState.REJECTED:
        _keep(backfill, counts=counts)
        give_up(backfill, f"Monday rejected the import: {problem or 'no reason was given'}.")
        return None
    if status.report_url and (report := read_report(status.report_url)):
        _keep_reasons(backfill, report)
    _done_there(backfill, counts=counts, problem=problem)
    return None


def _done_there(backfill: Backfill, **values: Any) -> None:
    _keep(backfill, state=BackfillState.LISTED, polls=0, look_at=None, **values)


def _keep_reasons(backfill: Backfill, report: bytes) -> None:
    column = backfill_board(backfill).link.npd_id_column
    reasons = reasons_in(report, column)
    told = [intent for intent in open_rows(backfill) if str(intent.entity_id) in reasons]
    for intent in told:
        intent.answer = {"reason": reasons[str(intent.entity_id)][:500]}
    Intent.objects.bulk_update(told, ["answer"], batch_size=500)


def _link(backfill: Backfill, hold: Hold) -> Pause | None:
    linked = link_all(backfill, backfill_board(backfill), hold)
    if not backfill.polls and _may_come_late(backfill, linked):
        _keep(backfill, polls=1, look_at=in_seconds(settings.MONDAY_SETTLE_SECONDS))
        return None
    with hold() as lease, lease.held():
        take_back([intent.pk for intent in open_rows(backfill)])
        counts = {key: n for key, n in backfill.counts.items() if key != "progress"} | {"linked": linked}
        end(backfill, BackfillState.DONE, backfill.problem, counts)
    return None


def _may_come_late(backfill: Backfill, linked: int) -> bool:
    """Monday's listings may be stale: where it says it has more items than they show, they are read once more."""
    told = backfill.counts
    made = told.get("created", 0) + told.get("skipped", 0) if "submitted" in told else backfill.rows
    return linked < made and bool(open_rows(backfill))


def give_up(backfill: Backfill, problem: str) -> None:
    """No job will carry these rows out: their records are created in the ordinary way."""
    take_back([intent.pk for intent in open_rows(backfill)])
    end(backfill, BackfillState.FAILED, problem)


def end(backfill: Backfill, state: BackfillState, problem: str, counts: dict[str, Any] | None = None) -> None:
    """The backfill is over."""
    _keep(backfill, state=state, problem=problem, finished_at=SyncNow(), counts=counts or backfill.counts)
    log.info("backfill over", board=backfill.entity_type, state=state, problem=problem)


def backfill_board(backfill: Backfill) -> Board:
    """Return the board of the backfill's type; raises Impossible where it is not the one it was begun for."""
    link = link_of(backfill.entity_type)
    if link is None or backfill.board_id not in ("", link.board_id):
        raise Impossible(
            f"The backfill was begun for the board {backfill.board_id}, which {backfill.entity_type} records are no "
            "longer synced with. Set that board again, then resume."
        )
    return Board.of(link)


def _keep(backfill: Backfill, **values: Any) -> None:
    """Store values, where the backfill is still as it was read: another process may have taken it up."""
    kept = Backfill.objects.filter(pk=backfill.pk, state=backfill.state).update(**values, seen_at=SyncNow())
    if not kept:
        raise LeaseLost("Another process has taken this backfill up.")
    backfill.refresh_from_db()
