#!/usr/bin/env python
"""Django's command line."""

import os
import sys


def main() -> None:
    """Run a management command; when there is no database to talk to, say so and how to get one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    from config.environment import NO_SERVER, embedded_is_away, unreachable

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    except OperationalError as error:
        sentence = unreachable(error)
        if not sentence:
            raise
        sys.exit(NO_SERVER if embedded_is_away() else sentence)


if __name__ == "__main__":
    main()
