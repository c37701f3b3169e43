"""Finding changes that no webhook reported: when a board is due for a sweep or a comparison under the API quota, and
how their findings read; what Monday's activity log tells; and whether our webhooks are there and arrive.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Max

from sync import limits, registry
from sync.boards.board_setup import register_webhooks, webhook_url
from sync.boards.sync_filter import SyncFilter
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize, process
from sync.kernel.db import fetch_rows
from sync.limits import credentials, quota
from sync.models import BoardLink, IgnoredItem, WebhookEvent
from sync.monday import board_events
from sync.monday.board import LOG_PREFIX, ActivityEntry, EventKind, InvalidEvent, ItemEvent, url_fingerprint
from sync.outbox.queue_rows import enqueue
from sync.records import availability
from sync.records.inbox import MAX_ID_CHARACTERS, UNMATCHED_ITEM_WAIT_SECONDS, storable_json
from sync.records.item_links import item_names
from sync.records.unmatched_items import UnmatchedFinding, note_unmatched

# Between two sweeps of a board where the quota is large or not known.
MIN_INTERVAL_SECONDS = 600

# However small the quota: what no webhook told is found the same day.
MAX_INTERVAL_SECONDS = 6 * 3_600

# Sweeps take no more than this share of a day's calls: hourly at 1,000 calls and two boards.
QUOTA_SHARE = 0.05

# The hour, in UTC, from which on boards are compared.
NIGHT_HOUR = 2

NIGHT_END_HOUR = 5

UNFINISHED_TEXT = "It is not finished: it is under way, or was cut short, and the next night makes it again."

# A comparison that no night had quota for is made as soon as there is some.
OVERDUE_AFTER = timedelta(hours=26)


def sweep_interval() -> timedelta:
    """Return how long after a sweep the next one of that board is due."""
    forecast = quota.forecast()
    if not forecast.limit:
        return timedelta(seconds=MIN_INTERVAL_SECONDS)
    boards = max(1, BoardLink.objects.exclude(board_id="").count())
    seconds = 86_400 * boards / (forecast.limit * QUOTA_SHARE)
    if forecast.ends_at is not None:
        seconds = max(2 * seconds, 3_600.0)
    return timedelta(seconds=min(MAX_INTERVAL_SECONDS, max(MIN_INTERVAL_SECONDS, seconds)))


def boards_to_sweep() -> Iterator[BoardLink]:
    """Yield the boards whose sweep is due, each claimed for this worker.

    A board that was never swept begins here: earlier changes are found by set-up and comparison.
    """
    wait = sweep_interval()
    for link in _available_boards():
        if process.is_shutting_down():
            return
        if BoardLink.objects.filter(pk=link.pk, swept_at=None).update(swept_at=SyncNow(), swept_to=SyncNow()):
            continue
        due = BoardLink.objects.filter(pk=link.pk, swept_at__lte=SyncNow() - wait)
        if due.update(swept_at=SyncNow()):
            yield link


def boards_to_compare() -> Iterator[BoardLink]:
    """Yield the boards whose nightly comparison is due, each claimed for this worker."""
    for link in _available_boards():
        now = sync_now()
        if process.is_shutting_down():
            return
        last = link.compared_at
        night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
        is_night = night <= now < night.replace(hour=NIGHT_END_HOUR)
        # Missed nights are made up for, but a board is first compared in a night.
        is_due = (is_night and (last is None or last < night)) or (last is not None and now - last > OVERDUE_AFTER)
        if not is_due:
            continue
        unclaimed = BoardLink.objects.filter(pk=link.pk, compared_at=last)
        if unclaimed.update(compared_at=SyncNow(), compared=UNFINISHED_TEXT):
            yield link


def _available_boards() -> Iterator[BoardLink]:
    """Boards that can be read: set up, not paused, with quota left; a stop of writes doesn't concern them."""
    for spec in registry.entities():
        board = availability.of(spec.entity_type, reads=True)
        if board.link is not None and not board.blocked_reason:
            yield board.link


# Findings of sweeps and comparisons as sentences.


def last_sweep_text(link: BoardLink, written: Callable[[datetime], str] = humanize.day_and_time) -> str:
    """Return when Monday was last asked what changed on the board, as a sentence; `written` gives the moment."""
    if link.swept_at is None:
        return "Not checked for missed changes yet: it begins some minutes after the set-up."
    interval = humanize.interval_text(sweep_interval().total_seconds())
    return f"Checked for missed changes at {written(link.swept_at)}; checked every {interval}."


def last_comparison_text(link: BoardLink) -> str:
    """Return what the last night's comparison found and when, as a sentence; empty before the first."""
    if link.compared_at is None:
        return ""
    text = f"{humanize.day_and_time(link.compared_at)}: {link.compared}"
    if sync_now() - link.compared_at <= OVERDUE_AFTER:
        return text
    return f"{text} That is more than a day ago: tell your administrator, for beat or a worker isn't running."


# What webhooks did not bring, from Monday's activity log.


# The type of an entry that says no more than that an item changed.
ITEM_UPDATED = "touched"

# An entry's time and its webhook's differ by at most this much.
SAME_MOMENT = timedelta(seconds=30)

# By so much a webhook may have come before the time at which Monday says that its change happened.
CLOCKS_DIFFER = timedelta(minutes=10)

FOUND_BY_SWEEP = "found by a check for missed changes: its items were read"

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


def replay_entries(link: BoardLink, entries: Sequence[ActivityEntry]) -> int:
    """Store what no webhook reported, oldest first, and enqueue its items; return how many were new."""
    # Too old to detect lost updates by: our own writes of the time are pruned by then.
    oldest = sync_now() - timedelta(days=settings.JOURNAL_DAYS - 1)
    recent = [entry for entry in entries if entry.at >= oldest]
    bodies = [body for entry in reversed(recent) for body in board_events.webhook_bodies(entry, link.board_id)]
    events = [(body, event) for body in bodies if (event := _parse_event(body)) is not None]
    if not SyncFilter.parse(link.sync_filter).asks_group:
        # In which group an item is concerns nobody else.
        events = [(body, event) for body, event in events if event.kind is not EventKind.MOVED]
    delivered = _delivered_events(link, [event for _, event in events])
    rows = [
        {
            "trigger_id": event.trigger_id, "board_id": link.board_id, "item_id": event.item_id,
            "column_id": event.column_id, "type": event.type, "body": body, "outcome": "",
        }
        for body, event in events
        if not any(_is_same_event(event, other) for other in delivered.get(_event_key(event), []))
    ]  # fmt: skip
    for entry in recent:
        if board_events.changes_without_values(entry):
            rows += [update_row(link, f"{LOG_PREFIX}{entry.id}", item_id, entry.event) for item_id in entry.item_ids]
    for entry in entries:
        if entry.at < oldest and board_events.concerns_items(entry):
            # Never under a type that carries values: this entry has none.
            kind = entry.event if board_events.changes_without_values(entry) else ITEM_UPDATED
            rows += [update_row(link, f"{LOG_PREFIX}{entry.id}", item_id, kind) for item_id in entry.item_ids]
    return store_events(link, rows)


def update_row(link: BoardLink, trigger_id: str, item_id: str, kind: str) -> dict[str, Any]:
    """Return an event without a value: it is there so that its item gets one pass."""
    return {
        "trigger_id": trigger_id, "board_id": link.board_id, "item_id": item_id, "column_id": None, "type": kind,
        "body": board_events.change_body(kind, link.board_id, item_id), "outcome": FOUND_BY_SWEEP,
    }  # fmt: skip


def store_events(link: BoardLink, rows: Sequence[Mapping[str, Any]]) -> int:
    """Store events in the inbox and enqueue their items, in one transaction; return how many were new."""
    if not rows:
        return 0
    with transaction.atomic():
        stored = fetch_rows(_STORE_EVENTS, [json.dumps(storable_json(rows))])
        enqueue_items(link, [str(item) for item, outcome in stored if not outcome], cause=Cause.WEBHOOK)
        # Events without a value say nothing of the base, so their items have to be read.
        enqueue_items(link, [str(item) for item, outcome in stored if outcome], cause=Cause.SWEEP)
    return len(stored)


def enqueue_items(
    link: BoardLink, item_ids: Iterable[str], *, cause: Cause, names: Mapping[str, str] | None = None
) -> None:
    """Write a pending job per item: for its record, or for the item itself if unmatched.

    `names` are the items' as far as the caller knows them; webhooks may have brought others.

    With the cause WEBHOOK a pass ends without a call where the base equals the inbox's values; with SWEEP it
    reads the item. Ignored items are left alone.
    """
    ids = sorted(set(item_ids))
    if not ids:
        return
    model = registry.entity(link.entity_type).model
    owners = dict(model._default_manager.filter(monday_id__in=ids).order_by().values_list("monday_id", "pk"))
    records = sorted(owners.values())
    enqueue(link.entity_type, records, cause=cause, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD)
    ignored = IgnoredItem.objects.filter(entity_type=link.entity_type, item_id__in=ids)
    without_record = set(ids) - owners.keys() - set(ignored.values_list("item_id", flat=True))
    new_ids = sorted(without_record)
    wait = UNMATCHED_ITEM_WAIT_SECONDS
    enqueue(link.entity_type, items=new_ids, cause=cause, priority=Priority.SWEEP, due_in_seconds=wait)
    all_names = item_names(new_ids) | dict(names or {})
    note_unmatched(link, [UnmatchedFinding(item_id, all_names.get(item_id, "")) for item_id in new_ids])


def _parse_event(body: Mapping[str, Any]) -> ItemEvent | None:
    """Return the entry as an event; None where the inbox has no type for it."""
    try:
        event = board_events.parse_event(body)
    except InvalidEvent:
        return None
    texts = (event.item_id, event.column_id, event.type, event.trigger_id)
    return None if any(len(text or "") > MAX_ID_CHARACTERS for text in texts) else event


def _event_key(event: ItemEvent) -> tuple[str | None, str | None, str]:
    return event.item_id, event.column_id, event.type


def _delivered_events(
    link: BoardLink, events: Sequence[ItemEvent]
) -> dict[tuple[str | None, str | None, str], list[ItemEvent]]:
    """Return the events that webhooks brought of these items, by item, column and type."""
    moments = [event.happened_at for event in events if event.happened_at]
    if not moments:
        return {}
    stored = WebhookEvent.objects.filter(
        board_id=link.board_id,
        item_id__in={event.item_id for event in events},
        received_at__gte=min(moments) - CLOCKS_DIFFER,
    ).exclude(trigger_id__startswith=LOG_PREFIX)
    delivered: dict[tuple[str | None, str | None, str], list[ItemEvent]] = {}
    for row in stored.only("body"):
        if (event := _parse_event(row.body)) is not None:
            delivered.setdefault(_event_key(event), []).append(event)
    return delivered


def _is_same_event(event: ItemEvent, other: ItemEvent) -> bool:
    """Whether a webhook brought this entry: the same values of the same person at the same moment."""
    at = event.happened_at
    other_at = other.happened_at
    if at is None or other_at is None or abs(at - other_at) > SAME_MOMENT or event.user_id != other.user_id:
        return False
    if event.kind not in (EventKind.COLUMN, EventKind.RENAMED):
        return True
    pairs = ((event.value, other.value), (event.previous_value, other.previous_value))
    return all(_without_time(value) == _without_time(other_value) for value, other_value in pairs)


def _without_time(value: Any) -> Any:
    """Return a value without the time at which it was set; nothing and an empty object are the same."""
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if key != "changed_at"} or None
    return value


# Whether our webhooks are still on the board, and whether they arrive.


log = structlog.get_logger(__name__)

# How long to wait after a registration that failed.
RETRY_AFTER = timedelta(hours=1)

# A webhook takes seconds; one that takes this long is not on its way, and until then nothing is missed or differs.
LONGEST_DELAY = timedelta(minutes=15)

# This many changes without any webhook are no coincidence: one that changed nothing makes none.
MIN_MISSED = 3

_COUNT_MISSED = """
    SELECT count(*), min(happened_at) FROM sync_webhook_events
    CROSS JOIN LATERAL (SELECT (body #>> %(time_path)s)::timestamptz, body #>> %(user_path)s)
        AS event (happened_at, user_id)
    WHERE board_id = %(board)s AND trigger_id LIKE %(log)s AND type <> %(updated)s
      AND user_id NOT IN (%(own)s, '') AND user_id NOT LIKE '-%%'
      AND (%(last)s::timestamptz IS NULL OR happened_at > %(last)s)
"""


def check_webhooks(link: BoardLink, existing: Mapping[str, str] | None) -> None:
    """Register those of our webhooks that are missing, as set-up does; store what can't be fixed.

    `existing` are the board's webhooks, id and event; None where they could not be read. Raises MondayError.
    """
    if not any(credentials.webhook_secrets()):
        return
    if existing is None:
        _store_problem(link, "The board's webhooks could not be read. Give the API token the scope webhooks:read.")
        return
    fingerprint = url_fingerprint(webhook_url())
    ours = {
        existing[hook]
        for hook, webhook in link.webhooks.items()
        if webhook["fingerprint"] == fingerprint and hook in existing
    }
    missing = [event for event in board_events.WEBHOOK_EVENTS if event not in ours]
    checked_at = link.webhooks_checked_at
    if not missing:
        _store_problem(link, "")
    elif not link.webhooks_problem or checked_at is None or checked_at <= sync_now() - RETRY_AFTER:
        registered, problems = register_webhooks(registry.entity(link.entity_type), link, limits.connector())
        log.warning(
            "webhooks were deleted", board=link.entity_type, missing=missing, done=registered, problems=problems
        )
        _store_problem(link, " ".join(problems))


def _store_problem(link: BoardLink, problem: str) -> None:
    BoardLink.objects.filter(pk=link.pk).update(webhooks_checked_at=SyncNow(), webhooks_problem=problem)
    link.webhooks_problem = problem


def check_silence(link: BoardLink, own_user_id: str) -> None:
    """Store the problem where people change the board and no webhook comes; a webhook that comes ends it.

    `own_user_id` is the token's user, whose changes don't count: it isn't certain that our own make webhooks.
    """
    reason = _silence_reason(link, own_user_id) if link.webhooks else ""
    if reason != link.silence:
        BoardLink.objects.filter(pk=link.pk).update(silence=reason)
        link.silence = reason


def last_webhook(link: BoardLink) -> datetime | None:
    """Return when a webhook of this board came last."""
    rows = WebhookEvent.objects.filter(board_id=link.board_id).exclude(trigger_id__startswith=LOG_PREFIX)
    last: datetime | None = rows.exclude(type=ITEM_UPDATED).aggregate(last=Max("received_at"))["last"]
    return last


def _silence_reason(link: BoardLink, own_user_id: str) -> str:
    last = last_webhook(link)
    # How many changes other people made since, and when the first of them was.
    params = {
        "board": link.board_id, "log": f"{LOG_PREFIX}%", "updated": ITEM_UPDATED, "own": own_user_id, "last": last,
        "time_path": list(board_events.HAPPENED_AT_PATH), "user_path": list(board_events.USER_ID_PATH),
    }  # fmt: skip
    [(count, oldest)] = fetch_rows(_COUNT_MISSED, params)
    if count < MIN_MISSED or oldest is None or oldest > sync_now() - LONGEST_DELAY:
        return ""
    silent = " since the last webhook came" if last else ", but no webhook ever came"
    return (
        f"People changed the board {count:,} times{silent}. The check for missed changes finds them some minutes "
        f"later. Check that Monday can reach SITE_URL ({settings.SITE_URL}) from the internet, and search the log of "
        "web for refused deliveries."
    )
