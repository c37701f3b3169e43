"""Health, the first page of the admin: one line that says whether all is well, what needs a person, the boards
and the API quota, in a number of queries that does not grow.
"""

from __future__ import annotations

import time as wall_clock
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any

from django.db import connection
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from sync import registry
from sync.admin.attention_pages import tallies_of
from sync.admin.board_cards import Badge, BoardFacts, BoardHealth, BoardStatus, board_health
from sync.admin.connection_pages import setup_checklist
from sync.admin.health_charts import DAY, FIGURES, MONTH, PERIODS, Figure, Period, TimeChart, figure_params, time_charts
from sync.admin.queue_pages import QueuePanel, panel_of, visible_pauses
from sync.admin.record_panel import blocked_fields_url, rejection_act, rejections_url
from sync.boards.board_columns import renamed_columns
from sync.choices import BlockedCode, Cause, QueueStatus, SyncDirection
from sync.connectors.base.board import LOG_PREFIX
from sync.kernel import humanize
from sync.kernel.periodic_jobs import WRONG_CLOCKS, clock_problems
from sync.ledger import record_view
from sync.limits import quota
from sync.models import BoardLink, FieldMapping, NotificationReceiver, SyncMetadata, SyncQueue, Verification
from sync.models.jobs import QueueAction, is_allowed
from sync.operations import attention
from sync.operations.attention import AttentionCause, AttentionKind, AttentionScope, Tally
from sync.operations.detect.comparison import VerificationResult, combine_results
from sync.operations.detect.missed_webhooks import ITEM_UPDATED
from sync.operations.detect.sweep_schedule import board_problems
from sync.records.availability import number_of

_EDITS = Cause.SAVE | Cause.PERSON | Cause.WEBHOOK

# Each part reads an index of its own that holds little more than what is counted. Columns: what it is, the board,
# a name, two numbers, words, a time.
_ATTENTION = f"""
    SELECT 'loop', '', coalesce(min(by) FILTER (WHERE by <> ''), ''), count(*), count(DISTINCT entity_id), '',
        min(throttled_until)
    FROM sync_write_loops WHERE throttled_until > %(now)s
    UNION ALL
    SELECT 'column', link.entity_type, concat_ws(':', mapping.key, mapping.label), mapping.position, mapping.id,
        mapping.problem, NULL
    FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
    WHERE mapping.problem <> '' AND mapping.direction <> %(no_sync)s
    UNION ALL
    SELECT 'verification', board.entity_type, '', newest.compared, newest.differed, '', newest.at
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN LATERAL (
        SELECT at, compared, differed FROM sync_verifications WHERE entity_type = board.entity_type
        ORDER BY at DESC LIMIT 1) AS newest
    UNION ALL
    SELECT 'setup', '', '', count(*), 0, '', NULL FROM sync_setup_drafts WHERE state = 'running'
    UNION ALL
    SELECT 'receivers', '', '', count(failed_since), count(stopped_at), CASE count(*) WHEN 0 THEN 'none' ELSE '' END,
        min(failed_since)
    FROM sync_notification_receivers WHERE frequency <> 'off'
    UNION ALL
    SELECT 'edit', entity_type, '', count(*), 0, '', min(created_at) FROM sync_queue
    WHERE status IN ('pending', 'in_progress', 'failed') AND entity_id IS NOT NULL AND causes & {int(_EDITS)} <> 0
    GROUP BY entity_type
    UNION ALL
    SELECT 'webhook', board.entity_type, '', 0, 0, '', (
        SELECT received_at FROM sync_webhook_events AS event
        WHERE event.board_id = board.id AND NOT starts_with(event.trigger_id, '{LOG_PREFIX}')
            AND event.type <> '{ITEM_UPDATED}'
        ORDER BY received_at DESC LIMIT 1)
    FROM unnest(%(linked_types)s::text[], %(linked_boards)s::text[]) AS board (entity_type, id)
    UNION ALL
    SELECT 'clock', '', process, seconds, 0, '', NULL FROM ({WRONG_CLOCKS}) AS clocks
    UNION ALL
    SELECT 'database clock', '', '', extract(epoch FROM clock_timestamp())::float8, 0, '', NULL
    UNION ALL
    {FIGURES}
"""  # noqa: S608 - made of the fragment of the charts


@dataclass(frozen=True)
class WriteLoopSummary:
    """Fields that somebody rewrites after each of our writes: who one of them is, and when the first is sent again."""

    fields: int = 0
    records: int = 0
    by: str = ""
    until: datetime | None = None


@dataclass(frozen=True)
class FailingReceivers:
    """Receivers of notifications that nothing reaches, how many of them are switched off, and since when the first.

    `has_none`: nobody has chosen to be notified at all.
    """

    number: int = 0
    stopped: int = 0
    since: datetime | None = None
    has_none: bool = False


@dataclass
class AttentionData:
    """What was read at one moment; `columns` has of each type the mappings whose column can't be used."""

    write_loops: WriteLoopSummary = field(default_factory=WriteLoopSummary)
    receivers: FailingReceivers = field(default_factory=FailingReceivers)
    clocks: dict[str, float] = field(default_factory=dict)
    own_offset: float = 0.0
    figures: list[Figure] = field(default_factory=list)
    columns: dict[str, list[FieldMapping]] = field(default_factory=dict)
    verifications: dict[str, VerificationResult] = field(default_factory=dict)
    edited_at: dict[str, datetime | None] = field(default_factory=dict)
    webhook_at: dict[str, datetime | None] = field(default_factory=dict)
    applies_setup: bool = False


def load_attention(
    now: datetime, types: Sequence[str], links: Mapping[str, BoardLink], period: Period
) -> AttentionData:
    """Read what isn't about single records, and what samples of these types said; `now` is the database's time."""
    params: dict[str, Any] = {
        "now": now,
        "no_sync": SyncDirection.NONE.value,
        "types": list(types),
        "linked_types": list(links),
        "linked_boards": [link.board_id for link in links.values()],
        **figure_params(period, now),
    }
    with connection.cursor() as cursor:
        cursor.execute(_ATTENTION, params)
        rows = cursor.fetchall()
    found = AttentionData()
    # A UNION promises no order. Not by the last columns, which may be None: Python compares that with nothing.
    for row in sorted(rows, key=lambda row: row[:5]):
        _add_row(found, *row)
    return found


def _add_row(
    found: AttentionData, kind: str, board: str, name: str, first: int, second: int, text: str,
    at: datetime | None,
) -> None:  # fmt: skip
    match kind:
        case "loop":
            found.write_loops = WriteLoopSummary(int(first), int(second), name, at)
        case "receivers":
            found.receivers = FailingReceivers(int(first), int(second), at, text == "none")
        case "column":
            key, _, label = name.partition(":")
            found.columns.setdefault(board, []).append(FieldMapping(key=key, label=label, problem=text))
        case "clock":
            found.clocks[name] = first
        case "database clock":
            found.own_offset = wall_clock.time() - float(first)
        case "figure" if at is not None:
            found.figures.append(Figure(board, int(first), int(second), at))
        case "edit":
            found.edited_at[board] = at
        case "webhook":
            found.webhook_at[board] = at
        case "setup":
            found.applies_setup = bool(first)
        case "verification":
            found.verifications[board] = VerificationResult(at, int(first), int(second))


# What needs a person: each thing with its cause, what it means, and one button.


MAX_WHY_LENGTH = 240


class Severity(IntEnum):
    """What comes first on the page; red is what failed, as in the queue."""

    FAILED = 1
    APPROVAL = 2
    CONFLICT = 3
    REJECTED = 4
    BLOCKED = 5
    UNMATCHED = 6
    NOTICE = 7


@dataclass(frozen=True)
class AttentionTask:
    """Something that waits for a person, with the one page on which it is done; `label` says it in a word or two."""

    severity: Severity
    label: str
    why: str
    url: str
    button: str
    icon: str
    in_inbox: bool = False
    records: int = 0
    """How many it is about; a whole board or column comes before single ones."""
    is_whole: bool = False
    is_counted: bool = True
    """Whether it is one of the things that need attention, or advice."""
    is_post: bool = False
    waited: str = ""
    """For how long, where that is known."""

    @property
    def kind(self) -> str:
        """Its colour."""
        return {Severity.FAILED: "bad", Severity.NOTICE: "wait"}.get(self.severity, "warn")


@dataclass(frozen=True)
class HealthData:
    """What tasks are made of, all of one moment; `counts` says how many `causes` of each kind the inbox has."""

    boards: Sequence[BoardHealth]
    links: Mapping[str, BoardLink]
    attention: AttentionData
    counts: Mapping[AttentionKind, int]
    causes: Sequence[AttentionCause]
    names: Mapping[registry.RecordKey, str]
    now: datetime
    calls: quota.Forecast | None = None
    may_retry: bool = False


@dataclass(frozen=True)
class _KindLine:
    """How one kind of the inbox is told in a line; `url` is the list on which its entries are done.

    `button` is for who may do it, and with `is_for_viewers` for who may only look as well. `tells_age` is False where
    entries only know when they were checked.
    """

    severity: Severity
    button: str
    icon: str
    url: str = ""
    tells_age: bool = True
    is_for_viewers: bool = False


def attention_tasks(
    data: HealthData,
    may_view: Callable[[type[Model]], bool],
    may_act: Callable[[AttentionKind], bool],
    kind_urls: Mapping[AttentionKind, str],
    fix: str,
) -> list[AttentionTask]:
    """Return what a person who may view the rows of these models is told of it, what concerns most first.

    `kind_urls` are the pages of kinds that the sync knows none of; `fix` is what this person does with rejected values.
    """
    apart = _column_causes(data) if may_view(BoardLink) else frozenset[str]()
    found = list(_kind_tasks(data, may_act, kind_urls, apart, fix))
    parts: tuple[tuple[type[Model], Callable[[HealthData], Iterator[AttentionTask]]], ...] = (
        (BoardLink, _board_problem_tasks),
        (BoardLink, _slowed_tasks),
        (Verification, _divergence_tasks),
        (SyncMetadata, _write_loop_tasks),
        (NotificationReceiver, _receiver_tasks),
        (SyncQueue, _clock_tasks),
    )
    for model, part_tasks in parts:
        found += part_tasks(data) if may_view(model) else []
    return sorted(found, key=lambda task: (not task.is_whole, -task.records, task.severity))


def _kind_lines(fix: str) -> Mapping[AttentionKind, _KindLine]:
    return {
        AttentionKind.FAILED: _KindLine(
            Severity.FAILED, "Open", "error", f"{reverse('npd-inbox')}?kind=failed"
        ),
        AttentionKind.WEBHOOK: _KindLine(
            Severity.FAILED, "Open", "webhook",
            f"{reverse('admin:sync_webhookendpoint_changelist')}?enabled__exact=0",
        ),
        AttentionKind.NOTIFICATION: _KindLine(
            Severity.FAILED, "See why", "notifications_off", reverse("npd-notifications")
        ),
        AttentionKind.APPROVAL: _KindLine(
            Severity.APPROVAL, "Decide", "gpp_maybe",
            f"{reverse('admin:sync_approvalrequest_changelist')}?state__exact=pending",
        ),
        AttentionKind.REMOVED: _KindLine(
            Severity.CONFLICT, "Answer", "delete_sweep", f"{reverse('npd-inbox')}?kind=removed"
        ),
        AttentionKind.CONFLICT: _KindLine(Severity.CONFLICT, "Resolve", "call_split"),
        AttentionKind.DUPLICATE: _KindLine(Severity.CONFLICT, "Decide", "group"),
        AttentionKind.REJECTED: _KindLine(
            Severity.REJECTED, fix, "front_hand", rejections_url() or blocked_fields_url(), tells_age=False
        ),
        AttentionKind.BLOCKED: _KindLine(
            Severity.BLOCKED, "See why", "front_hand", blocked_fields_url(), tells_age=False, is_for_viewers=True
        ),
        AttentionKind.UNMATCHED: _KindLine(
            Severity.UNMATCHED, "Open", "fiber_new",
            f"{reverse('admin:sync_unmatcheditem_changelist')}?show=attention",
        ),
    }  # fmt: skip


def _column_causes(data: HealthData) -> frozenset[str]:
    """The causes of the inbox that are columns, each of which has a line of its own."""
    kind, code = AttentionKind.BLOCKED.value, BlockedCode.COLUMN.value
    broken = data.attention.columns.items()
    return frozenset(f"{kind}:{of_type}:{column.key}:{code}" for of_type, columns in broken for column in columns)


def _kind_tasks(
    data: HealthData,
    may_act: Callable[[AttentionKind], bool],
    kind_urls: Mapping[AttentionKind, str],
    apart: Collection[str],
    fix: str,
) -> Iterator[AttentionTask]:
    """A line for each kind of the inbox, with its causes but those that are told `apart`."""
    for kind, line in _kind_lines(fix).items():
        causes = [one for one in data.causes if one.kind is kind]
        number = data.counts.get(kind, 0) - sum(one.cause in apart for one in causes)
        if number <= 0:
            continue
        causes = sorted((one for one in causes if one.cause not in apart), key=lambda one: -one.number)
        why = humanize.shorten(humanize.join_first([_told(one, data.names) for one in causes]), MAX_WHY_LENGTH)
        why += "" if not why or why.endswith(("…", "?")) else "."
        since = min((one.since for one in causes if one.since), default=None) if line.tells_age else None
        yield AttentionTask(
            line.severity, str(kind.label), why, kind_urls.get(kind, line.url),
            line.button if line.is_for_viewers or may_act(kind) else "Open",
            line.icon, in_inbox=True, records=sum(one.number for one in causes),
            waited=humanize.time_span((data.now - since).total_seconds()) if since else "",
        )  # fmt: skip


def _told(cause: AttentionCause, names: Mapping[registry.RecordKey, str]) -> str:
    """What happened, and to which record or to how many."""
    about = cause.count_text or (f"An item of {cause.board}" if cause.kind is AttentionKind.UNMATCHED else "")
    if cause.entity_id is not None:
        about = names.get((cause.entity_type, cause.entity_id), "")
    return (f"{about}: " if about else "") + cause.text.rstrip(".")


_PROBLEM_LABELS = {"columns": "Blocked", "webhooks": "Not reported", "sweeps": "Missed changes"}


def _board_problem_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """Columns that are gone, webhooks that don't come, sweeps that can't be finished."""
    # Of a board that is stopped the check for missed changes is due at once when that ends.
    stopped = {board.entity_type for board in data.boards if board.reason}
    for spec in registry.entities():
        link = data.links.get(spec.entity_type)
        if link is None:
            continue
        url = reverse("admin:sync_boardlink_change", args=[link.pk])
        for one in board_problems(link, spec.board_title, data.attention.columns.get(spec.entity_type, [])):
            if one.about == "sweeps" and spec.entity_type in stopped:
                continue
            is_column = one.about == "columns"
            on_page = (blocked_fields_url(), "See the options") if is_column else (url, "Open the board")
            severity = Severity.BLOCKED if is_column else Severity.FAILED
            why = humanize.without_request_id(one.why)
            label = _PROBLEM_LABELS[one.about]
            in_inbox = is_column and _has_blocked(data)
            yield AttentionTask(severity, label, f"{one.what}. {why}", *on_page, one.icon, in_inbox, is_whole=True)
        yield from (
            AttentionTask(Severity.NOTICE, "Renamed", one.sentence, blocked_fields_url(), "Open", "edit")
            for one in renamed_columns(link)
        )


def _slowed_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """Boards that the day's quota makes wait for long: when they go on, and what asks Monday for its limit again."""
    calls, limit = data.calls, data.calls.limit if data.calls else None
    used = f" {round(calls.used):,} of today's {limit:,} calls are used." if calls and limit else ""
    url = reverse("admin:sync_try_again") if data.may_retry else ""
    for board in data.boards:
        if board.slowed_until:
            why = f"{board.title}: {board.wait_reason}{used}"
            yield AttentionTask(
                Severity.NOTICE, "Slowed", why, url, "Try again now", "hourglass", is_whole=True, is_post=True
            )


def _has_blocked(data: HealthData) -> bool:
    """Whether the inbox lists fields that are blocked, as those of a column or of a loop are."""
    return bool(data.counts.get(AttentionKind.BLOCKED))


def _divergence_tasks(data: HealthData) -> Iterator[AttentionTask]:
    verification = combine_results(data.attention.verifications.values())
    if not verification.differed:
        return
    what = humanize.count_with_noun(
        verification.differed, "record said “synced” and differed", "records said “synced” and differed"
    )
    url = reverse("admin:sync_verification_changelist")
    why = f"{what}. {verification.summary(data.now)}"
    yield AttentionTask(Severity.FAILED, "Differences", why, url, "Open", "difference")


def _write_loop_tasks(data: HealthData) -> Iterator[AttentionTask]:
    write_loops = data.attention.write_loops
    if not write_loops.fields or write_loops.until is None:
        return
    fields, records = humanize.count_with_noun(write_loops.fields, "field"), write_loops.records
    why = (
        f"{fields} of {humanize.count_with_noun(records, 'record')}. On the board, {write_loops.by or 'somebody'} "
        "writes another value after each of our writes, so nothing is "
        f"sent until {humanize.day_and_time(write_loops.until)}. Stop the automation that does it, or change the "
        "field's direction."
    )
    url = blocked_fields_url("throttled")
    yield AttentionTask(
        Severity.BLOCKED, "Update loop", why, url, "See the options", "sync_problem", in_inbox=_has_blocked(data),
        records=records,
    )  # fmt: skip


def _receiver_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """People whom no notification reaches: grave once one is switched off, for then nobody tries any more."""
    failing = data.attention.receivers
    if failing.has_none and any(board.has_board for board in data.boards):
        why, url = "Nobody is notified when the sync stops or something needs attention.", reverse("npd-notifications")
        yield AttentionTask(
            Severity.NOTICE, "Notifications", why, url, "Choose how", "notifications_off", is_counted=False
        )
    # A line for one's own stands there already.
    if failing.number <= data.counts.get(AttentionKind.NOTIFICATION, 0) or failing.since is None:
        return
    what = humanize.count_with_noun(failing.number, "notification receiver fails", "notification receivers fail")
    since = humanize.time_span((data.now - failing.since).total_seconds())
    if failing.stopped == failing.number:
        rest = "Nothing is sent there until the person corrects the address."
    elif failing.stopped:
        rest = f"{failing.stopped:,} of them switched off, until their people correct it."
    else:
        rest = "It is tried again automatically."
    severity = Severity.FAILED if failing.stopped else Severity.NOTICE
    url = reverse("admin:sync_notificationreceiver_changelist")
    why = f"{what}. Messages have not arrived for {since}. {rest}"
    yield AttentionTask(severity, "Notifications", why, url, "See why", "notifications_off")


def _clock_tasks(data: HealthData) -> Iterator[AttentionTask]:
    for one in clock_problems(data.attention.clocks.items(), data.attention.own_offset):
        severity = Severity.FAILED if one.discards else Severity.NOTICE
        url = reverse("admin:django_celery_beat_periodictask_changelist")
        yield AttentionTask(severity, "Wrong clock", one.sentence, url, "Schedule", "schedule")


def queue_url(query: str = "", part: str = "") -> str:
    """Return the address of the queue's list with filters, or of a part of its page."""
    listed = reverse("admin:sync_syncqueue_changelist")
    return f"{listed}{'?' + query if query else ''}{'#' + part if part else ''}"


# One line that says whether all is well, else what is wrong first.


def headline(
    boards: Sequence[BoardHealth],
    tasks: Sequence[AttentionTask],
    number: int,
    others: int = 0,
    paused: Sequence[str] = (),
) -> Badge:
    """Return it as a badge; what stops the sync and what is `paused` come before the `number` of things in the inbox.

    So it says what the inbox's badge says, and of how many records, where these are more; what that doesn't list,
    because it is about no record or item, counts only where it is empty. `others` are things that this person sees and
    other people act on.
    """
    stopped = [board.title for board in boards if board.reason and not board.is_paused]
    slowed = [board.title for board in boards if board.slowed_until]
    number = number or sum(task.is_counted and not task.in_inbox for task in tasks)
    records = sum(board.attention for board in boards)
    about = f": {humanize.count_with_noun(records, 'record')}" if records > number else ""
    failing = sum(board.failing for board in boards)
    what, pending = humanize.count_with_noun, sum(board.pending for board in boards)
    cases = (
        (not any(board.has_board for board in boards), "off", "link_off", "Not set up yet: nothing is synced"),
        (stopped, "bad", "block", f"Stopped: {', '.join(stopped)}"),
        (paused, "warn", "pause_circle", f"Paused: {'; '.join(paused)}"),
        (slowed, "warn", "hourglass", f"Slowed by the API quota: {', '.join(slowed)}"),
        (number, "warn", "front_hand", f"Syncing; {what(number, 'thing needs', 'things need')} attention{about}"),
        # Which the inbox says to who may see the queue.
        (failing, "warn", "front_hand", f"Syncing; {what(failing, 'change fails', 'changes fail')}"),
        (others, "off", "group", f"Nothing needs you; {what(others, 'thing needs', 'things need')} somebody else"),
        (pending, "wait", "sync", f"Syncing; {what(pending, 'record is', 'records are')} on the way"),
        (True, "ok", "check_circle", "All synced"),
    )
    return next(Badge(*badge) for holds, *badge in cases if holds)


# Health, the first page: everything of one moment, in a number of queries that doesn't grow.


MAX_CAUSES = 200
"""Causes that are read; a line names the three with the most entries."""

PAUSE_FORM = "npd-pause"
"""The part of the queue's page with the form that pauses."""


def health_context(
    request: HttpRequest, context: dict[str, Any], kind_urls: Mapping[AttentionKind, str]
) -> dict[str, Any]:
    """Add the first page's figures to its context, those that this person may see the rows of.

    `kind_urls` are the pages of kinds of the inbox that the sync knows none of.
    """
    panel, scope = panel_of(request), attention.scope_of(request.user)
    visible = [board for board in panel.boards if _may_see(request, board.spec.model)]
    period = MONTH if request.GET.get("days") == "30" else DAY
    found = load_attention(panel.now, [board.spec.entity_type for board in visible], panel.overview.links, period)
    set_up = any(board.availability.has_board for board in panel.boards)
    causes = attention.causes(scope, limit=MAX_CAUSES)
    single = [(one.entity_type, one.entity_id) for one in causes]
    names = registry.known_names(registry.visible_types(request.user), single)
    boards = _board_healths(visible, panel, found, scope, causes)
    tallies = tallies_of(request)  # the sidebar has asked already
    counts = {kind: tally.causes for kind, tally in tallies.items()}
    others = _causes(attention.tallies(replace(scope, kinds=scope.others))) if scope.others else 0
    paused = [label for label, _ in visible_pauses(request.user, panel.overview.pauses)]
    calls = None
    if _may_see(request, SyncQueue) and not panel.overview.missing_token:
        status = panel.overview
        calls = quota.forecast(status.budget_state, status.account)
    may_retry = is_allowed(request.user, QueueAction.RETRY)
    data = HealthData(boards, panel.overview.links, found, counts, causes, names, panel.now, calls, may_retry)
    tasks = attention_tasks(
        data,
        lambda model: _may_see(request, model),
        lambda kind: attention.may_act_on(request.user, kind, ""),
        kind_urls,
        rejection_act(request.user),
    )
    may_pause, is_connected = is_allowed(request.user, QueueAction.PAUSE), not panel.overview.missing_token
    number = _causes(tallies)
    since = min((one.since for one in causes if one.since), default=None)
    return context | {
        "boards": boards,
        "task_groups": [
            (title, group)
            for title, in_inbox in (("Needs attention", True), ("Boards and system", False))
            if (group := [task for task in tasks if task.in_inbox is in_inbox])
        ],
        "headline": headline(boards, tasks, number, others, paused) if boards else None,
        "in_inbox": number,
        "oldest": humanize.time_span((panel.now - since).total_seconds()) if since else "",
        "verified": _verified_text(found.verifications, [board.spec for board in visible], panel.now),
        "set_up": set_up,
        "checklist": (
            setup_checklist(request.user, panel.overview.links, connected=is_connected, running=found.applies_setup)
            if boards
            else []
        ),
        # What is paused whole has its Resume above the page.
        "pause_url": queue_url(part=PAUSE_FORM) if may_pause and not all(one.is_paused for one in boards) else "",
        **_queue_context(request, panel, period, found.figures, calls),
    }


_OF_RECORDS = frozenset(AttentionKind) - {AttentionKind.UNMATCHED, AttentionKind.WEBHOOK, AttentionKind.NOTIFICATION}
"""Kinds whose entries are about records."""


def _causes(tallies: Mapping[AttentionKind, Tally]) -> int:
    return sum(one.causes for one in tallies.values())


def _verified_text(found: Mapping[str, VerificationResult], specs: Sequence[registry.EntitySpec], now: datetime) -> str:
    """Return what the samples said of all boards together, and of which board that is the longest ago."""
    if not found:
        return ""
    sentence = combine_results(found.values()).summary(now)
    times = {spec.board_title: one.at if (one := found.get(spec.entity_type)) else None for spec in specs}
    if len(times) < 2:
        return sentence
    title, oldest = min(times.items(), key=lambda one: (one[1] is not None, one[1] or now))
    if oldest is None:
        return f"{sentence} Oldest: {title}, not verified yet."
    spans = {humanize.time_span((now - at).total_seconds()) for at in times.values() if at}
    if len(spans) == 1:
        return sentence
    return f"{sentence} Oldest: {title}, {humanize.time_span((now - oldest).total_seconds())} ago."


def _board_healths(
    visible: Sequence[BoardStatus],
    panel: QueuePanel,
    found: AttentionData,
    scope: AttentionScope,
    causes: Sequence[AttentionCause],
) -> list[BoardHealth]:
    counts = record_view.health_counts((board.spec for board in visible), panel.overview.pauses)
    of_records = [one for one in causes if one.kind in _OF_RECORDS] if len(causes) < MAX_CAUSES else []

    def number(kind: AttentionKind, entity_type: str) -> int | None:
        of_kind = [one.number for one in causes if (one.kind, one.entity_type) == (kind, entity_type)]
        return sum(of_kind) if kind in scope.kinds else None

    def rejected_at(entity_type: str) -> datetime | None:
        rejected = (one.since for one in causes if (one.kind, one.entity_type) == (AttentionKind.REJECTED, entity_type))
        return min(filter(None, rejected), default=None)

    def facts(entity_type: str) -> BoardFacts:
        link = panel.overview.links.get(entity_type)
        return BoardFacts(
            len({one.cause for one in of_records if one.entity_type == entity_type}),
            number(AttentionKind.FAILED, entity_type),
            number(AttentionKind.REMOVED, entity_type),
            found.edited_at.get(entity_type),
            rejected_at(entity_type),
            found.webhook_at.get(entity_type),
            has_webhooks=bool(link and link.webhooks),
        )

    return [
        board_health(board, counts.get(one, {}), found.verifications.get(one, VerificationResult()), facts(one))
        for board in visible
        for one in [board.spec.entity_type]
    ]


def _queue_context(
    request: HttpRequest, panel: QueuePanel, period: Period, figures: Sequence[Figure], calls: quota.Forecast | None
) -> dict[str, Any]:
    """What only who may see the queue is told."""
    if not _may_see(request, SyncQueue):
        return {"sees_queue": False}
    return {
        "sees_queue": True,
        "queue": queue_text(panel.boards),
        "queue_url": queue_url(),
        "allowance": calls,
        "allowance_as_of": humanize.time_of_day(calls.as_of) if calls and calls.as_of else "",
        "period": period,
        "periods": PERIODS,
        **_charts(time_charts(period, panel.now, figures, calls)),
    }


def _charts(charts: Sequence[TimeChart]) -> dict[str, Any]:
    """Those that show something; what the others say, as sentences; the first, of edits, in one; and that of the API's
    calls, which few need.
    """
    *shown, calls = charts
    sentences = [one.sentence for one in shown if not one.series]
    return {
        "charts": [one for one in shown if one.series],
        "edits_sentence": shown[0].sentence.partition(". ")[0].removesuffix(".") + ".",
        # What one says as the beginning of another isn't said twice.
        "chart_sentences": [
            one for place, one in enumerate(sentences) if not any(other.startswith(one) for other in sentences[:place])
        ],
        "calls_chart": calls,
    }


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    return registry.may_view(request.user, model._meta.label_lower)


def queue_text(boards: Sequence[BoardStatus]) -> str:
    """Return how the queue stands, as a sentence."""
    of_items = sum(board.pending_of_items for board in boards)
    waiting = sum(board.pending for board in boards) - of_items
    working = sum(number_of(board.jobs(QueueStatus.IN_PROGRESS)) for board in boards)
    items = f" {humanize.count_with_noun(of_items, 'job is', 'jobs are')} about unmatched items." if of_items else ""
    if not waiting and not working:
        return f"No job of a record is pending.{items}" if items else "No job is pending."
    since = min((board.due_since for board in boards if board.due_since), default=None)
    age = f", the oldest due for {humanize.time_span((boards[0].now - since).total_seconds())}" if since else ""
    jobs = humanize.count_with_noun
    return f"{jobs(waiting, 'job')} pending{age}; {jobs(working, 'job')} in progress.{items}"
