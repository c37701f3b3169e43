#!/usr/bin/env python
"""Django's command line."""

import os
import sys
from importlib.util import find_spec


def main() -> None:
    """Run a management command; without a database to talk to, or the packages, say so and how to get them."""
    if find_spec("django") is None:
        typed = " ".join(["manage.py", *sys.argv[1:]])
        sys.exit(
            f"{sys.executable} hasn't the packages of NPD Sync. Type: .venv/bin/python {typed}\n"
            "`make run` and `make setup` make .venv; on a server, use the environment of requirements.txt."
        )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    from config.environment import unreachable_message

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    except OperationalError as error:
        sentence = unreachable_message(error)
        if not sentence:
            raise
        sys.exit(sentence)


if __name__ == "__main__":
    main()
