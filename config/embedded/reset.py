"""`make reset`: an empty folder again, after asking."""

import shutil
import sys

from config import environment
from config.embedded.processes import StartError
from config.embedded.supervisor import only_one

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
        with only_one(var):
            if input(QUESTION).strip().lower() != "yes":
                print("Nothing was deleted.")
                return 1
            shutil.rmtree(var)
    except StartError as error:
        print(error)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was deleted.")
        return 1
    print("Done. `make run` starts anew.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
