"""What an allowance of 200, 1,000, 10,000 and 25,000 calls a day carries: simulated days of the product's own pacing.

    python -m bench.allowance [--days 200 1000 …] [--seed 1]

A company of 40 people with 5,000 contacts and 1,500 organizations (bench/office.py) edits on both sides; the
budget, the pacing and the timing of sweeps and comparisons are the product's (bench/workday.py). The same
seed gives the same figures on any machine. The waits are those of pacing; a look itself takes half a second more.
Gates: no day spends more than its allowance, and from 1,000 calls on every edit is carried the same day.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.ground import ROOT, ground
from bench.latency import percentile
from bench.office import BUSY_DAY, HEAVY, IMPORT, QUIET, USUAL, Pattern
from bench.table import Row, publish

NOWHERE = "http://127.0.0.1:9"
DAYS = {
    200: (QUIET, USUAL, BUSY_DAY, IMPORT),
    1_000: (QUIET, USUAL, BUSY_DAY, IMPORT),
    10_000: (USUAL, HEAVY, IMPORT),
    25_000: (USUAL, HEAVY, IMPORT),
}
"""Calls a day, and the days that are played under them: such as tell them apart."""
MINUTE = {200: 1_000, 1_000: 1_000, 10_000: 2_500, 25_000: 5_000}
POINTS = {200: 1_000_000}  # the free plan's; of the others 10,000,000
USUAL_POINTS = 10_000_000
CARRIES_ALL = 1_000
SEED = 1
KINDS = ("edits", "sweeps", "comparisons", "account")


@dataclass(frozen=True)
class Played:
    """One pattern under one allowance."""

    allowance: int
    pattern: Pattern
    edits: int
    waits: Sequence[float]
    calls: dict[str, int]
    turned_away: dict[str, int]

    @property
    def spent(self) -> int:
        """Calls of the day."""
        return sum(self.calls.values())


def play(allowance: int, pattern: Pattern, seed: int) -> Played:
    """Simulate a day."""
    from bench.workday import Allowance, Workday

    limits = Allowance(allowance, MINUTE[allowance], POINTS.get(allowance, USUAL_POINTS))
    result = Workday(pattern.day(seed), limits).run()
    calls = {kind: result.calls[kind] for kind in KINDS}
    return Played(allowance, pattern, result.edits, sorted(result.waits), calls, dict(result.turned_away))


def lines(played: Sequence[Played]) -> list[str]:
    """The figures as a table for a page, which reads in a terminal too."""
    head = "| calls a day | edits of the day | synced by midnight | wait p95 | calls spent | had no room |"
    return [head, "|" + "---|" * 6, *map(_line, played)]


def _line(one: Played) -> str:
    wait = words(percentile(one.waits, 0.95)) if one.waits else "–"
    away = ", ".join(f"{number} {kind}" for kind, number in one.turned_away.items()) or "–"
    done = f"{len(one.waits):,} of {one.edits:,}"
    cells = [f"{one.allowance:,}", one.pattern.name, done, wait, f"{one.spent:,}", away]
    return "| " + " | ".join(cells) + " |"


def words(seconds: float) -> str:
    """A wait, short."""
    if seconds < 1:
        return "none"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def rows(played: Sequence[Played]) -> list[Row]:
    """The gates."""
    over = [one for one in played if one.spent > one.allowance]
    left = [one for one in played if one.allowance >= CARRIES_ALL and len(one.waits) < one.edits]
    late = sum(one.edits - len(one.waits) for one in left)
    return [
        Row(f"{len(played)} simulated days: over the quota", "0", f"{len(over)}", not over),
        Row(f"… edits left at midnight, from {CARRIES_ALL:,} calls a day", "0", f"{late:,}", not left),
    ]


def measure(days: Sequence[int], seed: int) -> list[Played]:
    """Play the days of each allowance, two allowances at a time, each with a database of its own."""
    with ThreadPoolExecutor(2) as pool:
        return [one for played in pool.map(lambda day: _in_a_process(day, seed), days) for one in played]


def _in_a_process(day: int, seed: int) -> list[Played]:
    command = [sys.executable, "-m", "bench.allowance", "--child", str(day), "--seed", str(seed)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return [
        Played(**{**told, "pattern": pattern}) for told, pattern in zip(json.loads(ran.stdout), DAYS[day], strict=True)
    ]


def child(day: int, seed: int) -> int:
    """In the process of its own: play, and print the figures as JSON."""
    with ground(fast=True, SITE_URL=NOWHERE, LOG_LEVEL="ERROR"):
        played = [play(day, pattern, seed) for pattern in DAYS[day]]
    print(json.dumps([{**vars(one), "pattern": ""} for one in played]))
    return 0


def main() -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.allowance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, nargs="+", choices=DAYS, default=list(DAYS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--child", type=int, choices=DAYS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return child(asked.child, asked.seed)
    played = measure(asked.days, asked.seed)
    page = lines(played)
    print("\n".join(page))
    return publish(rows(played), page=page)


if __name__ == "__main__":
    raise SystemExit(main())
