"""manage.py sync_drain: work the queue until nothing is due."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import stopping
from sync.draining import Drained, drain, left_over


class Command(BaseCommand):
    """Work until nothing is due, then say what is left."""

    help = "Works the queue until nothing is due, and says what is left."

    def add_arguments(self, parser: CommandParser) -> None:
        """One option."""
        parser.add_argument("--progress", action="store_true", help="print a line every two seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        """Drain and report; exits 0 whatever is left, for what is left says why it waits.

        After Ctrl-C or TERM the batch in hand is finished or given back, and the exit code is the signal's.
        """
        with stopping.on_signals() as interrupted:
            drained = drain(self._progress if options["progress"] else None)
        self.stdout.write(drained.words)
        self._tell_what_is_left()
        if interrupted.number:
            raise CommandError(
                "Interrupted. What is left is worked by the next worker, or by `manage.py sync_drain`.",
                returncode=interrupted.exit_code,
            )

    def _tell_what_is_left(self) -> None:
        left = left_over()
        if not left:
            self.stdout.write("Nothing is left.")
        for line in left:
            self.stdout.write(f"Left: {line}")

    def _progress(self, drained: Drained, due: int) -> None:
        self.stdout.write(f"{drained.claimed:,} looked at, {due:,} to go …")
        self.stdout.flush()
