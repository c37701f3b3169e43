"""manage.py sync_drain: work the queue until nothing is due."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.kernel import process
from sync.operations.worker import drain, remaining_lines


class Command(BaseCommand):
    help = "Works the queue until nothing is due, and says what is left."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--progress", action="store_true", help="print a line every two seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work the queue and report; exits 0 whatever is left, as the report says why.

        After Ctrl-C or TERM the batch in hand is finished or released, and the exit code is the signal's.
        """
        with process.shutdown_on_signals() as interrupted:
            drained = drain(self._progress if options["progress"] else None)
        self.stdout.write(str(drained))
        lines = remaining_lines()
        for line in lines:
            self.stdout.write(f"Left: {line}")
        if not lines:
            self.stdout.write("Nothing is left.")
        if interrupted.signal_number:
            raise CommandError(
                "Interrupted. What is left is worked by the next worker, or by `manage.py sync_drain`.",
                returncode=interrupted.exit_code,
            )

    def _progress(self, claimed: int, due: int) -> None:
        self.stdout.write(f"{claimed:,} checked, {due:,} to go …")
        self.stdout.flush()
