"""manage.py sync_prune: delete rows that are older than they are kept."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from sync.operations.retention import prune


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        """What it does, with the days of now."""
        return (
            f"Deletes activity and changes after {settings.HISTORY_DAYS} days, deliveries and closed API writes after "
            f"{settings.JOURNAL_DAYS}, finished jobs after {settings.QUEUE_DAYS}, deletions after "
            f"{settings.TOMBSTONE_DAYS} (0: never). Beat does it every night."
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        self._verb = "would be deleted" if options["dry_run"] else "deleted"
        total = sum(prune(dry_run=options["dry_run"], progress=self._print).values())
        self.stdout.write(f"{total:,} rows {self._verb}." if total else "Nothing is old enough.")

    def _print(self, name: str, rows: int) -> None:
        if rows:
            self.stdout.write(f"{name[0].upper()}{name[1:]}: {rows:,} {self._verb}.")
            self.stdout.flush()
