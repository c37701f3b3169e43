"""The servers of a bench: its own migrated PostgreSQL and a sandbox, both of which end with the process."""

import logging
import os
import platform
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from config.embedded.postgres import EmbeddedPostgres
from tests.support.child import Child
from tests.support.servers import free_port

NOWHERE = "http://127.0.0.1:9"  # as SITE_URL: no webhook arrives
ROOT = Path(__file__).resolve().parent.parent
TOKEN = "bench-token"
START_SECONDS = 30


@dataclass(frozen=True)
class Sandbox:
    """The running sandbox, and a folder for logs."""

    url: str
    folder: Path

    def control(self, name: str, **body: Any) -> Any:
        """Call the sandbox under /_control/, by POST if there is a body."""
        url = f"{self.url}/_control/{name}"
        answer = requests.post(url, json=body, timeout=60) if body else requests.get(url, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def pass_time(self, seconds: float) -> None:
        """Move the clocks of the database and the sandbox, while no call is running."""
        from django.db import connection

        from sync.clock import CREATE_SYNC_NOW

        offset = self.control("clock")["offset_seconds"] + seconds
        moved = f"clock_timestamp() + interval ''{offset} seconds''"
        with connection.cursor() as cursor:
            cursor.execute(CREATE_SYNC_NOW.replace("clock_timestamp()", moved))
        self.control("clock", offset_seconds=offset)

    def last_call(self) -> int:
        """Return the number of the last API call."""
        return max((int(call["id"]) for call in self.control("calls")), default=0)

    def calls_since(self, mark: int) -> list[dict[str, Any]]:
        """Return the API calls after that one, at most the last 5,000, which the sandbox's log holds."""
        calls: list[dict[str, Any]] = self.control(f"calls?since={mark}")
        return calls


@contextmanager
def database_and_sandbox(*, fast: bool = False, **variables: str) -> Iterator[Sandbox]:
    """Start both, and set up Django with these environment variables; delete everything at the end.

    No wake-ups are sent unless CELERY_BROKER_URL is among the variables; an empty one means the same PostgreSQL.
    `fast` is for a bench whose figures don't depend on how quickly PostgreSQL writes.
    """
    with tempfile.TemporaryDirectory(prefix="npd-bench-") as name:
        Path(name).chmod(0o755)  # for root, PostgreSQL runs as another account
        postgres = EmbeddedPostgres(Path(name) / "pg", fast=fast)
        process = None
        try:
            postgres.start()
            postgres.create_database("bench")
            port = free_port()
            process = _start_sandbox(port, Path(name))
            url = f"http://127.0.0.1:{port}"
            wait_for(process, url)
            _set_up_django({"DATABASE_URL": postgres.url("bench"), "MONDAY_API_URL": f"{url}/v2", **variables})
            yield Sandbox(url, Path(name))
        finally:
            if process is not None:
                process.stop(5)
            postgres.stop()


def machine() -> str:
    """Return a line about the machine and its load, without which figures say nothing."""
    load = os.getloadavg()[0]
    cores = os.cpu_count() or 1
    busy = "idle before" if load < cores / 4 else f"load {load:.1f} before, so times are longer than need be"
    return f"{cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {busy}"


def _start_sandbox(port: int, folder: Path) -> Child:
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--token", TOKEN]
    child = Child("sandbox", command, dict(os.environ), ROOT, folder / "sandbox.log")
    child.start()
    return child


def wait_for(child: Child, url: str) -> None:
    """Wait until the process answers at this address; exit with its last lines if it doesn't."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:  # an error is an answer too
            return
        except OSError:
            if child.ended is not None or time.monotonic() > deadline:
                raise SystemExit("\n".join([f"{child.name} did not start:", *child.last_lines()])) from None
            time.sleep(0.05)


def _set_up_django(variables: dict[str, str]) -> None:
    # The shell's variables may name a real account or database.
    for name in list(os.environ):
        if name.startswith(("DATABASE", "REDIS", "CELERY", "MONDAY_", "SITE_URL", "ALLOWED_HOSTS", "DEMO")):
            del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "only-for-measuring-" + "0123456789" * 4,
        "CELERY_BROKER_URL": "memory://",
        "MONDAY_API_KEY": TOKEN,
        **variables,
    }
    import django
    from django.core.management import call_command

    django.setup()
    logging.disable(logging.WARNING)  # log lines would take time
    call_command("migrate", verbosity=0, interactive=False)
