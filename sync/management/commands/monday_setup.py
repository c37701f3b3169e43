"""manage.py monday_setup: boards, columns and webhooks; creates what is missing, as often as one likes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import wake
from sync.connectors.monday.errors import MondayError
from sync.setup import Outcome, SetupError, set_up_all


class Command(BaseCommand):
    """Set up the boards of all synced models."""

    help = "Creates what is missing on Monday: boards, columns and webhooks. Running it again does no harm."

    def add_arguments(self, parser: CommandParser) -> None:
        """One option."""
        parser.add_argument(
            "--print-env", action="store_true", help="print the board ids as NAME=value lines, for .env"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up, and say what was done; exit 1 with the rest done when something is missing."""
        outcomes: list[Outcome] = []
        try:
            for outcome in set_up_all():
                outcomes.append(outcome)
                self._tell(outcome)
        except (SetupError, MondayError) as error:
            raise CommandError(str(error)) from error
        if options["print_env"]:
            for outcome in outcomes:
                self.stdout.write(f"{outcome.entity.board_setting}={outcome.link.board_id}")
        problems = [problem for outcome in outcomes for problem in outcome.problems]
        if problems:
            raise CommandError("\n".join(problems))
        for outcome in outcomes:
            wake.send(outcome.entity.entity_type)

    def _tell(self, outcome: Outcome) -> None:
        board = f"{outcome.entity.board_title} (board {outcome.link.board_id})"
        if not outcome.done and not outcome.problems:
            self.stdout.write(f"{board}: nothing to do.")
        for words in outcome.done:
            self.stdout.write(f"{board}: {words}")
