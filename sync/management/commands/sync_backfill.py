"""manage.py sync_backfill: put the records that have no item on their boards in bulk."""

from __future__ import annotations

import getpass
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync import registry
from sync.connectors.base.errors import ConnectorError
from sync.models import Backfill, BackfillState
from sync.operations.backfill import open_backfill, run_backfill, run_remaining_steps
from sync.operations.backfill.estimate import (
    BackfillError,
    BackfillEstimate,
    cost_text,
    estimate_backfill,
    estimate_lines,
    outcome_lines,
)
from sync.registry import EntitySpec, UnknownEntity

STALE_SECONDS = 120
"""After an answer that took this long, the estimate is made again before anything is written."""
BAR = 30


class Command(BaseCommand):
    """Show what would be done, ask, and do it through Monday's bulk imports."""

    help = "Puts the records that have no item on their boards in bulk, after showing what that would do."

    def add_arguments(self, parser: CommandParser) -> None:
        types = ", ".join(spec.entity_type for spec in registry.entities())
        parser.add_argument("types", nargs="*", metavar="TYPE", help=f"of: {types}; default: all")
        parser.add_argument("--dry-run", action="store_true", help="only show what would be done")
        parser.add_argument("--yes", action="store_true", help="do it without asking")
        parser.add_argument(
            "--resume", action="store_true", help="take up a backfill whose process ended, and finish it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Preview and run, type by type; exit 1 where something could not be done."""
        try:
            specs = [registry.entity(one) for one in options["types"]] or list(registry.entities())
        except UnknownEntity as unknown:
            raise CommandError(str(unknown)) from unknown
        failed = 0
        try:
            for spec in specs:
                work = self._resume if options["resume"] else self._backfill
                failed += not work(spec, **options)
        except (BackfillError, ConnectorError) as error:
            raise CommandError(f"{error} {self._how_to_go_on(specs)}".strip()) from error
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. {self._how_to_go_on(specs)}".strip()) from None
        if failed:
            raise CommandError("Not everything was put on the boards; each problem is named above.")

    def _how_to_go_on(self, specs: list[EntitySpec]) -> str:
        begun = any(open_backfill(spec.entity_type) for spec in specs)
        return "Then take it up with `manage.py sync_backfill --resume`." if begun else ""

    def _resume(self, spec: EntitySpec, **options: Any) -> bool:
        backfill = open_backfill(spec.entity_type)
        if backfill is None:
            self.stdout.write(f"{spec.board_title}: no backfill is open.")
            return True
        begun = f"{backfill.created_at:%Y-%m-%d %H:%M} UTC"
        self.stdout.write(f"{spec.board_title}: taking up the backfill of {begun} ({backfill}).")
        return self._told(run_remaining_steps(backfill, wait=self._wait, on_progress=self._tell))

    def _backfill(self, spec: EntitySpec, **options: Any) -> bool:
        if open_backfill(spec.entity_type) is not None:
            raise BackfillError(f"A backfill of {spec.entity_type} records is open already.")
        seen = self._preview(spec)
        for line in estimate_lines(seen):
            self.stdout.write(line)
        if options["dry_run"] or not seen.record_count:
            return True
        if seen.items_over_limit:
            return False
        if not (options["yes"] or self._confirmed(seen)):
            self.stdout.write("Nothing was written.")
            return True
        # The estimate may have changed while a person thought about it.
        if seen.age_seconds > STALE_SECONDS:
            seen = self._preview(spec)
        done = run_backfill(seen, by=getpass.getuser(), wait=self._wait, on_progress=self._tell)
        told = [self._told(backfill) for backfill in done]
        return all(told)

    def _preview(self, spec: EntitySpec) -> BackfillEstimate:
        return estimate_backfill(
            spec, lambda done, of: self._progress(f"{done:,} of {of:,} records checked …", done / of), is_preview=True
        )

    def _confirmed(self, seen: BackfillEstimate) -> bool:
        if not sys.stdin.isatty():
            raise BackfillError("Nothing was written: to do it without being asked, add --yes.")
        try:
            answer = input(f"Do this now ({cost_text(seen)})? [y/N] ")
        except EOFError:
            return False
        return answer.strip().lower() in ("y", "yes")

    def _told(self, backfill: Backfill) -> bool:
        if self.stdout.isatty() and self._said:
            self.stdout.write("")  # ends the bar's line
        self._said = ""
        for line in outcome_lines(backfill):
            self.stdout.write(line)
        return backfill.state == BackfillState.DONE

    def _tell(self, backfill: Backfill) -> None:
        if backfill.state == BackfillState.UPLOADED:
            percent = int(backfill.counts.get("progress", 0))
            self._progress(f"Monday is importing {backfill.rows:,} rows: {percent} %.", percent / 100)
        elif backfill.state == BackfillState.LISTED:
            self._progress("Monday is done; its items are being linked …", 1.0)

    def _wait(self, seconds: float, words: str) -> None:
        self._progress(words)
        time.sleep(seconds)

    def _progress(self, words: str, part: float | None = None) -> None:
        # On a terminal one line that changes; elsewhere a line whenever there is something new to say.
        if not self.stdout.isatty():
            if words != getattr(self, "_said", ""):
                self.stdout.write(words)
                self.stdout.flush()
        else:
            self._part = self._part if part is None else part
            full = round(self._part * BAR)
            self.stdout.write(f"\r\033[K[{'█' * full}{'·' * (BAR - full)}] {words}", ending="")
            self.stdout.flush()
        self._said = words

    _part = 0.0
    _said = ""
