"""Bulk imports: the documents that start one and ask about it, and what Monday says of it.

A job is started by a mutation, gets its rows as a CSV file at an address of its own (uploads.py), is worked by
Monday in the background, and is asked about until it is over
(developer.monday.com/api-reference/reference/ingest-items-api-reference; API version 2026-07 and later).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sync.connectors.monday.answers import Answer
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import UnreadableAnswer

ROWS_PER_JOB = 10_000
ITEMS_PER_HOUR = 19_000
"""Items that all jobs of an account may make or change within an hour."""
URL_SECONDS = 600
"""How long an upload address and a report address live."""

_COMPLEXITY = "complexity { query before after reset_in_x_seconds }"
_START = f"""mutation StartImport($board: ID!, $group: ID!, $match: OnMatchInput) {{
  {_COMPLEXITY}
  ingest_items(board_id: $board, group_id: $group, on_match: $match) {{ job_id upload_url }}
}}"""
_STATUS = f"""query ImportStatus($job: ID!) {{
  {_COMPLEXITY}
  fetch_job_status(job_id: $job) {{
    ... on ItemsJobStatus {{
      status progress_percentage failure_reason failure_message fully_imported report_created report_url
      counts {{ submitted invalid skipped created updated failed }}
    }}
  }}
}}"""
_ROOM = f"""query BoardRoom($board: ID!) {{
  {_COMPLEXITY}
  boards(ids: [$board], limit: 1) {{ id state items_count items_limit top_group {{ id }} }}
}}"""


class JobState(StrEnum):
    """How far a job is (enum BulkImportState); UNKNOWN is a state that we have no word for."""

    UPLOAD_PENDING = "UPLOAD_PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"

    @property
    def over(self) -> bool:
        """Whether the job does nothing any more."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.REJECTED)


@dataclass(frozen=True)
class StartedJob:
    """A job that waits for its file; the address is a secret and is kept nowhere."""

    job_id: str
    upload_url: str = field(repr=False)


@dataclass(frozen=True)
class JobStatus:
    """What Monday says of a job; `reason` why it failed, in words; `report_url` is a secret."""

    state: JobState
    progress: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    report_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class BoardRoom:
    """How many items the board holds and may hold (None: not told), and its topmost group."""

    items: int
    limit: int | None
    top_group: str


def start_import(board_id: str, group_id: str, match_column: str) -> Document:
    """A job whose rows are skipped where an item with the same value in `match_column` is on the board."""
    match = {"behaviour": "SKIP", "match_column_id": match_column}
    return Document(_START, {"board": board_id, "group": group_id, "match": match})


def import_status(job_id: str) -> Document:
    """How far a job is."""
    return Document(_STATUS, {"job": job_id})


def board_room(board_id: str) -> Document:
    """What the preview of an import must know of the board."""
    return Document(_ROOM, {"board": board_id})


def parse_started(answer: Answer) -> StartedJob:
    """Read the answer to `start_import`; raises its error where no job was started."""
    node = (answer.data or {}).get("ingest_items")
    if isinstance(node, Mapping) and node.get("job_id") and node.get("upload_url"):
        return StartedJob(str(node["job_id"]), str(node["upload_url"]))
    raise _failure(answer, "Monday started no import and said no reason")


def parse_status(answer: Answer) -> JobStatus:
    """Read the answer to `import_status`; raises its error where Monday tells nothing of the job."""
    node = (answer.data or {}).get("fetch_job_status")
    if not isinstance(node, Mapping) or not node.get("status"):
        raise _failure(answer, "Monday told nothing of the import")
    counts = node.get("counts")
    return JobStatus(
        state=_state(node["status"]),
        progress=int(node.get("progress_percentage") or 0),
        counts={key: int(n) for key, n in counts.items() if n} if isinstance(counts, Mapping) else {},
        reason=str(node.get("failure_message") or node.get("failure_reason") or ""),
        report_url=str(node["report_url"]) if node.get("report_url") else None,
    )


def parse_room(answer: Answer) -> BoardRoom:
    """Read the answer to `board_room`; raises its error, or UnreadableAnswer where there is no such board."""
    boards = (answer.data or {}).get("boards")
    if not isinstance(boards, list) or not boards or not isinstance(boards[0], Mapping):
        raise _failure(answer, "Monday shows no active board of this id")
    board = boards[0]
    group = board.get("top_group")
    return BoardRoom(
        items=int(board.get("items_count") or 0),
        limit=int(board["items_limit"]) if board.get("items_limit") is not None else None,
        top_group=str(group["id"]) if isinstance(group, Mapping) and group.get("id") else "",
    )


def _state(text: Any) -> JobState:
    try:
        return JobState(str(text))
    except ValueError:
        return JobState.UNKNOWN


def _failure(answer: Answer, otherwise: str) -> Exception:
    return answer.errors[0] if answer.errors else UnreadableAnswer(otherwise, request_id=answer.request_id)
