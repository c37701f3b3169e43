"""The process that reads one file, CSV itself and XLSX by xlsx_files.

It is `python -m npd.imports.files.child MEMORY_MB SECONDS`.

Its input is a line of JSON (`encoding`, `titles`) and the file; its answer is lines of JSON: how the file is
read, its rows, the titles first, and an end; or why it is refused. No pickle: the process that answers has
read a hostile file. No Django, no secret.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import resource
import signal
import sys
from collections.abc import Collection, Iterator
from typing import Any, TextIO

from npd.imports.files.reader import MAX_CELL, FileRow, ImportFileError, plain_title, unescape_formula, within_limits

SEPARATORS = (",", ";", "\t", "|")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_csv(content: bytes, encoding: str, titles: Collection[str]) -> tuple[dict[str, str], Iterator[FileRow]]:
    """Return how a CSV file was read, and its rows; raises ImportFileError. `titles`: known ones, plain."""
    text, used = _decode(content, encoding)
    if "\0" in text:
        raise ImportFileError("nul_bytes")

    def known_columns(separator: str) -> tuple[int, int]:
        # How many columns of the first row are known, and how many there are.
        try:
            first = next((row for row in csv.reader(io.StringIO(text[:MAX_CELL]), delimiter=separator) if row), [])
        except csv.Error:
            first = []
        return sum(plain_title(title) in titles for title in first), len(first)

    separator = max(SEPARATORS, key=known_columns)
    return {"kind": "csv", "encoding": used, "separator": separator}, _parse_rows(text, separator)


def _decode(content: bytes, encoding: str) -> tuple[str, str]:
    """Return the text and its encoding: without a BOM UTF-8 where it can be, else what Excel writes."""
    marked_encoding = next((codec for mark, codec in _MARKS if content.startswith(mark)), "")
    encodings = [marked_encoding or encoding]
    if not encodings[0]:
        encodings = ["utf-8", "cp1252"]
        # UTF-16 is recognised by its NUL bytes: every other byte of a text in Latin letters is one.
        head = content[:2000]
        if head[1::2].count(0) * 3 > len(head):
            encodings.insert(0, "utf-16-le")
        elif head[::2].count(0) * 3 > len(head):
            encodings.insert(0, "utf-16-be")
    for codec in encodings:
        try:
            return content.decode(codec).removeprefix("\ufeff"), codec
        except (UnicodeDecodeError, LookupError):
            continue
    raise ImportFileError("wrong_encoding", encoding=encodings[-1])


def _parse_rows(text: str, separator: str) -> Iterator[FileRow]:
    # Above MAX_CELL: what is too long is refused by `within_limits`, which names the row and the limit.
    csv.field_size_limit(10 * MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ImportFileError("bad_csv", row=number, why=str(error)) from error
        if cells is None:
            return
        yield FileRow(number, [unescape_formula(cell.strip()) for cell in cells])


# The process's entry: limits itself, reads, answers.


XLSX = b"PK\x03\x04"


def main() -> None:
    """Limit this process, read, answer."""
    memory, seconds = int(sys.argv[1]) * 1024 * 1024, int(sys.argv[2])
    with contextlib.suppress(ValueError, OSError):  # macOS has no limit of memory, and says so
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # The soft limit ends it by SIGXCPU, from which the reader knows that it took too long.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    for forbidden in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):  # no files and no core dumps
        resource.setrlimit(forbidden, (0, 0))
    signal.alarm(seconds + 5)  # where the worker that would end it has died
    output = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace", newline="\n")
    request = json.loads(sys.stdin.buffer.readline())
    try:
        content = sys.stdin.buffer.read()
        if content.startswith(XLSX):
            from npd.imports.files.xlsx_files import read_xlsx

            reading, rows = read_xlsx(content)
        else:
            reading, rows = read_csv(content, request["encoding"], set(request["titles"]))
        _write_message(output, {"how": reading})
        for row in within_limits(rows):
            _write_message(output, [row.number, row.cells, row.problems])
        _write_message(output, {"end": True})
        output.flush()
    except ImportFileError as error:
        _write_message(output, {"refused": error.code, "facts": error.facts})
    except MemoryError:
        _write_message(output, {"refused": "too_much_memory", "facts": {}})


def _write_message(output: TextIO, message: Any) -> None:
    output.write(json.dumps(message, ensure_ascii=False))
    output.write("\n")


if __name__ == "__main__":
    main()
