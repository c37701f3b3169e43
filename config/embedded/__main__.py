"""`python -m config.embedded` is what `make run` calls, with `reset` what `make reset` does."""

import sys

from config.embedded import supervisor

sys.exit({"": supervisor.main, "prepare": supervisor.prepare, "reset": supervisor.reset}["".join(sys.argv[1:])]())
