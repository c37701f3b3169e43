"""manage.py demo: sample data on both sides, linked, with things to try. Quick when it is all there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd.demo import people, seeding, things
from npd.demo.board import NoSandboxError, Sandbox
from npd.demo.tour import tour
from sync.connectors.monday.errors import MondayError
from sync.setup import SetupError, set_up_all


class Command(BaseCommand):
    """Prepare the demo, or say what to try."""

    help = (
        "Fills an empty NPD and the sandbox's boards with sample data and links them. Needs the web process."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One option."""
        parser.add_argument(
            "--try", action="store_true", dest="tour", help="change nothing, print what to try with links"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what is missing; exit 1 with a sentence when something is in the way."""
        if not options["tour"]:
            try:
                self._prepare()
            except (NoSandboxError, SetupError, MondayError) as error:
                raise CommandError(str(error)) from error
            return
        for line in tour():
            self.stdout.write(line)

    def _prepare(self) -> None:
        sandbox = Sandbox()
        people.make_admin()
        people.make_page_user()
        self._set_up_boards()
        if seeding.is_empty():
            self._say("Sample data for NPD and the boards …")
            count = seeding.seed(sandbox)
            self._say(f"  {count:,} records on both sides. Linking them:")
        if missing := things.missing():
            seeding.link_all(self._say)
            for name in missing:
                things.make(name, sandbox)
            self._say(f"  Waiting to be tried: {', '.join(things.WORDS)}.")

    def _set_up_boards(self) -> None:
        for outcome in set_up_all():
            if outcome.problems:
                raise CommandError("\n".join(outcome.problems))
            if outcome.done:
                self._say(f"Board {outcome.entity.board_title}: {len(outcome.done)} things set up.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
