"""`python -m tests.chaos.golden record|compare [DIR] [NAME …]`: see the package."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.golden import RECORDED, scripts
from tests.support.servers import FOLDER, ROOT

LONGEST, WIDEST = 60, 400
"""Lines of a difference that are shown, and how much of each."""
USAGE = "python -m tests.chaos.golden record|compare [DIR] [NAME …]"


def main(given: list[str]) -> int:
    """Play, then write or compare."""
    if not given or given[0] not in ("record", "compare"):
        print(f"Usage: {USAGE}", file=sys.stderr)
        return 2
    recorded = Path(given[1]).resolve() if len(given) > 1 else RECORDED
    names = given[2:] or list(scripts())
    unknown = set(names) - set(scripts())
    if unknown:
        print(f"There is no script {', '.join(sorted(unknown))}: {', '.join(scripts())}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    played = Path(tempfile.mkdtemp(prefix="golden-", dir=FOLDER))
    code = _play(played, names)
    if given[0] == "record":
        recorded.mkdir(parents=True, exist_ok=True)
        # In the repository the hashes are enough; what they stand for is wanted where somebody looks for a cause.
        kinds = ("txt",) if recorded == RECORDED else ("txt", "whole")
        for path in (path for name in names for kind in kinds for path in played.glob(f"{name}.{kind}")):
            shutil.copyfile(path, recorded / path.name)
        differ = []
    else:
        differ = [name for name in names if _differs(recorded, played, name)]
        other = f"; not {', '.join(differ)}" if differ else ""
        print(f"{len(names) - len(differ)} of {len(names)} are as recorded{other}")
    if differ:
        print(f"What was played is in {played}.")
    else:
        shutil.rmtree(played)
    return code or int(bool(differ))


def _play(folder: Path, names: list[str]) -> int:
    """In one process, on servers of its own, and with sets that have the same order in each run."""
    told = {"GOLDEN_FOLDER": str(folder), "GOLDEN_NAMES": " ".join(names), "PYTHONHASHSEED": "0", "TEST_SERVERS": ""}
    options = ["-q", "--tb=short", "--show-capture=no", "-n", "0", "-p", "no:randomly"]
    command = [sys.executable, "-m", "pytest", "tests/chaos/golden/play.py", *options]
    return subprocess.run(command, env=os.environ | told, cwd=ROOT, check=False).returncode


def _differs(recorded: Path, played: Path, name: str) -> bool:
    """Say how, with whole documents and rows where the recording has them too."""
    if _lines(recorded / f"{name}.txt") == _lines(played / f"{name}.txt") != []:
        return False
    kind = "whole" if (recorded / f"{name}.whole").exists() else "txt"
    before, now = (_lines(folder / f"{name}.{kind}") for folder in (recorded, played))
    shown = list(difflib.unified_diff(before, now, f"{name} as recorded", "now", lineterm="", n=1))
    print("\n".join(line[:WIDEST] for line in shown[:LONGEST]))
    if len(shown) > LONGEST:
        print(f"… and {len(shown) - LONGEST} lines more")
    return True


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
