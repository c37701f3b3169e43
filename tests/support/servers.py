"""The PostgreSQL and the broker of one test run.

The run starts its own cluster under var/test/ with the broker as a database in it, and ignores the shell's DATABASE_URL
and REDIS_URL. With TEST_SERVERS=1 it uses TEST_DATABASE_URL and TEST_REDIS_URL, with its own database names. Each run
in one folder takes the first free slot, by flock.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from config.embedded.postgres import EmbeddedPostgres, StartError
from config.environment import SECRETS

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "var" / "test"
SLOTS = 32
KEPT = {"MONDAY_SCHEMA"}
NOT_FOR_TESTS = (
    *SECRETS,  # and the variables that name their files
    "DATABASE",
    "CELERY",
    "MONDAY_",
    "SITE_URL",
    "ALLOWED_HOSTS",
    "DEMO",
    "EMBEDDED",
    "DEBUG",
    "PORT",
    "SANDBOX_PORT",
    "NEW_ITEM_WAIT",
)

# For the process that only hands tests to others: it reads the settings and connects to nothing.
NOWHERE = {
    "DATABASE_URL": "postgresql://nowhere.invalid/npd",
    "CELERY_BROKER_URL": "memory://",
    "SECRET_KEY": "only-for-tests-" + "0123456789" * 4,
}


@dataclass
class Servers:
    slot: int
    lock: IO[str]
    database_url: str
    broker_url: str
    description: str  # for the report's header
    postgres: EmbeddedPostgres | None = None
    ports: tuple[int, int] = (0, 0)
    broker_lock: IO[str] | None = None

    def stop(self) -> None:
        if self.postgres is not None:
            self.postgres.stop()
        self.lock.close()
        if self.broker_lock:
            self.broker_lock.close()


def take_slot() -> tuple[int, IO[str]]:
    """Return the first slot that no other run in this folder holds, and its lock."""
    for slot in range(SLOTS):
        try:
            FOLDER.mkdir(parents=True, exist_ok=True)
            lock = (FOLDER / f"{slot}.lock").open("w")
        except OSError as error:
            raise StartError(
                f"{error.filename} can't be written by this user ({error.strerror}). Type this as its owner, or use a "
                "folder of your own."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return slot, lock
    raise StartError(f"{SLOTS} test runs are going on in {FOLDER}; wait for one of them.")


def check() -> None:
    """Raise StartError if a test process couldn't start its servers."""
    if os.environ.get("TEST_SERVERS") != "1":
        _slot, lock = take_slot()
        lock.close()
        EmbeddedPostgres(FOLDER / "pg-0").prepare()


def start() -> Servers:
    slot, lock = take_slot()
    servers = _real(slot, lock) if os.environ.get("TEST_SERVERS") == "1" else _embedded(slot, lock)
    servers.ports = (free_port(), free_port())
    return servers


def _embedded(slot: int, lock: IO[str]) -> Servers:
    postgres = EmbeddedPostgres(FOLDER / f"pg-{slot}", fast=True)
    postgres.start()
    postgres.create_database("broker")
    broker = f"sqla+postgresql+psycopg://postgres@/broker?host={postgres.socket}"
    description = "embedded PostgreSQL 18, Celery's broker on it (TEST_SERVERS=1 tests on real servers)"
    return Servers(slot, lock, postgres.url("npd"), broker, description, postgres)


def _real(slot: int, lock: IO[str]) -> Servers:
    """Use our own database names, and the broker for one run at a time: another's worker would take our wake-ups."""
    url = os.environ.get("TEST_DATABASE_URL") or "postgresql://root@127.0.0.1:5432/postgres"
    broker = _database_of_this_worker(os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/15")
    broker_lock = _lock_broker(broker)
    name = f"npd_{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}_{slot}"
    parts = urlsplit(url)
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        version = connection.info.parameter_status("server_version")
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(statement.format(sql.Identifier("test_" + name)))
    redis = f"Redis {_empty_redis(broker)} at {urlsplit(broker).hostname}"
    description = f"PostgreSQL {version} at {parts.hostname}, {redis}"
    database_url = urlunsplit(parts._replace(path=f"/{name}"))
    return Servers(slot, lock, database_url, broker, description, broker_lock=broker_lock)


def _database_of_this_worker(broker: str) -> str:
    """Return the address of this process's own Redis database: pytest-xdist's workers have 15, 14, 13 …"""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    parts = urlsplit(broker)
    number = int(parts.path.strip("/") or 0) - int(worker.removeprefix("gw"))
    if number < 0:
        raise StartError(f"TEST_REDIS_URL leaves no Redis database for test process {worker}: name a higher one.")
    return urlunsplit(parts._replace(path=f"/{number}"))


def _lock_broker(broker: str) -> IO[str]:
    """Wait until no other run on this machine uses this Redis database."""
    name = hashlib.sha256(broker.encode()).hexdigest()[:10]
    lock = (Path(tempfile.gettempdir()) / f"npd-test-broker-{name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting until another run of tests leaves its Redis database.", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _empty_redis(url: str) -> str:
    """Empty the Redis database, and return the server's version."""
    import redis

    client = redis.Redis.from_url(url, socket_connect_timeout=5)
    client.flushdb()
    version = str(client.info("server")["redis_version"])
    client.close()
    return version


def run_command(
    *command: str, cwd: Path = ROOT, check: bool = False, **options: Any
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=cwd, check=check, capture_output=True, text=True, **options)


def free_port() -> int:
    """Return a port that is free at this moment.

    It is below those that the system hands out, so that no other socket gets it before its process listens, or while
    its address is answered within this process.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(servers: Servers) -> dict[str, str]:
    """Return the environment of the run and its child processes, without the shell's own settings."""
    web, sandbox = servers.ports
    variables = {
        name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(NOT_FOR_TESTS)
    }
    return variables | {
        "no_proxy": "*",  # a proxy in the shell is for addresses elsewhere
        "DATABASE_URL": servers.database_url,
        "CELERY_BROKER_URL": servers.broker_url,
        # Checks of all models and addresses belong to embedded/test_settings.py, not to each worker.
        "CELERY_SKIP_CHECKS": "1",
        "SECRET_KEY": "only-for-tests-" + "0123456789" * 4,
        "DEBUG": "true",
        "PORT": str(web),
        "SANDBOX_PORT": str(sandbox),
        "SITE_URL": f"http://127.0.0.1:{web}",
        "MONDAY_API_KEY": "test-api-key",
        "MONDAY_API_URL": f"http://127.0.0.1:{sandbox}/v2",
        "MONDAY_SIGNING_SECRET": "test-signing-secret-0123456789abcdef",
        "MONDAY_WEBHOOK_TOKEN": "test-webhook-token",
        "CRON_SECRET": "test-cron-secret",
        "METRICS_TOKEN": "test-metrics-token",
    }
