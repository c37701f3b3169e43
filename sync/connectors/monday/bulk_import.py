"""Bulk imports: start a job, send its rows as CSV, read its state and its report.

A mutation starts a job, the rows go as a CSV file to an address of the job's own, Monday imports them in the
background, and we ask until it is over
(developer.monday.com/api-reference/reference/ingest-items-api-reference; API version 2026-07 and later).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import requests
import urllib3

from sync.connectors.base.board import BoardCapacity
from sync.connectors.base.board_items import ImportJobState, ImportStatus, NotImportable, StartedImport
from sync.connectors.base.errors import ConnectorError, ServerFailed, UploadRejected
from sync.connectors.monday.client import transport_error
from sync.connectors.monday.columns import BY_TYPE
from sync.connectors.monday.columns.raw_values import MondayColumn
from sync.connectors.monday.graphql import COMPLEXITY, Answer, Document

# Figures of developer.monday.com/api-reference/docs/importing-items-in-bulk.
ROWS_PER_JOB = 10_000

ITEMS_PER_HOUR = 19_000
"""Items that all jobs of an account may create or change within an hour."""

URL_SECONDS = 600
"""Seconds for which an upload address and a report address are valid."""

_START = f"""mutation StartImport($board: ID!, $group: ID!, $match: OnMatchInput) {{
  {COMPLEXITY}
  ingest_items(board_id: $board, group_id: $group, on_match: $match) {{ job_id upload_url }}
}}"""

_STATUS = f"""query ImportStatus($job: ID!) {{
  {COMPLEXITY}
  fetch_job_status(job_id: $job) {{
    ... on ItemsJobStatus {{
      status progress_percentage failure_reason failure_message fully_imported report_created report_url
      counts {{ submitted invalid skipped created updated failed }}
    }}
  }}
}}"""

_CAPACITY = f"""query BoardRoom($board: ID!) {{
  {COMPLEXITY}
  boards(ids: [$board], limit: 1) {{ id state items_count items_limit top_group {{ id }} }}
}}"""


def start_import_mutation(board_id: str, group_id: str, match_column: str) -> Document:
    """A job that skips rows for which the board has an item with the same value in `match_column`."""
    # A row whose item exists is skipped, so that a repeated import creates nothing twice.
    match = {"behaviour": "SKIP", "match_column_id": match_column}
    return Document(_START, {"board": board_id, "group": group_id, "match": match})


def import_status_query(job_id: str) -> Document:
    """The state of a job."""
    return Document(_STATUS, {"job": job_id})


def board_capacity_query(board_id: str) -> Document:
    """What the preview of an import must know of the board."""
    return Document(_CAPACITY, {"board": board_id})


def parse_started_import(answer: Answer) -> StartedImport:
    """Read the answer to `start_import_mutation`; raises its error where no job was started."""
    node = (answer.data or {}).get("ingest_items")
    if isinstance(node, Mapping) and node.get("job_id") and node.get("upload_url"):
        return StartedImport(str(node["job_id"]), str(node["upload_url"]))
    raise answer.failure("ingest_items", "Monday started no import and said no reason")


def parse_import_status(answer: Answer) -> ImportStatus:
    """Read the answer to `import_status_query`; raises its error where Monday says nothing of the job."""
    node = (answer.data or {}).get("fetch_job_status")
    if not isinstance(node, Mapping) or not node.get("status"):
        raise answer.failure("fetch_job_status", "Monday reported nothing about the import")
    counts = node.get("counts")
    return ImportStatus(
        state=ImportJobState(str(node["status"])),
        progress=int(node.get("progress_percentage") or 0),
        # Counts may be null.
        counts={key: int(n) for key, n in counts.items() if n} if isinstance(counts, Mapping) else {},
        reason=str(node.get("failure_message") or node.get("failure_reason") or ""),
        report_url=str(node["report_url"]) if node.get("report_url") else None,
    )


def parse_board_capacity(answer: Answer) -> BoardCapacity:
    """Read the answer to `board_capacity_query`.

    Raises its error, or UnreadableAnswer where there is no such board.
    """
    boards = (answer.data or {}).get("boards")
    if not isinstance(boards, list) or not boards or not isinstance(boards[0], Mapping):
        raise answer.failure("boards", "Monday shows no active board of this id")
    board = boards[0]
    group = board.get("top_group")
    return BoardCapacity(
        items=int(board.get("items_count") or 0),
        limit=int(board["items_limit"]) if board.get("items_limit") is not None else None,
        top_group=str(group["id"]) if isinstance(group, Mapping) and group.get("id") else "",
    )


# Column values as CSV cells, and what a job's report says of the rows.
#
# A cell has to read back as the very value that create_items would have written. A value for which that is
# not certain has no cell (NotImportable), and its record is created by an ordinary mutation.


NULL_CELL = "<NULL>"
"""The cell that clears a value in an import that updates items."""


def can_be_imported(column_type: str) -> bool:
    """Whether bulk imports take values for columns of this type (the reference page's list)."""
    return column_type in BY_TYPE and BY_TYPE[column_type].import_cell is not MondayColumn.import_cell


def csv_cell(column_type: str, value: Any, settings: Mapping[str, Any] | None = None) -> str:
    """The cell for the value that `create_item` would be sent; None gives an empty cell.

    Raises NotImportable.
    """
    if value is None:
        return ""
    if not can_be_imported(column_type):
        raise NotImportable(f"Monday's bulk import takes no columns of the type {column_type}")
    try:
        text = BY_TYPE[column_type].import_cell(value, settings or {})
    except (KeyError, TypeError, AttributeError):
        raise NotImportable(f"its value has no form that a bulk import knows ({column_type})") from None
    if text.strip().upper() == NULL_CELL:  # in any case, with any spaces around it
        raise NotImportable(f"the text {NULL_CELL} means an empty cell in an import")
    if "\x00" in text:
        raise NotImportable("it holds a character that no file can carry")
    return text


def render_csv(column_ids: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """The file: `name` first, then the column ids; commas and quotes as RFC 4180 has them, in UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    header = ["name", *(column_id for column_id in column_ids if column_id != "name")]
    writer.writerow(header)
    writer.writerows([row.get(column_id, "") for column_id in header] for row in rows)
    return text.getvalue().encode()


def parse_report(report: bytes, key_column: str) -> dict[str, str]:
    """The reasons that a report gives against rows, by the value of the key column.

    The report's format is not published. A file without the key column, or without a column that sounds like
    a reason, gives none.
    """
    try:
        # Reads a file with or without a byte order mark.
        lines = list(csv.reader(io.StringIO(report.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        return {}
    if not lines or key_column not in lines[0]:
        return {}
    key = lines[0].index(key_column)
    reasons = [
        position
        for position, title in enumerate(lines[0])
        if any(word in title.lower() for word in ("error", "reason", "message"))
    ]
    found = {}
    for line in lines[1:]:
        reason_texts = [line[position] for position in reasons if position < len(line) and line[position].strip()]
        if key < len(line) and reason_texts:
            found[line[key].strip()] = reason_texts[0].strip()
    return found


# The file's upload to the address that Monday named, and the download of a job's report.
#
# Both addresses are secrets valid for ten minutes and belong to an object store, not to the API: requests to
# them carry no token, and our errors never quote them.


# 10,000 rows by a slow line; the address itself is good for ten minutes.
UPLOAD_TIMEOUT = 120.0
_CONNECT_SECONDS = 10.0
# As large as a file may be: a report is the rows again.
_REPORT_BYTES = 150_000_000


def upload_file(url: str, content: bytes, timeout: float = UPLOAD_TIMEOUT) -> None:
    """Send the rows.

    Raises UploadRejected where the file was certainly not taken, Unreachable where nothing was sent, and
    another ConnectorError where that isn't known.
    """
    # Only the content type: the store rejects headers for which the address wasn't signed.
    status = _exchange("PUT", url, timeout, content)[0]
    # The store may have taken the file before it failed.
    if status >= 500:
        raise ServerFailed(f"The import's file store answered HTTP {status}", http_status=status)
    if not 200 <= status < 300:
        raise UploadRejected(f"The import's file was refused with HTTP {status}", http_status=status)


def download_report(url: str, timeout: float = UPLOAD_TIMEOUT) -> bytes | None:
    """Return a job's report, None where it can't be read; the import is finished without it all the same."""
    try:
        status, content = _exchange("GET", url, timeout)
    except ConnectorError:
        return None
    return content if status == 200 else None


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _exchange(method: str, url: str, timeout: float, content: bytes | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "text/csv"} if content is not None else {}
    try:
        with requests.Session() as session:
            session.auth = _no_auth  # a .netrc entry for the host would add a header
            with session.request(
                method,
                url,
                data=content,
                headers=headers,
                timeout=(_CONNECT_SECONDS, timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                # Bounded, because the size of a report is not ours to choose.
                return answer.status_code, answer.raw.read(_REPORT_BYTES, decode_content=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Without its cause: its text and traceback would show the address.
        raise transport_error(error, timeout) from None
