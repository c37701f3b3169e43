"""manage.py sync_report: the ledger in figures, as a table, as JSON or as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.choices import LedgerDirection, SyncStatus
from sync.kernel import humanize
from sync.records.ledger_statistics import MAX_HOURS, LedgerStatistics, Selection, percent, statistics, success_rate

COLUMNS = ("figure", "system", "entity_type", "status", "direction", "value")


class Command(BaseCommand):
    """Print what the page and the API show."""

    help = (
        "Tells how sync stands as a whole, other systems than Monday too: counts, success rate, durations, API calls, "
        "errors, conflicts, and what is unsynced the longest. Writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--system", help="only one system: monday, jira …")
        parser.add_argument("--type", dest="entity_type", help="only one type: contact, sprint …")
        parser.add_argument("--status", choices=SyncStatus.values, help="only one status")
        parser.add_argument("--direction", choices=LedgerDirection.values, help="only one direction")
        parser.add_argument("--hours", type=int, default=24, help="the window, of what was last tried within it")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print one JSON object, for machines")
        form.add_argument("--csv", action="store_true", help="print one figure a line, for a spreadsheet")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compute and print."""
        if not 1 <= options["hours"] <= MAX_HOURS:
            raise CommandError(f"--hours is a number from 1 to {MAX_HOURS:,}.")
        chosen = {name: options[name] for name in ("system", "entity_type", "status", "direction")}
        found = statistics(Selection(window=timedelta(hours=options["hours"]), **chosen))
        if options["json"]:
            self.stdout.write(json.dumps(found.to_json(), indent=2, ensure_ascii=False, default=_timestamp))
        elif options["csv"]:
            writer = csv.writer(self.stdout, lineterminator="\n")
            writer.writerows([COLUMNS, *_figures(found)])
        else:
            self.stdout.writelines(f"{line}\n" for line in _lines(found))


def _timestamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _figures(found: LedgerStatistics) -> Iterator[tuple[Any, ...]]:
    for key, number in found.groups.items():
        yield "rows", *key, number
    for thing, outcome in found.outcomes.items():
        for name, number in zip(("tried", "completed", "failed"), outcome, strict=True):
            yield name, *thing, "", "", number
    content = found.to_json()
    for name in ("success_rate", "per_hour", "api_calls", "api_calls_per_thing", "api_calls_per_batch", "never_synced"):
        yield name, "", "", "", "", content[name]
    for name in ("duration_ms", "conflicts"):
        for part, number in content[name].items():
            yield f"{name}_{part}", "", "", "", "", number


def _lines(found: LedgerStatistics) -> Iterator[str]:
    if not found.total:
        yield "There are no such sync states: the first sync of a thing writes its row."
        return
    columns = ("system", "type", *SyncStatus.values, "tried", "success")
    rows = [columns, *_table(found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        yield "  ".join(
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
    window = humanize.time_span((found.now - found.since).total_seconds())
    yield ""
    rate = percent(found.success_rate)
    yield f"Within {window}: {found.tried:,} tried, {found.per_hour:.1f} an hour, success rate {rate}."
    if found.duration_ms:
        yield "Duration: half within {} ms, 95 of 100 within {} ms, 99 within {} ms.".format(*found.duration_ms)
    if found.calls_per_thing is not None and found.calls_per_batch is not None:
        yield (
            f"API calls: {found.api_calls:,} in {found.batches:,} batches, {found.calls_per_thing:.3f} for each thing, "
            f"{found.calls_per_batch:.1f} for each batch."
        )
    one = found.conflicts
    waited = f"; half waited {humanize.time_span(one.median_wait_seconds)}" if one.median_wait_seconds else ""
    yield f"Conflicts: {one.open:,} open, {one.opened:,} opened, {one.resolved:,} resolved{waited}."
    if oldest := found.oldest_unsynced:
        last = humanize.utc_minute(oldest.last_successful_sync)
        yield f"Unsynced the longest: {oldest.entity_type} {oldest.entity_id} ({oldest.status}), last synced {last}."
    yield f"Never synced: {found.never_synced:,}."
    for error in found.errors:
        yield f"{error.number:>6,} × {error.example} ({error.entity_type} {error.entity_id})"


def _table(found: LedgerStatistics) -> Iterator[tuple[str, ...]]:
    for thing, numbers in found.by_type.items():
        outcome = found.outcomes.get(thing, (0, 0, 0))
        yield *thing, *(f"{one:,}" for one in numbers.values()), f"{outcome[0]:,}", percent(success_rate([outcome]))
