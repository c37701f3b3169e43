"""Sync health, the first page of the admin: one line that says whether all is well, what needs a person, the boards
and the API quota, in a number of queries that does not grow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Model, OuterRef, Subquery, Window
from django.http import HttpRequest
from django.urls import reverse

from sync import registry
from sync.admin import board_cards
from sync.admin.board_cards import Badge, BoardHealth, BoardStatus, board_health
from sync.admin.deletion_pages import KIND_SENTENCES, group_counts
from sync.admin.queue_actions import item_label, job_reason, next_pass_text
from sync.admin.queue_pages import QueuePanel, panel_of
from sync.admin.record_panel import blocked_fields_url, rejections_url
from sync.apps import NEW_ITEMS
from sync.boards.schema_drift import renamed_columns
from sync.choices import GuardKind, QueueStatus, SyncDirection
from sync.kernel import humanize
from sync.limits import quota
from sync.limits.metered_client import is_configured
from sync.models import (
    BoardLink,
    FieldMapping,
    GuardedAct,
    MondayAccount,
    SyncAudit,
    SyncMetadata,
    SyncQueue,
    WebhookEvent,
)
from sync.models.outbox_row import QueueAction, is_allowed
from sync.models.state import VERIFICATION_WINDOW, event_item_name
from sync.operations.detect.sweep_schedule import board_problems
from sync.operations.detect.verification import VerificationResult, combine_results
from sync.records import record_health
from sync.records.approvals import PendingApprovals
from sync.records.availability import number_of
from sync.records.item_links import pending_unmatched_items
from sync.registry import item_url, type_label

# Each part reads an index of its own that holds little more than what is counted. Columns: what it is, the board,
# a name, two numbers, words, two times.
_ATTENTION = """
    SELECT 'held', '', (count(*) FILTER (WHERE field.value ->> 'side' IN ('monday', 'limit')))::text,
        count(*), count(DISTINCT ledger.id),
        (array_agg(field.value ->> 'reason' ORDER BY ledger.id DESC))[1],
        NULL::timestamptz, NULL::timestamptz
    FROM sync_metadata AS ledger CROSS JOIN LATERAL jsonb_each(ledger.held) AS field
    WHERE NOT (ledger.held = '{}'::jsonb) AND ledger.system = 'monday'
        AND NOT jsonb_exists(field.value, 'left_by')
    UNION ALL
    SELECT 'loop', '', coalesce(min(by) FILTER (WHERE by <> ''), ''), count(*), count(DISTINCT entity_id), '',
        min(damped_until), NULL
    FROM sync_field_loops WHERE damped_until > %(now)s
    UNION ALL
    SELECT * FROM (
        SELECT 'dead', '', '', 0, 0, error_message, NULL::timestamptz, NULL::timestamptz
        FROM sync_queue WHERE status = 'failed' ORDER BY created_at DESC LIMIT 1) AS newest
    UNION ALL
    SELECT 'guard', entity_type, kind, count(DISTINCT entity_id), count(*), '', NULL, NULL
    FROM sync_guarded_acts WHERE state = 'held' GROUP BY 2, 3
    UNION ALL
    SELECT 'column', link.entity_type, mapping.label, mapping.position, mapping.id, mapping.problem, NULL, NULL
    FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
    WHERE mapping.problem <> '' AND mapping.direction <> %(no_sync)s
    UNION ALL
    SELECT 'samples', board.entity_type, '', day.sampled, day.drifted, '', newest.at, day.drift_at
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN LATERAL (
        SELECT at FROM sync_audits WHERE entity_type = board.entity_type AND sampled > 0
        ORDER BY at DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL (
        SELECT sum(sampled) AS sampled, sum(drifted) AS drifted, max(at) FILTER (WHERE drifted > 0) AS drift_at
        FROM sync_audits
        WHERE entity_type = board.entity_type AND sampled > 0 AND at > newest.at - %(window)s::interval) AS day
    UNION ALL
    SELECT 'latency', direction, '', bucket, sum(changes), '', hour, NULL
    FROM sync_latency_hours WHERE hour > %(now)s - interval '24 hours' AND hour <= %(now)s
    GROUP BY direction, bucket, hour
"""


@dataclass(frozen=True)
class BlockedSummary:
    """Blocked fields, of how many records, and why the newest one is; `rejected` of them by Monday."""

    fields: int = 0
    records: int = 0
    reason: str = ""
    rejected: int = 0


@dataclass(frozen=True)
class WriteLoopSummary:
    """Fields that somebody rewrites after each of our writes: who one of them is, and when the first is sent again."""

    fields: int = 0
    records: int = 0
    by: str = ""
    until: datetime | None = None


@dataclass
class AttentionData:
    """What was read at one moment.

    `columns` has of each type the mappings whose column can't be used, `latencies` of each direction and hour how many
    changes fell into which step of the scale (sync/kernel/counters.py).
    """

    blocked: BlockedSummary = field(default_factory=BlockedSummary)
    write_loops: WriteLoopSummary = field(default_factory=WriteLoopSummary)
    newest_failure: str = ""
    approvals: list[PendingApprovals] = field(default_factory=list)
    columns: dict[str, list[FieldMapping]] = field(default_factory=dict)
    verifications: dict[str, VerificationResult] = field(default_factory=dict)
    latencies: dict[str, dict[datetime, Counter[int]]] = field(default_factory=dict)


def load_attention(now: datetime, types: Sequence[str]) -> AttentionData:
    """Read what needs a person, and what samples of these types said; `now` is the database's time."""
    params: dict[str, Any] = {
        "now": now,
        "no_sync": SyncDirection.NONE.value,
        "types": list(types),
        "window": VERIFICATION_WINDOW,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ATTENTION, params)
        rows = cursor.fetchall()
    attention = AttentionData()
    for row in sorted(rows, key=lambda row: row[:5]):
        _add_row(attention, *row)
    return attention


def _add_row(
    attention: AttentionData, kind: str, board: str, name: str, first: int, second: int, text: str,
    at: datetime | None, later: datetime | None,
) -> None:  # fmt: skip
    match kind:
        case "held":
            attention.blocked = BlockedSummary(int(first), int(second), text or "", int(name))
        case "loop":
            attention.write_loops = WriteLoopSummary(int(first), int(second), name, at)
        case "dead":
            attention.newest_failure = text
        case "guard":
            attention.approvals.append(PendingApprovals(board, GuardKind(name), int(first), int(second)))
        case "column":
            attention.columns.setdefault(board, []).append(FieldMapping(label=name, problem=text))
        case "samples":
            attention.verifications[board] = VerificationResult(at, int(first), int(second), later)
        case "latency" if at is not None:
            attention.latencies.setdefault(board, {}).setdefault(at, Counter())[int(first)] += int(second)


# The next items on the boards that no record has yet.


MAX_NEW_ITEMS = 5


def next_unmatched_items(panel: QueuePanel) -> tuple[list[dict[str, str]], int]:
    """Return the next items that wait to become records, and how many there are in all; one query."""
    events = WebhookEvent.objects.filter(item_id=OuterRef("remote_id")).annotate(called=event_item_name())
    name = events.exclude(called=None).order_by("-received_at", "-id").values("called")
    rows = list(
        pending_unmatched_items()
        .annotate(in_all=Window(Count("id")), called=Subquery(name[:1]))
        .order_by("next_retry", "id")[:MAX_NEW_ITEMS]
    )
    names = {str(row.remote_id): row.called for row in rows if row.called}
    items = []
    for row in rows:
        row.page_now, row.page_boards = panel.now, panel.overview.by_type  # type: ignore[attr-defined]
        link = panel.overview.links.get(row.entity_type)
        items.append(
            {
                "text": item_label(row, names),
                "kind": type_label(row.entity_type),
                "why": humanize.without_request_id(job_reason(row)),
                "when": next_pass_text(row),
                "url": item_url(link, str(row.remote_id)) if link else "",
            }
        )
    return items, rows[0].in_all if rows else 0


# What needs a person: each thing with its cause, what it means, and one button.


DIVERGENCE_FIX = "`manage.py sync_reconcile` syncs all records, `manage.py monday_check` says whether webhooks arrive."

MAX_NEWEST_LENGTH = 160


@dataclass(frozen=True)
class AttentionTask:
    """Something that waits for a person, with the one page on which it is done."""

    what: str
    why: str
    url: str
    button: str
    icon: str
    kind: str = "warn"


@dataclass(frozen=True)
class HealthData:
    """What tasks are made of, all of one moment.

    `set_up` is whether any board is, for else the page says where to begin; `failed` is how many jobs have
    stopped after all attempts.
    """

    boards: Sequence[BoardHealth]
    set_up: bool
    links: Mapping[str, BoardLink]
    attention: AttentionData
    failed: int
    now: datetime


def attention_tasks(data: HealthData, may_view: Callable[[type[Model]], bool]) -> list[AttentionTask]:
    """Return what a person who may view the rows of these models is told of it, the gravest first."""
    guide = reverse("admin:connect_monday") if may_view(MondayAccount) else ""
    found = [*_stopped_tasks(data, guide)]
    parts: tuple[tuple[type[Model], Callable[[HealthData], Iterator[AttentionTask]]], ...] = (
        (BoardLink, _board_problem_tasks),
        (GuardedAct, _approval_tasks),
        (SyncAudit, _divergence_tasks),
        (SyncQueue, _failed_tasks),
        (SyncMetadata, _blocked_tasks),
        (SyncMetadata, _write_loop_tasks),
    )
    for model, part_tasks in parts:
        found += part_tasks(data) if may_view(model) else []
    return found


def _stopped_tasks(data: HealthData, guide: str) -> Iterator[AttentionTask]:
    """Boards that stand still, and paused ones, those of one reason together; before the set-up none is missed."""
    by_reason: dict[tuple[bool, str], list[str]] = {}
    for board in sorted(data.boards, key=lambda one: one.is_paused):
        if board.is_paused or (board.reason and data.set_up):
            by_reason.setdefault((board.is_paused, board.reason), []).append(board.title)
    for (is_paused, reason), titles in by_reason.items():
        boards = " and ".join(titles)
        if is_paused:
            yield AttentionTask(f"{boards}: paused", reason, queue_url(), "Open the queue", "pause_circle")
        else:
            yield AttentionTask(f"{boards}: no sync now", reason, guide, "See what to do", "block", "bad")


def _board_problem_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """Columns that are gone, webhooks that don't come, sweeps that can't be finished."""
    for spec in registry.entities():
        link = data.links.get(spec.entity_type)
        if link is None:
            continue
        url = reverse("admin:sync_boardlink_change", args=[link.pk])
        for one in board_problems(link, spec.board_title, data.attention.columns.get(spec.entity_type, [])):
            on_page = (blocked_fields_url(), "See the options") if one.about == "columns" else (url, "Open the board")
            yield AttentionTask(one.what, humanize.without_request_id(one.why), *on_page, one.icon, "bad")
        yield from (
            AttentionTask(one.sentence, "", blocked_fields_url(), "Open", "edit", "wait")
            for one in renamed_columns(link)
        )


def _failed_tasks(data: HealthData) -> Iterator[AttentionTask]:
    if data.failed:
        what = humanize.count_with_noun(data.failed, "failed job", "failed jobs")
        yield AttentionTask(
            what,
            _newest_text(data.attention.newest_failure),
            queue_url("status__exact=failed"),
            "Retry",
            "error",
            "bad",
        )


def _newest_text(reason: str) -> str:
    text = humanize.shorten(humanize.without_request_id(reason), MAX_NEWEST_LENGTH)
    return f"The newest: {text}" if text else ""


def _approval_tasks(data: HealthData) -> Iterator[AttentionTask]:
    groups = data.attention.approvals
    number = sum(one.acts for one in groups)
    if not number:
        return
    what = humanize.count_with_noun(
        number, "delete or emptied field to approve", "deletes and emptied fields to approve"
    )
    reasons = " ".join(KIND_SENTENCES[one.kind].format(**group_counts(one)) for one in groups)
    url = f"{reverse('admin:sync_guardedact_changelist')}?state__exact=held"
    yield AttentionTask(what, reasons, url, "Decide", "gpp_maybe")


def _divergence_tasks(data: HealthData) -> Iterator[AttentionTask]:
    verification = combine_results(data.attention.verifications.values())
    if not verification.drifted:
        return
    what = humanize.count_with_noun(
        verification.drifted, "record said “synced” and differed", "records said “synced” and differed"
    )
    url = reverse("admin:sync_syncaudit_changelist")
    yield AttentionTask(what, f"{verification.summary(data.now)} {DIVERGENCE_FIX}", url, "Open", "difference", "bad")


def _blocked_tasks(data: HealthData) -> Iterator[AttentionTask]:
    blocked = data.attention.blocked
    if blocked.fields:
        what = f"{_fields_text(blocked.fields, blocked.records)} not synced"
        rejections_list = rejections_url() if blocked.rejected else ""
        url, button = (rejections_list, "Decide") if rejections_list else (blocked_fields_url(), "Open")
        yield AttentionTask(what, _newest_text(blocked.reason), url, button, "front_hand")


def _write_loop_tasks(data: HealthData) -> Iterator[AttentionTask]:
    write_loops = data.attention.write_loops
    if not write_loops.fields or write_loops.until is None:
        return
    what = f"{_fields_text(write_loops.fields, write_loops.records)} rewritten again and again"
    why = (
        f"On the board, {write_loops.by or 'somebody'} writes another value after each of our writes, so nothing is "
        f"sent until {write_loops.until:%d %b, %H:%M} UTC. Stop the automation that does it, or change the field's "
        "direction."
    )
    yield AttentionTask(what, why, blocked_fields_url("throttled"), "See the options", "sync_problem")


def _fields_text(fields: int, records: int) -> str:
    return f"{humanize.count_with_noun(fields, 'field')} of {humanize.count_with_noun(records, 'record')}"


def queue_url(query: str = "", part: str = "") -> str:
    """Return the address of the queue's list with filters, or of a part of its page."""
    listed = reverse("admin:sync_syncqueue_changelist")
    return f"{listed}{'?' + query if query else ''}{'#' + part if part else ''}"


# One line that says whether all is well, else what is wrong first.


def headline(boards: Sequence[BoardHealth], tasks: Sequence[AttentionTask]) -> Badge:
    """Return it as a badge; what keeps changes from flowing comes before what a person is asked."""
    if not any(board.is_set_up for board in boards):
        return Badge("off", "link_off", "Not set up yet: nothing is synced")
    stopped = [board.title for board in boards if board.reason and not board.is_paused]
    paused = [board.title for board in boards if board.is_paused]
    if stopped:
        return Badge("bad", "block", f"Stopped: {', '.join(stopped)}")
    if paused:
        return Badge("warn", "pause_circle", f"Paused: {', '.join(paused)}")
    if not tasks:
        return Badge("ok", "check_circle", "All syncing")
    text = f"Syncing; {humanize.count_with_noun(len(tasks), 'thing needs', 'things need')} attention"
    bad = any(task.kind == "bad" for task in tasks)
    return Badge("bad", "error", text) if bad else Badge("warn", "front_hand", text)


# Sync health, the first page: everything of one moment, in a number of queries that doesn't grow.


PAUSE_FORM = "npd-pause"
"""The part of the queue's page with the form that pauses."""


def health_context(
    request: HttpRequest,
    context: dict[str, Any],
    extra_tasks: Callable[[datetime], Sequence[AttentionTask]] | None = None,
) -> dict[str, Any]:
    """Add the first page's figures to its context, those that this person may see the rows of.

    `extra_tasks` tells tasks that others than the engine know of, as they are at a time.
    """
    panel = panel_of(request)
    visible = [board for board in panel.boards if _may_see(request, board.spec.model)]
    attention = load_attention(panel.now, [board.spec.entity_type for board in visible])
    boards = _board_healths(visible, panel, attention)
    failed = sum(number_of(board.jobs(QueueStatus.FAILED)) for board in panel.boards)
    set_up = any(board.availability.is_set_up for board in panel.boards)
    data = HealthData(boards, set_up, panel.overview.links, attention, failed, panel.now)
    all_tasks = [
        *(extra_tasks(panel.now) if extra_tasks else ()),
        *attention_tasks(data, lambda model: _may_see(request, model)),
    ]
    return context | {
        "boards": boards,
        "tasks": all_tasks,
        "headline": headline(boards, all_tasks) if boards else None,
        "verified": combine_results(attention.verifications.values()).summary(panel.now) if boards else "",
        "set_up": set_up,
        "guide_url": reverse("admin:connect_monday"),
        "pause_url": queue_url(part=PAUSE_FORM) if is_allowed(request.user, QueueAction.PAUSE) else "",
        **_queue_context(request, panel, attention),
    }


def _board_healths(visible: Sequence[BoardStatus], panel: QueuePanel, attention: AttentionData) -> list[BoardHealth]:
    counts = record_health.health_counts((board.spec for board in visible), panel.overview.pauses)
    return [
        board_health(
            board,
            counts.get(board.spec.entity_type, {}),
            attention.verifications.get(board.spec.entity_type, VerificationResult()),
        )
        for board in visible
    ]


def _queue_context(request: HttpRequest, panel: QueuePanel, attention: AttentionData) -> dict[str, Any]:
    """What only who may see the queue is told."""
    if not _may_see(request, SyncQueue):
        return {"sees_queue": False}
    items, total = next_unmatched_items(panel)
    calls = quota.forecast(panel.overview.budget_state, lambda: panel.overview.last_hour) if is_configured() else None
    return {
        "sees_queue": True,
        "queue": queue_text(panel.boards),
        "queue_url": queue_url(),
        "new_items": items,
        "new_items_total": total,
        "new_items_url": queue_url(NEW_ITEMS),
        "allowance": calls,
        "allowance_as_of": humanize.time_of_day(calls.as_of) if calls and calls.as_of else "",
        "charts": [
            *(board_cards.throughput_chart(board) for board in panel.boards),
            *(
                board_cards.latency_chart(direction, attention.latencies.get(direction.value, {}), panel.now)
                for direction in board_cards.LATENCY_TITLES
            ),
        ],
    }


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    names = (f"{model._meta.app_label}.{act}_{model._meta.model_name}" for act in ("view", "change"))
    return any(request.user.has_perm(name) for name in names)


def queue_text(boards: Sequence[BoardStatus]) -> str:
    """Return how the queue stands, as a sentence."""
    waiting = sum(board.pending for board in boards)
    working = sum(number_of(board.jobs(QueueStatus.IN_PROGRESS)) for board in boards)
    if not waiting and not working:
        return "No job is pending."
    since = min((board.due_since for board in boards if board.due_since), default=None)
    age = f", the oldest due for {humanize.time_span((boards[0].now - since).total_seconds())}" if since else ""
    jobs = humanize.count_with_noun
    return f"{jobs(waiting, 'job')} pending{age}; {jobs(working, 'job')} in progress."
