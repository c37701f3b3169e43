"""The report: the ledger in figures, as charts and as tables, for everything that is kept in sync."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.timezone import localtime
from unfold.decorators import action

from sync import registry
from sync.admin.admin_base import PageAdmin, own_page, time_tag
from sync.admin.charts import Step, TimeChart, count_chart, hour_step
from sync.choices import LedgerDirection, SyncStatus
from sync.kernel import humanize
from sync.records.ledger_statistics import (
    ErrorKind,
    LedgerStatistics,
    Selection,
    Unsynced,
    percent,
    statistics,
    success_rate,
)

WINDOWS = {24: "24 hours", 24 * 7: "7 days", 24 * 30: "30 days"}
"""The windows that the page offers, in hours."""

_STATUS_TILES = {
    SyncStatus.COMPLETED: ("check_circle", "ok"),
    SyncStatus.PENDING: ("schedule", "wait"),
    SyncStatus.IN_PROGRESS: ("sync", "wait"),
    SyncStatus.FAILED: ("error", "bad"),
    SyncStatus.SKIPPED: ("sync_disabled", "off"),
}


@dataclass(frozen=True)
class Choice:
    """A link that narrows the report, or takes that back."""

    label: str
    url: str
    is_current: bool


@dataclass(frozen=True)
class Figure:
    """A number with its name; a link where it narrows the report."""

    label: str
    text: str
    url: str = ""
    icon: str = ""
    kind: str = "off"


class ReportMixin(PageAdmin):
    actions_list: tuple[str, ...] = ("report",)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Report", url_path="report/", permissions=["view"], icon="monitoring"
    )
    def report(self, request: HttpRequest) -> HttpResponse:
        """Show the figures of what the address chooses; what it chooses wrongly is not chosen."""
        given = request.GET
        status, direction, hours = given.get("status"), given.get("direction"), given.get("hours", "")
        selection = Selection(
            system=given.get("system") or None,
            entity_type=given.get("entity_type") or None,
            status=status if status in SyncStatus.values else None,
            direction=direction if direction in LedgerDirection.values else None,
            window=timedelta(hours=int(hours) if hours in map(str, WINDOWS) else 24),
        )
        page = _Report(selection)
        return own_page(self, request, "sync/report.html", "Sync report", report=page)


class _Report:
    """The page: every part from one set of figures."""

    def __init__(self, chosen: Selection) -> None:
        self.chosen = chosen
        self.found: LedgerStatistics = statistics(chosen)

    @property
    def is_narrowed(self) -> bool:
        return replace(self.chosen, window=Selection.window) != Selection()

    @property
    def all_url(self) -> str:
        return self._url(system=None, entity_type=None, status=None, direction=None)

    @property
    def window(self) -> str:
        return WINDOWS[self._hours]

    @property
    def _hours(self) -> int:
        return int(self.chosen.window / timedelta(hours=1))

    def _url(self, **changed: Any) -> str:
        names = ("system", "entity_type", "status", "direction")
        given = {name: getattr(self.chosen, name) for name in names} | {"hours": self._hours} | changed
        chosen = urlencode({name: value for name, value in given.items() if value not in (None, 24)})
        return f"{reverse('admin:sync_syncmetadata_report')}{'?' + chosen if chosen else ''}"

    @property
    def windows(self) -> list[Choice]:
        return [Choice(label, self._url(hours=hours), hours == self._hours) for hours, label in WINDOWS.items()]

    @property
    def directions(self) -> list[Choice]:
        chosen = self.chosen.direction
        return [
            Choice("Every direction", self._url(direction=None), chosen is None),
            *(Choice(str(one.label), self._url(direction=one.value), one == chosen) for one in LedgerDirection),
        ]

    @property
    def narrowed_to(self) -> str:
        chosen = self.chosen
        status = str(SyncStatus(chosen.status).label) if chosen.status else ""
        direction = str(LedgerDirection(chosen.direction).label) if chosen.direction else ""
        kind = registry.type_label(chosen.entity_type) if chosen.entity_type else ""
        return ", ".join(filter(None, (chosen.system, kind, status, direction)))

    @property
    def statuses(self) -> list[Figure]:
        return [
            Figure(
                str(status.label),
                f"{self.found.by_status[status]:,}",
                self._url(status=status.value),
                *(_STATUS_TILES[status] if self.found.by_status[status] else (_STATUS_TILES[status][0], "off")),
            )
            for status in _STATUS_TILES
        ]

    @property
    def figures(self) -> Iterator[Figure]:
        found, conflicts = self.found, self.found.conflicts
        yield Figure("Success rate", percent(found.success_rate))
        yield Figure("Records synced or tried", f"{found.tried:,}, {found.per_hour:,.1f} an hour")
        if found.duration_ms:
            half, most, nearly_all = (f"{one / 1000:,.1f} seconds" for one in found.duration_ms)
            yield Figure("Time for one sync", f"half within {half}, 95 of 100 within {most}, 99 within {nearly_all}")
        if found.calls_per_thing is not None and found.calls_per_batch is not None:
            each = f"{found.calls_per_thing:.3g} for each record, {found.calls_per_batch:.3g} for each batch"
            yield Figure("API calls for these syncs", f"{found.api_calls:,} in {found.batches:,} batches: {each}")
        waited = conflicts.median_wait_seconds
        wait = f"; half waited {humanize.time_span(waited)}" if waited is not None else ""
        counts = f"{conflicts.open:,} open now, {conflicts.opened:,} opened, {conflicts.resolved:,} resolved{wait}"
        yield Figure("Conflicts", counts)
        if oldest := found.oldest_unsynced:
            last = humanize.relative_time(oldest.last_successful_sync, found.now)
            name, url = self._thing(oldest)
            yield Figure("Longest not synced", f"{name}, last synced {last}", url)
        yield Figure("Never synced", f"{found.never_synced:,}")

    @property
    def heads(self) -> list[str]:
        return [str(status.label) for status in _STATUS_TILES]

    @property
    def groups(self) -> Iterator[dict[str, Any]]:
        """A row for each system and type: how many stand how, and what came of those tried."""
        for (system, entity_type), numbers in self.found.by_type.items():
            counts = [numbers[status] for status in _STATUS_TILES]
            outcome = self.found.outcomes.get((system, entity_type), (0, 0, 0))
            yield {
                "url": self._url(system=system, entity_type=entity_type),
                "name": f"{registry.type_label(entity_type)} · {system.capitalize()}",
                "cells": [*zip(self.heads, (f"{one:,}" for one in counts), strict=True)],
                "tried": f"{outcome[0]:,}",
                "success": percent(success_rate([outcome])),
            }

    @property
    def charts(self) -> list[TimeChart]:
        found = self.found
        steps = [
            hour_step(bar.since, found.now)
            if self._hours == 24
            else Step(humanize.day_and_time(bar.since), f"{localtime(bar.since):%d %b}")
            for bar in found.bars
        ]
        tried, failed = [bar.tried for bar in found.bars], [bar.failed for bar in found.bars]
        return [
            count_chart("Last tried", "Records", steps, tried, "Nothing was tried in this time."),
            count_chart("Of these failed", "Records", steps, failed, "Nothing failed in this time."),
        ]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [
            {
                "number": humanize.count_with_noun(error.number, "record"),
                "example": humanize.without_request_id(error.example),
                "thing": thing,
                "url": url,
                "newest": time_tag(error.newest, self.found.now),
            }
            for error in self.found.errors
            for thing, url in [self._thing(error)]
        ]

    @cached_property
    def _names(self) -> dict[registry.RecordKey, str]:
        """The names of all records that the page names; other code's things have none here."""
        named: list[ErrorKind | Unsynced] = [*self.found.errors]
        if self.found.oldest_unsynced:
            named.append(self.found.oldest_unsynced)
        return registry.record_names(
            (one.entity_type, UUID(one.entity_id)) for one in named if registry.is_registered(one.entity_type)
        )

    def _thing(self, one: ErrorKind | Unsynced) -> tuple[str, str]:
        url = registry.record_url(one.entity_type, one.entity_id)
        name = self._names.get((one.entity_type, UUID(one.entity_id))) if url else None
        return f"{registry.type_label(one.entity_type)} {name or one.entity_id}", url if name else ""
