"""`python -m tests.chaos.report [N] [FIRST] [pytest options]`: plays N seeds and adds up what occurred.

Afterwards it makes the first script that failed small.

Ends with 1 when a seed failed, or when something that can happen occurred in no seed: then the seeds prove nothing
about it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from sandbox.faults import fault_from
from tests.chaos import troubles
from tests.chaos.run_names import CONFLICTS, NAMES
from tests.support.servers import FOLDER, ROOT

TOLD = FOLDER / "chaos"


def main() -> int:
    """Play, add up, shrink."""
    numbers = [int(given) for given in sys.argv[1:3]]
    count, first = [*numbers, 200, 1][:2] if len(numbers) != 1 else (numbers[0], 1)
    for old in TOLD.glob("seed-*"):
        old.unlink()
    started = time.monotonic()
    code = _pytest({"CHAOS_SEEDS": str(count), "CHAOS_FIRST": str(first)}, "test_seeds.py", *sys.argv[3:])
    told = [json.loads(path.read_text()) for path in sorted(TOLD.glob("seed-*.json")) if "script" not in path.name]
    missing = _show(told, time.monotonic() - started)
    failed = [one["seed"] for one in told if one["failed"]]
    if failed:
        print(f"\nfailed: seeds {', '.join(map(str, sorted(failed)))}; their stories are in {TOLD}")
        _pytest({"CHAOS_SHRINK": f"seed-{min(failed)}"}, "shrinking.py")
    if len(told) != count:
        print(f"only {len(told)} of {count} seeds told what came of them")
    return int(bool(code or failed or missing or len(told) != count))


def _pytest(variables: dict[str, str], file: str, *options: str) -> int:
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"tests/chaos/{file}",
        "-q",
        "--tb=no",
        "-k",
        "not stays_mended",
        *options,
    ]
    capture = ["-s"] if "shrinking" in file else []
    return subprocess.run([*command, *capture], env=os.environ | variables, cwd=ROOT, check=False).returncode


def _show(told: list[dict[str, Any]], seconds: float) -> list[str]:
    done: Counter[str] = Counter()
    for one in told:
        done.update(one["done"])
    seeds = sorted(one["seed"] for one in told)
    print(f"\n{len(told)} seeds ({seeds[0]} to {seeds[-1]}) in {seconds:.0f} s" if seeds else "no seed was played")
    expected = _expected()
    for name in sorted(expected | set(done)):
        print(f"{done[name]:7,}  {name}")
    missing = sorted(name for name in expected if not done[name])
    if missing:
        print(f"\nnever occurred: {'; '.join(missing)}")
    return missing


def _expected() -> set[str]:
    """Every step, every fault, every rule for webhooks, every kind of conflict."""
    faults = {f"call {fault_from(fault).name()}" for fault in (*troubles.API_FAULTS, *troubles.LISTING_FAULTS)}
    rules = {f"webhook {rule['rule']}" for rule in troubles.WEBHOOK_RULES}
    return faults | rules | set(NAMES) | set(CONFLICTS)


if __name__ == "__main__":
    sys.exit(main())
