"""NPD as `make run` starts it, on a ground of its own: the real web, worker and beat processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import redis
import requests

from bench.ground import ROOT, Ground, free_port, ground, wait_for
from tests.support.child import Child, command_of, stop_all

WEBHOOK_TOKEN = "bench-webhook-token"
REDIS = os.environ.get("BENCH_REDIS_URL") or "redis://127.0.0.1:6379/14"
"""Its database is emptied first. Set BENCH_REDIS_URL to use another."""
EMBEDDED = ""


@dataclass
class Site:
    """The ground, NPD's address on it, and the processes that run."""

    place: Ground
    url: str
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def webhooks(self) -> str:
        """The path that Monday's deliveries come to."""
        return f"/webhooks/monday/{WEBHOOK_TOKEN}/"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the web process."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    def start(self, *names: str) -> None:
        """Start these of web, worker, beat; the web process is waited for."""
        for name in names:
            child = Child(name, command_of(name), dict(os.environ), ROOT, self.place.folder / f"{name}.log")
            child.start()
            self.children[name] = child
            if name == "web":
                wait_for(child, f"{self.url}/healthz")

    def stop(self) -> None:
        """End all of them."""
        stop_all(list(self.children.values()), seconds=10)

    def session(self) -> requests.Session:
        """A session of an administrator's, by token."""
        from django.contrib.auth import get_user_model

        from sync.models import ApiToken

        user, _ = get_user_model().objects.get_or_create(username="bench", is_superuser=True, is_staff=True)
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Token {ApiToken.objects.create(user)[1]}"
        return session


@contextmanager
def site(**variables: str) -> Iterator[Site]:
    """An empty NPD; start what is wanted of its processes. Its broker is Redis where one answers, else PostgreSQL."""
    broker = REDIS if has_redis() else EMBEDDED
    print(f"Broker: {'Redis' if broker else 'PostgreSQL; set BENCH_REDIS_URL to measure on Redis'}", flush=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "PORT": str(port),
        "SITE_URL": url,
        "MONDAY_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
        "CELERY_BROKER_URL": broker,
        # What `make run` hands to its processes.
        "EMBEDDED": "" if broker else "true",
        "DEBUG": "" if broker else "true",
    }
    with ground(fast=False, **settings, **variables) as place:
        started = Site(place, url)
        try:
            yield started
        finally:
            started.stop()


def has_redis() -> bool:
    """Whether a Redis answers; its database is emptied then, for a bench's wake-ups alone."""
    try:
        client = redis.Redis.from_url(REDIS, socket_connect_timeout=1)
        client.flushdb()
        client.close()
    except redis.RedisError:
        return False
    return True
