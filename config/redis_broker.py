"""Celery's broker on Redis: kombu's transport, with one fault fixed.

A worker that loses Redis with messages in hand closes its connection twice, and acknowledges them later still. Either
asks a channel whose connection has forgotten its address: AttributeError ended the worker
(github.com/celery/kombu/issues/582 tells of the same, met on another way; kombu 5.7.0 with Celery
5.7.0). Said as what it is, a lost connection, it is one that the worker expects. The messages come again when their
visibility ends; what they tell of, a sweep finds before.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as LostConnection


class Channel(redis.Channel):
    """A channel that says of a connection without an address that it is lost."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        # The stubs know neither this method nor that either can be None.
        if getattr(self.connection, "client", None) is None:
            raise LostConnection("This channel's connection to Redis is closed.")
        return super()._connparams(asynchronous)  # type: ignore[misc]


class Transport(redis.Transport):
    Channel = Channel
