"""Celery's broker on PostgreSQL: kombu's SQLAlchemy transport, with five faults fixed.

- After PostgreSQL was down, beat never sent again: now its errors make kombu connect again.
- A worker that couldn't connect spun until it ended: now a connection is tested first.
- A message waited up to a second: now there are ten polls a second.
- A worker polled for two seconds after a shutdown began: now it checks for a shutdown in between.
- Of two processes that first connected at once, both made the tables or a queue, and one ended: now the other goes on.
"""

from time import monotonic
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from celery.worker import state
from kombu.transport import virtual
from kombu.transport.sqlalchemy import Channel as SQLAlchemyChannel
from kombu.transport.sqlalchemy import Transport as SQLAlchemyTransport
from kombu.transport.sqlalchemy.models import metadata
from sqlalchemy import Engine, create_engine, exc, make_url, text

POLL_SECONDS = 0.2


class Channel(SQLAlchemyChannel):
    """A channel that tests pooled connections before use, because they may be older than the server."""

    def _engine_from_config(self) -> Engine:
        url = make_url(str(self.connection.client.hostname))  # type: ignore[union-attr]
        arguments: dict[str, Any] = {}
        if "prepare_threshold" in url.query:
            threshold = str(url.query["prepare_threshold"])
            # The driver wants a number, or None for never; a URL has text.
            arguments["prepare_threshold"] = int(threshold) if threshold.isdecimal() else None
        engine = create_engine(
            url.difference_update_query(["prepare_threshold"]),
            isolation_level="READ COMMITTED",  # whatever the role or the database sets
            pool_pre_ping=True,
            pool_size=2,
            connect_args=arguments,
        )
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('kombu tables'))"))
            metadata.create_all(connection)
        return engine

    def _get_or_create(self, queue: str) -> Any:
        """Return a queue's row, also if another process makes it at the same time."""
        get_or_create = super()._get_or_create  # type: ignore[misc]  # the stubs don't know it
        try:
            return get_or_create(queue)
        except exc.IntegrityError:
            self.session.rollback()
            return get_or_create(queue)


class Transport(SQLAlchemyTransport):
    """The transport behind `sqla+postgresql+psycopg://…`."""

    Channel = Channel
    polling_interval = 0.1  # seconds
    connection_errors: tuple[Any, ...] = (
        *virtual.Transport.connection_errors,
        exc.OperationalError,
        exc.InterfaceError,
        exc.PendingRollbackError,
        RecoverableConnectionError,
    )

    # The stubs of its two parents differ.
    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # type: ignore[override]
        """Deliver the next message. Raises TimeoutError, earlier if the worker is shutting down."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            try:
                seconds_left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - monotonic())
                super().drain_events(connection, timeout=max(seconds_left, 0.001))
                return
            except TimeoutError:
                # The values are exit codes, so 0 means a shutdown too.
                stops = (state.should_stop, state.should_terminate)
                is_stopping = any(stop is not None and stop is not False for stop in stops)
                if is_stopping or (deadline is not None and monotonic() >= deadline):
                    raise

    def establish_connection(self) -> Any:
        """Connect, and test the connection by a query."""
        connection = super().establish_connection()
        session = self._avail_channels[-1].session  # type: ignore[attr-defined]
        try:
            session.execute(text("SELECT 1"))
            session.commit()
        except Exception:
            session.close()
            self._avail_channels.clear()  # type: ignore[attr-defined]
            raise
        return connection
