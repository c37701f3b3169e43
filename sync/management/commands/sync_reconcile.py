"""manage.py sync_reconcile: look at every linked record and sweep every board now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.draining import Drained
from sync.sweeping import Swept, reconcile_everything


class Command(BaseCommand):
    """Compare both sides completely."""

    help = "Looks at every linked record and at every item that no record has, until done."

    def add_arguments(self, parser: CommandParser) -> None:
        """One option."""
        parser.add_argument("--progress", action="store_true", help="print a line every two seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile and report; exit 1 when something could not be looked at, 0 also with conflicts open."""
        result = reconcile_everything(self._progress if options["progress"] else None)
        for swept in result.swept:
            self._tell(swept)
        self.stdout.write(result.drained.words)
        if result.problems:
            raise CommandError("\n".join(result.problems))

    def _tell(self, swept: Swept) -> None:
        if not swept.problem:
            self.stdout.write(
                f"{swept.entity.board_title}: {swept.linked:,} linked records; {swept.items:,} items on the "
                f"board, {swept.candidates:,} of them without a record."
            )

    def _progress(self, drained: Drained, due: int) -> None:
        self.stdout.write(f"{drained.claimed:,} looked at, {due:,} to go …")
        self.stdout.flush()
