"""The sweep, which finds a board's changes since its last one, stores them like webhooks, and enqueues their items.

The cursor (`BoardLink.swept_to`) is the newest time, by Monday's clock, of an entry that a finished sweep has stored.
Each sweep begins an overlap before it, because log entries come late and out of order, and once an hour an hour before;
an entry that is read twice is stored once. A sweep that fails doesn't move the cursor, and stores the reason on the
board link. One that would take more than its share of the day's calls leaves a gap, with which the next one goes on.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import models, transaction

from sync import registry
from sync.boards import availability, board_columns
from sync.boards.webhooks import check_silence, check_webhooks
from sync.choices import Cause, Priority, QueueDirection, UnmatchedReason
from sync.clock import SyncNow, parse_moment, sync_now
from sync.fields.field_values import ACTIVE
from sync.fields.sync_filter import SyncFilter
from sync.kernel import process
from sync.kernel.db import fetch_rows, storable_json
from sync.limits import api_quota, breaker, probes
from sync.limits.metered_client import connector
from sync.models import (
    BoardLink,
    IgnoredItem,
    Intent,
    IntentState,
    MondayAccount,
    SyncMetadata,
    UnmatchedItem,
    WebhookEvent,
)
from sync.monday import board_events, errors, lag
from sync.monday.board_events import LOG_PREFIX, EventKind, ItemEvent
from sync.outbox import enqueue, enqueue_comparison, enqueue_unmatched
from sync.records.inbox import MAX_ID_CHARACTERS, UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import UnmatchedFinding, item_names, note_unmatched
from sync.words.message import Message, of_error, sentences

log = structlog.get_logger(__name__)

# Between two sweeps of a board if the quota is large or unknown.
MIN_INTERVAL_SECONDS = 600

# However small the quota, missed webhooks are found on the same day.
MAX_INTERVAL_SECONDS = 6 * 3_600

# The calls of a day if the quota is unknown, for the share of a sweep that has a lot to read.
UNKNOWN_DAY_LIMIT = 10_000

# Newer changes are left to the next sweep, because their webhooks or log entries may still be on their way.
GRACE = timedelta(minutes=2)

# The first passes of a set-up link most items sooner.
UNDECIDED_AFTER = timedelta(minutes=10)

# The times of a log entry and of its webhook differ by at most this much.
SAME_MOMENT = timedelta(seconds=30)

# Our clock and Monday's differ by at most this much.
CLOCKS_DIFFER = timedelta(minutes=10)

# An event's item, column and type.
EventKey = tuple[str | None, str | None, str]

FOUND_BY_SWEEP = "found by a check for missed changes: its items are read"

_STORE_EVENTS = """
    INSERT INTO sync_webhook_events (trigger_id, board_id, item_id, column_id, type, body, outcome, processed_at)
    SELECT event.trigger_id, event.board_id, event.item_id, event.column_id, event.type, event.body, event.outcome,
        CASE WHEN event.outcome = '' THEN NULL ELSE sync_now() END
    FROM jsonb_to_recordset(%s::jsonb) AS event (trigger_id text, board_id text, item_id text, column_id text,
        type text, body jsonb, outcome text)
    WHERE NOT EXISTS (SELECT FROM sync_ignored_items AS item WHERE item.item_id = event.item_id AND item.erased)
    ON CONFLICT (trigger_id, item_id, column_id, type) DO NOTHING
    RETURNING item_id, outcome
"""


def sweep_interval() -> timedelta:
    """Return the time between two sweeps of a board."""
    limit = api_quota.read_quota().day_limit
    if not limit:
        return timedelta(seconds=MIN_INTERVAL_SECONDS)
    boards = max(1, BoardLink.objects.exclude(board_id="").count())
    seconds = 86_400 * boards / (limit * lag.SWEEP_SHARE)
    return timedelta(seconds=min(MAX_INTERVAL_SECONDS, max(MIN_INTERVAL_SECONDS, seconds)))


def calls_a_day() -> int:
    """Return how many calls a day the sweeps of one board may take, two at least: no single sweep takes more."""
    boards = max(1, BoardLink.objects.exclude(board_id="").count())
    limit = api_quota.read_quota().day_limit or UNKNOWN_DAY_LIMIT
    return max(2, int(limit * lag.SWEEP_SHARE / boards))


def boards_to_sweep() -> Iterator[BoardLink]:
    """Take and yield the boards whose sweep is due, each for one worker only.

    The first sweep of a board only sets its time, because set-up and comparison find earlier changes.
    """
    wait = sweep_interval()
    for link in availability.readable_boards():
        # While all calls are stopped and no job is due, nobody else makes the probe.
        if process.is_shutting_down() or not probes.probe_if_due():
            return
        if BoardLink.objects.filter(pk=link.pk, swept_at=None).update(swept_at=SyncNow(), swept_to=SyncNow()):
            continue
        due = BoardLink.objects.filter(pk=link.pk, swept_at__lte=SyncNow() - wait)
        if due.update(swept_at=SyncNow()):
            yield link


@dataclass(frozen=True)
class SweepResult:
    """The counts of one board's sweep."""

    new_events: int = 0  # made of log entries whose webhook never came
    problem: str = ""  # why the sweep failed


def sweep_due_boards() -> list[SweepResult]:
    return [sweep_board(link) for link in boards_to_sweep()]


def sweep_board(link: BoardLink, *, grace: timedelta = GRACE) -> SweepResult:
    """Read a board's changes from Monday and store them in the inbox; a failure is stored on the link, not raised."""
    try:
        new_events = _LogSweep(link, grace).run()
    except errors.MondayError as error:
        if error.kind is errors.SHUTTING_DOWN:
            # Undo the claim, which `link` doesn't have, so that it is due again at once. Its cursor has not moved.
            BoardLink.objects.filter(pk=link.pk).update(swept_at=link.swept_at)
            return SweepResult(problem=of_error(error))
        problem = sentences(Message("log_not_asked"), of_error(error))
        BoardLink.objects.filter(pk=link.pk).update(swept_at=SyncNow(), sweep_problem=problem)
        # As in a pass, errors of the account or the board stop it.
        if not breaker.stop_if_shared(error) and error.scope is errors.Scope.BOARD:
            breaker.stop_board(link, error)
        log.warning("sweep not finished", board=link.entity_type, reason=error.sentence)
        return SweepResult(problem=problem)
    # A log that is read doesn't prove that items are, so a pass that comes next finds out.
    if not probes.is_read_next():
        breaker.forget_failures(has_written=False)
    _enqueue_undecided_items(link)
    link.refresh_from_db(fields=["stops"])
    probes.end_stop_of_shown(link)
    if new_events:
        log.info("sweep found", board=link.entity_type, events=new_events)
    return SweepResult(new_events)


class _LogSweep:
    """Reads a board's log: its new entries, then those between two times that an earlier sweep left (the gap)."""

    def __init__(self, link: BoardLink, grace: timedelta) -> None:
        self.link = link
        self.monday = connector()
        self.now = sync_now()
        self.settled_to = self.now - grace  # later entries are left to the next sweep
        # A board's first cursor is a time of ours; later ones are times of Monday's entries.
        self.cursor = link.swept_to or self.now
        self.state = dict(link.log_state)
        self.begin = _begin_of_log(link, self.state, self.cursor, self.now)
        self.calls = 1
        self.most_calls = calls_a_day()
        self.full_page = board_events.log_form(self.monday.api.version).rows
        self.new_events = 0  # that no webhook reported

    def run(self) -> int:
        """Store the changes that no webhook reported, and return how many; check columns and webhooks, too.

        Raises MondayError.
        """
        link = self.link
        activity = self.monday.read_activity(link.board_id, self.begin)
        if activity.log_problem:
            todo = errors.LOG_SHAPE_CHANGED.for_administrator
            reason = activity.log_problem.sentence
            log.warning("activity log not read", board=link.entity_type, reason=reason, todo=todo)
        board_columns.store_columns(link, activity.board)
        if activity.user_id:
            MondayAccount.objects.filter(id=1).update(user_id=activity.user_id)
        is_continuous = "gap" in self.state or (link.log_read_to is not None and self.begin <= link.log_read_to)
        if activity.log is not None:
            self._store_new_entries(activity, activity.log)
            self._store_entries_of_gap()
        self._store_progress(activity, is_continuous=is_continuous)
        if "gap" not in self.state:
            _note_end_of_log(link, self.settled_to)
        check_webhooks(link, activity.hooks)
        check_silence(link, activity.user_id)
        return self.new_events

    def _store_new_entries(
        self, activity: board_events.BoardActivity, first_page: Sequence[board_events.ActivityEntry]
    ) -> None:
        """Read the new entries, the newest first; those beyond the sweep's calls belong to the gap."""
        if first_page:
            self.state["newest_row"] = max(entry.at for entry in first_page).isoformat()
        pages = chain([first_page], self.monday.read_log(self.link.board_id, self.begin, after=activity))
        for number, entries in enumerate(pages, 1):
            self.calls = number
            settled = [entry for entry in entries if entry.at <= self.settled_to]
            self.cursor = max([self.cursor, *(entry.at for entry in settled)])
            self.new_events += store_missed_changes(self.link, settled)
            if number >= self.most_calls and len(entries) >= self.full_page:
                gap = self.state.get("gap", {"from": self.begin.isoformat()})
                self.state["gap"] = {"from": gap["from"], "to": entries[-1].at.isoformat()}
                return

    def _store_entries_of_gap(self) -> None:
        """Read the gap's entries, the newest first, with the calls that are left."""
        gap = self.state.get("gap")
        if gap is None:
            return
        begin = max(parse_moment(gap["from"]) or self.begin, _oldest_begin(self.now))
        pages = self.monday.read_log(self.link.board_id, begin, parse_moment(gap["to"]) or self.now)
        while self.calls < self.most_calls and (entries := next(pages, None)) is not None:
            self.calls += 1
            self.new_events += store_missed_changes(self.link, entries)
            if len(entries) < self.full_page:
                del self.state["gap"]
                return
            self.state["gap"] = {"from": gap["from"], "to": entries[-1].at.isoformat()}

    def _store_progress(self, activity: board_events.BoardActivity, *, is_continuous: bool) -> None:
        """Store how far the log is read, and when the next sweep is due."""
        link = self.link
        # Whoever took more than one call waits for longer, so that all sweeps of a day keep to their share.
        extra = timedelta(days=1) / self.most_calls * self.calls - sweep_interval()
        next_wait = min(max(extra, timedelta(0)), timedelta(seconds=MAX_INTERVAL_SECONDS))
        read_from = min(self.begin, link.log_read_from or self.begin) if is_continuous else self.begin
        newest_row = parse_moment(self.state.get("newest_row"))
        shown_since = newest_row + lag.ECHO_WINDOW if newest_row else read_from
        is_silent = _is_silent(link, shown_since, self.now - lag.OVERLAP)
        BoardLink.objects.filter(pk=link.pk).update(
            swept_to=self.cursor,
            swept_at=SyncNow() + next_wait,
            sweep_problem=of_error(activity.log_problem) if activity.log_problem else "",
            log_state=self.state,
            log_read_from=None if activity.log is None or is_silent else read_from,
        )


def _enqueue_undecided_items(link: BoardLink) -> None:
    """Enqueue items that a set-up planned to link and no pass has decided about: their records changed or are gone."""
    if not link.creates_records:
        return
    rows = UnmatchedItem.objects.filter(entity_type=link.entity_type, is_unplanned=True, ignored_at=None)
    undecided = rows.filter(reason_code=UnmatchedReason.QUEUED, last_seen__lte=SyncNow() - UNDECIDED_AFTER)
    enqueue_items(link, undecided.values_list("item_id", flat=True), cause=Cause.SWEEP)


def _is_silent(link: BoardLink, since: datetime, until: datetime) -> bool:
    """Whether webhooks or our own writes changed the board between these times, in which its log shows no row."""
    webhooks = WebhookEvent.objects.filter(board_id=link.board_id, received_at__range=(since, until))
    writes = Intent.objects.filter(board_id=link.board_id, state=IntentState.APPLIED, settled_at__range=(since, until))
    return webhooks.exclude(trigger_id__startswith=LOG_PREFIX).exists() or writes.exists()


def _begin_of_log(link: BoardLink, state: dict[str, Any], cursor: datetime, now: datetime) -> datetime:
    """Return from when on this sweep reads the log; `state` gets the time if it is further back than usual."""
    since = parse_moment(state.setdefault("since", cursor.isoformat())) or cursor
    read_again_at = parse_moment(state.get("read_again_at")) or since
    begin = begin_of_sweep(cursor, now)
    if "gap" in state:
        # Rows that come late are left to the sweep after the gap is closed.
        return max(begin, cursor)
    if now - read_again_at >= lag.LONG_OVERLAP_EVERY:
        begin = begin_of_sweep(cursor, now, max(since, read_again_at - lag.LONG_OVERLAP))
        state["read_again_at"] = now.isoformat()
    return min(begin, _begin_for_emptied_cells(link, now) or begin)


def _note_end_of_log(link: BoardLink, read_to: datetime) -> None:
    """Store until when the log was read; records with cells emptied before are read again, as it is known by whom."""
    BoardLink.objects.filter(pk=link.pk).update(log_read_to=read_to)
    ids = [
        UUID(sync_state.entity_id)
        for sync_state in _with_emptied_cells(link)
        if any(datetime.fromisoformat(read_at) <= read_to for read_at in sync_state.emptied.values())
    ]
    enqueue_comparison(link.entity_type, ids)


def _begin_for_emptied_cells(link: BoardLink, now: datetime) -> datetime | None:
    """Return from when on the log tells whether somebody emptied cells; None if it was read from then on."""
    waiting = _with_emptied_cells(link)
    bases = [sync_state.base[key] for sync_state in waiting for key in sync_state.emptied if key in sync_state.base]
    agreed = min((datetime.fromisoformat(base["at"]) for base in bases if "at" in base), default=None)
    if agreed is None or (link.log_read_from and link.log_read_from <= agreed):
        return None
    return begin_of_sweep(agreed, now)


def _with_emptied_cells(link: BoardLink) -> models.QuerySet[SyncMetadata]:
    """Return the sync states of the records with cells that are empty without a word about it."""
    return SyncMetadata.objects.of(link.entity_type).filter(remote_state=ACTIVE).exclude(emptied={})


def begin_of_sweep(cursor: datetime, now: datetime, earlier: datetime | None = None) -> datetime:
    """Return from when on the log is read: from `earlier` on, if that is before the usual overlap.

    Older changes are left to the comparison: they can't be checked for lost updates, because our writes of that time
    are pruned, and what webhooks reported then isn't known any more.
    """
    return max(min(cursor - lag.OVERLAP, earlier or cursor), _oldest_begin(now))


def _oldest_begin(now: datetime) -> datetime:
    return now - timedelta(days=settings.JOURNAL_DAYS - 1)


def store_missed_changes(link: BoardLink, entries: Sequence[board_events.ActivityEntry]) -> int:
    """Store the entries that no webhook reported, and enqueue their items; return how many were new.

    `entries` begin with the newest, as in the log; they are stored from the oldest on.
    """
    if unreadable := sum(entry.id == board_events.UNREADABLE_ROW for entry in entries):
        log.warning("rows of the activity log not read", board=link.entity_type, rows=unreadable)
    bodies = [body for entry in reversed(entries) for body in board_events.webhook_bodies(entry, link.board_id)]
    events = [(body, event) for body in bodies if (event := _parse_event(body)) is not None]
    if not SyncFilter.parse(link.sync_filter).asks_group:
        # Without a group filter, a move between groups changes nothing.
        events = [(body, event) for body, event in events if event.kind is not EventKind.MOVED]
    delivered = _delivered_events(link, [event for _, event in events])
    rows = [
        {
            "trigger_id": event.trigger_id,
            "board_id": link.board_id,
            "item_id": event.item_id,
            "column_id": event.column_id,
            "type": event.type,
            "body": body,
            "outcome": "",
        }
        for body, event in events
        if not any(_is_same_event(event, other) for other in delivered.get(_event_key(event), []))
    ]
    rows += [
        {
            "trigger_id": f"{LOG_PREFIX}{entry.id}",
            "board_id": link.board_id,
            "item_id": item_id,
            "column_id": None,
            "type": entry.event,
            "body": board_events.minimal_webhook_body(entry, link.board_id, item_id),
            "outcome": FOUND_BY_SWEEP,  # without values it only causes a pass of its item
        }
        for entry in entries
        if board_events.has_no_values(entry)
        for item_id in entry.item_ids
    ]
    return store_events(link, rows)


def store_events(link: BoardLink, rows: Sequence[Mapping[str, Any]]) -> int:
    """Store events in the inbox and enqueue their items, in one transaction; return how many were new."""
    if not rows:
        return 0
    with transaction.atomic():
        stored = fetch_rows(_STORE_EVENTS, [json.dumps(storable_json(rows))])
        enqueue_items(link, [str(item) for item, outcome in stored if not outcome], cause=Cause.WEBHOOK)
        # An event without a value can't be compared with the base, so its pass has to read the item.
        enqueue_items(link, [str(item) for item, outcome in stored if outcome], cause=Cause.SWEEP)
    return len(stored)


def enqueue_items(
    link: BoardLink, item_ids: Iterable[str], *, cause: Cause, names: Mapping[str, str] | None = None, by: str = ""
) -> None:
    """Write a pending job for each item: for its record, or for the item itself if it is unmatched.

    With the cause WEBHOOK, a pass makes no call if the base equals the inbox's values; with SWEEP it reads the item.
    Items that are left alone get no job. `names` are names of items that may not be stored yet, `by` is who asked.
    """
    ids = sorted(set(item_ids))
    if not ids:
        return
    model = registry.entity(link.entity_type).model
    owners = dict(model.objects.filter(monday_id__in=ids).order_by().values_list("monday_id", "pk"))
    records = sorted(owners.values())
    job: dict[str, Any] = {"cause": cause, "priority": Priority.SWEEP, "payload": {"by": by} if by else None}
    enqueue(link.entity_type, records, direction=QueueDirection.TO_NPD, **job)
    ignored = IgnoredItem.objects.filter(entity_type=link.entity_type, item_id__in=ids, left_alone=True)
    without_record = sorted(set(ids) - owners.keys() - set(ignored.values_list("item_id", flat=True)))
    enqueue_unmatched(link.entity_type, without_record, due_in_seconds=UNMATCHED_ITEM_WAIT_SECONDS, **job)
    all_names = item_names(without_record) | dict(names or {})
    note_unmatched(link, [UnmatchedFinding(item_id, all_names.get(item_id, "")) for item_id in without_record])


def _parse_event(body: Mapping[str, Any]) -> ItemEvent | None:
    """Return the event of a body, or None if it isn't one or an id is too long to store."""
    try:
        event = board_events.parse_event(body)
    except board_events.InvalidEvent:
        return None
    texts = (event.item_id, event.column_id, event.type, event.trigger_id)
    return None if any(len(text or "") > MAX_ID_CHARACTERS for text in texts) else event


def _event_key(event: ItemEvent) -> EventKey:
    return event.item_id, event.column_id, event.type


def _delivered_events(link: BoardLink, events: Sequence[ItemEvent]) -> dict[EventKey, list[ItemEvent]]:
    """Return the events about these items that webhooks delivered, by key."""
    moments = [event.happened_at for event in events if event.happened_at]
    if not moments:
        return {}
    stored = WebhookEvent.objects.filter(
        board_id=link.board_id,
        item_id__in={event.item_id for event in events},
        received_at__gte=min(moments) - CLOCKS_DIFFER,
    ).exclude(trigger_id__startswith=LOG_PREFIX)
    delivered: dict[EventKey, list[ItemEvent]] = {}
    for row in stored.only("body"):
        if row.event is not None:
            delivered.setdefault(_event_key(row.event), []).append(row.event)
    return delivered


def _is_same_event(event: ItemEvent, other: ItemEvent) -> bool:
    """Whether both report the same change: the same person, values and moment."""
    at = event.happened_at
    other_at = other.happened_at
    if at is None or other_at is None or abs(at - other_at) > SAME_MOMENT or event.user_id != other.user_id:
        return False
    if event.kind not in (EventKind.COLUMN, EventKind.RENAMED):
        return True
    pairs = ((event.value, other.value), (event.previous_value, other.previous_value))
    return all(_without_time(value) == _without_time(other_value) for value, other_value in pairs)


def _without_time(value: Any) -> Any:
    """Return a value without the time at which it was set; an empty object becomes None."""
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if key != "changed_at"} or None
    return value
