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
    from django.db.utils import OperationalError, ProgrammingError

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
    except ProgrammingError as error:
        from sync.kernel.schema import is_unknown_name, schema_problem

        problem = schema_problem() if is_unknown_name(error) else ""
        if not problem:
            raise
        sys.exit(problem)


if __name__ == "__main__":
    main()
