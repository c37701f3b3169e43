"""Runs all benches, each in its own process, and prints one table: `make bench`.

    python -m bench [NAME …]

Exits with 1 if a gate is missed or a bench fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.servers import ROOT, machine
from bench.table import ROWS_FILE, Row, status, text_table

BENCHES = ("calls", "first_load", "latency", "saves", "claims", "takeover", "webhooks", "memory", "hostile_files")


def run(name: str, folder: Path) -> list[Row]:
    """Run one bench; without rows it counts as a missed gate."""
    path = folder / f"{name}.json"
    bench = subprocess.run(
        [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, env={**os.environ, ROWS_FILE: str(path)}, check=False
    )
    if path.exists():
        return [Row(**row) for row in json.loads(path.read_text())]
    return [Row(f"bench.{name}", "figures", f"ended with {bench.returncode} and without any", False)]


def main(arguments: Sequence[str] | None = None) -> int:
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
