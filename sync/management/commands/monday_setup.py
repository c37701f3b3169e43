"""manage.py monday_setup: create missing boards, columns and webhooks; can be repeated."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import registry
from sync.fields.sync_filter import SyncFilter
from sync.kernel.acts import ActionError
from sync.kernel.humanize import terminal_line
from sync.kernel.secret_texts import without_secrets
from sync.monday.errors import MondayError
from sync.operations.setup.board_setup import SetupOutcome, set_up_all
from sync.outbox import wakeups


class Command(BaseCommand):
    help = "Creates what is missing on Monday: boards, columns and webhooks. Running it again does no harm."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--with",
            action="append",
            default=[],
            dest="requested",
            metavar="KEY",
            help="also make the column of an optional field, such as contact.organization; may be given again",
        )
        parser.add_argument("--print-env", action="store_true", help="print the board ids as NAME=value lines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up all boards and report; exit 1 if problems remain."""
        outcomes: list[SetupOutcome] = []
        try:
            for outcome in set_up_all(options["requested"]):
                outcomes.append(outcome)
                self._print_outcome(outcome)
        except MondayError as error:
            raise CommandError(without_secrets(error.full_sentence)) from error
        except ActionError as error:
            raise CommandError(str(error)) from error
        if problems := [problem for outcome in outcomes for problem in outcome.problems]:
            raise CommandError("\n".join(problems))
        for outcome in outcomes:
            spec = registry.entity(outcome.link.entity_type)
            wakeups.wake_board(spec.entity_type)
            if options["print_env"]:
                self.stdout.write(f"{spec.board_setting}={outcome.link.board_id}")

    def _print_outcome(self, outcome: SetupOutcome) -> None:
        spec = registry.entity(outcome.link.entity_type)
        board = f"{spec.board_title} (board {outcome.link.board_id})"
        if not outcome.steps and not outcome.problems:
            self.stdout.write(f"{board}: nothing to do.")
        for step in outcome.steps:
            self.stdout.write(terminal_line(f"{board}: {step}"))
        labels = {mapping.key: mapping.label for mapping in outcome.link.mappings.all()}
        for line in SyncFilter.parse(outcome.link.sync_filter).lines(labels):
            self.stdout.write(terminal_line(f"{board}: the filter lets through: {line}"))
        without_column = [f"{spec.entity_type}.{m.key}" for m in spec.mappings if m.key not in labels]
        if without_column:
            self.stdout.write(
                f"{board}: not synced without a column: {', '.join(without_column)}. Make the column on the board "
                f"and run this again, or have it made: `manage.py monday_setup --with {without_column[0]}`."
            )
