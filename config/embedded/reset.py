"""`make reset`: an empty folder again, after asking."""

import shutil
import sys

from config import environment
from config.embedded import accounts
from config.embedded.processes import StartError
from config.embedded.supervisor import run_lock

QUESTION = (
    "This deletes var/: the embedded database with everything in it, the sandbox's boards, the logs and the "
    "secrets made here.\nType yes to go on: "
)


def main() -> int:
    """Ask, then delete var/; refuses while `make run` is running."""
    var = environment.VAR
    if not var.exists():
        print("There is nothing to reset.")
        return 0
    try:
        with run_lock(var):
            if input(QUESTION).strip().lower() != "yes":
                print("Nothing was deleted.")
                return 1
            if (home := accounts.relocation_of(var / "pg")) is not None:
                shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(var)
    except StartError as error:
        print(error)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was deleted.")
        return 1
    print("Done. `make run` starts again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
