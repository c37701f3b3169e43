"""A file that a person uploads, as a bounded table of texts, read by a child process without Django or secrets.

`check_file` refuses what obviously is no such file, `read_table` reads. What is wrong with a file is a code
(ImportFileError); its sentence is in messages.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

Fact = str | int


class ImportFileError(ValueError):
    """The file can't be read, or names nothing to import: `code` says why, `facts` fill its sentence."""

    def __init__(self, code: str, **facts: Fact) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


# A file as rows of text, whatever its format, and how large it may be.


MAX_BYTES = 10_000_000
MAX_ROWS = 50_000

MAX_LINES = 4 * MAX_ROWS
"""Rows that are read, the blank ones too."""

MAX_COLUMNS = 200

MAX_CELL = 100_000
"""Characters of one cell; the longest field of a record is far shorter."""

MAX_TITLE = 1_000
"""Characters of one title: every page of the import shows them all."""

MAX_CELLS = 2_000_000
"""Cells that are read, the empty ones between others too."""

MAX_TEXT = 20_000_000
"""Characters in all cells together: in an XLSX file many cells may share one string."""

FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")

FORMULA = "formula"
"""Marks in `FileRow.problems` a formula without a stored result; else the error that the cell shows."""


@dataclass(frozen=True)
class FileRow:
    """One row: its number in the spreadsheet, its cells, and what is wrong with them, by position."""

    number: int
    cells: Sequence[str]
    problems: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileTable:
    """The titles of the columns, the rows below them, and how the file was read ({kind, and sheet or encoding
    …}).
    """

    titles: Sequence[str]
    rows: Sequence[FileRow]
    reading: dict[str, str]


def plain_title(title: str) -> str:
    """Return a title without what makes no difference: case, white space, signs."""
    return "".join(c for c in unicodedata.normalize("NFKC", title).casefold() if c.isalnum())


def within_limits(rows: Iterable[FileRow]) -> Iterator[FileRow]:
    """Yield the rows that aren't empty, the titles first; raises ImportFileError past the limits."""
    text = cells = filled = 0
    for lines, row in enumerate(rows, start=1):
        cells += len(row.cells)
        text += sum(map(len, row.cells))
        if len(row.cells) > MAX_COLUMNS:
            raise ImportFileError("too_many_columns", row=row.number, most=MAX_COLUMNS)
        longest = MAX_CELL if filled else MAX_TITLE
        if any(len(cell) > longest for cell in row.cells):
            raise ImportFileError("long_cell", row=row.number, most=longest)
        if lines > MAX_LINES:
            raise ImportFileError("too_many_lines", most=MAX_LINES)
        if cells > MAX_CELLS:
            raise ImportFileError("too_many_cells", most=MAX_CELLS)
        if text > MAX_TEXT:
            raise ImportFileError("too_much_text", most=MAX_TEXT)
        if any(row.cells) or row.problems:
            filled += 1
            if filled > MAX_ROWS + 1:
                raise ImportFileError("too_many_rows", most=MAX_ROWS)
            yield row
    if filled < 2:
        raise ImportFileError("no_rows")


# Reading a file in a child process, with limited time and memory, and a bounded answer.


CHILD_MODULE = "npd.imports.file_reader"
ROOT = Path(__file__).resolve().parents[2]

READER_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables that an interpreter may need to start; others may be secrets, and reading needs none."""

MAX_ANSWER_BYTES = 4 * MAX_TEXT + 8 * MAX_CELLS
"""Bytes of an answer: each character four times, and the signs around each cell."""

TICK_SECONDS = 0.5
TIMEOUT_SIGNALS = (signal.SIGXCPU, signal.SIGALRM)
_reader_lock = threading.Lock()


@dataclass(frozen=True)
class ReadLimits:
    """What reading one file may cost: seconds of the clock and of the processor, and memory."""

    seconds: float
    memory_mb: int


class ReaderDied(Exception):
    """The child ended without an answer, by no known fault of the file: killed from outside, perhaps."""


def check_file(name: str, content: bytes) -> None:
    """Refuse, without reading, what can't be a CSV or XLSX file; raises ImportFileError."""
    if len(content) > MAX_BYTES:
        raise ImportFileError("too_large", most=MAX_BYTES // 1_000_000)
    if not content.strip():
        raise ImportFileError("empty")
    suffix = PurePath(name).suffix.lower()
    is_spreadsheet = suffix in (".xls", ".xlsx", ".xlsm", ".ods", ".numbers") or content.startswith(b"\xd0\xcf\x11\xe0")
    if is_spreadsheet and not content.startswith(b"PK\x03\x04"):
        raise ImportFileError("no_spreadsheet")


def read_table(
    content: bytes, *, titles: Collection[str], limits: ReadLimits, encoding: str = "", on_rows: Callable[[int], None]
) -> FileTable:
    """Return a file's content; raises ImportFileError, or ReaderDied.

    `titles` are the known ones, in their plain form; without `encoding` that of a CSV file is detected.
    `on_rows` gets at least each second how many rows are read; what it raises ends the reading.
    """
    header = json.dumps({"encoding": encoding, "titles": sorted(titles)}).encode()
    with _reader_lock, _child_process(limits, header + b"\n" + content) as process:
        reading: dict[str, str] = {}
        rows: list[FileRow] = []
        for line in _answer_lines(process, limits, on_rows):
            message = json.loads(line)
            if isinstance(message, list):
                number, cells, broken = message
                rows.append(FileRow(int(number), cells, {int(at): what for at, what in broken.items()}))
            elif "refused" in message:
                raise ImportFileError(message["refused"], **message["facts"])
            elif "how" in message:
                reading = message["how"]
            else:
                return FileTable(rows[0].cells, rows[1:], reading)
        exit_code = process.wait()
    if -exit_code in TIMEOUT_SIGNALS:
        raise ImportFileError("took_too_long", seconds=round(limits.seconds))
    if -exit_code == signal.SIGABRT:  # how Rust ends where there is no memory
        raise ImportFileError("too_much_memory")
    raise ReaderDied(f"it ended with {exit_code}")


@contextlib.contextmanager
def _child_process(limits: ReadLimits, input_bytes: bytes) -> Iterator[subprocess.Popen[bytes]]:
    # However the block ends, the child is ended with it.
    seconds = max(1, round(limits.seconds))
    try:
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-m", CHILD_MODULE, str(limits.memory_mb), str(seconds)],
            cwd=ROOT,
            env={name: os.environ[name] for name in READER_VARIABLES if name in os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise ReaderDied(f"it could not be started: {error.strerror}") from error

    def feed() -> None:
        assert process.stdin is not None
        # A reader that has ended takes no more; why it ended, its exit code says.
        with contextlib.suppress(OSError), process.stdin as pipe:
            pipe.write(input_bytes)

    # By a thread: while this one waited for a child that doesn't read, no limit would hold.
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield process
    finally:
        process.kill()
        feeder.join()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _answer_lines(
    process: subprocess.Popen[bytes], limits: ReadLimits, on_rows: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield the lines of the child's answer, as they come; raises ImportFileError past the limits."""
    assert process.stdout is not None
    deadline, remaining, line_count = time.monotonic() + limits.seconds, MAX_ANSWER_BYTES, 0
    partial: list[bytes] = []
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while True:
            on_rows(max(0, line_count - 2))
            if time.monotonic() > deadline:
                raise ImportFileError("took_too_long", seconds=round(limits.seconds))
            if not ready.select(TICK_SECONDS):
                continue
            # Not process.stdout.read, which waits until so many bytes are there.
            if not (chunk := os.read(process.stdout.fileno(), 1 << 20)):
                return
            if (remaining := remaining - len(chunk)) < 0:
                raise ImportFileError("too_much_text", most=MAX_TEXT)
            partial.append(chunk)
            if b"\n" in chunk:
                *lines, rest = b"".join(partial).split(b"\n")
                partial, line_count = [rest], line_count + len(lines)
                yield from lines


def unescape_formula(cell: str) -> str:
    """Return a cell without the apostrophe that an export (`escape_formula`), or a spreadsheet, put before it."""
    is_escaped = cell[:1] == "'" and cell.lstrip("' \u00a0\u200b\ufeff")[:1] in FORMULA_SIGNS
    return cell[1:].lstrip() if is_escaped else cell
