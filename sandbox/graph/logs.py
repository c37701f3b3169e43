"""Activity logs as the API shows them (developer.monday.com/api-reference/reference/activity-logs, version 2026-10)."""

import json
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sandbox import errors
from sandbox.graph.common import context_of, span
from sandbox.model import Activity, Board
from sandbox.people import ACCOUNT_ID

LOG_LIMIT = 10_000
TICKS = 10**7  # a second


def activity_logs(board: Board, info: Any, **wanted: Any) -> list[dict[str, str]]:
    """Newest first; rows about the board itself pass the filter on items, as they do at Monday.

    Rows show `log_delay_seconds` after they were written: published probes saw more than 30 seconds.
    """
    world = context_of(info).world
    since, until = _ticks(wanted.get("from")), _ticks(wanted.get("to"))
    shown_until = int((world.clock.time() - world.log_delay_seconds) * TICKS)
    until = shown_until if until is None else min(until, shown_until)
    start, end = span(wanted)
    if end - start > LOG_LIMIT:
        start, end = span(wanted | {"limit": LOG_LIMIT})
    rows = reversed(world.activity.get(board.id, []))
    kept = (row for row in rows if _in_time(row, since, until) and _asked_for(row, wanted))
    return [_row(row) for row in islice(kept, start, end)]


def _asked_for(row: Activity, wanted: dict[str, Any]) -> bool:
    filters = {
        "column_ids": row.data.get("column_id"),
        "group_ids": row.data.get("group_id"),
        "user_ids": str(row.user_id),
    }
    if any(wanted.get(key) is not None and value not in wanted[key] for key, value in filters.items()):
        return False
    items = wanted.get("item_ids")
    return items is None or row.item_id is None or str(row.item_id) in items


def _in_time(row: Activity, since: int | None, until: int) -> bool:
    return (since is None or row.created_at >= since) and row.created_at <= until


def _ticks(moment: str | None) -> int | None:
    if moment is None:
        return None
    try:
        found = datetime.fromisoformat(moment)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * TICKS)
    except (ValueError, OverflowError):
        raise errors.invalid_argument(f"{moment!r} is not an ISO 8601 time") from None


def _row(row: Activity) -> dict[str, str]:
    return {
        "id": row.id,
        "event": row.event,
        "entity": row.entity,
        "data": json.dumps(row.data, ensure_ascii=False),
        "user_id": str(row.user_id),
        "account_id": str(ACCOUNT_ID),
        "created_at": str(row.created_at),
    }
