"""The real processes for tests: sandbox, web, worker and beat, kept for the whole run.

They work on the test database itself. Between two tests worker and beat are stopped (SIGSTOP) while idle, so that they
disturb neither the flush of the database nor other tests.
"""

import functools
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.db import connection

from config.celery import app
from sync.kernel.db import fetch_rows
from tests.support import guardian
from tests.support.child import Child, command_of, stop_all
from tests.support.sandbox import Sandbox
from tests.support.servers import FOLDER, ROOT
from tests.support.waiting import wait_for

CHILDREN_NAME = f"npd-test-{os.getpid()}"  # how PostgreSQL lists the connections of our processes
REST_SECONDS = 5.0
START_SECONDS = 90.0  # on a machine with much else to do
USER = "admin"
PASSWORD = "admin-password"


@functools.cache
def hashed_password() -> str:
    """Return the password's hash for the web process, which doesn't know this process's quick hash."""
    return make_password(PASSWORD, hasher="pbkdf2_sha256")


def child_environment() -> dict[str, str]:
    """Return the environment of processes that work on the test database."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    return {
        **os.environ,
        "DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}")),
        "PGAPPNAME": CHILDREN_NAME,
        "PYTHONUNBUFFERED": "1",
        "WEB_CONCURRENCY": "1",
    }


def start_child(name: str, command: list[str], env: dict[str, str], url: str | None = None) -> Child:
    """Start a child and wait until it answers at `url`; the error shows its last lines."""
    child = Child(name, command, env, ROOT, log_of(name))
    child.start()
    guardian.watch(child.pid)
    if url:
        wait_for(f"{name} answers at {url}", lambda: _answers(child, url), START_SECONDS)
    return child


def log_of(name: str) -> Path:
    return FOLDER / f"{name}-{os.getpid()}.log"


def _answers(child: Child, url: str) -> bool:
    if child.ended is not None:
        raise AssertionError("\n".join([f"{child.name} ended ({child.ended}):", *child.last_lines(30)]))
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def sandbox_process() -> Child:
    """Start `python -m sandbox` on the run's port, with boards in memory only."""
    command = [sys.executable, "-m", "sandbox", "--port", str(settings.SANDBOX_PORT)]
    command += ["--token", settings.MONDAY_API_KEY, "--signing-secret", settings.MONDAY_SIGNING_SECRET]
    return start_child("sandbox", command, dict(os.environ), f"http://127.0.0.1:{settings.SANDBOX_PORT}/")


class Processes:
    """Web, worker and beat. Each starts at its first use, and again if a test ended it or changed `env`."""

    def __init__(self) -> None:
        self.env = child_environment()
        self.children: dict[str, Child] = {}
        self.at_rest = False

    @contextmanager
    def with_variables(self, **variables: str) -> Iterator[None]:
        """Run them with these variables; each restarts when it is next needed with another environment."""
        before = self.env
        self.env = before | variables
        try:
            yield
        finally:
            self.env = before

    def serve(self) -> None:
        self._ensure("web", command_of("web"), f"{settings.SITE_URL}/healthz")

    def work(self, *names: str) -> None:
        """Start everything, or web and the named ones."""
        self.serve()
        names = names or ("worker", "beat")
        is_worker_new = "worker" in names and self._ensure("worker", command_of("worker"))
        if "beat" in names:
            self._ensure("beat", command_of("beat"))
        if is_worker_new:  # or a test's own waits would begin before there is a worker
            worker = self.children["worker"]
            wait_for("the worker is ready", lambda: " ready." in "\n".join(worker.last_lines(1_000)), START_SECONDS)
        if self.at_rest:
            self._signal(signal.SIGCONT)
            self.at_rest = False

    def rest(self) -> None:
        """Stop worker and beat once both are idle; kill a worker that stays busy."""
        deadline = time.monotonic() + REST_SECONDS
        while not self._stop_if_idle():
            if time.monotonic() > deadline:
                self._signal(signal.SIGSTOP)
                self.end("worker")
                break
            time.sleep(0.02)
        self.at_rest = True

    def end(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal one process and its children, if it runs; the next `work()` starts it again."""
        child = self.children.pop(name, None)
        if child is None:
            return
        if child.ended is None:
            os.killpg(child.pid, number)
        else:
            print(f"{name} had ended by itself ({child.ended}):", *child.last_lines(20), sep="\n", file=sys.stderr)
        child.finish(time.monotonic() + 15)

    def stop(self) -> None:
        self._signal(signal.SIGCONT)
        stop_all(list(self.children.values()), seconds=5)

    def last_lines(self) -> str:
        """The processes' last lines, for a failed test's report."""
        return "\n".join(
            line for child in self.children.values() for line in (f"--- {child.name}", *child.last_lines(15))
        )

    def _ensure(self, name: str, command: list[str], url: str | None = None) -> bool:
        """Start it unless it runs; return whether it was started."""
        child = self.children.get(name)
        if child and (child.ended is not None or child.env != self.env):
            self.end(name)
        if name in self.children:
            return False
        self.children[name] = start_child(name, command, self.env, url)
        return True

    def _signal(self, number: int) -> None:
        for name, child in self.children.items():
            if name != "web" and child.ended is None:
                os.killpg(child.pid, number)

    def _stop_if_idle(self) -> bool:
        if self._is_busy():
            return False
        self._signal(signal.SIGSTOP)
        if self._is_busy():  # one of them began something in between
            self._signal(signal.SIGCONT)
            return False
        return True

    def _is_busy(self) -> bool:
        """Return whether a row is worked on or a transaction open: a stopped process would keep its locks."""
        busy_rows = (
            "SELECT 1 FROM sync_queue WHERE status = 'in_progress'"
            " UNION ALL SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
        )
        return bool(fetch_rows(busy_rows, [CHILDREN_NAME]))


class Site:
    """NPD as in production, for one test: real processes, an administrator, boards and webhooks.

    The test's own ORM calls see the same database, and its saves wake the same worker.
    """

    def __init__(self, processes: Processes, sandbox: Sandbox) -> None:
        self.processes, self.sandbox = processes, sandbox
        self.url: str = settings.SITE_URL
        self.username, self.password = USER, PASSWORD
        self.api = requests.Session()

    def fill(self) -> None:
        """Fill the empty database and sandbox with what every test needs."""
        from django.contrib.auth import get_user_model

        user = get_user_model()(username=USER, email="admin@example.com", password=hashed_password())
        user.is_staff = user.is_superuser = True
        user.save()
        self.processes.serve()  # it answers the challenge of each webhook
        self.manage("monday_setup")

    def begin(self) -> None:
        from django.contrib.auth import get_user_model

        from sync.models import ApiToken

        self.user = get_user_model().objects.get(username=USER)
        self.api.headers["Authorization"] = f"Token {ApiToken.objects.create(self.user)[1]}"
        purge_broker()
        restore_schedule()
        self.processes.serve()

    def manage(self, *arguments: str) -> None:
        call_command(*arguments, verbosity=0)

    def path(self, path: str) -> str:
        return self.url + path

    def wait_for(self, description: str, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """As waiting.wait_for; a failure shows the processes' last lines."""
        try:
            return wait_for(description, condition, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.processes.last_lines()}") from None


def purge_broker() -> None:
    """Forget the wake-ups that tests without a worker have sent."""
    with app.connection_for_write() as broker:
        channel = broker.default_channel
        queue = app.amqp.queues[app.conf.task_default_queue].bind(channel)
        queue.declare()
        queue.purge()


def restore_schedule() -> None:
    """Write Beat's schedule again after the flush took it away; a running beat rereads it."""
    from django_celery_beat.models import PeriodicTasks

    from sync.tasks import make_missing_periodic_tasks

    make_missing_periodic_tasks()
    PeriodicTasks.update_changed()
