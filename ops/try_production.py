#!/usr/bin/env python3
"""Try what production is made of: `python3 ops/try_production.py`.

A clean virtual environment from requirements.txt alone; a copy of the program alone (no tests, no .env); a database and
a Redis database of its own on the servers at TEST_DATABASE_URL and TEST_REDIS_URL; the Procfile's own lines for web,
worker, beat and the sandbox. A contact is made by the API and must arrive on the sandbox's board. Everything is taken
away afterwards. Exit 0: it works, or no servers answer, which is said; 1: it doesn't, with the logs' last lines.

The standard library only, but for what requirements.txt brings.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parent.parent
POSTGRES = os.environ.get("TEST_DATABASE_URL") or "postgresql://root@127.0.0.1:5432/postgres"
REDIS = os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/15"
LEFT_OUT = (".git", ".venv", ".env", "var", "tests", "bench", "docs", "requirements", "__pycache__", ".*_cache")
READY_SECONDS = 90
ARRIVAL_SECONDS = 90
STOP_SECONDS = 30
LINES = 25
KEPT = ("HOME", "LANG", "LC_ALL", "TMPDIR", "PGPASSFILE", "PGPASSWORD")
# The way to the package index; everything else of the caller's environment stays outside.
FOR_PIP = ("PIP_", "HTTP", "http", "NO_PROXY", "no_proxy", "SSL_CERT", "REQUESTS_CA")


class Failed(Exception):
    """The message says what did not work."""


def say(text: str) -> None:
    print(text, flush=True)


def answers(url: str, usual_port: int) -> bool:
    """Whether somebody takes connections there."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or usual_port), 2).close()
    except OSError:
        return False
    return True


def clean_environment(folder: Path) -> Path:
    """A virtual environment with requirements.txt alone; its Python."""
    python = folder / "venv" / "bin" / "python"
    env = {k: v for k, v in os.environ.items() if k in (*KEPT, "PATH") or k.startswith(FOR_PIP)}
    # What is imported is compiled when it is: a part of it all.
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
    for command in ([sys.executable, "-m", "venv", str(folder / "venv")], [*pip, "-r", "requirements.txt"]):
        subprocess.run(command, cwd=ROOT, env=env, check=True)
    return python


def main() -> int:
    """Outside: make the environment, and go on in its Python, which takes the folder away."""
    for what, url, port in (("PostgreSQL", POSTGRES, 5432), ("Redis", REDIS, 6379)):
        if not answers(url, port):
            say(f"Left out: no {what} answers at {urlsplit(url).hostname}:{urlsplit(url).port or port}.")
            return 0
    folder = Path(tempfile.mkdtemp(prefix="npd-production-"))
    try:
        say("A virtual environment from requirements.txt alone …")
        python = clean_environment(folder)
        shutil.copytree(ROOT, folder / "npd", ignore=shutil.ignore_patterns(*LEFT_OUT))
        os.execv(python, [str(python), __file__, str(folder)])
    except subprocess.CalledProcessError as error:
        say(f"Failed: {' '.join(error.cmd)} (exit code {error.returncode}).")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The URL of a database that is there as long as this lasts."""
    import psycopg
    from psycopg import sql

    name = f"npd_production_{os.getpid()}"
    with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(urlsplit(POSTGRES)._replace(path=f"/{name}"))
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """The URL of a Redis database that was empty, and is again afterwards."""
    import redis

    for number in range(11, -1, -1):  # the tests count down from 15
        url = urlunsplit(urlsplit(REDIS)._replace(path=f"/{number}"))
        with contextlib.closing(redis.Redis.from_url(url, socket_timeout=5)) as client:
            if client.dbsize() or not client.set("npd-production", os.getpid(), nx=True):
                continue
            try:
                yield url
            finally:
                client.flushdb()
            return
    raise Failed("No Redis database from 11 down is empty: name another server in TEST_REDIS_URL.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Production:
    """One installation: its folder, its variables, its processes."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder, self.root = folder, folder / "npd"
        self.port, self.sandbox_port = free_port(), free_port()
        self.site, self.sandbox = (f"http://127.0.0.1:{port}" for port in (self.port, self.sandbox_port))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        self.env = {name: os.environ[name] for name in KEPT if name in os.environ} | {
            "PATH": f"{folder / 'venv' / 'bin'}:{path}",
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": secrets.token_urlsafe(40),
            "PORT": str(self.port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "SITE_URL": self.site,
            "STATIC_MANIFEST": "true",
            "MONDAY_API_URL": f"{self.sandbox}/v2",
            "MONDAY_API_KEY": secrets.token_urlsafe(20),
            "MONDAY_WEBHOOK_TOKEN": secrets.token_urlsafe(20),
        }

    def manage(self, *arguments: str, **more: str) -> str:
        """What a command of manage.py prints; Failed where it fails."""
        say(f"manage.py {' '.join(arguments)} …")
        result = subprocess.run(
            ["python", "manage.py", *arguments],
            cwd=self.root,
            env=self.env | more,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            last = "\n".join((result.stdout + result.stderr).splitlines()[-LINES:])
            raise Failed(f"manage.py {arguments[0]} ended with exit code {result.returncode}:\n{last}")
        return result.stdout

    def start(self, *names: str) -> None:
        """Start these lines of the Procfile, each in a group of its own."""
        text = (self.root / "Procfile").read_text()
        lines = dict(line.split(": ", 1) for line in text.splitlines() if line)
        for name in names:
            line = lines[name]
            # The shell's place is taken, so that a signal meets the process itself.
            command = ["sh", "-c", line if "exec " in line else f"exec {line}"]
            say(f"{name}: {line}")
            with self.log(name).open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    command,
                    cwd=self.root,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def wait(self, what: str, seconds: float, found: Callable[[], str]) -> None:
        """Until `found` gives an empty text; what it gives instead says what is missing."""
        deadline = time.monotonic() + seconds
        missing = "nothing was seen"
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise Failed(f"{name} ended by itself (exit code {process.returncode}).")
            with contextlib.suppress(OSError, ValueError):
                missing = found()
                if not missing:
                    say(f"{what}: yes")
                    return
            time.sleep(0.2)
        raise Failed(f"Waited {seconds:.0f} s in vain: {what}. {missing}")

    def stop(self, *names: str) -> list[str]:
        """SIGTERM to each main process; what did not end well, as sentences."""
        for name in names:
            if name in self.processes:
                self.processes[name].terminate()
        deadline, wrong = time.monotonic() + STOP_SECONDS, []
        for name in names:
            process = self.processes.pop(name, None)
            if process is None:
                continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            if process.poll() != 0:
                how = "was still there" if process.poll() is None else f"exit code {process.returncode}"
                wrong.append(f"{name} did not end well after SIGTERM: {how}.")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return wrong

    def tails(self) -> str:
        """The last lines of every log."""
        found = []
        for path in sorted(self.folder.glob("*.log")):
            found += [f"--- {path.stem}, its last lines", *path.read_text(errors="replace").splitlines()[-LINES:]]
        return "\n".join(found)


def call(url: str, token: str = "", content: object = None) -> Any:
    """The JSON that a GET, or with content a POST, answers, whatever its status."""
    request = urllib.request.Request(url, json.dumps(content).encode() if content is not None else None)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Token {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def play(production: Production) -> None:
    """From the empty database to a contact on the board, and to the end of the processes. Raises Failed."""
    production.manage("migrate", "--noinput", "-v", "0")
    production.manage("collectstatic", "--noinput", "-v", "0")
    production.start("sandbox", "web")
    production.wait("the sandbox answers", READY_SECONDS, lambda: "" if boards(production) == [] else "It has boards.")
    production.wait("web answers", READY_SECONDS, lambda: "" if call(f"{production.site}/readyz") else "No answer.")
    production.manage("monday_setup")
    production.start("worker", "beat")
    production.wait("/readyz is 200", READY_SECONDS, lambda: " ".join(call(f"{production.site}/readyz")["reasons"]))
    email = f"ada-{secrets.token_hex(4)}@example.org"
    made = call(f"{production.site}/api/v1/contacts/", token_of(production), {"name": "Ada Lovelace", "email": email})
    if "id" not in made:
        raise Failed(f"The contact was not made: {made}")
    production.wait("the contact is on the board", ARRIVAL_SECONDS, lambda: missing_on_board(production, email))
    for name, process in production.processes.items():
        say(f"{name} ran all the time as process {process.pid}")


def token_of(production: Production) -> str:
    user = {"DJANGO_SUPERUSER_PASSWORD": secrets.token_urlsafe(20), "DJANGO_SUPERUSER_EMAIL": "admin@example.org"}
    production.manage("createsuperuser", "--noinput", "--username", "admin", **user)
    return production.manage("drf_create_token", "admin").split()[2]


def boards(production: Production) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(f"{production.sandbox}/_control/boards")
    return found


def missing_on_board(production: Production, email: str) -> str:
    """What is missing, as a sentence; empty when an item of any board holds the address."""
    items = [item for board in boards(production) for item in board["items"]]
    if any(email in (text or "") for item in items for text in item["values"].values()):
        return ""
    return f"{len(items)} items on the boards, none with {email}."


def inside(folder: Path) -> int:
    """In the clean environment's Python: the servers' part, and the verdict."""
    begun, wrong = time.monotonic(), []
    with database() as database_url, broker() as redis_url:
        production = Production(folder, database_url, redis_url)
        try:
            play(production)
        except Failed as error:
            wrong.append(str(error))
        finally:
            wrong += production.stop("web", "worker", "beat")
            wrong += production.stop("sandbox")
    if wrong:
        say("\n".join([production.tails(), "", *(f"Failed: {sentence}" for sentence in wrong)]))
        return 1
    say(f"Production starts from requirements.txt alone, and a contact arrives ({time.monotonic() - begun:.0f} s).")
    return 0


def run(folder: str = "") -> int:
    """Either half; a signal ends it as Ctrl-C does, with everything taken away."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return inside(Path(folder)) if folder else main()
    except KeyboardInterrupt:
        return 130
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
