"""What `make` calls by whatever Python the system has: goes on in bootstrap.py once one is new enough.

Python 2.7 must be able to read this file, to say so: no annotations, no f-strings, ASCII only.
"""

import os
import runpy
import subprocess
import sys

OLDEST = (3, 11)
CANDIDATES = ("python3.14", "python3.13", "python3.12", "python3.11")
TOO_OLD = (
    "NPD Sync needs Python 3.11 or newer, and this is %d.%d. "
    "Install one (Debian, Ubuntu: sudo apt install python3.11 python3.11-venv; "
    "macOS: brew install python@3.12), or name one: make run PYTHON=/path/to/python3.12\n"
)

if sys.version_info < OLDEST:
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        for name in CANDIDATES:
            try:
                # A shim of pyenv is there also for versions that are switched off: only running it tells.
                runs = subprocess.call([name, "-c", ""], stderr=nothing) == 0
            except OSError:
                continue
            if runs:
                os.execvp(name, [name] + sys.argv)  # noqa: S606, RUF005
    sys.stderr.write(TOO_OLD % (sys.version_info[0], sys.version_info[1]))
    sys.exit(1)

runpy.run_path(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py"),  # noqa: PTH100, PTH118, PTH120
    run_name="__main__",
)
