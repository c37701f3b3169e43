"""The import jobs of the account: started, given a file, asked about."""

import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox import errors
from sandbox.errors import RequestError
from sandbox.world import World

URL_SECONDS = 600  # an upload URL and a report URL live 10 minutes
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
class Job:
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
    def over(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.state in ("COMPLETED", "FAILED", "REJECTED")

    def end(self, state: str, reason: str | None = None, message: str | None = None) -> None:
        self.state, self.reason, self.message = state, reason, message


@dataclass
class Play:
    """What a test may make jobs do: wait before or during their work, end badly, take their time."""

    hold: str = ""
    fail: str = ""
    fail_after: int = 0
    row_ms: float = 0.0


class Jobs:
    """All jobs, by id. `work` is called with a job and its file, on a thread of its own."""

    def __init__(self, world: World, work: Callable[["Jobs", Job, bytes], None]) -> None:
        self._world = world
        self._work = work
        self._jobs: dict[str, Job] = {}
        self._spent: list[tuple[float, int]] = []
        self._lock = threading.Lock()
        self.play = Play()
        self.changed = threading.Condition()

    def start(self, kind: str, user_id: int, board_id: int, group_id: str, match: Any = None) -> Job:
        """A new job that waits for its file. Refuses what Monday refuses before it."""
        board = self._world.active_board(board_id)
        if board.group(group_id) is None:
            raise errors.group_not_found(group_id, board_id)
        wanted = self._match(board_id, match) if match else None
        with self._lock:
            now = self._world.clock.time()
            self._check_starts(now)
            job = Job(str(uuid.uuid4()), kind, board_id, group_id, user_id, wanted, now)
            self._jobs[job.id] = job
        return job

    def _match(self, board_id: int, match: dict[str, Any]) -> Match:
        column_id = match["match_column_id"]
        column = self._world.active_board(board_id).column(column_id)
        if column is None and column_id != "name":
            raise errors.column_not_found(column_id)
        if column is not None and column.type not in MATCHABLE:
            raise errors.invalid_argument(f"A column of the type {column.type} can't be matched by")
        return Match(column_id, match["behaviour"] == "UPSERT")

    def _check_starts(self, now: float) -> None:
        recent = sorted(job.started for job in self._jobs.values() if job.started > now - HOUR)
        if len(recent) >= STARTS_AN_HOUR:
            wait = recent[0] + HOUR - now
            raise RequestError(
                429, "Rate limit exceeded", "RATE_LIMIT_EXCEEDED", retryAfterMs=int(wait * 1000) + 1
            )

    def find(self, job_id: str) -> Job:
        """The job of this id, or ResourceNotFoundException."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise errors.FieldError("Job not found", "ResourceNotFoundException", 404, job_id=job_id)
        return job

    def all(self) -> list[Job]:
        """Every job, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def take_file(self, job: Job, content: bytes) -> None:
        """The file is here; a second one for the same job is stored by the address, and changes nothing."""
        with self._lock:
            first = job.state == "UPLOAD_PENDING" and not job.rows
            if first:
                job.rows = -1
        if first:
            threading.Thread(target=self._work, args=(self, job, content), daemon=True, name="ingest").start()

    def reserve(self, count: int) -> bool:
        """Take items out of the hour's allowance; False where it doesn't hold so many."""
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

    def held(self, where: str) -> None:
        """Wait while a test holds jobs at this place."""
        with self.changed:
            self.changed.wait_for(lambda: self.play.hold != where)

    def set_play(self, play: Play) -> None:
        with self.changed:
            self.play = play
            self.changed.notify_all()

    def clear(self) -> None:
        """No jobs, nothing spent, nothing held."""
        with self._lock:
            for job in self._jobs.values():
                job.end("FAILED", "INTERNAL_ERROR", "The sandbox was reset.")
            self._jobs, self._spent = {}, []
        self.set_play(Play())
