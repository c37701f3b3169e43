"""What a job does with its file: read cells, check rows, make, update or skip items, write the report.

The formats of cells: developer.monday.com/api-reference/docs/importing-items-in-bulk, “Column type validation”.
The reference page names twelve types; a value for a column of any other makes its row invalid here.
"""

import csv
import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import phonenumbers

from sandbox import api_errors
from sandbox.api_errors import FieldError
from sandbox.columns import kind_of
from sandbox.columns.reference_kinds import board_ids
from sandbox.ingest.bulk_jobs import ROWS, IngestJob, IngestJobs, Match
from sandbox.model import USERS, Board, Cell, Column, Item
from sandbox.operations import cells as operations_cells
from sandbox.operations import item_changes
from sandbox.operations.cells import check_size, parsed_values
from sandbox.world import World

NULL = "<NULL>"
# developer.monday.com/api-reference/docs/importing-items-in-bulk
RELATION_COLUMNS = 5
RELATION_ITEMS = 50
_NAMED = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\Z", re.DOTALL)
_LINK = re.compile(r"\[(?P<text>.*)\]\((?P<url>.*)\)\Z", re.DOTALL)
_MEMBER = re.compile(r"(user|team):(\d+)\Z")
Read = Callable[[World, Column, str], Any]


def _email(world: World, column: Column, text: str) -> Any:
    named = _NAMED.match(text)
    if named is None:
        return {"email": text, "text": text}
    address = named["address"].strip()
    return {"email": address, "text": named["name"].strip() or address}


def _phone(world: World, column: Column, text: str) -> Any:
    """The file names no country: the flag is that of the number, where it says one."""
    try:
        country = phonenumbers.region_code_for_number(phonenumbers.parse(text)) or ""
    except phonenumbers.NumberParseException:
        country = ""
    known = country if country in phonenumbers.SUPPORTED_REGIONS else ""
    return {"phone": text, "countryShortName": known}


def _date(world: World, column: Column, text: str) -> Any:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise api_errors.bad_value("the date must be YYYY-MM-DD", "date")
    return {"date": text}


def _status(world: World, column: Column, text: str) -> Any:
    """An exact label, also where it is a number: other than in `column_values`, digits are no index here."""
    for index, label in column.settings["labels"].items():
        if label == text:
            return {"index": index}
    raise api_errors.bad_value(f"there is no label {text!r}", "color")


def _timeline(world: World, column: Column, text: str) -> Any:
    start, slash, end = text.partition("/")
    if not slash:
        raise api_errors.bad_value("a timeline is START/END", "timerange")
    return {"from": start.strip(), "to": end.strip()}


def _people(world: World, column: Column, text: str) -> Any:
    chosen = []
    for entry in _entries(text):
        if numbered := _MEMBER.match(entry):
            chosen.append({"id": numbered[2], "kind": "person" if numbered[1] == "user" else "team"})
            continue
        found = next((p for p in USERS if p.email.casefold() == entry.casefold()), None)
        if found is None:
            raise api_errors.bad_value(f"there is no user {entry!r}", "multiple-person")
        chosen.append({"id": str(found.id), "kind": "person"})
    return {"personsAndTeams": chosen}


def _relation(world: World, column: Column, text: str) -> Any:
    """Items by id or by their one name, on a board that the entry may begin with, as `BOARD:ITEM`."""
    entries, chosen = _entries(text), []
    if len(entries) > RELATION_ITEMS:
        raise api_errors.bad_value(f"at most {RELATION_ITEMS} items in a cell", "board-relation")
    for entry in entries:
        boards, wanted = board_ids(column), entry
        board, colon, item = entry.partition(":")
        if colon and board.isdecimal() and int(board) in boards:
            boards, wanted = [int(board)], item
        there = {item.id: item.name for one in boards for item in world.items_of(one)}
        if wanted.isdecimal() and int(wanted) in there:
            chosen.append(wanted)
            continue
        named = [item_id for item_id, name in there.items() if name == wanted]
        if len(named) != 1:
            raise api_errors.bad_value(f"{len(named)} linked items are called {wanted!r}", "board-relation")
        chosen.append(str(named[0]))
    return {"item_ids": chosen}


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


READS: dict[str, Read] = {
    "text": lambda world, column, text: text,
    "long_text": lambda world, column, text: {"text": text},
    "numbers": lambda world, column, text: text,
    "status": _status,
    "dropdown": lambda world, column, text: {"labels": _entries(text)},
    "email": _email,
    "link": lambda world, column, text: (
        shown.groupdict() if (shown := _LINK.match(text)) else {"url": text, "text": text}
    ),
    "phone": _phone,
    "date": _date,
    "timeline": _timeline,
    "people": _people,
    "board_relation": _relation,
}


def value_of(world: World, column: Column, text: str) -> Any:
    """What the cell means, as `column_values` would say it; None is empty. ColumnValueException for nonsense."""
    if text in ("", NULL):
        return None
    read = READS.get(column.type)
    if read is None:
        raise api_errors.bad_value("columns of this type can't be imported", column.type)
    return read(world, column, text)


def header_problem(board: Board, header: list[str]) -> str:
    """Why the file's first line is not taken; an empty text where it is."""
    if not header or header[0] != "name":
        return 'The first column must be "name".'
    unknown = [column_id for column_id in header[1:] if board.column(column_id) is None]
    if unknown:
        return f"The board has no column {unknown[0]!r}."
    if len(set(header)) < len(header):
        return "A column is named twice."
    relations = [c for c in header[1:] if (found := board.column(c)) and found.type == "board_relation"]
    return f"At most {RELATION_COLUMNS} relation columns." if len(relations) > RELATION_COLUMNS else ""


# What a job does with its file: check every row, then make, update or skip items, and write the
# report.


STEP = 250  # rows a transaction: between two of them others get their turn
REPORT_COLUMNS = ("import_status", "import_item_id", "import_error")


class Rejected(Exception):
    """The file as a whole is not taken; `reason` is one of Monday's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class Row:
    """A line of the file with what becomes of it."""

    cells: list[str]
    name: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    cleared: list[str] = field(default_factory=list)
    key: str = ""
    outcome: str = ""
    item_id: int | None = None
    error: str = ""

    def settle(self, outcome: str, item_id: int | None = None, error: str = "") -> None:
        self.outcome, self.item_id, self.error = outcome, item_id, error


def worker(world: World) -> Any:
    """What a job's thread runs."""

    def work(jobs: IngestJobs, job: IngestJob, content: bytes) -> None:
        jobs.is_held("upload")
        if job.is_finished:
            return
        job.state = "PROCESSING"
        try:
            _Import(world, jobs, job).run(content)
        except Rejected as refused:
            job.end("REJECTED", refused.reason, str(refused))
        except FieldError as gone:  # the board was archived or deleted meanwhile
            job.end("FAILED", "PERMISSION_DENIED", str(gone))

    return work


class _Import:
    def __init__(self, world: World, jobs: IngestJobs, job: IngestJob) -> None:
        self.world, self.jobs, self.job = world, jobs, job
        self.failure = ""

    def run(self, content: bytes) -> None:
        header, rows = self._read(content)
        self.job.rows = self.job.counts["submitted"] = len(rows)
        with self.world.read_lock():
            board = self.world.active_board(self.job.board_id)
            for row in rows:
                _check(self.world, board, header, row, self.job.match)
            if self.job.match is not None:
                self._plan(board, rows, self.job.match)
            creates = sum(not row.outcome and row.item_id is None for row in rows)
            if self.world.active_count(board.id) + creates > board.items_limit:
                raise Rejected("BOARD_CAPACITY_EXCEEDED", f"The board holds {board.items_limit} items at most.")
        todo = [row for row in rows if not row.outcome]
        if not self.jobs.reserve(len(todo)):
            raise Rejected("ACCOUNT_CAPACITY_EXCEEDED", "This hour's 19,000 imported items are used up.")
        self._count(rows)
        self._carry_out(todo)
        self.jobs.release(len(todo) - self.job.counts["created"] - self.job.counts["updated"])
        # What Monday's report looks like is not published; this one is the file with three more columns.
        report = io.StringIO(newline="")
        writer = csv.writer(report)
        writer.writerow([*header, *REPORT_COLUMNS])
        writer.writerows([*row.cells, row.outcome, row.item_id or "", row.error] for row in rows)
        self.job.report = report.getvalue().encode()
        if not self.job.is_finished:
            self.job.end(*(("FAILED", self.failure, "The import failed.") if self.failure else ("COMPLETED",)))

    def _read(self, content: bytes) -> tuple[list[str], list[Row]]:
        try:
            lines = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error):
            raise Rejected("INVALID_UPLOAD", "The file is not CSV in UTF-8.") from None
        header, rows = (lines[0], lines[1:]) if lines else ([], [])
        trouble = header_problem(self.world.active_board(self.job.board_id), header)
        most = ROWS[self.job.kind]
        if not trouble and not 0 < len(rows) <= most:
            trouble = f"The file has {len(rows):,} rows; 1 to {most:,} are taken."
        if not trouble and any(len(row) != len(header) for row in rows):
            trouble = "A row has another number of cells than the header."
        if trouble:
            raise Rejected("INVALID_UPLOAD", trouble)
        return header, [Row(cells) for cells in rows]

    def _plan(self, board: Board, rows: Sequence[Row], match: Match) -> None:
        """A row's hit is the item made last with its match value, and is updated or skipped; of several rows with
        one value the last one wins."""
        hits: dict[str, Item] = {}
        for item in sorted(self.world.items_of(board.id), key=lambda one: (one.created_at, one.id)):
            if key := _key_of(board, item.name, {match.column_id: item.raw(match.column_id)}, match):
                hits[key] = item
        seen: set[str] = set()
        for row in reversed(rows):
            if row.outcome or not row.key:
                continue
            hit = hits.get(row.key)
            if row.key in seen:
                row.settle("skipped")
            elif hit is not None and not match.update:
                row.settle("skipped", hit.id)
            elif hit is not None:
                row.item_id = hit.id
            seen.add(row.key)

    def _count(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.outcome:
                self.job.counts[row.outcome] += 1
                self.job.settled += 1

    def _carry_out(self, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), STEP):
            self.jobs.is_held("processing")
            if self.job.is_finished:
                break
            step, play = rows[start : start + STEP], self.jobs.play
            if play.fail and self.job.settled >= play.fail_after:
                self.failure = play.fail
                break
            time.sleep(play.row_ms * len(step) / 1000)
            with self.world.transaction():
                board = self.world.active_board(self.job.board_id)
                creates, updates = [row for row in step if row.item_id is None], [row for row in step if row.item_id]
                for row in creates:
                    self._create(board, row)
                for row in updates:
                    values = {"name": row.name} | row.values | dict.fromkeys(row.cleared)
                    try:
                        item_changes.change_values(self.world, self.job.user_id, self.world.item(row.item_id), values)
                    except FieldError as refused:
                        row.settle("failed", row.item_id, str(refused))
                    else:
                        row.settle("updated", row.item_id)
            self._count(step)
        for row in rows:
            if not row.outcome:
                row.settle("failed", error="The import ended before this row.")
                self._count([row])

    def _create(self, board: Board, row: Row) -> None:
        group, user = board.group(self.job.group_id) or board.visible_groups()[0], self.job.user_id
        try:
            with parsed_values(self.world, board, row.values, create_labels=False) as parsed:
                if self.job.kind == "ingest":
                    item = item_changes.place_item(self.world, user, board, group, row.name, parsed)
                else:  # backfill_items works without side effects: no activity log, no automations, no webhooks
                    stamp, item_id = self.world.clock.stamp(), self.world.next_id("item")
                    item = Item(item_id, board.id, group.id, row.name, float(item_id), stamp, stamp, user, user)
                    item.cells = {key: Cell(raw, stamp) for key, raw in parsed.items() if raw is not None}
                    self.world.put_items([item])
        except FieldError as refused:  # the board has changed since the rows were checked
            row.settle("failed", error=str(refused))
        else:
            row.settle("created", item.id)


def _check(world: World, board: Board, header: list[str], row: Row, match: Match | None) -> None:
    """Read a row's cells; one that can't be taken makes the row invalid."""
    cells = dict(zip(header, row.cells, strict=True))
    row.name = cells.pop("name")
    try:
        operations_cells.check_name(row.name)
        for column_id, text in cells.items():
            column = board.column(column_id)
            if column is None:
                continue
            value = value_of(world, column, text)
            if value is not None:
                row.values[column_id] = value
            elif text == NULL:
                row.cleared.append(column_id)
        with parsed_values(world, board, row.values, create_labels=False) as parsed:
            check_size(None, parsed)
            row.key = _key_of(board, row.name, parsed, match)
    except FieldError as refused:
        row.settle("invalid", error=str(refused))


def _key_of(board: Board, name: str, raws: dict[str, Any], match: Match | None) -> str:
    """What the row or item is matched by; an empty text matches nothing."""
    if match is None:
        return ""
    if match.column_id == "name":
        return name
    column, raw = board.column(match.column_id), raws.get(match.column_id)
    if column is None or raw is None:
        return ""
    if column.type in ("email", "link"):
        return str(raw.get("email") or raw.get("url") or "").strip().casefold()
    return kind_of(column.type).text(column, raw).strip().casefold()
