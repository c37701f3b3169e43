"""Celery's broker on Redis: kombu's transport, with one fault fixed.

A worker that loses Redis while it has messages closes its connection twice, and acknowledges the messages later. Both
use a channel whose connection has no address any more, and the AttributeError ended the worker (kombu 5.7.0 with Celery
5.7.0; github.com/celery/kombu/issues/582 reports the same error). As a lost connection, the worker expects it. Redis
delivers the messages again after their visibility timeout, and a sweep finds their jobs earlier.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as LostConnection


class Channel(redis.Channel):
    """Raises ConnectionError if its connection has no address."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        # The stubs know neither this method nor that either can be None.
        if getattr(self.connection, "client", None) is None:
            raise LostConnection("This channel's connection to Redis is closed.")
        return super()._connparams(asynchronous)  # type: ignore[misc]


class Transport(redis.Transport):
    Channel = Channel
