"""manage.py sync_consolidate: an older form's table sync_states becomes rows of the ledger."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.operations.state_consolidation import KEPT, LEFT, OLD, ConsolidationError, consolidate, difference_lines, undo


class Command(BaseCommand):
    """Show the conflicts between the two tables, and make them one."""

    help = (
        f"Makes the rows of an older table {OLD} sync states (sync_metadata); where both have one, only after "
        "you said which counts. Writes nothing while that is open; --undo takes it all back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only show what it comes to")
        parser.add_argument(
            "--differing", choices=("keep", "newer"), help="where both differ: keep the sync state, or take the newer"
        )
        parser.add_argument("--undo", action="store_true", help="restore the sync states of before")

    def handle(self, *args: Any, **options: Any) -> None:
        """Consolidate or undo; exit 1 where rows differ and nobody said which count, or nothing is to be done."""
        dry_run, differing = options["dry_run"], options["differing"]
        try:
            if options["undo"]:
                done, left = undo()
                self.stdout.write(f"{done:,} rows put back, {OLD} is there again.")
                if left:
                    self.stdout.write(f"{left:,} rows were written since and are left; {LEFT} has their older values.")
                return
            found = consolidate(take_newer=differing and differing == "newer", dry_run=dry_run)
        except ConsolidationError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{found.added:,} rows are new, {found.equal:,} say the same, {len(found.differences):,} differ."
        )
        if found.own:
            self.stdout.write(f"{found.own:,} are of this application's own records: the engine writes theirs.")
        if found.doubled:
            self.stdout.write(f"{found.doubled:,} are of a thing that has several: the one tried last counts.")
        for line in difference_lines(found.differences):
            self.stdout.write(f"  {line}")
        if found.differences and differing is None:
            raise CommandError("Nothing was written. Say which rows count: --differing keep or --differing newer.")
        if not dry_run:
            self.stdout.write(f"Done; the old table is kept as {KEPT}. --undo takes it back.")
