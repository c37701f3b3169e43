"""What the product says to Monday, and what it leaves behind, is as recorded: by a few of the golden scripts.

All of them take minutes (`python -m tests.chaos.golden compare`). These are short, and have deaths of workers and two
at once among them. None is one in which the account is stopped by an error or a limit, as seed-01 and seed-25: whether
its five seconds are over at the next step is up to the real clock, and on a busy machine they are.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.chaos.golden import RECORDED
from tests.support.servers import ROOT

QUICK = ["seed-12", "seed-14", "seed-17"]


@pytest.mark.hostile
@pytest.mark.slow
def test_what_is_said_to_monday_and_what_is_left_is_as_recorded() -> None:
    # It is a run of its own: of this one it is to know nothing.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "tests.chaos.golden", "compare", str(RECORDED), *QUICK]
    played = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert played.returncode == 0, played.stdout
