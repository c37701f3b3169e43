"""The results of a bench, as rows of one table: figure, target, measured value, and whether the target was met.

A bench ends with `return publish([...])`, which prints its rows and stores them for `make bench`. Gates are ratios and
counts, which hold on any machine. Goals (milliseconds, megabytes) are for two idle cores, and missing them fails
nothing.
"""

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# The variable with the file into which a bench stores its rows for `make bench`, as JSON.
ROWS_FILE = "BENCH_ROWS"


@dataclass(frozen=True)
class Row:
    figure: str
    target: str
    measured: str
    is_met: bool
    gate: bool = True  # whether missing the target fails the bench

    @property
    def verdict(self) -> str:
        if self.is_met:
            return "held"
        return "MISSED" if self.gate else "goal missed"


def options_of(name: str, text: str | None, **defaults: float) -> argparse.Namespace:
    """Parse a bench's command line: an option for each of these numbers."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=(text or "").splitlines()[0])
    for option, default in defaults.items():
        parser.add_argument(f"--{option}", type=type(default), default=default)
    return parser.parse_args()


def publish(rows: Sequence[Row]) -> int:
    """Print the rows, store them for `make bench`, and return the exit status."""
    print("\n".join(text_table(rows)), flush=True)
    if path := os.environ.get(ROWS_FILE):
        Path(path).write_text(json.dumps([asdict(row) for row in rows]))
    return status(rows)


def status(rows: Iterable[Row]) -> int:
    return int(any(row.gate and not row.is_met for row in rows))


def text_table(rows: Sequence[Row]) -> list[str]:
    cells = [("figure", "target", "measured", "")]
    cells += [(row.figure, row.target, row.measured, row.verdict) for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(4)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
