"""Every bench, and one table of what they found: `make bench`.

    python -m bench [NAME …] [--markdown] [--show]

Each runs in a process of its own, one after another. With --markdown what each found is written
into docs/performance.md, so that a figure there comes from this command. Exit 1 when a gate is missed or a
bench did not end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.ground import ROOT
from bench.page import write
from bench.surroundings import surroundings
from bench.table import HANDED_TO, Handed, Row, handed, status, text_table, warn

PAGE = ROOT / "docs" / "performance.md"
BENCHES: Mapping[str, Sequence[str]] = {
    "calls": ["bench.calls"],
    "first-load": ["bench.first_load"],
    "limits": ["bench.limits", "--naive", "1000"],
    "saves": ["bench.saves"],
    "claims": ["bench.claims"],
    "latency": ["bench.latency", "--broker", "redis"],
    "latency-embedded": ["bench.latency", "--broker", "embedded"],
    "webhooks": ["bench.webhooks"],
    "takeover": ["bench.takeover"],
    "memory": ["bench.memory"],
    "sandbox": ["bench.sandbox"],
    "allowance": ["bench.allowance"],
    "lists": ["bench.lists"],
    "pages": ["bench.pages"],
    "api": ["bench.api"],
}


def run(name: str, folder: Path, *, show: bool) -> Handed:
    """Run one bench; one that ends without figures is a figure that is missed, and its last lines are shown."""
    path, begun = folder / f"{name}.json", time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", *BENCHES[name]],
        cwd=ROOT,
        env={**os.environ, HANDED_TO: str(path)},
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        check=False,
    )
    warn(f"{name}: {time.monotonic() - begun:.0f} s")
    found = handed(path)
    if found.rows:
        return found
    warn("\n".join((ran.stdout or "").splitlines()[-15:]))
    return Handed([Row(f"bench.{name}", "figures", f"ended with {ran.returncode} and without any", False)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, print the table, write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--markdown", action="store_true", help="also write docs/performance.md")
    parser.add_argument("--show", action="store_true", help="show what each bench itself prints")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    on, names = surroundings(), [name for name in BENCHES if name in asked.names or not asked.names]
    print(f"Measured on {on}", flush=True)
    with tempfile.TemporaryDirectory(prefix="npd-bench-") as folder:
        found = {name: run(name, Path(folder), show=asked.show) for name in names}
    rows = [row for one in found.values() for row in one.rows]
    print("\n".join(text_table(rows)))
    if asked.markdown:
        print(write(PAGE, found, on.partition(":")[0]))
    return status(rows)


if __name__ == "__main__":
    raise SystemExit(main())
