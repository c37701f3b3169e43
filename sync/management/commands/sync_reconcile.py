"""manage.py sync_reconcile: compare every linked record, reconcile what differs, and sweep every board now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.kernel import process
from sync.operations.detect.sweep import run_full_sweep
from sync.operations.preview.dry_run import plan_lines, plan_problems, plan_sync
from sync.operations.worker import remaining_lines


class Command(BaseCommand):
    help = (
        "Compares every linked record with its item, and looks at all that differ or have something open, and at every "
        "item that no record has, until done. With --dry-run it prints what that would do, as the engine itself "
        "decides, and what it would cost; -v 2 lists every line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the plan, write nothing on either side")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile and report; exit 1 where something could not be checked, 0 also with conflicts open."""
        if options["dry_run"]:
            self._plan(every_line=options["verbosity"] > 1)
            return
        with process.shutdown_on_signals() as interrupted:
            report, problems = run_full_sweep(self.stdout.write)
        for line in report:
            self.stdout.write(line)
        for line in remaining_lines():
            self.stdout.write(f"Left: {line}")
        if interrupted.signal_number:
            words = "Interrupted: not everything was synced. Run it again for the rest."
            raise CommandError(words, returncode=interrupted.exit_code)
        if problems:
            raise CommandError("\n".join(problems))

    def _plan(self, *, every_line: bool) -> None:
        """Print the plan; exit 1 where something could not be checked."""
        boards, client = plan_sync()
        for line in plan_lines(boards, client, every_line=every_line):
            self.stdout.write(line)
        if problems := plan_problems(boards):
            raise CommandError("\n".join(problems))
