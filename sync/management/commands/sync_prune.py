"""manage.py sync_prune: delete old rows."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sync.operations.retention import prune


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        """The help with the settings' days."""
        return (
            f"Deletes activity and changes after {settings.HISTORY_DAYS} days, deliveries and closed API writes after "
            f"{settings.JOURNAL_DAYS}, finished jobs after {settings.QUEUE_DAYS}, deletions after "
            f"{settings.TOMBSTONE_DAYS} (0: never). Beat does it every night."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        counts = {name: number for name, number in prune().items() if number}
        for name, number in counts.items():
            self.stdout.write(f"{name[0].upper()}{name[1:]}: {number:,} deleted.")
        self.stdout.write(f"{sum(counts.values()):,} rows deleted." if counts else "Nothing is old enough.")
