"""Health, the first page of the admin: one line that says whether all is well, what needs a person, the boards
and the API quota, in a number of queries that does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db.models import F, Min, Model, Q
from django.http import HttpRequest
from django.urls import reverse

from sync import attention, registry
from sync.admin.admin_base import overview_of
from sync.admin.attention_pages import listed_scope, tallies_of
from sync.admin.board_cards import Badge, BoardHealth, BoardStatus, health_url
from sync.admin.connection_pages import has_answered, setup_checklist
from sync.admin.queue_pages import pause_url
from sync.admin.record_panel import inbox_url, may_change_mapping, rejection_act
from sync.attention import Group, Kind, Tally
from sync.boards.board_columns import renamed_columns
from sync.choices import Cause, QueueStatus
from sync.kernel import humanize
from sync.limits import quota
from sync.models import BoardLink, NotificationReceiver, QueuePause, SyncQueue, UnmatchedItem, Verification
from sync.models.jobs import QueueAction, is_allowed
from sync.models.receivers import Frequency
from sync.operations.detect import board_problems, last_webhook
from sync.operations.detect.comparison import VerificationResult, combine_results, verifications
from sync.operations.setup.run import is_running
from sync.records.availability import Overdue, Overview, number_of, overdue_boards
from sync.state import record_view
from sync.state.record_view import RecordState

_EDITS = Cause.SAVE | Cause.PERSON | Cause.WEBHOOK


@dataclass(frozen=True)
class AttentionData:
    """What was read at one moment."""

    is_somebody_notified: bool
    verifications: Mapping[str, VerificationResult]
    edited_at: Mapping[str, datetime]
    webhook_at: Mapping[str, datetime | None]
    applies_setup: bool


def load_attention(types: Collection[str], links: Mapping[str, BoardLink]) -> AttentionData:
    """Read what isn't about single records, and what samples of these types said."""
    # As an OR, for which PostgreSQL unites the partial indexes.
    is_live = Q(status=QueueStatus.PENDING) | Q(status=QueueStatus.IN_PROGRESS) | Q(status=QueueStatus.FAILED)
    edits = SyncQueue.objects.filter(is_live, entity_id__isnull=False)
    edits = edits.alias(edits=F("causes").bitand(int(_EDITS))).exclude(edits=0).order_by()
    return AttentionData(
        NotificationReceiver.objects.exclude(frequency=Frequency.OFF).exists(),
        {one: found for one, found in verifications().items() if one in types},
        dict(edits.values_list("entity_type").annotate(at=Min("created_at"))),
        {entity_type: last_webhook(link) for entity_type, link in links.items()},
        any(is_running(link) for link in links.values()),
    )


# What needs a person: each thing with its cause, what it means, and one button.


MAX_WHY_LENGTH = 240


class Severity(IntEnum):
    """What comes first on the page, as in the inbox: after what fails, red as in the queue, what may be lost."""

    FAILED = 1
    DELETION = 2
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
    is_counted: bool = True
    """Whether it is one of the things that need attention, or advice."""
    is_post: bool = False
    age: str = ""
    """For how long it, or the oldest of several, has waited, where that is known."""

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
    counts: Mapping[Kind, int]
    causes: Sequence[Group]
    names: Mapping[tuple[str, Any], str]
    now: datetime
    calls: quota.Forecast | None = None
    may_retry: bool = False
    stalled: Sequence[Overdue] = ()


@dataclass(frozen=True)
class _KindLine:
    """How one kind of the inbox is told in a line; `url` is where who may act on its entries does it, if not there.

    `button` is for who may do it, and with `is_for_viewers` for who may only look as well.
    """

    severity: Severity
    button: str
    icon: str
    url: str = ""
    is_for_viewers: bool = False


def attention_tasks(
    data: HealthData,
    may_view: Callable[[type[Model]], bool],
    may_act: Callable[[Kind], bool],
    kind_urls: Mapping[Kind, str],
    fix: str,
) -> list[AttentionTask]:
    """Return what a person who may view the rows of these models is told of it, the gravest first.

    `kind_urls` are the pages of kinds that the sync knows none of; `fix` is what this person does with rejected values.
    """
    found = list(_kind_tasks(data, may_act, kind_urls, fix))
    parts: tuple[tuple[type[Model], Callable[[HealthData], Iterator[AttentionTask]]], ...] = (
        (SyncQueue, _stalled_tasks),
        (BoardLink, _board_problem_tasks),
        (BoardLink, _slowed_tasks),
        (Verification, _divergence_tasks),
        (NotificationReceiver, _receiver_tasks),
    )
    for model, part_tasks in parts:
        found += part_tasks(data) if may_view(model) else []
    # Of one severity in the order of the inbox.
    return sorted(found, key=lambda task: task.severity)


def _kind_lines(fix: str) -> Mapping[Kind, _KindLine]:
    return {
        Kind.FAILED: _KindLine(Severity.FAILED, "Open", "error"),
        Kind.NOTIFICATION: _KindLine(Severity.FAILED, "See why", "notifications_off", reverse("npd-notifications")),
        Kind.APPROVAL: _KindLine(Severity.DELETION, "Decide", "gpp_maybe"),
        Kind.REMOVED: _KindLine(Severity.DELETION, "Answer", "delete_sweep"),
        Kind.CONFLICT: _KindLine(Severity.CONFLICT, "Resolve", "call_split"),
        Kind.DUPLICATE: _KindLine(Severity.CONFLICT, "Decide", "group"),
        Kind.REJECTED: _KindLine(Severity.REJECTED, fix, "front_hand"),
        Kind.BLOCKED: _KindLine(Severity.BLOCKED, "See why", "front_hand", is_for_viewers=True),
        Kind.UNMATCHED: _KindLine(Severity.UNMATCHED, "Open", "fiber_new"),
    }


def _kind_tasks(
    data: HealthData, may_act: Callable[[Kind], bool], kind_urls: Mapping[Kind, str], fix: str
) -> Iterator[AttentionTask]:
    """A line for each kind of the inbox, with its causes, that of the most entries first."""
    for kind, line in _kind_lines(fix).items():
        if not data.counts.get(kind):
            continue
        causes = sorted((one for one in data.causes if one.kind is kind), key=lambda one: -one.number)
        told = humanize.join_first([_told(one, data.names) for one in causes], separator="; ")
        why = humanize.shorten(told, MAX_WHY_LENGTH)
        why += "" if not why or why.endswith(("…", "?")) else "."
        since, number = min((one.since for one in causes if one.since), default=None), sum(one.number for one in causes)
        may = may_act(kind)
        yield AttentionTask(
            line.severity,
            str(kind.label),
            why,
            (may and (kind_urls.get(kind) or line.url)) or inbox_url(kind),
            line.button if line.is_for_viewers or may else "Open",
            line.icon,
            in_inbox=True,
            age=_age(since, data.now, number) if since else "",
        )


def _age(since: datetime, now: datetime, number: int) -> str:
    span = humanize.time_span((now - since).total_seconds())
    return f"For {span}" if number == 1 else f"Oldest {span} ago"


def _told(cause: Group, names: Mapping[tuple[str, Any], str]) -> str:
    """What happened, and to which record or to how many."""
    about = cause.count_text or names.get((cause.entity_type, cause.code), cause.board)
    if cause.entity_id is not None:
        about = names.get((cause.entity_type, cause.entity_id), "")
    return (f"{about}: " if about else "") + cause.text.rstrip(".")


_PROBLEM_LABELS = {"columns": "Blocked", "webhooks": "Not reported", "sweeps": "Missed changes"}


def _board_problem_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """What lets nothing new be made, webhooks that don't come, sweeps that can't be finished."""
    # Of a board that is stopped the check for missed changes is due at once when that ends.
    stopped = {board.spec.entity_type for board in data.boards if board.availability.is_stopped}
    for spec in registry.entities():
        link = data.links.get(spec.entity_type)
        if link is None:
            continue
        url = reverse("admin:sync_boardlink_change", args=[link.pk])
        for one in board_problems(link, spec.board_title, ()):  # of fields the inbox has them
            if one.about == "sweeps" and spec.entity_type in stopped:
                continue
            severity = Severity.BLOCKED if one.about == "columns" else Severity.FAILED
            why = f"{one.what}. {humanize.without_request_id(one.why)}"
            yield AttentionTask(severity, _PROBLEM_LABELS[one.about], why, url, "Open the board", one.icon)
        yield from (
            AttentionTask(Severity.NOTICE, "Renamed", one.sentence, url, "Open", "edit")
            for one in renamed_columns(link)
        )


def _stalled_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """Boards on which nobody works though they could."""
    for one in data.stalled:
        span = humanize.time_span(one.seconds)
        why = f"{registry.board_title(one.entity_type)}: due jobs haven't moved for {span}: {one.reason}."
        yield AttentionTask(Severity.FAILED, "Not moving", why, queue_url(), "Open the queue", "block")


def _slowed_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """Boards that the day's quota makes wait for long: when they go on, and what asks Monday for its limit again."""
    used = f"{data.calls.used_text} are used." if data.calls and data.calls.used_text else ""
    url = reverse("admin:sync_try_again") if data.may_retry else ""
    for board in data.boards:
        if board.slowed_until:
            why = f"{board.title}: {used or board.wait_reason}"
            yield AttentionTask(Severity.NOTICE, "Slowed", why, url, "Try again now", "hourglass", is_post=True)


def _divergence_tasks(data: HealthData) -> Iterator[AttentionTask]:
    verification = combine_results(data.attention.verifications.values())
    if not verification.differed:
        return
    what = humanize.count_with_noun(
        verification.differed, "record said “synced” and differed", "records said “synced” and differed"
    )
    url = f"{reverse('admin:sync_verification_changelist')}?differed__gt=0"
    why = f"{what}. {verification.summary(data.now)}"
    yield AttentionTask(Severity.FAILED, "Differences", why, url, "Open", "difference")


def _receiver_tasks(data: HealthData) -> Iterator[AttentionTask]:
    """The advice to let somebody be notified; messages that don't arrive are in the inbox."""
    if not data.attention.is_somebody_notified and any(board.availability.has_board for board in data.boards):
        why = "Nobody is notified when the sync stops or something needs attention."
        url = reverse("npd-notifications")
        yield AttentionTask(
            Severity.NOTICE, "Notifications", why, url, "Choose how", "notifications_off", is_counted=False
        )


def queue_url(query: str = "") -> str:
    """Return the address of the queue's list with filters."""
    listed = reverse("admin:sync_syncqueue_changelist")
    return f"{listed}?{query}" if query else listed


# One line that says whether all is well, else what is wrong first. What stops or pauses the sync stands above it.


def headline(
    boards: Sequence[BoardHealth],
    tasks: Sequence[AttentionTask],
    number: int,
    others: int = 0,
    *,
    paused: Sequence[QueuePause] = (),
    stalled: Sequence[Overdue] = (),
) -> Badge | None:
    """Return it as a badge: the `number` of things in the inbox, else what comes after that; None where all there is to
    say is that a part is paused. Of a stop, or where all is paused, which stand there first, it is what is so besides.

    So it says what the inbox's badge says, and of how many records, where these are more; what that doesn't list,
    because it is about no record or item, counts only where it is empty. `others` are things that this person sees and
    other people act on.
    """
    slowed = [board for board in boards if board.slowed_until]
    number = number or sum(task.is_counted and not task.in_inbox for task in tasks)
    records = sum(board.number(RecordState.ATTENTION) for board in boards)
    about = f": {humanize.count_with_noun(records, 'record')}" if records > number else ""
    failing = sum(board.failing for board in boards)
    has_board = any(board.availability.has_board for board in boards)
    what, pending = humanize.count_with_noun, sum(board.number(RecordState.PENDING) for board in boards)
    stop = any(board.availability.is_stopped for board in boards)
    is_still, is_all_paused = bool(paused) or stop, any(not pause.entity_type for pause in paused)
    syncing = "" if is_still else "Syncing; "
    later = ", and synced once sync goes on" if is_still else ""
    warn, wait = ("warn", "front_hand"), ("wait", "sync")
    if stop:
        warn = wait = ("bad", "block")
    cases = (
        (not has_board, "off", "link_off", "Not set up yet: nothing is synced"),
        (bool(stalled), "bad", "block", "Nothing is synced: due jobs don't move"),
        (slowed and not stop, "warn", "hourglass", _slowed_text(slowed) if slowed else ""),
        (number, *warn, f"{syncing}{what(number, 'thing needs', 'things need')} attention{about}"),
        # Which the inbox says to who may see the queue.
        (failing, *warn, f"{syncing}{what(failing, 'change fails', 'changes fail')}"),
        (
            others and not stop,
            "off",
            "group",
            f"Nothing needs you; {what(others, 'thing needs', 'things need')} somebody else",
        ),
        (pending and not stop, *wait, f"{syncing}{what(pending, 'record is', 'records are')} pending{later}"),
        (stop, "bad", "block", ""),
        (is_all_paused, "warn", "pause_circle", ""),
        (not is_still, "ok", "check_circle", "All synced"),
    )
    found = next((Badge(*badge) for holds, *badge in cases if holds), None)
    return replace(found, kind="warn", icon="pause_circle") if found and is_all_paused and not stop else found


def _slowed_text(boards: Sequence[BoardHealth]) -> str:
    """How long the quota makes these boards wait, and for how much that is."""
    until = max((one.availability.until, one.slowed_until) for one in boards if one.availability.until)[1]
    waiting = humanize.count_with_noun(sum(one.pending for one in boards), "change waits", "changes wait")
    return f"Slowed by the API quota until {until}: {waiting} ({', '.join(one.title for one in boards)})"


def _waiting_edits(boards: Sequence[BoardHealth]) -> list[tuple[str, str]]:
    """How many records wait for the end of a stop, each number with its list."""
    waiting = ((board, board.number(RecordState.PENDING)) for board in boards if board.availability.is_stopped)
    return [
        (
            f"{registry.count_of_type(number, board.spec.entity_type)} {'waits' if number == 1 else 'wait'}",
            health_url(board.spec, RecordState.PENDING.value),
        )
        for board, number in waiting
        if number
    ]


# Health, the first page: everything of one moment, in a number of queries that doesn't grow.


MAX_CAUSES = 200
"""Causes that are read; a line names the three with the most entries."""


def health_context(request: HttpRequest, context: dict[str, Any], kind_urls: Mapping[Kind, str]) -> dict[str, Any]:
    """Add the first page's figures to its context, those that this person may see the rows of.

    `kind_urls` are the pages of kinds of the inbox that the sync knows none of.
    """
    user, now, scope = request.user, overview_of(request), listed_scope(request.user)
    links, connected = now.links, has_answered(now)
    every = [BoardStatus(registry.entity(board.entity_type), board, now) for board in now.shown]
    visible = [board for board in every if _may_see(request, board.spec.model)]
    found = load_attention([board.spec.entity_type for board in visible], links)
    seen_kinds = scope.kinds | scope.others & {Kind.BLOCKED}
    seen = attention.groups(replace(scope, kinds=seen_kinds), limit=MAX_CAUSES)
    causes = [one for one in seen if one.kind in scope.kinds]
    boards = _board_healths(user, visible, now, found, causes, [one for one in seen if one.column_of])
    tallies = tallies_of(request)  # the sidebar has asked already
    counts, number = {kind: tally.causes for kind, tally in tallies.items()}, _causes(tallies)
    others = _causes(attention.tallies(replace(scope, kinds=scope.others))) if scope.others else 0
    paused = list(now.pauses)
    sees_calls = _may_see(request, SyncQueue) and not now.missing_token
    calls = quota.forecast(now.budget_state, now.account) if sees_calls else None
    stalled = overdue_boards(settings.READY_MAX_DUE_SECONDS, now)
    data = HealthData(
        boards, links, found, counts, causes, _names_of(causes), now.now, calls,
        is_allowed(user, QueueAction.RETRY), stalled,
    )  # fmt: skip
    tasks = attention_tasks(
        data,
        lambda model: _may_see(request, model),
        lambda kind: attention.may_act_on(user, kind, ""),
        kind_urls,
        rejection_act(user),
    )
    runs = not all(one.availability.is_paused or one.availability.is_stopped for one in boards)
    since = min((one.since for one in causes if one.since), default=None)
    return context | {
        "boards": boards,
        "task_groups": _task_groups(tasks),
        "headline": headline(boards, tasks, number, others, paused=paused, stalled=stalled) if boards else None,
        "waiting": _waiting_edits(boards),
        "in_inbox": number,
        "oldest": humanize.time_span((now.now - since).total_seconds()) if since else "",
        "verified": _verified_text(found.verifications, [board.spec for board in visible], now.now),
        "set_up": any(board.availability.has_board for board in every),
        "checklist": setup_checklist(user, links, connected=connected, running=found.applies_setup) if boards else [],
        # What is paused or stopped whole has its button above the page.
        "pause_url": pause_url(request) if runs else "",
        **_queue_context(request, every, calls),
    }


def _names_of(causes: Sequence[Group]) -> dict[tuple[str, Any], str]:
    """The names of their records, and of each unmatched item that is the only one of its cause by board and reason."""
    records = registry.record_names((cause.entity_type, cause.entity_id) for cause in causes)
    single = [
        Q(entity_type=cause.entity_type, reason_code=cause.code)
        for cause in causes
        if cause.kind is Kind.UNMATCHED and cause.number == 1
    ]
    items = UnmatchedItem.objects.filter(reduce(or_, single), ignored_at=None).exclude(name="") if single else ()
    return {(item.entity_type, item.reason_code): f"“{item.name}”" for item in items} | records


def _task_groups(tasks: Sequence[AttentionTask]) -> list[tuple[str, list[AttentionTask]]]:
    """What the inbox lists and the rest, that with the gravest first."""
    groups = [
        (title, [task for task in tasks if task.in_inbox is in_inbox])
        for title, in_inbox in (("Needs attention", True), ("Boards and system", False))
    ]
    return sorted((one for one in groups if one[1]), key=lambda one: one[1][0].severity)


def _causes(tallies: Mapping[Kind, Tally]) -> int:
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
    user: Any,
    visible: Sequence[BoardStatus],
    now: Overview,
    found: AttentionData,
    causes: Sequence[Group],
    columns: Sequence[Group],
) -> list[BoardHealth]:
    counts = record_view.health_counts((board.spec for board in visible), now.pauses)

    def rejected_at(entity_type: str) -> datetime | None:
        rejected = (one.since for one in causes if (one.kind, one.entity_type) == (Kind.REJECTED, entity_type))
        return min(filter(None, rejected), default=None)

    return [
        BoardHealth(
            board.spec,
            board.availability,
            board.overview,
            counts.get(one, {}),
            found.verifications.get(one, VerificationResult()),
            found.edited_at.get(one),
            rejected_at(one),
            found.webhook_at.get(one),
            [column for column in columns if column.entity_type == one and column.records],
            reverse("admin:sync_boardlink_check", args=[board.availability.link.pk])
            if board.availability.link and not board.availability.blocked_reason and may_change_mapping(user)
            else "",
        )
        for board in visible
        for one in [board.spec.entity_type]
    ]


def _queue_context(request: HttpRequest, boards: Sequence[BoardStatus], calls: quota.Forecast | None) -> dict[str, Any]:
    if not _may_see(request, SyncQueue):
        return {"sees_queue": False}
    return {
        "sees_queue": True,
        "queue": queue_text(boards),
        "queue_url": queue_url(),
        "allowance": calls,
        "refused": humanize.time_of_day(calls.refused_at) if calls and calls.refused_at else "",
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
