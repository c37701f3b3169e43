"""The addresses that a job's file goes to and its report comes from, and what a test may do to jobs.

The upload address behaves like the object store's that Monday hands out: an XML refusal with 403, an ETag for
a file that was taken.
"""

import hashlib
import hmac
import secrets
from typing import Any

from sandbox.ingest.jobs import URL_SECONDS, Job, Jobs, Play
from sandbox.web import BadRequestError, Request, Response, Route, json_response, route
from sandbox.world import World

LARGEST_FILE = 150_000_000
REASONS = ("INVALID_UPLOAD", "AUTHORIZATION_FAILED", "PERMISSION_DENIED", "INTERNAL_ERROR")
HOLDS = ("", "upload", "processing")


class IngestWeb:
    """The handlers."""

    def __init__(self, world: World, jobs: Jobs) -> None:
        self._world = world
        self._jobs = jobs

    def routes(self) -> list[Route]:
        return [
            route("PUT", "/uploads/[0-9a-f-]{36}", self.upload),
            route("GET", "/reports/[0-9a-f-]{36}", self.report),
            route("GET", "/_control/ingest", self.shown),
            route("POST", "/_control/ingest", self.set_play),
        ]

    def upload(self, request: Request) -> Response:
        """Take a job's file, while its address lives; a checksum header that wasn't signed is refused."""
        job = self._job(request)
        if job is None or not _signed(request, job.signature):
            return _denied("SignatureDoesNotMatch", "The signature does not match.")
        if self._world.clock.time() > job.started + URL_SECONDS:
            return _denied("AccessDenied", "Request has expired")
        if request.header("x-amz-checksum-crc32") is not None:
            return _denied("HeadersNotSigned", "There were headers present which were not signed")
        if (request.header("Content-Type") or "").split(";")[0].strip().lower() != "text/csv":
            return _denied("SignatureDoesNotMatch", "The signature does not match.")
        content = request.body(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            job.end("REJECTED", "FILE_TOO_LARGE", "The file is larger than 150 MB.")
        else:
            self._jobs.take_file(job, content)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Response(200, b"", {"ETag": f'"{digest}"'})

    def report(self, request: Request) -> Response:
        """A finished job's report, by the address that its status named within the last ten minutes."""
        job = self._job(request)
        if job is None or job.report is None or not _signed(request, job.report_signature):
            return _denied("SignatureDoesNotMatch", "The signature does not match.")
        if self._world.clock.time() > job.report_since + URL_SECONDS:
            return _denied("AccessDenied", "Request has expired")
        return Response(200, job.report, {"Content-Type": "text/csv"})

    def _job(self, request: Request) -> Job | None:
        job_id = request.path.rsplit("/", 1)[-1]
        return next((job for job in self._jobs.all() if job.id == job_id), None)

    def shown(self, request: Request) -> Response:
        """All jobs, without the secret parts of their addresses."""
        return json_response([_shown(job) for job in self._jobs.all()])

    def set_play(self, request: Request) -> Response:
        """`{hold: ""|upload|processing, fail: REASON, fail_after: rows, row_ms}`; what is left out is off."""
        if not request.is_json():
            return json_response({"error": "Send this as application/json"}, 415)
        given = request.object()
        hold, fail = given.get("hold", ""), given.get("fail", "")
        amounts = [given.get("fail_after", 0), given.get("row_ms", 0)]
        if hold not in HOLDS or fail not in ("", *REASONS):
            raise BadRequestError(f"hold is one of {HOLDS}, fail one of {REASONS}")
        if any(isinstance(a, bool) or not isinstance(a, int | float) or not 0 <= a <= 1e6 for a in amounts):
            raise BadRequestError("fail_after and row_ms are numbers")
        self._jobs.set_play(Play(hold, fail, int(amounts[0]), float(amounts[1])))
        return self.shown(request)


def upload_url(world: World, job: Job) -> str:
    """Where the job's file goes."""
    return f"{world.site_url}/uploads/{job.id}?X-Amz-Expires={URL_SECONDS}&X-Amz-Signature={job.signature}"


def status_of(world: World, job: Job) -> dict[str, Any]:
    """The job as `ItemsJobStatus`; each asking makes a report address anew."""
    done = job.state == "COMPLETED"
    report = None
    if job.report is not None and job.over:
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


def _shown(job: Job) -> dict[str, Any]:
    names = ("id", "kind", "board_id", "group_id", "state", "counts", "rows", "reason", "message")
    return {name: getattr(job, name) for name in names}


def _signed(request: Request, signature: str) -> bool:
    given = request.query.get("X-Amz-Signature", "")
    return bool(signature) and hmac.compare_digest(given.encode(), signature.encode())


def _denied(code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(403, body.encode(), {"Content-Type": "application/xml"})
