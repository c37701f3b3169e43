"""manage.py monday_check: what is wrong with the connection to Monday, and how to fix it.

With `--probe`: whether this account does what NPD Sync assumes where Monday's documentation is silent.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.boards.webhooks import webhook_url
from sync.limits import client
from sync.models import WebhookEvent
from sync.monday.connector import MondayConnector
from sync.monday.errors import MondayError
from sync.monday.probe import Finding, Probe
from sync.operations.doctor import run_checks

_LABELS = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}


class Command(BaseCommand):
    """Check the connection; changes nothing on Monday but with --probe."""

    help = (
        "Checks token, API version, plan, API quota, boards, columns, groups, webhooks, pauses and the queue, and "
        "says how to fix what is wrong. Exits 1 when something is. With --probe it tries what Monday's documentation "
        "leaves open on boards of its own, which it deletes again; exits 1 when an answer isn't what NPD Sync assumes."
    )

    # How time passes while webhooks are on their way; whoever plays Monday within one process lets it pass otherwise.
    stealth_options = ("wait",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")
        parser.add_argument("--probe", action="store_true", help="ask the account what is documented nowhere")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for everything checked; exit 1 where something is wrong."""
        if options["probe"]:
            self._probe(options.get("wait") or time.sleep)
            return
        findings = run_checks()
        wrong = sum(not finding.ok for finding in findings)
        if options["json"]:
            listed = [
                {"about": finding.subject, "level": finding.level, "what": finding.message, "mend": finding.full_fix}
                for finding in findings
            ]
            counts = {level: sum(finding.level == level for finding in findings) for level in _LABELS}
            answer = {"ok": counts["problem"] == 0, "counts": counts, "findings": listed}
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            for finding in findings:
                self.stdout.write(f"{_LABELS[finding.level]} {finding.message}")
                if finding.full_fix and finding.level != "ok":
                    self.stdout.write(f"          → {finding.full_fix}")
        if wrong:
            raise CommandError(f"{wrong} problem{'s' if wrong > 1 else ''} found; each says how to fix it.")
        if not options["json"]:
            warned = sum(finding.is_warning for finding in findings)
            self.stdout.write("Everything is well." if not warned else "Nothing is wrong; mind what is warned of.")

    def _probe(self, wait: Any) -> None:
        probe = Probe(MondayConnector(client(urgent=True)), wait, _deliveries, webhook_url())
        findings = []
        try:
            for finding in probe.run():
                findings.append(finding)
                self._print(finding)
        except MondayError as error:
            raise CommandError(f"The probe's boards could not be made. {error.sentence}") from error
        finally:
            for sentence in probe.left:
                self.stderr.write(sentence)
            WebhookEvent.objects.filter(board_id__in=probe.board_ids).delete()
        if differing := [finding.assumption.key for finding in findings if finding.differs]:
            raise CommandError(f"Not as NPD Sync assumes: {len(differing)} ({', '.join(differing)}).")

    def _print(self, finding: Finding) -> None:
        assumption = finding.assumption
        about = f"{assumption.key}: {assumption.question}"
        if finding.reason:
            self.stdout.write(f"not asked {about} {finding.reason}")
        elif finding.differs:
            self.stdout.write(f"DIFFERS   {about} {finding.answer}")
            self.stdout.write(f"          We assume: {assumption.expected}")
            self.stdout.write(f"          → {assumption.otherwise}")
        else:
            self.stdout.write(f"same      {about} {finding.answer}")


def _deliveries(board_id: str) -> Sequence[Mapping[str, Any]]:
    """The deliveries of a board that web has received, in their order."""
    return list(WebhookEvent.objects.filter(board_id=board_id).order_by("id").values_list("body", flat=True))
