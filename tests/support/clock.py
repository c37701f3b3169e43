"""The engine's clock in a test's database. A test that moves it resets it or rolls its transaction back."""

from datetime import datetime, timedelta

from sync.clock import CREATE_SYNC_NOW
from sync.kernel.db import run_sql


def move_clock(ahead: timedelta | float) -> None:
    """Set `sync_now()` ahead of the real time, by a timedelta or by seconds."""
    seconds = ahead.total_seconds() if isinstance(ahead, timedelta) else ahead
    _define(f"clock_timestamp() + interval ''{seconds} seconds''")


def stop_clock(moment: datetime) -> None:
    _define(f"timestamptz ''{moment.isoformat()}''")


def reset_clock() -> None:
    _define("clock_timestamp()")


def _define(now: str) -> None:
    run_sql(CREATE_SYNC_NOW.replace("clock_timestamp()", now))
