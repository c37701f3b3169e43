"""manage.py sync_drain: work the queue until nothing is due."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.kernel import process
from sync.kernel.humanize import terminal_line
from sync.operations.worker import drain, remaining_lines


class Command(BaseCommand):
    help = "Works the queue until nothing is due, and says what is left."

    def handle(self, *args: Any, **options: Any) -> None:
        """Work the queue and report; exit 0 even if jobs are left, because the report says why.

        After Ctrl-C or TERM, finish or release the current batch, and exit with the signal's code.
        """
        with process.shutdown_on_signals() as interrupted:
            drained = drain(say=self.stdout.write)
        self.stdout.write(str(drained))
        lines = remaining_lines()
        for line in lines:
            self.stdout.write(terminal_line(f"Left: {line}"))
        if not lines:
            self.stdout.write("Nothing is left.")
        if interrupted.signal_number:
            raise CommandError(
                "Interrupted. What is left is worked by the next worker, or by `manage.py sync_drain`.",
                returncode=interrupted.exit_code,
            )
