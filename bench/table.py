"""What a bench found, as rows of one table: figure, target, measured, and whether it held.

A bench module ends with `return publish([...])`: its rows are printed, and handed to `make bench` where that runs it.
Gates are ratios and counts, which hold on any machine; a goal (milliseconds, megabytes) is for two idle cores, and
one that is missed is shown and fails nothing.
"""

import json
import os
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


def publish(rows: Sequence[Row]) -> int:
    """Print the rows, hand them to `make bench` where it runs this, and return the exit status."""
    print("\n".join(text_table(rows)), flush=True)
    if path := os.environ.get(HANDED_TO):
        Path(path).write_text(json.dumps([asdict(row) for row in rows]))
    return status(rows)


def handed(path: Path) -> list[Row]:
    """What was handed on through this file; nothing where the bench never came so far."""
    return [Row(**row) for row in json.loads(path.read_text())] if path.exists() else []


def status(rows: Iterable[Row]) -> int:
    """1 where a gate is missed, else 0."""
    return int(any(row.gate and not row.held for row in rows))


def text_table(rows: Sequence[Row]) -> list[str]:
    """The rows for a terminal, each column as wide as its widest cell."""
    cells = [("figure", "target", "measured", "")]
    cells += [(row.figure, row.target, row.measured, row.verdict) for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(4)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
