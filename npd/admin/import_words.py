"""What the pages of an import show, as words and rows of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _

from npd.importing.columns import MODELS, labels_of
from npd.importing.jobs import KEPT_DAYS, shown, to_write
from npd.importing.models import ImportJob, ImportRow, ImportState, Outcome, Result
from npd.importing.reporting import refused, why
from sync.clock import sync_now

MOST = 100
"""Rows of each kind that a page lists; the counts are of all."""
LATEST = 20
STALLED_SECONDS = 20
ICONS = {
    Outcome.NEW: ("add_circle", "ok"),
    Outcome.CHANGED: ("edit", "wait"),
    Outcome.UNCHANGED: ("check", "off"),
    Outcome.INVALID: ("error", "bad"),
    Outcome.AMBIGUOUS: ("help", "warn"),
}
Url = Callable[[str, ImportJob], str]


def list_context(entity_type: str, url: Url) -> dict[str, Any]:
    """The fields that a column can be, and the latest imports."""
    jobs = (
        ImportJob.objects.filter(entity_type=entity_type).select_related("by").order_by("-made_at")[:LATEST]
    )
    return {
        "labels": ", ".join(labels_of(entity_type).values()),
        "jobs": [(url("job", job), job) for job in jobs],
        "kept_days": KEPT_DAYS,
    }


def job_context(job: ImportJob, url: Url) -> dict[str, Any]:
    """Everything that the page of one import shows, whatever its state."""
    bad = refused(job).order_by("number")
    results = dict(job.rows.order_by().values_list("result").annotate(number=Count("id")))
    undoing = job.state in (ImportState.UNDOING, ImportState.UNDONE)
    done, left = (Result.UNDONE, Result.KEPT) if undoing else (Result.WRITTEN, Result.LEFT)
    total = (
        results.get(Result.WRITTEN, 0) + results.get(done, 0) + results.get(left, 0)
        if undoing
        else to_write(job)
    )
    busy = job.state in (ImportState.RUNNING, ImportState.UNDOING)
    count_bad = bad.count()
    return {
        "job": job,
        "columns": job.columns,
        "tiles": [
            (Outcome(kind).label, *ICONS[Outcome(kind)], job.counts.get(kind, 0)) for kind in Outcome.values
        ],
        "bad": [(row, Outcome(row.outcome).label, why(row)) for row in bad[:MOST]],
        "count_bad": count_bad,
        "changes": list(_changes(job)),
        "count_changed": job.counts.get(Outcome.CHANGED, 0),
        "news": list(_news(job)),
        "count_new": job.counts.get(Outcome.NEW, 0),
        "to_write": to_write(job),
        "organizations": sorted(job.organizations.values()),
        "done": results.get(done, 0),
        "left": results.get(left, 0),
        "decided": results.get(done, 0) + results.get(left, 0),
        "total": total,
        "busy": busy,
        "undoing": undoing,
        "stalled": busy and (sync_now() - job.moved_at).total_seconds() > STALLED_SECONDS,
        **{
            f"{name}_url": url(name, job) for name in ("progress", "csv", "confirm", "discard", "undo", "job")
        },
    }


def _linked(job: ImportJob, row: ImportRow) -> str:
    """The address of the row's record, where it has one that can be there."""
    opts = MODELS[job.entity_type]._meta
    known = row.record_id and (row.outcome == Outcome.CHANGED or row.result == Result.WRITTEN)
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.record_id]) if known else ""


def _changes(job: ImportJob) -> Iterable[dict[str, Any]]:
    labels = labels_of(job.entity_type)
    for row in job.rows.filter(outcome=Outcome.CHANGED).order_by("number")[:MOST]:
        fields = [(labels[name], shown(row.before.get(name)), shown(raw)) for name, raw in row.after.items()]
        yield {"row": row, "url": _linked(job, row), "fields": fields, "result": _result(row)}


def _news(job: ImportJob) -> Iterable[dict[str, Any]]:
    labels = labels_of(job.entity_type)
    for row in job.rows.filter(outcome=Outcome.NEW).order_by("number")[:MOST]:
        values = [(labels[name], shown(raw)) for name, raw in row.after.items() if name != "name"]
        yield {"row": row, "url": _linked(job, row), "values": values, "result": _result(row)}


def _result(row: ImportRow) -> str:
    label = Result(row.result).label
    return f"{label}. {row.note}".strip() if row.result else str(_("Not written"))
