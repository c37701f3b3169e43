"""NPD as `make run` starts it, with real web, worker and beat processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import redis
import requests

from bench.servers import ROOT, Sandbox, database_and_sandbox, wait_for
from tests.support.child import Child, command_of, stop_all
from tests.support.servers import free_port

WEBHOOK_TOKEN = "bench-webhook-token"
# This database is emptied first.
REDIS = os.environ.get("BENCH_REDIS_URL") or "redis://127.0.0.1:6379/14"


@dataclass
class Site:
    sandbox: Sandbox
    url: str
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def webhooks(self) -> str:
        """The path of Monday's deliveries."""
        return f"/webhooks/monday/{WEBHOOK_TOKEN}/"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the web process."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    def start(self, *names: str) -> None:
        """Start some of web, worker and beat, and wait until web answers."""
        for name in names:
            child = Child(name, command_of(name), dict(os.environ), ROOT, self.sandbox.folder / f"{name}.log")
            child.start()
            self.children[name] = child
            if name == "web":
                wait_for(child, f"{self.url}/healthz")

    def session(self) -> requests.Session:
        """Return a session with an administrator's API token."""
        from django.contrib.auth import get_user_model

        from sync.models import ApiToken

        user, _ = get_user_model().objects.get_or_create(username="bench", is_superuser=True, is_staff=True)
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Token {ApiToken.objects.create(user)[1]}"
        return session


@contextmanager
def running_site(**variables: str) -> Iterator[Site]:
    """Prepare an empty NPD without processes. Its broker is Redis if one answers, otherwise PostgreSQL."""
    broker = REDIS if has_redis() else ""
    print(f"Broker: {'Redis' if broker else 'PostgreSQL; set BENCH_REDIS_URL to measure on Redis'}", flush=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "PORT": str(port),
        "SITE_URL": url,
        "MONDAY_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
        "CELERY_BROKER_URL": broker,
        # As `make run` sets them.
        "EMBEDDED": "" if broker else "true",
        "DEBUG": "" if broker else "true",
    }
    with database_and_sandbox(fast=False, **settings, **variables) as sandbox:
        started = Site(sandbox, url)
        try:
            yield started
        finally:
            stop_all(list(started.children.values()), seconds=10)


def has_redis() -> bool:
    """Empty Redis' database for the bench; return whether Redis answered."""
    try:
        client = redis.Redis.from_url(REDIS, socket_connect_timeout=1)
        client.flushdb()
        client.close()
    except redis.RedisError:
        return False
    return True
