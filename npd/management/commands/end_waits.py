"""manage.py end_waits NAME: lets somebody try again who has typed too many wrong passwords."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from npd.accounts.limits import end_waits


class Command(BaseCommand):
    """End the wait after failed sign-ins."""

    help = "Ends the wait after failed sign-ins, of a user from everywhere, or of an address."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("of", metavar="NAME", help="the user's name, or an address")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Counts deleted: {end_waits(options['of'])}.")
