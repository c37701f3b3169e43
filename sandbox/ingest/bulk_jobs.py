"""The import jobs of the account: started, given a file at an address of its own, asked about."""

import hashlib
import hmac
import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox import api_errors
from sandbox.api_errors import RequestError
from sandbox.checks import BadRequestError, amount
from sandbox.http import Request, Response, Route, json_response, route
from sandbox.world import World

URL_SECONDS = 600  # an upload URL and a report URL live 10 minutes
# Of an account, both kinds together (developer.monday.com/api-reference/docs/importing-items-in-bulk).
STARTS_AN_HOUR = 100
ITEMS_AN_HOUR = 19_000
HOUR = 3600
ROWS = {"ingest": 10_000, "backfill": 20_000}
MATCHABLE = ("email", "phone", "text", "name", "numbers", "link", "date", "long_text", "status")
COUNTS = ("submitted", "invalid", "skipped", "created", "updated", "failed")


@dataclass(frozen=True)
class Match:
    """How rows find their items: by this column; `update` says what becomes of a hit."""

    column_id: str
    update: bool


@dataclass
class IngestJob:
    """One import. `signature` and `report_signature` are the secret parts of its addresses."""

    id: str
    kind: str
    board_id: int
    group_id: str
    user_id: int
    match: Match | None
    started: float
    signature: str = field(default_factory=lambda: secrets.token_hex(32))
    state: str = "UPLOAD_PENDING"
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    rows: int = 0
    settled: int = 0
    reason: str | None = None
    message: str | None = None
    report: bytes | None = None
    report_signature: str = ""
    report_since: float = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.state in ("COMPLETED", "FAILED", "REJECTED")

    def end(self, state: str, reason: str | None = None, message: str | None = None) -> None:
        self.state, self.reason, self.message = state, reason, message


@dataclass
class PlaybackSettings:
    """What a test may make jobs do: wait before or during their work, end badly, take their time."""

    hold: str = ""
    fail: str = ""
    fail_after: int = 0
    row_ms: float = 0.0


class IngestJobs:
    """All jobs, by id. `work` is called with a job and its file, on a thread of its own."""

    def __init__(self, world: World, work: Callable[["IngestJobs", IngestJob, bytes], None]) -> None:
        self._world = world
        self._work = work
        self._jobs: dict[str, IngestJob] = {}
        self._spent: list[tuple[float, int]] = []
        self._lock = threading.Lock()
        self.play = PlaybackSettings()
        self.changed = threading.Condition()

    def start(self, kind: str, user_id: int, board_id: int, group_id: str, match: Any = None) -> IngestJob:
        """A new job that waits for its file. Refuses what Monday refuses before it."""
        board = self._world.active_board(board_id)
        if board.group(group_id) is None:
            raise api_errors.group_not_found(group_id, board_id)
        wanted = Match(match["match_column_id"], match["behaviour"] == "UPSERT") if match else None
        if wanted is not None and wanted.column_id != "name":
            column = board.column(wanted.column_id)
            if column is None:
                raise api_errors.column_not_found(wanted.column_id)
            if column.type not in MATCHABLE:
                raise api_errors.invalid_argument(f"A column of the type {column.type} can't be matched by")
        with self._lock:
            now = self._world.clock.time()
            recent = sorted(job.started for job in self._jobs.values() if job.started > now - HOUR)
            if len(recent) >= STARTS_AN_HOUR:
                wait = int((recent[0] + HOUR - now) * 1000) + 1
                raise RequestError(429, "Rate limit exceeded", "RATE_LIMIT_EXCEEDED", retryAfterMs=wait)
            job = IngestJob(str(uuid.uuid4()), kind, board_id, group_id, user_id, wanted, now)
            self._jobs[job.id] = job
        return job

    def find(self, job_id: str) -> IngestJob:
        """The job of this id, or ResourceNotFoundException."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise api_errors.FieldError("Job not found", "ResourceNotFoundException", 404, job_id=job_id)
        return job

    def all(self) -> list[IngestJob]:
        """Every job, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def take_file(self, job: IngestJob, content: bytes) -> None:
        """The file is here; a second one for the same job is stored by the address, and changes nothing."""
        with self._lock:
            first = job.state == "UPLOAD_PENDING" and not job.rows
            if first:
                # Its state says so only once the work has begun: until then this tells that it has its file.
                job.rows = -1
        if first:
            threading.Thread(target=self._work, args=(self, job, content), daemon=True, name="ingest").start()

    def reserve(self, count: int) -> bool:
        """Take items out of the hour's quota; False where it has not so many left."""
        with self._lock:
            now = self._world.clock.time()
            self._spent = [(at, number) for at, number in self._spent if at > now - HOUR]
            if sum(number for _, number in self._spent) + count > ITEMS_AN_HOUR:
                return False
            self._spent.append((now, count))
            return True

    def release(self, count: int) -> None:
        """Give back what was reserved and not made."""
        with self._lock:
            self._spent.append((self._world.clock.time(), -count))

    def is_held(self, where: str) -> None:
        """Wait while a test holds jobs at this place."""
        with self.changed:
            self.changed.wait_for(lambda: self.play.hold != where)

    def set_play(self, play: PlaybackSettings) -> None:
        with self.changed:
            self.play = play
            self.changed.notify_all()

    def clear(self) -> None:
        """Delete all jobs, what they used, and what a test holds."""
        with self._lock:
            for job in self._jobs.values():
                job.end("FAILED", "INTERNAL_ERROR", "The sandbox was reset.")
            self._jobs, self._spent = {}, []
        self.set_play(PlaybackSettings())


# The addresses that a job's file goes to and its report comes from, and what a test may do to jobs.
#
# The upload address behaves like the object store's that Monday hands out: an XML refusal with 403,
# an ETag for a file that was taken.


# developer.monday.com/api-reference/docs/importing-items-in-bulk
LARGEST_FILE = 150_000_000
REASONS = ("INVALID_UPLOAD", "AUTHORIZATION_FAILED", "PERMISSION_DENIED", "INTERNAL_ERROR")
HOLDS = ("", "upload", "processing")


class IngestWeb:
    """The handlers."""

    def __init__(self, world: World, jobs: IngestJobs) -> None:
        self._world = world
        self._jobs = jobs

    def routes(self) -> list[Route]:
        return [
            route("PUT", "/uploads/[0-9a-f-]{36}", self.upload),
            route("GET", "/reports/[0-9a-f-]{36}", self.report),
            route("GET", "/_control/ingest", self.show_jobs),
            route("POST", "/_control/ingest", self.set_play),
        ]

    def upload(self, request: Request) -> Response:
        """Take a job's file, while its address lives; a checksum header that wasn't signed is refused."""
        job = self._job(request)
        if job is None or not _is_signed(request, job.signature):
            return _access_denied("SignatureDoesNotMatch", "The signature does not match.")
        if self._world.clock.time() > job.started + URL_SECONDS:
            return _access_denied("AccessDenied", "Request has expired")
        if request.header("x-amz-checksum-crc32") is not None:
            return _access_denied("HeadersNotSigned", "There were headers present which were not signed")
        if (request.header("Content-Type") or "").split(";")[0].strip().lower() != "text/csv":
            return _access_denied("SignatureDoesNotMatch", "The signature does not match.")
        content = request.body(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            job.end("REJECTED", "FILE_TOO_LARGE", "The file is larger than 150 MB.")
        else:
            self._jobs.take_file(job, content)
        # An object store's ETag is the MD5 of what it took.
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Response(200, b"", {"ETag": f'"{digest}"'})

    def report(self, request: Request) -> Response:
        """A finished job's report, by the address that its status named within the last ten minutes."""
        job = self._job(request)
        if job is None or job.report is None or not _is_signed(request, job.report_signature):
            return _access_denied("SignatureDoesNotMatch", "The signature does not match.")
        if self._world.clock.time() > job.report_since + URL_SECONDS:
            return _access_denied("AccessDenied", "Request has expired")
        return Response(200, job.report, {"Content-Type": "text/csv"})

    def _job(self, request: Request) -> IngestJob | None:
        job_id = request.path.rsplit("/", 1)[-1]
        return next((job for job in self._jobs.all() if job.id == job_id), None)

    def show_jobs(self, request: Request) -> Response:
        """All jobs, without the secret parts of their addresses."""
        names = ("id", "kind", "board_id", "group_id", "state", "counts", "rows", "reason", "message")
        return json_response([{name: getattr(job, name) for name in names} for job in self._jobs.all()])

    def set_play(self, request: Request) -> Response:
        """`{hold: ""|upload|processing, fail: REASON, fail_after: rows, row_ms}`; what is left out is off."""
        if not request.is_json():
            return json_response({"error": "Send this as application/json"}, 415)
        given = request.object()
        hold, fail = given.get("hold", ""), given.get("fail", "")
        if hold not in HOLDS or fail not in ("", *REASONS):
            raise BadRequestError(f"hold is one of {HOLDS}, fail one of {REASONS}")
        after, row_ms = (
            amount(given.get(key, 0), "fail_after and row_ms are numbers", 1e6) for key in ("fail_after", "row_ms")
        )
        self._jobs.set_play(PlaybackSettings(hold, fail, int(after), row_ms))
        return self.show_jobs(request)


def upload_url(world: World, job: IngestJob) -> str:
    """Where the job's file goes."""
    return f"{world.site_url}/uploads/{job.id}?X-Amz-Expires={URL_SECONDS}&X-Amz-Signature={job.signature}"


def status_of(world: World, job: IngestJob) -> dict[str, Any]:
    """The job as `ItemsJobStatus`; each query makes a new report address."""
    done = job.state == "COMPLETED"
    report = None
    if job.report is not None and job.is_finished:
        # Only in its second half: a new address ends the old one, which may just have been given out.
        if world.clock.time() > job.report_since + URL_SECONDS / 2:
            job.report_signature, job.report_since = secrets.token_hex(32), world.clock.time()
        report = f"{world.site_url}/reports/{job.id}?X-Amz-Signature={job.report_signature}"
    return {
        "__typename": "ItemsJobStatus",
        "status": job.state,
        "counts": dict(job.counts),
        "progress_percentage": 100 if done else int(100 * job.settled / job.rows) if job.rows > 0 else 0,
        "failure_reason": job.reason,
        "failure_message": job.message,
        "fully_imported": done and job.counts["failed"] + job.counts["invalid"] == 0,
        "report_created": report is not None,
        "report_url": report,
    }


def _is_signed(request: Request, signature: str) -> bool:
    given = request.query.get("X-Amz-Signature", "")
    return bool(signature) and hmac.compare_digest(given.encode(), signature.encode())


def _access_denied(code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(403, body.encode(), {"Content-Type": "application/xml"})
