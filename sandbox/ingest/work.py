"""What a job does with its file: check every row, then make, update or skip items, and write the report."""

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.columns import kind_of
from sandbox.errors import FieldError
from sandbox.ingest.cells import NULL, header_trouble, value_of
from sandbox.ingest.jobs import ROWS, Job, Jobs, Match
from sandbox.model import Board, Cell, Group, Item
from sandbox.operations import items
from sandbox.operations.cells import check_size, parsing
from sandbox.world import World

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

    def work(jobs: Jobs, job: Job, content: bytes) -> None:
        jobs.held("upload")
        if job.over:
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
    def __init__(self, world: World, jobs: Jobs, job: Job) -> None:
        self.world, self.jobs, self.job = world, jobs, job
        self.failure = ""

    def run(self, content: bytes) -> None:
        header, rows = self._read(content)
        self.job.rows = self.job.counts["submitted"] = len(rows)
        with self.world.reading():
            board = self.world.active_board(self.job.board_id)
            for row in rows:
                _check(self.world, board, header, row, self.job.match)
            hits = _index(board, self.world, self.job.match)
            self._plan(rows, hits)
            creates = sum(not row.outcome and row.item_id is None for row in rows)
            if self.world.active_count(board.id) + creates > board.items_limit:
                raise Rejected(
                    "BOARD_CAPACITY_EXCEEDED", f"The board holds {board.items_limit} items at most."
                )
        todo = [row for row in rows if not row.outcome]
        if not self.jobs.reserve(len(todo)):
            raise Rejected("ACCOUNT_CAPACITY_EXCEEDED", "This hour's 19,000 imported items are used up.")
        self._count(rows)
        self._carry_out(todo)
        self.jobs.release(len(todo) - self.job.counts["created"] - self.job.counts["updated"])
        self._report(header, rows)
        if not self.job.over:
            self.job.end(
                *(("FAILED", self.failure, "The import failed.") if self.failure else ("COMPLETED",))
            )

    def _read(self, content: bytes) -> tuple[list[str], list[Row]]:
        try:
            lines = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error):
            raise Rejected("INVALID_UPLOAD", "The file is not CSV in UTF-8.") from None
        header, rows = (lines[0], lines[1:]) if lines else ([], [])
        trouble = header_trouble(self.world.active_board(self.job.board_id), header)
        most = ROWS[self.job.kind]
        if not trouble and not 0 < len(rows) <= most:
            trouble = f"The file has {len(rows):,} rows; 1 to {most:,} are taken."
        if not trouble and any(len(row) != len(header) for row in rows):
            trouble = "A row has another number of cells than the header."
        if trouble:
            raise Rejected("INVALID_UPLOAD", trouble)
        return header, [Row(cells) for cells in rows]

    def _plan(self, rows: Sequence[Row], hits: dict[str, Item]) -> None:
        """Of several rows with one match value the last one wins; a hit is updated or skipped."""
        match = self.job.match
        if match is None:
            return
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
            self.jobs.held("processing")
            if self.job.over or self._told_to_fail():
                break
            if self.jobs.play.row_ms:
                time.sleep(self.jobs.play.row_ms * len(rows[start : start + STEP]) / 1000)
            with self.world.transaction():
                board = self.world.active_board(self.job.board_id)
                self._make(board, [row for row in rows[start : start + STEP] if row.item_id is None])
                for row in rows[start : start + STEP]:
                    if not row.outcome and row.item_id is not None:
                        self._update(row)
            self._count(rows[start : start + STEP])
        for row in rows:
            if not row.outcome:
                row.settle("failed", error="The import ended before this row.")
                self._count([row])

    def _told_to_fail(self) -> bool:
        play = self.jobs.play
        if not play.fail or self.job.settled < play.fail_after:
            return False
        self.failure = play.fail
        return True

    def _make(self, board: Board, rows: Sequence[Row]) -> None:
        group = board.group(self.job.group_id) or board.visible_groups()[0]
        for row in rows:
            try:
                with parsing(self.world, board, row.values, create_labels=False) as parsed:
                    item = self._place(board, group, row.name, parsed)
            except FieldError as refused:  # the board has changed since the rows were checked
                row.settle("failed", error=str(refused))
            else:
                row.settle("created", item.id)

    def _place(self, board: Board, group: Group, name: str, parsed: dict[str, Any]) -> Item:
        if self.job.kind == "ingest":
            return items.place_item(self.world, self.job.user_id, board, group, name, parsed)
        # backfill_items works without side effects: no activity log, no automations, no webhooks.
        stamp, item_id = self.world.clock.stamp(), self.world.next_id("item")
        user = self.job.user_id
        item = Item(item_id, board.id, group.id, name, float(item_id), stamp, stamp, user, user)
        item.cells = {key: Cell(raw, stamp) for key, raw in parsed.items() if raw is not None}
        self.world.put_items([item])
        return item

    def _update(self, row: Row) -> None:
        values = {"name": row.name} | row.values | dict.fromkeys(row.cleared)
        try:
            items.change_values(self.world, self.job.user_id, self.world.item(row.item_id), values)
        except FieldError as refused:
            row.settle("failed", row.item_id, str(refused))
        else:
            row.settle("updated", row.item_id)

    def _report(self, header: list[str], rows: Sequence[Row]) -> None:
        """What Monday's report looks like is not published; this one is the file with three more columns."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([*header, *REPORT_COLUMNS])
        writer.writerows([*row.cells, row.outcome, row.item_id or "", row.error] for row in rows)
        self.job.report = text.getvalue().encode()


def _check(world: World, board: Board, header: list[str], row: Row, match: Match | None) -> None:
    """Read a row's cells; one that can't be taken makes the row invalid."""
    cells = dict(zip(header, row.cells, strict=True))
    row.name = cells.pop("name")
    try:
        items.check_name(row.name)
        for column_id, text in cells.items():
            column = board.column(column_id)
            if column is None:
                continue
            value = value_of(world, column, text)
            if value is not None:
                row.values[column_id] = value
            elif text == NULL:
                row.cleared.append(column_id)
        with parsing(world, board, row.values, create_labels=False) as parsed:
            check_size(None, parsed)
            row.key = _key_of(board, row.name, parsed, match)
    except FieldError as refused:
        row.settle("invalid", error=str(refused))


def _key_of(board: Board, name: str, raws: dict[str, Any], match: Match | None) -> str:
    """What the row or item is matched by; an empty text matches nothing."""
    if match is None:
        return ""
    return name if match.column_id == "name" else _key(board, match.column_id, raws)


def _key(board: Board, column_id: str, raws: dict[str, Any]) -> str:
    column, raw = board.column(column_id), raws.get(column_id)
    if column is None or raw is None:
        return ""
    if column.type in ("email", "link"):
        return str(raw.get("email") or raw.get("url") or "").strip().casefold()
    return kind_of(column.type).text(column, raw).strip().casefold()


def _index(board: Board, world: World, match: Match | None) -> dict[str, Item]:
    """The board's active items by their match value; of several the one made last."""
    if match is None:
        return {}
    found: dict[str, Item] = {}
    for item in sorted(world.items_of(board.id), key=lambda one: (one.created_at, one.id)):
        if key := _key_of(board, item.name, {match.column_id: item.raw(match.column_id)}, match):
            found[key] = item
    return found
