"""The only clock: PostgreSQL's, read by the SQL function `sync_now()`.

Leases, retries, waits and signatures compare with it, so that a server with a wrong clock can't take a lease early. A
test moves time by replacing the function in its own database.
"""

from datetime import UTC, datetime

from django.db import connection, models
from django.utils.dateparse import parse_datetime

CREATE_SYNC_NOW = """
CREATE OR REPLACE FUNCTION sync_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()'
"""


class SyncNow(models.Func):
    """`sync_now()` as an expression, for filters, updates and database defaults."""

    function = "sync_now"
    template = "%(function)s()"
    output_field = models.DateTimeField()


def sync_now() -> datetime:
    """Return the database's current time, which tests may have moved."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sync_now()")
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


# Hidden sessions have no `backend_type`, and each writer holds a lock on its own transaction's id. PostgreSQL's own
# workers, such as autovacuum, have no user.
_OLDEST_WRITER = """
SELECT least(sync_now(), min(coalesce(xact_start, pg_postmaster_start_time()))) FROM pg_stat_activity
WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid() AND (
    backend_type = 'client backend' AND backend_xid IS NOT NULL
    OR backend_type IS NULL AND pid IN (
        SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted))
"""


def readers_mark() -> datetime:
    """Return the moment since which whoever reads rows now has to read again.

    Rows are stamped while their transaction is open, and are visible only after its commit. So the mark is the start of
    the oldest transaction that writes, by another session of this database. Of another role's session PostgreSQL shows
    that it writes, but not since when (unless this role has pg_read_all_stats), so while it does, the mark is the
    server's own start.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST_WRITER)
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def parse_moment(text: str | None) -> datetime | None:
    """Parse a time in ISO 8601 with an offset, and return it in UTC; None if the text isn't such a time."""
    try:
        moment = parse_datetime(text or "")
        # PostgreSQL takes offsets up to 16 hours, the standard up to 24.
        return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
