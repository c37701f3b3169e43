"""Celery's broker on PostgreSQL: kombu's SQLAlchemy transport, mended.

As it comes, beat never sends again once PostgreSQL was away, a worker that can't connect spins until it
ends itself, and a message waits up to a second. The first two are mended by naming the errors after which a
connection is made anew and by trying a connection before it is called one; the third by asking ten times a
second.
"""

from typing import Any

from amqp.exceptions import RecoverableConnectionError
from kombu.transport import virtual
from kombu.transport.sqlalchemy import Channel as SQLAlchemyChannel
from kombu.transport.sqlalchemy import Transport as SQLAlchemyTransport
from sqlalchemy import Engine, create_engine, exc, make_url, text


class Channel(SQLAlchemyChannel):
    """A channel whose pooled connections are tried before use, so that none of them outlives the server."""

    def _engine_from_config(self) -> Engine:
        url = make_url(str(self.connection.client.hostname))  # type: ignore[union-attr]
        asked = url.query.get("prepare_threshold")
        return create_engine(
            url.difference_update_query(["prepare_threshold"]),
            pool_pre_ping=True,
            pool_size=2,
            connect_args={} if asked is None else {"prepare_threshold": _threshold(str(asked))},
        )


def _threshold(asked: str) -> int | None:
    """After how many runs a statement is prepared: a URL holds text, the driver wants a number, or None for never."""
    return int(asked) if asked.isdecimal() else None


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

    def establish_connection(self) -> Any:
        """Connect, and ask the database one question; raises when it doesn't answer."""
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
