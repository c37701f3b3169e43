"""manage.py monday_check: what is wrong with the connection to Monday, and how to fix it.

With `--probe`: how this account answers what Monday's documentation leaves open.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.boards.board_setup import webhook_url
from sync.connectors.base.errors import ConnectorError
from sync.connectors.monday import probe
from sync.limits import client, credentials
from sync.models import WebhookEvent
from sync.operations.doctor import run_checks

_LABELS = {"ok": "ok      ", "warning": "WARNING ", "problem": "PROBLEM "}


class Command(BaseCommand):
    """Check the connection; changes nothing on Monday but with --probe."""

    help = (
        "Checks token, API version, plan, API quota, boards, columns, groups, webhooks, pauses and the queue, and "
        "says how to fix what is wrong. Exits 1 when something is. With --probe it tries on boards of its own, which "
        "it deletes again, what Monday's documentation leaves open; exits 1 when an answer isn't the simulator's."
    )

    # How time passes while webhooks are on their way; whoever plays Monday within one process lets it pass otherwise.
    stealth_options = ("wait",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")
        parser.add_argument("--probe", action="store_true", help="ask the account what is documented nowhere")
        parser.add_argument("--dry-run", action="store_true", help="with --probe: only list the questions and the cost")
        parser.add_argument("--patient", action="store_true", help="with --probe: also ask what takes an hour")
        parser.add_argument(
            "--record",
            metavar="FILE",
            help="with --probe: where what was asked and answered is written, without secrets and ids of the account "
            "(default: monday-probe.json)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for everything checked; exit 1 where something is wrong."""
        if options["probe"]:
            self._probe(**options)
            return
        if alone := [name for name in ("dry_run", "patient", "record") if options[name]]:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in alone)
            raise CommandError(
                f"Nothing was checked: {names} belongs to --probe. Add --probe, or leave it out.", returncode=2
            )
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

    def _probe(self, *, dry_run: bool, patient: bool, record: str | None, **options: Any) -> None:
        record = record or "monday-probe.json"
        cost = probe.cost(patient=patient)
        if dry_run or not options["json"]:
            self.stdout.write(
                f"{cost.questions} questions take {cost.calls} API calls at most, and up to "
                f"{timedelta(seconds=cost.seconds)} of waiting, on two private boards that are deleted again."
            )
        if dry_run:
            for question in probe.all_questions(patient=patient):
                self.stdout.write(f"{question.key}: {question.asks} We assume: {question.simulated}")
            return
        api, findings = client(urgent=True), list[probe.Finding]()

        def report(finding: probe.Finding) -> None:
            findings.append(finding)
            if not options["json"]:
                self._tell(finding)

        ground = probe.Ground(api.send, options.get("wait") or time.sleep, _deliveries, webhook_url())
        try:
            probe.run(ground, report, patient=patient)
        except (ConnectorError, probe.Unanswered) as error:
            raise CommandError(f"The probe's boards could not be made. {error}") from error
        finally:
            for left in ground.left:
                self.stderr.write(f"Not taken away: {left}.")
            WebhookEvent.objects.filter(board_id__in=filter(None, [ground.board_id, ground.other_board_id])).delete()
        secrets = [credentials.api_token(), *credentials.webhook_secrets()]
        recording = ground.recording(settings.MONDAY_API_VERSION, secrets)
        Path(record).write_text(json.dumps(recording, indent=1, ensure_ascii=False), encoding="utf-8")
        if options["json"]:
            self.stdout.write(
                json.dumps({"calls": ground.calls, "answers": [_shown(one) for one in findings]}, indent=2)
            )
        else:
            self.stdout.write(f"{ground.calls} calls were made. What was asked and answered is in {record}.")
        if differ := [finding.question.key for finding in findings if finding.differs]:
            raise CommandError(f"Answers that are not the simulator's: {len(differ)} ({', '.join(differ)}).")

    def _tell(self, finding: probe.Finding) -> None:
        question = finding.question
        if finding.reason:
            self.stdout.write(f"not asked {question.key}: {question.asks} {finding.reason}.")
        elif finding.differs:
            self.stdout.write(f"DIFFERS   {question.key}: {question.asks} {finding.answer}")
            self.stdout.write(f"          the simulator: {question.simulated}")
            self.stdout.write(f"          → {question.otherwise}")
        else:
            self.stdout.write(f"same      {question.key}: {question.asks} {finding.answer}")


def _shown(finding: probe.Finding) -> dict[str, Any]:
    question = finding.question
    told = {"key": question.key, "asks": question.asks, "answer": finding.answer, "simulator": question.simulated}
    return told | {"differs": finding.differs, "not_asked": finding.reason, "otherwise": question.otherwise}


def _deliveries(board_id: str) -> list[dict[str, Any]]:
    """The events of a board that web has received, in their order."""
    bodies = WebhookEvent.objects.filter(board_id=board_id).order_by("id").values_list("body", flat=True)
    return [body.get("event", body) for body in bodies]
