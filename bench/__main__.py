"""Every bench, and one table of what they found: `make bench`.

    python -m bench [NAME …]

Each runs in a process of its own, one after another. Exit 1 when a gate is missed or a bench did not end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.ground import ROOT, machine
from bench.table import HANDED_TO, Row, handed, status, text_table

BENCHES = ("calls", "first_load", "latency", "saves", "claims", "takeover", "webhooks", "memory")


def run(name: str, folder: Path) -> list[Row]:
    """Run one bench; one that ends without figures is a figure that is missed."""
    path = folder / f"{name}.json"
    ran = subprocess.run(
        [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, env={**os.environ, HANDED_TO: str(path)}, check=False
    )
    rows = handed(path)
    return rows or [Row(f"bench.{name}", "figures", f"ended with {ran.returncode} and without any", False)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)} (default: all)")
    names = parser.parse_args(arguments).names
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    with tempfile.TemporaryDirectory(prefix="npd-bench-") as folder:
        rows = [row for name in BENCHES if name in names or not names for row in run(name, Path(folder))]
    print(f"\nMeasured on {machine()}")
    print("\n".join(text_table(rows)))
    return status(rows)


if __name__ == "__main__":
    raise SystemExit(main())
