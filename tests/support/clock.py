"""The engine's clock in the database of a test; what moves it puts it back, or leaves that to the transaction."""

from datetime import datetime, timedelta

from sync.clock import CREATE_SYNC_NOW
from sync.kernel.db import run_sql


def move_clock(ahead: timedelta | float) -> None:
    """From here on `sync_now()` is so much, or so many seconds, ahead of the time."""
    seconds = ahead.total_seconds() if isinstance(ahead, timedelta) else ahead
    _define(f"clock_timestamp() + interval ''{seconds} seconds''")


def stop_clock(moment: datetime) -> None:
    """From here on `sync_now()` is this moment."""
    _define(f"timestamptz ''{moment.isoformat()}''")


def reset_clock() -> None:
    """From here on `sync_now()` is the time again."""
    _define("clock_timestamp()")


def _define(now: str) -> None:
    run_sql(CREATE_SYNC_NOW.replace("clock_timestamp()", now))
