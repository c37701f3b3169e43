"""manage.py monday_check: what is wrong with the connection to Monday, and how to fix it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.operations.doctor import run_checks

_LABELS = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}


class Command(BaseCommand):
    """Check the connection; changes nothing on Monday."""

    help = (
        "Checks token, API version, plan, API quota, boards, columns, groups, webhooks, pauses and the queue, and "
        "says how to fix what is wrong. Exits 1 when something is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for everything checked; exit 1 where something is wrong."""
        findings = run_checks()
        wrong = sum(not finding.ok for finding in findings)
        if options["json"]:
            listed = [
                {"about": finding.subject, "level": finding.level, "what": finding.message, "mend": finding.fix}
                for finding in findings
            ]
            counts = {level: sum(finding.level == level for finding in findings) for level in _LABELS}
            answer = {"ok": counts["problem"] == 0, "counts": counts, "findings": listed}
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            for finding in findings:
                self.stdout.write(f"{_LABELS[finding.level]} {finding.message}")
                if finding.fix and finding.level != "ok":
                    self.stdout.write(f"          → {finding.fix}")
        if wrong:
            raise CommandError(f"{wrong} problem{'s' if wrong > 1 else ''} found; each says how to fix it.")
        if not options["json"]:
            warned = sum(finding.is_warning for finding in findings)
            self.stdout.write("Everything is well." if not warned else "Nothing is wrong; mind what is warned of.")
