"""Stores stops after errors, and when what was refused is tried again.

A stop is of the account (breaker.py decides on it), of all writes (failed_writes.py), of a board, or of one kind of a
board's calls. While only writes are stopped, reads go on.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from sync import choices, registry
from sync.clock import SyncNow, sync_now
from sync.kernel.db import run_sql
from sync.limits import api_quota
from sync.models import ActivityLine, BoardLink, Intent, IntentState, MondayAccount, SyncQueue
from sync.models.activity_lines import log_event
from sync.models.boards_and_account import ALL_CALLS
from sync.monday.errors import INVALID_DOCUMENT, MondayError
from sync.outbox import wakeups
from sync.words.message import Message, of_error, sentences, to_json

# The account's columns while nothing stops it.
NO_STOP: Mapping[str, Any] = {
    "stopped_until": None,
    "stop_reason": "",
    "stop_code": "",
    "stopped_since": None,
    "needs_probe": False,
    "failures": 0,
}

# Seconds between two attempts of a call that Monday refused until a person acts; the waits grow.
PERSON_WAITS = (60, 300, 900, 3_600)

# An invalid read stays invalid until NPD Sync or the version of Monday's API changes.
INVALID_DOCUMENT_WAIT = 900

# How the reason of all that waits for writes begins.
WRITES_STOPPED = Message("waits_writes")


def monday_account() -> MondayAccount:
    """Return the account's only row, created if it is missing."""
    return MondayAccount.objects.get_or_create(id=1)[0]


def locked_account() -> MondayAccount:
    """Return the account's only row, locked until the transaction ends."""
    return MondayAccount.objects.select_for_update().get_or_create(id=1)[0]


def end_account_stop(*, by: str = "", columns: Mapping[str, Any] | None = None) -> bool:
    """End the account's stop, and write these columns too; Activity shows the end if it showed the stop."""
    rows = MondayAccount.objects.filter(id=1)
    with transaction.atomic():
        # Locked, so that of two requests only the first logs the end.
        since = rows.select_for_update().values_list("stopped_since", flat=True).first()
        ended = rows.update(**{**NO_STOP, "free_since": SyncNow(), **(columns or {})})
        kinds = (choices.ActivityKind.STOP, choices.ActivityKind.STOP_END)
        events = ActivityLine.objects.filter(entity_id=None, entity_type="", kind__in=kinds)
        # An earlier cause of the same stop may have been logged, though the current one wasn't.
        if since and events.order_by("-at", "-id").values_list("kind", flat=True).first() == choices.ActivityKind.STOP:
            log_event(choices.ActivityKind.STOP_END, Message("runs_again"), by=by)
    return bool(ended)


def stop_board(link: BoardLink, error: MondayError, kind: str = ALL_CALLS) -> None:
    """Stop the board, or its calls of one kind. Waits grow, and are never shorter than what Monday asks for."""
    before = link.stop_of(kind)
    since = before.since if before else None
    wait = max(error.wait_seconds or 0, seconds_until_retry(since))
    if kind == ALL_CALLS and error.kind is INVALID_DOCUMENT:
        wait = max(wait, INVALID_DOCUMENT_WAIT)
    now = sync_now()
    until = now + timedelta(seconds=wait)
    reason = of_error(error) if kind == ALL_CALLS else sentences(WRITES_STOPPED, of_error(error))
    entry = {"since": (since or now).isoformat(), "until": until.isoformat(), "reason": reason}
    _store_stop(link, kind, entry)
    if before is None:
        sentence = Message(
            "stopped_board",
            why="Sync stopped" if kind == ALL_CALLS else choices.CallKind(kind).label,
            board=registry.board_title(link.entity_type),
            error=of_error(error),
        )
        log_event(choices.ActivityKind.STOP, sentence, entity_type=link.entity_type)


def end_board_stop(link: BoardLink, kind: str = ALL_CALLS) -> None:
    """End the stop of the board, or of its calls of one kind: Monday has carried out one, or it is another board."""
    if kind not in link.stops:
        return
    _store_stop(link, kind, None)
    sentence = Message("runs_again", board=registry.board_title(link.entity_type))

    log_event(choices.ActivityKind.STOP_END, sentence, entity_type=link.entity_type)
    if kind != ALL_CALLS:
        transaction.on_commit(make_waiting_writes_due)


def active_stop(link: BoardLink, kind: str) -> tuple[str, float]:
    """Return why the board's calls of this kind are stopped, and for how many seconds; an empty text if they aren't."""
    stop = link.stop_of(kind)
    seconds = (stop.until - sync_now()).total_seconds() if stop else 0
    return (stop.reason, seconds) if stop and seconds > 0 else ("", 0)


def end_stops_of_kinds() -> bool:
    """End the stops of single kinds of calls, so that these are tried now; return whether there were any."""
    stopped = [(link, kind) for link in BoardLink.objects.all() for kind in link.stops if kind != ALL_CALLS]
    for link, kind in stopped:
        _store_stop(link, kind, None)
    if stopped:
        make_waiting_writes_due()
    return bool(stopped)


# Changes one entry of the stored column, because two workers may stop different kinds of calls at once.
_STORE_STOP = "UPDATE sync_board_links SET stops = stops - %s || %s::jsonb WHERE id = %s"


def _store_stop(link: BoardLink, kind: str, entry: dict[str, str] | None) -> None:
    """Store the stop of one kind of calls, or remove it if `entry` is None."""
    changed = {} if entry is None else {kind: entry}
    run_sql(_STORE_STOP, [kind, json.dumps(to_json(changed)), link.pk])
    others = {other: other_entry for other, other_entry in link.stops.items() if other != kind}
    link.stops = others | changed


def seconds_until_retry(since: datetime | None) -> float:
    """Return the seconds until the next attempt of a call that was refused since then.

    They are more on plans where probes would use over a tenth of the day's calls.
    """
    elapsed = (sync_now() - since).total_seconds() if since else 0
    next_attempt = 0
    for wait in PERSON_WAITS:
        next_attempt += wait
        if elapsed < next_attempt:
            return wait
    # All stops share that tenth, so each waits longer.
    stop_count = sum(map(len, BoardLink.objects.values_list("stops", flat=True)))
    return max(PERSON_WAITS[-1], api_quota.seconds_between_attempts(api_quota.WRITE_PROBE_CALLS * max(1, stop_count)))


def make_waiting_writes_due() -> None:
    """Make all that waits for writes due now: jobs, and the search for the items of unanswered creates."""
    waiting = SyncQueue.objects.filter(status=choices.QueueStatus.PENDING, waits_for=choices.WaitsFor.WRITES)
    waiting.filter(next_retry__gt=SyncNow()).update(next_retry=SyncNow())
    # A create that was sent before this time and isn't found never took effect.
    settled_before = sync_now() - timedelta(seconds=settings.MONDAY_SETTLE_SECONDS)
    account = MondayAccount.objects.filter(id=1).first()
    if account is not None and (account.write_failed_at is None or account.write_failed_at <= settled_before):
        unsure = Intent.objects.filter(state=IntentState.OPEN, item_id="", was_searched=True, deadline__gt=SyncNow())
        unsure.update(deadline=SyncNow())
    for link in BoardLink.objects.all():
        wakeups.wake_board(link.entity_type)
