"""What a bench found, as rows of one table: figure, target, measured, and whether it held.

A bench module ends with `return publish([...])`: its rows are printed, and handed to `make bench` where that runs it.
Gates are ratios and counts, which hold on any machine; a goal (milliseconds, megabytes) is for two idle cores, and
one that is missed is shown and fails nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HANDED_TO = "BENCH_ROWS"
"""The variable that names the file into which `make bench` wants the rows, as JSON."""


@dataclass(frozen=True)
class Row:
    """One figure; `gate` where missing it fails the bench."""

    figure: str
    target: str
    measured: str
    held: bool
    gate: bool = True

    @property
    def verdict(self) -> str:
        """The last column."""
        if self.held:
            return "held"
        return "MISSED" if self.gate else "goal missed"


@dataclass(frozen=True)
class Handed:
    """What a bench handed on: its rows, and lines that belong on the page beside them."""

    rows: Sequence[Row] = ()
    page: Sequence[str] = ()


def publish(rows: Sequence[Row], *, page: Sequence[str] = ()) -> int:
    """Print the rows, then as `hand_on`."""
    print("\n".join(text_table(rows)), flush=True)
    return hand_on(rows, page=page)


def hand_on(rows: Sequence[Row], *, page: Sequence[str] = ()) -> int:
    """Hand the rows to `make bench` where it runs this, with lines for the page; return the exit status."""
    if path := os.environ.get(HANDED_TO):
        Path(path).write_text(json.dumps({"rows": [asdict(row) for row in rows], "page": list(page)}))
    return status(rows)


def handed(path: Path) -> Handed:
    """What was handed on through this file; nothing where the bench never came so far."""
    if not path.exists():
        return Handed()
    found = json.loads(path.read_text())
    return Handed([Row(**row) for row in found["rows"]], found["page"])


def status(rows: Iterable[Row]) -> int:
    """1 where a gate is missed, else 0."""
    return int(any(row.gate and not row.held for row in rows))


def text_table(rows: Sequence[Row]) -> list[str]:
    """The rows for a terminal, each column as wide as its widest cell."""
    cells = [("figure", "target", "measured", ""), *map(_cells, rows)]
    widths = [max(len(cell[place]) for cell in cells) for place in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)) for cell in cells]
    return [lines[0].rstrip(), "-" * len(lines[0].rstrip()), *(line.rstrip() for line in lines[1:])]


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.figure, row.target, row.measured, row.verdict


def warn(words: str) -> None:
    """Say something beside the table."""
    print(words, file=sys.stderr, flush=True)
