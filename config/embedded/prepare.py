"""What a run needs before it is ready, step by step in one process, because Django's start takes a second
each time.

Each line of its input names a step, and after each it reports the end; so web can be started between two.
"""

import os
import sys
from collections.abc import Callable

import django

DONE = "\x04"  # the line after a step


def database() -> None:
    """Migrate, and create the user `admin` with the password in ADMIN_PASSWORD unless there is one."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    users = get_user_model().objects
    if not users.filter(username="admin").exists():
        users.create_superuser("admin", "admin@example.com", os.environ["ADMIN_PASSWORD"])


def demo() -> None:
    """Create the missing sample data; needs the sandbox, and web for its webhooks."""
    from django.core.management import call_command

    call_command("demo")


def tour() -> None:
    """Print what to try, with links."""
    from django.core.management import call_command

    call_command("demo", tour=True)


STEPS: dict[str, Callable[[], None]] = {"database": database, "demo": demo, "tour": tour}


def main() -> int:
    """Do the steps on the input until it ends; 1 with a sentence when a step can't be done."""
    from django.core.management import CommandError

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    try:
        for line in sys.stdin:
            STEPS[line.strip()]()
            print(DONE, flush=True)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
