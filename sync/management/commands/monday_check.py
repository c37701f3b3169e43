"""manage.py monday_check: the doctor. Says what is wrong with the connection to Monday and how to mend it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.checking import check


class Command(BaseCommand):
    """Examine the connection; changes nothing."""

    help = "Checks token, API version, boards, columns and webhooks, and says how to mend what is wrong."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for everything looked at; exit 1 when something is wrong."""
        findings = check()
        for finding in findings:
            self.stdout.write(f"{'ok      ' if finding.ok else 'PROBLEM '} {finding.what}")
            if not finding.ok and finding.mend:
                self.stdout.write(f"          → {finding.mend}")
        wrong = sum(not finding.ok for finding in findings)
        if wrong:
            raise CommandError(f"{wrong} problem{'s' if wrong > 1 else ''} found; each says how to mend it.")
        self.stdout.write("Everything is well.")
