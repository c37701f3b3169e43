"""manage.py monday_check: the doctor. Says what is wrong with the connection to Monday and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.checking import check
from sync.connectors.monday.doctor import Finding

_LABELS = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}


class Command(BaseCommand):
    """Examine the connection; changes nothing on Monday."""

    help = (
        "Checks token, API version, plan, allowance, boards, columns, groups, webhooks, pauses and the queue, and says "
        "how to mend what is wrong. Exits 1 when something is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One option."""
        parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for everything looked at; exit 1 when something is wrong."""
        findings = check()
        wrong = sum(not finding.ok for finding in findings)
        if options["json"]:
            self.stdout.write(_as_json(findings))
        else:
            self._tell(findings)
        if wrong:
            raise CommandError(f"{wrong} problem{'s' if wrong > 1 else ''} found; each says how to mend it.")
        if not options["json"]:
            warned = sum(finding.warning for finding in findings)
            self.stdout.write(
                "Everything is well." if not warned else "Nothing is wrong; mind what is warned of."
            )

    def _tell(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self.stdout.write(f"{_LABELS[finding.level]} {finding.what}")
            if finding.mend and finding.level != "ok":
                self.stdout.write(f"          → {finding.mend}")


def _as_json(findings: Sequence[Finding]) -> str:
    listed = [
        {"about": finding.about, "level": finding.level, "what": finding.what, "mend": finding.mend}
        for finding in findings
    ]
    counts = {level: sum(finding.level == level for finding in findings) for level in _LABELS}
    return json.dumps({"ok": counts["problem"] == 0, "counts": counts, "findings": listed}, indent=2)
