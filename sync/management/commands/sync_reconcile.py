"""manage.py sync_reconcile: look at every linked record and sweep every board now."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import stopping
from sync.draining import Drained
from sync.dryrun import BoardPlan, plan_everything
from sync.dryrun.telling import as_json, lines
from sync.sweeping import Swept, reconcile_everything


class Command(BaseCommand):
    """Compare both sides completely."""

    help = (
        "Looks at every linked record and at every item that no record has, until done. With --dry-run it prints what "
        "that would do, as the engine itself decides, and what it would cost; -v 2 lists every line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """What it does, and what it prints."""
        parser.add_argument("--progress", action="store_true", help="say now and then how far it is")
        parser.add_argument(
            "--dry-run", action="store_true", help="print the plan, write nothing on either side"
        )
        parser.add_argument(
            "--json", action="store_true", help="with --dry-run: print the plan as one JSON object"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile and report; exit 1 when something could not be looked at, 0 also with conflicts open."""
        if options["dry_run"]:
            self._plan(options)
            return
        if options["json"]:
            raise CommandError("--json prints a plan: add --dry-run.")
        with stopping.on_signals() as interrupted:
            result = reconcile_everything(self._progress if options["progress"] else None)
        for swept in result.swept:
            self._tell(swept)
        self.stdout.write(result.drained.words)
        if interrupted.number:
            words = "Interrupted: not everything was looked at. Run it again for the rest."
            raise CommandError(words, returncode=interrupted.exit_code)
        if result.problems:
            raise CommandError("\n".join(result.problems))

    def _plan(self, options: dict[str, Any]) -> None:
        """Print the plan; exit 1 when something could not be looked at."""
        every_line = options["verbosity"] > 1
        plan = plan_everything(self._planned if options["progress"] else None, every_line=every_line)
        if options["json"]:
            self.stdout.write(json.dumps(as_json(plan), indent=2, ensure_ascii=False))
        else:
            for line in lines(plan):
                self.stdout.write(line)
        if plan.problems:
            raise CommandError("\n".join(plan.problems))

    def _planned(self, board: BoardPlan) -> None:
        self.stderr.write(f"{board.title}: {board.looked_at:,} looked at …")

    def _tell(self, swept: Swept) -> None:
        if not swept.problem:
            self.stdout.write(
                f"{swept.entity.board_title}: {swept.linked:,} linked records; {swept.items:,} items on the "
                f"board, {swept.candidates:,} of them without a record."
            )

    def _progress(self, drained: Drained, due: int) -> None:
        self.stdout.write(f"{drained.claimed:,} looked at, {due:,} to go …")
        self.stdout.flush()
