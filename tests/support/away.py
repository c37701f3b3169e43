"""A broker that can be away: for processes it is there or it isn't, as when its server is stopped."""

import os
import select
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql

from config.embedded.postgres import EmbeddedPostgres
from tests.support.child import Child
from tests.support.servers import free_port
from tests.support.site import started
from tests.support.waiting import wait_for


class Broker(Protocol):
    """`url` is what the processes are given."""

    url: str

    def leave(self) -> None:
        """Every connection ends, and none is taken."""

    def come_back(self) -> None:
        """It is there again, with the messages that it had."""


class BrokerDatabase:
    """The embedded broker: a database, which can refuse everybody. `server` is an address of another one beside it."""

    def __init__(self, url: str, server: str) -> None:
        self.url, self._server = url, server

    def leave(self) -> None:
        """No connection is allowed any more, and those that are there end."""
        self._allow("false")
        with psycopg.connect(self._server, autocommit=True) as server:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self._name])

    def come_back(self) -> None:
        """Connections are allowed."""
        self._allow("true")

    @property
    def _name(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def _allow(self, word: str) -> None:
        statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        with psycopg.connect(self._server, autocommit=True) as server:
            server.execute(statement.format(sql.Identifier(self._name), sql.SQL(word)))


class RelayedBroker:
    """A Redis that others use too, seen through a relay which can be away."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._listener, self._open = _listening(0), set[socket.socket]()
        self._port = int(self._listener.getsockname()[1])
        self.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{self._port}"))
        self._serve()

    def leave(self) -> None:
        """The port is closed and every connection cut."""
        # shutdown() first: a close() alone leaves the port open while accept() waits on it.
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def come_back(self) -> None:
        """It listens at the same port."""
        self._listener = _listening(self._port)
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                threading.Thread(target=self._hand_on, args=(near,), daemon=True).start()

    def _hand_on(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._target) as far, suppress(OSError, ValueError):
            self._open |= {near, far}
            other = {near: far, far: near}
            while True:
                for one in select.select([near, far], [], [])[0]:
                    got = one.recv(65536)
                    if not got:
                        return
                    other[one].sendall(got)


class OwnRedis:
    """A Redis of a test's own, which is stopped and started; it keeps its messages in `folder`.

    Without a redis-server the test is skipped, but never where CI=true.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            missing = "no redis-server on this machine (Debian, Ubuntu: sudo apt install redis-server)"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
        folder.mkdir()
        self._folder, self._port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.come_back()

    def leave(self) -> None:
        """It ends, as an operator ends it."""
        assert self._server.stop(), "Redis had to be killed"

    def come_back(self) -> None:
        """It is started again with what it had written."""
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1"]
        kept = ["--dir", str(self._folder), "--appendonly", "yes", "--save", ""]
        self._server: Child = started("redis", [*command, *kept], dict(os.environ))
        wait_for("Redis answers", self._answers)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False


class OwnPostgres:
    """The embedded broker in a cluster of its own, which is stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder, fast=True)
        self.come_back()
        self._server.create_database("broker")
        self.url = f"sqla+postgresql+psycopg://postgres@/broker?host={self._server.socket}"

    def leave(self) -> None:
        """It ends, and every session with it."""
        self._server.stop()

    def come_back(self) -> None:
        """It is started again."""
        self._server.start()


def _listening(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=64)


@contextmanager
def away(broker: Broker) -> Iterator[None]:
    """The broker is away for as long as the block lasts."""
    broker.leave()
    try:
        yield
    finally:
        broker.come_back()
