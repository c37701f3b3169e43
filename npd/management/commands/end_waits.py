"""manage.py end_waits NAME: lets somebody try again who has typed too many wrong passwords."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd.accounts.limits import end_waits
from sync.kernel.humanize import count_with_noun


class Command(BaseCommand):
    help = "Ends the wait after failed sign-ins, of a user from everywhere, or of an address."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("of", metavar="NAME", help="the user's name, or an address")

    def handle(self, *args: Any, **options: Any) -> None:
        name, number = options["of"], end_waits(options["of"])
        if not number:
            raise CommandError(
                f"Nothing was done: nobody waits as “{name}”. Name a user as at the sign-in, or the address that it "
                "comes from; `manage.py end_waits --help` says more.",
                returncode=2,
            )
        self.stdout.write(f"The wait of “{name}” ended ({count_with_noun(number, 'count')} deleted). Sign in again.")
